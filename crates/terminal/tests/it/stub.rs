//! A platform that exists for these tests: it arms the Secure Element, hands out nonces, remembers every
//! check byte for byte, and answers as it is told.

use crate::town::{INSTITUTION_CODE, INSTITUTION_NAME, now};
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use chassis::entropy::SystemEntropy;
use chassis::listener::{ListenerLimits, PeerCertificate, serve};
use chassis::shutdown::{ShutdownSignal, ShutdownTrigger};
use chassis::tls::{ClientAuth, server_config};
use pki::signer::IssuerSigner;
use protocol::answer::{
    AllowedProfiles, Answer, Bilingual, CardProfile, CivilDate, Coverage, InsurerLoad, Proof, ProofMethod,
    RegisteredPerson, Relation, Validity,
};
use protocol::consent::ConsentText;
use protocol::eligibility_v1::{
    CHECK_PATH, CheckRequest, CheckResponse, NONCE_PATH, NonceRequest, NonceResponse, UNLOCK_PATH,
    UnlockRequest, UnlockResponse,
};
use protocol::ids::{
    BranchNumber, InsuredNumber, InsuredSymbol, InsurerNumber, SecureElementId, TerminalKeyHash,
};
use protocol::problem::{Problem, ProblemCode, WireNonce};
use protocol::sealed_evidence::EvidencePrivateKey;
use protocol::statement::{FreshnessNonce, NONCE_LEN, Purposes, TouchMode, TouchStatement};
use protocol::unlock::UnlockPolicy;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, Semaphore};

/// How the next check is answered. An empty list means: with the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// The answer.
    Answer,
    /// A refusal with an audit record and the next nonce.
    Hold,
    /// The check is recorded, and the connection breaks before the answer is out.
    Lost,
    /// A page of something that is not us.
    Nonsense,
}

/// What the platform saw and how it is set up.
pub(crate) struct Seen {
    /// Bodies of the checks, byte for byte.
    pub(crate) checks: Vec<Vec<u8>>,
    /// Requests for a nonce.
    pub(crate) nonces: u32,
    /// Armings.
    pub(crate) unlocks: u32,
    /// Nonces that were handed out.
    handed_out: Vec<[u8; NONCE_LEN]>,
    /// How the next checks are answered.
    pub(crate) replies: VecDeque<Reply>,
    /// Unlocks that are refused before one is granted.
    pub(crate) unlock_refusals: u32,
    /// Uses that an arming allows.
    pub(crate) uses_max: u32,
    /// Touches that it allows to one card on one day.
    pub(crate) touches_per_card_and_day: u16,
    /// The card's signatures, as they stood under the seals.
    pub(crate) signatures: Vec<Vec<u8>>,
    /// The dialogue of every touch, as it stood under the seal.
    pub(crate) profiles_used: Vec<CardProfile>,
    /// Card dialogues that it allows.
    pub(crate) profiles: AllowedProfiles,
}

pub(crate) struct Shared {
    seen: Mutex<Seen>,
    /// A permit for each nonce that may leave: tests hold nonces back by starting without any.
    pub(crate) nonce_permits: Semaphore,
    /// Told whenever a nonce was asked for.
    pub(crate) nonce_asked: Notify,
    unlock_key: Box<dyn IssuerSigner>,
    evidence_key: EvidencePrivateKey,
}

/// The platform.
pub(crate) struct Stub {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    trigger: ShutdownTrigger,
    serving: tokio::task::JoinHandle<()>,
}

impl Stub {
    pub(crate) async fn open(
        tls: &chassis::config::TlsFiles,
        ca: &std::path::Path,
        unlock_key: Box<dyn IssuerSigner>,
    ) -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::new(Seen {
                checks: Vec::new(),
                nonces: 0,
                unlocks: 0,
                handed_out: Vec::new(),
                replies: VecDeque::new(),
                unlock_refusals: 0,
                uses_max: 1000,
                touches_per_card_and_day: 1000,
                signatures: Vec::new(),
                profiles_used: Vec::new(),
                profiles: AllowedProfiles::ALL,
            }),
            nonce_permits: Semaphore::new(1000),
            nonce_asked: Notify::new(),
            unlock_key,
            evidence_key: EvidencePrivateKey::draw(&mut SystemEntropy).unwrap(),
        });
        let router = Router::new()
            .route(UNLOCK_PATH, post(unlock))
            .route(NONCE_PATH, post(nonce))
            .route(CHECK_PATH, post(check))
            .with_state(Arc::clone(&shared));
        let tls = server_config(tls, ClientAuth::Required { ca_pem: ca.to_path_buf() }).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, signal) = ShutdownSignal::new();
        let serving = tokio::spawn(serve(listener, tls, router, signal, ListenerLimits::default()));
        Self { shared, address, trigger, serving }
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Seen) -> T) -> T {
        act(&mut self.shared.seen.lock().unwrap())
    }

    pub(crate) async fn stop(&mut self) {
        self.trigger.pull();
        (&mut self.serving).await.unwrap();
    }
}

impl Shared {
    fn fresh_nonce(&self) -> FreshnessNonce {
        let mut seen = self.seen.lock().unwrap();
        let mut nonce = [0x5A; NONCE_LEN];
        nonce[..8].copy_from_slice(&(seen.handed_out.len() as u64 + 1).to_be_bytes());
        seen.handed_out.push(nonce);
        FreshnessNonce(nonce)
    }
}

fn refusal(problem: Problem) -> Response {
    let status = axum::http::StatusCode::from_u16(problem.status).unwrap();
    (status, [("content-type", "application/problem+json")], serde_json::to_vec(&problem).unwrap())
        .into_response()
}

async fn unlock(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<PeerCertificate>,
    Json(request): Json<UnlockRequest>,
) -> Response {
    let (uses_max, touches_per_card_and_day, profiles) = {
        let mut seen = shared.seen.lock().unwrap();
        seen.unlocks += 1;
        if seen.unlock_refusals > 0 {
            seen.unlock_refusals -= 1;
            return refusal(Problem::new(ProblemCode::TerminalSuspended));
        }
        (seen.uses_max, seen.touches_per_card_and_day, seen.profiles)
    };
    let policy = UnlockPolicy {
        secure_element: SecureElementId(request.secure_element),
        challenge: request.challenge,
        terminal_key_hash: TerminalKeyHash(peer.spki_sha256),
        issued_at: now(),
        not_after: now().plus(3600),
        uses_max,
        evidence_key: *shared.evidence_key.public(),
        secure_element_key_hash: digest(&SHA256, &request.evidence_key.0).as_ref().try_into().unwrap(),
        profiles,
        touches_per_card_and_day,
    };
    Json(UnlockResponse {
        policy: policy.encode(),
        signature: shared.unlock_key.sign(&policy.signed_bytes()).unwrap(),
        next_nonce: shared.fresh_nonce(),
        institution_name: INSTITUTION_NAME.to_owned(),
        institution_code: INSTITUTION_CODE.to_owned(),
        server_time: now().0,
    })
    .into_response()
}

async fn nonce(State(shared): State<Arc<Shared>>, Json(_): Json<NonceRequest>) -> Response {
    shared.seen.lock().unwrap().nonces += 1;
    shared.nonce_asked.notify_one();
    shared.nonce_permits.acquire().await.unwrap().forget();
    Json(NonceResponse { next_nonce: shared.fresh_nonce(), validity_seconds: 300 }).into_response()
}

async fn check(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<PeerCertificate>,
    body: Bytes,
) -> Response {
    let reply = {
        let mut seen = shared.seen.lock().unwrap();
        seen.checks.push(body.to_vec());
        seen.replies.pop_front().unwrap_or(Reply::Answer)
    };
    let request: CheckRequest = serde_json::from_slice(&body).unwrap();
    if let Err(fault) = judge(&shared, &peer, &request) {
        return refusal(Problem::new(ProblemCode::StatementMalformed).with_detail(fault));
    }
    match reply {
        Reply::Answer => {
            Json(CheckResponse { answer: hanako(), audit_record: 7, next_nonce: shared.fresh_nonce() })
                .into_response()
        }
        Reply::Hold => {
            let mut problem = Problem::new(ProblemCode::CertificateHold).with_reason("certificateHold");
            problem.audit_record = Some(8);
            problem.next_nonce = Some(WireNonce(shared.fresh_nonce()));
            refusal(problem)
        }
        Reply::Lost => {
            let broken =
                futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cable")) });
            Response::new(Body::from_stream(broken))
        }
        Reply::Nonsense => "<html>captive portal</html>".into_response(),
    }
}

/// What a platform has to look at, as far as it concerns the terminal.
fn judge(shared: &Shared, peer: &PeerCertificate, request: &CheckRequest) -> Result<(), &'static str> {
    let statement = TouchStatement::parse(&request.statement).map_err(|_| "statement")?;
    let text = ConsentText::for_institution(INSTITUTION_NAME, Purposes::ELIGIBILITY);
    let opening = shared.evidence_key.opening(&request.evidence_key).map_err(|_| "evidence key")?;
    let encoded = request.statement.as_slice().try_into().map_err(|_| "statement")?;
    let mut sealed = request.sealed.clone();
    let evidence = opening.open(encoded, statement.counter, &mut sealed).map_err(|_| "seal")?;
    {
        let mut seen = shared.seen.lock().unwrap();
        seen.profiles_used.push(evidence.profile);
        seen.signatures.push(evidence.signature.to_vec());
    }
    let certificate =
        pki::certificate::Certificate::parse(evidence.auth_certificate).map_err(|_| "certificate")?;
    let verifying =
        pki::public_key::VerifyingKey::from_spki_der(certificate.spki_der()).map_err(|_| "key")?;
    for (holds, fault) in [
        (statement.institution.as_str() == INSTITUTION_CODE, "institution"),
        (statement.terminal_key_hash.0 == peer.spki_sha256, "terminal"),
        (statement.consent_text_hash == terminal::touch::consent_text_hash(&text), "consent text"),
        (now().since(statement.time) < 300 && statement.time.since(now()) < 300, "time"),
        (shared.seen.lock().unwrap().handed_out.contains(&statement.nonce.0), "nonce"),
        (verifying.verifies(&request.statement, evidence.signature), "signature"),
        (statement.mode == TouchMode::Online, "mode"),
    ] {
        if !holds {
            return Err(fault);
        }
    }
    Ok(())
}

pub(crate) const HANAKO: &str = "見本 花子";

fn hanako() -> Answer {
    let insurer_number = InsurerNumber::parse("01130012").unwrap();
    Answer {
        validity: Validity::Valid,
        as_of: CivilDate::parse("2026-11-22").unwrap(),
        person: Some(RegisteredPerson {
            name: HANAKO.to_owned(),
            name_kana: "ミホン ハナコ".to_owned(),
            birth_date: CivilDate::parse("1990-04-01").unwrap(),
        }),
        coverage: vec![Coverage {
            insurer_number: insurer_number.clone(),
            insurer_name: "見本健康保険組合".to_owned(),
            symbol: InsuredSymbol::parse("記号").unwrap(),
            number: InsuredNumber::parse("7654321").unwrap(),
            branch: BranchNumber::parse("00").unwrap(),
            kind: Bilingual::new("被用者保険", "Employees' insurance"),
            relation: Relation::Insured,
            copay_percent: 30,
            limit_class: None,
            specific_disease: None,
            public_expenses: Vec::new(),
            valid_from: CivilDate::parse("2024-04-01").unwrap(),
            valid_to: None,
        }],
        ended: None,
        newer: None,
        why_not: None,
        loads: vec![InsurerLoad {
            insurer_number,
            insurer_name: "見本健康保険組合".to_owned(),
            loaded_at: "2026-11-21T03:00:00+09:00".to_owned(),
        }],
        proof: Proof {
            method: ProofMethod::SeTerminal,
            profile: CardProfile::Jicsap,
            certificate_status_age_seconds: 60,
        },
        receipt: None,
    }
}
