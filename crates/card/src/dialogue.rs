//! The terminal's side of every card dialogue, as state machines that consume themselves.
//!
//! A dialogue gives an [`Exchange`]; the caller carries its command to the named party and brings the
//! response back with `step`. No I/O, no callbacks, no clock: what moves the bytes (PC/SC, the
//! in-process loop, a relay over the network) is the caller's business, and so is timing each step.
//!
//! | module | does | ends with |
//! |---|---|---|
//! | [`institution_auth`] | one touch: carries bytes between card and Secure Element | sealed evidence |
//! | [`power_on`] | arms the Secure Element with the platform's policy | what was armed |
//! | [`certificate_renewal`] | hands it newer certificates | whether it took them |
//! | [`physician_unlock`] | arms it with a physician's signature while the network is down | – |
//! | [`recognise`] | says which card lies there | its kind |
//! | [`card_status`] | asks what a card says about itself | functions and tries left |
//! | [`read_certificates`] | reads certificate files | their bytes |
//! | [`read_attributes`] | reads the four attributes with the proof that they are true | their file |
//! | [`read_number`] | reads the holder's number, and nothing else | the number |
//! | [`read_card_face`] | reads what is printed on the card with the proof that it was printed so | a record |
//! | [`hpki_sign`] | signs with a health professional's card | a signature and its certificate |
//! | [`pin_sign`] | presents a PIN or password and signs | a signature |

mod card_reading;
pub mod card_status;
pub mod certificate_renewal;
pub(crate) mod der_file;
pub mod hpki_sign;
pub mod institution_auth;
pub mod physician_unlock;
pub mod pin_sign;
pub mod power_on;
pub mod read_attributes;
pub mod read_card_face;
pub mod read_certificates;
pub mod read_number;
pub mod recognise;

use crate::apdu::{ApduError, CommandBuilder, ResponseApdu, StatusWord};
use crate::my_number_card::jpki::JPKI_AID;
use std::fmt;

/// To whom a command goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Party {
    /// The card on the reader.
    Card,
    /// The terminal's Secure Element.
    SecureElement,
}

/// One command on its way.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What happens here, in plain English: for ladders, logs and errors.
    pub step: &'static str,
    /// To whom the command goes.
    pub to: Party,
    /// The command APDU.
    pub command: Vec<u8>,
}

impl fmt::Debug for Exchange {
    /// Step, header and length: the data may be a PIN.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({} -> {:?}: ", self.step, self.to)?;
        for octet in self.command.iter().take(4) {
            write!(f, "{octet:02X}")?;
        }
        write!(f, ", {} octets)", self.command.len())
    }
}

/// In what way a party broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Misbehaviour {
    /// A response without a status word: power lost, or cut off.
    NoStatusWord,
    /// Data of a length that this step cannot have.
    Length,
    /// Data that is not what this step answers.
    Malformed,
    /// A signature that does not verify under the key it has to be from.
    Signature,
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoStatusWord => "no status word",
            Self::Length => "data of a wrong length",
            Self::Malformed => "malformed data",
            Self::Signature => "a signature that does not verify",
        })
    }
}

/// Why a dialogue ended without a result. Names the culprit and the step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DialogueError {
    /// The card broke the protocol, or was taken away.
    #[error("the card misbehaved at \"{step}\": {what}")]
    CardMisbehaved {
        /// Where.
        step: &'static str,
        /// How.
        what: Misbehaviour,
    },
    /// The card answered with a status word that refuses.
    #[error("the card refused \"{step}\": {status_word}")]
    CardRefused {
        /// Where.
        step: &'static str,
        /// With which words.
        status_word: StatusWord,
    },
    /// The Secure Element broke the protocol.
    #[error("the Secure Element misbehaved at \"{step}\": {what}")]
    SecureElementMisbehaved {
        /// Where.
        step: &'static str,
        /// How.
        what: Misbehaviour,
    },
    /// The Secure Element answered with a status word that refuses.
    #[error("the Secure Element refused \"{step}\": {status_word}")]
    SecureElementRefused {
        /// Where.
        step: &'static str,
        /// With which words.
        status_word: StatusWord,
    },
    /// The platform's unlock policy is not one.
    #[error("the platform's unlock policy cannot be used")]
    PlatformPolicy,
    /// The card has no JPKI application.
    #[error("this is not a My Number Card")]
    WrongCard,
    /// The card has no such HPKI application.
    #[error("this is not an HPKI card")]
    NotAnHpkiCard,
    /// The Secure Element has counted this card's touches of today, and there are none left.
    #[error("this card has had its touches at this terminal for today")]
    TouchesUsedUp,
    /// The card knows none of the profiles that the platform allows.
    #[error("the card knows no profile that the platform allows")]
    ProfileNotAllowed,
    /// The card's batch is not one of a card issuer known to the Secure Element.
    #[error("the card's batch certificate is not from the card issuer")]
    NotGenuine,
    /// The card does not have the key of its batch: a copy of somebody's files.
    #[error("the card did not prove the key of its batch")]
    NotProved,
    /// Protected traffic between Secure Element and card was lost, changed, repeated or ended.
    #[error("the protected traffic with the card broke at \"{step}\": {status_word}")]
    ChannelBroken {
        /// Where.
        step: &'static str,
        /// What the card said in the clear; 0000 where it said nothing of the kind.
        status_word: StatusWord,
    },
    /// The institution's certificates in the Secure Element have expired, or do not allow this.
    #[error("the institution's certificates have expired, or do not allow this")]
    CertificatesUnusable,
    /// Wrong PIN or password.
    #[error("wrong PIN or password, {tries_left} tries left")]
    SecretWrong {
        /// Tries until it blocks.
        tries_left: u8,
    },
    /// The PIN or password is blocked.
    #[error("the PIN or password is blocked")]
    SecretBlocked,
    /// The caller gave more than an APDU holds.
    #[error("an input that does not fit into an APDU")]
    Input(#[from] ApduError),
}

/// A step of a dialogue: its name and who answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) to: Party,
}

impl Step {
    pub(crate) const fn card(name: &'static str) -> Self {
        Self { name, to: Party::Card }
    }

    pub(crate) const fn secure_element(name: &'static str) -> Self {
        Self { name, to: Party::SecureElement }
    }

    pub(crate) const fn exchange(self, command: Vec<u8>) -> Exchange {
        Exchange { step: self.name, to: self.to, command }
    }

    pub(crate) const fn misbehaved(self, what: Misbehaviour) -> DialogueError {
        let step = self.name;
        match self.to {
            Party::Card => DialogueError::CardMisbehaved { step, what },
            Party::SecureElement => DialogueError::SecureElementMisbehaved { step, what },
        }
    }

    pub(crate) const fn refused(self, status_word: StatusWord) -> DialogueError {
        let step = self.name;
        match self.to {
            Party::Card => DialogueError::CardRefused { step, status_word },
            Party::SecureElement => DialogueError::SecureElementRefused { step, status_word },
        }
    }

    /// Splits the response, whatever its status word.
    pub(crate) fn response(self, response: &[u8]) -> Result<ResponseApdu<'_>, DialogueError> {
        ResponseApdu::parse(response).map_err(|_| self.misbehaved(Misbehaviour::NoStatusWord))
    }

    /// The data of a 9000.
    pub(crate) fn data(self, response: &[u8]) -> Result<&[u8], DialogueError> {
        let response = self.response(response)?;
        if response.status == StatusWord::OK { Ok(response.data) } else { Err(self.refused(response.status)) }
    }

    /// A 9000 without data.
    pub(crate) fn done(self, response: &[u8]) -> Result<(), DialogueError> {
        self.nothing(self.data(response)?)
    }

    /// There must be no data.
    pub(crate) const fn nothing(self, data: &[u8]) -> Result<(), DialogueError> {
        if data.is_empty() { Ok(()) } else { Err(self.misbehaved(Misbehaviour::Length)) }
    }

    /// There must be exactly `N` octets.
    pub(crate) fn exactly<const N: usize>(self, data: &[u8]) -> Result<[u8; N], DialogueError> {
        data.try_into().map_err(|_| self.misbehaved(Misbehaviour::Length))
    }
}

pub(crate) const SELECT_JPKI: Step = Step::card("select JPKI-AP");

/// SELECT by name without FCI, ISO/IEC 7816-4:2020 §11.2.2.
pub(crate) fn select_application(aid: &[u8]) -> Vec<u8> {
    let mut command = vec![0x00, 0xA4, 0x04, 0x0C];
    command.extend(u8::try_from(aid.len()));
    command.extend_from_slice(aid);
    command
}

pub(crate) fn select_jpki() -> Exchange {
    SELECT_JPKI.exchange(select_application(&JPKI_AID))
}

/// The answer to SELECT of the JPKI application: a card that does not know it is another card.
pub(crate) fn jpki_selected(response: &[u8]) -> Result<(), DialogueError> {
    match SELECT_JPKI.done(response) {
        Err(DialogueError::CardRefused { status_word: StatusWord::NOT_FOUND, .. }) => {
            Err(DialogueError::WrongCard)
        }
        other => other,
    }
}

/// The card's signature command over a SHA-256 (`80 2A 02`), with the key behind this short reference.
pub(crate) fn sign_digest_command(short_reference: u8, sha256: &[u8]) -> Result<Vec<u8>, ApduError> {
    CommandBuilder::new(0x80, 0x2A, 0x02, 0x80 | short_reference).data(sha256).expect(256).encode()
}
