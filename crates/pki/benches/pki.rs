//! What a relying party pays: a look-up among 1.74 million revocations, reading a list of 33 MB, and
//! validating a card's path. Each beside its floor of the same run: a read of far memory, the digest that the
//! signature is over, the signature verifications that nobody can avoid.
//!
//! Figures with their floors come first, in processor time; then divan's table.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::{digest, signature};
use der::asn1::ObjectIdentifier;
use divan::{Bencher, black_box};
use pki::asn1::{tag, write};
use pki::certificate::Certificate;
use pki::crl::{CrlContents, ListFeed, ListShape, RevocationIndex, RevokedEntry, VerifiedList};
use pki::issue::IssuingAuthority;
use pki::oid;
use pki::profile::{AuthorityProfile, JpkiPurpose, LeafProfile, Municipality, Validity};
use pki::public_key::{PublicKey, VerifyingKey};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use pki::signature_scheme::{SignatureDigest, SignatureScheme};
use pki::signer::{IssuerSigner as _, SoftwareRsaSigner, generate_rsa_2048_pkcs8};
use pki::validate::input::RevocationRule;
use pki::validate::{Evidence, Profile, Question, TrustAnchor, path, validate};
use protocol::entropy::{Entropy as _, Seeded};
use protocol::time::UnixSeconds;
use std::collections::HashSet;
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

/// What a server's pieces are about: a TLS record or four.
const PIECE_OCTETS: usize = 65_536;

/// Serials of five octets, as in the arithmetic of 38 octets an entry.
fn list(count: usize, octets: usize) -> Vec<u8> {
    list_of(count, octets, 1, &ListShape::default())
}

fn list_of(count: usize, octets: usize, number: u64, shape: &ListShape<'_>) -> Vec<u8> {
    let mut entropy = Seeded::new(number);
    // Five octets by chance repeat now and then, and a list names each certificate once.
    let mut seen = HashSet::with_capacity(count);
    let drawn = std::iter::repeat_with(|| SerialNumber::random(octets, &mut entropy));
    let entries: Vec<_> = drawn
        .filter(|serial| seen.insert(*serial))
        .take(count)
        .map(|serial| RevokedEntry {
            serial,
            revoked_at: NOW,
            reason: RevocationReason::Superseded,
            invalid_since: None,
        })
        .collect();
    let contents = CrlContents { number, this_update: NOW, next_update: NOW.plus(DAY), entries: &entries };
    authority().issue_list(&contents, shape).unwrap()
}

/// A list that comes in pieces.
fn fed(der: &[u8]) -> VerifiedList {
    let mut feed = ListFeed::new(anchors());
    der.chunks(PIECE_OCTETS).for_each(|piece| feed.push(black_box(piece)).unwrap());
    feed.finish().unwrap()
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

/// What the kinds of signature cost beside the cheapest: why a validation counts more than their number.
fn signatures() {
    let message = b"as good as any";
    let algorithm =
        |kind: &ObjectIdentifier, parameters: &[u8]| write::sequence(&[&write::oid(kind), parameters]);
    let spki = |algorithm: &[u8], key: &[u8]| write::sequence(&[algorithm, &write::bit_string(key)]);
    // A signature that is not by the key takes as long as one that is.
    let rsa = |octets: usize| {
        let modulus: Vec<u8> = (0..octets).map(|place| if place == 0 { 0xB5 } else { 0x6D }).collect();
        let key = write::sequence(&[&write::unsigned(&modulus), &write::unsigned(&[1, 0, 1])]);
        let spki = spki(&algorithm(&oid::RSA_ENCRYPTION, &[tag::NULL, 0]), &key);
        (PublicKey::from_spki_der(&spki).unwrap(), vec![0x11; octets])
    };
    let curve = |signing, curve: &ObjectIdentifier| {
        let pair = signature::EcdsaKeyPair::generate(signing).unwrap();
        let signed = pair.sign(&SystemRandom::new(), b"another").unwrap();
        let spki = spki(&algorithm(&oid::EC_PUBLIC_KEY, &write::oid(curve)), pair.public_key().as_ref());
        (PublicKey::from_spki_der(&spki).unwrap(), signed.as_ref().to_vec())
    };
    let sha256 = SignatureScheme::RsaPkcs1(SignatureDigest::Sha256);
    let ecdsa = SignatureScheme::Ecdsa;
    let p384 = (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, &oid::SECP384R1);
    let p521 = (&signature::ECDSA_P521_SHA512_ASN1_SIGNING, &oid::SECP521R1);
    let cases = [
        ("RSA-2048", rsa(256), sha256),
        ("RSA-4096", rsa(512), sha256),
        ("RSA-8192", rsa(1_024), sha256),
        (
            "P-256",
            curve(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &oid::SECP256R1),
            ecdsa(SignatureDigest::Sha256),
        ),
        ("P-384", curve(p384.0, p384.1), ecdsa(SignatureDigest::Sha384)),
        ("P-521", curve(p521.0, p521.1), ecdsa(SignatureDigest::Sha512)),
    ];
    println!("one signature verification:");
    let mut cheapest = None;
    for (name, (key, signed), scheme) in &cases {
        let took = shortest(2_000, || assert!(!key.verifies(*scheme, black_box(message), signed)));
        let took = took.as_nanos() as f64 / 1_000.0;
        println!("  {name:<26} {took:6.1} us  {:.1} of RSA-2048", took / *cheapest.get_or_insert(took));
    }
}

fn main() {
    signatures();
    paths();
    lists();
    look_ups();
    divan::main();
}

fn paths() {
    let certificate = Certificate::parse(leaf()).unwrap();
    let question = Question {
        profile: Profile::JpkiAuth,
        revocation: RevocationRule::None,
        ..Question::at(NOW.plus(1))
    };
    let (leaf, anchors) = (leaf(), anchors());
    let evidence = Evidence::new();
    let short = list(100, 8);
    let mut with_list = Evidence::new();
    with_list.add_list(&short).unwrap();
    let asked = Question { revocation: RevocationRule::Required, ..question.clone() };
    let key =
        VerifyingKey::from_spki_der(Certificate::parse(authority().certificate_der()).unwrap().spki_der());
    let (key, signed, list_signed) = (key.unwrap(), signed_parts(leaf), signed_parts(&short));
    // Things by turns, so that all meet the same machine.
    let mut best = [Duration::MAX; 5];
    for _ in 0..400 {
        let alone = shortest(20, || assert!(key.verifies(black_box(signed.0), black_box(signed.1))));
        let two = shortest(20, || {
            assert!(key.verifies(black_box(signed.0), black_box(signed.1)));
            assert!(key.verifies(black_box(list_signed.0), black_box(list_signed.1)));
        });
        let whole =
            shortest(20, || assert!(validate(black_box(leaf), anchors, &evidence, &question).is_ok()));
        let status = shortest(20, || assert!(validate(black_box(leaf), anchors, &with_list, &asked).is_ok()));
        let quick =
            shortest(20, || assert!(path(black_box(leaf), anchors, Profile::JpkiAuth, question.at).is_ok()));
        for (best, new) in best.iter_mut().zip([alone, two, whole, status, quick]) {
            *best = (*best).min(new);
        }
    }
    let [alone, two, whole, status, quick] = best.map(|time| time.as_nanos() as f64 / 1_000.0);
    println!("JPKI path of one certificate, {} octets:", certificate.as_der().len());
    println!("  floor: its signature alone {alone:6.2} us");
    println!("  validate (RFC 5280 §6.1)   {whole:6.2} us  {:.2} of it", whole / alone);
    println!("  path (with the card's key) {quick:6.2} us  {:.2} of it", quick / alone);
    println!("  floor: and that of a list  {two:6.2} us");
    println!(
        "  validate with its status   {status:6.2} us  {:.2} of it (a list of 100 entries)",
        status / two
    );
}

fn lists() {
    let der = list(ENTRIES_33_MB, 5);
    let floor = each(&[(); 3], |()| {
        black_box(digest::digest(&digest::SHA256, black_box(&der)));
    });
    let mut elsewhere = vec![0u8; der.len()];
    let copied = each(&[(); 3], |()| black_box(&mut elsewhere).copy_from_slice(black_box(&der)));
    drop(elsewhere);
    let whole = each(&[(); 3], |()| {
        black_box(RevocationIndex::from_crl(black_box(&der), anchors(), None).unwrap());
    });
    let pieces = each(&[(); 3], |()| {
        black_box(fed(&der));
    });
    println!("list of {:.1} MB, {ENTRIES_33_MB} entries:", der.len() as f64 / 1e6);
    println!("  floor: its SHA-256         {:6.1} ms  (copying it: {:.1} ms)", floor / 1e6, copied / 1e6);
    println!("  verified and indexed       {:6.1} ms  {:.1} of it", whole / 1e6, whole / floor);
    println!("  in pieces of 64 KiB        {:6.1} ms  {:.1} of it", pieces / 1e6, pieces / floor);
    let shape = ListShape { base: Some(1), ..ListShape::default() };
    let delta = list_of(500, 8, 2, &shape);
    let applied = each(&[(); 50], |()| match fed(&delta) {
        VerifiedList::Delta(delta) => {
            black_box(index().updated(&delta).unwrap());
        }
        VerifiedList::Complete(_) => {}
    });
    println!("  a delta of 500, verified and laid over {ENTRIES}: {:.2} ms", applied / 1e6);
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
        listed.swap(place, drawn(&mut entropy, place + 1));
    }
    listed.truncate(400_000);
    // As much memory as the entries take, read one word at a time at random places. Each place depends on
    // what was read before, as the next look-up would not: so once with that and once without.
    let far: Vec<u64> = (0..ENTRIES * 28 / 8).map(|place| place as u64 % 2).collect();
    let places: Vec<usize> = (0..400_000).map(|_| drawn(&mut entropy, far.len() - 1)).collect();
    let apart = each(&places, |place| {
        black_box(far.get(*place).copied());
    });
    let mut last = 0;
    let chained = each(&places, |place| {
        last = usize::try_from(far.get(*place ^ last).copied().unwrap_or(0)).unwrap();
    });
    black_box(last);
    println!("look-up among {} entries:", index.len());
    println!("  floor: one far read        {apart:6.0} ns  ({chained:.0} ns when the next must wait for it)");
    for (name, serials) in [("not listed", &absent), ("listed", &listed)] {
        let took = each(serials, |serial| {
            black_box(index.entry(serial));
        });
        println!("  {name:<26} {took:6.0} ns  {:.1} of it", took / apart);
    }
    let shape = ListShape { base: Some(1), ..ListShape::default() };
    let VerifiedList::Delta(delta) = fed(&list_of(5_000, 8, 2, &shape)) else { return };
    let index = index.updated(&delta).unwrap();
    let took = each(&listed, |serial| {
        black_box(index.entry(serial));
    });
    println!("  listed, under a delta      {took:6.0} ns  {:.1} of it (5,000 changes)", took / apart);
}

fn drawn(entropy: &mut Seeded, below: usize) -> usize {
    let mut octets = [0; 8];
    entropy.fill(&mut octets);
    usize::try_from(u64::from_le_bytes(octets)).unwrap() % below
}

#[divan::bench]
fn feed_20_000_entries(bencher: Bencher<'_, '_>) {
    let der = list(20_000, 8);
    bencher.bench_local(|| fed(&der));
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
