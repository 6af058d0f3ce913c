//! `kazasu card serve` in Debian's pcscd: OpenSC's unmodified tools use the card, and the desk reads it
//! through PC/SC.

use crate::fixture::{Running, Town};
use crate::pcscd::{PcscdFixture, SOCKET, eventually, run, said};
use card_io::pcsc::Daemon;
use std::fs;
use std::time::Duration;

const READER: &str = "Kazasu Town";
const SLOT: &str = "Kazasu Town 00 00";
const MODULES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/opensc-pkcs11.so",
];

#[test]
fn a_served_card_works_with_opensc_and_at_the_desk() {
    let module = MODULES.into_iter().find(|path| fs::exists(path).unwrap());
    let module = module.unwrap_or_else(|| panic!("missing opensc-pkcs11.so: apt-get install opensc-pkcs11"));
    let pcscd = PcscdFixture::start(READER);
    let town = Town::start();
    let serving = serve(&town, &pcscd);
    let bench = Bench { town: &town, pcscd: &pcscd, module };
    bench.lists_both_keys();
    bench.reads_both_certificates();
    bench.signs_with_both_keys();
    touches_through_pcsc(&town, "hanako");
    a_card_left_there_answers_for_nobody_else(&town);
    assert_eq!(serving.interrupt().code(), Some(0), "Ctrl-C takes the card out");
    await_card(false);
    // The same desk, another card in the same reader.
    let serving = serve_person(&town, &pcscd, "lost");
    let (code, touched) = touch_at(&town, "lost", SLOT);
    assert_eq!((code, &touched["problem"]["code"]), (Some(1), &"certificate_hold".into()), "{touched:#}");
    drop(serving);
    let (code, missing) = touch_at(&town, "hanako", "no such reader");
    assert_eq!((code, &missing["problem"]["code"]), (Some(1), &"reader_missing".into()), "{missing:#}");
    drop(town.stop());
}

fn serve(town: &Town, pcscd: &PcscdFixture) -> Running {
    serve_person(town, pcscd, "hanako")
}

fn serve_person(town: &Town, pcscd: &PcscdFixture, name: &str) -> Running {
    let address = pcscd.card_address();
    let arguments = ["card", "serve", name, "--vpcd", &address, "--json", "--dir", &town.dir];
    let serving = Running::start(&town.folder, &arguments);
    assert_eq!(serving.next("the insertion")["event"], "inserted");
    await_card(true);
    serving
}

/// Waits until pcscd knows whether the card is there.
fn await_card(is_there: bool) {
    eventually("pcscd sees the card come or go", Duration::from_secs(20), || {
        let readers = Daemon::at(SOCKET).list_readers().ok()?;
        readers.into_iter().any(|reader| reader.name == SLOT && reader.card_present == is_there).then_some(())
    });
}

fn touch_at(town: &Town, name: &str, reader: &str) -> (Option<i32>, serde_json::Value) {
    let ran = town.run(&["card", "touch", name, "--reader", reader]);
    (ran.code, ran.json())
}

fn touches_through_pcsc(town: &Town, name: &str) {
    let (code, touched) = touch_at(town, name, SLOT);
    assert_eq!((code, &touched["answer"]["validity"]), (Some(0), &"valid".into()), "{touched:#}");
    let counts = (&touched["network_round_trips"], &touched["card_signatures"]);
    assert_eq!(counts, (&1.into(), &1.into()), "{touched:#}");
}

/// The last answer is still on the desk's screen: it is not the answer of the next touch.
fn a_card_left_there_answers_for_nobody_else(town: &Town) {
    let ran = town.run(&["card", "touch", "lost", "--reader", SLOT]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(!ran.out.contains("\"answer\""), "hanako's answer in lost's name: {ran:#?}");
}

/// What OpenSC's tools need.
struct Bench<'a> {
    town: &'a Town,
    pcscd: &'a PcscdFixture,
    module: &'static str,
}

impl Bench<'_> {
    /// Runs one of OpenSC's tools as it is installed, without its cache.
    fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let config = "app default { card_drivers = jpki; framework pkcs15 { use_file_caching = false; } }\n";
        let config = self.pcscd.folder.file("opensc.conf", config);
        let output = run(name, "opensc", arguments, &[("OPENSC_CONF", &config)]);
        assert!(output.status.success(), "{name} {arguments:?}:\n{}", said(&output));
        said(&output)
    }

    fn text(&self, key: &str) -> &str {
        self.town.person("hanako")[key].as_str().unwrap()
    }

    fn lists_both_keys(&self) {
        let listed = self.tool("pkcs15-tool", &["--list-keys"]);
        assert!(listed.contains("Private RSA Key [User Authentication Key]"), "{listed}");
        assert!(listed.contains("Private RSA Key [Digital Signature Key]"), "{listed}");
    }

    /// The card's certificates are those that `town.json` names.
    fn reads_both_certificates(&self) {
        let der = |file: &str| {
            let output = run("openssl", "openssl", &["x509", "-in", file, "-outform", "DER"], &[]);
            assert!(output.status.success(), "{file}: {}", said(&output));
            output.stdout
        };
        let out = self.pcscd.folder.text("read.pem");
        self.tool("pkcs15-tool", &["--read-certificate", "1", "--output", &out]);
        assert_eq!(der(&out), der(self.text("auth_cert")));
        let behind = ["--verify-pin", "--auth-id", "2", "--pin", self.text("sign_password")];
        self.tool("pkcs15-tool", &[&["--read-certificate", "2", "--output", &out][..], &behind].concat());
        assert_eq!(der(&out), der(self.text("sign_cert")));
    }

    fn signs_with_both_keys(&self) {
        let folder = &self.pcscd.folder;
        let (text, signature) = (folder.file("text", "a request\n"), folder.text("signature"));
        let public_key = folder.text("public.pem");
        for (identifier, token, secret, certificate) in [
            ("01", "JPKI (User Authentication PIN)", "pin", "auth_cert"),
            ("02", "JPKI (Digital Signature PIN)", "sign_password", "sign_cert"),
        ] {
            let login =
                ["--module", self.module, "--token-label", token, "--login", "--pin", self.text(secret)];
            let sign = ["--id", identifier, "--sign", "--mechanism", "SHA256-RSA-PKCS"];
            let files = ["--input-file", &text, "--output-file", &signature];
            self.tool("pkcs11-tool", &[&login[..], &sign, &files].concat());
            let key = ["x509", "-in", self.text(certificate), "-noout", "-pubkey", "-out", &public_key];
            assert!(run("openssl", "openssl", &key, &[]).status.success());
            let verify = ["dgst", "-sha256", "-verify", &public_key, "-signature", &signature, &text];
            let verdict = run("openssl", "openssl", &verify, &[]);
            assert!(said(&verdict).contains("Verified OK"), "{certificate}: {}", said(&verdict));
            fs::remove_file(&signature).unwrap();
        }
    }
}
