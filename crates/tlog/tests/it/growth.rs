//! Proofs of what was appended lately are the same as those made from tiles.

use crate::memory::{Log, entry};
use tlog::edge::Edge;
use tlog::growth::{Growth, RECENT_ENTRIES};
use tlog::hash::Hash;
use tlog::proof::{prove_inclusion, root_by_inclusion};

#[test]
fn every_entry_at_every_size_has_the_proof_that_tiles_give() {
    for start in [0, 1, 5, 8, 255, 256, 300] {
        let mut log = Log::of(start);
        let mut growth = Growth::new(Edge::resume(&log, start).unwrap().unwrap());
        assert_eq!(growth.root(), log.edge.root());
        for number in start..start + 70 {
            growth.append(Hash::of_leaf(&entry(number)));
            log.append(&entry(number));
            log.publish();
            assert_eq!(growth.root(), log.edge.root(), "{number}");
            for index in start..=number {
                let proof = prove_inclusion(&log, index, number + 1).unwrap();
                assert_eq!(growth.prove(index), Some(proof), "{index} of {number}");
            }
        }
        assert_eq!(growth.prove(start + 70), None);
        assert_eq!(start.checked_sub(1).and_then(|before| growth.prove(before)), None);
    }
}

#[test]
fn what_is_at_hand_is_bounded_and_right_after_much_was_forgotten() {
    let mut growth = Growth::new(Edge::new());
    for number in 0..5 * RECENT_ENTRIES + 77 {
        let full = growth.append(Hash::of_leaf(&entry(number)));
        assert_eq!(full.is_empty(), !(number + 1).is_multiple_of(256));
    }
    let (size, root) = (growth.size(), growth.root());
    assert_eq!(root, growth.edge().root());
    assert!(size - growth.first_at_hand() >= RECENT_ENTRIES && growth.first_at_hand() > 0);
    for index in (growth.first_at_hand()..size).step_by(97).chain([growth.first_at_hand(), size - 1]) {
        let proof = growth.prove(index).unwrap();
        assert_eq!(root_by_inclusion(&Hash::of_leaf(&entry(index)), index, size, &proof), Ok(root));
    }
    assert_eq!(growth.prove(growth.first_at_hand() - 1), None);
}
