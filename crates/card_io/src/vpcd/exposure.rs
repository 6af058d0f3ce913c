//! Who can insert a card: the `vpcd` driver listens on every address of the machine.

use std::fs;
use std::io;

/// Who reaches a port of this machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Exposure {
    /// Nobody: nothing listens there.
    Nobody,
    /// Programs of this machine.
    ThisMachine,
    /// Every machine that reaches this one, unless a firewall is between: it can insert cards.
    Network,
}

/// Where the kernel lists listening sockets, for IPv4 and IPv6.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The state `LISTEN` in the kernel's table.
const LISTENING: &str = "0A";

/// Who reaches `port` of this machine, as the kernel's tables say. Nobody is connected to: for the driver
/// that would be an inserted card.
///
/// # Errors
/// When there is no such table: this system is not Linux.
pub fn exposure(port: u16) -> io::Result<Exposure> {
    let mut widest = Exposure::Nobody;
    for (place, table) in TABLES.into_iter().enumerate() {
        match fs::read_to_string(table) {
            Ok(text) => widest = widest.max(listed(&text, port)),
            // A kernel without IPv6 has no second table.
            Err(error) if place > 0 && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(widest)
}

/// Looks a port up in one table: each line has `slot: ADDRESS:PORT ADDRESS:PORT STATE …`, the address in
/// the machine's byte order, word by word.
fn listed(table: &str, port: u16) -> Exposure {
    let wanted = format!("{port:04X}");
    let listeners = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, local_port) = fields.next()?.split_once(':')?;
        (local_port == wanted && fields.nth(1) == Some(LISTENING)).then_some(address)
    });
    listeners
        .map(|address| if is_loopback(address) { Exposure::ThisMachine } else { Exposure::Network })
        .max()
        .unwrap_or(Exposure::Nobody)
}

/// 127.0.0.0/8 or ::1, also in the form that IPv6 gives IPv4 addresses; on either byte order.
fn is_loopback(address: &str) -> bool {
    let v4 = |word: &str| word.ends_with("7F") || word.starts_with("7F");
    match address.split_at_checked(24) {
        None => v4(address),
        Some(("0000000000000000FFFF0000" | "00000000000000000000FFFF", word)) => v4(word),
        Some((head, word)) => {
            head.bytes().all(|digit| digit == b'0') && ["01000000", "00000001"].contains(&word)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn listeners_are_found_and_told_apart() {
        let head = "  sl  local_address rem_address   st tx_queue";
        let table = |address: &str, state: &str| {
            format!("{head}\n   0: {address}:8C7B 00000000:0000 {state} 00000000:00000000\n")
        };
        let everywhere = "00000000000000000000000000000000";
        for (address, state, wanted) in [
            ("00000000", "0A", Exposure::Network),
            ("0100007F", "0A", Exposure::ThisMachine),
            ("3500A8C0", "0A", Exposure::Network),
            ("00000000", "01", Exposure::Nobody),
            (everywhere, "0A", Exposure::Network),
            ("00000000000000000000000001000000", "0A", Exposure::ThisMachine),
            ("0000000000000000FFFF00000100007F", "0A", Exposure::ThisMachine),
            ("0000000000000000FFFF00003500A8C0", "0A", Exposure::Network),
        ] {
            assert_eq!(listed(&table(address, state), 0x8C7B), wanted, "{address} {state}");
            assert_eq!(listed(&table(address, state), 0x8C7C), Exposure::Nobody);
        }
        for broken in ["", "x", "head\nx", "head\n0: 00000000", "head\n 0: 8C7B 0A 0A 0A"] {
            assert_eq!(listed(broken, 0x8C7B), Exposure::Nobody);
        }
    }

    #[test]
    fn real_listeners_are_seen() {
        let port = |address| {
            let listener = TcpListener::bind(address).unwrap();
            (listener.local_addr().unwrap().port(), listener)
        };
        let (own, _listening) = port("127.0.0.1:0");
        assert_eq!(exposure(own).unwrap(), Exposure::ThisMachine);
        let (open, listener) = port("0.0.0.0:0");
        assert_eq!(exposure(open).unwrap(), Exposure::Network);
        drop(listener);
        assert_eq!(exposure(open).unwrap(), Exposure::Nobody);
    }
}
