//! A writer process killed with SIGKILL, again and again.

use crate::scratch::Scratch;
use chassis::durable_log::{DurableLog, LogOptions};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// If set, this process is the writer, and this is its log.
const WRITER: &str = "CHASSIS_LOG_WRITER";
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 64 << 10,
    payload_bytes_max: 4096,
    queue_records_max: 64,
    gather_max: Duration::from_micros(500),
};
const LIVES: usize = 12;

fn payload(sequence_hint: u64) -> Vec<u8> {
    let mut bytes = sequence_hint.to_le_bytes().to_vec();
    bytes.resize(8 + usize::try_from(sequence_hint % 700).unwrap(), 0x5A);
    bytes
}

/// Appends for ever and says on standard output what was acknowledged.
fn write_for_ever(folder: &Path) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let (log, recovery) = DurableLog::open(folder, OPTIONS).unwrap();
        let log = Arc::new(log);
        for task in 0..8_u64 {
            let log = Arc::clone(&log);
            let mut number = recovery.last_sequence * 1000 + task;
            tokio::spawn(async move {
                loop {
                    let position = log.append(payload(number)).await.unwrap();
                    let line = format!("ack {} {number}\n", position.sequence);
                    // One write per line; the parent may be gone.
                    if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
                        return;
                    }
                    number += 8;
                }
            });
        }
        std::future::pending::<()>().await;
    });
    unreachable!()
}

#[test]
fn what_was_acknowledged_before_kill_nine_is_there_afterwards() {
    if let Some(folder) = std::env::var_os(WRITER) {
        write_for_ever(Path::new(&folder));
    }
    let folder = Scratch::new();
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    for life in 0..LIVES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("log_kill::what_was_acknowledged_before_kill_nine_is_there_afterwards")
            .env(WRITER, &*folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        let mut note = |line: &str| {
            let mut words = line.split(' ').skip_while(|word| *word != "ack").skip(1);
            let (Some(sequence), Some(number)) = (words.next(), words.next()) else {
                return 0;
            };
            acknowledged.insert(sequence.parse().unwrap(), number.parse().unwrap());
            1
        };
        while seen < 40 + life * 17 {
            seen += note(&lines.next().expect("the writer died by itself").unwrap());
        }
        child.kill().unwrap();
        // Acknowledged and said before the signal struck.
        for line in lines {
            note(&line.unwrap());
        }
        child.wait().unwrap();
    }
    let (log, recovery) = DurableLog::open(&folder, OPTIONS).unwrap();
    let mut found = BTreeMap::new();
    log.replay(1, |sequence, bytes| {
        let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(bytes, payload(number));
        found.insert(sequence, number);
    })
    .unwrap();
    assert_eq!(u64::try_from(found.len()).unwrap(), recovery.last_sequence);
    assert!(acknowledged.len() >= 40 * LIVES);
    for (sequence, number) in acknowledged {
        assert_eq!(found.get(&sequence), Some(&number), "record {sequence}");
    }
}
