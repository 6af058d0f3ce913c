//! X.509 for an institution that issues and for one that relies: profiles, revocation lists with
//! reasons, and evidence of a good certificate.
//!
//! Floor 1, pure: no clock, no I/O; `now` and randomness come in as arguments. (Key generation and the
//! blinding inside signatures use the cryptographic library's own random generator, which takes no other.)
//!
//! | module | holds |
//! |---|---|
//! | [`asn1`] | strict DER reader that locates faults, writers |
//! | [`certificate`], [`name`], [`serial`], [`oid`] | what a certificate says |
//! | [`public_key`], [`signer`] | verifying keys kept parsed; [`signer::IssuerSigner`], the only way to a private key |
//! | [`hc_role`] | the healthcare role of a health professional's certificate |
//! | [`profile`], [`issue`] | the shapes of certificates, and an authority that issues them |
//! | [`request`] | an authority's request to be certified (PKCS#10) |
//! | [`lint`] | what is wrong with a certificate or list, before it is signed |
//! | [`revocation`], [`crl`] | reasons, revocation lists, [`crl::RevocationIndex`] |
//! | [`ocsp`] | online status: requests read, responses signed; a responder asked, its answer judged |
//! | [`validate`] | certificate → [`validate::PathGood`] → [`validate::CertificateGood`] |
//! | [`cms`] | signatures on documents: detached CMS and bare ones, verified and made |
//! | [`watch`] | what has changed about certificates that are kept |
//! | [`pem`] | RFC 7468 text |
//!
//! Invariants:
//! - Signatures are checked over the bytes that came, never over a re-encoding.
//! - A [`validate::CertificateGood`] can be made by [`validate::conclude`] only.
//! - A certificate or list in which [`lint`] finds an error is never signed: signing takes the lint's evidence.
//! - An issuer is chosen by its key: two authorities with the same name do not vouch for each other.
//! - Nothing of a private key has `Clone`, `Serialize` or a telling `Debug`; serial numbers are not printed.

pub mod asn1;
pub mod certificate;
pub mod cms;
pub mod crl;
pub mod extension;
pub mod general_name;
pub mod hc_role;
pub mod issue;
pub mod lint;
pub mod name;
pub mod ocsp;
pub mod oid;
pub mod pem;
pub mod profile;
pub mod public_key;
pub mod request;
pub mod revocation;
pub mod serial;
pub mod signature_scheme;
pub mod signer;
pub mod validate;
pub mod watch;

#[cfg(test)]
mod testing;
