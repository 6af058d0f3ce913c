//! Reading certificate files, for tools.

use super::der_file::{self, DerFile, Pieces};
use super::pin_sign::{PinProtected, verified};
use super::{DialogueError, Exchange, Step, jpki_selected, select_jpki};
use crate::my_number_card::SignPassword;
use std::collections::VecDeque;
use std::fmt;

const PRESENT: Step = Step::card("verify signature password");

/// A certificate file of the JPKI application.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CertificateFile {
    /// EF 000A, free.
    CardHolderAuth,
    /// EF 000B, free.
    CardHolderAuthIssuer,
    /// EF 0001, behind the signature password: carries name and address.
    DocumentSignature,
    /// EF 0002, free.
    DocumentSignatureIssuer,
}

impl CertificateFile {
    const fn short_identifier(self) -> u8 {
        match self {
            Self::CardHolderAuth => 0x0A,
            Self::CardHolderAuthIssuer => 0x0B,
            Self::DocumentSignature => 0x01,
            Self::DocumentSignatureIssuer => 0x02,
        }
    }

    const fn step(self) -> Step {
        Step::card(match self {
            Self::CardHolderAuth => "read authentication certificate",
            Self::CardHolderAuthIssuer => "read authentication issuer's certificate",
            Self::DocumentSignature => "read signature certificate",
            Self::DocumentSignatureIssuer => "read signature issuer's certificate",
        })
    }
}

/// What comes next.
pub enum Progress {
    /// Carry this command, and come back with its response.
    Send(Exchange, ReadCertificates),
    /// The files in the order they were asked for, DER.
    Done(Vec<(CertificateFile, Vec<u8>)>),
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(exchange, _) => f.debug_tuple("Send").field(exchange).finish_non_exhaustive(),
            Self::Done(files) => write!(f, "Done({} files)", files.len()),
        }
    }
}

enum State {
    Selecting,
    Presenting,
    Reading(CertificateFile, DerFile),
}

/// The dialogue between two exchanges.
pub struct ReadCertificates {
    state: State,
    password: Option<SignPassword>,
    wanted: VecDeque<CertificateFile>,
    read: Vec<(CertificateFile, Vec<u8>)>,
}

impl fmt::Debug for ReadCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadCertificates({} of {} read)", self.read.len(), self.read.len() + self.wanted.len())
    }
}

impl ReadCertificates {
    /// Begins: reads these files, after presenting the signature password if one is given.
    pub fn start(wanted: &[CertificateFile], password: Option<SignPassword>) -> (Exchange, Self) {
        let wanted = wanted.iter().copied().collect();
        (select_jpki(), Self { state: State::Selecting, password, wanted, read: Vec::new() })
    }

    /// Takes the response to the last exchange.
    pub fn step(mut self, response: &[u8]) -> Result<Progress, DialogueError> {
        match std::mem::replace(&mut self.state, State::Selecting) {
            State::Selecting => {
                jpki_selected(response)?;
                if let Some(password) = self.password.take() {
                    let command = PinProtected::DocumentSignature(password).verify_command()?;
                    self.state = State::Presenting;
                    return Ok(Progress::Send(PRESENT.exchange(command), self));
                }
            }
            State::Presenting => verified(PRESENT, response)?,
            State::Reading(which, mut file) => {
                let step = which.step();
                let more = file.absorb(step.data(response)?).map_err(|what| step.misbehaved(what))?;
                if let Some(next) = more {
                    self.state = State::Reading(which, file);
                    return Ok(Progress::Send(step.exchange(next), self));
                }
                self.read.push((which, file.into_bytes()));
            }
        }
        Ok(match self.wanted.pop_front() {
            Some(which) => {
                self.state = State::Reading(which, DerFile::default());
                let command = der_file::first_command(which.short_identifier(), Pieces::Short);
                Progress::Send(which.step().exchange(command), self)
            }
            None => Progress::Done(self.read),
        })
    }
}
