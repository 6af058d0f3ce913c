//! What linking needs of the store: who holds a card, who is which member, and changes of both that can be undone.

use super::StoreError;
use crate::history::ChangeNumber;
use protocol::ids::AuthCertSerial;
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};

/// Why links are changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkCause {
    /// A certificate was renewed: the new serial leads where the old one does.
    Renewal,
    /// A serial led to the wrong person.
    Correction,
    /// Two records are one human.
    Merge,
    /// One record is two humans.
    Split,
    /// An earlier change is taken back.
    Undo,
}

impl LinkCause {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Renewal => "renewal",
            Self::Correction => "correction",
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Undo => "undo",
        }
    }
}

/// What is moved from one person to another.
#[derive(Clone, PartialEq, Eq)]
pub enum Moved {
    /// A card, by the serial of its authentication certificate.
    Card(AuthCertSerial),
    /// A member of an insurer, by the key of the record.
    Member(Vec<u8>),
}

impl std::fmt::Debug for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Card(_) => "Card(****)",
            Self::Member(_) => "Member(****)",
        })
    }
}

/// One step of a change. `None` is nobody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkStep {
    /// What is moved.
    pub moved: Moved,
    /// Whose it is before.
    pub before: Option<u64>,
    /// Whose it is after.
    pub after: Option<u64>,
}

/// A change of links that waits for somebody's confirmation; answers are as if it did not exist.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// Its number.
    pub number: u64,
    /// Why.
    pub cause: LinkCause,
    /// Cards it moves.
    pub cards: u64,
    /// Members it moves.
    pub members: u64,
    /// When it was proposed.
    pub proposed_at: UnixSeconds,
}

/// What became of a change of links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkOutcome {
    /// It is done.
    Done,
    /// There is none of this number that waits, or that could be undone.
    Unknown,
    /// Something it concerns was changed by somebody else meanwhile: nothing was done.
    Overtaken,
}

/// The store as linking sees it. Every method is atomic; every change has a number and a row of its own.
pub trait LinkStore: Send + Sync {
    /// Whom each serial leads to now.
    fn holders(&self, serials: &[AuthCertSerial]) -> Result<Vec<Option<u64>>, StoreError>;
    /// Every card and member of a person now.
    fn belongings(&self, person: u64) -> Result<Vec<Moved>, StoreError>;
    /// A key for a person who is about to be made.
    fn fresh_person(&self) -> Result<u64, StoreError>;
    /// Keeps a change aside until it is confirmed.
    fn propose(
        &self,
        cause: LinkCause,
        steps: &[LinkStep],
        at: UnixSeconds,
    ) -> Result<ChangeNumber, StoreError>;
    /// Changes that wait, oldest first.
    fn proposals(&self) -> Result<Vec<Proposal>, StoreError>;
    /// Makes a proposal take effect, if everything is still as it was when it was proposed.
    fn confirm(&self, proposal: ChangeNumber, at: UnixSeconds) -> Result<LinkOutcome, StoreError>;
    /// Gives a proposal up.
    fn drop_proposal(&self, proposal: ChangeNumber) -> Result<LinkOutcome, StoreError>;
    /// Takes a change of links back by another change, if nothing it concerned was changed since.
    fn undo(&self, change: ChangeNumber, at: UnixSeconds) -> Result<LinkOutcome, StoreError>;
}
