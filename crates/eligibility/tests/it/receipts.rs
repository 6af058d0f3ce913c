//! Receipts: every answer's, verified by nothing but the log's public key; and the log itself, checked.

use crate::fixture::*;
use eligibility::platform::Platform;
use eligibility::receipts::{ReceiptError, ReceiptLog};
use protocol::answer::Validity;
use protocol::eligibility_v1::CheckResponse;
use protocol::receipt::{Receipt, ReceiptStatement};
use std::path::Path;
use tlog::audit::{Auditor, LogFault};
use tlog::checkpoint::LogPolicy;
use tlog::proof_file::ProofFile;

fn policy(platform: &Platform) -> LogPolicy {
    LogPolicy::log_alone(LOG_NAME, platform.receipts().verifier().clone())
}

fn response(body: &[u8]) -> CheckResponse {
    serde_json::from_slice(body).unwrap()
}

fn is_proved(receipt: &Receipt, policy: &LogPolicy) -> Option<u64> {
    let proof = ProofFile::parse(receipt.proof.as_ref().unwrap()).unwrap();
    proof.verify(&receipt.commitment(), policy).ok().map(|(included, _)| included.index())
}

#[tokio::test]
async fn every_answer_has_a_receipt_that_holds_and_says_what_was_answered() {
    let bench = Bench::new();
    let policy = policy(bench.platform());
    let mut receipts = Vec::new();
    for counter in 1..=5 {
        let outcome = bench.send(&bench.touch(counter)).await;
        let response = response(&outcome.body);
        let receipt = response.answer.receipt.clone().unwrap();
        assert_eq!(is_proved(&receipt, &policy), Some(counter - 1));
        let statement: ReceiptStatement = serde_json::from_str(&receipt.statement).unwrap();
        assert_eq!(statement.audit_record, response.audit_record);
        assert_eq!((statement.validity, statement.log.as_str()), (Validity::Valid, LOG_NAME));
        assert_eq!(statement.coverage.len(), response.answer.coverage.len());
        assert_eq!(statement.institution.as_str(), INSTITUTION);
        assert_eq!(statement.answered_at, NOW.0);
        let person = response.answer.person.unwrap();
        assert!(!receipt.statement.contains(&person.name), "a receipt names nobody");
        receipts.push(receipt);
    }
    // One digit changed, another salt, another's proof: nothing holds.
    let [first, second, ..] = receipts.as_slice() else { panic!("five receipts") };
    let bent = Receipt {
        statement: first.statement.replace("\"copay_percent\":30", "\"copay_percent\":20"),
        ..first.clone()
    };
    assert_ne!(bent.statement, first.statement);
    assert_eq!(is_proved(&bent, &policy), None);
    assert_eq!(is_proved(&Receipt { salt: second.salt, ..first.clone() }, &policy), None);
    assert_eq!(is_proved(&Receipt { proof: second.proof.clone(), ..first.clone() }, &policy), None);
    // Another platform's key.
    let other = ReceiptLog::open(&bench.folder.0.join("other"), LOG_NAME, &[1; 32]).unwrap();
    assert_eq!(is_proved(first, &LogPolicy::log_alone(LOG_NAME, other.verifier().clone())), None);
}

#[tokio::test]
async fn a_repeated_touch_gets_its_receipt_again_also_after_a_restart() {
    let mut bench = Bench::new();
    let policy = policy(bench.platform());
    for counter in 1..=4u64 {
        let touch = bench.touch(counter);
        let first = response(&bench.send(&touch).await.body).answer.receipt.unwrap();
        assert_eq!(response(&bench.send(&touch).await.body).answer.receipt.unwrap(), first);
        if counter % 2 == 0 {
            bench.platform().checkpoint().await.unwrap();
        }
        bench.restart();
        let again = response(&bench.send(&touch).await.body).answer.receipt.unwrap();
        assert_eq!(is_proved(&again, &policy), Some(counter - 1));
        assert_eq!((again.statement, again.salt), (first.statement, first.salt));
    }
}

#[tokio::test]
async fn a_refusal_has_its_place_in_the_log_and_no_receipt() {
    let bench = Bench::new();
    assert_eq!(bench.send(&bench.touch(1)).await.status, 200);
    bench.publish(2, &[(bench.card.serial, pki::revocation::RevocationReason::CertificateHold)]);
    let refused = bench.send(&bench.touch(2)).await;
    assert_ne!(refused.status, 200);
    assert!(!String::from_utf8_lossy(&refused.body).contains("receipt"));
    bench.publish(3, &[]);
    let third = response(&bench.send(&bench.touch(3)).await.body).answer.receipt.unwrap();
    assert_eq!(is_proved(&third, &policy(bench.platform())), Some(2));
}

/// Checks the saved log as somebody does who has its files and the platform's key.
fn audit(folder: &Path, policy: &LogPolicy) -> Result<u64, LogFault> {
    let head = policy.trust(&std::fs::read_to_string(folder.join("checkpoint")).unwrap()).unwrap();
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap_or_default();
    let mut auditor = Auditor::new();
    while let Some((path, width)) = auditor.next_bundle(head.size()) {
        for tile in auditor.read_bundle(&file(&path), width)? {
            auditor.compare(tile, &file(&tile.path()))?;
        }
    }
    for tile in auditor.partial_tiles() {
        auditor.compare(tile, &file(&tile.path()))?;
    }
    auditor.conclude(&head).map(|()| auditor.entries())
}

#[tokio::test]
async fn the_saved_log_is_whole_at_every_stop_and_ends_where_the_audit_log_ends() {
    let mut bench = Bench::new();
    let (folder, policy) = (bench.folder.0.join("receipts"), policy(bench.platform()));
    let mut counter = 0;
    for touches in [1, 254, 1, 1, 60] {
        for _ in 0..touches {
            counter += 1;
            assert_eq!(bench.send(&bench.touch(counter)).await.status, 200);
        }
        bench.platform().checkpoint().await.unwrap();
        assert_eq!(audit(&folder, &policy), Ok(counter));
        // What is behind the saved head is made again from the audit log.
        counter += 1;
        assert_eq!(bench.send(&bench.touch(counter)).await.status, 200);
        bench.restart();
        assert_eq!(bench.platform().receipts().size(), counter);
    }
    // All of it can be made again, with the same head.
    let head = bench.platform().receipts().head();
    std::fs::remove_dir_all(&folder).unwrap();
    bench.restart();
    assert_eq!(bench.platform().receipts().head(), head);
    // An entry or a tile changed by somebody with the disk.
    bench.platform().checkpoint().await.unwrap();
    for name in ["tile/entries/000", "tile/0/000"] {
        let path = folder.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut bent = whole.clone();
        bent[100] ^= 1;
        std::fs::write(&path, &bent).unwrap();
        let fault = audit(&folder, &policy).unwrap_err();
        assert!(fault.to_string().contains("000"), "{fault}");
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(audit(&folder, &policy), Ok(counter));
}

#[tokio::test]
async fn lost_records_and_damaged_tiles_stop_the_start() {
    let bench = Bench::new();
    for counter in 1..=3 {
        assert_eq!(bench.send(&bench.touch(counter)).await.status, 200);
    }
    bench.platform().checkpoint().await.unwrap();
    let folder = bench.folder.0.join("receipts");
    let secret = std::fs::read(bench.folder.0.join("keys/receipt-log.secret")).unwrap();
    let open = || ReceiptLog::open(&folder, LOG_NAME, secret.as_slice().try_into().unwrap());
    // The audit log has only two of the three records that were signed for.
    let lost = open().unwrap().recovered(2).unwrap_err();
    assert!(matches!(lost, ReceiptError::RecordsLost { signed: 3, found: 2 }), "{lost}");
    let missing = open().unwrap().recovered(4).unwrap_err();
    assert!(matches!(missing, ReceiptError::OtherRecords { size: 3 }), "{missing}");
    let tile = folder.join("tile/0/000.p/3");
    let mut octets = std::fs::read(&tile).unwrap();
    octets[5] ^= 1;
    std::fs::write(&tile, &octets).unwrap();
    assert!(matches!(open(), Err(ReceiptError::File { .. })));
    // A head that somebody else signed.
    let foreign = ReceiptLog::open(&folder, LOG_NAME, &[3; 32]);
    assert!(matches!(foreign, Err(ReceiptError::File { .. })));
}

#[tokio::test]
async fn what_is_served_is_what_a_checker_needs() {
    let bench = Bench::new();
    for counter in 1..=3 {
        assert_eq!(bench.send(&bench.touch(counter)).await.status, 200);
    }
    let receipts = bench.platform().receipts();
    let head =
        policy(bench.platform()).trust(&String::from_utf8(receipts.served("checkpoint").unwrap()).unwrap());
    let head = head.unwrap();
    let mut auditor = Auditor::new();
    let (path, width) = auditor.next_bundle(head.size()).unwrap();
    auditor.read_bundle(&receipts.served(&path).unwrap(), width).unwrap();
    for tile in auditor.partial_tiles() {
        auditor.compare(tile, &receipts.served(&tile.path()).unwrap()).unwrap();
    }
    assert_eq!(auditor.conclude(&head), Ok(()));
    for name in [
        "",
        "../keys/receipt-log.secret",
        "tile/0/001",
        "tile/../checkpoint",
        "checkpoint/",
        "tile/0/000.p/9",
    ] {
        assert_eq!(receipts.served(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_disk_that_does_not_take_the_logs_files_stops_no_receipt_and_costs_none() {
    let bench = Bench::new();
    let (folder, policy) = (bench.folder.0.join("receipts"), policy(bench.platform()));
    // A file where the tiles' folder should be: every write fails.
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("tile"), "").unwrap();
    for counter in 1..=258 {
        let receipt = response(&bench.send(&bench.touch(counter)).await.body).answer.receipt.unwrap();
        assert_eq!(is_proved(&receipt, &policy), Some(counter - 1));
    }
    assert!(bench.platform().checkpoint().await.is_err());
    assert!(bench.platform().receipts().served("tile/0/000").is_some());
    std::fs::remove_file(folder.join("tile")).unwrap();
    bench.platform().checkpoint().await.unwrap();
    assert_eq!(audit(&folder, &policy), Ok(258));
}
