//! openssl as a foreign responder: `kazasu pki ocsp` asks it.

use crate::fixture::kazasu;
use crate::pcscd::Folder;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Runs openssl in the folder.
fn openssl(folder: &Folder, arguments: &[&str]) -> String {
    let output = Command::new("openssl").current_dir(folder.path("")).args(arguments).output();
    let output = output.expect("openssl 3 is installed (Debian: apt-get install openssl)");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

struct Responder {
    child: Child,
    url: String,
}

impl Responder {
    fn start(folder: &Folder, more: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .current_dir(folder.path(""))
            .args(["ocsp", "-index", "index.txt", "-port", "0", "-CA", "ca.pem"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl 3 is installed (Debian: apt-get install openssl)");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // `ACCEPT [::]:port PID=…`
        let accept = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        let port = accept.split_whitespace().next().unwrap().rsplit(':').next().unwrap().to_owned();
        // Nobody reads on, and it says little.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://localhost:{port}/") }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// An authority of openssl's, a delegate, one that is none, and four certificates.
fn authority(folder: &Folder) {
    let write = |name: &str, text: &str| std::fs::write(folder.path(name), text).unwrap();
    write("delegate.ext", "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\n");
    write("plain.ext", "extendedKeyUsage=clientAuth\n");
    write("leaf.ext", "keyUsage=digitalSignature\n");
    let request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let ca = ["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=foreign ca", "-days", "30"];
    openssl(folder, &[&request[..], &ca].concat());
    for (name, serial, extensions) in [
        ("delegate", "90", "delegate.ext"),
        ("plain", "91", "plain.ext"),
        ("good", "16", "leaf.ext"),
        ("revoked", "17", "leaf.ext"),
        ("hold", "18", "leaf.ext"),
        ("unknown", "19", "leaf.ext"),
    ] {
        let (key, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        openssl(folder, &[&request[..], &["-keyout", &key, "-out", &csr, "-subj", &subject]].concat());
        let sign = ["x509", "-req", "-in", &csr, "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", serial];
        openssl(folder, &[&sign[..], &["-days", "30", "-extfile", extensions, "-out", &pem]].concat());
    }
    write(
        "index.txt",
        "V\t491231235959Z\t\t10\tunknown\t/CN=good\n\
         R\t491231235959Z\t250101000000Z,superseded\t11\tunknown\t/CN=revoked\n\
         R\t491231235959Z\t250101000000Z,certificateHold\t12\tunknown\t/CN=hold\n",
    );
}

fn ask(folder: &Folder, url: &str, certificate: &str, more: &[&str]) -> (Option<i32>, serde_json::Value) {
    let (ca, leaf) = (folder.text("ca.pem"), folder.text(&format!("{certificate}.pem")));
    let line = ["pki", "ocsp", "--issuer", &ca, "--certificate", &leaf, "--url", url, "--json"];
    let ran = kazasu(&[&line[..], more].concat());
    (ran.code, ran.json())
}

#[test]
fn openssl_answers_and_is_believed() {
    let folder = Folder::new();
    authority(&folder);
    for signer in
        [["-rsigner", "ca.pem", "-rkey", "ca.key"], ["-rsigner", "delegate.pem", "-rkey", "delegate.key"]]
    {
        let responder = Responder::start(&folder, &[&signer[..], &["-nmin", "5"]].concat());
        for (certificate, status, reason) in [
            ("good", "good", None),
            ("revoked", "revoked", Some("superseded")),
            ("hold", "hold", Some("certificateHold")),
            ("unknown", "unknown", None),
        ] {
            for more in [&["--nonce"][..], &["--no-nonce"], &["--get"], &["--cert-id-hash", "sha256"]] {
                let (code, told) = ask(&folder, &responder.url, certificate, more);
                assert_eq!(code, Some(i32::from(status != "good")), "{more:?} {told:#}");
                assert_eq!(told["status"], status, "{more:?} {told:#}");
                assert_eq!(told["reason"].as_str(), reason, "{more:?}");
                assert_eq!(told["nonce"] == "repeated", !more.contains(&"--no-nonce") && more != ["--get"]);
            }
        }
    }
}

#[test]
fn what_openssl_answers_wrongly_is_refused() {
    let folder = Folder::new();
    authority(&folder);
    let code = |told: &serde_json::Value| told["problem"]["code"].as_str().unwrap().to_owned();
    // It does not look whether its signer may answer; we do.
    let wrong = Responder::start(&folder, &["-rsigner", "plain.pem", "-rkey", "plain.key", "-nmin", "5"]);
    let (_, told) = ask(&folder, &wrong.url, "good", &[]);
    assert_eq!(code(&told), "responder_not_authorized", "{told:#}");
    // For another authority it answers, and says that it does not know.
    let other = Folder::new();
    authority(&other);
    let (_, told) = ask(&other, &wrong.url, "good", &[]);
    assert!(
        ["responder_not_authorized", "responder_does_not_know"].contains(&code(&told).as_str()),
        "{told:#}"
    );
    // Five minutes are over in a year.
    let right = Responder::start(&folder, &["-rsigner", "ca.pem", "-rkey", "ca.key", "-nmin", "5"]);
    let (_, told) = ask(&folder, &right.url, "good", &["--at", "2090-01-01T00:00:00Z"]);
    assert_eq!(code(&told), "responder_answer_too_old");
    let (_, told) = ask(&folder, &right.url, "good", &["--at", "2020-01-01T00:00:00Z"]);
    assert_eq!(code(&told), "responder_answer_from_future");
}
