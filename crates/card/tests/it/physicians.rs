//! The network is down: a physician's HPKI card arms the Secure Element (report fig. 4).

use crate::secure_element::{begin, refused, select};
use crate::town::{AUTHORITY, NOW, Platform, Terminal, adult, input, powered, secure_element_image, send};
use card::EmulatedCard;
use card::apdu::CommandBuilder;
use card::dialogue::DialogueError;
use card::dialogue::physician_unlock::{PhysicianUnlock, Progress};
use card::rsa_key::CardRsaKey;
use card::secure_element::touch_protocol::TouchTerms;
use card::secure_element::{OFFLINE_SECONDS_MAX, OFFLINE_USES_MAX, PersistentState, SecureElement, tags};
use card::tlv::encode;
use protocol::ids::SecureElementId;
use protocol::physicians::{HpkiPublicKey, PhysicianList};
use protocol::statement::TouchMode;
use protocol::time::UnixSeconds;
use std::sync::LazyLock;

const SECURE_ELEMENT: SecureElementId = SecureElementId(*b"SE000001");
/// The network went down an hour ago.
const LATER: UnixSeconds = NOW.plus(3600);

/// An HPKI card's authentication key.
struct Physician(CardRsaKey);

impl Physician {
    fn public(&self) -> HpkiPublicKey {
        HpkiPublicKey::from_spki_der(self.0.spki_der()).unwrap()
    }
}

static PHYSICIAN: LazyLock<Physician> = LazyLock::new(|| Physician(CardRsaKey::generate().unwrap()));
static COLLEAGUE: LazyLock<Physician> = LazyLock::new(|| Physician(CardRsaKey::generate().unwrap()));

/// PUT DATA with a list signed by this platform.
fn put(list: &PhysicianList, platform: &Platform) -> Vec<u8> {
    let signature = platform.sign(&list.signed_bytes());
    let data = [encode(tags::DISCRETIONARY, &list.encode()), encode(tags::SIGNATURE, &signature)].concat();
    CommandBuilder::new(0x80, 0xDA, 0x01, 0x20).data(&data).encode().unwrap()
}

fn list(number: u64, physicians: &[&Physician]) -> PhysicianList {
    let keys = physicians.iter().map(|physician| physician.public()).collect();
    PhysicianList::new(SECURE_ELEMENT, number, keys).unwrap()
}

/// A terminal that was armed today, knows the physician, and has lost power since.
fn prepared() -> Terminal {
    let mut terminal = Terminal::armed(&AUTHORITY);
    let command = put(&list(1, &[&PHYSICIAN]), &terminal.platform);
    assert_eq!(send(&mut terminal.secure_element, &command).1, 0x9000);
    terminal.secure_element.power_off();
    terminal.secure_element.power_on();
    terminal
}

/// Arms with this physician at this time; `bend` may change the signature.
fn arm(
    terminal: &mut Terminal,
    physician: &Physician,
    time: UnixSeconds,
    bend: impl Fn(&mut [u8]),
) -> Result<(), DialogueError> {
    let (mut exchange, mut dialogue) = PhysicianUnlock::start()?;
    loop {
        let response = terminal.secure_element.transmit(&exchange.command, &mut terminal.entropy);
        (exchange, dialogue) = match dialogue.step(&response)? {
            Progress::Send(next, rest) => (next, rest),
            Progress::NeedSignature { signed_bytes, resume } => {
                assert!(signed_bytes.starts_with(b"SE-HPKI-v1SE000001"));
                let mut signature = physician.0.sign_sha256(&signed_bytes).unwrap();
                bend(&mut signature);
                resume.resume(&physician.public(), &signature, time)?
            }
            Progress::Done => return Ok(()),
        };
    }
}

/// One touch at this time; gives the mode that its statement names.
fn touch(terminal: &mut Terminal, time: UnixSeconds) -> Result<TouchMode, DialogueError> {
    let touch = terminal.touch_watched(&mut adult(), TouchTerms { time, ..input() }, |_, _, _| {})?;
    Ok(terminal.platform.open(&touch).statement.mode)
}

#[test]
fn a_physician_arms_and_every_statement_says_so() {
    let mut terminal = prepared();
    assert_eq!(touch(&mut terminal, LATER), Err(refused("begin touch", 0x6985)), "locked, not selected");
    arm(&mut terminal, &PHYSICIAN, LATER, |_| {}).unwrap();
    assert_eq!(touch(&mut terminal, LATER), Ok(TouchMode::Offline));
    // The network is back: the platform arms, and statements are online again.
    terminal.unlock(|policy| policy.issued_at = LATER).unwrap();
    assert_eq!(touch(&mut terminal, LATER), Ok(TouchMode::Online));
    // And gone again, without a power cut.
    arm(&mut terminal, &PHYSICIAN, LATER, |_| {}).unwrap();
    assert_eq!(touch(&mut terminal, LATER), Ok(TouchMode::Offline));
    let counter = terminal.secure_element.persistent_state().counter();
    assert_eq!(counter, 3, "one counter for both modes");
}

#[test]
fn an_offline_arming_has_its_own_caps() {
    let mut terminal = prepared();
    arm(&mut terminal, &PHYSICIAN, LATER, |_| {}).unwrap();
    let until = LATER.plus(OFFLINE_SECONDS_MAX);
    assert_eq!(touch(&mut terminal, LATER.minus(1)), Err(refused("begin touch", 0x6985)));
    assert_eq!(touch(&mut terminal, until.plus(1)), Err(refused("begin touch", 0x6985)));
    for _ in 0..OFFLINE_USES_MAX {
        assert_eq!(touch(&mut terminal, until), Ok(TouchMode::Offline));
    }
    assert_eq!(touch(&mut terminal, until), Err(refused("begin touch", 0x6A84)));
}

#[test]
fn time_does_not_go_back_behind_the_platforms_last_word() {
    let mut terminal = prepared();
    let early = arm(&mut terminal, &PHYSICIAN, NOW.minus(1), |_| {});
    assert_eq!(early, Err(refused("unlock institution key offline", 0x6985)));
    // What the terminal says of the time is not kept: a wrong clock does not shut the platform out.
    arm(&mut terminal, &PHYSICIAN, NOW.plus(u64::from(u32::MAX)), |_| {}).unwrap();
    assert_eq!(terminal.secure_element.persistent_state().time_floor(), NOW);
    terminal.unlock(|_| {}).unwrap();
}

#[test]
fn strangers_and_wrong_signatures_do_not_arm() {
    let mut terminal = prepared();
    let stranger = arm(&mut terminal, &COLLEAGUE, LATER, |_| {});
    assert_eq!(stranger, Err(refused("name physician's key", 0x6A88)));
    for _ in 0..5 {
        let wrong = arm(&mut terminal, &PHYSICIAN, LATER, |signature| signature[9] ^= 1);
        assert_eq!(wrong, Err(refused("unlock institution key offline", 0x6300)));
        assert_eq!(send(&mut terminal.secure_element, &begin(LATER)).1, 0x6985);
    }
    let blocked = arm(&mut terminal, &PHYSICIAN, LATER, |_| {});
    assert_eq!(blocked, Err(refused("unlock institution key offline", 0x6984)));
    terminal.secure_element.power_off();
    terminal.secure_element.power_on();
    arm(&mut terminal, &PHYSICIAN, LATER, |_| {}).unwrap();
}

#[test]
fn without_the_platforms_terms_nobody_arms() {
    // A list out of nowhere cannot come in while locked, and no list means nobody.
    let mut terminal = Terminal::locked(&AUTHORITY);
    assert_eq!(send(&mut terminal.secure_element, &select()).1, 0x9000);
    let command = put(&list(1, &[&PHYSICIAN]), &terminal.platform);
    assert_eq!(send(&mut terminal.secure_element, &command).1, 0x6982);
    assert_eq!(arm(&mut terminal, &PHYSICIAN, LATER, |_| {}), Err(refused("name physician's key", 0x6A88)));
}

#[test]
fn lists_come_from_the_platform_and_only_get_newer() {
    let mut terminal = prepared();
    let other_platform = Platform::new();
    let put_list = |terminal: &mut Terminal, list: &PhysicianList| {
        let command = put(list, &terminal.platform);
        send(&mut terminal.secure_element, &command).1
    };
    // Armed by a physician, nobody may say who else is one.
    arm(&mut terminal, &PHYSICIAN, LATER, |_| {}).unwrap();
    assert_eq!(put_list(&mut terminal, &list(2, &[&COLLEAGUE])), 0x6982);
    terminal.unlock(|_| {}).unwrap();
    let forged = put(&list(2, &[&COLLEAGUE]), &other_platform);
    assert_eq!(send(&mut terminal.secure_element, &forged).1, 0x6300);
    let elsewhere = PhysicianList::new(SecureElementId([9; 8]), 2, vec![COLLEAGUE.public()]).unwrap();
    assert_eq!(put_list(&mut terminal, &elsewhere), 0x6300);
    assert_eq!(put_list(&mut terminal, &list(1, &[&COLLEAGUE])), 0x6985, "not newer");
    let cut = CommandBuilder::new(0x80, 0xDA, 0x01, 0x20).data(&[0x53, 0]).encode().unwrap();
    assert_eq!(send(&mut terminal.secure_element, &cut).1, 0x6A80);

    // Leaving somebody out is how a lost HPKI card stops working here; and it stays out after a power cut.
    assert_eq!(put_list(&mut terminal, &list(2, &[&COLLEAGUE])), 0x9000);
    let kept = PersistentState::from_bytes(&terminal.secure_element.persistent_state().to_bytes()).unwrap();
    let image = secure_element_image(&AUTHORITY, &terminal.platform);
    terminal.secure_element = powered(SecureElement::new(image, kept));
    let gone = arm(&mut terminal, &PHYSICIAN, LATER, |_| {});
    assert_eq!(gone, Err(refused("name physician's key", 0x6A88)));
    arm(&mut terminal, &COLLEAGUE, LATER, |_| {}).unwrap();
    assert_eq!(touch(&mut terminal, LATER), Ok(TouchMode::Offline));
}
