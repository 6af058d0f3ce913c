//! Signing with a PIN or password: the way that needs no institution (tools, and the PIN path of a
//! reception desk).

use super::{DialogueError, Exchange, Step, jpki_selected, select_jpki, sign_digest_command};
use crate::apdu::{CommandBuilder, StatusWord};
use crate::my_number_card::{AuthPin, SignPassword};
use crate::rsa_key::RSA_OCTETS;

const PRESENT: Step = Step::card("verify PIN or password");
const SIGN: Step = Step::card("sign digest");

/// Which key signs, and the secret that opens it.
#[derive(Clone, Debug)]
pub enum PinProtected {
    /// The card-holder authentication key.
    CardHolderAuth(AuthPin),
    /// The document signature key.
    DocumentSignature(SignPassword),
}

impl PinProtected {
    /// Short references of key and secret.
    const fn references(&self) -> (u8, u8) {
        match self {
            Self::CardHolderAuth(_) => (0x17, 0x18),
            Self::DocumentSignature(_) => (0x1A, 0x1B),
        }
    }

    /// VERIFY with a short reference, ISO/IEC 7816-4:2020 §11.5.6.
    pub(super) fn verify_command(&self) -> Result<Vec<u8>, DialogueError> {
        let secret = match self {
            Self::CardHolderAuth(pin) => pin.octets(),
            Self::DocumentSignature(password) => password.octets(),
        };
        Ok(CommandBuilder::new(0x00, 0x20, 0x00, 0x80 | self.references().1).data(secret).encode()?)
    }
}

/// What VERIFY answered.
pub(super) fn verified(step: Step, response: &[u8]) -> Result<(), DialogueError> {
    let status_word = step.response(response)?.status;
    match (status_word.as_tries_left(), status_word) {
        (Some(0), _) | (_, StatusWord::BLOCKED) => Err(DialogueError::SecretBlocked),
        (Some(tries_left), _) => Err(DialogueError::SecretWrong { tries_left }),
        _ => step.done(response),
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, PinSign),
    /// PKCS#1 v1.5 SHA-256 signature, 256 octets.
    Done(Vec<u8>),
}

#[derive(Debug)]
enum State {
    Selecting,
    Presenting,
    Signing,
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct PinSign {
    state: State,
    with: PinProtected,
    sha256: [u8; 32],
}

impl PinSign {
    /// Begins: signs a message whose SHA-256 is given.
    pub fn start(with: PinProtected, sha256: [u8; 32]) -> (Exchange, Self) {
        (select_jpki(), Self { state: State::Selecting, with, sha256 })
    }

    /// Takes the response to the last exchange.
    pub fn step(self, response: &[u8]) -> Result<Progress, DialogueError> {
        match self.state {
            State::Selecting => {
                jpki_selected(response)?;
                let exchange = PRESENT.exchange(self.with.verify_command()?);
                Ok(Progress::Send(exchange, Self { state: State::Presenting, ..self }))
            }
            State::Presenting => {
                verified(PRESENT, response)?;
                let command = sign_digest_command(self.with.references().0, &self.sha256)?;
                Ok(Progress::Send(SIGN.exchange(command), Self { state: State::Signing, ..self }))
            }
            State::Signing => {
                let signature: [u8; RSA_OCTETS] = SIGN.exactly(SIGN.data(response)?)?;
                Ok(Progress::Done(signature.to_vec()))
            }
        }
    }
}
