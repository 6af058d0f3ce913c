//! Several readers in one pcscd, cards that come and go while others are used, a daemon that is started
//! again, a card torn out in the middle of an answer.

use crate::pcscd::{PcscdFixture, SOCKET, eventually};
use card::EmulatedCard;
use card_io::pcsc::Daemon;
use card_io::vpcd::{ASK_ATR, Exposure, exposure};
use card_io::{CardChannel, CardServer, ChannelError, InsertedCard, Reader, ReaderInfo, TraceEvent};
use protocol::entropy::{Entropy, Seeded};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);
const ATR: [u8; 9] = [0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14];
const COMMAND: [u8; 5] = [0x00, 0xB0, 0x00, 0x00, 0x10];
const READERS: [&str; 3] = ["Kazasu Alpha", "Kazasu Beta", "Kazasu Gamma"];

/// Answers every command with its own mark, how many commands it got since power-on, and `9000`.
struct Marked {
    mark: u8,
    answered: u8,
}

impl EmulatedCard for Marked {
    fn atr(&self) -> &[u8] {
        &ATR
    }
    fn power_on(&mut self) {
        self.answered = 0;
    }
    fn power_off(&mut self) {}
    fn transmit(&mut self, _: &[u8], _: &mut dyn Entropy) -> Vec<u8> {
        self.answered = self.answered.wrapping_add(1);
        vec![self.mark, self.answered, 0x90, 0x00]
    }
}

struct Bench {
    pcscd: PcscdFixture,
    daemon: Daemon,
}

impl Bench {
    fn new() -> Self {
        Self { pcscd: PcscdFixture::start_readers(&READERS), daemon: Daemon::at(SOCKET) }
    }

    fn server(&self, reader: usize, mark: u8) -> (CardServer, Receiver<TraceEvent>) {
        let (sender, events) = mpsc::channel();
        let server = CardServer::new(Box::new(Marked { mark, answered: 0 }), Box::new(Seeded::new(1)))
            .reader_at(self.pcscd.card_address_of(reader))
            .observed_by(move |event| drop(sender.send(event.clone())));
        (server, events)
    }

    /// The first slot of a reader, as pcscd lists it now.
    fn slot(&self, reader: usize) -> ReaderInfo {
        let name = READERS[reader];
        let mut listed = self.daemon.list_readers().unwrap();
        listed.retain(|info| info.name.starts_with(name));
        assert_eq!(listed.len(), 2, "two slots of {name}");
        listed.swap_remove(0)
    }

    fn await_card(&self, reader: usize, is_there: bool) {
        eventually("pcscd sees the card come or go", LONG, || {
            (self.slot(reader).card_present == is_there).then_some(())
        });
    }

    fn open(&self, reader: usize) -> Box<dyn CardChannel> {
        let name = self.slot(reader).name;
        let mut reader = self.daemon.open_reader(&name).unwrap();
        reader.wait_for_card(LONG).unwrap().expect("a card is there")
    }
}

/// Exchanges a few commands; the answers must come from the card with this mark, in order.
fn talk(channel: &mut dyn CardChannel, mark: u8, counted: &mut u8) {
    for _ in 0..20 {
        *counted = counted.wrapping_add(1);
        assert_eq!(channel.transmit(&COMMAND).unwrap(), [mark, *counted, 0x90, 0x00]);
    }
}

fn is_the_cards_end(error: &ChannelError) -> bool {
    matches!(error, ChannelError::CardRemoved | ChannelError::ExchangeBroken | ChannelError::CardMute)
}

#[test]
fn cards_come_and_go_while_others_are_in_use() {
    let bench = Bench::new();
    let (alpha, _events) = bench.server(0, 0xA1);
    let (beta, _events) = bench.server(1, 0xB2);
    let (gamma, _events) = bench.server(2, 0xC3);
    let (_alpha, _beta) = (alpha.insert().unwrap(), beta.insert().unwrap());
    bench.await_card(0, true);
    bench.await_card(1, true);
    let mut steady = bench.open(0);
    let mut counted = 0;
    let mut gamma = Some(gamma);
    for round in 0..4 {
        let inserted = gamma.take().unwrap().insert().unwrap();
        bench.await_card(2, true);
        assert_eq!(bench.slot(2).events, 2 * round + 1, "one event for the insertion");
        talk(steady.as_mut(), 0xA1, &mut counted);
        let mut passing = bench.open(2);
        talk(passing.as_mut(), 0xC3, &mut 0);
        gamma = Some(removed_under(&bench, inserted, passing));
        assert_eq!(bench.slot(2).events, 2 * round + 2, "one event for the removal");
        talk(steady.as_mut(), 0xA1, &mut counted);
    }
    assert!(steady.is_present());
    // Nobody else noticed anything.
    assert_eq!((bench.slot(0).events, bench.slot(1).events), (1, 1));
    talk(bench.open(1).as_mut(), 0xB2, &mut 0);
    for port in &bench.pcscd.ports {
        // The driver's doing, and why the documentation warns of it.
        assert_eq!(exposure(*port).unwrap(), Exposure::Network);
    }
}

/// Takes the card out under an open channel: the channel sees it go, and never comes back.
fn removed_under(bench: &Bench, inserted: InsertedCard, mut channel: Box<dyn CardChannel>) -> CardServer {
    let server = inserted.remove().expect("the card did not panic");
    eventually("the removal is seen", LONG, || (!channel.is_present()).then_some(()));
    let error = channel.transmit(&COMMAND).unwrap_err();
    assert!(is_the_cards_end(&error), "{error}");
    drop(channel);
    bench.await_card(2, false);
    server
}

#[test]
fn a_channel_never_talks_to_the_next_card() {
    let bench = Bench::new();
    let (first, _events) = bench.server(0, 0x01);
    let (second, _events) = bench.server(0, 0x02);
    let first = first.insert().unwrap();
    bench.await_card(0, true);
    let mut old = bench.open(0);
    talk(old.as_mut(), 0x01, &mut 0);
    drop(first.remove().expect("the card did not panic"));
    bench.await_card(0, false);
    let _second = second.insert().unwrap();
    bench.await_card(0, true);
    assert!(!old.is_present(), "another card is there, not this one");
    let error = old.transmit(&COMMAND).unwrap_err();
    assert!(is_the_cards_end(&error), "{error}");
    drop(old);
    talk(bench.open(0).as_mut(), 0x02, &mut 0);
}

#[test]
fn served_cards_come_back_when_pcscd_does() {
    let mut bench = Bench::new();
    let (servers, events): (Vec<_>, Vec<_>) = (0..3).map(|reader| bench.server(reader, 0x70)).unzip();
    let _served: Vec<InsertedCard> = servers.into_iter().map(|server| server.insert().unwrap()).collect();
    let mut looking = Vec::new();
    for reader in 0..3 {
        bench.await_card(reader, true);
        let mut open = bench.daemon.open_reader(&bench.slot(reader).name).unwrap();
        talk(open.wait_for_card(LONG).unwrap().expect("a card").as_mut(), 0x70, &mut 0);
        looking.push(open);
    }
    bench.pcscd.stop();
    for events in &events {
        while !matches!(events.recv_timeout(LONG).expect("an event"), TraceEvent::Removed { .. }) {}
    }
    bench.pcscd.start_again();
    for (reader, events) in events.iter().enumerate() {
        while !matches!(events.recv_timeout(LONG).expect("an event"), TraceEvent::Inserted { .. }) {}
        // The very readers that were open before the daemon ended.
        let mut channel = eventually("the reader is there again", LONG, || {
            looking[reader].wait_for_card(Duration::from_secs(2)).ok().flatten()
        });
        talk(channel.as_mut(), 0x70, &mut 0);
    }
}

/// A card that leaves with the answer to READ BINARY on its lips: it takes the command and hangs up.
fn torn_card(address: &str) -> JoinHandle<usize> {
    let mut stream = TcpStream::connect(address).expect("the driver listens");
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    std::thread::spawn(move || {
        let mut answered = 0;
        loop {
            let mut header = [0; 2];
            stream.read_exact(&mut header).expect("the driver talks");
            let mut body = vec![0; usize::from(u16::from_be_bytes(header))];
            stream.read_exact(&mut body).expect("the driver talks");
            match body.as_slice() {
                [ASK_ATR] => stream.write_all(&[&[0, 9][..], &ATR].concat()).unwrap(),
                [_] => {}
                [_, 0xB0, ..] => return answered,
                _ => {
                    answered += 1;
                    stream.write_all(&[0, 2, 0x90, 0x00]).unwrap();
                }
            }
        }
    })
}

#[test]
fn a_card_torn_out_in_mid_answer_is_the_cards_end_and_not_the_daemons() {
    let bench = Bench::new();
    let (steady, _events) = bench.server(1, 0xB2);
    let _steady = steady.insert().unwrap();
    bench.await_card(1, true);
    let mut neighbour = bench.open(1);
    let mut counted = 0;
    for round in 0..3 {
        let torn = torn_card(&bench.pcscd.card_address_of(0));
        bench.await_card(0, true);
        let mut channel = bench.open(0);
        assert_eq!(channel.transmit(&[0, 0xA4, 4, 0]).unwrap(), [0x90, 0x00]);
        let error = channel.transmit(&COMMAND).unwrap_err();
        assert!(is_the_cards_end(&error), "{error}");
        assert_eq!(torn.join().expect("the card did not panic"), 1);
        drop(channel);
        // Powering down tells pcscd before its own look at the reader does; only that one is counted, and a
        // card that comes before is taken for the one that left.
        eventually("the removal is counted", LONG, || (bench.slot(0).events == 2 * round + 2).then_some(()));
        assert!(!bench.slot(0).card_present);
        talk(neighbour.as_mut(), 0xB2, &mut counted);
    }
    // The reader is as good as before.
    let (whole, _events) = bench.server(0, 0xA1);
    let _whole = whole.insert().unwrap();
    bench.await_card(0, true);
    talk(bench.open(0).as_mut(), 0xA1, &mut 0);
}
