//! Making a detached SignedData with a key that is elsewhere: RFC 5652 §5, RFC 5035.
//!
//! ```text
//! Unsigned::new(document, certificate) ── to_be_signed() ──▶ card ── signature ──▶ Unsigned::signed_with
//! ```

use super::digest_of;
use crate::asn1::read::Malformed;
use crate::asn1::{tag, write};
use crate::certificate::Certificate;
use crate::oid;
use crate::public_key::{SignatureAlgorithm, VerifyingKey};
use crate::signature_scheme::SignatureDigest;
use crate::validate::CertificateProblem;
use der::asn1::ObjectIdentifier;
use protocol::time::UnixSeconds;
use std::fmt;

/// Why no signature came of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CreateProblem {
    /// The signer's certificate cannot be used: its key is no RSA key and not on P-256.
    #[error("the signer's certificate: {0}")]
    Certificate(#[from] CertificateProblem),
    /// The signature is not by the certificate's key over these attributes.
    #[error("the signature does not verify with the key of the certificate")]
    BadSignature,
}

impl From<Malformed> for CreateProblem {
    fn from(fault: Malformed) -> Self {
        Self::Certificate(fault.into())
    }
}

/// A signature before anybody signed: the attributes, and what is put beside them. SHA-256 throughout.
pub struct Unsigned {
    attributes: Vec<Vec<u8>>,
    to_be_signed: Vec<u8>,
    signer: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    key: VerifyingKey,
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsigned(****)")
    }
}

/// One attribute with one value.
fn attribute(kind: &ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::oid(kind), &write::tlv(tag::SET, value)])
}

/// A SET OF in the order of X.690 §11.6, under `tag`.
fn set_of(tag: u8, elements: &[Vec<u8>]) -> Vec<u8> {
    let mut sorted: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
    sorted.sort_unstable();
    write::constructed(tag, &sorted)
}

impl Unsigned {
    /// Attributes over `document` for the signer with `certificate` (DER): contentType, messageDigest,
    /// signing-certificate-v2, and signingTime if one is claimed.
    ///
    /// # Errors
    /// A certificate that cannot be read, or whose key this house does not verify with.
    pub fn new(
        document: &[u8],
        certificate: &[u8],
        signing_time: Option<UnixSeconds>,
    ) -> Result<Self, CreateProblem> {
        let parsed = Certificate::parse(certificate)?;
        let key = VerifyingKey::from_spki_der(parsed.spki_der()).map_err(CertificateProblem::from)?;
        let serial = write::tlv(tag::INTEGER, parsed.serial().as_bytes());
        let issuer = write::explicit(4, parsed.issuer_der());
        let named = write::sequence(&[
            &write::tlv(tag::OCTET_STRING, &digest_of(SignatureDigest::Sha256, certificate)),
            &write::sequence(&[&write::sequence(&[&issuer]), &serial]),
        ]);
        let mut attributes = vec![
            attribute(&oid::CONTENT_TYPE, &write::oid(&oid::CMS_DATA)),
            attribute(
                &oid::MESSAGE_DIGEST,
                &write::tlv(tag::OCTET_STRING, &digest_of(SignatureDigest::Sha256, document)),
            ),
            attribute(&oid::SIGNING_CERTIFICATE_V2, &write::sequence(&[&write::sequence(&[&named])])),
        ];
        if let Some(at) = signing_time {
            attributes.push(attribute(&oid::SIGNING_TIME, &write::time(at)));
        }
        Ok(Self {
            to_be_signed: set_of(tag::SET, &attributes),
            attributes,
            signer: write::sequence(&[parsed.issuer_der(), &serial]),
            certificates: vec![certificate.to_vec()],
            key,
        })
    }

    /// Puts another certificate in the bag: the signer's issuer, for those who do not have it.
    #[must_use]
    pub fn with_certificate(mut self, der: &[u8]) -> Self {
        if !self.certificates.iter().any(|known| known == der) {
            self.certificates.push(der.to_vec());
        }
        self
    }

    /// What the signer's key signs, digest taken inside: the attributes as a SET OF (RFC 5652 §5.4).
    pub fn to_be_signed(&self) -> &[u8] {
        &self.to_be_signed
    }

    /// How it is signed: what the certificate's key does.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    /// The SignedData, in DER.
    ///
    /// # Errors
    /// [`CreateProblem::BadSignature`]: a signature that nobody could verify is not handed out.
    pub fn signed_with(self, signature: &[u8]) -> Result<Vec<u8>, CreateProblem> {
        if !self.key.verifies(&self.to_be_signed, signature) {
            return Err(CreateProblem::BadSignature);
        }
        // Parameters are absent for digests (RFC 5754 §2).
        let digest = write::sequence(&[&write::oid(&oid::SHA256)]);
        let info = write::sequence(&[
            &write::unsigned(&[1]),
            &self.signer,
            &digest,
            &set_of(tag::context_constructed(0), &self.attributes),
            &self.key.algorithm().identifier_der(),
            &write::tlv(tag::OCTET_STRING, signature),
        ]);
        let signed = write::sequence(&[
            &write::unsigned(&[1]),
            &write::tlv(tag::SET, &digest),
            &write::sequence(&[&write::oid(&oid::CMS_DATA)]),
            &set_of(tag::context_constructed(0), &self.certificates),
            &write::tlv(tag::SET, &info),
        ]);
        Ok(write::sequence(&[&write::oid(&oid::CMS_SIGNED_DATA), &write::explicit(0, &signed)]))
    }
}
