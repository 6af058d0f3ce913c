//! Trust anchors: RFC 5280 §6.1.1 (d), with the constraints of RFC 5937 §3.2 where a certificate says them.

use super::conformance::AnchorConformance;
use super::evidence::sha256;
use super::name_constraints::{NameConstraintFault, Subtrees};
use super::names::{self, PreparedName};
use super::problem::CertificateProblem;
use crate::asn1::time::CertificateTime;
use crate::certificate::{Certificate, KeyUsage, Version};
use crate::extension::PolicyConstraints;
use crate::public_key::{PublicKey, PublicKeyError};
use std::fmt;

/// Which key issued: SHA-256 of its SubjectPublicKeyInfo. Not a name, and not an identifier that an
/// issuer could choose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IssuerKeyId(pub [u8; 32]);

/// What an anchor's certificate demands of the paths below it: RFC 5937 §3.2. Its certificatePolicies are
/// left aside: roots list what they issue under, which was never meant to narrow what a verifier asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnchorConstraints {
    pub(crate) names: Option<Subtrees>,
    pub(crate) path_length_max: Option<u32>,
    pub(crate) policies: PolicyConstraints,
    pub(crate) inhibit_any_policy: Option<u32>,
    pub(crate) purposes: Option<Vec<Vec<u8>>>,
}

/// An authority that is trusted: RFC 5280 §6.1.1 (d).
#[derive(Clone)]
pub struct TrustAnchor {
    pub(crate) der: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) prepared: PreparedName,
    pub(crate) key_identifier: Option<Vec<u8>>,
    pub(crate) key: PublicKey,
    pub(crate) key_id: IssuerKeyId,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) not_before: CertificateTime,
    pub(crate) not_after: CertificateTime,
    pub(crate) constraints: AnchorConstraints,
    pub(crate) conformance: AnchorConformance,
    pub(crate) role: AnchorRole,
}

/// What an anchor is trusted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AnchorRole {
    /// To issue.
    Authority,
    /// For itself: the very certificate is believed, and nothing that its key signs.
    Itself,
}

impl fmt::Debug for TrustAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustAnchor").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl TrustAnchor {
    /// From the DER of the authority's certificate. Its signature is not checked: trust comes from
    /// where the file came from. A version 1 certificate cannot say that it is an authority's, so it need not.
    ///
    /// # Errors
    /// Malformed, not an authority's certificate, or a key that is not supported.
    pub fn from_certificate(der: &[u8]) -> Result<Self, CertificateProblem> {
        let certificate = Certificate::parse(der)?;
        if certificate.version() == Version::V3 && !certificate.extensions().is_authority() {
            return Err(CertificateProblem::WrongProfile { what: "an anchor must be an authority" });
        }
        Self::of(&certificate, AnchorRole::Authority)
    }

    /// From the DER of a certificate that whoever asks trusts for itself: it is accepted where it is the
    /// one asked about, within its dates and for its purposes, and issues nothing. RFC 5280 does not know
    /// this; every verifier has it, for servers that certify themselves.
    ///
    /// # Errors
    /// Malformed, or a key that is not supported.
    pub fn pinned(der: &[u8]) -> Result<Self, CertificateProblem> {
        Self::of(&Certificate::parse(der)?, AnchorRole::Itself)
    }

    fn of(certificate: &Certificate<'_>, role: AnchorRole) -> Result<Self, CertificateProblem> {
        let extensions = certificate.extensions();
        if extensions.unknown_critical.is_some() {
            return Err(CertificateProblem::WrongProfile {
                what: "critical extension that is not supported",
            });
        }
        if names::is_empty(certificate.subject_der()) {
            return Err(CertificateProblem::WrongProfile { what: "an anchor must have a name" });
        }
        Ok(Self {
            der: certificate.as_der().to_vec(),
            subject: certificate.subject_der().to_vec(),
            prepared: PreparedName::new(certificate.subject_der())?,
            key_identifier: extensions.subject_key_identifier.map(<[u8]>::to_vec),
            key: usable_key(certificate)?,
            key_id: IssuerKeyId(sha256(certificate.spki_der())),
            key_usage: extensions.key_usage,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            constraints: read_constraints(certificate)?,
            conformance: AnchorConformance::of(certificate),
            role,
        })
    }

    /// Which key this anchor has.
    pub const fn key_id(&self) -> IssuerKeyId {
        self.key_id
    }

    /// The DER it was made from.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Its name in DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    pub(crate) const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether name and key identifier allow it; only the signature decides.
    pub(crate) fn may_have_issued(
        &self,
        issuer_name: &[u8],
        authority_key_identifier: Option<&[u8]>,
    ) -> bool {
        let same_key = match (&self.key_identifier, authority_key_identifier) {
            (Some(ours), Some(named)) => ours == named,
            _ => true,
        };
        self.role == AnchorRole::Authority && self.subject == issuer_name && same_key
    }

    /// Whether `certificate` is the very one that is trusted.
    pub(crate) fn is(&self, certificate: &Certificate<'_>) -> bool {
        self.der == certificate.as_der()
    }

    /// RFC 5280 §6.3.3 (f): a key usage that is present must allow it.
    pub(crate) fn may_sign_lists(&self) -> bool {
        self.role == AnchorRole::Authority
            && self.key_usage.is_none_or(|usage| usage.includes(KeyUsage::CRL_SIGN))
    }

    /// RFC 5280 §6.1.4 (n): a key usage that is present must allow it.
    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.key_usage.is_none_or(|usage| usage.includes(KeyUsage::KEY_CERT_SIGN))
    }
}

pub(crate) fn usable_key(certificate: &Certificate<'_>) -> Result<PublicKey, CertificateProblem> {
    PublicKey::from_spki(&certificate.spki).map_err(CertificateProblem::from)
}

impl From<PublicKeyError> for CertificateProblem {
    fn from(error: PublicKeyError) -> Self {
        match error {
            PublicKeyError::Malformed(fault) => fault.into(),
            PublicKeyError::ModulusSize { .. }
            | PublicKeyError::Exponent { .. }
            | PublicKeyError::Unsupported => Self::WrongProfile { what: "public key that is not supported" },
        }
    }
}

fn read_constraints(certificate: &Certificate<'_>) -> Result<AnchorConstraints, CertificateProblem> {
    let extensions = certificate.extensions();
    let names = extensions.name_constraints.map(|found| Subtrees::read(&found.value)).transpose();
    let names = names.map_err(|fault| match fault {
        NameConstraintFault::Malformed(fault) => CertificateProblem::from(fault),
        _ => CertificateProblem::WrongProfile { what: "name constraints that are not supported" },
    })?;
    let purposes = extensions.extended_key_usage.map(|list| {
        let mut purposes = list.inside();
        std::iter::from_fn(|| purposes.any("purpose").ok()).map(|entry| entry.content.to_vec()).collect()
    });
    Ok(AnchorConstraints {
        names,
        path_length_max: extensions.basic_constraints.and_then(|constraints| constraints.path_length_max),
        policies: extensions.policy_constraints.unwrap_or_default(),
        inhibit_any_policy: extensions.inhibit_any_policy,
        purposes,
    })
}
