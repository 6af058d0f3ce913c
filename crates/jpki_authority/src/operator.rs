//! What one operator does with one card, at once: report a loss, revoke, hold, release. Ordinary revocation
//! waits for nobody: the municipal office and the holder's telephone call are one person each
//! (docs/approval.md). None of it needs an authority's key, so none is opened for it.
//!
//! Each act has its line in the audit before it is done: there is no change without one.

pub mod at_work;

use crate::CertificateKind;
use crate::audit::{AuditKey, AuditLine, Entry};
use crate::config::Config;
use crate::error::AuthorityError;
use crate::linkage::{LinkageFacts, StoreQuestion};
use crate::revoke::CardEvent;
use crate::store::sqlite::SqliteStore;
use crate::store::{ReleaseOutcome, Revocation, RevokeOutcome, Standing, Store};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::entropy::Entropy;
use protocol::linkage_v1::LinkageQuestion;
use protocol::time::UnixSeconds;
use std::sync::Arc;

/// A certificate: its kind and number.
pub type Named = (CertificateKind, SerialNumber);

/// What an operator wants to become of a card's certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// What the report's table says for this event.
    Event(CardEvent),
    /// One reason for one of them, or for both.
    Reason {
        /// Why.
        reason: RevocationReason,
        /// Which; `None` for all that the card has.
        only: Option<CertificateKind>,
    },
}

impl Change {
    /// The reason for a certificate of this kind; `None` if it stays as it is.
    pub const fn reason_for(self, kind: CertificateKind) -> Option<RevocationReason> {
        match self {
            Self::Event(event) => event.reason_for(kind),
            Self::Reason { reason, only: None } => Some(reason),
            Self::Reason { reason, only: Some(only) } => match (only, kind) {
                (CertificateKind::CardHolderAuth, CertificateKind::CardHolderAuth)
                | (CertificateKind::DocumentSignature, CertificateKind::DocumentSignature) => Some(reason),
                _ => None,
            },
        }
    }

    fn word(self) -> String {
        match self {
            Self::Event(event) => format!("event {}", event.word()),
            Self::Reason { reason, .. } => reason.as_str().to_owned(),
        }
    }
}

impl CardEvent {
    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MovedOrMarried => "moved_or_married",
            Self::LeftRegister => "left_register",
            Self::LostCard => "lost_card",
            Self::Renewed => "renewed",
            Self::ReturnedCard => "returned_card",
        }
    }
}

/// What became of one certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Became {
    /// It has this reason now.
    Revoked(RevocationReason),
    /// It had this reason already.
    Already(RevocationReason, UnixSeconds),
    /// It stays as it is: the event does not concern it.
    Untouched,
    /// It was revoked for good before, with another reason, and that never changes.
    Stands(RevocationReason, UnixSeconds),
    /// Its hold is over; since when it had been.
    Released(UnixSeconds),
    /// There was no hold to end.
    NotHeld,
}

/// One certificate of a card as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Which.
    pub named: Named,
    /// How it stands.
    pub standing: Standing,
    /// What replaced it, over any number of renewals.
    pub successor: Option<(SerialNumber, Standing)>,
}

/// Where an operator sits: the store and the audit's key.
pub struct OperatorDesk {
    store: Arc<dyn Store>,
    key: AuditKey,
}

impl std::fmt::Debug for OperatorDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperatorDesk")
    }
}

impl OperatorDesk {
    /// At the store of the authority with this configuration, whether it runs or not.
    ///
    /// # Errors
    /// A store or an audit key that cannot be used.
    pub fn open(config: &Config, entropy: &mut dyn Entropy) -> Result<Self, AuthorityError> {
        let store = Arc::new(SqliteStore::open(&config.store)?);
        let key = AuditKey::open(&config.keys_dir, store.as_ref(), entropy)?;
        Ok(Self { store, key })
    }

    /// With the parts given.
    pub const fn with_parts(store: Arc<dyn Store>, key: AuditKey) -> Self {
        Self { store, key }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The audit's key.
    pub const fn audit_key(&self) -> &AuditKey {
        &self.key
    }

    /// The certificates of the card that has this one, itself included.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotIssued`].
    pub fn card_of(&self, (kind, serial): &Named) -> Result<Vec<Named>, AuthorityError> {
        Ok(self.store.serials_of_card(*kind, serial)?)
    }

    /// One line for each certificate, before anything is done.
    fn note(
        &self,
        (who, act): (&str, &str),
        certificates: &[Named],
        outcome: &str,
        now: UnixSeconds,
    ) -> Result<(), AuthorityError> {
        let line = |(kind, serial): &Named| AuditLine {
            at: now,
            who: who.to_owned(),
            act: act.to_owned(),
            purpose: String::new(),
            about: self.key.reference(*kind, serial),
            outcome: outcome.to_owned(),
        };
        let lines: Vec<AuditLine> = certificates.iter().map(line).collect();
        self.store.append_audit(Entry { key: &self.key, lines: &lines })?;
        Ok(())
    }

    /// Revokes or holds the certificates of a card, all that the change concerns or none. `who` is for the
    /// audit. Durable at return; OCSP says it at once, lists when they are published next.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotIssued`].
    pub fn change(
        &self,
        card: &Named,
        change: Change,
        who: &str,
        now: UnixSeconds,
    ) -> Result<Vec<(Named, Became)>, AuthorityError> {
        let of_card = self.card_of(card)?;
        let asked: Vec<(Named, Option<RevocationReason>)> =
            of_card.into_iter().map(|named| (named, change.reason_for(named.0))).collect();
        let concerned: Vec<Named> =
            asked.iter().filter(|(_, reason)| reason.is_some()).map(|(named, _)| *named).collect();
        self.note((who, "revoke"), &concerned, &change.word(), now)?;
        let revocations: Vec<Revocation> = asked
            .iter()
            .filter_map(|((kind, serial), reason)| {
                Some(Revocation { kind: *kind, serial: *serial, reason: (*reason)?, at: now })
            })
            .collect();
        let mut outcomes = self.store.revoke(&revocations)?.into_iter();
        metrics::counter!("kazasu_card_events_total").increment(1);
        let became = |reason: Option<RevocationReason>| match reason {
            None => Became::Untouched,
            Some(reason) => match outcomes.next() {
                Some(RevokeOutcome::Stands { reason: stands, at }) if stands == reason => {
                    Became::Already(stands, at)
                }
                Some(RevokeOutcome::Stands { reason: stands, at }) => Became::Stands(stands, at),
                // One asked, one answered.
                Some(RevokeOutcome::Recorded) | None => Became::Revoked(reason),
            },
        };
        let (named, reasons): (Vec<Named>, Vec<_>) = asked.into_iter().unzip();
        Ok(named.into_iter().zip(reasons.into_iter().map(became)).collect())
    }

    /// Ends the holds of a card, or of one of its certificates.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotIssued`].
    pub fn release(
        &self,
        card: &Named,
        only: Option<CertificateKind>,
        who: &str,
        now: UnixSeconds,
    ) -> Result<Vec<(Named, Became)>, AuthorityError> {
        let mut of_card = self.card_of(card)?;
        of_card.retain(|(kind, _)| only.is_none_or(|only| only == *kind));
        self.note((who, "release"), &of_card, "asked", now)?;
        let outcomes = self.store.release(&of_card, now)?;
        let became = |outcome| match outcome {
            ReleaseOutcome::Released { held_since } => Became::Released(held_since),
            ReleaseOutcome::NotHeld => Became::NotHeld,
            ReleaseOutcome::Stands { reason, at } => Became::Stands(reason, at),
        };
        Ok(of_card.into_iter().zip(outcomes.into_iter().map(became)).collect())
    }

    /// How a card's certificates stand, and what replaced them.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotIssued`].
    pub fn look(&self, card: &Named, who: &str, now: UnixSeconds) -> Result<Vec<Seen>, AuthorityError> {
        let of_card = self.card_of(card)?;
        self.note((who, "show"), &of_card, "told", now)?;
        let questions: Vec<StoreQuestion> = of_card
            .iter()
            .map(|(kind, serial)| StoreQuestion {
                ask: match kind {
                    CertificateKind::CardHolderAuth => LinkageQuestion::RenewedAuth,
                    CertificateKind::DocumentSignature => LinkageQuestion::RenewedSign,
                },
                serial: *serial,
            })
            .collect();
        let facts = self.store.linkage_facts(&questions)?;
        let mut seen = Vec::with_capacity(of_card.len());
        for (named, LinkageFacts { found, .. }) in of_card.into_iter().zip(facts) {
            if let Some(standing) = self.store.standing(named.0, &named.1)? {
                seen.push(Seen { named, standing, successor: found });
            }
        }
        Ok(seen)
    }
}
