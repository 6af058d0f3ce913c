//! The terminal's reading dialogues against the card, and against cards that lie.

use crate::town::adult;
use crate::whole_card::{
    ADDRESS, ADDRESS_PICTURE, BIRTH, BIRTH_CODE, EXPIRY, NAME, NAME_PICTURE, NUMBER, PHOTO, REFERENCE_B,
    TEXT_PIN, contents_root, entropy, whole_card,
};
use card::EmulatedCard;
use card::apdu::StatusWord;
use card::cvc::CvcPublicKey;
use card::dialogue::read_attributes::{self, AttributesOnCard, AttributesSecret, ReadAttributes};
use card::dialogue::read_card_face::{self, CardFaceRecord, FaceRequest, ReadCardFace, RecordOnCard};
use card::dialogue::read_number::{self, NumberOnCard, NumberSecret, ReadNumber};
use card::dialogue::{DialogueError, Exchange, Misbehaviour};
use card::my_number_card::card_face::{AgeRecord, FaceInformation, FaceRecord, NumberPicture};
use card::my_number_card::common_data::CardData;
use card::my_number_card::contents_issuer::{ContentsError, issuer_key};
use card::my_number_card::printed::{BirthCode, ReferenceA, ReferenceB, Sex};
use card::my_number_card::resident_register::ResidentRecordCode;
use card::my_number_card::text_input::{
    AttributesFile, IntegrityFile, SignedPresenceKey, TextInputPin, parse_number, parse_session_public_key,
};
use proptest::prelude::*;
use proptest::test_runner::Config;
use protocol::entropy::Seeded;

/// What may happen to a response on its way, or to the card between two exchanges.
type Bend<'a> = &'a mut dyn FnMut(&Exchange, &mut Vec<u8>);

fn untouched(_: &Exchange, _: &mut Vec<u8>) {}

/// Runs a dialogue; `watch` sees every exchange.
macro_rules! run {
    ($card:expr, $start:expr, $module:ident, $watch:expr) => {{
        let (mut exchange, mut dialogue) = $start;
        loop {
            let mut response = $card.transmit(&exchange.command, &mut Seeded::new(4));
            $watch(&exchange, &mut response);
            match dialogue.step(&response) {
                Ok($module::Progress::Send(next, rest)) => (exchange, dialogue) = (next, rest),
                Ok($module::Progress::Done(read)) => break Ok(read),
                Err(error) => break Err(error),
            }
        }
    }};
}

fn attributes(
    card: &mut dyn EmulatedCard,
    secret: &AttributesSecret,
    watch: Bend<'_>,
) -> Result<AttributesOnCard, DialogueError> {
    run!(card, ReadAttributes::start(secret, &mut entropy()), read_attributes, watch)
}

fn number(
    card: &mut dyn EmulatedCard,
    secret: &NumberSecret,
    watch: Bend<'_>,
) -> Result<NumberOnCard, DialogueError> {
    run!(card, ReadNumber::start(secret, &mut entropy()), read_number, watch)
}

fn face(
    card: &mut dyn EmulatedCard,
    request: &FaceRequest,
    watch: Bend<'_>,
) -> Result<RecordOnCard, DialogueError> {
    run!(card, ReadCardFace::start(request, &mut entropy()), read_card_face, watch)
}

fn pin(octets: &[u8]) -> TextInputPin {
    TextInputPin::parse(std::str::from_utf8(octets).unwrap()).unwrap()
}

fn reference_a() -> ReferenceA {
    ReferenceA::from_octets(NUMBER).unwrap()
}

fn reference_b() -> ReferenceB {
    ReferenceB::parse(std::str::from_utf8(REFERENCE_B).unwrap()).unwrap()
}

/// Somebody's root that signed nothing here.
fn another_root() -> CvcPublicKey {
    let key = card::rsa_key::CardRsaKey::generate().unwrap();
    CvcPublicKey::of(contents_root().reference(), &key).unwrap()
}

#[test]
fn the_four_attributes_are_read_and_believed() {
    for secret in [AttributesSecret::Pin(pin(TEXT_PIN)), AttributesSecret::ReferenceB(reference_b())] {
        let mut seen = String::new();
        let read = attributes(&mut whole_card(), &secret, &mut |exchange, response| {
            assert!(!response.windows(12).any(|part| part == NUMBER), "nobody asked for the number");
            seen.push_str(&format!("{exchange:?}"));
        })
        .unwrap();
        assert!(!seen.contains("32353830"), "the PIN is not shown");
        let believed = read.verified(&contents_root()).unwrap();
        assert_eq!((believed.name, believed.address), (NAME, ADDRESS));
        assert_eq!((believed.birth, believed.sex), (BIRTH, Sex::Female));
        assert_eq!(read.unverified().unwrap(), believed);
        assert!(matches!(read.verified(&another_root()), Err(ContentsError::Certificate(_))));
        assert_eq!(format!("{read:?}{secret:?}").matches(NAME).count(), 0);
    }
}

#[test]
fn the_number_is_read_by_name_alone() {
    for secret in [NumberSecret::Pin(pin(TEXT_PIN)), NumberSecret::ReferenceA(reference_a())] {
        let mut in_the_clear = false;
        let read = number(&mut whole_card(), &secret, &mut |exchange, response| {
            let seen = [&exchange.command[..], response].concat();
            in_the_clear |= seen.windows(12).any(|part| part == NUMBER);
        })
        .unwrap();
        assert_eq!(in_the_clear, matches!(secret, NumberSecret::ReferenceA(_)));
        assert_eq!(read.verified(&contents_root()).unwrap().octets(), NUMBER);
        assert_eq!(read.unverified().unwrap(), reference_a());
        assert!(read.verified(&another_root()).is_err());
        assert!(!format!("{read:?}{secret:?}{:?}", read.unverified()).contains("1234567"));
    }
}

#[test]
fn every_record_of_the_card_face_is_read_and_believed() {
    let root = contents_root();
    let code = BirthCode::parse(std::str::from_utf8(BIRTH_CODE).unwrap()).unwrap();
    let read = face(&mut whole_card(), &FaceRequest::Age(code), &mut untouched).unwrap();
    assert!(matches!(read.verified(&root).unwrap(), CardFaceRecord::Age(age) if age.birth == BIRTH));
    for request in [FaceRequest::FaceWithA(reference_a()), FaceRequest::FaceWithB(reference_b())] {
        let read = face(&mut whole_card(), &request, &mut untouched).unwrap();
        let CardFaceRecord::Face(face) = read.verified(&root).unwrap() else { panic!("another record") };
        assert_eq!((face.birth, face.sex, face.expiry), (BIRTH, Sex::Female, EXPIRY));
        assert_eq!(face.pictures.photo, PHOTO);
        assert_eq!((face.pictures.name, face.pictures.address), (&NAME_PICTURE[..], &ADDRESS_PICTURE[..]));
        assert!(read.verified(&another_root()).is_err());
    }
    let request = FaceRequest::NumberPicture(reference_a());
    let read = face(&mut whole_card(), &request, &mut untouched).unwrap();
    let CardFaceRecord::NumberPicture(picture) = read.verified(&root).unwrap() else {
        panic!("another record")
    };
    assert_eq!(picture.picture[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(format!("{read:?}{request:?}"), "RecordOnCard(…)NumberPicture(ReferenceA(…))");
}

#[test]
fn wrong_secrets_and_wrong_cards_are_named() {
    let mut card = whole_card();
    let wrong = AttributesSecret::Pin(pin(b"0000"));
    for left in [2, 1] {
        let error = attributes(&mut card, &wrong, &mut untouched).unwrap_err();
        assert_eq!(error, DialogueError::SecretWrong { tries_left: left });
    }
    assert_eq!(attributes(&mut card, &wrong, &mut untouched).unwrap_err(), DialogueError::SecretBlocked);
    assert_eq!(
        number(&mut card, &NumberSecret::Pin(pin(TEXT_PIN)), &mut untouched).unwrap_err(),
        DialogueError::SecretBlocked
    );
    // The printed numbers still open their parts.
    assert!(attributes(&mut card, &AttributesSecret::ReferenceB(reference_b()), &mut untouched).is_ok());
    // A card without these applications.
    let mut jpki_only = adult();
    let request = FaceRequest::FaceWithB(reference_b());
    assert_eq!(face(&mut jpki_only, &request, &mut untouched).unwrap_err(), DialogueError::WrongCard);
    jpki_only.power_off();
    let error = attributes(&mut jpki_only, &wrong, &mut untouched).unwrap_err();
    let what = Misbehaviour::NoStatusWord;
    assert_eq!(error, DialogueError::CardMisbehaved { step: "select application", what });
}

/// Every octet of every response changed once: the result is an error, or not believed, or the same.
#[test]
fn what_was_changed_on_the_way_is_not_believed() {
    let secret = AttributesSecret::ReferenceB(reference_b());
    let root = contents_root();
    let (mut steps, mut longest) = (0, 0);
    attributes(&mut whole_card(), &secret, &mut |_, response| {
        steps += 1;
        longest = longest.max(response.len());
    })
    .unwrap();
    let mut card = whole_card();
    let mut refused = 0;
    for step in 0..steps {
        for at in (0..longest).step_by(11) {
            let mut place = 0;
            let mut bent = false;
            let read = attributes(&mut card, &secret, &mut |exchange, response| {
                // Not the answer to VERIFY: "right" and "wrong" are what that says.
                if place == step && at < response.len() && exchange.step != "present secret" {
                    response[at] ^= 0x11;
                    bent = true;
                }
                place += 1;
            });
            match read.as_ref().map(|read| read.verified(&root)) {
                Ok(Ok(believed)) => {
                    // The table of offsets is not signed, and the attributes do not hang on it.
                    assert_eq!((believed.name, believed.birth), (NAME, BIRTH), "step {step}, octet {at}");
                    assert!(!bent, "step {step}, octet {at}");
                }
                _ => refused += usize::from(bent),
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

/// A copy of another card's files: everything is signed, and the challenge tells.
#[test]
fn a_copy_of_the_files_is_not_the_card() {
    let secret = AttributesSecret::Pin(pin(TEXT_PIN));
    let mut card = whole_card();
    let forger = card::rsa_key::CardRsaKey::generate().unwrap();
    let read = attributes(&mut card, &secret, &mut |exchange, response| {
        if exchange.step == "sign challenge" {
            response.clear();
            let data = &exchange.command[5..exchange.command.len() - 1];
            response.extend(forger.sign_pkcs1_raw(data).unwrap());
            response.extend([0x90, 0x00]);
        }
    });
    assert_eq!(read.unwrap().verified(&contents_root()).unwrap_err(), ContentsError::Presence);
    // A recorded answer does not fit another challenge.
    let mut recorded = Vec::new();
    attributes(&mut card, &secret, &mut |exchange, response| {
        if exchange.step == "sign challenge" {
            recorded.clone_from(response);
        }
    })
    .unwrap();
    let mut other = Seeded::new(1_234);
    let start = ReadAttributes::start(&secret, &mut other);
    let read: Result<AttributesOnCard, DialogueError> =
        run!(card, start, read_attributes, |exchange: &Exchange, response: &mut Vec<u8>| {
            if exchange.step == "sign challenge" {
                response.clone_from(&recorded);
            }
        });
    assert_eq!(read.unwrap().verified(&contents_root()).unwrap_err(), ContentsError::Presence);
}

#[test]
fn a_card_that_never_ends_or_says_too_much_is_stopped() {
    let secret = AttributesSecret::Pin(pin(TEXT_PIN));
    for (bad, what) in [
        (vec![0x90, 0x00], Misbehaviour::Malformed),
        ([&[0xFF, 0x20, 0x83, 1, 0, 0][..], &[0x90, 0]].concat(), Misbehaviour::Malformed),
        ([&[0xFF, 0x20, 0x82, 0xFF, 0xFF][..], &[0x90, 0]].concat(), Misbehaviour::Malformed),
        ([&[0xFF, 0x20, 0x10][..], &[7; 300], &[0x90, 0]].concat(), Misbehaviour::Length),
        (vec![0x90], Misbehaviour::NoStatusWord),
    ] {
        let read = attributes(&mut whole_card(), &secret, &mut |exchange, response| {
            if exchange.step == "read file" {
                response.clone_from(&bad);
            }
        });
        assert_eq!(read.unwrap_err(), DialogueError::CardMisbehaved { step: "read file", what });
    }
    let mut reads = 0;
    let read = attributes(&mut whole_card(), &secret, &mut |exchange, response| {
        if exchange.step == "read file" {
            reads += 1;
            *response =
                if reads == 1 { vec![0xFF, 0x20, 0x82, 0x7F, 0xF0, 1, 0x90, 0] } else { vec![0x90, 0] };
        }
    });
    assert_eq!(reads, 2);
    assert_eq!(
        read.unwrap_err(),
        DialogueError::CardMisbehaved { step: "read file", what: Misbehaviour::Length }
    );
}

/// A card that gives up the session, or answers it in the clear.
#[test]
fn a_broken_session_gives_no_number() {
    let secret = NumberSecret::Pin(pin(TEXT_PIN));
    let run = |bent: &[u8], at: &str| {
        number(&mut whole_card(), &secret, &mut |exchange, response| {
            if exchange.step == at {
                *response = bent.to_vec();
            }
        })
        .unwrap_err()
    };
    let step = "read file under the session key";
    let refused = |status_word| DialogueError::CardRefused { step, status_word };
    assert_eq!(run(&[0x69, 0x88], step), refused(StatusWord(0x6988)));
    let plain = [&[0xFF, 0x10, 12][..], NUMBER, &[0x90, 0]].concat();
    let misbehaved = DialogueError::CardMisbehaved { step, what: Misbehaviour::Malformed };
    assert_eq!(run(&plain, step), misbehaved);
    assert_eq!(run(&[0x90, 0x00], step), misbehaved);
    let step = "hand over session key";
    assert_eq!(
        run(&[0x69, 0x82], step),
        DialogueError::CardRefused { step, status_word: StatusWord::SECURITY_STATUS }
    );
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(1_000) })]

    /// No bytes stop a dialogue from answering, and none make it believe anything.
    #[test]
    fn random_responses_are_errors_or_not_believed(
        responses in proptest::collection::vec(
            prop_oneof![
                4 => Just(vec![0x90, 0x00]),
                2 => (any::<[u8; 3]>(), 0usize..300).prop_map(|(head, length)| {
                    let octets = vec![7; length];
                    [&[0xFF, 0x20][..], &head, &octets, &[0x90, 0x00]].concat()
                }),
                1 => proptest::collection::vec(any::<u8>(), 0..12),
                1 => Just([vec![1; 256], vec![0x90, 0x00]].concat()),
            ],
            1..24,
        ),
    ) {
        let root = contents_root();
        let (_, mut dialogue) = ReadAttributes::start(&AttributesSecret::Pin(pin(TEXT_PIN)), &mut entropy());
        for response in &responses {
            match dialogue.step(response) {
                Ok(read_attributes::Progress::Send(_, rest)) => dialogue = rest,
                Ok(read_attributes::Progress::Done(read)) => {
                    prop_assert!(read.verified(&root).is_err());
                    break;
                }
                Err(_) => break,
            }
        }
        let (_, mut dialogue) = ReadNumber::start(&NumberSecret::Pin(pin(TEXT_PIN)), &mut entropy());
        for response in &responses {
            match dialogue.step(response) {
                Ok(read_number::Progress::Send(_, rest)) => dialogue = rest,
                Ok(read_number::Progress::Done(_)) => panic!("a session out of random bytes"),
                Err(_) => break,
            }
        }
    }

    /// Every parser takes any bytes, and near misses of what it wants.
    #[test]
    fn parsers_take_any_bytes(
        head in proptest::sample::select(vec![
            vec![], vec![0xFF, 0x10], vec![0xFF, 0x20], vec![0xFF, 0x30], vec![0xFF, 0x40], vec![0xFF, 0x50], vec![0xA1],
            vec![0xFF, 0x20, 0x20, 0xDF, 0x21, 0x08, 0, 14, 0, 18, 0, 22, 0, 30, 0xDF, 0x22, 0x01],
        ]),
        tail in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let bytes = [head, tail].concat();
        prop_assert!(AgeRecord::parse(&bytes).is_err());
        prop_assert!(FaceRecord::parse(&bytes).is_err());
        prop_assert!(NumberPicture::parse(&bytes).is_err());
        prop_assert!(FaceInformation::parse(&bytes).is_err());
        prop_assert!(IntegrityFile::parse(&bytes).is_err());
        prop_assert!(SignedPresenceKey::parse(&bytes).is_err());
        prop_assert!(parse_session_public_key(&bytes).is_err());
        prop_assert!(issuer_key(&bytes, &contents_root()).is_err());
        // These are short enough to be hit by chance; what they then hold is in its form.
        if let Ok(attributes) = AttributesFile::parse(&bytes) {
            prop_assert!(attributes.name.len() + attributes.address.len() < bytes.len());
        }
        if let Ok(number) = parse_number(&bytes) {
            prop_assert!(number.octets().iter().all(u8::is_ascii_digit));
        }
        let _ = CardData::parse(&bytes);
        let _ = ResidentRecordCode::parse(&bytes);
    }
}
