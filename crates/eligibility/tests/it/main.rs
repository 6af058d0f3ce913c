//! The platform with real certificates, a real store, a real log and a clock that stands still.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod answers;
mod config;
mod feed;
mod feed_cuts;
mod fixture;
mod linking;
mod receipts;
mod recovery;
mod refusals;
mod revocation;
mod store;
mod upload;
