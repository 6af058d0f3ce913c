//! OpenSC's unmodified tools with our HPKI card, as far as OpenSC knows such cards: it has no driver for
//! them, finds applications in EF.DIR alone, and reads ISO/IEC 7816-15 files by itself. For signatures
//! its configuration lends the card a driver that keeps to ISO/IEC 7816-8.

use crate::opensc::{MODULES, certified, certify, openssl};
use crate::pcscd::{PcscdFixture, SOCKET, eventually, run, said};
use card::EmulatedCard;
use card::hpki_card::{Discovery, HpkiCard, HpkiFunction, HpkiPersonalisation, HpkiPin};
use card_io::pcsc::Daemon;
use card_io::{CardServer, InsertedCard};
use protocol::entropy::{Entropy, Seeded};
use std::fs;
use std::process::Output;
use std::sync::mpsc;
use std::time::Duration;

const READER: &str = "Kazasu HPKI";
const SLOT: &str = "Kazasu HPKI 00 00";
const AUTH_PIN: &str = "4567";
const SIGN_PIN: &str = "sign89";
const AUTH_AID: &str = "E828BD080FA000000391000000000002";
const SIGN_AID: &str = "E828BD080FA000000391000000000001";
/// OpenSC's driver for cards that it does not know: it reads, and has no algorithms.
const READING: &str = "app default { card_drivers = default; enable_default_driver = true; \
                       framework pkcs15 { use_file_caching = false; } }\n";
/// A driver that has RSA and otherwise sends what ISO/IEC 7816-4 and -8 have, for our answer to reset.
const SIGNING: &str = "app default { card_drivers = masktech, default; enable_default_driver = true; \
     framework pkcs15 { use_file_caching = false; }\n\
     card_atr 3b:88:80:01:00:4e:00:00:f7:81:d1:00:e0 { driver = \"MaskTech\"; name = \"HPKI card\"; } }\n";

/// The card, and every command that reached it.
struct Listening(HpkiCard, mpsc::Sender<Vec<u8>>);

impl EmulatedCard for Listening {
    fn atr(&self) -> &[u8] {
        self.0.atr()
    }

    fn power_on(&mut self) {
        self.0.power_on();
    }

    fn power_off(&mut self) {
        self.0.power_off();
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let _nobody_listens = self.1.send(command.to_vec());
        self.0.transmit(command, entropy)
    }
}

/// pcscd and a folder with certified keys: `auth.pem` and `sign.pem` with their authorities'.
struct Bench {
    pcscd: PcscdFixture,
    holder: [HpkiFunction; 2],
}

impl Bench {
    fn new() -> Self {
        let pcscd = PcscdFixture::start(READER);
        let function = |name: &str, pin: &str| {
            certify(&pcscd.folder, name);
            let certified = certified(&pcscd.folder, name);
            HpkiFunction {
                end_entity_der: certified.end_entity_der,
                root_der: certified.issuer_der.clone(),
                issuer_der: certified.issuer_der,
                private_key: certified.private_key,
                pin: HpkiPin::parse(pin).unwrap(),
            }
        };
        let holder = [function("sign", SIGN_PIN), function("auth", AUTH_PIN)];
        Self { pcscd, holder }
    }

    /// The card that is found this way, in the reader, and what it is sent.
    fn insert(self, discovery: Discovery) -> (Self, InsertedCard, mpsc::Receiver<Vec<u8>>) {
        let Self { pcscd, holder: [signature, authentication] } = self;
        let holder = HpkiPersonalisation { signature, authentication, discovery };
        let card = HpkiCard::new(holder.image().unwrap());
        let HpkiPersonalisation { signature, authentication, .. } = holder;
        let (sender, commands) = mpsc::channel();
        let server = CardServer::new(Box::new(Listening(card, sender)), Box::new(Seeded::new(1)))
            .reader_at(pcscd.card_address());
        let inserted = server.insert().unwrap();
        await_card(true);
        (Self { pcscd, holder: [signature, authentication] }, inserted, commands)
    }

    fn tool(&self, config: &str, name: &str, arguments: &[&str]) -> Output {
        let config = self.pcscd.folder.file("opensc.conf", config);
        run(name, "opensc", arguments, &[("OPENSC_CONF", &config)])
    }

    fn succeed(&self, config: &str, name: &str, arguments: &[&str]) -> String {
        let output = self.tool(config, name, arguments);
        assert!(output.status.success(), "{name} {arguments:?}:\n{}", said(&output));
        said(&output)
    }

    fn written(&self, name: &str) -> Vec<u8> {
        fs::read(self.pcscd.folder.path(name)).unwrap()
    }
}

/// Waits until pcscd knows whether the card is there.
fn await_card(is_there: bool) {
    eventually("pcscd sees the card come or go", Duration::from_secs(20), || {
        let readers = Daemon::at(SOCKET).list_readers().ok()?;
        readers.into_iter().any(|reader| reader.name == SLOT && reader.card_present == is_there).then_some(())
    });
}

#[test]
fn opensc_reads_the_hpki_card_and_signs_with_it() {
    // As the guideline has it, there is no EF.DIR, and OpenSC looks no further.
    let (bench, inserted, _) = Bench::new().insert(Discovery::ByName);
    let lost = bench.tool(READING, "pkcs15-tool", &["--dump"]);
    assert!(!lost.status.success() && said(&lost).contains("PKCS#15 binding failed"), "{}", said(&lost));
    drop(inserted.remove().expect("the card did not panic"));
    await_card(false);

    let (bench, inserted, commands) = bench.insert(Discovery::EfDir);
    lists_both_applications(&bench);
    reads_certificates_without_a_pin(&bench);
    while commands.try_recv().is_ok() {}
    signs_with_both_keys(&bench);
    speaks_the_guidelines_commands(&commands);
    counts_wrong_pins_and_blocks(&bench);
    drop(inserted);
}

fn lists_both_applications(bench: &Bench) {
    let atr = bench.succeed(READING, "opensc-tool", &["--atr"]);
    assert!(atr.contains("3b:88:80:01:00:4e:00:00:f7:81:d1:00:e0"), "{atr}");
    let applications = bench.succeed(READING, "pkcs15-tool", &["--list-applications"]);
    for word in ["HPKI authentication", AUTH_AID, "HPKI signature", SIGN_AID] {
        assert!(applications.contains(word), "{applications}");
    }
    for (aid, usage) in [(AUTH_AID, "[0x04], sign"), (SIGN_AID, "[0x200], nonRepudiation")] {
        let dump = bench.succeed(READING, "pkcs15-tool", &["--aid", aid, "--dump"]);
        for word in [
            "PKCS#15 Card [HPKI Application]",
            "Manufacturer ID: KAZASU TEST",
            "Login required, PRN generation",
            "case-sensitive, local, initialized",
            "min_len:4, max_len:16, stored_len:16",
            "150 (0x96)",
            "Private RSA Key [Private key of HPKI]",
            usage,
            "execute:16;",
            "X.509 Certificate [HPKI END ENTITY CERTIFICATE]",
            "X.509 Certificate [KAZASU TEST HPKI CA CERTIFICATE]",
        ] {
            assert!(dump.contains(word), "{word} is missing in\n{dump}");
        }
    }
}

fn reads_certificates_without_a_pin(bench: &Bench) {
    let out = bench.pcscd.folder.text("read.pem");
    for (aid, name) in [(AUTH_AID, "auth"), (SIGN_AID, "sign")] {
        for (identifier, file) in [("17", ".der"), ("19", "-ca.der"), ("1A", "-ca.der")] {
            let read = ["--aid", aid, "--read-certificate", identifier, "--output", &out];
            bench.succeed(READING, "pkcs15-tool", &read);
            let der = openssl(&["x509", "-in", &out, "-outform", "DER"]).stdout;
            assert_eq!(der, bench.written(&format!("{name}{file}")), "{aid} {identifier}");
        }
    }
}

fn signs_with_both_keys(bench: &Bench) {
    let module = MODULES.into_iter().find(|path| fs::exists(path).unwrap());
    let module = module.unwrap_or_else(|| panic!("missing opensc-pkcs11.so: apt-get install opensc-pkcs11"));
    let folder = &bench.pcscd.folder;
    let text = folder.file("text", "a prescription\n");
    let hash = folder.file("hash", openssl(&["dgst", "-sha256", "-binary", &text]).stdout);
    let (signature, public_key) = (folder.text("signature"), folder.text("public.pem"));
    // Slots in the order of EF.DIR.
    for (slot, aid, name, pin) in [("0", AUTH_AID, "auth", AUTH_PIN), ("1", SIGN_AID, "sign", SIGN_PIN)] {
        let certificate = folder.text(&format!("{name}.pem"));
        openssl(&["x509", "-in", &certificate, "-noout", "-pubkey", "-out", &public_key]);
        let is_good = || {
            let verify = ["dgst", "-sha256", "-verify", &public_key, "-signature", &signature, &text];
            assert!(said(&openssl(&verify)).contains("Verified OK"), "{name}");
            fs::remove_file(&signature).unwrap();
        };
        let token = ["--module", module, "--slot-index", slot, "--login", "--pin", pin, "--id", "17"];
        let sign = ["--sign", "--mechanism", "SHA256-RSA-PKCS", "--input-file", &text];
        bench.succeed(SIGNING, "pkcs11-tool", &[&token[..], &sign, &["--output-file", &signature]].concat());
        is_good();
        let key = ["--sign", "--sha-256", "--pkcs1", "--aid", aid, "--key", "17", "--pin", pin];
        bench.succeed(
            SIGNING,
            "pkcs15-crypt",
            &[&key[..], &["--input", &hash, "--output", &signature, "--raw"]].concat(),
        );
        is_good();
    }
}

/// What reached the card is what the guideline has: the key by its file, and the operation.
fn speaks_the_guidelines_commands(commands: &mpsc::Receiver<Vec<u8>>) {
    let sent: Vec<Vec<u8>> = commands.try_iter().collect();
    let signatures = sent.iter().filter(|command| command.starts_with(b"\x00\x2A\x9E\x9A")).count();
    let chosen = sent.iter().filter(|command| *command == b"\x00\x22\x41\xB6\x04\x81\x02\x00\x17").count();
    assert_eq!((chosen, signatures), (4, 4));
}

fn counts_wrong_pins_and_blocks(bench: &Bench) {
    let verify = |aid: &str, pin: &str| {
        let output = bench.tool(READING, "pkcs15-tool", &["--aid", aid, "--verify-pin", "--pin", pin]);
        (output.status.success(), said(&output))
    };
    assert!(verify(AUTH_AID, AUTH_PIN).0);
    for _ in 0..15 {
        let (accepted, message) = verify(AUTH_AID, "0000");
        assert!(!accepted && message.contains("PIN code or key incorrect"), "{message}");
    }
    let (accepted, message) = verify(AUTH_AID, AUTH_PIN);
    assert!(!accepted && message.contains("Reference data not usable"), "{message}");
    assert!(verify(SIGN_AID, SIGN_PIN).0, "the other application's PIN is untouched");
}
