//! The card operating system: one program that runs any card image.
//!
//! [`Card`] is an emulated card: a [`CardImage`], which never changes; a [`PersistentState`], which the
//! card changes and a power cut must not undo; and a volatile state, which lives from power-on to
//! power-off and is dropped whole. Who may do what stands in the image's access rules, not here.
//!
//! A command passes through these, in this order:
//!
//! | module | does |
//! |---|---|
//! | [`transport`](self) | class byte, command chaining, GET RESPONSE, secure messaging off and on |
//! | `select` | SELECT and GET CHALLENGE, which every card has |
//! | `data_objects` | GET DATA, where the image has data objects |
//! | a command set | what the application's image names in `commands` |
//!
//! | command set | module |
//! |---|---|
//! | `files` | `files`: READ BINARY, READ RECORD |
//! | `secrets` | `secrets`: VERIFY, CHANGE REFERENCE DATA |
//! | `select-by-path` | `select`: SELECT by identifier or path |
//! | `iso-signature` | `iso_signature`: MANAGE SECURITY ENVIRONMENT, `00 2A 9E 9A` |
//! | `jicsap-signature` | `jicsap_signature`: `80 2A` |
//! | `jicsap-institution` | `jicsap_institution`: `80 A2`, EXTERNAL AUTHENTICATE |
//! | `eac` | `eac`: chip and terminal authentication, secure messaging |
//! | `presence` | `presence`: `80 2A` without naming a key |
//! | `internal-authenticate` | `presence`: INTERNAL AUTHENTICATE |
//! | `change-key` | `secrets`: `80 32` |
//! | `session-key` | `session_key`: `80 AE`, secure messaging without integrity |
//!
//! To add a command set: a variant and a name in [`CommandSet`], a module here with a
//! `CommandSetTable`, a line in `table`, and, where it has a state of its own, a field in
//! `SecurityStatus`. Secure messaging is a `SecureChannel` that a command set puts there.

mod data_objects;
mod eac;
mod files;
mod iso_signature;
mod jicsap_institution;
mod jicsap_signature;
mod persistent;
mod presence;
mod secrets;
mod secure_channel;
mod select;
mod session;
mod session_key;
mod transport;
mod volatile;

pub use persistent::{ExtensionTag, PersistentState, StateError};
pub(crate) use session::Session;

use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::emulated::EmulatedCard;
use crate::image::{Aid, CardImage, CommandSet};
use protocol::entropy::Entropy;
use std::sync::Arc;
use volatile::VolatileState;

/// What a command gives: data with a status word that goes with data, or a status word that refuses.
pub(crate) type Reply = Result<Answer, StatusWord>;

/// What becomes of the institution's status when a command of the set fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// It stays: the command has nothing to do with security.
    Keep,
    /// It goes: whatever went wrong, the terminal starts over.
    DropInstitution,
}

/// Whether a set can switch secure messaging on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecureMessaging {
    /// A command with secure messaging is refused with 6882.
    NotOffered,
    /// Without keys it is refused with 6985.
    Offered,
    /// Offered for the class that leaves the header unprotected (08); without a key it is refused with
    /// 69FC.
    WithoutIntegrity,
}

/// A command set: which commands, and what runs them.
pub(crate) struct CommandSetTable {
    /// Class without chaining, secure messaging and channel bits (00 or 80), and instruction.
    pub(crate) commands: &'static [(u8, u8)],
    pub(crate) on_failure: OnFailure,
    pub(crate) secure_messaging: SecureMessaging,
    /// `None` where this is, looked at closer, no command of the set; the next set is asked then.
    pub(crate) run: fn(&mut Session<'_>, &CommandApdu<'_>) -> Option<Reply>,
}

/// What runs a command set.
const fn table(set: CommandSet) -> &'static CommandSetTable {
    match set {
        CommandSet::Files => &files::SET,
        CommandSet::Secrets => &secrets::SET,
        CommandSet::SelectByPath => &select::BY_PATH,
        CommandSet::IsoSignature => &iso_signature::SET,
        CommandSet::JicsapSignature => &jicsap_signature::SET,
        CommandSet::JicsapInstitution => &jicsap_institution::SET,
        CommandSet::Eac => &eac::SET,
        CommandSet::Presence => &presence::SIGNATURE,
        CommandSet::InternalAuthenticate => &presence::INTERNAL_AUTHENTICATE,
        CommandSet::ChangeKey => &secrets::CHANGE_KEY,
        CommandSet::SessionKey => &session_key::SET,
    }
}

/// How often each key was used since the card object was made: application's and object's place, times.
#[derive(Clone, Default, Debug)]
struct KeyUses(Vec<(usize, usize, u64)>);

/// An emulated card.
#[derive(Debug)]
pub struct Card {
    image: Arc<CardImage>,
    persistent: PersistentState,
    /// `None` without power.
    volatile: Option<VolatileState>,
    uses: KeyUses,
}

impl Card {
    /// A card from the factory, without power.
    pub fn new(image: impl Into<Arc<CardImage>>) -> Self {
        let (persistent, uses) = (PersistentState::factory(), KeyUses::default());
        Self { image: image.into(), persistent, volatile: None, uses }
    }

    /// A card that was used before, without power. Fails with [`StateError::Range`] where the state
    /// cannot be one of a card of this image.
    pub fn resume(image: impl Into<Arc<CardImage>>, persistent: PersistentState) -> Result<Self, StateError> {
        let image = image.into();
        persistent.check(&image)?;
        Ok(Self { persistent, ..Self::new(image) })
    }

    /// What the card is made of.
    pub fn image(&self) -> &CardImage {
        &self.image
    }

    /// What a power cut must not undo.
    pub const fn persistent_state(&self) -> &PersistentState {
        &self.persistent
    }

    /// Tries left for a secret, 0 (blocked) to its maximum. `None` where the card has no such secret,
    /// or one that can never be presented.
    pub fn tries_left(&self, aid: &Aid, fid: u16) -> Option<u8> {
        self.persistent.tries_left(self.image.application(aid)?, fid)
    }

    /// How often a private key was used since this object was made: for exact-number tests and the
    /// kiosk's proof that nothing was signed.
    pub fn key_uses(&self, aid: &Aid, fid: u16) -> u64 {
        let application = self.image.applications().iter().position(|application| application.aid == *aid);
        let place = application.and_then(|place| self.image.applications().get(place)?.place(fid));
        let used = |uses: &&(usize, usize, u64)| Some(uses.0) == application && Some(uses.1) == place;
        self.uses.0.iter().find(used).map_or(0, |uses| uses.2)
    }
}

impl EmulatedCard for Card {
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
        let session = Session::new(&self.image, &mut self.persistent, volatile, &mut self.uses, entropy);
        Answer::encode(transport::exchange(session, command))
    }
}

#[cfg(test)]
mod tests;
