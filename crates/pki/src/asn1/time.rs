//! Dates of certificates and revocation lists: RFC 5280 §4.1.2.5.

use super::read::{Malformed, Tlv};
use super::tag;
use protocol::time::UnixSeconds;

/// An instant in a certificate or list: seconds from 1970, negative before it. RFC 5280 lets UTCTime
/// reach back to 1950, which [`UnixSeconds`] cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CertificateTime(pub i64);

impl CertificateTime {
    /// As an instant after 1970; anything before becomes 1970.
    pub fn saturating_unix(self) -> UnixSeconds {
        UnixSeconds(u64::try_from(self.0).unwrap_or(0))
    }

    /// `YYYY-MM-DDThh:mm:ssZ`.
    pub fn to_rfc3339(self) -> String {
        let (year, month, day) = civil_from_days(self.0.div_euclid(86_400));
        let of_day = self.0.rem_euclid(86_400);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            of_day / 3_600,
            of_day / 60 % 60,
            of_day % 60
        )
    }

    /// Reads UTCTime or GeneralizedTime in the only forms RFC 5280 §4.1.2.5.1 and §4.1.2.5.2 allow:
    /// with seconds, without fractions, ending in `Z`.
    pub fn read(tlv: &Tlv<'_>, what: &'static str) -> Result<Self, Malformed> {
        let fault = || tlv.malformed(what);
        let (year, rest) = match tlv.tag {
            tag::UTC_TIME => {
                let (digits, rest) = tlv.content.split_at_checked(2).ok_or_else(fault)?;
                let year = decimal(digits).ok_or_else(fault)?;
                (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
            }
            tag::GENERALIZED_TIME => {
                let (digits, rest) = tlv.content.split_at_checked(4).ok_or_else(fault)?;
                (decimal(digits).ok_or_else(fault)?, rest)
            }
            _ => return Err(fault()),
        };
        let [mo1, mo2, d1, d2, h1, h2, mi1, mi2, s1, s2, b'Z'] = rest else { return Err(fault()) };
        let pair = |tens: &u8, ones: &u8| decimal(&[*tens, *ones]).ok_or_else(fault);
        let (month, day) = (pair(mo1, mo2)?, pair(d1, d2)?);
        let (hour, minute, second) = (pair(h1, h2)?, pair(mi1, mi2)?, pair(s1, s2)?);
        if day == 0 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59 {
            return Err(fault());
        }
        Ok(Self(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second))
    }
}

/// GeneralizedTime of an OCSP response. RFC 6960 §4.2.2.1 wants the form of certificates; RFC 2560 did not, and
/// some responders still say fractions of seconds, which are cut off here. Others than a fraction that DER allows
/// (X.690 §11.7: no zero at its end) are refused.
pub(crate) fn read_response_time(tlv: &Tlv<'_>, what: &'static str) -> Result<CertificateTime, Malformed> {
    let fault = || tlv.malformed(what);
    if tlv.tag != tag::GENERALIZED_TIME {
        return Err(fault());
    }
    let Some(point) = tlv.content.iter().position(|octet| *octet == b'.') else {
        return CertificateTime::read(tlv, what);
    };
    let (whole, fraction) = tlv.content.split_at_checked(point).ok_or_else(fault)?;
    let [b'.', digits @ .., last, b'Z'] = fraction else { return Err(fault()) };
    if *last == b'0' || !digits.iter().chain([last]).all(u8::is_ascii_digit) {
        return Err(fault());
    }
    let whole = [whole, b"Z"].concat();
    CertificateTime::read(&Tlv { content: &whole, ..*tlv }, what).map_err(|_| fault())
}

impl From<UnixSeconds> for CertificateTime {
    fn from(time: UnixSeconds) -> Self {
        Self(i64::try_from(time.0).unwrap_or(i64::MAX))
    }
}

fn decimal(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// Days in `month` (1 to 12) of `year` in the Gregorian calendar; 0 for a month that does not exist.
pub const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        _ => 0,
    }
}

/// Days from 1970-01-01 to a Gregorian date. Years are counted from March, so that a leap day ends one.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let months_from_march = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719 468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + (153 * months_from_march + 2) / 5 + day - 1 - 719_468
}

/// Year, month, day of a day counted from 1970-01-01.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * months_from_march + 2) / 5 + 1;
    let month = (months_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// `YYYYMMDDhhmmss` of an instant, in UTC.
pub fn digits_of(time: UnixSeconds) -> String {
    // 9999-12-31T23:59:59Z is the last instant that certificates can say (RFC 5280 §4.1.2.5).
    let seconds = i64::try_from(time.0).unwrap_or(i64::MAX).min(253_402_300_799);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let mut digits = String::with_capacity(16);
    push_pair(&mut digits, year / 100);
    // By hand: the formatting machinery costs as much as the rest of an OCSP answer's encoding.
    for pair in [year % 100, month, day, of_day / 3_600, of_day / 60 % 60, of_day % 60] {
        push_pair(&mut digits, pair);
    }
    digits
}

/// Two decimal digits of a number from 0 to 99.
fn push_pair(digits: &mut String, number: i64) {
    for digit in [number / 10, number % 10] {
        digits.push(u8::try_from(digit).ok().map_or('0', |digit| char::from(b'0' + digit)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::Reader;
    use super::*;

    fn read(tag: u8, text: &str) -> Result<i64, Malformed> {
        let mut raw = vec![tag, u8::try_from(text.len()).unwrap()];
        raw.extend_from_slice(text.as_bytes());
        CertificateTime::read(&Reader::new(&raw).any("time").unwrap(), "time").map(|time| time.0)
    }

    #[test]
    fn known_instants() {
        assert_eq!(read(tag::UTC_TIME, "700101000000Z").unwrap(), 0);
        assert_eq!(read(tag::UTC_TIME, "500101120100Z").unwrap(), -631_108_740);
        assert_eq!(read(tag::UTC_TIME, "251122010203Z").unwrap(), 1_763_773_323);
        assert_eq!(read(tag::GENERALIZED_TIME, "20500101120100Z").unwrap(), 2_524_651_260);
        assert_eq!(read(tag::GENERALIZED_TIME, "99991231235959Z").unwrap(), 253_402_300_799);
        assert_eq!(read(tag::UTC_TIME, "240229000000Z").unwrap(), 1_709_164_800);
        assert_eq!(CertificateTime(-631_108_740).to_rfc3339(), "1950-01-01T12:01:00Z");
        assert_eq!(CertificateTime(1_763_773_323).to_rfc3339(), "2025-11-22T01:02:03Z");
    }

    #[test]
    fn odd_forms_are_refused() {
        for bad in [
            "2511220102Z",
            "251122010203+0900",
            "251322010203Z",
            "250229000000Z",
            "251100000000Z",
            "251122240000Z",
            "251122006000Z",
            "251122000060Z",
            "25112200000AZ",
            "",
        ] {
            assert!(read(tag::UTC_TIME, bad).is_err(), "{bad}");
        }
        assert!(read(tag::GENERALIZED_TIME, "20251122010203.5Z").is_err());
        assert!(read(tag::PRINTABLE, "251122010203Z").is_err());
    }

    #[test]
    fn responses_may_say_fractions_of_a_second() {
        let read = |text: &str| {
            let mut raw = vec![tag::GENERALIZED_TIME, u8::try_from(text.len()).unwrap()];
            raw.extend_from_slice(text.as_bytes());
            read_response_time(&Reader::new(&raw).any("time").unwrap(), "time").map(|time| time.0)
        };
        for good in ["20251122010203Z", "20251122010203.5Z", "20251122010203.123456Z"] {
            assert_eq!(read(good), Ok(1_763_773_323), "{good}");
        }
        for bad in
            ["20251122010203.Z", "20251122010203.50Z", "20251122010203.5", "202511220102.5Z", ".5Z", "."]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn civil_dates_round_trip_over_every_day_of_eight_centuries() {
        for days in -200_000..100_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!(day >= 1 && day <= days_in_month(year, month));
        }
        assert_eq!(digits_of(UnixSeconds(1_763_773_323)), "20251122010203");
    }
}
