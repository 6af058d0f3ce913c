//! Reading the four attributes (基本4情報) from the text input application, with the proof that they are
//! true and that the card lies here.
//!
//! The number is not read here. Who wants it asks for it by name: [`super::read_number`].

use super::card_reading::{self, Action, CardReading, ReadFiles};
use super::{DialogueError, Exchange};
use crate::cvc::CvcPublicKey;
use crate::my_number_card::contents_issuer::{ContentsError, issuer_key};
use crate::my_number_card::printed::ReferenceB;
use crate::my_number_card::text_input::{
    self, ATTRIBUTES, AttributesFile, CERTIFICATE, INTEGRITY, IntegrityFile, SIGNED_PRESENCE_KEY,
    SignedPresenceKey, TEXT_INPUT_AID, TextInputPin,
};
use protocol::entropy::Entropy;
use std::fmt;
use zeroize::Zeroizing;

/// What opens the attributes.
#[derive(Clone, Debug)]
pub enum AttributesSecret {
    /// The holder's PIN.
    Pin(TextInputPin),
    /// What is printed on the front.
    ReferenceB(ReferenceB),
}

impl AttributesSecret {
    fn present(&self) -> Action {
        match self {
            Self::Pin(pin) => Action::Present(text_input::PIN, Zeroizing::new(pin.octets().to_vec())),
            Self::ReferenceB(b) => {
                Action::Present(text_input::REFERENCE_B, Zeroizing::new(b.octets().to_vec()))
            }
        }
    }
}

/// The attributes as the card gave them, and what is needed to believe them.
pub struct AttributesOnCard(ReadFiles);

impl fmt::Debug for AttributesOnCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttributesOnCard(…)")
    }
}

impl AttributesOnCard {
    /// What the card says, whoever it may be.
    pub fn unverified(&self) -> Result<AttributesFile<'_>, ContentsError> {
        Ok(AttributesFile::parse(self.0.file(ATTRIBUTES))?)
    }

    /// The attributes, signed by an issuer under `root` and read from the card that they were signed for.
    pub fn verified(&self, root: &CvcPublicKey) -> Result<AttributesFile<'_>, ContentsError> {
        let integrity = genuine(&self.0, root)?;
        integrity.vouches_for_attributes(self.0.file(ATTRIBUTES))?;
        self.unverified()
    }
}

/// The digests that an issuer under `root` signed, from a card that answered with the key which the same
/// issuer signed.
pub(super) fn genuine<'a>(
    read: &'a ReadFiles,
    root: &CvcPublicKey,
) -> Result<IntegrityFile<'a>, ContentsError> {
    let issuer = issuer_key(read.file(CERTIFICATE), root)?;
    let integrity = IntegrityFile::parse(read.file(INTEGRITY))?;
    integrity.verify(&issuer)?;
    let signed = SignedPresenceKey::parse(read.file(SIGNED_PRESENCE_KEY))?;
    signed.verify(&issuer)?;
    let signature = read.signature.as_ref().ok_or(ContentsError::Incomplete)?;
    signed.presence_key.verify_presence(&read.challenge, signature)?;
    Ok(integrity)
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, ReadAttributes),
    /// What was read.
    Done(AttributesOnCard),
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct ReadAttributes(CardReading);

impl ReadAttributes {
    /// Begins.
    pub fn start(secret: &AttributesSecret, entropy: &mut dyn Entropy) -> (Exchange, Self) {
        let files = [ATTRIBUTES, INTEGRITY, CERTIFICATE, SIGNED_PRESENCE_KEY].map(Action::Read);
        let to_do = [secret.present()].into_iter().chain(files).chain([Action::Sign]);
        let (exchange, reading) = CardReading::start(&TEXT_INPUT_AID, to_do, entropy);
        (exchange, Self(reading))
    }

    /// Takes the response to the last exchange.
    pub fn step(self, response: &[u8]) -> Result<Progress, DialogueError> {
        Ok(match self.0.step(response)? {
            card_reading::Progress::Send(exchange, reading) => Progress::Send(exchange, Self(reading)),
            card_reading::Progress::Done(read) => Progress::Done(AttributesOnCard(read)),
        })
    }
}
