//! What certificates lead to, in SQLite.

use super::{SqliteStore, engine, instant, kind_code, reason, serial_number, unsigned};
use crate::CertificateKind;
use crate::issue::SERIAL_OCTETS;
use crate::linkage::{LinkageFacts, LinkageStore, StoreQuestion, kinds};
use crate::store::{Standing, StoreError};
use pki::serial::SerialNumber;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// Renewals that are followed: a card a year for a century.
const RENEWALS_MAX: u32 = 100;

/// A signed certificate of a card.
struct Found {
    card: i64,
    serial: SerialNumber,
    standing: Standing,
}

type Columns = (i64, Vec<u8>, Option<i64>, Option<i64>, i64, i64);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn found((card, octets, at, code, not_after, changed): Columns) -> Result<Found, StoreError> {
    let revoked = match (at, code) {
        (Some(at), Some(code)) => Some((reason(code)?, instant(at)?)),
        _ => None,
    };
    let not_after = Some(instant(not_after)?);
    let standing = Standing { revoked, not_after, changed: unsigned(changed, "a count of changes")? };
    Ok(Found { card, serial: serial_number(&octets)?, standing })
}

fn by_serial(
    connection: &Connection,
    kind: CertificateKind,
    serial: &SerialNumber,
) -> Result<Option<Found>, StoreError> {
    const LOOK: &str = "SELECT card, serial, revoked_at, reason, not_after, changed FROM certificate
        WHERE kind = ?1 AND serial = ?2 AND der IS NOT NULL";
    let row = connection
        .prepare_cached(LOOK)
        .and_then(|mut statement| {
            statement.query_row(params![kind_code(kind), serial.as_bytes()], columns).optional()
        })
        .map_err(engine)?;
    row.map(found).transpose()
}

fn by_card(connection: &Connection, kind: CertificateKind, card: i64) -> Result<Option<Found>, StoreError> {
    const LOOK: &str = "SELECT card, serial, revoked_at, reason, not_after, changed FROM certificate
        WHERE kind = ?1 AND card = ?2 AND der IS NOT NULL";
    let row = connection
        .prepare_cached(LOOK)
        .and_then(|mut statement| statement.query_row(params![kind_code(kind), card], columns).optional())
        .map_err(engine)?;
    row.map(found).transpose()
}

/// The card that replaced this one, if its authentication certificate was signed: a renewal that was cut
/// short leads nowhere.
fn successor(connection: &Connection, card: i64) -> Result<Option<i64>, StoreError> {
    const LOOK: &str = "SELECT s.card FROM succession s WHERE s.predecessor = ?1
        AND EXISTS(SELECT 1 FROM certificate c WHERE c.card = s.card AND c.kind = 1 AND c.der IS NOT NULL)";
    connection
        .prepare_cached(LOOK)
        .and_then(|mut statement| statement.query_row([card], |row| row.get(0)).optional())
        .map_err(engine)
}

fn facts(connection: &Connection, question: &StoreQuestion) -> Result<LinkageFacts, StoreError> {
    let (from, to) = kinds(question.ask);
    // Delegates and authorities have longer serial numbers than cards, and no holder.
    if question.serial.as_bytes().len() != SERIAL_OCTETS {
        return Ok(LinkageFacts::default());
    }
    let Some(asked) = by_serial(connection, from, &question.serial)? else {
        return Ok(LinkageFacts::default());
    };
    let (mut card, mut renewals) = (asked.card, 0);
    if from == to {
        while renewals < RENEWALS_MAX {
            let Some(next) = successor(connection, card)? else { break };
            (card, renewals) = (next, renewals + 1);
        }
    }
    let leads = from != to || renewals > 0;
    let last = if leads { by_card(connection, to, card)? } else { None };
    let found = last.map(|last| (last.serial, last.standing));
    Ok(LinkageFacts { asked: Some(asked.standing), found, renewals })
}

impl LinkageStore for SqliteStore {
    fn linkage_facts(&self, questions: &[StoreQuestion]) -> Result<Vec<LinkageFacts>, StoreError> {
        self.read(|connection| {
            // One reading transaction: every answer of a request is of one instant.
            let transaction = connection.unchecked_transaction().map_err(engine)?;
            questions.iter().map(|question| facts(&transaction, question)).collect()
        })
    }
}
