//! Evidence that was made to cost as much as possible: what one validation may cost has limits, and each is met
//! within 100 ms of processor time in the optimised build (the tests count work, the notes in
//! `docs/performance.md` tell times).

use crate::forge::{self, Cert, DAY, List, NOW, Response, Says};
use pki::asn1::{tag, write};
use pki::oid;
use pki::public_key::{PublicKey, PublicKeyError, RSA_BITS_MAX, RSA_EXPONENT_BITS_MAX};
use pki::revocation::UnknownCause;
use pki::validate::error::Work;
use pki::validate::input::{RevocationRule, WorkLimits};
use pki::validate::{Evidence, Fault, Question, TrustAnchor, validate};

fn question() -> Question {
    Question { revocation: RevocationRule::None, ..Question::at(NOW) }
}

fn outcome(leaf: &[u8], anchor: &Cert, bag: &Evidence<'_>, question: &Question) -> Result<(), Fault> {
    let anchors = [TrustAnchor::from_certificate(&anchor.der()).unwrap()];
    validate(leaf, &anchors, bag, question).map(drop).map_err(|refusal| refusal.error.fault)
}

fn bag<'a>(certificates: &'a [Vec<u8>]) -> Evidence<'a> {
    let mut bag = Evidence::new();
    certificates.iter().for_each(|der| bag.add_certificate(der).unwrap());
    bag
}

/// Twenty authorities that all sign each other, and none of them leads to the anchor: more paths than atoms.
#[test]
fn authorities_that_all_sign_each_other() {
    let count = 20;
    let name = |which: usize| format!("CN=Authority {which}");
    let mut certificates = Vec::new();
    for subject in 1..=count {
        for issuer in (1..=count).filter(|issuer| *issuer != subject) {
            certificates.push(Cert::ca(&name(subject), subject, &name(issuer), issuer).der());
        }
    }
    assert_eq!(certificates.len(), 380);
    let leaf = Cert::leaf("CN=Leaf", 0, &name(1), 1).der();
    let bag = bag(&certificates);
    let refused = outcome(&leaf, &Cert::root("CN=Anchor", 60), &bag, &question()).unwrap_err();
    assert!(
        matches!(refused, Fault::WorkLimit { work: Work::Signatures | Work::Candidates, .. }),
        "{refused}"
    );
    // And a good path among them is found: the anchor has signed the last of them.
    let anchor = Cert::root("CN=Anchor", 60);
    let last = Cert::ca(&name(count), count, "CN=Anchor", 60).der();
    let mut with_way_out = bag;
    with_way_out.add_certificate(&last).unwrap();
    let found = outcome(&leaf, &anchor, &with_way_out, &question());
    assert!(found.is_ok() || matches!(found, Err(Fault::WorkLimit { .. })), "{found:?}");
}

/// Hundreds with the name that is looked for and none with the key: each costs a verification, up to the limit.
#[test]
fn hundreds_of_authorities_with_one_name() {
    let certificates: Vec<_> = (0..600)
        .map(|number| Cert::ca("CN=One", 1 + number % 40, "CN=Two", 50).serial(number as u64 + 1).der())
        .collect();
    let leaf = Cert::leaf("CN=Leaf", 0, "CN=One", 61).der();
    let refused = outcome(&leaf, &Cert::root("CN=Two", 50), &bag(&certificates), &question()).unwrap_err();
    let Fault::WorkLimit { work: Work::Signatures, limit } = refused else { panic!("{refused}") };
    assert_eq!(limit, WorkLimits::default().signatures);
}

#[test]
fn names_times_constraints() {
    let form = |number: u32| write::tlv(tag::context(2), format!("h{number}.example").as_bytes());
    let subtree = |number: u32| write::sequence(&[&form(number)]);
    let excluded: Vec<u8> = (10_000..11_000).flat_map(subtree).collect();
    let constraints = write::sequence(&[&write::explicit(1, &excluded)]);
    let names: Vec<u8> = (0..1_000).flat_map(form).collect();
    let limited = forge::extension(&oid::NAME_CONSTRAINTS, true, &constraints);
    let named = forge::extension(&oid::SUBJECT_ALT_NAME, false, &write::tlv(tag::SEQUENCE, &names));
    let sub = Cert::ca("CN=Sub", 1, "CN=Anchor", 0).with(limited).der();
    let leaf = Cert::leaf("CN=Leaf", 2, "CN=Sub", 1).with(named).der();
    let bag = bag(std::slice::from_ref(&sub));
    let refused = outcome(&leaf, &Cert::root("CN=Anchor", 0), &bag, &question()).unwrap_err();
    assert!(matches!(refused, Fault::WorkLimit { work: Work::NameComparisons, .. }), "{refused}");
}

/// RFC 9618 §3: each of these maps two policies to two, which in RFC 5280's tree are 2^n nodes after n levels.
#[test]
fn policies_that_double_at_every_level() {
    let name = |which: usize| format!("CN=Level {which}");
    let levels = 30;
    let doubling = |cert: Cert| {
        cert.with(forge::policies(&[1, 2])).with(forge::mappings(&[(1, 1), (1, 2), (2, 1), (2, 2)]))
    };
    let certificates: Vec<_> = (1..levels)
        .map(|level| doubling(Cert::ca(&name(level), level, &name(level - 1), level - 1)).der())
        .collect();
    let leaf = Cert::leaf("CN=Leaf", 40, &name(levels - 1), levels - 1).with(forge::policies(&[1, 2])).der();
    let bag = bag(&certificates);
    let memory = allocation_counter::measure(|| {
        outcome(&leaf, &Cert::root(&name(0), 0), &bag, &question()).unwrap();
    });
    // A tree would need 2^29 nodes. What there is beside the graph: one prepared certificate per level.
    assert!(memory.bytes_max < 200_000, "{} octets", memory.bytes_max);
}

/// As many distribution points, names and lists as are read, all different; and one more than that.
#[test]
fn distribution_points_times_lists() {
    const MOST: u32 = 64;
    let uri = |number: u32| write::tlv(tag::context(6), format!("http://h{number}.example/").as_bytes());
    let names = |from: u32, count: u32| (from..from + count).flat_map(uri).collect::<Vec<u8>>();
    let point = |number: u32| {
        write::sequence(&[&write::explicit(0, &write::explicit(0, &names(number * 1_000, MOST)))])
    };
    let leaf = |count: u32| {
        let points: Vec<u8> = (0..count).flat_map(point).collect();
        let named =
            forge::extension(&oid::CRL_DISTRIBUTION_POINTS, false, &write::tlv(tag::SEQUENCE, &points));
        Cert::leaf("CN=Leaf", 2, "CN=Anchor", 0).with(named).der()
    };
    let list = |number: u8, names: &[u8]| {
        let place = write::sequence(&[&write::explicit(0, &write::explicit(0, names))]);
        let mut list = List::new("CN=Anchor", 0, &[forge::revoked(9, 4)]);
        list.number = Some(number);
        list.more = vec![forge::extension(&oid::ISSUING_DISTRIBUTION_POINT, true, &place)];
        list.der()
    };
    let lists: Vec<_> = (1..=20).map(|number| list(number, &names(500_000, MOST))).collect();
    let mut bag = Evidence::new();
    lists.iter().for_each(|list| bag.add_list(list).unwrap());
    let asked = Question { revocation: RevocationRule::Required, ..question() };
    let fault = |leaf: &[u8]| outcome(leaf, &Cert::root("CN=Anchor", 0), &bag, &asked).unwrap_err();
    let most = fault(&leaf(MOST));
    assert!(matches!(most, Fault::StatusUnknown { cause: UnknownCause::OtherScope }), "{most:?}");
    let more = fault(&leaf(MOST + 1));
    assert!(matches!(&more, Fault::Malformed(fault) if fault.what == "distribution point"), "{more:?}");
    let too_many = list(21, &names(0, MOST + 1));
    assert_eq!(Evidence::new().add_list(&too_many).unwrap_err().what, "fullName");
}

/// Many responses by many who might be the responder.
#[test]
fn responses_times_responders() {
    let leaf = Cert::leaf("CN=Leaf", 2, "CN=Anchor", 0).der();
    let delegates: Vec<_> = (0..200)
        .map(|number| {
            Cert::leaf("CN=Responder", 3 + number % 40, "CN=Anchor", 0).serial(number as u64 + 500).der()
        })
        .collect();
    let responses: Vec<_> = (0..30u64)
        .map(|number| {
            let mut response = Response::new("CN=Anchor", 0, 102, Says::Good);
            response.by_name = Some("CN=Responder");
            response.signed_by = 70;
            response.produced_at = NOW.minus(DAY / 2 + number);
            response.der()
        })
        .collect();
    let mut bag = bag(&delegates);
    responses.iter().for_each(|response| bag.add_response(response).unwrap());
    let asked = Question { revocation: RevocationRule::Required, ..question() };
    let refused = outcome(&leaf, &Cert::root("CN=Anchor", 0), &bag, &asked).unwrap_err();
    assert!(matches!(refused, Fault::StatusUnknown { .. }), "{refused}");
}

/// RSA keys that would take long to compute with are refused before anything is computed with them.
#[test]
fn huge_rsa_keys() {
    let spki = |modulus: &[u8], exponent: &[u8]| {
        let key = write::sequence(&[&write::unsigned(modulus), &write::unsigned(exponent)]);
        let algorithm = write::sequence(&[&write::oid(&oid::RSA_ENCRYPTION), &[tag::NULL, 0]]);
        PublicKey::from_spki_der(&write::sequence(&[&algorithm, &write::bit_string(&key)]))
    };
    let odd = |bits: usize| {
        let mut number = vec![0xFF; bits / 8];
        number[0] = 0x80;
        number
    };
    let usual = [1, 0, 1];
    assert!(spki(&odd(2_048), &usual).is_ok());
    assert!(spki(&odd(RSA_BITS_MAX), &usual).is_ok());
    for bits in [1_024, 2_040, RSA_BITS_MAX + 8, 65_536, 1 << 20] {
        assert_eq!(spki(&odd(bits), &usual).unwrap_err(), PublicKeyError::ModulusSize { bits });
    }
    assert!(spki(&odd(2_048), &[1, 0, 0, 0, 1]).is_ok());
    assert_eq!(RSA_EXPONENT_BITS_MAX, 33);
    for (exponent, bits) in
        [(&[2, 0, 0, 0, 1][..], 34), (&[0x80; 256], 2_048), (&[1, 0, 0], 17), (&[1], 1), (&[2], 2)]
    {
        assert_eq!(spki(&odd(2_048), exponent).unwrap_err(), PublicKeyError::Exponent { bits });
    }
    assert!(matches!(
        spki(&odd(2_048), &[0]),
        Err(PublicKeyError::Malformed(_) | PublicKeyError::Exponent { .. })
    ));
}
