//! Coverage as history, pure: what insurers stated, when it applies, and when we learnt of it.
//!
//! Two times, never mixed:
//! - **valid time**: civil days in Japan, both ends included;
//! - **recorded time**: the number of the [change](ChangeNumber) that brought a fact, and the place and instant at
//!   which that change became visible ([`Recorded`]).
//!
//! Facts are only ever appended. What counts on a day is found anew for every question: of all facts about one
//! coverage that were visible, the one with the latest *statement day* of the insurer wins, and of those the one
//! recorded last. So a file that arrives late does not undo a newer one, in whatever order the two came, and an
//! older version stays readable for whoever asks what was known then.
//!
//! A coverage is named by its insurer, its member and its first day. A fact states it whole: its last day (or that
//! it never was), and the terms for the days on which they apply. Facts of different insurers never replace each
//! other: where they overlap, the answer is a [`Conflict`].

pub mod day;
pub mod packed;
#[cfg(test)]
mod tests;
pub mod view;

pub use day::Day;
pub use view::{Conflict, InForce, Names, Period, in_force};

use protocol::answer::Relation;
use protocol::time::UnixSeconds;

/// Number of a load or of another change to what is known. Numbers rise for ever; a change that came to
/// nothing leaves a gap.
#[doc(alias = "変更番号")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChangeNumber(pub u64);

/// When a change became visible.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Recorded {
    /// Its place among all visible changes: rises by one.
    pub place: u64,
    /// The instant.
    pub at: UnixSeconds,
}

/// Which changes are visible at all. A load that is under way, or was given up, is not.
pub trait Visibility {
    /// When this change became visible; `None` if it is not.
    fn recorded(&self, change: ChangeNumber) -> Option<Recorded>;
}

/// How far the asker's knowledge reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// Everything that is visible.
    Now,
    /// What was visible when the change of this place had become so.
    Through(u64),
    /// What was visible at this instant.
    At(UnixSeconds),
}

impl Known {
    /// Whether a change recorded then is part of it.
    pub fn admits(self, recorded: Recorded) -> bool {
        match self {
            Self::Now => true,
            Self::Through(place) => recorded.place <= place,
            Self::At(instant) => recorded.at <= instant,
        }
    }
}

/// The pair every question about coverage is asked with.
#[doc(alias = "基準時点")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsOf {
    /// The day of the visit.
    pub visit: Day,
    /// What is taken as known.
    pub known: Known,
}

impl AsOf {
    /// A visit on `day`, with everything that is known now.
    pub const fn visit(day: Day) -> Self {
        Self { visit: day, known: Known::Now }
    }
}

/// Recorded sex, as the live code list has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sex {
    /// 0 or empty: not stated.
    NotStated,
    /// 1.
    Male,
    /// 2.
    Female,
    /// 3.
    Other,
}

/// What an insurer says of the person.
#[derive(Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Name.
    pub name: String,
    /// Name in kana.
    pub name_kana: String,
    /// Birth date.
    pub birth_date: Day,
    /// Sex.
    pub sex: Sex,
}

impl std::fmt::Debug for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attributes(****)")
    }
}

/// A public expense, with its own days inside the coverage's.
#[derive(Clone, PartialEq, Eq)]
pub struct Expense {
    /// Who pays, 8 digits.
    pub payer: String,
    /// The person's number there, up to 7 characters.
    pub recipient: String,
    /// First day, where it has one of its own.
    pub from: Option<Day>,
    /// Last day, where it is known.
    pub to: Option<Day>,
}

impl std::fmt::Debug for Expense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expense(****)")
    }
}

/// Kind of insurance: a reference into the store's list of kinds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KindRef(pub u32);

/// An insurer: a reference into the store's list of insurers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InsurerRef(pub u32);

/// Symbol, number and branch under which an insurer has somebody.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InsuredNumbers {
    /// Symbol; may be empty.
    pub symbol: String,
    /// Number.
    pub number: String,
    /// Branch; empty where the insurer has none.
    pub branch: String,
}

impl std::fmt::Debug for InsuredNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InsuredNumbers(****)")
    }
}

/// What a coverage is worth on the days on which these terms apply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Symbol, number, branch.
    pub numbers: InsuredNumbers,
    /// Kind of insurance.
    pub kind: KindRef,
    /// Insured or dependant.
    pub relation: Relation,
    /// What the patient pays, in percent.
    pub copay_percent: u8,
    /// Class of the monthly limit.
    pub limit_class: Option<String>,
    /// Class of a specific disease.
    pub specific_disease: Option<String>,
    /// Public expenses.
    pub expenses: Vec<Expense>,
}

/// Whether a stated coverage is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stands {
    /// It is, or was.
    Yes,
    /// The insurer takes it back: it never was.
    Withdrawn,
}

/// What an insurer states about one coverage of one member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// First day of the coverage: with insurer and member, its name.
    pub from: Day,
    /// Last day, where it is known.
    pub to: Option<Day>,
    /// Whether it stands.
    pub stands: Stands,
    /// First day of these terms; the coverage's if left out.
    pub applies_from: Option<Day>,
    /// Last day of these terms; the coverage's if left out.
    pub applies_to: Option<Day>,
    /// The day on which the insurer stated it.
    pub stated_on: Day,
    /// The terms.
    pub terms: Terms,
}

impl Statement {
    /// Whether the two say the same about the same coverage and the same days, whenever they were stated.
    pub fn says_what(&self, other: &Self) -> bool {
        self.from == other.from
            && self.to == other.to
            && self.stands == other.stands
            && self.applies_from == other.applies_from
            && self.applies_to == other.applies_to
            && self.terms == other.terms
    }

    /// Whether its terms are for this day.
    pub fn applies_on(&self, day: Day) -> bool {
        self.stands == Stands::Yes
            && self.applies_from.is_none_or(|from| from <= day)
            && self.applies_to.is_none_or(|to| day <= to)
    }
}

/// A statement and the change that brought it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// The change.
    pub change: ChangeNumber,
    /// Row of the file it stood in; 0 where there was no file.
    pub row: u64,
    /// What was stated.
    pub statement: Statement,
}

/// Attributes and the change that brought them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributesFact {
    /// The change.
    pub change: ChangeNumber,
    /// Row of the file it stood in; 0 where there was no file.
    pub row: u64,
    /// The day on which the insurer stated them.
    pub stated_on: Day,
    /// The attributes.
    pub attributes: Attributes,
}

/// Whose member record it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The platform's key of the person.
    pub key: u64,
    /// The change that tied the member to them.
    pub since: ChangeNumber,
}

/// All that was ever stated of one member of one insurer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemberRecord {
    /// The person, once something ties the member to one.
    pub person: Option<Holder>,
    /// What was said of the person, oldest change first.
    pub attributes: Vec<AttributesFact>,
    /// What was said of the coverage, oldest change first.
    pub facts: Vec<Fact>,
}

/// What one statement did to what is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// A coverage that was not known.
    Added,
    /// Other terms, other days, or other attributes.
    Changed,
    /// The coverage has a last day that it had not, or an earlier one.
    Ended,
    /// The coverage is taken back.
    Withdrawn,
    /// Recorded, but a later statement was here before it.
    Late,
    /// Nothing new.
    Unchanged,
}

/// How a statement got its day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatedBy {
    /// The insurer's row says so: saying the same again on a later day is worth recording.
    Row,
    /// It is the day of arrival: the order of arrival counts.
    Arrival,
}

impl MemberRecord {
    /// The fact that decides about the coverage that begins on `from`: latest statement, then latest record.
    pub fn deciding(&self, from: Day, known: Known, visibility: &impl Visibility) -> Option<&Fact> {
        self.admitted(known, visibility)
            .filter(|(_, fact)| fact.statement.from == from)
            .max_by_key(|(place, fact)| (fact.statement.stated_on, *place, fact.row))
            .map(|(_, fact)| fact)
    }

    /// The attributes that count.
    pub fn attributes_known(&self, known: Known, visibility: &impl Visibility) -> Option<&AttributesFact> {
        self.attributes
            .iter()
            .filter_map(|fact| Some((visibility.recorded(fact.change)?, fact)))
            .filter(|(recorded, _)| known.admits(*recorded))
            .max_by_key(|(recorded, fact)| (fact.stated_on, recorded.place, fact.row))
            .map(|(_, fact)| fact)
    }

    /// Facts that are visible and known, each with its place in recorded time.
    pub fn admitted(&self, known: Known, visibility: &impl Visibility) -> impl Iterator<Item = (u64, &Fact)> {
        self.facts
            .iter()
            .filter_map(move |fact| Some((visibility.recorded(fact.change)?, fact)))
            .filter(move |(recorded, _)| known.admits(*recorded))
            .map(|(recorded, fact)| (recorded.place, fact))
    }

    /// Appends what `fact` and `attributes` state, unless it is known already, and says what that did. The
    /// record stays as it is for [`Effect::Unchanged`], except where a newer day of the same statement is
    /// recorded ([`StatedBy::Row`]).
    pub fn state(
        &mut self,
        fact: Fact,
        attributes: Attributes,
        stated_by: StatedBy,
        visibility: &impl Visibility,
    ) -> Effect {
        let other_attributes = self.state_attributes(&fact, attributes, stated_by, visibility);
        let effect = self.state_fact(fact, stated_by, visibility);
        if effect == Effect::Unchanged && other_attributes { Effect::Changed } else { effect }
    }

    /// Says whether the attributes that count are other ones now.
    fn state_attributes(
        &mut self,
        fact: &Fact,
        attributes: Attributes,
        stated_by: StatedBy,
        visibility: &impl Visibility,
    ) -> bool {
        let stated_on = fact.statement.stated_on;
        let differ = match self.attributes_known(Known::Now, visibility) {
            Some(last) if last.stated_on > stated_on => return false,
            Some(last) if last.attributes == attributes => {
                if stated_by == StatedBy::Arrival || last.stated_on == stated_on {
                    return false;
                }
                false
            }
            Some(_) | None => true,
        };
        self.attributes.push(AttributesFact { change: fact.change, row: fact.row, stated_on, attributes });
        differ
    }

    fn state_fact(&mut self, fact: Fact, stated_by: StatedBy, visibility: &impl Visibility) -> Effect {
        let new = &fact.statement;
        // The same was stated on this day or a later one: whatever is asked, that one outranks this one.
        let known_already = self
            .admitted(Known::Now, visibility)
            .any(|(_, old)| old.statement.stated_on >= new.stated_on && old.statement.says_what(new));
        let effect = match self.deciding(new.from, Known::Now, visibility) {
            None if new.stands == Stands::Withdrawn => Effect::Withdrawn,
            None => Effect::Added,
            Some(old) if old.statement.says_what(new) => {
                if stated_by == StatedBy::Row && old.statement.stated_on < new.stated_on && !known_already {
                    self.facts.push(fact);
                }
                return Effect::Unchanged;
            }
            Some(_) if known_already => return Effect::Unchanged,
            Some(old) if old.statement.stated_on > new.stated_on => Effect::Late,
            Some(old) => effect_of(&old.statement, new),
        };
        self.facts.push(fact);
        effect
    }

    /// Drops what changes and rows brought that never became visible: a load given up, or one taken up again.
    pub fn forget(&mut self, never_visible: impl Fn(ChangeNumber, u64) -> bool) {
        // A tie is no row's: taking a row up again leaves it.
        self.person = self.person.filter(|holder| !never_visible(holder.since, u64::MAX));
        self.facts.retain(|fact| !never_visible(fact.change, fact.row));
        self.attributes.retain(|fact| !never_visible(fact.change, fact.row));
    }
}

fn effect_of(old: &Statement, new: &Statement) -> Effect {
    let earlier = match (old.to, new.to) {
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
        (_, None) => false,
    };
    match (old.stands, new.stands) {
        (_, Stands::Withdrawn) => Effect::Withdrawn,
        (Stands::Withdrawn, Stands::Yes) => Effect::Added,
        (Stands::Yes, Stands::Yes) if earlier => Effect::Ended,
        (Stands::Yes, Stands::Yes) => Effect::Changed,
    }
}
