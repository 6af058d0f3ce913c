//! The store in SQLite: one writer, a pool of readers, WAL, every commit durable.

mod changes;
mod coverage;
mod enrol;
mod links;
pub mod seen_rows;
mod stage;

use super::{Checkpoint, Enrolment, LastOutcome, Lookup, RegisteredTerminal, Standing, Store, StoreError};
use crate::history::AsOf;
use chassis::sqlite::SqliteOptions;
use coverage::Catalogue;
use protocol::ids::{AuthCertSerial, InstitutionCode, InsurerNumber, SecureElementId, TerminalKeyHash};
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const MIGRATIONS: &[&str] = &["
CREATE TABLE terminal(
  key_hash BLOB PRIMARY KEY, institution TEXT NOT NULL, institution_name TEXT NOT NULL,
  secure_element BLOB NOT NULL, standing INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE insurer(insurer_number TEXT PRIMARY KEY, name TEXT NOT NULL, loaded_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE person(
  person_key INTEGER PRIMARY KEY, name TEXT NOT NULL, name_kana TEXT NOT NULL, birth_date TEXT NOT NULL);
CREATE TABLE coverage(
  person_key INTEGER NOT NULL, insurer_number TEXT NOT NULL, valid_from TEXT NOT NULL, valid_to TEXT,
  symbol TEXT NOT NULL, number TEXT NOT NULL, branch TEXT NOT NULL, kind_ja TEXT NOT NULL, kind_en TEXT NOT NULL,
  relation INTEGER NOT NULL, copay_percent INTEGER NOT NULL, limit_class TEXT, link INTEGER NOT NULL,
  PRIMARY KEY(person_key, insurer_number, valid_from)) WITHOUT ROWID;
CREATE TABLE card_link(serial BLOB PRIMARY KEY, person_key INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE insurer_notice(serial BLOB PRIMARY KEY, recorded_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE terminal_outcome(
  key_hash BLOB PRIMARY KEY, counter INTEGER NOT NULL, touch_sha256 BLOB NOT NULL,
  status INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoint(
  only INTEGER PRIMARY KEY CHECK(only = 1), next_sequence INTEGER NOT NULL, next_audit_record INTEGER NOT NULL);
", "
ALTER TABLE terminal_outcome ADD COLUMN sequence INTEGER;
", coverage::SCHEMA, links::SCHEMA];

/// The writer's page cache, in KiB (negative, as SQLite wants it): the pages that one batch of a load touches, so
/// that none of them is written twice.
const WRITER_CACHE_KIB: i64 = -32_768;
/// Octets of the file that readers map: as many as SQLite allows, which ten million people fit in. Addresses, not
/// memory; a page read by a system call costs more than the search within it.
const MAPPED_BYTES: u64 = 0x7fff_0000;
/// Read connections: more than the cores of a small machine, so that a point read seldom waits.
const READERS: usize = 4;
/// How many insurers an unlinked card's answer names.
const RECENT_LOADS: u32 = 5;

/// The SQLite store.
pub struct SqliteStore {
    writer: Mutex<Connection>,
    readers: chassis::sqlite::ReadPool,
    catalogue: Catalogue,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

fn engine(error: impl std::fmt::Display) -> StoreError {
    StoreError::Engine(error.to_string())
}

impl SqliteStore {
    /// Opens or makes the store at `path`; refuses a schema newer than this program's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut writer = chassis::sqlite::open(path, SqliteOptions::default()).map_err(engine)?;
        writer.pragma_update(None, "cache_size", WRITER_CACHE_KIB).map_err(engine)?;
        chassis::sqlite::migrate(&mut writer, MIGRATIONS).map_err(engine)?;
        enrol::take_over_first_schema(&mut writer)?;
        let mapped = SqliteOptions { mmap_bytes: MAPPED_BYTES, ..SqliteOptions::default() };
        let readers = chassis::sqlite::ReadPool::open(path, mapped, READERS).map_err(engine)?;
        Ok(Self { writer: Mutex::new(writer), readers, catalogue: Catalogue::default() })
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = writer.transaction().map_err(engine)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(engine)?;
        Ok(value)
    }

    /// Several reads of one snapshot, behind one lock of the file.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.readers
            .with(|connection| {
                if !connection.is_autocommit() {
                    // A read before this one ended in a panic, or its end could not be told to the engine.
                    connection.prepare_cached("ROLLBACK")?.execute([])?;
                }
                connection.prepare_cached("BEGIN")?.execute([])?;
                let value = read(connection);
                connection.prepare_cached("COMMIT")?.execute([])?;
                Ok(value)
            })
            .map_err(engine)?
    }
}

fn rfc3339(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(|| "unknown".to_owned(), |t| t.to_string())
}

fn array<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Unreadable("a field of fixed length"))
}

type RawTerminal = (String, String, Vec<u8>, i64);

impl Store for SqliteStore {
    fn terminal_by_key(&self, terminal: &TerminalKeyHash) -> Result<Option<RegisteredTerminal>, StoreError> {
        let raw: Option<RawTerminal> = self.readers.with(|connection| {
            connection
                .prepare_cached(
                    "SELECT institution, institution_name, secure_element, standing FROM terminal WHERE key_hash = ?1",
                )
                .and_then(|mut statement| {
                    statement
                        .query_row([&terminal.0[..]], |row| {
                            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                        })
                        .optional()
                })
        }).map_err(engine)?;
        raw.map(|(institution, institution_name, secure_element, standing)| {
            Ok(RegisteredTerminal {
                terminal_key_hash: *terminal,
                institution: InstitutionCode::parse(&institution)
                    .map_err(|_| StoreError::Unreadable("an institution code"))?,
                institution_name,
                secure_element: SecureElementId(array(secure_element)?),
                standing: if standing == 0 { Standing::Active } else { Standing::Suspended },
            })
        })
        .transpose()
    }

    fn register_terminals(&self, terminals: &[RegisteredTerminal]) -> Result<(), StoreError> {
        self.write(|transaction| {
            for t in terminals {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO terminal VALUES(?1,?2,?3,?4,?5)")
                    .and_then(|mut statement| {
                        statement.execute(params![
                            &t.terminal_key_hash.0[..],
                            t.institution.as_str(),
                            t.institution_name,
                            &t.secure_element.0[..],
                            i64::from(t.standing == Standing::Suspended)
                        ])
                    })
                    .map_err(engine)?;
            }
            Ok(())
        })
    }

    fn lookup_by_serials(&self, serials: &[AuthCertSerial], as_of: &AsOf) -> Result<Vec<Lookup>, StoreError> {
        self.read(|connection| {
            serials
                .iter()
                .map(|serial| {
                    let found = coverage::lookup(connection, &self.catalogue, serial, as_of)?;
                    match found {
                        Some(lookup) => Ok(lookup),
                        None => {
                            Ok(Lookup::NotLinked { loads: coverage::recent_loads(connection, RECENT_LOADS)? })
                        }
                    }
                })
                .collect()
        })
    }

    fn apply_load(
        &self,
        insurer: &InsurerNumber,
        insurer_name: &str,
        enrolments: &[Enrolment],
        at: UnixSeconds,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            enrol::enrol_all(transaction, &self.catalogue, (insurer, insurer_name), enrolments, at)
        })
    }

    fn record_insurer_notice(&self, serial: &AuthCertSerial, at: UnixSeconds) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction
                .execute(
                    "INSERT OR IGNORE INTO insurer_notice VALUES(?1,?2)",
                    params![serial.as_bytes(), at.0.cast_signed()],
                )
                .map(|_| ())
                .map_err(engine)
        })
    }

    fn save_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.write(|transaction| {
            for (terminal, last) in &checkpoint.outcomes {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO terminal_outcome VALUES(?1,?2,?3,?4,?5,?6)")
                    .and_then(|mut statement| {
                        statement.execute(params![
                            &terminal.0[..],
                            last.counter.cast_signed(),
                            &last.touch_sha256[..],
                            last.status,
                            last.body,
                            last.sequence.map(u64::cast_signed)
                        ])
                    })
                    .map_err(engine)?;
            }
            transaction
                .execute(
                    "INSERT OR REPLACE INTO checkpoint VALUES(1,?1,?2)",
                    params![
                        checkpoint.next_sequence.cast_signed(),
                        checkpoint.next_audit_record.cast_signed()
                    ],
                )
                .map(|_| ())
                .map_err(engine)
        })
    }

    fn load_checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let position: Option<(i64, i64)> = self
            .readers
            .with(|connection| {
                connection
                    .query_row("SELECT next_sequence, next_audit_record FROM checkpoint", [], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()
            })
            .map_err(engine)?;
        let Some((next_sequence, next_audit_record)) = position else { return Ok(Checkpoint::default()) };
        type RawOutcome = (Vec<u8>, i64, Vec<u8>, u16, Vec<u8>, Option<i64>);
        let raw: Vec<RawOutcome> = self
            .readers
            .with(|connection| {
                connection
                    .prepare_cached(
                        "SELECT key_hash, counter, touch_sha256, status, body, sequence FROM terminal_outcome",
                    )
                    .and_then(|mut statement| {
                        statement
                            .query_map([], |row| {
                                Ok((
                                    row.get(0)?,
                                    row.get(1)?,
                                    row.get(2)?,
                                    row.get(3)?,
                                    row.get(4)?,
                                    row.get(5)?,
                                ))
                            })
                            .and_then(Iterator::collect::<rusqlite::Result<_>>)
                    })
            })
            .map_err(engine)?;
        let outcomes = raw
            .into_iter()
            .map(|(terminal, counter, request, status, body, sequence)| {
                let last = LastOutcome {
                    sequence: sequence.map(i64::cast_unsigned),
                    counter: counter.cast_unsigned(),
                    touch_sha256: array(request)?,
                    status,
                    body,
                };
                Ok((TerminalKeyHash(array(terminal)?), last))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Checkpoint {
            next_sequence: next_sequence.cast_unsigned(),
            next_audit_record: next_audit_record.cast_unsigned(),
            outcomes,
        })
    }
}
