//! The reader's end: a terminal's reader into which emulated cards are "put" over loopback TCP.

use super::frame::{BODY_LEN_MAX, FrameError, FrameSocket, IdleState};
use super::{ASK_ATR, POWER_OFF, POWER_ON};
use crate::channel::{
    ATR_LEN_MAX, CardChannel, ChannelError, RESPONSE_LEN_MIN, Reader, ReaderError, check_command,
    deadline_after,
};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a waiting reader looks for a card. A person does not notice this delay.
const LOOK: Duration = Duration::from_millis(20);
const ATR_TIME: Duration = Duration::from_secs(2);
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Where the card's connection is while no channel uses it, so that a card that stays on the reader
/// can be opened again.
enum Slot {
    Empty,
    Resting(FrameSocket, Vec<u8>),
    InUse,
}

struct Shared {
    slot: Mutex<Slot>,
    freed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader that listens on a loopback address. A card that connects is inserted, a card that
/// closes its connection is removed. Only one card is looked at; a second one waits in the queue of
/// the listening socket, as under a pile of cards, until the first is gone.
pub struct VirtualReader {
    name: String,
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
    answer_time: Duration,
}

impl VirtualReader {
    /// Listens at `address`, which must be loopback; port 0 takes a free one.
    ///
    /// # Errors
    /// [`ReaderError::NotLoopback`], [`ReaderError::Listen`].
    pub fn bind(address: SocketAddr) -> Result<Self, ReaderError> {
        if !address.ip().is_loopback() {
            return Err(ReaderError::NotLoopback { address });
        }
        let listening = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = listening().map_err(|cause| ReaderError::Listen { address, cause })?;
        Ok(Self {
            name: format!("Virtual reader at {address}"),
            listener,
            address,
            shared: Arc::new(Shared { slot: Mutex::new(Slot::Empty), freed: Condvar::new() }),
            answer_time: ANSWER_TIME,
        })
    }

    /// How long a card may take over one command, 10 s unless told.
    #[must_use]
    pub const fn answers_within(mut self, limit: Duration) -> Self {
        self.answer_time = limit;
        self
    }

    /// Where cards connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connection of the card that is on the reader now and its ATR, if there is one.
    fn look(&self, slot: &mut Slot) -> Result<Option<(FrameSocket, Vec<u8>)>, ReaderError> {
        match std::mem::replace(slot, Slot::Empty) {
            Slot::Resting(socket, atr) if socket.idle_state() == IdleState::Quiet => {
                return Ok(Some((socket, atr)));
            }
            Slot::Resting(..) | Slot::Empty => {}
            Slot::InUse => {
                *slot = Slot::InUse;
                return Ok(None);
            }
        }
        let socket = match self.listener.accept() {
            Ok((stream, _)) => FrameSocket::new(stream),
            Err(error) if is_passing(error.kind()) => return Ok(None),
            Err(error) => Err(error),
        };
        let mut socket = socket.map_err(|cause| ReaderError::Listen { address: self.address, cause })?;
        match ask_atr(&mut socket) {
            Ok(atr) => Ok(Some((socket, atr))),
            // Inserted and removed before we looked.
            Err(Fault::Gone) => Ok(None),
            Err(Fault::Mute) => Err(ReaderError::CardMute { reader: self.name.clone() }),
            Err(Fault::Misbehaved(reason)) => {
                Err(ReaderError::CardMisbehaved { reader: self.name.clone(), reason })
            }
        }
    }
}

/// A connection that ended before it was accepted is no fault of the listener.
const fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
    )
}

impl Reader for VirtualReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn wait_for_card(&mut self, timeout: Duration) -> Result<Option<Box<dyn CardChannel>>, ReaderError> {
        let deadline = deadline_after(timeout);
        let shared = Arc::clone(&self.shared);
        let mut slot = shared.lock();
        loop {
            if let Some((mut socket, atr)) = self.look(&mut slot)?
                && socket.send(&[POWER_ON]).is_ok()
            {
                *slot = Slot::InUse;
                return Ok(Some(Box::new(VirtualChannel {
                    socket: Some(socket),
                    atr,
                    shared: Arc::clone(&self.shared),
                    answer_time: self.answer_time,
                })));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return match *slot {
                    Slot::InUse => Err(ReaderError::Busy { reader: self.name.clone() }),
                    Slot::Empty | Slot::Resting(..) => Ok(None),
                };
            }
            slot = self
                .shared
                .freed
                .wait_timeout(slot, left.min(LOOK))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// What can be wrong with a card behind a connection.
enum Fault {
    Gone,
    Mute,
    Misbehaved(&'static str),
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Closed | FrameError::Io(_) => Self::Gone,
            FrameError::Truncated => Self::Misbehaved("it left in the middle of an answer"),
            FrameError::Slow => Self::Misbehaved("it stopped in the middle of an answer"),
            FrameError::Empty => Self::Misbehaved("it sent an empty answer"),
            FrameError::TooLong { .. } => Self::Misbehaved("it announced an answer longer than allowed"),
        }
    }
}

impl From<Fault> for ChannelError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone => Self::CardRemoved,
            Fault::Mute => Self::CardMute,
            Fault::Misbehaved(reason) => Self::CardMisbehaved { reason },
        }
    }
}

fn ask_atr(socket: &mut FrameSocket) -> Result<Vec<u8>, Fault> {
    let atr = ask(socket, &[ASK_ATR], ATR_LEN_MAX, ATR_TIME)?;
    // TS says how the rest is to be read; nothing else may begin an ATR. ISO/IEC 7816-3:2006 §8.1.
    if atr.len() < 2 || !matches!(atr.first(), Some(0x3B | 0x3F)) {
        return Err(Fault::Misbehaved("its answer to reset is none"));
    }
    Ok(atr)
}

fn ask(socket: &mut FrameSocket, body: &[u8], limit: usize, time: Duration) -> Result<Vec<u8>, Fault> {
    match socket.idle_state() {
        IdleState::Quiet => {}
        IdleState::Closed => return Err(Fault::Gone),
        IdleState::Unsolicited => return Err(Fault::Misbehaved("it spoke without being asked")),
    }
    socket.send(body)?;
    socket.receive(limit, Instant::now() + time)?.ok_or(Fault::Mute)
}

struct VirtualChannel {
    /// `None` once the card broke the rules: such a connection is never used again.
    socket: Option<FrameSocket>,
    atr: Vec<u8>,
    shared: Arc<Shared>,
    answer_time: Duration,
}

impl CardChannel for VirtualChannel {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ChannelError> {
        check_command(command)?;
        if command.len() > BODY_LEN_MAX {
            return Err(ChannelError::CommandLength { len: command.len() });
        }
        let socket = self.socket.as_mut().ok_or(ChannelError::CardRemoved)?;
        let outcome = ask(socket, command, BODY_LEN_MAX, self.answer_time).and_then(|response| {
            if response.len() < RESPONSE_LEN_MIN {
                return Err(Fault::Misbehaved("a response without status octets"));
            }
            Ok(response)
        });
        outcome.map_err(|fault| {
            self.socket = None;
            fault.into()
        })
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }

    fn is_present(&mut self) -> bool {
        let is_quiet = self.socket.as_mut().is_some_and(|socket| socket.idle_state() == IdleState::Quiet);
        if !is_quiet {
            self.socket = None;
        }
        is_quiet
    }
}

impl Drop for VirtualChannel {
    fn drop(&mut self) {
        let resting =
            self.socket.take().and_then(|mut socket| socket.send(&[POWER_OFF]).ok().map(|()| socket));
        *self.shared.lock() = match resting {
            Some(socket) => Slot::Resting(socket, std::mem::take(&mut self.atr)),
            None => Slot::Empty,
        };
        self.shared.freed.notify_all();
    }
}

impl std::fmt::Debug for VirtualReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VirtualReader").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_card::{ATR, echo, seeded};
    use crate::vpcd::{CardServer, TraceEvent};
    use proptest::prelude::*;
    use std::io::Write;
    use std::net::{IpAddr, Ipv4Addr, TcpStream};
    use std::sync::mpsc;

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_secs(20);

    fn reader() -> VirtualReader {
        VirtualReader::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).unwrap()
    }

    fn served(
        reader: &VirtualReader,
    ) -> (crate::vpcd::InsertedCard, crate::test_card::Watch, mpsc::Receiver<TraceEvent>) {
        let (emulated_card, watch) = echo();
        let (sender, events) = mpsc::channel();
        let server = CardServer::new(emulated_card, seeded())
            .reader_at(reader.address().to_string())
            .observed_by(move |event| drop(sender.send(event.clone())));
        (server.insert().unwrap(), watch, events)
    }

    fn wait_for(events: &mpsc::Receiver<TraceEvent>, wanted: &TraceEvent) {
        while events.recv_timeout(LONG).expect("the event comes") != *wanted {}
    }

    /// A peer that connected and sends `octets` whatever it is asked.
    fn peer(reader: &VirtualReader, octets: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(reader.address()).unwrap();
        stream.write_all(octets).unwrap();
        stream
    }

    #[test]
    fn only_loopback_is_listened_on() {
        let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        assert!(matches!(VirtualReader::bind(everywhere), Err(ReaderError::NotLoopback { .. })));
        let taken = reader();
        assert!(matches!(VirtualReader::bind(taken.address()), Err(ReaderError::Listen { .. })));
    }

    #[test]
    fn a_card_is_inserted_used_and_powered_down() {
        let mut reader = reader();
        assert!(reader.wait_for_card(SHORT).unwrap().is_none());
        let (inserted, watch, events) = served(&reader);
        let mut channel = reader.wait_for_card(LONG).unwrap().unwrap();
        assert_eq!(channel.atr(), ATR);
        assert!(channel.is_present());
        let extended = vec![0x5A; 60_000];
        assert_eq!(channel.transmit(&extended).unwrap().len(), 60_002);
        drop(channel);
        wait_for(&events, &TraceEvent::PowerOff);
        assert!(!watch.is_powered(), "a verified PIN must not outlive the channel");
        let mut again = reader.wait_for_card(LONG).unwrap().expect("the card is still on the reader");
        assert!(again.transmit(&[0; 4]).is_ok());
        drop(inserted);
        assert!(!again.is_present());
        assert!(matches!(again.transmit(&[0; 4]), Err(ChannelError::CardRemoved)));
    }

    #[test]
    fn a_second_card_waits_until_the_first_is_gone() {
        let mut reader = reader();
        let (first, _, _) = served(&reader);
        let channel = reader.wait_for_card(LONG).unwrap().unwrap();
        let (_second, watch, _) = served(&reader);
        assert!(matches!(reader.wait_for_card(SHORT), Err(ReaderError::Busy { .. })));
        assert!(!watch.is_powered());
        drop(first);
        drop(channel);
        let mut second = reader.wait_for_card(LONG).unwrap().unwrap();
        assert!(second.transmit(&[0; 4]).is_ok());
        assert!(watch.is_powered());
    }

    #[test]
    fn peers_that_are_no_cards_are_named() {
        let mut reader = reader();
        for octets in [&[0_u8, 0][..], &[0xFF, 0xFF], &[0, 34], &[0, 1, 0x3B], &[0, 3, 1, 2, 3]] {
            let liar = peer(&reader, octets);
            let outcome = reader.wait_for_card(LONG);
            assert!(matches!(outcome, Err(ReaderError::CardMisbehaved { .. })), "{octets:?}");
            drop(liar);
        }
        let _silent = peer(&reader, &[]);
        assert!(matches!(reader.wait_for_card(LONG), Err(ReaderError::CardMute { .. })));
        drop(peer(&reader, &[]));
        assert!(reader.wait_for_card(SHORT).unwrap().is_none(), "removed before anybody looked");
    }

    /// A card that gives its ATR and then answers every command with `octets`.
    fn scripted(reader: &VirtualReader, octets: Vec<u8>) -> std::thread::JoinHandle<()> {
        use std::io::Read;
        let mut stream = TcpStream::connect(reader.address()).unwrap();
        std::thread::spawn(move || {
            let mut control = [0; 3];
            stream.read_exact(&mut control).unwrap();
            stream.write_all(&[0, 2, 0x3B, 0]).unwrap();
            stream.read_exact(&mut control).unwrap();
            stream.read_exact(&mut [0; 6]).unwrap();
            let _gone = stream.write_all(&octets);
        })
    }

    #[test]
    fn a_card_that_does_not_answer_in_time_ends_the_channel() {
        let mut reader = reader().answers_within(SHORT);
        let playing = TcpStream::connect(reader.address()).unwrap();
        let mut writing = playing.try_clone().unwrap();
        let answering = std::thread::spawn(move || {
            use std::io::Read;
            writing.read_exact(&mut [0; 3]).unwrap();
            writing.write_all(&[0, 2, 0x3B, 0]).unwrap();
        });
        let mut channel = reader.wait_for_card(LONG).unwrap().unwrap();
        answering.join().unwrap();
        assert!(matches!(channel.transmit(&[0; 4]), Err(ChannelError::CardMute)));
        assert!(
            matches!(channel.transmit(&[0; 4]), Err(ChannelError::CardRemoved)),
            "the channel is finished"
        );
        assert!(!channel.is_present());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_a_card_answers_the_channel_returns(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = reader();
            let playing = scripted(&reader, octets.clone());
            let mut channel = reader.wait_for_card(LONG).unwrap().unwrap();
            let outcome = channel.transmit(&[0; 4]);
            let len = octets.first_chunk::<2>().map_or(0, |header| usize::from(u16::from_be_bytes(*header)));
            let is_whole = len >= 2 && octets.len() >= len + 2;
            prop_assert_eq!(outcome.is_ok(), is_whole);
            playing.join().unwrap();
        }
    }
}
