//! Several served cards in one pcscd whose readers `kazasu card readers` wrote: read, signed with,
//! recorded, replayed, and there again after pcscd was.

use crate::fixture::{KAZASU, Ran, Running, Town, kazasu};
use crate::pcscd::{Folder, PcscdFixture, SOCKET, eventually, run, said};
use card_io::pcsc::Daemon;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

const PEOPLE: [&str; 3] = ["hanako", "taro", "lost"];

/// Runs `kazasu` with something on standard input.
pub(crate) fn told(arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new("timeout")
        .args(["-k", "5", "60", KAZASU])
        .args(arguments)
        .env_remove("KAZASU_DIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout starts (coreutils)");
    // A command that refuses early does not read it.
    let _read = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("kazasu writes UTF-8");
    let ran = Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    assert_ne!(ran.code, Some(124), "{arguments:?} hung: {ran:#?}");
    ran
}

/// Ports of which six in a row are free, away from those that the system hands out by itself.
fn six_free_ports() -> u16 {
    let start = 30_000 + u16::try_from(std::process::id() % 200).unwrap() * 10;
    (start..32_700)
        .step_by(6)
        .find(|first| (*first..first + 6).all(|port| TcpListener::bind(("0.0.0.0", port)).is_ok()))
        .expect("six free ports in a row")
}

/// pcscd with the readers that the command writes, and what the command said about them.
fn pcscd_as_written() -> (PcscdFixture, Value) {
    let mut written = Value::Null;
    let pcscd = PcscdFixture::start_configured(|folder| {
        let first = six_free_ports().to_string();
        let dir = folder.text("written");
        let options = ["--count", "3", "--port-from", &first, "--name", "Kazasu Desk", "--json"];
        let ran = kazasu(&[&["card", "readers", "--write-config", &dir], &options[..]].concat());
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        written = ran.json();
        let ports = written["readers"].as_array().unwrap().iter().step_by(2);
        let ports = ports.map(|slot| u16::try_from(slot["port"].as_u64().unwrap()).unwrap()).collect();
        (written["config"].as_str().unwrap().to_owned(), ports)
    });
    (pcscd, written)
}

struct Bench {
    pcscd: PcscdFixture,
    town: Town,
    /// Names of the first slots, in the order of [`PEOPLE`].
    slots: Vec<String>,
}

impl Bench {
    fn await_cards(&self, are_there: bool) {
        eventually("pcscd sees the cards come or go", Duration::from_secs(20), || {
            let readers = Daemon::at(SOCKET).list_readers().ok()?;
            let at = |slot: &String| readers.iter().find(|reader| reader.name == *slot);
            let all = self.slots.iter().all(|slot| at(slot).is_some_and(|it| it.card_present == are_there));
            all.then_some(())
        });
    }

    fn text(&self, person: &str, key: &str) -> &str {
        self.town.person(person)[key].as_str().unwrap()
    }

    /// A card command with `--json`, and something on standard input.
    fn card(&self, arguments: &[&str], input: &str) -> Ran {
        let common = ["--json", "--dir", &self.town.dir];
        told(&[&["card"], arguments, &common].concat(), input)
    }

    fn refused(&self, arguments: &[&str], input: &str, code: &str) -> Value {
        let ran = self.card(arguments, input);
        let value = ran.json();
        assert_eq!((ran.code, value["problem"]["code"].as_str()), (Some(1), Some(code)), "{ran:#?}");
        value
    }

    fn done(&self, arguments: &[&str], input: &str) -> Value {
        let ran = self.card(arguments, input);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:#?}");
        ran.json()
    }
}

/// DER of a certificate file, by openssl.
fn der(file: &str) -> Vec<u8> {
    let output = run("openssl", "openssl", &["x509", "-in", file, "-outform", "DER"], &[]);
    assert!(output.status.success(), "{file}: {}", said(&output));
    output.stdout
}

#[test]
fn three_served_cards_are_read_signed_with_recorded_and_replayed() {
    let (pcscd, written) = pcscd_as_written();
    let mut bench = Bench { town: Town::start(), slots: slots_of(&written), pcscd };
    the_written_readers_are_the_listed_ones(&bench, &written);
    let folder = Folder::new();
    let serving = serve(&bench, &folder);
    bench.await_cards(true);
    each_card_is_read_in_its_own_reader(&bench, &folder);
    both_keys_sign_and_no_try_is_lost(&bench, &folder);
    crate::real_card::exercise(&bench.slots[0], bench.text("hanako", "pin"));
    the_secure_element_belongs_to_the_desk(&bench);
    bench.pcscd.stop();
    bench.pcscd.start_again();
    bench.await_cards(true);
    assert_eq!(tries(&bench, "taro"), 3, "served again, and readable again");
    assert_eq!(serving.interrupt().code(), Some(0), "Ctrl-C takes the cards out");
    bench.await_cards(false);
    records_replay(&bench, &folder);
    let Bench { town, .. } = bench;
    drop(town.stop());
}

/// First slots, in order.
fn slots_of(written: &Value) -> Vec<String> {
    let slots = written["readers"].as_array().unwrap().iter().step_by(2);
    slots.map(|slot| slot["name"].as_str().unwrap().to_owned()).collect()
}

fn the_written_readers_are_the_listed_ones(bench: &Bench, written: &Value) {
    let names = |value: &Value| -> Vec<String> {
        let readers = value["readers"].as_array().unwrap().iter();
        let mut names: Vec<String> =
            readers.map(|reader| reader["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let listed = bench.done(&["readers"], "");
    assert_eq!(names(&listed), names(written));
    assert!(written["pcscd"].as_str().unwrap().starts_with("pcscd --foreground --config '"), "{written}");
    assert!(written["warnings"][0]["en"].as_str().unwrap().contains("every address"), "{written}");
    // One copy of the driver per entry; and the command says so of entries that share one.
    let config = fs::read_to_string(written["config"].as_str().unwrap()).unwrap();
    let mut drivers: Vec<&str> = config.lines().filter(|line| line.starts_with("LIBPATH")).collect();
    drivers.dedup();
    assert_eq!(drivers.len(), 3, "{config}");
}

/// Serves everybody, each in a reader of their own, and records what is said.
fn serve(bench: &Bench, folder: &Folder) -> Running {
    let places: Vec<String> =
        PEOPLE.iter().zip(&bench.pcscd.ports).map(|(person, port)| format!("{person}@{port}")).collect();
    let trace = folder.text("served.trace");
    let mut arguments = vec!["card", "serve"];
    arguments.extend(places.iter().map(String::as_str));
    arguments.extend(["--trace", &trace, "--json", "--dir", &bench.town.dir]);
    let serving = Running::start(&bench.town.folder, &arguments);
    let events: Vec<Value> = (0..6).map(|_| serving.next("an event for each card")).collect();
    for person in PEOPLE {
        let of = |event: &str| {
            events.iter().filter(|told| told["person"] == person && told["event"] == event).count()
        };
        assert_eq!((of("inserted"), of("warning")), (1, 1), "{person}: {events:#?}");
    }
    serving
}

fn each_card_is_read_in_its_own_reader(bench: &Bench, folder: &Folder) {
    for (person, slot) in PEOPLE.iter().zip(&bench.slots) {
        let out = folder.text(&format!("read-{person}"));
        let read = bench.done(&["read", "--reader", slot, "--out", &out], "");
        assert_eq!(read["reader"], *slot);
        assert_eq!(read["token"], "JPKIAPICCTOKEN2");
        assert_eq!(der(&format!("{out}/auth.pem")), der(bench.text(person, "auth_cert")));
        let has_signature = bench.town.person(person)["sign_cert"].is_string();
        assert_eq!(read["document_signature"], if has_signature { "there" } else { "absent" });
        assert!(!fs::exists(format!("{out}/sign.pem")).unwrap(), "not without its password");
        for certificate in read["certificates"].as_array().unwrap() {
            let verifies = &certificate["verifies_under_the_cards_issuer"];
            assert!(verifies.is_null() || *verifies == true, "{read:#}");
        }
        let mode = fs::metadata(format!("{out}/auth.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!read.to_string().contains("MII"), "no certificate in the output");
    }
    let out = folder.text("read-signature");
    let with = ["read", "--reader", &bench.slots[0], "--out", &out, "--password-from-stdin"];
    bench.done(&with, &format!("{}\n", bench.text("hanako", "sign_password")));
    assert_eq!(der(&format!("{out}/sign.pem")), der(bench.text("hanako", "sign_cert")));
    // The password went with the power: OpenSC, next in line, has to ask for it again.
    let config = "app default { card_drivers = jpki; framework pkcs15 { use_file_caching = false; } }\n";
    let config = bench.pcscd.folder.file("opensc.conf", config);
    let arguments = ["--reader", &bench.slots[0], "--read-certificate", "2"];
    let output = run("pkcs15-tool", "opensc", &arguments, &[("OPENSC_CONF", &config)]);
    assert!(!output.status.success(), "{}", said(&output));
    bench.refused(&["read", "--reader", "no such reader"], "", "reader_missing");
    bench.refused(&["read", "--reader", "Kazasu Desk 1 00 01", "--wait", "0"], "", "no_card_presented");
}

/// Tries of the authentication PIN.
fn tries(bench: &Bench, person: &str) -> u64 {
    let place = PEOPLE.iter().position(|name| *name == person).unwrap();
    let read = bench.done(&["read", "--reader", &bench.slots[place]], "");
    read["auth_pin_tries_left"].as_u64().unwrap()
}

fn both_keys_sign_and_no_try_is_lost(bench: &Bench, folder: &Folder) {
    let text = folder.file("letter", "a letter\n");
    let reader = &bench.slots[0];
    let public_key = folder.text("public.pem");
    for (key, secret, certificate) in [("auth", "pin", "auth_cert"), ("sign", "sign_password", "sign_cert")] {
        let input = format!("{}\n", bench.text("hanako", secret));
        let signed =
            bench.done(&["sign", &text, "--reader", reader, "--pin-from-stdin", "--key", key], &input);
        let signature = signed["signature"].as_str().unwrap();
        assert_eq!(signature, format!("{text}.sig"));
        let pubkey =
            ["x509", "-in", bench.text("hanako", certificate), "-noout", "-pubkey", "-out", &public_key];
        assert!(run("openssl", "openssl", &pubkey, &[]).status.success());
        let verify = ["dgst", "-sha256", "-verify", &public_key, "-signature", signature, &text];
        let verdict = run("openssl", "openssl", &verify, &[]);
        assert!(said(&verdict).contains("Verified OK"), "{key}: {}", said(&verdict));
    }
    let sign = |person: &str, input: &str, code: &str, more: &[&str]| {
        let place = PEOPLE.iter().position(|name| *name == person).unwrap();
        let at = ["sign", &text, "--reader", &bench.slots[place], "--pin-from-stdin"];
        bench.refused(&[&at[..], more].concat(), input, code)
    };
    assert_eq!(tries(bench, "lost"), 3);
    sign("lost", "12345\n", "malformed_request", &[]);
    sign("lost", "\n", "malformed_request", &[]);
    assert_eq!(tries(bench, "lost"), 3, "what is no PIN never reaches the card");
    let wrong = if bench.text("lost", "pin") == "9999" { "8888\n" } else { "9999\n" };
    sign("lost", wrong, "secret_wrong", &[]);
    sign("lost", wrong, "secret_wrong", &[]);
    assert_eq!(tries(bench, "lost"), 1);
    sign("lost", wrong, "secret_tries_too_few", &[]);
    assert_eq!(tries(bench, "lost"), 1, "the last try was not used");
    sign("lost", wrong, "secret_blocked", &["--allow-last-try"]);
    assert_eq!(tries(bench, "lost"), 0);
    sign("lost", &format!("{}\n", bench.text("lost", "pin")), "secret_blocked", &["--allow-last-try"]);
}

/// The desk of the running town holds it: two would give out the same counter values.
fn the_secure_element_belongs_to_the_desk(bench: &Bench) {
    bench.refused(&["serve", "secure-element@36999"], "", "desk_busy");
    bench.refused(&["serve", "nobody@36999"], "", "person_unknown");
    bench.refused(&["serve", "hanako@36999", "taro@36999"], "", "malformed_request");
}

/// What was recorded while the cards were served, played to copies of them.
fn records_replay(bench: &Bench, folder: &Folder) {
    for person in PEOPLE {
        let file = folder.text(&format!("served-{person}.trace"));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("kazasu card trace 1\n") && text.contains("card: My Number Card"), "{text}");
        let pin: String = bench.text(person, "pin").bytes().map(|octet| format!("{octet:02X}")).collect();
        assert!(!text.replace(' ', "").contains(&format!("04{pin}")), "no PIN in {file}");
    }
    let hanako = folder.text("served-hanako.trace");
    let same = bench.done(&["replay", &hanako, "--card", "hanako", "--compare", "data"], "");
    assert_eq!(
        (&same["different"], &same["other_data"], &same["not_sent"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert!(same["equal"].as_u64().unwrap() > 30, "{same:#}");
    assert_eq!(same["atr"], "equal");
    // The same questions to a child's card: the first difference has a line.
    let other = bench.refused(&["replay", &hanako, "--card", "taro"], "", "trace_differs");
    let line = usize::try_from(other["first_difference"]["line"].as_u64().unwrap()).unwrap();
    let text = fs::read_to_string(&hanako).unwrap();
    assert!(text.lines().nth(line - 1).unwrap().starts_with("> "), "{other:#}");
    // Another adult's card: every status word is the same until a PIN of that card is asked for, and the
    // certificates are another person's.
    let adult =
        bench.refused(&["replay", &hanako, "--card", "double", "--compare", "data"], "", "trace_differs");
    assert_eq!(adult["first_difference"]["verdict"], "other_data", "{adult:#}");
    let broken = folder.file("broken.trace", text.replacen("> 00", "> 0", 1));
    let broken = bench.refused(&["replay", &broken, "--card", "hanako"], "", "trace_unreadable");
    assert!(broken["problem"]["detail"].as_str().unwrap().contains("line "), "{broken:#}");
    replays_through_a_reader(bench, &hanako);
}

/// The record of one card, played to it through PC/SC; and to somebody else's, which loses no try for it.
fn replays_through_a_reader(bench: &Bench, hanako: &str) {
    let place = bench.pcscd.card_address_of(1);
    let serve_one = |person: &str| {
        let at = format!("{person}@{place}");
        let serving =
            Running::start(&bench.town.folder, &["card", "serve", &at, "--json", "--dir", &bench.town.dir]);
        assert_eq!(serving.next("the insertion")["event"], "inserted");
        eventually("pcscd sees the card", Duration::from_secs(20), || {
            let readers = Daemon::at(SOCKET).list_readers().ok()?;
            readers.iter().any(|reader| reader.name == bench.slots[1] && reader.card_present).then_some(())
        });
        serving
    };
    let replay = ["replay", hanako, "--reader", &bench.slots[1], "--secrets-from-stdin", "--compare", "data"];
    let secrets = format!("{}\n{}\n", bench.text("hanako", "pin"), bench.text("hanako", "sign_password"));
    let serving = serve_one("hanako");
    let same = bench.done(&replay, &secrets);
    assert_eq!(
        (&same["different"], &same["other_data"], &same["not_sent"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!(serving.interrupt().code(), Some(0));
    bench.await_cards(false);
    let serving = serve_one("double");
    let without = bench.card(&replay, "");
    assert_eq!(without.code, Some(1), "another person's certificates: {without:#?}");
    assert!(without.json()["not_sent"].as_u64().unwrap() > 0, "PINs that nobody gave are not presented");
    let read = bench.done(&["read", "--reader", &bench.slots[1]], "");
    assert_eq!((&read["auth_pin_tries_left"], &read["sign_password_tries_left"]), (&3.into(), &5.into()));
    drop(serving);
}

#[test]
fn the_secure_element_is_served_when_no_desk_has_it() {
    let folder = Town::start().stop();
    let dir = folder.text("town");
    let pcscd = PcscdFixture::start("Kazasu SE");
    let place = format!("secure-element@{}", pcscd.card_address());
    let serving = Running::start(&folder, &["card", "serve", &place, "--json", "--dir", &dir]);
    assert_eq!(serving.next("the insertion")["event"], "inserted");
    let mut reader = Daemon::at(SOCKET).open_reader("Kazasu SE 00 00").unwrap();
    let select = [
        &[0x00, 0xA4, 0x04, 0x00, u8::try_from(card::secure_element::SECURE_ELEMENT_AID.len()).unwrap()][..],
        &card::secure_element::SECURE_ELEMENT_AID,
        &[0],
    ]
    .concat();
    let mut challenges = Vec::new();
    for _ in 0..2 {
        use card_io::Reader as _;
        let mut channel = reader.wait_for_card(Duration::from_secs(20)).unwrap().expect("it is there");
        assert_eq!(channel.atr(), card::secure_element::ATR);
        let fci = channel.transmit(&select).unwrap();
        assert!(fci.starts_with(&[0x6F]) && fci.ends_with(&[0x90, 0x00]), "{fci:02X?}");
        challenges.push(channel.transmit(&[0x00, 0x84, 0x00, 0x00, 0x10]).unwrap());
    }
    assert_ne!(challenges[0], challenges[1]);
    let town = kazasu(&["card", "serve", "secure-element@1", "--json", "--dir", &dir]);
    assert_eq!(town.json()["problem"]["code"], "desk_busy", "one holder at a time");
    assert_eq!(serving.interrupt().code(), Some(0));
}
