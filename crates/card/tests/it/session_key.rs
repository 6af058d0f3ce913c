//! Secure messaging of the text input application: terminal and card against each other, then each
//! against what the other would not send.

use crate::town::{hex, send, status};
use crate::whole_card::{
    CARD_FACE, COMMON, NUMBER, REFERENCE_B, REGISTER, REGISTER_PIN, TEXT_INPUT, TEXT_PIN, read, select,
    tries, verify, whole_card,
};
use card::EmulatedCard;
use card::apdu::StatusWord;
use card::my_number_card::MyNumberCard;
use card::my_number_card::session_key::{SEED_LEN, TerminalSession};

/// A card whose PIN was presented, and the command that hands a session key over.
fn opened() -> (MyNumberCard, Vec<u8>, TerminalSession) {
    let mut card = whole_card();
    select(&mut card, TEXT_INPUT);
    assert_eq!(verify(&mut card, 0x11, TEXT_PIN), 0x9000);
    let mut file = read(&mut card, 6).0;
    file.extend(send(&mut card, &hex("00B0010000")).0);
    let (command, terminal) = TerminalSession::hand_over(&file, &[0x42; SEED_LEN]).unwrap();
    (card, command, terminal)
}

fn session() -> (MyNumberCard, TerminalSession) {
    let (mut card, command, terminal) = opened();
    assert_eq!(send(&mut card, &command), (Vec::new(), 0x9000));
    (card, terminal)
}

/// A plain command under the session; gives data and status word.
fn under(card: &mut MyNumberCard, terminal: &mut TerminalSession, command: &str) -> (Vec<u8>, u16) {
    let travelling = terminal.protect(&hex(command)).unwrap();
    let (data, word) = send(card, &travelling);
    assert!(!data.windows(12).any(|part| part == NUMBER), "{command} in the clear");
    let (plain, status) = terminal.open(&[&data[..], &word.to_be_bytes()].concat()).unwrap();
    assert_eq!(status, StatusWord(word));
    (plain.to_vec(), word)
}

#[test]
fn the_number_is_presented_and_read_unseen() {
    let (mut card, mut terminal) = session();
    let number: String = NUMBER.iter().map(|digit| format!("{digit:02X}")).collect();
    assert_eq!(under(&mut card, &mut terminal, &format!("002000940C {number}")), (Vec::new(), 0x9000));
    assert_eq!(under(&mut card, &mut terminal, "00A4020C02 0001").1, 0x9000);
    let (file, word) = under(&mut card, &mut terminal, "00B0000000");
    assert_eq!((file, word), ([&[0xFF, 0x10, 12][..], NUMBER, &[0xFF, 0xFF]].concat(), 0x9000));
    assert_eq!(under(&mut card, &mut terminal, "00B0000303").0, NUMBER[..3]);
    // Longer than a short response, with everything asked for.
    assert_eq!(under(&mut card, &mut terminal, "00A4020C02 0003").1, 0x9000);
    assert_eq!(under(&mut card, &mut terminal, "00B0000000").0.len(), 336);
}

/// Refusals of the application count as messages; plain commands between do not.
#[test]
fn the_counter_moves_with_every_message_and_with_nothing_else() {
    let (mut card, mut terminal) = session();
    assert_eq!(under(&mut card, &mut terminal, "0020009204 30303030").1, 0x6984);
    assert_eq!(under(&mut card, &mut terminal, "002000950E 3030303030303030303030303030").1, 0x63C9);
    assert_eq!(tries(&mut card, 0x15), 0x63C9, "in the clear, beside the session");
    assert_eq!(under(&mut card, &mut terminal, "00A4020C02 0999").1, 0x6A82);
    assert_eq!(read(&mut card, 1).1, 0x9000);
    assert_eq!(under(&mut card, &mut terminal, "00B0000000").0.len(), 17);
    assert_eq!(under(&mut card, &mut terminal, "00B07FFF00").1, 0x6B00);
    assert_eq!(under(&mut card, &mut terminal, "00B0000000").0.len(), 17);
}

/// Whatever is wrong with a message ends the session, and leaves the card holder's status.
#[test]
fn a_wrong_message_ends_the_session() {
    let wrong: [(&str, u16); 12] = [
        ("0820009504 86020102", 0x6988),
        ("0820009500", 0x6987),
        ("08B0000005 9602000000", 0x6988),
        ("08B0000013 861101 00000000000000000000000000000000 00", 0x6988),
        ("0820009505 9603000000", 0x6988),
        ("0820009514 861101 00000000000000000000000000000000 00", 0x6988),
        ("0820009513 861102 00000000000000000000000000000000", 0x6988),
        ("0820009513 871101 00000000000000000000000000000000", 0x6988),
        ("0C20009513 861101 00000000000000000000000000000000", 0x6987),
        ("0420009513 861101 00000000000000000000000000000000", 0x6987),
        ("08B2010405 9603000000 00", 0x6882),
        ("882A000013 861101 00000000000000000000000000000000 00", 0x6882),
    ];
    for (message, word) in wrong {
        let (mut card, mut terminal) = session();
        let before = card.persistent_state().clone();
        assert_eq!(status(&mut card, message), word, "{message}");
        let next = terminal.protect(&hex("00A4020C02 0001")).unwrap();
        assert_eq!(send(&mut card, &next), (Vec::new(), 0x69FC), "after {message}");
        assert!(*card.persistent_state() == before, "no try was spent by {message}");
        assert_eq!(read(&mut card, 2).1, 0x9000, "the PIN still counts");
        let _ = terminal.open(&[0x69, 0xFC]);
    }
}

#[test]
fn replay_reordering_and_a_lost_message_end_it_too() {
    let select_number = "00A4020C02 0001";
    let (mut card, mut terminal) = session();
    let first = terminal.protect(&hex(select_number)).unwrap();
    assert_eq!(send(&mut card, &first).1, 0x9000);
    assert_eq!(send(&mut card, &first).1, 0x6988, "the same message again");

    let (mut card, mut terminal2) = session();
    terminal2.open(&[0x90, 0x00]).unwrap();
    let second = terminal2.protect(&hex(select_number)).unwrap();
    assert_eq!(send(&mut card, &second).1, 0x6988, "the second message without the first");

    // What the card said in one session is nothing in the next, nor twice in one.
    let (mut card, command, mut terminal3) = opened();
    assert_eq!(send(&mut card, &command).1, 0x9000);
    assert_eq!(under(&mut card, &mut terminal3, select_number).1, 0x9000);
    // One block, whose padding tells. Of several only the first hangs on the counter: no integrity.
    let read_number = terminal3.protect(&hex("00B000030C")).unwrap();
    let mut response = send(&mut card, &read_number).0;
    response.extend([0x90, 0x00]);
    assert!(terminal.open(&response).is_err());
    assert!(terminal3.open(&response).is_ok());
    assert!(terminal3.open(&response).is_err());
}

#[test]
fn sessions_are_handed_over_behind_the_pin_alone() {
    let (mut card, command, _) = opened();
    let refuse = |card: &mut MyNumberCard, word| assert_eq!(send(card, &command), (Vec::new(), word));
    select(&mut card, CARD_FACE);
    refuse(&mut card, 0x66F1);
    select(&mut card, COMMON);
    refuse(&mut card, 0x66F1);
    select(&mut card, REGISTER);
    refuse(&mut card, 0x6982);
    assert_eq!(verify(&mut card, 0x1C, REGISTER_PIN), 0x9000);
    refuse(&mut card, 0x6982);
    select(&mut card, &card::my_number_card::jpki::JPKI_AID);
    refuse(&mut card, 0x6982);
    assert_eq!(verify(&mut card, 0x18, b"1234"), 0x9000);
    refuse(&mut card, 0x6982);
    assert_eq!(status(&mut card, "08B08A0005 9603000000 00"), 0x69FC, "no session anywhere else");

    select(&mut card, TEXT_INPUT);
    refuse(&mut card, 0x6982);
    assert_eq!(verify(&mut card, 0x14, NUMBER), 0x9000);
    assert_eq!(verify(&mut card, 0x15, REFERENCE_B), 0x9000);
    refuse(&mut card, 0x6982);
    assert_eq!(verify(&mut card, 0x11, TEXT_PIN), 0x9000);
    let cryptogram = &command[7..];
    let with = |header: &str, data: &[u8]| [hex(header), data.to_vec()].concat();
    for (bad, word) in [
        (with("80AE0001 000100", cryptogram), 0x6A86),
        (hex("80AE0000"), 0x6700),
        ([with("80AE0000 000100", cryptogram), hex("0000")].concat(), 0x6700),
        (with("80AE0000 0000FF", &cryptogram[..255]), 0x6A80),
        (with("80AE0000 000100", &[0xFF; 256]), 0x6F00),
        (with("80AE0000 000100", &[0x01; 256]), 0x6A80),
    ] {
        assert_eq!(send(&mut card, &bad).1, word);
    }
    refuse(&mut card, 0x9000);
}

#[test]
fn another_application_and_power_end_it() {
    let (mut card, mut terminal) = session();
    select(&mut card, TEXT_INPUT);
    assert_eq!(under(&mut card, &mut terminal, "00A4020C02 0001").1, 0x9000, "the same one does not");
    select(&mut card, CARD_FACE);
    select(&mut card, TEXT_INPUT);
    let next = terminal.protect(&hex("00B0000000")).unwrap();
    assert_eq!(send(&mut card, &next).1, 0x69FC);
    let (mut card, terminal) = session();
    card.power_off();
    card.power_on();
    select(&mut card, TEXT_INPUT);
    assert_eq!(send(&mut card, &terminal.protect(&hex("00A4020C02 0001")).unwrap()).1, 0x69FC);
    // A new key takes the old one's place and counts anew.
    let (mut card, mut terminal) = session();
    assert_eq!(under(&mut card, &mut terminal, "00A4020C02 0006").1, 0x9000);
    let file = under(&mut card, &mut terminal, "00B0000000").0;
    let (command, mut second) = TerminalSession::hand_over(&file, &[0x43; SEED_LEN]).unwrap();
    assert_eq!(send(&mut card, &command).1, 0x9000);
    assert_eq!(under(&mut card, &mut second, "00A4020C02 0001").1, 0x9000);
}
