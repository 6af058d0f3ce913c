//! One card in a PC/SC reader, real or emulated: opened exclusively, powered down when done, and the
//! dialogues that need no institution.
//!
//! A verified PIN belongs to the card and outlives the connection, so the card is nobody else's while it is
//! open here, and it has no power when it is let go ([`card_io`]'s invariants).

use super::Refusal;
use super::trace_file::TraceFile;
use crate::cli::{ReaderArgs, TraceArgs};
use anyhow::Context as _;
use card::EmulatedCard;
use card::dialogue::card_status::{self, CardStatus, ReadStatus, TriesLeft};
use card::dialogue::pin_sign::{self, PinProtected, PinSign};
use card::dialogue::read_certificates::{self, CertificateFile, ReadCertificates};
use card::dialogue::{DialogueError, Exchange};
use card_io::{CardChannel, InProcessChannel, PcscReader, Reader as _, ReaderError, RecordedChannel};
use chassis::entropy::SystemEntropy;
use protocol::problem::{Problem, ProblemCode};
use std::time::Duration;
use terminal::check_in::CardKind;
use terminal::error::{of_channel, of_dialogue, of_reader};
use terminal::report::Tally;

/// Which secret, for messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Secret {
    /// Of the card-holder authentication key.
    AuthPin,
    /// Of the signature key.
    SignPassword,
}

/// What to do with a secret of which few tries are left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnLastTry {
    /// Keep it: a mistake would block it.
    Refuse,
    /// Present it all the same.
    Present,
}

/// A card that is ours alone.
pub(crate) struct CardAtReader {
    channel: Box<dyn CardChannel>,
    /// The reader's whole name.
    pub(crate) reader: String,
    record: Option<TraceFile>,
}

fn of_reader_error(error: &ReaderError) -> Refusal {
    match error {
        ReaderError::Busy { .. } => Refusal::new(ProblemCode::ReaderBusy, error),
        other => of_reader(other).into(),
    }
}

/// Waits for a card in the reader whose name contains `name`, and opens it.
pub(crate) fn open_channel(name: &str, wait: u64) -> Result<(Box<dyn CardChannel>, String), Refusal> {
    let mut reader = PcscReader::open(name).map_err(|error| of_reader_error(&error))?;
    let opened = reader.wait_for_card(Duration::from_secs(wait)).map_err(|error| of_reader_error(&error))?;
    let name = reader.name().to_owned();
    let channel = opened.ok_or_else(|| Refusal::new(ProblemCode::NoCardPresented, &name))?;
    Ok((channel, name))
}

impl CardAtReader {
    /// Opens a My Number Card, recorded if asked for.
    pub(crate) fn open(at: &ReaderArgs, trace: &TraceArgs) -> anyhow::Result<Self> {
        let (mut channel, reader) = open_channel(&at.reader, at.wait)?;
        let record = TraceFile::asked_for(trace, &format!("card on {reader}"), channel.atr())?;
        if let Some(record) = &record {
            channel = Box::new(RecordedChannel::new(channel, record.observer()));
        }
        let kind =
            terminal::touch::recognise(channel.as_mut(), &mut Tally::default()).map_err(Refusal::from)?;
        if kind != CardKind::MyNumberCard {
            return Err(Refusal::new(ProblemCode::CardOfOtherKind, format!("{kind:?}")).into());
        }
        Ok(Self { channel, reader, record })
    }

    /// An emulated card in this process, as if it lay in a reader of its own.
    pub(crate) fn emulated(card: Box<dyn EmulatedCard>, name: &str) -> anyhow::Result<Self> {
        let mut channel = InProcessChannel::new(card, Box::new(SystemEntropy));
        let kind = terminal::touch::recognise(&mut channel, &mut Tally::default()).map_err(Refusal::from)?;
        if kind != CardKind::MyNumberCard {
            return Err(Refusal::new(ProblemCode::CardOfOtherKind, format!("{kind:?}")).into());
        }
        Ok(Self { channel: Box::new(channel), reader: name.to_owned(), record: None })
    }

    /// Lets the card go, without power, and says whether its record is whole.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        drop(self.channel);
        self.record.map_or(Ok(()), |record| record.finish())
    }

    fn exchange(&mut self, exchange: &Exchange) -> Result<Vec<u8>, Refusal> {
        self.channel.transmit(&exchange.command).map_err(|error| of_channel(&error).into())
    }

    /// What the card says about itself. Costs no try.
    pub(crate) fn status(&mut self) -> Result<CardStatus, Refusal> {
        let (mut exchange, mut dialogue) = ReadStatus::start();
        loop {
            match dialogue.step(&self.exchange(&exchange)?).map_err(refused)? {
                card_status::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
                card_status::Progress::Done(status) => return Ok(status),
            }
        }
    }

    /// Reads certificate files; with a password, after presenting it.
    pub(crate) fn certificates(
        &mut self,
        wanted: &[CertificateFile],
        password: Option<card::my_number_card::SignPassword>,
    ) -> Result<Vec<(CertificateFile, Vec<u8>)>, Refusal> {
        let (mut exchange, mut dialogue) = ReadCertificates::start(wanted, password);
        loop {
            match dialogue.step(&self.exchange(&exchange)?).map_err(refused)? {
                read_certificates::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
                read_certificates::Progress::Done(files) => return Ok(files),
            }
        }
    }

    /// One signature over a SHA-256: PKCS#1 v1.5, 256 octets.
    pub(crate) fn sign(&mut self, with: PinProtected, sha256: [u8; 32]) -> Result<Vec<u8>, Refusal> {
        let (mut exchange, mut dialogue) = PinSign::start(with, sha256);
        loop {
            match dialogue.step(&self.exchange(&exchange)?).map_err(refused)? {
                pin_sign::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
                pin_sign::Progress::Done(signature) => return Ok(signature),
            }
        }
    }

    /// Whether a secret may be presented: not if it is blocked, and not if one mistake would block it.
    pub(crate) fn ensure_tries(&mut self, secret: Secret, on_last_try: OnLastTry) -> Result<(), Refusal> {
        let status = self.status()?;
        let left = match secret {
            Secret::AuthPin => status.auth_pin,
            Secret::SignPassword => status.sign_password,
        };
        match (left, on_last_try) {
            (TriesLeft::Blocked | TriesLeft::NoSecret, _) => {
                Err(Refusal::new(ProblemCode::SecretBlocked, "0 tries left"))
            }
            (left, OnLastTry::Refuse) if !left.allows_a_mistake() => {
                Err(Refusal::new(ProblemCode::SecretTriesTooFew, "1 try left"))
            }
            _ => Ok(()),
        }
    }
}

fn refused(error: DialogueError) -> Refusal {
    of_dialogue(&error).into()
}

/// A secret that does not have its form never reaches the card.
pub(crate) fn malformed_secret(error: card::my_number_card::SecretError) -> Refusal {
    Refusal(Box::new(Problem::new(ProblemCode::MalformedRequest).with_detail(error.to_string())))
}

/// SHA-256 of a whole file.
pub(crate) fn sha256(bytes: &[u8]) -> anyhow::Result<[u8; 32]> {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, bytes).as_ref().try_into().context("a digest of another length")
}
