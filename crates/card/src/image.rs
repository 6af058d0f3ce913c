//! Card images: what a card is made of, as a readable file and the holder's contents.
//!
//! A [`Layout`] is a TOML text: applications, their objects and their access rules. [`Contents`] are
//! the octets for the slots that a layout leaves open. [`CardImage`] is both together, checked once, so
//! that the card operating system ([`crate::cos`]) finds keys parsed and secrets in their form. The
//! format is described in `docs/card-image.md`; the built-in layouts are in `crates/card/layouts`.

mod form;
mod layout;
mod rule;

pub use form::{Alphabet, FormError, SecretForm};
pub use layout::{
    Aid, ApplicationLayout, ChangeBy, CommandSet, DataObjectLayout, FORMAT, Kind, Layout, LayoutError, Level,
    OBJECTS_MAX, ObjectLayout, Source, WhenEmpty,
};
pub use rule::{Rule, RuleError, Term};

use crate::cvc::{CvcPublicKey, KeyReference};
use crate::eac::cvc::TrustAnchor;
use crate::eac::p256::{P256AgreementKey, P256SigningKey};
use crate::rsa_key::{CardRsaKey, RSA_OCTETS};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// The octets for a layout's slots, by name. Wiped when dropped.
#[derive(Clone, Default)]
pub struct Contents(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Contents {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this slot filled; a second filling of a slot replaces the first.
    #[must_use]
    pub fn with(mut self, slot: &str, octets: impl Into<Vec<u8>>) -> Self {
        self.fill(slot, octets);
        self
    }

    /// Fills a slot; a second filling replaces the first.
    pub fn fill(&mut self, slot: &str, octets: impl Into<Vec<u8>>) {
        self.0.insert(slot.to_owned(), Zeroizing::new(octets.into()));
    }

    /// What is in a slot.
    pub fn get(&self, slot: &str) -> Option<&[u8]> {
        self.0.get(slot).map(|octets| octets.as_slice())
    }

    /// The names of the filled slots, sorted.
    pub fn slots(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Contents {
    /// Names of slots only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The content of a file of records: each after one octet with its length, 1 to 254 octets
/// (ISO/IEC 7816-4:2020 §7.4.2), at most 254 of them. `None` outside these bounds.
pub fn join_records<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    for (place, record) in records.into_iter().enumerate() {
        let length = u8::try_from(record.len()).ok().filter(|length| (1..=254).contains(length))?;
        if place >= 254 {
            return None;
        }
        octets.push(length);
        octets.extend_from_slice(record);
    }
    Some(octets)
}

/// The records in what [`join_records`] made.
fn split_records(mut octets: &[u8]) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    let mut records = Vec::new();
    while let Some((&length, rest)) = octets.split_first() {
        let (record, rest) = rest.split_at_checked(usize::from(length))?;
        if !(1..=254).contains(&length) || records.len() >= 254 {
            return None;
        }
        records.push(Zeroizing::new(record.to_vec()));
        octets = rest;
    }
    Some(records)
}

/// The slot content of a `terminal-root`: key reference, then modulus.
pub fn terminal_root_octets(root: &CvcPublicKey) -> Vec<u8> {
    [root.reference().as_bytes().as_slice(), root.modulus()].concat()
}

fn parse_terminal_root(octets: &[u8]) -> Option<CvcPublicKey> {
    let (reference, modulus) = octets.split_first_chunk::<16>()?;
    let modulus: &[u8; RSA_OCTETS] = modulus.try_into().ok()?;
    CvcPublicKey::new(KeyReference::parse(reference).ok()?, modulus).ok()
}

/// What an object holds, parsed.
pub enum Content {
    /// A transparent file.
    Binary(Zeroizing<Vec<u8>>),
    /// A file of records.
    Records(Vec<Zeroizing<Vec<u8>>>),
    /// A secret as it was issued.
    Secret(Zeroizing<Vec<u8>>),
    /// A secret that nobody can present.
    BlockedSecret,
    /// A private key.
    RsaKey(Box<CardRsaKey>),
    /// A private key of P-256 that signs.
    P256Key(Box<P256SigningKey>),
    /// The private key for session keys, where it is known.
    SessionKey(Option<Box<CardRsaKey>>),
    /// Root of the `jicsap` terminal certificates.
    TerminalRoot(CvcPublicKey),
    /// Trust anchor of the `eac` terminal certificates; in its slot a self-signed `7F21` object.
    EacRoot(Box<TrustAnchor>),
    /// Private key of the batch; in its slot PKCS#8.
    BatchKey(Box<P256AgreementKey>),
    /// Nothing.
    Closed,
}

impl fmt::Debug for Content {
    /// The kind alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binary(_) => "Binary(…)",
            Self::Records(_) => "Records(…)",
            Self::Secret(_) => "Secret(…)",
            Self::BlockedSecret => "BlockedSecret",
            Self::RsaKey(_) => "RsaKey(…)",
            Self::P256Key(_) => "P256Key(…)",
            Self::SessionKey(_) => "SessionKey(…)",
            Self::TerminalRoot(_) => "TerminalRoot(…)",
            Self::EacRoot(_) => "EacRoot(…)",
            Self::BatchKey(_) => "BatchKey(…)",
            Self::Closed => "Closed",
        })
    }
}

impl Content {
    /// `None` where the octets are not of the kind.
    fn parse(kind: &Kind, octets: &[u8]) -> Option<Self> {
        let bytes = || Zeroizing::new(octets.to_vec());
        Some(match kind {
            Kind::Binary => Self::Binary(bytes()),
            Kind::Records => Self::Records(split_records(octets)?),
            Kind::Secret { form, .. } if form.fits(octets) => Self::Secret(bytes()),
            Kind::Secret { .. } => return None,
            Kind::RsaKey { .. } => Self::RsaKey(Box::new(CardRsaKey::from_pkcs8(octets).ok()?)),
            Kind::P256Key { .. } => Self::P256Key(Box::new(P256SigningKey::from_pkcs8(octets).ok()?)),
            Kind::SessionKey { .. } if octets.is_empty() => Self::SessionKey(None),
            Kind::SessionKey { .. } => Self::SessionKey(Some(Box::new(CardRsaKey::from_pkcs8(octets).ok()?))),
            Kind::TerminalRoot => Self::TerminalRoot(parse_terminal_root(octets)?),
            Kind::EacRoot => Self::EacRoot(Box::new(TrustAnchor::parse(octets).ok()?)),
            Kind::BatchKey => Self::BatchKey(Box::new(P256AgreementKey::from_pkcs8(octets).ok()?)),
            Kind::Closed => Self::Closed,
        })
    }
}

/// One object of a card.
#[derive(Debug)]
pub struct Object {
    /// What the layout says about it.
    pub layout: ObjectLayout,
    /// What it holds.
    pub content: Content,
}

impl Object {
    /// File identifier.
    pub const fn fid(&self) -> u16 {
        self.layout.fid
    }
}

/// One application of a card.
#[derive(Debug)]
pub struct Application {
    /// For people.
    pub name: String,
    /// What SELECT knows it by.
    pub aid: Aid,
    /// What it answers to.
    pub commands: Vec<CommandSet>,
    objects: Vec<Object>,
}

impl Application {
    /// Its objects, in the order of the layout.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The object with this identifier.
    pub fn object(&self, fid: u16) -> Option<&Object> {
        self.objects.iter().find(|object| object.fid() == fid)
    }

    /// Where the object with this identifier stands in [`Self::objects`].
    pub(crate) fn place(&self, fid: u16) -> Option<usize> {
        self.objects.iter().position(|object| object.fid() == fid)
    }
}

/// An object that GET DATA gives to everybody.
pub struct DataObject {
    /// What the layout says about it.
    pub layout: DataObjectLayout,
    octets: Zeroizing<Vec<u8>>,
}

impl DataObject {
    /// What it holds.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

impl fmt::Debug for DataObject {
    /// The tag alone: a card's number names its holder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataObject({:04X})", self.layout.tag)
    }
}

/// Why contents and layout do not make a card. Names slots, never what is in them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// The layout is none.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A mandatory slot was not filled.
    #[error("slot \"{0}\" is empty")]
    Empty(String),
    /// The layout has no such slot.
    #[error("the layout has no slot \"{0}\"")]
    Unknown(String),
    /// What is in the slot, or stands as value in the layout, is not what the object's kind takes.
    #[error("what is in \"{0}\" is not what its object takes")]
    Form(String),
}

/// A card as the issuer made it. Never changes; several cards may share one.
pub struct CardImage {
    card: String,
    atr: Vec<u8>,
    master_file: Vec<Object>,
    applications: Vec<Application>,
    data_objects: Vec<DataObject>,
    /// What any application answers to: before one is selected, commands are refused for that reason
    /// and not as unknown.
    commands: Vec<CommandSet>,
}

impl fmt::Debug for CardImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.applications.iter().map(|application| application.name.as_str()).collect();
        f.debug_struct("CardImage")
            .field("card", &self.card)
            .field("applications", &names)
            .finish_non_exhaustive()
    }
}

impl CardImage {
    /// Fills the layout's slots. Every mandatory slot must be filled, every filled slot must be one of
    /// the layout, and each content must be of its object's kind.
    pub fn new(layout: &Layout, contents: &Contents) -> Result<Self, ImageError> {
        let slots = || {
            let objects = layout.applications.iter().flat_map(|application| &application.objects);
            let sources = objects.chain(&layout.master_file).map(|object| &object.source);
            sources.chain(layout.data_objects.iter().map(|object| &object.source)).filter_map(|source| {
                match source {
                    Source::Slot(slot) => Some(slot.as_str()),
                    _ => None,
                }
            })
        };
        if let Some(unknown) = contents.slots().find(|name| !slots().any(|slot| slot == *name)) {
            return Err(ImageError::Unknown(unknown.to_owned()));
        }
        let mut applications = Vec::with_capacity(layout.applications.len());
        let mut commands = Vec::new();
        for application in &layout.applications {
            let mut objects = Vec::with_capacity(application.objects.len());
            for object in &application.objects {
                objects.extend(fill(object, contents)?);
            }
            for set in &application.commands {
                if !commands.contains(set) {
                    commands.push(*set);
                }
            }
            applications.push(Application {
                name: application.name.clone(),
                aid: application.aid,
                commands: application.commands.clone(),
                objects,
            });
        }
        let mut master_file = Vec::new();
        for object in &layout.master_file {
            master_file.extend(fill(object, contents)?);
        }
        let mut data_objects = Vec::with_capacity(layout.data_objects.len());
        for object in &layout.data_objects {
            data_objects.extend(fill_data_object(object, contents)?);
        }
        let (card, atr) = (layout.card.clone(), layout.atr.clone());
        Ok(Self { card, atr, master_file, applications, data_objects, commands })
    }

    /// What card this is, for people.
    pub fn card(&self) -> &str {
        &self.card
    }

    /// Answer to reset.
    pub fn atr(&self) -> &[u8] {
        &self.atr
    }

    /// The files directly under its master file.
    pub fn master_file(&self) -> &[Object] {
        &self.master_file
    }

    /// Its applications, in the order in which SELECT finds them.
    pub fn applications(&self) -> &[Application] {
        &self.applications
    }

    /// The application with this name.
    pub fn application(&self, aid: &Aid) -> Option<&Application> {
        self.applications.iter().find(|application| application.aid == *aid)
    }

    /// What GET DATA gives out.
    pub fn data_objects(&self) -> &[DataObject] {
        &self.data_objects
    }

    /// The command sets of all applications, each once.
    pub(crate) fn commands(&self) -> &[CommandSet] {
        &self.commands
    }
}

/// `None` for an optional data object whose slot is empty.
fn fill_data_object(
    layout: &DataObjectLayout,
    contents: &Contents,
) -> Result<Option<DataObject>, ImageError> {
    let octets = match &layout.source {
        Source::Nothing => &[][..],
        Source::Value(value) => value,
        Source::Slot(slot) => match (contents.get(slot), layout.when_empty) {
            (Some(octets), _) => octets,
            (None, WhenEmpty::LeaveOut) => return Ok(None),
            (None, _) => return Err(ImageError::Empty(slot.clone())),
        },
    };
    Ok(Some(DataObject { layout: layout.clone(), octets: Zeroizing::new(octets.to_vec()) }))
}

/// `None` for an optional object whose slot is empty.
fn fill(layout: &ObjectLayout, contents: &Contents) -> Result<Option<Object>, ImageError> {
    let octets = match &layout.source {
        Source::Nothing => &[][..],
        Source::Value(value) => value,
        Source::Slot(slot) => match (contents.get(slot), layout.when_empty) {
            (Some(octets), _) => octets,
            (None, WhenEmpty::Refuse) => return Err(ImageError::Empty(slot.clone())),
            (None, WhenEmpty::LeaveOut) => return Ok(None),
            (None, WhenEmpty::Block) => {
                return Ok(Some(Object { layout: layout.clone(), content: Content::BlockedSecret }));
            }
        },
    };
    let content = Content::parse(&layout.kind, octets).ok_or_else(|| {
        ImageError::Form(match &layout.source {
            Source::Slot(slot) => slot.clone(),
            _ => format!("object {:04X}", layout.fid),
        })
    })?;
    Ok(Some(Object { layout: layout.clone(), content }))
}

#[cfg(test)]
mod tests;
