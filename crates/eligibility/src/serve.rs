//! The room as a process: open everything, then listen.

use crate::config::Config;
use crate::http;
use crate::keys::PlatformKeys;
use crate::platform::{Parts, Platform};
use crate::receipts::ReceiptLog;
use crate::revocation::{CurrentRevocation, PullError};
use crate::store::sqlite::SqliteStore;
use crate::upload::{self, InsurerFeed, Uploads};
use chassis::admin::{self, Check, Readiness};
use chassis::client::{Client, ClientLimits};
use chassis::clock::SystemClock;
use chassis::durable_log::{DurableLog, LogOptions};
use chassis::entropy::SystemEntropy;
use chassis::listener::{self, ListenerLimits};
use chassis::shutdown::ShutdownSignal;
use chassis::tls::{self, ClientAuth};
use pki::crl::{Change, CrlProblem, RevocationIndex};
use pki::pem::{self, PemKind};
use pki::validate::TrustAnchor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// From asking for a list to its last byte: 66 MB over a line of 5 Mbit/s.
const LIST_TIMEOUT: Duration = Duration::from_secs(120);
const STATUS_CHECK: &str = "revocation_status";
/// How long the log waits for company while several checks are under way: a sync costs as much CPU as
/// two checks. A check that is alone does not wait.
const GATHER_MAX: Duration = Duration::from_millis(4);
/// How often a checkpoint is saved: bounds the log that a restart replays.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// How long an insurer's file may take to arrive: a gigabyte over a slow line.
const FEED_BODY_TIMEOUT: Duration = Duration::from_secs(3600);
const FEED_CONNECTIONS_MAX: usize = 256;

/// Why the room does not run. The text names the file or setting concerned.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct ServeError {
    doing: &'static str,
    why: String,
}

fn failed<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> ServeError {
    move |why| ServeError { doing, why: why.to_string() }
}

/// Reads the trust anchors of the configured authentication CAs.
fn anchors(files: &[std::path::PathBuf]) -> Result<Vec<TrustAnchor>, ServeError> {
    files
        .iter()
        .map(|file| {
            let unusable = |why: String| ServeError {
                doing: "reading an authentication CA",
                why: format!("{}: {why}", file.display()),
            };
            let text = std::fs::read_to_string(file).map_err(|e| unusable(e.to_string()))?;
            let der = pem::decode(PemKind::Certificate, &text).map_err(|e| unusable(e.to_string()))?;
            TrustAnchor::from_certificate(&der).map_err(|e| unusable(e.to_string()))
        })
        .collect()
}

/// Opens the platform's parts as `config` says; recovers what the last process left.
pub fn open(config: &Config) -> Result<Arc<Platform>, ServeError> {
    let anchors = Arc::new(anchors(&config.revocation.auth_ca)?);
    let store = SqliteStore::open(&config.store).map_err(failed("opening the store"))?;
    let (log, recovery) =
        DurableLog::open(&config.audit_log, LogOptions { gather_max: GATHER_MAX, ..LogOptions::default() })
            .map_err(failed("opening the audit log"))?;
    tracing::info!(records = recovery.last_sequence, "audit log opened");
    if let Some(torn) = &recovery.torn_tail {
        // Nobody was promised it; but an operator should know that the last stop was not a clean one.
        tracing::warn!(
            sequence = torn.sequence,
            "a half-written record at the end of the audit log was cut off"
        );
    }
    let keys = PlatformKeys::open(&config.keys, &mut SystemEntropy).map_err(failed("opening the keys"))?;
    let receipts = ReceiptLog::open(&config.receipts.folder, &config.receipts.log, keys.receipt_log_secret())
        .map_err(failed("opening the receipt log"))?;
    let revocation = Arc::new(CurrentRevocation::open(Arc::clone(&anchors), &config.revocation.kept));
    let platform = Platform::recover(Parts {
        store: Arc::new(store),
        log,
        receipts: Arc::new(receipts),
        keys,
        anchors,
        revocation,
        clock: Arc::new(SystemClock),
        freshness: config.freshness,
        unlock: config.unlock,
        status_max_age_seconds: config.revocation.max_age_seconds,
    })
    .map_err(failed("recovering the last outcomes"))?;
    Ok(Arc::new(platform))
}

/// Splits `https://host:port/path` into base and path.
fn split_url(url: &str) -> Option<(&str, &str)> {
    let after_scheme = url.find("://")? + 3;
    let slash = url.get(after_scheme..)?.find('/')? + after_scheme;
    Some((url.get(..slash)?, url.get(slash..)?))
}

/// Pulls the delta, and the complete list when the delta builds on one that is not at hand.
async fn pull_newest(
    revocation: &Arc<CurrentRevocation>,
    (client, path): &(Client, String),
    delta: Option<&(Client, String)>,
) -> Result<Change, PullError> {
    let Some((delta_client, delta_path)) = delta else { return revocation.pull(client, path).await };
    let changed = revocation.pull(delta_client, delta_path).await;
    let is_enough = match &changed {
        Ok(_) => !revocation.load().lists().any(RevocationIndex::is_behind),
        Err(error) => !matches!(error, PullError::Refused(CrlProblem::DeltaWithoutBase { .. })),
    };
    if is_enough {
        return changed;
    }
    let complete = revocation.pull(client, path).await?;
    let changed = revocation.pull(delta_client, delta_path).await;
    if complete == Change::New { changed.or(Ok(complete)) } else { changed }
}

/// Pulls the CRL for ever; the readiness check says how that goes.
async fn keep_pulling(
    platform: Arc<Platform>,
    config: Config,
    readiness: Readiness,
    shutdown: ShutdownSignal,
) -> Result<(), ServeError> {
    let source = |url: &str, setting: &'static str| {
        let (base, path) = split_url(url).ok_or_else(|| ServeError {
            doing: setting,
            why: format!("{url} is not of the form https://host:port/path"),
        })?;
        let tls = tls::client_config(&config.revocation.server_ca, None)
            .map_err(failed("reading revocation.server_ca"))?;
        let client = Client::new(base, tls).map_err(failed(setting))?;
        let limits = ClientLimits { request_timeout: LIST_TIMEOUT, ..ClientLimits::default() };
        Ok::<_, ServeError>((client.with_limits(limits), path.to_owned()))
    };
    let complete = source(&config.revocation.url, "reading revocation.url")?;
    let delta = config.revocation.delta_url.as_ref();
    let delta = delta.map(|url| source(url, "reading revocation.delta_url")).transpose()?;
    loop {
        let pulled = pull_newest(&platform.revocation, &complete, delta.as_ref()).await;
        match &pulled {
            Ok(Change::New) => tracing::info!("a new CRL is in force"),
            Ok(Change::Nothing) => {}
            Err(error) => tracing::warn!(%error, "the revocation status is not renewed"),
        }
        let too_old = |age: u64| age > config.revocation.max_age_seconds;
        let oldest = platform.revocation.oldest_this_update();
        let age = oldest.map(|this_update| platform.clock.now().since(this_update));
        if let Some(age) = age {
            metrics::gauge!("kazasu_revocation_status_age_seconds")
                .set(f64::from(u32::try_from(age).unwrap_or(u32::MAX)));
        }
        readiness.set(
            STATUS_CHECK,
            match age {
                Some(age) if !too_old(age) => Check::Ok,
                Some(age) => Check::NotReady(format!("the newest CRL is {age} s old")),
                None => Check::NotReady("no CRL yet".to_owned()),
            },
        );
        // Until the first one is there, ask again soon: terminals wait for it.
        let pause = if age.is_some() { config.revocation.refresh_seconds.max(1) } else { 0 };
        let pause = if pause == 0 { Duration::from_millis(200) } else { Duration::from_secs(pause) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.wait() => return Ok(()),
        }
    }
}

async fn keep_checkpointing(platform: Arc<Platform>, shutdown: ShutdownSignal) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(CHECKPOINT_EVERY) => {}
            () = shutdown.wait() => return,
        }
        if let Err(error) = platform.checkpoint().await {
            tracing::error!(%error, "no checkpoint: the next start replays more of the log");
        }
    }
}

/// Opens the listener for insurers' files; what is given back serves it. A store of its own, so that a batch that
/// is being written keeps no check waiting for the lock.
async fn take_feeds(
    config: &Config,
    feed: &InsurerFeed,
    shutdown: ShutdownSignal,
) -> Result<impl Future<Output = ()> + use<>, ServeError> {
    let senders = upload::senders(&feed.clients).map_err(failed("reading insurer_feed.clients"))?;
    std::fs::create_dir_all(&feed.spool).map_err(failed("making insurer_feed.spool"))?;
    let store = SqliteStore::open(&config.store).map_err(failed("opening the store for feeds"))?;
    let uploads = Uploads::new(Arc::new(store), Arc::new(SystemClock), senders, &feed.spool, feed.bytes_max);
    let tls = tls::server_config(&config.tls, ClientAuth::Required { ca_pem: feed.client_ca.clone() })
        .map_err(failed("setting up TLS for insurer_feed"))?;
    let listening = TcpListener::bind(feed.listen).await.map_err(failed("binding insurer_feed.listen"))?;
    let limits = ListenerLimits {
        body_bytes_max: feed.bytes_max,
        body_timeout: FEED_BODY_TIMEOUT,
        connections_max: FEED_CONNECTIONS_MAX,
        ..ListenerLimits::default()
    };
    Ok(listener::serve(listening, tls, upload::router(Arc::new(uploads)), shutdown, limits))
}

/// Runs the room until `shutdown`.
pub async fn serve(config: Config, shutdown: ShutdownSignal) -> Result<(), ServeError> {
    let readiness = Readiness::expecting(&[STATUS_CHECK, "listener"]);
    let admin_listener =
        TcpListener::bind(config.admin_listen).await.map_err(failed("binding admin_listen"))?;
    // The recorder is installed with the admin router: before anything counts.
    let admin_router = admin::router("eligibility", readiness.clone());
    let admin_page = tokio::spawn(listener::serve_plain(
        admin_listener,
        admin_router,
        shutdown.clone(),
        ListenerLimits::default(),
    ));
    let platform = open(&config)?;
    let tls = tls::server_config(&config.tls, ClientAuth::Required { ca_pem: config.terminal_ca.clone() })
        .map_err(failed("setting up TLS"))?;
    let listening = TcpListener::bind(config.listen).await.map_err(failed("binding listen"))?;
    readiness.set("listener", Check::Ok);
    let pulling = tokio::spawn(keep_pulling(
        Arc::clone(&platform),
        config.clone(),
        readiness.clone(),
        shutdown.clone(),
    ));
    let feeding = match &config.insurer_feed {
        Some(feed) => Some(tokio::spawn(take_feeds(&config, feed, shutdown.clone()).await?)),
        None => None,
    };
    let checkpointing = tokio::spawn(keep_checkpointing(Arc::clone(&platform), shutdown.clone()));
    let router = http::router(Arc::clone(&platform));
    listener::serve(listening, tls, router, shutdown.clone(), ListenerLimits::default()).await;
    drop(checkpointing.await);
    if let Some(feeding) = feeding {
        drop(feeding.await);
    }
    drop(admin_page.await);
    platform.checkpoint().await.map_err(failed("saving the last checkpoint"))?;
    pulling.await.map_err(failed("pulling the CRL"))?
}

/// Reads a config file; relative paths start at its folder.
pub fn load_config(path: &Path) -> Result<Config, chassis::config::ConfigError> {
    let config: Config = chassis::config::load(path, chassis::config::ENVIRONMENT_PREFIX)?;
    Ok(config.resolved(&chassis::config::base_of(path)))
}
