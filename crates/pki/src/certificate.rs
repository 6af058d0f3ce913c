//! What a certificate says: RFC 5280 §4. Reading decides nothing; [`crate::validate`] decides.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::tag;
use crate::asn1::time::CertificateTime;
use crate::name::{NameAttribute, first_attribute};
use crate::oid;
use crate::public_key::{SignatureAlgorithm, VerifyingKey};
use crate::serial::SerialNumber;
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
    extended_key_usage: Option<Tlv<'a>>,
    policies: Option<Tlv<'a>>,
    /// Offset of the first critical extension that nothing here processes (RFC 5280 §4.2: must be refused).
    pub unprocessed_critical: Option<usize>,
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
            let mut policies = list.inside();
            std::iter::from_fn(|| policies.any("policy").ok()).any(|entry| {
                entry.inside().any("policy").is_ok_and(|identifier| identifier.content == policy.as_bytes())
            })
        })
    }

    fn read(list: &Tlv<'a>) -> Result<Self, Malformed> {
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
            seen.push(extension.kind.content);
            found.take(&extension)?;
        }
        Ok(found)
    }

    fn take(&mut self, extension: &RawExtension<'a>) -> Result<(), Malformed> {
        let kind = extension.kind.content;
        let is = |known: ObjectIdentifier| known.as_bytes() == kind;
        if is(oid::KEY_USAGE) {
            let bits = extension.only(tag::BIT_STRING, "keyUsage")?;
            self.key_usage = Some(KeyUsage(bits.named_bits("keyUsage")?));
        } else if is(oid::BASIC_CONSTRAINTS) {
            self.basic_constraints =
                Some(read_basic_constraints(&extension.only(tag::SEQUENCE, "basicConstraints")?)?);
        } else if is(oid::SUBJECT_KEY_IDENTIFIER) {
            self.subject_key_identifier =
                Some(extension.only(tag::OCTET_STRING, "subjectKeyIdentifier")?.content);
        } else if is(oid::AUTHORITY_KEY_IDENTIFIER) {
            let identifier = extension.only(tag::SEQUENCE, "authorityKeyIdentifier")?;
            self.authority_key_identifier = read_authority_key_identifier(&identifier)?;
        } else if is(oid::EXTENDED_KEY_USAGE) {
            let list = extension.only(tag::SEQUENCE, "extKeyUsage")?;
            check_each(&list, "extKeyUsage", |entry| (entry.tag == tag::OID).then_some(()))?;
            self.extended_key_usage = Some(list);
        } else if is(oid::CERTIFICATE_POLICIES) {
            let list = extension.only(tag::SEQUENCE, "certificatePolicies")?;
            check_each(&list, "certificatePolicies", |entry| {
                (entry.tag == tag::SEQUENCE && entry.inside().expect(tag::OID, "policy").is_ok())
                    .then_some(())
            })?;
            self.policies = Some(list);
        } else if is(oid::SUBJECT_ALT_NAME) {
            self.subject_alt_name = Some(extension.only(tag::SEQUENCE, "subjectAltName")?.raw);
        } else if is(oid::ISSUER_ALT_NAME)
            || is(oid::CRL_DISTRIBUTION_POINTS)
            || is(oid::AUTHORITY_INFO_ACCESS)
        {
            extension.only(tag::SEQUENCE, "extension")?;
        } else if extension.critical {
            self.unprocessed_critical.get_or_insert(extension.kind.offset);
        }
        Ok(())
    }
}

fn check_each(
    list: &Tlv<'_>,
    what: &'static str,
    check: impl Fn(&Tlv<'_>) -> Option<()>,
) -> Result<(), Malformed> {
    let mut entries = list.inside();
    if entries.is_empty() {
        return Err(list.malformed(what));
    }
    while !entries.is_empty() {
        let entry = entries.any(what)?;
        check(&entry).ok_or_else(|| entry.malformed(what))?;
    }
    Ok(())
}

fn read_basic_constraints(list: &Tlv<'_>) -> Result<BasicConstraints, Malformed> {
    let mut fields = list.inside();
    let is_authority = match fields.optional(tag::BOOLEAN, "cA")? {
        // DEFAULT FALSE is never encoded (X.690 §11.5).
        Some(flag) if !flag.boolean("cA")? => return Err(flag.malformed("cA")),
        flag => flag.is_some(),
    };
    let limit = fields.optional(tag::INTEGER, "pathLenConstraint")?;
    let path_length_max = limit.map(|limit| limit.small_unsigned("pathLenConstraint")).transpose()?;
    fields.finish("basicConstraints")?;
    Ok(BasicConstraints { is_authority, path_length_max })
}

fn read_authority_key_identifier<'a>(list: &Tlv<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    let mut fields = list.inside();
    let key = fields.optional(tag::context(0), "keyIdentifier")?;
    fields.optional(tag::context_constructed(1), "authorityCertIssuer")?;
    fields.optional(tag::context(2), "authorityCertSerialNumber")?;
    fields.finish("authorityKeyIdentifier")?;
    Ok(key.map(|key| key.content))
}

/// One extension as it came: RFC 5280 §4.1.
pub(crate) struct RawExtension<'a> {
    /// Its OBJECT IDENTIFIER.
    pub(crate) kind: Tlv<'a>,
    /// Whether it must be understood.
    pub(crate) critical: bool,
    value: Tlv<'a>,
}

impl<'a> RawExtension<'a> {
    pub(crate) fn read(list: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut fields = list.expect(tag::SEQUENCE, "extension")?.inside();
        let kind = fields.expect(tag::OID, "extnID")?;
        let critical = match fields.optional(tag::BOOLEAN, "critical")? {
            // DEFAULT FALSE is never encoded (X.690 §11.5).
            Some(flag) if !flag.boolean("critical")? => return Err(flag.malformed("critical")),
            flag => flag.is_some(),
        };
        let value = fields.expect(tag::OCTET_STRING, "extnValue")?;
        fields.finish("extension")?;
        Ok(Self { kind, critical, value })
    }

    /// The one element inside the value.
    pub(crate) fn only(&self, tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
        let mut value = self.value.inside();
        let element = value.expect(tag, what)?;
        value.finish(what)?;
        Ok(element)
    }
}

/// A certificate, read but not yet believed.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// The signed part, as it came.
    pub(crate) tbs: Tlv<'a>,
    /// Both copies of the signature algorithm, equal.
    pub(crate) signature_algorithm: Tlv<'a>,
    /// Signature octets.
    pub(crate) signature: &'a [u8],
    /// RFC 5280 §4.1.2.7.
    pub(crate) spki: Tlv<'a>,
    serial: SerialNumber,
    issuer: &'a [u8],
    subject: &'a [u8],
    not_before: CertificateTime,
    not_after: CertificateTime,
    extensions: Extensions<'a>,
}

impl<'a> Certificate<'a> {
    /// Reads one DER certificate that fills `der`: RFC 5280 §4.1.
    ///
    /// # Errors
    /// Anything that is not DER, not an X.509 v3 certificate, or is followed by other data.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::only_sequence(der, "certificate")?;
        let tbs = outer.expect(tag::SEQUENCE, "tbsCertificate")?;
        let signature_algorithm = outer.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer.expect(tag::BIT_STRING, "signatureValue")?.whole_octets("signatureValue")?;
        outer.finish("certificate")?;

        let mut fields = tbs.inside();
        let version = fields.expect(tag::context_constructed(0), "version")?;
        // Version 3 is 2; the older ones have no extensions and so cannot be judged here.
        if version.content != [tag::INTEGER, 1, 2] {
            return Err(version.malformed("version"));
        }
        let serial = SerialNumber::read(&fields.expect(tag::INTEGER, "serialNumber")?, "serialNumber")?;
        let inner_algorithm = fields.expect(tag::SEQUENCE, "signature")?;
        if inner_algorithm.raw != signature_algorithm.raw {
            // RFC 5280 §4.1.1.2: both fields must be the same.
            return Err(signature_algorithm.malformed("signatureAlgorithm"));
        }
        let issuer = fields.expect(tag::SEQUENCE, "issuer")?.raw;
        let mut validity = fields.expect(tag::SEQUENCE, "validity")?.inside();
        let not_before = CertificateTime::read(&validity.any("notBefore")?, "notBefore")?;
        let not_after = CertificateTime::read(&validity.any("notAfter")?, "notAfter")?;
        validity.finish("validity")?;
        let subject = fields.expect(tag::SEQUENCE, "subject")?.raw;
        let spki = fields.expect(tag::SEQUENCE, "subjectPublicKeyInfo")?;
        fields.optional(tag::context(1), "issuerUniqueID")?;
        fields.optional(tag::context(2), "subjectUniqueID")?;
        let extensions = match fields.optional(tag::context_constructed(3), "extensions")? {
            None => Extensions::default(),
            Some(wrapper) => {
                let mut inside = wrapper.inside();
                let list = inside.expect(tag::SEQUENCE, "extensions")?;
                inside.finish("extensions")?;
                Extensions::read(&list)?
            }
        };
        fields.finish("tbsCertificate")?;
        Ok(Self {
            tbs,
            signature_algorithm,
            signature,
            spki,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            extensions,
        })
    }

    /// Serial number.
    pub const fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// Issuer name in DER.
    pub const fn issuer_der(&self) -> &'a [u8] {
        self.issuer
    }

    /// Subject name in DER.
    pub const fn subject_der(&self) -> &'a [u8] {
        self.subject
    }

    /// The first value of `attribute` in the subject's name.
    ///
    /// # Errors
    /// The name is malformed.
    pub fn subject_attribute(&self, attribute: NameAttribute) -> Result<Option<&'a str>, Malformed> {
        first_attribute(self.subject, attribute)
    }

    /// First instant of validity, itself included.
    pub const fn not_before(&self) -> CertificateTime {
        self.not_before
    }

    /// Last instant of validity, itself included.
    pub const fn not_after(&self) -> CertificateTime {
        self.not_after
    }

    /// SubjectPublicKeyInfo in DER.
    pub const fn spki_der(&self) -> &'a [u8] {
        self.spki.raw
    }

    /// Whether `issuer`'s key made the signature on this certificate: RFC 5280 §6.1.3 (a)(1) and nothing
    /// else of it. Says that two certificates belong together, and nothing about whom to believe;
    /// [`crate::validate`] decides that.
    pub fn is_signed_by(&self, issuer: &Certificate<'_>) -> bool {
        let algorithm = SignatureAlgorithm::recognise(&self.signature_algorithm);
        VerifyingKey::from_spki_der(issuer.spki_der())
            .is_ok_and(|key| algorithm == Some(key.algorithm()) && key.verifies(self.tbs.raw, self.signature))
    }

    /// The extensions.
    pub const fn extensions(&self) -> &Extensions<'a> {
        &self.extensions
    }
}
