//! Our card and our client with Debian's pcscd and vpcd between them.

use crate::pcscd::{PcscdFixture, SOCKET, eventually};
use card::EmulatedCard;
use card_io::pcsc::{Daemon, DaemonError};
use card_io::{CardChannel, CardServer, ChannelError, InsertedCard, Reader, ReaderError, TraceEvent};
use protocol::entropy::{Entropy, Seeded};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const READER: &str = "Kazasu Foreign";
const SLOT: &str = "Kazasu Foreign 00 00";
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);
const ATR: [u8; 9] = [0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14];

/// Answers every command with itself and `9000`.
struct EchoCard;

impl EmulatedCard for EchoCard {
    fn atr(&self) -> &[u8] {
        &ATR
    }
    fn power_on(&mut self) {}
    fn power_off(&mut self) {}
    fn transmit(&mut self, command: &[u8], _entropy: &mut dyn Entropy) -> Vec<u8> {
        [command, &[0x90, 0x00]].concat()
    }
}

fn inserted(pcscd: &PcscdFixture) -> (InsertedCard, mpsc::Receiver<TraceEvent>) {
    let (sender, events) = mpsc::channel();
    let server = CardServer::new(Box::new(EchoCard), Box::new(Seeded::new(1)))
        .reader_at(pcscd.card_address())
        .observed_by(move |event| drop(sender.send(event.clone())));
    (server.insert().unwrap(), events)
}

fn wait_for(events: &mpsc::Receiver<TraceEvent>, wanted: &TraceEvent) {
    while events.recv_timeout(LONG).expect("the event comes") != *wanted {}
}

#[test]
fn our_card_and_our_client_meet_in_pcscd() {
    let mut pcscd = PcscdFixture::start(READER);
    let daemon = Daemon::at(SOCKET);
    let mut reader = daemon.open_reader(SLOT).unwrap();
    assert!(reader.wait_for_card(SHORT).unwrap().is_none(), "the reader is empty");

    let (card_in_reader, events) = inserted(&pcscd);
    let mut channel = reader.wait_for_card(LONG).unwrap().expect("the inserted card is seen");
    assert_eq!(channel.atr(), ATR);
    let listed = daemon.list_readers().unwrap();
    let slot = listed.iter().find(|info| info.name == SLOT).expect("the slot is listed");
    assert!(slot.card_present);
    assert_eq!(slot.atr, ATR);
    short_and_extended_commands_pass(channel.as_mut());

    let mut second = daemon.open_reader("Foreign 00 00").unwrap();
    assert!(matches!(second.wait_for_card(SHORT), Err(ReaderError::Busy { .. })), "opened exclusively");
    while events.try_recv().is_ok() {}
    drop(channel);
    wait_for(&events, &TraceEvent::PowerOff);

    let channel = second.wait_for_card(LONG).unwrap().expect("free again");
    let server = a_removed_card_is_noticed(channel, card_in_reader);
    let _back = server.insert().unwrap();
    let channel = reader.wait_for_card(LONG).unwrap().expect("inserted again");
    pcscd.stop();
    an_ended_daemon_is_noticed(channel, reader);
}

fn short_and_extended_commands_pass(channel: &mut dyn CardChannel) {
    for len in [4, 5, 261, 307, 4_096, 65_000] {
        let command = vec![0x5A; len];
        assert_eq!(channel.transmit(&command).unwrap(), [&command[..], &[0x90, 0]].concat(), "{len} octets");
    }
    let begin = Instant::now();
    for _ in 0..100 {
        channel.transmit(&[0, 0xB0, 0, 0, 0]).unwrap();
    }
    // For the reader of the test's output; a slow machine is no failure.
    eprintln!("{} µs per exchange through pcscd", begin.elapsed().as_micros() / 100);
}

fn a_removed_card_is_noticed(mut channel: Box<dyn CardChannel>, inserted: InsertedCard) -> CardServer {
    assert!(channel.transmit(&[0; 4]).is_ok());
    let server = inserted.remove().expect("the card did not panic");
    eventually("the removal is seen", LONG, || (!channel.is_present()).then_some(()));
    let error = channel.transmit(&[0; 4]).unwrap_err();
    let is_the_card =
        matches!(error, ChannelError::CardRemoved | ChannelError::ExchangeBroken | ChannelError::CardMute);
    assert!(is_the_card, "{error}");
    server
}

fn an_ended_daemon_is_noticed(mut channel: Box<dyn CardChannel>, mut reader: impl Reader) {
    let outcome = channel.transmit(&[0; 4]);
    assert!(matches!(outcome, Err(ChannelError::Daemon(DaemonError::HungUp { .. }))), "{outcome:?}");
    assert!(!channel.is_present());
    drop(channel);
    let outcome = reader.wait_for_card(SHORT);
    assert!(matches!(outcome, Err(ReaderError::Daemon(_))), "{:?}", outcome.map(|_| ()));
}
