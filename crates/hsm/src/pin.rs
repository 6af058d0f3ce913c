//! A token's PIN: from a file or from the environment, read when it is needed and wiped afterwards.

use crate::config::read_private;
use crate::error::{HsmError, KeyError};
use cryptoki::types::AuthPin;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where a PIN comes from. Never the PIN itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PinSource {
    /// A file of mode 0600; a line end behind the PIN does not count.
    File(PathBuf),
    /// A variable of the process's environment.
    Environment(String),
}

impl PinSource {
    /// The PIN.
    ///
    /// # Errors
    /// [`HsmError::PinUnavailable`] naming file or variable; no try is spent.
    pub(crate) fn read(&self, token: &str) -> Result<AuthPin, HsmError> {
        let unavailable = |why: String| HsmError::PinUnavailable { token: token.to_owned(), why };
        let text = match self {
            Self::File(path) => {
                let octets = read_private(path).map_err(|error| match error {
                    KeyError::File { path, problem } => {
                        unavailable(format!("should be in {}: {problem}", path.display()))
                    }
                    other => unavailable(other.to_string()),
                })?;
                let text = std::str::from_utf8(&octets)
                    .map_err(|_| unavailable(format!("in {} is not text", path.display())))?;
                Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned())
            }
            Self::Environment(variable) => Zeroizing::new(std::env::var(variable).map_err(|_| {
                unavailable(format!("should be in the environment variable {variable}, which is not set"))
            })?),
        };
        if text.is_empty() {
            return Err(unavailable("is empty".to_owned()));
        }
        Ok(AuthPin::new(text.as_str().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_pin_is_read_from_a_private_file_only_and_is_never_shown() {
        let path = std::env::temp_dir().join(format!("kazasu-hsm-pin-{}", std::process::id()));
        std::fs::write(&path, "1234-secret\n").unwrap();
        let source = PinSource::File(path.clone());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = source.read("t").unwrap_err().to_string();
        assert!(error.contains("0600") && error.contains("kazasu-hsm-pin"), "{error}");
        assert!(!error.contains("1234"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let pin = source.read("t").unwrap();
        assert!(!format!("{pin:?}{source:?}").contains("1234"));
        std::fs::write(&path, "\n").unwrap();
        assert!(source.read("t").unwrap_err().to_string().ends_with("is empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(source.read("t"), Err(HsmError::PinUnavailable { .. })));
        let error = PinSource::Environment("KAZASU_NO_SUCH_PIN".to_owned()).read("t").unwrap_err();
        assert!(error.to_string().contains("KAZASU_NO_SUCH_PIN"), "{error}");
    }
}
