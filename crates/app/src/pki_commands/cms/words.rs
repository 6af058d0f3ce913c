//! What is wrong with a signature, as a problem: who is at fault, in both languages.

use crate::pki_commands::validate::words::explain;
use pki::asn1::time::CertificateTime;
use pki::cms::{CmsProblem, SignatureFault};
use pki::revocation::RevocationReason;
use pki::validate::error::{Fault, PathError};
use protocol::problem::{Problem, ProblemCode};
use protocol::time::UnixSeconds;

/// A file that is no signature of the form asked for.
pub(super) fn unreadable(problem: &CmsProblem) -> Problem {
    let ja = match problem {
        CmsProblem::Malformed(fault) => {
            format!("{} 番目のオクテットの {} を読めません", fault.offset, fault.what)
        }
        CmsProblem::NotSignedData(kind) => format!("SignedData ではありません ({kind})"),
        CmsProblem::OtherContentType(kind) => {
            format!("署名された内容の種類が id-data ではありません ({kind})")
        }
        CmsProblem::NoSigner => "署名者がいません".to_owned(),
        CmsProblem::TooMany { what, limit } => format!("{what} が上限の {limit} を超えています"),
    };
    Problem::new(ProblemCode::DocumentSignatureUnreadable).with_detail(format!("{ja} / {problem}"))
}

/// A signature that is not good.
pub(super) fn fault(fault: &SignatureFault) -> Problem {
    if let SignatureFault::Path(error) = fault {
        return of_path(error);
    }
    let (code, ja) = match fault {
        SignatureFault::Malformed(fault) => (
            ProblemCode::DocumentSignatureUnreadable,
            format!("{} 番目のオクテットの {} を読めません", fault.offset, fault.what),
        ),
        SignatureFault::WeakDigest => (ProblemCode::DocumentSignatureWeak, "SHA-1 による署名です".to_owned()),
        SignatureFault::Digest(kind) => {
            (ProblemCode::DocumentSignatureWeak, format!("ダイジェスト {kind} には対応していません"))
        }
        SignatureFault::Scheme(_) => {
            (ProblemCode::DocumentSignatureWeak, "署名方式に対応していません".to_owned())
        }
        SignatureFault::DigestsDiffer => (
            ProblemCode::DocumentSignatureInvalid,
            "digestAlgorithm と signatureAlgorithm のダイジェストが違います".to_owned(),
        ),
        SignatureFault::OtherDigest { found } => {
            (ProblemCode::DocumentSignatureInvalid, format!("{} による署名です", found.as_str()))
        }
        SignatureFault::AttributeMissing(what) => {
            (ProblemCode::DocumentSignatureInvalid, format!("署名属性に {what} がありません"))
        }
        SignatureFault::OtherContentType => (
            ProblemCode::DocumentSignatureInvalid,
            "署名属性の contentType が内容の種類と違います".to_owned(),
        ),
        SignatureFault::OtherContent => {
            (ProblemCode::DocumentChanged, "署名の中の内容が文書と違います".to_owned())
        }
        SignatureFault::Changed => {
            (ProblemCode::DocumentChanged, "messageDigest が文書のものと違います".to_owned())
        }
        SignatureFault::Ambiguous => (
            ProblemCode::DocumentSignatureInvalid,
            "文書が署名属性の形をしていて、何に署名したのか決められません".to_owned(),
        ),
        SignatureFault::SignerMissing => {
            (ProblemCode::DocumentSignerMissing, "署名者の証明書がありません".to_owned())
        }
        SignatureFault::Certificate(_) => {
            (ProblemCode::DocumentSignerNotValid, "署名者の証明書を使えません".to_owned())
        }
        SignatureFault::BadSignature => {
            (ProblemCode::DocumentSignatureInvalid, "署名者の鍵で検証できません".to_owned())
        }
        SignatureFault::OtherCertificate => (
            ProblemCode::DocumentSignatureInvalid,
            "signing-certificate-v2 が別の証明書を指しています".to_owned(),
        ),
        SignatureFault::NoSigningCertificate => (
            ProblemCode::DocumentSignatureInvalid,
            "署名属性に signing-certificate-v2 がありません".to_owned(),
        ),
        SignatureFault::Path(_) => (ProblemCode::DocumentSignerNotValid, String::new()),
    };
    Problem::new(code).with_detail(format!("{ja} / {fault}"))
}

/// The path of the signer's certificate: which certificate, which rule, and the times of its status.
fn of_path(error: &PathError) -> Problem {
    let (ja, en) = explain(error, false);
    let (code, reason, times) = match error.fault {
        Fault::Revoked { reason, at } => (ProblemCode::DocumentSignerRevoked, Some(reason), since(at)),
        Fault::OnHold { since: at } => {
            (ProblemCode::DocumentSignerOnHold, Some(RevocationReason::CertificateHold), since(at))
        }
        Fault::StatusUnknown { .. } => {
            let none = "thisUpdate -, age -, limit -, clock offset -".to_owned();
            (ProblemCode::DocumentSignerStatusUnknown, None, none)
        }
        Fault::StatusTooOld { this_update, age_seconds, limit_seconds } => {
            // A file says nothing about its issuer's clock.
            let times = format!(
                "thisUpdate {}, 経過 / age {age_seconds} s, 上限 / limit {limit_seconds} s, 時計の差 / clock offset -",
                rfc3339(this_update)
            );
            (ProblemCode::DocumentSignerStatusUnknown, None, times)
        }
        _ => (ProblemCode::DocumentSignerNotValid, None, String::new()),
    };
    let mut detail = format!("{ja} / {en}");
    if !times.is_empty() {
        detail.push_str("; ");
        detail.push_str(&times);
    }
    let problem = Problem::new(code).with_detail(detail);
    match reason {
        Some(reason) => problem.with_reason(reason.as_str()),
        None => problem,
    }
}

fn since(at: UnixSeconds) -> String {
    format!("失効日時 / since {}", rfc3339(at))
}

fn rfc3339(at: UnixSeconds) -> String {
    CertificateTime::from(at).to_rfc3339()
}
