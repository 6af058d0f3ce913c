//! Chip authentication version 2 on P-256 with AES-128, BSI TR-03110-2 and TR-03110-3 (version
//! 2.21) A.1 to A.4: what the card says about its key, the agreement, the keys, the token.
//!
//! ```text
//! terminal                                   card (batch key SK_C, PK_C)
//!   PK_C from SecurityInfos, certified
//!   ephemeral SK_T, PK_T      -- PK_T -->
//!                                            Z = x(SK_C · PK_T), nonce r
//!                             <-- r, T --    K_enc, K_mac = KDF(Z, r, 1), KDF(Z, r, 2)
//!   Z = x(SK_T · PK_C), same keys            T = MAC(K_mac, PK_T)
//!   T holds: only the holder of SK_C could make it
//! ```

use super::p256::{P256AgreementKey, P256Error, P256Point, POINT_LEN};
use super::secure_messaging::{KEY_LEN, MAC_LEN, SecureMessagingError, SessionKeys};
use super::{oid, tags};
use crate::tlv;
use aws_lc_rs::constant_time;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use der::asn1::{Any, BitString, ObjectIdentifier, SetOfVec};
use der::{Decode, Encode, Sequence};
use protocol::entropy::Entropy;
use zeroize::Zeroizing;

/// Octets of the card's nonce, TR-03110-3 A.4.
pub const NONCE_LEN: usize = 8;
/// Number of P-256 among the standardised domain parameters, TR-03110-3 table 4.
const P256_DOMAIN: u8 = 12;
/// ChipAuthenticationInfo: version 2, agreement with nonce and token.
const CHIP_AUTHENTICATION_VERSION: u8 = 2;
/// TerminalAuthenticationInfo: version 1, after chip authentication and without auxiliary data.
const TERMINAL_AUTHENTICATION_VERSION: u8 = 1;

/// Why chip authentication failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChipAuthenticationError {
    /// SecurityInfos that are not DER, or do not name this profile's protocols and exactly one key.
    #[error("not the SecurityInfos of this profile")]
    SecurityInfos,
    /// A key that cannot be used.
    #[error("a key that cannot be used: {0}")]
    Key(#[from] P256Error),
    /// The token is not one that the holder of the batch key made.
    #[error("the token does not hold")]
    Token,
    /// The session keys cannot be used.
    #[error("the session keys cannot be used: {0}")]
    SessionKeys(#[from] SecureMessagingError),
}

/// One SecurityInfo, TR-03110-3 A.1: protocol, required data, optional data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Sequence)]
struct SecurityInfo {
    protocol: ObjectIdentifier,
    required: Any,
    #[asn1(optional = "true")]
    optional: Option<u8>,
}

impl der::ValueOrd for SecurityInfo {
    fn value_cmp(&self, other: &Self) -> der::Result<std::cmp::Ordering> {
        Ok(self.to_der()?.cmp(&other.to_der()?))
    }
}

/// SubjectPublicKeyInfo with standardised domain parameters in place of a named curve.
#[derive(Clone, PartialEq, Eq, Debug, Sequence)]
struct BatchKeyInfo {
    algorithm: BatchKeyAlgorithm,
    key: BitString,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Sequence)]
struct BatchKeyAlgorithm {
    identifier: ObjectIdentifier,
    domain: u8,
}

/// What the card says about itself in EF 011C: which protocols, which key.
///
/// | SecurityInfo | protocol | data |
/// |---|---|---|
/// | ChipAuthenticationInfo | id-CA-ECDH-AES-CBC-CMAC-128 | version 2, key reference |
/// | ChipAuthenticationPublicKeyInfo | id-PK-ECDH | the batch's public key, key reference |
/// | TerminalAuthenticationInfo | id-TA | version 1; which signature is in the certificates |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecurityInfos {
    /// Name of the batch key within the card, as MSE: SET AT takes it.
    pub key_reference: u8,
    /// The batch's public key.
    pub batch_key: P256Point,
}

/// An object identifier by its value octets.
fn identifier(octets: &[u8]) -> der::Result<ObjectIdentifier> {
    ObjectIdentifier::from_bytes(octets).map_err(|_| der::Tag::ObjectIdentifier.value_error().into())
}

impl SecurityInfos {
    fn infos(&self) -> der::Result<SetOfVec<SecurityInfo>> {
        let key = BatchKeyInfo {
            algorithm: BatchKeyAlgorithm {
                identifier: identifier(oid::STANDARDIZED_DOMAIN_PARAMETERS)?,
                domain: P256_DOMAIN,
            },
            key: BitString::from_bytes(self.batch_key.as_octets())?,
        };
        let mut infos = SetOfVec::new();
        infos.insert(SecurityInfo {
            protocol: identifier(oid::CA_ECDH_AES_CBC_CMAC_128)?,
            required: Any::encode_from(&CHIP_AUTHENTICATION_VERSION)?,
            optional: Some(self.key_reference),
        })?;
        infos.insert(SecurityInfo {
            protocol: identifier(oid::PK_ECDH)?,
            required: Any::encode_from(&key)?,
            optional: Some(self.key_reference),
        })?;
        infos.insert(SecurityInfo {
            protocol: identifier(oid::TA)?,
            required: Any::encode_from(&TERMINAL_AUTHENTICATION_VERSION)?,
            optional: None,
        })?;
        Ok(infos)
    }

    /// The DER of `SET OF SecurityInfo`.
    ///
    /// # Errors
    /// [`ChipAuthenticationError::SecurityInfos`] from the encoder, which has no reason to.
    pub fn encode(&self) -> Result<Vec<u8>, ChipAuthenticationError> {
        self.infos().and_then(|infos| infos.to_der()).map_err(|_| ChipAuthenticationError::SecurityInfos)
    }

    /// Parses DER that says exactly this: each protocol once, one key, one reference, nothing else.
    ///
    /// # Errors
    /// [`ChipAuthenticationError::SecurityInfos`]; [`ChipAuthenticationError::Key`] for a point that is
    /// not on the curve.
    pub fn parse(der: &[u8]) -> Result<Self, ChipAuthenticationError> {
        let refused = |_| ChipAuthenticationError::SecurityInfos;
        let infos = SetOfVec::<SecurityInfo>::from_der(der).map_err(refused)?;
        let wanted = identifier(oid::PK_ECDH).map_err(refused)?;
        let key = infos
            .iter()
            .find(|info| info.protocol == wanted)
            .ok_or(ChipAuthenticationError::SecurityInfos)?;
        let key_reference = key.optional.ok_or(ChipAuthenticationError::SecurityInfos)?;
        let key: BatchKeyInfo = key.required.decode_as().map_err(refused)?;
        let point = key.key.as_bytes().ok_or(ChipAuthenticationError::SecurityInfos)?;
        let parsed = Self { key_reference, batch_key: P256Point::parse(point)? };
        // DER has one encoding: what says the same is the same.
        if parsed.encode()? == der { Ok(parsed) } else { Err(ChipAuthenticationError::SecurityInfos) }
    }
}

/// The session keys of a shared x coordinate, TR-03110-3 A.2.3: `KDF(Z, r, c) = H(Z ‖ r ‖ c)` with c on
/// 32 bits, 1 for encryption and 2 for authentication; for AES-128, the guideline fixes H to SHA-1 and takes
/// octets 1 to 16. (The KDF asks one-wayness of SHA-1, not collision resistance, which is what SHA-1
/// has lost.)
pub(super) fn derive_keys(shared: &[u8], nonce: &[u8; NONCE_LEN]) -> Result<SessionKeys, P256Error> {
    let derive = |counter: u32| {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(shared);
        context.update(nonce);
        context.update(&counter.to_be_bytes());
        let hash = context.finish();
        let key = hash.as_ref().first_chunk::<KEY_LEN>().copied().ok_or(P256Error::Library)?;
        Ok::<_, P256Error>(Zeroizing::new(key))
    };
    Ok(SessionKeys::new(derive(1)?, derive(2)?))
}

/// The token over the terminal's ephemeral key: MAC over its public key data object, TR-03110-3 A.2
fn token(keys: &SessionKeys, ephemeral: &[u8; POINT_LEN]) -> Result<[u8; MAC_LEN], SecureMessagingError> {
    let mut inner = tlv::encode(tags::OID, oid::CA_ECDH_AES_CBC_CMAC_128);
    tlv::write(&mut inner, tags::POINT, ephemeral);
    keys.authenticate(&tlv::encode(tags::PUBLIC_KEY, &inner))
}

/// What the card answers and keeps.
#[derive(Debug)]
pub struct CardAgreement {
    /// Its nonce.
    pub nonce: [u8; NONCE_LEN],
    /// Its token.
    pub token: [u8; MAC_LEN],
    /// The keys.
    pub keys: SessionKeys,
}

/// The card's half.
///
/// # Errors
/// [`ChipAuthenticationError::Key`] where the agreement fails.
pub fn agree_on_card(
    batch_key: &P256AgreementKey,
    terminal_ephemeral: &P256Point,
    entropy: &mut dyn Entropy,
) -> Result<CardAgreement, ChipAuthenticationError> {
    let mut nonce = [0u8; NONCE_LEN];
    entropy.fill(&mut nonce);
    let keys = batch_key.agree(terminal_ephemeral, |shared| derive_keys(shared, &nonce))?;
    Ok(CardAgreement { nonce, token: token(&keys, terminal_ephemeral.as_octets())?, keys })
}

/// The terminal's half: the keys, if the token shows that the card has the batch key.
///
/// # Errors
/// [`ChipAuthenticationError::Token`]; [`ChipAuthenticationError::Key`] where the agreement fails.
pub fn agree_on_terminal(
    ephemeral: &P256AgreementKey,
    batch_key: &P256Point,
    nonce: &[u8; NONCE_LEN],
    card_token: &[u8; MAC_LEN],
) -> Result<SessionKeys, ChipAuthenticationError> {
    let keys = ephemeral.agree(batch_key, |shared| derive_keys(shared, nonce))?;
    constant_time::verify_slices_are_equal(&token(&keys, ephemeral.public_key().as_octets())?, card_token)
        .map_err(|_| ChipAuthenticationError::Token)?;
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eac::p256::generate_pkcs8;
    use crate::eac::specimen::hex;
    use protocol::entropy::Seeded;

    fn batch() -> P256AgreementKey {
        P256AgreementKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap()
    }

    #[test]
    fn security_infos_have_one_encoding() {
        let infos = SecurityInfos { key_reference: 1, batch_key: batch().public_key() };
        let der = infos.encode().unwrap();
        assert_eq!(SecurityInfos::parse(&der), Ok(infos));
        // id-TA, version 1: the shortest element, so DER puts it first.
        assert_eq!(&der[3..18], [0x30, 13, 6, 8, 4, 0, 0x7F, 0, 7, 2, 2, 2, 2, 1, 1]);
        for end in 0..der.len() {
            assert!(SecurityInfos::parse(&der[..end]).is_err(), "{end}");
        }
        for place in 0..der.len() {
            let mut bent = der.clone();
            bent[place] ^= 1;
            assert_ne!(SecurityInfos::parse(&bent), Ok(infos), "{place}");
        }
        let other = SecurityInfos { key_reference: 2, ..infos };
        assert_eq!(SecurityInfos::parse(&other.encode().unwrap()), Ok(other));
    }

    #[test]
    fn both_sides_agree_and_the_token_proves_the_batch_key() {
        let (key, other) = (batch(), batch());
        let ephemeral = P256AgreementKey::ephemeral(&mut Seeded::new(3)).unwrap();
        let card = agree_on_card(&key, &ephemeral.public_key(), &mut Seeded::new(4)).unwrap();
        let terminal = agree_on_terminal(&ephemeral, &key.public_key(), &card.nonce, &card.token).unwrap();
        assert_eq!(*card.keys.encryption, *terminal.encryption);
        assert_eq!(*card.keys.authentication, *terminal.authentication);
        assert_ne!(*card.keys.encryption, *card.keys.authentication);

        let refused = |key: &P256Point, nonce, token| {
            agree_on_terminal(&ephemeral, key, nonce, token).map(|_| ()).unwrap_err()
        };
        let mut wrong = card.token;
        wrong[7] ^= 1;
        assert_eq!(refused(&key.public_key(), &card.nonce, &wrong), ChipAuthenticationError::Token);
        assert_eq!(refused(&other.public_key(), &card.nonce, &card.token), ChipAuthenticationError::Token);
        assert_eq!(refused(&key.public_key(), &[0; 8], &card.token), ChipAuthenticationError::Token);
        assert_eq!(format!("{:?}", card.keys), "SessionKeys(…)");
    }

    /// Numbers of BSI's "Worked Example for Extended Access Control" 1.02, 2011, chip authentication with
    /// ECDH. Its curve is brainpoolP256r1, so the agreement itself is not repeated: what follows from
    /// the shared x coordinate is.
    #[test]
    fn worked_example_of_the_bsi() {
        let shared = hex("791DA04273CCFE862E52DF60347E2557192E1F8D7517822CE3D306056C1CDEB4");
        let nonce = hex("4287B3072A3EDC60").try_into().unwrap();
        let keys = derive_keys(&shared, &nonce).unwrap();
        assert_eq!(keys.encryption.to_vec(), hex("94ABCD271AB7D9A5590BA52CB518B831"));
        assert_eq!(keys.authentication.to_vec(), hex("78B5709E7ABEDB185B424D0EE3A82499"));
        let ephemeral = hex("045A7A377FC9CAFC03AC7FF45441A8B2909D88EAB8E6B0173847AB49B949DF3799\
                             A34EE57EC55268CF8B1C3EC489F8BF4CF4C68D3FD9670E89C0D5D3FFF1AAF89F");
        let made = token(&keys, &ephemeral.try_into().unwrap()).unwrap();
        assert_eq!(made.to_vec(), hex("FF0117D68DEE8E72"));
    }
}
