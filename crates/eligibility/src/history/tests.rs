//! The history against a model that does the same by painting days, and against itself in other orders.

use super::*;
use proptest::prelude::*;

const FIRST: i64 = 20_000;
const DAYS: i64 = 30;

/// Every change is visible, in the order of its number.
struct All;

impl Visibility for All {
    fn recorded(&self, change: ChangeNumber) -> Option<Recorded> {
        Some(Recorded { place: change.0, at: UnixSeconds(change.0 * 10) })
    }
}

fn day(offset: i64) -> Day {
    Day::from_number(FIRST + offset).unwrap()
}

fn attributes(name: u8) -> Attributes {
    let name = format!("名{name}");
    Attributes { name_kana: name.clone(), name, birth_date: day(-9000), sex: Sex::Female }
}

/// One change in small numbers: first day, length, stands, offsets of the terms' days, share, name, day of statement.
type Small = (i64, Option<i64>, bool, Option<i64>, Option<i64>, u8, u8, i64);

fn statement((from, length, stands, applies_from, applies_to, share, _, stated_on): Small) -> Statement {
    Statement {
        from: day(from),
        to: length.map(|length| day(from + length)),
        stands: if stands { Stands::Yes } else { Stands::Withdrawn },
        applies_from: applies_from.map(|offset| day(from + offset)),
        applies_to: applies_to.map(|offset| day(from + offset)),
        stated_on: day(stated_on),
        terms: Terms {
            numbers: InsuredNumbers { symbol: String::new(), number: "1".into(), branch: "00".into() },
            kind: KindRef(6),
            relation: Relation::Insured,
            copay_percent: share * 10,
            limit_class: None,
            specific_disease: None,
            expenses: Vec::new(),
        },
    }
}

fn build(order: &[Small], stated_by: StatedBy) -> MemberRecord {
    let mut record = MemberRecord::default();
    for (number, small) in (1u64..).zip(order) {
        let fact = Fact { change: ChangeNumber(number), row: number, statement: statement(*small) };
        record.state(fact, attributes(small.6), stated_by, &All);
    }
    record
}

/// What a person of this insurer has on each day: the share of each coverage, painted day by day in the order
/// of the statements.
fn painted(order: &[Small], visit: i64) -> Vec<(Day, u8)> {
    let mut in_order: Vec<Statement> = order.iter().map(|small| statement(*small)).collect();
    in_order.sort_by_key(|statement| statement.stated_on);
    let mut coverages: std::collections::BTreeMap<Day, (Statement, Vec<Option<u8>>)> = Default::default();
    for statement in in_order {
        let (last, days) =
            coverages.entry(statement.from).or_insert_with(|| (statement.clone(), vec![None; DAYS as usize]));
        *last = statement.clone();
        for (offset, painted) in days.iter_mut().enumerate() {
            if statement.applies_on(day(offset as i64)) {
                *painted = Some(statement.terms.copay_percent);
            }
        }
    }
    coverages
        .into_values()
        .filter(|(last, _)| {
            let visit = day(visit);
            last.stands == Stands::Yes && last.from <= visit && last.to.is_none_or(|to| visit <= to)
        })
        .map(|(last, days)| (last.from, days[visit as usize].unwrap_or(last.terms.copay_percent)))
        .collect()
}

fn answered(record: &MemberRecord, visit: i64, known: Known) -> Vec<(Day, u8)> {
    let as_of = AsOf { visit: day(visit), known };
    record
        .periods(&as_of, &All)
        .into_iter()
        .filter(|period| period.covers(as_of.visit))
        .map(|period| (period.from, period.terms.copay_percent))
        .collect()
}

fn name(record: &MemberRecord) -> Option<String> {
    record.attributes_known(Known::Now, &All).map(|fact| fact.attributes.name.clone())
}

fn small() -> impl Strategy<Value = Small> {
    (
        0..6i64,
        proptest::option::of(0..25i64),
        proptest::bool::weighted(0.9),
        proptest::option::of(0..12i64),
        proptest::option::of(0..25i64),
        1..4u8,
        0..3u8,
        Just(0i64),
    )
}

/// Thirty days of statements, one a day; and an order in which they arrive.
fn month() -> impl Strategy<Value = (Vec<Small>, Vec<Small>)> {
    proptest::collection::vec(small(), 1..30).prop_flat_map(|mut stated| {
        for (stated_on, small) in stated.iter_mut().enumerate() {
            small.7 = stated_on as i64;
        }
        (Just(stated.clone()), Just(stated).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Any order of arrival gives the same answers, the model's, on each of thirty days.
    #[test]
    fn any_order_of_feeds_gives_the_same_answers((stated, arrived) in month()) {
        let (in_order, shuffled) = (build(&stated, StatedBy::Row), build(&arrived, StatedBy::Row));
        for visit in 0..DAYS {
            let expected = painted(&stated, visit);
            prop_assert_eq!(answered(&in_order, visit, Known::Now), expected.clone());
            prop_assert_eq!(answered(&shuffled, visit, Known::Now), expected);
        }
        prop_assert_eq!(name(&in_order), name(&shuffled));
    }

    /// "As we knew it then" is what the record was then, and stays so whatever comes later.
    #[test]
    fn what_was_known_then_stays_answerable((_, arrived) in month()) {
        let whole = build(&arrived, StatedBy::Row);
        for known in 0..=arrived.len() {
            let then = build(&arrived[..known], StatedBy::Row);
            for visit in (0..DAYS).step_by(3) {
                let expected = painted(&arrived[..known], visit);
                prop_assert_eq!(answered(&then, visit, Known::Now), expected.clone());
                prop_assert_eq!(answered(&whole, visit, Known::Through(known as u64)), expected.clone());
                let instant = UnixSeconds(known as u64 * 10 + 9);
                prop_assert_eq!(answered(&whole, visit, Known::At(instant)), expected);
            }
        }
    }

    /// Saying it all again changes neither answers nor octets.
    #[test]
    fn the_same_again_changes_nothing((stated, arrived) in month()) {
        let mut record = build(&arrived, StatedBy::Row);
        let before = record.clone();
        for small in &stated {
            let fact = Fact { change: ChangeNumber(1000), row: 1, statement: statement(*small) };
            prop_assert_eq!(record.state(fact, attributes(small.6), StatedBy::Row, &All), Effect::Unchanged);
        }
        prop_assert_eq!(record, before);
    }

    /// Without days of their own the order of arrival counts, and repetitions cost nothing.
    #[test]
    fn by_arrival_the_last_word_counts((stated, _) in month()) {
        let record = build(&stated, StatedBy::Arrival);
        for visit in 0..DAYS {
            prop_assert_eq!(answered(&record, visit, Known::Now), painted(&stated, visit));
        }
        let mut again = record.clone();
        if let Some(last) = stated.last() {
            let mut later = *last;
            later.7 = DAYS;
            let fact = Fact { change: ChangeNumber(1000), row: 1, statement: statement(later) };
            prop_assert_eq!(again.state(fact, attributes(last.6), StatedBy::Arrival, &All), Effect::Unchanged);
            prop_assert_eq!(again, record);
        }
    }

    /// Records survive packing.
    #[test]
    fn packing_keeps_everything((_, arrived) in month()) {
        let record = build(&arrived, StatedBy::Row);
        let key = packed::key_of_own_number(InsurerRef(3), "7");
        prop_assert_eq!(packed::unpack(&key, &packed::pack(&key, &record)), Some(record));
    }
}

#[test]
fn a_correction_says_what_it_did() {
    let base: Small = (0, None, true, None, None, 3, 0, 0);
    let steps = [
        (base, Effect::Added),
        ((0, None, true, None, None, 3, 0, 1), Effect::Unchanged),
        ((0, None, true, None, None, 2, 0, 2), Effect::Changed),
        ((0, Some(9), true, None, None, 2, 0, 3), Effect::Ended),
        ((0, Some(5), true, None, None, 2, 0, 4), Effect::Ended),
        ((0, Some(8), true, None, None, 2, 0, 5), Effect::Changed),
        ((0, Some(9), true, None, None, 1, 0, 2), Effect::Late),
        ((0, Some(8), true, None, None, 2, 1, 6), Effect::Changed),
        ((0, Some(8), false, None, None, 2, 1, 7), Effect::Withdrawn),
        ((0, None, true, None, None, 3, 1, 8), Effect::Added),
        ((1, None, false, None, None, 3, 1, 9), Effect::Withdrawn),
    ];
    let mut record = MemberRecord::default();
    for (number, (small, effect)) in (1u64..).zip(steps) {
        let fact = Fact { change: ChangeNumber(number), row: 1, statement: statement(small) };
        assert_eq!(record.state(fact, attributes(small.6), StatedBy::Row, &All), effect, "{number}");
    }
    assert_eq!(record.periods(&AsOf::visit(day(3)), &All).len(), 1);
}

/// Nothing of a load under way is seen, and nothing of one given up stays.
#[test]
fn only_visible_changes_count() {
    struct Under;
    impl Visibility for Under {
        fn recorded(&self, change: ChangeNumber) -> Option<Recorded> {
            (change.0 == 1).then_some(Recorded { place: 1, at: UnixSeconds(1) })
        }
    }
    let mut record =
        build(&[(0, None, true, None, None, 3, 0, 0), (0, None, true, None, None, 1, 2, 1)], StatedBy::Row);
    let shares = |record: &MemberRecord| -> Vec<u8> {
        record.periods(&AsOf::visit(day(3)), &Under).iter().map(|period| period.terms.copay_percent).collect()
    };
    assert_eq!(shares(&record), [30]);
    assert_eq!(record.attributes_known(Known::Now, &Under).unwrap().attributes.name, "名0");
    record.forget(|change, _| change == ChangeNumber(2));
    assert_eq!(record, build(&[(0, None, true, None, None, 3, 0, 0)], StatedBy::Row));
    assert_eq!(shares(&record), [30]);
}
