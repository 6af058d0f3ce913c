//! The authority's office: is the audit whole, and did a crash leave an approved request unfinished.

use super::{Finding, both};
use crate::town::Town;
use chassis::entropy::SystemEntropy;
use jpki_authority::approval::desk::ApprovalDesk;
use jpki_authority::audit::{self, AuditFault};

fn opened(town: &Town) -> anyhow::Result<ApprovalDesk> {
    let config = jpki_authority::serve::load_config(&town.rooms.jpki_authority.room.config)?;
    anyhow::ensure!(config.store.exists(), "{} is missing", config.store.display());
    Ok(ApprovalDesk::open(&config, &mut SystemEntropy)?)
}

fn chain(desk: &ApprovalDesk) -> Finding {
    let check = "authority.audit";
    match audit::verify(desk.store(), desk.audit_key(), None) {
        Ok(head) => {
            let lines = head.map_or(0, |head| head.number);
            Finding::ok(
                check,
                both(
                    format!("監査記録 {lines} 行に欠けも改変もありません"),
                    format!("the audit's {lines} lines: none missing or changed"),
                ),
            )
        }
        Err(AuditFault::Store(error)) => unreadable(&error),
        Err(fault) => Finding::fail(
            check,
            both(format!("監査記録がつながりません: {fault}"), format!("the audit is broken: {fault}")),
            both(
                "記録と控えをそのまま保全し、監査の責任者に知らせてください",
                "keep the store and the backups as they are, and tell whoever is responsible for the audit",
            ),
        ),
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Finding {
    Finding::fail(
        "authority.audit",
        both(format!("監査記録を読めません: {error}"), format!("the audit cannot be read: {error}")),
        both(
            "認証局の記録装置と鍵のフォルダーを確かめてください",
            "look at the authority's store and its folder of keys",
        ),
    )
}

fn unfinished(desk: &ApprovalDesk) -> Finding {
    let check = "authority.requests";
    match desk.unfinished() {
        Ok(open) => match open.first() {
            None => Finding::ok(
                check,
                both("実行を待つ承認済みの依頼はありません", "no approved request waits for its execution"),
            ),
            Some(first) => Finding::warn(
                check,
                both(
                    format!("承認されて実行されていない依頼が {} 件あります", open.len()),
                    format!("{} approved requests were not executed", open.len()),
                ),
                both(
                    format!("kazasu pki approve {first} --finish を実行してください"),
                    format!("run kazasu pki approve {first} --finish"),
                ),
            ),
        },
        Err(error) => unreadable(&error),
    }
}

/// Both findings, or why there is none.
pub(super) fn examine(town: &Town) -> Vec<Finding> {
    match opened(town) {
        Ok(desk) => vec![chain(&desk), unfinished(&desk)],
        Err(error) => vec![unreadable(&error)],
    }
}
