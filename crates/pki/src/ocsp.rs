//! Online status: RFC 6960, its profile for many requests (RFC 5019) and its nonce (RFC 9654). Reading and
//! writing decide nothing; what a relying party makes of a response is [`crate::validate`]'s business.
//!
//! | module | holds |
//! |---|---|
//! | [`request`] | a strict reader of requests, and a writer for those who ask |
//! | [`response`] | [`response::OcspDelegate`], which signs answers, and the refusals that nobody signs |
//! | [`ask`] | a relying party's question, and its judgement on the bytes that came back |
//! | [`OcspResponse`] | a response as a relying party got it, read and not yet believed |
//!
//! Issuers are named by hashes (RFC 6960 §4.1.1). SHA-1 is one of them, because every client in the
//! field uses it there; it names an issuer among the few that are served, and protects nothing.

pub mod ask;
pub(crate) mod read;
pub mod request;
pub mod response;

pub use read::OcspResponse;

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::{tag, write};
use crate::certificate::Certificate;
use crate::oid;
use crate::serial::SerialNumber;
use aws_lc_rs::digest;
use der::asn1::ObjectIdentifier;
use std::fmt;

/// The hash by which a request names an issuer: RFC 6960 §4.1.1, RFC 5019bis §3.1.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CertIdHash {
    /// 20 octets; what clients send unless told otherwise.
    Sha1,
    /// 32 octets.
    Sha256,
    /// 48 octets.
    Sha384,
    /// 64 octets.
    Sha512,
}

impl CertIdHash {
    /// Every hash that is understood.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => oid::SHA1,
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    fn of(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }
}

/// Which certificate a request is about: RFC 6960 §4.1.1. A serial leads to a person: `Debug` shows none.
#[derive(Clone, Copy)]
pub struct CertId<'a> {
    hash: Option<CertIdHash>,
    issuer_name_hash: &'a [u8],
    issuer_key_hash: &'a [u8],
    serial: SerialNumber,
    raw: &'a [u8],
}

impl fmt::Debug for CertId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertId").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl<'a> CertId<'a> {
    fn read(tlv: &Tlv<'a>) -> Result<Self, Malformed> {
        let mut fields = tlv.inside();
        let mut algorithm = fields.expect(tag::SEQUENCE, "hashAlgorithm")?.inside();
        let kind = algorithm.expect(tag::OID, "hashAlgorithm")?;
        if !algorithm.is_empty() {
            // RFC 5754 §2: absent and NULL parameters are both in use and mean the same.
            let parameters = algorithm.expect(tag::NULL, "hashAlgorithm")?;
            if !parameters.content.is_empty() {
                return Err(parameters.malformed("hashAlgorithm"));
            }
        }
        algorithm.finish("hashAlgorithm")?;
        let hash = CertIdHash::ALL.into_iter().find(|hash| hash.oid().as_bytes() == kind.content);
        let issuer_name_hash = fields.expect(tag::OCTET_STRING, "issuerNameHash")?.content;
        let issuer_key_hash = fields.expect(tag::OCTET_STRING, "issuerKeyHash")?.content;
        let serial = SerialNumber::read(&fields.expect(tag::INTEGER, "serialNumber")?, "serialNumber")?;
        fields.finish("certID")?;
        Ok(Self { hash, issuer_name_hash, issuer_key_hash, serial, raw: tlv.raw })
    }

    /// Whether it was made from this issuer name (in DER) and these octets of the issuer's subjectPublicKey.
    pub(crate) fn is_of(&self, issuer_name: &[u8], issuer_key: &[u8]) -> bool {
        self.hash.is_some_and(|hash| {
            hash.of(issuer_name) == self.issuer_name_hash && hash.of(issuer_key) == self.issuer_key_hash
        })
    }

    /// The hash that names the issuer; `None` for one that is not understood here.
    pub const fn hash(&self) -> Option<CertIdHash> {
        self.hash
    }

    /// Serial number of the certificate asked about.
    pub const fn serial(&self) -> &SerialNumber {
        &self.serial
    }

    /// The DER as it came. A response repeats it octet for octet, so that every client finds itself again.
    pub const fn as_der(&self) -> &'a [u8] {
        self.raw
    }
}

/// The names that requests may give one issuer, computed once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuerHashes {
    hashes: [(CertIdHash, Vec<u8>, Vec<u8>); 4],
}

impl IssuerHashes {
    /// From the issuer's certificate: hashes of its subject name in DER and of its public key's bits
    /// (RFC 6960 §4.1.1: without tag, length and the count of unused bits).
    ///
    /// # Errors
    /// The bytes are not a certificate.
    pub fn of_certificate(der: &[u8]) -> Result<Self, Malformed> {
        let certificate = Certificate::parse(der)?;
        let bits = key_bits(certificate.spki_der())?;
        let hashes = CertIdHash::ALL.map(|hash| (hash, hash.of(certificate.subject_der()), hash.of(bits)));
        Ok(Self { hashes })
    }

    /// Whether `id` names this issuer.
    pub fn matches(&self, id: &CertId<'_>) -> bool {
        self.hashes.iter().any(|(hash, name, key)| {
            id.hash == Some(*hash) && id.issuer_name_hash == name && id.issuer_key_hash == key
        })
    }

    /// The CertID of a certificate of this issuer, in DER: what goes into a request. Parameters are NULL
    /// for SHA-1, as everybody writes it, and absent for the others (RFC 5754 §2).
    pub fn cert_id_der(&self, hash: CertIdHash, serial: &SerialNumber) -> Vec<u8> {
        let (name, key) = self
            .hashes
            .iter()
            .find(|(known, _, _)| *known == hash)
            .map_or((&[][..], &[][..]), |(_, name, key)| (name, key));
        let parameters: &[u8] = if hash == CertIdHash::Sha1 { &[tag::NULL, 0] } else { &[] };
        write::sequence(&[
            &write::sequence(&[&write::oid(&hash.oid()), parameters]),
            &write::tlv(tag::OCTET_STRING, name),
            &write::tlv(tag::OCTET_STRING, key),
            &write::tlv(tag::INTEGER, serial.as_bytes()),
        ])
    }
}

/// SHA-256 of a response: its entity tag where it is served by GET (RFC 5019 §6.2).
pub fn sha256(response: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // The digest has 32 octets by definition.
    out.iter_mut().zip(CertIdHash::Sha256.of(response)).for_each(|(to, from)| *to = from);
    out
}

/// The octets of subjectPublicKey inside a SubjectPublicKeyInfo.
fn key_bits(spki: &[u8]) -> Result<&[u8], Malformed> {
    let mut fields = Reader::only_sequence(spki, "subjectPublicKeyInfo")?;
    fields.expect(tag::SEQUENCE, "algorithm")?;
    fields.expect(tag::BIT_STRING, "subjectPublicKey")?.whole_octets("subjectPublicKey")
}

/// responseStatus: RFC 6960 §4.2.1. All but the first are sent unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResponseStatus {
    /// `successful` (0).
    Successful,
    /// `malformedRequest` (1): not an OCSP request, or a nonce of a length that RFC 9654 §2.1 refuses.
    MalformedRequest,
    /// `internalError` (2).
    InternalError,
    /// `tryLater` (3).
    TryLater,
    /// `sigRequired` (5).
    SigRequired,
    /// `unauthorized` (6): this responder cannot answer with authority (RFC 5019 §2.2.3).
    Unauthorized,
}

impl ResponseStatus {
    /// Every status, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::Successful,
        Self::MalformedRequest,
        Self::InternalError,
        Self::TryLater,
        Self::SigRequired,
        Self::Unauthorized,
    ];

    /// The identifier of RFC 6960 §4.2.1.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::MalformedRequest => "malformedRequest",
            Self::InternalError => "internalError",
            Self::TryLater => "tryLater",
            Self::SigRequired => "sigRequired",
            Self::Unauthorized => "unauthorized",
        }
    }

    /// The ENUMERATED value.
    pub const fn code(self) -> u8 {
        match self {
            Self::Successful => 0,
            Self::MalformedRequest => 1,
            Self::InternalError => 2,
            Self::TryLater => 3,
            Self::SigRequired => 5,
            Self::Unauthorized => 6,
        }
    }
}

#[cfg(test)]
mod tests;
