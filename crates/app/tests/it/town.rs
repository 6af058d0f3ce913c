//! `kazasu dev`: sets itself up, carries on, stops cleanly, leaves nothing behind.

use crate::cards;
use crate::fixture::{Running, Town, children_of, free_ports, get, is_running, kazasu};
use crate::pcscd::{Folder, eventually};
use serde_json::Value;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One folder through all of it: keys are made once.
#[test]
fn a_town_sets_itself_up_once_and_carries_on_with_the_same_data() {
    let folder = Folder::new();
    let dir = folder.text("town");
    one_check_and_out(&dir);
    let before = certificates(&dir);
    assert!(before.len() > 15, "{before:?}");
    let town = Town::start_in(folder);
    assert_eq!(certificates(&dir), before, "a second start makes nothing anew");
    says_everything_that_scripts_need(&town);
    keeps_private_keys_private(&dir);
    cards::every_card_is_read_with_what_the_description_says(&town);
    cards::no_holders_number_is_outside_the_cards(&town, &dir);
    a_second_town_in_one_folder_is_refused(&town);
    let (code, touched) = town.touch("hanako");
    assert_eq!((code, &touched["answer"]["validity"]), (Some(0), &"valid".into()), "{touched:#}");
    let rooms = children_of(town.dev.pid());
    assert_eq!(rooms.len(), 3, "one process per room");
    let json = town.json.clone();
    let folder = town.stop();
    for room in rooms {
        assert!(!is_running(room), "a room outlived Ctrl-C");
    }
    every_room_runs_by_itself(&folder, &json);
    a_config_with_a_mistake_is_named(&folder, &json);
    a_taken_port_is_named(&folder);
}

fn one_check_and_out(dir: &str) {
    let ports = free_ports().to_string();
    let once = kazasu(&["dev", "--once", "--dir", dir, "--ports-from", &ports]);
    assert_eq!(once.code, Some(0), "{once:#?}");
    for words in ["有効", "kazasu card touch hanako", "kazasu card touch lost", "kazasu doctor", "/kiosk"] {
        assert!(once.out.contains(words), "{words}: {once:#?}");
    }
}

/// Every certificate below the town, by its place.
fn certificates(dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = files(Path::new(dir))
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .filter(|(_, text)| text.starts_with(b"-----BEGIN CERTIFICATE-----"))
        .collect();
    found.sort();
    found
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn says_everything_that_scripts_need(town: &Town) {
    let file: Value =
        serde_json::from_slice(&fs::read(Path::new(&town.dir).join("town.json")).unwrap()).unwrap();
    assert_eq!(file, town.json, "--json prints the file");
    for room in ["eligibility", "jpki_authority", "terminal"] {
        let entry = |key: &str| town.text(&format!("/rooms/{room}/{key}"));
        assert!(entry("url").starts_with("http"), "{room}");
        assert!(Path::new(entry("store")).exists(), "{room}: {}", entry("store"));
        assert!(fs::read_to_string(entry("ca")).unwrap().contains("BEGIN CERTIFICATE"), "{room}");
        assert_eq!(get(entry("ready")).0, 200, "{room}");
    }
    for pointer in ["crl", "auth_ca", "sign_ca"] {
        town.text(&format!("/rooms/jpki_authority/{pointer}"));
    }
    let (status, content_type, page) = get(town.text("/rooms/terminal/kiosk"));
    assert!(status == 200 && content_type.starts_with("text/html"), "{status} {content_type}");
    assert!(page.contains("data-phase=\"") && page.contains("lang=\"ja\""), "{page}");
    for terminal in town.json["terminals"].as_array().unwrap() {
        assert_eq!(terminal["institution"].as_str().unwrap().len(), 10);
        for file in ["cert", "key"] {
            assert!(Path::new(terminal[file].as_str().unwrap()).is_file(), "{terminal}");
        }
    }
    for name in ["hanako", "taro", "saburo", "moved", "lost", "returned", "gone", "unlinked"] {
        let person = town.person(name);
        assert!(Path::new(person["auth_cert"].as_str().unwrap()).is_file(), "{person}");
        assert!(person["pin"].as_str().unwrap().len() == 4, "{person}");
        let signs = (person["sign_cert"].is_string(), person["sign_password"].is_string());
        assert_eq!(signs, (name != "taro", name != "taro"), "{person}");
    }
}

/// Whatever holds a private key is its owner's alone.
fn keeps_private_keys_private(dir: &str) {
    let mut count = 0;
    for path in files(Path::new(dir)) {
        let in_keys = path.parent().unwrap().ends_with("keys");
        let end = path.extension().and_then(|end| end.to_str());
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let holds_key =
            text.contains("PRIVATE KEY") || text.contains("private_key") || text.contains("key_pkcs8");
        if in_keys || holds_key || matches!(end, Some("key" | "card")) {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            count += 1;
        }
    }
    // Ten cards, two terminals, two servers, two authorities of the town, three of health professionals,
    // three keys of the card-issuing office, and the rooms' own.
    assert!(count >= 24, "{count}");
}

fn a_second_town_in_one_folder_is_refused(town: &Town) {
    let ports = free_ports().to_string();
    let second = kazasu(&["dev", "--once", "--dir", &town.dir, "--ports-from", &ports]);
    assert_eq!(second.code, Some(1), "{second:#?}");
    assert!(second.err.contains("already running") && second.err.contains(&town.dir), "{second:#?}");
    assert_eq!(get(town.text("/rooms/eligibility/ready")).0, 200, "the first one goes on");
}

/// `serve ROOM --config FILE`, as an init system would run it: SIGTERM ends it.
fn every_room_runs_by_itself(folder: &Folder, town: &Value) {
    for (name, entry) in town["rooms"].as_object().unwrap() {
        let text = |key: &str| entry[key].as_str().unwrap();
        let mut room = Running::start(folder, &["serve", name, "--config", text("config")]);
        let alive = text("ready").replace("readyz", "livez");
        eventually("the room answers", Duration::from_secs(30), || {
            assert!(is_running(room.pid()), "{name} ended: {}", room.said());
            let (host, _) = alive.strip_prefix("http://")?.split_once('/')?;
            TcpStream::connect(host).ok()
        });
        assert_eq!(get(&alive).0, 200, "{name}");
        room.signal("TERM");
        assert_eq!(room.wait().code(), Some(0), "{name}: {}", room.said());
    }
}

fn a_config_with_a_mistake_is_named(folder: &Folder, town: &Value) {
    for (name, entry) in town["rooms"].as_object().unwrap() {
        let text = fs::read_to_string(entry["config"].as_str().unwrap()).unwrap();
        let file = folder.file("mistake.toml", format!("surprise = 1\n{text}"));
        let ran = kazasu(&["serve", name, "--config", &file]);
        assert_eq!(ran.code, Some(1), "{name}: {ran:#?}");
        assert!(ran.err.contains("surprise") && ran.err.contains(&file), "file and key are named: {ran:#?}");
    }
}

fn a_taken_port_is_named(folder: &Folder) {
    let first = free_ports();
    let _taken = TcpListener::bind(("127.0.0.1", first)).unwrap();
    let ran = kazasu(&["dev", "--once", "--dir", &folder.text("town"), "--ports-from", &first.to_string()]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.err.to_lowercase().contains("in use"), "the reason is in the words: {ran:#?}");
}

#[test]
fn no_room_outlives_dev_however_dev_ends() {
    let mut town = Town::start();
    let rooms = children_of(town.dev.pid());
    assert_eq!(rooms.len(), 3);
    assert!(rooms.iter().all(|room| is_running(*room)));
    town.dev.signal("KILL");
    assert_eq!(town.dev.wait().code(), None, "killed, not ended");
    eventually("the rooms see that dev is gone", Duration::from_secs(15), || {
        rooms.iter().all(|room| !is_running(*room)).then_some(())
    });
    // And the town it left behind is as good as before.
    let Town { folder, .. } = town;
    let town = Town::start_in(folder);
    assert_eq!(town.touch("hanako").0, Some(0));
    drop(town.stop());
}
