//! The JPKI application command by command.

use crate::town::{PASSWORD, adult, adult_holder, adult_image, child, hex, powered, send, status};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use card::EmulatedCard;
use card::apdu::CommandBuilder;
use card::my_number_card::{MyNumberCard, PersistentState, SignatureCounts};

const SELECT: &str = "00A4040C0A D392F000260100000001";

fn selected() -> MyNumberCard {
    let mut patient = adult();
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    patient
}

fn ascii(text: &str) -> String {
    text.bytes().map(|octet| format!("{octet:02X}")).collect()
}

fn verify_password(patient: &mut dyn EmulatedCard) -> u16 {
    status(patient, &format!("0020009B {:02X} {}", PASSWORD.len(), ascii(PASSWORD)))
}

#[test]
fn select_by_name_whole_in_part_and_wrong() {
    let mut patient = adult();
    assert_eq!(patient.atr(), hex("3BE000FF8131FE4514"));
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, "00A4040C05 D392F00026"), 0x9000, "provider identifier alone");
    assert_eq!(status(&mut patient, "00A4040C04 D392F000"), 0x6A82, "less than that");
    assert_eq!(status(&mut patient, "00A4040C0B D392F00026010000000100"), 0x6A82, "longer");
    let (fci, word) = send(&mut patient, &hex("00A404000A D392F000260100000001 00"));
    assert_eq!((fci, word), (hex("6F0C 840A D392F000260100000001"), 0x9000));
    assert_eq!(status(&mut patient, "00A4040C0A D392F000260100000002"), 0x6A82);
    // A SELECT that fails changes nothing.
    assert_eq!(status(&mut patient, "00B08A0004"), 0x9000);
    assert_eq!(status(&mut patient, "00A4090C02 0001"), 0x6A86);
}

#[test]
fn the_master_file() {
    let mut patient = adult();
    assert_eq!(status(&mut patient, "00A40000"), 0x6A86, "after a reset");
    assert_eq!(status(&mut patient, "00A4000C02 3F00"), 0x6A82);
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, "00A40000"), 0x9000, "later, without effect");
    assert_eq!(status(&mut patient, "00B08A0004"), 0x9000);
    assert_eq!(status(&mut patient, "00A4000002 3F00"), 0x6A82);
}

#[test]
fn files_and_who_may_read_them() {
    let mut patient = selected();
    let image = adult_holder();
    let free = [
        ("0002", image.document_signature.as_ref().unwrap().certified.issuer_der.clone()),
        ("000A", image.card_holder_auth.end_entity_der.clone()),
        ("000B", image.card_holder_auth.issuer_der.clone()),
        ("0006", image.token_info.octets().to_vec()),
        ("0008", hex("8F8F00")),
    ];
    for (identifier, content) in free {
        assert_eq!(status(&mut patient, &format!("00A4020C02 {identifier}")), 0x9000);
        let (read, word) = send(&mut patient, &hex("00B00000 000000"));
        assert_eq!((read, word), (content, 0x9000), "{identifier}");
    }
    for closed in ["0001", "0009", "0005", "0010", "0019", "001C", "001E"] {
        assert_eq!(status(&mut patient, &format!("00A4020C02 {closed}")), 0x9000, "{closed}");
        assert_eq!(status(&mut patient, "00B0000004"), 0x6982, "{closed}");
    }
    for kind in ["0016", "0017", "0018", "001A", "001B"] {
        assert_eq!(status(&mut patient, &format!("00A4020C02 {kind}")), 0x9000, "{kind}");
        assert_eq!(status(&mut patient, "00B0000004"), 0x6981, "{kind}");
    }
    for missing in ["0003", "000C", "0100", "3F00", "FFFF"] {
        assert_eq!(status(&mut patient, &format!("00A4020C02 {missing}")), 0x6A82, "{missing}");
    }
    assert_eq!(status(&mut patient, "00A4020C01 00"), 0x6700);
    assert_eq!(status(&mut patient, "00B20104 00"), 0x6981, "no records here");
    assert_eq!(verify_password(&mut patient), 0x9000);
    assert_eq!(status(&mut patient, "00B0810004"), 0x9000, "behind the signature password");
}

#[test]
fn read_binary_lengths_and_offsets() {
    let mut patient = selected();
    let content = adult_holder().card_holder_auth.end_entity_der;
    let rest = u8::try_from(content.len() - 768).unwrap();
    assert_eq!(status(&mut patient, "00B0000004"), 0x6986, "no current file");
    assert_eq!(send(&mut patient, &hex("00B08A0000")), (content[..256].to_vec(), 0x9000));
    assert_eq!(
        send(&mut patient, &hex("00B0010000")),
        (content[256..512].to_vec(), 0x9000),
        "SFI stays current"
    );
    assert_eq!(send(&mut patient, &hex("00B08A10 08")), (content[16..24].to_vec(), 0x9000));
    let exact = [0x00, 0xB0, 0x03, 0x00, rest];
    assert_eq!(send(&mut patient, &exact), (content[768..].to_vec(), 0x9000), "exact last Le");
    let more = [0x00, 0xB0, 0x03, 0x00, rest + 1];
    assert_eq!(send(&mut patient, &more), (content[768..].to_vec(), 0x6282), "more than there is");
    assert_eq!(
        send(&mut patient, &hex("00B0030000")),
        (content[768..].to_vec(), 0x9000),
        "Le 00 takes what there is"
    );
    let [hi, lo] = u16::try_from(content.len()).unwrap().to_be_bytes();
    assert_eq!(send(&mut patient, &[0x00, 0xB0, hi, lo, 0]), (vec![], 0x6B00), "at the end");
    assert_eq!(status(&mut patient, "00B07FFF00"), 0x6B00, "past the end");
    assert_eq!(status(&mut patient, "00B0AA0000"), 0x6A86, "reserved bits");
    assert_eq!(status(&mut patient, "00B0830000"), 0x6A82, "no such short identifier");
    assert_eq!(status(&mut patient, "00B00000"), 0x6700, "no Le");
    assert_eq!(status(&mut patient, "00B00000 01 00 00"), 0x6700, "data");
    assert_eq!(status(&mut adult(), "00B08A0004"), 0x6986, "no application");
}

#[test]
fn pin_counts_down_blocks_and_stays_blocked() {
    let mut patient = selected();
    assert_eq!(status(&mut patient, "00A4020C02 0018"), 0x9000);
    assert_eq!(status(&mut patient, "00200080"), 0x63C3);
    assert_eq!(status(&mut patient, "0020008004 39393939"), 0x63C2);
    assert_eq!(status(&mut patient, "0020008003 313233"), 0x63C1, "another length is wrong too");
    assert_eq!(status(&mut patient, "0020008004 31323334"), 0x9000);
    assert_eq!(status(&mut patient, "00200080"), 0x63C3, "a question is always answered 63Cx");
    for left in [2, 1, 0] {
        assert_eq!(status(&mut patient, "0020008004 39393939"), 0x63C0 | left);
    }
    assert_eq!(status(&mut patient, "0020008004 31323334"), 0x6984, "blocked, even the right one");
    assert_eq!(status(&mut patient, "00200080"), 0x63C0);
    patient.power_off();
    patient.power_on();
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, "0020009804 31323334"), 0x6984);
    assert_eq!(patient.auth_pin_tries_left(), 0);
    assert_eq!(patient.sign_password_tries_left(), Some(5), "counters are apart");
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(status(&mut patient, "0020009B06 585858585858"), 0x63C0 | left);
    }
    assert_eq!(verify_password(&mut patient), 0x6984);
}

#[test]
fn verify_by_its_forms() {
    let mut patient = adult();
    assert_eq!(status(&mut patient, "00200098"), 0x6985, "no application");
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, "00200080"), 0x6986, "no current file");
    assert_eq!(status(&mut patient, "00A4020C02 0017"), 0x9000);
    assert_eq!(status(&mut patient, "00200080"), 0x6981, "not a PIN");
    assert_eq!(status(&mut patient, "0020008A"), 0x6981);
    assert_eq!(status(&mut patient, "00200083"), 0x6A88);
    assert_eq!(status(&mut patient, "00200018"), 0x6A86);
    assert_eq!(status(&mut patient, "00200198"), 0x6A86);
    assert_eq!(status(&mut patient, "0020009800"), 0x6700, "Le");
    assert_eq!(status(&mut patient, "00200098"), 0x63C3, "nothing of this cost a try");
    assert_eq!(status(&mut patient, "002000980A31"), 0x6700, "malformed");
}

#[test]
fn change_needs_the_old_one_and_a_good_new_one() {
    let mut patient = selected();
    assert_eq!(status(&mut patient, "00A4020C02 0018"), 0x9000);
    assert_eq!(status(&mut patient, "0024018004 39393939"), 0x6982);
    assert_eq!(status(&mut patient, "0020008004 31323334"), 0x9000);
    assert_eq!(status(&mut patient, "0024018004 39393941"), 0x6A80, "not four digits");
    assert_eq!(status(&mut patient, "0024018005 3939393939"), 0x6A80);
    assert_eq!(status(&mut patient, "00240180"), 0x6700);
    assert_eq!(
        status(&mut patient, "0024008008 3132333439393939"),
        0x6A86,
        "old and new in one is not offered"
    );
    assert_eq!(status(&mut patient, "0024018004 39393939"), 0x9000);
    // Kept without power and through the owner's file.
    let state = PersistentState::from_bytes(&patient.persistent_state().to_bytes()).unwrap();
    let mut again = powered(MyNumberCard::resume(adult_image(), state).unwrap());
    assert_eq!(status(&mut again, SELECT), 0x9000);
    assert_eq!(status(&mut again, "0020009804 31323334"), 0x63C2);
    assert_eq!(status(&mut again, "0020009804 39393939"), 0x9000);
    assert_eq!(status(&mut again, "00A4020C02 001B"), 0x9000);
    assert_eq!(verify_password(&mut again), 0x9000);
    assert_eq!(status(&mut again, "0024018006 414243646566"), 0x6A80, "lower case");
    assert_eq!(status(&mut again, "0024018007 41424344454647"), 0x9000);
}

#[test]
fn verified_state_belongs_to_application_and_power() {
    let sign = "802A029720 0101010101010101010101010101010101010101010101010101010101010101 00";
    let mut patient = selected();
    assert_eq!(status(&mut patient, sign), 0x6982);
    assert_eq!(status(&mut patient, "0020009804 31323334"), 0x9000);
    assert_eq!(status(&mut patient, sign), 0x9000);
    assert_eq!(status(&mut patient, sign), 0x9000, "a PIN opens for more than one");
    assert_eq!(status(&mut patient, &sign.replace("802A0297", "802A029A")), 0x6982, "not the signature key");
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, sign), 0x9000, "selecting the same application keeps it");
    assert_eq!(status(&mut patient, "0020009804 39393939"), 0x63C2);
    assert_eq!(status(&mut patient, sign), 0x6982, "a wrong PIN takes it away");
    assert_eq!(status(&mut patient, "0020009804 31323334"), 0x9000);
    patient.power_off();
    patient.power_on();
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, sign), 0x6982);
    assert_eq!(patient.signatures(), SignatureCounts { card_holder_auth: 3, document_signature: 0 });
}

#[test]
fn get_challenge_lengths() {
    let mut patient = adult();
    assert_eq!(send(&mut patient, &hex("0084000001")).0.len(), 1);
    assert_eq!(send(&mut patient, &hex("0084000000")).0.len(), 256);
    assert_eq!(send(&mut patient, &hex("0084000010")).0.len(), 16);
    assert_eq!(status(&mut patient, "00840000 000010"), 0x6985, "extended");
    assert_eq!(status(&mut patient, "00840000"), 0x6700);
    assert_eq!(status(&mut patient, "00840000 01 00 10"), 0x6700);
    assert_eq!(status(&mut patient, "0084010010"), 0x6A86);
}

#[test]
fn signature_forms() {
    let mut patient = selected();
    assert_eq!(status(&mut patient, "0020009804 31323334"), 0x9000);
    assert_eq!(verify_password(&mut patient), 0x9000);
    let message = b"what is signed";
    let hash = digest(&SHA256, message);
    let info = [hex("3031300D060960864801650304020105000420"), hash.as_ref().to_vec()].concat();
    let image = adult_holder();
    let sign_key = &image.document_signature.as_ref().unwrap().certified.private_key;
    let pkcs1: &'static dyn VerificationAlgorithm = &RSA_PKCS1_2048_8192_SHA256;
    let pss: &'static dyn VerificationAlgorithm = &RSA_PSS_2048_8192_SHA256;
    for (p2, key) in [(0x97, &image.card_holder_auth.private_key), (0x9A, sign_key)] {
        for (p1, data, algorithm) in [
            (0, &info[..], pkcs1),
            (2, hash.as_ref(), pkcs1),
            (3, &message[..], pkcs1),
            (4, hash.as_ref(), pss),
            (5, &message[..], pss),
        ] {
            let command = CommandBuilder::new(0x80, 0x2A, p1, p2).data(data).expect(256).encode().unwrap();
            let (signature, word) = send(&mut patient, &command);
            assert_eq!(word, 0x9000, "P1 {p1}");
            UnparsedPublicKey::new(algorithm, key.spki_der()).verify(message, &signature).unwrap();
        }
        // P1 01: the bare hash is what P1 00 makes of the same 32 octets.
        let sign = |p1, data: &[u8]| {
            CommandBuilder::new(0x80, 0x2A, p1, p2).data(data).expect(256).encode().unwrap()
        };
        let bare = send(&mut patient, &sign(1, message));
        assert_eq!(bare, send(&mut patient, &sign(0, hash.as_ref())));
        assert_eq!(bare.0.len(), 256);
    }
    let refused = |p1, p2, data: &[u8], ne| {
        CommandBuilder::new(0x80, 0x2A, p1, p2).data(data).expect(ne).encode().unwrap()
    };
    for (command, word) in [
        (refused(6, 0x97, &[1; 32], 256), 0x6A86),
        (refused(2, 0x97, &[1; 31], 256), 0x6985),
        (refused(4, 0x97, &[1; 33], 256), 0x6985),
        (refused(0, 0x97, &[1; 246], 256), 0x6985),
        (refused(0, 0x97, &[], 256), 0x6700),
        (refused(2, 0x97, &[1; 32], 255), 0x6C00),
        (refused(2, 0x98, &[1; 32], 256), 0x6981),
        (refused(2, 0x83, &[1; 32], 256), 0x6A88),
        (refused(2, 0x17, &[1; 32], 256), 0x6A86),
        (refused(2, 0x80, &[1; 32], 256), 0x6986),
    ] {
        assert_eq!(send(&mut patient, &command).1, word, "{command:02X?}");
    }
    let without_le = CommandBuilder::new(0x80, 0x2A, 2, 0x97).data(&[1; 32]).encode().unwrap();
    assert_eq!(send(&mut patient, &without_le).1, 0x6700);
    assert_eq!(patient.signatures(), SignatureCounts { card_holder_auth: 7, document_signature: 7 });
}

#[test]
fn a_childs_card_has_no_signature() {
    let mut patient = child();
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(send(&mut patient, &hex("00B0880003")), (hex("008F00"), 0x9000));
    for missing in ["0001", "0002", "001A"] {
        assert_eq!(status(&mut patient, &format!("00A4020C02 {missing}")), 0x6A82);
    }
    assert_eq!(status(&mut patient, "00A4020C02 001B"), 0x9000);
    assert_eq!(status(&mut patient, "00200080"), 0x63C0);
    assert_eq!(status(&mut patient, "0020008006 414243313233"), 0x6984);
    assert_eq!(status(&mut patient, "0020009804 31323334"), 0x9000);
    let sign = "802A029A20 0101010101010101010101010101010101010101010101010101010101010101 00";
    assert_eq!(status(&mut patient, sign), 0x6A88);
    assert_eq!(patient.sign_password_tries_left(), None);
    let state = patient.persistent_state().to_bytes();
    assert_eq!(PersistentState::from_bytes(&state).as_ref(), Ok(patient.persistent_state()));
}

#[test]
fn nothing_secret_in_debug() {
    let patient = selected();
    let text = format!("{patient:?}{:?}{:?}", adult_image(), patient.persistent_state());
    for secret in ["1234", PASSWORD, "49, 50, 51, 52", "A7", "167, 167"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
