//! What a card says about itself before anybody presents anything: token information, which functions it
//! has, how many tries its PIN and password have left.
//!
//! Only commands that cost nothing: the question for the tries is a VERIFY without data, ISO/IEC
//! 7816-4:2020 §11.6.6, in the form that OpenSC and others send to real cards.

use super::{DialogueError, Exchange, Misbehaviour, Step, jpki_selected, select_jpki};
use crate::apdu::{CommandBuilder, StatusWord};
use crate::my_number_card::jpki::fid;

const READ_TOKEN_INFO: Step = Step::card("read token information");
const READ_PRESENCE: Step = Step::card("read which certificates there are");
const SELECT_SECRET: Step = Step::card("select PIN or password");
const ASK_TRIES: Step = Step::card("ask for the tries left");
/// Octets of the label at the head of the token information, a `CK_TOKEN_INFO`.
const LABEL_LEN: usize = 32;
/// What EF 0008 has in the place of a certificate that is there.
const IS_THERE: u8 = 0x8F;
/// A wrong VERIFY that tells no counter.
const NO_LIMIT: StatusWord = StatusWord(0x6300);

/// How many wrong secrets a card takes until it blocks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TriesLeft {
    /// This many, 1 to 15.
    Some(u8),
    /// None: blocked, until the municipality sets it again.
    Blocked,
    /// The card tells no number.
    Untold,
    /// There is no such secret on the card.
    NoSecret,
}

impl TriesLeft {
    /// Whether a wrong secret can be presented and a right one after it.
    pub const fn allows_a_mistake(self) -> bool {
        matches!(self, Self::Some(2..) | Self::Untold)
    }
}

/// Whether the card has a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Presence {
    /// It says that it has.
    There,
    /// It says that it has not: a child's card has no signature certificate.
    Absent,
    /// It does not say.
    Untold,
}

/// What a card says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CardStatus {
    /// The token's label, without its padding: `JPKIAPICCTOKEN2` on cards, others in telephones.
    pub token: String,
    /// The authentication certificate.
    pub card_holder_auth: Presence,
    /// The signature certificate.
    pub document_signature: Presence,
    /// Tries of the authentication PIN.
    pub auth_pin: TriesLeft,
    /// Tries of the signature password.
    pub sign_password: TriesLeft,
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, ReadStatus),
    /// That is the card.
    Done(CardStatus),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Selecting,
    TokenInfo,
    Presences,
    SelectingPin,
    AskingPin,
    SelectingPassword,
    AskingPassword,
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct ReadStatus {
    state: State,
    status: CardStatus,
}

/// READ BINARY of a whole short file by its short identifier.
fn read(short_identifier: u16) -> Result<Vec<u8>, DialogueError> {
    let [_, low] = short_identifier.to_be_bytes();
    Ok(CommandBuilder::new(0x00, 0xB0, 0x80 | low, 0x00).expect(256).encode()?)
}

fn select(file: u16) -> Result<Exchange, DialogueError> {
    let command = CommandBuilder::new(0x00, 0xA4, 0x02, 0x0C).data(&file.to_be_bytes()).encode()?;
    Ok(SELECT_SECRET.exchange(command))
}

/// VERIFY of the current file without data.
fn ask_tries() -> Result<Exchange, DialogueError> {
    Ok(ASK_TRIES.exchange(CommandBuilder::new(0x00, 0x20, 0x00, 0x80).encode()?))
}

fn told(response: &[u8]) -> Result<TriesLeft, DialogueError> {
    let status = ASK_TRIES.response(response)?.status;
    match (status.as_tries_left(), status) {
        (Some(0), _) | (_, StatusWord::BLOCKED) => Ok(TriesLeft::Blocked),
        (Some(tries), _) => Ok(TriesLeft::Some(tries)),
        (None, NO_LIMIT | StatusWord::OK) => Ok(TriesLeft::Untold),
        (None, other) => Err(ASK_TRIES.refused(other)),
    }
}

const fn presence(octet: u8) -> Presence {
    if octet == IS_THERE { Presence::There } else { Presence::Absent }
}

impl ReadStatus {
    /// Begins.
    pub fn start() -> (Exchange, Self) {
        let status = CardStatus {
            token: String::new(),
            card_holder_auth: Presence::Untold,
            document_signature: Presence::Untold,
            auth_pin: TriesLeft::NoSecret,
            sign_password: TriesLeft::NoSecret,
        };
        (select_jpki(), Self { state: State::Selecting, status })
    }

    fn go(self, state: State, exchange: Exchange) -> Progress {
        Progress::Send(exchange, Self { state, ..self })
    }

    /// Takes the response to the last exchange.
    pub fn step(mut self, response: &[u8]) -> Result<Progress, DialogueError> {
        match self.state {
            State::Selecting => {
                jpki_selected(response)?;
                let exchange = READ_TOKEN_INFO.exchange(read(fid::TOKEN_INFO)?);
                Ok(self.go(State::TokenInfo, exchange))
            }
            State::TokenInfo => {
                self.status.token = label(response)?;
                let exchange = READ_PRESENCE.exchange(read(fid::PRESENCE)?);
                Ok(self.go(State::Presences, exchange))
            }
            State::Presences => {
                let response = READ_PRESENCE.response(response)?;
                if let (StatusWord::OK | StatusWord::END_OF_FILE, [signature, auth, ..]) =
                    (response.status, response.data)
                {
                    self.status.document_signature = presence(*signature);
                    self.status.card_holder_auth = presence(*auth);
                }
                Ok(self.go(State::SelectingPin, select(fid::AUTH_PIN)?))
            }
            State::SelectingPin => {
                SELECT_SECRET.done(response)?;
                Ok(self.go(State::AskingPin, ask_tries()?))
            }
            State::AskingPin => {
                self.status.auth_pin = told(response)?;
                Ok(self.go(State::SelectingPassword, select(fid::SIGN_PASSWORD)?))
            }
            State::SelectingPassword => match SELECT_SECRET.response(response)?.status {
                StatusWord::OK => Ok(self.go(State::AskingPassword, ask_tries()?)),
                StatusWord::NOT_FOUND => Ok(Progress::Done(self.status)),
                other => Err(SELECT_SECRET.refused(other)),
            },
            State::AskingPassword => {
                self.status.sign_password = told(response)?;
                Ok(Progress::Done(self.status))
            }
        }
    }
}

/// The label of the token information: printable ASCII, padded with spaces.
fn label(response: &[u8]) -> Result<String, DialogueError> {
    let response = READ_TOKEN_INFO.response(response)?;
    if !matches!(response.status, StatusWord::OK | StatusWord::END_OF_FILE) {
        return Err(READ_TOKEN_INFO.refused(response.status));
    }
    let octets = response.data.get(..LABEL_LEN).ok_or(READ_TOKEN_INFO.misbehaved(Misbehaviour::Length))?;
    if !octets.iter().all(|octet| (0x20..0x7F).contains(octet)) {
        return Err(READ_TOKEN_INFO.misbehaved(Misbehaviour::Malformed));
    }
    Ok(String::from_utf8_lossy(octets).trim_end().to_owned())
}
