//! What the platform signs to arm a Secure Element at power-on (report fig. 2, left).

use crate::answer::AllowedProfiles;
use crate::ids::{SecureElementId, TerminalKeyHash};
use crate::sealed_evidence::{EVIDENCE_KEY_LEN, EvidencePublicKey};
use crate::time::UnixSeconds;

/// Octets of an encoded policy without the domain tag.
pub const POLICY_LEN: usize = 176;
/// Stands in front of the policy under the signature, so that it can be nothing else.
pub const UNLOCK_DOMAIN: &[u8] = b"KAZASU-SE-UNLOCK-v2";

/// For whom, how long, how often and in which manner an institution key is usable, and for whose eyes
/// the evidence is sealed.
///
/// | offset | octets | field |
/// |---|---|---|
/// | 0 | 8 | Secure Element id |
/// | 8 | 16 | the challenge the Secure Element gave |
/// | 24 | 32 | SHA-256 of the terminal's TLS SubjectPublicKeyInfo |
/// | 56 | 8 | issued at, Unix seconds, big-endian |
/// | 64 | 8 | not after, Unix seconds, big-endian |
/// | 72 | 4 | uses at most, big-endian |
/// | 76 | 65 | the platform's evidence key, an uncompressed point of P-256 |
/// | 141 | 32 | SHA-256 of the Secure Element's evidence key of this arming |
/// | 173 | 1 | card profiles allowed: bit 0 `jicsap`, bit 1 `eac` |
/// | 174 | 2 | touches allowed for one card and civil day, big-endian |
#[doc(alias = "活性化ポリシー")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnlockPolicy {
    /// The Secure Element that asked.
    pub secure_element: SecureElementId,
    /// Its challenge, good once.
    pub challenge: [u8; 16],
    /// The terminal whose TLS connection carried the question.
    pub terminal_key_hash: TerminalKeyHash,
    /// When the platform signed: the Secure Element's floor of time.
    pub issued_at: UnixSeconds,
    /// When the arming ends.
    pub not_after: UnixSeconds,
    /// How many touches it allows.
    pub uses_max: u32,
    /// For whom the evidence is sealed.
    pub evidence_key: EvidencePublicKey,
    /// SHA-256 of the public key that the platform was shown as this Secure Element's. The Secure Element
    /// refuses a policy for another one: then nobody stands between the two.
    pub secure_element_key_hash: [u8; 32],
    /// Which card dialogues it may use.
    pub profiles: AllowedProfiles,
    /// How many touches one card gets at this terminal on one civil day in Japan (report, safeguard 6).
    pub touches_per_card_and_day: u16,
}

impl UnlockPolicy {
    /// The policy's octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(POLICY_LEN);
        bytes.extend_from_slice(&self.secure_element.0);
        bytes.extend_from_slice(&self.challenge);
        bytes.extend_from_slice(&self.terminal_key_hash.0);
        bytes.extend_from_slice(&self.issued_at.0.to_be_bytes());
        bytes.extend_from_slice(&self.not_after.0.to_be_bytes());
        bytes.extend_from_slice(&self.uses_max.to_be_bytes());
        bytes.extend_from_slice(&self.evidence_key.0);
        bytes.extend_from_slice(&self.secure_element_key_hash);
        bytes.push(self.profiles.bits());
        bytes.extend_from_slice(&self.touches_per_card_and_day.to_be_bytes());
        bytes
    }

    /// Parses exactly [`POLICY_LEN`] octets; unknown profile bits, and no profile at all, are refused.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (secure_element, rest) = bytes.split_first_chunk::<8>()?;
        let (challenge, rest) = rest.split_first_chunk::<16>()?;
        let (terminal, rest) = rest.split_first_chunk::<32>()?;
        let (issued_at, rest) = rest.split_first_chunk::<8>()?;
        let (not_after, rest) = rest.split_first_chunk::<8>()?;
        let (uses_max, rest) = rest.split_first_chunk::<4>()?;
        let (evidence_key, rest) = rest.split_first_chunk::<EVIDENCE_KEY_LEN>()?;
        let (secure_element_key_hash, rest) = rest.split_first_chunk::<32>()?;
        let (&[profiles], rest) = rest.split_first_chunk::<1>()?;
        let touches: [u8; 2] = rest.try_into().ok()?;
        Some(Self {
            secure_element: SecureElementId(*secure_element),
            challenge: *challenge,
            terminal_key_hash: TerminalKeyHash(*terminal),
            issued_at: UnixSeconds(u64::from_be_bytes(*issued_at)),
            not_after: UnixSeconds(u64::from_be_bytes(*not_after)),
            uses_max: u32::from_be_bytes(*uses_max),
            evidence_key: EvidencePublicKey(*evidence_key),
            secure_element_key_hash: *secure_element_key_hash,
            profiles: AllowedProfiles::parse(profiles)?,
            touches_per_card_and_day: u16::from_be_bytes(touches),
        })
    }

    /// The bytes under the platform's signature: domain tag and policy.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = UNLOCK_DOMAIN.to_vec();
        bytes.extend_from_slice(&self.encode());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_prefixes() {
        let policy = UnlockPolicy {
            secure_element: SecureElementId([1; 8]),
            challenge: [2; 16],
            terminal_key_hash: TerminalKeyHash([3; 32]),
            issued_at: UnixSeconds(4),
            not_after: UnixSeconds(5),
            uses_max: 6,
            evidence_key: EvidencePublicKey([7; EVIDENCE_KEY_LEN]),
            secure_element_key_hash: [8; 32],
            profiles: AllowedProfiles::ALL,
            touches_per_card_and_day: 9,
        };
        let bytes = policy.encode();
        assert_eq!(bytes.len(), POLICY_LEN);
        assert_eq!(UnlockPolicy::parse(&bytes), Some(policy));
        for end in 0..bytes.len() {
            assert_eq!(UnlockPolicy::parse(&bytes[..end]), None);
        }
        for profiles in [0, 4, 0xFF] {
            let mut bent = bytes.clone();
            bent[173] = profiles;
            assert_eq!(UnlockPolicy::parse(&bent), None, "profiles {profiles:02X}");
        }
    }
}
