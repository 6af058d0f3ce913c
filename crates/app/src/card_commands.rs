//! `kazasu card serve` and `kazasu card list`.

use crate::card_file::KeptCard;
use crate::cli::{CardServeArgs, CommonArgs};
use crate::output::{Exit, Printer};
use crate::touch::{no_such_person, no_town, refuse};
use crate::town::Town;
use card_io::vpcd::{CardServer, TraceEvent};
use chassis::entropy::SystemEntropy;
use chassis::shutdown::{ParentWatch, ShutdownSignal};

/// `kazasu card list`.
pub(crate) fn list(args: &CommonArgs) -> anyhow::Result<Exit> {
    let Some(town) = Town::find(&args.common.dir)? else {
        return refuse(&no_town(&args.common.dir), args.common.json);
    };
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&town.people)?);
        return Ok(Exit::Done);
    }
    for person in &town.people {
        println!("{:<10} {:<24} {}", person.name, person.expected, person.story_ja);
        println!("{:<35} {}", "", person.story_en);
    }
    println!("\nPIN はどのカードも同じです / every card has the same PIN: see people[].pin in town.json");
    Ok(Exit::Done)
}

/// `kazasu card serve`.
pub(crate) async fn serve(args: CardServeArgs) -> anyhow::Result<Exit> {
    let Some(town) = Town::find(&args.common.dir)? else {
        return refuse(&no_town(&args.common.dir), args.common.json);
    };
    let Some(person) = town.person(&args.person) else {
        return refuse(&no_such_person(&args.person), args.common.json);
    };
    let printer = Printer::new(args.common.json);
    let card = KeptCard::open(&person.card)?;
    let shutdown = ShutdownSignal::of_process(ParentWatch::Off)?;
    let json = args.common.json;
    let inserted = CardServer::new(Box::new(card), Box::new(SystemEntropy))
        .reader_at(args.vpcd.to_string())
        .observed_by(move |event| observe(event, json))
        .insert()?;
    printer.say(&format!(
        "{} のカードを {} に見せています。Ctrl-C で取り出します / showing {}'s card; Ctrl-C takes it out",
        person.name, args.vpcd, person.name
    ));
    shutdown.wait().await;
    drop(tokio::task::spawn_blocking(move || inserted.remove()).await?);
    Ok(Exit::Done)
}

/// One line per insertion, removal and obstacle. Commands and answers are not shown: they hold a
/// person's data.
fn observe(event: &TraceEvent, json: bool) {
    let line = match event {
        TraceEvent::Inserted { address } => {
            ("inserted", format!("カードを入れました / card inserted at {address}"))
        }
        TraceEvent::Removed { cause } => {
            ("removed", format!("カードを取り出しました / card removed: {cause}"))
        }
        TraceEvent::Unreachable { address, cause, .. } => (
            "unreachable",
            format!(
                "{address} に読み取り機がありません。pcscd と vpcd は動いていますか / no reader there ({cause}): is pcscd running with vpcd? apt-get install pcscd vsmartcard-vpcd"
            ),
        ),
        _ => return,
    };
    if json {
        println!("{}", serde_json::json!({ "event": line.0, "text": line.1 }));
    } else {
        eprintln!("{}", line.1);
    }
}
