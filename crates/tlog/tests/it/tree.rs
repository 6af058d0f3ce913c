//! The tree against its definition, and its proofs against each other.

use crate::memory::{Log, entry};
use proptest::prelude::*;
use tlog::edge::Edge;
use tlog::hash::Hash;
use tlog::proof::{ProofError, prove_consistency, prove_inclusion, root_by_inclusion, verify_consistency};

/// MTH as RFC 6962 §2.1 defines it.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_nothing(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::of_node(&defined(left), &defined(right))
        }
    }
}

fn hexadecimal(hash: &Hash) -> String {
    hash.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn roots_of_the_trees_that_certificate_transparency_tests_with() {
    let octets = |text: &str| -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    let leaves =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut edge = Edge::new();
    assert_eq!(hexadecimal(&edge.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (leaf, root) in leaves.iter().zip(roots) {
        edge.append(Hash::of_leaf(&octets(leaf)));
        assert_eq!(hexadecimal(&edge.root()), root);
    }
}

#[test]
fn the_edge_has_the_defined_root_at_every_size_and_can_be_taken_up_again() {
    let mut log = Log::new();
    let mut leaves = Vec::new();
    for number in 0..1_100 {
        assert_eq!(log.edge.root(), defined(&leaves), "{number}");
        if number % 37 == 0 || number % 256 < 2 {
            log.publish();
            assert_eq!(Edge::resume(&log, number).unwrap().unwrap(), log.edge, "{number}");
        }
        log.append(&entry(number));
        leaves.push(Hash::of_leaf(&entry(number)));
    }
}

#[test]
fn an_edge_is_not_taken_up_from_tiles_of_another_width() {
    let log = Log::of(300);
    assert!(Edge::resume(&log, 299).is_err());
    let mut cut = log;
    let width = cut.files.get("tile/0/001.p/44").unwrap().len();
    cut.files.get_mut("tile/0/001.p/44").unwrap().truncate(width - 32);
    assert!(Edge::resume(&cut, 300).is_err());
}

#[test]
fn a_tree_of_three_levels_of_tiles_proves_its_entries() {
    let size = 256 * 256 + 256 + 3;
    let log = Log::of(size);
    let root = log.edge.root();
    for index in [0, 1, 255, 256, 65_535, 65_536, 65_791, 65_792, size - 1] {
        let proof = prove_inclusion(&log, index, size).unwrap();
        let leaf = Hash::of_leaf(&entry(index));
        assert_eq!(root_by_inclusion(&leaf, index, size, &proof), Ok(root), "{index}");
    }
    // Older heads are proved from the tiles of the newest.
    for older in [1, 255, 256, 257, 65_536, 65_537, size - 1, size] {
        let old = Log::of(older).edge.root();
        let proof = prove_consistency(&log, older, size).unwrap();
        assert_eq!(verify_consistency((older, &old), (size, &root), &proof), Ok(()), "{older}");
    }
}

#[test]
fn consistency_with_nothing_and_with_itself() {
    let (nothing, root) = (Hash::of_nothing(), Hash::of_leaf(b"a"));
    assert_eq!(verify_consistency((0, &nothing), (0, &nothing), &[]), Ok(()));
    assert_eq!(verify_consistency((0, &nothing), (5, &root), &[]), Ok(()));
    assert_eq!(verify_consistency((0, &root), (5, &root), &[]), Err(ProofError::Fork));
    assert_eq!(verify_consistency((0, &root), (0, &root), &[]), Err(ProofError::Fork));
    assert_eq!(verify_consistency((5, &root), (5, &root), &[]), Ok(()));
    assert_eq!(verify_consistency((5, &root), (5, &nothing), &[]), Err(ProofError::Fork));
    let backwards = Err(ProofError::Backwards { older: 5, newer: 4 });
    assert_eq!(verify_consistency((5, &root), (4, &root), &[]), backwards);
    let length = Err(ProofError::Length { found: 1 });
    assert_eq!(verify_consistency((5, &root), (5, &root), &[root]), length);
    assert_eq!(verify_consistency((0, &nothing), (5, &root), &[root]), length);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_entry_is_proved_and_no_other(size in 1u64..700, seed in any::<u64>(), bend in any::<usize>()) {
        let log = Log::of(size);
        let (root, index) = (log.edge.root(), seed % size);
        let leaf = Hash::of_leaf(&entry(index));
        let proof = prove_inclusion(&log, index, size).unwrap();
        prop_assert_eq!(root_by_inclusion(&leaf, index, size, &proof), Ok(root));
        let other = Hash::of_leaf(b"another");
        prop_assert_ne!(root_by_inclusion(&other, index, size, &proof), Ok(root));
        if size > 1 {
            let elsewhere = (index + 1 + seed % (size - 1)) % size;
            prop_assume!(elsewhere != index);
            prop_assert_ne!(root_by_inclusion(&leaf, elsewhere, size, &proof), Ok(root));
            let mut bent = proof.clone();
            let place = bend % bent.len();
            bent[place] = other;
            prop_assert_ne!(root_by_inclusion(&leaf, index, size, &bent), Ok(root));
        }
        let longer = [proof.as_slice(), &[other]].concat();
        prop_assert_eq!(
            root_by_inclusion(&leaf, index, size, &longer),
            Err(ProofError::Length { found: longer.len() })
        );
        prop_assert_eq!(
            root_by_inclusion(&leaf, size, size, &proof),
            Err(ProofError::Outside { index: size, size })
        );
    }

    #[test]
    fn a_longer_log_continues_a_shorter_and_a_changed_one_does_not(
        older in 1u64..500, more in 0u64..300, changed in any::<u64>(),
    ) {
        let newer = older + more;
        let log = Log::of(newer);
        let (old, new) = (Log::of(older).edge.root(), log.edge.root());
        let proof = prove_consistency(&log, older, newer).unwrap();
        prop_assert_eq!(verify_consistency((older, &old), (newer, &new), &proof), Ok(()));
        // Another past of the same length, with the honest proof and with its own.
        let mut forged = Log::new();
        for number in 0..newer {
            forged.append(&if number == changed % older { b"forged".to_vec() } else { entry(number) });
        }
        forged.publish();
        let forged_root = forged.edge.root();
        prop_assert_eq!(
            verify_consistency((older, &old), (newer, &forged_root), &proof), Err(ProofError::Fork)
        );
        let own = prove_consistency(&forged, older, newer).unwrap();
        prop_assert_eq!(
            verify_consistency((older, &old), (newer, &forged_root), &own), Err(ProofError::Fork)
        );
    }
}
