//! Keys in a token, with SoftHSM2 as the token and openssl and pkcs11-tool as judges.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod foreign_softhsm;
mod softhsm;
