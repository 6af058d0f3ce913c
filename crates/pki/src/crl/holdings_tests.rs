use super::*;
use crate::crl::{CrlContents, CrlNumber, ListFeed, ListPlace, ListShape, RevokedEntry};
use crate::profile::{JpkiPurpose, LeafProfile, Validity};
use crate::revocation::RevocationReason::{self, CertificateHold, RemoveFromCrl, Superseded};
use crate::testing::{NOW, Town, YEAR_SECONDS, jpki_authority, municipality, rsa_spki, serial};
use crate::validate::{Profile, TrustAnchor, path};

const DAY: u64 = 86_400;

/// A list with this number, dated so many seconds after [`NOW`].
fn list(town: &Town, number: u64, shape: &ListShape<'_>, listed: &[(u64, RevocationReason)]) -> VerifiedList {
    let entries: Vec<_> = listed
        .iter()
        .map(|(number, reason)| RevokedEntry {
            serial: serial(*number),
            revoked_at: NOW,
            reason: *reason,
            invalid_since: None,
        })
        .collect();
    let this_update = NOW.plus(number);
    let contents = CrlContents { number, this_update, next_update: this_update.plus(DAY), entries: &entries };
    read(&town.auth.issue_list(&contents, shape).unwrap(), &town.anchors())
}

fn read(der: &[u8], anchors: &[TrustAnchor]) -> VerifiedList {
    let mut feed = ListFeed::new(anchors);
    feed.push(der).unwrap();
    feed.finish().unwrap()
}

fn complete(town: &Town, number: u64, listed: &[(u64, RevocationReason)]) -> VerifiedList {
    list(town, number, &ListShape::default(), listed)
}

fn delta(town: &Town, base: u64, number: u64, listed: &[(u64, RevocationReason)]) -> VerifiedList {
    list(town, number, &ListShape { base: Some(base), ..ListShape::default() }, listed)
}

fn after(lists: Vec<VerifiedList>) -> RevocationHoldings {
    lists.into_iter().fold(RevocationHoldings::new(), |held, list| held.with(list).unwrap().0)
}

fn only(held: &RevocationHoldings) -> &RevocationIndex {
    let mut lists = held.lists();
    let list = lists.next().unwrap();
    assert!(lists.next().is_none());
    list
}

/// What a relying party sees: who of 1, 2, 3 is listed, and why.
fn seen(held: &RevocationHoldings) -> Vec<(u64, RevocationReason)> {
    let index = only(held);
    let seen: Vec<_> = (1..9)
        .filter_map(|number| index.entry(&serial(number)).map(|(reason, _)| (number, reason)))
        .collect();
    assert_eq!(seen.len(), index.len());
    seen
}

#[test]
fn a_delta_adds_changes_and_removes() {
    let town = Town::new();
    let base = || complete(&town, 10, &[(1, CertificateHold), (2, Superseded), (3, CertificateHold)]);
    let held = after(vec![
        base(),
        delta(&town, 10, 12, &[(1, RemoveFromCrl), (3, RevocationReason::KeyCompromise), (4, Superseded)]),
    ]);
    let expected = [(2, Superseded), (3, RevocationReason::KeyCompromise), (4, Superseded)];
    assert_eq!(seen(&held), expected);
    let index = only(&held);
    assert_eq!((index.number(), index.complete_number()), (CrlNumber::from(12), CrlNumber::from(10)));
    assert_eq!((index.this_update(), index.next_update()), (NOW.plus(12), NOW.plus(12 + DAY)));
    // The next delta on the same list speaks for itself: held and released in between is not held.
    let held = held.with(delta(&town, 10, 13, &[(1, RemoveFromCrl)])).unwrap().0;
    assert_eq!(seen(&held), [(2, Superseded), (3, CertificateHold)]);
    // One that builds on what deltas have made of the list is laid over them.
    let held = after(vec![
        base(),
        delta(&town, 10, 12, &[(1, RemoveFromCrl), (4, CertificateHold), (5, Superseded)]),
        delta(&town, 12, 14, &[(4, RemoveFromCrl), (1, Superseded)]),
    ]);
    assert_eq!(seen(&held), [(1, Superseded), (2, Superseded), (3, CertificateHold), (5, Superseded)]);
    assert!(only(&held).is_behind());
    let held = held.with(complete(
        &town,
        12,
        &[(2, Superseded), (3, CertificateHold), (4, CertificateHold), (5, Superseded)],
    ));
    let held = held.unwrap().0;
    assert!(!only(&held).is_behind());
    assert_eq!(seen(&held), [(1, Superseded), (2, Superseded), (3, CertificateHold), (5, Superseded)]);
}

#[test]
fn a_delta_needs_what_it_builds_on() {
    let town = Town::new();
    let refused = |held: &RevocationHoldings, list| held.with(list).map(|_| ()).unwrap_err();
    let base = |number| CrlProblem::DeltaWithoutBase { base: CrlNumber::from(number) };
    let none = RevocationHoldings::new();
    assert_eq!(refused(&none, delta(&town, 10, 12, &[])), base(10));
    let held = after(vec![complete(&town, 10, &[])]);
    assert_eq!(refused(&held, delta(&town, 11, 12, &[])), base(11));
    let place = ListPlace::new(town.auth.subject(), "1", "http://crl.example/1.crl").unwrap();
    let shape = ListShape { base: Some(10), place: Some(&place), ..ListShape::default() };
    assert_eq!(refused(&held, list(&town, 12, &shape, &[])), base(10));
    // An older list's delta is fine on a newer list; an older delta is not.
    let held = held.with(delta(&town, 8, 12, &[(1, Superseded)])).unwrap().0;
    assert_eq!(seen(&held), [(1, Superseded)]);
    let (offered, known) = (CrlNumber::from(11), CrlNumber::from(12));
    assert_eq!(refused(&held, delta(&town, 8, 11, &[])), CrlProblem::OlderThanKnown { offered, known });
    assert_eq!(held.with(delta(&town, 8, 12, &[])).unwrap().1, Change::Nothing);
}

#[test]
fn an_older_complete_list_is_refused_unless_deltas_only_have_passed_it() {
    let town = Town::new();
    let held =
        after(vec![complete(&town, 10, &[(1, CertificateHold)]), delta(&town, 10, 15, &[(2, Superseded)])]);
    // Deltas 11 to 15 have come while the complete list 13 was on its way; 1 was released between 10 and 13.
    let (held, change) = held.with(complete(&town, 13, &[(3, Superseded)])).unwrap();
    assert_eq!(change, Change::New);
    assert_eq!(seen(&held), [(2, Superseded), (3, Superseded)]);
    assert_eq!(only(&held).number(), CrlNumber::from(15));
    assert_eq!(only(&held).complete_number(), CrlNumber::from(13));
    let (offered, known) = (CrlNumber::from(12), CrlNumber::from(15));
    let problem = held.with(complete(&town, 12, &[])).map(|_| ()).unwrap_err();
    assert_eq!(problem, CrlProblem::OlderThanKnown { offered, known });
    assert_eq!(held.with(complete(&town, 13, &[])).unwrap().1, Change::Nothing);
    // One of the deltas' own number says the same in one piece.
    let (whole, change) = held.with(complete(&town, 15, &[(2, Superseded), (3, Superseded)])).unwrap();
    assert_eq!((seen(&whole), change), (seen(&held), Change::New));
    assert_eq!(only(&whole).complete_number(), CrlNumber::from(15));
    let (newest, _) = held.with(complete(&town, 16, &[])).unwrap();
    assert!(seen(&newest).is_empty());
}

#[test]
fn a_part_speaks_for_its_own_certificates_only() {
    let town = Town::new();
    let place = |number: u8| {
        let uri = format!("http://crl.example/{number}.crl");
        ListPlace::new(town.auth.subject(), &number.to_string(), &uri).unwrap()
    };
    let (first, second) = (place(1), place(2));
    let municipality = municipality();
    let issue = |number: u64, place: Option<&ListPlace>| {
        let profile = LeafProfile::JpkiAuth {
            common_name: "ABCDEFGHIJKLMN13221003A",
            municipality: &municipality,
            ocsp_uri: None,
            list_place: place,
        };
        let validity = Validity { not_before: NOW, not_after: NOW.plus(YEAR_SECONDS) };
        let der = town.auth.issue(&profile, serial(number), validity, &rsa_spki(2)).unwrap();
        path(&der, &town.anchors(), Profile::JpkiAuth, NOW).unwrap()
    };
    let (of_first, of_second, of_none) = (issue(1, Some(&first)), issue(2, Some(&second)), issue(3, None));
    let part = |number, place, listed: &[_]| {
        list(&town, number, &ListShape { place: Some(place), ..ListShape::default() }, listed)
    };
    let now = NOW.plus(100);
    let status = |held: &RevocationHoldings, path: &PathGood| held.status_of(path, now, DAY);
    let held = after(vec![part(5, &first, &[(9, Superseded)])]);
    assert!(matches!(status(&held, &of_first), Status::Good { age_seconds: 95, .. }));
    assert_eq!(status(&held, &of_second), Status::Unknown(UnknownCause::OtherScope));
    assert_eq!(status(&held, &of_none), Status::Unknown(UnknownCause::OtherScope));
    assert_eq!(held.answer(&of_second, now, DAY), None);
    // Asked by number alone, a part can only say who is revoked.
    assert_eq!(only(&held).status(&serial(1), now, DAY), Status::Unknown(UnknownCause::OtherScope));
    assert!(matches!(only(&held).status(&serial(9), now, DAY), Status::Revoked { .. }));
    assert!(!only(&held).is_of_everything());

    // Parts stand beside each other, each with its own numbers and its own deltas.
    let held = held.with(part(3, &second, &[(2, CertificateHold)])).unwrap().0;
    assert_eq!(held.lists().count(), 2);
    assert_eq!(status(&held, &of_second), Status::Hold { since: NOW });
    let shape = ListShape { base: Some(3), place: Some(&second), ..ListShape::default() };
    let held = held.with(list(&town, 7, &shape, &[(2, RemoveFromCrl)])).unwrap().0;
    assert!(matches!(status(&held, &of_second), Status::Good { age_seconds: 93, .. }));
    let answer = held.answer(&of_first, now, DAY).unwrap();
    assert_eq!((answer.number, answer.age_seconds), (CrlNumber::from(5), 95));

    // A complete list speaks for all; of two the newer does, and a revocation always.
    let held = held.with(complete(&town, 20, &[(1, Superseded)])).unwrap().0;
    assert!(matches!(status(&held, &of_first), Status::Revoked { .. }));
    assert!(matches!(status(&held, &of_none), Status::Good { age_seconds: 80, .. }));
    assert_eq!(held.answer(&of_second, now, DAY).unwrap().number, CrlNumber::from(20));
    let held = held.with(part(30, &first, &[])).unwrap().0;
    assert!(matches!(status(&held, &of_first), Status::Revoked { .. }));
}

#[test]
fn lists_of_two_authorities_do_not_replace_each_other() {
    let town = Town::new();
    let other = jpki_authority(JpkiPurpose::Authentication, 1);
    let anchors = [TrustAnchor::from_certificate(other.certificate_der()).unwrap()];
    let contents = CrlContents { number: 2, this_update: NOW, next_update: NOW.plus(DAY), entries: &[] };
    let theirs = read(&other.issue_crl(&contents).unwrap(), &anchors);
    let held = after(vec![complete(&town, 50, &[]), theirs]);
    assert_eq!(held.lists().map(|list| list.number().as_u64().unwrap()).collect::<Vec<_>>(), [50, 2]);
    let leaf = path(&town.auth_leaf(), &town.anchors(), Profile::JpkiAuth, NOW).unwrap();
    assert_eq!(held.answer(&leaf, NOW.plus(60), DAY).unwrap().number, CrlNumber::from(50));
    assert_eq!(RevocationHoldings::new().status_of(&leaf, NOW, DAY), Status::Unknown(UnknownCause::NoList));
}
