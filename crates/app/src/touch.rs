//! `kazasu card touch`: places a card on the running desk, presses OK, prints what happened.
//!
//! The card is connected to the desk's virtual reader and answers real APDUs from this process; with
//! `--reader` the desk reads through PC/SC instead. Everything else is the desk's own work: this
//! command only does what a patient does, place the card and press OK.

use crate::card_commands::trace_file::TraceFile;
use crate::card_file::KeptCard;
use crate::cli::{Flow, TouchArgs, TraceArgs};
use crate::output::{self, Exit};
use crate::town::Town;
use anyhow::{Context as _, bail};
use card::EmulatedCard;
use card::secure_element::touch_protocol::NEXT_COMMAND;
use card::trace::RecordedCard;
use card_io::vpcd::CardServer;
use chassis::client::{Client, Reply};
use chassis::entropy::SystemEntropy;
use protocol::answer::CardProfile;
use protocol::problem::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};
use terminal::check_in::CardPlace;
use terminal::report::{StepPlace, TouchReport};

/// How long a card may take to be seen, and a touch to end.
const WITHIN: Duration = Duration::from_secs(30);

/// What `card touch` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Touched {
    /// Whose card.
    person: String,
    /// What happened.
    #[serde(flatten)]
    report: TouchReport,
}

/// A problem of the command itself.
pub(crate) fn no_town(dir: &Path) -> Problem {
    Problem::new(ProblemCode::TownNotRunning).with_detail(format!("no town.json in {}", dir.display()))
}

/// A name that nobody has.
pub(crate) fn no_such_person(name: &str) -> Problem {
    Problem::new(ProblemCode::PersonUnknown).with_detail(format!("{name:?}"))
}

/// Prints a problem; status 1.
pub(crate) fn refuse(problem: &Problem, json: bool) -> anyhow::Result<Exit> {
    if json {
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "problem": problem }))?);
    } else {
        output::print_problem(problem);
    }
    Ok(Exit::Refused)
}

/// `kazasu card touch`.
pub(crate) async fn touch(args: TouchArgs) -> anyhow::Result<Exit> {
    let json = args.common.json;
    if args.flow != Flow::SeTerminal || args.medical_id.is_some() {
        let problem = Problem::new(ProblemCode::NotBuiltYet)
            .with_detail("only --flow se-terminal, without --medical-id");
        return refuse(&problem, json);
    }
    let Some(town) = Town::find(&args.common.dir)? else {
        return refuse(&no_town(&args.common.dir), json);
    };
    if town.person(&args.person).is_none() {
        return refuse(&no_such_person(&args.person), json);
    }
    if !crate::town::run::is_ready(&town.rooms.terminal.room.ready).await {
        let problem = Problem::new(ProblemCode::TownNotRunning)
            .with_detail(format!("the desk at {} is not ready", town.rooms.terminal.room.url));
        return refuse(&problem, json);
    }
    let touched = match &args.reader {
        None => touch_recorded(&town, &args.person, &args.trace).await,
        Some(reader) => touch_through_reader(&town, &args.person, reader).await,
    };
    match touched {
        Ok(touched) => {
            if json {
                println!("{}", serde_json::to_string_pretty(&touched)?);
            } else {
                print_ladder(&touched);
            }
            Ok(exit_of(&touched))
        }
        Err(error) => match error.downcast::<DeskRefused>() {
            Ok(DeskRefused(problem)) => refuse(&problem, json),
            Err(other) => Err(other),
        },
    }
}

/// 0 for an answer, 1 for a problem.
pub(crate) fn exit_of(touched: &Touched) -> Exit {
    if touched.report.problem().is_some() { Exit::Refused } else { Exit::Done }
}

/// The desk said no before a touch began.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.receptionist.ja)]
struct DeskRefused(Box<Problem>);

/// The desk's session as its API shows it.
#[derive(Debug, Deserialize)]
struct Session {
    revision: u64,
    phase: String,
    #[serde(default)]
    card_place: Option<CardPlace>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    report: Option<TouchReport>,
}

impl Session {
    /// Whether the next card would be served: nobody is there, or the last one has taken their card.
    fn is_free(&self) -> bool {
        self.phase == "idle" || (self.phase == "result" && self.card_place == Some(CardPlace::Taken))
    }
}

#[derive(Debug, Serialize)]
struct Token<'a> {
    token: &'a str,
}

/// The desk's local interface.
struct DeskApi(Client);

impl DeskApi {
    fn of(town: &Town) -> anyhow::Result<Self> {
        Ok(Self(Client::plain(&town.rooms.terminal.room.url)?))
    }

    fn accepted(reply: &Reply) -> anyhow::Result<()> {
        if (200..300).contains(&reply.status) {
            return Ok(());
        }
        match reply.json::<Problem>() {
            Ok(problem) => Err(DeskRefused(Box::new(problem)).into()),
            Err(_) => bail!("the desk answered with status {}", reply.status),
        }
    }

    async fn session(&self, after: u64, wait: Duration) -> anyhow::Result<Session> {
        let path = format!("/api/session?after={after}&wait_ms={}", wait.as_millis());
        let reply = self.0.get(&path).await?;
        Self::accepted(&reply)?;
        Ok(reply.json()?)
    }

    /// Waits for a session that `wanted` likes.
    async fn until(
        &self,
        mut after: u64,
        what: &str,
        wanted: impl Fn(&Session) -> bool,
    ) -> anyhow::Result<Session> {
        let begun = Instant::now();
        loop {
            let session = self.session(after, Duration::from_secs(1)).await?;
            if wanted(&session) {
                return Ok(session);
            }
            if begun.elapsed() > WITHIN {
                bail!("{what}: not within {} s (the desk is in phase {})", WITHIN.as_secs(), session.phase);
            }
            after = session.revision;
        }
    }

    async fn press_ok(&self, token: &str) -> anyhow::Result<()> {
        Self::accepted(&self.0.post_json("/api/ok", &Token { token }).await?)
    }

    async fn attach(&self, reader: &str) -> anyhow::Result<()> {
        Self::accepted(&self.0.post_json("/api/readers", &serde_json::json!({ "name": reader })).await?)
    }
}

/// Touches with a card that this process emulates.
pub(crate) async fn touch_in_process(town: &Town, name: &str) -> anyhow::Result<Touched> {
    touch_recorded(town, name, &TraceArgs::default()).await
}

/// Touches with a card that this process emulates, and records what it hears and says.
async fn touch_recorded(town: &Town, name: &str, trace: &TraceArgs) -> anyhow::Result<Touched> {
    let person = town.person(name).with_context(|| format!("no specimen person called {name}"))?;
    let mut card: Box<dyn EmulatedCard> = Box::new(KeptCard::open(&person.card)?);
    let record = TraceFile::asked_for(trace, "My Number Card", card.atr())?;
    if let Some(record) = &record {
        card = Box::new(RecordedCard::new(card, record.observer()));
    }
    let desk = DeskApi::of(town)?;
    // Another touch may just be ending: its card has to be gone first.
    let before = desk.until(0, "the desk is busy", Session::is_free).await?;
    let inserted = CardServer::new(card, Box::new(SystemEntropy))
        .reader_at(town.rooms.terminal.virtual_reader.clone())
        .insert()?;
    let report = play(&desk, before.revision).await;
    drop(tokio::task::spawn_blocking(move || inserted.remove()).await?);
    record.map_or(Ok(()), |record| record.finish())?;
    Ok(Touched { person: name.to_owned(), report: report? })
}

/// Touches with whatever card is in the PC/SC reader of this name.
///
/// What the desk showed before belongs to somebody else: only a session that is newer counts, and a
/// desk that is still busy with a card is left alone.
async fn touch_through_reader(town: &Town, name: &str, reader: &str) -> anyhow::Result<Touched> {
    let desk = DeskApi::of(town)?;
    let before = desk.session(0, Duration::ZERO).await?;
    desk.attach(reader).await?;
    if !before.is_free() && before.token.is_none() {
        return Err(DeskRefused(Box::new(Problem::new(ProblemCode::DeskBusy))).into());
    }
    let report = match before.token {
        // The card was there before the command: the question is already on the screen.
        Some(token) => answer_question(&desk, before.revision, &token).await?,
        None => play(&desk, before.revision).await?,
    };
    Ok(Touched { person: name.to_owned(), report })
}

/// Waits for the consent screen, presses OK, waits for the result.
async fn play(desk: &DeskApi, after: u64) -> anyhow::Result<TouchReport> {
    let asked = desk
        .until(after, "no card was seen", |s| s.revision > after && (s.token.is_some() || s.report.is_some()))
        .await?;
    if let Some(report) = asked.report {
        // The desk had something to say before it asked: another kind of card, for example.
        return Ok(report);
    }
    let token = asked.token.context("a consent screen without a token")?;
    answer_question(desk, asked.revision, &token).await
}

/// Presses OK and waits for the result.
async fn answer_question(desk: &DeskApi, asked: u64, token: &str) -> anyhow::Result<TouchReport> {
    desk.press_ok(token).await?;
    let done =
        desk.until(asked, "the touch did not end", |s| s.revision > asked && s.report.is_some()).await?;
    done.report.context("a result without a report")
}

/// Prints the ladder of steps, then the answer.
pub(crate) fn print_ladder(touched: &Touched) {
    let report = &touched.report;
    println!("{} のカード / {}'s card", touched.person, touched.person);
    // Between two commands of the card the Secure Element has its word; where that is only the next
    // command, the rows are added up in one.
    let (handed_on, told): (Vec<_>, Vec<_>) = report.steps.iter().partition(|step| step.name == NEXT_COMMAND);
    for (place, step) in told.into_iter().enumerate() {
        let party = match step.place {
            StepPlace::Card => "カード card",
            StepPlace::SecureElement => "安全チップ SE",
            StepPlace::Network => "通信 network",
            StepPlace::Terminal => "端末 terminal",
        };
        println!(
            "  {:>2}  {:<44} {:>8.2} ms  {:>5} → {:<5} B  {party}",
            place + 1,
            step.name,
            step.ms,
            step.bytes_out,
            step.bytes_in
        );
    }
    println!(
        "      {:<44} {:>8.2} ms  安全チップ SE",
        format!("{NEXT_COMMAND} (× {})", handed_on.len()),
        handed_on.iter().map(|step| step.ms).sum::<f64>()
    );
    println!(
        "  OK のあとの往復 {} 回、カードの署名 {} 回 / {} network round trip after OK, {} card signature",
        report.network_round_trips,
        report.card_signatures,
        report.network_round_trips,
        report.card_signatures
    );
    if let Some(profile) = report.profile {
        let (ja, en) = match profile {
            CardProfile::Eac => ("カードとの通信は暗号化", "card traffic encrypted"),
            CardProfile::Jicsap => ("カードとの通信は平文", "card traffic in the clear"),
        };
        println!("  {} ({ja} / {en})", profile.as_str());
    }
    if let Some(problem) = report.problem() {
        output::print_problem(problem);
    }
    if let Some(answer) = report.answer() {
        print_answer(answer);
    }
}

fn print_answer(answer: &protocol::answer::Answer) {
    use protocol::answer::Validity;
    let (mark, ja, en) = match answer.validity {
        Validity::Valid => ("○", "有効", "valid"),
        Validity::Invalid => ("✕", "無効", "invalid"),
        Validity::InvalidNewerExists => ("△", "無効 (新しい資格あり)", "invalid, a newer coverage exists"),
        Validity::NoCoverage => ("✕", "該当資格なし", "no coverage"),
        Validity::Multiple => ("△", "複数該当", "more than one"),
        Validity::ValidUnregistered => ("○", "有効 (未登録)", "valid, not yet registered"),
    };
    println!("  {mark} {ja} / {en}   ({})", answer.as_of.as_str());
    if let Some(person) = &answer.person {
        println!("    {}  {}", person.name, person.birth_date.as_str());
    }
    for coverage in &answer.coverage {
        println!(
            "    {} ({})  {}割  記号 {} 番号 {} 枝番 {}",
            coverage.insurer_name,
            coverage.insurer_number.as_str(),
            coverage.copay_percent / 10,
            coverage.symbol.expose(),
            coverage.number.expose(),
            coverage.branch.expose()
        );
    }
    if let Some(why) = &answer.why_not {
        println!(
            "    {}\n    {}\n  → {}\n    {}",
            why.receptionist.ja, why.receptionist.en, why.action.ja, why.action.en
        );
    }
}
