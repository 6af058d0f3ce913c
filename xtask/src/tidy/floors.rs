//! Floors, and what a manifest must say.

use super::tree::{Tree, toml_lines};

/// Which floor a crate stands on. `app` alone sees several rooms.
const FLOORS: [(&str, u8); 11] = [
    ("protocol", 0),
    ("card", 1),
    ("pki", 1),
    ("tlog", 1),
    ("card_io", 2),
    ("chassis", 2),
    ("hsm", 2),
    ("terminal", 3),
    ("eligibility", 3),
    ("jpki_authority", 3),
    ("app", 4),
];

/// Dependencies that one crate keeps from all others: the wall is why the crate exists.
const KEPT_TO_ONE: [(&str, &str); 1] = [("cryptoki", "hsm")];

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

/// The names under every kind of dependency section of a manifest, with their lines.
fn dependencies(manifest: &str) -> impl Iterator<Item = (String, &str, usize)> {
    toml_lines(manifest).filter_map(|(section, line, place)| {
        // `[dependencies]`, `[dev-dependencies]`, `[target.'cfg(unix)'.dependencies]`, `[dependencies.name]`.
        let last = section.rsplit('.').next().unwrap_or(section);
        let inside = |part: &str| matches!(part, "dependencies" | "dev-dependencies" | "build-dependencies");
        if inside(last) {
            let name = line.split(['.', '=', ' ']).next().unwrap_or(line);
            return Some((name.to_owned(), line, place));
        }
        let parent = section.rsplit('.').nth(1).unwrap_or("");
        inside(parent).then(|| (last.to_owned(), line, place))
    })
}

/// Crates see lower floors, and nothing beside or above them. Test dependencies count.
pub(super) fn lower_floors_only(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for name in tree.crates() {
        let path = format!("crates/{name}/Cargo.toml");
        let Some(own) = floor(name) else {
            findings.push(format!(
                "{path}: `{name}` stands on no floor: add it to FLOORS in xtask/src/tidy/floors.rs"
            ));
            continue;
        };
        for (other, _, place) in dependencies(tree.text(&path).unwrap_or("")) {
            if let Some((_, keeper)) =
                KEPT_TO_ONE.iter().find(|(kept, keeper)| *kept == other && *keeper != name)
            {
                findings.push(format!(
                    "{path}:{place}: only `{keeper}` depends on `{other}`: use what it offers"
                ));
            }
            let house = tree.exists(&format!("crates/{other}/Cargo.toml")) || floor(&other).is_some();
            match floor(&other) {
                Some(theirs) if theirs >= own => findings.push(format!(
                    "{path}:{place}: `{name}` (floor {own}) may not depend on `{other}` (floor {theirs}): \
                     move what both need to a lower floor, or let `app` bring them together"
                )),
                None if house => findings.push(format!(
                    "{path}:{place}: `{other}` stands on no floor: add it to FLOORS in xtask/src/tidy/floors.rs"
                )),
                _ if other == "xtask" => {
                    findings.push(format!("{path}:{place}: nobody depends on `xtask`"));
                }
                _ => {}
            }
        }
    }
    for (name, _, place) in dependencies(tree.text("xtask/Cargo.toml").unwrap_or("")) {
        findings.push(format!(
            "xtask/Cargo.toml:{place}: `{name}`: xtask has no dependencies, so that it starts at once"
        ));
    }
    findings
}

/// `name.workspace = true`, so that versions and reasons stand in one list.
pub(super) fn dependencies_are_inherited(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.manifests() {
        for (name, line, place) in dependencies(text) {
            let said = line.replace(' ', "");
            if !said.contains("workspace=true") {
                findings.push(format!(
                    "{path}:{place}: write `{name}.workspace = true`, with version and reason in the root Cargo.toml"
                ));
            }
        }
    }
    findings
}

/// A `#` behind every outside dependency of the workspace, and something after it.
pub(super) fn dependencies_have_reasons(tree: &Tree) -> Vec<String> {
    let manifest = tree.text("Cargo.toml").unwrap_or("");
    toml_lines(manifest)
        .filter(|(section, _, _)| *section == "workspace.dependencies")
        // Our own crates have theirs in ARCHITECTURE.md.
        .filter(|(_, line, _)| !line.contains("path = \"crates/"))
        .filter(|(_, line, _)| line.split_once(" # ").is_none_or(|(_, reason)| reason.trim().len() < 5))
        .map(|(_, line, place)| {
            let name = line.split([' ', '=']).next().unwrap_or(line);
            format!("Cargo.toml:{place}: say behind `# ` why `{name}` is needed and nothing smaller will do")
        })
        .collect()
}

/// `[lints] workspace = true`.
pub(super) fn lints_are_inherited(tree: &Tree) -> Vec<String> {
    tree.manifests()
        .filter(|(_, text)| {
            !toml_lines(text)
                .any(|(section, line, _)| section == "lints" && line.replace(' ', "") == "workspace=true")
        })
        .map(|(path, _)| format!("{path}: add `[lints]` with `workspace = true`"))
        .collect()
}

/// Each test binary links the whole room again; one with modules links once.
pub(super) fn one_test_binary(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for name in tree.crates() {
        let folder = format!("crates/{name}/tests/");
        for (path, _) in tree.files(&folder, ".rs") {
            let inner = path.strip_prefix(&folder).unwrap_or(path);
            let own_binary = !inner.contains('/') || (inner.ends_with("/main.rs") && inner != "it/main.rs");
            if own_binary {
                findings.push(format!(
                    "{path}: make it a module of {folder}it/main.rs: one test binary links once"
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(dependency: &str) -> Tree {
        Tree::of(&[
            ("crates/eligibility/Cargo.toml", &format!("[dependencies]\n{dependency}\n")),
            ("crates/terminal/Cargo.toml", "[dependencies]\n"),
        ])
    }

    #[test]
    fn a_lower_floor_is_fine_and_everything_else_is_refused() {
        assert!(lower_floors_only(&manifest("chassis.workspace = true")).is_empty());
        assert!(lower_floors_only(&manifest("serde.workspace = true")).is_empty());
        let found = lower_floors_only(&manifest("terminal.workspace = true"));
        assert_eq!(found.len(), 1);
        assert!(
            found.first().unwrap().contains("`eligibility` (floor 3) may not depend on `terminal` (floor 3)"),
            "{found:?}"
        );
        assert_eq!(lower_floors_only(&manifest("app = { workspace = true }")).len(), 1);
        assert_eq!(lower_floors_only(&manifest("xtask = { workspace = true }")).len(), 1);
    }

    #[test]
    fn a_wall_keeps_its_dependency() {
        let found = lower_floors_only(&manifest("cryptoki.workspace = true"));
        assert!(
            found.iter().any(|finding| finding.contains("only `hsm` depends on `cryptoki`")),
            "{found:?}"
        );
        let own = Tree::of(&[("crates/hsm/Cargo.toml", "[dependencies]\ncryptoki.workspace = true\n")]);
        assert!(lower_floors_only(&own).is_empty());
    }

    #[test]
    fn every_kind_of_section_counts() {
        for section in [
            "dev-dependencies",
            "build-dependencies",
            "target.'cfg(unix)'.dependencies",
            "dependencies.card_io",
        ] {
            let line =
                if section.ends_with("card_io") { "workspace = true" } else { "card_io.workspace = true" };
            let tree = Tree::of(&[("crates/chassis/Cargo.toml", &format!("[{section}]\n{line}\n"))]);
            let found = lower_floors_only(&tree);
            assert!(
                found.iter().any(|f| f.contains("`chassis` (floor 2) may not depend on `card_io`")),
                "{section}: {found:?}"
            );
        }
    }

    #[test]
    fn an_unknown_crate_must_choose_its_floor() {
        let tree = Tree::of(&[("crates/attic/Cargo.toml", "[dependencies]\n")]);
        assert!(lower_floors_only(&tree).iter().any(|f| f.contains("add it to FLOORS")));
    }

    #[test]
    fn xtask_takes_nothing() {
        let tree = Tree::of(&[("xtask/Cargo.toml", "[dependencies]\nserde.workspace = true\n")]);
        assert_eq!(lower_floors_only(&tree).len(), 1);
    }

    #[test]
    fn versions_stand_in_the_root() {
        assert!(
            dependencies_are_inherited(&manifest("serde = { workspace = true, features = [] }")).is_empty()
        );
        assert_eq!(dependencies_are_inherited(&manifest("serde = \"1\"")).len(), 1);
        assert_eq!(dependencies_are_inherited(&manifest("card = { path = \"../card\" }")).len(), 1);
    }

    #[test]
    fn reasons_are_words() {
        let root = |line: &str| Tree::of(&[("Cargo.toml", &format!("[workspace.dependencies]\n{line}\n"))]);
        assert!(dependencies_have_reasons(&root("hex = \"0.4\" # bytes in CLI output")).is_empty());
        assert!(dependencies_have_reasons(&root("card = { path = \"crates/card\" }")).is_empty());
        assert_eq!(dependencies_have_reasons(&root("hex = \"0.4\"")).len(), 1);
        assert_eq!(dependencies_have_reasons(&root("hex = \"0.4\" # ")).len(), 1);
    }

    #[test]
    fn lints_are_asked_for() {
        assert!(
            lints_are_inherited(&Tree::of(&[("a/Cargo.toml", "[lints]\nworkspace = true\n")])).is_empty()
        );
        assert_eq!(lints_are_inherited(&Tree::of(&[("a/Cargo.toml", "[dependencies]\n")])).len(), 1);
    }

    #[test]
    fn a_second_test_binary_is_seen() {
        let tree = |path: &str| {
            Tree::of(&[("crates/pki/Cargo.toml", ""), ("crates/pki/tests/it/main.rs", ""), (path, "")])
        };
        assert!(one_test_binary(&tree("crates/pki/tests/it/crl.rs")).is_empty());
        assert_eq!(one_test_binary(&tree("crates/pki/tests/crl.rs")).len(), 1);
        assert_eq!(one_test_binary(&tree("crates/pki/tests/crl/main.rs")).len(), 1);
    }
}
