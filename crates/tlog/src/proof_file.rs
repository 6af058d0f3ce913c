//! Everything that one entry needs to be checked offline, in one text: C2SP tlog-proof.

use crate::checkpoint::{CheckpointError, LogPolicy, TrustedCheckpoint};
use crate::hash::Hash;
use crate::proof::{Included, PROOF_HASHES_MAX, ProofError, verify_inclusion};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The first line.
pub const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof file, read and not believed.
#[doc(alias = "証明ファイル")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofFile {
    /// Octets beside the proof. Nobody has signed them.
    pub extra: Option<Vec<u8>>,
    /// Number of the entry, from 0.
    pub index: u64,
    /// Proof of inclusion, sibling of the leaf first.
    pub proof: Vec<Hash>,
    /// The checkpoint, as it was signed.
    pub checkpoint: String,
}

/// Why a proof file proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofFileError {
    /// Not that form.
    #[error("not a proof file: {what}")]
    Malformed {
        /// Which rule.
        what: &'static str,
    },
    /// Its checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl ProofFile {
    /// Reads a proof file.
    ///
    /// # Errors
    /// [`ProofFileError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, ProofFileError> {
        let fault = |what| ProofFileError::Malformed { what };
        let (head, checkpoint) = text.split_once("\n\n").ok_or(fault("no empty line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(fault("its first line"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(encoded) => {
                let extra = STANDARD.decode(encoded).map_err(|_| fault("its extra data"))?;
                lines.next();
                Some(extra)
            }
        };
        let number = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(fault("its index"))?;
        let index: u64 = number.parse().map_err(|_| fault("its index"))?;
        if index.to_string() != number {
            return Err(fault("its index"));
        }
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == PROOF_HASHES_MAX {
                return Err(fault("too many hashes"));
            }
            proof.push(Hash::from_base64(line).ok_or(fault("a hash"))?);
        }
        Ok(Self { extra, index, proof, checkpoint: checkpoint.to_owned() })
    }

    /// Writes it.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.proof {
            text.push_str(&hash.to_base64());
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Checks that `entry` is in the log of `policy`, offline.
    ///
    /// # Errors
    /// A checkpoint that is not believed, or a proof that does not lead to its root.
    pub fn verify(
        &self,
        entry: &[u8],
        policy: &LogPolicy,
    ) -> Result<(Included, TrustedCheckpoint), ProofFileError> {
        let checkpoint = policy.trust(&self.checkpoint)?;
        let included = verify_inclusion(&Hash::of_leaf(entry), self.index, &self.proof, &checkpoint)?;
        Ok((included, checkpoint))
    }
}
