//! A client of the PC/SC daemon (`pcscd` of pcsc-lite) that speaks its Unix socket protocol.
//!
//! The usual way is to link `libpcsclite`, which needs its development package at build time and
//! `unsafe` in the binding. The protocol behind it is small, and the same since 2018 in what is needed, so it is
//! spoken here in safe Rust: see `docs/decisions/0002-pcscd-socket-client.md`.
//!
//! | protocol | pcsc-lite | reader list |
//! |---|---|---|
//! | 4:4 | 1.8.24 to 1.9.9, 2.0 to 2.2 | always 16 entries |
//! | 4:5 | 2.3, 2.4 | always 16 entries |
//! | 4:6 | 2.5 | size asked first |
//!
//! Insertion and removal are noticed by asking for the reader list every [`POLL`]. The daemon could
//! notify instead, but in 4:6 a notification may arrive between two answers on the same socket.

mod connection;
mod reader;
mod wire;

pub use connection::{DaemonError, Limits};
pub use reader::PcscReader;
pub use wire::ReaderInfo;

use crate::channel::ReaderError;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the daemon listens, unless [`SOCKET_VARIABLE`] says otherwise.
pub const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// The environment variable that names another socket, as for pcsc-lite's own library.
pub const SOCKET_VARIABLE: &str = "PCSCLITE_CSOCK_NAME";
/// Time between two looks at the reader list.
pub const POLL: Duration = Duration::from_millis(100);

/// A PC/SC daemon: where it listens and how long it may take.
#[derive(Clone, Debug)]
pub struct Daemon {
    socket: PathBuf,
    limits: Limits,
}

impl Daemon {
    /// This machine's daemon, at [`SOCKET`] or where [`SOCKET_VARIABLE`] says.
    pub fn of_this_machine() -> Self {
        Self::at(
            std::env::var_os(SOCKET_VARIABLE)
                .filter(|path| !path.is_empty())
                .map_or_else(|| PathBuf::from(SOCKET), PathBuf::from),
        )
    }

    /// The daemon that listens at `socket`.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), limits: Limits::default() }
    }

    /// The same daemon with other time limits.
    #[must_use]
    pub const fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The path of the daemon's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Every reader the daemon knows now, in its order.
    ///
    /// # Errors
    /// [`ReaderError::Daemon`].
    pub fn list_readers(&self) -> Result<Vec<ReaderInfo>, ReaderError> {
        let states = self.connect()?.reader_states()?;
        Ok(states.into_iter().map(ReaderInfo::from).collect())
    }

    /// The reader called `name`, or the only one whose name contains it.
    ///
    /// # Errors
    /// [`ReaderError::NotFound`], [`ReaderError::Ambiguous`], [`ReaderError::Daemon`].
    pub fn open_reader(&self, name: &str) -> Result<PcscReader, ReaderError> {
        let available: Vec<String> = self.list_readers()?.into_iter().map(|reader| reader.name).collect();
        if available.iter().any(|candidate| candidate == name) {
            return Ok(PcscReader::new(self.clone(), name.to_owned()));
        }
        let mut candidates: Vec<String> =
            available.iter().filter(|candidate| candidate.contains(name)).cloned().collect();
        match candidates.len() {
            0 => Err(ReaderError::NotFound { wanted: name.to_owned(), available }),
            1 => Ok(PcscReader::new(self.clone(), candidates.swap_remove(0))),
            _ => Err(ReaderError::Ambiguous { wanted: name.to_owned(), candidates }),
        }
    }

    fn connect(&self) -> Result<connection::Connection, DaemonError> {
        connection::Connection::open(&self.socket, self.limits)
    }
}

/// Every reader of this machine's PC/SC daemon.
///
/// # Errors
/// [`ReaderError::Daemon`].
pub fn list_readers() -> Result<Vec<ReaderInfo>, ReaderError> {
    Daemon::of_this_machine().list_readers()
}

#[cfg(test)]
mod fake_daemon;
#[cfg(test)]
mod tests;
