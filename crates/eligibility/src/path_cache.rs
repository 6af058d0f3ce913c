//! Validated paths by certificate digest, bounded. A path is validated once; later checks of the same
//! certificate compare a digest and look at the dates again. Revocation is looked up every time.

use pki::validate::PathGood;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Two generations: when the young one is full it becomes the old one, and the old one is dropped.
/// That keeps what is used and bounds memory without a clock.
#[derive(Default)]
struct Generations {
    young: HashMap<[u8; 32], Arc<PathGood>>,
    old: HashMap<[u8; 32], Arc<PathGood>>,
}

/// A bounded cache of validated paths.
pub struct PathCache {
    generations: Mutex<Generations>,
    generation_max: usize,
}

impl std::fmt::Debug for PathCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PathCache(…)")
    }
}

impl PathCache {
    /// A cache of at most `2 × generation_max` paths (about 2 kB each once used).
    pub fn new(generation_max: usize) -> Self {
        Self { generations: Mutex::default(), generation_max }
    }

    /// The path validated for this certificate digest, if it is still kept.
    pub fn kept(&self, digest: &[u8; 32]) -> Option<Arc<PathGood>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = generations.young.get(digest) {
            return Some(Arc::clone(path));
        }
        let path = Arc::clone(generations.old.get(digest)?);
        self.insert(&mut generations, *digest, Arc::clone(&path));
        Some(path)
    }

    /// Keeps a path.
    pub fn keep(&self, digest: [u8; 32], path: Arc<PathGood>) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        self.insert(&mut generations, digest, path);
    }

    fn insert(&self, generations: &mut Generations, digest: [u8; 32], path: Arc<PathGood>) {
        if generations.young.len() >= self.generation_max {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(digest, path);
    }
}
