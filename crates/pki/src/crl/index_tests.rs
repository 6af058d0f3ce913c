use super::*;
use crate::asn1::read::Reader;
use crate::asn1::{tag, write};
use crate::crl::{CrlContents, RevokedEntry};
use crate::issue::IssueError;
use crate::oid;
use crate::profile::{Criticality, JpkiPurpose, extension};
use crate::testing::{NOW, Town, jpki_authority, serial};
use crate::validate::{Profile, path};
use der::{Decode, Encode};
use proptest::prelude::*;

const DAY: u64 = 86_400;

fn reasons() -> Vec<(u64, RevocationReason)> {
    let listed =
        RevocationReason::ALL.into_iter().filter(|reason| *reason != RevocationReason::RemoveFromCrl);
    // Falling serials: the index has to sort.
    listed.enumerate().map(|(place, reason)| (500 - place as u64, reason)).collect()
}

#[test]
fn every_reason_and_date_comes_back() {
    let town = Town::new();
    let crl = town.crl(7, &reasons());
    let index = RevocationIndex::from_crl(&crl, &town.anchors(), None).unwrap();
    assert_eq!(index.number(), CrlNumber::from(7));
    assert_eq!((index.this_update(), index.next_update()), (NOW, NOW.plus(DAY)));
    assert_eq!(index.len(), 9);
    for (number, reason) in reasons() {
        assert_eq!(index.entry(&serial(number)), Some((reason, NOW.plus(number))));
        let expected = match reason {
            RevocationReason::CertificateHold => Status::Hold { since: NOW.plus(number) },
            reason => Status::Revoked { reason, at: NOW.plus(number) },
        };
        assert_eq!(index.status(&serial(number), NOW, DAY), expected);
        // A list of any age still refuses what it lists.
        assert_eq!(index.status(&serial(number), NOW.plus(100 * DAY), DAY), expected);
    }
    assert_eq!(index.entry(&serial(1)), None);
    let foreign = x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&crl).unwrap();
    assert_eq!(foreign.to_der().unwrap(), crl);
}

#[test]
fn an_empty_list_is_a_list() {
    let town = Town::new();
    let index = RevocationIndex::from_crl(&town.crl(1, &[]), &town.anchors(), None).unwrap();
    assert!(index.is_empty());
    assert_eq!(index.status(&serial(1), NOW, DAY), Status::Good { this_update: NOW, age_seconds: 0 });
}

#[test]
fn ages_at_the_limit() {
    let town = Town::new();
    let index = RevocationIndex::from_crl(&town.crl(1, &[]), &town.anchors(), None).unwrap();
    let status = |age: u64, limit: u64| index.status(&serial(9), NOW.plus(age), limit);
    for age in [299, 300] {
        assert_eq!(status(age, 300), Status::Good { this_update: NOW, age_seconds: age });
    }
    assert_eq!(status(301, 300), Status::Stale { this_update: NOW, age_seconds: 301, limit_seconds: 300 });
    // nextUpdate is a limit of its own, however patient the caller is.
    assert_eq!(status(DAY, u64::MAX), Status::Good { this_update: NOW, age_seconds: DAY });
    let stale = Status::Stale { this_update: NOW, age_seconds: DAY + 1, limit_seconds: DAY };
    assert_eq!(status(DAY + 1, u64::MAX), stale);
    // And the other way: a list from the future.
    let before = |seconds: u64| index.status(&serial(9), NOW.minus(seconds), 300);
    assert_eq!(before(CLOCK_DIFFERENCE_SECONDS_MAX), Status::Good { this_update: NOW, age_seconds: 0 });
    let ahead_seconds = CLOCK_DIFFERENCE_SECONDS_MAX + 1;
    assert_eq!(before(ahead_seconds), Status::Unknown(UnknownCause::FromTheFuture { ahead_seconds }));
}

#[test]
fn an_older_list_is_refused_and_an_equal_one_taken() {
    let town = Town::new();
    let load = |number, known| {
        RevocationIndex::from_crl(&town.crl(number, &[]), &town.anchors(), Some(CrlNumber::from(known)))
            .map(|_| ())
    };
    assert_eq!(load(8, 8), Ok(()));
    assert_eq!(load(9, 8), Ok(()));
    let (offered, known) = (CrlNumber::from(255), CrlNumber::from(256));
    assert_eq!(load(255, 256), Err(CrlProblem::OlderThanKnown { offered, known }));
}

#[test]
fn numbers_of_foreign_issuers_may_have_160_bits() {
    let read = |content: &[u8]| {
        let raw = write::tlv(tag::INTEGER, content);
        CrlNumber::read(&Reader::new(&raw).any("n").unwrap())
    };
    let large = read(&[0x7F; 20]).unwrap();
    assert!(large > CrlNumber::from(u64::MAX));
    assert_eq!(large.as_u64(), None);
    assert_eq!(read(&[0, 0xFF]).unwrap().to_string(), "255");
    assert!(read(&[0x80]).is_err());
    assert!(read(&[0x01; 21]).is_err());
    assert!(read(&[]).is_err());
}

#[test]
fn a_list_of_another_authority_with_the_same_name_is_refused() {
    let town = Town::new();
    let twin = jpki_authority(JpkiPurpose::Authentication, 1);
    assert_eq!(twin.subject(), town.auth.subject());
    let contents = CrlContents { number: 1, this_update: NOW, next_update: NOW.plus(DAY), entries: &[] };
    let list = twin.issue_crl(&contents).unwrap();
    let problem = RevocationIndex::from_crl(&list, &town.anchors(), None).unwrap_err();
    assert_eq!(problem, CrlProblem::ForeignIssuer);
    let twin_anchor = [TrustAnchor::from_certificate(twin.certificate_der()).unwrap()];
    let index = RevocationIndex::from_crl(&list, &twin_anchor, None).unwrap();
    // And a status asked of the wrong list is unknown, not good.
    let leaf = path(&town.auth_leaf(), &town.anchors(), Profile::JpkiAuth, NOW).unwrap();
    assert_eq!(index.status_of(&leaf, NOW, DAY), Status::Unknown(UnknownCause::OtherIssuer));
}

#[test]
fn impossible_lists_are_not_issued() {
    let town = Town::new();
    let contents = CrlContents { number: 1, this_update: NOW, next_update: NOW, entries: &[] };
    assert!(matches!(town.auth.issue_crl(&contents), Err(IssueError::Contents(_))));
    let reason = RevocationReason::RemoveFromCrl;
    let entry = RevokedEntry { serial: serial(1), revoked_at: NOW, reason, invalid_since: None };
    let contents = CrlContents { number: 1, this_update: NOW, next_update: NOW.plus(1), entries: &[entry] };
    assert!(matches!(town.auth.issue_crl(&contents), Err(IssueError::Contents(_))));
}

/// A list with chosen entries and extensions, signed by the town's authority.
fn forged(town: &Town, entries: &[u8], extensions: &[&[u8]]) -> Result<RevocationIndex, CrlProblem> {
    let number = extension(&oid::CRL_NUMBER, Criticality::NonCritical, &write::unsigned(&[1]));
    let mut list = vec![number.as_slice()];
    list.extend_from_slice(extensions);
    let tbs = write::sequence(&[
        &[tag::INTEGER, 1, 1],
        &town.auth.algorithm_identifier(),
        town.auth.subject().as_der(),
        &write::time(NOW),
        &write::time(NOW.plus(DAY)),
        entries,
        &write::explicit(0, &write::sequence(&list)),
    ]);
    RevocationIndex::from_crl(&town.auth.sign(&tbs).unwrap(), &town.anchors(), None)
}

fn entry_with(extensions: &[u8]) -> Vec<u8> {
    write::sequence(&[&[tag::INTEGER, 1, 5], &write::time(NOW), extensions])
}

#[test]
fn critical_extensions_that_are_not_processed_refuse_the_list() {
    let town = Town::new();
    let unknown = |criticality| extension(&oid::JPKI_AUTH_POLICY, criticality, &[tag::NULL, 0]);
    assert!(forged(&town, &[], &[&unknown(Criticality::NonCritical)]).is_ok());
    let refused = |result: Result<RevocationIndex, CrlProblem>| matches!(result, Err(CrlProblem::UnsupportedCriticalExtension { offset }) if offset > 0);
    assert!(refused(forged(&town, &[], &[&unknown(Criticality::Critical)])));
    let entries = |criticality| write::sequence(&[&entry_with(&write::sequence(&[&unknown(criticality)]))]);
    assert!(forged(&town, &entries(Criticality::NonCritical), &[]).is_ok());
    assert!(refused(forged(&town, &entries(Criticality::Critical), &[])));
}

#[test]
fn odd_entries_never_become_good() {
    let town = Town::new();
    let reason = |code: &[u8]| {
        let value = write::tlv(tag::ENUMERATED, code);
        let list = write::sequence(&[&extension(&oid::REASON_CODE, Criticality::NonCritical, &value)]);
        forged(&town, &write::sequence(&[&entry_with(&list)]), &[])
    };
    let unassigned = reason(&[7]).unwrap();
    assert_eq!(unassigned.entry(&serial(5)), Some((RevocationReason::Unspecified, NOW)));
    assert!(matches!(reason(&[8]), Err(CrlProblem::Malformed(_))));
    assert!(matches!(reason(&[]), Err(CrlProblem::Malformed(_))));
    // No reason at all is a revocation.
    let bare = forged(&town, &write::sequence(&[&entry_with(&[])]), &[]).unwrap();
    assert!(matches!(bare.status(&serial(5), NOW, DAY), Status::Revoked { .. }));
    // An empty list of entries must be left out instead.
    assert!(matches!(forged(&town, &write::sequence(&[]), &[]), Err(CrlProblem::Malformed(_))));
    // The number twice.
    let number = extension(&oid::CRL_NUMBER, Criticality::NonCritical, &write::unsigned(&[2]));
    assert!(matches!(forged(&town, &[], &[&number]), Err(CrlProblem::Malformed(_))));
    // A serial twice keeps its latest entry.
    let later = write::sequence(&[&[tag::INTEGER, 1, 5], &write::time(NOW.plus(9)), &[]]);
    let twice = forged(&town, &write::sequence(&[&later, &entry_with(&[])]), &[]).unwrap();
    assert_eq!((twice.len(), twice.entry(&serial(5)).unwrap().1), (1, NOW.plus(9)));
}

#[test]
fn every_prefix_is_refused() {
    let town = Town::new();
    let (crl, anchors) = (town.crl(3, &reasons()), town.anchors());
    for length in 0..crl.len() {
        assert!(RevocationIndex::from_crl(&crl[..length], &anchors, None).is_err(), "{length}");
    }
    let trailing = [crl.as_slice(), &[0]].concat();
    let offset = crl.len();
    let fault = Malformed { what: "certificateList", offset };
    assert_eq!(
        RevocationIndex::from_crl(&trailing, &anchors, None).unwrap_err(),
        CrlProblem::Malformed(fault)
    );
}

#[test]
fn every_flipped_bit_is_refused() {
    let town = Town::new();
    let (crl, anchors) = (town.crl(3, &reasons()), town.anchors());
    for bit in 0..crl.len() * 8 {
        let mut flipped = crl.clone();
        flipped[bit / 8] ^= 0x80 >> (bit % 8);
        assert!(RevocationIndex::from_crl(&flipped, &anchors, None).is_err(), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_index_answers_like_a_map(
        listed in proptest::collection::btree_map(1u64..5_000, 0usize..7, 0..200),
        asked in proptest::collection::vec(1u64..5_000, 50),
    ) {
        let town = Town::new();
        let entries: Vec<_> = listed.iter().map(|(number, reason)| (*number, RevocationReason::ALL[*reason])).collect();
        let index = RevocationIndex::from_crl(&town.crl(1, &entries), &town.anchors(), None).unwrap();
        prop_assert_eq!(index.len(), listed.len());
        for number in asked.iter().chain(listed.keys()) {
            let expected = listed.get(number).map(|reason| (RevocationReason::ALL[*reason], NOW.plus(*number)));
            prop_assert_eq!(index.entry(&serial(*number)), expected);
        }
    }

    #[test]
    fn noise_is_refused_without_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(RevocationIndex::from_crl(&noise, &[], None).is_err());
    }
}
