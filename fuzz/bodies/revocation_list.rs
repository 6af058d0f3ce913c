//! Revocation lists: read whole, and while they come in pieces. The readers agree, and what one has verified
//! the others can read.

use pki::crl::{CrlProblem, ListFeed, ListView, VerifiedList};
use pki::validate::{Evidence, TrustAnchor};
use std::sync::LazyLock;

/// The authority whose lists are in the corpus.
const AUTHORITY: &[u8] = include_bytes!("../specimens/list_authority.der");

static ANCHORS: LazyLock<Vec<TrustAnchor>> =
    LazyLock::new(|| vec![TrustAnchor::from_certificate(AUTHORITY).expect("a certificate")]);

fn fed(data: &[u8], piece: usize) -> Read {
    let mut feed = ListFeed::new(&ANCHORS);
    data.chunks(piece).try_for_each(|octets| feed.push(octets))?;
    feed.finish()
}

pub(super) fn run(data: &[u8]) {
    let sum = data.iter().fold(0usize, |sum, octet| sum.wrapping_add(usize::from(*octet)));
    let piece = 1 + sum % 97;
    let in_pieces = fed(data, piece);
    if sum.is_multiple_of(4) {
        same(&in_pieces, &fed(data, data.len().max(1)), piece);
    }
    let mut bag = Evidence::new();
    if let Err(fault) = bag.add_list(data) {
        assert!(fault.offset <= data.len(), "{fault}");
    }
    let view = ListView::read(data);
    if let Ok(list) = &in_pieces {
        let view = view.expect("a list that was verified");
        match list {
            VerifiedList::Complete(index) => assert_eq!(index.number(), view.number()),
            VerifiedList::Delta(delta) => assert_eq!(Some(delta.base()), view.base()),
        }
    }
}

type Read = Result<VerifiedList, CrlProblem>;

fn same(in_pieces: &Read, at_once: &Read, piece: usize) {
    match (in_pieces, at_once) {
        (Ok(VerifiedList::Complete(a)), Ok(VerifiedList::Complete(b))) => {
            assert_eq!((a.number(), a.len()), (b.number(), b.len()));
        }
        (Ok(VerifiedList::Delta(a)), Ok(VerifiedList::Delta(b))) => assert_eq!(a.number(), b.number()),
        (Err(a), Err(b)) => assert_eq!(a, b, "pieces of {piece}"),
        _ => panic!("{in_pieces:?} in pieces of {piece}, {at_once:?} at once"),
    }
}
