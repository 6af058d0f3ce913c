//! The conformance suite of the store: every engine passes it.

use crate::fixture::*;
use eligibility::history::{AsOf, Day};
use eligibility::store::sqlite::SqliteStore;
use eligibility::store::{Checkpoint, LastOutcome, Link, Lookup, Standing, Store};
use protocol::ids::{AuthCertSerial, InsurerNumber, TerminalKeyHash};

fn conformance(store: &dyn Store) {
    assert_eq!(store.terminal_by_key(&TerminalKeyHash(TERMINAL)).unwrap(), None);
    let registered = terminal(TERMINAL, Standing::Active);
    store.register_terminals(std::slice::from_ref(&registered)).unwrap();
    assert_eq!(store.terminal_by_key(&TerminalKeyHash(TERMINAL)).unwrap(), Some(registered));
    store.register_terminals(&[terminal(TERMINAL, Standing::Suspended)]).unwrap();
    let again = store.terminal_by_key(&TerminalKeyHash(TERMINAL)).unwrap().unwrap();
    assert_eq!(again.standing, Standing::Suspended);

    let (one, two) = (AuthCertSerial::parse(&[1]).unwrap(), AuthCertSerial::parse(&[2]).unwrap());
    let insurer = InsurerNumber::parse("06990013").unwrap();
    let today = AsOf::visit(Day::of_instant(NOW));
    let rows = vec![coverage("06990013", "2024-04-01", Some("2025-03-31"), Link::Confirmed)];
    let person = enrolment(1, Some(one.clone()), rows.clone());
    store.apply_load(&insurer, "見本健保", std::slice::from_ref(&person), NOW).unwrap();
    let found = store.lookup_by_serials(&[two.clone(), one.clone()], &today).unwrap();
    assert!(matches!(&found[0], Lookup::NotLinked { loads } if loads.len() == 1));
    let Lookup::Linked(holdings) = &found[1] else { panic!("linked") };
    assert_eq!(holdings.person, person.person);
    assert_eq!(holdings.rows[0].coverage.valid_to, rows[0].coverage.valid_to);
    // The same load again changes nothing.
    store.apply_load(&insurer, "見本健保", &[person], NOW).unwrap();
    assert_eq!(store.lookup_by_serials(&[two, one.clone()], &today).unwrap(), found);

    store.record_insurer_notice(&one, NOW).unwrap();
    store.record_insurer_notice(&one, NOW).unwrap();

    assert_eq!(store.load_checkpoint().unwrap().next_sequence, 0);
    let last = LastOutcome {
        sequence: Some(9),
        counter: u64::MAX,
        touch_sha256: [4; 32],
        status: 503,
        body: vec![1, 2, 3],
    };
    let checkpoint = Checkpoint {
        next_sequence: 10,
        next_audit_record: 11,
        outcomes: vec![(TerminalKeyHash(TERMINAL), last.clone())],
    };
    store.save_checkpoint(&checkpoint).unwrap();
    let back = store.load_checkpoint().unwrap();
    assert_eq!((back.next_sequence, back.next_audit_record), (10, 11));
    assert_eq!(back.outcomes, vec![(TerminalKeyHash(TERMINAL), last)]);
}

#[test]
fn sqlite_conforms() {
    let folder = Folder::new();
    conformance(&SqliteStore::open(&folder.0.join("store.sqlite")).unwrap());
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let folder = Folder::new();
    let path = folder.0.join("store.sqlite");
    drop(SqliteStore::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 999).unwrap();
    drop(connection);
    let error = SqliteStore::open(&path).unwrap_err().to_string();
    assert!(error.contains("999"), "{error}");
}

/// A store of the first schema, as it was written by the program of its time.
const FIRST_SCHEMA: &str = "
CREATE TABLE terminal(
  key_hash BLOB PRIMARY KEY, institution TEXT NOT NULL, institution_name TEXT NOT NULL,
  secure_element BLOB NOT NULL, standing INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE insurer(insurer_number TEXT PRIMARY KEY, name TEXT NOT NULL, loaded_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE person(
  person_key INTEGER PRIMARY KEY, name TEXT NOT NULL, name_kana TEXT NOT NULL, birth_date TEXT NOT NULL);
CREATE TABLE coverage(
  person_key INTEGER NOT NULL, insurer_number TEXT NOT NULL, valid_from TEXT NOT NULL, valid_to TEXT,
  symbol TEXT NOT NULL, number TEXT NOT NULL, branch TEXT NOT NULL, kind_ja TEXT NOT NULL, kind_en TEXT NOT NULL,
  relation INTEGER NOT NULL, copay_percent INTEGER NOT NULL, limit_class TEXT, link INTEGER NOT NULL,
  PRIMARY KEY(person_key, insurer_number, valid_from)) WITHOUT ROWID;
CREATE TABLE card_link(serial BLOB PRIMARY KEY, person_key INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE insurer_notice(serial BLOB PRIMARY KEY, recorded_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE terminal_outcome(
  key_hash BLOB PRIMARY KEY, counter INTEGER NOT NULL, touch_sha256 BLOB NOT NULL,
  status INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoint(
  only INTEGER PRIMARY KEY CHECK(only = 1), next_sequence INTEGER NOT NULL, next_audit_record INTEGER NOT NULL);
INSERT INTO insurer VALUES('06990013', '見本健保', 1700000000), ('990010', '見本市国保', 1700000100);
INSERT INTO person VALUES(7, '見本　花子', 'ミホン　ハナコ', '1985-04-01'), (8, '見本　空', 'ミホン　カラ', '1990-01-01');
INSERT INTO coverage VALUES
  (7, '06990013', '2024-04-01', '2026-11-14', '見本', '1234567', '00', '健保', 'society', 1, 20, 'B05', 1),
  (7, '990010', '2026-11-15', NULL, '', '7654321', '01', '国民健康保険', 'National Health Insurance', 0, 30, NULL, 0);
INSERT INTO card_link VALUES(X'01', 7), (X'02', 8);
PRAGMA user_version = 1;";

#[test]
fn a_store_of_the_first_schema_is_taken_over() {
    let folder = Folder::new();
    let path = folder.0.join("store.sqlite");
    rusqlite::Connection::open(&path).unwrap().execute_batch(FIRST_SCHEMA).unwrap();
    let serials = [AuthCertSerial::parse(&[1]).unwrap(), AuthCertSerial::parse(&[2]).unwrap()];
    let as_of = AsOf::visit(Day::of_instant(NOW));
    let look = || SqliteStore::open(&path).unwrap().lookup_by_serials(&serials, &as_of).unwrap();
    let found = look();
    let Lookup::Linked(hanako) = &found[0] else { panic!("linked") };
    assert_eq!((hanako.person.name.as_str(), hanako.rows.len(), hanako.loads.len()), ("見本　花子", 2, 2));
    let ended = hanako.rows.iter().find(|row| row.link == Link::Confirmed).unwrap();
    assert_eq!(ended.coverage.valid_to.as_ref().unwrap().as_str(), "2026-11-14");
    assert_eq!((ended.coverage.copay_percent, ended.coverage.limit_class.as_deref()), (20, Some("B05")));
    assert_eq!(ended.coverage.kind.ja, "健保");
    let newer = hanako.rows.iter().find(|row| row.link == Link::NotYet).unwrap();
    assert_eq!((newer.coverage.branch.expose(), newer.coverage.symbol.expose()), ("01", ""));
    assert!(hanako.loads.iter().any(|load| load.loaded_at == "2023-11-14T22:15:00Z"));
    let Lookup::Linked(empty) = &found[1] else { panic!("linked") };
    assert_eq!((empty.person.name.as_str(), empty.rows.len()), ("見本　空", 0));
    // Once: a second start finds nothing left to move.
    assert_eq!(look(), found);
}
