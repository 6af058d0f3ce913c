//! Test data that others publish. None of it is in this tree: it is taken, at a fixed version, from a crate
//! that ships it, which cargo fetches once and keeps.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of a published crate's sources. The crate is only unpacked, never built.
pub(crate) fn crate_folder(name: &str, version: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("kazasu-vectors-{name}-{version}-{}", std::process::id()));
    write(&folder.join("src/lib.rs"), b"");
    let manifest = format!(
        "[package]\nname = \"vectors\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{name} = {{ version = \"={version}\", default-features = false }}\n\n[workspace]\n"
    );
    write(&folder.join("Cargo.toml"), manifest.as_bytes());
    let metadata = |more: &[&str]| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(folder.join("Cargo.toml"))
            .args(more)
            .output()
            .expect("cargo runs");
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    let text = metadata(&["--offline"])
        .or_else(|| metadata(&[]))
        .unwrap_or_else(|| panic!("cargo cannot fetch {name} {version}: the first run needs crates.io"));
    std::fs::remove_dir_all(&folder).unwrap();
    let mark = format!("/{name}-{version}/Cargo.toml\"");
    let end = text.find(&mark).expect("the crate is in cargo's metadata");
    let start = text[..end].rfind('"').expect("a quoted path") + 1;
    PathBuf::from(&text[start..end + mark.len() - "/Cargo.toml\"".len()])
}

#[expect(clippy::disallowed_methods, reason = "a test may write what it hands to another program")]
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test may read other people's data")]
pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
