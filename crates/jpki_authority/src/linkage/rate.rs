//! How much a client may ask: a bucket that fills with time. Pure.

use protocol::time::UnixSeconds;

/// Seconds in which an empty bucket is full again.
const FULL_AFTER_SECONDS: u64 = 60;

/// What a client has left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    per_minute: u64,
    /// In sixtieths of a question, so that a second's worth is a whole number.
    left: u64,
    at: UnixSeconds,
    refused: u64,
}

/// What came of taking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// There was enough.
    Yes {
        /// How many takings were refused since the last that was not, the first of them left out.
        refused_before: u64,
    },
    /// There was not, and nothing was taken.
    No {
        /// Whether it is the first refusal in a row.
        first: bool,
        /// When there will be enough.
        retry_after_seconds: u64,
    },
}

impl Bucket {
    /// A full one.
    pub const fn full(per_minute: u32, now: UnixSeconds) -> Self {
        let per_minute = per_minute as u64;
        Self { per_minute, left: per_minute * FULL_AFTER_SECONDS, at: now, refused: 0 }
    }

    /// Takes `count` questions. More than a whole minute's worth is taken from a full bucket only, and
    /// leaves it empty: a batch that was agreed in size is answered whatever the rate.
    pub fn take(&mut self, count: u32, now: UnixSeconds) -> Taken {
        let full = self.per_minute * FULL_AFTER_SECONDS;
        self.left = self.left.saturating_add(now.since(self.at).saturating_mul(self.per_minute)).min(full);
        // A clock that was set back gives nothing, and takes nothing away.
        self.at = now;
        let wanted = (u64::from(count) * FULL_AFTER_SECONDS).min(full);
        if wanted <= self.left {
            self.left -= wanted;
            let refused_before = std::mem::take(&mut self.refused).saturating_sub(1);
            return Taken::Yes { refused_before };
        }
        self.refused += 1;
        let missing = wanted - self.left;
        let retry_after_seconds = missing.div_ceil(self.per_minute.max(1)).max(1);
        Taken::No { first: self.refused == 1, retry_after_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::entropy::Seeded;

    const NOW: UnixSeconds = UnixSeconds(1_000);

    #[test]
    fn a_minutes_worth_at_once_and_then_with_time() {
        let mut bucket = Bucket::full(30, NOW);
        assert_eq!(bucket.take(30, NOW), Taken::Yes { refused_before: 0 });
        assert_eq!(bucket.take(1, NOW), Taken::No { first: true, retry_after_seconds: 2 });
        assert_eq!(bucket.take(1, NOW.plus(1)), Taken::No { first: false, retry_after_seconds: 1 });
        assert_eq!(bucket.take(1, NOW.plus(2)), Taken::Yes { refused_before: 1 });
        assert_eq!(bucket.take(1, NOW.plus(4)), Taken::Yes { refused_before: 0 });
        // Back in time: nothing is gained.
        assert!(matches!(bucket.take(1, NOW), Taken::No { first: true, .. }));
    }

    #[test]
    fn a_batch_above_the_rate_takes_everything() {
        let mut bucket = Bucket::full(10, NOW);
        assert_eq!(bucket.take(256, NOW), Taken::Yes { refused_before: 0 });
        assert_eq!(bucket.take(256, NOW.plus(59)), Taken::No { first: true, retry_after_seconds: 1 });
        assert_eq!(bucket.take(256, NOW.plus(60)), Taken::Yes { refused_before: 0 });
    }

    #[test]
    fn no_pattern_of_asking_gets_more_than_the_rate() {
        for seed in 0..200 {
            let mut entropy = Seeded::new(seed);
            let rate = 1 + u32::try_from(entropy.next_u64() % 600).unwrap();
            let mut bucket = Bucket::full(rate, NOW);
            let (mut now, mut taken) = (NOW, 0);
            for _ in 0..300 {
                now = now.plus(entropy.next_u64() % 7);
                let count = 1 + u32::try_from(entropy.next_u64() % u64::from(rate)).unwrap();
                match bucket.take(count, now) {
                    Taken::Yes { .. } => taken += u64::from(count),
                    Taken::No { retry_after_seconds, .. } => {
                        // The promise is kept to the second.
                        let mut then = bucket.clone();
                        let after = now.plus(retry_after_seconds);
                        assert!(matches!(then.take(count, after), Taken::Yes { .. }), "seed {seed}");
                        let before = now.plus(retry_after_seconds - 1);
                        assert!(
                            matches!(bucket.clone().take(count, before), Taken::No { .. }),
                            "seed {seed}"
                        );
                    }
                }
                let most = u64::from(rate) * (60 + now.since(NOW)) / 60;
                assert!(taken <= most, "seed {seed}: {taken} of {most}");
            }
        }
    }
}
