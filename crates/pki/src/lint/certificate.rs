//! tbsCertificate: RFC 5280 §4.1, §4.2. Rules that hold for every certificate; [`super::profile`] adds
//! those of each shape.

use super::parts::{
    Extension, Findings, look_at_address, look_at_authority_key, look_at_distribution_point_name,
    read_extensions, read_time,
};
use super::{CertificateRules, Shape, profile};
use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::tag;
use crate::certificate::KeyUsage;
use crate::issue::key_identifier;
use crate::oid;
use crate::public_key::VerifyingKey;

/// What the rules of a shape need to know.
pub(super) struct Seen<'a> {
    pub(super) subject: Vec<Attribute<'a>>,
    pub(super) subject_offset: usize,
    pub(super) self_issued: bool,
    pub(super) validity: (i64, i64),
    pub(super) key_usage: Option<u16>,
    pub(super) extensions: Vec<Extension<'a>>,
    /// Where an extension that should be there would be.
    pub(super) extensions_offset: usize,
}

/// One attribute of a name: its type and its value.
pub(super) struct Attribute<'a> {
    pub(super) kind: &'a [u8],
    pub(super) value: Tlv<'a>,
}

pub(super) fn look(tbs: &[u8], rules: &CertificateRules<'_>, findings: &mut Findings) {
    if let Err(fault) = look_inside(tbs, rules, findings) {
        // What cannot be read cannot be signed, and nothing behind it can be judged.
        findings.malformed(&fault);
    }
}

fn look_inside(tbs: &[u8], rules: &CertificateRules<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    let mut fields = Reader::only_sequence(tbs, "tbsCertificate is one sequence (RFC 5280 §4.1)")?;
    let version = fields.expect(tag::context_constructed(0), "version is there (RFC 5280 §4.1.2.1)")?;
    findings.demand(
        version.content == [tag::INTEGER, 1, 2],
        "version is 3 (RFC 5280 §4.1.2.1)",
        version.offset,
    );
    look_at_serial(&fields.expect(tag::INTEGER, "serialNumber (RFC 5280 §4.1.2.2)")?, findings)?;
    let algorithm = fields.expect(tag::SEQUENCE, "signature (RFC 5280 §4.1.2.3)")?;
    findings.demand(
        algorithm.raw == rules.algorithm.identifier_der(),
        "signature is the signer's algorithm (RFC 5280 §4.1.2.3)",
        algorithm.offset,
    );
    let issuer = fields.expect(tag::SEQUENCE, "issuer (RFC 5280 §4.1.2.4)")?;
    findings.demand(
        issuer.raw == rules.issuer.as_der() && !issuer.content.is_empty(),
        "issuer is the signer's subject, and not empty (RFC 5280 §4.1.2.4)",
        issuer.offset,
    );
    let validity =
        look_at_validity(&fields.expect(tag::SEQUENCE, "validity (RFC 5280 §4.1.2.5)")?, rules, findings)?;
    let subject = fields.expect(tag::SEQUENCE, "subject (RFC 5280 §4.1.2.6)")?;
    let attributes = look_at_name(&subject, findings)?;
    let spki = fields.expect(tag::SEQUENCE, "subjectPublicKeyInfo (RFC 5280 §4.1.2.7)")?;
    findings.demand(
        VerifyingKey::from_spki_der(spki.raw).is_ok(),
        "the subject's key is RSA of 2048 bits or more, or P-256 (own rule)",
        spki.offset,
    );
    let wrapper = fields.expect(tag::context_constructed(3), "extensions are there (own rule)")?;
    fields.finish("nothing follows the extensions (RFC 5280 §4.1)")?;
    let mut inside = wrapper.inside();
    let list = inside.expect(tag::SEQUENCE, "extensions (RFC 5280 §4.1.2.9)")?;
    inside.finish("extensions (RFC 5280 §4.1.2.9)")?;

    let mut seen = Seen {
        subject: attributes,
        subject_offset: subject.offset,
        self_issued: subject.raw == issuer.raw,
        validity,
        key_usage: None,
        extensions: read_extensions(&list, findings)?,
        extensions_offset: list.offset,
    };
    for extension in &seen.extensions {
        if extension.is(&oid::KEY_USAGE) {
            seen.key_usage = Some(look_at_key_usage(extension, rules.shape, findings)?);
        } else {
            look_at_extension(extension, rules, &spki, findings)?;
        }
    }
    profile::look(&seen, rules.shape, findings);
    Ok(())
}

fn look_at_serial(serial: &Tlv<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    let octets = serial.integer("serialNumber is minimal (X.690 §8.3.2)")?;
    let positive =
        octets.first().is_some_and(|first| *first < 0x80) && octets.iter().any(|octet| *octet != 0);
    findings.demand(positive, "serialNumber is positive (RFC 5280 §4.1.2.2)", serial.offset);
    findings.demand(
        octets.len() <= 20,
        "serialNumber has at most 20 octets (RFC 5280 §4.1.2.2)",
        serial.offset,
    );
    Ok(())
}

fn look_at_validity(
    validity: &Tlv<'_>,
    rules: &CertificateRules<'_>,
    findings: &mut Findings,
) -> Result<(i64, i64), Malformed> {
    let mut fields = validity.inside();
    let not_before = read_time(&fields.any("notBefore (RFC 5280 §4.1.2.5)")?, findings)?;
    let not_after = read_time(&fields.any("notAfter (RFC 5280 §4.1.2.5)")?, findings)?;
    fields.finish("validity has two dates (RFC 5280 §4.1.2.5)")?;
    findings.demand(
        not_before <= not_after,
        "notAfter is not before notBefore (RFC 5280 §4.1.2.5)",
        validity.offset,
    );
    if let Some((from, until)) = rules.issuer_validity {
        findings.demand(
            not_before >= from && not_after <= until,
            "the validity lies within the issuer's (own rule)",
            validity.offset,
        );
    }
    Ok((not_before, not_after))
}

/// Types and upper bounds of RFC 5280 appendix A.1, for the attributes that this project uses.
fn look_at_name<'a>(name: &Tlv<'a>, findings: &mut Findings) -> Result<Vec<Attribute<'a>>, Malformed> {
    let mut attributes = Vec::new();
    let mut relative_names = name.inside();
    findings.demand(!relative_names.is_empty(), "the subject has a name (own rule)", name.offset);
    while !relative_names.is_empty() {
        let set = relative_names.expect(tag::SET, "a relative name is a set (RFC 5280 §4.1.2.4)")?;
        let mut pairs = set.inside();
        let mut pair = pairs.expect(tag::SEQUENCE, "an attribute is a pair (RFC 5280 §4.1.2.4)")?.inside();
        let kind = pair.expect(tag::OID, "an attribute has a type (RFC 5280 §4.1.2.4)")?;
        let value = pair.any("an attribute has a value (RFC 5280 §4.1.2.4)")?;
        pair.finish("an attribute is a pair (RFC 5280 §4.1.2.4)")?;
        pairs.finish("a relative name has one attribute (own rule)")?;
        look_at_attribute(&kind, &value, findings);
        attributes.push(Attribute { kind: kind.content, value });
    }
    Ok(attributes)
}

fn look_at_attribute(kind: &Tlv<'_>, value: &Tlv<'_>, findings: &mut Findings) {
    let known = [
        (oid::COUNTRY, tag::PRINTABLE, 2),
        (oid::SUBJECT_SERIAL_NUMBER, tag::PRINTABLE, 64),
        (oid::LOCALITY, tag::UTF8, 128),
        (oid::ORGANIZATION, tag::UTF8, 64),
        (oid::ORGANIZATIONAL_UNIT, tag::UTF8, 64),
        (oid::COMMON_NAME, tag::UTF8, 64),
    ];
    let Some((attribute, string, characters_max)) =
        known.into_iter().find(|(attribute, _, _)| attribute.as_bytes() == kind.content)
    else {
        findings.error("an attribute that this project does not use (own rule)", kind.offset);
        return;
    };
    findings.demand(
        value.tag == string,
        "country and serialNumber are PrintableString, other attributes UTF8String (RFC 5280 §4.1.2.4)",
        value.offset,
    );
    let Ok(text) = std::str::from_utf8(value.content) else {
        findings.error("an attribute is UTF-8 (RFC 5280 §4.1.2.4)", value.offset);
        return;
    };
    let characters = text.chars().count();
    findings.demand(
        (1..=characters_max).contains(&characters),
        "an attribute is not empty and within its upper bound (RFC 5280 appendix A.1)",
        value.offset,
    );
    if attribute == oid::COUNTRY {
        let letters = text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_uppercase());
        findings.demand(letters, "a country is two capital letters (RFC 5280 appendix A.1)", value.offset);
    }
    if string == tag::PRINTABLE {
        let printable = text.chars().all(|c| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c));
        findings.demand(printable, "PrintableString has its own few characters (X.680 §41.4)", value.offset);
    }
    if text.trim() != text {
        findings.warning("an attribute begins or ends with a space", value.offset);
    }
}

fn look_at_key_usage(
    extension: &Extension<'_>,
    shape: Shape,
    findings: &mut Findings,
) -> Result<u16, Malformed> {
    let at = extension.at();
    let value = &extension.value;
    findings.demand(extension.critical, "keyUsage is critical (RFC 5280 §4.2.1.3)", at);
    findings.demand(value.tag == tag::BIT_STRING, "keyUsage is a bit string (RFC 5280 §4.2.1.3)", at);
    let bits = value.named_bits("keyUsage has no trailing zero bits (X.690 §11.2.2)")?;
    findings.demand(bits != 0, "keyUsage has at least one bit (RFC 5280 §4.2.1.3)", at);
    let signs = KeyUsage::KEY_CERT_SIGN.0 | KeyUsage::CRL_SIGN.0;
    if shape.is_authority() {
        findings.demand(
            bits == signs,
            "an authority signs certificates and lists, nothing else (own rule)",
            at,
        );
    } else {
        findings.demand(
            bits & signs == 0,
            "who is no authority does not sign certificates or lists (RFC 5280 §4.2.1.3)",
            at,
        );
    }
    Ok(bits)
}

fn look_at_extension(
    extension: &Extension<'_>,
    rules: &CertificateRules<'_>,
    spki: &Tlv<'_>,
    findings: &mut Findings,
) -> Result<(), Malformed> {
    let at = extension.at();
    if extension.is(&oid::AUTHORITY_KEY_IDENTIFIER) {
        return look_at_authority_key(extension, rules.key_identifier, findings);
    }
    // The criticality of each extension, by its own section of RFC 5280 §4.2.1 and §4.2.2; the policy is
    // critical on the cards.
    let critical = extension.is(&oid::BASIC_CONSTRAINTS) || extension.is(&oid::CERTIFICATE_POLICIES);
    findings.demand(
        extension.critical == critical,
        "an extension has the criticality of its section (RFC 5280 §4.2.1)",
        at,
    );
    let value = &extension.value;
    if extension.is(&oid::SUBJECT_KEY_IDENTIFIER) {
        let right = value.tag == tag::OCTET_STRING && value.content == key_identifier(spki.raw);
        findings.demand(right, "subjectKeyIdentifier is taken of the subject's key (RFC 7093 §2)", at);
    } else if extension.is(&oid::BASIC_CONSTRAINTS) {
        let plain = value.raw == [tag::SEQUENCE, 3, tag::BOOLEAN, 1, 0xFF];
        findings.demand(plain, "basicConstraints says cA and nothing else (own rule)", at);
        findings.demand(rules.shape.is_authority(), "only an authority has basicConstraints (own rule)", at);
    } else if extension.is(&oid::EXTENDED_KEY_USAGE) {
        look_at_purposes(value, findings)?;
    } else if extension.is(&oid::CERTIFICATE_POLICIES) {
        look_at_policies(value, findings)?;
    } else if extension.is(&oid::SUBJECT_ALT_NAME) || extension.is(&oid::ISSUER_ALT_NAME) {
        look_at_alternative_names(value, findings)?;
    } else if extension.is(&oid::CRL_DISTRIBUTION_POINTS) {
        look_at_distribution_points(value, findings)?;
    } else if extension.is(&oid::AUTHORITY_INFO_ACCESS) {
        look_at_access(value, findings)?;
    } else if extension.is(&oid::SUBJECT_DIRECTORY_ATTRIBUTES) {
        let professional = matches!(rules.shape, Shape::Hpki(_));
        findings.demand(professional, "only a health professional has a role (own rule)", at);
        elements(value, findings)?;
    } else if extension.is(&oid::OCSP_NOCHECK) {
        findings.demand(
            value.raw == [tag::NULL, 0],
            "id-pkix-ocsp-nocheck is NULL (RFC 6960 §4.2.2.2.1)",
            at,
        );
    } else {
        findings.error("an extension that this project does not issue (own rule)", at);
    }
    Ok(())
}

/// The elements of a SEQUENCE OF, at least one.
fn elements<'a>(list: &Tlv<'a>, findings: &mut Findings) -> Result<Vec<Tlv<'a>>, Malformed> {
    findings.demand(list.tag == tag::SEQUENCE, "a list is a sequence (RFC 5280 §4.2)", list.offset);
    findings.demand(!list.content.is_empty(), "a list is not empty (RFC 5280 §4.2)", list.offset);
    let mut rest = list.inside();
    let mut elements = Vec::new();
    while !rest.is_empty() {
        elements.push(rest.any("an element of a list (RFC 5280 §4.2)")?);
    }
    Ok(elements)
}

fn look_at_purposes(list: &Tlv<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    /// anyExtendedKeyUsage, RFC 5280 §4.2.1.12.
    const ANY: [u8; 4] = [0x55, 0x1D, 0x25, 0x00];
    let purposes = elements(list, findings)?;
    for (place, purpose) in purposes.iter().enumerate() {
        findings.demand(
            purpose.tag == tag::OID,
            "a purpose is an identifier (RFC 5280 §4.2.1.12)",
            purpose.offset,
        );
        findings.demand(purpose.content != ANY, "a purpose is a certain one (own rule)", purpose.offset);
        let repeated = purposes.iter().skip(place + 1).any(|other| other.content == purpose.content);
        findings.demand(!repeated, "a purpose appears once (own rule)", purpose.offset);
    }
    Ok(())
}

fn look_at_policies(list: &Tlv<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    /// anyPolicy, RFC 5280 §4.2.1.4.
    const ANY: [u8; 4] = [0x55, 0x1D, 0x20, 0x00];
    let mut policies: Vec<&[u8]> = Vec::new();
    for information in elements(list, findings)? {
        let mut fields = information.inside();
        let policy = fields.expect(tag::OID, "a policy is an identifier (RFC 5280 §4.2.1.4)")?;
        findings.demand(
            policy.content != ANY,
            "an end-entity has a certain policy (own rule)",
            policy.offset,
        );
        findings.demand(
            !policies.contains(&policy.content),
            "a policy appears once (RFC 5280 §4.2.1.4)",
            policy.offset,
        );
        policies.push(policy.content);
        if let Some(qualifiers) = fields.optional(tag::SEQUENCE, "policyQualifiers (RFC 5280 §4.2.1.4)")? {
            for qualifier in elements(&qualifiers, findings)? {
                let mut pair = qualifier.inside();
                let kind = pair.expect(tag::OID, "a qualifier has a type (RFC 5280 §4.2.1.4)")?;
                let uri = pair.expect(tag::IA5, "a CPS qualifier is an IA5String (RFC 5280 §4.2.1.4)")?;
                pair.finish("a qualifier is a pair (RFC 5280 §4.2.1.4)")?;
                let right =
                    kind.content == oid::QUALIFIER_CPS.as_bytes() && uri.content.starts_with(b"https://");
                findings.demand(right, "a policy is qualified by an address only (own rule)", kind.offset);
            }
        }
        fields.finish("PolicyInformation has two fields (RFC 5280 §4.2.1.4)")?;
    }
    Ok(())
}

fn look_at_alternative_names(list: &Tlv<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    for name in elements(list, findings)? {
        match name.tag {
            t if t == tag::context_constructed(0) => {
                let mut fields = name.inside();
                fields.expect(tag::OID, "otherName has a type (RFC 5280 §4.2.1.6)")?;
                let wrapper = fields
                    .expect(tag::context_constructed(0), "otherName has a value (RFC 5280 §4.2.1.6)")?;
                fields.finish("otherName has two fields (RFC 5280 §4.2.1.6)")?;
                let mut inside = wrapper.inside();
                let text = inside.expect(tag::UTF8, "otherName holds a UTF8String (own rule)")?;
                inside.finish("otherName holds one value (RFC 5280 §4.2.1.6)")?;
                let right = !text.content.is_empty() && std::str::from_utf8(text.content).is_ok();
                findings.demand(right, "otherName holds a text (own rule)", text.offset);
            }
            t if t == tag::context(2) => {
                let host = !name.content.is_empty()
                    && name
                        .content
                        .iter()
                        .all(|octet| octet.is_ascii_alphanumeric() || b"-.*".contains(octet));
                findings.demand(host, "dNSName is a host name (RFC 5280 §4.2.1.6)", name.offset);
            }
            t if t == tag::context(7) => {
                let length = matches!(name.content.len(), 4 | 16);
                findings.demand(length, "iPAddress has 4 or 16 octets (RFC 5280 §4.2.1.6)", name.offset);
            }
            t if t == tag::context_constructed(4) => {
                let mut inside = name.inside();
                let directory = inside.expect(tag::SEQUENCE, "directoryName (RFC 5280 §4.2.1.6)")?;
                inside.finish("directoryName (RFC 5280 §4.2.1.6)")?;
                look_at_name(&directory, findings)?;
            }
            _ => findings.error("a kind of name that this project does not use (own rule)", name.offset),
        }
    }
    Ok(())
}

fn look_at_distribution_points(list: &Tlv<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    for point in elements(list, findings)? {
        let mut fields = point.inside();
        let name = fields
            .expect(tag::context_constructed(0), "a distribution point has a name (RFC 5280 §4.2.1.13)")?;
        fields.finish("a distribution point has a name only (own rule)")?;
        look_at_distribution_point_name(&name, findings)?;
    }
    Ok(())
}

fn look_at_access(list: &Tlv<'_>, findings: &mut Findings) -> Result<(), Malformed> {
    for description in elements(list, findings)? {
        let mut fields = description.inside();
        let method = fields.expect(tag::OID, "accessMethod (RFC 5280 §4.2.2.1)")?;
        let location = fields.expect(tag::context(6), "accessLocation is an address (own rule)")?;
        fields.finish("AccessDescription has two fields (RFC 5280 §4.2.2.1)")?;
        let ocsp = method.content == oid::ACCESS_OCSP.as_bytes();
        findings.demand(ocsp, "access to OCSP only (own rule)", method.offset);
        look_at_address(&location, findings);
    }
    Ok(())
}
