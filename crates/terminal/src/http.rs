//! The edge of the desk, plain HTTP on loopback: the kiosk page and a small API. Decode, limits, refusals.
//!
//! | call | does |
//! |---|---|
//! | `GET /`, `GET /kiosk` | the page of the present phase; `?lang=ja\|en`, `?fragment=main` |
//! | `POST /kiosk/ok`, `POST /kiosk/stop` | a form with the question's token; 303 back to the page |
//! | `GET /kiosk/events` | server-sent events: phase, epoch, progress; nothing personal |
//! | `GET /api/session` | the session as JSON; `?after=REVISION&wait_ms=N` waits for a change |
//! | `POST /api/ok`, `POST /api/stop` | `{"token": …}` |
//! | `GET /api/readers`, `POST /api/readers` | the readers; `{"name": …}` attaches a PC/SC reader |
//!
//! Loopback does not keep a web page in the same browser out. So a request must name this very host (DNS
//! rebinding), must not come from another site (CSRF), and a press must carry the token of the question
//! that is on the screen.

use crate::check_in::{CardKind, CardPlace, ConsentToken, Phase, Progress, Refused};
use crate::desk::{Desk, ReaderEntry, Session};
use crate::render::{self, KioskPage, MainPart};
use crate::report::TouchReport;
use askama::Template;
use axum::extract::rejection::{FormRejection, JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use protocol::answer::Bilingual;
use protocol::problem::{Language, Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The longest request body that is read, in octets: a token or a reader's name.
pub const BODY_BYTES_MAX: usize = 4 * 1024;
/// The longest wait of `GET /api/session`, in milliseconds.
pub const WAIT_MS_MAX: u64 = 30_000;
/// How often an event stream that has nothing to say says so.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// The pages and the API of `desk`, for requests that name `address` as their host.
pub fn router(desk: Desk, address: SocketAddr) -> Router {
    let hosts = Hosts::of(address);
    Router::new()
        .route("/", get(async || Redirect::to("/kiosk")))
        .route("/kiosk", get(kiosk))
        .route("/kiosk/ok", post(form_ok))
        .route("/kiosk/stop", post(form_stop))
        .route("/kiosk/events", get(events))
        .route("/assets/kiosk.css", get(async || asset("text/css; charset=utf-8", render::KIOSK_CSS)))
        .route("/assets/kiosk.svg", get(async || asset("image/svg+xml", render::KIOSK_SVG)))
        .route("/assets/kiosk.js", get(async || asset("text/javascript; charset=utf-8", render::KIOSK_JS)))
        .route("/api/session", get(session))
        .route("/api/ok", post(api_ok))
        .route("/api/stop", post(api_stop))
        .route("/api/readers", get(readers).post(attach_reader))
        .fallback(async |headers: HeaderMap| Refusal::of(ProblemCode::NotFound, &headers))
        .method_not_allowed_fallback(async |headers: HeaderMap| {
            Refusal::of(ProblemCode::MethodNotAllowed, &headers)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::new(hosts), guard))
        .with_state(desk)
}

/// The names under which this listener may be asked.
#[derive(Debug)]
struct Hosts(Vec<String>);

impl Hosts {
    fn of(address: SocketAddr) -> Self {
        Self(vec![address.to_string(), format!("localhost:{}", address.port())])
    }

    fn knows(&self, host: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

/// Refuses foreign hosts and foreign sites, and gives every response its headers.
async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut response = if is_ours(&hosts, request.method(), headers) {
        next.run(request).await
    } else {
        metrics::counter!("desk_foreign_requests_total").increment(1);
        Refusal::of(ProblemCode::FormNotAccepted, headers).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not "no-referrer": with it browsers send "Origin: null" with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn is_ours(hosts: &Hosts, method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    if headers.get_all(header::HOST).iter().count() != 1
        || !text(header::HOST).is_some_and(|host| hosts.knows(host))
    {
        return false;
    }
    let origin_ours = text(header::ORIGIN)
        .is_none_or(|origin| origin.strip_prefix("http://").is_some_and(|host| hosts.knows(host)));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    // A link from elsewhere may open the page; it may not press its buttons or read its API.
    let is_navigation = *method == Method::GET
        && text(HeaderName::from_static("sec-fetch-mode")).is_some_and(|mode| mode == "navigate");
    let site_ours = site.is_none_or(|site| ["same-origin", "none"].contains(&site)) || is_navigation;
    origin_ours && site_ours
}

/// A problem as a response, RFC 9457, in the language of `Accept-Language`.
struct Refusal(Box<Problem>);

impl Refusal {
    fn of(code: ProblemCode, headers: &HeaderMap) -> Self {
        Self::from(Box::new(Problem::new(code)), headers)
    }

    fn from(problem: Box<Problem>, headers: &HeaderMap) -> Self {
        Self(Box::new(problem.in_language(header_language(headers))))
    }

    /// What axum's decoders refuse, by the status they would have answered with.
    fn of_status(status: StatusCode, headers: &HeaderMap) -> Self {
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
            _ => ProblemCode::MalformedRequest,
        };
        Self::of(code, headers)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        // After Json, which sets its own.
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn header_language(headers: &HeaderMap) -> Language {
    Language::from_accept_language(headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=60")], text).into_response()
}

/// What part of the page is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fragment {
    Main,
}

/// The page's language, as a button or a form says it. Japanese if nobody said anything.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PageLanguage {
    #[default]
    Ja,
    En,
}

impl PageLanguage {
    const fn language(self) -> Language {
        match self {
            Self::Ja => Language::Ja,
            Self::En => Language::En,
        }
    }

    fn page(self) -> Redirect {
        Redirect::to(match self {
            Self::Ja => "/kiosk",
            Self::En => "/kiosk?lang=en",
        })
    }
}

#[derive(Debug, Deserialize)]
struct KioskQuery {
    #[serde(default)]
    lang: PageLanguage,
    fragment: Option<Fragment>,
}

async fn kiosk(
    State(desk): State<Desk>,
    headers: HeaderMap,
    query: Result<Query<KioskQuery>, QueryRejection>,
) -> Result<Html<String>, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::of_status(rejection.status(), &headers))?;
    let Session { phase, epoch, .. } = desk.session();
    let main = MainPart::new(&phase, epoch.0, query.lang.language());
    let text = match query.fragment {
        Some(Fragment::Main) => main.render(),
        None => {
            let institution = desk.institution().map(|institution| institution.name).unwrap_or_default();
            KioskPage { main, institution }.render()
        }
    };
    // A template fails only if its writer does, and a String's writer does not.
    text.map(Html).map_err(|_| Refusal::of(ProblemCode::MalformedRequest, &headers))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PressForm {
    token: String,
    #[serde(default)]
    lang: PageLanguage,
}

type FormBody = Result<Form<PressForm>, FormRejection>;

async fn form_ok(State(desk): State<Desk>, headers: HeaderMap, form: FormBody) -> Result<Redirect, Refusal> {
    press_form(&headers, form, |token| desk.press_ok(token))
}

async fn form_stop(
    State(desk): State<Desk>,
    headers: HeaderMap,
    form: FormBody,
) -> Result<Redirect, Refusal> {
    press_form(&headers, form, |token| desk.press_stop(token))
}

/// Back to the page whatever came of it: a second press on a button, or one on an old screen, shows the
/// patient where things stand now.
fn press_form(
    headers: &HeaderMap,
    form: FormBody,
    press: impl FnOnce(ConsentToken) -> Result<(), Refused>,
) -> Result<Redirect, Refusal> {
    let Form(form) = form.map_err(|rejection| Refusal::of_status(rejection.status(), headers))?;
    let token =
        ConsentToken::parse(&form.token).ok_or_else(|| Refusal::of(ProblemCode::FormNotAccepted, headers))?;
    if press(token).is_err() {
        metrics::counter!("desk_stale_presses_total").increment(1);
    }
    Ok(form.lang.page())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PressBody {
    token: String,
}

type PressJson = Result<Json<PressBody>, JsonRejection>;

async fn api_ok(
    State(desk): State<Desk>,
    headers: HeaderMap,
    body: PressJson,
) -> Result<StatusCode, Refusal> {
    press_json(&headers, body, |token| desk.press_ok(token))
}

async fn api_stop(
    State(desk): State<Desk>,
    headers: HeaderMap,
    body: PressJson,
) -> Result<StatusCode, Refusal> {
    press_json(&headers, body, |token| desk.press_stop(token))
}

/// 204, or `form_not_accepted` for a token that is not on the screen.
fn press_json(
    headers: &HeaderMap,
    body: PressJson,
    press: impl FnOnce(ConsentToken) -> Result<(), Refused>,
) -> Result<StatusCode, Refusal> {
    let Json(body) = body.map_err(|rejection| Refusal::of_status(rejection.status(), headers))?;
    let pressed = ConsentToken::parse(&body.token).ok_or(Refused::StaleToken).and_then(press);
    pressed.map(|()| StatusCode::NO_CONTENT).map_err(|_| Refusal::of(ProblemCode::FormNotAccepted, headers))
}

#[derive(Debug, Deserialize)]
struct SessionQuery {
    after: Option<u64>,
    #[serde(default)]
    wait_ms: u64,
}

/// The session as a program sees it: `GET /api/session`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SessionBody {
    /// Grows with every visible change.
    pub revision: u64,
    /// `preparing`, `idle`, `recognising`, `consent`, `working`, `result`, `take_card`.
    pub phase: String,
    /// The token of the question, while it is on the screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The kind of card, once it is known to be the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_kind: Option<CardKind>,
    /// Whether the session's card is still on the reader; none where there is no card. A desk that shows a
    /// result whose card was taken serves the next card at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_place: Option<CardPlace>,
    /// How far the work is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What the touch came to, while it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<TouchReport>,
    /// Why the desk is not ready, while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl SessionBody {
    /// The body for a moment of the session.
    pub fn of(session: Session) -> Self {
        let phase = render::phase_name(&session.phase).to_owned();
        let mut body = Self {
            revision: session.revision,
            phase,
            token: None,
            card_kind: None,
            card_place: session.phase.card_place(),
            progress: None,
            report: None,
            problem: None,
        };
        match session.phase {
            Phase::Preparing { problem } => body.problem = problem.map(|problem| *problem),
            Phase::Consent { question, .. } => {
                body.card_kind = Some(CardKind::MyNumberCard);
                body.token = Some(question.token.to_hex());
            }
            Phase::Working { progress, .. } => {
                body.card_kind = Some(CardKind::MyNumberCard);
                body.progress = Some(progress);
            }
            Phase::Result { report, .. } => body.report = Some(*report),
            Phase::TakeCard { report, .. } => body.report = report.map(|report| *report),
            Phase::Idle | Phase::Recognising { .. } => {}
        }
        body
    }
}

async fn session(
    State(desk): State<Desk>,
    headers: HeaderMap,
    query: Result<Query<SessionQuery>, QueryRejection>,
) -> Result<Json<SessionBody>, Refusal> {
    let Query(query) = query.map_err(|rejection| Refusal::of_status(rejection.status(), &headers))?;
    let session = match query.after {
        Some(after) => {
            let wait = Duration::from_millis(query.wait_ms.min(WAIT_MS_MAX));
            desk.session_after(after, wait).await
        }
        None => desk.session(),
    };
    Ok(Json(SessionBody::of(session)))
}

#[derive(Serialize)]
struct ReadersBody {
    readers: Vec<ReaderEntry>,
}

async fn readers(State(desk): State<Desk>) -> Json<ReadersBody> {
    Json(ReadersBody { readers: desk.readers() })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttachBody {
    name: String,
}

#[derive(Serialize)]
struct AttachedBody {
    name: String,
}

async fn attach_reader(
    State(desk): State<Desk>,
    headers: HeaderMap,
    body: Result<Json<AttachBody>, JsonRejection>,
) -> Result<Json<AttachedBody>, Refusal> {
    let Json(body) = body.map_err(|rejection| Refusal::of_status(rejection.status(), &headers))?;
    let name = desk.attach_pcsc(&body.name).await.map_err(|problem| Refusal::from(problem, &headers))?;
    Ok(Json(AttachedBody { name }))
}

#[derive(Serialize)]
struct StateEvent {
    revision: u64,
    epoch: u64,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressEvent>,
}

#[derive(Serialize)]
struct ProgressEvent {
    step: Bilingual,
    done: u32,
    next: u32,
    of: u32,
}

impl StateEvent {
    fn of(session: &Session) -> Self {
        let progress = match &session.phase {
            Phase::Working { progress: Progress { step, done, next, of }, .. } => {
                Some(ProgressEvent { step: step.text(), done: *done, next: *next, of: *of })
            }
            _ => None,
        };
        let phase = render::phase_name(&session.phase);
        Self { revision: session.revision, epoch: session.epoch.0, phase, progress }
    }
}

async fn events(State(desk): State<Desk>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let states = stream::unfold((desk, None), async |(desk, last): (Desk, Option<u64>)| {
        let session = desk.next_session(last).await?;
        let revision = session.revision;
        let event = Event::default().event("state").json_data(StateEvent::of(&session)).unwrap_or_default();
        Some((Ok(event), (desk, Some(revision))))
    });
    Sse::new(states).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
