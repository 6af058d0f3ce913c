//! Building paths from a bag: forward from the leaf, depth first, as RFC 4158 §2.4.2 describes.
//!
//! A candidate issuer has the name that the certificate names as its issuer; those whose key identifier
//! fits come first, and only the signature decides. No path passes the same name and key twice, and what
//! is spent is counted: with a bag of a hundred certificates that all sign each other there are more paths
//! than atoms.
//!
//! Two rounds. The first leaves out certificates that no valid path can pass, whatever stands above and below
//! them (expired, no authority's), so that a heap of those does not use up the work that a good one needs. If
//! it finds nothing there is no valid path; the second, with all of them, finds out what to tell.

use super::anchor::AnchorRole;
use super::error::{Fault, PathError, Place, Work};
use super::input::Question;
use super::session::{Session, Signed, SignedBy, Subject};
use super::walk::may_issue;
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

impl Anchors {
    fn include(self, place: usize) -> bool {
        self == Self::All || self == Self::Only(place)
    }
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

/// Which certificates of the bag may stand in a path as issuers.
enum Usable<'q> {
    /// All of them.
    All,
    /// Those that may by themselves; remembered by place.
    ByThemselves { question: &'q Question, known: Vec<Option<bool>> },
}

impl Usable<'_> {
    fn includes(&mut self, session: &Session<'_, '_>, place: usize) -> bool {
        let Self::ByThemselves { question, known } = self else { return true };
        let Some(known) = known.get_mut(place) else { return false };
        *known.get_or_insert_with(|| {
            session.certificate(place).is_some_and(|certificate| may_issue(certificate, question))
        })
    }
}

/// What is looked for, and the failure that came farthest.
struct Search<'q> {
    anchors: Anchors,
    usable: Usable<'q>,
    /// Whether a certificate was left out as not usable.
    left_out: bool,
    best: Best,
}

/// Builds paths from `target` until one is good for `question`.
///
/// # Errors
/// No path is good: the failure that came farthest. Or the work limit.
pub(crate) fn search<'s, 'a, T>(
    session: &mut Session<'s, 'a>,
    target: usize,
    anchors: Anchors,
    question: &Question,
    examine: Examine<'_, 's, 'a, T>,
) -> Result<T, PathError> {
    let known = vec![None; session.nodes.len()];
    let usable = Usable::ByThemselves { question, known };
    let mut first = Search { anchors, usable, left_out: false, best: Best(None) };
    let found = round(session, target, &mut first, examine);
    match found {
        Err(error) if first.left_out && !matches!(error.fault, Fault::WorkLimit { .. }) => {}
        found => return found,
    }
    session.count_anew();
    let mut second = Search { anchors, usable: Usable::All, left_out: false, best: first.best };
    match round(session, target, &mut second, examine) {
        // That there is no valid path is known already; what was found out so far will do.
        Err(error) if matches!(error.fault, Fault::WorkLimit { .. }) => Err(second.best.0.unwrap_or(error)),
        told => told,
    }
}

fn round<'s, 'a, T>(
    session: &mut Session<'s, 'a>,
    target: usize,
    search: &mut Search<'_>,
    examine: Examine<'_, 's, 'a, T>,
) -> Result<T, PathError> {
    match extend(session, &mut vec![target], search, examine) {
        ControlFlow::Break(outcome) => outcome,
        ControlFlow::Continue(()) => {
            let nothing = PathError { place: Place::Leaf, fault: Fault::NoAnchor };
            Err(search.best.0.clone().unwrap_or(nothing))
        }
    }
}

type Step<T> = ControlFlow<Result<T, PathError>>;

fn extend<'s, 'a, T>(
    session: &mut Session<'s, 'a>,
    path: &mut Vec<usize>,
    search: &mut Search<'_>,
    examine: Examine<'_, 's, 'a, T>,
) -> Step<T> {
    let index = path.len().saturating_sub(1);
    let candidates = candidates_for(session, path, search);
    if candidates.found.is_empty() {
        search.best.note(Place::of(index), if candidates.looped { Fault::NoAnchor } else { Fault::NoIssuer });
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
                search.best.note(issuer_place(signer, index), fault);
                continue;
            }
            Err(fault) => {
                search.best.note(Place::of(index), fault);
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
                    Err(error) => search.best.note(error.place, error.fault),
                }
            }
            SignedBy::Certificate(place) => {
                let limit = session.question.limits.path_length;
                if path.len() >= limit {
                    search.best.note(Place::of(index), Fault::WorkLimit { work: Work::PathLength, limit });
                    continue;
                }
                path.push(place);
                let step = extend(session, path, search, examine);
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
    if let SignedBy::Anchor(anchor) = signer
        && path.len() == 1
        && session
            .certificate(place)
            .zip(session.anchor(anchor))
            .is_some_and(|(leaf, anchor)| anchor.is(leaf))
    {
        // What is trusted itself needs nobody's signature.
        return Ok(());
    }
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
fn candidates_for(session: &mut Session<'_, '_>, path: &[usize], search: &mut Search<'_>) -> Candidates {
    let named = path.last().map(|place| session.named_issuers(*place)).unwrap_or_default();
    let session = &*session;
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
        let may_end = match anchor.role {
            AnchorRole::Authority => child.names_anchor_as_issuer(anchor),
            AnchorRole::Itself => false,
        };
        let is_itself = path.len() == 1 && anchor.is(child.certificate);
        if search.anchors.include(place) && (may_end || is_itself) {
            found.push((false, rank(anchor.key_identifier.as_deref()), SignedBy::Anchor(place)));
        }
    }
    for place in named.iter().copied() {
        let Some(node) = session.nodes.get(place) else { continue };
        let certificate = node.certificate;
        let mut anchors = session.anchors.iter().enumerate();
        if anchors.any(|(place, anchor)| search.anchors.include(place) && anchor.der == certificate.as_der())
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
        if !search.usable.includes(session, place) {
            search.left_out = true;
            continue;
        }
        let own = certificate.extensions().subject_key_identifier;
        found.push((true, rank(own), SignedBy::Certificate(place)));
    }
    found.sort();
    Candidates { found: found.into_iter().map(|(_, _, signer)| signer).collect(), looped }
}
