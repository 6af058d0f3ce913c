//! Who gets what out of the four other applications: every rule and every counter, by hand.

use crate::sweep::{State, states_of, sweep_instructions, sweep_random};
use crate::town::{hex, send, status};
use crate::whole_card::{
    BIRTH_CODE, CARD_FACE, COMMON, COMMON_PIN, ISSUE, NUMBER, REFERENCE_B, REGISTER, REGISTER_PIN,
    RESIDENT_CODE, TEXT_INPUT, TEXT_PIN, read, readable, record, select, tries, verify, whole_card,
    whole_image,
};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::EmulatedCard;
use card::image::{Aid, Term};
use card::my_number_card::jpki::JPKI_AID;
use card::my_number_card::session_key::{SEED_LEN, TerminalSession};
use card::my_number_card::text_input;
use card::rsa_key::CardRsaKey;
use std::sync::Arc;

const FACE_FILES: [u16; 6] = [1, 2, 3, 4, 5, 6];
const TEXT_FILES: [u16; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

#[test]
fn each_printed_number_opens_its_part_of_the_card_face() {
    let mut card = whole_card();
    for (reference, secret, opens) in [
        (0x11, &BIRTH_CODE[..], &[1, 3, 4][..]),
        (0x12, REFERENCE_B, &[2, 3, 4, 6]),
        (0x13, NUMBER, &[2, 3, 4, 5, 6]),
    ] {
        select(&mut card, CARD_FACE);
        assert_eq!(readable(&mut card, &FACE_FILES), [3, 4]);
        assert_eq!(read(&mut card, 1).1, 0x6982);
        assert_eq!(verify(&mut card, reference, secret), 0x9000);
        assert_eq!(readable(&mut card, &FACE_FILES), opens, "{reference:02X}");
        // Another application and back: everything is shut again.
        select(&mut card, TEXT_INPUT);
    }
}

#[test]
fn each_secret_opens_its_part_of_the_text_input() {
    let mut card = whole_card();
    for (reference, secret, opens) in [
        (0x11, &TEXT_PIN[..], &[1, 2, 3, 4, 5, 6, 7, 8][..]),
        (0x14, NUMBER, &[1, 3, 4, 5, 6, 7, 8]),
        (0x15, REFERENCE_B, &[2, 3, 4, 5, 6, 7, 8]),
    ] {
        select(&mut card, TEXT_INPUT);
        assert_eq!(readable(&mut card, &TEXT_FILES), [4, 5]);
        assert_eq!(verify(&mut card, reference, secret), 0x9000);
        assert_eq!(readable(&mut card, &TEXT_FILES), opens, "{reference:02X}");
        // Power off and on: everything is shut again.
        card.power_off();
        card.power_on();
    }
}

/// Wrong numbers block exactly the reference that they were presented to.
#[test]
fn wrong_secrets_block_one_reference_each() {
    for (application, references) in [
        (
            CARD_FACE,
            &[(0x11u16, &b"000000"[..], 10u16), (0x12, b"00000000000000", 10), (0x13, b"000000000000", 10)][..],
        ),
        (TEXT_INPUT, &[(0x11, b"0000", 3), (0x14, b"000000000000", 10), (0x15, b"00000000000000", 10)]),
        (REGISTER, &[(0x1C, b"0000", 3)]),
        (COMMON, &[(0x1C, b"0000", 3)]),
    ] {
        for (which, (reference, wrong, most)) in references.iter().enumerate() {
            let mut card = whole_card();
            select(&mut card, application);
            for left in (0..*most).rev() {
                assert_eq!(verify(&mut card, *reference, wrong), 0x63C0 + left);
                assert_eq!(tries(&mut card, *reference), 0x63C0 + left);
            }
            assert_eq!(verify(&mut card, *reference, wrong), 0x6984);
            for (place, (other, _, most)) in references.iter().enumerate() {
                let expected = if place == which { 0x63C0 } else { 0x63C0 + most };
                assert_eq!(tries(&mut card, *other), expected, "{other:02X} after {reference:02X}");
            }
        }
    }
}

/// The applications have equal references and short identifiers, and nothing else in common.
#[test]
fn a_reference_counts_in_its_own_application_alone() {
    let mut card = whole_card();
    select(&mut card, TEXT_INPUT);
    for _ in 0..3 {
        verify(&mut card, 0x11, b"9999");
    }
    assert_eq!(verify(&mut card, 0x11, TEXT_PIN), 0x6984);
    select(&mut card, CARD_FACE);
    assert_eq!(verify(&mut card, 0x11, BIRTH_CODE), 0x9000);
    for (application, pin) in [(REGISTER, REGISTER_PIN), (COMMON, COMMON_PIN)] {
        select(&mut card, application);
        assert_eq!(verify(&mut card, 0x1C, b"9999"), 0x63C2);
        assert_eq!(verify(&mut card, 0x1C, pin), 0x9000);
        assert_eq!(tries(&mut card, 0x1C), 0x63C3);
    }
    // JPKI's counters know of nothing.
    select(&mut card, &JPKI_AID);
    assert_eq!((tries(&mut card, 0x18), tries(&mut card, 0x1B)), (0x63C3, 0x63C5));
    assert_eq!(readable(&mut card, &[1]), Vec::<u16>::new());
}

#[test]
fn the_blocked_reference_is_blocked_from_the_start() {
    let mut card = whole_card();
    select(&mut card, TEXT_INPUT);
    assert_eq!(tries(&mut card, 0x12), 0x63C0);
    assert_eq!(verify(&mut card, 0x12, b"0000"), 0x6984);
    assert_eq!(verify(&mut card, 0x12, TEXT_PIN), 0x6984);
}

#[test]
fn records_of_the_common_and_the_register_application() {
    let mut card = whole_card();
    select(&mut card, COMMON);
    assert_eq!(record(&mut card, 1), (b"\x01\x1C9900000000000179900120360401".to_vec(), 0x9000));
    let key = record(&mut card, 2);
    assert_eq!((key.0.len(), &key.0[..2], key.1), (18, &[1, 16][..], 0x9000));
    assert_eq!(send(&mut card, &hex("00B2010C00")).0, b"\x01\x1C9900000000000179900120360401"[..], "short");
    assert_eq!(status(&mut card, "00B2020C00"), 0x6A83);
    assert_eq!(read(&mut card, 1).1, 0x6981, "records are not read by offset");
    select(&mut card, REGISTER);
    assert_eq!(record(&mut card, 2), key, "the same octets, as on cards");
    assert_eq!(record(&mut card, 0x101), (Vec::new(), 0x6982));
    assert_eq!(verify(&mut card, 0x1C, COMMON_PIN), 0x63C2);
    assert_eq!(record(&mut card, 0x101).1, 0x6982);
    assert_eq!(verify(&mut card, 0x1C, REGISTER_PIN), 0x9000);
    assert_eq!(record(&mut card, 0x101), ([&[1, 11][..], RESIDENT_CODE].concat(), 0x9000));
}

#[test]
fn pins_are_changed_as_each_application_does_it() {
    let mut card = whole_card();
    for (application, file, pin, change) in [
        (TEXT_INPUT, "0011", TEXT_PIN, "00240180"),
        (REGISTER, "001C", REGISTER_PIN, "80320080"),
        (COMMON, "001C", COMMON_PIN, "80320080"),
    ] {
        let reference = u16::from_str_radix(file, 16).unwrap();
        select(&mut card, application);
        assert_eq!(status(&mut card, &format!("00A4020C02 {file}")), 0x9000);
        assert_eq!(status(&mut card, &format!("{change} 04 34343434")), 0x6982, "not without the old one");
        assert_eq!(verify(&mut card, reference, pin), 0x9000);
        assert_eq!(status(&mut card, &format!("{change} 04 34343461")), 0x6A80);
        assert_eq!(status(&mut card, &format!("{change} 05 3434343434")), 0x6A80);
        assert_eq!(status(&mut card, &format!("{}81 04 34343434", &change[..6])), 0x6A86);
        assert_eq!(status(&mut card, &format!("{change} 04 34343434")), 0x9000);
        assert_eq!(verify(&mut card, reference, pin), 0x63C2);
        assert_eq!(verify(&mut card, reference, b"4444"), 0x9000);
    }
    // Printed numbers cannot be changed, whatever was presented.
    for (application, file, secret) in [(CARD_FACE, "0013", NUMBER), (TEXT_INPUT, "0014", NUMBER)] {
        select(&mut card, application);
        assert_eq!(verify(&mut card, u16::from_str_radix(file, 16).unwrap(), secret), 0x9000);
        assert_eq!(status(&mut card, &format!("00A4020C02 {file}")), 0x9000);
        assert_eq!(status(&mut card, "002401800C 313131313131313131313131"), 0x6982);
    }
    // CHANGE KEY is of the two applications that have it.
    for application in [CARD_FACE, TEXT_INPUT] {
        select(&mut card, application);
        assert_eq!(status(&mut card, "8032008004 34343434"), 0x6D00);
    }
}

fn holds(key: &CardRsaKey, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.spki_der()).verify(message, signature).is_ok()
}

#[test]
fn the_card_shows_its_presence_without_a_secret() {
    let mut card = whole_card();
    let info =
        [hex("3031300D060960864801650304020105000420"), digest(&SHA256, b"challenge").as_ref().to_vec()]
            .concat();
    let with = |header: &str, data: &[u8]| {
        [hex(header), vec![u8::try_from(data.len()).unwrap()], data.to_vec(), vec![0]].concat()
    };
    for (application, key, short) in
        [(CARD_FACE, &ISSUE.card_face, "9A"), (TEXT_INPUT, &ISSUE.text_input, "93")]
    {
        select(&mut card, application);
        for p2 in ["00", short] {
            let (signature, word) = send(&mut card, &with(&format!("802A00{p2}"), &info));
            assert!(word == 0x9000 && holds(key, b"challenge", &signature), "{p2}: {word:04X}");
            let (signature, word) = send(&mut card, &with(&format!("802A03{p2}"), b"challenge"));
            assert!(word == 0x9000 && holds(key, b"challenge", &signature), "{p2}: {word:04X}");
        }
        assert_eq!(status(&mut card, "802A0600 01 01 00"), 0x6A86);
        assert_eq!(status(&mut card, "802A0000 01 01"), 0x6700);
        assert_eq!(status(&mut card, "802A0000 01 01 10"), 0x6C00);
        // These keys sign with the signature command and with no other.
        assert_eq!(status(&mut card, &format!("008800{short} 01 01 00")), 0x6985);
        // What takes session keys signs nothing.
        status(&mut card, "00A4020C02 0106");
        assert_ne!(status(&mut card, "802A0080 01 01 00"), 0x9000);
    }
    select(&mut card, COMMON);
    let (signature, word) = send(&mut card, &with("00880099", b"challenge"));
    assert!(word == 0x9000 && holds(&ISSUE.internal_authenticate, b"challenge", &signature));
    for (command, word) in [
        ("00880199 01 01 00", 0x6A86),
        ("00880019 01 01 00", 0x6A86),
        ("00880098 01 01 00", 0x6A88),
        ("0088009C 01 01 00", 0x6981),
        ("00880099 00", 0x6700),
        ("00880099 01 01", 0x6700),
        ("00880099 01 01 20", 0x6C00),
        ("802A0000 01 01 00", 0x6D00),
    ] {
        assert_eq!(status(&mut card, command), word, "{command}");
    }
    let long = [hex("00880099 000100"), vec![1; 256], hex("0000")].concat();
    assert_eq!(send(&mut card, &long).1, 0x6700);
    // A key behind a PIN stays behind it.
    select(&mut card, &JPKI_AID);
    assert_eq!(status(&mut card, "00880097 01 01 00"), 0x6982);
    assert_eq!(status(&mut card, "802A0000 01 01 00"), 0x6A86, "no key is named by default");
    assert_eq!(verify(&mut card, 0x18, b"1234"), 0x9000);
    assert_eq!(status(&mut card, "00880097 01 01 00"), 0x6985);
    assert_eq!(card.signatures(), card::my_number_card::SignatureCounts::default());
}

/// The general sweep over the whole card, with a session key agreed on as one more state.
#[test]
fn nothing_comes_out_of_a_whole_card_without_its_condition() {
    let image = Arc::new(whole_image());
    let mut states = states_of(&image);
    // Those of the JPKI application have their own sweep.
    states.retain(|state| state.application != Aid::new(&JPKI_AID));
    let file = text_input::session_public_key(&ISSUE.session).unwrap();
    let (hand_over, _) = TerminalSession::hand_over(&file, &[0x42; SEED_LEN]).unwrap();
    let given = [Term::Secret(text_input::PIN)];
    states.push(State::new("session key", Aid::new(TEXT_INPUT), &given, move |card| {
        assert_eq!(verify(card, 0x11, TEXT_PIN), 0x9000);
        assert_eq!(send(card, &hand_over).1, 0x9000);
    }));
    sweep_instructions(&image, &states);
    sweep_random(&image, &states, 150_000, 0x4150_504C);
}
