//! TLS 1.3 configurations.
//!
//! TLS 1.2 is not refused by a setting but absent: the crypto library is built without it. The
//! provider is handed over explicitly; nothing is installed process-wide. The first key exchange
//! offered is X25519MLKEM768: against recorders who wait for a quantum computer it costs 8 % more per
//! handshake.
//!
//! **No session resumption, on either side.** A resumed session skips the client-certificate check: a
//! terminal whose certificate expired or was withdrawn after its first handshake would walk in on an
//! old ticket. A terminal keeps one connection open all day, so resumption would save 130 µs of server
//! time per terminal and day: not worth a second way in.

use crate::config::TlsFiles;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureAlgorithm, SignatureScheme, version};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use zeroize::Zeroizing;

/// The only application protocol spoken (RFC 7301): HTTP/2 costs a fifth more CPU for terminals that
/// ask one thing at a time.
const ALPN: &[u8] = b"http/1.1";

/// Whether the other end must show a client certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientAuth {
    /// Anybody may connect (public certificate status).
    None,
    /// A certificate under one of the CAs in `ca_pem` is mandatory; without it no handshake completes.
    Required {
        /// PEM file with one or more CA certificates.
        ca_pem: PathBuf,
    },
}

/// A TLS configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not PEM, or what is inside it is broken.
    #[error("{}: {problem}", path.display())]
    BadPem {
        /// The file.
        path: PathBuf,
        /// What is wrong (never key bytes).
        problem: String,
    },
    /// A PEM file holds no X.509 certificate.
    #[error("{}: holds no certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The server's key is RSA.
    #[error(
        "{}: an RSA key; a server key must be ECDSA P-256, because an RSA-2048 signature costs the \
         server 27 times the CPU of a P-256 one, at every handshake",
        path.display()
    )]
    RsaServerKey {
        /// The key file.
        path: PathBuf,
    },
    /// The server's key is neither RSA nor P-256.
    #[error("{}: a server key must be ECDSA P-256", path.display())]
    NotP256ServerKey {
        /// The key file.
        path: PathBuf,
    },
    /// Key and certificate belong to different pairs.
    #[error("{} is not the key of {}", key.display(), cert.display())]
    KeyOfAnother {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        cert: PathBuf,
    },
    /// The TLS library refuses the configuration.
    #[error("TLS refuses this configuration: {0}")]
    Refused(String),
}

/// The cryptography under every connection: AWS-LC, post-quantum key exchange first.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            kx_groups: vec![
                aws_lc_rs::kx_group::X25519MLKEM768,
                aws_lc_rs::kx_group::X25519,
                aws_lc_rs::kx_group::SECP256R1,
            ],
            ..aws_lc_rs::default_provider()
        })
    }))
}

/// A server that shows the certificate in `files` and, if asked to, admits only clients with a
/// certificate of their own. TLS 1.3, HTTP/1.1, no tickets, no early data.
///
/// # Errors
/// [`TlsError`] naming the file.
pub fn server_config(files: &TlsFiles, client_auth: ClientAuth) -> Result<Arc<ServerConfig>, TlsError> {
    let identity = identity(files)?;
    if identity.key.algorithm() == SignatureAlgorithm::RSA {
        return Err(TlsError::RsaServerKey { path: files.key.clone() });
    }
    let p256 = [SignatureScheme::ECDSA_NISTP256_SHA256];
    if identity.key.choose_scheme(&p256).is_none() {
        return Err(TlsError::NotP256ServerKey { path: files.key.clone() });
    }
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| TlsError::Refused(error.to_string()))?;
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Required { ca_pem } => {
            let roots = Arc::new(roots(&ca_pem)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|error| TlsError::BadPem { path: ca_pem, problem: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A client that trusts servers under the CAs in `ca_pem` (and no others: the system's list is not
/// consulted) and, if given, shows the certificate in `identity`.
///
/// # Errors
/// [`TlsError`] naming the file.
pub fn client_config(
    ca_pem: &Path,
    identity_files: Option<&TlsFiles>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| TlsError::Refused(error.to_string()))?
        .with_root_certificates(roots(ca_pem)?);
    let mut config = match identity_files {
        Some(files) => {
            let resolver = Arc::new(SingleCertAndKey::from(identity(files)?));
            builder.with_client_cert_resolver(resolver)
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_path_buf(), source })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::BadPem { path: path.to_path_buf(), problem: error.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_path_buf() });
    }
    Ok(chain)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for root in chain(path)? {
        store
            .add(root)
            .map_err(|error| TlsError::BadPem { path: path.to_path_buf(), problem: error.to_string() })?;
    }
    Ok(store)
}

fn identity(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = chain(&files.cert)?;
    let bad_key = |problem: String| TlsError::BadPem { path: files.key.clone(), problem };
    let pem = Zeroizing::new(read(&files.key)?);
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| bad_key(error.to_string()))?;
    let key =
        provider().key_provider.load_private_key(private).map_err(|error| bad_key(error.to_string()))?;
    let identity = CertifiedKey::new(chain, key);
    identity.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::KeyOfAnother { key: files.key.clone(), cert: files.cert.clone() }
        }
        other => TlsError::BadPem { path: files.cert.clone(), problem: other.to_string() },
    })?;
    Ok(identity)
}
