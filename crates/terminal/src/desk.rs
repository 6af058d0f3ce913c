//! The desk at work: one operating-system thread per reader for the blocking dialogue with the card, the
//! async side for the network and the page, and one [`CheckIn`] machine between them.
//!
//! After OK the patient waits for exactly one round trip, the check. The nonce for it came with the last
//! answer, or was fetched while the question was on the screen; only if OK is pressed faster than that, the
//! wait for it is a second round trip, and is counted as one.

use crate::check_in::{
    CheckIn, Consent, ConsentToken, Deadline, Ending, Epoch, Input, Output, Phase, Question,
};
use crate::check_in::{ReaderSlot, Refused};
use crate::config::DeskTimes;
use crate::custody::Custody;
use crate::nonce::{FreshNonce, NonceBook};
use crate::platform::Platform;
use crate::report::{StepPlace, Tally, TouchOutcome, TouchReport};
use crate::touch::{self, PURPOSES, TouchContext};
use card_io::CardChannel;
use chassis::admin::Readiness;
use chassis::shutdown::ShutdownSignal;
use protocol::consent::ConsentText;
use protocol::eligibility_v1::{CheckRequest, CheckResponse};
use protocol::entropy::Entropy;
use protocol::ids::InstitutionCode;
use protocol::problem::{Problem, ProblemCode};
use protocol::statement::FreshnessNonce;
use protocol::time::{Clock, UnixSeconds};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

mod arming;
mod readers;

pub use arming::READINESS;
pub use readers::{ReaderEntry, ReaderKind, ReaderState};

/// For whom this terminal asks, as the platform said when it armed the Secure Element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Institution {
    /// Code of the institution.
    pub code: InstitutionCode,
    /// Its name, as the question shows it.
    pub name: String,
}

/// What a desk is made of.
pub struct DeskParts {
    /// The Secure Element.
    pub custody: Custody,
    /// The line to the platform.
    pub platform: Platform,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance for the tokens of the page.
    pub entropy: Box<dyn Entropy>,
    /// The times of the desk.
    pub times: DeskTimes,
    /// Where readiness is shown.
    pub readiness: Readiness,
}

/// What the page and the API see: one moment of the session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Grows with every visible change.
    pub revision: u64,
    /// The phase's epoch.
    pub epoch: Epoch,
    /// The phase. Personal while it is a result.
    pub phase: Phase,
}

struct Machine {
    check_in: CheckIn,
    revision: u64,
}

struct Shared {
    machine: Mutex<Machine>,
    revision: watch::Sender<u64>,
    /// Where each reader's thread waits for the patient's OK.
    decisions: Mutex<BTreeMap<ReaderSlot, mpsc::Sender<Consent>>>,
    readers: Mutex<readers::Readers>,
    custody: Custody,
    platform: Platform,
    nonces: NonceBook,
    /// Held while a nonce is on its way, so that nobody asks for a second one.
    nonce_on_its_way: tokio::sync::Mutex<()>,
    institution: Mutex<Option<Institution>>,
    clock: Arc<dyn Clock>,
    /// Platform's clock minus ours, in seconds, as of the last arming.
    clock_offset_seconds: AtomicI64,
    entropy: Mutex<Box<dyn Entropy>>,
    times: DeskTimes,
    readiness: Readiness,
    arming_wanted: Notify,
    stop: AtomicBool,
    runtime: tokio::runtime::Handle,
    shutdown: ShutdownSignal,
}

/// A reception desk. Clones share it.
#[derive(Clone)]
pub struct Desk(Arc<Shared>);

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk(…)")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every value behind these locks is whole between two statements, so a panic elsewhere left no half.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Opens a desk without readers and begins to arm its Secure Element. Must be called inside a tokio
    /// runtime; ends with `shutdown`.
    pub fn open(parts: DeskParts, shutdown: ShutdownSignal) -> Self {
        let desk = Self(Arc::new(Shared {
            machine: Mutex::new(Machine { check_in: CheckIn::new(), revision: 1 }),
            revision: watch::Sender::new(1),
            decisions: Mutex::new(BTreeMap::new()),
            readers: Mutex::new(readers::Readers::default()),
            custody: parts.custody,
            platform: parts.platform,
            nonces: NonceBook::default(),
            nonce_on_its_way: tokio::sync::Mutex::new(()),
            institution: Mutex::new(None),
            clock: parts.clock,
            clock_offset_seconds: AtomicI64::new(0),
            entropy: Mutex::new(parts.entropy),
            times: parts.times,
            readiness: parts.readiness,
            arming_wanted: Notify::new(),
            stop: AtomicBool::new(false),
            runtime: tokio::runtime::Handle::current(),
            shutdown,
        }));
        tokio::spawn(arming::keep_armed(Arc::downgrade(&desk.0), desk.0.shutdown.clone()));
        desk
    }

    /// This moment of the session.
    pub fn session(&self) -> Session {
        let machine = lock(&self.0.machine);
        Session {
            revision: machine.revision,
            epoch: machine.check_in.epoch(),
            phase: machine.check_in.phase().clone(),
        }
    }

    /// The session as soon as its revision is above `after`, or as it is after `wait`.
    pub async fn session_after(&self, after: u64, wait: Duration) -> Session {
        let mut revisions = self.0.revision.subscribe();
        let changed = async { drop(revisions.wait_for(|revision| *revision > after).await) };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(wait) => {}
            () = self.0.shutdown.wait() => {}
        }
        self.session()
    }

    /// The session at once if `last` is none, else as soon as its revision is above; `None` at shutdown.
    pub async fn next_session(&self, last: Option<u64>) -> Option<Session> {
        if let Some(last) = last {
            let mut revisions = self.0.revision.subscribe();
            tokio::select! {
                changed = revisions.wait_for(|revision| *revision > last) => drop(changed.ok()?),
                () = self.0.shutdown.wait() => return None,
            }
        }
        Some(self.session())
    }

    /// For whom this terminal asks; `None` before the platform said so.
    pub fn institution(&self) -> Option<Institution> {
        lock(&self.0.institution).clone()
    }

    /// Somebody pressed OK on the screen with this token.
    ///
    /// # Errors
    /// [`Refused::StaleToken`].
    pub fn press_ok(&self, token: ConsentToken) -> Result<(), Refused> {
        self.feed(Input::OkPressed(token))
    }

    /// Somebody pressed stop on the screen with this token.
    ///
    /// # Errors
    /// [`Refused::StaleToken`].
    pub fn press_stop(&self, token: ConsentToken) -> Result<(), Refused> {
        self.feed(Input::StopPressed(token))
    }

    /// Ends the readers' threads and waits for them. A touch that is going on is finished first.
    pub async fn close(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
        let threads = lock(&self.0.readers).take_threads();
        let waiting = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a reader's thread had panicked");
                }
            }
        });
        drop(waiting.await);
    }

    fn is_stopping(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// The platform's clock, as far as we know it: the Secure Element counts by it.
    fn now(&self) -> UnixSeconds {
        let offset = self.0.clock_offset_seconds.load(Ordering::SeqCst);
        let now = self.0.clock.now();
        if offset < 0 { now.minus(offset.unsigned_abs()) } else { now.plus(offset.unsigned_abs()) }
    }

    /// One input for the machine, and what has to be done about its output.
    fn feed(&self, input: Input) -> Result<(), Refused> {
        let mut machine = lock(&self.0.machine);
        let epoch_before = machine.check_in.epoch();
        let (check_in, outcome) = std::mem::take(&mut machine.check_in).step(input);
        let (epoch, deadline) = (check_in.epoch(), check_in.deadline());
        machine.check_in = check_in;
        if outcome.is_ok() {
            machine.revision += 1;
            // Under the lock, so that revisions are published in their order.
            self.0.revision.send_replace(machine.revision);
        }
        drop(machine);
        if epoch != epoch_before {
            self.start_timer(deadline, epoch);
        }
        match outcome? {
            Output::Nothing | Output::Recognise => {}
            Output::Ask => self.prefetch_nonce(),
            Output::Begin(consent) => self.hand_over(consent),
            Output::Ended(ending) => count_session(ending),
        }
        Ok(())
    }

    /// An input whose refusal harms nobody: a late timer, a card that is gone already.
    fn tell(&self, input: Input) {
        if let Err(refused) = self.feed(input) {
            tracing::trace!(%refused, "late input");
        }
    }

    fn hand_over(&self, consent: Consent) {
        let reader = consent.reader();
        let waiting = lock(&self.0.decisions).get(&reader).cloned();
        if waiting.is_none_or(|thread| thread.send(consent).is_err()) {
            // The thread is gone, so nobody will ever say how this touch ended.
            let problem = Box::new(Problem::new(ProblemCode::ReaderMissing));
            self.tell(Input::Lost(reader, problem));
        }
    }

    fn start_timer(&self, deadline: Deadline, epoch: Epoch) {
        let wait = match deadline {
            Deadline::None => return,
            Deadline::Consent => self.0.times.consent,
            Deadline::ResultWithCard => self.0.times.result_with_card,
            Deadline::ResultAfterCard => self.0.times.result_after_card,
        };
        let desk = Arc::downgrade(&self.0);
        self.0.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(desk) = Self::alive(&desk) {
                // Refused if the phase is over: the epoch is another one then.
                desk.tell(Input::TimedOut(epoch));
            }
        });
    }

    fn alive(desk: &Weak<Shared>) -> Option<Self> {
        desk.upgrade().map(Self)
    }

    /// Has a nonce ready by the time the question is answered, off the patient's waiting time.
    fn prefetch_nonce(&self) {
        if self.0.nonces.lasts(self.now(), self.0.times.consent.as_secs()) {
            return;
        }
        let desk = self.clone();
        self.0.runtime.spawn(async move {
            let _on_its_way = desk.0.nonce_on_its_way.lock().await;
            // Answered already: the touch asks for itself, and two nonces would be one too many.
            if !matches!(desk.session().phase, Phase::Consent { .. }) {
                return;
            }
            if let Ok((response, _)) = desk.0.platform.nonce().await {
                desk.keep_nonce(response.next_nonce, response.validity_seconds);
            }
        });
    }

    /// The nonce for a touch. Waiting for one is a round trip the patient waits for.
    async fn nonce_for_touch(
        &self,
        reader: ReaderSlot,
        tally: &mut Tally,
    ) -> Result<FreshNonce, Box<Problem>> {
        if let Some(nonce) = self.0.nonces.take(self.now()) {
            return Ok(nonce);
        }
        self.tell(Input::StepDone(reader, touch::WAITING_FOR_FRESHNESS));
        let start = Instant::now();
        let on_its_way = self.0.nonce_on_its_way.lock().await;
        let (result, bytes) = match self.0.nonces.take(self.now()) {
            Some(nonce) => (Ok(nonce), (0, 0)),
            None => match self.0.platform.nonce().await {
                Ok((response, trip)) => {
                    let fresh =
                        FreshNonce::received(response.next_nonce, self.now(), response.validity_seconds);
                    (Ok(fresh), (trip.bytes_out, trip.bytes_in))
                }
                Err(problem) => (Err(problem), (0, 0)),
            },
        };
        drop(on_its_way);
        tally.network_round_trips += 1;
        tally.note_octets("fetch nonce", StepPlace::Network, start.elapsed(), bytes);
        result
    }

    fn keep_nonce(&self, nonce: FreshnessNonce, validity_seconds: u64) {
        self.0.nonces.keep(FreshNonce::received(nonce, self.now(), validity_seconds));
    }

    /// A question with a fresh token, in the name of the institution that the platform knows this terminal by.
    fn question(&self) -> Question {
        let name = self.institution().map(|institution| institution.name).unwrap_or_default();
        let mut entropy = lock(&self.0.entropy);
        Question {
            token: ConsentToken::draw(entropy.as_mut()),
            text: ConsentText::for_institution(&name, PURPOSES),
        }
    }

    /// The touch the patient agreed to, from OK to the answer. Blocks the reader's thread.
    fn work(&self, consent: Consent, channel: &mut dyn CardChannel, mut tally: Tally) -> TouchReport {
        let (start, steps_before) = (Instant::now(), tally.steps.len());
        let outcome = self.touch(consent, channel, &mut tally);
        let elapsed = start.elapsed();
        let accounted: f64 = tally.steps.iter().skip(steps_before).map(|step| step.ms).sum();
        let rest = elapsed.saturating_sub(Duration::from_secs_f64(accounted / 1_000.0));
        tally.note("desk's own work", StepPlace::Terminal, rest, 0, 0);
        metrics::histogram!("desk_touch_seconds").record(elapsed.as_secs_f64());
        if self.0.custody.is_running_low() {
            self.0.arming_wanted.notify_one();
        }
        match outcome {
            Ok(response) => {
                let audit_record = Some(response.audit_record);
                TouchReport::new(TouchOutcome::Answer(Box::new(response.answer)), audit_record, tally)
            }
            Err(problem) => {
                metrics::counter!("desk_problems_total", "code" => problem.code.as_str()).increment(1);
                tracing::info!(code = problem.code.as_str(), detail = %problem.detail, "touch ended in a problem");
                // An arming brings newer certificates too, if there are any.
                let renewable =
                    [ProblemCode::SecureElementLocked, ProblemCode::InstitutionCertificateUnusable];
                if renewable.contains(&problem.code) {
                    self.0.arming_wanted.notify_one();
                }
                TouchReport::of_problem(*problem, tally)
            }
        }
    }

    fn touch(
        &self,
        consent: Consent,
        channel: &mut dyn CardChannel,
        tally: &mut Tally,
    ) -> Result<CheckResponse, Box<Problem>> {
        let institution =
            self.institution().ok_or_else(|| Box::new(Problem::new(ProblemCode::SecureElementLocked)))?;
        let fresh = self.0.runtime.block_on(self.nonce_for_touch(consent.reader(), tally))?;
        let context = TouchContext {
            institution: institution.code,
            nonce: fresh.nonce(),
            // The Secure Element believes in no time before its last arming.
            time: self.now().max(self.0.custody.time_floor()),
        };
        let reader = consent.reader();
        let signed = touch::sign(consent, context, channel, &self.0.custody, tally, |progress| {
            self.tell(Input::StepDone(reader, progress));
        });
        if signed.is_err() && tally.card_signatures == 0 {
            self.0.nonces.put_back(fresh);
        }
        let touch = signed?;
        let request = CheckRequest {
            statement: touch.statement.to_vec(),
            evidence_key: touch.evidence_key,
            sealed: touch.sealed,
        };
        let checked = self.0.runtime.block_on(self.0.platform.check(&request, |trip| {
            tally.network_round_trips += 1;
            tally.note_octets("check", StepPlace::Network, trip.elapsed, (trip.bytes_out, trip.bytes_in));
        }));
        match &checked {
            Ok(response) => self.keep_nonce(response.next_nonce, self.0.times.nonce_seconds),
            Err(problem) => {
                if let Some(next) = &problem.next_nonce {
                    self.keep_nonce(next.0, self.0.times.nonce_seconds);
                }
            }
        }
        checked
    }
}

fn count_session(ending: Ending) {
    metrics::counter!("desk_sessions_total", "ending" => ending.label()).increment(1);
    tracing::info!(ending = ending.label(), "session ended");
}
