//! The little DER that these files need: reading with the part's name in every refusal, and writing.

use super::{Fault, Pkcs15Error};
use crate::tlv::{self, Tag, Tlv, TlvError};

pub(super) const BOOLEAN: Tag = Tag(0x01);
pub(super) const INTEGER: Tag = Tag(0x02);
pub(super) const BIT_STRING: Tag = Tag(0x03);
pub(super) const OCTET_STRING: Tag = Tag(0x04);
pub(super) const ENUMERATED: Tag = Tag(0x0A);
pub(super) const UTF8_STRING: Tag = Tag(0x0C);
pub(super) const SEQUENCE: Tag = Tag(0x30);

/// `[number]`, primitive.
pub(super) const fn context(number: u8) -> Tag {
    Tag(0x80 | number as u32)
}

/// `[number]`, constructed.
pub(super) const fn constructed(number: u8) -> Tag {
    Tag(0xA0 | number as u32)
}

pub(super) const fn value(part: &'static str) -> Pkcs15Error {
    Pkcs15Error { part, fault: Fault::Value }
}

pub(super) fn encoding(part: &'static str) -> impl Fn(TlvError) -> Pkcs15Error {
    move |error| Pkcs15Error { part, fault: Fault::Encoding(error) }
}

/// The elements inside a constructed one.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn new(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The next element, if there is one.
    pub(super) fn next(&mut self, part: &'static str) -> Result<Option<Tlv<'a>>, Pkcs15Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (object, rest) = tlv::read_one(self.0).map_err(encoding(part))?;
        self.0 = rest;
        Ok(Some(object))
    }

    /// The content of the next element if it has this tag.
    pub(super) fn optional(&mut self, tag: Tag, part: &'static str) -> Result<Option<&'a [u8]>, Pkcs15Error> {
        let before = *self;
        match self.next(part)? {
            Some(object) if object.tag == tag => Ok(Some(object.value)),
            _ => {
                *self = before;
                Ok(None)
            }
        }
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: Tag, part: &'static str) -> Result<&'a [u8], Pkcs15Error> {
        self.optional(tag, part)?.ok_or_else(|| encoding(part)(TlvError::Unexpected))
    }

    /// What a later edition put at the end must at least be data objects.
    pub(super) fn pass_over_rest(mut self, part: &'static str) -> Result<(), Pkcs15Error> {
        while self.next(part)?.is_some() {}
        Ok(())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A non-negative INTEGER or ENUMERATED below 2^31, in its shortest form (ISO/IEC 8825-1 §8.3.2).
pub(super) fn unsigned(content: &[u8], part: &'static str) -> Result<u32, Pkcs15Error> {
    let shortest = match content {
        [] => false,
        [0x00, second, ..] => *second >= 0x80,
        [first, ..] => *first < 0x80,
    };
    if content == [0] {
        return Ok(0);
    }
    let number = content.iter().fold(0u64, |number, octet| number.wrapping_shl(8) | u64::from(*octet));
    if shortest && content.len() <= 5 {
        u32::try_from(number).ok().filter(|number| *number < 1 << 31).ok_or_else(|| value(part))
    } else {
        Err(value(part))
    }
}

/// BOOLEAN where the default is the other value: DER writes only what is not the default (§11.5), as 00 or FF.
pub(super) fn boolean_unlike_default(
    content: Option<&[u8]>,
    default: u8,
    part: &'static str,
) -> Result<bool, Pkcs15Error> {
    match content {
        None => Ok(default == 0xFF),
        Some([octet @ (0x00 | 0xFF)]) if *octet != default => Ok(*octet == 0xFF),
        Some(_) => Err(value(part)),
    }
}

/// The first 16 bits of a named-bit list, bit 0 highest, no trailing zero bits (ISO/IEC 8825-1 §11.2.2).
pub(super) fn named_bits(content: &[u8], part: &'static str) -> Result<u16, Pkcs15Error> {
    let (bits, unused, last) = match *content {
        [0] => return Ok(0),
        [unused, only] => (u16::from_be_bytes([only, 0]), unused, only),
        [unused, first, last] => (u16::from_be_bytes([first, last]), unused, last),
        _ => return Err(value(part)),
    };
    if last != 0 && u32::from(unused) == last.trailing_zeros() { Ok(bits) } else { Err(value(part)) }
}

/// Appends a non-negative INTEGER (or what is tagged as one).
pub(super) fn write_unsigned(out: &mut Vec<u8>, tag: Tag, number: u32) {
    let mut content: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
    if content.first().is_none_or(|first| *first >= 0x80) {
        content.insert(0, 0);
    }
    tlv::write(out, tag, &content);
}

/// Appends a named-bit list.
pub(super) fn write_named_bits(out: &mut Vec<u8>, bits: u16) {
    let [first, second] = bits.to_be_bytes();
    let unused = |octet: u8| u8::try_from(octet.trailing_zeros()).unwrap_or(0);
    match (first, second) {
        (0, 0) => tlv::write(out, BIT_STRING, &[0]),
        (first, 0) => tlv::write(out, BIT_STRING, &[unused(first), first]),
        (first, second) => tlv::write(out, BIT_STRING, &[unused(second), first, second]),
    }
}

/// Appends a text if there is one.
pub(super) fn write_label(out: &mut Vec<u8>, tag: Tag, label: Option<&str>) {
    if let Some(label) = label {
        tlv::write(out, tag, label.as_bytes());
    }
}

/// A type of named bits: ISO/IEC 7816-15 calls each `…Flags`.
macro_rules! flags {
    ($(#[$meta:meta])* $name:ident { $($(#[$bit_meta:meta])* $bit:ident = $place:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct $name(
            /// The bits, bit 0 highest.
            pub u16,
        );

        impl $name {
            $($(#[$bit_meta])* pub const $bit: Self = Self(0x8000 >> $place);)*

            /// The bits of both.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether every bit of `wanted` is set.
            pub const fn includes(self, wanted: Self) -> bool {
                self.0 & wanted.0 == wanted.0
            }
        }
    };
}
pub(super) use flags;
