//! The body of the fuzz target `cms` (`fuzz/`) on the stable compiler: a million executions from the kept corpus,
//! from a seed. No panic, no more memory than 16 times the input, no execution beyond 100 ms.
#![expect(
    clippy::disallowed_methods,
    reason = "the corpus is in files, and what hangs is found by the clock"
)]

use protocol::entropy::Seeded;
use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../../../../fuzz/bodies/cms.rs"]
mod cms;

const EXECUTIONS: u32 = 1_000_000;
/// Memory in use at any moment of one execution, in multiples of the input, and what does not grow with it.
const MEMORY_FACTOR: u64 = 16;
const MEMORY_BASE: u64 = 8 * 1024;
const EXECUTION_MAX: Duration = Duration::from_millis(100);
const INPUT_OCTETS_MAX: usize = 4096;
/// Octets at which a reader of DER changes its mind.
const EDGES: [u8; 14] = [0x00, 0x01, 0x04, 0x06, 0x24, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x82, 0xA0, 0xA1, 0xFF];

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/cms");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn below(seeded: &mut Seeded, bound: usize) -> usize {
    usize::try_from(seeded.next_u64() % bound.max(1) as u64).unwrap()
}

/// One to eight small changes to a corpus entry.
fn mutate(seeded: &mut Seeded, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[below(seeded, corpus.len())].clone();
    for _ in 0..=below(seeded, 8) {
        let at = below(seeded, input.len() + 1);
        match below(seeded, 7) {
            0 if at < input.len() => input[at] ^= 1 << below(seeded, 8),
            1 | 2 if at < input.len() => input[at] = EDGES[below(seeded, EDGES.len())],
            3 => input.insert(at, EDGES[below(seeded, EDGES.len())]),
            4 if at < input.len() => drop(input.remove(at)),
            5 => input.truncate(at),
            6 => {
                let other = &corpus[below(seeded, corpus.len())];
                let (from, to) = (below(seeded, other.len() + 1), below(seeded, other.len() + 1));
                input.splice(at..at, other[from.min(to)..from.max(to)].iter().copied());
            }
            _ => {}
        }
        input.truncate(INPUT_OCTETS_MAX);
    }
    input
}

fn execute(input: &[u8]) {
    let start = Instant::now();
    let memory = allocation_counter::measure(|| cms::run(input)).bytes_max;
    let slow = start.elapsed() > EXECUTION_MAX;
    let allowed = MEMORY_FACTOR * input.len() as u64 + MEMORY_BASE;
    assert!(memory <= allowed, "{memory} octets of memory for {} of input: {input:02X?}", input.len());
    // The machine may have been busy: an input that hangs does so every time.
    let hangs = slow
        && (0..3).all(|_| {
            let start = Instant::now();
            cms::run(input);
            start.elapsed() > EXECUTION_MAX
        });
    assert!(!hangs, "over 100 ms: {input:02X?}");
}

#[test]
fn whatever_is_no_signature_is_refused_cheaply() {
    let corpus = corpus();
    assert!(corpus.len() >= 8, "the corpus is kept");
    let mut done = 0;
    for entry in &corpus {
        for end in 0..=entry.len() {
            execute(&entry[..end]);
            done += 1;
        }
    }
    let mut seeded = Seeded::new(0x0063_6D73);
    while done < EXECUTIONS {
        execute(&mutate(&mut seeded, &corpus));
        done += 1;
    }
}
