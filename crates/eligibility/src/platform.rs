//! The platform's state: everything a check needs, in memory or behind a trait.

use crate::audit::AuditRecord;
use crate::config::Freshness;
use crate::error::Refusal;
use crate::evidence::OpeningKeys;
use crate::hashes;
use crate::keys::PlatformKeys;
use crate::nonce::NonceMint;
use crate::path_cache::PathCache;
use crate::receipts::{ReceiptLog, with_proof};
use crate::replay::ReplayLedger;
use crate::revocation::CurrentRevocation;
use crate::store::{Checkpoint, LastOutcome, RegisteredTerminal, Standing, Store};
use chassis::durable_log::{DurableLog, Pending};
use chassis::entropy::SystemEntropy;
use pki::validate::TrustAnchor;
use protocol::ids::{AuthCertSerial, TerminalKeyHash};
use protocol::sealed_evidence::EvidencePublicKey;
use protocol::statement::{FreshnessNonce, Purposes};
use protocol::time::{Clock, UnixSeconds};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How long a terminal's registration is believed without asking the store, in seconds. A suspended
/// terminal gets its last answer at most this long after the suspension.
const REGISTRATION_SECONDS: u64 = 1;
/// Paths kept per generation: about 16 MB in all, two generations.
const PATHS_KEPT: usize = 4096;

/// A registered terminal, and the hash of the consent text its patients must have seen.
#[derive(Clone, Debug)]
pub struct KnownTerminal {
    /// As registered.
    pub registered: RegisteredTerminal,
    /// SHA-256 of the consent text for its institution.
    pub consent_text_hash: [u8; 32],
}

/// What the platform is made of.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The audit log.
    pub log: DurableLog,
    /// The receipt log over it.
    pub receipts: Arc<ReceiptLog>,
    /// The platform's own keys.
    pub keys: PlatformKeys,
    /// The authentication CAs.
    pub anchors: Arc<Vec<TrustAnchor>>,
    /// The revocation index.
    pub revocation: Arc<CurrentRevocation>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Limits of freshness.
    pub freshness: Freshness,
    /// How Secure Elements are armed.
    pub unlock: crate::config::Unlock,
    /// How old a revocation status may be, in seconds.
    pub status_max_age_seconds: u64,
}

/// The platform.
pub struct Platform {
    pub(crate) store: Arc<dyn Store>,
    log: DurableLog,
    receipts: Arc<ReceiptLog>,
    pub(crate) keys: PlatformKeys,
    pub(crate) anchors: Arc<Vec<TrustAnchor>>,
    pub(crate) revocation: Arc<CurrentRevocation>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) freshness: Freshness,
    pub(crate) unlock: crate::config::Unlock,
    pub(crate) status_max_age_seconds: u64,
    pub(crate) mint: NonceMint,
    pub(crate) ledger: ReplayLedger,
    pub(crate) paths: PathCache,
    pub(crate) opening_keys: OpeningKeys,
    next_audit_record: AtomicU64,
    registrations: Mutex<HashMap<TerminalKeyHash, (UnixSeconds, Arc<KnownTerminal>)>>,
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Platform(…)")
    }
}

impl Platform {
    /// Starts from the checkpoint and the log behind it: after this, every terminal's last outcome is
    /// known again, however the process ended before.
    pub fn recover(parts: Parts) -> Result<Self, Refusal> {
        let checkpoint = parts.store.load_checkpoint()?;
        let mut outcomes: HashMap<TerminalKeyHash, LastOutcome> = checkpoint.outcomes.into_iter().collect();
        let mut next_audit_record = checkpoint.next_audit_record.max(1);
        let receipts = &parts.receipts;
        // The two follow the log each from its own point.
        parts
            .log
            .replay(checkpoint.next_sequence.min(receipts.size() + 1), |sequence, payload| {
                let record = AuditRecord::parse(payload);
                let commitment = record.as_ref().map_or_else(|| hashes::sha256(payload), |r| r.commitment);
                receipts.recover_record(sequence, commitment);
                let Some(mut record) = record else { return };
                next_audit_record = next_audit_record.max(record.number + 1);
                let newer = outcomes.get(&record.terminal).is_none_or(|o| o.counter < record.outcome.counter);
                if newer {
                    record.outcome.sequence = Some(sequence);
                    outcomes.insert(record.terminal, record.outcome);
                }
            })
            .map_err(|e| Refusal::Log(e.to_string()))?;
        receipts.recovered(parts.log.durable_sequence()).map_err(|e| Refusal::Log(e.to_string()))?;
        Ok(Self {
            mint: NonceMint::new(parts.keys.nonce_secret(), parts.freshness.nonce_validity_seconds),
            ledger: ReplayLedger::from_outcomes(outcomes),
            paths: PathCache::new(PATHS_KEPT),
            opening_keys: OpeningKeys::default(),
            next_audit_record: AtomicU64::new(next_audit_record),
            registrations: Mutex::default(),
            store: parts.store,
            log: parts.log,
            receipts: parts.receipts,
            keys: parts.keys,
            anchors: parts.anchors,
            revocation: parts.revocation,
            clock: parts.clock,
            freshness: parts.freshness,
            unlock: parts.unlock,
            status_max_age_seconds: parts.status_max_age_seconds,
        })
    }

    /// The terminal behind this TLS key, if it is registered and active.
    pub fn terminal(&self, key_hash: [u8; 32]) -> Result<Arc<KnownTerminal>, Refusal> {
        let key_hash = TerminalKeyHash(key_hash);
        let now = self.clock.now();
        let kept = {
            let registrations = self.registrations.lock().unwrap_or_else(PoisonError::into_inner);
            registrations.get(&key_hash).filter(|(at, _)| now.since(*at) <= REGISTRATION_SECONDS).cloned()
        };
        let known = match kept {
            Some((_, known)) => known,
            None => {
                let registered = self.store.terminal_by_key(&key_hash)?.ok_or(Refusal::TerminalUnknown)?;
                let consent_text_hash =
                    hashes::expected_consent(&registered.institution_name, Purposes::ELIGIBILITY);
                let known = Arc::new(KnownTerminal { registered, consent_text_hash });
                let mut registrations = self.registrations.lock().unwrap_or_else(PoisonError::into_inner);
                registrations.insert(key_hash, (now, Arc::clone(&known)));
                known
            }
        };
        match known.registered.standing {
            Standing::Active => Ok(known),
            Standing::Suspended => Err(Refusal::TerminalSuspended),
        }
    }

    /// The evidence keys agreed with Secure Elements so far, for tests and whoever watches memory.
    pub const fn opening_keys(&self) -> &OpeningKeys {
        &self.opening_keys
    }

    /// The public evidence key: for whom Secure Elements seal.
    pub const fn evidence_public_key(&self) -> &EvidencePublicKey {
        self.keys.evidence().public()
    }

    /// The revocation index in force, for whoever renews it.
    pub fn revocation(&self) -> &CurrentRevocation {
        &self.revocation
    }

    /// A fresh nonce for `terminal`.
    pub fn next_nonce(&self, terminal: &TerminalKeyHash) -> FreshnessNonce {
        self.mint.mint(terminal, self.clock.now(), &mut SystemEntropy)
    }

    /// The number of the next audit record. Numbers rise; a failed append leaves a gap.
    pub(crate) fn take_audit_record_number(&self) -> u64 {
        self.next_audit_record.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands the record of one check to the log. It is durable when the returned value says so.
    pub(crate) async fn record(
        &self,
        number: u64,
        at: UnixSeconds,
        terminal: TerminalKeyHash,
        serial: &AuthCertSerial,
        commitment: [u8; 32],
        outcome: &LastOutcome,
    ) -> Result<Pending, Refusal> {
        let record = AuditRecord {
            number,
            at,
            terminal,
            holder_tag: self.keys.holder_tag(serial),
            commitment,
            outcome: outcome.clone(),
        };
        let pending = self.log.enqueue(record.encode()).await.map_err(|e| Refusal::Log(e.to_string()))?;
        // No await between the hand-over and this line, see `check`.
        self.receipts.expect(pending.sequence(), commitment);
        metrics::counter!("kazasu_audit_records_total").increment(1);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
        metrics::gauge!("kazasu_audit_syncs").set(self.log.stats().syncs as f64);
        Ok(pending)
    }

    /// Saves what a restart needs, so that it replays little of the log.
    pub async fn checkpoint(&self) -> Result<(), Refusal> {
        // The position is read before the outcomes: a check that lands between the two is replayed
        // once more at the next start, which changes nothing.
        let next_sequence = self.log.durable_sequence() + 1;
        let next_audit_record = self.next_audit_record.load(Ordering::Relaxed);
        let outcomes = self.ledger.snapshot().await;
        let store = Arc::clone(&self.store);
        let saved = tokio::task::spawn_blocking(move || {
            store.save_checkpoint(&Checkpoint { next_sequence, next_audit_record, outcomes })
        });
        saved.await.map_err(|e| Refusal::Log(e.to_string()))?.map_err(Refusal::Store)?;
        let receipts = Arc::clone(&self.receipts);
        let saved = tokio::task::spawn_blocking(move || receipts.save());
        saved.await.map_err(|e| Refusal::Log(e.to_string()))?.map_err(|e| Refusal::Log(e.to_string()))
    }

    /// The receipt log.
    pub fn receipts(&self) -> &ReceiptLog {
        &self.receipts
    }

    /// The response with the proof that its record is in the receipt log.
    pub(crate) fn with_receipt_proof(&self, sequence: u64, body: Vec<u8>) -> Vec<u8> {
        match self.receipts.proof(sequence, self.log.durable_sequence()) {
            Some(proof) => with_proof(body, &proof),
            None => body,
        }
    }

    /// Records and syncs of the audit log so far: exact numbers for tests and metrics.
    pub fn log_stats(&self) -> chassis::durable_log::LogStats {
        self.log.stats()
    }
}
