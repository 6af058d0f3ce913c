//! What the issuer puts into a Secure Element: contents for the slots of its image,
//! `layouts/secure_element.toml`, and the image with its parts taken apart and checked.

use crate::cvc::{CvcChain, PUBLIC_EXPONENT};
use crate::eac::cvc::{ChainKind, CvcDate, TerminalChain, TrustAnchor};
use crate::eac::p256::{P256Error, P256SigningKey};
use crate::image::{
    Aid, Application, CardImage, Content, Contents, ImageError as LayoutMismatch, Kind, Layout, LayoutError,
    Object, Rule, Term,
};
use crate::rsa_key::{CardRsaKey, RsaKeyError};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use protocol::ids::SecureElementId;
use protocol::physicians::PhysicianList;
use std::fmt;
use std::sync::LazyLock;

/// File identifiers of the Secure Element's objects.
pub mod fid {
    /// Identifier.
    pub const IDENTIFIER: u16 = 0x0100;
    /// The platform's unlock key.
    pub const UNLOCK_KEY: u16 = 0x0101;
    /// Institution key of profile `jicsap`.
    pub const JICSAP_KEY: u16 = 0x0110;
    /// Certificates of profile `jicsap`.
    pub const JICSAP_CHAIN: u16 = 0x0111;
    /// Institution key of profile `eac`.
    pub const EAC_KEY: u16 = 0x0112;
    /// Certificates of profile `eac`.
    pub const EAC_CHAIN: u16 = 0x0113;
    /// Root of the terminals' certificates.
    pub const TERMINAL_ROOT: u16 = 0x0114;
    /// Root of the card issuer's batches.
    pub const CARD_ISSUER_ROOT: u16 = 0x0115;
    /// Physicians who may arm it.
    pub const PHYSICIANS: u16 = 0x0120;
}

/// The built-in layout.
pub fn layout() -> Result<&'static Layout, LayoutError> {
    static PARSED: LazyLock<Result<Layout, LayoutError>> =
        LazyLock::new(|| Layout::parse(include_str!("../../layouts/secure_element.toml")));
    PARSED.as_ref().map_err(Clone::clone)
}

/// Name of an unlock key: the first 8 octets of the SHA-256 of its uncompressed point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnlockKeyReference(pub [u8; 8]);

/// Why an image is not one of a Secure Element.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// The contents do not fit the layout, or the layout is none.
    #[error(transparent)]
    Layout(#[from] LayoutMismatch),
    /// The layout has another application, or an object is missing or of another kind.
    #[error("object {0:04X} is missing from the image, or is of another kind")]
    Object(u16),
    /// What is in an object is not what belongs there.
    #[error("what is in object {0:04X} is not what belongs there")]
    Content(u16),
    /// The unlock key is not a point of P-256, uncompressed (65 octets) or as SubjectPublicKeyInfo.
    #[error("the unlock key is not a P-256 public key")]
    UnlockKey,
    /// A terminal certificate is for another key than the institution key beside it.
    #[error("a terminal certificate is for another key than the institution key")]
    Leaf,
    /// A chain does not hold: a signature, a role, or the root it begins under.
    #[error("a chain of terminal certificates does not hold")]
    Chain,
    /// A private key cannot be written.
    #[error("a private key cannot be written")]
    Key,
}

impl From<LayoutError> for ImageError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error.into())
    }
}

impl From<RsaKeyError> for ImageError {
    fn from(_: RsaKeyError) -> Self {
        Self::Key
    }
}

impl From<P256Error> for ImageError {
    fn from(_: P256Error) -> Self {
        Self::Key
    }
}

/// The platform's public unlock key, P-256.
pub struct UnlockPublicKey {
    pub(super) reference: UnlockKeyReference,
    point: [u8; 65],
    pub(super) parsed: ParsedPublicKey,
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

/// What an institution needs to prove itself by profile `jicsap`.
#[derive(Debug)]
pub struct JicsapInstitution {
    /// Its key.
    pub key: CardRsaKey,
    /// Accredited body and terminal.
    pub chain: CvcChain,
}

/// What an institution needs to prove itself by profile `eac`.
#[derive(Debug)]
pub struct EacInstitution {
    /// Its key.
    pub key: P256SigningKey,
    /// Links, accredited body, terminal: good for days, renewed over the Secure Element's life.
    pub chain: TerminalChain,
    /// What the chain, and every later one, begins under.
    pub terminal_root: TrustAnchor,
    /// Whose batches of cards are genuine.
    pub card_issuer: TrustAnchor,
}

/// What the issuer puts into one Secure Element.
#[derive(Debug)]
pub struct Personalisation {
    /// Its identifier.
    pub secure_element: SecureElementId,
    /// Whose policies arm it.
    pub unlock_key: UnlockPublicKey,
    /// Profile `jicsap`.
    pub jicsap: JicsapInstitution,
    /// Profile `eac`.
    pub eac: EacInstitution,
}

impl Personalisation {
    /// The contents of the layout's slots.
    pub fn contents(&self) -> Result<Contents, ImageError> {
        let mut contents = Contents::new();
        contents.fill("identifier", self.secure_element.0);
        contents.fill("unlock.key", *self.unlock_key.point());
        contents.fill("jicsap.institution-key", self.jicsap.key.pkcs8_der()?.as_slice());
        contents.fill("jicsap.chain", self.jicsap.chain.encode());
        contents.fill("eac.institution-key", self.eac.key.pkcs8_der()?.as_slice());
        contents.fill("eac.chain", self.eac.chain.encode());
        contents.fill("eac.terminal-root", self.eac.terminal_root.certificate().encode());
        contents.fill("eac.card-issuer", self.eac.card_issuer.certificate().encode());
        let nobody = PhysicianList::new(self.secure_element, 0, Vec::new());
        contents.fill("physicians", nobody.map_or_else(Vec::new, |list| list.encode()));
        Ok(contents)
    }

    /// The image of the built-in layout with these contents.
    pub fn image(&self) -> Result<SecureElementImage, ImageError> {
        SecureElementImage::new(layout()?, &self.contents()?)
    }
}

/// What the issuer put into a Secure Element. Never changes.
#[derive(Debug)]
pub struct SecureElementImage {
    image: CardImage,
    aid: Aid,
    pub(super) secure_element: SecureElementId,
    pub(super) unlock_key: UnlockPublicKey,
    pub(super) jicsap_chain: CvcChain,
    pub(super) eac_chain: TerminalChain,
    pub(super) terminal_root: TrustAnchor,
    pub(super) card_issuer: TrustAnchor,
    pub(super) physicians: PhysicianList,
}

impl SecureElementImage {
    /// An image whose parts are there and fit together: each terminal certificate certifies its
    /// institution key, and each chain holds. (Whether it is still of today, a touch sees.)
    pub fn new(layout: &Layout, contents: &Contents) -> Result<Self, ImageError> {
        let image = CardImage::new(layout, contents)?;
        let aid = Aid::new(&super::SECURE_ELEMENT_AID).ok_or(ImageError::Object(0))?;
        let application = image.application(&aid).ok_or(ImageError::Object(0))?;
        let content = |fid| ImageError::Content(fid);
        let identifier = binary(application, fid::IDENTIFIER)?;
        let secure_element = SecureElementId(identifier.try_into().map_err(|_| content(fid::IDENTIFIER))?);
        let unlock_key = UnlockPublicKey::from_point(binary(application, fid::UNLOCK_KEY)?)?;
        let jicsap_chain = CvcChain::parse(binary(application, fid::JICSAP_CHAIN)?)
            .map_err(|_| content(fid::JICSAP_CHAIN))?;
        let eac_chain = TerminalChain::parse(binary(application, fid::EAC_CHAIN)?)
            .map_err(|_| content(fid::EAC_CHAIN))?;
        let terminal_root = root(application, fid::TERMINAL_ROOT, ChainKind::Terminal)?;
        let card_issuer = root(application, fid::CARD_ISSUER_ROOT, ChainKind::CardIssuer)?;
        let physicians = PhysicianList::parse(binary(application, fid::PHYSICIANS)?)
            .filter(|list| list.secure_element() == secure_element)
            .ok_or(content(fid::PHYSICIANS))?;
        check_jicsap(application, &jicsap_chain)?;
        check_eac(application, &eac_chain, &terminal_root)?;
        Ok(Self {
            image,
            aid,
            secure_element,
            unlock_key,
            jicsap_chain,
            eac_chain,
            terminal_root,
            card_issuer,
            physicians,
        })
    }

    /// Answer to reset.
    pub fn atr(&self) -> &[u8] {
        self.image.atr()
    }

    /// The object with this identifier.
    pub(super) fn object(&self, fid: u16) -> Option<&Object> {
        self.image.application(&self.aid)?.object(fid)
    }

    /// The institution key of profile `jicsap`, where its rule opens.
    pub(super) fn jicsap_key(&self, holds: impl Fn(Term) -> bool) -> Option<&CardRsaKey> {
        let object = self.object(fid::JICSAP_KEY)?;
        match (&object.content, &object.layout.kind) {
            (Content::RsaKey(key), Kind::RsaKey { usage }) if usage.opens(holds) => Some(key),
            _ => None,
        }
    }

    /// The institution key of profile `eac`, where its rule opens.
    pub(super) fn eac_key(&self, holds: impl Fn(Term) -> bool) -> Option<&P256SigningKey> {
        let object = self.object(fid::EAC_KEY)?;
        match (&object.content, &object.layout.kind) {
            (Content::P256Key(key), Kind::P256Key { usage }) if usage.opens(holds) => Some(key),
            _ => None,
        }
    }
}

fn binary(application: &Application, fid: u16) -> Result<&[u8], ImageError> {
    match application.object(fid).map(|object| &object.content) {
        Some(Content::Binary(octets)) => Ok(octets),
        _ => Err(ImageError::Object(fid)),
    }
}

fn root(application: &Application, fid: u16, chain: ChainKind) -> Result<TrustAnchor, ImageError> {
    match application.object(fid).map(|object| &object.content) {
        Some(Content::EacRoot(root)) if root.key().authorisation.chain == chain => Ok((**root).clone()),
        Some(Content::EacRoot(_)) => Err(ImageError::Content(fid)),
        _ => Err(ImageError::Object(fid)),
    }
}

/// The leaf certifies the institution key, and the intermediate certifies the leaf.
fn check_jicsap(application: &Application, chain: &CvcChain) -> Result<(), ImageError> {
    let Some(Content::RsaKey(key)) = application.object(fid::JICSAP_KEY).map(|object| &object.content) else {
        return Err(ImageError::Object(fid::JICSAP_KEY));
    };
    let leaf = &chain.leaf.body().subject;
    if key.public_exponent() != PUBLIC_EXPONENT || leaf.modulus() != key.public_modulus() {
        return Err(ImageError::Leaf);
    }
    chain.leaf.verify(&chain.intermediate.body().subject).map_err(|_| ImageError::Chain)?;
    Ok(())
}

/// The chain begins under the root and ends in the institution key. On the day on which its terminal
/// certificate was made: the image may be older than the day on which it is opened.
fn check_eac(
    application: &Application,
    chain: &TerminalChain,
    terminal_root: &TrustAnchor,
) -> Result<(), ImageError> {
    let Some(Content::P256Key(key)) = application.object(fid::EAC_KEY).map(|object| &object.content) else {
        return Err(ImageError::Object(fid::EAC_KEY));
    };
    verify_eac_chain(chain, key, terminal_root, chain.terminal().body().effective)
}

/// Whether a chain may be shown for `key`: signatures, roles, names, and dates as of `today`.
pub(super) fn verify_eac_chain(
    chain: &TerminalChain,
    key: &P256SigningKey,
    terminal_root: &TrustAnchor,
    today: CvcDate,
) -> Result<(), ImageError> {
    let verified = chain.verify(terminal_root, today).map_err(|_| ImageError::Chain)?;
    if verified.key == key.public_key() { Ok(()) } else { Err(ImageError::Leaf) }
}

/// The rule by which an object's content is given out, or replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

impl Access {
    pub(super) const fn rule(self, object: &Object) -> &Rule {
        match self {
            Self::Read => &object.layout.read,
            Self::Write => &object.layout.write,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlock_keys_are_points_of_p256() {
        assert!(matches!(UnlockPublicKey::from_point(&[4; 65]), Err(ImageError::UnlockKey)));
        assert!(matches!(UnlockPublicKey::from_point(&[]), Err(ImageError::UnlockKey)));
        assert!(matches!(UnlockPublicKey::from_spki_der(&[0x30]), Err(ImageError::UnlockKey)));
    }
}
