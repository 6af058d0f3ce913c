//! `kazasu pki cms verify`.

use super::{CmsVerifyArgs, Form, Rule, words};
use crate::output::{Exit, print_problem};
use crate::pki_commands::validate::files::{self, Input, Kind};
use chassis::clock::SystemClock;
use pki::asn1::time::CertificateTime;
use pki::cms::{DocumentSignatureGood, SignedData, SigningCertificateRule, ber, verify};
use pki::revocation::Status;
use pki::signature_scheme::SignatureScheme;
use pki::validate::input::{Freshness, RevocationRule};
use pki::validate::{CertificateStatus, Evidence, Question, TrustAnchor};
use protocol::problem::Problem;
use protocol::time::Clock as _;
use serde_json::{Value, json};

/// Everything that was named on the command line, read.
struct Inputs {
    trust: Vec<Input>,
    untrusted: Vec<Input>,
    lists: Vec<Input>,
    responses: Vec<Input>,
    signer: Option<Input>,
    signature: Vec<u8>,
    document: Vec<u8>,
}

impl Inputs {
    fn read(args: &CmsVerifyArgs) -> Result<Self, String> {
        let one = |path: &std::path::Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let signature = match args.form {
            Form::Raw => one(&args.signature)?,
            Form::Cms => {
                let read = files::read_all(std::slice::from_ref(&args.signature), Kind::SignedData)?;
                read.into_iter().next().map(|input| input.der).unwrap_or_default()
            }
        };
        let signer = match &args.signer {
            Some(path) => files::read_all(std::slice::from_ref(path), Kind::Certificate)?.into_iter().next(),
            None => None,
        };
        Ok(Self {
            trust: files::read_all(&args.trust, Kind::Certificate)?,
            untrusted: files::read_all(&args.untrusted, Kind::Certificate)?,
            lists: files::read_all(&args.crl, Kind::List)?,
            responses: files::read_all(&args.ocsp, Kind::Response)?,
            signer,
            signature,
            document: one(&args.content)?,
        })
    }
}

fn question(args: &CmsVerifyArgs) -> Question {
    let usual = Freshness::default();
    let tolerance = args.clock_tolerance.or(args.at.map(|_| 0));
    Question {
        profile: args.profile,
        revocation: match args.revocation {
            Rule::Required => RevocationRule::Required,
            Rule::IfPresent => RevocationRule::IfPresent,
            Rule::None => RevocationRule::None,
        },
        freshness: Freshness {
            age_seconds_max: args.status_age_max.unwrap_or(usual.age_seconds_max),
            clock_tolerance_seconds: tolerance.unwrap_or(usual.clock_tolerance_seconds),
            ..usual
        },
        ..Question::at(args.at.unwrap_or_else(|| SystemClock.now()))
    }
}

type Outcomes = Result<Vec<Result<DocumentSignatureGood, Box<Problem>>>, Box<Problem>>;

pub(super) fn run(args: &CmsVerifyArgs) -> anyhow::Result<Exit> {
    let inputs = match Inputs::read(args) {
        Ok(inputs) => inputs,
        Err(error) => {
            eprintln!("kazasu: {error}");
            return Ok(Exit::Usage);
        }
    };
    let question = question(args);
    let mut ignored = Vec::new();
    let outcomes = outcomes(args, &inputs, &question, &mut ignored);
    let valid = outcomes.as_ref().is_ok_and(|all| all.iter().all(Result::is_ok));
    if args.common.json {
        let told = told(&outcomes, valid, &question, &ignored);
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        print(&outcomes, &ignored);
    }
    Ok(if valid { Exit::Done } else { Exit::Refused })
}

fn outcomes(
    args: &CmsVerifyArgs,
    inputs: &Inputs,
    question: &Question,
    ignored: &mut Vec<String>,
) -> Outcomes {
    let mut note = |input: &Input, outcome: Result<(), String>| {
        ignored.extend(outcome.err().map(|why| format!("{}: {why}", input.name)));
    };
    let mut anchors = Vec::new();
    for input in &inputs.trust {
        let anchor = TrustAnchor::from_certificate(&input.der);
        note(input, anchor.map(|anchor| anchors.push(anchor)).map_err(|error| error.to_string()));
    }
    let mut evidence = Evidence::new();
    for input in &inputs.untrusted {
        note(input, evidence.add_certificate(&input.der).map_err(|error| error.to_string()));
    }
    for input in &inputs.lists {
        note(input, evidence.add_list(&input.der).map_err(|error| error.to_string()));
    }
    for input in &inputs.responses {
        note(input, evidence.add_response(&input.der).map_err(|error| error.to_string()));
    }
    if let Form::Raw = args.form {
        let signer = inputs.signer.as_ref().map(|input| input.der.as_slice()).unwrap_or_default();
        let (document, digest) = (&inputs.document, args.digest.into());
        let outcome =
            verify::bare(document, &inputs.signature, signer, digest, &anchors, &evidence, question);
        return Ok(vec![outcome.map_err(|fault| Box::new(words::fault(&fault)))]);
    }
    let der = ber::definite(&inputs.signature).map_err(|fault| Box::new(words::unreadable(&fault.into())))?;
    let signed = SignedData::parse(&der).map_err(|problem| Box::new(words::unreadable(&problem)))?;
    let rule = if args.require_signing_certificate {
        SigningCertificateRule::Required
    } else {
        SigningCertificateRule::IfPresent
    };
    let outcomes = verify::signed_data(&signed, &inputs.document, &anchors, &mut evidence, question, rule);
    Ok(outcomes.into_iter().map(|outcome| outcome.map_err(|fault| Box::new(words::fault(&fault)))).collect())
}

fn told(outcomes: &Outcomes, valid: bool, question: &Question, ignored: &[String]) -> Value {
    let signers: Vec<Value> = outcomes
        .iter()
        .flatten()
        .map(|outcome| match outcome {
            Ok(good) => shown(good),
            Err(problem) => json!({ "valid": false, "problem": problem }),
        })
        .collect();
    let problem = match outcomes {
        Ok(all) => all.iter().find_map(|outcome| outcome.as_ref().err()),
        Err(problem) => Some(problem),
    };
    json!({
        "valid": valid,
        "problem": problem,
        "signers": signers,
        "at": CertificateTime::from(question.at).to_rfc3339(),
        "ignored": ignored,
    })
}

/// A good signature: by digest of the certificate, never by serial number or name.
fn shown(good: &DocumentSignatureGood) -> Value {
    json!({
        "valid": true,
        "certificate_sha256": hex::encode(good.path().certificate_sha256()),
        "profile": good.path().profile().as_str(),
        "not_after": CertificateTime::from(good.path().not_after()).to_rfc3339(),
        "algorithm": algorithm(good.scheme()),
        "claimed_signing_time": good.claimed_signing_time().map(CertificateTime::to_rfc3339),
        "names_certificate": good.names_certificate(),
        "revocation": good.status().map_or_else(|| json!({ "status": "not-checked" }), |found| status(&found)),
    })
}

/// Only a good one, or one that the rule lets pass, is in a good signature.
fn status(found: &CertificateStatus) -> Value {
    let (word, age) = match found.status {
        Status::Good { age_seconds, .. } => ("good", Some(age_seconds)),
        _ => ("unknown", None),
    };
    json!({
        "status": word,
        "this_update": found.this_update.map(|at| CertificateTime::from(at).to_rfc3339()),
        "age_seconds": age,
        "source": found.source.as_str(),
    })
}

fn algorithm(scheme: SignatureScheme) -> String {
    let digest = scheme.digest().map_or("", |digest| digest.as_str());
    match scheme {
        SignatureScheme::RsaPkcs1(_) => format!("rsa-pkcs1-{digest}"),
        SignatureScheme::RsaPss { .. } => format!("rsa-pss-{digest}"),
        SignatureScheme::Ecdsa(_) => format!("ecdsa-{digest}"),
        SignatureScheme::Ed25519 => "ed25519".to_owned(),
    }
}

fn print(outcomes: &Outcomes, ignored: &[String]) {
    match outcomes {
        Err(problem) => print_problem(problem),
        Ok(all) => {
            for (place, outcome) in all.iter().enumerate() {
                println!("署名 {0} / signature {0}", place + 1);
                match outcome {
                    Ok(good) => {
                        println!(
                            "  有効です / valid: {}, {}",
                            algorithm(good.scheme()),
                            good.path().profile().as_str()
                        );
                        if let Some(claimed) = good.claimed_signing_time() {
                            println!(
                                "  署名者の言う時刻 / time claimed by the signer: {}",
                                claimed.to_rfc3339()
                            );
                        }
                    }
                    Err(problem) => print_problem(problem),
                }
            }
        }
    }
    for why in ignored {
        println!("使えませんでした / of no use: {why}");
    }
}
