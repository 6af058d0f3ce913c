//! One sync for many: exact counts, back-pressure, sequences.

use crate::scratch::Scratch;
use chassis::durable_log::{
    DurableLog, FileStorage, LogError, LogFile, LogLock, LogOptions, LogStats, LogStorage,
};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use tokio::task::JoinSet;

/// Real files whose syncs wait for permission.
#[derive(Clone, Debug, Default)]
struct Gated(Arc<(Mutex<Gate>, Condvar)>);

#[derive(Debug, Default)]
struct Gate {
    closed: bool,
    waiting: usize,
}

#[derive(Debug)]
struct GatedFile {
    file: Box<dyn LogFile>,
    gate: Gated,
}

impl Gated {
    fn close(&self) {
        self.0.0.lock().unwrap().closed = true;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().closed = false;
        self.0.1.notify_all();
    }

    /// Returns once the writer stands in front of the gate.
    async fn writer_waits(&self) {
        while self.0.0.lock().unwrap().waiting == 0 {
            tokio::task::yield_now().await;
        }
    }

    fn wrap(&self, file: Box<dyn LogFile>) -> Box<dyn LogFile> {
        let gate = self.clone();
        Box::new(GatedFile { file, gate })
    }
}

impl LogStorage for Gated {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        FileStorage.create_directory(directory)
    }
    fn lock(&self, directory: &Path) -> io::Result<Box<dyn LogLock>> {
        FileStorage.lock(directory)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        FileStorage.list(directory)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(self.wrap(FileStorage.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(self.wrap(FileStorage.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        FileStorage.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        FileStorage.remove(path)
    }
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        FileStorage.sync_directory(directory)
    }
}

impl LogFile for GatedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        let (gate, changed) = &*self.gate.0;
        let mut state = gate.lock().unwrap();
        state.waiting += 1;
        while state.closed {
            state = changed.wait(state).unwrap();
        }
        state.waiting -= 1;
        drop(state);
        self.file.sync()
    }
}

fn small() -> LogOptions {
    LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() }
}

#[tokio::test]
async fn whatever_waits_for_the_disk_shares_the_next_sync() {
    let folder = Scratch::new();
    let gate = Gated::default();
    let (log, _) = DurableLog::open_on(Arc::new(gate.clone()), &folder, small()).unwrap();
    let log = Arc::new(log);
    gate.close();
    let mut tasks = JoinSet::new();
    let append = |tasks: &mut JoinSet<u64>, number: u32| {
        let log = Arc::clone(&log);
        tasks.spawn(async move {
            let bytes = number.to_le_bytes().to_vec();
            log.append(bytes).await.unwrap().sequence
        });
    };
    append(&mut tasks, 0);
    gate.writer_waits().await;
    for number in 1..=100 {
        append(&mut tasks, number);
    }
    // On this single thread every task now runs up to its wait before we go on.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.stats(), LogStats::default(), "acknowledged before the sync");
    assert_eq!(log.durable_sequence(), 0);
    gate.open();
    let mut sequences = Vec::new();
    while let Some(sequence) = tasks.join_next().await {
        sequences.push(sequence.unwrap());
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=101).collect::<Vec<u64>>());
    assert_eq!(log.stats(), LogStats { records: 101, syncs: 2 });
    assert_eq!(log.durable_sequence(), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appenders_on_real_files_need_no_more_syncs_than_records() {
    let folder = Scratch::new();
    let (log, _) = DurableLog::open(&folder, small()).unwrap();
    let log = Arc::new(log);
    let mut tasks = JoinSet::new();
    for task in 0..64_u32 {
        let log = Arc::clone(&log);
        tasks.spawn(async move {
            let mut acknowledged = Vec::new();
            for turn in 0..30_u32 {
                let number = task * 1000 + turn;
                let position = log.append(number.to_le_bytes().repeat(50)).await.unwrap();
                assert!(log.durable_sequence() >= position.sequence);
                acknowledged.push((position.sequence, number));
            }
            acknowledged
        });
    }
    let mut acknowledged: Vec<(u64, u32)> = tasks.join_all().await.concat();
    acknowledged.sort_unstable();
    let stats = log.stats();
    assert_eq!(stats.records, 64 * 30);
    assert!((1..=stats.records).contains(&stats.syncs), "{stats:?}");
    let read = |log: &DurableLog| {
        let mut found = Vec::new();
        log.replay(1, |sequence, bytes| {
            found.push((sequence, u32::from_le_bytes(bytes[..4].try_into().unwrap())));
        })
        .unwrap();
        found
    };
    assert_eq!(read(&log), acknowledged);
    Arc::into_inner(log).unwrap().close().unwrap();
    let (log, recovery) = DurableLog::open(&folder, small()).unwrap();
    assert_eq!(recovery.last_sequence, 64 * 30);
    assert_eq!(read(&log), acknowledged);
    assert_eq!(log.append(vec![1]).await.unwrap().sequence, 64 * 30 + 1);
}

#[tokio::test]
async fn a_full_queue_makes_appenders_wait_and_loses_nobody() {
    let folder = Scratch::new();
    let gate = Gated::default();
    let options = LogOptions { queue_records_max: 4, ..small() };
    let (log, _) = DurableLog::open_on(Arc::new(gate.clone()), &folder, options).unwrap();
    let log = Arc::new(log);
    gate.close();
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let log = Arc::clone(&log);
        tasks.spawn(async move { log.append(vec![1; 10]).await.unwrap() });
    }
    gate.writer_waits().await;
    gate.open();
    assert_eq!(tasks.join_all().await.len(), 40);
    let stats = log.stats();
    assert_eq!(stats.records, 40);
    // No write can have held more than the queue.
    assert!(stats.syncs >= 10, "{stats:?}");
}

#[tokio::test]
async fn an_appender_that_gives_up_leaves_no_hole() {
    let folder = Scratch::new();
    let gate = Gated::default();
    let (log, _) = DurableLog::open_on(Arc::new(gate.clone()), &folder, small()).unwrap();
    let log = Arc::new(log);
    gate.close();
    let impatient = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.append(vec![1]).await }
    });
    gate.writer_waits().await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    gate.open();
    assert_eq!(log.append(vec![2]).await.unwrap().sequence, 2);
}

#[tokio::test]
async fn sizes_and_second_owners_are_refused() {
    let folder = Scratch::new();
    let options = LogOptions { segment_bytes: 4096, payload_bytes_max: usize::MAX, ..LogOptions::default() };
    let (log, _) = DurableLog::open(&folder, options).unwrap();
    let error = log.append(Vec::new()).await.unwrap_err();
    let LogError::PayloadSize { bytes: 0, bytes_max } = error else { panic!("{error}") };
    assert!((3000..4096).contains(&bytes_max));
    let error = log.append(vec![1; bytes_max + 1]).await.unwrap_err();
    assert!(matches!(error, LogError::PayloadSize { .. }), "{error}");
    // The longest one fits, several times: each takes a segment of its own.
    for sequence in 1..=3 {
        assert_eq!(log.append(vec![1; bytes_max]).await.unwrap().sequence, sequence);
    }
    let error = DurableLog::open(&folder, options).unwrap_err();
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    drop(log);
    let (_log, recovery) = DurableLog::open(&folder, options).unwrap();
    assert_eq!((recovery.last_sequence, recovery.segments), (3, 3));
}

#[tokio::test]
async fn dropping_the_log_writes_what_is_queued() {
    let folder = Scratch::new();
    let (log, empty) = DurableLog::open(&folder, small()).unwrap();
    assert_eq!((empty.last_sequence, empty.head_sha256), (0, [0; 32]));
    // Polled once: queued, not awaited.
    let mut append = Box::pin(log.append(vec![9]));
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    drop(append.as_mut().poll(&mut context));
    drop(append);
    drop(log);
    let (log, recovery) = DurableLog::open(&folder, small()).unwrap();
    assert_eq!(recovery.last_sequence, 1);
    assert_ne!(recovery.head_sha256, [0; 32]);
    drop(log);
    let (_, again) = DurableLog::open(&folder, small()).unwrap();
    assert_eq!(again, recovery);
}

#[tokio::test]
async fn a_crowd_is_gathered_and_a_closing_log_does_not_wait_for_it() {
    let folder = Scratch::new();
    let gate = Gated::default();
    // An hour: if anything below needed the clock, the test would not end.
    let options = LogOptions { gather_max: std::time::Duration::from_secs(3600), ..small() };
    let (log, _) = DurableLog::open_on(Arc::new(gate.clone()), &folder, options).unwrap();
    let log = Arc::new(log);
    let mut tasks = JoinSet::new();
    let append = |tasks: &mut JoinSet<()>, count: usize| {
        for _ in 0..count {
            let log = Arc::clone(&log);
            tasks.spawn(async move { assert!(log.append(vec![1; 10]).await.unwrap().sequence > 0) });
        }
    };
    gate.close();
    append(&mut tasks, 1);
    gate.writer_waits().await;
    append(&mut tasks, 8);
    tokio::task::yield_now().await;
    gate.open();
    // One alone, then eight that had to wait for it.
    for _ in 0..9 {
        tasks.join_next().await.unwrap().unwrap();
    }
    assert_eq!(log.stats(), LogStats { records: 9, syncs: 2 });
    // After eight at once the writer waits for 32 ...
    append(&mut tasks, 31);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(log.stats(), LogStats { records: 9, syncs: 2 });
    append(&mut tasks, 1);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(log.stats(), LogStats { records: 41, syncs: 3 });
    // ... but not when the log is closing.
    let mut waiting = Box::pin(log.append(vec![9]));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    drop(waiting);
    Arc::into_inner(log).unwrap().close().unwrap();
    let (_, recovery) = DurableLog::open(&folder, small()).unwrap();
    assert_eq!(recovery.last_sequence, 42);
}
