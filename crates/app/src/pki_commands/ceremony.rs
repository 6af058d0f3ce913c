//! `kazasu pki ceremony`: keys that others will trust, made from a file (docs/key-ceremony.md).

use crate::cli::Common;
use crate::output::{Exit, Printer};
use crate::touch::refuse;
use chassis::clock::SystemClock;
use chassis::entropy::SystemEntropy;
use clap::{Args, Subcommand};
use hsm::{KeyError, KeySource};
use jpki_authority::ceremony::CeremonyError;
use jpki_authority::ceremony::approval::{Approvals, approvals_path};
use jpki_authority::ceremony::file::CeremonyFile;
use jpki_authority::ceremony::perform::{Ceremony, Step};
use jpki_authority::ceremony::transcript::{self, Looked, Transcript};
use protocol::answer::Bilingual;
use protocol::problem::{Problem, ProblemCode};
use protocol::time::Clock as _;
use std::path::{Path, PathBuf};

/// Examples for the help page.
pub(crate) const CEREMONY_EXAMPLES: &str = "\
The file says everything beforehand: what is made (root, subordinate, request, certify, delegate), where the key
is (a file or a PKCS#11 token), who approves and who watches. samples/ceremony_*.toml; docs/key-ceremony.md.

Examples:
  kazasu pki ceremony root.toml --dry-run                         looks, and makes nothing
  kazasu pki ceremony sign root.toml --operator-key alice.key     each of at least two operators
  kazasu pki ceremony root.toml                                   makes the key and everything that belongs to it
  kazasu pki ceremony --check out/transcript.json                 years later: is everything as it was?
An operator's key: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out alice.key
and for the file:  openssl pkey -in alice.key -pubout -outform DER | base64 -w0

A ceremony that broke off is run again with the same file: it goes on where it was. Nothing is overwritten.
Exit codes: 0 done or unchanged, 1 refused or changed, 2 usage.";

/// `kazasu pki ceremony`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct CeremonyArgs {
    /// Common options.
    #[command(flatten)]
    common: Common,
    /// The ceremony file.
    #[arg(required_unless_present = "check", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Look at everything and make nothing; approvals may still be missing.
    #[arg(long)]
    dry_run: bool,
    /// Check a transcript and everything that lies beside it.
    #[arg(long, value_name = "TRANSCRIPT", conflicts_with_all = ["file", "dry_run"])]
    check: Option<PathBuf>,
    /// Or approve.
    #[command(subcommand)]
    command: Option<CeremonyCommand>,
}

/// `kazasu pki ceremony …`.
#[derive(Debug, Subcommand)]
enum CeremonyCommand {
    /// Approve a ceremony file: sign it as it is, into FILE.approvals.
    Sign(SignArgs),
}

/// `kazasu pki ceremony sign`.
#[derive(Debug, Args)]
struct SignArgs {
    /// The ceremony file.
    file: PathBuf,
    /// The operator's P-256 key: PKCS#8, PEM or DER, mode 0600.
    #[arg(long, value_name = "KEY")]
    operator_key: PathBuf,
}

/// `kazasu pki ceremony`.
pub(crate) fn run(args: &CeremonyArgs) -> anyhow::Result<Exit> {
    let json = args.common.json;
    let outcome = match (&args.command, &args.check, &args.file) {
        (Some(CeremonyCommand::Sign(sign)), _, _) => approve(sign, json),
        (None, Some(transcript), _) => return check(transcript, json),
        (None, None, Some(file)) if args.dry_run => rehearse(file, json),
        (None, None, Some(file)) => hold(file, json),
        (None, None, None) => return Ok(Exit::Usage),
    };
    match outcome {
        Ok(exit) => Ok(exit),
        Err(error) => refuse(&problem(&error), json),
    }
}

fn problem(error: &CeremonyError) -> Problem {
    let code = match error {
        CeremonyError::File { .. } => ProblemCode::InputUnusable,
        CeremonyError::Key(KeyError::Config { .. }) => ProblemCode::InputUnusable,
        CeremonyError::Disk { .. } => ProblemCode::InputUnusable,
        CeremonyError::Approval(_) => ProblemCode::CeremonyNotApproved,
        CeremonyError::Key(_) => ProblemCode::KeyPlaceRefused,
        CeremonyError::AlreadyThere { .. }
        | CeremonyError::KeyTaken { .. }
        | CeremonyError::AnotherBrokeOff { .. }
        | CeremonyError::Issue(_)
        | CeremonyError::Check { .. } => ProblemCode::CeremonyRefused,
    };
    Problem::new(code).with_detail(error.to_string())
}

/// People read the plan before anything is done, whatever the output is.
fn say_plan(plan: &[Bilingual], printer: Printer) {
    for line in plan {
        printer.say(&format!("  ・{}", line.ja));
        printer.say(&format!("    {}", line.en));
    }
}

fn print_json(value: &serde_json::Value) {
    println!("{value:#}");
}

fn approve(args: &SignArgs, json: bool) -> Result<Exit, CeremonyError> {
    let (file, octets) = CeremonyFile::load(&args.file)?;
    let signer = KeySource::File(args.operator_key.clone()).open()?;
    let path = approvals_path(&args.file);
    let mut approvals = Approvals::load(&path)?;
    say_plan(&jpki_authority::ceremony::perform::plan(&file), Printer::new(json));
    let operator = approvals.add(&file, &octets, signer.as_ref(), SystemClock.now())?;
    chassis::files::write_atomic(&path, approvals.to_text().as_bytes())
        .map_err(|error| CeremonyError::Disk { path: path.clone(), problem: error.to_string() })?;
    let still_missing = match approvals.verify(&file, &octets) {
        Ok(()) => None,
        Err(error) => Some(error.to_string()),
    };
    if json {
        print_json(&serde_json::json!({ "approved_by": operator, "still_missing": still_missing }));
        return Ok(Exit::Done);
    }
    println!("  ✓ {operator} が承認しました / approved by {operator}: {}", path.display());
    if let Some(missing) = still_missing {
        println!("    {missing}");
    }
    Ok(Exit::Done)
}

fn rehearse(path: &Path, json: bool) -> Result<Exit, CeremonyError> {
    let (file, octets) = CeremonyFile::load(path)?;
    say_plan(&jpki_authority::ceremony::perform::plan(&file), Printer::new(json));
    let approvals = Approvals::load(&approvals_path(path))?;
    let approved = approvals.verify(&file, &octets);
    Ceremony::unapproved(file, octets, approvals).rehearse(SystemClock.now())?;
    let missing = match approved {
        Ok(()) => None,
        Err(CeremonyError::Approval(problem)) => Some(problem.to_string()),
        Err(other) => return Err(other),
    };
    if json {
        print_json(
            &serde_json::json!({ "possible": true, "approved": missing.is_none(), "still_missing": missing }),
        );
    } else {
        println!("  ✓ 行えます。何もつくっていません / possible; nothing was made");
        if let Some(missing) = missing {
            println!("    {missing}");
        }
    }
    Ok(Exit::Done)
}

fn hold(path: &Path, json: bool) -> Result<Exit, CeremonyError> {
    let printer = Printer::new(json);
    let ceremony = Ceremony::prepare(path)?;
    say_plan(&ceremony.plan(), printer);
    let mut before = |step: Step| {
        let (ja, en) = words(step);
        printer.say(&format!("  … {ja} / {en}"));
        Ok(())
    };
    let tool = concat!("kazasu ", env!("CARGO_PKG_VERSION"));
    let outcome = ceremony.perform(tool, &SystemClock, &mut SystemEntropy, &mut before)?;
    if json {
        print_json(&serde_json::json!({
            "folder": outcome.folder,
            "resumed": outcome.resumed,
            "transcript": outcome.transcript,
        }));
        return Ok(Exit::Done);
    }
    println!("  ✓ {} にできました / done, in {}", outcome.folder.display(), outcome.folder.display());
    if outcome.resumed {
        println!("    途中からの続きです / went on with one that had broken off");
    }
    print_digests(&outcome.transcript);
    Ok(Exit::Done)
}

const fn words(step: Step) -> (&'static str, &'static str) {
    match step {
        Step::Begin => ("場所をつくり、乱数を書きとめる", "making the folder, writing down what is random"),
        Step::MakeKey => ("鍵をつくる", "making the key"),
        Step::Issue => ("発行する", "issuing"),
        Step::Check => ("読み返して確かめる", "reading back and checking"),
        Step::Record => ("記録に署名する", "signing the transcript"),
        Step::Publish => ("結果を置く", "putting the results in place"),
    }
}

/// For paper: what those present write down, and compare later.
fn print_digests(transcript: &Transcript) {
    println!("  SHA-256（紙に書きとめる / for paper）");
    println!("    {}  public key", transcript.signed_by);
    for artefact in &transcript.artefacts {
        println!("    {}  {}", artefact.sha256, artefact.file);
    }
}

fn check(path: &Path, json: bool) -> anyhow::Result<Exit> {
    let (transcript, looked) = match transcript::check(path) {
        Ok(checked) => checked,
        Err(error) => return refuse(&problem(&error), json),
    };
    let wrong: Vec<&Looked> = looked.iter().filter(|looked| !looked.holds).collect();
    if json && wrong.is_empty() {
        print_json(&serde_json::json!({ "unchanged": true, "transcript": transcript, "checked": looked }));
        return Ok(Exit::Done);
    }
    if !json {
        println!("  「{}」 {} – {}", transcript.title, transcript.began, transcript.finished);
        for looked in &looked {
            println!("  {} {}: {}", if looked.holds { "✓" } else { "✕" }, looked.what, looked.detail);
        }
    }
    if wrong.is_empty() {
        println!("  ✓ 記録のとおりです / everything is as the transcript says");
        print_digests(&transcript);
        return Ok(Exit::Done);
    }
    let detail: Vec<String> =
        wrong.iter().map(|looked| format!("{}: {}", looked.what, looked.detail)).collect();
    refuse(&Problem::new(ProblemCode::TranscriptDiffers).with_detail(detail.join("; ")), json)
}
