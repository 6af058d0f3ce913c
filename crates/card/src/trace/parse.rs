//! Reading a trace. Every character is accounted for; an error names line and column.

use super::{
    ANSWER_LEN_MAX, ATR_LEN_MAX, CARD_NAME_LEN_MAX, COMMAND_LEN_MAX, DataPattern, Event, FIRST_LINE, Header,
    Piece, Recorded, RecordedAnswer, RecordedCommand, SecretHandling, Trace,
};
use crate::apdu::StatusWord;

/// What is wrong at one place of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceProblem {
    /// The first line is another one.
    #[error("this is no trace: the first line has to be \"{FIRST_LINE}\"")]
    NotATrace,
    /// A header line is missing or at the wrong place.
    #[error("here the header line \"{0}:\" is expected")]
    HeaderExpected(&'static str),
    /// A header line does not say what it can say.
    #[error("\"{0}:\" has no such value")]
    HeaderValue(&'static str),
    /// A line that begins with nothing known.
    #[error("a line begins with >, <, #, on or off")]
    UnknownLine,
    /// A character that is none of hexadecimal digits, spaces, and the marks allowed here.
    #[error("here pairs of hexadecimal digits are expected")]
    NotHexadecimal,
    /// A wildcard in a command, a gap in an answer, two gaps, two open wildcards.
    #[error("this mark cannot stand here")]
    MisplacedMark,
    /// A number of octets that no APDU has.
    #[error("this is no number of octets")]
    BadNumber,
    /// A command shorter than its header, or longer than an APDU.
    #[error("a command has 4 to {COMMAND_LEN_MAX} octets, and begins with four that are written down")]
    CommandLength,
    /// An answer without its status word, or longer than an APDU.
    #[error(
        "an answer ends with two octets that are written down, its status word, and has {ANSWER_LEN_MAX} at most"
    )]
    AnswerLength,
    /// A command without an answer behind it.
    #[error("the command before has no answer; \"< none\" says that the card did not give one")]
    AnswerExpected,
    /// An answer without a command before it.
    #[error("an answer without a command")]
    CommandExpected,
    /// Power on and off do not alternate, or a command stands where the card has no power.
    #[error("the card is off: a command stands between \"on\" and \"off\"")]
    NoPower,
    /// On while on.
    #[error("the card is on already")]
    PowerAlready,
}

/// Why a text is no trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct TraceError {
    /// The line, from 1.
    pub line: usize,
    /// The column in octets, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: TraceProblem,
}

/// A line with its number; columns are counted in it.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    const fn wrong(self, column: usize, problem: TraceProblem) -> TraceError {
        TraceError { line: self.number, column, problem }
    }
}

impl Trace {
    /// Parses a whole file.
    ///
    /// # Errors
    /// [`TraceError`] for the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut lines = text.lines().zip(1..).map(|(text, number)| Line { number, text });
        let first = lines.next().unwrap_or(Line { number: 1, text: "" });
        if first.text != FIRST_LINE {
            return Err(first.wrong(1, TraceProblem::NotATrace));
        }
        let last = Line { number: text.lines().count().max(1), text: "" };
        let mut said = lines.filter(|line| !line.text.trim().is_empty() && !line.text.starts_with('#'));
        let header = parse_header(&mut said, last)?;
        Ok(Self { header, events: parse_events(said, last)? })
    }
}

fn parse_header<'a>(
    lines: &mut impl Iterator<Item = Line<'a>>,
    last: Line<'a>,
) -> Result<Header, TraceError> {
    let mut field = |name: &'static str| {
        let line = lines.next().unwrap_or(last);
        let value = line.text.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
        let value = value.ok_or_else(|| line.wrong(1, TraceProblem::HeaderExpected(name)))?;
        let wrong = line.wrong(name.len() + 2, TraceProblem::HeaderValue(name));
        Ok((value.trim(), wrong))
    };
    let (card, wrong) = field("card")?;
    if card.is_empty() || card.len() > CARD_NAME_LEN_MAX || card.chars().any(char::is_control) {
        return Err(wrong);
    }
    let (digits, wrong) = field("atr")?;
    let mut atr = Vec::new();
    for word in digits.split_ascii_whitespace() {
        atr.extend(octets_of(word).ok_or(wrong)?);
    }
    if atr.len() > ATR_LEN_MAX {
        return Err(wrong);
    }
    let (secrets, wrong) = field("secrets")?;
    let secrets = match secrets {
        "withheld" => SecretHandling::Withheld,
        "kept" => SecretHandling::Kept,
        _ => return Err(wrong),
    };
    Ok(Header { card: card.to_owned(), atr, secrets })
}

fn parse_events<'a>(
    lines: impl Iterator<Item = Line<'a>>,
    last: Line<'a>,
) -> Result<Vec<Recorded>, TraceError> {
    let mut events = Vec::new();
    let mut has_power = false;
    let mut open: Option<(usize, RecordedCommand)> = None;
    for line in lines {
        let (said, _remark) = line.text.split_once(';').unwrap_or((line.text, ""));
        if let Some(body) = said.strip_prefix('<') {
            let (number, command) =
                open.take().ok_or_else(|| line.wrong(1, TraceProblem::CommandExpected))?;
            let event = Event::Exchange(command, answer_of(line, body)?);
            events.push(Recorded { line: number, event });
            continue;
        }
        if open.is_some() {
            return Err(line.wrong(1, TraceProblem::AnswerExpected));
        }
        if let Some(body) = said.strip_prefix('>') {
            if !has_power {
                return Err(line.wrong(1, TraceProblem::NoPower));
            }
            open = Some((line.number, command_of(line, body)?));
            continue;
        }
        let event = match (said.trim_end(), has_power) {
            ("on", false) => Event::PowerOn,
            ("off", true) => Event::PowerOff,
            ("on", true) => return Err(line.wrong(1, TraceProblem::PowerAlready)),
            ("off", false) => return Err(line.wrong(1, TraceProblem::NoPower)),
            _ => return Err(line.wrong(1, TraceProblem::UnknownLine)),
        };
        has_power = event == Event::PowerOn;
        events.push(Recorded { line: line.number, event });
    }
    if open.is_some() { Err(last.wrong(1, TraceProblem::AnswerExpected)) } else { Ok(events) }
}

/// The words of a line behind its direction mark, each with its column.
fn words(body: &str) -> impl Iterator<Item = (usize, &str)> {
    // The mark itself is column 1.
    let mut column = 2;
    body.split(' ').filter_map(move |word| {
        let here = column;
        column += word.len() + 1;
        (!word.is_empty()).then_some((here, word))
    })
}

fn octets_of(word: &str) -> Option<Vec<u8>> {
    let digits = word.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(value(*high)? * 16 + value(*low)?).ok(),
            _ => None,
        })
        .collect()
}

/// A number of octets behind a mark: decimal, no sign, no leading zero, 1 to what is behind the header of
/// the longest command.
fn number_of(text: &str) -> Option<usize> {
    let plain = text.len() <= 5 && text.bytes().all(|digit| digit.is_ascii_digit());
    let number = text.parse().ok().filter(|number| (1..=COMMAND_LEN_MAX - 4).contains(number));
    number.filter(|_| plain && !text.starts_with('0'))
}

fn command_of(line: Line<'_>, body: &str) -> Result<RecordedCommand, TraceError> {
    let mut command = RecordedCommand { before: Vec::new(), withheld: 0, after: Vec::new() };
    for (column, word) in words(body) {
        if let Some(gap) = word.strip_prefix('[') {
            let number = gap.strip_suffix(']').and_then(number_of);
            let number = number.ok_or_else(|| line.wrong(column, TraceProblem::BadNumber))?;
            if command.withheld > 0 {
                return Err(line.wrong(column, TraceProblem::MisplacedMark));
            }
            command.withheld = number;
            continue;
        }
        if word.starts_with('*') {
            return Err(line.wrong(column, TraceProblem::MisplacedMark));
        }
        let octets = octets_of(word).ok_or_else(|| line.wrong(column, TraceProblem::NotHexadecimal))?;
        if command.withheld == 0 { command.before.extend(octets) } else { command.after.extend(octets) }
    }
    if command.before.len() < 4 || command.len() > COMMAND_LEN_MAX {
        return Err(line.wrong(2, TraceProblem::CommandLength));
    }
    Ok(command)
}

fn answer_of(line: Line<'_>, body: &str) -> Result<RecordedAnswer, TraceError> {
    if body.trim() == "none" {
        return Ok(RecordedAnswer::None);
    }
    let mut pieces: Vec<Piece> = Vec::new();
    for (column, word) in words(body) {
        let piece = match word.strip_prefix('*') {
            Some("") if pieces.contains(&Piece::AnyNumber) => {
                return Err(line.wrong(column, TraceProblem::MisplacedMark));
            }
            Some("") => Piece::AnyNumber,
            Some(number) => {
                Piece::Any(number_of(number).ok_or_else(|| line.wrong(column, TraceProblem::BadNumber))?)
            }
            None if word.starts_with('[') => {
                return Err(line.wrong(column, TraceProblem::MisplacedMark));
            }
            None => Piece::Octets(
                octets_of(word).ok_or_else(|| line.wrong(column, TraceProblem::NotHexadecimal))?,
            ),
        };
        match (pieces.last_mut(), piece) {
            (Some(Piece::Octets(before)), Piece::Octets(more)) => before.extend(more),
            (_, piece) => pieces.push(piece),
        }
    }
    let wrong = line.wrong(2, TraceProblem::AnswerLength);
    let Some(Piece::Octets(tail)) = pieces.pop() else { return Err(wrong) };
    let (data, status) = tail.split_last_chunk::<2>().ok_or(wrong)?;
    if !data.is_empty() {
        pieces.push(Piece::Octets(data.to_vec()));
    }
    let pattern = DataPattern(pieces);
    if pattern.fixed_len() > ANSWER_LEN_MAX - 2 {
        return Err(wrong);
    }
    Ok(RecordedAnswer::Some(pattern, StatusWord(u16::from_be_bytes(*status))))
}
