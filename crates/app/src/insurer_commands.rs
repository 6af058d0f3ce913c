//! `kazasu insurer …`: what an insurer's files do, by hand of the platform's operator.

pub(crate) mod held;
pub(crate) mod links;
pub(crate) mod load;

use crate::cli::Common;
use crate::touch::no_town;
use crate::town::Town;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use eligibility::store::sqlite::SqliteStore;
use protocol::problem::Problem;
use std::path::PathBuf;

/// `kazasu insurer …`.
#[derive(Debug, Subcommand)]
pub(crate) enum InsurerCommand {
    /// Load an insurer's coverage file, or say what it would do (docs/insurer-feed.md).
    #[command(after_help = load::EXAMPLES)]
    Load(Box<load::LoadFileArgs>),
    /// List rows that are held because they speak of somebody else than the card's holder.
    #[command(after_help = "\
Examples:
  kazasu insurer held
  kazasu insurer held --json")]
    Held(held::HeldArgs),
    /// Apply a held row: somebody has looked, and it is right.
    #[command(after_help = "\
Examples:
  kazasu insurer release 3")]
    Release(held::SettleArgs),
    /// Drop a held row: somebody has looked, and it is wrong.
    #[command(after_help = "\
Examples:
  kazasu insurer discard 3")]
    Discard(held::SettleArgs),
    /// Which cards and coverages are one person's: confirm, drop or take back a change of links.
    #[command(after_help = "\
Examples:
  kazasu insurer links list
  kazasu insurer links merge 17 4711        proposes it; nothing changes yet
  kazasu insurer links confirm 12
  kazasu insurer links undo 12")]
    Links {
        /// What to do.
        #[command(subcommand)]
        command: links::LinksCommand,
    },
}

/// Which platform's store.
#[derive(Clone, Debug, Args)]
pub(crate) struct PlatformStore {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The platform's config file, instead of the town's.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl PlatformStore {
    /// Opens it.
    pub(crate) fn open(&self) -> anyhow::Result<Result<SqliteStore, Box<Problem>>> {
        let path = match &self.config {
            Some(config) => eligibility::serve::load_config(config)?.store,
            None => match Town::find(&self.common.dir)? {
                Some(town) => town.rooms.eligibility.store,
                None => return Ok(Err(Box::new(no_town(&self.common.dir)))),
            },
        };
        let store = SqliteStore::open(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Ok(store))
    }
}

/// `kazasu insurer …`.
pub(crate) fn run(command: &InsurerCommand) -> anyhow::Result<crate::output::Exit> {
    match command {
        InsurerCommand::Load(args) => load::run(args),
        InsurerCommand::Held(args) => held::list(args),
        InsurerCommand::Release(args) => held::release(args),
        InsurerCommand::Discard(args) => held::discard(args),
        InsurerCommand::Links { command } => links::run(command),
    }
}
