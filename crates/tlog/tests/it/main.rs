//! A log kept in memory, grown, proved, forged and checked.
#![expect(
    clippy::unwrap_used,
    reason = "a test may fail loudly; clippy does not see that the functions beside the tests are tests too"
)]

mod files;
mod growth;
mod memory;
mod tamper;
mod tree;
