//! Files, decides and executes requests against the store, with a line in the audit for each, refused
//! ones included.

use super::{
    ApprovalError, Approved, AuthorityScope, Decided, Operation, Operator, Pending, RequestId, Roster,
    SignedDecision, SignedRequest, operation,
};
use crate::CertificateKind;
use crate::audit::{AuditKey, AuditLine, Entry};
use crate::authority::Authority;
use crate::config::Config;
use crate::error::AuthorityError;
use crate::store::sqlite::SqliteStore;
use crate::store::{Revocation, Store, StoreError};
use pki::pem::{self, PemKind};
use pki::profile::{AuthorityProfile, Validity};
use pki::serial::SerialNumber;
use protocol::entropy::Entropy;
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;
use std::sync::Arc;

/// Octets of a sub-authority's serial number: longer than any card's.
const AUTHORITY_SERIAL_OCTETS: usize = 16;

/// What is done before there are two operators, by one person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Founding {
    /// One of the first two operators.
    Operator(Operator),
    /// An institution that is there from the beginning.
    Institution {
        /// Its code.
        code: InstitutionCode,
        /// Its name.
        name: String,
    },
}

/// Where a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestState {
    /// It waits for a second person.
    Pending,
    /// Two agreed; it is to be executed.
    Approved,
    /// A serial number is spent for it; what it asks for may have been signed.
    Begun,
    /// It is done, and never done again.
    Executed,
    /// It was refused or taken back.
    Refused,
}

impl RequestState {
    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Begun => "begun",
            Self::Executed => "executed",
            Self::Refused => "refused",
        }
    }
}

/// A request as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptRequest {
    /// As it was signed.
    pub request: SignedRequest,
    /// The decision, if there is one.
    pub decision: Option<SignedDecision>,
    /// Where it stands.
    pub state: RequestState,
    /// What came of it, one word; empty before.
    pub outcome: String,
    /// What was signed, in DER, if anything.
    pub product: Option<Vec<u8>>,
}

/// What is fixed before something is signed: after a crash the same is signed again, nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun {
    /// The serial number that was spent.
    pub serial: SerialNumber,
    /// First instant of validity.
    pub at: UnixSeconds,
}

/// What an execution changes in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Another operator.
    Enrol(Operator),
    /// One less.
    Remove(String),
    /// An institution's standing.
    Institution {
        /// Its code.
        code: InstitutionCode,
        /// Its name; `None` leaves what is known.
        name: Option<String>,
        /// Whether its terminals get certificates.
        standing: InstitutionStanding,
    },
    /// Certificates are revoked.
    Revoke(Vec<Revocation>),
    /// Certificates may leave the lists.
    AcceptDepartures(CertificateKind, Vec<SerialNumber>),
    /// Delegates are to be replaced.
    ReplaceDelegates,
    /// A certificate was signed.
    Keep {
        /// By which authority.
        kind: CertificateKind,
        /// Under which number.
        serial: SerialNumber,
        /// The certificate in DER.
        der: Vec<u8>,
        /// Last instant of its validity.
        not_after: UnixSeconds,
    },
}

/// Whether an institution's terminals get certificates.
#[doc(alias = "認定機関")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InstitutionStanding {
    /// They do.
    Accredited,
    /// They do not.
    Suspended,
}

/// What an execution came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Execution {
    /// One word: `executed`, or `void_…` where the store had changed so that there was nothing to do.
    pub outcome: String,
    /// What was signed, in DER, if anything.
    pub product: Option<Vec<u8>>,
}

/// Requests, decisions and operators.
pub trait ApprovalStore: Send + Sync {
    /// Everybody who is or was an operator, in order of enrolment.
    ///
    /// # Errors
    /// The engine's.
    fn operators(&self) -> Result<Roster, StoreError>;

    /// Does what one person may do as long as there are not two operators.
    ///
    /// # Errors
    /// [`StoreError::FoundingOver`]; [`StoreError::OperatorKnown`] for a name or a key that is there.
    fn found(&self, founding: &Founding, at: UnixSeconds, entry: Entry<'_>) -> Result<(), StoreError>;

    /// Keeps a new request.
    ///
    /// # Errors
    /// [`StoreError::RequestKnown`] for one whose name was used before.
    fn file_request(&self, request: &SignedRequest, entry: Entry<'_>) -> Result<(), StoreError>;

    /// A request.
    ///
    /// # Errors
    /// The engine's.
    fn request(&self, id: RequestId) -> Result<Option<KeptRequest>, StoreError>;

    /// Every request, in order of filing.
    ///
    /// # Errors
    /// The engine's.
    fn requests(&self) -> Result<Vec<KeptRequest>, StoreError>;

    /// Takes down a decision on a pending request.
    ///
    /// # Errors
    /// [`StoreError::RequestDecided`] if it is not pending any more.
    fn decide(&self, id: RequestId, decision: &SignedDecision, entry: Entry<'_>) -> Result<(), StoreError>;

    /// Spends the serial number of an approved request, or gives the one that was spent for it before.
    ///
    /// # Errors
    /// [`StoreError::RequestDecided`] if it is neither approved nor begun.
    fn begin(&self, approved: &Approved, kind: CertificateKind, begun: Begun) -> Result<Begun, StoreError>;

    /// Changes the store as the request asks, and notes that it is done: together, and once.
    ///
    /// # Errors
    /// [`StoreError::RequestDecided`] if it is neither approved nor begun.
    fn execute(
        &self,
        approved: &Approved,
        effect: &Effect,
        at: UnixSeconds,
        entry: Entry<'_>,
    ) -> Result<Execution, StoreError>;
}

/// What executed requests left behind for the rest of the room.
pub trait InstitutionStore: Send + Sync {
    /// Whether an institution's terminals get certificates; `None` for one that nobody ever accredited.
    ///
    /// # Errors
    /// The engine's.
    fn institution(&self, code: &InstitutionCode) -> Result<Option<InstitutionStanding>, StoreError>;

    /// Whether two people accepted that a certificate leaves the lists.
    ///
    /// # Errors
    /// The engine's.
    fn is_departure_accepted(&self, kind: CertificateKind, serial: &SerialNumber)
    -> Result<bool, StoreError>;

    /// How often two people ordered new delegates.
    ///
    /// # Errors
    /// The engine's.
    fn delegates_ordered(&self) -> Result<u64, StoreError>;
}

/// Where operators' requests are handled.
pub struct ApprovalDesk {
    store: Arc<dyn Store>,
    key: AuditKey,
    scope: AuthorityScope,
}

impl std::fmt::Debug for ApprovalDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApprovalDesk")
    }
}

/// The scope of the authority with this configuration.
///
/// # Errors
/// A certificate that cannot be read.
pub fn scope_of(config: &Config) -> Result<AuthorityScope, AuthorityError> {
    let path = crate::authority::ca_path(config, CertificateKind::CardHolderAuth);
    let problem = |error: &dyn std::fmt::Display| crate::authority::file_error(&path, error);
    let text = std::fs::read_to_string(&path).map_err(|error| problem(&error))?;
    let der = pem::decode(PemKind::Certificate, &text).map_err(|error| problem(&error))?;
    Ok(AuthorityScope(pki::ocsp::sha256(&der)))
}

impl ApprovalDesk {
    /// The desk of the authority with this configuration: its store, its audit key, none of its own keys.
    ///
    /// # Errors
    /// Files that are missing or readable by others; a store that cannot be used.
    pub fn open(config: &Config, entropy: &mut dyn Entropy) -> Result<Self, AuthorityError> {
        let store = Arc::new(SqliteStore::open(&config.store)?);
        let key = AuditKey::open(&config.keys_dir, store.as_ref(), entropy)?;
        Ok(Self { store, key, scope: scope_of(config)? })
    }

    /// With the parts given.
    pub const fn with_parts(store: Arc<dyn Store>, key: AuditKey, scope: AuthorityScope) -> Self {
        Self { store, key, scope }
    }

    /// What every signature names.
    pub const fn scope(&self) -> AuthorityScope {
        self.scope
    }

    /// The audit's key.
    pub const fn audit_key(&self) -> &AuditKey {
        &self.key
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    fn line(&self, who: &str, act: &str, about: &str, outcome: &str, now: UnixSeconds) -> AuditLine {
        AuditLine {
            at: now,
            who: who.to_owned(),
            act: act.to_owned(),
            purpose: String::new(),
            about: about.to_owned(),
            outcome: outcome.to_owned(),
        }
    }

    /// Passes an outcome on; a refusal has its line first.
    fn audited<T>(
        &self,
        outcome: Result<T, AuthorityError>,
        (who, act, about): (&str, &str, &str),
        now: UnixSeconds,
    ) -> Result<T, AuthorityError> {
        if let Err(AuthorityError::Approval(refusal)) = &outcome {
            let line = self.line(who, act, about, refusal.word(), now);
            self.store.append_audit(Entry { key: &self.key, lines: &[line] })?;
        }
        outcome
    }

    /// Does what one person may do as long as there are not two operators. `who` is for the audit.
    ///
    /// # Errors
    /// [`ApprovalError::FoundingOver`]; a name or a key that is there already.
    pub fn found(&self, founding: &Founding, who: &str, now: UnixSeconds) -> Result<(), AuthorityError> {
        let (act, about) = match founding {
            Founding::Operator(operator) => ("found_operator", operator.name.as_str()),
            Founding::Institution { code, .. } => ("found_institution", code.as_str()),
        };
        let line = self.line(who, act, about, "executed", now);
        let done = self.store.found(founding, now, Entry { key: &self.key, lines: &[line] });
        self.audited(done.map_err(refusal), (who, act, about), now)
    }

    /// Files a request.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn file(&self, request: SignedRequest, now: UnixSeconds) -> Result<Pending, AuthorityError> {
        let (who, id) = (format!("operator:{}", request.requested_by), request.id.to_string());
        let filed = self.file_unaudited(request, &who, now);
        self.audited(filed, (&who, "request", &id), now)
    }

    fn file_unaudited(
        &self,
        request: SignedRequest,
        who: &str,
        now: UnixSeconds,
    ) -> Result<Pending, AuthorityError> {
        let roster = self.store.operators()?;
        let pending = Pending::new(request, &roster, self.scope, now)?;
        let request = pending.request();
        let act = format!("request {}", pending.operation().word());
        let line = self.line(who, &act, &request.id.to_string(), "pending", now);
        self.store.file_request(request, Entry { key: &self.key, lines: &[line] }).map_err(refusal)?;
        Ok(pending)
    }

    /// A request that is there.
    ///
    /// # Errors
    /// [`ApprovalError::RequestUnknown`].
    pub fn request(&self, id: RequestId) -> Result<KeptRequest, AuthorityError> {
        Ok(self.store.request(id)?.ok_or(ApprovalError::RequestUnknown)?)
    }

    /// Takes a decision down. Approved requests are executed by [`Self::execute`].
    ///
    /// # Errors
    /// [`ApprovalError`]; the request stays as it was.
    pub fn decide(
        &self,
        id: RequestId,
        decision: &SignedDecision,
        now: UnixSeconds,
    ) -> Result<Decided, AuthorityError> {
        let who = format!("operator:{}", decision.decided_by);
        let decided = self.decide_unaudited(id, decision, &who, now);
        self.audited(decided, (&who, decision.verdict.word(), &id.to_string()), now)
    }

    fn decide_unaudited(
        &self,
        id: RequestId,
        decision: &SignedDecision,
        who: &str,
        now: UnixSeconds,
    ) -> Result<Decided, AuthorityError> {
        let kept = self.request(id)?;
        if kept.state != RequestState::Pending {
            return Err(ApprovalError::Decided.into());
        }
        let roster = self.store.operators()?;
        let pending = Pending::again(kept.request, &roster, self.scope)?;
        let decided = pending.decide(decision, &roster, self.scope, now)?;
        let outcome = match &decided {
            Decided::Approved(_) => "approved",
            Decided::Refused => "refused",
        };
        let line = self.line(who, decision.verdict.word(), &id.to_string(), outcome, now);
        self.store.decide(id, decision, Entry { key: &self.key, lines: &[line] }).map_err(refusal)?;
        Ok(decided)
    }

    /// Executes an approved request, once. One that was begun before a crash is finished with the serial
    /// number and the dates that were fixed then. `authority` is needed for what its key signs.
    ///
    /// # Errors
    /// [`ApprovalError`]; a signer or a store that refuses.
    pub fn execute(
        &self,
        id: RequestId,
        authority: Option<&Authority>,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Execution, AuthorityError> {
        let kept = self.request(id)?;
        let decision = match (kept.state, &kept.decision) {
            (RequestState::Approved | RequestState::Begun, Some(decision)) => decision,
            _ => return Err(ApprovalError::NotToExecute.into()),
        };
        let approved = Approved::again(kept.request, decision, &self.store.operators()?, self.scope)?;
        let effect = self.effect(&approved, authority, now, entropy)?;
        let [one, other] = approved.people();
        let who = format!("operators:{one},{other}");
        let line = self.line(&who, approved.operation().word(), &id.to_string(), "executed", now);
        let entry = Entry { key: &self.key, lines: &[line] };
        self.store.execute(&approved, &effect, now, entry).map_err(refusal)
    }

    /// Requests that two people approved and nothing became of yet: a crash lay in between.
    ///
    /// # Errors
    /// The store's.
    pub fn unfinished(&self) -> Result<Vec<RequestId>, AuthorityError> {
        let all = self.store.requests()?;
        let open = |kept: &KeptRequest| matches!(kept.state, RequestState::Approved | RequestState::Begun);
        Ok(all.into_iter().filter(open).map(|kept| kept.request.id).collect())
    }

    fn effect(
        &self,
        approved: &Approved,
        authority: Option<&Authority>,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Effect, AuthorityError> {
        let problem = ApprovalError::Operation;
        Ok(match approved.operation() {
            Operation::EnrolOperator { name, public_key } => {
                Effect::Enrol(Operator::new(name, &public_key.0, now).map_err(problem)?)
            }
            Operation::RemoveOperator { name } => Effect::Remove(name.clone()),
            Operation::AccreditInstitution { institution, name } => Effect::Institution {
                code: operation::code(institution).map_err(problem)?,
                name: Some(name.clone()),
                standing: InstitutionStanding::Accredited,
            },
            Operation::SuspendInstitution { institution } => Effect::Institution {
                code: operation::code(institution).map_err(problem)?,
                name: None,
                standing: InstitutionStanding::Suspended,
            },
            Operation::RevokeMany { certificate, reason, serials } => {
                let reason = operation::permanent(reason).map_err(problem)?;
                let serials = operation::numbers(serials).map_err(problem)?;
                let kind = *certificate;
                let revocation = |serial| Revocation { kind, serial, reason, at: now };
                Effect::Revoke(serials.into_iter().map(revocation).collect())
            }
            Operation::AcceptDeparture { certificate, serials } => {
                Effect::AcceptDepartures(*certificate, operation::numbers(serials).map_err(problem)?)
            }
            Operation::ReplaceDelegates {} => Effect::ReplaceDelegates,
            Operation::CertifyAuthority { certificate, common_name, public_key, days } => {
                let authority = authority.ok_or(ApprovalError::NeedsAuthority)?;
                let subject = (common_name.as_str(), public_key.0.as_slice(), *days);
                self.certify(authority, approved, *certificate, subject, now, entropy)?
            }
        })
    }

    /// Signs a sub-authority's certificate. Serial number and dates are durable before.
    fn certify(
        &self,
        authority: &Authority,
        approved: &Approved,
        kind: CertificateKind,
        (common_name, spki, days): (&str, &[u8], u32),
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Effect, AuthorityError> {
        let drawn = Begun { serial: SerialNumber::random(AUTHORITY_SERIAL_OCTETS, entropy), at: now };
        let begun = self.store.begin(approved, kind, drawn).map_err(refusal)?;
        let issuing = &authority.branch(kind).issuing;
        let not_after = begun.at.plus(u64::from(days) * 86_400).min(issuing.not_after());
        let validity = Validity { not_before: begun.at, not_after };
        let profile = AuthorityProfile::Town { common_name };
        let der = issuing.issue_authority(&profile, begun.serial, validity, spki)?;
        Ok(Effect::Keep { kind, serial: begun.serial, der, not_after })
    }
}

/// What the store refuses by the rules is a refusal like any other.
fn refusal(error: StoreError) -> AuthorityError {
    match error {
        StoreError::RequestKnown => ApprovalError::Replayed.into(),
        StoreError::RequestDecided => ApprovalError::Decided.into(),
        StoreError::FoundingOver => ApprovalError::FoundingOver.into(),
        StoreError::OperatorKnown => {
            let problem = "the name or the key is another operator's, or was";
            ApprovalError::Operation(super::OperationProblem(problem)).into()
        }
        other => other.into(),
    }
}
