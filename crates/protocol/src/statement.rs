//! The touch statement: the bytes under the card's one signature.
//!
//! It names who asks, for what, through which terminal, with which freshness, what the patient was
//! shown, and when. Everything that must not be swapped later stands inside it.

use crate::ids::{InstitutionCode, TerminalKeyHash};
use crate::time::UnixSeconds;
use std::fmt;

/// Octets of an encoded statement.
pub const STATEMENT_LEN: usize = 139;
/// Octets of a platform nonce: 16 random, 8 expiry, 16 authentication tag.
pub const NONCE_LEN: usize = 40;
const MAGIC: [u8; 4] = *b"KZTS";
const VERSION: u8 = 1;

/// A platform nonce as the terminal carries it: opaque here, made and checked by the platform alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FreshnessNonce(pub [u8; NONCE_LEN]);

impl fmt::Debug for FreshnessNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreshnessNonce(…)")
    }
}

impl TryFrom<Vec<u8>> for FreshnessNonce {
    type Error = StatementError;
    fn try_from(bytes: Vec<u8>) -> Result<Self, StatementError> {
        bytes.try_into().map(Self).map_err(|_| StatementError::Length)
    }
}

impl AsRef<[u8]> for FreshnessNonce {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What the patient agreed to, as a set of bits. Bits without a name here are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purposes(u16);

impl Purposes {
    /// Eligibility of health insurance.
    pub const ELIGIBILITY: Self = Self(1);

    /// Parses the bit set; empty sets and unknown bits are refused.
    pub const fn parse(bits: u16) -> Result<Self, StatementError> {
        if bits == Self::ELIGIBILITY.0 { Ok(Self(bits)) } else { Err(StatementError::Purposes) }
    }

    /// The bits.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether every purpose of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// How the institution key was made usable, as the Secure Element says it inside the signed bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TouchMode {
    /// Armed by the platform at power-on (report fig. 2).
    Online,
    /// Armed by a physician's HPKI card while the network is down (report fig. 4).
    Offline,
}

impl TouchMode {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Online => 0,
            Self::Offline => 1,
        }
    }

    const fn from_byte(byte: u8) -> Result<Self, StatementError> {
        match byte {
            0 => Ok(Self::Online),
            1 => Ok(Self::Offline),
            _ => Err(StatementError::Mode),
        }
    }
}

/// Why bytes are not a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StatementError {
    /// Not [`STATEMENT_LEN`] octets, or a nonce that is not [`NONCE_LEN`] octets.
    #[error("wrong length")]
    Length,
    /// Not a touch statement.
    #[error("not a touch statement")]
    Magic,
    /// A version this code does not speak.
    #[error("unknown statement version")]
    Version,
    /// No purpose, or one that is not known.
    #[error("no purpose, or an unknown one")]
    Purposes,
    /// The institution code is not ten digits.
    #[error("institution code is not ten digits")]
    Institution,
    /// An unknown mode.
    #[error("unknown touch mode")]
    Mode,
}

/// What a card signs in a touch (report fig. 2; the layout is Kazasu's own).
///
/// | offset | octets | field |
/// |---|---|---|
/// | 0 | 4 | `KZTS` |
/// | 4 | 1 | version, 1 |
/// | 5 | 1 | mode: 0 online, 1 offline |
/// | 6 | 2 | purposes, big-endian bits |
/// | 8 | 10 | institution code, ASCII digits |
/// | 18 | 32 | SHA-256 of the terminal's TLS SubjectPublicKeyInfo |
/// | 50 | 40 | platform nonce |
/// | 90 | 8 | Secure Element counter, big-endian |
/// | 98 | 32 | SHA-256 of the consent text as shown |
/// | 130 | 8 | time of the touch, Unix seconds, big-endian |
/// | 138 | 1 | reserved, 0 |
#[doc(alias = "かざし文")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TouchStatement {
    /// How the institution key was armed.
    pub mode: TouchMode,
    /// What the patient agreed to.
    pub purposes: Purposes,
    /// Who asks.
    pub institution: InstitutionCode,
    /// Which terminal, by its TLS key.
    pub terminal_key_hash: TerminalKeyHash,
    /// The platform's freshness.
    pub nonce: FreshnessNonce,
    /// The Secure Element's monotonic counter.
    pub counter: u64,
    /// SHA-256 of the consent text the patient saw.
    pub consent_text_hash: [u8; 32],
    /// When, by the terminal's clock; bounded by the Secure Element's arming.
    pub time: UnixSeconds,
}

/// Reads fixed-size fields one after the other; the total length was checked before.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StatementError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(StatementError::Length)?;
        self.0 = tail;
        Ok(*head)
    }
}

impl TouchStatement {
    /// The bytes whose SHA-256 the card signs.
    pub fn encode(&self) -> [u8; STATEMENT_LEN] {
        let mut bytes = Vec::with_capacity(STATEMENT_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, self.mode.to_byte()]);
        bytes.extend_from_slice(&self.purposes.bits().to_be_bytes());
        bytes.extend_from_slice(self.institution.as_bytes());
        bytes.extend_from_slice(&self.terminal_key_hash.0);
        bytes.extend_from_slice(&self.nonce.0);
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(&self.consent_text_hash);
        bytes.extend_from_slice(&self.time.0.to_be_bytes());
        bytes.push(0);
        let mut out = [0u8; STATEMENT_LEN];
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = from;
        }
        out
    }

    /// Parses exactly [`STATEMENT_LEN`] octets; every field must be in its range.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() != STATEMENT_LEN {
            return Err(StatementError::Length);
        }
        let mut fields = Fields(bytes);
        if fields.take::<4>()? != MAGIC {
            return Err(StatementError::Magic);
        }
        let [version, mode] = fields.take::<2>()?;
        if version != VERSION {
            return Err(StatementError::Version);
        }
        let mode = TouchMode::from_byte(mode)?;
        let purposes = Purposes::parse(u16::from_be_bytes(fields.take()?))?;
        let institution = fields.take::<10>()?;
        let institution = std::str::from_utf8(&institution)
            .ok()
            .and_then(|text| InstitutionCode::parse(text).ok())
            .ok_or(StatementError::Institution)?;
        let statement = Self {
            mode,
            purposes,
            institution,
            terminal_key_hash: TerminalKeyHash(fields.take()?),
            nonce: FreshnessNonce(fields.take()?),
            counter: u64::from_be_bytes(fields.take()?),
            consent_text_hash: fields.take()?,
            time: UnixSeconds(u64::from_be_bytes(fields.take()?)),
        };
        // The reserved octet is zero until a version gives it a meaning.
        if fields.take::<1>()? == [0] { Ok(statement) } else { Err(StatementError::Version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> TouchStatement {
        TouchStatement {
            mode: TouchMode::Online,
            purposes: Purposes::ELIGIBILITY,
            institution: InstitutionCode::parse("1312345678").unwrap(),
            terminal_key_hash: TerminalKeyHash([7; 32]),
            nonce: FreshnessNonce([9; NONCE_LEN]),
            counter: 42,
            consent_text_hash: [5; 32],
            time: UnixSeconds(1_800_000_000),
        }
    }

    #[test]
    fn round_trip() {
        assert_eq!(TouchStatement::parse(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn modes_are_two() {
        for mode in [TouchMode::Online, TouchMode::Offline] {
            let statement = TouchStatement { mode, ..sample() };
            assert_eq!(TouchStatement::parse(&statement.encode()), Ok(statement));
        }
        let mut bytes = sample().encode();
        bytes[5] = 2;
        assert_eq!(TouchStatement::parse(&bytes), Err(StatementError::Mode));
    }

    #[test]
    fn every_prefix_and_every_extension_is_refused() {
        let bytes = sample().encode();
        for end in 0..bytes.len() {
            assert_eq!(TouchStatement::parse(&bytes[..end]), Err(StatementError::Length));
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(TouchStatement::parse(&longer), Err(StatementError::Length));
    }

    proptest! {
        #[test]
        fn what_parses_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), STATEMENT_LEN), keep in 0usize..20) {
            let mut mixed = sample().encode();
            for (place, byte) in bytes.iter().enumerate().skip(keep) { mixed[place] = *byte; }
            if let Ok(statement) = TouchStatement::parse(&mixed) {
                prop_assert_eq!(statement.encode(), mixed);
            }
        }
    }
}
