//! OCSP requests: what was read is within its limits, and can be asked again and read the same.

use pki::ocsp::request::{CERT_IDS_MAX, NONCE_OCTETS, OcspRequest, RequestProblem, request_der};

pub(super) fn run(data: &[u8]) {
    let request = match OcspRequest::parse(data) {
        Ok(request) => request,
        Err(RequestProblem::Malformed(fault)) => {
            assert!(fault.offset <= data.len(), "{fault}");
            return;
        }
        Err(_) => return,
    };
    assert!((1..=CERT_IDS_MAX).contains(&request.cert_ids().len()));
    assert!(request.nonce().is_none_or(|nonce| NONCE_OCTETS.contains(&nonce.len())));
    let ids: Vec<Vec<u8>> = request.cert_ids().iter().map(|id| id.as_der().to_vec()).collect();
    let again = request_der(&ids, request.nonce());
    let again = OcspRequest::parse(&again).expect("what was written can be read");
    assert_eq!(again.nonce(), request.nonce());
    assert!(again.cert_ids().iter().zip(request.cert_ids()).all(|(a, b)| a.as_der() == b.as_der()));
}
