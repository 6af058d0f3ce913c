//! What the specimen stories answer.

use crate::fixture::*;
use eligibility::store::{Link, Store as _};
use protocol::answer::Validity;
use protocol::eligibility_v1::CheckResponse;
use protocol::ids::InsurerNumber;

async fn answer(bench: &Bench, counter: u64) -> CheckResponse {
    let outcome = bench.send(&bench.touch(counter)).await;
    assert_eq!(outcome.status, 200, "{}", String::from_utf8_lossy(&outcome.body));
    serde_json::from_slice(&outcome.body).unwrap()
}

#[tokio::test]
async fn valid() {
    let bench = Bench::new();
    let response = answer(&bench, 1).await;
    assert_eq!(response.answer.validity, Validity::Valid);
    assert_eq!(response.answer.coverage.len(), 1);
    assert_eq!(response.answer.as_of.as_str(), "2026-11-22");
    assert_eq!(response.answer.loads.len(), 1);
    assert!(response.answer.why_not.is_none());
}

#[tokio::test]
async fn the_last_day_counts_and_the_next_does_not() {
    for (end, validity) in [("2026-11-22", Validity::Valid), ("2026-11-21", Validity::Invalid)] {
        let bench = Bench::empty();
        bench.enrol("06990013", vec![coverage("06990013", "2024-04-01", Some(end), Link::Confirmed)]);
        let response = answer(&bench, 1).await;
        assert_eq!(response.answer.validity, validity);
        assert_eq!(response.answer.ended.is_some(), validity == Validity::Invalid);
    }
}

#[tokio::test]
async fn moved_last_week() {
    let bench = Bench::empty();
    bench.enrol("06990013", vec![coverage("06990013", "2024-04-01", Some("2026-11-14"), Link::Confirmed)]);
    let newer = enrolment(7, None, vec![coverage("990010", "2026-11-15", None, Link::NotYet)]);
    bench.store().apply_load(&InsurerNumber::parse("990010").unwrap(), "見本市国保", &[newer], NOW).unwrap();
    let response = answer(&bench, 1).await;
    assert_eq!(response.answer.validity, Validity::InvalidNewerExists);
    let newer = response.answer.newer.unwrap();
    assert_eq!(newer.insurer_number.as_str(), "990010");
    assert_eq!(newer.valid_from.as_str(), "2026-11-15");
    let why = response.answer.why_not.unwrap();
    assert!(why.receptionist.ja.contains("2026-11-15") && !why.action.en.is_empty());
}

#[tokio::test]
async fn two_insurers_claim_the_same_day() {
    let bench = Bench::empty();
    bench.enrol("06990013", vec![coverage("06990013", "2024-04-01", None, Link::Confirmed)]);
    bench.enrol("990010", vec![coverage("990010", "2025-04-01", None, Link::Confirmed)]);
    let response = answer(&bench, 1).await;
    assert_eq!(response.answer.validity, Validity::Multiple);
    assert_eq!(response.answer.coverage.len(), 2);
}

#[tokio::test]
async fn unlinked_says_who_loaded_last_and_when() {
    let bench = Bench::empty();
    let insurer = InsurerNumber::parse("06990013").unwrap();
    bench.store().apply_load(&insurer, "見本健保", &[], NOW).unwrap();
    let response = answer(&bench, 1).await;
    assert_eq!(response.answer.validity, Validity::NoCoverage);
    assert!(response.answer.person.is_none());
    assert_eq!(response.answer.loads[0].insurer_name, "見本健保");
    assert_eq!(response.answer.loads[0].loaded_at, "2026-11-21T18:00:00Z");
}
