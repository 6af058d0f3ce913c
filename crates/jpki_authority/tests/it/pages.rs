use crate::town::{Folder, NOW, authority, child};
use chassis::client::Client;
use chassis::config::TlsFiles;
use chassis::listener::{ListenerLimits, serve_plain};
use chassis::shutdown::ShutdownSignal;
use jpki_authority::authority::ca_path;
use jpki_authority::{Authority, CardEvent, CertificateKind, http, serve};
use pki::crl::RevocationIndex;
use pki::issue::IssuingAuthority;
use pki::pem::{self, PemKind};
use pki::profile::{AuthorityProfile, LeafProfile, Validity};
use pki::serial::SerialNumber;
use pki::signer::{generate_p256_pkcs8, software_signer};
use pki::validate::TrustAnchor;
use protocol::entropy::Seeded;
use protocol::time::{Clock as _, FixedClock};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        let found = self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name);
        found.expect("the header is there").1
    }
}

/// Asks one question after the other of the pages of `authority`, each on its own connection.
fn ask(authority: &Arc<Authority>, questions: &[&str]) -> Vec<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = ShutdownSignal::new();
        let router = http::router(Arc::clone(authority), Arc::new(FixedClock::at(NOW)));
        let serving = tokio::spawn(serve_plain(listener, router, shutdown, ListenerLimits::default()));
        let mut replies = Vec::new();
        for question in questions {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("{question}\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
            let head = String::from_utf8(answer[..end].to_vec()).unwrap();
            replies.push(Reply {
                status: head[9..12].parse().unwrap(),
                head,
                body: answer[end + 4..].to_vec(),
            });
        }
        trigger.pull();
        serving.await.unwrap();
        replies
    })
}

#[test]
fn lists_and_certificates_are_served_with_their_types_and_tags() {
    let folder = Folder::new();
    let authority = Arc::new(authority(&folder));
    authority.publish(NOW).unwrap();
    let replies = ask(
        &authority,
        &[
            "GET /crl/auth.crl HTTP/1.1",
            "GET /crl/sign.crl HTTP/1.1",
            "GET /ca/auth.cer HTTP/1.1",
            "GET /ca/sign.cer HTTP/1.1",
            "HEAD /crl/auth.crl HTTP/1.1",
        ],
    );
    for (reply, kind) in replies.iter().zip(CertificateKind::ALL) {
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/pkix-crl"));
        assert_eq!(reply.body, authority.current_list(kind).unwrap().der);
        assert_eq!(reply.header("etag"), format!("\"{}-1\"", kind.word()));
        assert_eq!(reply.header("cache-control"), "max-age=60, must-revalidate");
    }
    for (reply, kind) in replies[2..].iter().zip(CertificateKind::ALL) {
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/pkix-cert"));
        assert_eq!(reply.body, authority.ca_certificate_der(kind));
    }
    assert_eq!((replies[4].status, replies[4].body.len()), (200, 0));
    authority.publish(NOW.plus(60)).unwrap();
    let replies =
        ask(&authority, &["GET /crl/auth/002.crl HTTP/1.1", "GET /crl/auth/002.delta.crl HTTP/1.1"]);
    assert_eq!(replies[0].header("etag"), "\"auth-002-2\"");
    assert_eq!(replies[0].header("cache-control"), "max-age=60, must-revalidate");
    assert_eq!(replies[1].header("etag"), "\"auth-002.delta-2\"");
    assert_eq!(replies[1].header("cache-control"), "max-age=20, must-revalidate");
}

#[test]
fn a_list_that_is_known_is_not_sent_again_until_the_next_one() {
    let folder = Folder::new();
    let authority = Arc::new(authority(&folder));
    authority.publish(NOW).unwrap();
    let known = |tag: &str| format!("GET /crl/auth.crl HTTP/1.1\r\nif-none-match: {tag}");
    let cases = [
        ("\"auth-1\"", 304),
        ("W/\"auth-1\"", 304),
        ("\"auth-0\", \"auth-1\"", 304),
        ("*", 304),
        ("\"auth-0\"", 200),
        ("\"sign-1\"", 200),
        ("auth-1", 200),
    ];
    let questions = cases.map(|(tag, _)| known(tag));
    let replies = ask(&authority, &questions.each_ref().map(String::as_str));
    for (reply, (tag, status)) in replies.iter().zip(cases) {
        assert_eq!(reply.status, status, "{tag}");
        assert_eq!(reply.body.is_empty(), status == 304, "{tag}");
        assert_eq!(reply.header("etag"), "\"auth-1\"");
    }
    authority.publish(NOW.plus(60)).unwrap();
    assert_eq!(ask(&authority, &[&known("\"auth-1\"")])[0].header("etag"), "\"auth-2\"");
}

#[test]
fn what_is_not_there_is_a_problem_with_a_code() {
    let folder = Folder::new();
    let authority = Arc::new(authority(&folder));
    let replies = ask(
        &authority,
        &[
            "GET /crl/auth.crl HTTP/1.1",
            "GET /crl/other.crl HTTP/1.1",
            "DELETE /crl/auth.crl HTTP/1.1",
            "GET /crl/auth/003.crl HTTP/1.1",
            "GET /crl/auth/004.crl HTTP/1.1",
            "GET /crl/auth/../auth.crl HTTP/1.1",
            "GET /ca/other.cer HTTP/1.1",
        ],
    );
    let codes = [
        (503, "revocation_list_not_ready"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (503, "revocation_list_not_ready"),
        (404, "not_found"),
        (404, "not_found"),
        (404, "not_found"),
    ];
    for (reply, (status, code)) in replies.iter().zip(codes) {
        assert_eq!((reply.status, reply.header("content-type")), (status, "application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
    }
    assert_eq!(replies[0].header("retry-after"), "1");
}

#[test]
fn the_index_shows_numbers_and_links_and_nobody() {
    let folder = Folder::new();
    let authority = Arc::new(authority(&folder));
    let card = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(4)).unwrap();
    authority.apply_event(CardEvent::ReturnedCard, &card.card_holder_auth.serial, NOW).unwrap();
    let before = ask(&authority, &["GET / HTTP/1.1"]);
    assert!(String::from_utf8(before[0].body.clone()).unwrap().contains("being made"));
    authority.publish(NOW).unwrap();
    let replies = ask(&authority, &["GET / HTTP/1.1"]);
    let page = String::from_utf8(replies[0].body.clone()).unwrap();
    for shown in
        ["/crl/auth.crl", "/crl/sign.crl", "/ca/auth.cer", "<td>1</td><td>1</td>", "2025-11-22T01:02:03Z"]
    {
        assert!(page.contains(shown), "{shown}");
    }
    let octets: String = card.card_holder_auth.serial.as_bytes().iter().map(|o| format!("{o:02x}")).collect();
    assert!(!page.to_lowercase().contains(&octets));
}

/// A server certificate for the loopback address under a town authority made for the test.
fn tls_identity(folder: &Folder, files: &TlsFiles) -> std::path::PathBuf {
    let now = chassis::clock::SystemClock.now();
    let validity = Validity { not_before: now.minus(60), not_after: now.plus(3_600) };
    let entropy = &mut Seeded::new(11);
    let profile = AuthorityProfile::Town { common_name: "Kazasu test town CA" };
    let signer = software_signer(&generate_p256_pkcs8().unwrap()).unwrap();
    let town =
        IssuingAuthority::self_signed(&profile, SerialNumber::random(8, entropy), validity, signer).unwrap();
    let pkcs8 = generate_p256_pkcs8().unwrap();
    let leaf = LeafProfile::TlsServer {
        common_name: "localhost",
        dns_names: &["localhost"],
        ip_addresses: &["127.0.0.1".parse().unwrap()],
    };
    let spki = software_signer(&pkcs8).unwrap().spki_der().to_vec();
    let certificate = town.issue(&leaf, SerialNumber::random(8, entropy), validity, &spki).unwrap();
    std::fs::write(&files.cert, pem::encode(PemKind::Certificate, &certificate).as_bytes()).unwrap();
    chassis::files::write_private(&files.key, pem::encode(PemKind::PrivateKey, &pkcs8).as_bytes()).unwrap();
    let ca = folder.path().join("town-ca.pem");
    std::fs::write(&ca, pem::encode(PemKind::Certificate, town.certificate_der()).as_bytes()).unwrap();
    ca
}

#[test]
fn the_process_serves_its_lists_over_tls_and_stops_when_told() {
    let folder = Folder::new();
    let mut config = folder.config();
    drop(Authority::init(config.clone(), chassis::clock::SystemClock.now(), &mut Seeded::new(1)).unwrap());
    let town_ca = tls_identity(&folder, &config.tls);
    // A port that was free a moment ago: the room must be told where to listen.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.listen = free;
    let anchor_file = ca_path(&config, CertificateKind::CardHolderAuth);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        let (trigger, shutdown) = ShutdownSignal::new();
        let serving = tokio::spawn(serve::serve(config, shutdown));
        let tls = chassis::tls::client_config(&town_ca, None).unwrap();
        let client = Client::new(&format!("https://localhost:{}", free.port()), tls).unwrap();
        // Bounded by the test's own time limit: the room comes up, or the test never ends.
        let reply = loop {
            match client.get("/crl/auth.crl").await {
                Ok(reply) if reply.status == 200 => break reply,
                _ if serving.is_finished() => panic!("the room ended: {:?}", serving.await),
                _ => tokio::task::yield_now().await,
            }
        };
        let ca = pem::decode(PemKind::Certificate, &std::fs::read_to_string(&anchor_file).unwrap()).unwrap();
        let anchor = TrustAnchor::from_certificate(&ca).unwrap();
        let index = RevocationIndex::from_crl(&reply.body, &[anchor], None).unwrap();
        assert_eq!(index.number().as_u64(), Some(1));
        trigger.pull();
        serving.await.unwrap().unwrap();
    });
}
