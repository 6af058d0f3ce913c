//! A foreign reading program from a public registry: the examples of `myna-card`, as its author published
//! them, through Debian's pcscd. They are installed into the target folder and are no dependency of ours.

use crate::fixture::{Running, Town};
use crate::pcscd::{PcscdFixture, SOCKET, eventually, run, said};
use card_io::pcsc::Daemon;
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
