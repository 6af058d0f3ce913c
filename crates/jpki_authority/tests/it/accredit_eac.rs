use crate::town::{DAY, Folder, NOW, authority};
use card::eac::card_side::BatchMaterial;
use card::eac::cvc::{CvcDate, ImportError, Rights, TerminalChain, TrustAnchor};
use card::eac::p256::{P256SigningKey, generate_pkcs8};
use jpki_authority::Authority;
use jpki_authority::accredit::eac::{
    EacAccreditation, TERMINAL_DAYS_MAX, card_cvca_path, terminal_cvca_path,
};
use jpki_authority::error::AuthorityError;
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;
use std::os::unix::fs::PermissionsExt as _;

fn day(now: UnixSeconds) -> CvcDate {
    CvcDate::at(now).unwrap()
}

fn accredit(
    authority: &Authority,
    key: &P256SigningKey,
    days: u32,
    now: UnixSeconds,
) -> Result<TerminalChain, AuthorityError> {
    let institution = InstitutionCode::parse("1310000001").unwrap();
    let rights = Rights::PINLESS_SIGNATURE.with(Rights::MEDICAL_ID);
    let terminal =
        EacAccreditation { institution: &institution, institution_key: key.public_key(), rights, days };
    authority.accredit_eac(terminal, now)
}

fn key() -> P256SigningKey {
    P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap()
}

#[test]
fn a_terminal_gets_days_and_rights_and_a_name_of_its_own() {
    let folder = Folder::new();
    let first = authority(&folder);
    let key = key();
    let chain = accredit(&first, &key, 3, NOW).unwrap();
    let root = TrustAnchor::parse(&std::fs::read(terminal_cvca_path(first.config())).unwrap()).unwrap();
    assert_eq!(root, *first.terminal_cvca().unwrap());
    let verified = chain.verify(&root, day(NOW)).unwrap();
    assert_eq!(verified.key, key.public_key());
    assert_eq!(verified.rights, Rights::PINLESS_SIGNATURE.with(Rights::MEDICAL_ID));
    assert_eq!(verified.expiration, day(NOW.plus(2 * DAY)));
    assert!(chain.verify(&root, day(NOW.plus(2 * DAY))).is_ok());
    let late = chain.verify(&root, day(NOW.plus(3 * DAY))).unwrap_err();
    assert_eq!(late, ImportError::Expired(verified.expiration));

    // Another name for the same key, also after a restart; the parties stay.
    drop(first);
    let second = Authority::open(folder.config()).unwrap();
    assert_eq!(*second.terminal_cvca().unwrap(), root);
    let again = accredit(&second, &key, 3, NOW).unwrap();
    assert_ne!(again.terminal().body().holder, chain.terminal().body().holder);
    assert_eq!(again.certificate(0), chain.certificate(0));
    // One count over both profiles: names are spent once.
    assert_ne!(again.terminal().body().holder, again.certificate(0).unwrap().body().holder);

    let elsewhere = Folder::new();
    let foreign = authority(&elsewhere);
    assert!(matches!(
        chain.verify(foreign.terminal_cvca().unwrap(), day(NOW)),
        Err(ImportError::Signature(_))
    ));
}

#[test]
fn lives_are_short() {
    let folder = Folder::new();
    let authority = authority(&folder);
    for days in [0, TERMINAL_DAYS_MAX + 1, u32::MAX] {
        let refused = accredit(&authority, &key(), days, NOW);
        assert!(matches!(refused, Err(AuthorityError::EacDays { days_max: TERMINAL_DAYS_MAX })));
    }
    assert!(accredit(&authority, &key(), TERMINAL_DAYS_MAX, NOW).is_ok());
}

#[test]
fn the_accredited_body_is_renewed_on_the_way() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let root = authority.terminal_cvca().unwrap();
    let before = accredit(&authority, &key(), 31, NOW).unwrap();
    let later = NOW.plus(340 * DAY);
    let after = accredit(&authority, &key(), 31, later).unwrap();
    let (old, new) = (before.certificate(0).unwrap().body(), after.certificate(0).unwrap().body());
    assert_eq!(old.key, new.key);
    assert_ne!(old.holder, new.holder);
    assert!(old.expiration < new.expiration);
    after.verify(root, day(later.plus(30 * DAY))).unwrap();
    // The next one finds it renewed, also after a restart.
    let name = new.holder;
    drop(authority);
    let again = accredit(&Authority::open(folder.config()).unwrap(), &key(), 1, later).unwrap();
    assert_eq!(again.certificate(0).unwrap().body().holder, name);
}

#[test]
fn a_batch_has_a_key_that_is_not_kept() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let batch = authority.make_batch(NOW).unwrap();
    let other = authority.make_batch(NOW).unwrap();
    assert_ne!(*batch.encode(), *other.encode());
    assert_eq!(*BatchMaterial::parse(&batch.encode()).unwrap().encode(), *batch.encode());
    let root = TrustAnchor::parse(&std::fs::read(card_cvca_path(authority.config())).unwrap()).unwrap();
    assert_eq!(root, *authority.card_cvca().unwrap());
    // Three keys of the profile, each for its owner alone; no batch's.
    let keys: Vec<_> = std::fs::read_dir(folder.path().join("keys"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_str().unwrap().starts_with("eac-"))
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|entry| entry.metadata().unwrap().permissions().mode() & 0o077 == 0));
}

#[test]
fn an_authority_without_the_profile_can_begin_it() {
    let folder = Folder::new();
    drop(authority(&folder));
    for name in ["terminal-cvca", "accredited-body", "card-cvca"] {
        std::fs::remove_file(folder.path().join(format!("keys/eac-{name}.key"))).unwrap();
    }
    let mut old = Authority::open(folder.config()).unwrap();
    assert!(matches!(old.terminal_cvca(), Err(AuthorityError::NoEac)));
    assert!(matches!(old.make_batch(NOW), Err(AuthorityError::NoEac)));
    old.begin_eac(NOW).unwrap();
    let root = old.terminal_cvca().unwrap().clone();
    old.begin_eac(NOW).unwrap();
    assert_eq!(*old.terminal_cvca().unwrap(), root);
    assert!(accredit(&old, &key(), 1, NOW).is_ok());
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (folder, other) = (Folder::new(), Folder::new());
    drop((authority(&folder), authority(&other)));
    for name in ["terminal-cvca", "accredited-body", "card-cvca"] {
        let path = format!("public/eac-{name}.cvc");
        let own = std::fs::read(folder.path().join(&path)).unwrap();
        std::fs::copy(other.path().join(&path), folder.path().join(&path)).unwrap();
        let error = Authority::open(folder.config()).unwrap_err().to_string();
        assert!(error.contains(&path), "{error}");
        std::fs::write(folder.path().join(&path), own).unwrap();
    }
    assert!(Authority::open(folder.config()).is_ok());
}
