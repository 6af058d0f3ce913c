//! The line to the eligibility platform: three calls, and every way they fail as a problem with a culprit.

use crate::error::of_client;
use chassis::admin::{Check, Readiness};
use chassis::client::{Client, ClientError, ClientLimits, Reply};
use protocol::eligibility_v1::{
    CHECK_PATH, CheckRequest, CheckResponse, NONCE_PATH, NonceRequest, NonceResponse, UNLOCK_PATH,
    UnlockRequest, UnlockResponse,
};
use protocol::problem::{Problem, ProblemCode};
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Name of the readiness check.
pub const READINESS: &str = "platform";
/// The longest reply that is read, in octets. An answer with several coverages needs about 4,000.
const REPLY_BYTES_MAX: usize = 256 * 1024;
/// A patient stands there: nobody waits for the platform longer than this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The platform, as this terminal reaches it.
#[derive(Debug)]
pub struct Platform {
    client: Client,
    readiness: Readiness,
    reached: AtomicBool,
}

/// One round trip, for the ladder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoundTrip {
    /// How long it took.
    pub elapsed: Duration,
    /// Octets sent on the connection, TLS included; 0 where no reply says so.
    pub bytes_out: u64,
    /// Octets received on the connection, TLS included.
    pub bytes_in: u64,
}

impl Platform {
    /// The platform behind `client`, a mutual TLS client with the terminal's certificate.
    pub fn new(client: Client, readiness: Readiness) -> Self {
        let limits = ClientLimits {
            request_timeout: REQUEST_TIMEOUT,
            reply_bytes_max: REPLY_BYTES_MAX,
            ..ClientLimits::default()
        };
        Self { client: client.with_limits(limits), readiness, reached: AtomicBool::new(false) }
    }

    /// Whether the last call reached the platform.
    pub fn is_reached(&self) -> bool {
        self.reached.load(Ordering::SeqCst)
    }

    /// Asks for a policy that arms the Secure Element.
    ///
    /// # Errors
    /// The platform's problem, or one of the line.
    pub async fn unlock(&self, request: &UnlockRequest) -> Result<UnlockResponse, Box<Problem>> {
        let reply = self.note(self.client.post_json(UNLOCK_PATH, request).await)?;
        read(&reply)
    }

    /// Asks for a nonce.
    ///
    /// # Errors
    /// The platform's problem, or one of the line.
    pub async fn nonce(&self) -> Result<(NonceResponse, RoundTrip), Box<Problem>> {
        let start = Instant::now();
        let reply = self.note(self.client.post_json(NONCE_PATH, &NonceRequest {}).await)?;
        let trip =
            RoundTrip { elapsed: start.elapsed(), bytes_out: reply.bytes_out, bytes_in: reply.bytes_in };
        Ok((read(&reply)?, trip))
    }

    /// One check. A response that was lost is asked for once more with the same bytes: the platform gives
    /// the same answer again. Every attempt is told to `on_round_trip`, because the patient waits for each.
    ///
    /// # Errors
    /// The platform's problem, or one of the line.
    pub async fn check(
        &self,
        request: &CheckRequest,
        mut on_round_trip: impl FnMut(RoundTrip),
    ) -> Result<CheckResponse, Box<Problem>> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let start = Instant::now();
            let outcome = self.client.post_json(CHECK_PATH, request).await;
            let (bytes_out, bytes_in) =
                outcome.as_ref().map_or((0, 0), |reply| (reply.bytes_out, reply.bytes_in));
            on_round_trip(RoundTrip { elapsed: start.elapsed(), bytes_out, bytes_in });
            if let Err(error) = &outcome
                && attempts == 1
                && may_have_been_answered(error)
            {
                metrics::counter!("desk_lost_responses_total").increment(1);
                tracing::warn!(%error, "the response was lost: repeating the same request once");
                continue;
            }
            return read(&self.note(outcome)?);
        }
    }

    fn note(&self, outcome: Result<Reply, ClientError>) -> Result<Reply, Box<Problem>> {
        self.reached.store(outcome.is_ok(), Ordering::SeqCst);
        let check = match &outcome {
            Ok(_) => Check::Ok,
            Err(error) => Check::NotReady(error.to_string()),
        };
        self.readiness.set(READINESS, check);
        outcome.map_err(|error| of_client(&error))
    }
}

/// Whether the request may have arrived although no reply came back.
const fn may_have_been_answered(error: &ClientError) -> bool {
    match error {
        ClientError::Protocol { .. } => true,
        ClientError::Timeout { waiting_for, .. } => matches!(waiting_for.as_bytes(), b"answer"),
        _ => false,
    }
}

/// The expected message of a 200, the problem of anything else.
fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, Box<Problem>> {
    let unreadable =
        |detail: String| Box::new(Problem::new(ProblemCode::PlatformAnswerUnreadable).with_detail(detail));
    if reply.status == 200 {
        return reply.json().map_err(|_| unreadable("status 200 with another body than expected".to_owned()));
    }
    Err(reply
        .json::<Box<Problem>>()
        .unwrap_or_else(|_| unreadable(format!("status {} without a problem", reply.status))))
}
