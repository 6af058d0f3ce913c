//! What a card forgets at power-off, and what it forgets earlier.

use super::secure_channel::SecureChannel;
use super::{iso_signature, jicsap_institution};
use crate::eac::card_side::EacSession;
use zeroize::Zeroizing;

/// Permission for exactly one use of something behind `institution-once`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OneUse;

/// A challenge that was given out and not yet answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenge {
    octets: [u8; Self::MAX],
    length: usize,
}

impl Challenge {
    /// The longest that an authentication here answers.
    const MAX: usize = 16;

    /// `None` for a longer one: that is a random number, nobody can authenticate with it.
    pub(super) fn new(given: &[u8]) -> Option<Self> {
        let mut octets = [0; Self::MAX];
        octets.get_mut(..given.len())?.copy_from_slice(given);
        Some(Self { octets, length: given.len() })
    }

    pub(super) fn exactly<const N: usize>(&self) -> Option<[u8; N]> {
        self.octets.get(..self.length)?.try_into().ok()
    }
}

/// Which objects' secrets were presented, one bit for each object of the application.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Presented(u64);

/// What is lost when another application is selected. A command set that has a state of its own adds a
/// field here; its `Default` is the state of an application just entered.
#[derive(Default, Debug)]
pub(crate) struct SecurityStatus {
    presented: Presented,
    /// An institution was authenticated, and its one use not yet taken.
    pub(crate) permission: Option<OneUse>,
    /// Keys and counters of secure messaging, while it is on.
    pub(crate) channel: Option<Box<dyn SecureChannel>>,
    /// Which key signs, `iso-signature`.
    pub(crate) signature_template: iso_signature::Template,
    /// The terminal's certificate chain, profile `jicsap`.
    pub(crate) jicsap: jicsap_institution::InstitutionSession,
    /// How far chip and terminal authentication have come, profile `eac`.
    pub(crate) eac: EacSession,
}

impl SecurityStatus {
    /// Whether the secret of the object at this place was presented.
    pub(crate) fn is_presented(&self, place: usize) -> bool {
        self.presented.0 & bit(place) != 0
    }

    pub(crate) fn set_presented(&mut self, place: usize) {
        self.presented.0 |= bit(place);
    }

    pub(crate) fn clear_presented(&mut self, place: usize) {
        self.presented.0 &= !bit(place);
    }

    /// Takes everything away that an institution has reached, so that the terminal starts over. What
    /// was presented by the card holder stays.
    pub(crate) fn drop_institution(&mut self) {
        self.permission = None;
        self.jicsap = jicsap_institution::InstitutionSession::default();
        self.eac.start_over();
    }
}

const fn bit(place: usize) -> u64 {
    // Layouts have at most 64 objects in an application.
    if place < 64 { 1 << place } else { 0 }
}

/// A command of which only the first pieces came, ISO/IEC 7816-4:2020 §5.3.3.
#[derive(Debug)]
pub(super) struct OpenChain {
    /// Class without the chaining bit, instruction, parameters.
    pub(super) header: [u8; 4],
    pub(super) data: Zeroizing<Vec<u8>>,
}

/// The rest of an answer that did not fit, ISO/IEC 7816-4:2020 §5.3.4.
pub(super) struct PendingAnswer {
    pub(super) data: Zeroizing<Vec<u8>>,
    pub(super) sent: usize,
    pub(super) status: crate::apdu::StatusWord,
}

impl std::fmt::Debug for PendingAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PendingAnswer({} of {} octets sent)", self.sent, self.data.len())
    }
}

/// Lives from power-on to power-off and is dropped whole.
#[derive(Default, Debug)]
pub(crate) struct VolatileState {
    /// Place of the selected application in the image.
    pub(super) application: Option<usize>,
    /// Place of the current file in the application, or under the master file where none is selected.
    pub(super) current_file: Option<usize>,
    /// Outstanding, good once. GET CHALLENGE works without an application, so it stands outside.
    pub(super) challenge: Option<Challenge>,
    pub(crate) security: SecurityStatus,
    pub(super) chain: Option<OpenChain>,
    pub(super) pending: Option<PendingAnswer>,
}
