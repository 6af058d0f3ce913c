//! What one touch did, step by step: the object that `kazasu card touch` prints and that the desk
//! shows for as long as the patient's card is there.

use protocol::answer::{Answer, CardProfile};
use protocol::problem::Problem;
use serde::{Deserialize, Serialize};

/// Which flow of the report a touch followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TouchFlow {
    /// Institution key in the terminal's Secure Element (Report fig. 2).
    SeTerminal,
}

/// Where a step was done, so that the patient's waiting time can be laid at somebody's door.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepPlace {
    /// On the patient's card.
    Card,
    /// In the terminal's Secure Element.
    SecureElement,
    /// On the line to the platform, the platform's own work included.
    Network,
    /// In the terminal's own program.
    Terminal,
}

/// One step of a touch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StepReport {
    /// Name of the step, as the dialogue calls it.
    pub name: String,
    /// Where it was done.
    #[serde(rename = "where")]
    pub place: StepPlace,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Octets sent: command APDU, or HTTP body.
    pub bytes_out: u64,
    /// Octets received: response APDU, or HTTP body.
    pub bytes_in: u64,
}

/// What a touch came to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TouchOutcome {
    /// The platform answered.
    Answer(Box<Answer>),
    /// Somebody refused, or something failed.
    Problem(Box<Problem>),
}

/// The report of one touch. Personal as soon as it holds an answer: shown, never logged, never stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TouchReport {
    /// The flow.
    pub flow: TouchFlow,
    /// The card dialogue, as far as the touch came to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<CardProfile>,
    /// The answer, or the problem.
    #[serde(flatten)]
    pub outcome: TouchOutcome,
    /// Which audit record of the platform stands behind it, where the platform wrote one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_record: Option<u64>,
    /// Network round trips the patient waited for after pressing OK.
    pub network_round_trips: u32,
    /// Signatures the card's key made.
    pub card_signatures: u32,
    /// Every step, in order. The first ones (recognising the card) came before OK.
    pub steps: Vec<StepReport>,
    /// Milliseconds in the card, over all steps.
    pub card_ms: f64,
    /// Milliseconds on the line and in the platform, over all steps.
    pub network_ms: f64,
    /// Milliseconds in the terminal and its Secure Element, over all steps.
    pub terminal_ms: f64,
}

impl TouchReport {
    /// A report of `steps` that came to `outcome`.
    pub fn new(outcome: TouchOutcome, audit_record: Option<u64>, tally: Tally) -> Self {
        let sum = |wanted: &[StepPlace]| {
            tally.steps.iter().filter(|step| wanted.contains(&step.place)).map(|step| step.ms).sum::<f64>()
        };
        let (card_ms, network_ms) = (sum(&[StepPlace::Card]), sum(&[StepPlace::Network]));
        let terminal_ms = sum(&[StepPlace::SecureElement, StepPlace::Terminal]);
        Self {
            flow: TouchFlow::SeTerminal,
            profile: tally.profile,
            outcome,
            audit_record,
            network_round_trips: tally.network_round_trips,
            card_signatures: tally.card_signatures,
            steps: tally.steps,
            card_ms,
            network_ms,
            terminal_ms,
        }
    }

    /// A report that ended in `problem`; the audit record is the one the problem names.
    pub fn of_problem(problem: Problem, tally: Tally) -> Self {
        let audit_record = problem.audit_record;
        Self::new(TouchOutcome::Problem(Box::new(problem)), audit_record, tally)
    }

    /// The answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.outcome {
            TouchOutcome::Answer(answer) => Some(answer),
            TouchOutcome::Problem(_) => None,
        }
    }

    /// The problem, if there is one.
    pub fn problem(&self) -> Option<&Problem> {
        match &self.outcome {
            TouchOutcome::Answer(_) => None,
            TouchOutcome::Problem(problem) => Some(problem),
        }
    }
}

/// Counts and steps while a touch is going on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Tally {
    /// The steps so far.
    pub steps: Vec<StepReport>,
    /// Round trips waited for after OK so far.
    pub network_round_trips: u32,
    /// Card signatures so far.
    pub card_signatures: u32,
    /// The card dialogue that the Secure Element has chosen.
    pub profile: Option<CardProfile>,
}

impl Tally {
    /// Writes a step down. `elapsed` is its duration.
    pub fn note(
        &mut self,
        name: &str,
        place: StepPlace,
        elapsed: std::time::Duration,
        bytes_out: usize,
        bytes_in: usize,
    ) {
        self.note_octets(name, place, elapsed, (bytes_out as u64, bytes_in as u64));
    }

    /// Writes a step down whose octets, out and in, were counted by a connection.
    pub fn note_octets(
        &mut self,
        name: &str,
        place: StepPlace,
        elapsed: std::time::Duration,
        (bytes_out, bytes_in): (u64, u64),
    ) {
        let ms = elapsed.as_secs_f64() * 1_000.0;
        self.steps.push(StepReport { name: name.to_owned(), place, ms, bytes_out, bytes_in });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::problem::ProblemCode;
    use std::time::Duration;

    #[test]
    fn the_sums_are_by_place_and_the_json_is_what_scripts_rely_on() {
        let profile = Some(CardProfile::Jicsap);
        let mut tally = Tally { network_round_trips: 1, card_signatures: 1, profile, ..Tally::default() };
        tally.note("select_jpki", StepPlace::Card, Duration::from_millis(3), 15, 2);
        tally.note("sign", StepPlace::SecureElement, Duration::from_millis(4), 60, 66);
        tally.note("check", StepPlace::Network, Duration::from_millis(5), 2600, 900);
        tally.note("build", StepPlace::Terminal, Duration::from_millis(1), 0, 0);
        let mut problem = Problem::new(ProblemCode::CertificateHold).with_reason("certificateHold");
        problem.audit_record = Some(7);
        let report = TouchReport::of_problem(problem, tally);
        assert_eq!((report.card_ms, report.network_ms, report.terminal_ms), (3.0, 5.0, 5.0));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["flow"], "se-terminal");
        assert_eq!(json["profile"], "jicsap");
        assert_eq!(json["problem"]["code"], "certificate_hold");
        assert_eq!(json["audit_record"], 7);
        assert_eq!(json["steps"][1]["where"], "secure_element");
        assert!(json.get("answer").is_none());
        assert_eq!(serde_json::from_value::<TouchReport>(json).unwrap(), report);
    }
}
