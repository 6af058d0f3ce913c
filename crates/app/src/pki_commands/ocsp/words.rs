//! What a responder's answer came to, in words and as a problem.

use super::carry::Carried;
use pki::asn1::time::CertificateTime;
use pki::ocsp::ResponseStatus;
use pki::ocsp::ask::{Answer, AnswerFault, AnswerRefused, AnswerTimes, ResponderFault};
use pki::revocation::{RevocationReason, Status};
use protocol::problem::{Problem, ProblemCode};
use protocol::time::UnixSeconds;

/// By how much the responder's clock is ahead of this machine's, and how that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Offset {
    pub(super) seconds: Option<i64>,
    /// `nonce`: producedAt of an answer made after we asked. `http-date`: a header that nobody signed.
    pub(super) from: Option<&'static str>,
}

impl Offset {
    pub(super) fn of(times: Option<&AnswerTimes>, carried: &Carried) -> Self {
        if let Some(seconds) = times.and_then(|times| times.clock_offset_seconds) {
            return Self { seconds: Some(seconds), from: Some("nonce") };
        }
        let seconds = carried.date.and_then(|(theirs, ours)| {
            let (theirs, ours) = (i64::try_from(theirs.0).ok()?, i64::try_from(ours.0).ok()?);
            Some(theirs.saturating_sub(ours))
        });
        Self { seconds, from: seconds.map(|_| "http-date") }
    }
}

/// An HTTP date, RFC 9110 §5.6.7 in the form that is sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<UnixSeconds> {
    let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(parsed.timestamp().as_second()).ok().map(UnixSeconds)
}

pub(super) fn rfc3339(at: UnixSeconds) -> String {
    CertificateTime::from(at).to_rfc3339()
}

/// thisUpdate, nextUpdate, age, limit and clock offset, in both languages.
pub(super) fn times(times: &AnswerTimes, offset: Offset) -> String {
    let next = times.next_update.map_or_else(|| "-".to_owned(), CertificateTime::to_rfc3339);
    let offset = match (offset.seconds, offset.from) {
        (Some(seconds), Some(from)) => format!("{seconds:+} s ({from})"),
        _ => "-".to_owned(),
    };
    format!(
        "thisUpdate {}, nextUpdate {next}, 経過 / age {} s, 上限 / limit {} s, 時計の差 / clock offset {offset}",
        times.this_update.to_rfc3339(),
        times.age_seconds,
        times.limit_seconds,
    )
}

/// The word of a believed answer, and the problem that it is unless it is good.
pub(super) fn status(answer: &Answer, offset: Offset) -> (&'static str, Option<Problem>) {
    let shown = times(answer.times(), offset);
    let refused = |reason: RevocationReason, at: UnixSeconds| {
        let detail = format!("失効日時 / since {}; {shown}", rfc3339(at));
        Problem::new(ProblemCode::CertificateStatusRefused).with_reason(reason.as_str()).with_detail(detail)
    };
    match answer.status() {
        Status::Good { .. } => ("good", None),
        Status::Revoked { reason, at } => ("revoked", Some(refused(reason, at))),
        Status::Hold { since } => ("hold", Some(refused(RevocationReason::CertificateHold, since))),
        Status::Unknown(_) | Status::Stale { .. } => {
            ("unknown", Some(Problem::new(ProblemCode::ResponderDoesNotKnow).with_detail(shown)))
        }
    }
}

/// A refused answer as a problem: what, and with which times.
pub(super) fn problem(refused: &AnswerRefused, offset: Offset) -> Problem {
    let (code, ja) = explain(&refused.fault);
    let mut detail = format!("{ja} / {}", refused.fault);
    if let Some(shown) = refused.times.as_ref().map(|found| times(found, offset)) {
        detail.push_str("; ");
        detail.push_str(&shown);
    }
    Problem::new(code).with_detail(detail)
}

fn explain(fault: &AnswerFault) -> (ProblemCode, String) {
    match fault {
        AnswerFault::Malformed(fault) => (
            ProblemCode::ResponderAnswerUnreadable,
            format!("{} 番目のオクテットの {} を読めません", fault.offset, fault.what),
        ),
        AnswerFault::UnknownCriticalExtension { offset } => (
            ProblemCode::ResponderAnswerUnreadable,
            format!("{offset} 番目のオクテットのクリティカル拡張を解釈できません"),
        ),
        AnswerFault::NotAnswered(status) => {
            let code = match status {
                ResponseStatus::TryLater | ResponseStatus::InternalError => ProblemCode::ResponderBusy,
                _ => ProblemCode::ResponderRefuses,
            };
            (code, format!("応答者が答えません ({})", status.as_str()))
        }
        AnswerFault::OtherCertificate => {
            (ProblemCode::ResponderAnswerForAnother, "別の証明書についての応答です".to_owned())
        }
        AnswerFault::OtherNonce => {
            (ProblemCode::ResponderAnswerReplayed, "送ったものと違うナンスです".to_owned())
        }
        AnswerFault::NoNonce => {
            (ProblemCode::ResponderAnswerWithoutNonce, "送ったナンスが返っていません".to_owned())
        }
        AnswerFault::Responder(fault) => (ProblemCode::ResponderNotAuthorized, responder(fault).to_owned()),
        AnswerFault::OlderThanSeen { seen, .. } => (
            ProblemCode::ResponderAnswerReplayed,
            format!("すでに受け取った {} の応答より古いものです", rfc3339(*seen)),
        ),
        AnswerFault::FromTheFuture { ahead_seconds, limit_seconds } => (
            ProblemCode::ResponderAnswerFromFuture,
            format!("{ahead_seconds} 秒先の日付です (許容 {limit_seconds} 秒)"),
        ),
        AnswerFault::TooOld { age_seconds, limit_seconds } => (
            ProblemCode::ResponderAnswerTooOld,
            format!("{age_seconds} 秒前のものです (上限 {limit_seconds} 秒)"),
        ),
        AnswerFault::Unusable(_) => (ProblemCode::ResponderAnswerUnreadable, "応答を使えません".to_owned()),
    }
}

const fn responder(fault: &ResponderFault) -> &'static str {
    match fault {
        ResponderFault::Stranger => "署名者は発行者ではなく、証明書も付いていません",
        ResponderFault::NoPurpose => "署名者の証明書に OCSPSigning がありません",
        ResponderFault::OtherIssuer => "署名者の証明書は別の発行者のものです",
        ResponderFault::OutOfDates { .. } => "署名者の証明書は有効期間の外です",
        ResponderFault::NotValid => "署名者の証明書が有効でないか、その失効情報が分かりません",
        ResponderFault::BadSignature => "署名が、名のっている鍵で検証できません",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(UnixSeconds(784_111_777)));
        for bad in ["", "yesterday", "1994-11-06"] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }
}
