//! `kazasu pki ocsp` against real sockets: every row of the table in `docs/ocsp.md`.

use crate::fixture::{Ran, kazasu};
use crate::forge::{Cert, DAY, NOW, Response, Says, extension, purposes};
use crate::pcscd::Folder;
use crate::responder::{Asked, Reply, Responder, nobody};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::ocsp::request::OcspRequest;
use pki::oid;
use protocol::time::UnixSeconds;
use std::fs;
use std::sync::mpsc;

const SERIAL: u64 = 700;
const AT: &str = "2025-11-22T01:02:03Z";

struct Bench {
    folder: Folder,
}

impl Bench {
    fn new() -> Self {
        let folder = Folder::new();
        fs::write(folder.path("ca.der"), Cert::root("CN=root", 0).der()).unwrap();
        fs::write(folder.path("leaf.der"), leaf().der()).unwrap();
        Self { folder }
    }

    fn ask_at(&self, url: &str, more: &[&str]) -> Ran {
        let (ca, leaf) = (self.folder.text("ca.der"), self.folder.text("leaf.der"));
        let mut line = vec!["pki", "ocsp", "--issuer", &ca, "--certificate", &leaf, "--url", url];
        line.extend(["--at", AT, "--json"]);
        line.extend_from_slice(more);
        kazasu(&line)
    }

    fn ask(&self, more: &[&str], answer: impl Fn(&Asked) -> Reply + Send + 'static) -> Ran {
        self.ask_at(&Responder::start(answer).url, more)
    }

    /// The code and the culprit of what is refused.
    fn refused(&self, more: &[&str], answer: impl Fn(&Asked) -> Reply + Send + 'static) -> Refused {
        Refused::of(&self.ask(more, answer))
    }

    fn says(&self, response: Response) -> Refused {
        self.refused(&[], move |_| Reply::ocsp(response.der()))
    }
}

/// A refusal, checked for what every one must have.
#[derive(Debug)]
struct Refused {
    code: String,
    culprit: String,
    detail: String,
}

impl Refused {
    fn of(ran: &Ran) -> Self {
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:#?}");
        let told = ran.json();
        let problem = &told["problem"];
        let text = |pointer: &str| problem.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        for both in ["/receptionist", "/action"] {
            assert!(!text(&format!("{both}/ja")).is_ascii() && text(&format!("{both}/en")).is_ascii());
        }
        let detail = text("/detail");
        if !told["age_seconds"].is_null() {
            for shown in ["thisUpdate 20", "age ", "limit ", "clock offset "] {
                assert!(detail.contains(shown), "{detail}");
            }
        }
        // A serial number is nobody's business in an error.
        assert!(!ran.out.contains("02BC") && !ran.out.contains("700"), "{}", ran.out);
        Self { code: text("/code"), culprit: text("/culprit"), detail }
    }

    fn is(&self, code: &str, culprit: &str) {
        assert_eq!((self.code.as_str(), self.culprit.as_str()), (code, culprit), "{self:#?}");
    }
}

fn leaf() -> Cert {
    Cert::leaf("CN=leaf", 1, "CN=root", 0).serial(SERIAL)
}

fn says(says: Says) -> Response {
    Response::new("CN=root", 0, SERIAL, says)
}

fn nonce_of(asked: &Asked) -> Option<Vec<u8>> {
    OcspRequest::parse(&asked.body).unwrap().nonce().map(<[u8]>::to_vec)
}

#[test]
fn a_good_answer_is_told_with_its_times_and_kept() {
    let bench = Bench::new();
    let (sender, asked) = mpsc::channel();
    let out = bench.folder.text("answer.der");
    let ran = bench.ask(&["--nonce", "--out", &out], move |asked| {
        sender.send(asked.clone()).unwrap();
        let produced_at = NOW.plus(7);
        Reply::ocsp(Response { nonce: nonce_of(asked), produced_at, ..says(Says::Good) }.der())
    });
    let told = ran.json();
    assert_eq!((ran.code, &told["status"], &told["nonce"]), (Some(0), &"good".into(), &"repeated".into()));
    assert_eq!((&told["age_seconds"], &told["limit_seconds"]), (&3_600.into(), &90_060.into()));
    assert_eq!((&told["clock_offset_seconds"], &told["clock_offset_from"]), (&7.into(), &"nonce".into()));
    assert_eq!(told["this_update"], "2025-11-22T00:02:03Z");
    assert!(told["problem"].is_null() && told["reason"].is_null());
    let asked = asked.recv().unwrap();
    assert_eq!(
        (asked.line.as_str(), asked.content_type.as_str()),
        ("POST /ocsp HTTP/1.1", "application/ocsp-request")
    );
    assert_eq!(nonce_of(&asked).unwrap().len(), 32);
    assert_eq!(fs::read(&out).unwrap().len() as u64, told["octets"].as_u64().unwrap());
    // The same question twice has two nonces.
    let (sender, nonces) = mpsc::channel();
    let responder = Responder::start(move |asked| {
        sender.send(nonce_of(asked)).unwrap();
        Reply::ocsp(says(Says::Good).der())
    });
    assert_eq!(bench.ask_at(&responder.url, &[]).json()["nonce"], "missing");
    assert_eq!(bench.ask_at(&responder.url, &[]).code, Some(0));
    assert_eq!(bench.ask_at(&responder.url, &["--no-nonce"]).json()["nonce"], "not-sent");
    let nonces: Vec<_> = nonces.try_iter().collect();
    assert!(nonces[0].is_some() && nonces[0] != nonces[1] && nonces[2].is_none());
}

#[test]
fn a_short_request_goes_by_get_and_a_long_one_by_post() {
    let bench = Bench::new();
    let (sender, asked) = mpsc::channel();
    let responder = Responder::start(move |asked| {
        sender.send(asked.clone()).unwrap();
        Reply::ocsp(says(Says::Good).der())
    });
    let ran = bench.ask_at(&responder.url, &["--get"]);
    assert_eq!((ran.code, &ran.json()["method"]), (Some(0), &"GET".into()), "{ran:#?}");
    let line = asked.recv().unwrap().line;
    let path = line.strip_prefix("GET /ocsp/").unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let plain = path.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let request = STANDARD.decode(plain).unwrap();
    let request = OcspRequest::parse(&request).unwrap();
    assert_eq!((request.cert_ids().len(), request.nonce()), (1, None));
    let long = bench.ask_at(&responder.url, &["--get", "--cert-id-hash", "sha512"]);
    assert_eq!((long.code, &long.json()["method"]), (Some(0), &"POST".into()), "{long:#?}");
}

#[test]
fn what_the_responder_says_of_the_certificate() {
    let bench = Bench::new();
    let said = |what| bench.ask(&[], move |_| Reply::ocsp(says(what).der()));
    let revoked = said(Says::Revoked(4));
    Refused::of(&revoked).is("certificate_status_refused", "document");
    let told = revoked.json();
    assert_eq!((&told["status"], &told["reason"]), (&"revoked".into(), &"superseded".into()));
    assert_eq!(told["revoked_at"], "2025-11-22T01:01:13Z");
    let hold = said(Says::Revoked(6)).json();
    assert_eq!((&hold["status"], &hold["reason"]), (&"hold".into(), &"certificateHold".into()));
    let unknown = said(Says::Unknown);
    Refused::of(&unknown).is("responder_does_not_know", "authority");
    assert_eq!(unknown.json()["status"], "unknown");
    // The certificate itself says where to ask.
    let responder = Responder::start(|_| Reply::ocsp(says(Says::Good).der()));
    let location = pki::asn1::write::tlv(pki::asn1::tag::context(6), responder.url.as_bytes());
    let description = pki::asn1::write::sequence(&[&pki::asn1::write::oid(&oid::ACCESS_OCSP), &location]);
    let access = extension(&oid::AUTHORITY_INFO_ACCESS, false, &pki::asn1::write::sequence(&[&description]));
    let file = bench.folder.text("aia.der");
    fs::write(&file, leaf().with(access).der()).unwrap();
    let ca = bench.folder.text("ca.der");
    let line = ["pki", "ocsp", "--issuer", &ca, "--certificate", &file, "--at", AT];
    let ran = kazasu(&line);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(ran.out.contains("失効していません / good") && ran.out.contains("age 3600 s"), "{}", ran.out);
}

#[test]
fn a_responder_that_is_down_slow_or_no_responder() {
    let bench = Bench::new();
    Refused::of(&bench.ask_at(&nobody(), &[])).is("responder_unreachable", "network");
    let slow = bench.refused(&["--timeout-ms", "300"], |_| Reply::Silence);
    slow.is("responder_too_slow", "authority");
    assert!(slow.detail.contains("300 ms"), "{slow:?}");
    let unreadable = |reply: fn() -> Reply| {
        let refused = bench.refused(&[], move |_| reply());
        refused.is("responder_answer_unreadable", "authority");
        refused.detail
    };
    assert!(unreadable(|| Reply::ocsp(b"<html>nonsense".to_vec())).contains("octet 0"));
    assert!(unreadable(|| Reply::ocsp(Vec::new())).contains("octet 0"));
    assert!(unreadable(|| Reply::Http(500, "application/ocsp-response", vec![])).contains("HTTP 500"));
    assert!(unreadable(|| Reply::Http(302, "application/ocsp-response", vec![])).contains("HTTP 302"));
    let page = || Reply::Http(200, "text/html", says(Says::Good).der());
    assert!(unreadable(page).contains("\"text/html\""));
    assert!(unreadable(|| Reply::Flood(70_000)).contains("65536 bytes"));
    assert!(unreadable(|| Reply::Flood(400_000_000)).contains("65536 bytes"));
    assert!(!unreadable(|| Reply::Hangup).is_empty());
    // Exactly as large as it may be, and garbage all the same.
    assert!(unreadable(|| Reply::ocsp(vec![0x30; 64 << 10])).contains("OCSPResponse"));
}

#[test]
fn refusals_that_nobody_signs() {
    let bench = Bench::new();
    for (number, code, culprit) in [
        (1, "responder_refuses", "request"),
        (2, "responder_busy", "authority"),
        (3, "responder_busy", "authority"),
        (5, "responder_refuses", "request"),
        (6, "responder_refuses", "request"),
    ] {
        bench.refused(&[], move |_| Reply::ocsp(vec![0x30, 3, 0x0A, 1, number])).is(code, culprit);
    }
}

#[test]
fn nonces_and_replays() {
    let bench = Bench::new();
    let with = |nonce: Option<Vec<u8>>| {
        move |_: &Asked| Reply::ocsp(Response { nonce: nonce.clone(), ..says(Says::Good) }.der())
    };
    bench.refused(&[], with(Some(vec![7; 32]))).is("responder_answer_replayed", "network");
    bench.refused(&["--nonce"], with(Some(vec![7; 32]))).is("responder_answer_replayed", "network");
    bench.refused(&["--nonce"], with(None)).is("responder_answer_without_nonce", "authority");
    assert_eq!(bench.ask(&["--no-nonce"], with(Some(vec![7; 32]))).code, Some(0));
    // Without a nonce, a replay shows where a newer answer is known.
    let seen = |at: &'static str| ["--no-nonce", "--seen", at];
    assert_eq!(bench.ask(&seen("2025-11-22T00:02:03Z"), with(None)).code, Some(0));
    let replayed = bench.refused(&seen("2025-11-22T00:02:04Z"), with(None));
    replayed.is("responder_answer_replayed", "network");
    assert!(replayed.detail.contains("2025-11-22T00:02:04Z"), "{replayed:?}");
}

#[test]
fn wrong_delegates_and_other_certificates() {
    let bench = Bench::new();
    let no_check = extension(&oid::OCSP_NO_CHECK, false, &[5, 0]);
    let plain = Cert::leaf("CN=responder", 2, "CN=root", 0);
    let delegate = plain.clone().with(purposes(&[oid::OCSP_SIGNING])).with(no_check);
    let by = |certificate: &Cert| says(Says::Good).signed_by(2, certificate.der());
    let der = by(&delegate).der();
    assert_eq!(bench.ask(&[], move |_| Reply::ocsp(der.clone())).code, Some(0));
    for (wrong, said) in [
        (by(&plain), "OCSPSigning"),
        (by(&Cert { signed_by: 3, ..delegate.clone() }), "another issuer"),
        (by(&Cert { not_after: NOW.minus(1), ..delegate.clone() }), "2025-11-22T01:02:02Z"),
        (Response { signed_by: 4, ..says(Says::Good) }, "neither the issuer"),
    ] {
        let refused = bench.says(wrong);
        refused.is("responder_not_authorized", "authority");
        assert!(refused.detail.contains(said), "{said}: {refused:?}");
    }
    for other in [
        Response::new("CN=root", 0, SERIAL + 1, Says::Good),
        Response::new("CN=other", 0, SERIAL, Says::Good),
    ] {
        bench.says(other).is("responder_answer_for_another", "authority");
    }
}

#[test]
fn times_at_one_second_before_the_limit_at_it_and_after_it() {
    let bench = Bench::new();
    let ask = |this: UnixSeconds, next: Option<UnixSeconds>, more: &[&str]| {
        let response =
            Response { this_update: this, produced_at: this, next_update: next, ..says(Says::Good) };
        bench.ask(more, move |_| Reply::ocsp(response.der()))
    };
    let expect = |ran: &Ran, code: Option<&str>| match code {
        None => assert_eq!(ran.code, Some(0), "{ran:#?}"),
        Some(code) => Refused::of(ran).is(code, "authority"),
    };
    let (old, future) = (Some("responder_answer_too_old"), Some("responder_answer_from_future"));
    let tolerance = ["--clock-tolerance", "30"];
    for (seconds, outcome) in [(29, None), (30, None), (31, old)] {
        expect(&ask(NOW.minus(DAY), Some(NOW.minus(seconds)), &tolerance), outcome);
    }
    for (seconds, outcome) in [(299, None), (300, None), (301, old)] {
        expect(&ask(NOW.minus(seconds), Some(NOW.plus(DAY)), &["--age-max", "300"]), outcome);
        let limit = ["--age-max-without-next-update", "300"];
        expect(&ask(NOW.minus(seconds), None, &limit), outcome);
    }
    for (seconds, outcome) in [(29, None), (30, None), (31, future)] {
        expect(&ask(NOW.plus(seconds), Some(NOW.plus(DAY)), &tolerance), outcome);
    }
    let late = ask(NOW.minus(301), None, &["--age-max", "300"]).json();
    assert_eq!((&late["age_seconds"], &late["limit_seconds"]), (&301.into(), &300.into()));
    assert_eq!(late["status"], "refused");
}

#[test]
fn what_cannot_be_asked_is_said_before_anybody_is_asked() {
    let bench = Bench::new();
    let (ca, leaf) = (bench.folder.text("ca.der"), bench.folder.text("leaf.der"));
    let url = nobody();
    let run = |issuer: &str, certificate: &str, more: &[&str]| {
        let line = ["pki", "ocsp", "--issuer", issuer, "--certificate", certificate, "--json"];
        kazasu(&[&line[..], more].concat())
    };
    let missing = bench.folder.text("nothing");
    for (issuer, certificate, more) in [
        (&ca, &leaf, &[][..]),
        (&leaf, &leaf, &["--url", &url]),
        (&ca, &ca, &["--url", "https://a.example/"]),
        (&missing, &leaf, &["--url", &url]),
    ] {
        Refused::of(&run(issuer, certificate, more)).is("input_unusable", "operator");
    }
    for usage in [
        &["--nonce", "--no-nonce"][..],
        &["--nonce", "--get"],
        &["--timeout-ms", "0"],
        &["--at", "noon"],
        &["--cert-id-hash", "md5"],
    ] {
        assert_eq!(run(&ca, &leaf, usage).code, Some(2), "{usage:?}");
    }
    let help = kazasu(&["pki", "ocsp", "--help"]);
    assert!(help.out.contains("kazasu pki ocsp --issuer"), "{}", help.out);
}
