//! `kazasu pki revoke | hold | release | show`: one card, one person, at once.

use super::{Which, account, kind_names, line, lists, now, refusal, rfc3339};
use crate::output::Exit;
use crate::touch::refuse;
use chassis::entropy::SystemEntropy;
use clap::{Args, ValueEnum};
use jpki_authority::config::Config;
use jpki_authority::operator::{Became, Change, Named, OperatorDesk, Seen};
use jpki_authority::store::Standing;
use jpki_authority::{CardEvent, CertificateKind};
use pki::revocation::RevocationReason;
use protocol::answer::Bilingual;
use protocol::problem::{Problem, ProblemCode};
use serde_json::{Value, json};

pub(super) const REVOKE_EXAMPLES: &str = "\
CARD: a specimen person, a certificate file (PEM or DER), or a serial number in hexadecimal.
EVENT, with what the report's table makes of it (signature certificate, authentication certificate):
  moved, married     affiliationChanged, stays valid
  died, left         affiliationChanged, affiliationChanged
  lost               certificateHold, certificateHold: it may come back (kazasu pki release)
  renewed            superseded, superseded (kazasu pki renew also issues the new ones and links them)
  returned           cessationOfOperation, cessationOfOperation

Examples:
  kazasu pki revoke hanako lost
  kazasu pki revoke hanako.auth.pem returned --publish
  kazasu pki revoke hanako --reason keyCompromise --only sign --json
  kazasu pki revoke 4f1b2c3d4e5f6071 died --config samples/jpki_authority.toml

A permanent reason never changes. Many cards at once take two people: kazasu pki request revoke-many.";
pub(super) const HOLD_EXAMPLES: &str = "\
Examples:
  kazasu pki hold hanako
  kazasu pki hold hanako --only auth --publish";
pub(super) const RELEASE_EXAMPLES: &str = "\
Examples:
  kazasu pki release hanako
  kazasu pki release hanako --publish --json
What was revoked for good in the meantime stays revoked.";
pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  kazasu pki show hanako
  kazasu pki show hanako.sign.pem --json";

/// Words for the rows of the report's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum EventWord {
    /// A new address.
    Moved,
    /// A new name.
    Married,
    /// The holder died.
    Died,
    /// The holder left the register.
    Left,
    /// The card is lost and may be found.
    Lost,
    /// The certificates were renewed.
    Renewed,
    /// The card was handed back.
    Returned,
}

impl EventWord {
    const fn event(self) -> CardEvent {
        match self {
            Self::Moved | Self::Married => CardEvent::MovedOrMarried,
            Self::Died | Self::Left => CardEvent::LeftRegister,
            Self::Lost => CardEvent::LostCard,
            Self::Renewed => CardEvent::Renewed,
            Self::Returned => CardEvent::ReturnedCard,
        }
    }
}

/// One of a card's two certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum KindWord {
    /// Card-holder authentication.
    Auth,
    /// Document signature.
    Sign,
}

impl KindWord {
    pub(super) const fn kind(self) -> CertificateKind {
        match self {
            Self::Auth => CertificateKind::CardHolderAuth,
            Self::Sign => CertificateKind::DocumentSignature,
        }
    }
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    match RevocationReason::from_name(text) {
        Some(RevocationReason::RemoveFromCrl) | None => {
            let known =
                RevocationReason::ALL.into_iter().filter(|reason| *reason != RevocationReason::RemoveFromCrl);
            Err(format!("one of {}", known.map(RevocationReason::as_str).collect::<Vec<_>>().join(", ")))
        }
        Some(reason) => Ok(reason),
    }
}

/// `kazasu pki revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// Which card.
    card: String,
    /// What happened.
    #[arg(value_enum, required_unless_present = "reason")]
    event: Option<EventWord>,
    /// A reason of RFC 5280 instead of an event.
    #[arg(long, value_parser = reason, conflicts_with = "event")]
    reason: Option<RevocationReason>,
    /// With --reason: one of the two certificates only.
    #[arg(long, value_enum, requires = "reason")]
    only: Option<KindWord>,
    /// Publish the lists right away.
    #[arg(long)]
    publish: bool,
}

/// `kazasu pki hold` and `kazasu pki release`.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// Which card: a specimen person, a certificate file, or a serial number in hexadecimal.
    card: String,
    /// One of the two certificates only.
    #[arg(long, value_enum)]
    only: Option<KindWord>,
    /// Publish the lists right away.
    #[arg(long)]
    publish: bool,
}

/// `kazasu pki show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// Which card: a specimen person, a certificate file, or a serial number in hexadecimal.
    card: String,
}

/// `kazasu pki revoke`.
pub(super) async fn revoke(args: &RevokeArgs) -> anyhow::Result<Exit> {
    let only = args.only.map(KindWord::kind);
    let change = match (args.event, args.reason) {
        (Some(event), _) => Change::Event(event.event()),
        (None, Some(reason)) => Change::Reason { reason, only },
        // The command line does not let this through.
        (None, None) => return Ok(Exit::Usage),
    };
    let order = Order { which: &args.which, card: &args.card, publish: args.publish };
    order.carry_out(|desk, named| desk.change(named, change, &account(), now())).await
}

/// `kazasu pki hold`.
pub(super) async fn hold(args: &HoldArgs) -> anyhow::Result<Exit> {
    let only = args.only.map(KindWord::kind);
    let change = Change::Reason { reason: RevocationReason::CertificateHold, only };
    let order = Order { which: &args.which, card: &args.card, publish: args.publish };
    order.carry_out(|desk, named| desk.change(named, change, &account(), now())).await
}

/// `kazasu pki release`.
pub(super) async fn release(args: &HoldArgs) -> anyhow::Result<Exit> {
    let only = args.only.map(KindWord::kind);
    let order = Order { which: &args.which, card: &args.card, publish: args.publish };
    order.carry_out(|desk, named| desk.release(named, only, &account(), now())).await
}

struct Order<'a> {
    which: &'a Which,
    card: &'a str,
    publish: bool,
}

type Outcomes = Vec<(Named, Became)>;

impl Order<'_> {
    async fn carry_out(
        &self,
        act: impl FnOnce(&OperatorDesk, &Named) -> Result<Outcomes, jpki_authority::error::AuthorityError>,
    ) -> anyhow::Result<Exit> {
        let json = self.which.common.json;
        let config = match self.which.configuration()? {
            Ok(config) => config,
            Err(problem) => return refuse(&problem, json),
        };
        let desk = OperatorDesk::open(&config, &mut SystemEntropy)?;
        let named = match self.which.certificate(self.card, desk.store())? {
            Ok(named) => named,
            Err(problem) => return refuse(&problem, json),
        };
        let outcomes = match act(&desk, &named) {
            Ok(outcomes) => outcomes,
            Err(error) => return refuse(&*refusal(error)?, json),
        };
        drop(desk);
        let changed =
            outcomes.iter().any(|(_, became)| matches!(became, Became::Revoked(_) | Became::Released(_)));
        if !changed && outcomes.iter().any(|(_, became)| is_refused(became)) {
            return refuse(&refused(&outcomes), json);
        }
        let published = if self.publish { Some(lists::publish(&config).await?) } else { None };
        print(&outcomes, &config, published, json)?;
        Ok(Exit::Done)
    }
}

const fn is_refused(became: &Became) -> bool {
    matches!(became, Became::Stands(..) | Became::NotHeld)
}

fn refused(outcomes: &Outcomes) -> Problem {
    let details: Vec<String> = outcomes
        .iter()
        .filter(|(_, became)| is_refused(became))
        .map(|((kind, _), became)| format!("{}: {}", kind_names(*kind), line(&meaning(*kind, *became))))
        .collect();
    let stands = outcomes.iter().find_map(|(_, became)| match became {
        Became::Stands(reason, _) => Some(*reason),
        _ => None,
    });
    let problem = Problem::new(ProblemCode::StatusChangeRefused).with_detail(details.join("; "));
    match stands {
        Some(reason) => problem.with_reason(reason.as_str()),
        None => problem,
    }
}

/// What it means for whoever relies on the certificate: report, "Reason of Revocation".
fn meaning(kind: CertificateKind, became: Became) -> Bilingual {
    let both = |ja: String, en: String| Bilingual::new(ja, en);
    let since = |reason: RevocationReason, at| (reason.as_str(), rfc3339(at));
    match became {
        Became::Revoked(reason) => {
            let (ja, en) = of_reason(kind, reason);
            both(ja.to_owned(), en.to_owned())
        }
        Became::Already(reason, at) => {
            let (reason, at) = since(reason, at);
            both(
                format!("すでにそうです（{reason}、{at} から）"),
                format!("it is so already ({reason}, since {at})"),
            )
        }
        Became::Untouched => match kind {
            CertificateKind::CardHolderAuth => both(
                "変わりません。この証明書に本人の情報はなく、資格確認はそのまま使えます".to_owned(),
                "stays valid: nothing about the holder is in it, and eligibility goes on".to_owned(),
            ),
            CertificateKind::DocumentSignature => {
                both("変わりません".to_owned(), "stays as it is".to_owned())
            }
        },
        Became::Stands(reason, at) => {
            let (reason, at) = since(reason, at);
            both(
                format!("{at} に {reason} で失効しています。確定した理由は変わりません"),
                format!("revoked for good as {reason} since {at}: a permanent reason never changes"),
            )
        }
        Became::Released(at) => both(
            format!("{} からの一時停止を解除しました。再び使えます", rfc3339(at)),
            format!("the hold of {} is over: it counts again", rfc3339(at)),
        ),
        Became::NotHeld => both("一時停止されていません".to_owned(), "it is not on hold".to_owned()),
    }
}

const fn of_reason(kind: CertificateKind, reason: RevocationReason) -> (&'static str, &'static str) {
    match (reason, kind) {
        (RevocationReason::CertificateHold, _) => (
            "一時停止。今から拒まれ、紐付けは残り、見つかれば戻せます",
            "on hold: refused from now on, links stay, and it may come back",
        ),
        (RevocationReason::AffiliationChanged, CertificateKind::DocumentSignature) => (
            "証明書の4情報が今と違います。署名には新しい証明書が要ります",
            "an attribute in it no longer holds: documents take a new certificate",
        ),
        (RevocationReason::AffiliationChanged, CertificateKind::CardHolderAuth) => (
            "本人が住民登録から外れました。資格確認は止まり、保険者に知らせます",
            "the person has left the register: eligibility stops, the insurer is told",
        ),
        (RevocationReason::Superseded, _) => (
            "更新されました。古い番号からは紐付けで新しい番号へ",
            "renewed: from the old number to the new one by linkage",
        ),
        (RevocationReason::CessationOfOperation, _) => {
            ("返納されました。戻りません", "handed back, for good")
        }
        _ => ("失効しました。戻りません", "revoked, for good"),
    }
}

const fn word(became: Became) -> &'static str {
    match became {
        Became::Revoked(RevocationReason::CertificateHold) => "on_hold",
        Became::Revoked(_) => "revoked",
        Became::Already(..) => "already",
        Became::Untouched => "untouched",
        Became::Stands(..) => "stands",
        Became::Released(_) => "released",
        Became::NotHeld => "not_held",
    }
}

const fn reason_of(became: Became) -> Option<RevocationReason> {
    match became {
        Became::Revoked(reason) | Became::Already(reason, _) | Became::Stands(reason, _) => Some(reason),
        Became::Untouched | Became::Released(_) | Became::NotHeld => None,
    }
}

fn print(
    outcomes: &Outcomes,
    config: &Config,
    published: Option<lists::Published>,
    json: bool,
) -> anyhow::Result<()> {
    let within = config.crl.republish_seconds;
    if json {
        let certificates: Vec<Value> = outcomes
            .iter()
            .map(|((kind, _), became)| {
                json!({
                    "certificate": kind.word(),
                    "became": word(*became),
                    "reason": reason_of(*became).map(RevocationReason::as_str),
                    "meaning": meaning(*kind, *became),
                })
            })
            .collect();
        let lists = published.map_or("next_publication", lists::Published::word);
        let answer = json!({
            "certificates": certificates, "ocsp": "now", "lists": lists, "lists_within_seconds": within,
        });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    for ((kind, _), became) in outcomes {
        let reason = reason_of(*became).map_or("", RevocationReason::as_str);
        println!("  {}  {} {reason}", kind_names(*kind), word(*became));
        println!("    {}", line(&meaning(*kind, *became)));
    }
    match published {
        Some(published) => println!("  OCSP は今から / OCSP says so now; {}", line(&published.told())),
        None => println!(
            "  OCSP は今から、失効リストは {within} 秒以内に（今すぐなら --publish） / OCSP says so now, lists within {within} s (at once with --publish)"
        ),
    }
    Ok(())
}

/// How a certificate stands, as one word and a reason.
fn stands(standing: &Standing) -> (&'static str, Option<&'static str>) {
    match standing.revoked {
        Some((RevocationReason::CertificateHold, _)) => ("on_hold", Some("certificateHold")),
        Some((reason, _)) => ("revoked", Some(reason.as_str())),
        None if standing.not_after.is_some_and(|not_after| not_after < now()) => ("expired", None),
        None if standing.not_after.is_none() => ("never_signed", None),
        None => ("good", None),
    }
}

fn shown(desk: &OperatorDesk, seen: &Seen) -> Value {
    let (state, reason) = stands(&seen.standing);
    json!({
        "certificate": seen.named.0.word(),
        "audit_reference": desk.audit_key().reference(seen.named.0, &seen.named.1),
        "state": state,
        "reason": reason,
        "since": seen.standing.revoked.map(|(_, at)| rfc3339(at)),
        "not_after": seen.standing.not_after.map(rfc3339),
        "successor": seen.successor.as_ref().map(|(_, standing)| json!({ "state": stands(standing).0 })),
    })
}

/// `kazasu pki show`.
pub(super) fn show(args: &ShowArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let desk = OperatorDesk::open(&config, &mut SystemEntropy)?;
    let named = match args.which.certificate(&args.card, desk.store())? {
        Ok(named) => named,
        Err(problem) => return refuse(&problem, json),
    };
    let seen = match desk.look(&named, &account(), now()) {
        Ok(seen) => seen,
        Err(error) => return refuse(&*refusal(error)?, json),
    };
    let certificates: Vec<Value> = seen.iter().map(|seen| shown(&desk, seen)).collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&json!({ "certificates": certificates }))?);
        return Ok(Exit::Done);
    }
    for (seen, value) in seen.iter().zip(&certificates) {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("–").to_owned();
        println!("  {}  {} {}", kind_names(seen.named.0), text("state"), text("reason"));
        println!("    since {}   notAfter {}", text("since"), text("not_after"));
        if let Some((_, standing)) = &seen.successor {
            println!("    後継あり / replaced by one that is {}", stands(standing).0);
        }
        println!("    監査での参照 / in the audit: {}", text("audit_reference"));
    }
    Ok(Exit::Done)
}
