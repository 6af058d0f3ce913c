//! openssl as a foreign judge of what we issue, and as a foreign issuer of what we read.

mod clients;
mod meaning;
mod pkilint;
mod token;

use crate::town::{Folder, NOW, authority, person};
use jpki_authority::authority::ca_path;
use jpki_authority::{Authority, CardEvent, CertificateKind, PersonCertificates};
use pki::crl::{CrlProblem, RevocationIndex};
use pki::oid;
use pki::pem::{self, PemKind};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::validate::TrustAnchor;
use protocol::entropy::Seeded;
use std::path::Path;
use std::process::Command;

/// Runs openssl in `folder`; whether it said yes, and all it said.
fn openssl(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("openssl 3 is installed (Debian: apt-get install openssl)");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// An authority with its lists and one card laid out as files.
fn lay_out(folder: &Folder, event: Option<CardEvent>) -> (Authority, PersonCertificates) {
    let authority = authority(folder);
    let card = authority.issue_person_certificates(&person(), NOW, &mut Seeded::new(3)).unwrap();
    if let Some(event) = event {
        authority.apply_event(event, &card.card_holder_auth.serial, NOW.plus(1)).unwrap();
    }
    authority.publish(NOW.plus(2)).unwrap();
    let write = |name: &str, kind, der: &[u8]| {
        std::fs::write(folder.path().join(name), pem::encode(kind, der).as_bytes()).unwrap();
    };
    for kind in CertificateKind::ALL {
        let list = authority.current_list(kind).unwrap();
        write(&format!("{}.crl.pem", kind.word()), PemKind::CertificateList, &list.der);
        std::fs::copy(
            ca_path(authority.config(), kind),
            folder.path().join(format!("{}.ca.pem", kind.word())),
        )
        .unwrap();
    }
    write("auth.pem", PemKind::Certificate, &card.card_holder_auth.der);
    write("sign.pem", PemKind::Certificate, &card.document_signature.as_ref().unwrap().der);
    (authority, card)
}

fn verify(folder: &Folder, word: &str, more: &[&str]) -> (bool, String) {
    let at = (NOW.0 + 3).to_string();
    let (ca, crl, leaf) = (format!("{word}.ca.pem"), format!("{word}.crl.pem"), format!("{word}.pem"));
    let mut arguments =
        vec!["verify", "-x509_strict", "-attime", &at, "-crl_check", "-CAfile", &ca, "-CRLfile", &crl];
    arguments.extend_from_slice(more);
    arguments.push(&leaf);
    openssl(folder.path(), &arguments)
}

#[test]
fn openssl_accepts_good_certificates_with_their_policies_and_lists() {
    let folder = Folder::new();
    let (_, _) = lay_out(&folder, None);
    for (word, policy) in [("auth", oid::JPKI_AUTH_POLICY), ("sign", oid::JPKI_SIGN_POLICY)] {
        let (good, said) = verify(&folder, word, &["-policy", &policy.to_string(), "-explicit_policy"]);
        assert!(good, "{word}: {said}");
        let crl = format!("{word}.crl.pem");
        let (_, said) =
            openssl(folder.path(), &["crl", "-in", &crl, "-noout", "-CAfile", &format!("{word}.ca.pem")]);
        assert!(said.contains("verify OK"), "{word}: {said}");
        // The list is not the other authority's, and the certificate is not under it.
        let other = if word == "auth" { "sign.ca.pem" } else { "auth.ca.pem" };
        let (_, said) = openssl(folder.path(), &["crl", "-in", &crl, "-noout", "-CAfile", other]);
        assert!(!said.contains("verify OK"), "{word}: {said}");
    }
    let (good, said) =
        verify(&folder, "auth", &["-policy", &oid::JPKI_SIGN_POLICY.to_string(), "-explicit_policy"]);
    assert!(!good, "{said}");
}

#[test]
fn openssl_reads_the_shape_that_cards_have() {
    let folder = Folder::new();
    let (_, _) = lay_out(&folder, None);
    let text = |name: &str| {
        let (read, said) = openssl(
            folder.path(),
            &["x509", "-in", name, "-noout", "-text", "-nameopt", "utf8,sep_comma_plus"],
        );
        assert!(read, "{said}");
        said
    };
    let auth_leaf = text("auth.pem");
    for shown in [
        "Version: 3",
        "sha256WithRSAEncryption",
        "Public-Key: (2048 bit)",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Client Authentication",
        "X509v3 Certificate Policies: critical\n                Policy: 1.3.6.1.4.1.32473.8.5.1.3.30",
        "CPS: https://jpki-emulated.example/cps.html",
        "X509v3 Issuer Alternative Name",
        "Full Name:\n                  DirName:",
        "Kiyose-shi CRLDP",
        "X509v3 Authority Key Identifier",
        "X509v3 Subject Key Identifier",
    ] {
        assert!(auth_leaf.contains(shown), "{shown:?} in\n{auth_leaf}");
    }
    for address in [
        "URI:http://status.jpki-emulated.example/crl/auth/00",
        "OCSP - URI:http://status.jpki-emulated.example/ocsp",
    ] {
        assert!(auth_leaf.contains(address), "{address:?} in\n{auth_leaf}");
    }
    let sign = text("sign.pem");
    assert!(sign.contains("/crl/sign/00") && !sign.contains("Authority Information Access"), "{sign}");
    for shown in [
        "Digital Signature, Non Repudiation",
        "othername",
        "L=Tokyo-to,L=Kiyose-shi",
        "1.3.6.1.4.1.32473.8.5.1.1.20",
    ] {
        assert!(sign.contains(shown), "{shown:?} in\n{sign}");
    }
    let authority = text("auth.ca.pem");
    for shown in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE\n",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
        "O=JPKI-EMULATED",
        "KAZASU TEST",
        "X509v3 CRL Distribution Points",
    ] {
        assert!(authority.contains(shown), "{shown:?} in\n{authority}");
    }
    // Nothing may look like the real authority: its arc and its name.
    for page in [&auth_leaf, &sign, &authority] {
        assert!(!page.contains("1.2.392.200149") && !page.contains("O=JPKI,"), "{page}");
    }
}

#[test]
fn openssl_refuses_revoked_certificates_and_shows_the_reasons() {
    let words = [
        (RevocationReason::AffiliationChanged, "Affiliation Changed"),
        (RevocationReason::CertificateHold, "Certificate Hold"),
        (RevocationReason::Superseded, "Superseded"),
        (RevocationReason::CessationOfOperation, "Cessation Of Operation"),
    ];
    for event in CardEvent::ALL {
        let folder = Folder::new();
        let (_, _) = lay_out(&folder, Some(event));
        for kind in CertificateKind::ALL {
            let (good, said) = verify(&folder, kind.word(), &[]);
            let crl = format!("{}.crl.pem", kind.word());
            let (_, list) = openssl(folder.path(), &["crl", "-in", &crl, "-noout", "-text"]);
            let Some(reason) = event.reason_for(kind) else {
                assert!(
                    good && list.contains("No Revoked Certificates"),
                    "{event:?} {kind:?}: {said} {list}"
                );
                continue;
            };
            let word = words.iter().find(|(known, _)| *known == reason).unwrap().1;
            assert!(!good && said.contains("certificate revoked"), "{event:?} {kind:?}: {said}");
            assert!(list.contains(word), "{event:?} {kind:?}: {list}");
        }
    }
}

/// An authority of openssl's own, with a list of four serial numbers.
fn foreign_list(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let config = "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n\
        certificate=ca.pem\nprivate_key=ca.key\ndefault_crl_days=7\ncrl_extensions=e\n\
        [e]\nauthorityKeyIdentifier=keyid\n";
    let row = |reason: &str, serial: &str| {
        format!("R\t400101000000Z\t251122010203Z{reason}\t{serial}\tunknown\t/CN=x\n")
    };
    let index = [
        row(",keyCompromise", "7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"),
        row(",superseded", "02"),
        row("", "80"),
        row(",CACompromise", "0100"),
    ];
    std::fs::write(folder.join("ca.cnf"), config).unwrap();
    std::fs::write(folder.join("index.txt"), index.concat()).unwrap();
    std::fs::write(folder.join("number"), "0FFFFFFFFFFFFFFFFF\n").unwrap();
    let run = |arguments: &[&str]| {
        let (done, said) = openssl(folder, arguments);
        assert!(done, "{arguments:?}: {said}");
    };
    run(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=Foreign",
    ]);
    run(&["ca", "-config", "ca.cnf", "-gencrl", "-out", "list.pem"]);
    let read =
        |name: &str, kind| pem::decode(kind, &std::fs::read_to_string(folder.join(name)).unwrap()).unwrap();
    (read("ca.pem", PemKind::Certificate).to_vec(), read("list.pem", PemKind::CertificateList).to_vec())
}

#[test]
fn a_list_of_openssls_own_authority_is_read() {
    let folder = Folder::new();
    let (ca, list) = foreign_list(folder.path());
    let anchor = TrustAnchor::from_certificate(&ca).unwrap();
    let index = RevocationIndex::from_crl(&list, std::slice::from_ref(&anchor), None).unwrap();
    assert_eq!(index.number().to_string(), "0x0FFFFFFFFFFFFFFFFF");
    let reason = |octets: &[u8]| {
        index.entry(&SerialNumber::from_octets(octets).unwrap()).map(|(reason, at)| (reason, at.0))
    };
    let at = 1_763_773_323;
    assert_eq!(index.len(), 4);
    let mut largest = [0xFF; 20];
    largest[0] = 0x7F;
    assert_eq!(reason(&largest), Some((RevocationReason::KeyCompromise, at)));
    assert_eq!(reason(&[2]), Some((RevocationReason::Superseded, at)));
    assert_eq!(reason(&[0x80]), Some((RevocationReason::Unspecified, at)));
    assert_eq!(reason(&[1, 0]), Some((RevocationReason::CaCompromise, at)));
    assert_eq!(reason(&[1]), None);
    // Under our own authority it is foreign.
    let ours = Folder::new();
    let authority = authority(&ours);
    let anchor =
        TrustAnchor::from_certificate(authority.ca_certificate_der(CertificateKind::CardHolderAuth)).unwrap();
    assert_eq!(RevocationIndex::from_crl(&list, &[anchor], None).unwrap_err(), CrlProblem::ForeignIssuer);
}
