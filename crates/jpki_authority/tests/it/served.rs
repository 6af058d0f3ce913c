//! The public pages on a port of their own, for clients that speak HTTP.

use chassis::listener::{ListenerLimits, serve_plain};
use chassis::shutdown::{ShutdownSignal, ShutdownTrigger};
use jpki_authority::{Authority, http};
use pki::asn1::read::Reader;
use pki::asn1::tag;
use pki::certificate::Certificate;
use pki::oid;
use pki::public_key::VerifyingKey;
use protocol::time::Clock;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A reply, taken apart.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name);
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }
}

/// The pages of an authority, served until this is dropped.
pub(crate) struct Served {
    address: SocketAddr,
    trigger: Option<ShutdownTrigger>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub(crate) fn new(authority: &Arc<Authority>, clock: Arc<dyn Clock>) -> Self {
        let router = http::router(Arc::clone(authority), clock);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = ShutdownSignal::new();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                serve_plain(listener, router, shutdown, ListenerLimits::default()).await;
            });
        });
        Self { address, trigger: Some(trigger), thread: Some(thread) }
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks one question; `head` is the request line and any headers, joined by CRLF.
    pub(crate) fn ask(&self, head: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let head =
            format!("{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        Reply { status: head[9..12].parse().unwrap(), head, body: answer[end + 4..].to_vec() }
    }

    /// Asks OCSP by POST.
    pub(crate) fn ocsp(&self, request: &[u8]) -> Reply {
        self.ask("POST /ocsp HTTP/1.1\r\ncontent-type: application/ocsp-request", request)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.trigger.take().unwrap().pull();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// What an OCSP response says, read without the writer's code and with its signature checked.
#[derive(Debug)]
pub(crate) struct ReadResponse {
    /// For each certificate: `good`, `unknown`, or `revoked` with the reason code, if there is one.
    pub(crate) statuses: Vec<(String, Option<u8>)>,
    /// producedAt, thisUpdate of the first, nextUpdate of the first.
    pub(crate) times: [String; 3],
    pub(crate) nonce: Option<Vec<u8>>,
    /// The delegate's certificate.
    pub(crate) delegate: Vec<u8>,
}

/// Reads a successful response, or gives the status of another.
pub(crate) fn read_response(der: &[u8]) -> Result<ReadResponse, u8> {
    let mut outer = Reader::only_sequence(der, "response").unwrap();
    let status = outer.expect(tag::ENUMERATED, "status").unwrap().content[0];
    if status != 0 {
        assert!(outer.is_empty());
        return Err(status);
    }
    let bytes = outer.expect(tag::context_constructed(0), "bytes").unwrap().inside().any("bytes").unwrap();
    let mut bytes = bytes.inside();
    assert_eq!(bytes.any("type").unwrap().content, oid::OCSP_BASIC.as_bytes());
    let mut basic = Reader::only_sequence(bytes.any("basic").unwrap().content, "basic").unwrap();
    let data = basic.any("data").unwrap();
    basic.any("algorithm").unwrap();
    let signature = basic.any("signature").unwrap().whole_octets("signature").unwrap();
    let certificates = basic.any("certs").unwrap().inside().any("certs").unwrap();
    let delegate = certificates.inside().any("cert").unwrap().raw.to_vec();
    let certificate = Certificate::parse(&delegate).unwrap();
    assert!(certificate.extensions().has_purpose(&oid::OCSP_SIGNING));
    let key = VerifyingKey::from_spki_der(certificate.spki_der()).unwrap();
    assert!(key.verifies(data.raw, signature));

    let text = |content: &[u8]| String::from_utf8(content.to_vec()).unwrap();
    let mut fields = data.inside();
    fields.expect(tag::context_constructed(2), "byKey").unwrap();
    let produced_at = text(fields.any("producedAt").unwrap().content);
    let mut list = fields.any("responses").unwrap().inside();
    let (mut statuses, mut times) = (Vec::new(), Vec::new());
    while !list.is_empty() {
        let mut single = list.any("single").unwrap().inside();
        single.any("certID").unwrap();
        let status = single.any("certStatus").unwrap();
        statuses.push(match status.tag {
            0x80 => ("good".to_owned(), None),
            0x82 => ("unknown".to_owned(), None),
            _ => {
                let mut revoked = status.inside();
                revoked.any("revocationTime").unwrap();
                let reason = revoked.optional(tag::context_constructed(0), "reason").unwrap();
                ("revoked".to_owned(), reason.map(|reason| reason.content[2]))
            }
        });
        times.push(text(single.any("thisUpdate").unwrap().content));
        times.push(text(single.any("nextUpdate").unwrap().inside().any("time").unwrap().content));
    }
    let nonce = fields.optional(tag::context_constructed(1), "extensions").unwrap().map(|wrapper| {
        let extension = wrapper.inside().any("list").unwrap().inside().any("nonce").unwrap();
        let mut extension = extension.inside();
        assert_eq!(extension.any("kind").unwrap().content, oid::OCSP_NONCE.as_bytes());
        extension.any("value").unwrap().inside().any("nonce").unwrap().content.to_vec()
    });
    let times = [produced_at, times[0].clone(), times[1].clone()];
    Ok(ReadResponse { statuses, times, nonce, delegate })
}
