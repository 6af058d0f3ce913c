//! Revocation lists: RFC 5280 §5, complete, with numbers that rise across restarts.

use crate::CertificateKind;
use crate::authority::Authority;
use crate::error::AuthorityError;
use bytes::Bytes;
use chassis::admin::{Check, Readiness};
use chassis::shutdown::ShutdownSignal;
use pki::crl::{CrlContents, RevocationIndex};
use protocol::time::{Clock, UnixSeconds};
use std::sync::Arc;
use std::time::Duration;

/// Name of the readiness check that says whether lists are being renewed.
pub const LISTS_CHECK: &str = "revocation_lists";

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

impl Authority {
    /// Builds, signs, keeps and serves a new list of each kind. The number is durable before it is signed,
    /// so a crash in between leaves a gap and never a second list of the same number.
    ///
    /// # Errors
    /// A store or a signer that refuses; what was served before stays.
    pub fn publish(&self, now: UnixSeconds) -> Result<(), AuthorityError> {
        CertificateKind::ALL.into_iter().try_for_each(|kind| self.publish_one(kind, now))
    }

    fn publish_one(&self, kind: CertificateKind, now: UnixSeconds) -> Result<(), AuthorityError> {
        let draft = self.store.begin_list(kind)?;
        let next_update = now.plus(self.config.crl.validity_seconds);
        let contents =
            CrlContents { number: draft.number, this_update: now, next_update, entries: &draft.entries };
        let der = self.branch(kind).issuing.issue_crl(&contents)?;
        // Read back by the relying party's own code before anybody sees it.
        let list = self.read_list(kind, der)?;
        self.store.keep_list(kind, list.number, &list.der)?;
        metrics::gauge!("kazasu_crl_number", "kind" => kind.word()).set(gauge_value(list.number));
        metrics::gauge!("kazasu_crl_entries", "kind" => kind.word()).set(gauge_value(list.entries as u64));
        self.serve_list(kind, list);
        Ok(())
    }

    /// The list that is served now; `None` before the first one.
    pub fn current_list(&self, kind: CertificateKind) -> Option<Arc<PublishedList>> {
        self.branch(kind).latest.load_full()
    }

    /// Takes up the lists of the last process, so that they are there before the first new one.
    pub(crate) fn recall_lists(&self) -> Result<(), AuthorityError> {
        for kind in CertificateKind::ALL {
            if let Some(der) = self.store.latest_list(kind)? {
                let list = self.read_list(kind, der)?;
                self.serve_list(kind, list);
            }
        }
        Ok(())
    }

    fn read_list(&self, kind: CertificateKind, der: Vec<u8>) -> Result<PublishedList, AuthorityError> {
        let index = RevocationIndex::from_crl(&der, std::slice::from_ref(&self.branch(kind).anchor), None)?;
        Ok(PublishedList {
            number: index.number().as_u64().unwrap_or(u64::MAX),
            this_update: index.this_update(),
            next_update: index.next_update(),
            entries: index.len(),
            der: Bytes::from(der),
        })
    }

    /// Never steps back: two publications may overlap, and the later number wins.
    fn serve_list(&self, kind: CertificateKind, list: PublishedList) {
        let list = Arc::new(list);
        self.branch(kind).latest.rcu(|before| match before {
            Some(before) if before.number > list.number => Some(Arc::clone(before)),
            _ => Some(Arc::clone(&list)),
        });
    }
}

/// Metrics are floating-point; counts here stay far below 2^53.
fn gauge_value(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Publishes at once and then every `crl.republish_seconds`, until `shutdown`. A failure keeps the old
/// lists, turns readiness off and is tried again after at most five seconds.
pub async fn publish_loop(
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    shutdown: ShutdownSignal,
) {
    let period = authority.config.crl.republish_seconds;
    loop {
        let (publisher, now) = (Arc::clone(&authority), clock.now());
        // RSA signatures and a durable commit: not on the threads that serve.
        let published = tokio::task::spawn_blocking(move || publisher.publish(now)).await;
        let pause = match published {
            Ok(Ok(())) => {
                readiness.set(LISTS_CHECK, Check::Ok);
                period
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "no new revocation lists");
                readiness.set(LISTS_CHECK, Check::NotReady(error.to_string()));
                period.min(5)
            }
            Err(error) => {
                tracing::error!(%error, "the publication ended abnormally");
                readiness.set(LISTS_CHECK, Check::NotReady("the publication ended abnormally".to_owned()));
                period.min(5)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(pause)) => {}
            () = shutdown.wait() => return,
        }
    }
}
