//! The receipt of a check: what was answered to whom, so that a third party can verify it later.
//!
//! The platform's log holds for each check 32 octets that tell nothing: a salted commitment to the
//! statement. Whoever has statement and salt (the institution, and whom it shows them to) can prove with the
//! log's signed head that the platform said so then, and could not take it back.

use crate::answer::{Answer, CivilDate, InsurerLoad, Proof, Validity};
use crate::base64_bytes;
use crate::ids::{BranchNumber, InstitutionCode, InsuredNumber, InsuredSymbol, InsurerNumber};
use crate::time::UnixSeconds;
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the statement's form.
pub const STATEMENT_VERSION: u32 = 1;
/// What is hashed before salt and statement, so that no other hash of this house means a receipt.
const DOMAIN: &[u8] = b"KAZASU-RECEIPT-v1";
/// Octets of a salt.
pub const SALT_OCTETS: usize = 16;

/// A receipt as it is handed out.
#[doc(alias = "受領証")]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The text of a [`ReceiptStatement`], to the octet: the commitment is over this text.
    pub statement: String,
    /// 16 random-looking octets: without them nobody can try statements against the log.
    #[serde(with = "base64_bytes")]
    pub salt: [u8; SALT_OCTETS],
    /// That the log has it: a C2SP tlog-proof with the log's signed head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt(****)")
    }
}

impl Receipt {
    /// The log's entry: SHA-256 over domain, salt and statement.
    pub fn commitment(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(DOMAIN);
        context.update(&self.salt);
        context.update(self.statement.as_bytes());
        let mut entry = [0; 32];
        for (to, from) in entry.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        entry
    }
}

/// What a receipt says. No name: who shows it knows whose it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptStatement {
    /// [`STATEMENT_VERSION`].
    pub version: u32,
    /// Name of the log.
    pub log: String,
    /// Number of the platform's audit record.
    pub audit_record: u64,
    /// When, in seconds from 1970.
    pub answered_at: u64,
    /// To which institution.
    pub institution: InstitutionCode,
    /// SHA-256 over the touch's statement and seal: which touch.
    #[serde(with = "base64_bytes")]
    pub touch_sha256: [u8; 32],
    /// The answer's validity.
    pub validity: Validity,
    /// The day the answer is about.
    pub as_of: CivilDate,
    /// The coverages that were answered.
    pub coverage: Vec<ReceiptCoverage>,
    /// How fresh the insurers' data was.
    pub loads: Vec<InsurerLoad>,
    /// What stood behind the answer.
    pub proof: Proof,
}

/// A coverage as the receipt names it: what a bill rests on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptCoverage {
    /// Number of the insurer.
    pub insurer_number: InsurerNumber,
    /// Symbol.
    pub symbol: InsuredSymbol,
    /// Number.
    pub number: InsuredNumber,
    /// Branch number.
    pub branch: BranchNumber,
    /// What the patient pays, in percent of the bill.
    pub copay_percent: u8,
    /// First day.
    pub valid_from: CivilDate,
    /// Last day, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<CivilDate>,
}

/// Which check a receipt is about.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptOf<'a> {
    /// Name of the log.
    pub log: &'a str,
    /// Number of the audit record.
    pub audit_record: u64,
    /// When it is answered.
    pub at: UnixSeconds,
    /// Who asked.
    pub institution: &'a InstitutionCode,
    /// SHA-256 over the touch's statement and seal.
    pub touch_sha256: [u8; 32],
}

impl ReceiptStatement {
    /// The statement about an answer.
    pub fn new(of: ReceiptOf<'_>, answer: &Answer) -> Self {
        let coverage = answer.coverage.iter().map(|coverage| ReceiptCoverage {
            insurer_number: coverage.insurer_number.clone(),
            symbol: coverage.symbol.clone(),
            number: coverage.number.clone(),
            branch: coverage.branch.clone(),
            copay_percent: coverage.copay_percent,
            valid_from: coverage.valid_from.clone(),
            valid_to: coverage.valid_to.clone(),
        });
        Self {
            version: STATEMENT_VERSION,
            log: of.log.to_owned(),
            audit_record: of.audit_record,
            answered_at: of.at.0,
            institution: *of.institution,
            touch_sha256: of.touch_sha256,
            validity: answer.validity,
            as_of: answer.as_of.clone(),
            coverage: coverage.collect(),
            loads: answer.loads.clone(),
            proof: answer.proof.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commitment_is_over_domain_salt_and_text() {
        let receipt = Receipt { statement: "{}".into(), salt: [1; 16], proof: None };
        let input = [b"KAZASU-RECEIPT-v1".as_slice(), &[1; 16], b"{}"].concat();
        let plain = aws_lc_rs::digest::digest(&SHA256, &input);
        assert_eq!(receipt.commitment().as_slice(), plain.as_ref());
        let others = [
            Receipt { salt: [2; 16], ..receipt.clone() },
            Receipt { statement: "{} ".into(), ..receipt.clone() },
        ];
        for other in others {
            assert_ne!(other.commitment(), receipt.commitment());
        }
        let with_proof = Receipt { proof: Some("x".into()), ..receipt.clone() };
        assert_eq!(with_proof.commitment(), receipt.commitment());
        assert_eq!(format!("{receipt:?}"), "Receipt(****)");
    }
}
