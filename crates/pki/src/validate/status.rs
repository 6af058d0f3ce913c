//! The revocation status of a path's certificates: lists (RFC 5280 §6.3) and responses (RFC 6960) together.

use super::crl;
use super::error::{Fault, PathError, Place};
use super::input::{Freshness, RevocationRule};
use super::ocsp;
use super::session::Session;
use crate::asn1::time::CertificateTime;
use crate::revocation::{RevocationReason, Status, UnknownCause};
use protocol::time::UnixSeconds;

/// What a status rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusSource {
    /// Revocation lists.
    List,
    /// An OCSP response.
    Response,
    /// Nothing: it was not asked for, or nothing speaks of the certificate.
    Nothing,
}

impl StatusSource {
    /// A word for programs, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "crl",
            Self::Response => "ocsp",
            Self::Nothing => "none",
        }
    }
}

/// The status of one certificate, and what it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CertificateStatus {
    /// The status.
    pub status: Status,
    /// What it rests on.
    pub source: StatusSource,
    /// thisUpdate of that, where there is one; of several lists the oldest.
    pub this_update: Option<UnixSeconds>,
}

/// What one kind of evidence says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    /// It does not speak of the certificate.
    Silent,
    /// It speaks of it and can be used: good, revoked or on hold.
    Says(Status, CertificateTime),
    /// It speaks of it and cannot be used: unknown or stale.
    Unusable(Status),
}

/// How fresh something is.
pub(crate) enum Age {
    /// Fresh.
    Fresh,
    /// Not usable to call a certificate good, but what it revokes is revoked.
    Stale(Status),
    /// Not usable at all.
    Future(UnknownCause),
}

impl Freshness {
    /// Judges thisUpdate and nextUpdate at an instant.
    pub(crate) fn judge(
        &self,
        at: UnixSeconds,
        this_update: CertificateTime,
        next_update: Option<CertificateTime>,
    ) -> Age {
        let this = this_update.saturating_unix();
        let ahead_seconds = this.since(at);
        if ahead_seconds > self.clock_tolerance_seconds {
            return Age::Future(UnknownCause::FromTheFuture { ahead_seconds });
        }
        let age_seconds = at.since(this);
        let limit_seconds = self.limit_seconds(this_update, next_update);
        // A nextUpdate before thisUpdate has passed, whatever the age.
        let is_past =
            next_update.is_some_and(|next| at.since(next.saturating_unix()) > self.clock_tolerance_seconds);
        if is_past || age_seconds > limit_seconds {
            Age::Stale(Status::Stale { this_update: this, age_seconds, limit_seconds })
        } else {
            Age::Fresh
        }
    }
}

/// Looks up the status of every certificate of a path, from the anchor down, and judges each by the
/// question's rule, the first one of the path by `first`.
///
/// # Errors
/// The first certificate whose status the rule does not accept.
pub(crate) fn check_path(
    session: &mut Session<'_, '_>,
    path: &[usize],
    anchor: usize,
    depth: usize,
    first: RevocationRule,
    statuses: &mut Vec<(usize, CertificateStatus)>,
) -> Result<(), PathError> {
    if session.question.revocation == RevocationRule::None {
        return Ok(());
    }
    for index in (0..path.len()).rev() {
        let rule = if index == 0 { first } else { session.question.revocation };
        let found = status_of(session, path, index, anchor, depth);
        statuses.push((index, found));
        judge(found, rule).map_err(|fault| PathError { place: Place::of(index), fault })?;
    }
    Ok(())
}

fn judge(found: CertificateStatus, rule: RevocationRule) -> Result<(), Fault> {
    match found.status {
        Status::Good { .. } => Ok(()),
        Status::Revoked { reason, at } => Err(Fault::Revoked { reason, at }),
        Status::Hold { since } => Err(Fault::OnHold { since }),
        // What IfPresent lets pass: nothing speaks of it, or nobody but itself.
        Status::Unknown(UnknownCause::NoList | UnknownCause::Circular)
            if rule != RevocationRule::Required =>
        {
            Ok(())
        }
        Status::Unknown(cause) => Err(Fault::StatusUnknown { cause }),
        Status::Stale { this_update, age_seconds, limit_seconds } => {
            Err(Fault::StatusTooOld { this_update, age_seconds, limit_seconds })
        }
    }
}

/// The status of one certificate of a path. Remembered by certificate and issuer.
fn status_of(
    session: &mut Session<'_, '_>,
    path: &[usize],
    index: usize,
    anchor: usize,
    depth: usize,
) -> CertificateStatus {
    let Some(place) = path.get(index).copied() else {
        return combine(Finding::Silent, Finding::Silent);
    };
    let key = (place, Session::issuer_in(path, index, anchor));
    if let Some(known) = session.statuses.get(&key) {
        return *known;
    }
    session.in_progress.push(place);
    let response = ocsp::find(session, path, index, anchor, depth);
    let list = crl::find(session, path, index, anchor, depth);
    session.in_progress.pop();
    let mut found = combine(response, list);
    if let (Status::Unknown(UnknownCause::NoList), Some(fault)) = (found.status, session.unreadable) {
        let cause = UnknownCause::Malformed { what: fault.what, offset: fault.offset };
        found.status = Status::Unknown(cause);
    }
    // What was found while another status was in progress may have been cut short by that.
    if session.in_progress.is_empty() {
        session.statuses.insert(key, found);
    }
    found
}

/// Two kinds of evidence about one certificate. A revocation wins; between good and on hold the newer
/// wins, because a hold can end; what can be used wins over what cannot.
fn combine(response: Finding, list: Finding) -> CertificateStatus {
    let says = |status, this_update: CertificateTime, source| CertificateStatus {
        status,
        source,
        this_update: Some(this_update.saturating_unix()),
    };
    match (response, list) {
        (Finding::Says(a, a_from), Finding::Says(b, b_from)) => {
            let revoked = |status| matches!(status, Status::Revoked { .. });
            if revoked(a) || (!revoked(b) && a_from >= b_from) {
                says(a, a_from, StatusSource::Response)
            } else {
                says(b, b_from, StatusSource::List)
            }
        }
        (Finding::Says(status, from), _) => says(status, from, StatusSource::Response),
        (_, Finding::Says(status, from)) => says(status, from, StatusSource::List),
        (Finding::Unusable(a), Finding::Unusable(b)) if more_telling(Some(a), b) != Some(a) => {
            unusable(b, StatusSource::List)
        }
        (Finding::Unusable(status), _) => unusable(status, StatusSource::Response),
        (_, Finding::Unusable(status)) => unusable(status, StatusSource::List),
        (Finding::Silent, Finding::Silent) => {
            unusable(Status::Unknown(UnknownCause::NoList), StatusSource::Nothing)
        }
    }
}

const fn unusable(status: Status, source: StatusSource) -> CertificateStatus {
    let this_update = match status {
        Status::Stale { this_update, .. } => Some(this_update),
        _ => None,
    };
    CertificateStatus { status, source, this_update }
}

/// A revocation or a hold as a status.
pub(crate) fn revoked(reason: RevocationReason, at: CertificateTime) -> Status {
    let at = at.saturating_unix();
    match reason {
        RevocationReason::CertificateHold => Status::Hold { since: at },
        reason => Status::Revoked { reason, at },
    }
}

/// Of several reasons why something cannot be used, the one that says most.
pub(crate) fn more_telling(known: Option<Status>, new: Status) -> Option<Status> {
    const fn rank(status: &Status) -> u8 {
        match status {
            Status::Unknown(UnknownCause::NoList | UnknownCause::OtherIssuer) => 0,
            Status::Unknown(UnknownCause::OtherScope | UnknownCause::OtherCertificate) => 1,
            Status::Unknown(_) => 2,
            _ => 3,
        }
    }
    match known {
        Some(known) if rank(&known) >= rank(&new) => Some(known),
        _ => Some(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixSeconds = UnixSeconds(1_000_000);

    fn good(this_update: u64) -> Finding {
        let status = Status::Good { this_update: UnixSeconds(this_update), age_seconds: AT.0 - this_update };
        Finding::Says(status, CertificateTime::from(UnixSeconds(this_update)))
    }

    fn held(this_update: u64) -> Finding {
        Finding::Says(Status::Hold { since: UnixSeconds(7) }, CertificateTime::from(UnixSeconds(this_update)))
    }

    #[test]
    fn a_revocation_wins_and_of_hold_and_good_the_newer() {
        let revoked = Status::Revoked { reason: RevocationReason::Superseded, at: UnixSeconds(5) };
        let revoked = Finding::Says(revoked, CertificateTime::from(UnixSeconds(10)));
        for (response, list) in [(revoked, good(900)), (good(900), revoked), (revoked, held(900))] {
            assert!(matches!(combine(response, list).status, Status::Revoked { .. }));
        }
        assert!(matches!(combine(held(20), good(30)).status, Status::Good { .. }));
        assert!(matches!(combine(good(20), held(30)).status, Status::Hold { .. }));
        let stale = Finding::Unusable(Status::Stale { this_update: AT, age_seconds: 2, limit_seconds: 1 });
        let found = combine(stale, good(20));
        assert_eq!((found.source, found.this_update), (StatusSource::List, Some(UnixSeconds(20))));
        assert!(matches!(combine(stale, Finding::Silent).status, Status::Stale { .. }));
        assert_eq!(combine(Finding::Silent, Finding::Silent).source, StatusSource::Nothing);
    }

    #[test]
    fn freshness_at_its_edges() {
        let freshness = Freshness { clock_tolerance_seconds: 60, ..Freshness::default() };
        let judge = |this: u64, next: Option<u64>, freshness: &Freshness| {
            let time = |seconds| CertificateTime::from(UnixSeconds(seconds));
            match freshness.judge(AT, time(this), next.map(time)) {
                Age::Fresh => "fresh",
                Age::Stale(_) => "stale",
                Age::Future(_) => "future",
            }
        };
        assert_eq!(judge(AT.0 + 60, Some(AT.0 + 100), &freshness), "fresh");
        assert_eq!(judge(AT.0 + 61, Some(AT.0 + 100), &freshness), "future");
        assert_eq!(judge(AT.0 - 500, Some(AT.0 - 60), &freshness), "fresh");
        assert_eq!(judge(AT.0 - 500, Some(AT.0 - 61), &freshness), "stale");
        assert_eq!(judge(AT.0 - 86_400, None, &freshness), "fresh");
        assert_eq!(judge(AT.0 - 86_401, None, &freshness), "stale");
        let exact = Freshness { clock_tolerance_seconds: 0, age_seconds_max: 300, ..freshness };
        assert_eq!(judge(AT.0 - 500, Some(AT.0), &exact), "stale");
        assert_eq!(judge(AT.0 - 300, Some(AT.0), &exact), "fresh");
        assert_eq!(judge(AT.0 - 300, Some(AT.0 - 1), &exact), "stale");
        assert_eq!(judge(AT.0 + 1, Some(AT.0 + 2), &exact), "future");
        // Turned round: an end before its beginning.
        assert_eq!(judge(AT.0, Some(AT.0 - 1), &exact), "stale");
        assert_eq!(
            judge(AT.0, Some(AT.0 - 61), &Freshness { clock_tolerance_seconds: 60, ..exact }),
            "stale"
        );
    }
}
