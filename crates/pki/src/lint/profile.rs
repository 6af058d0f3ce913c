//! What each of our shapes must have and must not have.

use super::Shape;
use super::certificate::Seen;
use super::parts::{Extension, Findings};
use crate::asn1::tag;
use crate::certificate::KeyUsage;
use crate::oid;
use der::asn1::ObjectIdentifier;

/// Longest life of an OCSP delegate: nobody can revoke it (RFC 6960 §4.2.2.2.1).
const DELEGATE_SECONDS_MAX: i64 = 31 * 86_400;

pub(super) fn look(seen: &Seen<'_>, shape: Shape, findings: &mut Findings) {
    let at = seen.extensions_offset;
    for kind in [oid::AUTHORITY_KEY_IDENTIFIER, oid::SUBJECT_KEY_IDENTIFIER, oid::KEY_USAGE] {
        // RFC 5280 §4.2.1.1 lets self-signed certificates leave the authority's key out.
        let needed = !(shape == Shape::Authority && kind == oid::AUTHORITY_KEY_IDENTIFIER);
        findings.demand(
            !needed || has(seen, &kind),
            "key identifiers and keyUsage are there (RFC 5280 §4.2.1.1, §4.2.1.2, §4.2.1.3)",
            at,
        );
    }
    findings.demand(
        seen.self_issued == (shape == Shape::Authority),
        "a highest authority is self-signed, and nobody else is (own rule)",
        seen.subject_offset,
    );
    match shape {
        Shape::Authority | Shape::SubordinateAuthority => {
            findings.demand(
                has(seen, &oid::BASIC_CONSTRAINTS),
                "an authority says so (RFC 5280 §4.2.1.9)",
                at,
            );
            none_of(
                seen,
                &[oid::EXTENDED_KEY_USAGE, oid::AUTHORITY_INFO_ACCESS, oid::OCSP_NOCHECK],
                findings,
            );
        }
        Shape::JpkiAuth => look_at_auth(seen, findings),
        Shape::JpkiSign => look_at_sign(seen, findings),
        Shape::Hpki(purpose) => {
            // Who may sign and who may only prove who they are is told apart by keyUsage alone.
            usage_is(seen, purpose.usage(), findings);
            policy_is(seen, &purpose.policy(), findings);
            none_of(seen, &[oid::EXTENDED_KEY_USAGE, oid::OCSP_NOCHECK], findings);
            listed(seen, findings);
        }
        Shape::TlsServer => {
            usage_is(seen, KeyUsage::DIGITAL_SIGNATURE, findings);
            purposes_are(seen, &[&oid::SERVER_AUTH], findings);
            findings.demand(
                has(seen, &oid::SUBJECT_ALT_NAME),
                "a server has a name or address (RFC 6125 §6.4)",
                at,
            );
        }
        Shape::TlsClient => {
            usage_is(seen, KeyUsage::DIGITAL_SIGNATURE, findings);
            purposes_are(seen, &[&oid::CLIENT_AUTH], findings);
            let wanted = [oid::COUNTRY, oid::ORGANIZATION, oid::SUBJECT_SERIAL_NUMBER, oid::COMMON_NAME];
            subject_is(seen, &wanted, findings);
        }
        Shape::OcspDelegate => look_at_delegate(seen, findings),
    }
}

fn find<'s, 'a>(seen: &'s Seen<'a>, kind: &ObjectIdentifier) -> Option<&'s Extension<'a>> {
    seen.extensions.iter().find(|extension| extension.is(kind))
}

fn has(seen: &Seen<'_>, kind: &ObjectIdentifier) -> bool {
    find(seen, kind).is_some()
}

fn none_of(seen: &Seen<'_>, kinds: &[ObjectIdentifier], findings: &mut Findings) {
    for kind in kinds {
        if let Some(extension) = find(seen, kind) {
            findings.error("an extension that this shape does not have (own rule)", extension.at());
        }
    }
}

fn usage_is(seen: &Seen<'_>, wanted: KeyUsage, findings: &mut Findings) {
    let at = find(seen, &oid::KEY_USAGE).map_or(seen.extensions_offset, Extension::at);
    findings.demand(seen.key_usage == Some(wanted.0), "keyUsage is that of the shape (own rule)", at);
}

fn purposes_are(seen: &Seen<'_>, wanted: &[&ObjectIdentifier], findings: &mut Findings) {
    let found = find(seen, &oid::EXTENDED_KEY_USAGE);
    let right = found.is_some_and(|extension| {
        let mut purposes = extension.value.inside();
        let mut listed = wanted.iter();
        std::iter::from_fn(|| purposes.any("purpose").ok())
            .all(|purpose| listed.next().is_some_and(|known| known.as_bytes() == purpose.content))
            && listed.next().is_none()
    });
    let at = found.map_or(seen.extensions_offset, Extension::at);
    findings.demand(right, "extKeyUsage is that of the shape (own rule)", at);
}

fn policy_is(seen: &Seen<'_>, wanted: &ObjectIdentifier, findings: &mut Findings) {
    let found = find(seen, &oid::CERTIFICATE_POLICIES);
    let right = found.is_some_and(|extension| {
        let mut policies = extension.value.inside();
        let first =
            policies.any("policy").ok().and_then(|information| information.inside().any("policy").ok());
        first.is_some_and(|policy| policy.content == wanted.as_bytes()) && policies.is_empty()
    });
    let at = found.map_or(seen.extensions_offset, Extension::at);
    findings.demand(right, "the policy is that of the shape (own rule)", at);
}

fn subject_is(seen: &Seen<'_>, wanted: &[ObjectIdentifier], findings: &mut Findings) {
    let right = seen.subject.len() == wanted.len()
        && seen.subject.iter().zip(wanted).all(|(found, known)| found.kind == known.as_bytes());
    findings.demand(right, "the subject has the attributes of the shape (own rule)", seen.subject_offset);
}

/// The authentication certificate names nobody: report, "New JPKI".
fn look_at_auth(seen: &Seen<'_>, findings: &mut Findings) {
    usage_is(seen, KeyUsage::DIGITAL_SIGNATURE, findings);
    purposes_are(seen, &[&oid::CLIENT_AUTH], findings);
    policy_is(seen, &oid::JPKI_AUTH_POLICY, findings);
    subject_is(seen, &[oid::COUNTRY, oid::COMMON_NAME], findings);
    let telling = seen
        .subject
        .iter()
        .filter(|attribute| attribute.kind == oid::COMMON_NAME.as_bytes())
        .any(|attribute| !attribute.value.content.is_ascii());
    findings.demand(
        !telling,
        "an authentication certificate names nobody (report, \"New JPKI\")",
        seen.subject_offset,
    );
    none_of(seen, &[oid::SUBJECT_ALT_NAME, oid::OCSP_NOCHECK], findings);
    listed(seen, findings);
}

/// The signature certificate carries the four attributes: report, "New JPKI".
fn look_at_sign(seen: &Seen<'_>, findings: &mut Findings) {
    usage_is(seen, KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::NON_REPUDIATION), findings);
    policy_is(seen, &oid::JPKI_SIGN_POLICY, findings);
    subject_is(seen, &[oid::COUNTRY, oid::LOCALITY, oid::LOCALITY, oid::COMMON_NAME], findings);
    none_of(seen, &[oid::EXTENDED_KEY_USAGE, oid::OCSP_NOCHECK, oid::AUTHORITY_INFO_ACCESS], findings);
    let wanted = [oid::HOLDER_NAME, oid::HOLDER_BIRTH, oid::HOLDER_SEX, oid::HOLDER_ADDRESS];
    let found = find(seen, &oid::SUBJECT_ALT_NAME);
    let right = found.is_some_and(|extension| {
        let mut names = extension.value.inside();
        let mut kinds = wanted.iter();
        std::iter::from_fn(|| names.any("name").ok()).all(|name| {
            let kind = name.inside().expect(tag::OID, "type").ok();
            kind.is_some_and(|kind| kinds.next().is_some_and(|known| known.as_bytes() == kind.content))
        }) && kinds.next().is_none()
    });
    let at = found.map_or(seen.extensions_offset, Extension::at);
    findings.demand(right, "a signature certificate has the four attributes (report, \"New JPKI\")", at);
    listed(seen, findings);
}

fn look_at_delegate(seen: &Seen<'_>, findings: &mut Findings) {
    usage_is(seen, KeyUsage::DIGITAL_SIGNATURE, findings);
    purposes_are(seen, &[&oid::OCSP_SIGNING], findings);
    let at = seen.extensions_offset;
    findings.demand(has(seen, &oid::OCSP_NOCHECK), "a delegate is not looked up (RFC 6960 §4.2.2.2.1)", at);
    // RFC 5019bis §3.2.2.
    none_of(
        seen,
        &[oid::CRL_DISTRIBUTION_POINTS, oid::AUTHORITY_INFO_ACCESS, oid::SUBJECT_ALT_NAME],
        findings,
    );
    let (not_before, not_after) = seen.validity;
    findings.demand(
        not_after.saturating_sub(not_before) <= DELEGATE_SECONDS_MAX,
        "a delegate that nobody can revoke lives 31 days at most (own rule)",
        at,
    );
}

fn listed(seen: &Seen<'_>, findings: &mut Findings) {
    findings.demand(
        has(seen, &oid::CRL_DISTRIBUTION_POINTS),
        "a card's certificate says where it would be listed (own rule)",
        seen.extensions_offset,
    );
}
