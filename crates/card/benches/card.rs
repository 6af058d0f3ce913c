//! What a touch costs: parsing, the card's commands with and without RSA, certificate check, the whole
//! dialogue in memory.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "benches run on known data"
)]
#![expect(dead_code, reason = "the tests' town has more in it than a bench needs")]

#[path = "../tests/it/town.rs"]
mod town;

#[path = "../tests/it/eac_town.rs"]
mod eac_town;

use card::EmulatedCard;
use card::apdu::{CommandApdu, StatusWord};
use card::cvc::{Cvc, CvcAuthority, KeyReference};
use card::eac;
use card::eac::secure_messaging::{CardChannel, SessionKeys, TerminalChannel};
use card::image::Layout;
use card::rsa_key::CardRsaKey;
use divan::{Bencher, black_box};
use eac_town::EacTown;
use protocol::entropy::Seeded;
use town::{AUTHORITY, Terminal, adult, external_authenticate, hex, load, proof, send, status};

fn main() {
    // Keys are made before the clock runs.
    std::sync::LazyLock::force(&AUTHORITY);
    divan::main();
}

#[divan::bench]
fn parse_command(bencher: Bencher) {
    let command = hex("802A029720 0101010101010101010101010101010101010101010101010101010101010101 00");
    bencher.bench_local(|| CommandApdu::parse(black_box(&command)).map(|c| c.data.len()));
}

/// One command to a selected card, with everything that a card does for it.
fn command(bencher: Bencher<'_, '_>, before: &[&str], command: &str, word: u16) {
    let mut patient = adult();
    for before in ["00A4040C0A D392F000260100000001"].iter().chain(before) {
        status(&mut patient, before);
    }
    let command = hex(command);
    assert_eq!(send(&mut patient, &command).1, word);
    let mut entropy = Seeded::new(1);
    bencher.bench_local(|| patient.transmit(black_box(&command), &mut entropy));
}

#[divan::bench]
fn select(bencher: Bencher<'_, '_>) {
    command(bencher, &[], "00A404000A D392F000260100000001 00", 0x9000);
}

#[divan::bench]
fn read_binary(bencher: Bencher<'_, '_>) {
    command(bencher, &["00A4020C02 000A"], "00B0000000", 0x9000);
}

#[divan::bench]
fn verify(bencher: Bencher<'_, '_>) {
    command(bencher, &[], "0020009804 31323334", 0x9000);
}

#[divan::bench]
fn verify_that_is_wrong_and_blocked(bencher: Bencher<'_, '_>) {
    let wrong = "0020009804 39393939";
    command(bencher, &[wrong, wrong, wrong], wrong, 0x6984);
}

#[divan::bench]
fn unknown_instruction(bencher: Bencher<'_, '_>) {
    command(bencher, &[], "00CADF3005", 0x6D00);
}

#[divan::bench]
fn get_challenge(bencher: Bencher<'_, '_>) {
    command(bencher, &[], "0084000010", 0x9000);
}

/// A PIN in two pieces.
#[divan::bench]
fn chained(bencher: Bencher<'_, '_>) {
    let mut patient = adult();
    status(&mut patient, "00A4040C0A D392F000260100000001");
    let (first, last) = (hex("1020009802 3132"), hex("0020009802 3334"));
    let mut entropy = Seeded::new(1);
    bencher.bench_local(|| {
        patient.transmit(black_box(&first), &mut entropy);
        patient.transmit(black_box(&last), &mut entropy)
    });
}

#[divan::bench]
fn parse_layout(bencher: Bencher<'_, '_>) {
    let text = include_str!("../layouts/my_number_card.toml");
    bencher.bench_local(|| Layout::parse(black_box(text)).unwrap());
}

#[divan::bench]
fn verify_terminal_certificate(bencher: Bencher) {
    let key = CardRsaKey::generate().unwrap();
    let bytes = AUTHORITY.chain_for(&key).intermediate.encode();
    let root = AUTHORITY.root.public_key().unwrap();
    bencher.bench_local(|| Cvc::parse(black_box(&bytes)).unwrap().verify(&root).is_ok());
}

#[divan::bench]
fn external_authenticate_on_the_card(bencher: Bencher) {
    let leaf =
        CvcAuthority::new(KeyReference::numbered(7_200_003, 42).unwrap(), CardRsaKey::generate().unwrap());
    let chain = AUTHORITY.chain_for(leaf.private_key());
    let mut patient = adult();
    status(&mut patient, "00A4040C0A D392F000260100000001");
    status(&mut patient, "00A4020C02 0016");
    load(&mut patient, &chain).unwrap();
    // The test stream of randomness begins anew for every command: one proof answers every challenge.
    let challenge: [u8; 16] = send(&mut patient, &hex("0084000010")).0.try_into().unwrap();
    let signed = proof(&leaf, &challenge, &chain.leaf.body().subject.reference());
    bencher.bench_local(|| {
        send(&mut patient, &hex("0084000010"));
        assert_eq!(external_authenticate(&mut patient, &signed), 0x9000);
    });
}

#[divan::bench]
fn card_signature_fast_path(bencher: Bencher) {
    let key = CardRsaKey::generate().unwrap();
    bencher.bench_local(|| key.sign_sha256_digest(black_box(&[7; 32])).unwrap());
}

#[divan::bench]
fn card_signature_over_data_as_given(bencher: Bencher) {
    let key = CardRsaKey::generate().unwrap();
    bencher.bench_local(|| key.sign_pkcs1_raw(black_box(&[7; 35])).unwrap());
}

#[divan::bench]
fn whole_touch(bencher: Bencher) {
    let mut patient = adult();
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(|policy| policy.uses_max = u32::MAX).unwrap();
    bencher.bench_local(|| terminal.touch(&mut patient).unwrap());
}

fn channels() -> (TerminalChannel, CardChannel) {
    let keys = SessionKeys::new([0x11; 16].into(), [0x22; 16].into());
    (TerminalChannel::new(&keys).unwrap(), CardChannel::new(&keys).unwrap())
}

#[divan::bench]
fn eac_parse_certificate(bencher: Bencher) {
    let bytes = EacTown::new().terminal.chain.terminal().encode();
    bencher.bench_local(|| eac::cvc::Cvc::parse(black_box(&bytes)).unwrap());
}

#[divan::bench]
fn eac_verify_certificate(bencher: Bencher) {
    let town = EacTown::new();
    let chain = &town.terminal.chain;
    let issuer = chain.certificate(chain.accredited_body_place()).unwrap().body().key;
    bencher.bench_local(|| chain.terminal().verify_signature(black_box(&issuer)).unwrap());
}

/// One command of 32 octets and one response of 256, as a signature is: four messages.
#[divan::bench]
fn eac_wrap_and_unwrap_both_ways(bencher: Bencher) {
    let command = hex("802A029720 0101010101010101010101010101010101010101010101010101010101010101 00");
    let command = CommandApdu::parse(&command).unwrap();
    let mut sides = Some(channels());
    bencher.bench_local(|| {
        let (terminal, card) = sides.take().unwrap();
        let (wrapped, awaited) = terminal.wrap(black_box(&command)).unwrap();
        let (_, owed) = card.unwrap(&CommandApdu::parse(&wrapped).unwrap()).unwrap();
        let (response, card) = owed.wrap(&[7; 256], StatusWord::OK).unwrap();
        let (plain, terminal) = awaited.unwrap(&response).unwrap();
        sides = Some((terminal, card));
        plain.data.len()
    });
}

#[divan::bench]
fn eac_whole_authentication(bencher: Bencher) {
    let town = EacTown::new();
    let mut patient = town.card();
    bencher.bench_local(|| town.touch(&mut patient).unwrap());
}
