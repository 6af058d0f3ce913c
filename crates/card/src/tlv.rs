//! BER-TLV data objects, ISO/IEC 7816-4:2020 §6.3 over ISO/IEC 8825-1: strict, borrowed, without
//! allocation on reading.
//!
//! Strict means: definite lengths in their shortest form, tags of at most three octets in their
//! shortest form, nothing left over. All our data objects are made by machines that can do that.

use std::fmt;

/// A tag as the number its octets make, for example `0x7F21`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u32);

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({:X})", self.0)
    }
}

/// Why bytes are not the data object that was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TlvError {
    /// The bytes end inside a data object.
    #[error("the data object is cut off")]
    Truncated,
    /// A tag longer than three octets, or not in its shortest form.
    #[error("a tag that is not allowed here")]
    Tag,
    /// An indefinite length, a length of more than three octets, or one not in its shortest form.
    #[error("a length that is not allowed here")]
    Length,
    /// Another tag than the one that has to stand here.
    #[error("an unexpected data object")]
    Unexpected,
    /// Bytes after the end.
    #[error("bytes after the data object")]
    Trailing,
}

/// One data object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Its tag.
    pub tag: Tag,
    /// Its value field.
    pub value: &'a [u8],
    /// The whole object: tag, length and value.
    pub encoded: &'a [u8],
}

impl fmt::Debug for Tlv<'_> {
    /// Tag and length: the value may be anybody's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tlv({:X}, {} octets)", self.tag.0, self.value.len())
    }
}

fn take<'a>(bytes: &mut &'a [u8]) -> Result<u8, TlvError> {
    let whole: &'a [u8] = bytes;
    let (first, rest) = whole.split_first().ok_or(TlvError::Truncated)?;
    *bytes = rest;
    Ok(*first)
}

fn read_tag(bytes: &mut &[u8]) -> Result<Tag, TlvError> {
    let first = take(bytes)?;
    let mut tag = u32::from(first);
    if first & 0x1F != 0x1F {
        // 00 is padding in some files, never a data object.
        return if first == 0 { Err(TlvError::Tag) } else { Ok(Tag(tag)) };
    }
    for place in 0..2u8 {
        let next = take(bytes)?;
        // ISO/IEC 8825-1 §8.1.2.4: no leading zero in the number, and numbers below 31 fit one octet.
        if place == 0 && (next == 0x80 || next < 0x1F) {
            return Err(TlvError::Tag);
        }
        tag = (tag << 8) | u32::from(next);
        if next & 0x80 == 0 {
            return Ok(Tag(tag));
        }
    }
    Err(TlvError::Tag)
}

fn read_length(bytes: &mut &[u8]) -> Result<usize, TlvError> {
    let first = take(bytes)?;
    let octets = match first {
        0..=0x7F => return Ok(usize::from(first)),
        0x81..=0x83 => first & 0x7F,
        _ => return Err(TlvError::Length),
    };
    let mut length = 0usize;
    for _ in 0..octets {
        length = (length << 8) | usize::from(take(bytes)?);
    }
    let shortest = match octets {
        1 => 0x80,
        2 => 0x100,
        _ => 0x1_0000,
    };
    if length >= shortest { Ok(length) } else { Err(TlvError::Length) }
}

/// Reads tag and length, and gives what follows: for objects whose value travels in pieces.
pub fn read_header(bytes: &[u8]) -> Result<(Tag, usize, &[u8]), TlvError> {
    let mut rest = bytes;
    let tag = read_tag(&mut rest)?;
    let length = read_length(&mut rest)?;
    Ok((tag, length, rest))
}

/// Reads one data object from the front, and gives it and what follows it.
pub fn read_one(bytes: &[u8]) -> Result<(Tlv<'_>, &[u8]), TlvError> {
    let (tag, length, rest) = read_header(bytes)?;
    let (value, after) = rest.split_at_checked(length).ok_or(TlvError::Truncated)?;
    let encoded = bytes.get(..bytes.len() - after.len()).ok_or(TlvError::Truncated)?;
    Ok((Tlv { tag, value, encoded }, after))
}

/// Reads exactly one data object with this tag, and gives its value.
pub fn read_single(bytes: &[u8], tag: Tag) -> Result<&[u8], TlvError> {
    let mut reader = TlvReader::new(bytes);
    let value = reader.expect(tag)?;
    reader.finish()?;
    Ok(value)
}

/// Reads data objects one after the other.
#[derive(Clone, Debug)]
pub struct TlvReader<'a>(&'a [u8]);

impl<'a> TlvReader<'a> {
    /// A reader over `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next data object, whatever it is.
    pub fn read(&mut self) -> Result<Tlv<'a>, TlvError> {
        let (object, rest) = read_one(self.0)?;
        self.0 = rest;
        Ok(object)
    }

    /// The value of the next data object, which must have this tag.
    pub fn expect(&mut self, tag: Tag) -> Result<&'a [u8], TlvError> {
        let object = self.read()?;
        if object.tag == tag { Ok(object.value) } else { Err(TlvError::Unexpected) }
    }

    /// As [`Self::expect`], and the value must have exactly `N` octets.
    pub fn expect_array<const N: usize>(&mut self, tag: Tag) -> Result<&'a [u8; N], TlvError> {
        self.expect(tag)?.try_into().map_err(|_| TlvError::Length)
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing may be left.
    pub const fn finish(self) -> Result<(), TlvError> {
        if self.0.is_empty() { Ok(()) } else { Err(TlvError::Trailing) }
    }
}

/// Appends tag and length of an object whose value of `length` octets follows. Lengths go up to
/// 16,777,215 octets; nothing in this crate comes near.
pub fn write_header(out: &mut Vec<u8>, tag: Tag, length: usize) {
    let significant = |value: u32| value.to_be_bytes().into_iter().skip_while(|octet| *octet == 0);
    out.extend(significant(tag.0));
    match length {
        0..=0x7F => out.extend(u8::try_from(length)),
        0x80..=0xFF => out.push(0x81),
        0x100..=0xFFFF => out.push(0x82),
        _ => out.push(0x83),
    }
    if length > 0x7F {
        out.extend(significant(u32::try_from(length).unwrap_or(u32::MAX)));
    }
}

/// Appends one data object.
pub fn write(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    write_header(out, tag, value.len());
    out.extend_from_slice(value);
}

/// One data object as its own bytes.
pub fn encode(tag: Tag, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 8);
    write(&mut out, tag, value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_objects_of_the_card() {
        let bytes = encode(Tag(0x7F21), &encode(Tag(0x5F4E), &[7; 297]));
        assert_eq!(&bytes[..5], [0x7F, 0x21, 0x82, 0x01, 0x2E]);
        let inner = read_single(&bytes, Tag(0x7F21)).unwrap();
        assert_eq!(read_single(inner, Tag(0x5F4E)).unwrap(), [7; 297]);
        assert_eq!(read_single(&bytes, Tag(0x7F22)), Err(TlvError::Unexpected));
    }

    #[test]
    fn refuses_what_is_not_strict() {
        for (bytes, error) in [
            (&[][..], TlvError::Truncated),
            (&[0x00, 0x00], TlvError::Tag),
            (&[0x1F, 0x1E, 0x00], TlvError::Tag),
            (&[0x1F, 0x80, 0x01, 0x00], TlvError::Tag),
            (&[0x1F, 0x81, 0x82, 0x03, 0x00], TlvError::Tag),
            (&[0x81, 0x80, 0, 0], TlvError::Length),
            (&[0x81, 0x84, 0, 0, 0, 1, 9], TlvError::Length),
            (&[0x81, 0x81, 0x01, 9], TlvError::Length),
            (&[0x81, 0x82, 0x00, 0x80], TlvError::Length),
            (&[0x81, 0x83, 0x00, 0xFF, 0xFF], TlvError::Length),
            (&[0x81, 0x02, 9], TlvError::Truncated),
        ] {
            assert_eq!(read_one(bytes).map(|_| ()), Err(error), "{bytes:02X?}");
        }
        assert_eq!(read_single(&[0x81, 0, 0x82, 0], Tag(0x81)), Err(TlvError::Trailing));
    }

    #[test]
    fn long_values_round_trip() {
        for length in [0, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0x1_0001] {
            let value = vec![5; length];
            assert_eq!(read_single(&encode(Tag(0x53), &value), Tag(0x53)), Ok(&value[..]));
        }
    }

    proptest! {
        #[test]
        fn round_trip_and_every_prefix(
            tag in prop_oneof![Just(0x53u32), Just(0x82), Just(0x5F37), Just(0x7F21), Just(0x007F_8101)],
            value in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let bytes = encode(Tag(tag), &value);
            prop_assert_eq!(read_single(&bytes, Tag(tag)), Ok(&value[..]));
            for end in 0..bytes.len() {
                prop_assert_eq!(read_one(&bytes[..end]).map(|_| ()), Err(TlvError::Truncated));
            }
        }

        #[test]
        fn what_reads_writes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((object, rest)) = read_one(&bytes) {
                prop_assert_eq!(encode(object.tag, object.value), object.encoded);
                prop_assert_eq!(object.encoded.len() + rest.len(), bytes.len());
            }
        }
    }
}
