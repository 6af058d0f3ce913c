//! `kazasu pki audit`: is the chain whole, and who asked about a certificate.

use super::{Which, now, rfc3339};
use crate::output::Exit;
use crate::touch::refuse;
use chassis::entropy::SystemEntropy;
use clap::{Args, Subcommand};
use jpki_authority::CertificateKind;
use jpki_authority::audit::{self, AuditFault, AuditLine, NotedHead};
use jpki_authority::operator::OperatorDesk;
use protocol::problem::{Problem, ProblemCode};
use serde_json::json;

/// Lines read at a time.
const PAGE_LINES: usize = 4_096;

/// `kazasu pki audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Go through the whole chain: no line is missing, changed or cut off.
    #[command(after_help = "\
Examples:
  kazasu pki audit verify
  kazasu pki audit verify --noted 1204:5f0c…   a head printed earlier and kept elsewhere: nothing was put back
  kazasu pki audit verify --json")]
    Verify(VerifyArgs),
    /// Print lines: all, or those about one card.
    #[command(after_help = "\
Examples:
  kazasu pki audit show --last 20
  kazasu pki audit show --card hanako      who asked about this card, when and what for
  kazasu pki audit show --card hanako.auth.pem --json")]
    Show(ShowArgs),
}

/// `kazasu pki audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// A head that was printed earlier: NUMBER:DIGEST.
    #[arg(long, value_name = "HEAD", value_parser = noted)]
    noted: Option<NotedHead>,
}

/// `kazasu pki audit show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// Only lines about this card: a specimen person, a certificate file, or a serial number in hexadecimal.
    #[arg(long)]
    card: Option<String>,
    /// Only so many, the last ones.
    #[arg(long, value_name = "COUNT")]
    last: Option<usize>,
}

fn noted(text: &str) -> Result<NotedHead, String> {
    NotedHead::parse(text).ok_or_else(|| "NUMBER:DIGEST, as this command prints it".to_owned())
}

pub(super) fn run(command: &AuditCommand) -> anyhow::Result<Exit> {
    match command {
        AuditCommand::Verify(args) => verify(args),
        AuditCommand::Show(args) => show(args),
    }
}

fn verify(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let desk = OperatorDesk::open(&config, &mut SystemEntropy)?;
    match audit::verify(desk.store(), desk.audit_key(), args.noted) {
        Ok(head) => {
            let lines = head.map_or(0, |head| head.number);
            let head = head.map(|head| head.to_string());
            if json {
                println!("{}", serde_json::to_string_pretty(&json!({ "lines": lines, "head": head }))?);
            } else {
                println!(
                    "監査記録 {lines} 行に欠けも改変もありません / {lines} lines, none missing or changed"
                );
                if let Some(head) = head {
                    println!("  控えてください / note elsewhere: {head}");
                }
            }
            Ok(Exit::Done)
        }
        Err(AuditFault::Store(error)) => Err(error.into()),
        Err(fault) => refuse(&Problem::new(ProblemCode::AuditBroken).with_detail(fault.to_string()), json),
    }
}

/// Numbered lines that `wanted` lets through, the last `count` of them.
fn lines(
    desk: &OperatorDesk,
    wanted: impl Fn(&AuditLine) -> bool,
    count: usize,
) -> anyhow::Result<Vec<(u64, AuditLine)>> {
    let mut found = std::collections::VecDeque::new();
    let mut from = 1;
    loop {
        let page = desk.store().audit_lines(from, PAGE_LINES)?;
        let Some(last) = page.last() else { return Ok(found.into()) };
        from = last.number + 1;
        for kept in &page {
            let line: AuditLine = serde_json::from_str(&kept.text)?;
            if wanted(&line) {
                found.push_back((kept.number, line));
                if found.len() > count {
                    found.pop_front();
                }
            }
        }
    }
}

fn show(args: &ShowArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let desk = OperatorDesk::open(&config, &mut SystemEntropy)?;
    let references: Option<Vec<String>> = match &args.card {
        None => None,
        Some(card) => match args.which.certificate(card, desk.store())? {
            Ok(named) => {
                let reference =
                    |(kind, serial): (CertificateKind, _)| desk.audit_key().reference(kind, &serial);
                Some(desk.card_of(&named)?.into_iter().map(reference).collect())
            }
            Err(problem) => return refuse(&problem, json),
        },
    };
    let wanted =
        |line: &AuditLine| references.as_ref().is_none_or(|references| references.contains(&line.about));
    let lines = lines(&desk, wanted, args.last.unwrap_or(usize::MAX))?;
    if json {
        let lines: Vec<_> =
            lines.iter().map(|(number, line)| json!({ "number": number, "line": line })).collect();
        println!("{}", serde_json::to_string_pretty(&json!({ "at": rfc3339(now()), "lines": lines }))?);
        return Ok(Exit::Done);
    }
    for (number, line) in &lines {
        println!(
            "{number:>6} {} {} {} {} {} {}",
            rfc3339(line.at),
            line.who,
            line.act,
            line.purpose,
            line.about,
            line.outcome
        );
    }
    Ok(Exit::Done)
}
