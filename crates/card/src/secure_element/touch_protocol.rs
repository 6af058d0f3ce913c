//! What passes between the terminal and the Secure Element during a touch: terms, steps, answers.
//!
//! Both sides use this one file: the Secure Element writes what the terminal's relay reads.

use crate::apdu::StatusWord;
use crate::dialogue::Misbehaviour;
use crate::tlv::{self, Tag, TlvReader};
use protocol::answer::CardProfile;
use protocol::ids::InstitutionCode;
use protocol::sealed_evidence::{EVIDENCE_KEY_LEN, EvidencePublicKey, SealedEvidence};
use protocol::statement::{FreshnessNonce, NONCE_LEN, Purposes, STATEMENT_LEN};
use protocol::time::UnixSeconds;

/// Dynamic authentication template: stands around everything here.
pub const TAG_TOUCH: Tag = Tag(0x7C);
const PURPOSES: Tag = Tag(0x80);
const INSTITUTION: Tag = Tag(0x81);
const NONCE: Tag = Tag(0x82);
const CONSENT: Tag = Tag(0x83);
const TIME: Tag = Tag(0x84);
const STEP: Tag = Tag(0x80);
const COMMAND: Tag = Tag(0x81);
/// The card's response, in CONTINUE TOUCH.
pub const TAG_RESPONSE: Tag = Tag(0x81);
const STATEMENT: Tag = Tag(0x83);
const SEALED: Tag = Tag(0x84);
const EVIDENCE_KEY: Tag = Tag(0x86);
const FAILURE: Tag = Tag(0x8F);

/// What the terminal says when it begins a touch. Terminal, mode and counter are not among it: these the
/// Secure Element knows better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TouchTerms {
    /// What the patient agreed to.
    pub purposes: Purposes,
    /// Who asks.
    pub institution: InstitutionCode,
    /// The platform's freshness.
    pub nonce: FreshnessNonce,
    /// SHA-256 of the consent text as shown.
    pub consent_text_hash: [u8; 32],
    /// When; must lie within the arming.
    pub time: UnixSeconds,
}

impl TouchTerms {
    /// Data of BEGIN TOUCH: `7C{80 purposes(2), 81 institution(10), 82 nonce(40), 83 consent hash(32),
    /// 84 time(8)}`.
    pub fn encode(&self) -> Vec<u8> {
        let mut inner = tlv::encode(PURPOSES, &self.purposes.bits().to_be_bytes());
        tlv::write(&mut inner, INSTITUTION, self.institution.as_bytes());
        tlv::write(&mut inner, NONCE, &self.nonce.0);
        tlv::write(&mut inner, CONSENT, &self.consent_text_hash);
        tlv::write(&mut inner, TIME, &self.time.0.to_be_bytes());
        tlv::encode(TAG_TOUCH, &inner)
    }

    /// Parses what [`Self::encode`] made. A consent hash that is missing, or all zeros, is no consent.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut objects = TlvReader::new(tlv::read_single(data, TAG_TOUCH).ok()?);
        let purposes: &[u8; 2] = objects.expect_array(PURPOSES).ok()?;
        let institution = std::str::from_utf8(objects.expect(INSTITUTION).ok()?).ok()?;
        let nonce: &[u8; NONCE_LEN] = objects.expect_array(NONCE).ok()?;
        let consent_text_hash: &[u8; 32] = objects.expect_array(CONSENT).ok()?;
        let time = objects.expect_array(TIME).ok()?;
        objects.finish().ok()?;
        if consent_text_hash.iter().all(|octet| *octet == 0) {
            return None;
        }
        Some(Self {
            purposes: Purposes::parse(u16::from_be_bytes(*purposes)).ok()?,
            institution: InstitutionCode::parse(institution).ok()?,
            nonce: FreshnessNonce(*nonce),
            consent_text_hash: *consent_text_hash,
            time: UnixSeconds(u64::from_be_bytes(*time)),
        })
    }
}

macro_rules! steps {
    ($($(#[$meta:meta])* $variant:ident = $number:literal, $name:literal;)+) => {
        /// A step of a touch: one command to the card. Numbers travel; names are for people.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum TouchStep {
            $($(#[$meta])* $variant,)+
        }

        impl TouchStep {
            /// Every step.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its number.
            pub const fn number(self) -> u8 {
                match self { $(Self::$variant => $number,)+ }
            }

            /// The step of a number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// What happens here, in plain English: for ladders, logs and errors.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

steps! {
    /// SELECT by name.
    SelectApplication = 0x01, "select JPKI-AP";
    /// READ BINARY of EF 000A: one for every 256 octets, or one inside the channel.
    ReadCertificate = 0x02, "read authentication certificate";
    /// SELECT of EF 0016 (`jicsap`).
    SelectTerminalRoot = 0x03, "select terminal root";
    /// First half of the accredited body's certificate (`jicsap`).
    LoadIntermediate = 0x04, "load accredited body's certificate";
    /// Second half (`jicsap`).
    LoadIntermediateSignature = 0x05, "load accredited body's certificate signature";
    /// First half of the terminal's certificate (`jicsap`).
    LoadLeaf = 0x06, "load terminal certificate";
    /// Second half (`jicsap`).
    LoadLeafSignature = 0x07, "load terminal certificate signature";
    /// GET CHALLENGE.
    GetChallenge = 0x08, "get challenge";
    /// EXTERNAL AUTHENTICATE.
    ExternalAuthenticate = 0x09, "external authenticate";
    /// The one signature.
    SignStatement = 0x0A, "sign statement";
    /// SELECT of EF 011C (`eac`).
    SelectSecurityInfos = 0x11, "select SecurityInfos";
    /// READ BINARY of EF 011C (`eac`).
    ReadSecurityInfos = 0x12, "read SecurityInfos";
    /// SELECT of EF 011D (`eac`).
    SelectBatchCertificate = 0x13, "select batch certificate";
    /// READ BINARY of EF 011D (`eac`).
    ReadBatchCertificate = 0x14, "read batch certificate";
    /// MSE: SET AT for chip authentication (`eac`).
    ChooseChipAuthentication = 0x15, "choose chip authentication";
    /// GENERAL AUTHENTICATE (`eac`); from here on commands and responses are protected.
    AgreeKeys = 0x16, "agree keys";
    /// MSE: SET DST (`eac`).
    ChooseIssuer = 0x17, "choose issuer of the next certificate";
    /// PSO: VERIFY CERTIFICATE (`eac`).
    ShowCertificate = 0x18, "show certificate";
    /// MSE: SET AT for terminal authentication (`eac`).
    ChooseTerminalAuthentication = 0x19, "choose terminal authentication";
}

/// What the Secure Element does where it has nothing to compute.
pub const NEXT_COMMAND: &str = "next command";

impl TouchStep {
    /// The card dialogue that this step gives away; none for those that every dialogue has.
    pub const fn profile(self) -> Option<CardProfile> {
        match self {
            Self::SelectTerminalRoot
            | Self::LoadIntermediate
            | Self::LoadIntermediateSignature
            | Self::LoadLeaf
            | Self::LoadLeafSignature => Some(CardProfile::Jicsap),
            Self::ReadSecurityInfos
            | Self::SelectBatchCertificate
            | Self::ReadBatchCertificate
            | Self::ChooseChipAuthentication
            | Self::AgreeKeys
            | Self::ChooseIssuer
            | Self::ShowCertificate
            | Self::ChooseTerminalAuthentication => Some(CardProfile::Eac),
            // SELECT of SecurityInfos asks whether the card has the profile.
            Self::SelectSecurityInfos
            | Self::SelectApplication
            | Self::ReadCertificate
            | Self::GetChallenge
            | Self::ExternalAuthenticate
            | Self::SignStatement => None,
        }
    }

    /// What the Secure Element does with the card's response before it goes on, in the dialogue that has
    /// shown so far.
    pub const fn secure_element_then(self, profile: Option<CardProfile>) -> &'static str {
        match (self, profile) {
            (Self::ReadBatchCertificate, _) => "check that the card is genuine",
            (Self::ChooseChipAuthentication, _) => "make key pair",
            (Self::AgreeKeys, _) => "derive session keys",
            (Self::GetChallenge, Some(CardProfile::Eac)) => "prove institution",
            (Self::GetChallenge, _) => "count use and prove institution",
            (Self::ReadCertificate, Some(CardProfile::Eac)) => "count use",
            (Self::SignStatement, _) => "check signature and seal evidence",
            _ => NEXT_COMMAND,
        }
    }
}

/// Why a touch ended without evidence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TouchFault {
    /// The card refused.
    CardRefused(StatusWord),
    /// The card broke the protocol.
    CardMisbehaved(Misbehaviour),
    /// The card has no JPKI application.
    WrongCard,
    /// This card has had its touches for today.
    TouchesUsedUp,
    /// The card knows none of the profiles that the platform allows.
    ProfileNotAllowed,
    /// The card's batch is not one of the card issuer's.
    NotGenuine,
    /// The card does not have the key of its batch: a copy of somebody's files.
    NotProved,
    /// Protected traffic was lost, changed, repeated or ended; with the card's word, or 0000 where its
    /// answer was not one of secure messaging.
    ChannelBroken(StatusWord),
    /// The institution's certificates have expired, or do not allow this.
    CertificatesUnusable,
}

/// Where and why a touch ended without evidence: `8F` with step, kind, and the card's status word (or
/// 0000 where it has none; 6A84 for a card whose touches are used up).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TouchFailure {
    /// The step whose response it was.
    pub step: TouchStep,
    /// Why.
    pub fault: TouchFault,
}

impl TouchFailure {
    fn encode(self) -> [u8; 4] {
        let none = StatusWord(0);
        let (kind, status) = match self.fault {
            TouchFault::CardRefused(status) => (1, status),
            TouchFault::CardMisbehaved(Misbehaviour::NoStatusWord) => (2, none),
            TouchFault::CardMisbehaved(Misbehaviour::Length) => (3, StatusWord::OK),
            TouchFault::CardMisbehaved(Misbehaviour::Malformed) => (4, StatusWord::OK),
            TouchFault::CardMisbehaved(Misbehaviour::Signature) => (5, StatusWord::OK),
            TouchFault::WrongCard => (6, StatusWord::NOT_FOUND),
            TouchFault::TouchesUsedUp => (7, StatusWord::USES_EXHAUSTED),
            TouchFault::ProfileNotAllowed => (8, none),
            TouchFault::NotGenuine => (9, StatusWord::OK),
            TouchFault::NotProved => (10, StatusWord::OK),
            TouchFault::ChannelBroken(status) => (11, status),
            TouchFault::CertificatesUnusable => (12, none),
        };
        let [high, low] = status.0.to_be_bytes();
        [self.step.number(), kind, high, low]
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let &[step, kind, high, low] = bytes else { return None };
        let status = StatusWord(u16::from_be_bytes([high, low]));
        let fault = match kind {
            1 => TouchFault::CardRefused(status),
            2 => TouchFault::CardMisbehaved(Misbehaviour::NoStatusWord),
            3 => TouchFault::CardMisbehaved(Misbehaviour::Length),
            4 => TouchFault::CardMisbehaved(Misbehaviour::Malformed),
            5 => TouchFault::CardMisbehaved(Misbehaviour::Signature),
            6 => TouchFault::WrongCard,
            7 => TouchFault::TouchesUsedUp,
            8 => TouchFault::ProfileNotAllowed,
            9 => TouchFault::NotGenuine,
            10 => TouchFault::NotProved,
            11 => TouchFault::ChannelBroken(status),
            12 => TouchFault::CertificatesUnusable,
            _ => return None,
        };
        let failure = Self { step: TouchStep::from_number(step)?, fault };
        // One failure has one form.
        (failure.encode() == bytes).then_some(failure)
    }
}

/// What the Secure Element answers to BEGIN TOUCH and CONTINUE TOUCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TouchAnswer {
    /// Carry this command to the card: `7C{80 step, 81 command}`.
    Send {
        /// What it is for.
        step: TouchStep,
        /// The command APDU.
        command: Vec<u8>,
    },
    /// The touch is done: `7C{83 statement, 84 sealed evidence, 86 evidence key}`.
    Done {
        /// The encoded statement.
        statement: Box<[u8; STATEMENT_LEN]>,
        /// What the card answered, for the platform's eyes.
        sealed: SealedEvidence,
        /// The Secure Element's key of the arming in which the touch began: a new arming may have come
        /// in the middle.
        evidence_key: EvidencePublicKey,
    },
    /// The touch is over without evidence: `7C{8F failure}`.
    Failed(TouchFailure),
}

impl TouchAnswer {
    /// The answer's data.
    pub fn encode(&self) -> Vec<u8> {
        let inner = match self {
            Self::Send { step, command } => {
                let mut inner = tlv::encode(STEP, &[step.number()]);
                tlv::write(&mut inner, COMMAND, command);
                inner
            }
            Self::Done { statement, sealed, evidence_key } => {
                let mut inner = tlv::encode(STATEMENT, statement.as_slice());
                tlv::write(&mut inner, SEALED, sealed.as_ref());
                tlv::write(&mut inner, EVIDENCE_KEY, &evidence_key.0);
                inner
            }
            Self::Failed(failure) => tlv::encode(FAILURE, &failure.encode()),
        };
        tlv::encode(TAG_TOUCH, &inner)
    }

    /// Parses what [`Self::encode`] made.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut objects = TlvReader::new(tlv::read_single(data, TAG_TOUCH).ok()?);
        let first = objects.read().ok()?;
        let answer = match first.tag {
            STEP => {
                let &[number] = first.value else { return None };
                let command = objects.expect(COMMAND).ok()?.to_vec();
                Self::Send { step: TouchStep::from_number(number)?, command }
            }
            STATEMENT => {
                let statement = Box::new(first.value.try_into().ok()?);
                let sealed = SealedEvidence::try_from(objects.expect(SEALED).ok()?.to_vec()).ok()?;
                let evidence_key: &[u8; EVIDENCE_KEY_LEN] = objects.expect_array(EVIDENCE_KEY).ok()?;
                let evidence_key = EvidencePublicKey::try_from(evidence_key.to_vec()).ok()?;
                Self::Done { statement, sealed, evidence_key }
            }
            FAILURE => Self::Failed(TouchFailure::parse(first.value)?),
            _ => return None,
        };
        objects.finish().ok()?;
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn terms() -> TouchTerms {
        TouchTerms {
            purposes: Purposes::ELIGIBILITY,
            institution: InstitutionCode::parse("1312345678").unwrap(),
            nonce: FreshnessNonce([9; NONCE_LEN]),
            consent_text_hash: [8; 32],
            time: UnixSeconds(1_800_000_000),
        }
    }

    fn answers() -> Vec<TouchAnswer> {
        let mut answers: Vec<TouchAnswer> = TouchStep::ALL
            .iter()
            .map(|step| TouchAnswer::Send { step: *step, command: vec![0, 0xA4, 4, 0] })
            .collect();
        answers.push(TouchAnswer::Done {
            statement: Box::new([1; STATEMENT_LEN]),
            sealed: SealedEvidence::try_from(vec![2; 1500]).unwrap(),
            evidence_key: EvidencePublicKey([4; EVIDENCE_KEY_LEN]),
        });
        let faults = [
            TouchFault::CardRefused(StatusWord(0x6982)),
            TouchFault::CardMisbehaved(Misbehaviour::NoStatusWord),
            TouchFault::CardMisbehaved(Misbehaviour::Length),
            TouchFault::CardMisbehaved(Misbehaviour::Malformed),
            TouchFault::CardMisbehaved(Misbehaviour::Signature),
            TouchFault::WrongCard,
            TouchFault::TouchesUsedUp,
            TouchFault::ProfileNotAllowed,
            TouchFault::NotGenuine,
            TouchFault::NotProved,
            TouchFault::ChannelBroken(StatusWord(0x6988)),
            TouchFault::CertificatesUnusable,
        ];
        answers.extend(
            faults.map(|fault| TouchAnswer::Failed(TouchFailure { step: TouchStep::GetChallenge, fault })),
        );
        answers
    }

    #[test]
    fn round_trips_and_prefixes() {
        let bytes = terms().encode();
        assert_eq!(TouchTerms::parse(&bytes), Some(terms()));
        for end in 0..bytes.len() {
            assert_eq!(TouchTerms::parse(&bytes[..end]), None);
        }
        for answer in answers() {
            let bytes = answer.encode();
            assert_eq!(TouchAnswer::parse(&bytes), Some(answer));
            for end in 0..bytes.len() {
                assert_eq!(TouchAnswer::parse(&bytes[..end]), None);
            }
        }
    }

    #[test]
    fn a_touch_without_consent_is_no_touch() {
        let without = TouchTerms { consent_text_hash: [0; 32], ..terms() };
        assert_eq!(TouchTerms::parse(&without.encode()), None);
        let bytes = terms().encode();
        let consent = bytes.windows(34).position(|w| w[..2] == [0x83, 32] && w[2..] == [8; 32]).unwrap();
        let mut shorter = [&bytes[..consent], &bytes[consent + 34..]].concat();
        shorter[1] -= 34;
        assert_eq!(TouchTerms::parse(&shorter), None);
    }

    #[test]
    fn numbers_and_names_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for step in TouchStep::ALL {
            assert!(seen.insert(step.name()), "{step:?}");
            assert_eq!(TouchStep::from_number(step.number()), Some(*step));
        }
        assert_eq!(TouchStep::from_number(0), None);
        assert_eq!(TouchFailure::parse(&[8, 2, 0x90, 0]), None, "a status word where there was none");
    }

    proptest! {
        #[test]
        fn what_parses_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40), place in 0usize..40) {
            for answer in answers() {
                let mut bent = answer.encode();
                for (to, from) in bent.iter_mut().skip(place).zip(&bytes) { *to = *from; }
                if let Some(parsed) = TouchAnswer::parse(&bent) {
                    prop_assert_eq!(parsed.encode(), bent);
                }
            }
            let mut bent = terms().encode();
            for (to, from) in bent.iter_mut().skip(place).zip(&bytes) { *to = *from; }
            if let Some(parsed) = TouchTerms::parse(&bent) {
                prop_assert_eq!(parsed.encode(), bent);
            }
        }
    }
}
