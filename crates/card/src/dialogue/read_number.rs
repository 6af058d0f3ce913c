//! Reading the holder's number from the text input application: on its own, because few may.
//!
//! With the PIN the number and its digest travel under a session key, so that whoever listens at the
//! antenna learns the PIN but not the number. With reference number A there is nothing to hide: it is the
//! number, and it is presented in the clear, for the card agrees on a session key behind the PIN alone.

use super::card_reading::{self, Action, CardReading, ReadFiles};
use super::read_attributes::genuine;
use super::{DialogueError, Exchange};
use crate::cvc::CvcPublicKey;
use crate::my_number_card::contents_issuer::ContentsError;
use crate::my_number_card::printed::ReferenceA;
use crate::my_number_card::text_input::{
    self, CERTIFICATE, INTEGRITY, NUMBER, SESSION_PUBLIC_KEY, SIGNED_PRESENCE_KEY, TEXT_INPUT_AID,
    TextInputPin, parse_number,
};
use protocol::entropy::Entropy;
use std::fmt;
use zeroize::Zeroizing;

/// What opens the number.
#[derive(Clone, Debug)]
pub enum NumberSecret {
    /// The holder's PIN.
    Pin(TextInputPin),
    /// The number itself, from the back of the card: reading it then says that it is this card's.
    ReferenceA(ReferenceA),
}

/// The number as the card gave it, and what is needed to believe it. Wiped when dropped.
pub struct NumberOnCard(ReadFiles);

impl fmt::Debug for NumberOnCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NumberOnCard(…)")
    }
}

impl NumberOnCard {
    /// What the card says, whoever it may be.
    pub fn unverified(&self) -> Result<ReferenceA, ContentsError> {
        parse_number(self.0.file(NUMBER))
    }

    /// The number, signed by an issuer under `root` and read from the card that it was signed for.
    pub fn verified(&self, root: &CvcPublicKey) -> Result<ReferenceA, ContentsError> {
        genuine(&self.0, root)?.vouches_for_number(self.0.file(NUMBER))?;
        self.unverified()
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, ReadNumber),
    /// What was read.
    Done(NumberOnCard),
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct ReadNumber(CardReading);

impl ReadNumber {
    /// Begins. Challenge and session key come from `entropy`.
    pub fn start(secret: &NumberSecret, entropy: &mut dyn Entropy) -> (Exchange, Self) {
        let to_do = match secret {
            NumberSecret::Pin(pin) => vec![
                Action::Present(text_input::PIN, Zeroizing::new(pin.octets().to_vec())),
                Action::Read(CERTIFICATE),
                Action::Read(SIGNED_PRESENCE_KEY),
                Action::Read(SESSION_PUBLIC_KEY),
                Action::HandOver(SESSION_PUBLIC_KEY),
                Action::ReadProtected(NUMBER),
                // Twelve digits can be found from their digest by trying.
                Action::ReadProtected(INTEGRITY),
                Action::Sign,
            ],
            NumberSecret::ReferenceA(a) => vec![
                Action::Present(text_input::REFERENCE_A, Zeroizing::new(a.octets().to_vec())),
                Action::Read(CERTIFICATE),
                Action::Read(SIGNED_PRESENCE_KEY),
                Action::Read(NUMBER),
                Action::Read(INTEGRITY),
                Action::Sign,
            ],
        };
        let (exchange, reading) = CardReading::start(&TEXT_INPUT_AID, to_do, entropy);
        (exchange, Self(reading))
    }

    /// Takes the response to the last exchange.
    pub fn step(self, response: &[u8]) -> Result<Progress, DialogueError> {
        Ok(match self.0.step(response)? {
            card_reading::Progress::Send(exchange, reading) => Progress::Send(exchange, Self(reading)),
            card_reading::Progress::Done(read) => Progress::Done(NumberOnCard(read)),
        })
    }
}
