//! Who gets what out of the four other applications: every rule and every counter, by hand.

use crate::town::{hex, send, status};
use crate::whole_card::{
    ADDRESS_PICTURE, BIRTH_CODE, CARD_FACE, COMMON, COMMON_PIN, ISSUE, NAME_PICTURE, NUMBER, PHOTO,
    REFERENCE_B, REGISTER, REGISTER_PIN, RESIDENT_CODE, TEXT_INPUT, TEXT_PIN, read, readable, record, select,
    tries, verify, whole_card,
};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::EmulatedCard;
use card::rsa_key::CardRsaKey;

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
    select(&mut card, &card::my_number_card::jpki::JPKI_AID);
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
    select(&mut card, &card::my_number_card::jpki::JPKI_AID);
    assert_eq!(status(&mut card, "00880097 01 01 00"), 0x6982);
    assert_eq!(status(&mut card, "802A0000 01 01 00"), 0x6A86, "no key is named by default");
    assert_eq!(verify(&mut card, 0x18, b"1234"), 0x9000);
    assert_eq!(status(&mut card, "00880097 01 01 00"), 0x6985);
    assert_eq!(card.signatures(), card::my_number_card::SignatureCounts::default());
}

/// Everything that is the holder's, so that a search finds it.
fn holders_octets() -> Vec<&'static [u8]> {
    vec![
        NUMBER,
        crate::whole_card::NAME.as_bytes(),
        crate::whole_card::ADDRESS.as_bytes(),
        b"19850401",
        REFERENCE_B,
        RESIDENT_CODE,
        &NAME_PICTURE[..32],
        &ADDRESS_PICTURE[..32],
        &PHOTO[..32],
        &crate::town::SIGN_MARK[..8],
    ]
}

/// Every class and instruction, with headers and data near to real ones, in every application: nothing of
/// the holder's comes out without a secret, nothing is counted, nothing is signed but by presence keys.
#[test]
fn no_command_without_a_secret_gives_a_holders_octet() {
    let mut card = whole_card();
    let octets = holders_octets();
    let bodies = [
        hex("00"),
        hex("02 0001 00"),
        hex("02 0101"),
        hex("04 31323334"),
        hex("13 861101 00000000000000000000000000000000"),
        hex("05 9603000000 00"),
        Vec::new(),
    ];
    for application in [CARD_FACE, TEXT_INPUT, REGISTER, COMMON, &card::my_number_card::jpki::JPKI_AID] {
        select(&mut card, application);
        let before = card.persistent_state().clone();
        let mut answers = 0;
        for cla in [0x00u8, 0x08, 0x0C, 0x10, 0x80, 0x88, 0x8C, 0xFF] {
            for ins in (0..=0xFFu8).filter(|ins| !matches!(ins, 0xA4 | 0x20)) {
                for (p1, p2) in
                    [(0, 0), (0, 0x80), (0x81, 0), (0x82, 0), (1, 4), (1, 0x0C), (2, 0x14), (3, 0x9A)]
                {
                    for body in &bodies {
                        let (data, _) = send(&mut card, &[&[cla, ins, p1, p2][..], body].concat());
                        answers += usize::from(!data.is_empty());
                        let found =
                            octets.iter().find(|known| data.windows(known.len()).any(|w| w == **known));
                        assert!(found.is_none(), "{cla:02X}{ins:02X}{p1:02X}{p2:02X} {body:02X?}");
                    }
                }
            }
        }
        assert!(answers > 0, "the sweep saw the files that are free");
        assert!(*card.persistent_state() == before, "nothing was counted or changed");
    }
}
