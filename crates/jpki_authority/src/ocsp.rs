//! Answers to OCSP requests: RFC 6960, with the times of RFC 5019 §2.2.4 and the nonce of RFC 9654.
//!
//! The status comes from the store at every request: what any process of the authority has recorded is in
//! the next answer. Only *signatures* are used again, for requests without a nonce, as long as the status
//! they speak of has not changed and they are young.

use crate::CertificateKind;
use crate::authority::Authority;
use crate::store::Standing;
use bytes::Bytes;
use pki::ocsp::request::OcspRequest;
use pki::ocsp::response::{CertStatus, OcspDelegate, ResponderNaming, SingleStatus, refusal};
use pki::ocsp::{CertId, ResponseStatus};
use protocol::time::UnixSeconds;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Signed answers kept, in each of the parts of the table: about 20 MB in all when full.
const KEPT_PER_PART: usize = 1_024;
/// Parts of the table, so that threads seldom wait for each other.
const PARTS: usize = 16;

/// An answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OcspAnswer {
    /// The OCSPResponse in DER.
    pub der: Bytes,
    /// Its responseStatus.
    pub status: ResponseStatus,
    /// Whether and how long others may keep it: RFC 5019 §6.
    pub freshness: Option<Freshness>,
}

/// How long an answer without a nonce may be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freshness {
    /// thisUpdate.
    pub this_update: UnixSeconds,
    /// nextUpdate.
    pub next_update: UnixSeconds,
    /// Seconds from now for which a cache should not ask again.
    pub max_age_seconds: u64,
}

impl OcspAnswer {
    /// Entity tag: SHA-256 of the response, in hexadecimal (RFC 5019 §6.2).
    pub(crate) fn tag(&self) -> String {
        pki::ocsp::sha256(&self.der).iter().map(|octet| format!("{octet:02x}")).collect()
    }

    pub(crate) fn refused(status: ResponseStatus) -> Self {
        Self { der: Bytes::from(refusal(status)), status, freshness: None }
    }
}

/// An answer that was signed before.
#[derive(Clone)]
struct Kept {
    /// The status it speaks of: its count of changes, and whether there is a certificate.
    of: Option<(u64, bool)>,
    signed_at: UnixSeconds,
    der: Bytes,
}

/// Signed answers by CertID.
pub(crate) struct SignedAnswers {
    parts: [Mutex<HashMap<Vec<u8>, Kept>>; PARTS],
}

impl SignedAnswers {
    pub(crate) fn new() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Serial numbers are random: their last octet spreads them evenly.
    fn part(&self, id: &[u8]) -> Option<&Mutex<HashMap<Vec<u8>, Kept>>> {
        self.parts.get(usize::from(id.last().copied().unwrap_or(0)) % PARTS)
    }

    fn find(&self, id: &[u8]) -> Option<Kept> {
        self.part(id)?.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn keep(&self, id: &[u8], kept: Kept) {
        let Some(part) = self.part(id) else { return };
        let mut answers = part.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= KEPT_PER_PART {
            // Rare, and cheaper than remembering who was used when.
            answers.clear();
        }
        answers.insert(id.to_vec(), kept);
    }
}

/// What a response says of a certificate.
fn cert_status(standing: Option<&Standing>) -> CertStatus {
    match standing {
        Some(Standing { revoked: Some((reason, at)), .. }) => {
            CertStatus::Revoked { reason: *reason, at: *at }
        }
        // Spent and never signed is as good as never issued.
        Some(Standing { not_after: Some(_), .. }) => CertStatus::Good,
        Some(_) | None => CertStatus::Unknown,
    }
}

impl Authority {
    /// Answers one DER request. Never fails: whatever is wrong becomes one of RFC 6960's refusals.
    ///
    /// A response has one signer, and a delegate speaks for one authority: the first certificate of the
    /// request decides which. A certificate of nobody known here is `unknown` beside others; a request of
    /// nothing but those, or of both authorities at once, is `unauthorized` (RFC 5019 §2.2.3).
    pub fn answer_ocsp(&self, request: &[u8], now: UnixSeconds) -> OcspAnswer {
        let answer = self.answer_parsed(request, now).unwrap_or_else(OcspAnswer::refused);
        metrics::counter!("kazasu_ocsp_answers_total", "status" => status_word(answer.status)).increment(1);
        answer
    }

    fn answer_parsed(&self, request: &[u8], now: UnixSeconds) -> Result<OcspAnswer, ResponseStatus> {
        let request = OcspRequest::parse(request).map_err(|problem| problem.response_status())?;
        let mut kinds = request.cert_ids().iter().filter_map(|id| self.kind_named_by(id));
        let kind = kinds.next().ok_or(ResponseStatus::Unauthorized)?;
        if kinds.any(|other| other != kind) {
            return Err(ResponseStatus::Unauthorized);
        }
        let delegate = self.branch(kind).delegate.load_full();
        let delegate = delegate.filter(|delegate| delegate.signer.is_valid_at(now));
        let delegate = &delegate.ok_or(ResponseStatus::TryLater)?.signer;
        match (request.cert_ids(), request.nonce()) {
            ([id], None) => self.answer_one(kind, delegate, id, now),
            (ids, nonce) => {
                let mut standings = Vec::with_capacity(ids.len());
                for id in ids {
                    let known = self.branch(kind).issuer_hashes.matches(id);
                    standings.push(if known { self.standing_of(kind, id)? } else { None });
                }
                let der = self.sign_answer(delegate, ids, &standings, nonce, now)?;
                let freshness = nonce.is_none().then(|| self.freshness(now, now));
                Ok(OcspAnswer { der, status: ResponseStatus::Successful, freshness })
            }
        }
    }

    /// One certificate and no nonce: what caches and most clients ask.
    fn answer_one(
        &self,
        kind: CertificateKind,
        delegate: &OcspDelegate,
        id: &CertId<'_>,
        now: UnixSeconds,
    ) -> Result<OcspAnswer, ResponseStatus> {
        let standing = self.standing_of(kind, id)?;
        let of = standing.map(|standing| (standing.changed, standing.not_after.is_some()));
        let usable = |kept: &Kept| {
            let age = now.since(kept.signed_at);
            kept.of == of && kept.signed_at <= now && age < self.config.ocsp.reuse_seconds
        };
        let kept = match self.answers.find(id.as_der()).filter(usable) {
            Some(kept) => kept,
            None => {
                let der = self.sign_answer(delegate, std::slice::from_ref(id), &[standing], None, now)?;
                let kept = Kept { of, signed_at: now, der };
                self.answers.keep(id.as_der(), kept.clone());
                kept
            }
        };
        let freshness = Some(self.freshness(kept.signed_at, now));
        Ok(OcspAnswer { der: kept.der, status: ResponseStatus::Successful, freshness })
    }

    fn freshness(&self, signed_at: UnixSeconds, now: UnixSeconds) -> Freshness {
        let times = &self.config.ocsp;
        Freshness {
            this_update: signed_at,
            next_update: signed_at.plus(times.validity_seconds),
            max_age_seconds: times.reuse_seconds.saturating_sub(now.since(signed_at)),
        }
    }

    fn kind_named_by(&self, id: &CertId<'_>) -> Option<CertificateKind> {
        CertificateKind::ALL.into_iter().find(|kind| self.branch(*kind).issuer_hashes.matches(id))
    }

    fn standing_of(
        &self,
        kind: CertificateKind,
        id: &CertId<'_>,
    ) -> Result<Option<Standing>, ResponseStatus> {
        self.store.standing(kind, id.serial()).map_err(|error| {
            tracing::error!(%error, "no status for an OCSP answer");
            ResponseStatus::InternalError
        })
    }

    fn sign_answer(
        &self,
        delegate: &OcspDelegate,
        ids: &[CertId<'_>],
        standings: &[Option<Standing>],
        nonce: Option<&[u8]>,
        now: UnixSeconds,
    ) -> Result<Bytes, ResponseStatus> {
        let next_update = now.plus(self.config.ocsp.validity_seconds);
        let singles: Vec<SingleStatus<'_>> = ids
            .iter()
            .zip(standings)
            .map(|(id, standing)| SingleStatus {
                cert_id: *id,
                status: cert_status(standing.as_ref()),
                this_update: now,
                next_update,
            })
            .collect();
        // By key: shorter, and what RFC 5019bis §3.2.2 asks of new responders.
        delegate.respond(&singles, nonce, now, ResponderNaming::ByKey).map(Bytes::from).map_err(|error| {
            tracing::error!(%error, "an OCSP answer was not signed");
            self.dismiss_delegate(delegate);
            ResponseStatus::TryLater
        })
    }
}

const fn status_word(status: ResponseStatus) -> &'static str {
    match status {
        ResponseStatus::Successful => "successful",
        ResponseStatus::MalformedRequest => "malformed_request",
        ResponseStatus::InternalError => "internal_error",
        ResponseStatus::TryLater => "try_later",
        ResponseStatus::SigRequired => "sig_required",
        ResponseStatus::Unauthorized => "unauthorized",
    }
}
