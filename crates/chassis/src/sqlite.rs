//! Opening, migrating and point-reading the embedded store.
//!
//! Writes go through one connection per store (SQLite has one writer anyway) with WAL and
//! `synchronous=FULL`: a committed transaction survives a power cut. Point reads go through
//! [`ReadPool`].

use rusqlite::{Connection, OpenFlags};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// Prepared statements kept per connection: more than any room has queries.
const STATEMENTS_KEPT: usize = 64;

/// How to open a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SqliteOptions {
    /// Bytes of the file mapped into memory for reading; 0 turns mapping off.
    pub mmap_bytes: u64,
    /// How long a statement waits for another process's write.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { mmap_bytes: 256 << 20, busy_timeout: Duration::from_secs(5) }
    }
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// SQLite refuses.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// The step that failed.
        doing: String,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file was written by a newer version of this program.
    #[error(
        "{}: its schema has version {found}, this program knows {known}: use a newer program",
        path.display()
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// `user_version` in the file.
        found: u32,
        /// Number of migrations this program knows.
        known: u32,
    },
}

fn failed(path: &Path, doing: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> SqliteError {
    let (path, doing) = (path.to_path_buf(), doing.into());
    move |source| SqliteError::Sqlite { path, doing, source }
}

/// Opens or creates the database at `path` for reading and writing: WAL, `synchronous=FULL`, foreign
/// keys checked.
///
/// # Errors
/// [`SqliteError`] naming the file and the step.
pub fn open(path: &Path, options: SqliteOptions) -> Result<Connection, SqliteError> {
    let connection = Connection::open(path).map_err(failed(path, "open it"))?;
    connection.busy_timeout(options.busy_timeout).map_err(failed(path, "set the busy timeout"))?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(failed(path, "turn on WAL"))?;
    // An in-memory database has no WAL; a file must have it, or readers would block the writer.
    tracing::debug!(mode, "sqlite journal");
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(failed(path, "turn on durable commits"))?;
    tune(path, &connection, options)?;
    Ok(connection)
}

fn tune(path: &Path, connection: &Connection, options: SqliteOptions) -> Result<(), SqliteError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Plans must not depend on bound values: without this SQLite prepares a kept statement anew at
    // nearly every use (measured: 14 % of a check's CPU).
    connection
        .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(failed(path, "fix its query plans"))?;
    let mmap_bytes = i64::try_from(options.mmap_bytes).unwrap_or(i64::MAX);
    connection.pragma_update(None, "mmap_size", mmap_bytes).map_err(failed(path, "map it into memory"))
}

/// Brings the schema up to date: runs those of `migrations` that `user_version` has not counted yet,
/// each in a transaction together with its count, so a crash leaves either the old schema or the new.
/// Migrations are never edited once released; new ones are appended.
///
/// # Errors
/// [`SqliteError::NewerSchema`] if the file has seen more migrations than there are;
/// [`SqliteError::Sqlite`] naming the migration that failed.
pub fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), SqliteError> {
    let path = connection.path().map(PathBuf::from).unwrap_or_default();
    let found: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(failed(&path, "read its schema version"))?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(SqliteError::NewerSchema { path, found, known });
    }
    let numbered = (1_u32..).zip(migrations);
    for (version, migration) in numbered.filter(|(version, _)| *version > found) {
        let step = || {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        let mut step = step;
        step().map_err(failed(&path, format!("run migration {version}")))?;
    }
    Ok(())
}

/// Read-only connections for point reads on asynchronous threads.
///
/// A point read takes about 5 µs of CPU from the page cache. Handing it to a blocking thread costs more
/// than that in wake-ups, so it runs right where it is asked for; only longer reads (reports, exports)
/// belong on a blocking thread with a connection of their own. Each thread has its favourite
/// connection, so threads do not wait for each other as long as there are as many connections as
/// worker threads.
#[derive(Debug)]
pub struct ReadPool {
    connections: Vec<Mutex<Connection>>,
}

impl ReadPool {
    /// Opens `connections` (at least 1) read-only connections to the database at `path`, which must
    /// exist.
    ///
    /// # Errors
    /// [`SqliteError`] naming the file.
    pub fn open(path: &Path, options: SqliteOptions, connections: usize) -> Result<Self, SqliteError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open_one = |_| {
            let connection =
                Connection::open_with_flags(path, flags).map_err(failed(path, "open it for reading"))?;
            connection.busy_timeout(options.busy_timeout).map_err(failed(path, "set the busy timeout"))?;
            tune(path, &connection, options)?;
            Ok(Mutex::new(connection))
        };
        Ok(Self { connections: (0..connections.max(1)).map(open_one).collect::<Result<_, _>>()? })
    }

    /// Runs a short read on this thread. Use `prepare_cached`: preparing costs more than reading. No
    /// `await` can happen inside, so no lock is held across one.
    ///
    /// # Errors
    /// What `read` returns.
    pub fn with<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let favourite = favourite();
        let count = self.connections.len();
        for step in 0..count {
            let Some(candidate) = self.connections.get((favourite + step) % count) else {
                continue;
            };
            match candidate.try_lock() {
                Ok(connection) => return read(&connection),
                // A panic in another read leaves a read-only connection as it was.
                Err(TryLockError::Poisoned(poisoned)) => return read(&poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        match self.connections.get(favourite % count) {
            Some(mine) => read(&mine.lock().unwrap_or_else(PoisonError::into_inner)),
            // There is at least one connection: never reached.
            None => Err(rusqlite::Error::InvalidQuery),
        }
    }
}

/// A small number of this thread's own, handed out in order of first use.
fn favourite() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| match mine.get() {
        Some(number) => number,
        None => {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            mine.set(Some(number));
            number
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::OptionalExtension;

    const SCHEMA: [&str; 2] = [
        "CREATE TABLE person (n INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;",
        "CREATE TABLE coverage (person INTEGER NOT NULL REFERENCES person(n)) STRICT;",
    ];

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("chassis-sqlite-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn version(connection: &Connection) -> u32 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn migrations_run_once_and_commits_are_durable_ones() {
        let directory = scratch("migrate");
        let path = directory.join("s.db");
        let mut connection = open(&path, SqliteOptions::default()).unwrap();
        migrate(&mut connection, &SCHEMA[..1]).unwrap();
        connection.execute("INSERT INTO person VALUES (1, 'a')", []).unwrap();
        migrate(&mut connection, &SCHEMA).unwrap();
        migrate(&mut connection, &SCHEMA).unwrap();
        assert_eq!(version(&connection), 2);
        let pragma = |name: &str| -> String {
            connection
                .query_row(&format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(pragma("journal_mode"), "wal");
        assert_eq!(pragma("synchronous"), "2");
        let orphan = connection.execute("INSERT INTO coverage VALUES (2)", []);
        assert!(orphan.unwrap_err().to_string().contains("FOREIGN KEY"));
        drop(connection);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_failing_migration_is_named_and_leaves_the_old_schema() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = [SCHEMA[0], "CREATE TABLE half (n INTEGER); CREATE TABLE oops("];
        let error = migrate(&mut connection, &broken).unwrap_err();
        assert!(error.to_string().contains("run migration 2"), "{error}");
        assert_eq!(version(&connection), 1);
        let half: Option<i64> = connection
            .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'half'", [], |row| row.get(0))
            .optional()
            .unwrap();
        assert_eq!(half, None);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &SCHEMA).unwrap();
        assert!(matches!(
            migrate(&mut connection, &SCHEMA[..1]),
            Err(SqliteError::NewerSchema { found: 2, known: 1, .. })
        ));
    }

    #[test]
    fn readers_see_commits_from_every_thread_and_cannot_write() {
        let directory = scratch("pool");
        let path = directory.join("s.db");
        let mut connection = open(&path, SqliteOptions::default()).unwrap();
        migrate(&mut connection, &SCHEMA).unwrap();
        let pool = ReadPool::open(&path, SqliteOptions::default(), 2).unwrap();
        connection.execute("INSERT INTO person VALUES (7, 'hanako')", []).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let name: String = pool
                            .with(|reader| {
                                reader
                                    .prepare_cached("SELECT name FROM person WHERE n = ?1")?
                                    .query_row([7], |row| row.get(0))
                            })
                            .unwrap();
                        assert_eq!(name, "hanako");
                    }
                });
            }
        });
        let write = pool.with(|reader| reader.execute("DELETE FROM person", []));
        assert!(write.unwrap_err().to_string().contains("readonly"));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_read_pool_never_creates_a_database() {
        let directory = scratch("absent");
        let path = directory.join("absent.db");
        let error = ReadPool::open(&path, SqliteOptions::default(), 1).unwrap_err();
        assert!(error.to_string().contains("absent.db"), "{error}");
        assert!(!path.exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
