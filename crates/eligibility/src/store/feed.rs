//! What a feed needs of the store: a load is begun, staged in pieces that no answer sees, and becomes visible as a
//! whole by one small write, or never.

use super::{Link, StoreError};
use crate::history::packed::{key_of, key_of_own_number};
use crate::history::{Attributes, ChangeNumber, Day, Effect, InsurerRef, Recorded, StatedBy, Statement};
use protocol::ids::{AuthCertSerial, InsurerNumber};
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};

/// One row of a feed, read and checked: no engine knows more of a file than this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedRow {
    /// Which line of the file it began on; 1 is the first.
    pub row: u64,
    /// The insurer's own number of the member, where it sends one.
    pub own_number: Option<String>,
    /// The platform's key of the person, where the insurer was told it.
    pub person_key: Option<u64>,
    /// Serial of the person's authentication certificate, where the insurer has it.
    pub serial: Option<AuthCertSerial>,
    /// Whether the insurer confirms that member and person are one.
    pub link: Link,
    /// What it says of the person.
    pub attributes: Attributes,
    /// What it says of the coverage.
    pub statement: Statement,
    /// How the statement got its day.
    pub stated_by: StatedBy,
}

impl FeedRow {
    /// Key of the member's record: the insurer's own number of the member, or symbol, number and branch.
    pub fn member_key(&self, insurer: InsurerRef) -> Vec<u8> {
        match &self.own_number {
            Some(number) => key_of_own_number(insurer, number),
            None => key_of(insurer, &self.statement.terms.numbers),
        }
    }
}

/// Why a row is held for somebody to look at, instead of being applied.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldReason {
    /// The birth date is not the registered person's.
    BirthDateDiffers,
    /// The sex is not.
    SexDiffers,
    /// Neither name nor kana are.
    NameDiffers,
    /// The member is tied to another person than the row names.
    PersonDiffers,
}

impl HeldReason {
    /// Every reason.
    pub const ALL: [Self; 4] =
        [Self::BirthDateDiffers, Self::SexDiffers, Self::NameDiffers, Self::PersonDiffers];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BirthDateDiffers => "birth_date_differs",
            Self::SexDiffers => "sex_differs",
            Self::NameDiffers => "name_differs",
            Self::PersonDiffers => "person_differs",
        }
    }
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowResult {
    /// It was taken.
    Taken(Effect),
    /// It is held.
    Held(HeldReason),
    /// An earlier row of the same file says something else about the same coverage and days.
    Contradicts {
        /// That row.
        row: u64,
    },
}

/// How a file is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedMode {
    /// Only what changed: whoever is not in it stays as known.
    Difference,
    /// Everybody: whoever is not in it is counted, and ended if the order says so.
    Full,
}

impl FeedMode {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Difference => "difference",
            Self::Full => "full",
        }
    }
}

/// How many rows a load had, and what became of them. Every row is in exactly one count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// Coverages that were not known.
    pub added: u64,
    /// Coverages or attributes that changed.
    pub changed: u64,
    /// Coverages that got a last day, or an earlier one.
    pub ended: u64,
    /// Coverages taken back.
    pub withdrawn: u64,
    /// Rows recorded though a later statement was known.
    pub late: u64,
    /// Rows that said what was known.
    pub unchanged: u64,
    /// Rows held for somebody to look at.
    pub held: u64,
    /// Rows that cannot be taken.
    pub rejected: u64,
    /// Members that the file does not have and whose coverages were ended; not rows of the file.
    pub missing_ended: u64,
}

impl Counts {
    /// Counts one row.
    pub const fn count(&mut self, result: RowResult) {
        self.rows += 1;
        match result {
            RowResult::Taken(Effect::Added) => self.added += 1,
            RowResult::Taken(Effect::Changed) => self.changed += 1,
            RowResult::Taken(Effect::Ended) => self.ended += 1,
            RowResult::Taken(Effect::Withdrawn) => self.withdrawn += 1,
            RowResult::Taken(Effect::Late) => self.late += 1,
            RowResult::Taken(Effect::Unchanged) => self.unchanged += 1,
            RowResult::Held(_) => self.held += 1,
            RowResult::Contradicts { .. } => self.rejected += 1,
        }
    }

    /// Rows that changed what is known.
    pub const fn applied(&self) -> u64 {
        self.added + self.changed + self.ended + self.withdrawn + self.late
    }

    /// Whether `rows = applied + unchanged + held + rejected`.
    pub const fn reconcile(&self) -> bool {
        self.rows == self.applied() + self.unchanged + self.held + self.rejected
    }
}

/// A load that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadOrder {
    /// Whose rows these are.
    pub insurer: InsurerNumber,
    /// The insurer's name; keeps the known one if left out.
    pub insurer_name: Option<String>,
    /// SHA-256 of the content, and of the way it is meant.
    pub digest: [u8; 32],
    /// Now.
    pub at: UnixSeconds,
    /// What to do about another load of this insurer that was begun and never finished.
    pub unfinished: OnUnfinished,
}

/// What to do about another load that was begun and never finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnUnfinished {
    /// Refuse to begin.
    Refuse,
    /// Give it up: nothing of it ever becomes visible.
    GiveUp,
}

/// A load under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenLoad {
    /// Its number.
    pub number: ChangeNumber,
    /// Whose.
    pub insurer: InsurerRef,
}

/// How a load began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It is new.
    New(OpenLoad),
    /// The same content was begun before and not finished: it is taken up again.
    Resumed(OpenLoad),
    /// The same content is what this insurer loaded last: there is nothing to do.
    AlreadyLoaded {
        /// The number of that load.
        number: ChangeNumber,
        /// What it counted.
        counts: Counts,
    },
    /// Another load of this insurer was begun and not finished.
    OtherUnfinished {
        /// Its number.
        number: ChangeNumber,
    },
}

/// How a load ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It becomes visible as a whole.
    Visible(Counts),
    /// Nothing of it ever does.
    GivenUp,
}

/// A row that is held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldRow {
    /// Its number.
    pub number: u64,
    /// The insurer.
    pub insurer: InsurerNumber,
    /// The load that brought it.
    pub load: u64,
    /// Where it stood in the file.
    pub row: u64,
    /// Why.
    pub reason: HeldReason,
}

/// What somebody decided about a held row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settlement {
    /// It is right: apply it.
    Release,
    /// It is wrong: drop it.
    Discard,
}

/// A member that a full file may have left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InsuredMember {
    /// Key of the record.
    pub key: Vec<u8>,
    /// Whether a coverage of theirs is in force on the day asked about, or later.
    pub open: bool,
}

/// The store as a feed sees it. Every method is atomic.
pub trait FeedStore: Send + Sync {
    /// Begins a load, or finds out why there is none to begin.
    fn begin_load(&self, order: &LoadOrder) -> Result<Begun, StoreError>;
    /// Stages rows under a load: durable, and seen by nobody. Rows that were staged before stay as they are.
    fn stage(&self, load: &OpenLoad, rows: Vec<FeedRow>) -> Result<Vec<RowResult>, StoreError>;
    /// What staging these rows would do; writes nothing.
    fn rehearse(&self, insurer: &InsurerNumber, rows: Vec<FeedRow>) -> Result<Vec<RowResult>, StoreError>;
    /// Up to `limit` members of this insurer in the order of their keys, behind `after`.
    fn members_after(
        &self,
        insurer: &InsurerNumber,
        after: &[u8],
        limit: u32,
        day: Day,
    ) -> Result<Vec<InsuredMember>, StoreError>;
    /// Stages the end, after `last_day`, of every coverage of these members that is open then.
    fn stage_ends(
        &self,
        load: &OpenLoad,
        members: &[Vec<u8>],
        last_day: Day,
        at: UnixSeconds,
    ) -> Result<u64, StoreError>;
    /// Ends a load; what was recorded when, if it became visible.
    fn end_load(
        &self,
        load: &OpenLoad,
        ending: Ending,
        at: UnixSeconds,
    ) -> Result<Option<Recorded>, StoreError>;
    /// Rows that are held, oldest first, behind `after`; at most 1,000.
    fn held_rows(&self, after: u64) -> Result<Vec<HeldRow>, StoreError>;
    /// Settles a held row; `None` if there is none of this number, or it is settled.
    fn settle_held(
        &self,
        number: u64,
        settlement: Settlement,
        at: UnixSeconds,
    ) -> Result<Option<RowResult>, StoreError>;
}
