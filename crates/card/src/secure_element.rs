//! The terminal's Secure Element as a second emulated card: it holds the institution key and gives
//! signatures only while the platform has armed it (report fig. 2).
//!
//! ```text
//! LOCKED --- EXTERNAL AUTHENTICATE with the platform's policy ---> ACTIVE{until, uses left}
//!   ^                                                                  |
//!   '------------------------------ power-off -------------------------'
//! ```
//!
//! | command | bytes | answers |
//! |---|---|---|
//! | SELECT | `00 A4 04 00\|0C AID` | FCI `6F{84 AID, 53 SE-ID(8), A5{83 unlock key reference(8)}}` |
//! | GET CHALLENGE | `00 84 00 00 10` | 16 octets, good once |
//! | MSE SET | `00 22 81 A4 {83 unlock key reference}` | 9000, 6A88 |
//! | EXTERNAL AUTHENTICATE | `00 82 00 00 {53 policy, 9E signature}` | 9000, 6300, 6984 after five failures until power-off, 6985 |
//! | INTERNAL AUTHENTICATE | `00 88 00 81 7C{81 RND.C(16), 82 consent hash(32), 84 time(8)}` | `7C{81 counter(8), 82 signature(256)}`; 6985 not active or outside its time, 6A84 used up, 6A80 no consent |
//! | GET DATA | `80 CA 7F 21 {index}`, 0 or 1 | the certificate at that place of the chain; only in ACTIVE |
//!
//! Command bytes are ISO/IEC 7816-4:2020 §11; what stands in the data fields is Kazasu's own. The
//! institution key signs [`crate::external_authenticate_bytes`] and nothing else, and no command gives
//! it out.

use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::cvc::{CvcChain, PUBLIC_EXPONENT};
use crate::emulated::EmulatedCard;
use crate::external_authenticate_bytes;
use crate::my_number_card::StateError;
use crate::rsa_key::CardRsaKey;
use crate::tlv::{self, TlvReader};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use protocol::entropy::Entropy;
use protocol::ids::SecureElementId;
use protocol::time::UnixSeconds;
use protocol::unlock::UnlockPolicy;
use std::fmt;

/// AID of the Secure Element's application: proprietary category `F`, ISO/IEC 7816-4:2020 §12.3.4,
/// then `KAZASUSE` and a version.
pub const SECURE_ELEMENT_AID: [u8; 10] = *b"\xF0KAZASUSE\x01";
/// Answer to reset: T=1 over the contactless mapping, historical bytes `KAZASUSE`.
pub const ATR: [u8; 13] = *b"\x3B\x88\x80\x01KAZASUSE\x08";
/// Wrong proofs until EXTERNAL AUTHENTICATE blocks, until power-off.
pub const UNLOCK_FAILURES_MAX: u8 = 5;
/// The longest arming that the Secure Element takes, whatever a policy says: one day. The report asks
/// for a working day at most; the platform's own limit may be shorter.
pub const ARMING_SECONDS_MAX: u64 = 24 * 60 * 60;

/// Data objects of the Secure Element's commands.
pub mod tags {
    use crate::tlv::Tag;
    /// FCI template.
    pub const FCI: Tag = Tag(0x6F);
    /// Application name in the FCI.
    pub const NAME: Tag = Tag(0x84);
    /// SE-ID in the FCI; policy in EXTERNAL AUTHENTICATE.
    pub const DISCRETIONARY: Tag = Tag(0x53);
    /// Proprietary part of the FCI.
    pub const PROPRIETARY: Tag = Tag(0xA5);
    /// Key reference in the FCI and in MSE SET.
    pub const KEY_REFERENCE: Tag = Tag(0x83);
    /// The platform's signature.
    pub const SIGNATURE: Tag = Tag(0x9E);
    /// Dynamic authentication template.
    pub const DYNAMIC: Tag = Tag(0x7C);
    /// RND.C in the command, counter in the answer.
    pub const CHALLENGE_OR_COUNTER: Tag = Tag(0x81);
    /// Consent text hash in the command, signature in the answer.
    pub const CONSENT_OR_SIGNATURE: Tag = Tag(0x82);
    /// Time of the touch.
    pub const TIME: Tag = Tag(0x84);
}

/// Name of an unlock key: the first 8 octets of the SHA-256 of its uncompressed point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnlockKeyReference(pub [u8; 8]);

/// Why an image is not one of a Secure Element.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// The unlock key is not a point of P-256, uncompressed (65 octets) or as SubjectPublicKeyInfo.
    #[error("the unlock key is not a P-256 public key")]
    UnlockKey,
    /// The leaf does not certify the institution key.
    #[error("the terminal certificate is for another key")]
    Leaf,
    /// The accredited body's certificate does not verify the terminal's.
    #[error("the terminal certificate is not from the accredited body beside it")]
    Chain,
}

/// The platform's public unlock key, P-256.
pub struct UnlockPublicKey {
    reference: UnlockKeyReference,
    point: [u8; 65],
    parsed: ParsedPublicKey,
}

impl fmt::Debug for UnlockPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnlockPublicKey").field(&self.reference).finish()
    }
}

/// SubjectPublicKeyInfo of a P-256 key up to the point, RFC 5480 §2.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86,
    0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl UnlockPublicKey {
    /// From an uncompressed point (`04 x y`, 65 octets), SEC 1 §2.3.3.
    pub fn from_point(point: &[u8]) -> Result<Self, ImageError> {
        let point: [u8; 65] = point.try_into().map_err(|_| ImageError::UnlockKey)?;
        let parsed =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map_err(|_| ImageError::UnlockKey)?;
        let hash = digest(&SHA256, &point);
        let reference = hash.as_ref().first_chunk::<8>().copied().ok_or(ImageError::UnlockKey)?;
        Ok(Self { reference: UnlockKeyReference(reference), point, parsed })
    }

    /// From a SubjectPublicKeyInfo in DER.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, ImageError> {
        Self::from_point(spki.strip_prefix(&P256_SPKI_PREFIX).ok_or(ImageError::UnlockKey)?)
    }

    /// Its name, as in MSE SET.
    pub const fn reference(&self) -> UnlockKeyReference {
        self.reference
    }

    /// The uncompressed point.
    pub const fn point(&self) -> &[u8; 65] {
        &self.point
    }
}

/// What the issuer puts into a Secure Element.
#[derive(Debug)]
pub struct SecureElementImage {
    secure_element: SecureElementId,
    institution_key: CardRsaKey,
    chain: CvcChain,
    unlock_key: UnlockPublicKey,
}

impl SecureElementImage {
    /// An image whose parts fit together: the leaf certifies the institution key, the intermediate
    /// certifies the leaf.
    pub fn new(
        secure_element: SecureElementId,
        institution_key: CardRsaKey,
        chain: CvcChain,
        unlock_key: UnlockPublicKey,
    ) -> Result<Self, ImageError> {
        let leaf = &chain.leaf.body().subject;
        if institution_key.public_exponent() != PUBLIC_EXPONENT
            || leaf.modulus() != institution_key.public_modulus()
        {
            return Err(ImageError::Leaf);
        }
        chain.leaf.verify(&chain.intermediate.body().subject).map_err(|_| ImageError::Chain)?;
        Ok(Self { secure_element, institution_key, chain, unlock_key })
    }
}

/// What a power cut must not undo.
///
/// The owner writes [`Self::to_bytes`] away after every exchange that changed it and before the answer
/// goes on; then no counter value is ever given out twice. An owner that does not want to write at
/// every touch writes [`Self::reserving`] ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PersistentState {
    counter: u64,
    time_floor: UnixSeconds,
}

const STATE_MAGIC: &[u8; 5] = b"KZSE\x01";

impl PersistentState {
    /// A Secure Element from the factory; no policy issued before `made_at` arms it.
    pub const fn factory(made_at: UnixSeconds) -> Self {
        Self { counter: 0, time_floor: made_at }
    }

    /// The last counter value given out; 0 before the first.
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// The earliest time that this Secure Element believes in.
    pub const fn time_floor(&self) -> UnixSeconds {
        self.time_floor
    }

    /// The state to write when the next `uses` counter values shall need no writing: after a power cut
    /// the Secure Element carries on behind all of them.
    #[must_use]
    pub const fn reserving(&self, uses: u64) -> Self {
        Self { counter: self.counter.saturating_add(uses), time_floor: self.time_floor }
    }

    /// The state as bytes for a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = STATE_MAGIC.to_vec();
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(&self.time_floor.0.to_be_bytes());
        bytes
    }

    /// Parses what [`Self::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let rest = bytes.strip_prefix(STATE_MAGIC).ok_or(StateError::Format)?;
        let (counter, rest) = rest.split_first_chunk::<8>().ok_or(StateError::Format)?;
        let floor: [u8; 8] = rest.try_into().map_err(|_| StateError::Format)?;
        Ok(Self { counter: u64::from_be_bytes(*counter), time_floor: UnixSeconds(u64::from_be_bytes(floor)) })
    }
}

/// How far the arming has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Arming {
    #[default]
    Locked,
    Active {
        until: UnixSeconds,
        uses_left: u32,
    },
}

/// Whether the application was selected since power-on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Selected {
    #[default]
    No,
    Yes,
}

/// Whether MSE SET has named the unlock key.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum UnlockKeyNamed {
    #[default]
    No,
    Yes,
}

/// What is forgotten at power-off.
#[derive(Default, Debug)]
struct VolatileState {
    selected: Selected,
    arming: Arming,
    challenge: Option<[u8; 16]>,
    unlock_key: UnlockKeyNamed,
    unlock_failures: u8,
}

type Reply = Result<Answer, StatusWord>;

/// An emulated Secure Element.
#[doc(alias = "セキュアエレメント")]
#[derive(Debug)]
pub struct SecureElement {
    image: SecureElementImage,
    persistent: PersistentState,
    /// `None` without power.
    volatile: Option<VolatileState>,
}

impl SecureElement {
    /// A Secure Element with what it kept, without power. A new one starts with
    /// [`PersistentState::factory`].
    pub const fn new(image: SecureElementImage, persistent: PersistentState) -> Self {
        Self { image, persistent, volatile: None }
    }

    /// What a power cut must not undo.
    pub const fn persistent_state(&self) -> &PersistentState {
        &self.persistent
    }

    /// Its identifier.
    pub const fn secure_element_id(&self) -> SecureElementId {
        self.image.secure_element
    }
}

impl EmulatedCard for SecureElement {
    fn atr(&self) -> &[u8] {
        &ATR
    }

    fn power_on(&mut self) {
        self.volatile = Some(VolatileState::default());
    }

    fn power_off(&mut self) {
        self.volatile = None;
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let Some(volatile) = self.volatile.as_mut() else {
            return Vec::new();
        };
        let session = Session { image: &self.image, persistent: &mut self.persistent, volatile };
        Answer::encode(match CommandApdu::parse(command) {
            Ok(command) => session.run(&command, entropy),
            Err(_) => Err(StatusWord::WRONG_LENGTH),
        })
    }
}

/// The application at work on one command.
struct Session<'a> {
    image: &'a SecureElementImage,
    persistent: &'a mut PersistentState,
    volatile: &'a mut VolatileState,
}

impl Session<'_> {
    fn run(mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        let known =
            matches!((command.cla, command.ins), (0x00, 0xA4 | 0x84 | 0x22 | 0x82 | 0x88) | (0x80, 0xCA));
        match command.cla {
            0x00 | 0x80 if known => {}
            0x00 | 0x80 => return Err(StatusWord::UNKNOWN_INSTRUCTION),
            _ => return Err(StatusWord::UNKNOWN_CLASS),
        }
        if command.ins == 0xA4 {
            return self.select(command);
        }
        if self.volatile.selected == Selected::No {
            return Err(StatusWord::CONDITIONS);
        }
        match command.ins {
            0x84 => self.get_challenge(command, entropy),
            0x22 => self.manage_security_environment(command),
            0x82 => self.external_authenticate(command),
            0x88 => self.internal_authenticate(command),
            _ => self.get_data(command),
        }
    }

    /// SELECT by name, ISO/IEC 7816-4:2020 §11.2.2. Selecting again keeps the arming.
    fn select(&mut self, command: &CommandApdu<'_>) -> Reply {
        match (command.p1, command.p2) {
            (0x04, 0x00 | 0x0C) => {}
            (0x00, _) => return Err(StatusWord::NOT_FOUND),
            _ => return Err(StatusWord::WRONG_PARAMETERS),
        }
        if command.data != SECURE_ELEMENT_AID {
            return Err(StatusWord::NOT_FOUND);
        }
        self.volatile.selected = Selected::Yes;
        if command.p2 == 0x0C {
            return Ok(Answer::done());
        }
        let mut inner = tlv::encode(tags::NAME, &SECURE_ELEMENT_AID);
        tlv::write(&mut inner, tags::DISCRETIONARY, &self.image.secure_element.0);
        let reference = tlv::encode(tags::KEY_REFERENCE, &self.image.unlock_key.reference.0);
        tlv::write(&mut inner, tags::PROPRIETARY, &reference);
        Ok(Answer::with(tlv::encode(tags::FCI, &inner)))
    }

    /// GET CHALLENGE, §11.5.3: 16 octets.
    fn get_challenge(&mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
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

    /// MSE SET for external authentication, §11.5.11: names the unlock key.
    fn manage_security_environment(&mut self, command: &CommandApdu<'_>) -> Reply {
        if (command.p1, command.p2) != (0x81, 0xA4) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        self.volatile.unlock_key = UnlockKeyNamed::No;
        let reference =
            tlv::read_single(command.data, tags::KEY_REFERENCE).map_err(|_| StatusWord::WRONG_DATA)?;
        if reference != self.image.unlock_key.reference.0 {
            return Err(StatusWord::REFERENCE_NOT_FOUND);
        }
        self.volatile.unlock_key = UnlockKeyNamed::Yes;
        Ok(Answer::done())
    }

    /// EXTERNAL AUTHENTICATE, §11.5.4: arms with the platform's signed policy. The challenge is used
    /// up whatever comes of it.
    fn external_authenticate(&mut self, command: &CommandApdu<'_>) -> Reply {
        let challenge = self.volatile.challenge.take();
        if self.volatile.unlock_failures >= UNLOCK_FAILURES_MAX {
            return Err(StatusWord::BLOCKED);
        }
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        if self.volatile.unlock_key == UnlockKeyNamed::No {
            return Err(StatusWord::CONDITIONS);
        }
        let challenge = challenge.ok_or(StatusWord::CONDITIONS)?;
        let (policy, signature) = parse_unlock(command.data).ok_or(StatusWord::WRONG_DATA)?;
        if !self.accepts(&policy, &challenge, signature) {
            self.volatile.unlock_failures += 1;
            return Err(StatusWord::AUTHENTICATION_FAILED);
        }
        self.persistent.time_floor = policy.issued_at;
        self.volatile.arming = Arming::Active { until: policy.not_after, uses_left: policy.uses_max };
        Ok(Answer::done())
    }

    fn accepts(&self, policy: &UnlockPolicy, challenge: &[u8; 16], signature: &[u8]) -> bool {
        policy.secure_element == self.image.secure_element
            && policy.challenge == *challenge
            && policy.uses_max > 0
            && policy.not_after > policy.issued_at
            && policy.not_after.since(policy.issued_at) <= ARMING_SECONDS_MAX
            && policy.issued_at >= self.persistent.time_floor
            && self.image.unlock_key.parsed.verify_sig(&policy.signed_bytes(), signature).is_ok()
    }

    /// INTERNAL AUTHENTICATE, §11.5.2: proves the institution to a patient's card, once per consent.
    #[doc(alias = "機関認証")]
    fn internal_authenticate(&mut self, command: &CommandApdu<'_>) -> Reply {
        if (command.p1, command.p2) != (0x00, 0x81) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let Arming::Active { until, uses_left } = &mut self.volatile.arming else {
            return Err(StatusWord::CONDITIONS);
        };
        let (challenge, time) = parse_touch(command.data).ok_or(StatusWord::WRONG_DATA)?;
        // Not Le < 270: a terminal that asks for less would burn a use.
        if command.expected.is_none_or(|ne| ne < INTERNAL_AUTHENTICATE_ANSWER_LEN) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if time < self.persistent.time_floor || time > *until {
            return Err(StatusWord::CONDITIONS);
        }
        let counter = self.persistent.counter.checked_add(1).ok_or(StatusWord::USES_EXHAUSTED)?;
        *uses_left = uses_left.checked_sub(1).ok_or(StatusWord::USES_EXHAUSTED)?;
        // Counted before signing: whatever happens next, this value is never given out again.
        self.persistent.counter = counter;
        let signed =
            external_authenticate_bytes(challenge, &self.image.chain.leaf.body().subject.reference());
        let signature = self.image.institution_key.sign_sha256(&signed).map_err(|_| StatusWord::INTERNAL)?;
        let mut inner = tlv::encode(tags::CHALLENGE_OR_COUNTER, &counter.to_be_bytes());
        tlv::write(&mut inner, tags::CONSENT_OR_SIGNATURE, &signature);
        Ok(Answer::with(tlv::encode(tags::DYNAMIC, &inner)))
    }

    /// GET DATA, §11.6.3: the chain, link by link. Locked it stays inside: a stolen terminal does not
    /// say whose it was.
    fn get_data(&self, command: &CommandApdu<'_>) -> Reply {
        if (command.p1, command.p2) != (0x7F, 0x21) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        if self.volatile.arming == Arming::Locked {
            return Err(StatusWord::CONDITIONS);
        }
        let link = match command.data {
            [0] => &self.image.chain.intermediate,
            [1] => &self.image.chain.leaf,
            [_] => return Err(StatusWord::REFERENCE_NOT_FOUND),
            _ => return Err(StatusWord::WRONG_LENGTH),
        };
        let bytes = link.encode();
        match command.expected {
            Some(ne) if usize::try_from(ne).is_ok_and(|ne| ne >= bytes.len()) => Ok(Answer::with(bytes)),
            _ => Err(StatusWord::WRONG_LENGTH),
        }
    }
}

/// Octets of `7C{81 counter(8), 82 signature(256)}`.
const INTERNAL_AUTHENTICATE_ANSWER_LEN: u32 = 4 + 10 + 4 + 256;

fn parse_unlock(data: &[u8]) -> Option<(UnlockPolicy, &[u8])> {
    let mut objects = TlvReader::new(data);
    let policy = UnlockPolicy::parse(objects.expect(tags::DISCRETIONARY).ok()?)?;
    let signature = objects.expect(tags::SIGNATURE).ok()?;
    objects.finish().ok()?;
    Some((policy, signature))
}

/// RND.C and time; the consent hash must be there, what it says is between terminal and platform.
fn parse_touch(data: &[u8]) -> Option<(&[u8; 16], UnixSeconds)> {
    let mut objects = TlvReader::new(tlv::read_single(data, tags::DYNAMIC).ok()?);
    let challenge = objects.expect_array(tags::CHALLENGE_OR_COUNTER).ok()?;
    let _consent: &[u8; 32] = objects.expect_array(tags::CONSENT_OR_SIGNATURE).ok()?;
    let time = objects.expect_array(tags::TIME).ok()?;
    objects.finish().ok()?;
    Some((challenge, UnixSeconds(u64::from_be_bytes(*time))))
}

/// The answer of INTERNAL AUTHENTICATE, for the terminal's side: counter and signature.
pub(crate) fn parse_proof(data: &[u8]) -> Option<(u64, &[u8; 256])> {
    let mut objects = TlvReader::new(tlv::read_single(data, tags::DYNAMIC).ok()?);
    let counter = objects.expect_array(tags::CHALLENGE_OR_COUNTER).ok()?;
    let signature = objects.expect_array(tags::CONSENT_OR_SIGNATURE).ok()?;
    objects.finish().ok()?;
    Some((u64::from_be_bytes(*counter), signature))
}

/// The FCI, for the terminal's side: who this is and which unlock key it takes.
pub(crate) fn parse_fci(data: &[u8]) -> Option<(SecureElementId, UnlockKeyReference)> {
    let mut objects = TlvReader::new(tlv::read_single(data, tags::FCI).ok()?);
    let name: &[u8; 10] = objects.expect_array(tags::NAME).ok()?;
    let secure_element = objects.expect_array(tags::DISCRETIONARY).ok()?;
    let reference = tlv::read_single(objects.expect(tags::PROPRIETARY).ok()?, tags::KEY_REFERENCE).ok()?;
    objects.finish().ok()?;
    let known = *name == SECURE_ELEMENT_AID;
    known.then_some((SecureElementId(*secure_element), UnlockKeyReference(reference.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_round_trip_and_prefixes() {
        let state = PersistentState { counter: 7, time_floor: UnixSeconds(9) };
        let bytes = state.to_bytes();
        assert_eq!(PersistentState::from_bytes(&bytes), Ok(state));
        for end in 0..bytes.len() {
            assert_eq!(PersistentState::from_bytes(&bytes[..end]), Err(StateError::Format));
        }
        assert_eq!(state.reserving(10).counter(), 17);
        assert_eq!(state.reserving(u64::MAX).counter(), u64::MAX);
    }

    #[test]
    fn atr_adds_up() {
        // ISO/IEC 7816-3 §8.2.5: T0 to TCK, exclusive-or, is zero.
        assert_eq!(ATR[1..].iter().fold(0, |sum, octet| sum ^ octet), 0);
    }

    #[test]
    fn unlock_keys_are_points_of_p256() {
        assert!(matches!(UnlockPublicKey::from_point(&[4; 65]), Err(ImageError::UnlockKey)));
        assert!(matches!(UnlockPublicKey::from_point(&[]), Err(ImageError::UnlockKey)));
        assert!(matches!(UnlockPublicKey::from_spki_der(&[0x30]), Err(ImageError::UnlockKey)));
    }
}
