//! Proofs: RFC 6962 §2.1.1 and §2.1.2, verified by RFC 9162 §2.1.3.2 and §2.1.4.2.

use crate::checkpoint::TrustedCheckpoint;
use crate::hash::Hash;
use crate::tile::{ReadError, Subtrees, TileSource};

/// Hashes of a proof at most: the height of a tree of fewer than 2^64 leaves.
pub const PROOF_HASHES_MAX: usize = 64;

/// Why a proof proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofError {
    /// The entry would stand outside the tree.
    #[error("entry {index} is outside a tree of {size} leaves")]
    Outside {
        /// Number of the entry, from 0.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// Trees that go backwards.
    #[error("a tree of {newer} leaves cannot follow one of {older}")]
    Backwards {
        /// Leaves of the tree that was there before.
        older: u64,
        /// Leaves of the tree that should be newer.
        newer: u64,
    },
    /// Too few or too many hashes.
    #[error("a proof has the wrong number of hashes: {found}")]
    Length {
        /// Hashes in the proof.
        found: usize,
    },
    /// It leads to another root: the entry is not in this tree.
    #[error("the proof does not lead to the root hash of the tree")]
    OtherRoot,
    /// The trees have no common past: one of them hides or shows what the other does not.
    #[error("the two trees have no common past")]
    Fork,
}

/// Evidence that an entry is in a log: made by [`verify_inclusion`] only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Included {
    index: u64,
    size: u64,
}

impl Included {
    /// Number of the entry, from 0.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Leaves of the tree that it was found in.
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// Checks that `leaf` is entry `index` of the checkpoint's tree.
///
/// # Errors
/// See [`ProofError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    proof: &[Hash],
    checkpoint: &TrustedCheckpoint,
) -> Result<Included, ProofError> {
    let size = checkpoint.size();
    let root = root_by_inclusion(leaf, index, size, proof)?;
    if root == *checkpoint.root() { Ok(Included { index, size }) } else { Err(ProofError::OtherRoot) }
}

/// The root that a proof of inclusion leads to: RFC 9162 §2.1.3.2.
///
/// # Errors
/// The place is outside the tree, or the proof has the wrong length.
pub fn root_by_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash]) -> Result<Hash, ProofError> {
    if index >= size {
        return Err(ProofError::Outside { index, size });
    }
    let wrong = ProofError::Length { found: proof.len() };
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(wrong);
        }
        if place & 1 == 1 || place == last {
            hash = Hash::of_node(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::of_node(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(wrong) }
}

/// Checks that the newer tree begins with everything that was in the older one: RFC 9162 §2.1.4.2.
///
/// # Errors
/// [`ProofError::Fork`] if it does not; others if the proof cannot be a proof at all.
pub fn verify_consistency(
    older: (u64, &Hash),
    newer: (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    let ((first, first_root), (second, second_root)) = (older, newer);
    let length = ProofError::Length { found: proof.len() };
    if first > second {
        return Err(ProofError::Backwards { older: first, newer: second });
    }
    if first == second || first == 0 {
        // The same tree, or any tree after none: nothing to prove, but the empty tree has one root.
        let empty = Hash::of_nothing();
        let expected = if first == second { second_root } else { &empty };
        return match proof {
            [] if first_root == expected && (second > 0 || *second_root == empty) => Ok(()),
            [] => Err(ProofError::Fork),
            _ => Err(length),
        };
    }
    // A proof leaves the older root out where it is a node of the newer tree itself.
    let (start, rest) =
        if first.is_power_of_two() { (first_root, proof) } else { proof.split_first().ok_or(length)? };
    let shift = (first - 1).trailing_ones();
    let (mut place, mut last) = ((first - 1) >> shift, (second - 1) >> shift);
    let (mut old, mut new) = (*start, *start);
    for hash in rest {
        if last == 0 {
            return Err(length);
        }
        if place & 1 == 1 || place == last {
            old = Hash::of_node(hash, &old);
            new = Hash::of_node(hash, &new);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new = Hash::of_node(&new, hash);
        }
        place >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    if old == *first_root && new == *second_root { Ok(()) } else { Err(ProofError::Fork) }
}

/// Makes the proof that entry `index` is in the tree of `size` leaves, sibling of the leaf first.
///
/// # Errors
/// The source's, or a place outside the tree.
pub fn prove_inclusion<S: TileSource>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ReadError<S::Error>> {
    if index >= size {
        return Err(ReadError::Outside { size });
    }
    let tree = Subtrees { source, size };
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + ((end - start).next_power_of_two() >> 1);
        if index < middle {
            proof.push(tree.range(middle, end)?);
            end = middle;
        } else {
            proof.push(tree.range(start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Makes the proof that the tree of `newer` leaves begins with that of `older` leaves.
///
/// # Errors
/// The source's, or `older` above `newer`.
pub fn prove_consistency<S: TileSource>(
    source: &S,
    older: u64,
    newer: u64,
) -> Result<Vec<Hash>, ReadError<S::Error>> {
    if older > newer {
        return Err(ReadError::Outside { size: newer });
    }
    let mut proof = Vec::new();
    if older == 0 || older == newer {
        return Ok(proof);
    }
    let tree = Subtrees { source, size: newer };
    let (mut start, mut end) = (0, newer);
    // RFC 6962 §2.1.2, SUBPROOF, from the root down.
    while end != older {
        let middle = start + ((end - start).next_power_of_two() >> 1);
        if older <= middle {
            proof.push(tree.range(middle, end)?);
            end = middle;
        } else {
            proof.push(tree.range(start, middle)?);
            start = middle;
        }
    }
    if start > 0 {
        // The older tree's last piece is no root that the verifier knows.
        proof.push(tree.range(start, end)?);
    }
    proof.reverse();
    Ok(proof)
}
