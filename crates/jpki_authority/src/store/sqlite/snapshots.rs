//! Point reads from a snapshot that is a few milliseconds old at most.
//!
//! Half of what a point read costs in SQLite are the locks around it. A read transaction that stays open
//! over many reads takes them once; what it reads is the store as it was when the transaction began. So it
//! is renewed after [`SNAPSHOT_AGE_MAX`], and ended at once when this process writes: what this process has
//! recorded is in the next read, what another process has recorded in a read that much later.

use chassis::sqlite::SqliteOptions;
use rusqlite::{Connection, OpenFlags};
use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How old a snapshot may get.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_millis(20);
/// Prepared statements kept per connection.
const STATEMENTS_KEPT: usize = 16;

/// A reading connection, and since when its snapshot is open.
struct Reader {
    connection: Connection,
    since: Option<Instant>,
}

impl Reader {
    fn end(&mut self) -> rusqlite::Result<()> {
        if self.since.take().is_some() {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }

    /// Makes sure that a snapshot is open and young.
    fn refresh(&mut self) -> rusqlite::Result<()> {
        if self.since.is_some_and(|since| since.elapsed() < SNAPSHOT_AGE_MAX) {
            return Ok(());
        }
        self.end()?;
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        self.since = Some(Instant::now());
        Ok(())
    }
}

/// Reading connections, one for each thread that is likely to read.
pub(super) struct Snapshots {
    readers: Vec<Mutex<Reader>>,
}

impl Snapshots {
    /// Opens `count` (at least 1) read-only connections to an existing database.
    pub(super) fn open(path: &Path, options: SqliteOptions, count: usize) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |_| {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(options.busy_timeout)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
            connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            let mmap_bytes = i64::try_from(options.mmap_bytes).unwrap_or(i64::MAX);
            connection.pragma_update(None, "mmap_size", mmap_bytes)?;
            Ok(Mutex::new(Reader { connection, since: None }))
        };
        Ok(Self { readers: (0..count.max(1)).map(open).collect::<rusqlite::Result<_>>()? })
    }

    /// Reads from this thread's connection.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let Some(reader) = self.readers.get(thread_number() % self.readers.len()) else {
            // There is at least one: never reached.
            return Err(rusqlite::Error::InvalidQuery);
        };
        let mut reader = lock(reader);
        reader.refresh()?;
        let outcome = read(&reader.connection);
        if outcome.is_err() {
            // Whatever it was, the next read starts afresh.
            drop(reader.end());
        }
        outcome
    }

    /// Ends every snapshot: what was just committed is in the next read, and the log behind the snapshots
    /// can be cleared away.
    pub(super) fn end_all(&self) {
        for reader in &self.readers {
            // A COMMIT that only ends reading can fail on a broken connection only, which the next read reports.
            drop(lock(reader).end());
        }
    }
}

fn lock(reader: &Mutex<Reader>) -> MutexGuard<'_, Reader> {
    // A panic in another read leaves a read-only connection as it was.
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A small number of this thread's own, handed out in order of first use.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            mine.set(Some(number));
            number
        })
    })
}
