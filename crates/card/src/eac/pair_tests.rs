//! Card side and terminal side against each other: what goes well, and everything that must not.

use super::card_side::EacMemory;
use super::cvc::{ChainKind, ImportError, Rights, Role, TerminalChain, TrustAnchor};
use super::p256::{P256Error, P256SigningKey, generate_pkcs8};
use super::secure_messaging::SecureMessagingError;
use super::specimen::{Card, Parts, Party, TODAY, World, day, hex};
use super::terminal_side::{EacChannel, EacDialogue, EacError, EacProgress, EacStep, EacTerminal};
use crate::apdu::StatusWord;
use protocol::entropy::Seeded;

/// Called with the step, the command and the card: gives the response.
type Bend<'a> = &'a mut dyn FnMut(EacStep, &[u8], &mut Card) -> Vec<u8>;

/// What happens to the bytes on their way.
enum Relay<'a> {
    Faithful,
    Bent(Bend<'a>),
}

fn run(
    card: &mut Card,
    terminal: &EacTerminal,
    key: &P256SigningKey,
    mut relay: Relay<'_>,
) -> Result<EacChannel, EacError> {
    let mut entropy = Seeded::new(77);
    let mut progress = EacDialogue::start(terminal, key)?;
    loop {
        match progress {
            EacProgress::Done(channel) => return Ok(channel),
            EacProgress::Send { step, command, dialogue } => {
                assert_eq!(step, dialogue.awaiting());
                let response = match &mut relay {
                    Relay::Faithful => card.transmit(&command),
                    Relay::Bent(bend) => bend(step, &command, card),
                };
                progress = dialogue.step(&response, terminal, key, &mut entropy)?;
            }
        }
    }
}

fn touch(world: &World, card: &mut Card) -> Result<EacChannel, EacError> {
    run(card, &world.terminal(), &world.terminal.key, Relay::Faithful)
}

/// A touch with other parties than the world's own.
fn touch_as(world: &World, card: &mut Card, body: &Party, terminal: &Party) -> Result<EacChannel, EacError> {
    run(card, &world.terminal_with(body, terminal), &terminal.key, Relay::Faithful)
}

fn exchange(channel: EacChannel, card: &mut Card, command: &[u8]) -> (Vec<u8>, StatusWord, EacChannel) {
    let (wrapped, awaited) = channel.wrap(command).unwrap();
    let response = card.transmit(&wrapped);
    let (data, status, channel) = awaited.unwrap(&response).unwrap();
    (data.to_vec(), status, channel)
}

fn refused(step: EacStep, status_word: StatusWord) -> EacError {
    EacError::CardRefused { step, status_word }
}

/// Reads the file that one authentication opens for one reading.
const USE: [u8; 5] = [0x00, 0xB0, 0x81, 0x00, 0x00];

#[test]
fn one_authentication_opens_one_use() {
    let world = World::new();
    let mut card = world.card();
    let channel = touch(&world, &mut card).unwrap();
    let (data, status, channel) = exchange(channel, &mut card, &USE);
    assert_eq!((data.as_slice(), status), (&b"abc"[..], StatusWord::OK));
    let (data, status, _) = exchange(channel, &mut card, &USE);
    assert_eq!((data.len(), status), (0, StatusWord::SECURITY_STATUS));
}

#[test]
fn nothing_after_the_agreement_is_readable() {
    let world = World::new();
    let mut card = world.card();
    let names: Vec<Vec<u8>> = [&world.root, &world.accredited_body, &world.terminal]
        .iter()
        .map(|party| party.certificate.body().holder.as_octets().to_vec())
        .collect();
    let mut seen = Vec::new();
    let mut steps = Vec::new();
    let mut listen = |step: EacStep, command: &[u8], card: &mut Card| {
        let response = card.transmit(command);
        steps.push((step, [command[0], command[1], command[2], command[3]]));
        seen.extend_from_slice(command);
        seen.extend_from_slice(&response);
        response
    };
    let channel = run(&mut card, &world.terminal(), &world.terminal.key, Relay::Bent(&mut listen)).unwrap();
    exchange(channel, &mut card, &USE);
    for name in names {
        assert!(!seen.windows(name.len()).any(|window| window == name));
    }
    let expected = [
        (EacStep::SelectApplication, [0x00, 0xA4, 0x04, 0x0C]),
        (EacStep::SelectSecurityInfos, [0x00, 0xA4, 0x02, 0x0C]),
        (EacStep::ReadSecurityInfos, [0x00, 0xB0, 0x00, 0x00]),
        (EacStep::SelectBatchCertificate, [0x00, 0xA4, 0x02, 0x0C]),
        (EacStep::ReadBatchCertificate, [0x00, 0xB0, 0x00, 0x00]),
        (EacStep::ChooseChipAuthentication, [0x00, 0x22, 0x41, 0xA4]),
        (EacStep::AgreeKeys, [0x00, 0x86, 0x00, 0x00]),
        (EacStep::ChooseIssuer, [0x0C, 0x22, 0x81, 0xB6]),
        (EacStep::ShowCertificate, [0x0C, 0x2A, 0x00, 0xBE]),
        (EacStep::ChooseIssuer, [0x0C, 0x22, 0x81, 0xB6]),
        (EacStep::ShowCertificate, [0x0C, 0x2A, 0x00, 0xBE]),
        (EacStep::ChooseTerminalAuthentication, [0x0C, 0x22, 0x81, 0xA4]),
        (EacStep::GetChallenge, [0x0C, 0x84, 0x00, 0x00]),
        (EacStep::ExternalAuthenticate, [0x0C, 0x82, 0x00, 0x00]),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn the_own_instruction_keeps_its_class_under_protection() {
    let world = World::new();
    let mut card = world.card();
    let sign = [0x80, 0x2A, 0x02, 0x97, 1, 7, 0];
    let (wrapped, _) = touch(&world, &mut card).unwrap().wrap(&sign).unwrap();
    assert_eq!(wrapped[..4], [0x8C, 0x2A, 0x02, 0x97]);
    assert_eq!(
        touch(&world, &mut card).unwrap().wrap(&[0x10, 0x2A, 0, 0]).unwrap_err(),
        EacError::SecureMessaging { step: EacStep::Channel, problem: SecureMessagingError::Command }
    );
}

#[test]
fn a_lost_command_or_response_ends_the_session() {
    let world = World::new();
    // The command never reaches the card: the next one is one counter value ahead.
    let mut card = world.card();
    let (_lost, awaited) = touch(&world, &mut card).unwrap().wrap(&USE).unwrap();
    assert!(awaited.unwrap(&[]).is_err());
    // The response is lost: whoever goes on has no channel; a plain command ends it on the card.
    let mut card = world.card();
    let (command, awaited) = touch(&world, &mut card).unwrap().wrap(&USE).unwrap();
    card.transmit(&command);
    assert_eq!(
        awaited.unwrap(&[0x69, 0x88]).unwrap_err(),
        EacError::SecureMessaging {
            step: EacStep::Channel,
            problem: SecureMessagingError::Ended(StatusWord::SM_OBJECT_WRONG)
        }
    );
    assert_eq!(card.transmit(&USE), [0x69, 0x82]);
    assert_eq!(card.transmit(&command), [0x69, 0x85]);
}

#[test]
fn every_bent_octet_of_a_command_ends_the_session_and_the_permission() {
    let world = World::new();
    let mut card = world.card();
    let length = touch(&world, &mut card).unwrap().wrap(&USE).unwrap().0.len();
    for place in 0..length {
        let (mut command, _) = touch(&world, &mut card).unwrap().wrap(&USE).unwrap();
        command[place] ^= 1;
        let response = card.transmit(&command);
        // Le' is not authenticated (it says nothing), everything else is.
        if place >= length - 2 {
            let status = response.last_chunk::<2>().unwrap();
            assert!(response.len() > 2 && matches!(status, [0x90, 0x00] | [0x61, _]));
            continue;
        }
        let status: [u8; 2] = response.try_into().unwrap();
        assert!(
            matches!(status, [0x69, 0x87 | 0x88] | [0x67, 0x00] | [0x68, 0x81]),
            "{place}: {status:02X?}"
        );
        assert_eq!(card.transmit(&USE), [0x69, 0x82], "{place}");
    }
}

#[test]
fn every_bent_octet_of_a_response_is_noticed() {
    let world = World::new();
    let mut card = world.card();
    let mut length = 1;
    let mut place = 0;
    while place < length {
        let (command, awaited) = touch(&world, &mut card).unwrap().wrap(&USE).unwrap();
        let mut response = card.transmit(&command);
        length = response.len();
        response[place] ^= 1;
        assert!(awaited.unwrap(&response).is_err(), "{place}");
        place += 1;
    }
    assert!(length > 30);
    for end in 0..length {
        let (command, awaited) = touch(&world, &mut card).unwrap().wrap(&USE).unwrap();
        let response = card.transmit(&command);
        assert!(awaited.unwrap(&response[..end]).is_err(), "{end}");
    }
}

#[test]
fn replayed_and_swapped_commands_are_refused() {
    let world = World::new();
    let mut card = world.card();
    let (command, awaited) = touch(&world, &mut card).unwrap().wrap(&USE).unwrap();
    let response = card.transmit(&command);
    assert!(awaited.unwrap(&response).is_ok());
    // The same command again: its counter value is over.
    assert_eq!(card.transmit(&command), [0x69, 0x88]);
    // A command of another session with the same card.
    let former = touch(&world, &mut card).unwrap().wrap(&USE).unwrap().0;
    let channel = touch(&world, &mut card).unwrap();
    assert_eq!(card.transmit(&former), [0x69, 0x88]);
    drop(channel);
    // The response of one command for another.
    let mut card = world.card();
    let channel = touch(&world, &mut card).unwrap();
    let (command, awaited) = channel.wrap(&USE).unwrap();
    let first = card.transmit(&command);
    let (_, _, channel) = awaited.unwrap(&first).unwrap();
    let (command, awaited) = channel.wrap(&USE).unwrap();
    card.transmit(&command);
    assert!(awaited.unwrap(&first).is_err());
}

#[test]
fn removal_at_every_step_leaves_nothing_behind() {
    let world = World::new();
    for taken in 0..14 {
        let mut card = world.card();
        let mut count = 0;
        let mut leave = |_: EacStep, command: &[u8], card: &mut Card| {
            count += 1;
            if count > taken {
                return Vec::new();
            }
            card.transmit(command)
        };
        let error =
            run(&mut card, &world.terminal(), &world.terminal.key, Relay::Bent(&mut leave)).unwrap_err();
        assert!(
            matches!(error, EacError::CardMisbehaved { .. } | EacError::SecureMessaging { .. }),
            "{taken}: {error}"
        );
        // Back on the reader, as another card would be: nothing is open, and a new dialogue works.
        card.power_cut();
        assert_eq!(card.transmit(&USE), [0x69, 0x82]);
        assert!(touch(&world, &mut card).is_ok());
    }
}

#[test]
fn wrong_status_words_at_every_step_name_it() {
    let world = World::new();
    for wrong in 0..7 {
        let mut card = world.card();
        let mut count = 0;
        let mut at = None;
        let mut refuse = |step: EacStep, command: &[u8], card: &mut Card| {
            count += 1;
            if count == wrong + 1 {
                at = Some(step);
                return vec![0x6F, 0x00];
            }
            card.transmit(command)
        };
        let error =
            run(&mut card, &world.terminal(), &world.terminal.key, Relay::Bent(&mut refuse)).unwrap_err();
        assert_eq!(error, refused(at.unwrap(), StatusWord::INTERNAL));
    }
    let mut none = |_: EacStep, _: &[u8], _: &mut Card| vec![0x6A, 0x82];
    let result = run(&mut world.card(), &world.terminal(), &world.terminal.key, Relay::Bent(&mut none));
    assert_eq!(result.unwrap_err(), EacError::NoProfile);
}

#[test]
fn a_forged_card_sees_no_certificate() {
    let world = World::new();
    let mut asked = Vec::new();
    let mut listen = |step: EacStep, command: &[u8], card: &mut Card| {
        asked.push(step);
        card.transmit(command)
    };
    // Another issuer of the same name.
    let other = World::new();
    let mut forged = Card::new(&other.card_issuer, &world.root);
    let error =
        run(&mut forged, &world.terminal(), &world.terminal.key, Relay::Bent(&mut listen)).unwrap_err();
    assert_eq!(error, EacError::NotGenuine(ImportError::Signature(P256Error::Signature)));
    // The files of a genuine card without its key.
    let genuine = Parts::new(&world.card_issuer, &world.root);
    let parts = || Parts::new(&world.card_issuer, &world.root);
    let (infos, certificate) = ("eac.security-infos", "eac.batch-certificate");
    let mut copy = parts().with(infos, &genuine).with(certificate, &genuine).card();
    let error = run(&mut copy, &world.terminal(), &world.terminal.key, Relay::Bent(&mut listen)).unwrap_err();
    assert!(matches!(error, EacError::NotProved(_)), "{error}");
    // A genuine certificate and a key of its own.
    let mut mixed = parts().with(certificate, &genuine).card();
    let error =
        run(&mut mixed, &world.terminal(), &world.terminal.key, Relay::Bent(&mut listen)).unwrap_err();
    assert_eq!(error, EacError::NotGenuine(ImportError::Chain));
    assert!(!asked.contains(&EacStep::ChooseIssuer) && !asked.contains(&EacStep::ShowCertificate));
}

#[test]
fn a_terminal_certificate_is_not_a_batch_certificate_and_the_other_way_round() {
    let world = World::new();
    let card_with = |certificate: &Party| {
        let parts = Parts::new(&world.card_issuer, &world.root);
        parts.holding("eac.batch-certificate", &certificate.certificate.encode()).card()
    };
    let mut card = card_with(&world.terminal);
    let result = run(&mut card, &world.terminal(), &world.terminal.key, Relay::Faithful);
    assert_eq!(result.unwrap_err(), EacError::NotGenuine(ImportError::Issuer));
    // The terminals' root among the card issuers makes no batch out of an accredited body.
    let mut terminal = world.terminal();
    terminal.card_issuers.push(world.root.anchor());
    let mut card = card_with(&world.accredited_body);
    let result = run(&mut card, &terminal, &world.terminal.key, Relay::Faithful);
    assert_eq!(result.unwrap_err(), EacError::NotGenuine(ImportError::Role));
    // A card issuer's root makes no card trust anchor.
    let anchor = TrustAnchor::parse(&world.card_issuer.certificate.encode()).unwrap();
    assert_eq!(anchor.key().authorisation.chain, ChainKind::CardIssuer);
}

#[test]
fn own_certificates_are_checked_before_a_card_is_asked() {
    let world = World::new();
    let mut terminal = world.terminal();
    terminal.today = day("270123");
    assert_eq!(
        run(&mut world.card(), &terminal, &world.terminal.key, Relay::Faithful).unwrap_err(),
        EacError::OwnChain(ImportError::Expired(day("270122")))
    );
    let other = P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap();
    assert!(matches!(
        run(&mut world.card(), &world.terminal(), &other, Relay::Faithful).unwrap_err(),
        EacError::InstitutionKey(_)
    ));
    // Two terminals, or certificates the wrong way round, are no chain.
    let (body, terminal) = (&world.accredited_body.certificate, &world.terminal.certificate);
    for (first, second) in [(terminal, terminal), (terminal, body), (body, body)] {
        let chain = TerminalChain::new(Vec::new(), first.clone(), second.clone());
        assert_eq!(chain.unwrap_err(), ImportError::Chain);
    }
}

#[test]
fn the_cards_date_moves_forward_and_never_back() {
    let world = World::new();
    let mut card = world.card();
    assert_eq!(card.memory().today(), day("260101"));
    touch(&world, &mut card).unwrap();
    assert_eq!(card.memory().today(), day(TODAY));
    // An older certificate that has not expired is good and moves nothing.
    let older = world.accredited_body.certify("ZZDESK00002", Role::Holder, Rights::ALL, ("270110", "270120"));
    touch_as(&world, &mut card, &world.accredited_body, &older).unwrap();
    assert_eq!(card.memory().today(), day(TODAY));
    // A terminal whose clock is ahead has no way to move the card: only certificates do. One from the
    // future is believed, because a card has no clock.
    let future =
        world.accredited_body.certify("ZZDESK00003", Role::Holder, Rights::ALL, ("270201", "270208"));
    touch_as(&world, &mut card, &world.accredited_body, &future).unwrap();
    assert_eq!(card.memory().today(), day("270201"));
    // And then the one of before is over.
    let error = touch(&world, &mut card).unwrap_err();
    assert_eq!(error, refused(EacStep::ShowCertificate, StatusWord::WRONG_DATA));
    assert_eq!(card.memory().today(), day("270201"));
}

#[test]
fn a_foreign_accredited_body_does_not_move_the_date() {
    let world = World::new();
    let mut card = world.card();
    let days = ("260401", "270930");
    let foreign = world.root.certify("ZZFRGN00001", Role::DocumentVerifierForeign, Rights::ALL, days);
    let terminal = foreign.certify("ZZDESK00009", Role::Holder, Rights::ALL, ("270101", "270131"));
    touch_as(&world, &mut card, &foreign, &terminal).unwrap();
    // The accredited body's own certificate is the root's word; its terminals' dates are not believed.
    assert_eq!(card.memory().today(), day("260401"));
}

#[test]
fn expired_forged_and_misplaced_certificates_are_refused_and_move_nothing() {
    let world = World::new();
    let other = World::new();
    let mut card = world.card();
    touch(&world, &mut card).unwrap();
    let before = card.memory();
    let all = Rights::ALL;
    let wrong = StatusWord::WRONG_DATA;
    let expired_body =
        world.root.certify("ZZBODY00009", Role::DocumentVerifierDomestic, all, ("260101", "270101"));
    let under_expired = expired_body.certify("ZZDESK00004", Role::Holder, all, ("270301", "270401"));
    let show = EacStep::ShowCertificate;
    let mut terminal = world.terminal_with(&expired_body, &under_expired);
    terminal.today = day("260101");
    let result = run(&mut card, &terminal, &under_expired.key, Relay::Faithful);
    assert_eq!(result.unwrap_err(), refused(show, wrong));
    // Same names, other keys: the root's signature does not hold.
    let error = touch_as(&world, &mut card, &other.accredited_body, &other.terminal).unwrap_err();
    assert_eq!(error, refused(show, StatusWord::AUTHENTICATION_FAILED));
    // A terminal certificate by an accredited body of the same name.
    let error = touch_as(&world, &mut card, &world.accredited_body, &other.terminal).unwrap_err();
    assert_eq!(error, refused(show, StatusWord::AUTHENTICATION_FAILED));
    assert_eq!(card.memory(), before);
    assert_eq!(card.transmit(&USE), [0x69, 0x82]);
}

#[test]
fn a_foreign_cvca_is_unknown() {
    let world = World::new();
    let root = Party::root(ChainKind::Terminal, "ZZOTHER00001", ("260101", "351231"));
    let days = ("260101", "270930");
    let body = root.certify("ZZBODY00001", Role::DocumentVerifierDomestic, Rights::ALL, days);
    let terminal = body.certify("ZZDESK00001", Role::Holder, Rights::ALL, days);
    let error = touch_as(&world, &mut world.card(), &body, &terminal).unwrap_err();
    assert_eq!(error, refused(EacStep::ChooseIssuer, StatusWord::REFERENCE_NOT_FOUND));
}

#[test]
fn rights_are_what_all_above_have() {
    let world = World::new();
    let days = (TODAY, "270131");
    let body = world.root.certify(
        "ZZBODY00002",
        Role::DocumentVerifierDomestic,
        Rights::MEDICAL_ID.with(Rights::OFFLINE_VISIT),
        days,
    );
    let greedy = body.certify("ZZDESK00005", Role::Holder, Rights::ALL, days);
    let mut card = world.card();
    let channel = touch_as(&world, &mut card, &body, &greedy).unwrap();
    let (_, status, _) = exchange(channel, &mut card, &USE);
    assert_eq!(status, StatusWord::SECURITY_STATUS);
    let chain = world.terminal_with(&body, &greedy).chain;
    let verified = chain.verify(&world.root.anchor(), day(TODAY)).unwrap();
    assert_eq!(verified.rights, Rights::MEDICAL_ID.with(Rights::OFFLINE_VISIT));
    assert_eq!(verified.expiration, day("270131"));
    assert_eq!(TerminalChain::parse(&chain.encode()), Ok(chain));
}

#[test]
fn links_bring_an_old_card_to_the_new_root() {
    let world = World::new();
    let far = ("260701", "361231");
    let second = world.root.certify("ZZROOT00002", Role::Cvca, Rights::ALL, far);
    let third = second.certify("ZZROOT00003", Role::Cvca, Rights::ALL, ("261201", "371231"));
    let body = third.certify("ZZBODY00003", Role::DocumentVerifierDomestic, Rights::ALL, (TODAY, "270930"));
    let terminal = body.certify("ZZDESK00006", Role::Holder, Rights::ALL, (TODAY, "270131"));
    let links = vec![second.certificate.clone(), third.certificate.clone()];
    let chain = TerminalChain::new(links, body.certificate.clone(), terminal.certificate.clone()).unwrap();
    let all = EacTerminal { chain, ..world.terminal() };
    let mut card = world.card();
    run(&mut card, &all, &terminal.key, Relay::Faithful).unwrap();
    // From now on the card knows the newest root and the one before, also after a power cut.
    card.power_cut();
    touch_as(&world, &mut card, &body, &terminal).unwrap();
    let by_second =
        second.certify("ZZBODY00004", Role::DocumentVerifierDomestic, Rights::ALL, (TODAY, "270930"));
    let below = by_second.certify("ZZDESK00007", Role::Holder, Rights::ALL, (TODAY, "270131"));
    touch_as(&world, &mut card, &by_second, &below).unwrap();
    // The first root is gone.
    let error = touch(&world, &mut card).unwrap_err();
    assert_eq!(error, refused(EacStep::ChooseIssuer, StatusWord::REFERENCE_NOT_FOUND));
    let bytes = card.memory().to_bytes();
    for end in 0..bytes.len() {
        let short = EacMemory::from_bytes(&bytes[..end]);
        assert!(short.is_err() || end == 11, "{end}");
    }
}

#[test]
fn an_expired_root_certifies_nobody_but_its_successor() {
    let world = World::new();
    let root = Party::root(ChainKind::Terminal, "ZZSHORT00001", ("260101", "261231"));
    let mut card = Card::new(&world.card_issuer, &root);
    let next = root.certify("ZZSHORT00002", Role::Cvca, Rights::ALL, ("261201", "361231"));
    let days = (TODAY, "270930");
    let body_of =
        |root: &Party| root.certify("ZZBODY00001", Role::DocumentVerifierDomestic, Rights::ALL, days);
    let (old_body, body) = (body_of(&root), body_of(&next));
    let terminal = body.certify("ZZDESK00001", Role::Holder, Rights::ALL, days);
    let old_terminal = old_body.certify("ZZDESK00001", Role::Holder, Rights::ALL, days);
    // The first touch after its end is still believed: the card cannot know. It learns the day then.
    touch_as(&world, &mut card, &old_body, &old_terminal).unwrap();
    let error = touch_as(&world, &mut card, &old_body, &old_terminal).unwrap_err();
    assert_eq!(error, refused(EacStep::ShowCertificate, StatusWord::WRONG_DATA));
    let links = vec![next.certificate.clone()];
    let chain = TerminalChain::new(links, body.certificate.clone(), terminal.certificate.clone()).unwrap();
    let linked = EacTerminal { chain, ..world.terminal() };
    run(&mut card, &linked, &terminal.key, Relay::Faithful).unwrap();
}

#[test]
fn terminal_authentication_needs_secure_messaging_and_its_order() {
    let world = World::new();
    let mut card = world.card();
    card.transmit(&hex("00A4040C 0A D392F000260100000001"));
    for plain in ["002281B6 0D 830B 5A5A524F4F543030303031", "002A00BE 01 00", "002281A4 01 00"] {
        assert_eq!(card.transmit(&hex(plain)), [0x69, 0x82], "{plain}");
    }
    assert_eq!(card.transmit(&hex("00860000 04 7C028000 00")), [0x69, 0x85]);
    assert_eq!(card.transmit(&hex("002241A4 0F 800A04007F00070202030202 840101")), [0x6A, 0x88]);
    assert_eq!(card.transmit(&hex("002241A4 0F 800A04007F00070202020203 84011F")), [0x6A, 0x80]);
    let choose = hex("002241A4 0F 800A04007F00070202030202 84011F");
    assert_eq!(card.transmit(&choose), [0x90, 0x00]);
    assert_eq!(card.transmit(&hex("00860000 04 7C028000 00")), [0x6A, 0x80]);
    // The failure took the choice back.
    assert_eq!(card.transmit(&hex("00860000 04 7C028000 00")), [0x69, 0x85]);

    let statuses = |commands: &[&str]| {
        let mut card = world.card();
        let mut channel = touch(&world, &mut card).unwrap();
        let mut all = Vec::new();
        for command in commands {
            let (_, status, rest) = exchange(channel, &mut card, &hex(command));
            channel = rest;
            all.push(status.0);
        }
        let (_, status, _) = exchange(channel, &mut card, &USE);
        all.push(status.0);
        all
    };
    let name = "002281A4 19 800A04007F00070202020203 830B 5A5A4445534B3030303031";
    // No key named, no certificate chosen, no challenge: and each failure closes what was open.
    assert_eq!(statuses(&[]), [0x9000]);
    assert_eq!(statuses(&["00820000 01 00"]), [0x6A86, 0x9000]);
    assert_eq!(statuses(&["002A00BE 01 00"]), [0x6985, 0x6982]);
    assert_eq!(statuses(&[name, "00820000 01 00"]), [0x9000, 0x6985, 0x6982]);
    assert_eq!(statuses(&[name, "0084000008", "00820000 01 00"]), [0x9000, 0x9000, 0x6300, 0x6982]);
    // A challenge of another length is a random number and nothing to authenticate with.
    assert_eq!(statuses(&[name, "0084000010", "00820000 01 00"]), [0x9000, 0x9000, 0x6985, 0x6982]);
    assert_eq!(statuses(&["002281B6 0D 830B 5A5A4E4F4E453030303031"]), [0x6A88, 0x6982]);
    // After the failure the certificates are gone too.
    assert_eq!(statuses(&["002A00BE 01 00", name]), [0x6985, 0x6A88, 0x6982]);
}

#[test]
fn a_signature_of_another_session_is_worth_nothing() {
    let world = World::new();
    let mut card = world.card();
    let mut recorded = Vec::new();
    let mut record = |step: EacStep, command: &[u8], card: &mut Card| {
        if step == EacStep::ExternalAuthenticate {
            recorded = command.to_vec();
        }
        card.transmit(command)
    };
    run(&mut card, &world.terminal(), &world.terminal.key, Relay::Bent(&mut record)).unwrap();
    let mut replay = |step: EacStep, command: &[u8], card: &mut Card| {
        let sent = if step == EacStep::ExternalAuthenticate { &recorded } else { command };
        card.transmit(sent)
    };
    // The terminal repeats its ephemeral key here, and still the card's nonce makes other keys.
    let error = run(&mut card, &world.terminal(), &world.terminal.key, Relay::Bent(&mut replay)).unwrap_err();
    assert_eq!(
        error,
        EacError::SecureMessaging {
            step: EacStep::ExternalAuthenticate,
            problem: SecureMessagingError::Ended(StatusWord::SM_OBJECT_WRONG)
        }
    );
}

#[test]
fn nothing_telling_is_shown() {
    let world = World::new();
    let mut card = world.card();
    let mut shown = String::new();
    let mut look = |_: EacStep, command: &[u8], card: &mut Card| {
        let response = card.transmit(command);
        shown.push_str(&format!("{:?} {:?}", card.card, card.memory()));
        response
    };
    let channel = run(&mut card, &world.terminal(), &world.terminal.key, Relay::Bent(&mut look)).unwrap();
    shown.push_str(&format!("{channel:?} {:?}", world.terminal.key));
    assert!(shown.contains("Engine(…)") && shown.contains("P256SigningKey(…)"));
}
