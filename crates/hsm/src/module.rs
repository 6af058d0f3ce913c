//! PKCS#11 modules: each is loaded and initialised once per process, and stays.

use crate::error::HsmError;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The module of this file, ready for use. `C_Initialize` counts per process (PKCS#11 v2.40 §5.4), so
/// everybody shares one context.
pub(crate) fn load(path: &Path) -> Result<Pkcs11, HsmError> {
    static LOADED: OnceLock<Mutex<HashMap<PathBuf, Pkcs11>>> = OnceLock::new();
    let loaded = LOADED.get_or_init(Mutex::default);
    let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let unusable = |error: &dyn std::fmt::Display| HsmError::ModuleUnusable {
        module: path.to_path_buf(),
        why: error.to_string(),
    };
    // The loader would call a missing file many things.
    std::fs::metadata(path).map_err(|error| unusable(&error))?;
    let module = Pkcs11::new(path).map_err(|error| unusable(&error))?;
    initialise(&module).map_err(|error| unusable(&error))?;
    loaded.insert(path.to_path_buf(), module.clone());
    Ok(module)
}

/// Initialises a module for use by several threads; that somebody else in the process did so is fine.
pub(crate) fn initialise(module: &Pkcs11) -> Result<(), Error> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        other => other,
    }
}
