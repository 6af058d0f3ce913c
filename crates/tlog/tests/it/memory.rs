//! A log in memory, kept as files of C2SP tlog-tiles.

use std::collections::BTreeMap;
use tlog::bundle;
use tlog::checkpoint::{Checkpoint, LogPolicy};
use tlog::edge::{Edge, TileContents};
use tlog::hash::Hash;
use tlog::note::{Ed25519Signer, Note, NoteSigner as _, SignatureKind};
use tlog::tile::{Tile, TileSource};

pub(crate) const ORIGIN: &str = "log.kazasu.example/receipts";

/// A log, and everything that it serves.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) edge: Edge,
    entries: Vec<Vec<u8>>,
}

pub(crate) fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

pub(crate) fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(ORIGIN, SignatureKind::Ed25519, &[7; 32]).unwrap()
}

pub(crate) fn policy() -> LogPolicy {
    LogPolicy::log_alone(ORIGIN, signer().verifier().clone())
}

impl TileSource for Log {
    type Error = String;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, String> {
        let octets = self.files.get(&tile.path()).ok_or_else(|| tile.path())?;
        tile.read(octets).map_err(|error| error.to_string())
    }
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { files: BTreeMap::new(), edge: Edge::new(), entries: Vec::new() }
    }

    pub(crate) fn of(size: u64) -> Self {
        let mut log = Self::new();
        for number in 0..size {
            log.append(&entry(number));
        }
        log.publish();
        log
    }

    fn keep(&mut self, tiles: Vec<TileContents>) {
        for contents in tiles {
            let earlier = self.files.insert(contents.tile.path(), contents.to_bytes());
            assert!(earlier.is_none_or(|earlier| earlier == contents.to_bytes()), "a tile was written anew");
        }
    }

    pub(crate) fn append(&mut self, entry: &[u8]) {
        let full = self.edge.append(Hash::of_leaf(entry));
        self.keep(full);
        self.entries.push(entry.to_vec());
    }

    /// Writes what stands at the edge: partial tiles and the last bundles.
    pub(crate) fn publish(&mut self) {
        self.keep(self.edge.partial_tiles());
        let size = self.edge.size();
        for first in (0..size).step_by(256) {
            let (path, start, width) = bundle::path_of(first, size).unwrap();
            let mut octets = Vec::new();
            for entry in self.entries.iter().skip(usize::try_from(start).unwrap()).take(usize::from(width)) {
                bundle::push(&mut octets, entry).unwrap();
            }
            self.files.insert(path, octets);
        }
    }

    pub(crate) fn head(&self) -> Checkpoint {
        let (size, root) = (self.edge.size(), self.edge.root());
        Checkpoint { origin: ORIGIN.to_owned(), size, root, extensions: Vec::new() }
    }

    pub(crate) fn note(&self) -> Note {
        self.head().sign(&signer()).unwrap()
    }
}
