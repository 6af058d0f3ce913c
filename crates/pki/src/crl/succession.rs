//! From one list to the next, as the issuer checks it before anybody sees the new one: who has left?

use super::{CrlNumber, CrlProblem};
use crate::asn1::read::{Reader, Tlv};
use crate::asn1::tag;
use crate::asn1::time::CertificateTime;
use crate::extension::RawExtension;
use crate::oid;
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
        let mut outer = Reader::only_sequence(der, "certificateList")?;
        let mut fields = outer.expect(tag::SEQUENCE, "tbsCertList")?.inside();
        fields.expect(tag::INTEGER, "version")?;
        fields.expect(tag::SEQUENCE, "signature")?;
        fields.expect(tag::SEQUENCE, "issuer")?;
        let this_update = CertificateTime::read(&fields.any("thisUpdate")?, "thisUpdate")?.saturating_unix();
        let next_update = CertificateTime::read(&fields.any("nextUpdate")?, "nextUpdate")?.saturating_unix();
        let entries = match fields.optional(tag::SEQUENCE, "revokedCertificates")? {
            None => Vec::new(),
            Some(list) => read_entries(&list)?,
        };
        let wrapper = fields.expect(tag::context_constructed(0), "crlExtensions")?;
        let mut extensions = wrapper.inside().expect(tag::SEQUENCE, "crlExtensions")?.inside();
        let (mut number, mut base) = (None, None);
        while !extensions.is_empty() {
            let extension = RawExtension::read(&mut extensions)?;
            let field = if extension.kind.content == oid::CRL_NUMBER.as_bytes() {
                &mut number
            } else if extension.kind.content == oid::DELTA_CRL_INDICATOR.as_bytes() {
                &mut base
            } else {
                continue;
            };
            *field = Some(CrlNumber::read(&extension.only(tag::INTEGER, "cRLNumber")?)?);
        }
        let number = number.ok_or_else(|| wrapper.malformed("cRLNumber"))?;
        Ok(Self { number, base, this_update, next_update, entries })
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

fn read_entries(list: &Tlv<'_>) -> Result<Vec<(SerialNumber, RevocationReason)>, CrlProblem> {
    let mut entries = Vec::with_capacity(list.content.len() / 38 + 1);
    let mut rest = list.inside();
    while !rest.is_empty() {
        let mut fields = rest.expect(tag::SEQUENCE, "revoked certificate")?.inside();
        let serial = SerialNumber::read(&fields.expect(tag::INTEGER, "userCertificate")?, "userCertificate")?;
        fields.any("revocationDate")?;
        let mut reason = RevocationReason::Unspecified;
        if let Some(list) = fields.optional(tag::SEQUENCE, "crlEntryExtensions")? {
            let mut extensions = list.inside();
            while !extensions.is_empty() {
                let extension = RawExtension::read(&mut extensions)?;
                if extension.kind.content == oid::REASON_CODE.as_bytes() {
                    let code = extension.only(tag::ENUMERATED, "reasonCode")?;
                    reason = RevocationReason::from_code(code.small_unsigned("reasonCode")?);
                }
            }
        }
        entries.push((serial, reason));
    }
    Ok(entries)
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
