//! The report's table "Reason of Revocation", cell by cell, as our validator and a foreign program read it
//! from what the authority publishes: the vectors stand in `tests/vectors/revocation_meaning.csv`.

use super::openssl;
use crate::served::Served;
use crate::town::{Folder, authority_at, person};
use chassis::clock::SystemClock;
use jpki_authority::store::{ListForm, ListName, ListScope};
use jpki_authority::{Authority, CardEvent, CertificateKind, PersonCertificates};
use pki::ocsp::request::request_der;
use pki::ocsp::{CertIdHash, IssuerHashes};
use pki::pem::{self, PemKind};
use pki::revocation::{RevocationReason, Status};
use pki::serial::SerialNumber;
use pki::validate::{Evidence, Fault, Profile, Question, TrustAnchor, validate};
use protocol::entropy::Seeded;
use protocol::time::{Clock as _, UnixSeconds};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const VECTORS: &str = include_str!("../../vectors/revocation_meaning.csv");

struct Cell {
    story: String,
    kind: CertificateKind,
    source: String,
    status: String,
}

fn cells() -> Vec<Cell> {
    let rows = VECTORS.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let [story, certificate, source, status] = line.split(", ").collect::<Vec<_>>()[..] else {
            panic!("four columns: {line}")
        };
        let kind = CertificateKind::ALL.into_iter().find(|kind| kind.word() == certificate).unwrap();
        Cell { story: story.into(), kind, source: source.into(), status: status.into() }
    })
    .collect()
}

fn serial(card: &PersonCertificates, kind: CertificateKind) -> SerialNumber {
    match kind {
        CertificateKind::CardHolderAuth => card.card_holder_auth.serial,
        CertificateKind::DocumentSignature => card.document_signature.as_ref().unwrap().serial,
    }
}

fn happen(authority: &Authority, card: &PersonCertificates, event: &str, now: UnixSeconds) {
    let auth = &card.card_holder_auth.serial;
    let event = match event {
        "moved_or_married" => CardEvent::MovedOrMarried,
        "left_register" => CardEvent::LeftRegister,
        "lost_card" => CardEvent::LostCard,
        "renewed" => CardEvent::Renewed,
        "returned_card" => CardEvent::ReturnedCard,
        "found" => {
            authority.release_card(auth, now).unwrap();
            return;
        }
        "no_reason_given" => {
            for kind in CertificateKind::ALL {
                authority.revoke(serial(card, kind), kind, RevocationReason::Unspecified, now).unwrap();
            }
            return;
        }
        other => panic!("no such event: {other}"),
    };
    authority.apply_event(event, auth, now).unwrap();
}

/// A list of each name, in a folder of its round.
fn save_lists(folder: &Path, served: &Served, round: usize) {
    let scopes = std::iter::once(ListScope::Everything).chain((0..crate::town::SHARDS).map(ListScope::Shard));
    for scope in scopes {
        for form in [ListForm::Complete, ListForm::Delta] {
            for kind in CertificateKind::ALL {
                let file = ListName { scope, form }.file(kind);
                let reply = served.ask(&format!("GET /crl/{file} HTTP/1.1"), b"");
                if round == 0 && form == ListForm::Delta {
                    // There is nothing yet that changes could be counted from.
                    assert_eq!(reply.status, 503, "{file}");
                    continue;
                }
                assert_eq!(reply.status, 200, "{file}");
                let name = format!("{round}-{}.pem", file.replace('/', "-"));
                write_pem(&folder.join(name), PemKind::CertificateList, &reply.body);
            }
        }
    }
}

fn write_pem(path: &Path, kind: PemKind, der: &[u8]) {
    std::fs::write(path, pem::encode(kind, der).as_bytes()).unwrap();
}

/// openssl's words for reasons, as RFC 5280 spells them.
pub(super) fn reason_of(words: &str) -> &str {
    match words {
        "Affiliation Changed" | "affiliationChanged" => "affiliationChanged",
        "Certificate Hold" | "certificateHold" => "certificateHold",
        "Superseded" | "superseded" => "superseded",
        "Cessation Of Operation" | "cessationOfOperation" => "cessationOfOperation",
        "Remove From CRL" => "removeFromCRL",
        other => panic!("openssl says {other:?}"),
    }
}

/// What openssl reads about a serial number in a list: nothing, or a reason.
fn listed_in(folder: &Path, list: &str, serial: &SerialNumber) -> Option<String> {
    let (read, text) = openssl(folder, &["crl", "-in", list, "-noout", "-text"]);
    assert!(read, "{text}");
    let wanted: String = serial.as_bytes().iter().map(|octet| format!("{octet:02X}")).collect();
    let after = text.split("Serial Number: ").find(|part| part.starts_with(&wanted))?;
    let Some((_, reason)) = after.split_once("Reason Code:") else { return Some("unspecified".to_owned()) };
    Some(reason_of(reason.trim().lines().next().unwrap().trim()).to_owned())
}

/// The shard that the certificate names, as openssl reads it.
fn shard_of(folder: &Path, leaf: &str, kind: CertificateKind) -> String {
    let (_, text) = openssl(folder, &["x509", "-in", leaf, "-noout", "-ext", "crlDistributionPoints"]);
    let (_, rest) = text.split_once(&format!("/crl/{}/", kind.word())).unwrap_or_else(|| panic!("{text}"));
    rest.split('.').next().unwrap().to_owned()
}

/// Verifies a leaf with openssl against lists; good, or the reason in the last list that names it.
fn by_lists(folder: &Path, cell: &Cell, leaf: &str, card: &PersonCertificates, lists: &[String]) -> String {
    let ca = format!("{}.ca.pem", cell.kind.word());
    let all: String = lists.iter().map(|list| std::fs::read_to_string(folder.join(list)).unwrap()).collect();
    std::fs::write(folder.join("lists.pem"), all).unwrap();
    let mut arguments = vec!["verify", "-x509_strict", "-crl_check", "-extended_crl", "-use_deltas"];
    if lists.len() == 1 {
        arguments.pop();
    }
    arguments.extend_from_slice(&["-CAfile", &ca, "-CRLfile", "lists.pem", leaf]);
    let (good, said) = openssl(folder, &arguments);
    let entry = lists.iter().rev().find_map(|list| listed_in(folder, list, &serial(card, cell.kind)));
    if good {
        assert!(entry.is_none_or(|reason| reason == "removeFromCRL"), "{said}");
        return "good".to_owned();
    }
    assert!(said.contains("certificate revoked"), "{lists:?}: {said}");
    entry.unwrap()
}

/// Asks the responder with openssl.
fn by_ocsp(folder: &Path, cell: &Cell, leaf: &str, url: &str, nonce: &str) -> String {
    let ca = format!("{}.ca.pem", cell.kind.word());
    let asked = ["ocsp", "-issuer", &ca, "-cert", leaf, "-url", url, "-CAfile", &ca, nonce];
    let (done, said) = openssl(folder, &asked);
    assert!(done && said.contains("Response verify OK"), "{said}");
    // `-nonce` asks openssl to compare; it says so when there is none in the answer.
    assert!(!said.contains("no nonce in response") && !said.contains("Nonce Verify error"), "{said}");
    let (_, verdict) = said.split_once(&format!("{leaf}: ")).unwrap();
    if verdict.starts_with("good") {
        return "good".to_owned();
    }
    assert!(verdict.starts_with("revoked"), "{said}");
    verdict
        .split_once("Reason: ")
        .map_or("unspecified", |(_, reason)| reason_of(reason.lines().next().unwrap()))
        .to_owned()
}

/// What our validator makes of a leaf and what it is given: the status in a word, and since when.
fn by_us(
    authority: &Authority,
    cell: &Cell,
    leaf: &[u8],
    given: &[Vec<u8>],
    nonce: Option<&[u8]>,
) -> (String, Option<UnixSeconds>) {
    let anchors = [TrustAnchor::from_certificate(authority.ca_certificate_der(cell.kind)).unwrap()];
    let mut evidence = Evidence::new();
    for der in given {
        if cell.source.starts_with("ocsp") {
            evidence.add_response(der).unwrap();
        } else {
            evidence.add_list(der).unwrap();
        }
    }
    let mut question = Question::at(SystemClock.now());
    question.profile = match cell.kind {
        CertificateKind::CardHolderAuth => Profile::JpkiAuth,
        CertificateKind::DocumentSignature => Profile::JpkiSign,
    };
    question.ocsp_nonce = nonce.map(<[u8]>::to_vec);
    match validate(leaf, &anchors, &evidence, &question) {
        Ok(path) => {
            let [found] = path.statuses() else { panic!("{:?}", path.statuses()) };
            assert!(matches!(found.status, Status::Good { .. }), "{found:?}");
            let source = if cell.source.starts_with("ocsp") { "ocsp" } else { "crl" };
            assert_eq!(found.source.as_str(), source);
            ("good".to_owned(), None)
        }
        Err(refusal) => match refusal.error.fault {
            Fault::Revoked { reason, at } => (reason.as_str().to_owned(), Some(at)),
            Fault::OnHold { since } => ("certificateHold".to_owned(), Some(since)),
            other => panic!("{}, {}: {other}", cell.story, cell.source),
        },
    }
}

/// The DER that is given to our validator for a cell, and the nonce that was sent for it.
fn given_to_us(
    folder: &Path,
    served: &Served,
    authority: &Authority,
    cell: &Cell,
    card: &PersonCertificates,
    lists: &[String],
) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
    if !cell.source.starts_with("ocsp") {
        let read = |list: &String| {
            let text = std::fs::read_to_string(folder.join(list)).unwrap();
            pem::decode(PemKind::CertificateList, &text).unwrap().to_vec()
        };
        return (lists.iter().map(read).collect(), None);
    }
    let hashes = IssuerHashes::of_certificate(authority.ca_certificate_der(cell.kind)).unwrap();
    let id = hashes.cert_id_der(CertIdHash::Sha256, &serial(card, cell.kind));
    let nonce = (cell.source == "ocsp_nonce").then(|| serial(card, cell.kind).as_bytes().repeat(4));
    let reply = served.ocsp(&request_der(&[id], nonce.as_deref()));
    assert_eq!(reply.status, 200);
    (vec![reply.body], nonce)
}

/// The files of the lists that a cell is about.
fn lists_of(cell: &Cell, step: usize, shard: &str) -> Vec<String> {
    let word = cell.kind.word();
    match cell.source.as_str() {
        "full" => vec![format!("{step}-{word}.crl.pem")],
        "sharded" => vec![format!("{step}-{word}-{shard}.crl.pem")],
        "delta" => {
            // Everything for one kind, the shard for the other: both have deltas.
            let part = match cell.kind {
                CertificateKind::CardHolderAuth => format!("-{shard}"),
                CertificateKind::DocumentSignature => String::new(),
            };
            vec![format!("{}-{word}{part}.crl.pem", step - 1), format!("{step}-{word}{part}.delta.crl.pem")]
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_cell_of_the_table_is_what_we_and_openssl_read() {
    let cells = cells();
    let stories: Vec<&str> = {
        let mut seen = Vec::new();
        cells.iter().for_each(|cell| {
            if !seen.contains(&cell.story.as_str()) {
                seen.push(cell.story.as_str())
            }
        });
        seen
    };
    let basic = cells.iter().filter(|cell| !cell.story.contains('>')).count();
    assert_eq!((basic, cells.len(), stories.len()), (60, 90, 9));

    let holder = Folder::new();
    let folder = holder.path();
    let now = SystemClock.now();
    let authority = Arc::new(authority_at(&holder, now.minus(60)));
    authority.rotate_delegates(now, &mut Seeded::new(71)).unwrap();
    let served = Served::new(&authority, Arc::new(SystemClock));
    for kind in CertificateKind::ALL {
        let path = folder.join(format!("{}.ca.pem", kind.word()));
        write_pem(&path, PemKind::Certificate, authority.ca_certificate_der(kind));
    }
    let mut cards = BTreeMap::new();
    for (place, story) in stories.iter().enumerate() {
        let mut registration = person();
        registration.valid_until = now.plus(365 * crate::town::DAY);
        let mut entropy = Seeded::new(200 + place as u64);
        let card = authority.issue_person_certificates(&registration, now.minus(50), &mut entropy).unwrap();
        let leaf = |kind: CertificateKind| folder.join(format!("{place}-{}.pem", kind.word()));
        write_pem(&leaf(CertificateKind::CardHolderAuth), PemKind::Certificate, &card.card_holder_auth.der);
        let sign = &card.document_signature.as_ref().unwrap().der;
        write_pem(&leaf(CertificateKind::DocumentSignature), PemKind::Certificate, sign);
        cards.insert(*story, (place, card));
    }
    authority.publish(now.minus(40)).unwrap();
    save_lists(folder, &served, 0);
    let steps = stories.iter().map(|story| story.split(" > ").count()).max().unwrap();
    let mut executed = 0;
    for step in 1..=steps {
        let at = now.minus(40).plus(step as u64);
        for (story, (_, card)) in &cards {
            if let Some(event) = story.split(" > ").nth(step - 1) {
                happen(&authority, card, event, at);
            }
        }
        authority.publish(at).unwrap();
        save_lists(folder, &served, step);
        for cell in cells.iter().filter(|cell| cell.story.split(" > ").count() == step) {
            let (place, card) = &cards[cell.story.as_str()];
            let word = cell.kind.word();
            let leaf = format!("{place}-{word}.pem");
            let shard = shard_of(folder, &leaf, cell.kind);
            let url = format!("{}/ocsp", served.url());
            let lists = lists_of(cell, step, &shard);
            let found = match cell.source.as_str() {
                "full" | "sharded" | "delta" => by_lists(folder, cell, &leaf, card, &lists),
                "ocsp" => by_ocsp(folder, cell, &leaf, &url, "-no_nonce"),
                "ocsp_nonce" => by_ocsp(folder, cell, &leaf, &url, "-nonce"),
                other => panic!("no such source: {other}"),
            };
            assert_eq!(found, cell.status, "openssl: {}, {word}, {}", cell.story, cell.source);
            let (given, nonce) = given_to_us(folder, &served, &authority, cell, card, &lists);
            let der = match cell.kind {
                CertificateKind::CardHolderAuth => &card.card_holder_auth.der,
                CertificateKind::DocumentSignature => &card.document_signature.as_ref().unwrap().der,
            };
            let since = (cell.status != "good").then_some(at);
            let ours = by_us(&authority, cell, der, &given, nonce.as_deref());
            assert_eq!(ours, (cell.status.clone(), since), "{}, {word}, {}", cell.story, cell.source);
            executed += 1;
        }
    }
    assert_eq!(executed, cells.len());
}
