//! The smallest HTTP/1.1 client that a load run needs: prepared bytes out, status and body in. It
//! leaves the processor to the platform, which is what is being measured.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// One kept connection.
pub(crate) struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// A response, borrowed until the next request.
pub(crate) struct Response<'a> {
    /// HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
}

/// The bytes of one POST.
pub(crate) fn post(host: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Status, length of the head, length of the body.
fn head(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text =
        std::str::from_utf8(bytes.get(..end).unwrap_or_default()).context("a head that is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .context("a head without a status")?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .context("a response without a length")?;
    Ok(Some((status, end + 4, length)))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Takes over an open stream.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(8192) }
    }

    /// Sends prepared bytes and reads one whole response.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Response<'_>> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        loop {
            if let Some((status, start, length)) = head(&self.buffer)? {
                while self.buffer.len() < start + length {
                    self.fill().await?;
                }
                return Ok(Response {
                    status,
                    body: self.buffer.get(start..start + length).unwrap_or_default(),
                });
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the platform closed the connection");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_response_in_pieces_is_read_whole() {
        let (near, mut far) = tokio::io::duplex(16);
        let answering = tokio::spawn(async move {
            let mut scratch = [0u8; 512];
            let mut seen = Vec::new();
            while find(&seen, b"{}").is_none() {
                let count = far.read(&mut scratch).await.unwrap();
                seen.extend_from_slice(&scratch[..count]);
            }
            for piece in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".chunks(7) {
                far.write_all(piece).await.unwrap();
            }
            far
        });
        let mut wire = Wire::new(near);
        let response = wire.exchange(&post("h", "/p", b"{}")).await.unwrap();
        assert_eq!((response.status, response.body), (200, &b"hello"[..]));
        drop(answering.await.unwrap());
        assert!(wire.exchange(b"x").await.is_err());
    }
}
