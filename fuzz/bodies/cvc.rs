//! Card-verifiable certificates of both profiles: strict means that what parses has one encoding.

use card::cvc::{Cvc, CvcBody, CvcChain, parse_load_signature};
use card::eac::chip_authentication::SecurityInfos;
use card::eac::cvc as eac;

pub(super) fn run(data: &[u8]) {
    jicsap(data);
    if let Ok(certificate) = eac::Cvc::parse(data) {
        assert_eq!(certificate.encode(), data);
        assert_eq!(eac::Cvc::parse_content(&certificate.content()).as_ref(), Ok(&certificate));
    }
    if let Ok(chain) = eac::TerminalChain::parse(data) {
        assert_eq!(chain.encode(), data);
    }
    let _ = eac::TrustAnchor::parse(data);
    if let Ok(infos) = SecurityInfos::parse(data) {
        assert_eq!(infos.encode().as_deref(), Ok(data));
    }
}

fn jicsap(data: &[u8]) {
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
