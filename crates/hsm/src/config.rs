//! Where a private key is: what a configuration says, and how it becomes a signer.

use crate::error::KeyError;
use crate::key::KeyProtection;
use crate::pin::PinSource;
use crate::signer::Pkcs11Signer;
use crate::token::Token;
use pki::pem::{self, PemKind};
use pki::signer::{self, IssuerSigner};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where a private key is: `{ file = "…" }` or `{ pkcs11 = { … } }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// In a file of mode 0600: PKCS#8 (RFC 5208) in DER or PEM, RSA of 2048 bits or more or P-256.
    File(PathBuf),
    /// In a PKCS#11 token.
    Pkcs11(Pkcs11Key),
}

/// A key pair in a PKCS#11 token. RFC 7512 writes the same as `pkcs11:token=…;object=…;id=…`.
#[doc(alias = "ハードウェアセキュリティモジュール")]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Key {
    /// The module's file, absolute: `/usr/lib/softhsm/libsofthsm2.so`. It runs inside this process.
    pub module: PathBuf,
    /// Label of the token (`CKA_LABEL` of the token, RFC 7512 `token`).
    pub token: String,
    /// Label of the private key (`CKA_LABEL`, RFC 7512 `object`).
    pub label: String,
    /// Its identifier in hexadecimal (`CKA_ID`), where labels are not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// File of mode 0600 that holds the user PIN. This or `pin_env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
    /// Environment variable that holds the user PIN. This or `pin_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_env: Option<String>,
}

/// A token in which keys are made and forgotten again: [`Pkcs11Key`] without a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Token {
    /// The module's file, absolute.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// File of mode 0600 that holds the user PIN. This or `pin_env`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
    /// Environment variable that holds the user PIN. This or `pin_file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_env: Option<String>,
}

impl Pkcs11Token {
    /// The same with relative paths taken from `base`. A module's name without a folder is left to the
    /// system's loader on purpose: it fails [`Self::check`].
    #[must_use]
    pub fn resolved(mut self, base: &Path) -> Self {
        self.pin_file = self.pin_file.map(|path| base.join(path));
        self
    }

    /// Refuses values that parse but cannot be meant.
    ///
    /// # Errors
    /// [`KeyError::Config`] naming the key.
    pub fn check(&self) -> Result<(), KeyError> {
        if !self.module.is_absolute() {
            let problem = "must be absolute: what runs inside this process is not searched for";
            return Err(KeyError::Config { key: "module", problem });
        }
        if self.token.is_empty() {
            return Err(KeyError::Config { key: "token", problem: "must name a token" });
        }
        if self.token.len() > 32 {
            return Err(KeyError::Config { key: "token", problem: "has at most 32 octets" });
        }
        self.pin_source().map(|_| ())
    }

    /// Where the PIN comes from.
    pub(crate) fn pin_source(&self) -> Result<PinSource, KeyError> {
        match (&self.pin_file, &self.pin_env) {
            (Some(file), None) => Ok(PinSource::File(file.clone())),
            (None, Some(variable)) => Ok(PinSource::Environment(variable.clone())),
            (None, None) => Err(KeyError::Config {
                key: "pin_file",
                problem: "this or pin_env must say where the PIN is; it does not stand in a configuration",
            }),
            (Some(_), Some(_)) => {
                Err(KeyError::Config { key: "pin_env", problem: "not together with pin_file" })
            }
        }
    }
}

impl Pkcs11Key {
    /// The token, without the key.
    pub fn token(&self) -> Pkcs11Token {
        Pkcs11Token {
            module: self.module.clone(),
            token: self.token.clone(),
            pin_file: self.pin_file.clone(),
            pin_env: self.pin_env.clone(),
        }
    }

    /// The same with relative paths taken from `base`.
    #[must_use]
    pub fn resolved(mut self, base: &Path) -> Self {
        self.pin_file = self.pin_file.map(|path| base.join(path));
        self
    }

    /// Refuses values that parse but cannot be meant.
    ///
    /// # Errors
    /// [`KeyError::Config`] naming the key.
    pub fn check(&self) -> Result<(), KeyError> {
        if self.label.is_empty() {
            return Err(KeyError::Config { key: "label", problem: "must name a key" });
        }
        self.id_octets()?;
        self.token().check()
    }

    /// `CKA_ID`, if one is asked for.
    pub(crate) fn id_octets(&self) -> Result<Option<Vec<u8>>, KeyError> {
        let Some(id) = &self.id else { return Ok(None) };
        match hex::decode(id) {
            Ok(octets) if !octets.is_empty() => Ok(Some(octets)),
            _ => Err(KeyError::Config { key: "id", problem: "must be octets in hexadecimal" }),
        }
    }

    /// Label and identifier, for people.
    pub fn description(&self) -> String {
        match &self.id {
            Some(id) => format!("`{}` (id {id})", self.label),
            None => format!("`{}`", self.label),
        }
    }
}

impl KeySource {
    /// The same with relative paths taken from `base`, the folder of the config file.
    #[must_use]
    pub fn resolved(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            Self::Pkcs11(key) => Self::Pkcs11(key.resolved(base)),
        }
    }

    /// Refuses values that parse but cannot be meant.
    ///
    /// # Errors
    /// [`KeyError::Config`] naming the key.
    pub fn check(&self) -> Result<(), KeyError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Pkcs11(key) => key.check(),
        }
    }

    /// Whether there is a key at this place already.
    ///
    /// # Errors
    /// A token that cannot be asked.
    pub fn is_taken(&self) -> Result<bool, KeyError> {
        match self {
            // A dangling link is taken too.
            Self::File(path) => Ok(path.symlink_metadata().is_ok()),
            Self::Pkcs11(key) => Ok(Token::of(&key.token())?.holds(key)?),
        }
    }

    /// A signer with this key.
    ///
    /// # Errors
    /// A file that is missing, readable by others or no key; everything that [`Pkcs11Signer::open`] says.
    pub fn open(&self) -> Result<Box<dyn IssuerSigner>, KeyError> {
        match self {
            Self::File(path) => {
                let octets = read_private(path)?;
                let text = std::str::from_utf8(&octets).ok();
                let pem = text.and_then(|text| pem::decode(PemKind::PrivateKey, text).ok());
                let pkcs8 = pem.as_ref().unwrap_or(&octets);
                signer::software_signer(pkcs8)
                    .map_err(|error| KeyError::File { path: path.clone(), problem: error.to_string() })
            }
            Self::Pkcs11(key) => Ok(Box::new(Pkcs11Signer::open(key)?)),
        }
    }

    /// What keeps the key where it is; none for a file, which protects nothing from its owner.
    ///
    /// # Errors
    /// A token that cannot be asked, or a key that is not there.
    pub fn protection(&self) -> Result<Option<KeyProtection>, KeyError> {
        match self {
            Self::File(_) => Ok(None),
            Self::Pkcs11(key) => Ok(Some(Token::of(&key.token())?.protection(key)?)),
        }
    }

    /// The place in words, for people and transcripts. Holds no PIN.
    pub fn description(&self) -> String {
        match self {
            Self::File(path) => format!("file {}", path.display()),
            Self::Pkcs11(key) => format!("token `{}`, key {}", key.token, key.description()),
        }
    }
}

/// Reads a file that only its owner may read: a key, a PIN.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |problem: String| KeyError::File { path: path.to_path_buf(), problem };
    let metadata = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(failed("is readable by others; set its mode to 0600".to_owned()));
    }
    fs::read(path).map(Zeroizing::new).map_err(|error| failed(error.to_string()))
}
