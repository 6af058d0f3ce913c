//! The accept loop: handshake limits, time limits, and who is at the other end.
//!
//! An own loop and not a ready-made one, for three things: the peer's certificate is read once per
//! connection and handed to every request; a handshake storm is throttled, so that it cannot starve
//! checks that already run; and nobody can hold a connection by sending a request slowly.
//!
//! Time limits cost a request nothing: each connection only notes its phase in an atomic, and one task
//! per listener walks over all connections now and then. A limit therefore strikes between its value
//! and one and a half times its value.

mod pulse;

use crate::shutdown::ShutdownSignal;
use bytes::Bytes;
use der::{Decode, Encode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use protocol::time::UnixSeconds;
use pulse::{Phase, Pulse, Roll, Watched};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Longest request head accepted, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Who is at the other end of a mutual TLS connection: read and hashed once per connection, found in
/// the extensions of every request (`axum::Extension<PeerCertificate>`). Cloning it is cheap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerCertificate {
    /// The client certificate as sent (DER, RFC 5280 §4.1). Its path was validated by the handshake.
    pub certificate_der: Arc<[u8]>,
    /// SHA-256 over its `SubjectPublicKeyInfo` (DER, RFC 5280 §4.1.2.7).
    pub spki_sha256: [u8; 32],
    /// The last second of its validity (RFC 5280 §4.1.2.5). A connection can outlive it, so rooms
    /// compare per request.
    pub not_after: UnixSeconds,
}

impl PeerCertificate {
    /// Reads what a request needs from the certificate `der`; `None` if it is not one.
    pub fn of(der: &[u8]) -> Option<Self> {
        let parsed = x509_cert::Certificate::from_der(der).ok()?;
        let tbs = parsed.tbs_certificate();
        let spki = tbs.subject_public_key_info().to_der().ok()?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
        let not_after = tbs.validity().not_after.to_unix_duration().as_secs();
        Some(Self {
            certificate_der: Arc::from(der),
            spki_sha256: *digest.as_ref().first_chunk()?,
            not_after: UnixSeconds(not_after),
        })
    }
}

/// Limits of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerLimits {
    /// Connections open at the same time; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Handshakes computed at the same time (254 µs of CPU each).
    pub handshakes_max: usize,
    /// Time from accepting a connection to its completed handshake.
    pub handshake_timeout: Duration,
    /// Time for a complete request head once its first byte has come.
    pub header_timeout: Duration,
    /// Time for a complete request body once its head has come.
    pub body_timeout: Duration,
    /// Longest request body that may be announced, in bytes: longer ones get 413 before a byte of them
    /// is read. Rooms set their own, tighter limits with [`body_limit`].
    pub body_bytes_max: u64,
    /// Silence after which a connection without a running request is closed.
    pub idle_timeout: Duration,
    /// Time that running requests get after the shutdown signal.
    pub drain_timeout: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            handshakes_max: 64,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            body_bytes_max: 4 << 20,
            idle_timeout: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(3),
        }
    }
}

/// Serves `router` over TLS until `shutdown`, then lets running requests finish.
///
/// Requests carry [`PeerCertificate`] in their extensions if the configuration asks for client
/// certificates.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: axum::Router,
    shutdown: ShutdownSignal,
    limits: ListenerLimits,
) {
    let handshakes = Arc::new(Semaphore::new(limits.handshakes_max.max(1)));
    let service = TowerToHyperService::new(router);
    accept_loop(listener, shutdown, limits, move |tcp, pulse| {
        let (tls, handshakes, service) = (Arc::clone(&tls), Arc::clone(&handshakes), service.clone());
        async move {
            let handshake = shake_hands(tcp, tls, handshakes);
            let stream = match tokio::time::timeout(limits.handshake_timeout, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    metrics::counter!("tls_handshakes_refused_total").increment(1);
                    tracing::info!(%error, "handshake refused");
                    return;
                }
                Err(_) => {
                    metrics::counter!("tls_handshakes_timed_out_total").increment(1);
                    tracing::debug!("handshake timed out");
                    return;
                }
            };
            metrics::counter!("tls_handshakes_total").increment(1);
            let shown = stream.get_ref().1.peer_certificates();
            let peer = match shown.and_then(<[_]>::first) {
                None => None,
                Some(der) => match PeerCertificate::of(der) {
                    Some(peer) => Some(peer),
                    None => {
                        tracing::warn!("a client certificate passed TLS but is not RFC 5280 DER");
                        return;
                    }
                },
            };
            drive(stream, service, peer, pulse, limits).await;
        }
    })
    .await;
}

/// Serves `router` without TLS until `shutdown`: loopback pages and the admin page only.
pub async fn serve_plain(
    listener: TcpListener,
    router: axum::Router,
    shutdown: ShutdownSignal,
    limits: ListenerLimits,
) {
    let service = TowerToHyperService::new(router);
    accept_loop(listener, shutdown, limits, move |tcp, pulse| {
        drive(tcp, service.clone(), None, pulse, limits)
    })
    .await;
}

/// A layer that refuses request bodies above `bytes_max` with 413, for extractors that read the body.
pub fn body_limit(bytes_max: usize) -> axum::extract::DefaultBodyLimit {
    axum::extract::DefaultBodyLimit::max(bytes_max)
}

/// Accepts until `shutdown` and runs `connect` for each connection in its own task.
async fn accept_loop<C, F>(
    listener: TcpListener,
    shutdown: ShutdownSignal,
    limits: ListenerLimits,
    connect: C,
) where
    C: Fn(TcpStream, Arc<Pulse>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let open = Arc::new(Semaphore::new(limits.connections_max.max(1)));
    let mut tasks = JoinSet::new();
    let mut roll = Roll::default();
    let shortest = limits.header_timeout.min(limits.idle_timeout);
    let mut rounds = tokio::time::interval((shortest / 2).max(Duration::from_millis(10)));
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopping = pin!(shutdown.wait());
    loop {
        tokio::select! {
            () = &mut stopping => break,
            _ = rounds.tick() => {
                roll.walk(Instant::now(), limits);
                while tasks.try_join_next().is_some() {}
            }
            accepted = accept(&listener, &open) => {
                let Some((tcp, permit)) = accepted else { continue };
                let pulse = Arc::new(Pulse::default());
                let connection = connect(tcp, Arc::clone(&pulse));
                let handle = tasks.spawn(async move {
                    connection.await;
                    drop(permit);
                });
                roll.enter(pulse, handle);
            }
        }
    }
    // No new connections from here on: the port is free for a successor.
    drop(listener);
    roll.stop_all();
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = tasks.len(), "connections cut at shutdown");
        tasks.shutdown().await;
    }
}

/// The next connection, once there is room for it; `None` if the kernel could not give one.
async fn accept(listener: &TcpListener, open: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(open).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((tcp, _)) => {
            // Small answers leave at once; a failure only costs latency.
            drop(tcp.set_nodelay(true));
            Some((tcp, permit))
        }
        Err(error) => {
            // Out of file descriptors or memory: going on at once would spin.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// Reads the ClientHello for free, then waits for a turn to compute: a peer that sends nothing holds
/// a connection but never a turn.
async fn shake_hands(
    tcp: TcpStream,
    tls: Arc<rustls::ServerConfig>,
    turns: Arc<Semaphore>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
    let turn = turns.acquire().await.map_err(std::io::Error::other)?;
    let outcome = hello.into_stream(tls).into_fallible().await;
    drop(turn);
    match outcome {
        Ok(stream) => Ok(stream),
        Err((error, tcp)) => {
            linger(tcp).await;
            Err(error)
        }
    }
}

/// Closes so that the alert arrives: in TLS 1.3 a client already sends its request while we refuse its
/// certificate, and closing with unread bytes makes the kernel send a reset that may overtake the
/// alert. Then nobody would learn that the certificate had expired.
async fn linger(mut tcp: TcpStream) {
    let unread = async {
        tcp.shutdown().await?;
        let mut left = HEAD_BYTES_MAX;
        let mut scratch = [0_u8; 2048];
        while left > 0 {
            match tcp.read(&mut scratch).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    drop(tokio::time::timeout(Duration::from_secs(1), unread).await);
}

/// Speaks HTTP/1.1 on one connection until it ends.
async fn drive<IO>(
    io: IO,
    service: TowerToHyperService<axum::Router>,
    peer: Option<PeerCertificate>,
    pulse: Arc<Pulse>,
    limits: ListenerLimits,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    pulse.enter(Phase::Idle);
    let door = Door {
        service,
        peer,
        pulse: Arc::clone(&pulse),
        body_timeout: limits.body_timeout,
        body_bytes_max: limits.body_bytes_max,
    };
    // hyper's own header timeout would also close idle connections and costs a timer per request.
    let connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Watched::new(io, Arc::clone(&pulse))), door);
    let mut connection = pin!(connection);
    let mut stopping = false;
    let ended = std::future::poll_fn(|cx| {
        if !stopping && pulse.must_stop(cx) {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Lets requests in: says who is there and starts the clock of their bodies.
#[derive(Clone)]
struct Door {
    service: TowerToHyperService<axum::Router>,
    peer: Option<PeerCertificate>,
    pulse: Arc<Pulse>,
    body_timeout: Duration,
    body_bytes_max: u64,
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Response<Answered>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.pulse.enter(Phase::Request);
        if request.body().size_hint().lower() > self.body_bytes_max {
            let pulse = Arc::clone(&self.pulse);
            return Box::pin(std::future::ready(Ok(too_long(pulse))));
        }
        let mut request = request.map(|incoming| InTime::new(incoming, self.body_timeout));
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        let pulse = Arc::clone(&self.pulse);
        let answer = hyper::service::Service::call(&self.service, request);
        Box::pin(async move { Ok(answer.await?.map(|body| Answered { body, pulse })) })
    }
}

fn too_long(pulse: Arc<Pulse>) -> Response<Answered> {
    let body = axum::body::Body::from("the request body is too long\n");
    let mut response = Response::new(Answered { body, pulse });
    *response.status_mut() = hyper::StatusCode::PAYLOAD_TOO_LARGE;
    // The unread body would be taken for the next request.
    let close = hyper::header::HeaderValue::from_static("close");
    response.headers_mut().insert(hyper::header::CONNECTION, close);
    response
}

/// A request body that must come in time. The clock only starts when the body makes us wait, so a
/// request that arrives in one piece pays nothing.
struct InTime {
    incoming: Incoming,
    limit: Duration,
    clock: Option<Pin<Box<Sleep>>>,
}

impl InTime {
    fn new(incoming: Incoming, limit: Duration) -> Self {
        Self { incoming, limit, clock: None }
    }
}

impl Body for InTime {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                let limit = this.limit;
                let clock = this.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                match clock.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(Some(Err("the request body did not come in time".into()))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A response body that notes its own end: from then on the connection is idle.
struct Answered {
    body: axum::body::Body,
    pulse: Arc<Pulse>,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.pulse.enter(Phase::Idle);
    }
}
