//! Configuration of a reception desk. Nothing that decides trust has a default.

use chassis::config::TlsFiles;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the kiosk page is served, plain HTTP. Loopback only: whoever reaches it can press OK.
    pub listen: SocketAddr,
    /// Readiness and metrics, plain HTTP. Loopback or an operations network.
    pub admin_listen: SocketAddr,
    /// A reader to which emulated cards connect over TCP. Loopback only. Left out: no such reader.
    #[serde(default)]
    pub virtual_reader: Option<SocketAddr>,
    /// PC/SC readers to attach at start, each by a part of its name that only it has. One that is missing
    /// does not keep the desk from starting; it is looked for until it is there.
    #[serde(default)]
    pub pcsc_readers: Vec<String>,
    /// How long the question waits for a press, in seconds. Long enough for slow readers (WCAG 2.2 §2.2.1).
    #[serde(default = "consent_timeout_seconds")]
    pub consent_timeout_seconds: u64,
    /// How long a result stays on the screen after the card was taken, in seconds.
    #[serde(default = "result_seconds")]
    pub result_seconds: u64,
    /// How long a result stays while nobody takes the card, in seconds: then only "take your card" is left.
    #[serde(default = "result_with_card_seconds")]
    pub result_with_card_seconds: u64,
    /// How long a nonce that came with an answer is taken to be good, in seconds. The platform decides; this
    /// only keeps the desk from using one that is surely old.
    #[serde(default = "nonce_seconds")]
    pub nonce_seconds: u64,
    /// The eligibility platform.
    pub platform: PlatformConfig,
    /// The terminal's client certificate and P-256 key: this is how the platform knows the terminal.
    pub tls: TlsFiles,
    /// The Secure Element.
    pub secure_element: SecureElementConfig,
}

/// Where the platform is and whose certificate it must show.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformConfig {
    /// `https://host:port`.
    pub url: String,
    /// PEM of the CA that the platform's server certificate chains to.
    pub ca: PathBuf,
}

/// Where the emulated Secure Element is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecureElementConfig {
    /// What its issuer put in: institution keys, certificates, unlock key. Readable by its owner only.
    pub image: PathBuf,
    /// What it keeps over a power cut: counter, time floor, today's counts of cards, renewed certificates.
    /// Made at the first start.
    pub state: PathBuf,
    /// Where newer certificates of profile `eac` are put: looked at when the desk starts and at each
    /// arming, because they live for days. Left out: they are renewed in another way.
    #[serde(default)]
    pub chain: Option<PathBuf>,
}

const fn consent_timeout_seconds() -> u64 {
    90
}

const fn result_seconds() -> u64 {
    8
}

const fn result_with_card_seconds() -> u64 {
    120
}

const fn nonce_seconds() -> u64 {
    300
}

impl Config {
    /// Makes every relative path relative to `base`, the folder of the config file.
    #[must_use]
    pub fn resolved(mut self, base: &Path) -> Self {
        for path in [&mut self.platform.ca, &mut self.secure_element.image, &mut self.secure_element.state] {
            *path = base.join(&*path);
        }
        if let Some(chain) = &mut self.secure_element.chain {
            *chain = base.join(&*chain);
        }
        self.tls = self.tls.resolved(base);
        self
    }

    /// The times of the desk.
    pub const fn times(&self) -> DeskTimes {
        DeskTimes {
            consent: Duration::from_secs(self.consent_timeout_seconds),
            result_after_card: Duration::from_secs(self.result_seconds),
            result_with_card: Duration::from_secs(self.result_with_card_seconds),
            nonce_seconds: self.nonce_seconds,
        }
    }
}

/// The times of a desk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeskTimes {
    /// How long the question waits.
    pub consent: Duration,
    /// How long a result stays after the card was taken.
    pub result_after_card: Duration,
    /// How long a result stays while the card lies there.
    pub result_with_card: Duration,
    /// How long a nonce that came with an answer is taken to be good, in seconds.
    pub nonce_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../samples/terminal.toml");

    #[test]
    fn the_sample_is_a_config_and_its_paths_follow_the_file() {
        let config: Config = toml::from_str(SAMPLE).unwrap();
        assert!(config.listen.ip().is_loopback());
        let config = config.resolved(Path::new("/etc/kazasu"));
        assert!(config.tls.key.starts_with("/etc/kazasu"));
        assert!(config.secure_element.state.starts_with("/etc/kazasu"));
        assert!(config.secure_element.chain.unwrap().starts_with("/etc/kazasu"));
    }

    #[test]
    fn unknown_keys_and_missing_trust_are_refused() {
        assert!(toml::from_str::<Config>(&format!("surprise = 1\n{SAMPLE}")).is_err());
        for line in SAMPLE.lines().filter(|line| {
            ["url", "ca", "cert", "key", "image", "state", "listen"]
                .iter()
                .any(|key| line.starts_with(&format!("{key} =")))
        }) {
            let without = SAMPLE.replacen(line, "", 1);
            assert!(toml::from_str::<Config>(&without).is_err(), "{line}");
        }
    }
}
