//! One check (report fig. 2): evidence in, answer out, recorded before it leaves.
//!
//! Order: cheap refusals first (terminal, statement, counter, nonce), then the seal (its key kept from the
//! first check of an arming), the path of the certificate (kept from an earlier check where possible), the
//! card's signature, the revocation status, the
//! coverage, the pure decision, the durable record. The serial comes from the verified certificate and
//! from nowhere else.

use crate::decide::decide;
use crate::error::Refusal;
use crate::hashes::{sha256, sha256_of};
use crate::history::{AsOf, Day};
use crate::platform::{KnownTerminal, Platform};
use crate::receipts::receipt;
use crate::replay::{Freshness, Remembered, judge};
use crate::store::LastOutcome;
use pki::revocation::RevocationReason;
use pki::validate::{self, CertificateGood, CertificateProblem, OnUnknownStatus, PathGood, Profile};
use protocol::answer::{Answer, CardProfile, CivilDate, Proof, ProofMethod};
use protocol::eligibility_v1::{CheckRequest, CheckResponse};
use protocol::ids::{AuthCertSerial, TerminalKeyHash};
use protocol::problem::{Language, WireNonce};
use protocol::receipt::{ReceiptOf, ReceiptStatement};
use protocol::statement::{STATEMENT_LEN, StatementError, TouchMode, TouchStatement};
use protocol::time::UnixSeconds;
use std::sync::Arc;

/// What goes back over the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// JSON: a [`CheckResponse`] for 200, a problem otherwise.
    pub body: Vec<u8>,
}

/// Checks one touch.
///
/// The caller may go away at any await: a touch is then either untouched, or both in the log's hands and
/// remembered.
pub async fn check(platform: &Platform, key_hash: [u8; 32], request: &[u8], language: Language) -> Outcome {
    let terminal = TerminalKeyHash(key_hash);
    let outcome = match platform.terminal(key_hash) {
        Ok(known) => check_known(platform, &known, request, language).await,
        Err(refusal) => Err(refusal),
    };
    outcome.unwrap_or_else(|refusal| {
        metrics::counter!("kazasu_checks_refused_total", "code" => refusal.to_problem().code.as_str())
            .increment(1);
        refused(platform, &terminal, &refusal, language, None)
    })
}

fn refused(
    platform: &Platform,
    terminal: &TerminalKeyHash,
    refusal: &Refusal,
    language: Language,
    audit_record: Option<u64>,
) -> Outcome {
    if let Refusal::Store(_) | Refusal::Log(_) | Refusal::OwnKey = refusal {
        tracing::error!(%refusal, "a check could not be answered");
    }
    let mut problem = refusal.to_problem().in_language(language);
    problem.audit_record = audit_record;
    if !matches!(refusal, Refusal::TerminalUnknown | Refusal::TerminalSuspended) {
        problem.next_nonce = Some(WireNonce(platform.next_nonce(terminal)));
    }
    let status = problem.status;
    Outcome { status, body: serde_json::to_vec(&problem).unwrap_or_default() }
}

async fn check_known(
    platform: &Platform,
    known: &KnownTerminal,
    body: &[u8],
    language: Language,
) -> Result<Outcome, Refusal> {
    let mut request: CheckRequest =
        serde_json::from_slice(body).map_err(|e| Refusal::Malformed(e.to_string()))?;
    let statement = TouchStatement::parse(&request.statement)?;
    let terminal = known.registered.terminal_key_hash;
    if statement.terminal_key_hash != terminal {
        return Err(Refusal::OtherTerminal);
    }
    let touch_sha256 = sha256_of([&request.statement[..], request.sealed.as_ref()]);
    // Held to the end: two requests with one counter must not both be new.
    let slot = platform.ledger.slot(&terminal);
    let mut last = slot.lock().await;
    match judge(last.as_ref().map(|l| &l.outcome), statement.counter, &touch_sha256) {
        Freshness::New => {}
        Freshness::Repeat { sequence, status, body } => {
            metrics::counter!("kazasu_checks_repeated_total").increment(1);
            // The first caller may have gone away before its record was durable.
            let sequence = match last.as_ref().and_then(|l| l.record.as_ref()) {
                Some(record) => {
                    Some(record.durable().await.map_err(|e| Refusal::Log(e.to_string()))?.sequence)
                }
                None => sequence,
            };
            return Ok(with_receipt_proof(platform, sequence, Outcome { status, body }));
        }
        Freshness::Replayed { highest } => return Err(Refusal::Replayed { highest }),
    }
    let now = platform.clock.now();
    check_statement(platform, known, &statement, now)?;
    let (path, profile) = open_evidence(platform, &terminal, &mut request, &statement, now)?;
    let serial = holder_serial(&path)?;

    // From here on the touch is real: whatever the outcome, it is recorded and the counter is used up.
    let number = platform.take_audit_record_number();
    let judged = judge_holder(platform, &path, &serial, profile, now);
    let (commitment, outcome) = match judged {
        Ok(answer) => {
            metrics::counter!("kazasu_checks_answered_total").increment(1);
            let of = ReceiptOf {
                log: platform.receipts().name(),
                audit_record: number,
                at: now,
                institution: &statement.institution,
                touch_sha256,
            };
            answered(platform, &terminal, answer, of)
        }
        Err(refusal @ (Refusal::Store(_) | Refusal::Log(_) | Refusal::OwnKey)) => {
            return Ok(refused(platform, &terminal, &refusal, language, None));
        }
        Err(refusal) => {
            metrics::counter!("kazasu_checks_refused_total", "code" => refusal.to_problem().code.as_str())
                .increment(1);
            let outcome = refused(platform, &terminal, &refusal, language, Some(number));
            // Nobody gets a receipt of a refusal; its entry keeps the order of the log.
            let text = String::from_utf8_lossy(&outcome.body).into_owned();
            (receipt(text, platform.receipts().salt(number, &touch_sha256)).commitment(), outcome)
        }
    };
    let kept = LastOutcome {
        sequence: None,
        counter: statement.counter,
        touch_sha256,
        status: outcome.status,
        body: outcome.body.clone(),
    };
    let record = platform.record(number, now, terminal, &serial, commitment, &kept).await?;
    // No await between the hand-over and this line: the connection may break at any await, and this
    // future be dropped with it, but log and memory never part.
    *last = Some(Remembered { outcome: kept, record: Some(record.clone()) });
    let position = record.durable().await.map_err(|e| Refusal::Log(e.to_string()))?;
    Ok(with_receipt_proof(platform, Some(position.sequence), outcome))
}

/// The response with its receipt, all but the receipt's proof, and the receipt's entry in the log.
fn answered(
    platform: &Platform,
    terminal: &TerminalKeyHash,
    mut answer: Answer,
    of: ReceiptOf<'_>,
) -> ([u8; 32], Outcome) {
    let statement = serde_json::to_string(&ReceiptStatement::new(of, &answer)).unwrap_or_default();
    let receipt = receipt(statement, platform.receipts().salt(of.audit_record, &of.touch_sha256));
    let commitment = receipt.commitment();
    answer.receipt = Some(receipt);
    let response =
        CheckResponse { audit_record: of.audit_record, next_nonce: platform.next_nonce(terminal), answer };
    (commitment, Outcome { status: 200, body: serde_json::to_vec(&response).unwrap_or_default() })
}

/// An answer gets its proof once its record is durable: before that there is no head that has it.
fn with_receipt_proof(platform: &Platform, sequence: Option<u64>, outcome: Outcome) -> Outcome {
    match (outcome.status, sequence) {
        (200, Some(sequence)) => {
            Outcome { body: platform.with_receipt_proof(sequence, outcome.body), ..outcome }
        }
        _ => outcome,
    }
}

fn check_statement(
    platform: &Platform,
    known: &KnownTerminal,
    statement: &TouchStatement,
    now: UnixSeconds,
) -> Result<(), Refusal> {
    if statement.mode == TouchMode::Offline {
        return Err(Refusal::Offline);
    }
    if statement.institution != known.registered.institution {
        return Err(Refusal::OtherInstitution);
    }
    platform.mint.check(&statement.nonce, &statement.terminal_key_hash, now)?;
    let tolerance_seconds = platform.freshness.clock_tolerance_seconds;
    if statement.time.0.abs_diff(now.0) > tolerance_seconds {
        let offset_seconds = statement.time.0.cast_signed().saturating_sub(now.0.cast_signed());
        return Err(Refusal::TimeOff { offset_seconds, tolerance_seconds });
    }
    if statement.consent_text_hash == known.consent_text_hash { Ok(()) } else { Err(Refusal::ConsentUnknown) }
}

/// Breaks the seal: the card's certificate with its validated path, under which its signature over the
/// statement holds, and the dialogue by which the Secure Element got them.
fn open_evidence(
    platform: &Platform,
    terminal: &TerminalKeyHash,
    request: &mut CheckRequest,
    statement: &TouchStatement,
    now: UnixSeconds,
) -> Result<(Arc<PathGood>, CardProfile), Refusal> {
    let CheckRequest { statement: encoded, evidence_key, sealed } = request;
    let encoded: &[u8; STATEMENT_LEN] = encoded.as_slice().try_into().map_err(|_| StatementError::Length)?;
    let own = platform.keys.evidence();
    let touch = (encoded, statement.counter);
    let evidence = platform.opening_keys.open(own, terminal, evidence_key, touch, sealed)?;
    if !platform.unlock.card_profiles.allows(evidence.profile) {
        return Err(Refusal::ProfileNotAllowed(evidence.profile));
    }
    let path = card_path(platform, evidence.auth_certificate, now)?;
    let _signed = path.verify_signature(encoded, evidence.signature).map_err(|_| Refusal::CardSignature)?;
    metrics::counter!("kazasu_touches_total", "profile" => evidence.profile.as_str()).increment(1);
    Ok((path, evidence.profile))
}

/// The validated path of this certificate: kept, or validated now (RFC 5280 §6.1).
fn card_path(platform: &Platform, certificate: &[u8], now: UnixSeconds) -> Result<Arc<PathGood>, Refusal> {
    let digest = sha256(certificate);
    if let Some(path) = platform.paths.kept(&digest) {
        path.still_valid_at(now).map_err(Refusal::Certificate)?;
        return Ok(path);
    }
    let path = validate::path(certificate, &platform.anchors, Profile::JpkiAuth, now)
        .map_err(Refusal::Certificate)?;
    let path = Arc::new(path);
    platform.paths.keep(digest, Arc::clone(&path));
    Ok(path)
}

/// Revocation status, coverage, decision.
fn judge_holder(
    platform: &Platform,
    path: &PathGood,
    serial: &AuthCertSerial,
    profile: CardProfile,
    now: UnixSeconds,
) -> Result<Answer, Refusal> {
    let good = match holder_status(platform, path, now) {
        Ok(good) => good,
        Err(problem) => {
            if let CertificateProblem::Revoked { reason: RevocationReason::AffiliationChanged, .. } = &problem
            {
                // The holder left the register: their insurer has to hear of it (report, reason table).
                platform.store.record_insurer_notice(serial, now)?;
            }
            return Err(Refusal::Certificate(problem));
        }
    };
    let today = Day::of_instant(now);
    let mut found = platform.store.lookup_by_serials(std::slice::from_ref(serial), &AsOf::visit(today))?;
    let lookup = found.pop().ok_or(crate::store::StoreError::Unreadable("a look-up without a result"))?;
    let proof = Proof {
        method: ProofMethod::SeTerminal,
        profile,
        certificate_status_age_seconds: good.status_age_seconds().unwrap_or(0),
    };
    Ok(decide(&good, &lookup, &today.date(), proof))
}

/// The serial of the verified certificate: the only serial a check ever uses.
fn holder_serial(path: &PathGood) -> Result<AuthCertSerial, Refusal> {
    AuthCertSerial::parse(path.serial().as_bytes())
        .map_err(|_| Refusal::Certificate(CertificateProblem::WrongProfile { what: "serial number" }))
}

fn holder_status(
    platform: &Platform,
    path: &PathGood,
    now: UnixSeconds,
) -> Result<CertificateGood, CertificateProblem> {
    let status = platform.revocation.load().status_of(path, now, platform.status_max_age_seconds);
    validate::conclude(path, now, status, OnUnknownStatus::Refuse)
}

/// The civil day in Japan, in the wire's form: coverage begins and ends with it.
pub fn japanese_day(now: UnixSeconds) -> CivilDate {
    Day::of_instant(now).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_changes_at_midnight_in_japan() {
        // 2026-11-22T14:59:59Z is 23:59:59 in Tokyo.
        assert_eq!(japanese_day(UnixSeconds(1_795_359_599)).as_str(), "2026-11-22");
        assert_eq!(japanese_day(UnixSeconds(1_795_359_600)).as_str(), "2026-11-23");
    }

    #[test]
    fn every_day_for_two_centuries_as_a_date_library_has_it() {
        for day in 0..73_000u64 {
            let at = UnixSeconds(day * 86_400 + 12 * 3600);
            let theirs = jiff::Timestamp::from_second(i64::try_from(at.0 + 9 * 3600).unwrap()).unwrap();
            assert_eq!(japanese_day(at).as_str(), theirs.strftime("%Y-%m-%d").to_string());
        }
    }
}
