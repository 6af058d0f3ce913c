//! The upload endpoint over a real socket. The peer's certificate is put in as the TLS listener would.

use crate::feed::{SOCIETY, Town, file, line, today, with_trailer};
use crate::fixture::NOW;
use chassis::listener::{ListenerLimits, PeerCertificate, serve_plain};
use chassis::shutdown::{ShutdownSignal, ShutdownTrigger};
use eligibility::store::sqlite::SqliteStore;
use eligibility::upload::{FEED_PATH, Sender, Uploads, router};
use protocol::ids::InsurerNumber;
use protocol::time::FixedClock;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const BYTES_MAX: u64 = 100_000;
const KEY: [u8; 32] = [7; 32];

#[derive(Clone, Copy, PartialEq)]
enum Line {
    StaysUp,
    IsCut,
}

struct Desk {
    town: Town,
    address: std::net::SocketAddr,
    _shutdown: ShutdownTrigger,
}

impl Desk {
    /// A platform with one insurer, and somebody with this key in front of it.
    async fn with_peer(spki_sha256: [u8; 32]) -> Self {
        let town = Town::new();
        let store = SqliteStore::open(&town.folder.0.join("store.sqlite")).unwrap();
        let sender = Sender {
            insurer: InsurerNumber::parse(SOCIETY).unwrap(),
            name: "見本健康保険組合".into(),
        };
        let senders = HashMap::from([(KEY, sender)]);
        let spool = town.folder.0.join("spool");
        std::fs::create_dir(&spool).unwrap();
        let clock = Arc::new(FixedClock::at(NOW));
        let uploads = Uploads::new(Arc::new(store), clock, senders, &spool, BYTES_MAX);
        let peer = PeerCertificate { certificate_der: Arc::from([]), spki_sha256, not_after: NOW.plus(60) };
        let router = router(Arc::new(uploads)).layer(axum::Extension(peer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = ShutdownSignal::new();
        tokio::spawn(serve_plain(listener, router, shutdown, ListenerLimits::default()));
        Self { town, address, _shutdown: trigger }
    }

    /// Sends octets as they are and reads to the end.
    async fn raw(&self, request: &[u8]) -> String {
        self.sent(request, Line::StaysUp).await
    }

    async fn sent(&self, request: &[u8], line: Line) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A refusal may come, and the line be closed, before all is sent.
        drop(stream.write_all(request).await);
        if line == Line::IsCut {
            stream.shutdown().await.unwrap();
        }
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn post(&self, query: &str, kind: &str, body: &str) -> (u16, Value) {
        let head = format!(
            "POST {FEED_PATH}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = self.raw(&[head.as_bytes(), body.as_bytes()].concat()).await;
        let status = answer[9..12].parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let start = body.find('{').unwrap();
        let end = body.rfind('}').unwrap();
        (status, serde_json::from_str(&body[start..=end]).unwrap())
    }

    fn nothing_left(&self) {
        assert_eq!(std::fs::read_dir(self.town.folder.0.join("spool")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_file_is_tried_and_loaded_for_the_sender_alone() {
    let desk = Desk::with_peer(KEY).await;
    let text = file(&[line(1), line(2)]) + "990010,,5,00,人,ヒト,19850401,2,1,20240401,,030,,,\n";
    let (status, tried) = desk.post("?dry_run=1", "text/csv; charset=utf-8", &text).await;
    assert_eq!((status, &tried["outcome"]), (200, &Value::from("rehearsed")), "{tried}");
    assert!(desk.town.look(1, today()).is_none());
    let (status, loaded) = desk.post("", "text/csv", &text).await;
    assert_eq!(status, 200, "{loaded}");
    assert_eq!((&loaded["applied"], &loaded["counts"]["rejected"]), (&Value::from(2), &Value::from(1)));
    let rejects = loaded["rejects_csv"].as_str().unwrap();
    assert!(rejects.contains("4,保険者番号,\"990010\",other_insurer,"), "{rejects}");
    assert_eq!(loaded["rejects_complete"], true);
    let holdings = desk.town.look(1, today()).unwrap();
    assert_eq!(holdings.rows[0].coverage.insurer_name, "見本健康保険組合");
    let (status, full) = desk.post("?mode=full", "text/csv", &with_trailer(&file(&[line(1)]))).await;
    assert_eq!((status, &full["missing"]["missing_members"]), (200, &Value::from(1)), "{full}");
    desk.nothing_left();
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let desk = Desk::with_peer(KEY).await;
    let good = file(&[line(1)]);
    for (query, kind, body, status, code) in [
        ("", "application/json", "{}", 415, "unsupported_media_type"),
        ("", "text/csv", "PK\u{3}\u{4}zip", 422, "feed_refused"),
        ("", "text/csv", "<?xml version='1.0'?>", 422, "feed_refused"),
        ("?mode=half", "text/csv", &good, 400, "malformed_request"),
        ("?unknown=1", "text/csv", &good, 400, "malformed_request"),
        ("?end_missing=2026-11-21", "text/csv", &good, 400, "malformed_request"),
        ("?mode=full&end_missing=2026-02-30", "text/csv", &good, 400, "malformed_request"),
        ("?mode=full", "text/csv", &good, 422, "feed_refused"),
        ("", "text/csv", &"x".repeat(usize::try_from(BYTES_MAX).unwrap() + 1), 413, "body_too_large"),
    ] {
        let (found, problem) = desk.post(query, kind, body).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{query} {kind} {problem}");
        desk.nothing_left();
    }
    assert!(desk.town.look(1, today()).is_none());
    assert!(
        desk.raw(b"GET /insurer/v1/feed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .contains(" 405 ")
    );
    // Cut off before its announced end: no answer is owed, and nothing is loaded.
    let head = format!(
        "POST {FEED_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        good.len() + 10
    );
    let answer = desk.sent(&[head.as_bytes(), good.as_bytes()].concat(), Line::IsCut).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert!(desk.town.look(1, today()).is_none());
    desk.nothing_left();
    // After all that it still works.
    assert_eq!(desk.post("", "text/csv", &good).await.0, 200);
}

#[tokio::test]
async fn a_stranger_is_nobody() {
    let desk = Desk::with_peer([8; 32]).await;
    let (status, problem) = desk.post("", "text/csv", &file(&[line(1)])).await;
    assert_eq!((status, problem["code"].as_str()), (403, Some("terminal_unknown")), "{problem}");
    assert!(desk.town.look(1, today()).is_none());
}
