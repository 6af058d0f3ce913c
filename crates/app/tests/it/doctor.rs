//! `kazasu doctor` against a town that is well, one with an open key file, and one that is down.

use crate::fixture::{Town, kazasu};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn findings<'a>(report: &'a Value, state: &str) -> Vec<&'a Value> {
    report["findings"].as_array().unwrap().iter().filter(|finding| finding["state"] == state).collect()
}

#[test]
fn doctor_says_what_is_well_and_what_to_do_about_what_is_not() {
    let town = Town::start();
    well(&town);
    key_left_open(&town);
    let (dir, _folder) = (town.dir.clone(), town.stop());
    down(&dir);
}

fn well(town: &Town) {
    let ran = town.run(&["doctor"]);
    let report = ran.json();
    assert_eq!((ran.code, &report["ok"]), (Some(0), &true.into()), "{report:#}");
    assert!(findings(&report, "fail").is_empty(), "{report:#}");
    let good: Vec<&str> =
        findings(&report, "ok").iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    for check in [
        "town",
        "room.eligibility",
        "room.jpki_authority",
        "room.terminal",
        "secure_element",
        "config.eligibility",
        "config.jpki_authority",
        "config.terminal",
        "stores",
        "certificate.eligibility",
        "certificate.jpki_authority",
        "certificate.reception-1",
        "institution_certificates",
        "key_files",
        "crl.auth",
        "crl.sign",
        "authority.audit",
        "authority.requests",
        "certificate.partner.portal",
        "clock",
        "readers",
    ] {
        assert!(good.contains(&check), "{check} is not among {good:?}");
    }
    for finding in report["findings"].as_array().unwrap() {
        for key in ["text_ja", "text_en"] {
            assert!(!finding[key].as_str().unwrap().is_empty(), "{finding}");
        }
        let has_fix = !finding["fix_ja"].as_str().unwrap().is_empty();
        assert_eq!(
            has_fix,
            finding["state"] != "ok",
            "a finding has a fix exactly when it needs one: {finding}"
        );
    }
    let words = kazasu(&["doctor", "--dir", &town.dir]);
    assert!(words.code == Some(0) && words.out.contains("the town is well"), "{words:#?}");
}

fn key_left_open(town: &Town) {
    let key = town.text("/terminals/0/key");
    let set = |mode| fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
    set(0o644);
    let ran = town.run(&["doctor"]);
    set(0o600);
    let report = ran.json();
    let failed = findings(&report, "fail");
    assert_eq!((ran.code, failed.len()), (Some(1), 1), "{report:#}");
    assert_eq!(failed[0]["check"], "key_files");
    assert!(failed[0]["fix_en"].as_str().unwrap().contains(key), "the fix names the file: {report:#}");
}

fn down(dir: &str) {
    let ran = kazasu(&["doctor", "--json", "--dir", dir]);
    let report = ran.json();
    assert_eq!((ran.code, &report["ok"]), (Some(1), &false.into()));
    let failed: Vec<&str> =
        findings(&report, "fail").iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    for check in ["room.eligibility", "room.jpki_authority", "room.terminal", "crl.auth"] {
        assert!(failed.contains(&check), "{failed:?}");
    }
    let words = kazasu(&["doctor", "--dir", dir]);
    assert!(words.code == Some(1) && words.out.contains("kazasu dev --dir"), "{words:#?}");
}
