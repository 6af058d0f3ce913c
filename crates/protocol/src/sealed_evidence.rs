//! Sealed evidence: what the Secure Element learnt from the card, readable by the platform alone.
//!
//! At every arming the Secure Element makes a fresh P-256 key and the platform's policy names both
//! sides' keys. From then on both hold one secret, and nobody between them does:
//!
//! ```text
//! K = HKDF-SHA-256(salt = domain tag, secret = ECDH(Secure Element's key, platform's key),
//!                  info = both public keys)                                 RFC 5869, SP 800-56A §5.7.1.2
//! sealed = AES-128-GCM(K, nonce = 0(4) | counter(8), aad = statement,
//!                      profile(1) | signature(256) | certificate DER)       SP 800-38D
//! ```
//!
//! The nonce is the Secure Element's counter, which never gives a value twice, and the key is another
//! one after every arming. The statement travels beside in the clear and is bound by the seal. Key
//! agreement costs tens of microseconds and is done once for each arming; a seal costs less than one.
//!
//! Both directions stand in this file, so that one test holds them to each other.

use crate::answer::CardProfile;
use crate::entropy::Entropy;
use crate::statement::{STATEMENT_LEN, TouchStatement};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use std::fmt;
use zeroize::Zeroizing;

/// Octets of a public evidence key: an uncompressed point of P-256, SEC 1 §2.3.3.
pub const EVIDENCE_KEY_LEN: usize = 65;
/// Octets of the card's RSA-2048 signature.
pub const CARD_SIGNATURE_LEN: usize = 256;
/// The longest certificate that is sealed, in octets: longer than any on a card.
pub const CERTIFICATE_LEN_MAX: usize = 8192;

const DOMAIN: &[u8] = b"KAZASU-EVIDENCE-v1";
const TAG_LEN: usize = 16;
const SCALAR_LEN: usize = 32;
/// A random scalar is out of range once in 2^32 draws; a source that fails this often is broken.
const DRAWS_MAX: u32 = 8;

/// Why evidence is neither sealed nor opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Not a point, or not a scalar, of P-256.
    #[error("not a P-256 evidence key")]
    Key,
    /// A certificate longer than [`CERTIFICATE_LEN_MAX`].
    #[error("a certificate that is too long")]
    TooLong,
    /// Sealed under another key, for another statement, or altered.
    #[error("the evidence was not sealed under this key for this statement")]
    Seal,
    /// It opens, and what is inside is not evidence.
    #[error("what was sealed is not evidence")]
    Contents,
}

/// A public evidence key: an uncompressed point. Whether it is on the curve shows when it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EvidencePublicKey(pub [u8; EVIDENCE_KEY_LEN]);

impl fmt::Debug for EvidencePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvidencePublicKey({}…)", hex::encode(self.0.first_chunk::<5>().unwrap_or(&[0; 5])))
    }
}

impl TryFrom<Vec<u8>> for EvidencePublicKey {
    type Error = EvidenceError;
    fn try_from(bytes: Vec<u8>) -> Result<Self, EvidenceError> {
        let point: [u8; EVIDENCE_KEY_LEN] = bytes.try_into().map_err(|_| EvidenceError::Key)?;
        // The other forms of a point have other lengths or other first octets.
        if point.first() == Some(&4) { Ok(Self(point)) } else { Err(EvidenceError::Key) }
    }
}

impl AsRef<[u8]> for EvidencePublicKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// One side's private evidence key: the Secure Element's for one arming, or the platform's lasting one.
pub struct EvidencePrivateKey {
    private_key: PrivateKey,
    public: EvidencePublicKey,
}

impl fmt::Debug for EvidencePrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvidencePrivateKey({:?})", self.public)
    }
}

impl EvidencePrivateKey {
    /// Draws a fresh key. Fails with [`EvidenceError::Key`] only where the source of randomness is broken.
    pub fn draw(entropy: &mut dyn Entropy) -> Result<Self, EvidenceError> {
        let scalar = Self::draw_scalar(entropy)?;
        Self::from_scalar(&scalar)
    }

    /// Draws the secret of a fresh key, for a file: 32 octets, big-endian.
    pub fn draw_scalar(entropy: &mut dyn Entropy) -> Result<Zeroizing<[u8; SCALAR_LEN]>, EvidenceError> {
        let mut scalar = Zeroizing::new([0; SCALAR_LEN]);
        for _ in 0..DRAWS_MAX {
            entropy.fill(scalar.as_mut());
            if Self::from_scalar(&scalar).is_ok() {
                return Ok(scalar);
            }
        }
        Err(EvidenceError::Key)
    }

    /// From the secret that [`Self::draw_scalar`] made.
    pub fn from_scalar(scalar: &[u8; SCALAR_LEN]) -> Result<Self, EvidenceError> {
        let private_key = PrivateKey::from_private_key(&ECDH_P256, scalar).map_err(|_| EvidenceError::Key)?;
        let public = private_key.compute_public_key().map_err(|_| EvidenceError::Key)?;
        Ok(Self { private_key, public: EvidencePublicKey::try_from(public.as_ref().to_vec())? })
    }

    /// Its public half.
    pub const fn public(&self) -> &EvidencePublicKey {
        &self.public
    }

    /// The Secure Element's side of the agreement: the key that seals.
    pub fn sealing(&self, platform: &EvidencePublicKey) -> Result<EvidenceSealing, EvidenceError> {
        self.agree(platform, &self.public, platform).map(EvidenceSealing)
    }

    /// The platform's side of the agreement: the key that opens.
    pub fn opening(&self, secure_element: &EvidencePublicKey) -> Result<EvidenceOpening, EvidenceError> {
        self.agree(secure_element, secure_element, &self.public).map(EvidenceOpening)
    }

    fn agree(
        &self,
        peer: &EvidencePublicKey,
        secure_element: &EvidencePublicKey,
        platform: &EvidencePublicKey,
    ) -> Result<LessSafeKey, EvidenceError> {
        let peer = UnparsedPublicKey::new(&ECDH_P256, &peer.0);
        agree(&self.private_key, peer, EvidenceError::Key, |secret| {
            let mut key = Zeroizing::new([0u8; 16]);
            Salt::new(HKDF_SHA256, DOMAIN)
                .extract(secret)
                .expand(&[&secure_element.0, &platform.0], KeyLength(key.len()))
                .and_then(|okm| okm.fill(key.as_mut()))
                .map_err(|_| EvidenceError::Key)?;
            UnboundKey::new(&AES_128_GCM, key.as_ref()).map(LessSafeKey::new).map_err(|_| EvidenceError::Key)
        })
    }
}

/// Length of the derived key, in octets.
struct KeyLength(usize);

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        self.0
    }
}

/// Evidence under seal: opaque, and all that the terminal's computer ever holds of a card's answer.
#[doc(alias = "封緘済み証拠")]
#[derive(Clone, PartialEq, Eq)]
pub struct SealedEvidence(Vec<u8>);

impl fmt::Debug for SealedEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedEvidence({} octets)", self.0.len())
    }
}

impl TryFrom<Vec<u8>> for SealedEvidence {
    type Error = EvidenceError;
    /// Takes any bytes of a possible length; whether they are a seal shows when they are opened.
    fn try_from(bytes: Vec<u8>) -> Result<Self, EvidenceError> {
        let contents = 1 + CARD_SIGNATURE_LEN + TAG_LEN;
        if (contents..=contents + CERTIFICATE_LEN_MAX).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(EvidenceError::Seal)
        }
    }
}

impl AsRef<[u8]> for SealedEvidence {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What the card gave, in the clear: exists inside the Secure Element and inside the platform.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// The dialogue that was used.
    pub profile: CardProfile,
    /// The card's RSA PKCS#1 v1.5 signature over SHA-256 of the statement.
    pub signature: &'a [u8; CARD_SIGNATURE_LEN],
    /// The card-holder authentication certificate, DER; not validated.
    pub auth_certificate: &'a [u8],
}

impl fmt::Debug for Evidence<'_> {
    /// The certificate carries the serial, and the signature identifies the key: neither is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Evidence({:?}, …)", self.profile)
    }
}

/// Nonce of a touch: four zero octets and the counter.
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0u8; NONCE_LEN];
    if let Some(last) = bytes.last_chunk_mut::<8>() {
        *last = counter.to_be_bytes();
    }
    Nonce::assume_unique_for_key(bytes)
}

/// The Secure Element's key of one arming.
pub struct EvidenceSealing(LessSafeKey);

impl fmt::Debug for EvidenceSealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EvidenceSealing(…)")
    }
}

impl EvidenceSealing {
    /// Seals the evidence of one touch. The statement's counter must be a new one: it is the nonce.
    pub fn seal(
        &self,
        statement: &TouchStatement,
        evidence: &Evidence<'_>,
    ) -> Result<SealedEvidence, EvidenceError> {
        if evidence.auth_certificate.len() > CERTIFICATE_LEN_MAX {
            return Err(EvidenceError::TooLong);
        }
        let capacity = 1 + CARD_SIGNATURE_LEN + evidence.auth_certificate.len() + TAG_LEN;
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(evidence.profile.bit());
        bytes.extend_from_slice(evidence.signature);
        bytes.extend_from_slice(evidence.auth_certificate);
        self.0
            .seal_in_place_append_tag(nonce(statement.counter), Aad::from(statement.encode()), &mut bytes)
            .map_err(|_| EvidenceError::Seal)?;
        Ok(SealedEvidence(bytes))
    }
}

/// The platform's key of one terminal's arming.
pub struct EvidenceOpening(LessSafeKey);

impl fmt::Debug for EvidenceOpening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EvidenceOpening(…)")
    }
}

impl EvidenceOpening {
    /// Opens the evidence of one touch in its own memory. `encoded` are the statement's bytes as they
    /// came, `counter` is the one in them.
    pub fn open<'a>(
        &self,
        encoded: &[u8; STATEMENT_LEN],
        counter: u64,
        sealed: &'a mut SealedEvidence,
    ) -> Result<Evidence<'a>, EvidenceError> {
        let plain = self
            .0
            .open_in_place(nonce(counter), Aad::from(encoded), &mut sealed.0)
            .map_err(|_| EvidenceError::Seal)?;
        let (profile, rest) = plain.split_first().ok_or(EvidenceError::Contents)?;
        let (signature, auth_certificate) =
            rest.split_first_chunk::<CARD_SIGNATURE_LEN>().ok_or(EvidenceError::Contents)?;
        let profile = CardProfile::from_bit(*profile).ok_or(EvidenceError::Contents)?;
        Ok(Evidence { profile, signature, auth_certificate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seeded;
    use crate::ids::{InstitutionCode, TerminalKeyHash};
    use crate::statement::{FreshnessNonce, NONCE_LEN as PLATFORM_NONCE_LEN, Purposes, TouchMode};
    use crate::time::UnixSeconds;

    fn statement(counter: u64) -> TouchStatement {
        TouchStatement {
            mode: TouchMode::Online,
            purposes: Purposes::ELIGIBILITY,
            institution: InstitutionCode::parse("1312345678").unwrap(),
            terminal_key_hash: TerminalKeyHash([7; 32]),
            nonce: FreshnessNonce([9; PLATFORM_NONCE_LEN]),
            counter,
            consent_text_hash: [5; 32],
            time: UnixSeconds(1_800_000_000),
        }
    }

    const SIGNATURE: [u8; CARD_SIGNATURE_LEN] = [0xA5; CARD_SIGNATURE_LEN];

    fn evidence(certificate: &[u8]) -> Evidence<'_> {
        Evidence { profile: CardProfile::Eac, signature: &SIGNATURE, auth_certificate: certificate }
    }

    /// Both sides' keys of one arming.
    fn arming(seed: u64) -> (EvidenceSealing, EvidenceOpening) {
        let mut entropy = Seeded::new(seed);
        let secure_element = EvidencePrivateKey::draw(&mut entropy).unwrap();
        let platform = EvidencePrivateKey::draw(&mut entropy).unwrap();
        let sealing = secure_element.sealing(platform.public()).unwrap();
        (sealing, platform.opening(secure_element.public()).unwrap())
    }

    #[test]
    fn what_the_secure_element_seals_the_platform_opens() {
        let (sealing, opening) = arming(1);
        let certificate = vec![0x30; 1400];
        let statement = statement(42);
        let mut sealed = sealing.seal(&statement, &evidence(&certificate)).unwrap();
        assert_eq!(sealed.as_ref().len(), 1 + 256 + 1400 + 16);
        for window in [&certificate[..16], &SIGNATURE[..16]] {
            assert!(!sealed.as_ref().windows(16).any(|seen| seen == window));
        }
        let opened = opening.open(&statement.encode(), 42, &mut sealed).unwrap();
        assert_eq!(opened, evidence(&certificate));
        assert_eq!(
            format!("{opened:?} {sealing:?} {opening:?}"),
            "Evidence(Eac, …) EvidenceSealing(…) EvidenceOpening(…)"
        );
    }

    #[test]
    fn another_arming_another_platform_and_another_statement_do_not_open() {
        let (sealing, opening) = arming(1);
        let sealed = sealing.seal(&statement(42), &evidence(&[1; 900])).unwrap();
        let refused = |opening: &EvidenceOpening, encoded: &[u8; STATEMENT_LEN], counter| {
            opening.open(encoded, counter, &mut sealed.clone()).map(|_| ()) == Err(EvidenceError::Seal)
        };
        let encoded = statement(42).encode();
        assert!(!refused(&opening, &encoded, 42));
        assert!(refused(&arming(2).1, &encoded, 42), "another arming");
        assert!(refused(&opening, &encoded, 43), "another nonce");
        assert!(refused(&opening, &statement(43).encode(), 43), "another counter");
        for place in 0..STATEMENT_LEN {
            let mut bent = encoded;
            bent[place] ^= 1;
            assert!(refused(&opening, &bent, 42), "octet {place} of the statement");
        }
    }

    #[test]
    fn every_altered_octet_and_every_prefix_is_refused() {
        let (sealing, opening) = arming(3);
        let statement = statement(1);
        let sealed = sealing.seal(&statement, &evidence(&[1; 40])).unwrap();
        let encoded = statement.encode();
        for place in 0..sealed.0.len() {
            let mut bent = sealed.clone();
            bent.0[place] ^= 1;
            assert_eq!(opening.open(&encoded, 1, &mut bent).unwrap_err(), EvidenceError::Seal);
            let cut = SealedEvidence::try_from(sealed.0[..place].to_vec());
            assert!(cut.is_err() || opening.open(&encoded, 1, &mut cut.unwrap()).is_err());
        }
        assert_eq!(SealedEvidence::try_from(vec![0; 20_000]), Err(EvidenceError::Seal));
    }

    #[test]
    fn an_unknown_profile_under_a_good_seal_is_no_evidence() {
        let (sealing, opening) = arming(4);
        let statement = statement(1);
        let mut bytes = vec![0x80];
        bytes.extend_from_slice(&SIGNATURE);
        let aad = Aad::from(statement.encode());
        sealing.0.seal_in_place_append_tag(nonce(1), aad, &mut bytes).unwrap();
        let mut sealed = SealedEvidence(bytes);
        assert_eq!(opening.open(&statement.encode(), 1, &mut sealed).unwrap_err(), EvidenceError::Contents);
    }

    #[test]
    fn keys_are_points_and_scalars_of_the_curve() {
        let key = EvidencePrivateKey::draw(&mut Seeded::new(5)).unwrap();
        let off_curve = EvidencePublicKey([4; EVIDENCE_KEY_LEN]);
        assert_eq!(key.sealing(&off_curve).unwrap_err(), EvidenceError::Key);
        assert_eq!(key.opening(&off_curve).unwrap_err(), EvidenceError::Key);
        assert_eq!(EvidencePrivateKey::from_scalar(&[0; 32]).unwrap_err(), EvidenceError::Key);
        assert_eq!(EvidencePrivateKey::from_scalar(&[0xFF; 32]).unwrap_err(), EvidenceError::Key);
        assert_eq!(EvidencePublicKey::try_from(vec![4; 64]), Err(EvidenceError::Key));
        assert_eq!(EvidencePublicKey::try_from(vec![2; 65]), Err(EvidenceError::Key));
        let long = vec![0; CERTIFICATE_LEN_MAX + 1];
        let sealing = key.sealing(key.public()).unwrap();
        assert_eq!(sealing.seal(&statement(1), &evidence(&long)), Err(EvidenceError::TooLong));
    }

    #[test]
    fn a_broken_source_of_randomness_is_an_error_and_not_a_hang() {
        struct Zeros;
        impl Entropy for Zeros {
            fn fill(&mut self, destination: &mut [u8]) {
                destination.fill(0);
            }
        }
        assert_eq!(EvidencePrivateKey::draw(&mut Zeros).unwrap_err(), EvidenceError::Key);
    }
}
