//! Issuing revocation lists: RFC 5280 §5.

use crate::asn1::{tag, write};
use crate::issue::{IssueError, IssuingAuthority};
use crate::oid;
use crate::profile::{Criticality, extension};
use crate::revocation::RevocationReason;
use crate::serial::SerialNumber;
use protocol::time::UnixSeconds;

/// One revoked certificate to be listed: RFC 5280 §5.1.2.6, §5.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevokedEntry {
    /// Which certificate.
    pub serial: SerialNumber,
    /// revocationDate.
    pub revoked_at: UnixSeconds,
    /// reasonCode; `unspecified` is expressed by leaving it out (RFC 5280 §5.3.1).
    pub reason: RevocationReason,
    /// invalidityDate: since when the key or the facts were wrong, if that is known (RFC 5280 §5.3.2).
    pub invalid_since: Option<UnixSeconds>,
}

impl RevokedEntry {
    fn to_der(self) -> Vec<u8> {
        let mut extensions = Vec::new();
        if self.reason != RevocationReason::Unspecified {
            let value = write::tlv(tag::ENUMERATED, &[self.reason.code()]);
            extensions.extend(extension(&oid::REASON_CODE, Criticality::NonCritical, &value));
        }
        if let Some(since) = self.invalid_since {
            let value = write::generalized_time(since);
            extensions.extend(extension(&oid::INVALIDITY_DATE, Criticality::NonCritical, &value));
        }
        let extensions =
            if extensions.is_empty() { extensions } else { write::tlv(tag::SEQUENCE, &extensions) };
        let serial = write::tlv(tag::INTEGER, self.serial.as_bytes());
        write::sequence(&[&serial, &write::time(self.revoked_at), &extensions])
    }
}

/// What a list says.
#[derive(Clone, Copy, Debug)]
pub struct CrlContents<'a> {
    /// cRLNumber, higher than that of every list before, and written down durably before signing.
    pub number: u64,
    /// thisUpdate.
    pub this_update: UnixSeconds,
    /// nextUpdate: by when the next list will be there.
    pub next_update: UnixSeconds,
    /// The revoked certificates, in any order, each once.
    pub entries: &'a [RevokedEntry],
}

impl IssuingAuthority {
    /// Issues a complete list, version 2: RFC 5280 §5.
    ///
    /// # Errors
    /// nextUpdate not after thisUpdate, an entry `removeFromCRL` (delta lists only), or a signer that refuses.
    pub fn issue_crl(&self, contents: &CrlContents<'_>) -> Result<Vec<u8>, IssueError> {
        if contents.next_update <= contents.this_update {
            return Err(IssueError::Contents("nextUpdate must be later than thisUpdate"));
        }
        let mut entries = Vec::with_capacity(contents.entries.len() * 40);
        for entry in contents.entries {
            if entry.reason == RevocationReason::RemoveFromCrl {
                return Err(IssueError::Contents("removeFromCRL belongs into a delta list"));
            }
            entries.extend_from_slice(&entry.to_der());
        }
        // RFC 5280 §5.1.2.6: the list must be absent when there is nothing revoked.
        let entries = if entries.is_empty() { entries } else { write::tlv(tag::SEQUENCE, &entries) };
        let number = write::unsigned(&contents.number.to_be_bytes());
        let extensions = write::sequence(&[
            &self.authority_key_identifier(),
            &extension(&oid::CRL_NUMBER, Criticality::NonCritical, &number),
        ]);
        let tbs = write::sequence(&[
            &[tag::INTEGER, 1, 1],
            &self.algorithm_identifier(),
            self.subject().as_der(),
            &write::time(contents.this_update),
            &write::time(contents.next_update),
            &entries,
            &write::explicit(0, &extensions),
        ]);
        self.sign(&tbs)
    }
}
