//! Changes of links that wait for somebody, and what somebody decides about them.

use super::PlatformStore;
use crate::output::Exit;
use crate::touch::refuse;
use chassis::clock::SystemClock;
use clap::{Args, Subcommand};
use eligibility::history::ChangeNumber;
use eligibility::linking;
use eligibility::store::links::{LinkOutcome, LinkStore as _};
use eligibility::store::sqlite::SqliteStore;
use protocol::problem::{Problem, ProblemCode};
use protocol::time::Clock as _;

/// `kazasu insurer links …`.
#[derive(Debug, Subcommand)]
pub(crate) enum LinksCommand {
    /// List the changes that wait for a confirmation.
    List(ListArgs),
    /// Propose that two persons are one: everything of the second becomes the first's.
    Merge(MergeArgs),
    /// Make a proposal take effect.
    Confirm(ChangeArgs),
    /// Give a proposal up.
    Drop(ChangeArgs),
    /// Take a change back that took effect.
    Undo(ChangeArgs),
}

/// `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    store: PlatformStore,
}

/// `merge`.
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    store: PlatformStore,
    /// Key of the person who stays.
    kept: u64,
    /// Key of the person whose cards and coverages move.
    absorbed: u64,
}

/// `confirm`, `drop`, `undo`.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    store: PlatformStore,
    /// Number of the change.
    number: u64,
}

pub(super) fn run(command: &LinksCommand) -> anyhow::Result<Exit> {
    match command {
        LinksCommand::List(args) => list(args),
        LinksCommand::Merge(args) => merge(args),
        LinksCommand::Confirm(args) => {
            settle(args, |store, change| Ok(store.confirm(change, SystemClock.now())?))
        }
        LinksCommand::Drop(args) => settle(args, |store, change| Ok(store.drop_proposal(change)?)),
        LinksCommand::Undo(args) => settle(args, |store, change| Ok(store.undo(change, SystemClock.now())?)),
    }
}

fn list(args: &ListArgs) -> anyhow::Result<Exit> {
    let json = args.store.common.json;
    let store = match args.store.open()? {
        Ok(store) => store,
        Err(problem) => return refuse(&problem, json),
    };
    let proposals = store.proposals()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&proposals)?);
        return Ok(Exit::Done);
    }
    for proposal in &proposals {
        println!(
            "{:>6}  {}  カード / cards {}  資格 / members {}",
            proposal.number,
            proposal.cause.word(),
            proposal.cards,
            proposal.members
        );
    }
    println!("確認待ち {0} 件 / {0} waiting", proposals.len());
    Ok(Exit::Done)
}

fn merge(args: &MergeArgs) -> anyhow::Result<Exit> {
    let json = args.store.common.json;
    let store = match args.store.open()? {
        Ok(store) => store,
        Err(problem) => return refuse(&problem, json),
    };
    let nobody = |person: u64| anyhow::Ok(store.belongings(person)?.is_empty());
    if args.kept == args.absorbed || nobody(args.kept)? || nobody(args.absorbed)? {
        let detail = "two different persons with a card or a coverage each are needed";
        return refuse(&Problem::new(ProblemCode::InputUnusable).with_detail(detail), json);
    }
    let change = linking::propose_merge(&store, args.kept, args.absorbed, SystemClock.now())?;
    if json {
        println!("{}", serde_json::json!({ "number": change.0, "outcome": "proposed" }));
    } else {
        println!("{0}: 確認待ち / waits for kazasu insurer links confirm {0}", change.0);
    }
    Ok(Exit::Done)
}

fn settle(
    args: &ChangeArgs,
    act: impl FnOnce(&SqliteStore, ChangeNumber) -> anyhow::Result<LinkOutcome>,
) -> anyhow::Result<Exit> {
    let json = args.store.common.json;
    let store = match args.store.open()? {
        Ok(store) => store,
        Err(problem) => return refuse(&problem, json),
    };
    let detail = match act(&store, ChangeNumber(args.number))? {
        LinkOutcome::Done if json => {
            println!("{}", serde_json::json!({ "number": args.number, "outcome": "done" }));
            return Ok(Exit::Done);
        }
        LinkOutcome::Done => {
            println!("{} 済み / done", args.number);
            return Ok(Exit::Done);
        }
        LinkOutcome::Unknown => format!("no change of links {} that this can be done to", args.number),
        LinkOutcome::Overtaken => format!("what change {} concerns was changed since", args.number),
    };
    refuse(&Problem::new(ProblemCode::InputUnusable).with_detail(detail), json)
}
