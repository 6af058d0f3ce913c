//! Certificate revocation lists: RFC 5280 §5. Issued with a reason per entry ([`issue`]); read as they
//! are ([`list`]); or, for those who ask by the million, read once while it arrives ([`feed`]) into an index that
//! answers by serial number ([`index`]); and all the lists that a relying party has ([`holdings`]).

pub(crate) mod coverage;
pub mod feed;
pub mod holdings;
pub mod index;
pub mod issue;
pub mod list;
mod succession;
mod table;

pub use feed::ListFeed;
pub use holdings::{Change, RevocationHoldings};
pub use index::{CrlProblem, RevocationDelta, RevocationIndex, VerifiedList};
pub use issue::{CrlContents, ListPlace, ListShape, RevokedEntry};
pub use succession::ListView;

use crate::asn1::read::{Malformed, Tlv};
use std::fmt;

/// How far a list may be dated ahead of this machine's clock before it counts as coming from the future.
pub const CLOCK_DIFFERENCE_SECONDS_MAX: u64 = 60;

/// Number of a list: RFC 5280 §5.2.3. Up to 20 octets, rising with every list of an issuer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrlNumber([u8; 20]);

impl From<u64> for CrlNumber {
    fn from(number: u64) -> Self {
        let mut octets = [0; 20];
        if let Some(low) = octets.last_chunk_mut::<8>() {
            *low = number.to_be_bytes();
        }
        Self(octets)
    }
}

impl CrlNumber {
    pub(crate) fn read(integer: &Tlv<'_>) -> Result<Self, Malformed> {
        let content = integer.integer("cRLNumber")?;
        let fault = || integer.malformed("cRLNumber");
        if content.first().is_none_or(|first| *first >= 0x80) {
            return Err(fault());
        }
        let value = content.strip_prefix(&[0]).unwrap_or(content);
        let mut octets = [0; 20];
        let start = octets.len().checked_sub(value.len()).ok_or_else(fault)?;
        octets.get_mut(start..).ok_or_else(fault)?.copy_from_slice(value);
        Ok(Self(octets))
    }

    /// As a number, if it fits 64 bits; issuers other than ours may use up to 160.
    pub fn as_u64(&self) -> Option<u64> {
        let (high, low) = (self.0.get(..12)?, self.0.last_chunk::<8>()?);
        high.iter().all(|octet| *octet == 0).then(|| u64::from_be_bytes(*low))
    }
}

impl fmt::Display for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.as_u64() {
            return write!(f, "{number}");
        }
        f.write_str("0x")?;
        self.0.iter().skip_while(|octet| **octet == 0).try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

impl fmt::Debug for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrlNumber({self})")
    }
}
