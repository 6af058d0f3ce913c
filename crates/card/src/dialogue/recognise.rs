//! Which card lies there: so that a wrong one is named and not just refused.

use super::{DialogueError, Exchange, SELECT_JPKI, Step, select_application, select_jpki};
use crate::apdu::StatusWord;
use crate::hpki_card::HPKI_AID_PART;

/// The application of the Basic Resident Register.
const RESIDENT_REGISTER_AID: [u8; 10] = [0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x01];

const SELECT_HPKI: Step = Step::card("select HPKI application");
const SELECT_RESIDENT_REGISTER: Step = Step::card("select resident register application");

/// The kind of the card on the reader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecognisedCard {
    /// It has a JPKI application.
    #[doc(alias = "マイナンバーカード")]
    MyNumberCard,
    /// A health professional's card.
    #[doc(alias = "HPKIカード")]
    HpkiCard,
    /// A Basic Resident Register card without JPKI application.
    #[doc(alias = "住基カード")]
    ResidentRegisterCard,
    /// Some other smart card.
    Unknown,
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, Recognise),
    /// It is this kind.
    Done(RecognisedCard),
}

#[derive(Debug)]
enum State {
    Jpki,
    /// The first command was answered 6F00.
    JpkiAgain,
    Hpki,
    ResidentRegister,
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct Recognise(State);

impl Recognise {
    /// Begins. No key and no PIN of the card is touched.
    ///
    /// Real cards were seen to answer the first command after power-up with 6F00, whatever it was: that
    /// one is asked again, once.
    pub fn start() -> (Exchange, Self) {
        (select_jpki(), Self(State::Jpki))
    }

    /// Takes the response to the last exchange. Any refusing status word means "not this kind".
    pub fn step(self, response: &[u8]) -> Result<Progress, DialogueError> {
        let (step, kind) = match self.0 {
            State::Jpki | State::JpkiAgain => (SELECT_JPKI, RecognisedCard::MyNumberCard),
            State::Hpki => (SELECT_HPKI, RecognisedCard::HpkiCard),
            State::ResidentRegister => (SELECT_RESIDENT_REGISTER, RecognisedCard::ResidentRegisterCard),
        };
        match (step.response(response)?.status, &self.0) {
            (StatusWord::OK, _) => return Ok(Progress::Done(kind)),
            (StatusWord::INTERNAL, State::Jpki) => {
                return Ok(Progress::Send(select_jpki(), Self(State::JpkiAgain)));
            }
            _ => {}
        }
        Ok(match self.0 {
            State::Jpki | State::JpkiAgain => {
                Progress::Send(SELECT_HPKI.exchange(select_application(&HPKI_AID_PART)), Self(State::Hpki))
            }
            State::Hpki => Progress::Send(
                SELECT_RESIDENT_REGISTER.exchange(select_application(&RESIDENT_REGISTER_AID)),
                Self(State::ResidentRegister),
            ),
            State::ResidentRegister => Progress::Done(RecognisedCard::Unknown),
        })
    }
}
