//! `kazasu pki cvc issue` and `kazasu pki cvc show`: card-verifiable certificates of profile `eac`.

use crate::cli::{CvcCommand, CvcIssueArgs, CvcShowArgs, TerminalRight};
use crate::output::{Exit, Printer};
use crate::touch::{no_town, refuse};
use crate::town::{Town, people};
use anyhow::Context as _;
use card::eac::cvc::{ChainKind, Cvc, CvcDate, KeyPurpose, Rights, Role, TerminalChain};
use card::eac::p256::P256Point;
use chassis::clock::SystemClock;
use jpki_authority::Authority;
use jpki_authority::accredit::eac::EacAccreditation;
use jpki_authority::error::AuthorityError;
use pki::pem::{self, PemKind};
use protocol::ids::InstitutionCode;
use protocol::problem::{Problem, ProblemCode};
use protocol::time::Clock as _;
use serde::Serialize;
use std::path::Path;

/// `kazasu pki cvc …`.
pub(crate) fn run(command: &CvcCommand) -> anyhow::Result<Exit> {
    match command {
        CvcCommand::Issue(args) => issue(args),
        CvcCommand::Show(args) => show(args),
    }
}

fn unusable(path: &Path, problem: impl std::fmt::Display) -> Box<Problem> {
    Box::new(Problem::new(ProblemCode::InputUnusable).with_detail(format!("{}: {problem}", path.display())))
}

/// A P-256 public key: PEM or DER of a SubjectPublicKeyInfo, or 65 octets `04 x y`.
fn public_key(path: &Path) -> Result<P256Point, Box<Problem>> {
    let octets = std::fs::read(path).map_err(|error| unusable(path, error))?;
    let pem = std::str::from_utf8(&octets).ok().and_then(|text| pem::decode(PemKind::PublicKey, text).ok());
    let spki = pem.as_ref().map_or(octets.as_slice(), |der| der.as_slice());
    P256Point::from_spki_der(spki)
        .or_else(|_| P256Point::parse(spki))
        .map_err(|_| unusable(path, "not a P-256 public key (PEM, DER, or 65 octets 04 x y)"))
}

/// The authority of `--config`, or of the town.
fn authority(args: &CvcIssueArgs) -> anyhow::Result<Result<Authority, Box<Problem>>> {
    let config = match &args.config {
        Some(path) => path.clone(),
        None => match Town::find(&args.common.dir)? {
            Some(town) => town.rooms.jpki_authority.room.config,
            None => return Ok(Err(Box::new(no_town(&args.common.dir)))),
        },
    };
    let mut authority = Authority::open(jpki_authority::serve::load_config(&config)?)
        .with_context(|| format!("taking up the authority of {}", config.display()))?;
    // An authority from before the profile begins it with its first terminal.
    authority.begin_eac(SystemClock.now())?;
    Ok(Ok(authority))
}

fn issue(args: &CvcIssueArgs) -> anyhow::Result<Exit> {
    let json = args.common.json;
    let institution = match &args.institution {
        None => people::institution()?.0,
        Some(text) => match InstitutionCode::parse(text) {
            Ok(code) => code,
            Err(error) => {
                let problem = Problem::new(ProblemCode::InputUnusable);
                return refuse(&problem.with_detail(format!("--institution {text}: {error}")), json);
            }
        },
    };
    let institution_key = match public_key(&args.public_key) {
        Ok(key) => key,
        Err(problem) => return refuse(&problem, json),
    };
    let authority = match authority(args)? {
        Ok(authority) => authority,
        Err(problem) => return refuse(&problem, json),
    };
    let rights = args.role.iter().fold(Rights::NONE, |all, role| all.with(role.rights()));
    let terminal = EacAccreditation { institution: &institution, institution_key, rights, days: args.days };
    let chain = match authority.accredit_eac(terminal, SystemClock.now()) {
        Ok(chain) => chain,
        Err(AuthorityError::NotAccredited) => {
            return refuse(&Problem::new(ProblemCode::InstitutionNotAccredited), json);
        }
        Err(error) => return Err(error.into()),
    };
    if let Err(error) = chassis::files::write_atomic(&args.out, &chain.encode()) {
        return refuse(&unusable(&args.out, error), json);
    }
    let printer = Printer::new(json);
    printer.say(&format!(
        "{} に証明書の連鎖を書きました（認定事業者、端末） / wrote the chain: accredited body, terminal",
        args.out.display()
    ));
    print_all(chain.certificates(), json)
}

fn show(args: &CvcShowArgs) -> anyhow::Result<Exit> {
    let json = args.common.json;
    let octets = match std::fs::read(&args.file) {
        Ok(octets) => octets,
        Err(error) => return refuse(&unusable(&args.file, error), json),
    };
    let all = match Cvc::parse_all(&octets) {
        Ok(all) if !all.is_empty() => all,
        Ok(_) => return refuse(&unusable(&args.file, "an empty file"), json),
        Err(error) => return refuse(&unusable(&args.file, error), json),
    };
    print_all(all.iter(), json)?;
    if !json && TerminalChain::parse(&octets).is_ok() {
        println!("端末が提示できる連鎖です / together they are a chain that a terminal can show");
    }
    Ok(Exit::Done)
}

impl TerminalRight {
    const fn rights(self) -> Rights {
        match self {
            Self::PinlessSignature => Rights::PINLESS_SIGNATURE,
            Self::MedicalId => Rights::MEDICAL_ID,
            Self::OfflineVisit => Rights::OFFLINE_VISIT,
        }
    }
}

/// A certificate as it is printed.
#[derive(Debug, Serialize)]
struct Shown {
    holder: String,
    authority: String,
    chain: &'static str,
    role: &'static str,
    rights: Vec<&'static str>,
    key_purpose: &'static str,
    /// `04 x y`, hexadecimal.
    public_key: String,
    effective: String,
    expiration: String,
    /// As far as this machine's clock knows; a card goes by its own date.
    state: &'static str,
    octets: usize,
}

const ROLES: [(Role, &str, &str); 4] = [
    (Role::Cvca, "cvca", "ルート（CVCA） / root"),
    (Role::DocumentVerifierDomestic, "accredited_body", "認定事業者 / accredited body"),
    (
        Role::DocumentVerifierForeign,
        "accredited_body_foreign",
        "認定事業者（日付は信用しない） / accredited body whose dates are not believed",
    ),
    (Role::Holder, "holder", "端末またはカードのロット / terminal, or batch of cards"),
];

const RIGHTS: [(Rights, &str, &str); 3] = [
    (Rights::PINLESS_SIGNATURE, "pinless-signature", "PIN なしの署名 1 回 / one signature without a PIN"),
    (Rights::MEDICAL_ID, "medical-id", "医療等 ID / medical ID"),
    (Rights::OFFLINE_VISIT, "offline-visit", "オフラインの来院記録 / visit records without network"),
];

fn shown(certificate: &Cvc, today: Option<CvcDate>) -> (Shown, &'static str) {
    let body = certificate.body();
    let own = body.authorisation;
    let (_, role, role_words) =
        ROLES.into_iter().find(|(role, ..)| *role == own.role).unwrap_or((own.role, "", ""));
    let shown = Shown {
        holder: body.holder.to_string(),
        authority: body.authority.to_string(),
        chain: match own.chain {
            ChainKind::Terminal => "terminal",
            ChainKind::CardIssuer => "card_issuer",
        },
        role,
        rights: RIGHTS
            .iter()
            .filter(|(right, ..)| own.rights.contain(*right))
            .map(|(_, word, _)| *word)
            .collect(),
        key_purpose: match body.purpose {
            KeyPurpose::Signature => "signature",
            KeyPurpose::ChipAuthentication => "chip_authentication",
        },
        public_key: hex::encode(body.key.as_octets()),
        effective: body.effective.to_string(),
        expiration: body.expiration.to_string(),
        state: match today {
            Some(today) if body.expiration < today => "expired",
            Some(today) if today < body.effective => "not_yet",
            _ => "current",
        },
        octets: certificate.encode().len(),
    };
    (shown, role_words)
}

fn print_all<'a>(certificates: impl Iterator<Item = &'a Cvc>, json: bool) -> anyhow::Result<Exit> {
    let today = CvcDate::at(SystemClock.now());
    let all: Vec<_> = certificates.map(|certificate| (certificate, shown(certificate, today))).collect();
    if json {
        let values: Vec<&Shown> = all.iter().map(|(_, (shown, _))| shown).collect();
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "certificates": values }))?);
        return Ok(Exit::Done);
    }
    for (certificate, (shown, role)) in all {
        let own = certificate.body().authorisation;
        println!("{}", shown.holder);
        println!("  発行者 / authority   {}", shown.authority);
        println!("  位置 / place         {role}");
        for (_, _, words) in RIGHTS.iter().filter(|(right, ..)| own.rights.contain(*right)) {
            println!("  権限 / right         {words}");
        }
        println!("  期間 / days          {} … {}", shown.effective, shown.expiration);
        match shown.state {
            "expired" => println!("  ✕ 期限が切れています / expired"),
            "not_yet" => println!("  … まだ始まっていません / not begun yet"),
            _ => {}
        }
        println!("  公開鍵 / public key  {}", shown.public_key);
    }
    Ok(Exit::Done)
}
