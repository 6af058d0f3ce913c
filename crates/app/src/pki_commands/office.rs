//! What operators of the authority do by hand: cards at the counter, lists, and what takes two people.
//!
//! Every command works on the store of the authority, whether it runs or not: OCSP says at once what was
//! changed here, lists at their next publication or with `--publish`. Serial numbers are never printed.

mod approvals;
mod audit;
mod cards;
mod issue;
mod lists;
mod operators;

pub(crate) use operators::make_key;

use crate::cli::Common;
use crate::output::Exit;
use crate::touch::no_town;
use crate::town::Town;
use anyhow::Context as _;
use chassis::clock::SystemClock;
use clap::{Args, Subcommand};
use jpki_authority::CertificateKind;
use jpki_authority::approval::ApprovalError;
use jpki_authority::config::Config;
use jpki_authority::error::AuthorityError;
use jpki_authority::operator::Named;
use jpki_authority::store::{Store, StoreError};
use pki::asn1::time::CertificateTime;
use pki::certificate::Certificate;
use pki::pem::{self, PemKind};
use pki::serial::SerialNumber;
use protocol::answer::Bilingual;
use protocol::linkage_v1::WireSerial;
use protocol::problem::{Problem, ProblemCode};
use protocol::time::{Clock as _, UnixSeconds};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The operators' verbs, beside the others of `kazasu pki`.
#[derive(Debug, Subcommand)]
pub(crate) enum OfficeCommand {
    /// Issue the certificates of a card.
    #[command(after_help = issue::ISSUE_EXAMPLES)]
    Issue(issue::IssueArgs),
    /// Renew a card: new certificates, the old ones superseded and linked to them.
    #[command(after_help = issue::RENEW_EXAMPLES)]
    Renew(issue::RenewArgs),
    /// Revoke a card's certificates, by what happened or by a reason. One person, at once.
    #[command(after_help = cards::REVOKE_EXAMPLES)]
    Revoke(cards::RevokeArgs),
    /// Suspend a card's certificates: it may be found (certificateHold).
    #[command(after_help = cards::HOLD_EXAMPLES)]
    Hold(cards::HoldArgs),
    /// End a suspension: the card was found.
    #[command(after_help = cards::RELEASE_EXAMPLES)]
    Release(cards::HoldArgs),
    /// Show how a card's certificates stand.
    #[command(after_help = cards::SHOW_EXAMPLES)]
    Show(cards::ShowArgs),
    /// The current revocation lists: number, age, entries by reason; export them, or publish now.
    #[command(after_help = lists::EXAMPLES)]
    Crl(lists::CrlArgs),
    /// Who may request and approve.
    Operator {
        /// What to do.
        #[command(subcommand)]
        command: operators::OperatorCommand,
    },
    /// Request what takes two people.
    #[command(after_help = approvals::REQUEST_EXAMPLES)]
    Request(approvals::RequestArgs),
    /// Approve a request of another operator, and execute it; or refuse it.
    #[command(after_help = approvals::APPROVE_EXAMPLES)]
    Approve(approvals::ApproveArgs),
    /// Requests that wait for a second person, or for their execution.
    #[command(after_help = approvals::PENDING_EXAMPLES)]
    Pending(approvals::PendingArgs),
    /// The audit: is it whole, and who asked about a certificate.
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
}

/// Runs one.
pub(crate) async fn run(command: &OfficeCommand) -> anyhow::Result<Exit> {
    match command {
        OfficeCommand::Issue(args) => issue::issue(args),
        OfficeCommand::Renew(args) => issue::renew(args).await,
        OfficeCommand::Revoke(args) => cards::revoke(args).await,
        OfficeCommand::Hold(args) => cards::hold(args).await,
        OfficeCommand::Release(args) => cards::release(args).await,
        OfficeCommand::Show(args) => cards::show(args),
        OfficeCommand::Crl(args) => lists::crl(args).await,
        OfficeCommand::Operator { command } => operators::run(command),
        OfficeCommand::Request(args) => approvals::request(args),
        OfficeCommand::Approve(args) => approvals::approve(args),
        OfficeCommand::Pending(args) => approvals::pending(args),
        OfficeCommand::Audit { command } => audit::run(command),
    }
}

/// Which authority.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The authority's config file, instead of the town's.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// A problem, or an error that is none of the operator's making.
type Refusable<T> = anyhow::Result<Result<T, Box<Problem>>>;

impl Which {
    /// The authority's configuration, of `--config` or of the town.
    fn configuration(&self) -> Refusable<Config> {
        let path = match &self.config {
            Some(path) => path.clone(),
            None => match Town::find(&self.common.dir)? {
                Some(town) => town.rooms.jpki_authority.room.config,
                None => return Ok(Err(Box::new(no_town(&self.common.dir)))),
            },
        };
        let config = jpki_authority::serve::load_config(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        Ok(Ok(config))
    }

    /// The certificate that `card` means: a specimen's name, a file, or a serial number in hexadecimal.
    fn certificate(&self, card: &str, store: &dyn Store) -> Refusable<Named> {
        let serial = match self.serial_of(card)? {
            Ok(serial) => serial,
            Err(problem) => return Ok(Err(problem)),
        };
        for kind in CertificateKind::ALL {
            // One that was never signed is nobody's card.
            if store.standing(kind, &serial)?.is_some_and(|standing| standing.not_after.is_some()) {
                return Ok(Ok((kind, serial)));
            }
        }
        Ok(Err(Box::new(Problem::new(ProblemCode::CertificateNotIssuedHere))))
    }

    fn serial_of(&self, card: &str) -> Refusable<SerialNumber> {
        let in_town = Town::find(&self.common.dir).ok().flatten();
        let person = in_town.as_ref().and_then(|town| town.person(card));
        let file = person.and_then(|person| person.auth_cert.clone()).unwrap_or_else(|| PathBuf::from(card));
        if file.is_file() {
            return Ok(certificate_in(&file).map(|(serial, _)| serial));
        }
        let serial = WireSerial::try_from(card.to_owned())
            .ok()
            .and_then(|serial| SerialNumber::from_octets(serial.octets()).ok());
        let what = "人の名前でも、証明書のファイルでも、発行番号でもありません / neither a specimen person, nor a certificate file, nor a serial number";
        Ok(serial.ok_or_else(|| unusable(format!("{card:?}: {what}"))))
    }
}

/// A file or a value that cannot be used.
fn unusable(detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(ProblemCode::InputUnusable).with_detail(detail))
}

fn unusable_file(path: &Path, problem: impl std::fmt::Display) -> Box<Problem> {
    unusable(format!("{}: {problem}", path.display()))
}

/// The serial number and the DER of the first certificate of a file.
fn certificate_in(path: &Path) -> Result<(SerialNumber, Vec<u8>), Box<Problem>> {
    let octets = std::fs::read(path).map_err(|error| unusable_file(path, error))?;
    let text = std::str::from_utf8(&octets).ok();
    let der = text.and_then(|text| pem::decode(PemKind::Certificate, text).ok());
    let der = der.map_or(octets.clone(), |der| der.to_vec());
    let certificate = Certificate::parse(&der).map_err(|error| unusable_file(path, error))?;
    Ok((*certificate.serial(), der))
}

/// A public key: PEM or DER of a SubjectPublicKeyInfo.
fn public_key_in(path: &Path) -> Result<Vec<u8>, Box<Problem>> {
    let octets = std::fs::read(path).map_err(|error| unusable_file(path, error))?;
    let text = std::str::from_utf8(&octets).ok();
    let der = text.and_then(|text| pem::decode(PemKind::PublicKey, text).ok());
    Ok(der.map_or(octets.clone(), |der| der.to_vec()))
}

/// Who acts, for the audit: the account of this process. What takes a person's own word is signed instead.
fn account() -> String {
    let account = std::fs::metadata("/proc/self").map_or_else(|_| "?".to_owned(), |me| me.uid().to_string());
    format!("account:{account}")
}

fn now() -> UnixSeconds {
    SystemClock.now()
}

fn rfc3339(at: UnixSeconds) -> String {
    CertificateTime::from(at).to_rfc3339()
}

/// Both languages on one line.
fn line(text: &Bilingual) -> String {
    if text.en.is_empty() { text.ja.clone() } else { format!("{} / {}", text.ja, text.en) }
}

const fn kind_names(kind: CertificateKind) -> &'static str {
    match kind {
        CertificateKind::CardHolderAuth => "利用者証明用 / auth",
        CertificateKind::DocumentSignature => "署名用 / sign",
    }
}

/// What the authority refuses by its rules, as a problem; whatever else failed stays an error.
fn refusal(error: AuthorityError) -> anyhow::Result<Box<Problem>> {
    let problem = |code, detail: String| Ok(Box::new(Problem::new(code).with_detail(detail)));
    match error {
        AuthorityError::Approval(why) => {
            problem(ProblemCode::ApprovalRefused, format!("{} / {why}", approval_ja(&why)))
        }
        AuthorityError::Store(StoreError::NotIssued) => {
            problem(ProblemCode::CertificateNotIssuedHere, String::new())
        }
        AuthorityError::NotAccredited => problem(ProblemCode::InstitutionNotAccredited, String::new()),
        AuthorityError::Issue(why) => problem(ProblemCode::InputUnusable, why.to_string()),
        other => Err(other.into()),
    }
}

const fn approval_ja(why: &ApprovalError) -> &'static str {
    match why {
        ApprovalError::OperatorUnknown => "その名前の運用者は登録されていません",
        ApprovalError::OperatorRemoved => "その運用者は登録から外されています",
        ApprovalError::Signature => "署名が合いません。別の鍵か、署名のあとで依頼が変えられています",
        ApprovalError::SamePerson => "依頼した人は承認できません。もう一人が要ります",
        ApprovalError::SameKey => "両方の署名が同じ鍵です。もう一人が要ります",
        ApprovalError::Expired => "期限までに決まりませんでした",
        ApprovalError::WaitTooLong => "依頼の期限は七日までです",
        ApprovalError::ClockOff => "署名の時刻が今と違います。時計を確かめて署名し直してください",
        ApprovalError::Replayed => "この依頼は前に出されています。同じ依頼は二度使えません",
        ApprovalError::RequestUnknown => "その依頼はありません",
        ApprovalError::Decided => "この依頼はもう決まっています",
        ApprovalError::NotToExecute => "承認されていないか、もう実行されています",
        ApprovalError::Operation(_) => "この操作はできません",
        ApprovalError::FoundingOver => "運用者が二人いるので、依頼と承認が要ります",
        ApprovalError::NeedsAuthority => "認証局の鍵が要る操作です",
    }
}
