//! Civil days in Japan as whole numbers: compared in one instruction, kept in three octets.

use protocol::answer::CivilDate;
use protocol::time::UnixSeconds;

const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const MARCH_OF_YEAR_0: i64 = 719_468;
/// Japan is nine hours ahead of UTC, without summer time.
const OFFSET_SECONDS: u64 = 9 * 3600;

/// A civil day in Japan: days since 1970-01-01, negative before it. Years 1 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(i32);

impl Day {
    /// The day of a Gregorian date; `None` for a day that does not exist.
    pub fn from_civil(year: u32, month: u32, day: u32) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if !(1..=9999).contains(&year) || !(1..=last).contains(&day) {
            return None;
        }
        // Counted from March, so that a leap day is the last of its year.
        let year = i64::from(year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let month_from_march = (i64::from(month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        i32::try_from(era * ERA_DAYS + day_of_era - MARCH_OF_YEAR_0).ok().map(Self)
    }

    /// The civil day in Japan of an instant: coverage begins and ends with it.
    pub fn of_instant(now: UnixSeconds) -> Self {
        let days = now.0.saturating_add(OFFSET_SECONDS) / 86_400;
        Self(i32::try_from(days).unwrap_or(i32::MAX).min(Self::LAST.0))
    }

    /// From the wire's form.
    pub fn from_date(date: &CivilDate) -> Self {
        let number = |range: std::ops::Range<usize>| {
            date.as_str().get(range).and_then(|digits| digits.parse().ok()).unwrap_or(0)
        };
        // A `CivilDate` exists; only its year 0 has no place here.
        Self::from_civil(number(0..4), number(5..7), number(8..10)).unwrap_or(Self::FIRST)
    }

    /// From days since 1970-01-01; `None` outside the years 1 to 9999.
    pub fn from_number(days: i64) -> Option<Self> {
        let day = i32::try_from(days).ok().map(Self)?;
        (Self::FIRST..=Self::LAST).contains(&day).then_some(day)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// This day moved by `days`; stops at the ends of the calendar.
    #[must_use]
    pub fn shifted(self, days: i32) -> Self {
        Self(self.0.saturating_add(days).clamp(Self::FIRST.0, Self::LAST.0))
    }

    /// In the wire's form.
    pub fn date(self) -> CivilDate {
        let days = i64::from(self.0) + MARCH_OF_YEAR_0;
        let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        // By hand: every answer has several, and formatting costs more than the calendar.
        let digit = |value: i64| u8::try_from(value % 10).unwrap_or(0) + b'0';
        let text = [
            digit(year / 1000),
            digit(year / 100),
            digit(year / 10),
            digit(year),
            b'-',
            digit(month / 10),
            digit(month),
            b'-',
            digit(day / 10),
            digit(day),
        ];
        std::str::from_utf8(&text).ok().and_then(CivilDate::parse).unwrap_or_else(CivilDate::epoch)
    }

    /// 0001-01-01.
    pub const FIRST: Self = Self(-719_162);
    /// 9999-12-31.
    pub const LAST: Self = Self(2_932_896);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_for_every_day_of_the_calendar() {
        assert_eq!(Day::from_civil(1, 1, 1), Some(Day::FIRST));
        assert_eq!(Day::from_civil(9999, 12, 31), Some(Day::LAST));
        assert_eq!(Day::from_civil(1970, 1, 1), Some(Day(0)));
        for number in (Day::FIRST.0..=Day::LAST.0).step_by(17).chain(-60_000..80_000) {
            let day = Day(number);
            assert_eq!(Day::from_date(&day.date()), day);
        }
    }

    #[test]
    fn days_that_do_not_exist_are_none() {
        for (year, month, day) in
            [(2026, 2, 29), (1900, 2, 29), (2026, 13, 1), (2026, 0, 1), (0, 1, 1), (2026, 4, 31)]
        {
            assert_eq!(Day::from_civil(year, month, day), None);
        }
        assert!(Day::from_civil(2000, 2, 29).is_some());
    }
}
