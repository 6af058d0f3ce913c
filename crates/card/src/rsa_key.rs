//! The RSA-2048 keys that cards hold.
//!
//! Signing goes through aws-lc wherever it can: a SHA-2 DigestInfo, which is what every touch uses.
//! What aws-lc has no interface for (PKCS#1 v1.5 padding over data as given, which the card's PSO
//! command offers) is done in a module beside this one, by CRT in constant time.

mod crt;

use aws_lc_rs::digest::{self, Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use std::fmt;
use zeroize::Zeroizing;

/// Octets of modulus and signature.
pub const RSA_OCTETS: usize = 256;
/// The longest data that PKCS#1 v1.5 padding takes under a 2,048-bit modulus, RFC 8017 §9.2: 11 octets less.
pub const RAW_DATA_MAX: usize = RSA_OCTETS - 11;

/// DigestInfo prefixes of RFC 8017 §9.2 note 1, up to the digest.
pub(crate) const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];
const SHA384_PREFIX: [u8; 19] = [
    0x30, 0x41, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00,
    0x04, 0x30,
];
const SHA512_PREFIX: [u8; 19] = [
    0x30, 0x51, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00,
    0x04, 0x40,
];

/// Why a key cannot be used, or a signature not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RsaKeyError {
    /// Not a PKCS#8 RSA key whose parts fit together.
    #[error("not a PKCS#8 RSA key, or its parts do not fit together")]
    Rejected,
    /// A modulus of another size than 2,048 bits.
    #[error("not a 2048-bit key")]
    Size,
    /// Data that the padding does not take: 1 to 245 octets.
    #[error("1 to 245 octets can be signed as given, not {0}")]
    DataLength(usize),
    /// A block or a cryptogram that is not below the modulus.
    #[error("a block that is not below the modulus")]
    Range,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
    /// The signature did not verify under the own public key. It was not released: a faulty CRT
    /// signature would give the factors away.
    #[error("the signature did not verify under its own key and was withheld")]
    Fault,
}

/// An RSA-2048 key pair of a card. No `Clone`, no serialisation but [`Self::pkcs8_der`], no `Debug` of
/// its parts.
pub struct CardRsaKey {
    pair: RsaKeyPair,
    modulus: [u8; RSA_OCTETS],
    exponent: Vec<u8>,
    spki: Vec<u8>,
    crt: crt::CrtParts,
}

impl fmt::Debug for CardRsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardRsaKey(2048 bits, …)")
    }
}

impl CardRsaKey {
    /// From a PKCS#8 PrivateKeyInfo in DER, RFC 5208 §5; the library checks that its parts fit together.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, RsaKeyError> {
        Self::from_pair(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| RsaKeyError::Rejected)?)
    }

    /// A new key.
    ///
    /// The one place of this crate where randomness does not come in as an argument: key generation
    /// stays inside the cryptographic library and its own generator, because no caller should be able
    /// to choose the primes.
    pub fn generate() -> Result<Self, RsaKeyError> {
        Self::from_pair(RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| RsaKeyError::Library)?)
    }

    fn from_pair(pair: RsaKeyPair) -> Result<Self, RsaKeyError> {
        if pair.public_modulus_len() != RSA_OCTETS {
            return Err(RsaKeyError::Size);
        }
        let exported = AsDer::as_der(&pair).map_err(|_| RsaKeyError::Library)?;
        let parts = crt::parse_pkcs8(exported.as_ref())?;
        let spki = AsDer::as_der(pair.public_key()).map_err(|_| RsaKeyError::Library)?.as_ref().to_vec();
        Ok(Self { pair, modulus: parts.modulus, exponent: parts.exponent, spki, crt: parts.secret })
    }

    /// The modulus, big-endian.
    pub const fn public_modulus(&self) -> &[u8; RSA_OCTETS] {
        &self.modulus
    }

    /// The public exponent, big-endian without leading zeros.
    pub fn public_exponent(&self) -> &[u8] {
        &self.exponent
    }

    /// The SubjectPublicKeyInfo in DER, RFC 5280 §4.1.2.7.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The private key as PKCS#8 PrivateKeyInfo in DER, wiped when dropped: for the file it is kept in.
    pub fn pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, RsaKeyError> {
        let der = AsDer::as_der(&self.pair).map_err(|_| RsaKeyError::Library)?;
        Ok(Zeroizing::new(der.as_ref().to_vec()))
    }

    /// PKCS#1 v1.5 with SHA-256 over a message, RFC 8017 §8.2.1.
    pub fn sign_sha256(&self, message: &[u8]) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        self.sign_imported(&RSA_PKCS1_SHA256, &digest::digest(&SHA256, message))
    }

    /// PKCS#1 v1.5 with SHA-256 over a message whose digest is given.
    pub fn sign_sha256_digest(&self, sha256: &[u8; 32]) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        let digest = Digest::import_less_safe(sha256, &SHA256).map_err(|_| RsaKeyError::Library)?;
        self.sign_imported(&RSA_PKCS1_SHA256, &digest)
    }

    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 octets, over a message whose digest
    /// is given, RFC 8017 §8.1.1.
    pub fn sign_pss_sha256_digest(&self, sha256: &[u8; 32]) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        let digest = Digest::import_less_safe(sha256, &SHA256).map_err(|_| RsaKeyError::Library)?;
        self.sign_imported(&RSA_PSS_SHA256, &digest)
    }

    /// PKCS#1 v1.5 padding (block type 1) over `data` as given, 1 to 245 octets: RFC 8017 §8.2.1 with
    /// the T of §9.2 being `data`. Callers put a DigestInfo there; nothing here asks for one.
    pub fn sign_pkcs1_raw(&self, data: &[u8]) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        if data.is_empty() || data.len() > RAW_DATA_MAX {
            return Err(RsaKeyError::DataLength(data.len()));
        }
        let fast: [(&[u8], &'static digest::Algorithm, &'static dyn RsaEncoding); 3] = [
            (&SHA256_PREFIX, &SHA256, &RSA_PKCS1_SHA256),
            (&SHA384_PREFIX, &SHA384, &RSA_PKCS1_SHA384),
            (&SHA512_PREFIX, &SHA512, &RSA_PKCS1_SHA512),
        ];
        for (prefix, algorithm, padding) in fast {
            let hash =
                data.strip_prefix(prefix).and_then(|hash| Digest::import_less_safe(hash, algorithm).ok());
            if let Some(hash) = hash {
                return self.sign_imported(padding, &hash);
            }
        }
        self.crt.sign(&self.modulus, &self.exponent, data)
    }

    /// RSAES-OAEP with SHA-256 and MGF1 with SHA-256, RFC 8017 §7.1.2. `Range` where the cryptogram
    /// is not below the modulus, `Rejected` where it is not of 256 octets or not an encryption.
    pub fn decrypt_oaep_sha256(&self, cryptogram: &[u8]) -> Result<Zeroizing<Vec<u8>>, RsaKeyError> {
        if cryptogram.len() != RSA_OCTETS {
            return Err(RsaKeyError::Rejected);
        }
        if cryptogram >= self.modulus.as_slice() {
            return Err(RsaKeyError::Range);
        }
        let private =
            PrivateDecryptingKey::from_pkcs8(&self.pkcs8_der()?).map_err(|_| RsaKeyError::Library)?;
        let private = OaepPrivateDecryptingKey::new(private).map_err(|_| RsaKeyError::Library)?;
        let mut message = Zeroizing::new(vec![0; private.min_output_size()]);
        let length = private
            .decrypt(&OAEP_SHA256_MGF1SHA256, cryptogram, &mut message, None)
            .map_err(|_| RsaKeyError::Rejected)?
            .len();
        message.truncate(length);
        Ok(message)
    }

    /// RSASP1 over a block that was padded elsewhere, RFC 8017 §5.2.1. Any block below the modulus is
    /// taken, as cards do that leave padding to the terminal: PKCS#1 v1.5, PSS, and what else there may be.
    pub fn sign_block(&self, block: &[u8; RSA_OCTETS]) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        match type_one_data(block) {
            // The library is faster where it knows the digest.
            Some(data) => self.sign_pkcs1_raw(data),
            None => self.crt.sign_block(&self.modulus, &self.exponent, block),
        }
    }

    fn sign_imported(
        &self,
        padding: &'static dyn RsaEncoding,
        hash: &Digest,
    ) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        let mut signature = [0u8; RSA_OCTETS];
        self.pair.sign_digest(padding, hash, &mut signature).map_err(|_| RsaKeyError::Library)?;
        Ok(signature)
    }
}

/// Whether `signature` is PKCS#1 v1.5 (block type 1) over `data` as given, 1 to 245 octets, under this
/// modulus and exponent 65,537: RFC 8017 §8.2.2 with the T of §9.2 being `data`. The whole block is
/// compared, not searched. For data that no hash of the cryptographic library makes, such as the card
/// face's three digests in one DigestInfo.
pub fn pkcs1_raw_holds(modulus: &[u8; RSA_OCTETS], data: &[u8], signature: &[u8; RSA_OCTETS]) -> bool {
    crt::holds(modulus, &[1, 0, 1], data, signature).unwrap_or(false)
}

/// A block of type 1 over 1 to 245 octets of data, RFC 8017 §9.2: for cards that leave padding outside.
pub(crate) fn type_one_block(data: &[u8]) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
    crt::padded_block(data)
}

/// The data in a block of type 1, `00 01 FF…FF 00 data` with eight FF at least: RFC 8017 §9.2.
fn type_one_data(block: &[u8; RSA_OCTETS]) -> Option<&[u8]> {
    let padded = block.strip_prefix(&[0x00, 0x01])?;
    let filling = padded.iter().take_while(|octet| **octet == 0xFF).count();
    let data = padded.get(filling..)?.strip_prefix(&[0x00])?;
    (filling >= 8 && !data.is_empty()).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    use aws_lc_rs::signature::{
        RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };

    const SHA1_PREFIX: [u8; 15] =
        [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2B, 0x0E, 0x03, 0x02, 0x1A, 0x05, 0x00, 0x04, 0x14];

    fn holds(
        key: &CardRsaKey,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        UnparsedPublicKey::new(algorithm, key.spki_der()).verify(message, signature).is_ok()
    }

    #[test]
    fn every_digest_info_verifies_under_the_library() {
        let key = CardRsaKey::generate().unwrap();
        let message = b"one touch";
        let cases: [(&[u8], &'static digest::Algorithm, &'static dyn VerificationAlgorithm); 4] = [
            (&SHA1_PREFIX, &SHA1_FOR_LEGACY_USE_ONLY, &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
            (&SHA256_PREFIX, &SHA256, &RSA_PKCS1_2048_8192_SHA256),
            (&SHA384_PREFIX, &SHA384, &RSA_PKCS1_2048_8192_SHA384),
            (&SHA512_PREFIX, &SHA512, &RSA_PKCS1_2048_8192_SHA512),
        ];
        for (prefix, algorithm, verification) in cases {
            let mut info = prefix.to_vec();
            info.extend_from_slice(digest::digest(algorithm, message).as_ref());
            // Both ways give the one deterministic PKCS#1 v1.5 signature.
            let signature = key.sign_pkcs1_raw(&info).unwrap();
            let slow = key.crt.sign(key.public_modulus(), key.public_exponent(), &info).unwrap();
            assert_eq!(signature, slow);
            assert!(pkcs1_raw_holds(key.public_modulus(), &info, &signature));
            assert!(!pkcs1_raw_holds(key.public_modulus(), &info[1..], &signature));
            assert!(holds(&key, verification, message, &signature));
            assert!(!holds(&key, verification, b"another", &signature));
        }
        let hash: [u8; 32] = digest::digest(&SHA256, message).as_ref().try_into().unwrap();
        assert_eq!(key.sign_sha256(message).unwrap(), key.sign_sha256_digest(&hash).unwrap());
        assert!(holds(&key, &RSA_PSS_2048_8192_SHA256, message, &key.sign_pss_sha256_digest(&hash).unwrap()));
    }

    #[test]
    fn lengths_at_the_edges() {
        let key = CardRsaKey::generate().unwrap();
        for length in [1, 32, 51, 244, RAW_DATA_MAX] {
            let data = vec![0xA5; length];
            let signature = key.sign_pkcs1_raw(&data).unwrap();
            assert!(pkcs1_raw_holds(key.public_modulus(), &data, &signature), "{length}");
            let mut bent = signature;
            bent[200] ^= 1;
            assert!(!pkcs1_raw_holds(key.public_modulus(), &data, &bent), "{length}");
        }
        assert_eq!(key.sign_pkcs1_raw(&[]), Err(RsaKeyError::DataLength(0)));
        assert_eq!(key.sign_pkcs1_raw(&[0; 246]), Err(RsaKeyError::DataLength(246)));
        // Nothing that is not below the modulus is a signature.
        assert!(!pkcs1_raw_holds(key.public_modulus(), b"x", key.public_modulus()));
        assert!(!pkcs1_raw_holds(&[0; RSA_OCTETS], b"x", &[0; RSA_OCTETS]));
        // A DigestInfo header with a hash of the wrong length is data like any other.
        let mut odd = SHA256_PREFIX.to_vec();
        odd.extend_from_slice(&[1; 31]);
        assert!(key.sign_pkcs1_raw(&odd).is_ok());
    }

    #[test]
    fn export_and_import() {
        let key = CardRsaKey::generate().unwrap();
        let again = CardRsaKey::from_pkcs8(&key.pkcs8_der().unwrap()).unwrap();
        assert_eq!(key.public_modulus(), again.public_modulus());
        assert_eq!(again.public_exponent(), [1, 0, 1]);
        assert_eq!(key.sign_pkcs1_raw(b"x").unwrap(), again.sign_pkcs1_raw(b"x").unwrap());
        assert_eq!(format!("{key:?}"), "CardRsaKey(2048 bits, …)");
        assert!(matches!(CardRsaKey::from_pkcs8(b"no key"), Err(RsaKeyError::Rejected)));
        let bytes = key.pkcs8_der().unwrap();
        for end in (0..bytes.len()).step_by(13) {
            assert!(CardRsaKey::from_pkcs8(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn other_sizes_are_refused() {
        let big = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
        assert!(matches!(CardRsaKey::from_pair(big), Err(RsaKeyError::Size)));
    }

    /// Project Wycheproof has no vectors for making a signature but keys of every odd kind: with each
    /// 2,048-bit one the raw operation gives what the library gives, and the library verifies it.
    #[test]
    fn wycheproof_keys_sign() {
        use wycheproof::rsa_oaep::{TestName, TestSet};
        let mut run = 0;
        for name in TestName::all() {
            for group in TestSet::load(name).unwrap().test_groups {
                let Ok(key) = CardRsaKey::from_pkcs8(&group.pkcs8) else {
                    assert_ne!(group.key_size, 2048, "{name:?}");
                    continue;
                };
                let mut info = SHA256_PREFIX.to_vec();
                info.extend_from_slice(digest::digest(&SHA256, &group.pkcs8).as_ref());
                let raw = key.crt.sign(key.public_modulus(), key.public_exponent(), &info).unwrap();
                assert_eq!(raw, key.sign_pkcs1_raw(&info).unwrap());
                assert!(holds(&key, &RSA_PKCS1_2048_8192_SHA256, &group.pkcs8, &raw));
                run += 1;
            }
        }
        assert!(run > 10, "{run}");
    }
}
