//! The machine alone: every phase takes every input, and a signing command needs the right OK.

use super::*;
use proptest::prelude::*;
use protocol::statement::Purposes;

const DESK: ReaderSlot = ReaderSlot(0);
const OTHER: ReaderSlot = ReaderSlot(1);

fn token(seed: u8) -> ConsentToken {
    ConsentToken([seed; 16])
}

fn question(seed: u8) -> Question {
    Question { token: token(seed), text: ConsentText::for_institution("見本内科", Purposes::ELIGIBILITY) }
}

fn recognised(kind: CardKind, seed: u8) -> Input {
    Input::Recognised { reader: DESK, kind, question: question(seed) }
}

fn report(code: ProblemCode) -> Box<TouchReport> {
    failed(code)
}

/// Feeds inputs that must all be taken, and returns the machine and the last output.
fn run(inputs: Vec<Input>) -> (CheckIn, Output) {
    let mut machine = CheckIn::new();
    let mut last = Output::Nothing;
    for input in inputs {
        let shown = format!("{input:?}");
        let (next, output) = machine.step(input);
        machine = next;
        last = output.unwrap_or_else(|refused| panic!("{shown}: {refused}"));
    }
    (machine, last)
}

fn asked() -> Vec<Input> {
    vec![Input::Armed, Input::CardInserted(DESK), recognised(CardKind::MyNumberCard, 1)]
}

#[test]
fn a_whole_check_in() {
    let mut inputs = asked();
    inputs.push(Input::OkPressed(token(1)));
    let (machine, output) = run(inputs);
    let Output::Begin(consent) = output else { panic!("no consent: {output:?}") };
    assert_eq!(consent.reader(), DESK);
    assert!(consent.text().question.ja.contains("見本内科"));
    let progress = Progress { step: WorkStep::CardSignature, done: 3, next: 4, of: 9 };
    let (machine, _) = machine.step(Input::StepDone(DESK, progress));
    assert!(matches!(machine.phase(), Phase::Working { progress: p, .. } if *p == progress));
    let (machine, output) = machine.step(Input::Finished(DESK, report(ProblemCode::CertificateHold)));
    assert_eq!(output, Ok(Output::Ended(Ending::Problem)));
    assert_eq!(machine.deadline(), Deadline::ResultWithCard);
    let (machine, _) = machine.step(Input::CardRemoved(DESK));
    assert_eq!(machine.deadline(), Deadline::ResultAfterCard);
    let epoch = machine.epoch();
    let (machine, _) = machine.step(Input::TimedOut(epoch));
    assert_eq!(*machine.phase(), Phase::Idle);
}

#[test]
fn a_stale_token_changes_nothing() {
    for press in [Input::OkPressed(token(2)), Input::StopPressed(token(2))] {
        let (machine, _) = run(asked());
        let (machine, output) = machine.step(press);
        assert_eq!(output, Err(Refused::StaleToken));
        assert!(matches!(machine.phase(), Phase::Consent { .. }));
    }
    // The token of an earlier question does not answer the present one.
    let mut inputs = asked();
    inputs.extend([
        Input::CardRemoved(DESK),
        Input::CardInserted(DESK),
        recognised(CardKind::MyNumberCard, 2),
    ]);
    let (machine, _) = run(inputs);
    let (_, output) = machine.step(Input::OkPressed(token(1)));
    assert_eq!(output, Err(Refused::StaleToken));
}

#[test]
fn ok_counts_once() {
    let mut inputs = asked();
    inputs.push(Input::OkPressed(token(1)));
    let (machine, _) = run(inputs);
    let (_, output) = machine.step(Input::OkPressed(token(1)));
    assert_eq!(output, Err(Refused::StaleToken));
}

#[test]
fn stop_time_out_and_removal_leave_nothing_but_a_counted_ending() {
    let (machine, _) = run(asked());
    let (machine, output) = machine.step(Input::StopPressed(token(1)));
    assert_eq!(output, Ok(Output::Ended(Ending::Declined)));
    assert!(matches!(machine.phase(), Phase::TakeCard { .. }));
    let (machine, _) = machine.step(Input::CardRemoved(DESK));
    assert_eq!(*machine.phase(), Phase::Idle);

    let (machine, _) = run(asked());
    let epoch = machine.epoch();
    let (machine, output) = machine.step(Input::TimedOut(epoch));
    assert_eq!(output, Ok(Output::Ended(Ending::TimedOut)));
    assert!(matches!(machine.phase(), Phase::TakeCard { .. }));

    let (machine, _) = run(asked());
    let (machine, output) = machine.step(Input::CardRemoved(DESK));
    assert_eq!(output, Ok(Output::Ended(Ending::TakenEarly)));
    assert_eq!(*machine.phase(), Phase::Idle);
}

#[test]
fn another_kind_of_card_is_named() {
    for kind in
        [CardKind::BasicResidentRegisterCard, CardKind::HpkiCard, CardKind::TransitCard, CardKind::Unknown]
    {
        let (machine, output) = run(vec![Input::Armed, Input::CardInserted(DESK), recognised(kind, 1)]);
        assert_eq!(output, Output::Ended(Ending::OtherCard));
        let Phase::Result { report, .. } = machine.phase() else { panic!("{machine:?}") };
        let problem = report.problem().unwrap();
        assert_eq!(problem.code, ProblemCode::CardOfOtherKind);
        assert!(problem.receptionist.ja.contains(&kind.text().ja), "{}", problem.receptionist.ja);
        assert!(problem.receptionist.en.contains(&kind.text().en));
    }
}

#[test]
fn one_session_at_a_time() {
    let (machine, _) = run(asked());
    let (machine, output) = machine.step(Input::CardInserted(OTHER));
    assert_eq!(output, Err(Refused::Busy));
    let (machine, output) = machine.step(Input::CardRemoved(OTHER));
    assert_eq!(output, Err(Refused::NotExpected), "another reader's card ends nothing");
    assert!(matches!(machine.phase(), Phase::Consent { reader: DESK, .. }));
}

#[test]
fn a_card_before_the_secure_element_is_armed_waits() {
    let (machine, output) = CheckIn::new().step(Input::CardInserted(DESK));
    assert_eq!(output, Err(Refused::NotReady));
    let (machine, _) = machine.step(Input::Armed);
    let (machine, output) = machine.step(Input::CardInserted(DESK));
    assert_eq!(output, Ok(Output::Recognise));
    // Disarmed meanwhile: the session goes on, and afterwards the desk prepares again.
    let (machine, _) = machine.step(Input::Disarmed(None));
    assert!(matches!(machine.phase(), Phase::Recognising { .. }));
    let (machine, _) = machine.step(Input::CardRemoved(DESK));
    assert!(matches!(machine.phase(), Phase::Preparing { .. }));
}

#[test]
fn the_next_patient_never_meets_the_last_ones_result() {
    let mut inputs = asked();
    inputs.extend([
        Input::OkPressed(token(1)),
        Input::Finished(DESK, report(ProblemCode::CertificateHold)),
        Input::CardRemoved(DESK),
        Input::CardInserted(OTHER),
    ]);
    let (machine, _) = run(inputs);
    assert!(matches!(machine.phase(), Phase::Recognising { reader: OTHER }));
}

#[test]
fn a_result_that_nobody_takes_is_wiped() {
    let mut inputs = asked();
    inputs.extend([Input::OkPressed(token(1)), Input::Finished(DESK, report(ProblemCode::CertificateHold))]);
    let (machine, _) = run(inputs);
    let epoch = machine.epoch();
    let (machine, _) = machine.step(Input::TimedOut(epoch));
    assert_eq!(*machine.phase(), Phase::TakeCard { reader: DESK, report: None });
}

#[test]
fn a_timer_of_an_earlier_phase_ends_nothing() {
    let (machine, _) = run(asked());
    let old = machine.epoch();
    let (machine, _) = machine.step(Input::CardRemoved(DESK));
    let (machine, _) = machine.step(Input::CardInserted(DESK));
    let (machine, _) = machine.step(recognised(CardKind::MyNumberCard, 2));
    let (machine, output) = machine.step(Input::TimedOut(old));
    assert_eq!(output, Err(Refused::NotExpected));
    assert!(matches!(machine.phase(), Phase::Consent { .. }));
}

#[test]
fn tokens_are_read_back_and_nothing_else_is() {
    let drawn = ConsentToken::draw(&mut protocol::entropy::Seeded::new(1));
    assert_eq!(ConsentToken::parse(&drawn.to_hex()), Some(drawn.clone()));
    for bad in ["", "00", "zz", &drawn.to_hex()[1..], &format!("{}0", drawn.to_hex())] {
        assert_eq!(ConsentToken::parse(bad), None);
    }
    assert_eq!(format!("{drawn:?}"), "ConsentToken(…)");
}

fn any_reader() -> impl Strategy<Value = ReaderSlot> {
    prop_oneof![3 => Just(DESK), 1 => Just(OTHER)]
}

fn any_input() -> impl Strategy<Value = Input> {
    let kinds = prop_oneof![4 => Just(CardKind::MyNumberCard), 1 => Just(CardKind::HpkiCard)];
    let progress = Progress { step: WorkStep::CardSignature, done: 1, next: 2, of: 2 };
    prop_oneof![
        2 => Just(Input::Armed),
        1 => Just(Input::Disarmed(None)),
        4 => any_reader().prop_map(Input::CardInserted),
        4 => (any_reader(), kinds, 0u8..3).prop_map(|(reader, kind, seed)| Input::Recognised { reader, kind, question: question(seed) }),
        4 => (0u8..4).prop_map(|seed| Input::OkPressed(token(seed))),
        1 => (0u8..4).prop_map(|seed| Input::StopPressed(token(seed))),
        1 => (0u64..12).prop_map(|epoch| Input::TimedOut(Epoch(epoch))),
        2 => any_reader().prop_map(move |reader| Input::StepDone(reader, progress)),
        2 => any_reader().prop_map(|reader| Input::Finished(reader, report(ProblemCode::CardRefused))),
        2 => any_reader().prop_map(Input::CardRemoved),
        1 => any_reader().prop_map(|reader| Input::Lost(reader, Box::new(Problem::new(ProblemCode::ReaderMissing)))),
    ]
}

proptest! {
    /// No order of inputs makes a `Consent` but an OK with the token of the question on the screen, and
    /// no card of another reader can be meant by it.
    #[test]
    fn no_order_of_inputs_signs_without_the_right_ok(inputs in proptest::collection::vec(any_input(), 0..60)) {
        let mut machine = CheckIn::new();
        for input in inputs {
            let on_screen = match machine.phase() {
                Phase::Consent { reader, question } => Some((*reader, question.clone())),
                _ => None,
            };
            let pressed = match &input { Input::OkPressed(token) => Some(token.clone()), _ => None };
            let epoch = machine.epoch();
            let (next, output) = machine.step(input);
            machine = next;
            prop_assert!(machine.epoch() >= epoch);
            match (output, on_screen, pressed) {
                (Ok(Output::Begin(consent)), Some((reader, question)), Some(token)) => {
                    prop_assert_eq!(&question.token, &token);
                    prop_assert_eq!(consent.reader(), reader);
                    prop_assert_eq!(consent.text(), &question.text);
                    let is_working = matches!(machine.phase(), Phase::Working { .. });
                    prop_assert!(is_working);
                }
                (Ok(Output::Begin(_)), _, _) => prop_assert!(false, "a consent without an OK on a question"),
                _ => {}
            }
        }
    }

    /// From wherever the inputs led, taking the card and letting the timer run leads back to rest.
    #[test]
    fn there_is_always_a_way_back(inputs in proptest::collection::vec(any_input(), 0..40)) {
        let mut machine = CheckIn::new();
        for input in inputs { machine = machine.step(input).0; }
        for reader in [DESK, OTHER] {
            machine = machine.step(Input::CardRemoved(reader)).0;
            machine = machine.step(Input::Finished(reader, report(ProblemCode::CardRemoved))).0;
            machine = machine.step(Input::CardRemoved(reader)).0;
        }
        let epoch = machine.epoch();
        machine = machine.step(Input::TimedOut(epoch)).0;
        let at_rest = matches!(machine.phase(), Phase::Idle | Phase::Preparing { .. });
        prop_assert!(at_rest, "{:?}", machine.phase());
    }
}
