//! The real binary, driven as a user would: a whole town on free ports, its commands, its pages, and
//! foreign programs as judges.
//!
//! Needs `openssl`, `coreutils`; the modules named `foreign_…` need `pcscd`, `vsmartcard-vpcd`, `opensc`,
//! `opensc-pkcs11`, `softhsm2` and root; `browser` needs `chromium` and `chromium-driver`. What is missing is named
//! with its package.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod browser;
mod cards;
mod doctor;
mod fixture;
mod foreign_ceremony;
mod foreign_cms;
mod foreign_hpki;
mod foreign_myna_card;
mod foreign_ocsp;
mod foreign_opensc;
mod foreign_operators;
mod foreign_readers;
mod foreign_relying_party;
#[path = "../../../pki/tests/it/forge.rs"]
#[expect(dead_code, reason = "the other crate's tests say more with it")]
mod forge;
mod insurer_feed;
mod load_smoke;
#[path = "../../../card_io/tests/it/pcscd.rs"]
mod pcscd;
mod pki_changes;
mod pki_commands;
mod pki_ocsp;
mod pki_validate;
mod platform_certificates;
mod platform_edge;
mod real_card;
mod receipts;
mod responder;
#[expect(dead_code, reason = "the token's own tests use more of it")]
#[path = "../../../hsm/tests/it/softhsm.rs"]
mod softhsm;
mod specimen_card;
mod touches;
mod town;
mod traces;
mod webdriver;
