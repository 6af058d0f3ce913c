//! The system's random numbers behind [`protocol::entropy::Entropy`].

use protocol::entropy::Entropy;

/// Random bytes from AWS-LC's generator, seeded by the kernel. Good for keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// Fills `destination`.
    ///
    /// # Panics
    /// If the generator fails, which AWS-LC documents as unrecoverable: going on with bytes that are
    /// not random would hand out guessable keys and nonces, so the thread stops instead.
    fn fill(&mut self, destination: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "never continue with bytes that are not random")]
        aws_lc_rs::rand::fill(destination).expect("the random number generator of AWS-LC failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_fills_differ_and_cover_the_whole_buffer() {
        let mut first = [0_u8; 4096];
        let mut second = [0_u8; 4096];
        SystemEntropy.fill(&mut first);
        SystemEntropy.fill(&mut second);
        assert_ne!(first, second);
        // 4096 random bytes contain every byte value 16 times on average; a missed half would show.
        for half in first.chunks(2048) {
            let distinct: std::collections::BTreeSet<u8> = half.iter().copied().collect();
            assert!(distinct.len() > 240, "{} distinct values", distinct.len());
        }
    }
}
