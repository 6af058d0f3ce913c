//! Signatures on documents: detached CMS SignedData (RFC 5652) and bare signatures over a file, verified with
//! the certificate that made them, and made with a key that is elsewhere (a card's).
//!
//! | module | holds |
//! |---|---|
//! | [`ber`] | indefinite lengths, as streaming signers write them, made definite |
//! | [`read`] | a strict reader: who signed what, with what attributes |
//! | [`verify`] | content, attributes, signature, path and status → [`DocumentSignatureGood`] |
//! | [`create`] | [`create::Unsigned`]: the attributes to be signed; with the signature, a SignedData |
//!
//! What is accepted, and what is not, with the reasons: `docs/document-signatures.md`.

pub mod ber;
pub mod create;
pub mod read;
pub mod verify;

pub use read::{CmsProblem, SignedData};
pub use verify::{DocumentSignatureGood, SignatureFault, SigningCertificateRule};

use crate::asn1::read::{Malformed, Tlv};
use crate::asn1::tag;
use crate::signature_scheme::SignatureDigest;
use aws_lc_rs::digest;

/// The digest of `octets`.
fn digest_of(kind: SignatureDigest, octets: &[u8]) -> Vec<u8> {
    let algorithm = match kind {
        SignatureDigest::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        SignatureDigest::Sha256 => &digest::SHA256,
        SignatureDigest::Sha384 => &digest::SHA384,
        SignatureDigest::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, octets).as_ref().to_vec()
}

/// An AlgorithmIdentifier's identifier; parameters are absent or NULL, which mean the same (RFC 5754 §2).
fn plain_algorithm<'a>(identifier: &Tlv<'a>, what: &'static str) -> Result<&'a [u8], Malformed> {
    let mut fields = identifier.inside();
    let kind = fields.object_identifier(what)?;
    if let Some(null) = fields.optional(tag::NULL, what)?
        && !null.content.is_empty()
    {
        return Err(null.malformed(what));
    }
    fields.finish(what)?;
    Ok(kind)
}
