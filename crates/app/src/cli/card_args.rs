//! Arguments of `kazasu card …` but `touch`.

use super::Common;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A card and, perhaps, the reader it goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Served {
    /// Whose card.
    pub(crate) person: String,
    /// `HOST:PORT` of its reader, if it was given.
    pub(crate) place: Option<String>,
}

impl FromStr for Served {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (person, place) = match text.split_once('@') {
            None => (text, None),
            Some((person, place)) => (person, Some(place)),
        };
        if person.is_empty() {
            return Err("a name is missing: PERSON, PERSON@PORT or PERSON@HOST:PORT".to_owned());
        }
        let place = place.map(|place| {
            let (host, port) = place.rsplit_once(':').unwrap_or(("127.0.0.1", place));
            match port.parse::<u16>() {
                Ok(port) if port > 0 && !host.is_empty() => Ok(format!("{host}:{port}")),
                _ => Err(format!("{place:?} is neither PORT nor HOST:PORT")),
            }
        });
        Ok(Self { person: person.to_owned(), place: place.transpose()? })
    }
}

/// Where a record of what the card hears and says goes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TraceArgs {
    /// Record every exchange with the card in this file, readable by you only. It holds the card holder's
    /// data; PINs and passwords are left out. `kazasu card replay` plays it again.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Record PINs and passwords, too.
    #[arg(long, requires = "trace")]
    pub(crate) trace_secrets: bool,
}

/// `kazasu card serve`.
#[derive(Debug, Args)]
pub(crate) struct CardServeArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// Whose cards (see `kazasu card list`; `secure-element` is the desk's), each in a reader of its own:
    /// PERSON@PORT or PERSON@HOST:PORT says which.
    #[arg(required = true, value_name = "PERSON[@[HOST:]PORT]")]
    pub(crate) cards: Vec<Served>,
    /// Where vpcd listens: the reader of the first card without a place of its own. The next one goes two
    /// ports further, where `kazasu card readers` puts the next reader, and so on.
    #[arg(long, default_value = "127.0.0.1:35963", value_name = "HOST:PORT")]
    pub(crate) vpcd: SocketAddr,
    /// The record. Several cards get a file each, with the person's name before the file's ending.
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

/// `kazasu card readers`.
#[derive(Debug, Args)]
pub(crate) struct CardReadersArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// Write virtual readers into this folder: a copy of vpcd's driver for each, and a reader.conf for
    /// pcscd.
    #[arg(long, value_name = "DIR")]
    pub(crate) write_config: Option<PathBuf>,
    /// How many readers to write.
    #[arg(long, default_value_t = 1, requires = "write_config", value_parser = clap::value_parser!(u16).range(1..=8))]
    pub(crate) count: u16,
    /// The first reader's port; every reader takes two.
    #[arg(long, default_value_t = 36_200, requires = "write_config", value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    pub(crate) port_from: u16,
    /// The driver, if it is not where distributions put it.
    #[arg(long, value_name = "FILE", requires = "write_config")]
    pub(crate) driver: Option<PathBuf>,
    /// What the readers are called; they are numbered.
    #[arg(long, default_value = "Kazasu Reader", requires = "write_config")]
    pub(crate) name: String,
}

/// A PC/SC reader.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReaderArgs {
    /// The PC/SC reader whose name contains this; see `kazasu card readers`.
    #[arg(long, value_name = "NAME")]
    pub(crate) reader: String,
    /// How long to wait for a card, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub(crate) wait: u64,
}

/// `kazasu card read`.
#[derive(Debug, Args)]
pub(crate) struct CardReadArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where the card is.
    #[command(flatten)]
    pub(crate) at: ReaderArgs,
    /// Write the certificates into this folder, as PEM. Without it they are only looked at.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Also read the signature certificate, which carries name and address: its password is the first line
    /// of standard input.
    #[arg(long)]
    pub(crate) password_from_stdin: bool,
    /// Present the password although one mistake would block it.
    #[arg(long)]
    pub(crate) allow_last_try: bool,
    /// The record.
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

/// One of the card's two keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum CardKey {
    /// Card-holder authentication, behind the 4-digit PIN.
    Auth,
    /// Document signature, behind the password.
    Sign,
}

/// `kazasu card sign`.
#[derive(Debug, Args)]
pub(crate) struct CardSignArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to sign.
    pub(crate) file: PathBuf,
    /// Where the card is.
    #[command(flatten)]
    pub(crate) at: ReaderArgs,
    /// With which key.
    #[arg(long, value_enum, default_value = "auth")]
    pub(crate) key: CardKey,
    /// The key's PIN or password is the first line of standard input. There is no other way to give it: a
    /// command line can be read by others.
    #[arg(long, required = true)]
    pub(crate) pin_from_stdin: bool,
    /// Where the signature goes; FILE with `.sig` behind if not said.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Present the PIN although one mistake would block it.
    #[arg(long)]
    pub(crate) allow_last_try: bool,
    /// The record.
    #[command(flatten)]
    pub(crate) trace: TraceArgs,
}

/// What counts as a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Compare {
    /// Another status word.
    Status,
    /// That, and other data where it is not different every time.
    Data,
}

/// `kazasu card replay`.
#[derive(Debug, Args)]
pub(crate) struct CardReplayArgs {
    /// Common options.
    #[command(flatten)]
    pub(crate) common: Common,
    /// A record made with `--trace`.
    pub(crate) file: PathBuf,
    /// Against a copy of this person's card, which is thrown away afterwards.
    #[arg(long, value_name = "PERSON", required_unless_present = "reader", conflicts_with = "reader")]
    pub(crate) card: Option<String>,
    /// Against the card in the PC/SC reader whose name contains this. A PIN that the record knows to be wrong
    /// is not presented, and the first PIN that is refused ends the replay.
    #[arg(long, value_name = "NAME")]
    pub(crate) reader: Option<String>,
    /// How long to wait for a card, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub(crate) wait: u64,
    /// PINs and passwords that were left out of the record, one in each line of standard input. Each fits
    /// where its length does. Those of specimen people are known.
    #[arg(long)]
    pub(crate) secrets_from_stdin: bool,
    /// What counts as a difference.
    #[arg(long, value_enum, default_value = "status")]
    pub(crate) compare: Compare,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_and_places_are_read() {
        let served = |text: &str| text.parse::<Served>();
        let wanted = |person: &str, place: Option<&str>| {
            Ok(Served { person: person.to_owned(), place: place.map(str::to_owned) })
        };
        assert_eq!(served("hanako"), wanted("hanako", None));
        assert_eq!(served("hanako@36200"), wanted("hanako", Some("127.0.0.1:36200")));
        assert_eq!(served("dr-sato@desk.local:36201"), wanted("dr-sato", Some("desk.local:36201")));
        assert_eq!(served("x@[::1]:36201"), wanted("x", Some("[::1]:36201")));
        for bad in
            ["", "@36200", "hanako@", "hanako@host", "hanako@host:", "hanako@:1", "hanako@0", "h@70000"]
        {
            assert!(served(bad).is_err(), "{bad}");
        }
    }
}
