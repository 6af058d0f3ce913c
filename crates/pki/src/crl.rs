//! Certificate revocation lists: RFC 5280 §5. Issued with a reason per entry; read once into a sorted
//! index that answers by serial number.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::time::CertificateTime;
use crate::asn1::{tag, write};
use crate::certificate::RawExtension;
use crate::issue::{IssueError, IssuingAuthority};
use crate::oid;
use crate::profile::{Criticality, extension};
use crate::public_key::SignatureAlgorithm;
use crate::revocation::{RevocationReason, Status, UnknownCause};
use crate::serial::SerialNumber;
use crate::validate::{IssuerKeyId, PathGood, TrustAnchor};
use protocol::time::UnixSeconds;
use std::fmt;

/// How far a list may be dated ahead of this machine's clock before it counts as coming from the future.
pub const CLOCK_DIFFERENCE_SECONDS_MAX: u64 = 60;

/// Number of a list: RFC 5280 §5.2.3. Up to 20 octets, rising with every list of an issuer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrlNumber([u8; 20]);

impl From<u64> for CrlNumber {
    fn from(number: u64) -> Self {
        let mut octets = [0; 20];
        if let Some(low) = octets.last_chunk_mut::<8>() {
            *low = number.to_be_bytes();
        }
        Self(octets)
    }
}

impl CrlNumber {
    fn read(integer: &Tlv<'_>) -> Result<Self, Malformed> {
        let content = integer.integer("cRLNumber")?;
        let fault = || integer.malformed("cRLNumber");
        if content.first().is_none_or(|first| *first >= 0x80) {
            return Err(fault());
        }
        let value = content.strip_prefix(&[0]).unwrap_or(content);
        let mut octets = [0; 20];
        let start = octets.len().checked_sub(value.len()).ok_or_else(fault)?;
        octets.get_mut(start..).ok_or_else(fault)?.copy_from_slice(value);
        Ok(Self(octets))
    }

    /// As a number, if it fits 64 bits; issuers other than ours may use up to 160.
    pub fn as_u64(&self) -> Option<u64> {
        let (high, low) = (self.0.get(..12)?, self.0.last_chunk::<8>()?);
        high.iter().all(|octet| *octet == 0).then(|| u64::from_be_bytes(*low))
    }
}

impl fmt::Display for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.as_u64() {
            return write!(f, "{number}");
        }
        f.write_str("0x")?;
        self.0.iter().skip_while(|octet| **octet == 0).try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

impl fmt::Debug for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrlNumber({self})")
    }
}

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

/// One entry, packed: 28 octets, so that a million fit 28 MB.
#[derive(Clone, Copy)]
struct Entry {
    serial: [u8; 21],
    reason: u8,
    at: u32,
}

/// A complete list, verified once, that answers by serial number in a binary search.
pub struct RevocationIndex {
    issuer: IssuerKeyId,
    number: CrlNumber,
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    entries: Vec<Entry>,
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

/// What the two ends of tbsCertList say about its middle.
struct ListHead<'a> {
    issuer: &'a [u8],
    this_update: UnixSeconds,
    next_update: UnixSeconds,
    entries: Option<Tlv<'a>>,
    number: CrlNumber,
    authority_key_identifier: Option<&'a [u8]>,
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
        let mut outer = Reader::only_sequence(der, "certificateList")?;
        let tbs = outer.expect(tag::SEQUENCE, "tbsCertList")?;
        let algorithm = outer.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer.expect(tag::BIT_STRING, "signatureValue")?.whole_octets("signatureValue")?;
        outer.finish("certificateList")?;

        let head = ListHead::read(&tbs, &algorithm)?;
        let anchor = choose_issuer(&head, &tbs, &algorithm, signature, anchors)?;
        if let Some(known) = not_older_than.filter(|known| head.number < *known) {
            return Err(CrlProblem::OlderThanKnown { offered: head.number, known });
        }
        let entries = head.entries.map_or_else(|| Ok(Vec::new()), |list| read_entries(&list))?;
        Ok(Self {
            issuer: anchor.key_id(),
            number: head.number,
            this_update: head.this_update,
            next_update: head.next_update,
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
        self.entries.is_empty()
    }

    /// The entry of a serial number: reason and date. The age of the list plays no part here.
    pub fn entry(&self, serial: &SerialNumber) -> Option<(RevocationReason, UnixSeconds)> {
        let found = self.entries.binary_search_by(|entry| entry.serial.cmp(serial.sort_key())).ok()?;
        let entry = self.entries.get(found)?;
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

/// By name and key identifier first, then by whose key verifies: two authorities may share a name.
fn choose_issuer<'t>(
    head: &ListHead<'_>,
    tbs: &Tlv<'_>,
    algorithm: &Tlv<'_>,
    signature: &[u8],
    anchors: &'t [TrustAnchor],
) -> Result<&'t TrustAnchor, CrlProblem> {
    let mut outcome = CrlProblem::ForeignIssuer;
    for anchor in
        anchors.iter().filter(|anchor| anchor.may_have_issued(head.issuer, head.authority_key_identifier))
    {
        if !anchor.may_sign_lists() {
            outcome = CrlProblem::NotAListSigner;
        } else if SignatureAlgorithm::recognise(algorithm) == Some(anchor.key().algorithm())
            && anchor.key().verifies(tbs.raw, signature)
        {
            return Ok(anchor);
        } else {
            outcome = CrlProblem::BadSignature;
        }
    }
    Err(outcome)
}

impl<'a> ListHead<'a> {
    /// TBSCertList: RFC 5280 §5.1.2.
    fn read(tbs: &Tlv<'a>, algorithm: &Tlv<'a>) -> Result<Self, CrlProblem> {
        let mut fields = tbs.inside();
        let version = fields.expect(tag::INTEGER, "version")?;
        if version.content != [1] {
            return Err(version.malformed("version").into());
        }
        let inner_algorithm = fields.expect(tag::SEQUENCE, "signature")?;
        if inner_algorithm.raw != algorithm.raw {
            return Err(algorithm.malformed("signatureAlgorithm").into());
        }
        let issuer = fields.expect(tag::SEQUENCE, "issuer")?.raw;
        let this_update = CertificateTime::read(&fields.any("thisUpdate")?, "thisUpdate")?.saturating_unix();
        // nextUpdate is OPTIONAL in the syntax; RFC 5280 §5.1.2.5 demands it, and without it no age has a limit.
        let next_update = CertificateTime::read(&fields.any("nextUpdate")?, "nextUpdate")?.saturating_unix();
        let entries = fields.optional(tag::SEQUENCE, "revokedCertificates")?;
        let wrapper = fields.expect(tag::context_constructed(0), "crlExtensions")?;
        fields.finish("tbsCertList")?;
        let mut inside = wrapper.inside();
        let list = inside.expect(tag::SEQUENCE, "crlExtensions")?;
        inside.finish("crlExtensions")?;

        let (mut number, mut authority_key_identifier) = (None, None);
        let mut extensions = list.inside();
        while !extensions.is_empty() {
            let extension = RawExtension::read(&mut extensions)?;
            if extension.kind.content == oid::CRL_NUMBER.as_bytes() {
                let read = CrlNumber::read(&extension.only(tag::INTEGER, "cRLNumber")?)?;
                if number.replace(read).is_some() {
                    return Err(extension.kind.malformed("repeated extension").into());
                }
            } else if extension.kind.content == oid::AUTHORITY_KEY_IDENTIFIER.as_bytes() {
                let identifier = extension.only(tag::SEQUENCE, "authorityKeyIdentifier")?;
                let key =
                    identifier.inside().optional(tag::context(0), "keyIdentifier")?.map(|key| key.content);
                if authority_key_identifier.replace(key).is_some() {
                    return Err(extension.kind.malformed("repeated extension").into());
                }
            } else if extension.critical {
                // Among them issuingDistributionPoint and deltaCRLIndicator: such lists are not complete.
                return Err(CrlProblem::UnsupportedCriticalExtension { offset: extension.kind.offset });
            }
        }
        let number = number.ok_or_else(|| list.malformed("cRLNumber"))?;
        let authority_key_identifier = authority_key_identifier.flatten();
        Ok(Self { issuer, this_update, next_update, entries, number, authority_key_identifier })
    }
}

/// revokedCertificates: RFC 5280 §5.1.2.6. Sorted on the way out.
fn read_entries(list: &Tlv<'_>) -> Result<Vec<Entry>, CrlProblem> {
    if list.content.is_empty() {
        return Err(list.malformed("revokedCertificates").into());
    }
    // 38 octets is the usual entry with a reason; smaller ones only make the vector grow once.
    let mut entries = Vec::with_capacity(list.content.len() / 38 + 1);
    let mut rest = list.inside();
    let mut sorted = true;
    while !rest.is_empty() {
        let entry = read_entry(&rest.expect(tag::SEQUENCE, "revoked certificate")?)?;
        sorted &= entries.last().is_none_or(|last: &Entry| last.serial < entry.serial);
        entries.push(entry);
    }
    if !sorted {
        // A serial listed twice keeps its latest entry.
        entries.sort_unstable_by(|a, b| a.serial.cmp(&b.serial).then(b.at.cmp(&a.at)));
        entries.dedup_by(|later, first| later.serial == first.serial);
    }
    entries.shrink_to_fit();
    Ok(entries)
}

fn read_entry(entry: &Tlv<'_>) -> Result<Entry, CrlProblem> {
    let mut fields = entry.inside();
    let serial = SerialNumber::read(&fields.expect(tag::INTEGER, "userCertificate")?, "userCertificate")?;
    let date = fields.any("revocationDate")?;
    let at = u32::try_from(CertificateTime::read(&date, "revocationDate")?.0);
    let at = at.map_err(|_| date.malformed("revocationDate"))?;
    let mut reason = RevocationReason::Unspecified;
    if let Some(list) = fields.optional(tag::SEQUENCE, "crlEntryExtensions")? {
        let mut extensions = list.inside();
        while !extensions.is_empty() {
            let extension = RawExtension::read(&mut extensions)?;
            if extension.kind.content == oid::REASON_CODE.as_bytes() {
                let code = extension.only(tag::ENUMERATED, "reasonCode")?;
                reason = RevocationReason::from_code(code.small_unsigned("reasonCode")?);
                if reason == RevocationReason::RemoveFromCrl {
                    // RFC 5280 §5.3.1: in delta lists only. Read as an entry it would undo nothing here.
                    return Err(code.malformed("reasonCode").into());
                }
            } else if extension.kind.content == oid::INVALIDITY_DATE.as_bytes() {
                extension.only(tag::GENERALIZED_TIME, "invalidityDate")?;
            } else if extension.critical {
                // Among them certificateIssuer: the list would speak for other issuers too.
                return Err(CrlProblem::UnsupportedCriticalExtension { offset: extension.kind.offset });
            }
        }
    }
    fields.finish("revoked certificate")?;
    Ok(Entry { serial: *serial.sort_key(), reason: reason.code(), at })
}

#[cfg(test)]
#[path = "crl_tests.rs"]
mod tests;
