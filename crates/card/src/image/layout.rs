//! The readable half of an image: which applications and objects a card has, and their access rules.

use super::form::SecretForm;
use super::rule::{Rule, Term};
use serde::Deserialize;
use std::fmt;

/// The format that this program reads.
pub const FORMAT: u32 = 1;
/// Most objects in one application: the security status keeps one bit for each.
pub const OBJECTS_MAX: usize = 64;

/// An application's name, 5 to 16 octets, ISO/IEC 7816-4:2020 §12.3.4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aid {
    octets: [u8; 16],
    length: u8,
}

impl Aid {
    /// From 5 to 16 octets; `None` for another length.
    pub fn new(name: &[u8]) -> Option<Self> {
        if !(5..=16).contains(&name.len()) {
            return None;
        }
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().zip(name) {
            *to = *from;
        }
        Some(Self { octets, length: u8::try_from(name.len()).ok()? })
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or(&self.octets)
    }
}

impl fmt::Debug for Aid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}

/// A set of commands that an application answers to. What each does is in the module of `cos` with its
/// name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CommandSet {
    /// `files`: READ BINARY, READ RECORD.
    Files,
    /// `secrets`: VERIFY, CHANGE REFERENCE DATA.
    Secrets,
    /// `select-by-path`: SELECT by identifier or path, from the master file or from the application.
    SelectByPath,
    /// `iso-signature`: MANAGE SECURITY ENVIRONMENT; COMPUTE DIGITAL SIGNATURE.
    IsoSignature,
    /// `jicsap-signature`: the signature command of the JPKI application.
    JicsapSignature,
    /// `jicsap-institution`: loading terminal certificates, EXTERNAL AUTHENTICATE.
    JicsapInstitution,
    /// `eac`: chip and terminal authentication, secure messaging.
    Eac,
    /// `presence`: a signature by the application's own key, without naming it.
    Presence,
    /// `internal-authenticate`: INTERNAL AUTHENTICATE.
    InternalAuthenticate,
    /// `change-key`: CHANGE KEY.
    ChangeKey,
    /// `session-key`: SET SESSION KEY, and secure messaging without integrity.
    SessionKey,
}

impl CommandSet {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "files" => Self::Files,
            "secrets" => Self::Secrets,
            "select-by-path" => Self::SelectByPath,
            "iso-signature" => Self::IsoSignature,
            "jicsap-signature" => Self::JicsapSignature,
            "jicsap-institution" => Self::JicsapInstitution,
            "eac" => Self::Eac,
            "presence" => Self::Presence,
            "internal-authenticate" => Self::InternalAuthenticate,
            "change-key" => Self::ChangeKey,
            "session-key" => Self::SessionKey,
            _ => return None,
        })
    }
}

/// The data of CHANGE REFERENCE DATA, ISO/IEC 7816-4:2020 §11.5.7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChangeBy {
    /// The new value alone (P1 01): the rule asks for the old one before. `change_by = "new"`, and
    /// where nothing is said.
    New,
    /// The old value and the new one behind it (P1 00); a wrong old one costs a try. `change_by = "old
    /// and new"`.
    OldAndNew,
}

/// What an object is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A transparent file, ISO/IEC 7816-4:2020 §7.3.2: read by offset.
    Binary,
    /// A linear file of records, §7.3.3: read by number. Its content is each record after one octet
    /// with its length.
    Records,
    /// A PIN or password.
    Secret {
        /// Octets and length that it may have.
        form: SecretForm,
        /// Wrong tries until it blocks, 1 to 15.
        tries: u8,
        /// What has to hold before it is changed.
        change: Rule,
        /// How it is changed.
        change_by: ChangeBy,
    },
    /// An RSA-2048 private key: PKCS#8 in DER.
    RsaKey {
        /// What has to hold before it is used.
        usage: Rule,
    },
    /// A P-256 private key that signs: PKCS#8 in DER.
    P256Key {
        /// What has to hold before it is used.
        usage: Rule,
    },
    /// The RSA-2048 private key that session keys are handed over under: PKCS#8 in DER, or nothing where
    /// there is one on the real card and nobody knows what opens it.
    SessionKey {
        /// What has to hold before it is used.
        usage: Rule,
    },
    /// Root of the terminal certificates of profile `jicsap`: key reference (16 octets), modulus (256).
    TerminalRoot,
    /// Trust anchor of the terminal certificates of profile `eac`.
    EacRoot,
    /// The private key that all cards of a batch share, for chip authentication.
    BatchKey,
    /// There on the real card, purpose not public: can be selected and not read.
    Closed,
}

/// Where an object's content comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The same on every card.
    Value(Vec<u8>),
    /// Filled at personalisation, under this name.
    Slot(String),
    /// It has none.
    Nothing,
}

/// What becomes of an object whose slot stays empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenEmpty {
    /// The card cannot be made.
    Refuse,
    /// The card is made without the object (`optional = true`).
    LeaveOut,
    /// A secret that is there, and blocked (`blocked_when_empty = true`): programs ask for its counter.
    Block,
}

/// One object of an application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectLayout {
    /// File identifier.
    pub fid: u16,
    /// Short identifiers, 1 to 30: of the file in READ BINARY, of a key or secret in P2.
    pub short: Vec<u8>,
    /// For people.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Where its content comes from.
    pub source: Source,
    /// What becomes of it without content.
    pub when_empty: WhenEmpty,
    /// What has to hold before its content is given out. Keys and secrets: never.
    pub read: Rule,
    /// What has to hold before a new content is looked at, where the applet takes one: transparent files
    /// alone, and never where the image says nothing.
    pub write: Rule,
}

/// One application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplicationLayout {
    /// For people.
    pub name: String,
    /// What SELECT knows it by.
    pub aid: Aid,
    /// What it answers to.
    pub commands: Vec<CommandSet>,
    /// What it holds, in the order of the image.
    pub objects: Vec<ObjectLayout>,
}

/// Where a data object answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Level {
    /// Always. `level = "any"`.
    Anywhere,
    /// Only while no application is selected. `level = "master file"`.
    MasterFile,
}

/// An object that GET DATA gives to everybody, ISO/IEC 7816-4:2020 §11.4.3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataObjectLayout {
    /// P1 and P2 of GET DATA.
    pub tag: u16,
    /// For people.
    pub name: String,
    /// Where it answers.
    pub level: Level,
    /// Where its content comes from.
    pub source: Source,
    /// What becomes of it without content: nothing is made, or it is left out.
    pub when_empty: WhenEmpty,
}

/// A card without its holder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// For people.
    pub card: String,
    /// Answer to reset, ISO/IEC 7816-3 §8.
    pub atr: Vec<u8>,
    /// Transparent files directly under the master file, free to read; most cards have none.
    pub master_file: Vec<ObjectLayout>,
    /// Its applications, in the order in which SELECT finds them.
    pub applications: Vec<ApplicationLayout>,
    /// What GET DATA gives out. Where there is none, the card does not know the command.
    pub data_objects: Vec<DataObjectLayout>,
}

/// Why a text is not a layout.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LayoutError {
    /// Not TOML, or a field that is missing, unknown or of the wrong type.
    #[error("not a card image: {0}")]
    Syntax(String),
    /// Another version of the format.
    #[error("a card image of format {0}: this program reads format 1")]
    Format(u32),
    /// The text is well formed and says something impossible.
    #[error("{place}: {problem}")]
    Content {
        /// Which application and object, in the words of the image.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn wrong(place: &str, problem: impl Into<String>) -> LayoutError {
    LayoutError::Content { place: place.to_owned(), problem: problem.into() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LayoutText {
    format: u32,
    card: Option<String>,
    atr: Option<String>,
    #[serde(default)]
    master_file: MasterFileText,
    #[serde(default)]
    application: Vec<ApplicationText>,
    #[serde(default)]
    data_object: Vec<DataObjectText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataObjectText {
    tag: u16,
    name: String,
    level: String,
    slot: Option<String>,
    value: Option<String>,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct MasterFileText {
    #[serde(default)]
    object: Vec<ObjectText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationText {
    name: String,
    aid: String,
    commands: Vec<String>,
    #[serde(default)]
    object: Vec<ObjectText>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectText {
    fid: u16,
    name: Option<String>,
    kind: String,
    short: Option<OneOrMore<u8>>,
    slot: Option<String>,
    value: Option<OneOrMore<String>>,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    blocked_when_empty: bool,
    read: Option<String>,
    write: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    change: Option<String>,
    change_by: Option<String>,
    form: Option<String>,
    tries: Option<u8>,
}

impl Layout {
    /// Parses one text.
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        Self::from_parts(&[text])
    }

    /// Parses a layout that stands in several texts: the first names the card, the others add
    /// applications.
    pub fn from_parts(parts: &[&str]) -> Result<Self, LayoutError> {
        let (mut card, mut atr) = (None, None);
        let (mut master_file, mut applications) = (Vec::new(), Vec::new());
        let mut data_objects: Vec<DataObjectLayout> = Vec::new();
        for part in parts {
            let text: LayoutText =
                toml::from_str(part).map_err(|error| LayoutError::Syntax(error.to_string()))?;
            if text.format != FORMAT {
                return Err(LayoutError::Format(text.format));
            }
            for (whole, here, name) in [(&mut card, text.card, "card"), (&mut atr, text.atr, "atr")] {
                if whole.is_some() && here.is_some() {
                    return Err(wrong(name, "named a second time"));
                }
                *whole = whole.take().or(here);
            }
            text.master_file.check(&mut master_file)?;
            for application in text.application {
                applications.push(application.check()?);
            }
            for object in text.data_object {
                let object = object.check()?;
                if data_objects.iter().any(|other| other.tag == object.tag) {
                    return Err(wrong(&object.name, "another data object has the same tag"));
                }
                data_objects.push(object);
            }
        }
        let card = card.ok_or_else(|| wrong("card", "missing"))?;
        let atr = atr.as_deref().and_then(hexadecimal);
        let atr = atr.filter(|atr| (2..=33).contains(&atr.len()));
        let atr = atr.ok_or_else(|| wrong("atr", "2 to 33 octets in hexadecimal"))?;
        for (place, one) in applications.iter().enumerate() {
            if applications.iter().take(place).any(|other| other.aid == one.aid) {
                return Err(wrong(&one.name, "another application has the same name (aid)"));
            }
        }
        Ok(Self { card, atr, master_file, applications, data_objects })
    }
}

impl MasterFileText {
    fn check(self, objects: &mut Vec<ObjectLayout>) -> Result<(), LayoutError> {
        for text in self.object {
            let place = format!("master file, object {:04X}", text.fid);
            let object = text.check(&place)?;
            if object.kind != Kind::Binary || !object.read.is_free() {
                return Err(wrong(&place, "only files that are free to read stand under the master file"));
            }
            if objects.iter().any(|other| other.fid == object.fid) {
                return Err(wrong(&place, "stands here a second time"));
            }
            objects.push(object);
        }
        Ok(())
    }
}

impl DataObjectText {
    fn check(self) -> Result<DataObjectLayout, LayoutError> {
        let place = &self.name;
        let level = match self.level.as_str() {
            "any" => Level::Anywhere,
            "master file" => Level::MasterFile,
            _ => return Err(wrong(place, "level: \"any\" or \"master file\"")),
        };
        let source = match (&self.slot, &self.value) {
            (Some(slot), None) if !slot.is_empty() => Source::Slot(slot.clone()),
            (None, Some(value)) if !self.optional => {
                Source::Value(hexadecimal(value).ok_or_else(|| wrong(place, "value: hexadecimal"))?)
            }
            _ => {
                return Err(wrong(
                    place,
                    "either `slot` or `value`; a slot has a name, and may be `optional`",
                ));
            }
        };
        let when_empty = if self.optional { WhenEmpty::LeaveOut } else { WhenEmpty::Refuse };
        Ok(DataObjectLayout { tag: self.tag, name: self.name, level, source, when_empty })
    }
}

impl ApplicationText {
    fn check(self) -> Result<ApplicationLayout, LayoutError> {
        let place = &self.name;
        let aid = hexadecimal(&self.aid).and_then(|octets| Aid::new(&octets));
        let aid = aid.ok_or_else(|| wrong(place, "aid: 5 to 16 octets in hexadecimal"))?;
        let mut commands = Vec::new();
        for name in &self.commands {
            let set = CommandSet::parse(name);
            commands.push(set.ok_or_else(|| wrong(place, format!("no command set \"{name}\"")))?);
        }
        if self.object.len() > OBJECTS_MAX {
            return Err(wrong(place, format!("more than {OBJECTS_MAX} objects")));
        }
        let mut objects: Vec<ObjectLayout> = Vec::new();
        for text in self.object {
            let place = format!("{place}, object {:04X}", text.fid);
            let object = text.check(&place)?;
            for other in &objects {
                if other.fid == object.fid {
                    return Err(wrong(&place, "stands here a second time"));
                }
                let same_use = std::mem::discriminant(&other.kind) == std::mem::discriminant(&object.kind);
                if same_use && other.short.iter().any(|short| object.short.contains(short)) {
                    return Err(wrong(&place, format!("has a short identifier of {:04X}", other.fid)));
                }
            }
            objects.push(object);
        }
        let application = ApplicationLayout { name: self.name, aid, commands, objects };
        application.check_secrets()?;
        Ok(application)
    }
}

impl ApplicationLayout {
    /// Every secret that a rule names must be there.
    fn check_secrets(&self) -> Result<(), LayoutError> {
        let is_secret = |fid| {
            self.objects.iter().any(|object| object.fid == fid && matches!(object.kind, Kind::Secret { .. }))
        };
        for object in &self.objects {
            let more = match &object.kind {
                Kind::Secret { change: rule, .. }
                | Kind::RsaKey { usage: rule }
                | Kind::P256Key { usage: rule }
                | Kind::SessionKey { usage: rule } => Some(rule),
                _ => None,
            };
            for term in
                object.read.terms().chain(object.write.terms()).chain(more.into_iter().flat_map(Rule::terms))
            {
                match term {
                    Term::Secret(fid) | Term::SecretOnce(fid) if !is_secret(fid) => {
                        let place = format!("{}, object {:04X}", self.name, object.fid);
                        return Err(wrong(&place, format!("{fid:04X} is not a secret of this application")));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// The fields that each kind has beside the common ones; the rest must be absent.
const READ: u8 = 1;
const USE: u8 = 2;
const CHANGE: u8 = 4;
const FORM: u8 = 8;
const TRIES: u8 = 16;

impl ObjectText {
    fn check(self, place: &str) -> Result<ObjectLayout, LayoutError> {
        if matches!(self.fid, 0x0000 | 0x3F00 | 0x3FFF | 0xFFFF) {
            // ISO/IEC 7816-4:2020 §7.4.2: the master file, and values that are kept back.
            return Err(wrong(place, "a reserved file identifier"));
        }
        let (kind, read, write) = self.kind(place)?;
        let source = self.source(place, &kind)?;
        let when_empty = match (self.optional, self.blocked_when_empty) {
            (false, false) => WhenEmpty::Refuse,
            _ if !matches!(source, Source::Slot(_)) => {
                return Err(wrong(place, "only a slot can be empty"));
            }
            (true, false) => WhenEmpty::LeaveOut,
            (false, true) if matches!(kind, Kind::Secret { .. }) => WhenEmpty::Block,
            _ => return Err(wrong(place, "optional, or a secret that is blocked when empty")),
        };
        let short = match self.short {
            Some(short) => short.into_vec(),
            None => u8::try_from(self.fid).ok().filter(|fid| *fid <= 0x1E).into_iter().collect(),
        };
        if short.iter().any(|short| !(1..=0x1E).contains(short)) {
            return Err(wrong(place, "short identifiers are 1 to 30"));
        }
        let name = self.name.unwrap_or(self.kind);
        Ok(ObjectLayout { fid: self.fid, short, name, kind, source, when_empty, read, write })
    }

    /// Kind, and the rules of reading and writing.
    fn kind(&self, place: &str) -> Result<(Kind, Rule, Rule), LayoutError> {
        let fields = match self.kind.as_str() {
            "binary" | "records" => READ,
            "secret" => CHANGE | FORM | TRIES,
            "rsa-key" | "p256-key" | "session-key" => USE,
            "terminal-root" | "eac-root" | "batch-key" | "closed" => 0,
            other => return Err(wrong(place, format!("no kind \"{other}\""))),
        };
        if self.change_by.is_some() && fields & CHANGE == 0 {
            return Err(wrong(place, format!("`change_by` does not go with kind \"{}\"", self.kind)));
        }
        if self.write.is_some() && self.kind != "binary" {
            return Err(wrong(place, format!("`write` does not go with kind \"{}\"", self.kind)));
        }
        for (field, name, is_there) in [
            (READ, "read", self.read.is_some()),
            (USE, "use", self.usage.is_some()),
            (CHANGE, "change", self.change.is_some()),
            (FORM, "form", self.form.is_some()),
            (TRIES, "tries", self.tries.is_some()),
        ] {
            if (fields & field != 0) != is_there {
                let word = if is_there { "does not go with" } else { "is missing for" };
                return Err(wrong(place, format!("`{name}` {word} kind \"{}\"", self.kind)));
            }
        }
        let rule = |text: &Option<String>| {
            text.as_deref().map_or(Ok(Rule::never()), Rule::parse).map_err(|e| wrong(place, e.to_string()))
        };
        let kind = match self.kind.as_str() {
            "binary" => Kind::Binary,
            "records" => Kind::Records,
            "secret" => {
                let form = SecretForm::parse(self.form.as_deref().unwrap_or_default())
                    .map_err(|error| wrong(place, error.to_string()))?;
                let tries = self.tries.filter(|tries| (1..=15).contains(tries));
                let tries = tries.ok_or_else(|| wrong(place, "1 to 15 tries"))?;
                let change_by = match self.change_by.as_deref() {
                    None | Some("new") => ChangeBy::New,
                    Some("old and new") => ChangeBy::OldAndNew,
                    Some(_) => return Err(wrong(place, "change_by: \"new\" or \"old and new\"")),
                };
                Kind::Secret { form, tries, change: rule(&self.change)?, change_by }
            }
            "rsa-key" => Kind::RsaKey { usage: rule(&self.usage)? },
            "p256-key" => Kind::P256Key { usage: rule(&self.usage)? },
            "session-key" => Kind::SessionKey { usage: rule(&self.usage)? },
            "terminal-root" => Kind::TerminalRoot,
            "eac-root" => Kind::EacRoot,
            "batch-key" => Kind::BatchKey,
            _ => Kind::Closed,
        };
        Ok((kind, rule(&self.read)?, rule(&self.write)?))
    }

    fn source(&self, place: &str, kind: &Kind) -> Result<Source, LayoutError> {
        match (&self.slot, &self.value, kind) {
            (None, None, Kind::Closed | Kind::SessionKey { .. }) => Ok(Source::Nothing),
            (_, _, Kind::Closed) => Err(wrong(place, "a closed file has no content")),
            (Some(slot), None, _) if slot.is_empty() => Err(wrong(place, "a slot has a name")),
            (Some(slot), None, _) => Ok(Source::Slot(slot.clone())),
            (None, Some(value), kind) => value_octets(value, kind)
                .map(Source::Value)
                .ok_or_else(|| wrong(place, "value: hexadecimal; a list of records for kind \"records\"")),
            _ => Err(wrong(place, "either `slot` or `value`")),
        }
    }
}

fn value_octets(value: &OneOrMore<String>, kind: &Kind) -> Option<Vec<u8>> {
    match (value, kind) {
        (OneOrMore::One(text), kind) if *kind != Kind::Records => hexadecimal(text),
        (OneOrMore::More(texts), Kind::Records) => {
            let records: Option<Vec<Vec<u8>>> = texts.iter().map(|text| hexadecimal(text)).collect();
            super::join_records(records?.iter().map(Vec::as_slice))
        }
        _ => None,
    }
}

/// Hexadecimal with blanks anywhere between the octets.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 2);
    for group in text.split_ascii_whitespace() {
        if !group.bytes().all(|b| b.is_ascii_hexdigit()) || group.len() % 2 != 0 {
            return None;
        }
        for place in (0..group.len()).step_by(2) {
            octets.push(u8::from_str_radix(group.get(place..place + 2)?, 16).ok()?);
        }
    }
    Some(octets)
}
