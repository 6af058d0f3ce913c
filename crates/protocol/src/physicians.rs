//! Whose HPKI card may arm a Secure Element when the network is down (report fig. 4).

use crate::ids::SecureElementId;
use std::fmt;

/// Stands in front of a list under the platform's signature.
pub const PHYSICIANS_DOMAIN: &[u8] = b"KAZASU-SE-PHYSICIANS-v1";
/// Stands in front of a Secure Element's id and challenge under a physician's signature.
pub const HPKI_UNLOCK_DOMAIN: &[u8] = b"SE-HPKI-v1";
/// The longest list: a Secure Element is a small thing.
pub const PHYSICIANS_MAX: usize = 16;
/// Octets of an RSA-2048 modulus.
pub const HPKI_MODULUS_LEN: usize = 256;

/// The authentication key of a physician's HPKI card: RSA-2048 with exponent 65,537, by its modulus.
#[derive(Clone, PartialEq, Eq)]
pub struct HpkiPublicKey(Box<[u8; HPKI_MODULUS_LEN]>);

impl fmt::Debug for HpkiPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HpkiPublicKey(…)")
    }
}

/// SubjectPublicKeyInfo of an RSA-2048 key up to the modulus, and behind it: RFC 3279 §2.3.1.
const SPKI_BEFORE: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01,
    0x05, 0x00, 0x03, 0x82, 0x01, 0x0F, 0x00, 0x30, 0x82, 0x01, 0x0A, 0x02, 0x82, 0x01, 0x01, 0x00,
];
const SPKI_BEHIND: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

impl HpkiPublicKey {
    /// From a big-endian modulus of exactly 2,048 bits; `None` for anything else.
    pub fn from_modulus(modulus: &[u8]) -> Option<Self> {
        let modulus: Box<[u8; HPKI_MODULUS_LEN]> = Box::new(modulus.try_into().ok()?);
        matches!(*modulus, [first, .., last] if first & 0x80 != 0 && last & 1 == 1).then_some(Self(modulus))
    }

    /// From a SubjectPublicKeyInfo in DER, as it stands in the card's certificate.
    pub fn from_spki_der(spki: &[u8]) -> Option<Self> {
        Self::from_modulus(spki.strip_prefix(&SPKI_BEFORE)?.strip_suffix(&SPKI_BEHIND)?)
    }

    /// The modulus, big-endian.
    pub const fn modulus(&self) -> &[u8; HPKI_MODULUS_LEN] {
        &self.0
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn spki_der(&self) -> Vec<u8> {
        [&SPKI_BEFORE[..], &self.0[..], &SPKI_BEHIND].concat()
    }
}

/// The physicians of one Secure Element, all of them: a newer list takes the place of an older one, so
/// that leaving somebody out is how a lost HPKI card stops working here.
///
/// | offset | octets | field |
/// |---|---|---|
/// | 0 | 8 | Secure Element id |
/// | 8 | 8 | number of the list, big-endian; above the last one that was taken |
/// | 16 | 256 each | moduli, at most [`PHYSICIANS_MAX`], in rising order |
#[doc(alias = "医師一覧")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PhysicianList {
    secure_element: SecureElementId,
    number: u64,
    keys: Vec<HpkiPublicKey>,
}

impl PhysicianList {
    /// A list; `None` if it is longer than [`PHYSICIANS_MAX`]. Order and repetitions do not matter.
    pub fn new(secure_element: SecureElementId, number: u64, mut keys: Vec<HpkiPublicKey>) -> Option<Self> {
        keys.sort_by(|one, other| one.0.cmp(&other.0));
        keys.dedup();
        (keys.len() <= PHYSICIANS_MAX).then_some(Self { secure_element, number, keys })
    }

    /// For whom it is.
    pub const fn secure_element(&self) -> SecureElementId {
        self.secure_element
    }

    /// Its number.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The keys.
    pub fn keys(&self) -> &[HpkiPublicKey] {
        &self.keys
    }

    /// The list's octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + HPKI_MODULUS_LEN * self.keys.len());
        bytes.extend_from_slice(&self.secure_element.0);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        for key in &self.keys {
            bytes.extend_from_slice(key.modulus());
        }
        bytes
    }

    /// Parses what [`Self::encode`] made, and nothing else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (secure_element, rest) = bytes.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (moduli, left) = rest.as_chunks::<HPKI_MODULUS_LEN>();
        let keys: Option<Vec<_>> =
            moduli.iter().map(|modulus| HpkiPublicKey::from_modulus(modulus)).collect();
        let list = Self::new(SecureElementId(*secure_element), u64::from_be_bytes(*number), keys?)?;
        (left.is_empty() && list.encode() == bytes).then_some(list)
    }

    /// The bytes under the platform's signature: domain tag and list.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = PHYSICIANS_DOMAIN.to_vec();
        bytes.extend_from_slice(&self.encode());
        bytes
    }
}

/// The bytes under a physician's signature that arm a Secure Element offline: domain tag, its id, its
/// challenge.
pub fn hpki_unlock_bytes(secure_element: SecureElementId, challenge: &[u8; 16]) -> Vec<u8> {
    [HPKI_UNLOCK_DOMAIN, &secure_element.0, challenge].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(filler: u8) -> HpkiPublicKey {
        let mut modulus = [filler; HPKI_MODULUS_LEN];
        modulus[0] = 0x80;
        modulus[255] = 1;
        HpkiPublicKey::from_modulus(&modulus).unwrap()
    }

    #[test]
    fn round_trip_and_prefixes() {
        let list = PhysicianList::new(SecureElementId([1; 8]), 7, vec![key(3), key(2), key(3)]).unwrap();
        assert_eq!(list.keys(), [key(2), key(3)]);
        let bytes = list.encode();
        assert_eq!(PhysicianList::parse(&bytes), Some(list.clone()));
        assert!(list.signed_bytes().ends_with(&bytes));
        for end in 0..bytes.len() {
            // A list that ends between two keys is a shorter list: the signature is what holds it together.
            let whole = end >= 16 && (end - 16) % HPKI_MODULUS_LEN == 0;
            assert_eq!(PhysicianList::parse(&bytes[..end]).is_some(), whole, "{end}");
        }
        let turned = [&bytes[..16], &bytes[16 + 256..], &bytes[16..16 + 256]].concat();
        assert_eq!(PhysicianList::parse(&turned), None, "one list has one form");
    }

    #[test]
    fn keys_are_rsa_2048() {
        assert_eq!(HpkiPublicKey::from_spki_der(&key(9).spki_der()), Some(key(9)));
        assert_eq!(HpkiPublicKey::from_spki_der(&key(9).spki_der()[1..]), None);
        assert_eq!(HpkiPublicKey::from_modulus(&[0x80; 255]), None);
        assert_eq!(HpkiPublicKey::from_modulus(&[0x80; 256]), None, "even");
        assert_eq!(HpkiPublicKey::from_modulus(&[0x7F; 256]), None, "2,047 bits");
    }

    #[test]
    fn seventeen_are_too_many() {
        let keys: Vec<_> = (0..17).map(key).collect();
        assert!(PhysicianList::new(SecureElementId([1; 8]), 1, keys[..16].to_vec()).is_some());
        assert_eq!(PhysicianList::new(SecureElementId([1; 8]), 1, keys), None);
    }
}
