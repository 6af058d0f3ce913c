//! Private keys behind one trait: software here, PKCS#11 and others elsewhere.

use crate::public_key::SignatureAlgorithm;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use std::fmt;
use zeroize::Zeroizing;

/// Why a signer could not sign, or could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignError {
    /// The bytes are not a PKCS#8 private key of a supported kind.
    #[error("not a PKCS#8 private key for RSA (2048 bits or more) or P-256")]
    UnusableKey,
    /// The key could not be generated.
    #[error("the key could not be generated")]
    GenerationFailed,
    /// The signer is there but did not sign.
    #[error("the signer did not sign: {0}")]
    Refused(&'static str),
}

/// Signs what an authority issues. The only way this crate touches a private key.
pub trait IssuerSigner: Send + Sync {
    /// The algorithm of its signatures.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// The public half as DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    fn spki_der(&self) -> &[u8];

    /// Signs `tbs`; the digest (SHA-256) is taken inside.
    ///
    /// # Errors
    /// The key store refused or failed; nothing was signed.
    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// An RSA key in this process's memory: PKCS#1 v1.5 with SHA-256 (RFC 8017 §8.2).
pub struct SoftwareRsaSigner {
    pair: RsaKeyPair,
    spki: Vec<u8>,
}

impl SoftwareRsaSigner {
    /// From the DER of a PKCS#8 private key (RFC 5208).
    ///
    /// # Errors
    /// Not an RSA key of 2048 bits or more.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, SignError> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| SignError::UnusableKey)?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| SignError::UnusableKey)?;
        let spki = spki.as_ref().to_vec();
        Ok(Self { pair, spki })
    }
}

impl IssuerSigner for SoftwareRsaSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RsaPkcs1Sha256
    }

    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &library_random(), tbs, &mut signature)
            .map_err(|_| SignError::Refused("the RSA operation failed"))?;
        Ok(signature)
    }
}

impl fmt::Debug for SoftwareRsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftwareRsaSigner(****)")
    }
}

/// A P-256 key in this process's memory: ECDSA with SHA-256, signature in DER (RFC 3279 §2.2.3).
pub struct SoftwareP256Signer {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl SoftwareP256Signer {
    /// From the DER of a PKCS#8 private key (RFC 5208, RFC 5915).
    ///
    /// # Errors
    /// Not a P-256 key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, SignError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8)
            .map_err(|_| SignError::UnusableKey)?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| SignError::UnusableKey)?;
        let spki = spki.as_ref().to_vec();
        Ok(Self { pair, spki })
    }
}

impl IssuerSigner for SoftwareP256Signer {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.pair.sign(&library_random(), tbs);
        Ok(signature.map_err(|_| SignError::Refused("the ECDSA operation failed"))?.as_ref().to_vec())
    }
}

impl fmt::Debug for SoftwareP256Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftwareP256Signer(****)")
    }
}

/// A software signer of whichever kind the PKCS#8 key is.
///
/// # Errors
/// Neither RSA of 2048 bits or more nor P-256.
pub fn software_signer(pkcs8: &[u8]) -> Result<Box<dyn IssuerSigner>, SignError> {
    if let Ok(signer) = SoftwareP256Signer::from_pkcs8(pkcs8) {
        return Ok(Box::new(signer));
    }
    SoftwareRsaSigner::from_pkcs8(pkcs8).map(|signer| Box::new(signer) as Box<dyn IssuerSigner>)
}

/// Bits of a modulus that keys are generated with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RsaBits {
    /// What card holders' authorities have.
    Bits2048,
    /// 128 bits of strength: NIST SP 800-57 Part 1 Rev. 5 table 2.
    Bits3072,
    /// More than that.
    Bits4096,
}

/// A new RSA-2048 key as PKCS#8 DER, wiped when dropped.
///
/// # Errors
/// The library could not generate one.
pub fn generate_rsa_2048_pkcs8() -> Result<Zeroizing<Vec<u8>>, SignError> {
    generate_rsa_pkcs8(RsaBits::Bits2048)
}

/// A new RSA key as PKCS#8 DER, wiped when dropped.
///
/// # Errors
/// The library could not generate one.
pub fn generate_rsa_pkcs8(bits: RsaBits) -> Result<Zeroizing<Vec<u8>>, SignError> {
    let size = match bits {
        RsaBits::Bits2048 => KeySize::Rsa2048,
        RsaBits::Bits3072 => KeySize::Rsa3072,
        RsaBits::Bits4096 => KeySize::Rsa4096,
    };
    let pair = RsaKeyPair::generate(size).map_err(|_| SignError::GenerationFailed)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| SignError::GenerationFailed)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// A new P-256 key as PKCS#8 DER, wiped when dropped.
///
/// # Errors
/// The library could not generate one.
pub fn generate_p256_pkcs8() -> Result<Zeroizing<Vec<u8>>, SignError> {
    let pair =
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| SignError::GenerationFailed)?;
    let der = pair.to_pkcs8v1().map_err(|_| SignError::GenerationFailed)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the library draws blinding and ECDSA nonces itself and ignores this argument; its trait is sealed, so nothing else fits"
)]
fn library_random() -> SystemRandom {
    SystemRandom::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_key::VerifyingKey;
    use crate::testing;

    #[test]
    fn both_kinds_sign_what_their_public_half_verifies() {
        for pkcs8 in [testing::rsa_key(0), testing::p256_key(0)] {
            let signer = software_signer(pkcs8).unwrap();
            let key = VerifyingKey::from_spki_der(signer.spki_der()).unwrap();
            assert_eq!(key.algorithm(), signer.algorithm());
            let signature = signer.sign(b"message").unwrap();
            assert!(key.verifies(b"message", &signature));
            assert!(!key.verifies(b"massage", &signature));
        }
    }

    #[test]
    fn bytes_that_are_no_key_are_refused_and_debug_is_silent() {
        assert_eq!(software_signer(b"nonsense").err(), Some(SignError::UnusableKey));
        assert_eq!(software_signer(&[]).err(), Some(SignError::UnusableKey));
        let signer = SoftwareP256Signer::from_pkcs8(testing::p256_key(0)).unwrap();
        assert_eq!(format!("{signer:?}"), "SoftwareP256Signer(****)");
        let signer = SoftwareRsaSigner::from_pkcs8(testing::rsa_key(0)).unwrap();
        assert_eq!(format!("{signer:?}"), "SoftwareRsaSigner(****)");
    }
}
