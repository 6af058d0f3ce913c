//! The sample config parses, and mistakes in it are named.

use std::path::Path;

#[test]
fn the_sample_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/eligibility.toml");
    let config = eligibility::serve::load_config(&path).unwrap();
    assert!(config.store.is_absolute() || config.store.starts_with(path.parent().unwrap()));
    assert_eq!(config.revocation.max_age_seconds, 86_400);
}

#[test]
fn an_unknown_key_is_named() {
    let sample =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/eligibility.toml"))
            .unwrap();
    let folder = crate::fixture::Folder::new();
    let path = folder.0.join("config.toml");
    std::fs::write(&path, sample.replace("refresh_seconds", "refresh_secs")).unwrap();
    let error = eligibility::serve::load_config(&path).unwrap_err().to_string();
    assert!(error.contains("refresh_secs"), "{error}");
}
