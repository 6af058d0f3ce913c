//! The room as a process: opens what the config names, and runs until shutdown.

use crate::config::Config;
use crate::custody::Custody;
use crate::desk::{self, Desk, DeskParts, ReaderKind};
use crate::error::StartError;
use crate::http;
use crate::platform::{self, Platform};
use card_io::VirtualReader;
use chassis::admin::{self, Readiness};
use chassis::client::Client;
use chassis::clock::SystemClock;
use chassis::config::{self, ConfigError};
use chassis::entropy::SystemEntropy;
use chassis::listener::{ListenerLimits, serve_plain};
use chassis::shutdown::ShutdownSignal;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A kiosk has one screen and a few scripts; nobody needs more connections than this.
const CONNECTIONS_MAX: usize = 64;

/// A desk whose listeners are open and whose readers are attached.
#[derive(Debug)]
pub struct Running {
    /// Where the kiosk page is.
    pub kiosk: SocketAddr,
    /// Where readiness and metrics are.
    pub admin: SocketAddr,
    /// Where emulated cards connect, if there is a virtual reader.
    pub virtual_reader: Option<SocketAddr>,
    /// The desk.
    pub desk: Desk,
    listeners: (TcpListener, TcpListener),
    routers: (axum::Router, axum::Router),
    shutdown: ShutdownSignal,
}

/// Reads a config file; relative paths in it are taken from its folder.
///
/// # Errors
/// [`ConfigError`] naming file, line and key.
pub fn load_config(path: &Path) -> Result<Config, ConfigError> {
    config::load::<Config>(path, config::ENVIRONMENT_PREFIX)
        .map(|loaded| loaded.resolved(&config::base_of(path)))
}

/// Opens everything and runs until `shutdown`.
///
/// # Errors
/// [`StartError`] naming the key or the file.
pub async fn serve(config: Config, shutdown: ShutdownSignal) -> Result<(), StartError> {
    start(config, shutdown).await?.run().await;
    Ok(())
}

/// Opens everything: after this the addresses are known, and the Secure Element is being armed.
///
/// # Errors
/// [`StartError`] naming the key or the file.
pub async fn start(config: Config, shutdown: ShutdownSignal) -> Result<Running, StartError> {
    if !config.listen.ip().is_loopback() {
        return Err(StartError::NotLoopback(config.listen));
    }
    let readiness = Readiness::expecting(&[desk::READINESS, platform::READINESS]);
    let admin_pages = admin::router("terminal", readiness.clone());
    let tls = chassis::tls::client_config(&config.platform.ca, Some(&config.tls))?;
    let client = Client::new(&config.platform.url, tls)?;
    let custody = Custody::open(&config.secure_element, Box::new(SystemEntropy))?;
    let kiosk_listener = listen("listen", config.listen).await?;
    let admin_listener = listen("admin_listen", config.admin_listen).await?;
    let parts = DeskParts {
        custody,
        platform: Platform::new(client, readiness.clone()),
        clock: Arc::new(SystemClock),
        entropy: Box::new(SystemEntropy),
        times: config.times(),
        readiness,
    };
    let virtual_reader = config.virtual_reader.map(VirtualReader::bind).transpose()?;
    let virtual_address = virtual_reader.as_ref().map(VirtualReader::address);
    let desk = Desk::open(parts, shutdown.clone());
    if let Some(reader) = virtual_reader {
        desk.attach(Box::new(reader), ReaderKind::Virtual).map_err(StartError::Thread)?;
    }
    for name in &config.pcsc_readers {
        desk.attach_pcsc_when_there(name).map_err(StartError::Thread)?;
    }
    let kiosk = address_of("listen", &kiosk_listener, config.listen)?;
    let admin = address_of("admin_listen", &admin_listener, config.admin_listen)?;
    tracing::info!(%kiosk, %admin, "reception desk");
    Ok(Running {
        kiosk,
        admin,
        virtual_reader: virtual_address,
        routers: (http::router(desk.clone(), kiosk), admin_pages),
        desk,
        listeners: (kiosk_listener, admin_listener),
        shutdown,
    })
}

impl Running {
    /// Serves until shutdown, then lets a touch that is going on come to its end.
    pub async fn run(self) {
        let limits = ListenerLimits { connections_max: CONNECTIONS_MAX, ..ListenerLimits::default() };
        let ((kiosk, admin), (pages, admin_pages)) = (self.listeners, self.routers);
        tokio::join!(
            serve_plain(kiosk, pages, self.shutdown.clone(), limits),
            serve_plain(admin, admin_pages, self.shutdown.clone(), limits),
        );
        self.desk.close().await;
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { key, address, source })
}

fn address_of(
    key: &'static str,
    listener: &TcpListener,
    address: SocketAddr,
) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { key, address, source })
}
