//! The audit record: what the platform durably writes before an answer leaves.
//!
//! The card's serial is in it only as a keyed hash, so that a person's checks can be found by whoever
//! holds the key, and by nobody else. The response body is in it because a lost response must be
//! answered again byte for byte, even after a restart; the log therefore has the store's protection.

use crate::hashes::sha256;
use crate::store::LastOutcome;
use protocol::ids::TerminalKeyHash;
use protocol::time::UnixSeconds;

/// Records before there were receipts: they have no commitment.
const WITHOUT_COMMITMENT: u8 = 1;
const VERSION: u8 = 2;

/// One check as it is recorded.
#[doc(alias = "監査記録")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRecord {
    /// Its number, as the answer names it.
    pub number: u64,
    /// When.
    pub at: UnixSeconds,
    /// Which terminal.
    pub terminal: TerminalKeyHash,
    /// Keyed hash of the certificate serial, truncated to 128 bits.
    pub holder_tag: [u8; 16],
    /// This record's entry in the receipt log: a salted commitment to what was answered.
    pub commitment: [u8; 32],
    /// What was answered.
    pub outcome: LastOutcome,
}

impl AuditRecord {
    /// The record's octets: fixed fields big-endian, then the body to the end.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 8 + 8 + 32 + 16 + 32 + 8 + 32 + 2 + self.outcome.body.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.at.0.to_be_bytes());
        bytes.extend_from_slice(&self.terminal.0);
        bytes.extend_from_slice(&self.holder_tag);
        bytes.extend_from_slice(&self.commitment);
        bytes.extend_from_slice(&self.outcome.counter.to_be_bytes());
        bytes.extend_from_slice(&self.outcome.touch_sha256);
        bytes.extend_from_slice(&self.outcome.status.to_be_bytes());
        bytes.extend_from_slice(&self.outcome.body);
        bytes
    }

    /// Parses what [`AuditRecord::encode`] wrote; `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if ![WITHOUT_COMMITMENT, VERSION].contains(version) {
            return None;
        }
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (terminal, rest) = rest.split_first_chunk::<32>()?;
        let (holder_tag, rest) = rest.split_first_chunk::<16>()?;
        let (commitment, rest) = if *version == VERSION {
            let (commitment, rest) = rest.split_first_chunk::<32>()?;
            (*commitment, rest)
        } else {
            // The record itself, which anybody who has it can hash again.
            (sha256(bytes), rest)
        };
        let (counter, rest) = rest.split_first_chunk::<8>()?;
        let (touch_sha256, rest) = rest.split_first_chunk::<32>()?;
        let (status, body) = rest.split_first_chunk::<2>()?;
        Some(Self {
            number: u64::from_be_bytes(*number),
            at: UnixSeconds(u64::from_be_bytes(*at)),
            terminal: TerminalKeyHash(*terminal),
            holder_tag: *holder_tag,
            commitment,
            outcome: LastOutcome {
                sequence: None,
                counter: u64::from_be_bytes(*counter),
                touch_sha256: *touch_sha256,
                status: u16::from_be_bytes(*status),
                body: body.to_vec(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_prefixes() {
        let record = AuditRecord {
            number: 1,
            at: UnixSeconds(2),
            terminal: TerminalKeyHash([3; 32]),
            holder_tag: [4; 16],
            commitment: [9; 32],
            outcome: LastOutcome {
                sequence: None,
                counter: 5,
                touch_sha256: [6; 32],
                status: 200,
                body: b"{}".to_vec(),
            },
        };
        let bytes = record.encode();
        assert_eq!(AuditRecord::parse(&bytes), Some(record));
        for end in 0..bytes.len() - 2 {
            assert_eq!(AuditRecord::parse(&bytes[..end]), None);
        }
    }

    #[test]
    fn records_from_before_there_were_receipts_are_read() {
        let mut bytes = vec![1];
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 7]);
        bytes.extend([0; 8 + 32 + 16 + 8 + 32]);
        bytes.extend([0, 200]);
        let record = AuditRecord::parse(&bytes).unwrap();
        assert_eq!((record.number, record.outcome.status, record.commitment), (7, 200, sha256(&bytes)));
    }
}
