//! openssl judges what the town's authority issued: paths, revocation, reasons.

use crate::fixture::{Town, on_runtime};
use crate::pcscd::{run, said};
use chassis::client::Client;
use chassis::tls;

#[test]
fn openssl_agrees_with_the_town_about_every_certificate() {
    let town = Town::start();
    let (auth, sign) = (fetched_list(&town, "crl"), fetched_list(&town, "sign_crl"));
    reasons_are_in_the_list(&auth);
    let authority = |key: &str| town.text(&format!("/rooms/jpki_authority/{key}")).to_owned();
    for person in town.patients() {
        let name = person["name"].as_str().unwrap();
        let is_revoked = matches!(
            person["expected"].as_str().unwrap(),
            "certificate_hold" | "cessation_of_operation" | "affiliation_changed"
        );
        let certificate = person["auth_cert"].as_str().unwrap();
        judge(name, certificate, &authority("auth_ca"), &auth, is_revoked);
        refuse_under(certificate, &authority("sign_ca"), &sign);
        if let (Some(certificate), false) = (person["sign_cert"].as_str(), is_revoked) {
            judge(name, certificate, &authority("sign_ca"), &sign, false);
        }
    }
    // Certificates of the rooms, for the name that the terminals dial.
    let servers = town.text("/rooms/eligibility/ca");
    for room in ["eligibility", "jpki_authority"] {
        let certificate = format!("{}/{room}/server.pem", town.dir);
        let purpose =
            ["verify", "-purpose", "sslserver", "-verify_hostname", "localhost", "-CAfile", servers];
        let verdict = run("openssl", "openssl", &[&purpose[..], &[&certificate]].concat(), &[]);
        assert!(verdict.status.success(), "{room}: {}", said(&verdict));
    }
    drop(town.stop());
}

/// The list as any relying party gets it: no client certificate. As a PEM file.
fn fetched_list(town: &Town, which: &str) -> String {
    let url = town.text(&format!("/rooms/jpki_authority/{which}"));
    let host_starts = url.find("://").unwrap() + 3;
    let path_starts = host_starts + url[host_starts..].find('/').unwrap();
    let tls = tls::client_config(town.text("/rooms/jpki_authority/ca").as_ref(), None).unwrap();
    let client = Client::new(&url[..path_starts], tls).unwrap();
    let reply = on_runtime(client.get(&url[path_starts..])).unwrap();
    assert_eq!((reply.status, reply.content_type.as_str()), (200, "application/pkix-crl"));
    let (der, list) =
        (town.folder.file(&format!("{which}.der"), &reply.body), town.folder.text(&format!("{which}.pem")));
    let converted = run("openssl", "openssl", &["crl", "-inform", "DER", "-in", &der, "-out", &list], &[]);
    assert!(converted.status.success(), "{}", said(&converted));
    list
}

fn reasons_are_in_the_list(list: &str) {
    let text = said(&run("openssl", "openssl", &["crl", "-in", list, "-noout", "-text"], &[]));
    for reason in ["Certificate Hold", "Affiliation Changed", "Cessation Of Operation"] {
        assert_eq!(text.matches(reason).count(), 1, "{reason}:\n{text}");
    }
    assert_eq!(text.matches("Serial Number:").count(), 3, "{text}");
    assert!(text.contains("X509v3 CRL Number") && text.contains("Next Update"), "{text}");
}

fn judge(name: &str, certificate: &str, authority: &str, list: &str, is_revoked: bool) {
    let arguments =
        ["verify", "-x509_strict", "-crl_check", "-CAfile", authority, "-CRLfile", list, certificate];
    let verdict = run("openssl", "openssl", &arguments, &[]);
    assert_eq!(verdict.status.success(), !is_revoked, "{name}: {}", said(&verdict));
    assert_eq!(said(&verdict).contains("certificate revoked"), is_revoked, "{name}: {}", said(&verdict));
}

fn refuse_under(certificate: &str, authority: &str, list: &str) {
    let arguments = ["verify", "-crl_check", "-CAfile", authority, "-CRLfile", list, certificate];
    let verdict = run("openssl", "openssl", &arguments, &[]);
    assert!(!verdict.status.success(), "the other authority vouches for nobody: {}", said(&verdict));
}
