//! Insurers' files against a real store: what is counted, what is answered, what is refused.

use crate::fixture::*;
use eligibility::feed::load::{OnMissing, Order, Purpose, load};
use eligibility::feed::rejects::{FirstRejects, RejectReason};
use eligibility::feed::{FeedError, Outcome, Report, Warning};
use eligibility::history::{AsOf, Day, InForce, Known};
use eligibility::store::feed::{Counts, FeedMode, FeedStore as _, HeldReason, OnUnfinished, Settlement};
use eligibility::store::sqlite::SqliteStore;
use eligibility::store::{Holdings, Link, Lookup, Store as _};
use protocol::ids::AuthCertSerial;
use std::io::Cursor;

pub(crate) const HEADER: &str = "保険者番号,記号,番号,枝番,氏名,氏名カナ,生年月日,性別,本人家族区分,資格取得年月日,資格終了年月日,負担割合,更新年月日,電子証明書シリアル番号,紐づけ確認\n";
pub(crate) const SOCIETY: &str = "06990013";
const MUNICIPALITY: &str = "990010";

/// A row of a person with a number of their own.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) insurer: &'static str,
    pub(crate) number: u32,
    pub(crate) birth: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) share: &'static str,
    pub(crate) stated: &'static str,
    pub(crate) serial: bool,
}

pub(crate) const fn line(number: u32) -> Line {
    Line {
        insurer: SOCIETY,
        number,
        birth: "19850401",
        from: "20240401",
        to: "",
        share: "030",
        stated: "",
        serial: true,
    }
}

impl Line {
    pub(crate) fn text(&self) -> String {
        let Self { insurer, number, birth, from, to, share, stated, serial } = self;
        let serial = if *serial { format!("{:04x}", number + 1) } else { String::new() };
        format!(
            "{insurer},見本,{number:07},00,見本　人{number},ミホン　ヒト{number},{birth},2,1,{from},{to},{share},{stated},{serial},\n"
        )
    }
}

pub(crate) fn file(lines: &[Line]) -> String {
    HEADER.to_owned() + &lines.iter().map(Line::text).collect::<String>()
}

pub(crate) fn with_trailer(text: &str) -> String {
    format!("{text}終端,{}\n", text.lines().count() - 1)
}

pub(crate) fn usual() -> Order {
    Order { batch_rows: 3, ..Order::usual(NOW) }
}

pub(crate) struct Town {
    pub(crate) folder: Folder,
    pub(crate) store: SqliteStore,
}

impl Town {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let store = SqliteStore::open(&folder.0.join("store.sqlite")).unwrap();
        Self { folder, store }
    }

    pub(crate) fn try_load(&self, octets: &[u8], order: &Order) -> (Result<Report, FeedError>, FirstRejects) {
        let mut rejects = FirstRejects::default();
        let report = load(&self.store, &mut Cursor::new(octets), order, &mut rejects, &mut |_| {});
        if let Ok(report) = &report {
            assert!(report.counts.reconcile(), "{:?}", report.counts);
        }
        (report, rejects)
    }

    pub(crate) fn load(&self, text: &str) -> Report {
        self.try_load(text.as_bytes(), &usual()).0.unwrap()
    }

    pub(crate) fn look(&self, number: u32, as_of: AsOf) -> Option<Holdings> {
        let serial = AuthCertSerial::parse(&(number + 1).to_be_bytes()).unwrap();
        match self.store.lookup_by_serials(&[serial], &as_of).unwrap().pop().unwrap() {
            Lookup::Linked(holdings) => Some(holdings),
            Lookup::NotLinked { .. } => None,
        }
    }

    pub(crate) fn share(&self, number: u32, as_of: AsOf) -> Option<u8> {
        match self.look(number, as_of)?.in_force {
            InForce::One(coverage) => Some(coverage.copay_percent),
            InForce::Nothing | InForce::Conflict(_) => None,
        }
    }

    /// Everything that records hold, in order.
    pub(crate) fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let connection = rusqlite::Connection::open(self.folder.0.join("store.sqlite")).unwrap();
        let read = |sql: &str| -> Vec<(Vec<u8>, Vec<u8>)> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let mut all = read("SELECT member_key, record FROM member ORDER BY 1");
        all.extend(read("SELECT CAST(person_key AS BLOB), record FROM person ORDER BY 1"));
        all.extend(read("SELECT serial, CAST(person_key || ' ' || since AS BLOB) FROM card_link ORDER BY 1"));
        all.extend(read("SELECT CAST(load || ' ' || row AS BLOB), record FROM held_row ORDER BY 1"));
        all
    }
}

pub(crate) fn today() -> AsOf {
    AsOf::visit(Day::of_instant(NOW))
}

fn on(year: u32, month: u32, day: u32) -> AsOf {
    AsOf::visit(Day::from_civil(year, month, day).unwrap())
}

#[test]
fn new_changed_ended_and_withdrawn_are_counted_and_answered() {
    let town = Town::new();
    let first = town.load(&file(&[line(1), line(2), line(3), line(4)]));
    assert_eq!(first.counts, Counts { rows: 4, added: 4, ..Counts::default() });
    assert_eq!((first.outcome, first.encoding), (Outcome::Loaded, "UTF-8"));
    assert_eq!(town.share(1, today()), Some(30));
    let second = town.load(&file(&[
        line(1),
        Line { share: "020", ..line(2) },
        Line { to: "20260930", ..line(3) },
        line(5),
    ]));
    let expected = Counts { rows: 4, unchanged: 1, changed: 1, ended: 1, added: 1, ..Counts::default() };
    assert_eq!(second.counts, expected);
    assert_eq!((town.share(2, today()), town.share(3, today())), (Some(20), None));
    assert_eq!(town.share(3, on(2026, 9, 30)), Some(30));
    // As we knew it then: after the first load only.
    let then = AsOf { known: Known::Through(1), ..today() };
    assert_eq!((town.share(2, then), town.share(3, then)), (Some(30), Some(30)));
    assert!(town.look(5, then).is_none() && town.look(5, today()).is_some());
    let withdrawn =
        HEADER.replace("紐づけ確認", "紐づけ確認,異動区分") + &line(4).text().replace('\n', ",9\n");
    assert_eq!(town.load(&withdrawn).counts, Counts { rows: 1, withdrawn: 1, ..Counts::default() });
    assert_eq!(town.look(4, today()).unwrap().rows, []);
}

#[test]
fn the_same_again_is_nothing_by_content_and_by_row() {
    let town = Town::new();
    let text = file(&[line(1), line(2), Line { serial: false, ..line(3) }]);
    let first = town.load(&text);
    let before = town.dump();
    let again = town.load(&text);
    assert_eq!((again.outcome, again.load, again.counts), (Outcome::AlreadyLoaded, first.load, first.counts));
    // Another content with the same rows: the digest differs, the rows do not.
    let spaced = town.load(&text.replace('\n', "\r\n"));
    assert_eq!(spaced.counts, Counts { rows: 3, unchanged: 3, ..Counts::default() });
    assert_eq!(town.dump(), before);
    // Since something else was loaded, the first file is looked at again.
    assert_eq!(town.load(&text).counts.unchanged, 3);
    assert_eq!(town.dump(), before);
}

#[test]
fn every_encoding_says_the_same() {
    let text = file(&[line(1), line(2)]);
    let (shift_jis, _, lossy) = encoding_rs::SHIFT_JIS.encode(&text);
    assert!(!lossy);
    let with_mark = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let english = "insurer_number,symbol,number,branch,name,name_kana,birth_date,sex,relation,valid_from,valid_to,copay_percent,stated_on,card_serial,link_confirmed\n";
    let english = text.replace(HEADER, english);
    let (english, ..) = encoding_rs::SHIFT_JIS.encode(&english);
    for (octets, encoding) in
        [(&shift_jis[..], "Shift_JIS"), (&with_mark[..], "UTF-8"), (&english[..], "Shift_JIS")]
    {
        let town = Town::new();
        let report = town.try_load(octets, &usual()).0.unwrap();
        assert_eq!((report.encoding, report.counts.added), (encoding, 2));
        assert_eq!(town.look(1, today()).unwrap().person.name, "見本　人1");
    }
}

#[test]
fn a_row_in_another_encoding_is_rejected_and_named() {
    let town = Town::new();
    let (row, ..) = encoding_rs::SHIFT_JIS
        .encode("06990013,見本,0000009,00,見本　人,ミホン,19850401,2,1,20240401,,030,,,\n");
    let octets = [file(&[line(1)]).as_bytes(), &row[..], line(2).text().as_bytes()].concat();
    let (report, rejects) = town.try_load(&octets, &usual());
    assert_eq!(report.unwrap().counts, Counts { rows: 3, added: 2, rejected: 1, ..Counts::default() });
    assert_eq!((rejects.0[0].row, rejects.0[0].reason), (3, RejectReason::Encoding));
}

#[test]
fn a_rehearsal_counts_as_the_load_does_and_writes_nothing() {
    let town = Town::new();
    town.load(&file(&[line(1), line(2), line(3)]));
    let before = town.dump();
    let text = file(&[
        line(1),
        Line { share: "010", ..line(2) },
        Line { to: "20261031", ..line(3) },
        Line { share: "020", ..line(2) },
        line(7),
        line(7),
        line(8),
        Line { share: "020", ..line(8) },
        Line { insurer: MUNICIPALITY, ..line(9) },
    ]);
    let rehearsed = town.try_load(text.as_bytes(), &Order { purpose: Purpose::Rehearse, ..usual() });
    let report = rehearsed.0.unwrap();
    assert_eq!((report.outcome, report.load), (Outcome::Rehearsed, None));
    assert_eq!(town.dump(), before);
    let (loaded, rejects) = town.try_load(text.as_bytes(), &usual());
    assert_eq!(loaded.unwrap().counts, report.counts);
    assert_eq!(rejects.0.len(), rehearsed.1.0.len());
    let expected =
        Counts { rows: 9, added: 2, changed: 1, ended: 1, unchanged: 2, rejected: 3, ..Counts::default() };
    assert_eq!(report.counts, expected);
    let mut contradictions: Vec<_> = rehearsed
        .1
        .0
        .iter()
        .filter(|reject| reject.reason == RejectReason::Contradicts)
        .map(|reject| (reject.row, reject.other_row))
        .collect();
    contradictions.sort_unstable();
    assert_eq!(contradictions, [(5, Some(3)), (9, Some(8))]);
}

#[test]
fn nobody_ends_another_insurers_members() {
    let town = Town::new();
    town.load(&file(&[Line { insurer: MUNICIPALITY, ..line(1) }]));
    let hostile = file(&[line(2), Line { insurer: MUNICIPALITY, to: "20240401", ..line(1) }]);
    let (report, rejects) = town.try_load(hostile.as_bytes(), &usual());
    assert_eq!(report.unwrap().counts.rejected, 1);
    assert_eq!(rejects.0[0].reason, RejectReason::OtherInsurer);
    assert_eq!(rejects.0[0].value.as_deref(), Some(MUNICIPALITY));
    // The same numbers under its own insurer number are another member.
    town.load(&file(&[Line { to: "20240401", serial: false, ..line(1) }]));
    assert_eq!(town.share(1, today()), Some(30));
}

#[test]
fn a_row_about_somebody_else_is_held_until_somebody_looks() {
    let town = Town::new();
    town.load(&file(&[line(1), line(2)]));
    let other = |birth| file(&[Line { insurer: MUNICIPALITY, birth, from: "20250401", ..line(1) }]);
    let report = town.load(&other("19850402"));
    assert_eq!(report.counts, Counts { rows: 1, held: 1, ..Counts::default() });
    assert_eq!(town.share(1, today()), Some(30));
    let held = town.store.held_rows(0).unwrap();
    assert_eq!((held.len(), held[0].reason, held[0].row), (1, HeldReason::BirthDateDiffers, 2));
    assert!(town.store.held_rows(held[0].number).unwrap().is_empty());
    assert!(town.store.settle_held(held[0].number, Settlement::Release, NOW).unwrap().is_some());
    assert!(
        matches!(town.look(1, today()).unwrap().in_force, InForce::Conflict(conflict) if conflict.claims.len() == 2)
    );
    assert!(town.store.held_rows(0).unwrap().is_empty());
    assert_eq!(town.store.settle_held(held[0].number, Settlement::Release, NOW).unwrap(), None);
    // A name may change with its own insurer; the sex of a card's holder may not.
    let renamed = file(&[line(2)]).replace("見本　人2", "別　人2");
    assert_eq!(town.load(&renamed).counts.changed, 1);
    let other_sex = file(&[line(2)]).replace(",19850401,2,", ",19850401,1,");
    assert_eq!(town.load(&other_sex).counts.held, 1);
    let held = town.store.held_rows(0).unwrap();
    assert_eq!(held[0].reason, HeldReason::SexDiffers);
    town.store.settle_held(held[0].number, Settlement::Discard, NOW).unwrap();
    assert!(town.store.held_rows(0).unwrap().is_empty());
    // A card of somebody else's.
    let stolen = file(&[line(1), line(2)]).replace(",0002,", ",0003,");
    let report = town.load(&stolen);
    assert_eq!(report.counts.held, 1);
    assert_eq!(town.store.held_rows(0).unwrap()[0].reason, HeldReason::PersonDiffers);
}

#[test]
fn a_full_file_ends_who_is_missing_only_when_told_and_never_too_many() {
    let town = Town::new();
    let everybody: Vec<Line> = (1..=40).map(line).collect();
    town.load(&file(&everybody));
    let full = Order { mode: FeedMode::Full, ..usual() };
    let last_day = Day::from_civil(2026, 11, 21).unwrap();
    let ending = Order { on_missing: OnMissing::EndAfter(last_day), ..full.clone() };
    let most = with_trailer(&file(&everybody[..39]));
    let report = town.try_load(most.as_bytes(), &full).0.unwrap();
    assert_eq!((report.missing.unwrap().missing_members, report.counts.missing_ended), (1, 0));
    assert_eq!(town.share(40, today()), Some(30));
    let half = with_trailer(&file(&everybody[..20]));
    let before = town.dump();
    let refused = town.try_load(half.as_bytes(), &ending).0.unwrap_err();
    assert!(matches!(refused, FeedError::TooManyMissing { missing: 20, open: 40, percent: 5 }), "{refused}");
    assert!(matches!(
        town.try_load(file(&everybody).as_bytes(), &ending).0,
        Err(FeedError::FullWithoutTrailer)
    ));
    let spoilt = with_trailer(&file(&everybody[..39]).replace(",0000003,00,", ",0000003,x,"));
    assert!(matches!(
        town.try_load(spoilt.as_bytes(), &ending).0,
        Err(FeedError::RejectedInFull { rejected: 1 })
    ));
    for (number, line) in (1..=40).zip(&everybody) {
        assert_eq!(town.share(number, today()), Some(30), "{}", line.number);
    }
    assert_eq!(town.dump(), before);
    let report = town.try_load(most.as_bytes(), &ending).0.unwrap();
    assert_eq!(report.counts.missing_ended, 1);
    assert_eq!((town.share(40, today()), town.share(39, today())), (None, Some(30)));
    assert!(town.share(40, on(2026, 11, 21)).is_some());
    let allowed = Order { end_percent_max: 60, ..ending };
    assert_eq!(town.try_load(half.as_bytes(), &allowed).0.unwrap().counts.missing_ended, 19);
}

#[test]
fn files_that_are_something_else_are_refused_whole() {
    let town = Town::new();
    let good = file(&[line(1)]);
    for (octets, word) in [
        (&b"PK\x03\x04rest"[..], "ZIP"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]>", "XML"),
        (b"\xff\xfeh\x00", "UTF-16"),
        (b"", "line 1"),
        (b"a,b,c\n1,2,3\n", "line 1"),
        (good.replace("負担割合", "負担").as_bytes(), "負担"),
        (HEADER.as_bytes(), "insurer"),
        (format!("{good}06990013,見本,00").as_bytes(), "line 3"),
        (format!("{good}終端,2\n").as_bytes(), "trailer says 2"),
        (format!("{}終端,1\n{}", good, line(2).text()).as_bytes(), "behind"),
        (format!("{good}\"open").as_bytes(), "line 3"),
    ] {
        let error = town.try_load(octets, &usual()).0.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(!error.to_problem().detail.is_empty());
        assert!(town.look(1, today()).is_none(), "{error}");
    }
    assert_eq!(town.load(&good).counts.added, 1);
}

#[test]
fn too_many_rejects_are_another_kind_of_file() {
    let town = Town::new();
    let bad: Vec<Line> = (1..40).map(|number| Line { from: "20240231", ..line(number) }).collect();
    let text = file(&[line(0)]) + &file(&bad)[HEADER.len()..];
    let error = town.try_load(text.as_bytes(), &usual()).0.unwrap_err();
    assert!(matches!(error, FeedError::TooManyRejected { rejected: 39, rows: 40, .. }), "{error}");
    assert!(town.look(0, today()).is_none());
    // What it left behind is cleared by the next load that meets it.
    assert_eq!(town.load(&file(&[line(0)])).counts.added, 1);
    assert_eq!(town.share(0, today()), Some(30));
}

#[test]
fn check_digits_are_warned_about_with_their_first_row() {
    let town = Town::new();
    let text = file(&[line(1), line(2)]).replace(SOCIETY, "06123456");
    let report = town.load(&text);
    assert_eq!(report.counts.added, 2);
    assert_eq!(report.warnings.len(), 1);
    let warned = report.warnings[0];
    assert_eq!((warned.warning, warned.rows, warned.first_row), (Warning::InsurerCheckDigit, 2, 2));
}

#[test]
fn an_unfinished_load_is_finished_or_given_up_by_name() {
    let town = Town::new();
    let text = file(&(1..9).map(line).collect::<Vec<_>>());
    let mut broken = crate::feed_cuts::BreaksAt::new(text.as_bytes(), 700);
    let failed = load(&town.store, &mut broken, &usual(), &mut FirstRejects::default(), &mut |_| {});
    assert!(matches!(failed, Err(FeedError::Input(_))));
    let other = file(&[line(1), line(2)]);
    let error = town.try_load(other.as_bytes(), &usual()).0.unwrap_err();
    assert!(matches!(error, FeedError::OtherUnfinished { number: 1, .. }), "{error}");
    let giving_up = Order { unfinished: OnUnfinished::GiveUp, ..usual() };
    let report = town.try_load(other.as_bytes(), &giving_up).0.unwrap();
    assert_eq!((report.counts.added, report.load), (2, Some(2)));
    assert_eq!((town.share(2, today()), town.look(3, today())), (Some(30), None));
    assert_eq!(town.load(&text).counts, Counts { rows: 8, unchanged: 2, added: 6, ..Counts::default() });
}

#[test]
fn a_link_that_is_not_confirmed_is_no_coverage_yet() {
    let town = Town::new();
    town.load(&file(&[Line { to: "20261114", ..line(1) }]));
    let next = file(&[Line { insurer: MUNICIPALITY, from: "20261115", ..line(1) }]);
    town.load(&next.replace(",0002,\n", ",0002,0\n"));
    let holdings = town.look(1, today()).unwrap();
    assert_eq!((holdings.in_force, holdings.rows.len()), (InForce::Nothing, 2));
    assert_eq!(holdings.rows.iter().filter(|row| row.link == Link::NotYet).count(), 1);
    // Confirmed later: the same row, and the link.
    assert_eq!(town.load(&next).counts.changed, 1);
    assert_eq!(town.share(1, today()), Some(30));
}
