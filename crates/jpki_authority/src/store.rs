//! What the authority keeps, as domain verbs. Eight atomic methods: each commits durably before it
//! returns, or changes nothing.

pub mod sqlite;

use crate::CertificateKind;
use pki::crl::RevokedEntry;
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;

/// Why the store did not do what it was asked to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine failed.
    #[error("the store failed: {0}")]
    Engine(String),
    /// The store holds something that this program cannot read.
    #[error("the store holds {0} that cannot be read")]
    Unreadable(&'static str),
    /// The serial number was used before.
    #[error("the serial number was used before")]
    SerialTaken,
    /// No certificate with this serial number was ever begun here.
    #[error("no such certificate was issued here")]
    NotIssued,
}

/// A revocation to be recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Which kind of certificate.
    pub kind: CertificateKind,
    /// Which certificate.
    pub serial: SerialNumber,
    /// Why.
    pub reason: RevocationReason,
    /// Since when.
    pub at: UnixSeconds,
}

/// What became of a revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RevokeOutcome {
    /// It is recorded and will be in the next list.
    Recorded,
    /// The certificate was revoked before, and that stands: a permanent reason never changes, a second
    /// hold keeps the date of the first.
    Stands {
        /// The reason that stands.
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
}

/// For whom a key reference is spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReferenceHolder<'a> {
    /// A terminal of this institution.
    Institution(&'a InstitutionCode),
    /// The accredited body's next certificate.
    AccreditedBody,
    /// A batch of cards.
    Batch,
}

impl ReferenceHolder<'_> {
    /// The text that is kept: no institution code is a word.
    pub fn text(&self) -> &str {
        match self {
            Self::Institution(code) => code.as_str(),
            Self::AccreditedBody => "accredited-body",
            Self::Batch => "batch",
        }
    }
}

/// A list about to be signed: its number is already spent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListDraft {
    /// Number of the list.
    pub number: u64,
    /// Every revoked certificate of the kind.
    pub entries: Vec<RevokedEntry>,
}

/// The authority's memory.
pub trait Store: Send + Sync {
    /// Spends the serial numbers of one card's certificates, before anything is signed with them. All of
    /// them or none.
    ///
    /// # Errors
    /// [`StoreError::SerialTaken`] if one of them was spent before.
    fn spend_serials(
        &self,
        serials: &[(CertificateKind, SerialNumber)],
        at: UnixSeconds,
    ) -> Result<(), StoreError>;

    /// Keeps a signed certificate under its spent serial number.
    ///
    /// # Errors
    /// [`StoreError::NotIssued`] if the serial number was not spent.
    fn keep_certificate(
        &self,
        kind: CertificateKind,
        serial: &SerialNumber,
        der: &[u8],
        not_after: UnixSeconds,
    ) -> Result<(), StoreError>;

    /// The serial numbers spent together with this one, itself included: the certificates of one card.
    ///
    /// # Errors
    /// [`StoreError::NotIssued`] if there are none.
    fn serials_of_card(
        &self,
        kind: CertificateKind,
        serial: &SerialNumber,
    ) -> Result<Vec<(CertificateKind, SerialNumber)>, StoreError>;

    /// Records revocations, all or none; outcomes in the order asked.
    ///
    /// # Errors
    /// [`StoreError::NotIssued`] if one of the serial numbers was never spent.
    fn revoke(&self, revocations: &[Revocation]) -> Result<Vec<RevokeOutcome>, StoreError>;

    /// Spends the next list number of a kind and reads what is revoked, in one transaction.
    ///
    /// # Errors
    /// The engine's.
    fn begin_list(&self, kind: CertificateKind) -> Result<ListDraft, StoreError>;

    /// Keeps a signed list, unless a later one is kept already.
    ///
    /// # Errors
    /// The engine's.
    fn keep_list(&self, kind: CertificateKind, number: u64, der: &[u8]) -> Result<(), StoreError>;

    /// The latest list kept.
    ///
    /// # Errors
    /// The engine's.
    fn latest_list(&self, kind: CertificateKind) -> Result<Option<Vec<u8>>, StoreError>;

    /// Spends the next key reference, counted from 1 over all chains of card-verifiable certificates.
    ///
    /// # Errors
    /// The engine's.
    fn spend_key_reference(&self, holder: ReferenceHolder<'_>, at: UnixSeconds) -> Result<u32, StoreError>;
}
