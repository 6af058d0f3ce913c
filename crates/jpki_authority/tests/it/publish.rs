use crate::town::{DAY, Folder, NOW, SHARDS, authority, child};
use chassis::admin::Readiness;
use chassis::shutdown::ShutdownSignal;
use jpki_authority::publish::{LISTS_CHECK, OCSP_CHECK, publish_loop};
use jpki_authority::store::{ListForm, ListName, ListScope};
use jpki_authority::{Authority, CardEvent, CertificateKind};
use pki::crl::ListView;
use protocol::entropy::Seeded;
use protocol::time::{FixedClock, UnixSeconds};
use std::sync::Arc;

const KIND: CertificateKind = CertificateKind::CardHolderAuth;

#[test]
fn numbers_rise_across_a_restart_and_the_last_list_is_there_at_once() {
    let folder = Folder::new();
    let first = authority(&folder);
    assert!(first.current_list(KIND).is_none());
    first.publish(NOW).unwrap();
    first.publish(NOW.plus(60)).unwrap();
    let before = first.current_list(KIND).unwrap();
    assert_eq!(
        (before.number, before.this_update, before.next_update),
        (2, NOW.plus(60), NOW.plus(60 + DAY))
    );
    drop(first);

    let second = Authority::open(folder.config()).unwrap();
    assert_eq!(second.current_list(KIND).unwrap(), before);
    second.publish(NOW.plus(120)).unwrap();
    for kind in CertificateKind::ALL {
        assert_eq!(second.current_list(kind).unwrap().number, 3);
    }
}

#[test]
fn two_processes_on_one_store_never_share_a_number() {
    let folder = Folder::new();
    let (first, second) = (authority(&folder), Authority::open(folder.config()).unwrap());
    let mut numbers = Vec::new();
    for authority in [&first, &second, &second, &first] {
        authority.publish(NOW).unwrap();
        numbers.push(authority.current_list(KIND).unwrap().number);
    }
    assert_eq!(numbers, [1, 2, 3, 4]);
    // What one revoked, the other publishes.
    let card = first.issue_person_certificates(&child(), NOW, &mut Seeded::new(4)).unwrap();
    first.apply_event(CardEvent::LostCard, &card.card_holder_auth.serial, NOW).unwrap();
    second.publish(NOW).unwrap();
    assert_eq!(second.current_list(KIND).unwrap().entries, 1);
}

#[test]
fn the_loop_publishes_at_once_says_so_and_stops() {
    let folder = Folder::new();
    let authority = Arc::new(authority(&folder));
    let readiness = Readiness::expecting(&[LISTS_CHECK, OCSP_CHECK]);
    assert!(!readiness.is_ready());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (trigger, shutdown) = ShutdownSignal::new();
        let clock = Arc::new(FixedClock::at(NOW));
        // Pulled before the loop starts: it publishes once, then sees the signal.
        trigger.pull();
        publish_loop(Arc::clone(&authority), clock, Seeded::new(8), readiness.clone(), shutdown).await;
    });
    assert!(readiness.is_ready());
    assert_eq!(authority.current_list(KIND).unwrap().number, 1);
}

fn name(scope: ListScope, form: ListForm) -> ListName {
    ListName { scope, form }
}

#[test]
fn lists_take_their_turns_and_every_list_has_had_one_by_the_end_of_a_period() {
    let folder = Folder::new();
    let authority = authority(&folder);
    // The first time everything is missing: complete lists at once, deltas have nothing to build on.
    let start = UnixSeconds(NOW.0 / 60 * 60 + 60);
    authority.publish_due(start).unwrap();
    let scopes: Vec<ListScope> =
        std::iter::once(ListScope::Everything).chain((0..SHARDS).map(ListScope::Shard)).collect();
    for scope in &scopes {
        assert_eq!(authority.list(KIND, name(*scope, ListForm::Complete)).unwrap().this_update, start);
        assert!(authority.list(KIND, name(*scope, ListForm::Delta)).is_none());
    }
    let mut complete_issues = std::collections::HashMap::<ListName, u32>::new();
    let mut delta_issues = complete_issues.clone();
    let mut number = authority.current_list(KIND).unwrap().number;
    for second in 1..=60 {
        authority.publish_due(start.plus(second)).unwrap();
        for scope in &scopes {
            for (form, issues) in
                [(ListForm::Complete, &mut complete_issues), (ListForm::Delta, &mut delta_issues)]
            {
                let Some(list) = authority.list(KIND, name(*scope, form)) else { continue };
                if list.this_update == start.plus(second) {
                    *issues.entry(name(*scope, form)).or_default() += 1;
                    assert!(list.number > number, "numbers rise from round to round");
                }
            }
        }
        number = scopes
            .iter()
            .filter_map(|s| authority.list(KIND, name(*s, ListForm::Complete)))
            .map(|l| l.number)
            .max()
            .unwrap()
            .max(number);
        number = scopes
            .iter()
            .filter_map(|s| authority.list(KIND, name(*s, ListForm::Delta)))
            .map(|l| l.number)
            .max()
            .unwrap_or(0)
            .max(number);
    }
    assert!(scopes.iter().all(|s| complete_issues[&name(*s, ListForm::Complete)] == 1));
    assert!(scopes.iter().all(|s| (3..=4).contains(&delta_issues[&name(*s, ListForm::Delta)])));
    // A delta and a complete list of one scope from one round have one number (RFC 5280 §5.2.3).
    authority.publish(start.plus(90)).unwrap();
    for scope in &scopes {
        let numbers = [ListForm::Complete, ListForm::Delta]
            .map(|f| authority.list(KIND, name(*scope, f)).unwrap().number);
        assert_eq!(numbers[0], numbers[1]);
    }
}

#[test]
fn a_certificate_is_in_its_shard_and_in_no_other() {
    let folder = Folder::new();
    let authority = authority(&folder);
    for seed in 0..12 {
        let card = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(50 + seed)).unwrap();
        authority.apply_event(CardEvent::ReturnedCard, &card.card_holder_auth.serial, NOW).unwrap();
        authority.publish(NOW.plus(seed)).unwrap();
        let serial = card.card_holder_auth.serial;
        let holding: Vec<u16> = (0..SHARDS)
            .filter(|shard| {
                let list = authority.list(KIND, name(ListScope::Shard(*shard), ListForm::Complete)).unwrap();
                ListView::read(&list.der).unwrap().entry(&serial).is_some()
            })
            .collect();
        let low = u32::from_be_bytes(*serial.as_bytes().last_chunk().unwrap());
        assert_eq!(holding, [u16::try_from(low % u32::from(SHARDS)).unwrap()]);
        // And it says so itself.
        let place = format!("/crl/auth/{:03}.crl", holding[0]);
        assert!(card.card_holder_auth.der.windows(place.len()).any(|window| window == place.as_bytes()));
    }
}

#[test]
fn fewer_or_more_shards_leave_old_certificates_in_theirs() {
    let folder = Folder::new();
    let first = authority(&folder);
    let cards: Vec<_> = (0..6)
        .map(|seed| first.issue_person_certificates(&child(), NOW, &mut Seeded::new(70 + seed)).unwrap())
        .collect();
    drop(first);
    let mut config = folder.config();
    config.crl.shards = 0;
    let second = Authority::open(config).unwrap();
    // Certificates name shards up to 3: those lists go on, though new certificates name none.
    assert_eq!(second.plan(KIND).unwrap().shards, SHARDS);
    for card in &cards {
        second.apply_event(CardEvent::ReturnedCard, &card.card_holder_auth.serial, NOW).unwrap();
    }
    let new = second.issue_person_certificates(&child(), NOW, &mut Seeded::new(80)).unwrap();
    assert!(!new.card_holder_auth.der.windows(6).any(|window| window == b"/crl/a"));
    second.publish(NOW).unwrap();
    let listed: usize = (0..SHARDS)
        .map(|shard| second.list(KIND, name(ListScope::Shard(shard), ListForm::Complete)).unwrap().entries)
        .sum();
    assert_eq!(listed, 6);
}

#[test]
fn a_list_that_somebody_has_left_is_not_published() {
    let folder = Folder::new();
    let authority = authority(&folder);
    let card = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(60)).unwrap();
    let lost = authority.issue_person_certificates(&child(), NOW, &mut Seeded::new(61)).unwrap();
    authority.apply_event(CardEvent::ReturnedCard, &card.card_holder_auth.serial, NOW).unwrap();
    authority.apply_event(CardEvent::LostCard, &lost.card_holder_auth.serial, NOW).unwrap();
    authority.publish(NOW).unwrap();
    // A hold may end.
    authority.release_card(&lost.card_holder_auth.serial, NOW.plus(1)).unwrap();
    authority.publish(NOW.plus(2)).unwrap();
    let before = authority.current_list(KIND).unwrap();
    assert_eq!(before.entries, 1);
    // A returned card may not come back, whoever edited the store.
    let connection = rusqlite::Connection::open(folder.config().store).unwrap();
    let edited =
        connection.execute("UPDATE certificate SET revoked_at = NULL, reason = NULL WHERE reason = 5", []);
    assert_eq!(edited.unwrap(), 1);
    let refused = authority.publish(NOW.plus(3)).unwrap_err().to_string();
    assert!(refused.contains("no longer listed"), "{refused}");
    assert_eq!(authority.current_list(KIND).unwrap(), before);
    // Out of date it may leave, and does.
    let edit = "UPDATE certificate SET revoked_at = 1, reason = 5, not_after = ?1 WHERE serial = ?2";
    let serial = card.card_holder_auth.serial;
    let past = i64::try_from(NOW.0 + 4).unwrap();
    connection.execute(edit, rusqlite::params![past, serial.as_bytes()]).unwrap();
    for (at, entries) in [(3, 1), (5, 1), (6, 0)] {
        authority.publish(NOW.plus(at)).unwrap();
        assert_eq!(authority.current_list(KIND).unwrap().entries, entries, "{at}");
    }
}

#[test]
fn file_names_of_lists_lead_back() {
    for (file, kind, scope, form) in [
        ("auth.crl", KIND, ListScope::Everything, ListForm::Complete),
        ("sign.delta.crl", CertificateKind::DocumentSignature, ListScope::Everything, ListForm::Delta),
        ("auth/007.crl", KIND, ListScope::Shard(7), ListForm::Complete),
        ("auth/4095.delta.crl", KIND, ListScope::Shard(4_095), ListForm::Delta),
    ] {
        assert_eq!(name(scope, form).file(kind), file);
        assert_eq!(ListName::of_file(file), Some((kind, name(scope, form))));
    }
    for bad in [
        "auth",
        "auth.crl.crl",
        "other.crl",
        "auth/7.crl",
        "auth/0007.crl",
        "auth/-01.crl",
        "auth/65536.crl",
        "",
        "auth/+07.crl",
    ] {
        assert_eq!(ListName::of_file(bad), None, "{bad}");
    }
}
