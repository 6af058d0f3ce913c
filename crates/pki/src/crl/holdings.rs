//! All the lists that a relying party has in force: complete ones, parts, deltas laid over them. A value that is
//! never changed, only succeeded: whoever shares it swaps one for the next, and nobody who reads waits.

use super::coverage::PlaceId;
use super::index::{CrlProblem, IndexAnswer, RevocationIndex, VerifiedList};
use crate::revocation::{Status, UnknownCause};
use crate::validate::{IssuerKeyId, PathGood};
use protocol::time::UnixSeconds;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Lists by who issued them and what they speak of.
#[derive(Clone, Default)]
pub struct RevocationHoldings {
    lists: Vec<Arc<RevocationIndex>>,
    /// Places in `lists` of those that are of no particular place.
    placeless: HashMap<IssuerKeyId, Vec<usize>>,
    /// Places in `lists` by the names of their distribution points.
    by_place: HashMap<(IssuerKeyId, PlaceId), Vec<usize>>,
}

/// What has become of a list that was offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is in force now.
    New,
    /// What it says was in force already.
    Nothing,
}

impl fmt::Debug for RevocationHoldings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RevocationHoldings").field(&self.lists).finish()
    }
}

impl RevocationHoldings {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is in force after `offered`, and whether that is something else than before.
    ///
    /// A complete list takes the place of the one of the same issuer and scope; a delta brings that one up to date.
    ///
    /// # Errors
    /// [`CrlProblem::OlderThanKnown`]: an older one than is in force. [`CrlProblem::DeltaWithoutBase`]: a delta
    /// for no list that is here.
    pub fn with(&self, offered: VerifiedList) -> Result<(Self, Change), CrlProblem> {
        let (place, list) = match offered {
            VerifiedList::Complete(newer) => {
                let place = self.place_of(|held| held.is_of_same_scope(&newer));
                match place.and_then(|place| self.lists.get(place)) {
                    Some(held) => (place, held.succeeded_by(newer)?),
                    None => (None, Some(newer)),
                }
            }
            VerifiedList::Delta(delta) => {
                let place = self.place_of(|held| held.is_changed_by(&delta));
                let held = place.and_then(|place| self.lists.get(place));
                let held = held.ok_or(CrlProblem::DeltaWithoutBase { base: delta.base() })?;
                let news = held.number() != delta.number();
                (place, if news { Some(held.updated(&delta)?) } else { None })
            }
        };
        let Some(list) = list else { return Ok((self.clone(), Change::Nothing)) };
        let mut next = self.clone();
        next.put(place, Arc::new(list));
        Ok((next, Change::New))
    }

    fn place_of(&self, fits: impl Fn(&RevocationIndex) -> bool) -> Option<usize> {
        self.lists.iter().position(|held| fits(held))
    }

    fn put(&mut self, place: Option<usize>, list: Arc<RevocationIndex>) {
        if let Some(held) = place.and_then(|place| self.lists.get_mut(place)) {
            // Same issuer, same scope: the ways to it stay.
            *held = list;
            return;
        }
        let place = self.lists.len();
        let issuer = list.issuer_key_id();
        match list.coverage().places() {
            None => self.placeless.entry(issuer).or_default().push(place),
            Some(names) => {
                for name in names {
                    self.by_place.entry((issuer, *name)).or_default().push(place);
                }
            }
        }
        self.lists.push(list);
    }

    /// The lists in force, in the order in which they first came.
    pub fn lists(&self) -> impl Iterator<Item = &RevocationIndex> {
        self.lists.iter().map(AsRef::as_ref)
    }

    /// What the lists say of the certificate behind `path`, and from which of them; `None` if none is here that
    /// speaks of it. Of several, one that revokes it wins, then the newest that can be used.
    pub fn answer(&self, path: &PathGood, now: UnixSeconds, age_seconds_max: u64) -> Option<IndexAnswer> {
        let issuer = path.issuer_key_id();
        let placed = path.places().iter().filter_map(|place| self.by_place.get(&(issuer, *place)));
        let places = self.placeless.get(&issuer).into_iter().chain(placed).flatten();
        let lists = places.filter_map(|place| self.lists.get(*place));
        let answers = lists.map(|list| list.answer_for(path, now, age_seconds_max));
        let telling = answers.filter(|answer| answer.status != Status::Unknown(UnknownCause::OtherScope));
        telling.max_by_key(|answer| (weight(&answer.status), answer.this_update))
    }

    /// [`Self::answer`] without where it comes from.
    pub fn status_of(&self, path: &PathGood, now: UnixSeconds, age_seconds_max: u64) -> Status {
        let none = if self.lists.iter().any(|list| list.issuer_key_id() == path.issuer_key_id()) {
            UnknownCause::OtherScope
        } else {
            UnknownCause::NoList
        };
        self.answer(path, now, age_seconds_max).map_or(Status::Unknown(none), |answer| answer.status)
    }
}

const fn weight(status: &Status) -> u8 {
    match status {
        Status::Unknown(_) => 0,
        Status::Stale { .. } => 1,
        // Between these two the newer speaks: a hold can begin and end.
        Status::Good { .. } | Status::Hold { .. } => 2,
        Status::Revoked { .. } => 3,
    }
}

#[cfg(test)]
#[path = "holdings_tests.rs"]
mod tests;
