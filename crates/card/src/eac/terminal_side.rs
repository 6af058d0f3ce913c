//! The terminal's side of the profile: a dialogue that consumes itself, made for a Secure Element to
//! drive. It borrows nothing between two exchanges; randomness and the institution's key are arguments
//! of each step, so the key stays where it is.
//!
//! | # | step | command |
//! |---|---|---|
//! | 1 | select JPKI-AP | `00 A4 04 0C` |
//! | 2, 3 | select and read SecurityInfos | `00 A4 02 0C 011C`, `00 B0` |
//! | 4, 5 | select and read batch certificate | `00 A4 02 0C 011D`, `00 B0`; checked against the card issuers |
//! | 6, 7 | chip authentication | `00 22 41 A4`, `00 86`; the token is checked |
//! | 8, 9 | accredited body's certificate | `0C 22 81 B6`, `0C 2A 00 BE`; links first, where the card needs them |
//! | 10, 11 | terminal certificate | the same |
//! | 12 | choose terminal authentication | `0C 22 81 A4` |
//! | 13 | get challenge | `0C 84` |
//! | 14 | external authenticate | `0C 82` |
//!
//! It ends in an [`EacChannel`], which wraps what comes after: reading the certificate, the signature.

use super::card_side::{CHALLENGE_LEN, TerminalAuthentication};
use super::chip_authentication::{ChipAuthenticationError, NONCE_LEN, SecurityInfos, agree_on_terminal};
use super::cvc::{Cvc, CvcDate, ImportError, TerminalChain, TrustAnchor, verify_batch_certificate};
use super::p256::{P256AgreementKey, P256Error, P256Point, P256SigningKey, SIGNATURE_LEN};
use super::secure_messaging::{
    AwaitedResponse, MAC_LEN, PlainResponse, SecureMessagingError, TerminalChannel,
};
use super::{fid, oid, tags};
use crate::apdu::{ApduError, CommandApdu, CommandBuilder, ResponseApdu, StatusWord};
use crate::dialogue::select_application;
use crate::my_number_card::jpki::JPKI_AID;
use crate::tlv::{self, TlvReader};
use protocol::entropy::Entropy;
use std::fmt;
use zeroize::Zeroizing;

/// The institution's key for terminal authentication, wherever it lives. It signs this one structure
/// and has no method for octets of somebody else's choice.
#[doc(alias = "機関認証鍵")]
pub trait InstitutionEacKey {
    /// Its public half: the one in the terminal's certificate.
    fn public_key(&self) -> P256Point;

    /// Plain ECDSA with SHA-256 over [`TerminalAuthentication::signed_bytes`].
    ///
    /// # Errors
    /// What kept it from signing.
    fn sign_terminal_authentication(
        &self,
        statement: &TerminalAuthentication,
    ) -> Result<[u8; SIGNATURE_LEN], P256Error>;
}

impl InstitutionEacKey for P256SigningKey {
    fn public_key(&self) -> P256Point {
        Self::public_key(self)
    }

    fn sign_terminal_authentication(
        &self,
        statement: &TerminalAuthentication,
    ) -> Result<[u8; SIGNATURE_LEN], P256Error> {
        self.sign(&statement.signed_bytes())
    }
}

/// A step, numbered as in the module's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EacStep {
    /// SELECT of the application.
    SelectApplication = 1,
    /// SELECT of EF 011C.
    SelectSecurityInfos,
    /// READ BINARY of EF 011C.
    ReadSecurityInfos,
    /// SELECT of EF 011D.
    SelectBatchCertificate,
    /// READ BINARY of EF 011D.
    ReadBatchCertificate,
    /// MSE: SET AT for chip authentication.
    ChooseChipAuthentication,
    /// GENERAL AUTHENTICATE.
    AgreeKeys,
    /// MSE: SET DST.
    ChooseIssuer,
    /// PSO: VERIFY CERTIFICATE.
    ShowCertificate,
    /// MSE: SET AT for terminal authentication.
    ChooseTerminalAuthentication,
    /// GET CHALLENGE.
    GetChallenge,
    /// EXTERNAL AUTHENTICATE.
    ExternalAuthenticate,
    /// A command through the finished channel.
    Channel,
}

impl EacStep {
    /// Its number, 1 to 13.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What happens there, in plain English: for ladders, logs and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SelectApplication => "select JPKI-AP",
            Self::SelectSecurityInfos => "select SecurityInfos",
            Self::ReadSecurityInfos => "read SecurityInfos",
            Self::SelectBatchCertificate => "select batch certificate",
            Self::ReadBatchCertificate => "read batch certificate",
            Self::ChooseChipAuthentication => "choose chip authentication",
            Self::AgreeKeys => "agree keys",
            Self::ChooseIssuer => "choose issuer of the next certificate",
            Self::ShowCertificate => "show certificate",
            Self::ChooseTerminalAuthentication => "choose terminal authentication",
            Self::GetChallenge => "get challenge",
            Self::ExternalAuthenticate => "external authenticate",
            Self::Channel => "protected command",
        }
    }
}

impl fmt::Display for EacStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the dialogue, or a channel, ended. Names the culprit and the step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EacError {
    /// The card answered with a status word that refuses.
    #[error("the card refused \"{step}\": {status_word}")]
    CardRefused {
        /// Where.
        step: EacStep,
        /// With which words.
        status_word: StatusWord,
    },
    /// The card answered what this step cannot have, or nothing: taken away.
    #[error("the card misbehaved at \"{step}\"")]
    CardMisbehaved {
        /// Where.
        step: EacStep,
    },
    /// The card does not speak this profile: no such application, or no SecurityInfos.
    #[error("the card does not have the profile eac")]
    NoProfile,
    /// The batch certificate is not one of a card issuer known here: not a genuine card.
    #[error("the card's batch certificate is not good: {0}")]
    NotGenuine(ImportError),
    /// The card does not have the key that its batch certificate is about: a copy of somebody's files.
    #[error("the card did not prove its key: {0}")]
    NotProved(ChipAuthenticationError),
    /// Secure messaging broke: a message was lost, changed, repeated, or in the wrong order.
    #[error("secure messaging broke at \"{step}\": {problem}")]
    SecureMessaging {
        /// Where.
        step: EacStep,
        /// How.
        problem: SecureMessagingError,
    },
    /// The terminal's own certificates cannot be used, so that no card was asked.
    #[error("the terminal's certificates cannot be used: {0}")]
    OwnChain(ImportError),
    /// The institution key did not sign, or is not the one in the certificate; or no randomness.
    #[error("the institution key: {0}")]
    InstitutionKey(P256Error),
    /// A command that does not fit into an APDU.
    #[error("a command that does not fit into an APDU")]
    Input(#[from] ApduError),
}

/// What a terminal brings along.
#[derive(Clone, Debug)]
pub struct EacTerminal {
    /// What it shows to the card.
    pub chain: TerminalChain,
    /// The card issuers whose batches are believed.
    pub card_issuers: Vec<TrustAnchor>,
    /// The latest day known to have come.
    pub today: CvcDate,
}

impl EacTerminal {
    /// What can be checked before a card is asked: the certificate is about this key, and nothing in the
    /// chain has expired.
    ///
    /// # Errors
    /// [`EacError::OwnChain`], [`EacError::InstitutionKey`].
    pub fn check(&self, key: &dyn InstitutionEacKey) -> Result<(), EacError> {
        if self.chain.terminal().body().key != key.public_key() {
            return Err(EacError::InstitutionKey(P256Error::PrivateKey));
        }
        let from = self.chain.accredited_body_place();
        let expired = self
            .chain
            .certificates()
            .skip(from)
            .map(|certificate| certificate.body().expiration)
            .find(|expiration| *expiration < self.today);
        expired.map_or(Ok(()), |expiration| Err(EacError::OwnChain(ImportError::Expired(expiration))))
    }
}

/// What comes next.
#[derive(Debug)]
pub enum EacProgress {
    /// Carry this command to the card, and come back with its response.
    Send {
        /// Which step.
        step: EacStep,
        /// The command APDU.
        command: Vec<u8>,
        /// The dialogue, to be continued.
        dialogue: EacDialogue,
    },
    /// The institution is proved: the card does one use of what the certificate allows.
    Done(EacChannel),
}

/// Where the dialogue stands: what the response that comes next belongs to.
#[derive(Debug)]
enum At {
    Plain(EacStep, File),
    AgreeKeys(Box<P256AgreementKey>),
    Protected(ProtectedStep, AwaitedResponse),
}

/// A file on its way.
#[derive(Default, Debug)]
struct File {
    octets: Vec<u8>,
}

/// The steps under secure messaging, with the place in the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ProtectedStep {
    ChooseIssuer(usize),
    ShowCertificate(usize),
    ChooseTerminalAuthentication,
    GetChallenge,
    ExternalAuthenticate,
}

impl ProtectedStep {
    const fn step(self) -> EacStep {
        match self {
            Self::ChooseIssuer(_) => EacStep::ChooseIssuer,
            Self::ShowCertificate(_) => EacStep::ShowCertificate,
            Self::ChooseTerminalAuthentication => EacStep::ChooseTerminalAuthentication,
            Self::GetChallenge => EacStep::GetChallenge,
            Self::ExternalAuthenticate => EacStep::ExternalAuthenticate,
        }
    }
}

/// What was learnt on the way.
#[derive(Default, Debug)]
struct Learnt {
    infos: Option<SecurityInfos>,
    terminal_ephemeral: Option<P256Point>,
    challenge: [u8; CHALLENGE_LEN],
}

/// The dialogue between two exchanges.
#[derive(Debug)]
pub struct EacDialogue {
    at: At,
    learnt: Box<Learnt>,
}

/// Longer than any of the two files; stops a card that never ends.
const FILE_OCTETS_MAX: usize = 2048;
/// What one READ BINARY with a short Le asks for.
const CHUNK: usize = 256;

impl File {
    /// Takes one response; says how the reading goes on.
    fn absorb(&mut self, step: EacStep, data: &[u8]) -> Result<FileProgress, EacError> {
        let misbehaved = EacError::CardMisbehaved { step };
        if data.is_empty() || data.len() > CHUNK {
            return Err(misbehaved);
        }
        self.octets.extend_from_slice(data);
        let (_, length, rest) = tlv::read_header(&self.octets).map_err(|_| misbehaved)?;
        let total = self.octets.len() - rest.len() + length;
        if total > FILE_OCTETS_MAX {
            return Err(misbehaved);
        }
        if self.octets.len() >= total {
            // A file may be longer than what it holds.
            self.octets.truncate(total);
            return Ok(FileProgress::Whole(std::mem::take(&mut self.octets)));
        }
        let offset = u16::try_from(self.octets.len()).map_err(|_| misbehaved)?;
        Ok(FileProgress::More(read_command(offset)?))
    }
}

enum FileProgress {
    More(Vec<u8>),
    Whole(Vec<u8>),
}

fn read_command(offset: u16) -> Result<Vec<u8>, EacError> {
    let [high, low] = offset.to_be_bytes();
    Ok(CommandBuilder::new(0x00, 0xB0, high, low).expect(256).encode()?)
}

fn select_file(identifier: u16) -> Result<Vec<u8>, EacError> {
    Ok(CommandBuilder::new(0x00, 0xA4, 0x02, 0x0C).data(&identifier.to_be_bytes()).encode()?)
}

/// What a step needs from outside.
struct Context<'a> {
    terminal: &'a EacTerminal,
    key: &'a dyn InstitutionEacKey,
    entropy: &'a mut dyn Entropy,
}

impl EacDialogue {
    /// Begins. The card's key is not used before the dialogue has ended and the caller asks for it.
    ///
    /// # Errors
    /// As [`EacTerminal::check`].
    pub fn start(terminal: &EacTerminal, key: &dyn InstitutionEacKey) -> Result<EacProgress, EacError> {
        terminal.check(key)?;
        let dialogue =
            Self { at: At::Plain(EacStep::SelectApplication, File::default()), learnt: Box::default() };
        let command = select_application(&JPKI_AID);
        Ok(EacProgress::Send { step: EacStep::SelectApplication, command, dialogue })
    }

    /// The step whose response comes next.
    pub const fn awaiting(&self) -> EacStep {
        match &self.at {
            At::Plain(step, _) => *step,
            At::AgreeKeys(_) => EacStep::AgreeKeys,
            At::Protected(step, _) => step.step(),
        }
    }

    /// Takes the response to the last command. `terminal` and `key` are those that [`Self::start`] was
    /// given.
    ///
    /// # Errors
    /// [`EacError`]; the session keys are gone then.
    pub fn step(
        self,
        response: &[u8],
        terminal: &EacTerminal,
        key: &dyn InstitutionEacKey,
        entropy: &mut dyn Entropy,
    ) -> Result<EacProgress, EacError> {
        let context = Context { terminal, key, entropy };
        match self.at {
            At::Plain(step, file) => Self::plain(step, file, self.learnt, response, context),
            At::AgreeKeys(ephemeral) => Self::agreed(&ephemeral, self.learnt, response, context.terminal),
            At::Protected(step, awaited) => {
                let broke = |problem| EacError::SecureMessaging { step: step.step(), problem };
                let (plain, channel) = awaited.unwrap(response).map_err(broke)?;
                Self::protected(step, &plain, channel, self.learnt, context)
            }
        }
    }

    fn plain(
        step: EacStep,
        mut file: File,
        mut learnt: Box<Learnt>,
        response: &[u8],
        context: Context<'_>,
    ) -> Result<EacProgress, EacError> {
        let data = plain_data(step, response)?;
        let misbehaved = EacError::CardMisbehaved { step };
        let reads = matches!(step, EacStep::ReadSecurityInfos | EacStep::ReadBatchCertificate);
        let mut whole = Vec::new();
        if reads {
            whole = match file.absorb(step, data)? {
                FileProgress::More(command) => return Ok(send(step, command, At::Plain(step, file), learnt)),
                FileProgress::Whole(octets) => octets,
            };
        } else if !data.is_empty() {
            return Err(misbehaved);
        }
        let (next, command) = match step {
            EacStep::SelectApplication => (EacStep::SelectSecurityInfos, select_file(fid::SECURITY_INFOS)?),
            EacStep::SelectSecurityInfos => (EacStep::ReadSecurityInfos, read_command(0)?),
            EacStep::ReadSecurityInfos => {
                learnt.infos = Some(SecurityInfos::parse(&whole).map_err(|_| misbehaved)?);
                (EacStep::SelectBatchCertificate, select_file(fid::BATCH_CERTIFICATE)?)
            }
            EacStep::SelectBatchCertificate => (EacStep::ReadBatchCertificate, read_command(0)?),
            EacStep::ReadBatchCertificate => {
                let infos = learnt.infos.ok_or(misbehaved)?;
                check_batch(&whole, &infos, context.terminal)?;
                let mut objects = tlv::encode(tags::MECHANISM_OR_EPHEMERAL, oid::CA_ECDH_AES_CBC_CMAC_128);
                tlv::write(&mut objects, tags::PRIVATE_KEY_REFERENCE, &[infos.key_reference]);
                let command = CommandBuilder::new(0x00, 0x22, 0x41, 0xA4).data(&objects).encode()?;
                (EacStep::ChooseChipAuthentication, command)
            }
            _ => {
                let ephemeral =
                    P256AgreementKey::ephemeral(context.entropy).map_err(EacError::InstitutionKey)?;
                let inner = tlv::encode(tags::MECHANISM_OR_EPHEMERAL, ephemeral.public_key().as_octets());
                let data = tlv::encode(tags::DYNAMIC, &inner);
                let command = CommandBuilder::new(0x00, 0x86, 0x00, 0x00).data(&data).expect(256).encode()?;
                learnt.terminal_ephemeral = Some(ephemeral.public_key());
                return Ok(send(EacStep::AgreeKeys, command, At::AgreeKeys(Box::new(ephemeral)), learnt));
            }
        };
        Ok(send(next, command, At::Plain(next, File::default()), learnt))
    }

    fn agreed(
        ephemeral: &P256AgreementKey,
        learnt: Box<Learnt>,
        response: &[u8],
        terminal: &EacTerminal,
    ) -> Result<EacProgress, EacError> {
        let step = EacStep::AgreeKeys;
        let misbehaved = EacError::CardMisbehaved { step };
        let data = plain_data(step, response)?;
        let (nonce, token) = parse_agreement(data).ok_or(misbehaved)?;
        let batch_key = learnt.infos.ok_or(misbehaved)?.batch_key;
        let keys = agree_on_terminal(ephemeral, &batch_key, nonce, token).map_err(EacError::NotProved)?;
        let broke = |problem| EacError::SecureMessaging { step, problem };
        let channel = TerminalChannel::new(&keys).map_err(broke)?;
        let place = terminal.chain.accredited_body_place();
        let command = choose_issuer(&terminal.chain, place)?;
        protect(ProtectedStep::ChooseIssuer(place), channel, learnt, &command)
    }

    fn protected(
        step: ProtectedStep,
        plain: &PlainResponse,
        channel: TerminalChannel,
        mut learnt: Box<Learnt>,
        context: Context<'_>,
    ) -> Result<EacProgress, EacError> {
        let chain = &context.terminal.chain;
        let (refused, misbehaved) = (
            EacError::CardRefused { step: step.step(), status_word: plain.status },
            EacError::CardMisbehaved { step: step.step() },
        );
        if plain.status != StatusWord::OK {
            // The card does not know this root yet: the link before it may bring it there.
            return match (step, plain.status) {
                (ProtectedStep::ChooseIssuer(place), StatusWord::REFERENCE_NOT_FOUND)
                    if place > 0 && place <= chain.accredited_body_place() =>
                {
                    let command = choose_issuer(chain, place - 1)?;
                    protect(ProtectedStep::ChooseIssuer(place - 1), channel, learnt, &command)
                }
                _ => Err(refused),
            };
        }
        let expected = if step == ProtectedStep::GetChallenge { CHALLENGE_LEN } else { 0 };
        if plain.data.len() != expected {
            return Err(misbehaved);
        }
        let (next, command) = match step {
            ProtectedStep::ChooseIssuer(place) => {
                let content = chain.certificate(place).map(Cvc::content).ok_or(misbehaved)?;
                let command = CommandBuilder::new(0x00, 0x2A, 0x00, 0xBE).data(&content).encode()?;
                (ProtectedStep::ShowCertificate(place), command)
            }
            ProtectedStep::ShowCertificate(place) if place <= chain.accredited_body_place() => {
                (ProtectedStep::ChooseIssuer(place + 1), choose_issuer(chain, place + 1)?)
            }
            ProtectedStep::ShowCertificate(_) => {
                let mut objects = tlv::encode(tags::MECHANISM_OR_EPHEMERAL, oid::TA_ECDSA_SHA_256);
                let holder = chain.terminal().body().holder;
                tlv::write(&mut objects, tags::PUBLIC_KEY_REFERENCE, holder.as_octets());
                let command = CommandBuilder::new(0x00, 0x22, 0x81, 0xA4).data(&objects).encode()?;
                (ProtectedStep::ChooseTerminalAuthentication, command)
            }
            ProtectedStep::ChooseTerminalAuthentication => {
                let command =
                    CommandBuilder::new(0x00, 0x84, 0x00, 0x00).expect(CHALLENGE_LEN as u32).encode()?;
                (ProtectedStep::GetChallenge, command)
            }
            ProtectedStep::GetChallenge => {
                learnt.challenge = plain.data.as_slice().try_into().map_err(|_| misbehaved)?;
                let statement = learnt.statement().ok_or(misbehaved)?;
                let signature =
                    context.key.sign_terminal_authentication(&statement).map_err(EacError::InstitutionKey)?;
                let command = CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(&signature).encode()?;
                (ProtectedStep::ExternalAuthenticate, command)
            }
            ProtectedStep::ExternalAuthenticate => return Ok(EacProgress::Done(EacChannel(channel))),
        };
        protect(next, channel, learnt, &command)
    }
}

impl Learnt {
    fn statement(&self) -> Option<TerminalAuthentication> {
        Some(TerminalAuthentication {
            card: self.infos?.batch_key.compressed(),
            challenge: self.challenge,
            terminal_ephemeral: self.terminal_ephemeral?.compressed(),
        })
    }
}

fn send(step: EacStep, command: Vec<u8>, at: At, learnt: Box<Learnt>) -> EacProgress {
    EacProgress::Send { step, command, dialogue: EacDialogue { at, learnt } }
}

/// Protects a command and waits for its response.
fn protect(
    step: ProtectedStep,
    channel: TerminalChannel,
    learnt: Box<Learnt>,
    command: &[u8],
) -> Result<EacProgress, EacError> {
    let plain = CommandApdu::parse(command)?;
    let broke = |problem| EacError::SecureMessaging { step: step.step(), problem };
    let (wrapped, awaited) = channel.wrap(&plain).map_err(broke)?;
    Ok(send(step.step(), wrapped, At::Protected(step, awaited), learnt))
}

/// The data of a 9000.
fn plain_data(step: EacStep, response: &[u8]) -> Result<&[u8], EacError> {
    let response = ResponseApdu::parse(response).map_err(|_| EacError::CardMisbehaved { step })?;
    match (step, response.status) {
        (_, StatusWord::OK) => Ok(response.data),
        (EacStep::SelectApplication | EacStep::SelectSecurityInfos, StatusWord::NOT_FOUND) => {
            Err(EacError::NoProfile)
        }
        (_, status_word) => Err(EacError::CardRefused { step, status_word }),
    }
}

/// The batch certificate is from a card issuer, and about the key in the SecurityInfos.
fn check_batch(octets: &[u8], infos: &SecurityInfos, terminal: &EacTerminal) -> Result<(), EacError> {
    let certificate = Cvc::parse(octets).map_err(|error| EacError::NotGenuine(error.into()))?;
    let key = verify_batch_certificate(&certificate, &terminal.card_issuers, terminal.today)
        .map_err(EacError::NotGenuine)?;
    if key == infos.batch_key { Ok(()) } else { Err(EacError::NotGenuine(ImportError::Chain)) }
}

fn parse_agreement(data: &[u8]) -> Option<(&[u8; NONCE_LEN], &[u8; MAC_LEN])> {
    let mut objects = TlvReader::new(tlv::read_single(data, tags::DYNAMIC).ok()?);
    let nonce = objects.expect_array(tags::NONCE).ok()?;
    let token = objects.expect_array(tags::TOKEN).ok()?;
    objects.finish().ok()?;
    Some((nonce, token))
}

/// MSE: SET DST with the authority that the certificate at this place names.
fn choose_issuer(chain: &TerminalChain, place: usize) -> Result<Vec<u8>, EacError> {
    let misbehaved = EacError::OwnChain(ImportError::Chain);
    let authority = chain.certificate(place).ok_or(misbehaved)?.body().authority;
    let object = tlv::encode(tags::PUBLIC_KEY_REFERENCE, authority.as_octets());
    Ok(CommandBuilder::new(0x00, 0x22, 0x81, 0xB6).data(&object).encode()?)
}

/// The finished channel: what the card and the institution say to each other, nobody else reads.
#[derive(Debug)]
pub struct EacChannel(TerminalChannel);

/// The channel while a response is on its way.
#[derive(Debug)]
pub struct EacAwaited(AwaitedResponse);

impl EacChannel {
    /// Protects a command APDU of class 00 or 80.
    ///
    /// # Errors
    /// [`EacError::Input`] for bytes that are no such command; the channel is gone then.
    pub fn wrap(self, command: &[u8]) -> Result<(Vec<u8>, EacAwaited), EacError> {
        let plain = CommandApdu::parse(command)?;
        let broke = |problem| EacError::SecureMessaging { step: EacStep::Channel, problem };
        let (wrapped, awaited) = self.0.wrap(&plain).map_err(broke)?;
        Ok((wrapped, EacAwaited(awaited)))
    }
}

impl EacAwaited {
    /// Opens the response: its data and its authenticated status word, whatever it says, and the channel.
    ///
    /// # Errors
    /// [`EacError::SecureMessaging`]; the channel is gone then.
    pub fn unwrap(self, response: &[u8]) -> Result<(Zeroizing<Vec<u8>>, StatusWord, EacChannel), EacError> {
        let broke = |problem| EacError::SecureMessaging { step: EacStep::Channel, problem };
        let (plain, channel) = self.0.unwrap(response).map_err(broke)?;
        Ok((plain.data, plain.status, EacChannel(channel)))
    }
}
