//! Public keys, parsed once: RFC 3279 §2.3.1 (RSA), RFC 5480 §2 (P-256).

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::{tag, write};
use crate::oid;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use std::fmt;

/// A signature algorithm of certificates and lists. Others are refused: there is no SHA-1 here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureAlgorithm {
    /// sha256WithRSAEncryption, RFC 4055 §5: PKCS#1 v1.5.
    RsaPkcs1Sha256,
    /// ecdsa-with-SHA256 over P-256, RFC 5758 §3.2.
    EcdsaP256Sha256,
}

impl SignatureAlgorithm {
    /// The AlgorithmIdentifier: NULL parameters for RSA (RFC 4055 §5), none for ECDSA (RFC 5758 §3.2).
    pub fn identifier_der(self) -> Vec<u8> {
        match self {
            Self::RsaPkcs1Sha256 => write::sequence(&[&write::oid(&oid::SHA256_WITH_RSA), &[tag::NULL, 0]]),
            Self::EcdsaP256Sha256 => write::sequence(&[&write::oid(&oid::ECDSA_WITH_SHA256)]),
        }
    }

    /// Recognises an AlgorithmIdentifier, byte for byte; `None` for an algorithm that is not supported.
    pub fn recognise(identifier: &Tlv<'_>) -> Option<Self> {
        [Self::RsaPkcs1Sha256, Self::EcdsaP256Sha256]
            .into_iter()
            .find(|algorithm| algorithm.identifier_der() == identifier.raw)
    }
}

/// Why a public key cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublicKeyError {
    /// Not a SubjectPublicKeyInfo.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Neither RSA of 2048 bits or more nor a point on P-256.
    #[error("a public key that is neither RSA (2048 bits or more) nor P-256")]
    Unsupported,
}

/// A public key kept parsed: parsing costs a sixth of an RSA verification.
#[derive(Clone)]
pub struct VerifyingKey {
    parsed: ParsedPublicKey,
    algorithm: SignatureAlgorithm,
}

impl VerifyingKey {
    /// Parses a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    ///
    /// # Errors
    /// Not that structure, trailing data, or a key that is not supported.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, PublicKeyError> {
        let mut reader = Reader::new(spki);
        let tlv = reader.expect(tag::SEQUENCE, "subjectPublicKeyInfo")?;
        reader.finish("subjectPublicKeyInfo")?;
        Self::from_spki(&tlv)
    }

    pub(crate) fn from_spki(spki: &Tlv<'_>) -> Result<Self, PublicKeyError> {
        let mut fields = spki.inside();
        let mut identifier = fields.expect(tag::SEQUENCE, "public key algorithm")?.inside();
        let kind = identifier.expect(tag::OID, "public key algorithm")?;
        let parameters = identifier.any("public key parameters")?;
        identifier.finish("public key algorithm")?;
        let bits = fields.expect(tag::BIT_STRING, "subjectPublicKey")?.whole_octets("subjectPublicKey")?;
        fields.finish("subjectPublicKeyInfo")?;

        if kind.content == oid::RSA_ENCRYPTION.as_bytes() && parameters.raw == [tag::NULL, 0] {
            let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, bits);
            return Self::of(parsed, SignatureAlgorithm::RsaPkcs1Sha256);
        }
        let named_p256 = parameters.tag == tag::OID && parameters.content == oid::SECP256R1.as_bytes();
        // RFC 5480 §2.2: the uncompressed point must be supported; nothing else is.
        if kind.content == oid::EC_PUBLIC_KEY.as_bytes() && named_p256 && bits.len() == 65 {
            let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, bits);
            return Self::of(parsed, SignatureAlgorithm::EcdsaP256Sha256);
        }
        Err(PublicKeyError::Unsupported)
    }

    fn of<E>(
        parsed: Result<ParsedPublicKey, E>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Self, PublicKeyError> {
        parsed.map(|parsed| Self { parsed, algorithm }).map_err(|_| PublicKeyError::Unsupported)
    }

    /// The algorithm of signatures by this key.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's over `message` (SHA-256 inside).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A card holder's key is as telling as a name.
        f.debug_struct("VerifyingKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
