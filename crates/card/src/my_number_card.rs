//! The patient's card: what is put on it for its holder, and what tests ask of it.
//!
//! What the card is and who may do what on it stands in its image, `layouts/my_number_card.toml`; the
//! card operating system ([`crate::cos`]) runs it. Here personal data and keys become contents for the
//! image's slots.
//!
//! | module | holds |
//! |---|---|
//! | [`jpki`] | names in the JPKI application |
//! | [`card_face`], [`text_input`], [`resident_register`], [`common_data`] | the files of the four other applications, written and read |
//! | [`printed`] | what is printed on the card, and the secrets made of it |
//! | [`record_file`] | the form that files of the card face and the text input have |
//! | [`contents_issuer`] | who signs them, and the card's own keys that they name |
//! | [`session_key`] | the text input's secure messaging |
//! | [`digit_picture`] | pictures of digits |
//! | [`other_applications`] | contents of all four for one holder |

pub mod card_face;
pub mod common_data;
pub mod contents_issuer;
pub mod digit_picture;
pub mod jpki;
pub mod other_applications;
pub mod printed;
pub mod record_file;
pub mod resident_register;
pub mod session_key;
pub mod text_input;

use crate::cos::Card;
use crate::cvc::CvcPublicKey;
use crate::eac::card_side::BatchMaterial;
use crate::emulated::EmulatedCard;
use crate::image::{CardImage, Contents, ImageError, Layout, LayoutError, terminal_root_octets};
use crate::rsa_key::{CardRsaKey, RsaKeyError};
use contents_issuer::ContentsError;
use jpki::fid;
use other_applications::OtherApplications;
use protocol::entropy::Entropy;
use std::fmt;
use std::sync::{Arc, LazyLock};
use zeroize::Zeroizing;

pub use crate::cos::{PersistentState, StateError};

/// Octets of the token information file.
pub const TOKEN_INFO_LEN: usize = 160;

/// The texts that the built-in layout stands in: the card with its JPKI application, and a file for
/// each other application.
const LAYOUT: [&str; 5] = [
    include_str!("../layouts/my_number_card.toml"),
    include_str!("../layouts/card_face.toml"),
    include_str!("../layouts/text_input.toml"),
    include_str!("../layouts/resident_register.toml"),
    include_str!("../layouts/common.toml"),
];

/// The built-in layout of a My Number Card: all five applications.
pub fn layout() -> Result<&'static Layout, LayoutError> {
    static PARSED: LazyLock<Result<Layout, LayoutError>> = LazyLock::new(|| Layout::from_parts(&LAYOUT));
    PARSED.as_ref().map_err(Clone::clone)
}

/// The built-in layout with the JPKI application alone: all that a touch needs.
pub fn jpki_layout() -> Result<&'static Layout, LayoutError> {
    static PARSED: LazyLock<Result<Layout, LayoutError>> = LazyLock::new(|| {
        let [jpki, ..] = LAYOUT;
        Layout::parse(jpki)
    });
    PARSED.as_ref().map_err(Clone::clone)
}

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

/// Why a card cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PersonalisationError {
    /// The contents do not fit the layout.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A private key cannot be written.
    #[error(transparent)]
    Key(#[from] RsaKeyError),
    /// The contents of the other applications cannot be made.
    #[error(transparent)]
    Contents(#[from] ContentsError),
}

/// What the issuer puts on one holder's card.
#[derive(Debug)]
pub struct Personalisation {
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
    /// Profile `eac` (EF 011C to 011F); without it the card speaks `jicsap` alone.
    pub batch: Option<BatchMaterial>,
}

/// In the presence file (EF 0008): a certificate is there.
const PRESENT: u8 = 0x8F;

impl Personalisation {
    /// A card with both functions.
    pub fn adult(
        card_holder_auth: CertifiedKey,
        auth_pin: AuthPin,
        document_signature: SignatureFunction,
        terminal_root: CvcPublicKey,
    ) -> Self {
        let document_signature = Some(document_signature);
        let token_info = TokenInfo::emulated();
        Self { card_holder_auth, auth_pin, document_signature, terminal_root, token_info, batch: None }
    }

    /// A card without signature certificate, as children below 15 have it.
    pub fn child(card_holder_auth: CertifiedKey, auth_pin: AuthPin, terminal_root: CvcPublicKey) -> Self {
        let token_info = TokenInfo::emulated();
        Self { card_holder_auth, auth_pin, document_signature: None, terminal_root, token_info, batch: None }
    }

    /// The same card as one of this batch: it then speaks both profiles.
    #[must_use]
    pub fn of_batch(self, batch: BatchMaterial) -> Self {
        Self { batch: Some(batch), ..self }
    }

    /// The contents of the layout's slots.
    pub fn contents(&self) -> Result<Contents, RsaKeyError> {
        let mut contents = Contents::new();
        contents.fill("auth.certificate", self.card_holder_auth.end_entity_der.as_slice());
        contents.fill("auth.issuer", self.card_holder_auth.issuer_der.as_slice());
        contents.fill("auth.key", self.card_holder_auth.private_key.pkcs8_der()?.as_slice());
        contents.fill("auth.pin", self.auth_pin.octets());
        contents.fill("terminal.root", terminal_root_octets(&self.terminal_root));
        contents.fill("token.information", self.token_info.octets().as_slice());
        let mut presence = [0, PRESENT, 0];
        if let Some(SignatureFunction { certified, password }) = &self.document_signature {
            presence = [PRESENT, PRESENT, 0];
            contents.fill("sign.certificate", certified.end_entity_der.as_slice());
            contents.fill("sign.issuer", certified.issuer_der.as_slice());
            contents.fill("sign.key", certified.private_key.pkcs8_der()?.as_slice());
            contents.fill("sign.password", password.octets());
        }
        contents.fill("certificates.presence", presence);
        if let Some(batch) = &self.batch {
            batch.fill(&mut contents);
        }
        Ok(contents)
    }

    /// The card image of this holder with the JPKI application alone.
    pub fn image(&self) -> Result<CardImage, PersonalisationError> {
        let layout = jpki_layout().map_err(ImageError::from)?;
        Ok(CardImage::new(layout, &self.contents()?)?)
    }

    /// The contents of all five applications' slots.
    pub fn whole_contents(&self, other: &OtherApplications<'_>) -> Result<Contents, PersonalisationError> {
        let mut contents = self.contents()?;
        other.fill(&mut contents)?;
        Ok(contents)
    }

    /// The card image of this holder with all five applications.
    pub fn whole_image(&self, other: &OtherApplications<'_>) -> Result<CardImage, PersonalisationError> {
        let layout = layout().map_err(ImageError::from)?;
        Ok(CardImage::new(layout, &self.whole_contents(other)?)?)
    }
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
pub struct MyNumberCard(Card);

impl MyNumberCard {
    /// A card from the factory, without power.
    pub fn new(image: impl Into<Arc<CardImage>>) -> Self {
        Self(Card::new(image))
    }

    /// A card that was used before, without power. Fails with [`StateError::Range`] where the state
    /// cannot be one of this card.
    pub fn resume(image: impl Into<Arc<CardImage>>, persistent: PersistentState) -> Result<Self, StateError> {
        Card::resume(image, persistent).map(Self)
    }

    /// What the card is made of.
    pub fn image(&self) -> &CardImage {
        self.0.image()
    }

    /// What a power cut must not undo.
    pub const fn persistent_state(&self) -> &PersistentState {
        self.0.persistent_state()
    }

    /// Tries left before the authentication PIN blocks: 0 (blocked) to 3.
    pub fn auth_pin_tries_left(&self) -> u8 {
        self.jpki(|card, aid| card.tries_left(aid, fid::AUTH_PIN)).unwrap_or(0)
    }

    /// Tries left before the signature password blocks: 0 (blocked) to 5; `None` without signature.
    pub fn sign_password_tries_left(&self) -> Option<u8> {
        self.jpki(|card, aid| card.tries_left(aid, fid::SIGN_PASSWORD))
    }

    /// How often each key was used.
    pub fn signatures(&self) -> SignatureCounts {
        let uses = |fid| self.jpki(|card, aid| Some(card.key_uses(aid, fid))).unwrap_or(0);
        SignatureCounts { card_holder_auth: uses(fid::AUTH_KEY), document_signature: uses(fid::SIGN_KEY) }
    }

    fn jpki<T>(&self, ask: impl FnOnce(&Card, &crate::image::Aid) -> Option<T>) -> Option<T> {
        ask(&self.0, &jpki::aid()?)
    }
}

impl EmulatedCard for MyNumberCard {
    fn atr(&self) -> &[u8] {
        self.0.atr()
    }

    fn power_on(&mut self) {
        self.0.power_on();
    }

    fn power_off(&mut self) {
        self.0.power_off();
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        self.0.transmit(command, entropy)
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
    fn token_info_is_a_serialised_ck_token_info() {
        let info = TokenInfo::emulated();
        assert_eq!(&info.octets()[..32], b"JPKIAPICCTOKEN2                 ");
        assert_eq!(info.octets()[96 + 5 * 4..96 + 7 * 4], [0, 0, 0, 16, 0, 0, 0, 4]);
    }

    #[test]
    fn the_layout_says_what_the_types_say() {
        let layout = layout().unwrap();
        let jpki = &layout.applications[0];
        assert_eq!(jpki.aid.as_bytes(), jpki::JPKI_AID);
        assert_eq!(layout.atr, [0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14]);
    }
}
