//! What is kept, against lists of every kind: what they cover, what they are too old for, and what is refused.

use crate::forge::{Cert, DAY, Entry, List, NOW, Scope, distribution_point, revoked};
use pki::crl::{CrlProblem, RevocationIndex};
use pki::revocation::RevocationReason;
use pki::validate::input::Freshness;
use pki::validate::{CertificateProblem, TrustAnchor};
use pki::watch::{Change, Kept, KeptStatus, Publications, Word, compare};
use protocol::time::UnixSeconds;

const SERIAL: u64 = 702;
const AGO: UnixSeconds = NOW.minus(3_600);

fn anchors() -> Vec<TrustAnchor> {
    vec![TrustAnchor::from_certificate(&Cert::root("CN=root", 0).der()).unwrap()]
}

fn kept_at(place: Option<&str>) -> Kept {
    let mut cert = Cert::leaf("CN=leaf", 1, "CN=root", 0).serial(SERIAL);
    if let Some(place) = place {
        cert = cert.with(distribution_point(Some(place), &[], None));
    }
    Kept::of_certificate(&cert.der(), &anchors()).unwrap()
}

fn kept() -> Kept {
    kept_at(None)
}

fn list(entries: &[Entry]) -> List {
    List::new("CN=root", 0, entries)
}

fn words(kept: &Kept, lists: &[List]) -> Vec<Word> {
    let ders: Vec<_> = lists.iter().map(List::der).collect();
    let mut publications = Publications::new();
    ders.iter().for_each(|der| publications.add(der, &anchors()).unwrap());
    publications.words(std::slice::from_ref(kept)).unwrap().remove(0)
}

fn asked(kept: &Kept, lists: &[List]) -> (Change, Kept) {
    let (change, _, kept) = compare(kept, &words(kept, lists), NOW, &Freshness::default());
    (change, kept)
}

const HOLD: u8 = 6;

#[test]
fn from_each_status_to_each() {
    let held = |at: UnixSeconds| Entry { at, ..revoked(SERIAL, HOLD) };
    let ended = |at: UnixSeconds, reason| Entry { at, ..revoked(SERIAL, reason) };
    let (early, late) = (AGO.minus(100), AGO.minus(50));
    let reason = RevocationReason::Superseded;
    let good = asked(&kept(), &[list(&[])]).1;
    let on_hold = asked(&kept(), &[list(&[held(early)])]).1;
    let gone = asked(&kept(), &[list(&[ended(early, 4)])]).1;
    for (was, entry, expected) in [
        (&good, None, Change::Unchanged(KeptStatus::Good)),
        (&good, Some(held(late)), Change::PutOnHold { since: late }),
        (&good, Some(ended(late, 4)), Change::Revoked { reason, at: late }),
        (&on_hold, None, Change::Released),
        (&on_hold, Some(held(early)), Change::Unchanged(KeptStatus::Hold { since: early })),
        (&on_hold, Some(held(late)), Change::HeldAgain { since: late }),
        (&on_hold, Some(ended(late, 4)), Change::HoldBecame { reason, at: late }),
        (&gone, Some(ended(early, 4)), Change::Unchanged(KeptStatus::Revoked { reason, at: early })),
        (&gone, Some(ended(late, 4)), Change::ReasonChanged { reason, at: late }),
        (&gone, None, Change::NoLongerListed),
        (&gone, Some(held(late)), Change::NoLongerListed),
    ] {
        let entries: Vec<_> = entry.into_iter().collect();
        let (change, after) = asked(was, &[list(&entries)]);
        assert_eq!(change, expected, "{was:?}");
        if change == Change::NoLongerListed {
            assert_eq!(&after, was, "a revocation does not end");
        }
    }
    assert_eq!(asked(&kept(), &[list(&[])]).0, Change::FirstSeen(KeptStatus::Good));
    assert!(!format!("{good:?}").contains("702"));
}

#[test]
fn an_older_publication_is_refused_by_date_and_by_number() {
    let numbered = |number: u8, this: UnixSeconds| List {
        number: Some(number),
        ..list(&[]).dated(this, Some(NOW.plus(DAY)))
    };
    let held = List { entries: vec![revoked(SERIAL, HOLD)], ..numbered(7, AGO) };
    let kept = asked(&kept(), std::slice::from_ref(&held)).1;
    for old in
        [numbered(6, AGO.minus(1)), numbered(6, AGO), numbered(6, AGO.plus(1)), numbered(8, AGO.minus(1))]
    {
        let (change, after) = asked(&kept, std::slice::from_ref(&old));
        assert!(matches!(change, Change::OlderThanKept { as_of, .. } if as_of == AGO), "{change:?}");
        assert_eq!(after, kept);
    }
    assert_eq!(asked(&kept, &[numbered(8, AGO.plus(1))]).0, Change::Released);
    // The newest of several counts, wherever it stands.
    let both = [numbered(6, AGO.minus(1)), numbered(9, AGO.plus(9)), held];
    assert_eq!(asked(&kept, &both).0, Change::Released);
    // Numbers of another scope say nothing.
    let scope = Scope { only_users: true, ..Scope::default() };
    assert_eq!(asked(&kept, &[numbered(1, AGO.plus(1)).scope(scope)]).0, Change::Released);
}

#[test]
fn age_and_clock_at_their_limits() {
    let dated = |this, next| list(&[]).dated(this, next);
    for (seconds, fresh) in [(59, true), (60, true), (61, false)] {
        let (change, after) = asked(&kept(), &[dated(AGO, Some(NOW.minus(seconds)))]);
        assert_eq!(change == Change::FirstSeen(KeptStatus::Good), fresh, "{change:?}");
        assert_eq!(after.as_of.is_some(), fresh);
        if let Change::TooOld { this_update, age_seconds, limit_seconds } = change {
            assert_eq!((this_update, age_seconds, limit_seconds), (AGO, 3_600, 3_599));
        }
        let (change, _) = asked(&kept(), &[dated(NOW.plus(seconds), Some(NOW.plus(DAY)))]);
        assert_eq!(change == Change::FirstSeen(KeptStatus::Good), fresh, "{change:?}");
    }
    // What is listed is revoked, however old the list.
    let old = List { entries: vec![revoked(SERIAL, 1)], ..dated(AGO, Some(AGO.plus(1))) };
    assert!(matches!(asked(&kept(), &[old]).0, Change::FirstSeen(KeptStatus::Revoked { .. })));
}

#[test]
fn a_list_speaks_only_of_what_it_covers() {
    let part = |place, entries: &[Entry]| {
        list(entries).scope(Scope { place: Some(place), only_users: true, ..Scope::default() })
    };
    let here = kept_at(Some("CN=part 1"));
    let good = Change::FirstSeen(KeptStatus::Good);
    assert_eq!(asked(&here, &[part("CN=part 1", &[])]).0, good);
    assert_eq!(asked(&here, &[part("CN=part 2", &[])]).0, Change::NotCovered);
    assert_eq!(asked(&here, &[list(&[])]).0, good, "a list of everything");
    assert_eq!(asked(&kept(), &[part("CN=part 1", &[])]).0, Change::NotCovered);
    assert_eq!(asked(&here, &[]).0, Change::NotCovered);
    // Listed in a part where it should not be: revoked is revoked.
    let elsewhere = part("CN=part 2", &[revoked(SERIAL, 4)]);
    assert!(matches!(asked(&here, &[elsewhere]).0, Change::FirstSeen(KeptStatus::Revoked { .. })));
    assert!(Change::NotCovered.is_unknown() && !good.is_unknown());
}

#[test]
fn deltas_build_on_the_complete_list_of_their_scope() {
    let delta = |base, number, entries: &[Entry]| {
        list(entries).delta(base, number).dated(AGO.plus(60), Some(NOW.plus(DAY)))
    };
    let held = list(&[revoked(SERIAL, HOLD)]);
    let on_hold = asked(&kept(), std::slice::from_ref(&held)).1;
    let removed = Entry { reason: Some(8), ..revoked(SERIAL, 8) };
    assert_eq!(asked(&on_hold, &[held.clone(), delta(5, 6, &[removed])]).0, Change::Released);
    let (change, after) = asked(&on_hold, &[held.clone(), delta(5, 6, &[])]);
    assert!(matches!(change, Change::Unchanged(KeptStatus::Hold { .. })));
    assert_eq!(after.as_of, Some(AGO.plus(60)), "the delta says it anew");
    let superseded = delta(4, 6, &[revoked(SERIAL, 4)]);
    assert!(matches!(asked(&on_hold, &[superseded, held.clone()]).0, Change::HoldBecame { .. }));
    // It builds on a newer complete list than the one at hand, on none, or on one of another scope.
    let alone = delta(6, 7, &[]);
    assert_eq!(asked(&kept(), std::slice::from_ref(&alone)).0, Change::NotCovered);
    assert_eq!(words(&kept(), &[list(&[]), alone]).len(), 1);
    assert_eq!(words(&kept(), &[list(&[]), delta(5, 5, &[])]).len(), 1);
    let other = delta(5, 6, &[]).scope(Scope { only_users: true, ..Scope::default() });
    assert_eq!(words(&kept(), &[list(&[]), other]).len(), 1);
}

#[test]
fn lists_that_say_too_little_or_are_not_the_issuers() {
    let add = |list: &List| Publications::new().add(&list.der(), &anchors());
    let scope = |scope: Scope| add(&list(&[]).scope(scope)).unwrap_err();
    for narrow in [
        Scope { only_authorities: true, ..Scope::default() },
        Scope { reasons: &[1], ..Scope::default() },
        Scope { indirect: true, ..Scope::default() },
    ] {
        assert!(matches!(scope(narrow), CrlProblem::UnsupportedCriticalExtension { .. }));
    }
    assert_eq!(add(&List::new("CN=other", 0, &[])), Err(CrlProblem::ForeignIssuer));
    assert_eq!(add(&List { signed_by: 3, ..list(&[]) }), Err(CrlProblem::ForeignIssuer));
    let mut broken = list(&[]).der();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(Publications::new().add(&broken, &anchors()), Err(CrlProblem::BadSignature));
    assert!(matches!(add(&List { number: None, ..list(&[]) }), Err(CrlProblem::Malformed(_))));
    // removeFromCRL in a complete list undoes nothing, and the list says nothing at all.
    let odd = list(&[revoked(1, 8)]).der();
    let mut publications = Publications::new();
    publications.add(&odd, &anchors()).unwrap();
    assert!(publications.words(&[kept()]).is_err());
    let stranger = Cert::leaf("CN=leaf", 1, "CN=root", 9).der();
    let refused = Kept::of_certificate(&stranger, &anchors()).unwrap_err();
    assert_eq!(refused, CertificateProblem::ForeignIssuer);
}

#[test]
fn an_index_says_the_same_as_its_list() {
    for entries in [vec![], vec![revoked(SERIAL, HOLD)], vec![revoked(SERIAL, 3)]] {
        let list = list(&entries);
        let index = RevocationIndex::from_crl(&list.der(), &anchors(), None).unwrap();
        let kept = kept();
        assert_eq!(vec![Word::of_index(&index, &kept.serial)], words(&kept, &[list]));
    }
}
