//! Identifiers as newtypes. Each is made by a parsing constructor; `Debug` of the personal ones
//! prints only the last two characters, so that no log line can carry them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not the identifier it was given as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdError {
    /// The length differs from the one the identifier has.
    #[error("wrong length: expected {expected}, found {found}")]
    Length {
        /// Characters or bytes the identifier has.
        expected: &'static str,
        /// Characters or bytes that came.
        found: usize,
    },
    /// A character that the identifier cannot hold.
    #[error("a character that is not allowed here")]
    Character,
}

/// Whether the last digit is the check digit of the ones before it: modulus 10, weights 2 and 1 from
/// the right (the Luhn sum that insurer numbers and institution codes use).
///
/// Real numbers and published samples exist that fail it, so callers warn and do not refuse.
pub fn luhn_holds(digits: &str) -> bool {
    let mut sum = 0u32;
    for (place, byte) in digits.bytes().rev().enumerate() {
        if !byte.is_ascii_digit() {
            return false;
        }
        let digit = u32::from(byte - b'0');
        let weighted = if place % 2 == 1 { digit * 2 } else { digit };
        sum += weighted / 10 + weighted % 10;
    }
    !digits.is_empty() && sum.is_multiple_of(10)
}

fn all_digits(text: &str, lengths: &[usize], expected: &'static str) -> Result<(), IdError> {
    if !lengths.contains(&text.len()) {
        return Err(IdError::Length { expected, found: text.len() });
    }
    if text.bytes().all(|b| b.is_ascii_digit()) { Ok(()) } else { Err(IdError::Character) }
}

/// Code of a medical institution: 10 digits, prefecture 2, score table 1, city 2, institution 4, check 1.
#[doc(alias = "医療機関コード")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstitutionCode([u8; 10]);

impl InstitutionCode {
    /// Parses ten digits. The check digit is not enforced, see [`luhn_holds`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        all_digits(text, &[10], "10 digits")?;
        text.as_bytes().try_into().map(Self).map_err(|_| IdError::Character)
    }

    /// The ten ASCII digits.
    pub const fn as_bytes(&self) -> &[u8; 10] {
        &self.0
    }

    /// The ten digits as text.
    pub fn as_str(&self) -> &str {
        // The constructor lets nothing but ASCII digits in.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Debug for InstitutionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstitutionCode({})", self.as_str())
    }
}

impl fmt::Display for InstitutionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for InstitutionCode {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<InstitutionCode> for String {
    fn from(code: InstitutionCode) -> Self {
        code.as_str().to_owned()
    }
}

/// Number of an insurer: 8 digits, or 6 for National Health Insurance. Public, not personal.
#[doc(alias = "保険者番号")]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InsurerNumber(String);

impl InsurerNumber {
    /// Parses 6 or 8 digits. The check digit is not enforced, see [`luhn_holds`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        all_digits(text, &[6, 8], "6 or 8 digits")?;
        Ok(Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InsurerNumber {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<InsurerNumber> for String {
    fn from(number: InsurerNumber) -> Self {
        number.0
    }
}

/// Number of who pays a public expense: 8 digits, law 2, prefecture 2, office 3, check 1. Public.
#[doc(alias = "公費負担者番号")]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicPayerNumber(String);

impl PublicPayerNumber {
    /// Parses 8 digits. The check digit is not enforced, see [`luhn_holds`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        all_digits(text, &[8], "8 digits")?;
        Ok(Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PublicPayerNumber {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<PublicPayerNumber> for String {
    fn from(number: PublicPayerNumber) -> Self {
        number.0
    }
}

/// Prints the last two characters behind stars.
fn redacted(name: &str, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let count = text.chars().count();
    let tail: String = text.chars().skip(count.saturating_sub(2)).collect();
    if count > 3 { write!(f, "{name}(****{tail})") } else { write!(f, "{name}(****)") }
}

macro_rules! personal_text {
    ($(#[$meta:meta])* $name:ident, $max:expr, $expected:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text; refuses control characters and texts that are too long.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if text.chars().count() > $max {
                    return Err(IdError::Length { expected: $expected, found: text.chars().count() });
                }
                if text.chars().any(char::is_control) {
                    return Err(IdError::Character);
                }
                Ok(Self(text.to_owned()))
            }

            /// The text itself. Personal: goes into answers to the institution that asked, never into logs.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                redacted(stringify!($name), &self.0, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

personal_text!(
    /// Symbol of an insured person; empty where the insurer uses none.
    #[doc(alias = "記号")]
    InsuredSymbol, 20, "at most 20 characters"
);
personal_text!(
    /// Number of an insured person.
    #[doc(alias = "番号")]
    InsuredNumber, 20, "at most 20 characters"
);
personal_text!(
    /// Branch number of a person under an insured number: two digits. `00` is a number, not an absence.
    #[doc(alias = "枝番")]
    BranchNumber, 2, "at most 2 characters"
);

personal_text!(
    /// Number of a person under a public expense: six digits and a check digit (as [`luhn_holds`]).
    #[doc(alias = "公費受給者番号")]
    PublicRecipientNumber, 7, "at most 7 characters"
);

/// Serial number of a card-holder authentication certificate (RFC 5280 §4.1.2.2): up to 20 octets,
/// big-endian, without leading zeros. Not the serial of a signature certificate.
#[doc(alias = "利用者証明用電子証明書シリアル番号")]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthCertSerial(Vec<u8>);

impl AuthCertSerial {
    /// Takes 1 to 20 content octets of the INTEGER; leading zeros are dropped.
    pub fn parse(octets: &[u8]) -> Result<Self, IdError> {
        let first = octets.iter().position(|b| *b != 0).unwrap_or(octets.len());
        let trimmed = octets.get(first..).unwrap_or_default();
        if trimmed.is_empty() || trimmed.len() > 20 {
            return Err(IdError::Length { expected: "1 to 20 octets", found: trimmed.len() });
        }
        Ok(Self(trimmed.to_vec()))
    }

    /// The octets, big-endian.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AuthCertSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthCertSerial(****)")
    }
}

/// SHA-256 of a terminal's SubjectPublicKeyInfo: which terminal speaks, bound to its TLS key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TerminalKeyHash(pub [u8; 32]);

impl fmt::Debug for TerminalKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TerminalKeyHash({}…)", hex::encode(self.0.first_chunk::<4>().unwrap_or(&[0; 4])))
    }
}

/// Identifier of a Secure Element: 8 octets, in its FCI.
#[doc(alias = "セキュアエレメント識別子")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecureElementId(pub [u8; 8]);

impl fmt::Debug for SecureElementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecureElementId({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luhn_knows_published_numbers() {
        for good in ["138057", "131011", "138016", "01130012", "39131016", "33120015", "0110113719"] {
            assert!(luhn_holds(good), "{good}");
        }
        for bad in ["06123456", "123456", "00012345", "1311111111", "", "12a4"] {
            assert!(!luhn_holds(bad), "{bad}");
        }
    }

    #[test]
    fn debug_of_personal_identifiers_shows_no_more_than_two_characters() {
        let number = InsuredNumber::parse("1234567").unwrap();
        assert_eq!(format!("{number:?}"), "InsuredNumber(****67)");
        let branch = BranchNumber::parse("01").unwrap();
        assert_eq!(format!("{branch:?}"), "BranchNumber(****)");
        let serial = AuthCertSerial::parse(&[0, 1, 2, 3]).unwrap();
        assert_eq!(format!("{serial:?}"), "AuthCertSerial(****)");
        assert_eq!(serial.as_bytes(), [1, 2, 3]);
    }

    #[test]
    fn parsers_refuse_what_does_not_fit() {
        assert!(InstitutionCode::parse("131234567").is_err());
        assert!(InstitutionCode::parse("13123456７").is_err());
        assert!(InsurerNumber::parse("1234567").is_err());
        assert!(InsuredSymbol::parse("a\nb").is_err());
        assert!(AuthCertSerial::parse(&[0, 0]).is_err());
        assert!(AuthCertSerial::parse(&[1; 21]).is_err());
    }
}
