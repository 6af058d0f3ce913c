//! What a certificate says: RFC 5280 §4. Reading decides nothing; [`crate::validate`] decides.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::tag;
use crate::asn1::time::CertificateTime;
use crate::extension::Extensions;
pub use crate::extension::{BasicConstraints, KeyUsage};
use crate::name::{NameAttribute, first_attribute};
use crate::public_key::PublicKey;
use crate::serial::SerialNumber;
use crate::signature_scheme::SignatureScheme;

/// Version of a certificate: RFC 5280 §4.1.2.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// v1: no extensions, so nothing says that it may issue.
    V1,
    /// v2: with unique identifiers.
    V2,
    /// v3: with extensions.
    V3,
}

/// A certificate, read but not yet believed.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// All of it, as it came.
    raw: &'a [u8],
    version: Version,
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
    /// Anything that is not DER, not an X.509 certificate, or is followed by other data.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Reader::document(der, "certificate")?;
        let tbs = outer.expect(tag::SEQUENCE, "tbsCertificate")?;
        let signature_algorithm = outer.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer.expect(tag::BIT_STRING, "signatureValue")?.whole_octets("signatureValue")?;
        outer.finish("certificate")?;

        let mut fields = tbs.inside();
        let version = match fields.optional(tag::context_constructed(0), "version")? {
            None => Version::V1,
            Some(version) => match version.content {
                // DEFAULT v1 is never encoded (X.690 §11.5).
                [tag::INTEGER, 1, 1] => Version::V2,
                [tag::INTEGER, 1, 2] => Version::V3,
                _ => return Err(version.malformed("version")),
            },
        };
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
        if version >= Version::V2 {
            // RFC 5280 §4.1.2.8: parsed, never used.
            fields.optional(tag::context(1), "issuerUniqueID")?;
            fields.optional(tag::context(2), "subjectUniqueID")?;
        }
        let extensions = match fields.optional(tag::context_constructed(3), "extensions")? {
            None => Extensions::default(),
            // RFC 5280 §4.1.2.1: extensions need version 3.
            Some(wrapper) if version != Version::V3 => return Err(wrapper.malformed("extensions")),
            Some(wrapper) => {
                let mut inside = wrapper.inside();
                let list = inside.expect(tag::SEQUENCE, "extensions")?;
                inside.finish("extensions")?;
                Extensions::read(&list)?
            }
        };
        fields.finish("tbsCertificate")?;
        Ok(Self {
            raw: der,
            version,
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

    /// The DER it was read from.
    pub const fn as_der(&self) -> &'a [u8] {
        self.raw
    }

    /// Version.
    pub const fn version(&self) -> Version {
        self.version
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
        let Ok(scheme) = SignatureScheme::read(&self.signature_algorithm) else { return false };
        PublicKey::from_spki_der(issuer.spki_der())
            .is_ok_and(|key| key.verifies(scheme, self.tbs.raw, self.signature))
    }

    /// The extensions.
    pub const fn extensions(&self) -> &Extensions<'a> {
        &self.extensions
    }
}
