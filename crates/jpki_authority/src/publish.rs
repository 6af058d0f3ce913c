//! Revocation lists: RFC 5280 §5. For each kind of certificate one of everything and one for each shard,
//! complete and as deltas, with numbers that rise across restarts.
//!
//! A round is one transaction that spends a number and reads what its lists will say, signing, and one
//! transaction that keeps them. A crash in between leaves a gap in the numbers and the old lists in their
//! place. Before a list is kept it is read back and compared with the one before it: whoever has left
//! must have been released from a hold, or be out of date.

use crate::CertificateKind;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::plan::Plan;
use crate::store::{ListDraft, ListForm, ListName, ListScope, SignedList};
use bytes::Bytes;
use chassis::admin::{Check, Readiness};
use chassis::shutdown::ShutdownSignal;
use pki::crl::{CrlContents, ListPlace, ListShape, ListView};
use pki::revocation::RevocationReason;
use protocol::entropy::Entropy;
use protocol::time::{Clock, UnixSeconds};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Name of the readiness check that says whether lists are being renewed.
pub const LISTS_CHECK: &str = "revocation_lists";
/// Name of the readiness check that says whether OCSP can answer.
pub const OCSP_CHECK: &str = "ocsp_delegates";

/// Lists signed between two commits: bounds the memory of a round, not its meaning.
const LISTS_PER_ROUND: usize = 64;

/// A list as it is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishedList {
    /// cRLNumber.
    pub number: u64,
    /// thisUpdate.
    pub this_update: UnixSeconds,
    /// nextUpdate.
    pub next_update: UnixSeconds,
    /// How many certificates are listed.
    pub entries: usize,
    /// The list in DER.
    pub der: Bytes,
}

/// The lists of a kind that are served now.
pub(crate) type ListTable = HashMap<ListName, Arc<PublishedList>>;

/// What is published at a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    /// Every list there is.
    All,
    /// Those whose turn it is.
    Due,
}

impl ListName {
    /// File name below `/crl/`: `auth.crl`, `auth.delta.crl`, `auth/017.crl`, `auth/017.delta.crl`.
    pub fn file(&self, kind: CertificateKind) -> String {
        let form = match self.form {
            ListForm::Complete => "",
            ListForm::Delta => ".delta",
        };
        match self.scope {
            ListScope::Everything => format!("{}{form}.crl", kind.word()),
            ListScope::Shard(shard) => format!("{}/{shard:03}{form}.crl", kind.word()),
        }
    }

    /// The kind and name behind a file name; exactly what [`Self::file`] writes.
    pub fn of_file(file: &str) -> Option<(CertificateKind, Self)> {
        let stem = file.strip_suffix(".crl")?;
        let (stem, form) =
            stem.strip_suffix(".delta").map_or((stem, ListForm::Complete), |stem| (stem, ListForm::Delta));
        let (word, scope) = match stem.split_once('/') {
            None => (stem, ListScope::Everything),
            Some((word, digits)) => (word, ListScope::Shard(digits.parse().ok()?)),
        };
        let kind = CertificateKind::ALL.into_iter().find(|kind| kind.word() == word)?;
        let name = Self { scope, form };
        (name.file(kind) == file).then_some((kind, name))
    }
}

impl Authority {
    /// Publishes every list of each kind.
    ///
    /// # Errors
    /// A store or a signer that refuses; what was served before stays.
    pub fn publish(&self, now: UnixSeconds) -> Result<(), AuthorityError> {
        CertificateKind::ALL
            .into_iter()
            .try_for_each(|kind| self.publish_kind(kind, Which::All, now).map(drop))
    }

    /// Publishes the lists whose turn it is by the [`Plan`]; gives how many that were.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn publish_due(&self, now: UnixSeconds) -> Result<usize, AuthorityError> {
        let mut count = 0;
        for kind in CertificateKind::ALL {
            count += self.publish_kind(kind, Which::Due, now)?;
        }
        Ok(count)
    }

    /// The plan of a kind's lists: as many shards as the configuration has, or as certificates name.
    ///
    /// # Errors
    /// The store's.
    pub fn plan(&self, kind: CertificateKind) -> Result<Plan, AuthorityError> {
        let crl = &self.config.crl;
        Ok(Plan {
            complete_seconds: crl.republish_seconds,
            delta_seconds: crl.delta_seconds,
            shards: crl.shards.max(self.store.shards_named(kind)?),
        })
    }

    fn publish_kind(
        &self,
        kind: CertificateKind,
        which: Which,
        now: UnixSeconds,
    ) -> Result<usize, AuthorityError> {
        let plan = self.plan(kind)?;
        let served = self.branch(kind).lists.load();
        let last = |name: &ListName| served.get(name).map(|list| list.this_update);
        let due: Vec<ListName> =
            plan.names().filter(|name| which == Which::All || plan.is_due(*name, last(name), now)).collect();
        for round in due.chunks(LISTS_PER_ROUND) {
            self.publish_round(kind, round, now)?;
        }
        Ok(due.len())
    }

    fn publish_round(
        &self,
        kind: CertificateKind,
        due: &[ListName],
        now: UnixSeconds,
    ) -> Result<(), AuthorityError> {
        let draft = self.store.begin_round(kind, due)?;
        let mut signed = Vec::with_capacity(draft.lists.len());
        let mut served = Vec::with_capacity(draft.lists.len());
        for list in &draft.lists {
            let der = self.sign_list(kind, draft.number, list, now)?;
            let view = ListView::read(&der)?;
            if list.name.form == ListForm::Complete {
                self.check_succession(kind, list.name, &view)?;
            }
            served.push((list.name, published(&view, der.clone())));
            signed.push(SignedList { name: list.name, this_update: now, der });
        }
        self.store.keep_round(kind, draft.number, draft.seen, &signed)?;
        metrics::gauge!("kazasu_crl_number", "kind" => kind.word()).set(gauge_value(draft.number));
        for (name, list) in &served {
            if name.scope == ListScope::Everything && name.form == ListForm::Complete {
                metrics::gauge!("kazasu_crl_entries", "kind" => kind.word())
                    .set(gauge_value(list.entries as u64));
            }
        }
        metrics::counter!("kazasu_crls_published_total", "kind" => kind.word())
            .increment(served.len() as u64);
        self.serve_lists(kind, served);
        Ok(())
    }

    fn sign_list(
        &self,
        kind: CertificateKind,
        number: u64,
        list: &ListDraft,
        now: UnixSeconds,
    ) -> Result<Vec<u8>, AuthorityError> {
        let contents = CrlContents {
            number,
            this_update: now,
            next_update: now.plus(self.config.crl.validity_seconds),
            entries: &list.entries,
        };
        let place = match list.name.scope {
            ListScope::Everything => None,
            ListScope::Shard(shard) => Some(self.list_place(kind, shard)?),
        };
        let delta = ListName { form: ListForm::Delta, ..list.name };
        let freshest = self.list_uri(kind, delta);
        let shape = ListShape {
            place: place.as_ref(),
            base: list.base.map(|base| base.number),
            freshest_uri: (list.name.form == ListForm::Complete).then_some(&freshest),
        };
        Ok(self.branch(kind).issuing.issue_list(&contents, &shape)?)
    }

    /// The address of a list, as certificates and lists name it.
    pub(crate) fn list_uri(&self, kind: CertificateKind, name: ListName) -> String {
        format!("{}/crl/{}", self.config.status.url, name.file(kind))
    }

    /// The place that certificates of a shard name. Its directory name does not depend on any address.
    pub(crate) fn list_place(&self, kind: CertificateKind, shard: u16) -> Result<ListPlace, AuthorityError> {
        let name = ListName { scope: ListScope::Shard(shard), form: ListForm::Complete };
        let issuer = self.branch(kind).issuing.subject();
        Ok(ListPlace::new(issuer, &format!("{} {shard:03}", kind.word()), &self.list_uri(kind, name))?)
    }

    /// Nobody leaves a list but by release from a hold, or by date.
    fn check_succession(
        &self,
        kind: CertificateKind,
        name: ListName,
        newer: &ListView,
    ) -> Result<(), AuthorityError> {
        let Some(older) = self.branch(kind).lists.load().get(&name).cloned() else { return Ok(()) };
        let older = ListView::read(&older.der)?;
        if newer.number() <= older.number() {
            return Err(AuthorityError::Succession("a list number that does not rise"));
        }
        for (serial, reason) in older.departed(newer) {
            let standing = self.store.standing(kind, &serial)?;
            let released = reason == RevocationReason::CertificateHold
                && standing.is_some_and(|standing| standing.revoked.is_none());
            let expired = standing
                .and_then(|standing| standing.not_after)
                .is_some_and(|not_after| not_after < older.this_update());
            if !released && !expired && !self.store.is_departure_accepted(kind, &serial)? {
                return Err(AuthorityError::Succession("a revoked certificate that is no longer listed"));
            }
        }
        Ok(())
    }

    /// The complete list of everything that is served now; `None` before the first one.
    pub fn current_list(&self, kind: CertificateKind) -> Option<Arc<PublishedList>> {
        self.list(kind, ListName { scope: ListScope::Everything, form: ListForm::Complete })
    }

    /// A list that is served now; `None` before the first one of this name.
    pub fn list(&self, kind: CertificateKind, name: ListName) -> Option<Arc<PublishedList>> {
        self.branch(kind).lists.load().get(&name).cloned()
    }

    /// Seconds for which a cache should not ask for a list again: until its next turn at the latest.
    pub(crate) const fn max_age_seconds(&self, name: ListName) -> u64 {
        match name.form {
            ListForm::Complete => self.config.crl.republish_seconds,
            ListForm::Delta => self.config.crl.delta_seconds,
        }
    }

    /// Takes up the lists of the last process, so that they are there before the first new one.
    pub(crate) fn recall_lists(&self) -> Result<(), AuthorityError> {
        for kind in CertificateKind::ALL {
            let kept = self.store.kept_lists(kind)?;
            let mut lists = Vec::with_capacity(kept.len());
            for list in kept {
                let view = ListView::read(&list.der)?;
                lists.push((list.name, published(&view, list.der)));
            }
            self.serve_lists(kind, lists);
        }
        Ok(())
    }

    /// Never steps back: two publications may overlap, and the later number wins.
    fn serve_lists(&self, kind: CertificateKind, lists: Vec<(ListName, PublishedList)>) {
        let lists: Vec<_> = lists.into_iter().map(|(name, list)| (name, Arc::new(list))).collect();
        self.branch(kind).lists.rcu(|before| {
            let mut table = ListTable::clone(before);
            for (name, list) in &lists {
                if table.get(name).is_none_or(|served| served.number < list.number) {
                    table.insert(*name, Arc::clone(list));
                }
            }
            table
        });
    }
}

fn published(view: &ListView, der: Vec<u8>) -> PublishedList {
    PublishedList {
        number: view.number().as_u64().unwrap_or(u64::MAX),
        this_update: view.this_update(),
        next_update: view.next_update(),
        entries: view.len(),
        der: Bytes::from(der),
    }
}

/// Metrics are floating-point; counts here stay far below 2^53.
fn gauge_value(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Everything that falls due: the next lists, and OCSP delegates before the old ones run out.
fn turn(authority: &Authority, now: UnixSeconds, entropy: &mut dyn Entropy) -> (Check, Check) {
    let state = |outcome: Result<(), AuthorityError>, what: &str| match outcome {
        Ok(()) => Check::Ok,
        Err(error) => {
            tracing::error!(%error, "{what}");
            Check::NotReady(error.to_string())
        }
    };
    (
        state(authority.publish_due(now).map(drop), "no new revocation lists"),
        state(authority.rotate_delegates(now, entropy), "no new OCSP delegate"),
    )
}

/// Publishes what is due and rotates OCSP delegates, until `shutdown`. A failure keeps the old lists,
/// turns readiness off and is tried again after at most five seconds.
pub async fn publish_loop<E: Entropy + Clone + 'static>(
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    entropy: E,
    readiness: Readiness,
    shutdown: ShutdownSignal,
) {
    loop {
        let (publisher, now, mut entropy) = (Arc::clone(&authority), clock.now(), entropy.clone());
        // RSA signatures and durable commits: not on the threads that serve.
        let turned = tokio::task::spawn_blocking(move || turn(&publisher, now, &mut entropy)).await;
        let broken = || Check::NotReady("the publication ended abnormally".to_owned());
        let (lists, delegates) = turned.unwrap_or_else(|error| {
            tracing::error!(%error, "the publication ended abnormally");
            (broken(), broken())
        });
        let well = matches!((&lists, &delegates), (Check::Ok, Check::Ok));
        readiness.set(LISTS_CHECK, lists);
        readiness.set(OCSP_CHECK, delegates);
        let next = authority
            .plan(CertificateKind::CardHolderAuth)
            .map_or(1, |plan| plan.seconds_to_next(clock.now()));
        let pause = if well { next } else { next.min(5) };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(pause)) => {}
            () = shutdown.wait() => return,
        }
    }
}
