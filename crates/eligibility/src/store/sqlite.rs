//! The store in SQLite: one writer, a pool of readers, WAL, every commit durable.

use super::{
    Checkpoint, CoverageRow, Enrolment, Holdings, LastOutcome, Link, Lookup, RegisteredTerminal, Standing,
    Store, StoreError,
};
use chassis::sqlite::SqliteOptions;
use protocol::answer::{Bilingual, CivilDate, Coverage, InsurerLoad, RegisteredPerson, Relation};
use protocol::ids::{
    AuthCertSerial, BranchNumber, InstitutionCode, InsuredNumber, InsuredSymbol, InsurerNumber,
    SecureElementId, TerminalKeyHash,
};
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
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
"];

const LOOKUP: &str = "
SELECT p.name, p.name_kana, p.birth_date,
       c.insurer_number, i.name, i.loaded_at, c.valid_from, c.valid_to, c.symbol, c.number, c.branch,
       c.kind_ja, c.kind_en, c.relation, c.copay_percent, c.limit_class, c.link
FROM card_link l JOIN person p ON p.person_key = l.person_key
LEFT JOIN coverage c ON c.person_key = l.person_key
LEFT JOIN insurer i ON i.insurer_number = c.insurer_number
WHERE l.serial = ?1";

/// Read connections: more than the cores of a small machine, so that a point read seldom waits.
const READERS: usize = 4;
/// How many insurers an unlinked card's answer names.
const RECENT_LOADS: u32 = 5;

/// The SQLite store.
pub struct SqliteStore {
    writer: Mutex<Connection>,
    readers: chassis::sqlite::ReadPool,
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
        chassis::sqlite::migrate(&mut writer, MIGRATIONS).map_err(engine)?;
        let readers =
            chassis::sqlite::ReadPool::open(path, SqliteOptions::default(), READERS).map_err(engine)?;
        Ok(Self { writer: Mutex::new(writer), readers })
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

/// One row of [`LOOKUP`] as the engine gives it; parsed outside the engine's callbacks.
struct RawRow {
    person: [String; 3],
    insurer: Option<(String, String, i64)>,
    text: [Option<String>; 8],
    relation: Option<i64>,
    copay_percent: Option<i64>,
    link: Option<i64>,
}

fn raw_row(row: &Row<'_>) -> rusqlite::Result<RawRow> {
    let insurer_number: Option<String> = row.get(3)?;
    let insurer = match insurer_number {
        Some(number) => Some((number, row.get(4)?, row.get(5)?)),
        None => None,
    };
    Ok(RawRow {
        person: [row.get(0)?, row.get(1)?, row.get(2)?],
        insurer,
        text: [
            row.get(6)?,
            row.get(7)?,
            row.get(8)?,
            row.get(9)?,
            row.get(10)?,
            row.get(11)?,
            row.get(12)?,
            row.get(15)?,
        ],
        relation: row.get(13)?,
        copay_percent: row.get(14)?,
        link: row.get(16)?,
    })
}

fn date(text: &str) -> Result<CivilDate, StoreError> {
    CivilDate::parse(text).ok_or(StoreError::Unreadable("a date"))
}

fn coverage_row(raw: RawRow) -> Result<Option<(CoverageRow, InsurerLoad)>, StoreError> {
    let Some((insurer_number, insurer_name, loaded_at)) = raw.insurer else { return Ok(None) };
    let [from, to, symbol, number, branch, kind_ja, kind_en, limit_class] = raw.text;
    let missing = || StoreError::Unreadable("a coverage with an empty field");
    let insurer_number =
        InsurerNumber::parse(&insurer_number).map_err(|_| StoreError::Unreadable("an insurer number"))?;
    let coverage = Coverage {
        insurer_number: insurer_number.clone(),
        insurer_name: insurer_name.clone(),
        symbol: InsuredSymbol::parse(&symbol.ok_or_else(missing)?)
            .map_err(|_| StoreError::Unreadable("a symbol"))?,
        number: InsuredNumber::parse(&number.ok_or_else(missing)?)
            .map_err(|_| StoreError::Unreadable("a number"))?,
        branch: BranchNumber::parse(&branch.ok_or_else(missing)?)
            .map_err(|_| StoreError::Unreadable("a branch"))?,
        kind: Bilingual { ja: kind_ja.ok_or_else(missing)?, en: kind_en.ok_or_else(missing)? },
        relation: if raw.relation == Some(0) { Relation::Insured } else { Relation::Dependant },
        copay_percent: raw
            .copay_percent
            .and_then(|p| u8::try_from(p).ok())
            .ok_or(StoreError::Unreadable("a share"))?,
        limit_class,
        valid_from: date(&from.ok_or_else(missing)?)?,
        valid_to: to.as_deref().map(date).transpose()?,
    };
    let link = if raw.link == Some(1) { Link::Confirmed } else { Link::NotYet };
    let loaded_at = rfc3339(u64::try_from(loaded_at).unwrap_or(0));
    Ok(Some((CoverageRow { coverage, link }, InsurerLoad { insurer_number, insurer_name, loaded_at })))
}

fn rows_behind(connection: &Connection, serial: &AuthCertSerial) -> rusqlite::Result<Vec<RawRow>> {
    connection.prepare_cached(LOOKUP)?.query_map([serial.as_bytes()], raw_row)?.collect()
}

fn lookup(
    rows: Vec<RawRow>,
    recent: impl FnOnce() -> Result<Vec<InsurerLoad>, StoreError>,
) -> Result<Lookup, StoreError> {
    let Some(first) = rows.first() else {
        return Ok(Lookup::NotLinked { loads: recent()? });
    };
    let [name, name_kana, birth_date] = first.person.clone();
    let person = RegisteredPerson { name, name_kana, birth_date: date(&birth_date)? };
    let mut holdings =
        Holdings { person, rows: Vec::with_capacity(rows.len()), loads: Vec::with_capacity(1) };
    for raw in rows {
        if let Some((row, load)) = coverage_row(raw)? {
            holdings.rows.push(row);
            if !holdings.loads.contains(&load) {
                holdings.loads.push(load);
            }
        }
    }
    Ok(Lookup::Linked(holdings))
}

fn recent_loads(readers: &chassis::sqlite::ReadPool) -> Result<Vec<InsurerLoad>, StoreError> {
    let rows: Vec<(String, String, i64)> = readers
        .with(|connection| {
            connection
                .prepare_cached(
                    "SELECT insurer_number, name, loaded_at FROM insurer ORDER BY loaded_at DESC LIMIT ?1",
                )?
                .query_map([RECENT_LOADS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })
        .map_err(engine)?;
    rows.into_iter()
        .map(|(number, insurer_name, at)| {
            Ok(InsurerLoad {
                insurer_number: InsurerNumber::parse(&number)
                    .map_err(|_| StoreError::Unreadable("an insurer number"))?,
                insurer_name,
                loaded_at: rfc3339(u64::try_from(at).unwrap_or(0)),
            })
        })
        .collect()
}

fn insert_enrolment(transaction: &rusqlite::Transaction<'_>, enrolment: &Enrolment) -> rusqlite::Result<()> {
    let person_key = enrolment.person_key.cast_signed();
    transaction
        .prepare_cached(
            "INSERT INTO person VALUES(?1,?2,?3,?4) ON CONFLICT DO UPDATE SET
             name=excluded.name, name_kana=excluded.name_kana, birth_date=excluded.birth_date",
        )?
        .execute(params![
            person_key,
            enrolment.person.name,
            enrolment.person.name_kana,
            enrolment.person.birth_date.as_str()
        ])?;
    if let Some(serial) = &enrolment.auth_cert_serial {
        transaction
            .prepare_cached(
                "INSERT INTO card_link VALUES(?1,?2) ON CONFLICT DO UPDATE SET person_key=excluded.person_key",
            )?
            .execute(params![serial.as_bytes(), person_key])?;
    }
    for row in &enrolment.rows {
        let c = &row.coverage;
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO coverage VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)",
            )?
            .execute(params![
                person_key,
                c.insurer_number.as_str(),
                c.valid_from.as_str(),
                c.valid_to.as_ref().map(CivilDate::as_str),
                c.symbol.expose(),
                c.number.expose(),
                c.branch.expose(),
                c.kind.ja,
                c.kind.en,
                i64::from(c.relation == Relation::Dependant),
                c.copay_percent,
                c.limit_class,
                i64::from(row.link == Link::Confirmed)
            ])?;
    }
    Ok(())
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

    fn lookup_by_serials(&self, serials: &[AuthCertSerial]) -> Result<Vec<Lookup>, StoreError> {
        let behind: Vec<Vec<RawRow>> = self
            .readers
            .with(|connection| serials.iter().map(|serial| rows_behind(connection, serial)).collect())
            .map_err(engine)?;
        behind.into_iter().map(|rows| lookup(rows, || recent_loads(&self.readers))).collect()
    }

    fn apply_load(
        &self,
        insurer: &InsurerNumber,
        insurer_name: &str,
        enrolments: &[Enrolment],
        at: UnixSeconds,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction
                .execute(
                    "INSERT OR REPLACE INTO insurer VALUES(?1,?2,?3)",
                    params![insurer.as_str(), insurer_name, at.0.cast_signed()],
                )
                .map_err(engine)?;
            for enrolment in enrolments {
                insert_enrolment(transaction, enrolment).map_err(engine)?;
            }
            Ok(())
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
