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
//! is looked at: a refusal, or an answer that takes ten seconds, ends the run. Without `--bench` (which
//! `cargo bench` adds) everything is done a few times only, to see that it works:
//! `cargo test -p kazasu-jpki-authority --bench ocsp`
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
use jpki_authority::config::{Config, CrlTimes, KeyPlaces, Names, OcspTimes, StatusPages};
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
use std::time::{Duration, Instant};

/// The binary's allocator, which this stands in for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CARDS: usize = 200;
const CONNECTIONS: usize = 256;

/// How much is done.
#[derive(Clone, Copy)]
struct Run {
    rounds: usize,
    /// Of each kind in each round; a multiple of [`CONNECTIONS`].
    answers: usize,
    openssl_answers: usize,
}

/// By hand: some twenty seconds.
const WHOLE: Run = Run { rounds: 5, answers: 12_800, openssl_answers: 3_000 };
/// For CI: that it works, not how fast it is.
const SHORT: Run = Run { rounds: 1, answers: 2 * CONNECTIONS, openssl_answers: 20 };
/// In which a thread answers once on every connection, with something to spare.
const ROUND_TRIP: Duration = Duration::from_millis(9);
/// An answer that takes longer ends the run.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asks = |word: &str| arguments.iter().any(|argument| argument == word);
    if asks("--list") {
        // Test runners ask what there is: nothing that they should run one by one.
        return;
    }
    // `cargo bench` says --bench; `cargo test --benches` and nextest say nothing or --test.
    let run = if asks("--bench") { WHOLE } else { SHORT };
    println!(
        "{} rounds of {} answers each over {CONNECTIONS} connections, then {} of openssl's",
        run.rounds, run.answers, run.openssl_answers
    );
    let folder = std::env::temp_dir().join(format!("kazasu-bench-ocsp-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    measure(&folder, run);
    std::fs::remove_dir_all(folder).unwrap();
}

fn measure(folder: &Path, run: Run) {
    let now = SystemClock.now();
    let authority = Arc::new(Authority::init(config(folder), now.minus(60), &mut SystemEntropy).unwrap());
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
    let (plain_posts, nonce_posts) = (post(&plain), post(&with_nonce));
    let sample = authority.answer_ocsp(&with_nonce[0], now).der;
    println!(
        "{CARDS} certificates, 1 in 10 revoked; answers of {} octets; CPU per answer, median of the rounds\n",
        sample.len()
    );

    let mut figures = Figures::default();
    for _ in 0..run.rounds {
        figures.add(SIGN, bare_signature(&sample, run));
        figures.add("floor: bare HTTP", bare_http(with_nonce[0].len(), sample.len(), run));
        figures.add("part: status from the store", status_reads(folder, &serials, run));
        figures.add("part: answer without HTTP, nonce", answers(&authority, &with_nonce, now, run));
        figures.add("part: answer without HTTP, no nonce", answers(&authority, &plain, now, run));
        figures.add("part: answer behind bare HTTP, nonce", bare_responder(&authority, &nonce_posts, run));
        figures.add(NONCE, responder(&authority, "nonce", &nonce_posts, run));
        figures.add("responder, no nonce, POST", responder(&authority, "post", &plain_posts, run));
        figures.add("responder, no nonce, GET", responder(&authority, "get", &by_get, run));
    }
    for (what, key) in [
        (OPENSSL_RSA, generate_rsa_2048_pkcs8().unwrap()),
        ("openssl ocsp, P-256 delegate", generate_p256_pkcs8().unwrap()),
    ] {
        figures.add(what, openssl(folder, &authority, &serials, now, &key, &with_nonce, run));
    }
    figures.tell();
}

const SIGN: &str = "floor: bare P-256 signature";
const NONCE: &str = "responder, nonce, POST";
const OPENSSL_RSA: &str = "openssl ocsp, RSA-2048 delegate";

/// What was measured, in order.
#[derive(Default)]
struct Figures(Vec<(&'static str, Vec<f64>)>);

impl Figures {
    fn add(&mut self, what: &'static str, us: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, values)) => values.push(us),
            None => self.0.push((what, vec![us])),
        }
    }

    fn of(&self, what: &str) -> &[f64] {
        &self.0.iter().find(|(known, _)| *known == what).unwrap().1
    }

    fn tell(&self) {
        let sign = median(self.of(SIGN));
        for (what, values) in &self.0 {
            let us = median(values);
            let (per_second, share) = (1e6 / us, 100.0 * sign / us);
            println!("{what:36} {us:8.1} us {per_second:9.0} /CPU-s {share:6.0} % of bare signing");
        }
        // The machine's speed drifts: the ratio is taken within each round.
        let pairs = self.of(SIGN).iter().zip(self.of(NONCE));
        let shares: Vec<f64> = pairs.map(|(sign, live)| 100.0 * sign / live).collect();
        let live = median(self.of(NONCE));
        println!(
            "\nwith nonce and HTTP: {:.0} % of bare P-256 signing (wanted: 50), \
             {:.1} x openssl ocsp (wanted: 10)",
            median(&shares),
            median(self.of(OPENSSL_RSA)) / live
        );
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
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
        keys: KeyPlaces::default(),
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

fn bare_signature(message: &[u8], run: Run) -> f64 {
    let signer = SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8().unwrap()).unwrap();
    let before = thread_nanoseconds().unwrap();
    for _ in 0..run.answers {
        signer.sign(message).unwrap();
    }
    per_item(thread_nanoseconds().unwrap() - before, run.answers)
}

fn status_reads(folder: &Path, serials: &[SerialNumber], run: Run) -> f64 {
    let store = SqliteStore::open(&folder.join("store.sqlite")).unwrap();
    let before = thread_nanoseconds().unwrap();
    for turn in 0..run.answers {
        let serial = &serials[turn % serials.len()];
        assert!(store.standing(CertificateKind::CardHolderAuth, serial).unwrap().is_some());
    }
    per_item(thread_nanoseconds().unwrap() - before, run.answers)
}

fn answers(authority: &Authority, requests: &[Vec<u8>], now: UnixSeconds, run: Run) -> f64 {
    let before = thread_nanoseconds().unwrap();
    for turn in 0..run.answers {
        assert!(authority.answer_ocsp(&requests[turn % requests.len()], now).der.len() > 500);
    }
    per_item(thread_nanoseconds().unwrap() - before, run.answers)
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
fn responder(authority: &Arc<Authority>, name: &str, requests: &[Vec<u8>], run: Run) -> f64 {
    let router = http::router(Arc::clone(authority), Arc::new(SystemClock));
    serve_and_drive(name, requests, Some(0), run, move |listener, shutdown| async move {
        serve_plain(listener, router, shutdown, ListenerLimits::default()).await;
    })
}

/// A bare server that answers every request with a body of this size.
fn bare_http(request_octets: usize, response_octets: usize, run: Run) -> f64 {
    let body = hyper::body::Bytes::from(vec![b'a'; response_octets]);
    let requests = [post(&vec![b'q'; request_octets])];
    bare("bare", &requests, None, run, move |_| body.clone())
}

/// The responder behind a bare server: what routing, limits and headers cost is the difference.
fn bare_responder(authority: &Arc<Authority>, requests: &[Vec<u8>], run: Run) -> f64 {
    let authority = Arc::clone(authority);
    bare("direct", requests, Some(0), run, move |request| {
        authority.answer_ocsp(&request, SystemClock.now()).der
    })
}

fn bare<A>(name: &str, requests: &[Vec<u8>], status: Option<u8>, run: Run, answer: A) -> f64
where
    A: Fn(hyper::body::Bytes) -> hyper::body::Bytes + Clone + Send + 'static,
{
    serve_and_drive(name, requests, status, run, move |listener, shutdown| async move {
        let serving = async {
            loop {
                let stream = listener.accept().await.unwrap().0;
                stream.set_nodelay(true).unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    let service =
                        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                            let answer = answer.clone();
                            async move {
                                let body = http_body_util::BodyExt::collect(request.into_body()).await?;
                                let body = http_body_util::Full::new(answer(body.to_bytes()));
                                Ok::<_, hyper::Error>(hyper::Response::new(body))
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
fn serve_and_drive<F, W>(name: &str, requests: &[Vec<u8>], status: Option<u8>, run: Run, serve: F) -> f64
where
    F: FnOnce(tokio::net::TcpListener, ShutdownSignal) -> W + Send + 'static,
    W: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = ShutdownSignal::new();
    // Named, so that a profile can tell the phases apart.
    let server = std::thread::Builder::new().name(format!("serve-{name}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let before = thread_nanoseconds().unwrap();
        runtime.block_on(async move {
            serve(tokio::net::TcpListener::from_std(listener).unwrap(), shutdown).await;
        });
        thread_nanoseconds().unwrap() - before
    });
    let server = server.unwrap();
    let asked = drive(address, requests, status, run);
    trigger.pull();
    per_item(server.join().unwrap(), asked)
}

/// Asks on every connection, waits until all answers must be there, and reads them. On a network the
/// client is another machine: here it must not have to be woken at every answer, because that is charged
/// to who answers.
fn drive(address: SocketAddr, requests: &[Vec<u8>], status: Option<u8>, run: Run) -> usize {
    let connect = |_| {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    };
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    let mut answer = vec![0; 8_192];
    let mut asked = 0;
    while asked < run.answers {
        for (place, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&requests[(asked + place) % requests.len()]).unwrap();
        }
        std::thread::sleep(ROUND_TRIP);
        for stream in &mut streams {
            let mut length = 0;
            let body = loop {
                let read = stream.read(&mut answer[length..]).expect("an answer in time");
                assert!(read > 0, "the server closed");
                length += read;
                if let Some(body) = whole(&answer[..length]) {
                    break body;
                }
            };
            if let Some(status) = status {
                check(body, status);
            }
        }
        asked += CONNECTIONS;
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
    run: Run,
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
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&post(request))?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let begun = Instant::now();
    while ask(&requests[0]).is_err() {
        assert!(running.0.try_wait().unwrap().is_none(), "openssl ocsp ended");
        assert!(begun.elapsed() < PATIENCE, "openssl ocsp does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = process_total_nanoseconds(running.0.id()).unwrap();
    for turn in 0..run.openssl_answers {
        let answer = ask(&requests[turn % requests.len()]).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        check(&answer[end..], 0);
    }
    per_item(process_total_nanoseconds(running.0.id()).unwrap() - before, run.openssl_answers)
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
