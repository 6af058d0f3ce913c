//! `kazasu card …` but `touch`: cards shown, read, signed with, recorded and compared.
//!
//! | module | command |
//! |---|---|
//! | this one | `card list` |
//! | [`serve`] | `card serve`: emulated cards in pcscd's virtual readers |
//! | [`readers`] | `card readers`: what readers there are, virtual ones for pcscd |
//! | [`read`], [`sign`] | `card read`, `card sign`: real and emulated cards through PC/SC |
//! | [`replay`] | `card replay`: a recorded dialogue against a card |
//! | [`trace_file`] | `--trace`: the record while it happens |
//! | [`at_reader`] | one card, opened exclusively, and the dialogues with it |

pub(crate) mod at_reader;
pub(crate) mod read;
pub(crate) mod readers;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod trace_file;

use crate::cli::CommonArgs;
use crate::output::Exit;
use crate::touch::{no_town, refuse};
use crate::town::Town;
use anyhow::Context as _;
use protocol::problem::{Problem, ProblemCode};
use std::io::BufRead as _;
use zeroize::Zeroizing;

/// `kazasu card list`.
pub(crate) fn list(args: &CommonArgs) -> anyhow::Result<Exit> {
    let Some(town) = Town::find(&args.common.dir)? else {
        return refuse(&no_town(&args.common.dir), args.common.json);
    };
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&town.people)?);
        return Ok(Exit::Done);
    }
    for person in &town.people {
        println!("{:<10} {:<24} {}", person.name, person.expected, person.story_ja);
        println!("{:<35} {}", "", person.story_en);
    }
    println!("\nPIN はどのカードも同じです / every card has the same PIN: see people[].pin in town.json");
    Ok(Exit::Done)
}

/// A problem on its way to whoever typed the command.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.receptionist.en, .0.detail)]
pub(crate) struct Refusal(pub(crate) Box<Problem>);

impl From<Box<Problem>> for Refusal {
    fn from(problem: Box<Problem>) -> Self {
        Self(problem)
    }
}

impl Refusal {
    /// A problem with what is special about this one.
    pub(crate) fn new(code: ProblemCode, detail: impl ToString) -> Self {
        Self(Box::new(Problem::new(code).with_detail(detail.to_string())))
    }
}

/// Prints a refusal as the problem that it is; passes everything else on.
pub(crate) fn ended(outcome: anyhow::Result<Exit>, json: bool) -> anyhow::Result<Exit> {
    outcome.or_else(|error| refuse(&error.downcast::<Refusal>()?.0, json))
}

/// The lines of standard input, without their ends. Wiped when dropped.
fn lines_of_stdin() -> anyhow::Result<Vec<Zeroizing<String>>> {
    let lines = std::io::stdin().lock().lines();
    let lines = lines.map(|line| line.map(Zeroizing::new)).collect::<Result<Vec<_>, _>>();
    lines.context("reading standard input")
}

/// The first line of standard input: a PIN or password.
pub(crate) fn secret_of_stdin() -> anyhow::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).context("reading standard input")?;
    let kept = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(kept);
    Ok(line)
}
