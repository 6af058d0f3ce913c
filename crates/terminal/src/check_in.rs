//! The desk's session as a state machine that consumes itself: no clock, no threads, no card.
//!
//! ```text
//!  Preparing ──armed──▶ Idle ──card──▶ Recognising ──kind──▶ Consent ──OK──▶ Working ──▶ Result ──▶ Idle
//!      ▲                 ▲                  │wrong card         │stop, time out             │ too long with card on
//!      └──disarmed───────┤                  └────▶ Result       └────────▶ TakeCard ◀───────┘
//!                        └──────────────────────────card gone─────────────────┘
//! ```
//!
//! The invariant of this file: a [`Consent`] is made in one place only, where [`Input::OkPressed`] meets
//! the token of the very question that is on the screen. `crate::touch` cannot make a single command for
//! the card's key without one, because it takes the `Consent` by value and nobody else can make it.

use crate::report::{Tally, TouchReport};
use protocol::answer::Bilingual;
use protocol::consent::ConsentText;
use protocol::entropy::Entropy;
use protocol::problem::{Problem, ProblemCode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which reader of this desk speaks. Readers are counted from 0 in the order they were attached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReaderSlot(pub u32);

/// Grows with every change of phase, so that a timer of an earlier phase cannot end a later one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Epoch(pub u64);

/// The one-time token of a question: 128 random bits, 32 hex digits in a form. It ties a button press to
/// the very consent screen it was pressed on; a press on an older screen is refused.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsentToken([u8; 16]);

impl ConsentToken {
    /// Draws a token.
    pub fn draw(entropy: &mut dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// Reads 32 hex digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = hex::decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The 32 hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for ConsentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsentToken(…)")
    }
}

/// What kind of card lies on the reader, as far as public application identifiers tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardKind {
    /// A My Number Card.
    #[doc(alias = "マイナンバーカード")]
    MyNumberCard,
    /// A Basic Resident Register card, the My Number Card's predecessor.
    #[doc(alias = "住基カード")]
    BasicResidentRegisterCard,
    /// A health professional's card.
    #[doc(alias = "HPKIカード")]
    HpkiCard,
    /// A transit or payment card.
    TransitCard,
    /// Something else that answers.
    Unknown,
}

impl CardKind {
    /// What the screen calls it.
    pub fn text(self) -> Bilingual {
        match self {
            Self::MyNumberCard => Bilingual::new("マイナンバーカード", "a My Number Card"),
            Self::BasicResidentRegisterCard => {
                Bilingual::new("住民基本台帳カード (住基カード)", "a Basic Resident Register card")
            }
            Self::HpkiCard => Bilingual::new("医療従事者の HPKI カード", "a health professional's HPKI card"),
            Self::TransitCard => Bilingual::new("交通系などの IC カード", "a transit or payment card"),
            Self::Unknown => Bilingual::new("別の種類のカード", "another kind of card"),
        }
    }
}

/// What the patient is asked: the text on the screen and the token behind its buttons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The token that both buttons carry.
    pub token: ConsentToken,
    /// The text on the screen; its hash goes under the card's signature.
    pub text: ConsentText,
}

/// The patient's OK. Made only by [`CheckIn::step`], spent by the touch it allows: no `Clone`, no constructor.
#[doc(alias = "同意")]
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a consent that is not used is a touch that never ends"]
pub struct Consent {
    reader: ReaderSlot,
    text: ConsentText,
}

impl Consent {
    /// On which reader the card lies that the patient meant.
    pub const fn reader(&self) -> ReaderSlot {
        self.reader
    }

    /// The text the patient agreed to.
    pub const fn text(&self) -> &ConsentText {
        &self.text
    }
}

/// What the working screen says is being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkStep {
    /// OK came before the platform's freshness did: it is waited for.
    Freshness,
    /// The institution proves itself to the card.
    InstitutionProof,
    /// The card signs.
    CardSignature,
    /// The platform is asked.
    PlatformAnswer,
}

impl WorkStep {
    /// What the screen says.
    pub fn text(self) -> Bilingual {
        match self {
            Self::Freshness => Bilingual::new("通信の準備をしています", "Preparing the connection"),
            Self::InstitutionProof => {
                Bilingual::new("カードが医療機関を確かめています", "Your card is checking who is asking")
            }
            Self::CardSignature => Bilingual::new("カードで署名しています", "Your card is signing"),
            Self::PlatformAnswer => {
                Bilingual::new("保険の資格を問い合わせています", "Asking about your insurance")
            }
        }
    }
}

/// How far the work is: `done` of `of` steps, and what is being done now. A step that usually takes longer
/// counts for more, so that the bar fills evenly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done now.
    pub step: WorkStep,
    /// Steps that are done.
    pub done: u32,
    /// Steps that will be done when what is being done now is: how far the bar may creep meanwhile.
    pub next: u32,
    /// All steps.
    pub of: u32,
}

/// Whether the card of a session is still on the reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardPlace {
    /// It is.
    OnReader,
    /// It was taken.
    Taken,
}

/// What the desk is doing, and what its screen shows.
#[derive(Clone, PartialEq, Debug)]
pub enum Phase {
    /// The Secure Element is not armed, so no card can be asked anything.
    Preparing {
        /// Why not, if arming was tried and failed.
        problem: Option<Box<Problem>>,
    },
    /// Waiting for a card.
    Idle,
    /// Finding out what kind of card it is: SELECT commands only.
    Recognising {
        /// Where the card is.
        reader: ReaderSlot,
    },
    /// The question is on the screen. Nothing is sent to the card.
    Consent {
        /// Where the card is.
        reader: ReaderSlot,
        /// The question.
        question: Question,
    },
    /// The touch the patient agreed to is being done.
    Working {
        /// Where the card is.
        reader: ReaderSlot,
        /// Whether it is still there.
        place: CardPlace,
        /// How far it is.
        progress: Progress,
    },
    /// The answer or the problem is on the screen.
    Result {
        /// Where the card is.
        reader: ReaderSlot,
        /// Whether it is still there.
        place: CardPlace,
        /// What the touch came to. Personal.
        report: Box<TouchReport>,
    },
    /// "Take your card": nothing personal is left.
    TakeCard {
        /// Where the card is.
        reader: ReaderSlot,
        /// Why the session ended, where it did not end in a result.
        report: Option<Box<TouchReport>>,
    },
}

impl Phase {
    /// Where the session's card is; `None` where there is no session.
    pub const fn card_place(&self) -> Option<CardPlace> {
        match self {
            Self::Preparing { .. } | Self::Idle => None,
            Self::Recognising { .. } | Self::Consent { .. } | Self::TakeCard { .. } => {
                Some(CardPlace::OnReader)
            }
            Self::Working { place, .. } | Self::Result { place, .. } => Some(*place),
        }
    }
}

/// What the outside tells the machine.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// The Secure Element is armed.
    Armed,
    /// The Secure Element is not armed (any more), and why if it is known.
    Disarmed(Option<Box<Problem>>),
    /// A card is on this reader.
    CardInserted(ReaderSlot),
    /// The card on this reader is of this kind; the question is drawn in case it is the right kind.
    Recognised {
        /// The reader.
        reader: ReaderSlot,
        /// The kind.
        kind: CardKind,
        /// What to ask if the card is a My Number Card.
        question: Question,
    },
    /// Somebody pressed OK on the screen with this token.
    OkPressed(ConsentToken),
    /// Somebody pressed stop on the screen with this token.
    StopPressed(ConsentToken),
    /// The timer of this epoch ran out.
    TimedOut(Epoch),
    /// A step of the work is done.
    StepDone(ReaderSlot, Progress),
    /// The work is done, or recognising failed.
    Finished(ReaderSlot, Box<TouchReport>),
    /// The card on this reader is gone.
    CardRemoved(ReaderSlot),
    /// The reader itself is gone.
    Lost(ReaderSlot, Box<Problem>),
}

/// What the outside has to do after a step.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "an output that is not acted on leaves a card or a patient waiting"]
pub enum Output {
    /// Nothing.
    Nothing,
    /// Find out what kind of card it is.
    Recognise,
    /// The question is on the screen: have a nonce ready by the time it is answered.
    Ask,
    /// Do the touch. The only place a [`Consent`] comes from.
    Begin(Consent),
    /// The session ended like this; whoever holds the card lets go of it.
    Ended(Ending),
}

/// How a session ended; all that stays of one that was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ending {
    /// With an answer.
    Answered,
    /// With a problem after OK, or while recognising.
    Problem,
    /// Another kind of card.
    OtherCard,
    /// Stop was pressed.
    Declined,
    /// Nobody pressed anything.
    TimedOut,
    /// The card was taken before OK.
    TakenEarly,
}

impl Ending {
    /// Label of the counted metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Problem => "problem",
            Self::OtherCard => "other_card",
            Self::Declined => "declined",
            Self::TimedOut => "timed_out",
            Self::TakenEarly => "taken_early",
        }
    }
}

/// Why an input changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The Secure Element is not armed yet: try again when the phase changes.
    #[error("the Secure Element is not armed yet")]
    NotReady,
    /// Another card's session is going on: try again when the phase changes.
    #[error("another touch is going on at this desk")]
    Busy,
    /// The token belongs to no question on the screen.
    #[error("the button belongs to a screen that is not shown any more")]
    StaleToken,
    /// The input does not belong to this phase. Late timers and late readers; harmless.
    #[error("this does not belong here")]
    NotExpected,
}

/// Which clock the present phase is under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// None.
    None,
    /// The patient's time to answer the question.
    Consent,
    /// How long a result stays while nobody takes the card.
    ResultWithCard,
    /// How long a result stays after the card was taken.
    ResultAfterCard,
}

#[derive(Clone, PartialEq, Debug)]
enum Arming {
    Armed,
    NotArmed(Option<Box<Problem>>),
}

/// The machine.
#[derive(PartialEq, Debug)]
pub struct CheckIn {
    arming: Arming,
    phase: Phase,
    epoch: Epoch,
}

impl Default for CheckIn {
    fn default() -> Self {
        Self::new()
    }
}

/// The next phase, and what came of the input.
type Stepped = (Phase, Result<Output, Refused>);

impl CheckIn {
    /// A desk whose Secure Element is not armed yet.
    pub const fn new() -> Self {
        Self { arming: Arming::NotArmed(None), phase: Phase::Preparing { problem: None }, epoch: Epoch(0) }
    }

    /// What the desk is doing.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The epoch a timer started now has to carry.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Which clock runs in this phase.
    pub const fn deadline(&self) -> Deadline {
        match &self.phase {
            Phase::Consent { .. } => Deadline::Consent,
            Phase::Result { place: CardPlace::OnReader, .. } => Deadline::ResultWithCard,
            Phase::Result { place: CardPlace::Taken, .. } => Deadline::ResultAfterCard,
            _ => Deadline::None,
        }
    }

    /// One input. The machine always comes back: every phase takes every input.
    pub fn step(self, input: Input) -> (Self, Result<Output, Refused>) {
        let Self { arming, phase, epoch } = self;
        let (arming, phase, input) = match input {
            Input::Armed => {
                let next = if matches!(phase, Phase::Preparing { .. }) { Phase::Idle } else { phase.clone() };
                return Self::arrive(Arming::Armed, &phase, next, epoch, Ok(Output::Nothing));
            }
            Input::Disarmed(problem) => {
                let next = match &phase {
                    Phase::Preparing { .. } | Phase::Idle => Phase::Preparing { problem: problem.clone() },
                    other => other.clone(),
                };
                return Self::arrive(Arming::NotArmed(problem), &phase, next, epoch, Ok(Output::Nothing));
            }
            other => (arming, phase, other),
        };
        if let Input::TimedOut(of) = &input
            && *of != epoch
        {
            return (Self { arming, phase, epoch }, Err(Refused::NotExpected));
        }
        let before = Key::of(&phase);
        let (next, result) = Self::advance(&arming, phase, input);
        let epoch = if Key::of(&next) == before { epoch } else { Epoch(epoch.0.wrapping_add(1)) };
        (Self { arming, phase: next, epoch }, result)
    }

    fn arrive(
        arming: Arming,
        before: &Phase,
        next: Phase,
        epoch: Epoch,
        result: Result<Output, Refused>,
    ) -> (Self, Result<Output, Refused>) {
        let epoch = if Key::of(before) == Key::of(&next) { epoch } else { Epoch(epoch.0.wrapping_add(1)) };
        (Self { arming, phase: next, epoch }, result)
    }

    fn advance(arming: &Arming, phase: Phase, input: Input) -> Stepped {
        match phase {
            Phase::Preparing { .. } => match input {
                Input::CardInserted(_) => stay(phase, Refused::NotReady),
                other => stay(phase, late(&other)),
            },
            Phase::Idle => match input {
                Input::CardInserted(reader) => go(Phase::Recognising { reader }, Output::Recognise),
                other => stay(phase, late(&other)),
            },
            Phase::Recognising { reader } => recognising(arming, reader, input),
            Phase::Consent { reader, question } => consent(arming, reader, question, input),
            Phase::Working { reader, place, progress } => working(reader, place, progress, input),
            Phase::Result { reader, place, report } => result(arming, reader, place, report, input),
            Phase::TakeCard { reader, report } => match input {
                Input::CardRemoved(from) | Input::Lost(from, _) if from == reader => {
                    go(rest(arming), Output::Nothing)
                }
                Input::CardInserted(from) if from != reader => {
                    stay(Phase::TakeCard { reader, report }, Refused::Busy)
                }
                other => stay(Phase::TakeCard { reader, report }, late(&other)),
            },
        }
    }
}

/// What distinguishes phases for timers: progress within a phase does not restart its clock.
#[derive(PartialEq, Eq)]
struct Key(u8, Option<CardPlace>);

impl Key {
    const fn of(phase: &Phase) -> Self {
        match phase {
            Phase::Preparing { .. } => Self(0, None),
            Phase::Idle => Self(1, None),
            Phase::Recognising { .. } => Self(2, None),
            Phase::Consent { .. } => Self(3, None),
            Phase::Working { .. } => Self(4, None),
            Phase::Result { place, .. } => Self(5, Some(*place)),
            Phase::TakeCard { .. } => Self(6, None),
        }
    }
}

const fn go(phase: Phase, output: Output) -> Stepped {
    (phase, Ok(output))
}

const fn stay(phase: Phase, refused: Refused) -> Stepped {
    (phase, Err(refused))
}

/// Where the desk goes when nobody is served.
fn rest(arming: &Arming) -> Phase {
    match arming {
        Arming::Armed => Phase::Idle,
        Arming::NotArmed(problem) => Phase::Preparing { problem: problem.clone() },
    }
}

/// What an input that does not belong to a phase is refused with.
const fn late(input: &Input) -> Refused {
    match input {
        Input::OkPressed(_) | Input::StopPressed(_) => Refused::StaleToken,
        Input::CardInserted(_) => Refused::Busy,
        _ => Refused::NotExpected,
    }
}

fn failed(code: ProblemCode) -> Box<TouchReport> {
    Box::new(TouchReport::of_problem(Problem::new(code), Tally::default()))
}

fn recognising(arming: &Arming, reader: ReaderSlot, input: Input) -> Stepped {
    match input {
        Input::Recognised { reader: from, kind, question } if from == reader => match kind {
            CardKind::MyNumberCard => go(Phase::Consent { reader, question }, Output::Ask),
            other => go(
                Phase::Result { reader, place: CardPlace::OnReader, report: other_card(other) },
                Output::Ended(Ending::OtherCard),
            ),
        },
        Input::Finished(from, report) if from == reader => {
            go(Phase::Result { reader, place: CardPlace::OnReader, report }, Output::Ended(Ending::Problem))
        }
        Input::CardRemoved(from) if from == reader => go(rest(arming), Output::Ended(Ending::TakenEarly)),
        Input::Lost(from, problem) if from == reader => lost(reader, problem),
        other => stay(Phase::Recognising { reader }, late(&other)),
    }
}

/// Names the card that lies there instead of a My Number Card.
fn other_card(kind: CardKind) -> Box<TouchReport> {
    let mut problem = Problem::new(ProblemCode::CardOfOtherKind);
    let name = kind.text();
    problem.receptionist =
        Bilingual::new(format!("これは{}です。", name.ja), format!("This is {}.", name.en));
    let problem = problem.with_detail(name.en);
    Box::new(TouchReport::of_problem(problem, Tally::default()))
}

fn lost(reader: ReaderSlot, problem: Box<Problem>) -> Stepped {
    let report = Box::new(TouchReport::of_problem(*problem, Tally::default()));
    go(Phase::Result { reader, place: CardPlace::Taken, report }, Output::Ended(Ending::Problem))
}

fn consent(arming: &Arming, reader: ReaderSlot, question: Question, input: Input) -> Stepped {
    let take = |code| Phase::TakeCard { reader, report: Some(failed(code)) };
    match input {
        Input::OkPressed(token) if token == question.token => {
            let progress = Progress { step: WorkStep::InstitutionProof, done: 0, next: 1, of: 1 };
            // The one place where a Consent is made.
            let consent = Consent { reader, text: question.text };
            go(Phase::Working { reader, place: CardPlace::OnReader, progress }, Output::Begin(consent))
        }
        Input::StopPressed(token) if token == question.token => {
            go(take(ProblemCode::ConsentDeclined), Output::Ended(Ending::Declined))
        }
        Input::TimedOut(_) => go(take(ProblemCode::ConsentTimedOut), Output::Ended(Ending::TimedOut)),
        Input::CardRemoved(from) if from == reader => go(rest(arming), Output::Ended(Ending::TakenEarly)),
        Input::Lost(from, problem) if from == reader => lost(reader, problem),
        other => stay(Phase::Consent { reader, question }, late(&other)),
    }
}

fn working(reader: ReaderSlot, place: CardPlace, progress: Progress, input: Input) -> Stepped {
    match input {
        Input::StepDone(from, progress) if from == reader => {
            go(Phase::Working { reader, place, progress }, Output::Nothing)
        }
        Input::Finished(from, report) if from == reader => {
            let ending = if report.answer().is_some() { Ending::Answered } else { Ending::Problem };
            go(Phase::Result { reader, place, report }, Output::Ended(ending))
        }
        // The card may have done its part already: whoever works says how it ended.
        Input::CardRemoved(from) if from == reader => {
            go(Phase::Working { reader, place: CardPlace::Taken, progress }, Output::Nothing)
        }
        Input::Lost(from, problem) if from == reader => lost(reader, problem),
        other => stay(Phase::Working { reader, place, progress }, late(&other)),
    }
}

fn result(
    arming: &Arming,
    reader: ReaderSlot,
    place: CardPlace,
    report: Box<TouchReport>,
    input: Input,
) -> Stepped {
    match (place, input) {
        (CardPlace::OnReader, Input::CardRemoved(from) | Input::Lost(from, _)) if from == reader => {
            go(Phase::Result { reader, place: CardPlace::Taken, report }, Output::Nothing)
        }
        // Nobody takes the card: the personal part goes, the request to take it stays.
        (CardPlace::OnReader, Input::TimedOut(_)) => {
            go(Phase::TakeCard { reader, report: None }, Output::Nothing)
        }
        (CardPlace::Taken, Input::TimedOut(_)) => go(rest(arming), Output::Nothing),
        // The next patient does not wait for the last one's screen, and does not see it either.
        (CardPlace::Taken, Input::CardInserted(next)) => match arming {
            Arming::Armed => go(Phase::Recognising { reader: next }, Output::Recognise),
            Arming::NotArmed(_) => stay(Phase::Result { reader, place, report }, Refused::NotReady),
        },
        (place, other) => stay(Phase::Result { reader, place, report }, late(&other)),
    }
}

#[cfg(test)]
mod tests;
