//! One touch, driven by the Secure Element: it says every command that the card gets, reads the
//! certificate, counts, proves the institution, has the statement signed once, checks the signature and
//! seals what it learnt. The terminal carries bytes.
//!
//! | # | step | command | |
//! |---|---|---|---|
//! | 1 | select JPKI-AP | `00 A4 04 0C` | |
//! | 2… | read authentication certificate | `00 B0`, one for every 256 octets | then: has this card a touch left today? |
//! | 3 | select terminal root | `00 A4 02 0C 0016` | |
//! | 4, 5 | load accredited body's certificate, its signature | `80 A2 06 C1`, `80 A2 00 C1` | |
//! | 6, 7 | load terminal certificate, its signature | the same | |
//! | 8 | get challenge | `00 84 00 00 10` | then: counter, use and card are counted, before the key is used |
//! | 9 | external authenticate | `00 82 00 00` | |
//! | 10 | sign statement | `80 2A 02 97` | then: the signature is checked, and everything sealed |
//!
//! The certificate is read first, although the real order is not known to matter: so a card that has had
//! its touches never sees the institution's proof.

use super::arming::{Arming, Grant};
use super::card_ledger::Room;
use super::state::Kept;
use super::touch_protocol::{TouchAnswer, TouchFailure, TouchFault, TouchStep, TouchTerms};
use super::{Reply, SecureElementImage, Session, tags};
use crate::apdu::{Answer, ApduError, CommandApdu, CommandBuilder, LengthForm, ResponseApdu, StatusWord};
use crate::dialogue::der_file::{self, DerFile, subject_public_key_info};
use crate::dialogue::{Misbehaviour, select_application, sign_digest_command};
use crate::external_authenticate_bytes;
use crate::my_number_card::jpki::{CHALLENGE_LEN, JPKI_AID, fid};
use crate::rsa_key::RSA_OCTETS;
use crate::tlv;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use protocol::answer::CardProfile;
use protocol::entropy::Entropy;
use protocol::sealed_evidence::Evidence;
use protocol::statement::{STATEMENT_LEN, TouchStatement};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A touch between two responses of the card. Dropped with everything it learnt when another one begins,
/// when it ends, and at power-off.
pub(super) struct Touch {
    grant: Arc<Grant>,
    terms: TouchTerms,
    /// The step whose response comes next.
    step: TouchStep,
    certificate: DerFile,
    certificate_sha256: [u8; 32],
    /// The statement, from the moment in which its counter was given out.
    statement: Option<TouchStatement>,
}

impl fmt::Debug for Touch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Touch(at \"{}\")", self.step.name())
    }
}

/// Why there is no next command.
enum End {
    /// For the terminal: `8F`.
    Fault(TouchFault),
    /// The Secure Element itself cannot go on: a status word.
    Refused(StatusWord),
}

impl From<TouchFault> for End {
    fn from(fault: TouchFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Misbehaviour> for End {
    fn from(what: Misbehaviour) -> Self {
        Self::Fault(TouchFault::CardMisbehaved(what))
    }
}

impl From<ApduError> for End {
    fn from(_: ApduError) -> Self {
        // Every command here has a length that is known beforehand.
        Self::Refused(StatusWord::INTERNAL)
    }
}

/// What comes after a response.
enum Next {
    Send(TouchStep, Vec<u8>),
    Done(TouchAnswer),
}

/// What a touch works with.
struct Means<'a> {
    image: &'a SecureElementImage,
    kept: &'a mut Kept,
    arming: &'a mut Arming,
    entropy: &'a mut dyn Entropy,
}

impl Session<'_> {
    /// BEGIN TOUCH. 6985 locked or outside the arming's time, 6A84 used up, 6A80 no consent or otherwise
    /// malformed. Nothing is counted yet.
    #[doc(alias = "機関認証")]
    pub(super) fn begin_touch(&mut self, command: &CommandApdu<'_>) -> Reply {
        // Whatever was going on is over: one card lies on the reader.
        self.volatile.touch = None;
        check_frame(command)?;
        let grant = Arc::clone(self.volatile.arming.grant().ok_or(StatusWord::CONDITIONS)?);
        let terms = TouchTerms::parse(command.data).ok_or(StatusWord::WRONG_DATA)?;
        let state = self.kept.get();
        if terms.time < state.time_floor || terms.time < grant.from || terms.time > grant.until {
            return Err(StatusWord::CONDITIONS);
        }
        if self.volatile.arming.uses_left() == 0 || state.counter == u64::MAX {
            return Err(StatusWord::USES_EXHAUSTED);
        }
        let touch = Touch {
            grant,
            terms,
            step: TouchStep::SelectApplication,
            certificate: DerFile::default(),
            certificate_sha256: [0; 32],
            statement: None,
        };
        let answer = TouchAnswer::Send { step: touch.step, command: select_application(&JPKI_AID) };
        self.volatile.touch = Some(Box::new(touch));
        Ok(Answer::with(answer.encode()))
    }

    /// CONTINUE TOUCH with the card's response. 6985 without a touch, 6A84 when the arming was used up
    /// meanwhile.
    pub(super) fn continue_touch(&mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        check_frame(command)?;
        // Taken out: every way but "send" ends it.
        let mut touch = self.volatile.touch.take().ok_or(StatusWord::CONDITIONS)?;
        let response = tlv::read_single(command.data, tags::RESPONSE).map_err(|_| StatusWord::WRONG_DATA)?;
        let means =
            Means { image: self.image, kept: &mut *self.kept, arming: &mut self.volatile.arming, entropy };
        let answer = match touch.absorb(response, means) {
            Ok(Next::Send(step, command)) => {
                touch.step = step;
                self.volatile.touch = Some(touch);
                TouchAnswer::Send { step, command }
            }
            Ok(Next::Done(answer)) => answer,
            Err(End::Fault(fault)) => TouchAnswer::Failed(TouchFailure { step: touch.step, fault }),
            Err(End::Refused(status)) => return Err(status),
        };
        Ok(Answer::with(answer.encode()))
    }
}

/// P1, P2 zero; and room for whatever the answer will be, so that nothing is counted for an answer that
/// cannot go out.
const fn check_frame(command: &CommandApdu<'_>) -> Result<(), StatusWord> {
    if command.p1 != 0 || command.p2 != 0 {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    match command.form {
        LengthForm::Extended if command.expects_everything() => Ok(()),
        _ => Err(StatusWord::WRONG_LENGTH),
    }
}

fn short_reference(identifier: u16) -> u8 {
    // The JPKI application's files have their identifiers as short ones.
    let [_, low] = identifier.to_be_bytes();
    low & 0x1F
}

/// There must be exactly `N` octets.
fn exactly<const N: usize>(data: &[u8]) -> Result<&[u8; N], End> {
    data.try_into().map_err(|_| Misbehaviour::Length.into())
}

impl Touch {
    /// Takes the card's response to the step at hand.
    fn absorb(&mut self, response: &[u8], means: Means<'_>) -> Result<Next, End> {
        let response = ResponseApdu::parse(response).map_err(|_| Misbehaviour::NoStatusWord)?;
        let data = match response.status {
            StatusWord::OK => response.data,
            StatusWord::NOT_FOUND if self.step == TouchStep::SelectApplication => {
                return Err(TouchFault::WrongCard.into());
            }
            status => return Err(TouchFault::CardRefused(status).into()),
        };
        match self.step {
            TouchStep::ReadCertificate => self.read_on(data, &means),
            TouchStep::GetChallenge => self.prove_institution(exactly(data)?, means),
            TouchStep::SignStatement => self.seal(exactly(data)?),
            _ if !data.is_empty() => Err(Misbehaviour::Length.into()),
            TouchStep::SelectApplication => {
                let first = der_file::first_command(short_reference(fid::AUTH_CERTIFICATE));
                Ok(Next::Send(TouchStep::ReadCertificate, first))
            }
            TouchStep::SelectTerminalRoot => {
                load(TouchStep::LoadIntermediate, 0x06, &means.image.chain.intermediate.load_body())
            }
            TouchStep::LoadIntermediate => load(
                TouchStep::LoadIntermediateSignature,
                0x00,
                &means.image.chain.intermediate.load_signature(),
            ),
            TouchStep::LoadIntermediateSignature => {
                load(TouchStep::LoadLeaf, 0x06, &means.image.chain.leaf.load_body())
            }
            TouchStep::LoadLeaf => {
                load(TouchStep::LoadLeafSignature, 0x00, &means.image.chain.leaf.load_signature())
            }
            TouchStep::LoadLeafSignature => {
                let command = CommandBuilder::new(0x00, 0x84, 0x00, 0x00).expect(16).encode()?;
                Ok(Next::Send(TouchStep::GetChallenge, command))
            }
            TouchStep::ExternalAuthenticate => self.have_signed(),
        }
    }

    /// The certificate, piece by piece; when it is whole, its card must have a touch left.
    fn read_on(&mut self, data: &[u8], means: &Means<'_>) -> Result<Next, End> {
        if let Some(next) = self.certificate.absorb(data)? {
            return Ok(Next::Send(TouchStep::ReadCertificate, next));
        }
        let hash = digest(&SHA256, self.certificate.bytes());
        self.certificate_sha256 = hash.as_ref().first_chunk().copied().unwrap_or_default();
        self.check_room(means.kept)?;
        if !self.grant.terms.profiles.allows(CardProfile::Jicsap) {
            return Err(TouchFault::ProfileNotAllowed.into());
        }
        let identifier = fid::TERMINAL_ROOT.to_be_bytes();
        let command = CommandBuilder::new(0x00, 0xA4, 0x02, 0x0C).data(&identifier).encode()?;
        Ok(Next::Send(TouchStep::SelectTerminalRoot, command))
    }

    fn check_room(&self, kept: &Kept) -> Result<(), End> {
        let limit = self.grant.terms.touches_per_card_and_day;
        match kept.get().ledger.room(&self.certificate_sha256, self.terms.time, limit) {
            Room::Left => Ok(()),
            Room::UsedUp => Err(TouchFault::TouchesUsedUp.into()),
        }
    }

    /// Counts, then signs the card's challenge: whatever happens next, this counter value, this use and
    /// this card's touch are never given out again.
    fn prove_institution(&mut self, challenge: &[u8; CHALLENGE_LEN], means: Means<'_>) -> Result<Next, End> {
        self.count(means.kept, means.arming, means.entropy)?;
        let leaf = means.image.chain.leaf.body().subject.reference();
        let proof = means
            .image
            .institution_key
            .sign_sha256(&external_authenticate_bytes(challenge, &leaf))
            .map_err(|_| End::Refused(StatusWord::INTERNAL))?;
        let command = CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(&proof).encode()?;
        Ok(Next::Send(TouchStep::ExternalAuthenticate, command))
    }

    fn count(&mut self, kept: &mut Kept, arming: &mut Arming, entropy: &mut dyn Entropy) -> Result<(), End> {
        self.check_room(kept)?;
        let used_up = End::Refused(StatusWord::USES_EXHAUSTED);
        let Some(counter) = kept.get().counter.checked_add(1) else { return Err(used_up) };
        arming.spend().ok_or(used_up)?;
        let state = kept.change();
        state.counter = counter;
        state.ledger.count(&self.certificate_sha256, self.terms.time, entropy);
        self.statement = Some(TouchStatement {
            mode: self.grant.mode,
            purposes: self.terms.purposes,
            institution: self.terms.institution,
            terminal_key_hash: self.grant.terms.terminal_key_hash,
            nonce: self.terms.nonce,
            counter,
            consent_text_hash: self.terms.consent_text_hash,
            time: self.terms.time,
        });
        Ok(())
    }

    /// The statement's bytes; there are none before the counter was given out.
    fn statement(&self) -> Result<(&TouchStatement, [u8; STATEMENT_LEN]), End> {
        let statement = self.statement.as_ref().ok_or(End::Refused(StatusWord::INTERNAL))?;
        Ok((statement, statement.encode()))
    }

    fn have_signed(&self) -> Result<Next, End> {
        let hash = digest(&SHA256, &self.statement()?.1);
        let command = sign_digest_command(short_reference(fid::AUTH_KEY), hash.as_ref())?;
        Ok(Next::Send(TouchStep::SignStatement, command))
    }

    /// Checks the card's signature before anybody relies on it: a card that signs wrongly is found at
    /// the desk, not at the platform. Then seals.
    fn seal(&self, signature: &[u8; RSA_OCTETS]) -> Result<Next, End> {
        let (statement, encoded) = self.statement()?;
        let auth_certificate = self.certificate.bytes();
        let spki = subject_public_key_info(auth_certificate).ok_or(Misbehaviour::Malformed)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki)
            .verify(&encoded, signature)
            .map_err(|_| Misbehaviour::Signature)?;
        let evidence = Evidence { profile: CardProfile::Jicsap, signature, auth_certificate };
        let sealed =
            self.grant.sealing.seal(statement, &evidence).map_err(|_| End::Refused(StatusWord::INTERNAL))?;
        let evidence_key = self.grant.evidence_key;
        Ok(Next::Done(TouchAnswer::Done { statement: Box::new(encoded), sealed, evidence_key }))
    }
}

/// One half of a terminal certificate.
fn load(step: TouchStep, p1: u8, half: &[u8]) -> Result<Next, End> {
    Ok(Next::Send(step, CommandBuilder::new(0x80, 0xA2, p1, 0xC1).data(half).encode()?))
}

impl Drop for Touch {
    /// The certificate is the holder's.
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.certificate).into_bytes();
        drop(Zeroizing::new(taken));
    }
}
