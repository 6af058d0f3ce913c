//! A complete list, verified once, that answers by serial number, and the deltas that bring it up to date
//! (RFC 5280 §5.2.4). How entries are laid out: `super::table`; how a list is read: `super::feed`.

use super::coverage::Coverage;
use super::feed::ListFeed;
use super::table::{EntryTable, Filter};
use super::{CLOCK_DIFFERENCE_SECONDS_MAX, CrlNumber};
use crate::asn1::read::Malformed;
use crate::revocation::{RevocationReason, Status, UnknownCause};
use crate::serial::SerialNumber;
use crate::validate::{IssuerKeyId, PathGood, TrustAnchor};
use protocol::time::UnixSeconds;
use std::fmt;
use std::sync::Arc;

/// Why a list was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CrlProblem {
    /// Not DER, or not a version 2 list.
    #[error("the revocation list: {0}")]
    Malformed(#[from] Malformed),
    /// Of an issuer that is not trusted, by name or by key identifier.
    #[error("the revocation list is of an issuer that is not trusted")]
    ForeignIssuer,
    /// The issuer's certificate does not allow it to sign lists: RFC 5280 §4.2.1.3.
    #[error("the issuer may not sign revocation lists")]
    NotAListSigner,
    /// The signature is not the issuer's.
    #[error("the revocation list's signature is not its issuer's")]
    BadSignature,
    /// A critical extension that nothing here processes: RFC 5280 §5.2, §5.3.
    #[error("the revocation list has a critical extension that is not supported, at octet {offset}")]
    UnsupportedCriticalExtension {
        /// Octets from the start of the list.
        offset: usize,
    },
    /// An older list than the one already known: somebody may be hiding a revocation.
    #[error("revocation list {offered} is older than {known}, which is already known")]
    OlderThanKnown {
        /// Number of the list offered.
        offered: CrlNumber,
        /// Number of the list known.
        known: CrlNumber,
    },
    /// A delta without the complete list that it builds on: RFC 5280 §5.2.4 (c).
    #[error("a delta that builds on list {base}, which is not at hand")]
    DeltaWithoutBase {
        /// BaseCRLNumber of the delta.
        base: CrlNumber,
    },
    /// Signed with Ed25519, which needs the whole list twice (RFC 8032 §5.1.7).
    #[error("the revocation list is signed with an algorithm that cannot be checked while it is read")]
    NotInOnePass,
}

/// A list whose signature is good.
#[derive(Debug)]
pub enum VerifiedList {
    /// A complete one for its scope.
    Complete(RevocationIndex),
    /// What has changed since a complete one.
    Delta(RevocationDelta),
}

/// A complete list, verified once, that answers by serial number.
#[derive(Clone)]
pub struct RevocationIndex {
    issuer: IssuerKeyId,
    number: CrlNumber,
    /// Number of the complete list below any delta.
    complete_number: CrlNumber,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    coverage: Arc<Coverage>,
    count: usize,
    entries: Arc<EntryTable>,
    changes: Option<Changes>,
}

/// What deltas say, laid over the complete list: looked into first, so that a delta costs its own size only.
#[derive(Clone)]
struct Changes {
    entries: Arc<EntryTable>,
    filter: Arc<Filter>,
    /// The oldest complete list that these changes alone bring up to date.
    base: CrlNumber,
    /// What the newest delta builds on.
    newest_base: CrlNumber,
}

impl Changes {
    fn new(entries: Arc<EntryTable>, base: CrlNumber, newest_base: CrlNumber) -> Self {
        let filter = Arc::new(entries.filter());
        Self { entries, filter, base, newest_base }
    }
}

/// What has changed since a complete list: RFC 5280 §5.2.4. Says nothing alone; [`RevocationIndex::updated`] takes it.
pub struct RevocationDelta {
    pub(super) issuer: IssuerKeyId,
    pub(super) number: CrlNumber,
    pub(super) base: CrlNumber,
    pub(super) this_update: UnixSeconds,
    pub(super) next_update: UnixSeconds,
    pub(super) coverage: Coverage,
    /// Where the extension stands that makes it less than complete.
    pub(super) offset: usize,
    pub(super) entries: Arc<EntryTable>,
}

impl fmt::Debug for RevocationDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationDelta")
            .field("number", &self.number)
            .field("base", &self.base)
            .field("this_update", &self.this_update)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl RevocationDelta {
    /// Number of the list.
    pub const fn number(&self) -> CrlNumber {
        self.number
    }

    /// BaseCRLNumber: of the complete list that it builds on.
    pub const fn base(&self) -> CrlNumber {
        self.base
    }

    /// thisUpdate.
    pub const fn this_update(&self) -> UnixSeconds {
        self.this_update
    }
}

/// What an index says of a certificate, and what list it says it from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexAnswer {
    /// The status.
    pub status: Status,
    /// Number of the list.
    pub number: CrlNumber,
    /// thisUpdate of the list.
    pub this_update: UnixSeconds,
    /// Seconds from then to the question; 0 if the list is dated ahead.
    pub age_seconds: u64,
}

impl fmt::Debug for RevocationIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationIndex")
            .field("number", &self.number)
            .field("this_update", &self.this_update)
            .field("next_update", &self.next_update)
            .field("entries", &self.count)
            .finish_non_exhaustive()
    }
}

impl RevocationIndex {
    /// Verifies a DER list against the anchor that issued it and reads its entries, in one pass and
    /// without an object per entry: RFC 5280 §6.3.3 for a complete list of direct scope, or for such a part of
    /// one. [`ListFeed`] does the same with a list that comes in pieces, and takes deltas too.
    ///
    /// `not_older_than` is the number of the list in use, if there is one; an equal number is taken.
    ///
    /// # Errors
    /// See [`CrlProblem`]; nothing of a refused list is used.
    pub fn from_crl(
        der: &[u8],
        anchors: &[TrustAnchor],
        not_older_than: Option<CrlNumber>,
    ) -> Result<Self, CrlProblem> {
        let mut feed = ListFeed::new(anchors);
        feed.push(der)?;
        let index = match feed.finish()? {
            VerifiedList::Complete(index) => index,
            // Less than complete: nobody here knows what it builds on.
            VerifiedList::Delta(delta) => {
                return Err(CrlProblem::UnsupportedCriticalExtension { offset: delta.offset });
            }
        };
        match not_older_than.filter(|known| index.number < *known) {
            Some(known) => Err(CrlProblem::OlderThanKnown { offered: index.number, known }),
            None => Ok(index),
        }
    }

    /// From what was read of a complete list, which is what a delta holds too.
    pub(super) fn of_complete(read: RevocationDelta) -> Self {
        Self {
            issuer: read.issuer,
            number: read.number,
            complete_number: read.number,
            this_update: read.this_update,
            next_update: read.next_update,
            coverage: Arc::new(read.coverage),
            count: read.entries.len(),
            entries: read.entries,
            changes: None,
        }
    }

    /// This list brought up to date by a delta: RFC 5280 §5.2.4. Costs the delta's size, whatever the list's.
    ///
    /// # Errors
    /// The delta is of another issuer or scope ([`CrlProblem::DeltaWithoutBase`]), builds on a newer list than
    /// this one (the same), or is older than this list ([`CrlProblem::OlderThanKnown`]). One of the same number
    /// is taken: it says the same (§5.2.3).
    pub fn updated(&self, delta: &RevocationDelta) -> Result<Self, CrlProblem> {
        let without_base = CrlProblem::DeltaWithoutBase { base: delta.base };
        // (a), (b)
        if delta.issuer != self.issuer || delta.coverage != *self.coverage {
            return Err(without_base);
        }
        // (d)
        if delta.number < self.number {
            return Err(CrlProblem::OlderThanKnown { offered: delta.number, known: self.number });
        }
        // (c), on the complete list itself or on what earlier deltas have made of it.
        let changes = match &self.changes {
            _ if delta.base <= self.complete_number => {
                Changes::new(Arc::clone(&delta.entries), delta.base, delta.base)
            }
            Some(earlier) if delta.base <= self.number => {
                let entries = Arc::new(earlier.entries.overlaid(&delta.entries));
                Changes::new(entries, earlier.base, delta.base)
            }
            _ => return Err(without_base),
        };
        Ok(Self {
            number: delta.number,
            this_update: delta.this_update,
            next_update: delta.next_update,
            ..self.with_changes(Some(changes))
        })
    }

    /// The complete list `newer` in place of the one below the deltas that are here, if they are newer still:
    /// a complete list takes its time, and deltas may have passed it.
    fn below_changes_of(newer: &Self, known: &Self) -> Option<Self> {
        let changes = known.changes.as_ref()?;
        let fits = newer.complete_number > known.complete_number && changes.base <= newer.complete_number;
        fits.then(|| Self {
            number: known.number,
            this_update: known.this_update,
            next_update: known.next_update,
            ..newer.with_changes(Some(changes.clone()))
        })
    }

    /// What is to be in force after `newer` was offered where this list is; `None` if that changes nothing.
    ///
    /// # Errors
    /// [`CrlProblem::OlderThanKnown`].
    pub(super) fn succeeded_by(&self, newer: Self) -> Result<Option<Self>, CrlProblem> {
        // A complete list of the same number says what the deltas have made of the old one (§5.2.3), in one piece.
        let overtakes = newer.number == self.number && newer.number > self.complete_number;
        if newer.number > self.number || overtakes {
            return Ok(Some(newer));
        }
        if let Some(both) = Self::below_changes_of(&newer, self) {
            return Ok(Some(both));
        }
        if newer.number == self.number || newer.number == self.complete_number {
            return Ok(None);
        }
        Err(CrlProblem::OlderThanKnown { offered: newer.number, known: self.number })
    }

    fn with_changes(&self, changes: Option<Changes>) -> Self {
        let mut count = self.entries.len();
        for entry in changes.iter().flat_map(|changes| changes.entries.entries()) {
            match (entry.is_removal(), self.entries.find(&entry.serial).is_some()) {
                (true, true) => count -= 1,
                (false, false) => count += 1,
                _ => {}
            }
        }
        Self { count, changes, ..self.clone() }
    }

    /// The key that signed the list.
    pub const fn issuer_key_id(&self) -> IssuerKeyId {
        self.issuer
    }

    /// Number of the list, or of the newest delta on it.
    pub const fn number(&self) -> CrlNumber {
        self.number
    }

    /// Number of the complete list itself.
    pub const fn complete_number(&self) -> CrlNumber {
        self.complete_number
    }

    /// Whether deltas build on a newer complete list than this one already. They still fit, but what is laid
    /// over the list grows until the newer one comes.
    pub fn is_behind(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| changes.newest_base > self.complete_number)
    }

    /// Whether it speaks of every certificate of its issuer, and not only of a part.
    pub fn is_of_everything(&self) -> bool {
        self.coverage.is_everything()
    }

    pub(super) fn is_of_same_scope(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.coverage == other.coverage
    }

    pub(super) fn is_changed_by(&self, delta: &RevocationDelta) -> bool {
        self.issuer == delta.issuer && *self.coverage == delta.coverage
    }

    #[cfg(test)]
    pub(super) fn entries_for_tests(&self) -> Arc<EntryTable> {
        Arc::clone(&self.entries)
    }

    pub(super) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// thisUpdate.
    pub const fn this_update(&self) -> UnixSeconds {
        self.this_update
    }

    /// nextUpdate.
    pub const fn next_update(&self) -> UnixSeconds {
        self.next_update
    }

    /// How many certificates are listed.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is listed.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entry of a serial number: reason and date. The age of the list plays no part here.
    pub fn entry(&self, serial: &SerialNumber) -> Option<(RevocationReason, UnixSeconds)> {
        let key = serial.sort_key();
        let changes = self.changes.as_ref().filter(|changes| changes.filter.may_have(key));
        let changed = changes.and_then(|changes| changes.entries.find(key));
        let entry = match changed {
            Some(changed) if changed.is_removal() => return None,
            Some(changed) => changed,
            None => self.entries.find(key)?,
        };
        Some((RevocationReason::from_code(entry.reason.into()), UnixSeconds(entry.at.into())))
    }

    /// Status of the certificate behind `path`, checked to be one that this list speaks of.
    pub fn status_of(&self, path: &PathGood, now: UnixSeconds, age_seconds_max: u64) -> Status {
        if path.issuer_key_id() != self.issuer {
            Status::Unknown(UnknownCause::OtherIssuer)
        } else if self.coverage.includes(path.is_authority(), path.places()) {
            self.judge(path.serial(), now, age_seconds_max)
        } else {
            Status::Unknown(UnknownCause::OtherScope)
        }
    }

    /// [`Self::status_of`], with the list's number and age.
    pub fn answer_for(&self, path: &PathGood, now: UnixSeconds, age_seconds_max: u64) -> IndexAnswer {
        self.with_age(self.status_of(path, now, age_seconds_max), now)
    }

    /// [`Self::status`], with the list's number and age: a revocation says how old its source is, too.
    pub fn answer(&self, serial: &SerialNumber, now: UnixSeconds, age_seconds_max: u64) -> IndexAnswer {
        self.with_age(self.status(serial, now, age_seconds_max), now)
    }

    const fn with_age(&self, status: Status, now: UnixSeconds) -> IndexAnswer {
        IndexAnswer {
            status,
            number: self.number,
            this_update: self.this_update,
            age_seconds: now.since(self.this_update),
        }
    }

    /// Status of a serial number *of this list's issuer* at `now`, if the list may be at most
    /// `age_seconds_max` old. [`Self::status_of`] checks the issuer too.
    ///
    /// A certificate that is listed is reported as revoked or on hold from a list of any age: a policy
    /// that accepts old lists must never let it through. A newer list may have ended a hold; the old one refuses.
    /// One that a part of a list does not name may be listed in another part: its status is unknown here.
    pub fn status(&self, serial: &SerialNumber, now: UnixSeconds, age_seconds_max: u64) -> Status {
        match self.judge(serial, now, age_seconds_max) {
            Status::Good { .. } if !self.is_of_everything() => Status::Unknown(UnknownCause::OtherScope),
            status => status,
        }
    }

    fn judge(&self, serial: &SerialNumber, now: UnixSeconds, age_seconds_max: u64) -> Status {
        match self.entry(serial) {
            Some((RevocationReason::CertificateHold, since)) => return Status::Hold { since },
            Some((reason, at)) => return Status::Revoked { reason, at },
            None => {}
        }
        let ahead_seconds = self.this_update.since(now);
        if ahead_seconds > CLOCK_DIFFERENCE_SECONDS_MAX {
            return Status::Unknown(UnknownCause::FromTheFuture { ahead_seconds });
        }
        let age_seconds = now.since(self.this_update);
        let limit_seconds = age_seconds_max.min(self.next_update.since(self.this_update));
        if age_seconds > limit_seconds {
            Status::Stale { this_update: self.this_update, age_seconds, limit_seconds }
        } else {
            Status::Good { this_update: self.this_update, age_seconds }
        }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
