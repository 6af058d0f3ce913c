//! What it takes to publish the lists of a large authority by its plan, by hand:
//! `cargo bench -p kazasu-jpki-authority --bench publish`
//!
//! A store with a tenth of 87 million authentication certificates, 2 % of them revoked, in 512 shards, is
//! filled by SQL (through the authority it would take days of signing). Then the authority publishes
//!
//! - everything at once, as after a first start;
//! - by plan through one period, a turn after the other on a clock of its own, while revocations come in.
//!
//! CPU time by the kernel's account, wall time beside it, because commits wait for the disk; peak memory;
//! disk. Certificates themselves are left out of the store: no list looks at them.
//! A number as argument, as in `… --bench publish -- 87000000`, is another count of certificates; the whole
//! 87 million want 6 GB of disk and ten minutes.
//! Without `--bench` the same with a few certificates, to see that it works.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use chassis::config::TlsFiles;
use chassis::entropy::SystemEntropy;
use chassis::process_cpu::process_total_nanoseconds;
use jpki_authority::config::{Config, CrlTimes, KeyPlaces, Names, OcspTimes, StatusPages};
use jpki_authority::store::{ListForm, ListName, ListScope};
use jpki_authority::{Authority, CertificateKind};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::entropy::{Entropy as _, Seeded};
use protocol::time::UnixSeconds;
use rusqlite::params;
use std::path::Path;
use std::time::Instant;

/// The binary's allocator, which this stands in for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: UnixSeconds = UnixSeconds(1_763_773_323);
const YEAR: u64 = 365 * 86_400;
const PERIOD: u64 = 3_600;
const DELTA_PERIOD: u64 = 900;
const AUTH: CertificateKind = CertificateKind::CardHolderAuth;

/// How much.
#[derive(Clone, Copy)]
struct Scale {
    certificates: u64,
    shards: u16,
    /// Revocations that come in during the period.
    news: usize,
}

const WHOLE: Scale = Scale { certificates: 8_700_000, shards: 512, news: 3_600 };
const SHORT: Scale = Scale { certificates: 2_000, shards: 8, news: 36 };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asks = |word: &str| arguments.iter().any(|argument| argument == word);
    if asks("--list") {
        return;
    }
    let mut scale = if asks("--bench") { WHOLE } else { SHORT };
    if let Some(certificates) = arguments.iter().find_map(|argument| argument.parse().ok()) {
        scale.certificates = certificates;
    }
    let folder = std::env::temp_dir().join(format!("kazasu-bench-publish-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    measure(&folder, scale);
    std::fs::remove_dir_all(folder).unwrap();
}

fn config(folder: &Path, scale: Scale) -> Config {
    let free = "127.0.0.1:0".parse().unwrap();
    Config {
        listen: free,
        admin_listen: free,
        store: "store.sqlite".into(),
        keys_dir: "keys".into(),
        public_dir: "public".into(),
        keys: KeyPlaces::default(),
        tls: TlsFiles { cert: "server.pem".into(), key: "server.key".into() },
        status: StatusPages { listen: free, url: "http://localhost".into() },
        crl: CrlTimes {
            validity_seconds: 86_400,
            republish_seconds: PERIOD,
            delta_seconds: DELTA_PERIOD,
            shards: scale.shards,
        },
        ocsp: OcspTimes { validity_seconds: 3_600, reuse_seconds: 60, delegate_seconds: 7 * 86_400 },
        names: Names { organization: "JPKI-EMULATED".into(), operator: "KAZASU TEST municipalities".into() },
        linkage: None,
    }
    .resolved(folder)
}

/// Serial numbers in order, which is how the store keeps them; every fiftieth is revoked.
fn serials(scale: Scale) -> Vec<u64> {
    let mut entropy = Seeded::new(87);
    let mut octets = [0; 8];
    let mut serials: Vec<u64> = (0..scale.certificates)
        .map(|_| {
            entropy.fill(&mut octets);
            u64::from_be_bytes(octets) & (u64::MAX >> 2) | 1 << 62
        })
        .collect();
    serials.sort_unstable();
    serials.dedup();
    serials
}

fn fill(config: &Config, serials: &[u64], scale: Scale) {
    let mut connection = rusqlite::Connection::open(&config.store).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000").unwrap();
    let transaction = connection.transaction().unwrap();
    let mut changes = 1_i64;
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO certificate(kind, serial, card, spent_at, shard, not_after, revoked_at, reason, changed)
                 VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )
            .unwrap();
        for (card, serial) in (1_i64..).zip(serials) {
            let shard = i64::try_from(serial % (1 << 32) % u64::from(scale.shards)).unwrap();
            let (spent, not_after) = (NOW.minus(YEAR).0.cast_signed(), NOW.plus(4 * YEAR).0.cast_signed());
            let revoked = card % 50 == 0;
            changes += i64::from(revoked);
            let (at, reason) =
                (revoked.then_some(spent + card % 30_000_000), revoked.then_some(3 + card / 50 % 4));
            let changed = if revoked { changes } else { 0 };
            let octets = serial.to_be_bytes();
            insert.execute(params![&octets[..], card, spent, shard, not_after, at, reason, changed]).unwrap();
        }
    }
    transaction.execute("UPDATE status_change SET last = ?1", [changes]).unwrap();
    transaction
        .execute("INSERT OR REPLACE INTO shard(kind, named) VALUES(1, ?1)", [i64::from(scale.shards)])
        .unwrap();
    transaction.commit().unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

/// Times what `work` takes: wall and CPU, in seconds.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64, f64) {
    let cpu = || process_total_nanoseconds(std::process::id()).unwrap();
    let (begun, before) = (Instant::now(), cpu());
    let value = work();
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of hours fit a double")]
    let spent = (cpu() - before) as f64 / 1e9;
    (value, begun.elapsed().as_secs_f64(), spent)
}

/// Most memory that this process ever had, in megabytes.
fn peak_megabytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_024
}

fn megabytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len() >> 20)
}

fn published(authority: &Authority, scale: Scale) -> (usize, usize, usize) {
    let shard = |shard| ListName { scope: ListScope::Shard(shard), form: ListForm::Complete };
    let lists: Vec<_> = (0..scale.shards).filter_map(|number| authority.list(AUTH, shard(number))).collect();
    let entries = lists.iter().map(|list| list.entries).sum();
    (lists.len(), entries, lists.iter().map(|list| list.der.len()).max().unwrap())
}

fn measure(folder: &Path, scale: Scale) {
    let config = config(folder, scale);
    drop(Authority::init(config.clone(), NOW.minus(YEAR), &mut SystemEntropy).unwrap());
    let serials = serials(scale);
    let ((), wall, _) = timed(|| fill(&config, &serials, scale));
    let revoked = serials.len() / 50;
    println!(
        "{} certificates, {revoked} revoked, {} shards; filled in {wall:.0} s, store of {} MB",
        serials.len(),
        scale.shards,
        megabytes(&config.store)
    );
    let fresh: Vec<SerialNumber> = (1_usize..)
        .zip(&serials)
        .filter(|(card, _)| card % 50 == 7)
        .map(|(_, serial)| SerialNumber::from_octets(&serial.to_be_bytes()).unwrap())
        .take(scale.news)
        .collect();
    drop(serials);
    // The peak is to be the authority's, not that of the filling: proc(5).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();

    let (authority, wall, cpu) = timed(|| Authority::open(config.clone()).unwrap());
    println!("taken up in {wall:.1} s ({cpu:.1} s of CPU), {} MB at most so far", peak_megabytes());
    // One second before a period begins: every list has its turn in the period after it.
    let start = UnixSeconds(NOW.0 / PERIOD * PERIOD + PERIOD - 1);
    let ((), wall, cpu) = timed(|| authority.publish(start).unwrap());
    let (lists, entries, largest) = published(&authority, scale);
    assert_eq!((lists, entries), (usize::from(scale.shards), revoked));
    println!(
        "all at once: both kinds, {lists} shards each and everything: {wall:.1} s, {cpu:.1} s of CPU; \
         largest shard {largest} octets, list of everything {} MB",
        authority.current_list(AUTH).unwrap().der.len() >> 20
    );

    let (mut turns, mut signed, mut longest) = (0_u32, 0, 0.0_f64);
    let mut fresh = fresh.chunks(scale.news.div_ceil(usize::try_from(PERIOD).unwrap()));
    let ((), wall, cpu) = timed(|| {
        for second in 1..=PERIOD {
            let at = start.plus(second);
            for serial in fresh.next().unwrap_or_default() {
                authority.revoke(*serial, AUTH, RevocationReason::AffiliationChanged, at).unwrap();
            }
            let (count, took, _) = timed(|| authority.publish_due(at).unwrap());
            signed += count;
            turns += u32::from(count > 0);
            longest = longest.max(took);
        }
    });
    println!(
        "by plan, a period of {PERIOD} s with {} revocations: {signed} lists in {turns} turns, {wall:.1} s, \
         {cpu:.1} s of CPU, {:.1} ms a list, longest turn {longest:.2} s",
        scale.news,
        1e3 * wall / f64::from(u32::try_from(signed).unwrap())
    );
    let (_, entries, _) = published(&authority, scale);
    println!(
        "{entries} listed in shards at the end; {} MB of memory at most, store {} MB, log {} MB",
        peak_megabytes(),
        megabytes(&config.store),
        megabytes(&config.store.with_extension("sqlite-wal"))
    );
    assert!(entries > revoked);
}
