//! A member's record in octets: about 70 for one coverage, so that ten million people fit into a small machine.
//!
//! Version 1: numbers as LEB128 (signed ones in zigzag), texts with their length before them, days as the distance
//! to the coverage's first day where they are near it, optional fields by a bit each. Symbol, number and branch
//! are left out where the member's key has them already ([`key_of`]). A reader refuses what it does not know.

use super::{
    Attributes, AttributesFact, ChangeNumber, Day, Expense, Fact, Holder, InsuredNumbers, InsurerRef,
    KindRef, MemberRecord, Sex, Stands, Statement, Terms,
};
use crate::store::Link;
use crate::ties::{PersonRecord, Tie};
use protocol::answer::Relation;

const VERSION: u8 = 1;
/// How attributes stand in a record: the same ones stated again cost one octet.
const SPELT_OUT: u8 = 0;
const SAME_AS_BEFORE: u8 = 1;
/// Between symbol, number and branch in a key: no control character is allowed in any of them.
const SEPARATOR: char = '\u{1f}';
/// Before an insurer's own member number in a key.
const OWN_NUMBER: u8 = 0x1e;

const TO: u64 = 1;
const APPLIES_FROM: u64 = 1 << 1;
const APPLIES_TO: u64 = 1 << 2;
const WITHDRAWN: u64 = 1 << 3;
const DEPENDANT: u64 = 1 << 4;
const NUMBERS: u64 = 1 << 5;
const LIMIT: u64 = 1 << 6;
const DISEASE: u64 = 1 << 7;
const EXPENSES: u64 = 1 << 8;
const KNOWN_FLAGS: u64 = (EXPENSES << 1) - 1;

/// The key of a member without an insurer's own number: insurer, symbol, number, branch.
pub fn key_of(insurer: InsurerRef, numbers: &InsuredNumbers) -> Vec<u8> {
    let InsuredNumbers { symbol, number, branch } = numbers;
    let mut key = Vec::with_capacity(8 + symbol.len() + number.len() + branch.len());
    put(&mut key, u64::from(insurer.0));
    key.extend_from_slice(symbol.as_bytes());
    key.push(SEPARATOR as u8);
    key.extend_from_slice(number.as_bytes());
    key.push(SEPARATOR as u8);
    key.extend_from_slice(branch.as_bytes());
    key
}

/// The key of a member whom the insurer has under a number of its own.
pub fn key_of_own_number(insurer: InsurerRef, number: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(6 + number.len());
    put(&mut key, u64::from(insurer.0));
    key.push(OWN_NUMBER);
    key.extend_from_slice(number.as_bytes());
    key
}

/// The octets that every key of this insurer's members begins with, and no other insurer's.
pub fn key_prefix(insurer: InsurerRef) -> Vec<u8> {
    let mut key = Vec::with_capacity(5);
    put(&mut key, u64::from(insurer.0));
    key
}

/// The insurer of a member's key.
pub fn insurer_of(key: &[u8]) -> Option<InsurerRef> {
    let mut reader = Reader(key);
    u32::try_from(reader.number()?).ok().map(InsurerRef)
}

/// A key without its insurer: what names the member within it.
pub fn suffix_of(key: &[u8]) -> &[u8] {
    let insurer = key.iter().take_while(|octet| **octet >= 0x80).count() + 1;
    key.get(insurer..).unwrap_or_default()
}

/// The numbers in a key made by [`key_of`].
fn numbers_of(key: &[u8]) -> Option<InsuredNumbers> {
    let mut reader = Reader(key);
    reader.number()?;
    let text = std::str::from_utf8(reader.0).ok()?;
    let mut parts = text.split(SEPARATOR);
    let mut part = || parts.next().map(str::to_owned);
    Some(InsuredNumbers { symbol: part()?, number: part()?, branch: part()? })
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_near(out: &mut Vec<u8>, day: Day, near: Day) {
    put_signed(out, i64::from(day.number()) - i64::from(near.number()));
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            let part = u64::from(octet & 0x7f);
            value |= part << shift;
            // The tenth octet has room for one bit.
            if (part << shift) >> shift != part {
                return None;
            }
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    fn day(&mut self) -> Option<Day> {
        Day::from_number(self.signed()?)
    }

    fn near(&mut self, near: Day) -> Option<Day> {
        Day::from_number(self.signed()?.checked_add(i64::from(near.number()))?)
    }

    fn maybe<T>(&mut self, there: bool, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if there { read(self).map(Some) } else { Some(None) }
    }

    fn many<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        // Every item has at least one octet: a count that lies does not reserve memory.
        let mut items = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Some(items)
    }
}

/// The octets of a record under its key.
pub fn pack(key: &[u8], record: &MemberRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.push(VERSION);
    match record.person {
        None => out.push(0),
        Some(Holder { key, since }) => {
            out.push(1);
            put(&mut out, key);
            put(&mut out, since.0);
        }
    }
    put(&mut out, record.attributes.len() as u64);
    let mut before = None;
    for fact in &record.attributes {
        put(&mut out, fact.change.0);
        put(&mut out, fact.row);
        put_signed(&mut out, i64::from(fact.stated_on.number()));
        if before == Some(&fact.attributes) {
            out.push(SAME_AS_BEFORE);
        } else {
            out.push(SPELT_OUT);
            pack_person_attributes(&mut out, &fact.attributes);
        }
        before = Some(&fact.attributes);
    }
    put(&mut out, record.facts.len() as u64);
    let in_key = numbers_of(key);
    for fact in &record.facts {
        put(&mut out, fact.change.0);
        put(&mut out, fact.row);
        pack_statement(&mut out, &fact.statement, in_key.as_ref());
    }
    out
}

fn pack_person_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    put_text(out, &attributes.name);
    put_text(out, &attributes.name_kana);
    put_signed(out, i64::from(attributes.birth_date.number()));
    out.push(match attributes.sex {
        Sex::NotStated => 0,
        Sex::Male => 1,
        Sex::Female => 2,
        Sex::Other => 3,
    });
}

fn pack_statement(out: &mut Vec<u8>, statement: &Statement, in_key: Option<&InsuredNumbers>) {
    let terms = &statement.terms;
    let flag = |is: bool, bit: u64| if is { bit } else { 0 };
    let numbers_differ = in_key != Some(&terms.numbers);
    put(
        out,
        flag(statement.to.is_some(), TO)
            | flag(statement.applies_from.is_some(), APPLIES_FROM)
            | flag(statement.applies_to.is_some(), APPLIES_TO)
            | flag(statement.stands == Stands::Withdrawn, WITHDRAWN)
            | flag(terms.relation == Relation::Dependant, DEPENDANT)
            | flag(numbers_differ, NUMBERS)
            | flag(terms.limit_class.is_some(), LIMIT)
            | flag(terms.specific_disease.is_some(), DISEASE)
            | flag(!terms.expenses.is_empty(), EXPENSES),
    );
    let from = statement.from;
    put_signed(out, i64::from(from.number()));
    put_near(out, statement.stated_on, from);
    for day in [statement.to, statement.applies_from, statement.applies_to].into_iter().flatten() {
        put_near(out, day, from);
    }
    put(out, u64::from(terms.kind.0));
    out.push(terms.copay_percent);
    if numbers_differ {
        let InsuredNumbers { symbol, number, branch } = &terms.numbers;
        [symbol, number, branch].into_iter().for_each(|text| put_text(out, text));
    }
    for text in [&terms.limit_class, &terms.specific_disease].into_iter().flatten() {
        put_text(out, text);
    }
    if !terms.expenses.is_empty() {
        put(out, terms.expenses.len() as u64);
        for expense in &terms.expenses {
            put_text(out, &expense.payer);
            put_text(out, &expense.recipient);
            put(out, flag(expense.from.is_some(), 1) | flag(expense.to.is_some(), 2));
            for day in [expense.from, expense.to].into_iter().flatten() {
                put_near(out, day, from);
            }
        }
    }
}

/// The record in these octets; `None` if they are not one of this version.
pub fn unpack(key: &[u8], octets: &[u8]) -> Option<MemberRecord> {
    let mut reader = Reader(octets);
    if reader.octet()? != VERSION {
        return None;
    }
    let person = match reader.octet()? {
        0 => None,
        1 => Some(Holder { key: reader.number()?, since: ChangeNumber(reader.number()?) }),
        _ => return None,
    };
    let mut before = None;
    let attributes = reader.many(|reader| {
        let fact = unpack_attributes(reader, before.take())?;
        before = Some(fact.attributes.clone());
        Some(fact)
    })?;
    let in_key = numbers_of(key);
    let facts = reader.many(|reader| {
        Some(Fact {
            change: ChangeNumber(reader.number()?),
            row: reader.number()?,
            statement: unpack_statement(reader, in_key.as_ref())?,
        })
    })?;
    reader.0.is_empty().then_some(MemberRecord { person, attributes, facts })
}

fn unpack_attributes(reader: &mut Reader<'_>, before: Option<Attributes>) -> Option<AttributesFact> {
    Some(AttributesFact {
        change: ChangeNumber(reader.number()?),
        row: reader.number()?,
        stated_on: reader.day()?,
        attributes: match reader.octet()? {
            SPELT_OUT => unpack_person_attributes(reader)?,
            SAME_AS_BEFORE => before?,
            _ => return None,
        },
    })
}

fn unpack_person_attributes(reader: &mut Reader<'_>) -> Option<Attributes> {
    Some(Attributes {
        name: reader.text()?,
        name_kana: reader.text()?,
        birth_date: reader.day()?,
        sex: match reader.octet()? {
            0 => Sex::NotStated,
            1 => Sex::Male,
            2 => Sex::Female,
            3 => Sex::Other,
            _ => return None,
        },
    })
}

fn unpack_statement(reader: &mut Reader<'_>, in_key: Option<&InsuredNumbers>) -> Option<Statement> {
    let flags = reader.number()?;
    if flags & !KNOWN_FLAGS != 0 {
        return None;
    }
    let has = |bit: u64| flags & bit != 0;
    let from = reader.day()?;
    let stated_on = reader.near(from)?;
    let to = reader.maybe(has(TO), |reader| reader.near(from))?;
    let applies_from = reader.maybe(has(APPLIES_FROM), |reader| reader.near(from))?;
    let applies_to = reader.maybe(has(APPLIES_TO), |reader| reader.near(from))?;
    let kind = KindRef(u32::try_from(reader.number()?).ok()?);
    let copay_percent = reader.octet()?;
    let numbers = if has(NUMBERS) {
        InsuredNumbers { symbol: reader.text()?, number: reader.text()?, branch: reader.text()? }
    } else {
        in_key?.clone()
    };
    let limit_class = reader.maybe(has(LIMIT), Reader::text)?;
    let specific_disease = reader.maybe(has(DISEASE), Reader::text)?;
    let expenses =
        reader.maybe(has(EXPENSES), |reader| reader.many(|reader| unpack_expense(reader, from)))?;
    Some(Statement {
        from,
        to,
        stands: if has(WITHDRAWN) { Stands::Withdrawn } else { Stands::Yes },
        applies_from,
        applies_to,
        stated_on,
        terms: Terms {
            numbers,
            kind,
            relation: if has(DEPENDANT) { Relation::Dependant } else { Relation::Insured },
            copay_percent,
            limit_class,
            specific_disease,
            expenses: expenses.unwrap_or_default(),
        },
    })
}

fn unpack_expense(reader: &mut Reader<'_>, near: Day) -> Option<Expense> {
    let (payer, recipient) = (reader.text()?, reader.text()?);
    let flags = reader.number()?;
    if flags > 3 {
        return None;
    }
    let from = reader.maybe(flags & 1 != 0, |reader| reader.near(near))?;
    let to = reader.maybe(flags & 2 != 0, |reader| reader.near(near))?;
    Some(Expense { payer, recipient, from, to })
}

const HAS_REGISTERED: u8 = 1;
const TIE_CONFIRMED: u64 = 1;
const TIE_CLOSED: u64 = 2;

/// The octets of a person's record.
pub fn pack_person(person: &PersonRecord) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.push(VERSION);
    match &person.registered {
        None => out.push(0),
        Some(attributes) => {
            out.push(HAS_REGISTERED);
            pack_person_attributes(&mut out, attributes);
        }
    }
    put(&mut out, person.ties.len() as u64);
    for tie in &person.ties {
        let confirmed = if tie.link == Link::Confirmed { TIE_CONFIRMED } else { 0 };
        put(&mut out, confirmed | if tie.until.is_some() { TIE_CLOSED } else { 0 });
        put(&mut out, tie.member.len() as u64);
        out.extend_from_slice(&tie.member);
        put(&mut out, tie.since.0);
        if let Some(until) = tie.until {
            put(&mut out, until.0);
        }
    }
    out
}

/// The person's record in these octets; `None` if they are not one of this version.
pub fn unpack_person(octets: &[u8]) -> Option<PersonRecord> {
    let mut reader = Reader(octets);
    if reader.octet()? != VERSION {
        return None;
    }
    let registered = match reader.octet()? {
        0 => None,
        HAS_REGISTERED => Some(unpack_person_attributes(&mut reader)?),
        _ => return None,
    };
    let ties = reader.many(|reader| {
        let flags = reader.number()?;
        if flags & !(TIE_CONFIRMED | TIE_CLOSED) != 0 {
            return None;
        }
        let length = usize::try_from(reader.number()?).ok()?;
        let (member, rest) = reader.0.split_at_checked(length)?;
        reader.0 = rest;
        let since = ChangeNumber(reader.number()?);
        let until = reader.maybe(flags & TIE_CLOSED != 0, |reader| reader.number().map(ChangeNumber))?;
        let link = if flags & TIE_CONFIRMED != 0 { Link::Confirmed } else { Link::NotYet };
        Some(Tie { member: member.to_vec(), link, since, until })
    })?;
    reader.0.is_empty().then_some(PersonRecord { registered, ties })
}

#[cfg(test)]
mod tests;
