use crate::town::{DAY, Folder, NOW, authority, child};
use chassis::admin::Readiness;
use chassis::shutdown::ShutdownSignal;
use jpki_authority::publish::{LISTS_CHECK, publish_loop};
use jpki_authority::{Authority, CardEvent, CertificateKind};
use protocol::entropy::Seeded;
use protocol::time::FixedClock;
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
    let readiness = Readiness::expecting(&[LISTS_CHECK]);
    assert!(!readiness.is_ready());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (trigger, shutdown) = ShutdownSignal::new();
        let clock = Arc::new(FixedClock::at(NOW));
        // Pulled before the loop starts: it publishes once, then sees the signal.
        trigger.pull();
        publish_loop(Arc::clone(&authority), clock, readiness.clone(), shutdown).await;
    });
    assert!(readiness.is_ready());
    assert_eq!(authority.current_list(KIND).unwrap().number, 1);
}
