//! The room as a process: take up the authority, publish, listen.

use crate::approval::desk::{ApprovalDesk, scope_of};
use crate::audit::AuditKey;
use crate::authority::Authority;
use crate::config::Config;
use crate::error::AuthorityError;
use crate::http;
use crate::linkage;
use crate::operator::at_work;
use crate::publish::{LISTS_CHECK, OCSP_CHECK, publish_loop};
use chassis::admin::{self, Check, Readiness};
use chassis::clock::SystemClock;
use chassis::config::ConfigError;
use chassis::entropy::SystemEntropy;
use chassis::listener::{self, ListenerLimits};
use chassis::shutdown::ShutdownSignal;
use chassis::tls::{self, ClientAuth};
use protocol::time::Clock as _;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

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
    let there = at_work::WhenThere::default();
    let operators = at_work::router(Arc::clone(&there), Arc::new(SystemClock));
    let admin_router = admin::router("jpki_authority", readiness.clone()).merge(operators);
    let limits = ListenerLimits::default();
    let admin_pages =
        tokio::spawn(listener::serve_plain(admin_listener, admin_router, shutdown.clone(), limits));

    let tls = tls::server_config(&config.tls, ClientAuth::None).map_err(failed("setting up TLS"))?;
    let listening = TcpListener::bind(config.listen).await.map_err(failed("binding listen"))?;
    let status_listener =
        TcpListener::bind(config.status.listen).await.map_err(failed("binding status.listen"))?;
    let authority = tokio::task::spawn_blocking(move || take_up(config))
        .await
        .map_err(failed("taking up the authority"))?
        .map_err(failed("taking up the authority"))?;
    there.store(Some(Arc::clone(&authority)));
    let linking = serve_linkage(&authority, &shutdown, limits).await?;
    let orders =
        at_work::take_orders(Arc::clone(&authority), Arc::new(SystemClock), SystemEntropy, shutdown.clone());
    let orders = tokio::spawn(orders);
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
    if let Some(linking) = linking {
        linking.await.map_err(failed("serving linkage"))?;
    }
    orders.await.map_err(failed("taking operators' orders"))?;
    publishing.await.map_err(failed("publishing"))
}

/// Takes the authority up, and finishes what two people approved before the last process ended.
fn take_up(config: Config) -> Result<Arc<Authority>, AuthorityError> {
    let authority = Arc::new(Authority::open(config)?);
    let entropy = &mut SystemEntropy;
    let store = Arc::clone(&authority.store);
    let key = AuditKey::open(&authority.config.keys_dir, store.as_ref(), entropy)?;
    let desk = ApprovalDesk::with_parts(store, key, scope_of(&authority.config)?);
    at_work::finish(&desk, &authority, SystemClock.now(), entropy)?;
    Ok(authority)
}

/// Opens the linkage service, where one is configured.
async fn serve_linkage(
    authority: &Arc<Authority>,
    shutdown: &ShutdownSignal,
    limits: ListenerLimits,
) -> Result<Option<JoinHandle<()>>, ServeError> {
    let Some(service) = authority.config.linkage.clone() else { return Ok(None) };
    let client_auth = ClientAuth::Required { ca_pem: service.client_ca.clone() };
    let tls =
        tls::server_config(&authority.config.tls, client_auth).map_err(failed("setting up linkage's TLS"))?;
    let listening = TcpListener::bind(service.listen).await.map_err(failed("binding linkage.listen"))?;
    let store = Arc::clone(&authority.store);
    let key = AuditKey::open(&authority.config.keys_dir, store.as_ref(), &mut SystemEntropy)
        .map_err(failed("taking up the audit's key"))?;
    let desk = linkage::LinkageDesk::open(&service, store, key, SystemClock.now())
        .map_err(failed("reading linkage.clients"))?;
    let router = linkage::http::router(Arc::new(desk), Arc::new(SystemClock));
    Ok(Some(tokio::spawn(listener::serve(listening, tls, router, shutdown.clone(), limits))))
}
