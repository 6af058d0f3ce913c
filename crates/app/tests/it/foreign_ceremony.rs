//! Key ceremonies with the program itself, in files and in a token of SoftHSM2; openssl, pkcs11-tool and
//! `kazasu pki validate` judge what comes of them.

use crate::fixture::{KAZASU, Ran};
use crate::softhsm::{SoftHsm, TOKEN};
use std::fs;
use std::path::Path;

/// Where the keys of a whole hierarchy are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Files,
    Token,
}

struct Scene {
    hsm: SoftHsm,
    kind: Kind,
    operators: [String; 2],
}

impl Scene {
    fn new(name: &str, kind: Kind) -> Self {
        let hsm = SoftHsm::make(name);
        let operators = ["alice", "bob"].map(|name| {
            let key = format!("{name}.key");
            hsm.run(
                "openssl",
                &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key],
            );
            let public = format!("{name}.der");
            hsm.run("openssl", &["pkey", "-in", &key, "-pubout", "-outform", "DER", "-out", &public]);
            hsm.run("base64", &["-w0", &public])
        });
        Self { hsm, kind, operators }
    }

    fn kazasu(&self, arguments: &[&str]) -> Ran {
        let output = self
            .hsm
            .command("timeout")
            .args(["-k", "5", "120", KAZASU])
            .args(arguments)
            .env_remove("KAZASU_DIR")
            .output()
            .expect("timeout starts (coreutils)");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// A place for a new key, and the same place for the configuration of who uses it later.
    fn places(&self, name: &str) -> (String, String) {
        match self.kind {
            Kind::Files => {
                (format!("{{ file = \"{name}.key\" }}"), format!("{{ file = \"{name}.out/{name}.key\" }}"))
            }
            Kind::Token => {
                let place = format!(
                    "{{ pkcs11 = {{ module = {:?}, token = \"{TOKEN}\", label = \"{name}\", pin_file = \"pin\" }} }}",
                    SoftHsm::module()
                );
                (place.clone(), place)
            }
        }
    }

    fn write(&self, name: &str, make: &str) {
        let mut text = format!(
            "title = \"Ceremony {name}\"\nreason = \"test\"\nfolder = \"{name}.out\"\napprovals = 2\n\
             [[witness]]\nname = \"Carol\"\nrole = \"auditor\"\n"
        );
        for (who, key) in ["Alice", "Bob"].iter().zip(&self.operators) {
            text.push_str(&format!("[[operator]]\nname = \"{who}\"\npublic_key = \"{key}\"\n"));
        }
        fs::write(self.hsm.folder().join(format!("{name}.toml")), text + make).unwrap();
    }

    fn sign(&self, name: &str, who: &str) -> Ran {
        self.kazasu(&[
            "pki",
            "ceremony",
            "sign",
            &format!("{name}.toml"),
            "--operator-key",
            &format!("{who}.key"),
        ])
    }

    /// Writes, approves and holds a ceremony, and has everything about it checked.
    fn hold(&self, name: &str, make: &str) {
        self.write(name, make);
        for who in ["alice", "bob"] {
            let ran = self.sign(name, who);
            assert_eq!(ran.code, Some(0), "{name}: {ran:#?}");
        }
        let ran = self.kazasu(&["pki", "ceremony", &format!("{name}.toml"), "--json"]);
        assert_eq!(ran.code, Some(0), "{name}: {ran:#?}");
        let told = ran.json();
        assert_eq!(told["transcript"]["operators"][1]["name"], "Bob", "{told}");
        assert!(ran.err.contains("approved by 2 of Alice, Bob"), "{}", ran.err);
        let ran = self.kazasu(&["pki", "ceremony", "--check", &format!("{name}.out/transcript.json")]);
        assert_eq!(ran.code, Some(0), "{name}: {ran:#?}");
        assert!(ran.out.contains("everything is as the transcript says"), "{}", ran.out);
        // openssl reads the transcript's signature as it lies there.
        let folder = format!("{name}.out");
        let file = |name: &str| format!("{folder}/{name}");
        let said = self.hsm.run(
            "openssl",
            &[
                "dgst",
                "-sha256",
                "-verify",
                &file("public-key.pem"),
                "-signature",
                &file("transcript.sig"),
                &file("transcript.json"),
            ],
        );
        assert!(said.contains("Verified OK"), "{said}");
    }

    fn text(&self, name: &str) -> String {
        self.hsm.run("openssl", &["x509", "-in", &format!("{name}.out/certificate.pem"), "-noout", "-text"])
    }

    /// openssl and our own validator find `name` valid under `root`.
    fn valid_under(&self, root: &str, name: &str) {
        let (root, leaf) = (format!("{root}.out/certificate.pem"), format!("{name}.out/certificate.pem"));
        let said = self.hsm.run("openssl", &["verify", "-x509_strict", "-CAfile", &root, &leaf]);
        assert!(said.contains(": OK"), "{said}");
        let ran = self.kazasu(&[
            "pki",
            "validate",
            "--trust",
            &root,
            "--chain",
            &leaf,
            "--revocation",
            "none",
            "--json",
        ]);
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        assert_eq!(ran.json()["valid"], true);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.hsm.folder()));
    }
}

fn hierarchy(scene: &Scene) {
    let issuer = |name: &str| {
        format!(
            "issuer = {{ certificate = \"{name}.out/certificate.pem\", key = {} }}\n",
            scene.places(name).1
        )
    };
    let key = |name: &str, algorithm: &str| {
        format!("key = {{ algorithm = \"{algorithm}\", place = {} }}\n", scene.places(name).0)
    };
    let profile = |name: &str| format!("profile = {{ {name} = {{ organization = \"HPKI-EMULATED\" }} }}\n");

    scene.hold(
        "root",
        &format!("[make.root]\ndays = 3652\n{}{}", profile("hpki-root"), key("root", "rsa-4096")),
    );
    let text = scene.text("root");
    for part in ["CA:TRUE", "(4096 bit)", "Certificate Sign, CRL Sign", "HPKI-EMULATED"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    scene.valid_under("root", "root");

    let make =
        format!("[make.subordinate]\ndays = 1826\n{}{}", profile("hpki-sign"), key("sign", "rsa-2048"));
    scene.hold("sign", &(make + &issuer("root")));
    assert!(scene.text("sign").contains("KAZASU-TEST-SignCA"), "{}", scene.text("sign"));
    scene.valid_under("root", "sign");

    // The key is made in one place, and certified in another by its request.
    scene.hold("auth", &format!("[make.request]\n{}{}", profile("hpki-auth"), key("auth", "rsa-3072")));
    let said =
        scene.hsm.run("openssl", &["req", "-in", "auth.out/request.pem", "-noout", "-verify", "-text"]);
    assert!(said.contains("verify OK") && said.contains("(3072 bit)"), "{said}");
    let request = fs::read(scene.hsm.folder().join("auth.out/request.pem")).unwrap();
    let certify = |subject: &str, digest: &str| {
        format!(
            "[make.certify]\ndays = 1826\nsubject = \"{subject}\"\nsubject_sha256 = \"{digest}\"\n{}{}",
            profile("hpki-auth"),
            issuer("root")
        )
    };
    let digest = jpki_authority::ceremony::sha256_hex(&request);
    scene.hold("auth-ca", &certify("auth.out/request.pem", &digest));
    assert!(scene.text("auth-ca").contains("KAZASU-TEST-AuthCA"));
    scene.valid_under("root", "auth-ca");

    let make = format!("[make.delegate]\ncommon_name = \"OCSP\"\ndays = 7\n{}", key("ocsp", "p-256"));
    scene.hold("ocsp", &(make + &issuer("root")));
    let text = scene.text("ocsp");
    assert!(text.contains("OCSP Signing") && text.contains("OCSP No Check"), "{text}");
    scene.valid_under("root", "ocsp");

    // An authority of its own becomes trusted by those who trust the root: a cross-certificate.
    let town = "profile = { town = { common_name = \"Neighbour\" } }\n";
    scene.hold("other", &format!("[make.root]\ndays = 365\n{town}{}", key("other", "p-256")));
    let own = fs::read(scene.hsm.folder().join("other.out/certificate.pem")).unwrap();
    let make = certify("other.out/certificate.pem", &jpki_authority::ceremony::sha256_hex(&own));
    scene.hold("cross", &make.replace(&profile("hpki-auth"), town));
    scene.valid_under("root", "cross");
}

#[test]
fn a_whole_hierarchy_in_files() {
    let scene = Scene::new("ceremony-files", Kind::Files);
    hierarchy(&scene);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(scene.hsm.folder().join("root.out/root.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_whole_hierarchy_in_a_token() {
    let scene = Scene::new("ceremony-token", Kind::Token);
    hierarchy(&scene);
    let (_, said) = scene.hsm.pkcs11_tool(&["--list-objects", "--type", "privkey"]);
    assert_eq!(said.matches("sensitive, always sensitive, never extractable, local").count(), 5, "{said}");
    let files = |folder: &str| {
        fs::read_dir(scene.hsm.folder().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    assert!(files("root.out").iter().all(|path| path.extension().unwrap() != "key"));
    let transcript = fs::read_to_string(scene.hsm.folder().join("root.out/transcript.json")).unwrap();
    assert!(transcript.contains("\"never_extractable\": true"), "{transcript}");
    // The same label again: refused, and nothing made.
    let small = |label: &str| {
        format!(
            "[make.root]\ndays = 1\nprofile = {{ town = {{ common_name = \"x\" }} }}\n\
             key = {{ algorithm = \"p-256\", place = {} }}\n",
            scene.places(label).0
        )
    };
    scene.write("again", &small("root"));
    let ran = scene.kazasu(&["pki", "ceremony", "again.toml", "--dry-run", "--json"]);
    assert_eq!(
        (ran.code, ran.json()["problem"]["code"].as_str()),
        (Some(1), Some("ceremony_refused")),
        "{ran:#?}"
    );
    assert!(ran.out.contains("there is a key already"), "{}", ran.out);

    // Who is at fault, in both languages, and no PIN anywhere.
    scene.write("fault", &small("new"));
    scene.hsm.write_pin("0000-wrong");
    let ran = scene.kazasu(&["pki", "ceremony", "fault.toml", "--dry-run"]);
    assert_eq!(ran.code, Some(1));
    for part in ["key_place_refused", "鍵のファイルかトークンを使えません", "refused the PIN"]
    {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(!ran.out.contains("0000") && !ran.err.contains("0000"), "{ran:#?}");
    fs::set_permissions(scene.hsm.pin_file(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let ran = scene.kazasu(&["pki", "ceremony", "fault.toml", "--dry-run"]);
    assert!(ran.code == Some(1) && ran.out.contains("set its mode to 0600"), "{ran:#?}");
}

#[test]
fn an_authority_begins_with_the_keys_of_two_ceremonies() {
    let scene = Scene::new("ceremony-begin", Kind::Token);
    let folder = scene.hsm.folder();
    fs::create_dir_all(folder.join("jpki_authority")).unwrap();
    for kind in ["auth", "sign"] {
        let name = format!("{kind}-ca");
        let make = format!(
            "[make.root]\ndays = 3652\n\
             profile = {{ jpki-{kind} = {{ organization = \"JPKI-EMULATED\", operator = \"KAZASU TEST\" }} }}\n\
             key = {{ algorithm = \"rsa-2048\", place = {} }}\n",
            scene.places(&name).0
        );
        scene.hold(&name, &make);
        let made = folder.join(format!("{name}.out/certificate.pem"));
        fs::copy(made, folder.join(format!("jpki_authority/{name}.pem"))).unwrap();
    }
    // The sample, with this token in the specimen's place.
    let sample = include_str!("../../../../samples/jpki_authority_pkcs11.toml");
    let text = sample
        .replace("/usr/lib/softhsm/libsofthsm2.so", SoftHsm::module().to_str().unwrap())
        .replace("token = \"kazasu\"", &format!("token = \"{TOKEN}\""))
        .replace("\"jpki_authority/pin\"", "\"pin\"");
    fs::write(folder.join("authority.toml"), text).unwrap();
    let ran = scene.kazasu(&["pki", "begin", "--config", "authority.toml", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let mut command = scene.hsm.command("openssl");
    let der = command
        .args(["x509", "-in", "auth-ca.out/certificate.pem", "-outform", "DER"])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(ran.json()["auth_ca_sha256"], jpki_authority::ceremony::sha256_hex(&der));
    let (_, said) = scene.hsm.pkcs11_tool(&["--list-objects", "--type", "privkey"]);
    assert_eq!(said.matches("never extractable").count(), 2, "{said}");
    // Once and not again; and not with a token that is not there.
    let ran = scene.kazasu(&["pki", "begin", "--config", "authority.toml", "--json"]);
    assert_eq!(
        (ran.code, ran.json()["problem"]["code"].as_str()),
        (Some(1), Some("ceremony_refused")),
        "{ran:#?}"
    );
    let text = fs::read_to_string(folder.join("authority.toml")).unwrap();
    fs::write(folder.join("authority.toml"), text.replace(TOKEN, "elsewhere")).unwrap();
    let ran = scene.kazasu(&["pki", "begin", "--config", "authority.toml", "--json"]);
    assert_eq!(
        (ran.code, ran.json()["problem"]["code"].as_str()),
        (Some(1), Some("key_place_refused")),
        "{ran:#?}"
    );
    assert!(ran.out.contains("no token labelled `elsewhere`"), "{}", ran.out);
    let ran = scene.kazasu(&["pki", "begin", "--config", "nowhere.toml"]);
    assert!(ran.code == Some(1) && ran.out.contains("input_unusable"), "{ran:#?}");
}

#[test]
fn nothing_is_made_alone_and_a_change_is_told() {
    let scene = Scene::new("ceremony-alone", Kind::Files);
    let make = format!(
        "[make.root]\ndays = 10\nprofile = {{ town = {{ common_name = \"T\" }} }}\n\
         key = {{ algorithm = \"p-256\", place = {} }}\n",
        scene.places("t").0
    );
    scene.write("t", &make);
    let refused = |code: &str| {
        let ran = scene.kazasu(&["pki", "ceremony", "t.toml", "--json"]);
        assert_eq!((ran.code, ran.json()["problem"]["code"].as_str()), (Some(1), Some(code)), "{ran:#?}");
        assert!(!scene.hsm.folder().join("t.out").exists());
        ran.out
    };
    let ran = scene.kazasu(&["pki", "ceremony", "t.toml", "--dry-run", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let told = ran.json();
    assert_eq!((&told["possible"], &told["approved"]), (&true.into(), &false.into()));
    refused("ceremony_not_approved");
    let ran = scene.sign("t", "alice");
    assert!(ran.code == Some(0) && ran.out.contains("still missing: any of Bob"), "{ran:#?}");
    assert!(refused("ceremony_not_approved").contains("1 of 2"));
    // An operator may sign with tools of their own: what is signed is text.
    assert_eq!(scene.sign("t", "bob").code, Some(0));
    let text = fs::read_to_string(scene.hsm.folder().join("t.toml")).unwrap();
    fs::write(scene.hsm.folder().join("t.toml"), text.replace("days = 10", "days = 11")).unwrap();
    assert!(refused("ceremony_not_approved").contains("Alice"));
    fs::write(scene.hsm.folder().join("t.toml"), &text).unwrap();
    let ran = scene.kazasu(&["pki", "ceremony", "t.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    for part in ["SHA-256（紙に書きとめる / for paper）", "certificate.pem", "public key"] {
        assert!(ran.out.contains(part), "{}", ran.out);
    }
    assert!(ran.err.contains("鍵をつくる"), "{}", ran.err);
    let folder = scene.hsm.folder();
    change(&folder.join("t.out/certificate.pem"));
    let ran = scene.kazasu(&["pki", "ceremony", "--check", "t.out/transcript.json", "--json"]);
    assert_eq!((ran.code, ran.json()["problem"]["code"].as_str()), (Some(1), Some("transcript_differs")));
    assert!(ran.out.contains("certificate.pem: was changed"), "{}", ran.out);
    for usage in
        [&["pki", "ceremony"][..], &["pki", "ceremony", "a", "--check", "b"], &["pki", "ceremony", "sign"]]
    {
        assert_eq!(scene.kazasu(usage).code, Some(2), "{usage:?}");
    }
}

fn change(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replacen('\n', "\n\n", 1)).unwrap();
}
