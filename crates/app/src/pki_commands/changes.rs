//! `kazasu pki changes`: has anything changed about the certificates that are kept ([`pki::watch`])? The file of
//! them holds serial numbers, which lead to people: nobody but its owner may read it, and nothing here prints one.

mod kept_file;

use super::validate::files::{self, Kind};
use super::validate::instant;
use crate::card_commands::{Refusal, ended};
use crate::cli::Common;
use crate::output::{Exit, print_problem};
use chassis::clock::SystemClock;
use clap::Args;
use kept_file::{Entry, KeptFile};
use pki::asn1::time::CertificateTime;
use pki::validate::TrustAnchor;
use pki::validate::input::Freshness;
use pki::watch::{Change, Kept, KeptStatus, Publications, Word, compare};
use protocol::problem::{Problem, ProblemCode};
use protocol::time::{Clock as _, UnixSeconds};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Examples and meanings for the help page.
pub(crate) const CHANGES_EXAMPLES: &str = "\
The file is JSON, described in docs/document-signatures.md; it must be readable by its owner only (mode 0600).
Certificates are told by the labels that you gave them, never by serial number.

Examples:
  kazasu pki changes --kept kept.json --trust sign-ca.pem --crl sign.crl --add a17=hanako.sign.pem --out kept.json
  kazasu pki changes --kept kept.json --trust sign-ca.pem --crl sign.crl --out kept.json --json
  kazasu pki changes --kept kept.json --trust sign-ca.pem --crl sign.crl sign-delta.crl

Exit codes: 0 every status is known and none has changed, 1 otherwise, 2 usage.";

/// `kazasu pki changes`.
#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What is kept.
    #[arg(long, value_name = "FILE")]
    kept: PathBuf,
    /// Trusted certificates of the issuers, DER or PEM.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// Revocation lists: complete, of a part, deltas. DER or PEM.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Keep another certificate, under a label of your own; may be repeated.
    #[arg(long, value_name = "LABEL=FILE", value_parser = labelled)]
    add: Vec<(String, PathBuf)>,
    /// Where to write what is to be kept from now on; may be the same file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The instant asked about: RFC 3339, or seconds since 1970; now, if left out.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<UnixSeconds>,
    /// A list older than this calls nobody good, whatever its nextUpdate.
    #[arg(long, value_name = "SECONDS")]
    status_age_max: Option<u64>,
    /// How far clocks may differ; 0 if --at is given, else 60.
    #[arg(long, value_name = "SECONDS")]
    clock_tolerance: Option<u64>,
}

fn labelled(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((label, file)) if !label.is_empty() && !file.is_empty() => Ok((label.to_owned(), file.into())),
        _ => Err("a label, =, and a file".to_owned()),
    }
}

/// `kazasu pki changes`.
pub(crate) fn run(args: &ChangesArgs) -> anyhow::Result<Exit> {
    ended(changes(args), args.common.json)
}

fn unusable(why: impl std::fmt::Display) -> Refusal {
    Refusal::new(ProblemCode::InputUnusable, why)
}

/// One kept certificate and what has become of it.
struct Found {
    label: String,
    change: Change,
    word: Option<Word>,
    kept: Kept,
}

fn changes(args: &ChangesArgs) -> anyhow::Result<Exit> {
    let read = |paths: &[PathBuf], kind| files::read_all(paths, kind).map_err(unusable);
    let mut anchors = Vec::new();
    for input in read(&args.trust, Kind::Certificate)? {
        let anchor = TrustAnchor::from_certificate(&input.der);
        anchors.push(anchor.map_err(|problem| unusable(format!("{}: {problem}", input.name)))?);
    }
    let mut file = if args.kept.exists() || args.add.is_empty() {
        KeptFile::read(&args.kept).map_err(unusable)?
    } else {
        KeptFile::default()
    };
    for (label, path) in &args.add {
        for input in read(std::slice::from_ref(path), Kind::Certificate)?.into_iter().take(1) {
            let kept = Kept::of_certificate(&input.der, &anchors);
            let kept = kept.map_err(|problem| unusable(format!("{}: {problem}", input.name)))?;
            file.add(label, kept).map_err(unusable)?;
        }
    }
    let now = args.at.unwrap_or_else(|| SystemClock.now());
    let freshness = freshness(args);
    let lists = read(&args.crl, Kind::List)?;
    let mut ignored = Vec::new();
    let mut publications = Publications::new();
    for input in &lists {
        let added = publications.add(&input.der, &anchors);
        ignored.extend(added.err().map(|problem| format!("{}: {problem}", input.name)));
    }
    let kept: Vec<Kept> = file.entries().iter().map(|entry| entry.kept.clone()).collect();
    let words = publications.words(&kept).map_err(unusable)?;
    let found: Vec<Found> = file
        .entries()
        .iter()
        .zip(&words)
        .map(|(Entry { label, kept }, words)| {
            let (change, word, kept) = compare(kept, words, now, &freshness);
            Found { label: label.clone(), change, word, kept }
        })
        .collect();
    if let Some(out) = &args.out {
        KeptFile::of(&found).write(out)?;
    }
    report(args, &found, &ignored, now, &freshness)
}

fn freshness(args: &ChangesArgs) -> Freshness {
    let usual = Freshness::default();
    let tolerance = args.clock_tolerance.or(args.at.map(|_| 0));
    Freshness {
        age_seconds_max: args.status_age_max.unwrap_or(usual.age_seconds_max),
        clock_tolerance_seconds: tolerance.unwrap_or(usual.clock_tolerance_seconds),
        ..usual
    }
}

/// Whether somebody should look at it.
const fn is_quiet(change: Change) -> bool {
    matches!(change, Change::Unchanged(_) | Change::FirstSeen(KeptStatus::Good))
}

fn rfc3339(at: UnixSeconds) -> String {
    CertificateTime::from(at).to_rfc3339()
}

/// The times that a word was judged by.
fn times(word: &Word, now: UnixSeconds, freshness: &Freshness) -> (String, u64, u64) {
    let limit = freshness.limit_seconds(word.this_update.into(), word.next_update.map(Into::into));
    (rfc3339(word.this_update), now.since(word.this_update), limit)
}

/// The first list that is older than what is kept: that is an attack, or a mistake, and not a change.
fn rollback(found: &[Found], now: UnixSeconds, freshness: &Freshness) -> Option<Problem> {
    let (one, word) = found.iter().find_map(|one| match one.change {
        Change::OlderThanKept { as_of, .. } => Some((as_of, one.word?)),
        _ => None,
    })?;
    let (this_update, age, limit) = times(&word, now, freshness);
    let detail = format!(
        "thisUpdate {this_update}, 前回 / kept {}, 経過 / age {age} s, 上限 / limit {limit} s, 時計の差 / clock offset -",
        rfc3339(one)
    );
    Some(Problem::new(ProblemCode::RevocationListOlderThanKept).with_detail(detail))
}

fn report(
    args: &ChangesArgs,
    found: &[Found],
    ignored: &[String],
    now: UnixSeconds,
    freshness: &Freshness,
) -> anyhow::Result<Exit> {
    let problem = rollback(found, now, freshness);
    let changed = found.iter().filter(|one| !is_quiet(one.change) && !one.change.is_unknown()).count();
    let unknown = found.iter().filter(|one| one.change.is_unknown()).count();
    if args.common.json {
        let told = json!({
            "changed": changed,
            "unknown": unknown,
            "problem": problem,
            "kept": found.iter().map(|one| shown(one, now, freshness)).collect::<Vec<_>>(),
            "ignored": ignored,
            "at": rfc3339(now),
        });
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        for one in found {
            println!("{:<16} {} / {}", one.label, japanese(one.change), one.change.as_str());
            if let Some(word) = &one.word {
                let (this_update, age, limit) = times(word, now, freshness);
                println!(
                    "                 thisUpdate {this_update}, 経過 / age {age} s, 上限 / limit {limit} s"
                );
            }
        }
        println!("変化 / changed {changed}, 不明 / unknown {unknown}");
        ignored.iter().for_each(|why| println!("使えませんでした / of no use: {why}"));
        problem.iter().for_each(print_problem);
    }
    Ok(if changed + unknown == 0 { Exit::Done } else { Exit::Refused })
}

fn shown(one: &Found, now: UnixSeconds, freshness: &Freshness) -> Value {
    let (status, reason, since) = kept_file::words(one.kept.status);
    let times = one.word.as_ref().map(|word| times(word, now, freshness));
    json!({
        "label": one.label,
        "change": one.change.as_str(),
        "status": status,
        "reason": reason,
        "since": since.map(rfc3339),
        "as_of": one.kept.as_of.map(rfc3339),
        "this_update": times.as_ref().map(|(this_update, ..)| this_update),
        "age_seconds": times.as_ref().map(|(_, age, _)| age),
        "limit_seconds": times.as_ref().map(|(.., limit)| limit),
    })
}

const fn japanese(change: Change) -> &'static str {
    match change {
        Change::FirstSeen(KeptStatus::Good) => "はじめて確認しました。失効していません",
        Change::FirstSeen(_) => "はじめて確認しました。有効ではありません",
        Change::Unchanged(_) => "変わっていません",
        Change::Revoked { .. } => "失効しました",
        Change::PutOnHold { .. } => "一時停止になりました",
        Change::Released => "一時停止が解除されました",
        Change::HeldAgain { .. } => "解除のあと、再び一時停止になりました",
        Change::HoldBecame { .. } => "一時停止から失効になりました",
        Change::ReasonChanged { .. } => "失効の理由か日時が変わりました",
        Change::NoLongerListed => "リストから消えましたが、失効のままです",
        Change::NotCovered => "このリストでは分かりません",
        Change::OlderThanKept { .. } => "前回より古いリストなので使いません",
        Change::TooOld { .. } => "リストが古すぎて分かりません",
        Change::FromTheFuture { .. } => "リストが未来の日付なので使いません",
    }
}
