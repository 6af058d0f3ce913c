//! The card at work on one command: what command sets see of it.

use super::volatile::{OneUse, SecurityStatus, VolatileState};
use super::{KeyUses, OnFailure, PersistentState, Reply, SecureMessaging, table};
use crate::apdu::{CommandApdu, StatusWord};
use crate::image::{Application, CardImage, CommandSet, Content, Kind, Object, Rule, Term};
use crate::rsa_key::CardRsaKey;
use protocol::entropy::Entropy;

/// How the command came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protection {
    /// In the clear.
    Plain,
    /// Unwrapped by the secure channel.
    SecureMessaging,
}

/// How a rule came to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    /// By what stays.
    ByWhatLasts,
    /// By what is good once, and gone now.
    ByOneUse,
}

/// One command's view of the card.
pub(crate) struct Session<'a> {
    pub(crate) image: &'a CardImage,
    pub(crate) persistent: &'a mut PersistentState,
    pub(super) volatile: &'a mut VolatileState,
    uses: &'a mut KeyUses,
    pub(crate) entropy: &'a mut dyn Entropy,
    pub(crate) protection: Protection,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        image: &'a CardImage,
        persistent: &'a mut PersistentState,
        volatile: &'a mut VolatileState,
        uses: &'a mut KeyUses,
        entropy: &'a mut dyn Entropy,
    ) -> Self {
        Self { image, persistent, volatile, uses, entropy, protection: Protection::Plain }
    }

    /// The command sets that answer now: those of the selected application; without one those of all,
    /// which then refuse for that reason.
    fn command_sets(&self) -> &'a [CommandSet] {
        self.application().map_or(self.image.commands(), |application| &application.commands)
    }

    /// Whether a command set answers to this class and instruction.
    pub(super) fn knows(&self, cla: u8, ins: u8) -> bool {
        self.command_sets().iter().any(|set| table(*set).commands.contains(&(cla, ins)))
    }

    /// Whether a command set can switch this kind of secure messaging on.
    pub(super) fn offers(&self, kind: SecureMessaging) -> bool {
        self.command_sets().iter().any(|set| table(*set).secure_messaging == kind)
    }

    /// Runs a command whose class is bare: 00 or 80. 6D00 where nothing knows it, 6A86 where nothing
    /// knows it with these parameters.
    pub(super) fn run(&mut self, command: &CommandApdu<'_>) -> Reply {
        match (command.cla, command.ins) {
            (0x00, 0xA4) => return self.select(command),
            (0x00, 0x84) => return self.get_challenge(command),
            (0x00, 0xCA) if !self.image.data_objects().is_empty() => return self.get_data(command),
            // MANAGE CHANNEL, ISO/IEC 7816-4:2020 §11.1.2: there is the basic channel alone.
            (0x00, 0x70) => return Err(StatusWord::CHANNEL_NOT_SUPPORTED),
            _ => {}
        }
        let mut refusal = StatusWord::UNKNOWN_INSTRUCTION;
        for set in self.command_sets() {
            let set = table(*set);
            if !set.commands.contains(&(command.cla, command.ins)) {
                continue;
            }
            let Some(reply) = (set.run)(self, command) else {
                // The instruction is known, with these parameters to no set.
                refusal = StatusWord::WRONG_PARAMETERS;
                continue;
            };
            // The empty VERIFY asks for a counter: its 63Cx is an answer, and arrives here as Ok.
            if reply.is_err() && set.on_failure == OnFailure::DropInstitution {
                self.volatile.security.drop_institution();
            }
            return reply;
        }
        Err(refusal)
    }

    /// The selected application; 6985 without one.
    pub(crate) fn application(&self) -> Result<&'a Application, StatusWord> {
        let place = self.volatile.application.ok_or(StatusWord::CONDITIONS)?;
        self.image.applications().get(place).ok_or(StatusWord::CONDITIONS)
    }

    /// The object at this place of the selected application.
    pub(crate) fn object_at(&self, place: usize) -> Option<&'a Object> {
        self.application().ok()?.objects().get(place)
    }

    /// The current file.
    pub(crate) fn current_file(&self) -> Option<&'a Object> {
        let place = self.volatile.current_file?;
        match self.volatile.application {
            Some(_) => self.object_at(place),
            None => self.image.master_file().get(place),
        }
    }

    /// Whether a set is among those that answer now.
    pub(super) fn answers_to(&self, set: CommandSet) -> bool {
        self.command_sets().contains(&set)
    }

    /// The security status of the selected application.
    pub(crate) const fn security(&mut self) -> &mut SecurityStatus {
        &mut self.volatile.security
    }

    /// The outstanding challenge if it has this length. It is used up in any case.
    pub(crate) fn take_challenge<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.volatile.challenge.take()?.exactly()
    }

    /// Place of the key or secret that a P2 names: 80 is the current file, 81 to 9E a short
    /// identifier. 6985 without an application, 6986 without a current file, 6A88 where nothing has
    /// the short identifier, 6981 where it is not `wanted`, 6A86 for another P2.
    pub(crate) fn named_object(&self, p2: u8, wanted: fn(&Content) -> bool) -> Result<usize, StatusWord> {
        let application = self.application()?;
        match p2 {
            0x80 => {
                let place = self.volatile.current_file.ok_or(StatusWord::NO_CURRENT_FILE)?;
                let is_wanted = self.object_at(place).is_some_and(|object| wanted(&object.content));
                if is_wanted { Ok(place) } else { Err(StatusWord::WRONG_FILE_KIND) }
            }
            0x81..=0x9E => {
                let named = |object: &Object| object.layout.short.contains(&(p2 & 0x1F));
                let objects = application.objects();
                match objects.iter().position(|object| named(object) && wanted(&object.content)) {
                    Some(place) => Ok(place),
                    None if objects.iter().any(named) => Err(StatusWord::WRONG_FILE_KIND),
                    None => Err(StatusWord::REFERENCE_NOT_FOUND),
                }
            }
            _ => Err(StatusWord::WRONG_PARAMETERS),
        }
    }

    /// Whether a term of a rule holds; `permission` is what an institution's authentication opens.
    fn holds(&self, term: Term, permission: Option<OneUse>) -> bool {
        match term {
            Term::Secret(fid) | Term::SecretOnce(fid) => {
                let place = self.application().ok().and_then(|application| application.place(fid));
                place.is_some_and(|place| self.volatile.security.is_presented(place))
            }
            Term::InstitutionOnce => permission.is_some(),
            Term::SecureMessaging => self.protection == Protection::SecureMessaging,
            // Of Secure Elements, which have an applet of their own.
            Term::Armed | Term::Offline => false,
        }
    }

    /// Whether the rule holds. What is good for one use (a secret presented once, `permission`) is used
    /// up where the rule holds only by it; `None` where it does not hold at all.
    fn open(&mut self, rule: &Rule, permission: Option<OneUse>) -> Option<Opened> {
        let lasting = |term| !matches!(term, Term::SecretOnce(_)) && self.holds(term, None);
        if rule.opens(lasting) {
            return Some(Opened::ByWhatLasts);
        }
        if !rule.opens(|term| self.holds(term, permission)) {
            return None;
        }
        let application = self.application().ok();
        for term in rule.terms() {
            if let Term::SecretOnce(fid) = term {
                let place = application.and_then(|application| application.place(fid));
                place.into_iter().for_each(|place| self.volatile.security.clear_presented(place));
            }
        }
        Some(Opened::ByOneUse)
    }

    /// 6982 where the rule does not hold. Takes the institution's one use away where the rule holds
    /// only by it.
    pub(crate) fn admit(&mut self, rule: &Rule) -> Result<(), StatusWord> {
        match self.open(rule, self.volatile.security.permission).ok_or(StatusWord::SECURITY_STATUS)? {
            Opened::ByWhatLasts => {}
            Opened::ByOneUse => self.volatile.security.permission = None,
        }
        Ok(())
    }

    /// The RSA key at this place, if its rule holds; `permission` was taken from the security status
    /// before. A secret that opens one use is used up. 6981 for something else than a key, 6982.
    pub(crate) fn usable_rsa_key(
        &mut self,
        place: usize,
        permission: Option<OneUse>,
    ) -> Result<&'a CardRsaKey, StatusWord> {
        let object = self.object_at(place).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        let (Content::RsaKey(private_key), Kind::RsaKey { usage }) = (&object.content, &object.layout.kind)
        else {
            return Err(StatusWord::WRONG_FILE_KIND);
        };
        self.open(usage, permission).ok_or(StatusWord::SECURITY_STATUS)?;
        Ok(private_key)
    }

    /// Counts a use of the key at this place.
    pub(crate) fn count_use(&mut self, place: usize) {
        let Some(application) = self.volatile.application else {
            return;
        };
        match self.uses.0.iter_mut().find(|uses| (uses.0, uses.1) == (application, place)) {
            Some(uses) => uses.2 += 1,
            None => self.uses.0.push((application, place, 1)),
        }
    }
}
