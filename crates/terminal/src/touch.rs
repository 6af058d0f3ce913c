//! What is said to the card: the look at its kind before OK, the touch after it.
//!
//! This is the only file of the room that names `institution_auth`, the dialogue that uses the card's key,
//! and [`sign`] takes a [`Consent`] by value. A test reads the sources and holds both to it.

use crate::check_in::{CardKind, Consent, Progress as Shown, WorkStep};
use crate::custody::Custody;
use crate::error::{of_channel, of_dialogue};
use crate::report::{StepPlace, Tally};
use aws_lc_rs::digest::{SHA256, digest};
use card::dialogue::institution_auth::{InstitutionAuth, Progress, SealedTouch, is_signature};
use card::dialogue::recognise::{Progress as Look, Recognise, RecognisedCard};
use card::dialogue::{Exchange, Party};
use card::secure_element::touch_protocol::TouchTerms;
use card_io::CardChannel;
use protocol::consent::ConsentText;
use protocol::ids::InstitutionCode;
use protocol::problem::{Problem, ProblemCode};
use protocol::statement::{FreshnessNonce, Purposes};
use protocol::time::UnixSeconds;
use std::time::Instant;

/// What this terminal asks for.
pub const PURPOSES: Purposes = Purposes::ELIGIBILITY;
/// Exchanges with card and Secure Element in a usual touch: ten steps of the card, of which the reading of a
/// certificate of 1,300 to 1,800 octets takes about seven commands, and the Secure Element's word before and
/// after each. Only the bar depends on it.
const EXCHANGES_USUAL: u32 = 33;
/// What waiting for the platform's freshness, and for its answer, counts for on the bar.
const FRESHNESS: u32 = 6;
const ANSWER: u32 = 15;
/// Steps of the whole work.
const STEPS: u32 = FRESHNESS + EXCHANGES_USUAL + ANSWER;

/// What the screen shows while the platform's freshness is waited for.
pub(crate) const WAITING_FOR_FRESHNESS: Shown =
    Shown { step: WorkStep::Freshness, done: 0, next: FRESHNESS, of: STEPS };
const WAITING_FOR_ANSWER: Shown =
    Shown { step: WorkStep::PlatformAnswer, done: STEPS - ANSWER, next: STEPS, of: STEPS };

/// The exchange after `exchanges` of them.
fn exchanging(step: WorkStep, exchanges: u32) -> Shown {
    let done = FRESHNESS + exchanges.min(EXCHANGES_USUAL - 1);
    Shown { step, done, next: done + 1, of: STEPS }
}

/// SHA-256 of the consent text as it goes under the card's signature.
pub fn consent_text_hash(text: &ConsentText) -> [u8; 32] {
    sha256(&text.canonical_bytes())
}

/// SHA-256, as an array.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

/// Says which card lies there. SELECT commands only: no key, no PIN, no file is touched.
///
/// # Errors
/// The card's or the reader's problem.
pub fn recognise(channel: &mut dyn CardChannel, tally: &mut Tally) -> Result<CardKind, Box<Problem>> {
    let (mut exchange, mut dialogue) = Recognise::start();
    loop {
        let response = to_card(channel, &exchange, tally)?;
        match dialogue.step(&response).map_err(|error| of_dialogue(&error))? {
            Look::Send(next, rest) => (exchange, dialogue) = (next, rest),
            Look::Done(kind) => {
                return Ok(match kind {
                    RecognisedCard::MyNumberCard => CardKind::MyNumberCard,
                    RecognisedCard::HpkiCard => CardKind::HpkiCard,
                    RecognisedCard::ResidentRegisterCard => CardKind::BasicResidentRegisterCard,
                    RecognisedCard::Unknown => CardKind::Unknown,
                });
            }
        }
    }
}

/// What a touch needs besides the patient's OK. Which terminal this is, the Secure Element knows from its
/// arming.
#[derive(Clone, Debug)]
pub struct TouchContext {
    /// Who asks, as the platform said at power-on.
    pub institution: InstitutionCode,
    /// The platform's freshness.
    pub nonce: FreshnessNonce,
    /// The time of the touch, by the platform's clock.
    pub time: UnixSeconds,
}

/// The touch itself: the institution proves itself, the card signs once. The only way here leads through
/// the patient's OK, which is spent by it. This side carries bytes and looks into none.
///
/// # Errors
/// The problem of whoever did not do its part: card, reader or Secure Element.
pub fn sign(
    consent: Consent,
    context: TouchContext,
    channel: &mut dyn CardChannel,
    custody: &Custody,
    tally: &mut Tally,
    mut on_step: impl FnMut(Shown),
) -> Result<SealedTouch, Box<Problem>> {
    let terms = TouchTerms {
        purposes: PURPOSES,
        institution: context.institution,
        nonce: context.nonce,
        consent_text_hash: consent_text_hash(consent.text()),
        time: context.time,
    };
    let (mut exchange, mut dialogue) = InstitutionAuth::start(terms).map_err(|error| of_dialogue(&error))?;
    let mut done = 0;
    loop {
        let step = if is_signature(&exchange) { WorkStep::CardSignature } else { WorkStep::InstitutionProof };
        on_step(exchanging(step, done));
        let response = match exchange.to {
            Party::Card => to_card(channel, &exchange, tally)?,
            Party::SecureElement => to_secure_element(custody, &exchange, tally)?,
        };
        done += 1;
        tally.profile = dialogue.profile();
        match dialogue.step(&response).map_err(|error| of_dialogue(&error))? {
            Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            Progress::Done(evidence) => {
                on_step(WAITING_FOR_ANSWER);
                return Ok(evidence);
            }
        }
    }
}

fn to_card(
    channel: &mut dyn CardChannel,
    exchange: &Exchange,
    tally: &mut Tally,
) -> Result<Vec<u8>, Box<Problem>> {
    let start = Instant::now();
    let outcome = channel.transmit(&exchange.command);
    let bytes_in = outcome.as_ref().map_or(0, Vec::len);
    tally.note(exchange.step, StepPlace::Card, start.elapsed(), exchange.command.len(), bytes_in);
    let response = outcome.map_err(|error| of_channel(&error))?;
    // Counted from the wire and not from what the dialogue believes: a signature was made if the command
    // for it was answered with 9000.
    if is_signature(exchange) && response.ends_with(&[0x90, 0x00]) {
        tally.card_signatures += 1;
    }
    Ok(response)
}

fn to_secure_element(
    custody: &Custody,
    exchange: &Exchange,
    tally: &mut Tally,
) -> Result<Vec<u8>, Box<Problem>> {
    let start = Instant::now();
    let outcome = custody.exchange(&exchange.command);
    let bytes_in = outcome.as_ref().map_or(0, Vec::len);
    tally.note(exchange.step, StepPlace::SecureElement, start.elapsed(), exchange.command.len(), bytes_in);
    outcome.map_err(|error| {
        Box::new(Problem::new(ProblemCode::SecureElementRefused).with_detail(error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    /// The wall of this room: nobody else can start the dialogue that uses the card's key.
    #[test]
    fn only_this_file_names_the_dialogue_that_signs() {
        let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut seen = 0;
        let mut folders = vec![sources];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                seen += 1;
                if !path.ends_with("touch.rs") {
                    assert!(!text.contains("institution_auth::"), "{}", path.display());
                    assert!(!text.contains("pin_sign"), "{}", path.display());
                }
            }
        }
        assert!(seen > 10);
        let own = include_str!("touch.rs");
        assert_eq!(own.matches("InstitutionAuth::start(terms)").count(), 2, "once in the code, once here");
        assert!(own.contains("pub fn sign(\n    consent: Consent,"));
    }

    /// Nobody but the machine makes a `Consent`, and it makes it in one place.
    #[test]
    fn a_consent_is_made_in_one_place() {
        let machine = include_str!("check_in.rs");
        assert_eq!(machine.matches("Consent { reader, text: question.text }").count(), 1);
        assert!(!machine.contains("derive(Clone, PartialEq, Eq, Debug)]\n#[must_use = \"a consent"));
    }
}
