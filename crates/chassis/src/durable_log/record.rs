//! How records and segment heads look on disk. All integers are little-endian.
//!
//! ```text
//! segment head, 72 bytes: magic 8 | first sequence u64 | chain 32 | salt 16 | crc u32 | zero 4
//! record, 56 bytes + payload, padded with zeros to a multiple of 8:
//!   length u32 | crc u32 | sequence u64 | batch first u64 | chain 32 | payload
//! seal, 56 bytes: a record head with length 0xFFFF_FFFF and the *next* sequence
//! ```
//! `chain` is SHA-256 over the whole previous record (head and payload), so a record cannot be taken
//! out or exchanged without breaking every later one. `crc` starts from the segment's random salt: a
//! payload chosen by somebody outside cannot imitate a record. `batch first` is the sequence of the
//! first record of the same write: everything below it was durable before this record was written,
//! which tells a torn end (never promised) from damage (promised and lost).

use aws_lc_rs::digest::{SHA256, digest};
use crc32fast::Hasher;

/// Bytes of a segment head.
pub(super) const SEGMENT_HEAD_BYTES: usize = 72;
/// Bytes of a record head, and of a seal.
pub(super) const RECORD_HEAD_BYTES: usize = 56;
/// Records start at multiples of this, so that a search for survivors is quick.
pub(super) const ALIGNMENT_BYTES: usize = 8;

const MAGIC: [u8; 8] = *b"KAZLOG01";
const SEAL_LENGTH: u32 = u32::MAX;

/// A SHA-256 value of the chain.
pub(super) type Chain = [u8; 32];

/// The checksum state that every record of a segment starts from.
#[derive(Clone, Debug)]
pub(super) struct Salted(Hasher);

impl Salted {
    fn new(salt: &[u8; 16]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(salt);
        Self(hasher)
    }

    fn of(&self, parts: &[&[u8]]) -> u32 {
        let mut hasher = self.0.clone();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

/// What stands at the front of a segment.
#[derive(Clone, Debug)]
pub(super) struct SegmentHead {
    pub(super) first_sequence: u64,
    pub(super) chain: Chain,
    pub(super) salted: Salted,
}

/// The bytes of a segment head.
pub(super) fn encode_segment_head(
    first_sequence: u64,
    chain: &Chain,
    salt: &[u8; 16],
) -> (Vec<u8>, SegmentHead) {
    let mut bytes = Vec::with_capacity(SEGMENT_HEAD_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&first_sequence.to_le_bytes());
    bytes.extend_from_slice(chain);
    bytes.extend_from_slice(salt);
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.resize(SEGMENT_HEAD_BYTES, 0);
    let head = SegmentHead { first_sequence, chain: *chain, salted: Salted::new(salt) };
    (bytes, head)
}

/// Reads a segment head; `None` if any bit of it is wrong.
pub(super) fn decode_segment_head(bytes: &[u8]) -> Option<SegmentHead> {
    let (head, _) = bytes.split_at_checked(SEGMENT_HEAD_BYTES)?;
    let (covered, rest) = head.split_at_checked(64)?;
    let (crc, padding) = rest.split_first_chunk::<4>()?;
    let (magic, covered_rest) = covered.split_first_chunk::<8>()?;
    let (first_sequence, covered_rest) = covered_rest.split_first_chunk::<8>()?;
    let (chain, covered_rest) = covered_rest.split_first_chunk::<32>()?;
    let salt = covered_rest.first_chunk::<16>()?;
    let whole = *magic == MAGIC && u32::from_le_bytes(*crc) == crc32fast::hash(covered) && is_zero(padding);
    whole.then(|| SegmentHead {
        first_sequence: u64::from_le_bytes(*first_sequence),
        chain: *chain,
        salted: Salted::new(salt),
    })
}

/// Bytes that a record with a payload of `payload_bytes` takes on disk.
pub(super) const fn disk_bytes(payload_bytes: usize) -> usize {
    RECORD_HEAD_BYTES.saturating_add(payload_bytes).next_multiple_of(ALIGNMENT_BYTES)
}

/// Appends one record to `buffer` and returns the chain value for the next one.
pub(super) fn encode_record(
    buffer: &mut Vec<u8>,
    salted: &Salted,
    sequence: u64,
    batch_first: u64,
    chain: &Chain,
    payload: &[u8],
) -> Chain {
    let start = buffer.len();
    // The caller has checked the length; a payload of 4 GiB never reaches this point.
    let length = u32::try_from(payload.len()).unwrap_or(SEAL_LENGTH - 1);
    encode_head(buffer, salted, length, sequence, batch_first, chain, payload);
    buffer.extend_from_slice(payload);
    let next = digest(&SHA256, buffer.get(start..).unwrap_or_default());
    buffer.resize(start + disk_bytes(payload.len()), 0);
    to_chain(next.as_ref())
}

/// Appends the mark of a clean end: every record below `next_sequence` was durable before it.
pub(super) fn encode_seal(buffer: &mut Vec<u8>, salted: &Salted, next_sequence: u64, chain: &Chain) {
    encode_head(buffer, salted, SEAL_LENGTH, next_sequence, next_sequence, chain, &[]);
}

fn encode_head(
    buffer: &mut Vec<u8>,
    salted: &Salted,
    length: u32,
    sequence: u64,
    batch_first: u64,
    chain: &Chain,
    payload: &[u8],
) {
    let length = length.to_le_bytes();
    let mut middle = [0_u8; RECORD_HEAD_BYTES - 8];
    for (to, from) in middle
        .iter_mut()
        .zip(sequence.to_le_bytes().into_iter().chain(batch_first.to_le_bytes()).chain(*chain))
    {
        *to = from;
    }
    let crc = salted.of(&[&length, &middle, payload]);
    buffer.extend_from_slice(&length);
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&middle);
}

fn to_chain(bytes: &[u8]) -> Chain {
    bytes.first_chunk().copied().unwrap_or_default()
}

/// Whether every byte is zero; eight at a time, because recovery asks it of whole segments.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| u64::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// A record or seal whose checksum fits, wherever it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoded<'a> {
    pub(super) sequence: u64,
    pub(super) batch_first: u64,
    pub(super) chain: &'a Chain,
    /// `None` for a seal.
    pub(super) payload: Option<&'a [u8]>,
    /// Head and payload, what the next record's chain value is taken over.
    pub(super) hashed: &'a [u8],
    /// Bytes on disk including padding.
    pub(super) disk_bytes: usize,
}

/// Reads what stands at the front of `bytes`.
///
/// # Errors
/// What does not fit, in words.
pub(super) fn decode<'a>(bytes: &'a [u8], salted: &Salted) -> Result<Decoded<'a>, &'static str> {
    const CUT: &str = "the file ends inside the record";
    let (head, after) = bytes.split_at_checked(RECORD_HEAD_BYTES).ok_or(CUT)?;
    let (length_bytes, rest) = head.split_first_chunk::<4>().ok_or(CUT)?;
    let (crc, middle) = rest.split_first_chunk::<4>().ok_or(CUT)?;
    let (sequence, rest) = middle.split_first_chunk::<8>().ok_or(CUT)?;
    let (batch_first, rest) = rest.split_first_chunk::<8>().ok_or(CUT)?;
    let chain = rest.first_chunk::<32>().ok_or(CUT)?;
    let length = u32::from_le_bytes(*length_bytes);
    if length == 0 {
        return Err("no record stands here");
    }
    let payload = match length {
        SEAL_LENGTH => None,
        _ => Some(
            usize::try_from(length)
                .ok()
                .and_then(|length| after.get(..length))
                .ok_or("its length points outside the segment")?,
        ),
    };
    let payload_bytes = payload.unwrap_or_default();
    if u32::from_le_bytes(*crc) != salted.of(&[length_bytes, middle, payload_bytes]) {
        return Err("its checksum does not fit");
    }
    let hashed_bytes = RECORD_HEAD_BYTES + payload_bytes.len();
    let disk_bytes = disk_bytes(payload_bytes.len());
    let padding = bytes.get(hashed_bytes..disk_bytes).ok_or(CUT)?;
    if !is_zero(padding) {
        return Err("its padding is not zero");
    }
    Ok(Decoded {
        sequence: u64::from_le_bytes(*sequence),
        batch_first: u64::from_le_bytes(*batch_first),
        chain,
        payload,
        hashed: bytes.get(..hashed_bytes).ok_or(CUT)?,
        disk_bytes,
    })
}

/// Walks through the records of one segment in order.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    salted: Salted,
    /// Where the next record should start.
    pub(super) offset: usize,
    /// The sequence it should have.
    pub(super) sequence: u64,
    /// The chain value it should carry.
    pub(super) chain: Chain,
    /// Whether the last thing passed was a seal.
    pub(super) sealed: bool,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first record of the segment `bytes` with the head `head`.
    pub(super) fn new(bytes: &'a [u8], head: &SegmentHead) -> Self {
        Self {
            bytes,
            salted: head.salted.clone(),
            offset: SEGMENT_HEAD_BYTES,
            sequence: head.first_sequence,
            chain: head.chain,
            sealed: false,
        }
    }

    /// The next record, passing over seals.
    ///
    /// # Errors
    /// Why none stands there; the cursor stays before the place.
    pub(super) fn next_record(&mut self) -> Result<(u64, &'a [u8]), &'static str> {
        loop {
            let decoded = decode(self.rest(), &self.salted)?;
            if decoded.sequence != self.sequence {
                return Err("its sequence does not follow");
            }
            if *decoded.chain != self.chain {
                return Err("its chain value does not follow from the record before");
            }
            self.offset += decoded.disk_bytes;
            let Some(payload) = decoded.payload else {
                self.sealed = true;
                continue;
            };
            self.sealed = false;
            self.sequence += 1;
            self.chain = to_chain(digest(&SHA256, decoded.hashed).as_ref());
            return Ok((decoded.sequence, payload));
        }
    }

    /// Everything from the cursor to the end of the segment.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    /// Whether something behind the cursor proves that the record expected here was once durable: a
    /// record of a later write, a later seal, or this very sequence in another place.
    pub(super) fn was_durable(&self) -> bool {
        let rest = self.rest();
        let most = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let places = (ALIGNMENT_BYTES..rest.len()).step_by(ALIGNMENT_BYTES);
        places
            .filter_map(|place| rest.get(place..))
            .filter(|bytes| {
                // The cheap test first: a plausible sequence, before a checksum is computed.
                bytes.get(8..16).and_then(|field| field.first_chunk::<8>()).is_some_and(|field| {
                    let sequence = u64::from_le_bytes(*field);
                    (self.sequence..self.sequence.saturating_add(most)).contains(&sequence)
                })
            })
            .filter_map(|bytes| decode(bytes, &self.salted).ok())
            .any(|found| {
                found.sequence == self.sequence
                    || (found.batch_first > self.sequence && found.batch_first <= found.sequence)
            })
    }
}
