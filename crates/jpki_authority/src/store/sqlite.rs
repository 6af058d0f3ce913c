//! The store in SQLite: one connection, WAL, every commit durable (`synchronous = FULL`).

use super::{ListDraft, ReferenceHolder, Revocation, RevokeOutcome, Store, StoreError};
use crate::CertificateKind;
use chassis::sqlite::SqliteOptions;
use pki::crl::RevokedEntry;
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A spent serial stays for ever, with or without a certificate. `card` ties the certificates of one card.
/// `institution` of a key reference is an institution's code, or who else it was spent for.
const MIGRATIONS: &[&str] = &["
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
"];

/// The SQLite store.
pub struct SqliteStore {
    connection: Mutex<Connection>,
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

fn instant(seconds: i64) -> Result<UnixSeconds, StoreError> {
    u64::try_from(seconds).map(UnixSeconds).map_err(|_| StoreError::Unreadable("an instant"))
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
        Ok(Self { connection: Mutex::new(connection) })
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

fn revoke_one(transaction: &Transaction<'_>, revocation: &Revocation) -> Result<RevokeOutcome, StoreError> {
    let (kind, serial) = (kind_code(revocation.kind), revocation.serial.as_bytes());
    let before: Option<(Option<i64>, Option<i64>)> = transaction
        .prepare_cached("SELECT revoked_at, reason FROM certificate WHERE kind = ?1 AND serial = ?2")
        .and_then(|mut statement| {
            statement.query_row(params![kind, serial], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(engine)?;
    if let (Some(at), Some(code)) = before.ok_or(StoreError::NotIssued)? {
        let standing = reason(code)?;
        let ends_hold = standing == RevocationReason::CertificateHold
            && revocation.reason != RevocationReason::CertificateHold;
        if !ends_hold {
            return Ok(RevokeOutcome::Stands { reason: standing, at: instant(at)? });
        }
    }
    transaction
        .prepare_cached("UPDATE certificate SET revoked_at = ?3, reason = ?4 WHERE kind = ?1 AND serial = ?2")
        .and_then(|mut statement| {
            statement.execute(params![kind, serial, signed(revocation.at.0), revocation.reason.code()])
        })
        .map_err(engine)?;
    Ok(RevokeOutcome::Recorded)
}

impl Store for SqliteStore {
    fn spend_serials(
        &self,
        serials: &[(CertificateKind, SerialNumber)],
        at: UnixSeconds,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let card: i64 = transaction
                .query_row("SELECT coalesce(max(card), 0) + 1 FROM certificate", [], |row| row.get(0))
                .map_err(engine)?;
            for (kind, serial) in serials {
                let inserted = transaction
                    .prepare_cached(
                        "INSERT OR IGNORE INTO certificate(kind, serial, card, spent_at) VALUES(?1, ?2, ?3, ?4)",
                    )
                    .and_then(|mut statement| {
                        statement.execute(params![kind_code(*kind), serial.as_bytes(), card, signed(at.0)])
                    })
                    .map_err(engine)?;
                if inserted != 1 {
                    return Err(StoreError::SerialTaken);
                }
            }
            Ok(())
        })
    }

    fn keep_certificate(
        &self,
        kind: CertificateKind,
        serial: &SerialNumber,
        der: &[u8],
        not_after: UnixSeconds,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let updated = transaction
                .prepare_cached(
                    "UPDATE certificate SET der = ?3, not_after = ?4 WHERE kind = ?1 AND serial = ?2",
                )
                .and_then(|mut statement| {
                    statement.execute(params![kind_code(kind), serial.as_bytes(), der, signed(not_after.0)])
                })
                .map_err(engine)?;
            if updated == 1 { Ok(()) } else { Err(StoreError::NotIssued) }
        })
    }

    fn serials_of_card(
        &self,
        kind: CertificateKind,
        serial: &SerialNumber,
    ) -> Result<Vec<(CertificateKind, SerialNumber)>, StoreError> {
        const OF_CARD: &str = "SELECT kind, serial FROM certificate
            WHERE card = (SELECT card FROM certificate WHERE kind = ?1 AND serial = ?2) ORDER BY kind";
        let rows: Vec<(i64, Vec<u8>)> = self.read(|connection| {
            let mut statement = connection.prepare_cached(OF_CARD).map_err(engine)?;
            let rows = statement
                .query_map(params![kind_code(kind), serial.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .map_err(engine)?;
            rows.collect::<Result<_, _>>().map_err(engine)
        })?;
        if rows.is_empty() {
            return Err(StoreError::NotIssued);
        }
        rows.into_iter().map(|(kind, octets)| Ok((kind_of(kind)?, serial_number(&octets)?))).collect()
    }

    fn revoke(&self, revocations: &[Revocation]) -> Result<Vec<RevokeOutcome>, StoreError> {
        self.write(|transaction| {
            revocations.iter().map(|revocation| revoke_one(transaction, revocation)).collect()
        })
    }

    fn begin_list(&self, kind: CertificateKind) -> Result<ListDraft, StoreError> {
        const SPEND: &str = "INSERT INTO list(kind, number_spent) VALUES(?1, 1)
            ON CONFLICT(kind) DO UPDATE SET number_spent = number_spent + 1 RETURNING number_spent";
        const REVOKED: &str = "SELECT serial, revoked_at, reason FROM certificate
            WHERE kind = ?1 AND revoked_at IS NOT NULL ORDER BY serial";
        self.write(|transaction| {
            let number: i64 =
                transaction.query_row(SPEND, [kind_code(kind)], |row| row.get(0)).map_err(engine)?;
            let mut statement = transaction.prepare_cached(REVOKED).map_err(engine)?;
            let mut rows = statement.query([kind_code(kind)]).map_err(engine)?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next().map_err(engine)? {
                let octets: Vec<u8> = row.get(0).map_err(engine)?;
                entries.push(RevokedEntry {
                    serial: serial_number(&octets)?,
                    revoked_at: instant(row.get(1).map_err(engine)?)?,
                    reason: reason(row.get(2).map_err(engine)?)?,
                    invalid_since: None,
                });
            }
            let number = u64::try_from(number).map_err(|_| StoreError::Unreadable("a list number"))?;
            Ok(ListDraft { number, entries })
        })
    }

    fn keep_list(&self, kind: CertificateKind, number: u64, der: &[u8]) -> Result<(), StoreError> {
        const KEEP: &str = "UPDATE list SET number_kept = ?2, der = ?3
            WHERE kind = ?1 AND coalesce(number_kept, 0) < ?2";
        self.write(|transaction| {
            transaction
                .execute(KEEP, params![kind_code(kind), signed(number), der])
                .map(|_| ())
                .map_err(engine)
        })
    }

    fn latest_list(&self, kind: CertificateKind) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| {
            let found: Option<Option<Vec<u8>>> = connection
                .query_row("SELECT der FROM list WHERE kind = ?1", [kind_code(kind)], |row| row.get(0))
                .optional()
                .map_err(engine)?;
            Ok(found.flatten())
        })
    }

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
