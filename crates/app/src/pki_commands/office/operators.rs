//! `kazasu pki operator`: who may request and approve.

use super::{Which, account, now, public_key_in, refusal, rfc3339, unusable, unusable_file};
use crate::output::Exit;
use crate::touch::refuse;
use chassis::entropy::SystemEntropy;
use clap::{Args, Subcommand};
use jpki_authority::approval::desk::{ApprovalDesk, Founding};
use jpki_authority::approval::{ApprovalError, OPERATORS_MIN, Operator};
use jpki_authority::config::Config;
use pki::pem::{self, PemKind};
use pki::signer::{IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8};
use protocol::problem::Problem;
use serde_json::json;
use std::path::{Path, PathBuf};

/// `kazasu pki operator …`.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Enrol one of the first two operators. From then on it takes two people: kazasu pki request enrol-operator.
    #[command(after_help = "\
Each operator makes a key of their own and keeps it; the authority knows its public half.

Examples:
  kazasu pki operator add aoi --make-key aoi.key
  kazasu pki operator add ben --public-key ben.pem      openssl pkey -in ben.key -pubout -out ben.pem (P-256)")]
    Add(AddArgs),
    /// List the operators.
    #[command(after_help = "\
Examples:
  kazasu pki operator list
  kazasu pki operator list --json")]
    List(ListArgs),
}

/// `kazasu pki operator add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// The name: a-z, 0-9, '.' and '-'.
    name: String,
    /// The operator's P-256 public key: PEM or DER.
    #[arg(long, value_name = "FILE", required_unless_present = "make_key")]
    public_key: Option<PathBuf>,
    /// Make a P-256 key and write it here, in PEM, for its owner alone.
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    make_key: Option<PathBuf>,
}

/// `kazasu pki operator list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(command: &OperatorCommand) -> anyhow::Result<Exit> {
    match command {
        OperatorCommand::Add(args) => add(args),
        OperatorCommand::List(args) => list(args),
    }
}

/// Makes a key of an operator's own; gives its public half.
pub(crate) fn make_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let pkcs8 = generate_p256_pkcs8()?;
    let spki = SoftwareP256Signer::from_pkcs8(&pkcs8)?.spki_der().to_vec();
    chassis::files::write_private(path, pem::encode(PemKind::PrivateKey, &pkcs8).as_bytes())?;
    Ok(spki)
}

/// An operator's key, from its file.
pub(super) fn key_in(path: &Path) -> Result<SoftwareP256Signer, Box<Problem>> {
    let text = std::fs::read_to_string(path).map_err(|error| unusable_file(path, error))?;
    let pkcs8 = pem::decode(PemKind::PrivateKey, &text).map_err(|error| unusable_file(path, error))?;
    SoftwareP256Signer::from_pkcs8(&pkcs8).map_err(|error| unusable_file(path, error))
}

fn add(args: &AddArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let desk = ApprovalDesk::open(&config, &mut SystemEntropy)?;
    if !desk.store().operators()?.is_founding() {
        // Before a key is made for nothing.
        return refuse(&*refusal(ApprovalError::FoundingOver.into())?, json);
    }
    let spki = match (&args.make_key, &args.public_key) {
        (Some(path), _) if path.exists() => {
            return refuse(&unusable_file(path, "there is a file already / すでにあります"), json);
        }
        (Some(path), _) => make_key(path)?,
        (None, Some(path)) => match public_key_in(path) {
            Ok(spki) => spki,
            Err(problem) => return refuse(&problem, json),
        },
        // The command line does not let this through.
        (None, None) => return Ok(Exit::Usage),
    };
    let operator = match Operator::new(&args.name, &spki, now()) {
        Ok(operator) => operator,
        Err(error) => return refuse(&unusable(error.to_string()), json),
    };
    if let Err(error) = desk.found(&Founding::Operator(operator), &account(), now()) {
        return refuse(&*refusal(error)?, json);
    }
    let roster = desk.store().operators()?;
    if json {
        let answer = json!({ "operator": args.name, "founding": roster.is_founding() });
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else if roster.is_founding() {
        println!("{} を登録しました。もう一人要ります / enrolled; one more is needed", args.name);
    } else {
        println!(
            "{} を登録しました。運用者は {OPERATORS_MIN} 人になり、これからは二人で決めます / enrolled: from now on it takes two",
            args.name
        );
    }
    Ok(Exit::Done)
}

fn list(args: &ListArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config: Config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let roster = ApprovalDesk::open(&config, &mut SystemEntropy)?.store().operators()?;
    if json {
        let operators: Vec<_> = roster
            .0
            .iter()
            .map(|operator| {
                json!({
                    "name": operator.name,
                    "key_sha256": hex::encode(pki::ocsp::sha256(&operator.spki_der)),
                    "enrolled_at": rfc3339(operator.enrolled_at),
                    "removed_at": operator.removed_at.map(rfc3339),
                })
            })
            .collect();
        let answer = json!({ "operators": operators, "founding": roster.is_founding() });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(Exit::Done);
    }
    for operator in &roster.0 {
        let until = operator.removed_at.map_or_else(String::new, |at| format!(" … {}", rfc3339(at)));
        println!("  {:<20} {}{until}", operator.name, rfc3339(operator.enrolled_at));
    }
    if roster.is_founding() {
        println!(
            "運用者が {OPERATORS_MIN} 人になるまでは一人で登録できます / until there are {OPERATORS_MIN}, one person enrols"
        );
    }
    Ok(Exit::Done)
}
