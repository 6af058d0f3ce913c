//! What a load run drives, as a TOML file.

use serde::Deserialize;
use std::path::Path;

/// One load run.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// Cards with keys of their own; every touch is signed by one of them.
    pub(crate) cards: usize,
    /// Cards that the platform knows in all; the rest are rows without a key.
    pub(crate) linked_cards: u64,
    /// Terminals, each with a certificate and one kept connection of its own.
    pub(crate) terminals: usize,
    /// Arrivals per second, open loop.
    pub(crate) rate_per_second: f64,
    /// Seconds that are driven but not counted.
    pub(crate) warmup_seconds: f64,
    /// Seconds that are counted.
    pub(crate) seconds: f64,
}

impl Profile {
    /// Reads and bounds a profile: everything is pre-signed and nonces live five minutes, so a run has
    /// to fit.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let profile: Self = chassis::config::load(path, "KAZASU_LOAD")?;
        let checks = profile.checks();
        anyhow::ensure!(profile.cards > 0 && profile.terminals > 0, "cards and terminals must be at least 1");
        anyhow::ensure!(
            profile.rate_per_second > 0.0 && profile.seconds > 0.0,
            "rate and seconds must be positive"
        );
        anyhow::ensure!(profile.warmup_seconds >= 0.0, "warmup_seconds must not be negative");
        anyhow::ensure!(
            checks <= 300_000,
            "{checks} checks would have to be signed before the run and their nonces would expire: at most 300000"
        );
        anyhow::ensure!(
            profile.cards <= 10_000 && profile.terminals <= 2_000,
            "at most 10000 cards and 2000 terminals"
        );
        Ok(profile)
    }

    /// How many checks the run makes, warm-up included.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded and positive, see read"
    )]
    pub(crate) fn checks(&self) -> usize {
        (self.rate_per_second * (self.seconds + self.warmup_seconds)).ceil() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_good() {
        for name in ["smoke.toml", "morning.toml", "quiet.toml"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/load").join(name);
            let profile = Profile::read(&path).unwrap();
            assert!(profile.checks() > 1000);
        }
    }
}
