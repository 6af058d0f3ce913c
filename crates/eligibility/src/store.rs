//! What the platform keeps, as domain verbs: one trait for each use, at most eight atomic methods each; every
//! engine passes the same conformance suite.

pub mod feed;
pub mod links;
pub mod sqlite;

use crate::history::{AsOf, InForce};
use protocol::answer::{Coverage, InsurerLoad, RegisteredPerson};
use protocol::ids::{AuthCertSerial, InstitutionCode, InsurerNumber, SecureElementId, TerminalKeyHash};
use protocol::time::UnixSeconds;

/// Whether a terminal may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It may.
    Active,
    /// It may not, until it is reinstated.
    Suspended,
}

/// A terminal as registered: key, institution, Secure Element.
#[doc(alias = "登録端末")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisteredTerminal {
    /// SHA-256 of its TLS SubjectPublicKeyInfo.
    pub terminal_key_hash: TerminalKeyHash,
    /// The institution it stands in.
    pub institution: InstitutionCode,
    /// That institution's name, as the consent screen shows it.
    pub institution_name: String,
    /// The Secure Element built into it.
    pub secure_element: SecureElementId,
    /// Whether it may ask.
    pub standing: Standing,
}

/// Whether the insurer has confirmed that this card belongs to this coverage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// Confirmed.
    Confirmed,
    /// The coverage is loaded, the card is not confirmed yet.
    NotYet,
}

/// One coverage of a person, with the state of its link to the card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoverageRow {
    /// The coverage.
    pub coverage: Coverage,
    /// Its link.
    pub link: Link,
}

/// Everything known behind one serial, as a question with its two times sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holdings {
    /// The person as registered.
    pub person: RegisteredPerson,
    /// What is in force on the day of the visit, of the confirmed ones: one, none, or a conflict.
    pub in_force: InForce,
    /// All coverages, past and present, confirmed or not, with the terms of the day of the visit.
    pub rows: Vec<CoverageRow>,
    /// When the insurers of those coverages last loaded.
    pub loads: Vec<InsurerLoad>,
}

/// What a serial leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// To a person and their coverages.
    Linked(Holdings),
    /// To nobody; who loaded last, and when.
    NotLinked {
        /// The most recent loads, newest first.
        loads: Vec<InsurerLoad>,
    },
}

/// One person in an insurer's load.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The platform's own key for the person; never derived from a national number.
    pub person_key: u64,
    /// The person as registered.
    pub person: RegisteredPerson,
    /// The certificate serial to link, where the insurer has confirmed the card.
    pub auth_cert_serial: Option<AuthCertSerial>,
    /// The coverages.
    pub rows: Vec<CoverageRow>,
}

/// The last outcome of a terminal, kept so that a lost response costs no second touch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastOutcome {
    /// Sequence of its record in the audit log, once it has one.
    pub sequence: Option<u64>,
    /// Highest counter accepted.
    pub counter: u64,
    /// SHA-256 of the statement and seal that got it.
    pub touch_sha256: [u8; 32],
    /// HTTP status of the response.
    pub status: u16,
    /// The response body, byte for byte.
    pub body: Vec<u8>,
}

/// A point in the durable log up to which the store knows every terminal's last outcome.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// The first log sequence that the checkpoint does not cover.
    pub next_sequence: u64,
    /// The next audit record's number.
    pub next_audit_record: u64,
    /// Last outcomes by terminal.
    pub outcomes: Vec<(TerminalKeyHash, LastOutcome)>,
}

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine failed.
    #[error("the store failed: {0}")]
    Engine(String),
    /// What is stored cannot be read back.
    #[error("the store holds something that cannot be read: {0}")]
    Unreadable(&'static str),
    /// The numbers of one member are to stand for another person.
    #[error("one symbol, number and branch of an insurer cannot stand for two people")]
    TwoPeople,
    /// A load that is not under way was to be added to.
    #[error("the load is not under way")]
    NotUnderWay,
}

/// The store of the platform. Every method is atomic; look-ups are batch-first.
pub trait Store: Send + Sync {
    /// The terminal of this key, if it is registered.
    fn terminal_by_key(&self, terminal: &TerminalKeyHash) -> Result<Option<RegisteredTerminal>, StoreError>;
    /// Registers terminals, or replaces what is known of them.
    fn register_terminals(&self, terminals: &[RegisteredTerminal]) -> Result<(), StoreError>;
    /// What each serial leads to for this visit, as far as is known, in the order asked.
    fn lookup_by_serials(&self, serials: &[AuthCertSerial], as_of: &AsOf) -> Result<Vec<Lookup>, StoreError>;
    /// Applies one insurer's load of registered people as a whole: people, coverages, links, and the time of
    /// the load. For what the platform's operator vouches for; an insurer's own files go through a feed.
    fn apply_load(
        &self,
        insurer: &InsurerNumber,
        insurer_name: &str,
        enrolments: &[Enrolment],
        at: UnixSeconds,
    ) -> Result<(), StoreError>;
    /// Records once per serial that the insurer has to be told that the holder left the register.
    fn record_insurer_notice(&self, serial: &AuthCertSerial, at: UnixSeconds) -> Result<(), StoreError>;
    /// Replaces the checkpoint.
    fn save_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError>;
    /// The newest checkpoint.
    fn load_checkpoint(&self) -> Result<Checkpoint, StoreError>;
}
