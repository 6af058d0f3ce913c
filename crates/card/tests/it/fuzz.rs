//! The bodies of the coverage-guided fuzz targets (`fuzz/`) that are this crate's, a million executions each.

use harness::{EXECUTIONS, run};

#[path = "../../../../fuzz/bodies/apdu.rs"]
mod apdu;
#[path = "../../../../fuzz/bodies/cvc.rs"]
mod cvc;
#[path = "../../../../fuzz/harness.rs"]
mod harness;
#[path = "../../../../fuzz/bodies/pkcs15.rs"]
mod pkcs15;
#[path = "../../../../fuzz/bodies/secure_messaging.rs"]
mod secure_messaging;
#[path = "../../../../fuzz/bodies/tlv.rs"]
mod tlv;
#[path = "../../../../fuzz/bodies/card.rs"]
mod whole_card;

#[test]
fn apdu_bodies() {
    run("apdu", EXECUTIONS, apdu::run);
}

#[test]
fn tlv_bodies() {
    run("tlv", EXECUTIONS, tlv::run);
}

#[test]
fn cvc_bodies() {
    run("cvc", EXECUTIONS, cvc::run);
}

#[test]
fn secure_messaging_bodies() {
    run("secure_messaging", EXECUTIONS, secure_messaging::run);
}

#[test]
fn card_bodies() {
    run("card", EXECUTIONS, whole_card::run);
}

#[test]
fn pkcs15_bodies() {
    run("pkcs15", EXECUTIONS, pkcs15::run);
}
