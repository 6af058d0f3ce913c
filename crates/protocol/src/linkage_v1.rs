//! Linkage of certificates, version 1: what an institution may ask the authority, and what it gets.
//! docs/linkage.md; report, "New JPKI".
//!
//! `POST` [`LINKAGE_PATH`] over mutual TLS, JSON both ways.

use serde::{Deserialize, Serialize};

/// Where questions are asked.
pub const LINKAGE_PATH: &str = "/linkage/v1/questions";
/// Where the description of the interface lies (OpenAPI 3.1).
pub const LINKAGE_DESCRIPTION_PATH: &str = "/linkage/v1/openapi.json";
/// Most questions in one request.
pub const QUESTIONS_MAX: usize = 256;
/// Longest request body, in octets: [`QUESTIONS_MAX`] questions with 20-octet serial numbers fit.
pub const LINKAGE_REQUEST_BYTES_MAX: usize = 32 << 10;
/// Most octets of a serial number: RFC 5280 §4.1.2.2.
const SERIAL_OCTETS_MAX: usize = 20;

/// What may be asked of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkageQuestion {
    /// Of an authentication certificate: the one that replaced it, over any number of renewals.
    RenewedAuth,
    /// Of a signature certificate: the one that replaced it, over any number of renewals.
    RenewedSign,
    /// Of a signature certificate: the authentication certificate of the same card.
    AuthOfSign,
    /// Of an authentication certificate: the signature certificate of the same card.
    SignOfAuth,
}

impl LinkageQuestion {
    /// Every question.
    pub const ALL: [Self; 4] = [Self::RenewedAuth, Self::RenewedSign, Self::AuthOfSign, Self::SignOfAuth];

    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RenewedAuth => "renewed_auth",
            Self::RenewedSign => "renewed_sign",
            Self::AuthOfSign => "auth_of_sign",
            Self::SignOfAuth => "sign_of_auth",
        }
    }
}

/// A serial number on the wire: hexadecimal, big-endian, 1 to 20 octets, two digits each, any case. It
/// leads to a person: `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WireSerial(Vec<u8>);

/// A text that is no serial number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a serial number is 1 to 20 octets in hexadecimal, and not zero")]
pub struct NotASerial;

impl WireSerial {
    /// From big-endian octets; leading zeros are dropped.
    ///
    /// # Errors
    /// [`NotASerial`] for zero, or more than 20 octets.
    pub fn new(octets: &[u8]) -> Result<Self, NotASerial> {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        match octets.get(zeros..) {
            Some(rest) if (1..=SERIAL_OCTETS_MAX).contains(&rest.len()) => Ok(Self(rest.to_vec())),
            _ => Err(NotASerial),
        }
    }

    /// Its octets, big-endian, without leading zeros.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<String> for WireSerial {
    type Error = NotASerial;

    fn try_from(text: String) -> Result<Self, NotASerial> {
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) || digits.len() > 2 * (SERIAL_OCTETS_MAX + 1) {
            return Err(NotASerial);
        }
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let octets: Option<Vec<u8>> = digits
            .chunks_exact(2)
            .map(|pair| match pair {
                [high, low] => Some(value(*high)? << 4 | value(*low)?),
                _ => None,
            })
            .collect();
        Self::new(&octets.ok_or(NotASerial)?)
    }
}

impl From<WireSerial> for String {
    fn from(serial: WireSerial) -> Self {
        serial.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

impl std::fmt::Debug for WireSerial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireSerial(****)")
    }
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedQuestion {
    /// What is asked.
    pub ask: LinkageQuestion,
    /// Of which certificate.
    pub serial: WireSerial,
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkageRequest {
    /// What for: one of the purposes that were agreed with the institution.
    pub purpose: String,
    /// 1 to [`QUESTIONS_MAX`] questions.
    pub questions: Vec<AskedQuestion>,
}

/// Whether a certificate that is told of counts now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkedStanding {
    /// It counts.
    Good,
    /// Its card is reported lost and may be found: keep the link, refuse the card.
    OnHold,
}

/// What became of a question. Only [`Self::Linked`] carries a serial number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum LinkageAnswer {
    /// No certificate of that kind with this serial number was ever issued here. Nothing else is said.
    Unknown,
    /// The certificate itself counts; nothing has replaced it.
    Current,
    /// The certificate that was asked for.
    Linked {
        /// Its serial number.
        serial: WireSerial,
        /// Whether it counts now.
        standing: LinkedStanding,
        /// How many renewals lie between the two; 0 on one card.
        renewals: u32,
    },
    /// The card is reported lost and may be found. Keep what is linked, ask again later.
    OnHold,
    /// The certificate was renewed: ask for its successor first.
    Superseded,
    /// It ended for good, and so did what it was linked to: nothing is told any more.
    Ended {
        /// Reason: an identifier of RFC 5280 §5.3.1.
        reason: String,
    },
    /// It is past its date, and no later one is there.
    Expired,
    /// It was replaced by nothing that was ever issued.
    NoSuccessor,
    /// The card has no certificate of the other kind.
    NoCounterpart,
}

impl LinkageAnswer {
    /// The word on the wire.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Current => "current",
            Self::Linked { .. } => "linked",
            Self::OnHold => "on_hold",
            Self::Superseded => "superseded",
            Self::Ended { .. } => "ended",
            Self::Expired => "expired",
            Self::NoSuccessor => "no_successor",
            Self::NoCounterpart => "no_counterpart",
        }
    }
}

/// A response: answers in the order of the questions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkageResponse {
    /// When, seconds since 1970.
    pub as_of: u64,
    /// Number of the last audit line about this request: the authority's proof, and the asker's.
    pub audit_line: u64,
    /// The answers.
    pub answers: Vec<LinkageAnswer>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_is_read_in_any_case_and_written_in_one() {
        let read = |text: &str| serde_json::from_str::<WireSerial>(&format!("\"{text}\""));
        let serial = read("00aBc1").unwrap();
        assert_eq!(serial.octets(), [0xAB, 0xC1]);
        assert_eq!(serde_json::to_string(&serial).unwrap(), "\"abc1\"");
        assert_eq!(format!("{serial:?}"), "WireSerial(****)");
        assert!(read(&"7f".repeat(20)).is_ok());
        for wrong in ["", "0", "00", "0g", "+1", "abc", &"7f".repeat(21), "あ1", " 1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_described_is_refused() {
        let good = r#"{"purpose":"p","questions":[{"ask":"renewed_auth","serial":"01"}]}"#;
        assert!(serde_json::from_str::<LinkageRequest>(good).is_ok());
        for (from, to) in
            [("\"p\"", "1"), ("renewed_auth", "everything"), ("\"purpose\"", "\"why\":0,\"purpose\"")]
        {
            assert!(serde_json::from_str::<LinkageRequest>(&good.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn words_are_those_of_the_wire() {
        for ask in LinkageQuestion::ALL {
            assert_eq!(serde_json::to_string(&ask).unwrap(), format!("\"{}\"", ask.word()));
        }
        let linked = LinkageAnswer::Linked {
            serial: WireSerial::new(&[1]).unwrap(),
            standing: LinkedStanding::OnHold,
            renewals: 2,
        };
        let text = serde_json::to_string(&linked).unwrap();
        assert_eq!(text, r#"{"outcome":"linked","serial":"01","standing":"on_hold","renewals":2}"#);
        for answer in [LinkageAnswer::Unknown, LinkageAnswer::NoCounterpart, LinkageAnswer::OnHold] {
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(text, format!(r#"{{"outcome":"{}"}}"#, answer.word()));
        }
    }
}
