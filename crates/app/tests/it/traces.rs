//! A touch that is recorded: private, without secrets, and of no use to whoever plays it again.

use crate::fixture::{Town, kazasu};
use crate::pcscd::Folder;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn a_recorded_touch_is_private_and_cannot_be_played_again() {
    let town = Town::start();
    let folder = Folder::new();
    let file = folder.file("touch.trace", "what was there before, readable by everybody");
    let touched = town.run(&["card", "touch", "hanako", "--trace", &file]);
    assert_eq!((touched.code, &touched.json()["answer"]["validity"]), (Some(0), &"valid".into()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("kazasu card trace 1\n"), "{text}");
    assert!(
        text.contains("\non\n> ") && text.ends_with("off\n"),
        "whole, from power on to power off: {text}"
    );
    // The very same card, as it was: but its challenge is another one, so nothing of the institution's proof
    // holds, and the card does not sign.
    let replayed = town.run(&["card", "replay", &file, "--card", "hanako"]);
    let told = replayed.json();
    assert_eq!((replayed.code, &told["problem"]["code"]), (Some(1), &"trace_differs".into()), "{told:#}");
    let exchanges = told["exchanges"].as_array().unwrap();
    let last = exchanges.last().unwrap();
    assert_eq!(last["recorded"], "9000");
    assert_ne!(last["now"], "9000", "a signature for a wire-tapper: {told:#}");
    assert!(told["random"].as_u64().unwrap() >= 1, "the challenge: {told:#}");
    // Words for people, and the other ways to be wrong.
    let words = kazasu(&["card", "replay", &file, "--card", "hanako", "--dir", &town.dir]);
    assert!(words.out.contains("✕") && words.out.contains("code: trace_differs"), "{words:#?}");
    assert_eq!(town.run(&["card", "replay", &file]).code, Some(2), "against which card?");
    let both = ["card", "touch", "hanako", "--trace", &file, "--reader", "x"];
    assert_eq!(town.run(&both).code, Some(2), "a card in a reader is somebody else's to record");
    assert_eq!(town.run(&["card", "touch", "hanako", "--trace-secrets"]).code, Some(2));
    drop(town.stop());
}

#[test]
fn readers_without_a_driver_are_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let dir = folder.text("readers");
    let write =
        |more: &[&str]| kazasu(&[&["card", "readers", "--write-config", &dir, "--json"], more].concat());
    let missing = write(&["--driver", "/nowhere/libifdvpcd.so"]);
    assert_eq!(missing.json()["problem"]["code"], "reader_driver_missing", "{missing:#?}");
    assert!(missing.json()["problem"]["action"]["en"].as_str().unwrap().contains("apt-get install"));
    assert_eq!(missing.code, Some(1));
    let driver = folder.file("libifdvpcd.so", "a driver");
    let unnamed = write(&["--driver", &driver, "--name", "a \"quoted\" name"]);
    assert_eq!(unnamed.json()["problem"]["code"], "malformed_request", "{unnamed:#?}");
    assert!(!fs::exists(&dir).unwrap());
    for usage in [&["--count", "0"][..], &["--count", "9"], &["--port-from", "80"]] {
        assert_eq!(write(usage).code, Some(2), "{usage:?}");
    }
    let written = write(&["--driver", &driver, "--count", "2", "--port-from", "36300"]).json();
    assert_eq!(written["readers"].as_array().unwrap().len(), 4, "{written:#}");
    for port in [36300, 36302] {
        assert_eq!(fs::read_to_string(format!("{dir}/libifdvpcd-{port}.so")).unwrap(), "a driver");
    }
}
