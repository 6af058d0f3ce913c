//! NIST PKITS, all 247 cases. Nobody here wrote its certificates or its verdicts.

use crate::vectors::{crate_folder, read};
use der::asn1::ObjectIdentifier;
use pki::validate::input::{AnyPolicy, ExplicitPolicy, InitialPolicies, PolicyMapping, RevocationRule};
use pki::validate::{Evidence, Question, TrustAnchor, validate};
use protocol::time::UnixSeconds;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// 2025-11-22: most of the suite is valid from 2010 to 2030.
const AT: UnixSeconds = UnixSeconds(1_763_773_323);

/// Valid paths that are refused here, and why.
const MISSED: [(&str, &str); 2] = [
    ("4.1.4", "DSA: withdrawn by FIPS 186-5, and no library used here verifies it"),
    ("4.1.5", "DSA, with parameters inherited from the issuer"),
];

struct Case {
    number: String,
    is_valid: bool,
    options: Vec<String>,
    leaf: String,
    between: Vec<String>,
    lists: Vec<String>,
}

fn cases() -> Vec<Case> {
    let words = |field: &str| -> Vec<String> {
        field.split(' ').filter(|word| *word != "-").map(str::to_owned).collect()
    };
    let lines = include_str!("pkits.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(" | ").collect();
            let [number, verdict, options, leaf, between, lists] = fields[..] else { panic!("{line}") };
            assert!(["valid", "invalid"].contains(&verdict), "{line}");
            Case {
                number: number.to_owned(),
                is_valid: verdict == "valid",
                options: words(options),
                leaf: format!("{leaf}.crt"),
                between: words(between).iter().map(|name| file(name, "Cert", "crt")).collect(),
                lists: words(lists).iter().map(|name| file(name, "CRL", "crl")).collect(),
            }
        })
        .collect()
}

fn file(name: &str, kind: &str, ending: &str) -> String {
    match name.strip_suffix('.') {
        Some(bare) => format!("{bare}.{ending}"),
        None => format!("{name}{kind}.{ending}"),
    }
}

fn question(options: &[String]) -> Question {
    let mut question = Question::at(AT);
    question.revocation = RevocationRule::Required;
    for option in options {
        match option.split_once('=') {
            None if option == "explicit" => question.explicit_policy = ExplicitPolicy::Required,
            None if option == "no-mapping" => question.policy_mapping = PolicyMapping::Inhibited,
            None if option == "no-any" => question.any_policy = AnyPolicy::Inhibited,
            Some(("policies", numbers)) => {
                let policy = |number| ObjectIdentifier::new(&format!("2.16.840.1.101.3.2.1.48.{number}"));
                let policies = numbers.split(',').map(|number| policy(number).unwrap()).collect();
                question.initial_policies = InitialPolicies::OneOf(policies);
            }
            _ => panic!("{option}"),
        }
    }
    question
}

/// `None` if the path is valid, else why not.
fn judge(case: &Case, folder: &Path) -> Option<String> {
    let certificate = |name: &str| read(&folder.join("certs").join(name));
    let list = |name: &str| read(&folder.join("crls").join(name));
    let anchor = [TrustAnchor::from_certificate(&certificate("TrustAnchorRootCertificate.crt")).unwrap()];
    let between: Vec<_> = case.between.iter().map(|name| certificate(name)).collect();
    let mut lists: Vec<_> = case.lists.iter().map(|name| list(name)).collect();
    lists.push(list("TrustAnchorRootCRL.crl"));
    let leaf = certificate(&case.leaf);
    let mut evidence = Evidence::new();
    let mut unread = Vec::new();
    for der in &between {
        unread.extend(evidence.add_certificate(der).err());
    }
    for der in &lists {
        unread.extend(evidence.add_list(der).err());
    }
    let outcome = validate(&leaf, &anchor, &evidence, &question(&case.options));
    outcome.err().map(|refusal| format!("{} {unread:?}", refusal.error))
}

pub(crate) fn folder() -> PathBuf {
    crate_folder("pkix-path", "0.3.2").join("tests/pkits")
}

#[test]
fn every_case_but_the_dsa_ones_and_no_false_accept() {
    let folder = folder();
    let cases = cases();
    assert_eq!(cases.len(), 247);
    let mut table: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for case in &cases {
        let why = judge(case, &folder);
        let section: u32 = case.number.split('.').nth(1).unwrap().parse().unwrap();
        let row = table.entry(section).or_default();
        row.1 += 1;
        if why.is_none() == case.is_valid {
            row.0 += 1;
        }
        match (why, case.is_valid) {
            (None, false) => accepted.push(format!("{} {}", case.number, case.leaf)),
            (Some(why), true) => refused.push((case.number.clone(), format!("{}: {why}", case.leaf))),
            (None, true) => {}
            (Some(why), false) => println!("{} {} refused: {why}", case.number, case.leaf),
        }
    }
    for (section, (passed, all)) in &table {
        println!("section 4.{section:<2} {passed:>3} of {all:>3}");
    }
    let passed: usize = table.values().map(|(passed, _)| passed).sum();
    println!("all sections {passed} of {}, false accepts: {}", cases.len(), accepted.len());
    assert!(accepted.is_empty(), "accepted though invalid: {accepted:#?}");
    let numbers: Vec<&str> = refused.iter().map(|(number, _)| number.as_str()).collect();
    assert_eq!(numbers, MISSED.map(|(number, _)| number), "{refused:#?}");
}
