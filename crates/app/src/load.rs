//! `kazasu load`: drives the running platform over mutual TLS with pre-signed touches in open-loop
//! arrivals, and prints the platform's CPU per check beside the floor measured in the same run.

mod corpus;
mod floor;
mod profile;
mod wire;

use crate::cli::LoadArgs;
use crate::output::{Exit, Printer};
use crate::touch::{no_town, refuse};
use crate::town::Town;
use crate::town::run::split_url;
use anyhow::Context as _;
use chassis::client::Client;
use chassis::config::TlsFiles;
use chassis::tls::{self, ClientAuth};
use corpus::{Arming, Corpus, SignedTouch, TouchParts};
use floor::Floor;
use hdrhistogram::Histogram;
use profile::Profile;
use protocol::eligibility_v1::{UNLOCK_PATH, UnlockResponse};
use protocol::entropy::Seeded;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wire::{Wire, post};

type TlsWire = Wire<TlsStream<TcpStream>>;

/// What a run measured.
#[derive(Debug, Serialize)]
struct Report {
    checks: u64,
    wrong_answers: u64,
    checks_per_second: f64,
    server_cpu_us_per_check: f64,
    floor_cpu_us: f64,
    ratio: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    floor: Floor,
    records_per_sync: f64,
    request_bytes: usize,
    response_bytes: usize,
    server_memory_mb: f64,
    linked_cards: u64,
    rate_per_second: f64,
    terminals: usize,
    cards: usize,
    seed: u64,
    durability: &'static str,
    signatures: &'static str,
    machine: String,
}

/// What the platform's metrics page says of it.
#[derive(Clone, Copy, Debug)]
struct Sample {
    cpu_seconds: f64,
    memory_bytes: f64,
    records: f64,
    syncs: f64,
}

/// What the clients saw.
struct Seen {
    latency: Histogram<u64>,
    wrong: u64,
    response_bytes: usize,
}

/// `kazasu load`.
pub(crate) async fn load(args: LoadArgs) -> anyhow::Result<Exit> {
    let Some(town) = Town::find(&args.common.dir)? else {
        return refuse(&no_town(&args.common.dir), args.common.json);
    };
    if !crate::town::run::is_ready(&town.rooms.eligibility.ready).await {
        return refuse(&no_town(&args.common.dir).with_detail("the platform is not ready"), args.common.json);
    }
    let profile = Profile::read(&args.profile)?;
    let printer = Printer::new(args.common.json);
    let preparing = (town.clone(), profile);
    let corpus =
        tokio::task::spawn_blocking(move || Corpus::prepare(&preparing.0, &preparing.1, printer)).await??;
    let corpus = Arc::new(corpus);
    let (_, host) = town.rooms.eligibility.url.split_once("://").context("the platform's URL")?;
    let (wires, armings) = connect(&town, &corpus, host).await?;
    let (signing, name) = (Arc::clone(&corpus), host.to_owned());
    let touches = tokio::task::spawn_blocking(move || {
        corpus::sign(&signing, &armings, profile.checks(), &name, printer)
    })
    .await??;
    let measured_touch = touches.iter().flatten().next().context("no touch")?;
    let parts = corpus::parts_of(measured_touch, &corpus)?;
    let request_bytes = parts.body_len;
    printer.say(&format!(
        "{} かざしを毎秒 {} 件で送ります / {} touches at {} a second",
        profile.checks(),
        profile.rate_per_second,
        profile.checks(),
        profile.rate_per_second
    ));
    let driven = drive(&town, wires, touches, &profile, args.seed).await?;
    let batch =
        (driven.after.records - driven.before.records) / (driven.after.syncs - driven.before.syncs).max(1.0);
    let (floor_town, floor_corpus) = (town.clone(), Arc::clone(&corpus));
    let response_bytes = driven.seen.response_bytes;
    printer.say("床を測っています / measuring the floor");
    let floor = tokio::task::spawn_blocking(move || {
        measure_floor(&floor_town, &floor_corpus, &parts, response_bytes, batch)
    })
    .await??;
    let report = report(&profile, args.seed, &driven, floor, batch, request_bytes);
    print(&report, args.common.json)?;
    Ok(if report.wrong_answers == 0 { Exit::Done } else { Exit::Refused })
}

async fn connect(town: &Town, corpus: &Corpus, host: &str) -> anyhow::Result<(Vec<TlsWire>, Vec<Arming>)> {
    let mut wires = Vec::with_capacity(corpus.terminals.len());
    let mut armings = Vec::with_capacity(corpus.terminals.len());
    for terminal in &corpus.terminals {
        let config = tls::client_config(&town.rooms.eligibility.ca, Some(&terminal.files))?;
        let stream = TcpStream::connect(host).await.with_context(|| format!("connecting to {host}"))?;
        stream.set_nodelay(true)?;
        let name = rustls::pki_types::ServerName::try_from("localhost")?;
        let mut wire = Wire::new(TlsConnector::from(config).connect(name, stream).await?);
        let request = post(host, UNLOCK_PATH, &serde_json::to_vec(&terminal.unlock_request())?);
        let response = wire.exchange(&request).await?;
        anyhow::ensure!(response.status == 200, "not armed: {}", String::from_utf8_lossy(response.body));
        let response: UnlockResponse = serde_json::from_slice(response.body)?;
        armings.push(terminal.armed(&response)?);
        wires.push(wire);
    }
    Ok((wires, armings))
}

/// What a run left behind.
struct Driven {
    seen: Seen,
    before: Sample,
    after: Sample,
    counted: u64,
    elapsed: Duration,
}

/// Arrival offsets of an open loop: exponential gaps from the seed (a Poisson process).
fn arrivals(profile: &Profile, seed: u64) -> Vec<Duration> {
    let mut stream = Seeded::new(seed);
    let mut at = 0.0f64;
    (0..profile.checks())
        .map(|_| {
            #[expect(clippy::cast_precision_loss, reason = "53 bits of randomness are plenty")]
            let uniform = (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            at += -(1.0 - uniform).ln() / profile.rate_per_second;
            Duration::from_secs_f64(at)
        })
        .collect()
}

async fn drive(
    town: &Town,
    wires: Vec<TlsWire>,
    touches: Vec<Vec<SignedTouch>>,
    profile: &Profile,
    seed: u64,
) -> anyhow::Result<Driven> {
    let offsets = arrivals(profile, seed);
    let terminals = wires.len();
    let warmup = Duration::from_secs_f64(profile.warmup_seconds);
    let start = Instant::now() + Duration::from_millis(50);
    let mut tasks = Vec::with_capacity(terminals);
    for (place, (wire, list)) in wires.into_iter().zip(touches).enumerate() {
        let due: Vec<Duration> = offsets.iter().skip(place).step_by(terminals).copied().collect();
        tasks.push(tokio::spawn(one_terminal(wire, list, due, start, warmup)));
    }
    tokio::time::sleep_until((start + warmup).into()).await;
    let before = sample(town).await?;
    let counting_from = Instant::now();
    let mut seen = Seen { latency: Histogram::new(3)?, wrong: 0, response_bytes: 0 };
    for task in tasks {
        let one = task.await??;
        seen.latency.add(&one.latency)?;
        seen.wrong += one.wrong;
        seen.response_bytes = seen.response_bytes.max(one.response_bytes);
    }
    let elapsed = counting_from.elapsed();
    let after = sample(town).await?;
    let counted = seen.latency.len();
    Ok(Driven { seen, before, after, counted, elapsed })
}

/// One terminal: its touches in order, each due at its arrival. Latency counts from the arrival, so a
/// slow answer is charged to everything that had to wait behind it.
async fn one_terminal(
    mut wire: TlsWire,
    touches: Vec<SignedTouch>,
    due: Vec<Duration>,
    start: Instant,
    warmup: Duration,
) -> anyhow::Result<Seen> {
    let mut seen = Seen { latency: Histogram::new(3)?, wrong: 0, response_bytes: 0 };
    for (touch, due) in touches.iter().zip(due) {
        let arrival = start + due;
        tokio::time::sleep_until(arrival.into()).await;
        let response = wire.exchange(&touch.request).await?;
        let took = arrival.elapsed();
        let right = response.status == 200
            && response.body.windows(18).any(|window| window == br#""validity":"valid""#);
        if !right {
            seen.wrong += 1;
            tracing::warn!(status = response.status, "a wrong answer");
        }
        seen.response_bytes = response.body.len();
        if due >= warmup {
            seen.latency.record(u64::try_from(took.as_micros())?.max(1))?;
        }
    }
    Ok(seen)
}

async fn sample(town: &Town) -> anyhow::Result<Sample> {
    let (base, path) = split_url(&town.rooms.eligibility.metrics).context("the platform's metrics URL")?;
    let reply = Client::plain(base)?.get(path).await?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
            .next()
            .with_context(|| format!("the metrics page has no {name}"))
    };
    Ok(Sample {
        cpu_seconds: value("process_cpu_seconds_total ")?,
        memory_bytes: value("process_resident_memory_bytes ")?,
        records: value("kazasu_audit_records_total ")?,
        syncs: value("kazasu_audit_syncs ")?,
    })
}

fn measure_floor(
    town: &Town,
    corpus: &Corpus,
    parts: &TouchParts,
    response_len: usize,
    batch: f64,
) -> anyhow::Result<Floor> {
    let dir = &town.dir;
    let server_files =
        TlsFiles { cert: dir.join("eligibility/server.pem"), key: dir.join("eligibility/server.key") };
    let server =
        tls::server_config(&server_files, ClientAuth::Required { ca_pem: dir.join("ca/terminal-ca.pem") })?;
    let client_files = &corpus.terminals.first().context("a terminal")?.files;
    let client = tls::client_config(&town.rooms.eligibility.ca, Some(client_files))?;
    // Status line and headers of both sides: about 150 bytes each way.
    let (request_len, response_len) = (parts.body_len + 150, response_len + 150);
    let serials: Vec<Vec<u8>> = corpus.cards.iter().map(|card| card.serial.as_bytes().to_vec()).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let batch = batch.round().max(1.0) as usize;
    Ok(Floor {
        open_seal_us: floor::open_seal(parts)?,
        rsa_verify_us: floor::rsa_verify(&parts.public_key, &parts.statement, &parts.signature)?,
        tls_records_us: floor::tls_records(server, client, request_len, response_len)?,
        http_us: floor::http(corpus.terminals.len().min(64), request_len - 150, response_len - 150)?,
        look_up_us: floor::look_up(&town.rooms.eligibility.store, &serials)?,
        log_append_us: floor::log_append(&dir.join("load"), response_len + 200, batch)?,
    })
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    format!("{model}, {} cores", std::thread::available_parallelism().map_or(1, usize::from))
}

fn report(
    profile: &Profile,
    seed: u64,
    driven: &Driven,
    floor: Floor,
    batch: f64,
    request_bytes: usize,
) -> Report {
    #[expect(clippy::cast_precision_loss, reason = "counts of one run")]
    let counted = driven.counted.max(1) as f64;
    let cpu = (driven.after.cpu_seconds - driven.before.cpu_seconds) * 1e6 / counted;
    #[expect(clippy::cast_precision_loss, reason = "microseconds of one run")]
    let ms = |quantile: f64| driven.seen.latency.value_at_quantile(quantile) as f64 / 1000.0;
    Report {
        checks: driven.counted,
        wrong_answers: driven.seen.wrong,
        checks_per_second: counted / driven.elapsed.as_secs_f64(),
        server_cpu_us_per_check: cpu,
        floor_cpu_us: floor.total_us(),
        ratio: cpu / floor.total_us(),
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        max_ms: ms(1.0),
        floor,
        records_per_sync: batch,
        request_bytes,
        response_bytes: driven.seen.response_bytes,
        server_memory_mb: driven.after.memory_bytes / 1e6,
        linked_cards: profile.linked_cards,
        rate_per_second: profile.rate_per_second,
        terminals: profile.terminals,
        cards: profile.cards,
        seed,
        durability: "fdatasync per batch before the answer",
        signatures: "made before the run",
        machine: machine(),
    }
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    println!("{}", report.machine);
    println!(
        "  {} checks, {} wrong, {:.0}/s   p50 {:.2} ms  p99 {:.2} ms  p99.9 {:.2} ms",
        report.checks,
        report.wrong_answers,
        report.checks_per_second,
        report.p50_ms,
        report.p99_ms,
        report.p999_ms
    );
    println!(
        "  platform CPU {:.1} us per check, memory {:.0} MB",
        report.server_cpu_us_per_check, report.server_memory_mb
    );
    let f = &report.floor;
    println!(
        "  floor {:.1} us = RSA verify {:.1} + seal {:.1} + TLS records {:.1} + HTTP {:.1} + look-up {:.1} + log append {:.1} ({:.1} records per sync)",
        report.floor_cpu_us,
        f.rsa_verify_us,
        f.open_seal_us,
        f.tls_records_us,
        f.http_us,
        f.look_up_us,
        f.log_append_us,
        report.records_per_sync
    );
    println!("  ratio {:.2}", report.ratio);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_open_loop_and_reproducible() {
        let profile = Profile {
            cards: 1,
            linked_cards: 1,
            terminals: 1,
            rate_per_second: 1000.0,
            warmup_seconds: 0.0,
            seconds: 10.0,
        };
        let one = arrivals(&profile, 7);
        assert_eq!(one, arrivals(&profile, 7));
        assert_ne!(one, arrivals(&profile, 8));
        assert_eq!(one.len(), 10_000);
        let last = one.last().unwrap().as_secs_f64();
        assert!((9.0..11.0).contains(&last), "{last}");
        assert!(one.is_sorted());
    }
}
