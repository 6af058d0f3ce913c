//! `kazasu pki request | approve | pending`: what takes two people.

use super::cards::KindWord;
use super::operators::key_in;
use super::{Which, now, public_key_in, refusal, rfc3339, unusable, unusable_file};
use crate::output::Exit;
use crate::touch::refuse;
use chassis::entropy::SystemEntropy;
use clap::{Args, Subcommand};
use jpki_authority::Authority;
use jpki_authority::approval::desk::{ApprovalDesk, Execution, KeptRequest, RequestState};
use jpki_authority::approval::{
    ApprovalError, Decided, Octets, Operation, RequestId, SignedDecision, SignedRequest, Verdict,
};
use jpki_authority::config::Config;
use jpki_authority::error::AuthorityError;
use pki::pem::{self, PemKind};
use protocol::linkage_v1::WireSerial;
use protocol::problem::Problem;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) const REQUEST_EXAMPLES: &str = "\
Examples:
  kazasu pki request --operator aoi --key aoi.key accredit 1310000001 --name '見本内科クリニック'
  kazasu pki request --operator aoi --key aoi.key --why 'terminal stolen' suspend 1310000001
  kazasu pki request --operator aoi --key aoi.key revoke-many --kind auth --reason keyCompromise --serials batch.txt
  kazasu pki request --operator aoi --key aoi.key accept-departure --kind auth --serials departed.txt
  kazasu pki request --operator aoi --key aoi.key replace-delegates
  kazasu pki request --operator aoi --key aoi.key certify-authority --kind sign --common-name 'Bridge' --public-key ca.pem --days 365
  kazasu pki request --operator aoi --key aoi.key enrol-operator chie --public-key chie.pem
Then another operator: kazasu pki approve ID --operator ben --key ben.key

What one person does at once, without this: revoke, hold, release, issue, renew, publish.";
pub(super) const APPROVE_EXAMPLES: &str = "\
Examples:
  kazasu pki approve 3f2a --operator ben --key ben.key            ID may be cut short while it is clear
  kazasu pki approve 3f2a --operator ben --key ben.key --out sub-ca.pem
  kazasu pki approve 3f2a --operator ben --key ben.key --refuse   whoever requested takes it back the same way
  kazasu pki approve 3f2a --finish                                executes what was approved before a crash";
pub(super) const PENDING_EXAMPLES: &str = "\
Examples:
  kazasu pki pending
  kazasu pki pending --all --json";

/// `kazasu pki request`.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// Who requests.
    #[arg(long, value_name = "NAME")]
    operator: String,
    /// That operator's private key: P-256, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Why, for whoever decides.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// How long it may wait.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=168))]
    wait_hours: u64,
    /// What is requested.
    #[command(subcommand)]
    what: What,
}

/// What can be requested.
#[derive(Debug, Subcommand)]
enum What {
    /// Another operator.
    EnrolOperator {
        /// The name.
        name: String,
        /// The P-256 public key: PEM or DER.
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
    },
    /// One operator less; two have to be left.
    RemoveOperator {
        /// The name.
        name: String,
    },
    /// From now on the institution's terminals get certificates.
    Accredit {
        /// Its code: ten digits.
        institution: String,
        /// Its name.
        #[arg(long)]
        name: String,
    },
    /// From now on the institution's terminals get no certificates.
    Suspend {
        /// Its code: ten digits.
        institution: String,
    },
    /// Revoke many certificates for one reason.
    RevokeMany {
        /// Of which kind.
        #[arg(long, value_enum)]
        kind: KindWord,
        /// Why: an identifier of RFC 5280 §5.3.1.
        #[arg(long)]
        reason: String,
        /// Serial numbers, one per line, in hexadecimal.
        #[arg(long, value_name = "FILE")]
        serials: PathBuf,
    },
    /// Let the next lists leave certificates out that nobody released: after a restored backup only.
    AcceptDeparture {
        /// Of which kind.
        #[arg(long, value_enum)]
        kind: KindWord,
        /// Serial numbers, one per line, in hexadecimal.
        #[arg(long, value_name = "FILE")]
        serials: PathBuf,
    },
    /// New keys for the OCSP delegates of the running authority.
    ReplaceDelegates,
    /// A certificate for another authority under one of the two.
    CertifyAuthority {
        /// By which authority.
        #[arg(long, value_enum)]
        kind: KindWord,
        /// CN of the new authority.
        #[arg(long)]
        common_name: String,
        /// Its public key: PEM or DER.
        #[arg(long, value_name = "FILE")]
        public_key: PathBuf,
        /// How many days it counts.
        #[arg(long)]
        days: u32,
    },
}

/// `kazasu pki approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// The request, as `pending` lists it.
    id: String,
    /// Who decides.
    #[arg(long, value_name = "NAME", required_unless_present = "finish")]
    operator: Option<String>,
    /// That operator's private key: P-256, PEM.
    #[arg(long, value_name = "FILE", required_unless_present = "finish")]
    key: Option<PathBuf>,
    /// Refuse it instead.
    #[arg(long)]
    refuse: bool,
    /// Execute what was approved already: a crash came in between.
    #[arg(long, conflicts_with_all = ["operator", "key", "refuse"])]
    finish: bool,
    /// Where to write what is signed, in PEM.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `kazasu pki pending`.
#[derive(Debug, Args)]
pub(crate) struct PendingArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// Executed and refused ones too.
    #[arg(long)]
    all: bool,
}

fn serials_in(path: &Path) -> Result<Vec<WireSerial>, Box<Problem>> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable_file(path, error))?;
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    numbered
        .map(|(at, line)| {
            WireSerial::try_from(line.trim().to_owned())
                .map_err(|error| unusable_file(path, format!("line {}: {error}", at + 1)))
        })
        .collect()
}

fn operation(what: &What) -> Result<Operation, Box<Problem>> {
    Ok(match what {
        What::EnrolOperator { name, public_key } => {
            Operation::EnrolOperator { name: name.clone(), public_key: Octets(public_key_in(public_key)?) }
        }
        What::RemoveOperator { name } => Operation::RemoveOperator { name: name.clone() },
        What::Accredit { institution, name } => {
            Operation::AccreditInstitution { institution: institution.clone(), name: name.clone() }
        }
        What::Suspend { institution } => Operation::SuspendInstitution { institution: institution.clone() },
        What::RevokeMany { kind, reason, serials } => Operation::RevokeMany {
            certificate: kind.kind(),
            reason: reason.clone(),
            serials: serials_in(serials)?,
        },
        What::AcceptDeparture { kind, serials } => {
            Operation::AcceptDeparture { certificate: kind.kind(), serials: serials_in(serials)? }
        }
        What::ReplaceDelegates => Operation::ReplaceDelegates {},
        What::CertifyAuthority { kind, common_name, public_key, days } => Operation::CertifyAuthority {
            certificate: kind.kind(),
            common_name: common_name.clone(),
            public_key: Octets(public_key_in(public_key)?),
            days: *days,
        },
    })
}

/// `kazasu pki request`.
pub(super) fn request(args: &RequestArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let (operation, key) = match operation(&args.what).and_then(|what| Ok((what, key_in(&args.key)?))) {
        Ok(both) => both,
        Err(problem) => return refuse(&problem, json),
    };
    let desk = ApprovalDesk::open(&config, &mut SystemEntropy)?;
    let (by, when) = ((args.operator.as_str(), args.why.as_str()), (now(), args.wait_hours * 3_600));
    let signed = SignedRequest::sign(&operation, by, when, desk.scope(), &key, &mut SystemEntropy)?;
    match desk.file(signed, now()) {
        Ok(pending) => {
            let request = pending.request();
            if json {
                let answer = json!({
                    "request": request.id.to_string(), "operation": operation.word(), "state": "pending",
                    "expires_at": rfc3339(request.expires_at),
                });
                println!("{}", serde_json::to_string_pretty(&answer)?);
            } else {
                println!("  {}  {} {}", request.id, operation.word(), operation.summary());
                println!(
                    "  {} までに、ほかの運用者が承認します / another operator approves it before then:",
                    rfc3339(request.expires_at)
                );
                println!("  kazasu pki approve {} --operator NAME --key FILE", request.id);
            }
            Ok(Exit::Done)
        }
        Err(error) => refuse(&*refusal(error)?, json),
    }
}

/// The request whose name begins so, if only one does.
fn find(desk: &ApprovalDesk, text: &str) -> anyhow::Result<Result<KeptRequest, Box<Problem>>> {
    let all = desk.store().requests()?;
    let mut found = all.into_iter().filter(|kept| kept.request.id.to_string().starts_with(text));
    Ok(match (found.next(), found.next()) {
        (Some(kept), None) if !text.is_empty() => Ok(kept),
        (Some(_), _) => Err(unusable(format!(
            "{text}: いくつかの依頼に当たります / begins the names of several requests"
        ))),
        (None, _) => Err(refusal(ApprovalError::RequestUnknown.into())?),
    })
}

/// Executes; the authority's keys are opened only for what they sign.
fn execute(
    desk: &ApprovalDesk,
    kept: &KeptRequest,
    config: &Config,
) -> anyhow::Result<Result<Execution, AuthorityError>> {
    let operation = Operation::from_bytes(&kept.request.operation)?;
    let authority =
        if operation.needs_authority_key() { Some(Authority::open(config.clone())?) } else { None };
    Ok(desk.execute(kept.request.id, authority.as_ref(), now(), &mut SystemEntropy))
}

/// `kazasu pki approve`.
pub(super) fn approve(args: &ApproveArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let desk = ApprovalDesk::open(&config, &mut SystemEntropy)?;
    let kept = match find(&desk, &args.id)? {
        Ok(kept) => kept,
        Err(problem) => return refuse(&problem, json),
    };
    if let (Some(operator), Some(path)) = (&args.operator, &args.key) {
        let key = match key_in(path) {
            Ok(key) => key,
            Err(problem) => return refuse(&problem, json),
        };
        if !json && let Ok(operation) = Operation::from_bytes(&kept.request.operation) {
            // What is signed is what is read here: the signature is over these bytes.
            println!("  {} {}  ({})", operation.word(), operation.summary(), kept.request.requested_by);
        }
        let verdict = if args.refuse { Verdict::Refuse } else { Verdict::Approve };
        let by = (operator.as_str(), now());
        let decision = SignedDecision::sign(&kept.request, verdict, by, desk.scope(), &key)?;
        match desk.decide(kept.request.id, &decision, now()) {
            Ok(Decided::Refused) => return done(&kept.request.id, "refused", None, args),
            Ok(Decided::Approved(_)) => {}
            Err(error) => return refuse(&*refusal(error)?, json),
        }
    }
    match execute(&desk, &kept, &config)? {
        Ok(execution) => done(&kept.request.id, &execution.outcome, execution.product.as_deref(), args),
        Err(error) => refuse(&*refusal(error)?, json),
    }
}

fn done(id: &RequestId, outcome: &str, product: Option<&[u8]>, args: &ApproveArgs) -> anyhow::Result<Exit> {
    let text = product.map(|der| pem::encode(PemKind::Certificate, der));
    if let (Some(text), Some(path)) = (&text, &args.out) {
        chassis::files::write_atomic(path, text.as_bytes())?;
    }
    if args.which.common.json {
        let text = text.as_ref().map(|text| text.as_str());
        let answer = json!({ "request": id.to_string(), "outcome": outcome, "certificate": text });
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        println!("  {id}  {outcome}");
        match (&text, &args.out) {
            (Some(_), Some(path)) => println!("  {}", path.display()),
            (Some(text), None) => print!("{}", text.as_str()),
            (None, _) => {}
        }
    }
    // What had nothing to do any more is no success.
    Ok(if outcome.starts_with("void_") { Exit::Refused } else { Exit::Done })
}

fn shown(kept: &KeptRequest) -> Value {
    let request = &kept.request;
    let operation = Operation::from_bytes(&request.operation).ok();
    let expired = kept.state == RequestState::Pending && now() >= request.expires_at;
    json!({
        "request": request.id.to_string(),
        "operation": operation.as_ref().map(Operation::word),
        "summary": operation.as_ref().map(Operation::summary),
        "operation_sha256": hex::encode(pki::ocsp::sha256(&request.operation)),
        "why": request.why,
        "state": if expired { "expired" } else { kept.state.word() },
        "requested_by": request.requested_by,
        "requested_at": rfc3339(request.requested_at),
        "expires_at": rfc3339(request.expires_at),
        "decided_by": kept.decision.as_ref().map(|decision| decision.decided_by.clone()),
        "outcome": kept.outcome,
    })
}

/// `kazasu pki pending`.
pub(super) fn pending(args: &PendingArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let all = ApprovalDesk::open(&config, &mut SystemEntropy)?.store().requests()?;
    let open = |kept: &&KeptRequest| {
        args.all || !matches!(kept.state, RequestState::Executed | RequestState::Refused)
    };
    let requests: Vec<Value> = all.iter().filter(open).map(shown).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&json!({ "requests": requests }))?);
        return Ok(Exit::Done);
    }
    for request in &requests {
        let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or("–").to_owned();
        println!("  {}  {} {} {}", text("request"), text("state"), text("operation"), text("summary"));
        println!("    {} … {}   {}", text("requested_at"), text("expires_at"), text("requested_by"));
        if !text("why").is_empty() {
            println!("    {}", text("why"));
        }
    }
    if requests.is_empty() {
        println!("待っている依頼はありません / nothing waits");
    }
    Ok(Exit::Done)
}
