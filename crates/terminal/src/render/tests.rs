//! Every phase in both languages: the words are there, and nothing from outside is markup.

use super::*;
use crate::check_in::{CardKind, CheckIn, Input, Question, ReaderSlot, WorkStep};
use crate::report::Tally;
use protocol::answer::{
    CardProfile, CivilDate, InsurerLoad, NewerCoverage, Proof, ProofMethod, RegisteredPerson, WhyNot,
};
use protocol::entropy::Seeded;
use protocol::ids::{BranchNumber, InsuredNumber, InsuredSymbol, InsurerNumber};
use protocol::problem::ProblemCode;
use protocol::statement::Purposes;

const DESK: ReaderSlot = ReaderSlot(0);
const EVIL: &str = "<script>alert('x')</script>\" onload=\"&";

fn page(phase: &Phase, language: Language) -> String {
    let main = MainPart::new(phase, 5, language);
    KioskPage { main, institution: "見本内科".to_owned() }.render().unwrap()
}

fn question(institution: &str) -> Question {
    Question {
        token: ConsentToken::draw(&mut Seeded::new(3)),
        text: ConsentText::for_institution(institution, Purposes::ELIGIBILITY),
    }
}

fn coverage(name: &str) -> Coverage {
    Coverage {
        insurer_number: InsurerNumber::parse("01130012").unwrap(),
        insurer_name: name.to_owned(),
        symbol: InsuredSymbol::parse("記号").unwrap(),
        number: InsuredNumber::parse("1234567").unwrap(),
        branch: BranchNumber::parse("00").unwrap(),
        kind: Bilingual::new("被用者保険", "Employees' insurance"),
        relation: Relation::Insured,
        copay_percent: 30,
        limit_class: Some("B05".to_owned()),
        specific_disease: None,
        public_expenses: Vec::new(),
        valid_from: CivilDate::parse("2024-04-01").unwrap(),
        valid_to: None,
    }
}

fn answer(validity: Validity, name: &str) -> Answer {
    Answer {
        validity,
        as_of: CivilDate::parse("2026-11-22").unwrap(),
        person: Some(RegisteredPerson {
            name: name.to_owned(),
            name_kana: "ミホン ハナコ".to_owned(),
            birth_date: CivilDate::parse("1990-04-01").unwrap(),
        }),
        coverage: vec![coverage(name)],
        ended: None,
        newer: None,
        why_not: None,
        loads: vec![InsurerLoad {
            insurer_number: InsurerNumber::parse("01130012").unwrap(),
            insurer_name: name.to_owned(),
            loaded_at: "2026-11-21T03:00:00+09:00".to_owned(),
        }],
        proof: Proof {
            method: ProofMethod::SeTerminal,
            profile: CardProfile::Jicsap,
            certificate_status_age_seconds: 60,
        },
        receipt: None,
    }
}

fn result(outcome: TouchOutcome, place: CardPlace) -> Phase {
    let report = Box::new(TouchReport::new(outcome, None, Tally::default()));
    Phase::Result { reader: DESK, place, report }
}

fn answered(validity: Validity) -> Phase {
    result(TouchOutcome::Answer(Box::new(answer(validity, "見本 花子"))), CardPlace::OnReader)
}

/// The page in both languages must hold every word of `words`.
fn must_say(phase: &Phase, words: &[&str]) {
    for language in [Language::Ja, Language::En] {
        let html = page(phase, language);
        for word in words {
            assert!(html.contains(word), "{word:?} is missing in {language:?}:\n{html}");
        }
    }
}

#[test]
fn every_phase_says_what_it_has_to() {
    let unreachable = Box::new(Problem::new(ProblemCode::PlatformUnreachable));
    let words = [unreachable.receptionist.ja.clone(), unreachable.action.ja.clone()];
    must_say(&Phase::Preparing { problem: None }, &["準備中です", "Getting ready"]);
    must_say(&Phase::Preparing { problem: Some(unreachable) }, &[&words[0], &words[1]]);
    must_say(
        &Phase::Idle,
        &["置いてください", "Please place your My Number Card", "<svg", "暗証番号は使いません"],
    );
    must_say(&Phase::Recognising { reader: DESK }, &["カードを確認しています", "Looking at the card"]);
    must_say(
        &Phase::Consent { reader: DESK, question: question("見本内科") },
        &[
            "見本内科が、あなたの健康保険の資格を確認します",
            "asks to check your health insurance",
            "使わないもの",
            "マイナンバー (12桁の番号)",
            "暗証番号",
            "やめる",
            "OK (同意する)",
            "action=\"/kiosk/ok\"",
            "action=\"/kiosk/stop\"",
        ],
    );
    for step in
        [WorkStep::Freshness, WorkStep::InstitutionProof, WorkStep::CardSignature, WorkStep::PlatformAnswer]
    {
        let progress = Progress { step, done: 3, next: 4, of: 9 };
        must_say(
            &Phase::Working { reader: DESK, place: CardPlace::OnReader, progress },
            &[
                &step.text().ja,
                &step.text().en,
                "<progress id=\"bar\" value=\"3\" max=\"9\" data-next=\"4\">",
            ],
        );
    }
    must_say(
        &Phase::TakeCard { reader: DESK, report: None },
        &["カードをお取りください", "Please take your card"],
    );
}

#[test]
fn a_result_has_word_colour_shape_share_and_what_the_desk_compares() {
    must_say(
        &answered(Validity::Valid),
        &[
            "有効",
            "Valid",
            "class=\"result good\"",
            "<circle",
            "3割負担",
            "You pay 30 %",
            "見本 花子",
            "平成2年4月1日 (1990年)",
            "1 April 1990",
            "令和8年11月22日",
            "B05",
            "カードをお取りください",
        ],
    );
    for (validity, class, word) in [
        (Validity::Invalid, "stop", "Not valid"),
        (Validity::InvalidNewerExists, "caution", "newer insurance"),
        (Validity::NoCoverage, "stop", "No insurance found"),
        (Validity::Multiple, "caution", "More than one"),
        (Validity::ValidUnregistered, "caution", "not yet registered"),
    ] {
        must_say(&answered(validity), &[&format!("class=\"result {class}\""), word]);
    }
    // Symbol and number are for the claim, not for a screen in a waiting room.
    assert!(!page(&answered(Validity::Valid), Language::Ja).contains("1234567"));
}

#[test]
fn why_not_and_the_next_action_are_there() {
    let mut moved = answer(Validity::InvalidNewerExists, "見本 移");
    moved.coverage.clear();
    let mut ended = coverage("旧保険組合");
    ended.valid_to = CivilDate::parse("2026-11-14");
    moved.ended = Some(ended);
    moved.newer = Some(NewerCoverage {
        insurer_number: InsurerNumber::parse("39131016").unwrap(),
        insurer_name: "新保険組合".to_owned(),
        valid_from: CivilDate::parse("2026-11-15").unwrap(),
    });
    moved.why_not = Some(WhyNot {
        receptionist: Bilingual::new("受付向け", "to reception"),
        vendor: Bilingual::new("業者向け", "to vendor"),
        patient: Bilingual::new("患者向け", "to patient"),
        action: Bilingual::new("次の手", "next move"),
    });
    let phase = result(TouchOutcome::Answer(Box::new(moved)), CardPlace::OnReader);
    must_say(
        &phase,
        &["旧保険組合", "新保険組合", "14 November 2026", "受付向け", "to vendor", "患者向け", "next move"],
    );
    assert!(!page(&phase, Language::Ja).contains("割負担"), "no share of a coverage that ended");
}

#[test]
fn every_problem_is_shown_with_its_words_and_its_next_action() {
    for code in ProblemCode::ALL {
        let problem = Problem::new(*code);
        let phase = result(TouchOutcome::Problem(Box::new(problem.clone())), CardPlace::OnReader);
        let (ja, en) = (page(&phase, Language::Ja), page(&phase, Language::En));
        for text in [&problem.receptionist, &problem.action, &problem.vendor] {
            assert!(ja.contains(&escaped(&text.ja)) && en.contains(&escaped(&text.en)), "{code:?}");
        }
        assert!(ja.contains(code.as_str()));
        assert!(ja.contains("class=\"result stop\"") || ja.contains("class=\"result caution\""));
    }
}

fn escaped(text: &str) -> String {
    struct Escaped<'a>(&'a str);
    impl fmt::Display for Escaped<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            escape(self.0, f)
        }
    }
    Escaped(text).to_string()
}

#[test]
fn another_card_is_named_on_the_page() {
    let kind = CardKind::BasicResidentRegisterCard;
    let (machine, _) = CheckIn::new().step(Input::Armed);
    let (machine, _) = machine.step(Input::CardInserted(DESK));
    let (machine, _) = machine.step(Input::Recognised { reader: DESK, kind, question: question("x") });
    must_say(machine.phase(), &["住基カード", "Basic Resident Register card", "カードをお取りください"]);
}

#[test]
fn nothing_from_outside_is_markup() {
    let mut evil_answer = answer(Validity::Valid, EVIL);
    let evil_text = Bilingual::new(EVIL, EVIL);
    evil_answer.coverage[0].limit_class = Some(EVIL.to_owned());
    evil_answer.coverage[0].kind = evil_text.clone();
    evil_answer.why_not = Some(WhyNot {
        receptionist: evil_text.clone(),
        vendor: evil_text.clone(),
        patient: evil_text.clone(),
        action: evil_text.clone(),
    });
    let mut evil_problem = Problem::new(ProblemCode::CertificateHold).with_detail(EVIL).with_reason(EVIL);
    evil_problem.receptionist = evil_text.clone();
    evil_problem.action = evil_text;
    for phase in [
        Phase::Preparing { problem: Some(Box::new(evil_problem.clone())) },
        Phase::Consent { reader: DESK, question: question(EVIL) },
        result(TouchOutcome::Answer(Box::new(evil_answer)), CardPlace::OnReader),
        result(TouchOutcome::Problem(Box::new(evil_problem)), CardPlace::Taken),
    ] {
        for language in [Language::Ja, Language::En] {
            let main = MainPart::new(&phase, 0, language);
            let html = KioskPage { main, institution: EVIL.to_owned() }.render().unwrap();
            assert!(!html.contains("<script>"), "{html}");
            assert!(!html.contains("\" onload"), "{html}");
            assert!(!html.contains("alert('"), "{html}");
        }
    }
}

#[test]
fn the_main_language_is_on_top_and_is_the_documents() {
    let ja = page(&Phase::Idle, Language::Ja);
    assert!(ja.contains("<html lang=\"ja\">") && ja.contains("<span class=\"top\" lang=\"ja\">"));
    assert!(ja.contains("href=\"/kiosk?lang=en\"") && !ja.contains("<span class=\"top\" lang=\"en\">"));
    let en = page(&Phase::Idle, Language::En);
    assert!(en.contains("<html lang=\"en\">") && en.contains("<span class=\"top\" lang=\"en\">"));
    assert!(en.contains("href=\"/kiosk?lang=ja\"") && !en.contains("<span class=\"top\" lang=\"ja\">"));
}

#[test]
fn no_inline_script_no_inline_style_and_a_small_wire() {
    let mut largest = 0;
    for phase in [
        Phase::Idle,
        Phase::Consent { reader: DESK, question: question("見本内科") },
        answered(Validity::Multiple),
    ] {
        let html = page(&phase, Language::Ja);
        for inline in [" style=", "<style", "onclick", "<script>", "javascript:"] {
            assert!(!html.contains(inline), "{inline}");
        }
        assert!(html.contains("<noscript><meta http-equiv=\"refresh\""));
        largest = largest.max(html.len());
    }
    assert!(largest + KIOSK_CSS.len() + KIOSK_JS.len() <= 150_000);
    assert!(KIOSK_JS.lines().count() <= 150);
}

#[test]
fn the_result_is_marked_as_personal_and_the_taken_card_is_not_asked_for() {
    let on = MainPart::new(&answered(Validity::Valid), 0, Language::Ja);
    assert!(on.is_personal() && on.wants_card_taken());
    let taken = result(TouchOutcome::Answer(Box::new(answer(Validity::Valid, "見本"))), CardPlace::Taken);
    let off = MainPart::new(&taken, 0, Language::Ja);
    assert!(off.is_personal() && !off.wants_card_taken());
    assert!(!off.render().unwrap().contains("お取りください"));
    let left = MainPart::new(&Phase::TakeCard { reader: DESK, report: None }, 0, Language::Ja);
    assert!(!left.is_personal() && left.wants_card_taken());
}

/// WCAG 2.2 §1.4.3: contrast of two `#rrggbb` colours.
fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |colour: &str| {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    };
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn the_colours_of_the_style_sheet_keep_their_contrast() {
    let token = |name: &str| {
        let start = KIOSK_CSS.find(&format!("--{name}: ")).unwrap_or_else(|| panic!("{name}"));
        KIOSK_CSS[start..].split(": ").nth(1).unwrap()[..7].to_owned()
    };
    for (text, ground, least) in [
        ("gray-900", "white", 7.0),
        ("gray-700", "white", 7.0),
        ("gray-700", "gray-50", 4.5),
        ("gray-700", "green-50", 4.5),
        ("gray-700", "yellow-50", 4.5),
        ("gray-700", "red-50", 4.5),
        ("gray-900", "yellow-300", 7.0),
        ("white", "blue-900", 7.0),
        ("blue-900", "white", 7.0),
        ("blue-1000", "white", 7.0),
        ("green-1000", "green-50", 7.0),
        ("yellow-1100", "yellow-50", 4.5),
        ("red-1100", "red-50", 7.0),
        // Shapes and borders: WCAG 2.2 §1.4.11.
        ("green-800", "green-50", 3.0),
        ("yellow-900", "yellow-50", 3.0),
        ("red-900", "red-50", 3.0),
    ] {
        let found = contrast(&token(text), &token(ground));
        assert!(found >= least, "{text} on {ground}: {found:.2}");
    }
}
