//! The whole log, checked by somebody who trusts nobody: every entry against its tile, every tile against
//! the one above, everything against a signed head, and one head against the next.

use crate::bundle::{self, BundleError};
use crate::checkpoint::TrustedCheckpoint;
use crate::edge::{Edge, TileContents};
use crate::hash::Hash;
use crate::proof::{ProofError, verify_consistency};
use crate::tile::{TILE_WIDTH, Tile, TileError};

/// What is wrong with a log, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LogFault {
    /// A bundle that cannot be read.
    #[error("{path}: {fault}")]
    Bundle {
        /// Its path.
        path: String,
        /// What is wrong.
        fault: BundleError,
    },
    /// A tile that cannot be read.
    #[error("{path}: {fault}")]
    Tile {
        /// Its path.
        path: String,
        /// What is wrong.
        fault: TileError,
    },
    /// A hash in a tile that does not follow from the entries.
    #[error("{path}: hash {place} does not follow from the entries (first entry below it: {entry})")]
    TileContradictsEntries {
        /// Path of the tile.
        path: String,
        /// Number of the hash within the tile, from 0.
        place: usize,
        /// The first entry that it covers.
        entry: u64,
    },
    /// The entries lead to another root than the one that was signed: one of them was changed, added or left out.
    #[error("the {size} entries do not have the root hash that was signed")]
    OtherRoot {
        /// Leaves of the tree.
        size: u64,
    },
    /// Fewer entries than the head speaks of.
    #[error("{found} of {signed} entries are there")]
    Missing {
        /// How many the signed head speaks of.
        signed: u64,
        /// How many were given.
        found: u64,
    },
    /// Two signed heads that cannot both be of one log: the log tells different people different things.
    #[error("the log has signed two heads that contradict each other, of {older} and of {newer} entries")]
    Fork {
        /// Entries of the older head.
        older: u64,
        /// Entries of the newer head.
        newer: u64,
    },
    /// A proof of consistency that is no proof.
    #[error(transparent)]
    Proof(ProofError),
}

/// Whether the newer of two heads of one log continues the older. Order does not matter.
///
/// # Errors
/// [`LogFault::Fork`] with evidence of both signatures in the caller's hands; [`LogFault::Proof`] if the
/// proof cannot be one.
pub fn check_heads(
    one: &TrustedCheckpoint,
    other: &TrustedCheckpoint,
    proof: &[Hash],
) -> Result<(), LogFault> {
    let (older, newer) = if one.size() <= other.size() { (one, other) } else { (other, one) };
    let outcome = verify_consistency((older.size(), older.root()), (newer.size(), newer.root()), proof);
    outcome.map_err(|fault| match fault {
        ProofError::Fork => LogFault::Fork { older: older.size(), newer: newer.size() },
        other => LogFault::Proof(other),
    })
}

/// Reads a log from its beginning, bundle by bundle, and compares.
#[derive(Clone, Debug, Default)]
pub struct Auditor {
    edge: Edge,
    /// Tiles that follow from the entries and were not compared yet.
    expected: Vec<TileContents>,
}

impl Auditor {
    /// At the beginning of a log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries read so far.
    pub const fn entries(&self) -> u64 {
        self.edge.size()
    }

    /// Path, width of the bundle to be read next in a log of `size` entries; none at its end.
    pub fn next_bundle(&self, size: u64) -> Option<(String, u16)> {
        bundle::path_of(self.edge.size(), size).map(|(path, _, width)| (path, width))
    }

    /// Takes in the next bundle; gives the tiles that must be full now, to be compared by
    /// [`Self::compare`].
    ///
    /// # Errors
    /// [`LogFault::Bundle`].
    pub fn read_bundle(&mut self, octets: &[u8], width: u16) -> Result<Vec<Tile>, LogFault> {
        let first = self.edge.size();
        let entries = bundle::read(octets, width).map_err(|fault| LogFault::Bundle {
            path: bundle::path_of(first, first + u64::from(width))
                .map(|(path, _, _)| path)
                .unwrap_or_default(),
            fault,
        })?;
        for entry in entries {
            let full = self.edge.append(Hash::of_leaf(entry));
            self.expected.extend(full);
        }
        Ok(self.expected.iter().map(|contents| contents.tile).collect())
    }

    /// Compares a tile, full or partial, as it is served with what follows from the entries.
    ///
    /// # Errors
    /// [`LogFault::Tile`], [`LogFault::TileContradictsEntries`].
    pub fn compare(&mut self, tile: Tile, octets: &[u8]) -> Result<(), LogFault> {
        let found = tile.read(octets).map_err(|fault| LogFault::Tile { path: tile.path(), fault })?;
        let partial = self.edge.partial_tiles();
        let expected = self.expected.iter().chain(&partial).find(|known| known.tile == tile);
        let wanted = expected.map_or(&[][..], |known| known.hashes.as_slice());
        let differs = |place: &usize| wanted.get(*place) != found.get(*place);
        if let Some(place) = (0..wanted.len().max(found.len())).find(differs) {
            let number = tile.index * TILE_WIDTH + place as u64;
            let entry = number << (8 * u32::from(tile.level)).min(63);
            return Err(LogFault::TileContradictsEntries { path: tile.path(), place, entry });
        }
        self.expected.retain(|known| known.tile != tile);
        Ok(())
    }

    /// Compares everything read with a signed head.
    ///
    /// # Errors
    /// [`LogFault::Missing`], [`LogFault::OtherRoot`].
    pub fn conclude(&self, head: &TrustedCheckpoint) -> Result<(), LogFault> {
        if self.edge.size() != head.size() {
            return Err(LogFault::Missing { signed: head.size(), found: self.edge.size() });
        }
        if self.edge.root() != *head.root() {
            return Err(LogFault::OtherRoot { size: head.size() });
        }
        Ok(())
    }

    /// The partial tiles that a log of this many entries must serve, from level 0 up.
    pub fn partial_tiles(&self) -> Vec<Tile> {
        self.edge.partial_tiles().iter().map(|contents| contents.tile).collect()
    }
}
