//! Custody of the emulated Secure Element: its image, its memory over a power cut, its arming, its newer
//! certificates.
//!
//! Invariant: **no response leaves before what it changed is on disk.** A touch changes it once: counter and
//! the card's count of today are written together, before anything leaves that could bring a signature.

use crate::config::SecureElementConfig;
use crate::platform::Platform;
use card::EmulatedCard;
use card::dialogue::DialogueError;
use card::dialogue::certificate_renewal::{CertificateRenewal, Progress as RenewalProgress, Renewal};
use card::dialogue::power_on::{Armed, PowerOn, Progress};
use card::eac::cvc::TerminalChain;
use card::image::Contents;
use card::secure_element::{PersistentState, Personalisation, SecureElement, SecureElementImage, StateError};
use protocol::base64_bytes;
use protocol::eligibility_v1::{UnlockRequest, UnlockResponse};
use protocol::entropy::Entropy;
use protocol::problem::{Problem, ProblemCode};
use protocol::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

const IMAGE_VERSION: u32 = 2;

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
    /// The certificates are none, or the Secure Element does not take them.
    #[error("{}: {problem}", path.display())]
    Chain {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
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

/// The image file: JSON, and of every slot of the Secure Element's layout the content in base64. The keys
/// among them are wiped when this is dropped.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageFile {
    version: u32,
    /// No policy issued before arms it.
    made_at: UnixSeconds,
    contents: BTreeMap<String, SlotContent>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct SlotContent(#[serde(with = "base64_bytes")] Zeroizing<Vec<u8>>);

/// Writes an image file, readable by its owner only. No policy issued before `made_at` will arm the
/// Secure Element.
///
/// # Errors
/// [`CustodyError::Image`] if the parts do not fit together, [`CustodyError::NotDurable`] if the file
/// cannot be written.
pub fn write_image(path: &Path, parts: &Personalisation, made_at: UnixSeconds) -> Result<(), CustodyError> {
    let bad = |problem: String| CustodyError::Image { path: path.to_path_buf(), problem };
    let contents = parts.contents().map_err(|error| bad(error.to_string()))?;
    let slot = |name: &str| {
        let octets = contents.get(name).unwrap_or_default();
        (name.to_owned(), SlotContent(Zeroizing::new(octets.to_vec())))
    };
    let file = ImageFile { version: IMAGE_VERSION, made_at, contents: contents.slots().map(slot).collect() };
    image_of(&file).map_err(bad)?;
    let text = Zeroizing::new(serde_json::to_vec_pretty(&file).map_err(|error| bad(error.to_string()))?);
    Ok(chassis::files::write_private(path, &text)?)
}

fn image_of(file: &ImageFile) -> Result<SecureElementImage, String> {
    if file.version != IMAGE_VERSION {
        return Err(format!("version {} is not {IMAGE_VERSION}", file.version));
    }
    let mut contents = Contents::new();
    for (slot, SlotContent(octets)) in &file.contents {
        contents.fill(slot, octets.as_slice());
    }
    let layout = card::secure_element::layout().map_err(|error| error.to_string())?;
    SecureElementImage::new(layout, &contents).map_err(|error| error.to_string())
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

/// Writes certificates of profile `eac` where a desk looks for newer ones, readable by its owner only.
///
/// # Errors
/// [`CustodyError::NotDurable`].
pub fn write_chain(path: &Path, chain: &TerminalChain) -> Result<(), CustodyError> {
    Ok(chassis::files::write_private(path, &chain.encode())?)
}

/// Reads what [`write_chain`] wrote; `None` where there is no such file.
///
/// # Errors
/// [`CustodyError::Unreadable`], [`CustodyError::Chain`].
pub fn read_chain(path: &Path) -> Result<Option<TerminalChain>, CustodyError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CustodyError::Unreadable { path: path.to_path_buf(), source }),
    };
    TerminalChain::parse(&bytes)
        .map(Some)
        .map_err(|error| CustodyError::Chain { path: path.to_path_buf(), problem: error.to_string() })
}

struct Held {
    element: SecureElement,
    entropy: Box<dyn Entropy>,
    state_path: PathBuf,
    /// How many changes of the state are on disk: as many as were given out.
    written: u64,
    arming: Option<Arming>,
    /// Where newer certificates are looked for.
    chain_path: Option<PathBuf>,
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
    /// Powers the Secure Element of `config` on, with what its state remembers; without a state file it is
    /// one fresh from its issuer. Certificates that are newer than its own go in.
    ///
    /// # Errors
    /// [`CustodyError`] naming the file.
    pub fn open(config: &SecureElementConfig, entropy: Box<dyn Entropy>) -> Result<Self, CustodyError> {
        let SecureElementConfig { image, state, chain } = config;
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
        let chain_path = chain.clone();
        let held = Held { element, entropy, state_path, written, arming: None, chain_path, _lock: lock };
        let custody = Self(Arc::new(Mutex::new(held)));
        match custody.renew_certificates() {
            Ok(_) => {}
            // The ones that it has may be good for a while; a desk that does not start is good for nothing.
            Err(error @ (CustodyError::Chain { .. } | CustodyError::Unreadable { .. })) => {
                not_renewed(&error)
            }
            Err(error) => return Err(error),
        }
        Ok(custody)
    }

    /// Hands over the certificates in the chain's file, if there are any; whether they were taken.
    ///
    /// # Errors
    /// [`CustodyError::Chain`] for a file that is none, and for certificates that are not for this Secure
    /// Element; [`CustodyError::NotDurable`].
    pub fn renew_certificates(&self) -> Result<Renewal, CustodyError> {
        let Some(path) = self.lock().chain_path.clone() else { return Ok(Renewal::NotNewer) };
        let Some(chain) = read_chain(&path)? else { return Ok(Renewal::NotNewer) };
        let expiration = chain.terminal().body().expiration;
        let refused =
            |error: DialogueError| CustodyError::Chain { path: path.clone(), problem: error.to_string() };
        let (mut exchange, mut dialogue) = CertificateRenewal::start(chain).map_err(refused)?;
        loop {
            let response = self.exchange(&exchange.command)?;
            match dialogue.step(&response).map_err(refused)? {
                RenewalProgress::Send(next, rest) => (exchange, dialogue) = (next, rest),
                RenewalProgress::Done(renewal) => {
                    if renewal == Renewal::Taken {
                        tracing::info!(until = %expiration, "the institution's certificates were renewed");
                    }
                    return Ok(renewal);
                }
            }
        }
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
        let custody = self.clone();
        let renewed = tokio::task::spawn_blocking(move || custody.renew_certificates()).await;
        if let Ok(Err(error)) = renewed {
            not_renewed(&error);
        }
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

fn not_renewed(error: &CustodyError) {
    tracing::warn!(%error, "the institution's certificates were not renewed");
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
