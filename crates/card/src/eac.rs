//! Profile `eac`: the institution proves itself to the card with a certificate that has a role and
//! dates, inside a channel that nobody else can read. After BSI TR-03110, versions named below.
//!
//! The order is that of TR-03110-1 (chip authentication, then terminal authentication) without a
//! password before it, because a touch has none; chip authentication itself is version 2 (nonce and
//! token), so that the terminal knows the card before it shows a certificate.
//!
//! | module | holds |
//! |---|---|
//! | [`cvc`] | card-verifiable certificates, TR-03110-3 appendix C and D |
//! | [`p256`] | points, signatures and agreement on P-256 |
//! | [`chip_authentication`] | SecurityInfos, key derivation, token, TR-03110-3 A.1 to A.4 |
//! | [`secure_messaging`] | AES-128-CBC and CMAC over APDUs, TR-03110-3 appendix F |
//! | [`card_side`] | what the card's operating system hosts |
//! | [`terminal_side`] | what the Secure Element drives |
//!
//! Invariants, each with a test:
//! - A key of the batch, never of one card: nothing readable without consent tells two cards apart.
//! - The terminal shows no certificate before the card has proved a key that the card issuer certified.
//! - The card's date only moves forward, and only by certificates whose signature held.
//! - One terminal authentication opens one use; every error of secure messaging wipes the keys.

pub mod card_side;
pub mod chip_authentication;
pub mod cvc;
pub mod p256;
pub mod secure_messaging;
pub mod terminal_side;

#[cfg(test)]
mod pair_tests;
#[cfg(test)]
pub(crate) mod specimen;

/// File identifiers of the profile in the JPKI application. Above `001E`, so that they can never
/// collide with a short identifier of the real card.
pub mod fid {
    /// SecurityInfos; free.
    pub const SECURITY_INFOS: u16 = 0x011C;
    /// Certificate of the batch key by the card issuer; free.
    pub const BATCH_CERTIFICATE: u16 = 0x011D;
    /// The terminal CVCA that this card trusts; not readable.
    pub const TERMINAL_TRUST_ANCHOR: u16 = 0x011E;
    /// The batch's private key.
    pub const BATCH_KEY: u16 = 0x011F;
}

/// Object identifiers as the value octets of tag 06, each with its source.
pub mod oid {
    /// id-PK-ECDH, 0.4.0.127.0.7.2.2.1.2, TR-03110-3 A.1.
    pub const PK_ECDH: &[u8] = &[0x04, 0x00, 0x7F, 0x00, 0x07, 0x02, 0x02, 0x01, 0x02];
    /// id-TA, 0.4.0.127.0.7.2.2.2, TR-03110-3 A.1.
    pub const TA: &[u8] = &[0x04, 0x00, 0x7F, 0x00, 0x07, 0x02, 0x02, 0x02];
    /// id-TA-ECDSA-SHA-256, 0.4.0.127.0.7.2.2.2.2.3, TR-03110-3 A.7.
    pub const TA_ECDSA_SHA_256: &[u8] = &[0x04, 0x00, 0x7F, 0x00, 0x07, 0x02, 0x02, 0x02, 0x02, 0x03];
    /// id-CA-ECDH-AES-CBC-CMAC-128, 0.4.0.127.0.7.2.2.3.2.2, TR-03110-3 A.1.
    pub const CA_ECDH_AES_CBC_CMAC_128: &[u8] = &[0x04, 0x00, 0x7F, 0x00, 0x07, 0x02, 0x02, 0x03, 0x02, 0x02];
    /// standardizedDomainParameters, 0.4.0.127.0.7.1.2, TR-03110-3 A.2
    pub const STANDARDIZED_DOMAIN_PARAMETERS: &[u8] = &[0x04, 0x00, 0x7F, 0x00, 0x07, 0x01, 0x02];
    /// Ours: holder authorisation in the terminals' chain, 1.3.6.1.4.1.32473.7.1.
    pub const TERMINAL_AUTHORISATION: &[u8] = &[0x2B, 0x06, 0x01, 0x04, 0x01, 0x81, 0xFD, 0x59, 0x07, 0x01];
    /// Ours: holder authorisation in the card issuer's chain, 1.3.6.1.4.1.32473.7.2.
    pub const CARD_ISSUER_AUTHORISATION: &[u8] =
        &[0x2B, 0x06, 0x01, 0x04, 0x01, 0x81, 0xFD, 0x59, 0x07, 0x02];
}

/// Data objects of the profile's commands and certificates.
pub mod tags {
    use crate::tlv::Tag;
    /// Object identifier.
    pub const OID: Tag = Tag(0x06);
    /// Certification authority reference.
    pub const AUTHORITY_REFERENCE: Tag = Tag(0x42);
    /// Discretionary data.
    pub const DISCRETIONARY: Tag = Tag(0x53);
    /// Certificate holder reference.
    pub const HOLDER_REFERENCE: Tag = Tag(0x5F20);
    /// Expiration date.
    pub const EXPIRATION: Tag = Tag(0x5F24);
    /// Effective date.
    pub const EFFECTIVE: Tag = Tag(0x5F25);
    /// Certificate profile identifier.
    pub const PROFILE: Tag = Tag(0x5F29);
    /// Signature.
    pub const SIGNATURE: Tag = Tag(0x5F37);
    /// The certificate as a whole.
    pub const CERTIFICATE: Tag = Tag(0x7F21);
    /// Public key.
    pub const PUBLIC_KEY: Tag = Tag(0x7F49);
    /// Certificate holder authorisation template.
    pub const CHAT: Tag = Tag(0x7F4C);
    /// Certificate body.
    pub const BODY: Tag = Tag(0x7F4E);
    /// Elliptic curve point in a public key.
    pub const POINT: Tag = Tag(0x86);
    /// Dynamic authentication template.
    pub const DYNAMIC: Tag = Tag(0x7C);
    /// Mechanism in MSE; ephemeral public key in GENERAL AUTHENTICATE.
    pub const MECHANISM_OR_EPHEMERAL: Tag = Tag(0x80);
    /// Nonce in the answer of GENERAL AUTHENTICATE.
    pub const NONCE: Tag = Tag(0x81);
    /// Token in the answer of GENERAL AUTHENTICATE.
    pub const TOKEN: Tag = Tag(0x82);
    /// Name of a public key in MSE.
    pub const PUBLIC_KEY_REFERENCE: Tag = Tag(0x83);
    /// Name of a private key in MSE.
    pub const PRIVATE_KEY_REFERENCE: Tag = Tag(0x84);
}
