//! Signatures on documents: from whatever bytes to a judgement, without panic, and never to "good": nothing is
//! trusted here.

use pki::cms::verify::{bare, signed_data};
use pki::cms::{SignedData, SigningCertificateRule, ber};
use pki::signature_scheme::SignatureDigest;
use pki::validate::{Evidence, Question};
use protocol::time::UnixSeconds;

pub(super) fn run(data: &[u8]) {
    let question = Question::at(UnixSeconds(1_763_773_323));
    let Ok(der) = ber::definite(data) else { return };
    if der.as_ref() == data {
        // What is definite is left alone: twice is once.
        assert_eq!(ber::definite(&der).as_deref(), Ok(data));
    }
    let Ok(signed) = SignedData::parse(&der) else { return };
    let mut evidence = Evidence::new();
    let rule = SigningCertificateRule::IfPresent;
    let document = signed.content().unwrap_or(b"document\n");
    let outcomes = signed_data(&signed, document, &[], &mut evidence, &question, rule);
    assert_eq!(outcomes.len(), signed.signers());
    assert!(outcomes.iter().all(Result::is_err));
    let certificate = signed.certificates().first().copied().unwrap_or_default();
    let outcome =
        bare(document, data, certificate, SignatureDigest::Sha256, &[], &Evidence::new(), &question);
    assert!(outcome.is_err());
}
