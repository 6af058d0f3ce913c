//! What is printed on the card and therefore opens it: dates, the security code, and the reference
//! numbers that are made of them.
//!
//! The card keeps dates as eight digits (`YYYYMMDD`, Gregorian), but whoever reads the front of the card
//! has a Japanese year before him: the birth date as a secret is `YYMMDD` with the year *within its era*
//! and without any digit for the era itself (public readers: 17 February 1980, Showa 55, is `550217`).
//! Two people whose years share a number in different eras have the same six digits; the card does not
//! mind, it compares.
//!
//! | secret | digits | made of |
//! |---|---|---|
//! | [`BirthCode`] | 6 | birth date, Japanese year |
//! | [`ReferenceB`] | 14 | birth code, year of expiry (Gregorian, 4), security code (4) |
//! | [`ReferenceA`] | 12 | the number on the back, as it is |

use std::fmt;
use zeroize::Zeroizing;

/// Why a printed value is not one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PrintedError {
    /// Not eight digits that make a day of the calendar.
    #[error("not a day of the calendar as YYYYMMDD")]
    Date,
    /// A day before the first era that the card can write (25 January 1868), or after its 99th year.
    #[error("a day whose Japanese year does not fit two digits")]
    Era,
    /// Not the number of digits that this value has.
    #[error("not {0} digits")]
    Digits(usize),
    /// The number's last digit does not follow from the others.
    #[error("the check digit is wrong")]
    CheckDigit,
    /// Not one of the digits 1, 2, 9 and 0.
    #[error("not a code of JIS X 0303")]
    Sex,
}

/// A day of the Gregorian calendar, as the card's files have it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardDate {
    year: u16,
    month: u8,
    day: u8,
}

impl CardDate {
    /// The day with these numbers, or `None` where the calendar has none. Years 1 to 9999.
    pub const fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if year == 0 || year > 9999 || day == 0 || day > last {
            return None;
        }
        Some(Self { year, month, day })
    }

    /// Parses eight ASCII digits, `YYYYMMDD`.
    pub fn parse(octets: &[u8]) -> Result<Self, PrintedError> {
        let [a, b, c, d, e, f, g, h] = *octets else {
            return Err(PrintedError::Date);
        };
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0u16, |sum, digit| {
                digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')).ok_or(PrintedError::Date)
            })
        };
        let small = |digits: &[u8]| u8::try_from(number(digits)?).map_err(|_| PrintedError::Date);
        Self::new(number(&[a, b, c, d])?, small(&[e, f])?, small(&[g, h])?).ok_or(PrintedError::Date)
    }

    /// The year, Gregorian.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// Eight digits, `YYYYMMDD`.
    pub fn digits(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    /// Era and year within it; the first year is 1. `None` before 25 January 1868.
    #[doc(alias = "和暦")]
    pub fn japanese_year(self) -> Option<(Era, u16)> {
        let era = Era::ALL.into_iter().find(|era| self >= era.first_day())?;
        Some((era, self.year - era.first_day().year + 1))
    }
}

impl fmt::Debug for CardDate {
    /// The year only: a whole birth date says who somebody is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardDate({:04}…)", self.year)
    }
}

/// A Japanese era.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Era {
    /// 令和, from 1 May 2019.
    Reiwa,
    /// 平成, from 8 January 1989.
    Heisei,
    /// 昭和, from 25 December 1926.
    Showa,
    /// 大正, from 30 July 1912.
    Taisho,
    /// 明治, from 25 January 1868.
    Meiji,
}

impl Era {
    /// The latest first.
    const ALL: [Self; 5] = [Self::Reiwa, Self::Heisei, Self::Showa, Self::Taisho, Self::Meiji];

    const fn first_day(self) -> CardDate {
        let (year, month, day) = match self {
            Self::Reiwa => (2019, 5, 1),
            Self::Heisei => (1989, 1, 8),
            Self::Showa => (1926, 12, 25),
            Self::Taisho => (1912, 7, 30),
            Self::Meiji => (1868, 1, 25),
        };
        CardDate { year, month, day }
    }
}

/// Sex as one digit, JIS X 0303 (ISO/IEC 5218).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sex {
    /// `1`.
    Male,
    /// `2`.
    Female,
    /// `9`, not applicable.
    NotApplicable,
    /// `0`, not known.
    NotKnown,
}

impl Sex {
    /// Parses one ASCII digit.
    pub const fn parse(octets: &[u8]) -> Result<Self, PrintedError> {
        match octets {
            b"1" => Ok(Self::Male),
            b"2" => Ok(Self::Female),
            b"9" => Ok(Self::NotApplicable),
            b"0" => Ok(Self::NotKnown),
            _ => Err(PrintedError::Sex),
        }
    }

    /// The ASCII digit.
    pub const fn digit(self) -> u8 {
        match self {
            Self::Male => b'1',
            Self::Female => b'2',
            Self::NotApplicable => b'9',
            Self::NotKnown => b'0',
        }
    }
}

impl fmt::Debug for Sex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sex(…)")
    }
}

fn digits<const N: usize>(octets: &[u8]) -> Result<Zeroizing<[u8; N]>, PrintedError> {
    let mut kept = Zeroizing::new([0u8; N]);
    if octets.len() != N || !octets.iter().all(u8::is_ascii_digit) {
        return Err(PrintedError::Digits(N));
    }
    kept.copy_from_slice(octets);
    Ok(kept)
}

/// The four digits printed beside the expiry date.
#[doc(alias = "セキュリティコード")]
#[derive(Clone)]
pub struct SecurityCode(Zeroizing<[u8; 4]>);

impl SecurityCode {
    /// Parses four digits.
    pub fn parse(text: &str) -> Result<Self, PrintedError> {
        digits(text.as_bytes()).map(Self)
    }

    /// The digits, ASCII.
    pub fn octets(&self) -> &[u8; 4] {
        &self.0
    }
}

/// The birth date as the card asks for it: `YYMMDD`, year within the era.
#[doc(alias = "生年月日（照合用）")]
#[derive(Clone)]
pub struct BirthCode(Zeroizing<[u8; 6]>);

impl BirthCode {
    /// Parses six digits.
    pub fn parse(text: &str) -> Result<Self, PrintedError> {
        digits(text.as_bytes()).map(Self)
    }

    /// The code of somebody born on this day.
    pub fn of(birth: CardDate) -> Result<Self, PrintedError> {
        let (_, year) = birth.japanese_year().filter(|(_, year)| *year < 100).ok_or(PrintedError::Era)?;
        let text = Zeroizing::new(format!("{year:02}{:02}{:02}", birth.month, birth.day));
        Self::parse(&text)
    }

    /// The digits, ASCII.
    pub fn octets(&self) -> &[u8; 6] {
        &self.0
    }
}

/// Reference number B: what the front of the card gives away, 14 digits.
#[doc(alias = "照合番号B")]
#[derive(Clone)]
pub struct ReferenceB(Zeroizing<[u8; 14]>);

impl ReferenceB {
    /// Parses 14 digits.
    pub fn parse(text: &str) -> Result<Self, PrintedError> {
        digits(text.as_bytes()).map(Self)
    }

    /// Birth code, year of expiry, security code.
    pub fn of(birth: CardDate, expiry: CardDate, code: &SecurityCode) -> Result<Self, PrintedError> {
        let mut joined = Zeroizing::new(Vec::with_capacity(14));
        joined.extend_from_slice(BirthCode::of(birth)?.octets());
        joined.extend_from_slice(format!("{:04}", expiry.year).as_bytes());
        joined.extend_from_slice(code.octets());
        digits(&joined).map(Self)
    }

    /// The digits, ASCII.
    pub fn octets(&self) -> &[u8; 14] {
        &self.0
    }
}

/// Reference number A: the twelve digits on the back of the card, which are the holder's number itself.
///
/// Wiped when dropped; `Debug` shows nothing; there is no `Display` and no serialisation.
#[doc(alias = "照合番号A")]
#[doc(alias = "個人番号")]
#[derive(Clone)]
pub struct ReferenceA(Zeroizing<[u8; 12]>);

impl ReferenceA {
    /// Twelve ASCII digits whose last one is the check digit of the others.
    pub fn from_octets(octets: &[u8]) -> Result<Self, PrintedError> {
        let kept: Zeroizing<[u8; 12]> = digits(octets)?;
        let (body, &[check]) = kept.split_last_chunk::<1>().ok_or(PrintedError::Digits(12))?;
        if check_digit(body) == check { Ok(Self(kept)) } else { Err(PrintedError::CheckDigit) }
    }

    /// Parses twelve digits.
    pub fn parse(text: &str) -> Result<Self, PrintedError> {
        Self::from_octets(text.as_bytes())
    }

    /// Eleven digits and the check digit that follows from them: for specimen cards, whose numbers are
    /// made at run time.
    pub fn with_check_digit(eleven: &[u8; 11]) -> Result<Self, PrintedError> {
        let body: Zeroizing<[u8; 11]> = digits(eleven)?;
        let mut kept = Zeroizing::new([check_digit(body.as_slice()); 12]);
        for (to, from) in kept.iter_mut().zip(body.iter()) {
            *to = *from;
        }
        Ok(Self(kept))
    }

    /// The digits, ASCII.
    pub fn octets(&self) -> &[u8; 12] {
        &self.0
    }
}

/// The check digit of these digits (ASCII), 平成26年総務省令第85号 §5: counted from the right, digit *n*
/// weighs *n* + 1 up to the sixth and *n* − 5 from the seventh on; 11 less the remainder of the sum by
/// 11, and 0 where the remainder is 0 or 1.
fn check_digit(digits: &[u8]) -> u8 {
    let weights = (2u32..=7).cycle();
    let sum: u32 = digits.iter().rev().zip(weights).map(|(digit, w)| u32::from(digit - b'0') * w).sum();
    match sum % 11 {
        0 | 1 => b'0',
        rest => u8::try_from(11 - rest).map_or(b'0', |digit| digit + b'0'),
    }
}

macro_rules! shows_nothing {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                *self.0 == *other.0
            }
        }

        impl Eq for $name {}
    )*};
}

shows_nothing!(SecurityCode, BirthCode, ReferenceB, ReferenceA);

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> CardDate {
        CardDate::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn days_of_the_calendar_and_no_others() {
        for good in ["19800217", "20240229", "20000229", "18680125", "00010101", "99991231"] {
            assert_eq!(day(good).digits(), good);
        }
        for bad in
            ["19810229", "19000229", "20230431", "20231301", "20230001", "20230100", "2023010", "2023010x"]
        {
            assert_eq!(CardDate::parse(bad.as_bytes()), Err(PrintedError::Date), "{bad}");
        }
        assert_eq!(format!("{:?}", day("19800217")), "CardDate(1980…)");
    }

    #[test]
    fn eras_change_on_their_day() {
        for (text, expected) in [
            ("18680125", Some((Era::Meiji, 1))),
            ("18680124", None),
            ("19120729", Some((Era::Meiji, 45))),
            ("19120730", Some((Era::Taisho, 1))),
            ("19261224", Some((Era::Taisho, 15))),
            ("19261225", Some((Era::Showa, 1))),
            ("19890107", Some((Era::Showa, 64))),
            ("19890108", Some((Era::Heisei, 1))),
            ("20190430", Some((Era::Heisei, 31))),
            ("20190501", Some((Era::Reiwa, 1))),
        ] {
            assert_eq!(day(text).japanese_year(), expected, "{text}");
        }
    }

    /// The value that public readers of a test card document.
    #[test]
    fn reference_b_as_documented_in_public() {
        let code = SecurityCode::parse("2285").unwrap();
        let b = ReferenceB::of(day("19800217"), day("20350217"), &code).unwrap();
        assert_eq!(b.octets(), b"55021720352285");
        assert_eq!(ReferenceB::parse("55021720352285").unwrap(), b);
        assert_eq!(BirthCode::of(day("19800217")).unwrap(), BirthCode::parse("550217").unwrap());
        assert_eq!(BirthCode::of(day("20190501")).unwrap(), BirthCode::parse("010501").unwrap());
        assert_eq!(BirthCode::of(day("18680124")), Err(PrintedError::Era));
        assert_eq!(BirthCode::of(day("21180101")), Err(PrintedError::Era));
        assert_eq!(ReferenceB::parse("5502172035228"), Err(PrintedError::Digits(14)));
        assert_eq!(SecurityCode::parse("22a5"), Err(PrintedError::Digits(4)));
        assert_eq!(format!("{b:?}{code:?}"), "ReferenceB(…)SecurityCode(…)");
    }

    /// The formula by hand, for digits that touch every weight and every special remainder.
    #[test]
    fn the_check_digit_of_the_number() {
        // 1·6+2·5+3·4+4·3+5·2+6·7+7·6+8·5+9·4+0·3+1·2 = 212 = 19·11 + 3, so 11 − 3.
        assert_eq!(ReferenceA::with_check_digit(b"12345678901").unwrap().octets(), b"123456789018");
        assert!(ReferenceA::parse("123456789018").is_ok());
        for last in (b'0'..=b'9').filter(|digit| *digit != b'8') {
            let bent = [&b"12345678901"[..], &[last]].concat();
            assert_eq!(ReferenceA::from_octets(&bent), Err(PrintedError::CheckDigit));
        }
        // Remainders 0 and 1 both give 0: 11 zeros; 6·2 = 12.
        assert_eq!(ReferenceA::with_check_digit(b"00000000000").unwrap().octets(), b"000000000000");
        assert_eq!(ReferenceA::with_check_digit(b"00000000006").unwrap().octets(), b"000000000060");
        assert_eq!(ReferenceA::with_check_digit(b"0000000000x"), Err(PrintedError::Digits(11)));
        assert_eq!(ReferenceA::parse("12345678901"), Err(PrintedError::Digits(12)));
        assert_eq!(format!("{:?}", ReferenceA::parse("123456789018").unwrap()), "ReferenceA(…)");
    }

    #[test]
    fn sexes_round_trip() {
        for digit in *b"1290" {
            assert_eq!(Sex::parse(&[digit]).unwrap().digit(), digit);
        }
        for bad in [&b""[..], b"3", b"11"] {
            assert_eq!(Sex::parse(bad), Err(PrintedError::Sex));
        }
    }
}
