//! The elementary files of the JPKI application and who may read them.

use super::fid;
use crate::my_number_card::CardImage;

/// Flags of the presence file: a certificate is there.
const PRESENT: u8 = 0x8F;
static BOTH_PRESENT: [u8; 3] = [PRESENT, PRESENT, 0];
static AUTH_PRESENT: [u8; 3] = [0, PRESENT, 0];

/// A file that can be selected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum File {
    SignCertificate,
    SignIssuer,
    TokenInfo,
    Presence,
    AuthCertificate,
    AuthIssuer,
    TerminalRoot,
    AuthKey,
    AuthPin,
    SignKey,
    SignPassword,
    /// There on the real card, purpose not public, not readable.
    Closed,
}

/// What READ BINARY finds.
pub(super) enum Content<'a> {
    Free(&'a [u8]),
    BehindSignPassword(&'a [u8]),
    Closed,
    NotBinary,
}

impl File {
    /// The file with this identifier, if this card has it.
    pub(super) const fn find(image: &CardImage, identifier: u16) -> Option<Self> {
        let file = match identifier {
            fid::SIGN_CERTIFICATE => Self::SignCertificate,
            fid::SIGN_ISSUER => Self::SignIssuer,
            fid::TOKEN_INFO => Self::TokenInfo,
            fid::PRESENCE => Self::Presence,
            fid::AUTH_CERTIFICATE => Self::AuthCertificate,
            fid::AUTH_ISSUER => Self::AuthIssuer,
            fid::TERMINAL_ROOT => Self::TerminalRoot,
            fid::AUTH_KEY => Self::AuthKey,
            fid::AUTH_PIN => Self::AuthPin,
            fid::SIGN_KEY => Self::SignKey,
            // Stays on a child's card, blocked: programs ask for its counter before they look further.
            fid::SIGN_PASSWORD => Self::SignPassword,
            0x0005 | 0x0009 | 0x0010 | 0x0019 | 0x001C | 0x001E => Self::Closed,
            _ => return None,
        };
        match (file, &image.document_signature) {
            (Self::SignCertificate | Self::SignIssuer | Self::SignKey, None) => None,
            _ => Some(file),
        }
    }

    /// What can be read of it, and under which rule.
    pub(super) fn content(self, image: &CardImage) -> Content<'_> {
        let signature = image.document_signature.as_ref().map(|function| &function.certified);
        match self {
            Self::SignCertificate => signature
                .map_or(Content::Closed, |certified| Content::BehindSignPassword(&certified.end_entity_der)),
            Self::SignIssuer => {
                signature.map_or(Content::Closed, |certified| Content::Free(&certified.issuer_der))
            }
            Self::TokenInfo => Content::Free(image.token_info.octets()),
            Self::Presence if signature.is_some() => Content::Free(&BOTH_PRESENT),
            Self::Presence => Content::Free(&AUTH_PRESENT),
            Self::AuthCertificate => Content::Free(&image.card_holder_auth.end_entity_der),
            Self::AuthIssuer => Content::Free(&image.card_holder_auth.issuer_der),
            Self::Closed => Content::Closed,
            Self::TerminalRoot | Self::AuthKey | Self::AuthPin | Self::SignKey | Self::SignPassword => {
                Content::NotBinary
            }
        }
    }
}
