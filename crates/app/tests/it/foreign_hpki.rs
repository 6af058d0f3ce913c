//! The town's physician: openssl judges the certificates, and OpenSC's unmodified tools use the card in
//! Debian's pcscd as `kazasu card serve` shows it.

use crate::fixture::{Running, Town};
use crate::pcscd::{PcscdFixture, SOCKET, eventually, run, said};
use card_io::pcsc::Daemon;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const READER: &str = "Kazasu Practice";
const SLOT: &str = "Kazasu Practice 00 00";
const MODULES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/opensc-pkcs11.so",
];
/// `docs/pcsc.md`: the generic driver reads, the one for MaskTech cards signs.
const OPENSC: &str = "app default { card_drivers = masktech, default; enable_default_driver = true; \
     framework pkcs15 { use_file_caching = false; }\n\
     card_atr 3b:88:80:01:00:4e:00:00:f7:81:d1:00:e0 { driver = \"MaskTech\"; name = \"HPKI card\"; } }\n";
const SIGN_AID: &str = "E828BD080FA000000391000000000001";
const AUTH_AID: &str = "E828BD080FA000000391000000000002";

#[test]
fn the_towns_physician_has_a_card_that_others_can_use() {
    let town = Town::start();
    let doctor = Doctor { town: &town, person: town.person("dr-sato") };
    doctor.is_described();
    doctor.has_certificates_that_openssl_accepts();
    doctor.is_said_to_be_a_physician();
    doctor.has_a_card_that_opensc_reads_and_signs_with();
    drop(town.stop());
}

fn openssl(arguments: &[&str]) -> String {
    let output = run("openssl", "openssl", arguments, &[]);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

struct Doctor<'a> {
    town: &'a Town,
    person: &'a Value,
}

impl Doctor<'_> {
    fn text(&self, key: &str) -> &str {
        self.person[key].as_str().unwrap_or_else(|| panic!("people[] has no text {key} for dr-sato"))
    }

    fn is_described(&self) {
        for key in ["auth_cert", "sign_cert", "card_face"] {
            assert!(self.person[key].is_null(), "{key}: an HPKI card has none");
        }
        assert!(self.town.patients().all(|person| person["hpki_auth_cert"].is_null()));
        for authority in ["root", "sign", "auth"] {
            let certificate = self.town.text(&format!("/hpki/{authority}/cert"));
            let key = certificate.replace(".pem", ".key");
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600, "{authority}");
        }
    }

    /// The chain under the root, with every authority's list; and under the wrong authority, not.
    fn has_certificates_that_openssl_accepts(&self) {
        let lists = self.town.folder.text("hpki-lists.pem");
        let mut text = String::new();
        for authority in ["root", "sign", "auth"] {
            let list = self.town.text(&format!("/hpki/{authority}/crl"));
            text += &openssl(&["crl", "-inform", "DER", "-in", list]);
        }
        fs::write(&lists, text).unwrap();
        let certificate_of = |authority: &str| self.town.text(&format!("/hpki/{authority}/cert"));
        let root = certificate_of("root");
        for (which, other) in [("sign", "auth"), ("auth", "sign")] {
            let leaf = self.text(&format!("hpki_{which}_cert"));
            let verify = |authority: &str| {
                let between = certificate_of(authority);
                let trust = ["verify", "-x509_strict", "-crl_check_all", "-CAfile", root, "-CRLfile", &lists];
                run("openssl", "openssl", &[&trust[..], &["-untrusted", between, leaf]].concat(), &[])
            };
            let verdict = verify(which);
            assert!(verdict.status.success(), "{which}: {}", said(&verdict));
            assert!(!verify(other).status.success(), "{which} under the other authority");
        }
    }

    fn is_said_to_be_a_physician(&self) {
        for (key, usage) in [("hpki_sign_cert", "Non Repudiation"), ("hpki_auth_cert", "Digital Signature")] {
            let text = openssl(&["x509", "-in", self.text(key), "-noout", "-text"]);
            for word in [usage, "O = KAZASU TEST", "CN = Sato Mihon", "X509v3 Subject Directory Attributes"] {
                assert!(text.contains(word), "{word} is missing:\n{text}");
            }
            let text = openssl(&["asn1parse", "-in", self.text(key), "-i"]);
            assert!(text.contains(":X509v3 Subject Directory Attributes"), "{text}");
            let der = fs::read(self.card_certificate(key)).unwrap();
            assert!(der.windows(14).any(|run| run == b"Medical Doctor"), "hcRole");
        }
    }

    /// The certificate in DER, in a file of its own.
    fn card_certificate(&self, key: &str) -> String {
        let der = self.town.folder.text(&format!("{key}.der"));
        openssl(&["x509", "-in", self.text(key), "-outform", "DER", "-out", &der]);
        der
    }

    fn has_a_card_that_opensc_reads_and_signs_with(&self) {
        let module = MODULES.into_iter().find(|path| fs::exists(path).unwrap());
        let module =
            module.unwrap_or_else(|| panic!("missing opensc-pkcs11.so: apt-get install opensc-pkcs11"));
        let pcscd = PcscdFixture::start(READER);
        let address = pcscd.card_address();
        let arguments = ["card", "serve", "dr-sato", "--vpcd", &address, "--json", "--dir", &self.town.dir];
        let serving = Running::start(&self.town.folder, &arguments);
        assert_eq!(serving.next("the insertion")["event"], "inserted");
        eventually("pcscd sees the card", Duration::from_secs(20), || {
            let readers = Daemon::at(SOCKET).list_readers().ok()?;
            readers.into_iter().any(|reader| reader.name == SLOT && reader.card_present).then_some(())
        });
        let config = pcscd.folder.file("opensc.conf", OPENSC);
        let tool = |name: &str, arguments: &[&str]| {
            let output = run(name, "opensc", arguments, &[("OPENSC_CONF", &config)]);
            assert!(output.status.success(), "{name} {arguments:?}:\n{}", said(&output));
            said(&output)
        };
        let (out, text) = (pcscd.folder.text("read.pem"), pcscd.folder.file("text", "a prescription\n"));
        let (signature, public_key) = (pcscd.folder.text("signature"), pcscd.folder.text("public.pem"));
        // Slots in the order of EF.DIR.
        for (slot, aid, key, pin) in
            [("0", AUTH_AID, "hpki_auth_cert", "pin"), ("1", SIGN_AID, "hpki_sign_cert", "sign_password")]
        {
            tool("pkcs15-tool", &["--aid", aid, "--read-certificate", "17", "--output", &out]);
            let read = pcscd.folder.text("read.der");
            openssl(&["x509", "-in", &out, "-outform", "DER", "-out", &read]);
            assert_eq!(fs::read(&read).unwrap(), fs::read(self.card_certificate(key)).unwrap(), "{key}");
            let login = ["--module", module, "--slot-index", slot, "--login", "--pin", self.text(pin)];
            let sign = ["--id", "17", "--sign", "--mechanism", "SHA256-RSA-PKCS"];
            let files = ["--input-file", &text, "--output-file", &signature];
            tool("pkcs11-tool", &[&login[..], &sign, &files].concat());
            openssl(&["x509", "-in", self.text(key), "-noout", "-pubkey", "-out", &public_key]);
            let verify = ["dgst", "-sha256", "-verify", &public_key, "-signature", &signature, &text];
            assert!(openssl(&verify).contains("Verified OK"), "{key}");
            fs::remove_file(&signature).unwrap();
        }
        assert_eq!(serving.interrupt().code(), Some(0), "Ctrl-C takes the card out");
    }
}
