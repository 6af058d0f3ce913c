//! The source tree in memory: every text file of the workspace that is not built or ignored.

use crate::process::workspace_root;
use std::collections::BTreeMap;
use std::path::Path;

/// Paths relative to the workspace root, with `/`, and their texts. Files that are no UTF-8 have none.
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

/// A line with its place, for messages.
pub(super) struct Line<'a> {
    pub(super) path: &'a str,
    /// Counted from 1.
    pub(super) place: usize,
    pub(super) text: &'a str,
}

impl Line<'_> {
    /// A finding here.
    pub(super) fn finding(&self, message: &str) -> String {
        format!("{}:{}: {message}", self.path, self.place)
    }

    /// Whether the line is a comment from its first character on.
    pub(super) fn is_comment(&self) -> bool {
        self.text.trim_start().starts_with("//")
    }
}

impl Tree {
    /// Reads the workspace.
    pub(super) fn read() -> Result<Self, String> {
        let root = workspace_root();
        let ignored = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let mut tree = Self { files: BTreeMap::new() };
        tree.walk(&root, "", &ignored)?;
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, prefix: &str, ignored: &str) -> Result<(), String> {
        let problem = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            // A test's folder may vanish while we walk.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(problem(error)),
        };
        for entry in entries {
            let entry = entry.map_err(problem)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if name == ".git" || is_ignored(&path, &name, ignored) {
                continue;
            }
            let kind = entry.file_type().map_err(problem)?;
            if kind.is_dir() {
                // Build folders carry this tag, whatever they are called.
                if !entry.path().join("CACHEDIR.TAG").exists() {
                    self.walk(&entry.path(), &format!("{path}/"), ignored)?;
                }
            } else if kind.is_file() {
                // A file may vanish while we walk (editors' swap files); what is gone has no text.
                let text = std::fs::read(entry.path()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                self.files.insert(path, text.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// A tree made of these files.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// Number of files.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether the path is a file, or a folder with files in it.
    pub(super) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }

    /// Files in `folder` (ends with `/`, or empty for all) whose names end with `ending`.
    pub(super) fn files(&self, folder: &str, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(folder) && path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Lines of those files.
    pub(super) fn lines(&self, folder: &str, ending: &str) -> impl Iterator<Item = Line<'_>> {
        self.files(folder, ending).flat_map(|(path, text)| {
            text.lines().enumerate().map(move |(at, text)| Line { path, place: at + 1, text })
        })
    }

    /// Folder names under `crates/`.
    pub(super) fn crates(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .files("crates/", "/Cargo.toml")
            .filter_map(|(path, _)| path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"))
            .filter(|name| !name.contains('/'))
            .collect();
        names.dedup();
        names
    }

    /// Manifests of the members.
    pub(super) fn manifests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files("", "Cargo.toml")
            .filter(|(path, text)| *path != "Cargo.toml" && !text.lines().any(|line| line == "[workspace]"))
    }
}

/// The three shapes our `.gitignore` uses: `/name` at the root, `*.ending`, and a bare name anywhere.
fn is_ignored(path: &str, name: &str, ignored: &str) -> bool {
    ignored.lines().map(|line| line.trim().trim_end_matches('/')).filter(|line| !line.is_empty()).any(
        |pattern| match (pattern.strip_prefix('/'), pattern.strip_prefix('*')) {
            (Some(at_root), _) => path == at_root,
            (_, Some(ending)) => name.ends_with(ending),
            _ => name == pattern,
        },
    )
}

/// Whether `word` stands in `text` with no letter, digit or underscore beside it.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|tail| tail.chars().next());
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

/// Entries of a TOML file, line by line: the section each line stands in, and the line.
pub(super) fn toml_lines(text: &str) -> impl Iterator<Item = (&str, &str, usize)> {
    let mut section = "";
    text.lines().enumerate().filter_map(move |(at, line)| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name;
            return None;
        }
        (!line.is_empty() && !line.starts_with('#')).then_some((section, line, at + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_edges() {
        assert!(has_word("let x: Word = 1;", "Word"));
        assert!(has_word("Word", "Word"));
        assert!(!has_word("WordCard", "Word"));
        assert!(!has_word("a_Word", "Word"));
        assert!(has_word("WordCard and Word", "Word"));
    }

    #[test]
    fn sections_are_followed() {
        let lines: Vec<_> = toml_lines("a = 1\n[x.y]\n# no\nb = 2\n\n[[z]]\nc = 3").collect();
        assert_eq!(lines, [("", "a = 1", 1), ("x.y", "b = 2", 4), ("[z", "c = 3", 7)]);
    }

    #[test]
    fn git_ignores_what_we_ignore() {
        let ignored = "/target\n*.profraw\n.state\n";
        assert!(is_ignored("target", "target", ignored));
        assert!(!is_ignored("crates/target", "target", ignored));
        assert!(is_ignored("a/x.profraw", "x.profraw", ignored));
        assert!(is_ignored("a/.state", ".state", ignored));
        assert!(!is_ignored("src", "src", ignored));
    }

    #[test]
    fn the_real_tree_has_its_crates() {
        let tree = Tree::read().unwrap();
        for name in ["app", "card", "card_io", "chassis", "eligibility", "jpki_authority", "pki", "protocol"]
        {
            assert!(tree.crates().contains(&name), "{name}");
        }
        assert!(tree.exists("crates/protocol/src/lib.rs") && tree.exists("docs") && !tree.exists("target"));
    }
}
