//! How far the institution key is usable: locked, armed by the platform, or armed by a physician.

use super::image::UnlockPublicKey;
use crate::image::Term;
use crate::tlv::{self, Tag, TlvReader};
use aws_lc_rs::digest::{SHA256, digest};
use protocol::answer::AllowedProfiles;
use protocol::ids::{SecureElementId, TerminalKeyHash};
use protocol::sealed_evidence::{EvidencePrivateKey, EvidencePublicKey, EvidenceSealing};
use protocol::statement::TouchMode;
use protocol::time::UnixSeconds;
use protocol::unlock::UnlockPolicy;
use std::sync::Arc;

/// The longest arming that the Secure Element takes, whatever a policy says: one day. The report asks
/// for a working day at most; the platform's own limit may be shorter.
pub const ARMING_SECONDS_MAX: u64 = 24 * 60 * 60;
/// How long a physician's arming lasts (report fig. 4): a working day is not granted without the platform.
pub const OFFLINE_SECONDS_MAX: u64 = 8 * 60 * 60;
/// How many touches a physician's arming allows.
pub const OFFLINE_USES_MAX: u32 = 100;

const TERMINAL: Tag = Tag(0x80);
const EVIDENCE_KEY: Tag = Tag(0x81);
const PROFILES: Tag = Tag(0x82);
const TOUCHES: Tag = Tag(0x83);

/// What the platform last allowed, kept for the day on which it cannot be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OfflineTerms {
    pub(super) terminal_key_hash: TerminalKeyHash,
    pub(super) evidence_key: EvidencePublicKey,
    pub(super) profiles: AllowedProfiles,
    pub(super) touches_per_card_and_day: u16,
}

impl OfflineTerms {
    pub(super) const fn of(policy: &UnlockPolicy) -> Self {
        Self {
            terminal_key_hash: policy.terminal_key_hash,
            evidence_key: policy.evidence_key,
            profiles: policy.profiles,
            touches_per_card_and_day: policy.touches_per_card_and_day,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = tlv::encode(TERMINAL, &self.terminal_key_hash.0);
        tlv::write(&mut bytes, EVIDENCE_KEY, &self.evidence_key.0);
        tlv::write(&mut bytes, PROFILES, &[self.profiles.bits()]);
        tlv::write(&mut bytes, TOUCHES, &self.touches_per_card_and_day.to_be_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut objects = TlvReader::new(bytes);
        let terminal_key_hash = TerminalKeyHash(*objects.expect_array(TERMINAL).ok()?);
        let evidence_key = EvidencePublicKey(*objects.expect_array(EVIDENCE_KEY).ok()?);
        let &[profiles] = objects.expect_array(PROFILES).ok()?;
        let touches = u16::from_be_bytes(*objects.expect_array(TOUCHES).ok()?);
        objects.finish().ok()?;
        let profiles = AllowedProfiles::parse(profiles)?;
        Some(Self { terminal_key_hash, evidence_key, profiles, touches_per_card_and_day: touches })
    }
}

/// What one arming grants. A touch holds on to the one in which it began, so that a new arming in its
/// middle takes nothing away from it.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) mode: TouchMode,
    /// Touches before this instant are refused.
    pub(super) from: UnixSeconds,
    /// Touches after this instant are refused.
    pub(super) until: UnixSeconds,
    pub(super) terms: OfflineTerms,
    /// The Secure Element's own evidence key.
    pub(super) evidence_key: EvidencePublicKey,
    pub(super) sealing: EvidenceSealing,
}

impl Grant {
    /// Whether a term of an access rule holds under this arming.
    pub(super) fn holds(&self, term: Term) -> bool {
        match term {
            Term::Armed => self.mode == TouchMode::Online,
            Term::Offline => self.mode == TouchMode::Offline,
            // Of cards that people carry.
            Term::Secret(_) | Term::SecretOnce(_) | Term::InstitutionOnce | Term::SecureMessaging => false,
        }
    }
}

/// Whether, and for how much longer, the institution key is usable. Gone at power-off.
#[derive(Default, Debug)]
pub(super) enum Arming {
    /// Since power-on.
    #[default]
    Locked,
    /// By the platform (report fig. 2) or a physician (fig. 4): the grant says which.
    Armed { grant: Arc<Grant>, uses_left: u32 },
}

impl Arming {
    /// By the platform's policy. `None` where the policy is for somebody else, too long, too old, or for
    /// another key than the one that this Secure Element has shown.
    pub(super) fn by_policy(
        policy: &UnlockPolicy,
        secure_element: SecureElementId,
        time_floor: UnixSeconds,
        evidence_key: &EvidencePrivateKey,
    ) -> Option<Self> {
        let own_key_hash = digest(&SHA256, &evidence_key.public().0);
        let fits = policy.secure_element == secure_element
            && policy.uses_max > 0
            && policy.touches_per_card_and_day > 0
            && policy.not_after > policy.issued_at
            && policy.not_after.since(policy.issued_at) <= ARMING_SECONDS_MAX
            && policy.issued_at >= time_floor
            && policy.secure_element_key_hash == own_key_hash.as_ref();
        if !fits {
            return None;
        }
        let grant = Grant {
            mode: TouchMode::Online,
            from: policy.issued_at,
            until: policy.not_after,
            terms: OfflineTerms::of(policy),
            evidence_key: *evidence_key.public(),
            sealing: evidence_key.sealing(&policy.evidence_key).ok()?,
        };
        Some(Self::Armed { grant: Arc::new(grant), uses_left: policy.uses_max })
    }

    /// By a physician at `time`, on the terms that the platform set last.
    pub(super) fn by_physician(
        terms: &OfflineTerms,
        time: UnixSeconds,
        evidence_key: &EvidencePrivateKey,
    ) -> Option<Self> {
        let grant = Grant {
            mode: TouchMode::Offline,
            from: time,
            until: time.plus(OFFLINE_SECONDS_MAX),
            terms: *terms,
            evidence_key: *evidence_key.public(),
            sealing: evidence_key.sealing(&terms.evidence_key).ok()?,
        };
        Some(Self::Armed { grant: Arc::new(grant), uses_left: OFFLINE_USES_MAX })
    }

    /// The grant in force.
    pub(super) const fn grant(&self) -> Option<&Arc<Grant>> {
        match self {
            Self::Locked => None,
            Self::Armed { grant, .. } => Some(grant),
        }
    }

    /// How many touches are left.
    pub(super) const fn uses_left(&self) -> u32 {
        match self {
            Self::Locked => 0,
            Self::Armed { uses_left, .. } => *uses_left,
        }
    }

    /// Takes one use; `None` if there is none.
    pub(super) const fn spend(&mut self) -> Option<()> {
        match self {
            Self::Armed { uses_left, .. } if *uses_left > 0 => {
                *uses_left -= 1;
                Some(())
            }
            _ => None,
        }
    }

    /// Whether a term of an access rule holds.
    pub(super) fn holds(&self, term: Term) -> bool {
        self.grant().is_some_and(|grant| grant.holds(term))
    }
}

/// The signature over a policy or a list holds.
pub(super) fn holds(key: &UnlockPublicKey, signed: &[u8], signature: &[u8]) -> bool {
    key.parsed.verify_sig(signed, signature).is_ok()
}
