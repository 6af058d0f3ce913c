//! `kazasu card read`: what a card in a PC/SC reader says, and its certificates as files.

use super::at_reader::{CardAtReader, OnLastTry, Secret, malformed_secret};
use super::{Refusal, ended, secret_of_stdin};
use crate::cli::CardReadArgs;
use crate::output::Exit;
use anyhow::Context as _;
use card::dialogue::card_status::{CardStatus, Presence, TriesLeft};
use card::dialogue::read_certificates::CertificateFile;
use card::my_number_card::SignPassword;
use pki::certificate::Certificate;
use pki::pem::PemKind;
use protocol::problem::ProblemCode;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A certificate as it is told: no name, no number, no key of anybody.
#[derive(Debug, Serialize)]
struct Told {
    /// What it is for.
    kind: &'static str,
    /// Octets of the DER file on the card.
    octets: usize,
    /// Whether the issuer's certificate on the same card verifies it; nothing for the issuers themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    verifies_under_the_cards_issuer: Option<bool>,
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

/// What the command prints.
#[derive(Debug, Serialize)]
struct ReadCard {
    reader: String,
    token: String,
    card_holder_auth: &'static str,
    document_signature: &'static str,
    auth_pin_tries_left: Option<u8>,
    sign_password_tries_left: Option<u8>,
    certificates: Vec<Told>,
}

/// `kazasu card read`.
pub(crate) fn read(args: &CardReadArgs) -> anyhow::Result<Exit> {
    ended(read_card(args), args.common.json)
}

fn read_card(args: &CardReadArgs) -> anyhow::Result<Exit> {
    let password = if args.password_from_stdin {
        Some(SignPassword::parse(&secret_of_stdin()?).map_err(malformed_secret)?)
    } else {
        None
    };
    let mut card = CardAtReader::open(&args.at, &args.trace)?;
    let reader = card.reader.clone();
    let status = card.status()?;
    let wanted = wanted(&status, password.is_some());
    if password.is_some() {
        let on_last_try = if args.allow_last_try { OnLastTry::Present } else { OnLastTry::Refuse };
        card.ensure_tries(Secret::SignPassword, on_last_try)?;
    }
    let files = card.certificates(&wanted, password)?;
    card.close()?;
    let mut certificates = Vec::new();
    for (which, der) in &files {
        let issuer = issuer_of(*which);
        let issuer = files.iter().find(|(file, _)| Some(*file) == issuer).map(|(_, der)| der.as_slice());
        let file = args.out.as_deref().map(|folder| write(folder, *which, der)).transpose()?;
        certificates.push(Told {
            kind: kind(*which),
            octets: der.len(),
            verifies_under_the_cards_issuer: issuer.map(|issuer| verifies(der, issuer)),
            file,
        });
    }
    let told = ReadCard {
        reader,
        token: status.token.clone(),
        card_holder_auth: presence(status.card_holder_auth),
        document_signature: presence(status.document_signature),
        auth_pin_tries_left: tries(status.auth_pin),
        sign_password_tries_left: tries(status.sign_password),
        certificates,
    };
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        print(&told);
    }
    Ok(Exit::Done)
}

/// Everything that is there and can be read with what was given.
fn wanted(status: &CardStatus, has_password: bool) -> Vec<CertificateFile> {
    let mut wanted = Vec::new();
    if status.card_holder_auth != Presence::Absent {
        wanted.extend([CertificateFile::CardHolderAuth, CertificateFile::CardHolderAuthIssuer]);
    }
    if status.document_signature != Presence::Absent {
        wanted.extend(has_password.then_some(CertificateFile::DocumentSignature));
        wanted.push(CertificateFile::DocumentSignatureIssuer);
    }
    wanted
}

const fn issuer_of(file: CertificateFile) -> Option<CertificateFile> {
    match file {
        CertificateFile::CardHolderAuth => Some(CertificateFile::CardHolderAuthIssuer),
        CertificateFile::DocumentSignature => Some(CertificateFile::DocumentSignatureIssuer),
        CertificateFile::CardHolderAuthIssuer | CertificateFile::DocumentSignatureIssuer => None,
    }
}

const fn kind(file: CertificateFile) -> &'static str {
    match file {
        CertificateFile::CardHolderAuth => "auth",
        CertificateFile::CardHolderAuthIssuer => "auth-issuer",
        CertificateFile::DocumentSignature => "sign",
        CertificateFile::DocumentSignatureIssuer => "sign-issuer",
    }
}

const fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::There => "there",
        Presence::Absent => "absent",
        Presence::Untold => "untold",
    }
}

/// 0 is blocked; nothing where the card tells no number, or has no such secret.
const fn tries(left: TriesLeft) -> Option<u8> {
    match left {
        TriesLeft::Some(tries) => Some(tries),
        TriesLeft::Blocked => Some(0),
        TriesLeft::Untold | TriesLeft::NoSecret => None,
    }
}

/// Whether the signature holds under the issuer's key. Both come from the same card, so this says that the
/// card is whole, and nothing about whom to believe.
fn verifies(der: &[u8], issuer: &[u8]) -> bool {
    let (Ok(certificate), Ok(issuer)) = (Certificate::parse(der), Certificate::parse(issuer)) else {
        return false;
    };
    certificate.is_signed_by(&issuer)
}

/// Writes a certificate for its owner alone: the signature certificate carries name and address, and the
/// other one a number that follows its holder.
fn write(folder: &Path, which: CertificateFile, der: &[u8]) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let path = folder.join(format!("{}.pem", kind(which)));
    chassis::files::write_private(&path, pki::pem::encode(PemKind::Certificate, der).as_bytes())?;
    Ok(path)
}

fn print(told: &ReadCard) {
    let tries = |left: Option<u8>| left.map_or_else(|| "–".to_owned(), |left| left.to_string());
    println!("{}\n  {}", told.reader, told.token);
    println!("  利用者証明用 / authentication certificate: {}", told.card_holder_auth);
    println!("  署名用 / signature certificate: {}", told.document_signature);
    println!(
        "  暗証番号の残り回数 / tries left: PIN {}, password {}",
        tries(told.auth_pin_tries_left),
        tries(told.sign_password_tries_left)
    );
    for certificate in &told.certificates {
        let mark = match certificate.verifies_under_the_cards_issuer {
            Some(true) => "○",
            Some(false) => "✕",
            None => " ",
        };
        let file = certificate.file.as_ref().map(|path| format!("→ {}", path.display())).unwrap_or_default();
        println!("  {mark} {:<12} {:>5} B {file}", certificate.kind, certificate.octets);
    }
}

/// The certificate behind a key, for checking a signature.
pub(super) fn certificate_of(
    card: &mut CardAtReader,
    which: CertificateFile,
    password: Option<SignPassword>,
) -> Result<Vec<u8>, Refusal> {
    let files = card.certificates(&[which], password)?;
    let found = files.into_iter().next().map(|(_, der)| der);
    found.ok_or_else(|| Refusal::new(ProblemCode::CardMisbehaved, "no certificate"))
}
