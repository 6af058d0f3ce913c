//! Custody of the emulated Secure Element: its image, its memory over a power cut, its arming.
//!
//! Invariant: **no response leaves before what it changed is on disk.** A touch changes it once: counter and
//! the card's count of today are written together, before the institution's proof goes to the card.

use crate::platform::Platform;
use card::EmulatedCard;
use card::cvc::CvcChain;
use card::dialogue::power_on::{Armed, PowerOn, Progress};
use card::rsa_key::CardRsaKey;
use card::secure_element::{PersistentState, SecureElement, SecureElementImage, StateError, UnlockPublicKey};
use protocol::base64_bytes;
use protocol::eligibility_v1::{UnlockRequest, UnlockResponse};
use protocol::entropy::Entropy;
use protocol::ids::SecureElementId;
use protocol::problem::{Problem, ProblemCode};
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

const IMAGE_VERSION: u32 = 1;

/// Why there is no Secure Element, or why it gives nothing out.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The image is not one.
    #[error("{}: not a Secure Element image: {problem}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong, without key bytes.
        problem: String,
    },
    /// The state is not one. It is never made anew over a broken one: its counter would go back.
    #[error("{}: {problem}; restore it, or have the terminal enrolled again", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: StateError,
    },
    /// Another process holds this Secure Element. Two would give out the same counter values.
    #[error("{}: another process holds this Secure Element", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The state could not be made durable, so the response was withheld.
    #[error("the Secure Element's state could not be written, so its response was withheld: {0}")]
    NotDurable(#[from] chassis::files::FileError),
}

/// What an issuer puts into an image file.
#[derive(Debug)]
pub struct ImageParts<'a> {
    /// Identifier of the Secure Element.
    pub secure_element: SecureElementId,
    /// The institution key, PKCS#8 DER.
    pub institution_key_pkcs8: &'a [u8],
    /// [`CvcChain::encode`].
    pub chain: &'a [u8],
    /// The platform's unlock key: SubjectPublicKeyInfo DER of a P-256 key.
    pub unlock_key_spki: &'a [u8],
    /// When it was made: no policy issued before arms it.
    pub made_at: UnixSeconds,
}

/// The image file: JSON, every binary field in base64. The key is wiped when this is dropped.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageFile {
    version: u32,
    #[serde(with = "base64_bytes")]
    secure_element: [u8; 8],
    #[serde(with = "base64_bytes")]
    institution_key: Zeroizing<Vec<u8>>,
    #[serde(with = "base64_bytes")]
    chain: Vec<u8>,
    #[serde(with = "base64_bytes")]
    unlock_key: Vec<u8>,
    made_at: UnixSeconds,
}

/// Writes an image file, readable by its owner only.
///
/// # Errors
/// [`CustodyError::Image`] if the parts do not fit together, [`CustodyError::NotDurable`] if the file
/// cannot be written.
pub fn write_image(path: &Path, parts: &ImageParts<'_>) -> Result<(), CustodyError> {
    let file = ImageFile {
        version: IMAGE_VERSION,
        secure_element: parts.secure_element.0,
        institution_key: Zeroizing::new(parts.institution_key_pkcs8.to_vec()),
        chain: parts.chain.to_vec(),
        unlock_key: parts.unlock_key_spki.to_vec(),
        made_at: parts.made_at,
    };
    let bad = |problem: String| CustodyError::Image { path: path.to_path_buf(), problem };
    image_of(&file).map_err(bad)?;
    let text = Zeroizing::new(serde_json::to_vec_pretty(&file).map_err(|error| bad(error.to_string()))?);
    Ok(chassis::files::write_private(path, &text)?)
}

fn image_of(file: &ImageFile) -> Result<SecureElementImage, String> {
    if file.version != IMAGE_VERSION {
        return Err(format!("version {} is not {IMAGE_VERSION}", file.version));
    }
    let institution_key = CardRsaKey::from_pkcs8(&file.institution_key).map_err(|error| error.to_string())?;
    let chain = CvcChain::parse(&file.chain).map_err(|error| error.to_string())?;
    let unlock_key = UnlockPublicKey::from_spki_der(&file.unlock_key).map_err(|error| error.to_string())?;
    SecureElementImage::new(SecureElementId(file.secure_element), institution_key, chain, unlock_key)
        .map_err(|error| error.to_string())
}

fn read_image(path: &Path) -> Result<(SecureElementImage, UnixSeconds), CustodyError> {
    let bytes = std::fs::read(path)
        .map_err(|source| CustodyError::Unreadable { path: path.to_path_buf(), source })?;
    let bytes = Zeroizing::new(bytes);
    let bad = |problem: String| CustodyError::Image { path: path.to_path_buf(), problem };
    // serde_json's error names line and column, never a value.
    let file: ImageFile = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    Ok((image_of(&file).map_err(bad)?, file.made_at))
}

struct Held {
    element: SecureElement,
    entropy: Box<dyn Entropy>,
    state_path: PathBuf,
    /// How many changes of the state are on disk: as many as were given out.
    written: u64,
    arming: Option<Arming>,
    /// Held for as long as the Secure Element is: see [`CustodyError::InUse`].
    _lock: File,
}

#[derive(Clone, Copy)]
struct Arming {
    armed: Armed,
    counter_at_start: u64,
}

/// The Secure Element in this terminal's keeping. Clones share it.
#[derive(Clone)]
pub struct Custody(Arc<Mutex<Held>>);

impl std::fmt::Debug for Custody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Custody(…)")
    }
}

impl Custody {
    /// Powers the Secure Element of `image` on, with what `state` remembers; without a state file it is
    /// one fresh from its issuer.
    ///
    /// # Errors
    /// [`CustodyError`] naming the file.
    pub fn open(image: &Path, state: &Path, entropy: Box<dyn Entropy>) -> Result<Self, CustodyError> {
        let lock = lock_beside(state)?;
        let (image, made_at) = read_image(image)?;
        let persistent = match std::fs::read(state).map(Zeroizing::new) {
            Ok(bytes) => PersistentState::from_bytes(&bytes)
                .map_err(|problem| CustodyError::State { path: state.to_path_buf(), problem })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let factory = PersistentState::factory(made_at);
                chassis::files::write_private(state, &factory.to_bytes())?;
                factory
            }
            Err(source) => return Err(CustodyError::Unreadable { path: state.to_path_buf(), source }),
        };
        let mut element = SecureElement::new(image, persistent);
        element.power_on();
        let (state_path, written) = (state.to_path_buf(), element.state_changes());
        let held = Held { element, entropy, state_path, written, arming: None, _lock: lock };
        Ok(Self(Arc::new(Mutex::new(held))))
    }

    /// A panic elsewhere cannot leave the disk behind the element: the element is asked again each time.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One command to the Secure Element. Blocks while it signs and while the disk syncs.
    ///
    /// # Errors
    /// [`CustodyError::NotDurable`]: the response was withheld.
    pub fn exchange(&self, command: &[u8]) -> Result<Vec<u8>, CustodyError> {
        let mut held = self.lock();
        let Held { element, entropy, .. } = &mut *held;
        let response = element.transmit(command, entropy.as_mut());
        let changes = held.element.state_changes();
        if changes != held.written {
            chassis::files::write_private(&held.state_path, &held.element.persistent_state().to_bytes())?;
            held.written = changes;
        }
        Ok(response)
    }

    /// Takes the power and gives it back: the arming is forgotten, the counter is not.
    pub fn power_cycle(&self) {
        let mut held = self.lock();
        held.element.power_off();
        held.element.power_on();
        held.arming = None;
    }

    /// Whether the institution key is usable at `now`.
    pub fn is_armed(&self, now: UnixSeconds) -> bool {
        let held = self.lock();
        held.arming.is_some_and(|arming| now <= arming.armed.not_after) && held.uses_left() > 0
    }

    /// From when on the arming should be renewed; `None` if there is none.
    pub fn renew_at(&self) -> Option<UnixSeconds> {
        let held = self.lock();
        let Armed { issued_at, not_after, .. } = held.arming?.armed;
        // A tenth of the time before its end, so that an outage of that length goes unnoticed.
        Some(not_after.minus(not_after.since(issued_at) / 10))
    }

    /// Whether so few uses are left that the arming should be renewed.
    pub fn is_running_low(&self) -> bool {
        let held = self.lock();
        held.arming.is_none_or(|arming| held.uses_left() <= u64::from(arming.armed.uses_max / 10))
    }

    /// The time the Secure Element believes in at least.
    pub fn time_floor(&self) -> UnixSeconds {
        self.lock().element.persistent_state().time_floor()
    }

    /// Arms the institution key with the platform's policy (Report fig. 2, left).
    ///
    /// # Errors
    /// The platform's problem, or the Secure Element's.
    pub async fn arm(&self, platform: &Platform) -> Result<UnlockResponse, Box<Problem>> {
        let (mut exchange, mut dialogue) = PowerOn::start();
        let mut answered = None;
        loop {
            let custody = self.clone();
            let response = tokio::task::spawn_blocking(move || custody.exchange(&exchange.command))
                .await
                .map_err(|_| refused("the Secure Element's thread ended"))?
                .map_err(|error| refused(&error.to_string()))?;
            match dialogue.step(&response).map_err(|error| crate::error::of_dialogue(&error))? {
                Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
                Progress::NeedPolicy { secure_element, challenge, evidence_key, resume } => {
                    let request = UnlockRequest { secure_element: secure_element.0, challenge, evidence_key };
                    let response = platform.unlock(&request).await?;
                    (exchange, dialogue) = resume.resume(&response.policy, &response.signature);
                    answered = Some(response);
                }
                Progress::Done(armed) => {
                    let mut held = self.lock();
                    let counter_at_start = held.element.persistent_state().counter();
                    held.arming = Some(Arming { armed, counter_at_start });
                    drop(held);
                    return answered.ok_or_else(|| refused("armed without a policy"));
                }
            }
        }
    }
}

impl Held {
    fn uses_left(&self) -> u64 {
        self.arming.map_or(0, |arming| {
            let spent = self.element.persistent_state().counter().saturating_sub(arming.counter_at_start);
            u64::from(arming.armed.uses_max).saturating_sub(spent)
        })
    }
}

fn refused(detail: &str) -> Box<Problem> {
    Box::new(Problem::new(ProblemCode::SecureElementRefused).with_detail(detail))
}

fn lock_beside(state: &Path) -> Result<File, CustodyError> {
    let mut name = state.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| CustodyError::Unreadable { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(CustodyError::InUse { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(CustodyError::Unreadable { path, source }),
    }
}
