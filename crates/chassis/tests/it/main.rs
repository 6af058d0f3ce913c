//! The chassis against real sockets, real files, a machine that loses power, and openssl.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod admin_pages;
mod certificates;
mod http;
mod log_damage;
mod log_faults;
mod log_group_commit;
mod log_kill;
mod scratch;
mod storage_sim;
mod tls_identity;
