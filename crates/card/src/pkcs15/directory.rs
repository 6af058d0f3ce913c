//! EF.DIR, EF.CIAInfo and EF.OD: how a program gets from the card to its directories.

use super::{Entry, Path, Pkcs15Error, der, identifier, text};
use crate::tlv::{self, Tag, Tlv, TlvError};

const APPLICATION_TEMPLATE: Tag = Tag(0x61);
const APPLICATION_IDENTIFIER: Tag = Tag(0x4F);
const APPLICATION_LABEL: Tag = Tag(0x50);
const APPLICATION_PATH: Tag = Tag(0x51);

/// One application in EF.DIR: ISO/IEC 7816-4:2020 §12.2.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ApplicationTemplate<'a> {
    /// Its name, 1 to 16 octets.
    pub aid: &'a [u8],
    /// For people.
    pub label: Option<&'a str>,
    /// Where it is, where SELECT by name does not do.
    pub path: Option<&'a [u8]>,
}

impl ApplicationTemplate<'_> {
    /// The template.
    pub fn encode(&self) -> Vec<u8> {
        let mut content = tlv::encode(APPLICATION_IDENTIFIER, self.aid);
        der::write_label(&mut content, APPLICATION_LABEL, self.label);
        if let Some(path) = self.path {
            tlv::write(&mut content, APPLICATION_PATH, path);
        }
        tlv::encode(APPLICATION_TEMPLATE, &content)
    }
}

impl<'a> Entry<'a> for ApplicationTemplate<'a> {
    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        let part = "application template";
        if object.tag != APPLICATION_TEMPLATE {
            return Err(der::encoding(part)(TlvError::Unexpected));
        }
        let mut fields = der::Fields::new(object.value);
        let aid = fields.expect(APPLICATION_IDENTIFIER, part)?;
        if aid.is_empty() || aid.len() > 16 {
            return Err(der::value("application identifier"));
        }
        let label = fields.optional(APPLICATION_LABEL, part)?;
        let label = label.map(|label| text(label, "application label")).transpose()?;
        let path = fields.optional(APPLICATION_PATH, part)?;
        fields.pass_over_rest(part)?;
        Ok(Self { aid, label, path })
    }
}

der::flags! {
    /// `CardFlags` of EF.CIAInfo: ISO/IEC 7816-15:2016 §8.10.
    CardFlags {
        /// Nothing on the card can be changed.
        READ_ONLY = 0;
        /// Some operation needs a user's authentication.
        AUTH_REQUIRED = 1;
        /// The card makes random numbers.
        PRN_GENERATION = 2;
    }
}

/// Version of the structures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// PKCS #15 and the standard's edition of 2004 before its amendment.
    V1,
    /// What the standard says since.
    V2,
}

/// EF.CIAInfo: ISO/IEC 7816-15:2016 §8.10. What it may say about security environments and algorithms
/// is passed over on reading and never written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CiaInfo<'a> {
    /// Which version the other files follow.
    pub version: Version,
    /// Number of the card.
    pub serial_number: Option<&'a [u8]>,
    /// Who made it.
    pub manufacturer: Option<&'a str>,
    /// What the application is called.
    pub label: Option<&'a str>,
    /// What the card can do.
    pub flags: CardFlags,
}

impl<'a> CiaInfo<'a> {
    /// The content of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut content = Vec::new();
        der::write_unsigned(&mut content, der::INTEGER, u32::from(self.version == Version::V2));
        if let Some(number) = self.serial_number {
            tlv::write(&mut content, der::OCTET_STRING, number);
        }
        der::write_label(&mut content, der::UTF8_STRING, self.manufacturer);
        der::write_label(&mut content, der::context(0), self.label);
        der::write_named_bits(&mut content, self.flags.0);
        tlv::encode(der::SEQUENCE, &content)
    }

    /// Reads the content of the file, which may have unused octets at its end.
    pub fn parse(file: &'a [u8]) -> Result<Self, Pkcs15Error> {
        super::entries(file).next().unwrap_or_else(|| Err(der::encoding("CIAInfo")(TlvError::Truncated)))
    }
}

impl<'a> Entry<'a> for CiaInfo<'a> {
    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        let part = "CIAInfo";
        if object.tag != der::SEQUENCE {
            return Err(der::encoding(part)(TlvError::Unexpected));
        }
        let mut fields = der::Fields::new(object.value);
        let version = match der::unsigned(fields.expect(der::INTEGER, part)?, "version")? {
            0 => Version::V1,
            1 => Version::V2,
            _ => return Err(der::value("version")),
        };
        let serial_number = fields.optional(der::OCTET_STRING, part)?;
        let serial_number = serial_number.map(|number| identifier(number, "serialNumber")).transpose()?;
        let manufacturer = fields.optional(der::UTF8_STRING, part)?;
        let manufacturer = manufacturer.map(|name| text(name, "manufacturerID")).transpose()?;
        let label = fields.optional(der::context(0), part)?.map(|label| text(label, "label")).transpose()?;
        let flags = CardFlags(der::named_bits(fields.expect(der::BIT_STRING, part)?, "cardflags")?);
        fields.pass_over_rest(part)?;
        Ok(Self { version, serial_number, manufacturer, label, flags })
    }
}

/// What a directory lists: the alternatives of `CIOChoice`, ISO/IEC 7816-15:2016 §8.3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DirectoryKind {
    /// EF.PrKD.
    PrivateKeys,
    /// EF.PuKD.
    PublicKeys,
    /// Public keys that the card issuer trusts.
    TrustedPublicKeys,
    /// EF.SKD.
    SecretKeys,
    /// EF.CD.
    Certificates,
    /// Certificates that the card issuer trusts.
    TrustedCertificates,
    /// Certificates that may help.
    UsefulCertificates,
    /// EF.DCOD.
    DataContainers,
    /// EF.AOD.
    AuthenticationObjects,
}

impl DirectoryKind {
    const ALL: [Self; 9] = [
        Self::PrivateKeys,
        Self::PublicKeys,
        Self::TrustedPublicKeys,
        Self::SecretKeys,
        Self::Certificates,
        Self::TrustedCertificates,
        Self::UsefulCertificates,
        Self::DataContainers,
        Self::AuthenticationObjects,
    ];

    const fn tag(self) -> Tag {
        // The alternatives are tagged [0] to [8] in the order of the type.
        der::constructed(self as u8)
    }
}

/// Where the entries of a directory are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirectoryContent<'a> {
    /// In a file of their own.
    Path(Path<'a>),
    /// Here, one after the other: [`super::entries`] reads them.
    Objects(&'a [u8]),
}

/// One entry of EF.OD: ISO/IEC 7816-15:2016 §8.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectDirectory<'a> {
    /// What is listed.
    pub kind: DirectoryKind,
    /// Where.
    pub content: DirectoryContent<'a>,
}

impl<'a> ObjectDirectory<'a> {
    /// A directory in a file.
    pub const fn in_file(kind: DirectoryKind, path: Path<'a>) -> Self {
        Self { kind, content: DirectoryContent::Path(path) }
    }

    /// The entry.
    pub fn encode(&self) -> Vec<u8> {
        let content = match self.content {
            DirectoryContent::Path(path) => path.encode(),
            DirectoryContent::Objects(objects) => tlv::encode(der::constructed(0), objects),
        };
        tlv::encode(self.kind.tag(), &content)
    }
}

impl<'a> Entry<'a> for ObjectDirectory<'a> {
    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        let part = "object directory";
        let kind = DirectoryKind::ALL.into_iter().find(|kind| kind.tag() == object.tag);
        let kind = kind.ok_or_else(|| der::encoding(part)(TlvError::Unexpected))?;
        let mut fields = der::Fields::new(object.value);
        let content = match fields.next(part)? {
            Some(path) if path.tag == der::SEQUENCE => DirectoryContent::Path(Path::read(path.value)?),
            Some(objects) if objects.tag == der::constructed(0) => DirectoryContent::Objects(objects.value),
            _ => return Err(der::encoding(part)(TlvError::Unexpected)),
        };
        // A CHOICE has one alternative and nothing after it.
        if fields.is_empty() {
            Ok(Self { kind, content })
        } else {
            Err(der::encoding(part)(TlvError::Trailing))
        }
    }
}
