//! Who is at fault. No text carries a PIN or a key.

use pki::signer::SignError;
use std::path::PathBuf;

/// Why a token did not do what it was asked to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HsmError {
    /// The configuration: the module's file is missing or is not a PKCS#11 module.
    #[error("{}: not a PKCS#11 module that can be loaded: {why}", module.display())]
    ModuleUnusable {
        /// The file.
        module: PathBuf,
        /// What the loader or the module said.
        why: String,
    },
    /// The hardware, or the configuration: no token of this label is in a slot of the module.
    #[error("no token labelled `{token}` is present; present: {present}")]
    TokenAbsent {
        /// The label asked for.
        token: String,
        /// The labels that are there, or `none`.
        present: String,
    },
    /// The hardware: two tokens have the same label.
    #[error("{count} tokens are labelled `{token}`: give them labels of their own")]
    TokenAmbiguous {
        /// The label.
        token: String,
        /// How many.
        count: usize,
    },
    /// The operator: the PIN cannot be had. Nothing was tried.
    #[error("the PIN of token `{token}` {why}")]
    PinUnavailable {
        /// The token's label.
        token: String,
        /// Why, naming the file or variable.
        why: String,
    },
    /// The operator: the token refused the PIN. It is not tried again by this process.
    #[error("token `{token}` refused the PIN; it is not tried again before this program is started anew")]
    PinWrong {
        /// The token's label.
        token: String,
    },
    /// The token's PIN is locked: the security officer has to set a new one.
    #[error("the PIN of token `{token}` is locked: its security officer has to set a new one")]
    PinLocked {
        /// The token's label.
        token: String,
    },
    /// One wrong PIN more would lock the token, so a program does not spend it.
    #[error("one more wrong PIN locks token `{token}`: log in by hand first (pkcs11-tool --login --test)")]
    PinLastTry {
        /// The token's label.
        token: String,
    },
    /// Nobody has set the token's user PIN.
    #[error("token `{token}` has no user PIN yet: its security officer sets the first one")]
    PinNotSet {
        /// The token's label.
        token: String,
    },
    /// The configuration: the token holds no such private key.
    #[error("token `{token}` holds no private key {key}")]
    KeyAbsent {
        /// The token's label.
        token: String,
        /// Label and identifier asked for.
        key: String,
    },
    /// The configuration: several keys answer to the description.
    #[error("token `{token}` holds {count} private keys {key}: name one by its id")]
    KeyAmbiguous {
        /// The token's label.
        token: String,
        /// Label and identifier asked for.
        key: String,
        /// How many.
        count: usize,
    },
    /// A new key was asked for where one is.
    #[error("token `{token}` holds a key {key} already")]
    KeyExists {
        /// The token's label.
        token: String,
        /// Its description.
        key: String,
    },
    /// The key is not one that this house signs with.
    #[error("the key {key} in token `{token}` cannot be used: {why}")]
    KeyUnusable {
        /// The token's label.
        token: String,
        /// Its description.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key may leave its token, so it may already be elsewhere.
    #[error("the key {key} can be taken out of token `{token}`: make a new one that cannot")]
    KeyExtractable {
        /// The token's label.
        token: String,
        /// Its description.
        key: String,
    },
    /// Token or key do not allow a mechanism that is needed.
    #[error("token `{token}` does not allow {mechanism} for the key {key}")]
    MechanismNotAllowed {
        /// The token's label.
        token: String,
        /// The key's description.
        key: String,
        /// The mechanisms of which one is needed.
        mechanism: &'static str,
    },
    /// After the token came back, another key answers to the description.
    #[error("the key {key} in token `{token}` is not the one that this program began with")]
    KeyChanged {
        /// The token's label.
        token: String,
        /// Its description.
        key: String,
    },
    /// The token went away: it was taken out, or a session died and none could be had again.
    #[error("token `{token}` went away while {doing}: {why}")]
    TokenLost {
        /// The token's label.
        token: String,
        /// The step.
        doing: &'static str,
        /// What the module said.
        why: String,
    },
    /// The token refused for a reason of its own.
    #[error("token `{token}` refused {doing}: {why}")]
    Refused {
        /// The token's label.
        token: String,
        /// The step.
        doing: &'static str,
        /// What the module said.
        why: String,
    },
}

impl HsmError {
    /// What a signer's caller is told; the log has the rest.
    pub(crate) const fn in_few_words(&self) -> &'static str {
        match self {
            Self::ModuleUnusable { .. } => "the PKCS#11 module cannot be used",
            Self::TokenAbsent { .. } | Self::TokenAmbiguous { .. } => "the token is not present",
            Self::TokenLost { .. } => "the token went away",
            Self::PinUnavailable { .. } | Self::PinNotSet { .. } => "there is no PIN for the token",
            Self::PinWrong { .. } => "the token refused the PIN",
            Self::PinLocked { .. } => "the token's PIN is locked",
            Self::PinLastTry { .. } => "one more wrong PIN would lock the token",
            Self::KeyAbsent { .. } => "the token does not hold the key any more",
            Self::KeyAmbiguous { .. } | Self::KeyExists { .. } => "several keys answer to the description",
            Self::KeyUnusable { .. } => "the key cannot be used",
            Self::KeyExtractable { .. } => "the key can be taken out of its token",
            Self::MechanismNotAllowed { .. } => "the token does not allow the mechanism",
            Self::KeyChanged { .. } => "the token holds another key than before",
            Self::Refused { .. } => "the token refused",
        }
    }
}

/// Why a key cannot be opened or made, wherever it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// A configured value cannot be meant.
    #[error("{key}: {problem}")]
    Config {
        /// Name of the key in the table.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A key's file cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never its content.
        problem: String,
    },
    /// The bytes are no key, or the library made none.
    #[error(transparent)]
    Software(#[from] SignError),
    /// The token.
    #[error(transparent)]
    Token(#[from] HsmError),
}
