//! What the issuer puts into a Secure Element.

use crate::cvc::{CvcChain, PUBLIC_EXPONENT};
use crate::rsa_key::CardRsaKey;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use protocol::ids::SecureElementId;
use std::fmt;

/// Name of an unlock key: the first 8 octets of the SHA-256 of its uncompressed point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnlockKeyReference(pub [u8; 8]);

/// Why an image is not one of a Secure Element.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// The unlock key is not a point of P-256, uncompressed (65 octets) or as SubjectPublicKeyInfo.
    #[error("the unlock key is not a P-256 public key")]
    UnlockKey,
    /// The leaf does not certify the institution key.
    #[error("the terminal certificate is for another key")]
    Leaf,
    /// The accredited body's certificate does not verify the terminal's.
    #[error("the terminal certificate is not from the accredited body beside it")]
    Chain,
}

/// The platform's public unlock key, P-256.
pub struct UnlockPublicKey {
    pub(super) reference: UnlockKeyReference,
    point: [u8; 65],
    pub(super) parsed: ParsedPublicKey,
}

impl fmt::Debug for UnlockPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnlockPublicKey").field(&self.reference).finish()
    }
}

/// SubjectPublicKeyInfo of a P-256 key up to the point, RFC 5480 §2.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86,
    0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl UnlockPublicKey {
    /// From an uncompressed point (`04 x y`, 65 octets), SEC 1 §2.3.3.
    pub fn from_point(point: &[u8]) -> Result<Self, ImageError> {
        let point: [u8; 65] = point.try_into().map_err(|_| ImageError::UnlockKey)?;
        let parsed =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map_err(|_| ImageError::UnlockKey)?;
        let hash = digest(&SHA256, &point);
        let reference = hash.as_ref().first_chunk::<8>().copied().ok_or(ImageError::UnlockKey)?;
        Ok(Self { reference: UnlockKeyReference(reference), point, parsed })
    }

    /// From a SubjectPublicKeyInfo in DER.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, ImageError> {
        Self::from_point(spki.strip_prefix(&P256_SPKI_PREFIX).ok_or(ImageError::UnlockKey)?)
    }

    /// Its name, as in MSE SET.
    pub const fn reference(&self) -> UnlockKeyReference {
        self.reference
    }

    /// The uncompressed point.
    pub const fn point(&self) -> &[u8; 65] {
        &self.point
    }
}

/// What the issuer puts into a Secure Element.
#[derive(Debug)]
pub struct SecureElementImage {
    pub(super) secure_element: SecureElementId,
    pub(super) institution_key: CardRsaKey,
    pub(super) chain: CvcChain,
    pub(super) unlock_key: UnlockPublicKey,
}

impl SecureElementImage {
    /// An image whose parts fit together: the leaf certifies the institution key, the intermediate
    /// certifies the leaf.
    pub fn new(
        secure_element: SecureElementId,
        institution_key: CardRsaKey,
        chain: CvcChain,
        unlock_key: UnlockPublicKey,
    ) -> Result<Self, ImageError> {
        let leaf = &chain.leaf.body().subject;
        if institution_key.public_exponent() != PUBLIC_EXPONENT
            || leaf.modulus() != institution_key.public_modulus()
        {
            return Err(ImageError::Leaf);
        }
        chain.leaf.verify(&chain.intermediate.body().subject).map_err(|_| ImageError::Chain)?;
        Ok(Self { secure_element, institution_key, chain, unlock_key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlock_keys_are_points_of_p256() {
        assert!(matches!(UnlockPublicKey::from_point(&[4; 65]), Err(ImageError::UnlockKey)));
        assert!(matches!(UnlockPublicKey::from_point(&[]), Err(ImageError::UnlockKey)));
        assert!(matches!(UnlockPublicKey::from_spki_der(&[0x30]), Err(ImageError::UnlockKey)));
    }
}
