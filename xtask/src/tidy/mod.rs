//! The rules of the house as code: each reads the source tree and says what to do about what it finds.
//!
//! A rule is a function from [`Tree`] to findings. `cargo xtask test --only tidy` runs them all, and so
//! does `cargo test -p xtask`, one test for each; each also has a test that shows it something bad.

mod code;
mod docs;
mod floors;
mod lock;
mod tree;
mod walls;

use tree::Tree;

/// A rule: its name, what it holds, and the function that looks.
struct Rule {
    name: &'static str,
    holds: &'static str,
    findings: fn(&Tree) -> Vec<String>,
}

/// Every rule.
const RULES: [Rule; 20] = [
    Rule {
        name: "floors",
        holds: "a crate depends on lower floors only, and rooms never on each other",
        findings: floors::lower_floors_only,
    },
    Rule {
        name: "inherited",
        holds: "every dependency of a crate comes from the workspace list",
        findings: floors::dependencies_are_inherited,
    },
    Rule {
        name: "reasons",
        holds: "every dependency of the workspace says why it is there",
        findings: floors::dependencies_have_reasons,
    },
    Rule {
        name: "lints",
        holds: "every crate takes the workspace's lints",
        findings: floors::lints_are_inherited,
    },
    Rule {
        name: "test-binaries",
        holds: "a crate has at most one integration test binary",
        findings: floors::one_test_binary,
    },
    Rule {
        name: "my-number",
        holds: "the national personal number has a type only where the law lets it be",
        findings: walls::my_number_stays_home,
    },
    Rule {
        name: "purity",
        holds: "pure crates refuse clock, files, network and randomness",
        findings: walls::pure_crates_refuse_the_world,
    },
    Rule {
        name: "purity-no-exceptions",
        holds: "pure crates make no exception for themselves",
        findings: walls::pure_crates_make_no_exception,
    },
    Rule {
        name: "private-keys",
        holds: "types that hold private keys are neither copied nor serialised",
        findings: walls::private_keys_stay_put,
    },
    Rule { name: "length", holds: "no file is longer than 800 lines", findings: code::files_are_short },
    Rule { name: "allow", holds: "exceptions are expected, with a reason", findings: code::no_allow },
    Rule { name: "stubs", holds: "nothing is left for later in the code", findings: code::no_stubs },
    Rule { name: "ignored", holds: "no test is switched off", findings: code::no_ignored_tests },
    Rule {
        name: "machine",
        holds: "no path of somebody's machine is in the tree",
        findings: code::no_machine_paths,
    },
    Rule { name: "secrets", holds: "no private key is in the tree", findings: code::no_private_keys },
    Rule {
        name: "lock",
        holds: "few packages, none banned, the pillars only once",
        findings: lock::lock_is_sound,
    },
    Rule {
        name: "samples",
        holds: "every sample config is read by a test",
        findings: docs::samples_are_tested,
    },
    Rule { name: "glossary", holds: "the glossary and the code agree", findings: docs::glossary_is_true },
    Rule { name: "links", holds: "links between pages lead somewhere", findings: docs::links_lead_somewhere },
    Rule {
        name: "one-command",
        holds: "README and CI run the same one test command",
        findings: docs::one_test_command,
    },
];

/// Runs every rule; `Err` lists every finding.
pub(crate) fn step() -> Result<String, String> {
    let tree = Tree::read()?;
    let mut findings = Vec::new();
    for rule in &RULES {
        let found = (rule.findings)(&tree);
        let mark = if found.is_empty() { "ok    " } else { "FAILED" };
        eprintln!("{mark} {:<22}{}", rule.name, rule.holds);
        findings.extend(found);
    }
    if findings.is_empty() {
        return Ok(format!("{} rules over {} files", RULES.len(), tree.len()));
    }
    Err(format!("{} findings\n     {}", findings.len(), findings.join("\n     ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule called `name`, over the real tree.
    fn holds(name: &str) {
        let rule = RULES.iter().find(|rule| rule.name == name).unwrap();
        let findings = (rule.findings)(&Tree::read().unwrap());
        assert!(findings.is_empty(), "{}:\n{}", rule.holds, findings.join("\n"));
    }

    macro_rules! rules {
        ($($test:ident $name:literal)*) => {
            const TESTED: &[&str] = &[$($name),*];
            $(#[test] fn $test() { holds($name); })*
        };
    }

    rules! {
        floors "floors"
        inherited "inherited"
        reasons "reasons"
        lints "lints"
        test_binaries "test-binaries"
        my_number "my-number"
        purity "purity"
        purity_no_exceptions "purity-no-exceptions"
        private_keys "private-keys"
        length "length"
        allow "allow"
        stubs "stubs"
        ignored "ignored"
        machine "machine"
        secrets "secrets"
        lock "lock"
        samples "samples"
        glossary "glossary"
        links "links"
        one_command "one-command"
    }

    #[test]
    fn every_rule_has_its_test() {
        let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names, TESTED);
    }
}
