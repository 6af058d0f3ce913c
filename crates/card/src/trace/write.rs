//! Writing a trace, whole or line by line while it happens.

use super::{
    DataPattern, Event, FIRST_LINE, Header, Piece, RecordedAnswer, RecordedCommand, SecretHandling, Trace,
    meaning,
};
use crate::apdu::{CommandApdu, LengthForm};
use std::fmt;

/// What somebody between card and reader sees.
#[derive(Clone, Copy)]
pub enum Observed<'a> {
    /// The card got power.
    PowerOn,
    /// The card lost power.
    PowerOff,
    /// The card got `command` and answered `answer`; an empty answer is none.
    Exchange {
        /// The command APDU.
        command: &'a [u8],
        /// The response APDU.
        answer: &'a [u8],
    },
}

impl Observed<'_> {
    /// The lines of this event, with their line ends. Empty for what is no command APDU (fewer than four
    /// octets): no card gets to see that.
    pub fn lines(&self, secrets: SecretHandling) -> String {
        let event = match self {
            Self::PowerOn => Event::PowerOn,
            Self::PowerOff => Event::PowerOff,
            Self::Exchange { command, .. } if command.len() < 4 => return String::new(),
            Self::Exchange { command, answer } => {
                Event::Exchange(RecordedCommand::observed(command, secrets), RecordedAnswer::observed(answer))
            }
        };
        format!("{event}\n")
    }
}

impl fmt::Debug for Observed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOn => f.write_str("PowerOn"),
            Self::PowerOff => f.write_str("PowerOff"),
            Self::Exchange { command, answer } => {
                write!(f, "Exchange({} octets, {} octets)", command.len(), answer.len())
            }
        }
    }
}

impl fmt::Display for Header {
    /// The head of a file, up to and with the empty line before the first event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        writeln!(f, "# この記録にはカードの持ち主の情報が入っています。カードと同じように守ってください。")?;
        writeln!(f, "# This file holds data of the card's holder: keep it as safe as the card itself.")?;
        let secrets = match self.secrets {
            SecretHandling::Withheld => "withheld",
            SecretHandling::Kept => {
                writeln!(f, "# PIN とパスワードも入っています / PINs and passwords are in it, too.")?;
                "kept"
            }
        };
        writeln!(f, "card: {}\natr: {}\nsecrets: {secrets}\n", self.card, Hex(&self.atr))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header.fmt(f)?;
        self.events.iter().try_for_each(|recorded| writeln!(f, "{}", recorded.event))
    }
}

impl fmt::Display for Event {
    /// Without the line end of the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOn => f.write_str("on"),
            Self::PowerOff => f.write_str("off"),
            Self::Exchange(command, answer) => {
                writeln!(f, "> {command} ; {}", meaning::instruction(command.header()))?;
                match answer {
                    RecordedAnswer::None => f.write_str("< none"),
                    RecordedAnswer::Some(data, status) => {
                        write!(f, "< {data}{status} ; {}", meaning::status(*status))
                    }
                }
            }
        }
    }
}

impl fmt::Display for RecordedCommand {
    /// Header, length field, data and expected length apart, as people read them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.before.as_slice();
        let mut gap = "";
        for len in lengths_of_parts(&self.before) {
            let Some((part, tail)) = rest.split_at_checked(len) else { break };
            if !part.is_empty() {
                write!(f, "{gap}{}", Hex(part))?;
                gap = " ";
            }
            rest = tail;
        }
        if !rest.is_empty() {
            write!(f, "{gap}{}", Hex(rest))?;
        }
        if self.withheld > 0 {
            write!(f, " [{}]", self.withheld)?;
        }
        if self.after.is_empty() { Ok(()) } else { write!(f, " {}", Hex(&self.after)) }
    }
}

/// Octets of header, first length field, data; what follows is the rest.
fn lengths_of_parts(command: &[u8]) -> [usize; 3] {
    match CommandApdu::parse(command) {
        Ok(apdu) if !apdu.data.is_empty() => {
            let field = match apdu.form {
                LengthForm::Short => 1,
                LengthForm::Extended => 3,
            };
            [4, field, apdu.data.len()]
        }
        _ => [4, 0, 0],
    }
}

impl fmt::Display for DataPattern {
    /// Ends with a space if there is anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Octets(octets) => write!(f, "{} ", Hex(octets)),
            Piece::Any(number) => write!(f, "*{number} "),
            Piece::AnyNumber => f.write_str("* "),
        })
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}
