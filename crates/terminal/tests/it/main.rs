//! A desk with an emulated card and Secure Element against a small platform over real mutual TLS.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod custody;
mod eac_parties;
mod page;
mod stub;
mod touch;
mod town;
