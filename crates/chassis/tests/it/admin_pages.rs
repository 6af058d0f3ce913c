//! The admin pages over a real socket.

use crate::http::Served;
use chassis::admin::{self, Check, Readiness};
use chassis::client::Client;
use chassis::listener::ListenerLimits;

#[tokio::test]
async fn the_pages_follow_the_checks_and_count() {
    let readiness = Readiness::expecting(&["crl", "store"]);
    let router = admin::router("eligibility", readiness.clone());
    let served = Served::plain(router, ListenerLimits::default()).await;
    let client = Client::plain(&served.url("http")).unwrap();
    let text = async |path: &str| {
        let reply = client.get(path).await.unwrap();
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    };

    assert_eq!(text("/livez").await, (200, "ok\n".into()));
    assert_eq!(text("/readyz").await, (503, "not ready\n".into()));
    readiness.set("store", Check::Ok);
    readiness.set("crl", Check::NotReady("no list yet".into()));
    let reply = client.get("/readyz?verbose").await.unwrap();
    assert_eq!((reply.status, reply.content_type.as_str()), (503, "application/json"));
    let verbose: serde_json::Value = reply.json().unwrap();
    let expected = serde_json::json!({
        "room": "eligibility",
        "ready": false,
        "checks": [
            { "name": "crl", "ready": false, "reason": "no list yet" },
            { "name": "store", "ready": true },
        ],
    });
    assert_eq!(verbose, expected);
    readiness.set("crl", Check::Ok);
    assert_eq!(text("/readyz").await, (200, "ready\n".into()));
    assert!(text("/").await.1.contains("稼働中"));
    assert_eq!(text("/nowhere").await.0, 404);

    // A second router in the same process shares the recorder.
    drop(admin::router("terminal", readiness));
    metrics::counter!("checks_total", "answer" => "valid").increment(3);
    metrics::histogram!("check_seconds").record(0.003);
    let (status, page) = text("/metrics").await;
    assert_eq!(status, 200);
    assert!(page.contains("checks_total{answer=\"valid\"} 3"), "{page}");
    assert!(page.contains("check_seconds_bucket{le=\"0.005\"} 1"), "{page}");
    let value = |name: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1e6);
    assert!(value("process_cpu_seconds_total ") >= 0.0);
    served.stop().await;
}
