//! The card's end: shows one emulated card to a virtual reader.

use super::frame::{BODY_LEN_MAX, FrameError, FrameSocket};
use super::{ASK_ATR, DEFAULT_ADDRESS, POWER_OFF, POWER_ON, RESET};
use crate::channel::{COMMAND_LEN_MIN, RESPONSE_LEN_MIN};
use card::EmulatedCard;
use protocol::entropy::Entropy;
use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a waiting server looks at its stop flag: a "removed" card is gone within this time.
const STOP_LOOK: Duration = Duration::from_millis(50);
const CONNECT_TIME: Duration = Duration::from_secs(2);
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// `6F00`, no precise diagnosis. ISO/IEC 7816-4:2020 §5.6.
const SW_NO_DIAGNOSIS: [u8; 2] = [0x6F, 0x00];
/// `6700`, wrong length. ISO/IEC 7816-4:2020 §5.6.
const SW_WRONG_LENGTH: [u8; 2] = [0x67, 0x00];

/// What a [`CardServer`] tells its observer. By construction without holder data: instruction byte,
/// lengths and status word only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceEvent {
    /// Nobody listens there (yet); the next try is after `retry_in_ms`.
    Unreachable {
        /// The address as given.
        address: String,
        /// What the operating system said.
        cause: String,
        /// Milliseconds until the next try.
        retry_in_ms: u64,
    },
    /// The card is in the reader.
    Inserted {
        /// The address as given.
        address: String,
    },
    /// The connection is over: the reader closed it, broke the rules, or the server was stopped.
    Removed {
        /// Why.
        cause: String,
    },
    /// The reader gave power.
    PowerOn,
    /// The reader took the power away; verified PINs are forgotten.
    PowerOff,
    /// Warm reset; verified PINs are kept, as on the real card.
    Reset,
    /// One command and its response.
    Exchange {
        /// The command's instruction byte.
        instruction: u8,
        /// Octets of the command APDU.
        command_len: usize,
        /// Octets of the response APDU, with its status word.
        response_len: usize,
        /// The response's status word.
        status: u16,
    },
}

type Observer = Box<dyn FnMut(&TraceEvent) + Send>;

/// Shows an emulated card to whatever listens at an address with vpcd's framing, and connects again
/// with growing pauses whenever the reader goes away.
pub struct CardServer {
    emulated_card: Box<dyn EmulatedCard>,
    entropy: Box<dyn Entropy>,
    address: String,
    observer: Observer,
    is_powered: bool,
}

impl CardServer {
    /// A server for `emulated_card`, which draws its chance from `entropy`; the reader is expected
    /// at [`DEFAULT_ADDRESS`].
    pub fn new(emulated_card: Box<dyn EmulatedCard>, entropy: Box<dyn Entropy>) -> Self {
        Self {
            emulated_card,
            entropy,
            address: DEFAULT_ADDRESS.to_owned(),
            observer: Box::new(|_| {}),
            is_powered: false,
        }
    }

    /// The reader listens at `address`, a `HOST:PORT`.
    #[must_use]
    pub fn reader_at(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// Tells `observer` everything that happens, on the serving thread.
    #[must_use]
    pub fn observed_by(mut self, observer: impl FnMut(&TraceEvent) + Send + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// Serves until `stop` is true, which is looked at every 50 ms. Stopping takes the card out of
    /// the reader and its power away. Trouble goes to the observer: a reader that is not there yet
    /// is the usual case, since the daemon may start after the card.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut pause = BACK_OFF_MIN;
        while !stop.load(Ordering::SeqCst) {
            match connect(&self.address) {
                Ok(mut socket) => {
                    (self.observer)(&TraceEvent::Inserted { address: self.address.clone() });
                    let (cause, was_used) = self.serve(&mut socket, stop);
                    self.power_down();
                    (self.observer)(&TraceEvent::Removed { cause });
                    if was_used {
                        pause = BACK_OFF_MIN;
                    }
                }
                Err(error) => {
                    let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    let (address, cause) = (self.address.clone(), error.to_string());
                    (self.observer)(&TraceEvent::Unreachable { address, cause, retry_in_ms });
                }
            }
            wait(pause, stop);
            pause = pause.saturating_mul(2).min(BACK_OFF_MAX);
        }
    }

    /// Serves on a thread of its own until the returned [`InsertedCard`] is removed or dropped.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn insert(mut self) -> io::Result<InsertedCard> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let serving = std::thread::Builder::new().name("card-server".to_owned()).spawn(move || {
            self.run(&seen);
            self
        })?;
        Ok(InsertedCard { stop, serving: Some(serving) })
    }

    /// The card, with its retry counters, powered down.
    pub fn into_card(mut self) -> Box<dyn EmulatedCard> {
        self.power_down();
        self.emulated_card
    }

    /// Serves one connection to its end; says why it ended and whether a frame was ever exchanged.
    fn serve(&mut self, socket: &mut FrameSocket, stop: &AtomicBool) -> (String, bool) {
        let mut was_used = false;
        loop {
            if stop.load(Ordering::SeqCst) {
                return ("the card was taken out".to_owned(), was_used);
            }
            let outcome = socket.receive(BODY_LEN_MAX, Instant::now() + STOP_LOOK).and_then(|frame| {
                let Some(frame) = frame else { return Ok(()) };
                was_used = true;
                match self.answer(&frame) {
                    Some(response) => socket.send(&response),
                    None => Ok(()),
                }
            });
            match outcome {
                Ok(()) => {}
                Err(FrameError::Closed) => return ("the reader closed the connection".to_owned(), was_used),
                Err(error) => return (error.to_string(), was_used),
            }
        }
    }

    fn answer(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        match frame {
            [ASK_ATR] => Some(self.emulated_card.atr().to_vec()),
            [POWER_ON] => {
                self.power_up();
                None
            }
            [POWER_OFF] => {
                self.power_down();
                None
            }
            [RESET] => {
                // The real card keeps its security status through a warm reset, so nothing is
                // cleared here: only a power-down does that.
                self.power_up();
                (self.observer)(&TraceEvent::Reset);
                None
            }
            // A control message of a later version: not knowing it is no reason to leave the reader.
            [_] => None,
            command => Some(self.exchange(command)),
        }
    }

    fn exchange(&mut self, command: &[u8]) -> Vec<u8> {
        let mut response = if command.len() < COMMAND_LEN_MIN {
            SW_WRONG_LENGTH.to_vec()
        } else {
            // Drivers power a card before they talk to it; one that does not is forgiven.
            self.power_up();
            self.emulated_card.transmit(command, self.entropy.as_mut())
        };
        if response.len() < RESPONSE_LEN_MIN || response.len() > BODY_LEN_MAX {
            response = SW_NO_DIAGNOSIS.to_vec();
        }
        let status = response.last_chunk::<2>().map_or(0, |octets| u16::from_be_bytes(*octets));
        (self.observer)(&TraceEvent::Exchange {
            instruction: command.get(1).copied().unwrap_or(0),
            command_len: command.len(),
            response_len: response.len(),
            status,
        });
        response
    }

    fn power_up(&mut self) {
        if !self.is_powered {
            self.emulated_card.power_on();
            self.is_powered = true;
            (self.observer)(&TraceEvent::PowerOn);
        }
    }

    fn power_down(&mut self) {
        if self.is_powered {
            self.emulated_card.power_off();
            self.is_powered = false;
            (self.observer)(&TraceEvent::PowerOff);
        }
    }
}

impl fmt::Debug for CardServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A card that a [`CardServer`] holds in a reader. Dropping it takes the card out.
#[derive(Debug)]
pub struct InsertedCard {
    stop: Arc<AtomicBool>,
    serving: Option<JoinHandle<CardServer>>,
}

impl InsertedCard {
    /// Takes the card out and hands the server back, to be inserted again with its retry counters.
    /// `None` if the card or the observer panicked.
    pub fn remove(mut self) -> Option<CardServer> {
        self.stop.store(true, Ordering::SeqCst);
        self.serving.take()?.join().ok()
    }
}

impl Drop for InsertedCard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(serving) = self.serving.take() {
            // A panic of the card is reported by its own thread.
            let _server = serving.join();
        }
    }
}

fn connect(address: &str) -> io::Result<FrameSocket> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, CONNECT_TIME) {
            Ok(stream) => return FrameSocket::new(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn wait(pause: Duration, stop: &AtomicBool) {
    let until = Instant::now() + pause;
    while !stop.load(Ordering::SeqCst) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(STOP_LOOK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_card::{ATR, Watch, echo, seeded};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(20);

    struct Bench {
        listener: TcpListener,
        events: mpsc::Receiver<TraceEvent>,
        inserted: InsertedCard,
        watch: Watch,
    }

    fn bench() -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (sender, events) = mpsc::channel();
        let (emulated_card, watch) = echo();
        let inserted = CardServer::new(emulated_card, seeded())
            .reader_at(listener.local_addr().unwrap().to_string())
            .observed_by(move |event| drop(sender.send(event.clone())))
            .insert()
            .unwrap();
        Bench { listener, events, inserted, watch }
    }

    impl Bench {
        fn accept(&self) -> TcpStream {
            let stream = self.listener.accept().unwrap().0;
            stream.set_read_timeout(Some(LONG)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        }

        fn until(&self, wanted: impl Fn(&TraceEvent) -> bool) -> TraceEvent {
            loop {
                let event = self.events.recv_timeout(LONG).expect("the event comes");
                if wanted(&event) {
                    return event;
                }
            }
        }
    }

    fn ask(stream: &mut TcpStream, body: &[u8]) -> Vec<u8> {
        // As Debian's driver does it: length and body apart.
        stream.write_all(&u16::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut header = [0; 2];
        stream.read_exact(&mut header).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(header))];
        stream.read_exact(&mut answer).unwrap();
        answer
    }

    #[test]
    fn controls_and_commands_are_answered_as_the_driver_expects() {
        let bench = bench();
        let mut reader = bench.accept();
        assert_eq!(ask(&mut reader, &[ASK_ATR]), ATR);
        reader.write_all(&[0, 1, POWER_ON, 0, 1, RESET, 0, 1, 9]).unwrap();
        assert_eq!(ask(&mut reader, &[ASK_ATR]), ATR, "power, reset and unknown controls have no answer");
        assert!(bench.watch.is_powered());
        assert_eq!(ask(&mut reader, &[0, 0xA4, 4, 0]), [0, 0xA4, 4, 0, 0x90, 0]);
        assert_eq!(ask(&mut reader, &[0, 0xA4]), SW_WRONG_LENGTH);
        assert_eq!(ask(&mut reader, &vec![0xAB; 65_535]), SW_NO_DIAGNOSIS, "its echo would not fit a frame");
        let exchange = bench.until(|event| matches!(event, TraceEvent::Exchange { .. }));
        let wanted =
            TraceEvent::Exchange { instruction: 0xA4, command_len: 4, response_len: 6, status: 0x9000 };
        assert_eq!(exchange, wanted);
        reader.write_all(&[0, 1, POWER_OFF]).unwrap();
        bench.until(|event| *event == TraceEvent::PowerOff);
        assert!(!bench.watch.is_powered());
    }

    #[test]
    fn a_stopped_server_takes_the_card_out_and_gives_it_back() {
        let bench = bench();
        let mut reader = bench.accept();
        reader.write_all(&[0, 1, POWER_ON]).unwrap();
        bench.until(|event| *event == TraceEvent::PowerOn);
        let server = bench.inserted.remove().expect("nothing panicked");
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0, "removed means closed");
        assert!(!bench.watch.is_powered());
        assert_eq!(server.into_card().atr(), ATR);
    }

    #[test]
    fn a_reader_that_leaves_or_lies_is_left_and_joined_again() {
        let bench = bench();
        drop(bench.accept());
        bench.until(|event| matches!(event, TraceEvent::Removed { .. }));
        let mut liar = bench.accept();
        liar.write_all(&[0, 0]).unwrap();
        bench.until(|event| matches!(event, TraceEvent::Removed { .. }));
        let mut reader = bench.accept();
        assert_eq!(ask(&mut reader, &[ASK_ATR]), ATR);
    }

    #[test]
    fn a_reader_that_comes_later_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (sender, events) = mpsc::channel();
        let _inserted = CardServer::new(echo().0, seeded())
            .reader_at(address.to_string())
            .observed_by(move |event| drop(sender.send(event.clone())))
            .insert()
            .unwrap();
        assert!(matches!(events.recv_timeout(LONG).unwrap(), TraceEvent::Unreachable { .. }));
        let listener = TcpListener::bind(address).unwrap();
        let mut reader = listener.accept().unwrap().0;
        assert_eq!(ask(&mut reader, &[ASK_ATR]), ATR);
    }
}
