//! Linkage of certificates: sign ↔ auth of one card, and old → new over renewals. Report, "New JPKI": the
//! agency offers it to those who are accredited for it. docs/linkage.md.
//!
//! Serial numbers lead to persons, and the two of one card lead from a signature that names somebody to a
//! touch that names nobody. So: who may ask what is configured for each client by its key; every question
//! has one audit line, durable before the answer; refusals have theirs; what was never issued is unknown,
//! and nothing more is said of it.
//!
//! | module | does |
//! |---|---|
//! | here | the access table, the answer as a pure function of what is in the store, the desk |
//! | [`rate`] | how much each client may ask |
//! | [`http`] | the edge, over mutual TLS |

pub mod http;
pub mod rate;

use crate::CertificateKind;
use crate::audit::{AuditKey, AuditLine, Entry};
use crate::error::AuthorityError;
use crate::store::{Standing, Store, StoreError};
use pki::revocation::RevocationReason;
use pki::serial::SerialNumber;
use protocol::linkage_v1::{
    LinkageAnswer, LinkageQuestion, LinkageRequest, LinkageResponse, LinkedStanding, QUESTIONS_MAX,
    WireSerial,
};
use protocol::time::UnixSeconds;
use rate::{Bucket, Taken};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Who an unconfigured client is in the audit.
const STRANGER: &str = "stranger";
/// Requests a minute of all unconfigured clients together that get a line each.
const STRANGERS_PER_MINUTE: u32 = 60;

/// The linkage service: which address, and who may ask. A room without it offers no linkage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkageService {
    /// Where it is served, over mutual TLS 1.3.
    pub listen: std::net::SocketAddr,
    /// PEM of the CAs whose client certificates may connect at all.
    pub client_ca: PathBuf,
    /// Who may ask.
    #[serde(default)]
    pub clients: Vec<LinkageClient>,
}

/// One institution's program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkageClient {
    /// Its name in the audit.
    pub name: String,
    /// PEM of its client certificate. Its public key counts, so a renewed certificate with the same key
    /// is the same client.
    pub certificate: PathBuf,
    /// What it is.
    pub role: LinkageRole,
    /// What it may ask beyond its role. Sign ↔ auth is in no role: whoever may is named here.
    #[serde(default)]
    pub also: Vec<LinkageQuestion>,
    /// What it may ask for, as agreed with it; a request names one of them.
    pub purposes: Vec<String>,
    /// Questions a minute. No default: it decides how fast a stolen key can ask through a population.
    pub questions_per_minute: u32,
}

/// What a client is, and so what it may ask.
#[doc(alias = "紐付け利用機関")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkageRole {
    /// The eligibility platform: it knows card holders by authentication certificates alone.
    EligibilityPlatform,
    /// A party that keeps signed documents: it knows their signers by signature certificates alone.
    SignatureVerifier,
    /// Nothing by itself; only what [`LinkageClient::also`] names.
    ByName,
}

impl LinkageRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::EligibilityPlatform, Self::SignatureVerifier, Self::ByName];

    /// Whether the role alone may ask this.
    pub const fn may_ask(self, ask: LinkageQuestion) -> bool {
        matches!(
            (self, ask),
            (Self::EligibilityPlatform, LinkageQuestion::RenewedAuth)
                | (Self::SignatureVerifier, LinkageQuestion::RenewedSign)
        )
    }
}

impl LinkageClient {
    /// Whether it may ask this, by its role or by name.
    pub fn may_ask(&self, ask: LinkageQuestion) -> bool {
        self.role.may_ask(ask) || self.also.contains(&ask)
    }
}

impl LinkageService {
    /// The same with relative paths taken from `base`.
    #[must_use]
    pub fn resolved(mut self, base: &Path) -> Self {
        self.client_ca = chassis::config::resolve(base, &self.client_ca);
        for client in &mut self.clients {
            client.certificate = chassis::config::resolve(base, &client.certificate);
        }
        self
    }
}

/// The kind of certificate that a question is about, and of the one that is asked for.
pub const fn kinds(ask: LinkageQuestion) -> (CertificateKind, CertificateKind) {
    match ask {
        LinkageQuestion::RenewedAuth => (CertificateKind::CardHolderAuth, CertificateKind::CardHolderAuth),
        LinkageQuestion::RenewedSign => {
            (CertificateKind::DocumentSignature, CertificateKind::DocumentSignature)
        }
        LinkageQuestion::AuthOfSign => (CertificateKind::DocumentSignature, CertificateKind::CardHolderAuth),
        LinkageQuestion::SignOfAuth => (CertificateKind::CardHolderAuth, CertificateKind::DocumentSignature),
    }
}

/// A question as the store is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreQuestion {
    /// What is asked.
    pub ask: LinkageQuestion,
    /// Of which certificate.
    pub serial: SerialNumber,
}

/// What the store has on one question, all of one instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkageFacts {
    /// The certificate that is asked about; `None` if none was ever signed under this serial number.
    pub asked: Option<Standing>,
    /// What it leads to: the last of its successors, or the other certificate of its card.
    pub found: Option<(SerialNumber, Standing)>,
    /// How many renewals lie between.
    pub renewals: u32,
}

/// Reads what certificates lead to.
#[doc(alias = "発行番号の紐付け")]
pub trait LinkageStore: Send + Sync {
    /// Facts in the order of the questions, all of one instant. Only card holders' certificates are known
    /// here, and only those that were signed.
    ///
    /// # Errors
    /// The engine's.
    fn linkage_facts(&self, questions: &[StoreQuestion]) -> Result<Vec<LinkageFacts>, StoreError>;
}

/// How it stands with a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    OnHold,
    Superseded,
    Ended(RevocationReason),
    Expired,
}

fn state(standing: &Standing, now: UnixSeconds) -> State {
    match standing.revoked {
        Some((RevocationReason::CertificateHold, _)) => State::OnHold,
        Some((RevocationReason::Superseded, _)) => State::Superseded,
        Some((reason, _)) => State::Ended(reason),
        None if standing.not_after.is_some_and(|not_after| not_after < now) => State::Expired,
        None => State::Good,
    }
}

fn ended(reason: RevocationReason) -> LinkageAnswer {
    LinkageAnswer::Ended { reason: reason.as_str().to_owned() }
}

fn linked(serial: &SerialNumber, standing: LinkedStanding, renewals: u32) -> LinkageAnswer {
    WireSerial::new(serial.as_bytes()).map_or(LinkageAnswer::Unknown, |serial| LinkageAnswer::Linked {
        serial,
        standing,
        renewals,
    })
}

/// The answer to a question: pure. docs/linkage.md has it as a table.
pub fn answer(ask: LinkageQuestion, facts: &LinkageFacts, now: UnixSeconds) -> LinkageAnswer {
    let Some(asked) = &facts.asked else { return LinkageAnswer::Unknown };
    let found = facts.found.as_ref().map(|(serial, standing)| (serial, state(standing, now)));
    match ask {
        LinkageQuestion::RenewedAuth | LinkageQuestion::RenewedSign => {
            renewed(state(asked, now), found, facts.renewals)
        }
        LinkageQuestion::AuthOfSign | LinkageQuestion::SignOfAuth => same_card(state(asked, now), found),
    }
}

fn renewed(asked: State, last: Option<(&SerialNumber, State)>, renewals: u32) -> LinkageAnswer {
    match (asked, last) {
        (State::Good, _) => LinkageAnswer::Current,
        (State::OnHold, _) => LinkageAnswer::OnHold,
        (State::Ended(reason), _) => ended(reason),
        (State::Superseded | State::Expired, Some((serial, State::Good))) => {
            linked(serial, LinkedStanding::Good, renewals)
        }
        // The asker moves its link along now: there may be no second question before the card is found.
        (State::Superseded | State::Expired, Some((serial, State::OnHold))) => {
            linked(serial, LinkedStanding::OnHold, renewals)
        }
        (State::Superseded | State::Expired, Some((_, State::Ended(reason)))) => ended(reason),
        (State::Superseded | State::Expired, Some((_, State::Expired))) | (State::Expired, None) => {
            LinkageAnswer::Expired
        }
        // A renewal that was cut short left the last one superseded and nothing in its place.
        (State::Superseded | State::Expired, Some((_, State::Superseded))) | (State::Superseded, None) => {
            LinkageAnswer::NoSuccessor
        }
    }
}

fn same_card(asked: State, other: Option<(&SerialNumber, State)>) -> LinkageAnswer {
    match (asked, other) {
        (State::OnHold, _) => LinkageAnswer::OnHold,
        (State::Superseded, _) => LinkageAnswer::Superseded,
        (State::Ended(reason), _) => ended(reason),
        (State::Expired, _) => LinkageAnswer::Expired,
        (State::Good, None) => LinkageAnswer::NoCounterpart,
        (State::Good, Some((serial, State::Good))) => linked(serial, LinkedStanding::Good, 0),
        (State::Good, Some((_, State::OnHold))) => LinkageAnswer::OnHold,
        (State::Good, Some((_, State::Superseded))) => ended(RevocationReason::Superseded),
        (State::Good, Some((_, State::Ended(reason)))) => ended(reason),
        (State::Good, Some((_, State::Expired))) => LinkageAnswer::Expired,
    }
}

/// Why a request was not answered. Each has a line in the audit.
#[derive(Debug, thiserror::Error)]
pub enum LinkageRefusal {
    /// A certificate of the right CA whose key nobody configured.
    #[error("this client is not configured for linkage")]
    ClientUnknown,
    /// The client's certificate expired while it was connected.
    #[error("the client's certificate has expired")]
    ClientExpired,
    /// The body is not called JSON.
    #[error("send application/json")]
    NotJson,
    /// A question or a purpose that the client may not ask.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// More than the client may ask a minute.
    #[error("more questions than agreed; again in {retry_after_seconds} s")]
    TooMany {
        /// When the same request would be answered.
        retry_after_seconds: u64,
    },
    /// A request that cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// The store or the audit refuses: nothing is told without a line.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl LinkageRefusal {
    /// The word in the audit.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::ClientUnknown => "refused_client_unknown",
            Self::ClientExpired => "refused_client_expired",
            Self::NotJson => "refused_not_json",
            Self::NotAllowed(_) => "refused_not_allowed",
            Self::TooMany { .. } => "refused_too_many",
            Self::Malformed(_) => "refused_malformed",
            Self::Store(_) => "failed_store",
        }
    }
}

/// A configured client with what it has left.
struct Seat {
    client: LinkageClient,
    bucket: Bucket,
}

/// Answers questions: who may, how many, and a line for each.
pub struct LinkageDesk {
    store: Arc<dyn Store>,
    key: AuditKey,
    seats: HashMap<[u8; 32], Mutex<Seat>>,
    strangers: Mutex<Bucket>,
}

impl std::fmt::Debug for LinkageDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkageDesk").field("clients", &self.seats.len()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Counts of questions: whatever a panic left is within the limits.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LinkageDesk {
    /// The desk of a configured service. Reads the clients' certificates.
    ///
    /// # Errors
    /// A certificate that cannot be read, two clients with one key, a client without a purpose or a name.
    pub fn open(
        service: &LinkageService,
        store: Arc<dyn Store>,
        key: AuditKey,
        now: UnixSeconds,
    ) -> Result<Self, AuthorityError> {
        let mut seats = HashMap::new();
        for client in &service.clients {
            let path = &client.certificate;
            let problem = |text: &str| crate::authority::file_error(path, text);
            let text =
                std::fs::read_to_string(path).map_err(|error| crate::authority::file_error(path, error))?;
            let der = pki::pem::decode(pki::pem::PemKind::Certificate, &text)
                .map_err(|error| crate::authority::file_error(path, error))?;
            let peer = chassis::listener::PeerCertificate::of(&der)
                .ok_or_else(|| problem("is no certificate that can be read"))?;
            if client.purposes.is_empty() || client.name.is_empty() || client.questions_per_minute == 0 {
                return Err(AuthorityError::Config {
                    key: "linkage.clients",
                    problem: "need a name, at least one purpose and at least one question a minute",
                });
            }
            let bucket = Bucket::full(client.questions_per_minute, now);
            let seat = Mutex::new(Seat { client: client.clone(), bucket });
            if seats.insert(peer.spki_sha256, seat).is_some() {
                return Err(problem("has the key of another client: each has its own"));
            }
        }
        Ok(Self { store, key, seats, strangers: Mutex::new(Bucket::full(STRANGERS_PER_MINUTE, now)) })
    }

    /// Answers a request of the client with this key, or refuses it. `body` is the request's JSON, or what
    /// the edge found wrong before reading it; a line in the audit for each question, or for the refusal,
    /// is durable before this returns.
    ///
    /// # Errors
    /// [`LinkageRefusal`].
    pub fn ask(
        &self,
        client_key: &[u8; 32],
        body: Result<&[u8], LinkageRefusal>,
        now: UnixSeconds,
    ) -> Result<LinkageResponse, LinkageRefusal> {
        let Some(seat) = self.seats.get(client_key) else {
            if let Taken::Yes { .. } = lock(&self.strangers).take(1, now) {
                self.note_refusal(&LinkageRefusal::ClientUnknown, STRANGER, now)?;
            }
            return Err(LinkageRefusal::ClientUnknown);
        };
        // One client's requests one after the other: what it has left is exact.
        let mut seat = lock(seat);
        let request = match body.and_then(|body| read(body).map_err(LinkageRefusal::Malformed)) {
            Ok(request) => request,
            Err(refusal) => {
                self.take(&mut seat, 1, now)?;
                self.note_refusal(&refusal, &seat.client.name, now)?;
                return Err(refusal);
            }
        };
        self.take(&mut seat, u32::try_from(request.questions.len()).unwrap_or(u32::MAX), now)?;
        let client = &seat.client;
        if let Err(refusal) = allowed(client, &request) {
            let lines = self.lines(client, &request, now, |_| refusal.word());
            self.store.append_audit(Entry { key: &self.key, lines: &lines })?;
            count(refusal.word(), lines.len());
            return Err(refusal);
        }
        let questions = questions(&request);
        let facts = self.store.linkage_facts(&questions)?;
        let answers: Vec<LinkageAnswer> =
            questions.iter().zip(&facts).map(|(question, facts)| answer(question.ask, facts, now)).collect();
        let word = |at: usize| answers.get(at).map_or("unknown", LinkageAnswer::word);
        let lines = self.lines(client, &request, now, word);
        let audit_line = self.store.append_audit(Entry { key: &self.key, lines: &lines })?;
        for answer in &answers {
            count(answer.word(), 1);
        }
        Ok(LinkageResponse { as_of: now.0, audit_line, answers })
    }

    /// Takes from what the client has left. The first refusal in a row has a line of its own, the others
    /// are counted and have one together: a flood of requests is no flood of lines.
    fn take(&self, seat: &mut Seat, questions: u32, now: UnixSeconds) -> Result<(), LinkageRefusal> {
        match seat.bucket.take(questions, now) {
            Taken::Yes { refused_before: 0 } => Ok(()),
            Taken::Yes { refused_before } => {
                let mut line = self.line(&seat.client.name, "request", "refused_too_many", now);
                line.about = format!("{refused_before} more");
                self.store.append_audit(Entry { key: &self.key, lines: &[line] })?;
                Ok(())
            }
            Taken::No { first, retry_after_seconds } => {
                let refusal = LinkageRefusal::TooMany { retry_after_seconds };
                if first {
                    self.note_refusal(&refusal, &seat.client.name, now)?;
                }
                Err(refusal)
            }
        }
    }

    fn note_refusal(&self, refusal: &LinkageRefusal, who: &str, now: UnixSeconds) -> Result<(), StoreError> {
        let line = self.line(who, "request", refusal.word(), now);
        count(refusal.word(), 1);
        self.store.append_audit(Entry { key: &self.key, lines: &[line] }).map(drop)
    }

    fn line(&self, who: &str, act: &str, outcome: &str, now: UnixSeconds) -> AuditLine {
        let empty = String::new;
        AuditLine {
            at: now,
            who: format!("linkage:{who}"),
            act: act.to_owned(),
            purpose: empty(),
            about: empty(),
            outcome: outcome.to_owned(),
        }
    }

    /// One line for each question of a request.
    fn lines<'w>(
        &self,
        client: &LinkageClient,
        request: &LinkageRequest,
        now: UnixSeconds,
        outcome: impl Fn(usize) -> &'w str,
    ) -> Vec<AuditLine> {
        // A purpose that was not agreed is the asker's text: it stays out of the audit.
        let agreed = client.purposes.contains(&request.purpose);
        questions(request)
            .iter()
            .enumerate()
            .map(|(at, question)| AuditLine {
                purpose: if agreed { request.purpose.clone() } else { String::new() },
                about: self.key.reference(kinds(question.ask).0, &question.serial),
                ..self.line(&client.name, question.ask.word(), outcome(at), now)
            })
            .collect()
    }
}

fn count(outcome: &'static str, number: usize) {
    metrics::counter!("kazasu_linkage_questions_total", "outcome" => outcome).increment(number as u64);
}

fn read(body: &[u8]) -> Result<LinkageRequest, String> {
    let request: LinkageRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if (1..=QUESTIONS_MAX).contains(&request.questions.len()) {
        Ok(request)
    } else {
        Err(format!("a request has 1 to {QUESTIONS_MAX} questions"))
    }
}

fn questions(request: &LinkageRequest) -> Vec<StoreQuestion> {
    request
        .questions
        .iter()
        .filter_map(|question| {
            // A serial number on the wire is one: it is neither zero nor too long.
            let serial = SerialNumber::from_octets(question.serial.octets()).ok()?;
            Some(StoreQuestion { ask: question.ask, serial })
        })
        .collect()
}

fn allowed(client: &LinkageClient, request: &LinkageRequest) -> Result<(), LinkageRefusal> {
    if !client.purposes.contains(&request.purpose) {
        return Err(LinkageRefusal::NotAllowed("this purpose was not agreed"));
    }
    if !request.questions.iter().all(|question| client.may_ask(question.ask)) {
        return Err(LinkageRefusal::NotAllowed("this client may not ask one of these questions"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
