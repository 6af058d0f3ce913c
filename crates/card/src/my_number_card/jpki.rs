//! Names in the JPKI application: what a terminal selects and refers to.

use crate::image::Aid;

/// AID of the JPKI application.
#[doc(alias = "公的個人認証AP")]
pub const JPKI_AID: [u8; 10] = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
/// Octets of the challenge that EXTERNAL AUTHENTICATE answers.
pub const CHALLENGE_LEN: usize = 16;

/// [`JPKI_AID`] as the image has it.
pub(super) fn aid() -> Option<Aid> {
    Aid::new(&JPKI_AID)
}

/// File identifiers and short references of the JPKI application that a terminal names.
pub mod fid {
    /// Signature certificate; behind the signature password.
    pub const SIGN_CERTIFICATE: u16 = 0x0001;
    /// Its issuer's certificate; free.
    pub const SIGN_ISSUER: u16 = 0x0002;
    /// Token information; free.
    pub const TOKEN_INFO: u16 = 0x0006;
    /// Which certificates there are; free.
    pub const PRESENCE: u16 = 0x0008;
    /// Card-holder authentication certificate; free.
    pub const AUTH_CERTIFICATE: u16 = 0x000A;
    /// Its issuer's certificate; free.
    pub const AUTH_ISSUER: u16 = 0x000B;
    /// Reference of the terminal certificates' root.
    pub const TERMINAL_ROOT: u16 = 0x0016;
    /// Card-holder authentication key.
    pub const AUTH_KEY: u16 = 0x0017;
    /// Authentication PIN.
    pub const AUTH_PIN: u16 = 0x0018;
    /// Signature key.
    pub const SIGN_KEY: u16 = 0x001A;
    /// Signature password.
    pub const SIGN_PASSWORD: u16 = 0x001B;
}
