//! `kazasu pki issue` and `kazasu pki renew`: what the municipality's counter asks for.

use super::{Which, account, lists, now, public_key_in, refusal, unusable_file};
use crate::output::{Exit, Printer};
use crate::touch::refuse;
use crate::town::cards;
use anyhow::Context as _;
use chassis::entropy::SystemEntropy;
use clap::Args;
use jpki_authority::audit::{AuditLine, Entry};
use jpki_authority::config::Config;
use jpki_authority::operator::{Named, OperatorDesk};
use jpki_authority::{Authority, CertificateKind, IssuedCertificate, PersonCertificates, PersonRegistration};
use pki::pem::{self, PemKind};
use pki::profile::{BirthDate, Municipality, Sex};
use protocol::problem::Problem;
use protocol::time::UnixSeconds;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(super) const ISSUE_EXAMPLES: &str = "\
The registration is a TOML file: samples/pki/registration.toml. The keys are the card's own public keys (RSA-2048):
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out auth.key
  openssl pkey -in auth.key -pubout -out auth.pem

Examples:
  kazasu pki issue --registration samples/pki/registration.toml --auth-key auth.pem --sign-key sign.pem --out ./card
  kazasu pki issue --registration child.toml --auth-key auth.pem --out ./card --json      under 15: no signature certificate

Writes auth.pem and sign.pem into the folder; sign.pem holds name and address and is its owner's alone.";
pub(super) const RENEW_EXAMPLES: &str = "\
Examples:
  kazasu pki renew hanako --registration hanako.toml --auth-key auth.pem --sign-key sign.pem --out ./card
  kazasu pki renew old.auth.pem --registration hanako.toml --auth-key auth.pem --out ./card --publish

First the new certificates are issued and linked to the old card, then the old ones are superseded: cut short in
between, the old card is good, and renewing again is right.";

/// What issuing needs.
#[derive(Debug, Args)]
pub(crate) struct NewCard {
    /// Who: a TOML file.
    #[arg(long, value_name = "FILE")]
    registration: PathBuf,
    /// The card's authentication key: PEM or DER, RSA-2048.
    #[arg(long, value_name = "FILE")]
    auth_key: PathBuf,
    /// The card's signature key; none for holders under 15.
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
    /// The folder to write the certificates into.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// `kazasu pki issue`.
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// The new card.
    #[command(flatten)]
    new: NewCard,
}

/// `kazasu pki renew`.
#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// The old card: a specimen person, a certificate file, or a serial number in hexadecimal.
    card: String,
    /// The new card.
    #[command(flatten)]
    new: NewCard,
    /// Publish the lists right away.
    #[arg(long)]
    publish: bool,
}

/// A registration file. Personal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    /// Name, address, birth date, sex.
    name: String,
    address: String,
    birth_date: String,
    sex: SexWord,
    municipality: Place,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SexWord {
    Male,
    Female,
    NotApplicable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    code: String,
    prefecture: String,
    city: String,
}

/// The end of the fifth birthday from now on, in Japan (report: valid for 5 years).
fn valid_until(birth_date: &str, now: UnixSeconds) -> anyhow::Result<UnixSeconds> {
    let today: jiff::civil::Date = eligibility::check::japanese_day(now).as_str().parse()?;
    let day = cards::birthday(birth_date.parse()?, today, 5)?;
    let end = day.at(23, 59, 59, 0).to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9)))?;
    Ok(UnixSeconds(u64::try_from(end.timestamp().as_second())?))
}

fn registration(new: &NewCard, now: UnixSeconds) -> Result<PersonRegistration, Box<Problem>> {
    let path = &new.registration;
    let text = std::fs::read_to_string(path).map_err(|error| unusable_file(path, error))?;
    // The parser's own words would show the line, and so the person.
    let read: Registration = toml::from_str(&text).map_err(|error| unusable_file(path, error.message()))?;
    let until =
        valid_until(&read.birth_date, now).map_err(|_| unusable_file(path, "birth_date: not a day"))?;
    let place = &read.municipality;
    let municipality = Municipality::new(&place.code, &place.prefecture, &place.city)
        .map_err(|error| unusable_file(path, format!("municipality: {error}")))?;
    let birth_date = BirthDate::parse(&read.birth_date)
        .map_err(|error| unusable_file(path, format!("birth_date: {error}")))?;
    Ok(PersonRegistration {
        municipality,
        name: read.name,
        birth_date,
        sex: match read.sex {
            SexWord::Male => Sex::Male,
            SexWord::Female => Sex::Female,
            SexWord::NotApplicable => Sex::NotApplicable,
        },
        address: read.address,
        auth_spki: public_key_in(&new.auth_key)?,
        sign_spki: new.sign_key.as_deref().map(public_key_in).transpose()?,
        valid_until: until,
    })
}

fn keep(folder: &Path, kind: CertificateKind, issued: &IssuedCertificate) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(format!("{}.pem", kind.word()));
    let text = pem::encode(PemKind::Certificate, &issued.der);
    match kind {
        CertificateKind::CardHolderAuth => chassis::files::write_atomic(&path, text.as_bytes())?,
        // Name and address are in it.
        CertificateKind::DocumentSignature => chassis::files::write_private(&path, text.as_bytes())?,
    }
    Ok(path)
}

fn write(folder: &Path, issued: &PersonCertificates) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let auth = (CertificateKind::CardHolderAuth, &issued.card_holder_auth);
    let sign = issued.document_signature.as_ref().map(|sign| (CertificateKind::DocumentSignature, sign));
    std::iter::once(auth)
        .chain(sign)
        .map(|(kind, issued)| Ok((kind.word(), keep(folder, kind, issued)?)))
        .collect()
}

/// The line that stands before the act; the new numbers are not known then.
fn note(desk: &OperatorDesk, act: &str, old: Option<&Named>) -> anyhow::Result<()> {
    let about = old.map_or_else(String::new, |(kind, serial)| desk.audit_key().reference(*kind, serial));
    let (act, outcome, purpose) = (act.to_owned(), "asked".to_owned(), String::new());
    let line = AuditLine { at: now(), who: account(), act, purpose, about, outcome };
    desk.store().append_audit(Entry { key: desk.audit_key(), lines: &[line] })?;
    Ok(())
}

fn say(files: &[(&'static str, PathBuf)], more: &str, json: bool) -> anyhow::Result<()> {
    if json {
        let files: serde_json::Map<_, _> =
            files.iter().map(|(kind, path)| ((*kind).to_owned(), json!(path))).collect();
        println!("{}", serde_json::to_string_pretty(&json!({ "certificates": files }))?);
        return Ok(());
    }
    for (kind, path) in files {
        println!("  {kind}  {}", path.display());
    }
    Printer::new(json).say(more);
    Ok(())
}

/// `kazasu pki issue`.
pub(super) fn issue(args: &IssueArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let person = match registration(&args.new, now()) {
        Ok(person) => person,
        Err(problem) => return refuse(&problem, json),
    };
    note(&OperatorDesk::open(&config, &mut SystemEntropy)?, "issue", None)?;
    let authority = Authority::open(config)?;
    match authority.issue_person_certificates(&person, now(), &mut SystemEntropy) {
        Ok(issued) => {
            let files = write(&args.new.out, &issued)?;
            say(&files, "発行しました / issued", json)?;
            Ok(Exit::Done)
        }
        Err(error) => refuse(&*refusal(error)?, json),
    }
}

/// The old card's authentication certificate.
fn old_card(args: &RenewArgs, desk: &OperatorDesk) -> super::Refusable<Named> {
    let named = match args.which.certificate(&args.card, desk.store())? {
        Ok(named) => named,
        Err(problem) => return Ok(Err(problem)),
    };
    let of_card = desk.card_of(&named)?;
    let auth = of_card.into_iter().find(|(kind, _)| *kind == CertificateKind::CardHolderAuth);
    Ok(auth.ok_or_else(|| Box::new(Problem::new(protocol::problem::ProblemCode::CertificateNotIssuedHere))))
}

/// A card that ended for good has no successor: its holder registers anew.
fn ended(desk: &OperatorDesk, (kind, serial): &Named) -> anyhow::Result<Option<Box<Problem>>> {
    use pki::revocation::RevocationReason as Reason;
    let standing = desk.store().standing(*kind, serial)?;
    Ok(standing.and_then(|standing| standing.revoked).and_then(|(reason, _)| {
        let detail = "このカードは終わっています。更新ではなく新しく発行してください / this card ended: issue a new one instead of renewing";
        let ended = !matches!(reason, Reason::CertificateHold | Reason::Superseded);
        let problem = Problem::new(protocol::problem::ProblemCode::StatusChangeRefused);
        ended.then(|| Box::new(problem.with_reason(reason.as_str()).with_detail(detail)))
    }))
}

/// `kazasu pki renew`.
pub(super) async fn renew(args: &RenewArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config: Config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let desk = OperatorDesk::open(&config, &mut SystemEntropy)?;
    let old = match old_card(args, &desk)? {
        Ok(old) => old,
        Err(problem) => return refuse(&problem, json),
    };
    if let Some(problem) = ended(&desk, &old)? {
        return refuse(&problem, json);
    }
    let person = match registration(&args.new, now()) {
        Ok(person) => person,
        Err(problem) => return refuse(&problem, json),
    };
    note(&desk, "renew", Some(&old))?;
    let authority = Authority::open(config.clone())?;
    let renewed = authority.renew_person_certificates(&old.1, &person, now(), &mut SystemEntropy);
    drop(authority);
    match renewed {
        Ok(issued) => {
            let files = write(&args.new.out, &issued)?;
            if args.publish {
                lists::publish(&config).await?;
            }
            let words = "更新しました。古い証明書は superseded、紐付けは新しい番号へ / renewed: the old ones are superseded, linkage leads to the new ones";
            say(&files, words, json)?;
            Ok(Exit::Done)
        }
        Err(error) => refuse(&*refusal(error)?, json),
    }
}
