//! Revocation, and the report's table of what each event does to each certificate.

use crate::CertificateKind;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::store::{ReleaseOutcome, Revocation, RevokeOutcome};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::time::UnixSeconds;

/// What happened to a person or a card: the rows of the report's table "Reason of Revocation".
#[doc(alias = "失効事由")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CardEvent {
    /// Moved, married: one of the four attributes changed.
    #[doc(alias = "転居・婚姻等")]
    MovedOrMarried,
    /// Removed from the Basic Resident Register: died, or moved abroad.
    #[doc(alias = "住民票の消除")]
    LeftRegister,
    /// The card was reported lost. It may be found.
    #[doc(alias = "紛失")]
    LostCard,
    /// The certificates were renewed.
    #[doc(alias = "更新")]
    Renewed,
    /// The card was handed back.
    #[doc(alias = "返納")]
    ReturnedCard,
}

impl CardEvent {
    /// Every event, in the order of the report's table.
    pub const ALL: [Self; 5] =
        [Self::MovedOrMarried, Self::LeftRegister, Self::LostCard, Self::Renewed, Self::ReturnedCard];

    /// Why a certificate of this kind is revoked by the event; `None` if it stays good. Report, "Reason of
    /// Revocation". The same code means different things: `affiliationChanged` on a signature certificate
    /// may be a new address, on an authentication certificate it means that the person is gone.
    pub const fn reason_for(self, kind: CertificateKind) -> Option<RevocationReason> {
        match (self, kind) {
            (Self::MovedOrMarried, CertificateKind::CardHolderAuth) => None,
            (Self::MovedOrMarried, CertificateKind::DocumentSignature) | (Self::LeftRegister, _) => {
                Some(RevocationReason::AffiliationChanged)
            }
            (Self::LostCard, _) => Some(RevocationReason::CertificateHold),
            (Self::Renewed, _) => Some(RevocationReason::Superseded),
            (Self::ReturnedCard, _) => Some(RevocationReason::CessationOfOperation),
        }
    }
}

impl Authority {
    /// Revokes one certificate. It is durable at return, and in the next list.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotIssued`] for a serial number that was never spent here.
    pub fn revoke(
        &self,
        serial: SerialNumber,
        kind: CertificateKind,
        reason: RevocationReason,
        now: UnixSeconds,
    ) -> Result<RevokeOutcome, AuthorityError> {
        let outcomes = self.store.revoke(&[Revocation { kind, serial, reason, at: now }])?;
        // One asked, one answered.
        Ok(outcomes.first().copied().unwrap_or(RevokeOutcome::Recorded))
    }

    /// Applies an event to the card whose authentication certificate has this serial number: each of the
    /// card's certificates by the table, both or none. Returns what became of those that the event concerns.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotIssued`] for a serial number that was never spent here.
    pub fn apply_event(
        &self,
        event: CardEvent,
        auth_serial: &SerialNumber,
        now: UnixSeconds,
    ) -> Result<Vec<(CertificateKind, RevokeOutcome)>, AuthorityError> {
        let of_card = self.store.serials_of_card(CertificateKind::CardHolderAuth, auth_serial)?;
        let revocations: Vec<Revocation> = of_card
            .into_iter()
            .filter_map(|(kind, serial)| {
                Some(Revocation { kind, serial, reason: event.reason_for(kind)?, at: now })
            })
            .collect();
        let outcomes = self.store.revoke(&revocations)?;
        metrics::counter!("kazasu_card_events_total").increment(1);
        Ok(revocations.iter().map(|revocation| revocation.kind).zip(outcomes).collect())
    }

    /// Suspends one certificate: `certificateHold`. It may come back.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    #[doc(alias = "一時停止")]
    pub fn hold(
        &self,
        serial: SerialNumber,
        kind: CertificateKind,
        now: UnixSeconds,
    ) -> Result<RevokeOutcome, AuthorityError> {
        self.revoke(serial, kind, RevocationReason::CertificateHold, now)
    }

    /// Ends the holds of the card whose authentication certificate has this serial number: the card was
    /// found. The next complete lists leave them out, the next deltas say `removeFromCRL`. A certificate
    /// that was revoked for good in the meantime stays revoked.
    ///
    /// # Errors
    /// [`crate::store::StoreError::NotIssued`] for a serial number that was never spent here.
    #[doc(alias = "一時停止解除")]
    pub fn release_card(
        &self,
        auth_serial: &SerialNumber,
        now: UnixSeconds,
    ) -> Result<Vec<(CertificateKind, ReleaseOutcome)>, AuthorityError> {
        let of_card = self.store.serials_of_card(CertificateKind::CardHolderAuth, auth_serial)?;
        let outcomes = self.store.release(&of_card, now)?;
        metrics::counter!("kazasu_card_releases_total").increment(1);
        Ok(of_card.into_iter().map(|(kind, _)| kind).zip(outcomes).collect())
    }

    /// Ends the hold of one certificate.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub fn release(
        &self,
        serial: SerialNumber,
        kind: CertificateKind,
        now: UnixSeconds,
    ) -> Result<ReleaseOutcome, AuthorityError> {
        let outcomes = self.store.release(&[(kind, serial)], now)?;
        // One asked, one answered.
        Ok(outcomes.first().copied().unwrap_or(ReleaseOutcome::NotHeld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reports_table_row_by_row() {
        use RevocationReason::{AffiliationChanged, CertificateHold, CessationOfOperation, Superseded};
        // Event, signature certificate, authentication certificate: in the order of the report's columns.
        let table = [
            (CardEvent::MovedOrMarried, Some(AffiliationChanged), None),
            (CardEvent::LeftRegister, Some(AffiliationChanged), Some(AffiliationChanged)),
            (CardEvent::LostCard, Some(CertificateHold), Some(CertificateHold)),
            (CardEvent::Renewed, Some(Superseded), Some(Superseded)),
            (CardEvent::ReturnedCard, Some(CessationOfOperation), Some(CessationOfOperation)),
        ];
        assert_eq!(table.map(|(event, _, _)| event), CardEvent::ALL);
        for (event, on_signature, on_auth) in table {
            assert_eq!(event.reason_for(CertificateKind::DocumentSignature), on_signature, "{event:?}");
            assert_eq!(event.reason_for(CertificateKind::CardHolderAuth), on_auth, "{event:?}");
        }
    }
}
