//! Recorded dialogues: what is written is read back, secrets stay out, and a replay tells cards apart.

use crate::town::{AUTHORITY, PASSWORD, PIN, Terminal, adult, child, hex, input};
use card::EmulatedCard;
use card::dialogue::pin_sign::{self, PinProtected, PinSign};
use card::my_number_card::AuthPin;
use card::trace::replay::{
    AmbiguousSecrets, AtrCompared, Care, Comparison, NotSent, Progress, Replay, Secrets, Verdict,
};
use card::trace::{Header, Observed, RecordedCard, SecretHandling, Trace, TraceError, TraceProblem};
use proptest::prelude::*;
use protocol::entropy::{Entropy, Seeded};
use std::sync::{Arc, Mutex};

const OPENSC: &str = include_str!("../traces/opensc-0.23.trace");
const HEAD: &str = "kazasu card trace 1\ncard: x\natr: 3B00\nsecrets: withheld\n";

fn parse(events: &str) -> Result<Trace, TraceError> {
    Trace::parse(&format!("{HEAD}{events}"))
}

/// Plays a trace to a card.
fn replay(trace: &str, patient: &mut dyn EmulatedCard, secrets: &[&str], care: Care) -> Comparison {
    let trace = Trace::parse(trace).unwrap_or_else(|error| panic!("{error}\n{trace}"));
    let mut replay = Replay::start(trace, Secrets::new(secrets.iter().copied()).unwrap(), care);
    let mut entropy = Seeded::new(77);
    loop {
        replay = match replay.next() {
            Progress::PowerOn(awaited) => {
                patient.power_on();
                awaited.powered(patient.atr())
            }
            Progress::PowerOff(next) => {
                patient.power_off();
                next
            }
            Progress::Send(command, awaited) => awaited.answered(&patient.transmit(&command, &mut entropy)),
            Progress::Done(comparison) => return comparison,
        };
    }
}

fn verdicts(comparison: &Comparison) -> Vec<Verdict> {
    comparison.exchanges.iter().map(|compared| compared.verdict).collect()
}

/// A card that writes down what happens, and the text so far.
fn recording<C: EmulatedCard>(
    patient: C,
    secrets: SecretHandling,
) -> (RecordedCard<C, impl FnMut(Observed<'_>) + Send>, Arc<Mutex<String>>) {
    let text = Arc::new(Mutex::new(Header::new("My Number Card", patient.atr(), secrets).to_string()));
    let sink = Arc::clone(&text);
    let observer = move |seen: Observed<'_>| sink.lock().unwrap().push_str(&seen.lines(secrets));
    (RecordedCard::new(patient, observer), text)
}

/// Signs with the PIN, on a card that is switched on for it and off again.
fn sign_with_pin(patient: &mut dyn EmulatedCard) {
    patient.power_on();
    let with = PinProtected::CardHolderAuth(AuthPin::parse(PIN).unwrap());
    let (mut exchange, mut dialogue) = PinSign::start(with, [7; 32]);
    loop {
        let response = patient.transmit(&exchange.command, &mut Seeded::new(1));
        match dialogue.step(&response).unwrap() {
            pin_sign::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            pin_sign::Progress::Done(_) => return patient.power_off(),
        }
    }
}

#[test]
fn what_opensc_says_gets_the_recorded_answers() {
    let comparison = replay(OPENSC, &mut adult(), &[PIN, PASSWORD], Care::Expendable);
    let odd: Vec<_> = comparison
        .exchanges
        .iter()
        .filter(|compared| !matches!(compared.verdict, Verdict::Equal | Verdict::Random))
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
    assert_eq!(comparison.exchanges.len(), OPENSC.lines().filter(|line| line.starts_with('>')).count());
    assert_eq!(comparison.atr, AtrCompared::Equal);
    assert_eq!(comparison.count(Verdict::Random), 8, "six reads of certificates, two signatures");
}

#[test]
fn another_kind_of_card_is_told_apart() {
    // A child has no signature function: its password is answered otherwise.
    let comparison = replay(OPENSC, &mut child(), &[PIN, PASSWORD], Care::Expendable);
    let first = comparison.first(Verdict::Different).expect("a difference");
    let line = OPENSC.lines().nth(first.line - 1).unwrap();
    assert!(line.starts_with("> 00200080") || line.starts_with("> 00A4020C 02 001B"), "{line}");
    assert_ne!(first.recorded, first.now);
}

#[test]
fn a_recorded_dialogue_replays_and_shows_no_pin() {
    let (mut patient, text) = recording(adult(), SecretHandling::Withheld);
    sign_with_pin(&mut patient);
    let text = text.lock().unwrap().clone();
    assert!(!text.contains("31323334") && text.contains("04 [4] ; VERIFY"), "{text}");
    let comparison = replay(&text, &mut adult(), &[PIN], Care::Precious);
    // PKCS#1 v1.5 pads without chance: the same key signs the same.
    assert_eq!(verdicts(&comparison), [Verdict::Equal; 3]);
    // Without the PIN its command stays away, and the key stays shut.
    let comparison = replay(&text, &mut adult(), &[], Care::Precious);
    let wanted = [Verdict::Equal, Verdict::NotSent(NotSent::SecretUnknown), Verdict::Different];
    assert_eq!(verdicts(&comparison), wanted);

    let (mut patient, text) = recording(adult(), SecretHandling::Kept);
    sign_with_pin(&mut patient);
    let text = text.lock().unwrap().clone();
    assert!(text.contains("secrets: kept") && text.contains("04 31323334 ; VERIFY"), "{text}");
    assert_eq!(verdicts(&replay(&text, &mut adult(), &[], Care::Expendable)), [Verdict::Equal; 3]);
}

#[test]
fn a_recorded_touch_cannot_be_played_again() {
    let (mut patient, text) = recording(adult(), SecretHandling::Withheld);
    patient.power_on();
    Terminal::armed(&AUTHORITY).touch_watched(&mut patient, input(), |_, _, _| {}).unwrap();
    patient.power_off();
    let text = text.lock().unwrap().clone();
    let mut same_card = adult();
    let before = same_card.signatures();
    let comparison = replay(&text, &mut same_card, &[PIN], Care::Expendable);
    let last = comparison.exchanges.last().unwrap();
    assert_eq!(last.verdict, Verdict::Different, "{last:?}");
    assert!(comparison.count(Verdict::Random) > 0, "the challenge is another one");
    assert_eq!(same_card.signatures(), before, "a wire-tapper gets no signature");
}

/// Counts the commands that present a secret.
struct Counting<C>(C, usize);

impl<C: EmulatedCard> EmulatedCard for Counting<C> {
    fn atr(&self) -> &[u8] {
        &[0x3B, 0x80]
    }
    fn power_on(&mut self) {
        self.0.power_on();
    }
    fn power_off(&mut self) {
        self.0.power_off();
    }
    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        self.1 += usize::from(command[1] == 0x20 && command.len() > 5);
        self.0.transmit(command, entropy)
    }
}

#[test]
fn a_precious_card_loses_no_try_to_what_the_trace_knows_is_wrong() {
    let mut patient = Counting(adult(), 0);
    let comparison = replay(OPENSC, &mut patient, &[PIN, PASSWORD], Care::Precious);
    assert_eq!(patient.1, 2, "the right PIN and the right password");
    assert_eq!(comparison.count(Verdict::NotSent(NotSent::WouldCostATry)), 1);
    assert_eq!(comparison.not_sent(), 1);
    assert_eq!(comparison.count(Verdict::Different), 0);
    assert_eq!(comparison.atr, AtrCompared::Other);

    // Another person's card: its PIN is another one. One try, and no more of anything.
    let mut patient = Counting(adult(), 0);
    let comparison = replay(OPENSC, &mut patient, &["4321", "XYZ999"], Care::Precious);
    assert_eq!(patient.1, 1);
    let refused = comparison.first(Verdict::Different).expect("the refusal");
    assert_eq!(refused.now.and_then(card::apdu::StatusWord::as_tries_left), Some(2));
    assert!(comparison.count(Verdict::NotSent(NotSent::AfterRefusal)) > 5);
    assert_eq!(comparison.exchanges.last().unwrap().verdict, Verdict::NotSent(NotSent::AfterRefusal));
}

#[test]
fn secrets_of_one_length_are_told_apart_by_nobody() {
    assert_eq!(Secrets::new(["1234", "4321"]).unwrap_err(), AmbiguousSecrets(4));
    assert!(Secrets::new(["1234", "1234", "ABC123"]).is_ok());
    assert!(!format!("{:?}", Secrets::new(["1234"]).unwrap()).contains("12"));
}

#[test]
fn verdicts_tell_data_from_status() {
    let one = |exchange: &str, answer: &'static [u8]| {
        struct Says(&'static [u8]);
        impl EmulatedCard for Says {
            fn atr(&self) -> &[u8] {
                &[0x3B, 0]
            }
            fn power_on(&mut self) {}
            fn power_off(&mut self) {}
            fn transmit(&mut self, _: &[u8], _: &mut dyn Entropy) -> Vec<u8> {
                self.0.to_vec()
            }
        }
        let text = format!("{HEAD}on\n{exchange}\noff\n");
        replay(&text, &mut Says(answer), &[], Care::Expendable).exchanges[0].verdict
    };
    let read = "> 00B0000004\n<";
    assert_eq!(one(&format!("{read} 01020304 9000"), &[1, 2, 3, 4, 0x90, 0]), Verdict::Equal);
    assert_eq!(one(&format!("{read} 01020304 9000"), &[1, 2, 3, 5, 0x90, 0]), Verdict::OtherData);
    assert_eq!(one(&format!("{read} 01020304 9000"), &[1, 2, 3, 4, 0x62, 0x82]), Verdict::Different);
    assert_eq!(one(&format!("{read} 01 *2 04 9000"), &[1, 9, 9, 4, 0x90, 0]), Verdict::Random);
    assert_eq!(one(&format!("{read} 01 *2 04 9000"), &[1, 9, 9, 5, 0x90, 0]), Verdict::OtherData);
    assert_eq!(one(&format!("{read} 01 * 04 9000"), &[1, 4, 0x90, 0]), Verdict::Random);
    assert_eq!(one(&format!("{read} 01 * 04 9000"), &[1, 0x90, 0]), Verdict::OtherData);
    assert_eq!(one(&format!("{read} * 9000"), &[0x90, 0]), Verdict::Random);
    assert_eq!(one(&format!("{read} none"), &[]), Verdict::Equal);
    assert_eq!(one(&format!("{read} none"), &[0x90, 0]), Verdict::Different);
    assert_eq!(one(&format!("{read} 9000"), &[0x90]), Verdict::Different);
    // By their nature another every time, as long as they are as long.
    for random in ["0084000002", "00880000", "8086000000", "802A029701FF00", "0CB0000002"] {
        let exchange = format!("> {random}\n< 0102 9000");
        assert_eq!(one(&exchange, &[3, 4, 0x90, 0]), Verdict::Random, "{random}");
        assert_eq!(one(&exchange, &[3, 0x90, 0]), Verdict::OtherData, "{random}");
    }
}

#[test]
fn secrets_stay_out_in_every_form_of_a_command() {
    let secret = "53454352455431"; // SECRET1
    for command in [
        format!("00200080 07 {secret}"),
        format!("0020009B 07 {secret} 00"),
        format!("10200080 07 {secret}"),
        format!("0C200080 07 {secret} 00"),
        format!("00200080 000007 {secret}"),
        format!("00200080 000007 {secret} 0000"),
        format!("00210000 09 5307 {secret}"),
        format!("00240180 07 {secret}"),
        format!("002C0080 07 {secret}"),
        // No APDU, but somebody sent it.
        format!("00200080 08 {secret}"),
        format!("00200080 {secret}"),
    ] {
        let command = hex(&command);
        let seen = Observed::Exchange { command: &command, answer: &[0x67, 0x00] };
        let text = seen.lines(SecretHandling::Withheld);
        let digits: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        assert!(!digits.contains("5345") && !digits.contains("5431"), "{text}");
        let trace = parse(&format!("on\n{text}off\n")).unwrap();
        let [_, exchange, _] = trace.events() else { panic!("{text}") };
        let card::trace::Event::Exchange(recorded, _) = &exchange.event else { panic!("{text}") };
        assert_eq!(recorded.len(), command.len(), "{text}");
        assert_eq!(recorded.header(), command[..4]);
        let kept = seen.lines(SecretHandling::Kept);
        assert!(kept.replace(' ', "").contains(secret), "{kept}");
    }
    // Nothing to withhold: the question for the tries, and every other instruction.
    for command in ["00200080", "0020008000", "00B0000004", "00A4040C07 53454352455431"] {
        let command = hex(command);
        let seen = Observed::Exchange { command: &command, answer: &[0x90, 0x00] };
        assert_eq!(seen.lines(SecretHandling::Withheld), seen.lines(SecretHandling::Kept));
    }
    assert_eq!(Observed::Exchange { command: &[0, 0x20, 0], answer: &[] }.lines(SecretHandling::Kept), "");
    let debug = format!("{:?}", Observed::Exchange { command: b"\0\x20\0\0\x041234", answer: &[0x90, 0] });
    assert!(!debug.contains("1234") && !debug.contains("31"), "{debug}");
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let wrong = |text: &str, line: usize, column: usize, problem: TraceProblem| {
        assert_eq!(Trace::parse(text), Err(TraceError { line, column, problem }), "{text}");
    };
    wrong("", 1, 1, TraceProblem::NotATrace);
    wrong("kazasu card trace 2\n", 1, 1, TraceProblem::NotATrace);
    wrong("kazasu card trace 1\n", 1, 1, TraceProblem::HeaderExpected("card"));
    wrong("kazasu card trace 1\n# x\natr: 3B\n", 3, 1, TraceProblem::HeaderExpected("card"));
    wrong("kazasu card trace 1\ncard:  \n", 2, 6, TraceProblem::HeaderValue("card"));
    wrong("kazasu card trace 1\ncard: x\natr: 3\n", 3, 5, TraceProblem::HeaderValue("atr"));
    let long = "3B".repeat(34);
    let long = format!("kazasu card trace 1\ncard: x\natr: {long}\n");
    wrong(&long, 3, 5, TraceProblem::HeaderValue("atr"));
    wrong("kazasu card trace 1\ncard: x\natr:\nsecrets: some\n", 4, 9, TraceProblem::HeaderValue("secrets"));

    let wrong = |events: &str, line: usize, column: usize, problem: TraceProblem| {
        assert_eq!(parse(events), Err(TraceError { line: line + 4, column, problem }), "{events}");
    };
    wrong("reset\n", 1, 1, TraceProblem::UnknownLine);
    wrong(" on\n", 1, 1, TraceProblem::UnknownLine);
    wrong("off\n", 1, 1, TraceProblem::NoPower);
    wrong("on\non\n", 2, 1, TraceProblem::PowerAlready);
    wrong("> 00A40400\n< 9000\n", 1, 1, TraceProblem::NoPower);
    wrong("on\n< 9000\n", 2, 1, TraceProblem::CommandExpected);
    wrong("on\n> 00A40400\noff\n", 3, 1, TraceProblem::AnswerExpected);
    wrong("on\n> 00A40400\n> 00A40400\n", 3, 1, TraceProblem::AnswerExpected);
    wrong("on\n> 00A40400\n", 2, 1, TraceProblem::AnswerExpected);
    wrong("on\n> 00A404\n", 2, 2, TraceProblem::CommandLength);
    wrong("on\n> 00A4 040G\n", 2, 8, TraceProblem::NotHexadecimal);
    wrong("on\n> 00A4 040\n", 2, 8, TraceProblem::NotHexadecimal);
    wrong("on\n> 00A40400 é\n", 2, 12, TraceProblem::NotHexadecimal);
    wrong("on\n> 00200080 [4\n", 2, 12, TraceProblem::BadNumber);
    wrong("on\n> 00200080 [0]\n", 2, 12, TraceProblem::BadNumber);
    wrong("on\n> 00200080 [+4]\n", 2, 12, TraceProblem::BadNumber);
    wrong("on\n> 00200080 [4] [4]\n", 2, 16, TraceProblem::MisplacedMark);
    wrong("on\n> [4] 00200080\n", 2, 2, TraceProblem::CommandLength);
    wrong("on\n> 00200080 [65541]\n", 2, 12, TraceProblem::BadNumber);
    wrong("on\n> 00200080 01 [65540]\n", 2, 2, TraceProblem::CommandLength);
    wrong("on\n> 00200080 *4\n", 2, 12, TraceProblem::MisplacedMark);
    wrong("on\n> 00A40400\n< 90\n", 3, 2, TraceProblem::AnswerLength);
    wrong("on\n> 00A40400\n<\n", 3, 2, TraceProblem::AnswerLength);
    wrong("on\n> 00A40400\n< 9000 *2\n", 3, 2, TraceProblem::AnswerLength);
    wrong("on\n> 00A40400\n< * 01 * 9000\n", 3, 8, TraceProblem::MisplacedMark);
    wrong("on\n> 00A40400\n< *70000 9000\n", 3, 3, TraceProblem::BadNumber);
    wrong("on\n> 00A40400\n< *65536 01 9000\n", 3, 2, TraceProblem::AnswerLength);
    wrong("on\n> 00A40400\n< [2] 9000\n", 3, 3, TraceProblem::MisplacedMark);
    let error = parse("on\n> 00A4 040G\n").unwrap_err().to_string();
    assert_eq!(error, "line 6, column 8: here pairs of hexadecimal digits are expected");
}

#[test]
fn a_header_holds_what_a_line_holds() {
    let header = Header::new("  two\nlines \u{7} ", &[0x3B; 40], SecretHandling::Withheld);
    let text = header.to_string();
    let parsed = Trace::parse(&text).unwrap();
    assert_eq!(parsed.header, header);
    assert_eq!((header.card(), header.atr().len()), ("two lines", 33));
    assert!(text.contains("keep it as safe as the card") && text.contains("カードと同じように"), "{text}");
    let long = Header::new(&"字".repeat(50), &[], SecretHandling::Kept);
    assert_eq!(Trace::parse(&long.to_string()).unwrap().header, long);
    assert_eq!(Header::new(" \n", &[], SecretHandling::Kept).card(), "unknown card");
}

fn events() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>, bool)>> {
    let command = prop_oneof![
        proptest::collection::vec(any::<u8>(), 4..40),
        (proptest::collection::vec(any::<u8>(), 1..20)).prop_map(|data| {
            let mut command = vec![0x00, 0x20, 0x00, 0x80, u8::try_from(data.len()).unwrap()];
            command.extend(data);
            command
        }),
    ];
    let answer = proptest::collection::vec(any::<u8>(), 0..300);
    proptest::collection::vec((command, answer, any::<bool>()), 0..8)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(events in events(), kept in any::<bool>()) {
        let secrets = if kept { SecretHandling::Kept } else { SecretHandling::Withheld };
        let mut text = Header::new("card", &[0x3B, 0x00], secrets).to_string();
        for (command, answer, again) in &events {
            text.push_str(&Observed::PowerOn.lines(secrets));
            for _ in 0..=u8::from(*again) {
                text.push_str(&Observed::Exchange { command, answer }.lines(secrets));
            }
            text.push_str(&Observed::PowerOff.lines(secrets));
        }
        let trace = Trace::parse(&text).unwrap();
        prop_assert_eq!(trace.to_string(), text);
        let exchanges = trace.events().iter().filter_map(|recorded| match &recorded.event {
            card::trace::Event::Exchange(command, _) => Some(command),
            _ => None,
        });
        let wanted = events.iter().flat_map(|(command, _, again)| vec![command; 1 + usize::from(*again)]);
        for (recorded, command) in exchanges.zip(wanted) {
            prop_assert_eq!(recorded.len(), command.len());
            if let Some(octets) = recorded.octets() {
                prop_assert_eq!(octets, &command[..]);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(
        text in "(on|off|>|<|\\*|\\[|\\]|;|#|[0-9A-Fa-f]{2}|[ \\n]|é){0,60}",
        at in any::<prop::sample::Index>(), octet in any::<u8>(), end in any::<prop::sample::Index>(),
    ) {
        for text in [text.clone(), format!("{HEAD}{text}"), format!("{HEAD}on\n{text}")] {
            if let Err(error) = Trace::parse(&text) {
                prop_assert!(error.line <= text.lines().count().max(1) && error.column >= 1);
            }
        }
        let mut bent = OPENSC.as_bytes().to_vec();
        let place = at.index(bent.len());
        bent[place] = octet;
        bent.truncate(end.index(bent.len() + 1));
        if let Ok(trace) = Trace::parse(&String::from_utf8_lossy(&bent)) {
            prop_assert_eq!(Trace::parse(&trace.to_string()), Ok(trace));
        }
    }
}
