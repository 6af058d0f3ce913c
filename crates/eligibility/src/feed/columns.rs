//! The columns of a feed. Japanese names follow the words of the public interface files of National Health
//! Insurance and of the live eligibility system; each has an English name for those who write files by program.

use super::FeedError;
use std::borrow::Cow;

macro_rules! columns {
    ($($(#[$meta:meta])* $variant:ident = ($ja:literal $(| $also:literal)*, $en:literal, $need:ident, $open:ident),)+) => {
        /// A column.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Column {
            $($(#[$meta])* $variant,)+
        }

        impl Column {
            /// Every column.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The Japanese name.
            pub const fn japanese(self) -> &'static str {
                match self { $(Self::$variant => $ja,)+ }
            }

            /// The English name.
            pub const fn english(self) -> &'static str {
                match self { $(Self::$variant => $en,)+ }
            }

            /// Whether every file must have it.
            pub const fn need(self) -> Need {
                match self { $(Self::$variant => Need::$need,)+ }
            }

            /// Whether its values may be shown to somebody who mends the file.
            pub const fn openness(self) -> Openness {
                match self { $(Self::$variant => Openness::$open,)+ }
            }

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($ja $(| $also)* | $en => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

/// Whether a file must have a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// It must, and every row must fill it.
    Every,
    /// It may.
    Some,
}

/// Whether a column's values may be repeated in a list of rejected rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Openness {
    /// They say nothing of a person by themselves.
    Public,
    /// They are personal.
    Personal,
}

columns! {
    /// The insurer.
    InsurerNumber = ("保険者番号", "insurer_number", Every, Public),
    /// The insurer's own number of the member; symbol, number and branch name the member otherwise.
    MemberNumber = ("加入者番号" | "宛名番号", "member_number", Some, Personal),
    /// Symbol.
    Symbol = ("被保険者証記号" | "記号", "symbol", Some, Personal),
    /// Number.
    Number = ("被保険者証番号" | "番号", "number", Every, Personal),
    /// Branch.
    Branch = ("枝番", "branch", Some, Personal),
    /// Name.
    Name = ("氏名", "name", Every, Personal),
    /// Name in kana.
    NameKana = ("氏名カナ" | "カナ氏名", "name_kana", Every, Personal),
    /// Birth date.
    BirthDate = ("生年月日", "birth_date", Every, Personal),
    /// Sex.
    Sex = ("性別", "sex", Some, Personal),
    /// Insured or dependant.
    Relation = ("本人家族区分", "relation", Every, Public),
    /// First day.
    ValidFrom = ("資格取得年月日", "valid_from", Every, Public),
    /// First day without the coverage.
    LostOn = ("資格喪失年月日", "lost_on", Some, Public),
    /// Last day of the coverage.
    ValidTo = ("資格終了年月日", "valid_to", Some, Public),
    /// Share.
    Copay = ("負担割合", "copay_percent", Every, Public),
    /// First day of the terms.
    AppliesFrom = ("適用開始年月日", "applies_from", Some, Public),
    /// Last day of the terms.
    AppliesTo = ("適用終了年月日", "applies_to", Some, Public),
    /// Class of the monthly limit.
    LimitClass = ("限度額適用区分", "limit_class", Some, Public),
    /// Class of a specific disease.
    SpecificDisease = ("特定疾病区分", "specific_disease", Some, Personal),
    /// First public expense: who pays.
    PublicPayer1 = ("公費負担者番号1" | "公費負担者番号", "public_payer_1", Some, Public),
    /// Its number of the person.
    PublicRecipient1 = ("公費受給者番号1" | "公費受給者番号", "public_recipient_1", Some, Personal),
    /// Its first day.
    PublicFrom1 = ("公費開始年月日1" | "公費開始年月日", "public_from_1", Some, Public),
    /// Its last day.
    PublicTo1 = ("公費終了年月日1" | "公費終了年月日", "public_to_1", Some, Public),
    /// Second public expense: who pays.
    PublicPayer2 = ("公費負担者番号2", "public_payer_2", Some, Public),
    /// Its number of the person.
    PublicRecipient2 = ("公費受給者番号2", "public_recipient_2", Some, Personal),
    /// Its first day.
    PublicFrom2 = ("公費開始年月日2", "public_from_2", Some, Public),
    /// Its last day.
    PublicTo2 = ("公費終了年月日2", "public_to_2", Some, Public),
    /// What the row does.
    Operation = ("異動区分", "operation", Some, Public),
    /// The day on which the insurer stated it.
    StatedOn = ("更新年月日", "stated_on", Some, Public),
    /// Serial of the authentication certificate.
    CardSerial = ("電子証明書シリアル番号", "card_serial", Some, Personal),
    /// The platform's key of the person.
    PersonKey = ("個人キー", "person_key", Some, Personal),
    /// Whether the insurer confirms that member and person are one.
    LinkConfirmed = ("紐づけ確認", "link_confirmed", Some, Public),
}

/// Where each column stands in a file.
#[derive(Clone, Debug)]
pub struct Header {
    places: Vec<Option<usize>>,
    width: usize,
}

impl Header {
    /// Reads the first record.
    ///
    /// # Errors
    /// [`FeedError`] naming the column that is unknown, there twice, or missing.
    pub fn parse(cells: &[Cow<'_, str>]) -> Result<Self, FeedError> {
        let mut places = vec![None; Column::ALL.len()];
        let known = |cell: &str| Column::named(cell.trim());
        if !cells.iter().any(|cell| known(cell).is_some()) {
            return Err(FeedError::NoHeader);
        }
        for (place, cell) in cells.iter().enumerate() {
            let Some(column) = known(cell) else {
                let name = cell.trim().chars().filter(|c| !c.is_control()).take(40).collect();
                return Err(FeedError::UnknownColumn { column: place + 1, name });
            };
            if let Some(slot) = places.get_mut(column as usize)
                && slot.replace(place).is_some()
            {
                return Err(FeedError::ColumnTwice(column.japanese()));
            }
        }
        let missing = Column::ALL
            .iter()
            .zip(&places)
            .find(|(column, place)| column.need() == Need::Every && place.is_none());
        match missing {
            Some((column, _)) => Err(FeedError::ColumnMissing(column.japanese())),
            None => Ok(Self { places, width: cells.len() }),
        }
    }

    /// How many cells a row has.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Place of a column, from 0.
    pub fn place(&self, column: Column) -> Option<usize> {
        self.places.get(column as usize).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Header, FeedError> {
        Header::parse(&line.split(',').map(Cow::Borrowed).collect::<Vec<_>>())
    }

    const LEAST: &str = "保険者番号,番号,氏名,氏名カナ,生年月日,本人家族区分,資格取得年月日,負担割合";

    #[test]
    fn columns_are_found_by_either_name_in_any_order() {
        let header = parse(&format!("copay,{LEAST}").replace("copay,", "branch, sex ,")).unwrap();
        assert_eq!((header.place(Column::Branch), header.place(Column::Sex)), (Some(0), Some(1)));
        assert_eq!((header.place(Column::Number), header.place(Column::CardSerial)), (Some(3), None));
        for column in Column::ALL {
            assert_eq!(Column::named(column.japanese()), Some(*column));
            assert_eq!(Column::named(column.english()), Some(*column));
        }
    }

    #[test]
    fn a_header_that_does_not_fit_names_the_column() {
        assert!(matches!(parse("1,2,3"), Err(FeedError::NoHeader)));
        assert!(matches!(parse(&format!("{LEAST},枝番,枝番")), Err(FeedError::ColumnTwice("枝番"))));
        assert!(matches!(
            parse(&LEAST.replace("負担割合", "性別")),
            Err(FeedError::ColumnMissing("負担割合"))
        ));
        let error = parse(&format!("{LEAST},個人番号")).unwrap_err();
        assert!(
            matches!(&error, FeedError::UnknownColumn { column: 9, name } if name == "個人番号"),
            "{error}"
        );
    }
}
