//! What can go wrong in this room. No text carries a serial number, a name or a key.

use crate::approval::ApprovalError;
use crate::store::StoreError;
use card::cvc::CvcError;
use card::eac::card_side::MaterialError;
use card::eac::cvc::ImportError;
use card::eac::p256::P256Error;
use hsm::KeyError;
use pki::asn1::read::Malformed;
use pki::crl::CrlProblem;
use pki::issue::IssueError;
use pki::signer::SignError;
use std::path::PathBuf;

/// Why the authority did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A configured value cannot be meant.
    #[error("{key} {problem}")]
    Config {
        /// Dotted name of the key.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        problem: String,
    },
    /// `init` found keys: making new ones would orphan every certificate issued with the old ones.
    #[error("{}: there is an authority already", path.display())]
    AlreadyThere {
        /// The key that was found.
        path: PathBuf,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A request or a decision of an operator does not count.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// The institution's terminals get no certificates.
    #[error("the institution is not accredited, or its accreditation is suspended")]
    NotAccredited,
    /// Nothing was signed.
    #[error("issuing: {0}")]
    Issue(#[from] IssueError),
    /// A key could not be made or used.
    #[error("a key of the authority: {0}")]
    Key(#[from] SignError),
    /// A key cannot be made or used where the configuration says that it is.
    #[error("a key of the authority: {0}")]
    KeyPlace(#[from] KeyError),
    /// An own certificate is not usable.
    #[error("a certificate of the authority: {0}")]
    OwnCertificate(#[from] Malformed),
    /// An own list does not read back; it is not served.
    #[error("a list of the authority: {0}")]
    OwnList(#[from] CrlProblem),
    /// A new list does not follow from the one before it; it is not served.
    #[error("a list of the authority: {0}")]
    Succession(&'static str),
    /// The terminal chain.
    #[error("the terminal chain: {0}")]
    TerminalChain(#[from] CvcError),
    /// A certificate of profile `eac`.
    #[error("a certificate of profile eac: {0}")]
    EacChain(#[from] ImportError),
    /// A key of profile `eac`.
    #[error("a key of profile eac: {0}")]
    EacKey(#[from] P256Error),
    /// Material for a batch of cards.
    #[error("material for a batch of cards: {0}")]
    EacMaterial(#[from] MaterialError),
    /// The authority was made without the keys of profile `eac`.
    #[error("this authority was made without the keys of profile eac")]
    NoEac,
    /// A life that a terminal's certificate does not get.
    #[error("a terminal certificate of profile eac counts for 1 to {days_max} days")]
    EacDays {
        /// The longest.
        days_max: u32,
    },
    /// Every key reference of the terminal chain is used up.
    #[error("no key reference is left for another terminal")]
    ReferencesExhausted,
}
