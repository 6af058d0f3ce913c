//! The town's cards, read as a stranger would who has only the town's description.

use crate::fixture::Town;
use crate::specimen_card;
use crate::town::files;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use card::EmulatedCard as _;
use card::cvc::{CvcPublicKey, KeyReference};
use card::dialogue::read_attributes::{self, AttributesSecret, ReadAttributes};
use card::dialogue::read_card_face::{self, CardFaceRecord, FaceRequest, ReadCardFace};
use card::dialogue::read_number::{self, NumberSecret, ReadNumber};
use card::my_number_card::MyNumberCard;
use card::my_number_card::printed::{ReferenceA, ReferenceB};
use card::my_number_card::text_input::TextInputPin;
use chassis::entropy::SystemEntropy;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The key that the cards' contents are checked with, as a script would take it from the town's files.
fn contents_root(town: &Town) -> CvcPublicKey {
    let text = fs::read_to_string(town.text("/card_contents_root")).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let spki = STANDARD.decode(body).unwrap();
    // A SubjectPublicKeyInfo of RSA-2048 ends with the modulus and `02 03 010001`.
    let modulus = spki.split_last_chunk::<5>().unwrap().0.split_last_chunk::<256>().unwrap().1;
    CvcPublicKey::new(KeyReference::numbered(9_990_023, 1).unwrap(), modulus).unwrap()
}

fn read_number(card: &mut MyNumberCard, pin: &str) -> ReferenceA {
    let secret = NumberSecret::Pin(TextInputPin::parse(pin).unwrap());
    let (mut exchange, mut dialogue) = ReadNumber::start(&secret, &mut SystemEntropy);
    loop {
        let response = card.transmit(&exchange.command, &mut SystemEntropy);
        match dialogue.step(&response).unwrap() {
            read_number::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            read_number::Progress::Done(read) => return read.unverified().unwrap(),
        }
    }
}

/// With `people[].pin` and `people[].card_face`, and checked with `card_contents_root`.
pub(crate) fn every_card_is_read_with_what_the_description_says(town: &Town) {
    let root = contents_root(town);
    let mut numbers = Vec::new();
    for person in town.patients() {
        let text = |pointer: &str| person.pointer(pointer).and_then(Value::as_str).unwrap();
        let mut card = specimen_card::open(text("/card"));
        card.power_on();
        let b = ReferenceB::parse(text("/card_face/reference_b")).unwrap();
        let secret = AttributesSecret::Pin(TextInputPin::parse(text("/pin")).unwrap());
        let (mut exchange, mut dialogue) = ReadAttributes::start(&secret, &mut SystemEntropy);
        let attributes = loop {
            let response = card.transmit(&exchange.command, &mut SystemEntropy);
            match dialogue.step(&response).unwrap() {
                read_attributes::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
                read_attributes::Progress::Done(read) => break read,
            }
        };
        let attributes = attributes.verified(&root).unwrap();
        assert!(attributes.name.starts_with("見本\u{3000}"), "{}", text("/name"));
        assert!(attributes.address.starts_with("見本県見本市"), "{}", text("/name"));
        let (mut exchange, mut dialogue) =
            ReadCardFace::start(&FaceRequest::FaceWithB(b), &mut SystemEntropy);
        let face = loop {
            let response = card.transmit(&exchange.command, &mut SystemEntropy);
            match dialogue.step(&response).unwrap() {
                read_card_face::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
                read_card_face::Progress::Done(read) => break read,
            }
        };
        let CardFaceRecord::Face(face) = face.verified(&root).unwrap() else { panic!("another record") };
        assert_eq!(face.birth, attributes.birth);
        assert_eq!(text("/card_face/birth_code"), &text("/card_face/reference_b")[..6]);
        numbers.push(*read_number(&mut card, text("/pin")).octets());
    }
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "everybody has a number of his own");
}

/// Neither in the description nor in a store, a log or a config.
pub(crate) fn no_holders_number_is_outside_the_cards(town: &Town, dir: &str) {
    let number = |person: &Value| {
        let mut card = specimen_card::open(person["card"].as_str().unwrap());
        card.power_on();
        *read_number(&mut card, person["pin"].as_str().unwrap()).octets()
    };
    let numbers: Vec<[u8; 12]> = town.patients().map(number).collect();
    for path in files(Path::new(dir)) {
        let octets = fs::read(&path).unwrap();
        let found = octets.windows(12).any(|run| numbers.iter().any(|number| run == number));
        assert!(!found, "{}", path.display());
    }
}
