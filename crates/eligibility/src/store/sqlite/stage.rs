//! Staging a feed's rows in SQLite. Rows of a load under way stand in the members' own records, marked with the
//! load's number, and no answer counts them; the load becomes visible by one row in `change`.

use super::changes::{self, What, give_up, insurer_ref, intern_insurer};
use super::coverage::{Catalogue, ChangeState, Seen, changes_of, changes_of_person, member, person};
use super::enrol::{link_card, save_member, save_person};
use super::{SqliteStore, engine};
use crate::history::packed::{insurer_of, key_prefix, pack, unpack};
use crate::history::{
    Attributes, AttributesFact, ChangeNumber, Day, Effect, Fact, Holder, InsurerRef, Known, MemberRecord,
    Recorded, Stands, StatedBy, Statement,
};
use crate::matching::{Compared, mismatch};
use crate::store::feed::{
    Begun, Ending, FeedRow, FeedStore, HeldReason, HeldRow, InsuredMember, LoadOrder, OnUnfinished, OpenLoad,
    RowResult, Settlement,
};
use crate::store::{Link, StoreError};
use crate::ties::{PersonRecord, Tie};
use protocol::ids::{AuthCertSerial, InsurerNumber};
use protocol::time::UnixSeconds;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::cell::Cell;

/// Held rows in one answer.
const HELD_AT_ONCE: u32 = 1000;

/// A row as it is staged.
struct Parts {
    key: Vec<u8>,
    person_key: Option<u64>,
    serial: Option<AuthCertSerial>,
    link: Link,
    stated_by: StatedBy,
    attributes: Attributes,
    fact: Fact,
}

/// What makes a row somebody else's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scrutiny {
    /// Attributes must be the registered person's.
    Feed,
    /// Somebody has looked and said that it is right.
    Released,
}

/// What is to be written for a row.
struct Write {
    record: MemberRecord,
    /// A person who is tied to the member anew, and the one who was before.
    tied: Option<(TieTo, Option<u64>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TieTo {
    Known(u64),
    /// Gets a key when it is written.
    New,
}

/// One load's view of the store.
struct Desk<'a> {
    connection: &'a Connection,
    catalogue: &'a Catalogue,
    own: ChangeNumber,
    /// The highest person key so far, once it was asked for.
    last_person: Cell<Option<u64>>,
}

impl Parts {
    fn of(row: FeedRow, load: &OpenLoad) -> Self {
        let key = row.member_key(load.insurer);
        let fact = Fact { change: load.number, row: row.row, statement: row.statement };
        Self {
            key,
            person_key: row.person_key,
            serial: row.serial,
            link: row.link,
            stated_by: row.stated_by,
            attributes: row.attributes,
            fact,
        }
    }

    /// The record of a member of whom nothing is known yet.
    fn fresh(self) -> (Vec<u8>, MemberRecord, Effect) {
        let Self { key, attributes, fact, .. } = self;
        let effect = match fact.statement.stands {
            Stands::Yes => Effect::Added,
            Stands::Withdrawn => Effect::Withdrawn,
        };
        let stated_on = fact.statement.stated_on;
        let named = AttributesFact { change: fact.change, row: fact.row, stated_on, attributes };
        (key, MemberRecord { person: None, attributes: vec![named], facts: vec![fact] }, effect)
    }
}

impl Desk<'_> {
    fn seen(&self, record: &MemberRecord) -> Result<Seen, StoreError> {
        let mut seen = Seen::default();
        self.catalogue.resolve(self.connection, &mut seen, changes_of(record))?;
        seen.with_own(self.own);
        Ok(seen)
    }

    /// A member's record without what loads that were given up left in it.
    fn member(&self, key: &[u8]) -> Result<Option<(MemberRecord, Seen)>, StoreError> {
        let Some(mut record) = member(self.connection, key)? else { return Ok(None) };
        let seen = self.seen(&record)?;
        record.forget(|change, _| seen.state(change) == ChangeState::GivenUp);
        Ok(Some((record, seen)))
    }

    /// Whom the row says that the member is.
    fn hinted(&self, parts: &Parts) -> Result<Result<Option<u64>, HeldReason>, StoreError> {
        let Some(serial) = &parts.serial else { return Ok(Ok(parts.person_key)) };
        let held: Option<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT person_key, since FROM card_link WHERE serial = ?1")
            .and_then(|mut statement| {
                statement.query_row([serial.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            })
            .map_err(engine)?;
        let mut holder = None;
        if let Some((key, since)) = held {
            let since = ChangeNumber(since.cast_unsigned());
            let mut seen = Seen::default();
            self.catalogue.resolve(self.connection, &mut seen, std::iter::once(since))?;
            if seen.state(since) != ChangeState::GivenUp {
                holder = Some(key.cast_unsigned());
            }
        }
        Ok(match (holder, parts.person_key) {
            (Some(holder), Some(named)) if holder != named => Err(HeldReason::PersonDiffers),
            (holder, named) => Ok(holder.or(named)),
        })
    }

    /// The person as registered through anything but this member.
    fn registered(&self, key: u64, but: &[u8]) -> Result<Option<Attributes>, StoreError> {
        let Some(holder) = person(self.connection, key)? else { return Ok(None) };
        let mut seen = Seen::default();
        self.catalogue.resolve(self.connection, &mut seen, changes_of_person(&holder))?;
        seen.with_own(self.own);
        let mut best: Option<(Day, Attributes)> = None;
        for tie in
            holder.holding(Known::Now, &seen).filter(|tie| tie.link == Link::Confirmed && tie.member != but)
        {
            let Some((record, seen)) = self.member(&tie.member)? else { continue };
            if let Some(fact) = record.attributes_known(Known::Now, &seen)
                && best.as_ref().is_none_or(|(stated_on, _)| *stated_on < fact.stated_on)
            {
                best = Some((fact.stated_on, fact.attributes.clone()));
            }
        }
        Ok(best.map(|(_, attributes)| attributes).or(holder.registered))
    }

    /// What a row does to what is known. Nothing is written.
    fn plan(
        &self,
        parts: &Parts,
        known: Option<(MemberRecord, Seen)>,
        scrutiny: Scrutiny,
    ) -> Result<(RowResult, Option<Write>), StoreError> {
        let is_new = known.is_none();
        let (mut record, seen) = known.unwrap_or_else(|| {
            let mut seen = Seen::default();
            seen.with_own(self.own);
            (MemberRecord::default(), seen)
        });
        if let Some(result) = same_file(&record, parts) {
            return Ok((result, None));
        }
        let before = record.clone();
        // A load that is taken up again: its row is taken out and put in once more.
        record.forget(|change, row| change == self.own && row == parts.fact.row);
        let hinted = match self.hinted(parts)? {
            Ok(hinted) => hinted,
            Err(reason) if scrutiny == Scrutiny::Feed => return Ok((RowResult::Held(reason), None)),
            Err(_) => parts.person_key,
        };
        if scrutiny == Scrutiny::Feed
            && let Some(reason) = self.doubt(parts, &record, &seen, hinted)?
        {
            return Ok((RowResult::Held(reason), None));
        }
        let effect = record.state(parts.fact.clone(), parts.attributes.clone(), parts.stated_by, &seen);
        let tied = self.newly_tied(parts, &record, hinted)?;
        let effect = if tied.is_some() && effect == Effect::Unchanged { Effect::Changed } else { effect };
        if tied.is_none() && record == before && !is_new {
            return Ok((RowResult::Taken(effect), None));
        }
        Ok((RowResult::Taken(effect), Some(Write { record, tied })))
    }

    /// Why this may be another person.
    fn doubt(
        &self,
        parts: &Parts,
        record: &MemberRecord,
        seen: &Seen,
        hinted: Option<u64>,
    ) -> Result<Option<HeldReason>, StoreError> {
        if let (Some(person), Some(hinted)) = (record.person, hinted)
            && person.key != hinted
        {
            return Ok(Some(HeldReason::PersonDiffers));
        }
        let past = record.attributes_known(Known::Now, seen).map(|fact| &fact.attributes);
        let compared = if record.person.is_some() { Compared::WithOwnPast } else { Compared::WithUntiedPast };
        if let Some(reason) = past
            .filter(|past| **past != parts.attributes)
            .and_then(|past| mismatch(past, &parts.attributes, compared))
        {
            return Ok(Some(reason));
        }
        match (record.person, hinted) {
            (None, Some(hinted)) => Ok(self.registered(hinted, &parts.key)?.and_then(|registered| {
                mismatch(&registered, &parts.attributes, Compared::WithRegisteredPerson)
            })),
            _ => Ok(None),
        }
    }

    /// The person to tie the member to, if it is not tied so yet.
    fn newly_tied(
        &self,
        parts: &Parts,
        record: &MemberRecord,
        hinted: Option<u64>,
    ) -> Result<Option<(TieTo, Option<u64>)>, StoreError> {
        let holder = match (hinted, record.person, &parts.serial) {
            (Some(hinted), ..) => TieTo::Known(hinted),
            (None, Some(person), Some(_)) => TieTo::Known(person.key),
            (None, None, Some(_)) => TieTo::New,
            (None, _, None) => return Ok(None),
        };
        if let TieTo::Known(key) = holder
            && record.person.is_some_and(|person| person.key == key)
            && !self.tie_is_news(key, parts)?
        {
            return Ok(None);
        }
        let other = record.person.map(|person| person.key).filter(|person| holder != TieTo::Known(*person));
        Ok(Some((holder, other)))
    }

    /// Whether serial or confirmation say more than is known of a member's own person.
    fn tie_is_news(&self, key: u64, parts: &Parts) -> Result<bool, StoreError> {
        let mut holder = person(self.connection, key)?.unwrap_or_default();
        let mut seen = Seen::default();
        self.catalogue.resolve(self.connection, &mut seen, changes_of_person(&holder))?;
        seen.with_own(self.own);
        if holder.tie(&parts.key, parts.link, self.own, &seen) {
            return Ok(true);
        }
        let Some(serial) = &parts.serial else { return Ok(false) };
        let held: Option<i64> = self
            .connection
            .prepare_cached("SELECT person_key FROM card_link WHERE serial = ?1")
            .and_then(|mut statement| statement.query_row([serial.as_bytes()], |row| row.get(0)).optional())
            .map_err(engine)?;
        Ok(held != Some(key.cast_signed()))
    }

    fn write(&self, parts: &Parts, write: Write) -> Result<(), StoreError> {
        let Write { mut record, tied } = write;
        if let Some((holder, other)) = tied {
            if let Some(other) = other {
                self.with_person(other, |person, seen, own| {
                    person.untie(&parts.key, own, seen);
                })?;
            }
            let key = match holder {
                TieTo::Known(key) => key,
                TieTo::New => self.new_person()?,
            };
            match holder {
                TieTo::New => {
                    let tie =
                        Tie { member: parts.key.clone(), link: parts.link, since: self.own, until: None };
                    save_person(self.connection, key, &PersonRecord { registered: None, ties: vec![tie] })?;
                }
                TieTo::Known(_) => self.with_person(key, |person, seen, own| {
                    person.tie(&parts.key, parts.link, own, seen);
                })?,
            }
            if record.person.is_none_or(|person| person.key != key) {
                record.person = Some(Holder { key, since: self.own });
            }
            if let Some(serial) = &parts.serial {
                link_card(self.connection, serial, key, self.own)?;
            }
        }
        save_member(self.connection, &parts.key, &record)
    }

    fn with_person(
        &self,
        key: u64,
        change: impl FnOnce(&mut PersonRecord, &Seen, ChangeNumber),
    ) -> Result<(), StoreError> {
        let mut holder = person(self.connection, key)?.unwrap_or_default();
        let mut seen = Seen::default();
        self.catalogue.resolve(self.connection, &mut seen, changes_of_person(&holder))?;
        holder.forget(|change| seen.state(change) == ChangeState::GivenUp);
        seen.with_own(self.own);
        change(&mut holder, &seen, self.own);
        save_person(self.connection, key, &holder)
    }

    /// A key that no person has. Nobody else writes while this desk's transaction is open.
    fn new_person(&self) -> Result<u64, StoreError> {
        let last = match self.last_person.get() {
            Some(last) => last,
            None => self
                .connection
                .prepare_cached("SELECT coalesce(max(person_key), 0) FROM person")
                .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
                .map(i64::cast_unsigned)
                .map_err(engine)?,
        };
        self.last_person.set(Some(last + 1));
        Ok(last + 1)
    }

    fn hold(&self, parts: &Parts, reason: HeldReason) -> Result<(), StoreError> {
        let named = AttributesFact {
            change: self.own,
            row: parts.fact.row,
            stated_on: parts.fact.statement.stated_on,
            attributes: parts.attributes.clone(),
        };
        let record = MemberRecord { person: None, attributes: vec![named], facts: vec![parts.fact.clone()] };
        let reason = HeldReason::ALL.iter().position(|known| *known == reason).unwrap_or_default() as i64;
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO held_row(load, row, reason, member_key, record, person_key, serial, link,
                   stated_by, state) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    self.own.0.cast_signed(),
                    parts.fact.row.cast_signed(),
                    reason,
                    parts.key,
                    pack(&parts.key, &record),
                    parts.person_key.map(u64::cast_signed),
                    parts.serial.as_ref().map(AuthCertSerial::as_bytes),
                    i64::from(parts.link == Link::Confirmed),
                    i64::from(parts.stated_by == StatedBy::Row),
                ])
            })
            .map(|_| ())
            .map_err(engine)
    }

    /// Stages one row. Most rows of a first load are of members nobody knows: one insertion and no reading.
    fn stage(&self, parts: Parts, insert: &mut rusqlite::Statement<'_>) -> Result<RowResult, StoreError> {
        if parts.person_key.is_some() || parts.serial.is_some() {
            return self.stage_known(&parts);
        }
        let stated_by = parts.stated_by;
        let (key, mut fresh, effect) = parts.fresh();
        if insert.execute(params![key, pack(&key, &fresh)]).map_err(engine)? == 1 {
            return Ok(RowResult::Taken(effect));
        }
        match (fresh.facts.pop(), fresh.attributes.pop()) {
            (Some(fact), Some(AttributesFact { attributes, .. })) => self.stage_known(&Parts {
                key,
                person_key: None,
                serial: None,
                link: Link::NotYet,
                stated_by,
                attributes,
                fact,
            }),
            _ => Err(StoreError::Unreadable("a row of its own")),
        }
    }

    fn stage_known(&self, parts: &Parts) -> Result<RowResult, StoreError> {
        let (result, write) = self.plan(parts, self.member(&parts.key)?, Scrutiny::Feed)?;
        if let Some(write) = write {
            self.write(parts, write)?;
        }
        if let RowResult::Held(reason) = result {
            self.hold(parts, reason)?;
        }
        Ok(result)
    }

    /// The end after `last_day` of every coverage that is open then; one that would begin later never was.
    fn end(&self, key: &[u8], last_day: Day, at: UnixSeconds) -> Result<u64, StoreError> {
        let Some((mut record, seen)) = self.member(key)? else { return Ok(0) };
        record.forget(|change, row| change == self.own && row == 0);
        let today = Day::of_instant(at);
        let open: Vec<Statement> = open_coverages(&record, &seen, last_day).cloned().collect();
        let ended = open.len() as u64;
        for mut statement in open {
            if statement.from <= last_day {
                statement.to = Some(last_day);
            } else {
                statement.stands = Stands::Withdrawn;
            }
            statement.stated_on = statement.stated_on.max(today);
            record.facts.push(Fact { change: self.own, row: 0, statement });
        }
        save_member(self.connection, key, &record)?;
        Ok(ended)
    }
}

/// The statements that leave a coverage open behind `day`.
fn open_coverages<'a>(
    record: &'a MemberRecord,
    seen: &'a Seen,
    day: Day,
) -> impl Iterator<Item = &'a Statement> {
    let mut firsts: Vec<Day> = record.facts.iter().map(|fact| fact.statement.from).collect();
    firsts.sort_unstable();
    firsts.dedup();
    firsts
        .into_iter()
        .filter_map(move |from| record.deciding(from, Known::Now, seen))
        .map(|fact| &fact.statement)
        .filter(move |statement| statement.stands == Stands::Yes && statement.to.is_none_or(|to| to > day))
}

/// What an earlier row of the same file says about the same coverage and days.
fn same_file(record: &MemberRecord, parts: &Parts) -> Option<RowResult> {
    let new = &parts.fact;
    let earlier = record.facts.iter().find(|old| {
        old.change == new.change
            && old.row != new.row
            && old.statement.from == new.statement.from
            && old.statement.applies_from == new.statement.applies_from
    })?;
    Some(if earlier.statement.says_what(&new.statement) {
        RowResult::Taken(Effect::Unchanged)
    } else {
        RowResult::Contradicts { row: earlier.row }
    })
}

fn under_way(connection: &Connection, load: ChangeNumber) -> Result<bool, StoreError> {
    connection
        .prepare_cached("SELECT state FROM change WHERE number = ?1")
        .and_then(|mut statement| {
            statement.query_row([load.0.cast_signed()], |row| row.get::<_, i64>(0)).optional()
        })
        .map(|state| state == Some(0))
        .map_err(engine)
}

fn begin(connection: &Connection, order: &LoadOrder) -> Result<Begun, StoreError> {
    let insurer = intern_insurer(connection, &order.insurer, order.insurer_name.as_deref(), None)?;
    let unfinished: Option<(i64, Option<Vec<u8>>)> = connection
        .query_row(
            "SELECT number, digest FROM change WHERE state = 0 AND insurer_ref = ?1",
            [insurer.0],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .map_err(engine)?;
    if let Some((number, digest)) = unfinished {
        let number = ChangeNumber(number.cast_unsigned());
        if digest.as_deref() == Some(&order.digest[..]) {
            return Ok(Begun::Resumed(OpenLoad { number, insurer }));
        }
        match order.unfinished {
            OnUnfinished::Refuse => return Ok(Begun::OtherUnfinished { number }),
            OnUnfinished::GiveUp => give_up(connection, number)?,
        }
    }
    let last: Option<(i64, Option<Vec<u8>>, String)> = connection
        .query_row(
            "SELECT number, digest, detail FROM change WHERE state = 1 AND insurer_ref = ?1 ORDER BY place DESC LIMIT 1",
            [insurer.0],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()
        .map_err(engine)?;
    if let Some((number, Some(digest), detail)) = last
        && digest == order.digest
    {
        let counts = serde_json::from_str(&detail).map_err(|_| StoreError::Unreadable("a load's counts"))?;
        return Ok(Begun::AlreadyLoaded { number: ChangeNumber(number.cast_unsigned()), counts });
    }
    let number = changes::begin(connection, What::Feed, Some(insurer), Some(&order.digest), order.at)?;
    Ok(Begun::New(OpenLoad { number, insurer }))
}

impl FeedStore for SqliteStore {
    fn begin_load(&self, order: &LoadOrder) -> Result<Begun, StoreError> {
        self.write(|transaction| begin(transaction, order))
    }

    fn stage(&self, load: &OpenLoad, rows: Vec<FeedRow>) -> Result<Vec<RowResult>, StoreError> {
        self.write(|transaction| {
            if !under_way(transaction, load.number)? {
                return Err(StoreError::NotUnderWay);
            }
            let desk = Desk {
                connection: transaction,
                catalogue: &self.catalogue,
                own: load.number,
                last_person: Cell::new(None),
            };
            let mut insert = transaction
                .prepare_cached("INSERT INTO member VALUES(?1, ?2) ON CONFLICT DO NOTHING")
                .map_err(engine)?;
            rows.into_iter().map(|row| desk.stage(Parts::of(row, load), &mut insert)).collect()
        })
    }

    fn rehearse(&self, insurer: &InsurerNumber, rows: Vec<FeedRow>) -> Result<Vec<RowResult>, StoreError> {
        self.read(|connection| {
            // No load has this number, and no insurer this reference.
            let own = ChangeNumber(u64::MAX);
            let of = insurer_ref(connection, insurer)?;
            let load = OpenLoad { number: own, insurer: of.unwrap_or(InsurerRef(u32::MAX)) };
            let desk = Desk { connection, catalogue: &self.catalogue, own, last_person: Cell::new(None) };
            rows.into_iter()
                .map(|row| {
                    let parts = Parts::of(row, &load);
                    Ok(desk.plan(&parts, desk.member(&parts.key)?, Scrutiny::Feed)?.0)
                })
                .collect()
        })
    }

    fn members_after(
        &self,
        insurer: &InsurerNumber,
        after: &[u8],
        limit: u32,
        day: Day,
    ) -> Result<Vec<InsuredMember>, StoreError> {
        self.read(|connection| {
            let Some(of) = insurer_ref(connection, insurer)? else { return Ok(Vec::new()) };
            let first = key_prefix(of);
            let mut end = first.clone();
            if let Some(last) = end.last_mut() {
                *last += 1;
            }
            let after = if after.is_empty() { &first[..] } else { after };
            let rows: Vec<(Vec<u8>, Vec<u8>)> = connection
                .prepare_cached(
                    "SELECT member_key, record FROM member WHERE member_key > ?1 AND member_key < ?2
                     ORDER BY member_key LIMIT ?3",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map(params![after, end, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                        .collect()
                })
                .map_err(engine)?;
            rows.into_iter()
                .map(|(key, octets)| {
                    let record = unpack(&key, &octets).ok_or(StoreError::Unreadable("a member's record"))?;
                    let mut seen = Seen::default();
                    self.catalogue.resolve(connection, &mut seen, changes_of(&record))?;
                    let open = open_coverages(&record, &seen, day).next().is_some();
                    Ok(InsuredMember { key, open })
                })
                .collect()
        })
    }

    fn stage_ends(
        &self,
        load: &OpenLoad,
        members: &[Vec<u8>],
        last_day: Day,
        at: UnixSeconds,
    ) -> Result<u64, StoreError> {
        self.write(|transaction| {
            if !under_way(transaction, load.number)? {
                return Err(StoreError::NotUnderWay);
            }
            let desk = Desk {
                connection: transaction,
                catalogue: &self.catalogue,
                own: load.number,
                last_person: Cell::new(None),
            };
            let mut ended = 0;
            for key in members.iter().filter(|key| insurer_of(key) == Some(load.insurer)) {
                ended += desk.end(key, last_day, at)?;
            }
            Ok(ended)
        })
    }

    fn end_load(
        &self,
        load: &OpenLoad,
        ending: Ending,
        at: UnixSeconds,
    ) -> Result<Option<Recorded>, StoreError> {
        self.write(|transaction| match ending {
            Ending::GivenUp => give_up(transaction, load.number).map(|()| None),
            Ending::Visible(_) if !under_way(transaction, load.number)? => Err(StoreError::NotUnderWay),
            Ending::Visible(counts) => {
                let detail = serde_json::to_string(&counts).map_err(engine)?;
                let recorded = changes::record(transaction, load.number, &detail, at)?;
                transaction
                    .execute(
                        "UPDATE insurer SET loaded_at = max(loaded_at, ?2) WHERE insurer_ref = ?1",
                        params![load.insurer.0, recorded.at.0.cast_signed()],
                    )
                    .map_err(engine)?;
                Ok(Some(recorded))
            }
        })
    }

    fn held_rows(&self, after: u64) -> Result<Vec<HeldRow>, StoreError> {
        self.read(|connection| {
            let rows: Vec<(i64, String, i64, i64, i64)> = connection
                .prepare_cached(
                    "SELECT h.number, i.insurer_number, h.load, h.row, h.reason FROM held_row h
                     JOIN change c ON c.number = h.load AND c.state = 1
                     JOIN insurer i ON i.insurer_ref = c.insurer_ref
                     WHERE h.state = 0 AND h.number > ?1 ORDER BY h.number LIMIT ?2",
                )
                .and_then(|mut statement| {
                    statement
                        .query_map(params![after.cast_signed(), HELD_AT_ONCE], |row| {
                            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                        })?
                        .collect()
                })
                .map_err(engine)?;
            rows.into_iter()
                .map(|(number, insurer, load, row, reason)| {
                    Ok(HeldRow {
                        number: number.cast_unsigned(),
                        insurer: InsurerNumber::parse(&insurer)
                            .map_err(|_| StoreError::Unreadable("an insurer number"))?,
                        load: load.cast_unsigned(),
                        row: row.cast_unsigned(),
                        reason: usize::try_from(reason)
                            .ok()
                            .and_then(|reason| HeldReason::ALL.get(reason).copied())
                            .ok_or(StoreError::Unreadable("a reason"))?,
                    })
                })
                .collect()
        })
    }

    fn settle_held(
        &self,
        number: u64,
        settlement: Settlement,
        at: UnixSeconds,
    ) -> Result<Option<RowResult>, StoreError> {
        self.write(|transaction| {
            let Some(mut parts) = held_parts(transaction, number)? else { return Ok(None) };
            let insurer = insurer_of(&parts.key).ok_or(StoreError::Unreadable("a member's key"))?;
            let change = changes::begin(transaction, What::HeldRow, Some(insurer), None, at)?;
            let mut result = RowResult::Taken(Effect::Unchanged);
            if settlement == Settlement::Release {
                parts.fact.change = change;
                let desk = Desk {
                    connection: transaction,
                    catalogue: &self.catalogue,
                    own: change,
                    last_person: Cell::new(None),
                };
                let (planned, write) = desk.plan(&parts, desk.member(&parts.key)?, Scrutiny::Released)?;
                if let Some(write) = write {
                    desk.write(&parts, write)?;
                }
                result = planned;
            }
            let word = if settlement == Settlement::Release { "released" } else { "discarded" };
            changes::record(transaction, change, &format!("held row {number} {word}"), at)?;
            transaction
                .execute(
                    "UPDATE held_row SET state = ?2, settled_by = ?3 WHERE number = ?1",
                    params![
                        number.cast_signed(),
                        if settlement == Settlement::Release { 1 } else { 2 },
                        change.0.cast_signed()
                    ],
                )
                .map_err(engine)?;
            Ok(Some(result))
        })
    }
}

fn held_parts(connection: &Connection, number: u64) -> Result<Option<Parts>, StoreError> {
    type Raw = (Vec<u8>, Vec<u8>, Option<i64>, Option<Vec<u8>>, i64, i64);
    let raw: Option<Raw> = connection
        .query_row(
            "SELECT h.member_key, h.record, h.person_key, h.serial, h.link, h.stated_by FROM held_row h
             JOIN change c ON c.number = h.load AND c.state = 1 WHERE h.number = ?1 AND h.state = 0",
            [number.cast_signed()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)),
        )
        .optional()
        .map_err(engine)?;
    let Some((key, octets, person_key, serial, link, stated_by)) = raw else { return Ok(None) };
    let unreadable = || StoreError::Unreadable("a held row");
    let mut record = unpack(&key, &octets).ok_or_else(unreadable)?;
    let fact = record.facts.pop().ok_or_else(unreadable)?;
    let AttributesFact { attributes, .. } = record.attributes.pop().ok_or_else(unreadable)?;
    Ok(Some(Parts {
        key,
        person_key: person_key.map(i64::cast_unsigned),
        serial: serial.map(|octets| AuthCertSerial::parse(&octets)).transpose().map_err(|_| unreadable())?,
        link: if link == 1 { Link::Confirmed } else { Link::NotYet },
        stated_by: if stated_by == 1 { StatedBy::Row } else { StatedBy::Arrival },
        attributes,
        fact,
    }))
}
