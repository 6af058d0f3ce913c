//! Serial ↔ insured person over a lifetime of cards: renewals are followed, mistakes are undone, two records of one
//! human become one and one record of two humans becomes two. History stays with the members; only ties move, and
//! every move is a numbered change that can be taken back.
//!
//! A renewal is the authority's word and takes effect at once. A merge or a split is somebody's judgement: it waits
//! as a proposal until it is confirmed. No serial is logged; a change says how many cards it moved.

use crate::history::ChangeNumber;
use crate::store::StoreError;
use crate::store::links::{LinkCause, LinkOutcome, LinkStep, LinkStore, Moved};
use protocol::ids::AuthCertSerial;
use protocol::time::UnixSeconds;
use std::future::Future;
use std::pin::Pin;

/// What the authority says of a certificate that may have been renewed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// It counts; nothing has replaced it.
    Current,
    /// It was replaced, over any number of renewals, by this one.
    Successor(AuthCertSerial),
    /// Its card is reported lost and may be found: keep the link, ask again later.
    OnHold,
    /// It ended for good: keep what is known, nothing new comes.
    Ended,
    /// The authority never issued it.
    Unknown,
}

/// Why the authority did not answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the linkage service did not answer: {0}")]
pub struct NoAnswer(pub String);

/// The authority's linkage service as the platform needs it: old serial → new serial, in the order asked.
#[doc(alias = "シリアル番号紐付け")]
pub trait RenewalLinkage: Send + Sync {
    /// What became of these certificates.
    fn renewals<'a>(
        &'a self,
        serials: &'a [AuthCertSerial],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Renewal>, NoAnswer>> + Send + 'a>>;
}

/// Questions in one request to the linkage service.
pub const RENEWALS_AT_ONCE: usize = 256;

/// Why renewals were not followed to the end. What was linked stays linked.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The authority.
    #[error("{0}")]
    NoAnswer(#[from] NoAnswer),
    /// The authority answered another number of questions than were asked.
    #[error("the linkage service answered {answers} of {questions} questions")]
    Miscounted {
        /// Asked.
        questions: usize,
        /// Answered.
        answers: usize,
    },
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What following renewals came to. Every serial is in exactly one count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Followed {
    /// New serials that now lead to the person.
    pub linked: u64,
    /// New serials that led there already.
    pub already: u64,
    /// New serials that lead to somebody else: a proposal waits for each.
    pub disputed: u64,
    /// Serials that nothing has replaced, or that may come back.
    pub current: u64,
    /// Serials that ended, or were never issued.
    pub ended: u64,
    /// Serials that lead to nobody here.
    pub not_linked: u64,
}

/// Follows renewals of these serials: where one was replaced, its successor leads to the same person. The old link
/// stays, for questions about the past. Doing it again changes nothing.
///
/// # Errors
/// [`FollowError`]; what came before it is kept.
pub async fn follow_renewals(
    store: &dyn LinkStore,
    linkage: &dyn RenewalLinkage,
    serials: &[AuthCertSerial],
    at: UnixSeconds,
) -> Result<Followed, FollowError> {
    let mut followed = Followed::default();
    for chunk in serials.chunks(RENEWALS_AT_ONCE) {
        let holders = store.holders(chunk)?;
        let (asked, people): (Vec<AuthCertSerial>, Vec<u64>) =
            chunk.iter().zip(holders).filter_map(|(serial, holder)| Some((serial.clone(), holder?))).unzip();
        followed.not_linked += (chunk.len() - asked.len()) as u64;
        if asked.is_empty() {
            continue;
        }
        let answers = linkage.renewals(&asked).await?;
        if answers.len() != asked.len() {
            return Err(FollowError::Miscounted { questions: asked.len(), answers: answers.len() });
        }
        for (person, answer) in people.into_iter().zip(answers) {
            match answer {
                Renewal::Current | Renewal::OnHold => followed.current += 1,
                Renewal::Ended | Renewal::Unknown => followed.ended += 1,
                Renewal::Successor(serial) => follow_one(store, person, serial, at, &mut followed)?,
            }
        }
    }
    Ok(followed)
}

fn follow_one(
    store: &dyn LinkStore,
    person: u64,
    serial: AuthCertSerial,
    at: UnixSeconds,
    followed: &mut Followed,
) -> Result<(), StoreError> {
    let before = store.holders(std::slice::from_ref(&serial))?.pop().flatten();
    if before == Some(person) {
        followed.already += 1;
        return Ok(());
    }
    let step = LinkStep { moved: Moved::Card(serial), before, after: Some(person) };
    let change = store.propose(LinkCause::Renewal, &[step], at)?;
    if before.is_some() {
        // Somebody linked it otherwise: not ours to overrule.
        followed.disputed += 1;
        return Ok(());
    }
    match store.confirm(change, at)? {
        LinkOutcome::Done => followed.linked += 1,
        LinkOutcome::Overtaken | LinkOutcome::Unknown => followed.disputed += 1,
    }
    Ok(())
}

/// Proposes that a serial leads to another person, or to nobody.
///
/// # Errors
/// [`StoreError`].
pub fn propose_correction(
    store: &dyn LinkStore,
    serial: &AuthCertSerial,
    to: Option<u64>,
    at: UnixSeconds,
) -> Result<ChangeNumber, StoreError> {
    let before = store.holders(std::slice::from_ref(serial))?.pop().flatten();
    let step = LinkStep { moved: Moved::Card(serial.clone()), before, after: to };
    store.propose(LinkCause::Correction, &[step], at)
}

/// Proposes that two records are one human: everything of `absorbed` becomes `kept`'s.
///
/// # Errors
/// [`StoreError`].
pub fn propose_merge(
    store: &dyn LinkStore,
    kept: u64,
    absorbed: u64,
    at: UnixSeconds,
) -> Result<ChangeNumber, StoreError> {
    let steps: Vec<LinkStep> = store
        .belongings(absorbed)?
        .into_iter()
        .map(|moved| LinkStep { moved, before: Some(absorbed), after: Some(kept) })
        .collect();
    store.propose(LinkCause::Merge, &steps, at)
}

/// Proposes that one record is two humans: what `goes` names becomes a new person's, whose key is given.
///
/// # Errors
/// [`StoreError`].
pub fn propose_split(
    store: &dyn LinkStore,
    person: u64,
    goes: impl Fn(&Moved) -> bool,
    at: UnixSeconds,
) -> Result<(ChangeNumber, u64), StoreError> {
    let fresh = store.fresh_person()?;
    let steps: Vec<LinkStep> = store
        .belongings(person)?
        .into_iter()
        .filter(goes)
        .map(|moved| LinkStep { moved, before: Some(person), after: Some(fresh) })
        .collect();
    Ok((store.propose(LinkCause::Split, &steps, at)?, fresh))
}
