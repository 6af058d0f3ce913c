//! Signing with a health professional's card: by its signature key, or by its authentication key to
//! prove that the holder is there (report fig. 4).
//!
//! The order is that of JAHIS 24-002 appendix A.3. Which files, references and keys there are, the card
//! says itself (ISO/IEC 7816-15): nothing here knows the numbers of one issuer. The block to sign is
//! padded here, "outside the card" (C.6.1); a card that takes no extended length gets it in a chain.

use super::pin_sign::verified;
use super::{DialogueError, Exchange, Misbehaviour, Step};
use crate::apdu::{CommandBuilder, StatusWord};
use crate::hpki_card::{HpkiApplication, HpkiPin};
use crate::pkcs15::{
    self, AuthenticationObject, CertificateContent, CertificateObject, DirectoryContent, DirectoryKind,
    Location, ObjectDirectory, Path, Pkcs15Error, PrivateKeyObject,
};
use crate::rsa_key::{RSA_OCTETS, SHA256_PREFIX, type_one_block};
use crate::tlv::{self, Tag};
use std::fmt;

const SELECT: Step = Step::card("select HPKI application");
const READ_DIRECTORY: Step = Step::card("read object directory");
const READ_PINS: Step = Step::card("read authentication objects");
const READ_KEYS: Step = Step::card("read private key directory");
const READ_CERTIFICATES: Step = Step::card("read certificate directory");
const READ_CERTIFICATE: Step = Step::card("read certificate");
const PRESENT: Step = Step::card("verify HPKI PIN");
const CHOOSE_KEY: Step = Step::card("choose signature key");
const SIGN: Step = Step::card("compute digital signature");

/// Short identifier of EF.OD, ISO/IEC 7816-15:2016 §7.4.
const OBJECT_DIRECTORY: FileName = FileName::Short(0x11);
/// Longer than any file here; stops a card that never ends.
const FILE_OCTETS_MAX: usize = 8_192;
/// What a short Le can ask for at most.
const CHUNK: usize = 256;
/// First piece of the block where it goes in a chain.
const CHAIN_PIECE: usize = RSA_OCTETS / 2;
/// ISO/IEC 7816-4:2020 §5.6: authentication method blocked. The guideline has it beside 6984.
const METHOD_BLOCKED: StatusWord = StatusWord(0x6983);

/// What came out.
#[derive(Clone, PartialEq, Eq)]
pub struct HpkiSignature {
    /// PKCS#1 v1.5 signature with SHA-256, 256 octets. Not verified here: only the certificate says
    /// under which key, and only its path says whose.
    pub signature: [u8; RSA_OCTETS],
    /// The holder's certificate, DER, as it came.
    pub certificate_der: Vec<u8>,
}

impl fmt::Debug for HpkiSignature {
    /// The certificate carries name and registration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HpkiSignature(…)")
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, Box<HpkiSign>),
    /// Signature and certificate.
    Done(Box<HpkiSignature>),
}

/// How a file is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FileName {
    Short(u8),
    Identifier(u16),
}

impl FileName {
    /// A whole file of the application; `None` for what lies elsewhere.
    fn of(path: &Path<'_>) -> Option<Self> {
        match (path.location, path.part) {
            (Location::Short(short), None) => Some(Self::Short(short)),
            (Location::Identifier(fid), None) => Some(Self::Identifier(fid)),
            _ => None,
        }
    }

    /// Its identifier as a key reference: the guideline names a key by its short identifier's value.
    const fn as_identifier(self) -> u16 {
        match self {
            Self::Short(short) => short as u16,
            Self::Identifier(fid) => fid,
        }
    }
}

/// A file on its way.
struct Reading {
    bytes: Vec<u8>,
    /// Whether SELECT is still to be answered.
    selecting: bool,
}

impl Reading {
    /// The first command: by short identifier reading selects too.
    fn start(name: FileName) -> Result<(Vec<u8>, Self), DialogueError> {
        let (command, selecting) = match name {
            FileName::Short(short) => (read_binary(0x80 | short, 0)?, false),
            FileName::Identifier(fid) => {
                (CommandBuilder::new(0x00, 0xA4, 0x02, 0x0C).data(&fid.to_be_bytes()).encode()?, true)
            }
        };
        Ok((command, Self { bytes: Vec::new(), selecting }))
    }

    /// Takes one response; gives the next command, or `None` at the end of the file: fewer octets than
    /// asked for, 6282, or 6B00 where nothing is left.
    fn absorb(&mut self, step: Step, response: &[u8]) -> Result<Option<Vec<u8>>, DialogueError> {
        if self.selecting {
            step.done(response)?;
            self.selecting = false;
            return read_binary(0, 0).map(Some);
        }
        let response = step.response(response)?;
        match response.status {
            StatusWord::OK | StatusWord::END_OF_FILE => {}
            StatusWord::WRONG_OFFSET if !self.bytes.is_empty() => return Ok(None),
            refusal => return Err(step.refused(refusal)),
        }
        if response.data.len() > CHUNK || self.bytes.len() + response.data.len() > FILE_OCTETS_MAX {
            return Err(step.misbehaved(Misbehaviour::Length));
        }
        self.bytes.extend_from_slice(response.data);
        if response.data.len() < CHUNK || response.status == StatusWord::END_OF_FILE {
            return Ok(None);
        }
        let offset = u16::try_from(self.bytes.len()).map_err(|_| step.misbehaved(Misbehaviour::Length))?;
        let [high, low] = offset.to_be_bytes();
        read_binary(high, low).map(Some)
    }
}

/// READ BINARY of up to 256 octets.
fn read_binary(p1: u8, p2: u8) -> Result<Vec<u8>, DialogueError> {
    Ok(CommandBuilder::new(0x00, 0xB0, p1, p2).expect(256).encode()?)
}

/// What the information files said so far.
#[derive(Clone, Default)]
struct Found {
    pins: Option<FileName>,
    keys: Option<FileName>,
    certificates: Option<FileName>,
    /// Identifier of the PIN that opens the key, and of the key itself.
    pin_id: Option<Vec<u8>>,
    key_id: Vec<u8>,
    private_key: Option<FileName>,
    key_reference: Option<u8>,
    pin_reference: Option<u8>,
    certificate: Option<FileName>,
    certificate_der: Vec<u8>,
}

impl Found {
    fn read_directory(&mut self, file: &[u8]) -> Result<(), Pkcs15Error> {
        for entry in pkcs15::entries::<ObjectDirectory<'_>>(file) {
            let entry = entry?;
            let DirectoryContent::Path(path) = &entry.content else {
                continue;
            };
            let place = match entry.kind {
                DirectoryKind::AuthenticationObjects => &mut self.pins,
                DirectoryKind::PrivateKeys => &mut self.keys,
                DirectoryKind::Certificates => &mut self.certificates,
                _ => continue,
            };
            // The first of a kind: one application of the guideline has one of each (A.2.1).
            *place = place.or(FileName::of(path));
        }
        Ok(())
    }

    fn read_keys(&mut self, file: &[u8]) -> Result<(), Pkcs15Error> {
        for entry in pkcs15::entries::<PrivateKeyObject<'_>>(file) {
            if let PrivateKeyObject::Rsa(key) = entry?
                && key.modulus_length == 2_048
                && self.private_key.is_none()
            {
                self.private_key = FileName::of(&key.path);
                self.key_reference = key.key_reference.and_then(|reference| u8::try_from(reference).ok());
                self.pin_id = key.common.auth_id.map(<[u8]>::to_vec);
                self.key_id = key.id.to_vec();
            }
        }
        Ok(())
    }

    fn read_pins(&mut self, file: &[u8]) -> Result<(), Pkcs15Error> {
        for entry in pkcs15::entries::<AuthenticationObject<'_>>(file) {
            if let AuthenticationObject::Password(password) = entry?
                && (self.pin_id.is_none() || password.auth_id == self.pin_id.as_deref())
                && self.pin_reference.is_none()
            {
                self.pin_reference = Some(password.reference);
            }
        }
        Ok(())
    }

    fn read_certificates(&mut self, file: &[u8]) -> Result<(), Pkcs15Error> {
        for entry in pkcs15::entries::<CertificateObject<'_>>(file) {
            if let CertificateObject::X509(certificate) = entry?
                && certificate.id == self.key_id
                && let CertificateContent::Path(path) = &certificate.content
                && self.certificate.is_none()
            {
                self.certificate = FileName::of(path);
            }
        }
        Ok(())
    }

    /// Takes a file in; gives the name of the next one, if it is told by now.
    fn take(&mut self, which: Information, file: Vec<u8>) -> Option<FileName> {
        match which {
            Information::Directory => self.read_directory(&file).ok().and(self.keys),
            Information::Keys => self.read_keys(&file).ok().and(self.pins),
            Information::Pins => self.read_pins(&file).ok().and(self.certificates),
            Information::Certificates => self.read_certificates(&file).ok().and(self.certificate),
            Information::Certificate => {
                // A file may be longer than what it holds.
                let (object, _) = tlv::read_one(&file).ok()?;
                self.certificate_der = object.encoded.to_vec();
                (object.tag == Tag(0x30)).then_some(OBJECT_DIRECTORY)
            }
        }
    }
}

/// The files in the order in which one leads to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Information {
    Directory,
    Keys,
    Pins,
    Certificates,
    Certificate,
}

impl Information {
    const fn step(self) -> Step {
        match self {
            Self::Directory => READ_DIRECTORY,
            Self::Keys => READ_KEYS,
            Self::Pins => READ_PINS,
            Self::Certificates => READ_CERTIFICATES,
            Self::Certificate => READ_CERTIFICATE,
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Directory => Some(Self::Keys),
            Self::Keys => Some(Self::Pins),
            Self::Pins => Some(Self::Certificates),
            Self::Certificates => Some(Self::Certificate),
            Self::Certificate => None,
        }
    }
}

/// How the key is named to the card.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyName {
    /// `84` with the reference that the card's directory gives, or `81` with the file identifier.
    AsTold,
    /// `84` with the file identifier, as programs for issued cards do.
    IdentifierAsReference,
}

enum State {
    Selecting,
    Reading(Information, Reading),
    Presenting,
    Choosing(KeyName),
    SigningExtended,
    ChainBegun,
    ChainEnded,
}

/// The dialogue between two exchanges.
pub struct HpkiSign {
    state: State,
    pin: HpkiPin,
    block: [u8; RSA_OCTETS],
    found: Found,
}

impl fmt::Debug for HpkiSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Selecting => "HpkiSign(selecting)",
            State::Reading(..) => "HpkiSign(reading)",
            State::Presenting => "HpkiSign(presenting)",
            State::Choosing(_) => "HpkiSign(choosing)",
            State::SigningExtended | State::ChainBegun | State::ChainEnded => "HpkiSign(signing)",
        })
    }
}

impl HpkiSign {
    /// Begins: signs, with this application's key, a message whose SHA-256 is given.
    ///
    /// # Errors
    /// None that depends on the card; [`DialogueError::Input`] would be a fault in here.
    pub fn start(
        application: HpkiApplication,
        pin: HpkiPin,
        sha256: [u8; 32],
    ) -> Result<(Exchange, Box<Self>), DialogueError> {
        let digest_info = [&SHA256_PREFIX[..], &sha256].concat();
        let block = type_one_block(&digest_info)
            .map_err(|_| DialogueError::Input(crate::apdu::ApduError::TooLong))?;
        // With FCI, as programs for issued cards ask for it.
        let command = CommandBuilder::new(0x00, 0xA4, 0x04, 0x00);
        let command = command.data(&application.aid()).expect(256).encode()?;
        let dialogue = Self { state: State::Selecting, pin, block, found: Found::default() };
        Ok((SELECT.exchange(command), Box::new(dialogue)))
    }

    fn send(mut self: Box<Self>, step: Step, command: Vec<u8>, state: State) -> Progress {
        self.state = state;
        Progress::Send(step.exchange(command), self)
    }

    /// Takes the response to the last exchange.
    ///
    /// # Errors
    /// [`DialogueError::NotAnHpkiCard`]; [`DialogueError::SecretWrong`] with the tries left and
    /// [`DialogueError::SecretBlocked`] for the PIN; what the card refused or got wrong.
    pub fn step(mut self: Box<Self>, response: &[u8]) -> Result<Progress, DialogueError> {
        match std::mem::replace(&mut self.state, State::Selecting) {
            State::Selecting => {
                match SELECT.response(response)?.status {
                    StatusWord::OK => {}
                    StatusWord::NOT_FOUND => return Err(DialogueError::NotAnHpkiCard),
                    refusal => return Err(SELECT.refused(refusal)),
                }
                let (command, reading) = Reading::start(OBJECT_DIRECTORY)?;
                let state = State::Reading(Information::Directory, reading);
                Ok(self.send(READ_DIRECTORY, command, state))
            }
            State::Reading(which, reading) => self.read(which, reading, response),
            State::Presenting => {
                presented(response)?;
                let command = self.choose_key(KeyName::AsTold)?;
                Ok(self.send(CHOOSE_KEY, command, State::Choosing(KeyName::AsTold)))
            }
            State::Choosing(name) => self.chosen(name, response),
            State::SigningExtended => match SIGN.response(response)?.status {
                StatusWord::WRONG_LENGTH => {
                    let (first, _) = self.block.split_at(CHAIN_PIECE);
                    let command = CommandBuilder::new(0x10, 0x2A, 0x9E, 0x9A).data(first).encode()?;
                    Ok(self.send(SIGN, command, State::ChainBegun))
                }
                _ => self.signed(response),
            },
            State::ChainBegun => {
                SIGN.done(response)?;
                let (_, last) = self.block.split_at(CHAIN_PIECE);
                let command = CommandBuilder::new(0x00, 0x2A, 0x9E, 0x9A).data(last).expect(256).encode()?;
                Ok(self.send(SIGN, command, State::ChainEnded))
            }
            State::ChainEnded => self.signed(response),
        }
    }

    fn read(
        mut self: Box<Self>,
        which: Information,
        mut reading: Reading,
        response: &[u8],
    ) -> Result<Progress, DialogueError> {
        let step = which.step();
        if let Some(command) = reading.absorb(step, response)? {
            return Ok(self.send(step, command, State::Reading(which, reading)));
        }
        let told = self.found.take(which, reading.bytes);
        let next = told.ok_or_else(|| step.misbehaved(Misbehaviour::Malformed))?;
        let Some(which) = which.next() else {
            let reference = self.found.pin_reference.ok_or(READ_PINS.misbehaved(Misbehaviour::Malformed))?;
            let command = CommandBuilder::new(0x00, 0x20, 0x00, reference).data(self.pin.octets());
            let command = command.encode()?;
            return Ok(self.send(PRESENT, command, State::Presenting));
        };
        let (command, reading) = Reading::start(next)?;
        Ok(self.send(which.step(), command, State::Reading(which, reading)))
    }

    fn choose_key(&self, name: KeyName) -> Result<Vec<u8>, DialogueError> {
        let file = self.found.private_key.ok_or(READ_KEYS.misbehaved(Misbehaviour::Malformed))?;
        let identifier = file.as_identifier().to_be_bytes();
        let template = match (name, self.found.key_reference) {
            (KeyName::AsTold, Some(reference)) => tlv::encode(Tag(0x84), &[reference]),
            (KeyName::AsTold, None) => tlv::encode(Tag(0x81), &identifier),
            (KeyName::IdentifierAsReference, _) => tlv::encode(Tag(0x84), &identifier),
        };
        Ok(CommandBuilder::new(0x00, 0x22, 0x41, 0xB6).data(&template).encode()?)
    }

    fn chosen(self: Box<Self>, name: KeyName, response: &[u8]) -> Result<Progress, DialogueError> {
        match (CHOOSE_KEY.response(response)?.status, name) {
            (StatusWord::WRONG_DATA | StatusWord::REFERENCE_NOT_FOUND, KeyName::AsTold) => {
                let other = KeyName::IdentifierAsReference;
                let command = self.choose_key(other)?;
                Ok(self.send(CHOOSE_KEY, command, State::Choosing(other)))
            }
            _ => {
                CHOOSE_KEY.done(response)?;
                let command = CommandBuilder::new(0x00, 0x2A, 0x9E, 0x9A).data(&self.block);
                let command = command.expect(65_536).encode()?;
                Ok(self.send(SIGN, command, State::SigningExtended))
            }
        }
    }

    fn signed(self: Box<Self>, response: &[u8]) -> Result<Progress, DialogueError> {
        let signature = SIGN.exactly(SIGN.data(response)?)?;
        let certificate_der = self.found.certificate_der;
        Ok(Progress::Done(Box::new(HpkiSignature { signature, certificate_der })))
    }
}

/// What VERIFY answered.
fn presented(response: &[u8]) -> Result<(), DialogueError> {
    if PRESENT.response(response)?.status == METHOD_BLOCKED {
        return Err(DialogueError::SecretBlocked);
    }
    verified(PRESENT, response)
}
