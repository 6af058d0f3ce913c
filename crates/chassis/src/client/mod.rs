//! Kept-open mutual TLS connections whose errors name the culprit.
//!
//! HTTP/1.1, one request at a time per connection; requests made at the same time get a connection
//! each, and finished connections are kept for the next ones. A kept connection may have been closed
//! by the server in the meantime: then the request goes out once more on a fresh one, but only if that
//! is safe (see [`Repeat`]).
//!
//! In TLS 1.3 the client is done before the server has looked at the client certificate, so a refusal
//! arrives as an alert when the client already waits for the reply. It is caught there and becomes
//! [`ClientError::ClientCertificateExpired`] and its siblings.

mod error;
mod traffic;

pub use error::ClientError;

use bytes::Bytes;
use error::{Complaint, in_words};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{ACCEPT, CONTENT_TYPE, DATE, HOST, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use traffic::{Counted, Heard, Traffic};

/// Idle connections kept for later requests.
const KEPT_MAX: usize = 32;

/// When a request that got no reply goes out once more on a fresh connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// Only if not a byte of it was sent.
    Unsent,
    /// Also if it was sent on a kept connection that broke before a byte of the reply came: for
    /// requests whose byte-identical repeat gets the same answer (RFC 9110 §9.2.2).
    Unanswered,
}

/// Limits of a [`Client`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// TCP connect and TLS handshake together.
    pub connect_timeout: Duration,
    /// From sending the request to the last byte of the reply.
    pub request_timeout: Duration,
    /// Longest reply body accepted, in bytes.
    pub reply_bytes_max: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            reply_bytes_max: 16 << 20,
        }
    }
}

/// A reply, whatever its status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// Content type; empty if none was sent.
    pub content_type: String,
    /// The `Date` header, RFC 9110 §6.6.1: the server's clock, and nobody's signature; empty if none was sent.
    pub date: String,
    /// The whole body.
    pub body: Bytes,
    /// Bytes written to the socket for this request: TLS records included, handshake not.
    pub bytes_out: u64,
    /// Bytes read from the socket for this reply: TLS records included, handshake not.
    pub bytes_in: u64,
}

impl Reply {
    /// Whether the status is 2xx.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body as JSON of type `T`, whatever the status.
    ///
    /// # Errors
    /// [`ClientError::Decode`].
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(ClientError::Decode)
    }
}

/// A client of one server. Share it in an `Arc`; it connects on first use.
#[derive(Debug)]
pub struct Client {
    /// host:port, for connecting, for the `Host` header and for error texts.
    address: String,
    host: String,
    port: u16,
    transport: Transport,
    limits: ClientLimits,
    kept: Mutex<Vec<Kept>>,
    round_trips: AtomicU64,
    connections_opened: AtomicU64,
}

enum Transport {
    Plain,
    Tls(TlsConnector, ServerName<'static>),
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Tls(..) => "Tls",
        })
    }
}

/// An open connection and the task that drives it.
#[derive(Debug)]
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    traffic: Arc<Traffic>,
    task: AbortHandle,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A connection whose request timed out must not linger half-used.
        self.task.abort();
    }
}

/// A failed exchange and how far it had come.
struct Failure {
    error: ClientError,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Not a byte of the request was sent.
    Unsent,
    /// Sent, and the connection broke before a byte of the reply.
    Broken,
    /// Anything else: repeating would not help or might do harm.
    Begun,
}

/// What to ask.
struct Question<'a> {
    method: Method,
    path: &'a str,
    content_type: Option<&'static str>,
    body: Bytes,
    /// Who takes the body of a good reply piece by piece, and how many bytes of it at most.
    pieces: Option<(mpsc::Sender<Bytes>, usize)>,
}

impl Client {
    /// A client of the server at `base_url` (`https://host:port`, no path).
    ///
    /// # Errors
    /// [`ClientError::BadBaseUrl`].
    pub fn new(base_url: &str, tls: Arc<ClientConfig>) -> Result<Self, ClientError> {
        let (host, port, address) = split_base_url(base_url, "https", 443)?;
        let server = ServerName::try_from(host.clone()).map_err(|_| ClientError::BadBaseUrl {
            url: base_url.to_owned(),
            problem: "the host is neither a DNS name nor an IP address",
        })?;
        let transport = Transport::Tls(TlsConnector::from(tls), server);
        Ok(Self::with_transport(host, port, address, transport))
    }

    /// A client without TLS (`http://host:port`): loopback admin pages only.
    ///
    /// # Errors
    /// [`ClientError::BadBaseUrl`].
    pub fn plain(base_url: &str) -> Result<Self, ClientError> {
        let (host, port, address) = split_base_url(base_url, "http", 80)?;
        Ok(Self::with_transport(host, port, address, Transport::Plain))
    }

    fn with_transport(host: String, port: u16, address: String, transport: Transport) -> Self {
        Self {
            address,
            host,
            port,
            transport,
            limits: ClientLimits::default(),
            kept: Mutex::default(),
            round_trips: AtomicU64::new(0),
            connections_opened: AtomicU64::new(0),
        }
    }

    /// The same client with other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: ClientLimits) -> Self {
        self.limits = limits;
        self
    }

    /// host:port of the server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Posts `message` as JSON; repeated only if not a byte of it was sent.
    ///
    /// # Errors
    /// [`ClientError`] naming the culprit.
    pub async fn post_json<T: Serialize + ?Sized>(
        &self,
        path: &str,
        message: &T,
    ) -> Result<Reply, ClientError> {
        let body = serde_json::to_vec(message).map_err(ClientError::Encode)?;
        self.post(path, "application/json", body.into(), Repeat::Unsent).await
    }

    /// Posts a JSON message whose byte-identical repeat gets the same answer; repeated once if a kept
    /// connection broke before a byte of the reply came.
    ///
    /// # Errors
    /// [`ClientError`] naming the culprit.
    pub async fn post_json_repeatable<T: Serialize + ?Sized>(
        &self,
        path: &str,
        message: &T,
    ) -> Result<Reply, ClientError> {
        let body = serde_json::to_vec(message).map_err(ClientError::Encode)?;
        self.post(path, "application/json", body.into(), Repeat::Unanswered).await
    }

    /// Posts `body` as it is.
    ///
    /// # Errors
    /// [`ClientError`] naming the culprit.
    pub async fn post(
        &self,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        repeat: Repeat,
    ) -> Result<Reply, ClientError> {
        let content_type = Some(content_type);
        let question = Question { method: Method::POST, path, content_type, body, pieces: None };
        self.ask(question, repeat).await
    }

    /// Gets `path`; repeated once if a kept connection broke before a byte of the reply came.
    ///
    /// # Errors
    /// [`ClientError`] naming the culprit.
    pub async fn get(&self, path: &str) -> Result<Reply, ClientError> {
        let body = Bytes::new();
        let question = Question { method: Method::GET, path, content_type: None, body, pieces: None };
        self.ask(question, Repeat::Unanswered).await
    }

    /// Gets `path` and hands the body of a 200 on as it comes, piece by piece, so that it never lies whole in
    /// memory; the reply's own body is empty then. Other bodies come as from [`Self::get`]. When nobody takes
    /// pieces any more the rest is not read. At most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`ClientError`] naming the culprit; pieces may have been handed on before.
    pub async fn get_in_pieces(
        &self,
        path: &str,
        bytes_max: usize,
        pieces: mpsc::Sender<Bytes>,
    ) -> Result<Reply, ClientError> {
        let pieces = Some((pieces, bytes_max));
        let question = Question { method: Method::GET, path, content_type: None, body: Bytes::new(), pieces };
        self.ask(question, Repeat::Unanswered).await
    }

    /// Requests put on the wire so far, repeats included: each is one network round trip.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    /// Connections opened so far.
    pub fn connections_opened(&self) -> u64 {
        self.connections_opened.load(Ordering::Relaxed)
    }

    /// Opens a connection and keeps it, so that the next request pays no handshake. Does nothing if
    /// one is open already. A refused client certificate shows only with the first request.
    ///
    /// # Errors
    /// [`ClientError`] naming the culprit.
    pub async fn warm_up(&self) -> Result<(), ClientError> {
        let open = match self.take_kept() {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        self.keep(open);
        Ok(())
    }

    async fn ask(&self, question: Question<'_>, repeat: Repeat) -> Result<Reply, ClientError> {
        if let Some(kept) = self.take_kept() {
            match self.exchange(kept, &question).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => {
                    let safe = match failure.progress {
                        Progress::Unsent => true,
                        Progress::Broken => repeat == Repeat::Unanswered,
                        Progress::Begun => false,
                    };
                    if !safe {
                        return Err(failure.error);
                    }
                }
            }
        }
        let fresh = self.connect().await?;
        self.exchange(fresh, &question).await.map_err(|failure| failure.error)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most recently used connection that is still open.
    fn take_kept(&self) -> Option<Kept> {
        let mut kept = self.kept();
        while let Some(candidate) = kept.pop() {
            if !candidate.sender.is_closed() {
                return Some(candidate);
            }
        }
        None
    }

    fn keep(&self, connection: Kept) {
        let mut kept = self.kept();
        if kept.len() < KEPT_MAX && !connection.sender.is_closed() {
            kept.push(connection);
        }
    }

    async fn connect(&self) -> Result<Kept, ClientError> {
        let limit = self.limits.connect_timeout;
        match timeout(limit, self.open()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timed_out("connect", limit)),
        }
    }

    async fn open(&self) -> Result<Kept, ClientError> {
        let unreachable = |source| ClientError::Unreachable { address: self.address.clone(), source };
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        // A small request leaves at once; a failure only costs latency.
        drop(tcp.set_nodelay(true));
        let traffic = Arc::new(Traffic::default());
        let socket = Counted { io: tcp, traffic: Arc::clone(&traffic) };
        self.connections_opened.fetch_add(1, Ordering::Relaxed);
        match &self.transport {
            Transport::Plain => self.speak(socket, traffic).await,
            Transport::Tls(connector, server) => {
                let stream =
                    connector.connect(server.clone(), socket).await.map_err(
                        |error| match Complaint::in_error(&error) {
                            Some(complaint) => complaint.into_error(&self.address),
                            None => self.protocol(format!("closed during the handshake: {error}")),
                        },
                    )?;
                self.speak(stream, traffic).await
            }
        }
    }

    async fn speak<IO>(&self, io: IO, traffic: Arc<Traffic>) -> Result<Kept, ClientError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let heard = Heard { io, traffic: Arc::clone(&traffic) };
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(heard))
            .await
            .map_err(|error| self.protocol(in_words(&error)))?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "client connection ended");
            }
        })
        .abort_handle();
        Ok(Kept { sender, traffic, task })
    }

    async fn exchange(&self, mut open: Kept, question: &Question<'_>) -> Result<Reply, Failure> {
        let limit = self.limits.request_timeout;
        let deadline = Instant::now() + limit;
        let request = self.request(question).map_err(begun)?;
        let traffic = Arc::clone(&open.traffic);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let before = (read(&traffic.out), read(&traffic.into), read(&traffic.answered));
        let broke = |error: &hyper::Error| {
            let error = match traffic.complaint.get() {
                Some(complaint) => complaint.clone().into_error(&self.address),
                None => self.protocol(format!("the connection broke: {}", in_words(error))),
            };
            let progress =
                if read(&traffic.answered) == before.2 { Progress::Broken } else { Progress::Begun };
            Failure { error, progress }
        };
        let unsent = |failure: Failure| Failure { progress: Progress::Unsent, ..failure };
        let answer = async {
            open.sender.ready().await.map_err(|error| unsent(broke(&error)))?;
            let answered = open.sender.try_send_request(request).await;
            let response = answered.map_err(|failed| {
                let failure = broke(failed.error());
                if failed.message().is_some() {
                    return unsent(failure);
                }
                self.round_trips.fetch_add(1, Ordering::Relaxed);
                failure
            })?;
            self.round_trips.fetch_add(1, Ordering::Relaxed);
            self.collect(response, question).await.map_err(begun)
        };
        let mut reply = match timeout_at(deadline, answer).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                self.round_trips.fetch_add(1, Ordering::Relaxed);
                return Err(begun(self.timed_out("answer", limit)));
            }
        };
        reply.bytes_out = read(&traffic.out).saturating_sub(before.0);
        reply.bytes_in = read(&traffic.into).saturating_sub(before.1);
        self.keep(open);
        Ok(reply)
    }

    fn request(&self, question: &Question<'_>) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::new(Full::new(question.body.clone()));
        *request.method_mut() = question.method.clone();
        *request.uri_mut() = question
            .path
            .parse::<Uri>()
            .ok()
            .filter(|uri| uri.path().starts_with('/') && uri.host().is_none())
            .ok_or_else(|| self.protocol("the path asked for is not a path".into()))?;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&self.address)
            .map_err(|_| self.protocol("the host name is not a header value".into()))?;
        headers.insert(HOST, host);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(content_type) = question.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Ok(request)
    }

    async fn collect(
        &self,
        response: Response<Incoming>,
        question: &Question<'_>,
    ) -> Result<Reply, ClientError> {
        let status = response.status().as_u16();
        let header = |name| {
            let value: Option<&HeaderValue> = response.headers().get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (content_type, date) = (header(CONTENT_TYPE), header(DATE));
        if let Some((pieces, limit_bytes)) = question.pieces.as_ref().filter(|_| status == 200) {
            self.hand_on(response.into_body(), pieces, *limit_bytes).await?;
            return Ok(Reply { status, content_type, date, body: Bytes::new(), bytes_out: 0, bytes_in: 0 });
        }
        let limit_bytes = self.limits.reply_bytes_max;
        let body = Limited::new(response.into_body(), limit_bytes).collect().await;
        let body = body.map_err(|error| self.broke_off(error.as_ref(), limit_bytes))?.to_bytes();
        Ok(Reply { status, content_type, date, body, bytes_out: 0, bytes_in: 0 })
    }

    async fn hand_on(
        &self,
        body: Incoming,
        pieces: &mpsc::Sender<Bytes>,
        limit_bytes: usize,
    ) -> Result<(), ClientError> {
        let mut body = Limited::new(body, limit_bytes);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broke_off(error.as_ref(), limit_bytes))?;
            if let Ok(piece) = frame.into_data()
                && pieces.send(piece).await.is_err()
            {
                return Err(self.protocol("the reply was refused while it came".into()));
            }
        }
        Ok(())
    }

    fn broke_off(&self, error: &(dyn std::error::Error + 'static), limit_bytes: usize) -> ClientError {
        if error.is::<LengthLimitError>() {
            ClientError::ReplyTooLong { address: self.address.clone(), limit_bytes }
        } else {
            self.protocol(format!("the reply broke off: {}", in_words(error)))
        }
    }

    fn timed_out(&self, waiting_for: &'static str, limit: Duration) -> ClientError {
        ClientError::Timeout {
            address: self.address.clone(),
            waiting_for,
            limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn protocol(&self, problem: String) -> ClientError {
        ClientError::Protocol { address: self.address.clone(), problem }
    }
}

const fn begun(error: ClientError) -> Failure {
    Failure { error, progress: Progress::Begun }
}

/// Host (without brackets), port and host:port of a base URL.
fn split_base_url(url: &str, scheme: &str, default_port: u16) -> Result<(String, u16, String), ClientError> {
    let bad = |problem| ClientError::BadBaseUrl { url: url.to_owned(), problem };
    let parsed: Uri = url.parse().map_err(|_| bad("it is not a URL"))?;
    if parsed.scheme_str() != Some(scheme) {
        return Err(bad(match scheme {
            "https" => "it must start with https://",
            _ => "it must start with http://",
        }));
    }
    if !matches!(parsed.path(), "" | "/") || parsed.query().is_some() {
        return Err(bad("it must end after the port"));
    }
    let authority = parsed.authority().ok_or_else(|| bad("it has no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("it must not carry a user name"));
    }
    let shown = authority.host();
    let host = shown.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(bad("it has no host"));
    }
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if authority.as_str() == shown => default_port,
        None => return Err(bad("its port is not a number up to 65535")),
    };
    Ok((host.to_owned(), port, format!("{shown}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_split_or_refused_with_a_reason() {
        let split = |url| split_base_url(url, "https", 443);
        assert_eq!(
            split("https://localhost:7001").unwrap(),
            ("localhost".into(), 7001, "localhost:7001".into())
        );
        assert_eq!(split("https://[::1]:7001/").unwrap(), ("::1".into(), 7001, "[::1]:7001".into()));
        assert_eq!(split("https://a.example").unwrap().1, 443);
        for bad in [
            "http://localhost:1",
            "localhost:1",
            "https://localhost:1/x",
            "https://localhost:1/?x",
            "https://u@localhost:1",
            "https://localhost:99999",
            "https://",
            "",
        ] {
            assert!(matches!(split(bad), Err(ClientError::BadBaseUrl { .. })), "{bad}");
        }
    }
}
