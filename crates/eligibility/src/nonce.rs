//! Stateless freshness: a nonce is random bytes, an expiry and a tag that only this platform can make,
//! bound to one terminal. Nothing is stored for it; replay is the counter's business ([`crate::replay`]).

use aws_lc_rs::hmac;
use protocol::entropy::Entropy;
use protocol::ids::TerminalKeyHash;
use protocol::statement::{FreshnessNonce, NONCE_LEN};
use protocol::time::UnixSeconds;

const DOMAIN: &[u8] = b"KAZASU-NONCE-v1";
/// Octets of the HMAC-SHA-256 tag that travel: 128 bits (RFC 2104 §5 allows truncation to half).
const TAG_LEN: usize = 16;

/// Why a nonce is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NonceProblem {
    /// Another terminal's, another platform's, or altered.
    #[error("the nonce was not made here for this terminal")]
    Foreign,
    /// Past its expiry.
    #[error("the nonce expired {seconds} s ago")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
}

/// Makes and checks nonces.
pub struct NonceMint {
    mac_key: hmac::Key,
    validity_seconds: u64,
}

impl std::fmt::Debug for NonceMint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NonceMint(…)")
    }
}

impl NonceMint {
    /// A mint with a secret of 32 octets; nonces are good for `validity_seconds`.
    pub fn new(secret: &[u8; 32], validity_seconds: u64) -> Self {
        Self { mac_key: hmac::Key::new(hmac::HMAC_SHA256, secret), validity_seconds }
    }

    /// How long a fresh nonce is good, in seconds.
    pub const fn validity_seconds(&self) -> u64 {
        self.validity_seconds
    }

    fn context(&self, random_and_expiry: &[u8], terminal: &TerminalKeyHash) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.mac_key);
        context.update(DOMAIN);
        context.update(random_and_expiry);
        context.update(&terminal.0);
        context
    }

    /// A fresh nonce for `terminal`.
    pub fn mint(
        &self,
        terminal: &TerminalKeyHash,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> FreshnessNonce {
        let mut random = [0u8; 16];
        entropy.fill(&mut random);
        let mut bytes = Vec::with_capacity(NONCE_LEN);
        bytes.extend_from_slice(&random);
        bytes.extend_from_slice(&now.plus(self.validity_seconds).0.to_be_bytes());
        let tag = self.context(&bytes, terminal).sign();
        bytes.extend(tag.as_ref().iter().take(TAG_LEN));
        let mut nonce = [0u8; NONCE_LEN];
        for (to, from) in nonce.iter_mut().zip(bytes) {
            *to = from;
        }
        FreshnessNonce(nonce)
    }

    /// Checks tag first and expiry second, so that nothing about a foreign nonce is said.
    pub fn check(
        &self,
        nonce: &FreshnessNonce,
        terminal: &TerminalKeyHash,
        now: UnixSeconds,
    ) -> Result<(), NonceProblem> {
        let (signed, tag) = nonce.0.split_at(NONCE_LEN - TAG_LEN);
        let expected = self.context(signed, terminal).sign();
        let expected = expected.as_ref().get(..TAG_LEN).ok_or(NonceProblem::Foreign)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(expected, tag)
            .map_err(|_| NonceProblem::Foreign)?;
        let expiry = signed.last_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or(NonceProblem::Foreign)?;
        if now.0 > expiry { Err(NonceProblem::Expired { seconds: now.0 - expiry }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::entropy::Seeded;

    const T: TerminalKeyHash = TerminalKeyHash([1; 32]);

    #[test]
    fn good_until_its_last_second_and_for_its_terminal_only() {
        let mint = NonceMint::new(&[7; 32], 300);
        let nonce = mint.mint(&T, UnixSeconds(1000), &mut Seeded::new(1));
        assert_eq!(mint.check(&nonce, &T, UnixSeconds(1299)), Ok(()));
        assert_eq!(mint.check(&nonce, &T, UnixSeconds(1300)), Ok(()));
        assert_eq!(mint.check(&nonce, &T, UnixSeconds(1301)), Err(NonceProblem::Expired { seconds: 1 }));
        assert_eq!(
            mint.check(&nonce, &TerminalKeyHash([2; 32]), UnixSeconds(1000)),
            Err(NonceProblem::Foreign)
        );
        let other = NonceMint::new(&[8; 32], 300);
        assert_eq!(other.check(&nonce, &T, UnixSeconds(1000)), Err(NonceProblem::Foreign));
    }

    #[test]
    fn every_flipped_bit_is_foreign() {
        let mint = NonceMint::new(&[7; 32], 300);
        let nonce = mint.mint(&T, UnixSeconds(1000), &mut Seeded::new(1));
        for bit in 0..NONCE_LEN * 8 {
            let mut altered = nonce;
            altered.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(mint.check(&altered, &T, UnixSeconds(1000)), Err(NonceProblem::Foreign), "bit {bit}");
        }
    }
}
