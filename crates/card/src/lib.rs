//! The card layer: APDUs, BER-TLV, card-verifiable certificates, emulated cards, and the terminal's
//! dialogues with them.
//!
//! Floor 1, pure: no clock, no I/O, no randomness of its own (exceptions that stay inside the
//! cryptographic library: new keys ([`rsa_key::CardRsaKey::generate`], [`eac::p256::generate_pkcs8`]), the
//! nonce of each ECDSA signature, and the padding in
//! [`my_number_card::session_key::TerminalSession::hand_over`]). Cards are state machines that take bytes
//! and give bytes; dialogues are state machines that consume themselves. Each side is tested against the
//! other.
//!
//! | module | holds |
//! |---|---|
//! | [`apdu`] | command and response APDUs, ISO/IEC 7816-4 |
//! | [`tlv`] | BER-TLV reader and writer |
//! | [`cvc`] | card-verifiable certificates of the terminal chain |
//! | [`eac`] | profile `eac`: certificates with role and dates, key agreement, secure messaging |
//! | [`rsa_key`] | the RSA-2048 keys that cards hold |
//! | [`emulated`] | [`EmulatedCard`], what every card looks like to a transport |
//! | [`image`] | card images: what is on a card and who may do what, as a readable file |
//! | [`cos`] | the card operating system, which runs any image |
//! | [`my_number_card`] | the patient's card: its layout, and contents for one holder |
//! | [`hpki_card`] | a health professional's card: its layout, and contents for one holder |
//! | [`pkcs15`] | the files by which programs find keys and certificates, ISO/IEC 7816-15 |
//! | [`secure_element`] | the terminal's second card: holds the institution key, drives the touch, seals the evidence |
//! | [`dialogue`] | the terminal side of everything above |
//! | [`trace`] | recorded dialogues: text format, replay, comparison |
//!
//! Invariants, each with a test in `tests/it`:
//! - One institution authentication opens exactly one signature by the card-holder authentication
//!   key, and nothing else.
//! - A refusal carries no data and changes nothing but a retry counter; what an access rule closes does
//!   not come out, whatever the command.
//! - No sequence of failed institution authentications touches a PIN counter.
//! - The Secure Element signs nothing but its own domain tag, the card's challenge and its own key
//!   reference, and never without a consent hash. It gives out neither its certificates nor what a card
//!   answered, but under seal.
//! - No bytes from the other side make either side panic.

pub mod apdu;
pub mod cos;
pub mod cvc;
pub mod dialogue;
pub mod eac;
pub mod emulated;
pub mod hpki_card;
pub mod image;
pub mod my_number_card;
pub mod pkcs15;
pub mod rsa_key;
pub mod secure_element;
pub mod tlv;
pub mod trace;

pub use emulated::EmulatedCard;

/// Stands in front of the card's challenge under the institution's signature (Kazasu's own: the real
/// card's signed bytes are not public). 16 octets.
pub const EXTERNAL_AUTHENTICATE_DOMAIN: &[u8; 16] = b"JPKI-EXT-AUTH-v1";

/// The bytes under the institution's signature: domain tag, RND.C, key reference of the leaf.
#[doc(alias = "外部認証")]
pub fn external_authenticate_bytes(challenge: &[u8; 16], leaf: &cvc::KeyReference) -> [u8; 48] {
    let mut bytes = [0u8; 48];
    let parts = EXTERNAL_AUTHENTICATE_DOMAIN.iter().chain(challenge).chain(leaf.as_bytes());
    for (to, from) in bytes.iter_mut().zip(parts) {
        *to = *from;
    }
    bytes
}
