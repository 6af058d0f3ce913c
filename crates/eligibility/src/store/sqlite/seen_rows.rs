//! What a file has had so far, in a database of its own that the system spills to disk and forgets: memory does
//! not grow with the file. For full files and rehearsals; other loads need no such list.

use super::engine;
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Rows and members of one run over a file.
#[derive(Debug)]
pub struct SeenRows(Connection);

/// A row that came before, about the same coverage and days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EarlierRow {
    /// Its line.
    pub row: u64,
    /// Digest of what it says.
    pub says: [u8; 16],
}

impl SeenRows {
    /// An empty list.
    pub fn new() -> Result<Self, StoreError> {
        // The empty name: a private file that is deleted as it is made.
        let connection = Connection::open("").map_err(engine)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;
                 CREATE TABLE member(key BLOB PRIMARY KEY) WITHOUT ROWID;
                 CREATE TABLE stated(key BLOB PRIMARY KEY, row INTEGER NOT NULL, says BLOB NOT NULL) WITHOUT ROWID;
                 BEGIN;",
            )
            .map_err(engine)?;
        Ok(Self(connection))
    }

    /// Notes that the file has this member.
    pub fn note_member(&self, key: &[u8]) -> Result<(), StoreError> {
        self.0
            .prepare_cached("INSERT OR IGNORE INTO member VALUES(?1)")
            .and_then(|mut statement| statement.execute([key]))
            .map(|_| ())
            .map_err(engine)
    }

    /// Whether the file has this member.
    pub fn has_member(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.0
            .prepare_cached("SELECT 1 FROM member WHERE key = ?1")
            .and_then(|mut statement| statement.exists([key]))
            .map_err(engine)
    }

    /// Notes what a row states, unless an earlier one stated something about the same: then that one is given.
    pub fn note_statement(
        &self,
        about: &[u8],
        row: u64,
        says: &[u8; 16],
    ) -> Result<Option<EarlierRow>, StoreError> {
        let step = || -> rusqlite::Result<Option<(i64, [u8; 16])>> {
            let added = self
                .0
                .prepare_cached("INSERT OR IGNORE INTO stated VALUES(?1, ?2, ?3)")?
                .execute(params![about, row.cast_signed(), says])?;
            if added == 1 {
                return Ok(None);
            }
            self.0
                .prepare_cached("SELECT row, says FROM stated WHERE key = ?1")?
                .query_row([about], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        let earlier = step().map_err(engine)?;
        Ok(earlier.map(|(row, says)| EarlierRow { row: row.cast_unsigned(), says }))
    }
}
