//! What the lints of certificates and lists share.

use super::{Finding, LintError, Linted, Severity};
use crate::asn1::read::{Malformed, Tlv};
use crate::asn1::tag;
use crate::asn1::time::CertificateTime;
use der::asn1::ObjectIdentifier;

/// DER of the arc 1.2.392.200149, under which the real authority's identifiers hang.
const REAL_AUTHORITY_ARC: [u8; 6] = [0x2A, 0x83, 0x08, 0x8C, 0x9B, 0x55];
/// 2050-01-01T00:00:00Z.
const YEAR_2050: i64 = 2_524_608_000;

/// Findings while they are being collected.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn error(&mut self, rule: &'static str, offset: usize) {
        self.0.push(Finding { severity: Severity::Error, rule, offset });
    }

    pub(super) fn warning(&mut self, rule: &'static str, offset: usize) {
        self.0.push(Finding { severity: Severity::Warning, rule, offset });
    }

    /// An error unless `holds`.
    pub(super) fn demand(&mut self, holds: bool, rule: &'static str, offset: usize) {
        if !holds {
            self.error(rule, offset);
        }
    }

    pub(super) fn malformed(&mut self, fault: &Malformed) {
        self.error(fault.what, fault.offset);
    }

    /// Nothing issued here may be taken for the real authority's.
    fn refuse_the_real_thing(&mut self, tbs: &[u8]) {
        let mut windows = tbs.windows(REAL_AUTHORITY_ARC.len());
        if let Some(offset) = windows.position(|window| window == REAL_AUTHORITY_ARC) {
            self.error("an object identifier of the real authority (own rule)", offset);
        }
    }

    pub(super) fn conclude(mut self, tbs: &[u8]) -> Result<Linted<'_>, LintError> {
        self.refuse_the_real_thing(tbs);
        self.0.sort_by_key(|finding| finding.offset);
        if self.0.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(LintError { findings: self.0 });
        }
        Ok(Linted { tbs, warnings: self.0 })
    }
}

/// An extension as the lint reads it: RFC 5280 §4.2.
#[derive(Clone, Copy)]
pub(super) struct Extension<'a> {
    pub(super) kind: Tlv<'a>,
    pub(super) critical: bool,
    /// The one element inside extnValue.
    pub(super) value: Tlv<'a>,
}

impl Extension<'_> {
    pub(super) const fn at(&self) -> usize {
        self.kind.offset
    }

    pub(super) fn is(&self, kind: &ObjectIdentifier) -> bool {
        self.kind.content == kind.as_bytes()
    }
}

/// Reads a SEQUENCE OF Extension; each kind once, no empty list, DEFAULT FALSE not encoded.
pub(super) fn read_extensions<'a>(
    list: &Tlv<'a>,
    findings: &mut Findings,
) -> Result<Vec<Extension<'a>>, Malformed> {
    let mut read: Vec<Extension<'a>> = Vec::new();
    let mut rest = list.inside();
    findings.demand(
        !rest.is_empty(),
        "extensions are left out when there are none (RFC 5280 §4.1.2.9)",
        list.offset,
    );
    while !rest.is_empty() {
        let mut fields = rest.expect(tag::SEQUENCE, "an extension is a sequence (RFC 5280 §4.1)")?.inside();
        let kind = fields.expect(tag::OID, "an extension begins with its identifier (RFC 5280 §4.1)")?;
        let critical = match fields.optional(tag::BOOLEAN, "critical")? {
            None => false,
            Some(flag) => {
                let set = flag.boolean("critical is TRUE or absent (X.690 §11.5)")?;
                findings.demand(set, "critical is TRUE or absent (X.690 §11.5)", flag.offset);
                set
            }
        };
        let value = fields.expect(tag::OCTET_STRING, "an extension has a value (RFC 5280 §4.1)")?;
        fields.finish("an extension has three fields (RFC 5280 §4.1)")?;
        let mut inside = value.inside();
        let element = inside.any("an extension's value is one element (RFC 5280 §4.2)")?;
        inside.finish("an extension's value is one element (RFC 5280 §4.2)")?;
        if read.iter().any(|before| before.kind.content == kind.content) {
            findings.error("an extension appears once (RFC 5280 §4.2)", kind.offset);
        }
        read.push(Extension { kind, critical, value: element });
    }
    Ok(read)
}

/// A date of a certificate or list: UTCTime through 2049 and GeneralizedTime from 2050 on.
pub(super) fn read_time(tlv: &Tlv<'_>, findings: &mut Findings) -> Result<i64, Malformed> {
    let at =
        CertificateTime::read(tlv, "a date has seconds, no fraction and ends in Z (RFC 5280 §4.1.2.5)")?.0;
    findings.demand(
        (tlv.tag == tag::UTC_TIME) == (at < YEAR_2050),
        "dates through 2049 are UTCTime, later ones GeneralizedTime (RFC 5280 §4.1.2.5)",
        tlv.offset,
    );
    Ok(at)
}

/// authorityKeyIdentifier of everything that is signed: RFC 5280 §4.2.1.1, §5.2.1.
pub(super) fn look_at_authority_key(
    extension: &Extension<'_>,
    key_identifier: &[u8],
    findings: &mut Findings,
) -> Result<(), Malformed> {
    let at = extension.at();
    findings.demand(!extension.critical, "authorityKeyIdentifier is not critical (RFC 5280 §4.2.1.1)", at);
    let mut fields = extension.value.inside();
    let key = fields.optional(tag::context(0), "keyIdentifier")?;
    let issuer = fields.optional(tag::context_constructed(1), "authorityCertIssuer")?;
    let serial = fields.optional(tag::context(2), "authorityCertSerialNumber")?;
    fields.finish("authorityKeyIdentifier has three fields (RFC 5280 §4.2.1.1)")?;
    findings.demand(
        key.is_some_and(|key| key.content == key_identifier),
        "authorityKeyIdentifier is the issuer's subjectKeyIdentifier (RFC 5280 §4.2.1.1)",
        at,
    );
    findings.demand(
        issuer.is_some() == serial.is_some(),
        "authorityCertIssuer and authorityCertSerialNumber come together (RFC 5280 §4.2.1.1)",
        at,
    );
    Ok(())
}

/// DistributionPointName and what else a distribution point may hold: RFC 5280 §4.2.1.13.
pub(super) fn look_at_distribution_point_name(
    name: &Tlv<'_>,
    findings: &mut Findings,
) -> Result<(), Malformed> {
    let mut inside = name.inside();
    let full =
        inside.expect(tag::context_constructed(0), "a distribution point has a full name (own rule)")?;
    inside.finish("a distribution point has one name (RFC 5280 §4.2.1.13)")?;
    let mut names = full.inside();
    findings.demand(!names.is_empty(), "GeneralNames is not empty (RFC 5280 §4.2.1.6)", full.offset);
    while !names.is_empty() {
        let entry = names.any("a general name (RFC 5280 §4.2.1.6)")?;
        match entry.tag {
            t if t == tag::context(6) => look_at_address(&entry, findings),
            t if t == tag::context_constructed(4) => {}
            _ => findings
                .error("a distribution point is named by directory or address (own rule)", entry.offset),
        }
    }
    Ok(())
}

/// Addresses of status information: plain HTTP, because TLS would need the status first (RFC 5280 §8).
pub(super) fn look_at_address(entry: &Tlv<'_>, findings: &mut Findings) {
    findings.demand(
        entry.content.strip_prefix(b"http://").is_some_and(|rest| {
            rest.first().is_some_and(u8::is_ascii_alphanumeric) && rest.iter().all(u8::is_ascii_graphic)
        }),
        "status addresses are http and ASCII (RFC 5280 §4.2.1.13, §8)",
        entry.offset,
    );
}
