//! `kazasu pki cms …`: documents signed with a card, and signatures on documents verified
//! ([`pki::cms`]; `docs/document-signatures.md`).

mod sign;
mod verify;
mod words;

use crate::cli::Common;
use crate::output::Exit;
use clap::{Args, Subcommand, ValueEnum};
use pki::signature_scheme::SignatureDigest;
use pki::validate::Profile;
use protocol::time::UnixSeconds;
use std::path::PathBuf;

/// `kazasu pki cms …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CmsCommand {
    /// Sign a document with a card's signature key: detached CMS (RFC 5652), SHA-256.
    #[command(after_help = "\
Examples:
  kazasu pki cms sign --card hanako --content letter.pdf                with a specimen person's card
  kazasu pki cms sign --reader ACR --password-from-stdin --content letter.pdf < password.txt
A second opinion: openssl cms -verify -binary -inform DER -in letter.pdf.p7s -content letter.pdf -CAfile CA -purpose any")]
    Sign(CmsSignArgs),
    /// Verify signatures on a document: detached CMS, or a bare one.
    #[command(after_help = "\
The profile says what the signer's certificate must be for; jpki-sign, if left out. Every signer must be good.
The document is taken as it is: openssl signs a changed one (line ends) unless told -binary.

Examples:
  kazasu pki cms verify --trust sign-ca.pem --crl sign.crl --content letter.pdf --signature letter.pdf.p7s
  kazasu pki cms verify --trust sign-ca.pem --crl sign.crl --content letter.pdf --signature letter.pdf.sig --form raw --signer hanako.sign.pem
  kazasu pki cms verify --trust ca.pem --ocsp answer.der --content a.bin --signature a.p7s --at 2025-11-22T01:02:03Z --json

Exit codes: 0 every signature good, 1 not, 2 usage.")]
    Verify(Box<CmsVerifyArgs>),
}

/// `kazasu pki cms sign`.
#[derive(Debug, Args)]
pub(crate) struct CmsSignArgs {
    /// Common options.
    #[command(flatten)]
    common: Common,
    /// This specimen person's card; its password is known.
    #[arg(long, value_name = "PERSON", required_unless_present = "reader", conflicts_with = "reader")]
    card: Option<String>,
    /// The card in the PC/SC reader whose name contains this.
    #[arg(long, value_name = "NAME", requires = "password_from_stdin")]
    reader: Option<String>,
    /// How long to wait for a card, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    wait: u64,
    /// The signature password is the first line of standard input.
    #[arg(long, requires = "reader")]
    password_from_stdin: bool,
    /// Present the password although one mistake would block it.
    #[arg(long)]
    allow_last_try: bool,
    /// The document.
    #[arg(long, value_name = "FILE")]
    content: PathBuf,
    /// Where the signature goes, in DER; the document's name with `.p7s` behind, if left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `kazasu pki cms verify`.
#[derive(Debug, Args)]
pub(crate) struct CmsVerifyArgs {
    /// Common options.
    #[command(flatten)]
    common: Common,
    /// Trusted certificates, DER or PEM.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// More certificates that may be signers or issuers. DER or PEM.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    untrusted: Vec<PathBuf>,
    /// Revocation lists, complete or delta, DER or PEM.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// OCSP responses, DER or PEM.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    ocsp: Vec<PathBuf>,
    /// The document.
    #[arg(long, value_name = "FILE")]
    content: PathBuf,
    /// The signature: CMS in DER, BER or PEM, or the bare octets.
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,
    /// What the signature file is.
    #[arg(long, value_enum, default_value = "cms")]
    form: Form,
    /// For a bare signature: the signer's certificate.
    #[arg(long, value_name = "FILE", required_if_eq("form", "raw"))]
    signer: Option<PathBuf>,
    /// For a bare signature: the digest it is over.
    #[arg(long, value_enum, default_value = "sha256")]
    digest: Digest,
    /// The instant asked about: RFC 3339, or seconds since 1970; now, if left out.
    #[arg(long, value_name = "TIME", value_parser = super::validate::instant)]
    at: Option<UnixSeconds>,
    /// What the signer's certificate must be for.
    #[arg(long, value_name = "NAME", default_value = "jpki-sign", value_parser = super::validate::profile)]
    profile: Profile,
    /// What must be known of revocation.
    #[arg(long, value_enum, default_value = "required")]
    revocation: Rule,
    /// A list or response older than this says nothing good, whatever its nextUpdate.
    #[arg(long, value_name = "SECONDS")]
    status_age_max: Option<u64>,
    /// How far clocks may differ; 0 if --at is given, else 60.
    #[arg(long, value_name = "SECONDS")]
    clock_tolerance: Option<u64>,
    /// Refuse a signature that does not itself name the certificate (signing-certificate-v2, RFC 5035).
    #[arg(long)]
    require_signing_certificate: bool,
}

/// What a signature file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    /// Detached CMS SignedData.
    Cms,
    /// A signature and nothing else: RSA PKCS#1 v1.5, as `kazasu card sign` makes it.
    Raw,
}

/// A digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl From<Digest> for SignatureDigest {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Sha256 => Self::Sha256,
            Digest::Sha384 => Self::Sha384,
            Digest::Sha512 => Self::Sha512,
        }
    }
}

/// What must be known of revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Rule {
    /// Every certificate below the trusted one must be known to be good.
    Required,
    /// One that nothing speaks of may pass.
    IfPresent,
    /// Nothing is looked at.
    None,
}

/// `kazasu pki cms …`.
pub(crate) fn run(command: &CmsCommand) -> anyhow::Result<Exit> {
    match command {
        CmsCommand::Sign(args) => sign::run(args),
        CmsCommand::Verify(args) => verify::run(args),
    }
}
