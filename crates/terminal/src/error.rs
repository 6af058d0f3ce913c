//! Why a desk does not start, and how what goes wrong at a running one becomes a problem.

use card::dialogue::DialogueError;
use card::dialogue::Misbehaviour;
use card_io::{ChannelError, ReaderError};
use chassis::client::ClientError;
use protocol::problem::{Problem, ProblemCode};
use std::net::SocketAddr;

/// Why a desk does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kiosk page would be reachable from other machines, and with it the OK button.
    #[error(
        "listen = \"{0}\": the kiosk page must be on a loopback address, because whoever reaches it can press OK"
    )]
    NotLoopback(SocketAddr),
    /// An address cannot be taken.
    #[error("{key} = \"{address}\": {source}")]
    Listen {
        /// The key of the config.
        key: &'static str,
        /// The wanted address.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The TLS files do not do.
    #[error(transparent)]
    Tls(#[from] chassis::tls::TlsError),
    /// The platform's URL is not one.
    #[error(transparent)]
    Platform(#[from] ClientError),
    /// The Secure Element cannot be opened.
    #[error(transparent)]
    Custody(#[from] crate::custody::CustodyError),
    /// The virtual reader cannot be opened.
    #[error("virtual_reader: {0}")]
    Reader(#[from] ReaderError),
    /// A thread for a reader cannot be started.
    #[error("no thread for the reader: {0}")]
    Thread(#[source] std::io::Error),
}

fn problem(code: ProblemCode, detail: impl ToString) -> Box<Problem> {
    Box::new(Problem::new(code).with_detail(detail.to_string()))
}

/// A card that could not be spoken to.
pub fn of_channel(error: &ChannelError) -> Box<Problem> {
    let code = match error {
        ChannelError::CardRemoved | ChannelError::ExchangeBroken => ProblemCode::CardRemoved,
        ChannelError::CardReset => ProblemCode::CardRefused,
        ChannelError::ReaderGone { .. } | ChannelError::Daemon(_) => ProblemCode::ReaderMissing,
        _ => ProblemCode::CardMisbehaved,
    };
    problem(code, error)
}

/// A reader that cannot be used.
pub fn of_reader(error: &ReaderError) -> Box<Problem> {
    let code = match error {
        ReaderError::CardMute { .. } | ReaderError::CardMisbehaved { .. } => ProblemCode::CardMisbehaved,
        ReaderError::Busy { .. } => ProblemCode::DeskBusy,
        _ => ProblemCode::ReaderMissing,
    };
    problem(code, error)
}

/// A dialogue that ended without a result.
pub fn of_dialogue(error: &DialogueError) -> Box<Problem> {
    let code = match error {
        DialogueError::CardMisbehaved { what: Misbehaviour::NoStatusWord, .. } => ProblemCode::CardRemoved,
        DialogueError::CardRefused { .. } => ProblemCode::CardRefused,
        DialogueError::SecureElementRefused { status_word, .. }
            if [0x6985, 0x6A84].contains(&status_word.0) =>
        {
            ProblemCode::SecureElementLocked
        }
        DialogueError::SecureElementRefused { .. } | DialogueError::SecureElementMisbehaved { .. } => {
            ProblemCode::SecureElementRefused
        }
        DialogueError::PlatformPolicy => ProblemCode::PlatformAnswerUnreadable,
        DialogueError::TouchesUsedUp => ProblemCode::CardTouchesUsedUp,
        DialogueError::ProfileNotAllowed => ProblemCode::CardProfileNotAllowed,
        DialogueError::NotGenuine | DialogueError::NotProved => ProblemCode::CardNotGenuine,
        DialogueError::ChannelBroken { .. } => ProblemCode::CardTrafficBroken,
        DialogueError::CertificatesUnusable => ProblemCode::InstitutionCertificateUnusable,
        DialogueError::WrongCard => ProblemCode::CardOfOtherKind,
        DialogueError::SecretWrong { .. } => ProblemCode::SecretWrong,
        DialogueError::SecretBlocked => ProblemCode::SecretBlocked,
        _ => ProblemCode::CardMisbehaved,
    };
    problem(code, error)
}

/// A call that brought no reply.
pub(crate) fn of_client(error: &ClientError) -> Box<Problem> {
    let code = match error {
        ClientError::ServerNotTrusted { .. } => ProblemCode::PlatformNotTrusted,
        ClientError::ClientCertificateExpired { .. } => ProblemCode::TerminalCertificateExpired,
        ClientError::ClientCertificateForeign { .. } | ClientError::ClientCertificateRefused { .. } => {
            ProblemCode::TerminalCertificateForeign
        }
        ClientError::ClientCertificateMissing { .. } => ProblemCode::TerminalCertificateMissing,
        ClientError::Decode(_) | ClientError::ReplyTooLong { .. } => ProblemCode::PlatformAnswerUnreadable,
        _ => ProblemCode::PlatformUnreachable,
    };
    problem(code, error)
}
