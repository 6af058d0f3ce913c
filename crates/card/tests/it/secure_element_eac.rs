//! Touches by profile `eac`: the channel ends in the Secure Element, and nobody between reads the card.

use crate::eac_town::{EAC, EacTown, day};
use crate::secure_element::refused;
use crate::town::{
    AUTHORITY, NOW, Platform, Terminal, adult, adult_holder, hex, input, powered, secure_element_image,
    secure_element_parts, send, status,
};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::EmulatedCard;
use card::apdu::CommandBuilder;
use card::dialogue::{DialogueError, Party};
use card::eac::cvc::{CvcDate, Rights, TerminalChain};
use card::eac::p256::{P256SigningKey, generate_pkcs8};
use card::my_number_card::{MyNumberCard, SignatureCounts};
use card::secure_element::touch_protocol::TouchTerms;
use card::secure_element::{PersistentState, SecureElement};
use protocol::answer::{AllowedProfiles, CardProfile};
use protocol::entropy::Seeded;
use protocol::time::UnixSeconds;
use std::collections::HashSet;

/// A card of the town's batch: it speaks both profiles.
fn patient() -> MyNumberCard {
    EAC.card()
}

fn only(profile: CardProfile) -> AllowedProfiles {
    AllowedProfiles::of(&[profile]).unwrap()
}

fn armed_for(profiles: AllowedProfiles) -> Terminal {
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(|policy| policy.profiles = profiles).unwrap();
    terminal
}

/// The dialogue by which a touch was made, as the platform reads it under the seal.
fn profile_of(terminal: &mut Terminal, patient: &mut MyNumberCard) -> Result<CardProfile, DialogueError> {
    let touch = terminal.touch(patient)?;
    Ok(terminal.platform.open(&touch).profile)
}

/// Commands to the card in a touch: chip authentication, two certificates, terminal authentication, the
/// certificate in one piece, the signature.
const CARD_APDUS: usize = 16;

#[test]
fn one_touch_is_one_signature_in_sixteen_commands() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let mut patient = patient();
    let mut to = [0usize; 2];
    let mut steps = Vec::new();
    let changes = terminal.secure_element.state_changes();
    let touch = terminal
        .touch_watched(&mut patient, input(), |exchange, _, _| {
            to[usize::from(exchange.to == Party::SecureElement)] += 1;
            if exchange.to == Party::Card {
                steps.push(exchange.step);
            }
        })
        .unwrap();
    assert_eq!(to, [CARD_APDUS, 1 + CARD_APDUS], "{steps:?}");
    assert_eq!(terminal.secure_element.state_changes(), changes + 1);
    assert_eq!(steps[steps.len() - 2..], ["read authentication certificate", "sign statement"]);
    assert_eq!(patient.signatures(), SignatureCounts { card_holder_auth: 1, document_signature: 0 });
    let opened = terminal.platform.open(&touch);
    assert_eq!((opened.profile, opened.statement.counter), (CardProfile::Eac, 1));
    let holder = adult_holder().card_holder_auth;
    assert_eq!(opened.auth_certificate, holder.end_entity_der);
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, holder.private_key.spki_der())
        .verify(touch.statement.as_slice(), &opened.signature)
        .unwrap();
    // And again, on the same card: the channel was one for one touch.
    assert_eq!(profile_of(&mut terminal, &mut patient), Ok(CardProfile::Eac));
}

/// Everything that the terminal's computer carries, in both directions, between both parties.
#[test]
fn nobody_between_sees_a_byte_of_the_holder() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let mut carried: Vec<u8> = Vec::new();
    let touch = terminal
        .touch_watched(&mut patient(), input(), |exchange, response, _| {
            carried.extend_from_slice(&exchange.command);
            carried.extend_from_slice(response);
        })
        .unwrap();
    let opened = terminal.platform.open(&touch);
    let seen: HashSet<&[u8]> = carried.windows(6).collect();
    // What every certificate of this kind has says nothing of the holder: algorithm identifiers.
    let of_everybody: HashSet<&[u8]> = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01].windows(6).collect();
    for (what, holder) in [("certificate", &opened.auth_certificate), ("signature", &opened.signature)] {
        for window in holder.windows(6).filter(|window| !of_everybody.contains(window)) {
            assert!(!seen.contains(window), "{what}: {window:02X?}");
        }
    }
    // The same look at a touch in the clear finds the certificate: the look is good.
    let mut terminal = armed_for(only(CardProfile::Jicsap));
    let mut carried: Vec<u8> = Vec::new();
    terminal
        .touch_watched(&mut patient(), input(), |_, response, _| carried.extend_from_slice(response))
        .unwrap();
    let seen: HashSet<&[u8]> = carried.windows(6).collect();
    assert!(opened.auth_certificate[..250].windows(6).all(|window| seen.contains(window)));
}

#[test]
fn what_the_card_has_and_the_platform_allows_decides() {
    let both = AllowedProfiles::ALL;
    let without_batch = || powered(MyNumberCard::new(adult_holder().image().unwrap()));
    for (profiles, mut card, expected) in [
        (both, patient(), Ok(CardProfile::Eac)),
        (both, without_batch(), Ok(CardProfile::Jicsap)),
        (only(CardProfile::Eac), patient(), Ok(CardProfile::Eac)),
        (only(CardProfile::Eac), without_batch(), Err(DialogueError::ProfileNotAllowed)),
        (only(CardProfile::Jicsap), patient(), Ok(CardProfile::Jicsap)),
        (only(CardProfile::Jicsap), without_batch(), Ok(CardProfile::Jicsap)),
    ] {
        assert_eq!(profile_of(&mut armed_for(profiles), &mut card), expected, "{profiles:?}");
    }
    let mut terminal = Terminal::armed(&AUTHORITY);
    let mut other = Terminal::locked(&AUTHORITY).secure_element;
    assert_eq!(terminal.touch(&mut other), Err(DialogueError::WrongCard));
}

/// Who carries the bytes can say that a card has no SecurityInfos. The seal then says what came of it,
/// and a platform that takes no less than `eac` gets nothing.
#[test]
fn a_downgrade_is_visible_or_refused() {
    let hide = |terminal: &mut Terminal| {
        let touch = terminal.touch_watched(&mut patient(), input(), |exchange, response, _| {
            if exchange.step == "select SecurityInfos" {
                *response = hex("6A82");
            }
        })?;
        Ok(terminal.platform.open(&touch).profile)
    };
    assert_eq!(hide(&mut Terminal::armed(&AUTHORITY)), Ok(CardProfile::Jicsap));
    assert_eq!(hide(&mut armed_for(only(CardProfile::Eac))), Err(DialogueError::ProfileNotAllowed));
}

/// The responses of a good touch, bent one by one.
#[test]
fn bent_responses_end_the_touch_without_a_signature_too_many() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let mut card = patient();
    for row in 0..CARD_APDUS {
        for bend in 0..7 {
            card.power_off();
            card.power_on();
            let (mut place, mut hit) = (0, None);
            let signatures = card.signatures().card_holder_auth;
            let error = terminal
                .touch_watched(&mut card, input(), |exchange, response, _| {
                    if exchange.to == Party::SecureElement {
                        return;
                    }
                    if place == row {
                        hit = Some(exchange.step);
                        match bend {
                            0 => response.clear(),
                            1 => response.truncate(1),
                            2 => response.truncate(response.len() - 1),
                            3 => *response = vec![0xEE; 300],
                            4 => *response = hex("6F00"),
                            5 => response.insert(0, 0xEE),
                            _ => response[0] ^= 0x10,
                        }
                    }
                    place += 1;
                })
                .unwrap_err();
            let step = hit.unwrap();
            match error {
                DialogueError::CardMisbehaved { step: named, .. }
                | DialogueError::CardRefused { step: named, .. }
                | DialogueError::ChannelBroken { step: named, .. } => assert_eq!(named, step, "bend {bend}"),
                DialogueError::NotGenuine => assert_eq!(step, "read batch certificate"),
                DialogueError::NotProved => assert_eq!(step, "agree keys"),
                other => panic!("row {row}, bend {bend}, at \"{step}\": {other:?}"),
            }
            let more = u64::from(step == "sign statement");
            assert_eq!(card.signatures().card_holder_auth, signatures + more, "row {row}, bend {bend}");
        }
    }
}

#[test]
fn commands_that_are_changed_repeated_or_dropped_on_the_way_break_the_channel() {
    for step in ["choose issuer of the next certificate", "external authenticate", "sign statement"] {
        let mut terminal = Terminal::armed(&AUTHORITY);
        let mut card = patient();
        let mut last = Vec::new();
        let error = terminal
            .touch_watched(&mut card, input(), |exchange, response, card| {
                if exchange.to != Party::Card {
                    return;
                }
                // The command before this one comes to the card a second time, and the card's answer to
                // that is what the Secure Element gets.
                if exchange.step == step && !last.is_empty() {
                    *response = card.transmit(&last, &mut Seeded::new(3));
                    last.clear();
                } else {
                    last.clone_from(&exchange.command);
                }
            })
            .unwrap_err();
        assert!(matches!(error, DialogueError::ChannelBroken { .. }), "{step}: {error:?}");
        assert_eq!(
            status(
                &mut card,
                "802A029720 0101010101010101010101010101010101010101010101010101010101010101 00"
            ),
            0x6982
        );
    }
}

#[test]
fn power_lost_at_every_step() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    for row in 0..CARD_APDUS - 1 {
        let mut card = patient();
        let mut place = 0;
        let result = terminal.touch_watched(&mut card, input(), |exchange, _, card| {
            if exchange.to == Party::Card {
                if place == row {
                    card.power_off();
                    card.power_on();
                }
                place += 1;
            }
        });
        assert!(result.is_err(), "row {row}");
        assert_eq!(card.signatures(), SignatureCounts::default());
    }
}

#[test]
fn a_card_of_somebody_elses_making_is_not_shown_a_certificate() {
    // Another card issuer of the same name; and a card that has the files of a batch but not its key.
    let mut terminal = armed_for(AllowedProfiles::ALL);
    let mut steps = Vec::new();
    let foreign = terminal
        .touch_watched(&mut EacTown::new().card(), input(), |exchange, _, _| steps.push(exchange.step))
        .unwrap_err();
    assert_eq!(foreign, DialogueError::NotGenuine);
    assert!(!steps.contains(&"show certificate"), "{steps:?}");
    let mut original = patient();
    let mut copied = std::collections::HashMap::new();
    terminal
        .touch_watched(&mut original, input(), |exchange, response, _| {
            copied.entry(exchange.step).or_insert_with(|| response.clone());
        })
        .unwrap();
    let copy = terminal
        .touch_watched(&mut EacTown::new().card(), input(), |exchange, response, _| {
            if ["read SecurityInfos", "read batch certificate"].contains(&exchange.step) {
                response.clone_from(&copied[exchange.step]);
            }
        })
        .unwrap_err();
    assert_eq!(copy, DialogueError::NotProved);
}

#[test]
fn a_card_has_its_touches_and_the_channel_does_not_give_more() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(|policy| policy.touches_per_card_and_day = 2).unwrap();
    let mut card = patient();
    // One by each dialogue: it is one card.
    assert_eq!(profile_of(&mut terminal, &mut card), Ok(CardProfile::Eac));
    assert_eq!(profile_of(&mut terminal, &mut { adult() }), Ok(CardProfile::Jicsap));
    assert_eq!(terminal.touch(&mut card), Err(DialogueError::TouchesUsedUp));
    assert_eq!(card.signatures().card_holder_auth, 1);
}

#[test]
fn what_breaks_before_the_signature_command_costs_nothing() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    for (step, costs) in [("agree keys", 0), ("external authenticate", 0), ("sign statement", 1)] {
        let before = terminal.secure_element.persistent_state().counter();
        let broken = terminal.touch_watched(&mut patient(), input(), |exchange, response, _| {
            if exchange.step == step {
                response.clear();
            }
        });
        assert!(broken.is_err());
        assert_eq!(terminal.secure_element.persistent_state().counter(), before + costs, "{step}");
    }
}

/// PUT DATA with a newer chain.
fn put(secure_element: &mut SecureElement, chain: &TerminalChain) -> u16 {
    let data = chain.encode();
    let command = CommandBuilder::new(0x80, 0xDA, 0x01, 0x13).data(&data).encode().unwrap();
    send(secure_element, &command).1
}

/// Noon of this day, as terms of a touch.
fn on(date: CvcDate) -> TouchTerms {
    let days = u64::from(date.days() - day(27, 1, 15).days());
    TouchTerms { time: UnixSeconds(NOW.0 + days * 86_400), ..input() }
}

#[test]
fn certificates_that_ended_stop_the_touch_and_newer_ones_let_it_go_on() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let last_day = day(27, 2, 10);
    let february = |policy: &mut protocol::unlock::UnlockPolicy| {
        policy.issued_at = on(day(27, 2, 10)).time.minus(3600);
        policy.not_after = policy.issued_at.plus(86_400);
    };
    terminal.unlock(february).unwrap();
    terminal.touch_watched(&mut patient(), on(last_day), |_, _, _| {}).unwrap();
    let mut commands = 0;
    let next_day = TouchTerms { time: on(last_day).time.plus(82_000), ..input() };
    let over = terminal.touch_watched(&mut patient(), next_day, |exchange, _, _| {
        commands += usize::from(exchange.to == Party::Card);
    });
    assert_eq!((over, commands), (Err(DialogueError::CertificatesUnusable), 0));

    let key = &EAC.terminal_key;
    let newer = EAC.chain_for(key, (day(27, 2, 9), day(27, 2, 20)), Rights::ALL);
    assert_eq!(put(&mut terminal.secure_element, &newer), 0x9000);
    assert_eq!(put(&mut terminal.secure_element, &newer), 0x6985, "not newer");
    let touch = terminal.touch_watched(&mut patient(), next_day, |_, _, _| {}).unwrap();
    assert_eq!(terminal.platform.open(&touch).profile, CardProfile::Eac);
    // What was renewed survives a power cut, and is not asked of the platform.
    let kept = PersistentState::from_bytes(&terminal.secure_element.persistent_state().to_bytes()).unwrap();
    let image = secure_element_image(&AUTHORITY, &terminal.platform);
    let mut again = powered(SecureElement::new(image, kept));
    assert_eq!(send(&mut again, &crate::secure_element::select()).1, 0x9000);
    assert_eq!(put(&mut again, &newer), 0x6985);
}

#[test]
fn only_a_newer_chain_for_the_same_key_under_the_same_root_is_taken() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let se = &mut terminal.secure_element;
    assert_eq!(send(se, &crate::secure_element::select()).1, 0x9000);
    let before = se.persistent_state().clone();
    let days = (day(27, 1, 15), day(27, 2, 20));
    let stranger = P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap();
    let elsewhere = EacTown::new();
    for (what, chain, word) in [
        ("another key", EAC.chain_for(&stranger, days, Rights::ALL), 0x6300),
        ("another root", elsewhere.chain_for(&EAC.terminal_key, days, Rights::ALL), 0x6300),
        ("ended", EAC.chain_for(&EAC.terminal_key, (day(27, 1, 12), day(27, 1, 13)), Rights::ALL), 0x6300),
        ("the one it has", EAC.terminal.chain.clone(), 0x6985),
    ] {
        assert_eq!(put(se, &chain), word, "{what}");
    }
    assert_eq!(status(se, "80DA0113 02 7F21"), 0x6A80);
    assert_eq!(*se.persistent_state(), before);
    // Locked, without the platform: the chain speaks for itself.
    assert_eq!(put(se, &EAC.chain_for(&EAC.terminal_key, days, Rights::ALL)), 0x9000);
    terminal.unlock(|_| {}).unwrap();
    assert_eq!(profile_of(&mut terminal, &mut patient()), Ok(CardProfile::Eac));
}

#[test]
fn a_chain_without_the_right_begins_no_signature() {
    // The card asks for the right of a PIN-less signature; the Secure Element for that of offline visits.
    let platform = Platform::new();
    let mut parts = secure_element_parts(&AUTHORITY, &platform);
    let days = (day(27, 1, 15), day(27, 2, 10));
    parts.eac.chain = EAC.chain_for(&EAC.terminal_key, days, Rights::MEDICAL_ID);
    let secure_element =
        powered(SecureElement::new(parts.image().unwrap(), PersistentState::factory(NOW.minus(1000))));
    let mut terminal = Terminal { platform, secure_element, entropy: Seeded::new(2) };
    terminal.unlock(|_| {}).unwrap();
    let mut card = patient();
    let error = terminal.touch(&mut card).unwrap_err();
    assert!(matches!(error, DialogueError::CardRefused { .. }), "{error:?}");
    assert_eq!(card.signatures(), SignatureCounts::default());
}

#[test]
fn a_use_that_ran_out_meanwhile_is_the_secure_elements_refusal() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(|policy| policy.uses_max = 1).unwrap();
    terminal.touch(&mut patient()).unwrap();
    assert_eq!(terminal.touch(&mut patient()), Err(refused("begin touch", 0x6A84)));
}
