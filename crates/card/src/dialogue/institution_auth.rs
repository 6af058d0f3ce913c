//! One touch on the terminal's side: a relay between the patient's card and the Secure Element (report
//! fig. 2).
//!
//! The Secure Element says every command and judges every response; what it learns it seals for the
//! platform. Nothing here looks into a response, so this side does not change when the Secure Element
//! speaks to the card in another way.
//!
//! ```text
//! Secure Element   <- 80 D0 terms          -> command
//! card             <- command              -> response
//! Secure Element   <- 80 D2 response       -> command, or sealed evidence, or where and why it ended
//! ```

use super::{DialogueError, Exchange, Misbehaviour, Party, Step};
use crate::apdu::CommandBuilder;
use crate::secure_element::tags;
use crate::secure_element::touch_protocol::{TouchAnswer, TouchFailure, TouchFault, TouchStep, TouchTerms};
use crate::tlv;
use protocol::answer::CardProfile;
use protocol::sealed_evidence::{EvidencePublicKey, SealedEvidence};
use protocol::statement::{STATEMENT_LEN, TouchStatement};

/// More commands than any card needs; stops a Secure Element that never ends.
const COMMANDS_MAX: u32 = 128;

const BEGIN: Step = Step::secure_element("begin touch");

/// What a touch yields: a statement in the clear, and under seal what the card made of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedTouch {
    /// The encoded [`TouchStatement`].
    pub statement: Box<[u8; STATEMENT_LEN]>,
    /// The Secure Element's evidence key of the arming in which the touch was made.
    pub evidence_key: EvidencePublicKey,
    /// Profile, signature and certificate, for the platform's eyes.
    pub sealed: SealedEvidence,
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, InstitutionAuth),
    /// The touch is done. "Take your card."
    Done(SealedTouch),
}

/// Whose response comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaiting {
    /// The card's, to the command of this step.
    Card(TouchStep),
    /// The Secure Element's.
    SecureElement(Step),
}

/// The dialogue between two exchanges.
#[doc(alias = "機関認証")]
#[derive(Debug)]
pub struct InstitutionAuth {
    terms: TouchTerms,
    awaiting: Awaiting,
    commands: u32,
    profile: Option<CardProfile>,
}

/// Whether this is the command for the card's one signature.
pub fn is_signature(exchange: &Exchange) -> bool {
    exchange.to == Party::Card && exchange.step == TouchStep::SignStatement.name()
}

impl InstitutionAuth {
    /// Begins a touch. Call it after OK: the card's key is used within.
    pub fn start(terms: TouchTerms) -> Result<(Exchange, Self), DialogueError> {
        let data = terms.encode();
        // Sealed evidence is longer than 256 octets: the extended form.
        let command = CommandBuilder::new(0x80, 0xD0, 0x00, 0x00).data(&data).expect(65_536).encode()?;
        Ok((
            BEGIN.exchange(command),
            Self { terms, awaiting: Awaiting::SecureElement(BEGIN), commands: 0, profile: None },
        ))
    }

    /// The card dialogue that the Secure Element has chosen, as soon as its commands say which: for the
    /// screen. What the platform believes stands under the seal.
    pub const fn profile(&self) -> Option<CardProfile> {
        self.profile
    }

    /// Takes the response to the last exchange.
    pub fn step(mut self, response: &[u8]) -> Result<Progress, DialogueError> {
        let exchange = match self.awaiting {
            Awaiting::Card(step) => {
                let next = Step::secure_element(step.secure_element_then(self.profile));
                let data = tlv::encode(tags::RESPONSE, response);
                let builder = CommandBuilder::new(0x80, 0xD2, 0x00, 0x00).data(&data).expect(65_536);
                self.awaiting = Awaiting::SecureElement(next);
                // A response that does not even fit into a command is the card's doing.
                let too_long = Step::card(step.name()).misbehaved(Misbehaviour::Length);
                next.exchange(builder.encode().map_err(|_| too_long)?)
            }
            Awaiting::SecureElement(at) => {
                let answer = TouchAnswer::parse(at.data(response)?);
                match answer.ok_or(at.misbehaved(Misbehaviour::Malformed))? {
                    TouchAnswer::Send { step, command } => {
                        self.commands += 1;
                        if self.commands > COMMANDS_MAX {
                            return Err(at.misbehaved(Misbehaviour::Length));
                        }
                        self.awaiting = Awaiting::Card(step);
                        self.profile = step.profile().or(self.profile);
                        Step::card(step.name()).exchange(command)
                    }
                    TouchAnswer::Done { statement, sealed, evidence_key } => {
                        self.check(statement.as_slice()).ok_or(at.misbehaved(Misbehaviour::Malformed))?;
                        return Ok(Progress::Done(SealedTouch { statement, evidence_key, sealed }));
                    }
                    TouchAnswer::Failed(failure) => return Err(error_of(failure)),
                }
            }
        };
        Ok(Progress::Send(exchange, self))
    }

    /// The statement must be the one that was asked for: the patient agreed to this text and no other.
    fn check(&self, statement: &[u8]) -> Option<()> {
        let statement = TouchStatement::parse(statement).ok()?;
        let said = TouchTerms {
            purposes: statement.purposes,
            institution: statement.institution,
            nonce: statement.nonce,
            consent_text_hash: statement.consent_text_hash,
            time: statement.time,
        };
        (said == self.terms).then_some(())
    }
}

/// The failure as the terminal's own dialogues would name it.
const fn error_of(TouchFailure { step, fault }: TouchFailure) -> DialogueError {
    let at = Step::card(step.name());
    match fault {
        TouchFault::CardRefused(status_word) => at.refused(status_word),
        TouchFault::CardMisbehaved(what) => at.misbehaved(what),
        TouchFault::WrongCard => DialogueError::WrongCard,
        TouchFault::TouchesUsedUp => DialogueError::TouchesUsedUp,
        TouchFault::ProfileNotAllowed => DialogueError::ProfileNotAllowed,
        TouchFault::NotGenuine => DialogueError::NotGenuine,
        TouchFault::NotProved => DialogueError::NotProved,
        TouchFault::ChannelBroken(status_word) => {
            DialogueError::ChannelBroken { step: step.name(), status_word }
        }
        TouchFault::CertificatesUnusable => DialogueError::CertificatesUnusable,
    }
}
