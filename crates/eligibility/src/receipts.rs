//! The receipt log: one entry for each record of the audit log, in its order, and a proof in each answer.
//!
//! The audit log is what is durable; the receipt log follows from it. Entry `n` is the commitment in audit
//! record `n + 1`, so after a crash the same records make the same tree, and no head that was signed is ever
//! contradicted. A head is signed only over records that are durable. What stands in the folder (tiles and
//! bundles of C2SP tlog-tiles, the newest saved head) is written along the way and made durable at every
//! checkpoint of the platform; what is missing behind it is made again at the start. If the audit log has
//! *less* than the saved head, records were lost, and the platform does not start: it would fork the log.

use aws_lc_rs::hmac;
use protocol::receipt::{Receipt, SALT_OCTETS};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tlog::bundle;
use tlog::checkpoint::{Checkpoint, LogPolicy};
use tlog::edge::{Edge, TileContents};
use tlog::growth::Growth;
use tlog::hash::Hash;
use tlog::note::{Ed25519Signer, NoteError, NoteSigner as _, SignatureKind, VerifierKey};
use tlog::proof::prove_inclusion;
use tlog::proof_file::ProofFile;
use tlog::tile::{TILE_WIDTH, Tile, TileSource};

/// Name of the file with the newest saved head.
const HEAD_FILE: &str = "checkpoint";

/// Why there are no receipts.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// A file of the log.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// The key or the log's name.
    #[error("the receipt log's key: {0}")]
    Key(#[from] NoteError),
    /// The saved head speaks of more records than the audit log has.
    #[error(
        "the receipt log has signed a head of {signed} entries, the audit log has {found}: records were lost; \
         restore the audit log, or begin a receipt log with another name"
    )]
    RecordsLost {
        /// Entries of the saved head.
        signed: u64,
        /// Records of the audit log.
        found: u64,
    },
    /// The records lead to another head than the one that was saved.
    #[error("the audit log's records do not lead to the head of {size} entries that was signed")]
    OtherRecords {
        /// Entries of the saved head.
        size: u64,
    },
}

/// A 32-octet entry of the log.
type Commitment = [u8; 32];

struct State {
    growth: Growth,
    /// Entries of the bundle that is not full yet.
    bundle: Vec<Commitment>,
    /// Commitments of records on their way to the disk, by log sequence.
    waiting: BTreeMap<u64, Commitment>,
    /// The signed head of the tree as it is.
    head: Arc<str>,
    /// Files written since the last save.
    unsynced: Vec<PathBuf>,
    /// Full tiles and bundles that the disk did not take, by name: the next save tries again. Proofs do not
    /// need them, so answers go on.
    unwritten: Vec<(String, Vec<u8>)>,
}

impl State {
    /// Takes in one entry; gives the files that are full now, by name.
    fn append(&mut self, commitment: Commitment) -> Vec<(String, Vec<u8>)> {
        self.bundle.push(commitment);
        let full = self.growth.append(Hash::of_leaf(&commitment));
        let tiles = full.iter().map(|contents| (contents.tile.path(), contents.to_bytes()));
        let mut files: Vec<_> = tiles.collect();
        if self.bundle.len() as u64 == TILE_WIDTH {
            files.extend(self.last_bundle());
            self.bundle.clear();
        }
        files
    }

    /// The last bundle as it is, by name; none if it would be empty.
    fn last_bundle(&self) -> Option<(String, Vec<u8>)> {
        let size = self.growth.size();
        let (path, _, _) = bundle::path_of(size.checked_sub(1)?, size)?;
        (!self.bundle.is_empty()).then(|| (path, bundle_of(&self.bundle)))
    }
}

/// The receipt log.
pub struct ReceiptLog {
    signer: Ed25519Signer,
    salts: hmac::Key,
    folder: PathBuf,
    state: Mutex<State>,
}

impl std::fmt::Debug for ReceiptLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiptLog(…)")
    }
}

/// Tiles in the folder.
struct Tiles<'a>(&'a Path);

impl TileSource for Tiles<'_> {
    type Error = ReceiptError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, ReceiptError> {
        // A partial tile that grew since is in a wider file, at last in the full one.
        let wider = (tile.width..=256).map(|width| Tile { width, ..tile });
        for candidate in wider {
            let path = self.0.join(candidate.path());
            match std::fs::read(&path) {
                Ok(octets) => {
                    let failed = |why: String| ReceiptError::File { path: path.clone(), why };
                    let mut hashes = candidate.read(&octets).map_err(|e| failed(e.to_string()))?;
                    hashes.truncate(usize::from(tile.width));
                    return Ok(hashes);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ReceiptError::File { path, why: error.to_string() }),
            }
        }
        Err(ReceiptError::File { path: self.0.join(tile.path()), why: "not there".into() })
    }
}

impl ReceiptLog {
    /// Takes up the log in `folder` where its newest saved head is; records behind it are to be given by
    /// [`Self::recover_record`], and at the end [`Self::recovered`] has to agree.
    ///
    /// # Errors
    /// A name or key that is none, or a saved head whose tiles are damaged or that is not ours.
    pub fn open(folder: &Path, name: &str, secret: &[u8; 32]) -> Result<Self, ReceiptError> {
        let derived = |label: &[u8]| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), label);
            let mut key = [0; 32];
            for (to, from) in key.iter_mut().zip(tag.as_ref()) {
                *to = *from;
            }
            key
        };
        let signer = Ed25519Signer::from_seed(name, SignatureKind::Ed25519, &derived(b"signing"))?;
        let salts = hmac::Key::new(hmac::HMAC_SHA256, &derived(b"salts"));
        let (edge, bundle) = resume(folder, name, signer.verifier())?;
        let growth = Growth::new(edge);
        let head = sign(&signer, &growth)?;
        let state = State {
            growth,
            bundle,
            waiting: BTreeMap::new(),
            head,
            unsynced: Vec::new(),
            unwritten: Vec::new(),
        };
        Ok(Self { signer, salts, folder: folder.to_path_buf(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is inside is changed entry by entry; a panic leaves it at the end of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log's name.
    pub fn name(&self) -> &str {
        self.signer.verifier().name()
    }

    /// Whom to believe about the log.
    pub fn verifier(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.lock().growth.size()
    }

    /// The newest signed head.
    pub fn head(&self) -> Arc<str> {
        Arc::clone(&self.lock().head)
    }

    /// The salt of the receipt with this audit record number and touch.
    pub fn salt(&self, audit_record: u64, touch_sha256: &[u8; 32]) -> [u8; SALT_OCTETS] {
        let tag = hmac::sign(&self.salts, &[&audit_record.to_be_bytes(), touch_sha256.as_slice()].concat());
        let mut salt = [0; SALT_OCTETS];
        for (to, from) in salt.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        salt
    }

    /// A record of the audit log found at the start, in its order. Those that the saved head covers already
    /// are passed over.
    pub fn recover_record(&self, sequence: u64, commitment: Commitment) {
        let mut state = self.lock();
        if sequence == state.growth.size() + 1 {
            self.append(&mut state, commitment);
        }
    }

    /// After the last record: whether the log and the audit log are of one length.
    ///
    /// # Errors
    /// [`ReceiptError::RecordsLost`], [`ReceiptError::OtherRecords`] or the signer's.
    pub fn recovered(&self, last_sequence: u64) -> Result<(), ReceiptError> {
        let mut state = self.lock();
        let size = state.growth.size();
        if size > last_sequence {
            return Err(ReceiptError::RecordsLost { signed: size, found: last_sequence });
        }
        if size < last_sequence {
            return Err(ReceiptError::OtherRecords { size });
        }
        state.head = sign(&self.signer, &state.growth)?;
        Ok(())
    }

    /// Says what the record with this sequence will add, before anybody knows that it is durable.
    pub fn expect(&self, sequence: u64, commitment: Commitment) {
        self.lock().waiting.insert(sequence, commitment);
    }

    /// Takes in what is durable and gives the proof of one record; `None` where there is none to give (its
    /// tiles cannot be read: the answer goes out without).
    pub fn proof(&self, sequence: u64, durable_sequence: u64) -> Option<String> {
        let index = sequence.checked_sub(1)?;
        let mut state = self.lock();
        if let Err(error) = self.take_in(&mut state, durable_sequence) {
            tracing::error!(%error, "the receipt log does not follow the audit log");
            return None;
        }
        let size = state.growth.size();
        if index >= size {
            return None;
        }
        let head = Arc::clone(&state.head);
        let recent = state.growth.prove(index);
        drop(state);
        let proof = match recent {
            Some(proof) => proof,
            // Older than what is at hand: from the tiles.
            None => self.prove_from_tiles(index, size)?,
        };
        Some(ProofFile { extra: None, index, proof, checkpoint: head.to_string() }.to_text())
    }

    fn prove_from_tiles(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        let tiles = WithEdge { tiles: Tiles(&self.folder), edge: self.lock().growth.edge().clone() };
        prove_inclusion(&tiles, index, size)
            .inspect_err(|error| tracing::error!(%error, "no proof for a receipt"))
            .ok()
    }

    fn take_in(&self, state: &mut State, durable_sequence: u64) -> Result<(), ReceiptError> {
        let before = state.growth.size();
        while let Some(entry) = state.waiting.first_entry() {
            // In the order of the audit log, and never past what is durable.
            if *entry.key() != state.growth.size() + 1 || *entry.key() > durable_sequence {
                break;
            }
            let commitment = entry.remove();
            self.append(state, commitment);
        }
        if state.growth.size() > before {
            state.head = sign(&self.signer, &state.growth)?;
        }
        Ok(())
    }

    fn append(&self, state: &mut State, commitment: Commitment) {
        for (name, octets) in state.append(commitment) {
            if let Err(error) = self.write(state, &name, &octets) {
                tracing::error!(%error, "a file of the receipt log waits for the next save");
                state.unwritten.push((name, octets));
            }
        }
    }

    fn write(&self, state: &mut State, name: &str, octets: &[u8]) -> Result<(), ReceiptError> {
        let path = self.folder.join(name);
        let failed = |error: io::Error| ReceiptError::File { path: path.clone(), why: error.to_string() };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::write(&path, octets).map_err(failed)?;
        state.unsynced.push(path);
        Ok(())
    }

    /// Makes everything up to now durable in the folder: files first, then the head that speaks of them.
    ///
    /// # Errors
    /// A file that cannot be written or synced; the saved head before stays.
    pub fn save(&self) -> Result<(), ReceiptError> {
        let mut state = self.lock();
        if state.growth.size() == 0 {
            return Ok(());
        }
        while let Some((name, octets)) = state.unwritten.last().cloned() {
            self.write(&mut state, &name, &octets)?;
            state.unwritten.pop();
        }
        let partial = state.growth.edge().partial_tiles();
        let tiles = partial.iter().map(|contents| (contents.tile.path(), contents.to_bytes()));
        let files: Vec<_> = tiles.chain(state.last_bundle()).collect();
        for (name, octets) in files {
            self.write(&mut state, &name, &octets)?;
        }
        let head = Arc::clone(&state.head);
        let written = std::mem::take(&mut state.unsynced);
        drop(state);
        if let Err(error) = self.sync(&written) {
            // The next save must not speak of files that this one did not make durable.
            self.lock().unsynced.extend(written);
            return Err(error);
        }
        let path = self.folder.join(HEAD_FILE);
        let failed = |error| ReceiptError::File { path: path.clone(), why: format!("{error}") };
        chassis::files::write_atomic(&path, head.as_bytes()).map_err(failed)
    }

    /// Makes files durable, and the folders that name them, each once.
    fn sync(&self, written: &[PathBuf]) -> Result<(), ReceiptError> {
        let failed = |path: &Path, why: String| ReceiptError::File { path: path.to_path_buf(), why };
        let mut folders = BTreeSet::new();
        for path in written {
            std::fs::File::open(path)
                .and_then(|file| file.sync_all())
                .map_err(|error| failed(path, error.to_string()))?;
            folders.extend(path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.folder)));
        }
        for folder in folders {
            chassis::files::sync_directory(folder).map_err(|error| failed(folder, error.to_string()))?;
        }
        Ok(())
    }

    /// A file of the log as it is served: the newest head, or a tile or bundle of it.
    pub fn served(&self, name: &str) -> Option<Vec<u8>> {
        if name == HEAD_FILE {
            return Some(self.head().as_bytes().to_vec());
        }
        let resource = tlog::tile::Resource::parse(name).ok()?;
        let state = self.lock();
        let current = match resource {
            tlog::tile::Resource::Tile(tile) => {
                let partial = state.growth.edge().partial_tiles();
                let is_wanted = |contents: &&TileContents| contents.tile == tile;
                partial.iter().find(is_wanted).map(TileContents::to_bytes)
            }
            tlog::tile::Resource::Entries { index, width } => {
                let is_last = index == state.growth.size() / TILE_WIDTH;
                (is_last && usize::from(width) == state.bundle.len()).then(|| bundle_of(&state.bundle))
            }
        };
        let unwritten = state.unwritten.iter().find(|(waiting, _)| waiting == name);
        let current = current.or_else(|| unwritten.map(|(_, octets)| octets.clone()));
        drop(state);
        current.or_else(|| std::fs::read(self.folder.join(name)).ok())
    }
}

fn bundle_of(entries: &[Commitment]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(entries.len() * 34);
    for entry in entries {
        // 32 octets always fit.
        let _: Result<(), bundle::BundleError> = bundle::push(&mut octets, entry);
    }
    octets
}

/// Tiles of the folder, and those at the edge that are not there yet.
struct WithEdge<'a> {
    tiles: Tiles<'a>,
    edge: Edge,
}

impl TileSource for WithEdge<'_> {
    type Error = ReceiptError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, ReceiptError> {
        let partial = self.edge.partial_tiles();
        let at_edge = partial.into_iter().find(|contents| {
            (contents.tile.level, contents.tile.index) == (tile.level, tile.index)
                && contents.tile.width >= tile.width
        });
        match at_edge {
            Some(mut contents) => {
                contents.hashes.truncate(usize::from(tile.width));
                Ok(contents.hashes)
            }
            None => self.tiles.tile(tile),
        }
    }
}

fn sign(signer: &Ed25519Signer, growth: &Growth) -> Result<Arc<str>, ReceiptError> {
    let head = Checkpoint {
        origin: signer.verifier().name().to_owned(),
        size: growth.size(),
        root: growth.root(),
        extensions: Vec::new(),
    };
    Ok(head.sign(signer)?.to_text().into())
}

/// The edge at the newest saved head, and the entries of its last bundle.
fn resume(folder: &Path, name: &str, key: &VerifierKey) -> Result<(Edge, Vec<Commitment>), ReceiptError> {
    let path = folder.join(HEAD_FILE);
    let failed = |why: String| ReceiptError::File { path: path.clone(), why };
    let note = match std::fs::read_to_string(&path) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Edge::new(), Vec::new())),
        Err(error) => return Err(failed(error.to_string())),
    };
    let head = LogPolicy::log_alone(name, key.clone()).trust(&note).map_err(|e| failed(e.to_string()))?;
    let edge = Edge::resume(&Tiles(folder), head.size())?;
    let edge = edge.filter(|edge| edge.root() == *head.root());
    let edge = edge.ok_or_else(|| failed("the tiles do not have the root hash that was signed".into()))?;
    let width = u16::try_from(head.size() % TILE_WIDTH).unwrap_or(0);
    let mut entries = Vec::new();
    if width > 0
        && let Some((file, _, _)) = bundle::path_of(head.size() - 1, head.size())
    {
        let path = folder.join(file);
        let failed = |why: String| ReceiptError::File { path: path.clone(), why };
        let octets = std::fs::read(&path).map_err(|error| failed(error.to_string()))?;
        for entry in bundle::read(&octets, width).map_err(|fault| failed(fault.to_string()))? {
            entries.push(entry.try_into().map_err(|_| failed("an entry has not 32 octets".into()))?);
        }
    }
    Ok((edge, entries))
}

/// Puts the proof into a response that ends with its receipt; the response as it was if it has none.
pub fn with_proof(mut body: Vec<u8>, proof: &str) -> Vec<u8> {
    // The answer is the last field of the response, the receipt of the answer, the proof of the receipt.
    let (Some(receipt), Ok(proof)) = (body.strip_suffix(b"}}}"), serde_json::to_string(proof)) else {
        return body;
    };
    let end = receipt.len();
    body.truncate(end);
    body.extend_from_slice(b",\"proof\":");
    body.extend_from_slice(proof.as_bytes());
    body.extend_from_slice(b"}}}");
    body
}

/// A receipt for a statement's text.
pub fn receipt(statement: String, salt: [u8; SALT_OCTETS]) -> Receipt {
    Receipt { statement, salt, proof: None }
}
