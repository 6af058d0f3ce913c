//! The public pages: revocation lists, authority certificates, OCSP, an index. Nothing here needs a login,
//! and nothing here names a person. The same pages stand behind TLS (for rooms that have the town's CA) and
//! in plain HTTP (for everybody else: what matters is signed, RFC 5280 §8).

use crate::CertificateKind;
use crate::authority::Authority;
use crate::ocsp::{Freshness, OcspAnswer};
use crate::store::ListName;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::ocsp::ResponseStatus;
use protocol::time::{Clock, UnixSeconds};
use std::sync::Arc;

/// Octets of an OCSP request that are read. 32 certificates with SHA-512 names and a nonce need 6 kB.
const OCSP_REQUEST_OCTETS_MAX: usize = 16 << 10;
/// Content type of requests: RFC 6960 appendix A.1.
const OCSP_REQUEST: &str = "application/ocsp-request";
/// Content type of responses: RFC 6960 appendix A.2.
const OCSP_RESPONSE: &str = "application/ocsp-response";

/// What the pages need.
#[derive(Clone)]
struct Pages {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
}

/// Every public path of the room.
pub fn router(authority: Arc<Authority>, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/crl/{*file}", get(list))
        .route("/ca/{file}", get(ca))
        .route("/ocsp", post(ocsp_post))
        .route("/ocsp/", post(ocsp_post))
        .route("/ocsp/{*request}", get(ocsp_get))
        .fallback(|| async { not_found() })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this page has other methods")
        })
        .with_state(Pages { authority, clock })
}

/// A list in DER (RFC 5280 §4.2.1.13, RFC 2585 §4.2); its number is its entity tag, so that a relying
/// party that has it already gets 304 and no body (RFC 9110 §13.1.2).
async fn list(State(pages): State<Pages>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    let authority = &pages.authority;
    let Some((kind, name)) = ListName::of_file(&file) else { return not_found() };
    if !authority.plan(kind).is_ok_and(|plan| plan.names().any(|known| known == name)) {
        return not_found();
    }
    let Some(list) = authority.list(kind, name) else {
        let mut answer = problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "revocation_list_not_ready",
            "the first list is being made",
        );
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return answer;
    };
    let stem = file.trim_end_matches(".crl").replace('/', "-");
    let tag = format!("\"{stem}-{}\"", list.number);
    // Caches may keep it until the next one is due, and must ask again then.
    let fresh = format!("max-age={}, must-revalidate", authority.max_age_seconds(name));
    let common = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, fresh)];
    if is_known(&headers, &tag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, "application/pkix-crl")], list.der.clone()).into_response()
}

/// Whether the client has the entity of this tag: RFC 9110 §13.1.2.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|candidate| candidate.trim().trim_start_matches("W/"))
        .any(|candidate| candidate == tag || candidate == "*")
}

/// An authority's certificate in DER: RFC 2585 §4.1.
async fn ca(State(pages): State<Pages>, Path(file): Path<String>) -> Response {
    let word = file.strip_suffix(".cer").unwrap_or_default();
    let Some(kind) = CertificateKind::ALL.into_iter().find(|kind| kind.word() == word) else {
        return not_found();
    };
    let der = pages.authority.ca_certificate_der(kind).to_vec();
    ([(header::CONTENT_TYPE, "application/pkix-cert")], der).into_response()
}

/// In memory a signature costs less than handing the request to another thread. A token may be far away, and
/// must not hold up the threads that serve.
async fn ocsp_answer(pages: &Pages, request: Bytes, now: UnixSeconds) -> OcspAnswer {
    let authority = Arc::clone(&pages.authority);
    if authority.config().keys.ocsp_delegates.is_none() {
        return authority.answer_ocsp(&request, now);
    }
    let answered = tokio::task::spawn_blocking(move || authority.answer_ocsp(&request, now)).await;
    answered.unwrap_or_else(|error| {
        tracing::error!(%error, "an OCSP answer ended abnormally");
        OcspAnswer::refused(ResponseStatus::InternalError)
    })
}

/// OCSP by POST: RFC 6960 appendix A.1.
async fn ocsp_post(State(pages): State<Pages>, request: Request) -> Response {
    let sent = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = sent.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(OCSP_REQUEST) {
        return problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_an_ocsp_request",
            "send application/ocsp-request",
        );
    }
    // Here and not in a layer: a layer costs every request two allocations.
    let Ok(body) = axum::body::to_bytes(request.into_body(), OCSP_REQUEST_OCTETS_MAX).await else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "request_too_long", "a shorter request, please");
    };
    let answer = ocsp_answer(&pages, body, pages.clock.now()).await;
    // Answers to POST are not for caches (RFC 9110 §9.3.3), and a refusal never is.
    ([(header::CONTENT_TYPE, OCSP_RESPONSE), (header::CACHE_CONTROL, "no-store")], answer.der).into_response()
}

/// OCSP by GET: RFC 6960 appendix A.1, with the caching headers of RFC 5019 §6.2. What is not base64 is a
/// malformed request and gets the same answer as one.
async fn ocsp_get(State(pages): State<Pages>, Path(request): Path<String>, headers: HeaderMap) -> Response {
    let now = pages.clock.now();
    let request = STANDARD.decode(request).unwrap_or_default();
    let answer = ocsp_answer(&pages, request.into(), now).await;
    match answer.freshness {
        Some(freshness) => cacheable(answer, freshness, &headers),
        None => {
            let common = [(header::CONTENT_TYPE, OCSP_RESPONSE), (header::CACHE_CONTROL, "no-store")];
            (common, answer.der).into_response()
        }
    }
}

fn cacheable(answer: OcspAnswer, freshness: Freshness, headers: &HeaderMap) -> Response {
    let max_age = format!("max-age={}, public, no-transform, must-revalidate", freshness.max_age_seconds);
    let digest = answer.tag();
    let tag = format!("\"{digest}\"");
    let common = [
        (header::LAST_MODIFIED, http_date(freshness.this_update)),
        (header::EXPIRES, http_date(freshness.next_update)),
        (header::CACHE_CONTROL, max_age),
        (header::ETAG, tag.clone()),
    ];
    if is_known(headers, &tag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, OCSP_RESPONSE)], answer.der).into_response()
}

fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", "there is no such page")
}

/// RFC 9457. All texts are constants without characters that JSON escapes.
fn problem(status: StatusCode, code: &str, title: &str) -> Response {
    let body = serde_json::json!({ "code": code, "title": title, "status": status.as_u16() }).to_string();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}

/// IMF-fixdate: RFC 9110 §5.6.7.
fn http_date(time: UnixSeconds) -> String {
    timestamp(time)
        .and_then(|instant| {
            jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).ok()
        })
        .unwrap_or_default()
}

fn timestamp(time: UnixSeconds) -> Option<jiff::Timestamp> {
    i64::try_from(time.0).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
}

fn rfc3339(time: UnixSeconds) -> String {
    timestamp(time).map_or_else(|| "?".to_owned(), |instant| instant.to_string())
}

/// One row of the index.
fn row(authority: &Authority, kind: CertificateKind) -> String {
    let (ja, en) = match kind {
        CertificateKind::CardHolderAuth => ("利用者証明用", "Card-holder authentication"),
        CertificateKind::DocumentSignature => ("署名用", "Document signature"),
    };
    let word = kind.word();
    let state = authority.current_list(kind).map_or_else(
        || "<td colspan=\"4\">作成中 / being made</td>".to_owned(),
        |list| {
            format!(
                "<td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
                list.number,
                list.entries,
                rfc3339(list.this_update),
                rfc3339(list.next_update)
            )
        },
    );
    let shards = authority.plan(kind).map_or(0, |plan| plan.shards);
    let parts = match shards.checked_sub(1) {
        None => String::new(),
        Some(last) => format!("<br><span lang=\"en\">{word}/000.crl – {word}/{last:03}.crl</span>"),
    };
    format!(
        "<tr><th scope=\"row\">{ja}<br>{en}</th><td><a href=\"/crl/{word}.crl\">{word}.crl</a><br>\
         <a href=\"/crl/{word}.delta.crl\">{word}.delta.crl</a>{parts}</td>\
         <td><a href=\"/ca/{word}.cer\">{word}.cer</a></td>{state}</tr>"
    )
}

async fn index(State(pages): State<Pages>) -> Html<String> {
    let rows: String = CertificateKind::ALL.into_iter().map(|kind| row(&pages.authority, kind)).collect();
    let ocsp = pages.authority.ocsp_uri();
    Html(format!(
        "<!DOCTYPE html><html lang=\"ja\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>公的個人認証（エミュレーション）</title>\
         <style>body{{font-family:sans-serif;margin:1rem;max-width:64rem}}table{{border-collapse:collapse}}\
         th,td{{border:1px solid #767676;padding:.5rem;text-align:left}}.scroll{{overflow-x:auto}}</style></head><body>\
         <h1>公的個人認証（エミュレーション）</h1><p lang=\"en\">Emulated public key authority: test keys, test names.</p>\
         <p>本物の公的個人認証サービスではありません。試験用です。</p><div class=\"scroll\"><table><thead><tr>\
         <th scope=\"col\">認証局<br>Authority</th><th scope=\"col\">失効リスト<br>CRL</th>\
         <th scope=\"col\">証明書<br>Certificate</th><th scope=\"col\">番号<br>Number</th>\
         <th scope=\"col\">失効件数<br>Revoked</th><th scope=\"col\">発行<br>thisUpdate</th>\
         <th scope=\"col\">次回<br>nextUpdate</th></tr></thead><tbody>{rows}</tbody></table></div>\
         <p>オンライン照会 / Online status (OCSP): {ocsp}</p></body></html>"
    ))
}
