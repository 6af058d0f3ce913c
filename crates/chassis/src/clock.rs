//! The system's clock behind [`protocol::time::Clock`].

use protocol::time::{Clock, UnixSeconds};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixSeconds {
        // A machine set before 1970 reads as the epoch: every certificate is then "not yet valid",
        // which refuses instead of admitting.
        UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_agrees_with_a_file_just_written() {
        let before = SystemClock.now();
        let path = std::env::temp_dir().join(format!("chassis-clock-{}", std::process::id()));
        std::fs::write(&path, b"x").unwrap();
        let written =
            std::fs::metadata(&path).unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        std::fs::remove_file(&path).unwrap();
        let after = SystemClock.now();
        // The kernel stamps files with its coarse clock, which may lag by one tick.
        assert!(before.0 <= written.as_secs() + 1 && written.as_secs() <= after.0);
    }
}
