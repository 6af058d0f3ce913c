//! What a source file may not hold.

use super::tree::{Line, Tree};

/// Longest file, in lines. Reason: a file is read in one sitting or not at all.
const LINES_MAX: usize = 800;

/// Kinds of files a person writes.
const WRITTEN: [&str; 9] = [".rs", ".md", ".toml", ".html", ".css", ".js", ".sql", ".sh", ".svg"];

/// No written file is longer than [`LINES_MAX`].
pub(super) fn files_are_short(tree: &Tree) -> Vec<String> {
    WRITTEN
        .iter()
        .flat_map(|ending| tree.files("", ending))
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines, at most {LINES_MAX}: split it along a noun"))
        .collect()
}

/// Lines of code (not comments) in which one of `marks` stands.
fn marked<'a>(tree: &'a Tree, marks: &'a [&'a str]) -> impl Iterator<Item = (Line<'a>, &'a str)> {
    tree.lines("", ".rs").filter(|line| !line.is_comment()).filter_map(|line| {
        let mark = marks.iter().find(|mark| line.text.contains(**mark))?;
        Some((line, *mark))
    })
}

/// `allow` stays silent when its cause is gone; `expect` complains.
pub(super) fn no_allow(tree: &Tree) -> Vec<String> {
    marked(tree, &[concat!("#[", "allow("), concat!("#![", "allow(")])
        .map(|(line, mark)| line.finding(&format!("`{mark}`: write `#[expect(…, reason = \"…\")]`")))
        .collect()
}

/// No code for later.
pub(super) fn no_stubs(tree: &Tree) -> Vec<String> {
    marked(tree, &[concat!("to", "do!("), concat!("unimple", "mented!(")])
        .map(|(line, mark)| {
            line.finding(&format!("`{mark}`: build it, or leave it out and say so in docs/divergences.md"))
        })
        .collect()
}

/// No test that does not run.
pub(super) fn no_ignored_tests(tree: &Tree) -> Vec<String> {
    marked(tree, &[concat!("#[", "ignore")])
        .map(|(line, mark)| {
            line.finding(&format!(
                "`{mark}`: repair the test or remove it; the slow ones have their own group"
            ))
        })
        .collect()
}

/// Homes of people on the usual systems.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("\\Us", "ers\\")];

/// No path that exists on one machine only.
pub(super) fn no_machine_paths(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for line in tree.lines("", "").filter(|line| line.path != "Cargo.lock") {
        for mark in MACHINE_PATHS {
            // In the middle of a longer path or an address it is somebody's folder name, not the system's.
            let starts_path = line.text.match_indices(mark).any(|(at, _)| {
                let before = line.text.get(..at).and_then(|head| head.chars().next_back());
                !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}' | '~'))
            });
            if starts_path {
                findings.push(line.finding(&format!(
                    "`{mark}…` exists on one machine: use a relative path or std::env::temp_dir()"
                )));
            }
        }
    }
    findings
}

/// Keys are made at run time. In code the header may be named, with no key behind it.
pub(super) fn no_private_keys(tree: &Tree) -> Vec<String> {
    let header = concat!("PRIVATE", " KEY-----");
    let mut findings = Vec::new();
    for (path, text) in tree.files("", "") {
        for ending in [".key", ".p8", ".p12", ".pfx"] {
            if path.ends_with(ending) {
                findings.push(format!("{path}: looks like a private key: make keys at run time"));
            }
        }
        let mut lines = text.lines().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            let begins = line.contains("-----BEGIN") && line.contains(header);
            let body =
                lines.peek().is_some_and(|(_, next)| looks_like_base64(next.trim().trim_start_matches('"')));
            if begins && (body || !path.ends_with(".rs")) {
                findings.push(format!("{path}:{}: a private key: make keys at run time", at + 1));
            }
        }
    }
    findings
}

fn looks_like_base64(line: &str) -> bool {
    let body = line.trim_end_matches(['"', '\\', 'n', ',']);
    body.len() >= 40 && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<String>, path: &str, text: &str) -> usize {
        rule(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn the_801st_line_is_seen() {
        assert_eq!(found(files_are_short, "a.rs", &"x\n".repeat(800)), 0);
        assert_eq!(found(files_are_short, "a.rs", &"x\n".repeat(801)), 1);
        assert_eq!(found(files_are_short, "LICENSE", &"x\n".repeat(801)), 0);
    }

    #[test]
    fn marks_are_seen_in_code_and_not_in_comments() {
        let allow = concat!("#[", "allow(dead_code)]");
        assert_eq!(found(no_allow, "a.rs", allow), 1);
        assert_eq!(found(no_allow, "a.rs", &format!("// {allow}")), 0);
        assert_eq!(found(no_allow, "a.md", allow), 0);
        assert_eq!(found(no_stubs, "a.rs", concat!("    to", "do!()")), 1);
        assert_eq!(found(no_ignored_tests, "a.rs", concat!("#[", "ignore = \"slow\"]")), 1);
    }

    #[test]
    fn homes_are_seen() {
        let home = concat!("/ho", "me/someone/x");
        assert_eq!(found(no_machine_paths, "a.md", &format!("see {home}")), 1);
        assert_eq!(found(no_machine_paths, "a.md", &format!("see https://example.org{home}")), 0);
        assert_eq!(found(no_machine_paths, "a.toml", "dir = \"./state\""), 0);
    }

    #[test]
    fn keys_are_seen() {
        let header = concat!("-----BEGIN PRIVATE", " KEY-----");
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        assert_eq!(found(no_private_keys, "a.pem", &format!("{header}\n{body}\n")), 1);
        assert_eq!(found(no_private_keys, "a.rs", &format!("\"{header}\n{body}\n\"")), 1);
        assert_eq!(found(no_private_keys, "a.rs", &format!("if text.contains(\"{header}\") {{")), 0);
        assert_eq!(found(no_private_keys, "a.key", ""), 1);
    }
}
