//! The terminal's Secure Element as a second emulated card: it holds the institution key, drives every
//! touch itself, and seals what the card answered (report figs. 2 and 4).
//!
//! ```text
//!            .--- EXTERNAL AUTHENTICATE, platform's policy -----> ACTIVE{until, uses left}
//! LOCKED ----|                                                      statements "online"
//!   ^        '--- EXTERNAL AUTHENTICATE, physician's HPKI card -> OFFLINE{until, uses left}
//!   |                                                               statements "offline"
//!   '---------------------------- power-off ----------------------------'
//! ```
//!
//! | command | bytes | answers |
//! |---|---|---|
//! | SELECT | `00 A4 04 00\|0C AID` | FCI `6F{84 AID, 53 SE-ID(8), A5{83 unlock key reference(8)}}` |
//! | GET CHALLENGE | `00 84 00 00 10` | 16 octets, good once |
//! | GET DATA | `80 CA 00 86` | evidence key of the next arming, 65 octets, drawn anew |
//! | | `80 CA fid` | an object of the image, where its rule `read` opens; 6982, 6A88 |
//! | MSE SET | `00 22 81 A4 {83 key reference}` | 9000, 6A88; 8 octets name the platform, 20 a physician |
//! | EXTERNAL AUTHENTICATE | `00 82 00 00 {53 policy, 9E signature}` or `{84 time(8), 9E signature}` | 9000, 6300, 6984 after five failures until power-off, 6985 |
//! | PUT DATA | `80 DA 01 13 {certificates}`, `80 DA 01 20 {53 physicians, 9E signature}` | 9000; 6982 its rule `write` is shut, 6300, 6985 not newer |
//! | BEGIN TOUCH | `80 D0 00 00 {terms}` | the first command for the card; 6985 locked or outside the arming's time, 6A84 used up, 6A80 no consent |
//! | CONTINUE TOUCH | `80 D2 00 00 {81 card's response}` | the next command, the sealed evidence, or where and why it ended; 6985 no touch |
//!
//! Command bytes are ISO/IEC 7816-4:2020 §11 as far as it has them; `80 D0`, `80 D2` and what stands in
//! the data fields is Kazasu's own, see [`touch_protocol`].
//!
//! What is in it and who may do what stands in its image, `layouts/secure_element.toml`. By that image no
//! command gives out an institution key or its certificates (report, safeguard 3): they go to the
//! patient's card, inside a touch, and nowhere else. The institution keys sign
//! [`crate::external_authenticate_bytes`] and [`crate::eac::card_side::TerminalAuthentication`], and
//! nothing else.

mod arming;
mod card_ledger;
pub mod image;
mod objects;
mod state;
mod touch;
pub mod touch_protocol;
mod unlock;

pub use arming::{ARMING_SECONDS_MAX, OFFLINE_SECONDS_MAX, OFFLINE_USES_MAX};
pub use image::{
    EacInstitution, ImageError, JicsapInstitution, Personalisation, SecureElementImage, UnlockKeyReference,
    UnlockPublicKey, layout,
};
pub use state::{PersistentState, StateError};
pub use unlock::{PHYSICIAN_REFERENCE_LEN, UNLOCK_FAILURES_MAX, physician_reference};

use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::emulated::EmulatedCard;
use crate::tlv::{self, TlvReader};
use protocol::entropy::Entropy;
use protocol::ids::SecureElementId;
use state::{Kept, Selected, VolatileState};

/// AID of the Secure Element's application: proprietary category `F`, ISO/IEC 7816-4:2020 §12.3.4,
/// then `KAZASUSE` and a version.
pub const SECURE_ELEMENT_AID: [u8; 10] = *b"\xF0KAZASUSE\x02";

/// Answer to reset, as the built-in image has it: T=1 over the contactless mapping, historical bytes
/// `KAZASUSE`.
pub const ATR: [u8; 13] = *b"\x3B\x88\x80\x01KAZASUSE\x08";

/// Data objects of the Secure Element's commands, but for a touch's own.
pub mod tags {
    use crate::tlv::Tag;
    /// FCI template.
    pub const FCI: Tag = Tag(0x6F);
    /// Application name in the FCI.
    pub const NAME: Tag = Tag(0x84);
    /// SE-ID in the FCI; the signed object in EXTERNAL AUTHENTICATE and PUT DATA.
    pub const DISCRETIONARY: Tag = Tag(0x53);
    /// Proprietary part of the FCI.
    pub const PROPRIETARY: Tag = Tag(0xA5);
    /// Key reference in the FCI and in MSE SET.
    pub const KEY_REFERENCE: Tag = Tag(0x83);
    /// The signature of platform or physician.
    pub const SIGNATURE: Tag = Tag(0x9E);
    /// Time of a physician's arming.
    pub const TIME: Tag = Tag(0x84);
    /// The card's response in CONTINUE TOUCH.
    pub const RESPONSE: Tag = super::touch_protocol::TAG_RESPONSE;
}

type Reply = Result<Answer, StatusWord>;

/// An emulated Secure Element.
#[doc(alias = "セキュアエレメント")]
#[derive(Debug)]
pub struct SecureElement {
    image: SecureElementImage,
    kept: Kept,
    /// `None` without power.
    volatile: Option<VolatileState>,
}

impl SecureElement {
    /// A Secure Element with what it kept, without power. A new one starts with
    /// [`PersistentState::factory`].
    pub const fn new(image: SecureElementImage, persistent: PersistentState) -> Self {
        Self { image, kept: Kept::new(persistent), volatile: None }
    }

    /// What a power cut must not undo.
    pub const fn persistent_state(&self) -> &PersistentState {
        self.kept.get()
    }

    /// How often the persistent state has changed since [`Self::new`].
    pub const fn state_changes(&self) -> u64 {
        self.kept.changes()
    }

    /// Its identifier.
    pub const fn secure_element_id(&self) -> SecureElementId {
        self.image.secure_element
    }
}

impl EmulatedCard for SecureElement {
    fn atr(&self) -> &[u8] {
        self.image.atr()
    }

    fn power_on(&mut self) {
        self.volatile = Some(VolatileState::default());
    }

    fn power_off(&mut self) {
        self.volatile = None;
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let Some(volatile) = self.volatile.as_mut() else {
            return Vec::new();
        };
        let session = Session { image: &self.image, kept: &mut self.kept, volatile };
        Answer::encode(match CommandApdu::parse(command) {
            Ok(command) => session.run(&command, entropy),
            Err(_) => Err(StatusWord::WRONG_LENGTH),
        })
    }
}

/// The application at work on one command.
struct Session<'a> {
    image: &'a SecureElementImage,
    kept: &'a mut Kept,
    volatile: &'a mut VolatileState,
}

impl Session<'_> {
    fn run(mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        let known = matches!(
            (command.cla, command.ins),
            (0x00, 0xA4 | 0x84 | 0x22 | 0x82) | (0x80, 0xCA | 0xDA | 0xD0 | 0xD2)
        );
        match command.cla {
            0x00 | 0x80 if known => {}
            0x00 | 0x80 => return Err(StatusWord::UNKNOWN_INSTRUCTION),
            _ => return Err(StatusWord::UNKNOWN_CLASS),
        }
        if command.ins == 0xA4 {
            return self.select(command);
        }
        if self.volatile.selected == Selected::No {
            return Err(StatusWord::CONDITIONS);
        }
        match command.ins {
            0x84 => self.get_challenge(command, entropy),
            0x22 => self.manage_security_environment(command),
            0x82 => self.external_authenticate(command, entropy),
            0xCA => self.get_data(command, entropy),
            0xDA => self.put_data(command),
            0xD0 => self.begin_touch(command),
            _ => self.continue_touch(command, entropy),
        }
    }

    /// SELECT by name, ISO/IEC 7816-4:2020 §11.2.2. Selecting again keeps arming and touch: the terminal
    /// renews the one while the other goes on.
    fn select(&mut self, command: &CommandApdu<'_>) -> Reply {
        match (command.p1, command.p2) {
            (0x04, 0x00 | 0x0C) => {}
            (0x00, _) => return Err(StatusWord::NOT_FOUND),
            _ => return Err(StatusWord::WRONG_PARAMETERS),
        }
        if command.data != SECURE_ELEMENT_AID {
            return Err(StatusWord::NOT_FOUND);
        }
        self.volatile.selected = Selected::Yes;
        if command.p2 == 0x0C {
            return Ok(Answer::done());
        }
        let mut inner = tlv::encode(tags::NAME, &SECURE_ELEMENT_AID);
        tlv::write(&mut inner, tags::DISCRETIONARY, &self.image.secure_element.0);
        let reference = tlv::encode(tags::KEY_REFERENCE, &self.image.unlock_key.reference.0);
        tlv::write(&mut inner, tags::PROPRIETARY, &reference);
        Ok(Answer::with(tlv::encode(tags::FCI, &inner)))
    }
}

/// The FCI, for the terminal's side: who this is and which unlock key it takes.
pub(crate) fn parse_fci(data: &[u8]) -> Option<(SecureElementId, UnlockKeyReference)> {
    let mut objects = TlvReader::new(tlv::read_single(data, tags::FCI).ok()?);
    let name: &[u8; 10] = objects.expect_array(tags::NAME).ok()?;
    let secure_element = objects.expect_array(tags::DISCRETIONARY).ok()?;
    let reference = tlv::read_single(objects.expect(tags::PROPRIETARY).ok()?, tags::KEY_REFERENCE).ok()?;
    objects.finish().ok()?;
    let known = *name == SECURE_ELEMENT_AID;
    known.then_some((SecureElementId(*secure_element), UnlockKeyReference(reference.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atr_adds_up() {
        // ISO/IEC 7816-3 §8.2.5: T0 to TCK, exclusive-or, is zero.
        assert_eq!(ATR[1..].iter().fold(0, |sum, octet| sum ^ octet), 0);
        assert_eq!(layout().unwrap().atr, ATR);
    }
}
