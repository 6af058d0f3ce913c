//! Loads that are cut short at any point, files that are cut at any octet, files in any order, nonsense.

use crate::feed::{HEADER, Line, Town, file, line, usual, with_trailer};
use crate::fixture::NOW;
use eligibility::feed::load::{Order, load};
use eligibility::feed::rejects::FirstRejects;
use eligibility::feed::{FeedError, Outcome};
use eligibility::history::{AsOf, Day};
use eligibility::store::feed::FeedMode;
use protocol::entropy::Seeded;
use std::io::{Cursor, Read, Seek, SeekFrom};

/// A file that can be read once, for its digest, and breaks at an octet when it is read again.
pub(crate) struct BreaksAt<'a> {
    inner: Cursor<&'a [u8]>,
    at: u64,
    rewinds: u32,
}

impl<'a> BreaksAt<'a> {
    pub(crate) fn new(octets: &'a [u8], at: u64) -> Self {
        Self { inner: Cursor::new(octets), at, rewinds: 0 }
    }
}

impl Read for BreaksAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rewinds < 2 {
            return self.inner.read(buffer);
        }
        let left = self.at.saturating_sub(self.inner.position());
        if left == 0 {
            return Err(std::io::Error::other("the disk is gone"));
        }
        let room = buffer.len().min(usize::try_from(left).unwrap());
        self.inner.read(&mut buffer[..room])
    }
}

impl Seek for BreaksAt<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.rewinds += 1;
        self.inner.seek(to)
    }
}

fn today() -> AsOf {
    AsOf::visit(Day::of_instant(NOW))
}

fn shares(town: &Town, people: u32) -> Vec<Option<u8>> {
    (0..people).map(|number| town.share(number, today())).collect()
}

/// Rows with everything in them: new, changed, ended, repeated, contradicting, rejected, held.
fn eventful(seed: u64, people: u32) -> Vec<Line> {
    let mut stream = Seeded::new(seed);
    let mut lines = Vec::new();
    for number in 0..people {
        let mut line = Line { serial: !stream.next_u64().is_multiple_of(3), ..line(number) };
        match stream.next_u64() % 8 {
            0 => line.share = "020",
            1 => line.to = "20260101",
            2 => line.from = "20240230",
            3 => line.birth = "19850402",
            4 => lines.push(line.clone()),
            5 => lines.push(Line { share: "010", ..line.clone() }),
            _ => {}
        }
        lines.push(line);
    }
    lines
}

#[test]
fn a_load_cut_short_anywhere_shows_nothing_and_ends_the_same() {
    const PEOPLE: u32 = 12;
    for seed in 1..=6u64 {
        let base = file(&(0..PEOPLE).step_by(2).map(line).collect::<Vec<_>>());
        let text = file(&eventful(seed, PEOPLE));
        let order = Order { reject_percent_max: 100, ..usual() };
        let whole = Town::new();
        whole.load(&base);
        let expected = whole.try_load(text.as_bytes(), &order).0.unwrap();
        let expected_dump = whole.dump();
        let mut stream = Seeded::new(seed * 7919);
        for _ in 0..6 {
            let town = Town::new();
            town.load(&base);
            let before = shares(&town, PEOPLE);
            // Cut short up to three times, each further on or not.
            for _ in 0..=stream.next_u64() % 3 {
                let at = stream.next_u64() % text.len() as u64;
                let mut broken = BreaksAt::new(text.as_bytes(), at);
                let failed =
                    load(&town.store, &mut broken, &order, &mut FirstRejects::default(), &mut |_| {});
                assert!(matches!(failed, Err(FeedError::Input(_))), "seed {seed}");
                assert_eq!(shares(&town, PEOPLE), before, "seed {seed}, cut at {at}");
            }
            let report = town.try_load(text.as_bytes(), &order).0.unwrap();
            assert_eq!(report.counts, expected.counts, "seed {seed}");
            assert_eq!(shares(&town, PEOPLE), shares(&whole, PEOPLE), "seed {seed}");
            assert_eq!(town.dump(), expected_dump, "seed {seed}");
        }
    }
}

#[test]
fn a_file_cut_at_any_octet_is_refused_or_whole_rows() {
    let text = with_trailer(&file(&[line(1), line(2), line(3)]));
    let full = Order { mode: FeedMode::Full, ..usual() };
    for end in (0..text.len() - 1).rev().step_by(13) {
        let octets = &text.as_bytes()[..end];
        let town = Town::new();
        // A full file is whole or nothing.
        town.try_load(octets, &full).0.unwrap_err();
        assert_eq!(shares(&town, 4), [None; 4], "cut at {end}");
        let town = Town::new();
        let (report, _) = town.try_load(octets, &usual());
        match report {
            Ok(report) => assert_eq!(report.outcome, Outcome::Loaded),
            Err(_) => assert_eq!(shares(&town, 4), [None; 4], "cut at {end}"),
        }
    }
}

#[test]
fn files_of_a_month_in_any_order_answer_the_same() {
    const PEOPLE: u32 = 5;
    for seed in 1..=5u64 {
        let mut stream = Seeded::new(seed);
        let mut pick = |choices: u64| stream.next_u64() % choices;
        // Days of files of two insurers; each row says when it was stated.
        let mut files: Vec<String> = Vec::new();
        for day in 1..=21 {
            let insurer = if pick(2) == 0 { "06990013" } else { "990010" };
            let mut text = HEADER.to_owned();
            for number in 0..PEOPLE {
                if pick(2) == 0 {
                    continue;
                }
                let to = if pick(4) == 0 { "20261110" } else { "" };
                let share = ["010", "020", "030"][usize::try_from(pick(3)).unwrap()];
                let from = if insurer == "990010" { "20261101" } else { "20240401" };
                let stated = format!("{share},202611{day:02},");
                let row = Line { insurer, to, share, from, ..line(number) }.text();
                text += &row.replace(&format!("{share},,"), &stated);
            }
            if text.len() > HEADER.len() {
                files.push(text);
            }
        }
        let answers = |files: &[String]| {
            let town = Town::new();
            for text in files {
                town.load(text);
            }
            (1..=30u32)
                .flat_map(|day| {
                    let as_of = AsOf::visit(Day::from_civil(2026, 11, day).unwrap());
                    (0..PEOPLE)
                        .map(|number| {
                            let mut shares: Vec<(String, u8)> = town
                                .look(number, as_of)
                                .map(|holdings| holdings.rows)
                                .unwrap_or_default()
                                .into_iter()
                                .filter(|row| {
                                    let coverage = &row.coverage;
                                    let visit = as_of.visit.date();
                                    coverage.valid_from <= visit
                                        && coverage.valid_to.as_ref().is_none_or(|to| visit <= *to)
                                })
                                .map(|row| {
                                    (
                                        row.coverage.insurer_number.as_str().to_owned(),
                                        row.coverage.copay_percent,
                                    )
                                })
                                .collect();
                            shares.sort();
                            shares
                        })
                        .collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
        };
        let expected = answers(&files);
        files.reverse();
        assert_eq!(answers(&files), expected, "seed {seed}, backwards");
        for _ in 0..3 {
            for place in (1..files.len()).rev() {
                let other = usize::try_from(stream.next_u64()).unwrap_or(0) % (place + 1);
                files.swap(place, other);
            }
            assert_eq!(answers(&files), expected, "seed {seed}");
        }
    }
}

#[test]
fn nonsense_is_refused_or_counted_and_never_more() {
    let good = file(&(0..6).map(line).collect::<Vec<_>>());
    let mut stream = Seeded::new(42);
    for _ in 0..60 {
        let town = Town::new();
        let mut octets = good.clone().into_bytes();
        for _ in 0..=stream.next_u64() % 6 {
            let place = usize::try_from(stream.next_u64()).unwrap_or(0) % octets.len();
            match stream.next_u64() % 4 {
                0 => octets[place] = u8::try_from(stream.next_u64() % 256).unwrap(),
                1 => octets.truncate(place.max(1)),
                2 => {
                    octets.insert(place, b",\"\n\r\x00\xff"[usize::try_from(stream.next_u64() % 6).unwrap()])
                }
                _ => drop(octets.drain(..place / 2)),
            }
            if octets.is_empty() {
                octets.push(b'x');
            }
        }
        let order = Order { reject_percent_max: 100, ..usual() };
        if town.try_load(&octets, &order).0.is_err() {
            assert_eq!(shares(&town, 6), [None; 6]);
        }
    }
}
