//! Append-only log with group commit: what a room has acknowledged survives a power cut.
//!
//! One thread writes. Everything that arrives while it waits for the disk goes into the next batch:
//! one write, one `fdatasync`, one wake-up for the whole batch. A single waiter therefore pays one
//! sync, a thousand waiters pay one sync together. A sync costs about 100 µs of CPU in the kernel,
//! a hundred times the record itself; so once several appenders are at work, the writer waits a moment
//! ([`LogOptions::gather_max`]) for a batch worth its sync. A lone appender never waits for that.
//!
//! On disk there are segments of fixed size, zeroed in advance (a commit then changes no metadata),
//! holding records chained by SHA-256 (the layout stands in `record.rs`). At opening, every record is
//! checked. The end may be torn: a power cut during a write leaves any part of it, and nobody was
//! promised those records; they are cut off and reported. Anything else that does not fit is damage,
//! and damage refuses to open, naming segment, offset and sequence.
//!
//! Limits, stated: after a *crash* (no seal was written), damage to the very last write cannot be told
//! from a torn one and is reported as a torn end. Whole segments missing from the end cannot be seen
//! from inside; who needs that compares [`Recovery::head_sha256`] with a copy kept elsewhere.

mod record;
mod recovery;
mod storage;
mod writer;

pub use storage::{FileStorage, LogFile, LogLock, LogStorage};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};

/// Records in one batch from which on the writer expects more to come at once.
const CROWD_RECORDS: usize = 4;
/// Records for which one sync is worth its CPU.
const WORTHWHILE_RECORDS: usize = 32;

/// Where a record lies in the order of all records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Position {
    /// Counts from 1 without gaps, over all segments and restarts.
    pub sequence: u64,
}

/// Sizes of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// Size of a new segment file in bytes, at least 4096.
    pub segment_bytes: u64,
    /// Longest payload accepted, in bytes; never more than fits into an empty segment.
    pub payload_bytes_max: usize,
    /// Records that may wait for the writer before [`DurableLog::append`] makes its callers wait.
    pub queue_records_max: usize,
    /// How long the writer may wait for more records once appends come several at a time; zero turns
    /// it off. Far below what anybody notices, and it more than halves the CPU per record under load.
    pub gather_max: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 8 << 20,
            payload_bytes_max: 64 << 10,
            queue_records_max: 4096,
            gather_max: Duration::from_micros(500),
        }
    }
}

/// What opening a log found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// Sequence of the last record, 0 if the log is empty.
    pub last_sequence: u64,
    /// SHA-256 over the last record (which contains the one before, and so on); zeros if empty.
    pub head_sha256: [u8; 32],
    /// Segment files, at least 1.
    pub segments: usize,
    /// A write that a crash left incomplete at the very end and that nobody was promised.
    pub torn_tail: Option<TornTail>,
}

/// Where an incomplete end was cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// The segment file.
    pub segment: PathBuf,
    /// Byte offset in it.
    pub offset: u64,
    /// The sequence that its first record would have had; the next append gets it.
    pub sequence: u64,
}

/// Exact counts since opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogStats {
    /// Records acknowledged.
    pub records: u64,
    /// Syncs made for them; creating segments and sealing not counted.
    pub syncs: u64,
}

/// Why the log refuses.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// A write or sync failed: nothing is acknowledged any more until the log is opened again. A sync
    /// is never repeated, because the kernel may have dropped what the failed one left.
    #[error("the log is out of order since a failure: {reason}")]
    Poisoned {
        /// The first failure.
        reason: Arc<str>,
    },
    /// The payload is empty or too long.
    #[error("a payload of {bytes} bytes is outside 1..={bytes_max}")]
    PayloadSize {
        /// Its length.
        bytes: usize,
        /// The longest accepted.
        bytes_max: usize,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// A record that was durable once is not whole any more.
    #[error("{}: record {sequence} at byte {offset} is damaged: {problem}", segment.display())]
    Damaged {
        /// The segment file.
        segment: PathBuf,
        /// Byte offset in it.
        offset: u64,
        /// The sequence expected there.
        sequence: u64,
        /// What does not fit.
        problem: &'static str,
    },
    /// Another process (or this one) has the log open.
    #[error("{}: this log is open already", directory.display())]
    InUse {
        /// The log's folder.
        directory: PathBuf,
    },
    /// The storage failed.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// The step that failed.
        doing: &'static str,
        /// What the operating system said.
        #[source]
        source: Arc<std::io::Error>,
    },
}

/// An append-only log. Share it in an `Arc`; dropping the last one writes what is queued and closes it.
#[derive(Debug)]
pub struct DurableLog {
    shared: Arc<Shared>,
    storage: Arc<dyn LogStorage>,
    directory: PathBuf,
    payload_bytes_max: usize,
    writer: Option<JoinHandle<Result<(), LogError>>>,
}

impl DurableLog {
    /// Opens the log in `directory`, creating it if missing, and checks every record in it.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::InUse`], [`LogError::Storage`].
    pub fn open(directory: &Path, options: LogOptions) -> Result<(Self, Recovery), LogError> {
        Self::open_on(Arc::new(FileStorage), directory, options)
    }

    /// Like [`DurableLog::open`], on another storage: tests make it fail.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::InUse`], [`LogError::Storage`].
    pub fn open_on(
        storage: Arc<dyn LogStorage>,
        directory: &Path,
        options: LogOptions,
    ) -> Result<(Self, Recovery), LogError> {
        let segment_bytes = options.segment_bytes.max(4096);
        storage.create_directory(directory).map_err(recovery::failed(directory, "create the folder"))?;
        let lock = storage.lock(directory).map_err(|error| {
            if error.kind() == std::io::ErrorKind::WouldBlock {
                LogError::InUse { directory: directory.to_path_buf() }
            } else {
                recovery::failed(directory, "lock the folder")(error)
            }
        })?;
        let (end, recovery) = recovery::recover(storage.as_ref(), directory, segment_bytes)?;
        let overhead = record::SEGMENT_HEAD_BYTES + 2 * record::RECORD_HEAD_BYTES;
        let fits = usize::try_from(segment_bytes)
            .unwrap_or(usize::MAX)
            .min(1 << 31)
            .saturating_sub(overhead + record::ALIGNMENT_BYTES);
        let shared = Arc::new(Shared::new(end.next_sequence, options));
        let writer = writer::Writer {
            storage: Arc::clone(&storage),
            directory: directory.to_path_buf(),
            segment_bytes,
            end,
            buffer: Vec::new(),
            _lock: lock,
        };
        let for_writer = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || writer.run(for_writer))
            .map_err(recovery::failed(directory, "start the writer"))?;
        let log = Self {
            shared,
            storage,
            directory: directory.to_path_buf(),
            payload_bytes_max: options.payload_bytes_max.min(fits),
            writer: Some(writer),
        };
        Ok((log, recovery))
    }

    /// Appends `payload`; resolves only after it is on stable storage. If the queue is full, waits.
    ///
    /// Dropping the future early does not take the record back: it may be written all the same.
    ///
    /// # Errors
    /// [`LogError::Poisoned`], [`LogError::PayloadSize`], [`LogError::Closed`].
    pub async fn append(&self, payload: Vec<u8>) -> Result<Position, LogError> {
        self.enqueue(payload).await?.durable().await
    }

    /// Hands `payload` over to be written, waiting only while the queue is full. Once this returns, the
    /// record is written whether or not anybody waits for it; [`Pending::durable`] says when it is safe.
    ///
    /// # Errors
    /// As [`DurableLog::append`]; then nothing was handed over.
    pub async fn enqueue(&self, payload: Vec<u8>) -> Result<Pending, LogError> {
        if payload.is_empty() || payload.len() > self.payload_bytes_max {
            return Err(LogError::PayloadSize { bytes: payload.len(), bytes_max: self.payload_bytes_max });
        }
        match self.shared.room.acquire().await {
            // Given back by the writer, once per batch.
            Ok(permit) => permit.forget(),
            Err(_) => return Err(self.shared.refusal()),
        }
        let (batch, sequence) = self.shared.enqueue(payload)?;
        Ok(Pending { batch, sequence })
    }

    /// Calls `each(sequence, payload)` for every durable record from `from_sequence` on, in order, up
    /// to the last one durable at the time of the call. Checks each record again.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::Storage`].
    pub fn replay(&self, from_sequence: u64, each: impl FnMut(u64, &[u8])) -> Result<(), LogError> {
        recovery::replay(
            self.storage.as_ref(),
            &self.directory,
            from_sequence.max(1),
            self.durable_sequence(),
            each,
        )
    }

    /// Exact counts since opening.
    pub fn stats(&self) -> LogStats {
        LogStats {
            records: self.shared.records.load(Ordering::Acquire),
            syncs: self.shared.syncs.load(Ordering::Acquire),
        }
    }

    /// The highest durable sequence, 0 if none.
    pub fn durable_sequence(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Whether a failure has stopped the log for good (readiness checks ask this).
    pub fn is_poisoned(&self) -> bool {
        matches!(self.shared.lock().state, State::Poisoned(_))
    }

    /// Writes what is queued, seals the end and closes the files.
    ///
    /// # Errors
    /// [`LogError::Poisoned`] if a write failed, now or earlier.
    pub fn close(mut self) -> Result<(), LogError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), LogError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        {
            let mut queue = self.shared.lock();
            if matches!(queue.state, State::Open) {
                queue.state = State::Closing;
            }
        }
        self.shared.wake.notify_one();
        writer.join().unwrap_or_else(|_| Err(self.shared.refusal()))
    }
}

impl Drop for DurableLog {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::error!(%error, "the log did not close cleanly");
        }
    }
}

/// A record on its way to the disk. Clones wait for the same record.
#[derive(Clone, Debug)]
pub struct Pending {
    batch: Arc<Batch>,
    sequence: u64,
}

impl Pending {
    /// Where the record will lie, once it is durable.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns when the record is durable; at once if it already is.
    ///
    /// # Errors
    /// [`LogError::Poisoned`] or [`LogError::Closed`]: the record is not, and will not be, acknowledged.
    pub async fn durable(&self) -> Result<Position, LogError> {
        self.batch.wait().await?;
        Ok(Position { sequence: self.sequence })
    }
}

/// One write and its waiters.
#[derive(Debug, Default)]
struct Batch {
    outcome: OnceLock<Result<(), LogError>>,
    done: Notify,
}

impl Batch {
    /// Tells every waiter at once; only the first outcome counts.
    fn finish(&self, outcome: Result<(), LogError>) {
        drop(self.outcome.set(outcome));
        self.done.notify_waiters();
    }

    async fn wait(&self) -> Result<(), LogError> {
        loop {
            // Taken before the look at the outcome: a notification in between is not lost.
            let done = self.done.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            done.await;
        }
    }
}

/// The batch in the writer's hands. If the writer stops without a word, its waiters hear an error.
#[derive(Debug)]
struct InFlight(Arc<Batch>);

impl std::ops::Deref for InFlight {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.outcome.get().is_none() {
            self.0.finish(Err(LogError::Poisoned { reason: "the writer thread stopped".into() }));
        }
    }
}

#[derive(Debug)]
enum State {
    Open,
    Closing,
    Closed,
    Poisoned(Arc<str>),
}

#[derive(Debug)]
struct Queue {
    payloads: Vec<Vec<u8>>,
    /// Whom the payloads above belong to.
    batch: Arc<Batch>,
    next_sequence: u64,
    state: State,
    /// Payloads at which the writer, asleep, wants to be woken; `usize::MAX` while it is awake: then
    /// nobody pays for a wake-up.
    wake_at: usize,
    /// Records in the batch before: several mean that several appenders are at work.
    batch_before: usize,
}

/// What appenders and the writer share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    room: Semaphore,
    queue_records_max: usize,
    gather_max: Duration,
    durable: AtomicU64,
    records: AtomicU64,
    syncs: AtomicU64,
}

impl Shared {
    fn new(next_sequence: u64, options: LogOptions) -> Self {
        let queue_records_max = options.queue_records_max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            queue: Mutex::new(Queue {
                payloads: Vec::new(),
                batch: Arc::default(),
                next_sequence,
                state: State::Open,
                wake_at: usize::MAX,
                batch_before: 0,
            }),
            wake: Condvar::new(),
            room: Semaphore::new(queue_records_max),
            queue_records_max,
            gather_max: options.gather_max,
            durable: AtomicU64::new(next_sequence - 1),
            records: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code under this lock can leave the queue half-changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, payload: Vec<u8>) -> Result<(Arc<Batch>, u64), LogError> {
        let mut queue = self.lock();
        if !matches!(queue.state, State::Open) {
            return Err(refusal_of(&queue.state));
        }
        let sequence = queue.next_sequence;
        queue.next_sequence += 1;
        queue.payloads.push(payload);
        let batch = Arc::clone(&queue.batch);
        let wake = queue.payloads.len() >= queue.wake_at;
        if wake {
            queue.wake_at = usize::MAX;
        }
        drop(queue);
        if wake {
            self.wake.notify_one();
        }
        Ok((batch, sequence))
    }

    /// Sleeps until there are payloads; `None` once the log is closing and all are written.
    fn next_batch(&self, into: &mut Vec<Vec<u8>>) -> Option<InFlight> {
        let mut queue = self.lock();
        while queue.payloads.is_empty() {
            if !matches!(queue.state, State::Open) {
                return None;
            }
            queue.wake_at = 1;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.batch_before >= CROWD_RECORDS {
            queue = self.gather(queue);
        }
        queue.wake_at = usize::MAX;
        queue.batch_before = queue.payloads.len();
        std::mem::swap(into, &mut queue.payloads);
        Some(InFlight(std::mem::take(&mut queue.batch)))
    }

    /// Waits a moment for a batch that is worth its sync.
    fn gather<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let wanted = queue.batch_before.max(WORTHWHILE_RECORDS).min(self.queue_records_max);
        let started = Instant::now();
        loop {
            let left = self.gather_max.saturating_sub(started.elapsed());
            let enough = queue.payloads.len() >= wanted || !matches!(queue.state, State::Open);
            if enough || left.is_zero() {
                return queue;
            }
            queue.wake_at = wanted;
            queue = self.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn acknowledge(&self, batch: &Batch, records: u64, syncs: u64, durable: u64) {
        self.durable.store(durable, Ordering::Release);
        self.records.fetch_add(records, Ordering::AcqRel);
        self.syncs.fetch_add(syncs, Ordering::AcqRel);
        batch.finish(Ok(()));
        self.room.add_permits(usize::try_from(records).unwrap_or_default());
    }

    /// Refuses what is queued and everything later, unless the log is closed or refuses already.
    /// Returns the reason in force.
    fn refuse(&self, reason: &str) -> Arc<str> {
        let mut queue = self.lock();
        let reason: Arc<str> = match &queue.state {
            State::Closed => return reason.into(),
            State::Poisoned(first) => Arc::clone(first),
            State::Open | State::Closing => reason.into(),
        };
        queue.state = State::Poisoned(Arc::clone(&reason));
        queue.payloads.clear();
        let batch = std::mem::take(&mut queue.batch);
        drop(queue);
        self.room.close();
        batch.finish(Err(LogError::Poisoned { reason: Arc::clone(&reason) }));
        reason
    }

    fn close(&self) {
        self.lock().state = State::Closed;
        self.room.close();
    }

    fn refusal(&self) -> LogError {
        refusal_of(&self.lock().state)
    }
}

fn refusal_of(state: &State) -> LogError {
    match state {
        State::Poisoned(reason) => LogError::Poisoned { reason: Arc::clone(reason) },
        State::Open | State::Closing | State::Closed => LogError::Closed,
    }
}
