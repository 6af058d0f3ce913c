//! Keys inside a token: found by label and identifier, their public half, what protects them; and new ones.

use crate::config::Pkcs11Key;
use crate::error::{HsmError, KeyError};
use crate::token::Token;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use pki::asn1::{tag, write};
use pki::oid;
use pki::public_key::{SignatureAlgorithm, VerifyingKey};
use pki::signer::{self, RsaBits, SignError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What kind of key pair is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// RSA, 2048 bits: what card holders' authorities have.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA, 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA, 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// The curve P-256.
    #[serde(rename = "p-256")]
    P256,
}

impl KeyAlgorithm {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::P256];

    /// As a configuration writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::P256 => "p-256",
        }
    }

    /// A new key of this kind in this process's memory: PKCS#8 (RFC 5208), wiped when dropped.
    ///
    /// # Errors
    /// The library could not generate one.
    pub fn generate_pkcs8(self) -> Result<Zeroizing<Vec<u8>>, SignError> {
        match self {
            Self::Rsa2048 => signer::generate_rsa_pkcs8(RsaBits::Bits2048),
            Self::Rsa3072 => signer::generate_rsa_pkcs8(RsaBits::Bits3072),
            Self::Rsa4096 => signer::generate_rsa_pkcs8(RsaBits::Bits4096),
            Self::P256 => signer::generate_p256_pkcs8(),
        }
    }

    const fn rsa_bits(self) -> Option<u32> {
        match self {
            Self::Rsa2048 => Some(2048),
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
            Self::P256 => None,
        }
    }
}

/// What a token says of a key's protection: PKCS#11 v2.40 §4.9.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "five attributes of the standard, each told by the token")]
pub struct KeyProtection {
    /// `CKA_SENSITIVE`: its value cannot be read.
    pub sensitive: bool,
    /// `CKA_ALWAYS_SENSITIVE`: and never could.
    pub always_sensitive: bool,
    /// `CKA_EXTRACTABLE`: it can be wrapped with another key and taken out.
    pub extractable: bool,
    /// `CKA_NEVER_EXTRACTABLE`: it never could.
    pub never_extractable: bool,
    /// `CKA_LOCAL`: it was made in this token.
    pub local: bool,
}

impl KeyProtection {
    /// Made in the token, and never able to leave it.
    pub const fn was_never_outside(&self) -> bool {
        self.always_sensitive && self.never_extractable && self.local && !self.extractable && self.sensitive
    }

    /// Cannot leave the token now; it may have been brought in from elsewhere.
    pub const fn cannot_leave(&self) -> bool {
        self.sensitive && !self.extractable
    }
}

/// What a signature is asked of: PKCS#11 v2.40 §2.1.8, §2.3.6 and their variants with the digest inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SigningMechanism {
    /// `CKM_RSA_PKCS` over a DigestInfo made here: a list of megabytes need not travel to the token.
    RsaOverDigestInfo,
    /// `CKM_SHA256_RSA_PKCS`.
    RsaOverMessage,
    /// `CKM_ECDSA` over a digest made here.
    EcdsaOverDigest,
    /// `CKM_ECDSA_SHA256`.
    EcdsaOverMessage,
}

impl SigningMechanism {
    const fn kind(self) -> MechanismType {
        match self {
            Self::RsaOverDigestInfo => MechanismType::RSA_PKCS,
            Self::RsaOverMessage => MechanismType::SHA256_RSA_PKCS,
            Self::EcdsaOverDigest => MechanismType::ECDSA,
            Self::EcdsaOverMessage => MechanismType::ECDSA_SHA256,
        }
    }

    /// For the module.
    pub(crate) const fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::RsaOverDigestInfo => Mechanism::RsaPkcs,
            Self::RsaOverMessage => Mechanism::Sha256RsaPkcs,
            Self::EcdsaOverDigest => Mechanism::Ecdsa,
            Self::EcdsaOverMessage => Mechanism::EcdsaSha256,
        }
    }

    /// Those that will do, best first.
    const fn choices(algorithm: SignatureAlgorithm) -> ([Self; 2], &'static str) {
        match algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                ([Self::RsaOverDigestInfo, Self::RsaOverMessage], "CKM_RSA_PKCS or CKM_SHA256_RSA_PKCS")
            }
            SignatureAlgorithm::EcdsaP256Sha256 => {
                ([Self::EcdsaOverDigest, Self::EcdsaOverMessage], "CKM_ECDSA or CKM_ECDSA_SHA256")
            }
        }
    }
}

/// A key that was found and may be used.
pub(crate) struct FoundKey {
    pub(crate) handle: ObjectHandle,
    pub(crate) spki: Vec<u8>,
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) mechanism: SigningMechanism,
}

impl Token {
    fn description(&self, class: ObjectClass, key: &Pkcs11Key) -> Result<Vec<Attribute>, KeyError> {
        let mut wanted = vec![Attribute::Class(class), Attribute::Label(key.label.clone().into_bytes())];
        if let Some(id) = key.id_octets()? {
            wanted.push(Attribute::Id(id));
        }
        Ok(wanted)
    }

    /// Whether the token holds a private key of this description.
    ///
    /// # Errors
    /// The token cannot be asked.
    pub fn holds(&self, key: &Pkcs11Key) -> Result<bool, KeyError> {
        let wanted = self.description(ObjectClass::PRIVATE_KEY, key)?;
        let session = self.looking_session()?;
        let found = session.find_objects(&wanted).map_err(|error| self.failed("looking for keys", &error))?;
        Ok(!found.is_empty())
    }

    /// What protects a key.
    ///
    /// # Errors
    /// The key is absent or ambiguous, or the token cannot be asked.
    pub fn protection(&self, key: &Pkcs11Key) -> Result<KeyProtection, KeyError> {
        let session = self.looking_session()?;
        let handle = self.find_private(&session, key)?;
        Ok(self.protection_of(&session, handle)?)
    }

    pub(crate) fn find_private(&self, session: &Session, key: &Pkcs11Key) -> Result<ObjectHandle, KeyError> {
        let wanted = self.description(ObjectClass::PRIVATE_KEY, key)?;
        let found = session.find_objects(&wanted).map_err(|error| self.failed("looking for keys", &error))?;
        let (token, description) = (self.label().to_owned(), key.description());
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(HsmError::KeyAbsent { token, key: description }.into()),
            several => Err(HsmError::KeyAmbiguous { token, key: description, count: several.len() }.into()),
        }
    }

    fn attributes(
        &self,
        session: &Session,
        handle: ObjectHandle,
        wanted: &[AttributeType],
    ) -> Result<Vec<Attribute>, HsmError> {
        session.get_attributes(handle, wanted).map_err(|error| self.failed("looking at a key", &error))
    }

    fn protection_of(&self, session: &Session, handle: ObjectHandle) -> Result<KeyProtection, HsmError> {
        // What a token does not tell counts as the worse.
        let mut told = KeyProtection {
            sensitive: false,
            always_sensitive: false,
            extractable: true,
            never_extractable: false,
            local: false,
        };
        let wanted = [
            AttributeType::Sensitive,
            AttributeType::AlwaysSensitive,
            AttributeType::Extractable,
            AttributeType::NeverExtractable,
            AttributeType::Local,
        ];
        for attribute in self.attributes(session, handle, &wanted)? {
            match attribute {
                Attribute::Sensitive(value) => told.sensitive = value,
                Attribute::AlwaysSensitive(value) => told.always_sensitive = value,
                Attribute::Extractable(value) => told.extractable = value,
                Attribute::NeverExtractable(value) => told.never_extractable = value,
                Attribute::Local(value) => told.local = value,
                _ => {}
            }
        }
        Ok(told)
    }

    /// Looks a key up and checks that it may be used: kind, protection, mechanism.
    pub(crate) fn find_usable(&self, session: &Session, key: &Pkcs11Key) -> Result<FoundKey, KeyError> {
        let handle = self.find_private(session, key)?;
        self.usable(session, handle, &key.description())
    }

    /// The same for a handle at hand.
    pub(crate) fn usable(
        &self,
        session: &Session,
        handle: ObjectHandle,
        description: &str,
    ) -> Result<FoundKey, KeyError> {
        let (token, key) = (self.label().to_owned(), description.to_owned());
        if !self.protection_of(session, handle)?.cannot_leave() {
            return Err(HsmError::KeyExtractable { token, key }.into());
        }
        let unusable = |why| HsmError::KeyUnusable { token: token.clone(), key: key.clone(), why };
        let mut kind = None;
        let mut identifier = None;
        let mut may_sign = false;
        let mut allowed = Vec::new();
        let wanted = [AttributeType::KeyType, AttributeType::Id, AttributeType::Sign];
        for attribute in self.attributes(session, handle, &wanted)? {
            match attribute {
                Attribute::KeyType(value) => kind = Some(value),
                Attribute::Id(value) => identifier = Some(value),
                Attribute::Sign(value) => may_sign = value,
                _ => {}
            }
        }
        // Asked for alone: tokens that do not know the attribute fail the whole question.
        if let Ok(found) = session.get_attributes(handle, &[AttributeType::AllowedMechanisms]) {
            for attribute in found {
                if let Attribute::AllowedMechanisms(value) = attribute {
                    allowed = value;
                }
            }
        }
        if !may_sign {
            return Err(unusable("it is not for signatures (CKA_SIGN)").into());
        }
        let spki = match kind {
            Some(KeyType::RSA) => self.rsa_spki(session, handle, identifier.as_deref())?,
            Some(KeyType::EC) => self.p256_spki(session, identifier.as_deref())?,
            _ => None,
        };
        let spki =
            spki.ok_or_else(|| unusable("it is neither RSA nor P-256 with a public half beside it"))?;
        let algorithm = VerifyingKey::from_spki_der(&spki)
            .map_err(|_| unusable("it is neither RSA of 2048 bits or more nor P-256"))?
            .algorithm();
        let (choices, names) = SigningMechanism::choices(algorithm);
        for choice in choices {
            let by_key = allowed.is_empty() || allowed.contains(&choice.kind());
            if by_key && self.offers(choice.kind(), |info| info.sign())? {
                return Ok(FoundKey { handle, spki, algorithm, mechanism: choice });
            }
        }
        Err(HsmError::MechanismNotAllowed { token, key, mechanism: names }.into())
    }

    fn public_half(
        &self,
        session: &Session,
        kind: KeyType,
        identifier: Option<&[u8]>,
    ) -> Result<Option<ObjectHandle>, HsmError> {
        let Some(identifier) = identifier.filter(|octets| !octets.is_empty()) else { return Ok(None) };
        let wanted = [
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(kind),
            Attribute::Id(identifier.to_vec()),
        ];
        let found =
            session.find_objects(&wanted).map_err(|error| self.failed("looking for public keys", &error))?;
        Ok(match found.as_slice() {
            [one] => Some(*one),
            _ => None,
        })
    }

    /// RFC 3279 §2.3.1. Private keys tell modulus and exponent too: PKCS#11 v2.40 §2.1.3.
    fn rsa_spki(
        &self,
        session: &Session,
        private: ObjectHandle,
        identifier: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, HsmError> {
        let handle = self.public_half(session, KeyType::RSA, identifier)?.unwrap_or(private);
        let (mut modulus, mut exponent) = (None, None);
        for attribute in
            self.attributes(session, handle, &[AttributeType::Modulus, AttributeType::PublicExponent])?
        {
            match attribute {
                Attribute::Modulus(value) => modulus = Some(value),
                Attribute::PublicExponent(value) => exponent = Some(value),
                _ => {}
            }
        }
        let (Some(modulus), Some(exponent)) = (modulus, exponent) else { return Ok(None) };
        let key = write::sequence(&[&write::unsigned(&modulus), &write::unsigned(&exponent)]);
        let identifier = write::sequence(&[&write::oid(&oid::RSA_ENCRYPTION), &[tag::NULL, 0]]);
        Ok(Some(write::sequence(&[&identifier, &write::bit_string(&key)])))
    }

    /// RFC 5480 §2. Only the public half tells the point: PKCS#11 v2.40 §2.3.3.
    fn p256_spki(&self, session: &Session, identifier: Option<&[u8]>) -> Result<Option<Vec<u8>>, HsmError> {
        let Some(handle) = self.public_half(session, KeyType::EC, identifier)? else { return Ok(None) };
        let (mut parameters, mut point) = (None, None);
        for attribute in
            self.attributes(session, handle, &[AttributeType::EcParams, AttributeType::EcPoint])?
        {
            match attribute {
                Attribute::EcParams(value) => parameters = Some(value),
                Attribute::EcPoint(value) => point = Some(value),
                _ => {}
            }
        }
        let (Some(parameters), Some(point)) = (parameters, point) else { return Ok(None) };
        // An OCTET STRING by the standard; some tokens give the bare point.
        let point = match point.as_slice() {
            [tag::OCTET_STRING, 65, bare @ ..] if bare.len() == 65 => bare,
            bare => bare,
        };
        if point.len() != 65 || parameters != write::oid(&oid::SECP256R1) {
            return Ok(None);
        }
        let identifier = write::sequence(&[&write::oid(&oid::EC_PUBLIC_KEY), &write::oid(&oid::SECP256R1)]);
        Ok(Some(write::sequence(&[&identifier, &write::bit_string(point)])))
    }

    /// Makes a key pair that never leaves the token: private, sensitive, not extractable, for signatures and
    /// nothing else, not to be changed.
    ///
    /// # Errors
    /// [`HsmError::KeyExists`] if the label is taken, whatever the identifier: two keys of one label are a
    /// trap for the next operator. [`HsmError::MechanismNotAllowed`]; whatever else the token says.
    pub fn generate(&self, key: &Pkcs11Key, algorithm: KeyAlgorithm) -> Result<(), KeyError> {
        let any_id = Pkcs11Key { id: None, ..key.clone() };
        if self.holds(&any_id)? {
            let (token, key) = (self.label().to_owned(), any_id.description());
            return Err(HsmError::KeyExists { token, key }.into());
        }
        let id = key.id_octets()?.unwrap_or_else(|| key.label.clone().into_bytes());
        let session = self.writing_session()?;
        let label = key.label.as_bytes();
        let (_, private) =
            self.generate_in(&session, &key.description(), Lasting::Token { label }, &id, algorithm)?;
        if self.protection_of(&session, private)?.was_never_outside() {
            return Ok(());
        }
        let (token, key) = (self.label().to_owned(), key.description());
        Err(HsmError::KeyExtractable { token, key }.into())
    }

    /// Public and private handle of a new pair.
    pub(crate) fn generate_in(
        &self,
        session: &Session,
        description: &str,
        lasting: Lasting<'_>,
        id: &[u8],
        algorithm: KeyAlgorithm,
    ) -> Result<(ObjectHandle, ObjectHandle), HsmError> {
        let (mechanism, kind, name, allowed) = match algorithm.rsa_bits() {
            Some(_) => (
                Mechanism::RsaPkcsKeyPairGen,
                MechanismType::RSA_PKCS_KEY_PAIR_GEN,
                "CKM_RSA_PKCS_KEY_PAIR_GEN",
                vec![MechanismType::RSA_PKCS, MechanismType::SHA256_RSA_PKCS],
            ),
            None => (
                Mechanism::EccKeyPairGen,
                MechanismType::ECC_KEY_PAIR_GEN,
                "CKM_EC_KEY_PAIR_GEN",
                vec![MechanismType::ECDSA, MechanismType::ECDSA_SHA256],
            ),
        };
        if !self.offers(kind, |info| info.generate_key_pair())? {
            return Err(HsmError::MechanismNotAllowed {
                token: self.label().to_owned(),
                key: description.to_owned(),
                mechanism: name,
            });
        }
        let (stays, label) = match lasting {
            Lasting::Token { label } => (true, label),
            Lasting::Session => (false, description.as_bytes()),
        };
        let both = || {
            [Attribute::Token(stays), Attribute::Label(label.to_vec()), Attribute::Id(id.to_vec())]
                .into_iter()
        };
        let mut public: Vec<Attribute> = both()
            .chain([Attribute::Verify(true), Attribute::Encrypt(false), Attribute::Wrap(false)])
            .collect();
        match algorithm.rsa_bits() {
            Some(bits) => {
                public.push(Attribute::ModulusBits(u64::from(bits).into()));
                public.push(Attribute::PublicExponent(vec![1, 0, 1]));
            }
            None => public.push(Attribute::EcParams(write::oid(&oid::SECP256R1))),
        }
        let private: Vec<Attribute> = both()
            .chain([
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
                Attribute::Decrypt(false),
                Attribute::Unwrap(false),
                Attribute::Derive(false),
                Attribute::Modifiable(false),
            ])
            .collect();
        let restricted: Vec<Attribute> =
            private.iter().cloned().chain([Attribute::AllowedMechanisms(allowed)]).collect();
        // Tokens older than the attribute refuse the template; the key is then as good as any other there.
        session
            .generate_key_pair(&mechanism, &public, &restricted)
            .or_else(|_| session.generate_key_pair(&mechanism, &public, &private))
            .map_err(|error| self.failed("making a key pair", &error))
    }
}

/// How long a key pair stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lasting<'a> {
    /// Until somebody destroys it.
    Token {
        /// Its label.
        label: &'a [u8],
    },
    /// As long as the session that made it.
    Session,
}
