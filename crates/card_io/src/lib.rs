//! Transports: how command and response APDUs travel between a card, a reader and the terminal.
//!
//! Floor 2. Knows sockets and timeouts, and nothing about what the commands mean.
//!
//! | module | holds |
//! |---|---|
//! | [`channel`] | [`CardChannel`] and [`Reader`], the two traits a terminal works with, and their errors |
//! | [`in_process`] | an emulated card in the same process, behind the same traits |
//! | [`recorded`] | a channel that tells an observer what goes through it |
//! | [`vpcd`] | the virtual-reader framing: show an emulated card to a reader, or be such a reader |
//! | [`pcsc`] | a client of the PC/SC daemon that speaks its Unix socket protocol, without its C library |
//!
//! Invariants:
//! - **A card is opened by one channel at a time.** A verified PIN belongs to the card, not to the
//!   connection: a second program could use a key that the first one unlocked.
//! - **Dropping a channel powers the card down**, because neither a warm reset nor closing the
//!   connection takes a verified PIN back on a My Number Card.
//! - **Nothing waits without a limit.** A silent card, reader or daemon ends in an error that names it.
//! - **No card data is logged**: events carry the instruction byte, lengths and the status word. Only who
//!   asks for a trace ([`card::trace`]) gets more.

pub mod channel;
pub mod in_process;
pub mod pcsc;
pub mod recorded;
pub mod vpcd;

pub use channel::{CardChannel, ChannelError, Reader, ReaderError};
pub use in_process::{CardSlot, InProcessChannel, InProcessReader};
pub use pcsc::{PcscReader, ReaderInfo, list_readers};
pub use recorded::RecordedChannel;
pub use vpcd::{CardServer, InsertedCard, TraceEvent, VirtualReader};

#[cfg(test)]
mod test_card;
