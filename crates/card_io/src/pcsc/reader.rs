//! A reader behind the daemon, and the exclusive channel to the card on it.

use super::connection::{Connection, DaemonError};
use super::wire::{ReaderState, T0};
use super::{Daemon, POLL};
use crate::channel::{
    CardChannel, ChannelError, RESPONSE_LEN_MIN, Reader, ReaderError, check_command, deadline_after,
};
use std::time::{Duration, Instant};

/// PC/SC error numbers that say something about card and reader rather than about the daemon.
mod code {
    pub(super) const UNKNOWN_READER: u32 = 0x8010_0009;
    pub(super) const SHARING_VIOLATION: u32 = 0x8010_000B;
    pub(super) const NO_SMARTCARD: u32 = 0x8010_000C;
    pub(super) const PROTO_MISMATCH: u32 = 0x8010_000F;
    pub(super) const NOT_READY: u32 = 0x8010_0010;
    pub(super) const COMM_ERROR: u32 = 0x8010_0013;
    pub(super) const NOT_TRANSACTED: u32 = 0x8010_0016;
    pub(super) const READER_UNAVAILABLE: u32 = 0x8010_0017;
    pub(super) const COMM_DATA_LOST: u32 = 0x8010_002F;
    pub(super) const UNSUPPORTED_CARD: u32 = 0x8010_0065;
    pub(super) const UNRESPONSIVE_CARD: u32 = 0x8010_0066;
    pub(super) const UNPOWERED_CARD: u32 = 0x8010_0067;
    pub(super) const RESET_CARD: u32 = 0x8010_0068;
    pub(super) const REMOVED_CARD: u32 = 0x8010_0069;
}

/// Errors that may heal by themselves are waited for this long before they are told.
const PATIENCE: Duration = Duration::from_secs(1);

/// A card reader that this machine's PC/SC daemon drives.
#[derive(Debug)]
pub struct PcscReader {
    daemon: Daemon,
    name: String,
    /// For looking at the reader list; made again when the daemon was restarted.
    looking: Option<Connection>,
    /// The event count of a card that did not answer: told once, then waited until it changes.
    mute_at: Option<u32>,
}

impl PcscReader {
    /// The reader called `name_substring`, or the only one whose name contains it, of this
    /// machine's daemon.
    ///
    /// # Errors
    /// [`ReaderError::NotFound`], [`ReaderError::Ambiguous`], [`ReaderError::Daemon`].
    pub fn open(name_substring: &str) -> Result<Self, ReaderError> {
        Daemon::of_this_machine().open_reader(name_substring)
    }

    pub(super) const fn new(daemon: Daemon, name: String) -> Self {
        Self { daemon, name, looking: None, mute_at: None }
    }

    /// This reader's line in the daemon's list.
    fn state(&mut self) -> Result<ReaderState, ReaderError> {
        let mut connection = match self.looking.take() {
            Some(connection) if !connection.is_broken() => connection,
            _ => self.daemon.connect()?,
        };
        let states = connection.reader_states()?;
        self.looking = Some(connection);
        let state = states.into_iter().find(|state| state.name == self.name);
        state.ok_or_else(|| ReaderError::Gone { reader: self.name.clone() })
    }

    /// One look: opens the card if there is one that may answer.
    fn look(&mut self) -> Result<Option<PcscChannel>, ReaderError> {
        let state = self.state()?;
        if !state.is_card_present {
            self.mute_at = None;
            return Ok(None);
        }
        if self.mute_at == Some(state.events) {
            return Err(self.mute());
        }
        match PcscChannel::open(&self.daemon, &self.name) {
            Ok(channel) => Ok(Some(channel)),
            Err(DaemonError::Refused { code, .. }) if is_removal(code) => Ok(None),
            Err(DaemonError::Refused { code: code::SHARING_VIOLATION, .. }) => {
                Err(ReaderError::Busy { reader: self.name.clone() })
            }
            Err(DaemonError::Refused { code, .. }) if is_mute(code) => {
                self.mute_at = Some(state.events);
                Err(self.mute())
            }
            Err(DaemonError::Refused { code: code::UNKNOWN_READER | code::READER_UNAVAILABLE, .. }) => {
                Err(ReaderError::Gone { reader: self.name.clone() })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn mute(&self) -> ReaderError {
        ReaderError::CardMute { reader: self.name.clone() }
    }
}

const fn is_removal(code: u32) -> bool {
    matches!(code, code::NO_SMARTCARD | code::REMOVED_CARD)
}

const fn is_mute(code: u32) -> bool {
    matches!(
        code,
        code::UNRESPONSIVE_CARD
            | code::UNPOWERED_CARD
            | code::UNSUPPORTED_CARD
            | code::PROTO_MISMATCH
            | code::NOT_READY
    )
}

/// How long an error is waited out before it is told, within the caller's timeout.
fn patience(error: &ReaderError, was_mute: bool) -> Duration {
    match error {
        // The first time it is news; after that only a change is.
        ReaderError::CardMute { .. } if !was_mute => Duration::ZERO,
        ReaderError::CardMute { .. } | ReaderError::Busy { .. } => Duration::MAX,
        ReaderError::Daemon(DaemonError::Silent { .. } | DaemonError::UnknownProtocol { .. }) => {
            Duration::ZERO
        }
        _ => PATIENCE,
    }
}

impl Reader for PcscReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn wait_for_card(&mut self, timeout: Duration) -> Result<Option<Box<dyn CardChannel>>, ReaderError> {
        let begin = Instant::now();
        let deadline = deadline_after(timeout);
        loop {
            let was_mute = self.mute_at.is_some();
            let outcome = self.look();
            let left = deadline.saturating_duration_since(Instant::now());
            match outcome {
                Ok(Some(channel)) => return Ok(Some(Box::new(channel))),
                Ok(None) if left.is_zero() => return Ok(None),
                Err(error) if left.is_zero() || begin.elapsed() >= patience(&error, was_mute) => {
                    return Err(error);
                }
                Ok(None) | Err(_) => std::thread::sleep(left.min(POLL)),
            }
        }
    }
}

/// An exclusive connection to the card, on a daemon connection of its own.
#[derive(Debug)]
struct PcscChannel {
    connection: Connection,
    reader: String,
    context: u32,
    handle: i32,
    protocol: u32,
    atr: Vec<u8>,
    /// The reader's event count when the card was opened: another one means another insertion.
    events: u32,
}

impl PcscChannel {
    fn open(daemon: &Daemon, reader: &str) -> Result<Self, DaemonError> {
        let mut connection = daemon.connect()?;
        let context = connection.establish()?;
        let (handle, protocol) = connection.connect_exclusive(context, reader)?;
        // From here on the card is ours, and Drop powers it down whatever fails.
        let mut channel = Self {
            connection,
            reader: reader.to_owned(),
            context,
            handle,
            protocol,
            atr: Vec::new(),
            events: 0,
        };
        let states = channel.connection.reader_states()?;
        let Some(state) = states.into_iter().find(|state| state.name == reader && state.is_card_present)
        else {
            return Err(DaemonError::Refused { doing: "opening the card", code: code::REMOVED_CARD });
        };
        if state.atr.is_empty() {
            return Err(DaemonError::Refused { doing: "opening the card", code: code::UNRESPONSIVE_CARD });
        }
        channel.atr = state.atr;
        channel.events = state.events;
        Ok(channel)
    }

    fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let response = self.connection.transmit(self.handle, self.protocol, command);
        let response = response.map_err(|error| self.blame(error))?;
        match response.len() {
            // What some drivers, vpcd among them, make of a card that left while it was answering.
            0 => Err(ChannelError::ExchangeBroken),
            len if len < RESPONSE_LEN_MIN => {
                Err(ChannelError::CardMisbehaved { reason: "a response without status octets" })
            }
            _ => Ok(response),
        }
    }

    fn blame(&self, error: DaemonError) -> ChannelError {
        let DaemonError::Refused { code, .. } = error else { return error.into() };
        match code {
            code::REMOVED_CARD | code::NO_SMARTCARD => ChannelError::CardRemoved,
            code::RESET_CARD => ChannelError::CardReset,
            code::UNPOWERED_CARD | code::UNRESPONSIVE_CARD => ChannelError::CardMute,
            code::NOT_TRANSACTED | code::COMM_ERROR | code::COMM_DATA_LOST => ChannelError::ExchangeBroken,
            code::UNKNOWN_READER | code::READER_UNAVAILABLE => {
                ChannelError::ReaderGone { reader: self.reader.clone() }
            }
            _ => error.into(),
        }
    }

    /// T=0 carries no Le behind data, and leaves fetching the response to us.
    /// ISO/IEC 7816-3:2006 §12.2.
    fn exchange_over_t0(&mut self, command: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let mut response = self.exchange(over_t0(command)?)?;
        let mut data = Vec::new();
        for _ in 0..T0_ROUNDS_MAX {
            let Some((before, [sw1, sw2])) = response.split_last_chunk::<2>() else { break };
            data.extend_from_slice(before);
            let next = match (*sw1, command) {
                (0x61, [cla, ..]) => vec![*cla, GET_RESPONSE, 0, 0, *sw2],
                // Wrong Le, and the right one: the same command again. Only for commands without data.
                (0x6C, [cla, ins, p1, p2]) | (0x6C, [cla, ins, p1, p2, _]) => {
                    vec![*cla, *ins, *p1, *p2, *sw2]
                }
                _ => {
                    data.extend_from_slice(&[*sw1, *sw2]);
                    return Ok(data);
                }
            };
            response = self.exchange(&next)?;
        }
        Err(ChannelError::CardMisbehaved { reason: "it announces ever more response data" })
    }
}

/// GET RESPONSE. ISO/IEC 7816-4:2020 §11.8.1.
const GET_RESPONSE: u8 = 0xC0;
/// 65,536 octets in parts of 256, and one for the first answer.
const T0_ROUNDS_MAX: usize = 257;

/// The part of a short command APDU that T=0 transports.
pub(super) fn over_t0(command: &[u8]) -> Result<&[u8], ChannelError> {
    match command {
        [_, _, _, _] | [_, _, _, _, _] => Ok(command),
        [_, _, _, _, 0, ..] => Err(ChannelError::ExtendedOverT0),
        [_, _, _, _, data_len, rest @ ..] => {
            let data_len = usize::from(*data_len);
            let is_apdu = rest.len() == data_len || rest.len() == data_len.saturating_add(1);
            let carried = command.get(..data_len.saturating_add(5)).filter(|_| is_apdu);
            carried.ok_or(ChannelError::CommandLength { len: command.len() })
        }
        _ => Err(ChannelError::CommandLength { len: command.len() }),
    }
}

impl CardChannel for PcscChannel {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ChannelError> {
        check_command(command)?;
        if self.protocol == T0 { self.exchange_over_t0(command) } else { self.exchange(command) }
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }

    fn is_present(&mut self) -> bool {
        let Ok(states) = self.connection.reader_states() else { return false };
        states
            .into_iter()
            .any(|state| state.name == self.reader && state.is_card_present && state.events == self.events)
    }
}

impl Drop for PcscChannel {
    fn drop(&mut self) {
        if self.connection.is_broken() {
            // Closing the socket makes the daemon reset the card and, after some seconds without a
            // user, power it down.
            return;
        }
        let ended = self.connection.disconnect_unpower(self.handle);
        let ended = ended.and_then(|()| self.connection.release(self.context));
        if let Err(error) = ended {
            // A removed card is the usual reason, and has no power either.
            tracing::debug!(reader = %self.reader, %error, "the card could not be powered down");
        }
    }
}
