//! OCSP: the issuer's own answers and its delegates', in time and out of it, with and without a nonce.

use crate::asked::Given;
use crate::forge::{Cert, DAY, List, NOW, Response, Says, distribution_point, extension, purposes, revoked};
use pki::ocsp::OcspResponse;
use pki::oid;
use pki::revocation::{RevocationReason, Status, UnknownCause};
use pki::validate::input::{Freshness, RevocationRule};
use pki::validate::{CertificateStatus, Fault, Question, StatusSource};
use protocol::time::UnixSeconds;

const SERIAL: u64 = 700;
const ANSWER_TIME: UnixSeconds = UnixSeconds(NOW.0 - 3_600);

fn given(responses: &[Response]) -> Given {
    Given {
        anchors: vec![Cert::root("CN=root", 0).der()],
        leaf: Cert::leaf("CN=leaf", 1, "CN=root", 0).serial(SERIAL).der(),
        responses: responses.iter().map(Response::der).collect(),
        ..Given::default()
    }
}

fn asked_with(given: &Given, question: &Question) -> Result<CertificateStatus, Fault> {
    given.ask(question).map(|good| good.statuses[0]).map_err(|error| error.fault)
}

fn asked(responses: &[Response]) -> Result<CertificateStatus, Fault> {
    asked_with(&given(responses), &Question::at(NOW))
}

fn answer(says: Says) -> Response {
    Response::new("CN=root", 0, SERIAL, says)
}

fn good_since(this_update: UnixSeconds) -> Result<CertificateStatus, Fault> {
    let status = Status::Good { this_update, age_seconds: NOW.since(this_update) };
    Ok(CertificateStatus { status, source: StatusSource::Response, this_update: Some(this_update) })
}

fn unknown(cause: UnknownCause) -> Result<CertificateStatus, Fault> {
    Err(Fault::StatusUnknown { cause })
}

fn no_check() -> Vec<u8> {
    extension(&oid::OCSP_NO_CHECK, false, &[5, 0])
}

/// A delegate of the root with key 10.
fn delegate() -> Cert {
    Cert::leaf("CN=responder", 10, "CN=root", 0).with(purposes(&[oid::OCSP_SIGNING])).with(no_check())
}

#[test]
fn the_issuer_answers_by_key_and_by_name_with_either_hash() {
    for response in [
        answer(Says::Good),
        Response { by_name: Some("CN=root"), ..answer(Says::Good) },
        Response { by_name: Some("CN=ROOT"), ..answer(Says::Good) },
        Response { sha256: true, ..answer(Says::Good) },
    ] {
        assert_eq!(asked(&[response]), good_since(ANSWER_TIME));
    }
    let at = NOW.minus(50);
    for reason in RevocationReason::ALL {
        let response = answer(Says::Revoked(reason.code()));
        match reason {
            RevocationReason::CertificateHold => {
                assert_eq!(asked(&[response]), Err(Fault::OnHold { since: at }));
            }
            // A list's word, that no answer may use.
            RevocationReason::RemoveFromCrl => assert!(OcspResponse::parse(&response.der()).is_err()),
            reason => assert_eq!(asked(&[response]), Err(Fault::Revoked { reason, at })),
        }
    }
    assert_eq!(asked(&[answer(Says::Unknown)]), unknown(UnknownCause::ResponderDoesNotKnow));
    let elsewhere = Response { by_name: Some("CN=elsewhere"), ..answer(Says::Good) };
    assert_eq!(asked(&[elsewhere]), unknown(UnknownCause::ResponderNotAuthorized));
}

#[test]
fn delegates_must_be_made_by_the_issuer_for_this() {
    let with = |delegate: Cert| asked(&[answer(Says::Good).signed_by(10, delegate.der())]);
    assert_eq!(with(delegate()), good_since(ANSWER_TIME));
    let by_name = Response { by_name: Some("CN=responder"), ..answer(Says::Good) };
    assert_eq!(asked(&[by_name.signed_by(10, delegate().der())]), good_since(ANSWER_TIME));
    // nonRepudiation goes with OCSPSigning as digitalSignature does: RFC 5280 §4.2.1.12.
    assert_eq!(with(Cert { usage: Some(0x4000), ..delegate() }), good_since(ANSWER_TIME));
    let leaf = || Cert::leaf("CN=responder", 10, "CN=root", 0);
    let refused = [
        (leaf().with(no_check()), UnknownCause::ResponderNotAuthorized),
        (leaf().with(purposes(&[oid::CLIENT_AUTH])).with(no_check()), UnknownCause::ResponderNotAuthorized),
        // Any purpose is not this purpose.
        (leaf().with(purposes(&[oid::ANY_PURPOSE])).with(no_check()), UnknownCause::ResponderNotAuthorized),
        (Cert { usage: Some(0x2000), ..delegate() }, UnknownCause::ResponderNotAuthorized),
        (Cert { usage: Some(0x0400), ..delegate() }, UnknownCause::ResponderNotAuthorized),
        (
            Cert { authority: Some((true, None)), usage: Some(0x8600), ..delegate() },
            UnknownCause::ResponderNotAuthorized,
        ),
        (Cert { not_after: NOW.minus(1), ..delegate() }, UnknownCause::SignerNotValid),
        (Cert { not_before: NOW.plus(1), ..delegate() }, UnknownCause::SignerNotValid),
        (Cert { signed_by: 11, ..delegate() }, UnknownCause::ResponderNotAuthorized),
        (
            Cert { issuer: "CN=another".into(), signed_by: 11, ..delegate() },
            UnknownCause::ResponderNotAuthorized,
        ),
        // The answer is not by the key of the certificate that came with it.
        (Cert { key: 12, ..delegate() }, UnknownCause::ResponderNotAuthorized),
        (delegate().with(extension(&oid::HOLDER_NAME, true, &[5, 0])), UnknownCause::ResponderNotAuthorized),
    ];
    for (place, (cert, cause)) in refused.into_iter().enumerate() {
        assert_eq!(with(cert), unknown(cause), "{place}");
    }
    // Named by its name, and signed by somebody else.
    let forged = Response { by_name: Some("CN=responder"), ..answer(Says::Good) };
    let forged = Response { signed_by: 13, certificates: vec![delegate().der()], ..forged };
    assert_eq!(asked(&[forged]), unknown(UnknownCause::BadSignature));
}

#[test]
fn a_delegate_without_nocheck_is_looked_up() {
    let bare = Cert::leaf("CN=responder", 10, "CN=root", 0).with(purposes(&[oid::OCSP_SIGNING])).serial(55);
    // Where the issuer does not say how to look it up, nothing is demanded: RFC 6960 §4.2.2.2.1.
    let with_bare = |lists: &[List]| {
        let mut given = given(&[answer(Says::Good).signed_by(10, bare.der())]);
        given.lists = lists.iter().map(List::der).collect();
        asked_with(&given, &Question::at(NOW)).map(|found| found.source)
    };
    assert_eq!(with_bare(&[]), Ok(StatusSource::Response));
    assert_eq!(with_bare(&[List::new("CN=root", 0, &[revoked(55, 1)])]), Ok(StatusSource::List));
    let cert = bare.with(distribution_point(Some("CN=lists"), &[], None));
    let response = answer(Says::Good).signed_by(10, cert.der());
    let with = |lists: &[List]| {
        let mut given = given(std::slice::from_ref(&response));
        given.lists = lists.iter().map(List::der).collect();
        given
    };
    let required = Question::at(NOW);
    assert_eq!(asked_with(&with(&[]), &required), unknown(UnknownCause::SignerNotValid));
    let list = |entries: &[_]| List::new("CN=root", 0, entries);
    assert!(asked_with(&with(&[list(&[])]), &required).is_ok());
    // Revoked: its answer does not count. The list itself says that the leaf is good.
    let found = asked_with(&with(&[list(&[revoked(55, 1)])]), &required).unwrap();
    assert_eq!(found.source, StatusSource::List);
    let if_present = Question { revocation: RevocationRule::IfPresent, ..required };
    assert_eq!(asked_with(&with(&[]), &if_present), good_since(ANSWER_TIME));
}

#[test]
fn answers_about_another_certificate_do_not_count() {
    let other_serial = Response { serial: SERIAL + 1, ..answer(Says::Good) };
    assert_eq!(asked(&[other_serial]), unknown(UnknownCause::NoList));
    for other_issuer in [
        Response { issuer: "CN=another".into(), ..answer(Says::Good) },
        Response { issuer_key: 9, ..answer(Says::Good) },
    ] {
        let given = given(&[other_issuer]);
        for revocation in [RevocationRule::Required, RevocationRule::IfPresent] {
            let question = Question { revocation, ..Question::at(NOW) };
            assert_eq!(asked_with(&given, &question), unknown(UnknownCause::OtherCertificate));
        }
    }
}

/// Every certificate of a chain may have the serial number 1.
#[test]
fn the_same_serial_number_of_another_issuer_is_no_concern_of_this_one() {
    let mut given = given(&[Response::new("CN=ca", 2, SERIAL, Says::Good)]);
    given.bag = vec![Cert::ca("CN=ca", 2, "CN=root", 0).serial(SERIAL).der()];
    given.leaf = Cert::leaf("CN=leaf", 1, "CN=ca", 2).serial(SERIAL).der();
    let if_present = Question { revocation: RevocationRule::IfPresent, ..Question::at(NOW) };
    let found = given.ask(&if_present).unwrap();
    assert!(matches!(found.statuses[0].status, Status::Good { .. }));
    assert_eq!(found.statuses[1].status, Status::Unknown(UnknownCause::NoList));
    assert_eq!(asked_with(&given, &Question::at(NOW)), unknown(UnknownCause::NoList));
}

#[test]
fn times_at_their_limits() {
    let at = |response: &Response, at: UnixSeconds, freshness: Freshness| {
        let question = Question { freshness, ..Question::at(at) };
        asked_with(&given(std::slice::from_ref(response)), &question).err()
    };
    let response = answer(Says::Good);
    let next = NOW.plus(DAY);
    let exact = Freshness { clock_tolerance_seconds: 0, ..Freshness::default() };
    assert_eq!(at(&response, next, exact), None);
    let stale = |age_seconds, limit_seconds| {
        Some(Fault::StatusTooOld { this_update: ANSWER_TIME, age_seconds, limit_seconds })
    };
    assert_eq!(at(&response, next.plus(1), exact), stale(DAY + 3_601, DAY + 3_600));
    let tolerant = Freshness { clock_tolerance_seconds: 30, ..exact };
    assert_eq!(at(&response, next.plus(30), tolerant), None);
    assert!(at(&response, next.plus(31), tolerant).is_some());
    assert_eq!(at(&response, ANSWER_TIME.minus(30), tolerant), None);
    let future =
        |ahead_seconds| Some(Fault::StatusUnknown { cause: UnknownCause::FromTheFuture { ahead_seconds } });
    assert_eq!(at(&response, ANSWER_TIME.minus(31), tolerant), future(31));
    // producedAt in the future is as odd as thisUpdate.
    let produced = Response { produced_at: NOW.plus(31), ..response.clone() };
    assert_eq!(at(&produced, NOW, tolerant), future(31));
    // Without nextUpdate there is always something newer: a day is the end.
    let endless = Response { next_update: None, this_update: NOW.minus(DAY), ..response.clone() };
    assert_eq!(at(&endless, NOW, exact), None);
    assert!(matches!(at(&endless, NOW.plus(1), exact), Some(Fault::StatusTooOld { .. })));
    let impatient = Freshness { age_seconds_max: 3_600, ..exact };
    assert_eq!(at(&response, NOW, impatient), None);
    assert_eq!(at(&response, NOW.plus(1), impatient), stale(3_601, 3_600));
    let backwards = Response { next_update: Some(ANSWER_TIME.minus(1)), ..response };
    assert!(matches!(
        at(&backwards, NOW, exact),
        Some(Fault::StatusUnknown { cause: UnknownCause::Malformed { .. } })
    ));
}

#[test]
fn nonces() {
    let sent = Question { ocsp_nonce: Some(vec![7; 32]), ..Question::at(NOW) };
    let with = |nonce: Option<Vec<u8>>, question: &Question| {
        asked_with(&given(&[Response { nonce, ..answer(Says::Good) }]), question)
    };
    assert_eq!(with(Some(vec![7; 32]), &sent), good_since(ANSWER_TIME));
    assert_eq!(with(Some(vec![8; 32]), &sent), unknown(UnknownCause::NonceMismatch));
    // A replayed answer of before has none, or an old one.
    assert_eq!(with(None, &sent), unknown(UnknownCause::NonceMismatch));
    assert_eq!(with(Some(vec![8; 32]), &Question::at(NOW)), good_since(ANSWER_TIME));
}

#[test]
fn of_several_answers_and_lists_the_newest_counts_and_a_revocation_always() {
    let older = |says| Response { this_update: NOW.minus(7_200), ..answer(says) };
    let at = NOW.minus(50);
    let reason = RevocationReason::Superseded;
    for responses in [
        [answer(Says::Good), older(Says::Revoked(4))],
        [older(Says::Good), answer(Says::Revoked(4))],
        [answer(Says::Revoked(4)), older(Says::Revoked(6))],
    ] {
        assert_eq!(asked(&responses), Err(Fault::Revoked { reason, at }));
    }
    assert_eq!(asked(&[older(Says::Revoked(6)), answer(Says::Good)]), good_since(ANSWER_TIME));
    assert_eq!(asked(&[answer(Says::Revoked(6)), older(Says::Good)]), Err(Fault::OnHold { since: at }));
    // With lists beside them.
    let with = |response: Response, list: List| {
        let mut given = given(&[response]);
        given.lists.push(list.der());
        asked_with(&given, &Question::at(NOW)).map(|found| found.source)
    };
    let list =
        |entries: &[_], age: u64| List::new("CN=root", 0, entries).dated(NOW.minus(age), Some(NOW.plus(DAY)));
    let revoked_by_list = with(answer(Says::Good), list(&[revoked(SERIAL, 4)], 9_000));
    assert_eq!(revoked_by_list, Err(Fault::Revoked { reason, at }));
    assert_eq!(with(answer(Says::Good), list(&[revoked(SERIAL, 6)], 9_000)), Ok(StatusSource::Response));
    let held = with(answer(Says::Good), list(&[revoked(SERIAL, 6)], 60));
    assert_eq!(held, Err(Fault::OnHold { since: at }));
    assert_eq!(with(answer(Says::Unknown), list(&[], 60)), Ok(StatusSource::List));
}

#[test]
fn responses_with_unknown_critical_extensions_and_errors_are_of_no_use() {
    let odd = Response { more: vec![extension(&oid::HOLDER_NAME, true, &[5, 0])], ..answer(Says::Good) };
    assert!(matches!(
        asked(&[odd]),
        Err(Fault::StatusUnknown { cause: UnknownCause::UnknownCriticalExtension { offset } }) if offset > 0
    ));
    // tryLater says nothing of anybody.
    let later = Given { responses: vec![vec![0x30, 3, 0x0A, 1, 3]], ..given(&[]) };
    assert_eq!(asked_with(&later, &Question::at(NOW)), unknown(UnknownCause::NoList));
}
