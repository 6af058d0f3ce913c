//! X.509 certificates: what can be read is all of the input, and as an anchor, a key, a name it never panics.
//! What cannot be read is told with a place inside the input.

use pki::certificate::Certificate;
use pki::name::NameAttribute;
use pki::public_key::PublicKey;
use pki::validate::TrustAnchor;

pub(super) fn run(data: &[u8]) {
    match Certificate::parse(data) {
        Ok(certificate) => {
            assert_eq!(certificate.as_der(), data);
            let _ = certificate.subject_attribute(NameAttribute::CommonName);
            let _ = PublicKey::from_spki_der(certificate.spki_der());
        }
        Err(fault) => assert!(fault.offset <= data.len(), "{fault}"),
    }
    let _ = TrustAnchor::from_certificate(data);
}
