//! One application's files, read in one go: select, present a secret, read, and have the card sign a
//! challenge. What the dialogues of the card face and the text input have in common.

use super::pin_sign::verified;
use super::{DialogueError, Exchange, Misbehaviour, Step, select_application};
use crate::apdu::{CommandBuilder, StatusWord};
use crate::my_number_card::record_file::object_len;
use crate::my_number_card::session_key::{SEED_LEN, TerminalSession};
use crate::rsa_key::{RSA_OCTETS, SHA256_PREFIX};
use aws_lc_rs::digest::{SHA256, digest};
use protocol::entropy::Entropy;
use std::collections::VecDeque;
use std::fmt;
use zeroize::Zeroizing;

/// Octets of the challenge that the card signs: the terminal's own, so that no recorded answer fits.
pub(super) const CHALLENGE_LEN: usize = 32;
/// What a short Le can ask for at most.
const CHUNK: usize = 256;
/// Offsets have 15 bits: nothing longer can be read, and a card that never ends is stopped.
const FILE_OCTETS_MAX: usize = 0x8000;

const SELECT: Step = Step::card("select application");
const PRESENT: Step = Step::card("present secret");
const READ: Step = Step::card("read file");
const HAND_OVER: Step = Step::card("hand over session key");
const SELECT_PROTECTED: Step = Step::card("select file under the session key");
const READ_PROTECTED: Step = Step::card("read file under the session key");
const SIGN: Step = Step::card("sign challenge");

/// What is done after the application was selected, in this order.
pub(super) enum Action {
    /// VERIFY: reference, secret.
    Present(u16, Zeroizing<Vec<u8>>),
    /// The whole of a file, by short identifier.
    Read(u16),
    /// SET SESSION KEY under the key in this file, which was read before.
    HandOver(u16),
    /// The whole of a file under the session key.
    ReadProtected(u16),
    /// A signature by the application's own key over the challenge.
    Sign,
}

/// What was read. Wiped when dropped, shown to nobody.
pub(super) struct ReadFiles {
    files: Vec<(u16, Zeroizing<Vec<u8>>)>,
    pub(super) challenge: [u8; CHALLENGE_LEN],
    pub(super) signature: Option<[u8; RSA_OCTETS]>,
}

impl ReadFiles {
    /// The file; empty where it was not asked for.
    pub(super) fn file(&self, fid: u16) -> &[u8] {
        self.files.iter().find(|(read, _)| *read == fid).map_or(&[], |(_, octets)| octets)
    }
}

/// What comes next.
pub(super) enum Progress {
    Send(Exchange, CardReading),
    Done(ReadFiles),
}

enum State {
    Selecting,
    Presenting,
    Reading { fid: u16, octets: Zeroizing<Vec<u8>> },
    HandingOver(TerminalSession),
    SelectingProtected { fid: u16 },
    ReadingProtected { fid: u16 },
    Signing,
}

/// The dialogue between two exchanges.
pub(super) struct CardReading {
    state: State,
    to_do: VecDeque<Action>,
    session: Option<TerminalSession>,
    seed: Zeroizing<[u8; SEED_LEN]>,
    read: ReadFiles,
}

impl fmt::Debug for CardReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardReading({} files read, {} steps to go)", self.read.files.len(), self.to_do.len())
    }
}

impl CardReading {
    /// Begins. Challenge and session key come from `entropy`.
    pub(super) fn start(
        application: &[u8],
        to_do: impl IntoIterator<Item = Action>,
        entropy: &mut dyn Entropy,
    ) -> (Exchange, Self) {
        let mut challenge = [0; CHALLENGE_LEN];
        entropy.fill(&mut challenge);
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        entropy.fill(seed.as_mut_slice());
        let dialogue = Self {
            state: State::Selecting,
            to_do: to_do.into_iter().collect(),
            session: None,
            seed,
            read: ReadFiles { files: Vec::new(), challenge, signature: None },
        };
        (SELECT.exchange(select_application(application)), dialogue)
    }

    /// Takes the response to the last exchange.
    pub(super) fn step(mut self, response: &[u8]) -> Result<Progress, DialogueError> {
        match std::mem::replace(&mut self.state, State::Selecting) {
            State::Selecting => match SELECT.done(response) {
                Err(DialogueError::CardRefused { status_word: StatusWord::NOT_FOUND, .. }) => {
                    return Err(DialogueError::WrongCard);
                }
                other => other?,
            },
            State::Presenting => verified(PRESENT, response)?,
            State::Reading { fid, octets } => {
                if let Some(next) = self.absorb(fid, octets, READ.data(response)?)? {
                    return Ok(Progress::Send(READ.exchange(next), self));
                }
            }
            State::HandingOver(session) => {
                HAND_OVER.done(response)?;
                self.session = Some(session);
            }
            State::SelectingProtected { fid } => {
                self.open(SELECT_PROTECTED, response)?;
                let command = self.protect(READ_PROTECTED, &[0x00, 0xB0, 0x00, 0x00, 0x00])?;
                self.state = State::ReadingProtected { fid };
                return Ok(Progress::Send(READ_PROTECTED.exchange(command), self));
            }
            State::ReadingProtected { fid } => {
                let octets = self.open(READ_PROTECTED, response)?;
                if object_len(&octets).is_none_or(|length| length > octets.len()) {
                    return Err(READ_PROTECTED.misbehaved(Misbehaviour::Malformed));
                }
                self.read.files.push((fid, octets));
            }
            State::Signing => self.read.signature = Some(SIGN.exactly(SIGN.data(response)?)?),
        }
        self.next()
    }

    fn next(mut self) -> Result<Progress, DialogueError> {
        let Some(action) = self.to_do.pop_front() else {
            return Ok(Progress::Done(self.read));
        };
        let exchange = match action {
            Action::Present(reference, secret) => {
                self.state = State::Presenting;
                let command = CommandBuilder::new(0x00, 0x20, 0x00, 0x80 | short(reference));
                PRESENT.exchange(command.data(&secret).encode()?)
            }
            Action::Read(fid) => {
                self.state = State::Reading { fid, octets: Zeroizing::default() };
                // By short identifier: selects and reads in one command, ISO/IEC 7816-4:2020 §11.3.3.
                READ.exchange(vec![0x00, 0xB0, 0x80 | short(fid), 0x00, 0x00])
            }
            Action::HandOver(fid) => {
                let (command, session) = TerminalSession::hand_over(self.read.file(fid), &self.seed)
                    .map_err(|_| HAND_OVER.misbehaved(Misbehaviour::Malformed))?;
                self.state = State::HandingOver(session);
                HAND_OVER.exchange(command)
            }
            Action::ReadProtected(fid) => {
                let [high, low] = fid.to_be_bytes();
                let plain = [0x00, 0xA4, 0x02, 0x0C, 0x02, high, low];
                self.state = State::SelectingProtected { fid };
                SELECT_PROTECTED.exchange(self.protect(SELECT_PROTECTED, &plain)?)
            }
            Action::Sign => {
                let hash = digest(&SHA256, &self.read.challenge);
                let info = [&SHA256_PREFIX[..], hash.as_ref()].concat();
                self.state = State::Signing;
                SIGN.exchange(CommandBuilder::new(0x80, 0x2A, 0x00, 0x00).data(&info).expect(256).encode()?)
            }
        };
        Ok(Progress::Send(exchange, self))
    }

    /// Takes a piece of a file; gives the next command, or `None` when all of its object is there.
    /// Filler that came with the last piece is kept: some digests are over it.
    fn absorb(
        &mut self,
        fid: u16,
        mut octets: Zeroizing<Vec<u8>>,
        piece: &[u8],
    ) -> Result<Option<Vec<u8>>, DialogueError> {
        let whole = object_len(if octets.is_empty() { piece } else { &octets });
        let whole = whole.filter(|length| *length <= FILE_OCTETS_MAX);
        let whole = whole.ok_or(READ.misbehaved(Misbehaviour::Malformed))?;
        let asked = if octets.is_empty() { CHUNK } else { whole.saturating_sub(octets.len()).min(CHUNK) };
        if piece.is_empty() || piece.len() > asked {
            return Err(READ.misbehaved(Misbehaviour::Length));
        }
        octets.extend_from_slice(piece);
        let missing = whole.saturating_sub(octets.len()).min(CHUNK);
        if missing == 0 {
            self.read.files.push((fid, octets));
            return Ok(None);
        }
        let too_long = READ.misbehaved(Misbehaviour::Length);
        let [high, low] = u16::try_from(octets.len()).map_err(|_| too_long)?.to_be_bytes();
        let expected = u32::try_from(missing).map_err(|_| too_long)?;
        self.state = State::Reading { fid, octets };
        Ok(Some(CommandBuilder::new(0x00, 0xB0, high, low).expect(expected).encode()?))
    }

    fn protect(&self, step: Step, plain: &[u8]) -> Result<Vec<u8>, DialogueError> {
        let session = self.session.as_ref().ok_or(step.misbehaved(Misbehaviour::Malformed))?;
        session.protect(plain).map_err(|_| step.misbehaved(Misbehaviour::Malformed))
    }

    fn open(&mut self, step: Step, response: &[u8]) -> Result<Zeroizing<Vec<u8>>, DialogueError> {
        // A refusal comes in the clear, and with it the card may have ended the session.
        if step.response(response)?.status != StatusWord::OK {
            return Err(step.refused(step.response(response)?.status));
        }
        let session = self.session.as_mut().ok_or(step.misbehaved(Misbehaviour::Malformed))?;
        let opened = session.open(response).map_err(|_| step.misbehaved(Misbehaviour::Malformed))?;
        Ok(opened.0)
    }
}

/// Short identifier of a file or secret: the low five bits, ISO/IEC 7816-4:2020 §7.4.2.
const fn short(fid: u16) -> u8 {
    (fid & 0x1F) as u8
}
