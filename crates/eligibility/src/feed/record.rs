//! Octets to records. A record is found in the octets (no character of Shift_JIS contains a comma, a quote or a
//! line end in its second octet), then decoded as a whole. RFC 4180 with either line end.

use super::FeedError;
use std::borrow::Cow;
use std::io::{BufRead, Read as _};

/// Longest record in octets, line ends inside quotes included: some forty times the longest honest one.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// Octets that are looked at to tell what a file is.
pub const SNIFFED: usize = 8;

/// The encoding of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// Shift_JIS as Windows has it (windows-31j).
    ShiftJis,
}

impl Encoding {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::ShiftJis => "Shift_JIS",
        }
    }

    /// Decodes a record; `None` if it is not in this encoding.
    pub fn decode(self, octets: &[u8]) -> Option<Cow<'_, str>> {
        match self {
            Self::Utf8 => std::str::from_utf8(octets).ok().map(Cow::Borrowed),
            Self::ShiftJis => {
                encoding_rs::SHIFT_JIS.decode_without_bom_handling_and_without_replacement(octets)
            }
        }
    }
}

/// What is said by the first octets of a file that no CSV begins with.
pub fn sniff(first: &[u8]) -> Result<(), FeedError> {
    let magics: [(&[u8], &str); 6] = [
        (b"PK\x03\x04", "a ZIP archive"),
        (b"PK\x05\x06", "an empty ZIP archive"),
        (b"\x1f\x8b", "a gzip file"),
        (b"BZh", "a bzip2 file"),
        (b"\xfd7zXZ", "an xz file"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    ];
    if let Some((_, name)) = magics.iter().find(|(magic, _)| first.starts_with(magic)) {
        return Err(FeedError::Compressed(name));
    }
    if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") || first.contains(&0) {
        return Err(FeedError::WideEncoding);
    }
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    if text.trim_ascii_start().starts_with(b"<") { Err(FeedError::Markup) } else { Ok(()) }
}

/// Why octets are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRecord {
    /// It is longer than [`RECORD_BYTES_MAX`].
    TooLong,
    /// A quote was opened and not closed within that length.
    QuoteOpen,
}

/// The next thing in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// A record stands in [`Records::octets`].
    Record,
    /// Something that is none; the file goes on behind it.
    Unusable(NoRecord),
    /// Nothing more.
    End,
}

/// Records of a file, one after the other, in one buffer.
#[derive(Debug)]
pub struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    line: u64,
    lines_read: u64,
    ended: Ended,
    bytes: u64,
}

/// How the last record ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With a line end.
    Line,
    /// With the file.
    File,
}

impl<R: BufRead> Records<R> {
    /// From the beginning of a file; a byte order mark is skipped.
    pub fn new(mut input: R) -> std::io::Result<Self> {
        let mut bytes = 0;
        if input.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
            bytes = 3;
        }
        Ok(Self {
            input,
            buffer: Vec::with_capacity(1024),
            line: 0,
            lines_read: 0,
            ended: Ended::Line,
            bytes,
        })
    }

    /// Octets of the record, without its line end.
    pub fn octets(&self) -> &[u8] {
        let octets = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        octets.strip_suffix(b"\r").unwrap_or(octets)
    }

    /// The line it began on, from 1.
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// How it ended.
    pub const fn ended(&self) -> Ended {
        self.ended
    }

    /// Octets read so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next record. Empty lines are skipped.
    pub fn step(&mut self) -> std::io::Result<Next> {
        loop {
            self.buffer.clear();
            self.line = self.lines_read + 1;
            match self.read_record()? {
                Next::Record if self.octets().is_empty() => {}
                next => return Ok(next),
            }
        }
    }

    fn read_record(&mut self) -> std::io::Result<Next> {
        let mut quote_open = false;
        loop {
            let before = self.buffer.len();
            let room = (RECORD_BYTES_MAX + 1).saturating_sub(before) as u64;
            let read = (&mut self.input).take(room).read_until(b'\n', &mut self.buffer)?;
            self.bytes += read as u64;
            self.lines_read += u64::from(read > 0);
            // Only what came now: a quote may stay open over many short lines.
            let fresh = self.buffer.get(before..).unwrap_or_default();
            if fresh.contains(&b'"') {
                quote_open ^= !fresh.iter().filter(|octet| **octet == b'"').count().is_multiple_of(2);
            }
            let whole_line = fresh.ends_with(b"\n");
            self.ended = if whole_line { Ended::Line } else { Ended::File };
            if self.buffer.len() > RECORD_BYTES_MAX {
                if !whole_line {
                    self.skip_line()?;
                }
                return Ok(Next::Unusable(if quote_open { NoRecord::QuoteOpen } else { NoRecord::TooLong }));
            }
            if whole_line && quote_open {
                continue;
            }
            return Ok(match (self.buffer.is_empty(), quote_open) {
                (true, _) => Next::End,
                (false, true) => Next::Unusable(NoRecord::QuoteOpen),
                (false, false) => Next::Record,
            });
        }
    }

    /// Reads to the end of the line and forgets it: a line of any length costs no memory.
    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let available = self.input.fill_buf()?;
            if available.is_empty() {
                self.ended = Ended::File;
                return Ok(());
            }
            let end = available.iter().position(|octet| *octet == b'\n');
            let used = end.map_or(available.len(), |place| place + 1);
            self.input.consume(used);
            self.bytes += used as u64;
            if end.is_some() {
                self.ended = Ended::Line;
                return Ok(());
            }
        }
    }
}

/// The cells of a decoded record; `None` if a quote stands where none may.
pub fn cells(record: &str) -> Option<Vec<Cow<'_, str>>> {
    if !record.contains('"') {
        return Some(record.split(',').map(Cow::Borrowed).collect());
    }
    let mut cells = Vec::with_capacity(32);
    let mut rest = record;
    loop {
        let (cell, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_cell(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (cell, behind) = rest.split_at_checked(end)?;
                if cell.contains('"') {
                    return None;
                }
                (Cow::Borrowed(cell), behind)
            }
        };
        cells.push(cell);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Some(cells),
            None => return None,
        }
    }
}

/// A cell behind its opening quote, and what follows its closing one.
fn quoted_cell(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut from = 0;
    loop {
        let quote = from + text.get(from..)?.find('"')?;
        let behind = text.get(quote + 1..)?;
        if behind.starts_with('"') {
            from = quote + 2;
            continue;
        }
        let cell = text.get(..quote)?;
        let cell = if from == 0 { Cow::Borrowed(cell) } else { Cow::Owned(cell.replace("\"\"", "\"")) };
        return Some((cell, behind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn all(input: &[u8]) -> Vec<(u64, Result<String, NoRecord>)> {
        let mut records = Records::new(BufReader::with_capacity(7, input)).unwrap();
        let mut found = Vec::new();
        loop {
            match records.step().unwrap() {
                Next::Record => {
                    found.push((records.line(), Ok(String::from_utf8_lossy(records.octets()).into_owned())));
                }
                Next::Unusable(why) => found.push((records.line(), Err(why))),
                Next::End => break,
            }
        }
        assert_eq!(records.bytes(), input.len() as u64);
        found
    }

    #[test]
    fn records_by_either_line_end_with_quoted_ones_inside() {
        let text = |line, text: &str| (line, Ok(text.to_owned()));
        assert_eq!(
            all(b"\xef\xbb\xbfa,b\r\n\n1,\"x\ny\"\r\n\r\nlast"),
            [text(1, "a,b"), text(3, "1,\"x\ny\""), text(6, "last")]
        );
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\n\n"), []);
    }

    #[test]
    fn a_line_of_any_length_is_passed_over() {
        let mut input = b"a\n".to_vec();
        input.extend(std::iter::repeat_n(b'x', RECORD_BYTES_MAX * 3));
        input.extend(b"\nb\n\"");
        input.extend(std::iter::repeat_n(b'y', RECORD_BYTES_MAX * 2));
        input.extend(b"\nc\n\"d\n");
        let text = |line, text: &str| (line, Ok(text.to_owned()));
        assert_eq!(
            all(&input),
            [
                text(1, "a"),
                (2, Err(NoRecord::TooLong)),
                text(3, "b"),
                (4, Err(NoRecord::QuoteOpen)),
                text(5, "c"),
                (6, Err(NoRecord::QuoteOpen)),
            ]
        );
    }

    #[test]
    fn cells_by_rfc_4180() {
        let read = |text| cells(text).map(|cells| cells.join("|"));
        assert_eq!(read("a,,c"), Some("a||c".into()));
        assert_eq!(read("\"a\",\"b,\"\"c\"\"\",\"\""), Some("a|b,\"c\"|".into()));
        for bad in ["a\"b", "\"a\"b", "\"a", "a,\"b\"\"", "\""] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn encodings() {
        let (octets, ..) = encoding_rs::SHIFT_JIS.encode("見本　ソ表能");
        assert_eq!(Encoding::ShiftJis.decode(&octets).unwrap(), "見本　ソ表能");
        assert_eq!(Encoding::Utf8.decode(&octets), None);
        assert_eq!(Encoding::ShiftJis.decode("見本①髙".as_bytes()), None);
    }

    #[test]
    fn other_kinds_of_files_are_named() {
        for (first, word) in [
            (&b"PK\x03\x04\x14\x00"[..], "ZIP"),
            (b"\x1f\x8b\x08\x00", "gzip"),
            (b"\xff\xfea\x00", "UTF-16"),
            (b"a\x00b\x00", "UTF-16"),
            (b"<?xml ve", "XML"),
            (b"\xef\xbb\xbf <!D", "XML"),
        ] {
            let error = sniff(first).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(sniff("保険者".as_bytes()).is_ok() && sniff(b"").is_ok());
    }
}
