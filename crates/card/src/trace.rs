//! Recorded card dialogues: a text format for what went over the wire, and the comparison of a record
//! with what a card says today.
//!
//! ```text
//! kazasu card trace 1
//! # Lines that begin with # are remarks.
//! card: My Number Card
//! atr: 3BE000FF8131FE4514
//! secrets: withheld
//!
//! on
//! > 00A4040C 0A D392F000260100000001 ; SELECT
//! < 9000 ; done
//! > 00200080 04 [4] ; VERIFY
//! < 63C2 ; wrong, 2 tries left
//! > 00840000 10 ; GET CHALLENGE
//! < *16 9000 ; done
//! off
//! ```
//!
//! | line | means |
//! |---|---|
//! | `kazasu card trace 1` | the first line: the format and its version |
//! | `card:`, `atr:`, `secrets:` | the header, each once and in this order: what kind of card, its answer to reset, whether secrets are `withheld` or `kept` |
//! | `on`, `off` | the card gets power, loses power |
//! | `>` octets | a command APDU, to the card; the next line is its answer |
//! | `<` octets | the response APDU, from the card; its last two octets are the status word |
//! | `< none` | no answer: the card was taken away, or broke the rules |
//!
//! Octets are pairs of hexadecimal digits, with spaces anywhere between pairs. What follows a `;` is a
//! remark. In a command, `[N]` stands for N octets of a PIN or password that were not written down. In an
//! answer, `*N` stands for any N octets and one `*` for any number of them: a recorder writes neither, a
//! person puts them in the place of what is different every time.
//!
//! A trace holds whatever the card gave out, so its holder's data: whoever writes one to a file makes it as
//! private as the card. Secrets that commands present (VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER)
//! are withheld unless somebody asked for them.
//!
//! [`replay`] plays a trace to a card and compares. The parser is strict: it knows every character of a
//! file, and its errors name line and column.

mod meaning;
mod parse;
mod record;
pub mod replay;
mod write;

pub use parse::{TraceError, TraceProblem};
pub use record::RecordedCard;
pub use write::Observed;

use crate::apdu::{CommandApdu, LengthForm, StatusWord};
use std::fmt;
use std::ops::Range;

/// The first line of every trace of this version.
pub const FIRST_LINE: &str = "kazasu card trace 1";
/// The longest command that a trace can hold: header, extended Lc, 65,535 octets of data, extended Le.
pub const COMMAND_LEN_MAX: usize = 4 + 3 + 65_535 + 2;
/// The longest answer that a trace can hold: 65,536 octets and the status word.
pub const ANSWER_LEN_MAX: usize = 65_536 + 2;
/// The longest answer to reset, ISO/IEC 7816-3:2006 §8.2.1.
pub const ATR_LEN_MAX: usize = 33;
/// The longest name of a kind of card, in octets.
pub const CARD_NAME_LEN_MAX: usize = 100;

/// Whether a trace holds the PINs and passwords that commands presented.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretHandling {
    /// Only their lengths.
    Withheld,
    /// All of them: whoever has the trace can use the card.
    Kept,
}

/// What stands at the head of a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    card: String,
    atr: Vec<u8>,
    /// Whether secrets are in it.
    pub secrets: SecretHandling,
}

impl Header {
    /// A header. What a header line cannot hold of `card` (line ends, more than 100 octets) and of `atr`
    /// (more than 33 octets) is left out.
    pub fn new(card: &str, atr: &[u8], secrets: SecretHandling) -> Self {
        let mut name = String::new();
        for letter in card.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
            if name.len() + letter.len_utf8() <= CARD_NAME_LEN_MAX {
                name.push(letter);
            }
        }
        let name = name.trim();
        let card = if name.is_empty() { "unknown card" } else { name }.to_owned();
        Self { card, atr: atr.get(..ATR_LEN_MAX).unwrap_or(atr).to_vec(), secrets }
    }

    /// What kind of card it was, in words.
    pub fn card(&self) -> &str {
        &self.card
    }

    /// Its answer to reset, 0 to 33 octets.
    pub fn atr(&self) -> &[u8] {
        &self.atr
    }
}

/// A whole trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// Its head.
    pub header: Header,
    events: Vec<Recorded>,
}

impl Trace {
    /// What happened, in order: exchanges only between power on and power off.
    pub fn events(&self) -> &[Recorded] {
        &self.events
    }
}

/// One event and where it stands.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its line in the file, counted from 1; an exchange stands where its command does.
    pub line: usize,
    /// What happened.
    pub event: Event,
}

impl PartialEq for Recorded {
    /// Traces are equal when the same happened, whatever remarks and empty lines stand between.
    fn eq(&self, other: &Self) -> bool {
        self.event == other.event
    }
}

impl Eq for Recorded {}

/// What happened to the card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It got power.
    PowerOn,
    /// It lost power.
    PowerOff,
    /// It got a command.
    Exchange(RecordedCommand, RecordedAnswer),
}

/// A command, perhaps with a gap where its secret was.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedCommand {
    before: Vec<u8>,
    withheld: usize,
    after: Vec<u8>,
}

impl RecordedCommand {
    /// The command as it was sent, 4 to 65,544 octets, its secret withheld or kept.
    fn observed(command: &[u8], secrets: SecretHandling) -> Self {
        let secret = match secrets {
            SecretHandling::Withheld => secret_of(command),
            SecretHandling::Kept => None,
        };
        let secret = secret.unwrap_or(command.len()..command.len());
        let before = command.get(..secret.start).unwrap_or_default().to_vec();
        let after = command.get(secret.end..).unwrap_or_default().to_vec();
        Self { before, withheld: secret.len(), after }
    }

    /// CLA INS P1 P2: they are always written down.
    pub fn header(&self) -> [u8; 4] {
        self.before.first_chunk::<4>().copied().unwrap_or_default()
    }

    /// Octets that were not written down, 0 for a command without a secret.
    pub const fn withheld_len(&self) -> usize {
        self.withheld
    }

    /// Octets of the whole command.
    pub fn len(&self) -> usize {
        self.before.len() + self.withheld + self.after.len()
    }

    /// Never: a command has at least its header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole command, if nothing of it was withheld.
    pub fn octets(&self) -> Option<&[u8]> {
        (self.withheld == 0).then_some(self.before.as_slice())
    }

    /// The whole command with `secret` in its gap; `None` if it has another length than the gap.
    fn with_secret(&self, secret: &[u8]) -> Option<Vec<u8>> {
        (secret.len() == self.withheld).then(|| [&self.before, secret, &self.after].concat())
    }
}

impl fmt::Debug for RecordedCommand {
    /// Header and length: the data may be a PIN, or the holder's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [cla, ins, p1, p2] = self.header();
        write!(f, "RecordedCommand({cla:02X}{ins:02X}{p1:02X}{p2:02X}, {} octets)", self.len())
    }
}

/// An answer, or that there was none.
#[derive(Clone, PartialEq, Eq)]
pub enum RecordedAnswer {
    /// The card did not answer.
    None,
    /// Data, in which wildcards may stand, and the status word.
    Some(DataPattern, StatusWord),
}

impl RecordedAnswer {
    fn observed(answer: &[u8]) -> Self {
        match answer.split_last_chunk::<2>() {
            Some((data, status)) => {
                Self::Some(DataPattern::exactly(data), StatusWord(u16::from_be_bytes(*status)))
            }
            None => Self::None,
        }
    }

    /// The status word, if there was an answer.
    pub const fn status(&self) -> Option<StatusWord> {
        match self {
            Self::None => None,
            Self::Some(_, status) => Some(*status),
        }
    }
}

impl fmt::Debug for RecordedAnswer {
    /// Length and status word: the data may be the holder's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("RecordedAnswer(none)"),
            Self::Some(pattern, status) => {
                write!(f, "RecordedAnswer({} octets at least, {status})", pattern.fixed_len())
            }
        }
    }
}

/// A piece of an answer's data.
#[derive(Clone, PartialEq, Eq)]
enum Piece {
    /// These octets.
    Octets(Vec<u8>),
    /// This many octets, whichever.
    Any(usize),
    /// Any number of octets. Stands at most once in an answer.
    AnyNumber,
}

/// What the data of an answer has to look like.
#[derive(Clone, PartialEq, Eq)]
pub struct DataPattern(Vec<Piece>);

impl DataPattern {
    fn exactly(data: &[u8]) -> Self {
        Self(if data.is_empty() { Vec::new() } else { vec![Piece::Octets(data.to_vec())] })
    }

    /// Octets without those that `*` stands for.
    pub fn fixed_len(&self) -> usize {
        self.0.iter().fold(0, |sum, piece| {
            sum + match piece {
                Piece::Octets(octets) => octets.len(),
                Piece::Any(number) => *number,
                Piece::AnyNumber => 0,
            }
        })
    }

    /// Whether a wildcard stands in it.
    pub fn has_wildcards(&self) -> bool {
        self.0.iter().any(|piece| !matches!(piece, Piece::Octets(_)))
    }

    /// Whether `data` looks like this.
    pub fn matches(&self, data: &[u8]) -> bool {
        let Some(open) = data.len().checked_sub(self.fixed_len()) else { return false };
        let mut rest = data;
        for piece in &self.0 {
            let len = match piece {
                Piece::Octets(octets) => octets.len(),
                Piece::Any(number) => *number,
                Piece::AnyNumber => open,
            };
            let Some((head, tail)) = rest.split_at_checked(len) else { return false };
            if matches!(piece, Piece::Octets(octets) if octets != head) {
                return false;
            }
            rest = tail;
        }
        rest.is_empty()
    }
}

impl fmt::Debug for DataPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataPattern({} octets at least)", self.fixed_len())
    }
}

/// Instructions that carry a PIN or password: VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER, each in
/// its even and its odd form, ISO/IEC 7816-4:2020 §11.6.
const SECRET_INSTRUCTIONS: [u8; 6] = [0x20, 0x21, 0x24, 0x25, 0x2C, 0x2D];

/// Where the secret stands in a command: its data field, or everything behind the header where the
/// command is no APDU. `None` where no secret can be.
fn secret_of(command: &[u8]) -> Option<Range<usize>> {
    let instruction = command.get(1)?;
    if !SECRET_INSTRUCTIONS.contains(instruction) || command.len() <= 4 {
        return None;
    }
    match CommandApdu::parse(command) {
        Ok(apdu) if apdu.data.is_empty() => None,
        Ok(apdu) => {
            let start = match apdu.form {
                LengthForm::Short => 5,
                LengthForm::Extended => 7,
            };
            Some(start..start + apdu.data.len())
        }
        Err(_) => Some(4..command.len()),
    }
}
