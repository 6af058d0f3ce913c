//! The right edge of a growing tree: all that an append needs, 64 kB at most however large the tree is.

use crate::hash::{Hash, top_of};
use crate::tile::{TILE_LEVEL_MAX, TILE_WIDTH, Tile, TileSource, hashes_of_level};

/// The hashes of a tile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TileContents {
    /// Which tile.
    pub tile: Tile,
    /// As many as its width.
    pub hashes: Vec<Hash>,
}

impl TileContents {
    /// What is served and kept: the hashes one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
    }
}

/// The partial tiles of a tree, from level 0 up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// Of a tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, levels: Vec::new() }
    }

    /// Takes up the edge of a tree of `size` leaves from its partial tiles.
    ///
    /// # Errors
    /// The source's; a tile of the wrong width is [`None`] inside.
    pub fn resume<S: TileSource>(source: &S, size: u64) -> Result<Option<Self>, S::Error> {
        let mut levels = Vec::new();
        for level in 0..=TILE_LEVEL_MAX {
            let hashes = hashes_of_level(level, size);
            if hashes == 0 {
                break;
            }
            let width = u16::try_from(hashes % TILE_WIDTH).unwrap_or(0);
            let row = if width == 0 {
                Vec::new()
            } else {
                source.tile(Tile { level, index: hashes / TILE_WIDTH, width })?
            };
            if row.len() != usize::from(width) {
                return Ok(None);
            }
            levels.push(row);
        }
        Ok(Some(Self { size, levels }))
    }

    /// Leaves of the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; gives the tiles that are full now, mostly none. Each is final.
    pub fn append(&mut self, leaf: Hash) -> Vec<TileContents> {
        let mut full = Vec::new();
        let mut rising = Some(leaf);
        let mut level: u8 = 0;
        self.size += 1;
        while let Some(hash) = rising.take() {
            let place = usize::from(level);
            if self.levels.len() <= place {
                self.levels.push(Vec::new());
            }
            let Some(row) = self.levels.get_mut(place) else { break };
            row.push(hash);
            if row.len() as u64 == TILE_WIDTH {
                let hashes = std::mem::take(row);
                let index = hashes_of_level(level, self.size) / TILE_WIDTH - 1;
                rising = top_of(&hashes);
                full.push(TileContents { tile: Tile::full(level, index), hashes });
                level += 1;
            }
        }
        full
    }

    /// Tops of the full subtrees that the tree consists of, by height.
    pub(crate) fn peaks(&self) -> Vec<Option<Hash>> {
        let heights = u64::BITS - self.size.leading_zeros();
        let mut peaks = vec![None; usize::try_from(heights).unwrap_or(0)];
        for (level, row) in (0usize..).zip(&self.levels) {
            let mut end = row.len();
            while end > 0 {
                let width = 1 << end.trailing_zeros();
                let height = level * 8 + usize::try_from(end.trailing_zeros()).unwrap_or(0);
                let top = row.get(end - width..end).and_then(top_of);
                if let Some(peak) = peaks.get_mut(height) {
                    *peak = top;
                }
                end -= width;
            }
        }
        peaks
    }

    /// The partial tiles as they are: what must be kept beside the full ones before the tree's head is shown.
    pub fn partial_tiles(&self) -> Vec<TileContents> {
        let mut tiles = Vec::new();
        for (level, row) in (0u8..).zip(&self.levels) {
            if let (Ok(width @ 1..), false) = (u16::try_from(row.len()), row.is_empty()) {
                let index = hashes_of_level(level, self.size) / TILE_WIDTH;
                tiles.push(TileContents { tile: Tile { level, index, width }, hashes: row.clone() });
            }
        }
        tiles
    }

    /// The tree's root hash: RFC 6962 §2.1.
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        // What lies right of a subtree is smaller than it: fold from the right end of the lowest level.
        for row in &self.levels {
            let mut end = row.len();
            while end > 0 {
                // The rightmost perfect subtree of this row.
                let width = 1 << end.trailing_zeros();
                let start = end - width;
                if let Some(top) = row.get(start..end).and_then(top_of) {
                    root = Some(root.map_or(top, |right| Hash::of_node(&top, &right)));
                }
                end = start;
            }
        }
        root.unwrap_or_else(Hash::of_nothing)
    }
}
