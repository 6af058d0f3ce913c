//! What a relying party pays: a look-up among 1.74 million revocations, reading a list of 33 MB, and
//! validating a card's path beside the signature verifications that nobody can avoid.
//!
//! Ratios, sizes and look-ups come first, each from one run in processor time; then divan's table.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use divan::{Bencher, black_box};
use pki::certificate::Certificate;
use pki::crl::{CrlContents, RevocationIndex, RevokedEntry};
use pki::issue::IssuingAuthority;
use pki::profile::{AuthorityProfile, JpkiPurpose, LeafProfile, Municipality, Validity};
use pki::public_key::VerifyingKey;
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner as _, SoftwareRsaSigner, generate_rsa_2048_pkcs8};
use pki::validate::input::RevocationRule;
use pki::validate::{Evidence, Profile, Question, TrustAnchor, path, validate};
use protocol::entropy::{Entropy as _, Seeded};
use protocol::time::UnixSeconds;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const NOW: UnixSeconds = UnixSeconds(1_763_773_323);
const DAY: u64 = 86_400;

/// 2 % of 87 million cards.
const ENTRIES: usize = 1_740_000;
/// As many as fill 33 MB.
const ENTRIES_33_MB: usize = 870_000;

fn authority() -> &'static IssuingAuthority {
    static AUTHORITY: OnceLock<IssuingAuthority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let signer = SoftwareRsaSigner::from_pkcs8(&generate_rsa_2048_pkcs8().unwrap()).unwrap();
        let profile = AuthorityProfile::Jpki {
            purpose: JpkiPurpose::Authentication,
            organization: "JPKI-EMULATED",
            operator: "KAZASU TEST",
        };
        let validity = Validity { not_before: NOW, not_after: NOW.plus(3_650 * DAY) };
        let serial = SerialNumber::from_octets(&[1]).unwrap();
        IssuingAuthority::self_signed(&profile, serial, validity, Box::new(signer)).unwrap()
    })
}

fn anchors() -> &'static [TrustAnchor] {
    static ANCHORS: OnceLock<Vec<TrustAnchor>> = OnceLock::new();
    ANCHORS.get_or_init(|| vec![TrustAnchor::from_certificate(authority().certificate_der()).unwrap()])
}

fn leaf() -> &'static [u8] {
    static LEAF: OnceLock<Vec<u8>> = OnceLock::new();
    LEAF.get_or_init(|| {
        let key = SoftwareRsaSigner::from_pkcs8(&generate_rsa_2048_pkcs8().unwrap()).unwrap();
        let municipality = Municipality::new("13221", "Tokyo-to", "Kiyose-shi").unwrap();
        let profile = LeafProfile::JpkiAuth {
            common_name: "ABCDEFGHIJKLMN13221003A",
            municipality: &municipality,
            ocsp_uri: None,
            list_place: None,
        };
        let validity = Validity { not_before: NOW, not_after: NOW.plus(1_800 * DAY) };
        let serial = SerialNumber::random(8, &mut Seeded::new(3));
        authority().issue(&profile, serial, validity, key.spki_der()).unwrap()
    })
}

/// Serials as the cards have them: eight octets, 62 of their bits random.
fn serials(count: usize, seed: u64) -> Vec<SerialNumber> {
    let mut entropy = Seeded::new(seed);
    (0..count).map(|_| SerialNumber::random(8, &mut entropy)).collect()
}

/// Serials of five octets, as in the arithmetic of 38 octets an entry.
fn list(count: usize, octets: usize) -> Vec<u8> {
    let mut entropy = Seeded::new(1);
    let entries: Vec<_> = (0..count)
        .map(|_| RevokedEntry {
            serial: SerialNumber::random(octets, &mut entropy),
            revoked_at: NOW,
            reason: RevocationReason::Superseded,
            invalid_since: None,
        })
        .collect();
    let contents = CrlContents { number: 1, this_update: NOW, next_update: NOW.plus(DAY), entries: &entries };
    authority().issue_crl(&contents).unwrap()
}

fn index() -> &'static RevocationIndex {
    static INDEX: OnceLock<RevocationIndex> = OnceLock::new();
    INDEX.get_or_init(|| RevocationIndex::from_crl(&list(ENTRIES, 8), anchors(), None).unwrap())
}

/// Processor time of this thread: what a busy machine takes away does not count. The kernel brings it up to
/// date when the thread gives the processor up.
fn processor_time() -> Duration {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Processor time per call over many different calls.
fn each<T>(inputs: &[T], mut call: impl FnMut(&T)) -> f64 {
    let rounds = (0..5).map(|_| {
        let started = processor_time();
        inputs.iter().for_each(&mut call);
        (processor_time() - started).as_nanos() as f64 / inputs.len() as f64
    });
    rounds.fold(f64::MAX, f64::min)
}

/// The shortest of many runs: other work on the machine only adds.
fn shortest(runs: usize, mut run: impl FnMut()) -> Duration {
    let timed = (0..runs).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed()
    });
    timed.min().unwrap()
}

fn resident_peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Resets the peak to what is in use now (Linux, `clear_refs`).
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn main() {
    let certificate = Certificate::parse(leaf()).unwrap();
    let question = Question {
        profile: Profile::JpkiAuth,
        revocation: RevocationRule::None,
        ..Question::at(NOW.plus(1))
    };
    let (leaf, anchors) = (leaf(), anchors());
    let evidence = Evidence::new();
    let key =
        VerifyingKey::from_spki_der(Certificate::parse(authority().certificate_der()).unwrap().spki_der());
    let (key, signed) = (key.unwrap(), signed_parts(leaf));
    // Three things by turns, so that all meet the same machine.
    let mut best = [Duration::MAX; 3];
    for _ in 0..400 {
        let alone = shortest(20, || assert!(key.verifies(black_box(signed.0), black_box(signed.1))));
        let whole =
            shortest(20, || assert!(validate(black_box(leaf), anchors, &evidence, &question).is_ok()));
        let quick =
            shortest(20, || assert!(path(black_box(leaf), anchors, Profile::JpkiAuth, question.at).is_ok()));
        for (best, new) in best.iter_mut().zip([alone, whole, quick]) {
            *best = (*best).min(new);
        }
    }
    let [alone, whole, quick] = best.map(|time| time.as_nanos() as f64 / 1_000.0);
    println!("JPKI path of one certificate, {} octets:", certificate.as_der().len());
    println!("  its signature alone        {alone:6.2} us");
    println!("  validate (RFC 5280 §6.1)   {whole:6.2} us  {:.2} of it", whole / alone);
    println!("  path (with the card's key) {quick:6.2} us  {:.2} of it", quick / alone);

    let der = list(ENTRIES_33_MB, 5);
    reset_peak();
    let before = resident_peak_kb();
    let took = each(&[(); 3], |()| assert_eq!(index_of(&der), ENTRIES_33_MB));
    let more = resident_peak_kb().saturating_sub(before);
    println!("list of {:.1} MB, {ENTRIES_33_MB} entries:", der.len() as f64 / 1e6);
    println!("  verified and indexed in    {:6.0} ms, {} MB more at the peak", took / 1e6, more / 1_024);
    drop(der);
    look_ups();
    divan::main();
}

fn index_of(der: &[u8]) -> usize {
    // Five octets of random serials repeat now and then; the list says each once all the same.
    let index = RevocationIndex::from_crl(black_box(der), anchors(), None).unwrap();
    assert!(index.len() > ENTRIES_33_MB - 1_000);
    ENTRIES_33_MB
}

/// The signed part and the signature of a certificate.
fn signed_parts(der: &[u8]) -> (&[u8], &[u8]) {
    let mut outer = pki::asn1::read::Reader::only_sequence(der, "certificate").unwrap();
    let tbs = outer.any("tbsCertificate").unwrap();
    outer.any("signatureAlgorithm").unwrap();
    (tbs.raw, outer.any("signature").unwrap().whole_octets("signature").unwrap())
}

fn look_ups() {
    let index = index();
    let absent = serials(400_000, 2);
    // The list's own serials, in another order.
    let mut listed = serials(ENTRIES, 1);
    let mut entropy = Seeded::new(9);
    for place in (1..listed.len()).rev() {
        let mut drawn = [0; 8];
        entropy.fill(&mut drawn);
        listed.swap(place, usize::try_from(u64::from_le_bytes(drawn)).unwrap() % (place + 1));
    }
    listed.truncate(400_000);
    println!("look-up among {} entries:", index.len());
    println!(
        "  not listed                 {:6.0} ns",
        each(&absent, |serial| {
            black_box(index.entry(serial));
        })
    );
    println!(
        "  listed                     {:6.0} ns",
        each(&listed, |serial| {
            black_box(index.entry(serial));
        })
    );
}

#[divan::bench]
fn validate_jpki_path(bencher: Bencher<'_, '_>) {
    let question = Question {
        profile: Profile::JpkiAuth,
        revocation: RevocationRule::None,
        ..Question::at(NOW.plus(1))
    };
    let (leaf, evidence) = (leaf(), Evidence::new());
    bencher.bench_local(|| validate(black_box(leaf), anchors(), &evidence, &question).is_ok());
}
