//! Why there is no reply, and whose fault it is.

use rustls::AlertDescription;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is not `https://host:port` or `http://host:port`.
    #[error("{url:?} is not a base URL: {problem}")]
    BadBaseUrl {
        /// The text given.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nobody answers at that address.
    #[error("{address} is unreachable: {source}")]
    Unreachable {
        /// host:port.
        address: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A time limit passed.
    #[error("{address} did not {waiting_for} within {limit_ms} ms")]
    Timeout {
        /// host:port.
        address: String,
        /// `connect` or `answer`.
        waiting_for: &'static str,
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// The server's certificate is not under our CA, is expired, or names another host.
    #[error("{address} is not the server we trust: {reason}")]
    ServerNotTrusted {
        /// host:port.
        address: String,
        /// What TLS found wrong.
        reason: String,
    },
    /// The server says that our client certificate is expired or not yet valid (RFC 8446 §6.2
    /// `certificate_expired`).
    #[error("{address} refuses our client certificate: it is expired or not yet valid")]
    ClientCertificateExpired {
        /// host:port.
        address: String,
    },
    /// The server does not know the CA of our client certificate (RFC 8446 §6.2 `unknown_ca`, or
    /// `decrypt_error` if a CA of the same name has another key).
    #[error("{address} refuses our client certificate: it comes from a CA the server does not trust")]
    ClientCertificateForeign {
        /// host:port.
        address: String,
    },
    /// The server wants a client certificate and we have none (RFC 8446 §6.2 `certificate_required`).
    #[error("{address} wants a client certificate and none was given")]
    ClientCertificateMissing {
        /// host:port.
        address: String,
    },
    /// The server refuses our client certificate for another reason.
    #[error("{address} refuses our client certificate: {alert}")]
    ClientCertificateRefused {
        /// host:port.
        address: String,
        /// Name of the TLS alert (RFC 8446 §6.2).
        alert: String,
    },
    /// The reply is longer than allowed.
    #[error("{address} sent more than {limit_bytes} bytes")]
    ReplyTooLong {
        /// host:port.
        address: String,
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// The message could not be written as JSON.
    #[error("the message cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// The reply is not JSON of the shape expected.
    #[error("the reply is not the JSON expected: {0}")]
    Decode(#[source] serde_json::Error),
    /// The two ends do not speak the same protocol, or the connection broke in the middle.
    #[error("{address}: {problem}")]
    Protocol {
        /// host:port.
        address: String,
        /// What went wrong.
        problem: String,
    },
}

/// What TLS said against the connection, kept until somebody asks why it broke.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Complaint {
    /// The other end sent this alert.
    Alert(AlertDescription),
    /// We do not accept the server's certificate.
    ServerCertificate(String),
    /// Something else.
    Other(String),
}

impl Complaint {
    /// The complaint inside an I/O error of the TLS stream, if there is one.
    pub(super) fn in_error(error: &std::io::Error) -> Option<Self> {
        let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match tls {
            rustls::Error::AlertReceived(alert) => Self::Alert(*alert),
            rustls::Error::InvalidCertificate(problem) => Self::ServerCertificate(problem.to_string()),
            other => Self::Other(other.to_string()),
        })
    }

    /// The error that names the culprit.
    pub(super) fn into_error(self, address: &str) -> ClientError {
        let address = address.to_owned();
        match self {
            Self::ServerCertificate(reason) => ClientError::ServerNotTrusted { address, reason },
            Self::Other(problem) => ClientError::Protocol { address, problem },
            Self::Alert(alert) => match alert {
                AlertDescription::CertificateExpired => ClientError::ClientCertificateExpired { address },
                AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                    ClientError::ClientCertificateForeign { address }
                }
                AlertDescription::CertificateRequired => ClientError::ClientCertificateMissing { address },
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::AccessDenied => {
                    ClientError::ClientCertificateRefused { address, alert: format!("{alert:?}") }
                }
                other => ClientError::Protocol { address, problem: format!("TLS alert {other:?}") },
            },
        }
    }
}

/// The texts of an error and its causes in one line.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
