//! Runs the body of a fuzz target on the stable compiler, from its kept corpus and a seed: every entry, every
//! prefix of it, then changed entries. No panic, no more memory than 16 times the input (above a small base), no
//! execution beyond 100 ms. `tests/it/fuzz.rs` of a crate includes this file and names its targets.
#![expect(
    clippy::disallowed_methods,
    reason = "the corpus is in files, and what hangs is found by the clock"
)]

use protocol::entropy::Seeded;
use std::path::Path;
use std::time::{Duration, Instant};

/// Executions of each target in CI.
pub(crate) const EXECUTIONS: u32 = 1_000_000;
/// What the issue allows: memory in use at any moment of one execution, in multiples of the input.
const MEMORY_FACTOR: u64 = 16;
/// Fixed-size memory that does not grow with the input: keys being parsed, a response buffer.
const MEMORY_BASE: u64 = 8 * 1024;
const EXECUTION_MAX: Duration = Duration::from_millis(100);
const INPUT_OCTETS_MAX: usize = 4096;

/// The kept corpus of one target, in the order of its names; never empty.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no corpus in {}", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A small random number below `bound`.
fn below(seeded: &mut Seeded, bound: usize) -> usize {
    usize::try_from(seeded.next_u64() % bound.max(1) as u64).unwrap()
}

/// Octets at which parsers change their minds.
const EDGES: [u8; 12] = [0x00, 0x01, 0x1F, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x84, 0xFE, 0xFF, 0x30];

/// One to eight small changes to a corpus entry.
fn mutate(seeded: &mut Seeded, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[below(seeded, corpus.len())].clone();
    for _ in 0..=below(seeded, 8) {
        let at = below(seeded, input.len() + 1);
        match below(seeded, 9) {
            0 if at < input.len() => input[at] ^= 1 << below(seeded, 8),
            1 if at < input.len() => input[at] = seeded.next_u64().to_le_bytes()[0],
            2 | 3 if at < input.len() => input[at] = EDGES[below(seeded, EDGES.len())],
            4 => input.insert(at, EDGES[below(seeded, EDGES.len())]),
            5 if at < input.len() => drop(input.remove(at)),
            6 => input.truncate(at),
            7 => {
                let other = &corpus[below(seeded, corpus.len())];
                let (from, to) = (below(seeded, other.len() + 1), below(seeded, other.len() + 1));
                let piece = other[from.min(to)..from.max(to)].to_vec();
                input.splice(at..at, piece);
            }
            8 if at + 2 <= input.len() => {
                let bytes = u16::try_from(below(seeded, 0x1_0000)).unwrap().to_be_bytes();
                input[at..at + 2].copy_from_slice(&bytes);
            }
            _ => {}
        }
        input.truncate(INPUT_OCTETS_MAX);
    }
    input
}

/// Runs `body` on every corpus entry, every prefix of it, and then on changed entries.
pub(crate) fn run(target: &str, executions: u32, body: fn(&[u8])) {
    let corpus = corpus(target);
    // A body that needs keys makes them outside the measurement.
    body(&[]);
    let mut done = 0;
    for entry in &corpus {
        for end in 0..=entry.len() {
            execute(&entry[..end], body);
            done += 1;
        }
    }
    let mut seeded = Seeded::new(0x6B61_7A61_7375);
    while done < executions {
        execute(&mutate(&mut seeded, &corpus), body);
        done += 1;
    }
}

fn execute(input: &[u8], body: fn(&[u8])) {
    let start = Instant::now();
    let memory = allocation_counter::measure(|| body(input)).bytes_max;
    let slow = start.elapsed() > EXECUTION_MAX;
    let allowed = MEMORY_FACTOR * input.len() as u64 + MEMORY_BASE;
    assert!(memory <= allowed, "{memory} octets of memory for {} of input: {input:02X?}", input.len());
    if slow {
        // The machine may have been busy: an input that hangs does so every time.
        let always = (0..3).all(|_| {
            let start = Instant::now();
            body(input);
            start.elapsed() > EXECUTION_MAX
        });
        assert!(!always, "over 100 ms: {input:02X?}");
    }
}
