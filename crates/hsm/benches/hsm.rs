//! What a signature costs in a token of SoftHSM2, beside the same signature in this process's memory:
//! `cargo bench -p kazasu-hsm --bench hsm`
//!
//! SoftHSM2 computes in the calling process, so its numbers are the price of PKCS#11 itself and of its library's
//! arithmetic, without a wire. Divan tells wall time of one thread; the table at the end tells CPU time by the
//! kernel's account, and the ratio.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark stops at the first surprise")]

#[path = "../tests/it/softhsm.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod softhsm;

use divan::Bencher;
use hsm::{KeyAlgorithm, KeySource, Token};
use pki::signer::{IssuerSigner, software_signer};
use softhsm::SoftHsm;
use std::path::PathBuf;

/// As long as a certificate's part that is signed.
const MESSAGE: [u8; 900] = [0xA5; 900];
const FOLDER: &str = "KAZASU_BENCH_SOFTHSM";

/// Where the key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Memory,
    Token,
}

/// A case with a name.
#[derive(Clone, Copy)]
struct Case((KeyAlgorithm, Place));

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.0.0.word(), self.0.1)
    }
}

const CASES: [(KeyAlgorithm, Place); 6] = [
    (KeyAlgorithm::P256, Place::Memory),
    (KeyAlgorithm::P256, Place::Token),
    (KeyAlgorithm::Rsa2048, Place::Memory),
    (KeyAlgorithm::Rsa2048, Place::Token),
    (KeyAlgorithm::Rsa4096, Place::Memory),
    (KeyAlgorithm::Rsa4096, Place::Token),
];

fn main() {
    if std::env::var_os(FOLDER).is_none() {
        // SoftHSM2 takes its folder from the environment, and an environment belongs to a process.
        let token = SoftHsm::make("bench");
        let status = token
            .command(std::env::current_exe().unwrap())
            .args(std::env::args_os().skip(1))
            .env(FOLDER, token.folder())
            .status()
            .unwrap();
        std::fs::remove_dir_all(token.folder()).unwrap();
        assert!(status.success());
        return;
    }
    divan::main();
    println!();
    for pair in CASES.chunks(2) {
        let us: Vec<f64> = pair.iter().map(|(algorithm, place)| cpu_us(*algorithm, *place)).collect();
        if let ([(algorithm, _), _], [memory, token]) = (pair, us.as_slice()) {
            println!(
                "{:9} memory {memory:8.1} us CPU = {:6.0}/s   token {token:8.1} us = {:6.0}/s   ratio {:.2}",
                algorithm.word(),
                1e6 / memory,
                1e6 / token,
                token / memory
            );
        }
    }
}

fn signer(algorithm: KeyAlgorithm, place: Place) -> Box<dyn IssuerSigner> {
    match place {
        Place::Memory => software_signer(&algorithm.generate_pkcs8().unwrap()).unwrap(),
        Place::Token => {
            let token = SoftHsm::found(PathBuf::from(std::env::var_os(FOLDER).unwrap()));
            let key = token.key(algorithm.word());
            if !KeySource::Pkcs11(key.clone()).is_taken().unwrap() {
                Token::of(&key.token()).unwrap().generate(&key, algorithm).unwrap();
            }
            KeySource::Pkcs11(key).open().unwrap()
        }
    }
}

/// Nanoseconds of CPU that this thread has used.
fn cpu_ns() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split(' ').next().unwrap().parse().unwrap()
}

fn cpu_us(algorithm: KeyAlgorithm, place: Place) -> f64 {
    let signer = signer(algorithm, place);
    let count: u32 = if algorithm == KeyAlgorithm::P256 { 5_000 } else { 300 };
    let before = cpu_ns();
    for _ in 0..count {
        divan::black_box(signer.sign(divan::black_box(&MESSAGE)).unwrap());
    }
    (cpu_ns() - before) / 1_000.0 / f64::from(count)
}

#[divan::bench(args = CASES.map(Case))]
fn sign(bencher: Bencher<'_, '_>, Case((algorithm, place)): Case) {
    let signer = signer(algorithm, place);
    bencher.bench_local(|| signer.sign(divan::black_box(&MESSAGE)).unwrap());
}
