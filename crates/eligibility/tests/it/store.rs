//! The conformance suite of the store: every engine passes it.

use crate::fixture::*;
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
    let rows = vec![coverage("06990013", "2024-04-01", Some("2025-03-31"), Link::Confirmed)];
    let person = enrolment(1, Some(one.clone()), rows.clone());
    store.apply_load(&insurer, "見本健保", std::slice::from_ref(&person), NOW).unwrap();
    let found = store.lookup_by_serials(&[two.clone(), one.clone()]).unwrap();
    assert!(matches!(&found[0], Lookup::NotLinked { loads } if loads.len() == 1));
    let Lookup::Linked(holdings) = &found[1] else { panic!("linked") };
    assert_eq!(holdings.person, person.person);
    assert_eq!(holdings.rows[0].coverage.valid_to, rows[0].coverage.valid_to);
    // The same load again changes nothing.
    store.apply_load(&insurer, "見本健保", &[person], NOW).unwrap();
    assert_eq!(store.lookup_by_serials(&[two, one.clone()]).unwrap(), found);

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
