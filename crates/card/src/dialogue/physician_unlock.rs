//! The network is down: a physician's HPKI card arms the Secure Element (report fig. 4).
//!
//! Select, get challenge, have it signed behind its own tag, name the physician's key, hand the signature
//! over. The middle step leaves the dialogue: [`Progress::NeedSignature`] is the HPKI card's work, after
//! its PIN.

use super::{DialogueError, Exchange, Misbehaviour, Step};
use crate::apdu::CommandBuilder;
use crate::secure_element::{SECURE_ELEMENT_AID, parse_fci, physician_reference, tags};
use crate::tlv;
use protocol::ids::SecureElementId;
use protocol::physicians::{HpkiPublicKey, hpki_unlock_bytes};
use protocol::time::UnixSeconds;

const SELECT: Step = Step::secure_element("select Secure Element");
const CHALLENGE: Step = Step::secure_element("get Secure Element challenge");
const NAME_KEY: Step = Step::secure_element("name physician's key");
const UNLOCK: Step = Step::secure_element("unlock institution key offline");

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, PhysicianUnlock),
    /// Have these bytes signed with the HPKI card's authentication key, PKCS#1 v1.5 with SHA-256, and
    /// resume with the signature.
    NeedSignature {
        /// Domain tag, Secure Element, challenge.
        signed_bytes: Vec<u8>,
        /// The rest of the dialogue.
        resume: AwaitSignature,
    },
    /// The institution key is usable for offline statements.
    Done,
}

#[derive(Debug)]
enum State {
    Selecting,
    Challenging(SecureElementId),
    Naming { signature: Vec<u8>, time: UnixSeconds },
    Unlocking,
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct PhysicianUnlock(State);

/// The dialogue while the HPKI card signs.
#[derive(Debug)]
pub struct AwaitSignature(());

impl PhysicianUnlock {
    /// Begins.
    pub fn start() -> Result<(Exchange, Self), DialogueError> {
        let builder = CommandBuilder::new(0x00, 0xA4, 0x04, 0x00).data(&SECURE_ELEMENT_AID).expect(256);
        Ok((SELECT.exchange(builder.encode()?), Self(State::Selecting)))
    }

    /// Takes the response to the last exchange.
    pub fn step(self, response: &[u8]) -> Result<Progress, DialogueError> {
        match self.0 {
            State::Selecting => {
                let (secure_element, _) =
                    parse_fci(SELECT.data(response)?).ok_or(SELECT.misbehaved(Misbehaviour::Malformed))?;
                let command = CommandBuilder::new(0x00, 0x84, 0x00, 0x00).expect(16).encode()?;
                Ok(Progress::Send(CHALLENGE.exchange(command), Self(State::Challenging(secure_element))))
            }
            State::Challenging(secure_element) => {
                let challenge = CHALLENGE.exactly(CHALLENGE.data(response)?)?;
                let signed_bytes = hpki_unlock_bytes(secure_element, &challenge);
                Ok(Progress::NeedSignature { signed_bytes, resume: AwaitSignature(()) })
            }
            State::Naming { signature, time } => {
                NAME_KEY.done(response)?;
                let mut data = tlv::encode(tags::TIME, &time.0.to_be_bytes());
                tlv::write(&mut data, tags::SIGNATURE, &signature);
                let command = CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(&data).encode()?;
                Ok(Progress::Send(UNLOCK.exchange(command), Self(State::Unlocking)))
            }
            State::Unlocking => {
                UNLOCK.done(response)?;
                Ok(Progress::Done)
            }
        }
    }
}

impl AwaitSignature {
    /// Goes on with the physician's key and signature, at `time`.
    pub fn resume(
        self,
        key: &HpkiPublicKey,
        signature: &[u8],
        time: UnixSeconds,
    ) -> Result<(Exchange, PhysicianUnlock), DialogueError> {
        let reference = tlv::encode(tags::KEY_REFERENCE, &physician_reference(key));
        let command = CommandBuilder::new(0x00, 0x22, 0x81, 0xA4).data(&reference).encode()?;
        let state = State::Naming { signature: signature.to_vec(), time };
        Ok((NAME_KEY.exchange(command), PhysicianUnlock(state)))
    }
}
