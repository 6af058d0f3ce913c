//! Streams that count bytes and remember what TLS complained about.

use super::error::Complaint;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What went over one connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Bytes written to the socket.
    pub(super) out: AtomicU64,
    /// Bytes read from the socket.
    pub(super) into: AtomicU64,
    /// Bytes of HTTP read, TLS taken off: 0 growth means that no reply has begun.
    pub(super) answered: AtomicU64,
    /// The first complaint of TLS.
    pub(super) complaint: OnceLock<Complaint>,
}

/// The socket side: counts.
#[derive(Debug)]
pub(super) struct Counted<IO> {
    pub(super) io: IO,
    pub(super) traffic: Arc<Traffic>,
}

/// The HTTP side: remembers complaints.
#[derive(Debug)]
pub(super) struct Heard<IO> {
    pub(super) io: IO,
    pub(super) traffic: Arc<Traffic>,
}

fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.io).poll_read(cx, buffer);
        add(&this.traffic.into, buffer.filled().len().saturating_sub(before));
        outcome
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &outcome {
            add(&this.traffic.out, *written);
        }
        outcome
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
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, buffers);
        if let Poll::Ready(Ok(written)) = &outcome {
            add(&this.traffic.out, *written);
        }
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

impl<IO> Heard<IO> {
    fn remember(&self, error: &io::Error) {
        if let Some(complaint) = Complaint::in_error(error) {
            // The first one is the cause; later ones are consequences.
            drop(self.traffic.complaint.set(complaint));
        }
    }
}

impl<IO: AsyncRead + Unpin> Heard<IO> {
    /// A write failed because the other end closed. It may have said why before: read that.
    fn hear_out(&mut self, cx: &mut Context<'_>) {
        let mut scratch = [0_u8; 256];
        let mut buffer = ReadBuf::new(&mut scratch);
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            self.remember(&error);
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Heard<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.io).poll_read(cx, buffer);
        add(&this.traffic.answered, buffer.filled().len().saturating_sub(before));
        if let Poll::Ready(Err(error)) = &outcome {
            this.remember(error);
        }
        outcome
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heard<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write(cx, bytes);
        if let Poll::Ready(Err(error)) = &outcome {
            this.remember(error);
            this.hear_out(cx);
        }
        outcome
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_flush(cx);
        if let Poll::Ready(Err(error)) = &outcome {
            this.remember(error);
            this.hear_out(cx);
        }
        outcome
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, buffers);
        if let Poll::Ready(Err(error)) = &outcome {
            this.remember(error);
            this.hear_out(cx);
        }
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
