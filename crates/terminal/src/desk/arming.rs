//! Keeps the Secure Element armed: at power-on, before the arming ends, when few uses are left, and when it
//! refused. Tries again with growing pauses; meanwhile the desk shows "getting ready" and why.

use super::{Desk, Institution, Shared, lock};
use crate::check_in::Input;
use chassis::admin::Check;
use chassis::shutdown::ShutdownSignal;
use protocol::eligibility_v1::UnlockResponse;
use protocol::ids::InstitutionCode;
use protocol::problem::{Problem, ProblemCode};
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Name of the readiness check.
pub const READINESS: &str = "secure_element";
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often a platform that was not reached is tried again, and the end of the arming is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Runs until shutdown, or until nobody holds the desk any more.
pub(super) async fn keep_armed(desk: Weak<Shared>, shutdown: ShutdownSignal) {
    let mut pause = PAUSE_MIN;
    loop {
        let Some(here) = Desk::alive(&desk) else { return };
        let armed = tokio::select! {
            armed = here.arm_once() => armed,
            () = shutdown.wait() => return,
        };
        drop(here);
        if armed {
            pause = PAUSE_MIN;
            if !wait_for_need(&desk, &shutdown).await {
                return;
            }
        } else {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.wait() => return,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Waits until the arming has to be renewed; `false` at shutdown.
async fn wait_for_need(desk: &Weak<Shared>, shutdown: &ShutdownSignal) -> bool {
    loop {
        let Some(here) = Desk::alive(desk) else { return false };
        let asked = tokio::select! {
            () = here.0.arming_wanted.notified() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
            () = shutdown.wait() => return false,
        };
        if asked || here.0.custody.renew_at().is_none_or(|at| here.now() >= at) {
            return true;
        }
        if !here.0.platform.is_reached() {
            here.prefetch_nonce_now().await;
        }
    }
}

impl Desk {
    /// One attempt. A failed renewal does not take away an arming that still holds.
    async fn arm_once(&self) -> bool {
        match self.0.custody.arm(&self.0.platform).await.and_then(|response| self.learn(&response)) {
            Ok(()) => {
                self.0.readiness.set(READINESS, Check::Ok);
                metrics::counter!("desk_armings_total", "outcome" => "armed").increment(1);
                self.tell(Input::Armed);
                true
            }
            Err(problem) => {
                metrics::counter!("desk_armings_total", "outcome" => problem.code.as_str()).increment(1);
                tracing::warn!(code = problem.code.as_str(), detail = %problem.detail, "Secure Element not armed");
                if !self.0.custody.is_armed(self.now()) || self.institution().is_none() {
                    self.0.readiness.set(READINESS, Check::NotReady(problem.code.as_str().to_owned()));
                    self.tell(Input::Disarmed(Some(problem)));
                }
                false
            }
        }
    }

    /// Institution, clock and first nonce, as the platform says them.
    fn learn(&self, response: &UnlockResponse) -> Result<(), Box<Problem>> {
        let code = InstitutionCode::parse(&response.institution_code).map_err(|_| {
            Box::new(Problem::new(ProblemCode::PlatformAnswerUnreadable).with_detail("institution code"))
        })?;
        *lock(&self.0.institution) = Some(Institution { code, name: response.institution_name.clone() });
        let ours = i64::try_from(self.0.clock.now().0).unwrap_or(i64::MAX);
        let theirs = i64::try_from(response.server_time).unwrap_or(i64::MAX);
        self.0.clock_offset_seconds.store(theirs.saturating_sub(ours), Ordering::SeqCst);
        self.keep_nonce(response.next_nonce, self.0.times.nonce_seconds);
        Ok(())
    }

    /// Reaches for the platform again, and keeps the nonce that comes of it.
    async fn prefetch_nonce_now(&self) {
        let _on_its_way = self.0.nonce_on_its_way.lock().await;
        if let Ok((response, _)) = self.0.platform.nonce().await {
            self.keep_nonce(response.next_nonce, response.validity_seconds);
        }
    }
}
