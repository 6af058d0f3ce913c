//! Hashes: SHA-256, and that of the consent text which a terminal of an institution must have shown.

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use protocol::consent::ConsentText;
use protocol::statement::Purposes;

/// SHA-256 of the consent text for this institution and these purposes.
pub fn expected_consent(institution_name: &str, purposes: Purposes) -> [u8; 32] {
    sha256(&ConsentText::for_institution(institution_name, purposes).canonical_bytes())
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    array(&digest(&SHA256, bytes))
}

/// SHA-256 of parts whose lengths are fixed, one behind the other.
pub fn sha256_of<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    array(&context.finish())
}

fn array(digest: &Digest) -> [u8; 32] {
    let mut out = [0u8; 32];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
