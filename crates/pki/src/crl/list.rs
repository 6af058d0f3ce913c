//! A revocation list as it came: RFC 5280 §5. Reading decides nothing; entries are read one by one, without
//! an object for each, because lists of millions exist.

use super::CrlNumber;
use crate::asn1::read::{Malformed, Reader, Tlv, check_nested};
use crate::asn1::tag;
use crate::asn1::time::CertificateTime;
use crate::extension::{RawExtension, UnknownCritical, check_each};
use crate::general_name::{self, GeneralName, NameForm};
use crate::oid;
use crate::revocation::RevocationReason;
use crate::serial::SerialNumber;
use der::asn1::ObjectIdentifier;

/// Reasons as a set: RFC 5280 §4.2.1.13, ReasonFlags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReasonMask(u16);

impl ReasonMask {
    pub(crate) const NONE: Self = Self(0);
    /// keyCompromise (1) to aACompromise (8); bit 0 is unused.
    pub(crate) const ALL: Self = Self(0x7F80);

    fn read(bits: &Tlv<'_>, what: &'static str) -> Result<Self, Malformed> {
        Ok(Self(bits.named_bits(what)? & Self::ALL.0))
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every reason of `other` is in this set.
    pub(crate) const fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// DistributionPointName: RFC 5280 §4.2.1.13.
#[derive(Clone, Debug)]
pub(crate) enum PointName<'a> {
    /// fullName.
    Full(Vec<GeneralName<'a>>),
    /// nameRelativeToCRLIssuer: the content of the one relative name.
    Relative(&'a [u8]),
}

impl<'a> PointName<'a> {
    fn read(wrapper: &Tlv<'a>) -> Result<Self, Malformed> {
        let mut inside = wrapper.inside();
        let name = inside.any("distributionPointName")?;
        inside.finish("distributionPointName")?;
        if name.tag == tag::context_constructed(0) {
            return read_names(&name, "fullName").map(Self::Full);
        }
        if name.tag == tag::context_constructed(1) && !name.content.is_empty() {
            return Ok(Self::Relative(name.content));
        }
        Err(name.malformed("distributionPointName"))
    }
}

/// Distribution points of a certificate, and names of one of them, that are read: more are refused. Issuers
/// write one or two; each is compared with each of every list.
const POINTS_MAX: usize = 64;

fn read_names<'a>(list: &Tlv<'a>, what: &'static str) -> Result<Vec<GeneralName<'a>>, Malformed> {
    let mut names = Vec::new();
    general_name::each(list, what, |name| {
        if names.len() >= POINTS_MAX {
            return Err(name.tlv.malformed(what));
        }
        names.push(name);
        Ok(())
    })?;
    Ok(names)
}

/// One of the places where a certificate says its status is published: RFC 5280 §4.2.1.13.
#[derive(Clone, Debug)]
pub(crate) struct DistributionPoint<'a> {
    pub(crate) name: Option<PointName<'a>>,
    pub(crate) reasons: ReasonMask,
    /// Names of the list's issuer, where it is not the certificate's.
    pub(crate) issuer: Option<Vec<GeneralName<'a>>>,
}

/// cRLDistributionPoints: RFC 5280 §4.2.1.13.
pub(crate) fn read_distribution_points<'a>(list: &Tlv<'a>) -> Result<Vec<DistributionPoint<'a>>, Malformed> {
    let mut points = Vec::new();
    check_each(list, "cRLDistributionPoints", |entry| {
        if entry.tag != tag::SEQUENCE || points.len() >= POINTS_MAX {
            return Err(entry.malformed("distribution point"));
        }
        let mut fields = entry.inside();
        let name = fields.optional(tag::context_constructed(0), "distributionPoint")?;
        let reasons = fields.optional(tag::context(1), "reasons")?;
        let issuer = fields.optional(tag::context_constructed(2), "cRLIssuer")?;
        fields.finish("distribution point")?;
        if name.is_none() && issuer.is_none() {
            // RFC 5280 §4.2.1.13: a point with reasons only says nothing.
            return Err(entry.malformed("distribution point"));
        }
        points.push(DistributionPoint {
            name: name.map(|name| PointName::read(&name)).transpose()?,
            reasons: reasons.map_or(Ok(ReasonMask::ALL), |bits| ReasonMask::read(&bits, "reasons"))?,
            issuer: issuer.map(|names| read_names(&names, "cRLIssuer")).transpose()?,
        });
        Ok(())
    })?;
    Ok(points)
}

/// Which certificates a list speaks of: RFC 5280 §5.2.5.
#[derive(Clone, Debug)]
pub(crate) struct IssuingDistributionPoint<'a> {
    pub(crate) name: Option<PointName<'a>>,
    pub(crate) only_users: bool,
    pub(crate) only_authorities: bool,
    pub(crate) only_attributes: bool,
    pub(crate) reasons: ReasonMask,
    pub(crate) indirect: bool,
    /// As it came: a delta has the same scope if it has the same octets.
    pub(crate) raw: &'a [u8],
}

impl<'a> IssuingDistributionPoint<'a> {
    fn read(value: &Tlv<'a>) -> Result<Self, Malformed> {
        let mut fields = value.inside();
        let name = fields.optional(tag::context_constructed(0), "distributionPoint")?;
        let mut flag = |number| match fields.optional(tag::context(number), "issuingDistributionPoint")? {
            // DEFAULT FALSE is never encoded (X.690 §11.5).
            Some(flag) if !flag.boolean("issuingDistributionPoint")? => {
                Err(flag.malformed("issuingDistributionPoint"))
            }
            flag => Ok(flag.is_some()),
        };
        let only_users = flag(1)?;
        let only_authorities = flag(2)?;
        let reasons = fields.optional(tag::context(3), "onlySomeReasons")?;
        let mut flag = |number| match fields.optional(tag::context(number), "issuingDistributionPoint")? {
            Some(flag) if !flag.boolean("issuingDistributionPoint")? => {
                Err(flag.malformed("issuingDistributionPoint"))
            }
            flag => Ok(flag.is_some()),
        };
        let indirect = flag(4)?;
        let only_attributes = flag(5)?;
        fields.finish("issuingDistributionPoint")?;
        // RFC 5280 §5.2.5: at most one of the three. An empty one is let pass: it narrows nothing.
        if [only_users, only_authorities, only_attributes].iter().filter(|only| **only).count() > 1 {
            return Err(value.malformed("issuingDistributionPoint"));
        }
        Ok(Self {
            name: name.map(|name| PointName::read(&name)).transpose()?,
            only_users,
            only_authorities,
            only_attributes,
            reasons: reasons
                .map_or(Ok(ReasonMask::ALL), |bits| ReasonMask::read(&bits, "onlySomeReasons"))?,
            indirect,
            raw: value.raw,
        })
    }
}

/// What stands before the entries: RFC 5280 §5.1.2.1 to §5.1.2.5.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListHead<'a> {
    pub(crate) is_v2: bool,
    /// The inner copy of the signature algorithm.
    pub(crate) algorithm: Tlv<'a>,
    pub(crate) issuer: &'a [u8],
    pub(crate) this_update: CertificateTime,
    pub(crate) next_update: Option<CertificateTime>,
}

impl<'a> ListHead<'a> {
    pub(crate) fn read(fields: &mut Reader<'a>) -> Result<Self, Malformed> {
        let version = fields.optional(tag::INTEGER, "version")?;
        if let Some(version) = version.filter(|version| version.content != [1]) {
            return Err(version.malformed("version"));
        }
        let algorithm = fields.expect(tag::SEQUENCE, "signature")?;
        check_nested(&algorithm, "signature")?;
        let issuer = fields.expect(tag::SEQUENCE, "issuer")?;
        check_nested(&issuer, "issuer")?;
        let this_update = CertificateTime::read(&fields.any("thisUpdate")?, "thisUpdate")?;
        let next_update = match fields.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => {
                Some(CertificateTime::read(&fields.any("nextUpdate")?, "nextUpdate")?)
            }
            _ => None,
        };
        Ok(Self { is_v2: version.is_some(), algorithm, issuer: issuer.raw, this_update, next_update })
    }
}

/// What stands behind the entries: RFC 5280 §5.2.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListExtensions<'a> {
    pub(crate) number: Option<CrlNumber>,
    pub(crate) base_number: Option<CrlNumber>,
    pub(crate) authority_key_identifier: Option<&'a [u8]>,
    pub(crate) scope: Option<IssuingDistributionPoint<'a>>,
    /// Where the first extension stands that makes the list less than complete: a delta, or of a scope.
    pub(crate) narrowed_at: Option<usize>,
    pub(crate) unknown_critical: Option<UnknownCritical<'a>>,
    pub(crate) odd_criticality: Option<(&'static str, usize)>,
}

impl<'a> ListExtensions<'a> {
    /// Reads them, if there are any, to the end of the signed part.
    pub(crate) fn read(fields: &mut Reader<'a>, head: &ListHead<'_>) -> Result<Self, Malformed> {
        let wrapper = fields.optional(tag::context_constructed(0), "crlExtensions")?;
        fields.finish("tbsCertList")?;
        let mut read = Self::default();
        if let Some(wrapper) = wrapper {
            if !head.is_v2 {
                return Err(wrapper.malformed("crlExtensions"));
            }
            let mut inside = wrapper.inside();
            let extensions = inside.expect(tag::SEQUENCE, "crlExtensions")?;
            inside.finish("crlExtensions")?;
            read.take_extensions(&extensions)?;
        }
        Ok(read)
    }

    fn take_extensions(&mut self, extensions: &Tlv<'a>) -> Result<(), Malformed> {
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut rest = extensions.inside();
        if rest.is_empty() {
            return Err(extensions.malformed("crlExtensions"));
        }
        while !rest.is_empty() {
            let extension = RawExtension::read(&mut rest)?;
            let kind = extension.kind.content;
            if seen.contains(&kind) || seen.len() >= 64 {
                return Err(extension.kind.malformed("repeated extension"));
            }
            seen.push(kind);
            let is = |known: ObjectIdentifier| known.as_bytes() == kind;
            let mut wants = |critical: bool, what| {
                if extension.critical != critical {
                    self.odd_criticality.get_or_insert((what, extension.kind.offset));
                }
            };
            if is(oid::CRL_NUMBER) {
                wants(false, "cRLNumber");
                self.number = Some(CrlNumber::read(&extension.only(tag::INTEGER, "cRLNumber")?)?);
            } else if is(oid::DELTA_CRL_INDICATOR) {
                wants(true, "deltaCRLIndicator");
                let base = extension.only(tag::INTEGER, "deltaCRLIndicator")?;
                self.base_number = Some(CrlNumber::read(&base)?);
                self.narrowed_at.get_or_insert(extension.kind.offset);
            } else if is(oid::ISSUING_DISTRIBUTION_POINT) {
                wants(true, "issuingDistributionPoint");
                let value = extension.only(tag::SEQUENCE, "issuingDistributionPoint")?;
                self.scope = Some(IssuingDistributionPoint::read(&value)?);
                self.narrowed_at.get_or_insert(extension.kind.offset);
            } else if is(oid::AUTHORITY_KEY_IDENTIFIER) {
                wants(false, "authorityKeyIdentifier");
                let identifier = extension.only(tag::SEQUENCE, "authorityKeyIdentifier")?;
                let key = identifier.inside().optional(tag::context(0), "keyIdentifier")?;
                self.authority_key_identifier = key.map(|key| key.content);
            } else if is(oid::ISSUER_ALT_NAME) || is(oid::FRESHEST_CRL) || is(oid::AUTHORITY_INFO_ACCESS) {
                extension.only(tag::SEQUENCE, "list extension")?;
            } else if extension.critical {
                let identifier = extension.kind.object_identifier("extnID")?;
                self.unknown_critical
                    .get_or_insert(UnknownCritical { identifier, offset: extension.kind.offset });
            }
        }
        Ok(())
    }
}

/// A revocation list, read but not yet believed.
#[derive(Clone, Debug)]
pub struct CertificateList<'a> {
    pub(crate) tbs: Tlv<'a>,
    pub(crate) signature_algorithm: Tlv<'a>,
    pub(crate) signature: &'a [u8],
    pub(crate) is_v2: bool,
    pub(crate) issuer: &'a [u8],
    pub(crate) this_update: CertificateTime,
    pub(crate) next_update: Option<CertificateTime>,
    entries: Option<Tlv<'a>>,
    pub(crate) number: Option<CrlNumber>,
    /// BaseCRLNumber: what makes the list a delta (RFC 5280 §5.2.4).
    pub(crate) base_number: Option<CrlNumber>,
    pub(crate) authority_key_identifier: Option<&'a [u8]>,
    pub(crate) scope: Option<IssuingDistributionPoint<'a>>,
    /// Where the first extension stands that makes the list less than complete: a delta, or of a scope.
    pub(crate) narrowed_at: Option<usize>,
    pub(crate) unknown_critical: Option<UnknownCritical<'a>>,
    /// An extension whose criticality is not what RFC 5280 §5.2 wants, and where.
    pub(crate) odd_criticality: Option<(&'static str, usize)>,
}

impl<'a> CertificateList<'a> {
    /// Reads one DER list that fills `der`: RFC 5280 §5.1. Entries are left for later.
    ///
    /// # Errors
    /// Anything that is not DER, not an X.509 list, or is followed by other data.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::only_sequence(der, "certificateList")?;
        let tbs = outer.expect(tag::SEQUENCE, "tbsCertList")?;
        let signature_algorithm = outer.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        check_nested(&signature_algorithm, "signatureAlgorithm")?;
        let signature = outer.expect(tag::BIT_STRING, "signatureValue")?.whole_octets("signatureValue")?;
        outer.finish("certificateList")?;

        let mut fields = tbs.inside();
        let head = ListHead::read(&mut fields)?;
        if head.algorithm.raw != signature_algorithm.raw {
            return Err(signature_algorithm.malformed("signatureAlgorithm"));
        }
        let entries = fields.optional(tag::SEQUENCE, "revokedCertificates")?;
        let extensions = ListExtensions::read(&mut fields, &head)?;
        Ok(Self {
            tbs,
            signature_algorithm,
            signature,
            is_v2: head.is_v2,
            issuer: head.issuer,
            this_update: head.this_update,
            next_update: head.next_update,
            entries,
            number: extensions.number,
            base_number: extensions.base_number,
            authority_key_identifier: extensions.authority_key_identifier,
            scope: extensions.scope,
            narrowed_at: extensions.narrowed_at,
            unknown_critical: extensions.unknown_critical,
            odd_criticality: extensions.odd_criticality,
        })
    }

    /// Number of the list, if it says one.
    pub const fn number(&self) -> Option<CrlNumber> {
        self.number
    }

    /// Whether it lists changes only.
    pub const fn is_delta(&self) -> bool {
        self.base_number.is_some()
    }

    /// Entries that are there and are none, which RFC 5280 §5.1.2.6 does not allow and several programs write.
    pub(crate) fn empty_entries(&self) -> Option<Tlv<'a>> {
        self.entries.filter(|entries| entries.content.is_empty())
    }

    /// Its entries, from the first on.
    pub(crate) fn entries(&self) -> Entries<'a> {
        Entries {
            rest: self.entries.map_or_else(|| Reader::new(&[]), |entries| entries.inside()),
            is_v2: self.is_v2,
        }
    }
}

/// One revoked certificate: RFC 5280 §5.1.2.6, §5.3.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListEntry<'a> {
    pub(crate) serial: SerialNumber,
    pub(crate) revoked_at: CertificateTime,
    pub(crate) reason: RevocationReason,
    /// certificateIssuer, if the entry changes it: it holds for the entries that follow too.
    pub(crate) issuer: Option<Tlv<'a>>,
    pub(crate) unknown_critical: Option<UnknownCritical<'a>>,
    pub(crate) place: Tlv<'a>,
}

/// Reads entries one after the other.
pub(crate) struct Entries<'a> {
    rest: Reader<'a>,
    is_v2: bool,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<ListEntry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.rest.expect(tag::SEQUENCE, "revoked certificate");
        let read = entry.and_then(|entry| ListEntry::read(&entry, self.is_v2));
        if read.is_err() {
            self.rest = Reader::new(&[]);
        }
        Some(read)
    }
}

impl<'a> ListEntry<'a> {
    pub(crate) fn read(entry: &Tlv<'a>, is_v2: bool) -> Result<Self, Malformed> {
        let mut fields = entry.inside();
        let serial = SerialNumber::read(&fields.expect(tag::INTEGER, "userCertificate")?, "userCertificate")?;
        let revoked_at = CertificateTime::read(&fields.any("revocationDate")?, "revocationDate")?;
        let mut read = Self {
            serial,
            revoked_at,
            reason: RevocationReason::Unspecified,
            issuer: None,
            unknown_critical: None,
            place: *entry,
        };
        if let Some(list) = fields.optional(tag::SEQUENCE, "crlEntryExtensions")? {
            if !is_v2 || list.content.is_empty() {
                return Err(list.malformed("crlEntryExtensions"));
            }
            read.take_extensions(&list)?;
        }
        fields.finish("revoked certificate")?;
        Ok(read)
    }

    fn take_extensions(&mut self, list: &Tlv<'a>) -> Result<(), Malformed> {
        let mut rest = list.inside();
        let mut seen = [false; 3];
        while !rest.is_empty() {
            let extension = RawExtension::read(&mut rest)?;
            let kind = extension.kind.content;
            let place = if kind == oid::REASON_CODE.as_bytes() {
                let code = extension.only(tag::ENUMERATED, "reasonCode")?;
                self.reason = RevocationReason::from_code(code.small_unsigned("reasonCode")?);
                0
            } else if kind == oid::INVALIDITY_DATE.as_bytes() {
                CertificateTime::read(
                    &extension.only(tag::GENERALIZED_TIME, "invalidityDate")?,
                    "invalidityDate",
                )?;
                1
            } else if kind == oid::CERTIFICATE_ISSUER.as_bytes() {
                self.issuer = Some(extension.only(tag::SEQUENCE, "certificateIssuer")?);
                2
            } else {
                if extension.critical {
                    let identifier = extension.kind.object_identifier("extnID")?;
                    self.unknown_critical
                        .get_or_insert(UnknownCritical { identifier, offset: extension.kind.offset });
                }
                continue;
            };
            if let Some(seen) = seen.get_mut(place)
                && std::mem::replace(seen, true)
            {
                return Err(extension.kind.malformed("repeated extension"));
            }
        }
        Ok(())
    }
}

/// The directory name among the names of a certificateIssuer: RFC 5280 §5.3.3.
pub(crate) fn issuer_name<'a>(names: &Tlv<'a>) -> Result<&'a [u8], Malformed> {
    let mut found = None;
    general_name::each(names, "certificateIssuer", |name| {
        if name.form == NameForm::Directory {
            found.get_or_insert(name.value);
        }
        Ok(())
    })?;
    found.ok_or_else(|| names.malformed("certificateIssuer"))
}
