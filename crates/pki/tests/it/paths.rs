//! Building and walking paths.

use crate::asked::{Given, path_only};
use crate::forge::{
    Cert, DAY, NOW, alternative_names, directory, dns, extension, name_constraints, policy_constraints,
    purposes,
};
use pki::asn1::{tag, write};
use pki::oid;
use pki::validate::error::Work;
use pki::validate::input::WorkLimits;
use pki::validate::{Fault, PathError, Place, Profile, Question};

fn refusal(given: &Given) -> (Place, &'static str) {
    let PathError { place, fault } = given.ask(&path_only()).unwrap_err();
    (place, fault.code())
}

/// Root 0, intermediates 1 to `count`, leaf.
fn chain(count: usize) -> Given {
    let subject = |which: usize| if which == 0 { "CN=root".to_owned() } else { format!("CN=ca {which}") };
    let bag = (1..=count)
        .map(|which| Cert::ca(&subject(which), which, &subject(which - 1), which - 1).der())
        .collect();
    Given {
        anchors: vec![Cert::root("CN=root", 0).der()],
        leaf: Cert::leaf("CN=leaf", count + 1, &subject(count), count).der(),
        bag,
        ..Given::default()
    }
}

#[test]
fn a_bag_in_any_order_with_strangers_in_it() {
    let mut given = chain(6);
    given.bag.reverse();
    for stranger in 20..30 {
        given.bag.push(Cert::ca(&format!("CN=stranger {stranger}"), stranger, "CN=nobody", 31).der());
    }
    // Twice the same, and the anchor itself: harmless.
    given.bag.push(given.bag[1].clone());
    given.bag.push(given.anchors[0].clone());
    assert_eq!(given.ask(&path_only()).unwrap().length, 7);
    // Without number 3 of 6.
    given.bag.remove(3);
    given.bag.retain(|der| *der != given.anchors[0]);
    assert_eq!(refusal(&given), (Place::Issuer(3), "no-issuer"));
}

#[test]
fn names_decide_where_keys_are_the_same_and_keys_where_names_are() {
    let mut given = chain(1);
    // The same name with another key comes first in the bag, without and with the right key identifier.
    let impostor = Cert { identifiers: false, ..Cert::ca("CN=ca 1", 40, "CN=root", 0) };
    given.bag.insert(0, impostor.der());
    assert_eq!(given.ask(&path_only()).unwrap().length, 2);
    given.bag.truncate(1);
    assert_eq!(refusal(&given), (Place::Leaf, "bad-signature"));
    // A key identifier that lies does not matter: the signature decides.
    given.leaf = Cert { identifiers: false, ..Cert::leaf("CN=leaf", 9, "CN=ca 1", 40) }
        .with(crate::forge::authority_key_identifier(77))
        .der();
    assert_eq!(given.ask(&path_only()).unwrap().length, 2);
    given.leaf = Cert::leaf("CN=leaf", 9, "CN=somebody else", 40).der();
    assert_eq!(refusal(&given), (Place::Leaf, "no-issuer"));
}

#[test]
fn another_path_is_found_when_the_first_is_bad() {
    // Two certificates of one authority: one expired, one from a root that is not trusted, one good.
    let mut given = chain(1);
    let expired = Cert { not_after: NOW.minus(1), ..Cert::ca("CN=ca 1", 1, "CN=root", 0) };
    given.bag.insert(0, expired.clone().serial(900).der());
    given.bag.insert(0, Cert::ca("CN=ca 1", 1, "CN=other root", 50).der());
    assert_eq!(given.ask(&path_only()).unwrap().length, 2);
    given.bag = vec![expired.der()];
    assert_eq!(refusal(&given), (Place::Issuer(1), "expired"));
    // An intermediate that is trusted itself ends the path, whatever is above it.
    given.anchors = vec![Cert::ca("CN=ca 1", 1, "CN=other root", 50).der()];
    assert_eq!(given.ask(&path_only()).unwrap().length, 1);
}

#[test]
fn the_anchor_is_held_to_what_it_says() {
    let with = |anchor: Cert| {
        let given = Given { anchors: vec![anchor.der()], ..chain(2) };
        given.ask(&path_only()).err().map(|error| (error.place, error.fault.code()))
    };
    let root = || Cert::root("CN=root", 0);
    assert_eq!(with(root()), None);
    assert_eq!(with(Cert { not_after: NOW.minus(1), ..root() }), Some((Place::Anchor, "expired")));
    assert_eq!(with(Cert { usage: Some(0x0200), ..root() }), Some((Place::Anchor, "key-usage")));
    assert_eq!(with(Cert { authority: Some((true, Some(2))), ..root() }), None);
    let shorter = Cert { authority: Some((true, Some(1))), ..root() };
    assert_eq!(with(shorter), Some((Place::Issuer(1), "path-length")));
    let names = root().with(name_constraints(&[directory("O=elsewhere")], &[]));
    assert_eq!(with(names), Some((Place::Issuer(2), "name-constraints")));
    let policies = root().with(policy_constraints(Some(0), None));
    assert_eq!(with(policies), Some((Place::Issuer(2), "policy")));
}

#[test]
fn authorities_are_told_from_others() {
    let with = |ca: Cert| {
        let given = Given { bag: vec![ca.der()], ..chain(1) };
        given.ask(&path_only()).err().map(|error| error.fault)
    };
    let ca = || Cert::ca("CN=ca 1", 1, "CN=root", 0);
    assert_eq!(with(ca()), None);
    assert_eq!(with(Cert { authority: None, usage: None, ..ca() }), Some(Fault::NotAnAuthority));
    assert_eq!(with(Cert { authority: Some((false, None)), ..ca() }), Some(Fault::NotAnAuthority));
    let no_sign = Cert { usage: Some(0x0200), ..ca() };
    assert_eq!(with(no_sign), Some(Fault::KeyUsage { wanted: "keyCertSign" }));
    assert_eq!(with(Cert { usage: None, ..ca() }), None);
    // Version 1: nothing says that it may issue.
    let first = Cert { authority: None, usage: None, identifiers: false, ..ca() };
    assert_eq!(with(first), Some(Fault::NotAnAuthority));
    let unknown = ca().with(extension(&oid::HOLDER_NAME, true, &[5, 0]));
    assert!(
        matches!(with(unknown), Some(Fault::UnknownCriticalExtension { identifier, .. }) if identifier == oid::HOLDER_NAME.to_string())
    );
}

#[test]
fn purposes_hold_down_the_whole_path() {
    let given = |ca: &[der::asn1::ObjectIdentifier], leaf: &[der::asn1::ObjectIdentifier]| {
        let with = |cert: Cert, list: &[der::asn1::ObjectIdentifier]| {
            if list.is_empty() { cert } else { cert.with(purposes(list)) }
        };
        Given {
            bag: vec![with(Cert::ca("CN=ca 1", 1, "CN=root", 0), ca).der()],
            leaf: with(Cert::leaf("CN=leaf", 2, "CN=ca 1", 1), leaf).der(),
            ..chain(1)
        }
    };
    let question = Question { purpose: Some(oid::CLIENT_AUTH), ..path_only() };
    let ask = |ca: &[_], leaf: &[_]| given(ca, leaf).ask(&question).map(|good| good.length);
    assert_eq!(ask(&[], &[]), Ok(2));
    assert_eq!(ask(&[], &[oid::CLIENT_AUTH]), Ok(2));
    assert_eq!(ask(&[oid::ANY_PURPOSE], &[oid::SERVER_AUTH, oid::CLIENT_AUTH]), Ok(2));
    let fault = Fault::Purpose { wanted: oid::CLIENT_AUTH.to_string() };
    assert_eq!(ask(&[], &[oid::SERVER_AUTH]), Err(PathError { place: Place::Leaf, fault: fault.clone() }));
    assert_eq!(ask(&[oid::SERVER_AUTH], &[]), Err(PathError { place: Place::Issuer(1), fault }));
}

#[test]
fn self_issued_certificates_are_not_counted_and_not_constrained() {
    let constraints = name_constraints(&[dns("example")], &[]);
    let given = |leaf_name: &str| Given {
        anchors: vec![
            Cert { authority: Some((true, Some(1))), ..Cert::root("CN=root", 0) }
                .with(constraints.clone())
                .der(),
        ],
        // A new key of ca 1, certified by the old one under a name that the constraint would refuse.
        bag: vec![
            Cert::ca("CN=ca 1", 1, "CN=root", 0).der(),
            Cert::ca("CN=ca 1", 5, "CN=ca 1", 1).with(alternative_names(&[dns("elsewhere")])).der(),
        ],
        leaf: Cert::leaf("CN=leaf", 6, "CN=ca 1", 5).with(alternative_names(&[dns(leaf_name)])).der(),
        ..Given::default()
    };
    assert_eq!(given("a.example").ask(&path_only()).unwrap().length, 3);
    assert_eq!(refusal(&given("elsewhere")), (Place::Leaf, "name-constraints"));
}

#[test]
fn a_crowd_that_signs_each_other_stops_at_the_limit() {
    // The same name, the same key: every certificate could have issued every other.
    let crowd = |count: usize, subject: fn(usize) -> String, key: fn(usize) -> usize| Given {
        anchors: vec![Cert::root("CN=root", 0).der()],
        leaf: Cert::leaf("CN=leaf", 1, &subject(1), key(1)).der(),
        bag: (1..=count)
            .map(|which| {
                let next = which % count + 1;
                Cert::ca(&subject(which), key(which), &subject(next), key(next)).serial(which as u64).der()
            })
            .collect(),
        ..Given::default()
    };
    let one_name = crowd(100, |_| "CN=ca".to_owned(), |which| which + 2);
    assert_eq!(refusal(&one_name).1, "work-limit");
    let all_same = crowd(100, |_| "CN=ca".to_owned(), |_| 3);
    assert_eq!(refusal(&all_same), (Place::Issuer(1), "no-anchor"));
    let one_key = crowd(100, |which| format!("CN=ca {which}"), |_| 3);
    assert_eq!(refusal(&one_key).1, "work-limit");
    let limits = WorkLimits { signatures: 3, ..WorkLimits::default() };
    let error = one_name.ask(&Question { limits, ..path_only() }).unwrap_err();
    assert_eq!(error.fault, Fault::WorkLimit { work: Work::Signatures, limit: 3 });
}

#[test]
fn long_chains_end_at_a_length() {
    let limit = WorkLimits::default().path_length;
    assert_eq!(chain(limit - 1).ask(&path_only()).unwrap().length, limit);
    let error = chain(limit).ask(&path_only()).unwrap_err();
    assert_eq!(error.fault, Fault::WorkLimit { work: Work::PathLength, limit });
}

#[test]
fn strict_readers_ask_for_more() {
    let strict = Question { profile: Profile::Rfc5280Strict, ..path_only() };
    assert!(chain(1).ask(&strict).is_ok());
    let with = |leaf: Cert| Given { leaf: leaf.der(), ..chain(1) };
    let leaf = || Cert::leaf("CN=leaf", 2, "CN=ca 1", 1);
    for loose in [
        with(leaf().serial(0)),
        with(Cert { identifiers: false, ..leaf() }),
        with(leaf().with(alternative_names(&[dns("a_b.example")]))),
        with(leaf().with(alternative_names(&[dns("192.0.2.1")]))),
        with(leaf().with(alternative_names(&[]))),
        with(Cert { authority: Some((false, Some(1))), ..leaf() }),
    ] {
        assert!(loose.ask(&path_only()).is_ok());
        assert_eq!(loose.ask(&strict).unwrap_err().fault.code(), "conformance");
    }
    // And some breaches nobody lets pass.
    for wrong in [
        with(Cert { usage: Some(0x8400), ..leaf() }),
        with(Cert { subject: String::new(), ..leaf() }),
        with(leaf().with(name_constraints(&[dns("example")], &[]))),
    ] {
        assert_eq!(wrong.ask(&path_only()).unwrap_err().fault.code(), "conformance");
    }
}

/// Written otherwise than DER has it, and understood by everybody: let pass, unless every rule is asked for.
#[test]
fn old_encodings_are_read_and_strict_readers_refuse_them() {
    let strict = Question { profile: Profile::Rfc5280Strict, ..path_only() };
    let leaf = |authority, usage| Cert { authority, usage, ..Cert::leaf("CN=leaf", 2, "CN=ca 1", 1) };
    let spelled = |kind: &der::asn1::ObjectIdentifier, value: &[u8]| {
        let value = write::tlv(tag::OCTET_STRING, value);
        write::sequence(&[&write::oid(kind), &[tag::BOOLEAN, 1, 0], &value])
    };
    let plain = |kind, value: &[u8]| extension(kind, true, value);
    for cert in [
        leaf(None, Some(0x8000)).with(spelled(&oid::HOLDER_NAME, &[5, 0])),
        leaf(None, Some(0x8000)).with(plain(&oid::BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 0])),
        leaf(None, None).with(plain(&oid::KEY_USAGE, &[3, 2, 0, 0x80])),
        leaf(None, None).with(plain(&oid::KEY_USAGE, &[3, 3, 0, 0x80, 0])),
    ] {
        let given = Given { leaf: cert.der(), ..chain(1) };
        assert!(given.ask(&path_only()).is_ok());
        assert_eq!(given.ask(&strict).unwrap_err().fault.code(), "conformance");
    }
    // Bits set that are said to be unused, and more bits than there are names.
    for bits in [&[3, 2, 6, 0xA0][..], &[3, 4, 0, 0x80, 0, 0], &[3, 1, 1]] {
        let cert = leaf(None, None).with(plain(&oid::KEY_USAGE, bits));
        let given = Given { leaf: cert.der(), ..chain(1) };
        assert_eq!(refusal(&given), (Place::Leaf, "malformed"));
    }
}

/// Far more bad certificates of the right name than there may be paths, and a good one behind them.
#[test]
fn a_heap_of_bad_issuers_does_not_hide_a_good_one() {
    let mut given = chain(3);
    let good = given.bag.clone();
    let expired = |which: usize, serial: u64| Cert {
        not_after: NOW.minus(1),
        ..Cert::ca(&format!("CN=ca {which}"), which, &format!("CN=ca {}", which - 1), which - 1)
            .serial(serial)
    };
    given.bag = (2..=3).flat_map(|which| (0..60).map(move |n| expired(which, 5_000 + n).der())).collect();
    given.bag.extend(good);
    assert_eq!(given.ask(&path_only()).unwrap().length, 4);
    // Without the good ones the answer says what is wrong, not only that nothing was found.
    given.bag.truncate(120);
    given.bag.push(Cert::ca("CN=ca 1", 1, "CN=root", 0).der());
    assert_eq!(refusal(&given).1, "expired");
}

/// What is trusted for itself is believed as it is, and nothing that it signs.
#[test]
fn a_pinned_certificate_stands_for_itself_alone() {
    let itself = Cert { usage: Some(0x8000), ..Cert::leaf("CN=server", 5, "CN=server", 5) };
    let foreign = Cert::leaf("CN=leaf", 6, "CN=nobody here", 7);
    let ask = |pinned: &[u8], leaf: &[u8], question: &Question| {
        let anchors = [pki::validate::TrustAnchor::pinned(pinned).unwrap()];
        let evidence = pki::validate::Evidence::new();
        pki::validate::validate(leaf, &anchors, &evidence, question)
            .map(|path| path.certificates().len())
            .map_err(|refusal| refusal.error.fault.code())
    };
    let alone = |cert: &Cert, question: &Question| {
        let der = cert.der();
        ask(&der, &der, question)
    };
    assert_eq!(alone(&itself, &path_only()), Ok(1));
    assert_eq!(alone(&foreign, &path_only()), Ok(1));
    assert_eq!(ask(&itself.der(), &foreign.der(), &path_only()), Err("no-issuer"));
    let below = Cert::leaf("CN=below", 8, "CN=server", 5);
    assert_eq!(ask(&itself.der(), &below.der(), &path_only()), Err("no-issuer"));
    let expired = Cert { not_after: NOW.minus(1), ..itself.clone() };
    assert_eq!(alone(&expired, &path_only()), Err("expired"));
    let wanted = Question { purpose: Some(oid::CLIENT_AUTH), ..path_only() };
    let server = itself.with(purposes(&[oid::SERVER_AUTH]));
    assert_eq!(alone(&server, &wanted), Err("purpose"));
}

#[test]
fn dates_at_their_edges_and_evidence_of_a_long_path() {
    let given = |not_before, not_after| {
        let leaf = Cert { not_before, not_after, ..Cert::leaf("CN=leaf", 2, "CN=ca 1", 1) };
        let given = Given { leaf: leaf.der(), ..chain(1) };
        given.ask(&path_only()).err().map(|error| error.fault.code())
    };
    assert_eq!(given(NOW, NOW), None);
    assert_eq!(given(NOW.plus(1), NOW.plus(DAY)), Some("not-yet-valid"));
    assert_eq!(given(NOW.minus(DAY), NOW.minus(1)), Some("expired"));
    let given = chain(1);
    let anchors = [pki::validate::TrustAnchor::from_certificate(&given.anchors[0]).unwrap()];
    let mut evidence = pki::validate::Evidence::new();
    evidence.add_certificate(&given.bag[0]).unwrap();
    let path = pki::validate::validate(&given.leaf, &anchors, &evidence, &path_only()).unwrap();
    let kept = path.evidence().unwrap();
    assert_eq!(kept.not_after(), NOW.plus(1_000 * DAY));
    // The issuer is the intermediate, not the anchor.
    assert_ne!(kept.issuer_key_id(), anchors[0].key_id());
}
