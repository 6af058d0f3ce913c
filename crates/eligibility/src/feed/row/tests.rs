use super::*;

const HEADER: &str = "保険者番号,加入者番号,記号,番号,枝番,氏名,氏名カナ,生年月日,性別,本人家族区分,資格取得年月日,資格喪失年月日,資格終了年月日,負担割合,適用開始年月日,適用終了年月日,限度額適用区分,特定疾病区分,公費負担者番号1,公費受給者番号1,異動区分,更新年月日,電子証明書シリアル番号,個人キー,紐づけ確認";
const GOOD: &str =
    "06990014,,見本,1234567,00,見本　花子,ミホン　ハナコ,S600401,2,1,20240401,,,030,,,,,,,,20260401,,,";

fn reading() -> Reading {
    let header: Vec<Cow<'_, str>> = HEADER.split(',').map(Cow::Borrowed).collect();
    let today = Day::from_civil(2026, 11, 22).unwrap();
    Reading::new(Header::parse(&header).unwrap(), InsurerNumber::parse("06990014").unwrap(), today)
}

/// The good row with some cells changed.
fn read(changes: &[(Column, &str)]) -> Result<ReadRow, Reject> {
    let reading = reading();
    let line = GOOD.replace("S600401", "3600401");
    let mut cells: Vec<Cow<'_, str>> = line.split(',').map(Cow::Borrowed).collect();
    for (column, value) in changes {
        cells[reading.header.place(*column).unwrap()] = Cow::Borrowed(value);
    }
    reading.read(5, &cells)
}

fn day(year: u32, month: u32, day: u32) -> Day {
    Day::from_civil(year, month, day).unwrap()
}

#[test]
fn a_good_row_is_read_whole() {
    let ReadRow { row, warnings } = read(&[]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((row.row, row.link, row.stated_by), (5, Link::NotYet, StatedBy::Row));
    assert_eq!(row.attributes.birth_date, day(1985, 4, 1));
    assert_eq!(row.statement.from, day(2024, 4, 1));
    assert_eq!((row.statement.to, row.statement.stands), (None, Stands::Yes));
    assert_eq!((row.statement.terms.copay_percent, row.statement.terms.kind), (30, KindRef(6)));
    assert_eq!(row.statement.terms.numbers.symbol, "見本");
}

#[test]
fn days_in_every_way_they_are_written() {
    for text in ["20260401", "2026-04-01", "2026/04/01", "5080401"] {
        assert_eq!(parse_day(text), Some(day(2026, 4, 1)), "{text}");
    }
    assert_eq!(parse_day("3640107"), Some(day(1989, 1, 7)));
    assert_eq!(parse_day("4010108"), Some(day(1989, 1, 8)));
    for bad in [
        "",
        "20260229",
        "2026-0401",
        "2026-4-1",
        "3640108",
        "4010107",
        "5000101",
        "6010101",
        "２０２６０４０１",
        "202604011",
        "-2026041",
    ] {
        assert_eq!(parse_day(bad), None, "{bad}");
    }
}

#[test]
fn the_day_of_loss_is_the_day_behind_the_last() {
    let lost = read(&[(Column::LostOn, "20260401")]).unwrap().row.statement.to;
    let last = read(&[(Column::ValidTo, "20260331")]).unwrap().row.statement.to;
    assert_eq!(lost, last);
    assert_eq!(last, Some(day(2026, 3, 31)));
    for open in ["99991231", "00000000", ""] {
        assert_eq!(read(&[(Column::ValidTo, open)]).unwrap().row.statement.to, None);
    }
}

#[test]
fn optional_parts() {
    let row = read(&[
        (Column::CardSerial, "00ab01"),
        (Column::PersonKey, "77"),
        (Column::MemberNumber, " A-1 "),
        (Column::LimitClass, "B10"),
        (Column::SpecificDisease, "3"),
        (Column::PublicPayer1, "54990015"),
        (Column::PublicRecipient1, "1234566"),
        (Column::AppliesFrom, "20260801"),
        (Column::Operation, "9"),
    ])
    .unwrap();
    assert_eq!(row.row.serial.unwrap().as_bytes(), [0xab, 1]);
    assert_eq!((row.row.link, row.row.person_key), (Link::Confirmed, Some(77)));
    assert_eq!(row.row.own_number.as_deref(), Some("A-1"));
    assert_eq!(row.row.statement.terms.expenses.len(), 1);
    assert_eq!(row.row.statement.applies_from, Some(day(2026, 8, 1)));
    assert_eq!(row.row.statement.stands, Stands::Withdrawn);
    assert_eq!(
        read(&[(Column::CardSerial, "01"), (Column::LinkConfirmed, "0")]).unwrap().row.link,
        Link::NotYet
    );
}

#[test]
fn check_digits_are_said_and_never_refused() {
    let expense = |payer, recipient| {
        read(&[(Column::PublicPayer1, payer), (Column::PublicRecipient1, recipient)]).unwrap().warnings
    };
    assert_eq!(expense("54990015", "1234566"), []);
    assert_eq!(expense("54990016", "1234566"), [Warning::PublicPayerCheckDigit]);
    assert_eq!(expense("54990015", "1234567"), [Warning::PublicRecipientCheckDigit]);
    let odd = Reading::new(reading().header, InsurerNumber::parse("88123456").unwrap(), Day::LAST);
    assert_eq!(odd.shared_warnings, [Warning::InsurerCheckDigit, Warning::UnknownLaw]);
    assert_eq!(read(&[(Column::Name, "見●花子")]).unwrap().warnings, [Warning::PlaceholderInName]);
}

#[test]
fn what_cannot_be_taken_names_its_cell() {
    use RejectReason as R;
    for (column, value, reason) in [
        (Column::InsurerNumber, "990010", R::OtherInsurer),
        (Column::InsurerNumber, "12", R::Digits),
        (Column::InsurerNumber, "", R::Empty),
        (Column::Number, "", R::Empty),
        (Column::Number, "123456789012345678901", R::Text),
        (Column::Branch, "x1", R::Digits),
        (Column::Branch, "001", R::Text),
        (Column::Name, "", R::Empty),
        (Column::Name, "a\u{7}b", R::Text),
        (Column::BirthDate, "20260230", R::NoSuchDay),
        (Column::BirthDate, "20261123", R::Future),
        (Column::BirthDate, "99991231", R::NoSuchDay),
        (Column::Sex, "4", R::Code),
        (Column::Relation, "3", R::Code),
        (Column::Relation, "", R::Empty),
        (Column::ValidFrom, "", R::Empty),
        (Column::ValidFrom, "20241301", R::NoSuchDay),
        (Column::ValidTo, "20240331", R::DaysReversed),
        (Column::LostOn, "20240401", R::DaysReversed),
        (Column::Copay, "", R::Empty),
        (Column::Copay, "3", R::Code),
        (Column::Copay, "035", R::Code),
        (Column::Copay, "110", R::Code),
        (Column::AppliesTo, "20240331", R::DaysReversed),
        (Column::LimitClass, "B11", R::Code),
        (Column::SpecificDisease, "4", R::Code),
        (Column::PublicPayer1, "54990015", R::HalfFilled),
        (Column::Operation, "2", R::Code),
        (Column::StatedOn, "20261123", R::Future),
        (Column::CardSerial, "xyz", R::Serial),
        (Column::CardSerial, "00", R::Serial),
        (Column::PersonKey, "0", R::Digits),
        (Column::LinkConfirmed, "2", R::Code),
    ] {
        let reject = read(&[(column, value)]).unwrap_err();
        assert_eq!((reject.row, reject.reason), (5, reason), "{column:?} {value}");
        let blamed = if reason == R::HalfFilled { Column::PublicRecipient1 } else { column };
        assert_eq!(reject.column, Some(blamed), "{value}");
    }
    let both = read(&[(Column::ValidTo, "20260331"), (Column::LostOn, "20260401")]).unwrap_err();
    assert_eq!(both.reason, R::BothFilled);
    assert_eq!(reading().read(9, &[Cow::Borrowed("x")]).unwrap_err(), Reject::row(9, R::CellCount));
}
