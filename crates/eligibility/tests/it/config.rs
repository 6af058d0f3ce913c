//! The sample config parses, and mistakes in it are named.

use std::path::Path;

#[test]
fn the_sample_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/eligibility.toml");
    let config = eligibility::serve::load_config(&path).unwrap();
    assert!(config.store.is_absolute() || config.store.starts_with(path.parent().unwrap()));
    assert_eq!(config.revocation.max_age_seconds, 86_400);
    assert_eq!(config.unlock.card_profiles, protocol::answer::AllowedProfiles::ALL);
    assert_eq!(config.unlock.touches_per_card_and_day, 20);
}

/// What the sample says when `from` in it reads `to`.
fn bent(from: &str, to: &str) -> String {
    let sample =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/eligibility.toml"))
            .unwrap();
    assert!(sample.contains(from));
    let folder = crate::fixture::Folder::new();
    let path = folder.0.join("config.toml");
    std::fs::write(&path, sample.replace(from, to)).unwrap();
    eligibility::serve::load_config(&path).unwrap_err().to_string()
}

#[test]
fn an_unknown_key_is_named() {
    let error = bent("refresh_seconds", "refresh_secs");
    assert!(error.contains("refresh_secs"), "{error}");
}

#[test]
fn which_dialogues_are_taken_must_be_said() {
    let said = r#"card_profiles = ["eac", "jicsap"]"#;
    assert!(bent(said, "").contains("card_profiles"));
    assert!(bent(said, "card_profiles = []").contains("at least one card profile"));
    assert!(bent(said, r#"card_profiles = ["sm"]"#).contains("sm"));
}

#[test]
fn insurers_may_send_files_where_the_config_says_so() {
    let feed = r#"
[insurer_feed]
listen = "127.0.0.1:0"
client_ca = "ca/insurer-ca.pem"
spool = "spool"
bytes_max = 1000
[[insurer_feed.clients]]
insurer = "06990014"
name = "見本健康保険組合"
certificate = "ca/insurer.pem"
"#;
    let sample = include_str!("../../../../samples/eligibility.toml");
    let folder = crate::fixture::Folder::new();
    let path = folder.0.join("config.toml");
    let load = |feed: &str| {
        std::fs::write(&path, sample.to_owned() + feed).unwrap();
        eligibility::serve::load_config(&path)
    };
    assert!(load(&feed.replace("bytes_max", "bytes")).is_err());
    let feed = load(feed).unwrap().insurer_feed.unwrap();
    assert_eq!(feed.spool, folder.0.join("spool"));
    assert_eq!(feed.clients[0].certificate, folder.0.join("ca/insurer.pem"));
    assert_eq!(feed.clients[0].insurer.as_str(), "06990014");
    let error = eligibility::upload::senders(&feed.clients).unwrap_err().to_string();
    assert!(error.contains("ca/insurer.pem"), "{error}");
}
