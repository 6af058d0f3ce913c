//! Comparing distinguished names: RFC 5280 §7.1, with the string preparation of RFC 4518 §2.
//!
//! Names that are equal octet for octet are equal, without more work; that is nearly every pair in a real
//! path. The others are prepared: attribute by attribute, whatever string type, without case, with spaces
//! compressed. What cannot be prepared (undefined characters, string types without a defined alphabet)
//! equals only itself.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::tag;
use std::borrow::Cow;
use stringprep::tables;
use unicode_normalization::UnicodeNormalization as _;

/// A name ready to be compared: one entry per relative name, in order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PreparedName(Vec<Vec<u8>>);

impl PreparedName {
    /// Prepares a Name in DER.
    ///
    /// # Errors
    /// Not a sequence of non-empty sets of attribute pairs.
    pub(crate) fn new(raw: &[u8]) -> Result<Self, Malformed> {
        let mut relative_names = Reader::only_sequence(raw, "name")?;
        let mut prepared = Vec::new();
        while !relative_names.is_empty() {
            prepared
                .push(prepare_relative(&relative_names.expect(tag::SET, "relative distinguished name")?)?);
        }
        Ok(Self(prepared))
    }

    /// Whether this name lies in the subtree of `base`: RFC 5280 §7.1, last paragraph.
    pub(crate) fn is_within(&self, base: &Self) -> bool {
        self.0.starts_with(&base.0)
    }
}

/// Whether two names in DER are the same. Malformed ones are the same only octet for octet.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    matches!((PreparedName::new(a), PreparedName::new(b)), (Ok(a), Ok(b)) if a == b)
}

/// Whether a name in DER has no relative names.
pub(crate) fn is_empty(raw: &[u8]) -> bool {
    Reader::only_sequence(raw, "name").is_ok_and(|names| names.is_empty())
}

/// The values of one attribute type in a name in DER, as they came.
pub(crate) fn values_of<'a>(
    raw: &'a [u8],
    kind: &der::asn1::ObjectIdentifier,
) -> Result<Vec<Tlv<'a>>, Malformed> {
    let mut found = Vec::new();
    let mut relative_names = Reader::only_sequence(raw, "name")?;
    while !relative_names.is_empty() {
        let mut pairs = relative_names.expect(tag::SET, "relative distinguished name")?.inside();
        while !pairs.is_empty() {
            let (identifier, value) = read_pair(&mut pairs)?;
            if identifier == kind.as_bytes() {
                found.push(value);
            }
        }
    }
    Ok(found)
}

fn read_pair<'a>(pairs: &mut Reader<'a>) -> Result<(&'a [u8], Tlv<'a>), Malformed> {
    let mut pair = pairs.expect(tag::SEQUENCE, "attribute of a name")?.inside();
    let identifier = pair.object_identifier("attribute type")?;
    let value = pair.any("attribute value")?;
    pair.finish("attribute of a name")?;
    Ok((identifier, value))
}

/// A relative name is a set: its pairs are compared in any order.
fn prepare_relative(set: &Tlv<'_>) -> Result<Vec<u8>, Malformed> {
    let mut pairs = set.inside();
    if pairs.is_empty() {
        return Err(set.malformed("relative distinguished name"));
    }
    let mut prepared = Vec::new();
    while !pairs.is_empty() {
        let (identifier, value) = read_pair(&mut pairs)?;
        prepared.push(prepare_pair(identifier, &value));
    }
    prepared.sort_unstable();
    Ok(prepared.concat())
}

/// Self-delimiting, so that two pairs can never look like one other pair.
fn prepare_pair(identifier: &[u8], value: &Tlv<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(identifier.len() + value.content.len() + 16);
    let mut field = |octets: &[u8]| {
        out.extend_from_slice(&(octets.len() as u64).to_be_bytes());
        out.extend_from_slice(octets);
    };
    field(identifier);
    match decode(value).and_then(|text| prepare(&text)) {
        Some(text) => {
            field(b"text");
            field(text.as_bytes());
        }
        None => {
            field(b"octets");
            field(value.raw);
        }
    }
    out
}

/// The characters of a string type: RFC 4518 §2.1. `None` for what has no alphabet defined here.
fn decode<'a>(value: &Tlv<'a>) -> Option<Cow<'a, str>> {
    match value.tag {
        tag::UTF8 => std::str::from_utf8(value.content).ok().map(Cow::Borrowed),
        // TeletexString switches alphabets by escape sequences; below them it is ASCII.
        tag::PRINTABLE | tag::IA5 | tag::NUMERIC | tag::VISIBLE | tag::TELETEX => value
            .content
            .is_ascii()
            .then(|| std::str::from_utf8(value.content).ok().map(Cow::Borrowed))
            .flatten(),
        tag::BMP => {
            let (pairs, rest) = value.content.as_chunks::<2>();
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            let text = char::decode_utf16(units).collect::<Result<String, _>>().ok()?;
            rest.is_empty().then_some(Cow::Owned(text))
        }
        tag::UNIVERSAL => {
            let (quads, rest) = value.content.as_chunks::<4>();
            let text = quads.iter().map(|quad| char::from_u32(u32::from_be_bytes(*quad)));
            let text = text.collect::<Option<String>>()?;
            rest.is_empty().then_some(Cow::Owned(text))
        }
        _ => None,
    }
}

/// The six steps of RFC 4518 §2 as RFC 5280 §7.1 wants them. `None` for prohibited characters.
fn prepare(text: &str) -> Option<String> {
    // Map; fold case by table B.2 of RFC 3454; normalise; prohibit.
    let mapped = if text.is_ascii() {
        let mapped = text.bytes().filter_map(|octet| match octet {
            b'\t'..=b'\r' => Some(' '),
            0..=0x1F | 0x7F => None,
            visible => Some(char::from(visible.to_ascii_lowercase())),
        });
        mapped.collect::<String>()
    } else {
        let mapped = text
            .chars()
            .filter(|c| !tables::x520_mapped_to_nothing(*c))
            .map(|c| if tables::x520_mapped_to_space(c) { ' ' } else { c })
            .flat_map(tables::case_fold_for_nfkc)
            .nfkc()
            .collect::<String>();
        if mapped.chars().any(is_prohibited) {
            return None;
        }
        mapped
    };
    // Insignificant spaces (§2.6.1): none at the ends, one between words.
    let mut words = mapped.split(' ').filter(|word| !word.is_empty());
    let mut out = String::with_capacity(mapped.len());
    out.push_str(words.next().unwrap_or_default());
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    Some(out)
}

/// RFC 4518 §2.4.
fn is_prohibited(c: char) -> bool {
    c == char::REPLACEMENT_CHARACTER
        || tables::unassigned_code_point(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::change_display_properties_or_deprecated(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::write;
    use crate::oid;
    use der::asn1::ObjectIdentifier;

    fn pair(kind: &ObjectIdentifier, string_tag: u8, octets: &[u8]) -> Vec<u8> {
        write::sequence(&[&write::oid(kind), &write::tlv(string_tag, octets)])
    }

    fn name(relative_names: &[&[&[u8]]]) -> Vec<u8> {
        let sets: Vec<_> = relative_names.iter().map(|pairs| write::tlv(tag::SET, &pairs.concat())).collect();
        write::tlv(tag::SEQUENCE, &sets.concat())
    }

    fn common(string_tag: u8, text: &str) -> Vec<u8> {
        name(&[&[&pair(&oid::COMMON_NAME, string_tag, text.as_bytes())]])
    }

    #[test]
    fn case_spaces_and_string_types_do_not_matter() {
        let plain = common(tag::PRINTABLE, "Kazasu Town CA");
        for (string_tag, text) in [
            (tag::UTF8, "Kazasu Town CA"),
            (tag::PRINTABLE, "KAZASU town ca"),
            (tag::UTF8, "  Kazasu \t Town   CA "),
            (tag::UTF8, "Kazasu\u{00A0}Town\u{3000}CA"),
            (tag::UTF8, "Ｋazasu Town ＣＡ"),
            (tag::UTF8, "Kaz\u{00AD}asu Town CA"),
            (tag::TELETEX, "kazasu Town CA"),
        ] {
            assert!(same(&plain, &common(string_tag, text)), "{text}");
        }
        let bmp: Vec<u8> = "kazasu town ca".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(same(&plain, &name(&[&[&pair(&oid::COMMON_NAME, tag::BMP, &bmp)]])));
        let universal: Vec<u8> = "kazasu town ca".chars().flat_map(|c| (c as u32).to_be_bytes()).collect();
        assert!(same(&plain, &name(&[&[&pair(&oid::COMMON_NAME, tag::UNIVERSAL, &universal)]])));
        for other in ["KazasuTown CA", "Kazasu Town CB", "", "Kazasu Town CA."] {
            assert!(!same(&plain, &common(tag::UTF8, other)), "{other}");
        }
    }

    #[test]
    fn other_scripts_fold_and_normalise() {
        assert!(same(&common(tag::UTF8, "STRASSE"), &common(tag::UTF8, "Straße")));
        assert!(same(&common(tag::UTF8, "ΣΊΣΥΦΟΣ"), &common(tag::UTF8, "σίσυφος")));
        assert!(same(&common(tag::UTF8, "かざす\u{3099}"), &common(tag::UTF8, "かざず")));
        assert!(same(&common(tag::UTF8, "ｶｻﾞｽ"), &common(tag::UTF8, "カザス")));
        assert!(!same(&common(tag::UTF8, "かざす"), &common(tag::UTF8, "カザス")));
    }

    #[test]
    fn what_cannot_be_prepared_equals_only_itself() {
        let private = common(tag::UTF8, "\u{E000}A");
        assert!(same(&private, &private.clone()));
        assert!(!same(&private, &common(tag::UTF8, "\u{E000}a")));
        let escape = name(&[&[&pair(&oid::COMMON_NAME, tag::TELETEX, &[0xC8, 0x41])]]);
        assert!(!same(&escape, &name(&[&[&pair(&oid::COMMON_NAME, tag::UTF8, &[0xC8, 0x41])]])));
        let broken = name(&[&[&pair(&oid::COMMON_NAME, tag::UTF8, &[0xFF])]]);
        assert!(!same(&broken, &common(tag::UTF8, "x")));
    }

    #[test]
    fn relative_names_are_ordered_and_their_pairs_are_not() {
        let country = pair(&oid::COUNTRY, tag::PRINTABLE, b"JP");
        let organization = pair(&oid::ORGANIZATION, tag::UTF8, b"Kazasu");
        let (a, b) = (country.as_slice(), organization.as_slice());
        assert!(same(&name(&[&[a, b]]), &name(&[&[b, a]])));
        assert!(!same(&name(&[&[a], &[b]]), &name(&[&[b], &[a]])));
        assert!(!same(&name(&[&[a, b]]), &name(&[&[a], &[b]])));
        assert!(!same(&name(&[&[a, a]]), &name(&[&[a]])));
    }

    #[test]
    fn subtrees_are_prefixes() {
        let of = |relative_names: &[&[&[u8]]]| PreparedName::new(&name(relative_names)).unwrap();
        let country = pair(&oid::COUNTRY, tag::PRINTABLE, b"JP");
        let lower = pair(&oid::COUNTRY, tag::UTF8, b"jp");
        let organization = pair(&oid::ORGANIZATION, tag::UTF8, b"Kazasu");
        let full = of(&[&[&country], &[&organization]]);
        assert!(full.is_within(&of(&[&[&lower]])));
        assert!(full.is_within(&full));
        assert!(full.is_within(&of(&[])));
        assert!(!full.is_within(&of(&[&[&organization]])));
        assert!(!of(&[&[&country]]).is_within(&full));
    }

    #[test]
    fn malformed_names_are_located() {
        assert!(is_empty(&[0x30, 0]));
        assert!(PreparedName::new(&[0x30, 2, 0x31, 0]).is_err());
        let fault = PreparedName::new(&[0x30, 3, 0x31, 1, 0x30]).unwrap_err();
        assert_eq!(fault.offset, 4);
        assert!(same(&[0x30, 1, 0], &[0x30, 1, 0]));
        assert!(!same(&[0x30, 1, 0], &[0x30, 1, 1]));
    }
}
