//! `--trace FILE`: what goes between card and reader, written while it happens.
//!
//! Written line by line and not at the end, so that a record is there when the dialogue broke off.

use crate::cli::TraceArgs;
use anyhow::Context as _;
use card::trace::{Header, Observed, SecretHandling};
use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The owner reads and writes, nobody else: it holds what the card holds.
const MODE: u32 = 0o600;

struct Writing {
    file: File,
    secrets: SecretHandling,
    failed: Option<io::Error>,
}

/// A record on disk. Clones write to the same file.
#[derive(Clone)]
pub(crate) struct TraceFile(Arc<Mutex<Writing>>, PathBuf);

impl TraceFile {
    /// Begins a record in `path`, in the place of what was there.
    pub(crate) fn begin(
        path: &Path,
        secrets: SecretHandling,
        card: &str,
        atr: &[u8],
    ) -> anyhow::Result<Self> {
        let begun = || -> io::Result<File> {
            let mut file = File::options().write(true).create(true).truncate(true).mode(MODE).open(path)?;
            // A file that was there before keeps its mode otherwise; a terminal or a pipe keeps its own.
            if file.metadata()?.is_file() {
                file.set_permissions(Permissions::from_mode(MODE))?;
            }
            file.write_all(Header::new(card, atr, secrets).to_string().as_bytes())?;
            Ok(file)
        };
        let file = begun().with_context(|| format!("beginning the record {}", path.display()))?;
        Ok(Self(Arc::new(Mutex::new(Writing { file, secrets, failed: None })), path.to_owned()))
    }

    /// Begins the record that these arguments ask for.
    pub(crate) fn asked_for(args: &TraceArgs, card: &str, atr: &[u8]) -> anyhow::Result<Option<Self>> {
        let begun = args.trace.as_ref().map(|path| Self::begin(path, secrets(args), card, atr));
        begun.transpose()
    }

    /// Writes one event. The first failure ends the writing; [`Self::finish`] tells it.
    fn write(&self, seen: Observed<'_>) {
        let mut writing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writing.failed.is_some() {
            return;
        }
        let lines = seen.lines(writing.secrets);
        if let Err(error) = writing.file.write_all(lines.as_bytes()) {
            tracing::error!(%error, path = %self.1.display(), "the record broke off");
            writing.failed = Some(error);
        }
    }

    /// What writes every event it is told.
    pub(crate) fn observer(&self) -> impl FnMut(Observed<'_>) + Send + 'static {
        let file = self.clone();
        move |seen| file.write(seen)
    }

    /// Whether everything was written.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner).failed.take();
        failed.map_or(Ok(()), |error| {
            Err(error).with_context(|| format!("the record {} broke off", self.1.display()))
        })
    }
}

/// Whether PINs are written down.
pub(crate) const fn secrets(args: &TraceArgs) -> SecretHandling {
    if args.trace_secrets { SecretHandling::Kept } else { SecretHandling::Withheld }
}

/// The file of one of several cards: the person's name before the ending.
pub(crate) fn beside(path: &Path, person: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{person}{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use card::trace::Trace;

    #[test]
    fn a_record_is_private_and_whole_line_by_line() {
        let folder = std::env::temp_dir().join(format!("kazasu-trace-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.trace");
        // Somebody made the file before, readable by everybody and longer.
        std::fs::write(&path, "x".repeat(5_000)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let record = TraceFile::begin(&path, SecretHandling::Withheld, "a card", &[0x3B, 0]).unwrap();
        let mut observer = record.observer();
        observer(Observed::PowerOn);
        observer(Observed::Exchange { command: b"\0\x20\0\x80\x041234", answer: &[0x90, 0] });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(Trace::parse(&text).unwrap().events().len(), 2, "{text}");
        assert!(!text.contains("31323334"), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        record.finish().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(TraceFile::begin(&path, SecretHandling::Kept, "a card", &[]).is_err(), "no such folder");
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        let record = TraceFile::begin(Path::new("/dev/full"), SecretHandling::Withheld, "a card", &[]);
        assert!(record.is_err(), "even the head does not fit");
    }

    #[test]
    fn several_cards_get_a_file_each() {
        assert_eq!(beside(Path::new("/x/a.trace"), "hanako"), Path::new("/x/a-hanako.trace"));
        assert_eq!(beside(Path::new("record"), "taro"), Path::new("record-taro"));
    }
}
