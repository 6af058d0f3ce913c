//! From a certificate that came to evidence that it is good: RFC 5280 §6.
//!
//! Two steps, because their lives differ. [`path`] checks what never changes about a certificate (its
//! signature, its profile) and yields a [`PathGood`] that a cache can keep; [`conclude`] adds what
//! changes (the date, the revocation status) and yields a [`CertificateGood`], which can be made nowhere else.
//!
//! Scope: a certificate directly under an anchor, which is the JPKI's one tier and the town's.

use crate::asn1::read::Malformed;
use crate::asn1::time::CertificateTime;
use crate::certificate::{Certificate, KeyUsage};
use crate::name::NameAttribute;
use crate::oid;
use crate::public_key::{PublicKeyError, SignatureAlgorithm, VerifyingKey};
use crate::revocation::{RevocationReason, Status, UnknownCause};
use crate::serial::SerialNumber;
use aws_lc_rs::digest;
use protocol::time::UnixSeconds;
use std::fmt;

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

/// Which key issued: SHA-256 of its SubjectPublicKeyInfo. Not a name, and not an identifier that an
/// issuer could choose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IssuerKeyId(pub [u8; 32]);

/// An authority that is trusted: RFC 5280 §6.1.1 (d).
#[derive(Clone, Debug)]
pub struct TrustAnchor {
    subject: Vec<u8>,
    key_identifier: Option<Vec<u8>>,
    key: VerifyingKey,
    key_id: IssuerKeyId,
    key_usage: Option<KeyUsage>,
    not_before: CertificateTime,
    not_after: CertificateTime,
}

impl TrustAnchor {
    /// From the DER of the authority's certificate. Its signature is not checked: trust comes from
    /// where the file came from.
    ///
    /// # Errors
    /// Malformed, not an authority's certificate, or a key that is not supported.
    pub fn from_certificate(der: &[u8]) -> Result<Self, CertificateProblem> {
        let certificate = Certificate::parse(der)?;
        let extensions = certificate.extensions();
        if !extensions.basic_constraints.is_some_and(|constraints| constraints.is_authority) {
            return Err(CertificateProblem::WrongProfile { what: "an anchor must be an authority" });
        }
        if extensions.unprocessed_critical.is_some() {
            return Err(CertificateProblem::WrongProfile {
                what: "critical extension that is not supported",
            });
        }
        Ok(Self {
            subject: certificate.subject_der().to_vec(),
            key_identifier: extensions.subject_key_identifier.map(<[u8]>::to_vec),
            key: usable_key(&certificate)?,
            key_id: IssuerKeyId(sha256(certificate.spki_der())),
            key_usage: extensions.key_usage,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        })
    }

    /// Which key this anchor has.
    pub const fn key_id(&self) -> IssuerKeyId {
        self.key_id
    }

    pub(crate) const fn key(&self) -> &VerifyingKey {
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
        self.subject == issuer_name && same_key
    }

    /// RFC 5280 §6.3.3 (f): a key usage that is present must allow it.
    pub(crate) fn may_sign_lists(&self) -> bool {
        self.key_usage.is_none_or(|usage| usage.includes(KeyUsage::CRL_SIGN))
    }

    /// RFC 5280 §6.1.4 (n): a key usage that is present must allow it.
    fn may_sign_certificates(&self) -> bool {
        self.key_usage.is_none_or(|usage| usage.includes(KeyUsage::KEY_CERT_SIGN))
    }
}

/// What a certificate must be for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Profile {
    /// A card holder's authentication certificate: digitalSignature, clientAuth, our policy.
    #[doc(alias = "利用者証明用電子証明書")]
    JpkiAuth,
    /// A card holder's signature certificate: digitalSignature and nonRepudiation, our policy.
    #[doc(alias = "署名用電子証明書")]
    JpkiSign,
    /// A terminal's TLS client certificate: digitalSignature, clientAuth, an institution in its name.
    #[doc(alias = "端末認証")]
    Terminal,
}

impl Profile {
    fn check(self, certificate: &Certificate<'_>) -> Result<(), CertificateProblem> {
        let extensions = certificate.extensions();
        let demand = |holds: bool, what: &'static str| {
            if holds { Ok(()) } else { Err(CertificateProblem::WrongProfile { what }) }
        };
        demand(extensions.unprocessed_critical.is_none(), "critical extension that is not supported")?;
        demand(certificate.serial().is_positive(), "serial number that is not positive")?;
        let is_authority = extensions.basic_constraints.is_some_and(|constraints| constraints.is_authority);
        demand(!is_authority, "an authority's certificate")?;
        let usage = extensions.key_usage.ok_or(CertificateProblem::WrongProfile { what: "no key usage" })?;
        demand(usage.includes(KeyUsage::DIGITAL_SIGNATURE), "key usage without digitalSignature")?;
        match self {
            Self::JpkiAuth => {
                demand(
                    extensions.has_policy(&oid::JPKI_AUTH_POLICY),
                    "policy of authentication certificates missing",
                )?;
                demand(extensions.has_purpose(&oid::CLIENT_AUTH), "extended key usage without clientAuth")
            }
            Self::JpkiSign => {
                demand(usage.includes(KeyUsage::NON_REPUDIATION), "key usage without nonRepudiation")?;
                demand(
                    extensions.has_policy(&oid::JPKI_SIGN_POLICY),
                    "policy of signature certificates missing",
                )
            }
            Self::Terminal => {
                demand(extensions.has_purpose(&oid::CLIENT_AUTH), "extended key usage without clientAuth")?;
                let institution = certificate.subject_attribute(NameAttribute::SubjectSerialNumber)?;
                demand(institution.is_some(), "no institution code in the subject")
            }
        }
    }
}

/// Evidence that a certificate was issued by an anchor for a profile. Small enough for a bounded cache of
/// cards seen: the parsed key and a few digests, not the certificate. 1.2 kB, and 2.1 kB once an RSA key
/// has verified a signature, because the library then keeps what it computed about the modulus.
pub struct PathGood {
    serial: SerialNumber,
    profile: Profile,
    not_before: CertificateTime,
    not_after: CertificateTime,
    issuer: IssuerKeyId,
    certificate_sha256: [u8; 32],
    spki_sha256: [u8; 32],
    key: VerifyingKey,
}

impl fmt::Debug for PathGood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digest and serial lead to a person.
        f.debug_struct("PathGood").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Evidence that a signature is by the key of a certificate. Made by [`PathGood::verify_signature`] only.
#[derive(Debug)]
#[must_use]
pub struct SignatureGood {
    certificate_sha256: [u8; 32],
}

impl SignatureGood {
    /// SHA-256 of the DER of the certificate whose key signed.
    pub const fn certificate_sha256(&self) -> &[u8; 32] {
        &self.certificate_sha256
    }
}

impl PathGood {
    /// Serial number.
    pub const fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// The profile that was checked.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Last instant of validity, its own or its issuer's, whichever is earlier.
    pub fn not_after(&self) -> UnixSeconds {
        self.not_after.saturating_unix()
    }

    /// The key that issued it.
    pub const fn issuer_key_id(&self) -> IssuerKeyId {
        self.issuer
    }

    /// SHA-256 of its DER: what a cache is keyed by.
    pub const fn certificate_sha256(&self) -> &[u8; 32] {
        &self.certificate_sha256
    }

    /// SHA-256 of its SubjectPublicKeyInfo: for a terminal, its `TerminalKeyHash`.
    pub const fn spki_sha256(&self) -> &[u8; 32] {
        &self.spki_sha256
    }

    /// Whether the validity dates include `now`: RFC 5280 §6.1.3 (a)(2). For evidence kept in a cache.
    ///
    /// # Errors
    /// Not yet valid, or expired.
    pub fn still_valid_at(&self, now: UnixSeconds) -> Result<(), CertificateProblem> {
        let now = CertificateTime::from(now);
        if now < self.not_before {
            Err(CertificateProblem::NotYetValid)
        } else if now > self.not_after {
            Err(CertificateProblem::Expired)
        } else {
            Ok(())
        }
    }

    /// Checks a signature by the certificate's key: RSA PKCS#1 v1.5 or ECDSA P-256, both with SHA-256.
    ///
    /// # Errors
    /// [`CertificateProblem::BadSignature`].
    pub fn verify_signature(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<SignatureGood, CertificateProblem> {
        if self.key.verifies(message, signature) {
            Ok(SignatureGood { certificate_sha256: self.certificate_sha256 })
        } else {
            Err(CertificateProblem::BadSignature)
        }
    }
}

/// Checks that `leaf_der` was issued by one of `anchors` for `profile` and is valid at `now`: RFC 5280
/// §6.1.3, for a path of one certificate. Stricter than the RFC in one point: the anchor's own dates count.
///
/// # Errors
/// The first thing wrong, in the order: form, issuer, signature, dates, profile.
pub fn path(
    leaf_der: &[u8],
    anchors: &[TrustAnchor],
    profile: Profile,
    now: UnixSeconds,
) -> Result<PathGood, CertificateProblem> {
    let certificate = Certificate::parse(leaf_der)?;
    let anchor = choose_issuer(&certificate, anchors)?;
    let good = PathGood {
        serial: *certificate.serial(),
        profile,
        not_before: certificate.not_before().max(anchor.not_before),
        not_after: certificate.not_after().min(anchor.not_after),
        issuer: anchor.key_id,
        certificate_sha256: sha256(leaf_der),
        spki_sha256: sha256(certificate.spki_der()),
        key: usable_key(&certificate)?,
    };
    good.still_valid_at(now)?;
    profile.check(&certificate)?;
    Ok(good)
}

/// By name and key identifier first, then by whose key verifies: two authorities may share a name.
fn choose_issuer<'t>(
    certificate: &Certificate<'_>,
    anchors: &'t [TrustAnchor],
) -> Result<&'t TrustAnchor, CertificateProblem> {
    let named = certificate.extensions().authority_key_identifier;
    let algorithm = SignatureAlgorithm::recognise(&certificate.signature_algorithm);
    let mut outcome = CertificateProblem::ForeignIssuer;
    for anchor in anchors.iter().filter(|anchor| anchor.may_have_issued(certificate.issuer_der(), named)) {
        if anchor.may_sign_certificates()
            && algorithm == Some(anchor.key.algorithm())
            && anchor.key.verifies(certificate.tbs.raw, certificate.signature)
        {
            return Ok(anchor);
        }
        outcome = CertificateProblem::BadSignature;
    }
    Err(outcome)
}

fn usable_key(certificate: &Certificate<'_>) -> Result<VerifyingKey, CertificateProblem> {
    VerifyingKey::from_spki(&certificate.spki).map_err(|error| match error {
        PublicKeyError::Malformed(fault) => fault.into(),
        PublicKeyError::Unsupported => {
            CertificateProblem::WrongProfile { what: "public key that is not supported" }
        }
    })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // The digest has 32 octets by definition.
    out.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// What to do when the revocation status is not known, or known only from too old a list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OnUnknownStatus {
    /// Refuse: the default of every online answer.
    Refuse,
    /// Go on, and let the evidence say so: for visits recorded while the network was down.
    Accept,
}

/// What a [`CertificateGood`] rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusBasis {
    /// A list that was fresh enough says it is not revoked.
    FreshList {
        /// thisUpdate of the list.
        this_update: UnixSeconds,
        /// Seconds from then to the conclusion.
        age_seconds: u64,
    },
    /// A list that was too old says it was not revoked then, and the policy accepted that.
    OldList {
        /// thisUpdate of the list.
        this_update: UnixSeconds,
        /// Seconds from then to the conclusion.
        age_seconds: u64,
    },
    /// Nothing was known, and the policy accepted that.
    Nothing,
}

/// Evidence that a certificate is good at an instant: issued by an anchor for its profile, within its
/// dates, and not revoked. A decision takes this instead of a boolean; [`conclude`] alone makes it.
#[doc(alias = "有効性確認済み証明書")]
#[must_use]
pub struct CertificateGood {
    serial: SerialNumber,
    profile: Profile,
    certificate_sha256: [u8; 32],
    concluded_at: UnixSeconds,
    basis: StatusBasis,
}

impl fmt::Debug for CertificateGood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateGood")
            .field("profile", &self.profile)
            .field("basis", &self.basis)
            .finish_non_exhaustive()
    }
}

impl CertificateGood {
    /// Serial number.
    pub const fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// The profile that was checked.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// SHA-256 of the certificate's DER.
    pub const fn certificate_sha256(&self) -> &[u8; 32] {
        &self.certificate_sha256
    }

    /// The instant it was good at.
    pub const fn concluded_at(&self) -> UnixSeconds {
        self.concluded_at
    }

    /// What the revocation status rests on.
    pub const fn status_basis(&self) -> StatusBasis {
        self.basis
    }

    /// Age of the revocation status at the conclusion, in seconds; `None` if nothing was known.
    pub const fn status_age_seconds(&self) -> Option<u64> {
        match self.basis {
            StatusBasis::FreshList { age_seconds, .. } | StatusBasis::OldList { age_seconds, .. } => {
                Some(age_seconds)
            }
            StatusBasis::Nothing => None,
        }
    }
}

/// Joins the path, the date and the revocation status to evidence: RFC 5280 §6.3.
///
/// `status` must be that of this certificate: [`crate::crl::RevocationIndex::status_of`] takes the path itself.
///
/// # Errors
/// Outside its dates, revoked, on hold (as `certificateHold`), or, unless the policy accepts that, of
/// unknown or too old a status.
pub fn conclude(
    path: &PathGood,
    now: UnixSeconds,
    status: Status,
    on_unknown: OnUnknownStatus,
) -> Result<CertificateGood, CertificateProblem> {
    path.still_valid_at(now)?;
    let basis = match (status, on_unknown) {
        (Status::Good { this_update, age_seconds }, _) => StatusBasis::FreshList { this_update, age_seconds },
        (Status::Revoked { reason, at }, _) => return Err(CertificateProblem::Revoked { reason, at }),
        (Status::Hold { since }, _) => {
            return Err(CertificateProblem::Revoked { reason: RevocationReason::CertificateHold, at: since });
        }
        (Status::Unknown(_), OnUnknownStatus::Accept) => StatusBasis::Nothing,
        (Status::Unknown(cause), OnUnknownStatus::Refuse) => {
            return Err(CertificateProblem::StatusUnknown { cause });
        }
        (Status::Stale { this_update, age_seconds, .. }, OnUnknownStatus::Accept) => {
            StatusBasis::OldList { this_update, age_seconds }
        }
        (Status::Stale { this_update, age_seconds, limit_seconds }, OnUnknownStatus::Refuse) => {
            return Err(CertificateProblem::StatusTooOld { this_update, age_seconds, limit_seconds });
        }
    };
    Ok(CertificateGood {
        serial: path.serial,
        profile: path.profile,
        certificate_sha256: path.certificate_sha256,
        concluded_at: now,
        basis,
    })
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
