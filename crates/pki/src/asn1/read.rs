//! A strict DER reader. Every refusal names the part and the offset in the input.

use super::tag;

/// What is wrong with an encoding, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed {what} at octet {offset}")]
pub struct Malformed {
    /// The part that could not be read, in the words of RFC 5280.
    pub what: &'static str,
    /// Octets from the start of the input to the fault.
    pub offset: usize,
}

/// One tag-length-value with the place it came from.
#[derive(Clone, Copy, Debug)]
pub struct Tlv<'a> {
    /// Identifier octet.
    pub tag: u8,
    /// Header and content, as they came.
    pub raw: &'a [u8],
    /// Content octets.
    pub content: &'a [u8],
    /// Offset of the identifier octet in the input.
    pub offset: usize,
}

impl<'a> Tlv<'a> {
    /// A refusal at this element.
    pub const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.offset }
    }

    /// Reads what is inside a constructed element.
    pub const fn inside(&self) -> Reader<'a> {
        Reader { rest: self.content, offset: self.offset + (self.raw.len() - self.content.len()) }
    }

    /// BOOLEAN; DER knows only `00` and `FF` (X.690 §11.1).
    pub fn boolean(&self, what: &'static str) -> Result<bool, Malformed> {
        match self.content {
            [0x00] => Ok(false),
            [0xFF] => Ok(true),
            _ => Err(self.malformed(what)),
        }
    }

    /// Content octets of an INTEGER in minimal form (X.690 §8.3.2).
    pub fn integer(&self, what: &'static str) -> Result<&'a [u8], Malformed> {
        match self.content {
            [] => Err(self.malformed(what)),
            [0x00, second, ..] if *second < 0x80 => Err(self.malformed(what)),
            [0xFF, second, ..] if *second >= 0x80 => Err(self.malformed(what)),
            octets => Ok(octets),
        }
    }

    /// A non-negative INTEGER or ENUMERATED below 2^31.
    pub fn small_unsigned(&self, what: &'static str) -> Result<u32, Malformed> {
        let octets = self.integer(what)?;
        if octets.len() > 4 || octets.first().is_some_and(|first| *first >= 0x80) {
            return Err(self.malformed(what));
        }
        Ok(octets.iter().fold(0, |value, octet| (value << 8) | u32::from(*octet)))
    }

    /// Content octets of an OBJECT IDENTIFIER: at least one arc, each in minimal base-128 (X.690 §8.19.2).
    pub fn object_identifier(&self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let mut starts_arc = true;
        for octet in self.content {
            if starts_arc && *octet == 0x80 {
                return Err(self.malformed(what));
            }
            starts_arc = *octet < 0x80;
        }
        if self.tag != tag::OID || self.content.is_empty() || !starts_arc {
            return Err(self.malformed(what));
        }
        Ok(self.content)
    }

    /// The octets of a BIT STRING whose bits fill them (keys and signatures).
    pub fn whole_octets(&self, what: &'static str) -> Result<&'a [u8], Malformed> {
        match self.content {
            [0, octets @ ..] => Ok(octets),
            _ => Err(self.malformed(what)),
        }
    }

    /// The first 16 bits of a named-bit list, bit 0 highest; trailing zero bits are refused (X.690 §11.2.2).
    pub fn named_bits(&self, what: &'static str) -> Result<u16, Malformed> {
        let (unused, octets) = self.content.split_first().ok_or_else(|| self.malformed(what))?;
        let (last, first) = match octets {
            [] if *unused == 0 => return Ok(0),
            [only] => (*only, *only),
            [first, last] => (*last, *first),
            _ => return Err(self.malformed(what)),
        };
        if *unused > 7 || u32::from(*unused) != last.trailing_zeros() {
            return Err(self.malformed(what));
        }
        let second = if octets.len() == 2 { last } else { 0 };
        Ok(u16::from_be_bytes([first, second]))
    }
}

/// Identifier and length octets of an element, whose content may not all be there yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// Identifier octet.
    pub(crate) tag: u8,
    /// Octets of identifier and length, 2 to 6.
    pub(crate) octets: usize,
    /// Octets of content, below 2^32.
    pub(crate) content: usize,
}

/// Not a header that DER could have, or of a tag beyond one octet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotDer;

impl Header {
    /// Reads the header that `input` begins with; `None` if `input` ends before the header does.
    #[inline]
    pub(crate) fn read(input: &[u8]) -> Result<Option<Self>, NotDer> {
        match input.first() {
            None => Ok(None),
            Some(tag) if *tag & 0x1F == 0x1F => Err(NotDer),
            Some(tag) => Self::read_length(input, *tag),
        }
    }

    /// The same without a look at the tag: the length begins with the second octet.
    #[inline]
    fn read_length(input: &[u8], tag: u8) -> Result<Option<Self>, NotDer> {
        let [_, first, rest @ ..] = input else { return Ok(None) };
        let first = *first;
        if first < 0x80 {
            return Ok(Some(Self { tag, octets: 2, content: usize::from(first) }));
        }
        let count = usize::from(first & 0x7F);
        // 0 is the indefinite form; five octets and more would be lengths that nothing here can have.
        if count == 0 || count > 4 {
            return Err(NotDer);
        }
        // Minimal: no leading zero octet, and the long form only when the short one does not reach.
        match rest.first() {
            Some(0) => return Err(NotDer),
            Some(length) if count == 1 && *length < 0x80 => return Err(NotDer),
            _ => {}
        }
        let Some(length) = rest.get(..count) else { return Ok(None) };
        let content = length.iter().fold(0, |value, octet| (value << 8) | usize::from(*octet));
        Ok(Some(Self { tag, octets: 2 + count, content }))
    }

    /// Octets of the whole element.
    pub(crate) const fn whole(&self) -> usize {
        self.octets + self.content
    }
}

/// How deep elements may lie in each other: a certificate of RFC 5280 needs ten levels.
const DEPTH_MAX: u8 = 32;

/// Refuses a constructed element with anything in it that is not DER, at the place of the fault, also where
/// nobody reads. Primitive elements are not looked into. Tags of more than one octet may stand there.
pub(crate) fn check_nested(element: &Tlv<'_>, what: &'static str) -> Result<(), Malformed> {
    if element.tag & CONSTRUCTED == 0 {
        return Ok(());
    }
    nested(element.inside(), what, DEPTH_MAX)
}

/// The bit of an identifier octet that says that elements are inside (X.690 §8.1.2.5).
const CONSTRUCTED: u8 = 0x20;

fn nested(mut elements: Reader<'_>, what: &'static str, depth: u8) -> Result<(), Malformed> {
    while let Some(tag) = elements.peek() {
        if tag & 0x1F == 0x1F {
            elements.skip_rest_of_tag(what)?;
            continue;
        }
        let element = elements.any(what)?;
        if element.tag & CONSTRUCTED != 0 {
            let depth = depth.checked_sub(1).ok_or_else(|| element.malformed(what))?;
            nested(element.inside(), what, depth)?;
        }
    }
    Ok(())
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads `input` from its start.
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input, offset: 0 }
    }

    /// Reads a part of an input that begins `offset` octets after the input's start.
    pub(crate) const fn at(part: &'a [u8], offset: usize) -> Self {
        Self { rest: part, offset }
    }

    /// An element whose tag has several octets (X.690 §8.1.2.4), read over.
    fn skip_rest_of_tag(&mut self, what: &'static str) -> Result<(), Malformed> {
        let fault = self.malformed(what);
        let (tag, after) = self.rest.split_first().ok_or(fault)?;
        let numbers = after.iter().take_while(|octet| **octet >= 0x80).count();
        // At most four octets of number, none of them leading zeros, and 31 at least.
        let minimal = match after {
            [0x80, ..] => false,
            [first, ..] => numbers > 0 || *first >= 0x1F,
            [] => false,
        };
        let last = after.get(numbers).filter(|_| numbers < 4 && minimal).ok_or(fault)?;
        // From here on like an element with the last octet as its tag.
        let (from, offset) = (numbers + 1, self.offset + numbers + 1);
        let Ok(Some(header)) = Header::read_length(after.get(numbers..).unwrap_or_default(), *last) else {
            return Err(fault);
        };
        let element = self.rest.get(from..from + header.whole()).ok_or(fault)?;
        if tag & CONSTRUCTED != 0 {
            nested(
                Self::at(element.get(header.octets..).unwrap_or_default(), offset + header.octets),
                what,
                4,
            )?;
        }
        self.rest = self.rest.get(from + header.whole()..).ok_or(fault)?;
        self.offset = offset + header.whole();
        Ok(())
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Tag of the next element, if there is one.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.offset }
    }

    /// The next element, whatever its tag. Lengths are definite and minimal (X.690 §10.1); tags have one octet.
    pub fn any(&mut self, what: &'static str) -> Result<Tlv<'a>, Malformed> {
        let fault = self.malformed(what);
        let Ok(Some(header)) = Header::read(self.rest) else { return Err(fault) };
        let (raw, rest) = self.rest.split_at_checked(header.whole()).ok_or(fault)?;
        let content = raw.get(header.octets..).ok_or(fault)?;
        let tlv = Tlv { tag: header.tag, raw, content, offset: self.offset };
        self.offset += raw.len();
        self.rest = rest;
        Ok(tlv)
    }

    /// Goes on inside the next element, of which the end may be missing.
    pub(crate) fn enter(&mut self, what: &'static str) -> Result<(), Malformed> {
        let fault = self.malformed(what);
        let Ok(Some(header)) = Header::read(self.rest) else { return Err(fault) };
        self.rest = self.rest.get(header.octets..).ok_or(fault)?;
        self.offset += header.octets;
        Ok(())
    }

    /// The next element, which must have `tag`.
    pub fn expect(&mut self, tag: u8, what: &'static str) -> Result<Tlv<'a>, Malformed> {
        if self.peek() != Some(tag) {
            return Err(self.malformed(what));
        }
        self.any(what)
    }

    /// The next element if it has `tag`.
    pub fn optional(&mut self, tag: u8, what: &'static str) -> Result<Option<Tlv<'a>>, Malformed> {
        if self.peek() == Some(tag) { self.any(what).map(Some) } else { Ok(None) }
    }

    /// The content octets of the next element, which must be an OBJECT IDENTIFIER.
    pub fn object_identifier(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        self.expect(tag::OID, what)?.object_identifier(what)
    }

    /// Refuses trailing data.
    pub const fn finish(&self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed(what)) }
    }

    /// [`Self::only_sequence`], with everything in it DER, also where nobody reads: [`check_nested`].
    pub(crate) fn document(input: &'a [u8], what: &'static str) -> Result<Self, Malformed> {
        let mut reader = Self::new(input);
        let sequence = reader.expect(tag::SEQUENCE, what)?;
        reader.finish(what)?;
        check_nested(&sequence, what)?;
        Ok(sequence.inside())
    }

    /// One SEQUENCE that fills the whole input.
    pub fn only_sequence(input: &'a [u8], what: &'static str) -> Result<Self, Malformed> {
        let mut reader = Self::new(input);
        let sequence = reader.expect(tag::SEQUENCE, what)?;
        reader.finish(what)?;
        Ok(sequence.inside())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_and_definite() {
        assert_eq!(Reader::new(&[0x04, 0x01, 0xAA]).any("x").unwrap().content, [0xAA]);
        for bad in [
            &[0x04, 0x81, 0x01, 0xAA][..],
            &[0x04, 0x82, 0x00, 0x80],
            &[0x30, 0x80, 0x00, 0x00],
            &[0x04, 0x85, 1, 0, 0, 0, 0],
            &[0x1F, 0x01, 0x00],
            &[0x04, 0x02, 0xAA],
            &[0x04],
            &[],
        ] {
            assert_eq!(Reader::new(bad).any("x").unwrap_err(), Malformed { what: "x", offset: 0 });
        }
    }

    #[test]
    fn faults_are_located() {
        let input = [0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x06];
        let mut reader = Reader::only_sequence(&input, "list").unwrap();
        reader.expect(tag::INTEGER, "first").unwrap();
        assert_eq!(reader.finish("list").unwrap_err(), Malformed { what: "list", offset: 5 });
        let second = reader.expect(tag::BOOLEAN, "second").unwrap_err();
        assert_eq!(second.offset, 5);
    }

    #[test]
    fn integers_are_minimal() {
        let integer = |content: &[u8]| {
            let mut raw = vec![2, u8::try_from(content.len()).unwrap()];
            raw.extend_from_slice(content);
            Reader::new(&raw).any("n").unwrap().integer("n").map(<[u8]>::to_vec)
        };
        assert!(integer(&[]).is_err());
        assert!(integer(&[0, 1]).is_err());
        assert!(integer(&[0xFF, 0x80]).is_err());
        assert_eq!(integer(&[0, 0x80]).unwrap(), [0, 0x80]);
        assert_eq!(integer(&[0xFF]).unwrap(), [0xFF]);
    }

    #[test]
    fn object_identifiers_have_whole_and_minimal_arcs() {
        let read = |content: &[u8]| {
            let mut raw = vec![6, u8::try_from(content.len()).unwrap()];
            raw.extend_from_slice(content);
            Reader::new(&raw).object_identifier("o").map(<[u8]>::to_vec)
        };
        assert_eq!(read(&[0x55, 0x1D, 0x0F]).unwrap(), [0x55, 0x1D, 0x0F]);
        assert_eq!(read(&[0x2A, 0x86, 0x48]).unwrap(), [0x2A, 0x86, 0x48]);
        for bad in [&[][..], &[0x2A, 0x86], &[0x2A, 0x80, 0x01], &[0x80, 0x01]] {
            assert!(read(bad).is_err(), "{bad:02X?}");
        }
    }

    #[test]
    fn named_bits_refuse_trailing_zeros() {
        let bits = |content: &[u8]| {
            let mut raw = vec![3, u8::try_from(content.len()).unwrap()];
            raw.extend_from_slice(content);
            Reader::new(&raw).any("b").unwrap().named_bits("b")
        };
        assert_eq!(bits(&[7, 0x80]).unwrap(), 0x8000);
        assert_eq!(bits(&[6, 0xC0]).unwrap(), 0xC000);
        assert_eq!(bits(&[7, 0x00, 0x80]).unwrap(), 0x0080);
        assert!(bits(&[6, 0x80]).is_err());
        assert!(bits(&[0, 0x80]).is_err());
        assert!(bits(&[8, 0x00]).is_err());
        assert!(bits(&[]).is_err());
        assert_eq!(bits(&[0]).unwrap(), 0);
    }
}
