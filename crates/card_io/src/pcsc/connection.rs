//! One connection to the daemon: greeting, requests, and limits on every wait.

use super::wire::{
    Command, Fields, MAJOR, MINOR_MAX, MINOR_MIN, MINOR_SIZED_LIST, Message, READER_STATE_LEN, READERS_FIXED,
    READERS_MAX, RESPONSE_FIELD_MAX, ReaderState, reader_states,
};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long the daemon may take before it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For requests that touch no card: greeting, listing readers.
    pub bookkeeping: Duration,
    /// For opening a card, which includes powering it up (a second or two on some readers), and for
    /// powering it down.
    pub card_power: Duration,
    /// For one command and its response; a card may compute for seconds.
    pub exchange: Duration,
}

impl Default for Limits {
    /// 5 s, 10 s and 30 s.
    fn default() -> Self {
        Self {
            bookkeeping: Duration::from_secs(5),
            card_power: Duration::from_secs(10),
            exchange: Duration::from_secs(30),
        }
    }
}

/// Why the daemon could not be used. The text says what a person can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// Nothing listens at the socket.
    #[error("the PC/SC daemon is not running ({} does not answer): install pcscd and start it", .socket.display())]
    NotRunning {
        /// The socket's path.
        socket: PathBuf,
    },
    /// This user may not use the daemon, by file permissions or by its access policy.
    #[error("this user may not use the PC/SC daemon at {}: allow access_pcsc and access_card in polkit",
        .socket.display())]
    PermissionDenied {
        /// The socket's path.
        socket: PathBuf,
    },
    /// The daemon took longer than the limit, as when its driver is stuck.
    #[error("the PC/SC daemon said nothing for {} s while {doing}: restart pcscd", .after.as_secs())]
    Silent {
        /// What was being done.
        doing: &'static str,
        /// The limit that was reached.
        after: Duration,
    },
    /// The daemon closed the connection.
    #[error("the PC/SC daemon hung up while {doing}: look at its log and start it again")]
    HungUp {
        /// What was being done.
        doing: &'static str,
    },
    /// The daemon speaks a protocol this client does not know.
    #[error(
        "the PC/SC daemon speaks protocol {major}:{minor}, this program {MAJOR}:{MINOR_MIN} to {MAJOR}:{MINOR_MAX}"
    )]
    UnknownProtocol {
        /// Its major version.
        major: i32,
        /// Its minor version.
        minor: i32,
    },
    /// The daemon's answer makes no sense.
    #[error("the PC/SC daemon answered nonsense while {doing}: is something else listening on its socket?")]
    Nonsense {
        /// What was being done.
        doing: &'static str,
    },
    /// The daemon said no, with an error number of the PC/SC specification.
    #[error("the PC/SC daemon refused {doing}: error {code:#010X}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The PC/SC error number.
        code: u32,
    },
    /// The operating system failed.
    #[error("the connection to the PC/SC daemon failed while {doing}: {cause}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        cause: io::Error,
    },
}

/// `SCARD_W_SECURITY_VIOLATION`.
pub(super) const SECURITY_VIOLATION: u32 = 0x8010_006A;

/// A connection to the daemon. One request at a time; after a failed one it is never used again,
/// since a late answer would be taken for the next one's.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    socket: PathBuf,
    minor: i32,
    limits: Limits,
    is_broken: bool,
}

/// The minor version the last daemon answered with. Some releases accept only their own, and all
/// log a mismatch, so the next connection starts with it.
static LAST_MINOR: AtomicI32 = AtomicI32::new(MINOR_MIN);

impl Connection {
    pub(super) fn open(socket: &Path, limits: Limits) -> Result<Self, DaemonError> {
        let stream = connect_within(socket, limits.bookkeeping)?;
        let mut connection =
            Self { stream, socket: socket.to_owned(), minor: MINOR_MIN, limits, is_broken: false };
        connection.greet()?;
        Ok(connection)
    }

    fn greet(&mut self) -> Result<(), DaemonError> {
        let first = LAST_MINOR.load(Ordering::Relaxed);
        let (mut code, mut major, mut minor) = self.offer(first)?;
        self.minor = first;
        if code != 0 && major == MAJOR && (MINOR_MIN..=MINOR_MAX).contains(&minor) && minor != first {
            self.minor = minor;
            (code, major, minor) = self.offer(minor)?;
        } else if code != 0 && first != MINOR_MIN {
            // A daemon newer than all we know may still take the oldest.
            self.minor = MINOR_MIN;
            (code, major, minor) = self.offer(MINOR_MIN)?;
        }
        if code != 0 || major != MAJOR {
            return Err(DaemonError::UnknownProtocol { major, minor });
        }
        let next_first = if (MINOR_MIN..=MINOR_MAX).contains(&minor) { minor } else { self.minor };
        LAST_MINOR.store(next_first, Ordering::Relaxed);
        Ok(())
    }

    /// Offers a minor version; returns the daemon's verdict and its own version.
    fn offer(&mut self, minor: i32) -> Result<(u32, i32, i32), DaemonError> {
        let socket = self.socket.clone();
        let answer = self.request(&Message::version(minor), &[], 12, self.limits.bookkeeping);
        let answer = answer.map_err(|error| match error {
            // The daemon hangs up without a word on users its policy refuses.
            DaemonError::HungUp { .. } => DaemonError::PermissionDenied { socket },
            other => other,
        })?;
        let mut fields = Fields::of(&answer);
        let versions = (fields.signed(), fields.signed(), fields.word());
        let (Some(major), Some(minor), Some(code)) = versions else {
            return Err(self.nonsense(Command::Version));
        };
        Ok((code, major, minor))
    }

    /// Every reader the daemon knows.
    pub(super) fn reader_states(&mut self) -> Result<Vec<ReaderState>, DaemonError> {
        let limit = self.limits.bookkeeping;
        let (command, count) = if self.minor < MINOR_SIZED_LIST {
            (Command::ReadersState, READERS_FIXED)
        } else {
            let answer = self.request(&Message::new(Command::ReadersStateSize), &[], 4, limit)?;
            let count = Fields::of(&answer).signed().and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| *count <= READERS_MAX);
            (Command::ReadersStateArray, count.ok_or_else(|| self.nonsense(Command::ReadersStateSize))?)
        };
        let list =
            self.request(&Message::new(command), &[], count.saturating_mul(READER_STATE_LEN), limit)?;
        reader_states(&list).ok_or_else(|| self.nonsense(command))
    }

    /// A context, without which the daemon opens no card.
    pub(super) fn establish(&mut self) -> Result<u32, DaemonError> {
        let answer = self.request(&Message::establish(), &[], 12, self.limits.bookkeeping)?;
        let mut fields = Fields::of(&answer);
        let (Some(_scope), Some(context), Some(code)) = (fields.word(), fields.word(), fields.word()) else {
            return Err(self.nonsense(Command::EstablishContext));
        };
        self.accepted(Command::EstablishContext, code).map(|()| context)
    }

    /// Opens the card on `reader` for this connection alone; returns its handle and protocol.
    pub(super) fn connect_exclusive(
        &mut self,
        context: u32,
        reader: &str,
    ) -> Result<(i32, u32), DaemonError> {
        let message = Message::connect_exclusive(context, reader);
        let answer = self.request(&message, &[], 4 + 128 + 20, self.limits.card_power)?;
        let mut fields = Fields::of(answer.get(4 + 128 + 8..).unwrap_or_default());
        let (Some(handle), Some(protocol), Some(code)) = (fields.signed(), fields.word(), fields.word())
        else {
            return Err(self.nonsense(Command::Connect));
        };
        if code == SECURITY_VIOLATION {
            return Err(DaemonError::PermissionDenied { socket: self.socket.clone() });
        }
        self.accepted(Command::Connect, code).map(|()| (handle, protocol))
    }

    /// One command APDU, one response APDU.
    pub(super) fn transmit(
        &mut self,
        handle: i32,
        protocol: u32,
        command: &[u8],
    ) -> Result<Vec<u8>, DaemonError> {
        let deadline = Instant::now() + self.limits.exchange;
        // The caller has checked that it is an APDU, so its length fits.
        let len = u32::try_from(command.len()).unwrap_or(u32::MAX);
        let message = Message::transmit(handle, protocol, len);
        let answer = self.request(&message, command, 32, self.limits.exchange)?;
        let mut fields = Fields::of(answer.get(24..).unwrap_or_default());
        let (Some(len), Some(code)) = (fields.word(), fields.word()) else {
            return Err(self.nonsense(Command::Transmit));
        };
        self.accepted(Command::Transmit, code)?;
        let len = usize::try_from(len).ok().filter(|len| *len <= RESPONSE_FIELD_MAX);
        let len = len.ok_or_else(|| self.nonsense(Command::Transmit))?;
        self.read(Command::Transmit, len, deadline, self.limits.exchange)
    }

    /// Powers the card down and gives it free.
    pub(super) fn disconnect_unpower(&mut self, handle: i32) -> Result<(), DaemonError> {
        let answer = self.request(&Message::disconnect_unpower(handle), &[], 12, self.limits.card_power)?;
        let code = Fields::of(answer.get(8..).unwrap_or_default()).word();
        self.accepted(Command::Disconnect, code.unwrap_or(u32::MAX))
    }

    /// Gives the context back.
    pub(super) fn release(&mut self, context: u32) -> Result<(), DaemonError> {
        let answer = self.request(&Message::release(context), &[], 8, self.limits.bookkeeping)?;
        let code = Fields::of(answer.get(4..).unwrap_or_default()).word();
        self.accepted(Command::ReleaseContext, code.unwrap_or(u32::MAX))
    }

    /// Whether an earlier failure made the connection useless.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn accepted(&self, command: Command, code: u32) -> Result<(), DaemonError> {
        if code == 0 { Ok(()) } else { Err(DaemonError::Refused { doing: command.purpose(), code }) }
    }

    const fn nonsense(&mut self, command: Command) -> DaemonError {
        self.is_broken = true;
        DaemonError::Nonsense { doing: command.purpose() }
    }

    /// Sends a message and what follows it, and reads an answer of exactly `answer_len` octets.
    fn request(
        &mut self,
        message: &Message,
        following: &[u8],
        answer_len: usize,
        limit: Duration,
    ) -> Result<Vec<u8>, DaemonError> {
        let command = message.command();
        if self.is_broken {
            return Err(DaemonError::HungUp { doing: command.purpose() });
        }
        let deadline = Instant::now() + limit;
        let written = self
            .stream
            .set_write_timeout(Some(limit))
            .and_then(|()| self.stream.write_all(&message.encode(following)));
        written.map_err(|cause| self.failed(command, limit, cause))?;
        self.read(command, answer_len, deadline, limit)
    }

    fn read(
        &mut self,
        command: Command,
        len: usize,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Vec<u8>, DaemonError> {
        let mut answer = vec![0_u8; len];
        let mut filled = 0_usize;
        while let Some(rest) = answer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.failed(command, limit, ErrorKind::TimedOut.into()));
            }
            let left = left.max(Duration::from_millis(1));
            let outcome = self.stream.set_read_timeout(Some(left)).and_then(|()| (&self.stream).read(rest));
            match outcome {
                Ok(0) => return Err(self.failed(command, limit, ErrorKind::UnexpectedEof.into())),
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(command, limit, error)),
            }
        }
        Ok(answer)
    }

    fn failed(&mut self, command: Command, limit: Duration, cause: io::Error) -> DaemonError {
        self.is_broken = true;
        let doing = command.purpose();
        match cause.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => DaemonError::Silent { doing, after: limit },
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                DaemonError::HungUp { doing }
            }
            _ => DaemonError::Io { doing, cause },
        }
    }
}

/// Threads that may be stuck in `connect` at once before the daemon is called silent without trying.
const CONNECTING_MAX: usize = 4;
static CONNECTING: AtomicUsize = AtomicUsize::new(0);

/// Connecting to a Unix socket blocks without limit when the listener's queue is full, and the
/// standard library has no timeout for it: a thread of its own takes that risk.
fn connect_within(socket: &Path, limit: Duration) -> Result<UnixStream, DaemonError> {
    let doing = Command::Version.purpose();
    if CONNECTING.fetch_add(1, Ordering::SeqCst) >= CONNECTING_MAX {
        CONNECTING.fetch_sub(1, Ordering::SeqCst);
        return Err(DaemonError::Silent { doing, after: limit });
    }
    let (sender, receiver) = mpsc::channel();
    let path = socket.to_owned();
    let spawned = std::thread::Builder::new().name("pcscd-connect".to_owned()).spawn(move || {
        let connected = UnixStream::connect(path);
        CONNECTING.fetch_sub(1, Ordering::SeqCst);
        // Nobody listens any more when the limit is over.
        let _late = sender.send(connected);
    });
    if let Err(cause) = spawned {
        CONNECTING.fetch_sub(1, Ordering::SeqCst);
        return Err(DaemonError::Io { doing, cause });
    }
    let socket = socket.to_owned();
    match receiver.recv_timeout(limit) {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(cause)) => Err(match cause.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => DaemonError::NotRunning { socket },
            ErrorKind::PermissionDenied => DaemonError::PermissionDenied { socket },
            _ => DaemonError::Io { doing, cause },
        }),
        Err(_) => Err(DaemonError::Silent { doing, after: limit }),
    }
}
