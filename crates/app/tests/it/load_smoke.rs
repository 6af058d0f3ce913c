//! `kazasu load` with a profile small enough for any machine. Its numbers are not judged here.

use crate::fixture::Town;

const PROFILE: &str = "cards = 2\nlinked_cards = 100\nterminals = 2\nrate_per_second = 40\nwarmup_seconds = 0.25\nseconds = 1.5\n";

#[test]
fn load_answers_every_check_rightly_and_prints_the_floor_beside_it() {
    let town = Town::start();
    let profile = town.folder.file("tiny.toml", PROFILE);
    let ran = town.run(&["load", "--profile", &profile, "--seed", "7"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let report = ran.json();
    assert_eq!(report["wrong_answers"], 0, "{report:#}");
    let checks = report["checks"].as_u64().unwrap();
    assert!((30..=70).contains(&checks), "counted without the warm-up: {report:#}");
    for number in [
        "checks_per_second",
        "server_cpu_us_per_check",
        "floor_cpu_us",
        "ratio",
        "p50_ms",
        "p99_ms",
        "p999_ms",
    ] {
        assert!(report[number].as_f64().unwrap() > 0.0, "{number}: {report:#}");
    }
    let parts = ["rsa_verify_us", "open_seal_us", "tls_records_us", "http_us", "look_up_us", "log_append_us"];
    let sum: f64 = parts.iter().map(|part| report["floor"][*part].as_f64().unwrap()).sum();
    assert!(
        (sum - report["floor_cpu_us"].as_f64().unwrap()).abs() < 0.01,
        "the floor is its parts: {report:#}"
    );
    let ratio = report["server_cpu_us_per_check"].as_f64().unwrap() / sum;
    assert!((ratio - report["ratio"].as_f64().unwrap()).abs() < 0.01, "{report:#}");

    // The people of the town are still there, and a bad profile is refused before anything is signed.
    assert_eq!(town.touch("hanako").0, Some(0));
    let surprise = town.folder.file("surprise.toml", format!("surprise = 1\n{PROFILE}"));
    let refused = town.run(&["load", "--profile", &surprise]);
    assert!(refused.code == Some(1) && refused.err.contains("surprise"), "{refused:#?}");
    let endless = town.folder.file("endless.toml", PROFILE.replace("seconds = 1.5", "seconds = 86400"));
    let refused = town.run(&["load", "--profile", &endless]);
    assert!(refused.code == Some(1) && refused.err.contains("300000"), "{refused:#?}");
    drop(town.stop());
}
