//! The kiosk page: what each phase looks like, Japanese first with English beneath, or the other way round.
//!
//! Everything here is a pure function of a [`Screen`]; the templates lie in `templates/`. Every text that
//! comes from outside passes through an escaper, either askama's or [`Pair`]'s.

use crate::check_in::{CardPlace, ConsentToken, Phase, Progress};
use crate::report::{TouchOutcome, TouchReport};
use askama::Template;
use protocol::answer::{Answer, Bilingual, Coverage, Relation, Validity};
use protocol::consent::ConsentText;
use protocol::problem::{Culprit, Language, Problem};
use std::fmt;

mod dates;
mod texts;

pub use dates::{date_in_words, moment_in_words};

/// The style sheet, served at `/assets/kiosk.css`.
pub const KIOSK_CSS: &str = include_str!("../assets/kiosk.css");
/// The icon of the page, served at `/assets/kiosk.svg`: without one browsers ask for `/favicon.ico`.
pub const KIOSK_SVG: &str = include_str!("../assets/kiosk.svg");
/// The script, served at `/assets/kiosk.js`. The page works without it.
pub const KIOSK_JS: &str = include_str!("../assets/kiosk.js");

/// A text in both languages, the reader's first. Writes escaped HTML: two spans with their `lang`, or one
/// where both are the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    text: Bilingual,
    first: Language,
}

impl Pair {
    /// `text`, with the language of `first` on top.
    pub const fn new(text: Bilingual, first: Language) -> Self {
        Self { text, first }
    }

    /// The text in the reader's language alone, not escaped: askama escapes it.
    pub fn alone(&self) -> &str {
        match self.first {
            Language::Ja => &self.text.ja,
            Language::En => &self.text.en,
        }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.ja == self.text.en {
            // A name or a number: the same in every language, so it stands there once.
            f.write_str("<span class=\"top\">")?;
            escape(&self.text.ja, f)?;
            return f.write_str("</span>");
        }
        let (ja, en) = (("ja", &self.text.ja), ("en", &self.text.en));
        let (top, beneath) = match self.first {
            Language::Ja => (ja, en),
            Language::En => (en, ja),
        };
        write!(f, "<span class=\"top\" lang=\"{}\">", top.0)?;
        escape(top.1, f)?;
        write!(f, "</span> <span class=\"beneath\" lang=\"{}\">", beneath.0)?;
        escape(beneath.1, f)?;
        f.write_str("</span>")
    }
}

/// [`Pair`]'s `Display` escapes by itself.
impl askama::filters::HtmlSafe for Pair {}

/// Writes `text` so that it is text in HTML, also inside a quoted attribute.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for character in text.chars() {
        match character {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            other => fmt::Write::write_char(f, other)?,
        }
    }
    Ok(())
}

/// How a result looks before a word of it is read. Colour is never the only sign: each has its shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// Green, circle.
    Good,
    /// Amber, triangle.
    Caution,
    /// Red, cross.
    Stop,
}

impl Tone {
    /// Class name in the style sheet.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Caution => "caution",
            Self::Stop => "stop",
        }
    }

    const fn of_validity(validity: Validity) -> Self {
        match validity {
            Validity::Valid => Self::Good,
            Validity::InvalidNewerExists | Validity::Multiple | Validity::ValidUnregistered => Self::Caution,
            Validity::Invalid | Validity::NoCoverage => Self::Stop,
        }
    }

    const fn of_culprit(culprit: Culprit) -> Self {
        match culprit {
            Culprit::Card => Self::Stop,
            _ => Self::Caution,
        }
    }
}

/// One line of a result: what it is, and its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What it is.
    pub label: Pair,
    /// The value.
    pub value: Pair,
}

/// The result as it stands on the page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResultView {
    /// Colour and shape.
    pub tone: Tone,
    /// The one thing to read.
    pub word: Pair,
    /// What the patient pays, large; only for coverage in force.
    pub copay: Option<Pair>,
    /// The rest.
    pub rows: Vec<Row>,
    /// For the patient: why, and what to do.
    pub patient: Vec<Pair>,
    /// For the receptionist.
    pub receptionist: Vec<Pair>,
    /// For the vendor: code and text. Folded away.
    pub vendor: Vec<Pair>,
    /// Whether the card is still on the reader.
    pub take_card: bool,
}

/// The buttons' side of the consent screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsentView {
    /// Who asks for what.
    pub question: Pair,
    /// What is used.
    pub used: Vec<Pair>,
    /// What is not used.
    pub not_used: Vec<Pair>,
    /// The one-time token, 32 hex digits.
    pub token: String,
}

/// What the page shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Screen {
    /// The desk is not ready.
    Preparing {
        /// Why, if it is known: for the staff.
        why: Vec<Pair>,
    },
    /// Waiting for a card.
    Idle,
    /// Looking what card it is.
    Recognising,
    /// The question.
    Consent(ConsentView),
    /// Work in progress.
    Working {
        /// What is being done.
        step: Pair,
        /// Steps done.
        done: u32,
        /// Steps that are done when this one is.
        next: u32,
        /// All steps.
        of: u32,
    },
    /// The result.
    Result(Box<ResultView>),
    /// Take the card.
    TakeCard {
        /// Why the session ended, where it did not end in a result.
        why: Vec<Pair>,
    },
}

/// The whole page, or with [`MainPart`] its main part only.
#[derive(Template, Clone, Debug)]
#[template(path = "kiosk.html")]
pub struct KioskPage {
    /// The main part.
    pub main: MainPart,
    /// The institution this terminal is registered for, as the platform names it; empty before it did.
    pub institution: String,
}

/// The part of the page that changes with the phase.
#[derive(Template, Clone, Debug)]
#[template(path = "main.html")]
pub struct MainPart {
    /// What to show.
    pub screen: Screen,
    /// The language on top.
    pub language: Language,
    /// Name of the phase, for the script and the tests.
    pub phase: &'static str,
    /// The phase's epoch, for the script.
    pub epoch: u64,
}

/// [`MainPart`] escapes by itself; it is included in [`KioskPage`].
impl askama::filters::HtmlSafe for MainPart {}

impl KioskPage {
    /// `ja` or `en`.
    pub const fn lang(&self) -> &'static str {
        self.main.lang()
    }

    fn words(&self, ja: &str, en: &str) -> Pair {
        self.main.words(ja, en)
    }

    /// Seconds after which a browser without JavaScript looks again. The question stays longer, so that
    /// nobody's focus is taken away while they read.
    pub const fn refresh_seconds(&self) -> u32 {
        match self.main.screen {
            Screen::Consent(_) => 10,
            Screen::Idle | Screen::Preparing { .. } => 3,
            _ => 1,
        }
    }
}

impl MainPart {
    /// The main part for a phase.
    pub fn new(phase: &Phase, epoch: u64, language: Language) -> Self {
        Self { screen: screen(phase, language), language, phase: phase_name(phase), epoch }
    }

    /// `ja` or `en`.
    pub const fn lang(&self) -> &'static str {
        match self.language {
            Language::Ja => "ja",
            Language::En => "en",
        }
    }

    fn words(&self, ja: &str, en: &str) -> Pair {
        pair((ja, en), self.language)
    }

    fn preparing(&self) -> Pair {
        pair(texts::PREPARING, self.language)
    }

    fn place_card(&self) -> Pair {
        pair(texts::PLACE_CARD, self.language)
    }

    fn recognising(&self) -> Pair {
        pair(texts::RECOGNISING, self.language)
    }

    fn take_card(&self) -> Pair {
        pair(texts::TAKE_CARD, self.language)
    }

    /// What a screen reader says when this part comes on.
    pub fn announcement(&self) -> String {
        match &self.screen {
            Screen::Preparing { .. } => self.preparing(),
            Screen::Idle => self.place_card(),
            Screen::Recognising => self.recognising(),
            Screen::Consent(view) => view.question.clone(),
            Screen::Working { step, .. } => step.clone(),
            Screen::Result(view) => {
                let word = view.word.alone().to_owned();
                return if view.take_card { format!("{word} {}", self.take_card().alone()) } else { word };
            }
            Screen::TakeCard { .. } => self.take_card(),
        }
        .alone()
        .to_owned()
    }

    /// Whether somebody has to take a card: the script sounds then.
    pub const fn wants_card_taken(&self) -> bool {
        match &self.screen {
            Screen::Result(view) => view.take_card,
            Screen::TakeCard { .. } => true,
            _ => false,
        }
    }

    /// Whether the part shows something personal: the script wipes it when the terminal goes silent.
    pub const fn is_personal(&self) -> bool {
        matches!(self.screen, Screen::Result(_))
    }
}

/// Name of a phase on the wire and in the page.
pub const fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Preparing { .. } => "preparing",
        Phase::Idle => "idle",
        Phase::Recognising { .. } => "recognising",
        Phase::Consent { .. } => "consent",
        Phase::Working { .. } => "working",
        Phase::Result { .. } => "result",
        Phase::TakeCard { .. } => "take_card",
    }
}

fn pair(text: (&str, &str), language: Language) -> Pair {
    Pair::new(Bilingual::new(text.0, text.1), language)
}

fn screen(phase: &Phase, language: Language) -> Screen {
    match phase {
        Phase::Preparing { problem } => Screen::Preparing {
            why: problem.as_deref().map(|problem| staff_lines(problem, language)).unwrap_or_default(),
        },
        Phase::Idle => Screen::Idle,
        Phase::Recognising { .. } => Screen::Recognising,
        Phase::Consent { question, .. } => {
            Screen::Consent(consent_view(&question.text, &question.token, language))
        }
        Phase::Working { progress: Progress { step, done, next, of }, .. } => Screen::Working {
            step: Pair::new(step.text(), language),
            done: *done,
            next: *next,
            of: (*of).max(1),
        },
        Phase::Result { report, place, .. } => {
            Screen::Result(Box::new(result_view(report, *place, language)))
        }
        Phase::TakeCard { report, .. } => Screen::TakeCard {
            why: report
                .as_deref()
                .and_then(TouchReport::problem)
                .map(|problem| vec![Pair::new(problem.receptionist.clone(), language)])
                .unwrap_or_default(),
        },
    }
}

fn staff_lines(problem: &Problem, language: Language) -> Vec<Pair> {
    vec![Pair::new(problem.receptionist.clone(), language), Pair::new(problem.action.clone(), language)]
}

fn consent_view(text: &ConsentText, token: &ConsentToken, language: Language) -> ConsentView {
    let lines = |list: &[Bilingual]| list.iter().map(|line| Pair::new(line.clone(), language)).collect();
    ConsentView {
        question: Pair::new(text.question.clone(), language),
        used: lines(&text.used),
        not_used: lines(&text.not_used),
        token: token.to_hex(),
    }
}

fn result_view(report: &TouchReport, place: CardPlace, language: Language) -> ResultView {
    let take_card = place == CardPlace::OnReader;
    match &report.outcome {
        TouchOutcome::Answer(answer) => answer_view(answer, take_card, language),
        TouchOutcome::Problem(problem) => ResultView {
            tone: Tone::of_culprit(problem.culprit),
            word: Pair::new(problem.receptionist.clone(), language),
            copay: None,
            rows: Vec::new(),
            patient: vec![Pair::new(problem.action.clone(), language)],
            receptionist: Vec::new(),
            vendor: vendor_lines(problem, language),
            take_card,
        },
    }
}

fn vendor_lines(problem: &Problem, language: Language) -> Vec<Pair> {
    let same = |text: String| Pair::new(Bilingual::new(text.clone(), text), language);
    let mut lines = vec![same(problem.code.as_str().to_owned()), Pair::new(problem.vendor.clone(), language)];
    lines.extend(problem.reason.clone().map(same));
    if !problem.detail.is_empty() {
        lines.push(same(problem.detail.clone()));
    }
    lines
}

fn answer_view(answer: &Answer, take_card: bool, language: Language) -> ResultView {
    let text = |text| pair(text, language);
    let same = |value: &str| Pair::new(Bilingual::new(value, value), language);
    let date = |date| Pair::new(date_in_words(date), language);
    let mut rows = Vec::new();
    let mut row = |label, value| rows.push(Row { label, value });
    if let Some(person) = &answer.person {
        row(text(texts::NAME), same(&person.name));
        row(text(texts::BIRTH_DATE), date(&person.birth_date));
    }
    for coverage in &answer.coverage {
        for Row { label, value } in coverage_rows(coverage, language) {
            row(label, value);
        }
        // One share stands there large already.
        if single_copay(answer).is_none() {
            row(text(texts::SHARE), Pair::new(copay(coverage.copay_percent), language));
        }
    }
    if let Some(ended) = &answer.ended {
        row(text(texts::ENDED_INSURER), same(&ended.insurer_name));
        if let Some(last) = &ended.valid_to {
            row(text(texts::ENDED_ON), date(last));
        }
    }
    if let Some(newer) = &answer.newer {
        row(text(texts::NEWER_INSURER), same(&newer.insurer_name));
        row(text(texts::NEWER_FROM), date(&newer.valid_from));
    }
    row(text(texts::AS_OF), date(&answer.as_of));
    for load in &answer.loads {
        let Bilingual { ja, en } = moment_in_words(&load.loaded_at);
        let name = &load.insurer_name;
        let line = Bilingual::new(format!("{name} {ja}"), format!("{name}, {en}"));
        row(text(texts::DATA_FROM), Pair::new(line, language));
    }
    let why = answer.why_not.as_ref();
    let lines = |wanted: [Option<&Bilingual>; 2]| {
        wanted.into_iter().flatten().map(|line| Pair::new(line.clone(), language)).collect::<Vec<_>>()
    };
    ResultView {
        tone: Tone::of_validity(answer.validity),
        word: text(texts::validity(answer.validity)),
        copay: single_copay(answer).map(|percent| Pair::new(copay(percent), language)),
        rows,
        patient: lines([why.map(|why| &why.patient), why.map(|why| &why.action)]),
        receptionist: lines([why.map(|why| &why.receptionist), None]),
        vendor: lines([why.map(|why| &why.vendor), None]),
        take_card,
    }
}

/// The share is shown large only if there is exactly one, so that nobody reads the wrong one.
fn single_copay(answer: &Answer) -> Option<u8> {
    match answer.coverage.as_slice() {
        [one] => Some(one.copay_percent),
        _ => None,
    }
}

/// `3割` / `You pay 30 %`.
fn copay(percent: u8) -> Bilingual {
    let ja = if percent.is_multiple_of(10) {
        format!("{}割負担", percent / 10)
    } else {
        format!("{percent}%負担")
    };
    Bilingual::new(ja, format!("You pay {percent} %"))
}

fn coverage_rows(coverage: &Coverage, language: Language) -> Vec<Row> {
    let text = |text| pair(text, language);
    let same = |value: &str| Pair::new(Bilingual::new(value, value), language);
    let relation = match coverage.relation {
        Relation::Insured => texts::INSURED,
        Relation::Dependant => texts::DEPENDANT,
    };
    let mut rows = vec![
        Row { label: text(texts::INSURER), value: same(&coverage.insurer_name) },
        Row { label: text(texts::KIND), value: Pair::new(coverage.kind.clone(), language) },
        Row { label: text(texts::RELATION), value: text(relation) },
    ];
    if let Some(class) = &coverage.limit_class {
        rows.push(Row { label: text(texts::LIMIT_CLASS), value: same(class) });
    }
    rows
}

#[cfg(test)]
mod tests;
