//! "Has anything changed since?": what a relying party keeps of certificates that it once accepted, and what
//! newer lists, an index or an OCSP answer say of them. Pure: files and clocks are the caller's.
//!
//! | module | holds |
//! |---|---|
//! | this one | [`Kept`], [`Word`], [`compare`]: one certificate, from one word to the next |
//! | [`publications`] | words about many kept certificates from revocation lists, complete, of parts, and deltas |
//!
//! Rules, in this order:
//! 1. A word older than what is kept is refused ([`Change::OlderThanKept`]): somebody may be hiding a revocation.
//! 2. A revocation does not end. One that is no longer listed stays ([`Change::NoLongerListed`]); lists may
//!    leave it out once the certificate has expired (RFC 5280 §3.3).
//! 3. Silence of a list says something only of the certificates that it covers, and only while it is fresh.

pub mod publications;

use crate::asn1::time::CertificateTime;
use crate::certificate::Certificate;
use crate::crl::list::{ReasonMask, read_distribution_points};
use crate::crl::{CrlNumber, RevocationIndex};
use crate::ocsp::ask::Answer;
use crate::public_key::PublicKey;
use crate::revocation::{RevocationReason, Status};
use crate::serial::SerialNumber;
use crate::signature_scheme::{SignatureDigest, SignatureScheme};
use crate::validate::input::Freshness;
use crate::validate::{CertificateProblem, IssuerKeyId, TrustAnchor};
use protocol::time::UnixSeconds;
use std::fmt;

pub use publications::Publications;

/// What is known of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeptStatus {
    /// Nothing yet.
    Unknown,
    /// Neither revoked nor on hold.
    Good,
    /// `certificateHold`.
    Hold {
        /// Since when.
        since: UnixSeconds,
    },
    /// Revoked for good.
    Revoked {
        /// Why.
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
}

/// Which list a word came from: numbers rise within a scope (RFC 5280 §5.2.3), and say nothing across scopes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListSource {
    /// SHA-256 of the issuingDistributionPoint; none for lists of everything.
    pub scope: Option<[u8; 32]>,
    /// cRLNumber.
    pub number: CrlNumber,
}

/// One certificate as a relying party keeps it. It leads to a person: `Debug` shows the status only.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The key that issued it.
    pub issuer: IssuerKeyId,
    /// Its serial number.
    pub serial: SerialNumber,
    /// SHA-256 of each place where the certificate says that its status is published (RFC 5280 §4.2.1.13):
    /// by them it is known whether a list of a part covers it.
    pub places: Vec<[u8; 32]>,
    /// What was last known.
    pub status: KeptStatus,
    /// thisUpdate of what that rests on.
    pub as_of: Option<UnixSeconds>,
    /// The list that it rests on, if it was one.
    pub source: Option<ListSource>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("status", &self.status)
            .field("as_of", &self.as_of)
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// What to keep of a certificate that one of `anchors` issued. Nothing is known of it yet.
    ///
    /// # Errors
    /// It cannot be read, or no anchor's key signed it.
    pub fn of_certificate(der: &[u8], anchors: &[TrustAnchor]) -> Result<Self, CertificateProblem> {
        let certificate = Certificate::parse(der)?;
        let scheme = SignatureScheme::read(&certificate.signature_algorithm).ok();
        let scheme = scheme.filter(|scheme| scheme.digest() != Some(SignatureDigest::Sha1));
        let scheme = scheme.ok_or(CertificateProblem::BadSignature)?;
        let named = certificate.extensions().authority_key_identifier;
        let signed = |key: &PublicKey| key.verifies(scheme, certificate.tbs.raw, certificate.signature);
        let issuer = anchors
            .iter()
            .filter(|anchor| anchor.may_have_issued(certificate.issuer_der(), named))
            .find(|anchor| signed(anchor.key()))
            .ok_or(CertificateProblem::ForeignIssuer)?;
        let mut places = Vec::new();
        if let Some(list) = certificate.extensions().crl_distribution_points {
            for point in read_distribution_points(&list)? {
                // A part of the reasons, or another issuer's list: neither says that it is good.
                if point.reasons.includes(ReasonMask::ALL) && point.issuer.is_none() {
                    places.extend(point.name.as_ref().map(publications::places).unwrap_or_default());
                }
            }
        }
        Ok(Self {
            issuer: issuer.key_id(),
            serial: *certificate.serial(),
            places,
            status: KeptStatus::Unknown,
            as_of: None,
            source: None,
        })
    }
}

/// What a source says of one certificate, and as of when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    /// The status; never [`KeptStatus::Unknown`].
    pub status: KeptStatus,
    /// thisUpdate.
    pub this_update: UnixSeconds,
    /// nextUpdate, if the source says one.
    pub next_update: Option<UnixSeconds>,
    /// The list, if it is one.
    pub source: Option<ListSource>,
}

impl Word {
    /// From an index, for a certificate *of its issuer*.
    pub fn of_index(index: &RevocationIndex, serial: &SerialNumber) -> Self {
        Self {
            status: of_entry(index.entry(serial)),
            this_update: index.this_update(),
            next_update: Some(index.next_update()),
            source: Some(ListSource { scope: None, number: index.number() }),
        }
    }

    /// From a believed OCSP answer about the certificate; none if the responder does not know it.
    pub fn of_answer(answer: &Answer) -> Option<Self> {
        let status = match answer.status() {
            Status::Good { .. } => KeptStatus::Good,
            Status::Hold { since } => KeptStatus::Hold { since },
            Status::Revoked { reason, at } => KeptStatus::Revoked { reason, at },
            Status::Unknown(_) | Status::Stale { .. } => return None,
        };
        let times = answer.times();
        Some(Self {
            status,
            this_update: times.this_update.saturating_unix(),
            next_update: times.next_update.map(CertificateTime::saturating_unix),
            source: None,
        })
    }
}

fn of_entry(entry: Option<(RevocationReason, UnixSeconds)>) -> KeptStatus {
    match entry {
        None => KeptStatus::Good,
        Some((RevocationReason::CertificateHold, since)) => KeptStatus::Hold { since },
        Some((reason, at)) => KeptStatus::Revoked { reason, at },
    }
}

/// What has become of a kept certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The first word about it.
    FirstSeen(KeptStatus),
    /// As it was.
    Unchanged(KeptStatus),
    /// It was good, and is revoked.
    Revoked {
        /// Why.
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
    /// It was good, and is on hold.
    PutOnHold {
        /// Since when.
        since: UnixSeconds,
    },
    /// It was on hold, and is good again.
    Released,
    /// It was on hold, was released and put on hold again; publications in between were missed.
    HeldAgain {
        /// Since when, this time.
        since: UnixSeconds,
    },
    /// It was on hold, and is revoked for good.
    HoldBecame {
        /// Why.
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
    /// It was revoked, and still is, with another reason or date.
    ReasonChanged {
        /// Why, now.
        reason: RevocationReason,
        /// Since when, now.
        at: UnixSeconds,
    },
    /// It was revoked, and the newer word says nothing of that. It stays revoked.
    NoLongerListed,
    /// Nothing that was given speaks of it.
    NotCovered,
    /// What speaks of it is older than what is kept, which stays.
    OlderThanKept {
        /// thisUpdate of what was given.
        this_update: UnixSeconds,
        /// thisUpdate of what is kept.
        as_of: UnixSeconds,
    },
    /// What speaks of it is too old to call it good; what is kept stays.
    TooOld {
        /// thisUpdate of it.
        this_update: UnixSeconds,
        /// Seconds since then.
        age_seconds: u64,
        /// Seconds allowed.
        limit_seconds: u64,
    },
    /// What speaks of it is dated further ahead than clocks may differ; what is kept stays.
    FromTheFuture {
        /// thisUpdate of it.
        this_update: UnixSeconds,
        /// Seconds from now to it.
        ahead_seconds: u64,
    },
}

impl Change {
    /// A word for programs, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstSeen(_) => "first-seen",
            Self::Unchanged(_) => "unchanged",
            Self::Revoked { .. } => "revoked",
            Self::PutOnHold { .. } => "put-on-hold",
            Self::Released => "released",
            Self::HeldAgain { .. } => "held-again",
            Self::HoldBecame { .. } => "hold-became-revoked",
            Self::ReasonChanged { .. } => "reason-changed",
            Self::NoLongerListed => "no-longer-listed",
            Self::NotCovered => "not-covered",
            Self::OlderThanKept { .. } => "older-than-kept",
            Self::TooOld { .. } => "too-old",
            Self::FromTheFuture { .. } => "from-the-future",
        }
    }

    /// Whether nothing is known that was not known before: what is kept stays as it is.
    pub const fn is_unknown(self) -> bool {
        matches!(
            self,
            Self::NotCovered | Self::OlderThanKept { .. } | Self::TooOld { .. } | Self::FromTheFuture { .. }
        )
    }
}

/// Compares what is kept with what is said now. Gives the change, the word that it rests on, and what to
/// keep from now on.
pub fn compare(
    kept: &Kept,
    words: &[Word],
    now: UnixSeconds,
    freshness: &Freshness,
) -> (Change, Option<Word>, Kept) {
    let Some(word) = strongest(words) else { return (Change::NotCovered, None, kept.clone()) };
    let stays = |change| (change, Some(word), kept.clone());
    let this_update = word.this_update;
    let ahead_seconds = this_update.since(now);
    if ahead_seconds > freshness.clock_tolerance_seconds {
        return stays(Change::FromTheFuture { this_update, ahead_seconds });
    }
    if let Some(as_of) = kept.as_of.filter(|as_of| this_update < *as_of || is_numbered_below(&word, kept)) {
        return stays(Change::OlderThanKept { this_update, as_of });
    }
    let next_update = word.next_update.map(CertificateTime::from);
    let limit_seconds = freshness.limit_seconds(this_update.into(), next_update);
    let age_seconds = now.since(this_update);
    if word.status == KeptStatus::Good && age_seconds > limit_seconds {
        return stays(Change::TooOld { this_update, age_seconds, limit_seconds });
    }
    let change = change(kept.status, word.status);
    if change == Change::NoLongerListed {
        return stays(change);
    }
    let newer = Kept { status: word.status, as_of: Some(this_update), source: word.source, ..kept.clone() };
    (change, Some(word), newer)
}

/// A list of the same scope with a lower number, whatever its date says.
fn is_numbered_below(word: &Word, kept: &Kept) -> bool {
    matches!((word.source, kept.source), (Some(new), Some(old))
        if new.scope == old.scope && new.number < old.number)
}

/// A revocation wins; else the newest word, and of two of one time the one that is worse.
fn strongest(words: &[Word]) -> Option<Word> {
    words.iter().copied().max_by_key(|word| {
        let (ends, bad) = match word.status {
            KeptStatus::Revoked { .. } => (true, true),
            KeptStatus::Hold { .. } => (false, true),
            KeptStatus::Good | KeptStatus::Unknown => (false, false),
        };
        (ends, word.this_update, bad)
    })
}

const fn change(was: KeptStatus, is: KeptStatus) -> Change {
    match (was, is) {
        (KeptStatus::Unknown, is) => Change::FirstSeen(is),
        (_, KeptStatus::Unknown) => Change::NotCovered,
        (KeptStatus::Good, KeptStatus::Good) => Change::Unchanged(is),
        (KeptStatus::Good, KeptStatus::Hold { since }) => Change::PutOnHold { since },
        (KeptStatus::Good, KeptStatus::Revoked { reason, at }) => Change::Revoked { reason, at },
        (KeptStatus::Hold { .. }, KeptStatus::Good) => Change::Released,
        (KeptStatus::Hold { since: old }, KeptStatus::Hold { since }) if old.0 == since.0 => {
            Change::Unchanged(is)
        }
        (KeptStatus::Hold { .. }, KeptStatus::Hold { since }) => Change::HeldAgain { since },
        (KeptStatus::Hold { .. }, KeptStatus::Revoked { reason, at }) => Change::HoldBecame { reason, at },
        (KeptStatus::Revoked { .. }, KeptStatus::Good | KeptStatus::Hold { .. }) => Change::NoLongerListed,
        (KeptStatus::Revoked { reason: old, at: since }, KeptStatus::Revoked { reason, at })
            if old.code() == reason.code() && since.0 == at.0 =>
        {
            Change::Unchanged(is)
        }
        (KeptStatus::Revoked { .. }, KeptStatus::Revoked { reason, at }) => {
            Change::ReasonChanged { reason, at }
        }
    }
}
