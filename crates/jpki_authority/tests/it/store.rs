use crate::town::{Folder, NOW};
use jpki_authority::CertificateKind;
use jpki_authority::store::sqlite::SqliteStore;
use jpki_authority::store::{ReferenceHolder, Store, StoreError};
use pki::serial::SerialNumber;
use protocol::ids::InstitutionCode;

const KIND: CertificateKind = CertificateKind::CardHolderAuth;

fn serial(number: u8) -> SerialNumber {
    SerialNumber::from_octets(&[number]).unwrap()
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let folder = Folder::new();
    let path = folder.path().join("store.sqlite");
    drop(SqliteStore::open(&path).unwrap());
    drop(SqliteStore::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = SqliteStore::open(&path).unwrap_err().to_string();
    assert!(refused.contains("99"), "{refused}");
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let folder = Folder::new();
    let path = folder.path().join("store.sqlite");
    std::fs::write(&path, "this is not a database, whatever its name may say").unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Engine(_))));
}

#[test]
fn the_journal_is_a_write_ahead_log() {
    let folder = Folder::new();
    let path = folder.path().join("store.sqlite");
    let _store = SqliteStore::open(&path).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn serial_numbers_are_spent_together_or_not_at_all() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
    let (auth, sign) = (CertificateKind::CardHolderAuth, CertificateKind::DocumentSignature);
    store.spend_serials(&[(auth, serial(1)), (sign, serial(1))], NOW).unwrap();
    let again = store.spend_serials(&[(auth, serial(2)), (sign, serial(1))], NOW);
    assert_eq!(again, Err(StoreError::SerialTaken));
    // The refused pair left nothing behind.
    store.spend_serials(&[(auth, serial(2))], NOW).unwrap();
    assert_eq!(store.serials_of_card(auth, &serial(1)).unwrap(), [(auth, serial(1)), (sign, serial(1))]);
    assert_eq!(store.serials_of_card(auth, &serial(2)).unwrap(), [(auth, serial(2))]);
    assert_eq!(store.serials_of_card(sign, &serial(2)), Err(StoreError::NotIssued));
    assert_eq!(store.keep_certificate(sign, &serial(2), b"der", NOW), Err(StoreError::NotIssued));
    store.keep_certificate(auth, &serial(2), b"der", NOW).unwrap();
}

#[test]
fn a_late_list_does_not_replace_a_later_one() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.path().join("store.sqlite")).unwrap();
    assert_eq!(store.latest_list(KIND).unwrap(), None);
    let numbers = [(); 2].map(|()| store.begin_list(KIND).unwrap().number);
    assert_eq!(numbers, [1, 2]);
    assert_eq!(store.latest_list(KIND).unwrap(), None);
    store.keep_list(KIND, 2, b"second").unwrap();
    store.keep_list(KIND, 1, b"first, late").unwrap();
    assert_eq!(store.latest_list(KIND).unwrap().unwrap(), b"second");
    assert_eq!(store.begin_list(CertificateKind::DocumentSignature).unwrap().number, 1);
}

#[test]
fn key_references_rise_across_a_restart() {
    let folder = Folder::new();
    let path = folder.path().join("store.sqlite");
    let institution = InstitutionCode::parse("1310000001").unwrap();
    let spend = |store: &SqliteStore| {
        store.spend_key_reference(ReferenceHolder::Institution(&institution), NOW).unwrap()
    };
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!([spend(&store), spend(&store)], [1, 2]);
    drop(store);
    assert_eq!(spend(&SqliteStore::open(&path).unwrap()), 3);
}
