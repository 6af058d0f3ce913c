//! Every refusal has a code of its own, and refuses for its own reason only.

use crate::fixture::*;
use eligibility::check::check;
use pki::profile::Validity;
use pki::revocation::RevocationReason;
use protocol::answer::{AllowedProfiles, CardProfile};
use protocol::eligibility_v1::{CheckRequest, CheckResponse, UnlockRequest};
use protocol::ids::TerminalKeyHash;
use protocol::problem::{Language, ProblemCode as P};
use protocol::sealed_evidence::{Evidence, EvidencePublicKey, SealedEvidence};
use protocol::statement::{FreshnessNonce, NONCE_LEN, TouchMode, TouchStatement};
use protocol::unlock::UnlockPolicy;

fn bytes(bench: &Bench, statement: &TouchStatement, card: &Card) -> Vec<u8> {
    serde_json::to_vec(&bench.signed_by(statement, card)).unwrap()
}

#[tokio::test]
async fn terminals() {
    let bench = Bench::new();
    let touch = bench.touch(1);
    for (key, code) in [
        ([9; 32], P::TerminalUnknown),
        (SUSPENDED_TERMINAL, P::TerminalSuspended),
        (OTHER_TERMINAL, P::StatementOtherTerminal),
    ] {
        let outcome = check(bench.platform(), key, &touch, Language::Ja).await;
        assert_eq!(problem(&outcome).code, code);
    }
    // None of these used anything up.
    assert_eq!(bench.send(&touch).await.status, 200);
}

#[tokio::test]
async fn statements() {
    let bench = Bench::new();
    let good = bench.statement(1);
    let mut other = good.clone();
    other.institution = protocol::ids::InstitutionCode::parse("9900000000").unwrap();
    assert_eq!(bench.refused(&bytes(&bench, &other, &bench.card)).await.code, P::StatementOtherInstitution);
    let mut other = good.clone();
    other.terminal_key_hash = TerminalKeyHash(OTHER_TERMINAL);
    assert_eq!(bench.refused(&bytes(&bench, &other, &bench.card)).await.code, P::StatementOtherTerminal);
    let mut other = good.clone();
    other.consent_text_hash = [0; 32];
    assert_eq!(bench.refused(&bytes(&bench, &other, &bench.card)).await.code, P::ConsentTextUnknown);
    for (seconds, refused) in [(300, false), (301, true)] {
        let mut other = good.clone();
        other.time = NOW.minus(seconds);
        other.counter = 10 + seconds;
        let outcome = bench.send(&bytes(&bench, &other, &bench.card)).await;
        if refused {
            let problem = problem(&outcome);
            assert_eq!(problem.code, P::StatementTimeOff);
            assert!(problem.detail.contains("-301 s"), "{}", problem.detail);
        } else {
            assert_eq!(outcome.status, 200);
        }
    }
}

#[tokio::test]
async fn nonces() {
    let bench = Bench::new();
    let mut foreign = bench.statement(1);
    foreign.nonce = FreshnessNonce([7; NONCE_LEN]);
    assert_eq!(bench.refused(&bytes(&bench, &foreign, &bench.card)).await.code, P::NonceForeign);
    let mut others = bench.statement(1);
    others.nonce = bench.platform().next_nonce(&TerminalKeyHash(OTHER_TERMINAL));
    assert_eq!(bench.refused(&bytes(&bench, &others, &bench.card)).await.code, P::NonceForeign);

    let nonce = bench.nonce();
    for (later, refused) in [(300, false), (301, true)] {
        bench.clock.set(NOW.plus(later));
        let mut statement = bench.statement(100 + later);
        statement.nonce = nonce;
        let outcome = bench.send(&bytes(&bench, &statement, &bench.card)).await;
        if refused {
            let problem = problem(&outcome);
            assert_eq!(problem.code, P::NonceExpired);
            // The refusal brings the next nonce, so that the next touch costs no extra round trip.
            assert!(problem.next_nonce.is_some());
        } else {
            assert_eq!(outcome.status, 200);
        }
    }
}

#[tokio::test]
async fn counters() {
    let bench = Bench::new();
    let first = bench.touch(5);
    let answer = bench.send(&first).await;
    assert_eq!(answer.status, 200);
    // Byte for byte the last one again: the same answer, and nothing new is recorded.
    let records = bench.platform().log_stats().records;
    assert_eq!(bench.send(&first).await, answer);
    assert_eq!(bench.platform().log_stats().records, records);
    // The same counter with other bytes, and a lower one.
    assert_eq!(bench.refused(&bench.touch(5)).await.code, P::StatementReplayed);
    assert_eq!(bench.refused(&bench.touch(4)).await.code, P::StatementReplayed);
    let second = bench.touch(6);
    assert_eq!(bench.send(&second).await.status, 200);
    // The first one is not the last one any more.
    assert_eq!(bench.refused(&first).await.code, P::StatementReplayed);
}

#[tokio::test]
async fn a_repeat_after_the_nonce_expired_still_gets_its_answer() {
    let bench = Bench::new();
    let touch = bench.touch(1);
    let answer = bench.send(&touch).await;
    bench.clock.set(NOW.plus(1000));
    assert_eq!(bench.send(&touch).await, answer);
}

#[tokio::test]
async fn two_at_once_with_one_counter_are_not_both_new() {
    let bench = Bench::new();
    let (one, two) = (bench.touch(1), bench.touch(1));
    assert_ne!(one, two, "another nonce each");
    let (a, b) = tokio::join!(bench.send(&one), bench.send(&two));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn signatures_and_certificates() {
    let bench = Bench::new();
    let statement = bench.statement(1);
    // Another card's key under this card's certificate.
    let stranger = Card::issue(&bench.authority, 33);
    let signature = stranger.key.sign_sha256(&statement.encode()).unwrap();
    let request = bench.sealed(&statement, CardProfile::Jicsap, &signature, &bench.card.certificate);
    assert_eq!(bench.refused(&serde_json::to_vec(&request).unwrap()).await.code, P::CardSignatureInvalid);
    // Another authority with the very same name.
    let foreign = Card::issue(&authority(), 2);
    assert_eq!(bench.refused(&bytes(&bench, &statement, &foreign)).await.code, P::CertificateForeign);
    // Dates.
    let over = Card::issue_for(
        &bench.authority,
        3,
        Validity { not_before: NOW.minus(80_000), not_after: NOW.minus(1) },
    );
    assert_eq!(bench.refused(&bytes(&bench, &statement, &over)).await.code, P::CertificateExpired);
    let early =
        Card::issue_for(&bench.authority, 4, Validity { not_before: NOW.plus(1), not_after: NOW.plus(9) });
    assert_eq!(bench.refused(&bytes(&bench, &statement, &early)).await.code, P::CertificateNotYetValid);
    // Not a certificate, and every prefix of one.
    let signature = bench.card.key.sign_sha256(&statement.encode()).unwrap();
    for end in (0..bench.card.certificate.len()).step_by(37) {
        let cut = &bench.card.certificate[..end];
        let request = bench.sealed(&statement, CardProfile::Jicsap, &signature, cut);
        assert_eq!(bench.refused(&serde_json::to_vec(&request).unwrap()).await.code, P::CertificateMalformed);
    }
    // A CA certificate is no card's.
    let authority = bench.authority.certificate_der();
    let request = bench.sealed(&statement, CardProfile::Jicsap, &signature, authority);
    let code = bench.refused(&serde_json::to_vec(&request).unwrap()).await.code;
    assert!(matches!(code, P::CertificateWrongProfile | P::CertificateForeign), "{code:?}");
    // None of it was recorded as a touch.
    assert_eq!(bench.platform().log_stats().records, 0);
    assert_eq!(bench.send(&bytes(&bench, &statement, &bench.card)).await.status, 200);
}

#[tokio::test]
async fn a_certificate_that_expires_while_its_path_is_kept() {
    let bench = Bench::new();
    assert_eq!(bench.send(&bench.touch(1)).await.status, 200);
    bench.clock.set(NOW.plus(366 * 86_400));
    assert_eq!(bench.refused(&bench.touch(2)).await.code, P::CertificateExpired);
}

#[tokio::test]
async fn each_revocation_reason_has_its_own_code() {
    let bench = Bench::new();
    let cases = [
        (RevocationReason::CertificateHold, P::CertificateHold, "certificateHold"),
        (RevocationReason::AffiliationChanged, P::AffiliationChanged, "affiliationChanged"),
        (RevocationReason::Superseded, P::Superseded, "superseded"),
        (RevocationReason::CessationOfOperation, P::CessationOfOperation, "cessationOfOperation"),
        (RevocationReason::KeyCompromise, P::CertificateRevoked, "keyCompromise"),
        (RevocationReason::Unspecified, P::CertificateRevoked, "unspecified"),
    ];
    for (place, (reason, code, name)) in cases.into_iter().enumerate() {
        let number = 2 + place as u64;
        bench.publish(number, &[(bench.card.serial, reason)]);
        let problem = bench.refused(&bench.touch(number)).await;
        assert_eq!((problem.code, problem.reason.as_deref()), (code, Some(name)));
        assert!(problem.audit_record.is_some(), "a real touch is recorded whatever its outcome");
    }
    // Released from hold: the next list leaves it out, and the link was kept.
    bench.publish(50, &[]);
    assert_eq!(bench.send(&bench.touch(99)).await.status, 200);
}

#[tokio::test]
async fn status_too_old_is_unknown_to_the_second() {
    let bench = Bench::new();
    for (age, good) in [(STATUS_MAX_AGE - 1, true), (STATUS_MAX_AGE, true), (STATUS_MAX_AGE + 1, false)] {
        bench.clock.set(NOW.plus(age));
        let outcome = bench.send(&bench.touch(1000 + age)).await;
        if good {
            assert_eq!(outcome.status, 200);
        } else {
            let problem = problem(&outcome);
            assert_eq!(problem.code, P::RevocationStatusUnknown);
            assert!(problem.detail.contains("3601 seconds old"), "{}", problem.detail);
        }
    }
}

#[tokio::test]
async fn an_older_list_is_refused() {
    let bench = Bench::new();
    bench.publish(10, &[(bench.card.serial, RevocationReason::CertificateHold)]);
    let older = bench.crl(9, NOW, &[]);
    assert!(bench.revocation().install(&older).is_err());
    assert_eq!(bench.refused(&bench.touch(1)).await.code, P::CertificateHold);
}

#[tokio::test]
async fn garbage_is_malformed_and_never_more() {
    let bench = Bench::new();
    let good = bench.touch(1);
    for end in 0..good.len() {
        assert_eq!(bench.refused(&good[..end]).await.code, P::MalformedRequest);
    }
    for body in [&b"{}"[..], b"[]", b"null", b"\xff\xfe", b"{\"sealed\":\"\"}"] {
        assert_eq!(bench.refused(body).await.code, P::MalformedRequest);
    }
    let mut request = bench.signed_by(&bench.statement(1), &bench.card);
    request.statement.pop();
    assert_eq!(bench.refused(&serde_json::to_vec(&request).unwrap()).await.code, P::StatementMalformed);
    assert_eq!(bench.send(&good).await.status, 200);
}

fn json(request: &CheckRequest) -> Vec<u8> {
    serde_json::to_vec(request).unwrap()
}

#[tokio::test]
async fn seals() {
    let mut bench = Bench::new();
    let statement = bench.statement(1);
    let good = bench.signed_by(&statement, &bench.card);
    // Altered anywhere; under another arming's key; under a key that is none.
    for place in [0, 1, 256, 257, 700, good.sealed.as_ref().len() - 1] {
        let mut bytes = good.sealed.as_ref().to_vec();
        bytes[place] ^= 1;
        let request = CheckRequest { sealed: SealedEvidence::try_from(bytes).unwrap(), ..good.clone() };
        assert_eq!(bench.refused(&json(&request)).await.code, P::EvidenceNotOpened, "octet {place}");
    }
    let other = CheckRequest { evidence_key: *arming(2).public(), ..good.clone() };
    assert_eq!(bench.refused(&json(&other)).await.code, P::EvidenceNotOpened);
    let off_curve = CheckRequest { evidence_key: EvidencePublicKey([4; 65]), ..good.clone() };
    let refused = bench.refused(&json(&off_curve)).await;
    assert_eq!(refused.code, P::EvidenceNotOpened);
    assert!(refused.detail.contains("P-256"), "{}", refused.detail);
    // Sealed for another platform.
    let sealing = bench.evidence_key.sealing(arming(99).public()).unwrap();
    let signature = bench.card.key.sign_sha256(&statement.encode()).unwrap();
    let profile = CardProfile::Jicsap;
    let evidence = Evidence { profile, signature: &signature, auth_certificate: &bench.card.certificate };
    let foreign = CheckRequest { sealed: sealing.seal(&statement, &evidence).unwrap(), ..good.clone() };
    assert_eq!(bench.refused(&json(&foreign)).await.code, P::EvidenceNotOpened);
    // Good evidence, moved under another statement.
    let later = bench.statement(2);
    let moved = CheckRequest { statement: later.encode().to_vec(), ..good.clone() };
    assert_eq!(bench.refused(&json(&moved)).await.code, P::EvidenceNotOpened);
    // None of it was recorded as a touch, and none of it spoilt the good one.
    assert_eq!(bench.platform().log_stats().records, 0);
    assert_eq!(bench.send(&json(&good)).await.status, 200);
    // A new arming has a new key; its terminal still has one place in the platform's memory.
    bench.evidence_key = arming(7);
    assert_eq!(bench.send(&bench.touch(2)).await.status, 200);
    assert_eq!(bench.platform().opening_keys().len(), 1);
    // And a restart agrees on the key again.
    bench.restart();
    assert!(bench.platform().opening_keys().is_empty());
    assert_eq!(bench.send(&bench.touch(3)).await.status, 200);
}

#[tokio::test]
async fn offline_statements() {
    let bench = Bench::new();
    let offline = TouchStatement { mode: TouchMode::Offline, ..bench.statement(1) };
    let refused = bench.refused(&bytes(&bench, &offline, &bench.card)).await;
    assert_eq!(refused.code, P::StatementOffline);
    assert!(refused.next_nonce.is_some());
    assert_eq!(bench.platform().log_stats().records, 0);
    assert_eq!(bench.send(&bench.touch(1)).await.status, 200, "the counter was not used up");
}

#[tokio::test]
async fn profiles() {
    let mut bench = Bench::new();
    let touch = |bench: &Bench, counter, profile| {
        let statement = bench.statement(counter);
        let signature = bench.card.key.sign_sha256(&statement.encode()).unwrap();
        json(&bench.sealed(&statement, profile, &signature, &bench.card.certificate))
    };
    for (counter, profile) in [(1, CardProfile::Jicsap), (2, CardProfile::Eac)] {
        // The proof names what was inside the seal.
        let outcome = bench.send(&touch(&bench, counter, profile)).await;
        let response: CheckResponse = serde_json::from_slice(&outcome.body).unwrap();
        assert_eq!(response.answer.proof.profile, profile);
    }
    bench.profiles = AllowedProfiles::of(&[CardProfile::Eac]).unwrap();
    bench.restart();
    let refused = bench.refused(&touch(&bench, 3, CardProfile::Jicsap)).await;
    assert_eq!(refused.code, P::CardProfileNotAllowed);
    assert!(refused.detail.contains("jicsap"), "{}", refused.detail);
    assert_eq!(bench.send(&touch(&bench, 3, CardProfile::Eac)).await.status, 200);
}

#[tokio::test]
async fn an_unlock_names_both_keys_and_every_limit() {
    let mut bench = Bench::new();
    bench.profiles = AllowedProfiles::of(&[CardProfile::Eac]).unwrap();
    bench.restart();
    let request = UnlockRequest {
        secure_element: [5; 8],
        challenge: [6; 16],
        evidence_key: *bench.evidence_key.public(),
    };
    let response = eligibility::unlock::unlock(bench.platform(), TERMINAL, &request).unwrap();
    let policy = UnlockPolicy::parse(&response.policy).unwrap();
    assert_eq!(policy.evidence_key, *bench.platform().evidence_public_key());
    assert_eq!(policy.secure_element_key_hash, eligibility::hashes::sha256(&request.evidence_key.0));
    assert_eq!(policy.profiles, bench.profiles);
    assert_eq!((policy.touches_per_card_and_day, policy.uses_max), (20, 2000));
    assert_eq!((policy.challenge, policy.issued_at), ([6; 16], NOW));
    // The evidence key lasts: a restart does not shut out what was sealed before.
    let before = *bench.platform().evidence_public_key();
    bench.restart();
    assert_eq!(*bench.platform().evidence_public_key(), before);
}
