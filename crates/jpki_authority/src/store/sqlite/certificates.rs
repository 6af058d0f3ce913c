//! Certificates and their status, in SQLite.

use super::{SqliteStore, engine, instant, kind_code, kind_of, reason, serial_number, signed, unsigned};
use crate::CertificateKind;
use crate::store::{
    CertificateStore, NewCertificate, ReleaseOutcome, Revocation, RevokeOutcome, Standing, StoreError,
};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::time::UnixSeconds;
use rusqlite::{OptionalExtension as _, Transaction, params};

type Serials = Vec<(CertificateKind, SerialNumber)>;

fn card_of(
    transaction: &Transaction<'_>,
    kind: CertificateKind,
    serial: &SerialNumber,
) -> Result<i64, StoreError> {
    transaction
        .prepare_cached("SELECT card FROM certificate WHERE kind = ?1 AND serial = ?2")
        .and_then(|mut statement| {
            statement.query_row(params![kind_code(kind), serial.as_bytes()], |row| row.get(0)).optional()
        })
        .map_err(engine)?
        .ok_or(StoreError::NotIssued)
}

/// Reason and date that stand now.
fn standing_revocation(
    transaction: &Transaction<'_>,
    kind: CertificateKind,
    serial: &SerialNumber,
) -> Result<Option<(RevocationReason, UnixSeconds)>, StoreError> {
    let row: Option<(Option<i64>, Option<i64>)> = transaction
        .prepare_cached("SELECT revoked_at, reason FROM certificate WHERE kind = ?1 AND serial = ?2")
        .and_then(|mut statement| {
            statement
                .query_row(params![kind_code(kind), serial.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(engine)?;
    match row.ok_or(StoreError::NotIssued)? {
        (Some(at), Some(code)) => Ok(Some((reason(code)?, instant(at)?))),
        _ => Ok(None),
    }
}

/// A status to be set.
enum NewStatus {
    Revoked(RevocationReason, UnixSeconds),
    Released(UnixSeconds),
}

/// Sets a status and counts the change.
fn set_status(
    transaction: &Transaction<'_>,
    kind: CertificateKind,
    serial: &SerialNumber,
    status: &NewStatus,
) -> Result<(), StoreError> {
    const COUNT: &str = "UPDATE status_change SET last = last + 1 RETURNING last";
    const SET: &str = "UPDATE certificate SET revoked_at = ?3, reason = ?4, released_at = ?5, changed = ?6
        WHERE kind = ?1 AND serial = ?2";
    let count: i64 = transaction
        .prepare_cached(COUNT)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(engine)?;
    let (revoked_at, code, released_at) = match status {
        NewStatus::Revoked(reason, at) => (Some(signed(at.0)), Some(reason.code()), None),
        NewStatus::Released(at) => (None, None, Some(signed(at.0))),
    };
    transaction
        .prepare_cached(SET)
        .and_then(|mut statement| {
            let serial = serial.as_bytes();
            statement.execute(params![kind_code(kind), serial, revoked_at, code, released_at, count])
        })
        .map(|_| ())
        .map_err(engine)
}

pub(super) fn revoke_one(
    transaction: &Transaction<'_>,
    revocation: &Revocation,
) -> Result<RevokeOutcome, StoreError> {
    let (kind, serial) = (revocation.kind, &revocation.serial);
    if let Some((standing, at)) = standing_revocation(transaction, kind, serial)? {
        let ends_hold = standing == RevocationReason::CertificateHold
            && revocation.reason != RevocationReason::CertificateHold;
        if !ends_hold {
            return Ok(RevokeOutcome::Stands { reason: standing, at });
        }
    }
    set_status(transaction, kind, serial, &NewStatus::Revoked(revocation.reason, revocation.at))?;
    Ok(RevokeOutcome::Recorded)
}

fn release_one(
    transaction: &Transaction<'_>,
    kind: CertificateKind,
    serial: &SerialNumber,
    at: UnixSeconds,
) -> Result<ReleaseOutcome, StoreError> {
    match standing_revocation(transaction, kind, serial)? {
        None => Ok(ReleaseOutcome::NotHeld),
        Some((RevocationReason::CertificateHold, held_since)) => {
            set_status(transaction, kind, serial, &NewStatus::Released(at))?;
            Ok(ReleaseOutcome::Released { held_since })
        }
        Some((reason, at)) => Ok(ReleaseOutcome::Stands { reason, at }),
    }
}

impl SqliteStore {
    fn serials(
        &self,
        query: &str,
        kind: CertificateKind,
        serial: &SerialNumber,
    ) -> Result<Serials, StoreError> {
        let rows: Vec<(i64, Vec<u8>)> = self.read(|connection| {
            let mut statement = connection.prepare_cached(query).map_err(engine)?;
            let rows = statement
                .query_map(params![kind_code(kind), serial.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .map_err(engine)?;
            rows.collect::<Result<_, _>>().map_err(engine)
        })?;
        rows.into_iter().map(|(kind, octets)| Ok((kind_of(kind)?, serial_number(&octets)?))).collect()
    }
}

impl CertificateStore for SqliteStore {
    fn spend_serials(
        &self,
        certificates: &[NewCertificate],
        successor_of: Option<&SerialNumber>,
        at: UnixSeconds,
    ) -> Result<(), StoreError> {
        const SPEND: &str = "INSERT OR IGNORE INTO certificate(kind, serial, card, spent_at, shard)
            VALUES(?1, ?2, ?3, ?4, ?5)";
        const NAME_SHARD: &str = "INSERT INTO shard(kind, named) VALUES(?1, ?2)
            ON CONFLICT(kind) DO UPDATE SET named = excluded.named WHERE named < excluded.named";
        // A renewal that was cut short is begun again: the last successor is the one.
        const SUCCEED: &str = "INSERT OR REPLACE INTO succession(card, predecessor) VALUES(?1, ?2)";
        self.write(|transaction| {
            let card: i64 = transaction
                .query_row("SELECT coalesce(max(card), 0) + 1 FROM certificate", [], |row| row.get(0))
                .map_err(engine)?;
            for new in certificates {
                let shard = new.shard.map_or(-1, i64::from);
                let inserted = transaction
                    .prepare_cached(SPEND)
                    .and_then(|mut statement| {
                        let (kind, serial) = (kind_code(new.kind), new.serial.as_bytes());
                        statement.execute(params![kind, serial, card, signed(at.0), shard])
                    })
                    .map_err(engine)?;
                if inserted != 1 {
                    return Err(StoreError::SerialTaken);
                }
                if let Some(shard) = new.shard {
                    transaction
                        .prepare_cached(NAME_SHARD)
                        .and_then(|mut statement| {
                            statement.execute(params![kind_code(new.kind), i64::from(shard) + 1])
                        })
                        .map_err(engine)?;
                }
            }
            if let Some(serial) = successor_of {
                let predecessor = card_of(transaction, CertificateKind::CardHolderAuth, serial)?;
                transaction.execute(SUCCEED, params![card, predecessor]).map_err(engine)?;
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

    fn serials_of_card(&self, kind: CertificateKind, serial: &SerialNumber) -> Result<Serials, StoreError> {
        const OF_CARD: &str = "SELECT kind, serial FROM certificate
            WHERE card = (SELECT card FROM certificate WHERE kind = ?1 AND serial = ?2) ORDER BY kind";
        let serials = self.serials(OF_CARD, kind, serial)?;
        if serials.is_empty() { Err(StoreError::NotIssued) } else { Ok(serials) }
    }

    fn serials_of_successor(
        &self,
        kind: CertificateKind,
        serial: &SerialNumber,
    ) -> Result<Serials, StoreError> {
        // Only of a card whose certificate was signed: a renewal that was cut short leads nowhere.
        const OF_SUCCESSOR: &str = "SELECT kind, serial FROM certificate
            WHERE der IS NOT NULL AND card = (SELECT s.card FROM succession s JOIN certificate c
              ON c.card = s.predecessor WHERE c.kind = ?1 AND c.serial = ?2) ORDER BY kind";
        self.serials_of_card(kind, serial)?;
        self.serials(OF_SUCCESSOR, kind, serial)
    }

    fn revoke(&self, revocations: &[Revocation]) -> Result<Vec<RevokeOutcome>, StoreError> {
        self.write(|transaction| {
            revocations.iter().map(|revocation| revoke_one(transaction, revocation)).collect()
        })
    }

    fn release(
        &self,
        certificates: &[(CertificateKind, SerialNumber)],
        at: UnixSeconds,
    ) -> Result<Vec<ReleaseOutcome>, StoreError> {
        self.write(|transaction| {
            certificates.iter().map(|(kind, serial)| release_one(transaction, *kind, serial, at)).collect()
        })
    }

    fn standing(&self, kind: CertificateKind, serial: &SerialNumber) -> Result<Option<Standing>, StoreError> {
        const LOOK: &str = "SELECT revoked_at, reason, not_after, changed FROM certificate
            WHERE kind = ?1 AND serial = ?2";
        type Row = (Option<i64>, Option<i64>, Option<i64>, i64);
        let row: Option<Row> = self
            .readers
            .with(|connection| {
                connection
                    .prepare_cached(LOOK)?
                    .query_row(params![kind_code(kind), serial.as_bytes()], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                    })
                    .optional()
            })
            .map_err(engine)?;
        let Some((at, code, not_after, changed)) = row else { return Ok(None) };
        let revoked = match (at, code) {
            (Some(at), Some(code)) => Some((reason(code)?, instant(at)?)),
            _ => None,
        };
        let not_after = not_after.map(instant).transpose()?;
        Ok(Some(Standing { revoked, not_after, changed: unsigned(changed, "a count of changes")? }))
    }
}
