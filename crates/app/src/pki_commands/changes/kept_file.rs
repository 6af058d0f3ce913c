//! The file of kept certificates: JSON, mode 0600, replaced as a whole.

use super::Found;
use pki::crl::CrlNumber;
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::validate::IssuerKeyId;
use pki::watch::{Kept, KeptStatus, ListSource};
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Version of the format.
const VERSION: u32 = 1;

/// A kept certificate and what its owner calls it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) label: String,
    pub(super) kept: Kept,
}

/// Everything that is kept.
#[derive(Default)]
pub(super) struct KeptFile(Vec<Entry>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    kept: Vec<StoredEntry>,
}

/// No `Debug`: it holds a serial number.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEntry {
    /// The owner's own name for it.
    label: String,
    /// SHA-256 of the issuer's SubjectPublicKeyInfo, hexadecimal.
    issuer: String,
    /// Octets of the serial number, hexadecimal.
    serial: String,
    /// SHA-256 of each distribution point's names, hexadecimal.
    places: Vec<String>,
    /// `unknown`, `good`, `hold` or `revoked`.
    status: String,
    /// RFC 5280 reason, if revoked.
    reason: Option<String>,
    /// Seconds since 1970: revoked or on hold since.
    since: Option<u64>,
    /// Seconds since 1970: thisUpdate of what the status rests on.
    as_of: Option<u64>,
    /// The list that it rests on.
    list: Option<StoredList>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredList {
    scope: Option<String>,
    number: u64,
}

/// A status in words: what, why, since when.
pub(super) fn words(status: KeptStatus) -> (&'static str, Option<&'static str>, Option<UnixSeconds>) {
    match status {
        KeptStatus::Unknown => ("unknown", None, None),
        KeptStatus::Good => ("good", None, None),
        KeptStatus::Hold { since } => ("hold", Some(RevocationReason::CertificateHold.as_str()), Some(since)),
        KeptStatus::Revoked { reason, at } => ("revoked", Some(reason.as_str()), Some(at)),
    }
}

fn octets<const N: usize>(text: &str) -> Option<[u8; N]> {
    hex::decode(text).ok()?.try_into().ok()
}

impl StoredEntry {
    fn of(label: &str, kept: &Kept) -> Self {
        let (status, reason, since) = words(kept.status);
        let list = kept.source.and_then(|source| {
            // A number beyond 64 bits is left out: thisUpdate still tells what is older.
            let number = source.number.as_u64()?;
            Some(StoredList { scope: source.scope.map(hex::encode), number })
        });
        Self {
            label: label.to_owned(),
            issuer: hex::encode(kept.issuer.0),
            serial: hex::encode(kept.serial.as_bytes()),
            places: kept.places.iter().map(hex::encode).collect(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            since: since.map(|since| since.0),
            as_of: kept.as_of.map(|as_of| as_of.0),
            list,
        }
    }

    /// Which field cannot be.
    fn kept(&self) -> Result<Kept, &'static str> {
        let reason = self.reason.as_deref().map(RevocationReason::from_name);
        let status = match (self.status.as_str(), reason, self.since.map(UnixSeconds)) {
            ("unknown", None, None) => KeptStatus::Unknown,
            ("good", None, None) => KeptStatus::Good,
            ("hold", Some(Some(RevocationReason::CertificateHold)), Some(since)) => {
                KeptStatus::Hold { since }
            }
            ("revoked", Some(Some(reason)), Some(at)) if reason != RevocationReason::CertificateHold => {
                KeptStatus::Revoked { reason, at }
            }
            _ => return Err("status, reason, since"),
        };
        let source = match &self.list {
            None => None,
            Some(list) => Some(ListSource {
                scope: match &list.scope {
                    None => None,
                    Some(text) => Some(octets(text).ok_or("list")?),
                },
                number: CrlNumber::from(list.number),
            }),
        };
        let serial =
            hex::decode(&self.serial).ok().and_then(|octets| SerialNumber::from_octets(&octets).ok());
        Ok(Kept {
            issuer: IssuerKeyId(octets(&self.issuer).ok_or("issuer")?),
            serial: serial.ok_or("serial")?,
            places: self.places.iter().map(|text| octets(text)).collect::<Option<_>>().ok_or("places")?,
            status,
            as_of: self.as_of.map(UnixSeconds),
            source,
        })
    }
}

impl KeptFile {
    /// Reads the file. Nobody but its owner may.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let named = |why: String| format!("{}: {why}", path.display());
        let mode = std::fs::metadata(path).map_err(|error| named(error.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(named(format!("mode {:o}: others can read it; chmod 600", mode & 0o777)));
        }
        let bytes = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        // The parser's words could repeat a value of the file; the place is enough.
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| {
            named(format!("not a file of kept certificates, line {} column {}", error.line(), error.column()))
        })?;
        if stored.version != VERSION {
            return Err(named(format!("version {}, not {VERSION}", stored.version)));
        }
        let mut file = Self::default();
        for (place, entry) in stored.kept.iter().enumerate() {
            let kept = entry.kept().map_err(|field| named(format!("entry {}: {field}", place + 1)))?;
            file.add(&entry.label, kept).map_err(named)?;
        }
        Ok(file)
    }

    pub(super) fn of(found: &[Found]) -> Self {
        Self(found.iter().map(|one| Entry { label: one.label.clone(), kept: one.kept.clone() }).collect())
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Adds one; labels are unique, because they are all that is ever told.
    pub(super) fn add(&mut self, label: &str, kept: Kept) -> Result<(), String> {
        if self.0.iter().any(|entry| entry.label == label) {
            return Err(format!("label {label:?} is there twice"));
        }
        if !kept.serial.is_positive() {
            return Err(format!("{label:?}: a serial number that is not positive is not kept"));
        }
        self.0.push(Entry { label: label.to_owned(), kept });
        Ok(())
    }

    /// Replaces the file: the old one or the new one, never half of one, and its owner's only.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let kept = self.0.iter().map(|entry| StoredEntry::of(&entry.label, &entry.kept)).collect();
        let text = serde_json::to_string_pretty(&Stored { version: VERSION, kept })?;
        chassis::files::write_private(path, text.as_bytes())?;
        Ok(())
    }
}
