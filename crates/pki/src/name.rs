//! Distinguished names: RFC 5280 §4.1.2.4.

use crate::asn1::read::{Malformed, Reader};
use crate::asn1::{tag, write};
use crate::oid;
use der::asn1::ObjectIdentifier;

/// An attribute of a name that this crate writes and reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameAttribute {
    /// `C`, two letters.
    Country,
    /// `L`.
    Locality,
    /// `O`.
    Organization,
    /// `OU`.
    OrganizationalUnit,
    /// `CN`.
    CommonName,
    /// `serialNumber` of the subject, printable characters.
    SubjectSerialNumber,
}

impl NameAttribute {
    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Country => oid::COUNTRY,
            Self::Locality => oid::LOCALITY,
            Self::Organization => oid::ORGANIZATION,
            Self::OrganizationalUnit => oid::ORGANIZATIONAL_UNIT,
            Self::CommonName => oid::COMMON_NAME,
            Self::SubjectSerialNumber => oid::SUBJECT_SERIAL_NUMBER,
        }
    }

    /// String type and upper bound in characters: RFC 5280 appendix A.1.
    const fn form(self) -> (u8, usize) {
        match self {
            Self::Country => (tag::PRINTABLE, 2),
            Self::SubjectSerialNumber => (tag::PRINTABLE, 64),
            Self::Locality => (tag::UTF8, 128),
            Self::Organization | Self::OrganizationalUnit | Self::CommonName => (tag::UTF8, 64),
        }
    }
}

/// A text that a name attribute cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{attribute:?} cannot hold a text of {characters} characters, or not these characters")]
pub struct NameError {
    /// The attribute.
    pub attribute: NameAttribute,
    /// Characters of the text.
    pub characters: usize,
}

/// A distinguished name in DER.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DistinguishedName(Vec<u8>);

impl DistinguishedName {
    /// A name of one attribute per relative name, in the order given.
    pub fn new(attributes: &[(NameAttribute, &str)]) -> Result<Self, NameError> {
        Self(write::sequence(&[])).extended(attributes)
    }

    /// This name with more relative names at its end.
    pub fn extended(&self, attributes: &[(NameAttribute, &str)]) -> Result<Self, NameError> {
        let mut content =
            Reader::new(&self.0).any("name").map(|name| name.content.to_vec()).unwrap_or_default();
        for (attribute, text) in attributes {
            let (string_tag, characters_max) = attribute.form();
            let characters = text.chars().count();
            let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
            if characters == 0
                || characters > characters_max
                || text.chars().any(char::is_control)
                || (string_tag == tag::PRINTABLE && !text.chars().all(printable))
            {
                return Err(NameError { attribute: *attribute, characters });
            }
            let value = write::tlv(string_tag, text.as_bytes());
            let pair = write::sequence(&[&write::oid(&attribute.oid()), &value]);
            content.extend_from_slice(&write::tlv(tag::SET, &pair));
        }
        Ok(Self(write::tlv(tag::SEQUENCE, &content)))
    }

    /// A name read from a certificate.
    pub(crate) fn from_raw(raw: &[u8]) -> Self {
        Self(raw.to_vec())
    }

    /// The DER of the name.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }
}

/// The first value of `attribute` in the name `raw`, if it is a UTF8String, PrintableString or IA5String.
///
/// # Errors
/// The name is not a sequence of sets of attribute pairs.
pub fn first_attribute(raw: &[u8], attribute: NameAttribute) -> Result<Option<&str>, Malformed> {
    let mut relative_names = Reader::only_sequence(raw, "name")?;
    while !relative_names.is_empty() {
        let mut pairs = relative_names.expect(tag::SET, "relative distinguished name")?.inside();
        while !pairs.is_empty() {
            let mut pair = pairs.expect(tag::SEQUENCE, "attribute of a name")?.inside();
            let kind = pair.expect(tag::OID, "attribute type")?;
            let value = pair.any("attribute value")?;
            pair.finish("attribute of a name")?;
            if kind.content == attribute.oid().as_bytes()
                && [tag::UTF8, tag::PRINTABLE, tag::IA5].contains(&value.tag)
            {
                return std::str::from_utf8(value.content)
                    .map(Some)
                    .map_err(|_| value.malformed("attribute value"));
            }
        }
    }
    Ok(None)
}

/// A name as text, last relative name first: RFC 4514. Types without a short name are dotted numbers;
/// values that are no text are `#` and hexadecimal. For people to read, never to compare.
///
/// # Errors
/// The name is not a sequence of sets of attribute pairs.
pub fn to_text(raw: &[u8]) -> Result<String, Malformed> {
    let mut relative_names = Reader::only_sequence(raw, "name")?;
    let mut texts = Vec::new();
    while !relative_names.is_empty() {
        let mut pairs = relative_names.expect(tag::SET, "relative distinguished name")?.inside();
        let mut parts = Vec::new();
        while !pairs.is_empty() {
            let mut pair = pairs.expect(tag::SEQUENCE, "attribute of a name")?.inside();
            let kind = pair.object_identifier("attribute type")?;
            let value = pair.any("attribute value")?;
            pair.finish("attribute of a name")?;
            parts.push(format!("{}={}", short_name(kind), value_text(value.tag, value.content)));
        }
        texts.push(parts.join("+"));
    }
    texts.reverse();
    Ok(texts.join(","))
}

fn short_name(kind: &[u8]) -> String {
    let known = [
        (oid::COMMON_NAME, "CN"),
        (oid::SUBJECT_SERIAL_NUMBER, "serialNumber"),
        (oid::COUNTRY, "C"),
        (oid::LOCALITY, "L"),
        (oid::ORGANIZATION, "O"),
        (oid::ORGANIZATIONAL_UNIT, "OU"),
        (oid::DOMAIN_COMPONENT, "DC"),
        (oid::EMAIL_ADDRESS, "emailAddress"),
    ];
    let known = known.iter().find(|(identifier, _)| identifier.as_bytes() == kind);
    known.map_or_else(|| oid::text(kind), |(_, name)| (*name).to_owned())
}

fn value_text(string_tag: u8, content: &[u8]) -> String {
    let text = match string_tag {
        tag::UTF8 | tag::PRINTABLE | tag::IA5 | tag::NUMERIC | tag::VISIBLE | tag::TELETEX => {
            std::str::from_utf8(content).ok().map(str::to_owned)
        }
        tag::BMP => {
            let (pairs, _) = content.as_chunks::<2>();
            String::from_utf16(&pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect::<Vec<_>>()).ok()
        }
        _ => None,
    };
    let Some(text) = text else {
        return content.iter().fold("#".to_owned(), |out, octet| out + &format!("{octet:02X}"));
    };
    let mut out = String::with_capacity(text.len());
    for (place, c) in text.char_indices() {
        let at_end = place == 0 || place + c.len_utf8() == text.len();
        if ",+\"\\<>;".contains(c) || (c == ' ' && at_end) || (c == '#' && place == 0) {
            out.push('\\');
        }
        // Control characters would let a name write over the lines around it.
        if c.is_control() { out.push(char::REPLACEMENT_CHARACTER) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_text_that_cannot_be_mistaken() {
        let name = DistinguishedName::new(&[
            (NameAttribute::Country, "JP"),
            (NameAttribute::Organization, " かざす, 診療所"),
            (NameAttribute::CommonName, "#1+2"),
        ])
        .unwrap();
        assert_eq!(to_text(name.as_der()).unwrap(), "CN=\\#1\\+2,O=\\ かざす\\, 診療所,C=JP");
        let pair = write::sequence(&[&[6, 3, 0x55, 4, 0x2A], &[tag::BIT_STRING, 2, 0, 0x0F]]);
        let odd = write::sequence(&[&write::tlv(tag::SET, &pair)]);
        assert_eq!(to_text(&odd).unwrap(), "2.5.4.42=#000F");
        assert!(to_text(&[0x30, 1, 0]).is_err());
    }

    #[test]
    fn attributes_read_back() {
        let name = DistinguishedName::new(&[
            (NameAttribute::Country, "JP"),
            (NameAttribute::Organization, "かざす診療所"),
            (NameAttribute::SubjectSerialNumber, "1310000001"),
        ])
        .unwrap();
        let first = |attribute| first_attribute(name.as_der(), attribute).unwrap();
        assert_eq!(first(NameAttribute::Organization), Some("かざす診療所"));
        assert_eq!(first(NameAttribute::SubjectSerialNumber), Some("1310000001"));
        assert_eq!(first(NameAttribute::CommonName), None);
    }

    #[test]
    fn texts_that_do_not_fit_are_refused() {
        for (attribute, text) in [
            (NameAttribute::Country, "JPN"),
            (NameAttribute::CommonName, ""),
            (NameAttribute::CommonName, &"x".repeat(65)),
            (NameAttribute::CommonName, "a\nb"),
            (NameAttribute::SubjectSerialNumber, "１"),
        ] {
            assert!(DistinguishedName::new(&[(attribute, text)]).is_err(), "{text}");
        }
    }
}
