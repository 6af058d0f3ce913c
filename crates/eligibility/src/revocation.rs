//! Revocation status, pulled and verified off the hot path; a check looks it up in memory.
//!
//! An older CRL than the one held is refused (a rollback would bring lost cards back to life), and the
//! newest one is kept in a file so that a restart does not begin blind.

use arc_swap::ArcSwapOption;
use pki::crl::RevocationIndex;
use pki::validate::TrustAnchor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a CRL was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It could not be fetched.
    #[error("the CRL cannot be fetched: {0}")]
    Fetch(#[from] chassis::client::ClientError),
    /// The server answered something else.
    #[error("the CRL's server answered with status {0}")]
    Status(u16),
    /// It is not a good CRL of a trusted authority.
    #[error("the CRL is refused: {0}")]
    Refused(String),
}

/// The current revocation index: readers never wait for a new one.
#[derive(Debug)]
pub struct CurrentRevocation {
    current: ArcSwapOption<RevocationIndex>,
    anchors: Arc<Vec<TrustAnchor>>,
    kept: PathBuf,
}

impl CurrentRevocation {
    /// Starts from the kept file, if it still is a good CRL of one of `anchors`.
    pub fn open(anchors: Arc<Vec<TrustAnchor>>, kept: &Path) -> Self {
        let this = Self { current: ArcSwapOption::empty(), anchors, kept: kept.to_owned() };
        if let Ok(der) = std::fs::read(kept)
            && let Err(error) = this.install(&der)
        {
            tracing::warn!(%error, "the kept CRL is not used");
        }
        this
    }

    /// The index in force; `None` until the first one is there.
    pub fn load(&self) -> arc_swap::Guard<Option<Arc<RevocationIndex>>> {
        self.current.load()
    }

    /// Verifies `der` and swaps it in. The same number again is no news; a lower one is refused.
    pub fn install(&self, der: &[u8]) -> Result<Installed, PullError> {
        let held = self.current.load();
        let index = RevocationIndex::from_crl(der, &self.anchors, held.as_ref().map(|h| h.number()))
            .map_err(|e| PullError::Refused(e.to_string()))?;
        if held.as_ref().is_some_and(|held| held.number() == index.number()) {
            return Ok(Installed::Unchanged);
        }
        self.current.store(Some(Arc::new(index)));
        Ok(Installed::New)
    }

    /// Fetches the CRL at `path` of the client's server, installs it and keeps it.
    pub async fn pull(&self, client: &chassis::client::Client, path: &str) -> Result<Installed, PullError> {
        let reply = client.get(path).await?;
        if reply.status != 200 {
            return Err(PullError::Status(reply.status));
        }
        let installed = self.install(&reply.body)?;
        if installed == Installed::New
            && let Err(error) = chassis::files::write_atomic(&self.kept, &reply.body)
        {
            tracing::warn!(%error, "the CRL is in force but could not be kept for a restart");
        }
        Ok(installed)
    }
}

/// What became of a CRL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Installed {
    /// It is in force now.
    New,
    /// It was in force already.
    Unchanged,
}
