//! A whole validation with everything in the attacker's hands: anchor, leaf, bag, lists, responses.
//!
//! An input is pieces, each after a kind and its length in two octets. Signatures are what takes the time: the
//! limit on them is low here, so that a million executions end.

use pki::validate::input::{RevocationRule, WorkLimits};
use pki::validate::{Evidence, Question, TrustAnchor, validate};
use protocol::time::UnixSeconds;

/// 2025-11-22T01:02:03Z, when the corpus was made.
const NOW: UnixSeconds = UnixSeconds(1_763_773_323);
const PIECES_MAX: usize = 24;

pub(super) fn run(data: &[u8]) {
    let mut anchors = Vec::new();
    let mut leaf: &[u8] = &[];
    let mut bag = Evidence::new();
    let mut rest = data;
    for _ in 0..PIECES_MAX {
        let Some((&[kind, high, low], after)) = rest.split_first_chunk::<3>() else { break };
        let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (piece, next) = after.split_at(length);
        rest = next;
        match kind % 5 {
            0 => anchors.extend(TrustAnchor::from_certificate(piece).ok()),
            1 => leaf = piece,
            2 => drop(bag.add_certificate(piece).ok()),
            3 => drop(bag.add_list(piece).ok()),
            _ => drop(bag.add_response(piece).ok()),
        }
    }
    let revocation =
        if data.len().is_multiple_of(3) { RevocationRule::IfPresent } else { RevocationRule::Required };
    let signatures = if data.len().is_multiple_of(16) { 4 } else { 1 };
    let question = Question {
        revocation,
        limits: WorkLimits { signatures, ..WorkLimits::default() },
        ..Question::at(NOW)
    };
    match validate(leaf, &anchors, &bag, &question) {
        Ok(path) => {
            assert_eq!(path.certificates()[0].as_der(), leaf);
            assert_eq!(path.statuses().len(), path.certificates().len());
        }
        Err(refusal) => drop(refusal.to_string()),
    }
}
