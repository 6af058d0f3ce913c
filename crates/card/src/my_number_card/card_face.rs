//! The card face application (券面事項確認AP): what is printed on the card, signed, behind the printed
//! numbers themselves.
//!
//! Report, card table: "Store the card face image for tamper detection. Use Basic Access Control for
//! read-out". Whoever has the card in his hand can read the numbers off it; whoever only comes near with
//! an antenna cannot. The more a reader can show, the more it gets:
//!
//! | EF | holds | opens with |
//! |---|---|---|
//! | 0001 | `FF10 {DF11 birth date, DF12 presence key, DF13 signature}` | 0011, the birth date |
//! | 0002 | `FF20 {DF21 offsets, DF22 birth date, DF23 sex, DF24 presence key, DF25 name, DF26 address, DF27 photo, DF28 signature, DF29 expiry, DF2A security code}` | 0012 (reference B) or 0013 (reference A) |
//! | 0003 | `FF30 {DF31 identification, DF32 key, DF33 version, DF34 municipality, DF35 key and 256 octets}` | free |
//! | 0004 | certificate of the issuer's key | free |
//! | 0005 | `FF40 {DF41 picture of the number, DF42 presence key, DF43 signature}` | 0013 (reference A) |
//! | 0006 | sixteen octets FF | 0012 or 0013 |
//!
//! Name, address, number and code are pictures (PNG, 1 bit), the photo is JPEG 2000. The signatures of
//! 0001 and 0005 are over the fields before them. That of 0002 is over three SHA-256 values: of DF22 to
//! DF24, of DF25 and DF26, of DF27. Expiry and code stand behind the signature and are not under it.
//! All of this is public by observation of cards (`docs/divergences.md` says what is not).

use super::contents_issuer::{ContentsError, ContentsIssuer, PresenceKey, digest_info, public_key_field};
use super::printed::{CardDate, Sex};
use super::record_file::{
    Field, LengthForm, RecordFileError, RecordReader, check_offsets, fields, file, file_with_offsets,
};
use crate::cvc::{CvcPublicKey, KeyReference};
use crate::rsa_key::{self, CardRsaKey, RSA_OCTETS};
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt;
use zeroize::Zeroizing;

/// Name of the application.
#[doc(alias = "券面事項確認AP")]
pub const CARD_FACE_AID: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x02];
/// EF of the age record.
pub const AGE_RECORD: u16 = 0x0001;
/// EF of the card face.
pub const FACE_RECORD: u16 = 0x0002;
/// EF of the application's own information.
pub const INFORMATION: u16 = 0x0003;
/// EF of the issuer's certificate.
pub const CERTIFICATE: u16 = 0x0004;
/// EF of the picture of the number.
pub const NUMBER_PICTURE: u16 = 0x0005;
/// Reference of the birth date.
pub const BIRTH_CODE: u16 = 0x0011;
/// Reference of reference number B.
pub const REFERENCE_B: u16 = 0x0012;
/// Reference of reference number A.
pub const REFERENCE_A: u16 = 0x0013;
/// The presence key.
pub const PRESENCE_KEY: u16 = 0x001A;

/// The pictures of a card face, as they stand in the file.
#[derive(Clone, Copy)]
pub struct Pictures<'a> {
    /// Name as printed: PNG.
    pub name: &'a [u8],
    /// Address as printed: PNG.
    pub address: &'a [u8],
    /// Photo: JPEG 2000.
    pub photo: &'a [u8],
    /// The four digits beside the expiry date: PNG.
    pub security_code: &'a [u8],
}

impl fmt::Debug for Pictures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pictures(…)")
    }
}

/// The content of EF 0001.
pub fn age_record(
    birth: CardDate,
    presence_key: &CardRsaKey,
    issuer: &ContentsIssuer,
) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    let key = public_key_field(presence_key)?;
    let date = Zeroizing::new(birth.digits());
    signed_record(0xFF10, &[Field::new(0xDF11, date.as_bytes()), Field::new(0xDF12, &key)], 0xDF13, issuer)
}

/// The content of EF 0005. `picture` is a PNG.
pub fn number_picture(
    picture: &[u8],
    presence_key: &CardRsaKey,
    issuer: &ContentsIssuer,
) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    let key = public_key_field(presence_key)?;
    signed_record(0xFF40, &[Field::long(0xDF41, picture), Field::new(0xDF42, &key)], 0xDF43, issuer)
}

/// Fields with the issuer's signature behind them, in one object.
pub(super) fn signed_record(
    outer: u16,
    given: &[Field<'_>],
    signature_tag: u16,
    issuer: &ContentsIssuer,
) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    let mut body = fields(given)?;
    let signature = issuer.sign(&body)?;
    body.extend_from_slice(&fields(&[Field::new(signature_tag, &signature)])?);
    Ok(file(outer, LengthForm::Shortest, &body)?)
}

/// The content of EF 0002.
pub fn face_record(
    birth: CardDate,
    sex: Sex,
    expiry: CardDate,
    pictures: Pictures<'_>,
    presence_key: &CardRsaKey,
    issuer: &ContentsIssuer,
) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    let key = public_key_field(presence_key)?;
    let (birth, expiry) = (Zeroizing::new(birth.digits()), expiry.digits());
    let sex = [sex.digit()];
    let who = [Field::new(0xDF22, birth.as_bytes()), Field::new(0xDF23, &sex), Field::new(0xDF24, &key)];
    let written = [Field::long(0xDF25, pictures.name), Field::long(0xDF26, pictures.address)];
    let photo = [Field::long(0xDF27, pictures.photo)];
    let signature = issuer.sign_digests(&[
        sha256(&fields(&who)?),
        sha256(&fields(&written)?),
        sha256(&fields(&photo)?),
    ])?;
    let unsigned = [
        Field::new(0xDF28, &signature),
        Field::new(0xDF29, expiry.as_bytes()),
        Field::new(0xDF2A, pictures.security_code),
    ];
    let all: Vec<Field<'_>> = who.into_iter().chain(written).chain(photo).chain(unsigned).collect();
    Ok(file_with_offsets(0xFF20, 0xDF21, &all)?)
}

/// The content of EF 0003. `municipality` has five digits; `key` is whatever name the file shows.
///
/// What DF32 and DF35 name and hold on a real card is not known; here both name `key`, and the 256
/// octets are filler.
pub fn information(municipality: &[u8; 5], key: &KeyReference) -> Result<Vec<u8>, ContentsError> {
    let mut opaque = key.as_bytes().to_vec();
    opaque.extend_from_slice(&[0xFF; RSA_OCTETS]);
    let body = fields(&[
        // Version of the specification, extended lengths, and an emulator's vendor octets.
        Field::new(0xDF31, &[0x06, 0x03, 0x00, 0x00]),
        Field::new(0xDF32, key.as_bytes()),
        Field::new(0xDF33, &[0x00]),
        Field::new(0xDF34, municipality),
        Field::new(0xDF35, &opaque),
    ])?;
    Ok(file(0xFF30, LengthForm::Shortest, &body)?.to_vec())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// EF 0001 as a terminal reads it.
#[derive(Clone, Copy)]
pub struct AgeRecord<'a> {
    /// Birth date.
    pub birth: CardDate,
    /// The card's own key.
    pub presence_key: PresenceKey<'a>,
    signed: &'a [u8],
    signature: &'a [u8; RSA_OCTETS],
}

impl<'a> AgeRecord<'a> {
    /// Parses the file.
    pub fn parse(file: &'a [u8]) -> Result<Self, RecordFileError> {
        let mut reader = RecordReader::open(file, 0xFF10)?;
        let (birth, first) = reader.array::<8>(0xDF11)?;
        let key = reader.field(0xDF12)?;
        let (signature, _) = reader.array(0xDF13)?;
        let signed = reader.span(first, key);
        reader.finish()?;
        Ok(Self { birth: date(birth)?, presence_key: PresenceKey::parse(key.value)?, signed, signature })
    }

    /// Whether `issuer` signed it.
    pub fn verify(&self, issuer: &CvcPublicKey) -> Result<(), ContentsError> {
        issuer.verify(self.signed, self.signature).map_err(|_| ContentsError::Signature)
    }
}

/// EF 0005 as a terminal reads it.
#[derive(Clone, Copy)]
pub struct NumberPicture<'a> {
    /// Picture of the number: PNG.
    pub picture: &'a [u8],
    /// The card's own key.
    pub presence_key: PresenceKey<'a>,
    signed: &'a [u8],
    signature: &'a [u8; RSA_OCTETS],
}

impl<'a> NumberPicture<'a> {
    /// Parses the file.
    pub fn parse(file: &'a [u8]) -> Result<Self, RecordFileError> {
        let mut reader = RecordReader::open(file, 0xFF40)?;
        let picture = reader.field(0xDF41)?;
        let key = reader.field(0xDF42)?;
        let (signature, _) = reader.array(0xDF43)?;
        let signed = reader.span(picture, key);
        reader.finish()?;
        let presence_key = PresenceKey::parse(key.value)?;
        Ok(Self { picture: picture.value, presence_key, signed, signature })
    }

    /// Whether `issuer` signed it.
    pub fn verify(&self, issuer: &CvcPublicKey) -> Result<(), ContentsError> {
        issuer.verify(self.signed, self.signature).map_err(|_| ContentsError::Signature)
    }
}

/// EF 0002 as a terminal reads it.
#[derive(Clone, Copy)]
pub struct FaceRecord<'a> {
    /// Birth date.
    pub birth: CardDate,
    /// Sex.
    pub sex: Sex,
    /// The card's own key.
    pub presence_key: PresenceKey<'a>,
    /// The pictures. The security code's is not under the signature.
    pub pictures: Pictures<'a>,
    /// Last day of the card. Not under the signature.
    pub expiry: CardDate,
    signed: [&'a [u8]; 3],
    signature: &'a [u8; RSA_OCTETS],
}

impl<'a> FaceRecord<'a> {
    /// Parses the file and checks its table of offsets.
    pub fn parse(file: &'a [u8]) -> Result<Self, RecordFileError> {
        let mut reader = RecordReader::open(file, 0xFF20)?;
        let table = reader.field(0xDF21)?.value;
        let (birth, birth_at) = reader.array::<8>(0xDF22)?;
        let sex = reader.field(0xDF23)?;
        let key = reader.field(0xDF24)?;
        let name = reader.field(0xDF25)?;
        let address = reader.field(0xDF26)?;
        let photo = reader.field(0xDF27)?;
        let (signature, signature_at) = reader.array(0xDF28)?;
        let (expiry, expiry_at) = reader.array::<8>(0xDF29)?;
        let code = reader.field(0xDF2A)?;
        check_offsets(table, &[birth_at, sex, key, name, address, photo, signature_at, expiry_at, code])?;
        let signed = [reader.span(birth_at, key), reader.span(name, address), reader.span(photo, photo)];
        reader.finish()?;
        Ok(Self {
            birth: date(birth)?,
            sex: Sex::parse(sex.value).map_err(|_| RecordFileError::Value)?,
            presence_key: PresenceKey::parse(key.value)?,
            pictures: Pictures {
                name: name.value,
                address: address.value,
                photo: photo.value,
                security_code: code.value,
            },
            expiry: date(expiry)?,
            signed,
            signature,
        })
    }

    /// Whether `issuer` signed the three groups.
    pub fn verify(&self, issuer: &CvcPublicKey) -> Result<(), ContentsError> {
        let info = digest_info(&self.signed.map(sha256));
        if rsa_key::pkcs1_raw_holds(issuer.modulus(), &info, self.signature) {
            Ok(())
        } else {
            Err(ContentsError::Signature)
        }
    }
}

fn date(octets: &[u8]) -> Result<CardDate, RecordFileError> {
    CardDate::parse(octets).map_err(|_| RecordFileError::Value)
}

/// EF 0003 as a terminal reads it: the part whose meaning is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaceInformation<'a> {
    /// DF31: version of the specification, extended lengths, vendor, vendor's own.
    pub identification: &'a [u8; 4],
    /// DF34: five digits of the municipality that issued the card.
    pub municipality: &'a [u8; 5],
}

impl<'a> FaceInformation<'a> {
    /// Parses the file.
    pub fn parse(file: &'a [u8]) -> Result<Self, RecordFileError> {
        let mut reader = RecordReader::open(file, 0xFF30)?;
        let (identification, _) = reader.array(0xDF31)?;
        reader.array::<16>(0xDF32)?;
        reader.array::<1>(0xDF33)?;
        let (municipality, _) = reader.array::<5>(0xDF34)?;
        reader.field(0xDF35)?;
        reader.finish()?;
        if !municipality.iter().all(u8::is_ascii_digit) {
            return Err(RecordFileError::Value);
        }
        Ok(Self { identification, municipality })
    }
}

macro_rules! shows_nothing {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

shows_nothing!(AgeRecord, NumberPicture, FaceRecord);

#[cfg(test)]
mod tests {
    use super::super::contents_issuer::SignedApplication;
    use super::super::contents_issuer::tests::{issuer, root};
    use super::*;
    use crate::cvc::CvcIssuer as _;

    const BIRTH: CardDate = CardDate::new(1985, 4, 1).unwrap();
    const EXPIRY: CardDate = CardDate::new(2036, 4, 1).unwrap();
    const PICTURES: Pictures<'static> = Pictures {
        name: &[0xA1; 169],
        address: &[0xA2; 340],
        photo: &[0xA3; 1854],
        security_code: &[0xA4; 106],
    };

    #[test]
    fn the_face_has_the_layout_that_cards_have() {
        let (root, key) = (root(), CardRsaKey::generate().unwrap());
        let issuer = issuer(&root, SignedApplication::CardFace);
        let file = face_record(BIRTH, Sex::Female, EXPIRY, PICTURES, &key, &issuer).unwrap();
        // With pictures of the lengths seen on a card of the test hierarchy, the header and the nine
        // offsets are that card's.
        assert_eq!(file.len(), 3070);
        assert_eq!(
            file[..26],
            [
                0xFF, 0x20, 0x82, 0x0B, 0xF9, 0xDF, 0x21, 0x12, 0x00, 0x1A, 0x00, 0x25, 0x00, 0x29, 0x01,
                0x37, 0x01, 0xE5, 0x03, 0x3E, 0x0A, 0x81, 0x0B, 0x86, 0x0B, 0x91
            ]
        );
        assert_eq!(file[0x137..0x13C], [0xDF, 0x25, 0x82, 0x00, 0xA9]);
        let read = FaceRecord::parse(&file).unwrap();
        assert_eq!((read.birth, read.sex, read.expiry), (BIRTH, Sex::Female, EXPIRY));
        assert_eq!(read.pictures.photo, PICTURES.photo);
        assert_eq!(read.pictures.security_code, PICTURES.security_code);
        assert_eq!(read.presence_key.modulus(), key.public_modulus());
        let issuer_key =
            super::super::contents_issuer::issuer_key(&issuer.certificate(), &root.public_key().unwrap())
                .unwrap();
        assert_eq!(read.verify(&issuer_key), Ok(()));
        assert_eq!(read.verify(&root.public_key().unwrap()), Err(ContentsError::Signature));
        let shown = format!("{read:?}{:?}", read.pictures);
        assert_eq!(shown, "FaceRecord(…)Pictures(…)");
    }

    /// What is signed is believed only as it was signed; what is not, is known not to be.
    #[test]
    fn every_bent_octet_of_the_face_is_seen_or_is_not_signed() {
        let (root, key) = (root(), CardRsaKey::generate().unwrap());
        let issuer = issuer(&root, SignedApplication::CardFace);
        let file = face_record(BIRTH, Sex::Female, EXPIRY, PICTURES, &key, &issuer).unwrap();
        let issuer_key = CvcPublicKey::of(root.issuer_reference(), issuer.private_key()).unwrap();
        let unsigned = 0xB86..file.len();
        for at in (0..file.len()).step_by(5).chain([0xB89, 0xB95]) {
            let mut bent = file.to_vec();
            bent[at] ^= 1;
            let good = FaceRecord::parse(&bent).is_ok_and(|read| read.verify(&issuer_key).is_ok());
            assert!(!good || unsigned.contains(&at), "octet {at:#X}");
        }
        for end in 0..file.len() {
            assert!(FaceRecord::parse(&file[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn age_record_and_number_picture() {
        let (root, key) = (root(), CardRsaKey::generate().unwrap());
        let issuer = issuer(&root, SignedApplication::CardFace);
        let issuer_key = CvcPublicKey::of(root.issuer_reference(), issuer.private_key()).unwrap();
        let file = age_record(BIRTH, &key, &issuer).unwrap();
        assert_eq!(file.len(), 547, "as on a card of the test hierarchy");
        assert_eq!(file[..16], *b"\xFF\x10\x82\x02\x1E\xDF\x11\x0819850401");
        let read = AgeRecord::parse(&file).unwrap();
        assert_eq!((read.birth, read.verify(&issuer_key)), (BIRTH, Ok(())));
        let mut bent = file.to_vec();
        bent[11] ^= 1;
        let bent = AgeRecord::parse(&bent).unwrap();
        assert_eq!(bent.verify(&issuer_key), Err(ContentsError::Signature));

        let file = number_picture(&[0xA5; 145], &key, &issuer).unwrap();
        assert_eq!(file.len(), 686, "as on a card of the test hierarchy");
        assert_eq!(file[..10], [0xFF, 0x40, 0x82, 0x02, 0xA9, 0xDF, 0x41, 0x82, 0x00, 0x91]);
        let read = NumberPicture::parse(&file).unwrap();
        assert_eq!((read.picture, read.verify(&issuer_key)), (&[0xA5; 145][..], Ok(())));
        // Records are not good for one another.
        assert_eq!(AgeRecord::parse(&file).err(), Some(RecordFileError::Tag));
        assert_eq!(FaceRecord::parse(&file).err(), Some(RecordFileError::Tag));
    }

    #[test]
    fn the_information_file_names_the_municipality() {
        let key = KeyReference::numbered(7_000_024, 1).unwrap();
        let file = information(b"99001", &key).unwrap();
        assert_eq!(file.len(), 320, "as on a card of the test hierarchy");
        let read = FaceInformation::parse(&file).unwrap();
        assert_eq!((read.municipality, read.identification), (b"99001", &[6, 3, 0, 0]));
        for end in 0..file.len() {
            assert!(FaceInformation::parse(&file[..end]).is_err());
        }
    }
}
