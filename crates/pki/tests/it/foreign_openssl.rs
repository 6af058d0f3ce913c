//! Ten thousand generated paths and lists ([`crate::differ`]), judged here and by `openssl verify`. Where the two
//! disagree the case must hold something that docs/validator-differences.md explains, in the direction that it
//! explains; anything else fails. Each rule must have been kept and broken often, or the agreement says little.
//!
//! One process judges some hundred cases at once: authorities have the case's number in their names, so that no
//! case can help another. 10,000 processes would take minutes.

use crate::asked::{Given, path_only};
use crate::differ::{Case, Dice, Manner, Quirk, Rule, case};
use crate::forge::{NOW, policy};
use crate::vectors::{read, write};
use pki::oid;
use pki::pem::{PemKind, encode};
use pki::validate::input::{
    AnyPolicy, ExplicitPolicy, Freshness, InitialPolicies, PolicyMapping, RevocationRule,
};
use pki::validate::{Evidence, Question, TrustAnchor, validate};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const SEED: u64 = 0x4B61_7A61_7375;

/// How many cases bend each rule; altogether 10,000.
const EACH_PATH_RULE: u64 = 425;
const EACH_LIST_RULE: u64 = 400;

/// Which of the two finds a case valid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Only {
    Ours,
    Theirs,
}

/// What explains a disagreement, and in which direction: the same words are headings in the document. Each must
/// be met in its run, so that nothing is excused that does not happen.
const EXPLAINED_PATHS: [(Quirk, Only); 6] = [
    (Quirk::LastSecond, Only::Ours),
    (Quirk::LyingKeyIdentifier, Only::Ours),
    (Quirk::AnyPurpose, Only::Ours),
    (Quirk::FirstIssuerBad, Only::Ours),
    (Quirk::SigningLeaf, Only::Theirs),
    (Quirk::MappedFromInhibitedAny, Only::Theirs),
];
const EXPLAINED_LISTS: [(Quirk, Only); 9] = [
    (Quirk::LastSecond, Only::Ours),
    (Quirk::AnchorNotListed, Only::Ours),
    (Quirk::NoEnd, Only::Theirs),
    (Quirk::StaleDelta, Only::Theirs),
    (Quirk::EntryOutOfPlace, Only::Theirs),
    (Quirk::UnfitListIssuer, Only::Theirs),
    (Quirk::PointRevokes, Only::Theirs),
    (Quirk::UnannouncedDelta, Only::Ours),
    (Quirk::UnannouncedDelta, Only::Theirs),
];

fn question(manner: Manner) -> Question {
    let exact = Freshness { clock_tolerance_seconds: 0, ..Freshness::default() };
    let path = Question { freshness: exact, ..path_only() };
    match manner {
        Manner::Path => path,
        Manner::Lists => Question { revocation: RevocationRule::Required, ..path },
        Manner::ClientAuth => Question { purpose: Some(oid::CLIENT_AUTH), ..path },
        Manner::Policies { explicit, no_mapping, no_any, asked } => Question {
            explicit_policy: if explicit {
                ExplicitPolicy::Required
            } else {
                ExplicitPolicy::WhereCertificatesSaySo
            },
            policy_mapping: if no_mapping { PolicyMapping::Inhibited } else { PolicyMapping::Allowed },
            any_policy: if no_any { AnyPolicy::Inhibited } else { AnyPolicy::Counts },
            initial_policies: if asked {
                InitialPolicies::OneOf(vec![policy(1), policy(2)])
            } else {
                InitialPolicies::Any
            },
            ..path
        },
    }
}

fn options(manner: Manner) -> Vec<String> {
    let mut options = vec!["-attime".to_owned(), NOW.0.to_string()];
    let mut add = |words: &[&str]| options.extend(words.iter().map(|word| (*word).to_owned()));
    match manner {
        Manner::Path => {}
        Manner::Lists => add(&["-crl_check_all", "-extended_crl", "-use_deltas"]),
        Manner::ClientAuth => add(&["-purpose", "sslclient"]),
        Manner::Policies { explicit, no_mapping, no_any, asked } => {
            add(&["-policy_check"]);
            for (switch, option) in
                [(explicit, "-explicit_policy"), (no_mapping, "-inhibit_map"), (no_any, "-inhibit_any")]
            {
                if switch {
                    add(&[option]);
                }
            }
            // Its user-initial-policy-set is empty unless told otherwise, where RFC 5280 has any-policy.
            for number in if asked { &[1, 2][..] } else { &[0] } {
                add(&["-policy", &policy(*number).to_string()]);
            }
        }
    }
    options
}

fn our_verdict(case: &Case) -> Result<(), String> {
    // A root that cannot be one is refused before it is asked about.
    TrustAnchor::from_certificate(&case.given.anchors[0]).map_err(|problem| problem.to_string())?;
    case.given.ask(&question(case.manner)).map(|_| ()).map_err(|error| error.to_string())
}

/// The same case with nothing in the bag but the path that was found.
fn our_path(case: &Case) -> Case {
    let anchors: Vec<_> =
        case.given.anchors.iter().map(|der| TrustAnchor::from_certificate(der).unwrap()).collect();
    let mut evidence = Evidence::new();
    for der in &case.given.bag {
        evidence.add_certificate(der).unwrap();
    }
    let question = question(case.manner);
    let path = validate(&case.given.leaf, &anchors, &evidence, &question).unwrap();
    let bag = path.certificates()[1..].iter().map(|cert| cert.as_der().to_vec()).collect();
    let given =
        Given { anchors: case.given.anchors.clone(), leaf: case.given.leaf.clone(), bag, ..Given::default() };
    Case { given, quirks: case.quirks.clone(), ..*case }
}

/// What openssl says of each case, in order.
fn their_verdicts(folder: &Path, manner: Manner, cases: &[&Case]) -> Vec<bool> {
    let bundle = |name: &str, kind, pieces: &mut dyn Iterator<Item = &Vec<u8>>| -> PathBuf {
        let text: String = pieces.map(|der| encode(kind, der).to_string()).collect();
        let path = folder.join(name);
        write(&path, text.as_bytes());
        path
    };
    let mut command = Command::new("openssl");
    command.arg("verify").args(options(manner)).args(["-no-CApath", "-no-CAstore", "-CAfile"]);
    let anchors = &mut cases.iter().flat_map(|case| &case.given.anchors);
    command.arg(bundle("anchors", PemKind::Certificate, anchors));
    if cases.iter().any(|case| !case.given.bag.is_empty()) {
        let bag = &mut cases.iter().flat_map(|case| &case.given.bag);
        command.arg("-untrusted").arg(bundle("bag", PemKind::Certificate, bag));
    }
    if manner == Manner::Lists {
        let lists = &mut cases.iter().flat_map(|case| &case.given.lists);
        command.arg("-CRLfile").arg(bundle("lists", PemKind::CertificateList, lists));
    }
    let name = |case: &Case| format!("leaf-{}", case.number);
    for case in cases {
        bundle(&name(case), PemKind::Certificate, &mut std::iter::once(&case.given.leaf));
        command.arg(name(case));
    }
    let output = command.current_dir(folder).output().expect("openssl runs: apt-get install openssl");
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    let verdict = |case: &&Case| {
        let is_valid = said.contains(&format!("{}: OK\n", name(case)));
        let is_refused = complained.contains(&format!("error {}: verification failed\n", name(case)));
        assert!(is_valid != is_refused, "openssl said nothing of {}: {complained}", name(case));
        is_valid
    };
    cases.iter().map(verdict).collect()
}

/// One line per rule: cases, both find valid, both refuse, and disagreements.
#[derive(Default)]
struct Row {
    valid: usize,
    refused: usize,
    differ: BTreeMap<(Only, Vec<Quirk>), usize>,
}

fn run(rules: &[Rule], each: u64, first_number: u64, explained: &[(Quirk, Only)]) {
    let folder = std::env::temp_dir().join(format!("kazasu-differ-{first_number}-{}", std::process::id()));
    let mut dice = Dice::new(SEED ^ first_number);
    let mut table: BTreeMap<Rule, Row> = BTreeMap::new();
    let (mut unexplained, mut narrowed) = (Vec::new(), Vec::new());
    let mut met = BTreeSet::new();
    for (place, rule) in (0..).zip(rules) {
        let start = first_number + place * each;
        let cases: Vec<Case> = (start..start + each).map(|number| case(number, *rule, &mut dice)).collect();
        let mut by_manner: BTreeMap<Manner, Vec<&Case>> = BTreeMap::new();
        for case in &cases {
            by_manner.entry(case.manner).or_default().push(case);
        }
        for (manner, cases) in by_manner {
            for (case, theirs) in cases.iter().zip(their_verdicts(&folder, manner, &cases)) {
                let ours = our_verdict(case);
                let row = table.entry(case.rule).or_default();
                let only = match (ours.is_ok(), theirs) {
                    (true, true) => {
                        row.valid += 1;
                        continue;
                    }
                    (false, false) => {
                        row.refused += 1;
                        continue;
                    }
                    (true, false) => Only::Ours,
                    (false, true) => Only::Theirs,
                };
                if case.quirks.contains(&Quirk::FirstIssuerBad) && only == Only::Ours {
                    narrowed.push((manner, our_path(case)));
                }
                *row.differ.entry((only, case.quirks.iter().copied().collect())).or_default() += 1;
                let why: Vec<_> = explained
                    .iter()
                    .filter(|known| known.1 == only && case.quirks.contains(&known.0))
                    .collect();
                met.extend(why.iter().copied());
                if why.is_empty() {
                    keep(case);
                    unexplained
                        .push(format!("{rule:?} {} {only:?} {:?} ours: {ours:?}", case.number, case.quirks));
                }
            }
        }
    }
    // The path that was found among bad ones is good to openssl too, once it is the only one.
    for (manner, case) in &narrowed {
        assert_eq!(their_verdicts(&folder, *manner, &[case]), [true], "{}", case.number);
    }
    std::fs::remove_dir_all(&folder).unwrap();
    for (rule, row) in &table {
        println!("{rule:?}: both valid {}, both refuse {}, {:?}", row.valid, row.refused, row.differ);
    }
    assert!(unexplained.is_empty(), "{} not explained: {unexplained:#?}", unexplained.len());
    assert_eq!(met, explained.iter().collect(), "each explanation is of something that happens");
    for (rule, row) in &table {
        let least = usize::try_from(each).unwrap() / 7;
        assert!(row.valid >= least && row.refused >= least, "{rule:?}: {} {}", row.valid, row.refused);
    }
}

/// Leaves an unexplained case behind, to be looked at with `kazasu pki validate` and `openssl verify`.
fn keep(case: &Case) {
    let folder = std::env::temp_dir().join(format!("kazasu-unexplained-{}", case.number));
    let given = &case.given;
    for (name, kind, pieces) in [
        ("trust.pem", PemKind::Certificate, &given.anchors),
        ("bag.pem", PemKind::Certificate, &given.bag),
        ("lists.pem", PemKind::CertificateList, &given.lists),
        ("leaf.pem", PemKind::Certificate, &vec![given.leaf.clone()]),
    ] {
        let text: String = pieces.iter().map(|der| encode(kind, der).to_string()).collect();
        write(&folder.join(name), text.as_bytes());
    }
}

#[test]
fn ten_thousand_cases_are_made() {
    let paths = EACH_PATH_RULE * Rule::PATHS.len() as u64;
    assert_eq!(paths + EACH_LIST_RULE * Rule::LISTS.len() as u64, 10_000);
}

#[test]
fn paths_are_judged_like_openssl_judges_them() {
    run(&Rule::PATHS, EACH_PATH_RULE, 100_000, &EXPLAINED_PATHS);
}

#[test]
fn lists_are_judged_like_openssl_judges_them() {
    run(&Rule::LISTS, EACH_LIST_RULE, 200_000, &EXPLAINED_LISTS);
}

/// Every reason that the test accepts is explained to people under the same name.
#[test]
fn every_difference_is_written_down() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/validator-differences.md");
    let page = String::from_utf8(read(&page)).unwrap();
    let headings: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    let known =
        EXPLAINED_PATHS.iter().chain(&EXPLAINED_LISTS).map(|(quirk, _)| format!("{quirk:?}")).collect();
    assert_eq!(headings, known);
}
