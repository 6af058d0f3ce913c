//! The nonce for the next touch: kept from the last answer, fetched while the patient reads if there is
//! none, never used twice.

use protocol::statement::FreshnessNonce;
use protocol::time::UnixSeconds;
use std::sync::{Mutex, PoisonError};

/// A nonce is not used in the last seconds of its life: it has to arrive fresh.
pub const MARGIN_SECONDS: u64 = 20;

/// Keeps at most one nonce.
#[derive(Debug, Default)]
pub struct NonceBook(Mutex<Option<(FreshnessNonce, UnixSeconds)>>);

impl NonceBook {
    fn with<T>(&self, act: impl FnOnce(&mut Option<(FreshnessNonce, UnixSeconds)>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a nonce that came at `now` and is good for `validity_seconds`. A newer one replaces an older.
    pub fn keep(&self, nonce: FreshnessNonce, now: UnixSeconds, validity_seconds: u64) {
        let until = now.plus(validity_seconds.saturating_sub(MARGIN_SECONDS));
        self.with(|kept| *kept = Some((nonce, until)));
    }

    /// Whether the kept nonce will still be fresh `seconds` after `now`.
    pub fn lasts(&self, now: UnixSeconds, seconds: u64) -> bool {
        self.with(|kept| kept.is_some_and(|(_, until)| now.plus(seconds) <= until))
    }

    /// Takes the nonce out, if it is fresh at `now`. One that is not is thrown away.
    pub fn take(&self, now: UnixSeconds) -> Option<FreshnessNonce> {
        self.with(Option::take).filter(|(_, until)| now <= *until).map(|(nonce, _)| nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::statement::NONCE_LEN;

    #[test]
    fn a_nonce_is_given_once_and_not_in_its_last_seconds() {
        let book = NonceBook::default();
        let nonce = FreshnessNonce([1; NONCE_LEN]);
        let now = UnixSeconds(1_000);
        assert_eq!(book.take(now), None);
        book.keep(nonce, now, 300);
        assert!(book.lasts(now, 280) && !book.lasts(now, 281));
        assert_eq!(book.take(now.plus(280)), Some(nonce));
        assert_eq!(book.take(now.plus(280)), None, "once");
        book.keep(nonce, now, 300);
        assert_eq!(book.take(now.plus(281)), None);
        assert_eq!(book.take(now), None, "an old one is not kept for a clock that goes back");
        book.keep(nonce, now, 5);
        assert_eq!(book.take(now.plus(1)), None, "shorter than the margin");
    }
}
