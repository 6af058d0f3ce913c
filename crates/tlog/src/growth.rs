//! A growing log with proofs for what was appended lately: no tile is read for them, and next to nothing
//! is hashed.
//!
//! The proof of an entry at the right end consists of full subtrees to its left, which were complete when
//! it came, full subtrees to its right, which were completed since, and at most one that is not full.
//! So it is enough to keep each full subtree's top as it gets complete, for as many entries as somebody may
//! still ask about.

use crate::edge::{Edge, TileContents};
use crate::hash::Hash;
use std::collections::HashMap;

/// Entries whose proofs are at hand at least.
pub const RECENT_ENTRIES: u64 = 8_192;

/// Height of a full subtree, and its number among those of that height.
type Node = (u32, u64);

/// The right edge of a log, and the tops of subtrees near it.
#[derive(Clone, Debug)]
pub struct Growth {
    edge: Edge,
    tops: HashMap<Node, Hash>,
    /// Full subtrees that the tree now consists of, by height: the ones of the set bits of its size.
    peaks: Vec<Option<Hash>>,
    /// Entries before this one are not at hand.
    first: u64,
}

impl Growth {
    /// From an edge: [`Edge::new`], or one that was taken up again. Entries before it are not at hand.
    pub fn new(edge: Edge) -> Self {
        let mut growth = Self { first: edge.size(), peaks: edge.peaks(), edge, tops: HashMap::new() };
        growth.keep_peaks();
        growth
    }

    /// Leaves of the tree.
    pub const fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The edge, for its partial tiles.
    pub const fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Number of the first entry that [`Self::prove`] can speak of.
    pub const fn first_at_hand(&self) -> u64 {
        self.first
    }

    /// Appends a leaf; gives the tiles that are full now.
    pub fn append(&mut self, leaf: Hash) -> Vec<TileContents> {
        let index = self.edge.size();
        let (mut height, mut top) = (0, leaf);
        self.tops.insert((0, index), leaf);
        for peak in &mut self.peaks {
            match peak.take() {
                Some(left) => {
                    top = Hash::of_node(&left, &top);
                    height += 1;
                    self.tops.insert((height, index >> height), top);
                }
                None => break,
            }
        }
        let place = usize::try_from(height).unwrap_or(usize::MAX);
        if let Some(peak) = self.peaks.get_mut(place) {
            *peak = Some(top);
        } else {
            self.peaks.push(Some(top));
        }
        let full = self.edge.append(leaf);
        self.forget();
        full
    }

    /// The tree's root hash.
    pub fn root(&self) -> Hash {
        self.below(64).unwrap_or_else(Hash::of_nothing)
    }

    /// Proof that entry `index` is in the tree as it is now; none for an entry that is not at hand.
    pub fn prove(&self, index: u64) -> Option<Vec<Hash>> {
        let size = self.edge.size();
        if index >= size || index < self.first {
            return None;
        }
        let mut proof = Vec::with_capacity(self.peaks.len());
        for height in 0..u64::BITS - (size - 1).leading_zeros() {
            let place = index >> height;
            let sibling = place ^ 1;
            // Where the sibling begins, and where it would end if it were full.
            let start = sibling << height;
            if start >= size {
                continue;
            }
            let is_full = size - start >= 1 << height;
            proof.push(if is_full { *self.tops.get(&(height, sibling))? } else { self.below(height)? });
        }
        Some(proof)
    }

    /// The hash over the full subtrees of less than `height`, the end of the tree.
    fn below(&self, height: u32) -> Option<Hash> {
        let lower = self.peaks.iter().take(usize::try_from(height).unwrap_or(usize::MAX)).flatten();
        lower.copied().reduce(|right, left| Hash::of_node(&left, &right))
    }

    fn keep_peaks(&mut self) {
        let size = self.edge.size();
        for (height, peak) in (0u32..).zip(&self.peaks) {
            if let Some(top) = peak {
                // The peak of a set bit ends where the bits above it end.
                let end = (size >> height) << height;
                self.tops.insert((height, (end >> height) - 1), *top);
            }
        }
    }

    /// Forgets what only old entries need, now and then.
    fn forget(&mut self) {
        let size = self.edge.size();
        if size - self.first < 2 * RECENT_ENTRIES {
            return;
        }
        self.first = size - RECENT_ENTRIES;
        let first = self.first;
        // A subtree is needed by entries of its own and of its sibling's.
        self.tops.retain(|(height, place), _| ((place | 1) + 1) << height > first);
    }
}
