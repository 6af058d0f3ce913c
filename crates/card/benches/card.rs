//! What a touch costs: parsing, the card's commands with and without RSA, certificate check, the whole
//! dialogue in memory, and how that compares to its cryptography alone.
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

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::EmulatedCard;
use card::apdu::{CommandApdu, StatusWord};
use card::cvc::{Cvc, CvcAuthority, CvcChain, CvcIssuer, CvcPublicKey, KeyReference};
use card::eac;
use card::eac::secure_messaging::{CardChannel, SessionKeys, TerminalChannel};
use card::image::Layout;
use card::rsa_key::CardRsaKey;
use divan::{Bencher, black_box};
use eac_town::EacTown;
use protocol::answer::CardProfile;
use protocol::entropy::Seeded;
use protocol::sealed_evidence::{Evidence, EvidencePrivateKey, EvidenceSealing};
use protocol::statement::TouchStatement;
use protocol::unlock::UnlockPolicy;
use town::{AUTHORITY, Terminal, adult, external_authenticate, hex, load, proof, send, status};

fn main() {
    // Keys are made before the clock runs.
    std::sync::LazyLock::force(&AUTHORITY);
    divan::main();
    // `cargo test` runs benches once, to see that they do.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 400 } else { 1 };
    let (touch, cryptography) = touch_and_cryptography(rounds);
    println!(
        "jicsap: whole touch {touch:.0} us, its cryptography alone {cryptography:.0} us, ratio {:.3}",
        touch / cryptography
    );
}

/// Median microseconds of a whole touch in process, and of its cryptography alone, taken in turns so that
/// both see the same machine.
#[expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]
fn touch_and_cryptography(rounds: usize) -> (f64, f64) {
    let (mut terminal, mut patient) = (Terminal::locked(&AUTHORITY), adult());
    terminal.unlock(without_limits).unwrap();
    let mut alone = JicsapCryptography::new();
    let median = |mut times: Vec<std::time::Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let (mut touches, mut operations) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = std::time::Instant::now();
        black_box(terminal.touch(&mut patient).unwrap());
        touches.push(start.elapsed());
        let start = std::time::Instant::now();
        alone.run();
        operations.push(start.elapsed());
    }
    (median(touches), median(operations))
}

fn without_limits(policy: &mut UnlockPolicy) {
    policy.uses_max = u32::MAX;
    policy.touches_per_card_and_day = u16::MAX;
}

/// Every cryptographic operation of a `jicsap` touch, on the bytes of one, and nothing else.
struct JicsapCryptography {
    institution: CvcAuthority,
    chain: CvcChain,
    root: CvcPublicKey,
    holder: CardRsaKey,
    certificate: Vec<u8>,
    sealing: EvidenceSealing,
    secret: aws_lc_rs::hmac::Key,
    statement: TouchStatement,
}

impl JicsapCryptography {
    fn new() -> Self {
        let institution = CvcAuthority::new(
            KeyReference::numbered(7_200_003, 42).unwrap(),
            CardRsaKey::generate().unwrap(),
        );
        let chain = AUTHORITY.chain_for(institution.private_key());
        let holder = CardRsaKey::generate().unwrap();
        let certificate = town::certificate(&holder, &[0x55; 250]);
        let evidence = EvidencePrivateKey::draw(&mut Seeded::new(1)).unwrap();
        let mut terminal = Terminal::armed(&AUTHORITY);
        let touch = terminal.touch(&mut adult()).unwrap();
        Self {
            root: AUTHORITY.root.public_key().unwrap(),
            sealing: evidence.sealing(evidence.public()).unwrap(),
            secret: aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]),
            statement: TouchStatement::parse(touch.statement.as_slice()).unwrap(),
            institution,
            chain,
            holder,
            certificate,
        }
    }

    fn run(&mut self) {
        // Secure Element: which card, and whether it has a touch left; asked twice, counted once.
        let hash = digest(&SHA256, black_box(&self.certificate));
        for _ in 0..3 {
            black_box(aws_lc_rs::hmac::sign(&self.secret, hash.as_ref()));
        }
        // Card: two certificates.
        self.chain.verify(&self.root).unwrap();
        // Secure Element: the proof; card: its check.
        let leaf = &self.chain.leaf.body().subject;
        let signed = card::external_authenticate_bytes(&[7; 16], &leaf.reference());
        let proof = self.institution.sign_body(&signed).unwrap();
        leaf.verify(&signed, &proof).unwrap();
        // Card: the one signature; Secure Element: its check, and the seal.
        let encoded = self.statement.encode();
        let hash: [u8; 32] = digest(&SHA256, &encoded).as_ref().try_into().unwrap();
        let signature = self.holder.sign_sha256_digest(&hash).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.holder.spki_der())
            .verify(&encoded, &signature)
            .unwrap();
        let evidence = Evidence {
            profile: CardProfile::Jicsap,
            signature: &signature,
            auth_certificate: &self.certificate,
        };
        black_box(self.sealing.seal(&self.statement, &evidence).unwrap());
    }
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
    terminal.unlock(without_limits).unwrap();
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
