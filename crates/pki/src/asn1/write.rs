//! DER writers for what this crate issues. Each returns one complete element.

use super::{tag, time};
use der::asn1::ObjectIdentifier;
use protocol::time::UnixSeconds;

/// Identifier octet and minimal length.
pub(crate) fn header(tag: u8, length: usize, out: &mut Vec<u8>) {
    out.push(tag);
    if let Ok(short @ 0..=0x7F) = u8::try_from(length) {
        out.push(short);
        return;
    }
    let octets = length.to_be_bytes();
    let used = octets.len() - octets.iter().take_while(|octet| **octet == 0).count();
    // At most eight octets of length, so the count fits.
    out.push(0x80 | u8::try_from(used).unwrap_or(8));
    out.extend(octets.iter().skip(octets.len() - used));
}

/// One element: identifier octet, minimal length, content.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    constructed(tag, &[content])
}

/// A constructed element around `parts`.
pub fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    header(tag, length, &mut out);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// SEQUENCE of `parts`.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(tag::SEQUENCE, parts)
}

/// `[number] EXPLICIT` around one element.
pub fn explicit(number: u8, element: &[u8]) -> Vec<u8> {
    tlv(tag::context_constructed(number), element)
}

/// OBJECT IDENTIFIER.
pub fn oid(oid: &ObjectIdentifier) -> Vec<u8> {
    tlv(tag::OID, oid.as_bytes())
}

/// A non-negative INTEGER from big-endian octets.
pub fn unsigned(octets: &[u8]) -> Vec<u8> {
    tlv(tag::INTEGER, &minimal_unsigned(octets))
}

/// Content octets of a non-negative INTEGER: no superfluous zero, a zero in front where the sign bit would be set.
pub fn minimal_unsigned(octets: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = octets.iter().copied().skip_while(|octet| *octet == 0).collect();
    if content.first().is_none_or(|first| *first >= 0x80) {
        content.insert(0, 0);
    }
    content
}

/// BOOLEAN TRUE; DER leaves out FALSE where it is the default.
pub fn boolean_true() -> Vec<u8> {
    tlv(tag::BOOLEAN, &[0xFF])
}

/// BIT STRING of whole octets.
pub fn bit_string(octets: &[u8]) -> Vec<u8> {
    constructed(tag::BIT_STRING, &[&[0], octets])
}

/// BIT STRING with named bits, bit 0 highest, without trailing zero bits (X.690 §11.2.2).
pub fn named_bits(bits: u16) -> Vec<u8> {
    let [first, second] = bits.to_be_bytes();
    let (octets, last): (&[u8], u8) = match (first, second) {
        (0, 0) => (&[], 0),
        (first, 0) => (&[first], first),
        (first, second) => (&[first, second], second),
    };
    let unused = if octets.is_empty() { 0 } else { u8::try_from(last.trailing_zeros()).unwrap_or(0) };
    let mut content = vec![unused];
    content.extend_from_slice(octets);
    tlv(tag::BIT_STRING, &content)
}

/// Time as RFC 5280 §4.1.2.5 wants it: UTCTime through 2049, GeneralizedTime from 2050 on.
pub fn time(instant: UnixSeconds) -> Vec<u8> {
    let mut digits = time::digits_of(instant);
    digits.push('Z');
    match digits.get(..4) {
        Some(year) if ("1950".."2050").contains(&year) => {
            tlv(tag::UTC_TIME, digits.as_bytes().get(2..).unwrap_or_default())
        }
        _ => tlv(tag::GENERALIZED_TIME, digits.as_bytes()),
    }
}

/// GeneralizedTime whatever the year (invalidityDate, RFC 5280 §5.3.2).
pub fn generalized_time(instant: UnixSeconds) -> Vec<u8> {
    let mut digits = time::digits_of(instant);
    digits.push('Z');
    tlv(tag::GENERALIZED_TIME, digits.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::read::Reader;
    use super::*;

    #[test]
    fn lengths_around_every_boundary_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let raw = tlv(tag::OCTET_STRING, &vec![7; length]);
            let mut reader = Reader::new(&raw);
            assert_eq!(reader.any("x").unwrap().content.len(), length);
            reader.finish("x").unwrap();
        }
    }

    #[test]
    fn times_change_form_in_2050() {
        assert_eq!(time(UnixSeconds(2_524_607_999)), [&[0x17, 13][..], b"491231235959Z"].concat());
        assert_eq!(time(UnixSeconds(2_524_608_000)), [&[0x18, 15][..], b"20500101000000Z"].concat());
    }

    #[test]
    fn unsigned_integers_stay_positive_and_minimal() {
        assert_eq!(unsigned(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0x7F]), [2, 1, 0x7F]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
    }

    #[test]
    fn named_bits_read_back() {
        for bits in [0, 0x8000, 0xC000, 0x0600, 0x0080, 0x8080] {
            let raw = named_bits(bits);
            assert_eq!(Reader::new(&raw).any("b").unwrap().named_bits("b").unwrap(), bits);
        }
    }
}
