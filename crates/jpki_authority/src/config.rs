//! Configuration of the authority. Nothing that decides trust has a default.

use crate::error::AuthorityError;
use chassis::config::TlsFiles;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the public pages are served (TLS 1.3, no client certificate: lists are public). Port 0 takes
    /// a free one.
    pub listen: SocketAddr,
    /// Readiness and metrics, plain HTTP: keep it on loopback or an operations network.
    pub admin_listen: SocketAddr,
    /// The SQLite file. It holds signature certificates, so names and addresses: one room, one store.
    pub store: PathBuf,
    /// Folder of the private keys as PKCS#8 DER, mode 0600. Whoever reads it can issue certificates.
    pub keys_dir: PathBuf,
    /// Folder of what everybody may read: the authorities' certificates (`auth-ca.pem`, `sign-ca.pem`)
    /// and the accredited body's card-verifiable certificate. Relying parties take their anchors from here.
    pub public_dir: PathBuf,
    /// The server's certificate and P-256 key.
    pub tls: TlsFiles,
    /// Revocation lists.
    pub crl: CrlTimes,
    /// Names in certificates.
    pub names: Names,
}

/// Times of revocation lists. No defaults: they decide how long a lost card still works.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrlTimes {
    /// Seconds from thisUpdate to nextUpdate: how long a relying party may go on when this room is down.
    pub validity_seconds: u64,
    /// Seconds between two lists: how long a revocation stays unseen at most. Below `validity_seconds`.
    pub republish_seconds: u64,
}

/// Names in certificates. No defaults: nobody should issue under a name that was not chosen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// `O` of both authorities. Must say that it is not the real one: it has to contain `EMULATED` or `TEST`.
    pub organization: String,
    /// Last `OU` of both authorities: who operates them.
    pub operator: String,
}

impl Config {
    /// The same configuration with relative paths taken from `base`, the folder of the config file.
    #[must_use]
    pub fn resolved(mut self, base: &Path) -> Self {
        for path in [&mut self.store, &mut self.keys_dir, &mut self.public_dir] {
            *path = chassis::config::resolve(base, path);
        }
        self.tls = self.tls.resolved(base);
        self
    }

    /// Refuses values that parse but cannot be meant.
    ///
    /// # Errors
    /// [`AuthorityError::Config`] naming the key.
    pub fn check(&self) -> Result<(), AuthorityError> {
        let refuse = |key, problem| Err(AuthorityError::Config { key, problem });
        if self.crl.republish_seconds == 0 {
            return refuse("crl.republish_seconds", "must be at least 1");
        }
        if self.crl.republish_seconds >= self.crl.validity_seconds {
            return refuse("crl.republish_seconds", "must be below crl.validity_seconds, or lists run out");
        }
        if !["EMULATED", "TEST"].iter().any(|word| self.names.organization.contains(word)) {
            return refuse(
                "names.organization",
                "must contain EMULATED or TEST: this is not the real authority",
            );
        }
        Ok(())
    }
}
