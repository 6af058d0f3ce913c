//! Configuration of the platform. Nothing that decides trust has a default.

use chassis::config::TlsFiles;
use protocol::answer::AllowedProfiles;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where terminals connect (mutual TLS 1.3). Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Readiness and metrics, plain HTTP: keep it on loopback or an operations network.
    pub admin_listen: SocketAddr,
    /// The SQLite file. One room, one store.
    pub store: PathBuf,
    /// Folder of the durable audit log. An answer leaves only after its record is in it.
    pub audit_log: PathBuf,
    /// The receipt log.
    pub receipts: Receipts,
    /// Folder of the platform's own keys (unlock key, nonce secret, holder-tag secret), mode 0600.
    pub keys: PathBuf,
    /// The server's certificate and P-256 key.
    pub tls: TlsFiles,
    /// PEM of the CA whose client certificates are terminals.
    pub terminal_ca: PathBuf,
    /// Where revocation status comes from and whom it is believed from.
    pub revocation: Revocation,
    /// Limits of freshness.
    #[serde(default)]
    pub freshness: Freshness,
    /// How Secure Elements are armed.
    pub unlock: Unlock,
    /// Insurers' files over the network; by hand only, if left out.
    #[serde(default)]
    pub insurer_feed: Option<crate::upload::InsurerFeed>,
}

/// The receipt log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    /// Name of the log, for ever: it stands in every receipt. An address without scheme, by custom.
    pub log: String,
    /// Folder of its tiles. It follows from the audit log and can be made again from it.
    pub folder: PathBuf,
}

/// Revocation status and trust anchors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// URL of the authentication CA's CRL.
    pub url: String,
    /// URL of its deltas, if they are to be pulled between complete lists: a lost card is stopped sooner
    /// and a town's list of tens of megabytes is fetched when it is needed only.
    #[serde(default)]
    pub delta_url: Option<String>,
    /// PEM of the CA that the URLs' server certificate chains to.
    pub server_ca: PathBuf,
    /// PEM files of the authentication CAs: whose cards are believed.
    pub auth_ca: Vec<PathBuf>,
    /// File that keeps the newest CRL over a restart.
    pub kept: PathBuf,
    /// How often the CRL (or its delta) is pulled, in seconds.
    #[serde(default = "refresh_seconds")]
    pub refresh_seconds: u64,
    /// How old a status may be before it counts as unknown, in seconds from thisUpdate. No default: it
    /// decides how long a lost card still works.
    pub max_age_seconds: u64,
}

const fn refresh_seconds() -> u64 {
    60
}

/// Limits of freshness.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freshness {
    /// How long a nonce is good, in seconds. Long enough for a patient who reads slowly.
    pub nonce_validity_seconds: u64,
    /// How far a terminal's clock may be off, in seconds.
    pub clock_tolerance_seconds: u64,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { nonce_validity_seconds: 300, clock_tolerance_seconds: 300 }
    }
}

/// How Secure Elements are armed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// For how long, in seconds: at most a working day, so that a stolen terminal dies by itself.
    #[serde(default = "validity_seconds")]
    pub validity_seconds: u64,
    /// For how many touches.
    #[serde(default = "uses_max")]
    pub uses_max: u32,
    /// How many touches one card gets at one terminal on one civil day (report, safeguard 6): more than
    /// a patient needs, fewer than somebody who tries things out.
    #[serde(default = "touches_per_card_and_day")]
    pub touches_per_card_and_day: u16,
    /// Which card dialogues are taken. No default: with `jicsap` in it, whoever listens between card and
    /// reader sees the certificate.
    pub card_profiles: AllowedProfiles,
}

const fn validity_seconds() -> u64 {
    12 * 3600
}

const fn uses_max() -> u32 {
    2000
}

const fn touches_per_card_and_day() -> u16 {
    20
}

impl Unlock {
    /// The usual limits, with these dialogues.
    pub const fn usual(card_profiles: AllowedProfiles) -> Self {
        Self {
            validity_seconds: validity_seconds(),
            uses_max: uses_max(),
            touches_per_card_and_day: touches_per_card_and_day(),
            card_profiles,
        }
    }
}

impl Config {
    /// Makes every relative path relative to `base`, the folder of the config file.
    #[must_use]
    pub fn resolved(mut self, base: &std::path::Path) -> Self {
        let fix = |path: &mut PathBuf| *path = base.join(&*path);
        for path in [
            &mut self.store,
            &mut self.audit_log,
            &mut self.receipts.folder,
            &mut self.keys,
            &mut self.tls.cert,
            &mut self.tls.key,
            &mut self.terminal_ca,
            &mut self.revocation.server_ca,
            &mut self.revocation.kept,
        ] {
            fix(path);
        }
        self.revocation.auth_ca.iter_mut().for_each(fix);
        if let Some(feed) = &mut self.insurer_feed {
            fix(&mut feed.client_ca);
            fix(&mut feed.spool);
            feed.clients.iter_mut().for_each(|client| fix(&mut client.certificate));
        }
        self
    }
}
