//! Command set `eac`: chip authentication, which switches secure messaging on, and terminal
//! authentication, which opens one use. After BSI TR-03110; the commands are in
//! [`crate::eac::card_side`].
//!
//! An application has the set where it has a `batch-key` and an `eac-root`; without them its commands
//! are unknown. GET CHALLENGE is every card's. What the card remembers, its date above all, is kept as
//! an extension of the persistent state.

use super::secure_channel::{SecureChannel, UnwrappedCommand};
use super::session::Protection;
use super::volatile::OneUse;
use super::{CommandSetTable, ExtensionTag, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::eac::card_side::{EacKeys, EacMemory};
use crate::eac::cvc::Rights;
use crate::eac::secure_messaging::{CardChannel, OwedResponse};
use crate::image::{Application, Content};

pub(super) const SET: CommandSetTable = CommandSetTable {
    commands: &[(0x00, 0x22), (0x00, 0x86), (0x00, 0x2A), (0x00, 0x82)],
    // What goes on failure is decided here: a root that is not known must not cost the session.
    on_failure: OnFailure::Keep,
    secure_messaging: SecureMessaging::Offered,
    run,
};

/// Which command, by instruction and parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EacCommand {
    SetChipAuthentication,
    GeneralAuthenticate,
    SetVerificationKey,
    VerifyCertificate,
    SetTerminalAuthentication,
    ExternalAuthenticate,
}

fn run(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Option<Reply> {
    let which = match (command.ins, command.p1, command.p2) {
        (0x22, 0x41, 0xA4) => EacCommand::SetChipAuthentication,
        (0x22, 0x81, 0xB6) => EacCommand::SetVerificationKey,
        (0x22, 0x81, 0xA4) => EacCommand::SetTerminalAuthentication,
        (0x86, ..) => EacCommand::GeneralAuthenticate,
        (0x2A, 0x00, 0xBE) => EacCommand::VerifyCertificate,
        // Of the other profile, unless a terminal's key was named.
        (0x82, ..) if session.security().eac.terminal_key_named() => EacCommand::ExternalAuthenticate,
        _ => return None,
    };
    let application = match session.application() {
        Ok(application) => application,
        Err(status) => return Some(Err(status)),
    };
    let keys = keys_of(application)?;
    let reply = run_one(session, which, command, application, &keys);
    if reply.is_err() {
        session.security().drop_institution();
    }
    Some(reply)
}

fn keys_of(application: &Application) -> Option<EacKeys<'_>> {
    let mut batch_key = None;
    let mut anchor = None;
    for object in application.objects() {
        match &object.content {
            Content::BatchKey(key) => batch_key = Some((&**key, object.fid())),
            Content::EacRoot(root) => anchor = Some(&**root),
            _ => {}
        }
    }
    let (batch_key, fid) = batch_key?;
    let [_, key_reference] = fid.to_be_bytes();
    Some(EacKeys { batch_key, key_reference, anchor: anchor? })
}

/// 6982 for terminal authentication in the clear, 6985 for a second agreement under the first one's
/// keys, then as the commands of [`crate::eac::card_side`].
fn run_one(
    session: &mut Session<'_>,
    which: EacCommand,
    command: &CommandApdu<'_>,
    application: &Application,
    keys: &EacKeys<'_>,
) -> Reply {
    match (which, session.protection) {
        (EacCommand::SetChipAuthentication, _) => {
            return session.security().eac.set_chip_authentication(command, keys);
        }
        (EacCommand::GeneralAuthenticate, Protection::Plain) => return agree(session, command, keys),
        (EacCommand::GeneralAuthenticate, Protection::SecureMessaging) => {
            return Err(StatusWord::CONDITIONS);
        }
        (_, Protection::Plain) => return Err(StatusWord::SECURITY_STATUS),
        (_, Protection::SecureMessaging) => {}
    }
    match which {
        EacCommand::SetVerificationKey => {
            let memory = memory_of(session, application, keys)?;
            session.security().eac.set_verification_key(command, keys, &memory)
        }
        EacCommand::VerifyCertificate => {
            let mut memory = memory_of(session, application, keys)?;
            let before = memory.clone();
            let answer = session.security().eac.verify_certificate(command, keys, &mut memory)?;
            if memory != before {
                session.persistent.keep(application.aid, ExtensionTag::EFFECTIVE_DATE, &memory.to_bytes());
            }
            Ok(answer)
        }
        EacCommand::SetTerminalAuthentication => session.security().eac.set_terminal_authentication(command),
        _ => external_authenticate(session, command, keys),
    }
}

/// What the card remembers. A memory that cannot be read is an error and not the factory's: the date
/// must not go back.
fn memory_of(
    session: &Session<'_>,
    application: &Application,
    keys: &EacKeys<'_>,
) -> Result<EacMemory, StatusWord> {
    session.persistent.extension(application.aid, ExtensionTag::EFFECTIVE_DATE).map_or_else(
        || Ok(EacMemory::factory(keys.anchor)),
        |octets| EacMemory::from_bytes(octets).map_err(|_| StatusWord::INTERNAL),
    )
}

fn agree(session: &mut Session<'_>, command: &CommandApdu<'_>, keys: &EacKeys<'_>) -> Reply {
    let (answer, channel) =
        session.volatile.security.eac.general_authenticate(command, keys, session.entropy)?;
    // A challenge from before the agreement is none for after it.
    session.volatile.challenge = None;
    session.security().channel = Some(Box::new(HostedChannel(State::Ready(channel))));
    Ok(answer)
}

/// A use is opened where the certificate chain gives the right to it; an authentication without it is
/// good and opens nothing.
fn external_authenticate(session: &mut Session<'_>, command: &CommandApdu<'_>, keys: &EacKeys<'_>) -> Reply {
    let challenge = session.take_challenge();
    let security = session.security();
    security.permission = None;
    let rights = security.eac.external_authenticate(command, keys, challenge)?;
    security.permission = rights.contain(Rights::PINLESS_SIGNATURE).then_some(OneUse);
    Ok(Answer::done())
}

/// The profile's channel, whose two states consume each other, in the operating system's place for one.
#[derive(Debug)]
struct HostedChannel(State);

#[derive(Default, Debug)]
enum State {
    Ready(CardChannel),
    Owed(OwedResponse),
    /// After an error: the keys are gone, and the operating system drops what is left.
    #[default]
    Gone,
}

impl SecureChannel for HostedChannel {
    fn unwrap(&mut self, command: &CommandApdu<'_>) -> Result<UnwrappedCommand, StatusWord> {
        let State::Ready(channel) = std::mem::take(&mut self.0) else {
            return Err(StatusWord::SM_OBJECT_WRONG);
        };
        let (plain, owed) = channel.unwrap(command).map_err(|error| error.status_word())?;
        self.0 = State::Owed(owed);
        let (header, data, expected) = plain.into_parts();
        Ok(UnwrappedCommand { header, data, expected })
    }

    fn wrap(&mut self, answer: Answer) -> Result<Answer, StatusWord> {
        let State::Owed(owed) = std::mem::take(&mut self.0) else {
            return Err(StatusWord::INTERNAL);
        };
        let (data, channel) = owed.protect(&answer.data, answer.status).map_err(|_| StatusWord::INTERNAL)?;
        self.0 = State::Ready(channel);
        Ok(Answer { data, status: answer.status })
    }
}
