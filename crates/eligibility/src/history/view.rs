//! What a history answers: the coverages of a member for one [`AsOf`], and whether they contradict each other.

use super::{AsOf, Day, Fact, InsurerRef, KindRef, MemberRecord, Stands, Statement, Terms, Visibility};
use protocol::answer::{Bilingual, Coverage, PublicExpense};
use protocol::ids::{
    BranchNumber, IdError, InsuredNumber, InsuredSymbol, InsurerNumber, PublicPayerNumber,
    PublicRecipientNumber,
};

/// One coverage as a question sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period<'a> {
    /// First day.
    pub from: Day,
    /// Last day, where it is known.
    pub to: Option<Day>,
    /// The terms on the day of the visit; on the nearest day of the coverage, if it is not in force then.
    pub terms: &'a Terms,
}

impl Period<'_> {
    /// Whether `day` is one of its days.
    pub fn covers(&self, day: Day) -> bool {
        self.from <= day && self.to.is_none_or(|to| day <= to)
    }
}

/// The names behind references.
pub trait Names {
    /// Number and name of an insurer.
    fn insurer(&self, insurer: InsurerRef) -> Option<(InsurerNumber, String)>;
    /// A kind of insurance in words.
    fn kind(&self, kind: KindRef) -> Option<Bilingual>;
}

impl MemberRecord {
    /// The member's coverages, by first day. Withdrawn ones are not among them.
    pub fn periods(&self, as_of: &AsOf, visibility: &impl Visibility) -> Vec<Period<'_>> {
        let facts: Vec<(u64, &Fact)> = self.admitted(as_of.known, visibility).collect();
        let mut firsts: Vec<Day> = facts.iter().map(|(_, fact)| fact.statement.from).collect();
        firsts.sort_unstable();
        firsts.dedup();
        firsts.into_iter().filter_map(|from| period(from, &facts, as_of.visit)).collect()
    }
}

/// Later statements before earlier ones, later records before earlier ones.
fn precedence((place, fact): &(u64, &Fact)) -> (Day, u64, u64) {
    (fact.statement.stated_on, *place, fact.row)
}

fn period<'a>(from: Day, facts: &[(u64, &'a Fact)], visit: Day) -> Option<Period<'a>> {
    let of_this = || facts.iter().copied().filter(|(_, fact)| fact.statement.from == from);
    let deciding: &'a Statement = &of_this().max_by_key(precedence)?.1.statement;
    if deciding.stands == Stands::Withdrawn {
        return None;
    }
    let day = deciding.to.map_or(visit, |to| visit.min(to)).max(from);
    let terms = of_this()
        .filter(|(_, fact)| fact.statement.applies_on(day))
        .max_by_key(precedence)
        .map_or(&deciding.terms, |(_, fact)| &fact.statement.terms);
    Some(Period { from, to: deciding.to, terms })
}

/// Several insurers, or one insurer twice, claim the same day. Nobody chooses among them.
#[doc(alias = "資格重複")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The claims: two or more.
    pub claims: Vec<Coverage>,
}

/// What is in force on one day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InForce {
    /// Nothing.
    Nothing,
    /// One coverage.
    One(Box<Coverage>),
    /// More than one.
    Conflict(Conflict),
}

/// Puts the coverages in force on one day together.
pub fn in_force(mut claims: Vec<Coverage>) -> InForce {
    match (claims.pop(), claims.is_empty()) {
        (None, _) => InForce::Nothing,
        (Some(only), true) => InForce::One(Box::new(only)),
        (Some(last), false) => {
            claims.push(last);
            InForce::Conflict(Conflict { claims })
        }
    }
}

/// Why stored words are not what an answer may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a stored coverage cannot be read: {0}")]
pub struct Unanswerable(pub &'static str);

impl From<IdError> for Unanswerable {
    fn from(_: IdError) -> Self {
        Self("an identifier")
    }
}

/// The coverage as an answer carries it on the day of the visit.
///
/// # Errors
/// [`Unanswerable`] if a reference leads nowhere, or an identifier is none.
pub fn coverage(
    insurer: InsurerRef,
    period: &Period<'_>,
    visit: Day,
    names: &impl Names,
) -> Result<Coverage, Unanswerable> {
    let terms = period.terms;
    let (insurer_number, insurer_name) = names.insurer(insurer).ok_or(Unanswerable("an insurer"))?;
    let applies = |from: Option<Day>, to: Option<Day>| {
        from.is_none_or(|from| from <= visit) && to.is_none_or(|to| visit <= to)
    };
    let public_expenses = terms
        .expenses
        .iter()
        .filter(|expense| applies(expense.from, expense.to))
        .map(|expense| {
            Ok(PublicExpense {
                payer_number: PublicPayerNumber::parse(&expense.payer)?,
                recipient_number: PublicRecipientNumber::parse(&expense.recipient)?,
                valid_from: expense.from.map(Day::date),
                valid_to: expense.to.map(Day::date),
            })
        })
        .collect::<Result<_, IdError>>()?;
    Ok(Coverage {
        insurer_number,
        insurer_name,
        symbol: InsuredSymbol::parse(&terms.numbers.symbol)?,
        number: InsuredNumber::parse(&terms.numbers.number)?,
        branch: BranchNumber::parse(&terms.numbers.branch)?,
        kind: names.kind(terms.kind).ok_or(Unanswerable("a kind of insurance"))?,
        relation: terms.relation,
        copay_percent: terms.copay_percent,
        limit_class: terms.limit_class.clone(),
        specific_disease: terms.specific_disease.clone(),
        public_expenses,
        valid_from: period.from.date(),
        valid_to: period.to.map(Day::date),
    })
}
