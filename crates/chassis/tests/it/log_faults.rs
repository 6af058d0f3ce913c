//! The log when the disk fails and when the power goes, at every single operation.

use crate::storage_sim::{Fault, SimStorage};
use chassis::durable_log::{DurableLog, LogError, LogOptions, Recovery};
use protocol::entropy::Seeded;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Segments so small that a handful of records fills one.
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 4096,
    payload_bytes_max: 1000,
    queue_records_max: 64,
    gather_max: Duration::from_micros(500),
};
const ROUNDS: usize = 12;
const AT_ONCE: usize = 4;

fn open(storage: &SimStorage) -> Result<(DurableLog, Recovery), LogError> {
    DurableLog::open_on(Arc::new(storage.clone()), Path::new("/log"), OPTIONS)
}

/// A payload that says which one it is and is long enough to cross sectors.
fn payload(number: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(40 + number * 37 % 300, 0xA5);
    bytes
}

fn number_of(payload: &[u8]) -> usize {
    usize::from_le_bytes(payload[..8].try_into().unwrap())
}

/// Appends in groups until done or refused; returns (sequence, number) of everything acknowledged.
async fn write(log: DurableLog, first: usize) -> Vec<(u64, usize)> {
    let log = Arc::new(log);
    let mut acknowledged = Vec::new();
    let mut refused = false;
    for round in 0..ROUNDS {
        let mut group = JoinSet::new();
        for member in 0..AT_ONCE {
            let log = Arc::clone(&log);
            let number = first + round * AT_ONCE + member;
            group.spawn(async move { (number, log.append(payload(number)).await) });
        }
        let before = refused;
        while let Some(outcome) = group.join_next().await {
            match outcome.unwrap() {
                (number, Ok(position)) => {
                    assert!(!before, "acknowledged after a failure");
                    acknowledged.push((position.sequence, number));
                }
                (_, Err(error)) => {
                    assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
                    refused = true;
                }
            }
        }
        assert_eq!(refused, log.is_poisoned());
    }
    acknowledged
}

fn contents(log: &DurableLog) -> Vec<(u64, usize)> {
    let mut found = Vec::new();
    log.replay(1, |sequence, bytes| {
        let number = number_of(bytes);
        assert_eq!(bytes, payload(number));
        found.push((sequence, number));
    })
    .unwrap();
    found
}

/// Reopens, checks that everything acknowledged is there, appends once more, reopens again.
async fn check(storage: &SimStorage, acknowledged: &[(u64, usize)], context: &str) {
    let (log, recovery) = open(storage).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = contents(&log);
    let sequences: Vec<u64> = found.iter().map(|(sequence, _)| *sequence).collect();
    let expected: Vec<u64> = (1..=recovery.last_sequence).collect();
    assert_eq!(sequences, expected, "{context}");
    for entry in acknowledged {
        assert!(found.contains(entry), "{context}: lost {entry:?}");
    }
    let next = log.append(payload(9999)).await.unwrap();
    assert_eq!(next.sequence, recovery.last_sequence + 1, "{context}");
    log.close().unwrap();
    let (log, again) = open(storage).unwrap();
    assert_eq!((again.last_sequence, again.torn_tail), (next.sequence, None));
    let mut expected = found;
    expected.push((next.sequence, 9999));
    assert_eq!(contents(&log), expected, "{context}");
}

#[tokio::test]
async fn a_failure_of_any_operation_is_never_acknowledged_over() {
    let mut n = 0;
    loop {
        let storage = SimStorage::default();
        storage.fail_at(n, Fault::Once);
        let acknowledged = match open(&storage) {
            Ok((log, _)) => write(log, 0).await,
            Err(error) => {
                assert!(matches!(error, LogError::Storage { .. }), "{error}");
                Vec::new()
            }
        };
        let struck = storage.struck();
        storage.heal();
        check(&storage, &acknowledged, &format!("operation {n}")).await;
        if !struck {
            assert_eq!(acknowledged.len(), ROUNDS * AT_ONCE);
            break;
        }
        n += 1;
    }
    assert!(n > 30, "only {n} operations were tried");
}

#[tokio::test]
async fn a_power_cut_at_any_operation_loses_nothing_acknowledged() {
    let mut torn = 0;
    let mut n = 0;
    loop {
        let mut struck = false;
        for seed in 0..6 {
            let storage = SimStorage::default();
            storage.fail_at(n, Fault::FromThenOn);
            let acknowledged = match open(&storage) {
                Ok((log, _)) => write(log, 0).await,
                Err(_) => Vec::new(),
            };
            struck |= storage.struck();
            storage.power_cut(&mut Seeded::new(n * 100 + seed));
            let (log, recovery) =
                open(&storage).unwrap_or_else(|error| panic!("operation {n}, seed {seed}: {error}"));
            torn += usize::from(recovery.torn_tail.is_some());
            drop(log);
            check(&storage, &acknowledged, &format!("operation {n}, seed {seed}")).await;
        }
        if !struck {
            break;
        }
        n += 1;
    }
    assert!(n > 30, "only {n} operations were tried");
    assert!(torn > 5, "only {torn} torn ends were met");
}

#[tokio::test]
async fn a_power_cut_while_a_torn_end_is_being_cleared_is_survived_too() {
    let mut cleared = 0;
    for seed in 0..40 {
        let storage = SimStorage::default();
        storage.fail_at(23, Fault::FromThenOn);
        let Ok((log, _)) = open(&storage) else { panic!("opening takes fewer operations than that") };
        let acknowledged = write(log, 0).await;
        let mut random = Seeded::new(seed);
        storage.power_cut(&mut random);
        for n in 0..3 {
            storage.fail_at(n, Fault::FromThenOn);
            cleared += usize::from(open(&storage).is_err());
            storage.power_cut(&mut random);
        }
        check(&storage, &acknowledged, &format!("seed {seed}")).await;
    }
    assert!(cleared > 5, "only {cleared} clearings were interrupted");
}

#[tokio::test]
async fn short_writes_are_completed() {
    for bytes in [1, 7, 100] {
        let storage = SimStorage::default();
        storage.short_writes(bytes);
        let (log, _) = open(&storage).unwrap();
        let acknowledged = write(log, 0).await;
        assert_eq!(acknowledged.len(), ROUNDS * AT_ONCE);
        check(&storage, &acknowledged, &format!("{bytes} bytes per write")).await;
    }
}

#[tokio::test]
async fn many_lives_make_one_history() {
    let storage = SimStorage::default();
    let mut random = Seeded::new(7);
    let mut acknowledged: Vec<(u64, usize)> = Vec::new();
    for life in 0..25 {
        let (log, _) = open(&storage).unwrap();
        storage.fail_at(random.next_u64() % 60, Fault::FromThenOn);
        acknowledged.extend(write(log, life * 100).await);
        storage.power_cut(&mut random);
    }
    check(&storage, &acknowledged, "after 25 power cuts").await;
}
