//! Files of insurers over the network: `POST /insurer/v1/feed`, on a listener of its own, over mutual TLS. Who sends is
//! known by the key of the client certificate, and decides whose members may change; the file cannot say otherwise.
//!
//! The body goes to a nameless file first and is loaded from there as `kazasu insurer load` does it: memory does not
//! grow with it, a body that is cut off leaves nothing, and a crash leaves no copy. One load at a time.

use crate::feed::load::{OnMissing, Order, Purpose, load};
use crate::feed::rejects::{Reject, RejectSink, RejectsCsv};
use crate::feed::row::parse_day;
use crate::feed::{FeedError, Report};
use crate::store::feed::{FeedMode, FeedStore, OnUnfinished};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use chassis::listener::PeerCertificate;
use http_body_util::BodyExt as _;
use pki::pem::{self, PemKind};
use protocol::ids::InsurerNumber;
use protocol::problem::{Language, Problem, ProblemCode};
use protocol::time::Clock;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

/// Where files go.
pub const FEED_PATH: &str = "/insurer/v1/feed";
/// Longest list of rejected rows in an answer, in octets; the counts are always whole.
const REJECTS_BYTES_MAX: usize = 1 << 20;

/// Files of insurers over the network. A platform without it takes them by hand only.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InsurerFeed {
    /// Where insurers connect (mutual TLS 1.3).
    pub listen: std::net::SocketAddr,
    /// PEM of the CA whose client certificates may connect at all.
    pub client_ca: PathBuf,
    /// Folder for the nameless files: room for the largest, on an encrypted disk.
    pub spool: PathBuf,
    /// Longest file, in octets.
    pub bytes_max: u64,
    /// Who may send, and whose rows.
    pub clients: Vec<InsurerClient>,
}

/// One insurer's program.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InsurerClient {
    /// The insurer whose members it may change.
    pub insurer: InsurerNumber,
    /// The insurer's name, as answers show it.
    pub name: String,
    /// PEM of its client certificate. Its public key counts: a renewed certificate with the same key is the same client.
    pub certificate: PathBuf,
}

/// A sender as the room knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sender {
    /// Its insurer.
    pub insurer: InsurerNumber,
    /// The insurer's name.
    pub name: String,
}

/// What the endpoint is made of.
pub struct Uploads {
    store: Arc<dyn FeedStore>,
    clock: Arc<dyn Clock>,
    senders: HashMap<[u8; 32], Sender>,
    spool: PathBuf,
    bytes_max: u64,
    turn: Semaphore,
    count: AtomicU64,
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Uploads({} senders)", self.senders.len())
    }
}

/// A client's certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct UnusableClient {
    path: String,
    why: String,
}

/// The configured senders by the hash of their keys.
///
/// # Errors
/// [`UnusableClient`] naming the certificate that cannot be read.
pub fn senders(clients: &[InsurerClient]) -> Result<HashMap<[u8; 32], Sender>, UnusableClient> {
    clients
        .iter()
        .map(|client| {
            let unusable =
                |why: String| UnusableClient { path: client.certificate.display().to_string(), why };
            let text = std::fs::read_to_string(&client.certificate).map_err(|e| unusable(e.to_string()))?;
            let der = pem::decode(PemKind::Certificate, &text).map_err(|e| unusable(e.to_string()))?;
            let peer = PeerCertificate::of(&der).ok_or_else(|| unusable("not a certificate".to_owned()))?;
            Ok((peer.spki_sha256, Sender { insurer: client.insurer.clone(), name: client.name.clone() }))
        })
        .collect()
}

impl Uploads {
    /// Uploads into `store`, through `spool`.
    pub fn new(
        store: Arc<dyn FeedStore>,
        clock: Arc<dyn Clock>,
        senders: HashMap<[u8; 32], Sender>,
        spool: &Path,
        bytes_max: u64,
    ) -> Self {
        let spool = spool.to_owned();
        Self { store, clock, senders, spool, bytes_max, turn: Semaphore::new(1), count: AtomicU64::new(0) }
    }
}

/// How a file is meant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meant {
    mode: Option<FeedMode>,
    #[serde(default)]
    dry_run: Switch,
    end_missing: Option<String>,
    end_at_most_percent: Option<u8>,
    #[serde(default)]
    give_up: Switch,
}

/// `1` or left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
enum Switch {
    #[default]
    #[serde(rename = "0")]
    Off,
    #[serde(rename = "1")]
    On,
}

/// The answer to a file that was taken.
#[derive(Serialize)]
struct Taken<'a> {
    #[serde(flatten)]
    report: &'a Report,
    applied: u64,
    /// Rejected rows as CSV, as `kazasu insurer load` writes them.
    rejects_csv: &'a str,
    /// Whether that is all of them.
    rejects_complete: bool,
}

/// The endpoint.
pub fn router(uploads: Arc<Uploads>) -> Router {
    Router::new()
        .route(FEED_PATH, post(receive))
        .method_not_allowed_fallback(|| async { respond(&Problem::new(ProblemCode::MethodNotAllowed)) })
        .fallback(|| async { respond(&Problem::new(ProblemCode::NotFound)) })
        .with_state(uploads)
}

fn respond(problem: &Problem) -> Response {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    answer(problem.status, "application/problem+json", body)
}

fn answer(status: u16, kind: &'static str, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn receive(
    State(uploads): State<Arc<Uploads>>,
    Extension(peer): Extension<PeerCertificate>,
    meant: Result<Query<Meant>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let language =
        Language::from_accept_language(headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()));
    match taken(&uploads, &peer, meant.map(|Query(meant)| meant).ok(), &headers, body).await {
        Ok(body) => answer(200, "application/json", body),
        Err(problem) => respond(&problem.in_language(language)),
    }
}

fn refusal(code: ProblemCode, detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(code).with_detail(detail))
}

async fn taken(
    uploads: &Arc<Uploads>,
    peer: &PeerCertificate,
    meant: Option<Meant>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<u8>, Box<Problem>> {
    let now = uploads.clock.now();
    if now > peer.not_after {
        return Err(refusal(ProblemCode::TerminalCertificateExpired, "the insurer's client certificate"));
    }
    let sender = uploads
        .senders
        .get(&peer.spki_sha256)
        .ok_or_else(|| refusal(ProblemCode::TerminalUnknown, "no insurer is registered with this key"))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")) {
        return Err(refusal(ProblemCode::UnsupportedMediaType, "Content-Type must be text/csv"));
    }
    let meant =
        meant.ok_or_else(|| refusal(ProblemCode::MalformedRequest, "an unknown or wrong parameter"))?;
    let order = order(sender, &meant, now)?;
    let _turn = uploads.turn.try_acquire().map_err(|_| {
        let mut problem = refusal(ProblemCode::PlatformOverloaded, "another file is being loaded");
        problem.retry_after = Some(30);
        problem
    })?;
    let mut file = spool(uploads, body).await?;
    let store = Arc::clone(&uploads.store);
    let loading = tokio::task::spawn_blocking(move || {
        let mut rejects = BoundedRejects { csv: RejectsCsv::new(Vec::new()), whole: Whole::Yes, bytes: 0 };
        let loaded = load(&*store, &mut file, &order, &mut rejects, &mut |_| {});
        loaded.and_then(|report| rejects.answer(&report))
    });
    let loaded =
        loading.await.map_err(|_| refusal(ProblemCode::PlatformStoreFailed, "the load broke off"))?;
    loaded.map_err(|error| Box::new(error.to_problem()))
}

fn order(sender: &Sender, meant: &Meant, now: protocol::time::UnixSeconds) -> Result<Order, Box<Problem>> {
    let usual = Order::usual(now);
    let on_missing = match &meant.end_missing {
        None => OnMissing::Count,
        Some(_) if meant.mode != Some(FeedMode::Full) => {
            return Err(refusal(ProblemCode::MalformedRequest, "end_missing needs mode=full"));
        }
        Some(text) => OnMissing::EndAfter(
            parse_day(text).ok_or_else(|| refusal(ProblemCode::MalformedRequest, "end_missing is no day"))?,
        ),
    };
    Ok(Order {
        insurer: Some(sender.insurer.clone()),
        insurer_name: Some(sender.name.clone()),
        mode: meant.mode.unwrap_or(FeedMode::Difference),
        purpose: if meant.dry_run == Switch::On { Purpose::Rehearse } else { Purpose::Load },
        on_missing,
        end_percent_max: meant.end_at_most_percent.unwrap_or(usual.end_percent_max).min(100),
        unfinished: if meant.give_up == Switch::On { OnUnfinished::GiveUp } else { OnUnfinished::Refuse },
        ..usual
    })
}

/// Writes the body to a file without a name.
async fn spool(uploads: &Uploads, mut body: Body) -> Result<std::fs::File, Box<Problem>> {
    let failed = |error: std::io::Error| {
        tracing::error!(%error, "an insurer's file cannot be kept for loading");
        refusal(ProblemCode::PlatformStoreFailed, "no room for the file")
    };
    let number = uploads.count.fetch_add(1, Ordering::Relaxed);
    let path = uploads.spool.join(format!("feed-{}-{number}", std::process::id()));
    let mut options = tokio::fs::OpenOptions::new();
    let mut file =
        options.read(true).write(true).create_new(true).mode(0o600).open(&path).await.map_err(failed)?;
    // From here on nobody finds it, whatever happens to this process.
    tokio::fs::remove_file(&path).await.map_err(failed)?;
    let mut bytes = 0u64;
    while let Some(frame) = body.frame().await {
        let cut_off = |_| refusal(ProblemCode::MalformedRequest, "the body did not arrive whole");
        let Ok(data) = frame.map_err(cut_off)?.into_data() else { continue };
        bytes = bytes.saturating_add(data.len() as u64);
        if bytes > uploads.bytes_max {
            let detail = format!("a file may have at most {} octets", uploads.bytes_max);
            return Err(refusal(ProblemCode::BodyTooLarge, detail));
        }
        file.write_all(&data).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(file.into_std().await)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whole {
    Yes,
    No,
}

/// Rejected rows up to a size.
struct BoundedRejects {
    csv: RejectsCsv<Vec<u8>>,
    whole: Whole,
    bytes: usize,
}

impl RejectSink for BoundedRejects {
    fn reject(&mut self, reject: &Reject) -> std::io::Result<()> {
        // No row of the list is longer than this.
        self.bytes += 512;
        if self.bytes > REJECTS_BYTES_MAX {
            self.whole = Whole::No;
            return Ok(());
        }
        self.csv.reject(reject)
    }
}

impl BoundedRejects {
    fn answer(self, report: &Report) -> Result<Vec<u8>, FeedError> {
        let csv = self.csv.finish().map_err(FeedError::Rejects)?;
        let answer = Taken {
            report,
            applied: report.counts.applied(),
            rejects_csv: &String::from_utf8_lossy(&csv),
            rejects_complete: self.whole == Whole::Yes,
        };
        serde_json::to_vec(&answer).map_err(|error| FeedError::Rejects(error.into()))
    }
}
