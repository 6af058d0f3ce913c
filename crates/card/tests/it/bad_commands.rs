//! The sweep over the house's cards, and over a card that leaks, to see that the sweep sees it.

use crate::eac_town::EacTown;
use crate::hpki::doctor;
use crate::sweep::{State, states_of, sweep, sweep_instructions, sweep_random};
use crate::town::{AUTHORITY, adult_holder, external_authenticate, hex, load, proof, send, status};
use card::cos::Card;
use card::cvc::{CvcAuthority, CvcChain, KeyReference};
use card::hpki_card::Discovery;
use card::image::{Aid, CardImage, Contents, Layout, Term};
use card::my_number_card::Personalisation;
use card::my_number_card::jpki::JPKI_AID;
use card::rsa_key::CardRsaKey;
use std::sync::{Arc, LazyLock};

static EAC_TOWN: LazyLock<EacTown> = LazyLock::new(EacTown::new);

fn authenticate(card: &mut Card, chain: &CvcChain, leaf: &CvcAuthority) {
    assert_eq!(status(card, "00A4020C02 0016"), 0x9000);
    load(card, chain).unwrap();
    let challenge: [u8; 16] = send(card, &hex("0084000010")).0.try_into().unwrap();
    let signed = proof(leaf, &challenge, &chain.leaf.body().subject.reference());
    assert_eq!(external_authenticate(card, &signed), 0x9000);
}

/// An institution authenticated with the JPKI application, with and without the PIN.
fn institution_states() -> Vec<State> {
    let leaf =
        CvcAuthority::new(KeyReference::numbered(7_200_003, 42).unwrap(), CardRsaKey::generate().unwrap());
    let chain = AUTHORITY.chain_for(leaf.private_key());
    let jpki = Aid::new(&JPKI_AID);
    let both = Arc::new((chain, leaf));
    let also = Arc::clone(&both);
    let pin = Term::Secret(0x18);
    let dialogue = State::new("institution authenticated under secure messaging", jpki, &[], |card| {
        EAC_TOWN.touch(card).unwrap();
    });
    vec![
        dialogue,
        State::new("institution authenticated", jpki, &[Term::InstitutionOnce], move |card| {
            authenticate(card, &both.0, &both.1);
        }),
        State::new("institution and PIN", jpki, &[Term::InstitutionOnce, pin], move |card| {
            authenticate(card, &also.0, &also.1);
            assert_eq!(status(card, "0020009804 31323334"), 0x9000);
        }),
    ]
}

#[test]
fn nothing_comes_out_of_an_adults_card_without_its_condition() {
    // Of a batch: the card that speaks both profiles. Whatever comes next in the plain ends the one.
    let holder = adult_holder().of_batch(EAC_TOWN.batch());
    sweep(holder.image().unwrap(), institution_states());
}

#[test]
fn nothing_comes_out_of_a_childs_card_without_its_condition() {
    let holder = adult_holder();
    let child = Personalisation::child(holder.card_holder_auth, holder.auth_pin, holder.terminal_root);
    let image = Arc::new(child.image().unwrap());
    let states = states_of(&image);
    sweep_instructions(&image, &states);
    sweep_random(&image, &states, 50_000, 0xC41D);
}

#[test]
fn nothing_comes_out_of_an_hpki_card_without_its_condition() {
    let master_file = State::new("master file", None, &[], |card| {
        assert_eq!(status(card, "00A40000023F00"), 0x9000);
    });
    sweep(doctor(Discovery::EfDir).image().unwrap(), vec![master_file]);
}

const LEAKY: &str = r#"
format = 1
card = "leaks"
atr = "3B 00"
[[application]]
name = "one"
aid = "F0 00 00 00 01"
commands = ["files", "secrets"]
[[application.object]]
fid = 0x0001
kind = "binary"
slot = "one"
read = "secret 0018"
[[application.object]]
fid = 0x0002
kind = "binary"
slot = "two"
read = "free"
[[application.object]]
fid = 0x0018
kind = "secret"
value = "31 32 33 34"
form = "digits 4"
tries = 3
change = "never"
"#;

fn leaky() -> Arc<CardImage> {
    let contents = Contents::new().with("one", *b"only with the PIN").with("two", *b"everybody");
    Arc::new(CardImage::new(&Layout::parse(LEAKY).unwrap(), &contents).unwrap())
}

/// A state that does not say that the PIN was presented: what comes out then is a leak.
fn lying() -> State {
    let aid = Aid::new(&hex("F000000001"));
    State::new("lying", aid, &[], |card| assert_eq!(status(card, "0020009804 31323334"), 0x9000))
}

#[test]
fn a_card_that_keeps_its_rules_passes() {
    sweep_random(&leaky(), &states_of(&leaky()), 20_000, 1);
}

#[test]
#[should_panic(expected = "came out after")]
fn the_random_sweep_sees_a_leak() {
    sweep_random(&leaky(), &[lying()], 20_000, 1);
}

#[test]
#[should_panic(expected = "came out after")]
fn the_sweep_of_instructions_sees_a_leak() {
    sweep_instructions(&leaky(), &[lying()]);
}
