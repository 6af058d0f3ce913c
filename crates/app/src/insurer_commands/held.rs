//! Rows that are held, and what somebody decides about them.

use super::PlatformStore;
use crate::output::Exit;
use crate::touch::refuse;
use chassis::clock::SystemClock;
use clap::Args;
use eligibility::store::feed::{FeedStore as _, HeldReason, RowResult, Settlement};
use protocol::problem::{Problem, ProblemCode};
use protocol::time::Clock as _;

/// `kazasu insurer held`.
#[derive(Debug, Args)]
pub(crate) struct HeldArgs {
    #[command(flatten)]
    store: PlatformStore,
}

/// `kazasu insurer release` and `discard`.
#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    #[command(flatten)]
    store: PlatformStore,
    /// Number of the row, as `kazasu insurer held` lists it.
    number: u64,
}

const fn words(reason: HeldReason) -> &'static str {
    match reason {
        HeldReason::BirthDateDiffers => "生年月日が登録と違います / the birth date is not the registered one",
        HeldReason::SexDiffers => "性別が登録と違います / the sex is not the registered one",
        HeldReason::NameDiffers => "氏名もカナも登録と違います / neither name nor kana is the registered one",
        HeldReason::PersonDiffers => "別の人に紐づいています / it is tied to another person",
    }
}

pub(super) fn list(args: &HeldArgs) -> anyhow::Result<Exit> {
    let json = args.store.common.json;
    let store = match args.store.open()? {
        Ok(store) => store,
        Err(problem) => return refuse(&problem, json),
    };
    let mut rows = Vec::new();
    loop {
        let more =
            store.held_rows(rows.last().map_or(0, |row: &eligibility::store::feed::HeldRow| row.number))?;
        if more.is_empty() {
            break;
        }
        rows.extend(more);
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(Exit::Done);
    }
    for row in &rows {
        println!(
            "{:>6}  {}  load {} row {}  {}",
            row.number,
            row.insurer.as_str(),
            row.load,
            row.row,
            words(row.reason)
        );
    }
    println!("保留 {0} 件 / {0} held", rows.len());
    Ok(Exit::Done)
}

pub(super) fn release(args: &SettleArgs) -> anyhow::Result<Exit> {
    settle(args, Settlement::Release)
}

pub(super) fn discard(args: &SettleArgs) -> anyhow::Result<Exit> {
    settle(args, Settlement::Discard)
}

fn settle(args: &SettleArgs, settlement: Settlement) -> anyhow::Result<Exit> {
    let json = args.store.common.json;
    let store = match args.store.open()? {
        Ok(store) => store,
        Err(problem) => return refuse(&problem, json),
    };
    let (word, ja) = match settlement {
        Settlement::Release => ("released", "適用しました"),
        Settlement::Discard => ("discarded", "破棄しました"),
    };
    match store.settle_held(args.number, settlement, SystemClock.now())? {
        Some(RowResult::Taken(_)) if json => {
            println!("{}", serde_json::json!({ "number": args.number, "outcome": word }));
            Ok(Exit::Done)
        }
        Some(RowResult::Taken(_)) => {
            println!("{} {ja} / {word}", args.number);
            Ok(Exit::Done)
        }
        Some(_) | None => {
            let detail = format!("no held row {}", args.number);
            refuse(&Problem::new(ProblemCode::InputUnusable).with_detail(detail), json)
        }
    }
}
