//! Problems (RFC 9457): who is at fault, why, and what to do next, in Japanese and English, for the
//! receptionist and for the vendor.
//!
//! A [`ProblemCode`] is the whole vocabulary; its texts stand in one catalogue, so that a code
//! without texts does not compile and a test can read every one.

use crate::answer::Bilingual;
use crate::problem_catalogue::entry;
use crate::statement::FreshnessNonce;
use serde::{Deserialize, Serialize};

/// Whose move it is when something failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Culprit {
    /// The card, or its certificate.
    Card,
    /// The patient: consent, or a card taken away.
    Patient,
    /// The terminal: reader, Secure Element, its certificate, its clock.
    Terminal,
    /// The request, so the software that made it.
    Request,
    /// The line between terminal and platform.
    Network,
    /// The platform.
    Platform,
    /// Data that an insurer has to load or mend.
    Insurer,
    /// The command line that was typed.
    Operator,
    /// An authority: its responder or its lists.
    Authority,
    /// A document, its signature, or the certificate behind it.
    Document,
}

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $text:literal,)+) => {
        /// Every problem a room can answer with.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum ProblemCode {
            $($(#[$meta])* #[serde(rename = $text)] $variant,)+
        }

        impl ProblemCode {
            /// All codes, in catalogue order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// The request is not what the interface describes.
    MalformedRequest = "malformed_request",
    /// The body is larger than allowed.
    BodyTooLarge = "body_too_large",
    /// The content type is not JSON.
    UnsupportedMediaType = "unsupported_media_type",
    /// No such path.
    NotFound = "not_found",
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed",
    /// The terminal's client certificate has expired.
    TerminalCertificateExpired = "terminal_certificate_expired",
    /// The terminal's client certificate comes from another authority.
    TerminalCertificateForeign = "terminal_certificate_foreign",
    /// No client certificate was shown.
    TerminalCertificateMissing = "terminal_certificate_missing",
    /// A valid certificate of a terminal that is not registered.
    TerminalUnknown = "terminal_unknown",
    /// The terminal or its institution is suspended.
    TerminalSuspended = "terminal_suspended",
    /// The Secure Element is not the one registered with this terminal.
    SecureElementUnknown = "secure_element_unknown",
    /// The touch statement cannot be read.
    StatementMalformed = "statement_malformed",
    /// The statement names another terminal.
    StatementOtherTerminal = "statement_other_terminal",
    /// The statement names another institution.
    StatementOtherInstitution = "statement_other_institution",
    /// The statement's time is too far from the platform's.
    StatementTimeOff = "statement_time_off",
    /// The consent text is not one the platform knows.
    ConsentTextUnknown = "consent_text_unknown",
    /// The nonce has expired.
    NonceExpired = "nonce_expired",
    /// The nonce was not made here, or for another terminal.
    NonceForeign = "nonce_foreign",
    /// The counter is not above the highest one seen: a replay.
    StatementReplayed = "statement_replayed",
    /// The statement was made offline, and offline statements are not accepted yet.
    StatementOffline = "statement_offline",
    /// The sealed evidence does not open.
    EvidenceNotOpened = "evidence_not_opened",
    /// The card was spoken to in a way that the platform does not allow.
    CardProfileNotAllowed = "card_profile_not_allowed",
    /// The card's signature does not fit its certificate.
    CardSignatureInvalid = "card_signature_invalid",
    /// The certificate cannot be read.
    CertificateMalformed = "certificate_malformed",
    /// The certificate comes from another authority.
    CertificateForeign = "certificate_foreign",
    /// The certificate is not of the kind needed here.
    CertificateWrongProfile = "certificate_wrong_profile",
    /// The certificate is not valid yet.
    CertificateNotYetValid = "certificate_not_yet_valid",
    /// The certificate has expired.
    CertificateExpired = "certificate_expired",
    /// certificateHold: the card is reported lost.
    CertificateHold = "certificate_hold",
    /// affiliationChanged: the person has left the register.
    AffiliationChanged = "affiliation_changed",
    /// superseded: the certificate was renewed.
    Superseded = "superseded",
    /// cessationOfOperation: the card was handed back.
    CessationOfOperation = "cessation_of_operation",
    /// Revoked with another reason, or none.
    CertificateRevoked = "certificate_revoked",
    /// No revocation status, or one that is too old.
    RevocationStatusUnknown = "revocation_status_unknown",
    /// The platform has too much to do.
    PlatformOverloaded = "platform_overloaded",
    /// The platform's store or log refuses.
    PlatformStoreFailed = "platform_store_failed",
    /// The terminal does not reach the platform.
    PlatformUnreachable = "platform_unreachable",
    /// The platform's TLS certificate is not trusted.
    PlatformNotTrusted = "platform_not_trusted",
    /// The platform answered something that cannot be read.
    PlatformAnswerUnreadable = "platform_answer_unreadable",
    /// No reader, or it went away.
    ReaderMissing = "reader_missing",
    /// No card came in time.
    NoCardPresented = "no_card_presented",
    /// The card was taken away too early.
    CardRemoved = "card_removed",
    /// Another kind of card.
    CardOfOtherKind = "card_of_other_kind",
    /// The card refused a step.
    CardRefused = "card_refused",
    /// The card answered against its specification.
    CardMisbehaved = "card_misbehaved",
    /// This card has had its touches at this terminal for today.
    CardTouchesUsedUp = "card_touches_used_up",
    /// The card is not one of a known card issuer's, or only has somebody else's files.
    CardNotGenuine = "card_not_genuine",
    /// Protected traffic between Secure Element and card was disturbed.
    CardTrafficBroken = "card_traffic_broken",
    /// The patient pressed "stop".
    ConsentDeclined = "consent_declined",
    /// Nobody pressed OK in time.
    ConsentTimedOut = "consent_timed_out",
    /// The Secure Element is not armed.
    SecureElementLocked = "secure_element_locked",
    /// The certificates by which the institution proves itself to a card have expired, or do not allow it.
    InstitutionCertificateUnusable = "institution_certificate_unusable",
    /// The Secure Element refused a step.
    SecureElementRefused = "secure_element_refused",
    /// Another touch is going on at this desk.
    DeskBusy = "desk_busy",
    /// The page's form is stale or comes from another site.
    FormNotAccepted = "form_not_accepted",
    /// There is no town in this folder, or it is not running.
    TownNotRunning = "town_not_running",
    /// No specimen person of this name.
    PersonUnknown = "person_unknown",
    /// Another program holds the card in the reader.
    ReaderBusy = "reader_busy",
    /// The driver of virtual readers is not installed.
    ReaderDriverMissing = "reader_driver_missing",
    /// The card refused a PIN or password.
    SecretWrong = "secret_wrong",
    /// The PIN or password is blocked.
    SecretBlocked = "secret_blocked",
    /// So few tries are left that a mistake would block the PIN or password.
    SecretTriesTooFew = "secret_tries_too_few",
    /// A file is no recorded card dialogue.
    TraceUnreadable = "trace_unreadable",
    /// A card answers otherwise than the recorded one.
    TraceDiffers = "trace_differs",
    /// The operators have not signed a ceremony file as it is.
    CeremonyNotApproved = "ceremony_not_approved",
    /// A ceremony found something where its results belong, or a check of them failed.
    CeremonyRefused = "ceremony_refused",
    /// A key's file or token does not give or make the key.
    KeyPlaceRefused = "key_place_refused",
    /// A transcript and what lies beside it do not belong together.
    TranscriptDiffers = "transcript_differs",
    /// A file or a value that was named on the command line cannot be used.
    InputUnusable = "input_unusable",
    /// The linkage service does not know the key of the client's certificate.
    LinkageClientUnknown = "linkage_client_unknown",
    /// The client's certificate expired while it was connected.
    LinkageClientExpired = "linkage_client_expired",
    /// A question or a purpose that the client may not ask.
    LinkageNotAllowed = "linkage_not_allowed",
    /// More questions a minute than agreed.
    LinkageTooMany = "linkage_too_many",
    /// The authority's store or audit refuses.
    AuthorityStoreFailed = "authority_store_failed",
    /// The authority never issued this certificate.
    CertificateNotIssuedHere = "certificate_not_issued_here",
    /// A certificate's status does not change this way.
    StatusChangeRefused = "status_change_refused",
    /// An operator's request or decision does not count.
    ApprovalRefused = "approval_refused",
    /// The institution's terminals get no certificates.
    InstitutionNotAccredited = "institution_not_accredited",
    /// The audit has a hole, or a line was changed.
    AuditBroken = "audit_broken",
    /// Nobody answers at the OCSP responder's address.
    ResponderUnreachable = "responder_unreachable",
    /// The OCSP responder did not answer in time.
    ResponderTooSlow = "responder_too_slow",
    /// What came back from the OCSP responder is no OCSP response.
    ResponderAnswerUnreadable = "responder_answer_unreadable",
    /// The OCSP responder says tryLater or internalError.
    ResponderBusy = "responder_busy",
    /// The OCSP responder does not answer this request.
    ResponderRefuses = "responder_refuses",
    /// The OCSP answer is about another certificate.
    ResponderAnswerForAnother = "responder_answer_for_another",
    /// An OCSP answer made for another request, or older than one already seen.
    ResponderAnswerReplayed = "responder_answer_replayed",
    /// The OCSP answer does not repeat the nonce, and one was required.
    ResponderAnswerWithoutNonce = "responder_answer_without_nonce",
    /// The signer of the OCSP answer may not answer for the issuer.
    ResponderNotAuthorized = "responder_not_authorized",
    /// The OCSP answer is past its time.
    ResponderAnswerTooOld = "responder_answer_too_old",
    /// The OCSP answer is dated ahead of this machine's clock.
    ResponderAnswerFromFuture = "responder_answer_from_future",
    /// The OCSP responder does not know the certificate.
    ResponderDoesNotKnow = "responder_does_not_know",
    /// The OCSP responder says revoked or on hold.
    CertificateStatusRefused = "certificate_status_refused",
    /// A file is no signature of a form that is read here.
    DocumentSignatureUnreadable = "document_signature_unreadable",
    /// The document is not the one that was signed.
    DocumentChanged = "document_changed",
    /// The signature is not by the certificate's key, or its attributes do not hold.
    DocumentSignatureInvalid = "document_signature_invalid",
    /// A digest or algorithm that is not accepted.
    DocumentSignatureWeak = "document_signature_weak",
    /// The signer's certificate is not there.
    DocumentSignerMissing = "document_signer_missing",
    /// The signer's certificate is not valid for this at the time asked about.
    DocumentSignerNotValid = "document_signer_not_valid",
    /// The signer's certificate is revoked.
    DocumentSignerRevoked = "document_signer_revoked",
    /// The signer's certificate is on hold.
    DocumentSignerOnHold = "document_signer_on_hold",
    /// Nothing usable is known about the revocation of the signer's certificate.
    DocumentSignerStatusUnknown = "document_signer_status_unknown",
    /// A revocation list older than the one that what is kept rests on.
    RevocationListOlderThanKept = "revocation_list_older_than_kept",
    /// A receipt, or the log behind it, does not hold.
    ReceiptInvalid = "receipt_invalid",
    /// An insurer's file was not loaded: nothing of it counts.
    FeedRefused = "feed_refused",
    /// Another load of the same insurer was begun and not finished.
    FeedUnfinished = "feed_unfinished",
    /// A flow or an option that is not built yet.
    NotBuiltYet = "not_built_yet",
}

/// The language a reader asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Japanese.
    Ja,
    /// English.
    En,
}

impl Language {
    /// From an `Accept-Language` header (RFC 9110 §12.5.4): English if it ranks above Japanese, else Japanese.
    pub fn from_accept_language(header: Option<&str>) -> Self {
        let rank = |tag: &str| {
            header
                .unwrap_or("")
                .split(',')
                .filter_map(|part| {
                    let mut pieces = part.trim().split(';');
                    let name = pieces.next()?.trim();
                    let weight =
                        pieces.find_map(|p| p.trim().strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
                    let primary = name.split('-').next()?;
                    primary.eq_ignore_ascii_case(tag).then_some(weight)
                })
                .fold(0.0f32, f32::max)
        };
        if rank("en") > rank("ja") { Self::En } else { Self::Ja }
    }
}

/// A problem object, `application/problem+json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// Documentation of the code.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// Short text in the asked language.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time, without personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The code.
    pub code: ProblemCode,
    /// Whose move it is.
    pub culprit: Culprit,
    /// For the receptionist.
    pub receptionist: Bilingual,
    /// For the vendor.
    pub vendor: Bilingual,
    /// What to do now.
    pub action: Bilingual,
    /// RFC 5280 reason name, where the certificate was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which audit record stands behind a refusal by the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_record: Option<u64>,
    /// Seconds after which a repeat makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The next nonce, base64, where the refused call would have carried one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_nonce: Option<WireNonce>,
}

/// A nonce inside a problem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WireNonce(#[serde(with = "crate::base64_bytes")] pub FreshnessNonce);

impl Problem {
    /// The problem of `code` in Japanese; [`Problem::in_language`] changes the title.
    pub fn new(code: ProblemCode) -> Self {
        let texts = entry(code);
        Self {
            type_uri: format!("https://kazasu.example/problems/{}", code.as_str()),
            title: texts.title.0.to_owned(),
            status: texts.status,
            detail: String::new(),
            code,
            culprit: texts.culprit,
            receptionist: Bilingual::new(texts.title.0, texts.title.1),
            vendor: Bilingual::new(texts.vendor.0, texts.vendor.1),
            action: Bilingual::new(texts.action.0, texts.action.1),
            reason: None,
            audit_record: None,
            retry_after: None,
            next_nonce: None,
        }
    }

    /// With what happened this time. Never personal data.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// With the RFC 5280 reason name.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With the title in `language`.
    #[must_use]
    pub fn in_language(mut self, language: Language) -> Self {
        self.title = match language {
            Language::Ja => self.receptionist.ja.clone(),
            Language::En => self.receptionist.en.clone(),
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_every_text_and_a_status() {
        for code in ProblemCode::ALL {
            let problem = Problem::new(*code);
            for text in [&problem.receptionist, &problem.vendor, &problem.action] {
                assert!(!text.ja.is_empty() && !text.en.is_empty(), "{code:?}");
                assert!(!text.ja.is_ascii(), "{code:?}: the Japanese text is not Japanese");
                assert!(text.en.is_ascii(), "{code:?}: {}", text.en);
            }
            assert!((400..600).contains(&problem.status), "{code:?}");
        }
    }

    #[test]
    fn codes_are_unique_and_survive_json() {
        let mut seen = std::collections::HashSet::new();
        for code in ProblemCode::ALL {
            assert!(seen.insert(code.as_str()));
            let json = serde_json::to_string(&Problem::new(*code)).unwrap();
            let back: Problem = serde_json::from_str(&json).unwrap();
            assert_eq!(back.code, *code);
        }
    }

    #[test]
    fn language_follows_the_header() {
        assert_eq!(Language::from_accept_language(None), Language::Ja);
        assert_eq!(Language::from_accept_language(Some("en-US,en;q=0.9")), Language::En);
        assert_eq!(Language::from_accept_language(Some("ja,en;q=0.5")), Language::Ja);
        assert_eq!(Language::from_accept_language(Some("fr")), Language::Ja);
        assert_eq!(Language::from_accept_language(Some("en;q=0.8, ja;q=0.2")), Language::En);
    }
}
