//! Heads of a tree, signed: C2SP tlog-checkpoint.

use crate::hash::Hash;
use crate::note::{Note, NoteError, NoteSigner, SignatureKind, Verified, VerifierKey};

/// Why a note is no checkpoint that can be believed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Its form as a note, or its signatures.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text is not that of a checkpoint.
    #[error("not a checkpoint: {what}")]
    Malformed {
        /// Which rule.
        what: &'static str,
    },
    /// Of another log.
    #[error("the checkpoint is of the log {found}, not of {wanted}")]
    OtherLog {
        /// Origin that was asked for.
        wanted: String,
        /// Origin in the checkpoint.
        found: String,
    },
    /// The log itself has not signed.
    #[error("the log has not signed the checkpoint")]
    NotByTheLog,
    /// Fewer witnesses than asked for.
    #[error("{found} of {wanted} witnesses have signed the checkpoint")]
    Witnesses {
        /// How many have to.
        wanted: usize,
        /// How many have.
        found: usize,
    },
}

/// What a head says: which log, how many leaves, which root.
#[doc(alias = "チェックポイント")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log's name, without a line end.
    pub origin: String,
    /// Leaves of the tree.
    pub size: u64,
    /// Its root hash.
    pub root: Hash,
    /// Lines after these three. Nobody can audit what they say; our logs have none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The text to be signed.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64());
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let fault = |what| CheckpointError::Malformed { what };
        let body = text.strip_suffix('\n').ok_or(fault("the text does not end in a newline"))?;
        let mut lines = body.split('\n');
        let mut next = |what| lines.next().filter(|line| !line.is_empty()).ok_or(fault(what));
        let origin = next("its first line is the log's name")?.to_owned();
        let number = next("its second line is a number of leaves")?;
        let root = next("its third line is a root hash")?;
        let size: u64 = number.parse().map_err(|_| fault("its second line is a number of leaves"))?;
        if size.to_string() != number {
            return Err(fault("the number of leaves has one form"));
        }
        let root = Hash::from_base64(root).ok_or(fault("its third line is a root hash"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(fault("an extension line is not empty"));
        }
        Ok(Self { origin, size, root, extensions })
    }

    /// Signs it as the log.
    ///
    /// # Errors
    /// A text that makes no note (an origin with a line end), or a signer that refuses.
    pub fn sign(&self, log: &dyn NoteSigner) -> Result<Note, NoteError> {
        let mut note = Note::new(&self.to_text())?;
        note.sign(log, None)?;
        Ok(note)
    }
}

/// Whom to believe about a log: its own key, and how many of which witnesses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPolicy {
    /// The log's name, as in its checkpoints.
    pub origin: String,
    /// The log's own keys; several while it changes them.
    pub log_keys: Vec<VerifierKey>,
    /// Witnesses: others, who sign only what is consistent with what they signed before.
    pub witnesses: Vec<VerifierKey>,
    /// How many of them must have signed.
    pub witnesses_min: usize,
}

impl LogPolicy {
    /// The log's word alone, with one key and no witnesses.
    pub fn log_alone(origin: &str, key: VerifierKey) -> Self {
        Self { origin: origin.to_owned(), log_keys: vec![key], witnesses: Vec::new(), witnesses_min: 0 }
    }

    /// Reads a checkpoint and believes it, if this policy lets it.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub fn trust(&self, note: &str) -> Result<TrustedCheckpoint, CheckpointError> {
        let note = Note::parse(note)?;
        let keys: Vec<_> = self.log_keys.iter().chain(&self.witnesses).cloned().collect();
        let signed = note.verify(&keys)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != self.origin {
            return Err(CheckpointError::OtherLog { wanted: self.origin.clone(), found: checkpoint.origin });
        }
        let by = |keys: &[VerifierKey]| {
            let is_one = |found: &&Verified| {
                keys.iter().any(|key| key.name() == found.name && key.kind() == found.kind)
            };
            signed.iter().filter(is_one).count()
        };
        if by(&self.log_keys) == 0 {
            return Err(CheckpointError::NotByTheLog);
        }
        let found = by(&self.witnesses);
        if found < self.witnesses_min {
            return Err(CheckpointError::Witnesses { wanted: self.witnesses_min, found });
        }
        Ok(TrustedCheckpoint { checkpoint, note, witnesses: signed })
    }
}

/// A checkpoint whose signatures were verified: made by [`LogPolicy::trust`] only.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct TrustedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
    witnesses: Vec<Verified>,
}

impl TrustedCheckpoint {
    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// Leaves of the tree.
    pub const fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Its root hash.
    pub const fn root(&self) -> &Hash {
        &self.checkpoint.root
    }

    /// The note that it came in.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// When the first of the witnesses signed, in seconds from 1970: the log was like this by then.
    pub fn witnessed_at(&self) -> Option<u64> {
        let times = self.witnesses.iter().filter(|found| found.kind == SignatureKind::Cosignature);
        times.filter_map(|found| found.at).min()
    }
}
