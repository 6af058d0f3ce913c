//! What can go wrong in a check, and the one place where it becomes a problem.

use crate::nonce::NonceProblem;
use crate::store::StoreError;
use pki::revocation::RevocationReason;
use pki::validate::CertificateProblem;
use protocol::answer::CardProfile;
use protocol::problem::{Problem, ProblemCode};
use protocol::sealed_evidence::EvidenceError;
use protocol::statement::StatementError;

/// A refusal, by culprit.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is not what the interface describes.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// The terminal is not registered.
    #[error("unknown terminal")]
    TerminalUnknown,
    /// The terminal is suspended.
    #[error("suspended terminal")]
    TerminalSuspended,
    /// The Secure Element is not the registered one.
    #[error("another Secure Element than the registered one")]
    SecureElementUnknown,
    /// The statement cannot be read.
    #[error("statement: {0}")]
    Statement(#[from] StatementError),
    /// The statement names another terminal.
    #[error("statement of another terminal")]
    OtherTerminal,
    /// The statement names another institution.
    #[error("statement for another institution")]
    OtherInstitution,
    /// The statement's time is off.
    #[error("the terminal's clock is off by {offset_seconds} s, allowed are {tolerance_seconds} s")]
    TimeOff {
        /// Terminal minus platform.
        offset_seconds: i64,
        /// What is allowed.
        tolerance_seconds: u64,
    },
    /// The consent text is not the one for this institution and purpose.
    #[error("unknown consent text")]
    ConsentUnknown,
    /// The nonce.
    #[error("nonce: {0}")]
    Nonce(#[from] NonceProblem),
    /// The counter.
    #[error("the counter is not above {highest}")]
    Replayed {
        /// The highest counter accepted from this terminal.
        highest: u64,
    },
    /// The statement was made offline; there is no visit ledger to hold it against yet.
    #[error("an offline statement")]
    Offline,
    /// The sealed evidence.
    #[error("evidence: {0}")]
    Evidence(#[from] EvidenceError),
    /// The card dialogue is not among the allowed ones.
    #[error("the card profile \"{}\" is not allowed", .0.as_str())]
    ProfileNotAllowed(CardProfile),
    /// The card's signature.
    #[error("the card's signature does not hold")]
    CardSignature,
    /// The card's certificate or its status.
    #[error("certificate: {0}")]
    Certificate(CertificateProblem),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The audit log.
    #[error("the audit log refuses: {0}")]
    Log(String),
    /// A signature of the platform's own could not be made.
    #[error("the platform's own key failed")]
    OwnKey,
}

impl Refusal {
    /// The problem that the terminal sees. Never personal data.
    pub fn to_problem(&self) -> Problem {
        use ProblemCode as P;
        let of = |code: P| Problem::new(code);
        match self {
            Self::Malformed(what) => of(P::MalformedRequest).with_detail(what.clone()),
            Self::TerminalUnknown => of(P::TerminalUnknown),
            Self::TerminalSuspended => of(P::TerminalSuspended),
            Self::SecureElementUnknown => of(P::SecureElementUnknown),
            Self::Statement(why) => of(P::StatementMalformed).with_detail(why.to_string()),
            Self::OtherTerminal => of(P::StatementOtherTerminal),
            Self::OtherInstitution => of(P::StatementOtherInstitution),
            Self::TimeOff { .. } => of(P::StatementTimeOff).with_detail(self.to_string()),
            Self::ConsentUnknown => of(P::ConsentTextUnknown),
            Self::Nonce(NonceProblem::Foreign) => of(P::NonceForeign),
            Self::Nonce(expired @ NonceProblem::Expired { .. }) => {
                of(P::NonceExpired).with_detail(expired.to_string())
            }
            Self::Replayed { .. } => of(P::StatementReplayed).with_detail(self.to_string()),
            Self::Offline => of(P::StatementOffline),
            Self::Evidence(why) => of(P::EvidenceNotOpened).with_detail(why.to_string()),
            Self::ProfileNotAllowed(_) => of(P::CardProfileNotAllowed).with_detail(self.to_string()),
            Self::CardSignature => of(P::CardSignatureInvalid),
            Self::Certificate(problem) => certificate_problem(problem),
            Self::Store(_) | Self::Log(_) | Self::OwnKey => {
                let mut problem = of(P::PlatformStoreFailed);
                problem.retry_after = Some(30);
                problem
            }
        }
    }
}

fn certificate_problem(problem: &CertificateProblem) -> Problem {
    use ProblemCode as P;
    let code = match problem {
        CertificateProblem::Malformed { .. } => P::CertificateMalformed,
        CertificateProblem::ForeignIssuer | CertificateProblem::BadSignature => P::CertificateForeign,
        CertificateProblem::NotYetValid => P::CertificateNotYetValid,
        CertificateProblem::Expired => P::CertificateExpired,
        CertificateProblem::WrongProfile { .. } => P::CertificateWrongProfile,
        CertificateProblem::StatusUnknown { .. } | CertificateProblem::StatusTooOld { .. } => {
            let mut problem = Problem::new(P::RevocationStatusUnknown).with_detail(problem.to_string());
            problem.retry_after = Some(60);
            return problem;
        }
        CertificateProblem::Revoked { reason, .. } => {
            let code = match reason {
                RevocationReason::CertificateHold => P::CertificateHold,
                RevocationReason::AffiliationChanged => P::AffiliationChanged,
                RevocationReason::Superseded => P::Superseded,
                RevocationReason::CessationOfOperation => P::CessationOfOperation,
                _ => P::CertificateRevoked,
            };
            return Problem::new(code).with_reason(reason.as_str());
        }
    };
    Problem::new(code).with_detail(problem.to_string())
}
