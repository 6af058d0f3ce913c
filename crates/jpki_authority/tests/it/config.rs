use crate::town::Folder;
use hsm::KeySource;
use jpki_authority::CertificateKind;
use jpki_authority::config::{Config, KeyPlaces};
use jpki_authority::error::AuthorityError;
use protocol::linkage_v1::LinkageQuestion;
use std::path::Path;

fn sample() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/jpki_authority.toml")
}

#[test]
fn the_sample_is_read_and_makes_sense() {
    let config = jpki_authority::serve::load_config(&sample()).unwrap();
    config.check().unwrap();
    assert_eq!(config.listen.port(), 8445);
    assert!(config.store.ends_with("samples/jpki_authority/store.sqlite"));
    assert!(config.tls.key.ends_with("samples/jpki_authority/server.key"));
    assert_eq!(config.crl.validity_seconds, 86_400);
    let linkage = config.linkage.unwrap();
    assert!(linkage.client_ca.ends_with("samples/jpki_authority/partner-ca.pem"));
    let [eligibility, portal] = &linkage.clients[..] else { panic!("two clients") };
    assert!(eligibility.certificate.ends_with("samples/jpki_authority/partners/eligibility.pem"));
    assert!(
        eligibility.may_ask(LinkageQuestion::RenewedAuth)
            && !eligibility.may_ask(LinkageQuestion::AuthOfSign)
    );
    assert!(portal.may_ask(LinkageQuestion::AuthOfSign) && !portal.may_ask(LinkageQuestion::SignOfAuth));
}

#[test]
fn the_sample_with_a_token_is_read_and_differs_in_nothing_but_keys() {
    let path = sample().with_file_name("jpki_authority_pkcs11.toml");
    let config = jpki_authority::serve::load_config(&path).unwrap();
    config.check().unwrap();
    for (kind, label) in CertificateKind::ALL.into_iter().zip(["auth-ca", "sign-ca"]) {
        let Some(KeySource::Pkcs11(key)) = config.keys.authority_key(kind) else { panic!("{kind:?}") };
        assert_eq!((key.token.as_str(), key.label.as_str()), ("kazasu", label));
        assert!(key.pin_file.as_ref().unwrap().ends_with("samples/jpki_authority/pin"));
    }
    let usual = jpki_authority::serve::load_config(&sample()).unwrap();
    assert_eq!(usual.keys, KeyPlaces::default());
    assert_eq!(Config { keys: KeyPlaces::default(), ..config }, usual);
}

#[test]
fn a_key_is_in_one_place_and_a_pin_is_not_in_the_configuration() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(sample().with_file_name("jpki_authority_pkcs11.toml")).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        match jpki_authority::serve::load_config(&path) {
            Err(error) => error.to_string(),
            Ok(config) => config.check().unwrap_err().to_string(),
        }
    };
    assert!(refused("pin_file = \"jpki_authority/pin\"", "pin = \"1234\"").contains("unknown field `pin`"));
    let said = refused("pin_file = \"jpki_authority/pin\"", "");
    assert!(said.starts_with("keys.auth_ca this or pin_env must say where the PIN is"), "{said}");
    let said = refused("/usr/lib/softhsm/libsofthsm2.so", "libsofthsm2.so");
    assert!(said.starts_with("keys.auth_ca must be absolute"), "{said}");
    let said = refused("label = \"auth-ca\"", "label = \"sign-ca\"");
    assert!(said.starts_with("keys.sign_ca must not be the key of keys.auth_ca"), "{said}");
    let said = refused("[keys.auth_ca.pkcs11]", "[keys.auth_ca.hsm]");
    assert!(said.contains("unknown variant `hsm`"), "{said}");
}

#[test]
fn an_unknown_or_missing_key_is_refused_by_name() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(sample()).unwrap();
    let refused = |text: &str| {
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        jpki_authority::serve::load_config(&path).unwrap_err().to_string()
    };
    assert!(refused(&text.replace("republish_seconds", "republish_secs")).contains("republish_sec"));
    assert!(refused(&text.replace("organization", "#organization")).contains("organization"));
}

#[test]
fn values_that_cannot_be_meant_are_refused_by_key() {
    let folder = Folder::new();
    let key_of = |change: fn(&mut jpki_authority::config::Config)| {
        let mut config = folder.config();
        change(&mut config);
        match config.check() {
            Err(AuthorityError::Config { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(key_of(|config| config.crl.republish_seconds = 0), "crl.republish_seconds");
    assert_eq!(key_of(|config| config.crl.republish_seconds = 86_400), "crl.republish_seconds");
    assert_eq!(key_of(|config| config.crl.delta_seconds = 0), "crl.delta_seconds");
    assert_eq!(key_of(|config| config.crl.delta_seconds = 61), "crl.delta_seconds");
    assert_eq!(key_of(|config| config.crl.shards = 4_097), "crl.shards");
    assert_eq!(key_of(|config| config.ocsp.reuse_seconds = 0), "ocsp.reuse_seconds");
    assert_eq!(key_of(|config| config.ocsp.reuse_seconds = 3_600), "ocsp.reuse_seconds");
    assert_eq!(key_of(|config| config.ocsp.delegate_seconds = 7_199), "ocsp.delegate_seconds");
    assert_eq!(key_of(|config| config.ocsp.delegate_seconds = 31 * 86_400), "ocsp.delegate_seconds");
    for change in [
        (|config| config.status.url = "https://localhost:8447".into())
            as fn(&mut jpki_authority::config::Config),
        |config| config.status.url = "http://localhost:8447/".into(),
        |config| config.status.url = "http://".into(),
        |config| config.status.url = "http://日本".into(),
    ] {
        assert_eq!(key_of(change), "status.url");
    }
    assert_eq!(key_of(|config| config.names.organization = "JPKI".into()), "names.organization");
    folder.config().check().unwrap();
}
