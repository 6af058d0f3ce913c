//! Bytes that nobody honest sends, to both cards and to every dialogue.

use crate::town::{
    AUTHORITY, NOW, PASSWORD, Platform, SIGN_MARK, Terminal, adult, external_authenticate, hex, input, load,
    powered, proof, secure_element_image, send,
};
use card::EmulatedCard;
use card::apdu::{CommandApdu, ResponseApdu, StatusWord};
use card::cvc::{CvcAuthority, CvcChain, KeyReference};
use card::dialogue::institution_auth::{InstitutionAuth, Progress};
use card::dialogue::power_on::{self, PowerOn};
use card::my_number_card::SignatureCounts;
use card::rsa_key::CardRsaKey;
use card::secure_element::{PersistentState, SECURE_ELEMENT_AID, SecureElement};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::entropy::Seeded;

/// A command near enough to real ones to get past the first check.
fn near_command() -> impl Strategy<Value = Vec<u8>> {
    let cla = prop_oneof![8 => Just(0x00u8), 8 => Just(0x80), 1 => any::<u8>()];
    let ins = prop_oneof![
        12 => proptest::sample::select(vec![0xA4u8, 0xB0, 0xB2, 0x20, 0x24, 0x84, 0x82, 0xA2, 0x2A, 0x22, 0x88, 0xCA, 0xDA, 0xD0, 0xD2]),
        1 => any::<u8>(),
    ];
    let p = || {
        prop_oneof![
            6 => proptest::sample::select(vec![
                0x00u8, 0x01, 0x02, 0x04, 0x06, 0x0C, 0x21, 0x10, 0x13, 0x20, 0x7F, 0x80, 0x81, 0x86, 0x8A, 0x97, 0x98, 0x9A, 0x9B, 0xA4, 0xC1,
            ]),
            1 => any::<u8>(),
        ]
    };
    let data = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..40),
        2 => proptest::sample::select(vec![
            hex("D392F000260100000001"),
            SECURE_ELEMENT_AID.to_vec(),
            hex("0001"), hex("000A"), hex("0016"), hex("0017"), hex("0018"), hex("001A"), hex("001B"),
            hex("7F21820233"), vec![0x5A; 256], input().encode(),
        ]),
        1 => proptest::collection::vec(any::<u8>(), 250..600),
    ];
    let expected = prop_oneof![
        Just(None),
        Just(Some(16u32)),
        Just(Some(256)),
        Just(Some(65_536)),
        (1u32..=65_536).prop_map(Some)
    ];
    (cla, ins, p(), p(), data, expected, any::<u8>()).prop_map(|(cla, ins, p1, p2, data, expected, cut)| {
        let mut builder = card::apdu::CommandBuilder::new(cla, ins, p1, p2).data(&data);
        if let Some(ne) = expected {
            builder = builder.expect(ne);
        }
        let mut bytes = builder.encode().unwrap();
        // Now and then the lengths do not add up.
        if cut < 16 {
            bytes.truncate(usize::from(cut));
        }
        bytes
    })
}

/// The right secrets must not be guessed: then nothing secret may come out, in whatever order.
fn presents_a_right_secret(command: &[u8]) -> bool {
    CommandApdu::parse(command)
        .is_ok_and(|c| c.ins == 0x20 && [b"1234", PASSWORD.as_bytes()].contains(&c.data))
}

#[test]
fn random_commands_get_nothing_out_of_a_card() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(400) });
    let patient = std::cell::RefCell::new(adult());
    let entropy = std::cell::RefCell::new(Seeded::new(8));
    runner
        .run(&proptest::collection::vec(near_command(), 1..100), |commands| {
            let (mut patient, mut entropy) = (patient.borrow_mut(), entropy.borrow_mut());
            patient.power_off();
            patient.power_on();
            for command in commands.iter().filter(|command| !presents_a_right_secret(command)) {
                let bytes = patient.transmit(command, &mut *entropy);
                let response = ResponseApdu::parse(&bytes).unwrap();
                prop_assert!(response.data.is_empty() || matches!(response.status.0, 0x9000 | 0x6282));
                let leaked = response.data.windows(8).any(|window| *window == SIGN_MARK[..8]);
                prop_assert!(!leaked, "signature certificate after {:02X?}", command);
                if CommandApdu::parse(command).is_ok_and(|c| c.ins == 0x2A) {
                    prop_assert!(response.data.is_empty(), "a signature after {:02X?}", command);
                }
            }
            prop_assert_eq!(patient.signatures(), SignatureCounts::default());
            Ok(())
        })
        .unwrap();
}

/// What an honest observer knows about the card: which secrets were presented.
#[derive(Clone, Copy, Default)]
struct Model {
    selected: bool,
    pin: bool,
    password: bool,
    /// An institution was authenticated and its one signature not yet taken.
    institution: bool,
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Select,
    PowerCycle,
    Pin,
    WrongPin,
    Password,
    SignAuth,
    SignDocument,
    ReadSignCertificate,
    Institution,
}

#[test]
fn the_card_gives_exactly_what_its_rules_give() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(64) });
    let moves = proptest::sample::select(vec![
        Move::Select,
        Move::PowerCycle,
        Move::Pin,
        Move::WrongPin,
        Move::Password,
        Move::SignAuth,
        Move::SignDocument,
        Move::ReadSignCertificate,
        Move::Institution,
    ]);
    let leaf =
        CvcAuthority::new(KeyReference::numbered(7_200_003, 42).unwrap(), CardRsaKey::generate().unwrap());
    let chain = AUTHORITY.chain_for(leaf.private_key());
    runner
        .run(&proptest::collection::vec(moves, 1..24), |moves| {
            let mut patient = adult();
            let mut model = Model::default();
            let hash = "0101010101010101010101010101010101010101010101010101010101010101";
            for step in moves {
                // A wrong PIN is always followed by the right one, so nothing blocks in this test.
                let (command, allowed) = match step {
                    Move::Select => ("00A4040C0A D392F000260100000001".to_owned(), true),
                    Move::PowerCycle => {
                        patient.power_off();
                        patient.power_on();
                        model = Model::default();
                        continue;
                    }
                    Move::Pin => ("0020009804 31323334".to_owned(), model.selected),
                    Move::WrongPin => {
                        patient.transmit(&hex("0020009804 31323334"), &mut Seeded::new(1));
                        ("0020009804 39393939".to_owned(), false)
                    }
                    Move::Password => ("0020009B06 414243313233".to_owned(), model.selected),
                    Move::SignAuth => (format!("802A029720 {hash} 00"), model.pin || model.institution),
                    Move::SignDocument => (format!("802A029A20 {hash} 00"), model.password),
                    Move::ReadSignCertificate => ("00B0810000".to_owned(), model.password),
                    Move::Institution => {
                        send(&mut patient, &hex("00A4020C02 0016"));
                        prop_assert_eq!(load(&mut patient, &chain).is_ok(), model.selected);
                        let challenge = send(&mut patient, &hex("0084000010")).0.try_into().unwrap();
                        let signed = proof(&leaf, &challenge, &chain.leaf.body().subject.reference());
                        let word = external_authenticate(&mut patient, &signed);
                        prop_assert_eq!(word == 0x9000, model.selected);
                        model.institution = model.selected;
                        continue;
                    }
                };
                let response = patient.transmit(&hex(&command), &mut Seeded::new(1));
                let status = ResponseApdu::parse(&response).unwrap().status;
                prop_assert_eq!(status == StatusWord::OK, allowed, "{:?}: {}", step, status);
                match step {
                    Move::Select => model.selected = true,
                    Move::Pin => model.pin = model.selected,
                    Move::WrongPin => (model.pin, model.institution) = (false, false),
                    // Used up or taken away, whichever key was asked for.
                    Move::SignAuth | Move::SignDocument => model.institution = false,
                    Move::Password => model.password = model.selected,
                    _ => {}
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn random_commands_get_nothing_out_of_a_locked_secure_element() {
    let platform = Platform::new();
    let image = secure_element_image(&AUTHORITY, &platform);
    let secure_element = powered(SecureElement::new(image, PersistentState::factory(NOW)));
    let cell = std::cell::RefCell::new((secure_element, Seeded::new(8)));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(400) });
    runner
        .run(&proptest::collection::vec(near_command(), 1..100), |commands| {
            let (secure_element, entropy) = &mut *cell.borrow_mut();
            secure_element.power_off();
            secure_element.power_on();
            for command in &commands {
                let bytes = secure_element.transmit(command, entropy);
                let response = ResponseApdu::parse(&bytes).unwrap();
                // FCI, challenges and evidence keys are short; commands for a card, certificates and
                // signatures are not.
                prop_assert!(response.data.len() <= 65, "{:02X?}", command);
            }
            prop_assert_eq!(secure_element.persistent_state(), &PersistentState::factory(NOW));
            Ok(())
        })
        .unwrap();
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(2_000) })]

    #[test]
    fn random_bytes_never_stop_a_dialogue_from_answering(
        responses in proptest::collection::vec(
            prop_oneof![
                Just(vec![0x90, 0x00]),
                proptest::collection::vec(any::<u8>(), 0..12),
                (proptest::collection::vec(any::<u8>(), 0..300)).prop_map(|mut data| { data.extend([0x90, 0]); data }),
            ],
            1..20,
        ),
    ) {
        let (_, mut dialogue) = InstitutionAuth::start(input()).unwrap();
        for response in &responses {
            match dialogue.step(response) {
                Ok(Progress::Send(_, rest)) => dialogue = rest,
                Ok(Progress::Done(_)) => panic!("evidence out of random bytes"),
                Err(_) => break,
            }
        }
        let (_, mut dialogue) = PowerOn::start();
        for response in &responses {
            match dialogue.step(response) {
                Ok(power_on::Progress::Send(_, rest)) => dialogue = rest,
                Ok(_) => panic!("a Secure Element out of random bytes"),
                Err(_) => break,
            }
        }
    }

    #[test]
    fn exported_states_and_chains_parse_or_fail_cleanly(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = card::my_number_card::PersistentState::from_bytes(&bytes);
        let _ = PersistentState::from_bytes(&bytes);
        prop_assert!(CvcChain::parse(&bytes).is_err());
        for magic in [b"KZCS\x01", b"KZSE\x02"] {
            let with_magic = [&magic[..], &bytes].concat();
            if let Ok(state) = card::my_number_card::PersistentState::from_bytes(&with_magic) {
                prop_assert_eq!(&state.to_bytes()[..], &with_magic[..]);
            }
            if let Ok(state) = PersistentState::from_bytes(&with_magic) {
                prop_assert_eq!(&state.to_bytes()[..], &with_magic[..]);
            }
        }
    }
}

#[test]
fn a_card_that_never_ends_is_stopped() {
    // A certificate header of 64 KiB is refused at once; an honest header with endless zero-length
    // answers as well.
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    let mut patient = adult();
    for bent in [hex("3082FFFF 00 9000"), hex("3082040000 9000"), hex("9000")] {
        let mut reads = 0;
        let result = terminal.touch_watched(&mut patient, input(), |exchange, response, _| {
            if exchange.step == "read authentication certificate" {
                reads += 1;
                response.clone_from(if reads == 1 { &bent } else { &EMPTY });
            }
        });
        assert!(result.is_err());
        assert!(reads <= 2, "{reads}");
    }
}

static EMPTY: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| hex("9000"));
