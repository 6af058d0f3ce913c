//! Foreign programs as judges: Debian's pcscd between our card and our client, and OpenSC's tools as
//! a second client. Needs `pcscd`, `vsmartcard-vpcd`, `opensc`, `opensc-pkcs11` and `openssl`, and
//! root (pcscd writes to `/run/pcscd`). What is missing is named with its package.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod hot_pcscd;
mod opensc;
mod opensc_hpki;
mod pcscd;
mod through_pcscd;
