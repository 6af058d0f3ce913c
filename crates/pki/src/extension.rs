//! Certificate extensions: RFC 5280 §4.2. Their forms are read here; what they demand is decided in
//! [`crate::validate`].

use crate::asn1::read::{Malformed, Reader, Tlv, check_nested};
use crate::asn1::tag;
use crate::general_name;
use crate::oid;
use der::asn1::ObjectIdentifier;

/// Bits of keyUsage, bit 0 highest: RFC 5280 §4.2.1.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// digitalSignature (0).
    pub const DIGITAL_SIGNATURE: Self = Self(0x8000);
    /// nonRepudiation, also called contentCommitment (1).
    pub const NON_REPUDIATION: Self = Self(0x4000);
    /// keyCertSign (5).
    pub const KEY_CERT_SIGN: Self = Self(0x0400);
    /// cRLSign (6).
    pub const CRL_SIGN: Self = Self(0x0200);

    /// All bits of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every bit of `wanted` is set.
    pub const fn includes(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// basicConstraints: RFC 5280 §4.2.1.9.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BasicConstraints {
    /// Whether the subject is a certificate authority.
    pub is_authority: bool,
    /// How many intermediate certificates may follow, if limited.
    pub path_length_max: Option<u32>,
}

/// policyConstraints: RFC 5280 §4.2.1.11. Certificates that may follow before the rule begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PolicyConstraints {
    /// requireExplicitPolicy.
    pub require_explicit_policy: Option<u32>,
    /// inhibitPolicyMapping.
    pub inhibit_policy_mapping: Option<u32>,
}

/// An extension that was read, with its criticality and place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// The element inside extnValue.
    pub(crate) value: Tlv<'a>,
    /// Whether it is marked critical.
    pub(crate) critical: bool,
}

/// A critical extension that nothing here processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownCritical<'a> {
    /// Content octets of its identifier.
    pub(crate) identifier: &'a [u8],
    /// Octets from the start of the input to it.
    pub(crate) offset: usize,
}

/// The extensions of a certificate that this crate processes, and the first critical one that it does not.
#[derive(Clone, Debug, Default)]
pub struct Extensions<'a> {
    /// RFC 5280 §4.2.1.3.
    pub key_usage: Option<KeyUsage>,
    /// RFC 5280 §4.2.1.9.
    pub basic_constraints: Option<BasicConstraints>,
    /// RFC 5280 §4.2.1.2: the key identifier octets.
    pub subject_key_identifier: Option<&'a [u8]>,
    /// RFC 5280 §4.2.1.1: the key identifier octets, if that form is present.
    pub authority_key_identifier: Option<&'a [u8]>,
    /// RFC 5280 §4.2.1.6: the GeneralNames in DER.
    pub subject_alt_name: Option<&'a [u8]>,
    pub(crate) alternative_names: Option<Found<'a>>,
    pub(crate) issuer_alternative_names: Option<Tlv<'a>>,
    pub(crate) extended_key_usage: Option<Tlv<'a>>,
    pub(crate) policies: Option<Found<'a>>,
    pub(crate) policy_mappings: Option<Tlv<'a>>,
    pub(crate) policy_constraints: Option<PolicyConstraints>,
    pub(crate) inhibit_any_policy: Option<u32>,
    pub(crate) name_constraints: Option<Found<'a>>,
    pub(crate) crl_distribution_points: Option<Tlv<'a>>,
    pub(crate) access: [Option<Tlv<'a>>; 2],
    pub(crate) directory_attributes: Option<Tlv<'a>>,
    pub(crate) ocsp_no_check: bool,
    /// The first extension that RFC 5280 never wants critical, and that is.
    pub(crate) odd_criticality: Option<(&'static str, usize)>,
    /// One that RFC 5280 wants critical, that is not, and that is processed all the same.
    pub(crate) lax_criticality: Option<&'static str>,
    /// Whether a FALSE or a zero bit stands somewhere that DER leaves out.
    pub(crate) spells_default: bool,
    /// RFC 5280 §4.2: a certificate with one must be refused.
    pub(crate) unknown_critical: Option<UnknownCritical<'a>>,
}

impl<'a> Extensions<'a> {
    /// Whether extKeyUsage is present and lists `purpose`: RFC 5280 §4.2.1.12.
    pub fn has_purpose(&self, purpose: &ObjectIdentifier) -> bool {
        self.extended_key_usage.is_some_and(|list| {
            let mut purposes = list.inside();
            std::iter::from_fn(|| purposes.any("purpose").ok())
                .any(|entry| entry.content == purpose.as_bytes())
        })
    }

    /// Whether certificatePolicies is present and lists `policy` itself: RFC 5280 §4.2.1.4.
    pub fn has_policy(&self, policy: &ObjectIdentifier) -> bool {
        self.policies.is_some_and(|list| {
            let mut policies = list.value.inside();
            std::iter::from_fn(|| policies.any("policy").ok()).any(|entry| {
                entry.inside().any("policy").is_ok_and(|identifier| identifier.content == policy.as_bytes())
            })
        })
    }

    /// Whether the subject may issue: RFC 5280 §4.2.1.9.
    pub fn is_authority(&self) -> bool {
        self.basic_constraints.is_some_and(|constraints| constraints.is_authority)
    }

    /// An extension that only an issuing certificate can have a use for, if there is one.
    pub(crate) fn issuing_constraint(&self) -> Option<&'static str> {
        let present = [
            (self.name_constraints.is_some(), "nameConstraints"),
            (self.policy_mappings.is_some(), "policyMappings"),
            (self.policy_constraints.is_some(), "policyConstraints"),
            (self.inhibit_any_policy.is_some(), "inhibitAnyPolicy"),
        ];
        present.into_iter().find(|(there, _)| *there).map(|(_, what)| what)
    }

    pub(crate) fn read(list: &Tlv<'a>) -> Result<Self, Malformed> {
        let mut found = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut extensions = list.inside();
        if extensions.is_empty() {
            return Err(list.malformed("extensions"));
        }
        while !extensions.is_empty() {
            let extension = RawExtension::read(&mut extensions)?;
            if seen.contains(&extension.kind.content) {
                // RFC 5280 §4.2: no more than one instance of a particular extension.
                return Err(extension.kind.malformed("repeated extension"));
            }
            if seen.len() >= EXTENSIONS_MAX {
                return Err(extension.kind.malformed("too many extensions"));
            }
            seen.push(extension.kind.content);
            found.spells_default |= extension.spells_default;
            found.take(&extension)?;
        }
        Ok(found)
    }

    /// Takes one extension over. Two halves, because each is a list of names and a form per name.
    fn take(&mut self, extension: &RawExtension<'a>) -> Result<(), Malformed> {
        let kind = extension.kind.content;
        let is = |known: ObjectIdentifier| known.as_bytes() == kind;
        if is(oid::KEY_USAGE) {
            let bits = extension.only(tag::BIT_STRING, "keyUsage")?;
            self.key_usage = Some(KeyUsage(match bits.named_bits("keyUsage") {
                Ok(bits) => bits,
                Err(fault) => {
                    self.spells_default = true;
                    bits_with_zeros_behind(&bits).ok_or(fault)?
                }
            }));
        } else if is(oid::BASIC_CONSTRAINTS) {
            let (constraints, flag) =
                read_basic_constraints(&extension.only(tag::SEQUENCE, "basicConstraints")?)?;
            self.basic_constraints = Some(constraints);
            self.spells_default |= flag == Flag::SpelledFalse;
            if self.is_authority() {
                self.note_lax_criticality(extension, "basicConstraints");
            }
        } else if is(oid::SUBJECT_KEY_IDENTIFIER) {
            self.note_criticality(extension, "subjectKeyIdentifier");
            self.subject_key_identifier =
                Some(extension.only(tag::OCTET_STRING, "subjectKeyIdentifier")?.content);
        } else if is(oid::AUTHORITY_KEY_IDENTIFIER) {
            self.note_criticality(extension, "authorityKeyIdentifier");
            let identifier = extension.only(tag::SEQUENCE, "authorityKeyIdentifier")?;
            self.authority_key_identifier = read_authority_key_identifier(&identifier)?;
        } else if is(oid::EXTENDED_KEY_USAGE) {
            let list = extension.only(tag::SEQUENCE, "extKeyUsage")?;
            check_each(&list, "extKeyUsage", |entry| entry.object_identifier("extKeyUsage").map(|_| ()))?;
            self.extended_key_usage = Some(list);
        } else if is(oid::CERTIFICATE_POLICIES) {
            let value = extension.only(tag::SEQUENCE, "certificatePolicies")?;
            check_each(&value, "certificatePolicies", |entry| {
                if entry.tag != tag::SEQUENCE {
                    return Err(entry.malformed("certificatePolicies"));
                }
                entry.inside().object_identifier("policyIdentifier").map(|_| ())
            })?;
            self.policies = Some(Found { value, critical: extension.critical });
        } else if is(oid::SUBJECT_ALT_NAME) {
            let value = extension.only(tag::SEQUENCE, "subjectAltName")?;
            // Empty ones exist, against RFC 5280 §4.2.1.6, and do no harm.
            if !value.content.is_empty() {
                check_each(&value, "subjectAltName", |entry| {
                    general_name::GeneralName::read_alternative(*entry).map(|_| ())
                })?;
            }
            self.subject_alt_name = Some(value.raw);
            self.alternative_names = Some(Found { value, critical: extension.critical });
        } else {
            return self.take_rarer(extension);
        }
        Ok(())
    }

    fn take_rarer(&mut self, extension: &RawExtension<'a>) -> Result<(), Malformed> {
        let kind = extension.kind.content;
        let is = |known: ObjectIdentifier| known.as_bytes() == kind;
        if is(oid::POLICY_MAPPINGS) {
            self.policy_mappings = Some(extension.only(tag::SEQUENCE, "policyMappings")?);
        } else if is(oid::POLICY_CONSTRAINTS) {
            self.note_lax_criticality(extension, "policyConstraints");
            let value = extension.only(tag::SEQUENCE, "policyConstraints")?;
            self.policy_constraints = Some(read_policy_constraints(&value)?);
        } else if is(oid::INHIBIT_ANY_POLICY) {
            self.note_lax_criticality(extension, "inhibitAnyPolicy");
            let value = extension.only(tag::INTEGER, "inhibitAnyPolicy")?;
            self.inhibit_any_policy = Some(skip_certificates(&value, "inhibitAnyPolicy")?);
        } else if is(oid::NAME_CONSTRAINTS) {
            self.note_lax_criticality(extension, "nameConstraints");
            let value = extension.only(tag::SEQUENCE, "nameConstraints")?;
            self.name_constraints = Some(Found { value, critical: extension.critical });
        } else if is(oid::CRL_DISTRIBUTION_POINTS) {
            self.crl_distribution_points = Some(extension.only(tag::SEQUENCE, "cRLDistributionPoints")?);
        } else if is(oid::ISSUER_ALT_NAME) {
            self.issuer_alternative_names = Some(extension.only(tag::SEQUENCE, "issuerAltName")?);
        } else if is(oid::AUTHORITY_INFO_ACCESS) {
            self.note_criticality(extension, "authorityInfoAccess");
            self.access[0] = Some(extension.only(tag::SEQUENCE, "authorityInfoAccess")?);
        } else if is(oid::SUBJECT_INFO_ACCESS) {
            self.note_criticality(extension, "subjectInfoAccess");
            self.access[1] = Some(extension.only(tag::SEQUENCE, "subjectInfoAccess")?);
        } else if is(oid::FRESHEST_CRL) {
            self.note_criticality(extension, "freshestCRL");
            extension.only(tag::SEQUENCE, "freshestCRL")?;
        } else if is(oid::SUBJECT_DIRECTORY_ATTRIBUTES) && !extension.critical {
            self.directory_attributes = Some(extension.only(tag::SEQUENCE, "subjectDirectoryAttributes")?);
        } else if is(oid::OCSP_NO_CHECK) {
            extension.only(tag::NULL, "ocsp-nocheck")?;
            self.ocsp_no_check = true;
        } else if extension.critical {
            let identifier = extension.kind.object_identifier("extnID")?;
            self.unknown_critical
                .get_or_insert(UnknownCritical { identifier, offset: extension.kind.offset });
        }
        Ok(())
    }

    /// For those that every reader of policies processes, critical or not.
    fn note_lax_criticality(&mut self, extension: &RawExtension<'a>, what: &'static str) {
        if !extension.critical {
            self.lax_criticality.get_or_insert(what);
        }
    }

    fn note_criticality(&mut self, extension: &RawExtension<'a>, what: &'static str) {
        if extension.critical {
            self.odd_criticality.get_or_insert((what, extension.kind.offset));
        }
    }
}

/// More extensions than any certificate has; comparing each with each stays cheap below it.
const EXTENSIONS_MAX: usize = 64;

/// Visits each element of a list that must not be empty.
pub(crate) fn check_each<'a>(
    list: &Tlv<'a>,
    what: &'static str,
    mut check: impl FnMut(&Tlv<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut entries = list.inside();
    if entries.is_empty() {
        return Err(list.malformed(what));
    }
    while !entries.is_empty() {
        check(&entries.any(what)?)?;
    }
    Ok(())
}

fn read_basic_constraints(list: &Tlv<'_>) -> Result<(BasicConstraints, Flag), Malformed> {
    let mut fields = list.inside();
    let flag = read_flag(&mut fields, "cA")?;
    let limit = fields.optional(tag::INTEGER, "pathLenConstraint")?;
    let path_length_max = limit.map(|limit| skip_certificates(&limit, "pathLenConstraint")).transpose()?;
    fields.finish("basicConstraints")?;
    Ok((BasicConstraints { is_authority: flag == Flag::True, path_length_max }, flag))
}

fn read_authority_key_identifier<'a>(list: &Tlv<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let mut fields = list.inside();
    let key = fields.optional(tag::context(0), "keyIdentifier")?;
    fields.optional(tag::context_constructed(1), "authorityCertIssuer")?;
    fields.optional(tag::context(2), "authorityCertSerialNumber")?;
    fields.finish("authorityKeyIdentifier")?;
    Ok(key.map(|key| key.content))
}

fn read_policy_constraints(list: &Tlv<'_>) -> Result<PolicyConstraints, Malformed> {
    let mut fields = list.inside();
    if fields.is_empty() {
        // RFC 5280 §4.2.1.11: it must not be an empty sequence.
        return Err(list.malformed("policyConstraints"));
    }
    let mut number = |number, what| {
        let field = fields.optional(tag::context(number), what)?;
        field.map(|field| skip_certificates(&field, what)).transpose()
    };
    let require_explicit_policy = number(0, "requireExplicitPolicy")?;
    let inhibit_policy_mapping = number(1, "inhibitPolicyMapping")?;
    fields.finish("policyConstraints")?;
    Ok(PolicyConstraints { require_explicit_policy, inhibit_policy_mapping })
}

/// A count that may be larger than any path, so that a huge one means "never".
fn skip_certificates(integer: &Tlv<'_>, what: &'static str) -> Result<u32, Malformed> {
    let octets = integer.integer(what)?;
    if octets.first().is_some_and(|first| *first >= 0x80) {
        return Err(integer.malformed(what));
    }
    Ok(integer.small_unsigned(what).unwrap_or(u32::MAX))
}

/// One extension as it came: RFC 5280 §4.1.
pub(crate) struct RawExtension<'a> {
    /// Its OBJECT IDENTIFIER.
    pub(crate) kind: Tlv<'a>,
    /// Whether it must be understood.
    pub(crate) critical: bool,
    /// Whether it says in so many words that it need not.
    spells_default: bool,
    value: Tlv<'a>,
}

/// Named bits with zeros behind the last one, which DER leaves out (X.690 §11.2.2) and old issuers write; bits
/// that are said to be unused must be zero all the same (§11.2.1).
fn bits_with_zeros_behind(list: &Tlv<'_>) -> Option<u16> {
    let (unused, octets) = list.content.split_first()?;
    let (first, last) = match octets {
        [only] => (*only, *only),
        [first, last] => (*first, *last),
        _ => return None,
    };
    let second = if octets.len() == 2 { last } else { 0 };
    (*unused < 8 && u32::from(*unused) <= last.trailing_zeros()).then(|| u16::from_be_bytes([first, second]))
}

/// A BOOLEAN DEFAULT FALSE. FALSE must not be encoded (X.690 §11.5); old issuers do, it says the same, and
/// every reader in the field takes it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    True,
    Absent,
    SpelledFalse,
}

fn read_flag(fields: &mut Reader<'_>, what: &'static str) -> Result<Flag, Malformed> {
    match fields.optional(tag::BOOLEAN, what)? {
        None => Ok(Flag::Absent),
        Some(flag) => Ok(if flag.boolean(what)? { Flag::True } else { Flag::SpelledFalse }),
    }
}

impl<'a> RawExtension<'a> {
    pub(crate) fn read(list: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut fields = list.expect(tag::SEQUENCE, "extension")?.inside();
        let kind = fields.expect(tag::OID, "extnID")?;
        let critical = read_flag(&mut fields, "critical")?;
        let value = fields.expect(tag::OCTET_STRING, "extnValue")?;
        fields.finish("extension")?;
        let spells_default = critical == Flag::SpelledFalse;
        Ok(Self { kind, critical: critical == Flag::True, spells_default, value })
    }

    /// The value as it came.
    pub(crate) const fn octets(&self) -> &'a [u8] {
        self.value.content
    }

    /// The one element inside the value.
    pub(crate) fn only(&self, tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
        let mut value = self.value.inside();
        let element = value.expect(tag, what)?;
        value.finish(what)?;
        check_nested(&element, what)?;
        Ok(element)
    }
}
