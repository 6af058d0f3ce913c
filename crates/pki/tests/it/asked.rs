//! Asking about forged things without ceremony.

use crate::forge::NOW;
use pki::validate::input::RevocationRule;
use pki::validate::{CertificateStatus, Evidence, PathError, Question, TrustAnchor, validate};

/// What a validation is given.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) anchors: Vec<Vec<u8>>,
    pub(crate) leaf: Vec<u8>,
    pub(crate) bag: Vec<Vec<u8>>,
    pub(crate) lists: Vec<Vec<u8>>,
    pub(crate) responses: Vec<Vec<u8>>,
}

/// What came of a valid path.
#[derive(Debug, PartialEq)]
pub(crate) struct Good {
    /// Certificates in the path.
    pub(crate) length: usize,
    pub(crate) policies: Vec<String>,
    pub(crate) statuses: Vec<CertificateStatus>,
}

/// A question about the path alone.
pub(crate) fn path_only() -> Question {
    Question { revocation: RevocationRule::None, ..Question::at(NOW) }
}

impl Given {
    pub(crate) fn ask(&self, question: &Question) -> Result<Good, PathError> {
        let anchors: Vec<_> =
            self.anchors.iter().map(|der| TrustAnchor::from_certificate(der).unwrap()).collect();
        let mut evidence = Evidence::new();
        for der in &self.bag {
            evidence.add_certificate(der).unwrap();
        }
        for der in &self.lists {
            evidence.add_list(der).unwrap();
        }
        for der in &self.responses {
            evidence.add_response(der).unwrap();
        }
        validate(&self.leaf, &anchors, &evidence, question)
            .map(|path| Good {
                length: path.certificates().len(),
                policies: path.policies().policies.clone(),
                statuses: path.statuses().to_vec(),
            })
            .map_err(|refusal| refusal.error)
    }
}
