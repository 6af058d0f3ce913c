//! Reading a SignedData: RFC 5652 §5. Strict, and nothing decided: what an algorithm or an
//! attribute is worth is [`super::verify`]'s business.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::tag;
use crate::asn1::time::CertificateTime;
use crate::oid;
use crate::serial::SerialNumber;
use std::fmt;

/// Signers of one document that are looked at. Each costs a path.
pub const SIGNERS_MAX: usize = 16;
/// Certificates, and revocation lists, that may come along.
pub const COMPANIONS_MAX: usize = 64;
/// Attributes of one signer.
const ATTRIBUTES_MAX: usize = 64;

/// Why a file is not a signature that is read here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CmsProblem {
    /// Not the structure of RFC 5652 §3, §5.1, in DER.
    #[error("the signature: {0}")]
    Malformed(#[from] Malformed),
    /// Another content type than id-signedData: RFC 5652 §4, §6 and others.
    #[error("content type {0} is not id-signedData")]
    NotSignedData(String),
    /// What is signed is of another type than id-data: a time stamp, for example.
    #[error("the signed content is of type {0}, not id-data")]
    OtherContentType(String),
    /// Certificates or lists without a signature: RFC 5652 §5.1 allows it.
    #[error("there is no signer")]
    NoSigner,
    /// More than is looked at.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// How a signer is named: RFC 5652 §5.3. A serial leads to a person: `Debug` shows none.
#[derive(Clone, Copy)]
pub(super) enum SignerId<'a> {
    /// issuerAndSerialNumber.
    IssuerAndSerial { issuer: &'a [u8], serial: SerialNumber },
    /// subjectKeyIdentifier.
    KeyIdentifier(&'a [u8]),
}

impl fmt::Debug for SignerId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IssuerAndSerial { .. } => "IssuerAndSerial",
            Self::KeyIdentifier(_) => "KeyIdentifier",
        })
    }
}

/// Signed attributes: RFC 5652 §5.3, §11, RFC 5035 §3.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignedAttributes<'a> {
    /// As they came, with the tag `[0]` that is not the one that is signed.
    pub(super) raw: &'a [u8],
    pub(super) content_type: Option<&'a [u8]>,
    pub(super) message_digest: Option<&'a [u8]>,
    pub(super) signing_time: Option<CertificateTime>,
    /// ESSCertIDv2 of the signer's certificate: the first one.
    pub(super) signing_certificate: Option<Tlv<'a>>,
}

impl SignedAttributes<'_> {
    /// What is signed: the same octets as a SET OF (RFC 5652 §5.4).
    pub(super) fn to_be_signed(self) -> Vec<u8> {
        let mut octets = self.raw.to_vec();
        if let Some(first) = octets.first_mut() {
            *first = tag::SET;
        }
        octets
    }
}

/// One signature: RFC 5652 §5.3.
#[derive(Clone, Copy, Debug)]
pub(super) struct SignerInfo<'a> {
    pub(super) id: SignerId<'a>,
    pub(super) digest_algorithm: Tlv<'a>,
    pub(super) attributes: Option<SignedAttributes<'a>>,
    pub(super) signature_algorithm: Tlv<'a>,
    pub(super) signature: &'a [u8],
}

/// A SignedData, read and not yet believed: RFC 5652 §5.1.
#[derive(Clone, Debug)]
pub struct SignedData<'a> {
    content: Option<&'a [u8]>,
    certificates: Vec<&'a [u8]>,
    lists: Vec<&'a [u8]>,
    pub(super) signers: Vec<SignerInfo<'a>>,
}

impl<'a> SignedData<'a> {
    /// Reads one DER ContentInfo that fills `der`. [`super::ber::definite`] makes it of what signers stream.
    ///
    /// # Errors
    /// See [`CmsProblem`].
    pub fn parse(der: &'a [u8]) -> Result<Self, CmsProblem> {
        let mut outer = Reader::only_sequence(der, "contentInfo")?;
        let kind = outer.object_identifier("contentType")?;
        if kind != oid::CMS_SIGNED_DATA.as_bytes() {
            return Err(CmsProblem::NotSignedData(oid::text(kind)));
        }
        let mut wrapper = outer.expect(tag::context_constructed(0), "content")?.inside();
        outer.finish("contentInfo")?;
        let mut fields = wrapper.expect(tag::SEQUENCE, "signedData")?.inside();
        wrapper.finish("content")?;

        let version = fields.expect(tag::INTEGER, "version")?;
        // RFC 5652 §5.1: 1, 3, 4 or 5, by what else is inside. Only what is inside counts here.
        if !matches!(version.content, [1 | 3 | 4 | 5]) {
            return Err(version.malformed("version").into());
        }
        let digests = fields.expect(tag::SET, "digestAlgorithms")?;
        each(&digests, "digestAlgorithms", |entry| {
            if entry.tag == tag::SEQUENCE { Ok(()) } else { Err(entry.malformed("digestAlgorithms").into()) }
        })?;
        let content = read_content(&fields.expect(tag::SEQUENCE, "encapContentInfo")?)?;
        let certificates = fields.optional(tag::context_constructed(0), "certificates")?;
        let lists = fields.optional(tag::context_constructed(1), "crls")?;
        let signers = fields.expect(tag::SET, "signerInfos")?;
        fields.finish("signedData")?;

        let mut read = Self { content, certificates: Vec::new(), lists: Vec::new(), signers: Vec::new() };
        read.certificates = companions(certificates.as_ref(), "certificates")?;
        read.lists = companions(lists.as_ref(), "crls")?;
        each(&signers, "signerInfos", |entry| {
            if read.signers.len() == SIGNERS_MAX {
                return Err(CmsProblem::TooMany { what: "signers", limit: SIGNERS_MAX });
            }
            read.signers.push(SignerInfo::read(entry)?);
            Ok(())
        })?;
        if read.signers.is_empty() {
            return Err(CmsProblem::NoSigner);
        }
        Ok(read)
    }

    /// The content, if the signature is not detached.
    pub const fn content(&self) -> Option<&'a [u8]> {
        self.content
    }

    /// How many signed, at least 1 and at most [`SIGNERS_MAX`].
    pub const fn signers(&self) -> usize {
        self.signers.len()
    }

    /// Certificates that came along, in DER as far as anybody knows yet.
    pub fn certificates(&self) -> &[&'a [u8]] {
        &self.certificates
    }

    /// Revocation lists that came along.
    pub fn lists(&self) -> &[&'a [u8]] {
        &self.lists
    }
}

fn each<'a>(
    list: &Tlv<'a>,
    what: &'static str,
    mut take: impl FnMut(&Tlv<'a>) -> Result<(), CmsProblem>,
) -> Result<(), CmsProblem> {
    let mut entries = list.inside();
    while !entries.is_empty() {
        take(&entries.any(what)?)?;
    }
    Ok(())
}

/// encapContentInfo: RFC 5652 §5.2.
fn read_content<'a>(info: &Tlv<'a>) -> Result<Option<&'a [u8]>, CmsProblem> {
    let mut fields = info.inside();
    let kind = fields.object_identifier("eContentType")?;
    if kind != oid::CMS_DATA.as_bytes() {
        return Err(CmsProblem::OtherContentType(oid::text(kind)));
    }
    let content = fields.optional(tag::context_constructed(0), "eContent")?;
    fields.finish("encapContentInfo")?;
    let Some(wrapper) = content else { return Ok(None) };
    let mut inside = wrapper.inside();
    let octets = inside.expect(tag::OCTET_STRING, "eContent")?;
    inside.finish("eContent")?;
    Ok(Some(octets.content))
}

/// Certificates and lists of the usual form; others (RFC 5652 §10.2.1, §10.2.2) are left lying.
fn companions<'a>(set: Option<&Tlv<'a>>, what: &'static str) -> Result<Vec<&'a [u8]>, CmsProblem> {
    let mut found = Vec::new();
    let Some(set) = set else { return Ok(found) };
    each(set, what, |entry| {
        if entry.tag != tag::SEQUENCE {
            return Ok(());
        }
        if found.len() == COMPANIONS_MAX {
            return Err(CmsProblem::TooMany { what, limit: COMPANIONS_MAX });
        }
        found.push(entry.raw);
        Ok(())
    })?;
    Ok(found)
}

impl<'a> SignerInfo<'a> {
    fn read(entry: &Tlv<'a>) -> Result<Self, CmsProblem> {
        if entry.tag != tag::SEQUENCE {
            return Err(entry.malformed("signerInfo").into());
        }
        let mut fields = entry.inside();
        let version = fields.expect(tag::INTEGER, "signerInfo version")?;
        let (id, expected) = match fields.optional(tag::context(0), "subjectKeyIdentifier")? {
            Some(identifier) => (SignerId::KeyIdentifier(identifier.content), 3),
            None => (read_issuer_and_serial(&mut fields)?, 1),
        };
        // RFC 5652 §5.3: the version follows from the choice.
        if version.content != [expected] {
            return Err(version.malformed("signerInfo version").into());
        }
        let digest_algorithm = fields.expect(tag::SEQUENCE, "digestAlgorithm")?;
        let attributes = fields.optional(tag::context_constructed(0), "signedAttrs")?;
        let attributes = attributes.map(|set| SignedAttributes::read(&set)).transpose()?;
        let signature_algorithm = fields.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = fields.expect(tag::OCTET_STRING, "signature")?.content;
        // Nobody signed these (a time stamp may be among them): they are looked at for their form only.
        if let Some(unsigned) = fields.optional(tag::context_constructed(1), "unsignedAttrs")? {
            each(&unsigned, "unsignedAttrs", |attribute| Ok(read_attribute(attribute).map(drop)?))?;
        }
        fields.finish("signerInfo")?;
        Ok(Self { id, digest_algorithm, attributes, signature_algorithm, signature })
    }
}

fn read_issuer_and_serial<'a>(fields: &mut Reader<'a>) -> Result<SignerId<'a>, Malformed> {
    let mut inside = fields.expect(tag::SEQUENCE, "issuerAndSerialNumber")?.inside();
    let issuer = inside.expect(tag::SEQUENCE, "issuer")?.raw;
    let serial = SerialNumber::read(&inside.expect(tag::INTEGER, "serialNumber")?, "serialNumber")?;
    inside.finish("issuerAndSerialNumber")?;
    Ok(SignerId::IssuerAndSerial { issuer, serial })
}

/// Type and values of an attribute: RFC 5652 §5.3.
fn read_attribute<'a>(attribute: &Tlv<'a>) -> Result<(&'a [u8], Tlv<'a>), Malformed> {
    if attribute.tag != tag::SEQUENCE {
        return Err(attribute.malformed("attribute"));
    }
    let mut fields = attribute.inside();
    let kind = fields.object_identifier("attrType")?;
    let values = fields.expect(tag::SET, "attrValues")?;
    fields.finish("attribute")?;
    if values.content.is_empty() {
        return Err(values.malformed("attrValues"));
    }
    Ok((kind, values))
}

/// The one value of an attribute that must have one: RFC 5652 §11.1 to §11.3, RFC 5035 §3.
fn only<'a>(values: &Tlv<'a>, what: &'static str) -> Result<Tlv<'a>, Malformed> {
    let mut inside = values.inside();
    let value = inside.any(what)?;
    inside.finish(what)?;
    Ok(value)
}

fn expect<'a>(value: Tlv<'a>, tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
    if value.tag == tag { Ok(value) } else { Err(value.malformed(what)) }
}

impl<'a> SignedAttributes<'a> {
    fn read(set: &Tlv<'a>) -> Result<Self, Malformed> {
        let mut read = Self {
            raw: set.raw,
            content_type: None,
            message_digest: None,
            signing_time: None,
            signing_certificate: None,
        };
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut previous: &[u8] = &[];
        let mut rest = set.inside();
        if rest.is_empty() {
            // SIZE (1..MAX).
            return Err(set.malformed("signedAttrs"));
        }
        while !rest.is_empty() {
            let attribute = rest.any("signedAttrs")?;
            // RFC 5652 §5.3: DER, whatever the rest is; so a SET OF is in order (X.690 §11.6). No other
            // order is put right here, because a signature is checked over the octets that came.
            if attribute.raw <= previous {
                return Err(attribute.malformed("order of signedAttrs"));
            }
            previous = attribute.raw;
            let (kind, values) = read_attribute(&attribute)?;
            if seen.contains(&kind) || seen.len() == ATTRIBUTES_MAX {
                return Err(attribute.malformed("repeated attribute"));
            }
            seen.push(kind);
            read.take(kind, &values)?;
        }
        Ok(read)
    }

    fn take(&mut self, kind: &[u8], values: &Tlv<'a>) -> Result<(), Malformed> {
        if kind == oid::CONTENT_TYPE.as_bytes() {
            let value = expect(only(values, "contentType")?, tag::OID, "contentType")?;
            self.content_type = Some(value.object_identifier("contentType")?);
        } else if kind == oid::MESSAGE_DIGEST.as_bytes() {
            let value = expect(only(values, "messageDigest")?, tag::OCTET_STRING, "messageDigest")?;
            self.message_digest = Some(value.content);
        } else if kind == oid::SIGNING_TIME.as_bytes() {
            self.signing_time = Some(CertificateTime::read(&only(values, "signingTime")?, "signingTime")?);
        } else if kind == oid::SIGNING_CERTIFICATE_V2.as_bytes() {
            const WHAT: &str = "signingCertificateV2";
            let value = expect(only(values, WHAT)?, tag::SEQUENCE, WHAT)?;
            // policies may follow (RFC 5035 §3); they bind nobody here.
            let mut certificates = value.inside().expect(tag::SEQUENCE, WHAT)?.inside();
            self.signing_certificate = Some(certificates.expect(tag::SEQUENCE, WHAT)?);
        }
        Ok(())
    }
}

/// Whether `content` could itself be signed attributes: then a signature without attributes over it, and one
/// with these attributes, are the same octets, and somebody may have made the one of the other.
pub(super) fn is_signed_attributes(content: &[u8]) -> bool {
    let mut reader = Reader::new(content);
    let set = reader.expect(tag::SET, "signedAttrs").ok().filter(|_| reader.is_empty());
    set.is_some_and(|set| SignedAttributes::read(&set).is_ok_and(|read| read.message_digest.is_some()))
}
