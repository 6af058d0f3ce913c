//! openssl signs, `kazasu pki cms verify` judges; the town's card signs, openssl judges.

use crate::fixture::{Ran, kazasu};
use crate::pcscd::Folder;
use std::fs;
use std::process::Command;

/// Runs openssl in the folder; whether it said yes, and all it said.
pub(crate) fn openssl(folder: &Folder, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").current_dir(folder.path("")).args(arguments).output();
    let output = output.expect("openssl 3 is installed (Debian: apt-get install openssl)");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn done(folder: &Folder, arguments: &[&str]) {
    let (good, said) = openssl(folder, arguments);
    assert!(good, "{arguments:?}: {said}");
}

const CONFIG: &str = "\
[ca]
default_ca=d
[d]
database=index.txt
crlnumber=crlnumber
default_md=sha256
default_crl_days=7
crl_extensions=x
certificate=ca.pem
private_key=ca.key
[x]
authorityKeyIdentifier=keyid
";

/// An authority of openssl's and signers under it: two with RSA keys, one with a P-256 key, one without the
/// policy of signature certificates.
fn authority() -> Folder {
    let folder = Folder::new();
    let write = |name: &str, text: &str| fs::write(folder.path(name), text).unwrap();
    write("ca.cnf", CONFIG);
    write("crlnumber", "01");
    write("index.txt", "");
    let policy = pki::oid::JPKI_SIGN_POLICY;
    let usage = "keyUsage=critical,digitalSignature,nonRepudiation\nsubjectKeyIdentifier=hash\n";
    write("sign.ext", &format!("{usage}certificatePolicies=critical,{policy}\n"));
    write("plain.ext", usage);
    let rsa = ["-newkey", "rsa:2048", "-nodes"];
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let ca = ["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=foreign ca", "-days", "30"];
    done(&folder, &[&["req"], &rsa[..], &ca].concat());
    for (name, serial, key, extensions) in [
        ("one", "0x10", &rsa[..], "sign.ext"),
        ("two", "0x11", &rsa[..], "sign.ext"),
        ("curve", "0x12", &curve[..], "sign.ext"),
        ("plain", "0x13", &rsa[..], "plain.ext"),
    ] {
        let (key_file, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        done(&folder, &[&["req"], key, &["-keyout", &key_file, "-out", &csr, "-subj", &subject]].concat());
        let sign = ["x509", "-req", "-in", &csr, "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", serial];
        done(&folder, &[&sign[..], &["-days", "30", "-extfile", extensions, "-out", &pem]].concat());
    }
    done(&folder, &["ca", "-config", "ca.cnf", "-gencrl", "-out", "good.crl"]);
    write("letter", "申請書\n二行目\n");
    write("other", "申請書\n二行目!\n");
    folder
}

fn sign(folder: &Folder, out: &str, signer: &str, more: &[&str]) {
    let (certificate, key) = (format!("{signer}.pem"), format!("{signer}.key"));
    let base = ["cms", "-sign", "-in", "letter", "-signer", &certificate, "-inkey", &key, "-out", out];
    done(folder, &[&base[..], more].concat());
}

fn verify_content(folder: &Folder, content: &str, signature: &str, more: &[&str]) -> Ran {
    let file = |name: &str| folder.text(name);
    let (ca, crl, content, signature) = (file("ca.pem"), file("good.crl"), file(content), file(signature));
    let mut line = vec!["pki", "cms", "verify", "--trust", &ca, "--content", &content, "--signature"];
    line.extend([signature.as_str(), "--json"]);
    let owned: Vec<String> =
        more.iter().map(|word| word.strip_prefix('@').map_or((*word).to_owned(), file)).collect();
    if !more.contains(&"--crl") && !more.contains(&"--revocation") {
        line.extend(["--crl", crl.as_str()]);
    }
    line.extend(owned.iter().map(String::as_str));
    kazasu(&line)
}

fn verify(folder: &Folder, signature: &str, more: &[&str]) -> Ran {
    verify_content(folder, "letter", signature, more)
}

fn refused(ran: &Ran, code: &str) -> String {
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:#?}");
    let told = ran.json();
    assert_eq!((&told["valid"], &told["problem"]["code"]), (&false.into(), &code.into()), "{told:#}");
    let detail = told["problem"]["detail"].as_str().unwrap().to_owned();
    assert!(!detail.is_ascii() && detail.contains(" / "), "both languages: {detail}");
    detail
}

#[test]
fn what_openssl_signs_is_accepted_in_every_form() {
    let folder = authority();
    let der = ["-binary", "-outform", "DER"];
    for (signer, more, algorithm) in [
        ("one", &[][..], "rsa-pkcs1-sha256"),
        ("one", &["-noattr"], "rsa-pkcs1-sha256"),
        ("one", &["-md", "sha384"], "rsa-pkcs1-sha384"),
        ("one", &["-md", "sha512", "-nosmimecap"], "rsa-pkcs1-sha512"),
        ("one", &["-md", "sha512", "-noattr"], "rsa-pkcs1-sha512"),
        ("one", &["-cades"], "rsa-pkcs1-sha256"),
        ("one", &["-keyid"], "rsa-pkcs1-sha256"),
        ("one", &["-stream"], "rsa-pkcs1-sha256"),
        ("one", &["-certfile", "two.pem"], "rsa-pkcs1-sha256"),
        ("one", &["-keyopt", "rsa_padding_mode:pss"], "rsa-pss-sha256"),
        ("one", &["-keyopt", "rsa_padding_mode:pss", "-md", "sha512"], "rsa-pss-sha512"),
        ("curve", &[], "ecdsa-sha256"),
        ("curve", &["-md", "sha512"], "ecdsa-sha512"),
        ("curve", &["-noattr", "-md", "sha384"], "ecdsa-sha384"),
    ] {
        sign(&folder, "letter.p7s", signer, &[&der[..], more].concat());
        let ran = verify(&folder, "letter.p7s", &[]);
        let told = ran.json();
        assert_eq!(ran.code, Some(0), "{signer} {more:?} {told:#}");
        let good = &told["signers"][0];
        assert_eq!((&good["algorithm"], &good["profile"]), (&algorithm.into(), &"jpki-sign".into()));
        assert_eq!(
            (&good["revocation"]["status"], &good["revocation"]["source"]),
            (&"good".into(), &"crl".into())
        );
        assert_eq!(good["claimed_signing_time"].is_string(), !more.contains(&"-noattr"), "{more:?}");
        assert_eq!(good["names_certificate"], more.contains(&"-cades"), "{more:?}");
        refused(
            &verify_content(&folder, "other", "letter.p7s", &[]),
            if more.contains(&"-noattr") { "document_signature_invalid" } else { "document_changed" },
        );
    }
    sign(&folder, "letter.pem", "one", &["-binary", "-outform", "PEM"]);
    assert_eq!(verify(&folder, "letter.pem", &[]).code, Some(0));
    done(
        &folder,
        &[
            "smime",
            "-sign",
            "-binary",
            "-in",
            "letter",
            "-signer",
            "one.pem",
            "-inkey",
            "one.key",
            "-outform",
            "PEM",
            "-out",
            "letter.p7",
        ],
    );
    assert_eq!(verify(&folder, "letter.p7", &[]).code, Some(0));
    // The certificate is not in the signature, but at hand.
    sign(&folder, "letter.p7s", "one", &[&der[..], &["-nocerts"]].concat());
    refused(&verify(&folder, "letter.p7s", &[]), "document_signer_missing");
    assert_eq!(verify(&folder, "letter.p7s", &["--untrusted", "@one.pem"]).code, Some(0));
    // Two signers: both count.
    let second = ["-signer", "curve.pem", "-inkey", "curve.key"];
    sign(&folder, "letter.p7s", "one", &[&der[..], &second].concat());
    let told = verify(&folder, "letter.p7s", &[]).json();
    let signers = told["signers"].as_array().unwrap();
    assert!(signers.len() == 2 && signers.iter().all(|signer| signer["valid"] == true), "{told:#}");
}

#[test]
fn what_openssl_signs_otherwise_is_refused() {
    let folder = authority();
    let der = ["-binary", "-outform", "DER"];
    let signed = |more: &[&str]| {
        sign(&folder, "x.p7s", "one", &[&der[..], more].concat());
        verify(&folder, "x.p7s", &[])
    };
    refused(&signed(&["-md", "sha1"]), "document_signature_weak");
    assert_eq!(signed(&["-nodetach"]).code, Some(0), "the content inside is the document");
    refused(&verify_content(&folder, "other", "x.p7s", &[]), "document_changed");
    assert!(
        refused(&signed(&["-md", "sha224"]), "document_signature_weak").contains("2.16.840.1.101.3.4.2.4")
    );
    // Without -binary it is another document that is signed.
    sign(&folder, "x.p7s", "one", &["-outform", "DER"]);
    refused(&verify(&folder, "x.p7s", &[]), "document_changed");
    // One of two signers has no signature certificate.
    let second = ["-signer", "plain.pem", "-inkey", "plain.key"];
    let two = signed(&second);
    assert!(refused(&two, "document_signer_not_valid").contains("policy"));
    let valid: Vec<_> =
        two.json()["signers"].as_array().unwrap().iter().map(|s| s["valid"] == true).collect();
    assert!(valid.contains(&true) && valid.contains(&false));
    sign(&folder, "x.p7s", "one", &der);
    let rule = ["--require-signing-certificate"];
    assert!(
        refused(&verify(&folder, "x.p7s", &rule), "document_signature_invalid")
            .contains("signing-certificate-v2")
    );
    let expired =
        refused(&verify(&folder, "x.p7s", &["--at", "2090-01-01T00:00:00Z"]), "document_signer_not_valid");
    assert!(expired.contains("not valid after"), "{expired}");
    let unknown = verify(&folder, "x.p7s", &["--revocation", "required"]);
    refused(&unknown, "document_signer_status_unknown");
    assert_eq!(
        verify(&folder, "x.p7s", &["--revocation", "none"]).json()["signers"][0]["revocation"]["status"],
        "not-checked"
    );
    let old = refused(
        &verify(&folder, "x.p7s", &["--status-age-max", "60", "--at", &hour_from_now()]),
        "document_signer_status_unknown",
    );
    assert!(
        old.contains("thisUpdate 20") && old.contains("limit 60 s") && old.contains("clock offset"),
        "{old}"
    );
    // Revoked, and on hold.
    for (reason, code) in
        [("superseded", "document_signer_revoked"), ("certificateHold", "document_signer_on_hold")]
    {
        let line = format!("R\t491231235959Z\t250101000000Z,{reason}\t10\tunknown\t/CN=one\n");
        fs::write(folder.path("index.txt"), line).unwrap();
        done(&folder, &["ca", "-config", "ca.cnf", "-gencrl", "-out", "revoked.crl"]);
        let ran = verify(&folder, "x.p7s", &["--crl", "@revoked.crl"]);
        assert!(refused(&ran, code).contains("2025-01-01T00:00:00Z"));
        assert_eq!(ran.json()["problem"]["reason"], reason);
    }
    // Every octet counts: one flipped anywhere is refused, whatever it breaks.
    let whole = fs::read(folder.path("x.p7s")).unwrap();
    let mut accepted = 0;
    for place in (0..whole.len()).step_by(whole.len() / 24) {
        let mut broken = whole.clone();
        broken[place] ^= 0x40;
        fs::write(folder.path("broken.p7s"), broken).unwrap();
        let ran = verify(&folder, "broken.p7s", &[]);
        // An algorithm in the list at the front is a hint to one who streams, and nothing is decided by it.
        accepted += u8::from(ran.code == Some(0));
    }
    assert!(accepted <= 2, "{accepted}");
}

fn hour_from_now() -> String {
    use protocol::time::Clock as _;
    (chassis::clock::SystemClock.now().0 + 3_600).to_string()
}

#[test]
fn bare_signatures_of_openssl() {
    let folder = authority();
    let raw = |document: &str, signature: &str, more: &[&str]| {
        let base = ["--form", "raw", "--signer", "@one.pem"];
        verify_content(&folder, document, signature, &[&base[..], more].concat())
    };
    for digest in ["sha256", "sha384", "sha512", "sha1"] {
        let flag = format!("-{digest}");
        done(&folder, &["dgst", &flag, "-sign", "one.key", "-out", "x.sig", "letter"]);
        if digest == "sha1" {
            refused(&raw("letter", "x.sig", &[]), "document_signature_weak");
            continue;
        }
        let ran = raw("letter", "x.sig", &["--digest", digest]);
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert_eq!(ran.json()["signers"][0]["algorithm"], format!("rsa-pkcs1-{digest}"));
        refused(&raw("other", "x.sig", &["--digest", digest]), "document_signature_invalid");
    }
    done(&folder, &["dgst", "-sha512", "-sign", "one.key", "-out", "x.sig", "letter"]);
    assert!(refused(&raw("letter", "x.sig", &[]), "document_signature_invalid").contains("sha512"));
    done(&folder, &["dgst", "-sha256", "-sign", "two.key", "-out", "x.sig", "letter"]);
    refused(&raw("letter", "x.sig", &[]), "document_signature_invalid");
    let usage = verify(&folder, "x.sig", &["--form", "raw"]);
    assert_eq!(usage.code, Some(2), "{usage:#?}");
    assert_eq!(raw("letter", "x.sig", &["--digest", "sha1"]).code, Some(2));
    assert_eq!(verify_content(&folder, "nothing", "x.sig", &[]).code, Some(2));
}
