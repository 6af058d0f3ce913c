//! Three foreign clients ask our responder over HTTP: openssl, GnuTLS and NSS. What each understands is the
//! table in `docs/authority.md`, and the test holds the page to it.
//!
//! Too old: the client runs under `faketime`, two hours ahead; answers are valid for one.

use super::openssl;
use crate::served::Served;
use crate::town::{DAY, Folder, authority_at, child};
use chassis::clock::SystemClock;
use jpki_authority::{Authority, CertificateKind};
use pki::issue::IssuingAuthority;
use pki::pem::{self, PemKind};
use pki::profile::{LeafProfile, Validity};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::software_signer;
use protocol::entropy::Seeded;
use protocol::time::{Clock as _, UnixSeconds};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const AUTH: CertificateKind = CertificateKind::CardHolderAuth;
const PAGE: &str = include_str!("../../../../../docs/authority.md");

/// A client's clock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Now,
    TwoHoursAhead,
}

/// Runs a program in `folder`; all it said.
fn run(folder: &Path, when: When, program: &str, package: &str, arguments: &[&str]) -> String {
    let mut command = match when {
        When::Now => Command::new(program),
        When::TwoHoursAhead => {
            let mut command = Command::new("faketime");
            command.args(["-f", "+2h", program]);
            command
        }
    };
    let output =
        command.current_dir(folder).args(arguments).output().unwrap_or_else(|error| {
            panic!("{program}: {error} (Debian: apt-get install {package} faketime)")
        });
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A foreign client: how it is asked about a leaf under `ca.pem`, and what it says in a few words.
struct Client {
    name: &'static str,
    ask: fn(&Path, When, &str, &str) -> String,
}

const CLIENTS: [Client; 6] = [
    Client { name: "`openssl verify -crl_check`", ask: by_list },
    Client {
        name: "`openssl ocsp -nonce`",
        ask: |at, when, url, leaf| by_openssl(at, when, url, leaf, "-nonce"),
    },
    Client {
        name: "`openssl ocsp -no_nonce`",
        ask: |at, when, url, leaf| by_openssl(at, when, url, leaf, "-no_nonce"),
    },
    Client {
        name: "`ocsptool --nonce`",
        ask: |at, when, url, leaf| by_gnutls(at, when, url, leaf, "--nonce"),
    },
    Client {
        name: "`ocsptool --no-nonce`",
        ask: |at, when, url, leaf| by_gnutls(at, when, url, leaf, "--no-nonce"),
    },
    Client { name: "`ocspclnt -S`", ask: by_nss },
];

/// The line of `text` after `word`.
fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    text.split_once(word)?.1.lines().next().map(str::trim)
}

fn by_list(folder: &Path, when: When, _: &str, leaf: &str) -> String {
    let leaf = format!("{leaf}.pem");
    // The list is good for a day; -attime is openssl's own.
    let at = SystemClock.now().plus(if when == When::Now { 0 } else { 25 * 3_600 }).0.to_string();
    let asked = ["verify", "-crl_check", "-attime", &at, "-CAfile", "ca.pem", "-CRLfile", "list.pem", &leaf];
    let (good, said) = openssl(folder, &asked);
    if good {
        return "good".to_owned();
    }
    if said.contains("CRL has expired") {
        return "too old".to_owned();
    }
    assert!(said.contains("certificate revoked"), "{said}");
    let serial = openssl(folder, &["x509", "-in", &leaf, "-noout", "-serial"]).1;
    let (_, list) = openssl(folder, &["crl", "-in", "list.pem", "-noout", "-text"]);
    let entry = list.split_once(&format!("Serial Number: {}", after(&serial, "serial=").unwrap())).unwrap().1;
    let reason = after(entry, "Reason Code: \n").unwrap();
    format!("revoked, {}", super::meaning::reason_of(reason))
}

fn by_openssl(folder: &Path, when: When, url: &str, leaf: &str, nonce: &str) -> String {
    let leaf = format!("{leaf}.pem");
    let asked = ["ocsp", "-issuer", "ca.pem", "-cert", &leaf, "-url", url, "-CAfile", "ca.pem", nonce];
    let said = run(folder, when, "openssl", "openssl", &asked);
    assert!(said.contains("Response verify OK"), "{said}");
    assert!(!said.contains("no nonce in response") && !said.contains("Nonce Verify error"), "{said}");
    if said.contains("OCSP_check_validity:status expired") {
        return "too old".to_owned();
    }
    let status = after(&said, &format!("{leaf}: ")).unwrap();
    let reason = after(&said, "Reason: ").map_or_else(String::new, |reason| format!(", {reason}"));
    format!("{status}{reason}")
}

fn by_gnutls(folder: &Path, when: When, url: &str, leaf: &str, nonce: &str) -> String {
    let (ask, leaf) = (format!("--ask={url}"), format!("{leaf}.pem"));
    let asked = [&ask, "--load-cert", &leaf, "--load-issuer", "ca.pem", "--load-trust", "ca.pem", nonce];
    let said = run(folder, when, "ocsptool", "gnutls-bin", &asked);
    assert!(said.contains("Verifying OCSP Response: Success."), "{said}");
    assert_eq!(said.contains("Nonce: "), nonce == "--nonce", "{said}");
    after(&said, "Certificate Status: ").unwrap().to_owned()
}

fn by_nss(folder: &Path, when: When, url: &str, leaf: &str) -> String {
    // In DER: `-a` for PEM, which its help names, ends its reading of the options.
    let leaf = format!("{leaf}.der");
    let asked = ["-d", "nss", "-l", url, "-t", "ca", "-S", &leaf];
    let said = run(folder, when, "ocspclnt", "libnss3-tools", &asked);
    let words = [
        ("succeeded.", "good"),
        ("Certificate has been revoked", "revoked"),
        ("has no status for the certificate", "unknown"),
        ("out-of-date information", "too old"),
    ];
    let found = words.iter().find(|(known, _)| said.contains(known));
    found.unwrap_or_else(|| panic!("{said}")).1.to_owned()
}

/// What is asked about.
const REASONS: [RevocationReason; 4] = [
    RevocationReason::AffiliationChanged,
    RevocationReason::Superseded,
    RevocationReason::CessationOfOperation,
    RevocationReason::CertificateHold,
];

/// Certificates of each status, the list, and NSS's database, in files.
fn lay_out(folder: &Path, holder: &Folder, authority: &Authority, now: UnixSeconds) {
    let write = |name: &str, der: &[u8]| {
        let text = pem::encode(PemKind::Certificate, der);
        std::fs::write(folder.join(format!("{name}.pem")), text.as_bytes()).unwrap();
        std::fs::write(folder.join(format!("{name}.der")), der).unwrap();
    };
    let ca = authority.ca_certificate_der(AUTH);
    write("ca", ca);
    let mut registration = child();
    registration.valid_until = now.plus(365 * DAY);
    for (place, reason) in std::iter::once(None).chain(REASONS.map(Some)).enumerate() {
        let mut entropy = Seeded::new(100 + place as u64);
        let card = authority.issue_person_certificates(&registration, now.minus(50), &mut entropy).unwrap();
        let card = card.card_holder_auth;
        if let Some(reason) = reason {
            authority.revoke(card.serial, AUTH, reason, now.minus(5)).unwrap();
        }
        write(reason.map_or("good", |reason| reason.as_str()), &card.der);
    }
    // Signed by the authority's key, and the authority knows nothing of it.
    let key = std::fs::read(holder.config().keys_dir.join("auth-ca.key")).unwrap();
    let issuing = IssuingAuthority::from_certificate(ca.to_vec(), software_signer(&key).unwrap()).unwrap();
    let shape = LeafProfile::JpkiAuth {
        common_name: "X",
        municipality: &registration.municipality,
        ocsp_uri: None,
        list_place: None,
    };
    let validity = Validity { not_before: now.minus(50), not_after: now.plus(30 * DAY) };
    let serial = SerialNumber::random(8, &mut Seeded::new(99));
    write("stranger", &issuing.issue(&shape, serial, validity, &registration.auth_spki).unwrap());

    authority.publish(now).unwrap();
    let list = authority.current_list(AUTH).unwrap();
    let text = pem::encode(PemKind::CertificateList, &list.der);
    std::fs::write(folder.join("list.pem"), text.as_bytes()).unwrap();
    std::fs::create_dir(folder.join("nss")).unwrap();
    for arguments in [
        &["-N", "-d", "nss", "--empty-password"][..],
        &["-A", "-d", "nss", "-n", "ca", "-t", "CT,CT,CT", "-a", "-i", "ca.pem"],
    ] {
        assert_eq!(run(folder, When::Now, "certutil", "libnss3-tools", arguments), "");
    }
}

#[test]
fn openssl_gnutls_and_nss_agree_with_the_authority() {
    let holder = Folder::new();
    let folder = holder.path();
    let now = SystemClock.now();
    let authority = Arc::new(authority_at(&holder, now.minus(60)));
    authority.rotate_delegates(now, &mut Seeded::new(71)).unwrap();
    let served = Served::new(&authority, Arc::new(SystemClock));
    let url = format!("{}/ocsp", served.url());
    lay_out(folder, &holder, &authority, now);

    let names: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
    let mut table = format!("| certificate | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    let rows = std::iter::once(("good", "good", When::Now))
        .chain(REASONS.map(|reason| (reason.as_str(), reason.as_str(), When::Now)))
        .chain([
            ("never issued", "stranger", When::Now),
            ("good, answer or list too old", "good", When::TwoHoursAhead),
        ]);
    for (what, leaf, when) in rows {
        let said: Vec<String> = CLIENTS.iter().map(|client| (client.ask)(folder, when, &url, leaf)).collect();
        table.push_str(&format!("| {what} | {} |\n", said.join(" | ")));
    }
    assert!(PAGE.contains(&table), "docs/authority.md does not have this table:\n{table}");
}
