//! `kazasu receipt verify` and `kazasu receipt audit`: offline, with nothing but files and the log's key.

use crate::cli::Common;
use crate::output::{Exit, Printer};
use crate::touch::{no_town, refuse};
use crate::town::Town;
use clap::{Args, Subcommand};
use protocol::problem::{Problem, ProblemCode};
use protocol::receipt::{Receipt, ReceiptStatement};
use serde::Serialize;
use std::path::{Path, PathBuf};
use tlog::audit::{Auditor, LogFault, check_heads};
use tlog::checkpoint::{LogPolicy, TrustedCheckpoint};
use tlog::hash::Hash;
use tlog::note::VerifierKey;
use tlog::proof::prove_consistency;
use tlog::proof_file::ProofFile;
use tlog::tile::{Tile, TileSource};

/// Octets of a receipt file at most.
const RECEIPT_OCTETS_MAX: u64 = 1 << 20;

/// `kazasu receipt …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Verify a receipt: did the platform answer this, and can it not take it back?
    #[command(after_help = "\
Examples:
  kazasu card touch hanako --json > touch.json
  kazasu receipt verify touch.json
  kazasu receipt verify receipt.json --log-key .kazasu/eligibility/receipt-log.vkey --json
The file: a receipt, or an answer with one. The key (name+id+key, C2SP signed-note) is text or a file; with
--dir or nothing it is the town's. Nobody is asked: the network may be down, and the platform gone.
Exit codes: 0 it holds, 1 it does not, 2 usage.")]
    Verify(VerifyArgs),
    /// Check a whole receipt log from its files: holes, changed entries, forks.
    #[command(after_help = "\
Examples:
  kazasu receipt audit
  kazasu receipt audit --folder copy/receipts --log-key receipt-log.vkey
  kazasu receipt audit --older yesterday/checkpoint      does today's log continue yesterday's?
Exit codes: 0 whole, 1 not, 2 usage.")]
    Audit(AuditArgs),
}

/// Whom to believe.
#[derive(Debug, Args)]
struct KeyArgs {
    /// The log's public key: text, or a file with it. The town's, if it is left out.
    #[arg(long, value_name = "KEY")]
    log_key: Option<String>,
}

/// `kazasu receipt verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Common options.
    #[command(flatten)]
    common: Common,
    /// A receipt, or any JSON answer that has one.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
}

/// `kazasu receipt audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Common options.
    #[command(flatten)]
    common: Common,
    /// The log's folder, or a copy of it. The town's, if it is left out.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A head of the same log that was kept earlier.
    #[arg(long, value_name = "FILE")]
    older: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

type Said<T> = Result<T, Box<Problem>>;

fn unusable(path: &Path, why: impl std::fmt::Display) -> Box<Problem> {
    Box::new(Problem::new(ProblemCode::InputUnusable).with_detail(format!("{}: {why}", path.display())))
}

fn invalid(why: impl std::fmt::Display) -> Box<Problem> {
    Box::new(Problem::new(ProblemCode::ReceiptInvalid).with_detail(why.to_string()))
}

/// Runs one of the two.
pub(crate) fn run(command: &ReceiptCommand) -> anyhow::Result<Exit> {
    match command {
        ReceiptCommand::Verify(args) => match verify(args)? {
            Ok(verified) => told(&verified, args.common.json, Verified::say),
            Err(problem) => refuse(&problem, args.common.json),
        },
        ReceiptCommand::Audit(args) => match audit(args)? {
            Ok(audited) => told(&audited, args.common.json, Audited::say),
            Err(problem) => refuse(&problem, args.common.json),
        },
    }
}

fn told<T: Serialize>(found: &T, json: bool, say: impl FnOnce(&T)) -> anyhow::Result<Exit> {
    if json {
        println!("{}", serde_json::to_string_pretty(found)?);
    } else {
        say(found);
    }
    Ok(Exit::Done)
}

/// The log of the key: its name is the key's.
fn policy(args: &KeyArgs, common: &Common) -> anyhow::Result<Said<LogPolicy>> {
    let text = match &args.log_key {
        Some(text) if text.contains('+') && !Path::new(text).exists() => text.clone(),
        Some(file) => match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return Ok(Err(unusable(Path::new(file), error))),
        },
        None => match Town::find(&common.dir)? {
            Some(town) => std::fs::read_to_string(town.receipt_log.key)?,
            None => return Ok(Err(Box::new(no_town(&common.dir)))),
        },
    };
    Ok(match VerifierKey::parse(text.trim()) {
        Ok(key) => {
            let name = key.name().to_owned();
            Ok(LogPolicy::log_alone(&name, key))
        }
        Err(error) => Err(unusable(Path::new("--log-key"), error)),
    })
}

/// What a receipt that holds says.
#[derive(Serialize)]
struct Verified {
    valid: bool,
    log: String,
    /// Number of the entry, from 0.
    entry: u64,
    /// Entries of the log when the receipt was made.
    entries: u64,
    statement: ReceiptStatement,
}

impl Verified {
    fn say(&self) {
        let when = i64::try_from(self.statement.answered_at)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .map_or_else(|| "?".to_owned(), |at| at.to_string());
        println!("  ✓ この受領証は本物です / this receipt holds");
        println!("    {} · {} / {}", self.log, self.entry, self.entries);
        println!(
            "    {when} · {} · {:?} ({})",
            self.statement.institution.as_str(),
            self.statement.validity,
            self.statement.as_of.as_str()
        );
        for coverage in &self.statement.coverage {
            let end = coverage.valid_to.as_ref().map_or("", |day| day.as_str());
            println!(
                "    {} · {} % · {} – {end}",
                coverage.insurer_number.as_str(),
                coverage.copay_percent,
                coverage.valid_from.as_str()
            );
        }
    }
}

/// The receipt in a file: the object itself, or what a touch or the platform answered.
fn read_receipt(path: &Path) -> Said<Receipt> {
    let length = std::fs::metadata(path).map_err(|error| unusable(path, error))?.len();
    if length > RECEIPT_OCTETS_MAX {
        return Err(unusable(path, "larger than any receipt"));
    }
    let octets = std::fs::read(path).map_err(|error| unusable(path, error))?;
    let value: serde_json::Value = serde_json::from_slice(&octets).map_err(|error| unusable(path, error))?;
    let places = ["", "/receipt", "/answer/receipt"];
    let found = places
        .iter()
        .filter_map(|place| value.pointer(place))
        .find(|found| found.get("statement").is_some() && found.get("salt").is_some());
    let found = found.ok_or_else(|| unusable(path, "no receipt in it"))?;
    serde_json::from_value(found.clone()).map_err(|error| unusable(path, error))
}

fn verify(args: &VerifyArgs) -> anyhow::Result<Said<Verified>> {
    let policy = match policy(&args.key, &args.common)? {
        Ok(policy) => policy,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(read_receipt(&args.file).and_then(|receipt| verify_receipt(&receipt, &policy)))
}

fn verify_receipt(receipt: &Receipt, policy: &LogPolicy) -> Said<Verified> {
    let proof = receipt.proof.as_deref().ok_or_else(|| invalid("it has no proof"))?;
    let proof = ProofFile::parse(proof).map_err(invalid)?;
    let (included, _) = proof.verify(&receipt.commitment(), policy).map_err(invalid)?;
    // Only now is the text worth reading.
    let statement: ReceiptStatement = serde_json::from_str(&receipt.statement).map_err(invalid)?;
    if statement.log != policy.origin {
        return Err(invalid("the statement names another log"));
    }
    let (entry, entries) = (included.index(), included.size());
    Ok(Verified { valid: true, log: policy.origin.clone(), entry, entries, statement })
}

/// What a whole log came to.
#[derive(Serialize)]
struct Audited {
    whole: bool,
    log: String,
    entries: u64,
    root: String,
    /// Entries of the older head that this log continues.
    continues: Option<u64>,
}

impl Audited {
    fn say(&self) {
        println!("  ✓ 記録は欠けていません / the log is whole");
        println!("    {} · {} · {}", self.log, self.entries, self.root);
        if let Some(older) = self.continues {
            println!("    {older} 件の時点から続いています / it continues the head of {older} entries");
        }
    }
}

/// A log's files.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn read(&self, name: &str) -> Vec<u8> {
        // A file that is not there has no octets, and the checker says which one was expected.
        std::fs::read(self.0.join(name)).unwrap_or_default()
    }
}

impl TileSource for Files<'_> {
    type Error = tlog::tile::TileError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error> {
        tile.read(&self.read(&tile.path()))
    }
}

fn head(path: &Path, policy: &LogPolicy) -> Said<TrustedCheckpoint> {
    let note = std::fs::read_to_string(path).map_err(|error| unusable(path, error))?;
    policy.trust(&note).map_err(|error| invalid(format!("{}: {error}", path.display())))
}

fn audit(args: &AuditArgs) -> anyhow::Result<Said<Audited>> {
    let policy = match policy(&args.key, &args.common)? {
        Ok(policy) => policy,
        Err(problem) => return Ok(Err(problem)),
    };
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => match Town::find(&args.common.dir)? {
            Some(town) => town.receipt_log.folder,
            None => return Ok(Err(Box::new(no_town(&args.common.dir)))),
        },
    };
    Ok(audit_folder(&folder, args, &policy))
}

fn audit_folder(folder: &Path, args: &AuditArgs, policy: &LogPolicy) -> Said<Audited> {
    let newest = head(&folder.join("checkpoint"), policy)?;
    check_files(&Files(folder), &newest, Printer::new(args.common.json)).map_err(invalid)?;
    let continues = match &args.older {
        None => None,
        Some(path) => {
            let older = head(path, policy)?;
            let (first, second) = (older.size().min(newest.size()), older.size().max(newest.size()));
            if second > newest.size() {
                return Err(invalid("the older head has more entries than the log: entries were lost"));
            }
            let proof = prove_consistency(&Files(folder), first, second).map_err(invalid)?;
            check_heads(&older, &newest, &proof).map_err(invalid)?;
            Some(older.size())
        }
    };
    Ok(Audited {
        whole: true,
        log: policy.origin.clone(),
        entries: newest.size(),
        root: newest.root().to_base64(),
        continues,
    })
}

fn check_files(files: &Files<'_>, head: &TrustedCheckpoint, printer: Printer) -> Result<(), LogFault> {
    let bar = printer.bar("記録を調べています / checking the log", head.size());
    let mut auditor = Auditor::new();
    while let Some((path, width)) = auditor.next_bundle(head.size()) {
        for tile in auditor.read_bundle(&files.read(&path), width)? {
            auditor.compare(tile, &files.read(&tile.path()))?;
        }
        bar.set_position(auditor.entries());
    }
    for tile in auditor.partial_tiles() {
        auditor.compare(tile, &files.read(&tile.path()))?;
    }
    bar.finish_and_clear();
    auditor.conclude(head)
}
