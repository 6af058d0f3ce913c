//! `kazasu pki cms sign`: the card signs the attributes, and nobody gets a signature that does not verify.

use super::CmsSignArgs;
use crate::card_commands::at_reader::{CardAtReader, OnLastTry, Secret, malformed_secret, sha256};
use crate::card_commands::{Refusal, ended, secret_of_stdin};
use crate::card_file::KeptCard;
use crate::cli::{ReaderArgs, TraceArgs};
use crate::output::Exit;
use crate::touch::{no_such_person, no_town};
use crate::town::Town;
use anyhow::Context as _;
use card::dialogue::pin_sign::PinProtected;
use card::dialogue::read_certificates::CertificateFile;
use card::my_number_card::SignPassword;
use chassis::clock::SystemClock;
use pki::cms::create::Unsigned;
use protocol::problem::ProblemCode;
use protocol::time::Clock as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

pub(super) fn run(args: &CmsSignArgs) -> anyhow::Result<Exit> {
    ended(sign(args), args.common.json)
}

fn sign(args: &CmsSignArgs) -> anyhow::Result<Exit> {
    let document =
        std::fs::read(&args.content).with_context(|| format!("reading {}", args.content.display()))?;
    let (mut card, secret) = open(args)?;
    let password = SignPassword::parse(&secret).map_err(malformed_secret)?;
    let on_last_try = if args.allow_last_try { OnLastTry::Present } else { OnLastTry::Refuse };
    card.ensure_tries(Secret::SignPassword, on_last_try)?;
    let wanted = [CertificateFile::DocumentSignature, CertificateFile::DocumentSignatureIssuer];
    let files = card.certificates(&wanted, Some(password.clone()))?;
    let file = |which| {
        let found = files.iter().find(|(file, _)| *file == which).map(|(_, der)| der);
        found.ok_or_else(|| Refusal::new(ProblemCode::CardMisbehaved, "no certificate"))
    };
    let misbehaved = |error| Refusal::new(ProblemCode::CardMisbehaved, error);
    let unsigned = Unsigned::new(&document, file(wanted[0])?, Some(SystemClock.now()))
        .map_err(misbehaved)?
        .with_certificate(file(wanted[1])?);
    let digest = sha256(unsigned.to_be_signed())?;
    let signature = card.sign(PinProtected::DocumentSignature(password), digest)?;
    let signed = unsigned.signed_with(&signature).map_err(misbehaved)?;
    let place = card.reader.clone();
    card.close()?;
    let out = args.out.clone().unwrap_or_else(|| with_ending(args));
    chassis::files::write_atomic(&out, &signed)?;
    if args.common.json {
        let told = serde_json::json!({
            "reader": place,
            "content": args.content,
            "signature": out,
            "form": "cms-detached",
            "digest": "sha256",
            "octets": signed.len(),
        });
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        println!("署名しました / signed → {}", out.display());
    }
    Ok(Exit::Done)
}

/// The card, and the password that opens its signature key.
fn open(args: &CmsSignArgs) -> anyhow::Result<(CardAtReader, Zeroizing<String>)> {
    if let Some(reader) = &args.reader {
        let secret = secret_of_stdin()?;
        let at = ReaderArgs { reader: reader.clone(), wait: args.wait };
        let trace = TraceArgs { trace: None, trace_secrets: false };
        return Ok((CardAtReader::open(&at, &trace)?, secret));
    }
    let name = args.card.as_deref().unwrap_or_default();
    let town = Town::find(&args.common.dir)?;
    let town = town.ok_or_else(|| Refusal(Box::new(no_town(&args.common.dir))))?;
    let person = town.person(name).ok_or_else(|| Refusal(Box::new(no_such_person(name))))?;
    let (Some(_), Some(password)) = (&person.sign_cert, &person.sign_password) else {
        let detail = format!("{name}: no signature certificate on this card");
        return Err(Refusal::new(ProblemCode::InputUnusable, detail).into());
    };
    let card = CardAtReader::emulated(Box::new(KeptCard::open(&person.card)?), name)?;
    Ok((card, Zeroizing::new(password.clone())))
}

/// `letter.pdf` becomes `letter.pdf.p7s`.
fn with_ending(args: &CmsSignArgs) -> PathBuf {
    let mut name = args.content.as_os_str().to_owned();
    name.push(".p7s");
    name.into()
}
