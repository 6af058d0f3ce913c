//! GeneralName: RFC 5280 §4.2.1.6.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::tag;

/// A form of GeneralName.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NameForm {
    /// otherName `[0]`.
    Other,
    /// rfc822Name `[1]`: a mailbox.
    Rfc822,
    /// dNSName `[2]`.
    Dns,
    /// x400Address `[3]`.
    X400,
    /// directoryName `[4]`.
    Directory,
    /// ediPartyName `[5]`.
    EdiParty,
    /// uniformResourceIdentifier `[6]`.
    Uri,
    /// iPAddress `[7]`.
    IpAddress,
    /// registeredID `[8]`.
    RegisteredId,
}

impl NameForm {
    const ALL: [(u8, Self); 9] = [
        (tag::context_constructed(0), Self::Other),
        (tag::context(1), Self::Rfc822),
        (tag::context(2), Self::Dns),
        (tag::context_constructed(3), Self::X400),
        (tag::context_constructed(4), Self::Directory),
        (tag::context_constructed(5), Self::EdiParty),
        (tag::context(6), Self::Uri),
        (tag::context(7), Self::IpAddress),
        (tag::context(8), Self::RegisteredId),
    ];

    /// The identifier of RFC 5280 §4.2.1.6.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "otherName",
            Self::Rfc822 => "rfc822Name",
            Self::Dns => "dNSName",
            Self::X400 => "x400Address",
            Self::Directory => "directoryName",
            Self::EdiParty => "ediPartyName",
            Self::Uri => "uniformResourceIdentifier",
            Self::IpAddress => "iPAddress",
            Self::RegisteredId => "registeredID",
        }
    }
}

impl std::fmt::Display for NameForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One general name, with its form read and its inside as far as it is compared here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GeneralName<'a> {
    /// Which form.
    pub(crate) form: NameForm,
    /// Text octets, address octets, the raw Name of a directoryName, or the content of other forms.
    pub(crate) value: &'a [u8],
    /// Where it came from.
    pub(crate) tlv: Tlv<'a>,
}

impl<'a> GeneralName<'a> {
    /// Reads one element. Addresses are left as they are: their length differs between alternative
    /// names (4 or 16) and constraints (8 or 32).
    pub(crate) fn read(tlv: Tlv<'a>) -> Result<Self, Malformed> {
        let (_, form) = NameForm::ALL
            .into_iter()
            .find(|(known, _)| *known == tlv.tag)
            .ok_or_else(|| tlv.malformed("general name"))?;
        let value = match form {
            NameForm::Directory => {
                // Explicit, because Name is a CHOICE.
                let mut inside = tlv.inside();
                let name = inside.expect(tag::SEQUENCE, "directoryName")?;
                inside.finish("directoryName")?;
                name.raw
            }
            NameForm::Rfc822 | NameForm::Dns | NameForm::Uri => {
                // IA5String.
                if !tlv.content.is_ascii() {
                    return Err(tlv.malformed(form.as_str()));
                }
                tlv.content
            }
            NameForm::Other => {
                let mut inside = tlv.inside();
                inside.object_identifier("otherName")?;
                inside.expect(tag::context_constructed(0), "otherName")?;
                inside.finish("otherName")?;
                tlv.content
            }
            NameForm::RegisteredId | NameForm::IpAddress | NameForm::X400 | NameForm::EdiParty => tlv.content,
        };
        Ok(Self { form, value, tlv })
    }

    /// Reads one element of a name that a certificate gives its subject.
    pub(crate) fn read_alternative(tlv: Tlv<'a>) -> Result<Self, Malformed> {
        let name = Self::read(tlv)?;
        if name.form == NameForm::IpAddress && !matches!(name.value.len(), 4 | 16) {
            return Err(tlv.malformed("iPAddress"));
        }
        Ok(name)
    }
}

/// The names inside a GeneralNames, one after the other; it must not be empty (RFC 5280 §4.2.1.6).
pub(crate) fn each<'a>(
    list: &Tlv<'a>,
    what: &'static str,
    mut visit: impl FnMut(GeneralName<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut names: Reader<'a> = list.inside();
    if names.is_empty() {
        return Err(list.malformed(what));
    }
    while !names.is_empty() {
        visit(GeneralName::read(names.any(what)?)?)?;
    }
    Ok(())
}
