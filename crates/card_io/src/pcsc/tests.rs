//! The client against a fake daemon: versions, blame, limits.

use super::fake_daemon::{ABSENT, FakeDaemon, PRESENT, World};
use super::reader::over_t0;
use super::*;
use crate::channel::{CardChannel, ChannelError, Reader};

const SHORT: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_secs(20);
const NAME: &str = "Desk reader 00 00";

fn world() -> World {
    World {
        minor: 4,
        minor_accepted: 4,
        protocol: wire::T1,
        readers: vec![
            (NAME.to_owned(), PRESENT, 1, vec![0x3B, 0x80]),
            ("Desk reader 00 01".to_owned(), ABSENT, 0, vec![]),
        ],
        ..World::default()
    }
}

fn daemon(world: World) -> (FakeDaemon, Daemon) {
    let fake = FakeDaemon::new(world);
    let client = Daemon::at(fake.socket());
    (fake, client)
}

fn hurried(world: World) -> (FakeDaemon, Daemon) {
    let (fake, client) = daemon(world);
    // Short enough for a test, long enough for a daemon that does answer on a busy machine.
    let limit = Duration::from_millis(500);
    (fake, client.within(Limits { bookkeeping: limit, card_power: limit, exchange: limit }))
}

fn opened(client: &Daemon) -> Box<dyn CardChannel> {
    client.open_reader(NAME).unwrap().wait_for_card(LONG).unwrap().expect("a card is there")
}

#[test]
fn every_protocol_version_lists_and_exchanges() {
    for (minor, minor_accepted, request) in [(4, 4, 0x12), (5, 5, 0x12), (6, 4, 0), (6, 6, 0x17)] {
        let (fake, client) = daemon(World { minor, minor_accepted, ..world() });
        let readers = client.list_readers().unwrap();
        assert_eq!(readers.len(), 2);
        assert_eq!(
            readers[0],
            ReaderInfo { name: NAME.to_owned(), card_present: true, atr: vec![0x3B, 0x80], events: 1 }
        );
        assert!(!readers[1].card_present);
        let mut channel = opened(&client);
        assert_eq!(channel.atr(), [0x3B, 0x80]);
        assert!(channel.is_present());
        assert_eq!(channel.transmit(&[1, 2, 3, 4]).unwrap(), [1, 2, 3, 4, 0x90, 0]);
        drop(channel);
        let seen = fake.world.lock().unwrap();
        assert_eq!(seen.share_modes, [1], "exclusive");
        assert_eq!(seen.dispositions, [2], "powered down");
        assert!(request == 0 || seen.state_requests.iter().all(|command| *command == request));
    }
}

#[test]
fn a_daemon_of_unknown_protocol_is_named() {
    let (_fake, client) = daemon(World { minor: 9, minor_accepted: 7, ..world() });
    let error = client.list_readers().unwrap_err();
    assert!(
        matches!(error, ReaderError::Daemon(DaemonError::UnknownProtocol { major: 4, minor: 9 })),
        "{error}"
    );
    let (_fake, client) = daemon(World { minor: 9, minor_accepted: 4, ..world() });
    assert_eq!(client.list_readers().unwrap().len(), 2, "newer, and it still takes the oldest");
}

#[test]
fn readers_are_found_by_name_or_a_part_that_only_one_has() {
    let (_fake, client) = daemon(world());
    assert_eq!(client.open_reader(NAME).unwrap().name(), NAME);
    assert_eq!(client.open_reader("00 01").unwrap().name(), "Desk reader 00 01");
    assert!(
        matches!(client.open_reader("Desk"), Err(ReaderError::Ambiguous { candidates, .. }) if candidates.len() == 2)
    );
    assert!(
        matches!(client.open_reader("Shelf"), Err(ReaderError::NotFound { available, .. }) if available.len() == 2)
    );
}

#[test]
fn no_daemon_is_said_so_with_the_way_out() {
    let (fake, client) = daemon(world());
    drop(fake);
    let error = client.list_readers().unwrap_err();
    assert!(matches!(error, ReaderError::Daemon(DaemonError::NotRunning { .. })));
    assert!(error.to_string().contains("pcscd"), "{error}");
}

#[test]
fn a_daemon_that_hangs_up_at_the_greeting_refuses_this_user() {
    let (_fake, client) = daemon(World { hang_up_from: Some(0x11), ..world() });
    assert!(matches!(client.list_readers(), Err(ReaderError::Daemon(DaemonError::PermissionDenied { .. }))));
    let (_fake, client) =
        daemon(World { connect_codes: vec![connection::SECURITY_VIOLATION; 100], ..world() });
    let outcome = client.open_reader(NAME).unwrap().wait_for_card(SHORT);
    assert!(matches!(outcome, Err(ReaderError::Daemon(DaemonError::PermissionDenied { .. }))));
}

#[test]
fn a_stuck_daemon_never_hangs_the_client() {
    for command in [0x11, 0x12] {
        let (_fake, client) = hurried(World { silent_from: Some(command), ..world() });
        assert!(matches!(client.list_readers(), Err(ReaderError::Daemon(DaemonError::Silent { .. }))));
    }
    for command in [0x01, 0x04] {
        let (_fake, client) = hurried(World { silent_from: Some(command), ..world() });
        let outcome = client.open_reader(NAME).unwrap().wait_for_card(LONG);
        assert!(matches!(outcome, Err(ReaderError::Daemon(DaemonError::Silent { .. }))), "{command}");
    }
    let (fake, client) = hurried(world());
    let mut channel = opened(&client);
    fake.world.lock().unwrap().silent_from = Some(0x09);
    assert!(matches!(channel.transmit(&[0; 4]), Err(ChannelError::Daemon(DaemonError::Silent { .. }))));
    fake.world.lock().unwrap().silent_from = None;
    let again = channel.transmit(&[0; 4]);
    assert!(
        matches!(again, Err(ChannelError::Daemon(DaemonError::HungUp { .. }))),
        "a late answer is never taken"
    );
    assert!(!channel.is_present());
}

#[test]
fn answers_that_break_off_are_named() {
    for command in [0x12, 0x01, 0x04] {
        let (_fake, client) = daemon(World { cut: Some(command), ..world() });
        let outcome = client.open_reader(NAME).and_then(|mut reader| reader.wait_for_card(SHORT).map(|_| ()));
        assert!(matches!(outcome, Err(ReaderError::Daemon(DaemonError::HungUp { .. }))), "{command}");
    }
}

#[test]
fn every_refusal_of_an_exchange_has_its_culprit() {
    type IsRight = fn(&ChannelError) -> bool;
    let cases: [(u32, IsRight); 6] = [
        (0x8010_0069, |error| matches!(error, ChannelError::CardRemoved)),
        (0x8010_0068, |error| matches!(error, ChannelError::CardReset)),
        (0x8010_0067, |error| matches!(error, ChannelError::CardMute)),
        (0x8010_0016, |error| matches!(error, ChannelError::ExchangeBroken)),
        (0x8010_0017, |error| matches!(error, ChannelError::ReaderGone { .. })),
        (0x8010_0001, |error| {
            matches!(error, ChannelError::Daemon(DaemonError::Refused { code: 0x8010_0001, .. }))
        }),
    ];
    for (code, is_right) in cases {
        let (_fake, client) = daemon(World { responses: vec![Err(code)], ..world() });
        let error = opened(&client).transmit(&[0; 4]).unwrap_err();
        assert!(is_right(&error), "{error}");
    }
    let (_fake, client) = daemon(World { responses: vec![Ok(vec![0x90])], ..world() });
    assert!(matches!(opened(&client).transmit(&[0; 4]), Err(ChannelError::CardMisbehaved { .. })));
    // Torn out in mid-answer, as some drivers tell it.
    let (_fake, client) = daemon(World { responses: vec![Ok(Vec::new())], ..world() });
    assert!(matches!(opened(&client).transmit(&[0; 4]), Err(ChannelError::ExchangeBroken)));
}

#[test]
fn a_card_in_use_elsewhere_is_waited_for() {
    let (_fake, client) = daemon(World { connect_codes: vec![0x8010_000B, 0x8010_000B], ..world() });
    assert!(client.open_reader(NAME).unwrap().wait_for_card(LONG).unwrap().is_some());
    let (_fake, client) = daemon(World { connect_codes: vec![0x8010_000B; 100], ..world() });
    assert!(matches!(client.open_reader(NAME).unwrap().wait_for_card(SHORT), Err(ReaderError::Busy { .. })));
}

#[test]
fn a_mute_card_is_told_once_and_then_waited_out() {
    let (fake, client) = daemon(World { connect_codes: vec![0x8010_0066], ..world() });
    let mut reader = client.open_reader(NAME).unwrap();
    assert!(matches!(reader.wait_for_card(LONG), Err(ReaderError::CardMute { .. })));
    assert!(matches!(reader.wait_for_card(SHORT), Err(ReaderError::CardMute { .. })));
    assert_eq!(fake.world.lock().unwrap().share_modes.len(), 1, "the same card is not tried again and again");
    fake.world.lock().unwrap().readers[0].2 = 3;
    assert!(reader.wait_for_card(LONG).unwrap().is_some(), "another insertion is another chance");
}

#[test]
fn a_card_taken_off_between_two_looks_counts_as_absent() {
    let (fake, client) = daemon(world());
    let mut channel = opened(&client);
    fake.world.lock().unwrap().readers[0].2 = 3;
    assert!(!channel.is_present(), "taken off and put back");
    fake.world.lock().unwrap().readers[0].1 = ABSENT;
    let mut reader = client.open_reader(NAME).unwrap();
    assert!(reader.wait_for_card(SHORT).unwrap().is_none());
    fake.world.lock().unwrap().readers.remove(0);
    assert!(matches!(reader.wait_for_card(SHORT), Err(ReaderError::Gone { .. })));
}

#[test]
fn t0_fetches_the_response_and_corrects_le() {
    let responses = vec![
        Ok(vec![0x61, 2]),
        Ok(vec![7, 8, 0x61, 1]),
        Ok(vec![9, 0x90, 0]),
        Ok(vec![0x6C, 1]),
        Ok(vec![5, 0x90, 0]),
    ];
    let (fake, client) = daemon(World { protocol: wire::T0, responses, ..world() });
    let mut channel = opened(&client);
    assert_eq!(channel.transmit(&[0, 0xA4, 4, 0, 2, 1, 1, 0]).unwrap(), [7, 8, 9, 0x90, 0]);
    assert_eq!(channel.transmit(&[0, 0xB0, 0, 0, 0]).unwrap(), [5, 0x90, 0]);
    let seen = fake.world.lock().unwrap().commands.clone();
    let wanted: [&[u8]; 5] = [
        &[0, 0xA4, 4, 0, 2, 1, 1],
        &[0, 0xC0, 0, 0, 2],
        &[0, 0xC0, 0, 0, 1],
        &[0, 0xB0, 0, 0, 0],
        &[0, 0xB0, 0, 0, 1],
    ];
    assert_eq!(seen, wanted);
    assert!(matches!(channel.transmit(&[0, 0x82, 0, 0, 0, 1, 0, 1]), Err(ChannelError::ExtendedOverT0)));
    assert!(matches!(over_t0(&[0, 0x82, 0, 0, 9, 1]), Err(ChannelError::CommandLength { .. })));
    fake.world.lock().unwrap().responses = vec![Ok(vec![0x61, 1]); 400];
    assert!(matches!(channel.transmit(&[0, 0xB0, 0, 0, 0]), Err(ChannelError::CardMisbehaved { .. })));
}
