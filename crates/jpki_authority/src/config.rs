//! Configuration of the authority. Nothing that decides trust has a default.

use crate::CertificateKind;
use crate::error::AuthorityError;
use crate::linkage::LinkageService;
use chassis::config::TlsFiles;
use hsm::{KeyError, KeySource, Pkcs11Token};
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
    /// Where the keys are that sign certificates, lists and OCSP answers, if not in `keys_dir`.
    #[serde(default, skip_serializing_if = "KeyPlaces::are_usual")]
    pub keys: KeyPlaces,
    /// Folder of what everybody may read: the authorities' certificates (`auth-ca.pem`, `sign-ca.pem`)
    /// and the accredited body's card-verifiable certificate. Relying parties take their anchors from here.
    pub public_dir: PathBuf,
    /// The server's certificate and P-256 key.
    pub tls: TlsFiles,
    /// Where status is published for everybody, and under which address.
    pub status: StatusPages,
    /// Revocation lists.
    pub crl: CrlTimes,
    /// Online status.
    pub ocsp: OcspTimes,
    /// Names in certificates.
    pub names: Names,
    /// The linkage service; a room without it offers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linkage: Option<LinkageService>,
}

/// Places of keys, chosen one by one. The keys of the terminal chain (card-verifiable certificates) stay in
/// `keys_dir`: what they sign is not X.509, and it ends within days or with the card.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPlaces {
    /// The authority of authentication certificates; `auth-ca.key` in `keys_dir` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_ca: Option<KeySource>,
    /// The authority of signature certificates; `sign-ca.key` in `keys_dir` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_ca: Option<KeySource>,
    /// The token in whose memory OCSP delegates are made; this process's memory if left out. Either way
    /// they are gone with the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp_delegates: Option<Pkcs11Token>,
}

impl KeyPlaces {
    /// Nothing was chosen.
    fn are_usual(&self) -> bool {
        *self == Self::default()
    }

    /// Where the key of an authority was chosen to be, if it was.
    pub const fn authority_key(&self, kind: CertificateKind) -> Option<&KeySource> {
        match kind {
            CertificateKind::CardHolderAuth => self.auth_ca.as_ref(),
            CertificateKind::DocumentSignature => self.sign_ca.as_ref(),
        }
    }

    fn resolved(self, base: &Path) -> Self {
        Self {
            auth_ca: self.auth_ca.map(|source| source.resolved(base)),
            sign_ca: self.sign_ca.map(|source| source.resolved(base)),
            ocsp_delegates: self.ocsp_delegates.map(|token| token.resolved(base)),
        }
    }

    fn check(&self) -> Result<(), AuthorityError> {
        let refuse = |key: &'static str| {
            move |error: KeyError| match error {
                KeyError::Config { problem, .. } => AuthorityError::Config { key, problem },
                other => other.into(),
            }
        };
        if let Some(source) = &self.auth_ca {
            source.check().map_err(refuse("keys.auth_ca"))?;
        }
        if let Some(source) = &self.sign_ca {
            source.check().map_err(refuse("keys.sign_ca"))?;
        }
        if let Some(token) = &self.ocsp_delegates {
            token.check().map_err(refuse("keys.ocsp_delegates"))?;
        }
        if self.auth_ca.is_some() && self.auth_ca == self.sign_ca {
            let problem = "must not be the key of keys.auth_ca: one would vouch for the other's certificates";
            return Err(AuthorityError::Config { key: "keys.sign_ca", problem });
        }
        Ok(())
    }
}

/// Plain HTTP for revocation lists and OCSP: they are signed, and TLS would need a status first
/// (RFC 5280 §8).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusPages {
    /// Where they are served.
    pub listen: SocketAddr,
    /// Base address as certificates and lists name it, `http://host[:port]` without a slash at its end.
    /// It stands in certificates for years: choose one that stays.
    pub url: String,
}

/// Times of OCSP answers and of the keys that sign them. No defaults, for the reason of [`CrlTimes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OcspTimes {
    /// Seconds from thisUpdate to nextUpdate.
    pub validity_seconds: u64,
    /// Seconds for which an answer without a nonce may be given again, here and by caches, while the status
    /// in the store has not changed. Caches cannot see the store: for them this is how long a revocation
    /// may stay unseen. Below `validity_seconds`.
    pub reuse_seconds: u64,
    /// Life of a delegate's key and certificate; at least twice `validity_seconds`, at most 31 days. Nobody
    /// can revoke a delegate, so days are better than weeks.
    pub delegate_seconds: u64,
}

/// Longest life of a delegate, in seconds.
const DELEGATE_SECONDS_MAX: u64 = 31 * 86_400 - 3_600;

/// Times of revocation lists. No defaults: they decide how long a lost card still works.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrlTimes {
    /// Seconds from thisUpdate to nextUpdate: how long a relying party may go on when this room is down.
    pub validity_seconds: u64,
    /// Seconds between two complete lists: how long a revocation stays unseen at most. Below
    /// `validity_seconds`.
    pub republish_seconds: u64,
    /// Seconds between two deltas. At most `republish_seconds`.
    pub delta_seconds: u64,
    /// Parts of each list, fixed in a certificate when it is issued: 0 for none, at most 4,096. May be
    /// changed: older certificates stay in their part.
    pub shards: u16,
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

/// Most parts a list may have.
const SHARDS_MAX: u16 = 4_096;

/// Whether a path can be put behind it and the whole into a certificate.
fn is_base_address(url: &str) -> bool {
    url.strip_prefix("http://").is_some_and(|host| {
        host.starts_with(|first: char| first.is_ascii_alphanumeric())
            && host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.:".contains(&octet))
    })
}

impl Config {
    /// The same configuration with relative paths taken from `base`, the folder of the config file.
    #[must_use]
    pub fn resolved(mut self, base: &Path) -> Self {
        for path in [&mut self.store, &mut self.keys_dir, &mut self.public_dir] {
            *path = chassis::config::resolve(base, path);
        }
        self.tls = self.tls.resolved(base);
        self.linkage = self.linkage.map(|linkage| linkage.resolved(base));
        self.keys = self.keys.resolved(base);
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
        if self.crl.delta_seconds == 0 || self.crl.delta_seconds > self.crl.republish_seconds {
            return refuse("crl.delta_seconds", "must be at least 1 and at most crl.republish_seconds");
        }
        if self.crl.shards > SHARDS_MAX {
            return refuse("crl.shards", "must be at most 4096");
        }
        if self.ocsp.reuse_seconds == 0 || self.ocsp.reuse_seconds >= self.ocsp.validity_seconds {
            return refuse("ocsp.reuse_seconds", "must be at least 1 and below ocsp.validity_seconds");
        }
        let half_life = self.ocsp.delegate_seconds / 2;
        if half_life < self.ocsp.validity_seconds || self.ocsp.delegate_seconds > DELEGATE_SECONDS_MAX {
            return refuse(
                "ocsp.delegate_seconds",
                "must be at least twice ocsp.validity_seconds, and below 31 days",
            );
        }
        self.keys.check()?;
        if !is_base_address(&self.status.url) {
            return refuse("status.url", "must be http://host or http://host:port, with nothing behind it");
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
