//! The octets of the daemon's protocol: commands out, answers in. Pure.
//!
//! Structures travel as the C compiler lays them out, in the machine's own byte order; all fields
//! are 32-bit or character arrays, so one layout holds for every Linux machine.

/// The protocol's major version. pcsc-lite has spoken no other since 2009.
pub(super) const MAJOR: i32 = 4;
/// The oldest minor version this client speaks: pcsc-lite 1.8.24 to 2.2.
pub(super) const MINOR_MIN: i32 = 4;
/// The newest minor version this client speaks: pcsc-lite 2.5.
pub(super) const MINOR_MAX: i32 = 6;
/// From this minor version on the reader list has no fixed length.
pub(super) const MINOR_SIZED_LIST: i32 = 6;
/// Entries of the reader list before [`MINOR_SIZED_LIST`].
pub(super) const READERS_FIXED: usize = 16;
/// More readers than any machine has: a larger answer is nonsense.
pub(super) const READERS_MAX: usize = 1024;
/// Octets of a reader name in the protocol, the terminating zero included.
pub(super) const NAME_LEN: usize = 128;
const ATR_FIELD_LEN: usize = 33;
/// Octets of one entry of the reader list: name, three 32-bit fields, ATR with three octets of
/// padding, two 32-bit fields.
pub(super) const READER_STATE_LEN: usize = NAME_LEN + 12 + ATR_FIELD_LEN + 3 + 8;
/// The most octets a response can have in the protocol: 64 Ki, header, Lc, Le and status.
pub(super) const RESPONSE_FIELD_MAX: usize = 4 + 3 + 65_536 + 3 + 2;

const STATE_PRESENT: u32 = 0x0004;

/// T=0, octet-wise transmission. ISO/IEC 7816-3:2006 §10.
pub(super) const T0: u32 = 1;
/// T=1, block-wise transmission. ISO/IEC 7816-3:2006 §11.
pub(super) const T1: u32 = 2;
const SHARE_EXCLUSIVE: u32 = 1;
const UNPOWER: u32 = 2;
const SCOPE_SYSTEM: u32 = 2;

/// Numbers of the commands this client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    EstablishContext = 0x01,
    ReleaseContext = 0x02,
    Connect = 0x04,
    Disconnect = 0x06,
    Transmit = 0x09,
    Version = 0x11,
    ReadersState = 0x12,
    ReadersStateSize = 0x16,
    ReadersStateArray = 0x17,
}

impl Command {
    /// What the command is for, in an error text.
    pub(super) const fn purpose(self) -> &'static str {
        match self {
            Self::EstablishContext | Self::Version => "greeting",
            Self::ReleaseContext => "taking leave",
            Self::Connect => "opening the card",
            Self::Disconnect => "powering the card down",
            Self::Transmit => "exchanging a command with the card",
            Self::ReadersState | Self::ReadersStateSize | Self::ReadersStateArray => "listing the readers",
        }
    }
}

/// A message to the daemon: header (body length, command), body.
pub(super) struct Message {
    command: Command,
    body: Vec<u8>,
}

impl Message {
    pub(super) const fn new(command: Command) -> Self {
        Self { command, body: Vec::new() }
    }

    pub(super) fn word(mut self, value: u32) -> Self {
        self.body.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn signed(mut self, value: i32) -> Self {
        self.body.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// A zero-padded name; one that would not fit is refused by whoever looked it up in the list.
    fn name(mut self, name: &str) -> Self {
        let mut field = [0_u8; NAME_LEN];
        for (to, from) in field.iter_mut().take(NAME_LEN - 1).zip(name.bytes()) {
            *to = from;
        }
        self.body.extend_from_slice(&field);
        self
    }

    pub(super) fn version(minor: i32) -> Self {
        Self::new(Command::Version).signed(MAJOR).signed(minor).word(0)
    }

    pub(super) fn establish() -> Self {
        Self::new(Command::EstablishContext).word(SCOPE_SYSTEM).word(0).word(0)
    }

    pub(super) fn release(context: u32) -> Self {
        Self::new(Command::ReleaseContext).word(context).word(0)
    }

    pub(super) fn connect_exclusive(context: u32, reader: &str) -> Self {
        let message = Self::new(Command::Connect).word(context).name(reader);
        message.word(SHARE_EXCLUSIVE).word(T0 | T1).signed(0).word(0).word(0)
    }

    pub(super) fn disconnect_unpower(handle: i32) -> Self {
        Self::new(Command::Disconnect).signed(handle).word(UNPOWER).word(0)
    }

    /// The header of an exchange; the command APDU of `len` octets follows it outside the message.
    pub(super) fn transmit(handle: i32, protocol: u32, len: u32) -> Self {
        let message = Self::new(Command::Transmit).signed(handle);
        let message = message.word(protocol).word(PCI_LEN).word(len);
        message.word(protocol).word(PCI_LEN).word(RESPONSE_FIELD_MAX as u32).word(0)
    }

    pub(super) const fn command(&self) -> Command {
        self.command
    }

    /// Header, body and what follows the message, in one piece.
    pub(super) fn encode(&self, following: &[u8]) -> Vec<u8> {
        let mut octets =
            Vec::with_capacity(self.body.len().saturating_add(following.len()).saturating_add(8));
        // Bodies here are shorter than 200 octets.
        octets.extend_from_slice(&u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_ne_bytes());
        octets.extend_from_slice(&(self.command as u32).to_ne_bytes());
        octets.extend_from_slice(&self.body);
        octets.extend_from_slice(following);
        octets
    }
}

/// Octets of the C structure that the daemon's own library would send along.
const PCI_LEN: u32 = 2 * size_of::<usize>() as u32;

/// Reads fields off an answer of known length; a field beyond the end is `None`.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn of(answer: &'a [u8]) -> Self {
        Self(answer)
    }

    pub(super) fn word(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_ne_bytes)
    }

    pub(super) fn signed(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_ne_bytes)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}

/// One entry of the daemon's reader list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReaderState {
    pub(super) name: String,
    /// Grows with every insertion and every removal.
    pub(super) events: u32,
    pub(super) is_card_present: bool,
    pub(super) atr: Vec<u8>,
}

/// A reader as the daemon lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderInfo {
    /// The reader's name, with the daemon's numbers of reader and slot at its end.
    pub name: String,
    /// Whether a card is on it.
    pub card_present: bool,
    /// The card's answer to reset, 2 to 33 octets; empty while there is no card or no power.
    pub atr: Vec<u8>,
    /// Insertions and removals that the daemon has noticed on this reader since it started.
    pub events: u32,
}

impl From<ReaderState> for ReaderInfo {
    fn from(state: ReaderState) -> Self {
        Self { name: state.name, card_present: state.is_card_present, atr: state.atr, events: state.events }
    }
}

/// The readers in the entries of a list; unused entries have no name.
pub(super) fn reader_states(list: &[u8]) -> Option<Vec<ReaderState>> {
    let mut readers = Vec::new();
    for entry in list.chunks(READER_STATE_LEN) {
        let mut fields = Fields::of(entry);
        let name = fields.take(NAME_LEN)?.split(|octet| *octet == 0).next().unwrap_or_default();
        let events = fields.word()?;
        let state = fields.word()?;
        let _sharing = fields.signed()?;
        let atr_field = fields.take(ATR_FIELD_LEN)?;
        let _padding = fields.take(3)?;
        let atr_len = usize::try_from(fields.word()?).ok()?;
        let _protocol = fields.word()?;
        if name.is_empty() {
            continue;
        }
        let is_card_present = state & STATE_PRESENT != 0;
        // A length beyond the field is the daemon's mark for "not powered up yet".
        let atr = atr_field.get(..atr_len).filter(|_| is_card_present).unwrap_or_default().to_vec();
        readers.push(ReaderState {
            name: String::from_utf8_lossy(name).into_owned(),
            events,
            is_card_present,
            atr,
        });
    }
    Some(readers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_lists_never_panic(list in proptest::collection::vec(any::<u8>(), 0..800)) {
            let whole = list.len() % READER_STATE_LEN == 0;
            prop_assert_eq!(reader_states(&list).is_some(), whole);
        }
    }

    #[test]
    fn messages_have_the_lengths_the_daemon_insists_on() {
        assert_eq!(READER_STATE_LEN, 184);
        assert_eq!(Message::version(4).encode(&[]).len(), 8 + 12);
        assert_eq!(Message::establish().encode(&[]).len(), 8 + 12);
        assert_eq!(Message::release(1).encode(&[]).len(), 8 + 8);
        assert_eq!(Message::connect_exclusive(1, "x").encode(&[]).len(), 8 + 4 + 128 + 20);
        assert_eq!(Message::disconnect_unpower(1).encode(&[]).len(), 8 + 12);
        assert_eq!(Message::transmit(1, T1, 5).encode(&[0; 5]).len(), 8 + 32 + 5);
        let long = "x".repeat(300);
        assert_eq!(Message::connect_exclusive(1, &long).encode(&[]).len(), 8 + 4 + 128 + 20);
    }
}
