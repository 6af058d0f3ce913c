//! Evidence of a good certificate, for those who answer by the thousand: a certificate directly under an
//! anchor, which is the JPKI's one tier and the town's. [`path()`] checks what never changes about it (its
//! signature, its profile) and yields a [`PathGood`] that a cache can keep; [`conclude`] adds what changes
//! (the date, the revocation status) and yields a [`CertificateGood`], which can be made nowhere else.
//! Longer paths go through [`super::validate`], which yields a [`PathGood`] too.

use super::anchor::{IssuerKeyId, TrustAnchor};
use super::problem::CertificateProblem;
use super::profile::{Profile, ProfileFault};
use crate::asn1::time::CertificateTime;
use crate::certificate::Certificate;
use crate::crl::coverage::{PlaceId, places_of};
use crate::public_key::VerifyingKey;
use crate::revocation::{RevocationReason, Status};
use crate::serial::SerialNumber;
use crate::signature_scheme::{SignatureDigest, SignatureScheme};
use aws_lc_rs::digest;
use protocol::time::UnixSeconds;
use std::fmt;

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
    is_authority: bool,
    /// Where it says that its revocation status is published.
    places: Box<[PlaceId]>,
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
    /// From a path that [`super::validate()`] found good.
    pub(crate) fn of_path(
        leaf: &Certificate<'_>,
        above: &[Certificate<'_>],
        anchor: &TrustAnchor,
        profile: Profile,
    ) -> Result<Self, CertificateProblem> {
        let issuer_key = above.first().map_or(anchor.key_id, |issuer| IssuerKeyId(sha256(issuer.spki_der())));
        let (mut not_before, mut not_after) = (anchor.not_before, anchor.not_after);
        for certificate in above.iter().chain([leaf]) {
            not_before = not_before.max(certificate.not_before());
            not_after = not_after.min(certificate.not_after());
        }
        Ok(Self {
            serial: *leaf.serial(),
            profile,
            not_before,
            not_after,
            issuer: issuer_key,
            certificate_sha256: sha256(leaf.as_der()),
            spki_sha256: sha256(leaf.spki_der()),
            key: VerifyingKey::from_spki(&leaf.spki)?,
            is_authority: leaf.extensions().is_authority(),
            places: places_of(leaf),
        })
    }

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

    pub(crate) const fn is_authority(&self) -> bool {
        self.is_authority
    }

    pub(crate) const fn places(&self) -> &[PlaceId] {
        &self.places
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
        key: VerifyingKey::from_spki(&certificate.spki)?,
        is_authority: certificate.extensions().is_authority(),
        places: places_of(&certificate),
    };
    good.still_valid_at(now)?;
    profile.check(&certificate)?;
    // Nothing of §6.1.4 is done here, so what asks for it is refused.
    match certificate.extensions().issuing_constraint() {
        Some(what) => Err(CertificateProblem::WrongProfile { what }),
        None => Ok(good),
    }
}

impl From<ProfileFault> for CertificateProblem {
    fn from(fault: ProfileFault) -> Self {
        match fault {
            ProfileFault::Malformed(fault) => fault.into(),
            ProfileFault::Demand(what) => Self::WrongProfile { what },
        }
    }
}

/// By name and key identifier first, then by whose key verifies: two authorities may share a name.
fn choose_issuer<'t>(
    certificate: &Certificate<'_>,
    anchors: &'t [TrustAnchor],
) -> Result<&'t TrustAnchor, CertificateProblem> {
    let named = certificate.extensions().authority_key_identifier;
    let scheme = SignatureScheme::read(&certificate.signature_algorithm).ok();
    let scheme = scheme.filter(|scheme| scheme.digest() != Some(SignatureDigest::Sha1));
    let mut outcome = CertificateProblem::ForeignIssuer;
    for anchor in anchors.iter().filter(|anchor| anchor.may_have_issued(certificate.issuer_der(), named)) {
        if anchor.may_sign_certificates()
            && scheme
                .is_some_and(|scheme| anchor.key.verifies(scheme, certificate.tbs.raw, certificate.signature))
        {
            return Ok(anchor);
        }
        outcome = CertificateProblem::BadSignature;
    }
    Err(outcome)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
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
#[path = "evidence_tests.rs"]
mod tests;
