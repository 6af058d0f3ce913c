//! What a check answers: validity, coverage, why, how fresh, and by which proof.

use crate::ids::{
    BranchNumber, InsuredNumber, InsuredSymbol, InsurerNumber, PublicPayerNumber, PublicRecipientNumber,
};
use crate::receipt::Receipt;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The six public validity codes of the live system, in their order 1 to 6.
#[doc(alias = "資格有効性")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// 1: insured today.
    Valid,
    /// 2: the coverage has ended.
    Invalid,
    /// 3: the coverage has ended, and a newer one is known.
    InvalidNewerExists,
    /// 4: no coverage is known for this card.
    NoCoverage,
    /// 5: more than one insurer claims this day.
    Multiple,
    /// 6: insured through public medical assistance, not yet registered.
    ValidUnregistered,
}

impl Validity {
    /// The public code, 1 to 6.
    pub const fn code(self) -> u8 {
        match self {
            Self::Valid => 1,
            Self::Invalid => 2,
            Self::InvalidNewerExists => 3,
            Self::NoCoverage => 4,
            Self::Multiple => 5,
            Self::ValidUnregistered => 6,
        }
    }
}

/// A text in the two languages every answer carries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bilingual {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

impl Bilingual {
    /// Both texts.
    pub fn new(ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self { ja: ja.into(), en: en.into() }
    }
}

/// A civil date as `YYYY-MM-DD`; kept as text on the wire and compared as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CivilDate(String);

impl CivilDate {
    /// Parses `YYYY-MM-DD` of the Gregorian calendar; refuses days that do not exist.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 10] = text.as_bytes().try_into().ok()?;
        let [y1, y2, y3, y4, dash1, m1, m2, dash2, d1, d2] = bytes;
        let digits = [y1, y2, y3, y4, m1, m2, d1, d2];
        if dash1 != b'-' || dash2 != b'-' || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = |parts: &[u8]| parts.iter().fold(0u32, |sum, d| sum * 10 + u32::from(d - b'0'));
        let (year, month, day) = (number(&[y1, y2, y3, y4]), number(&[m1, m2]), number(&[d1, d2]));
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        (1..=last).contains(&day).then(|| Self(text.to_owned()))
    }

    /// 1970-01-01.
    pub fn epoch() -> Self {
        Self("1970-01-01".to_owned())
    }

    /// `YYYY-MM-DD`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CivilDate {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a date of the form YYYY-MM-DD")
    }
}

impl From<CivilDate> for String {
    fn from(date: CivilDate) -> Self {
        date.0
    }
}

/// Whether the person is insured in their own right or as a dependant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Insured in their own right.
    #[doc(alias = "本人")]
    Insured,
    /// A dependant.
    #[doc(alias = "家族")]
    Dependant,
}

/// One coverage as the institution that asked may see it.
#[doc(alias = "資格")]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Coverage {
    /// Number of the insurer.
    pub insurer_number: InsurerNumber,
    /// Name of the insurer.
    pub insurer_name: String,
    /// Symbol; empty where the insurer uses none.
    pub symbol: InsuredSymbol,
    /// Number.
    pub number: InsuredNumber,
    /// Branch number.
    pub branch: BranchNumber,
    /// Kind of insurance, in words.
    pub kind: Bilingual,
    /// Insured or dependant.
    pub relation: Relation,
    /// What the patient pays, in percent of the bill.
    pub copay_percent: u8,
    /// Class of the monthly limit, as the live code list names it (`B05`), where one applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_class: Option<String>,
    /// Class of a specific disease with a lower monthly limit, as the live code list names it (`1` to `3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specific_disease: Option<String>,
    /// Public expenses that apply on the day of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public_expenses: Vec<PublicExpense>,
    /// First day of the coverage.
    pub valid_from: CivilDate,
    /// Last day of the coverage, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<CivilDate>,
}

/// A public expense: who pays what the patient would have to, and under which number.
#[doc(alias = "公費")]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublicExpense {
    /// Who pays.
    pub payer_number: PublicPayerNumber,
    /// The person's number there.
    pub recipient_number: PublicRecipientNumber,
    /// First day, where it differs from the coverage's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<CivilDate>,
    /// Last day, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<CivilDate>,
}

/// The person as the insurer registered them, for the desk to compare with its own record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredPerson {
    /// Name.
    pub name: String,
    /// Name in kana.
    pub name_kana: String,
    /// Birth date.
    pub birth_date: CivilDate,
}

impl fmt::Debug for RegisteredPerson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegisteredPerson(****)")
    }
}

/// A newer coverage that is known but not yet linked to the card: enough to know whom to call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewerCoverage {
    /// Number of the insurer.
    pub insurer_number: InsurerNumber,
    /// Name of the insurer.
    pub insurer_name: String,
    /// First day of the newer coverage.
    pub valid_from: CivilDate,
}

/// How fresh an insurer's data is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InsurerLoad {
    /// Number of the insurer.
    pub insurer_number: InsurerNumber,
    /// Name of the insurer.
    pub insurer_name: String,
    /// When it last loaded data, RFC 3339.
    pub loaded_at: String,
}

/// How the institution key was made usable for this touch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProofMethod {
    /// Institution key in the terminal's Secure Element (report fig. 2).
    SeTerminal,
}

/// Which card dialogue made the proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CardProfile {
    /// Shaped like the real card as far as it is public: RSA, no encryption of card traffic.
    Jicsap,
    /// After BSI TR-03110: key agreement, secure messaging, certificates with role and dates.
    Eac,
}

impl CardProfile {
    /// Its bit in an [`AllowedProfiles`], and its octet in sealed evidence.
    pub const fn bit(self) -> u8 {
        match self {
            Self::Jicsap => 0x01,
            Self::Eac => 0x02,
        }
    }

    /// The profile of a bit.
    pub const fn from_bit(bit: u8) -> Option<Self> {
        match bit {
            0x01 => Some(Self::Jicsap),
            0x02 => Some(Self::Eac),
            _ => None,
        }
    }

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jicsap => "jicsap",
            Self::Eac => "eac",
        }
    }
}

/// Which card dialogues a platform takes: at least one. In a config it is the list of their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "Vec<CardProfile>")]
pub struct AllowedProfiles(u8);

/// A list of profiles with nothing in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("at least one card profile must be allowed: \"eac\", \"jicsap\"")]
pub struct NoProfile;

impl TryFrom<Vec<CardProfile>> for AllowedProfiles {
    type Error = NoProfile;
    fn try_from(profiles: Vec<CardProfile>) -> Result<Self, NoProfile> {
        Self::of(&profiles).ok_or(NoProfile)
    }
}

impl AllowedProfiles {
    /// Every profile there is.
    pub const ALL: Self = Self(CardProfile::Jicsap.bit() | CardProfile::Eac.bit());

    /// From bits; `None` for no profile, and for bits without a meaning.
    pub const fn parse(bits: u8) -> Option<Self> {
        if bits == 0 || bits & !Self::ALL.0 != 0 { None } else { Some(Self(bits)) }
    }

    /// From a list; `None` if it is empty.
    pub fn of(profiles: &[CardProfile]) -> Option<Self> {
        Self::parse(profiles.iter().fold(0, |bits, profile| bits | profile.bit()))
    }

    /// The bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether `profile` is among them.
    pub const fn allows(self, profile: CardProfile) -> bool {
        self.0 & profile.bit() != 0
    }
}

/// What stands behind an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// How the institution proved itself to the card.
    pub method: ProofMethod,
    /// Which card dialogue was used.
    pub profile: CardProfile,
    /// Age of the revocation status that was consulted, in seconds.
    pub certificate_status_age_seconds: u64,
}

/// Why the answer is not a plain "valid", and what to do now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyNot {
    /// For the receptionist.
    pub receptionist: Bilingual,
    /// For the vendor of the clinic's system.
    pub vendor: Bilingual,
    /// For the patient, in plain words.
    pub patient: Bilingual,
    /// What to do now.
    pub action: Bilingual,
}

/// The answer to one check.
#[doc(alias = "資格確認結果")]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The validity.
    pub validity: Validity,
    /// The day the answer is about.
    pub as_of: CivilDate,
    /// The person as registered, where a link exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<RegisteredPerson>,
    /// The coverages in force; one for `valid`, several for `multiple`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<Coverage>,
    /// The coverage that ended, where that is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Coverage>,
    /// The newer coverage, for `invalid_newer_exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer: Option<NewerCoverage>,
    /// Why not, where the answer is not a plain "valid".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<WhyNot>,
    /// Who loaded data last, and when: the insurers that matter for this answer.
    pub loads: Vec<InsurerLoad>,
    /// What stands behind the answer.
    pub proof: Proof,
    /// The receipt: what a third party can verify. The last field, see
    /// [`crate::eligibility_v1::CheckResponse`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_sets_of_known_bits() {
        for profile in [CardProfile::Jicsap, CardProfile::Eac] {
            assert_eq!(CardProfile::from_bit(profile.bit()), Some(profile));
            assert_eq!(serde_json::to_value(profile).unwrap(), profile.as_str());
            let only = AllowedProfiles::of(&[profile]).unwrap();
            assert!(only.allows(profile) && only != AllowedProfiles::ALL);
            assert!(AllowedProfiles::ALL.allows(profile));
        }
        assert_eq!(AllowedProfiles::of(&[]), None);
        assert_eq!(
            serde_json::from_str::<AllowedProfiles>(r#"["jicsap","eac"]"#).unwrap(),
            AllowedProfiles::ALL
        );
        for wrong in ["[]", r#"["other"]"#, "3"] {
            assert!(serde_json::from_str::<AllowedProfiles>(wrong).is_err());
        }
        for bits in [0, 4, 7, 0x80] {
            assert_eq!(AllowedProfiles::parse(bits), None);
            assert_eq!(CardProfile::from_bit(bits), None);
        }
        assert!(!AllowedProfiles::parse(2).unwrap().allows(CardProfile::Jicsap));
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for good in ["2026-11-22", "2024-02-29", "2000-02-29"] {
            assert!(CivilDate::parse(good).is_some(), "{good}");
        }
        for bad in
            ["2026-02-29", "1900-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "2026/11/22", "２026-11-2"]
        {
            assert!(CivilDate::parse(bad).is_none(), "{bad}");
        }
    }
}
