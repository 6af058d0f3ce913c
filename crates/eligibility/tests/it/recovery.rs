//! What a restart remembers.

use crate::fixture::*;
use protocol::problem::ProblemCode as P;

#[tokio::test]
async fn the_last_answer_and_the_counter_survive_a_restart() {
    let mut bench = Bench::new();
    let touch = bench.touch(5);
    let answer = bench.send(&touch).await;
    assert_eq!(answer.status, 200);
    // Without a checkpoint: from the log alone.
    bench.restart();
    assert_eq!(bench.send(&touch).await, answer);
    assert_eq!(bench.refused(&bench.touch(5)).await.code, P::StatementReplayed);
    // With a checkpoint, and a touch after it.
    bench.platform().checkpoint().await.unwrap();
    let later = bench.touch(6);
    let later_answer = bench.send(&later).await;
    bench.restart();
    assert_eq!(bench.send(&later).await, later_answer);
    assert_eq!(bench.refused(&touch).await.code, P::StatementReplayed);
}

#[tokio::test]
async fn every_touch_has_exactly_one_record_and_one_sync_at_most() {
    let bench = Bench::new();
    for counter in 1..=10 {
        assert_eq!(bench.send(&bench.touch(counter)).await.status, 200);
    }
    let stats = bench.platform().log_stats();
    assert_eq!(stats.records, 10);
    assert!(stats.syncs <= 10, "{}", stats.syncs);
}

#[tokio::test]
async fn audit_numbers_never_repeat() {
    let mut bench = Bench::new();
    let mut numbers = Vec::new();
    for counter in 1..=6 {
        let outcome = bench.send(&bench.touch(counter)).await;
        let response: protocol::eligibility_v1::CheckResponse =
            serde_json::from_slice(&outcome.body).unwrap();
        numbers.push(response.audit_record);
        if counter == 2 {
            bench.platform().checkpoint().await.unwrap();
        }
        if counter % 2 == 0 {
            bench.restart();
        }
    }
    let mut unique = numbers.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique, numbers, "they rise");
}

#[tokio::test]
async fn no_serial_in_the_log_or_the_outcome() {
    let bench = Bench::new();
    let outcome = bench.send(&bench.touch(1)).await;
    let serial = bench.card.serial.as_bytes();
    let contains = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).any(|w| w == needle);
    assert!(!contains(&outcome.body, serial));
    let hex: String = serial.iter().map(|b| format!("{b:02x}")).collect();
    assert!(!String::from_utf8_lossy(&outcome.body).to_lowercase().contains(&hex));
    for entry in std::fs::read_dir(bench.folder.0.join("audit")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert!(!contains(&std::fs::read(&path).unwrap(), serial), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_log_and_memory_agreeing() {
    let mut bench = Bench::new();
    for counter in 1..=40u64 {
        let touch = bench.touch(counter);
        {
            let mut sending = std::pin::pin!(bench.send(&touch));
            // Polled a few times and dropped, as a server does when the connection breaks.
            for _ in 0..counter % 4 {
                let polled = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(std::future::Future::poll(sending.as_mut(), cx).is_ready())
                });
                if polled.await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // The same bytes again: the answer, whether the first one got as far as the log or not.
        assert_eq!(bench.send(&touch).await.status, 200);
    }
    assert_eq!(bench.platform().log_stats().records, 40, "one record per touch, never two");
    bench.restart();
    assert_eq!(bench.refused(&bench.touch(40)).await.code, P::StatementReplayed);
}
