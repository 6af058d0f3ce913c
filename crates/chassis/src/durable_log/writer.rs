//! The one thread that writes.

use super::record::{self, RECORD_HEAD_BYTES};
use super::recovery::{self, End, failed, to_u64};
use super::storage::{self, LogLock, LogStorage};
use super::{LogError, Shared};
use std::path::PathBuf;
use std::sync::Arc;

/// The end of the log and everything needed to extend it.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) storage: Arc<dyn LogStorage>,
    pub(super) directory: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) end: End,
    /// Records of one write, kept to be filled again.
    pub(super) buffer: Vec<u8>,
    /// Held as long as this thread may write.
    pub(super) _lock: Box<dyn LogLock>,
}

/// Refuses everything that still waits if the thread ends in any other way than by closing: nobody
/// may wait for a writer that is gone.
struct RefuseAtEnd(Arc<Shared>);

impl Drop for RefuseAtEnd {
    fn drop(&mut self) {
        self.0.refuse("the writer thread stopped");
    }
}

impl Writer {
    /// Commits batch after batch until the log is closed or a write fails.
    pub(super) fn run(mut self, shared: Arc<Shared>) -> Result<(), LogError> {
        let guard = RefuseAtEnd(shared);
        let shared = &guard.0;
        let mut payloads = Vec::new();
        while let Some(batch) = shared.next_batch(&mut payloads) {
            let records = to_u64(payloads.len());
            match self.commit(&payloads) {
                Ok(syncs) => shared.acknowledge(&batch, records, syncs, self.end.next_sequence - 1),
                Err(error) => {
                    let reason = shared.refuse(&error.to_string());
                    tracing::error!(reason = &*reason, "the log failed: it acknowledges nothing any more");
                    batch.finish(Err(LogError::Poisoned { reason: Arc::clone(&reason) }));
                    return Err(LogError::Poisoned { reason });
                }
            }
            payloads.clear();
        }
        let sealed = self.seal();
        shared.close();
        sealed
    }

    /// Writes `payloads` as records and syncs them; returns the number of syncs (one, and one more for
    /// every segment filled on the way).
    fn commit(&mut self, payloads: &[Vec<u8>]) -> Result<u64, LogError> {
        let mut syncs = 0;
        let mut batch_first = self.end.next_sequence;
        for payload in payloads {
            let needed = to_u64(record::disk_bytes(payload.len()));
            // One record head stays free at the end of each segment, for the seal.
            let reach = self.end.offset + to_u64(self.buffer.len()) + needed + to_u64(RECORD_HEAD_BYTES);
            if reach > self.end.size {
                // What is in the old segment is durable before the new one exists: then a segment
                // that has a successor can have no torn end.
                syncs += self.flush()?;
                self.end = recovery::create_segment(
                    self.storage.as_ref(),
                    &self.directory,
                    self.segment_bytes,
                    self.end.next_sequence,
                    &self.end.chain,
                )?;
                batch_first = self.end.next_sequence;
            }
            self.end.chain = record::encode_record(
                &mut self.buffer,
                &self.end.head.salted,
                self.end.next_sequence,
                batch_first,
                &self.end.chain,
                payload,
            );
            self.end.next_sequence += 1;
            self.end.sealed = false;
        }
        Ok(syncs + self.flush()?)
    }

    /// Writes and syncs the buffer; returns the number of syncs, 0 if it was empty.
    fn flush(&mut self) -> Result<u64, LogError> {
        if self.buffer.is_empty() {
            return Ok(0);
        }
        storage::write_all_at(self.end.file.as_ref(), &self.buffer, self.end.offset)
            .map_err(failed(&self.end.path, "write records"))?;
        self.end.file.sync().map_err(failed(&self.end.path, "sync records"))?;
        self.end.offset += to_u64(self.buffer.len());
        self.buffer.clear();
        // One batch of long payloads must not keep its memory for ever.
        self.buffer.shrink_to(1 << 20);
        Ok(1)
    }

    /// Marks the end as clean, so that later damage to the last record cannot pass for a torn write.
    fn seal(&mut self) -> Result<(), LogError> {
        let fits = self.end.offset + to_u64(RECORD_HEAD_BYTES) <= self.end.size;
        if self.end.sealed || !fits {
            return Ok(());
        }
        record::encode_seal(&mut self.buffer, &self.end.head.salted, self.end.next_sequence, &self.end.chain);
        self.flush().map(drop)
    }
}
