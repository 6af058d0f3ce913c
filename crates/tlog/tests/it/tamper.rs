//! Somebody who has the disk changes something: the checker finds it and names it.

use crate::memory::{Log, entry, policy};
use tlog::audit::{Auditor, LogFault, check_heads};
use tlog::proof::{ProofError, prove_consistency};

/// Checks a log as somebody does who fetches its files.
fn audit(log: &Log, note: &str) -> Result<u64, LogFault> {
    let head = policy().trust(note).unwrap();
    let mut auditor = Auditor::new();
    let file = |path: &str| log.files.get(path).cloned().unwrap_or_default();
    while let Some((path, width)) = auditor.next_bundle(head.size()) {
        for tile in auditor.read_bundle(&file(&path), width)? {
            auditor.compare(tile, &file(&tile.path()))?;
        }
    }
    for tile in auditor.partial_tiles() {
        auditor.compare(tile, &file(&tile.path()))?;
    }
    auditor.conclude(&head)?;
    Ok(auditor.entries())
}

#[test]
fn an_untouched_log_is_whole() {
    for size in [0, 1, 2, 255, 256, 257, 1_000] {
        let log = Log::of(size);
        assert_eq!(audit(&log, &log.note().to_text()), Ok(size));
    }
}

#[test]
fn one_changed_bit_anywhere_is_found_and_its_file_named() {
    let log = Log::of(600);
    let note = log.note().to_text();
    let mut tried = 0;
    for path in log.files.keys() {
        let octets = &log.files[path];
        for place in (0..octets.len()).step_by(octets.len() / 24 + 1) {
            let mut bent = log.clone();
            bent.files.get_mut(path).unwrap()[place] ^= 1 << (place % 8);
            let fault = audit(&bent, &note).unwrap_err();
            // An entry is found by the tile that it belongs to: 0.. and the bundle have the same number.
            let number = path.rsplit("tile/").next().unwrap().split_once('/').unwrap().1;
            assert!(fault.to_string().contains(number), "{path} {place}: {fault}");
            tried += 1;
        }
    }
    assert!(tried > 150);
}

#[test]
fn a_whole_other_past_with_its_own_tiles_has_another_root() {
    let note = Log::of(600).note().to_text();
    let mut forged = Log::new();
    for number in 0..600 {
        forged.append(&if number == 123 { b"forged".to_vec() } else { entry(number) });
    }
    forged.publish();
    assert_eq!(audit(&forged, &note), Err(LogFault::OtherRoot { size: 600 }));
}

#[test]
fn entries_that_are_missing_are_counted() {
    let log = Log::of(10);
    let head = policy().trust(&log.note().to_text()).unwrap();
    let mut auditor = Auditor::new();
    assert_eq!(auditor.conclude(&head), Err(LogFault::Missing { signed: 10, found: 0 }));
    let short = Log::of(9);
    auditor.read_bundle(&short.files["tile/entries/000.p/9"], 9).unwrap();
    assert_eq!(auditor.conclude(&head), Err(LogFault::Missing { signed: 10, found: 9 }));
}

#[test]
fn two_heads_that_contradict_each_other_are_a_fork() {
    let log = Log::of(400);
    let older = policy().trust(&Log::of(300).note().to_text()).unwrap();
    let newer = policy().trust(&log.note().to_text()).unwrap();
    let proof = prove_consistency(&log, 300, 400).unwrap();
    assert_eq!(check_heads(&older, &newer, &proof), Ok(()));
    assert_eq!(check_heads(&newer, &older, &proof), Ok(()));
    let mut forged = Log::new();
    for number in 0..400 {
        forged.append(&if number == 5 { b"forged".to_vec() } else { entry(number) });
    }
    forged.publish();
    let other = policy().trust(&forged.note().to_text()).unwrap();
    let own = prove_consistency(&forged, 300, 400).unwrap();
    assert_eq!(check_heads(&older, &other, &own), Err(LogFault::Fork { older: 300, newer: 400 }));
    assert_eq!(check_heads(&newer, &other, &[]), Err(LogFault::Fork { older: 400, newer: 400 }));
    let length = ProofError::Length { found: 0 };
    assert_eq!(check_heads(&older, &newer, &[]), Err(LogFault::Proof(length)));
}
