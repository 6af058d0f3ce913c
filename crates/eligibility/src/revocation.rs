//! Revocation status, pulled and verified off the hot path; a check looks it up in memory.
//!
//! A list is read while it arrives and never lies whole in memory. It is in force when its signature was found
//! good and not before; one that turns out bad leaves no trace. An older one than is held is refused (a rollback
//! would bring lost cards back to life), deltas are laid over the list that they build on, a part of a list
//! speaks for its own certificates only, and the newest ones are kept in files so that a restart does not begin
//! blind. Readers never wait: they hold one state of the lists, and a new one takes its place.

use arc_swap::ArcSwap;
use bytes::Bytes;
use pki::crl::{Change, CrlProblem, ListFeed, RevocationHoldings, VerifiedList};
use pki::validate::TrustAnchor;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Bytes of a list that are read at most: twice what 2 % of all residents make.
pub const LIST_BYTES_MAX: usize = 160 << 20;
/// Pieces on their way from the connection to the reader of the list.
const PIECES_WAITING: usize = 4;
/// Bytes read from a kept file at a time.
const FILE_PIECE_BYTES: usize = 64 << 10;

/// Why a CRL was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It could not be fetched.
    #[error("the CRL cannot be fetched: {0}")]
    Fetch(#[from] chassis::client::ClientError),
    /// The server answered something else.
    #[error("the CRL's server answered with status {0}")]
    Status(u16),
    /// It is not a good CRL of a trusted authority, or not one that may follow what is held.
    #[error("the CRL is refused: {0}")]
    Refused(#[from] CrlProblem),
    /// Nobody was there to read it: the process is ending.
    #[error("the CRL was not read to its end")]
    Interrupted,
}

/// The lists in force: readers never wait for a new one.
#[derive(Debug)]
pub struct CurrentRevocation {
    current: ArcSwap<RevocationHoldings>,
    /// Offers come one after the other: of two at a time the older could win.
    offering: Mutex<()>,
    anchors: Arc<Vec<TrustAnchor>>,
    kept: PathBuf,
}

impl CurrentRevocation {
    /// Starts from the kept files, as far as they still are good lists of one of `anchors`.
    pub fn open(anchors: Arc<Vec<TrustAnchor>>, kept: &Path) -> Self {
        let current = ArcSwap::from_pointee(RevocationHoldings::new());
        let this = Self { current, offering: Mutex::default(), anchors, kept: kept.to_owned() };
        for file in [this.kept.clone(), this.kept_delta()] {
            let Ok(mut opened) = File::open(&file) else { continue };
            if let Err(error) = this.install_file(&mut opened) {
                tracing::warn!(file = %file.display(), %error, "the kept CRL is not used");
            }
        }
        this
    }

    /// Beside the complete list, with `.delta` at the end.
    fn kept_delta(&self) -> PathBuf {
        let mut name = self.kept.clone().into_os_string();
        name.push(".delta");
        name.into()
    }

    /// The lists in force.
    pub fn load(&self) -> arc_swap::Guard<Arc<RevocationHoldings>> {
        self.current.load()
    }

    /// thisUpdate of the list that is oldest, deltas counted; `None` until the first list is there.
    pub fn oldest_this_update(&self) -> Option<protocol::time::UnixSeconds> {
        self.load().lists().map(pki::crl::RevocationIndex::this_update).min()
    }

    /// Verifies a whole list and puts it in force. The same number again is no news; a lower one is refused.
    ///
    /// # Errors
    /// Why it is not a list to believe; what was in force stays.
    pub fn install(&self, der: &[u8]) -> Result<Change, CrlProblem> {
        let mut feed = ListFeed::new(&self.anchors);
        feed.push(der)?;
        self.offer(feed.finish()?)
    }

    fn install_file(&self, file: &mut File) -> Result<Change, CrlProblem> {
        let mut feed = ListFeed::new(&self.anchors);
        let mut piece = vec![0; FILE_PIECE_BYTES];
        // A file that cannot be read to its end is a list cut short.
        while let Ok(count @ 1..) = file.read(&mut piece) {
            feed.push(piece.get(..count).unwrap_or_default())?;
        }
        self.offer(feed.finish()?)
    }

    fn offer(&self, list: VerifiedList) -> Result<Change, CrlProblem> {
        let _one_at_a_time = self.offering.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, change) = self.current.load().with(list)?;
        if change == Change::New {
            self.current.store(Arc::new(next));
        }
        Ok(change)
    }

    /// Fetches the list (complete or delta) at `path` of the client's server, installs it and keeps it.
    ///
    /// # Errors
    /// See [`PullError`]; what was in force stays.
    pub async fn pull(
        self: &Arc<Self>,
        client: &chassis::client::Client,
        path: &str,
    ) -> Result<Change, PullError> {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let this = Arc::clone(self);
        // Reading and laying out take a processor for a while: not one that answers checks.
        let reading = tokio::task::spawn_blocking(move || this.take(receiver));
        let reply = client.get_in_pieces(path, LIST_BYTES_MAX, sender).await;
        let outcome = reading.await.map_err(|_| PullError::Interrupted)?;
        match (reply, outcome) {
            (Ok(reply), _) if reply.status != 200 => Err(PullError::Status(reply.status)),
            // Refused before its end, so that the rest was not fetched; a list cut short by the network is the
            // network's doing.
            (Err(error), Err(CrlProblem::Malformed(_)) | Ok(_)) => Err(error.into()),
            (_, outcome) => Ok(outcome?),
        }
    }

    /// Reads the pieces of one list, and keeps it if it is news.
    fn take(&self, mut pieces: mpsc::Receiver<Bytes>) -> Result<Change, CrlProblem> {
        let mut copy = Copy::beside(&self.kept);
        let mut feed = ListFeed::new(&self.anchors);
        while let Some(piece) = pieces.blocking_recv() {
            feed.push(&piece)?;
            copy.write(&piece);
        }
        let list = feed.finish()?;
        let target = match &list {
            VerifiedList::Complete(_) => self.kept.clone(),
            VerifiedList::Delta(_) => self.kept_delta(),
        };
        let change = self.offer(list)?;
        if change == Change::New
            && let Err(error) = copy.keep(&target)
        {
            tracing::warn!(%error, "the CRL is in force but could not be kept for a restart");
        }
        Ok(change)
    }
}

/// What has come of a list, in a file that goes away unless the list is kept.
struct Copy {
    name: PathBuf,
    file: std::io::Result<File>,
}

impl Copy {
    fn beside(kept: &Path) -> Self {
        let mut name = kept.as_os_str().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let name = PathBuf::from(name);
        Self { file: File::create(&name), name }
    }

    fn write(&mut self, piece: &[u8]) {
        if let Ok(file) = &mut self.file
            && let Err(error) = file.write_all(piece)
        {
            self.file = Err(error);
        }
    }

    /// Under its name from now on, also after a power cut.
    fn keep(mut self, target: &Path) -> std::io::Result<()> {
        let file = std::mem::replace(&mut self.file, Err(std::io::ErrorKind::NotFound.into()))?;
        file.sync_all()?;
        std::fs::rename(&self.name, target)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Renamed away if it was kept.
        drop(std::fs::remove_file(&self.name));
    }
}
