//! Dates of card-verifiable certificates: six octets, one decimal digit each, YYMMDD in GMT.

use protocol::time::UnixSeconds;
use std::fmt;

const SECONDS_PER_DAY: u64 = 86_400;
/// 2000-01-01T00:00:00Z.
const CENTURY_BEGINS: u64 = 946_684_800;

/// A day between 2000-01-01 and 2099-12-31, TR-03110-3 appendix D. Ordered as days are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CvcDate {
    year: u8,
    month: u8,
    day: u8,
}

const fn days_of(year: u8, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        // From 2000 to 2099 every fourth year is a leap year: 2000 is one, 2100 is not in here.
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        _ => 0,
    }
}

impl CvcDate {
    /// The last day that can be written.
    pub const LAST: Self = Self { year: 99, month: 12, day: 31 };

    /// A day by year (0 to 99 for 2000 to 2099), month and day. `None` where the calendar has none such.
    pub const fn new(year: u8, month: u8, day: u8) -> Option<Self> {
        if year > 99 || day == 0 || day > days_of(year, month) {
            return None;
        }
        Some(Self { year, month, day })
    }

    /// The day in GMT on which this instant falls. `None` before 2000 and after 2099.
    pub fn at(instant: UnixSeconds) -> Option<Self> {
        let mut days = instant.0.checked_sub(CENTURY_BEGINS)? / SECONDS_PER_DAY;
        let mut year = 0u8;
        loop {
            let length = if year.is_multiple_of(4) { 366 } else { 365 };
            if days < length {
                break;
            }
            days -= length;
            year = year.checked_add(1).filter(|year| *year <= 99)?;
        }
        let mut month = 1u8;
        while days >= u64::from(days_of(year, month)) {
            days -= u64::from(days_of(year, month));
            month += 1;
        }
        Self::new(year, month, u8::try_from(days).ok()? + 1)
    }

    /// Parses six octets of one digit each; `None` where they are no day.
    pub const fn parse(octets: &[u8]) -> Option<Self> {
        let &[y1, y2, m1, m2, d1, d2] = octets else {
            return None;
        };
        if y1 > 9 || y2 > 9 || m1 > 9 || m2 > 9 || d1 > 9 || d2 > 9 {
            return None;
        }
        Self::new(y1 * 10 + y2, m1 * 10 + m2, d1 * 10 + d2)
    }

    /// The six octets.
    pub const fn encode(self) -> [u8; 6] {
        let Self { year, month, day } = self;
        [year / 10, year % 10, month / 10, month % 10, day / 10, day % 10]
    }

    /// Days since 2000-01-01.
    pub fn days(self) -> u32 {
        let years: u32 = (0..self.year).map(|year| if year.is_multiple_of(4) { 366 } else { 365 }).sum();
        let months: u32 = (1..self.month).map(|month| u32::from(days_of(self.year, month))).sum();
        years + months + u32::from(self.day) - 1
    }

    /// The day this many days later; stops at [`Self::LAST`].
    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        let total = u64::from(self.days()) + u64::from(days);
        Self::at(UnixSeconds(CENTURY_BEGINS + total * SECONDS_PER_DAY)).unwrap_or(Self::LAST)
    }
}

impl fmt::Display for CvcDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "20{:02}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for CvcDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CvcDate({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_the_century_comes_and_goes() {
        let mut last = None;
        for day in 0..36_525u64 {
            let date = CvcDate::at(UnixSeconds(CENTURY_BEGINS + day * SECONDS_PER_DAY + 5)).unwrap();
            assert!(last.is_none_or(|last| last < date), "{date}");
            assert_eq!(u64::from(date.days()), day);
            assert_eq!(CvcDate::parse(&date.encode()), Some(date));
            last = Some(date);
        }
        assert_eq!(last, Some(CvcDate::LAST));
        assert_eq!(CvcDate::at(UnixSeconds(CENTURY_BEGINS - 1)), None);
        assert_eq!(CvcDate::at(UnixSeconds(CENTURY_BEGINS + 36_525 * SECONDS_PER_DAY)), None);
    }

    #[test]
    fn known_days() {
        // 1,800,000,000 is 2027-01-15T08:00:00Z.
        let date = CvcDate::at(UnixSeconds(1_800_000_000)).unwrap();
        assert_eq!(date.to_string(), "2027-01-15");
        assert_eq!(date.encode(), [2, 7, 0, 1, 1, 5]);
        assert_eq!(date.plus_days(17).to_string(), "2027-02-01");
        assert_eq!(CvcDate::new(28, 2, 28).unwrap().plus_days(1), CvcDate::new(28, 2, 29).unwrap());
        assert_eq!(CvcDate::LAST.plus_days(1), CvcDate::LAST);
    }

    #[test]
    fn days_that_do_not_exist() {
        for octets in [
            &[2, 7, 0, 2, 2, 9][..],
            &[2, 7, 1, 3, 0, 1],
            &[2, 7, 0, 0, 0, 1],
            &[2, 7, 0, 1, 0, 0],
            &[2, 7, 0, 1, 3, 2],
            &[2, 10, 0, 1, 0, 1],
            &[2, 7, 0, 1, 1],
            &[2, 7, 0, 1, 1, 5, 0],
        ] {
            assert_eq!(CvcDate::parse(octets), None, "{octets:?}");
        }
    }
}
