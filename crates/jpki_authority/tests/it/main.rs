//! The authority from outside: with its files, its store, its pages, and with openssl as a foreign judge.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod accredit;
mod accredit_eac;
mod config;
mod foreign;
mod issue;
mod pages;
mod publish;
mod revoke;
mod store;
mod town;
