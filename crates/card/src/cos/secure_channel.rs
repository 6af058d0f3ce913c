//! The place for secure messaging: what unwraps a command before anything looks at it, and wraps the
//! answer last, ISO/IEC 7816-4:2020 §10.

use crate::apdu::{Answer, CommandApdu, LengthForm, StatusWord};
use std::fmt;
use zeroize::Zeroizing;

/// A command as it was before it was wrapped.
pub(crate) struct UnwrappedCommand {
    /// Class without secure messaging bits, instruction, parameters.
    pub(crate) header: [u8; 4],
    /// Data in the clear.
    pub(crate) data: Zeroizing<Vec<u8>>,
    /// The protected Ne.
    pub(crate) expected: Option<u32>,
}

impl UnwrappedCommand {
    /// As a command like any other. Its form is short where Ne lets it: the wrapping has no form.
    pub(super) fn apdu(&self) -> CommandApdu<'_> {
        let [cla, ins, p1, p2] = self.header;
        let long = self.data.len() > 255 || self.expected.is_some_and(|ne| ne > 256);
        let form = if long { LengthForm::Extended } else { LengthForm::Short };
        CommandApdu { cla, ins, p1, p2, data: &self.data, expected: self.expected, form }
    }
}

/// What a command in the clear does to secure messaging.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnPlainCommand {
    /// It ends it.
    Ends,
    /// It goes by beside it.
    Passes,
}

/// Session keys with their counter. A command set that agrees on keys puts one into the security
/// status; from the next command on everything passes through it. It is dropped, and what the
/// institution reached with it, when it answers an error, when a command comes in the clear (unless it
/// lets these pass), when another application is selected and at power-off.
pub(crate) trait SecureChannel: fmt::Debug + Send {
    /// Checks and decrypts. The command's class still has its secure messaging bits. 6987 where a data
    /// object is missing, 6988 where one is wrong.
    fn unwrap(&mut self, command: &CommandApdu<'_>) -> Result<UnwrappedCommand, StatusWord>;

    /// Protects an answer, a refusal too: the status word stays, and stands inside as well.
    fn wrap(&mut self, answer: Answer) -> Result<Answer, StatusWord>;

    /// What becomes of it when a command comes in the clear.
    fn on_plain_command(&self) -> OnPlainCommand {
        OnPlainCommand::Ends
    }
}
