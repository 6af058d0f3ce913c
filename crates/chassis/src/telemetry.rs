//! Structured logs on standard error.
//!
//! Standard output belongs to a command's result; logs never mix with it. No card serial, symbol or
//! insured number may be logged: the types that hold them print only their last digits.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is not a filter.
    #[error("RUST_LOG: {0}")]
    Filter(String),
    /// Somebody else installed a subscriber before.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Starts logging for the whole process: readable lines if standard error is a terminal, one JSON
/// object per line if it is not. `RUST_LOG` filters; without it `default_filter` (such as `"info"`)
/// does.
///
/// # Errors
/// [`TelemetryError`] if the filter does not parse or logging is already set up.
pub fn init(default_filter: &str) -> Result<(), TelemetryError> {
    let filter = filter_of(std::env::var("RUST_LOG").ok().as_deref(), default_filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    }
    .map_err(|_| TelemetryError::AlreadySet)
}

fn filter_of(from_environment: Option<&str>, fallback: &str) -> Result<EnvFilter, TelemetryError> {
    let text = match from_environment {
        Some(text) if !text.trim().is_empty() => text,
        _ => fallback,
    };
    EnvFilter::builder().parse(text).map_err(|error| TelemetryError::Filter(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_and_nonsense_is_refused() {
        assert_eq!(filter_of(None, "info").unwrap().to_string(), "info");
        assert_eq!(filter_of(Some(" "), "info").unwrap().to_string(), "info");
        assert_eq!(filter_of(Some("debug"), "info").unwrap().to_string(), "debug");
        assert!(filter_of(Some("a=b=c=1"), "info").is_err());
    }
}
