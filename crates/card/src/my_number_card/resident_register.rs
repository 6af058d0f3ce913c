//! The resident register application (住基AP): the code under which the resident register knows the
//! holder.
//!
//! Report, card table: "Store Resident Record code (to ensure compatibility with old card). Need to enter
//! PIN3 (may be same as PIN1) for read-out".
//!
//! | EF | holds | opens with | |
//! |---|---|---|---|
//! | 0002 | record 1: a key reference of 16 octets | free | as on cards |
//! | 0101 | record 1: `01 0B`, eleven digits | 001C (PIN) | ours |
//! | 001C | PIN, four digits | | as on cards |
//!
//! Where a real card keeps the code, and what a terminal has to prove before it gets it, is not public:
//! SET SESSION KEY answers 6982 there whatever PIN was given. So that the report's row can be tried, the
//! code stands in a file of our own with an identifier that no short identifier can reach.

use super::common_data::record;
use super::printed::PrintedError;
use std::fmt;
use zeroize::Zeroizing;

/// Name of the application.
#[doc(alias = "住基AP")]
pub const RESIDENT_REGISTER_AID: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x01];
/// EF of a key reference.
pub const KEY_REFERENCE: u16 = 0x0002;
/// EF of the code. Ours.
pub const RESIDENT_RECORD_CODE: u16 = 0x0101;
/// Reference of the PIN.
pub const PIN: u16 = 0x001C;

/// The code of a resident record: eleven digits, wiped when dropped, shown to nobody.
///
/// The last digit of a real code is a check digit; this type asks for digits only.
#[doc(alias = "住民票コード")]
#[derive(Clone)]
pub struct ResidentRecordCode(Zeroizing<[u8; 11]>);

impl ResidentRecordCode {
    /// From eleven ASCII digits.
    pub fn from_octets(octets: &[u8]) -> Result<Self, PrintedError> {
        let mut kept = Zeroizing::new([0u8; 11]);
        if octets.len() != kept.len() || !octets.iter().all(u8::is_ascii_digit) {
            return Err(PrintedError::Digits(11));
        }
        kept.copy_from_slice(octets);
        Ok(Self(kept))
    }

    /// The digits, ASCII.
    pub fn octets(&self) -> &[u8; 11] {
        &self.0
    }

    /// Record 1 of EF 0101.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(record(self.octets()))
    }

    /// Parses the record.
    pub fn parse(record: &[u8]) -> Result<Self, PrintedError> {
        Self::from_octets(record.strip_prefix(&[0x01, 0x0B]).ok_or(PrintedError::Digits(11))?)
    }
}

impl fmt::Debug for ResidentRecordCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResidentRecordCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eleven_digits_round_trip() {
        let code = ResidentRecordCode::from_octets(b"99000000012").unwrap();
        assert_eq!(*code.encode(), b"\x01\x0B99000000012".to_vec());
        assert_eq!(ResidentRecordCode::parse(&code.encode()).unwrap().octets(), code.octets());
        for bad in [&b""[..], b"\x01\x0B9900000001", b"\x01\x0C99000000012", b"\x01\x0B990000000123"] {
            assert_eq!(ResidentRecordCode::parse(bad).err(), Some(PrintedError::Digits(11)));
        }
        assert_eq!(format!("{code:?}"), "ResidentRecordCode(…)");
    }
}
