//! What responses say of one certificate whose issuer is at hand: RFC 6960 §3.2 without a path around it.
//! For those who ask a responder and want its word, also about a certificate that is no longer valid.

use super::anchor::TrustAnchor;
use super::input::{Freshness, Question};
use super::ocsp;
use super::session::{Evidence, Session};
use super::status::Finding;
use crate::asn1::time::CertificateTime;
use crate::certificate::Certificate;
use crate::revocation::Status;

/// What the responses in `evidence` say of `certificate`, issued by the one anchor of `issuer`.
///
/// # Errors
/// The status that says why none can be used; `None` if none speaks of the certificate.
pub(crate) fn word_on<'a>(
    certificate: &Certificate<'a>,
    issuer: &'a [TrustAnchor],
    evidence: &Evidence<'a>,
    question: &Question,
) -> Result<(Status, CertificateTime), Option<Status>> {
    let mut session = Session::new(certificate, issuer, evidence, question);
    match ocsp::find(&mut session, &[0], 0, 0, 0) {
        Finding::Says(status, from) => Ok((status, from)),
        Finding::Unusable(status) => Err(Some(status)),
        Finding::Silent => Err(None),
    }
}

impl Freshness {
    /// Seconds since thisUpdate after which a statement is too old: its own nextUpdate with the clocks'
    /// tolerance, or the limit for those without one; never more than [`Self::age_seconds_max`].
    pub fn limit_seconds(&self, this_update: CertificateTime, next_update: Option<CertificateTime>) -> u64 {
        let this = this_update.saturating_unix();
        let own = match next_update {
            Some(next) => next.saturating_unix().since(this).saturating_add(self.clock_tolerance_seconds),
            None => self.age_seconds_max_without_next_update,
        };
        own.min(self.age_seconds_max)
    }
}
