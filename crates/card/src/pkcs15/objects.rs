//! The entries of EF.AOD, EF.PrKD and EF.CD, and what all of them have in common.

use super::{Entry, Path, Pkcs15Error, der, identifier, text};
use crate::tlv::{self, Tag, Tlv, TlvError};

der::flags! {
    /// `CommonObjectFlags`: ISO/IEC 7816-15:2016 §8.2.8.
    ObjectFlags {
        /// Access needs authentication.
        PRIVATE = 0;
        /// It can be changed.
        MODIFIABLE = 1;
        /// For the card itself.
        INTERNAL = 2;
    }
}

der::flags! {
    /// `AccessMode` of an access control rule: ISO/IEC 7816-15:2016 §8.2.7.
    AccessMode {
        /// Reading.
        READ = 0;
        /// Changing.
        UPDATE = 1;
        /// Using a key.
        EXECUTE = 2;
        /// Deleting.
        DELETE = 3;
    }
}

der::flags! {
    /// `PasswordFlags`: ISO/IEC 7816-15:2016 §8.9.2.
    PasswordFlags {
        /// Upper and lower case differ.
        CASE_SENSITIVE = 0;
        /// Good in this application only.
        LOCAL = 1;
        /// It cannot be changed.
        CHANGE_DISABLED = 2;
        /// It cannot be unblocked.
        UNBLOCK_DISABLED = 3;
        /// It has a value.
        INITIALIZED = 4;
        /// It is padded to its stored length.
        NEEDS_PADDING = 5;
        /// It unblocks another one.
        UNBLOCKING_PASSWORD = 6;
        /// It is the security officer's.
        SO_PASSWORD = 7;
    }
}

der::flags! {
    /// `KeyUsageFlags`: ISO/IEC 7816-15:2016 §8.4.1.
    KeyUsageFlags {
        /// Encipher.
        ENCIPHER = 0;
        /// Decipher.
        DECIPHER = 1;
        /// Sign.
        SIGN = 2;
        /// Sign over padded data.
        SIGN_RECOVER = 3;
        /// Verify.
        VERIFY = 6;
        /// Sign so that it binds the holder.
        NON_REPUDIATION = 9;
    }
}

der::flags! {
    /// `KeyAccessFlags`: ISO/IEC 7816-15:2016 §8.4.1.
    KeyAccessFlags {
        /// It cannot be read in the clear.
        SENSITIVE = 0;
        /// It can be taken out.
        EXTRACTABLE = 1;
        /// It was always sensitive.
        ALWAYS_SENSITIVE = 2;
        /// It was never extractable.
        NEVER_EXTRACTABLE = 3;
        /// The card made it.
        CARD_GENERATED = 4;
    }
}

/// Under what condition an access is allowed: ISO/IEC 7816-15:2016 §8.2.7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecurityCondition<'a> {
    /// After authentication with the object of EF.AOD that has this identifier.
    AuthId(&'a [u8]),
    /// Another alternative of the choice, as it came.
    Other(Tlv<'a>),
}

/// Which access needs what: ISO/IEC 7816-15:2016 §8.2.7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessControlRule<'a> {
    /// Which access.
    pub mode: AccessMode,
    /// What it needs.
    pub condition: SecurityCondition<'a>,
}

impl AccessControlRule<'_> {
    /// The rule.
    pub fn encode(&self) -> Vec<u8> {
        let mut content = Vec::new();
        der::write_named_bits(&mut content, self.mode.0);
        match self.condition {
            SecurityCondition::AuthId(id) => tlv::write(&mut content, der::OCTET_STRING, id),
            SecurityCondition::Other(object) => content.extend_from_slice(object.encoded),
        }
        tlv::encode(der::SEQUENCE, &content)
    }
}

impl<'a> Entry<'a> for AccessControlRule<'a> {
    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        let part = "accessControlRule";
        let mut fields = sequence(object, part)?;
        let mode = AccessMode(der::named_bits(fields.expect(der::BIT_STRING, part)?, "accessMode")?);
        let condition = fields.next(part)?.ok_or_else(|| der::encoding(part)(TlvError::Truncated))?;
        let condition = if condition.tag == der::OCTET_STRING {
            SecurityCondition::AuthId(identifier(condition.value, "authId")?)
        } else {
            SecurityCondition::Other(condition)
        };
        fields.pass_over_rest(part)?;
        Ok(Self { mode, condition })
    }
}

/// What every object has: ISO/IEC 7816-15:2016 §8.2.8.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CommonObjectAttributes<'a> {
    /// For people.
    pub label: Option<&'a str>,
    /// What may be done with it.
    pub flags: ObjectFlags,
    /// Identifier of the object of EF.AOD that opens it.
    pub auth_id: Option<&'a [u8]>,
    /// How many uses one authentication opens; none where it opens any number.
    pub user_consent: Option<u32>,
    /// Access control rules one after the other; empty where there are none. [`super::entries`] reads them.
    pub access_control_rules: &'a [u8],
}

impl<'a> CommonObjectAttributes<'a> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut content = Vec::new();
        der::write_label(&mut content, der::UTF8_STRING, self.label);
        if self.flags != ObjectFlags::default() {
            der::write_named_bits(&mut content, self.flags.0);
        }
        if let Some(id) = self.auth_id {
            tlv::write(&mut content, der::OCTET_STRING, id);
        }
        if let Some(uses) = self.user_consent {
            der::write_unsigned(&mut content, der::INTEGER, uses);
        }
        if !self.access_control_rules.is_empty() {
            tlv::write(&mut content, der::SEQUENCE, self.access_control_rules);
        }
        tlv::write(out, der::SEQUENCE, &content);
    }

    fn read(content: &'a [u8]) -> Result<Self, Pkcs15Error> {
        let part = "commonObjectAttributes";
        let mut fields = der::Fields::new(content);
        let label = fields.optional(der::UTF8_STRING, part)?.map(|label| text(label, "label")).transpose()?;
        let flags = fields.optional(der::BIT_STRING, part)?;
        let flags = flags.map_or(Ok(0), |bits| der::named_bits(bits, "flags"))?;
        let auth_id = fields.optional(der::OCTET_STRING, part)?;
        let auth_id = auth_id.map(|id| identifier(id, "authId")).transpose()?;
        let uses = fields.optional(der::INTEGER, part)?;
        let user_consent = uses.map(|uses| der::unsigned(uses, "userConsent")).transpose()?;
        if user_consent == Some(0) {
            return Err(der::value("userConsent"));
        }
        let access_control_rules = fields.optional(der::SEQUENCE, part)?.unwrap_or_default();
        fields.pass_over_rest(part)?;
        Ok(Self { label, flags: ObjectFlags(flags), auth_id, user_consent, access_control_rules })
    }
}

/// The three parts of an object: common, class and type attributes. Subclass attributes are passed over.
struct Parts<'a> {
    common: CommonObjectAttributes<'a>,
    class: der::Fields<'a>,
    kind: der::Fields<'a>,
}

impl<'a> Parts<'a> {
    /// The type attributes stand under an explicit tag, for they are a parameter of the type (ITU-T X.680
    /// §31.2.7); an issued card was seen with an implicit one. No type attributes begin with an OCTET
    /// STRING, and a path does: that tells the two apart.
    fn read(object: Tlv<'a>, part: &'static str) -> Result<Self, Pkcs15Error> {
        let mut fields = sequence(object, part)?;
        let common = CommonObjectAttributes::read(fields.expect(der::SEQUENCE, part)?)?;
        let class = der::Fields::new(fields.expect(der::SEQUENCE, part)?);
        fields.optional(der::constructed(0), part)?;
        let wrapped = fields.expect(der::constructed(1), part)?;
        fields.pass_over_rest(part)?;
        let explicit = tlv::read_single(wrapped, der::SEQUENCE)
            .ok()
            .filter(|inside| tlv::read_one(inside).is_ok_and(|(first, _)| first.tag != der::OCTET_STRING));
        Ok(Self { common, class, kind: der::Fields::new(explicit.unwrap_or(wrapped)) })
    }

    fn encode(common: &CommonObjectAttributes<'_>, class: &[u8], kind: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        common.write(&mut content);
        tlv::write(&mut content, der::SEQUENCE, class);
        tlv::write(&mut content, der::constructed(1), &tlv::encode(der::SEQUENCE, kind));
        tlv::encode(der::SEQUENCE, &content)
    }
}

fn sequence<'a>(object: Tlv<'a>, part: &'static str) -> Result<der::Fields<'a>, Pkcs15Error> {
    if object.tag == der::SEQUENCE {
        Ok(der::Fields::new(object.value))
    } else {
        Err(der::encoding(part)(TlvError::Unexpected))
    }
}

/// Which characters a password has: ISO/IEC 7816-15:2016 §8.9.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PasswordType {
    /// Digits, two in an octet.
    Bcd,
    /// ASCII digits.
    AsciiNumeric,
    /// UTF-8.
    Utf8,
    /// Digits in the low halves of octets.
    HalfNibbleBcd,
    /// ISO 9564-1 block.
    Iso9564,
}

impl PasswordType {
    const ALL: [Self; 5] = [Self::Bcd, Self::AsciiNumeric, Self::Utf8, Self::HalfNibbleBcd, Self::Iso9564];
}

/// A password in EF.AOD: ISO/IEC 7816-15:2016 §8.9.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Password<'a> {
    /// Label, flags and conditions.
    pub common: CommonObjectAttributes<'a>,
    /// What other objects name it by.
    pub auth_id: Option<&'a [u8]>,
    /// How it behaves.
    pub flags: PasswordFlags,
    /// Its characters.
    pub kind: PasswordType,
    /// Fewest characters.
    pub min_length: u32,
    /// Octets that are stored; 0 where that is nobody's business.
    pub stored_length: u32,
    /// Most characters.
    pub max_length: Option<u32>,
    /// P2 of VERIFY.
    pub reference: u8,
    /// The application that it is in.
    pub path: Option<Path<'a>>,
}

impl<'a> Password<'a> {
    /// The entry.
    pub fn encode(&self) -> Vec<u8> {
        let mut class = Vec::new();
        if let Some(id) = self.auth_id {
            tlv::write(&mut class, der::OCTET_STRING, id);
        }
        let mut kind = Vec::new();
        der::write_named_bits(&mut kind, self.flags.0);
        der::write_unsigned(&mut kind, der::ENUMERATED, u32::from(self.kind as u8));
        der::write_unsigned(&mut kind, der::INTEGER, self.min_length);
        der::write_unsigned(&mut kind, der::INTEGER, self.stored_length);
        if let Some(length) = self.max_length {
            der::write_unsigned(&mut kind, der::INTEGER, length);
        }
        if self.reference != 0 {
            der::write_unsigned(&mut kind, der::context(0), u32::from(self.reference));
        }
        if let Some(path) = self.path {
            kind.extend(path.encode());
        }
        Parts::encode(&self.common, &class, &kind)
    }

    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        let part = "password";
        let Parts { common, mut class, mut kind } = Parts::read(object, part)?;
        let auth_id = class.optional(der::OCTET_STRING, part)?;
        let auth_id = auth_id.map(|id| identifier(id, "authId")).transpose()?;
        class.pass_over_rest(part)?;
        let flags = PasswordFlags(der::named_bits(kind.expect(der::BIT_STRING, part)?, "pwdFlags")?);
        let code = der::unsigned(kind.expect(der::ENUMERATED, part)?, "pwdType")?;
        let named = PasswordType::ALL.into_iter().find(|kind| u32::from(*kind as u8) == code);
        let named = named.ok_or_else(|| der::value("pwdType"))?;
        let min_length = der::unsigned(kind.expect(der::INTEGER, part)?, "minLength")?;
        let stored_length = der::unsigned(kind.expect(der::INTEGER, part)?, "storedLength")?;
        let max_length = kind.optional(der::INTEGER, part)?;
        let max_length = max_length.map(|length| der::unsigned(length, "maxLength")).transpose()?;
        let reference = match kind.optional(der::context(0), part)? {
            None => 0,
            Some(reference) => u8::try_from(der::unsigned(reference, "pwdReference")?)
                .ok()
                .filter(|reference| *reference != 0)
                .ok_or_else(|| der::value("pwdReference"))?,
        };
        // padChar and lastPasswordChange stand before the path.
        kind.optional(der::OCTET_STRING, part)?;
        kind.optional(Tag(0x18), part)?;
        let path = kind.optional(der::SEQUENCE, part)?.map(Path::read).transpose()?;
        kind.pass_over_rest(part)?;
        Ok(Self {
            common,
            auth_id,
            flags,
            kind: named,
            min_length,
            stored_length,
            max_length,
            reference,
            path,
        })
    }
}

/// One entry of EF.AOD: ISO/IEC 7816-15:2016 §8.9.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthenticationObject<'a> {
    /// A password or PIN.
    Password(Password<'a>),
    /// Biometry, a key or another alternative, as it came.
    Other(Tlv<'a>),
}

impl<'a> Entry<'a> for AuthenticationObject<'a> {
    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        if object.tag == der::SEQUENCE {
            Password::read(object).map(Self::Password)
        } else {
            Ok(Self::Other(object))
        }
    }
}

/// An RSA key in EF.PrKD: ISO/IEC 7816-15:2016 §8.5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrivateRsaKey<'a> {
    /// Label, flags and conditions.
    pub common: CommonObjectAttributes<'a>,
    /// The same as its certificate's.
    pub id: &'a [u8],
    /// What it is for.
    pub usage: KeyUsageFlags,
    /// Where it came from and whether it gets out.
    pub access: KeyAccessFlags,
    /// How commands name it, where not by its file.
    pub key_reference: Option<u32>,
    /// Its file.
    pub path: Path<'a>,
    /// Bits of its modulus.
    pub modulus_length: u32,
}

impl<'a> PrivateRsaKey<'a> {
    /// The entry.
    pub fn encode(&self) -> Vec<u8> {
        let mut class = tlv::encode(der::OCTET_STRING, self.id);
        der::write_named_bits(&mut class, self.usage.0);
        if self.access != KeyAccessFlags::default() {
            der::write_named_bits(&mut class, self.access.0);
        }
        if let Some(reference) = self.key_reference {
            der::write_unsigned(&mut class, der::INTEGER, reference);
        }
        let mut kind = self.path.encode();
        der::write_unsigned(&mut kind, der::INTEGER, self.modulus_length);
        Parts::encode(&self.common, &class, &kind)
    }

    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        let part = "privateRSAKey";
        let Parts { common, mut class, mut kind } = Parts::read(object, part)?;
        let id = identifier(class.expect(der::OCTET_STRING, part)?, "iD")?;
        let usage = KeyUsageFlags(der::named_bits(class.expect(der::BIT_STRING, part)?, "usage")?);
        // native DEFAULT TRUE: what it says does not matter to anybody who signs with the card.
        der::boolean_unlike_default(class.optional(der::BOOLEAN, part)?, 0xFF, "native")?;
        let access = class.optional(der::BIT_STRING, part)?;
        let access = access.map_or(Ok(0), |bits| der::named_bits(bits, "accessFlags"))?;
        let reference = class.optional(der::INTEGER, part)?;
        let key_reference = reference.map(|number| der::unsigned(number, "keyReference")).transpose()?;
        class.pass_over_rest(part)?;
        let path = Path::read(kind.expect(der::SEQUENCE, part)?)?;
        let modulus_length = der::unsigned(kind.expect(der::INTEGER, part)?, "modulusLength")?;
        kind.pass_over_rest(part)?;
        Ok(Self { common, id, usage, access: KeyAccessFlags(access), key_reference, path, modulus_length })
    }
}

/// One entry of EF.PrKD: ISO/IEC 7816-15:2016 §8.5.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrivateKeyObject<'a> {
    /// An RSA key.
    Rsa(PrivateRsaKey<'a>),
    /// Another kind of key, as it came.
    Other(Tlv<'a>),
}

impl<'a> Entry<'a> for PrivateKeyObject<'a> {
    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        if object.tag == der::SEQUENCE {
            PrivateRsaKey::read(object).map(Self::Rsa)
        } else {
            Ok(Self::Other(object))
        }
    }
}

/// Where a certificate is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateContent<'a> {
    /// In a file.
    Path(Path<'a>),
    /// Elsewhere or right here, as it came.
    Other(Tlv<'a>),
}

/// An X.509 certificate in EF.CD: ISO/IEC 7816-15:2016 §8.8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct X509Certificate<'a> {
    /// Label, flags and conditions.
    pub common: CommonObjectAttributes<'a>,
    /// The same as its private key's.
    pub id: &'a [u8],
    /// Whether it is an authority's.
    pub is_authority: bool,
    /// Where it is.
    pub content: CertificateContent<'a>,
}

impl<'a> X509Certificate<'a> {
    /// The entry.
    pub fn encode(&self) -> Vec<u8> {
        let mut class = tlv::encode(der::OCTET_STRING, self.id);
        if self.is_authority {
            tlv::write(&mut class, der::BOOLEAN, &[0xFF]);
        }
        let kind = match self.content {
            CertificateContent::Path(path) => path.encode(),
            CertificateContent::Other(object) => object.encoded.to_vec(),
        };
        Parts::encode(&self.common, &class, &kind)
    }

    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        let part = "x509Certificate";
        let Parts { common, mut class, mut kind } = Parts::read(object, part)?;
        let id = identifier(class.expect(der::OCTET_STRING, part)?, "iD")?;
        let is_authority = der::boolean_unlike_default(class.optional(der::BOOLEAN, part)?, 0, "authority")?;
        class.pass_over_rest(part)?;
        let content = kind.next(part)?.ok_or_else(|| der::encoding(part)(TlvError::Truncated))?;
        let content = if content.tag == der::SEQUENCE {
            CertificateContent::Path(Path::read(content.value)?)
        } else {
            CertificateContent::Other(content)
        };
        kind.pass_over_rest(part)?;
        Ok(Self { common, id, is_authority, content })
    }
}

/// One entry of EF.CD: ISO/IEC 7816-15:2016 §8.8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateObject<'a> {
    /// An X.509 certificate.
    X509(X509Certificate<'a>),
    /// Another kind, as it came.
    Other(Tlv<'a>),
}

impl<'a> Entry<'a> for CertificateObject<'a> {
    fn read(object: Tlv<'a>) -> Result<Self, Pkcs15Error> {
        if object.tag == der::SEQUENCE {
            X509Certificate::read(object).map(Self::X509)
        } else {
            Ok(Self::Other(object))
        }
    }
}
