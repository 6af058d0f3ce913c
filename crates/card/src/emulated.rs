//! What every emulated card looks like to a transport.

use protocol::entropy::Entropy;

/// A card that lives in this process. A transport (PC/SC through vpcd, or the in-process loop) moves
/// its bytes; nothing else reaches it.
pub trait EmulatedCard: Send {
    /// Answer to reset, ISO/IEC 7816-3 §8.
    fn atr(&self) -> &[u8];

    /// Cold reset: the volatile state starts anew.
    fn power_on(&mut self);

    /// Takes the volatile state away. Persistent state stays.
    fn power_off(&mut self);

    /// One command APDU in, one response APDU out. Any bytes are allowed in. A card without power
    /// answers nothing: an empty vector.
    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8>;
}

impl<C: EmulatedCard + ?Sized> EmulatedCard for Box<C> {
    fn atr(&self) -> &[u8] {
        self.as_ref().atr()
    }

    fn power_on(&mut self) {
        self.as_mut().power_on();
    }

    fn power_off(&mut self) {
        self.as_mut().power_off();
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        self.as_mut().transmit(command, entropy)
    }
}
