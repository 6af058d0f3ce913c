//! Coverage in SQLite: one packed record per member and one per person, found in three point reads
//! (docs/decisions/0005-packed-coverage.md).

use super::engine;
use crate::history::packed::{insurer_of, unpack, unpack_person};
use crate::history::{
    AsOf, ChangeNumber, InsurerRef, KindRef, MemberRecord, Names, Recorded, Visibility, in_force, view,
};
use crate::kinds;
use crate::store::{CoverageRow, Holdings, Link, Lookup, StoreError};
use crate::ties::PersonRecord;
use protocol::answer::{Bilingual, InsurerLoad, RegisteredPerson};
use protocol::ids::{AuthCertSerial, InsurerNumber};
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

pub(super) const SCHEMA: &str = "
ALTER TABLE insurer RENAME TO insurer_v1;
ALTER TABLE person RENAME TO person_v1;
ALTER TABLE coverage RENAME TO coverage_v1;
ALTER TABLE card_link RENAME TO card_link_v1;
CREATE TABLE insurer(
  insurer_ref INTEGER PRIMARY KEY, insurer_number TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
  loaded_at INTEGER NOT NULL);
CREATE TABLE kind(kind_ref INTEGER PRIMARY KEY, ja TEXT NOT NULL, en TEXT NOT NULL, UNIQUE(ja, en));
CREATE TABLE member(member_key BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE person(person_key INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE card_link(
  serial BLOB PRIMARY KEY, person_key INTEGER NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE card_link_past(
  serial BLOB NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, person_key INTEGER NOT NULL,
  PRIMARY KEY(serial, since)) WITHOUT ROWID;
-- state: 0 under way, 1 visible, 2 given up
CREATE TABLE change(
  number INTEGER PRIMARY KEY, what TEXT NOT NULL, state INTEGER NOT NULL, insurer_ref INTEGER, digest BLOB,
  begun_at INTEGER NOT NULL, place INTEGER UNIQUE, recorded_at INTEGER, detail TEXT NOT NULL);
CREATE INDEX change_under_way ON change(insurer_ref) WHERE state = 0;
CREATE INDEX change_last ON change(insurer_ref, place) WHERE state = 1;
-- state: 0 held, 1 released, 2 discarded
CREATE TABLE held_row(
  number INTEGER PRIMARY KEY, load INTEGER NOT NULL, row INTEGER NOT NULL, reason INTEGER NOT NULL,
  member_key BLOB NOT NULL, record BLOB NOT NULL, person_key INTEGER, serial BLOB, link INTEGER NOT NULL,
  stated_by INTEGER NOT NULL, state INTEGER NOT NULL, settled_by INTEGER, UNIQUE(load, row));
";

/// What became of a change, as far as it can still become something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ChangeState {
    UnderWay,
    Visible(Recorded),
    GivenUp,
}

/// What the store has read once and need not read again: changes that are settled, and kinds.
#[derive(Default)]
pub(super) struct Catalogue {
    settled: RwLock<HashMap<u64, ChangeState>>,
    kinds: RwLock<HashMap<u32, Bilingual>>,
}

/// The changes behind a few records.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<(ChangeNumber, ChangeState)>);

impl Seen {
    pub(super) fn state(&self, change: ChangeNumber) -> ChangeState {
        self.0.iter().find(|(known, _)| *known == change).map_or(ChangeState::UnderWay, |(_, state)| *state)
    }

    /// Makes a load see its own rows, as if it had just become visible.
    pub(super) fn with_own(&mut self, own: ChangeNumber) {
        let recorded = Recorded { place: u64::MAX, at: UnixSeconds(u64::MAX) };
        self.0.retain(|(known, _)| *known != own);
        self.0.push((own, ChangeState::Visible(recorded)));
    }
}

impl Visibility for Seen {
    fn recorded(&self, change: ChangeNumber) -> Option<Recorded> {
        match self.state(change) {
            ChangeState::Visible(recorded) => Some(recorded),
            ChangeState::UnderWay | ChangeState::GivenUp => None,
        }
    }
}

impl Catalogue {
    /// Adds to `seen` what has become of these changes. A change that was visible once is so for ever, so only
    /// those under way are asked for again.
    pub(super) fn resolve(
        &self,
        connection: &Connection,
        seen: &mut Seen,
        changes: impl Iterator<Item = ChangeNumber>,
    ) -> Result<(), StoreError> {
        for change in changes {
            if seen.0.iter().any(|(known, _)| *known == change) {
                continue;
            }
            let kept = {
                let settled = self.settled.read().unwrap_or_else(PoisonError::into_inner);
                settled.get(&change.0).copied()
            };
            let state = match kept {
                Some(state) => state,
                None => self.read_change(connection, change)?,
            };
            seen.0.push((change, state));
        }
        Ok(())
    }

    fn read_change(&self, connection: &Connection, change: ChangeNumber) -> Result<ChangeState, StoreError> {
        type Raw = (i64, Option<i64>, Option<i64>);
        let raw: Option<Raw> = connection
            .prepare_cached("SELECT state, place, recorded_at FROM change WHERE number = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([change.0.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                    .optional()
            })
            .map_err(engine)?;
        let state = match raw {
            Some((1, Some(place), Some(at))) => ChangeState::Visible(Recorded {
                place: place.cast_unsigned(),
                at: UnixSeconds(at.cast_unsigned()),
            }),
            Some((0, None, None)) => return Ok(ChangeState::UnderWay),
            Some((2, None, None)) => ChangeState::GivenUp,
            _ => return Err(StoreError::Unreadable("a change")),
        };
        self.settled.write().unwrap_or_else(PoisonError::into_inner).insert(change.0, state);
        Ok(state)
    }

    fn kind(&self, connection: &Connection, kind: KindRef) -> Result<Bilingual, StoreError> {
        if let Some(words) = kinds::words(kind) {
            return Ok(words);
        }
        if let Some(words) = self.kinds.read().unwrap_or_else(PoisonError::into_inner).get(&kind.0) {
            return Ok(words.clone());
        }
        let words = connection
            .prepare_cached("SELECT ja, en FROM kind WHERE kind_ref = ?1")
            .and_then(|mut statement| {
                statement.query_row([kind.0], |row| Ok(Bilingual { ja: row.get(0)?, en: row.get(1)? }))
            })
            .map_err(engine)?;
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.insert(kind.0, words.clone());
        Ok(words)
    }
}

/// The number of a kind in these words, given out now if it has none.
pub(super) fn intern_kind(connection: &Connection, words: &Bilingual) -> Result<KindRef, StoreError> {
    if let Some(kind) = kinds::with_words(words) {
        return Ok(kind);
    }
    let found = |connection: &Connection| {
        connection
            .prepare_cached("SELECT kind_ref FROM kind WHERE ja = ?1 AND en = ?2")?
            .query_row([&words.ja, &words.en], |row| row.get::<_, u32>(0))
            .optional()
    };
    if let Some(kind) = found(connection).map_err(engine)? {
        return Ok(KindRef(kind));
    }
    connection
        .execute(
            "INSERT INTO kind SELECT max(coalesce(max(kind_ref), 0) + 1, ?1), ?2, ?3 FROM kind",
            (kinds::OWN_FROM, &words.ja, &words.en),
        )
        .map_err(engine)?;
    found(connection).map_err(engine)?.map(KindRef).ok_or(StoreError::Unreadable("a kind of insurance"))
}

/// A member's record, if there is one.
pub(super) fn member(connection: &Connection, key: &[u8]) -> Result<Option<MemberRecord>, StoreError> {
    let octets: Option<Vec<u8>> = connection
        .prepare_cached("SELECT record FROM member WHERE member_key = ?1")
        .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
        .map_err(engine)?;
    octets.map(|octets| unpack(key, &octets).ok_or(StoreError::Unreadable("a member's record"))).transpose()
}

/// A person's record, if there is one.
pub(super) fn person(connection: &Connection, key: u64) -> Result<Option<PersonRecord>, StoreError> {
    let octets: Option<Vec<u8>> = connection
        .prepare_cached("SELECT record FROM person WHERE person_key = ?1")
        .and_then(|mut statement| statement.query_row([key.cast_signed()], |row| row.get(0)).optional())
        .map_err(engine)?;
    octets.map(|octets| unpack_person(&octets).ok_or(StoreError::Unreadable("a person's record"))).transpose()
}

/// All changes a member's record names.
pub(super) fn changes_of(record: &MemberRecord) -> impl Iterator<Item = ChangeNumber> {
    let ties = record.person.iter().map(|holder| holder.since);
    let attributes = record.attributes.iter().map(|fact| fact.change);
    record.facts.iter().map(|fact| fact.change).chain(attributes).chain(ties)
}

/// All changes a person's record names.
pub(super) fn changes_of_person(person: &PersonRecord) -> impl Iterator<Item = ChangeNumber> {
    person.ties.iter().flat_map(|tie| [Some(tie.since), tie.until]).flatten()
}

struct KnownInsurer {
    insurer: InsurerRef,
    number: InsurerNumber,
    name: String,
    loaded_at: i64,
}

/// A member's record and its insurer, in one statement.
fn insured(connection: &Connection, key: &[u8]) -> Result<(MemberRecord, KnownInsurer), StoreError> {
    type Raw = (Vec<u8>, String, String, i64);
    let of = insurer_of(key).ok_or(StoreError::Unreadable("a member's key"))?;
    let raw: Option<Raw> = connection
        .prepare_cached(
            "SELECT m.record, i.insurer_number, i.name, i.loaded_at FROM member m, insurer i
             WHERE m.member_key = ?1 AND i.insurer_ref = ?2",
        )
        .and_then(|mut statement| {
            statement
                .query_row((key, of.0), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .optional()
        })
        .map_err(engine)?;
    let (record, number, name, loaded_at) = raw.ok_or(StoreError::Unreadable("a tie to nobody"))?;
    let record = unpack(key, &record).ok_or(StoreError::Unreadable("a member's record"))?;
    let number = InsurerNumber::parse(&number).map_err(|_| StoreError::Unreadable("an insurer number"))?;
    Ok((record, KnownInsurer { insurer: of, number, name, loaded_at }))
}

/// Names for one answer: a handful.
struct Named<'a> {
    insurers: &'a [KnownInsurer],
    kinds: &'a [(KindRef, Bilingual)],
}

impl Names for Named<'_> {
    fn insurer(&self, insurer: InsurerRef) -> Option<(InsurerNumber, String)> {
        let known = self.insurers.iter().find(|known| known.insurer == insurer)?;
        Some((known.number.clone(), known.name.clone()))
    }

    fn kind(&self, kind: KindRef) -> Option<Bilingual> {
        self.kinds.iter().find(|(known, _)| *known == kind).map(|(_, words)| words.clone())
    }
}

/// The person a serial leads to, as far as is known; `None` for nobody.
fn person_behind(
    connection: &Connection,
    catalogue: &Catalogue,
    serial: &AuthCertSerial,
    as_of: &AsOf,
) -> Result<Option<PersonRecord>, StoreError> {
    let now: Option<(i64, Vec<u8>)> = connection
        .prepare_cached(
            "SELECT l.since, p.record FROM card_link l JOIN person p ON p.person_key = l.person_key
             WHERE l.serial = ?1",
        )
        .and_then(|mut statement| {
            statement.query_row([serial.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(engine)?;
    let mut seen = Seen::default();
    let mut known = |change: i64| {
        let change = ChangeNumber(change.cast_unsigned());
        catalogue.resolve(connection, &mut seen, std::iter::once(change))?;
        Ok::<_, StoreError>(seen.recorded(change).is_some_and(|recorded| as_of.known.admits(recorded)))
    };
    if let Some((since, record)) = now
        && known(since)?
    {
        return unpack_person(&record).map(Some).ok_or(StoreError::Unreadable("a person's record"));
    }
    let past: Vec<(i64, i64, i64)> = connection
        .prepare_cached(
            "SELECT person_key, since, until FROM card_link_past WHERE serial = ?1 ORDER BY since DESC",
        )
        .and_then(|mut statement| {
            statement
                .query_map([serial.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })
        .map_err(engine)?;
    for (key, since, until) in past {
        if known(since)? && !known(until)? {
            let key = key.cast_unsigned();
            return person(connection, key)?.map(Some).ok_or(StoreError::Unreadable("a link to nobody"));
        }
    }
    Ok(None)
}

/// Everything behind one serial, as one snapshot.
pub(super) fn lookup(
    connection: &Connection,
    catalogue: &Catalogue,
    serial: &AuthCertSerial,
    as_of: &AsOf,
) -> Result<Option<Lookup>, StoreError> {
    let Some(person) = person_behind(connection, catalogue, serial, as_of)? else { return Ok(None) };
    Ok(holdings(connection, catalogue, &person, as_of)?.map(Lookup::Linked))
}

/// What one person holds; `None` if nothing is known of them, not even a name.
pub(super) fn holdings(
    connection: &Connection,
    catalogue: &Catalogue,
    person: &PersonRecord,
    as_of: &AsOf,
) -> Result<Option<Holdings>, StoreError> {
    let mut seen = Seen::default();
    catalogue.resolve(connection, &mut seen, changes_of_person(person))?;
    let mut members = Vec::with_capacity(1);
    let mut insurers: Vec<KnownInsurer> = Vec::with_capacity(1);
    for tie in person.holding(as_of.known, &seen) {
        let (record, insurer) = insured(connection, &tie.member)?;
        members.push((insurer.insurer, tie.link, record));
        if !insurers.iter().any(|known| known.insurer == insurer.insurer) {
            insurers.push(insurer);
        }
    }
    for (_, _, record) in &members {
        catalogue.resolve(connection, &mut seen, changes_of(record))?;
    }
    let registered = members
        .iter()
        .filter_map(|(_, link, record)| Some((*link, record.attributes_known(as_of.known, &seen)?)))
        .max_by_key(|(link, fact)| {
            (*link == Link::Confirmed, fact.stated_on, seen.recorded(fact.change), fact.row)
        })
        .map(|(_, fact)| &fact.attributes)
        .or(person.registered.as_ref());
    let Some(registered) = registered else { return Ok(None) };
    let mut rows = Vec::with_capacity(members.len());
    for (of, link, record) in &members {
        for period in record.periods(as_of, &seen) {
            let kinds = [(period.terms.kind, catalogue.kind(connection, period.terms.kind)?)];
            let named = Named { insurers: &insurers, kinds: &kinds };
            let coverage = view::coverage(*of, &period, as_of.visit, &named)
                .map_err(|unanswerable| StoreError::Unreadable(unanswerable.0))?;
            rows.push((period.covers(as_of.visit), CoverageRow { coverage, link: *link }));
        }
    }
    let claims = rows
        .iter()
        .filter(|(covers, row)| *covers && row.link == Link::Confirmed)
        .map(|(_, row)| row.coverage.clone())
        .collect();
    Ok(Some(Holdings {
        person: RegisteredPerson {
            name: registered.name.clone(),
            name_kana: registered.name_kana.clone(),
            birth_date: registered.birth_date.date(),
        },
        in_force: in_force(claims),
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        loads: insurers
            .into_iter()
            .map(|known| insurer_load(known.number, known.name, known.loaded_at))
            .collect(),
    }))
}

fn insurer_load(insurer_number: InsurerNumber, insurer_name: String, loaded_at: i64) -> InsurerLoad {
    InsurerLoad { insurer_number, insurer_name, loaded_at: super::rfc3339(loaded_at.cast_unsigned()) }
}

/// Who loaded last, newest first.
pub(super) fn recent_loads(connection: &Connection, limit: u32) -> Result<Vec<InsurerLoad>, StoreError> {
    let rows: Vec<(String, String, i64)> = connection
        .prepare_cached("SELECT insurer_number, name, loaded_at FROM insurer WHERE loaded_at > 0 ORDER BY loaded_at DESC LIMIT ?1")
        .and_then(|mut statement| {
            statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        })
        .map_err(engine)?;
    rows.into_iter()
        .map(|(number, name, at)| {
            let number =
                InsurerNumber::parse(&number).map_err(|_| StoreError::Unreadable("an insurer number"))?;
            Ok(insurer_load(number, name, at))
        })
        .collect()
}
