//! The platform's edge over real mutual TLS: what cannot be read, and who is not let in. (Refusals of
//! statements, nonces and card certificates have their tests in the platform's own crate.)

use crate::fixture::{Town, get, on_runtime};
use crate::pcscd::{Folder, run, said};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::client::{Client, ClientError};
use chassis::config::TlsFiles;
use chassis::tls;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: usize = 16 * 1024;
const WITHIN: Duration = Duration::from_secs(20);
const PATHS: [&str; 3] = ["/v1/check", "/v1/nonce", "/v1/secure-element/unlock"];

#[test]
fn the_edge_refuses_what_it_cannot_read_and_whom_it_does_not_know() {
    let town = Town::start();
    let edge = Edge::of(&town);
    bodies_that_are_no_requests(&edge);
    bodies_that_are_too_large(&edge);
    paths_methods_and_content_types(&edge);
    problems_speak_both_languages(&edge);
    a_request_that_breaks_off(&edge);
    no_plain_http_and_no_old_tls(&town, &edge);
    client_certificates(&town, &edge);
    // After all of that it works as before.
    let nonce = edge.post("/v1/nonce", b"{}", "");
    assert_eq!((nonce.status, nonce.content_type.as_str()), (200, "application/json"));
    assert_eq!(town.touch("hanako").0, Some(0));
    assert_eq!(get(town.text("/rooms/eligibility/ready")).0, 200);
    assert!(!town.logs().contains("panicked"), "{}", town.logs());
    lists_are_no_objects(&edge);
    drop(town.stop());
}

/// The platform as a registered terminal reaches it.
struct Edge {
    url: String,
    host: String,
    server_ca: PathBuf,
    terminal: TlsFiles,
}

/// A response, as it came.
#[derive(Debug)]
struct Answered {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl Edge {
    fn of(town: &Town) -> Self {
        let url = town.text("/rooms/eligibility/url").to_owned();
        Self {
            host: url.strip_prefix("https://").expect("https").to_owned(),
            url,
            server_ca: town.text("/rooms/eligibility/ca").into(),
            terminal: TlsFiles {
                cert: town.text("/terminals/0/cert").into(),
                key: town.text("/terminals/0/key").into(),
            },
        }
    }

    /// Sends bytes over the terminal's connection and reads until the platform closes.
    fn send(&self, request: &[u8]) -> Option<Answered> {
        let tls = tls::client_config(&self.server_ca, Some(&self.terminal)).unwrap();
        let answer = on_runtime(async {
            let exchange = async {
                let tcp = tokio::net::TcpStream::connect(&self.host).await.unwrap();
                let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
                let mut stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.unwrap();
                stream.write_all(request).await.unwrap();
                let mut answer = Vec::new();
                // The end may come without TLS's own good-bye; what came before counts.
                let _end = stream.read_to_end(&mut answer).await;
                answer
            };
            tokio::time::timeout(WITHIN, exchange).await.expect("the platform answers or closes")
        });
        parse(&answer)
    }

    /// A whole request with `headers` (each ended by CR LF) beside host, length and close.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answered {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            self.host,
            body.len()
        );
        self.send(&[head.as_bytes(), body].concat()).expect("a response")
    }

    fn post(&self, path: &str, body: &[u8], headers: &str) -> Answered {
        self.ask("POST", path, &format!("content-type: application/json\r\n{headers}"), body)
    }

    fn client(&self, identity: Option<&TlsFiles>) -> Client {
        Client::new(&self.url, tls::client_config(&self.server_ca, identity).unwrap()).unwrap()
    }
}

fn parse(answer: &[u8]) -> Option<Answered> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).expect("a head is text");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    let header = |wanted: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        let value = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim());
        value.unwrap_or_default().to_owned()
    };
    assert_eq!(header("cache-control"), "no-store", "{head}");
    Some(Answered { status, content_type: header("content-type"), body: answer[end + 4..].to_vec() })
}

/// Checks that a refusal is a problem of this code and status, whole and in both languages.
fn refused(answered: &Answered, status: u16, code: &str, why: &str) -> Value {
    assert_eq!(answered.content_type, "application/problem+json", "{why}");
    let problem: Value =
        serde_json::from_slice(&answered.body).unwrap_or_else(|error| panic!("{why}: {error}"));
    assert_eq!((answered.status, &problem["code"]), (status, &code.into()), "{why}: {problem:#}");
    assert_eq!(problem["status"], status, "{why}");
    assert!(problem["type"].as_str().unwrap().ends_with(code), "{why}: {problem:#}");
    for text in ["receptionist", "vendor", "action"] {
        for language in ["ja", "en"] {
            assert!(!problem[text][language].as_str().unwrap().is_empty(), "{why}: {text}.{language}");
        }
    }
    problem
}

/// A check with every field in its form, and nothing in it.
fn around_nothing() -> String {
    let (key, sealed) = ([4u8; 65], [0u8; 273]);
    serde_json::json!({"statement": "", "evidence_key": STANDARD.encode(key), "sealed": STANDARD.encode(sealed)})
        .to_string()
}

fn bodies_that_are_no_requests(edge: &Edge) {
    let request = around_nothing();
    let empty_fields = request.as_bytes();
    for path in PATHS {
        for body in [
            &b""[..],
            b"{",
            b"{}}",
            b"null",
            b"\xFF\xFE",
            b"\"text\"",
            &empty_fields[..empty_fields.len() - 1],
            br#"{"serial":"01"}"#,
            &vec![b'['; LIMIT],
        ] {
            // `[` is deep nesting as well as malformed: neither a hang nor a crash.
            let why = format!("{path} {:?}", String::from_utf8_lossy(&body[..body.len().min(40)]));
            refused(&edge.post(path, body, ""), 400, "malformed_request", &why);
        }
    }
    for (field, value) in [
        ("profile", "\"jicsap\""),
        ("auth_certificate", "\"\""),
        ("statement", "\"_-\""),
        ("evidence_key", "\"AAAA\""),
        ("sealed", "7"),
        ("sealed", "\"\""),
    ] {
        let mut request: Value = serde_json::from_slice(empty_fields).unwrap();
        request[field] = serde_json::from_str(value).unwrap();
        let answered = edge.post(PATHS[0], request.to_string().as_bytes(), "");
        refused(&answered, 400, "malformed_request", field);
    }
    // Well-formed JSON around nothing: the statement is what cannot be read.
    let answered = edge.post(PATHS[0], empty_fields, "");
    refused(&answered, 400, "statement_malformed", "empty fields");
}

/// A message is an object with named fields; a list in the order of the fields is something else.
fn lists_are_no_objects(edge: &Edge) {
    for (path, body) in PATHS.into_iter().zip([r#"["","",""]"#, "[]", r#"["AAAAAAAAAAA=","AAAA",""]"#]) {
        refused(&edge.post(path, body.as_bytes(), ""), 400, "malformed_request", &format!("{path} {body}"));
    }
}

fn bodies_that_are_too_large(edge: &Edge) {
    let large = vec![b' '; LIMIT + 1];
    for path in PATHS {
        refused(&edge.post(path, &large, ""), 413, "body_too_large", path);
    }
    // A body in chunks does not say beforehand how long it is.
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n",
        PATHS[0], edge.host
    );
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000)).repeat(5);
    let chunked = edge.send(format!("{head}{chunk}0\r\n\r\n").as_bytes()).expect("a response");
    refused(&chunked, 413, "body_too_large", "chunked");
    // Right at the limit it is read.
    let mut fits = b"{}".to_vec();
    fits.resize(LIMIT, b' ');
    assert_eq!(edge.post("/v1/nonce", &fits, "").status, 200);
}

fn paths_methods_and_content_types(edge: &Edge) {
    for path in ["/", "/v1", "/v1/check/", "/v1/Check", "/v2/check", "/metrics", "/..%2fv1/check"] {
        refused(&edge.post(path, b"{}", ""), 404, "not_found", path);
    }
    for path in PATHS {
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            refused(&edge.ask(method, path, "", b""), 405, "method_not_allowed", &format!("{method} {path}"));
        }
        for kind in ["", "content-type: text/plain\r\n", "content-type: application/xml\r\n"] {
            let answered = edge.ask("POST", path, kind, b"{}");
            refused(&answered, 415, "unsupported_media_type", &format!("{path} {kind}"));
        }
    }
    let with_charset = "content-type: Application/JSON; charset=utf-8\r\n";
    assert_eq!(edge.ask("POST", "/v1/nonce", with_charset, b"{}").status, 200);
}

fn problems_speak_both_languages(edge: &Edge) {
    for path in ["/v1/nowhere", "/v1/check", "/v1/nonce"] {
        let code = if path == "/v1/nowhere" { (404, "not_found") } else { (400, "malformed_request") };
        let japanese = refused(&edge.post(path, b"{", ""), code.0, code.1, path);
        let english =
            refused(&edge.post(path, b"{", "accept-language: en-GB,ja;q=0.5\r\n"), code.0, code.1, path);
        assert_eq!(japanese["title"], japanese["receptionist"]["ja"], "{path}");
        assert_eq!(english["title"], english["receptionist"]["en"], "{path}");
        assert_ne!(japanese["title"], english["title"], "{path}");
    }
}

/// The end of the connection in the middle of a request: nothing is answered as if it had come whole.
fn a_request_that_breaks_off(edge: &Edge) {
    let head = "POST /v1/nonce HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n";
    for request in [format!("{head}\r\n{{}}"), head.to_owned(), "POST /v1/no".to_owned()] {
        let tls = tls::client_config(&edge.server_ca, Some(&edge.terminal)).unwrap();
        on_runtime(async {
            let tcp = tokio::net::TcpStream::connect(&edge.host).await.unwrap();
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let mut stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let read = tokio::time::timeout(WITHIN, stream.read_to_end(&mut answer)).await;
            let _end = read.expect("the platform closes too");
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
        });
    }
    for rubbish in ["\r\n\r\n\0\0", "HELO platform\r\n\r\n"] {
        let answered = edge.send_rubbish(rubbish.as_bytes());
        assert!(!answered.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answered));
    }
}

impl Edge {
    /// Bytes that are no HTTP, inside good TLS.
    fn send_rubbish(&self, bytes: &[u8]) -> Vec<u8> {
        let tls = tls::client_config(&self.server_ca, Some(&self.terminal)).unwrap();
        on_runtime(async {
            let tcp = tokio::net::TcpStream::connect(&self.host).await.unwrap();
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let mut stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            let _end =
                tokio::time::timeout(WITHIN, stream.read_to_end(&mut answer)).await.expect("it closes");
            answer
        })
    }
}

fn no_plain_http_and_no_old_tls(town: &Town, edge: &Edge) {
    let address = edge.host.replace("localhost", "127.0.0.1");
    let mut plain = TcpStream::connect(address).unwrap();
    plain.set_read_timeout(Some(WITHIN)).unwrap();
    plain.write_all(b"POST /v1/nonce HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _closed = plain.read_to_end(&mut answer);
    // A TLS alert record (RFC 8446 §5.1: type 21), or nothing.
    assert!(answer.is_empty() || answer[0] == 21, "{}", String::from_utf8_lossy(&answer));

    let ca = town.text("/rooms/eligibility/ca");
    let (cert, key) = (town.text("/terminals/0/cert"), town.text("/terminals/0/key"));
    let connect = |version: &str| {
        let who =
            ["-connect", &edge.host, "-servername", "localhost", "-CAfile", ca, "-cert", cert, "-key", key];
        run("openssl", "openssl", &[&["s_client", version, "-verify_return_error"][..], &who].concat(), &[])
    };
    let modern = connect("-tls1_3");
    assert!(modern.status.success() && said(&modern).contains("Verify return code: 0"), "{}", said(&modern));
    let old = connect("-tls1_2");
    assert!(!old.status.success() && said(&old).contains("alert protocol version"), "{}", said(&old));
}

fn openssl(arguments: &[&str]) -> Output {
    let output = run("openssl", "openssl", arguments, &[]);
    assert!(output.status.success(), "openssl {arguments:?}:\n{}", said(&output));
    output
}

/// Client certificates by openssl, under an authority of the test's choice.
struct Forge<'a> {
    folder: &'a Folder,
    authority: (String, String),
}

const CLIENT: &str =
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n";
const SERVER: &str =
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n";
const PAST: (&str, &str) = ("20200101000000Z", "20200201000000Z");
const PRESENT: (&str, &str) = ("20200101000000Z", "20490101000000Z");
const FUTURE: (&str, &str) = ("20480101000000Z", "20490101000000Z");

impl Forge<'_> {
    fn p256_key(&self, name: &str) -> String {
        let key = self.folder.text(&format!("{name}.key"));
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key]);
        key
    }

    fn certificate(&self, name: &str, (start, end): (&str, &str), extensions: &str) -> TlsFiles {
        let text = |suffix: &str| self.folder.text(&format!("{name}{suffix}"));
        let (key, request, cert) = (self.p256_key(name), text(".csr"), text(".pem"));
        let subject = "/C=JP/O=Test clinic/serialNumber=9912345670/CN=reception-9";
        openssl(&["req", "-new", "-key", &key, "-subj", subject, "-out", &request]);
        let database = self.folder.file(&format!("{name}.index"), "");
        let config = self.folder.file(
            &format!("{name}.cnf"),
            format!(
                "[ca]\ndefault_ca=d\n[d]\ndatabase={database}\nnew_certs_dir={}\nrand_serial=yes\ndefault_md=sha256\n\
                 policy=p\nunique_subject=no\n[p]\ncommonName=supplied\norganizationName=optional\n\
                 countryName=optional\nserialNumber=optional\n",
                self.folder.text("")
            ),
        );
        let extensions = self.folder.file(&format!("{name}.ext"), extensions);
        let by = ["-config", &config, "-cert", &self.authority.0, "-keyfile", &self.authority.1];
        let when = ["-startdate", start, "-enddate", end, "-extfile", &extensions];
        openssl(&[&["ca", "-batch", "-notext", "-in", &request, "-out", &cert][..], &by, &when].concat());
        TlsFiles { cert: cert.into(), key: key.into() }
    }
}

fn client_certificates(town: &Town, edge: &Edge) {
    let of_town = |end: &str| format!("{}/ca/terminal-ca.{end}", town.dir);
    let registered = Forge { folder: &town.folder, authority: (of_town("pem"), of_town("key")) };
    let ask = |identity: Option<&TlsFiles>| {
        on_runtime(edge.client(identity).post_json("/v1/nonce", &serde_json::json!({})))
    };

    // The forge itself is good: a certificate that the right authority signed is let in as far as HTTP.
    let unregistered = registered.certificate("unregistered", PRESENT, CLIENT);
    for path in PATHS {
        let body = match path {
            "/v1/nonce" => serde_json::json!({}),
            "/v1/check" => serde_json::from_str(&around_nothing()).unwrap(),
            _ => serde_json::json!({
                "secure_element": "AAAAAAAAAAA=",
                "challenge": "AAAAAAAAAAAAAAAAAAAAAA==",
                "evidence_key": STANDARD.encode([4u8; 65]),
            }),
        };
        let reply = on_runtime(edge.client(Some(&unregistered)).post_json(path, &body)).unwrap();
        let answered =
            Answered { status: reply.status, content_type: reply.content_type, body: reply.body.to_vec() };
        refused(&answered, 403, "terminal_unknown", path);
    }

    assert!(matches!(ask(None), Err(ClientError::ClientCertificateMissing { .. })), "{:?}", ask(None));
    for (name, when) in [("expired", PAST), ("early", FUTURE)] {
        let outcome = ask(Some(&registered.certificate(name, when, CLIENT)));
        assert!(matches!(outcome, Err(ClientError::ClientCertificateExpired { .. })), "{name}: {outcome:?}");
    }
    let outcome = ask(Some(&registered.certificate("server", PRESENT, SERVER)));
    assert!(matches!(outcome, Err(ClientError::ClientCertificateRefused { .. })), "serverAuth: {outcome:?}");

    // Another authority, once under a name of its own and once under the name of the right one.
    let key = registered.p256_key("foreign-ca");
    let (own_name, same_name) = (town.folder.text("own-name.pem"), town.folder.text("same-name.pem"));
    openssl(&["req", "-x509", "-key", &key, "-subj", "/CN=foreign", "-days", "30", "-out", &own_name]);
    openssl(&["x509", "-in", &of_town("pem"), "-signkey", &key, "-days", "30", "-out", &same_name]);
    for (name, authority) in [("foreign", own_name), ("namesake", same_name)] {
        let forge = Forge { folder: &town.folder, authority: (authority, key.clone()) };
        let outcome = ask(Some(&forge.certificate(name, PRESENT, CLIENT)));
        assert!(matches!(outcome, Err(ClientError::ClientCertificateForeign { .. })), "{name}: {outcome:?}");
    }
    // The platform's own certificate is for servers, and comes from the town's other authority.
    let server = format!("{}/eligibility/server", town.dir);
    let files = TlsFiles { cert: format!("{server}.pem").into(), key: format!("{server}.key").into() };
    let outcome = ask(Some(&files));
    assert!(matches!(outcome, Err(ClientError::ClientCertificateRefused { .. })), "{outcome:?}");
    // And both registered terminals are let in.
    for place in [0, 1] {
        let file = |end: &str| town.text(&format!("/terminals/{place}/{end}")).into();
        let files = TlsFiles { cert: file("cert"), key: file("key") };
        assert_eq!(ask(Some(&files)).unwrap().status, 200);
    }
}
