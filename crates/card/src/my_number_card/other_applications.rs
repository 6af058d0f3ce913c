//! The contents of the four other applications for one holder: everything that a reader of the card can
//! see, from the few facts that are printed on it.

use super::card_face::{self, Pictures};
use super::common_data::{CardData, key_reference_record};
use super::contents_issuer::{ContentsError, ContentsIssuer};
use super::digit_picture;
use super::printed::{BirthCode, CardDate, ReferenceA, ReferenceB, SecurityCode};
use super::record_file::RecordFileError;
use super::resident_register::ResidentRecordCode;
use super::text_input::{self, AttributesText, TextInputPin};
use crate::image::{Contents, join_records};
use crate::rsa_key::CardRsaKey;
use std::fmt;

/// The pictures that somebody has to draw; those of digits are made here.
#[derive(Clone, Copy)]
pub struct HolderPictures<'a> {
    /// Name as printed: PNG. `None` puts a hatched frame there.
    pub name: Option<&'a [u8]>,
    /// Address as printed: PNG. `None` puts a hatched frame there.
    pub address: Option<&'a [u8]>,
    /// Photo: JPEG 2000.
    pub photo: &'a [u8],
}

/// Width of a drawn name on a card, in points.
const NAME_WIDTH: u32 = 216;
/// Width of a drawn address on a card, in points.
const ADDRESS_WIDTH: u32 = 288;

/// The card's own keys beside those of the JPKI application. Whether a real card shares `session` and
/// `internal_authenticate` with others of its batch is not public.
#[derive(Clone, Copy, Debug)]
pub struct ApplicationKeys<'a> {
    /// Presence key of the card face application.
    pub card_face: &'a CardRsaKey,
    /// Presence key of the text input application.
    pub text_input: &'a CardRsaKey,
    /// Takes session keys in the text input application.
    pub session: &'a CardRsaKey,
    /// Answers INTERNAL AUTHENTICATE in the common application.
    pub internal_authenticate: &'a CardRsaKey,
}

/// The three PINs of four digits that are not JPKI's. Municipal counters set them to the same value.
#[derive(Clone, Debug)]
pub struct ApplicationPins {
    /// Text input application.
    pub text_input: TextInputPin,
    /// Resident register application.
    pub resident_register: TextInputPin,
    /// Common application.
    pub common: TextInputPin,
}

/// Who signs what is on the card.
#[derive(Clone, Copy, Debug)]
pub struct ContentsIssuers<'a> {
    /// For the card face application.
    pub card_face: &'a ContentsIssuer,
    /// For the text input application.
    pub text_input: &'a ContentsIssuer,
}

/// One holder's card, as far as it is not JPKI's.
pub struct OtherApplications<'a> {
    /// Name, address, birth date, sex.
    pub holder: AttributesText<'a>,
    /// The number on the back.
    pub number: &'a ReferenceA,
    /// The four digits beside the last day.
    pub security_code: &'a SecurityCode,
    /// Serial number of the card, municipality, last day.
    pub card_data: &'a CardData,
    /// The resident register's code.
    pub resident_record_code: &'a ResidentRecordCode,
    /// Pictures.
    pub pictures: HolderPictures<'a>,
    /// Keys.
    pub keys: ApplicationKeys<'a>,
    /// PINs.
    pub pins: &'a ApplicationPins,
    /// Signatures.
    pub issuers: ContentsIssuers<'a>,
}

impl fmt::Debug for OtherApplications<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtherApplications(…)")
    }
}

impl OtherApplications<'_> {
    /// Fills the slots of the four applications' layouts.
    pub fn fill(&self, contents: &mut Contents) -> Result<(), ContentsError> {
        let reference_b = ReferenceB::of(self.holder.birth, self.card_data.expiry, self.security_code)?;
        self.fill_card_face(contents, &reference_b)?;
        self.fill_text_input(contents, &reference_b)?;
        // Which key it names is not known; here the one that certified the issuer of the text input.
        let reference = key_reference_record(&self.issuers.text_input.root_reference());
        let one = |record: &[u8]| join_records([record]).ok_or(RecordFileError::Length);
        contents.fill("register.key_reference", one(&reference)?);
        contents.fill("register.code", one(&self.resident_record_code.encode())?);
        contents.fill("register.pin", self.pins.resident_register.octets());
        contents.fill("common.key_reference", one(&reference)?);
        contents.fill("common.card_data", one(&self.card_data.encode())?);
        contents.fill("common.key", self.keys.internal_authenticate.pkcs8_der()?.as_slice());
        contents.fill("common.pin", self.pins.common.octets());
        self.fill_master_file(contents);
        Ok(())
    }

    /// What the card tells before an application is selected. Which key 42 names is not known, and
    /// whether the number in 45 is that of the common application neither: here they are.
    fn fill_master_file(&self, contents: &mut Contents) {
        let CardData { serial, municipality, expiry } = self.card_data;
        let issuer = self.issuers.text_input;
        contents.fill("card.issuer", issuer.root_reference().as_bytes().as_slice());
        contents.fill("card.number", serial.as_slice());
        contents.fill("card.municipality", municipality.as_slice());
        contents.fill("card.expiry", expiry.digits().as_bytes());
        contents.fill("card.certificate", issuer.certificate());
    }

    fn expiry(&self) -> CardDate {
        self.card_data.expiry
    }

    fn fill_card_face(&self, contents: &mut Contents, b: &ReferenceB) -> Result<(), ContentsError> {
        let (key, issuer) = (self.keys.card_face, self.issuers.card_face);
        let code = digit_picture::digits(self.security_code.octets());
        let number = digit_picture::digits(self.number.octets());
        let (name, address);
        let pictures = Pictures {
            name: match self.pictures.name {
                Some(drawn) => drawn,
                None => {
                    name = digit_picture::hatched(NAME_WIDTH);
                    &name
                }
            },
            address: match self.pictures.address {
                Some(drawn) => drawn,
                None => {
                    address = digit_picture::hatched(ADDRESS_WIDTH);
                    &address
                }
            },
            photo: self.pictures.photo,
            security_code: &code,
        };
        let AttributesText { birth, sex, .. } = self.holder;
        let face = card_face::face_record(birth, sex, self.expiry(), pictures, key, issuer)?;
        contents.fill("face.face", face.as_slice());
        contents.fill("face.age", card_face::age_record(birth, key, issuer)?.as_slice());
        contents.fill("face.number_picture", card_face::number_picture(&number, key, issuer)?.as_slice());
        let information = card_face::information(&self.card_data.municipality, &issuer.root_reference())?;
        contents.fill("face.information", information);
        contents.fill("face.certificate", issuer.certificate());
        contents.fill("face.birth_code", BirthCode::of(birth)?.octets().as_slice());
        contents.fill("face.reference_b", b.octets().as_slice());
        contents.fill("face.reference_a", self.number.octets().as_slice());
        contents.fill("face.key", key.pkcs8_der()?.as_slice());
        Ok(())
    }

    fn fill_text_input(&self, contents: &mut Contents, b: &ReferenceB) -> Result<(), ContentsError> {
        let (key, issuer) = (self.keys.text_input, self.issuers.text_input);
        let number = text_input::number_file(self.number)?;
        let attributes = text_input::attributes_file(self.holder)?;
        let integrity = text_input::integrity_file(&number, &attributes, issuer)?;
        contents.fill("text.number", number.as_slice());
        contents.fill("text.attributes", attributes.as_slice());
        contents.fill("text.integrity", integrity.as_slice());
        contents.fill("text.certificate", issuer.certificate());
        contents.fill("text.information", text_input::information(&issuer.root_reference())?);
        contents.fill("text.session_public_key", text_input::session_public_key(self.keys.session)?);
        let signed = text_input::signed_presence_key(key, issuer)?;
        contents.fill("text.signed_presence_key", signed.as_slice());
        contents.fill("text.pin", self.pins.text_input.octets());
        contents.fill("text.reference_a", self.number.octets().as_slice());
        contents.fill("text.reference_b", b.octets().as_slice());
        contents.fill("text.key", key.pkcs8_der()?.as_slice());
        contents.fill("text.session_key", self.keys.session.pkcs8_der()?.as_slice());
        Ok(())
    }
}
