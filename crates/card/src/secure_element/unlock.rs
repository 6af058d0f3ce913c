//! Making the institution key usable: by the platform's policy, or by a physician's HPKI card on the
//! terms that the platform set last; and the list of those physicians.

use super::arming::{Arming, OfflineTerms, holds};
use super::{Reply, Session, tags};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::tlv::{self, TlvReader};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use protocol::entropy::Entropy;
use protocol::physicians::{HpkiPublicKey, PhysicianList, hpki_unlock_bytes};
use protocol::sealed_evidence::{EVIDENCE_KEY_LEN, EvidencePrivateKey};
use protocol::time::UnixSeconds;
use protocol::unlock::UnlockPolicy;

/// Wrong proofs until EXTERNAL AUTHENTICATE blocks, until power-off.
pub const UNLOCK_FAILURES_MAX: u8 = 5;
/// Octets of the name of a physician's key: the head of the SHA-256 of its SubjectPublicKeyInfo.
pub const PHYSICIAN_REFERENCE_LEN: usize = 20;

/// The key that MSE SET has named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NamedKey {
    /// The platform's.
    Platform,
    /// A physician's on the list.
    Physician(HpkiPublicKey),
}

/// The name of a physician's key in MSE SET.
pub fn physician_reference(key: &HpkiPublicKey) -> [u8; PHYSICIAN_REFERENCE_LEN] {
    let hash = digest(&SHA256, &key.spki_der());
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

impl Session<'_> {
    /// GET CHALLENGE, ISO/IEC 7816-4:2020 §11.5.3: 16 octets, good once. 6700 another Le.
    pub(super) fn get_challenge(&mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        if !command.data.is_empty() || command.expected != Some(16) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let mut challenge = [0u8; 16];
        entropy.fill(&mut challenge);
        self.volatile.challenge = Some(challenge);
        Ok(Answer::with(challenge.to_vec()))
    }

    /// The evidence key of the next arming, drawn anew at every question.
    pub(super) fn evidence_key(&mut self, room: usize, entropy: &mut dyn Entropy) -> Reply {
        if room < EVIDENCE_KEY_LEN {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let key = EvidencePrivateKey::draw(entropy).map_err(|_| StatusWord::INTERNAL)?;
        let public = key.public().0.to_vec();
        self.volatile.next_evidence_key = Some(key);
        Ok(Answer::with(public))
    }

    /// MSE SET for external authentication, §11.5.11: names the platform's unlock key, or the key of a
    /// physician on the list. 6A80 malformed, 6A88 nobody here.
    pub(super) fn manage_security_environment(&mut self, command: &CommandApdu<'_>) -> Reply {
        if (command.p1, command.p2) != (0x81, 0xA4) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        self.volatile.named = None;
        let reference =
            tlv::read_single(command.data, tags::KEY_REFERENCE).map_err(|_| StatusWord::WRONG_DATA)?;
        let named = if reference == self.image.unlock_key.reference.0 {
            NamedKey::Platform
        } else {
            let mut keys = self.physicians().keys().iter();
            let key = keys.find(|key| physician_reference(key) == reference);
            NamedKey::Physician(key.ok_or(StatusWord::REFERENCE_NOT_FOUND)?.clone())
        };
        self.volatile.named = Some(named);
        Ok(Answer::done())
    }

    /// EXTERNAL AUTHENTICATE, §11.5.4: arms. Challenge and next evidence key are used up whatever comes of
    /// it. 6984 blocked, 6985 out of order or without terms, 6A80 malformed, 6300 refused.
    pub(super) fn external_authenticate(
        &mut self,
        command: &CommandApdu<'_>,
        entropy: &mut dyn Entropy,
    ) -> Reply {
        let challenge = self.volatile.challenge.take();
        let evidence_key = self.volatile.next_evidence_key.take();
        if self.volatile.unlock_failures >= UNLOCK_FAILURES_MAX {
            return Err(StatusWord::BLOCKED);
        }
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let challenge = challenge.ok_or(StatusWord::CONDITIONS)?;
        let armed = match self.volatile.named.clone().ok_or(StatusWord::CONDITIONS)? {
            NamedKey::Platform => {
                let evidence_key = evidence_key.ok_or(StatusWord::CONDITIONS)?;
                self.arm_by_platform(command.data, &challenge, &evidence_key)?
            }
            NamedKey::Physician(key) => self.arm_by_physician(command.data, &challenge, &key, entropy)?,
        };
        match armed {
            Some(arming) => {
                self.volatile.arming = arming;
                Ok(Answer::done())
            }
            None => {
                self.volatile.unlock_failures += 1;
                Err(StatusWord::AUTHENTICATION_FAILED)
            }
        }
    }

    /// `{53 policy, 9E signature}`.
    fn arm_by_platform(
        &mut self,
        data: &[u8],
        challenge: &[u8; 16],
        evidence_key: &EvidencePrivateKey,
    ) -> Result<Option<Arming>, StatusWord> {
        let (policy, signature) = signed_object(data).ok_or(StatusWord::WRONG_DATA)?;
        let policy = UnlockPolicy::parse(policy).ok_or(StatusWord::WRONG_DATA)?;
        let genuine = policy.challenge == *challenge
            && holds(&self.image.unlock_key, &policy.signed_bytes(), signature);
        let floor = self.kept.get().time_floor;
        let arming = genuine
            .then(|| Arming::by_policy(&policy, self.image.secure_element, floor, evidence_key))
            .flatten();
        if arming.is_some() {
            let state = self.kept.change();
            state.time_floor = policy.issued_at;
            state.offline = Some(OfflineTerms::of(&policy));
        }
        Ok(arming)
    }

    /// `{84 time(8), 9E signature}`: the time is the terminal's word, and only what follows is measured
    /// by it; before the platform's last word it cannot lie.
    fn arm_by_physician(
        &self,
        data: &[u8],
        challenge: &[u8; 16],
        key: &HpkiPublicKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Option<Arming>, StatusWord> {
        let mut objects = TlvReader::new(data);
        let time = objects.expect_array(tags::TIME).map_err(|_| StatusWord::WRONG_DATA)?;
        let time = UnixSeconds(u64::from_be_bytes(*time));
        let signature = objects.expect(tags::SIGNATURE).map_err(|_| StatusWord::WRONG_DATA)?;
        objects.finish().map_err(|_| StatusWord::WRONG_DATA)?;
        let state = self.kept.get();
        let terms = state.offline.ok_or(StatusWord::CONDITIONS)?;
        if time < state.time_floor {
            return Err(StatusWord::CONDITIONS);
        }
        let signed = hpki_unlock_bytes(self.image.secure_element, challenge);
        let genuine = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.spki_der())
            .verify(&signed, signature)
            .is_ok();
        if !genuine {
            return Ok(None);
        }
        let evidence_key = EvidencePrivateKey::draw(entropy).map_err(|_| StatusWord::INTERNAL)?;
        Ok(Arming::by_physician(&terms, time, &evidence_key))
    }

    /// The list of physicians, `{53 list, 9E signature}` under the unlock key. 6300 for another's
    /// signature, 6985 for a list that is not newer.
    pub(super) fn take_physicians(&mut self, data: &[u8]) -> Reply {
        let (list, signature) = signed_object(data).ok_or(StatusWord::WRONG_DATA)?;
        let list = PhysicianList::parse(list).ok_or(StatusWord::WRONG_DATA)?;
        let genuine = list.secure_element() == self.image.secure_element
            && holds(&self.image.unlock_key, &list.signed_bytes(), signature);
        if !genuine {
            return Err(StatusWord::AUTHENTICATION_FAILED);
        }
        if list.number() <= self.physicians().number() {
            return Err(StatusWord::CONDITIONS);
        }
        // Whoever is not on it any more may have been named already.
        self.volatile.named = None;
        self.kept.change().physicians = Some(list);
        Ok(Answer::done())
    }

    /// The list in force.
    fn physicians(&self) -> &PhysicianList {
        self.kept.get().physicians.as_ref().unwrap_or(&self.image.physicians)
    }
}

/// `{53 object, 9E signature}`.
fn signed_object(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut objects = TlvReader::new(data);
    let object = objects.expect(tags::DISCRETIONARY).ok()?;
    let signature = objects.expect(tags::SIGNATURE).ok()?;
    objects.finish().ok()?;
    Some((object, signature))
}
