//! The Secure Element: arming, limits, and what it never does.

use crate::town::{
    AUTHORITY, NOW, Platform, Terminal, adult, hex, policy, powered, secure_element_image, send, status,
};
use card::EmulatedCard;
use card::apdu::{CommandBuilder, StatusWord};
use card::cvc::Cvc;
use card::dialogue::DialogueError;
use card::dialogue::power_on::{AwaitPolicy, PowerOn, Progress};
use card::rsa_key::CardRsaKey;
use card::secure_element::{
    ARMING_SECONDS_MAX, ImageError, PersistentState, SECURE_ELEMENT_AID, SecureElement, SecureElementImage,
    tags,
};
use card::tlv::{Tag, encode, read_single};
use protocol::ids::SecureElementId;
use protocol::time::UnixSeconds;
use protocol::unlock::UnlockPolicy;

fn select() -> Vec<u8> {
    CommandBuilder::new(0x00, 0xA4, 0x04, 0x00).data(&SECURE_ELEMENT_AID).expect(256).encode().unwrap()
}

/// INTERNAL AUTHENTICATE as a touch sends it, with these data objects.
fn internal_authenticate(objects: &[(Tag, &[u8])]) -> Vec<u8> {
    let inner: Vec<u8> = objects.iter().flat_map(|(tag, value)| encode(*tag, value)).collect();
    let data = encode(tags::DYNAMIC, &inner);
    CommandBuilder::new(0x00, 0x88, 0x00, 0x81).data(&data).expect(65_536).encode().unwrap()
}

fn prove(time: UnixSeconds) -> Vec<u8> {
    internal_authenticate(&[
        (tags::CHALLENGE_OR_COUNTER, &[7; 16]),
        (tags::CONSENT_OR_SIGNATURE, &[8; 32]),
        (tags::TIME, &time.0.to_be_bytes()),
    ])
}

fn refused(step: &'static str, word: u16) -> DialogueError {
    DialogueError::SecureElementRefused { step, status_word: StatusWord(word) }
}

#[test]
fn power_on_arms_and_says_for_how_long() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let armed = terminal.unlock(|_| {}).unwrap();
    assert_eq!((armed.issued_at, armed.not_after, armed.uses_max), (NOW, NOW.plus(8 * 3600), 1_000));
    assert_eq!(terminal.secure_element.persistent_state().time_floor(), NOW);
}

#[test]
fn locked_gives_nothing() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let (mut patient, se) = (adult(), &mut terminal.secure_element);
    let prove = prove(NOW);
    assert_eq!(send(se, &prove).1, 0x6985, "not selected");
    assert_eq!(send(se, &select()).1, 0x9000);
    assert_eq!(send(se, &prove).1, 0x6985);
    assert_eq!(status(se, "80CA7F21 01 00 00"), 0x6985);
    assert_eq!(terminal.touch(&mut patient), Err(refused("fetch accredited body's certificate", 0x6985)));
    assert_eq!(terminal.secure_element.persistent_state().counter(), 0);
    // And after a day's work, power-off locks again.
    terminal.unlock(|_| {}).unwrap();
    terminal.touch(&mut patient).unwrap();
    terminal.secure_element.power_off();
    assert!(terminal.secure_element.transmit(&prove, &mut terminal.entropy).is_empty());
    terminal.secure_element.power_on();
    assert_eq!(send(&mut terminal.secure_element, &select()).1, 0x9000);
    assert_eq!(send(&mut terminal.secure_element, &prove).1, 0x6985);
    assert_eq!(terminal.secure_element.persistent_state().counter(), 1);
}

#[test]
fn policies_that_do_not_fit_are_refused() {
    type Bend = fn(&mut UnlockPolicy);
    let bends: [(&str, Bend); 7] = [
        ("another Secure Element", |p| p.secure_element = SecureElementId([9; 8])),
        ("another challenge", |p| p.challenge = [0; 16]),
        ("ends before it begins", |p| p.not_after = p.issued_at),
        ("longer than a day", |p| p.not_after = p.issued_at.plus(ARMING_SECONDS_MAX + 1)),
        ("no uses", |p| p.uses_max = 0),
        ("issued before the floor of time", |p| p.issued_at = NOW.minus(1001)),
        ("issued at the epoch", |p| p.issued_at = UnixSeconds(0)),
    ];
    for (what, bend) in bends {
        let mut terminal = Terminal::locked(&AUTHORITY);
        assert_eq!(terminal.unlock(bend), Err(refused("unlock institution key", 0x6300)), "{what}");
        assert_eq!(send(&mut terminal.secure_element, &prove(NOW)).1, 0x6985, "{what}");
        terminal.unlock(|_| {}).expect("one failure does not block");
    }
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.platform = Platform::new();
    assert_eq!(terminal.unlock(|_| {}), Err(refused("unlock institution key", 0x6300)), "another platform");
}

#[test]
fn time_does_not_go_back() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(|_| {}).unwrap();
    let earlier = |policy: &mut UnlockPolicy| policy.issued_at = NOW.minus(1);
    assert!(terminal.unlock(earlier).is_err());
    terminal.unlock(|_| {}).unwrap();
}

#[test]
fn five_failures_block_until_power_off() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    for _ in 0..5 {
        assert_eq!(terminal.unlock(|p| p.uses_max = 0), Err(refused("unlock institution key", 0x6300)));
    }
    assert_eq!(terminal.unlock(|_| {}), Err(refused("unlock institution key", 0x6984)));
    terminal.secure_element.power_off();
    terminal.secure_element.power_on();
    terminal.unlock(|_| {}).unwrap();
}

/// Runs power-on up to the question for a policy.
fn ask(terminal: &mut Terminal) -> (SecureElementId, [u8; 16], AwaitPolicy) {
    let (mut exchange, mut dialogue) = PowerOn::start();
    loop {
        let response = terminal.secure_element.transmit(&exchange.command, &mut terminal.entropy);
        match dialogue.step(&response).unwrap() {
            Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            Progress::NeedPolicy { secure_element, challenge, resume } => {
                return (secure_element, challenge, resume);
            }
            Progress::Done(_) => panic!("armed without a policy"),
        }
    }
}

#[test]
fn unlock_needs_its_order_and_a_fresh_challenge() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let (id, challenge, resume) = ask(&mut terminal);
    let policy = policy(id, challenge);
    let signature = terminal.platform.sign(&policy);
    let data = [encode(tags::DISCRETIONARY, &policy.encode()), encode(tags::SIGNATURE, &signature)].concat();
    let unlock = CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(&data).encode().unwrap();
    let se = &mut terminal.secure_element;
    assert_eq!(send(se, &unlock).1, 0x6985, "key not named; and the challenge is used up");
    let (name_key, _) = resume.resume(&policy.encode(), &signature);
    assert_eq!(send(se, &name_key.command).1, 0x9000);
    assert_eq!(send(se, &unlock).1, 0x6985, "no challenge");
    assert_eq!(send(se, &hex("0084000010")).1, 0x9000);
    assert_eq!(send(se, &unlock).1, 0x6300, "another challenge");
    assert_eq!(status(se, "002281A4 0A 8308 0000000000000000"), 0x6A88);
    assert_eq!(status(se, "002281A4 02 8408"), 0x6A80);
    assert_eq!(status(se, "002241A4 02 8300"), 0x6A86);
}

#[test]
fn a_platform_that_sends_nonsense_is_named() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let (_, _, resume) = ask(&mut terminal);
    let (exchange, dialogue) = resume.resume(b"no policy", b"");
    let response = terminal.secure_element.transmit(&exchange.command, &mut terminal.entropy);
    assert!(matches!(dialogue.step(&response), Err(DialogueError::PlatformPolicy)));
}

#[test]
fn uses_and_time_are_limits() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(|p| p.uses_max = 2).unwrap();
    let until = NOW.plus(8 * 3600);
    let se = &mut terminal.secure_element;
    assert_eq!(send(se, &prove(NOW.minus(1))).1, 0x6985, "before the floor");
    assert_eq!(send(se, &prove(until.plus(1))).1, 0x6985, "after the end");
    assert_eq!(se.persistent_state().counter(), 0, "refused before counting");
    assert_eq!(send(se, &prove(NOW)).1, 0x9000);
    assert_eq!(send(se, &prove(until)).1, 0x9000);
    assert_eq!(send(se, &prove(NOW)).1, 0x6A84);
    assert_eq!(se.persistent_state().counter(), 2);
}

#[test]
fn no_consent_no_signature() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let se = &mut terminal.secure_element;
    let time = NOW.0.to_be_bytes();
    let (challenge, consent, time) = (
        (tags::CHALLENGE_OR_COUNTER, &[7u8; 16][..]),
        (tags::CONSENT_OR_SIGNATURE, &[8u8; 32][..]),
        (tags::TIME, &time[..]),
    );
    for objects in [
        &[challenge, time][..],
        &[challenge, (tags::CONSENT_OR_SIGNATURE, &[]), time],
        &[challenge, consent],
        &[consent, challenge, time],
        &[(tags::CHALLENGE_OR_COUNTER, &[7; 15]), consent, time],
        &[challenge, consent, time, time],
    ] {
        assert_eq!(send(se, &internal_authenticate(objects)).1, 0x6A80);
    }
    assert_eq!(se.persistent_state().counter(), 0);
}

#[test]
fn the_answer_is_counter_and_a_signature_over_its_own_words() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let se = &mut terminal.secure_element;
    let (chain, word) = send(se, &hex("80CA7F21 000001 01 0000"));
    assert_eq!(word, 0x9000);
    let leaf = Cvc::parse(&chain).unwrap();
    let (answer, word) = send(se, &prove(NOW));
    assert_eq!(word, 0x9000);
    let inner = read_single(&answer, tags::DYNAMIC).unwrap();
    assert_eq!(inner[..10], [0x81, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
    let signature = read_single(&inner[10..], tags::CONSENT_OR_SIGNATURE).unwrap();
    let subject = &leaf.body().subject;
    subject.verify(&card::external_authenticate_bytes(&[7; 16], &subject.reference()), signature).unwrap();
    // Never over the caller's bytes alone.
    assert!(subject.verify(&[7; 16], signature).is_err());
    assert_eq!(send(se, &hex("80CA7F21 000001 00 0000")).1, 0x9000);
    assert_eq!(send(se, &hex("80CA7F21 000001 02 0000")).1, 0x6A88);
    assert_eq!(send(se, &hex("80CA7F21 01 00 00")).1, 0x6700, "does not fit");
    assert_eq!(send(se, &hex("80CA0042 000001 00 0000")).1, 0x6A86);
}

#[test]
fn no_counter_value_twice_across_power_cuts() {
    let platform = Platform::new();
    let image = || secure_element_image(&AUTHORITY, &platform);
    let at_the_end = PersistentState::factory(NOW).reserving(u64::MAX);
    let mut terminal = Terminal {
        secure_element: powered(SecureElement::new(image(), at_the_end)),
        platform: Platform::new(),
        entropy: protocol::entropy::Seeded::new(3),
    };
    terminal.platform = platform;
    terminal.unlock(|_| {}).unwrap();
    assert_eq!(send(&mut terminal.secure_element, &prove(NOW)).1, 0x6A84, "the counter does not wrap");

    // An owner that reserved ten and wrote that down loses nothing but numbers.
    let reserved = PersistentState::factory(NOW).reserving(10);
    let written = PersistentState::from_bytes(&reserved.to_bytes()).unwrap();
    let image = secure_element_image(&AUTHORITY, &terminal.platform);
    terminal.secure_element = powered(SecureElement::new(image, written));
    terminal.unlock(|_| {}).unwrap();
    assert_eq!(send(&mut terminal.secure_element, &prove(NOW)).1, 0x9000);
    assert_eq!(terminal.secure_element.persistent_state().counter(), 11);
}

#[test]
fn images_must_fit_together() {
    let platform = Platform::new();
    let (key, other) = (CardRsaKey::generate().unwrap(), CardRsaKey::generate().unwrap());
    let id = SecureElementId([1; 8]);
    let chain = AUTHORITY.chain_for(&key);
    let wrong_leaf = SecureElementImage::new(id, other, chain.clone(), platform.public());
    assert_eq!(wrong_leaf.map(|_| ()).unwrap_err(), ImageError::Leaf);
    let mut broken = chain.clone();
    broken.intermediate = chain.leaf.clone();
    assert_eq!(
        SecureElementImage::new(id, key, broken, platform.public()).map(|_| ()).unwrap_err(),
        ImageError::Chain
    );
    chain.verify(&AUTHORITY.root.public_key().unwrap()).unwrap();
    assert_eq!(card::cvc::CvcChain::parse(&chain.encode()), Ok(chain));
}

#[test]
fn the_institution_key_never_leaves() {
    // Everything that an armed Secure Element answers to every header with every small P1 and P2:
    // no octets of the key's secret half.
    let platform = Platform::new();
    let key = CardRsaKey::generate().unwrap();
    let pkcs8 = key.pkcs8_der().unwrap();
    let chain = AUTHORITY.chain_for(&key);
    let image = SecureElementImage::new(SecureElementId([1; 8]), key, chain, platform.public()).unwrap();
    let mut terminal = Terminal {
        platform,
        secure_element: powered(SecureElement::new(image, PersistentState::factory(NOW))),
        entropy: protocol::entropy::Seeded::new(4),
    };
    terminal.unlock(|_| {}).unwrap();
    // The second half of the PKCS#8 is secret: primes, exponents, coefficient.
    let secrets: Vec<&[u8]> = pkcs8[pkcs8.len() / 2..].windows(16).step_by(16).collect();
    for cla in [0x00, 0x80] {
        for ins in 0..=255u8 {
            for (p1, p2) in
                [(0, 0), (0, 0x81), (1, 0x81), (0x7F, 0x21), (0x80, 0), (0x81, 0xA4), (4, 0), (0, 0x97)]
            {
                for data in [&[][..], &[0], &[1], &[0x7C, 0]] {
                    let command =
                        CommandBuilder::new(cla, ins, p1, p2).data(data).expect(65_536).encode().unwrap();
                    let (answer, _) = send(&mut terminal.secure_element, &command);
                    for secret in &secrets {
                        assert!(!answer.windows(16).any(|window| window == *secret), "{cla:02X}{ins:02X}");
                    }
                }
            }
        }
    }
    terminal.touch(&mut adult()).expect("all that did not disturb the next touch");
}
