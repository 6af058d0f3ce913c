//! Walls of law and purity.

use super::tree::{Tree, has_word, toml_lines};

/// Crates without clock, I/O and randomness: these come in as arguments.
const PURE: [&str; 4] = ["protocol", "card", "pki", "tlog"];

/// What a pure crate's `clippy.toml` must refuse.
const REFUSED: [&str; 12] = [
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::thread::sleep",
    "std::fs::read",
    "std::fs::write",
    "std::fs::File::open",
    "std::fs::File::create",
    "std::net::TcpStream::connect",
    "std::net::TcpListener::bind",
    "std::net::UdpSocket::bind",
    "aws_lc_rs::rand::SystemRandom::new",
    "aws_lc_rs::rand::fill",
];

/// Folders whose code may name the number: the emulated card holds one in its My Number application, and
/// the information network (not built yet) is the one room that may use it.
const MY_NUMBER_HOMES: [&str; 2] = ["crates/card/", "crates/exchange/"];

/// Words that would be the number itself. `MyNumberCard` and the like name the card and are fine.
const MY_NUMBER_WORDS: [&str; 4] = ["MyNumber", "my_number", "IndividualNumber", "individual_number"];

/// The number has no type, field or argument outside its homes.
pub(super) fn my_number_stays_home(tree: &Tree) -> Vec<String> {
    tree.lines("crates/", ".rs")
        .chain(tree.lines("sim/", ".rs"))
        .filter(|line| !MY_NUMBER_HOMES.iter().any(|home| line.path.starts_with(home)))
        .filter(|line| !line.is_comment())
        .filter_map(|line| {
            let word = MY_NUMBER_WORDS.into_iter().find(|word| has_word(line.text, word))?;
            Some(line.finding(&format!(
                "`{word}` may be named in {} only: eligibility is answered from certificate serials",
                MY_NUMBER_HOMES.join(" and ")
            )))
        })
        .collect()
}

/// A nearer `clippy.toml` replaces the root one, so a pure crate's repeats it and adds what it refuses.
pub(super) fn pure_crates_refuse_the_world(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let root: Vec<&str> =
        toml_lines(tree.text("clippy.toml").unwrap_or("")).map(|(_, line, _)| line).collect();
    for name in PURE {
        let path = format!("crates/{name}/clippy.toml");
        let Some(text) = tree.text(&path) else {
            findings.push(format!("{path}: missing; copy another pure crate's"));
            continue;
        };
        let own: Vec<&str> = toml_lines(text).map(|(_, line, _)| line).collect();
        for line in root.iter().filter(|line| !own.contains(line)) {
            findings
                .push(format!("{path}: repeat `{line}` of the root clippy.toml, which this file replaces"));
        }
        for refused in REFUSED {
            if !own.iter().any(|line| line.contains(&format!("path = \"{refused}\""))) {
                findings.push(format!("{path}: add `{refused}` to disallowed-methods"));
            }
        }
    }
    findings
}

/// Exceptions that stand: file, how many, and why nothing smaller would do.
const PURITY_EXCEPTIONS: [(&str, usize, &str); 1] = [(
    "crates/pki/src/signer.rs",
    1,
    "aws-lc-rs draws blinding and ECDSA nonces itself, ignores the argument, and seals its trait",
)];

/// The refusal is worth something only while nobody excuses himself from it quietly.
pub(super) fn pure_crates_make_no_exception(tree: &Tree) -> Vec<String> {
    let word = concat!("disallowed_", "methods");
    let mut findings = Vec::new();
    for name in PURE {
        for (path, text) in tree.files(&format!("crates/{name}/src/"), ".rs") {
            let beyond_tests = text.split_once("#[cfg(test)]").map_or(text, |(code, _)| code);
            let count = beyond_tests.matches(word).count();
            let granted =
                PURITY_EXCEPTIONS.iter().find(|(file, _, _)| *file == path).map_or(0, |(_, count, _)| *count);
            if count > granted {
                findings.push(format!(
                    "{path}: {count} `{word}` exceptions in a pure crate, {granted} granted: take the clock, bytes or \
                     entropy as an argument, or grant it with its reason in xtask/src/tidy/walls.rs"
                ));
            }
        }
    }
    findings
}

/// Parts of a type's name that say it can sign or decrypt.
const KEY_WORDS: [&str; 5] = ["Signer", "RsaKey", "SigningKey", "PrivateKey", "SecretKey"];

/// Parts that say it cannot.
const NOT_KEYS: [&str; 5] = ["Public", "Error", "Info", "Name", "Path"];

/// A private key has one owner and leaves no copies, so its type derives neither `Clone` nor `Serialize`.
pub(super) fn private_keys_stay_put(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.files("crates/", ".rs") {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut derived = String::new();
        for (at, line) in lines.iter().enumerate() {
            if line.starts_with("#[") || line.starts_with("//") {
                if line.starts_with("#[") {
                    derived.push_str(line);
                }
                continue;
            }
            if let Some(name) = owner_of_a_key(line, lines.get(at + 1..).unwrap_or_default()) {
                for forbidden in ["Clone", "Copy", "Serialize", "Deserialize"] {
                    if derived.contains("derive(") && has_word(&derived, forbidden) {
                        findings.push(format!(
                            "{path}:{}: `{name}` holds a private key and may not derive `{forbidden}`: share it with Arc",
                            at + 1
                        ));
                    }
                }
            }
            derived.clear();
        }
    }
    findings
}

/// The name of the type that `line` declares, when it owns a private key. References own nothing, and an
/// enum without contents only says *which* key.
fn owner_of_a_key<'a>(line: &'a str, following: &[&str]) -> Option<&'a str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    let kind = words.next().filter(|word| matches!(*word, "struct" | "enum"))?;
    let declared = words.next()?;
    let name = declared.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    let says_key = KEY_WORDS.iter().any(|word| name.contains(word));
    let says_otherwise = NOT_KEYS.iter().any(|word| name.contains(word)) || declared.contains("<'");
    let selector = kind == "enum"
        && following
            .iter()
            .take_while(|line| **line != "}")
            .all(|line| line.starts_with(['/', '#']) || !line.contains(['(', '{']));
    (says_key && !says_otherwise && !selector).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_seen_and_the_card_is_not() {
        let at = |path: &str, text: &str| my_number_stays_home(&Tree::of(&[(path, text)])).len();
        assert_eq!(at("crates/eligibility/src/a.rs", "struct MyNumber([u8; 12]);"), 1);
        assert_eq!(at("crates/protocol/src/a.rs", "    pub my_number: String,"), 1);
        assert_eq!(at("crates/terminal/src/a.rs", "let card = MyNumberCard::new();"), 0);
        assert_eq!(at("crates/terminal/src/a.rs", "// MyNumber is not used here"), 0);
        assert_eq!(at("crates/card/src/text_ap.rs", "struct MyNumber([u8; 12]);"), 0);
    }

    #[test]
    fn a_pure_crate_needs_the_whole_list() {
        let good = REFUSED.map(|path| format!("  {{ path = \"{path}\", reason = \"\" }},")).join("\n");
        let mut files = vec![("clippy.toml", "too-many-lines-threshold = 70\n".to_owned())];
        for path in [
            "crates/protocol/clippy.toml",
            "crates/card/clippy.toml",
            "crates/tlog/clippy.toml",
            "crates/pki/clippy.toml",
        ] {
            files.push((path, format!("too-many-lines-threshold = 70\n{good}\n")));
        }
        let check = |files: &[(&str, String)]| {
            let borrowed: Vec<(&str, &str)> =
                files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            pure_crates_refuse_the_world(&Tree::of(&borrowed))
        };
        assert!(check(&files).is_empty());
        files.last_mut().unwrap().1 = good.replace("std::fs::read\"", "std::fs::other\"");
        let found = check(&files);
        assert_eq!(found.len(), 2, "{found:?}");
        files.pop();
        assert!(check(&files).iter().any(|f| f.contains("crates/pki/clippy.toml: missing")));
    }

    #[test]
    fn exceptions_in_pure_code_are_seen() {
        let attribute = concat!("#[expect(clippy::disallowed_", "methods, reason = \"\")]");
        let found = |path: &str, text: &str| pure_crates_make_no_exception(&Tree::of(&[(path, text)])).len();
        assert_eq!(found("crates/pki/src/a.rs", attribute), 1);
        assert_eq!(found("crates/pki/src/signer.rs", attribute), 0);
        assert_eq!(found("crates/pki/src/signer.rs", &attribute.repeat(2)), 1);
        assert_eq!(found("crates/pki/src/a.rs", &format!("#[cfg(test)]\nmod tests {{ {attribute} }}")), 0);
        assert_eq!(found("crates/chassis/src/a.rs", attribute), 0);
    }

    #[test]
    fn copied_keys_are_seen() {
        let found = |text: &str| private_keys_stay_put(&Tree::of(&[("crates/pki/src/a.rs", text)])).len();
        assert_eq!(found("#[derive(Clone)]\n/// A key.\npub struct IssuerSigner {"), 1);
        assert_eq!(
            found("#[derive(Debug, serde::Serialize)]\npub(crate) enum RsaKey {\n    Soft(Vec<u8>),\n}"),
            1
        );
        assert_eq!(
            found("#[derive(Clone, Copy)]\npub(crate) enum PrivateKey {\n    /// (0017)\n    Auth,\n}"),
            0
        );
        assert_eq!(found("#[derive(Clone, Copy)]\npub struct SignerRef<'a>(&'a u8);"), 0);
        assert_eq!(found("#[derive(Debug)]\npub struct IssuerSigner {"), 0);
        assert_eq!(found("#[derive(Clone)]\npub struct Other;\npub struct IssuerSigner {"), 0);
        assert_eq!(found("#[derive(Clone)]\npub struct RsaPublicKey {"), 0);
    }
}
