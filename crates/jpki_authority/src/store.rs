//! What the authority keeps, as domain verbs in groups. Each verb commits durably before it
//! returns, or changes nothing.

pub mod sqlite;

use crate::CertificateKind;
use crate::approval::desk::{ApprovalStore, InstitutionStore};
use crate::audit::AuditStore;
use crate::linkage::LinkageStore;
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
    /// A request of this name was filed before.
    #[error("a request of this name was filed before")]
    RequestKnown,
    /// The request is not, or no longer, in the state that this needs.
    #[error("the request is decided or executed already")]
    RequestDecided,
    /// There are two operators: founding is over.
    #[error("there are two operators already")]
    FoundingOver,
    /// The name or the key is another operator's, or was.
    #[error("the name or the key is another operator's, or was")]
    OperatorKnown,
}

/// A serial number about to be spent, and the part of the list that will speak of it for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewCertificate {
    /// Which kind of certificate.
    pub kind: CertificateKind,
    /// Its serial number.
    pub serial: SerialNumber,
    /// The shard named in the certificate; none if it names none.
    pub shard: Option<u16>,
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

/// What became of a release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseOutcome {
    /// The hold is over.
    Released {
        /// Since when it had been.
        held_since: UnixSeconds,
    },
    /// There was no hold.
    NotHeld,
    /// A permanent reason stands.
    Stands {
        /// The reason that stands.
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
}

/// What is known of a certificate now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Reason and date, if it is revoked or on hold.
    pub revoked: Option<(RevocationReason, UnixSeconds)>,
    /// Last instant of validity; none for a serial number that was spent and never signed.
    pub not_after: Option<UnixSeconds>,
    /// Count of the last change of its status, 0 if it never changed: two equal counts mean one status.
    pub changed: u64,
}

/// What a list covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ListScope {
    /// Every certificate of the kind.
    Everything,
    /// The certificates that name this shard.
    Shard(u16),
}

/// Complete, or the changes since a complete one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ListForm {
    /// RFC 5280 §5.
    Complete,
    /// RFC 5280 §5.2.4.
    Delta,
}

/// One of the lists of a kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListName {
    /// What it covers.
    pub scope: ListScope,
    /// Complete or delta.
    pub form: ListForm,
}

/// A complete list that deltas build on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BaseList {
    /// Its number.
    pub number: u64,
    /// The count of status changes that it had seen.
    pub seen: u64,
}

/// One list about to be signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListDraft {
    /// Which one.
    pub name: ListName,
    /// For a delta, what it builds on.
    pub base: Option<BaseList>,
    /// What it says; for a delta, what changed since its base.
    pub entries: Vec<RevokedEntry>,
}

/// A round of publication: its number is already spent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoundDraft {
    /// Number of every list of the round.
    pub number: u64,
    /// Count of the last status change that the drafts have seen.
    pub seen: u64,
    /// The lists; a delta that has nothing to build on is left out.
    pub lists: Vec<ListDraft>,
}

/// A signed list, to be kept and served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedList {
    /// Which one.
    pub name: ListName,
    /// thisUpdate.
    pub this_update: UnixSeconds,
    /// The list in DER.
    pub der: Vec<u8>,
}

/// A list that was kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptList {
    /// Which one.
    pub name: ListName,
    /// Its number.
    pub number: u64,
    /// The list in DER.
    pub der: Vec<u8>,
}

/// Certificates and their status.
pub trait CertificateStore: Send + Sync {
    /// Spends the serial numbers of one card's certificates, before anything is signed with them. All of
    /// them or none. `successor_of` is an authentication certificate whose card this one replaces.
    ///
    /// # Errors
    /// [`StoreError::SerialTaken`] if one of them was spent before, [`StoreError::NotIssued`] for a
    /// predecessor that was never spent.
    fn spend_serials(
        &self,
        certificates: &[NewCertificate],
        successor_of: Option<&SerialNumber>,
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

    /// The serial numbers of the card that replaced the card of this one; empty if none has.
    ///
    /// # Errors
    /// [`StoreError::NotIssued`] if the serial number was never spent.
    fn serials_of_successor(
        &self,
        kind: CertificateKind,
        serial: &SerialNumber,
    ) -> Result<Vec<(CertificateKind, SerialNumber)>, StoreError>;

    /// Records revocations, all or none; outcomes in the order asked.
    ///
    /// # Errors
    /// [`StoreError::NotIssued`] if one of the serial numbers was never spent.
    fn revoke(&self, revocations: &[Revocation]) -> Result<Vec<RevokeOutcome>, StoreError>;

    /// Ends holds, all or none; outcomes in the order asked.
    ///
    /// # Errors
    /// [`StoreError::NotIssued`] if one of the serial numbers was never spent.
    fn release(
        &self,
        certificates: &[(CertificateKind, SerialNumber)],
        at: UnixSeconds,
    ) -> Result<Vec<ReleaseOutcome>, StoreError>;

    /// What is known of a certificate: everything that any process has recorded before the question.
    /// `None` for a serial number that was never spent.
    ///
    /// # Errors
    /// The engine's.
    fn standing(&self, kind: CertificateKind, serial: &SerialNumber) -> Result<Option<Standing>, StoreError>;
}

/// Revocation lists.
pub trait ListStore: Send + Sync {
    /// Spends the next list number of a kind and reads what the lists called `due` will say, in one
    /// transaction: all lists of a round speak of the same instant.
    ///
    /// A certificate that is out of date stays listed until a complete list has said so after its last
    /// day (RFC 5280 §3.3).
    ///
    /// # Errors
    /// The engine's.
    fn begin_round(&self, kind: CertificateKind, due: &[ListName]) -> Result<RoundDraft, StoreError>;

    /// Keeps the signed lists of a round, all or none; each of them unless a later one is kept already.
    ///
    /// # Errors
    /// The engine's.
    fn keep_round(
        &self,
        kind: CertificateKind,
        number: u64,
        seen: u64,
        lists: &[SignedList],
    ) -> Result<(), StoreError>;

    /// The latest list of each name.
    ///
    /// # Errors
    /// The engine's.
    fn kept_lists(&self, kind: CertificateKind) -> Result<Vec<KeptList>, StoreError>;

    /// One more than the highest shard that a certificate of the kind names; 0 if none does.
    ///
    /// # Errors
    /// The engine's.
    fn shards_named(&self, kind: CertificateKind) -> Result<u16, StoreError>;
}

/// The authority's memory.
pub trait Store:
    CertificateStore + ListStore + LinkageStore + AuditStore + ApprovalStore + InstitutionStore
{
    /// Spends the next key reference, counted from 1 over all chains of card-verifiable certificates.
    ///
    /// # Errors
    /// The engine's.
    fn spend_key_reference(&self, holder: ReferenceHolder<'_>, at: UnixSeconds) -> Result<u32, StoreError>;
}
