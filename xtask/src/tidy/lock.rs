//! What `Cargo.lock` may hold.

use super::tree::Tree;

/// Most packages, tests included. A budget, not a law: raise it with a decision record.
const PACKAGES_MAX: usize = 300;

/// Crates of which two versions would mean two ASN.1 or TLS worlds that do not fit together.
const PILLARS: [&str; 4] = ["der", "x509-cert", "rustls", "aws-lc-rs"];

/// Crates that may not even be optional: `deny.toml` has the reasons, and watches what is really built.
const BANNED: [&str; 6] = ["rsa", "openssl", "openssl-sys", "native-tls", "bincode", "rustls-pemfile"];

/// Few packages, none banned, each pillar once.
pub(super) fn lock_is_sound(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.text("Cargo.lock") else {
        return vec![
            "Cargo.lock: missing; it belongs to the tree, because every command runs with --locked"
                .to_owned(),
        ];
    };
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    let mut findings = Vec::new();
    if names.len() > PACKAGES_MAX {
        findings.push(format!(
            "Cargo.lock: {} packages, at most {PACKAGES_MAX}: take a dependency out, or raise the budget with a decision record",
            names.len()
        ));
    }
    for pillar in PILLARS {
        let count = names.iter().filter(|name| **name == pillar).count();
        if count != 1 {
            findings.push(format!("Cargo.lock: {count} versions of `{pillar}`, must be 1: find who pulls it with `cargo tree -i {pillar}`"));
        }
    }
    for banned in BANNED.iter().filter(|banned| names.contains(banned)) {
        findings.push(format!("Cargo.lock: `{banned}` is banned (reason in deny.toml): `cargo tree -i {banned}` says who wants it"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(names: &[&str]) -> Vec<String> {
        let pillars = PILLARS.iter().chain(names);
        let text: String =
            pillars.map(|name| format!("[[package]]\nname = \"{name}\"\nversion = \"1\"\n\n")).collect();
        lock_is_sound(&Tree::of(&[("Cargo.lock", &text)]))
    }

    #[test]
    fn what_does_not_belong_is_seen() {
        assert!(lock(&["serde"]).is_empty());
        assert!(lock(&["der"]).iter().any(|f| f.contains("2 versions of `der`")));
        assert!(lock(&["rsa"]).iter().any(|f| f.contains("`rsa` is banned")));
        assert_eq!(lock(&vec!["x"; 297]).len(), 1);
        assert_eq!(lock_is_sound(&Tree::of(&[])).len(), 1);
    }
}
