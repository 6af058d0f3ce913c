//! Pages and samples that must stay true.

use super::tree::{Tree, has_word};

/// A sample that no test reads is a sample that is wrong.
pub(super) fn samples_are_tested(tree: &Tree) -> Vec<String> {
    tree.files("samples/", ".toml")
        .filter_map(|(path, _)| {
            let name = path.rsplit('/').next()?;
            let named = tree.files("crates/", ".rs").any(|(_, text)| is_test(text) && text.contains(name));
            (!named).then(|| format!("{path}: name it in a test that parses it (include_str!)"))
        })
        .collect()
}

fn is_test(text: &str) -> bool {
    text.contains(concat!("#[", "test]")) || text.contains("::test]") || text.contains("::test(")
}

/// One row of the glossary.
struct Term<'a> {
    place: usize,
    code: &'a str,
    japanese: &'a str,
}

/// Rows of the table: | `code` | 日本語 | one line | source |.
fn terms(glossary: &str) -> impl Iterator<Item = Term<'_>> {
    glossary.lines().enumerate().filter_map(|(at, line)| {
        let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
        let code = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some(Term { place: at + 1, code, japanese: cells.next()? })
    })
}

/// How many lines below its alias an item's name may stand: other attributes and the head of a macro come between.
const ALIAS_REACH: usize = 12;

/// Every row names an item that carries its Japanese alias, and every item's Japanese alias has its row.
pub(super) fn glossary_is_true(tree: &Tree) -> Vec<String> {
    let page = "docs/glossary.md";
    let Some(glossary) = tree.text(page) else {
        return vec![format!("{page}: missing")];
    };
    let rows: Vec<Term<'_>> = terms(glossary).collect();
    let mut findings = Vec::new();
    if rows.is_empty() {
        findings.push(format!("{page}: no rows of the form | `code` | 日本語 | one line | source |"));
    }
    let aliases = aliases(tree);
    for row in &rows {
        let Some(alias) =
            aliases.iter().find(|alias| alias.text == row.japanese && has_word(&alias.item, row.code))
        else {
            findings.push(format!(
                "{page}:{}: no item `{}` in crates/ carries #[doc(alias = \"{}\")]: add the alias, or take the row out until it is built",
                row.place, row.code, row.japanese
            ));
            continue;
        };
        if rows.iter().filter(|other| other.code == row.code && other.japanese == row.japanese).count() > 1 {
            findings.push(format!("{page}:{}: `{}` stands twice ({})", row.place, row.code, alias.place));
        }
    }
    // Variants and methods may carry an alias without a row; items of a module may not.
    for alias in aliases.iter().filter(|alias| alias.at_module_level) {
        if !rows.iter().any(|row| row.japanese == alias.text) {
            findings.push(format!("{}: `{}` has no row in {page}: add one", alias.place, alias.text));
        }
    }
    findings
}

/// A Japanese alias in the code, and the lines behind it in which its item is named.
struct Alias<'a> {
    place: String,
    text: &'a str,
    item: String,
    at_module_level: bool,
}

fn aliases(tree: &Tree) -> Vec<Alias<'_>> {
    let mut found = Vec::new();
    for (path, text) in tree.files("crates/", ".rs") {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((_, rest)) =
                line.trim_start().strip_prefix("#[").and_then(|line| line.split_once("doc(alias"))
            else {
                continue;
            };
            let item = lines.iter().skip(at + 1).take(ALIAS_REACH).copied().collect::<Vec<_>>().join("\n");
            // `alias = "…"` or `alias("…", "…")`: every second piece between quotation marks.
            for text in rest.split('"').skip(1).step_by(2).filter(|text| !text.is_ascii()) {
                let at_module_level = line.starts_with('#');
                found.push(Alias {
                    place: format!("{path}:{}", at + 1),
                    text,
                    item: item.clone(),
                    at_module_level,
                });
            }
        }
    }
    found
}

/// A relative link in a page leads to a file or folder of the tree.
pub(super) fn links_lead_somewhere(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for line in tree.lines("", ".md") {
        for (_, rest) in line.text.match_indices("](").map(|(at, _)| line.text.split_at(at + 2)) {
            let Some(target) = rest.split([')', '#', ' ']).next() else { continue };
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let folder = line.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            if !tree.exists(&joined(folder, target)) {
                findings.push(line.finding(&format!("`{target}` leads nowhere")));
            }
        }
    }
    findings
}

/// `target` seen from `folder`, without `.` and `..`.
fn joined(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The test command of README and CI.
const TEST_COMMAND: &str = "cargo xtask test";

/// Who reads the README and who reads the CI log run the same thing.
pub(super) fn one_test_command(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for page in ["README.md", "README.ja.md"] {
        if let Some(text) = tree.text(page).filter(|text| !text.contains(TEST_COMMAND)) {
            findings.push(format!("{page}: {} characters, and `{TEST_COMMAND}` not among them", text.len()));
        }
    }
    match tree.text(".ci/run") {
        None => findings.push(".ci/run: missing".to_owned()),
        Some(script) => {
            let runs = |line: &&str| {
                let prelude = ["#", "set ", "cd "].iter().any(|start| line.starts_with(start));
                !line.is_empty() && !prelude
            };
            let commands: Vec<&str> = script.lines().map(str::trim).filter(runs).collect();
            if commands != [TEST_COMMAND] {
                findings
                    .push(format!(".ci/run: runs {commands:?}; it runs `{TEST_COMMAND}` and nothing else"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_wants_a_test() {
        let with = |code: &str| {
            samples_are_tested(&Tree::of(&[("samples/room.toml", ""), ("crates/app/tests/it/main.rs", code)]))
                .len()
        };
        assert_eq!(with("#[test]\nfn parses() { include_str!(\"../samples/room.toml\"); }"), 0);
        assert_eq!(with("fn parses() { include_str!(\"../samples/room.toml\"); }"), 1);
        assert_eq!(with("#[test]\nfn other() {}"), 1);
    }

    const PAGE: &str =
        "| code | 日本語 | one line | source |\n|---|---|---|---|\n| `Coverage` | 資格 | what | FHIR |\n";

    #[test]
    fn rows_and_aliases_must_meet() {
        let with = |code: &str| {
            glossary_is_true(&Tree::of(&[("docs/glossary.md", PAGE), ("crates/protocol/src/a.rs", code)]))
        };
        assert!(with("#[doc(alias = \"資格\")]\n#[derive(Debug)]\npub struct Coverage;").is_empty());
        assert_eq!(with("pub struct Coverage;").len(), 1);
        assert_eq!(with("#[doc(alias = \"資格\")]\npub struct Cover;").len(), 1);
        let second = "#[doc(alias = \"資格\")]\npub struct Coverage;\n#[doc(alias(\"記号\", \"ascii\"))]\npub struct Symbol;";
        let found = with(second);
        assert_eq!(found.len(), 1);
        assert!(found.first().unwrap().contains("`記号` has no row"), "{found:?}");
        let variant =
            "#[doc(alias = \"資格\")]\npub enum Coverage {\n    #[doc(alias = \"家族\")]\n    Dependant,\n}";
        assert!(with(variant).is_empty());
        assert_eq!(glossary_is_true(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn dead_links_are_seen() {
        let with = |text: &str| {
            links_lead_somewhere(&Tree::of(&[("docs/a.md", text), ("crates/x/b.rs", ""), ("README.md", "")]))
                .len()
        };
        assert_eq!(with("[a](../README.md#top) [b](../crates/x) [c](https://example.org/x) [d](#here)"), 0);
        assert_eq!(with("[a](b.md)"), 1);
        assert_eq!(with("[a](../README.md) [b](../nope)"), 1);
    }

    #[test]
    fn ci_runs_the_one_command() {
        let with = |script: &str| one_test_command(&Tree::of(&[(".ci/run", script)])).len();
        assert_eq!(
            with("#!/usr/bin/env bash\nset -euo pipefail\ncd \"$(dirname \"$0\")/..\"\ncargo xtask test\n"),
            0
        );
        assert_eq!(with("set -e\ncargo xtask test --fast\n"), 1);
        assert_eq!(with("set -e\ncargo xtask test\nrm -rf target\n"), 1);
        assert_eq!(one_test_command(&Tree::of(&[])).len(), 1);
        assert_eq!(
            one_test_command(&Tree::of(&[(".ci/run", "cargo xtask test"), ("README.md", "x")])).len(),
            1
        );
    }
}
