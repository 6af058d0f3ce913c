//! An emulated card in a file, and its retry counters beside it. As secret as a card: mode 0600.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use card::EmulatedCard;
use card::cos::{Card, PersistentState};
use card::image::{CardImage, Contents, Layout};
use card::{hpki_card, my_number_card};
use protocol::entropy::Entropy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// A layout that the program brings along.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BuiltInLayout {
    /// `my-number-card`: all five applications.
    MyNumberCard,
    /// `hpki-card`: a health professional's card.
    HpkiCard,
}

/// What the card is, apart from its holder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LayoutSource {
    /// One of the program's own.
    BuiltIn(BuiltInLayout),
    /// The text of a layout, `docs/card-image.md`.
    Text(String),
}

/// The card as it leaves the issuer: a layout, and the octets for its slots.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardFile {
    layout: LayoutSource,
    contents: BTreeMap<String, Base64>,
}

impl CardFile {
    /// The file of a card with these contents.
    pub(crate) fn of(layout: BuiltInLayout, contents: &Contents) -> Self {
        let slots =
            contents.slots().filter_map(|slot| Some((slot.to_owned(), Base64::of(contents.get(slot)?))));
        Self { layout: LayoutSource::BuiltIn(layout), contents: slots.collect() }
    }

    /// The image that the file describes.
    pub(crate) fn image(&self) -> anyhow::Result<CardImage> {
        let mut contents = Contents::new();
        for (slot, octets) in &self.contents {
            contents.fill(slot, octets.bytes().with_context(|| format!("slot {slot}"))?);
        }
        Ok(match &self.layout {
            LayoutSource::BuiltIn(BuiltInLayout::MyNumberCard) => {
                CardImage::new(my_number_card::layout()?, &contents)?
            }
            LayoutSource::BuiltIn(BuiltInLayout::HpkiCard) => {
                CardImage::new(hpki_card::layout()?, &contents)?
            }
            LayoutSource::Text(text) => CardImage::new(&Layout::parse(text)?, &contents)?,
        })
    }

    /// Writes the file for its owner alone.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        Ok(chassis::files::write_private(path, &serde_json::to_vec_pretty(self)?)?)
    }
}

/// A card whose retry counters outlive the process: they are on disk before the answer that changed
/// them goes out, as on a real card.
pub(crate) struct KeptCard {
    card: Card,
    state: PathBuf,
    written: PersistentState,
}

impl KeptCard {
    /// A copy of the card in `path`, of which nothing is kept.
    pub(crate) fn copy(path: &Path) -> anyhow::Result<Card> {
        Ok(Self::open(path)?.card)
    }

    /// Opens the card in `path`; its counters are in `path` with `.state` behind.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("reading the card {}", path.display()))?;
        let file: CardFile =
            serde_json::from_slice(&text).with_context(|| format!("{} is not a card", path.display()))?;
        let image = file.image()?;
        let state = path.with_extension("state");
        let card = match std::fs::read(&state) {
            Ok(bytes) => Card::resume(image, PersistentState::from_bytes(&bytes)?)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Card::new(image),
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

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: &str = r#"
format = 1
card = "library card"
atr = "3B 00"
[[application]]
name = "loans"
aid = "F0 4C 49 42 52 01"
commands = ["files", "secrets"]
[[application.object]]
fid = 0x0018
kind = "secret"
slot = "pin"
form = "digits 4"
tries = 3
change = "never"
"#;

    fn transmit(card: &mut KeptCard, command: &[u8]) -> Vec<u8> {
        card.transmit(command, &mut protocol::entropy::Seeded::new(1))
    }

    #[test]
    fn a_card_with_a_layout_of_its_own_keeps_its_counter() {
        let dir = std::env::temp_dir().join(format!("kazasu-card-file-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("library.card");
        let contents = BTreeMap::from([("pin".to_owned(), Base64::of(b"2468"))]);
        CardFile { layout: LayoutSource::Text(LAYOUT.to_owned()), contents }.write(&path).unwrap();
        let select = b"\x00\xA4\x04\x0C\x06\xF0LIBR\x01";
        for left in [2u8, 1] {
            let mut card = KeptCard::open(&path).unwrap();
            card.power_on();
            assert_eq!(transmit(&mut card, select), [0x90, 0x00]);
            assert_eq!(transmit(&mut card, b"\x00\x20\x00\x98\x041111"), [0x63, 0xC0 | left]);
        }
        let bad = |text: &str| {
            std::fs::write(&path, text).unwrap();
            format!("{:#}", KeptCard::open(&path).err().unwrap())
        };
        let said = bad(r#"{"layout":{"built_in":"my-number-card"},"contents":{}}"#);
        assert!(said.contains("slot \"") && said.contains("empty"), "{said}");
        let said = bad(r#"{"layout":{"built_in":"my-number-card"},"contents":{"auth.pin":"***"}}"#);
        assert!(said.contains("auth.pin"), "{said}");
        let said = bad(r#"{"layout":{"built_in":"other"},"contents":{}}"#);
        assert!(said.contains("is not a card"), "{said}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
