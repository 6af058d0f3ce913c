//! The listener and the client as HTTP sees them.

use axum::Router;
use axum::routing::{get, post};
use chassis::client::{Client, ClientError, ClientLimits, Repeat};
use chassis::listener::{self, ListenerLimits, body_limit};
use chassis::shutdown::{ShutdownSignal, ShutdownTrigger};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A listener on a port of its own.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    trigger: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn tls(router: Router, tls: Arc<rustls::ServerConfig>, limits: ListenerLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, signal) = ShutdownSignal::new();
        let task = tokio::spawn(listener::serve(listener, tls, router, signal, limits));
        Self { address, trigger, task }
    }

    pub(crate) async fn plain(router: Router, limits: ListenerLimits) -> Self {
        Self::plain_on("127.0.0.1:0".parse().unwrap(), router, limits).await
    }

    async fn plain_on(address: SocketAddr, router: Router, limits: ListenerLimits) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, signal) = ShutdownSignal::new();
        let task = tokio::spawn(listener::serve_plain(listener, router, signal, limits));
        Self { address, trigger, task }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    pub(crate) async fn stop(self) {
        self.trigger.pull();
        self.task.await.unwrap();
    }
}

pub(crate) fn echo_router() -> Router {
    Router::new()
        .route("/echo", post(async |body: bytes::Bytes| body).get(async || "echo"))
        .layer(body_limit(64 << 10))
}

/// Limits short enough to strike within a test.
fn short() -> ListenerLimits {
    ListenerLimits {
        header_timeout: Duration::from_millis(150),
        body_timeout: Duration::from_millis(150),
        ..ListenerLimits::default()
    }
}

async fn read_all(tcp: &mut TcpStream) -> String {
    let mut text = Vec::new();
    drop(tcp.read_to_end(&mut text).await);
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_request_head_that_trickles_is_cut_off_and_nobody_waits_for_it() {
    let served = Served::plain(echo_router(), short()).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"GET /echo HTTP/1.1\r\nx-").await.unwrap();
    let (mut reader, mut writer) = slow.into_split();
    let trickle = tokio::spawn(async move {
        // A byte now and then: the limit is on the whole head, not on silence.
        let mut every = tokio::time::interval(Duration::from_millis(20));
        loop {
            every.tick().await;
            if writer.write_all(b"a").await.is_err() {
                return;
            }
        }
    });
    let client = Client::plain(&served.url("http")).unwrap();
    assert_eq!(client.get("/echo").await.unwrap().status, 200);
    let mut answer = Vec::new();
    drop(reader.read_to_end(&mut answer).await);
    assert!(answer.is_empty());
    trickle.await.unwrap();
    served.stop().await;
}

#[tokio::test]
async fn a_long_reply_is_handed_on_in_pieces_up_to_its_limit() {
    let long = bytes::Bytes::from((0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>());
    let body = long.clone();
    let router = Router::new().route("/long", axum::routing::get(async move || body.clone()));
    let served = Served::plain(router, ListenerLimits::default()).await;
    let client = Client::plain(&served.url("http")).unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<bytes::Bytes>(1);
    let taking = tokio::spawn(async move {
        let (mut whole, mut most) = (Vec::new(), 0);
        while let Some(piece) = receiver.recv().await {
            most = most.max(piece.len());
            whole.extend_from_slice(&piece);
        }
        (whole, most)
    });
    let reply = client.get_in_pieces("/long", long.len(), sender).await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    let (whole, most) = taking.await.unwrap();
    assert!(whole == long && most < long.len(), "{most}");

    // One byte too many; nobody takes it; not what was asked for.
    let (sender, mut receiver) = tokio::sync::mpsc::channel(64);
    let error = client.get_in_pieces("/long", long.len() - 1, sender).await;
    assert!(matches!(error, Err(ClientError::ReplyTooLong { .. })), "{error:?}");
    assert!(receiver.recv().await.is_some());
    let (sender, receiver) = tokio::sync::mpsc::channel::<bytes::Bytes>(1);
    drop(receiver);
    let error = client.get_in_pieces("/long", long.len(), sender).await;
    assert!(matches!(error, Err(ClientError::Protocol { .. })), "{error:?}");
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<bytes::Bytes>(1);
    assert_eq!(client.get_in_pieces("/none", 9, sender).await.unwrap().status, 404);
    assert!(receiver.recv().await.is_none());
    served.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_answered_and_cut_off() {
    let served = Served::plain(echo_router(), short()).await;
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
    let answer = read_all(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    served.stop().await;
}

#[tokio::test]
async fn an_oversized_body_is_refused_by_its_announcement_and_by_its_bytes() {
    let served = Served::plain(echo_router(), ListenerLimits::default()).await;
    let mut announcing = TcpStream::connect(served.address).await.unwrap();
    announcing
        .write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n")
        .await
        .unwrap();
    // Not a byte of it needs to come; the connection is not used for anything else.
    let answer = read_all(&mut announcing).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let mut chunked = TcpStream::connect(served.address).await.unwrap();
    let request = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    chunked.write_all(request).await.unwrap();
    let (mut reader, mut writer) = chunked.into_split();
    let flood = tokio::spawn(async move {
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        while writer.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    let mut head = [0_u8; 12];
    reader.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
    let mut rest = Vec::new();
    drop(reader.read_to_end(&mut rest).await);
    drop(reader);
    flood.await.unwrap();
    served.stop().await;
}

#[tokio::test]
async fn an_endless_head_and_nonsense_are_refused() {
    let served = Served::plain(echo_router(), ListenerLimits::default()).await;
    for request in [
        format!("GET /echo HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(100_000)),
        format!("GET /echo HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(500)),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
    ] {
        let mut tcp = TcpStream::connect(served.address).await.unwrap();
        drop(tcp.write_all(request.as_bytes()).await);
        let answer = read_all(&mut tcp).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let client = Client::plain(&served.url("http")).unwrap();
    assert_eq!(client.get("/echo").await.unwrap().status, 200);
    served.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_the_client_opens_another() {
    let limits = ListenerLimits { idle_timeout: Duration::from_millis(500), ..ListenerLimits::default() };
    let served = Served::plain(echo_router(), limits).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = read_all(&mut idle).await;
    assert!(answer.ends_with("\r\n\r\necho"), "{answer}");
    served.stop().await;
}

#[tokio::test]
async fn a_running_request_outlives_the_shutdown_signal_and_the_port_is_free_at_once() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at_door, go) = (Arc::clone(&entered), Arc::clone(&leave));
    let slow = move || {
        let (at_door, go) = (Arc::clone(&at_door), Arc::clone(&go));
        async move {
            at_door.notify_one();
            go.notified().await;
            "done"
        }
    };
    let router = echo_router().route("/slow", get(slow));
    let served = Served::plain(router, ListenerLimits::default()).await;
    let address = served.address;
    let client = Arc::new(Client::plain(&served.url("http")).unwrap());
    // A kept, idle connection: must not delay the shutdown.
    assert_eq!(client.get("/echo").await.unwrap().status, 200);
    let asking = Arc::new(Client::plain(&served.url("http")).unwrap());
    let request = tokio::spawn(async move { asking.get("/slow").await });
    entered.notified().await;
    served.trigger.pull();
    // Wait until the old listener is gone: then the successor can have the port.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let successor = Served::plain_on(address, echo_router(), ListenerLimits::default()).await;
    leave.notify_one();
    let reply = request.await.unwrap().unwrap();
    assert_eq!(reply.body.as_ref(), b"done");
    served.task.await.unwrap();
    // The kept connection died with the old listener; the next request finds the successor.
    assert_eq!(client.get("/echo").await.unwrap().status, 200);
    assert_eq!(client.connections_opened(), 2);
    successor.stop().await;
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_at_the_end_of_the_drain_time() {
    let router = Router::new().route("/never", get(std::future::pending::<()>));
    let limits = ListenerLimits { drain_timeout: Duration::from_millis(50), ..ListenerLimits::default() };
    let served = Served::plain(router, limits).await;
    let mut tcp = TcpStream::connect(served.address).await.unwrap();
    tcp.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    served.stop().await;
    assert_eq!(read_all(&mut tcp).await, "");
}

/// A server that answers the first request of each connection and hangs up during the second.
async fn forgetful() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut scratch = [0_u8; 4096];
                for turn in 0..2 {
                    if matches!(tcp.read(&mut scratch).await, Ok(0) | Err(_)) {
                        return;
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    if turn == 0 {
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        tcp.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    (url, seen)
}

#[tokio::test]
async fn a_sent_request_is_only_repeated_if_repeating_is_harmless() {
    let (url, seen) = forgetful().await;
    let client = Client::plain(&url).unwrap();
    assert_eq!(client.post_json("/", &1).await.unwrap().status, 200);
    // Sent, no answer: it may have been done. Not ours to decide.
    let error = client.post_json("/", &1).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    assert_eq!((client.round_trips(), client.connections_opened()), (2, 1));

    assert_eq!(client.post_json("/", &1).await.unwrap().status, 200);
    assert_eq!(client.post_json_repeatable("/", &1).await.unwrap().status, 200);
    assert_eq!(seen.load(Ordering::SeqCst), 5);
    assert_eq!((client.round_trips(), client.connections_opened()), (5, 3));

    assert_eq!(client.get("/").await.unwrap().status, 200);
    assert_eq!(seen.load(Ordering::SeqCst), 7);
}

#[tokio::test]
async fn requests_at_the_same_time_get_a_connection_each_and_share_them_afterwards() {
    let served = Served::plain(echo_router(), ListenerLimits::default()).await;
    let client = Arc::new(Client::plain(&served.url("http")).unwrap());
    client.warm_up().await.unwrap();
    client.warm_up().await.unwrap();
    assert_eq!((client.round_trips(), client.connections_opened()), (0, 1));
    for _ in 0..2 {
        let tasks: Vec<_> = (0..8_u32)
            .map(|number| {
                let client = Arc::clone(&client);
                tokio::spawn(async move {
                    let reply = client.post_json("/echo", &number).await.unwrap();
                    assert!(reply.is_success());
                    assert_eq!(reply.json::<u32>().unwrap(), number);
                    assert!(reply.json::<String>().is_err());
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
    assert_eq!(client.round_trips(), 16);
    assert!(client.connections_opened() <= 8);
    served.stop().await;
}

#[tokio::test]
async fn a_late_or_endless_reply_and_a_crooked_path_are_errors_of_their_own() {
    let router = echo_router()
        .route("/never", get(std::future::pending::<()>))
        .route("/long", get(async || "x".repeat(2000)));
    let served = Served::plain(router, ListenerLimits::default()).await;
    let limits = ClientLimits { request_timeout: Duration::from_millis(100), ..ClientLimits::default() };
    let hasty = Client::plain(&served.url("http")).unwrap().with_limits(limits);
    let error = hasty.get("/never").await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { waiting_for: "answer", limit_ms: 100, .. }), "{error}");
    let limits = ClientLimits { reply_bytes_max: 1000, ..ClientLimits::default() };
    let client = Client::plain(&served.url("http")).unwrap().with_limits(limits);
    let error = client.get("/long").await.unwrap_err();
    assert!(matches!(error, ClientError::ReplyTooLong { limit_bytes: 1000, .. }), "{error}");
    for path in ["echo", "http://elsewhere/", "/a b", ""] {
        let error = client.get(path).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{path}: {error}");
    }
    // None of it spoils the client.
    let body = bytes::Bytes::from_static(b"raw");
    let reply = client.post("/echo", "application/octet-stream", body, Repeat::Unsent).await.unwrap();
    assert_eq!(reply.body.as_ref(), b"raw");
    served.stop().await;
}
