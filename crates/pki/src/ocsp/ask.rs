//! Asking a responder about one certificate, and judging the bytes that came back: RFC 6960 §3.2, §4.1,
//! RFC 9654 (nonce), RFC 5019 (the form for caches). Carrying them is somebody else's work.
//!
//! An [`Inquiry`] makes one request and judges one answer: judging consumes it, so that no nonce counts
//! twice. What is refused and by what name: `docs/ocsp.md`.

use super::request::{NONCE_OCTETS_USUAL, request_der};
use super::{CertIdHash, IssuerHashes, OcspResponse, ResponseStatus, key_bits};
use crate::asn1::read::Malformed;
use crate::asn1::tag;
use crate::asn1::time::CertificateTime;
use crate::certificate::Certificate;
use crate::oid;
use crate::revocation::{Status, UnknownCause};
use crate::serial::SerialNumber;
use crate::validate::asked::word_on;
use crate::validate::input::{Freshness, RevocationRule};
use crate::validate::{CertificateProblem, Evidence, Question, TrustAnchor};
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;
use std::fmt;

use super::read::{BasicResponse, ResponderId, SingleResponse};

/// Whether a nonce is sent, and what its absence in the answer means: RFC 9654 §2.1. An answer with a
/// nonce that is not ours is refused whatever the policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NoncePolicy {
    /// None is sent: the answer may come from a cache (RFC 5019 §2.1.1).
    Omit,
    /// One is sent; an answer without it is taken if it is fresh. Responders that sign in advance know none.
    Prefer,
    /// One is sent, and an answer without it is refused: only a live one will do.
    Require,
}

/// What an answer must be to be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerRules {
    /// How old it may be, and how far clocks may differ.
    pub freshness: Freshness,
    /// What must be known of a delegate whose certificate has no id-pkix-ocsp-nocheck and says where its
    /// status is found: RFC 6960 §4.2.2.2.1 leaves it to the relying party.
    pub delegate_status: RevocationRule,
    /// thisUpdate of the newest answer already seen; an older one is somebody's replay.
    pub seen: Option<UnixSeconds>,
}

impl Default for AnswerRules {
    fn default() -> Self {
        Self { freshness: Freshness::default(), delegate_status: RevocationRule::Required, seen: None }
    }
}

/// Why nothing can be asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InquiryProblem {
    /// The certificate asked about cannot be read.
    #[error("the certificate: {0}")]
    Certificate(Malformed),
    /// The issuer's certificate cannot be used.
    #[error("the issuer's certificate: {0}")]
    Issuer(#[from] CertificateProblem),
    /// The certificate is not signed by that issuer: the answer would be about another one.
    #[error("the certificate is not issued by this issuer")]
    NotIts,
}

/// What is wrong with whoever signed an answer: RFC 6960 §4.2.2.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ResponderFault {
    /// Not the issuer, and no certificate of the signer is there.
    #[error("neither the issuer nor anybody whose certificate came along")]
    Stranger,
    /// A delegate without id-kp-OCSPSigning.
    #[error("a delegate whose certificate does not name OCSPSigning")]
    NoPurpose,
    /// A delegate that the certificate's own issuer did not make.
    #[error("a delegate of another issuer")]
    OtherIssuer,
    /// A delegate outside its dates.
    #[error("a delegate whose certificate is valid from {} to {} only",
        .not_before.to_rfc3339(), .not_after.to_rfc3339())]
    OutOfDates {
        /// First instant of its validity.
        not_before: CertificateTime,
        /// Last instant of its validity.
        not_after: CertificateTime,
    },
    /// A delegate whose own certificate is not valid, is revoked, or is of unknown status.
    #[error("a delegate that is not valid, is revoked, or whose own status is not known")]
    NotValid,
    /// The signature is not by the key that it claims.
    #[error("a signature that is not by the key it claims")]
    BadSignature,
}

/// Why an answer is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AnswerFault {
    /// Not an OCSP response.
    #[error("not an OCSP response: {0}")]
    Malformed(#[from] Malformed),
    /// A critical extension that nothing here processes.
    #[error("a critical extension that is not supported, at octet {offset}")]
    UnknownCriticalExtension {
        /// Octets from the start of the response.
        offset: usize,
    },
    /// The responder says, unsigned, that it does not answer: RFC 6960 §4.2.1.
    #[error("the responder does not answer: {}", .0.as_str())]
    NotAnswered(ResponseStatus),
    /// It does not speak of the certificate that was asked about.
    #[error("the answer is about another certificate")]
    OtherCertificate,
    /// It repeats a nonce that is not ours.
    #[error("the answer repeats another nonce: it was made for another request")]
    OtherNonce,
    /// It repeats no nonce, and [`NoncePolicy::Require`] asked for one.
    #[error("the answer does not repeat the nonce that was sent")]
    NoNonce,
    /// Its signer may not answer for the issuer.
    #[error("the answer is signed by {0}")]
    Responder(ResponderFault),
    /// Older than one already seen.
    #[error("the answer of {} is older than that of {}, which is already known",
        rfc3339(*.this_update), rfc3339(*.seen))]
    OlderThanSeen {
        /// Its thisUpdate.
        this_update: UnixSeconds,
        /// thisUpdate of the one already seen.
        seen: UnixSeconds,
    },
    /// thisUpdate or producedAt further ahead than clocks may differ.
    #[error("the answer is dated {ahead_seconds} seconds in the future, {limit_seconds} are tolerated")]
    FromTheFuture {
        /// Seconds from now to it.
        ahead_seconds: u64,
        /// Seconds that clocks may differ.
        limit_seconds: u64,
    },
    /// Past its nextUpdate, or older than the caller allows.
    #[error("the answer is {age_seconds} seconds old, at most {limit_seconds} allowed")]
    TooOld {
        /// Seconds since thisUpdate.
        age_seconds: u64,
        /// Seconds allowed.
        limit_seconds: u64,
    },
    /// Anything else that makes it unusable.
    #[error("{0}")]
    Unusable(UnknownCause),
}

fn rfc3339(at: UnixSeconds) -> String {
    CertificateTime::from(at).to_rfc3339()
}

/// The times of an answer, as they were judged. They are in every refusal that has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerTimes {
    /// When it was signed.
    pub produced_at: CertificateTime,
    /// When what it says was known to be right.
    pub this_update: CertificateTime,
    /// When there will be newer word at the latest, if it says so.
    pub next_update: Option<CertificateTime>,
    /// Seconds from thisUpdate to now; 0 if that is ahead.
    pub age_seconds: u64,
    /// Seconds that it may be old.
    pub limit_seconds: u64,
    /// Seconds by which the responder's clock is ahead of ours (negative: behind). Only an answer that
    /// repeats our nonce shows it: it was signed after we asked and before we got it.
    pub clock_offset_seconds: Option<i64>,
}

/// Why an answer is not taken, with its times as far as it has any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct AnswerRefused {
    /// Why.
    pub fault: AnswerFault,
    /// The times of the answer about the certificate, if it holds one.
    pub times: Option<AnswerTimes>,
}

/// Whether the answer repeated the nonce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NonceEcho {
    /// None was sent.
    NotSent,
    /// One was sent and came back.
    Repeated,
    /// One was sent, none came back, and the policy takes that.
    Missing,
}

/// An answer that is believed. Good, revoked, on hold, or unknown to the responder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Answer {
    status: Status,
    times: AnswerTimes,
    nonce: NonceEcho,
}

impl Answer {
    /// What it says. [`Status::Unknown`] has [`UnknownCause::ResponderDoesNotKnow`].
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Its times.
    pub const fn times(&self) -> &AnswerTimes {
        &self.times
    }

    /// Whether the nonce came back.
    pub const fn nonce(&self) -> NonceEcho {
        self.nonce
    }
}

/// One question, from the request to the judgement. It holds a serial number: `Debug` shows nothing.
pub struct Inquiry {
    certificate: Vec<u8>,
    issuer: TrustAnchor,
    request: Vec<u8>,
    nonce: Option<Vec<u8>>,
    policy: NoncePolicy,
}

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiry").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Inquiry {
    /// A question about `certificate`, which `issuer` issued, both in DER. `hash` names the issuer in the
    /// request: SHA-1 is what every responder understands (RFC 5019 §2.1.1), and protects nothing here.
    ///
    /// # Errors
    /// See [`InquiryProblem`].
    pub fn about(
        certificate: &[u8],
        issuer: &[u8],
        hash: CertIdHash,
        policy: NoncePolicy,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, InquiryProblem> {
        let leaf = Certificate::parse(certificate).map_err(InquiryProblem::Certificate)?;
        let anchor = TrustAnchor::from_certificate(issuer)?;
        let above = Certificate::parse(issuer).map_err(CertificateProblem::from)?;
        if !leaf.is_signed_by(&above) {
            return Err(InquiryProblem::NotIts);
        }
        let hashes = IssuerHashes::of_certificate(issuer).map_err(CertificateProblem::from)?;
        let nonce = match policy {
            NoncePolicy::Omit => None,
            NoncePolicy::Prefer | NoncePolicy::Require => {
                let mut octets = vec![0; NONCE_OCTETS_USUAL];
                entropy.fill(&mut octets);
                Some(octets)
            }
        };
        let request = request_der(&[hashes.cert_id_der(hash, leaf.serial())], nonce.as_deref());
        Ok(Self { certificate: certificate.to_vec(), issuer: anchor, request, nonce, policy })
    }

    /// The request in DER: the body of a POST, or base64 at the end of the address of a GET (RFC 6960
    /// appendix A.1).
    pub fn request_der(&self) -> &[u8] {
        &self.request
    }

    /// Judges the bytes that came back, at the instant they came.
    ///
    /// # Errors
    /// Why the answer is not believed. Nothing of it may be used then, not even "revoked".
    pub fn judge(
        self,
        response: &[u8],
        rules: &AnswerRules,
        now: UnixSeconds,
    ) -> Result<Answer, AnswerRefused> {
        let bare = |fault| AnswerRefused { fault, times: None };
        let read = OcspResponse::parse(response).map_err(|fault| bare(fault.into()))?;
        let Some(basic) = read.basic.as_ref().filter(|_| read.status() == ResponseStatus::Successful) else {
            return Err(bare(AnswerFault::NotAnswered(read.status())));
        };
        let leaf = Certificate::parse(&self.certificate).map_err(|fault| bare(fault.into()))?;
        let echo = self.echo(basic).map_err(|fault| AnswerRefused {
            fault,
            times: self.single(basic, &leaf).map(|single| times(basic, single, rules, now, None)),
        })?;
        let Some(single) = self.single(basic, &leaf) else {
            return Err(bare(AnswerFault::OtherCertificate));
        };
        let times = times(basic, single, rules, now, (echo == NonceEcho::Repeated).then_some(now));
        let status = self
            .word(response, &read, &leaf, rules, now)
            .map_err(|fault| AnswerRefused { fault, times: Some(times) })?;
        let this_update = times.this_update.saturating_unix();
        match rules.seen.filter(|seen| this_update < *seen) {
            Some(seen) => {
                let fault = AnswerFault::OlderThanSeen { this_update, seen };
                Err(AnswerRefused { fault, times: Some(times) })
            }
            None => Ok(Answer { status, times, nonce: echo }),
        }
    }

    fn echo(&self, basic: &BasicResponse<'_>) -> Result<NonceEcho, AnswerFault> {
        match (self.nonce.as_deref(), basic.nonce) {
            // Signed for somebody else's request; harmless where we sent none and look at the times.
            (None, _) => Ok(NonceEcho::NotSent),
            (Some(sent), Some(came)) if sent == came => Ok(NonceEcho::Repeated),
            (Some(_), Some(_)) => Err(AnswerFault::OtherNonce),
            (Some(_), None) if self.policy == NoncePolicy::Require => Err(AnswerFault::NoNonce),
            (Some(_), None) => Ok(NonceEcho::Missing),
        }
    }

    /// What the answer says of our certificate; of several the newest.
    fn single<'r, 'a>(
        &self,
        basic: &'r BasicResponse<'a>,
        leaf: &Certificate<'_>,
    ) -> Option<&'r SingleResponse<'a>> {
        basic
            .singles
            .iter()
            .filter(|single| self.is_ours(&single.id, leaf.serial()))
            .max_by_key(|single| single.this_update)
    }

    fn is_ours(&self, id: &super::CertId<'_>, serial: &SerialNumber) -> bool {
        id.serial() == serial && id.is_of(self.issuer.subject_der(), self.issuer.key().key_octets())
    }

    /// Signature, signer, extensions and times, by the rule book of [`crate::validate`].
    fn word(
        &self,
        response: &[u8],
        read: &OcspResponse<'_>,
        leaf: &Certificate<'_>,
        rules: &AnswerRules,
        now: UnixSeconds,
    ) -> Result<Status, AnswerFault> {
        let mut evidence = Evidence::new();
        evidence.add_response(response)?;
        let question =
            Question { revocation: rules.delegate_status, freshness: rules.freshness, ..Question::at(now) };
        let issuer = std::slice::from_ref(&self.issuer);
        match word_on(leaf, issuer, &evidence, &question) {
            Ok((status, _)) => Ok(status),
            Err(None) => Err(AnswerFault::OtherCertificate),
            Err(Some(Status::Unknown(UnknownCause::ResponderDoesNotKnow))) => {
                Ok(Status::Unknown(UnknownCause::ResponderDoesNotKnow))
            }
            Err(Some(Status::Stale { age_seconds, limit_seconds, .. })) => {
                Err(AnswerFault::TooOld { age_seconds, limit_seconds })
            }
            Err(Some(Status::Unknown(UnknownCause::FromTheFuture { ahead_seconds }))) => {
                let limit_seconds = rules.freshness.clock_tolerance_seconds;
                Err(AnswerFault::FromTheFuture { ahead_seconds, limit_seconds })
            }
            Err(Some(Status::Unknown(cause))) => Err(self.explain(cause, read, now)),
            Err(Some(_)) => Err(AnswerFault::Unusable(UnknownCause::NoList)),
        }
    }

    fn explain(&self, cause: UnknownCause, read: &OcspResponse<'_>, now: UnixSeconds) -> AnswerFault {
        match cause {
            UnknownCause::UnknownCriticalExtension { offset } => {
                AnswerFault::UnknownCriticalExtension { offset }
            }
            UnknownCause::Malformed { what, offset } => AnswerFault::Malformed(Malformed { what, offset }),
            UnknownCause::OtherCertificate => AnswerFault::OtherCertificate,
            UnknownCause::BadSignature => AnswerFault::Responder(ResponderFault::BadSignature),
            UnknownCause::ResponderNotAuthorized | UnknownCause::SignerNotValid | UnknownCause::NoList => {
                AnswerFault::Responder(self.responder_fault(read, now))
            }
            other => AnswerFault::Unusable(other),
        }
    }

    /// Why the signer may not answer, as closely as its certificate shows.
    fn responder_fault(&self, read: &OcspResponse<'_>, now: UnixSeconds) -> ResponderFault {
        let Ok(issuer) = Certificate::parse(self.issuer.as_der()) else { return ResponderFault::NotValid };
        let claims = |certificate: &&Certificate<'_>| match read.basic.as_ref().map(|basic| basic.responder) {
            Some(ResponderId::Name(name)) => certificate.subject_der() == name,
            Some(ResponderId::Key(hash)) => {
                key_bits(certificate.spki_der()).is_ok_and(|bits| CertIdHash::Sha1.of(bits) == hash)
            }
            None => false,
        };
        let Some(delegate) = read.certificates().find(claims) else {
            return ResponderFault::Stranger;
        };
        let at = CertificateTime::from(now);
        if !delegate.is_signed_by(&issuer) || delegate.issuer_der() != issuer.subject_der() {
            ResponderFault::OtherIssuer
        } else if !delegate.extensions().has_purpose(&oid::OCSP_SIGNING) {
            ResponderFault::NoPurpose
        } else if at < delegate.not_before() || at > delegate.not_after() {
            ResponderFault::OutOfDates { not_before: delegate.not_before(), not_after: delegate.not_after() }
        } else {
            ResponderFault::NotValid
        }
    }
}

fn times(
    basic: &BasicResponse<'_>,
    single: &SingleResponse<'_>,
    rules: &AnswerRules,
    now: UnixSeconds,
    echoed_at: Option<UnixSeconds>,
) -> AnswerTimes {
    AnswerTimes {
        produced_at: basic.produced_at,
        this_update: single.this_update,
        next_update: single.next_update,
        age_seconds: now.since(single.this_update.saturating_unix()),
        limit_seconds: rules.freshness.limit_seconds(single.this_update, single.next_update),
        clock_offset_seconds: echoed_at
            .map(|at| basic.produced_at.0.saturating_sub(CertificateTime::from(at).0)),
    }
}

/// The addresses of responders that a certificate names, in its order: id-ad-ocsp of authorityInfoAccess,
/// RFC 5280 §4.2.2.1. Other forms than addresses are left out.
///
/// # Errors
/// The certificate cannot be read.
pub fn responder_addresses(certificate: &[u8]) -> Result<Vec<String>, Malformed> {
    let certificate = Certificate::parse(certificate)?;
    let Some(list) = certificate.extensions().access[0] else { return Ok(Vec::new()) };
    let mut descriptions = list.inside();
    let mut addresses = Vec::new();
    while !descriptions.is_empty() {
        let mut fields = descriptions.expect(tag::SEQUENCE, "accessDescription")?.inside();
        let method = fields.object_identifier("accessMethod")?;
        let location = fields.any("accessLocation")?;
        fields.finish("accessDescription")?;
        if method == oid::ACCESS_OCSP.as_bytes() && location.tag == tag::context(6) {
            addresses.extend(std::str::from_utf8(location.content).ok().map(str::to_owned));
        }
    }
    Ok(addresses)
}
