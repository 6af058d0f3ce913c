//! The store in SQLite: one writing connection, WAL, every commit durable (`synchronous = FULL`), and
//! reading connections beside it. Each read is a transaction of its own: it sees whatever any process has
//! committed before it began, and no read that is over keeps the log from being cleared away. (Keeping a
//! read transaction open until the header of the WAL index changes was tried: it saves 1 µs of 35.)

mod approval;
mod audit;
mod certificates;
mod linkage;
mod lists;

use super::{ReferenceHolder, Store, StoreError};
use crate::CertificateKind;
use chassis::sqlite::{ReadPool, SqliteOptions};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::time::UnixSeconds;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A spent serial stays for ever, with or without a certificate. `card` ties the certificates of one card.
/// `institution` of a key reference is an institution's code, or who else it was spent for.
///
/// From the second version on: `shard` is what the certificate itself names (-1: none); `changed` counts
/// the status changes of the whole store, so that "since that list" is a comparison; `shard` holds one more
/// than the highest one named; `succession` ties a card to the one it replaces. In `published`, scope -1 is
/// everything; form 0 is complete, 1 a delta; `seen` is the last status change that the list knew, `previous_*` the complete list before this one.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE certificate(
  kind INTEGER NOT NULL, serial BLOB NOT NULL, card INTEGER NOT NULL, spent_at INTEGER NOT NULL,
  not_after INTEGER, der BLOB, revoked_at INTEGER, reason INTEGER,
  PRIMARY KEY(kind, serial)) WITHOUT ROWID;
CREATE INDEX certificate_of_card ON certificate(card);
CREATE INDEX certificate_revoked ON certificate(kind, serial) WHERE revoked_at IS NOT NULL;
CREATE TABLE list(
  kind INTEGER PRIMARY KEY, number_spent INTEGER NOT NULL, number_kept INTEGER, der BLOB);
CREATE TABLE key_reference(
  reference INTEGER PRIMARY KEY AUTOINCREMENT, institution TEXT NOT NULL, spent_at INTEGER NOT NULL);
",
    "
ALTER TABLE certificate ADD COLUMN shard INTEGER NOT NULL DEFAULT -1;
ALTER TABLE certificate ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE certificate ADD COLUMN released_at INTEGER;
DROP INDEX certificate_revoked;
UPDATE certificate SET changed = 1 WHERE revoked_at IS NOT NULL;
CREATE INDEX certificate_revoked ON certificate(kind, shard, serial, revoked_at, reason, not_after, changed)
  WHERE revoked_at IS NOT NULL;
CREATE INDEX certificate_changed ON certificate(kind, changed) WHERE changed > 0;
CREATE INDEX certificate_changed_in_shard ON certificate(kind, shard, changed) WHERE changed > 0;
CREATE TABLE shard(kind INTEGER PRIMARY KEY, named INTEGER NOT NULL);
CREATE TABLE status_change(one INTEGER PRIMARY KEY CHECK(one = 1), last INTEGER NOT NULL);
INSERT INTO status_change VALUES(1, 1);
CREATE TABLE succession(card INTEGER PRIMARY KEY, predecessor INTEGER NOT NULL UNIQUE);
CREATE TABLE published(
  kind INTEGER NOT NULL, scope INTEGER NOT NULL, form INTEGER NOT NULL, number INTEGER NOT NULL,
  this_update INTEGER NOT NULL, seen INTEGER NOT NULL, previous_number INTEGER, previous_seen INTEGER,
  der BLOB NOT NULL, PRIMARY KEY(kind, scope, form));
INSERT INTO published(kind, scope, form, number, this_update, seen, der)
  SELECT kind, -1, 0, number_kept, 0, 0, der FROM list WHERE number_kept IS NOT NULL;
ALTER TABLE list DROP COLUMN number_kept;
ALTER TABLE list DROP COLUMN der;
",
    audit::TABLES,
    approval::TABLES,
];

/// The SQLite store.
pub struct SqliteStore {
    connection: Mutex<Connection>,
    readers: ReadPool,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

fn engine(error: impl std::fmt::Display) -> StoreError {
    StoreError::Engine(error.to_string())
}

const fn kind_code(kind: CertificateKind) -> i64 {
    match kind {
        CertificateKind::CardHolderAuth => 1,
        CertificateKind::DocumentSignature => 2,
    }
}

fn kind_of(code: i64) -> Result<CertificateKind, StoreError> {
    CertificateKind::ALL
        .into_iter()
        .find(|kind| kind_code(*kind) == code)
        .ok_or(StoreError::Unreadable("a certificate kind"))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64, what: &'static str) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Unreadable(what))
}

fn instant(seconds: i64) -> Result<UnixSeconds, StoreError> {
    unsigned(seconds, "an instant").map(UnixSeconds)
}

fn reason(code: i64) -> Result<RevocationReason, StoreError> {
    u32::try_from(code).map(RevocationReason::from_code).map_err(|_| StoreError::Unreadable("a reason"))
}

fn serial_number(octets: &[u8]) -> Result<SerialNumber, StoreError> {
    SerialNumber::from_octets(octets).map_err(|_| StoreError::Unreadable("a serial number"))
}

impl SqliteStore {
    /// Opens or makes the store at `path`.
    ///
    /// # Errors
    /// The engine's, or a schema newer than this program's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // Signature certificates carry names and addresses: the file is its owner's from the first byte on.
        // SQLite gives its side files the same mode.
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(engine)?;
        // The chassis opens with `synchronous = FULL`: "spent before signing" rests on it.
        let mut connection = chassis::sqlite::open(path, SqliteOptions::default()).map_err(engine)?;
        chassis::sqlite::migrate(&mut connection, MIGRATIONS).map_err(engine)?;
        let readers = std::thread::available_parallelism().map_or(1, usize::from);
        let readers = ReadPool::open(path, SqliteOptions::default(), readers).map_err(engine)?;
        Ok(Self { connection: Mutex::new(connection), readers })
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // Immediate: another process of the town may write the same store; wait for it instead of failing half-way.
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(engine)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(engine)?;
        Ok(value)
    }

    fn read<T>(&self, look: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        look(&self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for SqliteStore {
    fn spend_key_reference(&self, holder: ReferenceHolder<'_>, at: UnixSeconds) -> Result<u32, StoreError> {
        const SPEND: &str =
            "INSERT INTO key_reference(institution, spent_at) VALUES(?1, ?2) RETURNING reference";
        self.write(|transaction| {
            let reference: i64 = transaction
                .query_row(SPEND, params![holder.text(), signed(at.0)], |row| row.get(0))
                .map_err(engine)?;
            u32::try_from(reference).map_err(|_| StoreError::Unreadable("a key reference"))
        })
    }
}
