//! The card side and the terminal side against each other, and against bytes that neither would send.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a failed assumption is a failed test"
)]

mod bad_bytes;
mod bad_commands;
mod cvc_foreign;
mod data_objects;
mod eac;
mod eac_town;
mod fuzz;
mod hot_path;
mod hpki;
mod iso7816;
mod jpki;
mod opensc;
mod other_applications;
mod physicians;
mod public_reader;
mod read_dialogues;
mod secure_element;
mod secure_element_eac;
mod session_key;
mod sweep;
mod tools;
mod touch;
mod town;
mod trace;
mod whole_card;
mod wycheproof;
