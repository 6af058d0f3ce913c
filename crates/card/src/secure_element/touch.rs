//! One touch, driven by the Secure Element: it says every command that the card gets, reads the
//! certificate, counts, proves the institution, has the statement signed once, checks the signature and
//! seals what it learnt. The terminal carries bytes.
//!
//! | module | speaks to the card |
//! |---|---|
//! | [`eac`] | inside a channel that ends here: nobody between reads the certificate or the signature |
//! | [`jicsap`] | in the clear, as cards do that have nothing else |
//!
//! The card's SecurityInfos decide: a card that has them is spoken to by `eac` and by nothing else. A
//! card without is spoken to by `jicsap` if the platform allows it, and the seal says so.
//!
//! In both, counter, use and the card's touch of today are counted in one change of the state, before
//! anything leaves that could bring a signature: with `jicsap` before the institution's proof, behind
//! which the terminal could have the card sign whatever it likes; with `eac` before the signature
//! command, since nobody but this Secure Element can make one in the channel.

mod eac;
mod jicsap;

use super::arming::{Arming, Grant};
use super::card_ledger::Room;
use super::state::Kept;
use super::touch_protocol::{TouchAnswer, TouchFailure, TouchFault, TouchStep, TouchTerms};
use super::{Reply, SecureElementImage, Session, tags};
use crate::apdu::{Answer, ApduError, CommandApdu, LengthForm, ResponseApdu, StatusWord};
use crate::dialogue::der_file::{DerFile, subject_public_key_info};
use crate::dialogue::{Misbehaviour, select_application, sign_digest_command};
use crate::my_number_card::jpki::{JPKI_AID, fid};
use crate::rsa_key::RSA_OCTETS;
use crate::tlv;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use eac::EacWay;
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
    way: Way,
    certificate: DerFile,
    certificate_sha256: [u8; 32],
    /// The statement, from the moment in which its counter was given out.
    statement: Option<TouchStatement>,
}

/// How this touch speaks to the card.
enum Way {
    /// By `jicsap`, or not known yet.
    Clear,
    /// By `eac`.
    Eac(EacWay),
}

impl fmt::Debug for Touch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Touch(at \"{}\")", self.step.name())
    }
}

/// Why there is no next command.
#[derive(Debug)]
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
        let mut touch = Touch {
            grant,
            terms,
            step: TouchStep::SelectApplication,
            way: Way::Clear,
            certificate: DerFile::default(),
            certificate_sha256: [0; 32],
            statement: None,
        };
        let answer = match self.first_command(&mut touch) {
            Ok(command) => {
                let step = touch.step;
                self.volatile.touch = Some(Box::new(touch));
                TouchAnswer::Send { step, command }
            }
            Err(End::Fault(fault)) => TouchAnswer::Failed(TouchFailure { step: touch.step, fault }),
            Err(End::Refused(status)) => return Err(status),
        };
        Ok(Answer::with(answer.encode()))
    }

    fn first_command(&self, touch: &mut Touch) -> Result<Vec<u8>, End> {
        if touch.allows(CardProfile::Eac) {
            let (way, command) = EacWay::begin(self.image, self.eac_chain(), touch)?;
            touch.way = Way::Eac(way);
            return Ok(command);
        }
        Ok(select_application(&JPKI_AID))
    }

    /// CONTINUE TOUCH with the card's response. 6985 without a touch, 6A84 when the arming was used up
    /// meanwhile.
    pub(super) fn continue_touch(&mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        check_frame(command)?;
        // Taken out: every way but "send" ends it.
        let mut touch = self.volatile.touch.take().ok_or(StatusWord::CONDITIONS)?;
        let response = tlv::read_single(command.data, tags::RESPONSE).map_err(|_| StatusWord::WRONG_DATA)?;
        let arming = &mut self.volatile.arming;
        let means = Means { image: self.image, kept: &mut *self.kept, arming, entropy };
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
    fn allows(&self, profile: CardProfile) -> bool {
        self.grant.terms.profiles.allows(profile)
    }

    /// Takes the card's response to the step at hand.
    fn absorb(&mut self, response: &[u8], means: Means<'_>) -> Result<Next, End> {
        // Without a status word it was not the card that answered: it is gone.
        let plain = ResponseApdu::parse(response).map_err(|_| Misbehaviour::NoStatusWord)?;
        match std::mem::replace(&mut self.way, Way::Clear) {
            Way::Clear => self.absorb_in_the_clear(&plain, means),
            Way::Eac(way) => self.absorb_by_eac(way, response, means),
        }
    }

    /// The certificate is whole: which card it is.
    fn know_card(&mut self) {
        let hash = digest(&SHA256, self.certificate.bytes());
        self.certificate_sha256 = hash.as_ref().first_chunk().copied().unwrap_or_default();
    }

    fn check_room(&self, kept: &Kept) -> Result<(), End> {
        let limit = self.grant.terms.touches_per_card_and_day;
        match kept.get().ledger.room(&self.certificate_sha256, self.terms.time, limit) {
            Room::Left => Ok(()),
            Room::UsedUp => Err(TouchFault::TouchesUsedUp.into()),
        }
    }

    /// Counts: whatever happens next, this counter value, this use and this card's touch are never given
    /// out again.
    fn count(&mut self, means: &mut Means<'_>) -> Result<(), End> {
        self.check_room(means.kept)?;
        let used_up = End::Refused(StatusWord::USES_EXHAUSTED);
        let Some(counter) = means.kept.get().counter.checked_add(1) else { return Err(used_up) };
        means.arming.spend().ok_or(used_up)?;
        let state = means.kept.change();
        state.counter = counter;
        state.ledger.count(&self.certificate_sha256, self.terms.time, means.entropy);
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

    /// The command for the one signature.
    fn signature_command(&self) -> Result<Vec<u8>, End> {
        let hash = digest(&SHA256, &self.statement()?.1);
        Ok(sign_digest_command(short_reference(fid::AUTH_KEY), hash.as_ref())?)
    }

    /// Checks the card's signature before anybody relies on it: a card that signs wrongly is found at
    /// the desk, not at the platform. Then seals.
    fn seal(&self, signature: &[u8; RSA_OCTETS], profile: CardProfile) -> Result<Next, End> {
        let (statement, encoded) = self.statement()?;
        let auth_certificate = self.certificate.bytes();
        let spki = subject_public_key_info(auth_certificate).ok_or(Misbehaviour::Malformed)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki)
            .verify(&encoded, signature)
            .map_err(|_| Misbehaviour::Signature)?;
        let evidence = Evidence { profile, signature, auth_certificate };
        let sealed =
            self.grant.sealing.seal(statement, &evidence).map_err(|_| End::Refused(StatusWord::INTERNAL))?;
        let evidence_key = self.grant.evidence_key;
        Ok(Next::Done(TouchAnswer::Done { statement: Box::new(encoded), sealed, evidence_key }))
    }
}

impl Drop for Touch {
    /// The certificate is the holder's.
    fn drop(&mut self) {
        let taken = std::mem::take(&mut self.certificate).into_bytes();
        drop(Zeroizing::new(taken));
    }
}
