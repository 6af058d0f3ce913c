//! The authority that issues and revokes card holders' certificates: the role of the agency behind the
//! JPKI, with test names and test keys. Report, "New JPKI", "Reason of Revocation", "External Auth. Scheme".
//!
//! | module | does |
//! |---|---|
//! | [`authority`] | [`Authority`]: keys made once, taken up again at every start |
//! | [`ceremony`] | how keys that others will trust come to be: approved, checked, written down |
//! | [`issue`] | a person's two certificates |
//! | [`revoke`] | revocation, hold and release, and the report's table of events and reasons |
//! | [`publish`], [`plan`] | revocation lists with rising numbers: complete, in shards, as deltas; which is due when |
//! | [`ocsp`], [`delegate`] | online status, and the short-lived keys that sign it |
//! | [`accredit`] | the card-verifiable chain of a terminal: root → accredited body → Secure Element |
//! | [`accredit::eac`] | the same by profile `eac`, for days; and batches of cards |
//! | [`linkage`] | sign ↔ auth and old → new for accredited institutions, over mutual TLS |
//! | [`operator`] | what one operator does with one card, at once |
//! | [`approval`] | what takes two operators: requests, decisions, execution once |
//! | [`audit`] | one chained line for each question, decision and change |
//! | [`http`] | public pages: lists, authority certificates, an index |
//! | [`serve`] | the process |
//! | [`store`], [`config`], [`error`] | furniture |
//!
//! Invariants, each with a test:
//! - A serial number, a list number and a key reference are committed to the store *before* anything is
//!   signed with them. A signer that fails burns the number; no number is used twice.
//! - List numbers rise for ever, across restarts and crashes. No certificate leaves a list but by release
//!   from a hold, or after a list issued past its last day.
//! - A certificate with a permanent reason never becomes good again and never changes its reason; a
//!   hold may become permanent, or end.
//! - An OCSP answer speaks of the status that is in the store, not of a list made earlier.
//! - No linkage is told, no operator's request decided or executed without a line in the audit that is
//!   durable first, or with it; a line that is changed or taken away is noticed.
//! - What takes two people is executed once, from bytes that both signed.
//! - The authentication certificate carries no personal data; the store does, and only inside signature
//!   certificates. No serial number, name or address is logged.

pub mod accredit;
pub mod approval;
pub mod audit;
pub mod authority;
pub mod ceremony;
pub mod config;
pub mod delegate;
pub mod error;
pub mod http;
pub mod issue;
pub mod linkage;
pub mod ocsp;
pub mod operator;
pub mod plan;
pub mod publish;
pub mod revoke;
pub mod serve;
pub mod store;

pub use authority::Authority;
pub use issue::{IssuedCertificate, PersonCertificates, PersonRegistration};
pub use revoke::CardEvent;

use pki::profile::JpkiPurpose;

/// Which of a card's two certificates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CertificateKind {
    /// The card-holder authentication certificate: every card has one.
    #[doc(alias = "利用者証明用電子証明書")]
    CardHolderAuth,
    /// The signature certificate: not on every card (children under 15 have none).
    #[doc(alias = "署名用電子証明書")]
    DocumentSignature,
}

impl CertificateKind {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::CardHolderAuth, Self::DocumentSignature];

    /// Word for file names, paths and metrics: `auth` or `sign`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CardHolderAuth => "auth",
            Self::DocumentSignature => "sign",
        }
    }

    /// What the issuing authority is for.
    pub const fn purpose(self) -> JpkiPurpose {
        match self {
            Self::CardHolderAuth => JpkiPurpose::Authentication,
            Self::DocumentSignature => JpkiPurpose::Signature,
        }
    }
}
