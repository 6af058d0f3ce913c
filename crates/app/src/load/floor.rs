//! The floor: what the machine needs at the very least for one check, each part timed alone in the
//! same run. CPU time of the thread that does the work, never wall time.

use crate::load::corpus::{PROFILE, TouchParts};
use crate::load::wire::{Wire, post};
use anyhow::{Context as _, anyhow};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use chassis::entropy::SystemEntropy;
use chassis::process_cpu::thread_nanoseconds;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use protocol::sealed_evidence::{Evidence, EvidencePrivateKey};
use protocol::statement::TouchStatement;
use serde::Serialize;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// Records sealed and opened between two looks at the clock, and how often.
const TLS_BATCH: usize = 100;
const TLS_BATCHES: usize = 40;

/// CPU microseconds per check of each part.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Floor {
    /// Verifying the card's RSA-2048 signature.
    pub(crate) rsa_verify_us: f64,
    /// Opening sealed evidence of the run's size with a key that was agreed before.
    pub(crate) open_seal_us: f64,
    /// TLS 1.3 records of request and response, server side.
    pub(crate) tls_records_us: f64,
    /// A bare HTTP/1.1 server over loopback sockets, bodies of the same sizes.
    pub(crate) http_us: f64,
    /// One point read of link, person and coverage.
    pub(crate) look_up_us: f64,
    /// Writing and syncing one record, in batches of the size that the platform made.
    pub(crate) log_append_us: f64,
}

impl Floor {
    /// All parts.
    pub(crate) fn total_us(&self) -> f64 {
        self.rsa_verify_us
            + self.open_seal_us
            + self.tls_records_us
            + self.http_us
            + self.look_up_us
            + self.log_append_us
    }
}

fn per_item_us(nanos: u64, items: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds fit a double")]
    let us = nanos as f64 / 1000.0 / items.max(1) as f64;
    us
}

/// CPU time of `work` on this thread, per item.
fn timed(items: u64, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let before = thread_nanoseconds()?;
    for _ in 0..items {
        work()?;
    }
    Ok(per_item_us(thread_nanoseconds()?.saturating_sub(before), items))
}

/// Verifies one of the run's own signatures over and over.
pub(crate) fn rsa_verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> anyhow::Result<f64> {
    let parsed = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key)
        .parse()
        .map_err(|_| anyhow!("a key of the corpus does not parse"))?;
    timed(3000, || {
        parsed.verify_sig(message, signature).map_err(|_| anyhow!("a signature of the corpus does not hold"))
    })
}

/// Opens one seal of the run's size over and over.
pub(crate) fn open_seal(parts: &TouchParts) -> anyhow::Result<f64> {
    let (near, far) =
        (EvidencePrivateKey::draw(&mut SystemEntropy)?, EvidencePrivateKey::draw(&mut SystemEntropy)?);
    let (sealing, opening) = (near.sealing(far.public())?, far.opening(near.public())?);
    let statement = TouchStatement::parse(&parts.statement)?;
    let evidence =
        Evidence { profile: PROFILE, signature: &parts.signature, auth_certificate: &parts.auth_certificate };
    let sealed = sealing.seal(&statement, &evidence)?;
    // Opening is done in place, so each round needs a seal of its own: copied outside the clock.
    let rounds = 2000u64;
    let mut copies = vec![sealed; usize::try_from(rounds)?].into_iter();
    timed(rounds, || {
        let mut sealed = copies.next().context("a copy too few")?;
        opening.open(&parts.statement, parts.counter, &mut sealed)?;
        Ok(())
    })
}

/// Seals and opens records of the run's sizes between two ends in memory; only the server's side counts.
pub(crate) fn tls_records(
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    request_len: usize,
    response_len: usize,
) -> anyhow::Result<f64> {
    let name = rustls::pki_types::ServerName::try_from("localhost")?;
    let mut near = rustls::ClientConnection::new(client, name)?;
    let mut far = rustls::ServerConnection::new(server)?;
    let mut wire = Vec::new();
    while near.is_handshaking() || far.is_handshaking() || near.wants_write() || far.wants_write() {
        wire.clear();
        while near.wants_write() {
            near.write_tls(&mut wire)?;
        }
        feed_server(&mut far, &wire)?;
        wire.clear();
        while far.wants_write() {
            far.write_tls(&mut wire)?;
        }
        let mut left = &wire[..];
        while !left.is_empty() {
            near.read_tls(&mut left)?;
            near.process_new_packets()?;
        }
    }
    let (request, response) = (vec![b'q'; request_len], vec![b'a'; response_len]);
    let (mut plain, mut answer) = (vec![0u8; request_len], vec![0u8; response_len]);
    let mut nanos = 0u64;
    for _ in 0..TLS_BATCHES {
        // A whole batch between two looks at the clock, which costs as much as a record.
        let mut requests = Vec::with_capacity(TLS_BATCH);
        for _ in 0..TLS_BATCH {
            near.writer().write_all(&request)?;
            let mut record = Vec::new();
            while near.wants_write() {
                near.write_tls(&mut record)?;
            }
            requests.push(record);
        }
        let mut responses = Vec::with_capacity(TLS_BATCH);
        let before = thread_nanoseconds()?;
        for record in &requests {
            feed_server(&mut far, record)?;
            far.reader().read_exact(&mut plain)?;
            far.writer().write_all(&response)?;
            let mut record = Vec::with_capacity(response_len + 64);
            while far.wants_write() {
                far.write_tls(&mut record)?;
            }
            responses.push(record);
        }
        nanos += thread_nanoseconds()?.saturating_sub(before);
        for record in responses {
            let mut left = &record[..];
            while !left.is_empty() {
                near.read_tls(&mut left)?;
                near.process_new_packets()?;
            }
            near.reader().read_exact(&mut answer)?;
        }
    }
    Ok(per_item_us(nanos, (TLS_BATCH * TLS_BATCHES) as u64))
}

fn feed_server(far: &mut rustls::ServerConnection, wire: &[u8]) -> anyhow::Result<()> {
    let mut left = wire;
    while !left.is_empty() {
        far.read_tls(&mut left)?;
        far.process_new_packets()?;
    }
    Ok(())
}

/// A bare hyper server on a thread of its own, driven over `connections` kept loopback connections.
pub(crate) fn http(connections: usize, request_len: usize, response_len: usize) -> anyhow::Result<f64> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || bare_server(listener, response_len, stopped));
    let per_connection = 12_000 / connections.max(1) + 1;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sent = runtime.block_on(async {
        let request = Arc::new(post("localhost", "/", &vec![b'q'; request_len]));
        let tasks: Vec<_> = (0..connections)
            .map(|_| {
                let request = Arc::clone(&request);
                tokio::spawn(async move {
                    let stream = tokio::net::TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    let mut wire = Wire::new(stream);
                    for _ in 0..per_connection {
                        let response = wire.exchange(&request).await?;
                        anyhow::ensure!(response.status == 200, "the bare server refused");
                    }
                    anyhow::Ok(per_connection as u64)
                })
            })
            .collect();
        let mut sent = 0;
        for task in tasks {
            sent += task.await??;
        }
        anyhow::Ok(sent)
    })?;
    drop(stop);
    let nanos = server.join().map_err(|_| anyhow!("the bare server broke"))??;
    Ok(per_item_us(nanos, sent))
}

fn bare_server(
    listener: std::net::TcpListener,
    response_len: usize,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = Bytes::from(vec![b'a'; response_len]);
    let before = thread_nanoseconds()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted?.0,
                _ = &mut stopped => return anyhow::Ok(()),
            };
            stream.set_nodelay(true)?;
            let body = body.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let body = body.clone();
                    async move {
                        request.into_body().collect().await?;
                        Ok::<_, hyper::Error>(hyper::Response::new(Full::new(body)))
                    }
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                // A client that leaves ends its connection; that is no error of the floor.
                drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
            });
        }
    })?;
    Ok(thread_nanoseconds()?.saturating_sub(before))
}

/// Point reads behind existing serials (link and person, member, insurer), rows stepped through and nothing decoded.
pub(crate) fn look_up(store: &Path, serials: &[Vec<u8>]) -> anyhow::Result<f64> {
    let connection =
        rusqlite::Connection::open_with_flags(store, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "mmap_size", 256 << 20)?;
    let keys: Vec<Vec<u8>> = connection
        .prepare("SELECT member_key FROM member LIMIT ?1")?
        .query_map([i64::try_from(serials.len())?], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut person = connection.prepare(
        "SELECT p.record FROM card_link l JOIN person p ON p.person_key = l.person_key WHERE l.serial = ?1",
    )?;
    let mut member = connection.prepare("SELECT record FROM member WHERE member_key = ?1")?;
    let mut insurer = connection.prepare("SELECT name, loaded_at FROM insurer WHERE insurer_ref = 1")?;
    let mut next = serials.iter().cycle().zip(keys.iter().cycle());
    timed(10_000, || {
        let (serial, key) = next.next().context("no serial in the corpus")?;
        connection.prepare_cached("BEGIN")?.execute([])?;
        for mut rows in [person.query([serial])?, member.query([key])?, insurer.query([])?] {
            while rows.next()?.is_some() {}
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    })
}

/// Writes and syncs batches of records into a preallocated file.
pub(crate) fn log_append(folder: &Path, record_len: usize, batch: usize) -> anyhow::Result<f64> {
    let path = folder.join("floor.log");
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(true).write(true).read(true).open(&path)?;
    let batch = batch.max(1);
    let bytes = vec![0x5Au8; record_len * batch];
    let syncs = 200u64;
    file.write_all(&vec![0u8; bytes.len() * usize::try_from(syncs)?])?;
    file.sync_all()?;
    file.rewind()?;
    let cpu = timed(syncs, || {
        file.write_all(&bytes)?;
        file.sync_data()?;
        Ok(())
    })?;
    drop(file);
    std::fs::remove_file(&path)?;
    #[expect(clippy::cast_precision_loss, reason = "batches are small")]
    let per_record = cpu / batch as f64;
    Ok(per_record)
}
