//! Plays a trace to a card, and says how today's answers differ from the recorded ones.
//!
//! A state machine that consumes itself, as every dialogue: [`Replay::next`] says what to do with the card,
//! the caller does it and comes back.
//!
//! | verdict | status word | data |
//! |---|---|---|
//! | [`Verdict::Equal`] | the same | the same |
//! | [`Verdict::Random`] | the same | another, as it has to be: a wildcard of the trace that fits, or as many octets as then of an answer that is different every time |
//! | [`Verdict::OtherData`] | the same | another: a certificate of another person, another key's public half |
//! | [`Verdict::Different`] | another | whatever |
//! | [`Verdict::NotSent`] | – | the command was left out, see [`NotSent`] |
//!
//! Different every time are the answers to GET CHALLENGE, to INTERNAL and GENERAL AUTHENTICATE, to the
//! signature commands (another key signs otherwise, and some padding is random), and everything under
//! secure messaging.
//!
//! A proof over a challenge cannot be played again: the card's challenge is another one, so EXTERNAL
//! AUTHENTICATE is refused, and whatever it would have opened stays shut. That is what the challenge is
//! for, so the verdict there is `Different`, and rightly.

use super::{Event, Header, Recorded, RecordedAnswer, RecordedCommand, Trace, secret_of};
use crate::apdu::StatusWord;
use std::collections::VecDeque;
use std::fmt;
use zeroize::Zeroizing;

/// How careful the card has to be treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Care {
    /// An emulated card, or a copy of one: a wrong PIN of the trace is presented as a wrong PIN.
    Expendable,
    /// Somebody's card: what the trace knows to be a wrong PIN is not presented, and the first PIN that
    /// the card refuses ends the replay.
    Precious,
}

/// Two secrets of one length: a gap in the trace would fit both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("two secrets have {0} characters: a gap in a trace is filled by length, so give one of each length")]
pub struct AmbiguousSecrets(pub usize);

/// The secrets that fill the gaps of a trace: each gap gets the one of its length.
#[derive(Clone, Default)]
pub struct Secrets(Vec<Zeroizing<Vec<u8>>>);

impl Secrets {
    /// Secrets for gaps.
    ///
    /// # Errors
    /// [`AmbiguousSecrets`] where two different ones have the same length.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, AmbiguousSecrets> {
        let mut known: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for secret in secrets {
            match known.iter().find(|other| other.len() == secret.len()) {
                Some(same) if same.as_slice() == secret.as_bytes() => {}
                Some(_) => return Err(AmbiguousSecrets(secret.len())),
                None => known.push(Zeroizing::new(secret.as_bytes().to_vec())),
            }
        }
        Ok(Self(known))
    }

    fn of_len(&self, len: usize) -> Option<&[u8]> {
        self.0.iter().map(|secret| secret.as_slice()).find(|secret| secret.len() == len)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// A secret of the same form that is not this one: its last digit or letter is the next one.
fn spoilt(secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut other = Zeroizing::new(secret.to_vec());
    if let Some(last) = other.last_mut() {
        *last = match *last {
            b'9' => b'0',
            b'Z' => b'A',
            digit @ b'0'..=b'8' => digit + 1,
            letter @ b'A'..=b'Y' => letter + 1,
            octet => octet ^ 1,
        };
    }
    other
}

/// Why a command of the trace was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NotSent {
    /// Its secret was withheld, and none of that length is known.
    SecretUnknown,
    /// The trace knows that the secret was refused, and a try of a real card is not for that.
    WouldCostATry,
    /// An earlier secret was refused by a real card.
    AfterRefusal,
}

/// What became of one exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// The same answer.
    Equal,
    /// The same status word, and data that is different every time.
    Random,
    /// The same status word, other data.
    OtherData,
    /// Another status word, or an answer where there was none, or none where there was one.
    Different,
    /// Not sent.
    NotSent(NotSent),
}

/// One exchange, then and now. Holds no data of either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compared {
    /// Its line in the trace.
    pub line: usize,
    /// CLA INS P1 P2.
    pub header: [u8; 4],
    /// What became of it.
    pub verdict: Verdict,
    /// The recorded status word; `None` where there was no answer.
    pub recorded: Option<StatusWord>,
    /// Today's.
    pub now: Option<StatusWord>,
}

impl Compared {
    /// The instruction's name, ISO/IEC 7816-4:2020 §5.4.2.
    pub const fn instruction(&self) -> &'static str {
        super::meaning::instruction(self.header)
    }
}

/// Whether the card has the same answer to reset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AtrCompared {
    /// It was not asked: the trace gives the card no power.
    NotSeen,
    /// The same.
    Equal,
    /// Another. A reader without contacts makes one up, so this says little.
    Other,
}

/// What a replay came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// The answer to reset.
    pub atr: AtrCompared,
    /// Every exchange of the trace, in order.
    pub exchanges: Vec<Compared>,
}

impl Comparison {
    /// The first exchange with this verdict.
    pub fn first(&self, verdict: Verdict) -> Option<&Compared> {
        self.exchanges.iter().find(|compared| compared.verdict == verdict)
    }

    /// How many exchanges have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.exchanges.iter().filter(|compared| compared.verdict == verdict).count()
    }

    /// How many were not sent, for whatever reason.
    pub fn not_sent(&self) -> usize {
        self.exchanges.iter().filter(|compared| matches!(compared.verdict, Verdict::NotSent(_))).count()
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Progress {
    /// Give the card power, and come back with its answer to reset.
    PowerOn(AwaitPower),
    /// Take its power.
    PowerOff(Replay),
    /// Carry this command, and come back with the answer.
    Send(Zeroizing<Vec<u8>>, AwaitAnswer),
    /// That was all.
    Done(Comparison),
}

/// A replay between two events.
pub struct Replay {
    header: Header,
    waiting: VecDeque<Recorded>,
    secrets: Secrets,
    care: Care,
    has_power: bool,
    was_refused: bool,
    result: Comparison,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay({} events to go)", self.waiting.len())
    }
}

/// A replay while the card gets power.
#[derive(Debug)]
pub struct AwaitPower(Replay);

impl AwaitPower {
    /// Goes on with the card's answer to reset.
    pub fn powered(self, atr: &[u8]) -> Replay {
        let mut replay = self.0;
        replay.has_power = true;
        let atr = if atr == replay.header.atr() { AtrCompared::Equal } else { AtrCompared::Other };
        // One insertion with another answer to reset is enough to say so.
        if replay.result.atr != AtrCompared::Other {
            replay.result.atr = atr;
        }
        replay
    }
}

/// A replay while the card answers.
pub struct AwaitAnswer {
    replay: Replay,
    line: usize,
    command: RecordedCommand,
    recorded: RecordedAnswer,
    presents_secret: bool,
}

impl fmt::Debug for AwaitAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwaitAnswer(line {})", self.line)
    }
}

impl AwaitAnswer {
    /// Goes on with the answer, data and status word; fewer than two octets are none.
    pub fn answered(self, answer: &[u8]) -> Replay {
        let mut replay = self.replay;
        let now = RecordedAnswer::observed(answer);
        let verdict = verdict(self.command.header(), &self.recorded, answer);
        let refused = now.status() != Some(StatusWord::OK);
        replay.was_refused |= self.presents_secret && refused && replay.care == Care::Precious;
        replay.note(self.line, &self.command, &self.recorded, verdict, now.status());
        replay
    }
}

/// Compares an answer with the recorded one.
fn verdict(header: [u8; 4], recorded: &RecordedAnswer, answer: &[u8]) -> Verdict {
    let (pattern, status, data) = match (recorded, answer.split_last_chunk::<2>()) {
        (RecordedAnswer::None, None) => return Verdict::Equal,
        (RecordedAnswer::Some(pattern, then), Some((data, now))) => {
            (pattern, then.0 == u16::from_be_bytes(*now), data)
        }
        _ => return Verdict::Different,
    };
    match (status, pattern.matches(data)) {
        (false, _) => Verdict::Different,
        (true, true) if pattern.has_wildcards() => Verdict::Random,
        (true, true) => Verdict::Equal,
        (true, false)
            if is_random(header) && !pattern.has_wildcards() && pattern.fixed_len() == data.len() =>
        {
            Verdict::Random
        }
        (true, false) => Verdict::OtherData,
    }
}

/// Whether the data of the answer is another every time.
const fn is_random([cla, ins, _, _]: [u8; 4]) -> bool {
    // ISO/IEC 7816-4:2020 §5.4.1: bits 4 and 3 of the class byte say secure messaging, of one
    // kind or another; the card's own classes follow the same.
    cla & 0x0C != 0 || matches!(ins, 0x2A | 0x84 | 0x86 | 0x87 | 0x88)
}

impl Replay {
    /// Begins.
    pub fn start(trace: Trace, secrets: Secrets, care: Care) -> Self {
        Self {
            header: trace.header,
            waiting: trace.events.into(),
            secrets,
            care,
            has_power: false,
            was_refused: false,
            result: Comparison { atr: AtrCompared::NotSeen, exchanges: Vec::new() },
        }
    }

    /// What to do next. A card that has power at the end of the trace loses it.
    pub fn next(mut self) -> Progress {
        while let Some(Recorded { line, event }) = self.waiting.pop_front() {
            match event {
                Event::PowerOn => return Progress::PowerOn(AwaitPower(self)),
                Event::PowerOff => {
                    self.has_power = false;
                    return Progress::PowerOff(self);
                }
                Event::Exchange(command, recorded) => match self.prepared(&command, &recorded) {
                    Ok((octets, presents_secret)) => {
                        let awaited = AwaitAnswer { replay: self, line, command, recorded, presents_secret };
                        return Progress::Send(octets, awaited);
                    }
                    Err(why) => self.note(line, &command, &recorded, Verdict::NotSent(why), None),
                },
            }
        }
        if self.has_power {
            self.has_power = false;
            return Progress::PowerOff(self);
        }
        Progress::Done(self.result)
    }

    fn note(
        &mut self,
        line: usize,
        command: &RecordedCommand,
        recorded: &RecordedAnswer,
        verdict: Verdict,
        now: Option<StatusWord>,
    ) {
        let header = command.header();
        self.result.exchanges.push(Compared { line, header, verdict, recorded: recorded.status(), now });
    }

    /// The command to send, and whether it presents a secret.
    fn prepared(
        &self,
        command: &RecordedCommand,
        recorded: &RecordedAnswer,
    ) -> Result<(Zeroizing<Vec<u8>>, bool), NotSent> {
        if self.was_refused {
            return Err(NotSent::AfterRefusal);
        }
        let was_right = recorded.status() == Some(StatusWord::OK);
        let presents = command.octets().is_none_or(|octets| secret_of(octets).is_some());
        if presents && !was_right && self.care == Care::Precious {
            return Err(NotSent::WouldCostATry);
        }
        if let Some(octets) = command.octets() {
            return Ok((Zeroizing::new(octets.to_vec()), presents));
        }
        let secret = self.secrets.of_len(command.withheld_len()).ok_or(NotSent::SecretUnknown)?;
        let filled =
            if was_right { command.with_secret(secret) } else { command.with_secret(&spoilt(secret)) };
        Ok((Zeroizing::new(filled.ok_or(NotSent::SecretUnknown)?), presents))
    }
}
