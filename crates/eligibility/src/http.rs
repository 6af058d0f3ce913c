//! The edge: decode, limits, and the one place where a refusal becomes a response.

use crate::check::{self, Outcome};
use crate::error::Refusal;
use crate::platform::Platform;
use crate::unlock;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chassis::listener::PeerCertificate;
use protocol::eligibility_v1::{
    CHECK_PATH, NONCE_PATH, NonceRequest, REQUEST_BYTES_MAX, UNLOCK_PATH, UnlockRequest,
};
use protocol::problem::{Language, Problem, ProblemCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

type Shared = Arc<Platform>;
type Body = Result<Bytes, BytesRejection>;

/// The platform's endpoints. The client certificate is mandatory at the listener.
pub fn router(platform: Shared) -> Router {
    Router::new()
        .route(CHECK_PATH, post(post_check))
        .route(UNLOCK_PATH, post(post_unlock))
        .route(NONCE_PATH, post(post_nonce))
        .route("/v1/receipt-log/{*file}", get(receipt_log))
        .method_not_allowed_fallback(|headers: HeaderMap| async move {
            respond(&Problem::new(ProblemCode::MethodNotAllowed).in_language(language(&headers)))
        })
        .fallback(|headers: HeaderMap| async move {
            respond(&Problem::new(ProblemCode::NotFound).in_language(language(&headers)))
        })
        .layer(chassis::listener::body_limit(REQUEST_BYTES_MAX))
        .with_state(platform)
}

async fn post_check(
    State(platform): State<Shared>,
    Extension(peer): Extension<PeerCertificate>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match admitted(&platform, &peer, &headers, body) {
        Ok(body) => {
            let Outcome { status, body } =
                check::check(&platform, peer.spki_sha256, &body, language(&headers)).await;
            let kind = if status == 200 { "application/json" } else { "application/problem+json" };
            raw(status, kind, body)
        }
        Err(problem) => respond(&problem),
    }
}

/// The receipt log's files, as C2SP tlog-tiles serves them. Salted commitments and signed heads: they tell
/// nothing, so every terminal may check the whole log.
async fn receipt_log(State(platform): State<Shared>, Path(file): Path<String>) -> Response {
    let Some(octets) = platform.receipts().served(&file) else {
        return respond(&Problem::new(ProblemCode::NotFound));
    };
    let (kind, caching) = if file == "checkpoint" {
        ("text/plain; charset=utf-8", "no-store")
    } else {
        ("application/octet-stream", "public, max-age=31536000, immutable")
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, caching)], octets).into_response()
}

async fn post_unlock(
    State(platform): State<Shared>,
    Extension(peer): Extension<PeerCertificate>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(&platform, &peer, &headers, body, |request: UnlockRequest| {
        unlock::unlock(&platform, peer.spki_sha256, &request)
    })
}

async fn post_nonce(
    State(platform): State<Shared>,
    Extension(peer): Extension<PeerCertificate>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(&platform, &peer, &headers, body, |_: NonceRequest| unlock::nonce(&platform, peer.spki_sha256))
}

fn answer<Q: DeserializeOwned, A: Serialize>(
    platform: &Platform,
    peer: &PeerCertificate,
    headers: &HeaderMap,
    body: Body,
    handle: impl FnOnce(Q) -> Result<A, Refusal>,
) -> Response {
    let handled = admitted(platform, peer, headers, body).and_then(|body| {
        let request = serde_json::from_slice(&body)
            .map_err(|e| Box::new(Refusal::Malformed(e.to_string()).to_problem()))?;
        handle(request).map_err(|refusal| Box::new(refusal.to_problem()))
    });
    match handled {
        Ok(answer) => raw(200, "application/json", serde_json::to_vec(&answer).unwrap_or_default()),
        Err(problem) => respond(&problem.in_language(language(headers))),
    }
}

/// What every endpoint refuses before it reads a field: a connection that outlived its certificate, a
/// wrong content type, a body that is too large.
fn admitted(
    platform: &Platform,
    peer: &PeerCertificate,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Box<Problem>> {
    let refuse = |code: ProblemCode| Box::new(Problem::new(code).in_language(language(headers)));
    if platform.clock.now() > peer.not_after {
        return Err(refuse(ProblemCode::TerminalCertificateExpired));
    }
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !json {
        return Err(refuse(ProblemCode::UnsupportedMediaType));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => refuse(ProblemCode::BodyTooLarge),
        _ => Box::new(refuse(ProblemCode::MalformedRequest).with_detail("the body did not arrive whole")),
    })?;
    // serde also reads a list in the order of the fields; the interface knows objects only.
    if body.trim_ascii_start().starts_with(b"{") {
        Ok(body)
    } else {
        Err(Box::new(refuse(ProblemCode::MalformedRequest).with_detail("not a JSON object")))
    }
}

fn language(headers: &HeaderMap) -> Language {
    Language::from_accept_language(headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()))
}

fn respond(problem: &Problem) -> Response {
    raw(problem.status, "application/problem+json", serde_json::to_vec(problem).unwrap_or_default())
}

fn raw(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
