//! Who may talk to whom, and what the refused one is told.

use crate::certificates::{Desk, EXPIRED, VALID};
use crate::http::{Served, echo_router};
use axum::routing::get;
use axum::{Extension, Router};
use chassis::client::{Client, ClientError, ClientLimits};
use chassis::listener::{ListenerLimits, PeerCertificate};
use chassis::tls::{ClientAuth, TlsError, client_config, server_config};
use std::process::{Command, Stdio};
use std::time::Duration;

fn mutual(desk: &Desk) -> std::sync::Arc<rustls::ServerConfig> {
    let ca_pem = desk.path("ca.pem");
    server_config(&desk.files("server"), ClientAuth::Required { ca_pem }).unwrap()
}

fn client(desk: &Desk, served: &Served, identity: Option<&str>) -> Client {
    let files = identity.map(|name| desk.files(name));
    let tls = client_config(&desk.path("ca.pem"), files.as_ref()).unwrap();
    Client::new(&served.url("https"), tls).unwrap()
}

async fn who(Extension(peer): Extension<PeerCertificate>) -> String {
    let spki: String = peer.spki_sha256.iter().map(|b| format!("{b:02x}")).collect();
    format!("{spki} {} {}", peer.not_after.0, peer.certificate_der.len())
}

#[tokio::test]
async fn the_room_learns_which_terminal_asks_and_one_connection_serves_many_requests() {
    let desk = Desk::usual();
    let router = Router::new().route("/who", get(who));
    let served = Served::tls(router, mutual(&desk), ListenerLimits::default()).await;
    let client = client(&desk, &served, Some("terminal"));

    desk.openssl("pkey -in terminal.key -pubout -outform DER -out spki.der");
    desk.openssl("x509 -in terminal.pem -outform DER -out terminal.der");
    let digest = desk.openssl("dgst -sha256 -r spki.der");
    let digest = digest.split(' ').next().unwrap();
    let der_bytes = std::fs::metadata(desk.path("terminal.der")).unwrap().len();
    // 2049-12-31T23:59:59Z
    let expected = format!("{digest} 2524607999 {der_bytes}");

    for _ in 0..5 {
        let reply = client.get("/who").await.unwrap();
        assert_eq!((reply.status, reply.body.as_ref()), (200, expected.as_bytes()));
        assert!(reply.bytes_out > 0 && reply.bytes_in > u64::try_from(expected.len()).unwrap());
    }
    assert_eq!((client.round_trips(), client.connections_opened()), (5, 1));
    served.stop().await;
}

#[tokio::test]
async fn each_refused_client_certificate_has_its_own_error() {
    let desk = Desk::usual();
    desk.issue("ca", "expired", "client", EXPIRED);
    desk.issue("ca", "early", "client", ("20480101000000Z", "20490101000000Z"));
    desk.root("other", "other");
    desk.issue("other", "foreign", "client", VALID);
    // The same name, another key: the server finds the CA, but the signature does not fit.
    desk.root("twin", "ca");
    desk.issue("twin", "forged", "client", VALID);
    let served = Served::tls(echo_router(), mutual(&desk), ListenerLimits::default()).await;

    let ask = async |identity: Option<&str>| {
        // Several times: the alert must not lose the race against the closing connection.
        let mut last = None;
        for _ in 0..5 {
            let client = client(&desk, &served, identity);
            let long = "x".repeat(20_000);
            last = Some(client.post_json("/echo", &long).await.unwrap_err());
        }
        last.unwrap()
    };
    let error = ask(Some("expired")).await;
    assert!(matches!(error, ClientError::ClientCertificateExpired { .. }), "{error}");
    let error = ask(Some("early")).await;
    assert!(matches!(error, ClientError::ClientCertificateExpired { .. }), "{error}");
    let error = ask(Some("foreign")).await;
    assert!(matches!(error, ClientError::ClientCertificateForeign { .. }), "{error}");
    let error = ask(Some("forged")).await;
    assert!(matches!(error, ClientError::ClientCertificateForeign { .. }), "{error}");
    let error = ask(None).await;
    assert!(matches!(error, ClientError::ClientCertificateMissing { .. }), "{error}");
    // A server certificate is not a client certificate.
    let error = ask(Some("server")).await;
    assert!(matches!(error, ClientError::ClientCertificateRefused { .. }), "{error}");
    assert!(error.to_string().contains("UnsupportedCertificate"), "{error}");

    let good = client(&desk, &served, Some("terminal"));
    assert_eq!(good.post_json("/echo", "x").await.unwrap().status, 200);
    served.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_ours_is_not_trusted() {
    let desk = Desk::usual();
    desk.root("other", "other");
    desk.issue("other", "impostor", "server", VALID);
    desk.issue("ca", "old", "server", EXPIRED);
    desk.issue("ca", "elsewhere", "elsewhere", VALID);
    for name in ["impostor", "old", "elsewhere"] {
        let tls = server_config(&desk.files(name), ClientAuth::None).unwrap();
        let served = Served::tls(echo_router(), tls, ListenerLimits::default()).await;
        let error = client(&desk, &served, None).get("/echo").await.unwrap_err();
        assert!(matches!(error, ClientError::ServerNotTrusted { .. }), "{name}: {error}");
        served.stop().await;
    }
}

#[tokio::test]
async fn openssl_gets_in_with_tls_1_3_only_and_without_a_ticket() {
    let desk = Desk::usual();
    let served = Served::tls(echo_router(), mutual(&desk), ListenerLimits::default()).await;
    let address = served.address.to_string();
    let folder = desk.path("");
    let s_client = async |version: &'static str| {
        let (address, folder) = (address.clone(), folder.clone());
        tokio::task::spawn_blocking(move || {
            let mut child = Command::new("openssl")
                .args(["s_client", "-connect", &address, "-CAfile", "ca.pem"])
                .args(["-cert", "terminal.pem", "-key", "terminal.key"])
                .args(["-alpn", "http/1.1", "-verify_return_error", "-ign_eof"])
                .arg(version)
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let request = b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            // A refused client may be gone before it reads.
            drop(std::io::Write::write_all(child.stdin.as_mut().unwrap(), request));
            let output = child.wait_with_output().unwrap();
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            text
        })
        .await
        .unwrap()
    };
    let modern = s_client("-tls1_3").await;
    assert!(modern.contains("HTTP/1.1 200 OK"), "{modern}");
    assert!(modern.contains("ALPN protocol: http/1.1"), "{modern}");
    assert!(!modern.contains("New Session Ticket arrived"), "{modern}");
    let old = s_client("-tls1_2").await;
    assert!(old.contains("alert protocol version"), "{old}");
    assert!(!old.contains("HTTP/1.1 200"), "{old}");
    served.stop().await;
}

#[test]
fn server_keys_other_than_p256_are_refused_with_the_reason() {
    let desk = Desk::usual();
    desk.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
    desk.certify("ca", "rsa", "server", VALID);
    let error = server_config(&desk.files("rsa"), ClientAuth::None).unwrap_err();
    assert!(matches!(error, TlsError::RsaServerKey { .. }));
    assert!(error.to_string().contains("27 times the CPU"), "{error}");
    // As a client an RSA key is its owner's own cost.
    client_config(&desk.path("ca.pem"), Some(&desk.files("rsa"))).unwrap();

    desk.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.key");
    desk.certify("ca", "p384", "server", VALID);
    let error = server_config(&desk.files("p384"), ClientAuth::None).unwrap_err();
    assert!(matches!(error, TlsError::NotP256ServerKey { .. }), "{error}");
}

#[test]
fn unusable_files_are_named() {
    let desk = Desk::usual();
    let with = |cert: &str, key: &str| {
        let files = chassis::config::TlsFiles { cert: desk.path(cert), key: desk.path(key) };
        server_config(&files, ClientAuth::None).unwrap_err()
    };
    let error = with("server.pem", "terminal.key");
    assert!(matches!(error, TlsError::KeyOfAnother { .. }), "{error}");
    let error = with("absent.pem", "server.key");
    assert!(matches!(error, TlsError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("absent.pem"), "{error}");
    let error = with("server.key", "server.key");
    assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
    let error = with("server.pem", "server.pem");
    assert!(matches!(error, TlsError::BadPem { .. }), "{error}");

    let whole = std::fs::read_to_string(desk.path("server.key")).unwrap();
    std::fs::write(desk.path("half.key"), &whole[..whole.len() / 2]).unwrap();
    let error = with("server.pem", "half.key");
    assert!(matches!(error, TlsError::BadPem { .. }), "{error}");
    let body = whole.lines().nth(1).unwrap();
    assert!(!error.to_string().contains(&body[..16]), "{error}");

    std::fs::write(desk.path("empty.pem"), "").unwrap();
    let ca_pem = desk.path("empty.pem");
    let error = server_config(&desk.files("server"), ClientAuth::Required { ca_pem }).unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_told_apart() {
    let desk = Desk::usual();
    let tls = client_config(&desk.path("ca.pem"), None).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let limits = ClientLimits { connect_timeout: Duration::from_millis(100), ..ClientLimits::default() };
    // The kernel accepts, nobody shakes hands.
    let silent = Client::new(&url, tls.clone()).unwrap().with_limits(limits);
    let error = silent.get("/").await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { waiting_for: "connect", limit_ms: 100, .. }), "{error}");
    drop(listener);
    let error = Client::new(&url, tls).unwrap().get("/").await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_peer_that_is_not_tls_at_all_is_a_protocol_error() {
    let desk = Desk::usual();
    let served = Served::plain(echo_router(), ListenerLimits::default()).await;
    let error = client(&desk, &served, None).get("/echo").await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    served.stop().await;
}

#[tokio::test]
async fn silent_and_babbling_peers_do_not_keep_a_terminal_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let desk = Desk::usual();
    let limits = ListenerLimits {
        handshakes_max: 1,
        handshake_timeout: Duration::from_secs(2),
        ..ListenerLimits::default()
    };
    let served = Served::tls(echo_router(), mutual(&desk), limits).await;
    let mut peers = Vec::new();
    for peer in 0..20_usize {
        let mut tcp = tokio::net::TcpStream::connect(served.address).await.unwrap();
        // Nothing; the start of a ClientHello; something that is not TLS.
        let opening: [&[u8]; 3] = [b"", &[22, 3, 1, 2, 0, 1], b"GET / HTTP/1.1\r\n\r\n"];
        tcp.write_all(opening[peer % 3]).await.unwrap();
        peers.push(tcp);
    }
    let terminal = client(&desk, &served, Some("terminal"));
    assert_eq!(terminal.post_json("/echo", "x").await.unwrap().status, 200);
    // And each of them is shown out.
    for mut tcp in peers {
        let mut rest = Vec::new();
        drop(tcp.read_to_end(&mut rest).await);
    }
    served.stop().await;
}
