//! Loading and look-up by hand: `cargo bench -p kazasu-eligibility --bench feed -- ROWS [cards] [FOLDER]`.
//!
//! Writes a CSV of ROWS people, loads it, loads it again with every hundredth row changed, and times look-ups. CPU
//! time of the one thread that does it, from the kernel; `floor` is the same octets inserted by bare SQLite.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement fails by panicking and tells what it found"
)]

use chassis::process_cpu::thread_nanoseconds;
use eligibility::feed::load::{Order, load};
use eligibility::feed::rejects::FirstRejects;
use eligibility::history::{AsOf, Day};
use eligibility::store::sqlite::SqliteStore;
use eligibility::store::{Lookup, Store as _};
use protocol::entropy::Seeded;
use protocol::ids::AuthCertSerial;
use protocol::time::UnixSeconds;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

const NOW: UnixSeconds = UnixSeconds(1_795_284_000);

fn serial(n: u64) -> [u8; 16] {
    let mut stream = Seeded::new(n);
    let mut serial = [0u8; 16];
    let (high, low) = serial.split_at_mut(8);
    high.copy_from_slice(&(stream.next_u64() | 1 << 63).to_be_bytes());
    low.copy_from_slice(&stream.next_u64().to_be_bytes());
    serial
}

fn write_file(path: &Path, rows: u64, cards: bool, changed_every: u64) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    out.write_all("保険者番号,記号,番号,枝番,氏名,氏名カナ,生年月日,性別,本人家族区分,資格取得年月日,資格喪失年月日,負担割合,限度額適用区分".as_bytes()).unwrap();
    out.write_all(if cards { ",電子証明書シリアル番号\n".as_bytes() } else { b"\n" }).unwrap();
    for n in 0..rows {
        let share = if changed_every != 0 && n % changed_every == 0 { "020" } else { "030" };
        let (year, month, day) = (1930 + n % 90, 1 + n % 12, 1 + n % 28);
        write!(
            out,
            "990010,国保,{n:08},{:02},見本　太郎次郎,ミホン　タロウジロウ,{year}{month:02}{day:02},{},1,20{:02}0401,,{share},",
            n % 4,
            1 + n % 2,
            10 + n % 16
        )
        .unwrap();
        if cards {
            write!(out, ",{}", hex::encode(serial(n))).unwrap();
        }
        out.write_all(b"\n").unwrap();
    }
    out.flush().unwrap();
}

fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn timed<T>(name: &str, count: u64, what: impl FnOnce() -> T) -> T {
    let (wall, cpu) = (std::time::Instant::now(), thread_nanoseconds().unwrap());
    let value = what();
    let cpu = thread_nanoseconds().unwrap() - cpu;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (each, per_second) = (cpu as f64 / count as f64 / 1000.0, count as f64 / cpu as f64 * 1e9);
    println!(
        "{name:<28} {count:>9} x {each:7.3} us CPU = {per_second:>9.0} /CPU-s, {:.1} s wall, {} MB resident",
        wall.elapsed().as_secs_f64(),
        resident_megabytes()
    );
    value
}

fn load_file(store: &SqliteStore, path: &Path) -> eligibility::feed::Report {
    let mut rejects = FirstRejects::default();
    load(store, &mut File::open(path).unwrap(), &Order::usual(NOW), &mut rejects, &mut |_| {}).unwrap()
}

/// The octets that the load wrote, inserted by nothing but SQLite in the same batches.
fn floor(folder: &Path, rows: u64) {
    let source = rusqlite::Connection::open(folder.join("store.sqlite")).unwrap();
    let mut statement = source.prepare("SELECT member_key, record FROM member ORDER BY 1 LIMIT ?1").unwrap();
    let take = rows.min(500_000);
    let records: Vec<(Vec<u8>, Vec<u8>)> = statement
        .query_map([take.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let path = folder.join("floor.sqlite");
    let mut bare = chassis::sqlite::open(&path, chassis::sqlite::SqliteOptions::default()).unwrap();
    bare.execute_batch("CREATE TABLE member(k BLOB PRIMARY KEY, r BLOB NOT NULL) WITHOUT ROWID").unwrap();
    timed("floor: bare insertion", take, || {
        for batch in records.chunks(5000) {
            let transaction = bare.transaction().unwrap();
            let mut insert = transaction.prepare_cached("INSERT INTO member VALUES(?1, ?2)").unwrap();
            for (key, record) in batch {
                insert.execute((key, record)).unwrap();
            }
            drop(insert);
            transaction.commit().unwrap();
        }
    });
    drop(bare);
    for name in ["floor.sqlite", "floor.sqlite-wal", "floor.sqlite-shm"] {
        drop(std::fs::remove_file(folder.join(name)));
    }
}

fn look_up(store: &SqliteStore, rows: u64) {
    let as_of = AsOf::visit(Day::of_instant(NOW));
    let mut stream = Seeded::new(7);
    let serials: Vec<AuthCertSerial> =
        (0..200_000).map(|_| AuthCertSerial::parse(&serial(stream.next_u64() % rows)).unwrap()).collect();
    for name in ["look-up, first time", "look-up, pages at hand"] {
        let linked = timed(name, serials.len() as u64, || {
            serials
                .iter()
                .filter(|serial| {
                    let found = store.lookup_by_serials(std::slice::from_ref(*serial), &as_of).unwrap();
                    matches!(found.first(), Some(Lookup::Linked(_)))
                })
                .count()
        });
        assert_eq!(linked, serials.len());
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let rows: u64 = arguments.first().map_or(200_000, |rows| rows.parse().unwrap());
    let cards = arguments.get(1).is_some_and(|word| word == "cards");
    let base = arguments.get(2).map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let folder = base.join(format!("kazasu-feed-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let csv = folder.join("feed.csv");
    write_file(&csv, rows, cards, 0);
    println!("{rows} rows, {} MB of CSV, cards: {cards}", std::fs::metadata(&csv).unwrap().len() >> 20);
    let path = folder.join("store.sqlite");
    let store = SqliteStore::open(&path).unwrap();
    let first = timed("load, everybody new", rows, || load_file(&store, &csv));
    assert_eq!(first.counts.added, rows);
    write_file(&csv, rows, cards, 100);
    let second = timed("load, 1 % changed", rows, || load_file(&store, &csv));
    assert_eq!(second.counts.unchanged + second.counts.changed, rows);
    drop(std::fs::remove_file(&csv));
    if cards {
        look_up(&store, rows);
    } else {
        floor(&folder, rows);
    }
    let megabytes = std::fs::metadata(&path).unwrap().len() >> 20;
    println!("store: {megabytes} MB, {} octets a person", (megabytes << 20) / rows);
    drop(store);
    std::fs::remove_dir_all(&folder).unwrap();
}
