//! What every room stands on: mutual TLS listener and client, configuration, durable log, SQLite,
//! clock, randomness, telemetry, the admin page.
//!
//! Floor 2, behind the dependency wall: TLS, HTTP, SQLite and the log live here so that a room
//! never links them by itself. Nothing here knows what a card, a person or an institution is.
//!
//! | module | holds |
//! |---|---|
//! | [`clock`], [`entropy`] | the system's clock and random numbers behind the traits of `protocol` |
//! | [`config`] | TOML with environment overrides; errors name file, line and key |
//! | [`files`] | files that are either the old one or the new one, never half |
//! | [`tls`] | TLS 1.3 configurations; client certificates are mandatory where the room says so |
//! | [`listener`] | the accept loop: handshake limits, time limits, who is at the other end |
//! | [`client`] | kept-open mutual TLS connections whose errors name the culprit |
//! | [`admin`] | liveness, readiness, metrics and a small status page |
//! | [`telemetry`] | structured logs on standard error |
//! | [`durable_log`] | append-only log with group commit; an acknowledged record survives power loss |
//! | [`sqlite`] | opening, migrating and point-reading the embedded store |
//! | [`shutdown`] | one signal that stops everything in order |
//! | [`process_cpu`] | CPU time and memory of a process as the kernel counts them |
//!
//! Invariants: TLS below 1.3 is never spoken; a server key that is not P-256 is refused; a log that
//! failed once acknowledges nothing any more; no error text carries payload or key bytes.

pub mod admin;
pub mod client;
pub mod clock;
pub mod config;
pub mod durable_log;
pub mod entropy;
pub mod files;
pub mod listener;
pub mod process_cpu;
pub mod shutdown;
pub mod sqlite;
pub mod telemetry;
pub mod tls;
