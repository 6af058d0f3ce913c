//! Whether what a row says of a person is said of the person who is registered, pure.
//!
//! Names are compared as people write them: compatibility forms folded (NFKC: half-width kana, full-width
//! Latin), spaces left out, hiragana as katakana. Written names of one person differ between registers more often
//! than not (old and new forms of one character), so name *or* kana is enough; birth date and sex must agree.

use crate::history::{Attributes, Sex};
use crate::store::feed::HeldReason;
use unicode_normalization::UnicodeNormalization as _;

/// What two sets of attributes are compared for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compared {
    /// A member is to be tied to a person known from elsewhere.
    WithRegisteredPerson,
    /// A member who is tied to a card is said to be somebody slightly different: names may change.
    WithOwnPast,
    /// The same, of a member nothing is tied to: births may be corrected, but not together with the name.
    WithUntiedPast,
}

fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.nfkc().filter(|character| !character.is_whitespace()).map(|character| match character {
        // Hiragana and katakana stand 0x60 apart.
        'ぁ'..='ゖ' => char::from_u32(character as u32 + 0x60).unwrap_or(character),
        other => other,
    })
}

fn same(one: &str, other: &str) -> bool {
    one == other || (!one.is_empty() && !other.is_empty() && folded(one).eq(folded(other)))
}

fn names_agree(registered: &Attributes, stated: &Attributes) -> bool {
    same(&registered.name, &stated.name) || same(&registered.name_kana, &stated.name_kana)
}

/// The first attribute that says these are two people; `None` if nothing does.
pub fn mismatch(registered: &Attributes, stated: &Attributes, compared: Compared) -> Option<HeldReason> {
    let births_agree = registered.birth_date == stated.birth_date;
    let sexes_agree = registered.sex == stated.sex || [registered.sex, stated.sex].contains(&Sex::NotStated);
    match compared {
        Compared::WithUntiedPast => {
            (!births_agree && !names_agree(registered, stated)).then_some(HeldReason::BirthDateDiffers)
        }
        Compared::WithOwnPast | Compared::WithRegisteredPerson if !births_agree => {
            Some(HeldReason::BirthDateDiffers)
        }
        Compared::WithOwnPast | Compared::WithRegisteredPerson if !sexes_agree => {
            Some(HeldReason::SexDiffers)
        }
        Compared::WithOwnPast => None,
        Compared::WithRegisteredPerson => {
            (!names_agree(registered, stated)).then_some(HeldReason::NameDiffers)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Day;

    fn attributes(name: &str, kana: &str, birth: i64, sex: Sex) -> Attributes {
        Attributes {
            name: name.into(),
            name_kana: kana.into(),
            birth_date: Day::from_number(birth).unwrap(),
            sex,
        }
    }

    #[test]
    fn people_are_recognised_in_every_spelling() {
        let registered = attributes("見本　花子", "ミホン　ハナコ", 1, Sex::Female);
        for (name, kana) in [
            ("見本 花子", ""),
            ("見本花子", "別"),
            ("視本　花子", "ﾐﾎﾝ ﾊﾅｺ"),
            ("", "みほん　はなこ"),
            ("●本花子", "ミホン　ハナコ"),
        ] {
            let stated = attributes(name, kana, 1, Sex::NotStated);
            assert_eq!(mismatch(&registered, &stated, Compared::WithRegisteredPerson), None, "{name} {kana}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let registered = attributes("見本　花子", "ミホン　ハナコ", 1, Sex::Female);
        let other = |name: &str, birth, sex| attributes(name, "ベツ　ヒト", birth, sex);
        let check = |stated: &Attributes, compared| mismatch(&registered, stated, compared);
        let renamed = other("別　花子", 1, Sex::Female);
        assert_eq!(check(&renamed, Compared::WithRegisteredPerson), Some(HeldReason::NameDiffers));
        assert_eq!(check(&renamed, Compared::WithOwnPast), None);
        let corrected = other("見本　花子", 2, Sex::Female);
        assert_eq!(check(&corrected, Compared::WithOwnPast), Some(HeldReason::BirthDateDiffers));
        assert_eq!(check(&corrected, Compared::WithUntiedPast), None);
        assert_eq!(
            check(&other("別", 2, Sex::Female), Compared::WithUntiedPast),
            Some(HeldReason::BirthDateDiffers)
        );
        assert_eq!(
            check(&other("見本　花子", 1, Sex::Male), Compared::WithOwnPast),
            Some(HeldReason::SexDiffers)
        );
        // Two empty names agree on nothing.
        let nameless = attributes("", "", 1, Sex::Female);
        assert_eq!(
            mismatch(&nameless, &attributes("", "", 1, Sex::Female), Compared::WithRegisteredPerson),
            None
        );
        assert_eq!(check(&nameless, Compared::WithRegisteredPerson), Some(HeldReason::NameDiffers));
    }
}
