//! The pure decision: evidence and coverage in, [`Answer`] out. No clock, no store, no network.
//!
//! It cannot be called without a [`CertificateGood`], which only `pki::validate` makes.

use crate::history::InForce;
use crate::store::{CoverageRow, Holdings, Link, Lookup};
use pki::validate::CertificateGood;
use protocol::answer::{Answer, Bilingual, CivilDate, Coverage, NewerCoverage, Proof, Validity, WhyNot};

fn in_force(coverage: &Coverage, day: &CivilDate) -> bool {
    coverage.valid_from <= *day && coverage.valid_to.as_ref().is_none_or(|end| day <= end)
}

fn confirmed(row: &CoverageRow) -> bool {
    row.link == Link::Confirmed
}

/// Decides one check.
///
/// Of the coverages that are confirmed for this card, one in force is `valid`, a
/// [conflict](crate::history::Conflict) is `multiple`. If none is in force but the same person has one in force that its insurer has not yet
/// confirmed for the card, the answer is `invalid_newer_exists`, and says which. Otherwise `invalid`,
/// or `no_coverage` where nothing is linked.
#[doc(alias = "資格判定")]
pub fn decide(_evidence: &CertificateGood, lookup: &Lookup, as_of: &CivilDate, proof: Proof) -> Answer {
    match lookup {
        Lookup::NotLinked { loads } => Answer {
            validity: Validity::NoCoverage,
            as_of: as_of.clone(),
            person: None,
            coverage: Vec::new(),
            ended: None,
            newer: None,
            why_not: Some(why_no_coverage()),
            loads: loads.clone(),
            proof,
            receipt: None,
        },
        Lookup::Linked(holdings) => decide_linked(holdings, as_of, proof),
    }
}

fn decide_linked(holdings: &Holdings, as_of: &CivilDate, proof: Proof) -> Answer {
    let current: Vec<Coverage> = match &holdings.in_force {
        InForce::Nothing => Vec::new(),
        InForce::One(coverage) => vec![Coverage::clone(coverage)],
        InForce::Conflict(conflict) => conflict.claims.clone(),
    };
    let ended = holdings
        .rows
        .iter()
        .filter(|row| confirmed(row) && !in_force(&row.coverage, as_of))
        .max_by(|a, b| a.coverage.valid_to.cmp(&b.coverage.valid_to))
        .map(|row| row.coverage.clone());
    let newer = holdings
        .rows
        .iter()
        .filter(|row| !confirmed(row) && in_force(&row.coverage, as_of))
        .max_by(|a, b| a.coverage.valid_from.cmp(&b.coverage.valid_from))
        .map(|row| NewerCoverage {
            insurer_number: row.coverage.insurer_number.clone(),
            insurer_name: row.coverage.insurer_name.clone(),
            valid_from: row.coverage.valid_from.clone(),
        });
    let (validity, why_not) = match (&holdings.in_force, &newer, &ended) {
        (InForce::One(_), _, _) => (Validity::Valid, None),
        (InForce::Conflict(_), _, _) => (Validity::Multiple, Some(why_multiple(&current))),
        (InForce::Nothing, Some(newer), _) => (Validity::InvalidNewerExists, Some(why_newer(newer))),
        (InForce::Nothing, None, Some(ended)) => (Validity::Invalid, Some(why_ended(ended))),
        (InForce::Nothing, None, None) => (Validity::NoCoverage, Some(why_no_coverage())),
    };
    Answer {
        validity,
        as_of: as_of.clone(),
        person: Some(holdings.person.clone()),
        ended: if current.is_empty() { ended } else { None },
        newer: if current.is_empty() { newer } else { None },
        coverage: current,
        why_not,
        loads: holdings.loads.clone(),
        proof,
        receipt: None,
    }
}

fn why_no_coverage() -> WhyNot {
    WhyNot {
        receptionist: Bilingual::new(
            "このカードに紐づく資格がまだ登録されていません。",
            "No coverage is linked to this card yet.",
        ),
        vendor: Bilingual::new(
            "シリアル番号と被保険者の紐づけがありません。loads に各保険者の最終登録日時があります。",
            "No link between serial and insured person; `loads` shows when each insurer last loaded.",
        ),
        patient: Bilingual::new(
            "保険のとうろくが まだ とどいていません。",
            "Your insurer has not registered this card yet.",
        ),
        action: Bilingual::new(
            "保険証などで確認し、患者さんに保険者への連絡を案内してください。",
            "Check another document, and ask the patient to call the insurer.",
        ),
    }
}

fn why_newer(newer: &NewerCoverage) -> WhyNot {
    WhyNot {
        receptionist: Bilingual::new(
            format!(
                "前の資格は終わり、{}から{}の資格があります。",
                newer.valid_from.as_str(),
                newer.insurer_name
            ),
            format!(
                "The old coverage ended; {} covers since {}.",
                newer.insurer_name,
                newer.valid_from.as_str()
            ),
        ),
        vendor: Bilingual::new(
            "新しい保険者は資格を登録済みですが、このカードとの紐づけを確定していません。",
            "The new insurer has loaded the coverage but not yet confirmed its link to this card.",
        ),
        patient: Bilingual::new(
            "あたらしい 保険の てつづきが すこし のこっています。",
            "Your new insurer has one step left to do.",
        ),
        action: Bilingual::new(
            "新しい保険者の資格情報を確認し、前の保険者では請求しないでください。",
            "Confirm with the new insurer; do not bill the old one.",
        ),
    }
}

fn why_ended(ended: &Coverage) -> WhyNot {
    let day = ended.valid_to.as_ref().map_or("?", |d| d.as_str());
    WhyNot {
        receptionist: Bilingual::new(
            format!("{}の資格は{}までです。", ended.insurer_name, day),
            format!("The coverage of {} ends on {}.", ended.insurer_name, day),
        ),
        vendor: Bilingual::new(
            "有効な資格がありません。ended に終了した資格があります。",
            "No coverage is in force; `ended` holds the one that ended.",
        ),
        patient: Bilingual::new("この 保険は おわっています。", "This insurance has ended."),
        action: Bilingual::new(
            "患者さんに現在の保険を確認してください。",
            "Ask the patient which insurance is current.",
        ),
    }
}

fn why_multiple(current: &[Coverage]) -> WhyNot {
    let names: Vec<&str> = current.iter().map(|c| c.insurer_name.as_str()).collect();
    WhyNot {
        receptionist: Bilingual::new(
            format!("同じ日に複数の資格があります ({})。", names.join("、")),
            format!("More than one insurer claims this day ({}).", names.join(", ")),
        ),
        vendor: Bilingual::new(
            "coverage に重なる資格をすべて示します。推測で一つを選びません。",
            "`coverage` lists every overlapping one; none is chosen by guess.",
        ),
        patient: Bilingual::new(
            "保険が ふたつ とうろくされています。",
            "Two insurers have you registered at the same time.",
        ),
        action: Bilingual::new(
            "患者さんに確認し、保険者に連絡してください。",
            "Ask the patient and call the insurers.",
        ),
    }
}
