//! The Secure Element: arming, limits, and what it never does.

use crate::eac_town::EacTown;
use crate::town::{
    AUTHORITY, NOW, Platform, Terminal, adult, child, hex, input, policy, powered, secure_element_image,
    secure_element_parts, send, status,
};
use card::EmulatedCard;
use card::apdu::{CommandBuilder, ResponseApdu, StatusWord};
use card::dialogue::DialogueError;
use card::dialogue::power_on::{AwaitPolicy, PowerOn, Progress};
use card::eac::p256::{P256SigningKey, generate_pkcs8};
use card::image::Layout;
use card::rsa_key::CardRsaKey;
use card::secure_element::image::fid;
use card::secure_element::touch_protocol::{TAG_TOUCH, TouchTerms};
use card::secure_element::{
    ARMING_SECONDS_MAX, ImageError, PersistentState, Personalisation, SECURE_ELEMENT_AID, SecureElement,
    SecureElementImage, layout, tags,
};
use card::tlv::{encode, read_single};
use protocol::answer::{AllowedProfiles, CardProfile};
use protocol::entropy::Seeded;
use protocol::ids::SecureElementId;
use protocol::physicians::PhysicianList;
use protocol::sealed_evidence::{EvidencePrivateKey, EvidencePublicKey};
use protocol::time::UnixSeconds;
use protocol::unlock::UnlockPolicy;

pub(crate) fn select() -> Vec<u8> {
    CommandBuilder::new(0x00, 0xA4, 0x04, 0x00).data(&SECURE_ELEMENT_AID).expect(256).encode().unwrap()
}

/// BEGIN TOUCH with this data.
fn begin_with(data: &[u8]) -> Vec<u8> {
    CommandBuilder::new(0x80, 0xD0, 0x00, 0x00).data(data).expect(65_536).encode().unwrap()
}

pub(crate) fn begin(time: UnixSeconds) -> Vec<u8> {
    begin_with(&TouchTerms { time, ..input() }.encode())
}

fn continue_touch(response: &[u8]) -> Vec<u8> {
    let data = encode(tags::RESPONSE, response);
    CommandBuilder::new(0x80, 0xD2, 0x00, 0x00).data(&data).expect(65_536).encode().unwrap()
}

pub(crate) fn refused(step: &'static str, word: u16) -> DialogueError {
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
    let begin = begin(NOW);
    assert_eq!(send(se, &begin).1, 0x6985, "not selected");
    assert_eq!(send(se, &select()).1, 0x9000);
    assert_eq!(send(se, &begin).1, 0x6985);
    assert_eq!(send(se, &continue_touch(&[0x90, 0])).1, 0x6985);
    assert_eq!(terminal.touch(&mut patient), Err(refused("begin touch", 0x6985)));
    assert_eq!(terminal.secure_element.persistent_state().counter(), 0);
    // And after a day's work, power-off locks again.
    terminal.unlock(|_| {}).unwrap();
    terminal.touch(&mut patient).unwrap();
    terminal.secure_element.power_off();
    assert!(terminal.secure_element.transmit(&begin, &mut terminal.entropy).is_empty());
    terminal.secure_element.power_on();
    assert_eq!(send(&mut terminal.secure_element, &select()).1, 0x9000);
    assert_eq!(send(&mut terminal.secure_element, &begin).1, 0x6985);
    assert_eq!(terminal.secure_element.persistent_state().counter(), 1);
}

#[test]
fn policies_that_do_not_fit_are_refused() {
    type Bend = fn(&mut UnlockPolicy);
    let bends: [(&str, Bend); 10] = [
        ("another Secure Element", |p| p.secure_element = SecureElementId([9; 8])),
        ("another challenge", |p| p.challenge = [0; 16]),
        ("ends before it begins", |p| p.not_after = p.issued_at),
        ("longer than a day", |p| p.not_after = p.issued_at.plus(ARMING_SECONDS_MAX + 1)),
        ("no uses", |p| p.uses_max = 0),
        ("no touches for a card", |p| p.touches_per_card_and_day = 0),
        ("issued before the floor of time", |p| p.issued_at = NOW.minus(1001)),
        ("issued at the epoch", |p| p.issued_at = UnixSeconds(0)),
        ("for somebody else's evidence key", |p| p.secure_element_key_hash[31] ^= 1),
        ("a platform key that is no point", |p| p.evidence_key = EvidencePublicKey([4; 65])),
    ];
    for (what, bend) in bends {
        let mut terminal = Terminal::locked(&AUTHORITY);
        assert_eq!(terminal.unlock(bend), Err(refused("unlock institution key", 0x6300)), "{what}");
        assert_eq!(send(&mut terminal.secure_element, &begin(NOW)).1, 0x6985, "{what}");
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
fn ask(terminal: &mut Terminal) -> (UnlockPolicy, AwaitPolicy) {
    let (mut exchange, mut dialogue) = PowerOn::start();
    loop {
        let response = terminal.secure_element.transmit(&exchange.command, &mut terminal.entropy);
        match dialogue.step(&response).unwrap() {
            Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            Progress::NeedPolicy { secure_element, challenge, evidence_key, resume } => {
                return (policy(secure_element, challenge, &evidence_key, &terminal.platform), resume);
            }
            Progress::Done(_) => panic!("armed without a policy"),
        }
    }
}

/// EXTERNAL AUTHENTICATE with this policy, signed.
fn unlock(terminal: &Terminal, policy: &UnlockPolicy) -> Vec<u8> {
    let signature = terminal.platform.sign(&policy.signed_bytes());
    let data = [encode(tags::DISCRETIONARY, &policy.encode()), encode(tags::SIGNATURE, &signature)].concat();
    CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(&data).encode().unwrap()
}

#[test]
fn unlock_needs_its_order_and_a_fresh_challenge() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let (policy, resume) = ask(&mut terminal);
    let unlock = unlock(&terminal, &policy);
    let se = &mut terminal.secure_element;
    assert_eq!(send(se, &unlock).1, 0x6985, "key not named; and the challenge is used up");
    let (name_key, _) = resume.resume(&policy.encode(), &[]);
    assert_eq!(send(se, &name_key.command).1, 0x9000);
    assert_eq!(send(se, &unlock).1, 0x6985, "no challenge");
    assert_eq!(send(se, &hex("0084000010")).1, 0x9000);
    assert_eq!(send(se, &unlock).1, 0x6985, "no evidence key, and the challenge is used up again");
    assert_eq!(send(se, &hex("0084000010")).1, 0x9000);
    assert_eq!(send(se, &hex("80CA008600")).1, 0x9000);
    assert_eq!(send(se, &unlock).1, 0x6300, "another challenge");
    assert_eq!(status(se, "002281A4 0A 8308 0000000000000000"), 0x6A88);
    assert_eq!(status(se, "002281A4 16 8314 0000000000000000000000000000000000000000"), 0x6A88);
    assert_eq!(status(se, "002281A4 02 8408"), 0x6A80);
    assert_eq!(status(se, "002241A4 02 8300"), 0x6A86);
}

#[test]
fn every_arming_has_an_evidence_key_of_its_own() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let (first, _) = ask(&mut terminal);
    let (second, resume) = ask(&mut terminal);
    assert_ne!(first.secure_element_key_hash, second.secure_element_key_hash);
    // A policy for the key that was shown before is one for nobody.
    let stale = UnlockPolicy { secure_element_key_hash: first.secure_element_key_hash, ..second };
    let (name_key, _) = resume.resume(&[], &[]);
    assert_eq!(send(&mut terminal.secure_element, &name_key.command).1, 0x9000);
    let command = unlock(&terminal, &stale);
    assert_eq!(send(&mut terminal.secure_element, &command).1, 0x6300);
    let se = &mut terminal.secure_element;
    assert_eq!(status(se, "80CA008640"), 0x6700, "does not fit");
    assert_eq!(status(se, "80CA008741"), 0x6A88, "no such object");
}

#[test]
fn a_platform_that_sends_nonsense_is_named() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let (_, resume) = ask(&mut terminal);
    let (exchange, dialogue) = resume.resume(b"no policy", b"");
    let response = terminal.secure_element.transmit(&exchange.command, &mut terminal.entropy);
    assert!(matches!(dialogue.step(&response), Err(DialogueError::PlatformPolicy)));
}

/// One touch at this time.
fn touch_at(terminal: &mut Terminal, time: UnixSeconds) -> Result<u64, DialogueError> {
    let touch = terminal.touch_watched(&mut adult(), TouchTerms { time, ..input() }, |_, _, _| {})?;
    Ok(terminal.platform.open(&touch).statement.counter)
}

#[test]
fn uses_and_time_are_limits() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(|p| p.uses_max = 2).unwrap();
    let until = NOW.plus(8 * 3600);
    assert_eq!(
        touch_at(&mut terminal, NOW.minus(1)),
        Err(refused("begin touch", 0x6985)),
        "before the floor"
    );
    assert_eq!(touch_at(&mut terminal, until.plus(1)), Err(refused("begin touch", 0x6985)), "after the end");
    assert_eq!(terminal.secure_element.persistent_state().counter(), 0, "refused before counting");
    assert_eq!(touch_at(&mut terminal, NOW), Ok(1));
    assert_eq!(touch_at(&mut terminal, until), Ok(2));
    assert_eq!(touch_at(&mut terminal, NOW), Err(refused("begin touch", 0x6A84)));
    assert_eq!(terminal.secure_element.persistent_state().counter(), 2);
}

#[test]
fn a_card_has_a_number_of_touches_a_day_and_each_card_its_own() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    let ordinary = |p: &mut UnlockPolicy| {
        p.touches_per_card_and_day = 2;
        p.not_after = p.issued_at.plus(ARMING_SECONDS_MAX);
    };
    terminal.unlock(ordinary).unwrap();
    let mut patient = adult();
    for _ in 0..2 {
        terminal.touch(&mut patient).unwrap();
    }
    let counted = terminal.secure_element.persistent_state().clone();
    let mut steps = Vec::new();
    let third = terminal.touch_watched(&mut patient, input(), |exchange, _, _| steps.push(exchange.step));
    assert_eq!(third, Err(DialogueError::TouchesUsedUp));
    // The institution's key was not used for it, and nothing was counted.
    assert!(!steps.contains(&"get challenge"), "{steps:?}");
    assert_eq!(*terminal.secure_element.persistent_state(), counted);
    // Neither a new arming nor a power cut gives the touches back.
    terminal.secure_element.power_off();
    let kept = PersistentState::from_bytes(&terminal.secure_element.persistent_state().to_bytes()).unwrap();
    let image = secure_element_image(&AUTHORITY, &terminal.platform);
    terminal.secure_element = powered(SecureElement::new(image, kept));
    terminal.unlock(ordinary).unwrap();
    assert_eq!(terminal.touch(&mut patient), Err(DialogueError::TouchesUsedUp));
    // A child's card in these tests has the same certificate: the same card.
    assert_eq!(terminal.touch(&mut child()), Err(DialogueError::TouchesUsedUp));
    // The next morning in Japan it has its touches again.
    let tomorrow = TouchTerms { time: NOW.plus(ARMING_SECONDS_MAX), ..input() };
    terminal.touch_watched(&mut patient, tomorrow, |_, _, _| {}).unwrap();
}

#[test]
fn a_platform_that_forbids_the_profile_is_obeyed() {
    let mut terminal = Terminal::locked(&AUTHORITY);
    terminal.unlock(|p| p.profiles = AllowedProfiles::of(&[CardProfile::Eac]).unwrap()).unwrap();
    let mut patient = adult();
    assert_eq!(terminal.touch(&mut patient), Err(DialogueError::ProfileNotAllowed));
    assert_eq!(terminal.secure_element.persistent_state().counter(), 0);
}

#[test]
fn a_new_arming_in_the_middle_takes_nothing_from_a_touch() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let mut patient = adult();
    let mut bytes = begin(NOW.plus(60));
    let mut rounds = 0;
    let touch = loop {
        let (answer, word) = send(&mut terminal.secure_element, &bytes);
        assert_eq!(word, 0x9000);
        let inner = read_single(&answer, TAG_TOUCH).unwrap();
        if inner[0] != 0x80 {
            break answer;
        }
        let command = read_single(&inner[3..], card::tlv::Tag(0x81)).unwrap();
        bytes = continue_touch(&patient.transmit(command, &mut Seeded::new(1)));
        rounds += 1;
        if rounds == 6 {
            terminal.unlock(|_| {}).unwrap();
        }
    };
    assert!(rounds > 6);
    let card::secure_element::touch_protocol::TouchAnswer::Done { statement, sealed, evidence_key } =
        card::secure_element::touch_protocol::TouchAnswer::parse(&touch).unwrap()
    else {
        panic!("no evidence");
    };
    let sealed = card::dialogue::institution_auth::SealedTouch { statement, evidence_key, sealed };
    assert_eq!(terminal.platform.open(&sealed).statement.counter, 1);
    let next = terminal.touch(&mut patient).unwrap();
    assert_ne!(next.evidence_key, sealed.evidence_key, "the next touch is sealed under the new arming");
    terminal.platform.open(&next);
}

#[test]
fn no_consent_no_touch() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let se = &mut terminal.secure_element;
    let whole = input().encode();
    let consent = whole.windows(2).position(|window| window == [0x83, 32]).unwrap();
    let cut = |from: usize, to: usize| {
        let mut bytes = [&whole[..from], &whole[to..]].concat();
        bytes[1] -= u8::try_from(to - from).unwrap();
        bytes
    };
    let nobody = TouchTerms { consent_text_hash: [0; 32], ..input() }.encode();
    let shorter = {
        let mut bytes = cut(consent + 33, consent + 34);
        bytes[consent + 1] = 31;
        bytes
    };
    for (what, data) in [
        ("no consent hash", cut(consent, consent + 34)),
        ("a hash of nothing", nobody),
        ("a shorter hash", shorter),
        ("no time", cut(whole.len() - 10, whole.len())),
        ("nothing", vec![0x7C, 0]),
        ("something more", [&whole[..], &[0x85, 0]].concat()),
    ] {
        assert_eq!(send(se, &begin_with(&data)).1, 0x6A80, "{what}");
        assert_eq!(send(se, &continue_touch(&[0x90, 0])).1, 0x6985, "{what}");
    }
    assert_eq!(se.persistent_state().counter(), 0);
    assert_eq!(send(se, &begin_with(&whole)).1, 0x9000);
}

#[test]
fn answers_need_room_and_a_touch_needs_its_beginning() {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let se = &mut terminal.secure_element;
    let terms = input().encode();
    let short = CommandBuilder::new(0x80, 0xD0, 0x00, 0x00).data(&terms).expect(256).encode().unwrap();
    assert_eq!(send(se, &short).1, 0x6700);
    assert_eq!(send(se, &continue_touch(&[0x90, 0])).1, 0x6985);
    assert_eq!(send(se, &begin(NOW)).1, 0x9000);
    assert_eq!(status(se, "80D20000 04 8102 9000 00"), 0x6700, "and the touch goes on");
    assert_eq!(status(se, "80D20001 04 8102 9000 00"), 0x6A86);
    assert_eq!(send(se, &continue_touch(&[0x90, 0])).1, 0x9000);
    // What is not a response ends it.
    let nonsense = CommandBuilder::new(0x80, 0xD2, 0x00, 0x00).data(&[0x82, 0]).expect(65_536);
    assert_eq!(send(se, &nonsense.encode().unwrap()).1, 0x6A80);
    assert_eq!(send(se, &continue_touch(&[0x90, 0])).1, 0x6985);
    // So does another beginning, well-formed or not.
    assert_eq!(send(se, &begin(NOW)).1, 0x9000);
    assert_eq!(send(se, &begin_with(&[0x7C, 0])).1, 0x6A80);
    assert_eq!(send(se, &continue_touch(&[0x90, 0])).1, 0x6985);
    // And power.
    assert_eq!(send(se, &begin(NOW)).1, 0x9000);
    se.power_off();
    se.power_on();
    assert_eq!(send(se, &select()).1, 0x9000);
    assert_eq!(send(se, &continue_touch(&[0x90, 0])).1, 0x6985);
}

#[test]
fn the_proof_is_over_the_secure_elements_own_words() {
    let platform = Platform::new();
    let parts = secure_element_parts(&AUTHORITY, &platform);
    let chain = parts.jicsap.chain.clone();
    let secure_element = powered(SecureElement::new(parts.image().unwrap(), PersistentState::factory(NOW)));
    let mut terminal = Terminal { platform, secure_element, entropy: Seeded::new(4) };
    terminal.unlock(|_| {}).unwrap();
    let mut challenge = Vec::new();
    let mut proof = Vec::new();
    terminal
        .touch_watched(&mut adult(), input(), |exchange, response, _| match exchange.step {
            "get challenge" => challenge = response[..16].to_vec(),
            "external authenticate" => proof = exchange.command[7..].to_vec(),
            _ => {}
        })
        .unwrap();
    let subject = &chain.leaf.body().subject;
    let challenge: [u8; 16] = challenge.try_into().unwrap();
    let signed = card::external_authenticate_bytes(&challenge, &subject.reference());
    subject.verify(&signed, &proof).unwrap();
    // Never over the caller's bytes alone.
    assert!(subject.verify(&challenge, &proof).is_err());
}

#[test]
fn no_counter_value_twice_across_power_cuts() {
    let platform = Platform::new();
    let image = || secure_element_image(&AUTHORITY, &platform);
    let at_the_end = PersistentState::factory(NOW).reserving(u64::MAX);
    let mut terminal = Terminal {
        secure_element: powered(SecureElement::new(image(), at_the_end)),
        platform: Platform::new(),
        entropy: Seeded::new(3),
    };
    terminal.platform = platform;
    terminal.unlock(|_| {}).unwrap();
    assert_eq!(
        touch_at(&mut terminal, NOW),
        Err(refused("begin touch", 0x6A84)),
        "the counter does not wrap"
    );

    // An owner that wrote down more than was given out loses nothing but numbers.
    let reserved = PersistentState::factory(NOW).reserving(10);
    let written = PersistentState::from_bytes(&reserved.to_bytes()).unwrap();
    let image = secure_element_image(&AUTHORITY, &terminal.platform);
    terminal.secure_element = powered(SecureElement::new(image, written));
    terminal.unlock(|_| {}).unwrap();
    assert_eq!(touch_at(&mut terminal, NOW), Ok(11));
    assert_eq!(terminal.secure_element.persistent_state().counter(), 11);
}

#[test]
fn images_must_fit_together() {
    let platform = Platform::new();
    let parts = || secure_element_parts(&AUTHORITY, &platform);
    let refused = |parts: Personalisation| parts.image().map(|_| ()).unwrap_err();
    parts().image().unwrap();

    let mut wrong = parts();
    wrong.jicsap.key = CardRsaKey::generate().unwrap();
    assert_eq!(refused(wrong), ImageError::Leaf);
    let mut wrong = parts();
    wrong.jicsap.chain.intermediate = wrong.jicsap.chain.leaf.clone();
    assert_eq!(refused(wrong), ImageError::Chain);
    let mut wrong = parts();
    wrong.eac.key = P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap();
    assert_eq!(refused(wrong), ImageError::Leaf);
    let mut wrong = parts();
    wrong.eac.terminal_root = EacTown::new().institution().terminal_root;
    assert_eq!(refused(wrong), ImageError::Chain, "another root of the same name");
    let mut wrong = parts();
    std::mem::swap(&mut wrong.eac.terminal_root, &mut wrong.eac.card_issuer);
    assert_eq!(refused(wrong), ImageError::Content(fid::TERMINAL_ROOT));

    let chain = parts().jicsap.chain;
    chain.verify(&AUTHORITY.root.public_key().unwrap()).unwrap();
    assert_eq!(card::cvc::CvcChain::parse(&chain.encode()), Ok(chain));
}

#[test]
fn contents_fill_the_image_and_nothing_else() {
    let platform = Platform::new();
    let contents = || secure_element_parts(&AUTHORITY, &platform).contents().unwrap();
    let refused = |contents| SecureElementImage::new(layout().unwrap(), &contents).map(|_| ()).unwrap_err();
    for (slot, fid) in [
        ("identifier", fid::IDENTIFIER),
        ("jicsap.chain", fid::JICSAP_CHAIN),
        ("eac.chain", fid::EAC_CHAIN),
        ("physicians", fid::PHYSICIANS),
    ] {
        assert_eq!(refused(contents().with(slot, [7; 9])), ImageError::Content(fid), "{slot}");
    }
    assert_eq!(refused(contents().with("unlock.key", [7; 65])), ImageError::UnlockKey);
    for slot in ["jicsap.institution-key", "eac.institution-key", "eac.terminal-root", "eac.card-issuer"] {
        let said = refused(contents().with(slot, [7; 9])).to_string();
        assert!(said.contains(slot), "{said}");
    }
    assert!(refused(contents().with("surprise", [1])).to_string().contains("surprise"));
    // A physicians' list of another Secure Element.
    let other = PhysicianList::new(SecureElementId([9; 8]), 0, Vec::new()).unwrap().encode();
    assert_eq!(refused(contents().with("physicians", other)), ImageError::Content(fid::PHYSICIANS));
}

/// Who may do what stands in the image: the same code with other rules does other things.
#[test]
fn the_rules_are_the_images() {
    let platform = Platform::new();
    let contents = secure_element_parts(&AUTHORITY, &platform).contents().unwrap();
    let text = include_str!("../../layouts/secure_element.toml");
    let terminal_of = |text: &str| {
        let image = SecureElementImage::new(&Layout::parse(text).unwrap(), &contents).unwrap();
        let secure_element = powered(SecureElement::new(image, PersistentState::factory(NOW)));
        let mut terminal = Terminal { platform: Platform::new(), secure_element, entropy: Seeded::new(4) };
        terminal.platform = Platform::with_unlock_key_of(&platform);
        terminal.unlock(|_| {}).unwrap();
        terminal
    };
    let mut usual = terminal_of(text);
    assert_eq!(send(&mut usual.secure_element, &hex("80CA010000")).0, *b"SE000001");
    for shut in ["80CA0111000000", "80CA0113000000", "80CA0112000000", "80CA0120000000", "80CA0101000000"] {
        assert_eq!(status(&mut usual.secure_element, shut), 0x6982, "{shut}");
    }
    assert_eq!(status(&mut usual.secure_element, "80CA0142000000"), 0x6A88);
    assert_eq!(status(&mut usual.secure_element, "80CA010004"), 0x6700, "does not fit");
    assert_eq!(status(&mut usual.secure_element, "80DA0111 01 00"), 0x6982, "no such rule, no writing");
    usual.touch(&mut adult()).unwrap();

    // Keys for offline days only: armed by the platform, no touch begins.
    let mut offline_only = terminal_of(&text.replace("use = \"armed or offline\"", "use = \"offline\""));
    assert_eq!(offline_only.touch(&mut adult()), Err(refused("begin touch", 0x6982)));
    // An image that gave certificates out would give them out, and keys would stay.
    let mut chatty = terminal_of(&text.replace("read = \"never\"", "read = \"armed\""));
    assert_eq!(send(&mut chatty.secure_element, &hex("80CA0111000000")).1, 0x9000);
    assert_eq!(status(&mut chatty.secure_element, "80CA0112000000"), 0x6982);
}

#[test]
fn neither_the_institution_key_nor_its_certificates_can_be_asked_for() {
    // Everything that an armed Secure Element answers to every header with every small P1 and P2: no
    // octets of the key's secret half, none of the chain, none of an evidence key's secret.
    let platform = Platform::new();
    let parts = secure_element_parts(&AUTHORITY, &platform);
    let pkcs8 = parts.jicsap.key.pkcs8_der().unwrap();
    let eac_pkcs8 = parts.eac.key.pkcs8_der().unwrap();
    let certificates = [parts.jicsap.chain.encode(), parts.eac.chain.encode()].concat();
    let mut terminal = Terminal {
        platform,
        secure_element: powered(SecureElement::new(parts.image().unwrap(), PersistentState::factory(NOW))),
        entropy: Seeded::new(4),
    };
    terminal.unlock(|_| {}).unwrap();
    // `send` draws from this stream, so its evidence key is known here.
    let scalar = EvidencePrivateKey::draw_scalar(&mut Seeded::new(5)).unwrap();
    // The second half of the PKCS#8 is secret: primes, exponents, coefficient.
    let mut secrets: Vec<&[u8]> = pkcs8[pkcs8.len() / 2..].windows(16).step_by(16).collect();
    secrets.extend(eac_pkcs8[36..68].windows(16));
    secrets.extend(certificates.windows(16));
    secrets.extend(scalar.windows(16));
    let secrets: std::collections::HashSet<&[u8]> = secrets.into_iter().collect();
    let mut evidence_keys = 0;
    for cla in [0x00, 0x80] {
        for ins in 0..=255u8 {
            for (p1, p2) in [
                (0, 0),
                (0, 0x81),
                (1, 0x81),
                (0x7F, 0x21),
                (0x80, 0),
                (0x81, 0xA4),
                (4, 0),
                (0, 0x86),
                (0, 0x97),
                (1, 0x01),
                (1, 0x10),
                (1, 0x11),
                (1, 0x12),
                (1, 0x13),
                (1, 0x14),
                (1, 0x20),
            ] {
                for data in [&[][..], &[0], &[1], &[0x7C, 0]] {
                    let command =
                        CommandBuilder::new(cla, ins, p1, p2).data(data).expect(65_536).encode().unwrap();
                    let (answer, _) = send(&mut terminal.secure_element, &command);
                    evidence_keys += usize::from(answer.len() == 65);
                    for window in answer.windows(16) {
                        assert!(!secrets.contains(window), "{cla:02X}{ins:02X}");
                    }
                }
            }
        }
    }
    assert_eq!(evidence_keys, 1, "one question of all has that answer");
    terminal.touch(&mut adult()).expect("all that did not disturb the next touch");
}

#[test]
fn a_refusal_of_the_card_comes_back_as_the_cards() {
    let mut terminal = Terminal::in_the_clear(&AUTHORITY);
    let se = &mut terminal.secure_element;
    for (response, failure) in [
        (&[0x6A, 0x82][..], [1, 6, 0x6A, 0x82]),
        (&[0x69, 0x82], [1, 1, 0x69, 0x82]),
        (&[0x90], [1, 2, 0, 0]),
        (&[], [1, 2, 0, 0]),
        (&[1, 0x90, 0], [1, 3, 0x90, 0]),
    ] {
        assert_eq!(send(se, &begin(NOW)).1, 0x9000);
        let bytes = se.transmit(&continue_touch(response), &mut Seeded::new(1));
        let answer = ResponseApdu::parse(&bytes).unwrap();
        assert_eq!(answer.status, StatusWord::OK);
        assert_eq!(answer.data, [&[0x7C, 6, 0x8F, 4][..], &failure].concat(), "{response:02X?}");
    }
}
