//! Lists as an authority issues them: complete ones, parts of a complete one, and deltas. RFC 5280 §5.

use crate::asn1::{tag, write};
use crate::issue::{IssueError, IssuingAuthority};
use crate::lint::{self, ListRules};
use crate::name::{DistinguishedName, NameAttribute};
use crate::oid;
use crate::profile::{Criticality, directory_name, extension, ia5};
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

/// The place of a part of the complete list: a certificate names it (cRLDistributionPoints, RFC 5280
/// §4.2.1.13), and the list of that place names it too (issuingDistributionPoint, §5.2.5). A certificate
/// that names the place is revoked if and only if that list says so.
///
/// Two names for one place: a directory name, which stays the same wherever the list is served from, and
/// the address. One of them in common is enough (§6.3.3 (b)(2)(i)).
#[doc(alias = "失効リスト配布点")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPlace {
    general_names: Vec<u8>,
}

impl ListPlace {
    /// The place called `name` under `issuer`, served at `uri` (plain HTTP: RFC 5280 §8).
    ///
    /// # Errors
    /// A name that does not fit a common name, or an address with other than visible ASCII characters.
    pub fn new(issuer: &DistinguishedName, name: &str, uri: &str) -> Result<Self, IssueError> {
        let directory = issuer.extended(&[
            (NameAttribute::OrganizationalUnit, "CRL Distribution Points"),
            (NameAttribute::CommonName, name),
        ])?;
        let general_names = [directory_name(&directory), write::tlv(tag::context(6), ia5(uri)?)].concat();
        Ok(Self { general_names })
    }

    /// DistributionPointName, fullName: RFC 5280 §4.2.1.13. Implicit [0] over GeneralNames, inside the
    /// explicit [0] of whoever holds it.
    fn distribution_point_name(&self) -> Vec<u8> {
        write::explicit(0, &write::explicit(0, &self.general_names))
    }

    /// One DistributionPoint of cRLDistributionPoints.
    pub(crate) fn distribution_point(&self) -> Vec<u8> {
        write::sequence(&[&self.distribution_point_name()])
    }

    /// issuingDistributionPoint: this place, end-entity certificates only.
    fn issuing_distribution_point(&self) -> Vec<u8> {
        let only_user_certificates = write::tlv(tag::context(1), &[0xFF]);
        write::sequence(&[&self.distribution_point_name(), &only_user_certificates])
    }
}

/// What kind of list.
#[derive(Clone, Copy, Default, Debug)]
pub struct ListShape<'a> {
    /// The part of all certificates that it covers; all of them without one.
    pub place: Option<&'a ListPlace>,
    /// For a delta: number of the complete list that it builds on (BaseCRLNumber, RFC 5280 §5.2.4).
    pub base: Option<u64>,
    /// For a complete list: where its deltas are (freshestCRL, RFC 5280 §5.2.6).
    pub freshest_uri: Option<&'a str>,
}

impl ListShape<'_> {
    fn extensions(&self) -> Result<Vec<u8>, IssueError> {
        let mut extensions = Vec::new();
        if let Some(base) = self.base {
            let value = write::unsigned(&base.to_be_bytes());
            extensions.extend(extension(&oid::DELTA_CRL_INDICATOR, Criticality::Critical, &value));
        }
        if let Some(place) = self.place {
            let value = place.issuing_distribution_point();
            extensions.extend(extension(&oid::ISSUING_DISTRIBUTION_POINT, Criticality::Critical, &value));
        }
        if let Some(uri) = self.freshest_uri {
            let full_name = write::explicit(0, &write::tlv(tag::context(6), ia5(uri)?));
            let point = write::sequence(&[&write::explicit(0, &full_name)]);
            let value = write::sequence(&[&point]);
            extensions.extend(extension(&oid::FRESHEST_CRL, Criticality::NonCritical, &value));
        }
        Ok(extensions)
    }
}

impl IssuingAuthority {
    /// Issues a complete list of everything, version 2: RFC 5280 §5.
    ///
    /// # Errors
    /// As [`Self::issue_list`].
    pub fn issue_crl(&self, contents: &CrlContents<'_>) -> Result<Vec<u8>, IssueError> {
        self.issue_list(contents, &ListShape::default())
    }

    /// Issues a list of a shape. Nothing is signed that [`crate::lint`] finds an error in.
    ///
    /// # Errors
    /// nextUpdate not after thisUpdate, `removeFromCRL` outside a delta, other findings of the lint, or a
    /// signer that refuses.
    pub fn issue_list(
        &self,
        contents: &CrlContents<'_>,
        shape: &ListShape<'_>,
    ) -> Result<Vec<u8>, IssueError> {
        if contents.next_update <= contents.this_update {
            return Err(IssueError::Contents("nextUpdate must be later than thisUpdate"));
        }
        let mut entries = Vec::with_capacity(contents.entries.len() * 40);
        for entry in contents.entries {
            if entry.reason == RevocationReason::RemoveFromCrl && shape.base.is_none() {
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
            &shape.extensions()?,
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
        let rules = ListRules {
            issuer: self.subject(),
            key_identifier: self.key_identifier(),
            algorithm: self.algorithm(),
        };
        self.sign_linted(&lint::list(&tbs, &rules)?)
    }
}
