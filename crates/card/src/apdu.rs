//! Command and response APDUs, ISO/IEC 7816-4:2020 §5.1 to §5.3 and §5.6.

use std::fmt;

/// Which form the length fields of a command have, ISO/IEC 7816-4:2020 §5.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LengthForm {
    /// One octet each; also the form of a command without length fields.
    Short,
    /// Three octets for the first length field, two for one that follows.
    Extended,
}

/// A command APDU, borrowed from the bytes it was parsed from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CommandApdu<'a> {
    /// Class byte.
    pub cla: u8,
    /// Instruction byte.
    pub ins: u8,
    /// First parameter byte.
    pub p1: u8,
    /// Second parameter byte.
    pub p2: u8,
    /// Command data, 0 to 65,535 octets.
    pub data: &'a [u8],
    /// Ne: how many octets the terminal takes at most, 1 to 65,536; `None` where no Le was sent.
    pub expected: Option<u32>,
    /// Form of the length fields.
    pub form: LengthForm,
}

impl fmt::Debug for CommandApdu<'_> {
    /// Header and lengths only: the data may be a PIN.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandApdu({:02X}{:02X}{:02X}{:02X}", self.cla, self.ins, self.p1, self.p2)?;
        write!(f, ", {} octets, Ne {:?})", self.data.len(), self.expected)
    }
}

/// Why bytes are not an APDU, or an APDU cannot be encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApduError {
    /// The length fields and the length do not fit together: a card answers 6700.
    #[error("malformed command APDU")]
    Malformed,
    /// More than 65,535 octets of data, or an Ne above 65,536.
    #[error("too long for an APDU")]
    TooLong,
    /// A response without a status word.
    #[error("a response without status word")]
    NoStatusWord,
}

const fn extended_ne(hi: u8, lo: u8) -> u32 {
    let value = u16::from_be_bytes([hi, lo]) as u32;
    if value == 0 { 65_536 } else { value }
}

const fn short_ne(le: u8) -> u32 {
    if le == 0 { 256 } else { le as u32 }
}

impl<'a> CommandApdu<'a> {
    /// Parses one command APDU, ISO/IEC 7816-4:2020 §5.2: the seven cases 1, 2S, 3S, 4S, 2E, 3E, 4E.
    /// Strict: every octet must be accounted for.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ApduError> {
        let (&[cla, ins, p1, p2], body) = bytes.split_first_chunk::<4>().ok_or(ApduError::Malformed)?;
        let make = |data, expected, form| Self { cla, ins, p1, p2, data, expected, form };
        match body {
            [] => Ok(make(&[], None, LengthForm::Short)),
            [le] => Ok(make(&[], Some(short_ne(*le)), LengthForm::Short)),
            [0, hi, lo] => Ok(make(&[], Some(extended_ne(*hi, *lo)), LengthForm::Extended)),
            [0, hi, lo, rest @ ..] => {
                let lc = usize::from(u16::from_be_bytes([*hi, *lo]));
                let (data, tail) = rest.split_at_checked(lc).ok_or(ApduError::Malformed)?;
                match tail {
                    // Lc is never zero: a command without data has no Lc.
                    _ if lc == 0 => Err(ApduError::Malformed),
                    [] => Ok(make(data, None, LengthForm::Extended)),
                    [hi, lo] => Ok(make(data, Some(extended_ne(*hi, *lo)), LengthForm::Extended)),
                    _ => Err(ApduError::Malformed),
                }
            }
            [0, _] => Err(ApduError::Malformed),
            [lc, rest @ ..] => {
                let (data, tail) = rest.split_at_checked(usize::from(*lc)).ok_or(ApduError::Malformed)?;
                match tail {
                    [] => Ok(make(data, None, LengthForm::Short)),
                    [le] => Ok(make(data, Some(short_ne(*le)), LengthForm::Short)),
                    _ => Err(ApduError::Malformed),
                }
            }
        }
    }

    /// Whether Le asked for "everything there is": all zero octets in its form.
    pub const fn expects_everything(&self) -> bool {
        match (self.form, self.expected) {
            (LengthForm::Short, Some(ne)) => ne == 256,
            (LengthForm::Extended, Some(ne)) => ne == 65_536,
            (_, None) => false,
        }
    }
}

/// Builds a command APDU; short length fields where they suffice, extended ones otherwise.
#[derive(Clone)]
pub struct CommandBuilder<'a> {
    header: [u8; 4],
    data: &'a [u8],
    expected: Option<u32>,
}

impl<'a> CommandBuilder<'a> {
    /// A command with this header, without data and without Le (case 1).
    pub const fn new(cla: u8, ins: u8, p1: u8, p2: u8) -> Self {
        Self { header: [cla, ins, p1, p2], data: &[], expected: None }
    }

    /// With command data; empty data means none.
    #[must_use]
    pub const fn data(self, data: &'a [u8]) -> Self {
        Self { data, ..self }
    }

    /// With Ne, 1 to 65,536 octets.
    #[must_use]
    pub const fn expect(self, ne: u32) -> Self {
        Self { expected: Some(ne), ..self }
    }

    /// The octets. Fails with [`ApduError::TooLong`] where no length field can hold a length.
    pub fn encode(&self) -> Result<Vec<u8>, ApduError> {
        let lc = u16::try_from(self.data.len()).map_err(|_| ApduError::TooLong)?;
        if self.expected.is_some_and(|ne| ne == 0 || ne > 65_536) {
            return Err(ApduError::TooLong);
        }
        let [lc_hi, lc_lo] = lc.to_be_bytes();
        let mut bytes = Vec::with_capacity(self.data.len() + 9);
        bytes.extend_from_slice(&self.header);
        if lc_hi == 0 && self.expected.is_none_or(|ne| ne <= 256) {
            if lc > 0 {
                bytes.push(lc_lo);
                bytes.extend_from_slice(self.data);
            }
            // 256 is written as 00: the low octet of the big-endian number.
            bytes.extend(self.expected.and_then(|ne| ne.to_be_bytes().last().copied()));
            return Ok(bytes);
        }
        bytes.push(0);
        if lc > 0 {
            bytes.extend_from_slice(&[lc_hi, lc_lo]);
            bytes.extend_from_slice(self.data);
        }
        if let Some(ne) = self.expected {
            let [_, _, hi, lo] = ne.to_be_bytes();
            bytes.extend_from_slice(&[hi, lo]);
        }
        Ok(bytes)
    }
}

/// A response APDU, borrowed from the bytes it was split from, ISO/IEC 7816-4:2020 §5.3.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResponseApdu<'a> {
    /// Response data.
    pub data: &'a [u8],
    /// SW1 and SW2.
    pub status: StatusWord,
}

impl<'a> ResponseApdu<'a> {
    /// Splits off the status word.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ApduError> {
        let (data, status) = bytes.split_last_chunk::<2>().ok_or(ApduError::NoStatusWord)?;
        Ok(Self { data, status: StatusWord(u16::from_be_bytes(*status)) })
    }
}

impl fmt::Debug for ResponseApdu<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseApdu({} octets, {})", self.data.len(), self.status)
    }
}

/// What a card answers: data and a status word that goes with data.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) data: Vec<u8>,
    pub(crate) status: StatusWord,
}

impl Answer {
    /// 9000 without data.
    pub(crate) const fn done() -> Self {
        Self { data: Vec::new(), status: StatusWord::OK }
    }

    /// 9000 with data.
    pub(crate) const fn with(data: Vec<u8>) -> Self {
        Self { data, status: StatusWord::OK }
    }

    /// 9000 with a copy of this data, and room for the status word.
    pub(crate) fn copied(data: &[u8]) -> Self {
        let mut copy = Vec::with_capacity(data.len() + 2);
        copy.extend_from_slice(data);
        Self::with(copy)
    }

    /// A status word without data.
    pub(crate) const fn status(status: StatusWord) -> Self {
        Self { data: Vec::new(), status }
    }

    /// The response APDU of an answer or of the status word that refuses.
    pub(crate) fn encode(result: Result<Self, StatusWord>) -> Vec<u8> {
        let (mut bytes, status) = match result {
            Ok(answer) => (answer.data, answer.status),
            Err(status) => (Vec::new(), status),
        };
        bytes.extend_from_slice(&status.0.to_be_bytes());
        bytes
    }
}

/// SW1 and SW2, ISO/IEC 7816-4:2020 §5.6.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusWord(pub u16);

impl StatusWord {
    /// Done.
    pub const OK: Self = Self(0x9000);
    /// READ BINARY: the file ended before Ne octets; what there was is in the data.
    pub const END_OF_FILE: Self = Self(0x6282);
    /// EXTERNAL AUTHENTICATE: the proof does not hold.
    pub const AUTHENTICATION_FAILED: Self = Self(0x6300);
    /// Lengths do not fit the command, or the APDU is malformed.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// A logical channel other than the basic one.
    pub const CHANNEL_NOT_SUPPORTED: Self = Self(0x6881);
    /// SET SESSION KEY: the application has no key for it. Seen on cards.
    pub const SECURITY_ENVIRONMENT: Self = Self(0x66F1);
    /// Secure messaging in an application that has none.
    pub const SECURE_MESSAGING_NOT_SUPPORTED: Self = Self(0x6882);
    /// A piece of a chained command that does not belong to the pieces before it.
    pub const LAST_OF_CHAIN_EXPECTED: Self = Self(0x6883);
    /// A command that cannot come in pieces.
    pub const CHAINING_NOT_SUPPORTED: Self = Self(0x6884);
    /// The current file is of a kind that the command cannot work on.
    pub const WRONG_FILE_KIND: Self = Self(0x6981);
    /// The access rule asks for a PIN, a password or an institution that is not there.
    pub const SECURITY_STATUS: Self = Self(0x6982);
    /// Too many wrong tries: blocked.
    pub const BLOCKED: Self = Self(0x6984);
    /// What has to come before has not come.
    pub const CONDITIONS: Self = Self(0x6985);
    /// No file is selected.
    pub const NO_CURRENT_FILE: Self = Self(0x6986);
    /// Secure messaging: a data object is missing.
    pub const SM_OBJECT_MISSING: Self = Self(0x6987);
    /// Secure messaging: a data object is wrong, its checksum for example.
    pub const SM_OBJECT_WRONG: Self = Self(0x6988);
    /// Secure messaging without integrity, and no session key. Seen on cards.
    pub const NO_SESSION_KEY: Self = Self(0x69FC);
    /// Loading a terminal certificate: the issuer's signature does not hold.
    pub const WRONG_CERTIFICATE_SIGNATURE: Self = Self(0x6988);
    /// The data field is not what the command takes.
    pub const WRONG_DATA: Self = Self(0x6A80);
    /// No such application or file.
    pub const NOT_FOUND: Self = Self(0x6A82);
    /// No record with this number.
    pub const RECORD_NOT_FOUND: Self = Self(0x6A83);
    /// Secure Element: the arming's uses, or the counter, are used up.
    pub const USES_EXHAUSTED: Self = Self(0x6A84);
    /// Parameters P1, P2 that the command does not know.
    pub const WRONG_PARAMETERS: Self = Self(0x6A86);
    /// A key reference, or an object, that is not there.
    pub const REFERENCE_NOT_FOUND: Self = Self(0x6A88);
    /// READ BINARY: the offset is past the end.
    pub const WRONG_OFFSET: Self = Self(0x6B00);
    /// Le is too small for an answer that cannot be cut; 6C00 asks for everything.
    pub const WRONG_EXPECTED_LENGTH: Self = Self(0x6C00);
    /// Unknown instruction.
    pub const UNKNOWN_INSTRUCTION: Self = Self(0x6D00);
    /// Unknown class.
    pub const UNKNOWN_CLASS: Self = Self(0x6E00);
    /// Something broke inside the card.
    pub const INTERNAL: Self = Self(0x6F00);

    /// 63Cx: VERIFY and CHANGE REFERENCE DATA, `tries` left (at most 15 are shown).
    pub const fn tries_left(tries: u8) -> Self {
        Self(0x63C0 | (if tries > 15 { 15 } else { tries }) as u16)
    }

    /// 61xx: `left` octets wait for GET RESPONSE; 00 stands for 256 and more.
    pub const fn more_data(left: usize) -> Self {
        Self(0x6100 | (if left > 255 { 0 } else { left }) as u16)
    }

    /// 6Cxx: Le does not fit, `available` octets are there; 00 stands for 256 and more.
    pub const fn wrong_expected_length(available: usize) -> Self {
        Self(0x6C00 | (if available > 255 { 0 } else { available }) as u16)
    }

    /// The x of a 63Cx.
    pub const fn as_tries_left(self) -> Option<u8> {
        if self.0 & 0xFFF0 == 0x63C0 { Some((self.0 & 0xF) as u8) } else { None }
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatusWord({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_seven_cases() {
        let parse = |bytes: &'static [u8]| CommandApdu::parse(bytes).map(|c| (c.data, c.expected, c.form));
        assert_eq!(parse(&[0, 1, 2, 3]), Ok((&[][..], None, LengthForm::Short)));
        assert_eq!(parse(&[0, 1, 2, 3, 0]), Ok((&[][..], Some(256), LengthForm::Short)));
        assert_eq!(parse(&[0, 1, 2, 3, 2, 8, 9]), Ok((&[8, 9][..], None, LengthForm::Short)));
        assert_eq!(parse(&[0, 1, 2, 3, 2, 8, 9, 5]), Ok((&[8, 9][..], Some(5), LengthForm::Short)));
        assert_eq!(parse(&[0, 1, 2, 3, 0, 0, 0]), Ok((&[][..], Some(65_536), LengthForm::Extended)));
        assert_eq!(parse(&[0, 1, 2, 3, 0, 0, 1, 7]), Ok((&[7][..], None, LengthForm::Extended)));
        assert_eq!(parse(&[0, 1, 2, 3, 0, 0, 1, 7, 1, 0]), Ok((&[7][..], Some(256), LengthForm::Extended)));
    }

    #[test]
    fn what_does_not_add_up_is_malformed() {
        for bad in [
            &[][..],
            &[0, 1, 2],
            &[0, 1, 2, 3, 0, 1],
            &[0, 1, 2, 3, 2, 8],
            &[0, 1, 2, 3, 2, 8, 9, 0, 0],
            &[0, 1, 2, 3, 0, 0, 0, 0],
            &[0, 1, 2, 3, 0, 0, 0, 0, 0],
            &[0, 1, 2, 3, 0, 0, 2, 7],
            &[0, 1, 2, 3, 0, 0, 1, 7, 1],
            &[0, 1, 2, 3, 0, 0, 1, 7, 1, 0, 0],
        ] {
            assert_eq!(CommandApdu::parse(bad), Err(ApduError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn encoder_refuses_what_no_length_field_holds() {
        let long = vec![0u8; 65_536];
        assert_eq!(CommandBuilder::new(0, 0, 0, 0).data(&long).encode(), Err(ApduError::TooLong));
        assert_eq!(CommandBuilder::new(0, 0, 0, 0).expect(0).encode(), Err(ApduError::TooLong));
        assert_eq!(CommandBuilder::new(0, 0, 0, 0).expect(65_537).encode(), Err(ApduError::TooLong));
    }

    #[test]
    fn tries_show_in_the_last_digit() {
        assert_eq!(StatusWord::tries_left(3), StatusWord(0x63C3));
        assert_eq!(StatusWord::tries_left(200), StatusWord(0x63CF));
        assert_eq!(StatusWord(0x63C0).as_tries_left(), Some(0));
        assert_eq!(StatusWord::AUTHENTICATION_FAILED.as_tries_left(), None);
    }

    #[test]
    fn responses_need_a_status_word() {
        assert_eq!(ResponseApdu::parse(&[0x90]), Err(ApduError::NoStatusWord));
        let response = ResponseApdu::parse(&[1, 2, 0x90, 0]).unwrap();
        assert_eq!((response.data, response.status), (&[1, 2][..], StatusWord::OK));
    }

    proptest! {
        #[test]
        fn encode_then_parse_is_the_identity(
            header in any::<[u8; 4]>(),
            data in proptest::collection::vec(any::<u8>(), 0..600),
            expected in proptest::option::of(1u32..=65_536),
        ) {
            let [cla, ins, p1, p2] = header;
            let mut builder = CommandBuilder::new(cla, ins, p1, p2).data(&data);
            if let Some(ne) = expected { builder = builder.expect(ne); }
            let bytes = builder.encode().unwrap();
            let parsed = CommandApdu::parse(&bytes).unwrap();
            prop_assert_eq!([parsed.cla, parsed.ins, parsed.p1, parsed.p2], header);
            prop_assert_eq!(parsed.data, &data[..]);
            prop_assert_eq!(parsed.expected, expected);
        }

        #[test]
        fn any_bytes_and_every_prefix_parse_or_fail_cleanly(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for end in 0..=bytes.len() {
                if let Ok(command) = CommandApdu::parse(&bytes[..end]) {
                    // Nothing is counted twice and nothing is left over.
                    prop_assert!(command.data.len() + 4 <= end);
                }
                let _ = ResponseApdu::parse(&bytes[..end]);
            }
        }
    }
}
