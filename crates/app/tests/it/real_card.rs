//! What a real My Number Card is asked to do, when somebody has put one into a reader and says so.
//!
//! Never run by default and never in CI: the test is behind the feature `dangerous-test-real-card`, and it
//! wants the reader and the PIN in the environment. It presents the PIN only if a mistake would leave a try,
//! and prints nothing that is on the card. The certificates go into a folder that is removed again.
//!
//! ```text
//! KAZASU_REAL_CARD_READER=ACR KAZASU_REAL_CARD_PIN=… \
//!   cargo test -p kazasu --features dangerous-test-real-card --test it a_real_card
//! ```
//!
//! The same is done with an emulated card in every run, so that this file stays true.

use crate::foreign_readers::told;
use crate::pcscd::{Folder, run};
use serde_json::Value;

/// Fewer tries than this, and the PIN is not presented.
const TRIES_MIN: u64 = 2;

/// Runs a card command; `None`, with the problem's code, if it was refused.
fn card(arguments: &[&str], input: &str) -> Result<Value, String> {
    let ran = told(&[&["card"], arguments, &["--json"]].concat(), input);
    let value = ran.json();
    if ran.code == Some(0) { Ok(value) } else { Err(value["problem"]["code"].to_string()) }
}

/// Reads the card in `reader`, signs with its authentication key, and has openssl judge the signature. Every
/// message is about the program; none holds anything of the card.
pub(crate) fn exercise(reader: &str, pin: &str) {
    let folder = Folder::new();
    let out = folder.text("read");
    let read = card(&["read", "--reader", reader, "--out", &out], "").expect("the card can be read");
    assert_eq!(read["card_holder_auth"], "there", "a card without authentication certificate");
    let certificates = read["certificates"].as_array().expect("a list of certificates");
    let auth = certificates.iter().find(|it| it["kind"] == "auth").expect("the authentication certificate");
    assert_eq!(auth["verifies_under_the_cards_issuer"], true, "its issuer on the card is another one");
    let left = read["auth_pin_tries_left"].as_u64().expect("the card tells its tries");
    assert!(left >= TRIES_MIN, "only {left} tries left: the PIN is not presented");

    let message = folder.file("message", format!("a message of process {}\n", std::process::id()));
    let arguments = ["sign", &message, "--reader", reader, "--pin-from-stdin"];
    card(&arguments, &format!("{pin}\n")).expect("the card signs");
    let public_key = folder.text("public.pem");
    let pubkey = ["x509", "-in", &format!("{out}/auth.pem"), "-noout", "-pubkey", "-out", &public_key];
    assert!(run("openssl", "openssl", &pubkey, &[]).status.success(), "openssl reads the certificate");
    let signature = format!("{message}.sig");
    let verify = ["dgst", "-sha256", "-verify", &public_key, "-signature", &signature, &message];
    assert!(run("openssl", "openssl", &verify, &[]).status.success(), "openssl verifies the signature");

    // The card lost its power with the PIN, and no try: it tells as many as before, or all again.
    let again = card(&["read", "--reader", reader], "").expect("the card can be read again");
    assert!(again["auth_pin_tries_left"].as_u64() >= Some(left), "a try was lost");
}

#[cfg(feature = "dangerous-test-real-card")]
#[test]
fn a_real_card_through_pcscd_is_read_and_signs() {
    let of = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see the head of this file"))
    };
    exercise(&of("KAZASU_REAL_CARD_READER"), &of("KAZASU_REAL_CARD_PIN"));
}
