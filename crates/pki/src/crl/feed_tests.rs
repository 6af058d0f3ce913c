use super::*;
use crate::asn1::write;
use crate::crl::list::CertificateList;
use crate::crl::{CrlContents, CrlNumber, ListShape, RevokedEntry};
use crate::testing::{NOW, Town, serial};
use proptest::prelude::*;

fn listed() -> Vec<(u64, RevocationReason)> {
    vec![
        (500, RevocationReason::Superseded),
        (7, RevocationReason::CertificateHold),
        (8, RevocationReason::Unspecified),
    ]
}

fn fed(pieces: &[&[u8]], anchors: &[TrustAnchor]) -> Result<RevocationIndex, CrlProblem> {
    let mut feed = ListFeed::new(anchors);
    for piece in pieces {
        feed.push(piece)?;
    }
    match feed.finish()? {
        VerifiedList::Complete(index) => Ok(index),
        VerifiedList::Delta(delta) => panic!("{delta:?}"),
    }
}

#[test]
fn however_a_list_is_cut_it_is_the_same_list() {
    let town = Town::new();
    let (anchors, der) = (town.anchors(), town.crl(9, &listed()));
    for cut in 0..=der.len() {
        let index = fed(&[&der[..cut], &[], &der[cut..]], &anchors).unwrap();
        assert_eq!((index.number(), index.len()), (CrlNumber::from(9), 3));
        for (number, reason) in listed() {
            assert_eq!(index.entry(&serial(number)), Some((reason, NOW.plus(number))));
        }
    }
    for size in 1..90 {
        let pieces: Vec<_> = der.chunks(size).collect();
        assert_eq!(fed(&pieces, &anchors).unwrap().len(), 3);
    }
}

#[test]
fn a_list_cut_short_says_where_and_one_too_long_too() {
    let town = Town::new();
    let (anchors, der) = (town.anchors(), town.crl(9, &listed()));
    for end in 0..der.len() {
        let cut = fed(&[&der[..end]], &anchors).unwrap_err();
        assert_eq!(cut, CrlProblem::Malformed(Malformed { what: "certificateList", offset: end }));
    }
    let long = fed(&[&der, &[0]], &anchors).unwrap_err();
    assert_eq!(long, CrlProblem::Malformed(Malformed { what: "certificateList", offset: der.len() }));
}

#[test]
fn a_refused_list_stays_refused_and_keeps_nothing() {
    let town = Town::new();
    let (anchors, der) = (town.anchors(), town.crl(9, &listed()));
    let mut feed = ListFeed::new(&anchors);
    feed.push(&der[..der.len() - 300]).unwrap();
    let problem = feed.push(&vec![0xFF; der.len()]).unwrap_err();
    assert_eq!(feed.push(&der), Err(problem));
    assert_eq!((feed.entries.capacity(), feed.held.capacity(), feed.head.capacity()), (0, 0, 0));
    assert_eq!(feed.finish().unwrap_err(), problem);
    // The signature decides at the very end.
    let mut forged = der.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(fed(&[&forged], &anchors).unwrap_err(), CrlProblem::BadSignature);
    // Another's list is refused before its entries.
    let foreign = [town.anchors().remove(1)];
    let head = der.len() / 2;
    assert_eq!(ListFeed::new(&foreign).push(&der[..head]), Err(CrlProblem::ForeignIssuer));
}

#[test]
fn promises_of_length_are_not_believed() {
    let town = Town::new();
    let anchors = town.anchors();
    let huge = |content: &[u8]| {
        let mut out = vec![tag::SEQUENCE, 0x84];
        out.extend_from_slice(&[0xF0, 0, 0, 0]);
        out.extend_from_slice(content);
        out
    };
    let head = [
        &[tag::INTEGER, 1, 1][..],
        &town.auth.algorithm_identifier(),
        town.auth.subject().as_der(),
        &write::time(NOW),
        &write::time(NOW.plus(60)),
        &[tag::SEQUENCE, 0x84, 0xEF, 0xFF, 0, 0],
        &write::sequence(&[&[tag::INTEGER, 1, 5], &write::time(NOW)]),
    ];
    // The lengths outside promise a little more than those inside.
    let mut list = huge(&huge(&head.concat()));
    list[2..6].copy_from_slice(&[0xF0, 0, 0, 6]);
    let mut feed = ListFeed::new(&anchors);
    feed.push(&list).unwrap();
    assert_eq!(feed.entries.len(), 1);
    assert!(feed.entries.capacity() <= 64, "{}", feed.entries.capacity());
}

#[test]
fn parts_that_nobody_writes_so_long_are_refused() {
    let town = Town::new();
    let anchors = town.anchors();
    let name = write::sequence(&[&vec![0; HEAD_OCTETS_MAX]]);
    let tbs = write::sequence(&[&[tag::INTEGER, 1, 1], &town.auth.algorithm_identifier(), &name]);
    let mut feed = ListFeed::new(&anchors);
    let problem = feed.push(&write::sequence(&[&tbs])).unwrap_err();
    assert_eq!(problem, CrlProblem::Malformed(Malformed { what: "tbsCertList", offset: 0 }));

    let entry = write::sequence(&[&vec![0; ENTRY_OCTETS_MAX]]);
    let list = |entries: &[u8], tail: &[u8]| {
        let times = [write::time(NOW), write::time(NOW.plus(60))].concat();
        let algorithm = town.auth.algorithm_identifier();
        let parts =
            [&[tag::INTEGER, 1, 1][..], &algorithm, town.auth.subject().as_der(), &times, entries, tail];
        write::sequence(&[&write::sequence(&parts)])
    };
    let problem = ListFeed::new(&anchors).push(&list(&write::sequence(&[&entry]), &[])).unwrap_err();
    assert!(matches!(problem, CrlProblem::Malformed(Malformed { what: ENTRY, .. })), "{problem}");
    let tail = write::tlv(0xA0, &vec![0; TAIL_OCTETS_MAX]);
    let problem = ListFeed::new(&anchors).push(&list(&[], &tail)).unwrap_err();
    assert!(matches!(problem, CrlProblem::Malformed(Malformed { what: "crlExtensions", .. })), "{problem}");
}

/// Any list of the forge: entries and shape by chance.
fn any_list() -> impl Strategy<Value = (Vec<(u64, usize, bool)>, Option<u64>, u64)> {
    (
        proptest::collection::vec((1u64..400, 0usize..10, any::<bool>()), 0..40),
        proptest::option::of(1u64..9),
        9u64..99,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The two readers of lists agree: on every entry, and on whether a changed list can be read at all.
    #[test]
    fn both_readers_agree(
        (listed, base, number) in any_list(),
        size in 1usize..200,
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let town = Town::new();
        let anchors = town.anchors();
        let entries: Vec<_> = listed.iter().enumerate().map(|(place, (number, reason, dated))| {
            let reason = RevocationReason::ALL[*reason];
            let removes = reason == RevocationReason::RemoveFromCrl && base.is_none();
            RevokedEntry {
                serial: serial(*number * 100 + place as u64),
                revoked_at: NOW.plus(*number),
                reason: if removes { RevocationReason::Unspecified } else { reason },
                invalid_since: dated.then_some(NOW),
            }
        }).collect();
        let contents = CrlContents { number, this_update: NOW, next_update: NOW.plus(60), entries: &entries };
        let der = town.auth.issue_list(&contents, &ListShape { base, ..ListShape::default() }).unwrap();

        let feed = |der: &[u8]| {
            let mut feed = ListFeed::new(&anchors);
            der.chunks(size).try_for_each(|piece| feed.push(piece))?;
            feed.finish()
        };
        let whole = CertificateList::parse(&der).unwrap();
        let (table, fed_number, fed_base) = match feed(&der).unwrap() {
            VerifiedList::Complete(index) => (index.entries_for_tests(), index.number(), None),
            VerifiedList::Delta(delta) => (delta.entries, delta.number, Some(delta.base)),
        };
        prop_assert_eq!((Some(fed_number), fed_base), (whole.number, whole.base_number));
        prop_assert_eq!(table.len(), entries.len());
        for entry in whole.entries() {
            let entry = entry.unwrap();
            let found = table.find(entry.serial.sort_key()).unwrap();
            prop_assert_eq!(i64::from(found.at), entry.revoked_at.0);
            prop_assert_eq!(RevocationReason::from_code(found.reason.into()), entry.reason);
        }

        // One octet changed: what the one cannot read the other cannot read either.
        let mut changed = der.clone();
        let place = at.index(changed.len());
        changed[place] = octet;
        let unreadable = CertificateList::parse(&changed).err().or_else(|| {
            CertificateList::parse(&changed).ok()?.entries().find_map(Result::err)
        });
        let outcome = feed(&changed);
        if unreadable.is_some() {
            prop_assert!(outcome.is_err());
        } else if let Err(CrlProblem::Malformed(fault)) = outcome {
            // Asked for by the index only: a number, a nextUpdate, a date after 1970, deltas alone removing.
            let wanted = ["cRLNumber", "nextUpdate", "revocationDate", "reasonCode", "version"];
            prop_assert!(wanted.contains(&fault.what), "{fault}");
        }
    }
}
