//! Why a certificate was revoked, and what is known about one now.

use protocol::time::UnixSeconds;

/// Reason of a revocation, with the names of RFC 5280 §5.3.1. Report, "Reason of Revocation".
#[doc(alias = "失効理由")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RevocationReason {
    /// `unspecified` (0), an absent reason, or a code that the RFC does not assign: revoked all the same.
    Unspecified,
    /// `keyCompromise` (1).
    KeyCompromise,
    /// `cACompromise` (2).
    CaCompromise,
    /// `affiliationChanged` (3): a name, address, birth date or sex in the certificate no longer holds;
    /// on an authentication certificate, the person left the register.
    AffiliationChanged,
    /// `superseded` (4): the certificate was renewed.
    Superseded,
    /// `cessationOfOperation` (5): the card was returned.
    CessationOfOperation,
    /// `certificateHold` (6): the card is reported lost; it may come back.
    CertificateHold,
    /// `removeFromCRL` (8): a hold ended; in delta lists only.
    RemoveFromCrl,
    /// `privilegeWithdrawn` (9).
    PrivilegeWithdrawn,
    /// `aACompromise` (10).
    AaCompromise,
}

impl RevocationReason {
    /// Every reason, in order of code.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// CRLReason code: RFC 5280 §5.3.1.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::RemoveFromCrl => 8,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }

    /// The reason of a code; unassigned codes are [`Self::Unspecified`], so that they stay revocations.
    pub fn from_code(code: u32) -> Self {
        Self::ALL.into_iter().find(|reason| u32::from(reason.code()) == code).unwrap_or(Self::Unspecified)
    }

    /// The identifier of RFC 5280 §5.3.1.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }

    /// The reason with this identifier.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

impl std::fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why nothing can be said about a certificate's status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnknownCause {
    /// No list has been loaded for the issuer, and no response is about the certificate.
    #[error("no revocation list and no response speaks of it")]
    NoList,
    /// The list is of another issuer.
    #[error("the revocation list is of another issuer")]
    OtherIssuer,
    /// The list or response claims to come from further in the future than clocks may differ.
    #[error("the revocation list or response is dated {ahead_seconds} seconds in the future")]
    FromTheFuture {
        /// Seconds from now to thisUpdate.
        ahead_seconds: u64,
    },
    /// A list or response cannot be read.
    #[error("a revocation list or response is malformed: {what} at octet {offset}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// Octets from its start.
        offset: usize,
    },
    /// A critical extension that is not known: RFC 5280 §5.2, §5.3, RFC 6960 §4.4.
    #[error("a revocation list or response has an unknown critical extension at octet {offset}")]
    UnknownCriticalExtension {
        /// Octets from its start.
        offset: usize,
    },
    /// The lists of the issuer speak of other certificates: RFC 5280 §6.3.3 (b).
    #[error("the issuer's revocation lists are of another scope")]
    OtherScope,
    /// The lists that speak of it cover some reasons of revocation only: RFC 5280 §6.3.3 (e).
    #[error("the revocation lists do not cover every reason")]
    ReasonsNotCovered,
    /// There is a delta list, and no complete list that it builds on: RFC 5280 §5.2.4.
    #[error("a delta list without the complete list that it builds on")]
    DeltaWithoutBase,
    /// The signature is not by any key that may sign for the issuer.
    #[error("the signature on the revocation list or response is not by one who may sign it")]
    BadSignature,
    /// The certificate of the list's issuer or of the responder is not valid: RFC 5280 §6.3.3 (f).
    #[error("the certificate of the list's issuer or of the responder is not valid")]
    SignerNotValid,
    /// The signer's own status would rest on what it signs.
    #[error("the signer of the revocation list or response would vouch for itself")]
    Circular,
    /// The response is about another certificate with the same serial number.
    #[error("the response is about a certificate of another issuer")]
    OtherCertificate,
    /// The responder does not know the certificate: RFC 6960 §2.2.
    #[error("the responder does not know the certificate")]
    ResponderDoesNotKnow,
    /// The responder is not the issuer and not its delegate: RFC 6960 §4.2.2.2.
    #[error("the responder may not answer for this issuer")]
    ResponderNotAuthorized,
    /// The response does not repeat the nonce of the request: RFC 8954 §2.1.
    #[error("the response does not carry the nonce that was sent")]
    NonceMismatch,
    /// More work than a validation may cause.
    #[error("finding the revocation status takes more work than is allowed")]
    WorkLimit,
}

/// What a revocation list says about a certificate at an instant. Never a boolean: an unknown status is
/// not a good one, and a hold is not the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Not revoked, says a list that is fresh enough.
    Good {
        /// thisUpdate of the list.
        this_update: UnixSeconds,
        /// Seconds from thisUpdate to now.
        age_seconds: u64,
    },
    /// Revoked for good.
    Revoked {
        /// Why.
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
    /// Suspended: `certificateHold`. May become good again; what is linked to the certificate stays.
    Hold {
        /// Since when.
        since: UnixSeconds,
    },
    /// Nothing is known.
    Unknown(UnknownCause),
    /// The list is older than the limit, or past its nextUpdate.
    Stale {
        /// thisUpdate of the list.
        this_update: UnixSeconds,
        /// Seconds from thisUpdate to now.
        age_seconds: u64,
        /// The limit that was passed: the caller's, or the list's own validity if that is shorter.
        limit_seconds: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_lead_back() {
        for reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::from_code(reason.code().into()), reason);
            assert_eq!(RevocationReason::from_name(reason.as_str()), Some(reason));
        }
        assert_eq!(RevocationReason::from_code(7), RevocationReason::Unspecified);
        assert_eq!(RevocationReason::from_code(4_000), RevocationReason::Unspecified);
        assert_eq!(RevocationReason::from_name("CertificateHold"), None);
    }
}
