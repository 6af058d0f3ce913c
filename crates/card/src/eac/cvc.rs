//! Card-verifiable certificates after BSI TR-03110-3 (version 2.21) appendix C, encoded as in
//! appendix D: P-256 keys, plain ECDSA signatures with SHA-256, a role, and dates.
//!
//! ```text
//! 7F21 certificate
//!   7F4E body                      (the octets under the signature, tag and length included)
//!     5F29 profile identifier      00
//!     42   authority reference     name of the key that signed
//!     7F49 public key              06 purpose, 86 point; a CVCA also 81 to 85 and 87, the curve
//!     5F20 holder reference        name of the key that is certified
//!     7F4C holder authorisation    06 whose chain, 53 role and rights (one octet)
//!     5F25 effective date          YYMMDD, one digit an octet
//!     5F24 expiration date         the last day on which it counts
//!   5F37 signature                 r ‖ s
//! ```
//!
//! Parsing is strict: every object is there, once, in this order, and encodes to the same octets
//! again; extensions (65) are refused, because we define none. A refusal says where.

mod authorisation;
mod chain;
mod date;

pub use authorisation::{Authorisation, ChainKind, HolderReference, Rights, Role};
pub use chain::{
    CertifiedKey, ImportError, Imported, TerminalChain, TrustAnchor, VerifiedTerminal, import,
    verify_batch_certificate,
};
pub use date::CvcDate;

use super::p256::{P256Error, P256Point, P256SigningKey, SIGNATURE_LEN};
use super::{oid, tags};
use crate::tlv::{self, Tag, TlvError};
use std::fmt;

/// p, a, b, G, n, h of P-256 in the order of their tags, 81 to 85 and 87; SEC 2 §2.4.2.
const DOMAIN_PARAMETERS: [(Tag, &[u8]); 6] = [
    (Tag(0x81), &hex32(b"FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF")),
    (Tag(0x82), &hex32(b"FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFC")),
    (Tag(0x83), &hex32(b"5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B")),
    (Tag(0x84), &GENERATOR),
    (Tag(0x85), &hex32(b"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551")),
    (Tag(0x87), &[1]),
];

/// The base point, uncompressed.
const GENERATOR: [u8; 65] = {
    let x = hex32(b"6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296");
    let y = hex32(b"4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5");
    let mut point = [4u8; 65];
    let (_, rest) = point.split_at_mut(1);
    let (to_x, to_y) = rest.split_at_mut(32);
    to_x.copy_from_slice(&x);
    to_y.copy_from_slice(&y);
    point
};

/// 64 upper-case hexadecimal digits as 32 octets, at compile time.
const fn hex32(digits: &[u8; 64]) -> [u8; 32] {
    const fn value(digit: u8) -> u8 {
        if digit <= b'9' { digit - b'0' } else { digit - b'A' + 10 }
    }
    let mut octets = [0u8; 32];
    let mut rest: &[u8] = digits;
    let mut left: &mut [u8] = &mut octets;
    while let ([high, low, more @ ..], [first, others @ ..]) = (rest, left) {
        *first = (value(*high) << 4) | value(*low);
        rest = more;
        left = others;
    }
    octets
}

/// A field of a certificate, for errors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Field {
    /// 7F21 as a whole.
    Certificate,
    /// 7F4E.
    Body,
    /// 5F29.
    ProfileIdentifier,
    /// 42.
    AuthorityReference,
    /// 7F49.
    PublicKey,
    /// 5F20.
    HolderReference,
    /// 7F4C.
    Authorisation,
    /// 5F25.
    EffectiveDate,
    /// 5F24.
    ExpirationDate,
    /// 5F37.
    Signature,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate (7F21)",
            Self::Body => "body (7F4E)",
            Self::ProfileIdentifier => "profile identifier (5F29)",
            Self::AuthorityReference => "authority reference (42)",
            Self::PublicKey => "public key (7F49)",
            Self::HolderReference => "holder reference (5F20)",
            Self::Authorisation => "holder authorisation (7F4C)",
            Self::EffectiveDate => "effective date (5F25)",
            Self::ExpirationDate => "expiration date (5F24)",
            Self::Signature => "signature (5F37)",
        })
    }
}

/// Why octets are not a certificate of this profile, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// The octets of a field are not the data object that belongs there.
    #[error("octet {offset}, {field}: {problem}")]
    Encoding {
        /// Which field.
        field: Field,
        /// Where its data object begins, counted from 0.
        offset: usize,
        /// What is wrong with it.
        problem: TlvError,
    },
    /// The data object is there and its value is not allowed.
    #[error("octet {offset}, {field}: a value that this profile does not have")]
    Value {
        /// Which field.
        field: Field,
        /// Where its data object begins, counted from 0.
        offset: usize,
    },
}

/// Walks through data objects and remembers how far from the beginning of the certificate it is.
struct Walk<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Walk<'a> {
    const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets, offset: 0 }
    }

    /// The next object, which must have this tag: its value and where the object begins.
    fn next(&mut self, field: Field, tag: Tag) -> Result<(&'a [u8], usize), ParseError> {
        let offset = self.offset;
        let located = |problem| ParseError::Encoding { field, offset, problem };
        let (object, rest) = tlv::read_one(self.rest).map_err(located)?;
        if object.tag != tag {
            return Err(located(TlvError::Unexpected));
        }
        self.rest = rest;
        self.offset += object.encoded.len();
        Ok((object.value, offset))
    }

    /// Goes into the next object.
    fn enter(&mut self, field: Field, tag: Tag) -> Result<Self, ParseError> {
        let (value, _) = self.next(field, tag)?;
        Ok(Self { rest: value, offset: self.offset - value.len() })
    }

    /// The next object's value as this function reads it.
    fn value<T>(
        &mut self,
        field: Field,
        tag: Tag,
        read: impl FnOnce(&'a [u8]) -> Option<T>,
    ) -> Result<T, ParseError> {
        let (value, offset) = self.next(field, tag)?;
        read(value).ok_or(ParseError::Value { field, offset })
    }

    const fn finish(self, field: Field) -> Result<(), ParseError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(ParseError::Encoding { field, offset: self.offset, problem: TlvError::Trailing })
    }
}

/// What a certified key is for: the object identifier in its data object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyPurpose {
    /// id-TA-ECDSA-SHA-256: signs certificates, or proves a terminal.
    Signature,
    /// id-CA-ECDH-AES-CBC-CMAC-128: a batch's key, which agrees and signs nothing.
    ChipAuthentication,
}

impl KeyPurpose {
    /// The value octets of its object identifier.
    pub const fn oid(self) -> &'static [u8] {
        match self {
            Self::Signature => oid::TA_ECDSA_SHA_256,
            Self::ChipAuthentication => oid::CA_ECDH_AES_CBC_CMAC_128,
        }
    }
}

/// What a certificate says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CvcBody {
    /// Name of the key that signed.
    pub authority: HolderReference,
    /// Name of the key that is certified.
    pub holder: HolderReference,
    /// What the key is for.
    pub purpose: KeyPurpose,
    /// The key.
    pub key: P256Point,
    /// Chain, role and rights.
    pub authorisation: Authorisation,
    /// The day on which it was made: a card believes that this day has come.
    pub effective: CvcDate,
    /// The last day on which it counts.
    pub expiration: CvcDate,
}

impl CvcBody {
    fn parse(fields: &mut Walk<'_>) -> Result<Self, ParseError> {
        fields.value(Field::ProfileIdentifier, tags::PROFILE, |value| (value == [0]).then_some(()))?;
        let authority =
            fields.value(Field::AuthorityReference, tags::AUTHORITY_REFERENCE, HolderReference::parse)?;
        let key_offset = fields.offset;
        let mut key_fields = fields.enter(Field::PublicKey, tags::PUBLIC_KEY)?;
        let (purpose, key, form) = parse_key(&mut key_fields)?;
        key_fields.finish(Field::PublicKey)?;
        let holder = fields.value(Field::HolderReference, tags::HOLDER_REFERENCE, HolderReference::parse)?;
        let authorisation_offset = fields.offset;
        let mut template = fields.enter(Field::Authorisation, tags::CHAT)?;
        let (identifier, _) = template.next(Field::Authorisation, tags::OID)?;
        let (octet, _) = template.next(Field::Authorisation, tags::DISCRETIONARY)?;
        template.finish(Field::Authorisation)?;
        let authorisation = match octet {
            [octet] => Authorisation::parse(identifier, *octet),
            _ => None,
        }
        .ok_or(ParseError::Value { field: Field::Authorisation, offset: authorisation_offset })?;
        // TR-03110-3 appendix D: a CVCA's certificate carries the curve, others must not.
        if (form == KeyForm::WithCurve) != (authorisation.role == Role::Cvca) {
            return Err(ParseError::Value { field: Field::PublicKey, offset: key_offset });
        }
        let effective = fields.value(Field::EffectiveDate, tags::EFFECTIVE, CvcDate::parse)?;
        let expiration = fields.value(Field::ExpirationDate, tags::EXPIRATION, |value| {
            CvcDate::parse(value).filter(|expiration| effective <= *expiration)
        })?;
        Ok(Self { authority, holder, purpose, key, authorisation, effective, expiration })
    }

    /// The `7F4E` object: the octets under the signature.
    pub fn encode(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(320);
        tlv::write(&mut key, tags::OID, self.purpose.oid());
        let curve = if self.authorisation.role == Role::Cvca { &DOMAIN_PARAMETERS[..] } else { &[] };
        for (tag, value) in curve.iter().filter(|(tag, _)| *tag != COFACTOR) {
            tlv::write(&mut key, *tag, value);
        }
        tlv::write(&mut key, tags::POINT, self.key.as_octets());
        for (tag, value) in curve.iter().filter(|(tag, _)| *tag == COFACTOR) {
            tlv::write(&mut key, *tag, value);
        }
        let mut template = tlv::encode(tags::OID, self.authorisation.chain.oid());
        tlv::write(&mut template, tags::DISCRETIONARY, &[self.authorisation.octet()]);

        let mut body = Vec::with_capacity(420);
        tlv::write(&mut body, tags::PROFILE, &[0]);
        tlv::write(&mut body, tags::AUTHORITY_REFERENCE, self.authority.as_octets());
        tlv::write(&mut body, tags::PUBLIC_KEY, &key);
        tlv::write(&mut body, tags::HOLDER_REFERENCE, self.holder.as_octets());
        tlv::write(&mut body, tags::CHAT, &template);
        tlv::write(&mut body, tags::EFFECTIVE, &self.effective.encode());
        tlv::write(&mut body, tags::EXPIRATION, &self.expiration.encode());
        tlv::encode(tags::BODY, &body)
    }
}

const COFACTOR: Tag = Tag(0x87);

/// Whether the curve stands in a key's data object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyForm {
    PointAlone,
    WithCurve,
}

fn parse_key(fields: &mut Walk<'_>) -> Result<(KeyPurpose, P256Point, KeyForm), ParseError> {
    let field = Field::PublicKey;
    let purpose = fields.value(field, tags::OID, |value| {
        [KeyPurpose::Signature, KeyPurpose::ChipAuthentication].into_iter().find(|kind| kind.oid() == value)
    })?;
    let point = |value| P256Point::parse(value).ok();
    if fields.rest.first() == Some(&0x86) {
        return Ok((purpose, fields.value(field, tags::POINT, point)?, KeyForm::PointAlone));
    }
    let mut parsed = None;
    for (tag, expected) in DOMAIN_PARAMETERS {
        if tag == COFACTOR {
            parsed = Some(fields.value(field, tags::POINT, point)?);
        }
        fields.value(field, tag, |value| (value == expected).then_some(()))?;
    }
    let offset = fields.offset;
    parsed.map(|point| (purpose, point, KeyForm::WithCurve)).ok_or(ParseError::Value { field, offset })
}

/// A certificate with its signature, not yet checked against an issuer.
#[doc(alias = "CV証明書")]
#[derive(Clone, PartialEq, Eq)]
pub struct Cvc {
    body: CvcBody,
    encoded_body: Vec<u8>,
    signature: [u8; SIGNATURE_LEN],
}

impl fmt::Debug for Cvc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cvc").field(&self.body).finish()
    }
}

impl Cvc {
    /// Parses one `7F21` object and nothing after it.
    ///
    /// # Errors
    /// [`ParseError`] with field and offset.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let mut outer = Walk::new(octets);
        let inner = outer.enter(Field::Certificate, tags::CERTIFICATE)?;
        outer.finish(Field::Certificate)?;
        Self::parse_fields(inner)
    }

    /// Parses the data of PSO: VERIFY CERTIFICATE, which is the content of the `7F21` object,
    /// TR-03110-3 appendix B.
    ///
    /// # Errors
    /// [`ParseError`] with field and offset.
    pub fn parse_content(octets: &[u8]) -> Result<Self, ParseError> {
        Self::parse_fields(Walk::new(octets))
    }

    fn parse_fields(mut fields: Walk<'_>) -> Result<Self, ParseError> {
        let whole = fields.rest;
        let mut body_fields = fields.enter(Field::Body, tags::BODY)?;
        let body = CvcBody::parse(&mut body_fields)?;
        body_fields.finish(Field::Body)?;
        let encoded_body = whole.get(..whole.len() - fields.rest.len()).unwrap_or_default().to_vec();
        let signature = fields
            .value(Field::Signature, tags::SIGNATURE, |value| <[u8; SIGNATURE_LEN]>::try_from(value).ok())?;
        fields.finish(Field::Signature)?;
        Ok(Self { body, encoded_body, signature })
    }

    /// Parses `7F21` objects one after the other, as they lie in a file.
    ///
    /// # Errors
    /// [`ParseError`]; offsets count from the beginning of the certificate that is wrong.
    pub fn parse_all(mut octets: &[u8]) -> Result<Vec<Self>, ParseError> {
        let mut all = Vec::new();
        while !octets.is_empty() {
            let located = |problem| ParseError::Encoding { field: Field::Certificate, offset: 0, problem };
            let (object, rest) = tlv::read_one(octets).map_err(located)?;
            all.push(Self::parse(object.encoded)?);
            octets = rest;
        }
        Ok(all)
    }

    /// The `7F21` object.
    pub fn encode(&self) -> Vec<u8> {
        tlv::encode(tags::CERTIFICATE, &self.content())
    }

    /// Body and signature without the outer header: the data of PSO: VERIFY CERTIFICATE.
    pub fn content(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.encoded_body.len() + SIGNATURE_LEN + 3);
        octets.extend_from_slice(&self.encoded_body);
        tlv::write(&mut octets, tags::SIGNATURE, &self.signature);
        octets
    }

    /// What it says. Not to be believed before its signature was checked.
    pub const fn body(&self) -> &CvcBody {
        &self.body
    }

    /// Checks the signature under this key, and nothing else.
    ///
    /// # Errors
    /// [`P256Error::Signature`].
    pub fn verify_signature(&self, issuer: &P256Point) -> Result<(), P256Error> {
        issuer.verify(&self.encoded_body, &self.signature)
    }
}

/// Signs certificates, wherever its key lives.
pub trait CvcSigner {
    /// Plain ECDSA with SHA-256 over a body.
    ///
    /// # Errors
    /// What kept it from signing.
    fn sign_body(&self, encoded_body: &[u8]) -> Result<[u8; SIGNATURE_LEN], P256Error>;
}

impl CvcSigner for P256SigningKey {
    fn sign_body(&self, encoded_body: &[u8]) -> Result<[u8; SIGNATURE_LEN], P256Error> {
        self.sign(encoded_body)
    }
}

/// Certifies. Who calls this answers for what stands in the body; see [`import`] for what a card takes.
///
/// # Errors
/// What kept the signer from signing.
pub fn issue(signer: &dyn CvcSigner, body: CvcBody) -> Result<Cvc, P256Error> {
    let encoded_body = body.encode();
    let signature = signer.sign_body(&encoded_body)?;
    Ok(Cvc { body, encoded_body, signature })
}

#[cfg(test)]
mod tests;
