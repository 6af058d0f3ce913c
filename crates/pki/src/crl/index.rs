//! A complete list, verified once, that answers by serial number. How it is laid out: [`super::table`].

use super::list::{CertificateList, ListEntry};
use super::table::{Entry, EntryTable};
use super::{CLOCK_DIFFERENCE_SECONDS_MAX, CrlNumber};
use crate::asn1::read::Malformed;
use crate::asn1::time::CertificateTime;
use crate::revocation::{RevocationReason, Status, UnknownCause};
use crate::serial::SerialNumber;
use crate::signature_scheme::{SignatureDigest, SignatureScheme};
use crate::validate::{IssuerKeyId, PathGood, TrustAnchor};
use protocol::time::UnixSeconds;
use std::fmt;

/// Why a list was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CrlProblem {
    /// Not DER, or not a version 2 list.
    #[error("the revocation list: {0}")]
    Malformed(#[from] Malformed),
    /// Of an issuer that is not trusted, by name or by key identifier.
    #[error("the revocation list is of an issuer that is not trusted")]
    ForeignIssuer,
    /// The issuer's certificate does not allow it to sign lists: RFC 5280 §4.2.1.3.
    #[error("the issuer may not sign revocation lists")]
    NotAListSigner,
    /// The signature is not the issuer's.
    #[error("the revocation list's signature is not its issuer's")]
    BadSignature,
    /// A critical extension that nothing here processes: RFC 5280 §5.2, §5.3.
    #[error("the revocation list has a critical extension that is not supported, at octet {offset}")]
    UnsupportedCriticalExtension {
        /// Octets from the start of the list.
        offset: usize,
    },
    /// An older list than the one already known: somebody may be hiding a revocation.
    #[error("revocation list {offered} is older than {known}, which is already known")]
    OlderThanKnown {
        /// Number of the list offered.
        offered: CrlNumber,
        /// Number of the list known.
        known: CrlNumber,
    },
}

/// A complete list, verified once, that answers by serial number.
pub struct RevocationIndex {
    issuer: IssuerKeyId,
    number: CrlNumber,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    entries: EntryTable,
}

/// What an index says of a certificate, and what list it says it from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexAnswer {
    /// The status.
    pub status: Status,
    /// Number of the list.
    pub number: CrlNumber,
    /// thisUpdate of the list.
    pub this_update: UnixSeconds,
    /// Seconds from then to the question; 0 if the list is dated ahead.
    pub age_seconds: u64,
}

impl fmt::Debug for RevocationIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationIndex")
            .field("number", &self.number)
            .field("this_update", &self.this_update)
            .field("next_update", &self.next_update)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl RevocationIndex {
    /// Verifies a DER list against the anchor that issued it and reads its entries, in one pass and
    /// without an object per entry: RFC 5280 §6.3.3 for a complete list of direct scope.
    ///
    /// `not_older_than` is the number of the list in use, if there is one; an equal number is taken.
    ///
    /// # Errors
    /// See [`CrlProblem`]; nothing of a refused list is used.
    pub fn from_crl(
        der: &[u8],
        anchors: &[TrustAnchor],
        not_older_than: Option<CrlNumber>,
    ) -> Result<Self, CrlProblem> {
        let list = CertificateList::parse(der)?;
        let (number, next_update) = complete_list(&list)?;
        let anchor = choose_issuer(&list, anchors)?;
        if let Some(known) = not_older_than.filter(|known| number < *known) {
            return Err(CrlProblem::OlderThanKnown { offered: number, known });
        }
        let entries = read_entries(&list)?;
        Ok(Self {
            issuer: anchor.key_id(),
            number,
            this_update: list.this_update.saturating_unix(),
            next_update: next_update.saturating_unix(),
            entries,
        })
    }

    /// The key that signed the list.
    pub const fn issuer_key_id(&self) -> IssuerKeyId {
        self.issuer
    }

    /// Number of the list.
    pub const fn number(&self) -> CrlNumber {
        self.number
    }

    /// thisUpdate.
    pub const fn this_update(&self) -> UnixSeconds {
        self.this_update
    }

    /// nextUpdate.
    pub const fn next_update(&self) -> UnixSeconds {
        self.next_update
    }

    /// How many certificates are listed.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is listed.
    pub const fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// The entry of a serial number: reason and date. The age of the list plays no part here.
    pub fn entry(&self, serial: &SerialNumber) -> Option<(RevocationReason, UnixSeconds)> {
        let entry = self.entries.find(serial.sort_key())?;
        Some((RevocationReason::from_code(entry.reason.into()), UnixSeconds(entry.at.into())))
    }

    /// Status of the certificate behind `path`, checked to be one of this list's issuer.
    pub fn status_of(&self, path: &PathGood, now: UnixSeconds, age_seconds_max: u64) -> Status {
        if path.issuer_key_id() == self.issuer {
            self.status(path.serial(), now, age_seconds_max)
        } else {
            Status::Unknown(UnknownCause::OtherIssuer)
        }
    }

    /// [`Self::status`], with the list's number and age: a revocation says how old its source is, too.
    pub fn answer(&self, serial: &SerialNumber, now: UnixSeconds, age_seconds_max: u64) -> IndexAnswer {
        IndexAnswer {
            status: self.status(serial, now, age_seconds_max),
            number: self.number,
            this_update: self.this_update,
            age_seconds: now.since(self.this_update),
        }
    }

    /// Status of a serial number *of this list's issuer* at `now`, if the list may be at most
    /// `age_seconds_max` old. [`Self::status_of`] checks the issuer too.
    ///
    /// A certificate that is listed is reported as revoked or on hold from a list of any age: a policy
    /// that accepts old lists must never let it through. A newer list may have ended a hold; the old one refuses.
    pub fn status(&self, serial: &SerialNumber, now: UnixSeconds, age_seconds_max: u64) -> Status {
        match self.entry(serial) {
            Some((RevocationReason::CertificateHold, since)) => return Status::Hold { since },
            Some((reason, at)) => return Status::Revoked { reason, at },
            None => {}
        }
        let ahead_seconds = self.this_update.since(now);
        if ahead_seconds > CLOCK_DIFFERENCE_SECONDS_MAX {
            return Status::Unknown(UnknownCause::FromTheFuture { ahead_seconds });
        }
        let age_seconds = now.since(self.this_update);
        let limit_seconds = age_seconds_max.min(self.next_update.since(self.this_update));
        if age_seconds > limit_seconds {
            Status::Stale { this_update: self.this_update, age_seconds, limit_seconds }
        } else {
            Status::Good { this_update: self.this_update, age_seconds }
        }
    }
}

/// What a list must be to be indexed: version 2, numbered, ending some day, and complete.
fn complete_list(list: &CertificateList<'_>) -> Result<(CrlNumber, CertificateTime), CrlProblem> {
    if !list.is_v2 {
        return Err(list.tbs.malformed("version").into());
    }
    if let Some(offset) = list.narrowed_at.or(list.unknown_critical.map(|unknown| unknown.offset)) {
        // Among them issuingDistributionPoint and deltaCRLIndicator: such lists are not complete.
        return Err(CrlProblem::UnsupportedCriticalExtension { offset });
    }
    let number = list.number.ok_or_else(|| list.tbs.malformed("cRLNumber"))?;
    // nextUpdate is OPTIONAL in the syntax; RFC 5280 §5.1.2.5 demands it, and without it no age has a limit.
    let next_update = list.next_update.ok_or_else(|| list.tbs.malformed("nextUpdate"))?;
    Ok((number, next_update))
}

/// By name and key identifier first, then by whose key verifies: two authorities may share a name.
fn choose_issuer<'t>(
    list: &CertificateList<'_>,
    anchors: &'t [TrustAnchor],
) -> Result<&'t TrustAnchor, CrlProblem> {
    let scheme = SignatureScheme::read(&list.signature_algorithm).ok();
    let scheme = scheme.filter(|scheme| scheme.digest() != Some(SignatureDigest::Sha1));
    let mut outcome = CrlProblem::ForeignIssuer;
    for anchor in
        anchors.iter().filter(|anchor| anchor.may_have_issued(list.issuer, list.authority_key_identifier))
    {
        if !anchor.may_sign_lists() {
            outcome = CrlProblem::NotAListSigner;
        } else if scheme.is_some_and(|scheme| anchor.key().verifies(scheme, list.tbs.raw, list.signature)) {
            return Ok(anchor);
        } else {
            outcome = CrlProblem::BadSignature;
        }
    }
    Err(outcome)
}

/// revokedCertificates: RFC 5280 §5.1.2.6.
fn read_entries(list: &CertificateList<'_>) -> Result<EntryTable, CrlProblem> {
    // Those whose lists are indexed write them as RFC 5280 §5.1.2.6 says: without the field if it is empty.
    if let Some(empty) = list.empty_entries() {
        return Err(empty.malformed("revokedCertificates").into());
    }
    // 38 octets is the usual entry with a reason; smaller ones only make the vector grow once.
    let mut entries = Vec::with_capacity(list.entry_octets() / 38 + 1);
    for entry in list.entries() {
        entries.push(pack(&entry?)?);
    }
    Ok(EntryTable::new(entries))
}

fn pack(entry: &ListEntry<'_>) -> Result<Entry, CrlProblem> {
    if let Some(unknown) = entry.unknown_critical {
        return Err(CrlProblem::UnsupportedCriticalExtension { offset: unknown.offset });
    }
    if let Some(issuer) = entry.issuer {
        // The list would speak for other issuers too.
        return Err(CrlProblem::UnsupportedCriticalExtension { offset: issuer.offset });
    }
    if entry.reason == RevocationReason::RemoveFromCrl {
        // RFC 5280 §5.3.1: in delta lists only. Read as an entry it would undo nothing here.
        return Err(entry.place.malformed("reasonCode").into());
    }
    let at = u32::try_from(entry.revoked_at.0).map_err(|_| entry.place.malformed("revocationDate"))?;
    Ok(Entry { serial: *entry.serial.sort_key(), reason: entry.reason.code(), at })
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
