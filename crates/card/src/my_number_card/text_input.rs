//! The text input application (券面事項入力補助AP): the number and the four attributes as text, so that
//! nobody has to type them. The report's slides call it the My Number application.
//!
//! Report, card table: "Store My Number, Name, Birthday, Sex, Address. Need to enter PIN2 (may be same as
//! PIN1) for read-out".
//!
//! | EF | holds | opens with |
//! |---|---|---|
//! | 0001 | `FF10 {12 digits}` and two octets of filler | 0011 (PIN) or 0014 (reference A) |
//! | 0002 | `FF20 {DF21 offsets, DF22 name, DF23 address, DF24 birth date, DF25 sex}` | 0011 or 0015 (reference B) |
//! | 0003 | `FF30 {DF31, DF32 SHA-256 of 0001 and of 0002, DF33 signature}` | 0011, 0014 or 0015 |
//! | 0004 | certificate of the issuer's key | free |
//! | 0005 | `FF40 {DF41 identification, DF42 key, DF43 128 octets}` | free |
//! | 0006 | `A1 {90 e, 91 n}`, the key under which a session key is handed over | 0011, 0014 or 0015 |
//! | 0007 | `FF50 {DF51 presence key, DF52 signature}` | 0011, 0014 or 0015 |
//! | 0008 | sixteen octets FF | 0011, 0014 or 0015 |
//!
//! The two digests are over different things, as on the card: that of 0001 over the whole file with its
//! filler, that of 0002 over the fields behind the offset table. A digest of twelve digits can be undone
//! by trying, so whoever opens 0003 with reference B can learn the number with some patience: cards are
//! so, and so is this one.

use super::card_face::signed_record;
use super::contents_issuer::{ContentsError, ContentsIssuer, PresenceKey, public_key_field};
use super::printed::{CardDate, PrintedError, ReferenceA, Sex};
use super::record_file::{
    Field, LengthForm, RecordFileError, RecordReader, check_offsets, fields, file, file_with_offsets,
    read_header,
};
use crate::cvc::{CvcPublicKey, KeyReference};
use crate::rsa_key::{CardRsaKey, RSA_OCTETS};
use crate::tlv::{self, Tag};
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;
use zeroize::Zeroizing;

/// Name of the application.
#[doc(alias = "券面事項入力補助AP")]
pub const TEXT_INPUT_AID: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x08];
/// EF of the number.
pub const NUMBER: u16 = 0x0001;
/// EF of the four attributes.
pub const ATTRIBUTES: u16 = 0x0002;
/// EF of the signed digests.
pub const INTEGRITY: u16 = 0x0003;
/// EF of the issuer's certificate.
pub const CERTIFICATE: u16 = 0x0004;
/// EF of the application's own information.
pub const INFORMATION: u16 = 0x0005;
/// EF of the public key for session keys.
pub const SESSION_PUBLIC_KEY: u16 = 0x0006;
/// EF of the signed presence key.
pub const SIGNED_PRESENCE_KEY: u16 = 0x0007;
/// Reference of the PIN.
pub const PIN: u16 = 0x0011;
/// The presence key.
pub const PRESENCE_KEY: u16 = 0x0013;
/// Reference of reference number A.
pub const REFERENCE_A: u16 = 0x0014;
/// Reference of reference number B.
pub const REFERENCE_B: u16 = 0x0015;

/// Octets of EF 0001.
pub const NUMBER_FILE_LEN: usize = 17;
/// The longest name or address that is written, in octets of UTF-8. The real limits are not public; these
/// are far above any and keep the file within one offset table.
pub const TEXT_OCTETS_MAX: usize = 1_000;

/// The PIN of the text input application: four ASCII digits.
#[doc(alias = "券面事項入力補助用暗証番号")]
#[derive(Clone)]
pub struct TextInputPin(Zeroizing<Vec<u8>>);

impl TextInputPin {
    /// Parses four digits.
    pub fn parse(text: &str) -> Result<Self, PrintedError> {
        if text.len() == 4 && text.bytes().all(|octet| octet.is_ascii_digit()) {
            Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
        } else {
            Err(PrintedError::Digits(4))
        }
    }

    /// The digits, ASCII.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TextInputPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TextInputPin(****)")
    }
}

/// The content of EF 0001.
pub fn number_file(number: &ReferenceA) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    let mut whole = file(0xFF10, LengthForm::Shortest, number.octets())?;
    whole.extend_from_slice(&[0xFF; 2]);
    Ok(whole)
}

/// What EF 0002 is made of. Texts are UTF-8; between family and given name stands U+3000.
#[derive(Clone, Copy)]
pub struct AttributesText<'a> {
    /// Name.
    pub name: &'a str,
    /// Address.
    pub address: &'a str,
    /// Birth date.
    pub birth: CardDate,
    /// Sex.
    pub sex: Sex,
}

impl fmt::Debug for AttributesText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttributesText(…)")
    }
}

/// The content of EF 0002. Name and address have 1 to [`TEXT_OCTETS_MAX`] octets each.
pub fn attributes_file(holder: AttributesText<'_>) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    for text in [holder.name, holder.address] {
        if text.is_empty() || text.len() > TEXT_OCTETS_MAX {
            return Err(RecordFileError::Value.into());
        }
    }
    let birth = Zeroizing::new(holder.birth.digits());
    Ok(file_with_offsets(
        0xFF20,
        0xDF21,
        &[
            Field::new(0xDF22, holder.name.as_bytes()),
            Field::new(0xDF23, holder.address.as_bytes()),
            Field::new(0xDF24, birth.as_bytes()),
            Field::new(0xDF25, &[holder.sex.digit()]),
        ],
    )?)
}

/// The content of EF 0003 for these contents of 0001 and 0002.
pub fn integrity_file(
    number_file: &[u8],
    attributes_file: &[u8],
    issuer: &ContentsIssuer,
) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    let of_number = sha256(number_file);
    let of_attributes = sha256(behind_the_table(attributes_file)?);
    let given = [Field::new(0xDF31, &of_number), Field::new(0xDF32, &of_attributes)];
    signed_record(0xFF30, &given, 0xDF33, issuer)
}

/// What DF32 is the digest of: the value of the object without its table of offsets, and without filler.
fn behind_the_table(attributes_file: &[u8]) -> Result<&[u8], RecordFileError> {
    let (_, length, value) = read_header(attributes_file)?;
    let value = value.get(..length).ok_or(RecordFileError::Truncated)?;
    let (tag, length, table) = read_header(value)?;
    if tag != 0xDF21 {
        return Err(RecordFileError::Tag);
    }
    table.get(length..).ok_or(RecordFileError::Truncated)
}

/// The content of EF 0005. What DF42 names and DF43 holds on a real card is not known.
pub fn information(key: &KeyReference) -> Result<Vec<u8>, ContentsError> {
    let body = fields(&[
        // Version of the specification, extended lengths, and an emulator's vendor octets.
        Field::new(0xDF41, &[0x01, 0x03, 0x00, 0x00]),
        Field::new(0xDF42, key.as_bytes()),
        Field::long(0xDF43, &[0xFF; 128]),
    ])?;
    Ok(file(0xFF40, LengthForm::TwoOctets, &body)?.to_vec())
}

/// The content of EF 0006.
pub fn session_public_key(key: &CardRsaKey) -> Result<Vec<u8>, ContentsError> {
    Ok(tlv::encode(TAG_SESSION_KEY, &public_key_field(key)?))
}

const TAG_SESSION_KEY: Tag = Tag(0xA1);

/// The content of EF 0007.
pub fn signed_presence_key(
    presence_key: &CardRsaKey,
    issuer: &ContentsIssuer,
) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    let key = public_key_field(presence_key)?;
    signed_record(0xFF50, &[Field::new(0xDF51, &key)], 0xDF52, issuer)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Parses EF 0001. The number is copied into memory that is wiped, and shows itself to nobody.
pub fn parse_number(file: &[u8]) -> Result<ReferenceA, ContentsError> {
    let (tag, length, rest) = read_header(file)?;
    let (digits, filler) = rest.split_at_checked(length).ok_or(RecordFileError::Truncated)?;
    if tag != 0xFF10 {
        return Err(RecordFileError::Tag.into());
    }
    if !filler.iter().all(|octet| *octet == 0xFF) {
        return Err(RecordFileError::Trailing.into());
    }
    Ok(ReferenceA::from_octets(digits)?)
}

/// EF 0002 as a terminal reads it.
#[doc(alias = "基本4情報")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttributesFile<'a> {
    /// Name.
    pub name: &'a str,
    /// Address.
    pub address: &'a str,
    /// Birth date.
    pub birth: CardDate,
    /// Sex.
    pub sex: Sex,
}

impl<'a> AttributesFile<'a> {
    /// Parses the file and checks its table of offsets.
    pub fn parse(file: &'a [u8]) -> Result<Self, RecordFileError> {
        let mut reader = RecordReader::open(file, 0xFF20)?;
        let table = reader.field(0xDF21)?.value;
        let name = reader.field(0xDF22)?;
        let address = reader.field(0xDF23)?;
        let (birth, birth_at) = reader.array::<8>(0xDF24)?;
        let sex = reader.field(0xDF25)?;
        check_offsets(table, &[name, address, birth_at, sex])?;
        reader.finish()?;
        let text = |value| std::str::from_utf8(value).map_err(|_| RecordFileError::Value);
        Ok(Self {
            name: text(name.value)?,
            address: text(address.value)?,
            birth: CardDate::parse(birth).map_err(|_| RecordFileError::Value)?,
            sex: Sex::parse(sex.value).map_err(|_| RecordFileError::Value)?,
        })
    }
}

impl fmt::Debug for AttributesFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttributesFile(…)")
    }
}

/// EF 0003 as a terminal reads it.
#[derive(Clone, Copy)]
pub struct IntegrityFile<'a> {
    of_number: &'a [u8; 32],
    of_attributes: &'a [u8; 32],
    signed: &'a [u8],
    signature: &'a [u8; RSA_OCTETS],
}

impl<'a> IntegrityFile<'a> {
    /// Parses the file.
    pub fn parse(file: &'a [u8]) -> Result<Self, RecordFileError> {
        let mut reader = RecordReader::open(file, 0xFF30)?;
        let (of_number, first) = reader.array(0xDF31)?;
        let (of_attributes, last) = reader.array(0xDF32)?;
        let (signature, _) = reader.array(0xDF33)?;
        let signed = reader.span(first, last);
        reader.finish()?;
        Ok(Self { of_number, of_attributes, signed, signature })
    }

    /// Whether `issuer` signed it.
    pub fn verify(&self, issuer: &CvcPublicKey) -> Result<(), ContentsError> {
        issuer.verify(self.signed, self.signature).map_err(|_| ContentsError::Signature)
    }

    /// Whether this is the EF 0001 that was signed: with its filler, as it was read.
    pub fn vouches_for_number(&self, number_file: &[u8]) -> Result<(), ContentsError> {
        if sha256(number_file) == *self.of_number { Ok(()) } else { Err(ContentsError::Digest) }
    }

    /// Whether this is the EF 0002 that was signed.
    pub fn vouches_for_attributes(&self, attributes_file: &[u8]) -> Result<(), ContentsError> {
        let fields = behind_the_table(attributes_file)?;
        if sha256(fields) == *self.of_attributes { Ok(()) } else { Err(ContentsError::Digest) }
    }
}

impl fmt::Debug for IntegrityFile<'_> {
    /// A digest of twelve digits can be undone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityFile(…)")
    }
}

/// EF 0007 as a terminal reads it.
#[derive(Clone, Copy, Debug)]
pub struct SignedPresenceKey<'a> {
    /// The card's own key in this application.
    pub presence_key: PresenceKey<'a>,
    signed: &'a [u8],
    signature: &'a [u8; RSA_OCTETS],
}

impl<'a> SignedPresenceKey<'a> {
    /// Parses the file.
    pub fn parse(file: &'a [u8]) -> Result<Self, RecordFileError> {
        let mut reader = RecordReader::open(file, 0xFF50)?;
        let key = reader.field(0xDF51)?;
        let (signature, _) = reader.array(0xDF52)?;
        let signed = reader.span(key, key);
        reader.finish()?;
        Ok(Self { presence_key: PresenceKey::parse(key.value)?, signed, signature })
    }

    /// Whether `issuer` signed it.
    pub fn verify(&self, issuer: &CvcPublicKey) -> Result<(), ContentsError> {
        issuer.verify(self.signed, self.signature).map_err(|_| ContentsError::Signature)
    }
}

/// Parses EF 0006: the modulus under which a session key is handed over.
pub fn parse_session_public_key(file: &[u8]) -> Result<PresenceKey<'_>, RecordFileError> {
    PresenceKey::parse(tlv::read_single(file, TAG_SESSION_KEY)?)
}

#[cfg(test)]
mod tests {
    use super::super::contents_issuer::SignedApplication;
    use super::super::contents_issuer::tests::{issuer, root};
    use super::*;
    use crate::cvc::CvcIssuer as _;

    const HOLDER: AttributesText<'static> = AttributesText {
        name: "見本　花子",
        address: "見本県見本市本町一丁目１番地１２３４５",
        birth: CardDate::new(1985, 4, 1).unwrap(),
        sex: Sex::Female,
    };

    #[test]
    fn the_number_file_has_seventeen_octets() {
        let number = ReferenceA::with_check_digit(b"12345678901").unwrap();
        let file = number_file(&number).unwrap();
        assert_eq!(*file, b"\xFF\x10\x0C123456789018\xFF\xFF".to_vec());
        assert_eq!(file.len(), NUMBER_FILE_LEN);
        assert_eq!(parse_number(&file), Ok(number.clone()));
        assert_eq!(parse_number(&file[..15]), Ok(number));
        for end in 0..15 {
            assert_eq!(parse_number(&file[..end]).err(), Some(RecordFileError::Truncated.into()), "{end}");
        }
        let bent = |at: usize, to: u8| {
            let mut bent = file.to_vec();
            bent[at] = to;
            parse_number(&bent).err().unwrap()
        };
        assert_eq!(bent(1, 0x20), RecordFileError::Tag.into());
        assert_eq!(bent(14, b'7'), PrintedError::CheckDigit.into());
        assert_eq!(bent(14, b'x'), PrintedError::Digits(12).into());
        assert_eq!(bent(16, 0x00), RecordFileError::Trailing.into());
    }

    /// Tags, lengths and offsets as on a card of the test hierarchy whose texts have 15 and 54 octets.
    #[test]
    fn the_attributes_have_the_layout_that_cards_have() {
        let file = attributes_file(HOLDER).unwrap();
        assert_eq!((HOLDER.name.len(), HOLDER.address.len()), (15, 57));
        assert_eq!(
            file[..17],
            [0xFF, 0x20, 0x68, 0xDF, 0x21, 8, 0, 0x0E, 0, 0x20, 0, 0x5C, 0, 0x67, 0xDF, 0x22, 15]
        );
        assert_eq!(file[0x5C..], *b"\xDF\x24\x0819850401\xDF\x25\x012");
        let read = AttributesFile::parse(&file).unwrap();
        assert_eq!((read.name, read.address), (HOLDER.name, HOLDER.address));
        assert_eq!((read.birth, read.sex), (HOLDER.birth, HOLDER.sex));
        assert_eq!(format!("{read:?}{HOLDER:?}"), "AttributesFile(…)AttributesText(…)");
        for end in 0..file.len() {
            assert!(AttributesFile::parse(&file[..end]).is_err());
        }
        let long = "見".repeat(334);
        let with = |name| attributes_file(AttributesText { name, ..HOLDER }).err();
        assert_eq!(with(&long), Some(RecordFileError::Value.into()));
        assert_eq!(with(""), Some(RecordFileError::Value.into()));
        // The longest that is written still reads.
        let longest = "見".repeat(333);
        let file = attributes_file(AttributesText { name: &longest, address: &longest, ..HOLDER }).unwrap();
        assert_eq!(AttributesFile::parse(&file).unwrap().address, longest);
    }

    #[test]
    fn the_integrity_file_vouches_for_both() {
        let root = root();
        let issuer = issuer(&root, SignedApplication::TextInput);
        let issuer_key = CvcPublicKey::of(root.issuer_reference(), issuer.private_key()).unwrap();
        let number = number_file(&ReferenceA::with_check_digit(b"12345678901").unwrap()).unwrap();
        let attributes = attributes_file(HOLDER).unwrap();
        let file = integrity_file(&number, &attributes, &issuer).unwrap();
        assert_eq!(file.len(), 336, "as on a card of the test hierarchy");
        let read = IntegrityFile::parse(&file).unwrap();
        assert_eq!(read.verify(&issuer_key), Ok(()));
        assert_eq!(read.vouches_for_number(&number), Ok(()));
        // The filler belongs to the number's digest, the table does not belong to the attributes'.
        assert_eq!(read.vouches_for_number(&number[..15]), Err(ContentsError::Digest));
        assert_eq!(read.vouches_for_attributes(&attributes), Ok(()));
        let mut padded = attributes.to_vec();
        padded.extend_from_slice(&[0xFF; 9]);
        assert_eq!(read.vouches_for_attributes(&padded), Ok(()));
        let mut other_sex = attributes.to_vec();
        *other_sex.last_mut().unwrap() = b'1';
        assert_eq!(read.vouches_for_attributes(&other_sex), Err(ContentsError::Digest));
        for at in 5..file.len() {
            let mut bent = file.to_vec();
            bent[at] ^= 1;
            let good = IntegrityFile::parse(&bent).is_ok_and(|read| read.verify(&issuer_key).is_ok());
            assert!(!good, "octet {at}");
        }
    }

    #[test]
    fn keys_in_files() {
        let root = root();
        let issuer = issuer(&root, SignedApplication::TextInput);
        let issuer_key = CvcPublicKey::of(root.issuer_reference(), issuer.private_key()).unwrap();
        let key = CardRsaKey::generate().unwrap();
        let file = signed_presence_key(&key, &issuer).unwrap();
        assert_eq!(file.len(), 536, "as on a card of the test hierarchy");
        let read = SignedPresenceKey::parse(&file).unwrap();
        assert_eq!(read.verify(&issuer_key), Ok(()));
        assert_eq!(read.presence_key.modulus(), key.public_modulus());
        assert_eq!(read.verify(&root.public_key().unwrap()), Err(ContentsError::Signature));
        let file = session_public_key(&key).unwrap();
        assert_eq!(file.len(), 269, "as on a card of the test hierarchy");
        assert_eq!(parse_session_public_key(&file).unwrap().modulus(), key.public_modulus());
        assert!(parse_session_public_key(&file[..268]).is_err());
        let information = information(&KeyReference::numbered(7_000_034, 1).unwrap()).unwrap();
        assert_eq!(information.len(), 164, "as on a card of the test hierarchy");
        assert_eq!(information[..9], [0xFF, 0x40, 0x82, 0x00, 0x9F, 0xDF, 0x41, 4, 1]);
        assert_eq!(format!("{:?}", TextInputPin::parse("1234").unwrap()), "TextInputPin(****)");
        assert_eq!(TextInputPin::parse("123").err(), Some(PrintedError::Digits(4)));
    }
}
