//! A channel whose owner looks on: for traces of cards that somebody else made.

use crate::channel::{CardChannel, ChannelError};
use card::trace::Observed;
use std::fmt;

/// A channel that tells everything that goes through it to an observer: power when it is opened and when
/// it is dropped, and every exchange. A command that the card gave no answer to is told with an empty one;
/// what was refused before it was sent is not told.
pub struct RecordedChannel<O: FnMut(Observed<'_>) + Send> {
    /// `None` only while it is dropped.
    channel: Option<Box<dyn CardChannel>>,
    atr: Vec<u8>,
    observer: O,
}

impl<O: FnMut(Observed<'_>) + Send> RecordedChannel<O> {
    /// Looks on from now on; the card has power already.
    pub fn new(channel: Box<dyn CardChannel>, mut observer: O) -> Self {
        observer(Observed::PowerOn);
        let atr = channel.atr().to_vec();
        Self { channel: Some(channel), atr, observer }
    }
}

impl<O: FnMut(Observed<'_>) + Send> fmt::Debug for RecordedChannel<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedChannel").finish_non_exhaustive()
    }
}

impl<O: FnMut(Observed<'_>) + Send> CardChannel for RecordedChannel<O> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ChannelError> {
        let channel = self.channel.as_mut().ok_or(ChannelError::CardRemoved)?;
        let outcome = channel.transmit(command);
        match &outcome {
            Ok(answer) => (self.observer)(Observed::Exchange { command, answer }),
            Err(ChannelError::CommandLength { .. } | ChannelError::ExtendedOverT0) => {}
            Err(_) => (self.observer)(Observed::Exchange { command, answer: &[] }),
        }
        outcome
    }

    fn atr(&self) -> &[u8] {
        &self.atr
    }

    fn is_present(&mut self) -> bool {
        self.channel.as_mut().is_some_and(|channel| channel.is_present())
    }
}

impl<O: FnMut(Observed<'_>) + Send> Drop for RecordedChannel<O> {
    fn drop(&mut self) {
        // First the power, then the word about it.
        drop(self.channel.take());
        (self.observer)(Observed::PowerOff);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_process::InProcessChannel;
    use crate::test_card::{ATR, echo, seeded};
    use card::trace::{Header, SecretHandling, Trace};
    use std::sync::{Arc, Mutex};

    #[test]
    fn everything_that_reached_the_card_is_told_and_nothing_else() {
        let (emulated_card, watch) = echo();
        let inner = InProcessChannel::new(emulated_card, seeded());
        let slot = inner.slot();
        let text = Arc::new(Mutex::new(Header::new("echo", &ATR, SecretHandling::Withheld).to_string()));
        let sink = Arc::clone(&text);
        let observer = move |seen: Observed<'_>| {
            sink.lock().unwrap().push_str(&seen.lines(SecretHandling::Withheld));
        };
        let mut channel = RecordedChannel::new(Box::new(inner), observer);
        assert_eq!(channel.atr(), ATR);
        assert!(channel.transmit(&[0, 0xA4, 4, 0]).is_ok());
        assert!(channel.transmit(&[0, 0xA4]).is_err());
        assert!(channel.is_present());
        drop(slot.remove());
        assert!(matches!(channel.transmit(&[0, 0xB0, 0, 0]), Err(ChannelError::CardRemoved)));
        assert!(!channel.is_present());
        drop(channel);
        assert!(!watch.is_powered());
        let text = text.lock().unwrap().clone();
        let events: Vec<&str> = text.lines().skip_while(|line| *line != "on").collect();
        let wanted = [
            "on",
            "> 00A40400 ; SELECT",
            "< 00A404009000 ; done",
            "> 00B00000 ; READ BINARY",
            "< none",
            "off",
        ];
        assert_eq!(events.iter().map(|line| line.replace("00 9000", "009000")).collect::<Vec<_>>(), wanted);
        assert_eq!(Trace::parse(&text).unwrap().events().len(), 4);
    }
}
