//! `kazasu doctor`.
use crate::cli::CommonArgs;
use crate::output::Exit;
pub(crate) async fn doctor(_args: CommonArgs) -> anyhow::Result<Exit> { Ok(Exit::Done) }
