//! The transcript: what was done, by whom, with which results; and its check later.
//!
//! Two files: `transcript.json`, and `transcript.sig` over its octets as they are, so that anybody can verify
//! it: `openssl dgst -sha256 -verify public-key.pem -signature transcript.sig transcript.json`. The new key
//! signs it: its first act is to say how it came to be. The text begins with `{`, and what certificates and
//! lists are signed over begins with a DER SEQUENCE: neither can be taken for the other.

use super::approval::Approvals;
use super::file::CeremonyFile;
use super::perform::check_chain;
use super::{CeremonyError, disk, sha256_hex};
use hsm::{KeyAlgorithm, KeyProtection};
use pki::certificate::Certificate;
use pki::pem::{self, PemKind};
use pki::public_key::VerifyingKey;
use pki::signer::IssuerSigner;
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The version of the format.
pub const FORMAT: u32 = 1;

/// Files that a transcript may list, in its order.
pub(super) const ARTEFACTS: [&str; 7] = [
    "ceremony.toml",
    "approvals.toml",
    "began.json",
    "issuer.pem",
    "certificate.pem",
    "request.pem",
    "public-key.pem",
];

/// The whole transcript.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// [`FORMAT`].
    #[serde(rename = "kazasu_key_ceremony")]
    pub format: u32,
    /// What the ceremony was called.
    pub title: String,
    /// Why it was held.
    pub reason: String,
    /// `root`, `subordinate`, `request`, `certify` or `delegate`.
    pub made: String,
    /// The program and its version.
    pub tool: String,
    /// When it began: RFC 3339.
    pub began: String,
    /// When everything was made and checked: RFC 3339.
    pub finished: String,
    /// SHA-256 of the ceremony file, which the operators signed.
    pub ceremony_sha256: String,
    /// Who approved.
    pub operators: Vec<OperatorRecord>,
    /// Who watched: name and capacity.
    pub witnesses: Vec<(String, String)>,
    /// The key that was made, if one was.
    pub key: Option<KeyRecord>,
    /// SHA-256 of the SubjectPublicKeyInfo of the key that signed this transcript.
    pub signed_by: String,
    /// What was checked before the transcript was written.
    pub checks: Vec<String>,
    /// The results.
    pub artefacts: Vec<Artefact>,
}

/// An operator who approved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorRecord {
    /// Name.
    pub name: String,
    /// SHA-256 of the operator's SubjectPublicKeyInfo.
    pub public_key_sha256: String,
    /// When: RFC 3339.
    pub approved: String,
}

/// The key that was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Where it is.
    pub place: String,
    /// Which kind.
    pub algorithm: KeyAlgorithm,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub public_key_sha256: String,
    /// What the token says of it; none for a file.
    pub protection: Option<KeyProtection>,
}

/// A result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// Name in the folder.
    pub file: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Length.
    pub octets: usize,
}

impl Artefact {
    pub(super) fn of(file: &str, octets: &[u8]) -> Self {
        Self { file: file.to_owned(), sha256: sha256_hex(octets), octets: octets.len() }
    }
}

/// One thing that a check looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Looked {
    /// What.
    pub what: String,
    /// Whether it is as the transcript says.
    pub holds: bool,
    /// What is wrong, or what was found.
    pub detail: String,
}

/// RFC 3339.
pub(super) fn instant(at: UnixSeconds) -> String {
    let seconds = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

impl Transcript {
    pub(super) fn write(&self, folder: &Path, signer: &dyn IssuerSigner) -> Result<(), CeremonyError> {
        let path = folder.join("transcript.json");
        let mut text = serde_json::to_string_pretty(self).map_err(|error| disk(&path, error))?;
        text.push('\n');
        let signature = signer.sign(text.as_bytes()).map_err(hsm::KeyError::from)?;
        let verifies = VerifyingKey::from_spki_der(signer.spki_der())
            .is_ok_and(|key| key.verifies(text.as_bytes(), &signature));
        if !verifies {
            let why = "the new key's signature does not verify".to_owned();
            return Err(CeremonyError::Check { check: "the transcript is signed", why });
        }
        chassis::files::write_atomic(&path, text.as_bytes()).map_err(|error| disk(&path, error))?;
        let path = folder.join("transcript.sig");
        chassis::files::write_atomic(&path, &signature).map_err(|error| disk(&path, error))
    }
}

/// Checks a transcript and everything it lists, which lies beside it. Whether the key itself is the right one,
/// only its digest on paper says: the caller shows it.
///
/// # Errors
/// The transcript cannot be read; everything else is told in the list.
pub fn check(path: &Path) -> Result<(Transcript, Vec<Looked>), CeremonyError> {
    let octets = fs::read(path).map_err(|error| disk(path, error))?;
    let transcript: Transcript = serde_json::from_slice(&octets).map_err(|error| disk(path, error))?;
    if transcript.format != FORMAT {
        return Err(disk(
            path,
            format!("is of format {}, and this program knows {FORMAT}", transcript.format),
        ));
    }
    let folder = chassis::config::base_of(path);
    let mut looked = Vec::new();
    let mut note = |what: &str, found: Result<String, String>| {
        let holds = found.is_ok();
        let detail = found.unwrap_or_else(|why| why);
        looked.push(Looked { what: what.to_owned(), holds, detail });
    };
    note("transcript.sig", signature_holds(&folder, &octets, &transcript));
    for artefact in &transcript.artefacts {
        note(&artefact.file, artefact_holds(&folder, artefact));
    }
    let listed = |name: &str| transcript.artefacts.iter().any(|artefact| artefact.file == name);
    // Half the results would not be noticed as missing if the list itself were short.
    let result = if transcript.made == "request" { "request.pem" } else { "certificate.pem" };
    for name in ["ceremony.toml", "approvals.toml", "public-key.pem", result] {
        if !listed(name) {
            note(name, Err("is not listed in the transcript".to_owned()));
        }
    }
    note("approvals", approvals_hold(&folder, &transcript));
    if listed("certificate.pem") {
        note("path", path_holds(&folder, &transcript));
    }
    Ok((transcript, looked))
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    fs::read(folder.join(name)).map_err(|error| error.to_string())
}

fn read_pem(folder: &Path, name: &str, kind: PemKind) -> Result<Vec<u8>, String> {
    let text = fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())?;
    pem::decode(kind, &text).map(|der| der.to_vec()).map_err(|error| error.to_string())
}

fn signature_holds(folder: &Path, octets: &[u8], transcript: &Transcript) -> Result<String, String> {
    let spki = read_pem(folder, "public-key.pem", PemKind::PublicKey)?;
    if sha256_hex(&spki) != transcript.signed_by {
        return Err("public-key.pem is not the key that the transcript names".to_owned());
    }
    if transcript.key.as_ref().is_some_and(|key| key.public_key_sha256 != transcript.signed_by) {
        return Err("the transcript is not signed by the key that was made".to_owned());
    }
    let key = VerifyingKey::from_spki_der(&spki).map_err(|error| error.to_string())?;
    if !key.verifies(octets, &read(folder, "transcript.sig")?) {
        return Err("the signature does not verify: the transcript was changed".to_owned());
    }
    Ok(format!("signed by the key with SHA-256 {}", transcript.signed_by))
}

fn artefact_holds(folder: &Path, artefact: &Artefact) -> Result<String, String> {
    if !ARTEFACTS.contains(&artefact.file.as_str()) {
        return Err("is no result of a ceremony".to_owned());
    }
    let found = Artefact::of(&artefact.file, &read(folder, &artefact.file)?);
    if found == *artefact {
        Ok(found.sha256)
    } else {
        Err(format!("was changed: SHA-256 is {}", found.sha256))
    }
}

fn approvals_hold(folder: &Path, transcript: &Transcript) -> Result<String, String> {
    let path = folder.join("ceremony.toml");
    let (file, octets) = CeremonyFile::load(&path).map_err(|error| error.to_string())?;
    if sha256_hex(&octets) != transcript.ceremony_sha256 {
        return Err("the ceremony file is not the one that was approved".to_owned());
    }
    let path = folder.join("approvals.toml");
    let approvals = Approvals::load(&path).map_err(|error| error.to_string())?;
    approvals.verify(&file, &octets).map_err(|error| error.to_string())?;
    let names: Vec<&str> = approvals.all.iter().map(|approval| approval.operator.as_str()).collect();
    let told: Vec<&str> = transcript.operators.iter().map(|operator| operator.name.as_str()).collect();
    if names != told {
        return Err(format!("the transcript names {}, and {} signed", told.join(", "), names.join(", ")));
    }
    Ok(names.join(", "))
}

fn path_holds(folder: &Path, transcript: &Transcript) -> Result<String, String> {
    let der = read_pem(folder, "certificate.pem", PemKind::Certificate)?;
    let certificate = Certificate::parse(&der).map_err(|error| error.to_string())?;
    if transcript.key.as_ref().is_some_and(|key| key.public_key_sha256 != sha256_hex(certificate.spki_der()))
    {
        return Err("the certificate is for another key".to_owned());
    }
    let anchor = match read_pem(folder, "issuer.pem", PemKind::Certificate) {
        Ok(issuer) => issuer,
        Err(_) if transcript.made == "root" => der.clone(),
        Err(error) => return Err(format!("issuer.pem: {error}")),
    };
    let began: jiff::Timestamp = transcript.began.parse().map_err(|_| "no time of beginning".to_owned())?;
    let at = UnixSeconds(u64::try_from(began.as_second()).unwrap_or(0));
    check_chain(&der, &anchor, at).map_err(|error| error.to_string())?;
    Ok(format!("certificate with SHA-256 {}", sha256_hex(&der)))
}
