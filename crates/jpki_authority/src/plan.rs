//! When each list is due: pure arithmetic, the same after every restart.
//!
//! Everything about a period is published within it, but not at once: list number `i` of `n` has its turn
//! `i/n` of the period after the first. A large authority signs all the time instead of all together, and
//! relying parties do not all come in the same second.

use crate::store::{ListForm, ListName, ListScope};
use protocol::time::UnixSeconds;

/// Periods and number of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Seconds from one complete list of a scope to the next; at least 1.
    pub complete_seconds: u64,
    /// Seconds from one delta of a scope to the next; at least 1.
    pub delta_seconds: u64,
    /// Shards, besides the list of everything.
    pub shards: u16,
}

impl Plan {
    /// Every list there is, everything first.
    pub fn names(&self) -> impl Iterator<Item = ListName> {
        let scopes = std::iter::once(ListScope::Everything).chain((0..self.shards).map(ListScope::Shard));
        scopes.flat_map(|scope| {
            [ListForm::Complete, ListForm::Delta].into_iter().map(move |form| ListName { scope, form })
        })
    }

    fn period(&self, form: ListForm) -> u64 {
        match form {
            ListForm::Complete => self.complete_seconds.max(1),
            ListForm::Delta => self.delta_seconds.max(1),
        }
    }

    /// Seconds from the start of a period to this list's turn.
    fn phase(&self, name: ListName) -> u64 {
        let place = match name.scope {
            ListScope::Everything => 0,
            ListScope::Shard(shard) => u64::from(shard) + 1,
        };
        // Below the period, because the place is below the count.
        place.saturating_mul(self.period(name.form)) / (u64::from(self.shards) + 1)
    }

    /// How many turns this list has had up to `at`.
    fn turns(&self, name: ListName, at: UnixSeconds) -> u64 {
        at.0.saturating_sub(self.phase(name)) / self.period(name.form)
    }

    /// Whether a list whose last issue was at `last` has had its turn since.
    pub fn is_due(&self, name: ListName, last: Option<UnixSeconds>, now: UnixSeconds) -> bool {
        last.is_none_or(|last| last > now || self.turns(name, now) > self.turns(name, last))
    }

    /// Seconds from `now` to the next turn of any list; at least 1.
    pub fn seconds_to_next(&self, now: UnixSeconds) -> u64 {
        self.names()
            .map(|name| {
                let next = (self.turns(name, now) + 1) * self.period(name.form) + self.phase(name);
                next.saturating_sub(now.0)
            })
            .min()
            .unwrap_or(1)
            .max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { complete_seconds: 600, delta_seconds: 60, shards: 5 };

    fn complete(scope: ListScope) -> ListName {
        ListName { scope, form: ListForm::Complete }
    }

    #[test]
    fn every_list_has_one_turn_in_every_period_and_they_are_spread() {
        let start = 1_763_773_200_u64 / 600 * 600;
        let mut at_once = std::collections::BTreeMap::<u64, usize>::new();
        for name in PLAN.names().filter(|name| name.form == ListForm::Complete) {
            let mut last = Some(UnixSeconds(start + 599));
            let mut issued = Vec::new();
            for second in start + 600..start + 1_200 {
                if PLAN.is_due(name, last, UnixSeconds(second)) {
                    issued.push(second);
                    last = Some(UnixSeconds(second));
                }
            }
            assert_eq!(issued.len(), 1, "{name:?}");
            *at_once.entry(issued[0]).or_default() += 1;
        }
        // Six scopes, six different seconds, 100 apart.
        let seconds: Vec<u64> = at_once.keys().map(|second| second - start - 600).collect();
        assert_eq!(seconds, [0, 100, 200, 300, 400, 500]);
    }

    #[test]
    fn what_was_never_issued_or_comes_from_the_future_is_due() {
        let name = complete(ListScope::Shard(4));
        assert!(PLAN.is_due(name, None, UnixSeconds(5)));
        assert!(PLAN.is_due(name, Some(UnixSeconds(9)), UnixSeconds(5)));
        assert!(!PLAN.is_due(name, Some(UnixSeconds(5)), UnixSeconds(5)));
    }

    #[test]
    fn the_pause_ends_at_the_next_turn() {
        let start = 1_763_773_200_u64 / 600 * 600;
        assert_eq!(PLAN.seconds_to_next(UnixSeconds(start)), 10);
        assert_eq!(PLAN.seconds_to_next(UnixSeconds(start + 9)), 1);
        assert_eq!(PLAN.seconds_to_next(UnixSeconds(start + 10)), 10);
        let alone = Plan { complete_seconds: 600, delta_seconds: 600, shards: 0 };
        assert_eq!(alone.seconds_to_next(UnixSeconds(start)), 600);
        assert_eq!(alone.names().count(), 2);
        // A phase is always within the period, whatever the numbers.
        let odd = Plan { complete_seconds: 1, delta_seconds: 1, shards: 511 };
        assert!(odd.names().all(|name| odd.phase(name) == 0));
    }
}
