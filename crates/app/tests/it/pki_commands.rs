//! `kazasu pki cvc`: an operator certifies a terminal and looks at certificates.

use crate::fixture::kazasu;
use crate::pcscd::Folder;
use card::eac::cvc::{CvcDate, Rights, TerminalChain, TrustAnchor};
use card::eac::p256::{P256SigningKey, generate_pkcs8};
use chassis::config::TlsFiles;
use jpki_authority::Authority;
use jpki_authority::accredit::eac::terminal_cvca_path;
use jpki_authority::approval::desk::{ApprovalDesk, Founding};
use jpki_authority::config::{Config, CrlTimes, KeyPlaces, Names, OcspTimes, StatusPages};
use pki::pem::{self, PemKind};
use protocol::entropy::Seeded;
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;
use std::fs;

/// An authority with nothing around it; gives its config file and its root.
fn authority(folder: &Folder) -> (String, TrustAnchor) {
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin_listen: "127.0.0.1:0".parse().unwrap(),
        store: folder.path("store.sqlite"),
        keys_dir: folder.path("keys"),
        keys: KeyPlaces::default(),
        public_dir: folder.path("public"),
        tls: TlsFiles { cert: "server.pem".into(), key: "server.key".into() },
        status: StatusPages {
            listen: "127.0.0.1:0".parse().unwrap(),
            url: "http://status.jpki-emulated.example".into(),
        },
        crl: CrlTimes { validity_seconds: 86_400, republish_seconds: 60, delta_seconds: 20, shards: 4 },
        ocsp: OcspTimes { validity_seconds: 3_600, reuse_seconds: 30, delegate_seconds: 7 * 86_400 },
        names: Names { organization: "JPKI-EMULATED".into(), operator: "KAZASU TEST".into() },
        linkage: None,
    };
    let file = folder.text("authority.toml");
    fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    // Made long before the command runs, by any clock: its certificates have begun.
    let made = Authority::init(config, UnixSeconds(1_750_000_000), &mut Seeded::new(1)).unwrap();
    let desk = ApprovalDesk::open(made.config(), &mut Seeded::new(2)).unwrap();
    for code in ["9912345676", "1310000001"] {
        let code = InstitutionCode::parse(code).unwrap();
        let founding = Founding::Institution { code, name: "見本".into() };
        desk.found(&founding, "test", UnixSeconds(1_750_000_000)).unwrap();
    }
    let root = TrustAnchor::parse(&fs::read(terminal_cvca_path(made.config())).unwrap()).unwrap();
    (file, root)
}

#[test]
fn a_terminal_is_certified_and_shown() {
    let folder = Folder::new();
    let (config, root) = authority(&folder);
    let key = P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap();
    let (public, out) = (folder.text("se.pem"), folder.text("se.cvc"));
    fs::write(&public, pem::encode(PemKind::PublicKey, &key.spki_der().unwrap())).unwrap();
    let issue = |public: &str, more: &[&str]| {
        let mut arguments = vec!["pki", "cvc", "issue", "--config", &config, "--public-key", public];
        arguments.extend(["--days", "2", "--role", "pinless-signature,medical-id", "--out", &out]);
        arguments.extend_from_slice(more);
        kazasu(&arguments)
    };
    let ran = issue(&public, &["--json"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let chain = TerminalChain::parse(&fs::read(&out).unwrap()).unwrap();
    let terminal = chain.terminal().body();
    let verified = chain.verify(&root, terminal.effective).unwrap();
    assert_eq!(verified.key, key.public_key());
    assert_eq!(verified.rights, Rights::PINLESS_SIGNATURE.with(Rights::MEDICAL_ID));
    assert_eq!(terminal.effective.plus_days(1), terminal.expiration);
    let printed = ran.json();
    assert_eq!(printed["certificates"][0]["role"], "accredited_body");
    let leaf = &printed["certificates"][1];
    assert_eq!(leaf["holder"], terminal.holder.to_string());
    assert_eq!(leaf["authority"], printed["certificates"][0]["holder"]);
    assert_eq!(leaf["rights"], serde_json::json!(["pinless-signature", "medical-id"]));
    assert_eq!((&leaf["role"], &leaf["state"]), (&"holder".into(), &"current".into()));
    assert_eq!(leaf["expiration"], terminal.expiration.to_string());

    let shown = kazasu(&["pki", "cvc", "show", &out]);
    assert_eq!(shown.code, Some(0));
    for words in ["認定事業者 / accredited body", "医療等 ID / medical ID", "端末が提示できる連鎖です"]
    {
        assert!(shown.out.contains(words), "{}", shown.out);
    }
    assert_eq!(kazasu(&["pki", "cvc", "show", &out, "--json"]).json(), printed);
    // The name is spent: the same key gets another one.
    assert_eq!(issue(&public, &["--institution", "1310000001"]).code, Some(0));
    let again = TerminalChain::parse(&fs::read(&out).unwrap()).unwrap();
    assert_ne!(again.terminal().body().holder, terminal.holder);
    assert!(again.verify(&root, CvcDate::LAST).is_err());

    // What cannot be used is a problem with its place, on either kind of output.
    let refused = issue(&config, &["--json"]);
    assert_eq!((refused.code, refused.json()["problem"]["code"].as_str()), (Some(1), Some("input_unusable")));
    assert!(refused.json()["problem"]["detail"].as_str().unwrap().contains("authority.toml"));
    let refused = issue(&public, &["--institution", "123"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.out.contains("--institution 123"), "{}", refused.out);
    let refused = kazasu(&["pki", "cvc", "show", &public]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.out.contains("octet 0, certificate (7F21)"), "{}", refused.out);
}

#[test]
fn usage_is_refused_before_anything_is_spent() {
    let folder = Folder::new();
    let missing = folder.text("nothing");
    let base = ["pki", "cvc", "issue", "--dir", &missing, "--public-key", &missing, "--out", &missing];
    let with = |more: &[&str]| kazasu(&[&base[..], more].concat()).code;
    assert_eq!(with(&["--days", "0", "--role", "pinless-signature"]), Some(2));
    assert_eq!(with(&["--days", "32", "--role", "pinless-signature"]), Some(2));
    assert_eq!(with(&["--days", "1"]), Some(2));
    assert_eq!(with(&["--days", "1", "--role", "everything"]), Some(2));
    assert_eq!(with(&["--days", "1", "--role", "pinless-signature"]), Some(1));
    let help = kazasu(&["pki", "cvc", "issue", "--help"]);
    assert!(help.out.contains("kazasu pki cvc issue --public-key se.pem --days 7"), "{}", help.out);
}
