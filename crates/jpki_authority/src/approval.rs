//! Two people for what one alone must not do: use of an authority's key beyond everyday issuing, and who
//! counts as an institution or an operator. docs/approval.md.
//!
//! ```text
//! request (A signs) ──▶ pending ──approve (B signs)──▶ approved ──begin──▶ begun ──▶ executed, once
//!                          │                             └── what only changes the store ──▶ executed
//!                          └──refuse (anybody but A's word is needed: A or B signs)──▶ refused
//! ```
//!
//! This file is pure: what a request says, who may decide it and what each signature is over. A request is
//! taken up again from the store's bytes at every step, so one that was changed there fits no signature.
//! [`Approved`] is the proof that two people agreed: only [`Pending::decide`] and [`Approved::again`] make
//! one, and nothing is executed without it.

pub mod desk;
mod operation;

pub use operation::{Octets, Operation, OperationProblem, REVOKED_AT_ONCE_MAX};

use pki::public_key::{SignatureAlgorithm, VerifyingKey};
use pki::signer::{IssuerSigner, SignError};
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;

/// Longest time for which a request may wait.
pub const WAIT_SECONDS_MAX: u64 = 7 * 86_400;
/// How far the clock of the machine where an operator signs may be off.
pub const CLOCK_OFFSET_SECONDS_MAX: u64 = 300;
/// Fewest operators that must be left: with fewer nothing could be approved any more.
pub const OPERATORS_MIN: usize = 2;
/// Longest name of an operator, in octets.
const NAME_OCTETS_MAX: usize = 32;
/// Longest reason that a request may give, in octets.
const WHY_OCTETS_MAX: usize = 500;

const REQUEST_TAG: &[u8] = b"kazasu approval 1 request\0";
const APPROVE_TAG: &[u8] = b"kazasu approval 1 approve\0";
const REFUSE_TAG: &[u8] = b"kazasu approval 1 refuse\0";

/// Somebody who may request and decide, known by a P-256 key.
#[doc(alias = "運用者")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
    /// Name: lower-case letters, digits, `.` and `-`.
    pub name: String,
    /// The public key: DER SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// Since when.
    pub enrolled_at: UnixSeconds,
    /// Until when, if no longer.
    pub removed_at: Option<UnixSeconds>,
}

impl Operator {
    /// A new one.
    ///
    /// # Errors
    /// [`OperationProblem`] for a name or a key that cannot be used.
    pub fn new(name: &str, spki_der: &[u8], now: UnixSeconds) -> Result<Self, OperationProblem> {
        let letters =
            |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b".-".contains(&octet);
        if !(1..=NAME_OCTETS_MAX).contains(&name.len()) || !name.bytes().all(letters) {
            return Err(OperationProblem("an operator's name is 1 to 32 of a-z, 0-9, '.' and '-'"));
        }
        match VerifyingKey::from_spki_der(spki_der) {
            Ok(key) if key.algorithm() == SignatureAlgorithm::EcdsaP256Sha256 => {
                let spki_der = spki_der.to_vec();
                Ok(Self { name: name.to_owned(), spki_der, enrolled_at: now, removed_at: None })
            }
            _ => Err(OperationProblem("an operator's key is P-256")),
        }
    }

    fn is_active(&self) -> bool {
        self.removed_at.is_none()
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        VerifyingKey::from_spki_der(&self.spki_der).is_ok_and(|key| key.verifies(message, signature))
    }
}

/// Everybody who is or was an operator. Names and keys are never given twice.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roster(pub Vec<Operator>);

impl Roster {
    /// The operator of this name, removed or not.
    pub fn find(&self, name: &str) -> Option<&Operator> {
        self.0.iter().find(|operator| operator.name == name)
    }

    /// Those who are operators now.
    pub fn active(&self) -> impl Iterator<Item = &Operator> {
        self.0.iter().filter(|operator| operator.is_active())
    }

    /// Whether one person could still do what later takes two: until there are two.
    pub fn is_founding(&self) -> bool {
        self.0.len() < OPERATORS_MIN
    }

    fn active_named(&self, name: &str) -> Result<&Operator, ApprovalError> {
        match self.find(name) {
            Some(operator) if operator.is_active() => Ok(operator),
            Some(_) => Err(ApprovalError::OperatorRemoved),
            None => Err(ApprovalError::OperatorUnknown),
        }
    }
}

/// Which authority is meant: SHA-256 over its authentication CA's certificate. In every signature, so
/// that none counts anywhere else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuthorityScope(pub [u8; 32]);

/// Names a request: eight random octets, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub [u8; 8]);

impl RequestId {
    /// From its hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 16 || !text.is_ascii() {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// Why a request or a decision does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Nobody of this name is an operator.
    #[error("no operator of this name is enrolled")]
    OperatorUnknown,
    /// Somebody who is no longer one.
    #[error("this operator was removed")]
    OperatorRemoved,
    /// The signature is not the operator's over exactly this: another key, or something was changed.
    #[error("the signature does not fit: another key, or the request was changed after signing")]
    Signature,
    /// Who requests cannot approve.
    #[error("the one who requested cannot approve: it takes another person")]
    SamePerson,
    /// Two names with one key are one person.
    #[error("both signatures are by one key: it takes another person")]
    SameKey,
    /// Too late.
    #[error("the request expired before it was decided")]
    Expired,
    /// A wait of no time, or of more than [`WAIT_SECONDS_MAX`].
    #[error("a request waits for seven days at most")]
    WaitTooLong,
    /// Signed at another time than now.
    #[error("signed at another time than now: check the clocks, and sign again")]
    ClockOff,
    /// The same request again.
    #[error("this request was filed before: a request is never used twice")]
    Replayed,
    /// There is no such request.
    #[error("there is no such request")]
    RequestUnknown,
    /// It is decided.
    #[error("the request is decided already")]
    Decided,
    /// It is not approved, or executed already.
    #[error("the request is not approved, or is executed already")]
    NotToExecute,
    /// What it asks for cannot be done.
    #[error("{0}")]
    Operation(#[from] OperationProblem),
    /// From the second operator on, what was founding takes two.
    #[error("there are two operators: this takes a request and an approval now")]
    FoundingOver,
    /// It needs an authority's key, and was tried without.
    #[error("this operation needs the authority's key")]
    NeedsAuthority,
}

impl ApprovalError {
    /// One word for the audit.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::OperatorUnknown => "refused_operator_unknown",
            Self::OperatorRemoved => "refused_operator_removed",
            Self::Signature => "refused_signature",
            Self::SamePerson => "refused_same_person",
            Self::SameKey => "refused_same_key",
            Self::Expired => "refused_expired",
            Self::WaitTooLong => "refused_wait_too_long",
            Self::ClockOff => "refused_clock_off",
            Self::Replayed => "refused_replayed",
            Self::RequestUnknown => "refused_request_unknown",
            Self::Decided => "refused_decided",
            Self::NotToExecute => "refused_not_to_execute",
            Self::Operation(_) => "refused_operation",
            Self::FoundingOver => "refused_founding_over",
            Self::NeedsAuthority => "refused_needs_authority",
        }
    }
}

/// A request as its operator signed it.
#[doc(alias = "承認依頼")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRequest {
    /// Its name.
    pub id: RequestId,
    /// The operation's bytes: what is signed, kept and executed.
    pub operation: Vec<u8>,
    /// Why, in words, for whoever decides.
    pub why: String,
    /// Who requests.
    pub requested_by: String,
    /// When.
    pub requested_at: UnixSeconds,
    /// From here on it cannot be approved any more.
    pub expires_at: UnixSeconds,
    /// The operator's signature: ECDSA P-256 with SHA-256, DER.
    pub signature: Vec<u8>,
}

/// Yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It shall be done.
    Approve,
    /// It shall not. Whoever requested may take it back so.
    Refuse,
}

impl Verdict {
    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Refuse => "refuse",
        }
    }
}

/// A decision as its operator signed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedDecision {
    /// Yes or no.
    pub verdict: Verdict,
    /// Who decided.
    pub decided_by: String,
    /// When.
    pub decided_at: UnixSeconds,
    /// The operator's signature over the request, its signature and this.
    pub signature: Vec<u8>,
}

/// Appends a part with its length, so that no two messages have the same bytes.
fn part(message: &mut Vec<u8>, octets: &[u8]) {
    message.extend_from_slice(&(octets.len() as u64).to_be_bytes());
    message.extend_from_slice(octets);
}

impl SignedRequest {
    /// What the operator signs.
    fn message(&self, scope: AuthorityScope) -> Vec<u8> {
        let mut message = REQUEST_TAG.to_vec();
        message.extend_from_slice(&scope.0);
        message.extend_from_slice(&self.id.0);
        message.extend_from_slice(&self.requested_at.0.to_be_bytes());
        message.extend_from_slice(&self.expires_at.0.to_be_bytes());
        part(&mut message, self.requested_by.as_bytes());
        part(&mut message, self.why.as_bytes());
        part(&mut message, &self.operation);
        message
    }

    /// Makes a request and signs it.
    ///
    /// # Errors
    /// A key that does not sign.
    pub fn sign(
        operation: &Operation,
        (requested_by, why): (&str, &str),
        (requested_at, wait_seconds): (UnixSeconds, u64),
        scope: AuthorityScope,
        key: &dyn IssuerSigner,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, SignError> {
        let mut id = RequestId([0; 8]);
        entropy.fill(&mut id.0);
        let mut request = Self {
            id,
            operation: operation.to_bytes(),
            why: why.to_owned(),
            requested_by: requested_by.to_owned(),
            requested_at,
            expires_at: requested_at.plus(wait_seconds),
            signature: Vec::new(),
        };
        request.signature = key.sign(&request.message(scope))?;
        Ok(request)
    }

    /// Reads it and checks the requester's signature.
    fn verified(&self, roster: &Roster, scope: AuthorityScope) -> Result<Operation, ApprovalError> {
        let operator = roster.find(&self.requested_by).ok_or(ApprovalError::OperatorUnknown)?;
        if !operator.signed(&self.message(scope), &self.signature) {
            return Err(ApprovalError::Signature);
        }
        Ok(Operation::from_bytes(&self.operation)?)
    }
}

impl SignedDecision {
    fn message(&self, request: &SignedRequest, scope: AuthorityScope) -> Vec<u8> {
        let mut message = match self.verdict {
            Verdict::Approve => APPROVE_TAG.to_vec(),
            Verdict::Refuse => REFUSE_TAG.to_vec(),
        };
        message.extend_from_slice(&self.decided_at.0.to_be_bytes());
        part(&mut message, self.decided_by.as_bytes());
        part(&mut message, &request.message(scope));
        part(&mut message, &request.signature);
        message
    }

    /// Decides a request and signs that.
    ///
    /// # Errors
    /// A key that does not sign.
    pub fn sign(
        request: &SignedRequest,
        verdict: Verdict,
        (decided_by, decided_at): (&str, UnixSeconds),
        scope: AuthorityScope,
        key: &dyn IssuerSigner,
    ) -> Result<Self, SignError> {
        let mut decision =
            Self { verdict, decided_by: decided_by.to_owned(), decided_at, signature: Vec::new() };
        decision.signature = key.sign(&decision.message(request, scope))?;
        Ok(decision)
    }
}

fn is_near(signed_at: UnixSeconds, now: UnixSeconds) -> bool {
    signed_at.since(now).max(now.since(signed_at)) <= CLOCK_OFFSET_SECONDS_MAX
}

/// A request that counts, and waits for a second person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    request: SignedRequest,
    operation: Operation,
}

/// A request that two people agreed on.
#[doc(alias = "二人承認")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approved {
    request: SignedRequest,
    operation: Operation,
    approved_by: String,
}

/// What a decision makes of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decided {
    /// It may be executed.
    Approved(Approved),
    /// It is over.
    Refused,
}

impl Pending {
    /// Takes up a new request.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn new(
        request: SignedRequest,
        roster: &Roster,
        scope: AuthorityScope,
        now: UnixSeconds,
    ) -> Result<Self, ApprovalError> {
        roster.active_named(&request.requested_by)?;
        let operation = request.verified(roster, scope)?;
        if request.why.len() > WHY_OCTETS_MAX {
            return Err(OperationProblem("a reason has 500 octets at most").into());
        }
        if !is_near(request.requested_at, now) {
            return Err(ApprovalError::ClockOff);
        }
        if !(1..=WAIT_SECONDS_MAX).contains(&request.expires_at.since(request.requested_at)) {
            return Err(ApprovalError::WaitTooLong);
        }
        operation.check(now)?;
        Ok(Self { request, operation })
    }

    /// Takes a request up again from the store.
    ///
    /// # Errors
    /// [`ApprovalError::Signature`] if it was changed there.
    pub fn again(
        request: SignedRequest,
        roster: &Roster,
        scope: AuthorityScope,
    ) -> Result<Self, ApprovalError> {
        let operation = request.verified(roster, scope)?;
        Ok(Self { request, operation })
    }

    /// What it asks for.
    pub const fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The request itself.
    pub const fn request(&self) -> &SignedRequest {
        &self.request
    }

    /// Decides it. To approve takes another person and another key, in time; to refuse, any operator.
    ///
    /// # Errors
    /// [`ApprovalError`]; the request stays pending.
    pub fn decide(
        self,
        decision: &SignedDecision,
        roster: &Roster,
        scope: AuthorityScope,
        now: UnixSeconds,
    ) -> Result<Decided, ApprovalError> {
        roster.active_named(&decision.decided_by)?;
        if !is_near(decision.decided_at, now) {
            return Err(ApprovalError::ClockOff);
        }
        match decision.verdict {
            Verdict::Approve => {
                // Somebody who left in the meantime no longer stands behind the request.
                roster.active_named(&self.request.requested_by)?;
                if now >= self.request.expires_at {
                    return Err(ApprovalError::Expired);
                }
                Approved::again(self.request, decision, roster, scope).map(Decided::Approved)
            }
            Verdict::Refuse => {
                let operator = roster.active_named(&decision.decided_by)?;
                let message = decision.message(&self.request, scope);
                let fits = operator.signed(&message, &decision.signature);
                if fits { Ok(Decided::Refused) } else { Err(ApprovalError::Signature) }
            }
        }
    }
}

impl Approved {
    /// Takes an approved request up again from the store: both signatures are checked anew, over what is
    /// there now. When it was approved does not matter here: the store took that down at the time.
    ///
    /// # Errors
    /// [`ApprovalError`] if anything of it was changed, or was never two people's.
    pub fn again(
        request: SignedRequest,
        decision: &SignedDecision,
        roster: &Roster,
        scope: AuthorityScope,
    ) -> Result<Self, ApprovalError> {
        if decision.verdict != Verdict::Approve {
            return Err(ApprovalError::NotToExecute);
        }
        if decision.decided_by == request.requested_by {
            return Err(ApprovalError::SamePerson);
        }
        let operation = request.verified(roster, scope)?;
        let one = roster.find(&request.requested_by).ok_or(ApprovalError::OperatorUnknown)?;
        let other = roster.find(&decision.decided_by).ok_or(ApprovalError::OperatorUnknown)?;
        if one.spki_der == other.spki_der {
            return Err(ApprovalError::SameKey);
        }
        if !other.signed(&decision.message(&request, scope), &decision.signature) {
            return Err(ApprovalError::Signature);
        }
        Ok(Self { request, operation, approved_by: decision.decided_by.clone() })
    }

    /// What shall be done.
    pub const fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Which request.
    pub const fn id(&self) -> RequestId {
        self.request.id
    }

    /// The two people, who requested first.
    pub fn people(&self) -> [&str; 2] {
        [&self.request.requested_by, &self.approved_by]
    }
}

#[cfg(test)]
mod tests;
