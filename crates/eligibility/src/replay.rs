//! Replay protection that costs one integer per terminal: a counter above the highest one durably
//! seen is new; the last touch (statement and seal) repeated byte for byte gets its answer again; all else is refused.

use crate::store::LastOutcome;
use chassis::durable_log::Pending;
use protocol::ids::TerminalKeyHash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a counter means for a terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// Above everything seen.
    New,
    /// The terminal's last request again: give the same answer.
    Repeat {
        /// Sequence of its record, if it is known to be durable.
        sequence: Option<u64>,
        /// HTTP status of the first answer.
        status: u16,
        /// Its body.
        body: Vec<u8>,
    },
    /// At or below the highest one seen, and not a repeat.
    Replayed {
        /// The highest one seen.
        highest: u64,
    },
}

/// Judges a counter against the last outcome. Pure.
pub fn judge(last: Option<&LastOutcome>, counter: u64, touch_sha256: &[u8; 32]) -> Freshness {
    match last {
        None => Freshness::New,
        Some(last) if counter > last.counter => Freshness::New,
        Some(last) if counter == last.counter && last.touch_sha256 == *touch_sha256 => {
            Freshness::Repeat { sequence: last.sequence, status: last.status, body: last.body.clone() }
        }
        Some(last) => Freshness::Replayed { highest: last.counter },
    }
}

/// A terminal's last outcome, and its record on the way to the disk (none after a restart: then it is
/// there, at the outcome's own sequence). Nobody gets the outcome before the record is durable.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// The outcome.
    pub outcome: LastOutcome,
    /// Its record.
    pub record: Option<Pending>,
}

/// One terminal's place in the ledger. The async lock is held over a whole check, so that two requests
/// with one counter cannot both be new.
pub type TerminalSlot = Arc<tokio::sync::Mutex<Option<Remembered>>>;

/// Last outcomes of all terminals seen.
#[derive(Debug, Default)]
pub struct ReplayLedger {
    slots: Mutex<HashMap<TerminalKeyHash, TerminalSlot>>,
}

impl ReplayLedger {
    /// A ledger that starts from what was recovered.
    pub fn from_outcomes(outcomes: impl IntoIterator<Item = (TerminalKeyHash, LastOutcome)>) -> Self {
        let slots = outcomes
            .into_iter()
            .map(|(terminal, outcome)| {
                (terminal, Arc::new(tokio::sync::Mutex::new(Some(Remembered { outcome, record: None }))))
            })
            .collect();
        Self { slots: Mutex::new(slots) }
    }

    /// The slot of `terminal`, made at its first request.
    pub fn slot(&self, terminal: &TerminalKeyHash) -> TerminalSlot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(*terminal).or_default())
    }

    /// Every terminal's last outcome, each read between two of its checks.
    pub async fn snapshot(&self) -> Vec<(TerminalKeyHash, LastOutcome)> {
        let slots: Vec<(TerminalKeyHash, TerminalSlot)> = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.iter().map(|(terminal, slot)| (*terminal, Arc::clone(slot))).collect()
        };
        let mut outcomes = Vec::with_capacity(slots.len());
        for (terminal, slot) in slots {
            let Some(last) = slot.lock().await.clone() else { continue };
            // What is not on disk must not be in a checkpoint either.
            let sequence = match &last.record {
                Some(record) => match record.durable().await {
                    Ok(position) => Some(position.sequence),
                    Err(_) => continue,
                },
                None => last.outcome.sequence,
            };
            outcomes.push((terminal, LastOutcome { sequence, ..last.outcome }));
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> LastOutcome {
        LastOutcome {
            sequence: None,
            counter: 10,
            touch_sha256: [1; 32],
            status: 200,
            body: b"answer".to_vec(),
        }
    }

    #[test]
    fn the_rule() {
        assert_eq!(judge(None, 0, &[0; 32]), Freshness::New);
        assert_eq!(judge(Some(&last()), 11, &[2; 32]), Freshness::New);
        assert_eq!(
            judge(Some(&last()), 10, &[1; 32]),
            Freshness::Repeat { sequence: None, status: 200, body: b"answer".to_vec() }
        );
        assert_eq!(judge(Some(&last()), 10, &[2; 32]), Freshness::Replayed { highest: 10 });
        assert_eq!(judge(Some(&last()), 9, &[1; 32]), Freshness::Replayed { highest: 10 });
    }
}
