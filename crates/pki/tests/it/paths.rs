//! Building and walking paths.

use crate::asked::{Given, path_only};
use crate::forge::{
    Cert, DAY, NOW, alternative_names, directory, dns, extension, name_constraints, policy_constraints,
    purposes,
};
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
