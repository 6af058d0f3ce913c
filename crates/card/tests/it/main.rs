//! The card side and the terminal side against each other, and against bytes that neither would send.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a failed assumption is a failed test"
)]

mod bad_bytes;
mod fuzz;
mod hot_path;
mod iso7816;
mod jpki;
mod opensc;
mod secure_element;
mod tools;
mod touch;
mod town;
mod trace;
