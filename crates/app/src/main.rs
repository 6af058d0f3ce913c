//! The binary `kazasu`: every room of the town as a process, the town as a whole, cards, load, doctor.
//!
//! Only this crate sees several rooms at once. It holds no decision of its own.

mod card_commands;
mod card_file;
mod cli;
mod doctor;
mod insurer_commands;
mod load;
mod output;
mod pki_commands;
mod receipt_commands;
mod serve;
mod touch;
mod town;

use clap::Parser as _;
use cli::{CardCommand, Cli, Command, PkiCommand};
use output::Exit;
use std::process::ExitCode;

/// Many small, short-lived buffers per check, freed on other threads than they came from.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Rooms tell what they do; commands keep their output for their answer.
    let filter = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    if let Err(error) = chassis::telemetry::init(filter) {
        eprintln!("kazasu: {error}");
        return ExitCode::from(2);
    }
    let runtime = match runtime(&cli.command) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kazasu: no threads to run on: {error}");
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(run(cli.command));
    // A reader thread may still sit in a blocking call; the process ends without it.
    runtime.shutdown_background();
    match outcome {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Refused) => ExitCode::from(1),
        Ok(Exit::Usage) => ExitCode::from(2),
        Err(error) => {
            eprintln!("kazasu: {error:#}");
            ExitCode::from(1)
        }
    }
}

/// A room leaves one processor to the kernel's network work and its log's writer: with a worker on every
/// processor, workers wake each other more than they work (docs/performance.md).
fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if matches!(command, Command::Serve(_)) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        builder.worker_threads(processors.saturating_sub(1).max(1));
    }
    builder.enable_all().build()
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Dev(args) => town::run::dev(args).await,
        Command::Serve(args) => serve::serve(args).await,
        Command::Card { command: CardCommand::Touch(args) } => touch::touch(args).await,
        Command::Card { command: CardCommand::Serve(args) } => card_commands::serve::serve(args).await,
        Command::Card { command: CardCommand::Readers(args) } => card_commands::readers::readers(&args),
        Command::Card { command: CardCommand::Read(args) } => card_commands::read::read(&args),
        Command::Card { command: CardCommand::Sign(args) } => card_commands::sign::sign(&args),
        Command::Card { command: CardCommand::Replay(args) } => card_commands::replay::replay(&args),
        Command::Card { command: CardCommand::List(args) } => card_commands::list(&args),
        Command::Pki { command: PkiCommand::Validate(args) } => pki_commands::validate::run(&args),
        Command::Pki { command: PkiCommand::Office(command) } => pki_commands::office::run(&command).await,
        Command::Pki { command: PkiCommand::Ceremony(args) } => pki_commands::ceremony::run(&args),
        Command::Pki { command: PkiCommand::Begin(args) } => pki_commands::begin::run(&args),
        Command::Pki { command: PkiCommand::Ocsp(args) } => pki_commands::ocsp::run(&args).await,
        Command::Pki { command: PkiCommand::Cms { command } } => pki_commands::cms::run(&command),
        Command::Pki { command: PkiCommand::Changes(args) } => pki_commands::changes::run(&args),
        Command::Pki { command: PkiCommand::Cvc { command } } => pki_commands::cvc::run(&command),
        Command::Receipt { command } => receipt_commands::run(&command),
        Command::Insurer { command } => insurer_commands::run(&command),
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Load(args) => load::load(args).await,
    }
}
