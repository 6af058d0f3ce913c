//! Links in SQLite. Steps of a change are kept beside it, so that it can be confirmed later and taken back after.

use super::changes::{self, What};
use super::coverage::{Catalogue, Seen, changes_of_person, member, person};
use super::enrol::{close_card, link_card, save_member, save_person};
use super::{SqliteStore, engine};
use crate::history::{ChangeNumber, Holder, Known, Visibility as _};
use crate::store::links::{LinkCause, LinkOutcome, LinkStep, LinkStore, Moved, Proposal};
use crate::store::{Link, StoreError};
use protocol::ids::AuthCertSerial;
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) const SCHEMA: &str = "
CREATE TABLE link_step(
  change INTEGER NOT NULL, step INTEGER NOT NULL, serial BLOB, member_key BLOB, before INTEGER, after INTEGER,
  PRIMARY KEY(change, step)) WITHOUT ROWID;
";

const CAUSES: [LinkCause; 5] =
    [LinkCause::Renewal, LinkCause::Correction, LinkCause::Merge, LinkCause::Split, LinkCause::Undo];

/// Whom a serial leads to now, as far as answers are concerned.
fn holder(
    connection: &Connection,
    catalogue: &Catalogue,
    serial: &AuthCertSerial,
) -> Result<Option<u64>, StoreError> {
    let held: Option<(i64, i64)> = connection
        .prepare_cached("SELECT person_key, since FROM card_link WHERE serial = ?1")
        .and_then(|mut statement| {
            statement.query_row([serial.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(engine)?;
    let Some((key, since)) = held else { return Ok(None) };
    let since = ChangeNumber(since.cast_unsigned());
    let mut seen = Seen::default();
    catalogue.resolve(connection, &mut seen, std::iter::once(since))?;
    Ok(seen.recorded(since).map(|_| key.cast_unsigned()))
}

/// Whose a thing is now.
fn owner(connection: &Connection, catalogue: &Catalogue, moved: &Moved) -> Result<Option<u64>, StoreError> {
    match moved {
        Moved::Card(serial) => holder(connection, catalogue, serial),
        Moved::Member(key) => {
            Ok(member(connection, key)?.and_then(|record| record.person).map(|holder| holder.key))
        }
    }
}

fn visible_person(
    connection: &Connection,
    catalogue: &Catalogue,
    key: u64,
) -> Result<(crate::ties::PersonRecord, Seen), StoreError> {
    let record = person(connection, key)?.unwrap_or_default();
    let mut seen = Seen::default();
    catalogue.resolve(connection, &mut seen, changes_of_person(&record))?;
    Ok((record, seen))
}

/// Moves one thing under a change.
fn move_one(
    connection: &Connection,
    catalogue: &Catalogue,
    step: &LinkStep,
    change: ChangeNumber,
) -> Result<(), StoreError> {
    match (&step.moved, step.after) {
        (Moved::Card(serial), Some(after)) => {
            let (record, _) = visible_person(connection, catalogue, after)?;
            // A card's holder has a record, if only an empty one.
            save_person(connection, after, &record)?;
            link_card(connection, serial, after, change)
        }
        (Moved::Card(serial), None) => close_card(connection, serial, change),
        (Moved::Member(key), after) => {
            let mut link = Link::Confirmed;
            if let Some(before) = step.before {
                let (mut record, mut seen) = visible_person(connection, catalogue, before)?;
                if let Some(tie) = record.holding(Known::Now, &seen).find(|tie| tie.member == *key) {
                    link = tie.link;
                }
                seen.with_own(change);
                record.untie(key, change, &seen);
                save_person(connection, before, &record)?;
            }
            let mut record = member(connection, key)?.ok_or(StoreError::Unreadable("a tie to nobody"))?;
            record.person = after.map(|key| Holder { key, since: change });
            save_member(connection, key, &record)?;
            if let Some(after) = after {
                let (mut record, mut seen) = visible_person(connection, catalogue, after)?;
                seen.with_own(change);
                record.tie(key, link, change, &seen);
                save_person(connection, after, &record)?;
            }
            Ok(())
        }
    }
}

fn write_steps(connection: &Connection, change: ChangeNumber, steps: &[LinkStep]) -> Result<(), StoreError> {
    for (number, step) in (0i64..).zip(steps) {
        let (serial, key) = match &step.moved {
            Moved::Card(serial) => (Some(serial.as_bytes()), None),
            Moved::Member(key) => (None, Some(key)),
        };
        connection
            .prepare_cached("INSERT INTO link_step VALUES(?1, ?2, ?3, ?4, ?5, ?6)")
            .and_then(|mut statement| {
                statement.execute(params![
                    change.0.cast_signed(),
                    number,
                    serial,
                    key,
                    step.before.map(u64::cast_signed),
                    step.after.map(u64::cast_signed)
                ])
            })
            .map_err(engine)?;
    }
    Ok(())
}

type RawStep = (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>, Option<i64>);

fn steps_of(connection: &Connection, change: ChangeNumber) -> Result<Vec<LinkStep>, StoreError> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let raw: Vec<RawStep> = connection
        .prepare_cached(
            "SELECT serial, member_key, before, after FROM link_step WHERE change = ?1 ORDER BY step",
        )
        .and_then(|mut statement| statement.query_map([change.0.cast_signed()], read)?.collect())
        .map_err(engine)?;
    raw.into_iter()
        .map(|(serial, key, before, after)| {
            let moved = match (serial, key) {
                (Some(serial), None) => Moved::Card(
                    AuthCertSerial::parse(&serial).map_err(|_| StoreError::Unreadable("a serial"))?,
                ),
                (None, Some(key)) => Moved::Member(key),
                _ => return Err(StoreError::Unreadable("a step of a change")),
            };
            Ok(LinkStep {
                moved,
                before: before.map(i64::cast_unsigned),
                after: after.map(i64::cast_unsigned),
            })
        })
        .collect()
}

/// State of a change of links; `None` for any other change.
fn link_change(connection: &Connection, change: ChangeNumber) -> Result<Option<i64>, StoreError> {
    let found: Option<(String, i64)> = connection
        .prepare_cached("SELECT what, state FROM change WHERE number = ?1")
        .and_then(|mut statement| {
            statement.query_row([change.0.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(engine)?;
    Ok(found.filter(|(what, _)| CAUSES.iter().any(|cause| cause.word() == what)).map(|(_, state)| state))
}

/// Does the steps under a change and makes it visible, if everything is where they expect it.
fn apply(
    connection: &Connection,
    catalogue: &Catalogue,
    change: ChangeNumber,
    steps: &[LinkStep],
    at: UnixSeconds,
) -> Result<LinkOutcome, StoreError> {
    for step in steps {
        if owner(connection, catalogue, &step.moved)? != step.before {
            return Ok(LinkOutcome::Overtaken);
        }
    }
    for step in steps {
        move_one(connection, catalogue, step, change)?;
    }
    let cards = steps.iter().filter(|step| matches!(step.moved, Moved::Card(_))).count();
    let detail = format!("{cards} cards, {} members", steps.len() - cards);
    changes::record(connection, change, &detail, at)?;
    Ok(LinkOutcome::Done)
}

impl LinkStore for SqliteStore {
    fn holders(&self, serials: &[AuthCertSerial]) -> Result<Vec<Option<u64>>, StoreError> {
        self.read(|connection| {
            serials.iter().map(|serial| holder(connection, &self.catalogue, serial)).collect()
        })
    }

    fn belongings(&self, person: u64) -> Result<Vec<Moved>, StoreError> {
        self.read(|connection| {
            // A walk through all links: seconds for a nation, for something that happens a few times a day. An
            // index for it would cost every person thirty octets.
            let cards: Vec<Vec<u8>> = connection
                .prepare_cached("SELECT serial FROM card_link WHERE person_key = ?1 ORDER BY serial")
                .and_then(|mut statement| {
                    statement.query_map([person.cast_signed()], |row| row.get(0))?.collect()
                })
                .map_err(engine)?;
            let mut found = Vec::new();
            for serial in cards {
                let serial =
                    AuthCertSerial::parse(&serial).map_err(|_| StoreError::Unreadable("a serial"))?;
                if holder(connection, &self.catalogue, &serial)? == Some(person) {
                    found.push(Moved::Card(serial));
                }
            }
            let (record, seen) = visible_person(connection, &self.catalogue, person)?;
            found.extend(record.holding(Known::Now, &seen).map(|tie| Moved::Member(tie.member.clone())));
            Ok(found)
        })
    }

    fn fresh_person(&self) -> Result<u64, StoreError> {
        self.write(|transaction| {
            transaction
                .query_row("SELECT coalesce(max(person_key), 0) + 1 FROM person", [], |row| {
                    row.get::<_, i64>(0)
                })
                .map(i64::cast_unsigned)
                .map_err(engine)
                // The record itself keeps the key: nobody else is given it.
                .and_then(|key| save_person(transaction, key, &Default::default()).map(|()| key))
        })
    }

    fn propose(
        &self,
        cause: LinkCause,
        steps: &[LinkStep],
        at: UnixSeconds,
    ) -> Result<ChangeNumber, StoreError> {
        self.write(|transaction| {
            let change = changes::begin(transaction, What::Links(cause), None, None, at)?;
            write_steps(transaction, change, steps)?;
            Ok(change)
        })
    }

    fn proposals(&self) -> Result<Vec<Proposal>, StoreError> {
        self.read(|connection| {
            let raw: Vec<(i64, String, i64, i64, i64)> = connection
                .prepare_cached(
                    "SELECT c.number, c.what, c.begun_at, count(s.serial), count(s.member_key) FROM change c
                     LEFT JOIN link_step s ON s.change = c.number
                     WHERE c.state = 0 GROUP BY c.number ORDER BY c.number",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map([], |row| {
                            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                        })?
                        .collect()
                })
                .map_err(engine)?;
            Ok(raw
                .into_iter()
                .filter_map(|(number, what, at, cards, members)| {
                    Some(Proposal {
                        number: number.cast_unsigned(),
                        cause: *CAUSES.iter().find(|cause| cause.word() == what)?,
                        cards: cards.cast_unsigned(),
                        members: members.cast_unsigned(),
                        proposed_at: UnixSeconds(at.cast_unsigned()),
                    })
                })
                .collect())
        })
    }

    fn confirm(&self, proposal: ChangeNumber, at: UnixSeconds) -> Result<LinkOutcome, StoreError> {
        self.write(|transaction| {
            if link_change(transaction, proposal)? != Some(0) {
                return Ok(LinkOutcome::Unknown);
            }
            let steps = steps_of(transaction, proposal)?;
            apply(transaction, &self.catalogue, proposal, &steps, at)
        })
    }

    fn drop_proposal(&self, proposal: ChangeNumber) -> Result<LinkOutcome, StoreError> {
        self.write(|transaction| {
            if link_change(transaction, proposal)? != Some(0) {
                return Ok(LinkOutcome::Unknown);
            }
            changes::give_up(transaction, proposal)?;
            Ok(LinkOutcome::Done)
        })
    }

    fn undo(&self, change: ChangeNumber, at: UnixSeconds) -> Result<LinkOutcome, StoreError> {
        self.write(|transaction| {
            if link_change(transaction, change)? != Some(1) {
                return Ok(LinkOutcome::Unknown);
            }
            let back: Vec<LinkStep> = steps_of(transaction, change)?
                .into_iter()
                .rev()
                .map(|step| LinkStep { moved: step.moved, before: step.after, after: step.before })
                .collect();
            for step in &back {
                if owner(transaction, &self.catalogue, &step.moved)? != step.before {
                    return Ok(LinkOutcome::Overtaken);
                }
            }
            let undoing = changes::begin(transaction, What::Links(LinkCause::Undo), None, None, at)?;
            write_steps(transaction, undoing, &back)?;
            apply(transaction, &self.catalogue, undoing, &back, at)
        })
    }
}
