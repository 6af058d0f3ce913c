//! An emulated card in a file, and its retry counters beside it. As secret as a card: mode 0600.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use card::EmulatedCard;
use card::cvc::{CvcPublicKey, KeyReference};
use card::image::CardImage;
use card::my_number_card::{
    AuthPin, CertifiedKey, MyNumberCard, PersistentState, Personalisation, SignPassword, SignatureFunction,
};
use card::rsa_key::CardRsaKey;
use protocol::entropy::Entropy;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Bytes as base64 in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Base64(String);

impl Base64 {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(STANDARD.encode(bytes))
    }

    pub(crate) fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        STANDARD.decode(&self.0).context("not base64")
    }
}

/// A key with its certificates.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertifiedKeyFile {
    /// PKCS#8.
    pub(crate) private_key: Base64,
    /// DER.
    pub(crate) end_entity: Base64,
    /// DER.
    pub(crate) issuer: Base64,
}

impl CertifiedKeyFile {
    fn open(&self) -> anyhow::Result<CertifiedKey> {
        Ok(CertifiedKey {
            end_entity_der: self.end_entity.bytes()?,
            issuer_der: self.issuer.bytes()?,
            private_key: CardRsaKey::from_pkcs8(&self.private_key.bytes()?)?,
        })
    }
}

/// The card as it leaves the issuer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardFile {
    /// Authentication.
    pub(crate) card_holder_auth: CertifiedKeyFile,
    /// Its PIN.
    pub(crate) auth_pin: String,
    /// Signature; none on a child's card.
    pub(crate) document_signature: Option<CertifiedKeyFile>,
    /// Its password.
    pub(crate) sign_password: Option<String>,
    /// Name of the root of terminal certificates.
    pub(crate) terminal_root_reference: Base64,
    /// Its modulus.
    pub(crate) terminal_root_modulus: Base64,
}

impl CardFile {
    /// The image that the file describes.
    pub(crate) fn image(&self) -> anyhow::Result<CardImage> {
        let root = CvcPublicKey::new(
            KeyReference::parse(&self.terminal_root_reference.bytes()?)?,
            &self.terminal_root_modulus.bytes()?,
        )?;
        let holder = self.card_holder_auth.open()?;
        let pin = AuthPin::parse(&self.auth_pin)?;
        let holder = match (&self.document_signature, &self.sign_password) {
            (Some(certified), Some(password)) => {
                let function = SignatureFunction {
                    certified: certified.open()?,
                    password: SignPassword::parse(password)?,
                };
                Personalisation::adult(holder, pin, function, root)
            }
            _ => Personalisation::child(holder, pin, root),
        };
        Ok(holder.image()?)
    }

    /// Writes the file for its owner alone.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        Ok(chassis::files::write_private(path, &serde_json::to_vec_pretty(self)?)?)
    }
}

/// A card whose retry counters outlive the process: they are on disk before the answer that changed
/// them goes out, as on a real card.
pub(crate) struct KeptCard {
    card: MyNumberCard,
    state: PathBuf,
    written: PersistentState,
}

impl KeptCard {
    /// Opens the card in `path`; its counters are in `path` with `.state` behind.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("reading the card {}", path.display()))?;
        let file: CardFile =
            serde_json::from_slice(&text).with_context(|| format!("{} is not a card", path.display()))?;
        let image = file.image()?;
        let state = path.with_extension("state");
        let card = match std::fs::read(&state) {
            Ok(bytes) => MyNumberCard::resume(image, PersistentState::from_bytes(&bytes)?)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => MyNumberCard::new(image),
            Err(error) => return Err(error).with_context(|| format!("reading {}", state.display())),
        };
        let written = card.persistent_state().clone();
        Ok(Self { card, state, written })
    }
}

impl EmulatedCard for KeptCard {
    fn atr(&self) -> &[u8] {
        self.card.atr()
    }

    fn power_on(&mut self) {
        self.card.power_on();
    }

    fn power_off(&mut self) {
        self.card.power_off();
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let answer = self.card.transmit(command, entropy);
        if *self.card.persistent_state() != self.written {
            let state = self.card.persistent_state().clone();
            if let Err(error) = chassis::files::write_private(&self.state, &state.to_bytes()) {
                // A card that cannot remember a wrong PIN must not say that it was wrong.
                tracing::error!(%error, "the card's counters cannot be kept");
                return vec![0x65, 0x81];
            }
            self.written = state;
        }
        answer
    }
}
