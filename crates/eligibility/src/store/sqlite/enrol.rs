//! People whom the operator vouches for, registered as a whole; and the first schema's people, taken over.

use super::changes::{self, What, intern_insurer};
use super::coverage::{Catalogue, Seen, changes_of, changes_of_person, intern_kind, member, person};
use super::engine;
use crate::history::packed::{key_of, pack, pack_person};
use crate::history::{
    Attributes, ChangeNumber, Day, Expense, Fact, Holder, InsuredNumbers, MemberRecord, Sex, Stands,
    StatedBy, Statement, Terms,
};
use crate::store::{CoverageRow, Enrolment, Link, StoreError};
use crate::ties::PersonRecord;
use protocol::answer::{Bilingual, CivilDate, Coverage, PublicExpense, RegisteredPerson, Relation};
use protocol::ids::{AuthCertSerial, BranchNumber, InsuredNumber, InsuredSymbol, InsurerNumber};
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::collections::BTreeMap;

/// Registers people under one change that is visible with the transaction.
pub(super) fn enrol_all(
    connection: &Connection,
    catalogue: &Catalogue,
    (insurer, name): (&InsurerNumber, &str),
    enrolments: &[Enrolment],
    at: UnixSeconds,
) -> Result<(), StoreError> {
    let of = intern_insurer(connection, insurer, Some(name), Some(at))?;
    let change = changes::begin(connection, What::Enrolment, Some(of), None, at)?;
    for enrolment in enrolments {
        enrol(connection, catalogue, enrolment, change, at)?;
    }
    changes::record(connection, change, &format!("{} people", enrolments.len()), at)?;
    Ok(())
}

fn enrol(
    connection: &Connection,
    catalogue: &Catalogue,
    enrolment: &Enrolment,
    change: ChangeNumber,
    at: UnixSeconds,
) -> Result<(), StoreError> {
    let attributes = Attributes {
        name: enrolment.person.name.clone(),
        name_kana: enrolment.person.name_kana.clone(),
        birth_date: Day::from_date(&enrolment.person.birth_date),
        sex: Sex::NotStated,
    };
    let mut seen = Seen::default();
    let mut holder = person(connection, enrolment.person_key)?.unwrap_or_default();
    catalogue.resolve(connection, &mut seen, changes_of_person(&holder))?;
    seen.with_own(change);
    let before = holder.clone();
    if holder.ties.is_empty() && enrolment.rows.is_empty() {
        holder.registered = Some(attributes.clone());
    }
    for row in &enrolment.rows {
        let key =
            enrol_coverage(connection, catalogue, enrolment.person_key, row, &attributes, (change, at))?;
        holder.tie(&key, row.link, change, &seen);
    }
    if holder != before || holder == PersonRecord::default() {
        save_person(connection, enrolment.person_key, &holder)?;
    }
    match &enrolment.auth_cert_serial {
        Some(serial) => link_card(connection, serial, enrolment.person_key, change),
        None => Ok(()),
    }
}

/// Writes a person's record.
pub(super) fn save_person(
    connection: &Connection,
    key: u64,
    record: &PersonRecord,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO person VALUES(?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record",
        )
        .and_then(|mut statement| statement.execute(params![key.cast_signed(), pack_person(record)]))
        .map(|_| ())
        .map_err(engine)
}

/// Writes a member's record.
pub(super) fn save_member(
    connection: &Connection,
    key: &[u8],
    record: &MemberRecord,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO member VALUES(?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record",
        )
        .and_then(|mut statement| statement.execute(params![key, pack(key, record)]))
        .map(|_| ())
        .map_err(engine)
}

/// Leads a serial to a person. A link to somebody else is closed and kept.
pub(super) fn link_card(
    connection: &Connection,
    serial: &AuthCertSerial,
    person_key: u64,
    change: ChangeNumber,
) -> Result<(), StoreError> {
    if card_holder(connection, serial)? == Some(person_key.cast_signed()) {
        return Ok(());
    }
    close_card(connection, serial, change)?;
    connection
        .prepare_cached("INSERT INTO card_link VALUES(?1, ?2, ?3)")
        .and_then(|mut statement| {
            statement.execute(params![serial.as_bytes(), person_key.cast_signed(), change.0.cast_signed()])
        })
        .map(|_| ())
        .map_err(engine)
}

/// Whom a serial leads to, or will when a load under way is visible. What was given up leads nowhere.
fn card_holder(connection: &Connection, serial: &AuthCertSerial) -> Result<Option<i64>, StoreError> {
    connection
        .prepare_cached(
            "SELECT l.person_key FROM card_link l JOIN change c ON c.number = l.since
             WHERE l.serial = ?1 AND c.state <> 2",
        )
        .and_then(|mut statement| statement.query_row([serial.as_bytes()], |row| row.get(0)).optional())
        .map_err(engine)
}

/// Closes the link of a serial, if there is one, and keeps it for questions about the past.
pub(super) fn close_card(
    connection: &Connection,
    serial: &AuthCertSerial,
    change: ChangeNumber,
) -> Result<(), StoreError> {
    let step = || -> rusqlite::Result<()> {
        let closed = connection
            .prepare_cached("DELETE FROM card_link WHERE serial = ?1 RETURNING person_key, since")?
            .query_row([serial.as_bytes()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
            .optional()?;
        if let Some((person_key, since)) = closed {
            connection
                .prepare_cached("INSERT OR REPLACE INTO card_link_past VALUES(?1, ?2, ?3, ?4)")?
                .execute(params![serial.as_bytes(), since, change.0.cast_signed(), person_key])?;
        }
        Ok(())
    };
    step().map_err(engine)
}

fn expense(expense: &PublicExpense) -> Expense {
    Expense {
        payer: expense.payer_number.as_str().to_owned(),
        recipient: expense.recipient_number.expose().to_owned(),
        from: expense.valid_from.as_ref().map(Day::from_date),
        to: expense.valid_to.as_ref().map(Day::from_date),
    }
}

fn enrol_coverage(
    connection: &Connection,
    catalogue: &Catalogue,
    person_key: u64,
    row: &CoverageRow,
    attributes: &Attributes,
    (change, at): (ChangeNumber, UnixSeconds),
) -> Result<Vec<u8>, StoreError> {
    let coverage = &row.coverage;
    let insurer = intern_insurer(connection, &coverage.insurer_number, Some(&coverage.insurer_name), None)?;
    let numbers = InsuredNumbers {
        symbol: coverage.symbol.expose().to_owned(),
        number: coverage.number.expose().to_owned(),
        branch: coverage.branch.expose().to_owned(),
    };
    let key = key_of(insurer, &numbers);
    let statement = Statement {
        from: Day::from_date(&coverage.valid_from),
        to: coverage.valid_to.as_ref().map(Day::from_date),
        stands: Stands::Yes,
        applies_from: None,
        applies_to: None,
        stated_on: Day::of_instant(at),
        terms: Terms {
            numbers,
            kind: intern_kind(connection, &coverage.kind)?,
            relation: coverage.relation,
            copay_percent: coverage.copay_percent,
            limit_class: coverage.limit_class.clone(),
            specific_disease: coverage.specific_disease.clone(),
            expenses: coverage.public_expenses.iter().map(expense).collect(),
        },
    };
    let mut record = member(connection, &key)?.unwrap_or_default();
    if record.person.is_some_and(|known| known.key != person_key) {
        return Err(StoreError::TwoPeople);
    }
    let mut seen = Seen::default();
    catalogue.resolve(connection, &mut seen, changes_of(&record))?;
    seen.with_own(change);
    let before = record.clone();
    record.person = record.person.or(Some(Holder { key: person_key, since: change }));
    record.state(Fact { change, row: 0, statement }, attributes.clone(), StatedBy::Arrival, &seen);
    if record != before {
        save_member(connection, &key, &record)?;
    }
    Ok(key)
}

/// Whether the tables of the first schema still hold people.
fn first_schema_people(connection: &Connection) -> Result<bool, StoreError> {
    connection
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'person_v1'", [], |row| {
            row.get::<_, i64>(0)
        })
        .map(|tables| tables > 0)
        .map_err(engine)
}

/// Moves what the first schema held into records, once, as one change for each insurer.
pub(super) fn take_over_first_schema(connection: &mut Connection) -> Result<(), StoreError> {
    if !first_schema_people(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction().map_err(engine)?;
    let insurers: Vec<(String, String, i64)> = rows_of(
        &transaction,
        "SELECT insurer_number, name, loaded_at FROM insurer_v1 ORDER BY loaded_at",
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let catalogue = Catalogue::default();
    let people = first_schema_enrolments(&transaction)?;
    for (number, name, at) in &insurers {
        let parsed = InsurerNumber::parse(number).map_err(|_| StoreError::Unreadable("an insurer number"))?;
        let theirs: Vec<Enrolment> = people.get(number).cloned().unwrap_or_default();
        let at = UnixSeconds(at.cast_unsigned());
        enrol_all(&transaction, &catalogue, (&parsed, name), &theirs, at)?;
    }
    if let (Some(without_coverage), Some((number, name, at))) = (people.get(""), insurers.first()) {
        let parsed = InsurerNumber::parse(number).map_err(|_| StoreError::Unreadable("an insurer number"))?;
        let at = UnixSeconds(at.cast_unsigned());
        enrol_all(&transaction, &catalogue, (&parsed, name), without_coverage, at)?;
    }
    transaction
        .execute_batch(
            "DROP TABLE insurer_v1; DROP TABLE person_v1; DROP TABLE coverage_v1; DROP TABLE card_link_v1;",
        )
        .map_err(engine)?;
    transaction.commit().map_err(engine)
}

fn rows_of<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    connection.prepare(sql).and_then(|mut statement| statement.query_map([], read)?.collect()).map_err(engine)
}

/// The first schema's people by insurer number; under the empty one those without any coverage.
fn first_schema_enrolments(connection: &Connection) -> Result<BTreeMap<String, Vec<Enrolment>>, StoreError> {
    type Raw = (i64, [String; 3], Option<Vec<u8>>, Option<FirstCoverage>);
    let raw: Vec<Raw> = rows_of(
        connection,
        "SELECT p.person_key, p.name, p.name_kana, p.birth_date, l.serial, c.insurer_number, i.name, c.valid_from,
                c.valid_to, c.symbol, c.number, c.branch, c.kind_ja, c.kind_en, c.relation, c.copay_percent,
                c.limit_class, c.link
         FROM person_v1 p LEFT JOIN card_link_v1 l ON l.person_key = p.person_key
         LEFT JOIN coverage_v1 c ON c.person_key = p.person_key
         LEFT JOIN insurer_v1 i ON i.insurer_number = c.insurer_number",
        |row| {
            Ok((
                row.get(0)?,
                [row.get(1)?, row.get(2)?, row.get(3)?],
                row.get(4)?,
                if row.get::<_, Option<String>>(6)?.is_some() { Some(first_coverage(row)?) } else { None },
            ))
        },
    )?;
    let mut people: BTreeMap<String, Vec<Enrolment>> = BTreeMap::new();
    for (person_key, [name, name_kana, birth_date], serial, coverage) in raw {
        let rows = coverage.map(FirstCoverage::row).transpose()?;
        let number =
            rows.as_ref().map_or(String::new(), |row| row.coverage.insurer_number.as_str().to_owned());
        let birth_date = CivilDate::parse(&birth_date).ok_or(StoreError::Unreadable("a date"))?;
        people.entry(number).or_default().push(Enrolment {
            person_key: person_key.cast_unsigned(),
            person: RegisteredPerson { name, name_kana, birth_date },
            auth_cert_serial: serial
                .map(|octets| AuthCertSerial::parse(&octets))
                .transpose()
                .map_err(|_| StoreError::Unreadable("a serial"))?,
            rows: rows.into_iter().collect(),
        });
    }
    Ok(people)
}

struct FirstCoverage {
    /// Insurer's number and name, first day, symbol, number, branch, kind in Japanese and English.
    text: [String; 8],
    valid_to: Option<String>,
    limit_class: Option<String>,
    relation: i64,
    copay_percent: u8,
    link: i64,
}

fn first_coverage(row: &Row<'_>) -> rusqlite::Result<FirstCoverage> {
    Ok(FirstCoverage {
        text: [
            row.get(5)?,
            row.get(6)?,
            row.get(7)?,
            row.get(9)?,
            row.get(10)?,
            row.get(11)?,
            row.get(12)?,
            row.get(13)?,
        ],
        valid_to: row.get(8)?,
        limit_class: row.get(16)?,
        relation: row.get(14)?,
        copay_percent: row.get(15)?,
        link: row.get(17)?,
    })
}

impl FirstCoverage {
    fn row(self) -> Result<CoverageRow, StoreError> {
        let unreadable = |what| move |_| StoreError::Unreadable(what);
        let [insurer_number, insurer_name, from, symbol, number, branch, ja, en] = self.text;
        let date = |text: &str| CivilDate::parse(text).ok_or(StoreError::Unreadable("a date"));
        let coverage = Coverage {
            insurer_number: InsurerNumber::parse(&insurer_number).map_err(unreadable("an insurer number"))?,
            insurer_name,
            symbol: InsuredSymbol::parse(&symbol).map_err(unreadable("a symbol"))?,
            number: InsuredNumber::parse(&number).map_err(unreadable("a number"))?,
            branch: BranchNumber::parse(&branch).map_err(unreadable("a branch"))?,
            kind: Bilingual { ja, en },
            relation: if self.relation == 0 { Relation::Insured } else { Relation::Dependant },
            copay_percent: self.copay_percent,
            limit_class: self.limit_class,
            specific_disease: None,
            public_expenses: Vec::new(),
            valid_from: date(&from)?,
            valid_to: self.valid_to.as_deref().map(date).transpose()?,
        };
        Ok(CoverageRow { coverage, link: if self.link == 1 { Link::Confirmed } else { Link::NotYet } })
    }
}
