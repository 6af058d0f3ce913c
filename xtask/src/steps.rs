//! The steps of `cargo xtask test`. Cheap ones first: a wrong space should not cost a release build.

use crate::process::{self, cargo};
use crate::{tidy, tools};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Foreign tools are there.
    Tools,
    /// Formatting.
    Fmt,
    /// The rules of the house.
    Tidy,
    /// Bans, licences, sources.
    Deny,
    /// Lints.
    Clippy,
    /// The README's first command.
    Build,
    /// Tests.
    Nextest,
    /// Documentation.
    Doc,
    /// The town, once.
    DevOnce,
}

/// How much of the tests a run covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Coverage {
    /// All of them.
    Whole,
    /// Without those that drive pcscd, OpenSC or a browser.
    Fast,
}

/// What a run does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In this order.
    pub(crate) steps: Vec<Step>,
    /// Of the tests.
    pub(crate) coverage: Coverage,
}

impl Step {
    /// Every step, in the order they run.
    pub(crate) const ALL: [Self; 9] = [
        Self::Tools,
        Self::Fmt,
        Self::Tidy,
        Self::Deny,
        Self::Clippy,
        Self::Build,
        Self::Nextest,
        Self::Doc,
        Self::DevOnce,
    ];

    /// The steps of `--fast`.
    pub(crate) const FAST: [Self; 5] = [Self::Tools, Self::Fmt, Self::Tidy, Self::Clippy, Self::Nextest];

    /// What `--only` calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Deny => "deny",
            Self::Clippy => "clippy",
            Self::Build => "build",
            Self::Nextest => "nextest",
            Self::Doc => "doc",
            Self::DevOnce => "dev-once",
        }
    }

    /// One line for the help page.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Tools => "foreign tools are there; installs what is missing where it can",
            Self::Fmt => "formatting is rustfmt's",
            Self::Tidy => "the rules of the house: floors, walls, sizes, reasons, glossary",
            Self::Deny => "banned crates, doubled crates, licences, sources (cargo-deny)",
            Self::Clippy => "lints, warnings denied, tests included",
            Self::Build => "the release build of the README's first command",
            Self::Nextest => "every test, with pcscd, OpenSC, openssl and Chromium",
            Self::Doc => "documentation builds without warnings",
            Self::DevOnce => "`kazasu dev --once`: the town starts, plays one check, stops",
        }
    }

    /// Does the step. `Ok` may carry a line worth repeating in the final table.
    fn perform(self, plan: &Plan) -> Result<Option<String>, String> {
        match self {
            Self::Tools => tools::ensure(&plan.steps, plan.coverage).map(Some),
            Self::Fmt => process::run(&mut cargo(&["fmt", "--all", "--", "--check", "-l"]))
                .map(|()| None)
                .map_err(|error| format!("{error}; `cargo fmt --all` repairs it")),
            Self::Tidy => tidy::step().map(Some),
            Self::Deny => deny(),
            Self::Clippy => {
                let arguments =
                    ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
                process::run(&mut cargo(&arguments)).map(|()| None)
            }
            Self::Build => build(),
            Self::Nextest => nextest(plan.coverage),
            Self::Doc => {
                let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
                process::run(command.env("RUSTDOCFLAGS", "-D warnings")).map(|()| None)
            }
            Self::DevOnce => dev_once(),
        }
    }
}

/// Advisories are the one check that needs the network, so they are not part of this command.
fn deny() -> Result<Option<String>, String> {
    process::run(&mut cargo(&[
        "deny",
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    Ok(Some("advisories need the network: `cargo deny check advisories`".to_owned()))
}

fn build() -> Result<Option<String>, String> {
    let started = Instant::now();
    process::run(&mut cargo(&["build", "--release", "--locked"]))?;
    Ok(Some(format!("release build took {}", seconds(started.elapsed()))))
}

fn nextest(coverage: Coverage) -> Result<Option<String>, String> {
    let profile = match coverage {
        Coverage::Whole => "ci",
        Coverage::Fast => "fast",
    };
    let mut command = cargo(&["nextest", "run", "--workspace", "--locked", "--profile", profile]);
    let (summary, outcome) =
        process::run_keeping(&mut command, |line| line.trim_start().starts_with("Summary"));
    let closing = summary.map(|line| line.trim().to_owned());
    if let Err(error) = outcome {
        return Err(closing.map_or(error.clone(), |closing| format!("{error}; {closing}")));
    }
    let closing = closing.ok_or("nextest printed no summary line")?;
    match (coverage, skipped(&closing)) {
        (_, Some(0)) => Ok(Some(closing)),
        (Coverage::Fast, Some(count)) => {
            Ok(Some(format!("{closing} ({count} foreign tests left out by --fast)")))
        }
        (Coverage::Whole, Some(count)) => {
            Err(format!("{count} tests were skipped, and nothing may be: {closing}"))
        }
        (_, None) => Err(format!("cannot read nextest's closing line: {closing}")),
    }
}

/// The count before the word `skipped` of nextest's closing line.
fn skipped(closing: &str) -> Option<u64> {
    let mut previous = "";
    for word in closing.split([' ', ',']).filter(|word| !word.is_empty()) {
        if word == "skipped" {
            return previous.parse().ok();
        }
        previous = word;
    }
    None
}

fn dev_once() -> Result<Option<String>, String> {
    let binary = process::target_directory()?.join("release").join("kazasu");
    if !binary.is_file() {
        return Err("there is no release binary yet: `cargo xtask test --only build,dev-once`".to_owned());
    }
    let directory = std::env::temp_dir().join(format!("kazasu-dev-once-{}", std::process::id()));
    let started = Instant::now();
    let mut command = Command::new(&binary);
    command.args(["dev", "--once", "--ports-from", &free_ports()?.to_string(), "--dir"]).arg(&directory);
    process::run_within(&mut command, Duration::from_secs(120))
        .map_err(|error| format!("{error}; the town's state is kept in {}", directory.display()))?;
    let took = seconds(started.elapsed());
    std::fs::remove_dir_all(&directory)
        .map_err(|error| format!("cannot remove {}: {error}", directory.display()))?;
    Ok(Some(format!("the town started, answered one check and stopped in {took}")))
}

/// Ports the town needs in a row, generously.
const TOWN_PORTS: u16 = 40;

/// The first of [`TOWN_PORTS`] free ports, away from the town that may be running on this machine already.
fn free_ports() -> Result<u16, String> {
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    (18_440..28_000)
        .step_by(usize::from(TOWN_PORTS))
        .find(|first| (*first..*first + TOWN_PORTS).all(is_free))
        .ok_or_else(|| format!("no {TOWN_PORTS} free ports in a row on loopback"))
}

/// How a step ended.
struct Line {
    step: Step,
    took: Duration,
    outcome: Result<Option<String>, String>,
}

/// Runs the plan, prints a table, and says how it ended.
pub(crate) fn run(plan: &Plan) -> ExitCode {
    let mut lines: Vec<Line> = Vec::new();
    for (place, step) in plan.steps.iter().enumerate() {
        eprintln!("\n── {}/{} {} ── {}", place + 1, plan.steps.len(), step.name(), step.about());
        let started = Instant::now();
        let outcome = step.perform(plan);
        let took = started.elapsed();
        match &outcome {
            Ok(_) => eprintln!("   {} ok, {}", step.name(), seconds(took)),
            Err(error) => eprintln!("   {} FAILED after {}: {error}", step.name(), seconds(took)),
        }
        let stop = outcome.is_err();
        lines.push(Line { step: *step, took, outcome });
        if stop {
            break;
        }
    }
    print!("{}", report(plan, &lines));
    if lines.iter().all(|line| line.outcome.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The final table and the closing line.
fn report(plan: &Plan, lines: &[Line]) -> String {
    let mut text = String::from("\n");
    for step in &plan.steps {
        let row = match lines.iter().find(|line| line.step == *step) {
            None => format!("{:<10} not run", step.name()),
            Some(Line { took, outcome: Ok(note), .. }) => {
                format!("{:<10} ok     {:>8}  {}", step.name(), seconds(*took), note.as_deref().unwrap_or(""))
            }
            Some(Line { took, outcome: Err(error), .. }) => {
                format!("{:<10} FAILED {:>8}  {error}", step.name(), seconds(*took))
            }
        };
        text.push_str(row.trim_end());
        text.push('\n');
    }
    let failed = lines.iter().find(|line| line.outcome.is_err());
    if let Some(line) = failed {
        text.push_str(&format!("\nAgain, this step alone: cargo xtask test --only {}\n", line.step.name()));
    }
    let passed = lines.iter().filter(|line| line.outcome.is_ok()).count();
    text.push_str(&format!("\n{passed} passed, {} failed\n", u8::from(failed.is_some())));
    text
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_nextest_is_read() {
        let closing = "Summary [   0.030s] 12 tests run: 12 passed, 0 skipped";
        assert_eq!(skipped(closing), Some(0));
        assert_eq!(skipped("Summary [ 1.0s] 5/9 tests run: 4 passed, 1 failed, 12 skipped"), Some(12));
        assert_eq!(skipped("Summary"), None);
    }

    #[test]
    fn the_town_of_a_test_stays_away_from_taken_ports() {
        let first = free_ports().unwrap();
        let _taken = std::net::TcpListener::bind(("127.0.0.1", first + 3)).unwrap();
        assert_ne!(free_ports().unwrap(), first);
    }

    #[test]
    fn the_report_shows_what_ran_what_failed_and_what_did_not_run() {
        let plan = Plan { steps: vec![Step::Fmt, Step::Clippy, Step::Doc], coverage: Coverage::Whole };
        let line = |step, outcome| Line { step, took: Duration::from_millis(1250), outcome };
        let lines = [line(Step::Fmt, Ok(None)), line(Step::Clippy, Err("bad".to_owned()))];
        let text = report(&plan, &lines);
        assert!(text.contains("fmt        ok"), "{text}");
        assert!(text.contains("clippy     FAILED"), "{text}");
        assert!(text.contains("doc        not run"), "{text}");
        assert!(text.contains("--only clippy"), "{text}");
        assert!(text.ends_with("\n1 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn a_good_run_closes_with_a_plain_line() {
        let plan = Plan { steps: vec![Step::Fmt], coverage: Coverage::Whole };
        let text = report(&plan, &[Line { step: Step::Fmt, took: Duration::ZERO, outcome: Ok(None) }]);
        assert!(text.ends_with("\n1 passed, 0 failed\n"), "{text}");
    }
}
