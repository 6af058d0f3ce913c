//! Cryptographic information on a card, ISO/IEC 7816-15:2016 (PKCS #15 in its first life): the files by
//! which a program that does not know the card finds its PINs, keys and certificates.
//!
//! | file | identifier | type here |
//! |---|---|---|
//! | EF.DIR, applications of the card | 2F00 | [`ApplicationTemplate`] |
//! | EF.CIAInfo | 5032 | [`CiaInfo`] |
//! | EF.OD, where the directories are | 5031 | [`ObjectDirectory`] |
//! | EF.AOD, PINs | named in EF.OD | [`AuthenticationObject`] |
//! | EF.PrKD, private keys | named in EF.OD | [`PrivateKeyObject`] |
//! | EF.CD, certificates | named in EF.OD | [`CertificateObject`] |
//!
//! One type per entry, for both directions: `encode` writes it, [`entries`] and `parse` read it. Reading
//! is strict DER, borrows everything and allocates nothing. Elements that an edition after ours put at
//! the end of a structure are passed over, as the extension markers of the standard ask; nothing else is.

mod der;
mod directory;
mod objects;

pub use directory::{
    ApplicationTemplate, CardFlags, CiaInfo, DirectoryContent, DirectoryKind, ObjectDirectory, Version,
};
pub use objects::{
    AccessControlRule, AccessMode, AuthenticationObject, CertificateContent, CertificateObject,
    CommonObjectAttributes, KeyAccessFlags, KeyUsageFlags, ObjectFlags, Password, PasswordFlags,
    PasswordType, PrivateKeyObject, PrivateRsaKey, SecurityCondition, X509Certificate,
};

use crate::tlv::{self, Tlv, TlvError};
use std::fmt;
use std::marker::PhantomData;

/// File identifier of EF.DIR, directly under the master file: ISO/IEC 7816-4:2020 §12.2.2.1.
pub const EF_DIR: u16 = 0x2F00;
/// File identifier of EF.OD: ISO/IEC 7816-15:2016 §7.4. Its short identifier is 11.
pub const EF_OBJECT_DIRECTORY: u16 = 0x5031;
/// File identifier of EF.CIAInfo: ISO/IEC 7816-15:2016 §7.4. Its short identifier is 12.
pub const EF_CIA_INFO: u16 = 0x5032;
/// Most octets of a label or an identifier (`cia-ub-label`, `cia-ub-identifier`). Reading refuses more;
/// whoever writes keeps to it.
pub const LABEL_MAX: usize = 255;

/// What is wrong with a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Its encoding.
    Encoding(TlvError),
    /// What it says.
    Value,
}

/// Why a file is not what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pkcs15Error {
    /// Which part, in the words of ISO/IEC 7816-15.
    pub part: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Pkcs15Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Encoding(error) => write!(f, "{}: {error}", self.part),
            Fault::Value => write!(f, "{}: a value that is not allowed here", self.part),
        }
    }
}

impl std::error::Error for Pkcs15Error {}

/// Where a file is: `Path`, ISO/IEC 7816-15:2016 §8.2.5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Location<'a> {
    /// A short identifier, 1 to 30, under the application: one octet with the identifier in its high five bits.
    Short(u8),
    /// A file identifier under the application.
    Identifier(u16),
    /// A path of file identifiers, an even number of octets from 4 on.
    Path(&'a [u8]),
}

/// Where an object is: a file, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path<'a> {
    /// Which file.
    pub location: Location<'a>,
    /// First octet and number of octets, where the file holds more than this.
    pub part: Option<(u32, u32)>,
}

impl<'a> Path<'a> {
    /// The whole file with this short identifier.
    pub const fn short(short_identifier: u8) -> Self {
        Self { location: Location::Short(short_identifier), part: None }
    }

    /// The whole file with this identifier.
    pub const fn identifier(identifier: u16) -> Self {
        Self { location: Location::Identifier(identifier), part: None }
    }

    /// The DER of the SEQUENCE.
    pub fn encode(&self) -> Vec<u8> {
        let mut content = Vec::new();
        match self.location {
            Location::Short(short) => tlv::write(&mut content, der::OCTET_STRING, &[short << 3]),
            Location::Identifier(fid) => tlv::write(&mut content, der::OCTET_STRING, &fid.to_be_bytes()),
            Location::Path(path) => tlv::write(&mut content, der::OCTET_STRING, path),
        }
        if let Some((index, length)) = self.part {
            der::write_unsigned(&mut content, der::INTEGER, index);
            der::write_unsigned(&mut content, der::context(0), length);
        }
        tlv::encode(der::SEQUENCE, &content)
    }

    /// Reads the content of the SEQUENCE.
    fn read(content: &'a [u8]) -> Result<Self, Pkcs15Error> {
        let part = "path";
        let mut fields = der::Fields::new(content);
        let location = match fields.expect(der::OCTET_STRING, part)? {
            [short] if short & 0x07 == 0 && !matches!(short >> 3, 0 | 31) => Location::Short(short >> 3),
            [high, low] => Location::Identifier(u16::from_be_bytes([*high, *low])),
            path if path.len() >= 4 && path.len() % 2 == 0 => Location::Path(path),
            _ => return Err(der::value(part)),
        };
        let index = fields.optional(der::INTEGER, part)?;
        let length = fields.optional(der::context(0), part)?;
        let range = match (index, length) {
            (None, None) => None,
            (Some(index), Some(length)) => Some((der::unsigned(index, part)?, der::unsigned(length, part)?)),
            _ => return Err(der::value(part)),
        };
        fields.pass_over_rest(part)?;
        Ok(Self { location, part: range })
    }
}

/// An entry of one of the files.
pub trait Entry<'a>: Sized {
    /// Reads it from its data object.
    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error>;
}

/// The entries of a file one after the other; ends after the first fault.
#[derive(Clone, Debug)]
pub struct Entries<'a, T> {
    rest: &'a [u8],
    entry: PhantomData<fn() -> T>,
}

/// Reads the entries of a file. Unused octets at its end, all 00 or all FF, are not looked at.
pub const fn entries<'a, T: Entry<'a>>(file: &'a [u8]) -> Entries<'a, T> {
    Entries { rest: file, entry: PhantomData }
}

impl<'a, T: Entry<'a>> Iterator for Entries<'a, T> {
    type Item = Result<T, Pkcs15Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.rest);
        let unused = |octet: u8| rest.iter().all(|each| *each == octet);
        if unused(0x00) || unused(0xFF) {
            return None;
        }
        Some(tlv::read_one(rest).map_err(der::encoding("entry")).and_then(|(object, after)| {
            let entry = T::read(object)?;
            self.rest = after;
            Ok(entry)
        }))
    }
}

/// A label or text as UTF8String, at most [`LABEL_MAX`] octets.
fn text<'a>(content: &'a [u8], part: &'static str) -> Result<&'a str, Pkcs15Error> {
    if content.len() > LABEL_MAX {
        return Err(der::value(part));
    }
    std::str::from_utf8(content).map_err(|_| der::value(part))
}

/// An `Identifier`, at most [`LABEL_MAX`] octets.
fn identifier<'a>(content: &'a [u8], part: &'static str) -> Result<&'a [u8], Pkcs15Error> {
    if content.len() > LABEL_MAX { Err(der::value(part)) } else { Ok(content) }
}

#[cfg(test)]
mod tests;
