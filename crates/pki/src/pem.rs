//! Textual encoding of certificates, lists and keys: RFC 7468.

use der::pem::{LineEnding, decode_vec, encode_string};
use zeroize::Zeroizing;

/// A text that is not the PEM it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PemError {
    /// Not one well-formed PEM block.
    #[error("not a PEM block")]
    Syntax,
    /// A PEM block of another kind.
    #[error("a PEM block, but not labelled {expected}")]
    Label {
        /// The label that was asked for.
        expected: &'static str,
    },
}

/// What a PEM block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PemKind {
    /// A certificate, RFC 7468 §5.
    Certificate,
    /// A certificate revocation list, RFC 7468 §6.
    CertificateList,
    /// A certification request, RFC 7468 §7.
    CertificationRequest,
    /// A PKCS#8 private key, RFC 7468 §10.
    PrivateKey,
    /// A SubjectPublicKeyInfo, RFC 7468 §13.
    PublicKey,
}

impl PemKind {
    const fn label(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::CertificateList => "X509 CRL",
            Self::CertificationRequest => "CERTIFICATE REQUEST",
            Self::PrivateKey => "PRIVATE KEY",
            Self::PublicKey => "PUBLIC KEY",
        }
    }
}

/// One PEM block, lines ended by LF. The text is wiped when dropped: it may hold a key.
pub fn encode(kind: PemKind, der: &[u8]) -> Zeroizing<String> {
    // Fails only for labels with characters that none of ours has.
    Zeroizing::new(encode_string(kind.label(), LineEnding::LF, der).unwrap_or_default())
}

/// The bytes of one PEM block of `kind`. They are wiped when dropped: they may be a key.
///
/// # Errors
/// Not PEM, or a block of another kind.
pub fn decode(kind: PemKind, text: &str) -> Result<Zeroizing<Vec<u8>>, PemError> {
    let (label, der) = decode_vec(text.as_bytes()).map_err(|_| PemError::Syntax)?;
    let der = Zeroizing::new(der);
    if label == kind.label() { Ok(der) } else { Err(PemError::Label { expected: kind.label() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_wrong_label() {
        let text = encode(PemKind::PublicKey, &[1, 2, 3]);
        assert_eq!(decode(PemKind::PublicKey, &text).unwrap().as_slice(), [1, 2, 3]);
        assert_eq!(decode(PemKind::PrivateKey, &text), Err(PemError::Label { expected: "PRIVATE KEY" }));
        assert_eq!(decode(PemKind::PublicKey, "nonsense"), Err(PemError::Syntax));
    }
}
