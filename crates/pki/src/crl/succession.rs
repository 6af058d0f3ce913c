//! From one list to the next, as the issuer checks it before anybody sees the new one: who has left?

use super::list::CertificateList;
use super::{CrlNumber, CrlProblem};
use crate::revocation::RevocationReason;
use crate::serial::SerialNumber;
use protocol::time::UnixSeconds;
use std::collections::HashSet;
use std::fmt;

/// An own list of any shape, read back. It is not verified: it comes from the own store or signer.
pub struct ListView {
    number: CrlNumber,
    base: Option<CrlNumber>,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    entries: Vec<(SerialNumber, RevocationReason)>,
}

impl fmt::Debug for ListView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListView")
            .field("number", &self.number)
            .field("base", &self.base)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl ListView {
    /// Reads one DER CertificateList.
    ///
    /// # Errors
    /// [`CrlProblem::Malformed`].
    pub fn read(der: &[u8]) -> Result<Self, CrlProblem> {
        let list = CertificateList::parse(der)?;
        let missing = |what| list.tbs.malformed(what);
        let read = list.entries().map(|entry| entry.map(|entry| (entry.serial, entry.reason)));
        Ok(Self {
            number: list.number.ok_or_else(|| missing("cRLNumber"))?,
            base: list.base_number,
            this_update: list.this_update.saturating_unix(),
            next_update: list.next_update.ok_or_else(|| missing("nextUpdate"))?.saturating_unix(),
            entries: read.collect::<Result<_, _>>()?,
        })
    }

    /// cRLNumber.
    pub const fn number(&self) -> CrlNumber {
        self.number
    }

    /// BaseCRLNumber, for a delta.
    pub const fn base(&self) -> Option<CrlNumber> {
        self.base
    }

    /// thisUpdate.
    pub const fn this_update(&self) -> UnixSeconds {
        self.this_update
    }

    /// nextUpdate.
    pub const fn next_update(&self) -> UnixSeconds {
        self.next_update
    }

    /// How many entries.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The reason of every entry, in the order of the list.
    pub fn reasons(&self) -> impl Iterator<Item = RevocationReason> {
        self.entries.iter().map(|(_, reason)| *reason)
    }

    /// What this list says of a certificate, in a search from the start.
    pub fn entry(&self, serial: &SerialNumber) -> Option<RevocationReason> {
        self.entries.iter().find(|(listed, _)| listed == serial).map(|(_, reason)| *reason)
    }

    /// Who is listed here and no longer in `newer`, with the reason given here.
    pub fn departed(&self, newer: &Self) -> Vec<(SerialNumber, RevocationReason)> {
        let staying: HashSet<&SerialNumber> = newer.entries.iter().map(|(serial, _)| serial).collect();
        self.entries.iter().filter(|(serial, _)| !staying.contains(serial)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crl::{CrlContents, ListShape, RevokedEntry};
    use crate::testing::{NOW, Town, serial};

    fn view(town: &Town, base: Option<u64>, entries: &[(u64, RevocationReason)]) -> ListView {
        let entries: Vec<RevokedEntry> = entries
            .iter()
            .map(|(number, reason)| RevokedEntry {
                serial: serial(*number),
                revoked_at: NOW,
                reason: *reason,
                invalid_since: Some(NOW),
            })
            .collect();
        let contents =
            CrlContents { number: 9, this_update: NOW, next_update: NOW.plus(60), entries: &entries };
        let shape = ListShape { base, ..ListShape::default() };
        ListView::read(&town.auth.issue_list(&contents, &shape).unwrap()).unwrap()
    }

    #[test]
    fn who_left_is_seen() {
        use RevocationReason::{CertificateHold, RemoveFromCrl, Superseded, Unspecified};
        let town = Town::new();
        let old = view(&town, None, &[(1, CertificateHold), (2, Superseded), (3, Unspecified)]);
        let new = view(&town, None, &[(3, Superseded), (4, Superseded)]);
        assert_eq!(old.departed(&new), [(serial(1), CertificateHold), (serial(2), Superseded)]);
        assert_eq!(old.departed(&old), []);
        assert_eq!((old.number().as_u64(), old.base(), old.len()), (Some(9), None, 3));
        assert_eq!((old.entry(&serial(3)), old.entry(&serial(4))), (Some(Unspecified), None));
        let delta = view(&town, Some(7), &[(1, RemoveFromCrl)]);
        assert_eq!(delta.base(), Some(CrlNumber::from(7)));
        assert_eq!(delta.entry(&serial(1)), Some(RemoveFromCrl));
        let empty = view(&town, None, &[]);
        assert!(empty.is_empty());
        assert_eq!((empty.this_update(), empty.next_update()), (NOW, NOW.plus(60)));
        assert!(ListView::read(&[0x30, 0]).is_err());
    }
}
