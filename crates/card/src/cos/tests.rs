//! The place for secure messaging, with a channel that only counts and turns octets over.

use super::secure_channel::{SecureChannel, UnwrappedCommand};
use super::volatile::OneUse;
use super::*;
use crate::image::{Contents, Layout};
use protocol::entropy::Seeded;
use zeroize::Zeroizing;

/// Data is turned over; a first octet 00 is a wrong object, no data a missing one.
#[derive(Debug)]
struct Toy;

impl SecureChannel for Toy {
    fn unwrap(&mut self, command: &CommandApdu<'_>) -> Result<UnwrappedCommand, StatusWord> {
        let [le, data @ ..] = command.data else {
            return Err(StatusWord::SM_OBJECT_MISSING);
        };
        if *le == 0 {
            return Err(StatusWord::SM_OBJECT_WRONG);
        }
        let header = [command.cla & 0x80, command.ins, command.p1, command.p2];
        let expected = (*le != 0xFF).then_some(u32::from(*le));
        let data = Zeroizing::new(data.iter().map(|octet| !octet).collect());
        Ok(UnwrappedCommand { header, data, expected })
    }

    fn wrap(&mut self, answer: Answer) -> Result<Answer, StatusWord> {
        let mut data: Vec<u8> = answer.data.iter().map(|octet| !octet).collect();
        data.extend(answer.status.0.to_be_bytes());
        Ok(Answer { data, status: answer.status })
    }
}

const LAYOUT: &str = r#"
format = 1
card = "secure messaging"
atr = "3B 00"
[[application]]
name = "one"
aid = "F0 00 00 00 01"
commands = ["files", "secrets"]
[[application.object]]
fid = 0x0001
kind = "binary"
value = "01 02 03 04"
read = "secure-messaging"
[[application.object]]
fid = 0x0002
kind = "binary"
value = "0A"
read = "institution-once"
[[application.object]]
fid = 0x0018
kind = "secret"
value = "31 32 33 34"
form = "digits 4"
tries = 3
change = "never"
[[application]]
name = "two"
aid = "F0 00 00 00 02"
commands = ["files"]
"#;

struct Bench(Card);

impl Bench {
    /// Application one, with the channel on and an institution authenticated.
    fn new() -> Self {
        let image = CardImage::new(&Layout::parse(LAYOUT).unwrap(), &Contents::new()).unwrap();
        let mut bench = Self(Card::new(image));
        bench.0.power_on();
        assert_eq!(bench.send(&[0x00, 0xA4, 0x04, 0x0C, 5, 0xF0, 0, 0, 0, 1]), [0x90, 0x00]);
        let security = bench.security();
        security.channel = Some(Box::new(Toy));
        security.permission = Some(OneUse);
        bench
    }

    fn send(&mut self, command: &[u8]) -> Vec<u8> {
        self.0.transmit(command, &mut Seeded::new(1))
    }

    fn security(&mut self) -> &mut volatile::SecurityStatus {
        &mut self.0.volatile.as_mut().unwrap().security
    }

    fn is_on(&mut self) -> bool {
        self.security().channel.is_some()
    }
}

#[test]
fn a_command_is_unwrapped_first_and_its_answer_wrapped_last() {
    let mut bench = Bench::new();
    // READ BINARY of four octets of file 0001, whose rule asks for secure messaging.
    let read = [0x0C, 0xB0, 0x81, 0x00, 1, 4, 0];
    assert_eq!(bench.send(&read), [0xFE, 0xFD, 0xFC, 0xFB, 0x90, 0x00, 0x90, 0x00]);
    // A refusal is wrapped as well, and secure messaging goes on.
    assert_eq!(bench.send(&[0x0C, 0xB0, 0x83, 0x00, 1, 4, 0]), [0x6A, 0x82, 0x6A, 0x82]);
    // VERIFY with the PIN turned over, without Le inside; the wrapped answer needs an Le outside, or waits.
    let verify = [0x0C, 0x20, 0x00, 0x98, 5, 0xFF, !0x31, !0x32, !0x33, !0x34];
    assert_eq!(bench.send(&verify), [0x61, 0x02]);
    // GET RESPONSE belongs to the transport: it comes in the clear and ends nothing.
    assert_eq!(bench.send(&[0x00, 0xC0, 0x00, 0x00, 0x02]), [0x90, 0x00, 0x90, 0x00]);
    assert!(bench.is_on() && bench.security().permission.is_some());
    // In pieces: what was wrapped is the whole command.
    assert_eq!(bench.send(&[0x1C, 0x20, 0x00, 0x98, 3, 0xFF, !0x31, !0x32]), [0x90, 0x00]);
    assert_eq!(bench.send(&[0x0C, 0x20, 0x00, 0x98, 2, !0x33, !0x34, 0]), [0x90, 0x00, 0x90, 0x00]);
    assert_eq!(bench.send(&[0x00, 0xB0, 0x81, 0x00, 4]), [0x69, 0x82], "in the clear");
}

#[test]
fn whatever_goes_wrong_ends_it_with_the_institutions_status() {
    let wrong: [(&[u8], [u8; 2]); 8] = [
        (&[0x0C, 0xB0, 0x81, 0x00, 1, 0, 0], [0x69, 0x88]),
        (&[0x0C, 0xB0, 0x81, 0x00, 0], [0x69, 0x87]),
        (&[0x00, 0x20, 0x00, 0x98], [0x63, 0xC3]),
        (&[0x00, 0xB0, 0x81, 0x00, 4], [0x69, 0x82]),
        (&[0x10, 0x20, 0x00, 0x98, 1, 0x31], [0x90, 0x00]),
        (&[0x01, 0xB0, 0x81, 0x00, 4], [0x68, 0x81]),
        (&[0xE0, 0xB0, 0x81, 0x00, 4], [0x6E, 0x00]),
        (&[0x0C, 0xB0], [0x67, 0x00]),
    ];
    for (command, word) in wrong {
        let mut bench = Bench::new();
        assert_eq!(bench.send(command), word, "a plain answer");
        assert!(!bench.is_on() && bench.security().permission.is_none(), "{command:02X?}");
        assert_eq!(bench.send(&[0x0C, 0xB0, 0x81, 0x00, 1, 4, 0]), [0x68, 0x82]);
    }
}

#[test]
fn the_answer_that_leaves_the_application_is_the_last_that_is_wrapped() {
    let mut bench = Bench::new();
    let select = [0x0C, 0xA4, 0x04, 0x0C, 6, 0xFF, !0xF0, 0xFF, 0xFF, 0xFF, !2, 0];
    assert_eq!(bench.send(&select), [0x90, 0x00, 0x90, 0x00]);
    assert!(!bench.is_on() && bench.security().permission.is_none());
    let mut bench = Bench::new();
    let same = [0x0C, 0xA4, 0x04, 0x0C, 6, 0xFF, !0xF0, 0xFF, 0xFF, 0xFF, !1, 0];
    assert_eq!(bench.send(&same), [0x90, 0x00, 0x90, 0x00]);
    assert!(bench.is_on() && bench.security().permission.is_some(), "the same application keeps it");
}

#[test]
fn one_use_is_one() {
    let mut bench = Bench::new();
    bench.security().channel = None;
    let read = [0x00, 0xB0, 0x82, 0x00, 1];
    assert_eq!(bench.send(&read), [0x0A, 0x90, 0x00]);
    assert_eq!(bench.send(&read), [0x69, 0x82]);
}
