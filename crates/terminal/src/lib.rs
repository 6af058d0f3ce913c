//! The reception desk (受付端末): a patient holds a card over the reader, presses OK, and reads the answer.
//!
//! | file | does |
//! |---|---|
//! | [`check_in`] | the session as a state machine that consumes itself; the only maker of a consent |
//! | [`touch`] | what is said to the card: the look before OK, the one signature after it |
//! | [`desk`] | threads for readers, the async side for the network, timers |
//! | [`custody`] | the Secure Element: its image, its memory over a power cut, its arming |
//! | [`platform`], [`nonce`] | the line to the platform; the freshness kept for the next touch |
//! | [`report`] | what a touch did, step by step |
//! | [`render`], `templates/`, `assets/` | the kiosk page in Japanese and English |
//! | [`http`] | the page and the API on loopback |
//! | [`mod@serve`], [`config`], [`error`] | the room as a process |
//!
//! Invariants:
//! - **No command for the card's key exists without the patient's OK.** [`touch::sign`] takes a
//!   [`check_in::Consent`] by value; only an OK with the token of the question on the screen makes one.
//!   Before OK nothing but SELECT goes to the card.
//! - The hash under the card's signature is the hash of the text that was on the screen: both come out of
//!   the same `Consent`.
//! - After OK the patient waits for one network round trip; every further one is counted in the report.
//! - No response of the Secure Element leaves before what it changed is on disk.
//! - The room holds no certificate and no signature of a card: a touch yields a statement and a seal.
//! - A cancelled session leaves a counted ending and nothing else. A result is in memory only while it is on
//!   the screen, and no log line carries any of it.

pub mod check_in;
pub mod config;
pub mod custody;
pub mod desk;
pub mod error;
pub mod http;
pub mod nonce;
pub mod platform;
pub mod render;
pub mod report;
pub mod serve;
pub mod touch;

pub use config::Config;
pub use desk::Desk;
pub use serve::serve;
