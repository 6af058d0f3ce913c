//! The room as a process: take up the authority, publish, listen.

use crate::authority::Authority;
use crate::config::Config;
use crate::http;
use crate::publish::{LISTS_CHECK, OCSP_CHECK, publish_loop};
use chassis::admin::{self, Check, Readiness};
use chassis::clock::SystemClock;
use chassis::config::ConfigError;
use chassis::entropy::SystemEntropy;
use chassis::listener::{self, ListenerLimits};
use chassis::shutdown::ShutdownSignal;
use chassis::tls::{self, ClientAuth};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

const LISTENER_CHECK: &str = "listener";

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

/// Reads a config file; relative paths start at its folder.
///
/// # Errors
/// [`ConfigError`] naming file, line and key.
pub fn load_config(path: &Path) -> Result<Config, ConfigError> {
    let config: Config = chassis::config::load(path, chassis::config::ENVIRONMENT_PREFIX)?;
    Ok(config.resolved(&chassis::config::base_of(path)))
}

/// Runs the room until `shutdown`: public pages over TLS without client certificates, because lists are
/// public, the same in plain HTTP for status clients, and the admin pages on their own address.
///
/// # Errors
/// [`ServeError`] if the authority cannot be taken up or an address cannot be bound.
pub async fn serve(config: Config, shutdown: ShutdownSignal) -> Result<(), ServeError> {
    let readiness = Readiness::expecting(&[LISTS_CHECK, OCSP_CHECK, LISTENER_CHECK]);
    let admin_listener =
        TcpListener::bind(config.admin_listen).await.map_err(failed("binding admin_listen"))?;
    // The recorder is installed with the admin router: before anything counts.
    let admin_router = admin::router("jpki_authority", readiness.clone());
    let limits = ListenerLimits::default();
    let admin_pages =
        tokio::spawn(listener::serve_plain(admin_listener, admin_router, shutdown.clone(), limits));

    let tls = tls::server_config(&config.tls, ClientAuth::None).map_err(failed("setting up TLS"))?;
    let listening = TcpListener::bind(config.listen).await.map_err(failed("binding listen"))?;
    let status_listener =
        TcpListener::bind(config.status.listen).await.map_err(failed("binding status.listen"))?;
    let authority = tokio::task::spawn_blocking(move || Authority::open(config))
        .await
        .map_err(failed("taking up the authority"))?
        .map_err(failed("taking up the authority"))?;
    let authority = Arc::new(authority);
    let publishing = tokio::spawn(publish_loop(
        Arc::clone(&authority),
        Arc::new(SystemClock),
        SystemEntropy,
        readiness.clone(),
        shutdown.clone(),
    ));
    let router = http::router(authority, Arc::new(SystemClock));
    let status_pages =
        tokio::spawn(listener::serve_plain(status_listener, router.clone(), shutdown.clone(), limits));
    readiness.set(LISTENER_CHECK, Check::Ok);
    listener::serve(listening, tls, router, shutdown, limits).await;
    status_pages.await.map_err(failed("serving status in plain HTTP"))?;
    admin_pages.await.map_err(failed("serving the admin pages"))?;
    publishing.await.map_err(failed("publishing"))
}
