//! A responder of the tests: real sockets, and every way to answer wrongly.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What the client sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// What it gets.
pub(crate) enum Reply {
    /// Status, content type, body.
    Http(u16, &'static str, Vec<u8>),
    /// The connection stays open and silent until the client gives up.
    Silence,
    /// The connection is closed without a byte.
    Hangup,
    /// A head that promises so many octets, and then no end of them.
    Flood(usize),
}

impl Reply {
    pub(crate) fn ocsp(der: Vec<u8>) -> Self {
        Self::Http(200, "application/ocsp-response", der)
    }
}

/// Serves until it is dropped.
pub(crate) struct Responder {
    pub(crate) url: String,
    address: std::net::SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // The client may go whenever it likes.
                let _gone = serve(stream.unwrap(), &answer);
            }
        });
        Self { url: format!("http://{address}/ocsp"), address, stopping, thread: Some(thread) }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    format!("http://{}/ocsp", listener.local_addr().unwrap())
}

fn serve(mut stream: TcpStream, answer: &impl Fn(&Asked) -> Reply) -> std::io::Result<()> {
    let Some(asked) = read(&mut stream)? else { return Ok(()) };
    match answer(&asked) {
        Reply::Hangup => Ok(()),
        Reply::Silence => stream.read(&mut [0; 64]).map(drop),
        Reply::Http(status, content_type, body) => {
            let head = format!(
                "HTTP/1.1 {status} x\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), &body].concat())
        }
        Reply::Flood(octets) => {
            let head = "HTTP/1.1 200 x\r\nContent-Type: application/ocsp-response\r\n";
            write!(stream, "{head}Content-Length: {octets}\r\n\r\n")?;
            (0..octets / 1_000).try_for_each(|_| stream.write_all(&[0x30; 1_000]))
        }
    }
}

fn read(stream: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let field = |name: &str| {
                head.lines().find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
                })
            };
            let length: usize = field("content-length").map_or(0, |text| text.parse().unwrap());
            let body = &bytes[end + 4..];
            if body.len() >= length {
                let line = head.lines().next().unwrap().to_owned();
                let content_type = field("content-type").unwrap_or_default();
                return Ok(Some(Asked { line, content_type, body: body.to_vec() }));
            }
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
}
