//! Hashes of the tree: RFC 6962 §2.1, SHA-256.

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Octets of a hash.
pub const HASH_OCTETS: usize = 32;

/// The hash of a leaf, a node or a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_OCTETS]);

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

impl From<[u8; HASH_OCTETS]> for Hash {
    fn from(octets: [u8; HASH_OCTETS]) -> Self {
        Self(octets)
    }
}

fn taken(digest: &aws_lc_rs::digest::Digest) -> Hash {
    let mut octets = [0; HASH_OCTETS];
    for (octet, found) in octets.iter_mut().zip(digest.as_ref()) {
        *octet = *found;
    }
    Hash(octets)
}

impl Hash {
    /// MTH({}): the root of a tree without leaves.
    pub fn of_nothing() -> Self {
        taken(&digest(&SHA256, &[]))
    }

    /// The hash of an entry: SHA-256(0x00 || entry).
    pub fn of_leaf(entry: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[0]);
        context.update(entry);
        taken(&context.finish())
    }

    /// The hash over two others: SHA-256(0x01 || left || right).
    pub fn of_node(left: &Self, right: &Self) -> Self {
        let mut input = [1; 1 + 2 * HASH_OCTETS];
        let octets = left.0.iter().chain(&right.0);
        for (place, octet) in input.iter_mut().skip(1).zip(octets) {
            *place = *octet;
        }
        taken(&digest(&SHA256, &input))
    }

    /// Its octets.
    pub const fn as_bytes(&self) -> &[u8; HASH_OCTETS] {
        &self.0
    }

    /// RFC 4648 §4, 44 characters.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads [`Self::to_base64`]'s form, and no other.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// Hashes of a full subtree's bottom row, hashed up to its top. `row` has a power of two of them, at least one.
pub(crate) fn top_of(row: &[Hash]) -> Option<Hash> {
    let mut level = row.to_vec();
    while level.len() > 1 {
        let (pairs, rest) = level.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        level = pairs.iter().map(|[left, right]| Hash::of_node(left, right)).collect();
    }
    level.first().copied()
}
