//! Building paths from a bag: forward from the leaf, depth first, as RFC 4158 §2.4.2 describes.
//!
//! A candidate issuer has the name that the certificate names as its issuer; those whose key identifier
//! fits come first, and only the signature decides. No path passes the same name and key twice, and what
//! is spent is counted: with a bag of a hundred certificates that all sign each other there are more paths
//! than atoms.

use super::error::{Fault, PathError, Place, Work};
use super::session::{Session, Signed, SignedBy, Subject};
use std::ops::ControlFlow;

/// Examines a complete path (places in the bag, leaf first, and the anchor's) and says what it is good for.
pub(crate) type Examine<'f, 's, 'a, T> =
    &'f mut dyn FnMut(&mut Session<'s, 'a>, &[usize], usize) -> Result<T, PathError>;

/// Which anchors a path may end at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchors {
    All,
    /// The one that another path ended at: RFC 5280 §6.3.3 (f).
    Only(usize),
}

/// Of all failures the one that came farthest, the first of these.
struct Best(Option<PathError>);

impl Best {
    fn note(&mut self, place: Place, fault: Fault) {
        let error = PathError { place, fault };
        if self.0.as_ref().is_none_or(|known| known.fault.stage() < error.fault.stage()) {
            self.0 = Some(error);
        }
    }
}

/// Builds paths from `target` until one is good.
///
/// # Errors
/// No path is good: the failure that came farthest. Or the work limit.
pub(crate) fn search<'s, 'a, T>(
    session: &mut Session<'s, 'a>,
    target: usize,
    anchors: Anchors,
    examine: Examine<'_, 's, 'a, T>,
) -> Result<T, PathError> {
    let mut best = Best(None);
    match extend(session, &mut vec![target], anchors, &mut best, examine) {
        ControlFlow::Break(outcome) => outcome,
        ControlFlow::Continue(()) => {
            Err(best.0.unwrap_or(PathError { place: Place::Leaf, fault: Fault::NoAnchor }))
        }
    }
}

type Step<T> = ControlFlow<Result<T, PathError>>;

fn extend<'s, 'a, T>(
    session: &mut Session<'s, 'a>,
    path: &mut Vec<usize>,
    anchors: Anchors,
    best: &mut Best,
    examine: Examine<'_, 's, 'a, T>,
) -> Step<T> {
    let index = path.len().saturating_sub(1);
    let candidates = candidates_for(session, path, anchors);
    if candidates.found.is_empty() {
        best.note(Place::of(index), if candidates.looped { Fault::NoAnchor } else { Fault::NoIssuer });
    }
    for signer in candidates.found {
        if let Err(error) = session.count_candidate() {
            return ControlFlow::Break(Err(error));
        }
        match verify_edge(session, path, signer) {
            Ok(()) => {}
            Err(fault @ Fault::WorkLimit { .. }) => {
                return ControlFlow::Break(Err(PathError { place: Place::of(index), fault }));
            }
            Err(fault @ Fault::Key(_)) => {
                best.note(issuer_place(signer, index), fault);
                continue;
            }
            Err(fault) => {
                best.note(Place::of(index), fault);
                continue;
            }
        }
        match signer {
            SignedBy::Anchor(anchor) => {
                if let Err(error) = session.count_path() {
                    return ControlFlow::Break(Err(error));
                }
                match examine(session, path, anchor) {
                    Ok(good) => return ControlFlow::Break(Ok(good)),
                    Err(error) => best.note(error.place, error.fault),
                }
            }
            SignedBy::Certificate(place) => {
                let limit = session.question.limits.path_length;
                if path.len() >= limit {
                    best.note(Place::of(index), Fault::WorkLimit { work: Work::PathLength, limit });
                    continue;
                }
                path.push(place);
                let step = extend(session, path, anchors, best, examine);
                path.pop();
                step?;
            }
        }
    }
    ControlFlow::Continue(())
}

const fn issuer_place(signer: SignedBy, index: usize) -> Place {
    match signer {
        SignedBy::Anchor(_) => Place::Anchor,
        SignedBy::Certificate(_) => Place::of(index + 1),
    }
}

/// The signature of the last certificate of `path`, by `signer`.
fn verify_edge(session: &mut Session<'_, '_>, path: &[usize], signer: SignedBy) -> Result<(), Fault> {
    let Some(place) = path.last().copied() else { return Err(Fault::NoIssuer) };
    verify_certificate(session, place, signer)
}

/// The signature of a certificate of the bag, by `signer`.
pub(crate) fn verify_certificate(
    session: &mut Session<'_, '_>,
    place: usize,
    signer: SignedBy,
) -> Result<(), Fault> {
    let Some(child) = session.certificate(place) else { return Err(Fault::NoIssuer) };
    let signed =
        Signed { algorithm: &child.signature_algorithm, message: child.tbs.raw, signature: child.signature };
    session.verify(Subject::Certificate(place), signed, signer)
}

struct Candidates {
    found: Vec<SignedBy>,
    /// Whether some were left out because the path has passed them already.
    looped: bool,
}

/// Who has the name that issued the last certificate of `path`: anchors first, then those whose key identifier fits, then the rest.
fn candidates_for(session: &Session<'_, '_>, path: &[usize], anchors: Anchors) -> Candidates {
    let mut looped = false;
    let mut found: Vec<(bool, u8, SignedBy)> = Vec::new();
    let Some(child) = path.last().and_then(|place| session.nodes.get(*place)) else {
        return Candidates { found: Vec::new(), looped };
    };
    let wanted = child.certificate.extensions().authority_key_identifier;
    let rank = |own: Option<&[u8]>| match (wanted, own) {
        (Some(wanted), Some(own)) if wanted == own => 0,
        (Some(_), Some(_)) => 2,
        _ => 1,
    };
    for (place, anchor) in session.anchors.iter().enumerate() {
        if (anchors == Anchors::All || anchors == Anchors::Only(place))
            && child.names_anchor_as_issuer(anchor)
        {
            found.push((false, rank(anchor.key_identifier.as_deref()), SignedBy::Anchor(place)));
        }
    }
    for (place, node) in session.nodes.iter().enumerate() {
        let certificate = node.certificate;
        if !child.names_as_issuer(node)
            || session.anchors.iter().any(|anchor| anchor.der == certificate.as_der())
        {
            continue;
        }
        let is_passed = |passed: &usize| {
            *passed == place || session.nodes.get(*passed).is_some_and(|other| other.is_same_entity(node))
        };
        if path.iter().any(is_passed) {
            looped = true;
            continue;
        }
        let own = certificate.extensions().subject_key_identifier;
        found.push((true, rank(own), SignedBy::Certificate(place)));
    }
    found.sort();
    Candidates { found: found.into_iter().map(|(_, _, signer)| signer).collect(), looped }
}
