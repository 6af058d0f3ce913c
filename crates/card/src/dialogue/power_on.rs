//! Power-on: the platform arms the Secure Element (report fig. 2, left).
//!
//! Select, get challenge, get the evidence key, ask the platform, name its key, hand over its signed
//! policy. The middle step leaves the dialogue: [`Progress::NeedPolicy`] is carried over mTLS, and [`AwaitPolicy::resume`]
//! brings the answer back.

use super::{DialogueError, Exchange, Misbehaviour, Step};
use crate::apdu::CommandBuilder;
use crate::secure_element::{SECURE_ELEMENT_AID, UnlockKeyReference, parse_fci, tags};
use crate::tlv;
use protocol::ids::SecureElementId;
use protocol::sealed_evidence::EvidencePublicKey;
use protocol::time::UnixSeconds;
use protocol::unlock::UnlockPolicy;

const SELECT: Step = Step::secure_element("select Secure Element");
const CHALLENGE: Step = Step::secure_element("get Secure Element challenge");
const EVIDENCE_KEY: Step = Step::secure_element("get evidence key");
const NAME_KEY: Step = Step::secure_element("name unlock key");
const UNLOCK: Step = Step::secure_element("unlock institution key");

/// What was armed, as the platform's policy says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Armed {
    /// Touches before this instant are refused.
    pub issued_at: UnixSeconds,
    /// Touches after this instant are refused.
    pub not_after: UnixSeconds,
    /// How many touches it allows.
    pub uses_max: u32,
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, PowerOn),
    /// Ask the platform for a policy for this Secure Element and challenge, and resume with it.
    NeedPolicy {
        /// Who asks.
        secure_element: SecureElementId,
        /// Its challenge, good once.
        challenge: [u8; 16],
        /// Its evidence key for this arming.
        evidence_key: EvidencePublicKey,
        /// The rest of the dialogue.
        resume: AwaitPolicy,
    },
    /// The institution key is usable.
    Done(Armed),
}

#[derive(Debug)]
enum State {
    Selecting,
    Challenging { secure_element: SecureElementId, reference: UnlockKeyReference },
    AskingKey { secure_element: SecureElementId, reference: UnlockKeyReference, challenge: [u8; 16] },
    Naming { policy: Vec<u8>, signature: Vec<u8> },
    Unlocking { armed: Armed },
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct PowerOn(State);

/// The dialogue while the platform is asked.
#[derive(Debug)]
pub struct AwaitPolicy(UnlockKeyReference);

impl PowerOn {
    /// Begins.
    pub fn start() -> (Exchange, Self) {
        let mut command = vec![0x00, 0xA4, 0x04, 0x00];
        command.extend(u8::try_from(SECURE_ELEMENT_AID.len()));
        command.extend_from_slice(&SECURE_ELEMENT_AID);
        command.push(0);
        (SELECT.exchange(command), Self(State::Selecting))
    }

    /// Takes the response to the last exchange.
    pub fn step(self, response: &[u8]) -> Result<Progress, DialogueError> {
        match self.0 {
            State::Selecting => {
                let (secure_element, reference) =
                    parse_fci(SELECT.data(response)?).ok_or(SELECT.misbehaved(Misbehaviour::Malformed))?;
                let command = CommandBuilder::new(0x00, 0x84, 0x00, 0x00).expect(16).encode()?;
                let next = Self(State::Challenging { secure_element, reference });
                Ok(Progress::Send(CHALLENGE.exchange(command), next))
            }
            State::Challenging { secure_element, reference } => {
                let challenge = CHALLENGE.exactly(CHALLENGE.data(response)?)?;
                let command = CommandBuilder::new(0x80, 0xCA, 0x00, 0x86).expect(256).encode()?;
                let next = Self(State::AskingKey { secure_element, reference, challenge });
                Ok(Progress::Send(EVIDENCE_KEY.exchange(command), next))
            }
            State::AskingKey { secure_element, reference, challenge } => {
                let evidence_key = EvidencePublicKey::try_from(EVIDENCE_KEY.data(response)?.to_vec())
                    .map_err(|_| EVIDENCE_KEY.misbehaved(Misbehaviour::Malformed))?;
                let resume = AwaitPolicy(reference);
                Ok(Progress::NeedPolicy { secure_element, challenge, evidence_key, resume })
            }
            State::Naming { policy, signature } => {
                NAME_KEY.done(response)?;
                let parsed = UnlockPolicy::parse(&policy).ok_or(DialogueError::PlatformPolicy)?;
                let mut data = tlv::encode(tags::DISCRETIONARY, &policy);
                tlv::write(&mut data, tags::SIGNATURE, &signature);
                let command = CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(&data).encode()?;
                let armed = Armed {
                    issued_at: parsed.issued_at,
                    not_after: parsed.not_after,
                    uses_max: parsed.uses_max,
                };
                Ok(Progress::Send(UNLOCK.exchange(command), Self(State::Unlocking { armed })))
            }
            State::Unlocking { armed } => {
                UNLOCK.done(response)?;
                Ok(Progress::Done(armed))
            }
        }
    }
}

impl AwaitPolicy {
    /// Goes on with the platform's policy ([`UnlockPolicy::encode`]) and its ECDSA signature (ASN.1 DER)
    /// over [`UnlockPolicy::signed_bytes`].
    pub fn resume(self, policy: &[u8], signature: &[u8]) -> (Exchange, PowerOn) {
        let reference = tlv::encode(tags::KEY_REFERENCE, &self.0.0);
        let mut command = vec![0x00, 0x22, 0x81, 0xA4];
        command.extend(u8::try_from(reference.len()));
        command.extend_from_slice(&reference);
        let state = State::Naming { policy: policy.to_vec(), signature: signature.to_vec() };
        (NAME_KEY.exchange(command), PowerOn(state))
    }
}
