//! Child processes: a clean environment, output streamed line by line, a time limit where one is needed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The workspace root: where the manifest of this package says it is.
pub(crate) fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// A `cargo` command in the workspace root, by the same cargo that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace_root());
    // `cargo run` describes *this* package in its environment. Build scripts that watch these variables
    // would run again, so the child starts without them.
    for (name, _) in std::env::vars_os() {
        let described = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
                || name.starts_with("CARGO_BIN_")
        });
        if described {
            command.env_remove(name);
        }
    }
    command
}

/// Prints the command, runs it with our own output, and turns a bad end into a message.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    announce(command);
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    ended_well(command, status)
}

/// Like [`run`], and returns the last line of standard error for which `keep` holds.
pub(crate) fn run_keeping(
    command: &mut Command,
    keep: impl Fn(&str) -> bool,
) -> (Option<String>, Result<(), String>) {
    announce(command);
    let mut child = match command.stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return (None, Err(cannot_start(command, &error))),
    };
    let mut kept = None;
    if let Some(errors) = child.stderr.take() {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            eprintln!("{line}");
            if keep(&line) {
                kept = Some(line);
            }
        }
    }
    let outcome = match child.wait() {
        Ok(status) => ended_well(command, status),
        Err(error) => Err(cannot_start(command, &error)),
    };
    (kept, outcome)
}

/// Like [`run`], and ends the child when it takes longer than `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<(), String> {
    announce(command);
    let mut child = command.spawn().map_err(|error| cannot_start(command, &error))?;
    match wait_within(&mut child, limit) {
        Some(status) => ended_well(command, status),
        None => Err(format!("{} did not end within {} s", described(command), limit.as_secs())),
    }
}

/// Waits for `child`; kills it and returns `None` when `limit` has passed.
fn wait_within(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if started.elapsed() < limit => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) | Err(_) => {
                // Nothing is left to do when the child is gone already.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// Runs quietly and returns standard output when the command ends well.
pub(crate) fn capture(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn announce(command: &Command) {
    eprintln!("$ {}", described(command));
}

/// The command as one would type it.
fn described(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start `{}`: {error}", described(command))
}

fn ended_well(command: &Command, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", described(command))) }
}

/// Where cargo puts what it builds: `CARGO_TARGET_DIR`, a configured folder or `target`, as cargo itself says.
pub(crate) fn target_directory() -> Result<PathBuf, String> {
    let metadata = capture(&mut cargo(&["metadata", "--no-deps", "--format-version", "1", "--locked"]))
        .ok_or("`cargo metadata` failed")?;
    let (_, rest) =
        metadata.split_once("\"target_directory\":\"").ok_or("no target folder in cargo's metadata")?;
    let (path, _) = rest.split_once('"').ok_or("no target folder in cargo's metadata")?;
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_end_names_the_command() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.contains("sh -c exit 3") && error.contains('3'), "{error}");
        let error = run(&mut Command::new("kazasu-no-such-program")).unwrap_err();
        assert!(error.contains("cannot start `kazasu-no-such-program`"), "{error}");
    }

    #[test]
    fn the_last_kept_line_comes_back() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'sum 1' >&2; echo other >&2; echo 'sum 2' >&2; exit 1"]);
        let (kept, outcome) = run_keeping(&mut command, |line| line.starts_with("sum"));
        assert_eq!(kept.as_deref(), Some("sum 2"));
        assert!(outcome.is_err());
    }

    #[test]
    fn a_child_that_does_not_end_is_ended() {
        let error = run_within(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("did not end within"), "{error}");
        assert_eq!(run_within(&mut Command::new("true"), Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn the_workspace_root_holds_the_workspace() {
        let manifest = std::fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]"));
    }
}
