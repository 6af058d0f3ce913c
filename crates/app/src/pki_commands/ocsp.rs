//! `kazasu pki ocsp`: one question to a responder, and its answer judged by [`pki::ocsp::ask`]. What goes
//! wrong has a name and a culprit; the table is in `docs/ocsp.md`.

mod carry;
mod words;

use super::validate::files::{self, Kind};
use super::validate::instant;
use crate::card_commands::{Refusal, ended};
use crate::cli::Common;
use crate::output::{Exit, print_problem};
use carry::{Carried, Responder};
use chassis::clock::SystemClock;
use chassis::entropy::SystemEntropy;
use clap::{Args, ValueEnum};
use pki::ocsp::CertIdHash;
use pki::ocsp::ask::{
    Answer, AnswerRefused, AnswerRules, AnswerTimes, Inquiry, NonceEcho, NoncePolicy, responder_addresses,
};
use pki::revocation::Status;
use pki::validate::input::{Freshness, RevocationRule};
use protocol::problem::{Problem, ProblemCode};
use protocol::time::{Clock as _, UnixSeconds};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Examples and meanings for the help page.
pub(crate) const OCSP_EXAMPLES: &str = "\
Nonce: left out, one is sent, and an answer without it is taken if it is fresh. An answer with another nonce
is refused whatever was asked for.

Examples:
  kazasu pki ocsp --issuer .kazasu/jpki_authority/public/auth-ca.pem --certificate hanako.pem
  kazasu pki ocsp --issuer ca.pem --certificate leaf.pem --url http://ocsp.example/ --nonce --json
  kazasu pki ocsp --issuer ca.pem --certificate leaf.pem --get --age-max 600 --out answer.der

Exit codes: 0 good, 1 anything else (revoked, on hold, unknown, or an answer that is not believed), 2 usage.
Every fault with its culprit: docs/ocsp.md";

/// `kazasu pki ocsp`.
#[derive(Debug, Args)]
pub(crate) struct OcspArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// Certificate of the authority that issued the one asked about. It is trusted. DER or PEM.
    #[arg(long, value_name = "FILE")]
    issuer: PathBuf,
    /// The certificate asked about. DER or PEM.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The responder's address (http); the first that the certificate names, if left out.
    #[arg(long)]
    url: Option<String>,
    /// Send a nonce, and refuse an answer that does not repeat it.
    #[arg(long, conflicts_with = "no_nonce")]
    nonce: bool,
    /// Send no nonce: the answer may come from a cache.
    #[arg(long)]
    no_nonce: bool,
    /// Ask by GET, without a nonce (RFC 5019); a request too long for that goes by POST.
    #[arg(long, conflicts_with = "nonce")]
    get: bool,
    /// The hash that names the issuer in the request. Every responder knows sha1, and it protects nothing here.
    #[arg(long, value_enum, default_value = "sha1")]
    cert_id_hash: Hash,
    /// Milliseconds for connecting, asking and reading together.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    timeout_ms: u64,
    /// An answer older than this is too old, whatever its nextUpdate.
    #[arg(long, value_name = "SECONDS")]
    age_max: Option<u64>,
    /// How old an answer without nextUpdate may be.
    #[arg(long, value_name = "SECONDS", default_value_t = Freshness::default().age_seconds_max_without_next_update)]
    age_max_without_next_update: u64,
    /// How far clocks may differ.
    #[arg(long, value_name = "SECONDS", default_value_t = Freshness::default().clock_tolerance_seconds)]
    clock_tolerance: u64,
    /// thisUpdate of the newest answer already seen; an older answer is refused.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    seen: Option<UnixSeconds>,
    /// What must be known of a delegate without id-pkix-ocsp-nocheck that says where its status is found.
    #[arg(long, value_enum, default_value = "required")]
    delegate_status: DelegateRule,
    /// The instant to judge the answer at; now, if left out.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<UnixSeconds>,
    /// Where to write what came back, believed or not.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A hash of CertID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// What must be known of a delegate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum DelegateRule {
    /// It must be known to be good: without nocheck, nothing here says so.
    Required,
    /// Nothing against it will do.
    IfPresent,
}

impl OcspArgs {
    const fn policy(&self) -> NoncePolicy {
        match (self.nonce, self.no_nonce || self.get) {
            (true, _) => NoncePolicy::Require,
            (false, true) => NoncePolicy::Omit,
            (false, false) => NoncePolicy::Prefer,
        }
    }

    fn rules(&self) -> AnswerRules {
        AnswerRules {
            freshness: Freshness {
                age_seconds_max: self.age_max.unwrap_or(u64::MAX),
                age_seconds_max_without_next_update: self.age_max_without_next_update,
                clock_tolerance_seconds: self.clock_tolerance,
            },
            delegate_status: match self.delegate_status {
                DelegateRule::Required => RevocationRule::Required,
                DelegateRule::IfPresent => RevocationRule::IfPresent,
            },
            seen: self.seen,
        }
    }

    const fn hash(&self) -> CertIdHash {
        match self.cert_id_hash {
            Hash::Sha1 => CertIdHash::Sha1,
            Hash::Sha256 => CertIdHash::Sha256,
            Hash::Sha384 => CertIdHash::Sha384,
            Hash::Sha512 => CertIdHash::Sha512,
        }
    }
}

/// `kazasu pki ocsp`.
pub(crate) async fn run(args: &OcspArgs) -> anyhow::Result<Exit> {
    ended(ask(args).await, args.common.json)
}

async fn ask(args: &OcspArgs) -> anyhow::Result<Exit> {
    let issuer = first_certificate(&args.issuer)?;
    let certificate = first_certificate(&args.certificate)?;
    let url = match &args.url {
        Some(url) => url.clone(),
        None => address_of(&certificate, &args.certificate)?,
    };
    let responder = Responder::parse(&url).map_err(|why| unusable(&url, why))?;
    let inquiry = Inquiry::about(&certificate, &issuer, args.hash(), args.policy(), &mut SystemEntropy)
        .map_err(|problem| unusable(args.certificate.display(), problem))?;
    let limit = Duration::from_millis(args.timeout_ms);
    let carried = responder.carry(inquiry.request_der(), args.get, limit).await?;
    let now = args.at.unwrap_or_else(|| SystemClock.now());
    if let Some(out) = &args.out {
        chassis::files::write_atomic(out, &carried.response)?;
    }
    let judged = inquiry.judge(&carried.response, &args.rules(), now);
    print(args, &url, &carried, &judged)
}

fn unusable(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(ProblemCode::InputUnusable, format!("{what}: {why}"))
}

fn first_certificate(path: &Path) -> Result<Vec<u8>, Refusal> {
    let read = files::read_all(&[path.to_path_buf()], Kind::Certificate);
    let read = read.map_err(|error| Refusal::new(ProblemCode::InputUnusable, error))?;
    let first = read.into_iter().next();
    first.map(|input| input.der).ok_or_else(|| unusable(path.display(), "no certificate in it"))
}

fn address_of(certificate: &[u8], path: &Path) -> Result<String, Refusal> {
    let addresses = responder_addresses(certificate).map_err(|fault| unusable(path.display(), fault))?;
    // Only plain HTTP: what matters is signed, and a TLS server's certificate would need this very check.
    let first = addresses.into_iter().find(|address| address.starts_with("http://"));
    first.ok_or_else(|| unusable(path.display(), "it names no responder (http); give --url"))
}

fn print(
    args: &OcspArgs,
    url: &str,
    carried: &Carried,
    judged: &Result<Answer, AnswerRefused>,
) -> anyhow::Result<Exit> {
    let times = judged.as_ref().map_or_else(|refused| refused.times, |answer| Some(*answer.times()));
    let offset = words::Offset::of(times.as_ref(), carried);
    let (status, problem) = match judged {
        Ok(answer) => words::status(answer, offset),
        Err(refused) => ("refused", Some(words::problem(refused, offset))),
    };
    let exit = if problem.is_none() { Exit::Done } else { Exit::Refused };
    if args.common.json {
        let told = told(url, carried, judged, times.as_ref(), offset, (status, problem.as_ref()));
        println!("{}", serde_json::to_string_pretty(&told)?);
        return Ok(exit);
    }
    match (&problem, times) {
        // Its detail has the times.
        (Some(problem), _) => print_problem(problem),
        (None, times) => {
            println!("失効していません / good");
            times.iter().for_each(|times| println!("  {}", words::times(times, offset)));
        }
    }
    Ok(exit)
}

fn told(
    url: &str,
    carried: &Carried,
    judged: &Result<Answer, AnswerRefused>,
    times: Option<&AnswerTimes>,
    offset: words::Offset,
    (status, problem): (&str, Option<&Problem>),
) -> Value {
    let mut told = json!({
        "status": status,
        "reason": problem.and_then(|problem| problem.reason.clone()),
        "revoked_at": match judged.as_ref().map(Answer::status) {
            Ok(Status::Revoked { at, .. } | Status::Hold { since: at }) => Some(words::rfc3339(at)),
            _ => None,
        },
        "nonce": judged.as_ref().ok().map(|answer| match answer.nonce() {
            NonceEcho::NotSent => "not-sent",
            NonceEcho::Repeated => "repeated",
            NonceEcho::Missing => "missing",
        }),
        "produced_at": times.map(|times| times.produced_at.to_rfc3339()),
        "this_update": times.map(|times| times.this_update.to_rfc3339()),
        "next_update": times.and_then(|times| times.next_update).map(|next| next.to_rfc3339()),
        "age_seconds": times.map(|times| times.age_seconds),
        "limit_seconds": times.map(|times| times.limit_seconds),
        "clock_offset_seconds": offset.seconds,
        "clock_offset_from": offset.from,
        "url": url,
        "method": carried.method,
        "octets": carried.response.len(),
    });
    if let (Some(problem), Some(object)) = (problem, told.as_object_mut()) {
        object.insert("problem".into(), json!(problem));
    }
    told
}
