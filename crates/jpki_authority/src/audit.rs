//! The audit: one line for each question about a linkage, each decision of operators and each change that
//! an operator makes; durable before the answer or the change, and chained so that a missing or changed
//! line is noticed. docs/linkage.md, docs/approval.md.
//!
//! Each line carries a keyed digest over its number, itself and the digest before it; a sealed head says
//! which line is the last. The key lies with the private keys, not in the store: whoever can write the
//! store alone can neither mend the chain after a deletion nor cut off its end. What the key cannot show is
//! a store and a head put back together to an earlier day: for that, a head that was noted elsewhere is
//! compared with ([`verify`]).
//!
//! A line never carries a serial number: a keyed reference stands for it, so that all lines about one
//! certificate are found by whoever has certificate and key, and by nobody else.

use crate::CertificateKind;
use crate::error::AuthorityError;
use crate::store::StoreError;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use pki::serial::SerialNumber;
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::path::Path;
use zeroize::Zeroizing;

/// Name of the key's file among the private keys.
pub const AUDIT_KEY_FILE: &str = "audit.key";
/// Octets of the key.
const KEY_OCTETS: usize = 32;
/// Octets of a subject reference: enough that two certificates never share one.
const REFERENCE_OCTETS: usize = 16;
/// Lines read at a time when the chain is verified.
const PAGE_LINES: usize = 4_096;

/// Digest of a line and of all before it.
pub type Link = [u8; 32];
/// What stands before the first line.
const NOTHING: Link = [0; 32];

/// What the chain is made with, and references to certificates.
#[doc(alias = "監査鍵")]
pub struct AuditKey {
    chain: hmac::Key,
    subject: hmac::Key,
}

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditKey(****)")
    }
}

fn octets<const N: usize>(tag: &hmac::Tag) -> [u8; N] {
    tag.as_ref().first_chunk().copied().unwrap_or([0; N])
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

impl AuditKey {
    /// From its octets: two keys are derived, one for each use.
    pub fn new(secret: &[u8; KEY_OCTETS]) -> Self {
        let root = hmac::Key::new(HMAC_SHA256, secret);
        let derive = |label: &[u8]| hmac::Key::new(HMAC_SHA256, hmac::sign(&root, label).as_ref());
        Self { chain: derive(b"kazasu audit 1 chain"), subject: derive(b"kazasu audit 1 subject") }
    }

    /// Takes the key up from the folder of private keys. An authority from before the audit gets one.
    ///
    /// # Errors
    /// A file that others may read, of another length, or missing although there are lines already: with a
    /// new key, all of them would look forged.
    pub fn open(
        keys_dir: &Path,
        lines: &dyn AuditStore,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, AuthorityError> {
        let path = keys_dir.join(AUDIT_KEY_FILE);
        if !path.exists() {
            if lines.audit_head()?.is_some() {
                let problem = "is missing, and the audit was begun with it: put it back from the backup";
                return Err(crate::authority::file_error(&path, problem));
            }
            let mut secret = Zeroizing::new([0; KEY_OCTETS]);
            entropy.fill(secret.as_mut_slice());
            crate::authority::write_key(&path, secret.as_slice())?;
        }
        let secret = crate::authority::read_key(&path)?;
        let problem = || crate::authority::file_error(&path, "is not 32 octets long");
        Ok(Self::new(secret.as_slice().try_into().map_err(|_| problem())?))
    }

    /// What stands for a certificate in the lines: 32 hexadecimal digits.
    pub fn reference(&self, kind: CertificateKind, serial: &SerialNumber) -> String {
        let mut context = hmac::Context::with_key(&self.subject);
        context.update(kind.word().as_bytes());
        context.update(&[0]);
        context.update(serial.as_bytes());
        hexadecimal(&octets::<REFERENCE_OCTETS>(&context.sign()))
    }

    /// The digest of line `number` behind `previous`.
    pub fn link(&self, previous: &Link, number: u64, line: &str) -> Link {
        let mut context = hmac::Context::with_key(&self.chain);
        context.update(b"line");
        context.update(previous);
        context.update(&number.to_be_bytes());
        context.update(line.as_bytes());
        octets(&context.sign())
    }

    /// The seal of a head: that line `number` is the last, and its digest `link`.
    pub fn seal(&self, number: u64, link: &Link) -> Link {
        let mut context = hmac::Context::with_key(&self.chain);
        context.update(b"head");
        context.update(&number.to_be_bytes());
        context.update(link);
        octets(&context.sign())
    }
}

/// One line. Empty fields are left out.
#[doc(alias = "監査記録")]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditLine {
    /// When.
    pub at: UnixSeconds,
    /// Who: a configured client, an operator, or the account at the machine.
    pub who: String,
    /// What was asked or done, one word.
    pub act: String,
    /// What for, as the asker said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// About what: the reference of a certificate, or of a request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// What came of it, one word.
    pub outcome: String,
}

impl AuditLine {
    /// Its text in the store: JSON with the fields in order.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A line as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptLine {
    /// Its number, from 1.
    pub number: u64,
    /// Its text, [`AuditLine::text`].
    pub text: String,
    /// Its digest.
    pub link: Link,
}

/// The last line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditHead {
    /// Its number.
    pub number: u64,
    /// Its digest.
    pub link: Link,
    /// The seal over both.
    pub seal: Link,
}

impl std::fmt::Display for AuditHead {
    /// `NUMBER:DIGEST`, to be noted elsewhere.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.number, hexadecimal(&self.link))
    }
}

/// A head that somebody noted: `NUMBER:DIGEST` as [`AuditHead`] prints it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotedHead {
    /// Number of the line.
    pub number: u64,
    /// Its digest.
    pub link: Link,
}

impl NotedHead {
    /// Reads what [`AuditHead`] prints.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, digits) = text.trim().split_once(':')?;
        let mut link = NOTHING;
        if digits.len() != 2 * link.len() || !digits.is_ascii() {
            return None;
        }
        for (at, octet) in link.iter_mut().enumerate() {
            *octet = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self { number: number.parse().ok()?, link })
    }
}

/// Lines to be appended, and the key of the chain.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a AuditKey,
    /// The lines, in order.
    pub lines: &'a [AuditLine],
}

/// Where the lines are kept: nothing is ever changed or taken away.
pub trait AuditStore: Send + Sync {
    /// Appends lines, all or none, and gives the number of the last one. Durable at return.
    ///
    /// # Errors
    /// The engine's.
    fn append_audit(&self, entry: Entry<'_>) -> Result<u64, StoreError>;

    /// Up to `count` lines from number `from` on.
    ///
    /// # Errors
    /// The engine's.
    fn audit_lines(&self, from: u64, count: usize) -> Result<Vec<KeptLine>, StoreError>;

    /// The last line; `None` before the first one.
    ///
    /// # Errors
    /// The engine's.
    fn audit_head(&self) -> Result<Option<AuditHead>, StoreError>;
}

/// What is wrong with a chain.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuditFault {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A line is not there.
    #[error("line {number} is missing")]
    Missing {
        /// Its number.
        number: u64,
    },
    /// A line does not fit the ones before it: it, or one before it, was changed or put in.
    #[error("line {number} was changed, or one before it")]
    Changed {
        /// The first line that does not fit.
        number: u64,
    },
    /// The head says otherwise than the lines: lines at the end were taken away or added.
    #[error("the head speaks of line {said}, the last line is {found}")]
    Head {
        /// What the head says; 0 for no head.
        said: u64,
        /// What is there; 0 for none.
        found: u64,
    },
    /// The head carries no seal of ours.
    #[error("the head at line {number} carries a false seal")]
    Seal {
        /// What it says.
        number: u64,
    },
    /// The noted head is not of this chain: it was put back to an earlier day, or begun anew.
    #[error("line {number} is not the one that was noted: the audit was put back or begun anew")]
    Noted {
        /// The noted number.
        number: u64,
    },
}

/// Goes through the whole chain. `noted` is a head that was written down before.
///
/// # Errors
/// The first fault that is found.
pub fn verify(
    store: &dyn AuditStore,
    key: &AuditKey,
    noted: Option<NotedHead>,
) -> Result<Option<AuditHead>, AuditFault> {
    let head = store.audit_head()?;
    let (mut last, mut link) = (0, NOTHING);
    let mut noted_is_there = noted.is_none_or(|noted| noted.number == 0);
    loop {
        let page = store.audit_lines(last + 1, PAGE_LINES)?;
        for line in &page {
            if line.number != last + 1 {
                return Err(AuditFault::Missing { number: last + 1 });
            }
            last = line.number;
            link = key.link(&link, last, &line.text);
            if link != line.link {
                return Err(AuditFault::Changed { number: last });
            }
            noted_is_there |= noted.is_some_and(|noted| noted.number == last && noted.link == link);
        }
        if page.len() < PAGE_LINES {
            break;
        }
    }
    let said = head.map_or(0, |head| head.number);
    // Lines written while this was reading are beyond the head that was read first: that is no fault.
    if said > last || (said == 0 && last > 0) {
        return Err(AuditFault::Head { said, found: last });
    }
    if let Some(head) = head {
        if head.seal != key.seal(head.number, &head.link) {
            return Err(AuditFault::Seal { number: head.number });
        }
        let now = store.audit_head()?;
        if now.map_or(0, |now| now.number) < last {
            return Err(AuditFault::Head { said, found: last });
        }
    }
    match noted {
        Some(noted) if !noted_is_there => Err(AuditFault::Noted { number: noted.number }),
        _ => Ok(head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(octet: u8) -> SerialNumber {
        SerialNumber::from_octets(&[octet]).unwrap()
    }

    #[test]
    fn a_reference_tells_certificates_apart_and_keys_too() {
        let (key, other) = (AuditKey::new(&[1; 32]), AuditKey::new(&[2; 32]));
        let [auth, sign] = CertificateKind::ALL;
        let reference = key.reference(auth, &serial(5));
        assert_eq!(reference.len(), 32);
        assert_eq!(reference, AuditKey::new(&[1; 32]).reference(auth, &serial(5)));
        assert_ne!(reference, key.reference(sign, &serial(5)));
        assert_ne!(reference, key.reference(auth, &serial(6)));
        assert_ne!(reference, other.reference(auth, &serial(5)));
    }

    #[test]
    fn a_noted_head_reads_back() {
        let head = AuditHead { number: 17, link: [0xA5; 32], seal: [0; 32] };
        assert_eq!(NotedHead::parse(&head.to_string()), Some(NotedHead { number: 17, link: [0xA5; 32] }));
        for wrong in ["", "17", "17:", "17:a5", "x:a5", &format!("17:{}", "é".repeat(32))] {
            assert_eq!(NotedHead::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn empty_fields_are_left_out_of_a_line() {
        let line = AuditLine {
            at: UnixSeconds(9),
            who: "a".into(),
            act: "b".into(),
            purpose: String::new(),
            about: String::new(),
            outcome: "c".into(),
        };
        assert_eq!(line.text(), r#"{"at":9,"who":"a","act":"b","outcome":"c"}"#);
        assert_eq!(serde_json::from_str::<AuditLine>(&line.text()).unwrap(), line);
    }
}
