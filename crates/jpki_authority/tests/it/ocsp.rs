use crate::served::{Served, read_response};
use crate::town::{DAY, Folder, NOW, authority, child, person};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jpki_authority::store::sqlite::SqliteStore;
use jpki_authority::store::{CertificateStore as _, NewCertificate, RevokeOutcome};
use jpki_authority::{Authority, CardEvent, CertificateKind, PersonCertificates};
use pki::certificate::Certificate;
use pki::ocsp::request::request_der;
use pki::ocsp::{CertIdHash, IssuerHashes, ResponseStatus};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::entropy::Seeded;
use protocol::time::{FixedClock, UnixSeconds};
use std::sync::Arc;

const AUTH: CertificateKind = CertificateKind::CardHolderAuth;
const SIGN: CertificateKind = CertificateKind::DocumentSignature;

fn id(authority: &Authority, kind: CertificateKind, hash: CertIdHash, serial: &SerialNumber) -> Vec<u8> {
    IssuerHashes::of_certificate(authority.ca_certificate_der(kind)).unwrap().cert_id_der(hash, serial)
}

/// An authority that answers, and one card.
fn answering(folder: &Folder) -> (Arc<Authority>, PersonCertificates) {
    let authority = authority(folder);
    authority.rotate_delegates(NOW, &mut Seeded::new(31)).unwrap();
    let card = authority.issue_person_certificates(&person(), NOW, &mut Seeded::new(32)).unwrap();
    (Arc::new(authority), card)
}

fn status(authority: &Authority, ids: &[Vec<u8>], at: UnixSeconds) -> Vec<(String, Option<u8>)> {
    let answer = authority.answer_ocsp(&request_der(ids, None), at);
    assert_eq!(answer.status, ResponseStatus::Successful);
    read_response(&answer.der).unwrap().statuses
}

fn words(statuses: &[(&str, Option<u8>)]) -> Vec<(String, Option<u8>)> {
    statuses.iter().map(|(word, reason)| ((*word).to_owned(), *reason)).collect()
}

#[test]
fn every_reason_is_answered_the_moment_it_is_recorded() {
    let folder = Folder::new();
    let (authority, card) = answering(&folder);
    let auth = [id(&authority, AUTH, CertIdHash::Sha1, &card.card_holder_auth.serial)];
    let sign = [id(&authority, SIGN, CertIdHash::Sha256, &card.document_signature.unwrap().serial)];
    let both = |at| (status(&authority, &auth, at), status(&authority, &sign, at));
    let said = |a: (&str, Option<u8>), s: (&str, Option<u8>)| (words(&[a]), words(&[s]));
    let good = ("good", None);
    assert_eq!(both(NOW), said(good, good));
    let serial = card.card_holder_auth.serial;
    authority.apply_event(CardEvent::LostCard, &serial, NOW).unwrap();
    assert_eq!(both(NOW), said(("revoked", Some(6)), ("revoked", Some(6))));
    authority.release_card(&serial, NOW).unwrap();
    assert_eq!(both(NOW), said(good, good));
    authority.apply_event(CardEvent::MovedOrMarried, &serial, NOW).unwrap();
    assert_eq!(both(NOW), said(good, ("revoked", Some(3))));
    // Another process of the authority, on the same store.
    let other = Authority::open(folder.config()).unwrap();
    let outcome = other.revoke(serial, AUTH, RevocationReason::Unspecified, NOW).unwrap();
    assert_eq!(outcome, RevokeOutcome::Recorded);
    assert_eq!(both(NOW), said(("revoked", None), ("revoked", Some(3))));
}

#[test]
fn what_was_never_issued_is_unknown_and_a_burnt_serial_too() {
    let folder = Folder::new();
    let (authority, card) = answering(&folder);
    let stranger = SerialNumber::from_octets(&[9; 8]).unwrap();
    let burnt = SerialNumber::from_octets(&[7; 8]).unwrap();
    let store = SqliteStore::open(&folder.config().store).unwrap();
    let asked =
        |serial: &SerialNumber| status(&authority, &[id(&authority, AUTH, CertIdHash::Sha1, serial)], NOW);
    assert_eq!(asked(&burnt), words(&[("unknown", None)]));
    store.spend_serials(&[NewCertificate { kind: AUTH, serial: burnt, shard: Some(1) }], None, NOW).unwrap();
    assert_eq!(asked(&burnt), words(&[("unknown", None)]));
    assert_eq!(asked(&stranger), words(&[("unknown", None)]));
    // Should its signature have got out after all, it can be revoked, and then it is.
    authority.revoke(burnt, AUTH, RevocationReason::KeyCompromise, NOW).unwrap();
    assert_eq!(asked(&burnt), words(&[("revoked", Some(1))]));
    // The serial numbers of the two kinds are different spaces.
    let of_other = [id(&authority, SIGN, CertIdHash::Sha1, &card.card_holder_auth.serial)];
    assert_eq!(status(&authority, &of_other, NOW), words(&[("unknown", None)]));
}

#[test]
fn one_request_may_ask_about_several_and_has_one_signer() {
    let folder = Folder::new();
    let (authority, card) = answering(&folder);
    let second = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(33)).unwrap();
    authority.apply_event(CardEvent::ReturnedCard, &second.card_holder_auth.serial, NOW).unwrap();
    let elsewhere = Folder::new();
    let foreign = crate::town::authority(&elsewhere);
    let good = id(&authority, AUTH, CertIdHash::Sha1, &card.card_holder_auth.serial);
    let revoked = id(&authority, AUTH, CertIdHash::Sha512, &second.card_holder_auth.serial);
    let strange = id(&foreign, AUTH, CertIdHash::Sha1, &card.card_holder_auth.serial);
    let sign = id(&authority, SIGN, CertIdHash::Sha1, &card.document_signature.unwrap().serial);
    let asked = [strange.clone(), revoked, good.clone()];
    let expected = words(&[("unknown", None), ("revoked", Some(5)), ("good", None)]);
    assert_eq!(status(&authority, &asked, NOW), expected);
    for refused in [vec![strange], vec![good, sign]] {
        let answer = authority.answer_ocsp(&request_der(&refused, None), NOW);
        assert_eq!((answer.status, answer.freshness), (ResponseStatus::Unauthorized, None));
        assert_eq!(read_response(&answer.der).unwrap_err(), 6);
    }
}

#[test]
fn an_answer_without_nonce_is_given_again_while_it_is_young() {
    let folder = Folder::new();
    let (authority, card) = answering(&folder);
    let ids = [id(&authority, AUTH, CertIdHash::Sha1, &card.card_holder_auth.serial)];
    let plain = request_der(&ids, None);
    let first = authority.answer_ocsp(&plain, NOW);
    let again = authority.answer_ocsp(&plain, NOW.plus(29));
    assert_eq!(first.der, again.der);
    assert_eq!(first.freshness.unwrap().max_age_seconds, 30);
    assert_eq!(again.freshness.unwrap().max_age_seconds, 1);
    let later = authority.answer_ocsp(&plain, NOW.plus(30));
    assert_ne!(first.der, later.der);
    let times = read_response(&later.der).unwrap().times;
    assert_eq!(times, ["20251122010233Z", "20251122010233Z", "20251122020233Z"]);
    // A clock that was set back does not bring answers from the future.
    assert_ne!(authority.answer_ocsp(&plain, NOW.plus(5)).der, later.der);
    let with_nonce = request_der(&ids, Some(&[4; 32]));
    let one = authority.answer_ocsp(&with_nonce, NOW);
    assert_eq!(read_response(&one.der).unwrap().nonce, Some(vec![4; 32]));
    assert_eq!(one.freshness, None);
    assert_ne!(one.der, authority.answer_ocsp(&with_nonce, NOW).der);
}

#[test]
fn without_a_valid_delegate_there_is_no_answer_and_rotation_brings_one() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let card = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(32)).unwrap();
    let request = request_der(&[id(&authority, AUTH, CertIdHash::Sha1, &card.card_holder_auth.serial)], None);
    let asked = |at| authority.answer_ocsp(&request, at);
    assert_eq!(asked(NOW).status, ResponseStatus::TryLater);
    let mut entropy = Seeded::new(40);
    authority.rotate_delegates(NOW, &mut entropy).unwrap();
    let delegate = |at| read_response(&asked(at).der).unwrap().delegate;
    let first = delegate(NOW);
    // Half of seven days is three and a half.
    let half = NOW.plus(7 * DAY / 2);
    authority.rotate_delegates(half.minus(1), &mut entropy).unwrap();
    assert_eq!(delegate(half.minus(1)), first);
    authority.rotate_delegates(half, &mut entropy).unwrap();
    let second = delegate(half.plus(60));
    assert_ne!(second, first);
    let certificate = Certificate::parse(&second).unwrap();
    assert_eq!(certificate.not_after().saturating_unix(), half.plus(7 * DAY));
    assert_eq!(certificate.not_before().saturating_unix(), half.minus(300));
    // Named by the authority it speaks for; openssl checks the signature, in `foreign`.
    let ca = Certificate::parse(authority.ca_certificate_der(AUTH)).unwrap();
    assert_eq!(certificate.issuer_der(), ca.subject_der());
    assert_eq!(asked(half.plus(7 * DAY)).status, ResponseStatus::Successful);
    assert_eq!(asked(half.plus(7 * DAY + 1)).status, ResponseStatus::TryLater);
}

#[test]
fn requests_that_are_none_get_rfc_6960s_refusals() {
    let folder = Folder::new();
    let (authority, card) = answering(&folder);
    let ids = [id(&authority, AUTH, CertIdHash::Sha1, &card.card_holder_auth.serial)];
    let good = request_der(&ids, None);
    for bad in [&[][..], b"nonsense", &good[..good.len() - 1], &[&good[..], &[0]].concat()] {
        let answer = authority.answer_ocsp(bad, NOW);
        assert_eq!(answer.status, ResponseStatus::MalformedRequest);
        assert_eq!(answer.der.as_ref(), [0x30, 3, 0x0A, 1, 1]);
    }
    let long = authority.answer_ocsp(&request_der(&ids, Some(&[1; 129])), NOW);
    assert_eq!(long.status, ResponseStatus::MalformedRequest);
}

#[test]
fn post_and_get_are_served_with_their_headers() {
    let folder = Folder::new();
    let (authority, card) = answering(&folder);
    let clock = Arc::new(FixedClock::at(NOW));
    let served = Served::new(&authority, clock.clone());
    let ids = [id(&authority, AUTH, CertIdHash::Sha1, &card.card_holder_auth.serial)];
    let (plain, with_nonce) = (request_der(&ids, None), request_der(&ids, Some(&[5; 32])));

    let reply = served.ocsp(&with_nonce);
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/ocsp-response"));
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(read_response(&reply.body).unwrap().nonce, Some(vec![5; 32]));

    let path = |request: &[u8]| {
        let text = STANDARD.encode(request);
        text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
    };
    clock.set(NOW.plus(10));
    let first = served.ask(&format!("GET /ocsp/{} HTTP/1.1", path(&plain)), b"");
    clock.set(NOW.plus(14));
    let reply = served.ask(&format!("GET /ocsp/{} HTTP/1.1", path(&plain)), b"");
    assert_eq!((reply.status, &reply.body), (200, &first.body));
    assert_eq!(reply.header("content-type"), "application/ocsp-response");
    assert_eq!(reply.header("cache-control"), "max-age=26, public, no-transform, must-revalidate");
    assert_eq!(reply.header("last-modified"), "Sat, 22 Nov 2025 01:02:13 GMT");
    assert_eq!(reply.header("expires"), "Sat, 22 Nov 2025 02:02:13 GMT");
    let tag = reply.header("etag");
    assert_eq!(tag.len(), 66);
    let known = format!("GET /ocsp/{} HTTP/1.1\r\nif-none-match: {tag}", path(&plain));
    let unchanged = served.ask(&known, b"");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    authority.apply_event(CardEvent::LostCard, &card.card_holder_auth.serial, NOW).unwrap();
    let changed = served.ask(&known, b"");
    assert_eq!(
        (changed.status, read_response(&changed.body).unwrap().statuses),
        (200, words(&[("revoked", Some(6))]))
    );
    // Not escaped at all: base64's own characters are legal in a path but for the order they come in.
    let bare = served.ask(&format!("GET /ocsp/{} HTTP/1.1", STANDARD.encode(&plain)), b"");
    assert!(read_response(&bare.body).is_ok());

    let secret = served.ask(&format!("GET /ocsp/{} HTTP/1.1", path(&with_nonce)), b"");
    assert_eq!((secret.status, secret.header("cache-control")), (200, "no-store"));
    let garbage = served.ask("GET /ocsp/%00%FF HTTP/1.1", b"");
    assert!(matches!(garbage.status, 200 | 400), "{}", garbage.head);
    let not_base64 = served.ask("GET /ocsp/nonsense! HTTP/1.1", b"");
    assert_eq!((not_base64.status, read_response(&not_base64.body).unwrap_err()), (200, 1));
}

#[test]
fn what_http_itself_refuses_is_a_problem_with_a_code() {
    let folder = Folder::new();
    let (authority, _) = answering(&folder);
    let served = Served::new(&authority, Arc::new(FixedClock::at(NOW)));
    let other_type = served.ask("POST /ocsp HTTP/1.1\r\ncontent-type: text/plain", b"x");
    assert_eq!(other_type.status, 415);
    assert!(String::from_utf8_lossy(&other_type.body).contains("not_an_ocsp_request"));
    let long = served.ocsp(&vec![0; 17 << 10]);
    assert_eq!(long.status, 413);
    let method = served.ask("GET /ocsp HTTP/1.1", b"");
    assert_eq!((method.status, method.header("content-type")), (405, "application/problem+json"));
    let empty = served.ocsp(b"");
    assert_eq!((empty.status, read_response(&empty.body).unwrap_err()), (200, 1));
    let mixed_case = served.ask("POST /ocsp HTTP/1.1\r\ncontent-type: Application/OCSP-Request; x=y", b"");
    assert_eq!(mixed_case.status, 200);
}
