//! Files that are either the old one or the new one, never half of one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file could not be written or made durable.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {doing}: {source}", path.display())]
pub struct FileError {
    /// The file or directory concerned.
    pub path: PathBuf,
    /// The step that failed.
    pub doing: &'static str,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// Replaces the file at `path` by `bytes`: readers see the old content or the new one, also after a
/// power cut. Readable by others as the process's umask allows.
///
/// # Errors
/// [`FileError`] naming the step; the old file is then still whole.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, 0o666)
}

/// Like [`write_atomic`], but the file is readable by its owner only (mode 0600) from its first byte
/// on: for private keys, PINs and passwords.
///
/// # Errors
/// [`FileError`] naming the step; the old file is then still whole.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, 0o600)
}

/// Makes the names inside `directory` durable (a created or renamed file survives a power cut only
/// after its directory was synced).
///
/// # Errors
/// [`FileError`] if the directory cannot be opened or synced.
pub fn sync_directory(directory: &Path) -> Result<(), FileError> {
    let failed = |doing| move |source| FileError { path: directory.to_path_buf(), doing, source };
    File::open(directory)
        .map_err(failed("open the directory"))?
        .sync_all()
        .map_err(failed("sync the directory"))
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Beside the target, because rename does not cross file systems; unique, because two threads may
    // write the same target.
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.new", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed)));
    let temporary = directory.join(name);
    let failed = |doing, source| FileError { path: path.to_path_buf(), doing, source };
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)
            .map_err(|e| failed("create its temporary file", e))?;
        file.write_all(bytes).map_err(|e| failed("write its temporary file", e))?;
        file.sync_all().map_err(|e| failed("sync its temporary file", e))?;
        std::fs::rename(&temporary, path).map_err(|e| failed("rename its temporary file", e))
    })();
    if let Err(error) = written {
        // The error that matters is the first one; a left-over temporary file harms nobody.
        drop(std::fs::remove_file(&temporary));
        return Err(error);
    }
    sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("chassis-files-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_replaced_file_has_the_new_content_and_leaves_nothing_beside_it() {
        let directory = scratch("replace");
        let path = directory.join("a.toml");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_private_file_is_readable_by_its_owner_only_even_when_it_replaces_an_open_one() {
        let directory = scratch("private");
        let path = directory.join("key.pem");
        write_atomic(&path, b"public").unwrap();
        write_private(&path, b"secret").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_failed_write_names_the_file_and_keeps_the_old_content() {
        let directory = scratch("failed");
        // A directory in the target's place cannot be replaced by rename.
        let path = directory.join("occupied");
        std::fs::create_dir(&path).unwrap();
        let error = write_atomic(&path, b"x").unwrap_err();
        assert!(error.to_string().contains("occupied"), "{error}");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
