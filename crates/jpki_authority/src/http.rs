//! The public pages: revocation lists, authority certificates, an index. Nothing here needs a login, and
//! nothing here names a person.

use crate::CertificateKind;
use crate::authority::Authority;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use protocol::time::UnixSeconds;
use std::sync::Arc;

/// Every public path of the room.
pub fn router(authority: Arc<Authority>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/crl/auth.crl", get(auth_list))
        .route("/crl/sign.crl", get(sign_list))
        .route("/ca/auth.cer", get(auth_ca))
        .route("/ca/sign.cer", get(sign_ca))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "not_found", "there is no such page") })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this page can only be read")
        })
        .with_state(authority)
}

async fn auth_list(State(authority): State<Arc<Authority>>, headers: HeaderMap) -> Response {
    list(&authority, CertificateKind::CardHolderAuth, &headers)
}

async fn sign_list(State(authority): State<Arc<Authority>>, headers: HeaderMap) -> Response {
    list(&authority, CertificateKind::DocumentSignature, &headers)
}

async fn auth_ca(State(authority): State<Arc<Authority>>) -> Response {
    ca(&authority, CertificateKind::CardHolderAuth)
}

async fn sign_ca(State(authority): State<Arc<Authority>>) -> Response {
    ca(&authority, CertificateKind::DocumentSignature)
}

/// The list in DER (RFC 5280 §4.2.1.13, RFC 2585 §4.2); its number is its entity tag, so that a relying
/// party that has it already gets 304 and no body (RFC 9110 §13.1.2).
fn list(authority: &Authority, kind: CertificateKind, headers: &HeaderMap) -> Response {
    let Some(list) = authority.current_list(kind) else {
        let mut answer = problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "revocation_list_not_ready",
            "the first list is being made",
        );
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return answer;
    };
    let tag = format!("\"{}-{}\"", kind.word(), list.number);
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|candidate| candidate.trim().trim_start_matches("W/"))
        .any(|candidate| candidate == tag || candidate == "*");
    // Caches may keep it until the next one is due, and must ask again then.
    let fresh = format!("max-age={}, must-revalidate", authority.config().crl.republish_seconds);
    let common = [(header::ETAG, tag), (header::CACHE_CONTROL, fresh)];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, "application/pkix-crl")], list.der.clone()).into_response()
}

/// The authority's certificate in DER: RFC 2585 §4.1.
fn ca(authority: &Authority, kind: CertificateKind) -> Response {
    ([(header::CONTENT_TYPE, "application/pkix-cert")], authority.ca_certificate_der(kind).to_vec())
        .into_response()
}

/// RFC 9457. All texts are constants without characters that JSON escapes.
fn problem(status: StatusCode, code: &str, title: &str) -> Response {
    let body = serde_json::json!({ "code": code, "title": title, "status": status.as_u16() }).to_string();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}

async fn index(State(authority): State<Arc<Authority>>) -> Html<String> {
    let rows: String = CertificateKind::ALL
        .into_iter()
        .map(|kind| {
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
            format!(
                "<tr><th scope=\"row\">{ja}<br>{en}</th><td><a href=\"/crl/{word}.crl\">{word}.crl</a></td>\
                 <td><a href=\"/ca/{word}.cer\">{word}.cer</a></td>{state}</tr>"
            )
        })
        .collect();
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
         <th scope=\"col\">次回<br>nextUpdate</th></tr></thead><tbody>{rows}</tbody></table></div></body></html>"
    ))
}

fn rfc3339(time: UnixSeconds) -> String {
    i64::try_from(time.0)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| "?".to_owned(), |instant| instant.to_string())
}
