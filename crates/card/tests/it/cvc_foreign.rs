//! OpenPACE's tools as foreign judges of the certificates of profile `eac`, and as a foreign issuer.
#![expect(clippy::disallowed_methods, reason = "a foreign tool reads and writes files")]

use card::eac::cvc::{
    Authorisation, ChainKind, Cvc, CvcBody, CvcDate, Field, HolderReference, ImportError, KeyPurpose,
    ParseError, Rights, Role, TerminalChain, TrustAnchor, import, issue,
};
use card::eac::p256::{P256SigningKey, generate_pkcs8};
use card::eac::tags;
use card::tlv::{self, TlvReader};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of this process and test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kazasu-cvc-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// cvc-print looks a certificate's authority up under its name.
    fn put(&self, certificate: &Cvc) -> String {
        let name = certificate.body().holder.to_string();
        self.put_octets(&name, &certificate.encode());
        name
    }

    fn put_octets(&self, name: &str, octets: &[u8]) {
        std::fs::write(self.0.join(name), octets).unwrap();
    }

    fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a tool of OpenPACE in `folder`; whether it said yes, and all it said.
fn openpace(program: &str, folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error} (Debian: apt-get install openpace)"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// What cvc-print says of a certificate, with the folder's certificates as those above it.
fn print(folder: &Folder, name: &str) -> String {
    let here = folder.0.to_str().unwrap();
    let (ran, text) =
        openpace("cvc-print", &folder.0, &[&format!("--cvc={name}"), &format!("--cvc-dir={here}")]);
    assert!(ran, "{text}");
    text
}

/// What cvc-print concludes.
fn is_verified(folder: &Folder, name: &str) -> bool {
    let said = print(folder, name);
    let (yes, no) = (said.contains("certificate verified"), said.contains("certificate not verified"));
    assert_ne!(yes, no, "{said}");
    yes
}

fn day(year: u8, month: u8, day: u8) -> CvcDate {
    CvcDate::new(year, month, day).unwrap()
}

struct Party {
    key: P256SigningKey,
    certificate: Cvc,
}

/// Dates that today's clock lies between: the foreign tool asks it.
fn party(name: &str, role: Role, above: Option<&Party>, expiration: CvcDate) -> Party {
    let key = P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap();
    let holder = HolderReference::parse(name.as_bytes()).unwrap();
    let body = CvcBody {
        authority: above.map_or(holder, |above| above.certificate.body().holder),
        holder,
        purpose: KeyPurpose::Signature,
        key: key.public_key(),
        authorisation: Authorisation { chain: ChainKind::Terminal, role, rights: Rights::ALL },
        effective: day(20, 1, 31),
        expiration,
    };
    let certificate = issue(above.map_or(&key, |above| &above.key), body).unwrap();
    Party { key, certificate }
}

fn chain(expiration: CvcDate) -> (Party, Party, Party) {
    let root = party("ZZROOT00001", Role::Cvca, None, day(99, 12, 31));
    let body = party("ZZBODY00001", Role::DocumentVerifierDomestic, Some(&root), day(99, 12, 31));
    let terminal = party("ZZDESK00001", Role::Holder, Some(&body), expiration);
    (root, body, terminal)
}

#[test]
fn cvc_print_reads_and_verifies_our_chain() {
    let folder = Folder::new("print");
    let (root, body, terminal) = chain(day(99, 12, 31));
    for (certificate, authority, role) in [
        (&root.certificate, "ZZROOT00001", "CVCA certificate"),
        (&body.certificate, "ZZROOT00001", "DV certificate"),
        (&terminal.certificate, "ZZBODY00001", "Terminal certificate"),
    ] {
        let name = folder.put(certificate);
        let said = print(&folder, &name);
        let expected = format!(
            "Certificate:\n  Profile identifier: 0\n  CAR: {authority}\n  CHR: {name}\n  CHAT:\n    \
             Unknown terminal type\n      {role}\n  Effective Date: 2020-01-31\n  \
             Expiration Date: 2099-12-31\ncertificate verified\n"
        );
        assert_eq!(said, expected);
    }
}

#[test]
fn cvc_print_refuses_what_we_refuse() {
    let folder = Folder::new("refuse");
    let (root, body, expired) = chain(day(20, 2, 29));
    let foreign = party("ZZROOT00001", Role::Cvca, None, day(99, 12, 31));
    let (root_name, body_name) = (folder.put(&root.certificate), folder.put(&body.certificate));
    assert!(is_verified(&folder, &body_name));
    assert!(!is_verified(&folder, &folder.put(&expired.certificate)));
    let anchor = TrustAnchor::new(root.certificate.clone()).unwrap();
    let chain =
        TerminalChain::new(Vec::new(), body.certificate.clone(), expired.certificate.clone()).unwrap();
    let refused = chain.verify(&anchor, day(20, 3, 1)).unwrap_err();
    assert_eq!(refused, ImportError::Expired(day(20, 2, 29)));
    assert!(chain.verify(&anchor, day(20, 2, 29)).is_ok());
    // The last octet of the signature, and a root of the same name with another key.
    let mut bent = body.certificate.encode();
    *bent.last_mut().unwrap() ^= 1;
    folder.put_octets("bent", &bent);
    assert!(!is_verified(&folder, "bent"));
    let result = import(&Cvc::parse(&bent).unwrap(), &anchor.key(), day(20, 3, 1));
    assert!(matches!(result, Err(ImportError::Signature(_))));
    folder.put_octets(&root_name, &foreign.certificate.encode());
    assert!(!is_verified(&folder, "ZZBODY00001"));
}

/// cvc-create knows the three kinds of terminals of German cards and crashes on any other object
/// identifier, so it makes a root of an authentication terminal's chain: everything in it but the
/// authorisation is of our profile too.
#[test]
fn what_cvc_create_makes_is_ours_but_for_the_authorisation() {
    let folder = Folder::new("create");
    let pkcs8 = generate_pkcs8().unwrap();
    let key = P256SigningKey::from_pkcs8(&pkcs8).unwrap();
    folder.put_octets("root.pkcs8", &pkcs8);
    let (made, said) = openpace(
        "cvc-create",
        &folder.0,
        &[
            "--role=cvca",
            "--type=at",
            "--chr=ZZOTHER00042",
            "--issued=260131",
            "--expires=280229",
            "--sign-with=root.pkcs8",
            "--key=root.pkcs8",
            "--scheme=ECDSA_SHA_256",
            "--out-cert=made",
        ],
    );
    assert!(made, "{said}");
    let octets = folder.get("made");
    // Its signature over its body holds for us.
    let content = tlv::read_single(&octets, tags::CERTIFICATE).unwrap();
    let (body, rest) = tlv::read_one(content).unwrap();
    let signature = tlv::read_single(rest, tags::SIGNATURE).unwrap();
    key.public_key().verify(body.encoded, signature).unwrap();
    // A German terminal's authorisation is refused, and the refusal says where.
    let offset = octets.windows(2).rposition(|two| two == [0x7F, 0x4C]).unwrap();
    let refused = Cvc::parse(&octets).unwrap_err();
    assert_eq!(refused, ParseError::Value { field: Field::Authorisation, offset });
    assert_eq!(
        refused.to_string(),
        format!("octet {offset}, holder authorisation (7F4C): a value that this profile does not have")
    );
    // With ours in its place it is the certificate that we would have made.
    let authorisation = Authorisation { chain: ChainKind::Terminal, role: Role::Cvca, rights: Rights::NONE };
    let mut template = tlv::encode(tags::OID, authorisation.chain.oid());
    tlv::write(&mut template, tags::DISCRETIONARY, &[authorisation.octet()]);
    let mut fields = TlvReader::new(body.value);
    let mut ours = Vec::new();
    while !fields.is_empty() {
        let field = fields.read().unwrap();
        let value = if field.tag == tags::CHAT { &template } else { field.value };
        tlv::write(&mut ours, field.tag, value);
    }
    let holder = HolderReference::parse(b"ZZOTHER00042").unwrap();
    let expected = CvcBody {
        authority: holder,
        holder,
        purpose: KeyPurpose::Signature,
        key: key.public_key(),
        authorisation,
        effective: day(26, 1, 31),
        expiration: day(28, 2, 29),
    };
    assert_eq!(tlv::encode(tags::BODY, &ours), expected.encode());
}
