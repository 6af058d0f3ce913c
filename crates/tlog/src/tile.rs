//! Tiles: C2SP tlog-tiles. A tile holds up to 256 hashes of one level of every eighth level of the tree.

use crate::hash::{HASH_OCTETS, Hash, top_of};

/// Levels of the tree that one level of tiles spans.
pub const TILE_HEIGHT: u32 = 8;
/// Hashes of a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Highest level of tiles in a tree of fewer than 2^64 leaves.
pub const TILE_LEVEL_MAX: u8 = 7;

/// Which tile, and how much of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tile {
    /// 0 holds leaf hashes; each hash of a higher level is the top of a full tile of the level below.
    pub level: u8,
    /// Counted from 0 within the level.
    pub index: u64,
    /// Hashes in it: 1 to 256.
    pub width: u16,
}

/// Why a path or some octets are no tile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TileError {
    /// Not a path of C2SP tlog-tiles.
    #[error("not the path of a tile or an entry bundle")]
    Path,
    /// Not as many octets as the width asks for.
    #[error("a tile of {wanted} octets has {found}")]
    Size {
        /// Octets of a tile of this width.
        wanted: usize,
        /// Octets there.
        found: usize,
    },
}

impl Tile {
    /// A full tile.
    pub const fn full(level: u8, index: u64) -> Self {
        Self { level, index, width: 256 }
    }

    /// The tile with the hash number `index` of tile level `level`, as wide as it is in a tree of `size`
    /// leaves; none if the tree has no such hash.
    pub fn with_hash(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_of_level(level, size);
        if index >= hashes {
            return None;
        }
        let tile = index / TILE_WIDTH;
        let width = (hashes - tile * TILE_WIDTH).min(TILE_WIDTH);
        Some(Self { level, index: tile, width: u16::try_from(width).ok()? })
    }

    /// Every tile of a tree of `size` leaves, full and partial, from level 0 up.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        (0..=TILE_LEVEL_MAX).flat_map(move |level| {
            let tiles = hashes_of_level(level, size).div_ceil(TILE_WIDTH);
            (0..tiles).filter_map(move |tile| Self::with_hash(level, tile * TILE_WIDTH, size))
        })
    }

    /// `tile/<L>/<N>[.p/<W>]`.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, path_end(self.index, self.width))
    }

    /// Octets of its contents.
    pub fn octets(&self) -> usize {
        usize::from(self.width) * HASH_OCTETS
    }

    /// Reads the contents.
    ///
    /// # Errors
    /// The wrong number of octets.
    pub fn read(&self, octets: &[u8]) -> Result<Vec<Hash>, TileError> {
        let (hashes, rest) = octets.as_chunks::<HASH_OCTETS>();
        if !rest.is_empty() || hashes.len() != usize::from(self.width) {
            return Err(TileError::Size { wanted: self.octets(), found: octets.len() });
        }
        Ok(hashes.iter().copied().map(Hash::from).collect())
    }
}

/// How many hashes tile level `level` has in a tree of `size` leaves.
pub(crate) const fn hashes_of_level(level: u8, size: u64) -> u64 {
    match size.checked_shr(TILE_HEIGHT * level as u32) {
        Some(hashes) => hashes,
        None => 0,
    }
}

/// `x001/x234/067`, and `.p/<W>` for a partial one.
pub(crate) fn path_end(index: u64, width: u16) -> String {
    let mut groups = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    groups.reverse();
    let path = groups.join("/");
    if u64::from(width) == TILE_WIDTH { path } else { format!("{path}.p/{width}") }
}

/// What a path of C2SP tlog-tiles asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// `tile/<L>/<N>[.p/<W>]`.
    Tile(Tile),
    /// `tile/entries/<N>[.p/<W>]`.
    Entries {
        /// Number of the bundle.
        index: u64,
        /// Entries in it, 1 to 256.
        width: u16,
    },
}

impl Resource {
    /// Reads a path, in its one form only: no other spelling leads to the same tile.
    ///
    /// # Errors
    /// [`TileError::Path`].
    pub fn parse(path: &str) -> Result<Self, TileError> {
        let rest = path.strip_prefix("tile/").ok_or(TileError::Path)?;
        let (level, place) = rest.split_once('/').ok_or(TileError::Path)?;
        let (index, width) = read_path_end(place).ok_or(TileError::Path)?;
        let resource = if level == "entries" {
            Self::Entries { index, width }
        } else {
            let level: u8 = level.parse().map_err(|_| TileError::Path)?;
            Self::Tile(Tile { level, index, width })
        };
        // What is written back is the only form.
        let is_same = match &resource {
            Self::Tile(tile) => tile.level <= 63 && tile.path() == path,
            Self::Entries { .. } => format!("tile/entries/{}", path_end(index, width)) == path,
        };
        if is_same { Ok(resource) } else { Err(TileError::Path) }
    }
}

fn read_path_end(text: &str) -> Option<(u64, u16)> {
    let (place, width) = match text.split_once(".p/") {
        None => (text, 256),
        Some((place, width)) => (place, width.parse().ok().filter(|width| (1..=255).contains(width))?),
    };
    let mut index: u64 = 0;
    for group in place.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    Some((index, width))
}

/// Who has the tiles.
pub trait TileSource {
    /// What can go wrong there.
    type Error;

    /// The hashes of a tile: as many as its width. A full tile may be cut where a narrower one is asked for.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error>;
}

/// Why a hash of the tree could not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError<E> {
    /// The source's own.
    #[error("the tiles: {0}")]
    Source(E),
    /// A tile that has not the hashes that it must have.
    #[error("tile {} has not {} hashes", .0.path(), .0.width)]
    Width(Tile),
    /// A place outside the tree.
    #[error("there is no such place in a tree of {size} leaves")]
    Outside {
        /// Leaves of the tree.
        size: u64,
    },
}

/// Hashes of subtrees of a tree of `size` leaves.
pub(crate) struct Subtrees<'s, S> {
    pub(crate) source: &'s S,
    pub(crate) size: u64,
}

impl<S: TileSource> Subtrees<'_, S> {
    /// MTH(D[start:end]) where `start` is a multiple of the smallest power of two not below `end - start`.
    pub(crate) fn range(&self, start: u64, end: u64) -> Result<Hash, ReadError<S::Error>> {
        let length = end.saturating_sub(start);
        if length == 0 || end > self.size {
            return Err(ReadError::Outside { size: self.size });
        }
        if length.is_power_of_two() {
            return self.full(length.trailing_zeros(), start >> length.trailing_zeros());
        }
        let middle = start + (length.next_power_of_two() >> 1);
        Ok(Hash::of_node(&self.range(start, middle)?, &self.range(middle, end)?))
    }

    /// The top of the full subtree number `index` of height `height`.
    fn full(&self, height: u32, index: u64) -> Result<Hash, ReadError<S::Error>> {
        let outside = ReadError::Outside { size: self.size };
        let level = u8::try_from(height / TILE_HEIGHT).map_err(|_| ReadError::Outside { size: self.size })?;
        let inside = height % TILE_HEIGHT;
        let first = index << inside;
        let tile = Tile::with_hash(level, first, self.size).ok_or(outside)?;
        let hashes = self.source.tile(tile).map_err(ReadError::Source)?;
        let start = usize::try_from(first % TILE_WIDTH).map_err(|_| ReadError::Width(tile))?;
        let row = hashes.get(start..start + (1 << inside)).ok_or(ReadError::Width(tile))?;
        top_of(row).ok_or(ReadError::Width(tile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_examples() {
        assert_eq!(Tile::full(3, 1_234_067).path(), "tile/3/x001/x234/067");
        assert_eq!(Tile { width: 8, ..Tile::full(0, 1_234_067) }.path(), "tile/0/x001/x234/067.p/8");
        let of = |size| Tile::all(size).collect::<Vec<_>>();
        let all = of(70_000);
        assert_eq!(all.iter().filter(|tile| tile.level == 0 && tile.width == 256).count(), 273);
        let partial: Vec<_> = all.into_iter().filter(|tile| tile.width < 256).collect();
        let tile = |level, index, width| Tile { level, index, width };
        assert_eq!(partial, [tile(0, 273, 112), tile(1, 1, 17), tile(2, 0, 1)]);
        assert_eq!(of(256), [Tile::full(0, 0), tile(1, 0, 1)]);
        assert_eq!(of(0), []);
    }

    #[test]
    fn a_path_has_one_form() {
        let mut paths: Vec<String> = Tile::all(70_000).map(|tile| tile.path()).collect();
        paths.extend(["tile/entries/000", "tile/entries/x001/234.p/255"].map(str::to_owned));
        for path in &paths {
            let again = match Resource::parse(path).unwrap() {
                Resource::Tile(tile) => tile.path(),
                Resource::Entries { index, width } => format!("tile/entries/{}", path_end(index, width)),
            };
            assert_eq!(&again, path);
        }
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/1",
            "tile/00/001",
            "tile/64/001",
            "tile/+1/001",
            "tile/0/x000/001",
            "tile/0/001/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/+1",
            "tile/0/001.p/01",
            "tile/0/001.p/",
            "tile/0/x001",
            "tile/0/x001/x002",
            "tile/entry/000",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/../000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Resource::parse(path), Err(TileError::Path), "{path}");
        }
    }
}
