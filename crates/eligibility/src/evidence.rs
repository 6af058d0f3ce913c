//! Opening sealed evidence. The key is agreed once for every arming of a Secure Element and kept for its
//! terminal: a check pays for the seal alone.

use crate::error::Refusal;
use protocol::ids::TerminalKeyHash;
use protocol::sealed_evidence::{
    Evidence, EvidenceOpening, EvidencePrivateKey, EvidencePublicKey, SealedEvidence,
};
use protocol::statement::STATEMENT_LEN;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The key of a terminal's last arming.
type Kept = (EvidencePublicKey, Arc<EvidenceOpening>);

/// One key for each terminal: as many as are registered.
#[derive(Default)]
pub struct OpeningKeys(Mutex<HashMap<TerminalKeyHash, Kept>>);

impl std::fmt::Debug for OpeningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpeningKeys(…)")
    }
}

impl OpeningKeys {
    /// The key for evidence that the Secure Element behind `secure_element` sealed: kept, or agreed now.
    ///
    /// # Errors
    /// [`Refusal::Evidence`] if `secure_element` is not a point of P-256.
    fn agreed(
        &self,
        own: &EvidencePrivateKey,
        terminal: &TerminalKeyHash,
        secure_element: &EvidencePublicKey,
    ) -> Result<Arc<EvidenceOpening>, Refusal> {
        let kept = {
            let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            keys.get(terminal).filter(|(public, _)| public == secure_element).map(|(_, key)| Arc::clone(key))
        };
        if let Some(key) = kept {
            return Ok(key);
        }
        let key = Arc::new(own.opening(secure_element)?);
        metrics::counter!("kazasu_evidence_keys_agreed_total").increment(1);
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(*terminal, (*secure_element, Arc::clone(&key)));
        Ok(key)
    }

    /// Opens the evidence of one touch of this terminal in its own memory.
    ///
    /// # Errors
    /// [`Refusal::Evidence`] if it was not sealed for this platform, this statement and this key.
    pub fn open<'a>(
        &self,
        own: &EvidencePrivateKey,
        terminal: &TerminalKeyHash,
        secure_element: &EvidencePublicKey,
        (statement, counter): (&[u8; STATEMENT_LEN], u64),
        sealed: &'a mut SealedEvidence,
    ) -> Result<Evidence<'a>, Refusal> {
        let key = self.agreed(own, terminal, secure_element)?;
        Ok(key.open(statement, counter, sealed)?)
    }

    /// How many terminals have a key here.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no terminal has a key here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
