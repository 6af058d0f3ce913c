//! The audit's chain: kept by every engine alike, and whatever is done to the store behind its back shows.

use crate::town::{Folder, NOW};
use jpki_authority::audit::{self, AuditFault, AuditKey, AuditLine, AuditStore, Entry, NotedHead};
use jpki_authority::store::sqlite::SqliteStore;
use protocol::entropy::Seeded;
use rusqlite::Connection;
use std::path::PathBuf;

fn line(outcome: &str) -> AuditLine {
    AuditLine {
        at: NOW,
        who: "linkage:bank".into(),
        act: "renewed_sign".into(),
        purpose: "account".into(),
        about: "00112233".into(),
        outcome: outcome.into(),
    }
}

fn path(folder: &Folder) -> PathBuf {
    folder.path().join("store.sqlite")
}

fn key() -> AuditKey {
    AuditKey::new(&[7; 32])
}

/// A store with so many lines.
fn with_lines(folder: &Folder, count: usize) -> SqliteStore {
    let store = SqliteStore::open(&path(folder)).unwrap();
    for number in 0..count {
        let lines = [line(&format!("n{number}"))];
        store.append_audit(Entry { key: &key(), lines: &lines }).unwrap();
    }
    store
}

/// What somebody with the file and without the key does.
fn behind_its_back(folder: &Folder, statements: &str) {
    let connection = Connection::open(path(folder)).unwrap();
    let triggers = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted;";
    connection.execute_batch(&format!("{triggers}{statements}")).unwrap();
}

#[test]
fn lines_are_numbered_from_one_and_read_back_as_they_were_written() {
    let folder = Folder::new();
    let store = with_lines(&folder, 0);
    assert_eq!(store.audit_head().unwrap(), None);
    assert_eq!(audit::verify(&store, &key(), None), Ok(None));
    let lines = [line("a"), line("b")];
    assert_eq!(store.append_audit(Entry { key: &key(), lines: &lines }), Ok(2));
    assert_eq!(store.append_audit(Entry { key: &key(), lines: &[] }), Ok(2));
    assert_eq!(store.append_audit(Entry { key: &key(), lines: &[line("c")] }), Ok(3));
    let kept = store.audit_lines(2, 1).unwrap();
    assert_eq!((kept.len(), kept[0].number, kept[0].text.as_str()), (1, 2, lines[1].text().as_str()));
    assert_eq!(store.audit_lines(4, 9).unwrap(), []);
    let head = audit::verify(&store, &key(), None).unwrap().unwrap();
    assert_eq!(head.number, 3);
    drop(store);
    let again = SqliteStore::open(&path(&folder)).unwrap();
    assert_eq!(again.audit_head().unwrap(), Some(head));
}

#[test]
fn the_program_itself_can_neither_change_nor_delete() {
    let folder = Folder::new();
    drop(with_lines(&folder, 2));
    let connection = Connection::open(path(&folder)).unwrap();
    for statement in ["DELETE FROM audit WHERE number = 2", "UPDATE audit SET line = ''"] {
        let refused = connection.execute(statement, []).unwrap_err().to_string();
        assert!(refused.contains("audit lines are never"), "{refused}");
    }
}

#[test]
fn whatever_is_done_behind_its_back_shows() {
    let relink = "UPDATE audit_head SET number = 4, link = (SELECT link FROM audit WHERE number = 4);";
    let cases = [
        ("DELETE FROM audit WHERE number = 1", AuditFault::Missing { number: 1 }),
        ("DELETE FROM audit WHERE number = 3", AuditFault::Missing { number: 3 }),
        ("DELETE FROM audit WHERE number = 5", AuditFault::Head { said: 5, found: 4 }),
        ("DELETE FROM audit", AuditFault::Head { said: 5, found: 0 }),
        ("DELETE FROM audit_head", AuditFault::Head { said: 0, found: 5 }),
        ("UPDATE audit SET line = replace(line, 'n2', 'n7')", AuditFault::Changed { number: 3 }),
        ("UPDATE audit SET link = zeroblob(32) WHERE number = 2", AuditFault::Changed { number: 2 }),
        (
            "UPDATE audit SET line = (SELECT line FROM audit WHERE number = 1) WHERE number = 4",
            AuditFault::Changed { number: 4 },
        ),
        (
            "DELETE FROM audit WHERE number = 2; UPDATE audit SET number = number - 1 WHERE number > 2;",
            AuditFault::Changed { number: 2 },
        ),
        // The end cut off, and the head set to what the last line says: only the seal is missing.
        (
            "DELETE FROM audit WHERE number = 5; UPDATE audit_head SET number = 4,
             link = (SELECT link FROM audit WHERE number = 4)",
            AuditFault::Seal { number: 4 },
        ),
    ];
    for (statements, expected) in cases {
        let folder = Folder::new();
        drop(with_lines(&folder, 5));
        behind_its_back(&folder, statements);
        let store = SqliteStore::open(&path(&folder)).unwrap();
        assert_eq!(audit::verify(&store, &key(), None), Err(expected), "{statements}");
    }
    // With the head set back and the lines left, appending would repeat a number: it fails instead.
    let folder = Folder::new();
    drop(with_lines(&folder, 5));
    behind_its_back(&folder, relink);
    let store = SqliteStore::open(&path(&folder)).unwrap();
    assert!(store.append_audit(Entry { key: &key(), lines: &[line("x")] }).is_err());
    assert_eq!(audit::verify(&store, &AuditKey::new(&[8; 32]), None), Err(AuditFault::Changed { number: 1 }));
}

#[test]
fn a_store_put_back_to_an_earlier_day_is_known_by_a_head_that_was_noted() {
    let folder = Folder::new();
    let store = with_lines(&folder, 3);
    let early = audit::verify(&store, &key(), None).unwrap().unwrap().to_string();
    drop(store);
    let backup = folder.path().join("backup.sqlite");
    // WAL: a copy by file would miss it.
    Connection::open(path(&folder)).unwrap().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let store = SqliteStore::open(&path(&folder)).unwrap();
    store.append_audit(Entry { key: &key(), lines: &[line("later")] }).unwrap();
    let late = audit::verify(&store, &key(), NotedHead::parse(&early)).unwrap().unwrap().to_string();
    let put_back = SqliteStore::open(&backup).unwrap();
    assert!(audit::verify(&put_back, &key(), NotedHead::parse(&early)).is_ok());
    let fault = audit::verify(&put_back, &key(), NotedHead::parse(&late));
    assert_eq!(fault, Err(AuditFault::Noted { number: 4 }));
    // And the same number with another line is not the noted one.
    put_back.append_audit(Entry { key: &key(), lines: &[line("other")] }).unwrap();
    let fault = audit::verify(&put_back, &key(), NotedHead::parse(&late));
    assert_eq!(fault, Err(AuditFault::Noted { number: 4 }));
}

#[test]
fn two_processes_at_once_make_one_chain() {
    let folder = Folder::new();
    let stores = [with_lines(&folder, 0), with_lines(&folder, 0)];
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(move || {
                for number in 0..50 {
                    let lines = [line(&format!("n{number}")), line("and")];
                    store.append_audit(Entry { key: &key(), lines: &lines }).unwrap();
                }
            });
        }
    });
    let head = audit::verify(&stores[0], &key(), None).unwrap().unwrap();
    assert_eq!(head.number, 200);
}

#[test]
fn the_key_is_made_once_and_missed_when_it_is_gone() {
    let folder = Folder::new();
    let store = with_lines(&folder, 0);
    let open = |seed| AuditKey::open(folder.path(), &store, &mut Seeded::new(seed));
    let first = open(1).unwrap();
    let serial = pki::serial::SerialNumber::from_octets(&[5]).unwrap();
    let reference = |key: &AuditKey| key.reference(jpki_authority::CertificateKind::CardHolderAuth, &serial);
    assert_eq!(reference(&open(2).unwrap()), reference(&first));
    store.append_audit(Entry { key: &first, lines: &[line("a")] }).unwrap();
    std::fs::remove_file(folder.path().join(audit::AUDIT_KEY_FILE)).unwrap();
    let refused = open(3).unwrap_err().to_string();
    assert!(refused.contains("audit.key") && refused.contains("backup"), "{refused}");
    assert!(!folder.path().join(audit::AUDIT_KEY_FILE).exists());
}
