//! What a Secure Element keeps over a power cut, and what it forgets with it: two types.

use super::arming::{Arming, OfflineTerms};
use super::card_ledger::CardLedger;
use super::touch::Touch;
use super::unlock::NamedKey;
use crate::eac::cvc::TerminalChain;
use crate::tlv::{self, Tag, TlvReader};
use protocol::physicians::PhysicianList;
use protocol::sealed_evidence::EvidencePrivateKey;
use protocol::time::UnixSeconds;
use zeroize::Zeroizing;

/// Why bytes are not an exported state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StateError {
    /// Not a Secure Element's state.
    #[error("not a Secure Element's state")]
    Format,
    /// The state of another version of the Secure Element.
    #[error("the state of another version of the Secure Element")]
    Version,
}

const MAGIC: &[u8; 4] = b"KZSE";
const VERSION: u8 = 2;

const COUNTER: Tag = Tag(0x80);
const TIME_FLOOR: Tag = Tag(0x81);
const LEDGER: Tag = Tag(0xA2);
const OFFLINE: Tag = Tag(0xA3);
const PHYSICIANS: Tag = Tag(0x84);
const EAC_CHAIN: Tag = Tag(0xA5);

/// What a power cut must not undo.
///
/// The owner writes [`Self::to_bytes`] away after every exchange that changed it and before the answer
/// goes on; then no counter value is ever given out twice and no card gets a touch too many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PersistentState {
    pub(super) counter: u64,
    pub(super) time_floor: UnixSeconds,
    pub(super) ledger: CardLedger,
    /// What the platform last allowed, for an arming without it.
    pub(super) offline: Option<OfflineTerms>,
    /// In the place of the image's, where the platform has sent one.
    pub(super) physicians: Option<PhysicianList>,
    /// In the place of the image's, where it was renewed.
    pub(super) eac_chain: Option<TerminalChain>,
}

impl PersistentState {
    /// A Secure Element from the factory; no policy issued before `made_at` arms it.
    pub fn factory(made_at: UnixSeconds) -> Self {
        let ledger = CardLedger::default();
        Self { counter: 0, time_floor: made_at, ledger, offline: None, physicians: None, eac_chain: None }
    }

    /// The last counter value given out; 0 before the first.
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// The earliest time that this Secure Element believes in.
    pub const fn time_floor(&self) -> UnixSeconds {
        self.time_floor
    }

    /// The same state as if `uses` more counter values had been given out.
    #[must_use]
    pub fn reserving(&self, uses: u64) -> Self {
        Self { counter: self.counter.saturating_add(uses), ..self.clone() }
    }

    /// The state as bytes for a file: `KZSE`, version, then `80 counter(8)`, `81 time floor(8)`,
    /// `A2 ledger`, and each where there is one `A3 offline terms`, `84 physicians`, `A5 certificates`. Secret: the ledger's
    /// secret is in it.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(MAGIC.to_vec());
        bytes.push(VERSION);
        tlv::write(&mut bytes, COUNTER, &self.counter.to_be_bytes());
        tlv::write(&mut bytes, TIME_FLOOR, &self.time_floor.0.to_be_bytes());
        tlv::write(&mut bytes, LEDGER, &self.ledger.encode());
        if let Some(terms) = &self.offline {
            tlv::write(&mut bytes, OFFLINE, &terms.encode());
        }
        if let Some(list) = &self.physicians {
            tlv::write(&mut bytes, PHYSICIANS, &list.encode());
        }
        if let Some(chain) = &self.eac_chain {
            tlv::write(&mut bytes, EAC_CHAIN, &chain.encode());
        }
        bytes
    }

    /// Parses what [`Self::to_bytes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let (version, rest) =
            bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first).ok_or(StateError::Format)?;
        if *version != VERSION {
            return Err(StateError::Version);
        }
        Self::parse(rest).ok_or(StateError::Format)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut objects = TlvReader::new(bytes);
        let counter = u64::from_be_bytes(*objects.expect_array(COUNTER).ok()?);
        let time_floor = UnixSeconds(u64::from_be_bytes(*objects.expect_array(TIME_FLOOR).ok()?));
        let ledger = CardLedger::parse(objects.expect(LEDGER).ok()?)?;
        let mut state = Self { counter, ledger, ..Self::factory(time_floor) };
        // In this order, each at most once: one state has one form.
        let mut last = LEDGER;
        while !objects.is_empty() {
            let object = objects.read().ok()?;
            match (last, object.tag) {
                (LEDGER, OFFLINE) => state.offline = Some(OfflineTerms::parse(object.value)?),
                (LEDGER | OFFLINE, PHYSICIANS) => {
                    state.physicians = Some(PhysicianList::parse(object.value)?);
                }
                (LEDGER | OFFLINE | PHYSICIANS, EAC_CHAIN) => {
                    state.eac_chain = Some(TerminalChain::parse(object.value).ok()?);
                }
                _ => return None,
            }
            last = object.tag;
        }
        Some(state)
    }
}

/// The persistent state with a count of its changes, so that its owner need not compare.
#[derive(Debug)]
pub(super) struct Kept {
    state: PersistentState,
    changes: u64,
}

impl Kept {
    pub(super) const fn new(state: PersistentState) -> Self {
        Self { state, changes: 0 }
    }

    pub(super) const fn get(&self) -> &PersistentState {
        &self.state
    }

    /// The state, to be changed: whoever asks for it is believed to do so.
    pub(super) const fn change(&mut self) -> &mut PersistentState {
        self.changes += 1;
        &mut self.state
    }

    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }
}

/// Whether the application was selected since power-on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Selected {
    #[default]
    No,
    Yes,
}

/// What is forgotten at power-off.
#[derive(Default, Debug)]
pub(super) struct VolatileState {
    pub(super) selected: Selected,
    pub(super) challenge: Option<[u8; 16]>,
    /// What MSE SET has named.
    pub(super) named: Option<NamedKey>,
    pub(super) unlock_failures: u8,
    /// The evidence key of the next arming.
    pub(super) next_evidence_key: Option<EvidencePrivateKey>,
    pub(super) arming: Arming,
    /// The touch that is going on.
    pub(super) touch: Option<Box<Touch>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::answer::AllowedProfiles;
    use protocol::entropy::Seeded;
    use protocol::ids::{SecureElementId, TerminalKeyHash};
    use protocol::physicians::HpkiPublicKey;
    use protocol::sealed_evidence::{EVIDENCE_KEY_LEN, EvidencePublicKey};

    /// A state with everything in it.
    fn full() -> PersistentState {
        let world = crate::eac::specimen::World::new();
        let mut modulus = [0xA5; 256];
        modulus[255] = 1;
        let key = HpkiPublicKey::from_modulus(&modulus).unwrap();
        let mut state = PersistentState::factory(UnixSeconds(9)).reserving(7);
        state.ledger.count(&[1; 32], UnixSeconds(1_800_000_000), &mut Seeded::new(1));
        state.offline = Some(OfflineTerms {
            terminal_key_hash: TerminalKeyHash([3; 32]),
            evidence_key: EvidencePublicKey([4; EVIDENCE_KEY_LEN]),
            profiles: AllowedProfiles::ALL,
            touches_per_card_and_day: 5,
        });
        state.physicians = PhysicianList::new(SecureElementId([1; 8]), 3, vec![key]);
        state.eac_chain = Some(world.terminal().chain);
        state
    }

    #[test]
    fn round_trip_and_prefixes() {
        let empty = PersistentState::factory(UnixSeconds(9));
        for state in [empty.clone(), full()] {
            let bytes = state.to_bytes();
            assert_eq!(PersistentState::from_bytes(&bytes), Ok(state.clone()));
            for end in 0..bytes.len() {
                let cut = PersistentState::from_bytes(&bytes[..end]);
                // The optional objects end between two others.
                assert!(cut.is_err() || cut.unwrap().to_bytes()[..] == bytes[..end], "{end}");
            }
        }
        assert_eq!(empty.reserving(10).counter(), 10);
        assert_eq!(empty.reserving(10).reserving(u64::MAX).counter(), u64::MAX);
    }

    #[test]
    fn another_version_is_said_to_be_one() {
        let first = [b"KZSE\x01".as_slice(), &[0; 16]].concat();
        assert_eq!(PersistentState::from_bytes(&first), Err(StateError::Version));
        assert_eq!(PersistentState::from_bytes(b"KZMC\x02"), Err(StateError::Format));
    }

    #[test]
    fn every_change_is_counted() {
        let mut kept = Kept::new(full());
        assert_eq!(kept.changes(), 0);
        kept.change().counter += 1;
        assert_eq!((kept.changes(), kept.get().counter()), (1, 8));
    }
}
