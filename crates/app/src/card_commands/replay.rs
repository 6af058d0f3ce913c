//! `kazasu card replay`: a recorded dialogue against a card, emulated in process or in a PC/SC reader.

use super::at_reader::open_channel;
use super::{Refusal, ended, lines_of_stdin};
use crate::card_file::KeptCard;
use crate::cli::{CardReplayArgs, Compare};
use crate::output::{self, Exit};
use crate::touch::{no_such_person, no_town};
use crate::town::Town;
use anyhow::Context as _;
use card::EmulatedCard;
use card::apdu::StatusWord;
use card::trace::Trace;
use card::trace::replay::{
    AtrCompared, Care, Compared, Comparison, NotSent, Progress, Replay, Secrets, Verdict,
};
use card_io::CardChannel;
use chassis::entropy::SystemEntropy;
use protocol::problem::{Problem, ProblemCode};
use serde::Serialize;
use terminal::error::of_channel;
use zeroize::Zeroizing;

/// `kazasu card replay`.
pub(crate) fn replay(args: &CardReplayArgs) -> anyhow::Result<Exit> {
    ended(replay_file(args), args.common.json)
}

fn replay_file(args: &CardReplayArgs) -> anyhow::Result<Exit> {
    let text =
        std::fs::read_to_string(&args.file).with_context(|| format!("reading {}", args.file.display()))?;
    let trace = Trace::parse(&text).map_err(|error| {
        Refusal::new(ProblemCode::TraceUnreadable, format!("{}: {error}", args.file.display()))
    })?;
    let recorded_card = trace.header.card().to_owned();
    let mut known = if args.secrets_from_stdin { lines_of_stdin()? } else { Vec::new() };
    let (against, mut target, care) = match (&args.card, &args.reader) {
        (Some(name), _) => {
            let town = Town::find(&args.common.dir)?;
            let town = town.ok_or_else(|| Refusal(Box::new(no_town(&args.common.dir))))?;
            let person = town.person(name).ok_or_else(|| Refusal(Box::new(no_such_person(name))))?;
            known.push(Zeroizing::new(person.pin.clone()));
            known.extend(person.sign_password.clone().map(Zeroizing::new));
            let copy: Box<dyn EmulatedCard> = Box::new(KeptCard::copy(&person.card)?);
            (name.clone(), Target::Copy(copy), Care::Expendable)
        }
        (None, Some(reader)) => {
            let wait = args.wait;
            (reader.clone(), Target::Reader { name: reader.clone(), wait, channel: None }, Care::Precious)
        }
        // clap wants one of them.
        (None, None) => anyhow::bail!("neither --card nor --reader"),
    };
    let secrets = Secrets::new(known.iter().map(|secret| secret.as_str()))
        .map_err(|error| Refusal::new(ProblemCode::MalformedRequest, error))?;
    let comparison = target.play(Replay::start(trace, secrets, care))?;
    let told = Told::new(args, recorded_card, against, &comparison);
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        told.print();
    }
    Ok(if told.problem.is_some() { Exit::Refused } else { Exit::Done })
}

/// What the trace is played to.
enum Target {
    /// A copy of a specimen person's card in this process; nothing of it is kept.
    Copy(Box<dyn EmulatedCard>),
    /// The card in a PC/SC reader, open while the trace says that it has power.
    Reader { name: String, wait: u64, channel: Option<Box<dyn CardChannel>> },
}

impl Target {
    fn play(&mut self, mut replay: Replay) -> Result<Comparison, Refusal> {
        loop {
            replay = match replay.next() {
                Progress::PowerOn(awaited) => awaited.powered(&self.power_on()?),
                Progress::PowerOff(next) => {
                    self.power_off();
                    next
                }
                Progress::Send(command, awaited) => awaited.answered(&self.transmit(&command)?),
                Progress::Done(comparison) => return Ok(comparison),
            };
        }
    }

    fn power_on(&mut self) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Copy(card) => {
                card.power_on();
                Ok(card.atr().to_vec())
            }
            Self::Reader { name, wait, channel } => {
                let (opened, whole_name) = open_channel(name, *wait)?;
                let atr = opened.atr().to_vec();
                *name = whole_name;
                *channel = Some(opened);
                Ok(atr)
            }
        }
    }

    /// A channel that is dropped powers its card down.
    fn power_off(&mut self) {
        match self {
            Self::Copy(card) => card.power_off(),
            Self::Reader { channel, .. } => *channel = None,
        }
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, Refusal> {
        match self {
            Self::Copy(card) => Ok(card.transmit(command, &mut SystemEntropy)),
            Self::Reader { channel: Some(channel), .. } => {
                channel.transmit(command).map_err(|error| of_channel(&error).into())
            }
            Self::Reader { channel: None, .. } => {
                Err(Refusal::new(ProblemCode::CardRemoved, "the card has no power"))
            }
        }
    }
}

/// One exchange, as it is told.
#[derive(Clone, Debug, Serialize)]
struct ToldExchange {
    line: usize,
    header: String,
    instruction: &'static str,
    verdict: &'static str,
    recorded: Option<String>,
    now: Option<String>,
}

impl ToldExchange {
    fn of(compared: &Compared) -> Self {
        let word = |status: Option<StatusWord>| status.map(|status| status.to_string());
        Self {
            line: compared.line,
            header: hex::encode_upper(compared.header),
            instruction: compared.instruction(),
            verdict: name_of(compared.verdict),
            recorded: word(compared.recorded),
            now: word(compared.now),
        }
    }
}

const fn name_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "equal",
        Verdict::Random => "random",
        Verdict::OtherData => "other_data",
        Verdict::Different => "different",
        Verdict::NotSent(NotSent::SecretUnknown) => "not_sent_secret_unknown",
        Verdict::NotSent(NotSent::WouldCostATry) => "not_sent_would_cost_a_try",
        Verdict::NotSent(NotSent::AfterRefusal) => "not_sent_after_refusal",
    }
}

/// What the command prints.
#[derive(Debug, Serialize)]
struct Told {
    recorded_card: String,
    against: String,
    atr: &'static str,
    equal: usize,
    random: usize,
    other_data: usize,
    different: usize,
    not_sent: usize,
    first_difference: Option<ToldExchange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
    exchanges: Vec<ToldExchange>,
}

impl Told {
    fn new(args: &CardReplayArgs, recorded_card: String, against: String, compared: &Comparison) -> Self {
        let differs = |exchange: &&Compared| match args.compare {
            Compare::Status => exchange.verdict == Verdict::Different,
            Compare::Data => matches!(exchange.verdict, Verdict::Different | Verdict::OtherData),
        };
        let first_difference = compared.exchanges.iter().find(differs).map(ToldExchange::of);
        let problem = first_difference.as_ref().map(|first| {
            let word = |status: &Option<String>| status.clone().unwrap_or_else(|| "none".to_owned());
            Problem::new(ProblemCode::TraceDiffers).with_detail(format!(
                "{}:{}: {} {}: recorded {}, now {} ({})",
                args.file.display(),
                first.line,
                first.header,
                first.instruction,
                word(&first.recorded),
                word(&first.now),
                first.verdict
            ))
        });
        Self {
            recorded_card,
            against,
            atr: match compared.atr {
                AtrCompared::NotSeen => "not_seen",
                AtrCompared::Equal => "equal",
                AtrCompared::Other => "other",
            },
            equal: compared.count(Verdict::Equal),
            random: compared.count(Verdict::Random),
            other_data: compared.count(Verdict::OtherData),
            different: compared.count(Verdict::Different),
            not_sent: compared.not_sent(),
            first_difference,
            problem,
            exchanges: compared.exchanges.iter().map(ToldExchange::of).collect(),
        }
    }

    fn print(&self) {
        println!("{} → {}", self.recorded_card, self.against);
        println!("  ○ 同じ / equal             {:>5}", self.equal);
        println!("  ～ 毎回変わる / random      {:>5}", self.random);
        println!("  △ データが違う / other data {:>5}", self.other_data);
        println!("  ✕ 違う / different         {:>5}", self.different);
        println!("  – 送らない / not sent      {:>5}", self.not_sent);
        if let Some(problem) = &self.problem {
            output::print_problem(problem);
        }
    }
}
