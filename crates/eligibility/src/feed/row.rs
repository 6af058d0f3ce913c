//! A record becomes a row, or a reject that names the cell. Pure.

use super::Warning;
use super::columns::{Column, Header, Need};
use super::rejects::{Reject, RejectReason};
use crate::history::{
    Attributes, Day, Expense, InsuredNumbers, KindRef, Sex, Stands, StatedBy, Statement, Terms,
};
use crate::kinds;
use crate::store::Link;
use crate::store::feed::FeedRow;
use protocol::answer::Relation;
use protocol::ids::{AuthCertSerial, InsurerNumber, luhn_holds};
use std::borrow::Cow;

const NAME_CHARS_MAX: usize = 100;
const NUMBER_CHARS_MAX: usize = 20;
const BRANCH_CHARS_MAX: usize = 2;

/// What every row of a file shares.
#[derive(Clone, Debug)]
pub struct Reading {
    header: Header,
    insurer: InsurerNumber,
    kind: KindRef,
    today: Day,
    shared_warnings: Vec<Warning>,
}

/// A row that can be taken, and what is to be said about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadRow {
    /// The row.
    pub row: FeedRow,
    /// What is taken as it is, and said.
    pub warnings: Vec<Warning>,
}

struct Cells<'a> {
    reading: &'a Reading,
    cells: &'a [Cow<'a, str>],
    row: u64,
}

impl Reading {
    /// How this insurer's rows are read on this day.
    pub fn new(header: Header, insurer: InsurerNumber, today: Day) -> Self {
        let kind = kinds::kind_of(&insurer);
        let mut shared_warnings = Vec::new();
        if !luhn_holds(insurer.as_str()) {
            shared_warnings.push(Warning::InsurerCheckDigit);
        }
        if kind == kinds::OTHER {
            shared_warnings.push(Warning::UnknownLaw);
        }
        Self { header, insurer, kind, today, shared_warnings }
    }

    /// Reads the row that begins on line `row`.
    ///
    /// # Errors
    /// A [`Reject`] with the first cell that cannot be taken.
    pub fn read(&self, row: u64, cells: &[Cow<'_, str>]) -> Result<ReadRow, Reject> {
        if cells.len() != self.header.width() {
            return Err(Reject::row(row, RejectReason::CellCount));
        }
        let cells = Cells { reading: self, cells, row };
        cells.own_insurer()?;
        let mut warnings = self.shared_warnings.clone();
        let attributes = cells.attributes(&mut warnings)?;
        let statement = cells.statement(&mut warnings)?;
        let serial = cells.serial()?;
        let link = match cells.get(Column::LinkConfirmed) {
            "" if serial.is_some() => Link::Confirmed,
            "" | "0" => Link::NotYet,
            "1" => Link::Confirmed,
            _ => return Err(cells.reject(Column::LinkConfirmed, RejectReason::Code)),
        };
        let person_key = match cells.get(Column::PersonKey) {
            "" => None,
            text => match text.parse::<i64>() {
                Ok(key) if key > 0 => Some(key.unsigned_abs()),
                _ => return Err(cells.reject(Column::PersonKey, RejectReason::Digits)),
            },
        };
        let own_number = match cells.text(Column::MemberNumber, NUMBER_CHARS_MAX)? {
            "" => None,
            number => Some(number.to_owned()),
        };
        let stated_by =
            if cells.get(Column::StatedOn).is_empty() { StatedBy::Arrival } else { StatedBy::Row };
        Ok(ReadRow {
            row: FeedRow { row, own_number, person_key, serial, link, attributes, statement, stated_by },
            warnings,
        })
    }
}

impl Cells<'_> {
    /// A cell without blanks around it; empty where the file has no such column.
    fn get(&self, column: Column) -> &str {
        let place = self.reading.header.place(column);
        place.and_then(|place| self.cells.get(place)).map_or("", |cell| cell.trim())
    }

    fn reject(&self, column: Column, reason: RejectReason) -> Reject {
        Reject::cell(self.row, column, self.get(column), reason)
    }

    fn text(&self, column: Column, chars_max: usize) -> Result<&str, Reject> {
        let text = self.get(column);
        if text.is_empty() && column.need() == Need::Every {
            return Err(self.reject(column, RejectReason::Empty));
        }
        // Octets first: hardly any cell is near its limit.
        let too_long = text.len() > chars_max && text.chars().count() > chars_max;
        if too_long || text.chars().any(char::is_control) {
            return Err(self.reject(column, RejectReason::Text));
        }
        Ok(text)
    }

    fn own_insurer(&self) -> Result<(), Reject> {
        let number = self.get(Column::InsurerNumber);
        if number == self.reading.insurer.as_str() {
            return Ok(());
        }
        let reason = match (number.is_empty(), InsurerNumber::parse(number)) {
            (true, _) => RejectReason::Empty,
            (false, Ok(_)) => RejectReason::OtherInsurer,
            (false, Err(_)) => RejectReason::Digits,
        };
        Err(self.reject(Column::InsurerNumber, reason))
    }

    fn day(&self, column: Column) -> Result<Option<Day>, Reject> {
        let text = self.get(column);
        match parse_day(text) {
            Some(day) => Ok(Some(day)),
            None if text.is_empty() || is_no_day(text) => Ok(None),
            None => Err(self.reject(column, RejectReason::NoSuchDay)),
        }
    }

    fn needed_day(&self, column: Column) -> Result<Day, Reject> {
        self.day(column)?.ok_or_else(|| {
            let reason =
                if self.get(column).is_empty() { RejectReason::Empty } else { RejectReason::NoSuchDay };
            self.reject(column, reason)
        })
    }

    fn attributes(&self, warnings: &mut Vec<Warning>) -> Result<Attributes, Reject> {
        let name = self.text(Column::Name, NAME_CHARS_MAX)?;
        if name.contains(['●', '〓', '\u{fffd}']) {
            warnings.push(Warning::PlaceholderInName);
        }
        let birth_date = self.needed_day(Column::BirthDate)?;
        if birth_date > self.reading.today {
            return Err(self.reject(Column::BirthDate, RejectReason::Future));
        }
        Ok(Attributes {
            name: name.to_owned(),
            name_kana: self.text(Column::NameKana, NAME_CHARS_MAX)?.to_owned(),
            birth_date,
            sex: match self.get(Column::Sex) {
                "" | "0" => Sex::NotStated,
                "1" | "男" => Sex::Male,
                "2" | "女" => Sex::Female,
                "3" => Sex::Other,
                _ => return Err(self.reject(Column::Sex, RejectReason::Code)),
            },
        })
    }

    fn statement(&self, warnings: &mut Vec<Warning>) -> Result<Statement, Reject> {
        let from = self.needed_day(Column::ValidFrom)?;
        let to = self.last_day()?;
        if to.is_some_and(|to| to < from) {
            let column = if self.get(Column::ValidTo).is_empty() { Column::LostOn } else { Column::ValidTo };
            return Err(self.reject(column, RejectReason::DaysReversed));
        }
        let applies_from = self.day(Column::AppliesFrom)?.filter(|day| *day != from);
        let applies_to = self.day(Column::AppliesTo)?;
        if applies_to.is_some_and(|to| to < applies_from.unwrap_or(from)) {
            return Err(self.reject(Column::AppliesTo, RejectReason::DaysReversed));
        }
        let stated_on = match self.day(Column::StatedOn)? {
            Some(day) if day > self.reading.today => {
                return Err(self.reject(Column::StatedOn, RejectReason::Future));
            }
            Some(day) => day,
            None => self.reading.today,
        };
        let stands = match self.get(Column::Operation) {
            "" | "1" => Stands::Yes,
            "9" => Stands::Withdrawn,
            _ => return Err(self.reject(Column::Operation, RejectReason::Code)),
        };
        Ok(Statement { from, to, stands, applies_from, applies_to, stated_on, terms: self.terms(warnings)? })
    }

    /// The last day: stated as such, or as the day before the one on which the coverage is lost.
    fn last_day(&self) -> Result<Option<Day>, Reject> {
        let (last, lost) = (self.day(Column::ValidTo)?, self.day(Column::LostOn)?);
        match (last, lost) {
            (Some(_), Some(_)) => Err(self.reject(Column::LostOn, RejectReason::BothFilled)),
            (Some(last), None) => Ok(Some(last)),
            (None, lost) => Ok(lost.map(|day| day.shifted(-1))),
        }
    }

    fn terms(&self, warnings: &mut Vec<Warning>) -> Result<Terms, Reject> {
        let branch = self.text(Column::Branch, BRANCH_CHARS_MAX)?;
        if !branch.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(self.reject(Column::Branch, RejectReason::Digits));
        }
        let relation = match self.get(Column::Relation) {
            "1" => Relation::Insured,
            "2" => Relation::Dependant,
            "" => return Err(self.reject(Column::Relation, RejectReason::Empty)),
            _ => return Err(self.reject(Column::Relation, RejectReason::Code)),
        };
        let code = |column: Column, good: fn(&str) -> bool| match self.get(column) {
            "" => Ok(None),
            code if good(code) => Ok(Some(code.to_owned())),
            _ => Err(self.reject(column, RejectReason::Code)),
        };
        let expenses = [
            self.expense(
                [Column::PublicPayer1, Column::PublicRecipient1, Column::PublicFrom1, Column::PublicTo1],
                warnings,
            )?,
            self.expense(
                [Column::PublicPayer2, Column::PublicRecipient2, Column::PublicFrom2, Column::PublicTo2],
                warnings,
            )?,
        ];
        Ok(Terms {
            numbers: InsuredNumbers {
                symbol: self.text(Column::Symbol, NUMBER_CHARS_MAX)?.to_owned(),
                number: self.text(Column::Number, NUMBER_CHARS_MAX)?.to_owned(),
                branch: branch.to_owned(),
            },
            kind: self.reading.kind,
            relation,
            copay_percent: self.copay()?,
            limit_class: code(Column::LimitClass, is_limit_class)?,
            specific_disease: code(Column::SpecificDisease, |code| matches!(code, "1" | "2" | "3"))?,
            expenses: expenses.into_iter().flatten().collect(),
        })
    }

    /// Percent in two or three digits, in tens: `030` is 3割, as in the live system.
    fn copay(&self) -> Result<u8, Reject> {
        let text = self.get(Column::Copay);
        if text.is_empty() {
            return Err(self.reject(Column::Copay, RejectReason::Empty));
        }
        let digits = (2..=3).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
        match text.parse::<u8>() {
            Ok(percent) if digits && percent <= 100 && percent.is_multiple_of(10) => Ok(percent),
            _ => Err(self.reject(Column::Copay, RejectReason::Code)),
        }
    }

    fn expense(
        &self,
        [payer, recipient, from, to]: [Column; 4],
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Expense>, Reject> {
        let (paid_by, received) = (self.get(payer), self.get(recipient));
        let half = match (paid_by.is_empty(), received.is_empty()) {
            (true, true) => return Ok(None),
            (true, false) => Some(payer),
            (false, true) => Some(recipient),
            (false, false) => None,
        };
        if let Some(column) = half {
            return Err(self.reject(column, RejectReason::HalfFilled));
        }
        for (column, text, digits, warning) in [
            (payer, paid_by, 8, Warning::PublicPayerCheckDigit),
            (recipient, received, 7, Warning::PublicRecipientCheckDigit),
        ] {
            if text.len() != digits || !text.bytes().all(|octet| octet.is_ascii_digit()) {
                return Err(self.reject(column, RejectReason::Digits));
            }
            if !luhn_holds(text) && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let (first, last) = (self.day(from)?, self.day(to)?);
        if let (Some(first), Some(last)) = (first, last)
            && last < first
        {
            return Err(self.reject(to, RejectReason::DaysReversed));
        }
        Ok(Some(Expense { payer: paid_by.to_owned(), recipient: received.to_owned(), from: first, to: last }))
    }

    fn serial(&self) -> Result<Option<AuthCertSerial>, Reject> {
        let text = self.get(Column::CardSerial);
        if text.is_empty() {
            return Ok(None);
        }
        hex::decode(text)
            .ok()
            .and_then(|octets| AuthCertSerial::parse(&octets).ok())
            .map(Some)
            .ok_or_else(|| self.reject(Column::CardSerial, RejectReason::Serial))
    }
}

/// Classes of the monthly limit: A01 to A06, B01 to B10.
fn is_limit_class(code: &str) -> bool {
    matches!(code.as_bytes(), [b'A', b'0', b'1'..=b'6'] | [b'B', b'0', b'1'..=b'9'] | b"B10")
}

/// What files write where a day is not known or never comes.
fn is_no_day(text: &str) -> bool {
    matches!(text, "00000000" | "99999999" | "99991231" | "9999-12-31" | "9999999" | "0000000")
}

/// `YYYYMMDD`, `YYYY-MM-DD`, `YYYY/MM/DD`, or `GYYMMDD` with the Japanese era as a digit, 1 (明治) to 5 (令和).
pub fn parse_day(text: &str) -> Option<Day> {
    if is_no_day(text) {
        return None;
    }
    let octets = text.as_bytes();
    let mut digits = [0u32; 8];
    let mut count = 0;
    for (place, octet) in octets.iter().enumerate() {
        match octet {
            b'0'..=b'9' => {
                *digits.get_mut(count)? = u32::from(octet - b'0');
                count += 1;
            }
            b'-' | b'/' if octets.len() == 10 && (place == 4 || place == 7) => {}
            _ => return None,
        }
    }
    let [d0, d1, d2, d3, d4, d5, d6, d7] = digits;
    match (octets.len(), count) {
        (8 | 10, 8) => Day::from_civil(d0 * 1000 + d1 * 100 + d2 * 10 + d3, d4 * 10 + d5, d6 * 10 + d7),
        (7, 7) => era_day(d0, d1 * 10 + d2, d3 * 10 + d4, d5 * 10 + d6),
        _ => None,
    }
}

fn era_day(era: u32, year: u32, month: u32, day: u32) -> Option<Day> {
    // Year before the first, first day, last day.
    let (before, first, last) = match era {
        1 => (1867, (1868, 1, 25), Some((1912, 7, 29))),
        2 => (1911, (1912, 7, 30), Some((1926, 12, 24))),
        3 => (1925, (1926, 12, 25), Some((1989, 1, 7))),
        4 => (1988, (1989, 1, 8), Some((2019, 4, 30))),
        5 => (2018, (2019, 5, 1), None),
        _ => return None,
    };
    if year == 0 {
        return None;
    }
    let civil = |(year, month, day): (u32, u32, u32)| Day::from_civil(year, month, day);
    let found = Day::from_civil(before + year, month, day)?;
    let begun = civil(first)? <= found;
    let lasts = last.is_none_or(|last| civil(last).is_some_and(|last| found <= last));
    (begun && lasts).then_some(found)
}

#[cfg(test)]
mod tests;
