//! Who signs the card's contents, and the card's own keys that the signed contents name.
//!
//! Two kinds of keys must not be mixed up. The *issuer's* key (a municipality's, certified in EF 0004 of
//! each application) signs the records: it says that the data are true. The *presence* key is the card's
//! own, one per application; its public half stands inside the signed records: it says that the card with
//! these data lies here, and not a copy of its files. A reader that checks only one of them has learnt
//! little.
//!
//! The certificate is in the format of [`crate::cvc`]: no dates, no role. The names (key references) have
//! the shape that cards of the test hierarchy show: the municipality's five digits and two more that tell
//! the application.

use super::record_file::RecordFileError;
use crate::cvc::{self, Cvc, CvcError, CvcIssuer, CvcPublicKey, KeyReference, PUBLIC_EXPONENT};
use crate::rsa_key::{CardRsaKey, RSA_OCTETS, RsaKeyError, SHA256_PREFIX};
use crate::tlv::{self, Tag, TlvReader};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

/// Octets of a public key as the card's files have it.
pub(crate) const PUBLIC_KEY_LEN: usize = 265;
const TAG_EXPONENT: Tag = Tag(0x90);
const TAG_MODULUS: Tag = Tag(0x91);

/// Why contents cannot be made or believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ContentsError {
    /// A file that is not one.
    #[error("a file of the card: {0}")]
    File(#[from] RecordFileError),
    /// A printed value that is not one.
    #[error("a printed value: {0}")]
    Printed(#[from] super::printed::PrintedError),
    /// A certificate or a name of a key that is not one, or does not lead to the issuer.
    #[error("the issuer's certificate: {0}")]
    Certificate(#[from] CvcError),
    /// A key that cannot sign or is not of the card's kind.
    #[error("a key: {0}")]
    Key(#[from] RsaKeyError),
    /// The issuer's signature over a record does not hold.
    #[error("the issuer's signature over the record does not hold")]
    Signature,
    /// The digest in a signed record is not that of the file it stands for.
    #[error("the signed digest is not that of the file")]
    Digest,
    /// The answer to the challenge is not from the card that the records name.
    #[error("the card is not the one that its records name")]
    Presence,
    /// A secure session with the card could not be kept.
    #[error("the secure session with the card could not be kept")]
    Session,
    /// The file holds less than it has to.
    #[error("a file that a check needs was not read")]
    Incomplete,
}

/// Which application a municipality's key signs for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignedApplication {
    /// Card face: second pair of digits 21.
    CardFace,
    /// Text input: second pair of digits 31.
    TextInput,
}

impl SignedApplication {
    const fn digits(self) -> u32 {
        match self {
            Self::CardFace => 21,
            Self::TextInput => 31,
        }
    }
}

/// A municipality's key for the contents of one application, with its certificate (EF 0004).
#[derive(Debug)]
pub struct ContentsIssuer {
    certificate: Cvc,
    private_key: CardRsaKey,
}

impl ContentsIssuer {
    /// Certifies a new issuer under `root`. `municipality` has five digits: at most 99,999.
    pub fn certified(
        root: &dyn CvcIssuer,
        application: SignedApplication,
        municipality: u32,
        private_key: CardRsaKey,
    ) -> Result<Self, ContentsError> {
        let number = municipality.saturating_mul(100).saturating_add(application.digits());
        let name = KeyReference::numbered(number, 0).ok_or(CvcError::KeyReference)?;
        let certificate = cvc::issue(root, CvcPublicKey::of(name, &private_key)?)?;
        Ok(Self { certificate, private_key })
    }

    /// The content of EF 0004.
    pub fn certificate(&self) -> Vec<u8> {
        self.certificate.encode()
    }

    /// Who certified this issuer.
    pub const fn root_reference(&self) -> KeyReference {
        self.certificate.body().issuer
    }

    /// The private key, for the file it is kept in.
    pub const fn private_key(&self) -> &CardRsaKey {
        &self.private_key
    }

    /// PKCS#1 v1.5 with SHA-256 over a record.
    pub(crate) fn sign(&self, record: &[u8]) -> Result<[u8; RSA_OCTETS], ContentsError> {
        Ok(self.private_key.sign_sha256(record)?)
    }

    /// PKCS#1 v1.5 over a DigestInfo that holds several SHA-256 values in one OCTET STRING.
    pub(crate) fn sign_digests(&self, digests: &[[u8; 32]; 3]) -> Result<[u8; RSA_OCTETS], ContentsError> {
        Ok(self.private_key.sign_pkcs1_raw(&digest_info(digests))?)
    }
}

/// A SHA-256 DigestInfo (RFC 8017 §9.2) around three digests: not a form that any standard has, but the
/// one that card faces are signed with. A terminal can so check the first group while it holds no more
/// than the digests of the others.
pub(crate) fn digest_info(digests: &[[u8; 32]; 3]) -> Vec<u8> {
    // The ordinary prefix is `30 31 30 0D … 04 20`; the two lengths that count the digest change.
    let [sequence, _, algorithm @ .., octet_string, _] = SHA256_PREFIX;
    let mut info = vec![sequence, 0x71];
    info.extend_from_slice(&algorithm);
    info.extend_from_slice(&[octet_string, 0x60]);
    info.extend(digests.iter().flatten());
    info
}

/// The public half of a key as the files have it: `90 03 010001 91 82 0100 …`, 265 octets.
pub(crate) fn public_key_field(key: &CardRsaKey) -> Result<Vec<u8>, ContentsError> {
    if key.public_exponent() != PUBLIC_EXPONENT {
        return Err(CvcError::PublicKey.into());
    }
    let mut field = Vec::with_capacity(PUBLIC_KEY_LEN);
    tlv::write(&mut field, TAG_EXPONENT, &PUBLIC_EXPONENT);
    tlv::write(&mut field, TAG_MODULUS, key.public_modulus());
    Ok(field)
}

/// A public key of the card, borrowed from a file: RSA-2048, exponent 65,537.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PresenceKey<'a> {
    modulus: &'a [u8; RSA_OCTETS],
}

impl<'a> PresenceKey<'a> {
    /// Parses exactly the two objects of the field.
    pub(crate) fn parse(field: &'a [u8]) -> Result<Self, RecordFileError> {
        let mut objects = TlvReader::new(field);
        if objects.expect(TAG_EXPONENT)? != PUBLIC_EXPONENT {
            return Err(RecordFileError::Value);
        }
        let modulus: &[u8; RSA_OCTETS] = objects.expect_array(TAG_MODULUS)?;
        objects.finish()?;
        match modulus {
            [first, .., last] if first & 0x80 != 0 && last & 1 == 1 => Ok(Self { modulus }),
            _ => Err(RecordFileError::Value),
        }
    }

    /// The modulus, big-endian.
    pub const fn modulus(&self) -> &'a [u8; RSA_OCTETS] {
        self.modulus
    }

    /// Checks the card's answer to a challenge: PKCS#1 v1.5 with SHA-256, RFC 8017 §8.2.2.
    pub fn verify_presence(&self, challenge: &[u8], signature: &[u8]) -> Result<(), ContentsError> {
        RsaPublicKeyComponents { n: self.modulus.as_slice(), e: PUBLIC_EXPONENT.as_slice() }
            .verify(&RSA_PKCS1_2048_8192_SHA256, challenge, signature)
            .map_err(|_| ContentsError::Presence)
    }
}

/// The issuer's key from EF 0004, believed because `root` certified it.
///
/// `certificate` may be followed by filler, as files are.
pub fn issuer_key(certificate: &[u8], root: &CvcPublicKey) -> Result<CvcPublicKey, ContentsError> {
    let object = certificate.get(..cvc::CVC_LEN).ok_or(RecordFileError::Truncated)?;
    Ok(Cvc::parse(object)?.verify(root)?.clone())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cvc::CvcAuthority;

    /// A root of contents, for the tests of this folder.
    pub(in super::super) fn root() -> CvcAuthority {
        CvcAuthority::new(KeyReference::numbered(7_000_023, 1).unwrap(), CardRsaKey::generate().unwrap())
    }

    /// An issuer under it.
    pub(in super::super) fn issuer(root: &CvcAuthority, application: SignedApplication) -> ContentsIssuer {
        ContentsIssuer::certified(root, application, 99_001, CardRsaKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn three_digests_in_one_digest_info() {
        let info = digest_info(&[[1; 32], [2; 32], [3; 32]]);
        assert_eq!(info.len(), 115);
        assert_eq!(info[..4], [0x30, 0x71, 0x30, 0x0D]);
        assert_eq!(info[15..19], [0x05, 0x00, 0x04, 0x60]);
        assert_eq!(info[19..51], [1; 32]);
        // The same bytes through the whole encoding that one digest has in RFC 8017 §9.2 note 1.
        assert_eq!(info[2..17], SHA256_PREFIX[2..17]);
    }

    #[test]
    fn an_issuer_is_named_after_municipality_and_application() {
        let root = root();
        let make = |application, municipality| {
            ContentsIssuer::certified(&root, application, municipality, CardRsaKey::generate().unwrap())
        };
        let issuer = make(SignedApplication::CardFace, 99_001).unwrap();
        let key = issuer_key(&issuer.certificate(), &root.public_key().unwrap()).unwrap();
        assert_eq!(key.reference().to_string(), "9900121.000");
        assert_eq!(issuer.root_reference().to_string(), "7000023.001");
        let text = make(SignedApplication::TextInput, 99_001).unwrap();
        let key = issuer_key(&text.certificate(), &root.public_key().unwrap()).unwrap();
        assert_eq!(key.reference().to_string(), "9900131.000");
        let other = issuer_key(&issuer.certificate(), &key);
        assert_eq!(other, Err(ContentsError::Certificate(CvcError::Issuer)));
        assert_eq!(issuer_key(&[], &key), Err(ContentsError::File(RecordFileError::Truncated)));
        let long = make(SignedApplication::TextInput, 100_000);
        assert_eq!(long.err(), Some(ContentsError::Certificate(CvcError::KeyReference)));
    }

    #[test]
    fn presence_keys_are_strict() {
        let key = CardRsaKey::generate().unwrap();
        let field = public_key_field(&key).unwrap();
        assert_eq!(field.len(), PUBLIC_KEY_LEN);
        let parsed = PresenceKey::parse(&field).unwrap();
        assert_eq!(parsed.modulus(), key.public_modulus());
        let signature = key.sign_sha256(b"challenge").unwrap();
        assert_eq!(parsed.verify_presence(b"challenge", &signature), Ok(()));
        assert_eq!(parsed.verify_presence(b"another", &signature), Err(ContentsError::Presence));
        for end in 0..field.len() {
            assert!(PresenceKey::parse(&field[..end]).is_err());
        }
        for bent in [2usize, 264, 9] {
            let mut field = field.clone();
            field[bent] &= 0x7E;
            assert_eq!(PresenceKey::parse(&field), Err(RecordFileError::Value), "{bent}");
        }
    }
}
