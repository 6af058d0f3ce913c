//! Printing: words for people, JSON for scripts.

use indicatif::{ProgressBar, ProgressStyle};
use protocol::problem::Problem;
use std::time::Duration;

/// How the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// 0.
    Done,
    /// 1: refused or invalid.
    Refused,
    /// 2: the command line asks for something that is not there.
    Usage,
}

/// Where words go: standard error with `--json`, so that standard output holds nothing but JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) json: bool,
}

impl Printer {
    /// A printer.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Says something to people.
    #[expect(clippy::unused_self, reason = "the same call whatever the mode")]
    pub(crate) fn say(self, words: &str) {
        eprintln!("{words}");
    }

    /// A spinner with words; invisible where nobody looks.
    pub(crate) fn spinner(self, words: &'static str) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner().with_message(words);
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// A bar with count and ETA; invisible where nobody looks.
    pub(crate) fn bar(self, words: &'static str, length: u64) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} ETA {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length).with_style(style).with_message(words)
    }
}

/// Prints a problem: whose move it is, what happened, what to do.
pub(crate) fn print_problem(problem: &Problem) {
    println!("  ✕ {}", problem.receptionist.ja);
    println!("    {}", problem.receptionist.en);
    if !problem.detail.is_empty() {
        println!("    {}", problem.detail);
    }
    println!("    code: {}", problem.code.as_str());
    if let Some(reason) = &problem.reason {
        println!("    reason: {reason}");
    }
    println!("  → {}", problem.action.ja);
    println!("    {}", problem.action.en);
}
