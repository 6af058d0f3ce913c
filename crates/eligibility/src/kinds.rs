//! Kinds of insurance: an insurer's number begins with the number of the law it works under (法別番号); National
//! Health Insurance has six digits and none.

use crate::history::KindRef;
use protocol::answer::Bilingual;
use protocol::ids::InsurerNumber;

/// National Health Insurance: insurer numbers of six digits.
pub const NATIONAL: KindRef = KindRef(0);
/// A law this list does not know.
pub const OTHER: KindRef = KindRef(99);
/// Kinds in other words than this list's, as stores give them out, begin here.
pub const OWN_FROM: u32 = 1000;

/// Number of the law, Japanese, English.
const KINDS: &[(u32, &str, &str)] = &[
    (0, "国民健康保険", "National Health Insurance"),
    (1, "健康保険 (協会)", "Employees' health insurance (association)"),
    (2, "船員保険", "Seamen's insurance"),
    (3, "健康保険 (日雇特例)", "Employees' health insurance (day labourers)"),
    (4, "健康保険 (日雇特例・特別療養費)", "Employees' health insurance (day labourers, special)"),
    (6, "健康保険 (組合)", "Employees' health insurance (society)"),
    (7, "自衛官等の療養の給付", "Self-Defense Forces personnel"),
    (31, "国家公務員共済", "Mutual aid, national public service"),
    (32, "地方公務員等共済", "Mutual aid, local public service"),
    (33, "警察共済", "Mutual aid, police"),
    (34, "公立学校・私立学校共済", "Mutual aid, schools"),
    (39, "後期高齢者医療", "Medical care for those aged 75 and over"),
    (63, "特定健康保険組合 (特例退職)", "Specified health insurance society (retired)"),
    (67, "国民健康保険 (退職)", "National Health Insurance (retired)"),
    (72, "国家公務員特定共済", "Specified mutual aid, national public service"),
    (73, "地方公務員等特定共済", "Specified mutual aid, local public service"),
    (74, "警察特定共済", "Specified mutual aid, police"),
    (75, "公立学校・私立学校特定共済", "Specified mutual aid, schools"),
    (99, "医療保険", "Health insurance"),
];

/// The kind that an insurer's number tells.
pub fn kind_of(insurer: &InsurerNumber) -> KindRef {
    let digits = insurer.as_str();
    if digits.len() == 6 {
        return NATIONAL;
    }
    let law = digits.get(..2).and_then(|law| law.parse().ok()).unwrap_or(OTHER.0);
    if law != 0 && KINDS.iter().any(|(number, ..)| *number == law) { KindRef(law) } else { OTHER }
}

/// The kind in words, if it is one of this list.
pub fn words(kind: KindRef) -> Option<Bilingual> {
    KINDS.iter().find(|(number, ..)| *number == kind.0).map(|(_, ja, en)| Bilingual::new(*ja, *en))
}

/// The kind that has these words.
pub fn with_words(words: &Bilingual) -> Option<KindRef> {
    KINDS.iter().find(|(_, ja, en)| *ja == words.ja && *en == words.en).map(|(number, ..)| KindRef(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_tells_its_law() {
        let kind = |digits: &str| kind_of(&InsurerNumber::parse(digits).unwrap());
        assert_eq!(kind("990010"), NATIONAL);
        assert_eq!(kind("06990013"), KindRef(6));
        assert_eq!(kind("39990013"), KindRef(39));
        assert_eq!(kind("00990013"), OTHER);
        assert_eq!(kind("88990013"), OTHER);
    }

    #[test]
    fn words_lead_back_to_their_kind() {
        for (number, ..) in KINDS {
            assert_eq!(with_words(&words(KindRef(*number)).unwrap()), Some(KindRef(*number)));
            assert!(*number < OWN_FROM);
        }
    }
}
