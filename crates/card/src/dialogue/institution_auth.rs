//! One touch: the institution proves itself to the card, and the card signs the touch statement once
//! (report fig. 2, profile `jicsap`).
//!
//! | # | to | step | command |
//! |---|---|---|---|
//! | 1 | card | select JPKI-AP | `00 A4 04 0C` |
//! | 2 | SE | fetch accredited body's certificate | `80 CA 7F 21 {0}` |
//! | 3 | SE | fetch terminal certificate | `80 CA 7F 21 {1}` |
//! | 4 | card | select terminal root | `00 A4 02 0C 0016` |
//! | 5, 6 | card | load accredited body's certificate, its signature | `80 A2 06 C1`, `80 A2 00 C1` |
//! | 7, 8 | card | load terminal certificate, its signature | the same |
//! | 9 | card | get challenge | `00 84 00 00 10` |
//! | 10 | SE | prove institution | `00 88 00 81` |
//! | 11 | card | external authenticate | `00 82 00 00` |
//! | 12… | card | read authentication certificate | `00 B0`, one command for every 256 octets |
//! | last | card | sign statement | `80 2A 02 97` |

use super::der_file::{self, DerFile, subject_public_key_info};
use super::{
    DialogueError, Exchange, Misbehaviour, SELECT_JPKI, Step, jpki_selected, select_jpki, sign_digest_command,
};
use crate::apdu::CommandBuilder;
use crate::cvc::{CVC_LEN, Cvc};
use crate::my_number_card::jpki::{CHALLENGE_LEN, fid};
use crate::rsa_key::RSA_OCTETS;
use crate::secure_element::{parse_proof, tags};
use crate::tlv;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use protocol::ids::{InstitutionCode, TerminalKeyHash};
use protocol::statement::{FreshnessNonce, Purposes, STATEMENT_LEN, TouchMode, TouchStatement};
use protocol::time::UnixSeconds;
use std::fmt;

/// What the terminal knows when the patient has pressed OK.
#[derive(Clone, Debug)]
pub struct TouchInput {
    /// What the patient agreed to.
    pub purposes: Purposes,
    /// How the Secure Element was armed.
    pub mode: TouchMode,
    /// Who asks.
    pub institution: InstitutionCode,
    /// The terminal, by its TLS key.
    pub terminal_key_hash: TerminalKeyHash,
    /// The platform's freshness.
    pub nonce: FreshnessNonce,
    /// SHA-256 of the consent text as shown.
    pub consent_text_hash: [u8; 32],
    /// When; must lie between the arming's issue and its end.
    pub time: UnixSeconds,
}

/// What a touch yields.
#[derive(Clone, PartialEq, Eq)]
pub struct TouchEvidence {
    /// The encoded [`TouchStatement`].
    pub statement: [u8; STATEMENT_LEN],
    /// The card's PKCS#1 v1.5 SHA-256 signature over it, 256 octets; checked against the certificate.
    pub signature: Vec<u8>,
    /// The card-holder authentication certificate, DER; not validated.
    pub auth_certificate: Vec<u8>,
    /// How many signatures the card was asked for: always 1.
    pub card_signatures: u32,
}

impl fmt::Debug for TouchEvidence {
    /// The certificate carries the serial, and the signature identifies the key: neither is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TouchEvidence(card_signatures: {}, …)", self.card_signatures)
    }
}

/// What comes next.
#[derive(Debug)]
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, InstitutionAuth),
    /// The touch is done. "Take your card."
    Done(TouchEvidence),
}

/// Everything that is done, in order. Each row is done once, the reading as often as needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    SelectApplication,
    FetchIntermediate,
    FetchLeaf,
    SelectTerminalRoot,
    LoadIntermediate,
    LoadIntermediateSignature,
    LoadLeaf,
    LoadLeafSignature,
    GetChallenge,
    ProveInstitution,
    ExternalAuthenticate,
    ReadCertificate,
    SignStatement,
}

impl Work {
    const fn step(self) -> Step {
        match self {
            Self::SelectApplication => SELECT_JPKI,
            Self::FetchIntermediate => Step::secure_element("fetch accredited body's certificate"),
            Self::FetchLeaf => Step::secure_element("fetch terminal certificate"),
            Self::SelectTerminalRoot => Step::card("select terminal root"),
            Self::LoadIntermediate => Step::card("load accredited body's certificate"),
            Self::LoadIntermediateSignature => Step::card("load accredited body's certificate signature"),
            Self::LoadLeaf => Step::card("load terminal certificate"),
            Self::LoadLeafSignature => Step::card("load terminal certificate signature"),
            Self::GetChallenge => Step::card("get challenge"),
            Self::ProveInstitution => Step::secure_element("prove institution"),
            Self::ExternalAuthenticate => Step::card("external authenticate"),
            Self::ReadCertificate => Step::card("read authentication certificate"),
            Self::SignStatement => Step::card("sign statement"),
        }
    }

    /// The row below. The last row ends the dialogue and has none.
    const fn next(self) -> Self {
        match self {
            Self::SelectApplication => Self::FetchIntermediate,
            Self::FetchIntermediate => Self::FetchLeaf,
            Self::FetchLeaf => Self::SelectTerminalRoot,
            Self::SelectTerminalRoot => Self::LoadIntermediate,
            Self::LoadIntermediate => Self::LoadIntermediateSignature,
            Self::LoadIntermediateSignature => Self::LoadLeaf,
            Self::LoadLeaf => Self::LoadLeafSignature,
            Self::LoadLeafSignature => Self::GetChallenge,
            Self::GetChallenge => Self::ProveInstitution,
            Self::ProveInstitution => Self::ExternalAuthenticate,
            Self::ExternalAuthenticate => Self::ReadCertificate,
            Self::ReadCertificate | Self::SignStatement => Self::SignStatement,
        }
    }
}

/// A certificate cut into the data of its two loading commands.
#[derive(Clone, Default)]
struct Link {
    body: Vec<u8>,
    signature: Vec<u8>,
}

impl Link {
    fn parse(step: Step, data: &[u8]) -> Result<Self, DialogueError> {
        let link = Cvc::parse(data).map_err(|_| step.misbehaved(Misbehaviour::Malformed))?;
        Ok(Self { body: link.load_body(), signature: link.load_signature() })
    }
}

/// What was learnt on the way.
struct Touch {
    input: TouchInput,
    intermediate: Link,
    leaf: Link,
    challenge: [u8; CHALLENGE_LEN],
    proof: Vec<u8>,
    statement: [u8; STATEMENT_LEN],
    certificate: DerFile,
    /// The next READ BINARY, while there is one.
    next_read: Vec<u8>,
}

/// The dialogue between two exchanges.
#[doc(alias = "機関認証")]
pub struct InstitutionAuth {
    /// The row whose response comes next.
    work: Work,
    touch: Box<Touch>,
}

impl fmt::Debug for InstitutionAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstitutionAuth(at \"{}\")", self.work.step().name)
    }
}

/// Whether a row is finished.
enum Row {
    Again,
    Finished,
    Signed(TouchEvidence),
}

impl InstitutionAuth {
    /// Begins a touch. Call it after OK: the card's key is used within.
    pub fn start(input: TouchInput) -> (Exchange, Self) {
        let touch = Touch {
            input,
            intermediate: Link::default(),
            leaf: Link::default(),
            challenge: [0; CHALLENGE_LEN],
            proof: Vec::new(),
            statement: [0; STATEMENT_LEN],
            certificate: DerFile::default(),
            next_read: der_file::first_command(short_reference(fid::AUTH_CERTIFICATE)),
        };
        (select_jpki(), Self { work: Work::SelectApplication, touch: Box::new(touch) })
    }

    /// Takes the response to the last exchange.
    pub fn step(mut self, response: &[u8]) -> Result<Progress, DialogueError> {
        match self.touch.absorb(self.work, response)? {
            Row::Again => {}
            Row::Finished => self.work = self.work.next(),
            Row::Signed(evidence) => return Ok(Progress::Done(evidence)),
        }
        let command = self.touch.command(self.work)?;
        Ok(Progress::Send(self.work.step().exchange(command), self))
    }
}

fn short_reference(identifier: u16) -> u8 {
    // The JPKI application's files have their identifiers as short ones.
    let [_, low] = identifier.to_be_bytes();
    low & 0x1F
}

impl Touch {
    fn command(&mut self, work: Work) -> Result<Vec<u8>, DialogueError> {
        let certificate_ne = u32::try_from(CVC_LEN).unwrap_or(65_536);
        let builder = match work {
            Work::SelectApplication => return Ok(select_jpki().command),
            Work::FetchIntermediate => {
                CommandBuilder::new(0x80, 0xCA, 0x7F, 0x21).data(&[0]).expect(certificate_ne)
            }
            Work::FetchLeaf => CommandBuilder::new(0x80, 0xCA, 0x7F, 0x21).data(&[1]).expect(certificate_ne),
            Work::SelectTerminalRoot => {
                let identifier = fid::TERMINAL_ROOT.to_be_bytes();
                return Ok(CommandBuilder::new(0x00, 0xA4, 0x02, 0x0C).data(&identifier).encode()?);
            }
            Work::LoadIntermediate => {
                CommandBuilder::new(0x80, 0xA2, 0x06, 0xC1).data(&self.intermediate.body)
            }
            Work::LoadIntermediateSignature => {
                CommandBuilder::new(0x80, 0xA2, 0x00, 0xC1).data(&self.intermediate.signature)
            }
            Work::LoadLeaf => CommandBuilder::new(0x80, 0xA2, 0x06, 0xC1).data(&self.leaf.body),
            Work::LoadLeafSignature => CommandBuilder::new(0x80, 0xA2, 0x00, 0xC1).data(&self.leaf.signature),
            Work::GetChallenge => CommandBuilder::new(0x00, 0x84, 0x00, 0x00).expect(16),
            Work::ProveInstitution => return self.prove_institution_command(),
            Work::ExternalAuthenticate => CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(&self.proof),
            Work::ReadCertificate => return Ok(std::mem::take(&mut self.next_read)),
            Work::SignStatement => {
                let hash = digest(&SHA256, &self.statement);
                return sign_digest_command(short_reference(fid::AUTH_KEY), hash.as_ref());
            }
        };
        Ok(builder.encode()?)
    }

    fn prove_institution_command(&self) -> Result<Vec<u8>, DialogueError> {
        let mut inner = tlv::encode(tags::CHALLENGE_OR_COUNTER, &self.challenge);
        tlv::write(&mut inner, tags::CONSENT_OR_SIGNATURE, &self.input.consent_text_hash);
        tlv::write(&mut inner, tags::TIME, &self.input.time.0.to_be_bytes());
        let data = tlv::encode(tags::DYNAMIC, &inner);
        // Counter and signature are 274 octets: the extended form.
        Ok(CommandBuilder::new(0x00, 0x88, 0x00, 0x81).data(&data).expect(65_536).encode()?)
    }

    fn absorb(&mut self, work: Work, response: &[u8]) -> Result<Row, DialogueError> {
        let step = work.step();
        if work == Work::SelectApplication {
            jpki_selected(response)?;
            return Ok(Row::Finished);
        }
        let data = step.data(response)?;
        match work {
            Work::FetchIntermediate => self.intermediate = Link::parse(step, data)?,
            Work::FetchLeaf => self.leaf = Link::parse(step, data)?,
            Work::GetChallenge => self.challenge = step.exactly(data)?,
            Work::ProveInstitution => {
                let (counter, proof) = parse_proof(data).ok_or(step.misbehaved(Misbehaviour::Malformed))?;
                self.proof = proof.to_vec();
                self.statement = self.input.statement(counter).encode();
            }
            Work::ReadCertificate => {
                if let Some(next) = self.certificate.absorb(step, data)? {
                    self.next_read = next;
                    return Ok(Row::Again);
                }
            }
            Work::SignStatement => return self.evidence(step, data).map(Row::Signed),
            _ => step.nothing(data)?,
        }
        Ok(Row::Finished)
    }

    /// Checks the card's signature before anybody relies on it: a card that signs wrongly is found at
    /// the desk, not at the platform.
    fn evidence(&mut self, step: Step, data: &[u8]) -> Result<TouchEvidence, DialogueError> {
        let signature: [u8; RSA_OCTETS] = step.exactly(data)?;
        let auth_certificate = std::mem::take(&mut self.certificate).into_bytes();
        let spki =
            subject_public_key_info(&auth_certificate).ok_or(step.misbehaved(Misbehaviour::Malformed))?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki)
            .verify(&self.statement, &signature)
            .map_err(|_| step.misbehaved(Misbehaviour::Signature))?;
        Ok(TouchEvidence {
            statement: self.statement,
            signature: signature.to_vec(),
            auth_certificate,
            card_signatures: 1,
        })
    }
}

impl TouchInput {
    /// The statement with the Secure Element's counter.
    fn statement(&self, counter: u64) -> TouchStatement {
        TouchStatement {
            mode: self.mode,
            purposes: self.purposes,
            institution: self.institution,
            terminal_key_hash: self.terminal_key_hash,
            nonce: self.nonce,
            counter,
            consent_text_hash: self.consent_text_hash,
            time: self.time,
        }
    }
}
