//! The two traits a terminal works with, and the errors that say who is at fault and what to do.

use crate::pcsc::DaemonError;
use std::time::{Duration, Instant};

/// The shortest command APDU: CLA INS P1 P2. ISO/IEC 7816-4:2020 §5.2.
pub const COMMAND_LEN_MIN: usize = 4;
/// The longest command APDU in octets: header, extended Lc, 65,535 octets of data, extended Le.
/// ISO/IEC 7816-4:2020 §5.2.
pub const COMMAND_LEN_MAX: usize = 4 + 3 + 65_535 + 2;
/// The shortest response APDU: the two status octets. ISO/IEC 7816-4:2020 §5.1.
pub const RESPONSE_LEN_MIN: usize = 2;
/// The longest answer to reset in octets. ISO/IEC 7816-3:2006 §8.2.1.
pub const ATR_LEN_MAX: usize = 33;

/// An exclusive connection to one card that is on a reader.
///
/// Calls block, each with a limit. Dropping the channel powers the card down: see the crate's
/// invariants.
#[doc(alias = "カード接続")]
pub trait CardChannel: Send {
    /// Sends one command APDU and returns the response APDU: data and the two status octets.
    ///
    /// # Errors
    /// See [`ChannelError`]. After any error but [`ChannelError::CommandLength`] and
    /// [`ChannelError::ExtendedOverT0`] the channel is finished: drop it and wait for the card again.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ChannelError>;

    /// The answer to reset of the card, 2 to 33 octets. ISO/IEC 7816-3:2006 §8.2.
    fn atr(&self) -> &[u8];

    /// Whether the very card this channel was opened on is still on the reader. A card that was
    /// taken off and put back counts as absent, and so does one that cannot be asked any more.
    fn is_present(&mut self) -> bool;
}

/// A place where a person puts a card.
pub trait Reader: Send {
    /// The reader's name, as its driver or its maker gave it.
    fn name(&self) -> &str;

    /// Waits until a card is on the reader and opens it, or until `timeout` is over (`None`).
    /// A card that is already there is opened at once, also when an earlier channel used it.
    ///
    /// # Errors
    /// See [`ReaderError`]. Errors that may heal by themselves (daemon restarted, cable plugged
    /// back, card freed by another program) are waited for within `timeout`, so that a caller may
    /// simply call again.
    fn wait_for_card(&mut self, timeout: Duration) -> Result<Option<Box<dyn CardChannel>>, ReaderError>;
}

/// Why a command could not be exchanged with the card. The text says what a person can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The card left the reader.
    #[error("the card was taken off the reader: place it again")]
    CardRemoved,
    /// The card moved, or contact was lost, while it was answering.
    #[error("the exchange with the card broke off: hold the card still on the reader and try again")]
    ExchangeBroken,
    /// Somebody else reset the card, so everything it knew about this session is gone.
    #[error("another program reset the card: close that program and place the card again")]
    CardReset,
    /// The card has no power or does not answer.
    #[error("the card does not answer: check that it is the right card and the right way up")]
    CardMute,
    /// The card (or the program that plays it) broke the rules of the transport.
    #[error("the card misbehaved: {reason}")]
    CardMisbehaved {
        /// What was wrong, without any card data.
        reason: &'static str,
    },
    /// The reader itself is gone.
    #[error("the card reader {reader:?} is gone: plug it in again")]
    ReaderGone {
        /// The reader's name.
        reader: String,
    },
    /// The command is no APDU. A fault of the calling program, nothing was sent.
    #[error("a command has {len} octets; an APDU has {COMMAND_LEN_MIN} to {COMMAND_LEN_MAX}")]
    CommandLength {
        /// Octets of the refused command.
        len: usize,
    },
    /// The card speaks T=0, which has no extended lengths. Nothing was sent; use command chaining.
    #[error("this card speaks T=0, which has no extended-length commands: send the command in chained parts")]
    ExtendedOverT0,
    /// The PC/SC daemon, not the card, failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

/// Why no card could be opened. The text says what a person can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// No reader has such a name.
    #[error("no card reader's name contains {wanted:?}; readers there now: {}", listed(.available))]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// The names of the readers that exist.
        available: Vec<String>,
    },
    /// Several readers have such a name.
    #[error("several card readers' names contain {wanted:?}, give more of the name: {}", listed(.candidates))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The names that match.
        candidates: Vec<String>,
    },
    /// The reader was there and is not any more.
    #[error("the card reader {reader:?} is gone: plug it in again")]
    Gone {
        /// The reader's name.
        reader: String,
    },
    /// Somebody else holds the card, or an earlier channel of this program is still open.
    #[error("another program is using the card on {reader:?}: close it (exclusive use is required)")]
    Busy {
        /// The reader's name.
        reader: String,
    },
    /// A card is there and does not answer.
    #[error("the card on {reader:?} does not answer: check that it is the right card and the right way up")]
    CardMute {
        /// The reader's name.
        reader: String,
    },
    /// The card (or the program that plays it) broke the rules of the transport.
    #[error("the card on {reader:?} misbehaved: {reason}")]
    CardMisbehaved {
        /// The reader's name.
        reader: String,
        /// What was wrong, without any card data.
        reason: &'static str,
    },
    /// A virtual reader was to listen where other machines could insert cards.
    #[error("a virtual reader must listen on a loopback address, not on {address}")]
    NotLoopback {
        /// The refused address.
        address: std::net::SocketAddr,
    },
    /// The virtual reader's port could not be opened.
    #[error("the virtual reader cannot listen on {address}: {cause}; choose another port")]
    Listen {
        /// The wanted address.
        address: std::net::SocketAddr,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The PC/SC daemon failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Refuses what cannot be a command APDU before it reaches a card.
pub(crate) const fn check_command(command: &[u8]) -> Result<(), ChannelError> {
    let len = command.len();
    if len < COMMAND_LEN_MIN || len > COMMAND_LEN_MAX {
        return Err(ChannelError::CommandLength { len });
    }
    Ok(())
}

/// The instant `timeout` from now; a wait "for ever" becomes a wait of one day instead of an overflow.
pub(crate) fn deadline_after(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(Duration::from_hours(24))
}
