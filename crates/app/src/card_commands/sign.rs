//! `kazasu card sign`: one signature by a card in a PC/SC reader.

use super::at_reader::{CardAtReader, OnLastTry, Secret, malformed_secret, sha256};
use super::read::certificate_of;
use super::{Refusal, ended, secret_of_stdin};
use crate::cli::{CardKey, CardSignArgs};
use crate::output::Exit;
use anyhow::Context as _;
use card::dialogue::pin_sign::PinProtected;
use card::dialogue::read_certificates::CertificateFile;
use card::my_number_card::{AuthPin, SignPassword};
use pki::certificate::Certificate;
use pki::public_key::VerifyingKey;
use protocol::problem::ProblemCode;
use std::path::{Path, PathBuf};

/// `kazasu card sign`.
pub(crate) fn sign(args: &CardSignArgs) -> anyhow::Result<Exit> {
    ended(sign_file(args), args.common.json)
}

fn sign_file(args: &CardSignArgs) -> anyhow::Result<Exit> {
    let message = std::fs::read(&args.file).with_context(|| format!("reading {}", args.file.display()))?;
    let secret = secret_of_stdin()?;
    let on_last_try = if args.allow_last_try { OnLastTry::Present } else { OnLastTry::Refuse };
    let with = match args.key {
        CardKey::Auth => PinProtected::CardHolderAuth(AuthPin::parse(&secret).map_err(malformed_secret)?),
        CardKey::Sign => {
            PinProtected::DocumentSignature(SignPassword::parse(&secret).map_err(malformed_secret)?)
        }
    };
    let mut card = CardAtReader::open(&args.at, &args.trace)?;
    let signature = signature(&mut card, with, on_last_try, &message)?;
    let reader = card.reader.clone();
    card.close()?;
    let out = args.out.clone().unwrap_or_else(|| with_ending(&args.file));
    chassis::files::write_atomic(&out, &signature)?;
    if args.common.json {
        let told = serde_json::json!({
            "reader": reader,
            "file": args.file,
            "signature": out,
            "mechanism": "SHA256-RSA-PKCS",
            "verifies_under_the_cards_certificate": true,
        });
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        println!("署名しました / signed → {}", out.display());
    }
    Ok(Exit::Done)
}

/// Signs, and checks the signature under the certificate on the card before anybody gets to see it: a card
/// that signs wrongly is found here.
pub(crate) fn signature(
    card: &mut CardAtReader,
    with: PinProtected,
    on_last_try: OnLastTry,
    message: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let certificate = match &with {
        PinProtected::CardHolderAuth(_) => {
            card.ensure_tries(Secret::AuthPin, on_last_try)?;
            certificate_of(card, CertificateFile::CardHolderAuth, None)?
        }
        PinProtected::DocumentSignature(password) => {
            card.ensure_tries(Secret::SignPassword, on_last_try)?;
            certificate_of(card, CertificateFile::DocumentSignature, Some(password.clone()))?
        }
    };
    let signature = card.sign(with, sha256(message)?)?;
    let key = Certificate::parse(&certificate).ok();
    let key = key.and_then(|certificate| VerifyingKey::from_spki_der(certificate.spki_der()).ok());
    if key.is_some_and(|key| key.verifies(message, &signature)) {
        return Ok(signature);
    }
    let detail = "the signature does not verify under the card's own certificate";
    Err(Refusal::new(ProblemCode::CardMisbehaved, detail).into())
}

/// `letter.pdf` becomes `letter.pdf.sig`.
fn with_ending(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}
