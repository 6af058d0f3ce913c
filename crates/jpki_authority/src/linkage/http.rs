//! The edge of the linkage service: who is it, decode within limits, ask, map errors. Mutual TLS is the
//! listener's; the key of the client's certificate says who asks.

use super::{LinkageDesk, LinkageRefusal};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chassis::listener::PeerCertificate;
use protocol::linkage_v1::{LINKAGE_DESCRIPTION_PATH, LINKAGE_PATH, LINKAGE_REQUEST_BYTES_MAX};
use protocol::problem::{Language, Problem, ProblemCode};
use protocol::time::Clock;
use std::sync::Arc;

/// The description of the interface, as it is served.
pub const DESCRIPTION: &str = include_str!("openapi.json");

#[derive(Clone)]
struct Shared {
    desk: Arc<LinkageDesk>,
    clock: Arc<dyn Clock>,
}

/// The service's endpoints. The client certificate is mandatory at the listener.
pub fn router(desk: Arc<LinkageDesk>, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route(LINKAGE_PATH, post(post_questions))
        .route(LINKAGE_DESCRIPTION_PATH, get(description))
        .method_not_allowed_fallback(|headers: HeaderMap| async move {
            respond(Problem::new(ProblemCode::MethodNotAllowed), &headers)
        })
        .fallback(|headers: HeaderMap| async move { respond(Problem::new(ProblemCode::NotFound), &headers) })
        .layer(chassis::listener::body_limit(LINKAGE_REQUEST_BYTES_MAX))
        .with_state(Shared { desk, clock })
}

async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

async fn post_questions(
    State(shared): State<Shared>,
    Extension(peer): Extension<PeerCertificate>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let now = shared.clock.now();
    // Whatever is wrong has its line as well, so the desk is told of it.
    let body = if now > peer.not_after {
        // A connection can outlive its certificate.
        Err(LinkageRefusal::ClientExpired)
    } else if is_json(&headers) {
        let incomplete = "the body is too long or did not arrive whole";
        body.map_err(|_| LinkageRefusal::Malformed(incomplete.to_owned()))
    } else {
        Err(LinkageRefusal::NotJson)
    };
    let asked = tokio::task::spawn_blocking(move || {
        let octets;
        let body = match body {
            Ok(whole) => {
                octets = whole;
                Ok(octets.as_ref())
            }
            Err(refusal) => Err(refusal),
        };
        shared.desk.ask(&peer.spki_sha256, body, now)
    });
    match asked.await {
        Ok(Ok(response)) => raw(200, "application/json", serde_json::to_vec(&response).unwrap_or_default()),
        Ok(Err(refusal)) => respond(problem(&refusal), &headers),
        Err(error) => {
            tracing::error!(%error, "a linkage request ended abnormally");
            respond(Problem::new(ProblemCode::AuthorityStoreFailed), &headers)
        }
    }
}

fn problem(refusal: &LinkageRefusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        LinkageRefusal::ClientUnknown => Problem::new(ProblemCode::LinkageClientUnknown),
        LinkageRefusal::ClientExpired => Problem::new(ProblemCode::LinkageClientExpired),
        LinkageRefusal::NotJson => Problem::new(ProblemCode::UnsupportedMediaType),
        LinkageRefusal::NotAllowed(_) => Problem::new(ProblemCode::LinkageNotAllowed).with_detail(detail),
        LinkageRefusal::TooMany { retry_after_seconds } => Problem {
            retry_after: Some(*retry_after_seconds),
            ..Problem::new(ProblemCode::LinkageTooMany).with_detail(detail)
        },
        LinkageRefusal::Malformed(_) => Problem::new(ProblemCode::MalformedRequest).with_detail(detail),
        LinkageRefusal::Store(error) => {
            tracing::error!(%error, "linkage is not answered without its audit line");
            Problem::new(ProblemCode::AuthorityStoreFailed)
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn respond(problem: Problem, headers: &HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let problem = problem.in_language(Language::from_accept_language(accepted));
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = raw(problem.status, "application/problem+json", body);
    if let Some(seconds) = problem.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn raw(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // A serial number in a cache would be one without an audit line.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
