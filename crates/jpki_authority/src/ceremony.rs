//! The key ceremony: how a key that others will trust comes to be, before witnesses, from a file that says
//! everything beforehand. docs/key-ceremony.md has the life of a key and the reason for each step.
//!
//! | module | holds |
//! |---|---|
//! | [`mod@file`] | what is to be made, who takes part |
//! | [`approval`] | the operators' signatures over the file |
//! | [`perform`] | the steps, each of which can be taken again after a crash |
//! | [`transcript`] | what was done, signed with the new key; and its check, years later |
//!
//! Invariants, each with a test:
//! - Nothing is made before two operators named in the file have signed the file as it is.
//! - Everything random is drawn and on disk before the first signature; a ceremony that broke off goes on
//!   where it was, with the same serial number and the same dates.
//! - Nothing is overwritten: neither a file nor a key in a token. The results appear all at once, or not.
//! - A key in a token was made there and can never leave it, or the ceremony fails.

pub mod approval;
pub mod file;
pub mod perform;
pub mod transcript;

use crate::ceremony::approval::ApprovalProblem;
use hsm::KeyError;
use pki::issue::IssueError;
use std::path::PathBuf;

/// Why a ceremony did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The file asks for something that cannot be meant.
    #[error("{key} {problem}")]
    File {
        /// Dotted name of the key.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The operators have not approved the file as it is.
    #[error(transparent)]
    Approval(#[from] ApprovalProblem),
    /// Something is there already where the results belong.
    #[error("{}: is there already, and a ceremony overwrites nothing", path.display())]
    AlreadyThere {
        /// What was found.
        path: PathBuf,
    },
    /// A key is there already where a new one belongs.
    #[error("there is a key already: {place}")]
    KeyTaken {
        /// Where.
        place: String,
    },
    /// Another ceremony broke off at the same place.
    #[error(
        "{}: another ceremony broke off here; finish it with its own file (ceremony.toml in there), or remove it",
        path.display()
    )]
    AnotherBrokeOff {
        /// Its unfinished folder.
        path: PathBuf,
    },
    /// A file that the ceremony needs or writes.
    #[error("{}: {problem}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The place of a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nothing was issued.
    #[error("nothing was issued: {0}")]
    Issue(#[from] IssueError),
    /// A check of the result failed; the results stay unfinished.
    #[error("the check \"{check}\" failed: {why}")]
    Check {
        /// Which.
        check: &'static str,
        /// Why.
        why: String,
    },
}

pub(crate) fn disk(path: &std::path::Path, problem: impl std::fmt::Display) -> CeremonyError {
    CeremonyError::Disk { path: path.to_path_buf(), problem: problem.to_string() }
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(octets: &[u8]) -> String {
    pki::ocsp::sha256(octets).iter().map(|octet| format!("{octet:02x}")).collect()
}
