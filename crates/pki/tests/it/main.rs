//! What other people published to try validators with, and other people's validators as judges.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly; clippy does not see that the functions beside the tests are tests too"
)]

mod pkits;
mod vectors;
