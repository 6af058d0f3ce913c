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

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::EmulatedCard;
use card::apdu::{CommandApdu, StatusWord};
use card::cvc::{Cvc, CvcAuthority, CvcChain, CvcIssuer, CvcPublicKey, KeyReference};
use card::eac;
use card::eac::p256::{P256AgreementKey, P256Point, P256SigningKey};
use card::eac::secure_messaging::{CardChannel, SessionKeys, TerminalChannel};
use card::image::Layout;
use card::rsa_key::CardRsaKey;
use divan::{Bencher, black_box};
use eac_town::{EAC, EacTown};
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
    let (mut in_the_clear, mut by_eac) = (JicsapCryptography::new(), EacCryptography::new());
    compare("jicsap", rounds, &mut adult(), || in_the_clear.run());
    compare("eac", rounds, &mut EAC.card(), || by_eac.run());
}

/// Median of a whole touch in process, and of its cryptography alone, taken in turns so that both see the
/// same machine.
#[expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]
fn compare(profile: &str, rounds: usize, patient: &mut dyn EmulatedCard, mut cryptography: impl FnMut()) {
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(without_limits).unwrap();
    let median = |mut times: Vec<std::time::Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let (mut touches, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = std::time::Instant::now();
        black_box(terminal.touch(patient).unwrap());
        touches.push(start.elapsed());
        let start = std::time::Instant::now();
        cryptography();
        alone.push(start.elapsed());
    }
    let (touch, alone) = (median(touches), median(alone));
    println!(
        "{profile}: whole touch {touch:.0} us, its cryptography alone {alone:.0} us, ratio {:.3}",
        touch / alone
    );
}

fn without_limits(policy: &mut UnlockPolicy) {
    policy.uses_max = u32::MAX;
    policy.touches_per_card_and_day = u16::MAX;
}

/// What both dialogues compute: which card it is, its signature, the seal.
struct CommonCryptography {
    holder: CardRsaKey,
    certificate: Vec<u8>,
    sealing: EvidenceSealing,
    secret: aws_lc_rs::hmac::Key,
    statement: TouchStatement,
}

impl CommonCryptography {
    fn new() -> Self {
        let holder = CardRsaKey::generate().unwrap();
        let certificate = town::certificate(&holder, &[0x55; 250]);
        let evidence = EvidencePrivateKey::draw(&mut Seeded::new(1)).unwrap();
        let touch = Terminal::armed(&AUTHORITY).touch(&mut adult()).unwrap();
        Self {
            sealing: evidence.sealing(evidence.public()).unwrap(),
            secret: aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]),
            statement: TouchStatement::parse(touch.statement.as_slice()).unwrap(),
            holder,
            certificate,
        }
    }

    fn run(&self) {
        // Secure Element: which card, and whether it has a touch left.
        let hash = digest(&SHA256, black_box(&self.certificate));
        for _ in 0..2 {
            black_box(aws_lc_rs::hmac::sign(&self.secret, hash.as_ref()));
        }
        // Card: the one signature; Secure Element: its check, and the seal.
        let encoded = self.statement.encode();
        let hash: [u8; 32] = digest(&SHA256, &encoded).as_ref().try_into().unwrap();
        let signature = self.holder.sign_sha256_digest(&hash).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.holder.spki_der())
            .verify(&encoded, &signature)
            .unwrap();
        let evidence = Evidence {
            profile: CardProfile::Eac,
            signature: &signature,
            auth_certificate: &self.certificate,
        };
        black_box(self.sealing.seal(&self.statement, &evidence).unwrap());
    }
}

/// Every cryptographic operation of a `jicsap` touch, on the bytes of one, and nothing else.
struct JicsapCryptography {
    common: CommonCryptography,
    institution: CvcAuthority,
    chain: CvcChain,
    root: CvcPublicKey,
}

impl JicsapCryptography {
    fn new() -> Self {
        let institution = CvcAuthority::new(
            KeyReference::numbered(7_200_003, 42).unwrap(),
            CardRsaKey::generate().unwrap(),
        );
        let chain = AUTHORITY.chain_for(institution.private_key());
        let root = AUTHORITY.root.public_key().unwrap();
        Self { common: CommonCryptography::new(), root, institution, chain }
    }

    fn run(&mut self) {
        // Card: two certificates.
        self.chain.verify(&self.root).unwrap();
        // Secure Element: the proof; card: its check.
        let leaf = &self.chain.leaf.body().subject;
        let signed = card::external_authenticate_bytes(&[7; 16], &leaf.reference());
        let proof = self.institution.sign_body(&signed).unwrap();
        leaf.verify(&signed, &proof).unwrap();
        self.common.run();
    }
}

/// Octets under encryption in the channel of one `eac` touch: nine commands, then their nine responses.
const PROTECTED: [usize; 18] = [16, 256, 16, 240, 32, 0, 80, 0, 48, 0, 0, 0, 0, 0, 16, 0, 928, 272];

/// Every cryptographic operation of an `eac` touch, on the bytes of one, and nothing else.
struct EacCryptography {
    common: CommonCryptography,
    batch: P256AgreementKey,
    institution: P256SigningKey,
    institution_point: P256Point,
    certificate: eac::cvc::Cvc,
    issuer: P256Point,
    authentication: aws_lc_rs::cmac::Key,
    encryption: EncryptingKey,
    counter: EncryptingKey,
}

impl EacCryptography {
    fn new() -> Self {
        let institution = EAC.institution();
        let chain = &institution.chain;
        let aes = || UnboundCipherKey::new(&AES_128, &[0x11; 16]).unwrap();
        Self {
            common: CommonCryptography::new(),
            batch: P256AgreementKey::from_pkcs8(&eac::p256::generate_pkcs8().unwrap()).unwrap(),
            institution_point: institution.key.public_key(),
            certificate: chain.terminal().clone(),
            issuer: chain.certificate(chain.accredited_body_place()).unwrap().body().key,
            institution: institution.key,
            authentication: aws_lc_rs::cmac::Key::new(aws_lc_rs::cmac::AES_128, &[0x22; 16]).unwrap(),
            encryption: EncryptingKey::cbc(aes()).unwrap(),
            counter: EncryptingKey::ecb(aes()).unwrap(),
        }
    }

    fn run(&mut self) {
        // Secure Element: the batch's certificate; card: accredited body and terminal.
        for _ in 0..3 {
            self.certificate.verify_signature(black_box(&self.issuer)).unwrap();
        }
        // Chip authentication: a key pair, two agreements, on each side two keys and a token.
        let ephemeral = P256AgreementKey::ephemeral(&mut Seeded::new(9)).unwrap();
        for (own, peer) in [(&ephemeral, &self.batch), (&self.batch, &ephemeral)] {
            own.agree(&peer.public_key(), |shared| {
                for _ in 0..2 {
                    black_box(digest(&SHA256, shared));
                }
                Ok(())
            })
            .unwrap();
            black_box(aws_lc_rs::cmac::sign(&self.authentication, &[0; 96]).unwrap());
        }
        // Terminal authentication.
        let proof = self.institution.sign(&[7; 72]).unwrap();
        self.institution_point.verify(&[7; 72], &proof).unwrap();
        // Secure messaging: both sides do each message once.
        let mut buffer = [0u8; 1024];
        for _ in 0..2 {
            for octets in PROTECTED {
                self.counter.less_safe_encrypt(&mut buffer[..16], EncryptionContext::None).unwrap();
                let context = EncryptionContext::Iv128(FixedLength::from([3; 16]));
                self.encryption.less_safe_encrypt(&mut buffer[..octets], context).unwrap();
                black_box(aws_lc_rs::cmac::sign(&self.authentication, &buffer[..octets + 48]).unwrap());
            }
        }
        self.common.run();
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
fn whole_touch_in_the_clear(bencher: Bencher) {
    let mut patient = adult();
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(without_limits).unwrap();
    bencher.bench_local(|| terminal.touch(&mut patient).unwrap());
}

#[divan::bench]
fn whole_touch_by_eac(bencher: Bencher) {
    let mut patient = EAC.card();
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
