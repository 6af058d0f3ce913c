//! One token: found by its label, logged in to once, with a pool of sessions.
//!
//! A PKCS#11 session does one operation at a time, so every thread that signs takes one of its own
//! (PKCS#11 v2.40 §5.6). Login belongs to the token, not to the session: the first session logs in, and the
//! pool keeps it so. Sessions die: the token is taken out, the module is initialised anew, somebody logs
//! out. Each of these is mended once, on the next use, and reported if it cannot be.

use crate::config::Pkcs11Token;
use crate::error::{HsmError, KeyError};
use crate::module;
use crate::pin::PinSource;
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Most sessions at once in one token; further threads wait. Tokens on a network count them.
const SESSIONS_MAX: usize = 32;

/// A token, shared by everybody in this process who uses it.
pub struct Token {
    module: Pkcs11,
    label: String,
    state: Mutex<State>,
    returned: Condvar,
}

/// By module and label.
type KnownTokens = HashMap<(PathBuf, String), Arc<Token>>;

struct State {
    /// Rises when the token was lost: sessions and handles from before are dead.
    epoch: u64,
    slot: Option<Slot>,
    idle: Vec<Session>,
    out: usize,
    pin: PinSource,
    /// Set by the first refusal, and never cleared.
    pin_refused: bool,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("label", &self.label).finish_non_exhaustive()
    }
}

/// What may help after an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Remedy {
    /// The session is dead, and so are all others.
    NewSessions,
    /// The device is in trouble: its sessions are given back before new ones are asked for.
    Reconnect,
    /// Somebody logged out.
    Login,
    /// The handle of the key is dead.
    FindKey,
    /// Nothing.
    None,
}

/// What may help after `error`, by the codes of PKCS#11 v2.40 §5.1.
pub(crate) const fn remedy(error: &Error) -> Remedy {
    match error {
        Error::Pkcs11(
            RvError::SessionHandleInvalid | RvError::SessionClosed | RvError::CryptokiNotInitialized,
            _,
        ) => Remedy::NewSessions,
        Error::Pkcs11(
            RvError::DeviceRemoved | RvError::DeviceError | RvError::TokenNotPresent | RvError::SlotIdInvalid,
            _,
        ) => Remedy::Reconnect,
        Error::Pkcs11(RvError::UserNotLoggedIn, _) => Remedy::Login,
        Error::Pkcs11(RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid, _) => Remedy::FindKey,
        _ => Remedy::None,
    }
}

/// A session on loan.
pub(crate) struct Lease<'t> {
    token: &'t Token,
    session: Option<Session>,
    /// Of the sessions' generation.
    pub(crate) epoch: u64,
}

impl Lease<'_> {
    /// The session.
    pub(crate) const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.token.lock();
        state.out = state.out.saturating_sub(1);
        if let Some(session) = self.session.take()
            && state.epoch == self.epoch
        {
            state.idle.push(session);
        }
        drop(state);
        self.token.returned.notify_one();
    }
}

impl Token {
    /// The token that a configuration describes; the module is loaded if it is not yet. Nothing is asked of
    /// the token before its first use.
    ///
    /// # Errors
    /// A configuration that cannot be meant, or a module that cannot be loaded.
    pub fn of(place: &Pkcs11Token) -> Result<Arc<Self>, KeyError> {
        static KNOWN: OnceLock<Mutex<KnownTokens>> = OnceLock::new();
        place.check()?;
        let module = module::load(&place.module)?;
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let pin = place.pin_source()?;
        let token = known.entry((place.module.clone(), place.token.clone())).or_insert_with(|| {
            let state = State { epoch: 0, slot: None, idle: Vec::new(), out: 0, pin, pin_refused: false };
            Arc::new(Self {
                module,
                label: place.token.clone(),
                state: Mutex::new(state),
                returned: Condvar::new(),
            })
        });
        Ok(Arc::clone(token))
    }

    /// Its label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Nothing of the token could be reached.
    pub(crate) fn absent(&self) -> HsmError {
        HsmError::TokenAbsent { token: self.label.clone(), present: "none".to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error of the module as one of ours.
    pub(crate) fn failed(&self, doing: &'static str, error: &Error) -> HsmError {
        let token = self.label.clone();
        // The module's own name of the code is what an operator looks up.
        let why = match error {
            Error::Pkcs11(code, function) => format!("{function:?}: {code:?}"),
            other => other.to_string(),
        };
        match remedy(error) {
            Remedy::NewSessions | Remedy::Reconnect => HsmError::TokenLost { token, doing, why },
            _ => HsmError::Refused { token, doing, why },
        }
    }

    /// A session that is logged in.
    pub(crate) fn session(&self) -> Result<Lease<'_>, HsmError> {
        let mut state = self.lock();
        loop {
            let epoch = state.epoch;
            if let Some(session) = state.idle.pop() {
                state.out += 1;
                return Ok(Lease { token: self, session: Some(session), epoch });
            }
            if state.out < SESSIONS_MAX {
                // Opened under the lock: two threads must not log in at once with a wrong PIN.
                let session = self.open_even_after_a_loss(&mut state, Access::ReadOnly)?;
                state.out += 1;
                return Ok(Lease { token: self, session: Some(session), epoch: state.epoch });
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A session of its own for looking around, also in a token that is write-protected; closed when dropped.
    pub(crate) fn looking_session(&self) -> Result<Session, HsmError> {
        self.open_even_after_a_loss(&mut self.lock(), Access::Looking)
    }

    /// A session of its own for making keys; closed when dropped.
    pub(crate) fn writing_session(&self) -> Result<Session, HsmError> {
        self.open_even_after_a_loss(&mut self.lock(), Access::ReadWrite)
    }

    fn open_even_after_a_loss(&self, state: &mut State, access: Access) -> Result<Session, HsmError> {
        match self.open(state, access) {
            Err(HsmError::TokenLost { .. }) => {
                let epoch = state.epoch;
                self.forget_in(state, epoch);
                self.open(state, access)
            }
            other => other,
        }
    }

    /// A session that holds passing keys: they live as long as it is open.
    pub(crate) fn holding_session(&self) -> Result<(Session, u64), HsmError> {
        let mut state = self.lock();
        let session = self.open_even_after_a_loss(&mut state, Access::ReadOnly)?;
        Ok((session, state.epoch))
    }

    /// Whether sessions of this generation are still the token's.
    pub(crate) fn is_current(&self, epoch: u64) -> bool {
        self.lock().epoch == epoch
    }

    /// Lets go of everything from before the token was lost, if nobody else has done so since.
    pub(crate) fn forget(&self, epoch: u64) {
        self.forget_in(&mut self.lock(), epoch);
    }

    /// The same for a device in trouble: a session it does not get back is one it may not have later.
    pub(crate) fn hand_back(&self, epoch: u64) {
        let mut state = self.lock();
        if state.epoch == epoch {
            for session in state.idle.drain(..) {
                // It may be gone already; then there is nothing to give back.
                drop(session.close());
            }
        }
        self.forget_in(&mut state, epoch);
    }

    fn forget_in(&self, state: &mut State, epoch: u64) {
        if state.epoch != epoch {
            return;
        }
        state.epoch += 1;
        state.slot = None;
        // Not closed: the module may have given their handles to others by now.
        state.idle.clear();
        // If the module was finalised it starts anew; else it says that it is running.
        if let Err(error) = module::initialise(&self.module) {
            tracing::warn!(%error, "a PKCS#11 module does not start again");
        }
    }

    /// Logs in again after somebody else logged out.
    pub(crate) fn login_again(&self, session: &Session) -> Result<(), HsmError> {
        let mut state = self.lock();
        let slot = self.slot(&mut state)?;
        self.login(&mut state, slot, session)
    }

    fn slot(&self, state: &mut State) -> Result<Slot, HsmError> {
        if let Some(slot) = state.slot {
            return Ok(slot);
        }
        let slots =
            self.module.get_slots_with_token().map_err(|error| self.failed("listing slots", &error))?;
        let mut labels = Vec::new();
        let mut found = Vec::new();
        for slot in slots {
            // A token taken out between the two questions is not there.
            let Ok(info) = self.module.get_token_info(slot) else { continue };
            if !info.token_initialized() {
                continue;
            }
            let label = info.label().trim_end().to_owned();
            if label == self.label {
                found.push(slot);
            }
            labels.push(format!("`{label}`"));
        }
        match found.as_slice() {
            [slot] => {
                state.slot = Some(*slot);
                Ok(*slot)
            }
            [] => {
                let present = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
                Err(HsmError::TokenAbsent { token: self.label.clone(), present })
            }
            several => Err(HsmError::TokenAmbiguous { token: self.label.clone(), count: several.len() }),
        }
    }

    fn open(&self, state: &mut State, access: Access) -> Result<Session, HsmError> {
        let slot = self.slot(state)?;
        let session = match access {
            // The pool never closes: a handle that died may belong to somebody else by then.
            Access::ReadOnly => self.module.open_ro_session_no_drop(slot),
            Access::Looking => self.module.open_ro_session(slot),
            Access::ReadWrite => self.module.open_rw_session(slot),
        };
        let session = session.map_err(|error| self.failed("opening a session", &error))?;
        if let Err(error) = self.login(state, slot, &session) {
            // Failed logins must not use the token's sessions up. The error that matters is the first one.
            drop(session.close());
            return Err(error);
        }
        Ok(session)
    }

    fn login(&self, state: &mut State, slot: Slot, session: &Session) -> Result<(), HsmError> {
        let token = || self.label.clone();
        let info = session.get_session_info().map_err(|error| self.failed("looking at a session", &error))?;
        if matches!(info.session_state(), SessionState::RoUser | SessionState::RwUser) {
            return Ok(());
        }
        if state.pin_refused {
            return Err(HsmError::PinWrong { token: token() });
        }
        let flags =
            self.module.get_token_info(slot).map_err(|error| self.failed("looking at the token", &error))?;
        if !flags.login_required() {
            return Ok(());
        }
        if flags.user_pin_locked() {
            return Err(HsmError::PinLocked { token: token() });
        }
        if !flags.user_pin_initialized() {
            return Err(HsmError::PinNotSet { token: token() });
        }
        if flags.user_pin_final_try() {
            return Err(HsmError::PinLastTry { token: token() });
        }
        let pin = state.pin.read(&self.label)?;
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinExpired,
                _,
            )) => {
                state.pin_refused = true;
                Err(HsmError::PinWrong { token: token() })
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                state.pin_refused = true;
                Err(HsmError::PinLocked { token: token() })
            }
            Err(error) => Err(self.failed("logging in", &error)),
        }
    }

    /// Whether the token has this mechanism for this use.
    pub(crate) fn offers(
        &self,
        mechanism: cryptoki::mechanism::MechanismType,
        usable: fn(&cryptoki::mechanism::MechanismInfo) -> bool,
    ) -> Result<bool, HsmError> {
        let slot = self.slot(&mut self.lock())?;
        match self.module.get_mechanism_info(slot, mechanism) {
            Ok(info) => Ok(usable(&info)),
            Err(Error::Pkcs11(RvError::MechanismInvalid, _)) => Ok(false),
            Err(error) => Err(self.failed("looking at a mechanism", &error)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    ReadOnly,
    Looking,
    ReadWrite,
}
