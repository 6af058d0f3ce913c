//! Signature algorithms as certificates, lists and responses name them: RFC 8017, RFC 4055, RFC 5758, RFC 8410.
//!
//! What is accepted is decided here and nowhere else:
//!
//! | named | accepted |
//! |---|---|
//! | RSA PKCS#1 v1.5 with SHA-256, SHA-384, SHA-512 | yes |
//! | RSASSA-PSS with those digests, MGF1 with the same one, any salt length, trailer 1 | yes |
//! | ECDSA with those digests on P-256, P-384, P-521 | yes |
//! | Ed25519 | yes |
//! | RSA PKCS#1 v1.5 with SHA-1 | only where [`Sha1`] says so |
//! | MD2, MD5, SHA-224, DSA, everything else | never |

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::tag;
use crate::oid;
use der::asn1::ObjectIdentifier;
use protocol::time::UnixSeconds;

/// A digest inside a signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignatureDigest {
    /// SHA-1: collisions can be bought. Read so that it can be refused by name.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl SignatureDigest {
    /// Octets of its output.
    pub const fn octets(self) -> u32 {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn of(identifier: &[u8]) -> Option<Self> {
        [
            (oid::SHA1, Self::Sha1),
            (oid::SHA256, Self::Sha256),
            (oid::SHA384, Self::Sha384),
            (oid::SHA512, Self::Sha512),
        ]
        .into_iter()
        .find(|(known, _)| known.as_bytes() == identifier)
        .map(|(_, digest)| digest)
    }
}

/// Whether signatures over SHA-1 count. Nothing has been issued with it for years, but archives hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sha1 {
    /// Never.
    Refuse,
    /// When the question is about an instant before this one; never for a later instant.
    AcceptBefore(UnixSeconds),
}

impl Sha1 {
    /// Authorities stopped issuing with SHA-1 at the end of 2016.
    pub const HISTORIC: Self = Self::AcceptBefore(UnixSeconds(1_483_228_800));

    pub(crate) fn accepts(self, at: UnixSeconds) -> bool {
        match self {
            Self::Refuse => false,
            Self::AcceptBefore(end) => at < end,
        }
    }
}

/// A signature algorithm, as an AlgorithmIdentifier names it. The curve is the key's, not the algorithm's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5: RFC 8017 §8.2.
    RsaPkcs1(SignatureDigest),
    /// RSASSA-PSS: RFC 8017 §8.1, parameters RFC 4055 §3.1.
    RsaPss {
        /// Digest of the message, and of the mask.
        digest: SignatureDigest,
        /// Octets of salt.
        salt_octets: u16,
    },
    /// ECDSA: RFC 5758 §3.2.
    Ecdsa(SignatureDigest),
    /// Ed25519: RFC 8410 §3.
    Ed25519,
}

/// Why an AlgorithmIdentifier names nothing that is used here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SchemeError {
    /// It cannot be read, or its parameters are not those of its algorithm.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// An algorithm or parameters that are not supported: the object identifier says which.
    #[error("signature algorithm {0} is not supported")]
    Unsupported(String),
}

impl SignatureScheme {
    /// Reads an AlgorithmIdentifier: RFC 5280 §4.1.1.2.
    ///
    /// # Errors
    /// Malformed, with parameters that the algorithm forbids, or of an algorithm that is not supported.
    pub fn read(identifier: &Tlv<'_>) -> Result<Self, SchemeError> {
        let mut fields = identifier.inside();
        let kind = fields.expect(tag::OID, "signature algorithm")?;
        let name = kind.object_identifier("signature algorithm")?;
        let parameters = if fields.is_empty() { None } else { Some(fields.any("signature parameters")?) };
        fields.finish("signature algorithm")?;
        let is = |known: ObjectIdentifier| known.as_bytes() == name;
        // RFC 4055 §5 wants NULL and asks readers to take absent parameters too.
        let rsa = |digest| match parameters {
            None => Ok(Self::RsaPkcs1(digest)),
            Some(null) if null.raw == [tag::NULL, 0] => Ok(Self::RsaPkcs1(digest)),
            Some(other) => Err(other.malformed("signature parameters").into()),
        };
        // RFC 5758 §3.2, RFC 8410 §3: parameters must be absent.
        let bare = |scheme| match parameters {
            None => Ok(scheme),
            Some(other) => Err(SchemeError::from(other.malformed("signature parameters"))),
        };
        if is(oid::SHA256_WITH_RSA) {
            rsa(SignatureDigest::Sha256)
        } else if is(oid::SHA384_WITH_RSA) {
            rsa(SignatureDigest::Sha384)
        } else if is(oid::SHA512_WITH_RSA) {
            rsa(SignatureDigest::Sha512)
        } else if is(oid::SHA1_WITH_RSA) {
            rsa(SignatureDigest::Sha1)
        } else if is(oid::ECDSA_WITH_SHA256) {
            bare(Self::Ecdsa(SignatureDigest::Sha256))
        } else if is(oid::ECDSA_WITH_SHA384) {
            bare(Self::Ecdsa(SignatureDigest::Sha384))
        } else if is(oid::ECDSA_WITH_SHA512) {
            bare(Self::Ecdsa(SignatureDigest::Sha512))
        } else if is(oid::ED25519) {
            bare(Self::Ed25519)
        } else if is(oid::RSASSA_PSS) {
            // RFC 4055 §3.1: in a signature the parameters must be present.
            read_pss(&parameters.ok_or_else(|| kind.malformed("signature parameters"))?)
        } else {
            Err(SchemeError::Unsupported(oid::text(name)))
        }
    }

    /// The digest, where the algorithm leaves a choice.
    pub const fn digest(self) -> Option<SignatureDigest> {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss { digest, .. } | Self::Ecdsa(digest) => Some(digest),
            Self::Ed25519 => None,
        }
    }
}

/// RSASSA-PSS-params: RFC 4055 §3.1. The defaults are SHA-1 ones.
pub(crate) fn read_pss(parameters: &Tlv<'_>) -> Result<SignatureScheme, SchemeError> {
    if parameters.tag != tag::SEQUENCE {
        return Err(parameters.malformed("PSS parameters").into());
    }
    let unsupported = || SchemeError::Unsupported(format!("{} with these parameters", oid::RSASSA_PSS));
    let mut fields = parameters.inside();
    let digest = match fields.optional(tag::context_constructed(0), "hashAlgorithm")? {
        None => SignatureDigest::Sha1,
        Some(wrapper) => read_digest(&mut wrapper.inside())?.ok_or_else(unsupported)?,
    };
    let mask_digest = match fields.optional(tag::context_constructed(1), "maskGenAlgorithm")? {
        None => SignatureDigest::Sha1,
        Some(wrapper) => {
            let mut outer = wrapper.inside();
            let mut mask = outer.expect(tag::SEQUENCE, "maskGenAlgorithm")?.inside();
            outer.finish("maskGenAlgorithm")?;
            if mask.object_identifier("maskGenAlgorithm")? != oid::MGF1.as_bytes() {
                return Err(unsupported());
            }
            read_digest(&mut mask)?.ok_or_else(unsupported)?
        }
    };
    let number = |wrapper: Option<Tlv<'_>>, default: u32, what| match wrapper {
        None => Ok(default),
        Some(wrapper) => {
            let mut inside = wrapper.inside();
            let value = inside.expect(tag::INTEGER, what)?.small_unsigned(what)?;
            inside.finish(what).map(|()| value)
        }
    };
    let salt = number(fields.optional(tag::context_constructed(2), "saltLength")?, 20, "saltLength")?;
    let trailer = number(fields.optional(tag::context_constructed(3), "trailerField")?, 1, "trailerField")?;
    fields.finish("PSS parameters")?;
    match u16::try_from(salt) {
        Ok(salt_octets) if digest == mask_digest && trailer == 1 && digest != SignatureDigest::Sha1 => {
            Ok(SignatureScheme::RsaPss { digest, salt_octets })
        }
        _ => Err(unsupported()),
    }
}

/// The AlgorithmIdentifier of a digest; parameters absent or NULL (RFC 4055 §2.1).
fn read_digest(reader: &mut Reader<'_>) -> Result<Option<SignatureDigest>, Malformed> {
    let mut fields = reader.expect(tag::SEQUENCE, "digest algorithm")?.inside();
    reader.finish("digest algorithm")?;
    let name = fields.object_identifier("digest algorithm")?;
    if let Some(null) = fields.optional(tag::NULL, "digest parameters")?
        && !null.content.is_empty()
    {
        return Err(null.malformed("digest parameters"));
    }
    fields.finish("digest algorithm")?;
    Ok(SignatureDigest::of(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::write;

    fn read(der: &[u8]) -> Result<SignatureScheme, SchemeError> {
        SignatureScheme::read(&Reader::new(der).any("algorithm").unwrap())
    }

    fn digest(name: &ObjectIdentifier, parameters: &[u8]) -> Vec<u8> {
        write::sequence(&[&write::oid(name), parameters])
    }

    fn pss(hash: &ObjectIdentifier, mask: &ObjectIdentifier, salt: u8, trailer: Option<u8>) -> Vec<u8> {
        let mask = write::sequence(&[&write::oid(&oid::MGF1), &digest(mask, &[tag::NULL, 0])]);
        let trailer = trailer.map(|t| write::explicit(3, &write::unsigned(&[t]))).unwrap_or_default();
        let parameters = write::sequence(&[
            &write::explicit(0, &digest(hash, &[])),
            &write::explicit(1, &mask),
            &write::explicit(2, &write::unsigned(&[salt])),
            &trailer,
        ]);
        write::sequence(&[&write::oid(&oid::RSASSA_PSS), &parameters])
    }

    #[test]
    fn what_is_accepted_is_recognised_with_its_parameters() {
        let null: &[u8] = &[tag::NULL, 0];
        for parameters in [null, &[]] {
            let rsa = write::sequence(&[&write::oid(&oid::SHA384_WITH_RSA), parameters]);
            assert_eq!(read(&rsa).unwrap(), SignatureScheme::RsaPkcs1(SignatureDigest::Sha384));
        }
        let ecdsa = write::sequence(&[&write::oid(&oid::ECDSA_WITH_SHA512)]);
        assert_eq!(read(&ecdsa).unwrap(), SignatureScheme::Ecdsa(SignatureDigest::Sha512));
        let ecdsa_null = write::sequence(&[&write::oid(&oid::ECDSA_WITH_SHA512), null]);
        assert!(matches!(read(&ecdsa_null), Err(SchemeError::Malformed(_))));
        let sha = SignatureScheme::RsaPss { digest: SignatureDigest::Sha256, salt_octets: 222 };
        assert_eq!(read(&pss(&oid::SHA256, &oid::SHA256, 222, None)).unwrap(), sha);
    }

    #[test]
    fn what_is_not_accepted_is_named() {
        let dsa = ObjectIdentifier::new_unwrap("1.2.840.10040.4.3");
        let refused = read(&write::sequence(&[&write::oid(&dsa)])).unwrap_err();
        assert_eq!(refused, SchemeError::Unsupported("1.2.840.10040.4.3".into()));
        for odd in [
            pss(&oid::SHA1, &oid::SHA1, 20, None),
            pss(&oid::SHA256, &oid::SHA384, 32, None),
            pss(&oid::SHA256, &oid::SHA256, 32, Some(2)),
            write::sequence(&[&write::oid(&oid::RSASSA_PSS), &write::sequence(&[])]),
        ] {
            assert!(matches!(read(&odd), Err(SchemeError::Unsupported(_))));
        }
        assert!(matches!(
            read(&write::sequence(&[&write::oid(&oid::RSASSA_PSS)])),
            Err(SchemeError::Malformed(_))
        ));
    }

    #[test]
    fn sha1_counts_only_for_the_past_and_only_when_asked() {
        let sha1 = write::sequence(&[&write::oid(&oid::SHA1_WITH_RSA), &[tag::NULL, 0]]);
        assert_eq!(read(&sha1).unwrap().digest(), Some(SignatureDigest::Sha1));
        let turn = UnixSeconds(1_483_228_800);
        assert!(Sha1::HISTORIC.accepts(turn.minus(1)));
        assert!(!Sha1::HISTORIC.accepts(turn));
        assert!(!Sha1::Refuse.accepts(UnixSeconds(0)));
    }
}
