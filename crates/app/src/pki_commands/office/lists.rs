//! `kazasu pki crl`: the lists as they are kept, and publication now.

use super::cards::KindWord;
use super::{Which, kind_names, now, rfc3339, unusable_file};
use crate::output::Exit;
use crate::touch::refuse;
use chassis::client::{Client, Repeat};
use clap::Args;
use jpki_authority::config::Config;
use jpki_authority::operator::at_work::PUBLISH_PATH;
use jpki_authority::store::sqlite::SqliteStore;
use jpki_authority::store::{KeptList, ListForm, ListScope, ListStore as _};
use jpki_authority::{Authority, CertificateKind};
use pki::crl::ListView;
use pki::revocation::RevocationReason;
use protocol::answer::Bilingual;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) const EXAMPLES: &str = "\
Examples:
  kazasu pki crl                            number, age, next update, entries by reason
  kazasu pki crl --publish                  publish now, then the same
  kazasu pki crl --kind auth --all --json   shards and deltas too
  kazasu pki crl --export ./lists           every list as a DER file: openssl crl -inform DER -in lists/auth.crl -text

A running authority is asked to publish on its admin address; without one, this command does it.";

/// `kazasu pki crl`.
#[derive(Debug, Args)]
pub(crate) struct CrlArgs {
    /// Which authority.
    #[command(flatten)]
    which: Which,
    /// One kind of certificates only.
    #[arg(long, value_enum)]
    kind: Option<KindWord>,
    /// Shards and deltas as well, not only the complete lists of everything.
    #[arg(long)]
    all: bool,
    /// Publish every list now.
    #[arg(long)]
    publish: bool,
    /// Write the lists into this folder, in DER, under the names they are served by.
    #[arg(long, value_name = "FOLDER")]
    export: Option<PathBuf>,
}

/// Who published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Published {
    /// The running authority; it serves the new lists now.
    ByTheAuthority,
    /// This command: nobody answers on the admin address.
    ByThisCommand,
}

impl Published {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::ByTheAuthority => "published_and_served",
            Self::ByThisCommand => "published_for_the_next_start",
        }
    }

    pub(super) fn told(self) -> Bilingual {
        match self {
            Self::ByTheAuthority => Bilingual::new("失効リストを公開しました", "the lists are published"),
            Self::ByThisCommand => Bilingual::new(
                "認証局は動いていないので、失効リストは次の開始から配られます",
                "the authority does not run: the new lists are served from its next start on",
            ),
        }
    }
}

/// Publishes now: by the running authority if there is one, else here. Two processes that publish at once
/// do no harm, since numbers come from the store; but only the running one serves at once.
pub(super) async fn publish(config: &Config) -> anyhow::Result<Published> {
    let client = Client::plain(&format!("http://{}", config.admin_listen))?;
    let body = bytes::Bytes::from_static(b"{}");
    if let Ok(reply) = client.post(PUBLISH_PATH, "application/json", body, Repeat::Unsent).await {
        anyhow::ensure!(reply.is_success(), "the authority: {}", String::from_utf8_lossy(&reply.body).trim());
        return Ok(Published::ByTheAuthority);
    }
    let config = config.clone();
    tokio::task::spawn_blocking(move || Authority::open(config)?.publish(now())).await??;
    Ok(Published::ByThisCommand)
}

/// One list with its place.
struct Listed {
    kind: CertificateKind,
    list: KeptList,
    view: ListView,
}

fn read(config: &Config, args: &CrlArgs) -> anyhow::Result<Vec<Listed>> {
    let store = SqliteStore::open(&config.store)?;
    let only = args.kind.map(KindWord::kind);
    let mut all = Vec::new();
    for kind in CertificateKind::ALL.into_iter().filter(|kind| only.is_none_or(|only| only == *kind)) {
        let mut kept = store.kept_lists(kind)?;
        kept.sort_by_key(|list| list.name);
        for list in kept {
            let whole = list.name.scope == ListScope::Everything && list.name.form == ListForm::Complete;
            if args.all || args.export.is_some() || whole {
                let view = ListView::read(&list.der)?;
                all.push(Listed { kind, list, view });
            }
        }
    }
    Ok(all)
}

fn by_reason(view: &ListView) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for reason in view.reasons() {
        *counts.entry(RevocationReason::as_str(reason)).or_insert(0) += 1;
    }
    counts
}

fn shown(listed: &Listed) -> Value {
    let (now, view) = (now(), &listed.view);
    json!({
        "certificate": listed.kind.word(),
        "file": listed.list.name.file(listed.kind),
        "number": listed.list.number,
        "base": view.base().and_then(|base| base.as_u64()),
        "this_update": rfc3339(view.this_update()),
        "next_update": rfc3339(view.next_update()),
        "age_seconds": now.since(view.this_update()),
        "stale": now > view.next_update(),
        "entries": view.len(),
        "by_reason": by_reason(view),
        "octets": listed.list.der.len(),
    })
}

fn export(folder: &Path, lists: &[Listed]) -> std::io::Result<()> {
    for listed in lists {
        let path = folder.join(listed.list.name.file(listed.kind));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        chassis::files::write_atomic(&path, &listed.list.der).map_err(std::io::Error::other)?;
    }
    Ok(())
}

/// `kazasu pki crl`.
pub(super) async fn crl(args: &CrlArgs) -> anyhow::Result<Exit> {
    let json = args.which.common.json;
    let config = match args.which.configuration()? {
        Ok(config) => config,
        Err(problem) => return refuse(&problem, json),
    };
    let published = if args.publish { Some(publish(&config).await?) } else { None };
    let lists = read(&config, args)?;
    if let Some(folder) = &args.export
        && let Err(error) = export(folder, &lists)
    {
        return refuse(&unusable_file(folder, error), json);
    }
    let shown: Vec<Value> = lists.iter().map(shown).collect();
    if json {
        let answer = json!({ "lists": shown, "published": published.map(Published::word) });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(Exit::Done);
    }
    for (listed, value) in lists.iter().zip(&shown) {
        let text = |key: &str| value.get(key).map(ToString::to_string).unwrap_or_default();
        let plain = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        println!("{}  {}", kind_names(listed.kind), plain("file"));
        println!("  番号 / number {}   失効 / entries {}", text("number"), text("entries"));
        println!(
            "  発行 / thisUpdate {} ({} s)   次回 / nextUpdate {}",
            plain("this_update"),
            text("age_seconds"),
            plain("next_update")
        );
        for (reason, count) in by_reason(&listed.view) {
            println!("    {count:>8} {reason}");
        }
        if value.get("stale").and_then(Value::as_bool) == Some(true) {
            println!(
                "  ✕ 期限が切れています。--publish で公開できます / out of date: publish with --publish"
            );
        }
    }
    if let Some(published) = published {
        println!("{}", super::line(&published.told()));
    }
    Ok(Exit::Done)
}
