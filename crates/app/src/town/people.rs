//! The specimen people: the same names in docs, tests, samples and screenshots. Their records follow
//! from the seed and the day the town was made; their keys are made by the crypto library and differ
//! from town to town.

use eligibility::store::{CoverageRow, Enrolment, Link};
use jpki_authority::CardEvent;
use protocol::answer::{Bilingual, CivilDate, Coverage, RegisteredPerson, Relation};
use protocol::entropy::Seeded;
use protocol::ids::{
    AuthCertSerial, BranchNumber, InstitutionCode, InsuredNumber, InsuredSymbol, InsurerNumber, luhn_holds,
};

/// What a person's card should answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    /// `answer.validity`.
    Validity(&'static str),
    /// `problem.code`.
    Problem(&'static str),
}

/// What an insurer knows of a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cover {
    /// 3割, own coverage.
    Employee,
    /// 2割, dependant before school age.
    Child,
    /// 1割, aged 75 and over, with a class of the monthly limit.
    Elder,
    /// Ended last week; another insurer has loaded the next one but not confirmed the card.
    Moved,
    /// Two insurers claim the same days.
    Double,
    /// Nobody has linked the card.
    Nobody,
}

/// One specimen person.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Specimen {
    /// The name that is typed.
    pub(crate) name: &'static str,
    /// Written name, kana, birth date, sex (1 male, 2 female).
    pub(crate) written: &'static str,
    pub(crate) kana: &'static str,
    pub(crate) birth_date: &'static str,
    pub(crate) sex: &'static str,
    /// The story, for `card list`.
    pub(crate) story: (&'static str, &'static str),
    cover: Cover,
    /// What happened to the card.
    pub(crate) event: Option<CardEvent>,
    /// What a touch should answer.
    pub(crate) expected: Expected,
}

impl Specimen {
    /// Where this person lives: a house number for each place among the specimens.
    pub(crate) fn address(&self, place: usize) -> String {
        let number: String = (place + 1)
            .to_string()
            .chars()
            .map(|digit| char::from_u32(u32::from(digit) - u32::from('0') + u32::from('０')).unwrap_or(digit))
            .collect();
        format!("見本県見本市本町一丁目{number}番地")
    }
}

const fn person(
    name: &'static str,
    written: (&'static str, &'static str, &'static str, &'static str),
    story: (&'static str, &'static str),
    cover: Cover,
    event: Option<CardEvent>,
    expected: Expected,
) -> Specimen {
    Specimen {
        name,
        written: written.0,
        kana: written.1,
        birth_date: written.2,
        sex: written.3,
        story,
        cover,
        event,
        expected,
    }
}

/// Everybody this flow can answer.
pub(crate) const SPECIMENS: &[Specimen] = &[
    person(
        "hanako",
        ("見本　花子", "ミホン　ハナコ", "1985-04-01", "2"),
        ("会社員、3割", "employee, pays 30 %"),
        Cover::Employee,
        None,
        Expected::Validity("valid"),
    ),
    person(
        "taro",
        ("見本　太郎", "ミホン　タロウ", "2022-06-15", "1"),
        ("花子の子、未就学、2割", "hanako's child, dependant, pays 20 %"),
        Cover::Child,
        None,
        Expected::Validity("valid"),
    ),
    person(
        "saburo",
        ("見本　三郎", "ミホン　サブロウ", "1944-01-20", "1"),
        ("後期高齢者、1割、限度額区分あり", "over 75, pays 10 %, with a monthly limit"),
        Cover::Elder,
        None,
        Expected::Validity("valid"),
    ),
    person(
        "moved",
        ("見本　移", "ミホン　ウツル", "1990-11-03", "1"),
        ("先週、保険者が変わった", "changed insurer last week"),
        Cover::Moved,
        None,
        Expected::Validity("invalid_newer_exists"),
    ),
    person(
        "lost",
        ("見本　失子", "ミホン　ウシナイコ", "1978-08-08", "2"),
        ("カードの紛失を届け出た", "card reported lost"),
        Cover::Employee,
        Some(CardEvent::LostCard),
        Expected::Problem("certificate_hold"),
    ),
    person(
        "returned",
        ("見本　返", "ミホン　カエル", "1969-02-28", "1"),
        ("カードを返納した", "card handed back"),
        Cover::Employee,
        Some(CardEvent::ReturnedCard),
        Expected::Problem("cessation_of_operation"),
    ),
    person(
        "gone",
        ("見本　去", "ミホン　サル", "1938-12-31", "2"),
        ("住民登録から外れた", "has left the resident register"),
        Cover::Elder,
        Some(CardEvent::LeftRegister),
        Expected::Problem("affiliation_changed"),
    ),
    person(
        "double",
        ("見本　重", "ミホン　カサネ", "1995-05-05", "2"),
        ("二つの保険者が同じ期間を届け出た", "two insurers claim the same days"),
        Cover::Double,
        None,
        Expected::Validity("multiple"),
    ),
    person(
        "unlinked",
        ("見本　未", "ミホン　ヒツジ", "2001-09-09", "1"),
        ("どの保険者にも紐づいていない", "linked to no insurer"),
        Cover::Nobody,
        None,
        Expected::Validity("no_coverage"),
    ),
];

/// Appends the check digit that makes the whole pass [`luhn_holds`].
fn with_check_digit(digits: &str) -> String {
    (0..10).map(|d| format!("{digits}{d}")).find(|candidate| luhn_holds(candidate)).unwrap_or_default()
}

/// The specimen clinic's code: prefecture 99, which does not exist.
pub(crate) fn institution() -> anyhow::Result<(InstitutionCode, &'static str)> {
    Ok((InstitutionCode::parse(&with_check_digit("991234567"))?, "見本内科クリニック"))
}

/// A specimen insurer. Prefecture 99 does not exist, so none of them is real.
#[derive(Clone, Debug)]
pub(crate) struct Insurer {
    /// Its number.
    pub(crate) number: InsurerNumber,
    /// Its name.
    pub(crate) name: &'static str,
}

fn insurer(digits: &str, name: &'static str) -> anyhow::Result<Insurer> {
    Ok(Insurer { number: InsurerNumber::parse(&with_check_digit(digits))?, name })
}

/// Society, municipality, medical care for the elderly.
pub(crate) fn insurers() -> anyhow::Result<[Insurer; 3]> {
    Ok([
        insurer("0699001", "見本健康保険組合")?,
        insurer("99001", "見本市国民健康保険")?,
        insurer("3999001", "見本県後期高齢者医療広域連合")?,
    ])
}

/// A civil day `days` after (or, negative, before) `today`.
fn shifted(today: &CivilDate, days: i64) -> anyhow::Result<CivilDate> {
    let date: jiff::civil::Date = today.as_str().parse()?;
    let moved = date.checked_add(jiff::Span::new().try_days(days)?)?;
    CivilDate::parse(&moved.to_string()).ok_or_else(|| anyhow::anyhow!("a day out of range"))
}

/// Symbol, number and branch of one person, from the seed.
fn numbers(
    seed: u64,
    place: usize,
    branch: &str,
) -> anyhow::Result<(InsuredSymbol, InsuredNumber, BranchNumber)> {
    let mut stream = Seeded::new(seed ^ (place as u64).wrapping_mul(0x9E37_79B9));
    Ok((
        InsuredSymbol::parse("見本")?,
        InsuredNumber::parse(&format!("{:07}", stream.next_u64() % 10_000_000))?,
        BranchNumber::parse(branch)?,
    ))
}

/// One load per insurer, as `(insurer, enrolments)`.
pub(crate) fn enrolments(
    seed: u64,
    today: &CivilDate,
    serials: &[(&'static str, AuthCertSerial)],
) -> anyhow::Result<Vec<(Insurer, Vec<Enrolment>)>> {
    let [society, municipality, elderly] = insurers()?;
    let mut loads = vec![(society, Vec::new()), (municipality, Vec::new()), (elderly, Vec::new())];
    for (place, specimen) in SPECIMENS.iter().enumerate() {
        let serial =
            serials.iter().find(|(name, _)| *name == specimen.name).map(|(_, serial)| serial.clone());
        for (which, row, linked) in rows_of(seed, place, specimen, today, &loads)? {
            let enrolment = Enrolment {
                person_key: person_key(seed, place),
                person: registered(specimen)?,
                auth_cert_serial: if linked { serial.clone() } else { None },
                rows: vec![row],
            };
            if let Some((_, list)) = loads.get_mut(which) {
                list.push(enrolment);
            }
        }
    }
    Ok(loads)
}

/// The platform's key for a specimen: from the seed, 63 bits so that SQLite holds it as a plain integer.
fn person_key(seed: u64, place: usize) -> u64 {
    Seeded::new(seed.wrapping_add(place as u64).wrapping_mul(0x2545_F491_4F6C_DD1D)).next_u64() >> 1
}

fn registered(specimen: &Specimen) -> anyhow::Result<RegisteredPerson> {
    Ok(RegisteredPerson {
        name: specimen.written.to_owned(),
        name_kana: specimen.kana.to_owned(),
        birth_date: CivilDate::parse(specimen.birth_date).ok_or_else(|| anyhow::anyhow!("a birth date"))?,
    })
}

/// What differs between the specimens' coverages.
struct Terms {
    insurer: usize,
    kind: (&'static str, &'static str),
    relation: Relation,
    copay_percent: u8,
    limit_class: Option<&'static str>,
    /// First and last day, relative to today.
    days: (i64, Option<i64>),
    link: Link,
}

fn rows_of(
    seed: u64,
    place: usize,
    specimen: &Specimen,
    today: &CivilDate,
    insurers: &[(Insurer, Vec<Enrolment>)],
) -> anyhow::Result<Vec<(usize, CoverageRow, bool)>> {
    const SOCIETY: (&str, &str) = ("健康保険 (組合)", "Employees' health insurance (society)");
    const MUNICIPAL: (&str, &str) = ("国民健康保険", "National Health Insurance");
    const ELDERLY: (&str, &str) = ("後期高齢者医療", "Medical care for those aged 75 and over");
    let own = |insurer, kind, copay_percent, days, link| Terms {
        insurer,
        kind,
        relation: Relation::Insured,
        copay_percent,
        limit_class: None,
        days,
        link,
    };
    let terms = match specimen.cover {
        Cover::Employee => vec![own(0, SOCIETY, 30, (-900, None), Link::Confirmed)],
        Cover::Child => vec![Terms {
            relation: Relation::Dependant,
            ..own(0, SOCIETY, 20, (-700, None), Link::Confirmed)
        }],
        Cover::Elder => {
            vec![Terms { limit_class: Some("B05"), ..own(2, ELDERLY, 10, (-1200, None), Link::Confirmed) }]
        }
        Cover::Moved => vec![
            own(0, SOCIETY, 30, (-900, Some(-8)), Link::Confirmed),
            own(1, MUNICIPAL, 30, (-7, None), Link::NotYet),
        ],
        Cover::Double => vec![
            own(0, SOCIETY, 30, (-300, None), Link::Confirmed),
            own(1, MUNICIPAL, 30, (-400, None), Link::Confirmed),
        ],
        Cover::Nobody => Vec::new(),
    };
    terms
        .into_iter()
        .map(|t| {
            let branch = if t.relation == Relation::Insured { "00" } else { "02" };
            let (symbol, number, branch) = numbers(seed, place, branch)?;
            let (insurer, _) = insurers.get(t.insurer).ok_or_else(|| anyhow::anyhow!("an insurer"))?;
            let coverage = Coverage {
                insurer_number: insurer.number.clone(),
                insurer_name: insurer.name.to_owned(),
                symbol,
                number,
                branch,
                kind: Bilingual::new(t.kind.0, t.kind.1),
                relation: t.relation,
                copay_percent: t.copay_percent,
                limit_class: t.limit_class.map(str::to_owned),
                specific_disease: None,
                public_expenses: Vec::new(),
                valid_from: shifted(today, t.days.0)?,
                valid_to: t.days.1.map(|d| shifted(today, d)).transpose()?,
            };
            let linked = t.link == Link::Confirmed;
            Ok((t.insurer, CoverageRow { coverage, link: t.link }, linked))
        })
        .collect()
}
