//! Rules of RFC 5280 §4 for issuers, as far as a reader can see them broken.
//!
//! §6.1 does not ask for them. Two sets: those whose breach changes what a path means (a constraint that
//! other readers will overlook, a key that two extensions describe differently) always count; the rest
//! only counts under [`Profile::Rfc5280Strict`], because honest certificates break them.

use super::error::Fault;
use super::name_constraints::has_dotted_host;
use super::names;
use super::profile::Profile;
use crate::asn1::read::Malformed;
use crate::asn1::tag;
use crate::certificate::{Certificate, KeyUsage, Version};
use crate::crl::list::read_distribution_points;
use crate::extension::check_each;
use crate::general_name::{self, GeneralName, NameForm};

fn demand(holds: bool, what: &'static str, clause: &'static str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::Conformance { what, clause }) }
}

/// An anchor's outcomes, found once: it is trusted as it is, but where it says something that readers
/// understand differently it is not used.
#[derive(Clone, Debug)]
pub(crate) struct AnchorConformance {
    usual: Result<(), Fault>,
    strict: Result<(), Fault>,
}

impl AnchorConformance {
    pub(crate) fn of(certificate: &Certificate<'_>) -> Self {
        Self {
            usual: check(certificate, Profile::Rfc5280),
            strict: check(certificate, Profile::Rfc5280Strict),
        }
    }

    pub(crate) fn outcome(&self, profile: Profile) -> Result<(), Fault> {
        if profile == Profile::Rfc5280Strict { self.strict.clone() } else { self.usual.clone() }
    }
}

/// Checks one certificate of a path.
pub(crate) fn check(certificate: &Certificate<'_>, profile: Profile) -> Result<(), Fault> {
    let extensions = certificate.extensions();
    demand(!names::is_empty(certificate.issuer_der()), "the issuer has no name", "RFC 5280 §4.1.2.4")?;
    if names::is_empty(certificate.subject_der()) {
        demand(!extensions.is_authority(), "an authority has no name", "RFC 5280 §4.1.2.6")?;
        demand(
            extensions
                .alternative_names
                .is_some_and(|names| names.critical && !names.value.content.is_empty()),
            "the subject has no name and no critical subjectAltName",
            "RFC 5280 §4.2.1.6",
        )?;
    }
    if let Some((what, _)) = extensions.odd_criticality {
        return Err(Fault::Conformance { what, clause: "RFC 5280 §4.2: must not be critical" });
    }
    if !extensions.is_authority() {
        let signs = extensions.key_usage.is_some_and(|usage| usage.includes(KeyUsage::KEY_CERT_SIGN));
        demand(!signs, "keyCertSign in a certificate of no authority", "RFC 5280 §4.2.1.9")?;
        demand(
            extensions.name_constraints.is_none(),
            "nameConstraints in a certificate of no authority",
            "RFC 5280 §4.2.1.10",
        )?;
    }
    check_forms(certificate)?;
    if profile == Profile::Rfc5280Strict { check_strictly(certificate) } else { Ok(()) }
}

/// Extensions that are looked at only when they are needed are read here once, so that a malformed one is
/// refused whether it is needed or not.
fn check_forms(certificate: &Certificate<'_>) -> Result<(), Malformed> {
    let extensions = certificate.extensions();
    if let Some(list) = &extensions.crl_distribution_points {
        read_distribution_points(list)?;
    }
    if let Some(names) = &extensions.issuer_alternative_names {
        general_name::each(names, "issuerAltName", |_| Ok(()))?;
    }
    for list in extensions.access.iter().flatten() {
        check_each(list, "accessDescriptions", |entry| {
            if entry.tag != tag::SEQUENCE {
                return Err(entry.malformed("accessDescription"));
            }
            let mut fields = entry.inside();
            fields.object_identifier("accessMethod")?;
            GeneralName::read(fields.any("accessLocation")?)?;
            fields.finish("accessDescription")
        })?;
    }
    Ok(())
}

fn check_strictly(certificate: &Certificate<'_>) -> Result<(), Fault> {
    let extensions = certificate.extensions();
    demand(certificate.version() == Version::V3, "not version 3", "RFC 5280 §4.1.2.1")?;
    demand(certificate.serial().is_positive(), "a serial number that is not positive", "RFC 5280 §4.1.2.2")?;
    demand(
        extensions.key_usage.is_none_or(|usage| usage.0 != 0),
        "keyUsage without any use",
        "RFC 5280 §4.2.1.3",
    )?;
    let limits_nothing = extensions
        .basic_constraints
        .is_some_and(|limits| limits.path_length_max.is_some() && !limits.is_authority);
    demand(!limits_nothing, "pathLenConstraint in a certificate of no authority", "RFC 5280 §4.2.1.9")?;
    demand(!extensions.spells_default, "FALSE or zero bits that DER leaves out", "X.690 §11.2.2, §11.5")?;
    if let Some(what) = extensions.lax_criticality {
        return Err(Fault::Conformance { what, clause: "RFC 5280 §4.2: not critical" });
    }
    if extensions.is_authority() {
        demand(
            extensions.subject_key_identifier.is_some(),
            "subjectKeyIdentifier of an authority is missing",
            "RFC 5280 §4.2.1.2",
        )?;
    }
    if let Some(constraints) = &extensions.name_constraints {
        let dotted = has_dotted_host(&constraints.value)?;
        demand(!dotted, "a dNSName constraint that begins with a period", "RFC 5280 §4.2.1.10")?;
    }
    let Some(list) = extensions.alternative_names else { return Ok(()) };
    demand(!list.value.content.is_empty(), "subjectAltName without any name", "RFC 5280 §4.2.1.6")?;
    let mut rest = list.value.inside();
    while !rest.is_empty() {
        let name = GeneralName::read_alternative(rest.any("subjectAltName")?)?;
        if name.form == NameForm::Dns {
            demand(
                is_preferred_syntax(name.value),
                "a dNSName that is not in preferred name syntax",
                "RFC 5280 §4.2.1.6",
            )?;
        }
    }
    Ok(())
}

/// What [`Profile::Rfc5280Strict`] wants of a certificate below the anchor: a way to find its issuer's key.
pub(crate) fn check_key_identifier(certificate: &Certificate<'_>, profile: Profile) -> Result<(), Fault> {
    let is_self_signed = certificate.issuer_der() == certificate.subject_der();
    demand(
        profile != Profile::Rfc5280Strict
            || certificate.extensions().authority_key_identifier.is_some()
            || is_self_signed,
        "authorityKeyIdentifier is missing",
        "RFC 5280 §4.2.1.1",
    )
}

/// RFC 1034 §3.5 as changed by RFC 1123 §2.1, with `*` as a whole first label (RFC 9525 §6.3); an address
/// in place of a name is none.
fn is_preferred_syntax(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"*.").unwrap_or(name);
    let mut labels = name.split(|octet| *octet == b'.').peekable();
    let mut last_is_number = false;
    let whole = labels.all(|label| {
        last_is_number = label.iter().all(u8::is_ascii_digit);
        let ends = [label.first(), label.last()];
        ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
            && label.len() <= 63
            && label.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
    });
    whole && !last_is_number && name.len() <= 253
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferred_name_syntax() {
        for name in ["example", "a.example", "*.a.example", "1a.example", "a-b.example"] {
            assert!(is_preferred_syntax(name.as_bytes()), "{name}");
        }
        for name in
            ["", ".", ".a", "a.", "a..b", "a_b.example", "-a.example", "a-.example", "192.0.2.1", "a.*.b"]
        {
            assert!(!is_preferred_syntax(name.as_bytes()), "{name}");
        }
    }
}
