//! Public keys, parsed once: RFC 3279 §2.3.1 and RFC 4055 §1.2 (RSA), RFC 5480 §2 (curves), RFC 8410 §4 (Ed25519).
//!
//! [`PublicKey`] is any key that may stand in a path; [`VerifyingKey`] is the narrower set that this house
//! gives to cards, terminals and authorities.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::{tag, write};
use crate::oid;
use crate::signature_scheme::{SignatureDigest, SignatureScheme};
use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPssSaltLength, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use der::asn1::ObjectIdentifier;
use std::fmt;

/// Bits of the smallest RSA modulus that counts: NIST SP 800-131A Rev. 2 §3.
pub const RSA_BITS_MIN: usize = 2048;

/// Bits of the largest RSA modulus that is computed with: a larger one only costs time.
pub const RSA_BITS_MAX: usize = 8192;

/// Bits of the largest public exponent that is computed with. 65537 has 17; the cost of a verification grows
/// with every bit (NIST SP 800-56B Rev. 2 §6.2 allows up to 256, which nobody uses).
pub const RSA_EXPONENT_BITS_MAX: usize = 33;

/// A signature algorithm that this house issues with. What is accepted from others is a
/// [`SignatureScheme`] and wider.
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

    const fn scheme(self) -> SignatureScheme {
        match self {
            Self::RsaPkcs1Sha256 => SignatureScheme::RsaPkcs1(SignatureDigest::Sha256),
            Self::EcdsaP256Sha256 => SignatureScheme::Ecdsa(SignatureDigest::Sha256),
        }
    }
}

/// Why a public key cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublicKeyError {
    /// Not a SubjectPublicKeyInfo.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// An RSA modulus that is too short, or absurdly long.
    #[error("an RSA key of {bits} bits, at least {RSA_BITS_MIN} and at most {RSA_BITS_MAX} are accepted")]
    ModulusSize {
        /// Bits of the modulus.
        bits: usize,
    },
    /// An RSA exponent that is even, below 3, or absurdly long.
    #[error(
        "an RSA exponent of {bits} bits; odd ones from 3 on and up to {RSA_EXPONENT_BITS_MAX} bits are accepted"
    )]
    Exponent {
        /// Bits of the exponent.
        bits: usize,
    },
    /// Another kind of key, another curve, or a point that is not on it.
    #[error("a public key that is not supported")]
    Unsupported,
}

/// What kind of key it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyKind {
    /// rsaEncryption, or id-RSASSA-PSS without parameters.
    Rsa,
    /// id-RSASSA-PSS: signs with PSS only, with this digest and at least this much salt if it says so.
    RsaPss {
        /// Digest and least octets of salt, if the key restricts them: RFC 4055 §3.1.
        restriction: Option<(SignatureDigest, u16)>,
    },
    /// secp256r1.
    P256,
    /// secp384r1.
    P384,
    /// secp521r1.
    P521,
    /// Ed25519.
    Ed25519,
}

/// A public key kept parsed: parsing costs a sixth of an RSA verification.
#[derive(Clone)]
pub struct PublicKey {
    parsed: ParsedPublicKey,
    kind: KeyKind,
    /// The scheme that `parsed` verifies without being parsed again.
    swift: SignatureScheme,
}

impl PublicKey {
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
        let name = identifier.object_identifier("public key algorithm")?;
        let parameters =
            if identifier.is_empty() { None } else { Some(identifier.any("public key parameters")?) };
        identifier.finish("public key algorithm")?;
        let key = fields.expect(tag::BIT_STRING, "subjectPublicKey")?;
        let bits = key.whole_octets("subjectPublicKey")?;
        fields.finish("subjectPublicKeyInfo")?;

        let is = |known: ObjectIdentifier| known.as_bytes() == name;
        if is(oid::RSA_ENCRYPTION) || is(oid::RSASSA_PSS) {
            let kind = if is(oid::RSASSA_PSS) { pss_kind(parameters.as_ref())? } else { KeyKind::Rsa };
            // RFC 3279 §2.3.1: NULL must be there.
            if kind == KeyKind::Rsa && parameters.is_none_or(|null| null.raw != [tag::NULL, 0]) {
                return Err(PublicKeyError::Unsupported);
            }
            check_rsa(read_rsa(&key, bits)?)?;
            return Self::of(
                &RSA_PKCS1_2048_8192_SHA256,
                bits,
                kind,
                SignatureAlgorithm::RsaPkcs1Sha256.scheme(),
            );
        }
        if is(oid::ED25519) && parameters.is_none() && bits.len() == 32 {
            return Self::of(&ED25519, bits, KeyKind::Ed25519, SignatureScheme::Ed25519);
        }
        let Some(curve) = parameters.filter(|curve| is(oid::EC_PUBLIC_KEY) && curve.tag == tag::OID) else {
            return Err(PublicKeyError::Unsupported);
        };
        // RFC 5480 §2.2: the uncompressed point must be supported; nothing else is.
        for (named, octets, kind) in [
            (oid::SECP256R1, 65, KeyKind::P256),
            (oid::SECP384R1, 97, KeyKind::P384),
            (oid::SECP521R1, 133, KeyKind::P521),
        ] {
            if named.as_bytes() == curve.content && bits.len() == octets {
                let (digest, algorithm): (_, &'static dyn VerificationAlgorithm) = match kind {
                    KeyKind::P384 => (SignatureDigest::Sha384, &ECDSA_P384_SHA384_ASN1),
                    KeyKind::P521 => (SignatureDigest::Sha512, &ECDSA_P521_SHA512_ASN1),
                    _ => (SignatureDigest::Sha256, &ECDSA_P256_SHA256_ASN1),
                };
                return Self::of(algorithm, bits, kind, SignatureScheme::Ecdsa(digest));
            }
        }
        Err(PublicKeyError::Unsupported)
    }

    fn of(
        algorithm: &'static dyn VerificationAlgorithm,
        bits: &[u8],
        kind: KeyKind,
        swift: SignatureScheme,
    ) -> Result<Self, PublicKeyError> {
        let parsed = ParsedPublicKey::new(algorithm, bits).map_err(|_| PublicKeyError::Unsupported)?;
        Ok(Self { parsed, kind, swift })
    }

    /// What kind of key it is.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// About how many RSA-2048 verifications a verification with this key takes (measured with aws-lc-rs 1.19 on
    /// x86-64, rounded up).
    pub(crate) fn verification_cost(&self) -> usize {
        match self.kind {
            KeyKind::Rsa | KeyKind::RsaPss { .. } => {
                let times = self.key_octets().len().div_ceil(RSA_BITS_MIN / 8);
                times * times
            }
            KeyKind::P256 | KeyKind::Ed25519 => 5,
            KeyKind::P384 => 20,
            KeyKind::P521 => 30,
        }
    }

    /// The octets of subjectPublicKey: what key identifiers are taken of.
    pub(crate) fn key_octets(&self) -> &[u8] {
        self.parsed.as_ref()
    }

    /// Whether `signature` is this key's over `message` by `scheme`. A scheme that the key is not for
    /// verifies nothing.
    pub fn verifies(&self, scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> bool {
        let may_be_pkcs1 = !matches!(self.kind, KeyKind::RsaPss { .. });
        if scheme == self.swift && may_be_pkcs1 {
            return self.parsed.verify_sig(message, signature).is_ok();
        }
        if let SignatureScheme::RsaPss { digest, salt_octets } = scheme {
            return self.verifies_pss(digest, salt_octets, message, signature);
        }
        self.algorithm_of(scheme).is_some_and(|algorithm| {
            UnparsedPublicKey::new(algorithm, self.key_octets()).verify(message, signature).is_ok()
        })
    }

    /// [`Self::verifies`] for a message of which only the digest is at hand. Ed25519 signs no digest (RFC 8032 §5.1),
    /// so it verifies nothing.
    pub(crate) fn verifies_digest(&self, scheme: SignatureScheme, digest: &Digest, signature: &[u8]) -> bool {
        if let SignatureScheme::RsaPss { digest: named, salt_octets } = scheme {
            return self.pss_parameters(named, salt_octets).is_some_and(|parameters| {
                parameters.verify_digest_sig(self.key_octets(), digest, signature).is_ok()
            });
        }
        let algorithm = self.algorithm_of(scheme).filter(|_| scheme.digest().is_some());
        algorithm.is_some_and(|algorithm| {
            algorithm.verify_digest_sig(self.key_octets(), digest, signature).is_ok()
        })
    }

    /// The library's algorithm for a scheme of this kind of key, except for PSS, whose parameters vary.
    fn algorithm_of(&self, scheme: SignatureScheme) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (scheme, self.kind) {
            (SignatureScheme::RsaPkcs1(digest), KeyKind::Rsa) => match digest {
                SignatureDigest::Sha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                SignatureDigest::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
                SignatureDigest::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
                SignatureDigest::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
            },
            (SignatureScheme::Ecdsa(SignatureDigest::Sha256), KeyKind::P256) => &ECDSA_P256_SHA256_ASN1,
            (SignatureScheme::Ecdsa(SignatureDigest::Sha384), KeyKind::P256) => &ECDSA_P256_SHA384_ASN1,
            (SignatureScheme::Ecdsa(SignatureDigest::Sha512), KeyKind::P256) => &ECDSA_P256_SHA512_ASN1,
            (SignatureScheme::Ecdsa(SignatureDigest::Sha256), KeyKind::P384) => &ECDSA_P384_SHA256_ASN1,
            (SignatureScheme::Ecdsa(SignatureDigest::Sha384), KeyKind::P384) => &ECDSA_P384_SHA384_ASN1,
            (SignatureScheme::Ecdsa(SignatureDigest::Sha512), KeyKind::P384) => &ECDSA_P384_SHA512_ASN1,
            (SignatureScheme::Ecdsa(SignatureDigest::Sha256), KeyKind::P521) => &ECDSA_P521_SHA256_ASN1,
            (SignatureScheme::Ecdsa(SignatureDigest::Sha384), KeyKind::P521) => &ECDSA_P521_SHA384_ASN1,
            (SignatureScheme::Ecdsa(SignatureDigest::Sha512), KeyKind::P521) => &ECDSA_P521_SHA512_ASN1,
            (SignatureScheme::Ed25519, KeyKind::Ed25519) => &ED25519,
            _ => return None,
        })
    }

    fn verifies_pss(
        &self,
        digest: SignatureDigest,
        salt_octets: u16,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let Some(parameters) = self.pss_parameters(digest, salt_octets) else { return false };
        let octets = self.key_octets();
        let mut reader = Reader::new(octets);
        let Ok(key) = reader.any("RSAPublicKey") else { return false };
        let Ok((n, e)) = read_rsa(&key, octets) else { return false };
        RsaPublicKeyComponents { n, e }.verify(&parameters, message, signature).is_ok()
    }

    /// PSS with this digest and salt, if the key may be used so.
    fn pss_parameters(&self, digest: SignatureDigest, salt_octets: u16) -> Option<RsaParameters> {
        match self.kind {
            KeyKind::Rsa | KeyKind::RsaPss { restriction: None } => {}
            KeyKind::RsaPss { restriction: Some((only, salt_min)) }
                if only == digest && salt_octets >= salt_min => {}
            _ => return None,
        }
        let parameters = match digest {
            SignatureDigest::Sha1 => return None,
            SignatureDigest::Sha256 => RSA_PSS_2048_8192_SHA256,
            SignatureDigest::Sha384 => RSA_PSS_2048_8192_SHA384,
            SignatureDigest::Sha512 => RSA_PSS_2048_8192_SHA512,
        };
        Some(parameters.with_pss_salt_length(RsaPssSaltLength::Custom(salt_octets)))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A card holder's key is as telling as a name.
        f.debug_struct("PublicKey").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Modulus and exponent of an RSAPublicKey, without leading zeros: RFC 8017 appendix A.1.1.
fn read_rsa<'a>(place: &Tlv<'_>, octets: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let fault = |_| place.malformed("RSAPublicKey");
    let mut fields = Reader::only_sequence(octets, "RSAPublicKey").map_err(fault)?;
    let mut positive = |what| -> Result<&'a [u8], Malformed> {
        let integer = fields.expect(tag::INTEGER, what).and_then(|tlv| tlv.integer(what)).map_err(fault)?;
        match integer {
            [0, rest @ ..] if !rest.is_empty() => Ok(rest),
            [first, ..] if *first >= 0x80 || *first == 0 => Err(place.malformed("RSAPublicKey")),
            rest => Ok(rest),
        }
    };
    let (n, e) = (positive("modulus")?, positive("publicExponent")?);
    fields.finish("RSAPublicKey").map_err(fault)?;
    Ok((n, e))
}

/// Sizes that count and cost no more than they may, of modulus and exponent.
fn check_rsa((n, e): (&[u8], &[u8])) -> Result<(), PublicKeyError> {
    let bits = bits(n);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(PublicKeyError::ModulusSize { bits });
    }
    let is_odd = e.last().is_some_and(|last| last & 1 == 1);
    match self::bits(e) {
        bits if !is_odd || !(2..=RSA_EXPONENT_BITS_MAX).contains(&bits) => {
            Err(PublicKeyError::Exponent { bits })
        }
        _ => Ok(()),
    }
}

/// Bits of a number without leading zero octets.
fn bits(number: &[u8]) -> usize {
    number.len() * 8 - number.first().map_or(0, |first| first.leading_zeros() as usize)
}

/// Whether a key that nothing is verified with is strong enough to be certified: an RSA modulus of a size
/// that counts, or any other kind of key, known here or not (a leaf may be for key agreement).
pub(crate) fn check_size(spki: &Tlv<'_>) -> Result<(), PublicKeyError> {
    let mut fields = spki.inside();
    let mut identifier = fields.expect(tag::SEQUENCE, "public key algorithm")?.inside();
    let name = identifier.object_identifier("public key algorithm")?;
    let key = fields.expect(tag::BIT_STRING, "subjectPublicKey")?;
    fields.finish("subjectPublicKeyInfo")?;
    if name == oid::EC_PUBLIC_KEY.as_bytes() && identifier.peek() != Some(tag::OID) {
        // RFC 5480 §2.1.1: curves are named; a generator of one's own choice proves nothing.
        return Err(PublicKeyError::Unsupported);
    }
    if [oid::RSA_ENCRYPTION, oid::RSASSA_PSS].iter().any(|known| known.as_bytes() == name) {
        check_rsa(read_rsa(&key, key.whole_octets("subjectPublicKey")?)?)?;
    }
    Ok(())
}

/// An RSASSA-PSS key may restrict digest and salt: RFC 4055 §1.2, §3.1.
fn pss_kind(parameters: Option<&Tlv<'_>>) -> Result<KeyKind, PublicKeyError> {
    let Some(parameters) = parameters else { return Ok(KeyKind::RsaPss { restriction: None }) };
    match crate::signature_scheme::read_pss(parameters) {
        Ok(SignatureScheme::RsaPss { digest, salt_octets }) => {
            Ok(KeyKind::RsaPss { restriction: Some((digest, salt_octets)) })
        }
        _ => Err(PublicKeyError::Unsupported),
    }
}

/// A key of the kinds that this house issues for: RSA of 2048 bits or more, or P-256.
#[derive(Clone)]
pub struct VerifyingKey {
    key: PublicKey,
    algorithm: SignatureAlgorithm,
}

impl VerifyingKey {
    /// Parses a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    ///
    /// # Errors
    /// Not that structure, trailing data, or a key that is not supported.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, PublicKeyError> {
        PublicKey::from_spki_der(spki).and_then(Self::from_key)
    }

    pub(crate) fn from_spki(spki: &Tlv<'_>) -> Result<Self, PublicKeyError> {
        PublicKey::from_spki(spki).and_then(Self::from_key)
    }

    fn from_key(key: PublicKey) -> Result<Self, PublicKeyError> {
        let algorithm = match key.kind() {
            KeyKind::Rsa => SignatureAlgorithm::RsaPkcs1Sha256,
            KeyKind::P256 => SignatureAlgorithm::EcdsaP256Sha256,
            _ => return Err(PublicKeyError::Unsupported),
        };
        Ok(Self { key, algorithm })
    }

    /// The algorithm of signatures by this key.
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Whether `signature` is this key's over `message` (SHA-256 inside).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verifies(self.algorithm.scheme(), message, signature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A card holder's key is as telling as a name.
        f.debug_struct("VerifyingKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{self, KeyPair as _};

    /// `digest` and `verifies` are of one opinion for every scheme, on right and wrong signatures.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the library signs with no other generator than its own")]
    fn a_running_digest_verifies_what_the_whole_message_does() {
        use SignatureDigest::{Sha256, Sha384, Sha512};
        let rng = SystemRandom::new();
        let message = b"a list, as good as any";
        let rsa = signature::RsaKeyPair::from_pkcs8(crate::testing::rsa_key(0)).unwrap();
        let rsa_key = PublicKey::from_spki_der(&crate::testing::rsa_spki(0)).unwrap();
        let mut cases = Vec::new();
        let with_rsa = |padding: &'static dyn signature::RsaEncoding| {
            let mut out = vec![0; rsa.public_modulus_len()];
            rsa.sign(padding, &rng, message, &mut out).unwrap();
            out
        };
        let pss = |digest| SignatureScheme::RsaPss { digest, salt_octets: digest.octets() as u16 };
        cases.push((
            rsa_key.clone(),
            SignatureScheme::RsaPkcs1(Sha256),
            with_rsa(&signature::RSA_PKCS1_SHA256),
        ));
        cases.push((
            rsa_key.clone(),
            SignatureScheme::RsaPkcs1(Sha384),
            with_rsa(&signature::RSA_PKCS1_SHA384),
        ));
        cases.push((
            rsa_key.clone(),
            SignatureScheme::RsaPkcs1(Sha512),
            with_rsa(&signature::RSA_PKCS1_SHA512),
        ));
        cases.push((rsa_key.clone(), pss(Sha256), with_rsa(&signature::RSA_PSS_SHA256)));
        cases.push((rsa_key, pss(Sha512), with_rsa(&signature::RSA_PSS_SHA512)));
        for (algorithm, curve, scheme) in [
            (
                &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                crate::oid::SECP256R1,
                SignatureScheme::Ecdsa(Sha256),
            ),
            (
                &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
                crate::oid::SECP384R1,
                SignatureScheme::Ecdsa(Sha384),
            ),
            (
                &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
                crate::oid::SECP521R1,
                SignatureScheme::Ecdsa(Sha512),
            ),
        ] {
            let pair = signature::EcdsaKeyPair::generate(algorithm).unwrap();
            let identifier = write::sequence(&[&write::oid(&crate::oid::EC_PUBLIC_KEY), &write::oid(&curve)]);
            let spki = write::sequence(&[&identifier, &write::bit_string(pair.public_key().as_ref())]);
            let key = PublicKey::from_spki_der(&spki).unwrap();
            cases.push((key, scheme, pair.sign(&rng, message).unwrap().as_ref().to_vec()));
        }
        for (place, (key, scheme, good)) in cases.iter().enumerate() {
            let algorithm = match scheme.digest().unwrap() {
                Sha384 => &digest::SHA384,
                Sha512 => &digest::SHA512,
                _ => &digest::SHA256,
            };
            let (right, wrong) = (digest::digest(algorithm, message), digest::digest(algorithm, b"another"));
            assert!(
                key.verifies(*scheme, message, good) && key.verifies_digest(*scheme, &right, good),
                "{scheme:?}"
            );
            assert!(!key.verifies_digest(*scheme, &wrong, good), "{scheme:?}");
            for (other, (_, other_scheme, other_good)) in cases.iter().enumerate() {
                let (whole, along) = (
                    key.verifies(*scheme, message, other_good),
                    key.verifies_digest(*scheme, &right, other_good),
                );
                assert_eq!((whole, along), (other == place, other == place), "{scheme:?} {other_scheme:?}");
            }
        }
        let pair = signature::Ed25519KeyPair::generate().unwrap();
        let identifier = write::sequence(&[&write::oid(&crate::oid::ED25519)]);
        let spki = write::sequence(&[&identifier, &write::bit_string(pair.public_key().as_ref())]);
        let key = PublicKey::from_spki_der(&spki).unwrap();
        let signed = pair.sign(message);
        assert!(key.verifies(SignatureScheme::Ed25519, message, signed.as_ref()));
        let right = digest::digest(&digest::SHA512, message);
        assert!(!key.verifies_digest(SignatureScheme::Ed25519, &right, signed.as_ref()));
    }
}
