//! `kazasu insurer load` as an operator runs it, and as a power cut ends it.

use crate::fixture::KAZASU;
use crate::pcscd::Folder;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SAMPLE: &str = include_str!("../../../../samples/insurer/society.csv");
const CONFIG: &str = include_str!("../../../../samples/eligibility.toml");
const ROWS: u64 = 30_000;

/// A platform's config with its store beside it.
fn platform(folder: &Path) {
    let config = CONFIG.replace("eligibility/store.sqlite", "store.sqlite");
    std::fs::write(folder.join("config.toml"), config).unwrap();
}

fn insurer(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(KAZASU);
    command.current_dir(folder).arg("insurer").args(arguments).args(["--config", "config.toml", "--json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end: whether it said "done", and what it printed.
fn done(folder: &Path, arguments: &[&str]) -> (bool, Value) {
    let output = insurer(folder, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{error}")))
}

#[test]
fn the_sample_is_tried_loaded_and_loaded_again() {
    let folder = Folder::new();
    let root = folder.path("");
    platform(&root);
    std::fs::write(root.join("society.csv"), SAMPLE).unwrap();
    let (ok, tried) = done(&root, &["load", "society.csv", "--dry-run"]);
    assert!(ok && tried["outcome"] == "rehearsed" && tried["counts"]["added"] == 3, "{tried}");
    let (ok, loaded) = done(&root, &["load", "society.csv", "--insurer-name", "見本健康保険組合"]);
    assert!(ok && loaded["outcome"] == "loaded" && loaded["applied"] == 3, "{loaded}");
    assert_eq!(loaded["warnings"], Value::Array(Vec::new()), "{loaded}");
    assert_eq!(loaded["rejects_file"], Value::Null);
    let (ok, again) = done(&root, &["load", "society.csv"]);
    assert!(ok && again["outcome"] == "already_loaded", "{again}");
    // One row nobody can take: the rest is loaded, and the row named.
    let spoilt = SAMPLE.replace("20240401,,030,,,,,1", "20240231,,030,,,,,1").replace("19700115", "19700116");
    std::fs::write(root.join("spoilt.csv"), spoilt).unwrap();
    let (ok, report) = done(&root, &["load", "spoilt.csv"]);
    assert!(ok && report["counts"]["rejected"] == 1 && report["counts"]["unchanged"] == 2, "{report}");
    let rejects = std::fs::read_to_string(root.join("spoilt.csv.rejects.csv")).unwrap();
    assert!(
        rejects.contains("2,資格取得年月日,\"20240231\",no_such_day,") && !rejects.contains("四郎"),
        "{rejects}"
    );
    // Nothing at all.
    std::fs::write(root.join("half.csv"), &SAMPLE[..SAMPLE.len() - 20]).unwrap();
    let (ok, refused) = done(&root, &["load", "half.csv"]);
    assert!(!ok && refused["problem"]["code"] == "feed_refused", "{refused}");
    let (ok, held) = done(&root, &["held"]);
    assert!(ok && held == Value::Array(Vec::new()), "{held}");
    let (ok, none) = done(&root, &["release", "1"]);
    assert!(!ok && none["problem"]["code"] == "input_unusable", "{none}");
}

#[test]
fn two_records_of_one_human_are_merged_and_taken_apart_again() {
    let folder = Folder::new();
    let root = folder.path("");
    platform(&root);
    let header = "保険者番号,番号,氏名,氏名カナ,生年月日,本人家族区分,資格取得年月日,負担割合,電子証明書シリアル番号\n";
    let text = header.to_owned()
        + "06990014,1,見本　人,ミホン　ヒト,19700115,1,20240401,030,0a01\n"
        + "06990014,2,見本　人,ミホン　ヒト,19700115,1,20240401,030,0a02\n";
    std::fs::write(root.join("two.csv"), text).unwrap();
    assert!(done(&root, &["load", "two.csv"]).0);
    let (ok, refused) = done(&root, &["links", "merge", "1", "77"]);
    assert!(!ok && refused["problem"]["code"] == "input_unusable", "{refused}");
    let (ok, proposed) = done(&root, &["links", "merge", "1", "2"]);
    assert!(ok && proposed["outcome"] == "proposed", "{proposed}");
    let number = proposed["number"].to_string();
    let (_, waiting) = done(&root, &["links", "list"]);
    assert_eq!((&waiting[0]["cards"], &waiting[0]["members"]), (&Value::from(1), &Value::from(1)));
    let people = "SELECT count(DISTINCT person_key) FROM card_link";
    let store = root.join("store.sqlite");
    assert_eq!(count(&store, people), 2);
    assert!(done(&root, &["links", "confirm", &number]).0);
    assert_eq!(count(&store, people), 1);
    assert!(!done(&root, &["links", "drop", &number]).0);
    assert!(done(&root, &["links", "undo", &number]).0);
    assert_eq!(count(&store, people), 2);
    assert!(!done(&root, &["links", "undo", &number]).0);
}

fn count(store: &Path, sql: &str) -> u64 {
    let connection = rusqlite::Connection::open(store).unwrap();
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_or(0, i64::cast_unsigned)
}

/// Kills the process as soon as it has staged so many rows; false if it ended by itself before.
fn killed_at(mut child: Child, store: &Path, rows: u64) -> bool {
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if store.exists() && count_members(store) >= rows {
            child.kill().unwrap();
            return !child.wait().unwrap().success();
        }
        std::thread::yield_now();
    }
}

fn count_members(store: &Path) -> u64 {
    let Ok(connection) =
        rusqlite::Connection::open_with_flags(store, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
    else {
        return 0;
    };
    // Until the tables are there, and while the other process opens its file, there is nothing to count.
    connection
        .query_row("SELECT count(*) FROM member", [], |row| row.get::<_, i64>(0))
        .map_or(0, i64::cast_unsigned)
}

#[test]
fn killed_in_mid_load_again_and_again_it_ends_the_same() {
    let folder = Folder::new();
    let mut text = SAMPLE.lines().next().unwrap().to_owned() + "\n";
    for number in 0..ROWS {
        text += &format!(
            "06990014,見本,{number:07},00,見本　人,ミホン　ヒト,19700115,1,1,20240401,,030,,,,,1,20260401\n"
        );
    }
    let places: Vec<_> = ["whole", "killed"].map(|name| folder.path(name)).into();
    for place in &places {
        std::fs::create_dir(place).unwrap();
        platform(place);
        std::fs::write(place.join("many.csv"), &text).unwrap();
    }
    let (whole, killed) = (&places[0], &places[1]);
    let (ok, expected) = done(whole, &["load", "many.csv"]);
    assert!(ok && expected["counts"]["added"] == ROWS, "{expected}");
    let store = killed.join("store.sqlite");
    let mut kills = 0;
    for at in [1, 9_000, 14_000, 24_000] {
        let child = insurer(killed, &["load", "many.csv"]).spawn().unwrap();
        if !killed_at(child, &store, at) {
            break;
        }
        kills += 1;
        assert_eq!(count(&store, "SELECT count(*) FROM change WHERE state = 1"), 0, "something is visible");
    }
    assert!(kills > 0, "the load was never caught under way");
    let (ok, report) = done(killed, &["load", "many.csv"]);
    assert!(ok && report["resumed"] == true, "{report}");
    assert_eq!(report["counts"], expected["counts"]);
    let both = format!(
        "ATTACH '{}' AS other; ",
        whole.join("store.sqlite").display().to_string().replace('\'', "''")
    );
    let connection = rusqlite::Connection::open(&store).unwrap();
    connection.execute_batch(&both).unwrap();
    let same: i64 = connection
        .query_row(
            "SELECT count(*) FROM member m JOIN other.member o USING(member_key) WHERE m.record = o.record",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(same.cast_unsigned(), ROWS);
    assert_eq!(count(&store, "SELECT count(*) FROM member"), ROWS);
    assert_eq!(count(&store, "SELECT count(*) FROM change WHERE state = 1"), 1);
}
