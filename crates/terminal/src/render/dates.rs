//! Dates in words, in both calendars: people know their birth year in the Japanese one.

use protocol::answer::{Bilingual, CivilDate};

/// First days of the eras, latest first (Era Name Act and its predecessors).
const ERAS: [(&str, &str); 5] = [
    ("2019-05-01", "令和"),
    ("1989-01-08", "平成"),
    ("1926-12-25", "昭和"),
    ("1912-07-30", "大正"),
    ("1868-01-25", "明治"),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `平成2年4月1日 (1990年)` / `1 April 1990`.
pub fn date_in_words(date: &CivilDate) -> Bilingual {
    let mut parts = date.as_str().split('-').filter_map(|part| part.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else {
        return Bilingual::new(date.as_str(), date.as_str());
    };
    let era = ERAS.iter().find_map(|(first_day, name)| {
        let first_year: u32 = first_day.split('-').next()?.parse().ok()?;
        (date.as_str() >= *first_day).then(|| match year - first_year + 1 {
            1 => format!("{name}元年"),
            count => format!("{name}{count}年"),
        })
    });
    let ja = match era {
        Some(era) => format!("{era}{month}月{day}日 ({year}年)"),
        None => format!("{year}年{month}月{day}日"),
    };
    let name = usize::try_from(month).ok().and_then(|m| MONTHS.get(m.checked_sub(1)?)).copied();
    Bilingual::new(ja, format!("{day} {} {year}", name.unwrap_or_default()))
}

/// Japan Standard Time; it has no summer time.
const JST: jiff::tz::Offset = jiff::tz::Offset::constant(9);

/// An RFC 3339 instant as a patient in Japan says it: `令和8年11月21日 (2026年) 3:00` / `21 November 2026,
/// 3:00`. A text that is none is shown as it is.
pub fn moment_in_words(rfc3339: &str) -> Bilingual {
    let asis = || Bilingual::new(rfc3339, rfc3339);
    let Ok(instant) = rfc3339.parse::<jiff::Timestamp>() else { return asis() };
    let local = JST.to_datetime(instant);
    let Some(date) = CivilDate::parse(&local.date().to_string()) else { return asis() };
    let time = format!("{}:{:02}", local.hour(), local.minute());
    let Bilingual { ja, en } = date_in_words(&date);
    Bilingual::new(format!("{ja} {time}"), format!("{en}, {time}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_change_on_their_day() {
        for (date, ja, en) in [
            ("2026-11-22", "令和8年11月22日 (2026年)", "22 November 2026"),
            ("2019-05-01", "令和元年5月1日 (2019年)", "1 May 2019"),
            ("2019-04-30", "平成31年4月30日 (2019年)", "30 April 2019"),
            ("1989-01-07", "昭和64年1月7日 (1989年)", "7 January 1989"),
            ("1926-12-24", "大正15年12月24日 (1926年)", "24 December 1926"),
            ("1912-07-29", "明治45年7月29日 (1912年)", "29 July 1912"),
            ("1850-01-01", "1850年1月1日", "1 January 1850"),
        ] {
            let words = date_in_words(&CivilDate::parse(date).unwrap());
            assert_eq!((words.ja.as_str(), words.en.as_str()), (ja, en));
        }
    }

    #[test]
    fn moments_are_told_in_japanese_time() {
        let words = moment_in_words("2026-11-20T18:05:09Z");
        assert_eq!(words.ja, "令和8年11月21日 (2026年) 3:05");
        assert_eq!(words.en, "21 November 2026, 3:05");
        assert_eq!(moment_in_words("2026-11-21T03:05:09+09:00"), words);
        assert_eq!(moment_in_words("yesterday").en, "yesterday");
    }
}
