//! Receipts on the command line: a town answers, is stopped, and its receipts hold without it.

use crate::fixture::{Ran, Town, kazasu};
use serde_json::Value;
use std::fs;

/// `kazasu receipt …` with the key file of a town, wherever that is.
fn receipt(arguments: &[&str], key: &str) -> Ran {
    kazasu(&[&["receipt"], arguments, &["--log-key", key, "--json"]].concat())
}

#[test]
fn receipts_hold_when_the_platform_is_gone_and_nothing_else_does() {
    let town = Town::start();
    let key = town.text("/receipt_log/key").to_owned();
    let log = town.text("/receipt_log/folder").to_owned();
    let mut touches = Vec::new();
    for (count, (name, validity)) in
        [("hanako", "valid"), ("moved", "invalid_newer_exists"), ("unlinked", "no_coverage")]
            .into_iter()
            .enumerate()
    {
        let (code, report) = town.touch(name);
        assert_eq!((code, &report["answer"]["validity"]), (Some(0), &validity.into()), "{report:#}");
        let file = town.folder.text(&format!("touch-{count}.json"));
        fs::write(&file, report.to_string()).unwrap();
        touches.push((file, report, validity));
    }
    let refused = town.touch("lost").1;
    assert!(refused.get("answer").is_none() && refused["problem"].get("receipt").is_none(), "{refused:#}");
    let folder = town.stop();

    for (file, report, validity) in &touches {
        let held = receipt(&["verify", file], &key);
        assert_eq!(held.code, Some(0), "{held:#?}");
        let held = held.json();
        assert_eq!((&held["valid"], &held["statement"]["validity"]), (&true.into(), &Value::from(*validity)));
        assert_eq!(
            held["statement"]["coverage"].as_array().unwrap().len(),
            report["answer"]["coverage"].as_array().map_or(0, Vec::len)
        );
        // Only the receipt, as somebody else may get it.
        let alone = folder.text("receipt.json");
        fs::write(&alone, report["answer"]["receipt"].to_string()).unwrap();
        assert_eq!(receipt(&["verify", &alone], &key).code, Some(0));
        let bent = report["answer"]["receipt"].to_string().replace(validity, "multiple");
        fs::write(&alone, bent).unwrap();
        let refused = receipt(&["verify", &alone], &key);
        assert_eq!((refused.code, &refused.json()["problem"]["code"]), (Some(1), &"receipt_invalid".into()));
    }
    let said = kazasu(&["receipt", "verify", &touches[0].0, "--log-key", &key]);
    assert!(
        said.code == Some(0) && said.out.contains("本物") && said.out.contains("this receipt holds"),
        "{said:#?}"
    );

    // The log behind them: whole, continuing its own past, and not that of a fork.
    let whole = receipt(&["audit", "--folder", &log], &key);
    assert_eq!(whole.code, Some(0), "{whole:#?}");
    assert!(whole.json()["entries"].as_u64().unwrap() >= 4, "{whole:#?}");
    let older = format!("{log}/checkpoint");
    let continues = receipt(&["audit", "--folder", &log, "--older", &older], &key);
    assert_eq!(continues.json()["continues"], whole.json()["entries"]);
    let bundle = fs::read_dir(format!("{log}/tile/entries")).unwrap().next().unwrap().unwrap().path();
    let bundle =
        if bundle.is_dir() { fs::read_dir(bundle).unwrap().next().unwrap().unwrap().path() } else { bundle };
    let mut octets = fs::read(&bundle).unwrap();
    octets[7] ^= 1;
    fs::write(&bundle, octets).unwrap();
    let broken = receipt(&["audit", "--folder", &log], &key);
    assert_eq!((broken.code, &broken.json()["problem"]["code"]), (Some(1), &"receipt_invalid".into()));
    // Another's key, no key, no file.
    let other = "other.example+3dc9b2e1+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (arguments, key) in [(&["verify", touches[0].0.as_str()][..], other), (&["verify", "/nowhere"], &key)]
    {
        let refused = receipt(arguments, key);
        assert_eq!((refused.code, &refused.json()["problem"]["code"]), (Some(1), &"input_unusable".into()));
    }
}
