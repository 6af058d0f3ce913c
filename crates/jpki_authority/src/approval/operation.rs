//! What can be requested, and what of it can be done at all.

use crate::CertificateKind;
use crate::approval::Operator;
use pki::public_key::VerifyingKey;
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::ids::InstitutionCode;
use protocol::linkage_v1::WireSerial;
use protocol::time::UnixSeconds;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most certificates that one request revokes.
pub const REVOKED_AT_ONCE_MAX: usize = 100_000;
/// Longest life of a sub-authority, days: the authorities' own ten years.
const AUTHORITY_DAYS_MAX: u32 = 3_652;
/// Longest common name: RFC 5280 appendix A.1, ub-common-name.
const COMMON_NAME_MAX: usize = 64;

/// Why an operation cannot be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct OperationProblem(pub &'static str);

/// Octets as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Octets(pub Vec<u8>);

impl TryFrom<String> for Octets {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
        let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).ok_or("not hexadecimal")?;
        let octet = |pair: &[u8]| pair.iter().fold(0, |octet, digit| octet << 4 | digit);
        Ok(Self(digits.chunks(2).map(octet).collect()))
    }
}

impl From<Octets> for String {
    fn from(octets: Octets) -> Self {
        octets.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

mod kind_word {
    use super::{CertificateKind, Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(kind: &CertificateKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.word())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<CertificateKind, D::Error> {
        let word = String::deserialize(from)?;
        let found = CertificateKind::ALL.into_iter().find(|kind| kind.word() == word);
        found.ok_or_else(|| D::Error::custom("neither auth nor sign"))
    }
}

/// What takes two people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Another operator: whoever could add one alone could approve alone.
    EnrolOperator {
        /// The name.
        name: String,
        /// The public key: DER SubjectPublicKeyInfo.
        public_key: Octets,
    },
    /// One operator less.
    RemoveOperator {
        /// The name.
        name: String,
    },
    /// From now on the institution's terminals get certificates.
    #[doc(alias = "機関の認定")]
    AccreditInstitution {
        /// Its code.
        institution: String,
        /// Its name, for people.
        name: String,
    },
    /// From now on the institution's terminals get no certificates.
    #[doc(alias = "機関の認定停止")]
    SuspendInstitution {
        /// Its code.
        institution: String,
    },
    /// Many certificates at once, for one reason that is not the holders'.
    #[doc(alias = "一括失効")]
    RevokeMany {
        /// Of which kind.
        #[serde(with = "kind_word")]
        certificate: CertificateKind,
        /// Why: an identifier of RFC 5280 §5.3.1, not `certificateHold` or `removeFromCRL`.
        reason: String,
        /// Which.
        serials: Vec<WireSerial>,
    },
    /// The next lists may leave these out although nobody released them: after a store was lost and put
    /// back from a backup, and only then.
    AcceptDeparture {
        /// Of which kind.
        #[serde(with = "kind_word")]
        certificate: CertificateKind,
        /// Which.
        serials: Vec<WireSerial>,
    },
    /// New keys for the OCSP delegates now, whatever is left of the old ones' lives.
    ReplaceDelegates {},
    /// A certificate for another authority: a use of the authority's key that issuing does not cover.
    #[doc(alias = "下位認証局")]
    CertifyAuthority {
        /// By which of the two authorities.
        #[serde(with = "kind_word")]
        certificate: CertificateKind,
        /// `CN` of the new authority's name.
        common_name: String,
        /// Its public key: DER SubjectPublicKeyInfo.
        public_key: Octets,
        /// How many days it counts.
        days: u32,
    },
}

impl Operation {
    /// The bytes that are signed: JSON, fields in order.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the bytes that were signed.
    ///
    /// # Errors
    /// [`OperationProblem`]: an operation that this program does not know.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OperationProblem> {
        serde_json::from_slice(bytes).map_err(|_| OperationProblem("an operation that cannot be read"))
    }

    /// One word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::EnrolOperator { .. } => "enrol_operator",
            Self::RemoveOperator { .. } => "remove_operator",
            Self::AccreditInstitution { .. } => "accredit_institution",
            Self::SuspendInstitution { .. } => "suspend_institution",
            Self::RevokeMany { .. } => "revoke_many",
            Self::AcceptDeparture { .. } => "accept_departure",
            Self::ReplaceDelegates {} => "replace_delegates",
            Self::CertifyAuthority { .. } => "certify_authority",
        }
    }

    /// Whether an authority's own key signs something.
    pub const fn needs_authority_key(&self) -> bool {
        matches!(self, Self::CertifyAuthority { .. })
    }

    /// Whether it can be done at all, as far as can be said without a store.
    ///
    /// # Errors
    /// [`OperationProblem`].
    pub fn check(&self, now: UnixSeconds) -> Result<(), OperationProblem> {
        match self {
            Self::EnrolOperator { name, public_key } => Operator::new(name, &public_key.0, now).map(drop),
            Self::RemoveOperator { .. } | Self::ReplaceDelegates {} => Ok(()),
            Self::AccreditInstitution { institution, .. } | Self::SuspendInstitution { institution } => {
                code(institution).map(drop)
            }
            Self::RevokeMany { reason, serials, .. } => {
                permanent(reason)?;
                numbers(serials).map(drop)
            }
            Self::AcceptDeparture { serials, .. } => numbers(serials).map(drop),
            Self::CertifyAuthority { common_name, public_key, days, .. } => {
                if !(1..=COMMON_NAME_MAX).contains(&common_name.chars().count()) {
                    return Err(OperationProblem("a common name has 1 to 64 characters"));
                }
                if !(1..=AUTHORITY_DAYS_MAX).contains(days) {
                    return Err(OperationProblem("an authority counts for 1 to 3652 days"));
                }
                VerifyingKey::from_spki_der(&public_key.0)
                    .map(drop)
                    .map_err(|_| OperationProblem("an authority's key is RSA of 2048 bits or more, or P-256"))
            }
        }
    }

    /// What it is about, for people and without serial numbers.
    pub fn summary(&self) -> String {
        match self {
            Self::EnrolOperator { name, .. } | Self::RemoveOperator { name } => name.clone(),
            Self::AccreditInstitution { institution, name } => format!("{institution} {name}"),
            Self::SuspendInstitution { institution } => institution.clone(),
            Self::RevokeMany { certificate, reason, serials } => {
                format!("{} × {}, {reason}", serials.len(), certificate.word())
            }
            Self::AcceptDeparture { certificate, serials } => {
                format!("{} × {}", serials.len(), certificate.word())
            }
            Self::ReplaceDelegates {} => String::new(),
            Self::CertifyAuthority { certificate, common_name, days, .. } => {
                format!("{} → {common_name}, {days} d", certificate.word())
            }
        }
    }
}

pub(super) fn code(text: &str) -> Result<InstitutionCode, OperationProblem> {
    InstitutionCode::parse(text).map_err(|_| OperationProblem("an institution's code has ten digits"))
}

pub(super) fn permanent(reason: &str) -> Result<RevocationReason, OperationProblem> {
    let reason = RevocationReason::from_name(reason)
        .ok_or(OperationProblem("a reason is an identifier of RFC 5280 section 5.3.1"))?;
    match reason {
        RevocationReason::CertificateHold | RevocationReason::RemoveFromCrl => {
            Err(OperationProblem("a hold and its end are one person's to do, card by card"))
        }
        reason => Ok(reason),
    }
}

pub(super) fn numbers(serials: &[WireSerial]) -> Result<Vec<SerialNumber>, OperationProblem> {
    if !(1..=REVOKED_AT_ONCE_MAX).contains(&serials.len()) {
        return Err(OperationProblem("a request names 1 to 100000 certificates"));
    }
    serials
        .iter()
        .map(|serial| {
            SerialNumber::from_octets(serial.octets()).map_err(|_| OperationProblem("not a serial number"))
        })
        .collect()
}
