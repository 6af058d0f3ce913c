//! Arguments of `cargo xtask`.

use crate::steps::{Coverage, Plan, Step};
use std::fmt::Write as _;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Print the help page.
    Help,
    /// Print the steps.
    List,
    /// Run steps.
    Run(Plan),
}

/// Parses the arguments after `xtask`. `Err` is a usage message (exit status 2).
pub(crate) fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut words = arguments.iter().map(String::as_str);
    match words.next() {
        None | Some("help" | "-h" | "--help") => return Ok(Request::Help),
        Some("test") => {}
        Some(other) => return Err(format!("unknown command `{other}`; the one command is `test`")),
    }
    let mut only: Option<Vec<Step>> = None;
    let mut coverage = Coverage::Whole;
    while let Some(word) = words.next() {
        match word {
            "-h" | "--help" => return Ok(Request::Help),
            "--list" => return Ok(Request::List),
            "--fast" => coverage = Coverage::Fast,
            "--only" => {
                let names = words.next().ok_or("--only wants step names: --only fmt,clippy")?;
                only = Some(parse_steps(names)?);
            }
            other => match other.strip_prefix("--only=") {
                Some(names) => only = Some(parse_steps(names)?),
                None => return Err(format!("unknown option `{other}`")),
            },
        }
    }
    let steps = match (only, coverage) {
        (Some(steps), _) => steps,
        (None, Coverage::Fast) => Step::FAST.to_vec(),
        (None, Coverage::Whole) => Step::ALL.to_vec(),
    };
    Ok(Request::Run(Plan { steps, coverage }))
}

/// Step names, comma-separated; they run in the house's order, each once.
fn parse_steps(names: &str) -> Result<Vec<Step>, String> {
    let mut wanted = Vec::new();
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let known = Step::ALL.iter().find(|step| step.name() == name);
        wanted.push(*known.ok_or_else(|| format!("unknown step `{name}`; the steps are {}", step_names()))?);
    }
    if wanted.is_empty() {
        return Err(format!("--only wants step names: {}", step_names()));
    }
    Ok(Step::ALL.iter().copied().filter(|step| wanted.contains(step)).collect())
}

fn step_names() -> String {
    Step::ALL.map(Step::name).join(", ")
}

/// The steps with what they do.
pub(crate) fn list() -> String {
    let mut text = String::new();
    for step in Step::ALL {
        let fast = if Step::FAST.contains(&step) { "fast" } else { "" };
        let _ = writeln!(text, "{:<10}{:<6}{}", step.name(), fast, step.about());
    }
    text
}

/// The help page.
pub(crate) fn help() -> String {
    format!(
        "\
cargo xtask test: everything that must hold before a change goes in.

Usage:
  cargo xtask test                     every step; stops at the first failure
  cargo xtask test --fast              fmt, tidy, clippy, and the tests that need no foreign program
  cargo xtask test --only STEP[,STEP]  these steps and no others
  cargo xtask test --list              the steps
  cargo xtask --help                   this page

Steps (`fast` marks the ones of --fast):
{}
Examples:
  cargo xtask test --fast                    while you write
  cargo xtask test --only tidy               the rules of the house, in milliseconds
  cargo xtask test --only tools              look for foreign tools, install what is missing
  cargo xtask test --only build,dev-once     the town starts, plays one check and stops
  cargo xtask test --only nextest --fast     only the tests, without the foreign ones

Missing tools are installed on Debian and Ubuntu as root, and named with their package otherwise.
After the crates and tools are there, every step works without a network.
Exit status: 0 all passed, 1 a step failed, 2 usage.
",
        list()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn plain_test_runs_every_step() {
        let plan = Plan { steps: Step::ALL.to_vec(), coverage: Coverage::Whole };
        assert_eq!(parsed("test"), Ok(Request::Run(plan)));
    }

    #[test]
    fn fast_leaves_the_slow_steps_out() {
        let Ok(Request::Run(plan)) = parsed("test --fast") else { panic!("not a plan") };
        assert_eq!(plan.steps, [Step::Tools, Step::Fmt, Step::Tidy, Step::Clippy, Step::Nextest]);
        assert_eq!(plan.coverage, Coverage::Fast);
    }

    #[test]
    fn only_keeps_the_house_order_and_takes_each_step_once() {
        let Ok(Request::Run(plan)) = parsed("test --only doc,fmt,doc") else { panic!("not a plan") };
        assert_eq!(plan.steps, [Step::Fmt, Step::Doc]);
        let Ok(Request::Run(plan)) = parsed("test --only=dev-once") else { panic!("not a plan") };
        assert_eq!(plan.steps, [Step::DevOnce]);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("test --only nope", "unknown step `nope`"),
            ("test --only", "wants step names"),
            ("test --only ,", "wants step names"),
            ("test --quick", "unknown option `--quick`"),
            ("build", "unknown command `build`"),
        ] {
            let message = parsed(line).unwrap_err();
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn help_names_every_step() {
        for step in Step::ALL {
            assert!(help().contains(step.name()), "{}", step.name());
        }
        assert_eq!(parsed(""), Ok(Request::Help));
        assert_eq!(parsed("test --list"), Ok(Request::List));
    }
}
