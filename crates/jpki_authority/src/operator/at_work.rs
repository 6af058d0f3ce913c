//! What a running room does for operators: publishes when asked to on the admin address, finishes what two
//! people approved before a crash, and makes new delegates when two people ordered them.

use crate::CertificateKind;
use crate::approval::desk::{ApprovalDesk, RequestState};
use crate::authority::Authority;
use crate::error::AuthorityError;
use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chassis::shutdown::ShutdownSignal;
use protocol::entropy::Entropy;
use protocol::time::{Clock, UnixSeconds};
use std::sync::Arc;
use std::time::Duration;

/// Where lists are published now, by `POST` on the admin address.
pub const PUBLISH_PATH: &str = "/operator/publish";
/// The content type that the request must have: no page in a browser can send it without asking this
/// address first, and it says no.
const CONTENT_TYPE: &str = "application/json";
/// How often a running room looks for orders.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The authority, once it is taken up.
pub type WhenThere = Arc<ArcSwapOption<Authority>>;

#[derive(Clone)]
struct Desk {
    authority: WhenThere,
    clock: Arc<dyn Clock>,
}

/// The operators' path on the admin address. Like everything there it asks nobody who they are: it only
/// brings forward what is done anyway.
pub fn router(authority: WhenThere, clock: Arc<dyn Clock>) -> Router {
    Router::new().route(PUBLISH_PATH, post(publish)).with_state(Desk { authority, clock })
}

async fn publish(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if sent != Some(CONTENT_TYPE) {
        return (StatusCode::FORBIDDEN, "for operators' programs only\n").into_response();
    }
    let Some(authority) = desk.authority.load_full() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the authority is being taken up\n").into_response();
    };
    let now = desk.clock.now();
    match tokio::task::spawn_blocking(move || authority.publish(now)).await {
        Ok(Ok(())) => (StatusCode::OK, "published\n").into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "no new revocation lists");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the publication ended abnormally");
            (StatusCode::INTERNAL_SERVER_ERROR, "the publication ended abnormally\n").into_response()
        }
    }
}

/// Finishes what two people approved and a crash interrupted. What cannot be finished stays, and is logged.
///
/// # Errors
/// The store's, where not even the requests can be read.
pub fn finish(
    desk: &ApprovalDesk,
    authority: &Authority,
    now: UnixSeconds,
    entropy: &mut dyn Entropy,
) -> Result<usize, AuthorityError> {
    let mut finished = 0;
    for id in desk.unfinished()? {
        // Somebody may be at it in another process: then it is executed there, and here it is not.
        if desk.request(id)?.state == RequestState::Executed {
            continue;
        }
        match desk.execute(id, Some(authority), now, entropy) {
            Ok(_) => finished += 1,
            Err(error) => tracing::error!(%error, request = %id, "an approved request is not executed"),
        }
    }
    Ok(finished)
}

impl Authority {
    /// Makes new delegates now, whatever is left of the old ones' lives. Answers that an old one signed are
    /// given again for `ocsp.reuse_seconds` at most.
    ///
    /// # Errors
    /// A store or a signer that refuses; a delegate that is there stays.
    pub fn replace_delegates(
        &self,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<(), AuthorityError> {
        for kind in CertificateKind::ALL {
            let delegate = self.make_delegate(kind, now, entropy)?;
            self.branch(kind).delegate.store(Some(Arc::new(delegate)));
            metrics::counter!("kazasu_ocsp_delegates_total", "kind" => kind.word()).increment(1);
        }
        Ok(())
    }
}

/// Makes new delegates whenever two people order them, until `shutdown`.
pub async fn take_orders<E: Entropy + Clone + 'static>(
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    entropy: E,
    shutdown: ShutdownSignal,
) {
    // Orders from before the start are fulfilled by it: delegates live in memory.
    let mut done = authority.store.delegates_ordered().ok();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.wait() => return,
        }
        let (working, now, mut entropy) = (Arc::clone(&authority), clock.now(), entropy.clone());
        let before = done;
        let looked = tokio::task::spawn_blocking(move || {
            let ordered = working.store.delegates_ordered()?;
            if before.is_some_and(|before| ordered > before) {
                working.replace_delegates(now, &mut entropy)?;
            }
            Ok::<u64, AuthorityError>(ordered)
        });
        match looked.await {
            Ok(Ok(ordered)) => done = Some(ordered),
            // The next look tries again.
            Ok(Err(error)) => tracing::error!(%error, "no new OCSP delegates were made"),
            Err(error) => tracing::error!(%error, "looking for orders ended abnormally"),
        }
    }
}
