//! The answer of `kazasu pki validate`, as one JSON object.

use super::files::Input;
use super::words;
use pki::asn1::time::CertificateTime;
use pki::certificate::Certificate;
use pki::name;
use pki::revocation::Status;
use pki::validate::error::Fault;
use pki::validate::input::RevocationRule;
use pki::validate::{CertificateStatus, Place, Question, Refusal, StatusSource, TrustAnchor, ValidPath};
use protocol::time::UnixSeconds;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A file, or a block of one, that was of no use.
#[derive(Debug, Serialize)]
pub(super) struct Ignored {
    pub(super) file: String,
    pub(super) why: String,
}

impl Ignored {
    /// What the file itself told, or else what its reader found.
    pub(super) fn of(input: &Input, found: &dyn std::fmt::Display) -> Self {
        let why = input.problem.clone().unwrap_or_else(|| found.to_string());
        Self { file: input.name.clone(), why }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) valid: bool,
    error: Option<Value>,
    path: Vec<Value>,
    policies: Vec<String>,
    revocation: Value,
    at: String,
    ignored: Vec<Ignored>,
}

impl Report {
    /// The chain holds no certificate at all.
    pub(super) fn unreadable_leaf(question: &Question) -> Self {
        let text = words::EMPTY_CHAIN;
        Self {
            valid: false,
            error: Some(json!({
                "code": "malformed",
                "place": Place::Leaf.to_string(),
                "certificate": 0,
                "message": { "ja": text.0, "en": text.1 },
            })),
            path: Vec::new(),
            policies: Vec::new(),
            revocation: not_checked(),
            at: rfc3339(question.at),
            ignored: Vec::new(),
        }
    }

    /// The outcome of a validation.
    pub(super) fn of(
        outcome: &Result<ValidPath<'_>, Refusal<'_>>,
        anchors: &[TrustAnchor],
        question: &Question,
    ) -> Self {
        match outcome {
            Ok(path) => Self::valid(path, question),
            Err(refusal) => Self::refused(refusal, anchors, question),
        }
    }

    pub(super) fn with_ignored(mut self, ignored: Vec<Ignored>) -> Self {
        self.ignored = ignored;
        self
    }

    fn valid(path: &ValidPath<'_>, question: &Question) -> Self {
        let statuses: Vec<_> = path.statuses().iter().copied().enumerate().collect();
        let mut shown = shown_path(path.certificates(), &statuses, question);
        shown.push(shown_anchor(path.anchor()));
        Self {
            valid: true,
            error: None,
            path: shown,
            policies: path.policies().policies.clone(),
            revocation: status_at(&statuses, 0, question),
            at: rfc3339(question.at),
            ignored: Vec::new(),
        }
    }

    fn refused(refusal: &Refusal<'_>, anchors: &[TrustAnchor], question: &Question) -> Self {
        let error = &refusal.error;
        let index = match error.place {
            Place::Leaf => 0,
            Place::Issuer(distance) => distance,
            Place::Anchor => refusal.certificates.len(),
        };
        let (ja, en) = words::explain(error, anchors.is_empty());
        let mut shown = details(&error.fault);
        shown.insert("code".into(), error.fault.code().into());
        shown.insert("place".into(), error.place.to_string().into());
        shown.insert("certificate".into(), index.into());
        shown.insert("message".into(), json!({ "ja": ja, "en": en }));
        let is_about_status = matches!(
            error.fault,
            Fault::Revoked { .. }
                | Fault::OnHold { .. }
                | Fault::StatusUnknown { .. }
                | Fault::StatusTooOld { .. }
        );
        let mut revocation = status_at(&refusal.statuses, if is_about_status { index } else { 0 }, question);
        if let Some(object) = revocation.as_object_mut().filter(|_| is_about_status) {
            object.insert("certificate".into(), index.into());
        }
        Self {
            valid: false,
            error: Some(Value::Object(shown)),
            path: shown_path(&refusal.certificates, &refusal.statuses, question),
            policies: Vec::new(),
            revocation,
            at: rfc3339(question.at),
            ignored: Vec::new(),
        }
    }

    /// The answer for people, both languages.
    pub(super) fn words(&self) -> String {
        let mut lines = Vec::new();
        let said = |error: &Value, language: &str| {
            error
                .pointer(&format!("/message/{language}"))
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        match &self.error {
            None => lines.push("有効です / valid".to_owned()),
            Some(error) => {
                lines.push(format!("無効です: {}", said(error, "ja")));
                lines.push(format!("not valid: {}", said(error, "en")));
            }
        }
        for entry in &self.path {
            let field = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let status = entry.pointer("/revocation/status").and_then(Value::as_str).unwrap_or("-");
            lines.push(format!("  {:<10} {:<12} {}", field("place"), status, field("subject")));
        }
        let status = self.revocation.get("status").and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("失効情報 / revocation: {} ({status})", words::status(status)));
        for Ignored { file, why } in &self.ignored {
            lines.push(format!("使えませんでした / of no use: {file}: {why}"));
        }
        lines.join("\n")
    }
}

fn rfc3339(at: UnixSeconds) -> String {
    CertificateTime::from(at).to_rfc3339()
}

fn subject_text(der: &[u8]) -> String {
    name::to_text(der).unwrap_or_else(|_| "?".to_owned())
}

fn sha256(der: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der))
}

fn shown_path(
    certificates: &[Certificate<'_>],
    statuses: &[(usize, CertificateStatus)],
    question: &Question,
) -> Vec<Value> {
    let shown = certificates.iter().enumerate().map(|(index, certificate)| {
        json!({
            "place": if index == 0 { Place::Leaf } else { Place::Issuer(index) }.to_string(),
            "subject": subject_text(certificate.subject_der()),
            "issuer": subject_text(certificate.issuer_der()),
            "not_before": certificate.not_before().to_rfc3339(),
            "not_after": certificate.not_after().to_rfc3339(),
            "sha256": sha256(certificate.as_der()),
            "revocation": status_at(statuses, index, question),
        })
    });
    shown.collect()
}

fn shown_anchor(anchor: &TrustAnchor) -> Value {
    json!({
        "place": Place::Anchor.to_string(),
        "subject": subject_text(anchor.subject_der()),
        "sha256": sha256(anchor.as_der()),
    })
}

fn not_checked() -> Value {
    json!({ "status": "not-checked", "reason": null, "this_update": null, "age_seconds": null })
}

/// The status of one certificate of the path: `{status, reason, this_update, age_seconds, …}`.
fn status_at(statuses: &[(usize, CertificateStatus)], index: usize, question: &Question) -> Value {
    let Some((_, found)) = statuses.iter().find(|(place, _)| *place == index) else { return not_checked() };
    if question.revocation == RevocationRule::None {
        return not_checked();
    }
    let mut shown = Map::new();
    let (status, reason) = match found.status {
        Status::Good { .. } => ("good", Value::Null),
        Status::Revoked { reason, at } => {
            shown.insert("revoked_at".into(), rfc3339(at).into());
            ("revoked", reason.as_str().into())
        }
        Status::Hold { since } => {
            shown.insert("revoked_at".into(), rfc3339(since).into());
            ("hold", "certificateHold".into())
        }
        Status::Unknown(cause) => {
            shown.insert("cause".into(), cause.to_string().into());
            ("unknown", Value::Null)
        }
        Status::Stale { limit_seconds, .. } => {
            shown.insert("limit_seconds".into(), limit_seconds.into());
            ("stale", Value::Null)
        }
    };
    shown.insert("status".into(), status.into());
    shown.insert("reason".into(), reason);
    shown.insert("this_update".into(), found.this_update.map(rfc3339).into());
    shown.insert("age_seconds".into(), found.this_update.map(|this| question.at.since(this)).into());
    if found.source != StatusSource::Nothing {
        shown.insert("source".into(), found.source.as_str().into());
    }
    Value::Object(shown)
}

/// What a fault found and what it wanted, field by field.
fn details(fault: &Fault) -> Map<String, Value> {
    let value = match fault {
        Fault::Malformed(fault) => json!({ "field": fault.what, "offset": fault.offset }),
        Fault::UnknownCriticalExtension { identifier, offset } => {
            json!({ "extension": identifier, "offset": offset })
        }
        Fault::WorkLimit { work, limit } => json!({ "work": work.as_str(), "limit": limit }),
        Fault::NotYetValid { not_before, .. } => json!({ "not_before": not_before.to_rfc3339() }),
        Fault::Expired { not_after, .. } => json!({ "not_after": not_after.to_rfc3339() }),
        Fault::KeyUsage { wanted } => json!({ "extension": "keyUsage", "wanted": wanted }),
        Fault::Purpose { wanted } => json!({ "extension": "extKeyUsage", "wanted": wanted }),
        Fault::NotAnAuthority | Fault::PathLength => json!({ "extension": "basicConstraints" }),
        Fault::Names(_) => json!({ "extension": "nameConstraints" }),
        Fault::Policy(_) => json!({ "extension": "certificatePolicies" }),
        Fault::Conformance { what, clause } => json!({ "rule": what, "clause": clause }),
        Fault::Profile { what } => json!({ "wanted": what }),
        Fault::Revoked { reason, at } => json!({ "reason": reason.as_str(), "revoked_at": rfc3339(*at) }),
        Fault::OnHold { since } => json!({ "reason": "certificateHold", "revoked_at": rfc3339(*since) }),
        Fault::StatusTooOld { this_update, age_seconds, limit_seconds } => json!({
            "this_update": rfc3339(*this_update),
            "age_seconds": age_seconds,
            "limit_seconds": limit_seconds,
        }),
        Fault::StatusUnknown { cause } => json!({ "cause": cause.to_string() }),
        Fault::NoIssuer
        | Fault::NoAnchor
        | Fault::BadSignature
        | Fault::Scheme(_)
        | Fault::WeakDigest
        | Fault::Key(_) => json!({}),
    };
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
