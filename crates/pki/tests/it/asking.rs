//! Asking a responder: what of the bytes that came back is believed, and by what name the rest is refused.

use crate::forge::{Cert, DAY, NOW, Response, Says, distribution_point, extension, key, purposes};
use pki::asn1::time::CertificateTime;
use pki::ocsp::CertIdHash;
use pki::ocsp::ask::{
    Answer, AnswerFault, AnswerRefused, AnswerRules, Inquiry, InquiryProblem, NonceEcho, NoncePolicy,
    ResponderFault, responder_addresses,
};
use pki::ocsp::request::OcspRequest;
use pki::oid;
use pki::revocation::{RevocationReason, Status, UnknownCause};
use pki::validate::input::{Freshness, RevocationRule};
use protocol::entropy::Seeded;
use protocol::time::UnixSeconds;

const SERIAL: u64 = 700;

fn issuer() -> Vec<u8> {
    Cert::root("CN=root", 0).der()
}

fn leaf() -> Vec<u8> {
    Cert::leaf("CN=leaf", 1, "CN=root", 0).serial(SERIAL).der()
}

fn inquiry(policy: NoncePolicy) -> Inquiry {
    Inquiry::about(&leaf(), &issuer(), CertIdHash::Sha1, policy, &mut Seeded::new(5)).unwrap()
}

fn nonce_of(inquiry: &Inquiry) -> Option<Vec<u8>> {
    OcspRequest::parse(inquiry.request_der()).unwrap().nonce().map(<[u8]>::to_vec)
}

fn judged(response: &Response, rules: &AnswerRules) -> Result<Answer, AnswerRefused> {
    inquiry(NoncePolicy::Omit).judge(&response.der(), rules, NOW)
}

fn refused(response: &Response) -> AnswerFault {
    judged(response, &AnswerRules::default()).unwrap_err().fault
}

fn says(says: Says) -> Response {
    Response::new("CN=root", 0, SERIAL, says)
}

#[test]
fn the_request_is_about_the_certificate_and_has_the_nonce_that_the_policy_wants() {
    for hash in CertIdHash::ALL {
        let asked = Inquiry::about(&leaf(), &issuer(), hash, NoncePolicy::Require, &mut Seeded::new(1));
        let asked = asked.unwrap();
        let request = OcspRequest::parse(asked.request_der()).unwrap();
        let [id] = request.cert_ids() else { panic!("one certificate") };
        assert_eq!(id.hash(), Some(hash));
        assert_eq!(id.serial().as_bytes(), [2, 188]);
        assert_eq!(request.nonce().unwrap().len(), 32);
        assert_eq!(format!("{asked:?}"), "Inquiry { policy: Require, .. }");
    }
    assert_eq!(nonce_of(&inquiry(NoncePolicy::Omit)), None);
    assert!(nonce_of(&inquiry(NoncePolicy::Prefer)).is_some());
    let about = |leaf: &[u8], issuer: &[u8]| {
        Inquiry::about(leaf, issuer, CertIdHash::Sha1, NoncePolicy::Omit, &mut Seeded::new(1)).unwrap_err()
    };
    let other = Cert::root("CN=root", 9).der();
    assert_eq!(about(&leaf(), &other), InquiryProblem::NotIts);
    assert!(matches!(about(&[0x30, 0], &other), InquiryProblem::Certificate(_)));
    assert!(matches!(about(&leaf(), &leaf()), InquiryProblem::Issuer(_)));
}

#[test]
fn every_status_is_told_with_its_times() {
    let told = |what| judged(&says(what), &AnswerRules::default()).unwrap();
    let good = told(Says::Good);
    assert_eq!(good.status(), Status::Good { this_update: NOW.minus(3_600), age_seconds: 3_600 });
    assert_eq!((good.times().age_seconds, good.times().limit_seconds), (3_600, DAY + 3_600 + 60));
    assert_eq!((good.nonce(), good.times().clock_offset_seconds), (NonceEcho::NotSent, None));
    let reason = RevocationReason::Superseded;
    assert_eq!(told(Says::Revoked(4)).status(), Status::Revoked { reason, at: NOW.minus(50) });
    assert_eq!(told(Says::Revoked(6)).status(), Status::Hold { since: NOW.minus(50) });
    assert_eq!(told(Says::Unknown).status(), Status::Unknown(UnknownCause::ResponderDoesNotKnow));
    // A certificate whose own time is over can still be asked about.
    let old = Cert { not_after: NOW.minus(DAY), ..Cert::leaf("CN=leaf", 1, "CN=root", 0).serial(SERIAL) };
    let asked =
        Inquiry::about(&old.der(), &issuer(), CertIdHash::Sha256, NoncePolicy::Omit, &mut Seeded::new(1));
    let answer = asked.unwrap().judge(&says(Says::Good).der(), &AnswerRules::default(), NOW).unwrap();
    assert!(matches!(answer.status(), Status::Good { .. }));
}

#[test]
fn nonces_by_policy() {
    for (policy, echoed, expected) in [
        (NoncePolicy::Omit, None, Ok(NonceEcho::NotSent)),
        (NoncePolicy::Omit, Some(7), Ok(NonceEcho::NotSent)),
        (NoncePolicy::Prefer, None, Ok(NonceEcho::Missing)),
        (NoncePolicy::Prefer, Some(0), Ok(NonceEcho::Repeated)),
        (NoncePolicy::Prefer, Some(7), Err(AnswerFault::OtherNonce)),
        (NoncePolicy::Require, None, Err(AnswerFault::NoNonce)),
        (NoncePolicy::Require, Some(0), Ok(NonceEcho::Repeated)),
        (NoncePolicy::Require, Some(7), Err(AnswerFault::OtherNonce)),
    ] {
        let asked = inquiry(policy);
        let nonce = match echoed {
            None => None,
            Some(0) => nonce_of(&asked),
            Some(octet) => Some(vec![octet; 32]),
        };
        let produced_at = NOW.plus(7);
        let response = Response { nonce, produced_at, ..says(Says::Good) };
        let outcome = asked.judge(&response.der(), &AnswerRules::default(), NOW);
        assert_eq!(outcome.map(|answer| answer.nonce()).map_err(|refused| refused.fault), expected);
        if let Ok(answer) = outcome {
            // Only a repeated nonce ties the responder's clock to ours.
            let offset = (expected == Ok(NonceEcho::Repeated)).then_some(7);
            assert_eq!(answer.times().clock_offset_seconds, offset);
        } else {
            let times = outcome.unwrap_err().times.unwrap();
            assert_eq!((times.age_seconds, times.produced_at), (3_600, CertificateTime::from(produced_at)));
        }
    }
}

#[test]
fn times_at_their_limits() {
    let rules = |age_seconds_max, tolerance| AnswerRules {
        freshness: Freshness { age_seconds_max, clock_tolerance_seconds: tolerance, ..Freshness::default() },
        ..AnswerRules::default()
    };
    let dated = |this: UnixSeconds, next: Option<UnixSeconds>| Response {
        this_update: this,
        produced_at: this,
        next_update: next,
        ..says(Says::Good)
    };
    let outcome = |response: &Response, rules: &AnswerRules| match judged(response, rules) {
        Ok(_) => "taken",
        Err(AnswerRefused { fault: AnswerFault::TooOld { age_seconds, limit_seconds }, times }) => {
            let times = times.unwrap();
            assert_eq!((times.age_seconds, times.limit_seconds), (age_seconds, limit_seconds));
            assert!(age_seconds > limit_seconds);
            "old"
        }
        Err(AnswerRefused { fault: AnswerFault::FromTheFuture { ahead_seconds, limit_seconds }, times }) => {
            assert!(ahead_seconds > limit_seconds && times.is_some());
            "future"
        }
        Err(other) => panic!("{other:?}"),
    };
    for (offset, expected) in [(-1_i64, "taken"), (0, "taken"), (1, "old")] {
        let shift = |from: UnixSeconds| UnixSeconds(from.0.checked_add_signed(-offset).unwrap());
        // nextUpdate passed by the tolerance; thisUpdate as old as allowed; no nextUpdate and a day old.
        let hour = NOW.minus(3_600);
        let next = shift(NOW.minus(60));
        assert_eq!(outcome(&dated(hour, Some(next)), &rules(u64::MAX, 60)), expected, "next {offset}");
        let this = shift(NOW.minus(300));
        let later = Some(NOW.plus(DAY));
        assert_eq!(outcome(&dated(this, later), &rules(300, 60)), expected, "age {offset}");
        let this = shift(NOW.minus(DAY));
        assert_eq!(outcome(&dated(this, None), &rules(u64::MAX, 60)), expected, "none {offset}");
    }
    for (ahead, expected) in [(59, "taken"), (60, "taken"), (61, "future")] {
        let this = NOW.plus(ahead);
        assert_eq!(outcome(&dated(this, Some(this.plus(9))), &rules(u64::MAX, 60)), expected, "{ahead}");
        let produced = Response { produced_at: this, ..says(Says::Good) };
        assert_eq!(outcome(&produced, &rules(u64::MAX, 60)), expected, "producedAt {ahead}");
    }
    // A revocation does not age.
    let old = Response { next_update: Some(NOW.minus(3_000)), ..says(Says::Revoked(1)) };
    let answer = judged(&old, &rules(0, 0)).unwrap();
    assert!(matches!(answer.status(), Status::Revoked { .. }));
    assert!(answer.times().age_seconds > answer.times().limit_seconds);
}

#[test]
fn an_answer_older_than_one_already_seen_is_a_replay() {
    let rules = |seen| AnswerRules { seen: Some(seen), ..AnswerRules::default() };
    let this_update = NOW.minus(3_600);
    assert!(judged(&says(Says::Good), &rules(this_update)).is_ok());
    let seen = this_update.plus(1);
    let refused = judged(&says(Says::Good), &rules(seen)).unwrap_err();
    assert_eq!(refused.fault, AnswerFault::OlderThanSeen { this_update, seen });
    assert!(refused.to_string().contains("2025-11-22T00:02:03Z"), "{refused}");
}

fn delegate() -> Cert {
    let no_check = extension(&oid::OCSP_NO_CHECK, false, &[5, 0]);
    Cert::leaf("CN=responder", 2, "CN=root", 0).with(purposes(&[oid::OCSP_SIGNING])).with(no_check)
}

#[test]
fn who_may_answer() {
    let by = |certificate: Vec<u8>| says(Says::Good).signed_by(2, certificate);
    assert!(judged(&by(delegate().der()), &AnswerRules::default()).is_ok());
    let plain = Cert::leaf("CN=responder", 2, "CN=root", 0);
    let fault = |certificate: &Cert| refused(&by(certificate.der()));
    assert_eq!(fault(&plain), AnswerFault::Responder(ResponderFault::NoPurpose));
    let foreign = Cert { signed_by: 3, ..delegate() };
    assert_eq!(fault(&foreign), AnswerFault::Responder(ResponderFault::OtherIssuer));
    let named = Cert { issuer: "CN=other".into(), ..delegate() };
    assert_eq!(fault(&named), AnswerFault::Responder(ResponderFault::OtherIssuer));
    let over = Cert { not_after: NOW.minus(1), ..delegate() };
    assert!(matches!(fault(&over), AnswerFault::Responder(ResponderFault::OutOfDates { .. })));
    assert!(judged(&by(Cert { not_after: NOW, ..delegate() }.der()), &AnswerRules::default()).is_ok());
    let early = Cert { not_before: NOW.plus(1), ..delegate() };
    assert!(matches!(fault(&early), AnswerFault::Responder(ResponderFault::OutOfDates { .. })));
    // RFC 6960 §4.2.2.2.1: where the issuer says nothing of its delegate's status, none is demanded; where it
    // says where that is found, and nothing was, the rules decide.
    let vouched_by_silence = plain.with(purposes(&[oid::OCSP_SIGNING]));
    assert!(judged(&by(vouched_by_silence.der()), &AnswerRules::default()).is_ok());
    let unchecked = vouched_by_silence.with(distribution_point(Some("CN=status"), &[], None));
    assert_eq!(fault(&unchecked), AnswerFault::Responder(ResponderFault::NotValid));
    let lenient = AnswerRules { delegate_status: RevocationRule::IfPresent, ..AnswerRules::default() };
    assert!(judged(&by(unchecked.der()), &lenient).is_ok());
    // Nobody's certificate came along.
    let stranger = Response { signed_by: 4, ..says(Says::Good) };
    assert_eq!(refused(&stranger), AnswerFault::Responder(ResponderFault::Stranger));
    let mut broken = says(Says::Good).der();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let outcome = inquiry(NoncePolicy::Omit).judge(&broken, &AnswerRules::default(), NOW);
    assert_eq!(outcome.unwrap_err().fault, AnswerFault::Responder(ResponderFault::BadSignature));
}

#[test]
fn answers_to_other_questions_and_no_answers() {
    let about = |issuer, issuer_key, serial| Response::new(issuer, issuer_key, serial, Says::Good);
    assert_eq!(refused(&about("CN=root", 0, SERIAL + 1)), AnswerFault::OtherCertificate);
    assert_eq!(refused(&about("CN=other", 0, SERIAL)), AnswerFault::OtherCertificate);
    let other_key = Response { signed_by: 0, ..about("CN=root", 3, SERIAL) };
    assert_eq!(refused(&other_key), AnswerFault::OtherCertificate);
    for code in [1, 2, 3, 5, 6] {
        let outcome =
            inquiry(NoncePolicy::Omit).judge(&[0x30, 3, 0x0A, 1, code], &AnswerRules::default(), NOW);
        let AnswerFault::NotAnswered(status) = outcome.unwrap_err().fault else { panic!("{code}") };
        assert_eq!(status.code(), code);
    }
    for garbage in [&b"<html>"[..], b"", &[0x30, 3, 0x0A, 1, 0], &[0x30, 3, 0x0A, 1, 4]] {
        let outcome = inquiry(NoncePolicy::Omit).judge(garbage, &AnswerRules::default(), NOW);
        assert!(matches!(outcome.unwrap_err().fault, AnswerFault::Malformed(_)), "{garbage:?}");
    }
    let backwards = Response { next_update: Some(NOW.minus(3_601)), ..says(Says::Good) };
    assert!(matches!(refused(&backwards), AnswerFault::Malformed(_)));
    let critical = Response { more: vec![extension(&oid::CRL_NUMBER, true, &[5, 0])], ..says(Says::Good) };
    assert!(matches!(refused(&critical), AnswerFault::UnknownCriticalExtension { .. }));
    let whole = says(Says::Good).der();
    for end in 0..whole.len() {
        let outcome = inquiry(NoncePolicy::Omit).judge(&whole[..end], &AnswerRules::default(), NOW);
        assert!(matches!(outcome.unwrap_err().fault, AnswerFault::Malformed(_)), "{end}");
    }
}

#[test]
fn the_certificate_says_whom_to_ask() {
    use pki::asn1::{tag, write};
    let access = |method, location: &[u8]| write::sequence(&[&write::oid(&method), location]);
    let uri = |text: &str| write::tlv(tag::context(6), text.as_bytes());
    let list = write::sequence(&[
        &access(oid::OCSP_BASIC, &uri("http://not.example/")),
        &access(oid::ACCESS_OCSP, &uri("http://one.example/ocsp")),
        &access(oid::ACCESS_OCSP, &write::tlv(tag::context(2), b"two.example")),
        &access(oid::ACCESS_OCSP, &uri("http://three.example/")),
    ]);
    let leaf = Cert::leaf("CN=leaf", 1, "CN=root", 0)
        .with(extension(&oid::AUTHORITY_INFO_ACCESS, false, &list))
        .der();
    assert_eq!(responder_addresses(&leaf).unwrap(), ["http://one.example/ocsp", "http://three.example/"]);
    assert!(responder_addresses(&issuer()).unwrap().is_empty());
    assert_eq!(key(0).spki_der().len(), 91);
}
