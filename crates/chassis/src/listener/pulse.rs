//! What each connection is doing, noted in atomics, and the walk that ends those that take too long.

use super::ListenerLimits;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// TLS is not done; bounded by its own timeout.
    Handshake,
    /// No request is running.
    Idle,
    /// Some bytes of a request head have come.
    Head,
    /// A request is running.
    Request,
}

/// The state of one connection: phase in the low two bits, number of phase changes above them.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    beat: AtomicU64,
    stop: AtomicBool,
    waker: Mutex<Option<Waker>>,
    has_waker: AtomicBool,
}

impl Pulse {
    /// Notes that `phase` begins.
    pub(super) fn enter(&self, phase: Phase) {
        let bits = match phase {
            Phase::Handshake => 0,
            Phase::Idle => 1,
            Phase::Head => 2,
            Phase::Request => 3,
        };
        let old = self.beat.load(Ordering::Relaxed);
        // Only the connection's own task writes: no read-modify-write needed.
        self.beat.store(((old >> 2) + 1) << 2 | bits, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        match self.beat.load(Ordering::Relaxed) & 3 {
            0 => Phase::Handshake,
            1 => Phase::Idle,
            2 => Phase::Head,
            _ => Phase::Request,
        }
    }

    /// Whether the connection should finish what it is doing and close. Called by its own task, which
    /// is woken when the answer changes.
    pub(super) fn must_stop(&self, cx: &Context<'_>) -> bool {
        if !self.has_waker.load(Ordering::Relaxed) {
            // A task keeps its waker for life, so once is enough.
            *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            self.has_waker.store(true, Ordering::Relaxed);
        }
        self.stop.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// All connections of a listener.
#[derive(Debug, Default)]
pub(super) struct Roll(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    pulse: Arc<Pulse>,
    task: AbortHandle,
    /// The beat seen last, and when it was seen first.
    seen: Option<(u64, Instant)>,
}

impl Roll {
    /// Takes a new connection in.
    pub(super) fn enter(&mut self, pulse: Arc<Pulse>, task: AbortHandle) {
        self.0.push(Entry { pulse, task, seen: None });
    }

    /// Forgets ended connections and ends those whose phase lasts too long.
    pub(super) fn walk(&mut self, now: Instant, limits: ListenerLimits) {
        self.0.retain_mut(|entry| {
            if entry.task.is_finished() {
                return false;
            }
            let beat = entry.pulse.beat.load(Ordering::Relaxed);
            let since = match entry.seen {
                Some((seen, since)) if seen == beat => since,
                _ => {
                    entry.seen = Some((beat, now));
                    now
                }
            };
            let lasted = now.saturating_duration_since(since);
            match entry.pulse.phase() {
                Phase::Head if lasted >= limits.header_timeout => {
                    metrics::counter!("http_slow_heads_cut_total").increment(1);
                    entry.task.abort();
                }
                // Asked to close and still here: the peer does not even read.
                Phase::Idle if lasted >= limits.idle_timeout + limits.header_timeout => {
                    entry.task.abort();
                }
                Phase::Idle if lasted >= limits.idle_timeout => entry.pulse.stop(),
                Phase::Handshake | Phase::Idle | Phase::Head | Phase::Request => {}
            }
            true
        });
    }

    /// Tells every connection to finish; those without a request running end at once.
    pub(super) fn stop_all(&mut self) {
        for entry in self.0.drain(..) {
            match entry.pulse.phase() {
                // Nothing has been promised to these yet.
                Phase::Handshake | Phase::Head => entry.task.abort(),
                Phase::Idle | Phase::Request => entry.pulse.stop(),
            }
        }
    }
}

/// A stream that notes the first bytes of a request.
#[derive(Debug)]
pub(super) struct Watched<IO> {
    io: IO,
    pulse: Arc<Pulse>,
}

impl<IO> Watched<IO> {
    pub(super) const fn new(io: IO, pulse: Arc<Pulse>) -> Self {
        Self { io, pulse }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.io).poll_read(cx, buffer);
        if buffer.filled().len() > before && this.pulse.phase() == Phase::Idle {
            this.pulse.enter(Phase::Head);
        }
        outcome
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
