//! What ties a person to the members that insurers have them as, pure: ties are closed, never changed.

use crate::history::{Attributes, ChangeNumber, Known, Visibility};
use crate::store::Link;

/// One member tied to a person.
#[derive(Clone, PartialEq, Eq)]
pub struct Tie {
    /// Key of the member's record.
    pub member: Vec<u8>,
    /// Whether the insurer has confirmed that it is this person.
    pub link: Link,
    /// The change that made it.
    pub since: ChangeNumber,
    /// The change that ended it.
    pub until: Option<ChangeNumber>,
}

impl std::fmt::Debug for Tie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Tie({:?}, since {}, until {:?})",
            self.link,
            self.since.0,
            self.until.map(|change| change.0)
        )
    }
}

/// Everything that was ever tied to one person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PersonRecord {
    /// The person as registered before any insurer had a coverage for them.
    pub registered: Option<Attributes>,
    /// Ties, oldest first.
    pub ties: Vec<Tie>,
}

impl PersonRecord {
    /// Ties that hold as far as is known.
    pub fn holding(&self, known: Known, visibility: &impl Visibility) -> impl Iterator<Item = &Tie> {
        let seen = move |change| visibility.recorded(change).is_some_and(|recorded| known.admits(recorded));
        self.ties.iter().filter(move |tie| seen(tie.since) && !tie.until.is_some_and(&seen))
    }

    /// Ties a member, unless it is tied so already; a tie that was not confirmed and is now gets closed and
    /// made anew. Says whether anything changed.
    pub fn tie(
        &mut self,
        member: &[u8],
        link: Link,
        change: ChangeNumber,
        visibility: &impl Visibility,
    ) -> bool {
        let held = self.holding(Known::Now, visibility).find(|tie| tie.member == member);
        match held {
            Some(held) if held.link == link || held.link == Link::Confirmed => return false,
            Some(held) => {
                let (member, since) = (held.member.clone(), held.since);
                self.close(&member, since, change);
            }
            None => {}
        }
        self.ties.push(Tie { member: member.to_vec(), link, since: change, until: None });
        true
    }

    fn close(&mut self, member: &[u8], since: ChangeNumber, change: ChangeNumber) {
        for tie in self.ties.iter_mut().filter(|tie| tie.member == member && tie.since == since) {
            tie.until = Some(change);
        }
    }

    /// Closes the tie to a member. Says whether there was one.
    pub fn untie(&mut self, member: &[u8], change: ChangeNumber, visibility: &impl Visibility) -> bool {
        let held: Vec<ChangeNumber> = self
            .holding(Known::Now, visibility)
            .filter(|tie| tie.member == member)
            .map(|tie| tie.since)
            .collect();
        for since in &held {
            self.close(member, *since, change);
        }
        !held.is_empty()
    }

    /// Drops what changes that were given up left behind.
    pub fn forget(&mut self, given_up: impl Fn(ChangeNumber) -> bool) {
        self.ties.retain(|tie| !given_up(tie.since));
        for tie in &mut self.ties {
            tie.until = tie.until.filter(|change| !given_up(*change));
        }
    }
}
