//! `cargo xtask test`: the project's one test command, and the tidy rules that keep the house in shape.
//!
//! Standard library only: the command must start before anything else is built.
//!
//! | module | holds |
//! |---|---|
//! | `cli` | arguments, help, exit codes |
//! | `steps` | the steps in their order, and what each one runs |
//! | `process` | running a child process: streaming, time limit, clean environment |
//! | `tools` | foreign tools: look for them, install them, or name what is missing and why |
//! | `tidy` | rules over the source tree, each with its own test |

mod cli;
mod process;
mod steps;
mod tidy;
mod tools;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match cli::parse(&arguments) {
        Ok(cli::Request::Help) => {
            print!("{}", cli::help());
            ExitCode::SUCCESS
        }
        Ok(cli::Request::List) => {
            print!("{}", cli::list());
            ExitCode::SUCCESS
        }
        Ok(cli::Request::Run(plan)) => steps::run(&plan),
        Err(message) => {
            eprintln!("{message}\n\nTry `cargo xtask --help`.");
            ExitCode::from(2)
        }
    }
}
