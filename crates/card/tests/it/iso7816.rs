//! What ISO/IEC 7816-4 asks of every card, on a card made for it: any image gets the same.

use crate::town::{AUTHORITY, PIN, adult, hex, powered, proof, send, status};
use card::EmulatedCard;
use card::apdu::CommandBuilder;
use card::cos::{Card, PersistentState};
use card::cvc::{CvcAuthority, KeyReference};
use card::image::{Aid, CardImage, Contents, Layout};
use card::rsa_key::CardRsaKey;
use std::sync::Arc;

const LAYOUT: &str = r#"
format = 1
card = "a card for tests"
atr = "3B 00"

[[application]]
name = "one"
aid = "F0 4B 41 5A 41 01"
commands = ["files", "secrets"]

[[application.object]]
fid = 0x0001
kind = "binary"
slot = "long"
read = "free"

[[application.object]]
fid = 0x0002
kind = "records"
value = ["01 02 03", "04", "05 06"]
read = "free"

[[application.object]]
fid = 0x0003
kind = "records"
value = ["AA"]
read = "secret 0018"

[[application.object]]
fid = 0x0018
kind = "secret"
slot = "pin"
form = "digits 4..6"
tries = 3
change = "secret 0018"
change_by = "old and new"

# The same short identifier as a file of this application: reading means the file, VERIFY the secret.
[[application.object]]
fid = 0x0101
kind = "secret"
slot = "word"
short = [1, 4]
form = "octets 1..8"
tries = 2
change = "free"

[[application]]
name = "two"
aid = "F0 4B 41 5A 41 02"
commands = ["files"]

[[application.object]]
fid = 0x0001
kind = "binary"
value = "02"
read = "free"

[[application]]
name = "three"
aid = "F0 4B 41 5A 41 03 00 00"
commands = []
"#;

const LONG: usize = 70_000;

fn image() -> CardImage {
    let contents = Contents::new()
        .with("long", (0..LONG).map(|n| u8::try_from(n / 256 % 256).unwrap()).collect::<Vec<u8>>())
        .with("pin", *b"1234")
        .with("word", *b"word");
    CardImage::new(&Layout::parse(LAYOUT).unwrap(), &contents).unwrap()
}

fn selected() -> Card {
    let mut card = powered(Card::new(image()));
    assert_eq!(status(&mut card, "00A4040C06 F04B415A4101"), 0x9000);
    card
}

fn answer(card: &mut Card, command: &str) -> (Vec<u8>, u16) {
    send(card, &hex(command))
}

/// Which application is selected, by what its file 0001 begins with.
fn where_am_i(card: &mut Card) -> Vec<u8> {
    answer(card, "00B0810001").0
}

#[test]
fn select_first_last_next_previous() {
    let mut card = powered(Card::new(image()));
    let name = |number: u8| [&hex("F04B415A41")[..], &[number]].concat();
    let fci = |aid: Vec<u8>| {
        let inner = [&[0x84, u8::try_from(aid.len()).unwrap()][..], &aid].concat();
        ([&[0x6F, u8::try_from(inner.len()).unwrap()][..], &inner].concat(), 0x9000)
    };
    let three = [name(3), vec![0, 0]].concat();
    let select = |p2: u8| [&[0x00, 0xA4, 0x04, p2, 5][..], &hex("F04B415A41"), &[0]].concat();
    let next = select(2);
    // First, then next after next until there is none, which changes nothing.
    assert_eq!(send(&mut card, &select(0)), fci(name(1)));
    assert_eq!(send(&mut card, &next), fci(name(2)));
    assert_eq!(send(&mut card, &next), fci(three.clone()));
    assert_eq!(send(&mut card, &next), (vec![], 0x6A82));
    assert_eq!(send(&mut card, &select(3)), fci(name(2)), "previous");
    assert_eq!(where_am_i(&mut card), [2]);
    assert_eq!(send(&mut card, &select(1)), fci(three.clone()), "last");
    assert_eq!(send(&mut card, &select(0)), fci(name(1)));
    assert_eq!(send(&mut card, &select(3)), (vec![], 0x6A82), "nothing before the first");
    // Without an application, next is the first and previous the last.
    let mut card = powered(Card::new(image()));
    assert_eq!(send(&mut card, &next), fci(name(1)));
    let mut card = powered(Card::new(image()));
    assert_eq!(send(&mut card, &select(3)), fci(three));
    assert_eq!(send(&mut card, &select(8)), (vec![], 0x6A86), "file management data");
    assert_eq!(send(&mut card, &select(0x10)), (vec![], 0x6A86));
}

#[test]
fn control_information_of_applications_and_files() {
    let mut card = selected();
    let control = [
        ("00A4040406 F04B415A4101 00", "6208 8406F04B415A4101"),
        ("00A404000A F04B415A4103000000 00", ""),
        // Record file, no size; key and closed files are internal.
        ("00A4020402 0002 00", "620A 820104 83020002 880110"),
        ("00A4020002 0018 00", "6F0A 820108 83020018 8801C0"),
        ("00A4000402 0101 00", "620D 820108 83020101 880108 880120"),
    ];
    for (command, wanted) in control {
        let word = if wanted.is_empty() { 0x6A82 } else { 0x9000 };
        assert_eq!(answer(&mut card, &command.replace(' ', "")), (hex(wanted), word), "{command}");
    }
    // Without Le nothing comes, whatever P2 asks for; a size that two octets cannot hold is left out.
    assert_eq!(answer(&mut card, "00A4040006 F04B415A4101"), (vec![], 0x9000));
    assert_eq!(answer(&mut card, "00A4020002 0001 00"), (hex("6F0A 820101 83020001 880108"), 0x9000));
    assert_eq!(status(&mut card, "00A4040C06 F04B415A4102"), 0x9000);
    assert_eq!(
        answer(&mut card, "00A4020002 0001 00"),
        (hex("6F0E 80020001 820101 83020001 880108"), 0x9000)
    );
    assert_eq!(status(&mut card, "00A4020202 0001"), 0x6A86, "files are not counted");
    assert_eq!(status(&mut card, "00A4030002 0001"), 0x6A86);
    // An answer too long for a short Le comes in two.
    assert_eq!(answer(&mut card, "00A4040006 F04B415A4101 03"), (hex("6F0884"), 0x6107));
    assert_eq!(answer(&mut card, "00C0000007"), (hex("06F04B415A4101"), 0x9000));
}

#[test]
fn get_response_gives_the_rest_and_only_once() {
    let mut card = selected();
    let begin = "00A4040006 F04B415A4101 02";
    assert_eq!(answer(&mut card, begin), (hex("6F08"), 0x6108));
    assert_eq!(answer(&mut card, "00C0000009"), (vec![], 0x6C08), "more than there is");
    assert_eq!(answer(&mut card, "00C0000003"), (hex("8406F0"), 0x6105), "in parts");
    assert_eq!(answer(&mut card, "00C0000000"), (hex("4B415A4101"), 0x9000), "what there is");
    assert_eq!(status(&mut card, "00C0000000"), 0x6D00, "nothing waits");
    for between in
        ["00200098", "00A4020C02 0001", "00", "00C0000100", "00C00000", "00C0000001 00 00", "E0000000"]
    {
        assert_eq!(answer(&mut card, begin).1, 0x6108);
        send(&mut card, &hex(between));
        assert_eq!(status(&mut card, "00C0000000"), 0x6D00, "dropped by {between}");
    }
    assert_eq!(answer(&mut card, begin).1, 0x6108);
    card.power_off();
    card.power_on();
    assert_eq!(status(&mut card, "00C0000000"), 0x6D00);
}

#[test]
fn class_bytes() {
    let mut card = selected();
    for (cla, word) in [
        (0x00, 0x9000),
        (0x01, 0x6881),
        (0x03, 0x6881),
        (0x04, 0x6882),
        (0x08, 0x6882),
        (0x0C, 0x6882),
        (0x10, 0x6884),
        (0x20, 0x6E00),
        (0x3F, 0x6E00),
        (0x40, 0x6881),
        (0x7F, 0x6881),
        (0x80, 0x6D00),
        (0x81, 0x6881),
        (0x8C, 0x6882),
        (0x90, 0x6D00),
        (0xA0, 0x6E00),
        (0xFF, 0x6E00),
    ] {
        assert_eq!(send(&mut card, &[cla, 0xB0, 0x81, 0x00, 0x01]).1, word, "{cla:02X}");
    }
    assert_eq!(status(&mut card, "0070000001"), 0x6881, "MANAGE CHANNEL");
    assert_eq!(status(&mut card, "00840000"), 0x6700);
}

#[test]
fn read_binary_with_the_odd_instruction() {
    let mut card = selected();
    // Past what 15 bits name, which the even instruction cannot reach.
    assert_eq!(answer(&mut card, "00B1 0001 05 5403010000 05"), (hex("5303 000000"), 0x9000));
    assert_eq!(answer(&mut card, "00B1 0000 04 54020104 06"), (hex("5304 01010101"), 0x9000), "current file");
    assert_eq!(answer(&mut card, "00B1 0001 03 540100 00").0.len(), 256, "53 81 FD and 253 octets");
    assert_eq!(answer(&mut card, "00B1 0001 03 540100 81").0.len(), 129, "53 7F and 127");
    assert_eq!(answer(&mut card, "00B1 0001 03 540100 82").0.len(), 129, "53 81 80 does not fit");
    let near_the_end = answer(&mut card, "00B1 0001 05 540301116E 08");
    assert_eq!(near_the_end, (hex("5302 1111"), 0x6282));
    for (command, word) in [
        ("00B1 0001 05 5403011170 00", 0x6B00),
        ("00B1 0001 06 540401FFFFFF 00", 0x6B00),
        ("00B1 0001 03 540100", 0x6700),
        ("00B1 0001 03 540100 02", 0x6700),
        ("00B1 0001 02 5400 00", 0x6A80),
        ("00B1 0001 07 54050000000000 00", 0x6A80),
        ("00B1 0001 03 550100 00", 0x6A80),
        ("00B1 0001 00", 0x6A80),
        ("00B1 0005 03 540100 00", 0x6A82),
        ("00B1 0102 03 540100 00", 0x6A82),
        ("00B1 0101 03 540100 00", 0x6981),
        ("00B1 0002 03 540100 00", 0x6981),
    ] {
        assert_eq!(status(&mut card, &command.replace(' ', "")), word, "{command}");
    }
    assert_eq!(status(&mut powered(Card::new(image())), "00B1000103 540100 00"), 0x6986);
}

#[test]
fn records_by_number_and_from_a_number_on() {
    let mut card = selected();
    assert_eq!(answer(&mut card, "00B2011400"), (hex("010203"), 0x9000));
    assert_eq!(answer(&mut card, "00B2020401"), (hex("04"), 0x9000), "the file is current now");
    assert_eq!(answer(&mut card, "00B2030400"), (hex("0506"), 0x9000));
    assert_eq!(answer(&mut card, "00B2030405"), (hex("0506"), 0x6282), "more than the record");
    assert_eq!(answer(&mut card, "00B2010402"), (vec![], 0x6C03), "less than the record");
    assert_eq!(answer(&mut card, "00B2020500"), (hex("040506"), 0x9000), "all from the second on");
    for (command, word) in [
        ("00B2000400", 0x6A83),
        ("00B2040400", 0x6A83),
        ("00B2FF0400", 0x6A83),
        ("00B2010200", 0x6A86),
        ("00B2010700", 0x6A86),
        ("00B20104", 0x6700),
        ("00B2010401 00 00", 0x6700),
        ("00B2012C00", 0x6A82),
        ("00B2010C00", 0x6981),
        ("00B2011C00", 0x6982),
        ("00B0820001", 0x6981),
    ] {
        assert_eq!(status(&mut card, command), word, "{command}");
    }
    assert_eq!(status(&mut card, "0020009804 31323334"), 0x9000);
    assert_eq!(answer(&mut card, "00B2011C00"), (hex("AA"), 0x9000));
    assert_eq!(status(&mut powered(Card::new(image())), "00B2010400"), 0x6986);
    assert_eq!(status(&mut powered(Card::new(image())), "00B2011400"), 0x6986);
}

#[test]
fn one_short_identifier_of_a_file_and_of_a_secret() {
    let mut card = selected();
    assert_eq!(answer(&mut card, "00B0810001"), (vec![0], 0x9000));
    assert_eq!(status(&mut card, "00200081"), 0x63C2);
    assert_eq!(status(&mut card, "0020008404 776F7264"), 0x9000, "its other short identifier");
    assert_eq!(status(&mut card, "0020008201 00"), 0x6981);
}

#[test]
fn change_with_the_old_value_in_front() {
    let mut card = selected();
    let aid = Aid::new(&hex("F04B415A4101")).unwrap();
    assert_eq!(status(&mut card, "0024019804 39393939"), 0x6A86, "P1 01 names the current file");
    assert_eq!(status(&mut card, "00A4020C02 0018"), 0x9000);
    assert_eq!(status(&mut card, "0024018004 39393939"), 0x6A86, "not this secret's form");
    assert_eq!(status(&mut card, "0024009809 31323335 3635343332"), 0x63C2, "wrong old value");
    assert_eq!(status(&mut card, "0024009802 3132"), 0x63C1, "not even as long");
    assert_eq!(status(&mut card, "0024009805 31323334 39"), 0x6A80, "right, but what follows has no form");
    assert_eq!(card.tries_left(&aid, 0x18), Some(3));
    assert_eq!(status(&mut card, "0024009809 31323334 3635343332"), 0x9000);
    assert_eq!(status(&mut card, "0020009804 31323334"), 0x63C2);
    assert_eq!(status(&mut card, "0024008009 3635343332 31313131"), 0x9000, "the current file");
    assert_eq!(status(&mut card, "0020009804 31313131"), 0x9000);
    for left in [2, 1, 0] {
        assert_eq!(status(&mut card, "0024009808 30303030 31313131"), 0x63C0 | left);
    }
    assert_eq!(status(&mut card, "0024009808 31313131 32323232"), 0x6984);
    let state = PersistentState::from_bytes(&card.persistent_state().to_bytes()).unwrap();
    let card = Card::resume(image(), state).unwrap();
    assert_eq!(card.tries_left(&aid, 0x18), Some(0));
    assert_eq!(card.tries_left(&aid, 0x01), None);
    // A secret whose rule asks for nothing, with the new value alone.
    let mut card = selected();
    assert_eq!(status(&mut card, "0024008104 31323334"), 0x6A86);
    assert_eq!(status(&mut card, "00A4020C02 0101"), 0x9000);
    assert_eq!(status(&mut card, "0024018009 313233343132333431"), 0x6A80);
    assert_eq!(status(&mut card, "0024018001 41"), 0x9000);
    assert_eq!(status(&mut card, "0020008101 41"), 0x9000);
}

#[test]
fn a_state_of_another_card_is_refused() {
    let mut card = selected();
    assert_eq!(status(&mut card, "0020009804 39393939"), 0x63C2);
    let state = card.persistent_state().clone();
    assert!(Card::resume(crate::town::adult_image(), state.clone()).is_err());
    assert!(Card::resume(image(), state).is_ok());
}

#[test]
fn cards_of_one_image_have_counters_of_their_own() {
    let shared = Arc::new(image());
    let (mut one, mut two) = (powered(Card::new(Arc::clone(&shared))), powered(Card::new(shared)));
    for card in [&mut one, &mut two] {
        assert_eq!(status(card, "00A4040C06 F04B415A4101"), 0x9000);
    }
    assert_eq!(status(&mut one, "0020009804 39393939"), 0x63C2);
    assert_eq!(status(&mut two, "00200098"), 0x63C3);
}

/// A command cut into pieces of `size` octets of data, every piece but the last with the chaining bit.
fn pieces(command: &[u8], data: &[u8], size: usize, expected: Option<u32>) -> Vec<Vec<u8>> {
    let [cla, ins, p1, p2] = command.try_into().unwrap();
    let count = data.chunks(size).count();
    let piece = |(place, part): (usize, &[u8])| {
        let last = place + 1 == count;
        let mut builder = CommandBuilder::new(if last { cla } else { cla | 0x10 }, ins, p1, p2).data(part);
        if let (true, Some(ne)) = (last, expected) {
            builder = builder.expect(ne);
        }
        builder.encode().unwrap()
    };
    data.chunks(size).enumerate().map(piece).collect()
}

fn send_pieces(card: &mut dyn EmulatedCard, pieces: &[Vec<u8>]) -> (Vec<u8>, u16) {
    let (last, before) = pieces.split_last().unwrap();
    for piece in before {
        assert_eq!(send(card, piece), (vec![], 0x9000));
    }
    send(card, last)
}

#[test]
fn a_whole_institution_authentication_in_short_pieces() {
    let mut patient = adult();
    let leaf =
        CvcAuthority::new(KeyReference::numbered(7_200_003, 42).unwrap(), CardRsaKey::generate().unwrap());
    let chain = AUTHORITY.chain_for(leaf.private_key());
    let select = pieces(&hex("00A4040C"), &hex("D392F000260100000001"), 3, None);
    assert_eq!(send_pieces(&mut patient, &select).1, 0x9000);
    assert_eq!(send_pieces(&mut patient, &pieces(&hex("00A4020C"), &hex("0016"), 1, None)).1, 0x9000);
    for link in [&chain.intermediate, &chain.leaf] {
        let body = pieces(&hex("80A206C1"), &link.load_body(), 255, None);
        assert_eq!(body.len(), 2);
        assert_eq!(send_pieces(&mut patient, &body).1, 0x9000);
        assert_eq!(
            send_pieces(&mut patient, &pieces(&hex("80A200C1"), &link.load_signature(), 100, None)).1,
            0x9000
        );
    }
    let challenge: [u8; 16] = send(&mut patient, &hex("0084000010")).0.try_into().unwrap();
    let signed = proof(&leaf, &challenge, &chain.leaf.body().subject.reference());
    assert_eq!(send_pieces(&mut patient, &pieces(&hex("00820000"), &signed, 255, None)).1, 0x9000);
    let (signature, word) = send_pieces(&mut patient, &pieces(&hex("802A0297"), &[1; 32], 31, Some(256)));
    assert_eq!((signature.len(), word), (256, 0x9000));
    // A PIN in pieces.
    let pin = pieces(&hex("00200098"), PIN.as_bytes(), 1, None);
    assert_eq!(send_pieces(&mut patient, &pin).1, 0x9000);
    // Data past what a short command holds, hashed on the card.
    let message = vec![7; 40_000];
    let whole = CommandBuilder::new(0x80, 0x2A, 3, 0x97).data(&message).expect(256).encode().unwrap();
    let whole = send(&mut patient, &whole);
    assert_eq!(whole.1, 0x9000);
    assert_eq!(send_pieces(&mut patient, &pieces(&hex("802A0397"), &message, 255, Some(256))), whole);
}

#[test]
fn chains_that_break() {
    let mut card = selected();
    let first = "1020009802 3132";
    let last = "0020009802 3334";
    assert_eq!(status(&mut card, first), 0x9000);
    assert_eq!(status(&mut card, last), 0x9000);
    // Another command in between drops what came; it is run itself.
    for between in ["0024008401 41", "00B0810001", "00A4020C02 0001"] {
        assert_eq!(status(&mut card, first), 0x9000);
        assert_ne!(status(&mut card, between), 0x6883, "{between}");
        assert_eq!(status(&mut card, "0020009804 31323334"), 0x9000, "nothing is left of the chain");
    }
    // A piece with other parameters: its sender believes in another chain.
    assert_eq!(status(&mut card, first), 0x9000);
    assert_eq!(status(&mut card, "0020008401 33"), 0x6883);
    assert_eq!(status(&mut card, "1020009802 3132"), 0x9000);
    assert_eq!(status(&mut card, "1020008402 3132"), 0x6883);
    assert_eq!(status(&mut card, "00200098"), 0x63C3, "not a single try");
    // Malformed, power, a piece without data, one with Le.
    assert_eq!(status(&mut card, first), 0x9000);
    assert_eq!(status(&mut card, "00"), 0x6700);
    assert_eq!(status(&mut card, "00200098"), 0x63C3);
    assert_eq!(status(&mut card, first), 0x9000);
    assert_eq!(status(&mut card, "10200098"), 0x6700);
    assert_eq!(status(&mut card, "1020009802 3132 00"), 0x6700);
    assert_eq!(status(&mut card, last), 0x63C2, "34 alone is not the PIN");
    assert_eq!(status(&mut card, first), 0x9000);
    card.power_off();
    card.power_on();
    assert_eq!(status(&mut card, "00A4040C06 F04B415A4101"), 0x9000);
    assert_eq!(status(&mut card, last), 0x63C1);
    // What has no data is not chained; what nobody knows is unknown with the first piece.
    for (command, word) in [
        ("1084000001 00", 0x6884),
        ("10B0000001 00", 0x6884),
        ("10B2010401 00", 0x6884),
        ("10C0000001 00", 0x6884),
        ("10CA000001 00", 0x6D00),
        ("90A206C101 00", 0x6D00),
    ] {
        assert_eq!(status(&mut card, command), word, "{command}");
    }
}

#[test]
fn chains_end_at_the_length_of_an_extended_command() {
    let mut card = selected();
    let piece = CommandBuilder::new(0x10, 0x20, 0, 0x98).data(&[0x31; 32_767]).encode().unwrap();
    assert_eq!(send(&mut card, &piece).1, 0x9000);
    assert_eq!(send(&mut card, &piece).1, 0x9000);
    assert_eq!(status(&mut card, "0020009802 3131"), 0x6700, "65,536");
    assert_eq!(status(&mut card, "00200098"), 0x63C3, "dropped without a try");
    assert_eq!(send(&mut card, &piece).1, 0x9000);
    assert_eq!(send(&mut card, &piece).1, 0x9000);
    assert_eq!(status(&mut card, "0020009801 31"), 0x63C2, "65,535 are a wrong PIN");
}

/// The first block of this language in a page.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("\n```").expect("its end").0
}

#[test]
fn the_documented_example_is_a_card() {
    let layout = Layout::parse(block(include_str!("../../../../docs/card-image.md"), "toml")).unwrap();
    let contents = Contents::new().with("reader.number", *b"0042").with("pin", *b"1234");
    let mut card = powered(Card::new(CardImage::new(&layout, &contents).unwrap()));
    assert_eq!(status(&mut card, "00A4040C06 F04C49425201"), 0x9000);
    assert_eq!(answer(&mut card, "00B0810000"), (b"0042".to_vec(), 0x9000));
    assert_eq!(status(&mut card, "00B2011400"), 0x6982);
    assert_eq!(status(&mut card, "0020009804 31323334"), 0x9000);
    assert_eq!(answer(&mut card, "00B2011400"), (b"Momo".to_vec(), 0x9000));
    assert_eq!(status(&mut card, "00A4020C02 0117"), 0x6A82, "no key was given");
    let key = CardRsaKey::generate().unwrap().pkcs8_der().unwrap().to_vec();
    let mut card = powered(Card::new(CardImage::new(&layout, &contents.with("key", key)).unwrap()));
    assert_eq!(status(&mut card, "00A4040C06 F04C49425201"), 0x9000);
    assert_eq!(status(&mut card, "00A4020C02 0117"), 0x9000);
}
