//! The nonce for the next touch: kept from the last answer, fetched while the patient reads if there is
//! none, never used twice.

use protocol::statement::FreshnessNonce;
use protocol::time::UnixSeconds;
use std::sync::{Mutex, PoisonError};

/// A nonce is not used in the last seconds of its life: it has to arrive fresh.
pub const MARGIN_SECONDS: u64 = 20;

/// A nonce and the second from which on it is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreshNonce {
    nonce: FreshnessNonce,
    until: UnixSeconds,
}

impl FreshNonce {
    /// A nonce that came at `now` and is good for `validity_seconds`.
    pub const fn received(nonce: FreshnessNonce, now: UnixSeconds, validity_seconds: u64) -> Self {
        Self { nonce, until: now.plus(validity_seconds.saturating_sub(MARGIN_SECONDS)) }
    }

    /// The nonce itself.
    pub const fn nonce(&self) -> FreshnessNonce {
        self.nonce
    }
}

/// Keeps at most one nonce.
#[derive(Debug, Default)]
pub struct NonceBook(Mutex<Option<FreshNonce>>);

impl NonceBook {
    fn with<T>(&self, act: impl FnOnce(&mut Option<FreshNonce>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a nonce. A newer one replaces an older.
    pub fn keep(&self, fresh: FreshNonce) {
        self.with(|kept| *kept = Some(fresh));
    }

    /// Takes back a nonce that no card signed, unless a newer one came meanwhile.
    pub fn put_back(&self, unspent: FreshNonce) {
        self.with(|kept| {
            kept.get_or_insert(unspent);
        });
    }

    /// Whether the kept nonce will still be fresh `seconds` after `now`.
    pub fn lasts(&self, now: UnixSeconds, seconds: u64) -> bool {
        self.with(|kept| kept.is_some_and(|fresh| now.plus(seconds) < fresh.until))
    }

    /// Takes the nonce out, if it is fresh at `now`. One that is not is thrown away.
    pub fn take(&self, now: UnixSeconds) -> Option<FreshNonce> {
        self.with(Option::take).filter(|fresh| now < fresh.until)
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
        let keep = |validity| book.keep(FreshNonce::received(nonce, now, validity));
        let take = |after| book.take(now.plus(after)).map(|fresh| fresh.nonce());
        assert_eq!(take(0), None);
        keep(300);
        assert!(book.lasts(now, 279) && !book.lasts(now, 280));
        assert_eq!(take(279), Some(nonce));
        assert_eq!(take(279), None, "once");
        keep(300);
        assert_eq!(take(280), None);
        assert_eq!(take(0), None, "an old one is not kept for a clock that goes back");
        keep(5);
        assert_eq!(take(0), None, "shorter than the margin");
    }

    #[test]
    fn an_unspent_nonce_comes_back_but_not_over_a_newer_one() {
        let book = NonceBook::default();
        let now = UnixSeconds(1_000);
        let [old, new] =
            [1, 2].map(|octet| FreshNonce::received(FreshnessNonce([octet; NONCE_LEN]), now, 300));
        book.keep(old);
        let taken = book.take(now).unwrap();
        book.put_back(taken);
        assert_eq!(book.take(now), Some(old));
        book.keep(new);
        book.put_back(old);
        assert_eq!(book.take(now), Some(new));
    }
}
