//! A card whose owner looks on.

use super::Observed;
use crate::emulated::EmulatedCard;
use protocol::entropy::Entropy;
use std::fmt;

/// An emulated card that tells everything it sees and says to an observer, before the answer goes out.
///
/// Power is told when it changes: a card that is switched on twice was on.
pub struct RecordedCard<C, O> {
    card: C,
    observer: O,
    has_power: bool,
}

impl<C: EmulatedCard, O: FnMut(Observed<'_>) + Send> RecordedCard<C, O> {
    /// A card without power and who looks on.
    pub const fn new(card: C, observer: O) -> Self {
        Self { card, observer, has_power: false }
    }

    /// The card.
    pub const fn card(&self) -> &C {
        &self.card
    }
}

impl<C, O> fmt::Debug for RecordedCard<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedCard").finish_non_exhaustive()
    }
}

impl<C: EmulatedCard, O: FnMut(Observed<'_>) + Send> EmulatedCard for RecordedCard<C, O> {
    fn atr(&self) -> &[u8] {
        self.card.atr()
    }

    fn power_on(&mut self) {
        self.card.power_on();
        if !std::mem::replace(&mut self.has_power, true) {
            (self.observer)(Observed::PowerOn);
        }
    }

    fn power_off(&mut self) {
        self.card.power_off();
        if std::mem::replace(&mut self.has_power, false) {
            (self.observer)(Observed::PowerOff);
        }
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        let answer = self.card.transmit(command, entropy);
        if self.has_power {
            (self.observer)(Observed::Exchange { command, answer: &answer });
        }
        answer
    }
}
