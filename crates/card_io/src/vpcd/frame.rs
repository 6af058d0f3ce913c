//! Length-prefixed frames: a pure decoder, and a TCP socket that applies it with deadlines.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The most octets one frame can carry: its length field has 16 bits.
pub(crate) const BODY_LEN_MAX: usize = u16::MAX as usize;
/// How long the rest of a frame may take once its first octet is there.
pub(crate) const FRAME_TIME: Duration = Duration::from_secs(5);

/// Why a peer's octets are not the frames of this protocol.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame without a body: the protocol has no such message.
    #[error("the peer sent an empty frame")]
    Empty,
    /// The announced length is more than this message may have.
    #[error("the peer announced {len} octets where {limit} are allowed")]
    TooLong {
        /// The announced octets.
        len: usize,
        /// The octets allowed for this message.
        limit: usize,
    },
    /// The peer closed the connection between two frames: a removed card, a stopped reader.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer closed the connection inside a frame.
    #[error("the peer closed the connection inside a frame")]
    Truncated,
    /// The peer began a frame and did not finish it, or did not take ours, within the time allowed.
    #[error("the peer stopped in the middle of a frame")]
    Slow,
    /// The operating system failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Cuts a stream of octets into frames. Never allocates more than the frames it is fed.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    pending: Vec<u8>,
}

impl FrameDecoder {
    /// Adds octets as they come from the peer, in pieces of any size.
    pub fn push(&mut self, octets: &[u8]) {
        self.pending.extend_from_slice(octets);
    }

    /// The next whole frame's body of at most `limit` octets, or `None` until more octets are there.
    ///
    /// # Errors
    /// [`FrameError::Empty`] and [`FrameError::TooLong`], as soon as the length field is there.
    pub fn next_frame(&mut self, limit: usize) -> Result<Option<Vec<u8>>, FrameError> {
        let Some((header, rest)) = self.pending.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes(*header));
        if len == 0 {
            return Err(FrameError::Empty);
        }
        if len > limit {
            return Err(FrameError::TooLong { len, limit });
        }
        let Some(body) = rest.get(..len).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.pending.drain(..len.saturating_add(2));
        Ok(Some(body))
    }

    /// Whether octets are there that no returned frame has used.
    pub fn is_mid_frame(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// The frame around `body`, or `None` if the length field cannot hold its length.
pub(crate) fn encode(body: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(body.len()).ok().filter(|len| *len > 0)?;
    let mut frame = Vec::with_capacity(body.len().saturating_add(2));
    frame.extend_from_slice(&len.to_be_bytes());
    frame.extend_from_slice(body);
    Some(frame)
}

/// A TCP connection that carries frames.
#[derive(Debug)]
pub(crate) struct FrameSocket {
    stream: TcpStream,
    decoder: FrameDecoder,
}

impl FrameSocket {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        // Our frames leave in one write each; waiting for company would only delay them.
        stream.set_nodelay(true)?;
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(FRAME_TIME))?;
        Ok(Self { stream, decoder: FrameDecoder::default() })
    }

    /// Sends one frame, header and body in one write.
    pub(crate) fn send(&mut self, body: &[u8]) -> Result<(), FrameError> {
        let frame = encode(body).ok_or(FrameError::TooLong { len: body.len(), limit: BODY_LEN_MAX })?;
        self.stream.write_all(&frame).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => FrameError::Slow,
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => FrameError::Closed,
            _ => FrameError::Io(error),
        })
    }

    /// The next frame of at most `limit` octets, or `None` if none has begun by `idle_until`.
    /// A frame that has begun gets [`FRAME_TIME`] to be complete, however slowly it drips.
    pub(crate) fn receive(
        &mut self,
        limit: usize,
        idle_until: Instant,
    ) -> Result<Option<Vec<u8>>, FrameError> {
        let mut frame_until = None;
        loop {
            if let Some(body) = self.decoder.next_frame(limit)? {
                return Ok(Some(body));
            }
            if self.decoder.is_mid_frame() && frame_until.is_none() {
                frame_until = Some(Instant::now() + FRAME_TIME);
            }
            let left = frame_until.unwrap_or(idle_until).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return if frame_until.is_some() { Err(FrameError::Slow) } else { Ok(None) };
            }
            self.read_some(left)?;
        }
    }

    /// Reads what is there within `left`; nothing in that time is no error.
    fn read_some(&mut self, left: Duration) -> Result<(), FrameError> {
        // The operating system refuses a timeout of zero and rounds small ones down.
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let mut buffer = [0_u8; 4096];
        match read_acknowledging(&mut self.stream, &mut buffer) {
            Ok(0) if self.decoder.is_mid_frame() => Err(FrameError::Truncated),
            Ok(0) => Err(FrameError::Closed),
            Ok(read) => {
                self.decoder.push(buffer.get(..read).unwrap_or_default());
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(()),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Err(FrameError::Closed),
                _ => Err(FrameError::Io(error)),
            },
        }
    }

    /// What the peer did while it was not asked anything.
    pub(crate) fn idle_state(&self) -> IdleState {
        if self.decoder.is_mid_frame() {
            return IdleState::Unsolicited;
        }
        if self.stream.set_nonblocking(true).is_err() {
            return IdleState::Closed;
        }
        let seen = match self.stream.peek(&mut [0_u8; 1]) {
            Ok(0) => IdleState::Closed,
            Ok(_) => IdleState::Unsolicited,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                IdleState::Quiet
            }
            Err(_) => IdleState::Closed,
        };
        if self.stream.set_nonblocking(false).is_err() { IdleState::Closed } else { seen }
    }
}

/// See [`FrameSocket::idle_state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdleState {
    /// Connected and silent, as it should be.
    Quiet,
    /// Gone.
    Closed,
    /// Sent octets nobody asked for.
    Unsolicited,
}

/// A stream that can be told not to delay its acknowledgements.
trait Acknowledging: Read {
    /// From now on, until something is sent or received, what comes is acknowledged at once.
    fn acknowledge_at_once(&mut self);
}

/// Debian's driver sends length and body in two packets. Its kernel holds the second back until the
/// first is acknowledged, and ours would delay that by 40 ms. Linux falls back to delaying whenever
/// something was sent, and in its own time after a receive, so this is said before and after each one:
/// before for what comes while we wait, after for what is there already.
fn read_acknowledging(stream: &mut impl Acknowledging, buffer: &mut [u8]) -> io::Result<usize> {
    stream.acknowledge_at_once();
    let outcome = stream.read(buffer);
    stream.acknowledge_at_once();
    outcome
}

impl Acknowledging for TcpStream {
    #[cfg(target_os = "linux")]
    fn acknowledge_at_once(&mut self) {
        use std::os::linux::net::TcpStreamExt;
        // A speed hint: a socket that refuses it still works.
        let _refused = self.set_quickack(true);
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge_at_once(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;

    fn decoded(pieces: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, bool) {
        let mut decoder = FrameDecoder::default();
        let mut frames = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.next_frame(limit) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(_) => return (frames, true),
                }
            }
        }
        (frames, false)
    }

    proptest! {
        #[test]
        fn random_octets_give_the_same_frames_however_they_are_cut(
            octets in proptest::collection::vec(any::<u8>(), 0..2000), limit in 1_usize..70_000,
        ) {
            let whole = decoded(&[&octets], limit);
            let single: Vec<&[u8]> = octets.chunks(1).collect();
            prop_assert_eq!(decoded(&single, limit), whole);
        }

        #[test]
        fn frames_come_back_as_they_were(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..400), 0..8),
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| encode(body).unwrap()).collect();
            prop_assert_eq!(decoded(&[&stream], BODY_LEN_MAX), (bodies, false));
        }
    }

    #[test]
    fn lengths_are_checked_before_the_body_is_awaited() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&[0xFF, 0xFF]);
        assert!(matches!(decoder.next_frame(33), Err(FrameError::TooLong { len: 65_535, limit: 33 })));
        let mut decoder = FrameDecoder::default();
        decoder.push(&[0, 0, 1]);
        assert!(matches!(decoder.next_frame(33), Err(FrameError::Empty)));
        assert!(encode(&[]).is_none());
        assert!(encode(&[0; BODY_LEN_MAX + 1]).is_none());
    }

    fn pair() -> (FrameSocket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (FrameSocket::new(listener.accept().unwrap().0).unwrap(), peer)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_frame_that_comes_octet_by_octet_is_whole() {
        let (mut socket, mut peer) = pair();
        let sending = std::thread::spawn(move || {
            peer.set_nodelay(true).unwrap();
            for octet in [0_u8, 3, 7, 8, 9] {
                peer.write_all(&[octet]).unwrap();
            }
            peer
        });
        assert_eq!(socket.receive(33, soon()).unwrap(), Some(vec![7, 8, 9]));
        drop(sending.join().unwrap());
        assert!(matches!(socket.receive(33, soon()), Err(FrameError::Closed)));
        assert_eq!(socket.idle_state(), IdleState::Closed);
    }

    #[test]
    fn a_peer_that_leaves_inside_a_frame_is_named_so() {
        let (mut socket, mut peer) = pair();
        peer.write_all(&[0, 9, 1]).unwrap();
        drop(peer);
        assert!(matches!(socket.receive(33, soon()), Err(FrameError::Truncated)));
    }

    /// Writes down in which order it was read and told to acknowledge.
    #[derive(Default)]
    struct Order(Vec<&'static str>, Vec<u8>);

    impl Read for Order {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.push("read");
            self.1.as_slice().read(buffer)
        }
    }

    impl Acknowledging for Order {
        fn acknowledge_at_once(&mut self) {
            self.0.push("acknowledge");
        }
    }

    #[test]
    fn every_receive_is_between_two_calls_for_acknowledgement() {
        let mut stream = Order(Vec::new(), vec![1, 2, 3]);
        assert_eq!(read_acknowledging(&mut stream, &mut [0; 9]).unwrap(), 3);
        stream.1.clear();
        assert_eq!(
            read_acknowledging(&mut stream, &mut [0; 9]).unwrap(),
            0,
            "also the one that brings nothing"
        );
        assert_eq!(stream.0, ["acknowledge", "read", "acknowledge"].repeat(2));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_hears_it_after_every_answer() {
        use std::os::linux::net::TcpStreamExt;
        let (mut socket, mut peer) = pair();
        for _ in 0..5 {
            peer.write_all(&[0, 1]).unwrap();
            peer.write_all(&[4]).unwrap();
            assert_eq!(socket.receive(33, soon()).unwrap(), Some(vec![4]));
            assert!(socket.stream.quickack().unwrap(), "after a receive");
            socket.send(&[0x3B, 0]).unwrap();
            peer.read_exact(&mut [0; 4]).unwrap();
        }
    }

    #[test]
    fn silence_is_no_error_and_half_a_frame_is() {
        let (mut socket, mut peer) = pair();
        assert_eq!(socket.idle_state(), IdleState::Quiet);
        assert!(socket.receive(33, Instant::now() + Duration::from_millis(5)).unwrap().is_none());
        peer.write_all(&[0, 9, 1]).unwrap();
        assert!(matches!(socket.receive(33, soon()), Err(FrameError::Slow)));
        assert_eq!(socket.idle_state(), IdleState::Unsolicited);
    }
}
