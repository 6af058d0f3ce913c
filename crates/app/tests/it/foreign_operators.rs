//! An operator at the command line while the town runs, with openssl as the judge: what OCSP and the lists
//! say after each verb, and what linkage tells whom over mutual TLS.

use crate::fixture::{Ran, Town, kazasu};
use crate::pcscd::{Folder, eventually};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn openssl_with(arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl 3 is installed (Debian: apt-get install openssl)");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn openssl(arguments: &[&str]) -> String {
    openssl_with(arguments, b"")
}

/// `good`, or `revoked` and the reason, as `openssl ocsp` reads it of a checked response.
fn status(town: &Town, kind: &str, certificate: &str) -> String {
    let ca = town.text(&format!("/rooms/jpki_authority/{kind}_ca"));
    let url = town.text("/rooms/jpki_authority/ocsp");
    let said =
        openssl(&["ocsp", "-issuer", ca, "-CAfile", ca, "-cert", certificate, "-url", url, "-no_nonce"]);
    assert!(said.contains("Response verify OK"), "{said}");
    let after = |label: &str| said.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let word = after(&format!("{certificate}:")).unwrap_or_else(|| panic!("no status in {said}"));
    match after("Reason:") {
        Some(reason) => format!("{word} {reason}"),
        None => word.to_owned(),
    }
}

/// Another process changed the store: within moments OCSP says so.
fn says(town: &Town, kind: &str, certificate: &str, expected: &str) {
    eventually(&format!("OCSP says {expected}"), Duration::from_secs(5), || {
        (status(town, kind, certificate) == expected).then_some(())
    });
}

fn certificate<'a>(town: &'a Town, person: &str, kind: &str) -> &'a str {
    town.person(person)[format!("{kind}_cert")].as_str().unwrap()
}

fn became(ran: &Ran) -> Vec<(String, String)> {
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = ran.json()["certificates"].as_array().unwrap().clone();
    all.iter().map(|one| (text(&one["certificate"]), text(&one["became"]))).collect()
}

fn words(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(kind, word)| ((*kind).to_owned(), (*word).to_owned())).collect()
}

fn problem(ran: &Ran) -> String {
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    ran.json()["problem"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn what_an_operator_types_is_what_openssl_reads_while_the_town_runs() {
    let town = Town::start();
    revoked_held_and_released(&town);
    the_lists_follow_when_they_are_told_to(&town);
    what_cannot_be_says_why(&town);
    issued_and_renewed(&town);
    linkage_tells_each_what_it_may_know(&town);
    what_takes_two_takes_two(&town);
    the_audit_knows_it_all(&town);
    let logs = town.logs();
    for path in ["hanako", "saburo", "unlinked"] {
        let serial = serial(certificate(&town, path, "auth"));
        assert!(!logs.to_uppercase().contains(&serial), "a serial number in the logs");
    }
    drop(town.stop());
}

fn revoked_held_and_released(town: &Town) {
    let [auth, sign] = ["auth", "sign"].map(|kind| certificate(town, "hanako", kind));
    says(town, "auth", auth, "good");
    assert_eq!(
        became(&town.run(&["pki", "revoke", "hanako", "lost"])),
        words(&[("auth", "on_hold"), ("sign", "on_hold")])
    );
    says(town, "auth", auth, "revoked certificateHold");
    says(town, "sign", sign, "revoked certificateHold");
    // By file instead of by name; and once more changes nothing.
    assert_eq!(became(&town.run(&["pki", "hold", auth])), words(&[("auth", "already"), ("sign", "already")]));
    assert_eq!(
        became(&town.run(&["pki", "release", sign])),
        words(&[("auth", "released"), ("sign", "released")])
    );
    says(town, "auth", auth, "good");
    assert_eq!(
        became(&town.run(&["pki", "revoke", "hanako", "moved"])),
        words(&[("auth", "untouched"), ("sign", "revoked")])
    );
    says(town, "sign", sign, "revoked affiliationChanged");
    says(town, "auth", auth, "good");
    let reasons =
        [("unlinked", "died", "affiliationChanged"), ("double", "returned", "cessationOfOperation")];
    for (person, event, reason) in reasons {
        town.run(&["pki", "revoke", person, event]);
        for kind in ["auth", "sign"] {
            says(town, kind, certificate(town, person, kind), &format!("revoked {reason}"));
        }
    }
    let auth = certificate(town, "moved", "auth");
    let number = serial(auth);
    let only = ["pki", "revoke", &number, "--reason", "keyCompromise", "--only", "auth"];
    assert_eq!(became(&town.run(&only)), words(&[("auth", "revoked"), ("sign", "untouched")]));
    says(town, "auth", auth, "revoked keyCompromise");
}

fn the_lists_follow_when_they_are_told_to(town: &Town) {
    let folder = Folder::new();
    let out = folder.text("lists");
    let before = town.run(&["pki", "crl"]).json();
    let ran = town.run(&["pki", "crl", "--publish", "--export", &out]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let after = ran.json();
    assert_eq!(after["published"], "published_and_served");
    let auth = after["lists"].as_array().unwrap().iter().find(|list| list["file"] == "auth.crl").unwrap();
    assert!(auth["number"].as_u64() > before["lists"][0]["number"].as_u64(), "{after:#}");
    assert_eq!(auth["by_reason"]["keyCompromise"], 1);
    assert!(auth["age_seconds"].as_u64().unwrap() < 60 && auth["stale"] == false, "{auth:#}");
    // What is served is what was exported, and openssl believes it.
    let path = Path::new(&out).join("auth.crl");
    let ca = town.text("/rooms/jpki_authority/auth_ca");
    let said =
        openssl(&["crl", "-inform", "DER", "-in", path.to_str().unwrap(), "-CAfile", ca, "-noout", "-text"]);
    assert!(said.contains("verify OK") && said.contains("Key Compromise"), "{said}");
    assert!(said.contains(&serial(certificate(town, "moved", "auth"))), "{said}");
    assert!(Path::new(&out).join("auth/000.crl").is_file());
}

fn what_cannot_be_says_why(town: &Town) {
    let ran = town.run(&["pki", "revoke", "double", "lost"]);
    assert_eq!(problem(&ran), "status_change_refused");
    let told = ran.json();
    assert_eq!(told["problem"]["reason"], "cessationOfOperation");
    let detail = told["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains("確定した理由は変わりません") && detail.contains("never changes"), "{detail}");
    assert_eq!(problem(&town.run(&["pki", "release", "taro"])), "status_change_refused");
    assert_eq!(
        problem(&town.run(&["pki", "revoke", "4141414141414141", "lost"])),
        "certificate_not_issued_here"
    );
    assert_eq!(problem(&town.run(&["pki", "revoke", "nobody", "lost"])), "input_unusable");
    assert_eq!(town.run(&["pki", "revoke", "taro"]).code, Some(2));
    assert_eq!(town.run(&["pki", "revoke", "taro", "tired"]).code, Some(2));
    assert_eq!(town.run(&["pki", "revoke", "taro", "--reason", "removeFromCRL"]).code, Some(2));
    let shown = town.run(&["pki", "show", "double"]).json();
    assert_eq!(
        (&shown["certificates"][0]["state"], &shown["certificates"][0]["reason"]),
        (&json!("revoked"), &json!("cessationOfOperation"))
    );
}

/// A card's own public keys.
fn card_keys(folder: &Folder) -> [String; 2] {
    ["auth", "sign"].map(|name| {
        let (key, public) = (folder.text(&format!("{name}.key")), folder.text(&format!("{name}.pub")));
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &key]);
        openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]);
        public
    })
}

fn registration() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/pki/registration.toml");
    path.to_str().unwrap().to_owned()
}

fn issued_and_renewed(town: &Town) {
    let folder = Folder::new();
    let ([auth_key, sign_key], registration) = (card_keys(&folder), registration());
    let new = |out: &str| {
        let keys = ["--auth-key", &auth_key, "--sign-key", &sign_key, "--out", out];
        [&["--registration", registration.as_str()][..], &keys]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run = |verb: &[&str], more: &[String]| {
        let arguments: Vec<&str> = verb.iter().copied().chain(more.iter().map(String::as_str)).collect();
        town.run(&arguments)
    };
    let out = folder.text("card");
    let issued = run(&["pki", "issue"], &new(&out));
    assert_eq!(issued.code, Some(0), "{issued:#?}");
    for kind in ["auth", "sign"] {
        let ca = town.text(&format!("/rooms/jpki_authority/{kind}_ca"));
        let path = format!("{out}/{kind}.pem");
        assert!(openssl(&["verify", "-CAfile", ca, &path]).contains("OK"));
        says(town, kind, &path, "good");
    }
    let renewed = folder.text("renewed");
    let ran = run(&["pki", "renew", "saburo"], &new(&renewed));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    for kind in ["auth", "sign"] {
        says(town, kind, certificate(town, "saburo", kind), "revoked superseded");
        says(town, kind, &format!("{renewed}/{kind}.pem"), "good");
    }
    let shown = town.run(&["pki", "show", "saburo"]).json();
    assert_eq!(shown["certificates"][0]["successor"]["state"], "good");
    // A card that ended is not renewed; and a key that is none is named with its file.
    assert_eq!(problem(&run(&["pki", "renew", "double"], &new(&renewed))), "status_change_refused");
    let mut wrong = new(&renewed);
    wrong[3] = registration.clone();
    assert_eq!(problem(&run(&["pki", "issue"], &wrong)), "input_unusable");
    // What linkage tells afterwards.
    let number = serial(&format!("{renewed}/auth.pem"));
    let told = ask(town, "eligibility", "renewed_auth", &[certificate(town, "saburo", "auth")]);
    let expected =
        json!({ "outcome": "linked", "serial": number.to_lowercase(), "standing": "good", "renewals": 1 });
    assert_eq!(told["answers"][0], expected);
}

fn serial(certificate: &str) -> String {
    let said = openssl(&["x509", "-in", certificate, "-noout", "-serial"]);
    said.trim().strip_prefix("serial=").unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// Asks as a partner of the town, with openssl as the TLS client.
fn ask(town: &Town, partner: &str, question: &str, certificates: &[&str]) -> Value {
    let partners = town.json["partners"].as_array().unwrap();
    let partner = partners.iter().find(|entry| entry["name"] == partner).unwrap();
    let questions: Vec<Value> =
        certificates.iter().map(|path| json!({ "ask": question, "serial": serial(path) })).collect();
    let body = json!({ "purpose": partner["purpose"], "questions": questions }).to_string();
    let address = town.text("/rooms/jpki_authority/linkage").strip_prefix("https://").unwrap();
    let request = format!(
        "POST /linkage/v1/questions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let file = |key: &str| partner[key].as_str().unwrap();
    let ca = town.text("/rooms/jpki_authority/ca");
    let arguments = [
        "s_client",
        "-quiet",
        "-ign_eof",
        "-verify_return_error",
        "-verify_quiet",
        "-servername",
        "localhost",
        "-connect",
        address,
        "-CAfile",
        ca,
        "-cert",
        file("cert"),
        "-key",
        file("key"),
    ];
    let said = openssl_with(&arguments, request.as_bytes());
    let json = said.find("\r\n\r\n").map(|end| &said[end + 4..]).unwrap_or_else(|| panic!("{said}"));
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
    values.next().unwrap_or_else(|| panic!("{said}")).unwrap()
}

fn linkage_tells_each_what_it_may_know(town: &Town) {
    let hold = town.run(&["pki", "hold", "taro"]);
    assert_eq!(hold.code, Some(0), "{hold:#?}");
    let of = |names: &[&str], kind: &str| -> Vec<String> {
        names.iter().map(|name| certificate(town, name, kind).to_owned()).collect()
    };
    let outcomes = |partner: &str, question: &str, paths: &[String]| -> Vec<String> {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let told = ask(town, partner, question, &paths);
        let Some(answers) = told["answers"].as_array() else {
            return vec![told["code"].as_str().unwrap().to_owned()];
        };
        answers.iter().map(|answer| answer["outcome"].as_str().unwrap().to_owned()).collect()
    };
    let auth = of(&["hanako", "taro", "double", "unlinked", "lost"], "auth");
    let told = outcomes("eligibility", "renewed_auth", &auth);
    assert_eq!(told, ["current", "on_hold", "ended", "ended", "on_hold"]);
    let sign = of(&["saburo", "gone", "lost"], "sign");
    assert_eq!(outcomes("bank", "renewed_sign", &sign), ["linked", "ended", "on_hold"]);
    assert_eq!(outcomes("portal", "auth_of_sign", &sign), ["superseded", "ended", "on_hold"]);
    for (partner, question) in [
        ("eligibility", "auth_of_sign"),
        ("bank", "auth_of_sign"),
        ("portal", "renewed_auth"),
        ("bank", "renewed_auth"),
    ] {
        assert_eq!(outcomes(partner, question, &sign), ["linkage_not_allowed"], "{partner} {question}");
    }
    drop(town.run(&["pki", "release", "taro"]));
}

fn what_takes_two_takes_two(town: &Town) {
    let key = |name: &str| {
        let operators = town.json["operators"].as_array().unwrap();
        let operator = operators.iter().find(|operator| operator["name"] == name).unwrap();
        operator["key"].as_str().unwrap().to_owned()
    };
    let (aoi, ben) = (key("aoi"), key("ben"));
    let request =
        |what: &[&str]| town.run(&[&["pki", "request", "--operator", "aoi", "--key", &aoi], what].concat());
    let approve =
        |id: &str, name: &str, key: &str| town.run(&["pki", "approve", id, "--operator", name, "--key", key]);
    let clinic = "9912345676";
    let asked = request(&["suspend", clinic]).json();
    let id = asked["request"].as_str().unwrap();
    assert_eq!(problem(&approve(id, "aoi", &aoi)), "approval_refused");
    assert_eq!(problem(&approve(id, "ben", &aoi)), "approval_refused");
    let pending = town.run(&["pki", "pending"]).json();
    assert_eq!(
        (&pending["requests"][0]["state"], &pending["requests"][0]["summary"]),
        (&json!("pending"), &json!(clinic))
    );
    let done = approve(&id[..6], "ben", &ben);
    assert_eq!((done.code, &done.json()["outcome"]), (Some(0), &json!("executed")));
    assert_eq!(problem(&approve(id, "ben", &ben)), "approval_refused");
    // The clinic's next terminal gets no certificate, until two people say otherwise.
    let folder = Folder::new();
    let (private, public) = (folder.text("se.key"), folder.text("se.pem"));
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &private]);
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
    let out = folder.text("se.cvc");
    let certify = || {
        town.run(&[
            "pki",
            "cvc",
            "issue",
            "--public-key",
            &public,
            "--days",
            "1",
            "--role",
            "pinless-signature",
            "--out",
            &out,
        ])
    };
    assert_eq!(problem(&certify()), "institution_not_accredited");
    let asked = request(&["accredit", clinic, "--name", "見本内科クリニック"]).json();
    approve(asked["request"].as_str().unwrap(), "ben", &ben);
    assert_eq!(certify().code, Some(0));
    // A sub-authority, signed by the authority's key while it runs.
    let sub = folder.text("sub.pem");
    let asked = request(&[
        "certify-authority",
        "--kind",
        "sign",
        "--common-name",
        "Bridge",
        "--public-key",
        &public,
        "--days",
        "9",
    ])
    .json();
    let id = asked["request"].as_str().unwrap();
    let done = town.run(&["pki", "approve", id, "--operator", "ben", "--key", &ben, "--out", &sub]);
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(openssl(&["verify", "-CAfile", town.text("/rooms/jpki_authority/sign_ca"), &sub]).contains("OK"));
    // New delegates: the running authority answers with other certificates.
    let before = delegate(town);
    let asked = request(&["replace-delegates"]).json();
    approve(asked["request"].as_str().unwrap(), "ben", &ben);
    eventually("another delegate answers", Duration::from_secs(30), || {
        (delegate(town) != before).then_some(())
    });
    // One person cannot add a second one.
    let alone = town.run(&["pki", "operator", "add", "chie", "--make-key", &folder.text("chie.key")]);
    assert_eq!(problem(&alone), "approval_refused");
    assert!(!folder.path("chie.key").exists());
}

/// The certificate inside a response.
fn delegate(town: &Town) -> String {
    let (ca, url) = (town.text("/rooms/jpki_authority/auth_ca"), town.text("/rooms/jpki_authority/ocsp"));
    let cert = certificate(town, "hanako", "auth");
    let said = openssl(&["ocsp", "-issuer", ca, "-CAfile", ca, "-cert", cert, "-url", url, "-resp_text"]);
    said.lines().skip_while(|line| !line.starts_with("Certificate:")).collect()
}

fn the_audit_knows_it_all(town: &Town) {
    let verified = town.run(&["pki", "audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
    let head = verified.json()["head"].as_str().unwrap().to_owned();
    let about = town.run(&["pki", "audit", "show", "--card", "saburo"]).json();
    let acts: Vec<(&str, &str)> = about["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["line"]["act"].as_str().unwrap(), entry["line"]["outcome"].as_str().unwrap()))
        .collect();
    for expected in [
        ("renew", "asked"),
        ("renewed_auth", "linked"),
        ("auth_of_sign", "superseded"),
        ("auth_of_sign", "refused_not_allowed"),
    ] {
        assert!(acts.contains(&expected), "{expected:?} in {acts:?}");
    }
    // Somebody with the store and without the key takes a line out.
    let connection = rusqlite::Connection::open(town.text("/rooms/jpki_authority/store")).unwrap();
    connection
        .execute_batch("DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE number = 7;")
        .unwrap();
    let broken = town.run(&["pki", "audit", "verify", "--noted", &head]);
    assert_eq!(problem(&broken), "audit_broken");
    assert!(broken.json()["problem"]["detail"].as_str().unwrap().contains("line 7 is missing"));
}

#[test]
fn every_verb_has_examples_and_needs_an_authority() {
    let folder = Folder::new();
    let nowhere = folder.text("nowhere");
    let verbs: [(&[&str], &[&str]); 10] = [
        (&["pki", "issue"], &["--registration", "x", "--auth-key", "x", "--out", "x"]),
        (&["pki", "renew"], &["x", "--registration", "x", "--auth-key", "x", "--out", "x"]),
        (&["pki", "revoke"], &["hanako", "lost"]),
        (&["pki", "hold"], &["hanako"]),
        (&["pki", "release"], &["hanako"]),
        (&["pki", "show"], &["hanako"]),
        (&["pki", "crl"], &[]),
        (&["pki", "pending"], &[]),
        (&["pki", "operator", "list"], &[]),
        (&["pki", "audit", "verify"], &[]),
    ];
    for (verb, rest) in verbs {
        let help = kazasu(&[verb, &["--help"]].concat());
        assert!(
            help.out.contains("Examples:") && help.out.contains(&verb.join(" ")),
            "{verb:?}: {}",
            help.out
        );
        let ran = kazasu(&[verb, rest, &["--json", "--dir", &nowhere]].concat());
        assert_eq!(problem(&ran), "town_not_running", "{verb:?}");
    }
}
