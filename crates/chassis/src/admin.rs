//! Liveness, readiness, metrics and a small status page, on a port of their own.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | 200 as long as the process runs its event loop |
//! | `/readyz` | 200 if every named check is good, else 503; with `?verbose` the checks as JSON |
//! | `/metrics` | counters and histograms in the Prometheus text format |
//! | `/` | the same for people |

use crate::process_cpu;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Upper bounds of histogram buckets in seconds, from a look-up to a hopeless wait.
const BUCKETS_SECONDS: [f64; 14] =
    [0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What a readiness check says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Check {
    /// Good.
    Ok,
    /// Not yet or no longer, with the reason for the operator (no personal data).
    NotReady(String),
}

/// The named checks of a room; clones share them.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Check>>>);

impl Readiness {
    /// Checks of which each of `names` is "starting" until [`Readiness::set`] says otherwise. Naming
    /// them beforehand keeps a room from looking ready before it knows what it waits for.
    pub fn expecting(names: &[&'static str]) -> Self {
        let starting = |name: &&'static str| (*name, Check::NotReady("starting".into()));
        Self(Arc::new(Mutex::new(names.iter().map(starting).collect())))
    }

    /// Sets the check `name`, adding it if it is new.
    pub fn set(&self, name: &'static str, check: Check) {
        self.lock().insert(name, check);
    }

    /// Whether there are checks and all are good.
    pub fn is_ready(&self) -> bool {
        let checks = self.lock();
        !checks.is_empty() && checks.values().all(|check| *check == Check::Ok)
    }

    /// Every check in the order of names.
    pub fn checks(&self) -> Vec<(&'static str, Check)> {
        let checks = self.lock();
        checks.iter().map(|(name, check)| (*name, check.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts collecting metrics for the whole process; repeating it changes nothing. [`router`] does it
/// too, but what was counted before the first call is lost, so call it first.
pub fn install_metrics() {
    recorder();
}

fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let start = || {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_SECONDS).ok()?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Somebody else's recorder (a test harness): then the page says so.
        metrics::set_global_recorder(recorder).ok()?;
        let upkeep = handle.clone();
        // Histograms collect samples until somebody looks: without a scraper, somebody must.
        let tidy_up = move || {
            loop {
                std::thread::sleep(Duration::from_secs(5));
                upkeep.run_upkeep();
            }
        };
        drop(std::thread::Builder::new().name("metrics-upkeep".into()).spawn(tidy_up));
        Some(handle)
    };
    RECORDER.get_or_init(start).as_ref()
}

#[derive(Clone, Debug)]
struct Desk {
    room: &'static str,
    readiness: Readiness,
}

/// The admin pages of `room`. Serve them on a loopback or management address only: they ask nobody
/// who they are.
pub fn router(room: &'static str, readiness: Readiness) -> Router {
    install_metrics();
    Router::new()
        .route("/", get(status_page))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(Desk { room, readiness })
}

async fn readyz(State(desk): State<Desk>, RawQuery(query): RawQuery) -> Response {
    let ready = desk.readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose =
        query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")));
    if !verbose {
        return (status, if ready { "ready\n" } else { "not ready\n" }).into_response();
    }
    let checks: Vec<serde_json::Value> = desk
        .readiness
        .checks()
        .into_iter()
        .map(|(name, check)| match check {
            Check::Ok => serde_json::json!({ "name": name, "ready": true }),
            Check::NotReady(reason) => {
                serde_json::json!({ "name": name, "ready": false, "reason": reason })
            }
        })
        .collect();
    let body = serde_json::json!({ "room": desk.room, "ready": ready, "checks": checks });
    (status, axum::Json(body)).into_response()
}

async fn metrics_page() -> Response {
    let Some(recorder) = recorder() else {
        let problem = "another metrics recorder is installed in this process\n";
        return (StatusCode::SERVICE_UNAVAILABLE, problem).into_response();
    };
    let mut text = recorder.render();
    process_metrics(&mut text);
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// CPU and memory under the names that every Prometheus client library uses.
fn process_metrics(text: &mut String) {
    let me = std::process::id();
    if let Ok(nanoseconds) = process_cpu::process_total_nanoseconds(me) {
        let seconds = Duration::from_nanos(nanoseconds).as_secs_f64();
        text.push_str(&format!(
            "# HELP process_cpu_seconds_total User and system CPU time spent.\n\
             # TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {seconds}\n"
        ));
    }
    if let Ok(bytes) = process_cpu::resident_bytes(me) {
        text.push_str(&format!(
            "# HELP process_resident_memory_bytes Resident memory size.\n\
             # TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {bytes}\n"
        ));
    }
}

async fn status_page(State(desk): State<Desk>) -> Html<String> {
    let ready = desk.readiness.is_ready();
    let mut rows = String::new();
    for (name, check) in desk.readiness.checks() {
        let (mark, word, reason) = match check {
            Check::Ok => ("●", "良好 ready", String::new()),
            Check::NotReady(reason) => ("▲", "未準備 not ready", reason),
        };
        rows.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{mark} {word}</td><td>{}</td></tr>",
            escape(name),
            escape(&reason)
        ));
    }
    let memory_mib = process_cpu::resident_bytes(std::process::id()).unwrap_or_default() >> 20;
    let (colour, verdict) =
        if ready { ("#197a4b", "● 稼働中 ready") } else { ("#b4281e", "▲ 準備中 not ready") };
    let room = escape(desk.room);
    Html(format!(
        "<!doctype html><html lang=\"ja\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"5\">\
         <title>{room}</title><style>body{{font:1rem/1.6 sans-serif;margin:1.5rem;color:#1a1a1c}}\
         h2{{color:{colour}}}th,td{{text-align:left;padding:.25rem 1rem .25rem 0}}</style></head>\
         <body><h1>Kazasu: {room}</h1><h2>{verdict}</h2><table>{rows}</table>\
         <p>メモリー memory: {memory_mib} MiB</p>\
         <p><a href=\"/readyz?verbose\">readyz</a> · <a href=\"/metrics\">metrics</a></p></body></html>"
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ready_before_everything_named_is() {
        let readiness = Readiness::expecting(&["crl", "store"]);
        assert!(!readiness.is_ready());
        readiness.set("store", Check::Ok);
        assert!(!readiness.is_ready());
        readiness.set("crl", Check::Ok);
        assert!(readiness.is_ready());
        readiness.set("crl", Check::NotReady("older than a day".into()));
        assert!(!readiness.is_ready());
        assert!(!Readiness::expecting(&[]).is_ready());
    }

    #[tokio::test]
    async fn a_reason_cannot_break_the_page() {
        let readiness = Readiness::expecting(&[]);
        readiness.set("crl", Check::NotReady("<script>\"&".into()));
        let desk = Desk { room: "eligibility", readiness };
        let Html(page) = status_page(State(desk)).await;
        assert!(page.contains("&lt;script&gt;&quot;&amp;"));
        assert!(!page.contains("<script>"));
    }
}
