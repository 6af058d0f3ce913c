//! Card-verifiable certificates of the terminal chain, in the format the real card takes.
//!
//! The format is public by observation of cards; it has no dates and no role, rights follow from which
//! authority's key is referenced. Layout of the 297-octet body (`5F4E`):
//!
//! | offset | octets | field |
//! |---|---|---|
//! | 0 | 16 | issuer key reference |
//! | 16 | 16 | subject key reference |
//! | 32 | 5 | `90 03 010001`, the public exponent |
//! | 37 | 260 | `91 82 0100`, the modulus |
//!
//! The 256-octet signature (`5F37`) is PKCS#1 v1.5 with SHA-256 over the body's octets without their
//! header. Both stand in `7F21`.

use crate::rsa_key::{CardRsaKey, RSA_OCTETS, RsaKeyError};
use crate::tlv::{self, Tag, TlvError, TlvReader};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use std::fmt;

/// Octets of a body.
pub const CVC_BODY_LEN: usize = 297;
/// Octets of a whole `7F21` object.
pub const CVC_LEN: usize = 5 + CVC_OBJECTS_LEN;
const CVC_OBJECTS_LEN: usize = 5 + CVC_BODY_LEN + 5 + RSA_OCTETS;
/// The only public exponent of this format: F4.
pub const PUBLIC_EXPONENT: [u8; 3] = [1, 0, 1];

/// The certificate as a whole.
pub const TAG_CVC: Tag = Tag(0x7F21);
const TAG_BODY: Tag = Tag(0x5F4E);
const TAG_SIGNATURE: Tag = Tag(0x5F37);
const TAG_EXPONENT: Tag = Tag(0x90);
const TAG_MODULUS: Tag = Tag(0x91);

/// Why a certificate is not good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CvcError {
    /// Not the format.
    #[error("not a card-verifiable certificate: {0}")]
    Malformed(#[from] TlvError),
    /// A key reference that does not have the shape 7 digits, `08 05`, 3 digits, 4 zero octets.
    #[error("not a key reference")]
    KeyReference,
    /// A public key that is not RSA-2048 with exponent 65,537.
    #[error("not an RSA-2048 public key with exponent 65537")]
    PublicKey,
    /// Signed by somebody else than the issuer it is checked against.
    #[error("the certificate names another issuer")]
    Issuer,
    /// The issuer's signature does not hold.
    #[error("the issuer's signature does not hold")]
    Signature,
    /// The issuer could not sign.
    #[error("the issuer could not sign: {0}")]
    Signer(#[from] RsaKeyError),
}

/// Name of a key in the terminal chain: 7 ASCII digits, octets `08 05`, 3 ASCII digits, 4 zero octets.
#[doc(alias = "鍵識別子")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyReference([u8; 16]);

impl KeyReference {
    /// The reference with these two numbers: the first below 10,000,000, the second below 1,000.
    /// `None` above.
    pub fn numbered(first: u32, second: u16) -> Option<Self> {
        if first > 9_999_999 || second > 999 {
            return None;
        }
        let mut bytes = format!("{first:07}").into_bytes();
        bytes.extend_from_slice(&[0x08, 0x05]);
        bytes.extend_from_slice(format!("{second:03}").as_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.try_into().ok().map(Self)
    }

    /// Parses 16 octets; fails with [`CvcError::KeyReference`] where the shape is another one.
    pub fn parse(bytes: &[u8]) -> Result<Self, CvcError> {
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| CvcError::KeyReference)?;
        let [a, b, c, d, e, f, g, 0x08, 0x05, h, i, j, 0, 0, 0, 0] = bytes else {
            return Err(CvcError::KeyReference);
        };
        if [a, b, c, d, e, f, g, h, i, j].iter().all(u8::is_ascii_digit) {
            Ok(Self(bytes))
        } else {
            Err(CvcError::KeyReference)
        }
    }

    /// The 16 octets.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, octet) in self.0.iter().enumerate() {
            match (place, octet) {
                (0..=6 | 9..=11, digit) => write!(f, "{}", char::from(*digit))?,
                (7, _) => write!(f, ".")?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Debug for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyReference({self})")
    }
}

/// A public key of the terminal chain with its name: RSA-2048, exponent 65,537.
#[derive(Clone, PartialEq, Eq)]
pub struct CvcPublicKey {
    reference: KeyReference,
    modulus: Box<[u8; RSA_OCTETS]>,
}

impl CvcPublicKey {
    /// From a name and a big-endian modulus of exactly 2,048 bits.
    pub fn new(reference: KeyReference, modulus: &[u8]) -> Result<Self, CvcError> {
        let modulus: Box<[u8; RSA_OCTETS]> = Box::new(modulus.try_into().map_err(|_| CvcError::PublicKey)?);
        match *modulus {
            [first, .., last] if first & 0x80 != 0 && last & 1 == 1 => Ok(Self { reference, modulus }),
            _ => Err(CvcError::PublicKey),
        }
    }

    /// The public half of a card key under a name.
    pub fn of(reference: KeyReference, private_key: &CardRsaKey) -> Result<Self, CvcError> {
        if private_key.public_exponent() != PUBLIC_EXPONENT {
            return Err(CvcError::PublicKey);
        }
        Self::new(reference, private_key.public_modulus())
    }

    /// Its name.
    pub const fn reference(&self) -> KeyReference {
        self.reference
    }

    /// The modulus, big-endian.
    pub const fn modulus(&self) -> &[u8; RSA_OCTETS] {
        &self.modulus
    }

    /// Checks a PKCS#1 v1.5 SHA-256 signature over `message`, RFC 8017 §8.2.2.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), CvcError> {
        RsaPublicKeyComponents { n: self.modulus.as_slice(), e: PUBLIC_EXPONENT.as_slice() }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| CvcError::Signature)
    }
}

impl fmt::Debug for CvcPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CvcPublicKey({})", self.reference)
    }
}

/// What a certificate says: who certifies whose key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CvcBody {
    /// Name of the issuer's key.
    pub issuer: KeyReference,
    /// The certified key.
    pub subject: CvcPublicKey,
}

impl CvcBody {
    /// Parses exactly [`CVC_BODY_LEN`] octets.
    pub fn parse(bytes: &[u8]) -> Result<Self, CvcError> {
        let (issuer, rest) = bytes.split_first_chunk::<16>().ok_or(TlvError::Truncated)?;
        let (subject, rest) = rest.split_first_chunk::<16>().ok_or(TlvError::Truncated)?;
        let mut objects = TlvReader::new(rest);
        if objects.expect(TAG_EXPONENT)? != PUBLIC_EXPONENT {
            return Err(CvcError::PublicKey);
        }
        let modulus = objects.expect(TAG_MODULUS)?;
        objects.finish()?;
        let subject = CvcPublicKey::new(KeyReference::parse(subject)?, modulus)?;
        Ok(Self { issuer: KeyReference::parse(issuer)?, subject })
    }

    /// The octets under the signature.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CVC_BODY_LEN);
        bytes.extend_from_slice(self.issuer.as_bytes());
        bytes.extend_from_slice(self.subject.reference.as_bytes());
        tlv::write(&mut bytes, TAG_EXPONENT, &PUBLIC_EXPONENT);
        tlv::write(&mut bytes, TAG_MODULUS, self.subject.modulus.as_slice());
        bytes
    }

    /// Parses the data of the first loading command: the header of the whole certificate and the
    /// body's object, without the signature.
    pub fn parse_load(data: &[u8]) -> Result<Self, CvcError> {
        let (tag, length, rest) = tlv::read_header(data)?;
        if tag != TAG_CVC {
            return Err(TlvError::Unexpected.into());
        }
        if length != CVC_OBJECTS_LEN {
            return Err(TlvError::Length.into());
        }
        Self::parse(tlv::read_single(rest, TAG_BODY)?)
    }
}

/// Parses the data of the second loading command: the signature's object, 256 octets inside.
pub fn parse_load_signature(data: &[u8]) -> Result<&[u8; RSA_OCTETS], CvcError> {
    let signature = tlv::read_single(data, TAG_SIGNATURE)?;
    signature.try_into().map_err(|_| TlvError::Length.into())
}

/// A certificate with its signature, not yet checked against an issuer.
#[doc(alias = "CV証明書")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cvc {
    body: CvcBody,
    signature: Signature,
}

#[derive(Clone, PartialEq, Eq)]
struct Signature(Box<[u8; RSA_OCTETS]>);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Cvc {
    /// Parses one `7F21` object and nothing after it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CvcError> {
        let mut objects = TlvReader::new(tlv::read_single(bytes, TAG_CVC)?);
        let body = CvcBody::parse(objects.expect(TAG_BODY)?)?;
        let signature = Signature(Box::new(*objects.expect_array(TAG_SIGNATURE)?));
        objects.finish()?;
        Ok(Self { body, signature })
    }

    /// The `7F21` object, [`CVC_LEN`] octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.load_body();
        bytes.extend_from_slice(&self.load_signature());
        bytes
    }

    /// Data of the first loading command (`80 A2 06 C1`).
    pub fn load_body(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CVC_LEN);
        tlv::write_header(&mut bytes, TAG_CVC, CVC_OBJECTS_LEN);
        tlv::write(&mut bytes, TAG_BODY, &self.body.encode());
        bytes
    }

    /// Data of the second loading command (`80 A2 00 C1`).
    pub fn load_signature(&self) -> Vec<u8> {
        tlv::encode(TAG_SIGNATURE, self.signature.0.as_slice())
    }

    /// What it says. Not to be believed before [`Self::verify`].
    pub const fn body(&self) -> &CvcBody {
        &self.body
    }

    /// Checks issuer and signature, and gives the certified key.
    pub fn verify(&self, issuer: &CvcPublicKey) -> Result<&CvcPublicKey, CvcError> {
        if issuer.reference != self.body.issuer {
            return Err(CvcError::Issuer);
        }
        issuer.verify(&self.body.encode(), self.signature.0.as_slice())?;
        Ok(&self.body.subject)
    }
}

/// Who can issue: a key with its name, wherever the key lives.
pub trait CvcIssuer {
    /// Name of the issuer's key.
    fn issuer_reference(&self) -> KeyReference;
    /// PKCS#1 v1.5 SHA-256 over the body's octets.
    fn sign_body(&self, body: &[u8]) -> Result<[u8; RSA_OCTETS], CvcError>;
}

/// Certifies `subject`.
pub fn issue(issuer: &dyn CvcIssuer, subject: CvcPublicKey) -> Result<Cvc, CvcError> {
    let body = CvcBody { issuer: issuer.issuer_reference(), subject };
    let signature = Signature(Box::new(issuer.sign_body(&body.encode())?));
    Ok(Cvc { body, signature })
}

/// An issuer whose key is in memory.
#[derive(Debug)]
pub struct CvcAuthority {
    reference: KeyReference,
    private_key: CardRsaKey,
}

impl CvcAuthority {
    /// An authority with this name and key.
    pub const fn new(reference: KeyReference, private_key: CardRsaKey) -> Self {
        Self { reference, private_key }
    }

    /// Its public key under its name: what a card holds as root, or an authority above certifies.
    pub fn public_key(&self) -> Result<CvcPublicKey, CvcError> {
        CvcPublicKey::of(self.reference, &self.private_key)
    }

    /// Its private key, for the file it is kept in.
    pub const fn private_key(&self) -> &CardRsaKey {
        &self.private_key
    }
}

impl CvcIssuer for CvcAuthority {
    fn issuer_reference(&self) -> KeyReference {
        self.reference
    }

    fn sign_body(&self, body: &[u8]) -> Result<[u8; RSA_OCTETS], CvcError> {
        Ok(self.private_key.sign_sha256(body)?)
    }
}

/// The chain a Secure Element carries: the root's reference is in every card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CvcChain {
    /// The accredited body, certified by the root.
    pub intermediate: Cvc,
    /// The terminal, certified by the accredited body.
    pub leaf: Cvc,
}

impl CvcChain {
    /// Checks both links from `root`, and gives the leaf's key.
    pub fn verify(&self, root: &CvcPublicKey) -> Result<&CvcPublicKey, CvcError> {
        self.leaf.verify(self.intermediate.verify(root)?)
    }

    /// Both `7F21` objects, intermediate first: the form of a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.intermediate.encode();
        bytes.extend_from_slice(&self.leaf.encode());
        bytes
    }

    /// Parses what [`Self::encode`] made.
    pub fn parse(bytes: &[u8]) -> Result<Self, CvcError> {
        let mut objects = TlvReader::new(bytes);
        let intermediate = Cvc::parse(objects.read()?.encoded)?;
        let leaf = Cvc::parse(objects.read()?.encoded)?;
        objects.finish()?;
        Ok(Self { intermediate, leaf })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(first: u32) -> CvcAuthority {
        CvcAuthority::new(KeyReference::numbered(first, 1).unwrap(), CardRsaKey::generate().unwrap())
    }

    #[test]
    fn issue_parse_verify() {
        let (root, other) = (authority(7_000_001), authority(7_000_001));
        let subject =
            CvcPublicKey::of(KeyReference::numbered(7_100_002, 3).unwrap(), other.private_key()).unwrap();
        let issued = issue(&root, subject.clone()).unwrap();
        let bytes = issued.encode();
        assert_eq!(bytes.len(), CVC_LEN);
        assert_eq!(bytes[..10], [0x7F, 0x21, 0x82, 0x02, 0x33, 0x5F, 0x4E, 0x82, 0x01, 0x29]);
        assert_eq!(issued.body().encode().len(), CVC_BODY_LEN);
        assert_eq!((issued.load_body().len(), issued.load_signature().len()), (0x133, 0x105));

        let parsed = Cvc::parse(&bytes).unwrap();
        assert_eq!(parsed, issued);
        assert_eq!(parsed.verify(&root.public_key().unwrap()), Ok(&subject));
        // Same name, another key; and another name.
        assert_eq!(parsed.verify(&other.public_key().unwrap()), Err(CvcError::Signature));
        assert_eq!(parsed.verify(&subject), Err(CvcError::Issuer));
        assert_eq!(CvcBody::parse_load(&issued.load_body()).unwrap(), *issued.body());
        assert!(parse_load_signature(&issued.load_signature()).is_ok());

        for end in 0..bytes.len() {
            assert!(Cvc::parse(&bytes[..end]).is_err());
        }
        // A flipped bit anywhere is either not parsed or not verified.
        let key = root.public_key().unwrap();
        for place in (0..bytes.len()).step_by(7) {
            let mut bent = bytes.clone();
            bent[place] ^= 1;
            assert!(Cvc::parse(&bent).and_then(|c| c.verify(&key).cloned()).is_err(), "octet {place}");
        }
    }

    #[test]
    fn key_references_have_one_shape() {
        let reference = KeyReference::numbered(42, 7).unwrap();
        assert_eq!(reference.to_string(), "0000042.007");
        assert_eq!(KeyReference::parse(reference.as_bytes()), Ok(reference));
        assert_eq!(KeyReference::numbered(10_000_000, 0), None);
        assert_eq!(KeyReference::numbered(0, 1_000), None);
        assert_eq!(KeyReference::parse(&[b'1'; 16]), Err(CvcError::KeyReference));
        assert_eq!(KeyReference::parse(b"123"), Err(CvcError::KeyReference));
    }
}
