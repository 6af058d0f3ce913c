//! `kazasu card serve`: emulated cards in virtual readers, until Ctrl-C.

use super::trace_file::{self, TraceFile};
use super::{Refusal, ended};
use crate::card_file::KeptCard;
use crate::cli::CardServeArgs;
use crate::output::{Exit, Printer};
use crate::touch::{no_such_person, no_town};
use crate::town::Town;
use anyhow::Context as _;
use card::EmulatedCard;
use card::trace::RecordedCard;
use card_io::vpcd::{CardServer, Exposure, TraceEvent, exposure};
use chassis::entropy::SystemEntropy;
use chassis::shutdown::{ParentWatch, ShutdownSignal};
use protocol::entropy::Entropy;
use protocol::problem::ProblemCode;
use terminal::custody::{Custody, CustodyError};

/// What the desk's Secure Element is called in the place of a person.
const SECURE_ELEMENT: &str = "secure-element";

/// `kazasu card serve`.
pub(crate) async fn serve(args: CardServeArgs) -> anyhow::Result<Exit> {
    let json = args.common.json;
    ended(serve_all(args).await, json)
}

async fn serve_all(args: CardServeArgs) -> anyhow::Result<Exit> {
    let printer = Printer::new(args.common.json);
    let town = Town::find(&args.common.dir)?;
    let town = town.ok_or_else(|| Refusal(Box::new(no_town(&args.common.dir))))?;
    let places = places(&args)?;
    let mut records = Vec::new();
    let mut servers = Vec::new();
    // All of them are opened before the first is shown.
    for (served, place) in args.cards.iter().zip(places) {
        let (kind, mut card) = open(&town, &served.person)?;
        if let Some(path) = &args.trace.trace {
            let path = match args.cards.len() {
                1 => path.clone(),
                _ => trace_file::beside(path, &served.person),
            };
            let record = TraceFile::begin(&path, trace_file::secrets(&args.trace), kind, card.atr())?;
            card = Box::new(RecordedCard::new(card, record.observer()));
            records.push(record);
        }
        let mut watcher = Watcher::new(served.person.clone(), place.clone(), args.common.json);
        servers.push(
            CardServer::new(card, Box::new(SystemEntropy))
                .reader_at(place.clone())
                .observed_by(move |event| watcher.observe(event)),
        );
        printer.say(&format!(
            "{} のカードを {place} に見せています。Ctrl-C で取り出します / showing {}'s card; Ctrl-C takes it out",
            served.person, served.person
        ));
    }
    let shutdown = ShutdownSignal::of_process(ParentWatch::Off)?;
    let inserted = servers.into_iter().map(CardServer::insert).collect::<Result<Vec<_>, _>>()?;
    shutdown.wait().await;
    tokio::task::spawn_blocking(move || drop(inserted)).await?;
    records.iter().try_for_each(TraceFile::finish)?;
    Ok(Exit::Done)
}

/// Where each card goes: where it was told to, or, from `--vpcd` on, two ports further than the last.
fn places(args: &CardServeArgs) -> Result<Vec<String>, Refusal> {
    let mut next = Some(args.vpcd);
    let mut places: Vec<String> = Vec::new();
    for (position, served) in args.cards.iter().enumerate() {
        if args.cards.iter().take(position).any(|earlier| earlier.person == served.person) {
            let detail = format!("{}: one card cannot be in two readers", served.person);
            return Err(Refusal::new(ProblemCode::MalformedRequest, detail));
        }
        let place = match &served.place {
            Some(place) => place.clone(),
            None => {
                let free =
                    next.ok_or_else(|| Refusal::new(ProblemCode::MalformedRequest, "no port is left"))?;
                let further = free.port().checked_add(2);
                next = further.map(|port| std::net::SocketAddr::new(free.ip(), port));
                free.to_string()
            }
        };
        if places.contains(&place) {
            let detail = format!("{place}: two cards cannot be in one reader");
            return Err(Refusal::new(ProblemCode::MalformedRequest, detail));
        }
        places.push(place);
    }
    Ok(places)
}

/// The card of this name, and what kind it is.
fn open(town: &Town, name: &str) -> anyhow::Result<(&'static str, Box<dyn EmulatedCard>)> {
    if name == SECURE_ELEMENT {
        return Ok(("Secure Element", Box::new(DeskElement::open(town)?)));
    }
    let person = town.person(name).ok_or_else(|| Refusal(Box::new(no_such_person(name))))?;
    Ok(("My Number Card", Box::new(KeptCard::open(&person.card)?)))
}

/// The desk's Secure Element, while no desk has it.
struct DeskElement {
    custody: Custody,
    has_power: bool,
}

impl DeskElement {
    fn open(town: &Town) -> anyhow::Result<Self> {
        let path = &town.rooms.terminal.room.config;
        let config: terminal::Config = chassis::config::load(path, chassis::config::ENVIRONMENT_PREFIX)?;
        let element = config.resolved(&chassis::config::base_of(path)).secure_element;
        match Custody::open(&element, Box::new(SystemEntropy)) {
            Ok(custody) => Ok(Self { custody, has_power: false }),
            Err(error @ CustodyError::InUse { .. }) => Err(Refusal::new(ProblemCode::DeskBusy, error).into()),
            Err(error) => Err(error).context("opening the Secure Element"),
        }
    }
}

impl EmulatedCard for DeskElement {
    fn atr(&self) -> &[u8] {
        &card::secure_element::ATR
    }

    fn power_on(&mut self) {
        self.custody.power_cycle();
        self.has_power = true;
    }

    fn power_off(&mut self) {
        self.custody.power_cycle();
        self.has_power = false;
    }

    fn transmit(&mut self, command: &[u8], _: &mut dyn Entropy) -> Vec<u8> {
        if !self.has_power {
            return Vec::new();
        }
        self.custody.exchange(command).unwrap_or_else(|error| {
            // Memory failure, ISO/IEC 7816-4:2020 §5.6: what cannot be kept did not happen.
            tracing::error!(%error, "the Secure Element's state cannot be kept");
            vec![0x65, 0x81]
        })
    }
}

/// Tells what happens to one card: one line per insertion, removal and obstacle. Commands and answers are
/// not shown: they hold a person's data.
struct Watcher {
    person: String,
    place: String,
    json: bool,
    /// The last obstacle, so that it is told once and not at every try.
    told: Option<String>,
}

impl Watcher {
    const fn new(person: String, place: String, json: bool) -> Self {
        Self { person, place, json, told: None }
    }

    fn observe(&mut self, event: &TraceEvent) {
        match event {
            TraceEvent::Inserted { address } => {
                self.told = None;
                self.tell("inserted", &format!("カードを入れました / card inserted at {address}"));
                if let Some(warning) = exposed(&self.place) {
                    self.tell("warning", &warning);
                }
            }
            TraceEvent::Removed { cause } => {
                self.tell("removed", &format!("カードを取り出しました / card removed: {cause}"));
            }
            TraceEvent::Unreachable { address, cause, .. } if self.told.as_ref() != Some(cause) => {
                self.told = Some(cause.clone());
                let text = format!(
                    "{address} に読み取り機がありません。pcscd と vpcd は動いていますか / no reader there ({cause}): is pcscd running with vpcd? apt-get install pcscd vsmartcard-vpcd; kazasu card readers --write-config DIR"
                );
                self.tell("unreachable", &text);
            }
            _ => {}
        }
    }

    fn tell(&self, event: &str, text: &str) {
        if self.json {
            println!(
                "{}",
                serde_json::json!({ "event": event, "person": self.person, "address": self.place, "text": text })
            );
        } else {
            eprintln!("{}: {text}", self.person);
        }
    }
}

/// A warning if others reach this reader: they can put cards into it, and see what this card says.
fn exposed(place: &str) -> Option<String> {
    let (host, port) = place.rsplit_once(':')?;
    if !["127.0.0.1", "localhost", "[::1]"].contains(&host) {
        return Some(format!(
            "{place}: ほかの機械なら、カードの中身が暗号化されずに網を流れます / if that is another machine, what the card says crosses the network in the clear"
        ));
    }
    let reach = exposure(port.parse().ok()?).ok()?;
    (reach == Exposure::Network).then(|| {
        format!(
            "port {port}: このドライバーは全アドレスで待ち受けるので、同じ網の誰でもカードを入れられます。業務の受付では使わないでください / vpcd listens on every address, so anybody on the network can insert a card: not for a desk in service (docs/pcsc.md, pitfall 4)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn places_of(words: &[&str]) -> Result<Vec<String>, Refusal> {
        let cli = crate::cli::Cli::parse_from([&["kazasu", "card", "serve"], words].concat());
        let crate::cli::Command::Card { command: crate::cli::CardCommand::Serve(args) } = cli.command else {
            panic!("another command");
        };
        places(&args)
    }

    #[test]
    fn every_card_has_a_reader_of_its_own() {
        assert_eq!(places_of(&["hanako"]).unwrap(), ["127.0.0.1:35963"]);
        let two = places_of(&["hanako", "taro", "--vpcd", "127.0.0.1:36200"]).unwrap();
        assert_eq!(two, ["127.0.0.1:36200", "127.0.0.1:36202"]);
        let mixed = places_of(&["hanako@36210", "taro", "lost@pc:1", "gone"]).unwrap();
        assert_eq!(mixed, ["127.0.0.1:36210", "127.0.0.1:35963", "pc:1", "127.0.0.1:35965"]);
        for bad in [&["hanako", "hanako"][..], &["hanako@36200", "taro@36200"], &["hanako", "taro@35963"]] {
            assert!(places_of(bad).is_err(), "{bad:?}");
        }
        assert!(places_of(&["hanako", "taro", "--vpcd", "127.0.0.1:65535"]).is_err());
    }

    #[test]
    fn who_is_reached_by_others_is_told() {
        let open = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let shut = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = |host: &str, listener: &std::net::TcpListener| {
            format!("{host}:{}", listener.local_addr().unwrap().port())
        };
        assert!(exposed(&at("127.0.0.1", &open)).unwrap().contains("every address"));
        assert_eq!(exposed(&at("localhost", &shut)), None);
        assert!(exposed("192.0.2.1:36200").unwrap().contains("in the clear"));
    }
}
