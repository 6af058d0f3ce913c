//! What other people published to try validators with, and other people's validators as judges.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly; clippy does not see that the functions beside the tests are tests too"
)]

mod asked;
mod asking;
mod blow_up;
mod differ;
mod differ_lists;
mod documents;
mod encodings;
mod foreign_openssl;
mod forge;
mod fuzz;
mod fuzz_documents;
mod lists;
mod memory;
mod paths;
mod pkits;
mod policies;
mod responses;
mod vectors;
mod watching;
mod wycheproof;
