//! A specimen person's card in the test's own process, so that the test can count what its keys did.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use card::EmulatedCard;
use card::image::{CardImage, Contents};
use card::my_number_card::{MyNumberCard, SignatureCounts};
use card_io::{CardServer, InsertedCard, TraceEvent};
use chassis::entropy::SystemEntropy;
use protocol::entropy::Entropy;
use serde_json::Value;
use std::fs;
use std::sync::{Arc, Mutex};

/// A card that shows its signature counts to the outside while somebody else holds it.
struct Counted {
    card: MyNumberCard,
    shown: Arc<Mutex<SignatureCounts>>,
}

impl EmulatedCard for Counted {
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
        let response = self.card.transmit(command, entropy);
        *self.shown.lock().unwrap() = self.card.signatures();
        response
    }
}

/// What a card file of the town holds, slot by slot.
pub(crate) fn contents(path: &str) -> Contents {
    let file: Value = serde_json::from_slice(&fs::read(path).expect("the card file")).expect("JSON");
    assert_eq!(file["layout"]["built_in"], "my-number-card");
    let mut contents = Contents::new();
    for (slot, octets) in file["contents"].as_object().expect("slots") {
        contents.fill(slot, STANDARD.decode(octets.as_str().expect("a text")).expect("base64"));
    }
    contents
}

/// The card described by a card file of the town.
pub(crate) fn open(path: &str) -> MyNumberCard {
    let layout = card::my_number_card::layout().expect("the built-in layout");
    MyNumberCard::new(CardImage::new(layout, &contents(path)).expect("a card"))
}

/// A card beside the desk, and how often its keys were used.
pub(crate) struct SpecimenCard {
    server: Option<CardServer>,
    inserted: Option<InsertedCard>,
    signatures: Arc<Mutex<SignatureCounts>>,
    instructions: Arc<Mutex<Vec<u8>>>,
}

impl SpecimenCard {
    /// The card in the file `path`, to be placed on the reader at `address`.
    pub(crate) fn new(path: &str, address: &str) -> Self {
        let signatures = Arc::new(Mutex::new(SignatureCounts::default()));
        let instructions = Arc::new(Mutex::new(Vec::new()));
        let card = Counted { card: open(path), shown: Arc::clone(&signatures) };
        let seen = Arc::clone(&instructions);
        let server = CardServer::new(Box::new(card), Box::new(SystemEntropy)).reader_at(address).observed_by(
            move |event| {
                if let TraceEvent::Exchange { instruction, .. } = event {
                    seen.lock().unwrap().push(*instruction);
                }
            },
        );
        Self { server: Some(server), inserted: None, signatures, instructions }
    }

    /// Puts the card on the reader.
    pub(crate) fn place(&mut self) {
        let server = self.server.take().expect("the card is not on the reader");
        self.inserted = Some(server.insert().expect("a thread"));
    }

    /// Takes the card away.
    pub(crate) fn take(&mut self) {
        let inserted = self.inserted.take().expect("the card is on the reader");
        self.server = Some(inserted.remove().expect("the card did not panic"));
    }

    /// Signatures by both keys together.
    pub(crate) fn signatures(&self) -> u64 {
        let counts = *self.signatures.lock().unwrap();
        counts.card_holder_auth + counts.document_signature
    }

    /// INS octets of all commands so far.
    pub(crate) fn instructions(&self) -> Vec<u8> {
        self.instructions.lock().unwrap().clone()
    }
}
