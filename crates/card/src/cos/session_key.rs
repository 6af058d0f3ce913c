//! Command set `session-key`: SET SESSION KEY, and the secure messaging without integrity that follows.
//!
//! | command | bytes | |
//! |---|---|---|
//! | SET SESSION KEY | `80 AE 00 00 cryptogram` | the card's own; see [`crate::my_number_card::session_key`] |
//!
//! Which key takes the cryptogram, and what has to hold before, stands in the image (`kind =
//! "session-key"`). An application that has none says so (66F1), one whose key nobody here can open
//! refuses (6982).

use super::secure_channel::{OnPlainCommand, SecureChannel, UnwrappedCommand};
use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::{Content, Kind};
use crate::my_number_card::session_key::{CLASS, SessionKey, SessionKeyError};
use zeroize::Zeroizing;

pub(super) const SET: CommandSetTable = CommandSetTable {
    commands: &[(0x80, 0xAE)],
    on_failure: OnFailure::Keep,
    secure_messaging: SecureMessaging::WithoutIntegrity,
    run: |session, command| Some(set_session_key(session, command)),
};

/// 6A86 for parameters, 6700 without data or with Le, 66F1 where the application has no key for it,
/// 6982 where the key's rule does not hold (before anything is decrypted), 6F00 for a cryptogram that is
/// not below the modulus, 6A80 for one that holds no session key. A failure leaves a session that is on
/// as it is.
fn set_session_key(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    if (command.p1, command.p2) != (0, 0) {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    if command.data.is_empty() || command.expected.is_some() {
        return Err(StatusWord::WRONG_LENGTH);
    }
    let objects = session.application()?.objects();
    let found = objects.iter().find_map(|object| match &object.layout.kind {
        Kind::SessionKey { usage } => Some((usage, &object.content)),
        _ => None,
    });
    let (usage, content) = found.ok_or(StatusWord::SECURITY_ENVIRONMENT)?;
    session.admit(usage)?;
    let Content::SessionKey(Some(private_key)) = content else {
        return Err(StatusWord::SECURITY_STATUS);
    };
    let received = SessionKey::received(private_key, command.data).map_err(|error| match error {
        SessionKeyError::Range | SessionKeyError::Library => StatusWord::INTERNAL,
        _ => StatusWord::WRONG_DATA,
    })?;
    session.security().channel = Some(Box::new(Confidential(received)));
    Ok(Answer::done())
}

/// The channel. Its counter moves with every command that it decrypted, whatever the application says.
#[derive(Debug)]
struct Confidential(SessionKey);

impl SecureChannel for Confidential {
    /// 6987 for class 0C, for which there is no key, and without an object; 6882 for other commands than
    /// the four; 6988.
    fn unwrap(&mut self, command: &CommandApdu<'_>) -> Result<UnwrappedCommand, StatusWord> {
        let wrong = StatusWord::SM_OBJECT_WRONG;
        if command.cla & 0x0C != CLASS || command.data.is_empty() {
            return Err(StatusWord::SM_OBJECT_MISSING);
        }
        let header = [command.cla & !0x0C, command.ins, command.p1, command.p2];
        let (data, expected) = match (header, command.ins) {
            ([0, ..], 0x20 | 0x24 | 0xA4) => (self.0.open(command.data).map_err(|_| wrong)?, None),
            ([0, ..], 0xB0) => {
                (Zeroizing::default(), Some(SessionKey::expected(command.data).map_err(|_| wrong)?))
            }
            _ => return Err(StatusWord::SECURE_MESSAGING_NOT_SUPPORTED),
        };
        Ok(UnwrappedCommand { header, data, expected })
    }

    /// Data in object 86; the status word stays in the clear. 6988 where the counter is used up.
    fn wrap(&mut self, answer: Answer) -> Result<Answer, StatusWord> {
        let wrong = |_| StatusWord::SM_OBJECT_WRONG;
        let plain = Zeroizing::new(answer.data);
        let data = if plain.is_empty() { Vec::new() } else { self.0.seal(&plain).map_err(wrong)? };
        self.0.advance().map_err(wrong)?;
        Ok(Answer { data, status: answer.status })
    }

    /// Plain commands may come between; they do not move the counter.
    fn on_plain_command(&self) -> OnPlainCommand {
        OnPlainCommand::Passes
    }
}
