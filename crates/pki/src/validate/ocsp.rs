//! What OCSP responses say of one certificate: RFC 6960 §3.2, §4.2.2.

use super::build::verify_certificate;
use super::crl::clear;
use super::error::Fault;
use super::input::{ExplicitPolicy, InitialPolicies, Question, RevocationRule};
use super::names;
use super::profile::Profile;
use super::session::{Session, Signed, SignedBy, Subject};
use super::status::{Age, Finding, more_telling, revoked};
use super::walk::walk;
use crate::ocsp::read::{BasicResponse, CertStatus, ResponderId, SingleResponse};
use crate::revocation::{Status, UnknownCause};
use aws_lc_rs::digest;

/// Asks the responses about the certificate at `index` of a path.
pub(crate) fn find(
    session: &mut Session<'_, '_>,
    path: &[usize],
    index: usize,
    anchor: usize,
    depth: usize,
) -> Finding {
    let Some(certificate) = path.get(index).and_then(|place| session.certificate(*place)) else {
        return Finding::Silent;
    };
    let issuer = Session::issuer_in(path, index, anchor);
    let mut best: Option<Finding> = None;
    let mut unusable = None;
    for place in 0..session.responses.len() {
        let Some(basic) = session.responses.get(place).and_then(|response| response.basic.as_ref()) else {
            continue;
        };
        // Who answers is the same for everything that the response says.
        let mut responder = None;
        for single in basic.singles.iter().filter(|single| single.id.serial() == certificate.serial()) {
            let is_of = |octets: &[u8]| single.id.is_of(certificate.issuer_der(), octets);
            let is_ours = session.with_key(issuer, |key| is_of(key.key_octets())).unwrap_or(false);
            let outcome = if is_ours {
                let above = Above { path: path.get(index + 1..).unwrap_or_default(), anchor, issuer };
                use_single(session, basic, single, (place, &mut responder), &above, depth)
            } else if is_of_another(session, single, issuer) {
                // Serial numbers are unique for one issuer only.
                continue;
            } else {
                Err(Status::Unknown(UnknownCause::OtherCertificate))
            };
            match outcome {
                Ok(finding) => best = Some(better(best, finding)),
                Err(status) => unusable = more_telling(unusable, status),
            }
        }
    }
    match (best, unusable) {
        (Some(finding), _) => finding,
        (None, Some(status)) => Finding::Unusable(status),
        (None, None) => Finding::Silent,
    }
}

/// Whether the answer is about a certificate of another issuer that is known here, so that it has nothing to
/// do with this one. An answer about nobody's certificate was meant for somebody, and may be for this one.
fn is_of_another(session: &mut Session<'_, '_>, single: &SingleResponse<'_>, issuer: SignedBy) -> bool {
    let certificates = (0..session.nodes.len()).map(SignedBy::Certificate);
    let anchors = (0..session.anchors.len()).map(SignedBy::Anchor);
    for other in certificates.chain(anchors).filter(|other| *other != issuer) {
        let name = session.subject_of(other);
        if session.count_candidate().is_err() {
            return false;
        }
        if session.with_key(other, |key| single.id.is_of(name, key.key_octets())).unwrap_or(false) {
            return true;
        }
    }
    false
}

/// Of two usable answers: a revocation, else the newer.
fn better(known: Option<Finding>, new: Finding) -> Finding {
    let Some(known) = known else { return new };
    let is_revoked = |finding| matches!(finding, Finding::Says(Status::Revoked { .. }, _));
    let from = |finding| match finding {
        Finding::Says(_, from) => Some(from),
        Finding::Silent | Finding::Unusable(_) => None,
    };
    if is_revoked(known) || (!is_revoked(new) && from(known) >= from(new)) { known } else { new }
}

/// The issuers above the certificate in question.
struct Above<'p> {
    path: &'p [usize],
    anchor: usize,
    issuer: SignedBy,
}

fn use_single(
    session: &mut Session<'_, '_>,
    basic: &BasicResponse<'_>,
    single: &SingleResponse<'_>,
    (place, responder): (usize, &mut Option<Result<(), UnknownCause>>),
    above: &Above<'_>,
    depth: usize,
) -> Result<Finding, Status> {
    let unknown = |cause| Err(Status::Unknown(cause));
    if let Some(extension) = basic.unknown_critical.or(single.unknown_critical) {
        return unknown(UnknownCause::UnknownCriticalExtension { offset: extension.offset });
    }
    // RFC 8954 §2.1: an answer without our nonce may be an old one.
    if session.question.ocsp_nonce.as_deref().is_some_and(|sent| basic.nonce != Some(sent)) {
        return unknown(UnknownCause::NonceMismatch);
    }
    let checked = responder.get_or_insert_with(|| check_responder(session, basic, place, above, depth));
    (*checked).map_err(Status::Unknown)?;
    let freshness = session.question.freshness;
    let at = session.question.at;
    if single.next_update.is_some_and(|next| next < single.this_update) {
        return unknown(UnknownCause::Malformed { what: "nextUpdate", offset: basic.tbs.offset });
    }
    if let Age::Future(cause) = freshness.judge(at, basic.produced_at, None) {
        return unknown(cause);
    }
    let age = freshness.judge(at, single.this_update, single.next_update);
    let this_update = single.this_update.saturating_unix();
    match (single.status, age) {
        (_, Age::Future(cause)) => unknown(cause),
        (CertStatus::Revoked { at, reason }, _) => Ok(Finding::Says(revoked(reason, at), single.this_update)),
        (_, Age::Stale(status)) => Err(status),
        (CertStatus::Unknown, Age::Fresh) => unknown(UnknownCause::ResponderDoesNotKnow),
        (CertStatus::Good, Age::Fresh) => {
            let age_seconds = at.since(this_update);
            Ok(Finding::Says(Status::Good { this_update, age_seconds }, single.this_update))
        }
    }
}

/// RFC 6960 §4.2.2.2: the issuer itself, or a certificate that the issuer's own key made its delegate.
fn check_responder(
    session: &mut Session<'_, '_>,
    basic: &BasicResponse<'_>,
    place: usize,
    above: &Above<'_>,
    depth: usize,
) -> Result<(), UnknownCause> {
    let signed =
        Signed { algorithm: &basic.signature_algorithm, message: basic.tbs.raw, signature: basic.signature };
    let delegates = (0..session.nodes.len()).map(SignedBy::Certificate);
    let candidates: Vec<SignedBy> = std::iter::once(above.issuer).chain(delegates).collect();
    let mut cause = UnknownCause::ResponderNotAuthorized;
    for signer in candidates {
        if !is_responder(session, basic.responder, signer) {
            continue;
        }
        match session.verify(Subject::Response(place), signed, signer) {
            Ok(()) if signer == above.issuer => return Ok(()),
            Ok(()) => {}
            Err(Fault::WorkLimit { .. }) => return Err(UnknownCause::WorkLimit),
            Err(_) => {
                cause = UnknownCause::BadSignature;
                continue;
            }
        }
        match check_delegate(session, signer, above, depth) {
            Ok(()) => return Ok(()),
            Err(found) => cause = found,
        }
    }
    Err(cause)
}

fn is_responder(session: &mut Session<'_, '_>, responder: ResponderId<'_>, signer: SignedBy) -> bool {
    match responder {
        ResponderId::Name(name) => names::same(session.subject_of(signer), name),
        ResponderId::Key(hash) => session
            .with_key(signer, |key| {
                // RFC 6960 §4.2.1: SHA-1 by definition; it only names a key here.
                digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key.key_octets()).as_ref() == hash
            })
            .unwrap_or(false),
    }
}

fn check_delegate(
    session: &mut Session<'_, '_>,
    signer: SignedBy,
    above: &Above<'_>,
    depth: usize,
) -> Result<(), UnknownCause> {
    let SignedBy::Certificate(place) = signer else { return Err(UnknownCause::ResponderNotAuthorized) };
    let Some(delegate) = session.certificate(place) else {
        return Err(UnknownCause::ResponderNotAuthorized);
    };
    // The same key must have signed the delegate and the certificate in question.
    if !names::same(delegate.issuer_der(), session.subject_of(above.issuer))
        || Profile::OcspResponder.check(delegate).is_err()
    {
        return Err(UnknownCause::ResponderNotAuthorized);
    }
    match verify_certificate(session, place, above.issuer) {
        Ok(()) => {}
        Err(Fault::WorkLimit { .. }) => return Err(UnknownCause::WorkLimit),
        Err(_) => return Err(UnknownCause::ResponderNotAuthorized),
    }
    let question = Question {
        profile: Profile::OcspResponder,
        purpose: None,
        initial_policies: InitialPolicies::Any,
        explicit_policy: ExplicitPolicy::WhereCertificatesSaySo,
        ..session.question.clone()
    };
    let Some(anchor) = session.anchor(above.anchor) else { return Err(UnknownCause::SignerNotValid) };
    let places = std::iter::once(&place).chain(above.path);
    let path: Vec<_> = places.filter_map(|place| session.certificate(*place)).collect();
    walk(&path, anchor, &question).map_err(|_| UnknownCause::SignerNotValid)?;
    // RFC 6960 §4.2.2.2.1: the issuer may vouch for its delegate's short life, or say where its status is
    // found; where it says neither, what is at hand is asked and nothing is demanded.
    let extensions = delegate.extensions();
    if extensions.ocsp_no_check || session.question.revocation == RevocationRule::None {
        return Ok(());
    }
    let says_where = extensions.crl_distribution_points.is_some() || extensions.access[0].is_some();
    let rule = if says_where { session.question.revocation } else { RevocationRule::IfPresent };
    clear(session, place, above.anchor, depth, (Profile::OcspResponder, rule))
}
