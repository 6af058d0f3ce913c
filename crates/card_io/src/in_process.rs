//! An emulated card in the same process, behind the traits of a real reader.
//!
//! A [`CardSlot`] is where the "person" puts the card; an [`InProcessReader`] is the terminal's side.
//! Retry counters live in the card, so a card taken out and put back remembers its wrong PINs.

use crate::channel::{
    CardChannel, ChannelError, RESPONSE_LEN_MIN, Reader, ReaderError, check_command, deadline_after,
};
use card::EmulatedCard;
use protocol::entropy::Entropy;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

struct SlotState {
    card: Option<Box<dyn EmulatedCard>>,
    entropy: Box<dyn Entropy>,
    /// Grows with every insertion, so that a channel notices that its card was swapped.
    insertions: u64,
    in_use: bool,
}

struct Shared {
    state: Mutex<SlotState>,
    changed: Condvar,
}

impl Shared {
    /// A card that panicked left no half-written transport state: the slot stays usable.
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slot of an [`InProcessReader`]: puts cards in and takes them out, from any thread.
#[derive(Clone)]
pub struct CardSlot(Arc<Shared>);

impl CardSlot {
    /// Puts a card in. A card that was there before is taken out first and handed back.
    pub fn insert(&self, emulated_card: Box<dyn EmulatedCard>) -> Option<Box<dyn EmulatedCard>> {
        let mut state = self.0.lock();
        let before = take_out(&mut state);
        state.card = Some(emulated_card);
        state.insertions = state.insertions.wrapping_add(1);
        self.0.changed.notify_all();
        before
    }

    /// Takes the card out. It loses power at once, as a real one does.
    pub fn remove(&self) -> Option<Box<dyn EmulatedCard>> {
        let removed = take_out(&mut self.0.lock());
        self.0.changed.notify_all();
        removed
    }

    /// Whether a card is in the slot.
    pub fn is_occupied(&self) -> bool {
        self.0.lock().card.is_some()
    }
}

impl fmt::Debug for CardSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardSlot").finish_non_exhaustive()
    }
}

fn take_out(state: &mut SlotState) -> Option<Box<dyn EmulatedCard>> {
    let mut removed = state.card.take()?;
    removed.power_off();
    Some(removed)
}

/// A reader whose cards are objects in this process.
pub struct InProcessReader {
    name: String,
    slot: Arc<Shared>,
}

impl InProcessReader {
    /// An empty reader called `name`, and its slot. `entropy` is the chance the cards draw from.
    pub fn new(name: impl Into<String>, entropy: Box<dyn Entropy>) -> (Self, CardSlot) {
        let slot = Arc::new(Shared {
            state: Mutex::new(SlotState { card: None, entropy, insertions: 0, in_use: false }),
            changed: Condvar::new(),
        });
        (Self { name: name.into(), slot: Arc::clone(&slot) }, CardSlot(slot))
    }
}

impl Reader for InProcessReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn wait_for_card(&mut self, timeout: Duration) -> Result<Option<Box<dyn CardChannel>>, ReaderError> {
        let deadline = deadline_after(timeout);
        let mut state = self.slot.lock();
        loop {
            if state.card.is_some() && !state.in_use {
                return Ok(
                    open(&self.slot, &mut state).map(|channel| Box::new(channel) as Box<dyn CardChannel>)
                );
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return if state.card.is_some() {
                    Err(ReaderError::Busy { reader: self.name.clone() })
                } else {
                    Ok(None)
                };
            }
            state = self.slot.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn open(slot: &Arc<Shared>, state: &mut SlotState) -> Option<InProcessChannel> {
    let emulated_card = state.card.as_mut()?;
    emulated_card.power_on();
    let atr = emulated_card.atr().to_vec();
    state.in_use = true;
    Some(InProcessChannel { slot: Arc::clone(slot), insertion: state.insertions, atr })
}

/// An exclusive connection to a card in this process.
pub struct InProcessChannel {
    slot: Arc<Shared>,
    insertion: u64,
    atr: Vec<u8>,
}

impl InProcessChannel {
    /// Opens `emulated_card` directly, without a reader. It is powered on now and off on drop.
    pub fn new(mut emulated_card: Box<dyn EmulatedCard>, entropy: Box<dyn Entropy>) -> Self {
        emulated_card.power_on();
        let atr = emulated_card.atr().to_vec();
        let state = SlotState { card: Some(emulated_card), entropy, insertions: 0, in_use: true };
        Self {
            slot: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }),
            insertion: 0,
            atr,
        }
    }

    /// The slot behind this channel, for taking the card back (with its retry counters) later.
    pub fn slot(&self) -> CardSlot {
        CardSlot(Arc::clone(&self.slot))
    }
}

impl CardChannel for InProcessChannel {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ChannelError> {
        check_command(command)?;
        let mut state = self.slot.lock();
        if state.insertions != self.insertion {
            return Err(ChannelError::CardRemoved);
        }
        let SlotState { card, entropy, .. } = &mut *state;
        let emulated_card = card.as_mut().ok_or(ChannelError::CardRemoved)?;
        let response = emulated_card.transmit(command, entropy.as_mut());
        if response.len() < RESPONSE_LEN_MIN {
            return Err(ChannelError::CardMisbehaved { reason: "a response without status octets" });
        }
        Ok(response)
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }

    fn is_present(&mut self) -> bool {
        let state = self.slot.lock();
        state.card.is_some() && state.insertions == self.insertion
    }
}

impl Drop for InProcessChannel {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        if state.insertions == self.insertion
            && let Some(emulated_card) = state.card.as_mut()
        {
            emulated_card.power_off();
        }
        state.in_use = false;
        drop(state);
        self.slot.changed.notify_all();
    }
}

impl fmt::Debug for InProcessChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessChannel").finish_non_exhaustive()
    }
}

impl fmt::Debug for InProcessReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessReader").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_card::{ATR, echo, seeded};

    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_channel_powers_the_card_up_and_down() {
        let (emulated_card, watch) = echo();
        let mut channel = InProcessChannel::new(emulated_card, seeded());
        assert!(watch.is_powered());
        assert_eq!(channel.atr(), ATR);
        assert_eq!(channel.transmit(&[0, 0xA4, 4, 0]).unwrap(), [0, 0xA4, 4, 0, 0x90, 0]);
        let slot = channel.slot();
        drop(channel);
        assert!(!watch.is_powered(), "a verified PIN must not outlive the channel");
        assert!(slot.remove().is_some());
    }

    #[test]
    fn what_is_no_apdu_never_reaches_the_card() {
        let (emulated_card, watch) = echo();
        let mut channel = InProcessChannel::new(emulated_card, seeded());
        for len in [0, 1, 3, COMMAND_TOO_LONG] {
            assert!(matches!(channel.transmit(&vec![0; len]), Err(ChannelError::CommandLength { .. })));
        }
        assert_eq!(watch.commands.load(std::sync::atomic::Ordering::SeqCst), 0);
    }
    const COMMAND_TOO_LONG: usize = crate::channel::COMMAND_LEN_MAX + 1;

    #[test]
    fn an_empty_reader_waits_and_says_none() {
        let (mut reader, slot) = InProcessReader::new("desk", seeded());
        assert!(reader.wait_for_card(SHORT).unwrap().is_none());
        assert!(!slot.is_occupied());
    }

    #[test]
    fn a_card_inserted_from_another_thread_is_opened() {
        let (mut reader, slot) = InProcessReader::new("desk", seeded());
        let inserting = std::thread::spawn(move || {
            slot.insert(echo().0);
            slot
        });
        let mut channel = reader.wait_for_card(LONG).unwrap().unwrap();
        assert!(channel.is_present());
        let slot = inserting.join().unwrap();
        assert!(slot.remove().is_some());
        assert!(!channel.is_present());
        assert!(matches!(channel.transmit(&[0; 4]), Err(ChannelError::CardRemoved)));
    }

    #[test]
    fn one_channel_at_a_time_and_a_swapped_card_is_not_the_old_one() {
        let (mut reader, slot) = InProcessReader::new("desk", seeded());
        slot.insert(echo().0);
        let mut first = reader.wait_for_card(LONG).unwrap().unwrap();
        assert!(matches!(reader.wait_for_card(SHORT), Err(ReaderError::Busy { .. })));
        let (second_card, watch) = echo();
        assert!(slot.insert(second_card).is_some());
        assert!(!first.is_present());
        assert!(matches!(first.transmit(&[0; 4]), Err(ChannelError::CardRemoved)));
        drop(first);
        let second = reader.wait_for_card(LONG).unwrap().unwrap();
        assert!(watch.is_powered());
        drop(second);
        assert!(!watch.is_powered());
        assert!(reader.wait_for_card(LONG).unwrap().is_some(), "the card is still on the reader");
    }
}
