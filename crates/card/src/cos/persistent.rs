//! What a card changes by itself and keeps without power.

use crate::image::{Aid, Application, CardImage, Content, Kind, Object};
use std::fmt;
use zeroize::Zeroizing;

/// Why bytes are not the exported state of a card.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateError {
    /// Not an exported state of this kind, or of another version.
    #[error("not an exported state of this kind and version")]
    Format,
    /// A counter or a secret outside its range, or of an object that the card does not have.
    #[error("a counter or a secret is out of range")]
    Range,
}

/// Which object of which application.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Address {
    aid: Aid,
    fid: u16,
}

/// A secret that is not as it was issued.
#[derive(Clone, PartialEq, Eq)]
struct SecretState {
    address: Address,
    tries_left: u8,
    /// `None` while its value is the issued one.
    changed: Option<Zeroizing<Vec<u8>>>,
}

/// What a command set keeps beside counters and secrets, under a number of its own.
#[derive(Clone, PartialEq, Eq)]
struct Extension {
    aid: Aid,
    tag: ExtensionTag,
    octets: Vec<u8>,
}

/// Names an [`PersistentState::extension`] within its application. Each has one owner, listed here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ExtensionTag(pub u16);

impl ExtensionTag {
    /// `eac`: the card's effective date, BSI TR-03110-3 chapter 2.
    pub const EFFECTIVE_DATE: Self = Self(1);
}

/// Longest extension, octets.
const EXTENSION_MAX: usize = 1024;

/// Retry counters, changed secrets and what command sets keep. Holds only what differs from the image:
/// the state of a card that leaves the factory is empty.
///
/// The owner writes [`Self::to_bytes`] away after every exchange that changed it, before the answer
/// goes out, as a real card does.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PersistentState {
    /// Sorted by address, each once.
    secrets: Vec<SecretState>,
    /// Sorted by application and tag, each once.
    extensions: Vec<Extension>,
}

impl fmt::Debug for PersistentState {
    /// Counters only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for secret in &self.secrets {
            map.entry(&secret.address, &secret.tries_left);
        }
        map.finish()
    }
}

const STATE_MAGIC: &[u8; 5] = b"KZCS\x01";

impl PersistentState {
    /// The state of a card that leaves the factory.
    pub fn factory() -> Self {
        Self::default()
    }

    /// The state as bytes for a file: magic and version; number of secrets, and for each the
    /// application's name after its length, identifier (2), tries left (1), changed value after its
    /// length (0: as issued); number of extensions, and for each the application's name after its
    /// length, tag (2), octets after their length (2). Numbers are of 2 octets, big-endian, lengths of
    /// one where nothing is said. Holds changed PINs: the file must be as secret as the card.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(STATE_MAGIC.to_vec());
        let number = |value: usize| u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes();
        let aid = |bytes: &mut Vec<u8>, aid: &Aid| {
            bytes.extend(u8::try_from(aid.as_bytes().len()));
            bytes.extend_from_slice(aid.as_bytes());
        };
        bytes.extend(number(self.secrets.len()));
        for secret in &self.secrets {
            aid(&mut bytes, &secret.address.aid);
            bytes.extend(secret.address.fid.to_be_bytes());
            bytes.push(secret.tries_left);
            // A secret is never empty, and its form keeps it shorter than 256 octets.
            let changed = secret.changed.as_ref().map_or(&[][..], |changed| changed);
            bytes.extend(u8::try_from(changed.len()));
            bytes.extend_from_slice(changed);
        }
        bytes.extend(number(self.extensions.len()));
        for extension in &self.extensions {
            aid(&mut bytes, &extension.aid);
            bytes.extend(extension.tag.0.to_be_bytes());
            bytes.extend(number(extension.octets.len()));
            bytes.extend_from_slice(&extension.octets);
        }
        bytes
    }

    /// Parses what [`Self::to_bytes`] made. Whether it is the state of a certain card is checked where
    /// the two come together.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader(bytes.strip_prefix(STATE_MAGIC).ok_or(StateError::Format)?);
        let mut state = Self::default();
        for _ in 0..reader.number()? {
            let address = Address { aid: reader.aid()?, fid: reader.number()? };
            let [tries_left, length] = *reader.array()?;
            let changed = match reader.octets(usize::from(length))? {
                [] => None,
                changed => Some(Zeroizing::new(changed.to_vec())),
            };
            if state.secrets.last().is_some_and(|last| last.address >= address) {
                return Err(StateError::Format);
            }
            state.secrets.push(SecretState { address, tries_left, changed });
        }
        for _ in 0..reader.number()? {
            let (aid, tag) = (reader.aid()?, ExtensionTag(reader.number()?));
            let length = usize::from(reader.number()?);
            let octets = reader.octets(length)?.to_vec();
            let sorted = state.extensions.last().is_none_or(|last| (last.aid, last.tag) < (aid, tag));
            if !sorted || length > EXTENSION_MAX {
                return Err(StateError::Format);
            }
            state.extensions.push(Extension { aid, tag, octets });
        }
        if reader.0.is_empty() { Ok(state) } else { Err(StateError::Format) }
    }

    /// Whether this can be the state of a card of this image: every secret is one of the card, and its
    /// counter and value are within what the image allows.
    pub(crate) fn check(&self, image: &CardImage) -> Result<(), StateError> {
        for secret in &self.secrets {
            let object = image.application(&secret.address.aid).and_then(|a| a.object(secret.address.fid));
            let Some(Object { layout, content: Content::Secret(_) }) = object else {
                return Err(StateError::Range);
            };
            let Kind::Secret { form, tries, .. } = &layout.kind else {
                return Err(StateError::Range);
            };
            let fits = secret.changed.as_ref().is_none_or(|changed| form.fits(changed));
            // Nothing stands here that is as in the image.
            let differs = secret.tries_left < *tries || secret.changed.is_some();
            if !fits || !differs || secret.tries_left > *tries {
                return Err(StateError::Range);
            }
        }
        let known = |extension: &Extension| image.application(&extension.aid).is_some();
        if self.extensions.iter().all(known) { Ok(()) } else { Err(StateError::Range) }
    }

    fn secret(&self, aid: Aid, fid: u16) -> Result<usize, usize> {
        let address = Address { aid, fid };
        self.secrets.binary_search_by(|secret| secret.address.cmp(&address))
    }

    /// Tries left for a secret, 0 (blocked) to its maximum. `None` where the object is no secret or
    /// can never be presented.
    pub fn tries_left(&self, application: &Application, fid: u16) -> Option<u8> {
        let Object { layout, content: Content::Secret(_) } = application.object(fid)? else {
            return None;
        };
        let Kind::Secret { tries, .. } = layout.kind else {
            return None;
        };
        let place = self.secret(application.aid, fid).ok();
        Some(place.and_then(|place| self.secrets.get(place)).map_or(tries, |secret| secret.tries_left))
    }

    /// Its changed value; `None` while it is the issued one.
    pub(crate) fn changed(&self, aid: Aid, fid: u16) -> Option<&[u8]> {
        let secret = self.secrets.get(self.secret(aid, fid).ok()?)?;
        secret.changed.as_ref().map(|changed| changed.as_slice())
    }

    /// Sets a counter; `tries_max` is what the image gives.
    pub(crate) fn set_tries(&mut self, aid: Aid, fid: u16, tries_left: u8, tries_max: u8) {
        match self.secret(aid, fid) {
            Ok(place) => {
                if let Some(secret) = self.secrets.get_mut(place) {
                    secret.tries_left = tries_left;
                }
                let as_issued = |s: &SecretState| s.tries_left == tries_max && s.changed.is_none();
                if self.secrets.get(place).is_some_and(as_issued) {
                    self.secrets.remove(place);
                }
            }
            Err(place) if tries_left != tries_max => {
                let address = Address { aid, fid };
                self.secrets.insert(place, SecretState { address, tries_left, changed: None });
            }
            Err(_) => {}
        }
    }

    /// Sets a new value; the counter stays.
    pub(crate) fn change(&mut self, aid: Aid, fid: u16, value: &[u8], tries_max: u8) {
        let changed = Some(Zeroizing::new(value.to_vec()));
        match self.secret(aid, fid) {
            Ok(place) => {
                if let Some(secret) = self.secrets.get_mut(place) {
                    secret.changed = changed;
                }
            }
            Err(place) => {
                let address = Address { aid, fid };
                self.secrets.insert(place, SecretState { address, tries_left: tries_max, changed });
            }
        }
    }

    /// What a command set keeps under this tag.
    pub fn extension(&self, aid: Aid, tag: ExtensionTag) -> Option<&[u8]> {
        let found = self.extensions.iter().find(|extension| (extension.aid, extension.tag) == (aid, tag));
        found.map(|extension| extension.octets.as_slice())
    }

    /// Keeps octets (at most 1,024) under this tag; nothing is kept of more.
    pub(crate) fn keep(&mut self, aid: Aid, tag: ExtensionTag, octets: &[u8]) {
        if octets.len() > EXTENSION_MAX {
            return;
        }
        let octets = octets.to_vec();
        match self.extensions.binary_search_by(|other| (other.aid, other.tag).cmp(&(aid, tag))) {
            Ok(place) => {
                if let Some(extension) = self.extensions.get_mut(place) {
                    extension.octets = octets;
                }
            }
            Err(place) => self.extensions.insert(place, Extension { aid, tag, octets }),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn octets(&mut self, length: usize) -> Result<&'a [u8], StateError> {
        let (octets, rest) = self.0.split_at_checked(length).ok_or(StateError::Format)?;
        self.0 = rest;
        Ok(octets)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], StateError> {
        let (octets, rest) = self.0.split_first_chunk().ok_or(StateError::Format)?;
        self.0 = rest;
        Ok(octets)
    }

    fn number(&mut self) -> Result<u16, StateError> {
        Ok(u16::from_be_bytes(*self.array()?))
    }

    fn aid(&mut self) -> Result<Aid, StateError> {
        let [length] = *self.array()?;
        Aid::new(self.octets(usize::from(length))?).ok_or(StateError::Format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Contents, Layout};

    fn image() -> CardImage {
        let layout = Layout::parse(
            r#"
            format = 1
            card = "two secrets"
            atr = "3B 00"
            [[application]]
            name = "one"
            aid = "F0 00 00 00 01"
            commands = ["secrets"]
            [[application.object]]
            fid = 0x0018
            kind = "secret"
            value = "31 32 33 34"
            form = "digits 4"
            tries = 3
            change = "secret 0018"
            [[application.object]]
            fid = 0x001B
            kind = "secret"
            slot = "password"
            blocked_when_empty = true
            form = "octets 1..64"
            tries = 15
            change = "never"
            "#,
        );
        CardImage::new(&layout.unwrap(), &Contents::new()).unwrap()
    }

    const ONE: &[u8] = &[0xF0, 0, 0, 0, 1];

    #[test]
    fn round_trip_and_every_prefix() {
        let (image, aid) = (image(), Aid::new(ONE).unwrap());
        let mut state = PersistentState::factory();
        assert_eq!(state.to_bytes()[..], *b"KZCS\x01\x00\x00\x00\x00");
        state.set_tries(aid, 0x18, 2, 3);
        state.change(aid, 0x18, b"4321", 3);
        state.keep(aid, ExtensionTag::EFFECTIVE_DATE, &[1, 2, 3]);
        state.keep(aid, ExtensionTag(7), &[]);
        assert_eq!(state.check(&image), Ok(()));
        let bytes = state.to_bytes();
        assert_eq!(PersistentState::from_bytes(&bytes).as_ref(), Ok(&state));
        for end in 0..bytes.len() {
            assert_eq!(PersistentState::from_bytes(&bytes[..end]), Err(StateError::Format));
        }
        let more = [&bytes[..], &[0]].concat();
        assert_eq!(PersistentState::from_bytes(&more), Err(StateError::Format));
        assert_eq!(state.extension(aid, ExtensionTag::EFFECTIVE_DATE), Some(&[1, 2, 3][..]));
        assert!(!format!("{state:?}").contains("4321"));
    }

    #[test]
    fn a_state_that_is_as_issued_is_empty() {
        let aid = Aid::new(ONE).unwrap();
        let mut state = PersistentState::factory();
        state.set_tries(aid, 0x18, 2, 3);
        assert_ne!(state, PersistentState::factory());
        state.set_tries(aid, 0x18, 3, 3);
        assert_eq!(state, PersistentState::factory());
    }

    #[test]
    fn only_states_of_this_card() {
        let image = image();
        let with = |aid: &[u8], fid: u16, tries: u8, value: &[u8]| {
            let mut bytes = b"KZCS\x01\x00\x01".to_vec();
            bytes.push(u8::try_from(aid.len()).unwrap());
            bytes.extend(aid);
            bytes.extend(fid.to_be_bytes());
            bytes.push(tries);
            bytes.push(u8::try_from(value.len()).unwrap());
            bytes.extend(value);
            bytes.extend([0, 0]);
            PersistentState::from_bytes(&bytes).and_then(|state| state.check(&image))
        };
        assert_eq!(with(ONE, 0x18, 0, b""), Ok(()));
        assert_eq!(with(ONE, 0x18, 3, b"9999"), Ok(()));
        assert_eq!(with(ONE, 0x18, 3, b""), Err(StateError::Range), "as issued");
        assert_eq!(with(ONE, 0x18, 4, b"9999"), Err(StateError::Range), "a try too many");
        assert_eq!(with(ONE, 0x18, 2, b"12a4"), Err(StateError::Range));
        assert_eq!(with(ONE, 0x1B, 2, b""), Err(StateError::Range), "can never be presented");
        assert_eq!(with(ONE, 0x19, 2, b""), Err(StateError::Range));
        assert_eq!(with(b"other", 0x18, 2, b""), Err(StateError::Range));
        assert_eq!(with(b"four", 0x18, 2, b""), Err(StateError::Format));
    }

    #[test]
    fn entries_stand_in_order_and_once() {
        let entry = [&[5][..], ONE, &[0, 0x18, 1, 0]].concat();
        let twice = [&b"KZCS\x01\x00\x02"[..], &entry, &entry, &[0, 0]].concat();
        assert_eq!(PersistentState::from_bytes(&twice), Err(StateError::Format));
        let extension = [&[5][..], ONE, &[0, 1, 0, 0]].concat();
        let twice = [&b"KZCS\x01\x00\x00\x00\x02"[..], &extension, &extension].concat();
        assert_eq!(PersistentState::from_bytes(&twice), Err(StateError::Format));
    }
}
