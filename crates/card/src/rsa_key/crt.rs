//! The private operation of RSA by the Chinese remainder theorem, RFC 8017 §5.2.1, in constant-time
//! Montgomery arithmetic: for what the cryptographic library has no interface for.
//!
//! Every result is checked with the public key before it leaves (a fault in one half would give the
//! factors away). The key's parts are wiped on drop and on leaving the operation; the Montgomery
//! parameters that the arithmetic library copies on the stack are not, it offers no way to.

use super::{RAW_DATA_MAX, RSA_OCTETS, RsaKeyError};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{NonZero, Odd, U1024, U2048, Uint};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Sequence};
use zeroize::{Zeroize, Zeroizing};

const HALF_OCTETS: usize = RSA_OCTETS / 2;
/// `rsaEncryption`, RFC 8017 appendix A.1.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// RFC 5280 §4.1.1.2.
#[derive(Sequence)]
struct Algorithm<'a> {
    oid: ObjectIdentifier,
    parameters: AnyRef<'a>,
}

/// RFC 5208 §5, as the cryptographic library writes it: without attributes.
#[derive(Sequence)]
struct PrivateKeyInfo<'a> {
    version: u8,
    algorithm: Algorithm<'a>,
    private_key: &'a OctetStringRef,
}

/// RFC 8017 appendix A.1.2, two primes.
#[derive(Sequence)]
struct RsaPrivateKey<'a> {
    version: u8,
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
    private_exponent: UintRef<'a>,
    prime1: UintRef<'a>,
    prime2: UintRef<'a>,
    exponent1: UintRef<'a>,
    exponent2: UintRef<'a>,
    coefficient: UintRef<'a>,
}

/// The secret parts, big-endian.
pub(super) struct CrtParts {
    p: Zeroizing<[u8; HALF_OCTETS]>,
    q: Zeroizing<[u8; HALF_OCTETS]>,
    exponent_p: Zeroizing<[u8; HALF_OCTETS]>,
    exponent_q: Zeroizing<[u8; HALF_OCTETS]>,
    coefficient: Zeroizing<[u8; HALF_OCTETS]>,
}

/// What a key file holds.
pub(super) struct KeyParts {
    pub(super) modulus: [u8; RSA_OCTETS],
    pub(super) exponent: Vec<u8>,
    pub(super) secret: CrtParts,
}

/// Left-pads to `N` octets.
fn padded<const N: usize>(octets: &[u8]) -> Result<[u8; N], RsaKeyError> {
    let start = N.checked_sub(octets.len()).ok_or(RsaKeyError::Size)?;
    let mut out = [0u8; N];
    for (to, from) in out.iter_mut().skip(start).zip(octets) {
        *to = *from;
    }
    Ok(out)
}

/// Parses the DER that the cryptographic library exports (it has checked the key already).
pub(super) fn parse_pkcs8(bytes: &[u8]) -> Result<KeyParts, RsaKeyError> {
    let info = PrivateKeyInfo::from_der(bytes).map_err(|_| RsaKeyError::Rejected)?;
    if info.version != 0 || info.algorithm.oid != RSA_ENCRYPTION || !info.algorithm.parameters.is_null() {
        return Err(RsaKeyError::Rejected);
    }
    let inner = RsaPrivateKey::from_der(info.private_key.as_bytes()).map_err(|_| RsaKeyError::Rejected)?;
    // Version 1 would be a key of more than two primes.
    if inner.version != 0 || inner.private_exponent.as_bytes().is_empty() {
        return Err(RsaKeyError::Rejected);
    }
    Ok(KeyParts {
        modulus: padded(inner.modulus.as_bytes())?,
        exponent: inner.public_exponent.as_bytes().to_vec(),
        secret: CrtParts {
            p: Zeroizing::new(padded(inner.prime1.as_bytes())?),
            q: Zeroizing::new(padded(inner.prime2.as_bytes())?),
            exponent_p: Zeroizing::new(padded(inner.exponent1.as_bytes())?),
            exponent_q: Zeroizing::new(padded(inner.exponent2.as_bytes())?),
            coefficient: Zeroizing::new(padded(inner.coefficient.as_bytes())?),
        },
    })
}

/// A secret integer, wiped when dropped.
struct Secret<const LIMBS: usize>(Uint<LIMBS>);

impl<const LIMBS: usize> Drop for Secret<LIMBS> {
    fn drop(&mut self) {
        self.0.as_mut_words().as_mut_slice().zeroize();
    }
}

/// One prime with its Montgomery parameters.
struct Prime {
    value: Secret<{ U1024::LIMBS }>,
    parameters: FixedMontyParams<{ U1024::LIMBS }>,
}

impl Prime {
    fn new(octets: &[u8; HALF_OCTETS]) -> Result<Self, RsaKeyError> {
        let value = Secret(U1024::from_be_slice(octets));
        let odd = Odd::new(value.0).into_option().ok_or(RsaKeyError::Rejected)?;
        Ok(Self { parameters: FixedMontyParams::new(odd), value })
    }

    fn non_zero(&self) -> Result<NonZero<U1024>, RsaKeyError> {
        NonZero::new(self.value.0).into_option().ok_or(RsaKeyError::Rejected)
    }

    /// `base ^ exponent mod self`.
    fn power(
        &self,
        base: &U2048,
        exponent: &[u8; HALF_OCTETS],
    ) -> Result<Secret<{ U1024::LIMBS }>, RsaKeyError> {
        let reduced = Secret(base.rem(&self.non_zero()?));
        let exponent = Secret(U1024::from_be_slice(exponent));
        Ok(Secret(FixedMontyForm::new(&reduced.0, &self.parameters).pow(&exponent.0).retrieve()))
    }
}

impl CrtParts {
    /// PKCS#1 v1.5 over data as given, RFC 8017 §8.2.1.
    pub(super) fn sign(
        &self,
        modulus: &[u8; RSA_OCTETS],
        exponent: &[u8],
        data: &[u8],
    ) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        self.sign_block(modulus, exponent, &padded_block(data)?)
    }

    /// RSASP1 over a block, RFC 8017 §5.2.1, checked with the public key before release.
    pub(super) fn sign_block(
        &self,
        modulus: &[u8; RSA_OCTETS],
        exponent: &[u8],
        block: &[u8; RSA_OCTETS],
    ) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        let message = U2048::from_be_slice(block);
        // The block is no secret of the card's: whoever sent it may know how it compares.
        if message >= U2048::from_be_slice(modulus) {
            return Err(RsaKeyError::Range);
        }
        let signature = self.private_operation(&message)?;
        if public_operation(modulus, exponent, &signature)? != message {
            return Err(RsaKeyError::Fault);
        }
        let mut out = [0u8; RSA_OCTETS];
        for (to, from) in out.iter_mut().zip(signature.to_be_bytes().as_slice()) {
            *to = *from;
        }
        Ok(out)
    }

    /// RFC 8017 §5.2.1 step 2b.
    fn private_operation(&self, message: &U2048) -> Result<U2048, RsaKeyError> {
        let p = Prime::new(&self.p)?;
        let q = Prime::new(&self.q)?;
        let from_p = p.power(message, &self.exponent_p)?;
        let from_q = q.power(message, &self.exponent_q)?;
        let in_p = |value: &U1024| FixedMontyForm::new(value, &p.parameters);
        // q may be larger than p.
        let reduced_q = Secret(from_q.0.rem(&p.non_zero()?));
        let coefficient = Secret(U1024::from_be_slice(self.coefficient.as_slice()));
        let difference = in_p(&from_p.0).sub(&in_p(&reduced_q.0));
        let h = Secret(difference.mul(&in_p(&coefficient.0)).retrieve());
        let product = Secret(h.0.concatenating_mul::<{ U1024::LIMBS }, { U2048::LIMBS }>(&q.value.0));
        Ok(product.0.wrapping_add(&from_q.0.resize::<{ U2048::LIMBS }>()))
    }
}

/// RFC 8017 §5.2.2. Everything in it is public: its bits may show in the timing.
fn public_operation(
    modulus: &[u8; RSA_OCTETS],
    exponent: &[u8],
    signature: &U2048,
) -> Result<U2048, RsaKeyError> {
    let n = Odd::new(U2048::from_be_slice(modulus)).into_option().ok_or(RsaKeyError::Rejected)?;
    if signature >= n.as_ref() {
        return Err(RsaKeyError::Rejected);
    }
    let e = Uint::<1>::from_be_slice(&padded::<8>(exponent)?);
    Ok(FixedMontyForm::new(signature, &FixedMontyParams::new_vartime(n)).pow_vartime(&e).retrieve())
}

/// Whether the signature is PKCS#1 v1.5 over data as given, RFC 8017 §8.2.2.
pub(super) fn holds(
    modulus: &[u8; RSA_OCTETS],
    exponent: &[u8],
    data: &[u8],
    signature: &[u8; RSA_OCTETS],
) -> Result<bool, RsaKeyError> {
    let expected = U2048::from_be_slice(&padded_block(data)?);
    Ok(public_operation(modulus, exponent, &U2048::from_be_slice(signature))? == expected)
}

/// EM = 00 01 FF…FF 00 T, RFC 8017 §9.2.
pub(super) fn padded_block(data: &[u8]) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
    if data.is_empty() || data.len() > RAW_DATA_MAX {
        return Err(RsaKeyError::DataLength(data.len()));
    }
    let mut block = [0xFFu8; RSA_OCTETS];
    let head = [0u8, 1].into_iter().chain(std::iter::repeat_n(0xFF, RSA_OCTETS - 3 - data.len())).chain([0]);
    for (to, from) in block.iter_mut().zip(head.chain(data.iter().copied())) {
        *to = from;
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsa_key::CardRsaKey;

    #[test]
    fn a_fault_in_one_half_is_withheld() {
        let mut key = CardRsaKey::generate().unwrap();
        let modulus = *key.public_modulus();
        key.crt.exponent_p[HALF_OCTETS - 1] ^= 2;
        assert_eq!(key.crt.sign(&modulus, &[1, 0, 1], b"data"), Err(RsaKeyError::Fault));
        // And through the front door: arbitrary data takes this way.
        assert_eq!(key.sign_pkcs1_raw(b"data"), Err(RsaKeyError::Fault));
    }

    #[test]
    fn block_type_one() {
        let block = padded_block(&[7; 3]).unwrap();
        assert_eq!(block[..3], [0, 1, 0xFF]);
        assert_eq!(block[251..], [0xFF, 0, 7, 7, 7]);
        assert_eq!(
            padded_block(&[7; RAW_DATA_MAX]).unwrap()[..12],
            [0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 0, 7]
        );
    }
}
