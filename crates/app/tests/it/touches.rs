//! `kazasu card touch` for every specimen person, and what it says to those who type something else.

use crate::fixture::{Town, kazasu};
use crate::pcscd::Folder;
use serde_json::Value;
use std::collections::BTreeMap;

const VALIDITIES: [&str; 6] =
    ["valid", "invalid", "invalid_newer_exists", "no_coverage", "multiple", "valid_unregistered"];

/// One test for one town: everybody touches.
#[test]
fn every_specimen_gets_the_expected_answer_in_one_round_trip_and_one_signature() {
    let town = Town::start();
    let mut touched = BTreeMap::new();
    for person in town.patients() {
        let name = person["name"].as_str().unwrap();
        let (code, report) = town.touch(name);
        answers_as_expected(person, code, &report);
        costs_what_a_touch_may_cost(name, &report);
        touched.insert(name, report);
    }
    stories_are_told(&town, &touched);
    another_kind_of_card_is_named(&town);
    the_same_card_touches_again(&town);
    words_instead_of_json(&town);
    typed_wrong(&town);
    lists_everybody(&town);
    let logs = town.logs();
    let texts: Vec<String> = touched.values().flat_map(personal_texts).collect();
    assert!(texts.len() > 8, "{texts:?}");
    for text in texts {
        assert!(!logs.contains(&text), "a room logged what an answer holds: {text}");
    }
    drop(town.stop());
}

fn answers_as_expected(person: &Value, code: Option<i32>, touched: &Value) {
    let (name, expected) = (person["name"].as_str().unwrap(), person["expected"].as_str().unwrap());
    assert_eq!(touched["person"], name);
    assert_eq!(touched["flow"], "se-terminal", "{name}");
    assert_eq!(touched["profile"], "eac", "{name}");
    if VALIDITIES.contains(&expected) {
        assert_eq!(
            (code, &touched["answer"]["validity"]),
            (Some(0), &expected.into()),
            "{name}: {touched:#}"
        );
        assert!(touched.get("problem").is_none(), "{name}: an answer and a problem");
    } else {
        let problem = &touched["problem"];
        assert_eq!((code, &problem["code"]), (Some(1), &expected.into()), "{name}: {touched:#}");
        assert!(touched.get("answer").is_none(), "{name}: a problem and an answer");
        for text in ["receptionist", "vendor", "action"] {
            for language in ["ja", "en"] {
                assert!(!problem[text][language].as_str().unwrap().is_empty(), "{name}: {text} {language}");
            }
        }
        assert!(problem["audit_record"].is_u64(), "{name}: a refusal is on record too");
    }
}

fn costs_what_a_touch_may_cost(name: &str, touched: &Value) {
    assert_eq!(touched["network_round_trips"], 1, "{name}: {touched:#}");
    assert_eq!(touched["card_signatures"], 1, "{name}: {touched:#}");
    let steps = touched["steps"].as_array().unwrap();
    let at = |place: &str| steps.iter().filter(|step| step["where"] == place).count();
    assert_eq!(at("network"), 1, "{name}: {touched:#}");
    assert!(at("card") > 5 && at("secure_element") > 0, "{name}: {touched:#}");
    assert_eq!(at("network") + at("card") + at("secure_element") + at("terminal"), steps.len(), "{name}");
    for step in steps {
        assert!(!step["name"].as_str().unwrap().is_empty(), "{name}: {step}");
        assert!(step["ms"].as_f64().unwrap() >= 0.0, "{name}: {step}");
        let (bytes_out, bytes_in) = (step["bytes_out"].as_u64().unwrap(), step["bytes_in"].as_u64().unwrap());
        if step["where"] != "terminal" {
            assert!(bytes_out >= 4 && bytes_in >= 2, "{name}: {step}");
        }
    }
}

/// Texts of an answer that must not turn up in a log.
fn personal_texts(touched: &Value) -> Vec<String> {
    let answer = &touched["answer"];
    let mut texts: Vec<String> = answer["person"]["name"].as_str().map(str::to_owned).into_iter().collect();
    for coverage in answer["coverage"].as_array().into_iter().flatten() {
        texts.extend(coverage["number"].as_str().map(str::to_owned));
    }
    texts
}

fn stories_are_told(town: &Town, touched: &BTreeMap<&str, Value>) {
    for (name, reason) in
        [("lost", "certificateHold"), ("gone", "affiliationChanged"), ("returned", "cessationOfOperation")]
    {
        assert_eq!(touched[name]["problem"]["reason"], reason, "{name}");
    }
    let answer = |name: &str| &touched[name]["answer"];
    for (name, percent) in [("hanako", 30), ("taro", 20), ("saburo", 10)] {
        assert_eq!(answer(name)["coverage"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(answer(name)["coverage"][0]["copay_percent"], percent, "{name}");
    }
    assert_eq!(answer("taro")["coverage"][0]["relation"], "dependant");
    assert!(answer("saburo")["coverage"][0]["limit_class"].is_string());
    let moved = answer("moved");
    assert!(moved["newer"]["insurer_name"].is_string(), "which one: {moved:#}");
    let unlinked = answer("unlinked");
    assert!(unlinked["person"].is_null() && unlinked["why_not"].is_object(), "{unlinked:#}");
    let loads = unlinked["loads"].as_array().expect("who loaded last, and when");
    assert!(!loads.is_empty() && loads.iter().all(|load| load["loaded_at"].is_string()), "{unlinked:#}");
    assert!(town.person("taro")["sign_cert"].is_null(), "a child has no signature certificate");
}

/// A physician's card is no patient's: said before anybody is asked, and nothing leaves the desk.
fn another_kind_of_card_is_named(town: &Town) {
    let expected = &town.person("dr-sato")["expected"];
    let (code, touched) = town.touch("dr-sato");
    let problem = &touched["problem"];
    assert_eq!((code, &problem["code"], expected), (Some(1), expected, &"card_of_other_kind".into()));
    assert_eq!(problem["receptionist"]["ja"], "これは医療従事者の HPKI カードです。");
    assert_eq!(problem["receptionist"]["en"], "This is a health professional's HPKI card.");
    assert_eq!((&touched["network_round_trips"], &touched["card_signatures"]), (&0.into(), &0.into()));
}

/// The nonce of the next touch comes with the answer: no touch but the first pays for one.
fn the_same_card_touches_again(town: &Town) {
    let (code, touched) = town.touch("hanako");
    assert_eq!(code, Some(0));
    costs_what_a_touch_may_cost("hanako", &touched);
}

fn words_instead_of_json(town: &Town) {
    let said = kazasu(&["card", "touch", "hanako", "--dir", &town.dir]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    for words in ["有効", "3割", "往復 1 回", "1 network round trip", "1 card signature"] {
        assert!(said.out.contains(words), "{words}: {said:#?}");
    }
    let refused = kazasu(&["card", "touch", "lost", "--dir", &town.dir]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.out.contains("certificate_hold") && refused.out.contains('→'), "{refused:#?}");
}

fn typed_wrong(town: &Town) {
    let (code, said) = town.touch("nobody");
    assert_eq!((code, &said["problem"]["code"]), (Some(1), &"person_unknown".into()));
    let refused = town.run(&["card", "touch", "hanako", "--flow", "server-held"]);
    assert_eq!((refused.code, &refused.json()["problem"]["code"]), (Some(1), &"not_built_yet".into()));
    let served = town.run(&["card", "serve", "nobody"]);
    assert_eq!((served.code, &served.json()["problem"]["code"]), (Some(1), &"person_unknown".into()));
}

fn lists_everybody(town: &Town) {
    let listed = town.run(&["card", "list"]);
    assert_eq!(listed.code, Some(0));
    let listed = listed.json();
    assert_eq!(listed.as_array().unwrap(), town.people());
    let words = kazasu(&["card", "list", "--dir", &town.dir]);
    for person in town.people() {
        assert!(words.out.contains(person["name"].as_str().unwrap()), "{words:#?}");
        assert!(words.out.contains(person["story_en"].as_str().unwrap()), "{words:#?}");
    }
}

#[test]
fn usage_errors_are_2_and_a_missing_town_is_1() {
    for wrong in [
        &["card", "touch"][..],
        &["card", "touch", "hanako", "--flow", "sideways"],
        &["dev", "--ports-from", "70000"],
        &["serve", "kitchen", "--config", "x.toml"],
        &["surprise"],
        &[],
    ] {
        let ran = kazasu(wrong);
        assert_eq!(ran.code, Some(2), "{wrong:?}: {ran:#?}");
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{wrong:?}: {ran:#?}");
    }
    let empty = Folder::new();
    let dir = empty.text("nothing here");
    for command in
        [&["card", "touch", "hanako"][..], &["card", "list"], &["card", "serve", "hanako"], &["doctor"]]
    {
        let ran = kazasu(&[command, &["--json", "--dir", &dir]].concat());
        assert_eq!(
            (ran.code, &ran.json()["problem"]["code"]),
            (Some(1), &"town_not_running".into()),
            "{command:?}"
        );
        let words = kazasu(&[command, &["--dir", &dir]].concat());
        assert!(words.code == Some(1) && words.out.contains("kazasu dev"), "the fix is named: {words:#?}");
    }
}
