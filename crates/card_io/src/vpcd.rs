//! The framing of the virtual smart-card project's virtual reader (`vpcd`), for both of its ends.
//!
//! The reader listens on TCP, a card connects to it: connected means inserted, closed means removed.
//! Every message is a 16-bit big-endian length and that many octets. From the reader, one octet is a
//! control message: [`POWER_OFF`], [`POWER_ON`], [`RESET`] (these three have no answer) or
//! [`ASK_ATR`]; more octets are a command APDU, answered by a response APDU.
//!
//! - [`CardServer`] is a card: it shows an emulated card to pcscd's `vpcd` driver, and so to every
//!   PC/SC program of the machine.
//! - [`VirtualReader`] is a reader: a terminal without pcscd, for development and tests.

mod card_server;
mod exposure;
mod frame;
pub mod reader_conf;
mod virtual_reader;

pub use card_server::{CardServer, InsertedCard, TraceEvent};
pub use exposure::{Exposure, exposure};
pub use frame::{FrameDecoder, FrameError};
pub use virtual_reader::VirtualReader;

/// Where Debian's `vpcd` driver listens for the card of its first slot.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:35963";
/// Control message: the reader takes the power away.
pub const POWER_OFF: u8 = 0;
/// Control message: the reader gives power.
pub const POWER_ON: u8 = 1;
/// Control message: warm reset, without an answer.
pub const RESET: u8 = 2;
/// Control message: the reader wants the answer to reset. Sent again and again: it is the driver's
/// way to notice a removed card.
pub const ASK_ATR: u8 = 4;
