//! Finding out, at opening, what the last process left behind.

use super::record::{self, Chain, Cursor, SegmentHead};
use super::storage::{self, LogFile, LogStorage};
use super::{LogError, Recovery, TornTail};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Suffix of a segment that is still being zeroed.
const UNFINISHED: &str = ".new";

/// Where writing goes on.
#[derive(Debug)]
pub(super) struct End {
    pub(super) file: Box<dyn LogFile>,
    pub(super) path: PathBuf,
    /// Size of the segment file in bytes.
    pub(super) size: u64,
    /// Where the next record goes.
    pub(super) offset: u64,
    pub(super) next_sequence: u64,
    pub(super) chain: Chain,
    pub(super) head: SegmentHead,
    /// Whether a seal is the last thing in the log.
    pub(super) sealed: bool,
}

/// Turns an I/O error into a [`LogError`] naming file and step.
pub(super) fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_path_buf();
    move |source| LogError::Storage { path, doing, source: Arc::new(source) }
}

/// The file name of the segment that starts with `first_sequence`.
pub(super) fn segment_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.log")
}

/// The segments in `directory` by their first sequence, in order.
pub(super) fn segments(storage: &dyn LogStorage, directory: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut found: Vec<(u64, PathBuf)> = storage
        .list(directory)
        .map_err(failed(directory, "list the folder"))?
        .into_iter()
        .filter_map(|name| {
            let digits = name.strip_suffix(".log").filter(|stem| stem.len() == 20)?;
            Some((digits.parse().ok()?, directory.join(name)))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Creates the segment that starts with `first_sequence`, zeroed and durable under its final name.
pub(super) fn create_segment(
    storage: &dyn LogStorage,
    directory: &Path,
    size: u64,
    first_sequence: u64,
    chain: &Chain,
) -> Result<End, LogError> {
    let path = directory.join(segment_name(first_sequence));
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let mut salt = [0_u8; 16];
    protocol::entropy::Entropy::fill(&mut crate::entropy::SystemEntropy, &mut salt);
    let (bytes, head) = record::encode_segment_head(first_sequence, chain, &salt);
    let file = storage.create(&unfinished).map_err(failed(&unfinished, "create the segment"))?;
    // Real zeros, not a hole: a commit into them changes no metadata, which halves its cost.
    let zeros = vec![0_u8; 1 << 20];
    let mut at = 0_u64;
    while at < size {
        let step = usize::try_from(size - at).unwrap_or(usize::MAX);
        let piece = zeros.get(..step.min(zeros.len())).unwrap_or(&zeros);
        storage::write_all_at(file.as_ref(), piece, at).map_err(failed(&unfinished, "zero the segment"))?;
        at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
    }
    storage::write_all_at(file.as_ref(), &bytes, 0)
        .map_err(failed(&unfinished, "write the segment's head"))?;
    file.sync().map_err(failed(&unfinished, "sync the segment"))?;
    storage.rename(&unfinished, &path).map_err(failed(&path, "rename the segment"))?;
    storage.sync_directory(directory).map_err(failed(directory, "sync the folder"))?;
    Ok(End {
        file,
        path,
        size,
        offset: to_u64(record::SEGMENT_HEAD_BYTES),
        next_sequence: first_sequence,
        chain: *chain,
        head,
        sealed: false,
    })
}

/// Scans every record, cuts off a torn end, and returns where writing goes on.
pub(super) fn recover(
    storage: &dyn LogStorage,
    directory: &Path,
    segment_bytes: u64,
) -> Result<(End, Recovery), LogError> {
    remove_unfinished(storage, directory)?;
    let found = segments(storage, directory)?;
    let mut expected: (u64, Chain) = (1, [0; 32]);
    // Where the scan of the segment before stopped: a gap is reported there.
    let mut stopped: Option<(PathBuf, u64, &'static str)> = None;
    let mut last = None;
    let count = found.len();
    for (index, (_, path)) in found.into_iter().enumerate() {
        let file = storage.open(&path).map_err(failed(&path, "open the segment"))?;
        let bytes = storage::read_all(file.as_ref()).map_err(failed(&path, "read the segment"))?;
        let head = check_head(&path, &bytes, expected, stopped.as_ref())?;
        let mut cursor = Cursor::new(&bytes, &head);
        let problem = loop {
            if let Err(problem) = cursor.next_record() {
                break problem;
            }
        };
        expected = (cursor.sequence, cursor.chain);
        let offset = to_u64(cursor.offset);
        if index + 1 < count {
            stopped = Some((path, offset, problem));
            continue;
        }
        let torn_tail = settle_end(file.as_ref(), &path, &cursor, problem)?;
        let end = End {
            size: to_u64(bytes.len()),
            offset,
            next_sequence: cursor.sequence,
            chain: cursor.chain,
            head,
            sealed: cursor.sealed,
            file,
            path,
        };
        last = Some((end, torn_tail));
    }
    let (end, torn_tail) = match last {
        Some(last) => last,
        None => (create_segment(storage, directory, segment_bytes, 1, &[0; 32])?, None),
    };
    let recovery = Recovery {
        last_sequence: end.next_sequence - 1,
        head_sha256: end.chain,
        segments: count.max(1),
        torn_tail,
    };
    Ok((end, recovery))
}

/// A segment that was never finished holds nothing: a crash while it was being zeroed left it.
fn remove_unfinished(storage: &dyn LogStorage, directory: &Path) -> Result<(), LogError> {
    let names = storage.list(directory).map_err(failed(directory, "list the folder"))?;
    for name in names.iter().filter(|name| name.ends_with(".log.new")) {
        let path = directory.join(name);
        storage.remove(&path).map_err(failed(&path, "remove the unfinished segment"))?;
    }
    Ok(())
}

fn check_head(
    path: &Path,
    bytes: &[u8],
    expected: (u64, Chain),
    stopped: Option<&(PathBuf, u64, &'static str)>,
) -> Result<SegmentHead, LogError> {
    let damaged = |segment: &Path, offset, problem| LogError::Damaged {
        segment: segment.to_path_buf(),
        offset,
        sequence: expected.0,
        problem,
    };
    let head = record::decode_segment_head(bytes)
        .ok_or_else(|| damaged(path, 0, "the segment's head is not whole"))?;
    if head.first_sequence != expected.0 {
        return Err(match stopped {
            Some((before, offset, problem)) => damaged(before, *offset, *problem),
            None => damaged(path, 0, "the first segment is missing"),
        });
    }
    if head.chain != expected.1 {
        return Err(damaged(path, 0, "its chain value does not follow from the segment before"));
    }
    let named = path.file_name().and_then(|name| name.to_str());
    if named != Some(segment_name(head.first_sequence).as_str()) {
        return Err(damaged(path, 0, "the segment has the name of another one"));
    }
    Ok(head)
}

/// Decides what the place is where the last segment's records stop: a clean end, a torn one (then it
/// is zeroed), or damage.
fn settle_end(
    file: &dyn LogFile,
    path: &Path,
    cursor: &Cursor<'_>,
    problem: &'static str,
) -> Result<Option<TornTail>, LogError> {
    let rest = cursor.rest();
    if record::is_zero(rest) {
        return Ok(None);
    }
    let offset = to_u64(cursor.offset);
    if cursor.was_durable() {
        return Err(LogError::Damaged {
            segment: path.to_path_buf(),
            offset,
            sequence: cursor.sequence,
            problem,
        });
    }
    // Left-overs of the torn write must not meet the records written over them later.
    let used = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    storage::write_all_at(file, &vec![0; used], offset).map_err(failed(path, "clear the torn end"))?;
    file.sync().map_err(failed(path, "sync the torn end"))?;
    Ok(Some(TornTail { segment: path.to_path_buf(), offset, sequence: cursor.sequence }))
}

/// Reads the records `from..=to` in order. `to` must be durable.
pub(super) fn replay(
    storage: &dyn LogStorage,
    directory: &Path,
    from: u64,
    to: u64,
    mut each: impl FnMut(u64, &[u8]),
) -> Result<(), LogError> {
    if from > to {
        return Ok(());
    }
    let found = segments(storage, directory)?;
    let first = found.iter().rposition(|(first, _)| *first <= from).unwrap_or(0);
    let mut next = from;
    for (first_sequence, path) in found.into_iter().skip(first) {
        if first_sequence > to {
            break;
        }
        let file = storage.open(&path).map_err(failed(&path, "open the segment"))?;
        let bytes = storage::read_all(file.as_ref()).map_err(failed(&path, "read the segment"))?;
        let damaged = |offset, sequence, problem| LogError::Damaged {
            segment: path.clone(),
            offset: to_u64(offset),
            sequence,
            problem,
        };
        let head = record::decode_segment_head(&bytes)
            .filter(|head| head.first_sequence <= next)
            .ok_or_else(|| damaged(0, next, "the segment's head is not whole"))?;
        let mut cursor = Cursor::new(&bytes, &head);
        while cursor.sequence <= to {
            let offset = cursor.offset;
            match cursor.next_record() {
                Ok((sequence, payload)) if sequence >= from => {
                    each(sequence, payload);
                    next = sequence + 1;
                }
                Ok(_) => {}
                // The segment is full; the rest is in the next one.
                Err(_) if record::is_zero(cursor.rest()) => break,
                Err(problem) => return Err(damaged(offset, cursor.sequence, problem)),
            }
        }
    }
    if next <= to {
        return Err(LogError::Damaged {
            segment: directory.to_path_buf(),
            offset: 0,
            sequence: next,
            problem: "records are missing from here on",
        });
    }
    Ok(())
}

pub(super) fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
