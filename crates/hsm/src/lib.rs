//! Private keys wherever an operator keeps them: in a file, or in a PKCS#11 token that never gives them out.
//!
//! Floor 2. The wall is the dependency: a PKCS#11 module is foreign machine code that `dlopen` brings into
//! the process, so this crate alone depends on `cryptoki`, and only rooms that sign depend on this crate.
//! Everybody else sees [`pki::signer::IssuerSigner`].
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | [`KeySource`]: where a key is, as it stands in a configuration |
//! | [`pin`] | a PIN from a 0600 file or the environment |
//! | [`token`] | one token: sessions, login, what to do when it goes away |
//! | [`key`] | finding keys, their public half, what protects them; generating |
//! | [`signer`] | [`Pkcs11Signer`] |
//! | [`error`] | who is at fault |
//!
//! Invariants, each with a test against SoftHSM2:
//! - A PIN that was refused is not tried again by this process, and the last try is never spent: a token
//!   that locks itself takes the authority's keys with it.
//! - A key that may be taken out of its token is refused: it could be anywhere.
//! - A signer signs with the key it was opened with, or not at all: after a token was lost and found again
//!   the public half is compared.
//! - PINs stand in no configuration, no log line and no error.

pub mod config;
pub mod error;
pub mod key;
mod module;
pub mod pin;
pub mod signer;
pub mod token;

pub use config::{KeySource, Pkcs11Key, Pkcs11Token};
pub use error::{HsmError, KeyError};
pub use key::{KeyAlgorithm, KeyProtection};
pub use signer::Pkcs11Signer;
pub use token::Token;
