//! The patient's card as an emulated card: what it is built from, what it keeps, what it forgets.
//!
//! Three kinds of state are three types. [`CardImage`] is what the issuer put on the card and never
//! changes; [`PersistentState`] is what the card itself changes and a power cut must not undo (retry
//! counters, changed PINs); the volatile state lives from power-on to power-off and is dropped whole.

use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::cvc::CvcPublicKey;
use crate::emulated::EmulatedCard;
use crate::jpki_ap::{self, JpkiAp};
use crate::rsa_key::CardRsaKey;
use protocol::entropy::Entropy;
use std::fmt;
use zeroize::Zeroizing;

/// The contact interface's answer to reset that card readers' software knows the card by.
pub const ATR: [u8; 9] = [0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14];
/// Wrong tries until the authentication PIN blocks.
pub const AUTH_PIN_TRIES: u8 = 3;
/// Wrong tries until the signature password blocks.
pub const SIGN_PASSWORD_TRIES: u8 = 5;
/// Octets of the token information file.
pub const TOKEN_INFO_LEN: usize = 160;

/// Why a secret does not have the form the card asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecretError {
    /// An authentication PIN is four digits.
    #[error("an authentication PIN is four digits")]
    AuthPin,
    /// A signature password is 6 to 16 upper-case letters and digits.
    #[error("a signature password is 6 to 16 upper-case letters and digits")]
    SignPassword,
}

/// The PIN of the card-holder authentication key: four ASCII digits.
#[doc(alias = "利用者証明用電子証明書の暗証番号")]
#[derive(Clone)]
pub struct AuthPin(Zeroizing<Vec<u8>>);

impl AuthPin {
    /// Parses four digits.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        Self::from_octets(text.as_bytes())
    }

    pub(crate) fn from_octets(octets: &[u8]) -> Result<Self, SecretError> {
        if octets.len() == 4 && octets.iter().all(u8::is_ascii_digit) {
            Ok(Self(Zeroizing::new(octets.to_vec())))
        } else {
            Err(SecretError::AuthPin)
        }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AuthPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthPin(****)")
    }
}

/// The password of the signature key: 6 to 16 upper-case ASCII letters and digits.
#[doc(alias = "署名用電子証明書の暗証番号")]
#[derive(Clone)]
pub struct SignPassword(Zeroizing<Vec<u8>>);

impl SignPassword {
    /// Parses 6 to 16 upper-case letters and digits.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        Self::from_octets(text.as_bytes())
    }

    pub(crate) fn from_octets(octets: &[u8]) -> Result<Self, SecretError> {
        let allowed = |octet: &u8| octet.is_ascii_digit() || octet.is_ascii_uppercase();
        if (6..=16).contains(&octets.len()) && octets.iter().all(allowed) {
            Ok(Self(Zeroizing::new(octets.to_vec())))
        } else {
            Err(SecretError::SignPassword)
        }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SignPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignPassword(****)")
    }
}

/// A private key with its certificate and the issuer's, as they stand in the card's files.
pub struct CertifiedKey {
    /// The card holder's certificate, DER (EF 000A or 0001).
    pub end_entity_der: Vec<u8>,
    /// The issuing authority's certificate, DER (EF 000B or 0002).
    pub issuer_der: Vec<u8>,
    /// The private key (EF 0017 or 001A).
    pub private_key: CardRsaKey,
}

impl fmt::Debug for CertifiedKey {
    /// Certificates carry the serial, the signature certificate even name and address: nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertifiedKey(…)")
    }
}

/// The signature half of an adult's card.
#[derive(Debug)]
pub struct SignatureFunction {
    /// Signature key and certificates.
    pub certified: CertifiedKey,
    /// Its password at issue.
    pub password: SignPassword,
}

/// The token information file, 160 octets: a serialised `CK_TOKEN_INFO` whose first 32 octets, the
/// label, are what programs look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenInfo([u8; TOKEN_INFO_LEN]);

impl TokenInfo {
    /// The file as it stands on a card.
    pub const fn from_octets(octets: [u8; TOKEN_INFO_LEN]) -> Self {
        Self(octets)
    }

    /// The file of an emulated card: the label of a My Number Card, and a manufacturer that says what
    /// this is. Serial number and memory sizes stay empty; PIN lengths are 16 and 4.
    pub fn emulated() -> Self {
        let mut octets = Vec::with_capacity(TOKEN_INFO_LEN);
        for (text, width) in
            [("JPKIAPICCTOKEN2", 32), ("KAZASU EMULATED CARD", 32), ("EMULATED", 16), ("", 16)]
        {
            octets.extend(text.bytes().chain(std::iter::repeat(b' ')).take(width));
        }
        // Eleven CK_ULONG of four octets: flags, four session counts, longest and shortest PIN, memory.
        for number in [0u32, 0, 0, 0, 0, 16, 4, 0, 0, 0, 0] {
            octets.extend_from_slice(&number.to_be_bytes());
        }
        let mut file = [0u8; TOKEN_INFO_LEN];
        for (to, from) in file.iter_mut().zip(octets) {
            *to = from;
        }
        Self(file)
    }

    /// The octets of the file.
    pub const fn octets(&self) -> &[u8; TOKEN_INFO_LEN] {
        &self.0
    }
}

/// What the issuer puts on a card.
#[derive(Debug)]
pub struct CardImage {
    /// Card-holder authentication: key, certificate, issuer.
    pub card_holder_auth: CertifiedKey,
    /// The authentication PIN at issue.
    pub auth_pin: AuthPin,
    /// Signature: `None` on the card of a child, who has no signature certificate.
    pub document_signature: Option<SignatureFunction>,
    /// Root of the terminal certificates that this card believes (EF 0016).
    pub terminal_root: CvcPublicKey,
    /// EF 0006.
    pub token_info: TokenInfo,
}

impl CardImage {
    /// A card with both functions.
    pub fn adult(
        card_holder_auth: CertifiedKey,
        auth_pin: AuthPin,
        document_signature: SignatureFunction,
        terminal_root: CvcPublicKey,
    ) -> Self {
        let document_signature = Some(document_signature);
        let token_info = TokenInfo::emulated();
        Self { card_holder_auth, auth_pin, document_signature, terminal_root, token_info }
    }

    /// A card without signature certificate, as children below 15 have it.
    pub fn child(card_holder_auth: CertifiedKey, auth_pin: AuthPin, terminal_root: CvcPublicKey) -> Self {
        let token_info = TokenInfo::emulated();
        Self { card_holder_auth, auth_pin, document_signature: None, terminal_root, token_info }
    }
}

/// Why bytes are not an exported state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateError {
    /// Not an exported state of this kind, or of another version.
    #[error("not an exported state of this kind and version")]
    Format,
    /// A counter or a secret outside its range.
    #[error("a counter or a secret is out of range")]
    Range,
}

/// A secret with its retry counter.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) secret: Zeroizing<Vec<u8>>,
    pub(crate) tries_left: u8,
}

/// What the card changes by itself and keeps without power: retry counters and PINs.
///
/// The owner writes [`Self::to_bytes`] away after every exchange that changed it, before the answer
/// goes out, as a real card does.
#[derive(Clone)]
pub struct PersistentState {
    pub(crate) auth_pin: Credential,
    pub(crate) sign_password: Option<Credential>,
}

impl fmt::Debug for PersistentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistentState")
            .field("auth_pin_tries_left", &self.auth_pin_tries_left())
            .field("sign_password_tries_left", &self.sign_password_tries_left())
            .finish_non_exhaustive()
    }
}

impl PartialEq for PersistentState {
    fn eq(&self, other: &Self) -> bool {
        *self.to_bytes() == *other.to_bytes()
    }
}

impl Eq for PersistentState {}

const STATE_MAGIC: &[u8; 5] = b"KZMC\x01";

impl PersistentState {
    /// The state of a card that leaves the factory: PINs as in the image, all tries left.
    pub fn factory(image: &CardImage) -> Self {
        let credential =
            |secret: &[u8], tries_left| Credential { secret: Zeroizing::new(secret.to_vec()), tries_left };
        Self {
            auth_pin: credential(image.auth_pin.octets(), AUTH_PIN_TRIES),
            sign_password: image
                .document_signature
                .as_ref()
                .map(|function| credential(function.password.octets(), SIGN_PASSWORD_TRIES)),
        }
    }

    /// Tries left before the authentication PIN blocks: 0 (blocked) to 3.
    pub const fn auth_pin_tries_left(&self) -> u8 {
        self.auth_pin.tries_left
    }

    /// Tries left before the signature password blocks: 0 (blocked) to 5; `None` without signature.
    pub fn sign_password_tries_left(&self) -> Option<u8> {
        self.sign_password.as_ref().map(|credential| credential.tries_left)
    }

    /// The state as bytes for a file. Holds the PINs: the file must be as secret as the card.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(STATE_MAGIC.to_vec());
        for credential in [Some(&self.auth_pin), self.sign_password.as_ref()] {
            // A secret is never empty, so length 0 says that there is none.
            let (tries, secret) = credential.map_or((0, &[][..]), |c| (c.tries_left, &c.secret[..]));
            bytes.push(tries);
            bytes.extend(u8::try_from(secret.len()));
            bytes.extend_from_slice(secret);
        }
        bytes
    }

    /// Parses what [`Self::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let rest = bytes.strip_prefix(STATE_MAGIC).ok_or(StateError::Format)?;
        let (auth_tries, pin, rest) = split_credential(rest)?;
        let (sign_tries, password, rest) = split_credential(rest)?;
        if !rest.is_empty() {
            return Err(StateError::Format);
        }
        if auth_tries > AUTH_PIN_TRIES || sign_tries > SIGN_PASSWORD_TRIES {
            return Err(StateError::Range);
        }
        let pin = AuthPin::from_octets(pin).map_err(|_| StateError::Range)?;
        let sign_password = match password {
            [] => None,
            some => {
                let secret = SignPassword::from_octets(some).map_err(|_| StateError::Range)?.0;
                Some(Credential { secret, tries_left: sign_tries })
            }
        };
        Ok(Self { auth_pin: Credential { secret: pin.0, tries_left: auth_tries }, sign_password })
    }
}

fn split_credential(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), StateError> {
    let (&[tries, length], rest) = bytes.split_first_chunk::<2>().ok_or(StateError::Format)?;
    let (secret, rest) = rest.split_at_checked(usize::from(length)).ok_or(StateError::Format)?;
    Ok((tries, secret, rest))
}

/// How often each private key was used since the card object was made: for exact-number tests and the
/// kiosk's proof that nothing was signed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SignatureCounts {
    /// Signatures by the card-holder authentication key.
    pub card_holder_auth: u64,
    /// Signatures by the document signature key.
    pub document_signature: u64,
}

/// An emulated My Number Card.
#[doc(alias = "マイナンバーカード")]
#[derive(Debug)]
pub struct MyNumberCard {
    image: CardImage,
    persistent: PersistentState,
    /// `None` without power.
    volatile: Option<jpki_ap::VolatileState>,
    signatures: SignatureCounts,
}

impl MyNumberCard {
    /// A card from the factory, without power.
    pub fn new(image: CardImage) -> Self {
        let persistent = PersistentState::factory(&image);
        Self::resume(image, persistent)
    }

    /// A card that was used before, without power.
    pub fn resume(image: CardImage, persistent: PersistentState) -> Self {
        Self { image, persistent, volatile: None, signatures: SignatureCounts::default() }
    }

    /// What a power cut must not undo.
    pub const fn persistent_state(&self) -> &PersistentState {
        &self.persistent
    }

    /// How often each key was used.
    pub const fn signatures(&self) -> SignatureCounts {
        self.signatures
    }
}

impl EmulatedCard for MyNumberCard {
    fn atr(&self) -> &[u8] {
        &ATR
    }

    fn power_on(&mut self) {
        self.volatile = Some(jpki_ap::VolatileState::default());
    }

    fn power_off(&mut self) {
        self.volatile = None;
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let Some(volatile) = self.volatile.as_mut() else {
            return Vec::new();
        };
        let application = JpkiAp {
            image: &self.image,
            persistent: &mut self.persistent,
            volatile,
            signatures: &mut self.signatures,
        };
        Answer::encode(match CommandApdu::parse(command) {
            Ok(command) => application.run(&command, entropy),
            Err(_) => Err(StatusWord::WRONG_LENGTH),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_one_form() {
        assert!(AuthPin::parse("1234").is_ok());
        for bad in ["", "123", "12345", "12a4", "１２３４"] {
            assert_eq!(AuthPin::parse(bad).map(|_| ()), Err(SecretError::AuthPin), "{bad}");
        }
        assert!(SignPassword::parse("ABC123").is_ok());
        for bad in ["", "ABC12", "abc123", "ABCDEFGH123456789", "ABC-123"] {
            assert_eq!(SignPassword::parse(bad).map(|_| ()), Err(SecretError::SignPassword), "{bad}");
        }
        assert_eq!(format!("{:?}", AuthPin::parse("1234").unwrap()), "AuthPin(****)");
    }

    #[test]
    fn state_round_trip_prefixes_and_ranges() {
        let credential =
            |secret: &[u8], tries_left| Credential { secret: Zeroizing::new(secret.to_vec()), tries_left };
        let adult = PersistentState {
            auth_pin: credential(b"4321", 2),
            sign_password: Some(credential(b"ABCDEF12", 0)),
        };
        let child = PersistentState { auth_pin: credential(b"0000", 0), sign_password: None };
        for state in [adult, child] {
            let bytes = state.to_bytes();
            assert_eq!(PersistentState::from_bytes(&bytes), Ok(state));
            for end in 0..bytes.len() {
                assert_eq!(PersistentState::from_bytes(&bytes[..end]), Err(StateError::Format));
            }
        }
        assert_eq!(PersistentState::from_bytes(b"KZMC\x01\x04\x041234\x00\x00"), Err(StateError::Range));
        assert_eq!(PersistentState::from_bytes(b"KZMC\x01\x03\x0412a4\x00\x00"), Err(StateError::Range));
        assert_eq!(PersistentState::from_bytes(b"KZMC\x01\x03\x041234\x00\x00\x00"), Err(StateError::Format));
    }

    #[test]
    fn token_info_is_a_serialised_ck_token_info() {
        let info = TokenInfo::emulated();
        assert_eq!(&info.octets()[..32], b"JPKIAPICCTOKEN2                 ");
        assert_eq!(info.octets()[96 + 5 * 4..96 + 7 * 4], [0, 0, 0, 16, 0, 0, 0, 4]);
    }
}
