//! The consent text: what the patient reads before pressing OK. Terminal and platform build the same
//! bytes, so the hash inside the signed statement proves which text was on the screen.

use crate::answer::Bilingual;
use crate::statement::Purposes;

/// Version of the wording; part of the hashed bytes.
pub const CONSENT_VERSION: u32 = 1;

/// What is asked, by whom, and what is not used (report: safeguard 7, the OK button).
#[doc(alias = "同意文")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsentText {
    /// One sentence: who asks for what.
    pub question: Bilingual,
    /// What is read and used.
    pub used: Vec<Bilingual>,
    /// What is not used.
    pub not_used: Vec<Bilingual>,
    purposes: Purposes,
}

impl ConsentText {
    /// The text for `purposes`, asked by the institution of this name.
    pub fn for_institution(institution_name: &str, purposes: Purposes) -> Self {
        Self {
            question: Bilingual::new(
                format!("{institution_name}が、あなたの健康保険の資格を確認します。よろしいですか。"),
                format!("{institution_name} asks to check your health insurance. Do you agree?"),
            ),
            used: vec![
                Bilingual::new(
                    "利用者証明用電子証明書 (お名前などは入っていません)",
                    "The authentication certificate on your card (it holds no name)",
                ),
                Bilingual::new(
                    "健康保険の資格 (保険者、記号・番号、負担割合)",
                    "Your health insurance: insurer, symbol and number, share you pay",
                ),
            ],
            not_used: vec![
                Bilingual::new("マイナンバー (12桁の番号)", "Your My Number (the 12 digits)"),
                Bilingual::new("暗証番号", "Your PIN"),
            ],
            purposes,
        }
    }

    /// The bytes whose SHA-256 goes into the touch statement: version, purposes and every Japanese and
    /// English line, each with its length in front.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = b"KAZASU-CONSENT".to_vec();
        bytes.extend_from_slice(&CONSENT_VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.purposes.bits().to_be_bytes());
        let lists = [std::slice::from_ref(&self.question), &self.used, &self.not_used];
        for list in lists {
            bytes.extend_from_slice(&u32::try_from(list.len()).unwrap_or(u32::MAX).to_be_bytes());
            for line in list {
                for text in [&line.ja, &line.en] {
                    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_institution_is_another_text() {
        let a = ConsentText::for_institution("見本内科", Purposes::ELIGIBILITY);
        let b = ConsentText::for_institution("見本外科", Purposes::ELIGIBILITY);
        assert_eq!(a.canonical_bytes(), a.clone().canonical_bytes());
        assert_ne!(a.canonical_bytes(), b.canonical_bytes());
    }
}
