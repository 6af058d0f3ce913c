//! Entries of a revocation list, laid out so that one that is asked for is found with one look into far
//! memory.
//!
//! Entries lie in buckets by a hash of their serial number, two to four to a bucket on average, one bucket
//! after the other without gaps; a directory of four octets per bucket says where each begins. The directory
//! of 1.74 million entries is 2 MB and stays in the processor's near memory; a bucket is one line or two.
//! A binary search touches twenty far lines instead, and a search among hashes two and more
//! (docs/performance.md has the figures of all four that were tried).

/// One entry, packed: 28 octets, so that a million fit 28 MB.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) serial: [u8; 21],
    pub(crate) reason: u8,
    pub(crate) at: u32,
}

impl Entry {
    /// Whether it says that a certificate is no longer listed: removeFromCRL (8), in deltas.
    pub(crate) const fn is_removal(&self) -> bool {
        self.reason == 8
    }
}

/// Entries by serial number; each serial once.
pub(crate) struct EntryTable {
    entries: Vec<Entry>,
    /// Where each bucket begins, and at the end where the last one ends.
    starts: Vec<u32>,
    /// How far a hash is shifted to become the number of its bucket.
    shift: u32,
}

/// Spreads what differs between serial numbers, wherever in them it differs, over the high bits.
fn hash(serial: &[u8; 21]) -> u64 {
    let (head, low) = serial.split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
    let (top, high) = head.split_last_chunk::<8>().unwrap_or((&[], &[0; 8]));
    let top = top.iter().fold(0u64, |value, octet| (value << 8) | u64::from(*octet));
    let (low, high) = (u64::from_be_bytes(*low), u64::from_be_bytes(*high));
    // Multiplication by odd constants without structure (golden ratio; xorshift-multiply mixing).
    let mut mixed = (low ^ high.rotate_left(23) ^ top.rotate_left(47)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 32;
    mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

/// 256 parts: of a list of 1.74 million entries each has 190 kB.
const COARSE_BITS: u32 = 8;

/// Swaps each entry to the bucket where it belongs; bucket `n` reaches from `starts[n]` to `starts[n + 1]`.
fn permute(entries: &mut [Entry], starts: &[u32], bucket: impl Fn(&Entry) -> usize) {
    let mut next = starts.to_vec();
    for (home, end) in starts.iter().skip(1).enumerate() {
        while let Some(place) = next.get(home).copied().filter(|place| place < end) {
            let Some(target) = entries.get(place as usize).map(&bucket) else { break };
            let Some(free) = next.get_mut(target) else { break };
            if target != home {
                entries.swap(place as usize, *free as usize);
            }
            *free += 1;
        }
    }
}

impl EntryTable {
    /// Lays entries out in place. Of several with one serial the latest stays.
    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        // Positions have 32 bits; a list of four thousand million entries does not fit DER's lengths here.
        entries.truncate(u32::MAX as usize);
        if entries.capacity() - entries.len() > entries.len() / 8 {
            // Only where there is much to give back: it may mean a copy.
            entries.shrink_to_fit();
        }
        let mut table = Self::lay_out(entries);
        if table.sort_buckets() == Repeats::Some {
            let mut entries = std::mem::take(&mut table.entries);
            // Equal serials lie together, the latest first.
            entries.dedup_by(|later, first| later.serial == first.serial);
            table = Self::lay_out(entries);
            table.sort_buckets();
        }
        table
    }

    /// Counts how many belong into each bucket, then swaps each entry to its place.
    fn lay_out(mut entries: Vec<Entry>) -> Self {
        let bits = (entries.len() / 2).max(2).ilog2();
        let shift = u64::BITS - bits;
        let buckets = 1usize << bits;
        let bucket = |entry: &Entry| usize::try_from(hash(&entry.serial) >> shift).unwrap_or(0);
        let mut starts = vec![0u32; buckets + 1];
        for entry in &entries {
            if let Some(count) = starts.get_mut(bucket(entry) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        if bits > COARSE_BITS + 2 {
            // First into parts that fit near memory, so that what follows stays inside one of them.
            let ends: Vec<u32> = starts.iter().copied().step_by(1 << (bits - COARSE_BITS)).collect();
            let part = |entry: &Entry| usize::try_from(hash(&entry.serial) >> (u64::BITS - COARSE_BITS));
            permute(&mut entries, &ends, |entry| part(entry).unwrap_or(0));
        }
        permute(&mut entries, &starts, bucket);
        Self { entries, starts, shift }
    }

    fn bucket_range(&self, bucket: usize) -> std::ops::Range<usize> {
        match self.starts.get(bucket..).and_then(|rest| rest.first_chunk::<2>()) {
            Some([start, end]) => *start as usize..*end as usize,
            None => 0..0,
        }
    }

    /// Orders each bucket by serial, the latest of a serial first, and says whether one stands twice.
    fn sort_buckets(&mut self) -> Repeats {
        let mut repeats = Repeats::None;
        for bucket in 0..self.starts.len().saturating_sub(1) {
            let range = self.bucket_range(bucket);
            let Some(entries) = self.entries.get_mut(range).filter(|entries| entries.len() > 1) else {
                continue;
            };
            entries.sort_unstable_by(|a, b| a.serial.cmp(&b.serial).then(b.at.cmp(&a.at)));
            if entries.windows(2).any(|pair| matches!(pair, [a, b] if a.serial == b.serial)) {
                repeats = Repeats::Some;
            }
        }
        repeats
    }

    /// The entry of a serial number in its sign-extended form.
    pub(crate) fn find(&self, serial: &[u8; 21]) -> Option<&Entry> {
        let bucket = usize::try_from(hash(serial) >> self.shift).ok()?;
        self.entries.get(self.bucket_range(bucket))?.iter().find(|entry| entry.serial == *serial)
    }

    /// These entries, with those of `newer` in place of the ones for the same serials.
    pub(crate) fn overlaid(&self, newer: &Self) -> Self {
        let kept = self.entries.iter().filter(|entry| newer.find(&entry.serial).is_none());
        Self::new(newer.entries.iter().chain(kept).copied().collect())
    }

    /// A filter for this table.
    pub(crate) fn filter(&self) -> Filter {
        let words = (self.entries.len() / 4).next_power_of_two();
        let mut filter = Filter { words: vec![0; words] };
        for entry in &self.entries {
            let (word, bit) = filter.bit(&entry.serial);
            if let Some(word) = filter.words.get_mut(word) {
                *word |= bit;
            }
        }
        filter
    }

    /// Every entry, in no order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many serials there are.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Says of nearly every serial that is not in a small table that it is not, with one look at one bit: 16 to 32
/// bits an entry, so that the changes of a day take 10 kB and stay in the nearest memory.
pub(crate) struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// The bit of a serial: of its hash, not those that choose its bucket.
    fn bit(&self, serial: &[u8; 21]) -> (usize, u64) {
        let hash = hash(serial);
        let word = usize::try_from(hash >> 6).unwrap_or(0) & (self.words.len() - 1);
        (word, 1 << (hash & 63))
    }

    /// Whether the serial may be in the table; `false` is certain.
    pub(crate) fn may_have(&self, serial: &[u8; 21]) -> bool {
        let (word, bit) = self.bit(serial);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeats {
    None,
    Some,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entry(number: u64, at: u32) -> Entry {
        let mut serial = [0; 21];
        serial[13..].copy_from_slice(&number.to_be_bytes());
        Entry { serial, reason: 4, at }
    }

    #[test]
    fn small_tables() {
        for count in 0..20u64 {
            let table = EntryTable::new((0..count).map(|number| entry(number, 7)).collect());
            assert_eq!(table.len() as u64, count);
            for number in 0..count {
                assert_eq!(table.find(&entry(number, 0).serial).unwrap().at, 7);
            }
            assert!(table.find(&entry(count, 0).serial).is_none());
        }
    }

    #[test]
    fn a_filter_lets_few_strangers_pass() {
        let filter = EntryTable::new((0..5_000).map(|number| entry(number, 0)).collect()).filter();
        assert!(filter.words.len() * 8 <= 20_000);
        assert!((0..5_000).all(|number| filter.may_have(&entry(number, 0).serial)));
        let strangers = (5_000..105_000).filter(|number| filter.may_have(&entry(*number, 0).serial)).count();
        assert!(strangers < 10_000, "{strangers} of 100,000");
    }

    #[test]
    fn neighbours_and_serials_that_differ_in_front_are_spread() {
        for make in [
            |n: u64| entry(n, 0),
            |n: u64| {
                let mut entry = entry(1, 0);
                entry.serial[..8].copy_from_slice(&n.to_be_bytes());
                entry
            },
        ] {
            let table = EntryTable::new((0..10_000).map(make).collect());
            let fullest = (0..table.starts.len() - 1).map(|bucket| table.bucket_range(bucket).len()).max();
            assert!(fullest.unwrap() < 24, "{fullest:?}");
        }
    }

    proptest! {
        #[test]
        fn a_table_answers_like_a_map(listed in proptest::collection::vec((0u64..300, 0u32..9), 0..400)) {
            let mut map: BTreeMap<u64, u32> = BTreeMap::new();
            for (number, at) in &listed {
                let known = map.entry(*number).or_default();
                *known = (*known).max(*at);
            }
            let table = EntryTable::new(listed.iter().map(|(number, at)| entry(*number, *at)).collect());
            prop_assert_eq!(table.len(), map.len());
            for number in 0..300 {
                let found = table.find(&entry(number, 0).serial).map(|entry| entry.at);
                prop_assert_eq!(found, map.get(&number).copied());
                prop_assert!(found.is_none() || table.filter().may_have(&entry(number, 0).serial));
            }
        }
    }
}
