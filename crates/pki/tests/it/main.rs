//! What other people published to try validators with, and other people's validators as judges.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly; clippy does not see that the functions beside the tests are tests too"
)]

mod asked;
mod differ;
mod differ_lists;
mod foreign_openssl;
mod asking;
mod documents;
mod forge;
mod fuzz_documents;
mod lists;
mod paths;
mod pkits;
mod policies;
mod responses;
mod vectors;
mod wycheproof;
mod watching;
