//! Hands the Secure Element newer certificates of profile `eac`: they live for days, the Secure Element for
//! years.

use super::{DialogueError, Exchange, Step};
use crate::apdu::{CommandBuilder, StatusWord};
use crate::eac::cvc::TerminalChain;
use crate::secure_element::SECURE_ELEMENT_AID;
use crate::secure_element::image::fid;

const SELECT: Step = Step::secure_element("select Secure Element");
const PUT: Step = Step::secure_element("renew institution's certificates");

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Renewal {
    /// The Secure Element shows these certificates from now on.
    Taken,
    /// It has these already, or newer ones.
    NotNewer,
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, CertificateRenewal),
    /// Done.
    Done(Renewal),
}

#[derive(Debug)]
enum State {
    Selecting(Box<TerminalChain>),
    Putting,
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct CertificateRenewal(State);

impl CertificateRenewal {
    /// Begins.
    pub fn start(chain: TerminalChain) -> Result<(Exchange, Self), DialogueError> {
        let builder = CommandBuilder::new(0x00, 0xA4, 0x04, 0x0C).data(&SECURE_ELEMENT_AID);
        Ok((SELECT.exchange(builder.encode()?), Self(State::Selecting(Box::new(chain)))))
    }

    /// Takes the response to the last exchange. A chain for another key, under another root or of the
    /// past is the Secure Element's refusal: [`DialogueError::SecureElementRefused`] with 6300.
    pub fn step(self, response: &[u8]) -> Result<Progress, DialogueError> {
        match self.0 {
            State::Selecting(chain) => {
                SELECT.done(response)?;
                let [p1, p2] = fid::EAC_CHAIN.to_be_bytes();
                let command = CommandBuilder::new(0x80, 0xDA, p1, p2).data(&chain.encode()).encode()?;
                Ok(Progress::Send(PUT.exchange(command), Self(State::Putting)))
            }
            State::Putting => match PUT.done(response) {
                Ok(()) => Ok(Progress::Done(Renewal::Taken)),
                Err(DialogueError::SecureElementRefused { status_word: StatusWord::CONDITIONS, .. }) => {
                    Ok(Progress::Done(Renewal::NotNewer))
                }
                Err(error) => Err(error),
            },
        }
    }
}
