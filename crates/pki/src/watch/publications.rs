//! Words about kept certificates from revocation lists: RFC 5280 §5.2.4 (deltas), §5.2.5 (parts). Each list is
//! verified once and read through once, entry by entry, however many certificates are kept.

use super::{Kept, KeptStatus, ListSource, Word, of_entry};
use crate::asn1::time::CertificateTime;
use crate::crl::CrlProblem;
use crate::crl::list::{CertificateList, IssuingDistributionPoint, PointName, ReasonMask};
use crate::revocation::RevocationReason;
use crate::serial::SerialNumber;
use crate::signature_scheme::{SignatureDigest, SignatureScheme};
use crate::validate::evidence::sha256;
use crate::validate::{IssuerKeyId, TrustAnchor};
use protocol::time::UnixSeconds;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// SHA-256 of each general name of a place.
pub(super) fn places(name: &PointName<'_>) -> Vec<[u8; 32]> {
    match name {
        PointName::Full(names) => names.iter().map(|name| sha256(name.tlv.raw)).collect(),
        // Relative to an issuer: no list of ours is named so, and what is not matched is not covered.
        PointName::Relative(_) => Vec::new(),
    }
}

struct Publication<'a> {
    list: CertificateList<'a>,
    issuer: IssuerKeyId,
    source: ListSource,
    /// The places it is for; none: everything.
    places: Option<Vec<[u8; 32]>>,
}

/// Verified lists of trusted issuers.
#[derive(Default)]
pub struct Publications<'a> {
    lists: Vec<Publication<'a>>,
}

impl fmt::Debug for Publications<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publications").field("lists", &self.lists.len()).finish()
    }
}

/// What one list says of the kept certificates that it lists.
type Listed = HashMap<SerialNumber, (RevocationReason, UnixSeconds)>;

impl<'a> Publications<'a> {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a list, complete or of a part or a delta, signed by one of `anchors`.
    ///
    /// # Errors
    /// Not a numbered version 2 list, of a foreign issuer, badly signed, or of a kind that says too little:
    /// some reasons only, indirect, for authorities' or attribute certificates only.
    pub fn add(&mut self, der: &'a [u8], anchors: &[TrustAnchor]) -> Result<(), CrlProblem> {
        let list = CertificateList::parse(der)?;
        let issuer = issuer_of(&list, anchors)?;
        if let Some(unknown) = list.unknown_critical {
            return Err(CrlProblem::UnsupportedCriticalExtension { offset: unknown.offset });
        }
        if list.scope.as_ref().is_some_and(|scope| !is_plain(scope)) {
            let offset = list.narrowed_at.unwrap_or(list.tbs.offset);
            return Err(CrlProblem::UnsupportedCriticalExtension { offset });
        }
        let number = list.number().ok_or_else(|| list.tbs.malformed("cRLNumber"))?;
        let scope = list.scope.as_ref();
        let source = ListSource { scope: scope.map(|scope| sha256(scope.raw)), number };
        let places = scope.and_then(|scope| scope.name.as_ref()).map(places);
        self.lists.push(Publication { list, issuer, source, places });
        Ok(())
    }

    /// What the lists say of each kept certificate, in their order: no word, one, or several.
    ///
    /// # Errors
    /// A list has an entry that cannot be read or that it may not have; then it says nothing of anybody.
    pub fn words(&self, kept: &[Kept]) -> Result<Vec<Vec<Word>>, CrlProblem> {
        let mut wanted: HashMap<IssuerKeyId, HashSet<SerialNumber>> = HashMap::new();
        for one in kept {
            wanted.entry(one.issuer).or_default().insert(one.serial);
        }
        let listed = self.lists.iter().map(|publication| {
            wanted
                .get(&publication.issuer)
                .map_or_else(|| Ok(Listed::new()), |wanted| publication.look_for(wanted))
        });
        let listed = listed.collect::<Result<Vec<_>, _>>()?;
        Ok(kept.iter().map(|kept| self.words_on(kept, &listed)).collect())
    }

    fn words_on(&self, kept: &Kept, listed: &[Listed]) -> Vec<Word> {
        let of_issuer = || self.lists.iter().zip(listed).filter(|(list, _)| list.issuer == kept.issuer);
        let mut words = Vec::new();
        for (publication, entries) in of_issuer() {
            let own = entries.get(&kept.serial).copied();
            let status = match (publication.list.base_number, own) {
                // A hold ended: RFC 5280 §5.3.1.
                (Some(_), Some((RevocationReason::RemoveFromCrl, _))) => Some(KeptStatus::Good),
                (_, Some(entry)) => Some(of_entry(Some(entry))),
                (None, None) => publication.covers(kept).then_some(KeptStatus::Good),
                (Some(base), None) => of_issuer()
                    .filter(|(complete, _)| {
                        complete.list.base_number.is_none()
                            && complete.source.scope == publication.source.scope
                            && complete.source.number >= base
                            && complete.source.number < publication.source.number
                    })
                    .max_by_key(|(complete, _)| complete.source.number)
                    .filter(|_| publication.covers(kept))
                    .map(|(_, entries)| of_entry(entries.get(&kept.serial).copied())),
            };
            words.extend(status.map(|status| publication.word(status)));
        }
        words
    }
}

/// Whether a scope leaves nothing out but certificates of other places, and of authorities.
fn is_plain(scope: &IssuingDistributionPoint<'_>) -> bool {
    let narrowed = scope.indirect || scope.only_authorities || scope.only_attributes;
    !narrowed && scope.reasons.includes(ReasonMask::ALL)
}

fn issuer_of(list: &CertificateList<'_>, anchors: &[TrustAnchor]) -> Result<IssuerKeyId, CrlProblem> {
    let scheme = SignatureScheme::read(&list.signature_algorithm).ok();
    let scheme = scheme.filter(|scheme| scheme.digest() != Some(SignatureDigest::Sha1));
    let mut outcome = CrlProblem::ForeignIssuer;
    let named = list.authority_key_identifier;
    for anchor in anchors.iter().filter(|anchor| anchor.may_have_issued(list.issuer, named)) {
        if !anchor.may_sign_lists() {
            outcome = CrlProblem::NotAListSigner;
        } else if scheme.is_some_and(|scheme| anchor.key().verifies(scheme, list.tbs.raw, list.signature)) {
            return Ok(anchor.key_id());
        } else {
            outcome = CrlProblem::BadSignature;
        }
    }
    Err(outcome)
}

impl Publication<'_> {
    /// RFC 5280 §6.3.3 (b)(2)(i): one name in common is enough.
    fn covers(&self, kept: &Kept) -> bool {
        self.places.as_ref().is_none_or(|places| places.iter().any(|place| kept.places.contains(place)))
    }

    fn word(&self, status: KeptStatus) -> Word {
        Word {
            status,
            this_update: self.list.this_update.saturating_unix(),
            next_update: self.list.next_update.map(CertificateTime::saturating_unix),
            source: Some(self.source),
        }
    }

    fn look_for(&self, wanted: &HashSet<SerialNumber>) -> Result<Listed, CrlProblem> {
        let mut found = Listed::new();
        for entry in self.list.entries() {
            let entry = entry?;
            if let Some(unknown) = entry.unknown_critical {
                return Err(CrlProblem::UnsupportedCriticalExtension { offset: unknown.offset });
            }
            if let Some(issuer) = entry.issuer {
                return Err(CrlProblem::UnsupportedCriticalExtension { offset: issuer.offset });
            }
            if entry.reason == RevocationReason::RemoveFromCrl && self.list.base_number.is_none() {
                return Err(entry.place.malformed("reasonCode").into());
            }
            if wanted.contains(&entry.serial) {
                found.insert(entry.serial, (entry.reason, entry.revoked_at.saturating_unix()));
            }
        }
        Ok(found)
    }
}
