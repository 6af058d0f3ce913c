//! A card for this crate's unit tests: answers every command with the command itself and `9000`.

use card::EmulatedCard;
use protocol::entropy::Entropy;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a test can see of an [`EchoCard`] from outside.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    pub(crate) powered: Arc<AtomicBool>,
    pub(crate) power_ons: Arc<AtomicUsize>,
    pub(crate) commands: Arc<AtomicUsize>,
}

impl Watch {
    pub(crate) fn is_powered(&self) -> bool {
        self.powered.load(Ordering::SeqCst)
    }
}

pub(crate) struct EchoCard {
    pub(crate) watch: Watch,
}

pub(crate) const ATR: [u8; 9] = [0x3B, 0xE0, 0x00, 0xFF, 0x81, 0x31, 0xFE, 0x45, 0x14];

impl EmulatedCard for EchoCard {
    fn atr(&self) -> &[u8] {
        &ATR
    }
    fn power_on(&mut self) {
        self.watch.powered.store(true, Ordering::SeqCst);
        self.watch.power_ons.fetch_add(1, Ordering::SeqCst);
    }
    fn power_off(&mut self) {
        self.watch.powered.store(false, Ordering::SeqCst);
    }
    fn transmit(&mut self, command: &[u8], _entropy: &mut dyn Entropy) -> Vec<u8> {
        self.watch.commands.fetch_add(1, Ordering::SeqCst);
        let mut response = command.to_vec();
        response.extend([0x90, 0x00]);
        response
    }
}

pub(crate) fn echo() -> (Box<dyn EmulatedCard>, Watch) {
    let watch = Watch::default();
    (Box::new(EchoCard { watch: watch.clone() }), watch)
}

pub(crate) fn seeded() -> Box<dyn Entropy> {
    Box::new(protocol::entropy::Seeded::new(1))
}
