use crate::town::{DAY, Folder, NOW};
use jpki_authority::CertificateKind;
use jpki_authority::approval::desk::{InstitutionStanding, InstitutionStore as _};
use jpki_authority::store::sqlite::SqliteStore;
use jpki_authority::store::{
    BaseList, CertificateStore as _, ListForm, ListName, ListScope, ListStore as _, NewCertificate,
    ReferenceHolder, ReleaseOutcome, Revocation, RevokeOutcome, RoundDraft, SignedList, Standing, Store as _,
    StoreError,
};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;

const KIND: CertificateKind = CertificateKind::CardHolderAuth;
const EVERYTHING: ListName = ListName { scope: ListScope::Everything, form: ListForm::Complete };
const DELTA: ListName = ListName { scope: ListScope::Everything, form: ListForm::Delta };

fn serial(number: u8) -> SerialNumber {
    SerialNumber::from_octets(&[number]).unwrap()
}

fn new(kind: CertificateKind, number: u8) -> NewCertificate {
    NewCertificate { kind, serial: serial(number), shard: Some(u16::from(number % 2)) }
}

fn store(folder: &Folder) -> SqliteStore {
    SqliteStore::open(&folder.path().join("store.sqlite")).unwrap()
}

fn shard(shard: u16, form: ListForm) -> ListName {
    ListName { scope: ListScope::Shard(shard), form }
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

/// The tables as the first version of the program made them, with a revoked certificate and a list.
const FIRST_VERSION: &str = "
CREATE TABLE certificate(
  kind INTEGER NOT NULL, serial BLOB NOT NULL, card INTEGER NOT NULL, spent_at INTEGER NOT NULL,
  not_after INTEGER, der BLOB, revoked_at INTEGER, reason INTEGER,
  PRIMARY KEY(kind, serial)) WITHOUT ROWID;
CREATE INDEX certificate_of_card ON certificate(card);
CREATE INDEX certificate_revoked ON certificate(kind, serial) WHERE revoked_at IS NOT NULL;
CREATE TABLE list(
  kind INTEGER PRIMARY KEY, number_spent INTEGER NOT NULL, number_kept INTEGER, der BLOB);
CREATE TABLE key_reference(
  reference INTEGER PRIMARY KEY AUTOINCREMENT, institution TEXT NOT NULL, spent_at INTEGER NOT NULL);
INSERT INTO certificate VALUES(1, x'05', 1, 100, 9000000000, x'00', 200, 4);
INSERT INTO certificate VALUES(1, x'06', 2, 100, 9000000000, x'00', NULL, NULL);
INSERT INTO list VALUES(1, 41, 40, x'01');
INSERT INTO key_reference(institution, spent_at) VALUES('1310000001', 7), ('batch', 8), ('1310000001', 9);
PRAGMA user_version = 1;";

#[test]
fn a_store_of_the_first_version_is_taken_up() {
    let folder = Folder::new();
    let connection = rusqlite::Connection::open(folder.path().join("store.sqlite")).unwrap();
    connection.execute_batch(FIRST_VERSION).unwrap();
    drop(connection);
    let store = store(&folder);
    let revoked = store.standing(KIND, &serial(5)).unwrap().unwrap();
    assert_eq!(revoked.revoked, Some((RevocationReason::Superseded, UnixSeconds(200))));
    assert_eq!(store.standing(KIND, &serial(6)).unwrap().unwrap().revoked, None);
    let kept = store.kept_lists(KIND).unwrap();
    assert_eq!((kept[0].name, kept[0].number, kept[0].der.as_slice()), (EVERYTHING, 40, &[1][..]));
    // Whose terminals had certificates goes on being accredited; nobody else is.
    let accredited = |code| store.institution(&InstitutionCode::parse(code).unwrap()).unwrap();
    assert_eq!(accredited("1310000001"), Some(InstitutionStanding::Accredited));
    assert_eq!(accredited("1310000019"), None);
    // Numbers go on, and the first delta holds everything that the old list may not have said.
    let round = store.begin_round(KIND, &[EVERYTHING, DELTA]).unwrap();
    assert_eq!(round.number, 42);
    assert_eq!(round.lists[0].entries.len(), 1);
    assert_eq!(round.lists[1].base, Some(BaseList { number: 40, seen: 0 }));
    assert_eq!(round.lists[1].entries.len(), 1);
}

#[test]
fn the_journal_is_a_write_ahead_log() {
    let folder = Folder::new();
    let _store = store(&folder);
    let connection = rusqlite::Connection::open(folder.path().join("store.sqlite")).unwrap();
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn serial_numbers_are_spent_together_or_not_at_all() {
    let folder = Folder::new();
    let store = store(&folder);
    let (auth, sign) = (CertificateKind::CardHolderAuth, CertificateKind::DocumentSignature);
    store.spend_serials(&[new(auth, 1), new(sign, 1)], None, NOW).unwrap();
    let again = store.spend_serials(&[new(auth, 2), new(sign, 1)], None, NOW);
    assert_eq!(again, Err(StoreError::SerialTaken));
    // The refused pair left nothing behind.
    store.spend_serials(&[new(auth, 2)], None, NOW).unwrap();
    assert_eq!(store.serials_of_card(auth, &serial(1)).unwrap(), [(auth, serial(1)), (sign, serial(1))]);
    assert_eq!(store.serials_of_card(auth, &serial(2)).unwrap(), [(auth, serial(2))]);
    assert_eq!(store.serials_of_card(sign, &serial(2)), Err(StoreError::NotIssued));
    assert_eq!(store.keep_certificate(sign, &serial(2), b"der", NOW), Err(StoreError::NotIssued));
    store.keep_certificate(auth, &serial(2), b"der", NOW).unwrap();
    assert_eq!((store.shards_named(auth).unwrap(), store.shards_named(sign).unwrap()), (2, 2));
}

#[test]
fn a_successor_is_found_once_its_certificate_is_there() {
    let folder = Folder::new();
    let store = store(&folder);
    let (auth, sign) = (CertificateKind::CardHolderAuth, CertificateKind::DocumentSignature);
    store.spend_serials(&[new(auth, 1), new(sign, 1)], None, NOW).unwrap();
    let stranger = store.spend_serials(&[new(auth, 8)], Some(&serial(9)), NOW);
    assert_eq!(stranger, Err(StoreError::NotIssued));
    store.spend_serials(&[new(auth, 2)], Some(&serial(1)), NOW).unwrap();
    // Cut short before signing: nobody follows yet, and a second try takes the place.
    assert_eq!(store.serials_of_successor(auth, &serial(1)).unwrap(), []);
    store.spend_serials(&[new(auth, 3), new(sign, 3)], Some(&serial(1)), NOW).unwrap();
    store.keep_certificate(auth, &serial(3), b"der", NOW).unwrap();
    assert_eq!(store.serials_of_successor(auth, &serial(1)).unwrap(), [(auth, serial(3))]);
    store.keep_certificate(sign, &serial(3), b"der", NOW).unwrap();
    let both = [(auth, serial(3)), (sign, serial(3))];
    // From either certificate of the old card.
    assert_eq!(store.serials_of_successor(auth, &serial(1)).unwrap(), both);
    assert_eq!(store.serials_of_successor(sign, &serial(1)).unwrap(), both);
    assert_eq!(store.serials_of_successor(auth, &serial(3)).unwrap(), []);
    assert_eq!(store.serials_of_successor(auth, &serial(9)), Err(StoreError::NotIssued));
}

fn revoke(store: &SqliteStore, number: u8, reason: RevocationReason, at: UnixSeconds) -> RevokeOutcome {
    store.revoke(&[Revocation { kind: KIND, serial: serial(number), reason, at }]).unwrap()[0]
}

fn release(store: &SqliteStore, number: u8, at: UnixSeconds) -> ReleaseOutcome {
    store.release(&[(KIND, serial(number))], at).unwrap()[0]
}

#[test]
fn a_hold_ends_and_a_permanent_reason_does_not() {
    use RevocationReason::{CertificateHold, Superseded};
    let folder = Folder::new();
    let store = store(&folder);
    store.spend_serials(&[new(KIND, 1)], None, NOW).unwrap();
    store.keep_certificate(KIND, &serial(1), b"der", NOW.plus(DAY)).unwrap();
    let standing = || store.standing(KIND, &serial(1)).unwrap().unwrap();
    let not_after = Some(NOW.plus(DAY));
    assert_eq!(standing(), Standing { revoked: None, not_after, changed: 0 });
    assert_eq!(release(&store, 1, NOW), ReleaseOutcome::NotHeld);
    assert_eq!(standing().changed, 0);
    assert_eq!(revoke(&store, 1, CertificateHold, NOW), RevokeOutcome::Recorded);
    assert_eq!(standing().revoked, Some((CertificateHold, NOW)));
    assert_eq!(release(&store, 1, NOW.plus(1)), ReleaseOutcome::Released { held_since: NOW });
    assert_eq!(standing().revoked, None);
    // A second hold has its own date.
    assert_eq!(revoke(&store, 1, CertificateHold, NOW.plus(2)), RevokeOutcome::Recorded);
    assert_eq!(revoke(&store, 1, Superseded, NOW.plus(3)), RevokeOutcome::Recorded);
    let stands = ReleaseOutcome::Stands { reason: Superseded, at: NOW.plus(3) };
    let before = standing().changed;
    assert_eq!(release(&store, 1, NOW.plus(4)), stands);
    assert_eq!(standing().changed, before);
    assert_eq!(store.release(&[(KIND, serial(9))], NOW), Err(StoreError::NotIssued));
    assert_eq!(store.standing(KIND, &serial(9)).unwrap(), None);
}

fn listed(round: &RoundDraft, name: ListName) -> Vec<(SerialNumber, RevocationReason, u64)> {
    let list = round.lists.iter().find(|list| list.name == name).unwrap();
    list.entries.iter().map(|entry| (entry.serial, entry.reason, entry.revoked_at.0)).collect()
}

fn keep(store: &SqliteStore, round: &RoundDraft, at: UnixSeconds) {
    let lists: Vec<SignedList> = round
        .lists
        .iter()
        .map(|list| SignedList { name: list.name, this_update: at, der: round.number.to_be_bytes().to_vec() })
        .collect();
    store.keep_round(KIND, round.number, round.seen, &lists).unwrap();
}

#[test]
fn each_shard_lists_its_own_and_deltas_list_what_changed() {
    use RevocationReason::{CertificateHold, KeyCompromise, RemoveFromCrl, Superseded};
    let folder = Folder::new();
    let store = store(&folder);
    for number in 1..=6 {
        store.spend_serials(&[new(KIND, number)], None, NOW).unwrap();
    }
    // A certificate from before the shards, or one that nobody looks up.
    store.spend_serials(&[NewCertificate { shard: None, ..new(KIND, 7) }], None, NOW).unwrap();
    revoke(&store, 1, CertificateHold, NOW);
    revoke(&store, 2, Superseded, NOW);
    revoke(&store, 7, Superseded, NOW);
    let (even, odd) = (shard(0, ListForm::Complete), shard(1, ListForm::Complete));
    let (even_delta, odd_delta) = (shard(0, ListForm::Delta), shard(1, ListForm::Delta));
    let all = [EVERYTHING, DELTA, even, even_delta, odd, odd_delta];
    let first = store.begin_round(KIND, &all).unwrap();
    let one = (serial(1), CertificateHold, NOW.0);
    let two = (serial(2), Superseded, NOW.0);
    assert_eq!((listed(&first, even), listed(&first, odd)), (vec![two], vec![one]));
    assert_eq!(listed(&first, EVERYTHING).len(), 3);
    // Nothing to build on yet.
    assert!(first.lists.iter().all(|list| list.name.form == ListForm::Complete));
    keep(&store, &first, NOW);

    let at = NOW.plus(5);
    release(&store, 1, at);
    revoke(&store, 3, KeyCompromise, at);
    revoke(&store, 5, CertificateHold, at);
    release(&store, 5, at.plus(1));
    let second = store.begin_round(KIND, &all).unwrap();
    let odd_changes = vec![
        (serial(1), RemoveFromCrl, at.0),
        (serial(3), KeyCompromise, at.0),
        // Held and released between two lists: whoever saw the delta in between must hear of it.
        (serial(5), RemoveFromCrl, at.0 + 1),
    ];
    assert_eq!(listed(&second, odd_delta), odd_changes);
    assert_eq!((listed(&second, even_delta), listed(&second, even)), (vec![], vec![two]));
    assert_eq!(listed(&second, DELTA), odd_changes);
    assert_eq!(listed(&second, odd), [(serial(3), KeyCompromise, at.0)]);
    keep(&store, &second, at);

    // The third delta still builds on the first list, so that it helps those who have either.
    let third = store.begin_round(KIND, &all).unwrap();
    let base = third.lists.iter().find(|list| list.name == odd_delta).unwrap().base.unwrap();
    assert_eq!((base.number, listed(&third, odd_delta)), (first.number, odd_changes));
    keep(&store, &third, at);
    let fourth = store.begin_round(KIND, &all).unwrap();
    assert!(listed(&fourth, odd_delta).is_empty());
}

#[test]
fn an_expired_certificate_leaves_after_a_list_past_its_last_day() {
    let folder = Folder::new();
    let store = store(&folder);
    store.spend_serials(&[new(KIND, 1)], None, NOW).unwrap();
    store.keep_certificate(KIND, &serial(1), b"der", NOW.plus(10)).unwrap();
    revoke(&store, 1, RevocationReason::Superseded, NOW);
    let round = |at: UnixSeconds| {
        let round = store.begin_round(KIND, &[EVERYTHING]).unwrap();
        keep(&store, &round, at);
        listed(&round, EVERYTHING).len()
    };
    // On the list before, on its last second, on the first list after; and then no more.
    assert_eq!([round(NOW), round(NOW.plus(10)), round(NOW.plus(11)), round(NOW.plus(12))], [1, 1, 1, 0]);
    // Revoked only after it expired: once is enough.
    store.spend_serials(&[new(KIND, 2)], None, NOW).unwrap();
    store.keep_certificate(KIND, &serial(2), b"der", NOW.plus(10)).unwrap();
    revoke(&store, 2, RevocationReason::Superseded, NOW.plus(13));
    assert_eq!([round(NOW.plus(14)), round(NOW.plus(15))], [1, 0]);
    // A serial number that was never signed has no last day.
    store.spend_serials(&[new(KIND, 3)], None, NOW).unwrap();
    revoke(&store, 3, RevocationReason::Superseded, NOW);
    assert_eq!([round(NOW.plus(16)), round(NOW.plus(9 * DAY))], [1, 1]);
}

#[test]
fn a_late_list_does_not_replace_a_later_one() {
    let folder = Folder::new();
    let store = store(&folder);
    assert_eq!(store.kept_lists(KIND).unwrap(), []);
    let rounds = [(); 2].map(|()| store.begin_round(KIND, &[EVERYTHING]).unwrap());
    assert_eq!([rounds[0].number, rounds[1].number], [1, 2]);
    assert_eq!(store.kept_lists(KIND).unwrap(), []);
    keep(&store, &rounds[1], NOW);
    keep(&store, &rounds[0], NOW);
    let kept = store.kept_lists(KIND).unwrap();
    assert_eq!((kept.len(), kept[0].number, kept[0].der.as_slice()), (1, 2, &2_u64.to_be_bytes()[..]));
    assert_eq!(store.begin_round(CertificateKind::DocumentSignature, &[]).unwrap().number, 1);
}

#[test]
fn key_references_rise_across_a_restart() {
    let folder = Folder::new();
    let institution = InstitutionCode::parse("1310000001").unwrap();
    let holder = ReferenceHolder::Institution(&institution);
    let spend = |store: &SqliteStore| store.spend_key_reference(holder, NOW).unwrap();
    let first = store(&folder);
    assert_eq!([spend(&first), spend(&first)], [1, 2]);
    drop(first);
    assert_eq!(spend(&store(&folder)), 3);
}
