//! A signer whose key stays in its token.

use crate::config::{Pkcs11Key, Pkcs11Token};
use crate::error::{HsmError, KeyError};
use crate::key::{FoundKey, KeyAlgorithm, Lasting, SigningMechanism};
use crate::token::{Lease, Remedy, Token, remedy};
use aws_lc_rs::digest::{SHA256, digest};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use pki::asn1::write;
use pki::public_key::{SignatureAlgorithm, VerifyingKey};
use pki::signer::{IssuerSigner, SignError};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// DigestInfo of SHA-256 up to the digest: RFC 8017 §9.2 note 1.
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// What a key signs when it is opened: text, so it cannot be mistaken for a certificate.
const PROBE: &[u8] = b"Kazasu: does this private key belong to its public half?";

/// Signs with a key in a PKCS#11 token: RSA with PKCS#1 v1.5 and SHA-256, or ECDSA over P-256 with SHA-256.
/// Usable by many threads at once; each takes a session of its own.
#[doc(alias = "HSM署名器")]
pub struct Pkcs11Signer {
    token: Arc<Token>,
    place: Place,
    spki: Vec<u8>,
    algorithm: SignatureAlgorithm,
    mechanism: SigningMechanism,
    /// The key's handle, and the generation of sessions that it belongs to.
    handle: Mutex<(u64, ObjectHandle)>,
}

/// Where the key is.
enum Place {
    /// In the token for good.
    Lasting(Pkcs11Key),
    /// In the token as long as this session is open.
    Passing { owner: Mutex<Option<Session>>, epoch: u64, name: String },
}

impl fmt::Debug for Pkcs11Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pkcs11Signer(****)")
    }
}

/// An attempt that failed.
enum Failure {
    /// The module's code decides what may help.
    Module { error: cryptoki::error::Error, epoch: u64 },
    /// The token was lost before anything was signed.
    Lost { error: HsmError, epoch: u64 },
    /// Final.
    Final(HsmError),
}

impl From<HsmError> for Failure {
    fn from(error: HsmError) -> Self {
        Self::Final(error)
    }
}

fn hsm_error(error: KeyError, token: &Token) -> HsmError {
    match error {
        KeyError::Token(error) => error,
        other => HsmError::Refused {
            token: token.label().to_owned(),
            doing: "finding its key",
            why: other.to_string(),
        },
    }
}

impl Pkcs11Signer {
    /// Finds a key, checks that it cannot leave its token, and lets it sign once: whoever gets a signer has
    /// one that works.
    ///
    /// # Errors
    /// Each of [`HsmError`]'s, naming who is at fault.
    pub fn open(key: &Pkcs11Key) -> Result<Self, KeyError> {
        key.check()?;
        let token = Token::of(&key.token())?;
        let find = || {
            let lease = token.session()?;
            let epoch = lease.epoch;
            let found = match lease.session() {
                Some(session) => token.find_usable(session, key),
                None => Err(token.absent().into()),
            };
            Ok::<_, KeyError>((found, epoch))
        };
        let found = match find()? {
            // A session from the pool may have died since it was last used.
            (Err(KeyError::Token(HsmError::TokenLost { .. })), epoch) => {
                token.forget(epoch);
                find()?
            }
            found => found,
        };
        let found = (found.0?, found.1);
        Self::proven(token, Place::Lasting(key.clone()), found)
    }

    /// Makes a P-256 key pair that lives in the token's memory and dies with this signer (a session object,
    /// PKCS#11 v2.40 §4.4): for delegates that nobody can revoke.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn passing_p256(place: &Pkcs11Token, name: &str) -> Result<Self, KeyError> {
        let token = Token::of(place)?;
        let (owner, epoch) = token.holding_session()?;
        // Two of one name may live side by side: an identifier ties each private key to its public half.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = digest(&SHA256, format!("{name} {} {count}", std::process::id()).as_bytes());
        let made = token.generate_in(&owner, name, Lasting::Session, id.as_ref(), KeyAlgorithm::P256)?;
        let found = token.usable(&owner, made.1, &format!("`{name}`"))?;
        let place = Place::Passing { owner: Mutex::new(Some(owner)), epoch, name: name.to_owned() };
        Self::proven(token, place, (found, epoch))
    }

    fn proven(token: Arc<Token>, place: Place, (found, epoch): (FoundKey, u64)) -> Result<Self, KeyError> {
        let signer = Self {
            token,
            place,
            spki: found.spki,
            algorithm: found.algorithm,
            mechanism: found.mechanism,
            handle: Mutex::new((epoch, found.handle)),
        };
        let signature = signer.try_sign(PROBE)?;
        if VerifyingKey::from_spki_der(&signer.spki).is_ok_and(|key| key.verifies(PROBE, &signature)) {
            return Ok(signer);
        }
        Err(HsmError::KeyUnusable {
            token: signer.token.label().to_owned(),
            key: signer.description(),
            why: "its signatures do not verify with the public half beside it",
        }
        .into())
    }

    fn description(&self) -> String {
        match &self.place {
            Place::Lasting(key) => key.description(),
            Place::Passing { name, .. } => format!("`{name}`"),
        }
    }

    /// Signs `message`; the errors say who is at fault, which [`IssuerSigner::sign`]'s cannot.
    ///
    /// # Errors
    /// The token is gone, or refuses.
    pub fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, HsmError> {
        let raw = match self.attempt(message) {
            Ok(raw) => raw,
            Err(failure) => {
                self.mend(failure)?;
                tracing::warn!(
                    token = self.token.label(),
                    "a session of a token was lost; signing once more"
                );
                self.attempt(message).map_err(|failure| match failure {
                    Failure::Module { error, .. } => self.token.failed("signing", &error),
                    Failure::Lost { error, .. } | Failure::Final(error) => error,
                })?
            }
        };
        match self.algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => Ok(raw),
            SignatureAlgorithm::EcdsaP256Sha256 => ecdsa_der(&raw).ok_or_else(|| HsmError::Refused {
                token: self.token.label().to_owned(),
                doing: "signing",
                why: format!("a signature of {} octets, not two numbers of 32", raw.len()),
            }),
        }
    }

    /// Does what may help after a failed attempt.
    fn mend(&self, failure: Failure) -> Result<(), HsmError> {
        match failure {
            Failure::Final(error) => Err(error),
            Failure::Lost { epoch, .. } => {
                self.token.forget(epoch);
                Ok(())
            }
            Failure::Module { error, epoch } => match remedy(&error) {
                Remedy::None => Err(self.token.failed("signing", &error)),
                Remedy::NewSessions => {
                    self.token.forget(epoch);
                    Ok(())
                }
                Remedy::Reconnect => {
                    self.token.hand_back(epoch);
                    Ok(())
                }
                // Private keys vanish with the login, so their handles do too.
                Remedy::Login | Remedy::FindKey => {
                    let lease = self.token.session()?;
                    if let Some(session) = lease.session() {
                        self.token.login_again(session)?;
                    }
                    // A generation that was never: the key is looked up again.
                    self.lock_handle().0 = u64::MAX;
                    Ok(())
                }
            },
        }
    }

    fn lock_handle(&self) -> std::sync::MutexGuard<'_, (u64, ObjectHandle)> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attempt(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let lease = self.token.session()?;
        let Some(session) = lease.session() else {
            return Err(self.token.absent().into());
        };
        let handle = self.handle_in(session, &lease)?;
        let hashed = digest(&SHA256, message);
        let info;
        let data = match self.mechanism {
            SigningMechanism::RsaOverDigestInfo => {
                info = [&SHA256_DIGEST_INFO, hashed.as_ref()].concat();
                info.as_slice()
            }
            SigningMechanism::EcdsaOverDigest => hashed.as_ref(),
            SigningMechanism::RsaOverMessage | SigningMechanism::EcdsaOverMessage => message,
        };
        let epoch = lease.epoch;
        session
            .sign(&self.mechanism.mechanism(), handle, data)
            .map_err(|error| Failure::Module { error, epoch })
    }

    /// The key's handle in this generation of sessions.
    fn handle_in(&self, session: &Session, lease: &Lease<'_>) -> Result<ObjectHandle, Failure> {
        let mut known = self.lock_handle();
        if known.0 == lease.epoch {
            return Ok(known.1);
        }
        let (token, key) = (self.token.label().to_owned(), self.description());
        let Place::Lasting(place) = &self.place else {
            // Its session went, and the key with it.
            return Err(HsmError::KeyAbsent { token, key }.into());
        };
        let found = self.token.find_usable(session, place).map_err(|error| match error {
            KeyError::Token(error @ HsmError::TokenLost { .. }) => {
                Failure::Lost { error, epoch: lease.epoch }
            }
            other => Failure::Final(hsm_error(other, &self.token)),
        })?;
        if found.spki != self.spki {
            return Err(HsmError::KeyChanged { token, key }.into());
        }
        *known = (lease.epoch, found.handle);
        Ok(found.handle)
    }
}

impl Drop for Pkcs11Signer {
    fn drop(&mut self) {
        if let Place::Passing { owner, epoch, .. } = &self.place
            && self.token.is_current(*epoch)
            && let Some(session) = owner.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Closing destroys the key. If it fails, the session is gone and the key with it.
            drop(session.close());
        }
    }
}

impl IssuerSigner for Pkcs11Signer {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        self.try_sign(tbs).map_err(|error| {
            tracing::error!(%error, "nothing was signed");
            SignError::Refused(error.in_few_words())
        })
    }
}

/// `r || s` of PKCS#11 v2.40 §2.3.1 as ECDSA-Sig-Value of RFC 3279 §2.2.3.
fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(32)?;
    (s.len() == 32).then(|| write::sequence(&[&write::unsigned(r), &write::unsigned(s)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_become_der_integers_without_leading_zeros_and_never_negative() {
        let mut raw = [0; 64];
        raw[30] = 0x80;
        raw[32] = 0xff;
        let der = ecdsa_der(&raw).unwrap();
        assert_eq!(der[..7], [0x30, 2 + 3 + 2 + 33, 0x02, 0x03, 0x00, 0x80, 0x00]);
        assert_eq!(der[7..11], [0x02, 0x21, 0x00, 0xff]);
        assert_eq!(ecdsa_der(&raw[..63]), None);
        assert_eq!(ecdsa_der(&[]), None);
        assert_eq!(ecdsa_der(&[1; 96]), None);
    }
}
