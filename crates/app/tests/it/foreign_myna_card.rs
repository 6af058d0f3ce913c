//! A foreign reading program from a public registry: the examples of `myna-card`, as its author published
//! them, through Debian's pcscd. They are installed into the target folder and are no dependency of ours.

use crate::fixture::{Running, Town};
use crate::pcscd::{PcscdFixture, SOCKET, eventually, run, said};
use card_io::pcsc::Daemon;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const VERSION: &str = "3.3.4";
const SLOT: &str = "Kazasu Foreign 00 00";

/// Runs one of its programs to its end, at most a minute.
fn foreign(name: &str, arguments: &[&str]) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let root = target.join("foreign").join(format!("myna-card-{VERSION}"));
    let program = root.join("bin").join(name);
    assert!(
        program.is_file(),
        "missing {name} of myna-card: apt-get install libpcsclite-dev pkg-config, and \
         cargo install --locked myna-card@{VERSION} --example list_readers --example dump_certificates \
         --example read_card --root {}",
        root.display()
    );
    let output = Command::new("timeout")
        .args(["-k", "5", "60"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("timeout starts");
    assert_ne!(output.status.code(), Some(124), "{name} hung:\n{}", said(&output));
    output
}

struct Bench {
    pcscd: PcscdFixture,
    town: Town,
}

impl Bench {
    fn new() -> Self {
        Self { pcscd: PcscdFixture::start("Kazasu Foreign"), town: Town::start() }
    }

    fn serve(&self, person: &str) -> Running {
        let place = format!("{person}@{}", self.pcscd.card_address());
        let serving =
            Running::start(&self.town.folder, &["card", "serve", &place, "--json", "--dir", &self.town.dir]);
        assert_eq!(serving.next("the insertion")["event"], "inserted");
        eventually("pcscd sees the card", Duration::from_secs(20), || {
            let readers = Daemon::at(SOCKET).list_readers().ok()?;
            readers.iter().any(|reader| reader.name == SLOT && reader.card_present).then_some(())
        });
        serving
    }
}

/// DER of a certificate file, by openssl.
fn der(file: &str) -> Vec<u8> {
    let output = run("openssl", "openssl", &["x509", "-in", file, "-outform", "DER"], &[]);
    assert!(output.status.success(), "{file}: {}", said(&output));
    output.stdout
}

#[test]
fn its_programs_read_the_certificates_and_find_the_card_whole() {
    let bench = Bench::new();
    let serving = bench.serve("hanako");
    let listed = said(&foreign("list_readers", &[]));
    assert!(listed.contains(SLOT), "{listed}");
    let folder = &bench.pcscd.folder;
    let out = folder.text("dumped");
    fs::create_dir_all(&out).unwrap();
    let output = foreign("dump_certificates", &[&out]);
    let dumped = said(&output);
    assert!(output.status.success(), "{dumped}");
    assert!(dumped.contains("token: "), "{dumped}");
    assert!(dumped.contains("signed by the CA certificate on the card: yes"), "{dumped}");
    assert!(dumped.contains("authentication PIN: 3 attempt(s) remaining"), "{dumped}");
    // Nobody may take our certificates for the state's, not even among its test cards.
    assert!(dumped.contains("reaches a published root:                no"), "{dumped}");
    assert!(dumped.contains("reaches a root incl. the test hierarchy: no"), "{dumped}");
    let person = bench.town.person("hanako");
    let read = fs::read(format!("{out}/auth_certificate.der")).unwrap();
    assert_eq!(read, der(person["auth_cert"].as_str().unwrap()));
    let issuer = fs::read(format!("{out}/auth_ca_certificate.der")).unwrap();
    assert_eq!(issuer, der(bench.town.text("/rooms/jpki_authority/auth_ca")));
    drop(serving);
    drop(bench.town.stop());
}

/// What its reading program prints behind `label`.
fn line<'a>(read: &'a str, label: &str) -> &'a str {
    let found = read.lines().find_map(|line| line.trim_start().strip_prefix(label));
    found.unwrap_or_else(|| panic!("no line {label}:\n{read}")).trim()
}

impl Bench {
    /// Reads a person's whole card with the PIN and what is printed on the card.
    fn read_card(&self, name: &str) -> (String, String) {
        let serving = self.serve(name);
        let person = self.town.person(name);
        let text = |pointer: &str| person.pointer(pointer).and_then(Value::as_str).unwrap();
        let out = self.pcscd.folder.text(&format!("read-{name}"));
        fs::create_dir_all(&out).unwrap();
        let (pin, birth, code) =
            (text("/pin"), text("/card_face/birth_code"), text("/card_face/reference_b"));
        let arguments = ["--pin", pin, "--birth-date", birth, "--code-b", code, "--out", &out];
        let output = foreign("read_card", &arguments);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(serving.interrupt().code(), Some(0));
        eventually("pcscd sees the card go", Duration::from_secs(20), || {
            let readers = Daemon::at(SOCKET).list_readers().ok()?;
            readers.iter().any(|reader| reader.name == SLOT && !reader.card_present).then_some(())
        });
        (said(&output), out)
    }
}

#[test]
fn its_reading_program_reads_the_four_attributes_and_believes_every_record() {
    let bench = Bench::new();
    let (read, out) = bench.read_card("hanako");
    for (label, value) in [
        ("氏名", "見本　花子"),
        ("住所", "見本県見本市本町一丁目１番地"),
        ("生年月日", "1985-04-01 (昭和60年)"),
        ("性別", "Female"),
        ("contact ATR", "3B E0 00 FF 81 31 FE 45 14"),
        ("municipality", "99001 (prefecture 99)"),
        ("integrity", "signature [verified], 個人番号 digest [ok], 基本4情報 digest [ok]"),
        ("signed key", "2048 bit  [verified]"),
        ("年齢確認", "生年月日 1985-04-01  [verified]"),
        ("challenge    16 bytes", "signed by the card key  [verified]"),
        ("card's CA", "auth <- auth-ca  [verified]"),
        ("token", "Card"),
        ("利用者証明用 retries", "3"),
        ("署名用 retries", "5"),
    ] {
        assert_eq!(line(&read, label), value, "{label}:\n{read}");
    }
    assert!(line(&read, "券面 ").contains("性別 Female  [verified]"), "{read}");
    assert_eq!(line(&read, "serial"), line(&read, "card number"));
    let number = line(&read, "個人番号");
    assert!(number.len() == 12 && number.bytes().all(|digit| digit.is_ascii_digit()), "{read}");
    // The state's keys, which the program carries, have signed nothing here.
    assert!(line(&read, "to a root").contains("no root this crate carries"), "{read}");
    assert!(line(&read, "test accepted").contains("no root this crate carries"), "{read}");
    assert_eq!(read.matches("no CA key for").count(), 3, "{read}");
    assert!(!read.contains("MISMATCH") && !read.contains("DISAGREES"), "{read}");
    let magic =
        |file: &str| fs::read(format!("{out}/{file}")).unwrap().into_iter().take(8).collect::<Vec<_>>();
    assert_eq!(magic("name.png"), *b"\x89PNG\r\n\x1A\n");
    assert_eq!(magic("address.png"), *b"\x89PNG\r\n\x1A\n");
    assert_eq!(magic("photo.jp2"), *b"\0\0\0\x0CjP  ");
    let person = bench.town.person("hanako");
    assert_eq!(fs::read(format!("{out}/auth.der")).unwrap(), der(person["auth_cert"].as_str().unwrap()));

    let (child, _) = bench.read_card("taro");
    assert_eq!((line(&child, "氏名"), line(&child, "性別")), ("見本　太郎", "Male"));
    assert_eq!(line(&child, "生年月日"), "2022-06-15 (令和4年)");
    assert_eq!(line(&child, "署名用 retries"), "blocked", "a child has no signature password");
    assert_ne!(line(&child, "個人番号"), number);
    drop(bench.town.stop());
}
