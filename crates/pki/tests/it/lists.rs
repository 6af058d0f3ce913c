//! Revocation lists: complete, delta, partitioned, for some reasons, indirect, of changing keys.

use crate::asked::Given;
use crate::forge::{Cert, DAY, Entry, LEAF_USAGE, List, NOW, Scope, distribution_point, extension, revoked};
use pki::oid;
use pki::revocation::{RevocationReason, Status, UnknownCause};
use pki::validate::input::{Freshness, RevocationRule};
use pki::validate::{CertificateStatus, Fault, PathError, Place, Question, StatusSource};
use protocol::time::UnixSeconds;

const SERIAL: u64 = 700;
const LIST_TIME: UnixSeconds = UnixSeconds(NOW.0 - 3_600);

/// Root 0 and a leaf under it.
fn leaf(more: &[Vec<u8>]) -> Cert {
    let leaf = Cert::leaf("CN=leaf", 1, "CN=root", 0).serial(SERIAL);
    more.iter().cloned().fold(leaf, Cert::with)
}

fn given(leaf: &Cert, lists: &[List]) -> Given {
    Given {
        anchors: vec![Cert::root("CN=root", 0).der()],
        leaf: leaf.der(),
        lists: lists.iter().map(List::der).collect(),
        ..Given::default()
    }
}

fn status(given: &Given, question: &Question) -> Result<CertificateStatus, Fault> {
    given.ask(question).map(|good| good.statuses[0]).map_err(|error| error.fault)
}

fn asked(leaf: &Cert, lists: &[List]) -> Result<CertificateStatus, Fault> {
    status(&given(leaf, lists), &Question::at(NOW))
}

fn good_since(this_update: UnixSeconds) -> Result<CertificateStatus, Fault> {
    let status = Status::Good { this_update, age_seconds: NOW.since(this_update) };
    Ok(CertificateStatus { status, source: StatusSource::List, this_update: Some(this_update) })
}

fn unknown(cause: UnknownCause) -> Result<CertificateStatus, Fault> {
    Err(Fault::StatusUnknown { cause })
}

fn revoked_for(reason: RevocationReason) -> Result<CertificateStatus, Fault> {
    Err(Fault::Revoked { reason, at: NOW.minus(50) })
}

fn held() -> Result<CertificateStatus, Fault> {
    Err(Fault::OnHold { since: NOW.minus(50) })
}

fn root_list(entries: &[Entry]) -> List {
    List::new("CN=root", 0, entries)
}

#[test]
fn complete_lists_say_good_revoked_held_and_why() {
    let leaf = leaf(&[]);
    assert_eq!(asked(&leaf, &[root_list(&[])]), good_since(LIST_TIME));
    assert_eq!(asked(&leaf, &[root_list(&[revoked(701, 1)])]), good_since(LIST_TIME));
    for reason in RevocationReason::ALL {
        let found = asked(&leaf, &[root_list(&[revoked(SERIAL, reason.code())])]);
        match reason {
            RevocationReason::CertificateHold => assert_eq!(found, held()),
            // Belongs into delta lists: a complete list with it is not believed.
            RevocationReason::RemoveFromCrl => {
                assert!(matches!(found, Err(Fault::StatusUnknown { cause: UnknownCause::Malformed { .. } })));
            }
            reason => assert_eq!(found, revoked_for(reason)),
        }
    }
    // Unassigned codes and no code at all revoke too; of two entries the later counts.
    assert_eq!(asked(&leaf, &[root_list(&[revoked(SERIAL, 7)])]), revoked_for(RevocationReason::Unspecified));
    let bare = Entry { reason: None, ..revoked(SERIAL, 0) };
    assert_eq!(asked(&leaf, &[root_list(&[bare])]), revoked_for(RevocationReason::Unspecified));
    let earlier = Entry { at: NOW.minus(90), ..revoked(SERIAL, 6) };
    let both = [revoked(SERIAL, 4), earlier];
    assert_eq!(asked(&leaf, &[root_list(&both)]), revoked_for(RevocationReason::Superseded));
}

#[test]
fn ages_at_their_limits() {
    let leaf = leaf(&[]);
    let next = LIST_TIME.plus(DAY);
    let list = root_list(&[]).dated(LIST_TIME, Some(next));
    let given = given(&leaf, std::slice::from_ref(&list));
    let at = |at: UnixSeconds, freshness: Freshness| {
        status(&given, &Question { freshness, ..Question::at(at) }).map(|found| found.status).err()
    };
    let exact = Freshness { clock_tolerance_seconds: 0, ..Freshness::default() };
    assert_eq!(at(next, exact), None);
    let stale = |age_seconds, limit_seconds| {
        Some(Fault::StatusTooOld { this_update: LIST_TIME, age_seconds, limit_seconds })
    };
    assert_eq!(at(next.plus(1), exact), stale(DAY + 1, DAY));
    let tolerant = Freshness { clock_tolerance_seconds: 60, ..exact };
    assert_eq!(at(next.plus(60), tolerant), None);
    assert_eq!(at(next.plus(61), tolerant), stale(DAY + 61, DAY + 60));
    let impatient = Freshness { age_seconds_max: 300, ..exact };
    assert_eq!(at(LIST_TIME.plus(300), impatient), None);
    assert_eq!(at(LIST_TIME.plus(301), impatient), stale(301, 300));
    assert_eq!(at(LIST_TIME.minus(60), tolerant), None);
    let cause = UnknownCause::FromTheFuture { ahead_seconds: 61 };
    assert_eq!(at(LIST_TIME.minus(61), tolerant), Some(Fault::StatusUnknown { cause }));
}

#[test]
fn what_an_old_list_revokes_stays_revoked_and_a_newer_one_can_end_a_hold() {
    let leaf = leaf(&[]);
    let old = |entries: &[Entry]| root_list(entries).dated(NOW.minus(9 * DAY), Some(NOW.minus(8 * DAY)));
    assert_eq!(asked(&leaf, &[old(&[revoked(SERIAL, 1)])]), revoked_for(RevocationReason::KeyCompromise));
    assert_eq!(asked(&leaf, &[old(&[revoked(SERIAL, 6)])]), held());
    // Both still current: the newer one speaks, whichever comes first.
    let earlier = |entries: &[Entry]| root_list(entries).dated(NOW.minus(9 * DAY), Some(NOW.plus(DAY)));
    let (was_held, fresh) = (earlier(&[revoked(SERIAL, 6)]), root_list(&[]));
    assert_eq!(asked(&leaf, &[was_held.clone(), fresh.clone()]), good_since(LIST_TIME));
    assert_eq!(asked(&leaf, &[fresh, was_held]), good_since(LIST_TIME));
    let now_held = root_list(&[revoked(SERIAL, 6)]);
    assert_eq!(asked(&leaf, &[earlier(&[]), now_held]), held());
}

#[test]
fn deltas_hold_release_and_supersede() {
    let leaf = leaf(&[]);
    let complete = |entries: &[Entry]| root_list(entries);
    let delta =
        |entries: &[Entry]| root_list(entries).delta(5, 7).dated(NOW.minus(60), Some(NOW.plus(3_600)));
    let since_delta = good_since(NOW.minus(60));
    assert_eq!(asked(&leaf, &[complete(&[]), delta(&[])]), since_delta);
    assert_eq!(asked(&leaf, &[complete(&[]), delta(&[revoked(SERIAL, 6)])]), held());
    let hold = [revoked(SERIAL, 6)];
    assert_eq!(asked(&leaf, &[complete(&hold), delta(&[])]), held());
    assert_eq!(asked(&leaf, &[complete(&hold), delta(&[revoked(SERIAL, 8)])]), since_delta);
    let superseded = delta(&[revoked(SERIAL, 4)]);
    assert_eq!(asked(&leaf, &[complete(&hold), superseded]), revoked_for(RevocationReason::Superseded));
    // hold, release, hold: the newest delta of the right base speaks.
    let release = delta(&[revoked(SERIAL, 8)]);
    let again = root_list(&hold).delta(5, 8).dated(NOW.minus(30), Some(NOW.plus(3_600)));
    assert_eq!(asked(&leaf, &[complete(&hold), release.clone(), again]), held());
    // Deltas that do not fit are left aside: other base, other scope, other key, older than the list, stale.
    let misfits = [
        release.clone().delta(6, 7),
        release.clone().delta(3, 5),
        List { signed_by: 9, ..release.clone() },
        release.clone().scope(Scope { only_users: true, ..Scope::default() }),
        release.clone().dated(NOW.minus(DAY), Some(NOW.minus(3_600))),
    ];
    for misfit in misfits {
        assert_eq!(asked(&leaf, &[complete(&hold), misfit]), held());
    }
    assert_eq!(asked(&leaf, &[release]), unknown(UnknownCause::DeltaWithoutBase));
    // A fresh delta renews the list that it builds on.
    let old = complete(&[]).dated(NOW.minus(3 * DAY), Some(NOW.minus(2 * DAY)));
    assert_eq!(asked(&leaf, &[old, delta(&[])]), since_delta);
}

/// Too old to release anybody; what it revokes is revoked.
#[test]
fn a_stale_delta_revokes_and_does_not_release() {
    let leaf = leaf(&[]);
    let stale =
        |entries: &[Entry]| root_list(entries).delta(5, 7).dated(NOW.minus(1_800), Some(NOW.minus(600)));
    let found = asked(&leaf, &[root_list(&[]), stale(&[revoked(SERIAL, 4)])]);
    assert_eq!(found, revoked_for(RevocationReason::Superseded));
    assert_eq!(asked(&leaf, &[root_list(&[]), stale(&[revoked(SERIAL, 6)])]), held());
    assert_eq!(asked(&leaf, &[root_list(&[revoked(SERIAL, 6)]), stale(&[revoked(SERIAL, 8)])]), held());
    assert_eq!(asked(&leaf, &[root_list(&[]), stale(&[])]), good_since(LIST_TIME));
}

/// Several programs write an empty list of entries where RFC 5280 §5.1.2.6 wants none.
#[test]
fn a_list_that_spells_out_that_it_is_empty() {
    let leaf = leaf(&[]);
    let with = |question: &Question| {
        let mut given = given(&leaf, &[]);
        given.lists.push(List { spells_empty: true, ..root_list(&[]) }.der());
        status(&given, question)
    };
    assert_eq!(with(&Question::at(NOW)), good_since(LIST_TIME));
    let strict = Question { profile: pki::validate::Profile::Rfc5280Strict, ..Question::at(NOW) };
    assert!(matches!(with(&strict), Err(Fault::StatusUnknown { cause: UnknownCause::Malformed { .. } })));
}

#[test]
fn partitions_and_kinds() {
    let place = |name: &'static str| Scope { place: Some(name), ..Scope::default() };
    let point = |name: &str| distribution_point(Some(name), &[], None);
    let leaf_at = |name: &str| leaf(&[point(name)]);
    let shard = |name: &'static str, entries: &[Entry]| root_list(entries).scope(place(name));
    assert_eq!(asked(&leaf_at("CN=one"), &[shard("CN=one", &[])]), good_since(LIST_TIME));
    let listed = shard("CN=two", &[revoked(SERIAL, 1)]);
    assert_eq!(
        asked(&leaf_at("CN=two"), &[shard("CN=one", &[]), listed.clone()]),
        revoked_for(RevocationReason::KeyCompromise)
    );
    // The other partition says nothing of this certificate, listed or not.
    assert_eq!(asked(&leaf_at("CN=one"), std::slice::from_ref(&listed)), unknown(UnknownCause::OtherScope));
    assert_eq!(asked(&leaf(&[]), std::slice::from_ref(&listed)), unknown(UnknownCause::OtherScope));
    // A list for everything covers every point.
    assert_eq!(asked(&leaf_at("CN=one"), &[root_list(&[])]), good_since(LIST_TIME));
    let users = Scope { only_users: true, ..Scope::default() };
    let authorities = Scope { only_authorities: true, ..Scope::default() };
    assert_eq!(asked(&leaf(&[]), &[root_list(&[]).scope(users)]), good_since(LIST_TIME));
    assert_eq!(asked(&leaf(&[]), &[root_list(&[]).scope(authorities)]), unknown(UnknownCause::NoList));
}

#[test]
fn some_reasons_only() {
    let some = |reasons: &'static [u8], entries: &[Entry]| {
        root_list(entries).scope(Scope { reasons, ..Scope::default() })
    };
    // keyCompromise and cACompromise; everything else.
    let (keys, rest): (&'static [u8], &'static [u8]) = (&[1, 2], &[3, 4, 5, 6, 7, 8]);
    let leaf = leaf(&[]);
    assert_eq!(asked(&leaf, &[some(keys, &[])]), unknown(UnknownCause::ReasonsNotCovered));
    assert_eq!(asked(&leaf, &[some(keys, &[]), some(rest, &[])]), good_since(LIST_TIME));
    let listed = some(rest, &[revoked(SERIAL, 3)]);
    assert_eq!(asked(&leaf, &[some(keys, &[]), listed]), revoked_for(RevocationReason::AffiliationChanged));
    // The older of the two is the age of the answer.
    let older = some(keys, &[]).dated(NOW.minus(2 * DAY), Some(NOW.plus(DAY)));
    assert_eq!(asked(&leaf, &[older, some(rest, &[])]), good_since(NOW.minus(2 * DAY)));
}

#[test]
fn indirect_lists_name_the_issuer_of_each_entry() {
    let named = distribution_point(None, &[], Some("CN=list issuer"));
    let leaf = leaf(&[named]);
    let issuer =
        Cert { usage: Some(0x0200), authority: None, ..Cert::leaf("CN=list issuer", 20, "CN=root", 0) };
    let with = |entries: &[Entry], indirect: bool| {
        let scope = Scope { indirect, ..Scope::default() };
        let list = List::new("CN=list issuer", 20, entries).scope(scope);
        let mut given = given(&leaf, &[list, root_list(&[])]);
        given.bag.push(issuer.der());
        // The root's own list is there for the list issuer's status; without the other it would do for
        // the leaf as well, so it is told apart by the reason found.
        status(&given, &Question::at(NOW)).map(|found| found.this_update)
    };
    let of_root = |serial, reason| Entry { issuer: Some("CN=root"), ..revoked(serial, reason) };
    assert_eq!(with(&[], true), Ok(Some(LIST_TIME)));
    let key_compromise = Err(Fault::Revoked { reason: RevocationReason::KeyCompromise, at: NOW.minus(50) });
    assert_eq!(with(&[of_root(SERIAL, 1)], true), key_compromise);
    // The issuer stays until the next one is named, and starts as the list's own.
    assert_eq!(with(&[of_root(1, 1), revoked(SERIAL, 1)], true), key_compromise);
    assert_eq!(with(&[revoked(SERIAL, 1), of_root(1, 1)], true), Ok(Some(LIST_TIME)));
    let elsewhere = Entry { issuer: Some("CN=elsewhere"), ..revoked(2, 1) };
    assert_eq!(with(&[of_root(1, 1), elsewhere, revoked(SERIAL, 1)], true), Ok(Some(LIST_TIME)));
    // Not indirect: not for this certificate, so that only the root's own list is left.
    assert_eq!(with(&[of_root(SERIAL, 1)], false), Ok(Some(LIST_TIME)));
}

#[test]
fn who_may_sign_a_list() {
    let leaf = leaf(&[]);
    // Another key under the root's name, certified by the root, for lists only.
    let signer =
        |usage| Cert { usage: Some(usage), authority: None, ..Cert::ca("CN=root", 30, "CN=root", 0) };
    let list = List { signed_by: 30, ..root_list(&[revoked(SERIAL, 1)]) };
    let with = |certificate: Option<Cert>, more: &[List]| {
        let mut given = given(&leaf, &[std::slice::from_ref(&list), more].concat());
        given.bag.extend(certificate.map(|certificate| certificate.der()));
        status(&given, &Question::at(NOW))
    };
    let key_compromise = revoked_for(RevocationReason::KeyCompromise);
    // Nobody vouches for the key.
    assert_eq!(with(None, &[]), unknown(UnknownCause::BadSignature));
    assert_eq!(with(Some(signer(LEAF_USAGE)), &[]), unknown(UnknownCause::BadSignature));
    // Its status rests on the list it signs itself: nothing is known.
    assert_eq!(with(Some(signer(0x0200)), &[]), unknown(UnknownCause::Circular));
    // The root's own list says that the key is good; it does not list the leaf, the other one does.
    assert_eq!(with(Some(signer(0x0200)), &[root_list(&[])]), key_compromise);
    // The key is revoked: its list no longer counts, the root's own does.
    let revoking = root_list(&[revoked(130, 1)]);
    assert_eq!(with(Some(signer(0x0200)), &[revoking]), good_since(LIST_TIME));
    // A root that may not sign lists.
    let mut given = given(&leaf, &[root_list(&[])]);
    given.anchors = vec![Cert { usage: Some(0x0400), ..Cert::root("CN=root", 0) }.der()];
    assert_eq!(status(&given, &Question::at(NOW)), unknown(UnknownCause::BadSignature));
}

#[test]
fn a_list_issuer_under_another_anchor_does_not_count() {
    let leaf = leaf(&[]);
    let mut given = given(&leaf, &[List { signed_by: 40, ..root_list(&[]) }]);
    given.anchors.push(Cert::root("CN=other root", 41).der());
    given.bag.push(Cert { usage: Some(0x0200), ..Cert::ca("CN=root", 40, "CN=other root", 41) }.der());
    assert_eq!(status(&given, &Question::at(NOW)), unknown(UnknownCause::SignerNotValid));
}

#[test]
fn lists_that_cannot_be_used_are_told_from_no_list() {
    let leaf = leaf(&[]);
    let unknown_extension = extension(&oid::HOLDER_NAME, true, &[5, 0]);
    let odd = List { more: vec![unknown_extension], ..root_list(&[]) };
    let stranger = List::new("CN=somebody else", 50, &[]);
    let stale = root_list(&[]).dated(NOW.minus(9 * DAY), Some(NOW.minus(8 * DAY)));
    let badly_signed = List { signed_by: 51, ..root_list(&[]) };
    let kinds = [odd, stale, badly_signed];
    let if_present = Question { revocation: RevocationRule::IfPresent, ..Question::at(NOW) };
    for list in kinds {
        let given = given(&leaf, &[list]);
        let fault = status(&given, &if_present).unwrap_err();
        assert!(matches!(fault, Fault::StatusUnknown { .. } | Fault::StatusTooOld { .. }), "{fault}");
    }
    for lists in [&[][..], &[stranger]] {
        let given = given(&leaf, lists);
        assert_eq!(status(&given, &Question::at(NOW)), unknown(UnknownCause::NoList));
        let found = status(&given, &if_present).unwrap();
        assert_eq!(
            (found.source, found.status),
            (StatusSource::Nothing, Status::Unknown(UnknownCause::NoList))
        );
    }
}

#[test]
fn every_issuer_below_the_anchor_is_asked_about() {
    let ca = Cert::ca("CN=ca", 1, "CN=root", 0).serial(55);
    let leaf = Cert::leaf("CN=leaf", 2, "CN=ca", 1).serial(SERIAL);
    let with = |lists: &[List]| {
        let mut given = given(&leaf, lists);
        given.bag.push(ca.der());
        given.ask(&Question::at(NOW)).map(|good| good.statuses.len())
    };
    let of_ca = List::new("CN=ca", 1, &[]);
    assert_eq!(with(&[root_list(&[]), of_ca.clone()]), Ok(2));
    let cause = UnknownCause::NoList;
    let missing = PathError { place: Place::Issuer(1), fault: Fault::StatusUnknown { cause } };
    assert_eq!(with(std::slice::from_ref(&of_ca)), Err(missing));
    let revoked_ca = with(&[root_list(&[revoked(55, 2)]), of_ca]).unwrap_err();
    assert_eq!((revoked_ca.place, revoked_ca.fault.code()), (Place::Issuer(1), "revoked"));
}

#[test]
fn a_list_without_an_end_is_good_for_a_day() {
    let leaf = leaf(&[]);
    let endless = |age| root_list(&[]).dated(NOW.minus(age), None);
    assert_eq!(asked(&leaf, &[endless(DAY)]), good_since(NOW.minus(DAY)));
    let (age_seconds, limit_seconds) = (DAY + 1, DAY);
    let this_update = NOW.minus(age_seconds);
    let stale = Err(Fault::StatusTooOld { this_update, age_seconds, limit_seconds });
    assert_eq!(asked(&leaf, &[endless(DAY + 1)]), stale);
}
