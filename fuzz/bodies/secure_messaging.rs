//! Secure messaging: what one side protects the other opens to the same, any change of one bit is refused,
//! and no octets open without the keys.

use card::apdu::{CommandApdu, StatusWord};
use card::eac::secure_messaging::{CardChannel, SessionKeys, TerminalChannel};

fn sides() -> (TerminalChannel, CardChannel) {
    let keys = SessionKeys::new([0x11; 16].into(), [0x22; 16].into());
    (
        TerminalChannel::new(&keys).expect("keys of the right length"),
        CardChannel::new(&keys).expect("the same"),
    )
}

pub(super) fn run(data: &[u8]) {
    let (terminal, card) = sides();
    let Ok(command) = CommandApdu::parse(data) else {
        // As a response of a card: never one that was protected with these keys.
        let read = CommandApdu::parse(&[0x00, 0xB0, 0x00, 0x00, 0x00]).expect("a command");
        let (_, awaited) = terminal.wrap(&read).expect("can be protected");
        assert!(awaited.unwrap(data).is_err());
        return;
    };
    // As a protected command that nobody with the keys has made.
    assert!(card.unwrap(&command).is_err());
    let (_, card) = sides();
    let Ok((mut wrapped, awaited)) = terminal.wrap(&command) else {
        return;
    };
    let there = CommandApdu::parse(&wrapped).expect("a protected command is a command");
    let (opened, owed) = card.unwrap(&there).expect("what was protected opens");
    let opened = opened.as_apdu();
    assert_eq!(
        (opened.cla, opened.ins, opened.p1, opened.p2, opened.data),
        (command.cla, command.ins, command.p1, command.p2, command.data)
    );
    let (response, _) = owed.wrap(command.data, StatusWord::OK).expect("a response can be protected");
    let (answer, _) = awaited.unwrap(&response).expect("what was protected opens");
    assert_eq!(&*answer.data, command.data);
    bent(&mut wrapped, data);
}

/// One bit of the protected command, chosen by the input, changed: Le alone is not protected.
fn bent(wrapped: &mut [u8], data: &[u8]) {
    let le = if wrapped.get(4) == Some(&0) { 2 } else { 1 };
    let sum = data.iter().fold(7usize, |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(*octet)));
    let protected = wrapped.len() - le;
    let place = sum % protected;
    wrapped[place] ^= 1 << (sum / protected % 8);
    let (_, card) = sides();
    if let Ok(command) = CommandApdu::parse(wrapped) {
        assert!(card.unwrap(&command).is_err(), "octet {place} of {protected}");
    }
}
