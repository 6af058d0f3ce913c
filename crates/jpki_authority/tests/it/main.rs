//! The authority from outside: with its files, its store, its pages, and with openssl as a foreign judge.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod accredit;
mod accredit_eac;
mod approval;
mod audit;
mod ceremony;
mod config;
mod crash;
mod foreign;
mod issue;
mod linkage;
mod ocsp;
mod pages;
mod publish;
mod revoke;
mod served;
#[path = "../../../hsm/tests/it/softhsm.rs"]
mod softhsm;
mod store;
mod town;
mod watching;
