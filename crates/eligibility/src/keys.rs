//! The platform's own secrets: the unlock key that arms Secure Elements, the key that opens their
//! evidence, the nonce secret, the secrets behind holder tags and receipts. Made once, kept in files of mode 0600, never in a log or an answer.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use protocol::entropy::Entropy;
use protocol::ids::AuthCertSerial;
use protocol::sealed_evidence::EvidencePrivateKey;
use std::path::Path;
use zeroize::Zeroizing;

/// File of the evidence key's secret: 32 octets, big-endian.
const EVIDENCE_FILE: &str = "evidence.secret";

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What happened.
        why: String,
    },
    /// A file does not hold what it should.
    #[error("{0} does not hold a usable key")]
    Unusable(&'static str),
}

/// The secrets of one platform.
pub struct PlatformKeys {
    unlock: EcdsaKeyPair,
    evidence: EvidencePrivateKey,
    nonce_secret: Zeroizing<[u8; 32]>,
    holder_tag: hmac::Key,
    receipt_log: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for PlatformKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlatformKeys(…)")
    }
}

fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let failed = |why: String| KeysError::File { path: path.display().to_string(), why };
    match std::fs::read(path) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes = Zeroizing::new(make().ok_or(KeysError::Unusable("a new key"))?);
            chassis::files::write_private(path, &bytes).map_err(|e| failed(e.to_string()))?;
            Ok(bytes)
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

impl PlatformKeys {
    /// Reads the keys in `folder`, making the ones that are not there yet.
    pub fn open(folder: &Path, entropy: &mut dyn Entropy) -> Result<Self, KeysError> {
        std::fs::create_dir_all(folder)
            .map_err(|e| KeysError::File { path: folder.display().to_string(), why: e.to_string() })?;
        let unlock = read_or_make(&folder.join("unlock.p8"), || {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()?;
            pair.to_pkcs8v1().ok().map(|document| document.as_ref().to_vec())
        })?;
        let unlock = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &unlock)
            .map_err(|_| KeysError::Unusable("unlock.p8"))?;
        let evidence = read_or_make(&folder.join(EVIDENCE_FILE), || {
            EvidencePrivateKey::draw_scalar(entropy).ok().map(|scalar| scalar.to_vec())
        })?;
        let evidence = evidence
            .as_slice()
            .try_into()
            .ok()
            .and_then(|scalar| EvidencePrivateKey::from_scalar(scalar).ok())
            .ok_or(KeysError::Unusable(EVIDENCE_FILE))?;
        let mut secret = |name: &'static str| {
            let bytes = read_or_make(&folder.join(name), || {
                let mut bytes = vec![0u8; 32];
                entropy.fill(&mut bytes);
                Some(bytes)
            })?;
            <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| KeysError::Unusable(name))
        };
        let nonce_secret = secret("nonce.secret")?;
        let holder_secret = secret("holder-tag.secret")?;
        let holder_tag = hmac::Key::new(hmac::HMAC_SHA256, &holder_secret[..]);
        let receipt_log = secret("receipt-log.secret")?;
        Ok(Self { unlock, evidence, nonce_secret, holder_tag, receipt_log })
    }

    /// The key that opens evidence.
    pub const fn evidence(&self) -> &EvidencePrivateKey {
        &self.evidence
    }

    /// The nonce secret.
    pub fn nonce_secret(&self) -> &[u8; 32] {
        &self.nonce_secret
    }

    /// What the receipt log's key and salts are derived from.
    pub fn receipt_log_secret(&self) -> &[u8; 32] {
        &self.receipt_log
    }

    /// The public unlock key as an uncompressed point (SEC 1 §2.3.3, 65 octets): what a Secure Element holds.
    pub fn unlock_public_point(&self) -> &[u8] {
        self.unlock.public_key().as_ref()
    }

    /// The public unlock key as SubjectPublicKeyInfo DER.
    pub fn unlock_spki(&self) -> Result<Vec<u8>, KeysError> {
        self.unlock
            .public_key()
            .as_der()
            .map(|der| der.as_ref().to_vec())
            .map_err(|_| KeysError::Unusable("unlock.p8"))
    }

    /// Signs an unlock policy's bytes: ECDSA P-256 with SHA-256, ASN.1 DER.
    pub fn sign_unlock(&self, signed_bytes: &[u8]) -> Option<Vec<u8>> {
        self.unlock.sign(&SystemRandom::new(), signed_bytes).ok().map(|s| s.as_ref().to_vec())
    }

    /// The keyed hash of a serial, truncated to 128 bits: finds a person's records for whoever holds the key.
    pub fn holder_tag(&self, serial: &AuthCertSerial) -> [u8; 16] {
        let tag = hmac::sign(&self.holder_tag, serial.as_bytes());
        let mut short = [0u8; 16];
        for (to, from) in short.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        short
    }
}
