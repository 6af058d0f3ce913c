//! Card-verifiable certificates of both profiles: strict means that what parses has one encoding.

use card::cvc::{Cvc, CvcBody, CvcChain, parse_load_signature};

pub(super) fn run(data: &[u8]) {
    if let Ok(certificate) = Cvc::parse(data) {
        assert_eq!(certificate.encode(), data);
    }
    if let Ok(chain) = CvcChain::parse(data) {
        assert_eq!(chain.encode(), data);
    }
    if let Ok(body) = CvcBody::parse(data) {
        assert_eq!(body.encode(), data);
    }
    let _ = CvcBody::parse_load(data);
    let _ = parse_load_signature(data);
}
