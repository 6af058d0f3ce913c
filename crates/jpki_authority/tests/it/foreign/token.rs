//! An authority whose keys are in a token of SoftHSM2, judged by openssl.

use super::openssl;
use crate::ceremony::{Operators, hold};
use crate::served::Served;
use crate::softhsm::{SoftHsm, TOKEN, with_token};
use crate::town::{DAY, Folder, NOW, person};
use chassis::clock::SystemClock;
use hsm::{KeySource, Token};
use jpki_authority::authority::ca_path;
use jpki_authority::ceremony::perform::Step;
use jpki_authority::ceremony::{CeremonyError, transcript};
use jpki_authority::config::{Config, KeyPlaces};
use jpki_authority::error::AuthorityError;
use jpki_authority::{Authority, CardEvent, CertificateKind, PersonCertificates};
use pki::ocsp::request::request_der;
use pki::ocsp::{CertIdHash, IssuerHashes};
use pki::pem::{self, PemKind};
use protocol::entropy::Seeded;
use protocol::time::{Clock as _, UnixSeconds};
use std::path::Path;
use std::sync::Arc;

fn config(token: &SoftHsm) -> Config {
    let keys = KeyPlaces {
        auth_ca: Some(KeySource::Pkcs11(token.key("auth-ca"))),
        sign_ca: Some(KeySource::Pkcs11(token.key("sign-ca"))),
        ocsp_delegates: Some(token.token()),
    };
    Config { keys, ..Folder::config_in(token.folder()) }
}

fn write(folder: &Path, name: &str, kind: PemKind, der: &[u8]) {
    std::fs::write(folder.join(name), pem::encode(kind, der).as_bytes()).unwrap();
}

/// What openssl makes of certificate, list and OCSP answer of one kind.
fn judged(
    folder: &Path,
    authority: &Authority,
    card: &PersonCertificates,
    kind: CertificateKind,
    at: UnixSeconds,
) -> [(bool, String); 2] {
    let (issued, word) = match kind {
        CertificateKind::CardHolderAuth => (&card.card_holder_auth, "auth"),
        CertificateKind::DocumentSignature => (card.document_signature.as_ref().unwrap(), "sign"),
    };
    let ca = ca_path(authority.config(), kind);
    let ca = ca.to_str().unwrap();
    write(folder, "leaf.pem", PemKind::Certificate, &issued.der);
    write(folder, "list.pem", PemKind::CertificateList, &authority.current_list(kind).unwrap().der);
    let text = openssl(folder, &["x509", "-in", ca, "-noout", "-text"]).1;
    assert!(text.contains("CA:TRUE") && text.contains("(2048 bit)"), "{text}");
    let at_text = at.0.to_string();
    let by_list = openssl(
        folder,
        &[
            "verify",
            "-x509_strict",
            "-attime",
            &at_text,
            "-crl_check",
            "-CAfile",
            ca,
            "-CRLfile",
            "list.pem",
            "leaf.pem",
        ],
    );
    let id = IssuerHashes::of_certificate(authority.ca_certificate_der(kind))
        .unwrap()
        .cert_id_der(CertIdHash::Sha1, &issued.serial);
    let answer = authority.answer_ocsp(&request_der(&[id], Some(&[7; 32])), at);
    std::fs::write(folder.join("answer.der"), &answer.der).unwrap();
    let (_, said) = openssl(
        folder,
        &["ocsp", "-respin", "answer.der", "-issuer", ca, "-cert", "leaf.pem", "-CAfile", ca, "-no_nonce"],
    );
    assert!(said.contains("Response verify OK"), "{word}: {said}");
    [by_list, (said.contains("leaf.pem: good"), said)]
}

#[test]
fn an_authority_in_a_token_issues_lists_and_answers_what_openssl_verifies() {
    with_token(
        "foreign::token::an_authority_in_a_token_issues_lists_and_answers_what_openssl_verifies",
        |token| {
            let now = SystemClock.now().minus(60);
            let authority = Authority::init(config(token), now, &mut Seeded::new(1)).unwrap();
            authority.rotate_delegates(now, &mut Seeded::new(2)).unwrap();
            let mut registration = person();
            registration.valid_until = now.plus(365 * DAY);
            let card = authority.issue_person_certificates(&registration, now, &mut Seeded::new(3)).unwrap();
            authority.publish(now).unwrap();
            for kind in CertificateKind::ALL {
                for (good, said) in judged(token.folder(), &authority, &card, kind, now.plus(1)) {
                    assert!(good, "{kind:?}: {said}");
                }
            }
            // The same over HTTP, as everybody asks.
            let authority = Arc::new(authority);
            let served = Served::new(&authority, Arc::new(SystemClock));
            let ca = ca_path(authority.config(), CertificateKind::DocumentSignature);
            let (ca, url) = (ca.to_str().unwrap(), format!("{}/ocsp", served.url()));
            let (_, said) = openssl(
                token.folder(),
                &["ocsp", "-url", &url, "-issuer", ca, "-cert", "leaf.pem", "-CAfile", ca, "-nonce"],
            );
            assert!(said.contains("Response verify OK") && said.contains("leaf.pem: good"), "{said}");
            drop(served);
            // No key of the two authorities is in a file, and none in the token can leave it.
            let files: Vec<String> = std::fs::read_dir(&authority.config().keys_dir)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            assert!(!files.iter().any(|name| name.contains("-ca.key")), "{files:?}");
            for label in ["auth-ca", "sign-ca"] {
                let key = token.key(label);
                assert!(Token::of(&key.token()).unwrap().protection(&key).unwrap().was_never_outside());
            }
            // Delegates live in the token's memory: other programs see two keys and no third.
            let (_, said) = token.pkcs11_tool(&["--list-objects", "--type", "privkey"]);
            assert_eq!(said.matches("never extractable").count(), 2, "{said}");

            // The next start takes the same keys up, and what it signs is under the same authority.
            let config = authority.config().clone();
            drop(authority);
            let authority = Authority::open(config.clone()).unwrap();
            let later = now.plus(30);
            authority.rotate_delegates(later, &mut Seeded::new(4)).unwrap();
            authority.apply_event(CardEvent::LostCard, &card.card_holder_auth.serial, later).unwrap();
            authority.publish(later).unwrap();
            for kind in CertificateKind::ALL {
                for (good, said) in judged(token.folder(), &authority, &card, kind, later.plus(1)) {
                    assert!(!good && said.contains("revoked"), "{kind:?}: {said}");
                }
            }
            // Nothing is made twice.
            drop(authority);
            assert!(matches!(
                Authority::init(config, now, &mut Seeded::new(1)),
                Err(AuthorityError::AlreadyThere { .. })
            ));
        },
    );
}

#[test]
fn an_authority_says_what_is_wrong_with_its_token() {
    with_token("foreign::token::an_authority_says_what_is_wrong_with_its_token", |token| {
        let config = config(token);
        let now = SystemClock.now();
        drop(Authority::init(config.clone(), now, &mut Seeded::new(1)).unwrap());
        let refused = |change: &dyn Fn(&mut KeyPlaces)| {
            let mut config = config.clone();
            change(&mut config.keys);
            Authority::open(config).unwrap_err().to_string()
        };
        let said = refused(&|keys| keys.auth_ca = Some(KeySource::Pkcs11(token.key("nobody"))));
        assert!(said.contains("token `kazasu-test` holds no private key `nobody`"), "{said}");
        // The other authority's key does not fit the certificate.
        let said = refused(&|keys| {
            (keys.auth_ca, keys.sign_ca) = (keys.sign_ca.clone(), keys.auth_ca.clone());
        });
        assert!(said.contains("auth-ca.pem") && said.contains("does not belong to this key"), "{said}");
        let said = refused(&|keys| {
            let mut key = token.key("auth-ca");
            key.token = "elsewhere".into();
            keys.auth_ca = Some(KeySource::Pkcs11(key));
        });
        assert!(said.contains("no token labelled `elsewhere`"), "{said}");
        // One key in a file, the other in the token: each place is chosen by itself.
        let mixed = token.folder().join("mixed");
        let keys =
            KeyPlaces { sign_ca: Some(KeySource::Pkcs11(token.key("second"))), ..KeyPlaces::default() };
        let config = Config { keys, ..Folder::config_in(&mixed) };
        let authority = Authority::init(config, now, &mut Seeded::new(5)).unwrap();
        let mut registration = person();
        registration.valid_until = now.plus(DAY);
        let card = authority.issue_person_certificates(&registration, now, &mut Seeded::new(6)).unwrap();
        assert!(card.document_signature.is_some());
        assert!(mixed.join("keys/auth-ca.key").exists() && !mixed.join("keys/sign-ca.key").exists());
    });
}

#[test]
fn a_ceremony_in_a_token_goes_on_after_a_crash_and_its_keys_begin_an_authority() {
    with_token(
        "foreign::token::a_ceremony_in_a_token_goes_on_after_a_crash_and_its_keys_begin_an_authority",
        |token| {
            let operators = Operators::new();
            let config = config(token);
            let make = |kind: &str| {
                format!(
                    "[make.root]\ndays = 3652\n\
                     profile = {{ jpki-{kind} = {{ organization = \"JPKI-EMULATED\", operator = \"KAZASU TEST\" }} }}\n\
                     [make.root.key]\nalgorithm = \"rsa-2048\"\n[make.root.key.place.pkcs11]\n\
                     module = {:?}\ntoken = \"{TOKEN}\"\nlabel = \"{kind}-ca\"\npin_file = {:?}\n",
                    SoftHsm::module(),
                    token.pin_file()
                )
            };
            let keys = || token.pkcs11_tool(&["--list-objects", "--type", "privkey"]).1;
            std::fs::create_dir_all(&config.public_dir).unwrap();
            for (kind, stop) in [("auth", Step::Issue), ("sign", Step::Publish)] {
                let path = token.folder().join(format!("{kind}.toml"));
                let out = operators.write(&path, &make(kind));
                operators.approve(&path);
                hold(&path, Some(stop), 0).unwrap_err();
                let before = keys();
                // The key of the first attempt is used; a second one is not made.
                let outcome = hold(&path, None, 1).unwrap();
                assert!(outcome.resumed);
                assert_eq!(keys(), before);
                let key = outcome.transcript.key.unwrap();
                assert!(key.protection.unwrap().was_never_outside());
                let (_, looked) = transcript::check(&out.join("transcript.json")).unwrap();
                assert!(looked.iter().all(|looked| looked.holds), "{looked:#?}");
                std::fs::copy(out.join("certificate.pem"), config.public_dir.join(format!("{kind}-ca.pem")))
                    .unwrap();
                // Another ceremony with the same label finds it taken, and makes nothing.
                let again = token.folder().join(format!("{kind}-again.toml"));
                operators.write(&again, &make(kind));
                operators.approve(&again);
                assert!(matches!(hold(&again, None, 2), Err(CeremonyError::KeyTaken { .. })));
                assert_eq!(keys(), before);
            }
            // The authority takes them as they are, and makes the rest.
            let now = NOW.plus(2 * DAY);
            let authority = Authority::init(config, now, &mut Seeded::new(7)).unwrap();
            assert_eq!(keys().matches("Private Key Object").count(), 2);
            let card = authority.issue_person_certificates(&person(), now, &mut Seeded::new(8)).unwrap();
            authority.publish(now).unwrap();
            let ca = ca_path(authority.config(), CertificateKind::CardHolderAuth);
            write(token.folder(), "leaf.pem", PemKind::Certificate, &card.card_holder_auth.der);
            let at = (now.0 + 1).to_string();
            let (good, said) = openssl(
                token.folder(),
                &["verify", "-x509_strict", "-attime", &at, "-CAfile", ca.to_str().unwrap(), "leaf.pem"],
            );
            assert!(good, "{said}");
        },
    );
}
