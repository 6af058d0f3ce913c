//! What can be wrong with a certificate that a card or a terminal shows.

use crate::asn1::read::Malformed;
use crate::revocation::{RevocationReason, UnknownCause};
use protocol::time::UnixSeconds;

/// What is wrong with a certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateProblem {
    /// It cannot be read.
    #[error("malformed {what} at octet {offset}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// Octets from its start.
        offset: usize,
    },
    /// No anchor has its issuer's name and key identifier.
    #[error("issued by an authority that is not trusted")]
    ForeignIssuer,
    /// The signature on it, or by it, does not verify.
    #[error("a signature that does not verify")]
    BadSignature,
    /// Its validity, or its issuer's, has not begun: RFC 5280 §4.1.2.5.
    #[error("not yet valid")]
    NotYetValid,
    /// Its validity, or its issuer's, is over: RFC 5280 §4.1.2.5.
    #[error("expired")]
    Expired,
    /// It is not for this use.
    #[error("not for this use: {what}")]
    WrongProfile {
        /// What the profile wants and the certificate has not, or the other way round.
        what: &'static str,
    },
    /// Revoked, or on hold (`certificateHold`).
    #[error("revoked: {reason}")]
    Revoked {
        /// Why: RFC 5280 §5.3.1.
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
    /// Nothing is known about its revocation.
    #[error("revocation status unknown: {cause}")]
    StatusUnknown {
        /// Why nothing is known.
        cause: UnknownCause,
    },
    /// What is known about its revocation is too old.
    #[error("revocation status is {age_seconds} seconds old, at most {limit_seconds} allowed")]
    StatusTooOld {
        /// thisUpdate of the list.
        this_update: UnixSeconds,
        /// Seconds since then.
        age_seconds: u64,
        /// Seconds allowed.
        limit_seconds: u64,
    },
}

impl From<Malformed> for CertificateProblem {
    fn from(fault: Malformed) -> Self {
        Self::Malformed { what: fault.what, offset: fault.offset }
    }
}
