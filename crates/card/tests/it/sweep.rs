//! Every class and instruction, and random commands near to real ones, against any card image in every
//! security state that can be reached.
//!
//! What must hold after every single command:
//! - an answer with a status word, and no data with a refusal;
//! - no octet of the holder's that the state does not open: the test knows all of them and looks for
//!   every run of eight in every answer;
//! - a refusal leaves the persistent state as it was, but for the retry counter of a secret.

use crate::town::{hex, powered};
use card::EmulatedCard;
use card::cos::{Card, PersistentState};
use card::image::{Aid, CardImage, Content, Kind, Object, Rule, Term};
use protocol::entropy::Seeded;
use std::collections::HashSet;
use std::sync::Arc;

/// A security state: how to get there from power-on, and which terms of access rules hold in it.
pub(crate) struct State {
    pub(crate) name: String,
    /// The application that is selected then.
    pub(crate) application: Option<Aid>,
    pub(crate) reach: Box<dyn Fn(&mut Card)>,
    pub(crate) given: Vec<Term>,
}

impl State {
    /// A state with this application selected, reached by further commands.
    pub(crate) fn new(
        name: impl Into<String>,
        application: Option<Aid>,
        given: &[Term],
        reach: impl Fn(&mut Card) + 'static,
    ) -> Self {
        let reach = move |card: &mut Card| {
            if let Some(aid) = application {
                exchange(card, &select(&aid), 0x9000);
            }
            reach(card);
        };
        Self { name: name.into(), application, reach: Box::new(reach), given: given.to_vec() }
    }
}

fn select(aid: &Aid) -> Vec<u8> {
    let aid = aid.as_bytes();
    [&[0x00, 0xA4, 0x04, 0x0C, u8::try_from(aid.len()).unwrap()][..], aid].concat()
}

fn exchange(card: &mut Card, command: &[u8], word: u16) {
    let answer = card.transmit(command, &mut Seeded::new(3));
    assert_eq!(answer, word.to_be_bytes(), "{command:02X?}");
}

/// The states that every image has: nothing selected; each application selected; each secret of it
/// presented; all of them presented; each blocked.
pub(crate) fn states_of(image: &CardImage) -> Vec<State> {
    let mut states = vec![State::new("nothing selected", None, &[], |_| {})];
    for application in image.applications() {
        let (name, aid) = (&application.name, Some(application.aid));
        states.push(State::new(format!("{name} selected"), aid, &[], |_| {}));
        let mut all: Vec<(u16, Vec<u8>)> = Vec::new();
        for object in application.objects() {
            let (Content::Secret(secret), Kind::Secret { tries, .. }) =
                (&object.content, &object.layout.kind)
            else {
                continue;
            };
            let (fid, secret, tries) = (object.fid(), secret.to_vec(), *tries);
            all.push((fid, secret.clone()));
            let given = [Term::Secret(fid)];
            states.push(State::new(format!("{name}, {fid:04X} presented"), aid, &given, move |card| {
                present(card, fid, &secret, 0x9000);
            }));
            states.push(State::new(format!("{name}, {fid:04X} blocked"), aid, &[], move |card| {
                for left in (0..tries).rev() {
                    present(card, fid, &[0xEE; 4], 0x63C0 | u16::from(left));
                }
            }));
        }
        if all.len() > 1 {
            let given: Vec<Term> = all.iter().map(|(fid, _)| Term::Secret(*fid)).collect();
            states.push(State::new(format!("{name}, all secrets presented"), aid, &given, move |card| {
                for (fid, secret) in &all {
                    present(card, *fid, secret, 0x9000);
                }
            }));
        }
    }
    states
}

/// VERIFY against the secret in this file.
fn present(card: &mut Card, fid: u16, secret: &[u8], word: u16) {
    let [hi, lo] = fid.to_be_bytes();
    exchange(card, &[0x00, 0xA4, 0x02, 0x0C, 0x02, hi, lo], 0x9000);
    let verify = [&[0x00, 0x20, 0x00, 0x80, u8::try_from(secret.len()).unwrap()][..], secret].concat();
    exchange(card, &verify, word);
}

const WINDOW: usize = 8;

/// Every run of eight octets that must not come out in a state. Shorter contents than that are too
/// likely to come out by chance; those of six and seven octets are looked for whole.
struct Closed {
    /// By the first two octets, so that most of an answer is done with one look.
    begins: Vec<bool>,
    runs: HashSet<[u8; WINDOW]>,
    short: Vec<Vec<u8>>,
}

/// The octets of an object that no access rule may ever let out as they are, or only by its rule.
fn octets_of(object: &Object) -> Vec<Vec<u8>> {
    match &object.content {
        Content::Binary(octets) | Content::Secret(octets) => vec![octets.to_vec()],
        Content::EacRoot(root) => vec![root.certificate().encode()],
        Content::Records(records) => records.iter().map(|record| record.to_vec()).collect(),
        Content::RsaKey(key) => vec![key.pkcs8_der().unwrap().to_vec()],
        Content::P256Key(key) => vec![key.pkcs8_der().unwrap().to_vec()],
        Content::SessionKey(key) => key.iter().map(|key| key.pkcs8_der().unwrap().to_vec()).collect(),
        Content::BatchKey(key) => vec![key.private_key_der().unwrap().to_vec()],
        Content::TerminalRoot(_) | Content::BlockedSecret | Content::Closed => Vec::new(),
    }
}

impl Closed {
    fn new(image: &CardImage, state: &State) -> Self {
        let opens = |aid: &Aid, rule: &Rule| {
            rule.opens(|term| state.application == Some(*aid) && state.given.contains(&term))
        };
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for application in image.applications() {
            for object in application.objects() {
                let is_open = opens(&application.aid, &object.layout.read);
                if is_open { &mut open } else { &mut closed }.extend(octets_of(object));
            }
            open.push(application.aid.as_bytes().to_vec());
        }
        // What may come out by another way is no secret: the modulus of a key stands in its certificate.
        let open_runs: HashSet<&[u8]> = open.iter().flat_map(|octets| octets.windows(WINDOW)).collect();
        let is_open =
            |octets: &[u8]| open.iter().any(|open| open.windows(octets.len()).any(|run| run == octets));
        let mut this = Self { begins: vec![false; 65_536], runs: HashSet::new(), short: Vec::new() };
        for octets in closed {
            if (6..WINDOW).contains(&octets.len()) && !is_open(&octets) {
                this.short.push(octets.clone());
            }
            for run in octets.windows(WINDOW).filter(|run| !open_runs.contains(run)) {
                this.begins[usize::from(u16::from_be_bytes([run[0], run[1]]))] = true;
                this.runs.insert(run.try_into().unwrap());
            }
        }
        this
    }

    fn leak<'a>(&self, answer: &'a [u8]) -> Option<&'a [u8]> {
        let long = answer.windows(WINDOW).find(|run| {
            self.begins[usize::from(u16::from_be_bytes([run[0], run[1]]))] && self.runs.contains(*run)
        });
        long.or_else(|| {
            self.short
                .iter()
                .find_map(|short| answer.windows(short.len()).find(|run| *run == short.as_slice()))
        })
    }
}

/// What of a persistent state is not a retry counter: the bytes that [`PersistentState::to_bytes`]
/// documents, without the tries, and without secrets of which nothing else is kept.
fn without_counters(state: &PersistentState) -> Vec<u8> {
    let bytes = state.to_bytes();
    let mut rest = &bytes[5..];
    let mut kept = Vec::new();
    let mut take = |length: usize| {
        let (taken, after) = rest.split_at(length);
        rest = after;
        taken
    };
    let secrets = u16::from_be_bytes(take(2).try_into().unwrap());
    for _ in 0..secrets {
        let length = usize::from(take(1)[0]);
        let address = take(length + 2);
        let length = usize::from(take(2)[1]);
        if length > 0 {
            kept.extend([address, take(length)].concat());
        }
    }
    [kept, rest.to_vec()].concat()
}

/// One card in one state, and what was seen of it.
struct Subject<'a> {
    image: &'a Arc<CardImage>,
    state: &'a State,
    closed: Closed,
    card: Card,
    before: PersistentState,
    entropy: Seeded,
}

/// Refused before anything was looked at: the state is what it was.
const UNTOUCHED: [u16; 6] = [0x6D00, 0x6E00, 0x6881, 0x6882, 0x6883, 0x6884];

impl<'a> Subject<'a> {
    fn new(image: &'a Arc<CardImage>, state: &'a State) -> Self {
        let closed = Closed::new(image, state);
        let card = Card::new(Arc::clone(image));
        let mut subject =
            Self { image, state, closed, card, before: PersistentState::factory(), entropy: Seeded::new(7) };
        subject.reach();
        subject
    }

    /// A fresh card, brought into the state.
    fn reach(&mut self) {
        self.card = powered(Card::new(Arc::clone(self.image)));
        (self.state.reach)(&mut self.card);
        self.before = self.card.persistent_state().clone();
    }

    /// Sends a command and looks at everything. Gives the status word.
    fn send(&mut self, command: &[u8]) -> u16 {
        let answer = self.card.transmit(command, &mut self.entropy);
        let (data, word) = answer.split_last_chunk::<2>().expect("a status word");
        let word = u16::from_be_bytes(*word);
        let name = &self.state.name;
        let success = matches!(word, 0x9000 | 0x6100..=0x62FF);
        assert!(success || data.is_empty(), "{name}: data with {word:04X} after {command:02X?}");
        if let Some(leak) = self.closed.leak(&answer) {
            panic!("{name}: {leak:02X?} came out after {command:02X?}");
        }
        let now = self.card.persistent_state();
        if *now != self.before {
            let counts = matches!(command.get(1), Some(0x20 | 0x24 | 0x32));
            let same = without_counters(now) == without_counters(&self.before);
            assert!(success || (counts && same), "{name}: {word:04X} and another state after {command:02X?}");
            self.before = now.clone();
        }
        word
    }
}

/// Random numbers that come again: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll()).unwrap() % limit
    }

    fn octet(&mut self) -> u8 {
        self.roll().to_be_bytes()[7]
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Class, instruction and parameters as the cards here know them.
const HEADERS: [&str; 30] = [
    "00A40400", "00A4040C", "00A40402", "00A4020C", "00A40200", "00B00000", "00B08000", "00B00100",
    "00B10000", "00B20104", "00B20104", "00200080", "00200080", "00240180", "00240080", "80320080",
    "00840000", "00820000", "80A206C1", "80A200C1", "802A0080", "802A0280", "00880080", "80AE0000",
    "002241B6", "002281B6", "002241A4", "002A9E9A", "002A00BE", "00860000",
];
/// Chaining, secure messaging, logical channel.
const CLASS_BITS: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x0C, 0x08, 0x1C, 0x01];

/// Makes commands near to real ones. Never one with a secret that the card holds.
struct Generator {
    dice: Dice,
    headers: Vec<[u8; 4]>,
    shorts: Vec<u8>,
    data: Vec<Vec<u8>>,
    secrets: Vec<Vec<u8>>,
    command: Vec<u8>,
}

impl Generator {
    fn new(image: &CardImage, seed: u64) -> Self {
        let mut data: Vec<Vec<u8>> = [
            "31323334",
            "39393939",
            "414141414141",
            "7F21820233",
            "7F218202335F4E820129",
            "5F37820100",
            "540100",
            "54020400",
            "83084B415A414B415A41",
            "800A04007F00070202030202",
            "800A04007F0007020203020284011F",
            // The base point of P-256: an ephemeral key like any other.
            "7C43804104\
             6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296\
             4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5",
            "7C00",
            "7C048102FFFF",
            "8702014199029000",
            "8E080000000000000000",
            "9701008E080000000000000000",
            "3031300D060960864801650304020105000420",
        ]
        .map(hex)
        .to_vec();
        data.extend([vec![0x5A; 32], vec![0x5A; 64], vec![0x5A; 65], vec![0x5A; 256], vec![0x5A; 307]]);
        let (mut secrets, mut shorts) = (Vec::new(), Vec::new());
        for application in image.applications() {
            data.push(application.aid.as_bytes().to_vec());
            data.push(application.aid.as_bytes()[..5].to_vec());
            for object in application.objects() {
                data.push(object.fid().to_be_bytes().to_vec());
                shorts.extend(&object.layout.short);
                if let Content::Secret(secret) = &object.content {
                    secrets.push(secret.to_vec());
                }
            }
        }
        data.retain(|octets| !secrets.contains(octets));
        let headers = HEADERS.map(|header| hex(header).try_into().unwrap()).to_vec();
        Self { dice: Dice(seed), headers, shorts, data, secrets, command: Vec::new() }
    }

    fn next(&mut self) -> &[u8] {
        loop {
            self.make();
            let holds =
                |secret: &Vec<u8>| self.command.windows(secret.len()).any(|run| run == secret.as_slice());
            let takes_one = matches!(self.command.get(1), Some(0x20 | 0x24 | 0x32));
            if !takes_one || !self.secrets.iter().any(holds) {
                return &self.command;
            }
        }
    }

    fn make(&mut self) {
        let Self { dice, headers, shorts, data, command, .. } = self;
        command.clear();
        let [mut cla, ins, mut p1, mut p2] = dice.of(headers);
        cla |= dice.of(&CLASS_BITS);
        if !shorts.is_empty() && dice.below(2) == 0 {
            match ins {
                0xB0 if p1 == 0x80 => (p1, p2) = (0x80 | dice.of(shorts), dice.octet() & 0x1F),
                0xB2 => (p1, p2) = (dice.octet() & 0x03, dice.of(shorts) << 3 | 4),
                0xB1 => p2 = dice.of(shorts),
                _ if p2 == 0x80 => p2 |= dice.of(shorts),
                _ => {}
            }
        }
        command.extend([cla, ins, p1, p2]);
        if dice.below(8) == 0 {
            let place = dice.below(4);
            command[place] = dice.octet();
        }
        // RSA is slow: now and then a signature, but not at every second command.
        if matches!(command[1], 0x2A | 0x88) && dice.below(64) != 0 {
            command[2] |= 0x40;
        }
        let reads = matches!(ins, 0xB0 | 0xB2 | 0x84) && dice.below(8) != 0;
        let octets = match dice.below(8) {
            _ if reads => &[][..],
            0 => &[][..],
            1..=6 => {
                let place = dice.below(data.len());
                &data[place]
            }
            _ => &[0xC3; 300][..dice.below(300)],
        };
        let extended = octets.len() > 255 || dice.below(8) == 0;
        let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
        let with_le = reads || dice.below(2) == 0;
        if extended && (with_le || !octets.is_empty()) {
            command.push(0);
        }
        if !octets.is_empty() {
            command.extend(if extended { &length[..] } else { &length[1..] });
            let begin = command.len();
            command.extend(octets);
            if dice.below(4) == 0 {
                let place = begin + dice.below(octets.len());
                command[place] = dice.octet();
            }
        }
        if with_le {
            let le = if dice.below(4) == 0 { dice.octet() } else { 0 };
            if extended {
                command.push(0);
            }
            command.push(le);
        }
        // Now and then the lengths do not add up.
        if dice.below(32) == 0 {
            let end = dice.below(command.len());
            command.truncate(end);
        }
    }
}

/// Every class and instruction in every state: once where it is unknown, in all shapes where it is not.
pub(crate) fn sweep_instructions(image: &Arc<CardImage>, states: &[State]) {
    let shapes =
        ["0000", "000000", "0000020001", "00000200FF00", "810000", "00800431393139", "0400", "7F2102FFFF00"];
    let shapes = shapes.map(hex);
    let known = HEADERS.map(|header| hex(header)[1]);
    for (number, state) in states.iter().enumerate() {
        let mut subject = Subject::new(image, state);
        let mut command = Vec::new();
        for pair in 0..=u16::MAX {
            for turn in 0..shapes.len() {
                command.clear();
                command.extend(pair.to_be_bytes());
                command.extend(&shapes[(usize::from(pair) + number + turn) % shapes.len()]);
                let untouched = UNTOUCHED.contains(&subject.send(&command));
                if !untouched {
                    subject.reach();
                } else if command[0] & 0x63 != 0 || !known.contains(&command[1]) {
                    // What nobody knows, nobody knows in another shape either.
                    break;
                }
            }
        }
    }
}

/// `total` random commands, shared out among the states; the state is reached anew every so often.
pub(crate) fn sweep_random(image: &Arc<CardImage>, states: &[State], total: usize, seed: u64) {
    const IN_A_ROW: usize = 64;
    let mut generator = Generator::new(image, seed);
    for state in states {
        let mut subject = Subject::new(image, state);
        for number in 0..total.div_ceil(states.len()) {
            if number % IN_A_ROW == 0 {
                subject.reach();
            }
            subject.send(generator.next());
        }
    }
}

/// Both, in the states that every image has and in `more` that only this one has.
pub(crate) fn sweep(image: CardImage, more: Vec<State>) {
    let image = Arc::new(image);
    let mut states = states_of(&image);
    states.extend(more);
    sweep_instructions(&image, &states);
    sweep_random(&image, &states, 1_000_000, 0x4B41_5A41_5355);
}
