//! One thread per reader: waits for a card, looks what it is, waits for the patient, does the touch, waits
//! for the card to be taken.

use super::{Desk, lock};
use crate::check_in::{Consent, Input, Phase, ReaderSlot};
use crate::error::of_reader;
use crate::report::{Tally, TouchReport};
use crate::touch;
use card_io::{CardChannel, PcscReader, Reader, ReaderError};
use protocol::problem::{Problem, ProblemCode};
use serde::Serialize;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a reader is asked for a card before the thread looks whether it is to stop.
const CARD_WAIT: Duration = Duration::from_millis(250);
/// How often it is looked whether the card is still there.
const PRESENCE: Duration = Duration::from_millis(100);
/// Pause before a reader that failed is tried again.
const READER_PAUSE: Duration = Duration::from_millis(500);

/// What kind of reader it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaderKind {
    /// Emulated cards connect to it.
    Virtual,
    /// A reader of this machine's PC/SC daemon.
    PcSc,
}

/// Whether a reader works.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "detail")]
pub enum ReaderState {
    /// Waiting for a card, or having one.
    Ready,
    /// Not there, or not usable: why.
    Missing(String),
}

/// A reader of this desk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ReaderEntry {
    /// Its place, from 0.
    pub slot: u32,
    /// Its name; before it was found, the part of its name that is looked for.
    pub name: String,
    /// Its kind.
    pub kind: ReaderKind,
    /// Whether it works.
    #[serde(flatten)]
    pub state: ReaderState,
}

#[derive(Default)]
pub(super) struct Readers {
    entries: Vec<ReaderEntry>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn take_threads(&mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.threads)
    }
}

/// Says that the reader is lost if its thread ends in the middle of a session, by a panic too.
struct Watch<'a>(&'a Desk, ReaderSlot);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.decisions).remove(&self.1);
        self.0.tell(Input::Lost(self.1, Box::new(Problem::new(ProblemCode::ReaderMissing))));
    }
}

impl Desk {
    /// The readers of this desk.
    pub fn readers(&self) -> Vec<ReaderEntry> {
        lock(&self.0.readers).entries.clone()
    }

    /// Attaches a reader and serves it on its own thread until the desk closes.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn attach(&self, reader: Box<dyn Reader>, kind: ReaderKind) -> std::io::Result<ReaderSlot> {
        let name = reader.name().to_owned();
        self.serve(name, kind, move |_, _| Some(reader))
    }

    /// Attaches the PC/SC reader whose name contains `name`. One that is attached already is left as it is.
    ///
    /// # Errors
    /// `reader_missing`, with the names that exist.
    pub async fn attach_pcsc(&self, name: &str) -> Result<String, Box<Problem>> {
        let wanted = name.to_owned();
        let opened = tokio::task::spawn_blocking(move || PcscReader::open(&wanted)).await;
        let reader = opened
            .map_err(|_| missing("the look for the reader broke off"))?
            .map_err(|error| missing(&error.to_string()))?;
        let name = reader.name().to_owned();
        if self.readers().iter().any(|entry| entry.kind == ReaderKind::PcSc && entry.name == name) {
            return Ok(name);
        }
        self.attach(Box::new(reader), ReaderKind::PcSc).map_err(|error| missing(&error.to_string()))?;
        Ok(name)
    }

    /// Attaches the PC/SC reader whose name contains `name` as soon as it is there.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn attach_pcsc_when_there(&self, name: &str) -> std::io::Result<ReaderSlot> {
        let wanted = name.to_owned();
        self.serve(name.to_owned(), ReaderKind::PcSc, move |desk, slot| {
            while !desk.is_stopping() {
                match PcscReader::open(&wanted) {
                    Ok(reader) => {
                        desk.rename(slot, reader.name());
                        return Some(Box::new(reader));
                    }
                    Err(error) => desk.note_state(slot, ReaderState::Missing(error.to_string())),
                }
                std::thread::sleep(READER_PAUSE);
            }
            None
        })
    }

    fn serve(
        &self,
        name: String,
        kind: ReaderKind,
        open: impl FnOnce(&Self, ReaderSlot) -> Option<Box<dyn Reader>> + Send + 'static,
    ) -> std::io::Result<ReaderSlot> {
        let mut readers = lock(&self.0.readers);
        let slot = ReaderSlot(u32::try_from(readers.entries.len()).unwrap_or(u32::MAX));
        let (sender, decisions) = mpsc::channel();
        lock(&self.0.decisions).insert(slot, sender);
        let desk = self.clone();
        let thread = std::thread::Builder::new().name(format!("reader-{}", slot.0)).spawn(move || {
            let watch = Watch(&desk, slot);
            if let Some(mut reader) = open(&desk, slot) {
                desk.run_reader(slot, reader.as_mut(), &decisions);
            }
            drop(watch);
        })?;
        readers.entries.push(ReaderEntry { slot: slot.0, name, kind, state: ReaderState::Ready });
        readers.threads.push(thread);
        Ok(slot)
    }

    fn with_entry(&self, slot: ReaderSlot, act: impl FnOnce(&mut ReaderEntry)) {
        if let Some(entry) = lock(&self.0.readers).entries.iter_mut().find(|entry| entry.slot == slot.0) {
            act(entry);
        }
    }

    fn rename(&self, slot: ReaderSlot, name: &str) {
        self.with_entry(slot, |entry| name.clone_into(&mut entry.name));
    }

    fn note_state(&self, slot: ReaderSlot, state: ReaderState) {
        self.with_entry(slot, |entry| {
            if entry.state != state {
                tracing::info!(reader = %entry.name, ?state, "reader");
                entry.state = state;
            }
        });
    }

    fn run_reader(&self, slot: ReaderSlot, reader: &mut dyn Reader, decisions: &Receiver<Consent>) {
        while !self.is_stopping() {
            match reader.wait_for_card(CARD_WAIT) {
                Ok(None) => self.note_state(slot, ReaderState::Ready),
                Ok(Some(mut channel)) => {
                    self.note_state(slot, ReaderState::Ready);
                    self.serve_card(slot, channel.as_mut(), decisions);
                    // Powers the card down before anything else happens on this reader.
                    drop(channel);
                }
                Err(error) => self.reader_failed(slot, &error),
            }
        }
    }

    fn reader_failed(&self, slot: ReaderSlot, error: &ReaderError) {
        let problem = of_reader(error);
        if matches!(error, ReaderError::CardMute { .. } | ReaderError::CardMisbehaved { .. }) {
            // There is a card, it only does not speak: the patient has to hear that.
            if self.feed(Input::CardInserted(slot)).is_ok() {
                self.finish(slot, TouchReport::of_problem(*problem, Tally::default()));
                self.tell(Input::CardRemoved(slot));
                self.let_result_be_read(slot);
            }
            return;
        }
        self.note_state(slot, ReaderState::Missing(error.to_string()));
        self.tell(Input::Lost(slot, problem));
        std::thread::sleep(READER_PAUSE);
    }

    fn finish(&self, slot: ReaderSlot, report: TouchReport) {
        // Refused only if the session was lost meanwhile.
        self.tell(Input::Finished(slot, Box::new(report)));
    }

    /// One card from the moment it lies there to the moment it is gone.
    fn serve_card(&self, slot: ReaderSlot, channel: &mut dyn CardChannel, decisions: &Receiver<Consent>) {
        // Not ready, or another card's turn: this one waits, untouched.
        while self.feed(Input::CardInserted(slot)).is_err() {
            std::thread::sleep(PRESENCE);
            if self.is_stopping() || !channel.is_present() {
                return;
            }
        }
        let mut broken = false;
        let mut tally = Tally::default();
        match touch::recognise(channel, &mut tally) {
            Ok(kind) => {
                let question = self.question();
                self.tell(Input::Recognised { reader: slot, kind, question });
            }
            Err(problem) => {
                broken = is_broken(&problem, channel);
                self.finish(slot, TouchReport::of_problem(*problem, std::mem::take(&mut tally)));
            }
        }
        loop {
            match decisions.recv_timeout(PRESENCE) {
                Ok(consent) => {
                    let report = self.work(consent, channel, std::mem::take(&mut tally));
                    broken = report.problem().is_some_and(|problem| is_broken(problem, channel));
                    self.finish(slot, report);
                }
                Err(RecvTimeoutError::Timeout) if channel.is_present() && !self.is_stopping() => {}
                Err(_) => {
                    self.tell(Input::CardRemoved(slot));
                    // OK in the very moment the card was taken: its consent is on its way and has to be
                    // answered, or the desk would work for ever.
                    if !self.is_working(slot) {
                        break;
                    }
                }
            }
        }
        if broken {
            self.let_result_be_read(slot);
        }
    }

    fn is_working(&self, slot: ReaderSlot) -> bool {
        matches!(self.session().phase, Phase::Working { reader, .. } if reader == slot)
    }

    /// A card that lies there but could not be spoken to would start over at once and sweep its own
    /// problem off the screen.
    fn let_result_be_read(&self, slot: ReaderSlot) {
        let shown = |phase: &Phase| matches!(phase, Phase::Result { reader, .. } if *reader == slot);
        while !self.is_stopping() && shown(&self.session().phase) {
            std::thread::sleep(PRESENCE);
        }
    }
}

/// Whether the card could not be spoken to, so that it counts as gone although it may lie there still.
fn is_broken(problem: &Problem, channel: &mut dyn CardChannel) -> bool {
    problem.code == ProblemCode::CardMisbehaved && !channel.is_present()
}

fn missing(detail: &str) -> Box<Problem> {
    Box::new(Problem::new(ProblemCode::ReaderMissing).with_detail(detail))
}
