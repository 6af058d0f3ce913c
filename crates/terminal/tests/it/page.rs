//! The page and the API as a browser and a script meet them.

use crate::stub::HANAKO;
use crate::town::{Estate, until};
use card_io::CardServer;
use chassis::entropy::SystemEntropy;
use chassis::shutdown::{ShutdownSignal, ShutdownTrigger};
use protocol::problem::{Problem, ProblemCode};
use std::net::SocketAddr;
use terminal::Desk;
use terminal::check_in::Phase;
use terminal::http::{BODY_BYTES_MAX, SessionBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Open {
    kiosk: SocketAddr,
    admin: SocketAddr,
    virtual_reader: SocketAddr,
    desk: Desk,
    estate: Estate,
    stub: crate::stub::Stub,
    trigger: ShutdownTrigger,
    serving: tokio::task::JoinHandle<()>,
}

impl Open {
    async fn new() -> Self {
        let estate = Estate::new();
        let stub = estate.stub().await;
        let (trigger, signal) = ShutdownSignal::new();
        let running = terminal::serve::start(estate.config(&stub), signal).await.unwrap();
        let (kiosk, admin, desk) = (running.kiosk, running.admin, running.desk.clone());
        let virtual_reader = running.virtual_reader.unwrap();
        let serving = tokio::spawn(running.run());
        Self { kiosk, admin, virtual_reader, desk, estate, stub, trigger, serving }
    }

    async fn close(mut self) {
        self.trigger.pull();
        self.serving.await.unwrap();
        self.stub.stop().await;
    }

    async fn get(&self, path: &str) -> Answered {
        self.send("GET", path, &[], "").await
    }

    async fn post(&self, path: &str, kind: &str, body: &str) -> Answered {
        self.send("POST", path, &[("Content-Type", kind)], body).await
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
        ask(self.kiosk, method, path, headers, body).await
    }

    async fn session(&self) -> SessionBody {
        serde_json::from_str(&self.get("/api/session").await.body).unwrap()
    }

    async fn until_consent(&self) -> String {
        until(&self.desk, "consent", |phase| match phase {
            Phase::Consent { question, .. } => Some(question.token.to_hex()),
            _ => None,
        })
        .await
    }

    async fn until_result(&self) {
        until(&self.desk, "result", |phase| matches!(phase, Phase::Result { .. }).then_some(())).await;
    }

    fn insert(&self) -> card_io::InsertedCard {
        CardServer::new(Box::new(self.estate.card.clone()), Box::new(SystemEntropy))
            .reader_at(self.virtual_reader.to_string())
            .insert()
            .unwrap()
    }
}

struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn problem(&self) -> Problem {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        serde_json::from_str(&self.body).unwrap()
    }
}

/// One request over its own connection, with exactly these headers (`Host` is ours unless given).
async fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: {to}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses a large body may close before it has read it all.
    drop(stream.write_all(body.as_bytes()).await);
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head.contains("transfer-encoding: chunked");
    Answered { status, head: head.to_owned(), body: if chunked { unchunked(body) } else { body.to_owned() } }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.push_str(&rest[..length]);
        text = rest[length..].trim_start_matches("\r\n");
        if length == 0 {
            break;
        }
    }
    whole
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_through_the_page_without_javascript() {
    let open = Open::new().await;
    let card = open.insert();
    let token = open.until_consent().await;
    let page = open.get("/kiosk").await;
    assert_eq!(page.status, 200);
    for words in [
        "見本内科が、あなたの健康保険の資格を確認します",
        "マイナンバー (12桁の番号)",
        "暗証番号",
        "やめる",
        &token,
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert_eq!(open.estate.card.signatures(), 0, "nothing is signed while the question stands");
    let pressed = open.post("/kiosk/ok", FORM, &format!("token={token}&lang=en")).await;
    assert_eq!(pressed.status, 303);
    assert!(pressed.head.contains("location: /kiosk?lang=en"), "{}", pressed.head);
    open.until_result().await;
    let page = open.get("/kiosk?lang=en").await;
    for words in ["Valid", "You pay 30 %", HANAKO, "Please take your card", "class=\"result good\""] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    let session = open.session().await;
    assert_eq!(session.phase, "result");
    let report = session.report.unwrap();
    assert_eq!((report.network_round_trips, report.card_signatures), (1, 1));
    assert_eq!(open.estate.card.signatures(), 1);
    // The same button once more leads back to where things stand, and signs nothing.
    let again = open.post("/kiosk/ok", FORM, &format!("token={token}")).await;
    assert_eq!(again.status, 303);
    assert_eq!(open.estate.card.signatures(), 1);
    drop(card.remove());
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_through_the_api_and_a_next_one() {
    let open = Open::new().await;
    for expected in 1..=2 {
        let card = open.insert();
        let token = open.until_consent().await;
        let session = open.session().await;
        assert_eq!((session.phase.as_str(), session.token.as_deref()), ("consent", Some(token.as_str())));
        assert!(session.card_kind.is_some());
        let body = format!("{{\"token\":\"{token}\"}}");
        assert_eq!(open.post("/api/ok", JSON, &body).await.status, 204);
        open.until_result().await;
        let path = format!("/api/session?after={}&wait_ms=0", session.revision);
        let session: SessionBody = serde_json::from_str(&open.get(&path).await.body).unwrap();
        assert!(session.report.unwrap().answer().is_some());
        assert_eq!(open.estate.card.signatures(), expected);
        let stale = open.post("/api/stop", JSON, &body).await;
        assert_eq!(
            (stale.status, stale.problem().code),
            (stale.problem().status, ProblemCode::FormNotAccepted)
        );
        drop(card.remove());
    }
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_stream_tells_phases_and_nothing_personal() {
    let open = Open::new().await;
    let mut stream = TcpStream::connect(open.kiosk).await.unwrap();
    let head = format!("GET /kiosk/events HTTP/1.1\r\nHost: {}\r\n\r\n", open.kiosk);
    stream.write_all(head.as_bytes()).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        let mut chunk = [0; 4096];
        while !text.contains("\"phase\":\"result\"") {
            let count = stream.read(&mut chunk).await.unwrap();
            assert_ne!(count, 0, "the stream ended early: {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
        text
    });
    let card = open.insert();
    let token = open.until_consent().await;
    open.post("/kiosk/ok", FORM, &format!("token={token}")).await;
    let text = reading.await.unwrap();
    assert!(text.contains("content-type: text/event-stream"));
    assert!(text.contains("event: state"));
    for secret in [HANAKO, &token, "7654321", "見本健康保険組合"] {
        assert!(!text.contains(secret), "{secret}");
    }
    drop(card.remove());
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_hosts_and_foreign_sites_are_refused() {
    let open = Open::new().await;
    let card = open.insert();
    let token = open.until_consent().await;
    let here = open.kiosk.to_string();
    let origin = format!("http://{here}");
    let localhost = format!("localhost:{}", open.kiosk.port());
    for host in ["evil.example", "evil.example:80", "127.0.0.1", "", "127.0.0.1:1"] {
        for path in ["/kiosk", "/api/session", "/kiosk/events", "/assets/kiosk.js", "/nothing"] {
            let answered = open.send("GET", path, &[("Host", host)], "").await;
            assert_eq!(answered.problem().code, ProblemCode::FormNotAccepted, "{host} {path}");
        }
    }
    let form = format!("token={token}");
    let json = format!("{{\"token\":\"{token}\"}}");
    for foreign in ["http://evil.example", "null", "https://127.0.0.1", "http://localhost", ""] {
        for (path, kind, body) in [("/kiosk/ok", FORM, &form), ("/api/ok", JSON, &json)] {
            let headers = [("Content-Type", kind), ("Origin", foreign)];
            let answered = open.send("POST", path, &headers, body).await;
            assert_eq!(answered.problem().code, ProblemCode::FormNotAccepted, "{foreign} {path}");
        }
    }
    let headers = [("Content-Type", FORM), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(
        open.send("POST", "/kiosk/ok", &headers, &form).await.problem().code,
        ProblemCode::FormNotAccepted
    );
    let headers = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")];
    assert_eq!(
        open.send("GET", "/api/session", &headers, "").await.problem().code,
        ProblemCode::FormNotAccepted
    );
    // A link from elsewhere may open the page.
    let headers = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
    assert_eq!(open.send("GET", "/kiosk", &headers, "").await.status, 200);
    assert!(matches!(open.desk.session().phase, Phase::Consent { .. }), "none of it pressed anything");
    assert_eq!(open.estate.card.signatures(), 0);
    // And our own page may press.
    assert_eq!(open.send("GET", "/kiosk", &[("Host", &localhost)], "").await.status, 200);
    let headers = [("Content-Type", FORM), ("Origin", origin.as_str()), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(open.send("POST", "/kiosk/stop", &headers, &form).await.status, 303);
    assert!(matches!(open.desk.session().phase, Phase::TakeCard { .. }));
    drop(card.remove());
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_kinds_wrong_sizes_and_wrong_paths_are_problems() {
    let open = Open::new().await;
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    let large_form = format!("token={large}");
    let large_json = format!("{{\"token\":\"{large}\"}}");
    let unknown = format!("token={}&surprise=1", "0".repeat(32));
    for (method, path, kind, body, code) in [
        ("POST", "/kiosk/ok", JSON, "token=00", ProblemCode::UnsupportedMediaType),
        ("POST", "/kiosk/stop", "text/plain", "token=00", ProblemCode::UnsupportedMediaType),
        ("POST", "/api/ok", FORM, "{}", ProblemCode::UnsupportedMediaType),
        ("POST", "/api/stop", "text/plain", "{}", ProblemCode::UnsupportedMediaType),
        ("POST", "/api/readers", "text/plain", "{}", ProblemCode::UnsupportedMediaType),
        ("POST", "/kiosk/ok", FORM, &large_form, ProblemCode::BodyTooLarge),
        ("POST", "/api/ok", JSON, &large_json, ProblemCode::BodyTooLarge),
        ("POST", "/kiosk/ok", FORM, "", ProblemCode::MalformedRequest),
        ("POST", "/kiosk/ok", FORM, &unknown, ProblemCode::MalformedRequest),
        ("POST", "/kiosk/ok", FORM, "token=zz", ProblemCode::FormNotAccepted),
        ("POST", "/api/ok", JSON, "{\"token\":", ProblemCode::MalformedRequest),
        ("POST", "/api/ok", JSON, "{\"token\":\"\"}", ProblemCode::FormNotAccepted),
        ("POST", "/api/ok", JSON, "{\"token\":\"\",\"more\":1}", ProblemCode::MalformedRequest),
        ("GET", "/api/session?after=x", JSON, "", ProblemCode::MalformedRequest),
        ("GET", "/kiosk?lang=xx", JSON, "", ProblemCode::MalformedRequest),
        ("GET", "/nothing", JSON, "", ProblemCode::NotFound),
        ("GET", "/kiosk/ok", JSON, "", ProblemCode::MethodNotAllowed),
        ("DELETE", "/api/readers", JSON, "", ProblemCode::MethodNotAllowed),
    ] {
        let answered = open.send(method, path, &[("Content-Type", kind)], body).await;
        let problem = answered.problem();
        assert_eq!(problem.code, code, "{method} {path} {kind}");
        assert_eq!(answered.status, problem.status, "{method} {path}");
        assert_eq!(problem.title, problem.receptionist.ja);
    }
    let english = open.send("GET", "/nothing", &[("Accept-Language", "en")], "").await.problem();
    assert_eq!(english.title, english.receptionist.en);
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_carries_its_protection_and_the_page_is_small() {
    let open = Open::new().await;
    let mut octets = 0;
    for path in ["/kiosk", "/assets/kiosk.css", "/assets/kiosk.js", "/api/session", "/nothing"] {
        let answered = open.get(path).await;
        octets += answered.head.len() + answered.body.len();
        for header in [
            "content-security-policy: default-src 'self'",
            "x-content-type-options: nosniff",
            "referrer-policy: same-origin",
            "frame-ancestors 'none'",
            "cache-control: ",
        ] {
            assert!(answered.head.contains(header), "{path}: {header}\n{}", answered.head);
        }
    }
    assert!(octets <= 150_000, "{octets}");
    let moved = open.get("/").await;
    assert_eq!(moved.status, 303);
    assert!(moved.head.contains("location: /kiosk"));
    let fragment = open.get("/kiosk?fragment=main&lang=en").await;
    assert!(fragment.body.starts_with("<main") && fragment.body.trim_end().ends_with("</main>"));
    assert!(!open.get("/kiosk").await.body.contains("unsafe-inline"));
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_metrics_and_readers() {
    let open = Open::new().await;
    until(&open.desk, "idle", |phase| matches!(phase, Phase::Idle).then_some(())).await;
    assert_eq!(ask(open.admin, "GET", "/readyz", &[], "").await.status, 200);
    let readers = open.get("/api/readers").await.body;
    assert!(readers.contains("\"kind\":\"virtual\"") && readers.contains("\"state\":\"ready\""), "{readers}");
    let missing = open.post("/api/readers", JSON, "{\"name\":\"no such reader anywhere\"}").await;
    assert_eq!(missing.problem().code, ProblemCode::ReaderMissing);
    let card = open.insert();
    let token = open.until_consent().await;
    open.post("/kiosk/stop", FORM, &format!("token={token}")).await;
    let metrics = ask(open.admin, "GET", "/metrics", &[], "").await.body;
    assert!(metrics.contains("desk_sessions_total{ending=\"declined\"} 1"), "{metrics}");
    assert!(!metrics.contains(HANAKO));
    drop(card.remove());
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_other_machines_is_not_opened() {
    let estate = Estate::new();
    let stub = estate.stub().await;
    let mut config = estate.config(&stub);
    config.listen = "0.0.0.0:0".parse().unwrap();
    let (_trigger, signal) = ShutdownSignal::new();
    let refused = terminal::serve::start(config, signal).await.unwrap_err();
    assert!(refused.to_string().contains("loopback"), "{refused}");
}
