//! tbsCertList: RFC 5280 §5.1, §5.2, §5.3.

use super::ListRules;
use super::parts::{
    Extension, Findings, look_at_authority_key, look_at_distribution_point_name, read_extensions, read_time,
};
use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::tag;
use crate::oid;
use crate::revocation::RevocationReason;
use crate::serial::SerialNumber;

pub(super) fn look(tbs: &[u8], rules: &ListRules<'_>, findings: &mut Findings) {
    if let Err(fault) = look_inside(tbs, rules, findings) {
        findings.malformed(&fault);
    }
}

/// Whether removeFromCRL may appear.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Complete,
    Delta,
}

fn look_inside(tbs: &[u8], rules: &ListRules<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    let mut fields = Reader::only_sequence(tbs, "tbsCertList is one sequence (RFC 5280 §5.1)")?;
    let version = fields.expect(tag::INTEGER, "version is there (RFC 5280 §5.1.2.1)")?;
    findings.demand(version.content == [1], "version is 2 (RFC 5280 §5.1.2.1)", version.offset);
    let algorithm = fields.expect(tag::SEQUENCE, "signature (RFC 5280 §5.1.2.2)")?;
    findings.demand(
        algorithm.raw == rules.algorithm.identifier_der(),
        "signature is the signer's algorithm (RFC 5280 §5.1.2.2)",
        algorithm.offset,
    );
    let issuer = fields.expect(tag::SEQUENCE, "issuer (RFC 5280 §5.1.2.3)")?;
    findings.demand(
        issuer.raw == rules.issuer.as_der() && !issuer.content.is_empty(),
        "issuer is the signer's subject, and not empty (RFC 5280 §5.1.2.3)",
        issuer.offset,
    );
    let this_update_field = fields.any("thisUpdate (RFC 5280 §5.1.2.4)")?;
    let this_update = read_time(&this_update_field, findings)?;
    let next_update_field = fields.any("nextUpdate is there (RFC 5280 §5.1.2.5)")?;
    let next_update = read_time(&next_update_field, findings)?;
    findings.demand(
        this_update < next_update,
        "nextUpdate is later than thisUpdate (RFC 5280 §5.1.2.5)",
        next_update_field.offset,
    );
    let entries = fields.optional(tag::SEQUENCE, "revokedCertificates (RFC 5280 §5.1.2.6)")?;
    let wrapper = fields.expect(tag::context_constructed(0), "crlExtensions are there (RFC 5280 §5.2)")?;
    fields.finish("nothing follows the extensions (RFC 5280 §5.1)")?;
    let mut inside = wrapper.inside();
    let list = inside.expect(tag::SEQUENCE, "crlExtensions (RFC 5280 §5.2)")?;
    inside.finish("crlExtensions (RFC 5280 §5.2)")?;
    let kind = look_at_extensions(&list, rules, findings)?;
    if let Some(entries) = entries {
        look_at_entries(&entries, kind, findings)?;
    }
    Ok(())
}

fn look_at_extensions(
    list: &Tlv<'_>,
    rules: &ListRules<'_>,
    findings: &mut Findings,
) -> Result<Kind, Malformed> {
    let (mut number, mut base, mut authority_key, mut freshest) = (None, None, false, None);
    for extension in read_extensions(list, findings)? {
        let at = extension.at();
        if extension.is(&oid::AUTHORITY_KEY_IDENTIFIER) {
            authority_key = true;
            look_at_authority_key(&extension, rules.key_identifier, findings)?;
        } else if extension.is(&oid::CRL_NUMBER) {
            findings.demand(!extension.critical, "cRLNumber is not critical (RFC 5280 §5.2.3)", at);
            number = Some(read_number(&extension, findings)?);
        } else if extension.is(&oid::DELTA_CRL_INDICATOR) {
            findings.demand(extension.critical, "deltaCRLIndicator is critical (RFC 5280 §5.2.4)", at);
            base = Some((read_number(&extension, findings)?, at));
        } else if extension.is(&oid::ISSUING_DISTRIBUTION_POINT) {
            findings.demand(extension.critical, "issuingDistributionPoint is critical (RFC 5280 §5.2.5)", at);
            look_at_issuing_distribution_point(&extension, findings)?;
        } else if extension.is(&oid::FRESHEST_CRL) {
            findings.demand(!extension.critical, "freshestCRL is not critical (RFC 5280 §5.2.6)", at);
            look_at_freshest(&extension, findings)?;
            freshest = Some(at);
        } else {
            findings.error("an extension that this project's lists do not have (own rule)", at);
        }
    }
    findings.demand(authority_key, "authorityKeyIdentifier is there (RFC 5280 §5.2.1)", list.offset);
    findings.demand(number.is_some(), "cRLNumber is there (RFC 5280 §5.2.3)", list.offset);
    let Some((base, at)) = base else { return Ok(Kind::Complete) };
    findings.demand(
        number.is_some_and(|number| base < number),
        "a delta's number is above that of its base (RFC 5280 §5.2.4)",
        at,
    );
    if let Some(at) = freshest {
        findings.error("a delta has no freshestCRL (RFC 5280 §5.2.6)", at);
    }
    Ok(Kind::Delta)
}

/// A number as 20 octets, so that numbers compare.
fn read_number(extension: &Extension<'_>, findings: &mut Findings) -> Result<[u8; 20], Malformed> {
    let at = extension.at();
    findings.demand(extension.value.tag == tag::INTEGER, "a list number is an integer (RFC 5280 §5.2.3)", at);
    let octets = extension.value.integer("a list number is minimal (X.690 §8.3.2)")?;
    findings.demand(
        octets.len() <= 20 && octets.first().is_some_and(|first| *first < 0x80),
        "a list number is not negative and has at most 20 octets (RFC 5280 §5.2.3)",
        at,
    );
    let mut number = [0; 20];
    for (to, from) in number.iter_mut().rev().zip(octets.iter().rev()) {
        *to = *from;
    }
    Ok(number)
}

fn look_at_issuing_distribution_point(
    extension: &Extension<'_>,
    findings: &mut Findings,
) -> Result<(), Malformed> {
    let mut fields = extension.value.inside();
    let name = fields
        .expect(tag::context_constructed(0), "issuingDistributionPoint names a place (RFC 5280 §5.2.5)")?;
    look_at_distribution_point_name(&name, findings)?;
    let only = fields.expect(tag::context(1), "the place is for end-entity certificates (own rule)")?;
    findings.demand(only.content == [0xFF], "a flag is TRUE or absent (X.690 §11.5)", only.offset);
    fields.finish("the list is neither indirect nor limited to reasons (own rule)")
}

fn look_at_freshest(extension: &Extension<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    let mut points = extension.value.inside();
    let mut fields = points.expect(tag::SEQUENCE, "freshestCRL has a point (RFC 5280 §5.2.6)")?.inside();
    points.finish("freshestCRL has one point (own rule)")?;
    let name = fields.expect(tag::context_constructed(0), "freshestCRL has a name only (RFC 5280 §5.2.6)")?;
    fields.finish("freshestCRL has a name only (RFC 5280 §5.2.6)")?;
    look_at_distribution_point_name(&name, findings)
}

fn look_at_entries(list: &Tlv<'_>, kind: Kind, findings: &mut Findings) -> Result<(), Malformed> {
    let mut rest = list.inside();
    findings.demand(
        !rest.is_empty(),
        "revokedCertificates is left out when empty (RFC 5280 §5.1.2.6)",
        list.offset,
    );
    let mut serials: Vec<SerialNumber> = Vec::with_capacity(list.content.len() / 38 + 1);
    let mut rising = true;
    while !rest.is_empty() {
        let entry = rest.expect(tag::SEQUENCE, "an entry is a sequence (RFC 5280 §5.1.2.6)")?;
        let serial = look_at_entry(&entry, kind, findings)?;
        rising &= serials.last().is_none_or(|last| last.sort_key() < serial.sort_key());
        serials.push(serial);
    }
    if !rising {
        serials.sort_unstable_by(|a, b| a.sort_key().cmp(b.sort_key()));
        let repeated = serials.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
        findings.demand(!repeated, "a certificate is listed once (own rule)", list.offset);
    }
    Ok(())
}

fn look_at_entry(entry: &Tlv<'_>, kind: Kind, findings: &mut Findings) -> Result<SerialNumber, Malformed> {
    let mut fields = entry.inside();
    let serial = SerialNumber::read(
        &fields.expect(tag::INTEGER, "an entry has a serial number (RFC 5280 §5.1.2.6)")?,
        "an entry's serial number has at most 20 octets (RFC 5280 §4.1.2.2)",
    )?;
    findings.demand(
        serial.is_positive(),
        "an entry's serial number is positive (RFC 5280 §4.1.2.2)",
        entry.offset,
    );
    read_time(&fields.any("an entry has a date (RFC 5280 §5.1.2.6)")?, findings)?;
    if let Some(list) = fields.optional(tag::SEQUENCE, "crlEntryExtensions (RFC 5280 §5.3)")? {
        for extension in read_extensions(&list, findings)? {
            look_at_entry_extension(&extension, kind, findings)?;
        }
    }
    fields.finish("an entry has three fields (RFC 5280 §5.1.2.6)")?;
    Ok(serial)
}

fn look_at_entry_extension(
    extension: &Extension<'_>,
    kind: Kind,
    findings: &mut Findings,
) -> Result<(), Malformed> {
    let at = extension.at();
    findings.demand(!extension.critical, "our entries have no critical extensions (own rule)", at);
    if extension.is(&oid::REASON_CODE) {
        findings.demand(
            extension.value.tag == tag::ENUMERATED,
            "reasonCode is enumerated (RFC 5280 §5.3.1)",
            at,
        );
        let code = extension.value.small_unsigned("reasonCode is a small number (RFC 5280 §5.3.1)")?;
        let reason = RevocationReason::from_code(code);
        findings.demand(
            reason != RevocationReason::Unspecified,
            "reasonCode is an assigned one, and absent for unspecified (RFC 5280 §5.3.1)",
            at,
        );
        findings.demand(
            reason != RevocationReason::RemoveFromCrl || kind == Kind::Delta,
            "removeFromCRL appears in deltas only (RFC 5280 §5.3.1)",
            at,
        );
    } else if extension.is(&oid::INVALIDITY_DATE) {
        findings.demand(
            extension.value.tag == tag::GENERALIZED_TIME,
            "invalidityDate is a GeneralizedTime (RFC 5280 §5.3.2)",
            at,
        );
    } else {
        findings.error("an entry extension that this project's lists do not have (own rule)", at);
    }
    Ok(())
}
