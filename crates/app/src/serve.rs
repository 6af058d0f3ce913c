//! `kazasu serve ROOM`: one room as its own process.

use crate::cli::{Room, ServeArgs};
use crate::output::Exit;
use chassis::config;
use chassis::shutdown::{ParentWatch, ShutdownSignal};

/// Runs the room until it is told to stop.
pub(crate) async fn serve(args: ServeArgs) -> anyhow::Result<Exit> {
    let watch = if args.exit_with_parent { ParentWatch::StandardInput } else { ParentWatch::Off };
    let shutdown = ShutdownSignal::of_process(watch)?;
    match args.room {
        Room::Eligibility => {
            eligibility::serve::serve(eligibility::serve::load_config(&args.config)?, shutdown).await?;
        }
        Room::JpkiAuthority => {
            jpki_authority::serve::serve(jpki_authority::serve::load_config(&args.config)?, shutdown).await?;
        }
        Room::Terminal => {
            let config: terminal::config::Config = config::load(&args.config, config::ENVIRONMENT_PREFIX)?;
            terminal::serve::serve(config.resolved(&config::base_of(&args.config)), shutdown).await?;
        }
    }
    Ok(Exit::Done)
}
