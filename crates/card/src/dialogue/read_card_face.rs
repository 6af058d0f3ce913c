//! Reading what is printed on the card from its chip, with the proof that it was printed so: report, card
//! table, "store the card face image for tamper detection".

use super::card_reading::{self, Action, CardReading, ReadFiles};
use super::{DialogueError, Exchange};
use crate::cvc::CvcPublicKey;
use crate::my_number_card::card_face::{
    self, AGE_RECORD, AgeRecord, CARD_FACE_AID, CERTIFICATE, FACE_RECORD, FaceRecord, NUMBER_PICTURE,
    NumberPicture,
};
use crate::my_number_card::contents_issuer::{ContentsError, issuer_key};
use crate::my_number_card::printed::{BirthCode, ReferenceA, ReferenceB};
use protocol::entropy::Entropy;
use std::fmt;
use zeroize::Zeroizing;

/// Which record is wanted, with the least that opens it. The more a terminal knows, the more it gets.
#[derive(Clone, Debug)]
pub enum FaceRequest {
    /// The age record, with the birth date.
    Age(BirthCode),
    /// The card face, with what is printed on the front.
    FaceWithB(ReferenceB),
    /// The card face, with what is printed on the back.
    FaceWithA(ReferenceA),
    /// The picture of the number, with the number.
    NumberPicture(ReferenceA),
}

impl FaceRequest {
    fn actions(&self) -> (Action, u16) {
        let present = |reference, octets: &[u8]| Action::Present(reference, Zeroizing::new(octets.to_vec()));
        match self {
            Self::Age(code) => (present(card_face::BIRTH_CODE, code.octets()), AGE_RECORD),
            Self::FaceWithB(b) => (present(card_face::REFERENCE_B, b.octets()), FACE_RECORD),
            Self::FaceWithA(a) => (present(card_face::REFERENCE_A, a.octets()), FACE_RECORD),
            Self::NumberPicture(a) => (present(card_face::REFERENCE_A, a.octets()), NUMBER_PICTURE),
        }
    }
}

/// One of the three records.
#[derive(Clone, Copy, Debug)]
pub enum CardFaceRecord<'a> {
    /// EF 0001.
    Age(AgeRecord<'a>),
    /// EF 0002.
    Face(FaceRecord<'a>),
    /// EF 0005.
    NumberPicture(NumberPicture<'a>),
}

/// A record as the card gave it, and what is needed to believe it.
pub struct RecordOnCard {
    fid: u16,
    read: ReadFiles,
}

impl fmt::Debug for RecordOnCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordOnCard(…)")
    }
}

impl RecordOnCard {
    /// What the card says, whoever it may be.
    pub fn unverified(&self) -> Result<CardFaceRecord<'_>, ContentsError> {
        let file = self.read.file(self.fid);
        Ok(match self.fid {
            AGE_RECORD => CardFaceRecord::Age(AgeRecord::parse(file)?),
            FACE_RECORD => CardFaceRecord::Face(FaceRecord::parse(file)?),
            _ => CardFaceRecord::NumberPicture(NumberPicture::parse(file)?),
        })
    }

    /// The record, signed by an issuer under `root` and read from the card that it was signed for. Of a
    /// card face the last day and the security code are not under the signature.
    pub fn verified(&self, root: &CvcPublicKey) -> Result<CardFaceRecord<'_>, ContentsError> {
        let issuer = issuer_key(self.read.file(CERTIFICATE), root)?;
        let record = self.unverified()?;
        let presence_key = match &record {
            CardFaceRecord::Age(age) => age.verify(&issuer).map(|()| age.presence_key),
            CardFaceRecord::Face(face) => face.verify(&issuer).map(|()| face.presence_key),
            CardFaceRecord::NumberPicture(picture) => picture.verify(&issuer).map(|()| picture.presence_key),
        }?;
        let signature = self.read.signature.as_ref().ok_or(ContentsError::Incomplete)?;
        presence_key.verify_presence(&self.read.challenge, signature)?;
        Ok(record)
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, ReadCardFace),
    /// What was read.
    Done(RecordOnCard),
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct ReadCardFace {
    fid: u16,
    reading: CardReading,
}

impl ReadCardFace {
    /// Begins.
    pub fn start(request: &FaceRequest, entropy: &mut dyn Entropy) -> (Exchange, Self) {
        let (present, fid) = request.actions();
        let to_do = [present, Action::Read(fid), Action::Read(CERTIFICATE), Action::Sign];
        let (exchange, reading) = CardReading::start(&CARD_FACE_AID, to_do, entropy);
        (exchange, Self { fid, reading })
    }

    /// Takes the response to the last exchange.
    pub fn step(self, response: &[u8]) -> Result<Progress, DialogueError> {
        let fid = self.fid;
        Ok(match self.reading.step(response)? {
            card_reading::Progress::Send(exchange, reading) => {
                Progress::Send(exchange, Self { fid, reading })
            }
            card_reading::Progress::Done(read) => Progress::Done(RecordOnCard { fid, read }),
        })
    }
}
