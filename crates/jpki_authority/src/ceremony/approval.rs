//! The operators' approvals: signatures over the ceremony file as it is, in a file beside it.
//!
//! What is signed is text that an operator can read, and sign with tools of their own:
//! `openssl dgst -sha256 -sign KEY`. It names the digest of the file, so a changed file is not approved.

use super::file::CeremonyFile;
use super::{CeremonyError, disk, sha256_hex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::signer::IssuerSigner;
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Why a ceremony file is not approved.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApprovalProblem {
    /// Too few operators have signed.
    #[error("{found} of {needed} operators have signed this file; still missing: any of {missing}")]
    TooFew {
        /// Valid signatures of different operators.
        found: usize,
        /// How many it takes.
        needed: usize,
        /// Who has not signed.
        missing: String,
    },
    /// An approval does not verify: it was made for another state of the file, or with another key.
    #[error("the approval of {operator} is not for this file as it is now, or not by that operator's key")]
    Invalid {
        /// Who is said to have signed.
        operator: String,
    },
    /// An approval by somebody the file does not name, or by nobody's key.
    #[error("{operator} is not an operator of this ceremony")]
    Stranger {
        /// Who signed, or wants to.
        operator: String,
    },
}

/// One operator's signature.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The operator's name, as the ceremony file has it.
    pub operator: String,
    /// When, in seconds since 1970.
    pub signed_at: u64,
    /// ECDSA with SHA-256 over [`statement`], DER in Base64.
    pub signature: String,
}

/// The file of approvals.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// In the order they were given.
    #[serde(default, rename = "approval")]
    pub all: Vec<Approval>,
}

/// What an operator signs.
pub fn statement(file_octets: &[u8], operator: &str, at: UnixSeconds) -> String {
    format!(
        "Kazasu key ceremony, approval\nSHA-256 of the ceremony file: {}\noperator: {operator}\nat: {}\n",
        sha256_hex(file_octets),
        at.0
    )
}

/// Where the approvals of a ceremony file are: beside it, with `.approvals` behind its name.
pub fn approvals_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".approvals");
    name.into()
}

impl Approvals {
    /// Reads the approvals of a ceremony file; none if nobody has signed yet.
    ///
    /// # Errors
    /// The file is there and is not one.
    pub fn load(path: &Path) -> Result<Self, CeremonyError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(disk(path, error)),
        }
    }

    /// The same from text; `path` only appears in errors.
    ///
    /// # Errors
    /// Not approvals.
    pub fn parse(path: &Path, text: &str) -> Result<Self, CeremonyError> {
        chassis::config::parse_text(path, text).map_err(|error| disk(path, error))
    }

    /// The text of the file. Numbers, Base64 and quoted names: TOML that reads back.
    pub fn to_text(&self) -> String {
        let row = |approval: &Approval| {
            let name = serde_json::Value::from(approval.operator.as_str());
            format!(
                "[[approval]]\noperator = {name}\nsigned_at = {}\nsignature = \"{}\"\n\n",
                approval.signed_at, approval.signature
            )
        };
        self.all.iter().map(row).collect()
    }

    /// Adds the approval of the operator whose key `signer` is; an older one of the same operator goes.
    ///
    /// # Errors
    /// The key is of no operator of this ceremony, or does not sign.
    pub fn add(
        &mut self,
        file: &CeremonyFile,
        file_octets: &[u8],
        signer: &dyn IssuerSigner,
        now: UnixSeconds,
    ) -> Result<String, CeremonyError> {
        let mut found = None;
        for operator in &file.operators {
            if operator.spki_der()? == signer.spki_der() {
                found = Some(operator.name.clone());
            }
        }
        let stranger = || ApprovalProblem::Stranger { operator: "the holder of this key".to_owned() };
        let operator = found.ok_or_else(stranger)?;
        let signature = signer.sign(statement(file_octets, &operator, now).as_bytes());
        let signature = STANDARD.encode(signature.map_err(hsm::KeyError::from)?);
        self.all.retain(|approval| approval.operator != operator);
        self.all.push(Approval { operator: operator.clone(), signed_at: now.0, signature });
        Ok(operator)
    }

    /// Checks every approval, and that there are enough.
    ///
    /// # Errors
    /// [`ApprovalProblem`]; one bad approval spoils all, since somebody meddled.
    pub fn verify(&self, file: &CeremonyFile, file_octets: &[u8]) -> Result<(), CeremonyError> {
        let mut signed: Vec<&str> = Vec::new();
        for approval in &self.all {
            let name = || approval.operator.clone();
            let operator = file.operators.iter().find(|operator| operator.name == approval.operator);
            let operator = operator.ok_or_else(|| ApprovalProblem::Stranger { operator: name() })?;
            let statement = statement(file_octets, &approval.operator, UnixSeconds(approval.signed_at));
            let signature = STANDARD.decode(&approval.signature).unwrap_or_default();
            if !operator.verifying_key()?.verifies(statement.as_bytes(), &signature) {
                return Err(ApprovalProblem::Invalid { operator: name() }.into());
            }
            if !signed.contains(&operator.name.as_str()) {
                signed.push(&operator.name);
            }
        }
        if signed.len() >= file.approvals {
            return Ok(());
        }
        let missing: Vec<&str> = file
            .operators
            .iter()
            .map(|who| who.name.as_str())
            .filter(|name| !signed.contains(name))
            .collect();
        let (found, needed) = (signed.len(), file.approvals);
        Err(ApprovalProblem::TooFew { found, needed, missing: missing.join(", ") }.into())
    }
}
