//! `kazasu pki validate`: what it prints, in both languages, and how it ends.

use crate::fixture::{Ran, kazasu};
use crate::pcscd::Folder;
use pki::crl::{CrlContents, RevokedEntry};
use pki::issue::IssuingAuthority;
use pki::pem::{PemKind, encode};
use pki::profile::{AuthorityProfile, LeafProfile, Validity};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8, software_signer};
use protocol::time::UnixSeconds;
use std::fs;

/// 2025-11-22T01:02:03Z.
const NOW: UnixSeconds = UnixSeconds(1_763_773_323);
const AT: &str = "2025-11-22T01:02:04Z";
const YEAR_SECONDS: u64 = 31_536_000;

struct Files {
    folder: Folder,
    authority: IssuingAuthority,
}

fn serial(number: u64) -> SerialNumber {
    SerialNumber::from_octets(&number.to_be_bytes()).unwrap()
}

impl Files {
    /// An authority, a terminal's certificate under it, and a list that revokes nothing.
    fn new() -> Self {
        let signer = software_signer(&generate_p256_pkcs8().unwrap()).unwrap();
        let validity = Validity { not_before: NOW, not_after: NOW.plus(YEAR_SECONDS) };
        let profile = AuthorityProfile::Town { common_name: "pki validate test" };
        let authority = IssuingAuthority::self_signed(&profile, serial(1), validity, signer).unwrap();
        let key = SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8().unwrap()).unwrap();
        let terminal = LeafProfile::TlsClient {
            institution_name: "かざす診療所",
            institution_code: "1310000001",
            terminal_name: "reception 1",
        };
        let leaf = authority.issue(&terminal, serial(7), validity, key.spki_der()).unwrap();
        let files = Self { folder: Folder::new(), authority };
        files.write("root.pem", encode(PemKind::Certificate, files.authority.certificate_der()).as_bytes());
        files.write("leaf.der", &leaf);
        let bundle = [encode(PemKind::Certificate, &leaf).as_str(), "words between\n"].concat()
            + encode(PemKind::Certificate, files.authority.certificate_der()).as_str();
        files.write("bundle.pem", bundle.as_bytes());
        files.list("good.crl", &[]);
        files
    }

    fn path(&self, name: &str) -> String {
        self.folder.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path(name), bytes).unwrap();
    }

    fn list(&self, name: &str, revoked: &[(u64, RevocationReason)]) {
        let entries: Vec<_> = revoked
            .iter()
            .map(|(number, reason)| RevokedEntry {
                serial: serial(*number),
                revoked_at: NOW,
                reason: *reason,
                invalid_since: None,
            })
            .collect();
        let next_update = NOW.plus(3_600);
        let contents = CrlContents { number: 1, this_update: NOW, next_update, entries: &entries };
        self.write(name, &self.authority.issue_crl(&contents).unwrap());
    }

    /// `FILE` arguments begin with `@`.
    fn validate(&self, arguments: &[&str]) -> Ran {
        let owned: Vec<String> = arguments
            .iter()
            .map(|argument| argument.strip_prefix('@').map_or((*argument).to_owned(), |name| self.path(name)))
            .collect();
        let mut line = vec!["pki", "validate"];
        line.extend(owned.iter().map(String::as_str));
        kazasu(&line)
    }
}

#[test]
fn a_good_path_is_valid_in_json_in_words_and_in_the_exit_code() {
    let files = Files::new();
    for chain in ["@leaf.der", "@bundle.pem"] {
        let ran =
            files.validate(&["--trust", "@root.pem", "--chain", chain, "--crl", "@good.crl", "--at", AT]);
        let answer = ran.json();
        assert_eq!((ran.code, &answer["valid"]), (Some(0), &true.into()), "{ran:#?}");
        assert_eq!(answer["error"], serde_json::Value::Null);
        assert_eq!(answer["path"].as_array().unwrap().len(), 2);
        assert!(answer["path"][0]["subject"].as_str().unwrap().starts_with("CN=reception 1,"), "{answer:#}");
        let revocation = &answer["revocation"];
        assert_eq!((&revocation["status"], &revocation["source"]), (&"good".into(), &"crl".into()));
        assert_eq!(revocation["this_update"], "2025-11-22T01:02:03Z");
        assert_eq!((&revocation["age_seconds"], &revocation["reason"]), (&1.into(), &().into()));
        assert!(ran.err.contains("有効です") && ran.err.contains("valid"), "{}", ran.err);
    }
    let quiet = files.validate(&["--trust", "@root.pem", "--chain", "@leaf.der", "--at", AT, "--json"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
    assert_eq!(quiet.json()["revocation"]["status"], "not-checked");
    let profile = [
        "--trust",
        "@root.pem",
        "--chain",
        "@leaf.der",
        "--at",
        AT,
        "--profile",
        "terminal",
        "--purpose",
        "client-auth",
    ];
    assert_eq!(files.validate(&profile).code, Some(0));
}

#[test]
fn what_is_wrong_is_named_with_its_place_reason_and_age() {
    let files = Files::new();
    files.list("revoked.crl", &[(7, RevocationReason::Superseded)]);
    files.list("held.crl", &[(7, RevocationReason::CertificateHold)]);
    let refused = |arguments: &[&str]| {
        let mut line = vec!["--trust", "@root.pem", "--chain", "@leaf.der", "--at"];
        line.extend_from_slice(if arguments.contains(&"--at") { &[] } else { &[AT] });
        line.retain(|word| *word != "--at" || !arguments.contains(&"--at"));
        line.extend_from_slice(arguments);
        let ran = files.validate(&line);
        assert_eq!(ran.code, Some(1), "{arguments:?} {ran:#?}");
        assert!(ran.err.contains("無効です") && ran.err.contains("not valid"), "{}", ran.err);
        ran.json()
    };
    let revoked = refused(&["--crl", "@revoked.crl"]);
    assert_eq!((&revoked["error"]["code"], &revoked["error"]["place"]), (&"revoked".into(), &"leaf".into()));
    assert_eq!(revoked["revocation"]["status"], "revoked");
    assert_eq!(revoked["revocation"]["reason"], "superseded");
    assert_eq!(revoked["revocation"]["revoked_at"], "2025-11-22T01:02:03Z");
    let held = refused(&["--crl", "@held.crl"]);
    assert_eq!((&held["error"]["code"], &held["revocation"]["status"]), (&"on-hold".into(), &"hold".into()));
    let stale = refused(&["--crl", "@good.crl", "--at", "2025-11-22T02:02:04Z"]);
    assert_eq!(stale["revocation"]["status"], "stale");
    assert_eq!(
        (&stale["error"]["age_seconds"], &stale["error"]["limit_seconds"]),
        (&3_601.into(), &3_600.into())
    );
    let unknown = refused(&["--revocation", "required"]);
    assert_eq!(unknown["revocation"]["status"], "unknown");
    let future = refused(&["--at", "2025-11-22T01:02:02Z"]);
    assert_eq!(future["error"]["code"], "not-yet-valid");
    let profile = refused(&["--profile", "jpki-auth"]);
    assert_eq!(profile["error"]["code"], "profile");
    let policy = refused(&["--policy", "1.2.3", "--require-explicit-policy"]);
    assert_eq!(policy["error"]["code"], "policy");
}

#[test]
fn data_that_cannot_be_read_is_not_valid_and_options_that_cannot_be_are_usage() {
    let files = Files::new();
    files.write("noise", b"nonsense");
    files.write("empty", b"");
    let der = fs::read(files.folder.path("leaf.der")).unwrap();
    files.write("torn.der", &der[..der.len() - 1]);
    let crl = fs::read(files.folder.path("good.crl")).unwrap();
    files.write("torn.crl", &crl[..crl.len() - 1]);
    for chain in ["@noise", "@empty", "@torn.der"] {
        let ran = files.validate(&["--trust", "@root.pem", "--chain", chain, "--at", AT]);
        assert_eq!((ran.code, &ran.json()["error"]["code"]), (Some(1), &"malformed".into()), "{chain}");
        assert_eq!(ran.json()["error"]["offset"], 0);
    }
    // A torn list may have spoken of the certificate: that is not the same as none.
    let line = ["--trust", "@root.pem", "--chain", "@leaf.der", "--at", AT, "--revocation", "if-present"];
    assert_eq!(files.validate(&line).code, Some(0));
    let torn = files.validate(&[&line[..], &["--crl", "@torn.crl"]].concat());
    assert_eq!((torn.code, &torn.json()["error"]["code"]), (Some(1), &"status-unknown".into()));
    assert_eq!(torn.json()["ignored"].as_array().unwrap().len(), 1);
    let untrusted = files.validate(&["--trust", "@noise", "--chain", "@leaf.der", "--at", AT]);
    assert_eq!((untrusted.code, &untrusted.json()["valid"]), (Some(1), &false.into()));
    for usage in [
        &["--chain", "@leaf.der"][..],
        &["--trust", "@root.pem"],
        &["--trust", "@nowhere", "--chain", "@leaf.der"],
        &["--trust", "@root.pem", "--chain", "@leaf.der", "--at", "noon"],
        &["--trust", "@root.pem", "--chain", "@leaf.der", "--policy", "x"],
        &["--trust", "@root.pem", "--chain", "@leaf.der", "--profile", "mine"],
        &["--trust", "@root.pem", "--chain", "@leaf.der", "--revocation", "maybe"],
    ] {
        let ran = files.validate(usage);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{usage:?} {ran:#?}");
    }
}

/// The examples of the help page are run as they stand, with files of those names.
#[test]
fn every_example_of_the_help_page_runs() {
    let files = Files::new();
    let copy = |from: &str, to: &str| {
        let to = files.folder.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(files.folder.path(from), to).unwrap();
    };
    for name in ["root.crt", "bag.pem", "intermediate.pem", "auth.ca.pem"] {
        copy("root.pem", name);
    }
    for name in ["leaf.crt", "leaf.pem", "hanako.pem"] {
        copy("leaf.der", name);
    }
    for name in ["root.crl", "ca.crl"] {
        copy("good.crl", name);
    }
    files.write("answer.der", &[0x30, 3, 0x0A, 1, 3]);
    let help = kazasu(&["pki", "validate", "--help"]).out;
    let examples: Vec<&str> =
        help.lines().filter_map(|line| line.trim().strip_prefix("kazasu pki validate ")).collect();
    assert_eq!(examples.len(), 5, "{help}");
    // Longer ones would be broken in two where the help page is wrapped.
    assert!(examples.iter().all(|example| example.len() < 78), "{help}");
    for example in examples {
        let words: Vec<String> = example
            .split(' ')
            .map(|word| match word.rsplit_once('.') {
                Some((_, "pem" | "crt" | "crl" | "der")) => files.path(word),
                _ => word.to_owned(),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = kazasu(&[&["pki", "validate"], &words[..]].concat());
        let valid = ran.json()["valid"].as_bool().unwrap();
        assert_eq!(ran.code, Some(if valid { 0 } else { 1 }), "{example}: {ran:#?}");
    }
}

#[test]
fn files_in_every_form_that_people_have_them() {
    let files = Files::new();
    let read = |name: &str| fs::read(files.folder.path(name)).unwrap();
    let root = read("root.pem");
    let leaf = encode(PemKind::Certificate, &read("leaf.der"));
    let list = encode(PemKind::CertificateList, &read("good.crl"));
    // Words around the blocks, in an encoding that is not UTF-8, with the line ends of another system.
    let mut noted = b"\x8e\x96\x8e\xd2 subject=x\r\n".to_vec();
    noted.extend(leaf.replace('\n', "\r\n").into_bytes());
    noted.extend(b"\r\n-- \r\n".iter().chain(&root));
    files.write("noted.pem", &noted);
    files.write("list.pem", list.as_bytes());
    let bare: String =
        list.lines().filter(|line| !line.starts_with('-')).map(|line| line.to_owned() + "\n").collect();
    files.write("bare.b64", bare.as_bytes());
    let with = |chain: &str, crl: &str| {
        let ran = files.validate(&["--trust", "@root.pem", "--chain", chain, "--crl", crl, "--at", AT]);
        assert_eq!(ran.code, Some(0), "{chain} {crl} {ran:#?}");
    };
    with("@noted.pem", "@list.pem");
    with("@leaf.der", "@bare.b64");
    // The same instant in other words.
    for at in ["2025-11-22T10:02:04+09:00", "1763773324", "2025-11-21T20:02:04.5-05:00"] {
        let ran = files.validate(&[
            "--trust",
            "@root.pem",
            "--chain",
            "@leaf.der",
            "--crl",
            "@good.crl",
            "--at",
            at,
        ]);
        assert_eq!((ran.code, &ran.json()["at"]), (Some(0), &AT.into()), "{at}");
    }
}

#[test]
fn files_of_no_use_are_named_with_the_reason() {
    let files = Files::new();
    let leaf = encode(PemKind::Certificate, &fs::read(files.folder.path("leaf.der")).unwrap());
    files.write("leaf.pem", leaf.as_bytes());
    files.write("cut.pem", &leaf.as_bytes()[..leaf.len() - 40]);
    files.write("noise", b"nonsense");
    let ignored = |arguments: &[&str]| {
        let line = [&["--trust", "@root.pem", "--at", AT][..], arguments].concat();
        let ran = files.validate(&line);
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let answer = ran.json();
        let [one] = &answer["ignored"].as_array().unwrap()[..] else { panic!("{answer:#}") };
        let field = |name: &str| one[name].as_str().unwrap().to_owned();
        assert!(ran.err.contains(&field("file")) && ran.err.contains(&field("why")), "{}", ran.err);
        (field("file").rsplit('/').next().unwrap().to_owned(), field("why"))
    };
    // A list that turns out to be a certificate may have been meant to revoke.
    let swapped = ignored(&["--chain", "@leaf.der", "--crl", "@leaf.pem", "--revocation", "if-present"]);
    assert_eq!(swapped, ("leaf.pem".into(), "PEM without a X509 CRL block, but with CERTIFICATE".into()));
    assert_eq!(ignored(&["--chain", "@cut.pem"]), ("cut.pem".into(), "PEM block without an end".into()));
    let noise = ignored(&["--chain", "@noise"]);
    assert_eq!(noise, ("noise".into(), "malformed certificate at octet 0".into()));
    let missing = files.validate(&["--trust", "@root.pem", "--chain", "@leaf.der", "--crl", "@nowhere.crl"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.err.contains("nowhere.crl"), "{}", missing.err);
}

/// A certificate of no authority that is trusted is trusted for itself, and issues nothing.
#[test]
fn a_certificate_may_be_trusted_for_itself() {
    let files = Files::new();
    let line = |trust, chain| files.validate(&["--trust", trust, "--chain", chain, "--at", AT]);
    assert_eq!(line("@leaf.der", "@leaf.der").code, Some(0));
    let other = line("@leaf.der", "@root.pem");
    assert_eq!((other.code, &other.json()["valid"]), (Some(1), &false.into()));
    let why = "not for this use: an anchor must be an authority";
    assert_eq!(other.json()["ignored"][0]["why"], why);
}
