//! Messages between terminal and eligibility platform, version 1. JSON over HTTP/1.1 over mutual
//! TLS 1.3; the terminal and its institution are known from the client certificate, never from a field.
//!
//! | call | request | response |
//! |---|---|---|
//! | `POST /v1/check` | [`CheckRequest`] | [`CheckResponse`] or a problem |
//! | `POST /v1/secure-element/unlock` | [`UnlockRequest`] | [`UnlockResponse`] or a problem |
//! | `POST /v1/nonce` | [`NonceRequest`] | [`NonceResponse`] or a problem |

use crate::answer::Answer;
use crate::base64_bytes;
use crate::sealed_evidence::{EvidencePublicKey, SealedEvidence};
use crate::statement::FreshnessNonce;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Path of a check.
pub const CHECK_PATH: &str = "/v1/check";
/// Path of a Secure Element's unlock.
pub const UNLOCK_PATH: &str = "/v1/secure-element/unlock";
/// Path of a fresh nonce.
pub const NONCE_PATH: &str = "/v1/nonce";
/// The largest request body a platform reads, in octets. A check with its certificate needs about 2,600.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// One touch, as evidence under seal. There is no field for a serial, nor for the card's certificate or
/// its signature: only the Secure Element and the platform ever see those.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The encoded [`crate::statement::TouchStatement`].
    #[serde(with = "base64_bytes")]
    pub statement: Vec<u8>,
    /// The Secure Element's evidence key of the arming in which the touch was made, 65 octets.
    #[serde(with = "base64_bytes")]
    pub evidence_key: EvidencePublicKey,
    /// Profile, signature and certificate under seal, see [`crate::sealed_evidence`].
    #[serde(with = "base64_bytes")]
    pub sealed: SealedEvidence,
}

impl fmt::Debug for CheckRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckRequest(…)")
    }
}

/// The answer to a check, and the freshness for the next one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckResponse {
    /// Which audit record stands behind it.
    pub audit_record: u64,
    /// The next nonce.
    #[serde(with = "base64_bytes")]
    pub next_nonce: FreshnessNonce,
    /// The answer. The last field, as its receipt is its own last field, and the proof the receipt's: the
    /// proof is put in after everything else is on disk.
    pub answer: Answer,
}

/// Asks the platform to arm a Secure Element.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlockRequest {
    /// Id of the Secure Element, 8 octets.
    #[serde(with = "base64_bytes")]
    pub secure_element: [u8; 8],
    /// The Secure Element's challenge, 16 octets.
    #[serde(with = "base64_bytes")]
    pub challenge: [u8; 16],
    /// The Secure Element's evidence key for this arming, 65 octets.
    #[serde(with = "base64_bytes")]
    pub evidence_key: EvidencePublicKey,
}

/// A signed policy that arms the Secure Element, and a first nonce.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnlockResponse {
    /// The encoded [`crate::unlock::UnlockPolicy`].
    #[serde(with = "base64_bytes")]
    pub policy: Vec<u8>,
    /// ECDSA P-256 with SHA-256 over the policy behind its domain tag, ASN.1 DER.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
    /// The first nonce.
    #[serde(with = "base64_bytes")]
    pub next_nonce: FreshnessNonce,
    /// Name of the institution this terminal is registered for: what the consent screen shows.
    pub institution_name: String,
    /// Its code.
    pub institution_code: String,
    /// The platform's clock, Unix seconds, so that a terminal can see its own offset.
    pub server_time: u64,
}

/// Asks for a nonce.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NonceRequest {}

/// A nonce, bound to the terminal that asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NonceResponse {
    /// The nonce.
    #[serde(with = "base64_bytes")]
    pub next_nonce: FreshnessNonce,
    /// How long it is good, in seconds.
    pub validity_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn check(statement: &str, key: &[u8], sealed: &[u8], more: &str) -> Option<CheckRequest> {
        let text = format!(
            r#"{{"statement":"{statement}","evidence_key":"{}","sealed":"{}"{more}}}"#,
            STANDARD.encode(key),
            STANDARD.encode(sealed)
        );
        serde_json::from_str(&text).ok()
    }

    #[test]
    fn a_client_supplied_serial_is_not_even_a_field() {
        assert!(check("", &[4; 65], &[7; 900], "").is_some());
        for more in ["serial", "signature", "auth_certificate", "profile"] {
            assert_eq!(check("", &[4; 65], &[7; 900], &format!(r#","{more}":"01""#)), None, "{more}");
        }
    }

    #[test]
    fn wrong_lengths_and_foreign_alphabets_are_refused() {
        assert!(
            serde_json::from_str::<UnlockRequest>(
                r#"{"secure_element":"AAAA","challenge":"AAAA","evidence_key":"AAAA"}"#
            )
            .is_err()
        );
        assert_eq!(check("_-", &[4; 65], &[7; 900], ""), None);
        for key in [&[4; 64][..], &[3; 65], &[4; 66], &[]] {
            assert_eq!(check("", key, &[7; 900], ""), None);
        }
        for sealed in [&[][..], &[7; 272], &[7; 10_000]] {
            assert_eq!(check("", &[4; 65], sealed, ""), None);
        }
    }
}
