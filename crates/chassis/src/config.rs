//! Configuration: a TOML file, overridden by the environment; every error names file, line and key.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The environment prefix of every room: `KAZASU__SECTION__KEY=value`.
pub const ENVIRONMENT_PREFIX: &str = "KAZASU";

/// Where a TLS identity lies. Both files are PEM.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The X.509 chain shown to the other end, its own one first, without the trust anchor.
    pub cert: PathBuf,
    /// The private key of the first one (PKCS#8 or SEC 1), readable by its owner only.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The same files with relative paths taken from `base` (the folder of the config file).
    #[must_use]
    pub fn resolved(&self, base: &Path) -> Self {
        Self { cert: resolve(base, &self.cert), key: resolve(base, &self.key) }
    }
}

/// `path` as it is if absolute, else from `base`.
pub fn resolve(base: &Path, path: &Path) -> PathBuf {
    base.join(path)
}

/// The folder that relative paths in the config file at `path` are taken from: its own.
pub fn base_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML, or a key is missing, unknown or of the wrong type.
    #[error("{}:{line}: {key}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// Dotted name of the key concerned; `(top level)` if none.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value from the environment does not fit.
    #[error("environment variable {variable}: {problem}")]
    Environment {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads the TOML file at `path`, overridden by the environment.
///
/// `PREFIX__SECTION__KEY=value` sets `key` in `[section]` (names in lower case, two underscores between
/// levels). The value is read as TOML if it is TOML (`7001`, `true`, `["a", "b"]`), else as text; a key
/// that is text in the file stays text. Other variables are left alone.
///
/// # Errors
/// [`ConfigError`] naming file, line and key, or the variable.
pub fn load<T: DeserializeOwned>(path: &Path, env_prefix: &str) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
    // Variables that are not UTF-8 cannot be ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    parse(path, &text, overrides(env_prefix, variables))
}

/// Reads TOML from `text` without looking at the environment; `path` only appears in errors. For
/// configurations compiled into tests and samples.
///
/// # Errors
/// [`ConfigError::Invalid`].
pub fn parse_text<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    parse(path, text, Vec::new())
}

/// One variable that overrides a key.
#[derive(Debug)]
struct Override {
    variable: String,
    keys: Vec<String>,
    value: String,
}

fn overrides(prefix: &str, variables: impl Iterator<Item = (String, String)>) -> Vec<Override> {
    let mut found: Vec<Override> = variables
        .filter_map(|(variable, value)| {
            let keys = variable.strip_prefix(prefix)?.strip_prefix("__")?;
            let keys = keys.split("__").map(str::to_ascii_lowercase).collect();
            Some(Override { variable, keys, value })
        })
        .collect();
    // The environment has no order; errors should have one.
    found.sort_by(|one, other| one.variable.cmp(&other.variable));
    found
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str, overrides: Vec<Override>) -> Result<T, ConfigError> {
    // Values from the environment are parsed at offsets behind the end of the file, each in a range of
    // its own: whatever the deserializer complains about, its offset tells where it came from.
    let mut ends = vec![text.len() + 1];
    let padded: Vec<String> = overrides
        .iter()
        .map(|change| {
            let start = ends.last().copied().unwrap_or_default();
            let padded = format!("{}v = {}", "\n".repeat(start), change.value);
            ends.push(padded.len() + 1);
            padded
        })
        .collect();
    let blame = |error: &toml::de::Error, names: &[(Range<usize>, String)]| {
        let span = error.span().unwrap_or_default();
        let at = span.start;
        let problem = error.message().trim().replace('\n', ", ");
        match ends.iter().rposition(|start| *start <= at) {
            Some(index) if index < overrides.len() => ConfigError::Environment {
                variable: overrides.get(index).map(|change| change.variable.clone()).unwrap_or_default(),
                problem,
            },
            _ => ConfigError::Invalid {
                path: path.to_path_buf(),
                line: text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1,
                key: names
                    .iter()
                    .filter(|(range, _)| !span.is_empty() && range.start <= at && span.end <= range.end)
                    .min_by_key(|(range, _)| range.len())
                    .map_or_else(|| "(top level)".to_owned(), |(_, name)| name.clone()),
                problem,
            },
        }
    };
    let mut document = DeTable::parse(text).map_err(|error| blame(&error, &[]))?;
    for ((change, padded), start) in overrides.iter().zip(&padded).zip(&ends) {
        apply(document.get_mut(), change, padded, *start)?;
    }
    let mut names = Vec::new();
    name_ranges(document.get_ref(), "", &mut names);
    T::deserialize(toml::de::Deserializer::from(document)).map_err(|error| blame(&error, &names))
}

/// Sets one key, making the tables on the way.
fn apply<'a>(
    table: &mut DeTable<'a>,
    change: &'a Override,
    padded: &'a str,
    start: usize,
) -> Result<(), ConfigError> {
    let refuse = |problem: &str| ConfigError::Environment {
        variable: change.variable.clone(),
        problem: problem.to_owned(),
    };
    let span = start..start + 1;
    let (last, way) = change
        .keys
        .split_last()
        .filter(|(last, way)| !last.is_empty() && way.iter().all(|key| !key.is_empty()))
        .ok_or_else(|| refuse("names no key"))?;
    let mut here = table;
    for key in way {
        let name = Spanned::new(span.clone(), Cow::Borrowed(key.as_str()));
        let entry =
            here.entry(name).or_insert_with(|| Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
        here = match entry.get_mut() {
            DeValue::Table(next) => next,
            _ => return Err(refuse(&format!("`{key}` is not a section"))),
        };
    }
    let name = Spanned::new(span.clone(), Cow::Borrowed(last.as_str()));
    let is_text = here.get(&name).is_some_and(|old| matches!(old.get_ref(), DeValue::String(_)));
    let as_toml = match DeTable::parse(padded) {
        Ok(parsed) if !is_text => parsed.into_inner().into_iter().next().map(|(_, value)| value),
        _ => None,
    };
    let value =
        as_toml.unwrap_or_else(|| Spanned::new(span, DeValue::String(Cow::Borrowed(change.value.as_str()))));
    here.insert(name, value);
    Ok(())
}

/// The dotted name of every place in the file.
fn name_ranges(table: &DeTable<'_>, prefix: &str, names: &mut Vec<(Range<usize>, String)>) {
    for (key, value) in table {
        let name = match prefix {
            "" => key.get_ref().to_string(),
            _ => format!("{prefix}.{}", key.get_ref()),
        };
        names.push((key.span(), name.clone()));
        names.push((value.span(), name.clone()));
        match value.get_ref() {
            DeValue::Table(inner) => name_ranges(inner, &name, names),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let name = format!("{name}[{index}]");
                    names.push((item.span(), name.clone()));
                    if let DeValue::Table(inner) = item.get_ref() {
                        name_ranges(inner, &name, names);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Room {
        listen: String,
        retries: u32,
        tls: TlsFiles,
        #[serde(default)]
        peers: Vec<Peer>,
        #[serde(default)]
        names: Vec<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Peer {
        port: u16,
    }

    const GOOD: &str = "listen = \"127.0.0.1:1\"\nretries = 3\n\n[tls]\ncert = \"a.pem\"\nkey = \"b.pem\"\n\n[[peers]]\nport = 7\n";

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Room, String> {
        let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parse(Path::new("room.toml"), text, overrides("KAZASU", variables)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_file_is_read_and_paths_are_taken_from_its_folder() {
        let room = read(GOOD, &[]).unwrap();
        assert_eq!((room.retries, room.peers.len()), (3, 1));
        let base = base_of(Path::new("/etc/kazasu/room.toml"));
        assert_eq!(room.tls.resolved(&base).cert, Path::new("/etc/kazasu/a.pem"));
        assert_eq!(resolve(&base, Path::new("/x/y")), Path::new("/x/y"));
    }

    #[test]
    fn every_error_names_file_line_and_key() {
        for (from, to, said) in [
            ("retries = 3", "retries = \"x\"", "room.toml:2: retries: invalid type"),
            ("retries = 3", "retries = 3\nretrys = 4", "room.toml:3: retrys: unknown field `retrys`"),
            ("retries = 3", "retries 3", "room.toml:2: "),
            ("retries = 3\n", "", "room.toml:1: (top level): missing field `retries`"),
            ("key = \"b.pem\"\n", "", "room.toml:4: tls: missing field `key`"),
            ("key = \"b.pem\"", "key = \"b.pem\"\nmode = 1", "room.toml:7: tls.mode: unknown field"),
            ("port = 7", "port = 70000", "room.toml:9: peers[0].port: "),
        ] {
            assert!(GOOD.contains(from));
            let error = read(&GOOD.replace(from, to), &[]).unwrap_err();
            assert!(error.starts_with(said), "{error} instead of {said}");
        }
    }

    #[test]
    fn the_environment_overrides_and_adds() {
        let room = read(
            GOOD,
            &[
                ("KAZASU__RETRIES", "9"),
                // Text in the file stays text, whatever it looks like.
                ("KAZASU__LISTEN", "8080"),
                ("KAZASU__TLS__KEY", "/secret/k.pem"),
                ("KAZASU__NAMES", "[\"a\", \"b\"]"),
                ("KAZASUX__RETRIES", "1"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        assert_eq!((room.retries, room.listen.as_str()), (9, "8080"));
        assert_eq!(room.tls.key, Path::new("/secret/k.pem"));
        assert_eq!(room.names, ["a", "b"]);
    }

    #[test]
    fn an_error_from_the_environment_names_the_variable() {
        for (variable, value, said) in [
            ("KAZASU__RETRIES", "many", "invalid type"),
            ("KAZASU__NAMES", "[1]", "invalid type"),
            ("KAZASU__UNKNOWN", "1", "unknown field `unknown`"),
            ("KAZASU__RETRIES__X", "1", "`retries` is not a section"),
            ("KAZASU__TLS__", "1", "names no key"),
            ("KAZASU__OTHER__X", "1", "unknown field `other`"),
        ] {
            let error = read(GOOD, &[("KAZASU__LISTEN", "x:1"), (variable, value)]).unwrap_err();
            assert!(error.starts_with(&format!("environment variable {variable}: ")), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Room>(Path::new("/nonexistent/room.toml"), ENVIRONMENT_PREFIX);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/room.toml: "), "{error}");
    }
}
