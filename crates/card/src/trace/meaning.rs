//! What instructions and status words mean, for the remarks in a trace.

use crate::apdu::StatusWord;
use std::borrow::Cow;

/// The name of an instruction, ISO/IEC 7816-4:2020 §5.4.2 table 5; the card's own ones by what they do.
pub(super) const fn instruction([cla, ins, _, _]: [u8; 4]) -> &'static str {
    let is_own = cla & 0x80 != 0;
    match (is_own, ins) {
        (true, 0xA2) => "load terminal certificate",
        (true, 0x2A) => "compute signature",
        (true, 0xAE) => "set session key",
        (_, 0x20 | 0x21) => "VERIFY",
        (_, 0x22) => "MANAGE SECURITY ENVIRONMENT",
        (_, 0x24 | 0x25) => "CHANGE REFERENCE DATA",
        (_, 0x2A) => "PERFORM SECURITY OPERATION",
        (_, 0x2C | 0x2D) => "RESET RETRY COUNTER",
        (_, 0x82) => "EXTERNAL AUTHENTICATE",
        (_, 0x84) => "GET CHALLENGE",
        (_, 0x86 | 0x87) => "GENERAL AUTHENTICATE",
        (_, 0x88) => "INTERNAL AUTHENTICATE",
        (_, 0xA4) => "SELECT",
        (_, 0xB0 | 0xB1) => "READ BINARY",
        (_, 0xB2 | 0xB3) => "READ RECORD",
        (_, 0xC0) => "GET RESPONSE",
        (_, 0xCA | 0xCB) => "GET DATA",
        _ => "another instruction",
    }
}

/// What a status word means, ISO/IEC 7816-4:2020 §5.6 tables 6 and 7.
pub(super) fn status(word: StatusWord) -> Cow<'static, str> {
    if let Some(tries) = word.as_tries_left() {
        return Cow::Owned(format!("{tries} tries left"));
    }
    let [first, second] = word.0.to_be_bytes();
    Cow::Borrowed(match (first, second) {
        (0x90, 0x00) => "done",
        (0x61, _) => return Cow::Owned(format!("done, {} octets to fetch", length(second))),
        (0x62, 0x82) => "end of file",
        (0x62, 0x83) => "file deactivated",
        (0x62, _) => "done, with a warning",
        (0x63, _) => "authentication failed, or a warning",
        (0x65, 0x81) => "memory failure",
        (0x67, _) => "wrong length",
        (0x68, 0x82) => "secure messaging not supported",
        (0x68, 0x83) => "last command of the chain expected",
        (0x68, 0x84) => "command chaining not supported",
        (0x69, 0x81) => "not for this kind of file",
        (0x69, 0x82) => "security status not satisfied",
        (0x69, 0x83 | 0x84) => "blocked",
        (0x69, 0x85) => "conditions of use not satisfied",
        (0x69, 0x86) => "no current file",
        (0x69, 0x87) => "secure messaging objects missing",
        (0x69, 0x88) => "secure messaging objects, or a signature, incorrect",
        (0x6A, 0x80) => "incorrect data",
        (0x6A, 0x81) => "function not supported",
        (0x6A, 0x82) => "file or application not found",
        (0x6A, 0x83) => "record not found",
        (0x6A, 0x84) => "no memory, or no uses, left",
        (0x6A, 0x86) => "incorrect P1 P2",
        (0x6A, 0x87) => "Lc inconsistent with P1 P2",
        (0x6A, 0x88) => "reference not found",
        (0x6B, _) => "wrong offset, or wrong P1 P2",
        (0x6C, _) => return Cow::Owned(format!("wrong Le, {} octets there are", length(second))),
        (0x6D, _) => "unknown instruction",
        (0x6E, _) => "unknown class",
        (0x6F, _) => "no precise diagnosis",
        _ => "another status",
    })
}

/// SW2 as a length: 00 is 256, ISO/IEC 7816-4:2020 §5.6.
const fn length(second: u8) -> u16 {
    if second == 0 { 256 } else { second as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remarks_say_what_counts() {
        assert_eq!(status(StatusWord(0x63C2)), "2 tries left");
        assert_eq!(status(StatusWord(0x6100)), "done, 256 octets to fetch");
        assert_eq!(status(StatusWord(0x6C10)), "wrong Le, 16 octets there are");
        assert_eq!(status(StatusWord::BLOCKED), "blocked");
        assert_eq!(instruction([0x80, 0x2A, 2, 0x97]), "compute signature");
        assert_eq!(instruction([0x00, 0x2A, 0, 0xBE]), "PERFORM SECURITY OPERATION");
        assert_eq!(instruction([0x0C, 0x84, 0, 0]), "GET CHALLENGE");
    }
}
