//! The audit's lines, in SQLite.

use super::{SqliteStore, engine, signed, unsigned};
use crate::audit::{AuditHead, AuditStore, Entry, KeptLine, Link};
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

/// Triggers refuse what a program could do by mistake; the digests show what somebody did on purpose.
pub(super) const TABLES: &str = "
CREATE TABLE audit(number INTEGER PRIMARY KEY, line TEXT NOT NULL, link BLOB NOT NULL);
CREATE TABLE audit_head(
  one INTEGER PRIMARY KEY CHECK(one = 1), number INTEGER NOT NULL, link BLOB NOT NULL, seal BLOB NOT NULL);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'audit lines are never changed'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'audit lines are never deleted'); END;
";

fn link(octets: &[u8]) -> Result<Link, StoreError> {
    octets.try_into().map_err(|_| StoreError::Unreadable("a digest of the audit"))
}

fn head(connection: &Connection) -> Result<Option<AuditHead>, StoreError> {
    type Row = (i64, Vec<u8>, Vec<u8>);
    let row: Option<Row> = connection
        .prepare_cached("SELECT number, link, seal FROM audit_head")
        .and_then(|mut statement| {
            statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
        })
        .map_err(engine)?;
    row.map(|(number, link_octets, seal)| {
        Ok(AuditHead {
            number: unsigned(number, "a number of an audit line")?,
            link: link(&link_octets)?,
            seal: link(&seal)?,
        })
    })
    .transpose()
}

/// Appends within a change: the change and its lines are durable together or not at all.
pub(super) fn append(transaction: &Transaction<'_>, entry: Entry<'_>) -> Result<u64, StoreError> {
    const APPEND: &str = "INSERT INTO audit(number, line, link) VALUES(?1, ?2, ?3)";
    const HEAD: &str = "INSERT INTO audit_head(one, number, link, seal) VALUES(1, ?1, ?2, ?3)
        ON CONFLICT(one) DO UPDATE SET number = excluded.number, link = excluded.link, seal = excluded.seal";
    let (mut number, mut link) = head(transaction)?.map_or((0, [0; 32]), |head| (head.number, head.link));
    for line in entry.lines {
        let text = line.text();
        number += 1;
        link = entry.key.link(&link, number, &text);
        transaction
            .prepare_cached(APPEND)
            .and_then(|mut statement| statement.execute(params![signed(number), text, link]))
            .map_err(engine)?;
    }
    if !entry.lines.is_empty() {
        let seal = entry.key.seal(number, &link);
        transaction
            .prepare_cached(HEAD)
            .and_then(|mut statement| statement.execute(params![signed(number), link, seal]))
            .map_err(engine)?;
    }
    Ok(number)
}

impl AuditStore for SqliteStore {
    fn append_audit(&self, entry: Entry<'_>) -> Result<u64, StoreError> {
        self.write(|transaction| append(transaction, entry))
    }

    fn audit_lines(&self, from: u64, count: usize) -> Result<Vec<KeptLine>, StoreError> {
        const LINES: &str =
            "SELECT number, line, link FROM audit WHERE number >= ?1 ORDER BY number LIMIT ?2";
        type Row = (i64, String, Vec<u8>);
        let rows: Vec<Row> = self.read(|connection| {
            let mut statement = connection.prepare_cached(LINES).map_err(engine)?;
            let rows = statement
                .query_map(params![signed(from), signed(count as u64)], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .map_err(engine)?;
            rows.collect::<Result<_, _>>().map_err(engine)
        })?;
        rows.into_iter()
            .map(|(number, text, octets)| {
                Ok(KeptLine {
                    number: unsigned(number, "a number of an audit line")?,
                    text,
                    link: link(&octets)?,
                })
            })
            .collect()
    }

    fn audit_head(&self) -> Result<Option<AuditHead>, StoreError> {
        self.read(head)
    }
}
