//! From a certificate that came to evidence that it is good: RFC 5280 §6, RFC 6960.
//!
//! Two ways in, one rule book:
//!
//! - [`path()`] and [`conclude`], for a certificate directly under an anchor, a million times a morning.
//! - [`validate()`], for any path: it is built from a bag of certificates, walked by RFC 5280 §6.1, its
//!   revocation found in lists and responses; the answer names the certificate and the rule.
//!
//! | module | RFC 5280 |
//! |---|---|
//! | [`input`] | §6.1.1: what is asked |
//! | [`anchor`] | §6.1.1 (d): what is trusted |
//! | `build` | RFC 4158: paths from a bag, within a work limit |
//! | `walk` | §6.1.2 to §6.1.5 |
//! | [`policy`] | §6.1.3 (d) to (f) in the form of RFC 9618 |
//! | [`name_constraints`], `names` | §4.2.1.10, §7.1 |
//! | `conformance`, [`profile`] | §4: what issuers must not do; what a certificate must be for |
//! | `status`, `crl`, `ocsp`, `asked` | §6.3 and RFC 6960 |
//! | [`error`] | which certificate, which rule, what was found |
//! | [`evidence`], [`problem`] | evidence for those who answer |

pub mod anchor;
pub(crate) mod asked;
mod build;
mod conformance;
mod crl;
pub mod error;
pub mod evidence;
pub mod input;
pub mod name_constraints;
mod names;
mod ocsp;
pub mod policy;
pub mod problem;
pub mod profile;
mod session;
pub mod status;
mod walk;

pub use anchor::{IssuerKeyId, TrustAnchor};
pub use error::{Fault, PathError, Place};
pub use evidence::{CertificateGood, OnUnknownStatus, PathGood, SignatureGood, StatusBasis, conclude, path};
pub use input::Question;
pub use problem::CertificateProblem;
pub use profile::Profile;
pub use session::Evidence;
pub use status::{CertificateStatus, StatusSource};

use crate::certificate::Certificate;
use build::{Anchors, search};
use policy::ValidPolicies;
use session::Session;

/// A path that is valid, and what that rests on.
#[derive(Debug)]
#[must_use]
pub struct ValidPath<'a> {
    certificates: Vec<Certificate<'a>>,
    anchor: &'a TrustAnchor,
    statuses: Vec<CertificateStatus>,
    policies: ValidPolicies,
    profile: Profile,
}

impl<'a> ValidPath<'a> {
    /// The certificates, leaf first, without the anchor.
    pub fn certificates(&self) -> &[Certificate<'a>] {
        &self.certificates
    }

    /// The anchor that the path ends at.
    pub const fn anchor(&self) -> &'a TrustAnchor {
        self.anchor
    }

    /// The status of each certificate, in the same order; empty if revocation was not asked for.
    pub fn statuses(&self) -> &[CertificateStatus] {
        &self.statuses
    }

    /// The policies it is valid under.
    pub const fn policies(&self) -> &ValidPolicies {
        &self.policies
    }

    /// The evidence that a cache keeps and [`conclude`] takes.
    ///
    /// # Errors
    /// The leaf's key is of no kind that this house verifies with.
    pub fn evidence(&self) -> Result<PathGood, CertificateProblem> {
        let (leaf, above) = self.certificates.split_first().ok_or(CertificateProblem::ForeignIssuer)?;
        PathGood::of_path(leaf, above, self.anchor, self.profile)
    }
}

/// A path that is not valid: why, and how far it was looked at.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refusal<'a> {
    /// Which certificate, which rule.
    pub error: PathError,
    /// The path that came farthest, leaf first; the leaf alone if none was complete, and nothing if the
    /// leaf cannot be read.
    pub certificates: Vec<Certificate<'a>>,
    /// Statuses that were found, by place in the path.
    pub statuses: Vec<(usize, CertificateStatus)>,
}

/// A complete path that was examined and is not valid.
struct Failed {
    error: PathError,
    path: Vec<usize>,
    statuses: Vec<(usize, CertificateStatus)>,
}

/// Is there a valid path from `leaf_der` to one of `anchors`? RFC 5280 §6, RFC 6960.
///
/// # Errors
/// No path is valid; the failure of the path that came farthest is told.
pub fn validate<'a>(
    leaf_der: &'a [u8],
    anchors: &'a [TrustAnchor],
    evidence: &Evidence<'a>,
    question: &Question,
) -> Result<ValidPath<'a>, Refusal<'a>> {
    let leaf = Certificate::parse(leaf_der).map_err(|fault| Refusal {
        error: PathError { place: Place::Leaf, fault: fault.into() },
        certificates: Vec::new(),
        statuses: Vec::new(),
    })?;
    let mut session = Session::new(&leaf, anchors, evidence, question);
    let mut farthest: Option<Failed> = None;
    let found = search(&mut session, 0, Anchors::All, question, &mut |session, path, place| {
        let mut statuses = Vec::new();
        let outcome = examine(session, path, place, question, &mut statuses);
        if let Err(error) = &outcome
            && farthest.as_ref().is_none_or(|known| known.error.fault.stage() < error.fault.stage())
        {
            let (path, statuses) = (path.to_vec(), statuses.clone());
            farthest = Some(Failed { error: error.clone(), path, statuses });
        }
        outcome.map(|(policies, anchor)| {
            let certificates = path.iter().filter_map(|place| session.certificate(*place).cloned());
            // Looked up from the anchor down; told from the leaf up.
            let statuses = statuses.iter().rev().map(|(_, status)| *status).collect();
            let profile = question.profile;
            ValidPath { certificates: certificates.collect(), anchor, statuses, policies, profile }
        })
    });
    found.map_err(|error| {
        let (path, statuses) = match farthest {
            Some(failed) if failed.error == error => (failed.path, failed.statuses),
            _ => (vec![0], Vec::new()),
        };
        let certificates = path.iter().filter_map(|place| session.certificate(*place).cloned()).collect();
        Refusal { error, certificates, statuses }
    })
}

fn examine<'a>(
    session: &mut Session<'_, 'a>,
    path: &[usize],
    place: usize,
    question: &Question,
    statuses: &mut Vec<(usize, CertificateStatus)>,
) -> Result<(ValidPolicies, &'a TrustAnchor), PathError> {
    let none = PathError { place: Place::Anchor, fault: Fault::NoAnchor };
    let anchor = session.anchor(place).ok_or(none)?;
    let certificates: Vec<_> = path.iter().filter_map(|place| session.certificate(*place)).collect();
    let policies = walk::walk(&certificates, anchor, question)?;
    status::check_path(session, path, place, 0, question.revocation, statuses)?;
    Ok((policies, anchor))
}
