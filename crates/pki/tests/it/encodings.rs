//! Encodings that are not DER, at every place of a certificate, a list, a request and a response: cut short, with
//! more behind, lengths in every form that DER does not have, times in every form that RFC 5280 does not have.
//! Each is refused, and the refusal says where.

use pki::asn1::read::{Malformed, Reader};
use pki::asn1::{tag, write};
use pki::certificate::Certificate;
use pki::crl::{CrlProblem, ListFeed, ListView};
use pki::ocsp::OcspResponse;
use pki::ocsp::request::{OcspRequest, RequestProblem};
use pki::validate::TrustAnchor;
use std::sync::LazyLock;

const LIST_AUTHORITY: &[u8] = include_bytes!("../../../../fuzz/specimens/list_authority.der");
static ANCHORS: LazyLock<Vec<TrustAnchor>> =
    LazyLock::new(|| vec![TrustAnchor::from_certificate(LIST_AUTHORITY).unwrap()]);

/// Reads a document; gives where it cannot be read.
type Read = fn(&[u8]) -> Option<Malformed>;

fn certificate(der: &[u8]) -> Option<Malformed> {
    Certificate::parse(der).err()
}

fn of_list(problem: CrlProblem) -> Malformed {
    match problem {
        CrlProblem::Malformed(fault) => fault,
        // Read, and refused for what it says: not in the tests that want to be told where.
        _ => ELSEWHERE,
    }
}

const ELSEWHERE: Malformed = Malformed { what: "nothing", offset: usize::MAX };

fn list(der: &[u8]) -> Option<Malformed> {
    ListView::read(der).err().map(of_list)
}

fn list_in_pieces(der: &[u8]) -> Option<Malformed> {
    let mut feed = ListFeed::new(&ANCHORS);
    let read = der.chunks(13).try_for_each(|piece| feed.push(piece)).and_then(|()| feed.finish().map(drop));
    read.err().map(of_list)
}

fn request(der: &[u8]) -> Option<Malformed> {
    OcspRequest::parse(der).err().map(|problem| match problem {
        RequestProblem::Malformed(fault) => fault,
        other => panic!("not told where: {other}"),
    })
}

fn response(der: &[u8]) -> Option<Malformed> {
    OcspResponse::parse(der).err()
}

macro_rules! specimen {
    ($path:literal, $read:expr) => {
        ($path, &include_bytes!(concat!("../../../../fuzz/corpus/", $path))[..], $read as Read)
    };
}

fn documents() -> Vec<(&'static str, &'static [u8], Read)> {
    vec![
        specimen!("certificate/jpki-auth", certificate),
        specimen!("certificate/jpki-sign", certificate),
        specimen!("certificate/forged-mid", certificate),
        specimen!("certificate/forged-leaf", certificate),
        specimen!("revocation_list/complete", list),
        specimen!("revocation_list/complete", list_in_pieces),
        specimen!("revocation_list/delta", list),
        specimen!("revocation_list/delta", list_in_pieces),
        specimen!("revocation_list/empty", list_in_pieces),
        specimen!("ocsp_request/usual", request),
        specimen!("ocsp_request/several", request),
        // One without certificates: those are read over where they cannot be read (the responder may be known).
        specimen!("ocsp_response/unknown", response),
        specimen!("ocsp_response/revoked", response),
    ]
}

#[test]
fn every_prefix_is_refused_and_so_is_anything_behind() {
    for (name, der, read) in documents() {
        assert_eq!(read(der), None, "{name}");
        for end in 0..der.len() {
            let fault = read(&der[..end]).unwrap_or_else(|| panic!("{name} cut at {end}"));
            assert!(fault.offset <= end, "{name} cut at {end}: {fault}");
        }
        for more in [&[0][..], &[0x30, 0], &[0xFF; 9]] {
            let fault = read(&[der, more].concat()).unwrap();
            assert_eq!(fault.offset, der.len(), "{name}: {fault}");
        }
    }
}

/// One element: where it begins, its tag, its header's and its content's length, and where those that it lies
/// in begin.
#[derive(Clone, Debug)]
struct Element {
    start: usize,
    tag: u8,
    header: usize,
    content: usize,
    around: Vec<usize>,
}

/// Whether elements are inside: constructed, or octets that are one element (extensions, responses).
fn has_inside(tag: u8, content: &[u8]) -> bool {
    let is_one = || Reader::new(content).any("x").is_ok_and(|inner| inner.raw.len() == content.len());
    tag & 0x20 != 0 || (tag == tag::OCTET_STRING && content.len() > 1 && is_one())
}

fn elements(octets: &[u8], offset: usize, around: &[usize], found: &mut Vec<Element>) {
    let mut rest = Reader::new(octets);
    let mut at = offset;
    while !rest.is_empty() {
        let element = rest.any("element").unwrap();
        let header = element.raw.len() - element.content.len();
        let content = element.content.len();
        found.push(Element { start: at, tag: element.tag, header, content, around: around.to_vec() });
        if has_inside(element.tag, element.content) {
            let around = [around, &[at]].concat();
            elements(element.content, at + header, &around, found);
        }
        at += element.raw.len();
    }
}

/// `octets` with other octets in place of the element at `start`, and the lengths around it made right.
fn replaced(octets: &[u8], start: usize, other: &[u8]) -> Vec<u8> {
    let mut rest = Reader::new(octets);
    let (mut at, mut out) = (0, Vec::new());
    while !rest.is_empty() {
        let element = rest.any("element").unwrap();
        let header = element.raw.len() - element.content.len();
        if at == start {
            out.extend_from_slice(other);
        } else if (at + header..at + element.raw.len()).contains(&start) {
            out.extend(write::tlv(element.tag, &replaced(element.content, start - at - header, other)));
        } else {
            out.extend_from_slice(element.raw);
        }
        at += element.raw.len();
    }
    out
}

/// Where the element that began at `start` begins after the lengths around it have changed.
fn moved(document: &[u8], element: &Element, changed: &[u8]) -> Vec<usize> {
    // The elements around it begin where they began, but for headers that have grown or shrunk before them.
    let mut found = Vec::new();
    let (mut was, mut is) = (0, 0);
    for start in element.around.iter().chain([&element.start]) {
        is += start - was;
        found.push(is);
        was = *start;
        let header = |octets: &[u8], at: usize| {
            octets
                .get(at + 1)
                .map_or(0, |first| 2 + usize::from(if *first > 0x80 { first & 0x7F } else { 0 }))
        };
        if start != &element.start {
            let (before, after) = (header(document, *start), header(changed, is));
            is += after;
            was += before;
        }
    }
    found
}

/// The content under every length that DER does not have, and under lengths that are wrong.
fn wrong_lengths(element: &Element, content: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let length = content.len();
    let with = |form: &[u8], after: &[u8]| [&[element.tag], form, content, after].concat();
    let octets = u32::try_from(length).unwrap().to_be_bytes();
    let used: Vec<u8> = octets.iter().copied().skip_while(|octet| *octet == 0).collect();
    let long = |octets: &[u8]| [&[0x80 | u8::try_from(octets.len()).unwrap()], octets].concat();
    let mut forms = vec![
        ("indefinite", with(&[0x80], &[0, 0])),
        ("reserved", with(&[0xFF], &[])),
        ("huge", with(&[0x84, 0xFF, 0xFF, 0xFF, 0xFF], &[])),
        ("beyond 32 bits", with(&[0x85, 1, 0, 0, 0, 0], &[])),
        ("beyond 64 bits", with(&[0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0], &[])),
        ("a zero in front", with(&long(&[&[0], &used[..]].concat()), &[])),
        ("four octets", with(&long(&[0, octets[1], octets[2], octets[3]]), &[])),
        ("eight octets", with(&[&[0x88, 0, 0, 0, 0][..], &octets].concat(), &[])),
    ];
    if length < 0x80 {
        forms.push(("long where short is enough", with(&[0x81, octets[3]], &[])));
    }
    forms
}

#[test]
fn every_length_that_der_does_not_have_is_refused_at_its_place() {
    for (name, der, read) in documents() {
        let mut found = Vec::new();
        elements(der, 0, &[], &mut found);
        let (mut told, mut exactly) = (0, 0);
        for element in &found {
            let from = element.start + element.header;
            let content = &der[from..from + element.content];
            if content == [9; 16] {
                // The nonce: RFC 2560 had it as bare octets, so that any octets are one.
                continue;
            }
            for (form, wrong) in wrong_lengths(element, content) {
                let changed = replaced(der, element.start, &wrong);
                let fault = read(&changed);
                let fault = fault.unwrap_or_else(|| panic!("{name}: {form} length at {}", element.start));
                let places = moved(der, element, &changed);
                assert!(
                    places.contains(&fault.offset),
                    "{name}: {form} at {}: {fault}, not in {places:?}",
                    element.start
                );
                told += 1;
                exactly += u32::from(places.last() == Some(&fault.offset));
            }
        }
        // Some readers refuse what the element lies in; most name the element itself.
        assert!(told > 100 && exactly * 4 > told * 3, "{name}: {exactly} of {told}");
    }
}

/// One off may by chance give DER again, in parts of which reading looks at the form only: names and keys, which
/// are read when they are compared and used.
#[test]
fn lengths_that_are_one_off_are_refused_but_for_chance_in_names_and_keys() {
    for (name, der, read) in documents() {
        let (mut refused, mut by_chance) = (0, 0);
        let mut found = Vec::new();
        elements(der, 0, &[], &mut found);
        for element in found {
            let last_of_length = element.start + element.header - 1;
            for step in [1u8, 0xFF] {
                let mut changed = der.to_vec();
                changed[last_of_length] = changed[last_of_length].wrapping_add(step);
                match read(&changed) {
                    Some(fault) => {
                        assert!(fault == ELSEWHERE || fault.offset <= changed.len(), "{name}: {fault}");
                        refused += 1;
                    }
                    None => by_chance += 1,
                }
            }
        }
        assert!(refused > 20 && by_chance * 20 < refused, "{name}: {refused}, {by_chance}");
    }
}

#[test]
fn times_that_rfc_5280_does_not_have_are_refused_at_their_place() {
    let wrong: Vec<(u8, &str)> = vec![
        (tag::UTC_TIME, "2511220102Z"),
        (tag::UTC_TIME, "251122010203"),
        (tag::UTC_TIME, "251122010203+0900"),
        (tag::UTC_TIME, "251122010203z"),
        (tag::UTC_TIME, "251322010203Z"),
        (tag::UTC_TIME, "250229010203Z"),
        (tag::UTC_TIME, "251122240000Z"),
        (tag::UTC_TIME, "251122010260Z"),
        (tag::UTC_TIME, "2511 2010203Z"),
        (tag::UTC_TIME, "20251122010203Z"),
        (tag::UTC_TIME, ""),
        (tag::GENERALIZED_TIME, "251122010203Z"),
        (tag::GENERALIZED_TIME, "202511220102Z"),
        (tag::GENERALIZED_TIME, "20251122010203"),
        (tag::GENERALIZED_TIME, "20251122010203.5Z"),
        (tag::GENERALIZED_TIME, "20251122010203+0900"),
        (tag::GENERALIZED_TIME, "20250229010203Z"),
        (tag::GENERALIZED_TIME, "20251122010260Z"),
        (tag::GENERALIZED_TIME, "-0251122010203Z"),
        (tag::PRINTABLE, "251122010203Z"),
    ];
    for (name, der, read) in documents() {
        let mut found = Vec::new();
        elements(der, 0, &[], &mut found);
        let times = found.iter().filter(|e| matches!(e.tag, tag::UTC_TIME | tag::GENERALIZED_TIME));
        for element in times {
            for (tag, text) in &wrong {
                // RFC 5280 forbids fractions; RFC 6960 has no such rule, and responders write them.
                if name.starts_with("ocsp_response") && text.contains('.') {
                    continue;
                }
                let changed = replaced(der, element.start, &write::tlv(*tag, text.as_bytes()));
                let fault = read(&changed);
                let fault = fault.unwrap_or_else(|| panic!("{name}: {tag:02X} {text} at {}", element.start));
                let places = moved(der, element, &changed);
                assert!(
                    places.contains(&fault.offset),
                    "{name}: {text} at {}: {fault}, not in {places:?}",
                    element.start
                );
            }
        }
    }
    // OCSP knows GeneralizedTime only: RFC 6960 §4.2.2.1.
    let good = include_bytes!("../../../../fuzz/corpus/ocsp_response/good");
    let mut found = Vec::new();
    elements(good, 0, &[], &mut found);
    let own = |element: &&Element| element.tag == tag::GENERALIZED_TIME;
    let times: Vec<_> = found.iter().filter(own).collect();
    assert!(times.len() >= 3);
    for element in times {
        let utc = write::tlv(tag::UTC_TIME, b"251122010203Z");
        assert!(response(&replaced(good, element.start, &utc)).is_some(), "{}", element.start);
    }
}
