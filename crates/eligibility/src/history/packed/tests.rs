use super::*;

fn day(number: i64) -> Day {
    Day::from_number(number).unwrap()
}

fn record(key: &[u8]) -> MemberRecord {
    let statement = |from: i64, branch: &str| Statement {
        from: day(from),
        to: Some(day(from + 400)),
        stands: Stands::Yes,
        applies_from: None,
        applies_to: Some(day(from + 10)),
        stated_on: day(from - 3),
        terms: Terms {
            numbers: InsuredNumbers {
                symbol: "見本".into(),
                number: "1234567".into(),
                branch: branch.into(),
            },
            kind: KindRef(6),
            relation: Relation::Dependant,
            copay_percent: 20,
            limit_class: Some("B05".into()),
            specific_disease: Some("1".into()),
            expenses: vec![Expense {
                payer: "54990018".into(),
                recipient: "1234566".into(),
                from: None,
                to: Some(day(9)),
            }],
        },
    };
    assert_eq!(insurer_of(key), Some(InsurerRef(300)));
    MemberRecord {
        person: Some(Holder { key: u64::MAX, since: ChangeNumber(9) }),
        attributes: vec![AttributesFact {
            change: ChangeNumber(1),
            row: 2,
            stated_on: day(-9),
            attributes: Attributes {
                name: "見本　花子".into(),
                name_kana: "ミホン　ハナコ".into(),
                birth_date: day(-700_000),
                sex: Sex::Female,
            },
        }],
        facts: vec![
            Fact { change: ChangeNumber(1), row: 2, statement: statement(20_000, "00") },
            Fact { change: ChangeNumber(u64::MAX), row: 0, statement: statement(-20_000, "01") },
        ],
    }
}

fn numbers() -> InsuredNumbers {
    InsuredNumbers { symbol: "見本".into(), number: "1234567".into(), branch: "00".into() }
}

#[test]
fn round_trip_and_every_prefix_is_refused() {
    for key in [key_of(InsurerRef(300), &numbers()), key_of_own_number(InsurerRef(300), "A-1")] {
        let record = record(&key);
        let octets = pack(&key, &record);
        assert_eq!(unpack(&key, &octets), Some(record));
        for end in 0..octets.len() {
            assert_eq!(unpack(&key, &octets[..end]), None);
        }
        let mut longer = octets.clone();
        longer.push(0);
        assert_eq!(unpack(&key, &longer), None);
    }
    let person = PersonRecord {
        registered: Some(record(&key_of(InsurerRef(300), &numbers())).attributes[0].attributes.clone()),
        ties: vec![
            Tie {
                member: b"abc".to_vec(),
                link: Link::NotYet,
                since: ChangeNumber(1),
                until: Some(ChangeNumber(7)),
            },
            Tie { member: b"abc".to_vec(), link: Link::Confirmed, since: ChangeNumber(7), until: None },
        ],
    };
    let octets = pack_person(&person);
    assert_eq!(unpack_person(&octets), Some(person));
    for end in 0..octets.len() {
        assert_eq!(unpack_person(&octets[..end]), None);
    }
}

#[test]
fn numbers_in_the_key_are_not_written_twice() {
    let in_key = key_of(InsurerRef(300), &numbers());
    let elsewhere = key_of_own_number(InsurerRef(300), "A-1");
    assert!(pack(&in_key, &record(&in_key)).len() + 15 <= pack(&elsewhere, &record(&elsewhere)).len());
}

#[test]
fn insurers_have_prefixes_of_their_own() {
    let prefixes: Vec<Vec<u8>> = (0..20_000).map(|insurer| key_prefix(InsurerRef(insurer))).collect();
    for pair in [(1usize, 128usize), (1, 129), (127, 16_383), (128, 16_384), (0, 128)] {
        assert!(!prefixes[pair.1].starts_with(&prefixes[pair.0]));
    }
}

#[test]
fn nonsense_is_refused_without_panic_and_without_much_memory() {
    let key = key_of(InsurerRef(300), &numbers());
    let good = pack(&key, &record(&key));
    for place in 0..good.len() {
        for octet in [0u8, 1, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[place] = octet;
            if let Some(read) = unpack(&key, &bad) {
                // What is read at all is written back as what it was read from, or shorter (padded numbers).
                assert!(pack(&key, &read).len() <= bad.len());
            }
        }
    }
    assert_eq!(unpack(&key, &[1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), None);
}
