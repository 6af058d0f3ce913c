//! Power-on and touch in the clear (profile `jicsap`), whole and broken.

use crate::town::{
    AUTHORITY, Authority, NOW, Terminal, adult, external_authenticate, hex, input, load, powered, proof,
    send, status,
};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::EmulatedCard;
use card::apdu::StatusWord;
use card::cvc::{CvcAuthority, CvcChain, CvcPublicKey, KeyReference, issue};
use card::dialogue::institution_auth::is_signature;
use card::dialogue::{DialogueError, Misbehaviour, Party};
use card::my_number_card::{PersistentState, SignatureCounts};
use card::rsa_key::CardRsaKey;
use protocol::answer::CardProfile;
use protocol::ids::TerminalKeyHash;
use protocol::statement::{TouchMode, TouchStatement};

const SELECT: &str = "00A4040C0A D392F000260100000001";
const SELECT_ROOT: &str = "00A4020C02 0016";
const SIGN_AUTH: &str = "802A029720 0101010101010101010101010101010101010101010101010101010101010101 00";

/// Commands to the card when a certificate takes four READ BINARY; the Secure Element begins, and goes on
/// after each of them.
const CARD_APDUS: usize = 13;
const SECURE_ELEMENT_APDUS: usize = 1 + CARD_APDUS;

#[test]
fn one_touch_is_one_signature_in_thirteen_commands() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    let mut patient = adult();
    let before = patient.persistent_state().clone();
    let mut to = [0usize; 2];
    let mut steps = Vec::new();
    let touch = terminal
        .touch_watched(&mut patient, input(), |exchange, _, _| {
            to[usize::from(exchange.to == Party::SecureElement)] += 1;
            steps.push(exchange.step);
            assert_eq!(is_signature(exchange), exchange.step == "sign statement");
        })
        .unwrap();
    assert_eq!(to, [CARD_APDUS, SECURE_ELEMENT_APDUS]);
    assert_eq!(steps.iter().filter(|step| **step == "read authentication certificate").count(), 4);
    assert_eq!(steps.first(), Some(&"begin touch"));
    assert_eq!(steps[steps.len() - 2..], ["sign statement", "check signature and seal evidence"]);
    assert_eq!(patient.signatures(), SignatureCounts { card_holder_auth: 1, document_signature: 0 });
    assert_eq!(*patient.persistent_state(), before, "no counter moved, no PIN was needed");

    let opened = terminal.platform.open(&touch);
    assert_eq!(opened.profile, CardProfile::Jicsap);
    assert_eq!((opened.statement.counter, opened.statement.time), (1, NOW.plus(60)));
    assert_eq!(opened.statement.consent_text_hash, input().consent_text_hash);
    assert_eq!(opened.statement.mode, TouchMode::Online);
    assert_eq!(opened.statement.terminal_key_hash, TerminalKeyHash([3; 32]), "the policy's terminal");
    let key = crate::town::adult_holder().card_holder_auth;
    assert_eq!(opened.auth_certificate, key.end_entity_der);
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.private_key.spki_der())
        .verify(touch.statement.as_slice(), &opened.signature)
        .unwrap();
    // What the terminal's computer ends up with: nothing of the card.
    for holder in [&opened.auth_certificate, &opened.signature] {
        for window in holder.windows(16) {
            assert!(!touch.sealed.as_ref().windows(16).any(|seen| seen == window));
        }
    }
}

#[test]
fn counters_rise_with_every_touch_and_each_costs_one_write() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    let mut patient = adult();
    for expected in 1..=5 {
        let changes = terminal.secure_element.state_changes();
        let touch = terminal.touch(&mut patient).unwrap();
        assert_eq!(TouchStatement::parse(touch.statement.as_slice()).unwrap().counter, expected);
        assert_eq!(terminal.secure_element.state_changes(), changes + 1);
    }
    assert_eq!(terminal.secure_element.persistent_state().counter(), 5);
}

#[test]
fn after_the_one_signature_everything_is_shut() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    let mut patient = adult();
    terminal.touch(&mut patient).unwrap();
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x6982, "a second signature");
    assert_eq!(patient.signatures().card_holder_auth, 1);
}

/// Card and key material up to the point where the card is authenticated.
fn authenticated() -> (impl EmulatedCard, CvcChain, CvcAuthority) {
    let mut patient = adult();
    let leaf =
        CvcAuthority::new(KeyReference::numbered(7_200_003, 42).unwrap(), CardRsaKey::generate().unwrap());
    let chain = AUTHORITY.chain_for(leaf.private_key());
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, SELECT_ROOT), 0x9000);
    load(&mut patient, &chain).unwrap();
    let challenge = challenge(&mut patient);
    let signed = proof(&leaf, &challenge, &chain.leaf.body().subject.reference());
    assert_eq!(external_authenticate(&mut patient, &signed), 0x9000);
    (patient, chain, leaf)
}

fn challenge(patient: &mut dyn EmulatedCard) -> [u8; 16] {
    let (challenge, status) = send(patient, &hex("0084000010"));
    assert_eq!(status, 0x9000);
    challenge.try_into().unwrap()
}

#[test]
fn institution_status_opens_key_0017_and_nothing_else() {
    let (mut patient, _, _) = authenticated();
    assert_eq!(status(&mut patient, "00B0810004"), 0x6982, "signature certificate");
    assert_eq!(status(&mut patient, "00B0890004"), 0x6982, "EF 0009");
    assert_eq!(status(&mut patient, "00A4020C020018"), 0x9000);
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x9000, "the one signature");
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x6982);

    let (mut patient, _, _) = authenticated();
    assert_eq!(status(&mut patient, &SIGN_AUTH.replace("802A0297", "802A029A")), 0x6982, "signature key");
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x6982, "a failure takes the permission away");

    let (mut patient, _, _) = authenticated();
    assert_eq!(status(&mut patient, "0024018004 39393939"), 0x6981, "no PIN change");
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x6982);
}

#[test]
fn institution_status_survives_selecting_the_same_application_and_dies_with_power() {
    let (mut patient, _, _) = authenticated();
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x9000);

    let (mut patient, _, _) = authenticated();
    patient.power_off();
    assert!(patient.transmit(&hex(SIGN_AUTH), &mut protocol::entropy::Seeded::new(1)).is_empty());
    patient.power_on();
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x6985, "no application");
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x6982);
}

#[test]
fn a_challenge_is_good_once() {
    let (mut patient, chain, leaf) = authenticated();
    let reference = chain.leaf.body().subject.reference();
    let first = challenge(&mut patient);
    let signed = proof(&leaf, &first, &reference);
    assert_eq!(external_authenticate(&mut patient, &signed), 0x9000);
    assert_eq!(external_authenticate(&mut patient, &signed), 0x6985, "replayed: no challenge outstanding");
    // The failure dropped the terminal key as well.
    let second = challenge(&mut patient);
    assert_eq!(external_authenticate(&mut patient, &proof(&leaf, &second, &reference)), 0x6985);
    // And an old proof does not answer a new challenge.
    assert_eq!(status(&mut patient, SELECT_ROOT), 0x9000);
    load(&mut patient, &chain).unwrap();
    // (The test's entropy repeats itself, so another length of stream makes another challenge.)
    let mut other = protocol::entropy::Seeded::new(99);
    let response = patient.transmit(&hex("0084000010"), &mut other);
    assert_ne!(response[..16], first);
    assert_eq!(external_authenticate(&mut patient, &signed), 0x6300);
    assert_eq!(status(&mut patient, SIGN_AUTH), 0x6982);
}

#[test]
fn a_challenge_of_another_length_authenticates_nobody() {
    let (mut patient, chain, leaf) = authenticated();
    assert_eq!(send(&mut patient, &hex("0084000008")).0.len(), 8);
    let signed = proof(&leaf, &[0; 16], &chain.leaf.body().subject.reference());
    assert_eq!(external_authenticate(&mut patient, &signed), 0x6985);
}

#[test]
fn wrong_terminal_certificates() {
    let stranger = Authority::new();
    // Same names as the real authority, other keys.
    let mut terminal = Terminal::in_the_clear(&stranger);
    let mut patient = adult();
    let refused = |step, word| DialogueError::CardRefused { step, status_word: StatusWord(word) };
    let error = terminal.touch(&mut patient).unwrap_err();
    assert_eq!(error, refused("load accredited body's certificate signature", 0x6988));
    assert_eq!(patient.signatures(), SignatureCounts::default());

    // Unknown issuer; malformed; wrong parameters; signature without body.
    let key = CardRsaKey::generate().unwrap();
    let unknown = CvcAuthority::new(KeyReference::numbered(1, 1).unwrap(), CardRsaKey::generate().unwrap());
    let link =
        issue(&unknown, CvcPublicKey::of(KeyReference::numbered(2, 2).unwrap(), &key).unwrap()).unwrap();
    let chain = CvcChain { intermediate: link.clone(), leaf: link };
    assert_eq!(status(&mut patient, SELECT_ROOT), 0x9000);
    assert_eq!(load(&mut patient, &chain), Err(0x6A88));
    assert_eq!(status(&mut patient, "80A206C1 02 7F21"), 0x6A80);
    assert_eq!(status(&mut patient, "80A200C1 02 5F37"), 0x6985);
    assert_eq!(status(&mut patient, "80A207C1 02 7F21"), 0x6A86);
    assert_eq!(status(&mut patient, "00A4020C02 0017"), 0x9000);
    assert_eq!(load(&mut patient, &chain), Err(0x6981), "another current file");
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(load(&mut patient, &chain), Err(0x6986), "no current file");
}

#[test]
fn depth_is_role() {
    let mut patient = adult();
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, SELECT_ROOT), 0x9000);
    let leaf =
        CvcAuthority::new(KeyReference::numbered(7_200_003, 42).unwrap(), CardRsaKey::generate().unwrap());
    let chain = AUTHORITY.chain_for(leaf.private_key());
    load(&mut patient, &chain).unwrap();
    // A terminal cannot certify a third link.
    let third = issue(&leaf, AUTHORITY.body.public_key().unwrap()).unwrap();
    assert_eq!(load(&mut patient, &CvcChain { intermediate: third.clone(), leaf: third }), Err(0x6A88));
    // An accredited body alone does not authenticate.
    let body_only = &chain.intermediate;
    for (p1, data) in [(0x06, body_only.load_body()), (0x00, body_only.load_signature())] {
        let command = card::apdu::CommandBuilder::new(0x80, 0xA2, p1, 0xC1).data(&data).encode().unwrap();
        assert_eq!(send(&mut patient, &command).1, 0x9000);
    }
    let given = challenge(&mut patient);
    let signed = proof(&AUTHORITY.body, &given, &body_only.body().subject.reference());
    assert_eq!(external_authenticate(&mut patient, &signed), 0x6985);
}

/// The responses of a good touch, bent one by one: cut at every place, emptied, filled with garbage.
#[test]
fn bent_responses_are_errors_at_the_step_that_they_hit() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    let mut patient = adult();
    let total = CARD_APDUS + SECURE_ELEMENT_APDUS;
    for row in 0..total {
        for bend in 0..6 {
            patient.power_off();
            patient.power_on();
            let mut place = 0;
            let mut hit = None;
            let error = terminal
                .touch_watched(&mut patient, input(), |exchange, response, _| {
                    if place == row {
                        hit = Some((exchange.step, exchange.to));
                        match bend {
                            0 => response.clear(),
                            1 => response.truncate(1),
                            // Without the last octet the status word is another one.
                            2 => response.truncate(response.len() - 1),
                            3 => *response = vec![0xEE; 300],
                            4 => *response = hex("6F00"),
                            _ => response.insert(0, 0xEE),
                        }
                    }
                    place += 1;
                })
                .unwrap_err();
            let (step, to) = hit.unwrap();
            match (&error, to) {
                (DialogueError::CardMisbehaved { step: named, .. }, Party::Card)
                | (DialogueError::CardRefused { step: named, .. }, Party::Card)
                | (DialogueError::SecureElementMisbehaved { step: named, .. }, Party::SecureElement)
                | (DialogueError::SecureElementRefused { step: named, .. }, Party::SecureElement) => {
                    // Extra octets inside the certificate show when its key is looked for.
                    let late = bend == 5 && step == "read authentication certificate";
                    assert!(*named == step || late, "row {row}, bend {bend}: {error}");
                }
                _ => panic!("row {row}, bend {bend}: {error:?}"),
            }
        }
    }
}

#[test]
fn a_signature_by_another_key_is_the_cards_misbehaviour() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    let mut patient = adult();
    let error = terminal
        .touch_watched(&mut patient, input(), |exchange, response, _| {
            if exchange.step == "sign statement" {
                response[17] ^= 1;
            }
        })
        .unwrap_err();
    let expected = DialogueError::CardMisbehaved { step: "sign statement", what: Misbehaviour::Signature };
    assert_eq!(error, expected);
}

#[test]
fn power_lost_at_every_step() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    // From the response to SELECT to the command that signs: what the card had is gone.
    for row in 1..CARD_APDUS + SECURE_ELEMENT_APDUS - 2 {
        let mut patient = adult();
        let before = patient.persistent_state().clone();
        let mut place = 0;
        let mut signed = false;
        let result = terminal.touch_watched(&mut patient, input(), |exchange, response, patient| {
            if place == row {
                patient.power_off();
                patient.power_on();
            }
            place += 1;
            signed |= exchange.step == "sign statement" && response.len() > 2;
        });
        assert!(result.is_err() && !signed, "row {row}");
        assert_eq!(*patient.persistent_state(), before);
        assert_eq!(patient.signatures(), SignatureCounts::default());
    }
}

/// A touch that breaks off costs a counter value and a use only if the institution was proved in it.
#[test]
fn what_breaks_before_the_proof_costs_nothing() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    for (step, costs) in
        [("select JPKI-AP", 0), ("load terminal certificate", 0), ("external authenticate", 1)]
    {
        let before = terminal.secure_element.persistent_state().counter();
        let error = terminal
            .touch_watched(&mut adult(), input(), |exchange, response, _| {
                if exchange.step == step {
                    *response = hex("6F00");
                }
            })
            .unwrap_err();
        assert_eq!(error, DialogueError::CardRefused { step, status_word: StatusWord(0x6F00) });
        assert_eq!(terminal.secure_element.persistent_state().counter(), before + costs, "{step}");
    }
}

#[test]
fn a_card_without_jpki_is_the_wrong_card() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    let mut other = Terminal::locked(&AUTHORITY).secure_element;
    assert_eq!(terminal.touch(&mut other), Err(DialogueError::WrongCard));
}

#[test]
fn ten_thousand_failed_authentications_leave_the_pin_alone() {
    let mut patient = adult();
    let leaf =
        CvcAuthority::new(KeyReference::numbered(7_200_003, 42).unwrap(), CardRsaKey::generate().unwrap());
    let chain = AUTHORITY.chain_for(leaf.private_key());
    let before = patient.persistent_state().clone();
    let wrong = proof(&leaf, &[0; 16], &chain.leaf.body().subject.reference());
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, SELECT_ROOT), 0x9000);
    for round in 0..10_000 {
        // Every failure drops the chain: it is loaded again, so that each proof is really looked at.
        load(&mut patient, &chain).unwrap();
        challenge(&mut patient);
        assert_eq!(external_authenticate(&mut patient, &wrong), 0x6300, "round {round}");
    }
    assert_eq!(*patient.persistent_state(), before);
    assert_eq!(status(&mut patient, "00A4020C020018"), 0x9000);
    assert_eq!(status(&mut patient, "0020008004 31323334"), 0x9000);
}

#[test]
fn the_card_carries_on_from_its_exported_state() {
    let mut patient = adult();
    assert_eq!(status(&mut patient, SELECT), 0x9000);
    assert_eq!(status(&mut patient, "0020009804 39393939"), 0x63C2);
    let state = PersistentState::from_bytes(&patient.persistent_state().to_bytes()).unwrap();
    let mut again =
        powered(card::my_number_card::MyNumberCard::resume(crate::town::adult_image(), state).unwrap());
    assert_eq!(status(&mut again, SELECT), 0x9000);
    assert_eq!(status(&mut again, "00200098"), 0x63C2);
}
