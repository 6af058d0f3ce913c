//! OCSP responses: read, or refused with a place inside the input.

use pki::ocsp::OcspResponse;

pub(super) fn run(data: &[u8]) {
    if let Err(fault) = OcspResponse::parse(data) {
        assert!(fault.offset <= data.len(), "{fault}");
    }
}
