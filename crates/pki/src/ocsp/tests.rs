use super::request::{CERT_IDS_MAX, OcspRequest, RequestProblem, request_der};
use super::response::{CertStatus, OcspDelegate, ResponderNaming, SingleStatus, refusal};
use super::{CertIdHash, IssuerHashes, ResponseStatus};
use crate::asn1::read::Reader;
use crate::asn1::{tag, write};
use crate::issue::IssueError;
use crate::oid;
use crate::profile::{Criticality, LeafProfile, Validity, extension};
use crate::public_key::VerifyingKey;
use crate::revocation::RevocationReason;
use crate::testing::{NOW, Town, p256_key, p256_spki, serial, signer};
use der::{Decode, Encode};
use proptest::prelude::*;

fn hashes(town: &Town) -> IssuerHashes {
    IssuerHashes::of_certificate(town.auth.certificate_der()).unwrap()
}

fn ids(town: &Town, numbers: &[u64]) -> Vec<Vec<u8>> {
    numbers.iter().map(|number| hashes(town).cert_id_der(CertIdHash::Sha1, &serial(*number))).collect()
}

fn delegate_certificate(town: &Town, key: usize) -> Vec<u8> {
    let validity = Validity { not_before: NOW, not_after: NOW.plus(7 * 86_400) };
    let profile = LeafProfile::OcspDelegate { common_name: "OCSP responder 1" };
    town.auth.issue(&profile, serial(77), validity, &p256_spki(key)).unwrap()
}

fn delegate(town: &Town) -> OcspDelegate {
    OcspDelegate::new(&delegate_certificate(town, 2), signer(p256_key(2))).unwrap()
}

#[test]
fn a_request_reads_back_with_every_hash() {
    let town = Town::new();
    let names = hashes(&town);
    for hash in CertIdHash::ALL {
        let der = request_der(&[names.cert_id_der(hash, &serial(9))], Some(&[5; 32]));
        let request = OcspRequest::parse(&der).unwrap();
        let [id] = request.cert_ids() else { panic!("one certificate was asked about") };
        assert_eq!((id.hash(), *id.serial()), (Some(hash), serial(9)));
        assert_eq!(request.nonce(), Some(&[5; 32][..]));
        assert!(names.matches(id));
        let other = IssuerHashes::of_certificate(town.town.certificate_der()).unwrap();
        assert!(!other.matches(id));
        assert!(!format!("{request:?}").contains("09"));
    }
    let der = request_der(&ids(&town, &[1, 2, 3]), None);
    let request = OcspRequest::parse(&der).unwrap();
    assert_eq!((request.cert_ids().len(), request.nonce()), (3, None));
}

#[test]
fn nonces_have_1_to_128_octets() {
    let town = Town::new();
    for (octets, taken) in [(0, false), (1, true), (16, true), (128, true), (129, false)] {
        let der = request_der(&ids(&town, &[1]), Some(&vec![7; octets]));
        match OcspRequest::parse(&der) {
            Ok(request) => assert!(taken && request.nonce() == Some(&vec![7; octets][..]), "{octets}"),
            Err(problem) => {
                assert!(!taken, "{octets}");
                assert_eq!(problem, RequestProblem::NonceLength { octets });
                assert_eq!(problem.response_status(), ResponseStatus::MalformedRequest);
            }
        }
    }
}

#[test]
fn a_bare_nonce_of_rfc_2560s_days_is_malformed() {
    let town = Town::new();
    let id = &ids(&town, &[1])[0];
    let bare = extension(&oid::OCSP_NONCE, Criticality::NonCritical, &[0x55; 16]);
    let der = with_extensions(id, &[bare]);
    assert!(matches!(OcspRequest::parse(&der), Err(RequestProblem::Malformed(_))));
}

fn with_extensions(id: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let list = write::sequence(&[&write::sequence(&[id])]);
    let extensions = write::explicit(2, &write::tlv(tag::SEQUENCE, &extensions.concat()));
    write::sequence(&[&write::sequence(&[&list, &extensions])])
}

#[test]
fn extensions_are_read_ignored_or_refused() {
    let town = Town::new();
    let id = &ids(&town, &[1])[0];
    let accepts = |kinds: &[&der::asn1::ObjectIdentifier]| {
        let kinds: Vec<u8> = kinds.iter().flat_map(|kind| write::oid(kind)).collect();
        let value = write::tlv(tag::SEQUENCE, &kinds);
        extension(&oid::OCSP_ACCEPTABLE_RESPONSES, Criticality::NonCritical, &value)
    };
    let parse = |extensions: &[Vec<u8>]| {
        OcspRequest::parse(&with_extensions(id, extensions)).map(|request| request.cert_ids().len())
    };
    assert_eq!(parse(&[accepts(&[&oid::OCSP_BASIC])]), Ok(1));
    assert_eq!(parse(&[accepts(&[&oid::OCSP_NOCHECK])]), Err(RequestProblem::OtherResponseWanted));
    let unknown = |criticality| extension(&oid::CRL_NUMBER, criticality, &[tag::INTEGER, 1, 1]);
    assert_eq!(parse(&[unknown(Criticality::NonCritical)]), Ok(1));
    let refused = parse(&[unknown(Criticality::Critical)]).unwrap_err();
    assert!(matches!(refused, RequestProblem::UnsupportedCriticalExtension { .. }));
    assert_eq!(refused.response_status(), ResponseStatus::Unauthorized);
    let nonce = extension(&oid::OCSP_NONCE, Criticality::NonCritical, &write::tlv(tag::OCTET_STRING, &[1]));
    assert!(matches!(parse(&[nonce.clone(), nonce]), Err(RequestProblem::Malformed(_))));
    assert!(matches!(parse(&[]), Err(RequestProblem::Malformed(_))));
}

#[test]
fn a_request_about_everybody_is_refused() {
    let town = Town::new();
    let numbers: Vec<u64> = (1..=CERT_IDS_MAX as u64 + 1).collect();
    let most = request_der(&ids(&town, &numbers[1..]), None);
    assert_eq!(OcspRequest::parse(&most).unwrap().cert_ids().len(), CERT_IDS_MAX);
    let more = request_der(&ids(&town, &numbers), None);
    assert_eq!(OcspRequest::parse(&more).unwrap_err(), RequestProblem::TooMany);
}

#[test]
fn signed_requests_name_their_sender() {
    let town = Town::new();
    let list = write::sequence(&[&write::sequence(&[&ids(&town, &[1])[0]])]);
    let name = write::explicit(1, &write::explicit(4, town.auth.subject().as_der()));
    let signature = write::explicit(
        0,
        &write::sequence(&[
            &write::sequence(&[&write::oid(&oid::ECDSA_WITH_SHA256)]),
            &write::bit_string(&[1, 2, 3]),
        ]),
    );
    let named = write::sequence(&[&write::sequence(&[&name, &list]), &signature]);
    assert_eq!(OcspRequest::parse(&named).unwrap().cert_ids().len(), 1);
    let nameless = write::sequence(&[&write::sequence(&[&list]), &signature]);
    assert!(OcspRequest::parse(&nameless).is_err());
    let broken = write::sequence(&[&write::sequence(&[&name, &list]), &write::explicit(0, &[5, 0])]);
    assert!(OcspRequest::parse(&broken).is_err());
}

#[test]
fn every_prefix_and_every_suffix_is_refused() {
    let town = Town::new();
    let der = request_der(&ids(&town, &[1, 2]), Some(&[7; 32]));
    for end in 0..der.len() {
        assert!(OcspRequest::parse(&der[..end]).is_err(), "{end}");
    }
    assert!(OcspRequest::parse(&[&der[..], &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn mangled_requests_never_panic(place in 0usize..200, octet in any::<u8>(), cut in 0usize..200) {
        static TOWN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let der = TOWN.get_or_init(|| {
            let town = Town::new();
            request_der(&ids(&town, &[1, 2]), Some(&[7; 32]))
        });
        let mut mangled = der.clone();
        let length = mangled.len();
        mangled[place % length] = octet;
        drop(OcspRequest::parse(&mangled));
        mangled.truncate(cut);
        drop(OcspRequest::parse(&mangled));
    }
}

#[test]
fn a_delegates_certificate_has_the_shape_of_rfc_6960() {
    let town = Town::new();
    let certificate = delegate_certificate(&town, 2);
    let foreign = x509_cert::Certificate::from_der(&certificate).unwrap();
    assert_eq!(foreign.to_der().unwrap(), certificate);
    let extensions = foreign.tbs_certificate().extensions().unwrap();
    let nocheck = extensions.iter().find(|e| e.extn_id == oid::OCSP_NOCHECK).unwrap();
    assert_eq!((nocheck.critical, nocheck.extn_value.as_bytes()), (false, &[tag::NULL, 0][..]));
    // Nobody is told where to look it up.
    let absent = [oid::CRL_DISTRIBUTION_POINTS, oid::AUTHORITY_INFO_ACCESS];
    assert!(extensions.iter().all(|e| !absent.contains(&e.extn_id)));

    let answers = delegate(&town);
    assert!(answers.is_valid_at(NOW) && answers.is_valid_at(NOW.plus(7 * 86_400)));
    assert!(!answers.is_valid_at(NOW.minus(1)) && !answers.is_valid_at(NOW.plus(7 * 86_400 + 1)));
    assert_eq!(format!("{answers:?}"), "OcspDelegate(****)");
    let other_key = OcspDelegate::new(&certificate, signer(p256_key(1)));
    assert_eq!(other_key.err(), Some(IssueError::NotADelegate));
    let terminal = OcspDelegate::new(&town.terminal_leaf(), signer(p256_key(1)));
    assert_eq!(terminal.err(), Some(IssueError::NotADelegate));
}

/// The parts of a basic response: responder, producedAt, single responses, extensions, data, signature.
struct Basic<'a> {
    responder: &'a [u8],
    produced_at: &'a [u8],
    singles: Vec<(&'a [u8], Vec<&'a [u8]>)>,
    extensions: Option<&'a [u8]>,
    data: &'a [u8],
    signature: &'a [u8],
    certificate: &'a [u8],
}

fn read_basic(response: &[u8]) -> Basic<'_> {
    let mut outer = Reader::only_sequence(response, "response").unwrap();
    assert_eq!(outer.expect(tag::ENUMERATED, "status").unwrap().content, [0]);
    let mut bytes = outer.expect(tag::context_constructed(0), "bytes").unwrap().inside();
    outer.finish("response").unwrap();
    let mut bytes = bytes.expect(tag::SEQUENCE, "bytes").unwrap().inside();
    assert_eq!(bytes.expect(tag::OID, "type").unwrap().content, oid::OCSP_BASIC.as_bytes());
    let basic = bytes.expect(tag::OCTET_STRING, "basic").unwrap();
    bytes.finish("bytes").unwrap();
    let mut basic = Reader::only_sequence(basic.content, "basic").unwrap();
    let data = basic.expect(tag::SEQUENCE, "data").unwrap();
    basic.expect(tag::SEQUENCE, "algorithm").unwrap();
    let signature = basic.expect(tag::BIT_STRING, "signature").unwrap().whole_octets("s").unwrap();
    let mut certificates = basic.expect(tag::context_constructed(0), "certs").unwrap().inside();
    let certificate = certificates.expect(tag::SEQUENCE, "certs").unwrap().content;
    basic.finish("basic").unwrap();

    let mut fields = data.inside();
    let responder = fields.any("responder").unwrap().raw;
    let produced_at = fields.expect(tag::GENERALIZED_TIME, "producedAt").unwrap().content;
    let mut list = fields.expect(tag::SEQUENCE, "responses").unwrap().inside();
    let extensions = fields.optional(tag::context_constructed(1), "extensions").unwrap().map(|e| e.content);
    fields.finish("data").unwrap();
    let mut singles = Vec::new();
    while !list.is_empty() {
        let mut single = list.expect(tag::SEQUENCE, "single").unwrap().inside();
        let id = single.expect(tag::SEQUENCE, "certID").unwrap().raw;
        let rest: Vec<&[u8]> = std::iter::from_fn(|| single.any("x").ok()).map(|part| part.raw).collect();
        singles.push((id, rest));
    }
    Basic { responder, produced_at, singles, extensions, data: data.raw, signature, certificate }
}

#[test]
fn a_response_says_what_was_asked_in_the_order_asked() {
    let town = Town::new();
    let answers = delegate(&town);
    let der = request_der(&ids(&town, &[1, 2, 3, 4]), Some(&[9; 32]));
    let request = OcspRequest::parse(&der).unwrap();
    let statuses = [
        CertStatus::Good,
        CertStatus::Revoked { reason: RevocationReason::CertificateHold, at: NOW },
        CertStatus::Unknown,
        CertStatus::Revoked { reason: RevocationReason::Unspecified, at: NOW },
    ];
    let singles: Vec<SingleStatus<'_>> = request
        .cert_ids()
        .iter()
        .zip(statuses)
        .map(|(cert_id, status)| SingleStatus {
            cert_id: *cert_id,
            status,
            this_update: NOW,
            next_update: NOW.plus(3_600),
        })
        .collect();
    for naming in [ResponderNaming::ByName, ResponderNaming::ByKey] {
        let response = answers.respond(&singles, request.nonce(), NOW.plus(1), naming).unwrap();
        let basic = read_basic(&response);
        let key = VerifyingKey::from_spki_der(&p256_spki(2)).unwrap();
        assert!(key.verifies(basic.data, basic.signature));
        assert_eq!(basic.certificate, delegate_certificate_in(&response));
        let (first, length) = match naming {
            ResponderNaming::ByName => (0xA1, None),
            ResponderNaming::ByKey => (0xA2, Some(24)),
        };
        assert_eq!(basic.responder[0], first);
        assert!(length.is_none_or(|length| basic.responder.len() == length));
        assert_eq!(basic.produced_at, b"20251122010204Z");
        assert!(basic.extensions.unwrap().windows(34).any(|w| w == [&[4, 32][..], &[9; 32]].concat()));
        let time = |text: &str| [&[0x18, 15][..], text.as_bytes()].concat();
        let hold = [&[0xA1, 22][..], &time("20251122010203Z"), &[0xA0, 3, 0x0A, 1, 6]].concat();
        let no_reason = [&[0xA1, 17][..], &time("20251122010203Z")].concat();
        let expected: [&[u8]; 4] = [&[0x80, 0], &hold, &[0x82, 0], &no_reason];
        assert_eq!(basic.singles.len(), 4);
        for ((id, rest), (cert_id, status)) in
            basic.singles.iter().zip(request.cert_ids().iter().zip(expected))
        {
            assert_eq!(*id, cert_id.as_der());
            assert_eq!(rest[0], status);
            assert_eq!(rest[1], time("20251122010203Z"));
            assert_eq!(rest[2], [&[0xA0, 17][..], &time("20251122020203Z")].concat());
        }
    }
}

/// The one certificate inside, found by its place and not by reading it again.
fn delegate_certificate_in(response: &[u8]) -> &[u8] {
    let start = response.len() - read_basic(response).certificate.len();
    &response[start..]
}

#[test]
fn without_a_nonce_there_are_no_extensions_and_nothing_asked_is_no_response() {
    let town = Town::new();
    let answers = delegate(&town);
    let der = request_der(&ids(&town, &[1]), None);
    let request = OcspRequest::parse(&der).unwrap();
    let single = SingleStatus {
        cert_id: request.cert_ids()[0],
        status: CertStatus::Good,
        this_update: NOW,
        next_update: NOW.plus(1),
    };
    let response = answers.respond(&[single], None, NOW, ResponderNaming::ByKey).unwrap();
    assert!(read_basic(&response).extensions.is_none());
    assert!(answers.respond(&[], None, NOW, ResponderNaming::ByKey).is_err());
    let backwards = SingleStatus { next_update: NOW.minus(1), ..single };
    assert!(answers.respond(&[backwards], None, NOW, ResponderNaming::ByKey).is_err());
}

#[test]
fn refusals_have_five_octets() {
    for (status, code) in [
        (ResponseStatus::MalformedRequest, 1),
        (ResponseStatus::InternalError, 2),
        (ResponseStatus::TryLater, 3),
        (ResponseStatus::SigRequired, 5),
        (ResponseStatus::Unauthorized, 6),
        (ResponseStatus::Successful, 2),
    ] {
        assert_eq!(refusal(status), [0x30, 3, 0x0A, 1, code]);
    }
}
