//! How often each card was touched today, without knowing which card it was (report, safeguard 6:
//! a limit on uses for one person from one terminal).
//!
//! A card is a keyed hash of its certificate, under a secret that is drawn anew for every day: whoever
//! steals the Secure Element's memory finds at most today's touches, of cards that they already know.

use crate::tlv::{self, Tag, TlvReader};
use aws_lc_rs::hmac;
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Cards that are remembered for one day at most. More come to no desk.
const CARDS_MAX: usize = 10_000;
/// Octets of a card's keyed hash: two of a day's cards share one with a probability below 10^-11.
const HASH_LEN: usize = 8;
const SECRET_LEN: usize = 32;
const SECONDS_OF_DAY: u64 = 86_400;
/// Civil time in Japan, UTC+9 without summer time.
const JAPAN_SECONDS: u64 = 9 * 3600;

const DAY: Tag = Tag(0x80);
const SECRET: Tag = Tag(0x81);
const CARDS: Tag = Tag(0x82);

/// A card as the ledger knows it.
type CardHash = [u8; HASH_LEN];

/// One civil day.
#[derive(Clone, PartialEq, Eq)]
struct Day {
    /// Days since 1970-01-01 in Japan.
    number: u64,
    secret: Zeroizing<[u8; SECRET_LEN]>,
    touches: BTreeMap<CardHash, u16>,
}

/// The touches of one day; nothing before the first.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct CardLedger(Option<Day>);

impl fmt::Debug for CardLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardLedger({} cards)", self.0.as_ref().map_or(0, |day| day.touches.len()))
    }
}

const fn day_number(time: UnixSeconds) -> u64 {
    time.0.saturating_add(JAPAN_SECONDS) / SECONDS_OF_DAY
}

/// What is left for a card.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// At least one touch.
    Left,
    /// None today.
    UsedUp,
}

impl Day {
    fn hash(&self, certificate: &[u8]) -> CardHash {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_ref()), certificate);
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    fn room(&self, card: &CardHash, limit: u16) -> Room {
        let left = match self.touches.get(card) {
            Some(count) => *count < limit,
            None => limit > 0 && self.touches.len() < CARDS_MAX,
        };
        if left { Room::Left } else { Room::UsedUp }
    }
}

impl CardLedger {
    /// The day in force at `time`, if it has begun here. Days move forward only: a clock that goes back
    /// over midnight still counts on the later day.
    fn day_at(&self, time: UnixSeconds) -> Option<&Day> {
        self.0.as_ref().filter(|day| day.number >= day_number(time))
    }

    /// Whether the card with this certificate (SHA-256) may touch once more.
    pub(super) fn room(&self, certificate_sha256: &[u8; 32], time: UnixSeconds, limit: u16) -> Room {
        match self.day_at(time) {
            Some(day) => day.room(&day.hash(certificate_sha256), limit),
            None if limit > 0 => Room::Left,
            None => Room::UsedUp,
        }
    }

    /// Counts one touch. Look at [`Self::room`] first.
    pub(super) fn count(
        &mut self,
        certificate_sha256: &[u8; 32],
        time: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) {
        if self.day_at(time).is_none() {
            let mut secret = Zeroizing::new([0; SECRET_LEN]);
            entropy.fill(secret.as_mut());
            self.0 = Some(Day { number: day_number(time), secret, touches: BTreeMap::new() });
        }
        if let Some(day) = self.0.as_mut() {
            let card = day.hash(certificate_sha256);
            let count = day.touches.entry(card).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Objects for the state's file; none before the first touch.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::new());
        if let Some(day) = &self.0 {
            let mut cards = Vec::with_capacity(day.touches.len() * (HASH_LEN + 2));
            for (card, count) in &day.touches {
                cards.extend_from_slice(card);
                cards.extend_from_slice(&count.to_be_bytes());
            }
            tlv::write(&mut bytes, DAY, &day.number.to_be_bytes());
            tlv::write(&mut bytes, SECRET, day.secret.as_ref());
            tlv::write(&mut bytes, CARDS, &cards);
        }
        bytes
    }

    /// Parses what [`Self::encode`] made.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self(None));
        }
        let mut objects = TlvReader::new(bytes);
        let number = u64::from_be_bytes(*objects.expect_array(DAY).ok()?);
        let secret = Zeroizing::new(*objects.expect_array::<SECRET_LEN>(SECRET).ok()?);
        let (cards, left) = objects.expect(CARDS).ok()?.as_chunks::<{ HASH_LEN + 2 }>();
        objects.finish().ok()?;
        let mut touches = BTreeMap::new();
        for card in cards {
            let (hash, count) = card.split_first_chunk::<HASH_LEN>()?;
            // Rising, so that one ledger has one form.
            if touches.last_key_value().is_some_and(|(last, _)| last >= hash) {
                return None;
            }
            touches.insert(*hash, u16::from_be_bytes(count.try_into().ok()?));
        }
        (left.is_empty() && touches.len() <= CARDS_MAX).then_some(Self(Some(Day { number, secret, touches })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::entropy::Seeded;

    /// 2026-11-22, noon in Tokyo.
    const NOON: UnixSeconds = UnixSeconds(1_795_316_400);
    /// The first second of the next day in Tokyo.
    const MIDNIGHT: UnixSeconds = NOON.plus(12 * 3600);

    fn touch(ledger: &mut CardLedger, card: u8, time: UnixSeconds, limit: u16) -> Room {
        let room = ledger.room(&[card; 32], time, limit);
        if room == Room::Left {
            ledger.count(&[card; 32], time, &mut Seeded::new(u64::from(card) ^ time.0));
        }
        room
    }

    #[test]
    fn each_card_has_its_own_count_and_each_day_its_own_ledger() {
        let mut ledger = CardLedger::default();
        for _ in 0..3 {
            assert_eq!(touch(&mut ledger, 1, NOON, 3), Room::Left);
        }
        assert_eq!(touch(&mut ledger, 1, NOON, 3), Room::UsedUp);
        assert_eq!(touch(&mut ledger, 2, NOON, 3), Room::Left);
        assert_eq!(touch(&mut ledger, 1, MIDNIGHT.minus(1), 3), Room::UsedUp);
        let yesterday = ledger.0.clone().unwrap();
        assert_eq!(touch(&mut ledger, 1, MIDNIGHT, 3), Room::Left);
        let today = ledger.0.clone().unwrap();
        assert_ne!(today.secret, yesterday.secret);
        assert!(today.touches.keys().all(|card| !yesterday.touches.contains_key(card)));
        // A clock that goes back does not give yesterday's touches a second time.
        assert_eq!(touch(&mut ledger, 1, NOON, 3), Room::Left);
        assert_eq!(touch(&mut ledger, 1, NOON, 3), Room::Left);
        assert_eq!(touch(&mut ledger, 1, NOON, 3), Room::UsedUp);
    }

    #[test]
    fn no_limit_means_no_touch_and_a_full_ledger_takes_no_new_card() {
        assert_eq!(CardLedger::default().room(&[1; 32], NOON, 0), Room::UsedUp);
        let mut ledger = CardLedger::default();
        for card in 0..CARDS_MAX {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&card.to_be_bytes());
            assert_eq!(ledger.room(&hash, NOON, 2), Room::Left);
            ledger.count(&hash, NOON, &mut Seeded::new(1));
        }
        assert_eq!(ledger.room(&[0xFF; 32], NOON, 2), Room::UsedUp);
        assert_eq!(ledger.room(&[0; 32], NOON, 2), Room::Left);
        assert_eq!(CardLedger::parse(&ledger.encode()), Some(ledger));
    }

    #[test]
    fn round_trip_and_prefixes() {
        let mut ledger = CardLedger::default();
        assert_eq!(CardLedger::parse(&ledger.encode()), Some(CardLedger::default()));
        for card in [5, 5, 6, 7] {
            touch(&mut ledger, card, NOON, 9);
        }
        let bytes = ledger.encode();
        assert_eq!(CardLedger::parse(&bytes), Some(ledger.clone()));
        for end in 1..bytes.len() {
            assert_eq!(CardLedger::parse(&bytes[..end]), None);
        }
        // Neither the card nor a plain hash of it is there; and Debug says only how many.
        assert!(!bytes.windows(8).any(|window| window == [5; 8]));
        assert_eq!(format!("{ledger:?}"), "CardLedger(3 cards)");
    }
}
