//! A touch inside a channel that ends in the Secure Element, profile `eac`.
//!
//! | # | step | command | |
//! |---|---|---|---|
//! | 1 to 14 | the dialogue of [`crate::eac::terminal_side`] | | then: the institution is proved |
//! | 15 | read authentication certificate | `0C B0`, extended | then: count |
//! | 16 | sign statement | `8C 2A 02 97` | then: check and seal |

use super::{End, Means, Next, Touch, Way, exactly, short_reference};
use crate::apdu::StatusWord;
use crate::dialogue::Misbehaviour;
use crate::dialogue::der_file::{self, DerFile, Pieces};
use crate::eac::cvc::{CvcDate, Rights, TerminalChain};
use crate::eac::secure_messaging::SecureMessagingError;
use crate::eac::terminal_side::{
    EacAwaited, EacChannel, EacDialogue, EacError, EacProgress, EacStep, EacTerminal,
};
use crate::my_number_card::jpki::fid;
use crate::secure_element::SecureElementImage;
use crate::secure_element::touch_protocol::{TouchFault, TouchStep};
use protocol::answer::CardProfile;
use protocol::statement::TouchMode;

/// How far the dialogue has come.
pub(super) enum EacWay {
    /// Keys are agreed and the institution is proved.
    Agreeing(Box<Agreement>),
    /// A command of the touch is on its way inside the channel.
    Protected(EacAwaited),
}

/// The dialogue and what it is given at each step.
pub(super) struct Agreement {
    terminal: EacTerminal,
    dialogue: EacDialogue,
}

impl EacWay {
    /// The dialogue and its first command. Certificates that have expired are said at once: a card that
    /// could do more is not spoken to in the clear because the terminal was careless.
    pub(super) fn begin(
        image: &SecureElementImage,
        chain: &TerminalChain,
        touch: &Touch,
    ) -> Result<(Self, Vec<u8>), End> {
        let offline = touch.grant.mode == TouchMode::Offline;
        if offline && !rights(chain).contain(Rights::OFFLINE_VISIT) {
            return Err(TouchFault::CertificatesUnusable.into());
        }
        let today = CvcDate::at(touch.terms.time).ok_or(End::Refused(StatusWord::CONDITIONS))?;
        let card_issuers = vec![image.card_issuer.clone()];
        let terminal = EacTerminal { chain: chain.clone(), card_issuers, today };
        let key =
            image.eac_key(|term| touch.grant.holds(term)).ok_or(End::Refused(StatusWord::SECURITY_STATUS))?;
        match EacDialogue::start(&terminal, key).map_err(end_of)? {
            EacProgress::Send { command, dialogue, .. } => {
                Ok((Self::Agreeing(Box::new(Agreement { terminal, dialogue })), command))
            }
            EacProgress::Done(_) => Err(End::Refused(StatusWord::INTERNAL)),
        }
    }
}

/// What both the accredited body's certificate and the terminal's allow.
fn rights(chain: &TerminalChain) -> Rights {
    let of_body = chain.certificate(chain.accredited_body_place());
    let of_terminal = chain.terminal().body().authorisation.rights;
    of_body.map_or(Rights::NONE, |body| body.body().authorisation.rights.and(of_terminal))
}

/// The same step under its number of the touch. What comes inside the channel has steps of its own.
const fn touch_step(step: EacStep) -> TouchStep {
    match step {
        EacStep::SelectApplication => TouchStep::SelectApplication,
        EacStep::SelectSecurityInfos => TouchStep::SelectSecurityInfos,
        EacStep::ReadSecurityInfos => TouchStep::ReadSecurityInfos,
        EacStep::SelectBatchCertificate => TouchStep::SelectBatchCertificate,
        EacStep::ReadBatchCertificate => TouchStep::ReadBatchCertificate,
        EacStep::ChooseChipAuthentication => TouchStep::ChooseChipAuthentication,
        EacStep::AgreeKeys => TouchStep::AgreeKeys,
        EacStep::ChooseIssuer => TouchStep::ChooseIssuer,
        EacStep::ShowCertificate => TouchStep::ShowCertificate,
        EacStep::ChooseTerminalAuthentication => TouchStep::ChooseTerminalAuthentication,
        EacStep::GetChallenge => TouchStep::GetChallenge,
        EacStep::ExternalAuthenticate => TouchStep::ExternalAuthenticate,
        EacStep::Channel => TouchStep::SignStatement,
    }
}

/// Who is at fault, as the terminal will read it. The step is the touch's own.
fn end_of(error: EacError) -> End {
    match error {
        EacError::CardRefused { status_word, .. } => TouchFault::CardRefused(status_word).into(),
        EacError::CardMisbehaved { .. } => Misbehaviour::Malformed.into(),
        EacError::NoProfile => TouchFault::ProfileNotAllowed.into(),
        EacError::NotGenuine(_) => TouchFault::NotGenuine.into(),
        EacError::NotProved(_) => TouchFault::NotProved.into(),
        EacError::SecureMessaging { problem, .. } => match problem {
            SecureMessagingError::Ended(status_word) => TouchFault::ChannelBroken(status_word).into(),
            SecureMessagingError::Missing | SecureMessagingError::Incorrect => {
                TouchFault::ChannelBroken(StatusWord(0)).into()
            }
            SecureMessagingError::Command | SecureMessagingError::Library => {
                End::Refused(StatusWord::INTERNAL)
            }
        },
        EacError::OwnChain(_) => TouchFault::CertificatesUnusable.into(),
        EacError::InstitutionKey(_) | EacError::Input(_) => End::Refused(StatusWord::INTERNAL),
    }
}

impl Touch {
    /// Takes a response in the dialogue or in the channel.
    pub(super) fn absorb_by_eac(
        &mut self,
        way: EacWay,
        response: &[u8],
        means: Means<'_>,
    ) -> Result<Next, End> {
        match way {
            EacWay::Agreeing(agreement) => self.agree(*agreement, response, means),
            EacWay::Protected(awaited) => self.absorb_protected(awaited, response, means),
        }
    }

    fn agree(
        &mut self,
        Agreement { terminal, dialogue }: Agreement,
        response: &[u8],
        means: Means<'_>,
    ) -> Result<Next, End> {
        let key = means
            .image
            .eac_key(|term| self.grant.holds(term))
            .ok_or(End::Refused(StatusWord::SECURITY_STATUS))?;
        match dialogue.step(response, &terminal, key, means.entropy) {
            Ok(EacProgress::Send { step, command, dialogue }) => {
                self.way = Way::Eac(EacWay::Agreeing(Box::new(Agreement { terminal, dialogue })));
                Ok(Next::Send(touch_step(step), command))
            }
            Ok(EacProgress::Done(channel)) => {
                self.certificate = DerFile::in_pieces(Pieces::Extended);
                let reference = short_reference(fid::AUTH_CERTIFICATE);
                let command = der_file::first_command(reference, Pieces::Extended);
                self.protect(channel, TouchStep::ReadCertificate, &command)
            }
            Err(EacError::NoProfile) if self.step == TouchStep::SelectApplication => {
                Err(TouchFault::WrongCard.into())
            }
            // No SecurityInfos: the card has nothing but the other dialogue. Its application is selected.
            Err(EacError::NoProfile) if self.allows(CardProfile::Jicsap) => Ok(self.begin_in_the_clear()),
            Err(error) => Err(end_of(error)),
        }
    }

    fn protect(&mut self, channel: EacChannel, step: TouchStep, command: &[u8]) -> Result<Next, End> {
        let (wrapped, awaited) = channel.wrap(command).map_err(end_of)?;
        self.way = Way::Eac(EacWay::Protected(awaited));
        Ok(Next::Send(step, wrapped))
    }

    fn absorb_protected(
        &mut self,
        awaited: EacAwaited,
        response: &[u8],
        mut means: Means<'_>,
    ) -> Result<Next, End> {
        let (data, status, channel) = awaited.unwrap(response).map_err(end_of)?;
        if status != StatusWord::OK {
            return Err(TouchFault::CardRefused(status).into());
        }
        if self.step == TouchStep::SignStatement {
            return self.seal(exactly(&data)?, CardProfile::Eac);
        }
        if let Some(next) = self.certificate.absorb(&data)? {
            return self.protect(channel, TouchStep::ReadCertificate, &next);
        }
        self.know_card();
        self.count(&mut means)?;
        let command = self.signature_command()?;
        self.protect(channel, TouchStep::SignStatement, &command)
    }
}
