//! OpenSC's unmodified tools with our card in pcscd; openssl makes the keys and judges the results.

use crate::pcscd::{Folder, PcscdFixture, SOCKET, eventually, run, said};
use card::EmulatedCard;
use card::cvc::{CvcPublicKey, KeyReference};
use card::my_number_card::{
    AuthPin, CertifiedKey, MyNumberCard, Personalisation, SignPassword, SignatureFunction,
};
use card::rsa_key::CardRsaKey;
use card::trace::replay::{Care, Progress, Replay, Secrets, Verdict};
use card::trace::{Header, Observed, RecordedCard, SecretHandling, Trace};
use card_io::pcsc::Daemon;
use card_io::{CardServer, InsertedCard, Reader, TraceEvent};
use protocol::entropy::Seeded;
use std::fs;
use std::process::Output;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const READER: &str = "Kazasu OpenSC";
const SLOT: &str = "Kazasu OpenSC 00 00";
const PIN: &str = "1234";
const PASSWORD: &str = "ABC123XYZ";
const AUTH_TOKEN: &str = "JPKI (User Authentication PIN)";
const SIGN_TOKEN: &str = "JPKI (Digital Signature PIN)";
pub(crate) const MODULES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib/opensc-pkcs11.so",
];

pub(crate) fn openssl(arguments: &[&str]) -> Output {
    let output = run("openssl", "openssl", arguments, &[]);
    assert!(output.status.success(), "openssl {arguments:?}:\n{}", said(&output));
    output
}

/// Has openssl make an issuer and a certified key in `folder` under `name`.
pub(crate) fn certify(folder: &Folder, name: &str) {
    let text = |suffix: &str| folder.text(&format!("{name}{suffix}"));
    let (issuer_key, issuer, key, leaf) = (text("-ca.key"), text("-ca.pem"), text(".key"), text(".pem"));
    let (issuer_der, leaf_der, key_der) = (text("-ca.der"), text(".der"), text(".p8"));
    let new_key = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "30"];
    let issuer_name = format!("/C=JP/O=KAZASU-TEST/OU={name} authority");
    let leaf_name = format!("/C=JP/CN=test holder {name}");
    openssl(&[&new_key[..], &["-keyout", &issuer_key, "-out", &issuer, "-subj", &issuer_name]].concat());
    let by_issuer =
        ["-CA", &issuer, "-CAkey", &issuer_key, "-keyout", &key, "-out", &leaf, "-subj", &leaf_name];
    openssl(&[&new_key[..], &by_issuer].concat());
    openssl(&["x509", "-in", &issuer, "-outform", "DER", "-out", &issuer_der]);
    openssl(&["x509", "-in", &leaf, "-outform", "DER", "-out", &leaf_der]);
    openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-outform", "DER", "-out", &key_der]);
}

/// The key that openssl made.
pub(crate) fn certified(folder: &Folder, name: &str) -> CertifiedKey {
    let der = |suffix: &str| fs::read(folder.path(&format!("{name}{suffix}"))).unwrap();
    CertifiedKey {
        end_entity_der: der(".der"),
        issuer_der: der("-ca.der"),
        private_key: CardRsaKey::from_pkcs8(&der(".p8")).unwrap(),
    }
}

/// A card with the keys that openssl made.
fn my_number_card(folder: &Folder) -> MyNumberCard {
    let terminal_root_key = CardRsaKey::generate().unwrap();
    let reference = KeyReference::numbered(1, 1).unwrap();
    let holder = Personalisation::adult(
        certified(folder, "auth"),
        AuthPin::parse(PIN).unwrap(),
        SignatureFunction {
            certified: certified(folder, "sign"),
            password: SignPassword::parse(PASSWORD).unwrap(),
        },
        CvcPublicKey::of(reference, &terminal_root_key).unwrap(),
    );
    MyNumberCard::new(holder.image().unwrap())
}

/// pcscd, the card in its reader, and a folder with OpenSC's configuration.
struct Bench {
    pcscd: PcscdFixture,
    inserted: InsertedCard,
    events: mpsc::Receiver<TraceEvent>,
    module: &'static str,
    /// Everything that went over the wire, as a trace.
    trace: Arc<Mutex<String>>,
}

impl Bench {
    fn new() -> Self {
        let module = MODULES.into_iter().find(|path| fs::exists(path).unwrap());
        let module =
            module.unwrap_or_else(|| panic!("missing opensc-pkcs11.so: apt-get install opensc-pkcs11"));
        let pcscd = PcscdFixture::start(READER);
        pcscd.folder.file(
            "opensc.conf",
            "app default { card_drivers = jpki; framework pkcs15 { use_file_caching = false; } }\n",
        );
        let (sender, events) = mpsc::channel();
        certify(&pcscd.folder, "auth");
        certify(&pcscd.folder, "sign");
        let patient = my_number_card(&pcscd.folder);
        let head = Header::new("My Number Card", patient.atr(), SecretHandling::Withheld);
        let trace = Arc::new(Mutex::new(head.to_string()));
        let written = Arc::clone(&trace);
        let observer = move |seen: Observed<'_>| {
            written.lock().unwrap().push_str(&seen.lines(SecretHandling::Withheld));
        };
        let patient = RecordedCard::new(patient, observer);
        let server = CardServer::new(Box::new(patient), Box::new(Seeded::new(1)))
            .reader_at(pcscd.card_address())
            .observed_by(move |event| drop(sender.send(event.clone())));
        let bench = Self { pcscd, inserted: server.insert().unwrap(), events, module, trace };
        await_card(true);
        bench
    }

    /// Runs one of OpenSC's tools, which knows only this card's driver.
    fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        run(name, "opensc", arguments, &[("OPENSC_CONF", &self.pcscd.folder.text("opensc.conf"))])
    }

    fn succeed(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.tool(name, arguments);
        assert!(output.status.success(), "{name} {arguments:?}:\n{}", said(&output));
        said(&output)
    }

    fn refuse(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.tool(name, arguments);
        assert!(!output.status.success(), "{name} {arguments:?} was to fail:\n{}", said(&output));
        said(&output)
    }
}

/// Waits until pcscd knows whether the card is there.
fn await_card(is_there: bool) {
    eventually("pcscd sees the card come or go", Duration::from_secs(20), || {
        let readers = Daemon::at(SOCKET).list_readers().ok()?;
        readers.into_iter().any(|reader| reader.name == SLOT && reader.card_present == is_there).then_some(())
    });
}

/// "Tries left" of the PIN called `label`, as OpenSC reads it from the card.
fn tries_left(bench: &Bench, label: &str) -> u32 {
    let listed = bench.succeed("pkcs15-tool", &["--list-pins"]);
    let (_, section) = listed.split_once(&format!("PIN [{label}]")).expect("the PIN is listed");
    let (_, tries) = section.split_once("Tries left").expect("the tries are listed");
    let digits = tries.chars().skip_while(|letter| !letter.is_ascii_digit()).take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap()
}

const AUTH_PIN_LABEL: &str = "User Authentication PIN";
const SIGN_PASSWORD_LABEL: &str = "Digital Signature PIN";

#[test]
fn opensc_lists_reads_verifies_and_signs() {
    let bench = Bench::new();
    lists_a_jpki_card(&bench);
    reads_certificates_by_the_cards_rules(&bench);
    signs_with_both_keys(&bench);
    its_trace_replays_on_a_twin_of_the_card(&bench);
    counts_wrong_secrets_and_blocks(bench);
}

fn lists_a_jpki_card(bench: &Bench) {
    let listed = bench.succeed("opensc-tool", &["-l"]);
    let line = listed.lines().find(|line| line.contains(SLOT)).expect("the reader is listed");
    assert!(line.contains("Yes"), "{line}");
    assert!(bench.succeed("opensc-tool", &["--atr"]).contains("3b:e0:00:ff:81:31:fe:45:14"));
    // With every driver of OpenSC trying its own commands on the card first.
    let unconfigured = run("opensc-tool", "opensc", &["--name"], &[]);
    assert!(said(&unconfigured).contains("jpki"), "{}", said(&unconfigured));
    let keys = bench.succeed("pkcs15-tool", &["--list-keys"]);
    assert!(keys.contains("Private RSA Key [User Authentication Key]"), "{keys}");
    assert!(keys.contains("Private RSA Key [Digital Signature Key]"), "{keys}");
    assert_eq!((tries_left(bench, AUTH_PIN_LABEL), tries_left(bench, SIGN_PASSWORD_LABEL)), (3, 5));
}

fn reads_certificates_by_the_cards_rules(bench: &Bench) {
    let folder = &bench.pcscd.folder;
    let read = |identifier: &str, arguments: &[&str]| {
        let out = folder.text("read.pem");
        bench.succeed(
            "pkcs15-tool",
            &[&["--read-certificate", identifier, "--output", &out], arguments].concat(),
        );
        openssl(&["x509", "-in", &out, "-outform", "DER"]).stdout
    };
    let written = |name: &str| fs::read(folder.path(name)).unwrap();
    assert_eq!(read("1", &[]), written("auth.der"), "free");
    assert_eq!(read("3", &[]), written("auth-ca.der"), "free");
    assert_eq!(read("4", &[]), written("sign-ca.der"), "free");
    bench.refuse("pkcs15-tool", &["--read-certificate", "2"]);
    let with_password = ["--verify-pin", "--auth-id", "2", "--pin", PASSWORD];
    assert_eq!(read("2", &with_password), written("sign.der"), "behind the signature password");

    // OpenSC leaves the card as it is. Our client powers it down, and the password is forgotten.
    let mut reader = Daemon::at(SOCKET).open_reader(SLOT).unwrap();
    while bench.events.try_recv().is_ok() {}
    drop(reader.wait_for_card(Duration::from_secs(20)).unwrap().expect("the card is there"));
    while bench.events.recv_timeout(Duration::from_secs(20)).expect("power-off comes") != TraceEvent::PowerOff
    {
    }
    bench.refuse("pkcs15-tool", &["--read-certificate", "2"]);
}

fn signs_with_both_keys(bench: &Bench) {
    let folder = &bench.pcscd.folder;
    // An arbitrary text, and a DigestInfo (SHA-256) for the mechanism that signs what it is given.
    let text = folder.file("text", "a request for an answer\n");
    let hash = openssl(&["dgst", "-sha256", "-binary", &text]).stdout;
    let header = b"\x30\x31\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    let digest_info = folder.file("digest-info", [&header[..], &hash].concat());
    let mechanisms = [
        ("SHA256-RSA-PKCS", &text, "-sha256"),
        ("SHA1-RSA-PKCS", &text, "-sha1"),
        ("RSA-PKCS", &digest_info, "-sha256"),
    ];
    let signature = folder.text("signature");
    for (name, identifier, token, secret) in
        [("auth", "01", AUTH_TOKEN, PIN), ("sign", "02", SIGN_TOKEN, PASSWORD)]
    {
        let public_key = folder.text("public.pem");
        openssl(&[
            "x509",
            "-in",
            &folder.text(&format!("{name}.pem")),
            "-noout",
            "-pubkey",
            "-out",
            &public_key,
        ]);
        for (mechanism, data, hash) in mechanisms {
            let token = ["--module", bench.module, "--token-label", token];
            let key = ["--login", "--pin", secret, "--id", identifier];
            let sign =
                ["--sign", "--mechanism", mechanism, "--input-file", data, "--output-file", &signature];
            bench.succeed("pkcs11-tool", &[&token[..], &key, &sign].concat());
            let verdict = openssl(&["dgst", hash, "-verify", &public_key, "-signature", &signature, &text]);
            assert!(said(&verdict).contains("Verified OK"), "{name} {mechanism}: {}", said(&verdict));
            fs::remove_file(&signature).unwrap();
        }
    }
}

/// What OpenSC and our client said so far, played to a second card with the same keys: octet for octet the
/// same answers. And no secret is in the trace.
fn its_trace_replays_on_a_twin_of_the_card(bench: &Bench) {
    let text = bench.trace.lock().unwrap().clone();
    let digits = text.replace(' ', "");
    for secret in [PIN, PASSWORD] {
        let octets: String = secret.bytes().map(|octet| format!("{octet:02X}")).collect();
        assert!(!digits.contains(&format!("{:02X}{octets}", secret.len())), "a secret is in the trace");
    }
    let mut twin = my_number_card(&bench.pcscd.folder);
    let secrets = Secrets::new([PIN, PASSWORD]).unwrap();
    let mut replay = Replay::start(Trace::parse(&text).unwrap(), secrets, Care::Expendable);
    let comparison = loop {
        replay = match replay.next() {
            Progress::PowerOn(awaited) => {
                twin.power_on();
                awaited.powered(twin.atr())
            }
            Progress::PowerOff(next) => {
                twin.power_off();
                next
            }
            Progress::Send(command, awaited) => {
                awaited.answered(&twin.transmit(&command, &mut Seeded::new(2)))
            }
            Progress::Done(comparison) => break comparison,
        };
    };
    let odd: Vec<_> =
        comparison.exchanges.iter().filter(|compared| compared.verdict != Verdict::Equal).collect();
    assert!(odd.is_empty(), "{odd:#?}");
    assert!(comparison.exchanges.len() > 200, "{} exchanges", comparison.exchanges.len());
}

/// One of the card's two secrets, as OpenSC names it.
struct Secret {
    label: &'static str,
    token: &'static str,
    auth_id: &'static str,
    right: &'static str,
    wrong: &'static str,
    tries: u32,
}

const SECRETS: [Secret; 2] = [
    Secret { label: AUTH_PIN_LABEL, token: AUTH_TOKEN, auth_id: "1", right: PIN, wrong: "9999", tries: 3 },
    Secret {
        label: SIGN_PASSWORD_LABEL,
        token: SIGN_TOKEN,
        auth_id: "2",
        right: PASSWORD,
        wrong: "WRONG123",
        tries: 5,
    },
];

impl Secret {
    fn verify(&self, bench: &Bench, text: &str) -> (bool, String) {
        let output = bench.tool("pkcs15-tool", &["--verify-pin", "--auth-id", self.auth_id, "--pin", text]);
        (output.status.success(), said(&output))
    }

    /// Refused although it is the right one, and reported so through both of OpenSC's interfaces.
    fn assert_blocked(&self, bench: &Bench) {
        let (was_accepted, message) = self.verify(bench, self.right);
        assert!(!was_accepted && message.contains("Reference data not usable"), "{message}");
        assert_eq!(tries_left(bench, self.label), 0);
        let arguments =
            ["--module", bench.module, "--token-label", self.token, "--login", "--pin", self.right];
        let refused = bench.refuse("pkcs11-tool", &[&arguments[..], &["--list-objects"]].concat());
        // OpenSC knows 6983 as "locked"; the real card's 6984 is a general error to its C_Login, and the
        // counter, which it asks before, becomes the token's flag.
        assert!(refused.contains("C_Login failed"), "{refused}");
        assert!(self.flags(bench).contains("user PIN locked"), "{}", self.flags(bench));
    }

    /// The token's flags as PKCS#11 shows them.
    fn flags(&self, bench: &Bench) -> String {
        let listed = bench.succeed("pkcs11-tool", &["--module", bench.module, "--list-token-slots"]);
        let (_, section) = listed.split_once(&format!(": {}", self.token)).expect("the token is listed");
        let line = section.lines().find(|line| line.contains("token flags")).expect("its flags are listed");
        line.to_owned()
    }
}

fn counts_wrong_secrets_and_blocks(mut bench: Bench) {
    for (place, secret) in SECRETS.iter().enumerate() {
        assert!(secret.verify(&bench, secret.right).0);
        let (was_accepted, message) = secret.verify(&bench, secret.wrong);
        assert!(!was_accepted && message.contains("PIN code or key incorrect"), "{message}");
        assert_eq!(tries_left(&bench, secret.label), secret.tries - 1);
        assert!(!secret.flags(&bench).contains("user PIN locked"));
        assert!(secret.verify(&bench, secret.right).0);
        assert_eq!(tries_left(&bench, secret.label), secret.tries, "the right one restores the tries");
        for left in (0..secret.tries).rev() {
            assert!(!secret.verify(&bench, secret.wrong).0);
            assert_eq!(tries_left(&bench, secret.label), left);
        }
        secret.assert_blocked(&bench);
        if let Some(other) = SECRETS.get(place + 1) {
            assert_eq!(tries_left(&bench, other.label), other.tries, "the other secret is untouched");
            assert!(other.verify(&bench, other.right).0, "and works");
        }
    }
    let server = bench.inserted.remove().expect("the card did not panic");
    await_card(false);
    bench.inserted = server.insert().unwrap();
    await_card(true);
    for secret in &SECRETS {
        // Taking the card out does not unblock it.
        secret.assert_blocked(&bench);
    }
    drop(bench.inserted);
}
