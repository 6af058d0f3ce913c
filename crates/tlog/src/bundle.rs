//! Entry bundles: C2SP tlog-tiles, "Log entries". Up to 256 entries, each with its length before it.

use crate::tile::{TILE_WIDTH, path_end};

/// Octets of an entry at most: what its length's two octets can say.
pub const ENTRY_OCTETS_MAX: usize = 65_535;

/// Why octets are no bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BundleError {
    /// An entry is longer than a bundle can say.
    #[error("an entry has at most {ENTRY_OCTETS_MAX} octets, this one {found}")]
    EntryTooLong {
        /// Octets of the entry.
        found: usize,
    },
    /// It ends in the middle of an entry.
    #[error("the bundle ends in the middle of entry {entry}")]
    Truncated {
        /// Number within the bundle, from 0.
        entry: usize,
    },
    /// More or fewer entries than its name says.
    #[error("a bundle of {wanted} entries has {found}")]
    Width {
        /// How many there should be.
        wanted: u16,
        /// How many there are; counting ends one above 256.
        found: usize,
    },
}

/// `tile/entries/<N>[.p/<W>]` of the bundle with entry `index` in a log of `size` entries, the number of its
/// first entry, and its width; none if there is no such entry.
pub fn path_of(index: u64, size: u64) -> Option<(String, u64, u16)> {
    if index >= size {
        return None;
    }
    let bundle = index / TILE_WIDTH;
    let width = u16::try_from((size - bundle * TILE_WIDTH).min(TILE_WIDTH)).ok()?;
    Some((format!("tile/entries/{}", path_end(bundle, width)), bundle * TILE_WIDTH, width))
}

/// Appends one entry to a bundle.
///
/// # Errors
/// It is too long.
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let length = u16::try_from(entry.len()).map_err(|_| BundleError::EntryTooLong { found: entry.len() })?;
    bundle.extend(length.to_be_bytes());
    bundle.extend(entry);
    Ok(())
}

/// Reads a bundle of `width` entries.
///
/// # Errors
/// See [`BundleError`].
pub fn read(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() && entries.len() as u64 <= TILE_WIDTH {
        let truncated = BundleError::Truncated { entry: entries.len() };
        let (length, after) = rest.split_first_chunk::<2>().ok_or(truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or(truncated)?;
        entries.push(entry);
        rest = after;
    }
    if entries.len() == usize::from(width) {
        Ok(entries)
    } else {
        Err(BundleError::Width { wanted: width, found: entries.len() })
    }
}
