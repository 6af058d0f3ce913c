//! Why a path is not valid: which certificate, which rule, what was found.

use super::name_constraints::NameConstraintFault;
use super::policy::PolicyFault;
use crate::asn1::read::Malformed;
use crate::asn1::time::CertificateTime;
use crate::public_key::PublicKeyError;
use crate::revocation::{RevocationReason, UnknownCause};
use crate::signature_scheme::SchemeError;
use protocol::time::UnixSeconds;
use std::fmt;

/// Where in a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// The certificate that was asked about.
    Leaf,
    /// An issuer above it: 1 issued the leaf, 2 issued 1, and so on.
    Issuer(usize),
    /// The trust anchor.
    Anchor,
}

impl Place {
    /// The place of the certificate at `index`, counted from the leaf.
    pub(crate) const fn of(index: usize) -> Self {
        match index {
            0 => Self::Leaf,
            index => Self::Issuer(index),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf => f.write_str("leaf"),
            Self::Issuer(distance) => write!(f, "issuer {distance}"),
            Self::Anchor => f.write_str("anchor"),
        }
    }
}

/// Why a path is not valid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct PathError {
    /// Which certificate.
    pub place: Place,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What limits the work that one validation may cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Signatures verified.
    Signatures,
    /// Certificates tried as issuers.
    Candidates,
    /// Complete paths examined.
    Paths,
    /// Certificates in one path.
    PathLength,
    /// Names compared with name constraints.
    NameComparisons,
    /// Revocation lists whose issuer must itself be looked up, one inside the other.
    IssuerDepth,
}

impl Work {
    /// What is counted, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signatures => "signatures verified",
            Self::Candidates => "certificates tried as issuers",
            Self::Paths => "paths examined",
            Self::PathLength => "certificates in one path",
            Self::NameComparisons => "names compared with constraints",
            Self::IssuerDepth => "list issuers looked up inside each other",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a certificate of a path.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No certificate with its issuer's name is there, trusted or not.
    #[error("no certificate of its issuer is there")]
    NoIssuer,
    /// Certificates with its issuer's name are there, but no path from them reaches an anchor.
    #[error("no path reaches a trusted certificate")]
    NoAnchor,
    /// More work than a validation may cause.
    #[error("more than {limit} {work}")]
    WorkLimit {
        /// What was counted.
        work: Work,
        /// How much is allowed.
        limit: usize,
    },
    /// The signature on it is not by the key of any certificate with its issuer's name.
    #[error("its signature is not its issuer's")]
    BadSignature,
    /// Its signature algorithm cannot be used.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
    /// Signed over SHA-1: [`crate::signature_scheme::Sha1`].
    #[error("signed over SHA-1, which is not accepted for this time")]
    WeakDigest,
    /// Its public key cannot be used.
    #[error(transparent)]
    Key(#[from] PublicKeyError),
    /// RFC 5280 §6.1.3 (a)(2).
    #[error("not valid before {}, asked for {}", instant(*not_before), instant(*asked))]
    NotYetValid {
        /// Its first instant.
        not_before: CertificateTime,
        /// The instant asked about.
        asked: CertificateTime,
    },
    /// RFC 5280 §6.1.3 (a)(2).
    #[error("not valid after {}, asked for {}", instant(*not_after), instant(*asked))]
    Expired {
        /// Its last instant.
        not_after: CertificateTime,
        /// The instant asked about.
        asked: CertificateTime,
    },
    /// RFC 5280 §6.1.4 (o), §6.1.5 (f).
    #[error("critical extension {identifier} at octet {offset} is not known")]
    UnknownCriticalExtension {
        /// Its object identifier.
        identifier: String,
        /// Octets from the start of the certificate.
        offset: usize,
    },
    /// RFC 5280 §6.1.4 (k).
    #[error("basicConstraints: not an authority's certificate, but it issued another")]
    NotAnAuthority,
    /// RFC 5280 §6.1.4 (l).
    #[error("pathLenConstraint of a certificate above allows no further authority")]
    PathLength,
    /// RFC 5280 §6.1.4 (n).
    #[error("keyUsage: {wanted} is missing")]
    KeyUsage {
        /// The bit.
        wanted: &'static str,
    },
    /// RFC 5280 §4.2.1.12.
    #[error("extKeyUsage: {wanted} is not among the purposes")]
    Purpose {
        /// Object identifier of the purpose asked for.
        wanted: String,
    },
    /// RFC 5280 §6.1.3 (b), (c), §4.2.1.10.
    #[error("nameConstraints: {0}")]
    Names(#[from] NameConstraintFault),
    /// RFC 5280 §6.1.3 (d)-(f), §6.1.5 (g).
    #[error("certificatePolicies: {0}")]
    Policy(#[from] PolicyFault),
    /// A rule of RFC 5280 §4 for issuers.
    #[error("{what} ({clause})")]
    Conformance {
        /// What is there that may not be, or the other way round.
        what: &'static str,
        /// The clause.
        clause: &'static str,
    },
    /// Not for the use that was asked for.
    #[error("not for this use: {what}")]
    Profile {
        /// What the profile wants.
        what: &'static str,
    },
    /// Revoked for good.
    #[error("revoked: {reason}, since {}", instant(CertificateTime::from(*at)))]
    Revoked {
        /// Why.
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
    /// `certificateHold`.
    #[error("on hold since {}", instant(CertificateTime::from(*since)))]
    OnHold {
        /// Since when.
        since: UnixSeconds,
    },
    /// Nothing usable is known about its revocation.
    #[error("revocation status unknown: {cause}")]
    StatusUnknown {
        /// Why nothing is known.
        cause: UnknownCause,
    },
    /// What is known about its revocation is too old.
    #[error(
        "revocation status of {} is {age_seconds} seconds old, at most {limit_seconds} allowed",
        instant(CertificateTime::from(*this_update))
    )]
    StatusTooOld {
        /// thisUpdate of the list or response.
        this_update: UnixSeconds,
        /// Seconds since then.
        age_seconds: u64,
        /// Seconds allowed.
        limit_seconds: u64,
    },
}

fn instant(time: CertificateTime) -> String {
    time.to_rfc3339()
}

impl Fault {
    /// A word for programs, stable.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NoIssuer => "no-issuer",
            Self::NoAnchor => "no-anchor",
            Self::WorkLimit { .. } => "work-limit",
            Self::BadSignature => "bad-signature",
            Self::Scheme(_) => "signature-algorithm",
            Self::WeakDigest => "weak-digest",
            Self::Key(_) => "public-key",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
            Self::UnknownCriticalExtension { .. } => "unknown-critical-extension",
            Self::NotAnAuthority => "not-an-authority",
            Self::PathLength => "path-length",
            Self::KeyUsage { .. } => "key-usage",
            Self::Purpose { .. } => "purpose",
            Self::Names(_) => "name-constraints",
            Self::Policy(_) => "policy",
            Self::Conformance { .. } => "conformance",
            Self::Profile { .. } => "profile",
            Self::Revoked { .. } => "revoked",
            Self::OnHold { .. } => "on-hold",
            Self::StatusUnknown { .. } => "status-unknown",
            Self::StatusTooOld { .. } => "status-too-old",
        }
    }

    /// How far a path came that failed so. Of several failed paths the one that came farthest is reported.
    pub(crate) const fn stage(&self) -> u8 {
        match self {
            Self::NoIssuer => 0,
            Self::NoAnchor => 1,
            Self::BadSignature | Self::Scheme(_) | Self::WeakDigest | Self::Key(_) | Self::Malformed(_) => 2,
            Self::WorkLimit { .. } => 3,
            Self::StatusUnknown { .. } | Self::StatusTooOld { .. } => 5,
            Self::Revoked { .. } | Self::OnHold { .. } => 6,
            _ => 4,
        }
    }
}
