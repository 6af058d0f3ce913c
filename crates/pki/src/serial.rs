//! Certificate serial numbers: RFC 5280 §4.1.2.2.

use crate::asn1::read::{Malformed, Tlv};
use crate::asn1::write;
use protocol::entropy::Entropy;
use std::fmt;

/// Octets an INTEGER of 20 value octets can need: one more for the sign.
const OCTETS_MAX: usize = 21;

/// A certificate serial number, as the INTEGER it is: at most 20 value octets. Non-positive ones exist
/// in the world and can be read (RFC 5280 §4.1.2.2 asks for it); this crate issues only positive ones.
///
/// A serial leads to a person, so `Debug` does not print it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber {
    /// Sign-extended to the left, so that two serials are equal exactly if these octets are.
    padded: [u8; OCTETS_MAX],
    length: u8,
}

/// A serial that has more than 20 octets or is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a serial number must be positive and have at most 20 octets")]
pub struct SerialOutOfRange;

impl SerialNumber {
    /// From the INTEGER of a certificate or list entry.
    pub(crate) fn read(tlv: &Tlv<'_>, what: &'static str) -> Result<Self, Malformed> {
        Self::from_content(tlv.integer(what)?).ok_or_else(|| tlv.malformed(what))
    }

    fn from_content(content: &[u8]) -> Option<Self> {
        let first = *content.first()?;
        if content.len() > OCTETS_MAX || (content.len() == OCTETS_MAX && first != 0) {
            return None;
        }
        let mut padded = [if first >= 0x80 { 0xFF } else { 0 }; OCTETS_MAX];
        padded.get_mut(OCTETS_MAX - content.len()..)?.copy_from_slice(content);
        Some(Self { padded, length: u8::try_from(content.len()).ok()? })
    }

    /// A positive serial from 1 to 20 big-endian octets; leading zeros are dropped.
    pub fn from_octets(octets: &[u8]) -> Result<Self, SerialOutOfRange> {
        if octets.iter().all(|octet| *octet == 0) {
            return Err(SerialOutOfRange);
        }
        Self::from_content(&write::minimal_unsigned(octets)).ok_or(SerialOutOfRange)
    }

    /// A random positive serial of exactly `octets` octets (1 to 20; others are brought into that range).
    /// Eight octets, 62 random bits, is the size of the cards' certificates.
    pub fn random(octets: usize, entropy: &mut dyn Entropy) -> Self {
        let length = octets.clamp(1, 20);
        let mut drawn = [0u8; 20];
        entropy.fill(&mut drawn);
        let mut padded = [0u8; OCTETS_MAX];
        for (to, from) in padded.iter_mut().rev().zip(drawn).take(length) {
            *to = from;
        }
        // Positive and of constant length: the top bit clear, the next one set.
        if let Some(top) = padded.get_mut(OCTETS_MAX - length) {
            *top = (*top & 0x7F) | 0x40;
        }
        Self { padded, length: u8::try_from(length).unwrap_or(20) }
    }

    /// Content octets of the INTEGER: big-endian two's complement, minimal. Equal serials have equal octets.
    pub fn as_bytes(&self) -> &[u8] {
        self.padded.get(OCTETS_MAX - usize::from(self.length)..).unwrap_or_default()
    }

    /// The sign-extended form that sorts and compares.
    pub(crate) const fn sort_key(&self) -> &[u8; OCTETS_MAX] {
        &self.padded
    }

    /// Whether it is above zero, as RFC 5280 §4.1.2.2 demands of issuers.
    pub fn is_positive(&self) -> bool {
        self.padded.first() == Some(&0) && self.padded.iter().any(|octet| *octet != 0)
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SerialNumber(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::entropy::Seeded;

    #[test]
    fn minus_one_is_not_two_hundred_and_fifty_five() {
        let minus_one = SerialNumber::from_content(&[0xFF]).unwrap();
        let positive = SerialNumber::from_octets(&[0xFF]).unwrap();
        assert_ne!(minus_one, positive);
        assert!(!minus_one.is_positive());
        assert!(positive.is_positive());
        assert_eq!(positive.as_bytes(), [0, 0xFF]);
        assert_eq!(minus_one.as_bytes(), [0xFF]);
    }

    #[test]
    fn twenty_value_octets_fit_and_no_more() {
        assert!(SerialNumber::from_octets(&[0xFF; 20]).is_ok());
        assert!(SerialNumber::from_octets(&[0x01; 21]).is_err());
        assert!(SerialNumber::from_octets(&[0; 8]).is_err());
        assert!(SerialNumber::from_content(&[]).is_none());
    }

    #[test]
    fn random_serials_are_positive_and_of_the_size_asked_for() {
        let mut entropy = Seeded::new(7);
        for octets in 1..=20 {
            let serial = SerialNumber::random(octets, &mut entropy);
            assert_eq!(serial.as_bytes().len(), octets);
            assert!(serial.is_positive());
            assert_eq!(SerialNumber::from_octets(serial.as_bytes()).unwrap(), serial);
            assert_eq!(format!("{serial:?}"), "SerialNumber(****)");
        }
        assert_ne!(SerialNumber::random(8, &mut entropy), SerialNumber::random(8, &mut entropy));
    }
}
