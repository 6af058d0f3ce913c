//! The files of the card face and the text input application: one private-class object, fields in a
//! fixed order inside, sometimes a table of offsets in front.
//!
//! ```text
//! FF 20 65
//!   DF 21 08  000E 0020 0059 0064   where each of the fields below begins, counted from the file's start
//!   DF 22 0F  …
//! ```
//!
//! Tags are two octets, `FFxx` outside and `DFxx` inside. Lengths are not always in their shortest form:
//! cards write images, and some files as a whole, with `82 00 A9` where `81 A9` would do (seen on a card
//! of the test hierarchy). The writer here does the same where cards do; the reader takes every definite
//! length of up to two octets, and nothing else. What follows the object in the file is filler, `FF` or
//! `00`.

use crate::tlv::{self, Tag, TlvError};
use zeroize::Zeroizing;

/// Why a file is not what its place promises, or cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordFileError {
    /// The bytes end inside an object.
    #[error("the file is cut off")]
    Truncated,
    /// Another tag than the one that stands here.
    #[error("an unexpected tag")]
    Tag,
    /// A length form that these files do not have, or a value of another length than its field's.
    #[error("a length that is not allowed here")]
    Length,
    /// Something other than filler behind the object, or fields after the last one.
    #[error("data behind the last field")]
    Trailing,
    /// The offset table points somewhere else than to the fields.
    #[error("the offset table does not fit the fields")]
    Offsets,
    /// A field whose value is not of its kind.
    #[error("a field with a value that it cannot have")]
    Value,
    /// Longer than two octets of offset can say.
    #[error("the file would be longer than 65,535 octets")]
    TooLong,
}

impl From<TlvError> for RecordFileError {
    fn from(error: TlvError) -> Self {
        match error {
            TlvError::Truncated => Self::Truncated,
            TlvError::Tag | TlvError::Unexpected => Self::Tag,
            TlvError::Length => Self::Length,
            TlvError::Trailing => Self::Trailing,
        }
    }
}

/// How a length is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LengthForm {
    /// In as few octets as it takes.
    Shortest,
    /// `82` and two octets, whatever the length.
    TwoOctets,
}

/// A field to be written.
pub(crate) struct Field<'a> {
    tag: u16,
    value: &'a [u8],
    form: LengthForm,
}

impl<'a> Field<'a> {
    pub(crate) const fn new(tag: u16, value: &'a [u8]) -> Self {
        Self { tag, value, form: LengthForm::Shortest }
    }

    /// A field of the kind that cards write with a two-octet length.
    pub(crate) const fn long(tag: u16, value: &'a [u8]) -> Self {
        Self { tag, value, form: LengthForm::TwoOctets }
    }

    fn append(&self, out: &mut Vec<u8>) -> Result<(), RecordFileError> {
        header(out, self.tag, self.value.len(), self.form)?;
        out.extend_from_slice(self.value);
        Ok(())
    }
}

fn header(out: &mut Vec<u8>, tag: u16, length: usize, form: LengthForm) -> Result<(), RecordFileError> {
    let octets = u16::try_from(length).map_err(|_| RecordFileError::TooLong)?.to_be_bytes();
    match form {
        LengthForm::Shortest => tlv::write_header(out, Tag(u32::from(tag)), length),
        LengthForm::TwoOctets => {
            out.extend_from_slice(&tag.to_be_bytes());
            out.push(0x82);
            out.extend_from_slice(&octets);
        }
    }
    Ok(())
}

/// The fields one after the other, as they stand in the file: what most signatures are over.
pub(crate) fn fields(fields: &[Field<'_>]) -> Result<Zeroizing<Vec<u8>>, RecordFileError> {
    let mut body = Zeroizing::new(Vec::new());
    for field in fields {
        field.append(&mut body)?;
    }
    Ok(body)
}

/// The whole file: `outer` around `body`.
pub(crate) fn file(outer: u16, form: LengthForm, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecordFileError> {
    let mut file = Zeroizing::new(Vec::with_capacity(body.len() + 5));
    header(&mut file, outer, body.len(), form)?;
    file.extend_from_slice(body);
    Ok(file)
}

/// The whole file with a table of offsets under `table` in front of the fields.
pub(crate) fn file_with_offsets(
    outer: u16,
    table: u16,
    given: &[Field<'_>],
) -> Result<Zeroizing<Vec<u8>>, RecordFileError> {
    let content = fields(given)?;
    // The table's own length does not depend on what it says.
    let table_length = tlv::encode(Tag(u32::from(table)), &vec![0; given.len() * 2]).len();
    let body_length = table_length + content.len();
    let mut head = Vec::new();
    header(&mut head, outer, body_length, LengthForm::Shortest)?;
    let mut offsets = Vec::with_capacity(given.len() * 2);
    let mut at = head.len() + table_length;
    for field in given {
        offsets.extend_from_slice(&u16::try_from(at).map_err(|_| RecordFileError::TooLong)?.to_be_bytes());
        let mut alone = Zeroizing::new(Vec::new());
        field.append(&mut alone)?;
        at += alone.len();
    }
    let mut body = Zeroizing::new(tlv::encode(Tag(u32::from(table)), &offsets));
    body.extend_from_slice(&content);
    file(outer, LengthForm::Shortest, &body)
}

/// A length of one to three octets, and what follows it.
fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), RecordFileError> {
    match bytes {
        [length @ 0..=0x7F, rest @ ..] | [0x81, length, rest @ ..] => Ok((usize::from(*length), rest)),
        [0x82, high, low, rest @ ..] => Ok((usize::from(u16::from_be_bytes([*high, *low])), rest)),
        [] | [0x81 | 0x82, ..] => Err(RecordFileError::Truncated),
        _ => Err(RecordFileError::Length),
    }
}

/// Header of the object at the front: tag, length of its value, and what follows the header.
pub(crate) fn read_header(bytes: &[u8]) -> Result<(u16, usize, &[u8]), RecordFileError> {
    let (tag, rest) = bytes.split_first_chunk::<2>().ok_or(RecordFileError::Truncated)?;
    let (length, rest) = read_length(rest)?;
    Ok((u16::from_be_bytes(*tag), length, rest))
}

/// Octets of the whole object at the front, with a tag of one or two octets; `None` where the header is
/// cut off or of another form.
pub(crate) fn object_len(bytes: &[u8]) -> Option<usize> {
    let behind_tag = match bytes {
        [first, _, rest @ ..] if first & 0x1F == 0x1F => rest,
        [first, rest @ ..] if first & 0x1F != 0x1F => rest,
        _ => return None,
    };
    let (length, rest) = read_length(behind_tag).ok()?;
    Some(bytes.len() - rest.len() + length)
}

/// A field as it was read: its value, and all its octets.
#[derive(Clone, Copy)]
pub(crate) struct ReadField<'a> {
    pub(crate) value: &'a [u8],
    start: usize,
    end: usize,
}

/// Reads the fields of a file in their order.
#[derive(Clone)]
pub(crate) struct RecordReader<'a> {
    object: &'a [u8],
    at: usize,
}

impl<'a> RecordReader<'a> {
    /// Over a file that must hold one object with this tag and nothing but filler behind it.
    pub(crate) fn open(file: &'a [u8], outer: u16) -> Result<Self, RecordFileError> {
        let (tag, length, rest) = read_header(file)?;
        if tag != outer {
            return Err(RecordFileError::Tag);
        }
        let at = file.len() - rest.len();
        let (object, filler) = file.split_at_checked(at + length).ok_or(RecordFileError::Truncated)?;
        if !filler.iter().all(|octet| matches!(octet, 0xFF | 0x00)) {
            return Err(RecordFileError::Trailing);
        }
        Ok(Self { object, at })
    }

    /// The next field, which must have this tag.
    pub(crate) fn field(&mut self, tag: u16) -> Result<ReadField<'a>, RecordFileError> {
        let rest = self.object.get(self.at..).ok_or(RecordFileError::Truncated)?;
        let (found, length, value) = read_header(rest)?;
        if found != tag {
            return Err(RecordFileError::Tag);
        }
        let (value, tail) = value.split_at_checked(length).ok_or(RecordFileError::Truncated)?;
        let start = self.at;
        self.at = self.object.len() - tail.len();
        Ok(ReadField { value, start, end: self.at })
    }

    /// As [`Self::field`], and the value must have exactly `N` octets.
    pub(crate) fn array<const N: usize>(
        &mut self,
        tag: u16,
    ) -> Result<(&'a [u8; N], ReadField<'a>), RecordFileError> {
        let field = self.field(tag)?;
        Ok((field.value.try_into().map_err(|_| RecordFileError::Length)?, field))
    }

    /// The octets from the beginning of `first` to the end of `last`, as they stand in the file.
    pub(crate) fn span(&self, first: ReadField<'_>, last: ReadField<'_>) -> &'a [u8] {
        self.object.get(first.start..last.end).unwrap_or_default()
    }

    /// No field may be left.
    pub(crate) const fn finish(self) -> Result<(), RecordFileError> {
        if self.at == self.object.len() { Ok(()) } else { Err(RecordFileError::Trailing) }
    }
}

/// Checks a table of offsets against where the fields were found.
pub(crate) fn check_offsets(table: &[u8], found: &[ReadField<'_>]) -> Result<(), RecordFileError> {
    let said = table.chunks(2).map(|pair| pair.try_into().map(u16::from_be_bytes).map(usize::from).ok());
    let are = found.iter().map(|field| Some(field.start));
    if said.eq(are) { Ok(()) } else { Err(RecordFileError::Offsets) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_of_length() {
        let body = fields(&[Field::new(0xDF31, &[7; 3]), Field::long(0xDF41, &[8; 2])]).unwrap();
        assert_eq!(*body, [0xDF, 0x31, 3, 7, 7, 7, 0xDF, 0x41, 0x82, 0, 2, 8, 8]);
        let whole = file(0xFF40, LengthForm::TwoOctets, &body).unwrap();
        assert_eq!(whole[..5], [0xFF, 0x40, 0x82, 0, 13]);
        let mut reader = RecordReader::open(&whole, 0xFF40).unwrap();
        assert_eq!(reader.field(0xDF31).unwrap().value, [7; 3]);
        let (two, field) = reader.array::<2>(0xDF41).unwrap();
        assert_eq!(two, &[8; 2]);
        assert_eq!(reader.span(field, field), &whole[11..]);
        assert_eq!(reader.finish(), Ok(()));
        assert_eq!(file(0xFF40, LengthForm::TwoOctets, &[0; 65_536]), Err(RecordFileError::TooLong));
    }

    #[test]
    fn objects_say_how_long_they_are() {
        for (bytes, length) in [
            (&[0xFF, 0x10, 0x0C][..], Some(15)),
            (&[0x7F, 0x21, 0x82, 0x02, 0x33, 0x5F], Some(568)),
            (&[0xA1, 0x82, 0x01, 0x09, 0x90], Some(269)),
            (&[0xA1, 0x81, 0x80], Some(131)),
            (&[0xFF, 0x40, 0x82, 0x00, 0x9F], Some(164)),
            (&[0xA1, 0x03], Some(5)),
            (&[0xFF, 0x40, 0x82, 0x00], None),
            (&[0xA1, 0x82, 0x01], None),
            (&[0xA1, 0x80], None),
            (&[0xFF], None),
            (&[], None),
        ] {
            assert_eq!(object_len(bytes), length, "{bytes:02X?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let open = |bytes: &[u8]| RecordReader::open(bytes, 0xFF10).map(|_| ());
        assert_eq!(open(&[0xFF, 0x10, 1, 9, 0xFF, 0x00]), Ok(()));
        for (bytes, error) in [
            (&[][..], RecordFileError::Truncated),
            (&[0xFF, 0x10], RecordFileError::Truncated),
            (&[0xFF, 0x10, 0x82, 0], RecordFileError::Truncated),
            (&[0xFF, 0x10, 2, 9], RecordFileError::Truncated),
            (&[0xFF, 0x10, 0x80, 0, 0], RecordFileError::Length),
            (&[0xFF, 0x10, 0x83, 0, 0, 1, 9], RecordFileError::Length),
            (&[0xFF, 0x20, 1, 9], RecordFileError::Tag),
            (&[0xFF, 0x10, 1, 9, 8], RecordFileError::Trailing),
        ] {
            assert_eq!(open(bytes), Err(error), "{bytes:02X?}");
        }
        let whole = file(0xFF10, LengthForm::Shortest, &[0xDF, 0x11, 1, 9]).unwrap();
        let reader = RecordReader::open(&whole, 0xFF10).unwrap();
        assert_eq!(reader.clone().array::<2>(0xDF11).map(|_| ()), Err(RecordFileError::Length));
        assert_eq!(reader.clone().field(0xDF12).map(|_| ()), Err(RecordFileError::Tag));
        assert_eq!(reader.finish(), Err(RecordFileError::Trailing));
    }

    proptest! {
        #[test]
        fn offsets_point_at_their_fields(values in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..400), any::<bool>()), 1..12)) {
            let given: Vec<Field<'_>> = (0xDF22u16..).zip(&values)
                .map(|(tag, (value, long))| if *long { Field::long(tag, value) } else { Field::new(tag, value) })
                .collect();
            let whole = file_with_offsets(0xFF20, 0xDF21, &given).unwrap();
            let mut reader = RecordReader::open(&whole, 0xFF20).unwrap();
            let table = reader.field(0xDF21).unwrap().value;
            let found: Vec<_> = (0xDF22u16..).zip(&values).map(|(tag, _)| reader.field(tag).unwrap()).collect();
            reader.finish().unwrap();
            prop_assert_eq!(check_offsets(table, &found), Ok(()));
            for (field, (value, _)) in found.iter().zip(&values) {
                prop_assert_eq!(field.value, &value[..]);
            }
            let mut bent = table.to_vec();
            bent[1] ^= 1;
            prop_assert_eq!(check_offsets(&bent, &found), Err(RecordFileError::Offsets));
            prop_assert_eq!(check_offsets(&table[1..], &found), Err(RecordFileError::Offsets));
            for end in 0..whole.len() {
                prop_assert_eq!(RecordReader::open(&whole[..end], 0xFF20).map(|_| ()), Err(RecordFileError::Truncated));
            }
        }
    }
}
