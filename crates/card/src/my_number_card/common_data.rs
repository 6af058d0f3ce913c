//! The common application (共通カードAP): what the card says about itself, without any secret.
//!
//! | EF | holds | opens with |
//! |---|---|---|
//! | 0001 | record 1: `01 1C`, serial number (15 digits), municipality (5), last day (8) | free |
//! | 0002 | record 1: `01 10`, a key reference of 16 octets | free |
//! | 0019 | key that answers INTERNAL AUTHENTICATE | no secret |
//! | 001C | PIN, four digits | |
//!
//! | GET DATA, no application selected | holds |
//! |---|---|
//! | 42 | a key reference of 16 octets |
//! | 45 | number of the card |
//! | F0, F2 | municipality (5 digits), last day (8 digits) |
//! | F8 | a card-verifiable certificate: here of the key that signs the text input's contents |
//! | 5F51 (always) | the contact interface's answer to reset without its first octet |
//!
//! Records are simple TLV (one octet of tag, one of length), not BER: JICSAP IC card specification 1.1
//! §4.4.1. Nothing on the card is known to open with the PIN.

use super::printed::{CardDate, PrintedError};
use crate::cvc::KeyReference;
use std::fmt;

/// Name of the application.
#[doc(alias = "共通カードAP")]
pub const COMMON_AID: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x01, 0x00];
/// EF of the card's own data.
pub const CARD_DATA: u16 = 0x0001;
/// EF of a key reference.
pub const KEY_REFERENCE: u16 = 0x0002;
/// The key that answers INTERNAL AUTHENTICATE.
pub const INTERNAL_AUTHENTICATE_KEY: u16 = 0x0019;
/// Reference of the PIN.
pub const PIN: u16 = 0x001C;

const TAG: u8 = 0x01;
const CARD_DATA_LEN: u8 = 28;

/// One record of simple TLV with tag 01. Values here are shorter than 255 octets.
pub(super) fn record(value: &[u8]) -> Vec<u8> {
    let mut record = vec![TAG];
    record.extend(u8::try_from(value.len()));
    record.extend_from_slice(value);
    record
}

/// Record 1 of EF 0001.
#[derive(Clone, PartialEq, Eq)]
pub struct CardData {
    /// Serial number of the card: 15 digits.
    pub serial: [u8; 15],
    /// The municipality that issued it: 5 digits.
    pub municipality: [u8; 5],
    /// Last day of the card.
    pub expiry: CardDate,
}

impl CardData {
    /// Checks that both numbers are digits.
    pub fn new(serial: [u8; 15], municipality: [u8; 5], expiry: CardDate) -> Result<Self, PrintedError> {
        if !serial.iter().all(u8::is_ascii_digit) {
            return Err(PrintedError::Digits(15));
        }
        if !municipality.iter().all(u8::is_ascii_digit) {
            return Err(PrintedError::Digits(5));
        }
        Ok(Self { serial, municipality, expiry })
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut value = self.serial.to_vec();
        value.extend_from_slice(&self.municipality);
        value.extend_from_slice(self.expiry.digits().as_bytes());
        record(&value)
    }

    /// Parses the record.
    pub fn parse(record: &[u8]) -> Result<Self, PrintedError> {
        let wrong = PrintedError::Digits(usize::from(CARD_DATA_LEN));
        let (&[TAG, CARD_DATA_LEN], value) = record.split_first_chunk::<2>().ok_or(wrong)? else {
            return Err(wrong);
        };
        let (serial, rest) = value.split_first_chunk::<15>().ok_or(wrong)?;
        let (municipality, expiry) = rest.split_first_chunk::<5>().ok_or(wrong)?;
        Self::new(*serial, *municipality, CardDate::parse(expiry)?)
    }
}

impl fmt::Debug for CardData {
    /// The serial number names one card and so one person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardData(…)")
    }
}

/// Record 1 of EF 0002, here and in the resident register application. What the key is for is not known.
pub fn key_reference_record(key: &KeyReference) -> Vec<u8> {
    record(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape that public readers document.
    #[test]
    fn card_data_has_28_digits() {
        let expiry = CardDate::new(2035, 2, 17).unwrap();
        let data = CardData::new(*b"990000000000017", *b"99001", expiry).unwrap();
        assert_eq!(data.encode(), b"\x01\x1C9900000000000179900120350217");
        assert_eq!(CardData::parse(&data.encode()), Ok(data.clone()));
        for end in 0..data.encode().len() {
            assert!(CardData::parse(&data.encode()[..end]).is_err());
        }
        for bent in [0usize, 1, 2, 16, 17, 29] {
            let mut record = data.encode();
            record[bent] = b'x';
            assert!(CardData::parse(&record).is_err(), "{bent}");
        }
        assert_eq!(CardData::parse(&[&data.encode()[..], b"0"].concat()), Err(PrintedError::Date));
        assert_eq!(format!("{data:?}"), "CardData(…)");
        let key = KeyReference::numbered(7_000_024, 1).unwrap();
        assert_eq!(key_reference_record(&key)[..4], [1, 16, b'7', b'0']);
    }
}
