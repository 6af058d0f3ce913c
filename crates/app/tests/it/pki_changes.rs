//! `kazasu pki changes`: the file of what is kept, and what is told of it.

use crate::fixture::{Ran, kazasu};
use crate::forge::{Cert, DAY, Entry, List, NOW, revoked};
use crate::pcscd::Folder;
use protocol::time::UnixSeconds;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

const SERIALS: [u64; 3] = [0x5A5A_0001, 0x5A5A_0002, 0x5A5A_0003];

struct Bench(Folder);

impl Bench {
    fn new() -> Self {
        let bench = Self(Folder::new());
        bench.write("ca.der", &Cert::root("CN=root", 0).der());
        for (place, serial) in SERIALS.iter().enumerate() {
            let leaf = Cert::leaf("CN=leaf", 1, "CN=root", 0).serial(*serial);
            bench.write(&format!("{place}.der"), &leaf.der());
        }
        bench
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path(name), bytes).unwrap();
    }

    fn list(&self, name: &str, number: u8, at: UnixSeconds, entries: &[Entry]) {
        let list = List { number: Some(number), ..List::new("CN=root", 0, entries) };
        self.write(name, &list.dated(at, Some(at.plus(DAY))).der());
    }

    /// File names begin with `@`.
    fn run(&self, more: &[&str]) -> Ran {
        let file = |word: &&str| word.strip_prefix('@').map_or((*word).to_owned(), |name| self.0.text(name));
        let base =
            ["pki", "changes", "--trust", "@ca.der", "--kept", "@kept.json", "--at", "2025-11-22T01:02:03Z"];
        let line: Vec<String> = base.iter().chain(more).map(file).collect();
        let ran = kazasu(&line.iter().map(String::as_str).collect::<Vec<_>>());
        // A serial number leaves the file for nowhere, in no spelling.
        for octets in ["5a5a000", "5A5A000", "15158"] {
            assert!(!ran.out.contains(octets) && !ran.err.contains(octets), "{ran:#?}");
        }
        ran
    }

    fn begin(&self) {
        self.list("1.crl", 1, NOW.minus(500), &[]);
        let labelled = |place: usize| format!("customer-{place}={}", self.0.text(&format!("{place}.der")));
        let (a, b, c) = (labelled(0), labelled(1), labelled(2));
        let ran = self.run(&[
            "--crl",
            "@1.crl",
            "--add",
            &a,
            "--add",
            &b,
            "--add",
            &c,
            "--out",
            "@kept.json",
            "--json",
        ]);
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert_eq!(told(&ran.json()), ["first-seen", "first-seen", "first-seen"]);
    }
}

fn told(answer: &Value) -> Vec<&str> {
    answer["kept"].as_array().unwrap().iter().map(|one| one["change"].as_str().unwrap()).collect()
}

#[test]
fn changes_are_told_by_label_and_the_file_follows() {
    let bench = Bench::new();
    bench.begin();
    let path = bench.0.path("kept.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let quiet = bench.run(&["--crl", "@1.crl", "--json"]);
    assert_eq!((quiet.code, quiet.json()["changed"].as_u64()), (Some(0), Some(0)));
    assert_eq!(quiet.json()["kept"][0]["age_seconds"], 500);

    bench.list("2.crl", 2, NOW.minus(400), &[revoked(SERIALS[1], 6), revoked(SERIALS[2], 3)]);
    let before = fs::read(&path).unwrap();
    let ran = bench.run(&["--crl", "@2.crl", "--json"]);
    let answer = ran.json();
    assert_eq!((ran.code, told(&answer)), (Some(1), vec!["unchanged", "put-on-hold", "revoked"]));
    let gone = &answer["kept"][2];
    assert_eq!((&gone["label"], &gone["status"]), (&"customer-2".into(), &"revoked".into()));
    assert_eq!(
        (&gone["reason"], &gone["since"]),
        (&"affiliationChanged".into(), &"2025-11-22T01:01:13Z".into())
    );
    assert_eq!((&gone["age_seconds"], &gone["limit_seconds"]), (&400.into(), &DAY.into()));
    assert_eq!(fs::read(&path).unwrap(), before, "without --out nothing is written");
    assert_eq!(bench.run(&["--crl", "@2.crl", "--out", "@kept.json"]).code, Some(1));
    assert_eq!(bench.run(&["--crl", "@2.crl"]).code, Some(0));

    // The old one again: refused, and what is kept stays.
    let ran = bench.run(&["--crl", "@1.crl", "--out", "@kept.json", "--json"]);
    let answer = ran.json();
    assert_eq!((ran.code, told(&answer)), (Some(1), vec!["older-than-kept"; 3]));
    assert_eq!(
        (&answer["problem"]["code"], &answer["problem"]["culprit"]),
        (&"revocation_list_older_than_kept".into(), &"network".into())
    );
    let detail = answer["problem"]["detail"].as_str().unwrap();
    for shown in [
        "thisUpdate 2025-11-22T00:53:43Z",
        "kept 2025-11-22T00:55:23Z",
        "age 500 s",
        "limit 86400 s",
        "clock offset",
    ] {
        assert!(detail.contains(shown), "{detail}");
    }
    assert_eq!(answer["kept"][2]["status"], "revoked");

    bench.list("3.crl", 3, NOW.minus(300), &[revoked(SERIALS[2], 3)]);
    let ran = bench.run(&["--crl", "@3.crl", "--out", "@kept.json"]);
    for words in [
        "customer-1",
        "一時停止が解除されました / released",
        "thisUpdate 2025-11-22T00:57:03Z",
        "変化 / changed 1, 不明 / unknown 0",
    ] {
        assert!(ran.out.contains(words), "{}", ran.out);
    }
    bench.list("4.crl", 4, NOW.minus(200), &[]);
    let ran = bench.run(&["--crl", "@4.crl", "--json"]);
    assert_eq!(told(&ran.json()), ["unchanged", "unchanged", "no-longer-listed"]);
    assert_eq!(ran.json()["kept"][2]["status"], "revoked");
    // Of another issuer: of no use, and nothing is known.
    bench.write("other.crl", &List::new("CN=other", 3, &[]).der());
    let ran = bench.run(&["--crl", "@other.crl", "--json"]);
    assert_eq!((ran.code, told(&ran.json())), (Some(1), vec!["not-covered"; 3]));
    assert_eq!(ran.json()["ignored"].as_array().unwrap().len(), 1);
    let old = bench.run(&["--crl", "@4.crl", "--status-age-max", "199", "--json"]).json();
    assert_eq!((old["unknown"].as_u64(), told(&old)), (Some(3), vec!["too-old"; 3]));
}

#[test]
fn the_file_is_its_owners_and_is_read_strictly() {
    let bench = Bench::new();
    bench.begin();
    let path = bench.0.path("kept.json");
    let refused = |said: &str| {
        let ran = bench.run(&["--crl", "@1.crl", "--json"]);
        assert_eq!(
            (ran.code, &ran.json()["problem"]["code"]),
            (Some(1), &"input_unusable".into()),
            "{ran:#?}"
        );
        let detail = ran.json()["problem"]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(said), "{detail}");
    };
    let text = fs::read_to_string(&path).unwrap();
    // Replaced in place, so that its mode stays.
    for (from, to, said) in [
        ("\"version\": 1", "\"version\": 2", "version 2"),
        ("\"good\"", "\"fine\"", "entry 1: status"),
        ("\"label\"", "\"name\"", "line"),
        ("\"serial\": \"", "\"serial\": \"x", "entry 1: serial"),
        ("\"issuer\": \"", "\"issuer\": \"00", "entry 1: issuer"),
        ("customer-1", "customer-0", "twice"),
        ("{", "[", "line 2"),
    ] {
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        refused(said);
    }
    fs::write(&path, &text).unwrap();
    assert_eq!(bench.run(&["--crl", "@1.crl"]).code, Some(0));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    refused("chmod 600");
    fs::remove_file(&path).unwrap();
    refused("kept.json");
    let file = bench.0.text("0.der");
    for usage in [&["--crl"][..], &["--crl", "@1.crl", "--add", &file], &["--crl", "@1.crl", "--at", "noon"]]
    {
        assert_eq!(bench.run(usage).code, Some(2), "{usage:?}");
    }
    let stranger = Cert::leaf("CN=leaf", 1, "CN=other", 3).serial(SERIALS[0]).der();
    bench.write("stranger.der", &stranger);
    let add = format!("x={}", bench.0.text("stranger.der"));
    let ran = bench.run(&["--crl", "@1.crl", "--add", &add, "--json"]);
    assert_eq!(ran.json()["problem"]["code"], "input_unusable");
}
