//! What an OCSP answer costs, beside its floors, in one run:
//! `cargo bench -p kazasu-jpki-authority --bench ocsp`
//!
//! - floor 1: a bare P-256 signature over a response's octets;
//! - floor 2: a bare HTTP server with bodies of the same sizes;
//! - the responder, through its own listener and pages, on one thread, plain HTTP, kept connections: with
//!   a nonce (every answer signed), without (signatures used again), by POST and by GET;
//! - `openssl ocsp` on the same certificates, with an RSA-2048 and with a P-256 delegate.
//!
//! CPU time of the thread or process that serves, by the kernel's account; never wall time. Every answer
//! is looked at: a refusal ends the run.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first surprise"
)]

use base64::Engine as _;
use chassis::clock::SystemClock;
use chassis::config::TlsFiles;
use chassis::entropy::SystemEntropy;
use chassis::listener::{ListenerLimits, serve_plain};
use chassis::process_cpu::{process_total_nanoseconds, thread_nanoseconds};
use chassis::shutdown::ShutdownSignal;
use jpki_authority::config::{Config, CrlTimes, Names, OcspTimes, StatusPages};
use jpki_authority::store::CertificateStore as _;
use jpki_authority::store::sqlite::SqliteStore;
use jpki_authority::{Authority, CardEvent, CertificateKind, PersonRegistration, http};
use pki::ocsp::request::request_der;
use pki::ocsp::{CertIdHash, IssuerHashes};
use pki::pem::{self, PemKind};
use pki::profile::{BirthDate, LeafProfile, Municipality, Sex, Validity};
use pki::serial::SerialNumber;
use pki::signer::{
    IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8, generate_rsa_2048_pkcs8, software_signer,
};
use protocol::entropy::Entropy as _;
use protocol::time::{Clock as _, UnixSeconds};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The binary's allocator, which this stands in for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CARDS: usize = 1_000;
const CONNECTIONS: usize = 64;
const REQUESTS: usize = 40_000;
/// openssl answers one connection after the other.
const OPENSSL_REQUESTS: usize = 3_000;

fn main() {
    let folder = std::env::temp_dir().join(format!("kazasu-bench-ocsp-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let now = SystemClock.now();
    let authority = Arc::new(Authority::init(config(&folder), now.minus(60), &mut SystemEntropy).unwrap());
    authority.rotate_delegates(now, &mut SystemEntropy).unwrap();
    let serials = issue(&authority, now);

    let hashes =
        IssuerHashes::of_certificate(authority.ca_certificate_der(CertificateKind::CardHolderAuth)).unwrap();
    let ids: Vec<Vec<u8>> =
        serials.iter().map(|serial| hashes.cert_id_der(CertIdHash::Sha1, serial)).collect();
    let mut nonce = [0; 32];
    let plain: Vec<Vec<u8>> = ids.iter().map(|id| request_der(std::slice::from_ref(id), None)).collect();
    let with_nonce: Vec<Vec<u8>> = ids
        .iter()
        .map(|id| {
            SystemEntropy.fill(&mut nonce);
            request_der(std::slice::from_ref(id), Some(&nonce))
        })
        .collect();
    let post = |requests: &[Vec<u8>]| requests.iter().map(|request| post(request)).collect::<Vec<_>>();
    let by_get: Vec<Vec<u8>> = plain.iter().map(|request| get(request)).collect();
    let sample = authority.answer_ocsp(&with_nonce[0], now).der;

    println!("{CARDS} certificates, 1 in 10 revoked; answers of {} octets; CPU per answer", sample.len());
    let sign = bare_signature(&sample);
    row("floor: bare P-256 signature", sign, sign);
    row("floor: bare HTTP", bare_http(with_nonce[0].len(), sample.len()), sign);
    row("part: status from the store", status_reads(&folder, &serials), sign);
    row("part: answer without HTTP, nonce", answers(&authority, &with_nonce, now), sign);
    row("part: answer without HTTP, no nonce", answers(&authority, &plain, now), sign);
    let live = responder(&authority, post(&with_nonce));
    row("responder, nonce, POST", live, sign);
    row("responder, no nonce, POST", responder(&authority, post(&plain)), sign);
    row("responder, no nonce, GET", responder(&authority, by_get), sign);
    let rsa = openssl(&folder, &authority, &serials, now, &generate_rsa_2048_pkcs8().unwrap(), &plain);
    row("openssl ocsp, RSA-2048 delegate", rsa, sign);
    let p256 = openssl(&folder, &authority, &serials, now, &generate_p256_pkcs8().unwrap(), &plain);
    row("openssl ocsp, P-256 delegate", p256, sign);
    println!(
        "\nwith nonce and HTTP: {:.0} % of bare P-256 signing; {:.1} x openssl ocsp (RSA-2048), {:.1} x (P-256)",
        100.0 * sign / live,
        rsa / live,
        p256 / live
    );
    std::fs::remove_dir_all(folder).unwrap();
}

fn row(what: &str, us: f64, sign: f64) {
    println!("{what:36} {us:8.1} us {:9.0} /CPU-s {:6.0} % of bare signing", 1e6 / us, 100.0 * sign / us);
}

fn per_item(nanoseconds: u64, items: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds fit a double")]
    let us = nanoseconds as f64 / 1_000.0 / items as f64;
    us
}

fn config(folder: &Path) -> Config {
    let free = "127.0.0.1:0".parse().unwrap();
    Config {
        listen: free,
        admin_listen: free,
        store: "store.sqlite".into(),
        keys_dir: "keys".into(),
        public_dir: "public".into(),
        tls: TlsFiles { cert: "server.pem".into(), key: "server.key".into() },
        status: StatusPages { listen: free, url: "http://localhost".into() },
        crl: CrlTimes { validity_seconds: 86_400, republish_seconds: 60, delta_seconds: 20, shards: 16 },
        ocsp: OcspTimes { validity_seconds: 3_600, reuse_seconds: 60, delegate_seconds: 7 * 86_400 },
        names: Names { organization: "JPKI-EMULATED".into(), operator: "KAZASU TEST municipalities".into() },
        linkage: None,
    }
    .resolved(folder)
}

fn issue(authority: &Authority, now: UnixSeconds) -> Vec<SerialNumber> {
    let key = software_signer(&generate_rsa_2048_pkcs8().unwrap()).unwrap();
    let person = PersonRegistration {
        municipality: Municipality::new("13221", "Tokyo-to", "Kiyose-shi").unwrap(),
        name: "見本　花子".into(),
        birth_date: BirthDate::parse("1985-04-01").unwrap(),
        sex: Sex::Female,
        address: "東京都清瀬市見本町1-1".into(),
        auth_spki: key.spki_der().to_vec(),
        sign_spki: None,
        valid_until: now.plus(365 * 86_400),
    };
    (0..CARDS)
        .map(|place| {
            let card = authority.issue_person_certificates(&person, now, &mut SystemEntropy).unwrap();
            if place % 10 == 0 {
                authority.apply_event(CardEvent::LostCard, &card.card_holder_auth.serial, now).unwrap();
            }
            card.card_holder_auth.serial
        })
        .collect()
}

fn bare_signature(message: &[u8]) -> f64 {
    let signer = SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8().unwrap()).unwrap();
    let before = thread_nanoseconds().unwrap();
    for _ in 0..REQUESTS {
        signer.sign(message).unwrap();
    }
    per_item(thread_nanoseconds().unwrap() - before, REQUESTS)
}

fn status_reads(folder: &Path, serials: &[SerialNumber]) -> f64 {
    let store = SqliteStore::open(&folder.join("store.sqlite")).unwrap();
    let before = thread_nanoseconds().unwrap();
    for turn in 0..REQUESTS {
        let serial = &serials[turn % serials.len()];
        assert!(store.standing(CertificateKind::CardHolderAuth, serial).unwrap().is_some());
    }
    per_item(thread_nanoseconds().unwrap() - before, REQUESTS)
}

fn answers(authority: &Authority, requests: &[Vec<u8>], now: UnixSeconds) -> f64 {
    let before = thread_nanoseconds().unwrap();
    for turn in 0..REQUESTS {
        assert!(authority.answer_ocsp(&requests[turn % requests.len()], now).der.len() > 500);
    }
    per_item(thread_nanoseconds().unwrap() - before, REQUESTS)
}

fn post(request: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /ocsp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/ocsp-request\r\ncontent-length: {}\r\n\r\n",
        request.len()
    );
    [head.as_bytes(), request].concat()
}

fn get(request: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(request);
    let path = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("GET /ocsp/{path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// CPU of the serving thread per answer, while [`CONNECTIONS`] kept connections ask as fast as they can.
fn responder(authority: &Arc<Authority>, requests: Vec<Vec<u8>>) -> f64 {
    let router = http::router(Arc::clone(authority), Arc::new(SystemClock));
    serve_and_drive(requests, Some(0), move |listener, shutdown| async move {
        serve_plain(listener, router, shutdown, ListenerLimits::default()).await;
    })
}

fn bare_http(request_octets: usize, response_octets: usize) -> f64 {
    let body = hyper::body::Bytes::from(vec![b'a'; response_octets]);
    serve_and_drive(vec![post(&vec![b'q'; request_octets])], None, move |listener, shutdown| async move {
        let serving = async {
            loop {
                let stream = listener.accept().await.unwrap().0;
                stream.set_nodelay(true).unwrap();
                let body = body.clone();
                tokio::spawn(async move {
                    let service =
                        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                            let body = body.clone();
                            async move {
                                http_body_util::BodyExt::collect(request.into_body()).await?;
                                Ok::<_, hyper::Error>(hyper::Response::new(http_body_util::Full::new(body)))
                            }
                        });
                    let io = hyper_util::rt::TokioIo::new(stream);
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
                });
            }
        };
        tokio::select! {
            () = serving => {}
            () = shutdown.wait() => {}
        }
    })
}

/// Serves on a thread of its own and drives it from this one. `status` is the responseStatus that every
/// answer must have.
fn serve_and_drive<F, W>(requests: Vec<Vec<u8>>, status: Option<u8>, serve: F) -> f64
where
    F: FnOnce(tokio::net::TcpListener, ShutdownSignal) -> W + Send + 'static,
    W: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = ShutdownSignal::new();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let before = thread_nanoseconds().unwrap();
        runtime.block_on(async move {
            serve(tokio::net::TcpListener::from_std(listener).unwrap(), shutdown).await;
        });
        thread_nanoseconds().unwrap() - before
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = runtime.block_on(drive(address, Arc::new(requests), status));
    trigger.pull();
    per_item(server.join().unwrap(), asked)
}

async fn drive(address: SocketAddr, requests: Arc<Vec<Vec<u8>>>, status: Option<u8>) -> usize {
    let each = REQUESTS / CONNECTIONS;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut answer = Vec::with_capacity(8_192);
                for turn in 0..each {
                    stream.write_all(&requests[(client * each + turn) % requests.len()]).await.unwrap();
                    answer.clear();
                    let body = loop {
                        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the server closed");
                        if let Some(body) = whole(&answer) {
                            break body;
                        }
                    };
                    if let Some(status) = status {
                        check(body, status);
                    }
                }
                each
            })
        })
        .collect();
    let mut asked = 0;
    for client in clients {
        asked += client.await.unwrap();
    }
    asked
}

/// The body, once head and body are there.
fn whole(answer: &[u8]) -> Option<&[u8]> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    assert!(head.contains(" 200 "), "{head}");
    let (_, rest) = head
        .to_ascii_lowercase()
        .split_once("content-length: ")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    let length: usize = rest.split("\r\n").next().unwrap().parse().unwrap();
    answer.get(end..end + length)
}

/// OCSPResponse begins with its status: `30 82 xx xx 0A 01 ss`.
fn check(body: &[u8], status: u8) {
    assert!(body.len() > 500 && body[4..7] == [0x0A, 1, status], "not the answer that was asked for");
}

/// A process that ends with the benchmark.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The same certificates in `openssl ocsp`, with a delegate of this key.
fn openssl(
    folder: &Path,
    authority: &Authority,
    serials: &[SerialNumber],
    now: UnixSeconds,
    pkcs8: &[u8],
    requests: &[Vec<u8>],
) -> f64 {
    let write = |name: &str, kind, der: &[u8]| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, pem::encode(kind, der).as_bytes()).unwrap();
        path
    };
    let ca =
        write("ca.pem", PemKind::Certificate, authority.ca_certificate_der(CertificateKind::CardHolderAuth));
    let key = write("delegate.key", PemKind::PrivateKey, pkcs8);
    let delegate = write("delegate.pem", PemKind::Certificate, &delegate_certificate(folder, pkcs8, now));
    let index = folder.join("index.txt");
    let rows: String = serials
        .iter()
        .enumerate()
        .map(|(place, serial)| {
            let hex: String = serial.as_bytes().iter().map(|octet| format!("{octet:02X}")).collect();
            let state = if place % 10 == 0 {
                "R\t400101000000Z\t251122010203Z,certificateHold"
            } else {
                "V\t400101000000Z\t"
            };
            // openssl wants each subject once.
            format!("{state}\t{hex}\tunknown\t/CN={place}\n")
        })
        .collect();
    std::fs::write(&index, rows).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new("openssl")
        .args(["ocsp", "-port", &address.port().to_string(), "-ndays", "1"])
        .arg("-index")
        .arg(index)
        .arg("-CA")
        .arg(ca)
        .arg("-rsigner")
        .arg(delegate)
        .arg("-rkey")
        .arg(key)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl 3 is installed (Debian: apt-get install openssl)");
    let mut running = Running(child);
    let ask = |request: &[u8]| -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(&post(request))?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    while ask(&requests[0]).is_err() {
        assert!(running.0.try_wait().unwrap().is_none(), "openssl ocsp ended");
        std::thread::yield_now();
    }
    let before = process_total_nanoseconds(running.0.id()).unwrap();
    for turn in 0..OPENSSL_REQUESTS {
        let answer = ask(&requests[turn % requests.len()]).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        check(&answer[end..], 0);
    }
    per_item(process_total_nanoseconds(running.0.id()).unwrap() - before, OPENSSL_REQUESTS)
}

/// A delegate's certificate under the authority's own key, which lies in the folder. The profile has P-256
/// only, so an RSA delegate is certified by openssl itself.
fn delegate_certificate(folder: &Path, pkcs8: &[u8], now: UnixSeconds) -> Vec<u8> {
    let ca_key = std::fs::read(folder.join("keys/auth-ca.key")).unwrap();
    let signer = software_signer(pkcs8).unwrap();
    let ca_der =
        pem::decode(PemKind::Certificate, &std::fs::read_to_string(folder.join("ca.pem")).unwrap()).unwrap();
    if signer.algorithm() == pki::public_key::SignatureAlgorithm::EcdsaP256Sha256 {
        let ca = pki::issue::IssuingAuthority::from_certificate(
            ca_der.to_vec(),
            software_signer(&ca_key).unwrap(),
        )
        .unwrap();
        let profile = LeafProfile::OcspDelegate { common_name: "openssl's delegate" };
        let validity = Validity { not_before: now, not_after: now.plus(86_400) };
        return ca
            .issue(&profile, SerialNumber::random(16, &mut SystemEntropy), validity, signer.spki_der())
            .unwrap();
    }
    std::fs::write(folder.join("ca.key"), pem::encode(PemKind::PrivateKey, &ca_key).as_bytes()).unwrap();
    std::fs::write(folder.join("ext.cnf"), "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\n").unwrap();
    let run = |arguments: &[&str]| {
        let done = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    run(&["req", "-new", "-key", "delegate.key", "-subj", "/CN=RSA delegate", "-out", "delegate.csr"]);
    run(&[
        "x509",
        "-req",
        "-in",
        "delegate.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-days",
        "1",
        "-set_serial",
        "77",
        "-extfile",
        "ext.cnf",
        "-out",
        "rsa.pem",
    ]);
    pem::decode(PemKind::Certificate, &std::fs::read_to_string(folder.join("rsa.pem")).unwrap())
        .unwrap()
        .to_vec()
}
