//! Torn ends and flipped bits in real files.

use crate::scratch::Scratch;
use chassis::durable_log::{DurableLog, LogError, LogOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 4096,
    payload_bytes_max: 2000,
    queue_records_max: 16,
    gather_max: Duration::from_micros(500),
};
const SEGMENT_HEAD: usize = 72;
const RECORD_HEAD: usize = 56;
const FIRST: &str = "00000000000000000001.log";

fn payload(number: u8) -> Vec<u8> {
    vec![number; 10 + usize::from(number)]
}

/// Where record `number` starts if the records before it have the payloads above.
fn start_of(number: u8) -> usize {
    (1..number)
        .fold(SEGMENT_HEAD, |at, before| at + (RECORD_HEAD + payload(before).len()).next_multiple_of(8))
}

/// A log of `records` records, one write each. Returns the first segment as a crash would leave it and
/// as a clean end does.
async fn images(records: u8) -> (Vec<u8>, Vec<u8>) {
    let folder = Scratch::new();
    let (log, _) = DurableLog::open(&folder, OPTIONS).unwrap();
    for number in 1..=records {
        log.append(payload(number)).await.unwrap();
    }
    let crashed = std::fs::read(folder.join(FIRST)).unwrap();
    log.close().unwrap();
    let closed = std::fs::read(folder.join(FIRST)).unwrap();
    assert_eq!(crashed.len(), 4096);
    assert_ne!(crashed, closed);
    (crashed, closed)
}

fn records_of(log: &DurableLog) -> Vec<u8> {
    let mut found = Vec::new();
    log.replay(1, |sequence, bytes| {
        let number = u8::try_from(sequence).unwrap();
        assert_eq!(bytes, payload(number));
        found.push(number);
    })
    .unwrap();
    found
}

fn install(folder: &Path, image: &[u8]) {
    std::fs::write(folder.join(FIRST), image).unwrap();
}

#[tokio::test]
async fn a_torn_last_record_is_cut_off_at_every_byte_and_writing_goes_on() {
    let (crashed, _) = images(3).await;
    let (start, end) = (start_of(3), start_of(4));
    let folder = Scratch::new();
    for cut in start..end {
        let mut zeroed = crashed.clone();
        zeroed[cut..].fill(0);
        let truncated = crashed[..cut].to_vec();
        for (kind, image) in [("zeroed", zeroed), ("truncated", truncated)] {
            let whole = kind == "zeroed" && image == crashed;
            install(&folder, &image);
            let (log, recovery) =
                DurableLog::open(&folder, OPTIONS).unwrap_or_else(|error| panic!("{kind} at {cut}: {error}"));
            let survivors = if whole { 3 } else { 2 };
            assert_eq!(recovery.last_sequence, survivors, "{kind} at {cut}");
            assert_eq!(recovery.torn_tail.is_some(), !whole && cut > start, "{kind} at {cut}");
            if let Some(torn) = recovery.torn_tail {
                assert_eq!((torn.offset, torn.sequence), (u64::try_from(start).unwrap(), 3));
                assert_eq!(torn.segment, folder.join(FIRST));
            }
            if !whole {
                assert_eq!(log.append(payload(3)).await.unwrap().sequence, 3);
            }
            log.close().unwrap();
            let (log, recovery) = DurableLog::open(&folder, OPTIONS).unwrap();
            assert_eq!(recovery.torn_tail, None, "{kind} at {cut}");
            assert_eq!(records_of(&log), [1, 2, 3], "{kind} at {cut}");
            drop(log);
            for segment in segments(&folder) {
                std::fs::remove_file(segment).unwrap();
            }
        }
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    found.sort();
    found
}

/// What a flipped bit at byte `at` must lead to, in a log of three records.
fn culprit(at: usize) -> (u64, u64) {
    let number = (1..=3_u8).rev().find(|number| at >= start_of(*number)).unwrap_or(0);
    match number {
        0 => (0, 1),
        _ => (u64::try_from(start_of(number)).unwrap(), u64::from(number)),
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_closed_log_is_found_and_named() {
    let (_, closed) = images(3).await;
    let folder = Scratch::new();
    let end = start_of(4);
    // Behind the records: the seal, and some of the zeros behind it.
    for at in 0..end + RECORD_HEAD + 16 {
        for bit in 0..8 {
            let mut image = closed.clone();
            image[at] ^= 1 << bit;
            install(&folder, &image);
            match DurableLog::open(&folder, OPTIONS) {
                Err(LogError::Damaged { segment, offset, sequence, .. }) => {
                    assert!(at < end, "byte {at} bit {bit} holds no record");
                    assert_eq!(segment, folder.join(FIRST));
                    assert_eq!((offset, sequence), culprit(at), "byte {at} bit {bit}");
                }
                Err(other) => panic!("byte {at} bit {bit}: {other}"),
                Ok((log, recovery)) => {
                    assert!(at >= end, "byte {at} bit {bit} went unnoticed");
                    assert_eq!(recovery.last_sequence, 3);
                    assert!(recovery.torn_tail.is_some(), "byte {at} bit {bit}");
                    assert_eq!(records_of(&log), [1, 2, 3]);
                }
            }
        }
    }
}

#[tokio::test]
async fn after_a_crash_only_damage_to_the_very_last_write_can_pass_for_a_torn_one() {
    let (crashed, _) = images(3).await;
    let folder = Scratch::new();
    for at in 0..start_of(4) {
        let mut image = crashed.clone();
        image[at] ^= 0x10;
        install(&folder, &image);
        match DurableLog::open(&folder, OPTIONS) {
            Err(LogError::Damaged { offset, sequence, .. }) => {
                assert!(at < start_of(3), "byte {at}");
                assert_eq!((offset, sequence), culprit(at), "byte {at}");
            }
            Err(other) => panic!("byte {at}: {other}"),
            Ok((log, recovery)) => {
                assert!(at >= start_of(3), "byte {at} went unnoticed");
                assert_eq!(recovery.torn_tail.map(|torn| torn.sequence), Some(3));
                assert_eq!(records_of(&log), [1, 2]);
            }
        }
    }
}

#[tokio::test]
async fn a_seal_in_the_middle_is_guarded_like_a_record() {
    let folder = Scratch::new();
    for number in 1..=2 {
        let (log, _) = DurableLog::open(&folder, OPTIONS).unwrap();
        log.append(payload(number)).await.unwrap();
        log.close().unwrap();
    }
    let whole = std::fs::read(folder.join(FIRST)).unwrap();
    let seal = start_of(2);
    for at in seal..seal + RECORD_HEAD {
        let mut image = whole.clone();
        image[at] ^= 1;
        install(&folder, &image);
        let error = DurableLog::open(&folder, OPTIONS).unwrap_err();
        let expected = u64::try_from(seal).unwrap();
        assert!(
            matches!(error, LogError::Damaged { offset, sequence: 2, .. } if offset == expected),
            "byte {at}: {error}"
        );
    }
}

/// A log over several segments.
async fn long_log(folder: &Path) -> Vec<PathBuf> {
    let (log, recovery) = DurableLog::open(folder, OPTIONS).unwrap();
    assert_eq!((recovery.last_sequence, recovery.segments), (0, 1));
    for _ in 0..12 {
        log.append(vec![7; 900]).await.unwrap();
    }
    assert_eq!(log.stats().records, 12);
    log.close().unwrap();
    segments(folder)
}

#[tokio::test]
async fn a_log_over_several_segments_is_replayed_from_any_sequence() {
    let folder = Scratch::new();
    let files = long_log(&folder).await;
    assert!(files.len() >= 3, "{files:?}");
    let (log, recovery) = DurableLog::open(&folder, OPTIONS).unwrap();
    assert_eq!((recovery.last_sequence, recovery.segments), (12, files.len()));
    for from in 0..15_u64 {
        let mut found = Vec::new();
        log.replay(from, |sequence, bytes| {
            assert_eq!(bytes, [7; 900]);
            found.push(sequence);
        })
        .unwrap();
        assert_eq!(found, (from.max(1)..=12).collect::<Vec<_>>(), "from {from}");
    }
}

#[tokio::test]
async fn missing_exchanged_and_unfinished_segments_are_told_apart() {
    let folder = Scratch::new();
    let files = long_log(&folder).await;
    let bytes: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let restore = || {
        for (file, bytes) in files.iter().zip(&bytes) {
            std::fs::write(file, bytes).unwrap();
        }
    };
    let damage = || match DurableLog::open(&folder, OPTIONS) {
        Err(LogError::Damaged { segment, sequence, .. }) => (segment, sequence),
        other => panic!("{other:?}"),
    };
    std::fs::remove_file(&files[0]).unwrap();
    assert_eq!(damage(), (files[1].clone(), 1));
    restore();
    std::fs::remove_file(&files[1]).unwrap();
    assert_eq!(damage().0, files[0]);
    restore();
    std::fs::write(&files[1], &bytes[2]).unwrap();
    assert_eq!(damage().0, files[0]);
    restore();
    let mut flipped = bytes[0].clone();
    flipped[SEGMENT_HEAD + 100] ^= 1;
    std::fs::write(&files[0], flipped).unwrap();
    assert_eq!(damage(), (files[0].clone(), 1));
    restore();
    // A segment that a crash left half-made holds nothing.
    let unfinished = folder.join("00000000000000000013.log.new");
    std::fs::write(&unfinished, [1; 100]).unwrap();
    let (log, recovery) = DurableLog::open(&folder, OPTIONS).unwrap();
    assert_eq!((recovery.last_sequence, recovery.torn_tail), (12, None));
    assert!(!unfinished.exists());
    drop(log);
    // Damage that appears while the log is open is found by reading it.
    let (log, _) = DurableLog::open(&folder, OPTIONS).unwrap();
    let mut flipped = bytes[0].clone();
    flipped[SEGMENT_HEAD + 100] ^= 1;
    std::fs::write(&files[0], flipped).unwrap();
    assert!(matches!(log.replay(1, |_, _| ()), Err(LogError::Damaged { sequence: 1, .. })));
}
