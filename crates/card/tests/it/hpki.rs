//! The HPKI card: what the guideline's sequences, programs for issued cards and our own dialogue send.

use crate::town::{certificate, hex, send, status};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use card::EmulatedCard;
use card::cos::{Card, PersistentState};
use card::dialogue::hpki_sign::{HpkiSign, HpkiSignature, Progress};
use card::dialogue::{DialogueError, Exchange, Misbehaviour};
use card::hpki_card::{
    Discovery, HpkiApplication, HpkiCard, HpkiFunction, HpkiPersonalisation, HpkiPin, PinTries,
    layout_with_tries,
};
use card::image::CardImage;
use card::pkcs15::{
    self, AuthenticationObject, CertificateObject, CiaInfo, ObjectDirectory, PrivateKeyObject,
};
use card::rsa_key::CardRsaKey;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::entropy::{Entropy, Seeded};
use std::sync::{Arc, LazyLock};

use HpkiApplication::{Authentication, Signature};

const PIN: &str = "hpki-4567";
const SIGN_PIN: &str = "8901";

static AUTH_KEY: LazyLock<Vec<u8>> = LazyLock::new(new_key);
static SIGN_KEY: LazyLock<Vec<u8>> = LazyLock::new(new_key);
static BY_NAME: LazyLock<Arc<CardImage>> =
    LazyLock::new(|| Arc::new(doctor(Discovery::ByName).image().unwrap()));
static EF_DIR: LazyLock<Arc<CardImage>> =
    LazyLock::new(|| Arc::new(doctor(Discovery::EfDir).image().unwrap()));

fn new_key() -> Vec<u8> {
    CardRsaKey::generate().unwrap().pkcs8_der().unwrap().to_vec()
}

fn key(application: HpkiApplication) -> CardRsaKey {
    CardRsaKey::from_pkcs8(match application {
        Signature => &SIGN_KEY,
        Authentication => &AUTH_KEY,
    })
    .unwrap()
}

fn function(application: HpkiApplication, pin: &str) -> HpkiFunction {
    let private_key = key(application);
    HpkiFunction {
        end_entity_der: whole_chunks(&private_key),
        issuer_der: certificate(&private_key, &[0x22; 400]),
        root_der: certificate(&private_key, &[0x33; 300]),
        private_key,
        pin: HpkiPin::parse(pin).unwrap(),
    }
}

/// 1,280 octets: who reads in chunks of 256 cannot see from a chunk's length that it was the last.
fn whole_chunks(private_key: &CardRsaKey) -> Vec<u8> {
    let shorter = certificate(private_key, &[0x11; 500]).len();
    let der = certificate(private_key, &vec![0x11; 500 + 1_280 - shorter]);
    assert_eq!(der.len(), 1_280);
    der
}

pub(crate) fn doctor(discovery: Discovery) -> HpkiPersonalisation {
    let (signature, authentication) = (function(Signature, SIGN_PIN), function(Authentication, PIN));
    HpkiPersonalisation { signature, authentication, discovery }
}

fn powered(mut card: HpkiCard) -> HpkiCard {
    card.power_on();
    card
}

fn by_name() -> HpkiCard {
    powered(HpkiCard::new(Arc::clone(&BY_NAME)))
}

fn holds(application: HpkiApplication, how: &'static dyn VerificationAlgorithm, signature: &[u8]) -> bool {
    UnparsedPublicKey::new(how, key(application).spki_der()).verify(b"message", signature).is_ok()
}

fn digest_info() -> Vec<u8> {
    [hex("3031300D060960864801650304020105000420"), digest(&SHA256, b"message").as_ref().to_vec()].concat()
}

/// A block of type 1, as a program pads it outside the card.
fn block() -> Vec<u8> {
    let info = digest_info();
    [vec![0, 1], vec![0xFF; 256 - 3 - info.len()], vec![0], info].concat()
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

fn verify(reference: u8, pin: &str) -> String {
    format!("002000{reference:02X}{:02X}{}", pin.len(), hexadecimal(pin.as_bytes()))
}

/// `00 2A 9E 9A` with extended length over a block.
fn pso(block: &[u8]) -> Vec<u8> {
    [hex("002A9E9A"), vec![0, 1, 0], block.to_vec(), vec![0, 0]].concat()
}

fn select(application: HpkiApplication) -> String {
    format!("00A4040010{}00", hexadecimal(&application.aid()))
}

/// Everything from the current file on in chunks of 256.
fn read(card: &mut HpkiCard, first: &str) -> Vec<u8> {
    let (mut file, word) = send(card, &hex(first));
    assert_eq!(word, 0x9000, "{first}");
    while file.len() % 256 == 0 {
        let [high, low] = u16::try_from(file.len()).unwrap().to_be_bytes();
        let (more, word) = send(card, &[0x00, 0xB0, high, low, 0x00]);
        assert!(word == 0x9000 || more.is_empty(), "{word:04X}");
        if more.is_empty() {
            break;
        }
        file.extend(more);
    }
    file
}

/// JAHIS 24-002 A.2.2, A.3: byte for byte.
#[test]
fn the_sequences_of_the_guideline() {
    let mut card = by_name();
    // By the provider identifier one application after the other.
    let (fci, word) = send(&mut card, &hex("00A4040005 E828BD080F 00"));
    assert_eq!((hexadecimal(&fci).as_str(), word), ("6F128410E828BD080FA000000391000000000001", 0x9000));
    let (fci, word) = send(&mut card, &hex("00A4040205 E828BD080F 00"));
    assert_eq!((hexadecimal(&fci).as_str(), word), ("6F128410E828BD080FA000000391000000000002", 0x9000));
    assert_eq!(status(&mut card, "00A4040205 E828BD080F 00"), 0x6A82);

    for application in HpkiApplication::ALL {
        let expected = doctor(Discovery::ByName);
        let expected = match application {
            Signature => expected.signature,
            Authentication => expected.authentication,
        };
        assert_eq!(status(&mut card, &select(application)), 0x9000);
        let information = read(&mut card, "00B0920000");
        assert_eq!(CiaInfo::parse(&information).unwrap().label, Some("HPKI Application"));
        let directory = read(&mut card, "00B0910000");
        assert_eq!(hexadecimal(&directory), "A8053003040198A00530030401A0A40530030401A8");
        for short in ["93", "94", "95"] {
            assert!(!read(&mut card, &format!("00B0{short}0000")).is_empty());
        }
        for (short, der) in
            [("98", &expected.end_entity_der), ("99", &expected.root_der), ("9A", &expected.issuer_der)]
        {
            assert_eq!(read(&mut card, &format!("00B0{short}0000")), *der);
            // And in one with extended Le.
            let (whole, word) = send(&mut card, &hex(&format!("00B0{short}00000000")));
            assert_eq!((whole.len(), word), (der.len(), 0x9000));
        }
        // PIN and key are no files to read; a second sub-authority there is not.
        assert_eq!(status(&mut card, "00B0960000"), 0x6981);
        assert_eq!(status(&mut card, "00B0970000"), 0x6981);
        assert_eq!(status(&mut card, "00B09B0000"), 0x6A82);

        let pin = if application == Signature { SIGN_PIN } else { PIN };
        assert_eq!(status(&mut card, &verify(0x96, pin)), 0x9000);
        assert_eq!(status(&mut card, "002241B604 81020017"), 0x9000);
        let (signature, word) = send(&mut card, &pso(&block()));
        assert_eq!(word, 0x9000);
        assert!(holds(application, &RSA_PKCS1_2048_8192_SHA256, &signature));
        assert_eq!(card.signatures(application), 1);
    }
}

#[test]
fn a_signature_takes_a_pin_and_an_authentication_does_not() {
    let mut card = by_name();
    for (application, pin, second) in [(Signature, SIGN_PIN, 0x6982), (Authentication, PIN, 0x9000)] {
        assert_eq!(status(&mut card, &select(application)), 0x9000);
        assert_eq!(status(&mut card, "002241B604 81020017"), 0x9000);
        assert_eq!(send(&mut card, &pso(&block())).1, 0x6982, "no PIN yet");
        assert_eq!(status(&mut card, &verify(0x96, pin)), 0x9000);
        assert_eq!(send(&mut card, &pso(&block())).1, 0x9000);
        assert_eq!(send(&mut card, &pso(&block())).1, second);
        // The other name of the key does not make a second signature of one PIN.
        assert_eq!(status(&mut card, "002241B604 8402000C"), 0x9000);
        assert_eq!(send(&mut card, &pso(&block())).1, second);
        assert_eq!(status(&mut card, "00A4020C02 000C"), 0x9000);
        let of_the_card = [hex("802A008033"), digest_info(), vec![0]].concat();
        assert_eq!(send(&mut card, &of_the_card).1, second);
        assert_eq!(status(&mut card, &verify(0x96, pin)), 0x9000);
        assert_eq!(send(&mut card, &of_the_card).1, 0x9000);
    }
    assert_eq!((card.signatures(Signature), card.signatures(Authentication)), (2, 5));
    // Leaving the application takes the PIN away, and the choice of the key.
    assert_eq!(status(&mut card, &select(Signature)), 0x9000);
    assert_eq!(status(&mut card, &select(Authentication)), 0x9000);
    assert_eq!(send(&mut card, &pso(&block())).1, 0x6985);
    assert_eq!(status(&mut card, "002241B604 81020017"), 0x9000);
    assert_eq!(send(&mut card, &pso(&block())).1, 0x6982);
}

/// As two public programs for issued cards do it.
#[test]
fn programs_for_issued_cards() {
    let mut card = by_name();
    let expected = doctor(Discovery::ByName);
    assert_eq!(status(&mut card, &select(Authentication)), 0x9000);
    assert_eq!(status(&mut card, "00A4020C02 0016"), 0x9000);
    let (head, word) = send(&mut card, &hex("00B0000004"));
    assert_eq!((head.as_slice(), word), (&expected.authentication.end_entity_der[..4], 0x9000));
    assert_eq!(read(&mut card, "00B0000000"), expected.authentication.end_entity_der);
    assert_eq!(status(&mut card, "00A4020C02 0002"), 0x9000);
    assert_eq!(status(&mut card, "00200088"), 0x63CF, "tries left, by an empty VERIFY");
    // One selects the key, presents the PIN by 88 and sends a DigestInfo with the card's own command.
    assert_eq!(status(&mut card, &verify(0x88, PIN)), 0x9000);
    assert_eq!(status(&mut card, "00A4020C02 000C"), 0x9000);
    let (signature, word) = send(&mut card, &[hex("802A008033"), digest_info(), vec![0]].concat());
    assert_eq!(word, 0x9000);
    assert!(holds(Authentication, &RSA_PKCS1_2048_8192_SHA256, &signature));
    // The other chooses the key by `84` before it presents the PIN, and pads outside.
    assert_eq!(status(&mut card, &select(Signature)), 0x9000);
    for command in ["00A4020C02 0002", "00A4020C02 000C", "002241B604 8402000C", &verify(0x88, SIGN_PIN)] {
        assert_eq!(status(&mut card, command), 0x9000, "{command}");
    }
    let (signature, word) = send(&mut card, &pso(&block()));
    assert_eq!(word, 0x9000);
    assert!(holds(Signature, &RSA_PKCS1_2048_8192_SHA256, &signature));
}

/// EMSA-PSS with SHA-256 and a salt of 32 octets, RFC 8017 §9.1.1, as CNG's programs pad outside the card.
fn pss_block() -> [u8; 256] {
    let sha256 = |octets: &[u8]| digest(&SHA256, octets).as_ref().to_vec();
    let salt = [0x5A; 32];
    let hash = sha256(&[&[0; 8][..], &sha256(b"message"), &salt].concat());
    let mut masked = [vec![0; 256 - 32 - 34], vec![1], salt.to_vec()].concat();
    let mask = (0u32..).flat_map(|counter| sha256(&[&hash[..], &counter.to_be_bytes()].concat()));
    masked.iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
    masked[0] &= 0x7F;
    [masked, hash, vec![0xBC]].concat().try_into().unwrap()
}

#[test]
fn padding_is_the_terminals_business() {
    let mut card = by_name();
    for command in [&select(Authentication), &verify(0x96, PIN), "002241B603 840117"] {
        assert_eq!(status(&mut card, command), 0x9000);
    }
    let (signature, word) = send(&mut card, &pso(&pss_block()));
    assert_eq!(word, 0x9000);
    assert!(holds(Authentication, &RSA_PSS_2048_8192_SHA256, &signature));
    // In pieces, where there is no extended length.
    let (first, last) = (&block()[..200], &block()[200..]);
    assert_eq!(send(&mut card, &[hex("102A9E9AC8"), first.to_vec()].concat()), (vec![], 0x9000));
    let (chained, word) = send(&mut card, &[hex("002A9E9A38"), last.to_vec(), vec![0]].concat());
    assert_eq!(word, 0x9000);
    assert!(holds(Authentication, &RSA_PKCS1_2048_8192_SHA256, &chained));
    // A bare DigestInfo is padded here, and then is the same signature.
    let (padded_here, word) = send(&mut card, &[hex("002A9E9A33"), digest_info(), vec![0]].concat());
    assert_eq!((padded_here, word), (chained.clone(), 0x9000));
    // An answer too long for Le comes in parts.
    let (part, word) = send(&mut card, &[hex("002A9E9A33"), digest_info(), vec![0x80]].concat());
    assert_eq!((part.as_slice(), word), (&chained[..128], 0x6180));
    assert_eq!(send(&mut card, &hex("00C0000080")), (chained[128..].to_vec(), 0x9000));
}

#[test]
fn what_cannot_be_signed_or_chosen() {
    let mut card = by_name();
    assert_eq!(status(&mut card, "002241B604 81020017"), 0x6985, "no application");
    assert_eq!(status(&mut card, &select(Authentication)), 0x9000);
    assert_eq!(status(&mut card, &verify(0x96, PIN)), 0x9000);
    assert_eq!(send(&mut card, &pso(&block())).1, 0x6985, "no key chosen");
    for (template, word) in [
        ("", 0x6700),
        ("81020018", 0x6A88),
        ("81020002", 0x6A88),
        ("840118", 0x6A88),
        ("840196", 0x6A88),
        ("8401FF", 0x6A80),
        ("810117", 0x6A80),
        ("8103001700", 0x6A80),
        ("8101", 0x6A80),
        ("800101", 0x6A80),
        ("810200178402000C", 0x6A88),
        ("81020017840197", 0x9000),
        ("81020017", 0x9000),
        ("8402000C", 0x9000),
        ("84010C", 0x9000),
    ] {
        let length = if template.is_empty() { String::new() } else { format!("{:02X}", template.len() / 2) };
        assert_eq!(status(&mut card, &format!("002241B6{length}{template}")), word, "{template}");
        let (_, signed) = send(&mut card, &pso(&block()));
        assert_eq!(signed, if word == 0x9000 { 0x9000 } else { 0x6985 }, "{template}");
    }
    // Other environments and operations: none here.
    for (command, word) in [
        ("002241A403 840117", 0x6A86),
        ("002281B603 840117", 0x6A86),
        ("002A9E9B33", 0x6A86),
        ("002A80860100", 0x6A86),
        ("0088000004 01020304", 0x6D00),
        ("0046000000", 0x6D00),
    ] {
        assert_eq!(status(&mut card, command), word, "{command}");
    }
    let uses = card.signatures(Authentication);
    for (length, word) in [(0, 0x6700), (246, 0x6A80), (255, 0x6A80), (257, 0x6700)] {
        let mut command = hex("002A9E9A");
        if length > 0 {
            let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
            command.extend([0, high, low]);
            command.extend(vec![1; length]);
        }
        command.extend(if length > 0 { vec![0, 0] } else { vec![0] });
        assert_eq!(send(&mut card, &command).1, word, "{length}");
    }
    assert_eq!(card.signatures(Authentication), uses);
    assert_eq!(send(&mut card, &pso(&[0xFF; 256])).1, 0x6A80, "not below the modulus");
}

#[test]
fn wrong_pins_block_each_application_for_itself() {
    let mut card = by_name();
    assert_eq!(status(&mut card, &select(Authentication)), 0x9000);
    for left in (0..15).rev() {
        assert_eq!(status(&mut card, &verify(0x96, "wrong")), 0x63C0 | left);
    }
    assert_eq!(status(&mut card, &verify(0x96, PIN)), 0x6984);
    assert_eq!(status(&mut card, &verify(0x88, PIN)), 0x6984);
    assert_eq!(card.pin_tries_left(Authentication), 0);
    // A power cut undoes nothing.
    let kept = PersistentState::from_bytes(&card.persistent_state().to_bytes()).unwrap();
    let mut card = powered(HpkiCard::resume(Arc::clone(&BY_NAME), kept).unwrap());
    assert_eq!(status(&mut card, &select(Authentication)), 0x9000);
    assert_eq!(status(&mut card, &verify(0x96, PIN)), 0x6984);
    assert_eq!(card.pin_tries_left(Signature), 15);
    assert_eq!(status(&mut card, &select(Signature)), 0x9000);
    assert_eq!(status(&mut card, &verify(0x96, SIGN_PIN)), 0x9000);

    let layout = layout_with_tries(PinTries::new(3).unwrap()).unwrap();
    let contents = doctor(Discovery::ByName).contents().unwrap();
    let mut card = powered(HpkiCard::new(CardImage::new(&layout, &contents).unwrap()));
    assert_eq!(status(&mut card, &select(Signature)), 0x9000);
    for word in [0x63C2, 0x63C1, 0x63C0, 0x6984] {
        assert_eq!(status(&mut card, &verify(0x96, "wrong")), word);
    }
}

#[test]
fn a_pin_is_changed_behind_itself() {
    let mut card = by_name();
    let change = "0024018004 31323334";
    for (command, word) in [
        (select(Signature).as_str(), 0x9000),
        ("00A4020C02 0002", 0x9000),
        (change, 0x6982),
        (&verify(0x80, SIGN_PIN), 0x9000),
        ("0024018003 313233", 0x6A80),
        (change, 0x9000),
        (&verify(0x96, SIGN_PIN), 0x63CE),
        (&verify(0x96, "1234"), 0x9000),
    ] {
        assert_eq!(status(&mut card, command), word, "{command}");
    }
}

/// What a program does that looks for applications: with EF.DIR it finds them, without it does not.
#[test]
fn ef_dir_is_a_switch() {
    let mut card = by_name();
    for (command, word) in [
        ("00A4000002 3F00 00", 0x9000),
        ("00A4080002 2F00 00", 0x6A82),
        ("00A4080002 5015 00", 0x6A82),
        ("00A4080004 50155031 00", 0x6A82),
        ("00A4080003 501550 00", 0x6700),
    ] {
        assert_eq!(status(&mut card, command), word, "{command}");
    }
    let mut card = powered(HpkiCard::new(Arc::clone(&EF_DIR)));
    let (control, word) = send(&mut card, &hex("00A4000002 3F00 00"));
    assert_eq!((hexadecimal(&control).as_str(), word), ("6F0782013883023F00", 0x9000));
    assert_eq!(status(&mut card, "00B0000000"), 0x6986, "the master file is no file to read");
    let (control, word) = send(&mut card, &hex("00A4080002 2F00 00"));
    assert_eq!(word, 0x9000);
    let directory = read(&mut card, "00B0000000");
    let [high, low] = u16::try_from(directory.len()).unwrap().to_be_bytes();
    assert_eq!(hexadecimal(&control), format!("6F0B8002{high:02X}{low:02X}82010183022F00"));
    let found: Vec<_> = pkcs15::entries::<pkcs15::ApplicationTemplate<'_>>(&directory)
        .map(|template| template.unwrap().aid.to_vec())
        .collect();
    assert_eq!(found, [Authentication.aid(), Signature.aid()]);
    // From the application by identifier, relative path, and what the standard has for an EF.
    assert_eq!(status(&mut card, &select(Signature)), 0x9000);
    assert_eq!(status(&mut card, &verify(0x96, SIGN_PIN)), 0x9000);
    for command in ["00A4090002 5031 00", "00A4000002 5031 00", "00A4020002 5031 00", "00A4090C02 5031"] {
        assert_eq!(status(&mut card, command), 0x9000, "{command}");
        let kinds: Vec<_> = pkcs15::entries::<ObjectDirectory<'_>>(&read(&mut card, "00B0000000"))
            .map(|entry| entry.unwrap().kind)
            .collect();
        assert_eq!(kinds.len(), 3);
    }
    assert_eq!(status(&mut card, "00A4090002 2F00 00"), 0x6A82);
    assert_eq!(status(&mut card, "00A4090802 5031 00"), 0x6A86);
    // Up to the master file: what the PIN opened is shut.
    assert_eq!(status(&mut card, "00A4080C02 2F00"), 0x9000);
    assert_eq!(status(&mut card, &verify(0x96, SIGN_PIN)), 0x6985);
    assert_eq!(status(&mut card, &select(Signature)), 0x9000);
    assert_eq!(status(&mut card, "002241B603 840117"), 0x9000);
    assert_eq!(send(&mut card, &pso(&block())).1, 0x6982);
}

#[test]
fn the_information_files_say_what_the_card_does() {
    for discovery in [Discovery::ByName, Discovery::EfDir] {
        let contents = doctor(discovery).contents().unwrap();
        for (prefix, consent) in [("sign", Some(1)), ("auth", None)] {
            let file = |slot: &str| contents.get(&format!("{prefix}.{slot}")).unwrap();
            let pins: Vec<_> =
                pkcs15::entries::<AuthenticationObject<'_>>(file("authentication-objects")).collect();
            let [Ok(AuthenticationObject::Password(pin))] = pins[..] else { panic!("{pins:?}") };
            assert_eq!((pin.reference, pin.min_length, pin.max_length), (0x96, 4, Some(16)));
            let keys: Vec<_> = pkcs15::entries::<PrivateKeyObject<'_>>(file("private-keys")).collect();
            let [Ok(PrivateKeyObject::Rsa(key))] = keys[..] else { panic!("{keys:?}") };
            assert_eq!((key.common.auth_id, key.common.user_consent), (pin.auth_id, consent));
            let certificates: Vec<_> =
                pkcs15::entries::<CertificateObject<'_>>(file("certificates")).collect();
            let [Ok(CertificateObject::X509(holder)), Ok(_), Ok(_)] = certificates[..] else {
                panic!("{certificates:?}")
            };
            assert_eq!((holder.id, holder.is_authority), (key.id, false));
        }
        assert_eq!(contents.get("directory").is_some(), discovery == Discovery::EfDir);
    }
}

fn sign_with(
    card: &mut dyn EmulatedCard,
    application: HpkiApplication,
    pin: &str,
) -> Result<(HpkiSignature, Vec<Exchange>), DialogueError> {
    let sha256: [u8; 32] = digest(&SHA256, b"message").as_ref().try_into().unwrap();
    let start = HpkiSign::start(application, HpkiPin::parse(pin).unwrap(), sha256)?;
    let (mut exchange, mut dialogue) = start;
    let mut sent = Vec::new();
    loop {
        assert!(!format!("{exchange:?}{dialogue:?}").contains(pin));
        let response = card.transmit(&exchange.command, &mut Seeded::new(1));
        sent.push(exchange);
        match dialogue.step(&response)? {
            Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            Progress::Done(signature) => return Ok((*signature, sent)),
        }
    }
}

#[test]
fn the_terminal_signs_with_either_application_however_it_is_found() {
    for image in [&BY_NAME, &EF_DIR] {
        let mut card = powered(HpkiCard::new(Arc::clone(image)));
        let expected = doctor(Discovery::ByName);
        for (application, pin, certificate) in [
            (Authentication, PIN, &expected.authentication.end_entity_der),
            (Signature, SIGN_PIN, &expected.signature.end_entity_der),
            (Signature, SIGN_PIN, &expected.signature.end_entity_der),
        ] {
            let (signed, sent) = sign_with(&mut card, application, pin).unwrap();
            assert!(holds(application, &RSA_PKCS1_2048_8192_SHA256, &signed.signature));
            assert_eq!(signed.certificate_der, *certificate);
            assert_eq!(format!("{signed:?}"), "HpkiSignature(…)");
            let last = sent.last().unwrap();
            assert_eq!((last.step, last.command.len()), ("compute digital signature", 7 + 256 + 2));
        }
        assert_eq!((card.signatures(Authentication), card.signatures(Signature)), (1, 2));
    }
}

#[test]
fn a_wrong_pin_is_named_with_the_tries_left_and_then_as_blocked() {
    let mut card = by_name();
    let wrong = |card: &mut HpkiCard| sign_with(card, Authentication, "wrong").unwrap_err();
    for tries_left in (1..15).rev() {
        assert_eq!(wrong(&mut card), DialogueError::SecretWrong { tries_left });
    }
    assert_eq!(wrong(&mut card), DialogueError::SecretBlocked);
    assert_eq!(sign_with(&mut card, Authentication, PIN).unwrap_err(), DialogueError::SecretBlocked);
    assert_eq!(card.signatures(Authentication), 0);
    assert_eq!(
        sign_with(&mut crate::town::adult(), Authentication, PIN).unwrap_err(),
        DialogueError::NotAnHpkiCard
    );
    card.power_off();
    let gone =
        DialogueError::CardMisbehaved { step: "select HPKI application", what: Misbehaviour::NoStatusWord };
    assert_eq!(sign_with(&mut card, Authentication, PIN).unwrap_err(), gone);
}

/// A card before which something answers first.
struct Fronted<F>(HpkiCard, F);

impl<F: FnMut(&[u8]) -> Option<Vec<u8>> + Send> EmulatedCard for Fronted<F> {
    fn atr(&self) -> &[u8] {
        self.0.atr()
    }
    fn power_on(&mut self) {}
    fn power_off(&mut self) {}
    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        (self.1)(command).unwrap_or_else(|| self.0.transmit(command, entropy))
    }
}

#[test]
fn cards_that_can_do_less_are_signed_with_all_the_same() {
    let no_extended_length =
        |command: &[u8]| (command[4] == 0 && command.len() > 5).then(|| vec![0x67, 0x00]);
    let mut card = Fronted(by_name(), no_extended_length);
    let (signed, sent) = sign_with(&mut card, Signature, SIGN_PIN).unwrap();
    assert!(holds(Signature, &RSA_PKCS1_2048_8192_SHA256, &signed.signature));
    let pieces: Vec<usize> = sent.iter().rev().take(3).map(|exchange| exchange.command.len()).collect();
    assert_eq!(pieces, [5 + 128 + 1, 5 + 128, 7 + 256 + 2]);
    assert_eq!(card.0.signatures(Signature), 1);

    let no_file_reference =
        |command: &[u8]| (command[1] == 0x22 && command[5] == 0x81).then(|| vec![0x6A, 0x80]);
    let mut card = Fronted(by_name(), no_file_reference);
    let (_, sent) = sign_with(&mut card, Authentication, PIN).unwrap();
    assert!(sent.iter().any(|exchange| exchange.command == hex("002241B604 84020017")));

    // The guideline's other word for a blocked PIN.
    let blocked = |command: &[u8]| (command[1] == 0x20).then(|| vec![0x69, 0x83]);
    let mut card = Fronted(by_name(), blocked);
    assert_eq!(sign_with(&mut card, Signature, SIGN_PIN).unwrap_err(), DialogueError::SecretBlocked);
}

#[test]
fn a_card_that_lies_about_its_files_gets_no_pin() {
    let lies: [(&str, &str); 8] = [
        ("00B0910000", ""),
        ("00B0910000", "A805300304019F"),
        ("00B0910000", "A8053003040198"),
        ("00B0940000", "3000"),
        ("00B0930000", "A000"),
        ("00B0950000", "3014300430024545"),
        ("00B0980000", "0400"),
        ("00B0980000", "308204FF00"),
    ];
    for (command, file) in lies {
        let mut card = Fronted(by_name(), |sent: &[u8]| {
            assert_ne!(sent[1], 0x20, "{command} {file}");
            (sent == hex(command)).then(|| [hex(file), vec![0x90, 0x00]].concat())
        });
        let error = sign_with(&mut card, Authentication, PIN).unwrap_err();
        assert!(
            matches!(error, DialogueError::CardMisbehaved { what: Misbehaviour::Malformed, .. }),
            "{command} {file}: {error}"
        );
    }
    // A file that never ends.
    let endless = |sent: &[u8]| (sent[1] == 0xB0).then(|| [vec![0x30; 256], vec![0x90, 0x00]].concat());
    let error = sign_with(&mut Fronted(by_name(), endless), Authentication, PIN).unwrap_err();
    assert!(matches!(error, DialogueError::CardMisbehaved { what: Misbehaviour::Length, .. }), "{error}");
}

/// Whatever the order: in the signature application no signature without a PIN of its own, nowhere a
/// signature without any.
#[test]
fn no_order_of_commands_signs_without_a_pin() {
    let block = block();
    let short = [hex("002A9E9A33"), digest_info(), vec![0]].concat();
    let of_the_card = [hex("802A009733"), digest_info(), vec![0]].concat();
    let commands = [
        hex(&select(Signature)),
        hex(&select(Authentication)),
        hex(&verify(0x96, SIGN_PIN)),
        hex(&verify(0x88, SIGN_PIN)),
        hex(&verify(0x96, PIN)),
        hex(&verify(0x96, "wrong")),
        hex("002241B604 81020017"),
        hex("002241B604 8402000C"),
        hex("002241B602 8400"),
        hex("00A4020C02 0017"),
        hex("00A4000C02 3F00"),
        hex("00B0980000"),
        pso(&block),
        short,
        of_the_card,
        hex("00840000 08"),
    ];
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(60) });
    let orders = proptest::collection::vec(0..commands.len(), 1..40);
    runner
        .run(&orders, |order| {
            let mut card = powered(HpkiCard::new(Arc::clone(&EF_DIR)));
            let (mut pins, mut ever) = (0u64, false);
            for place in order {
                let before = card.signatures(Signature);
                let (_, word) = send(&mut card, &commands[place]);
                match place {
                    2 | 3 if word == 0x9000 => (pins, ever) = (pins + 1, true),
                    4 if word == 0x9000 => ever = true,
                    _ => {}
                }
                prop_assert!(card.signatures(Signature) - before <= 1);
                prop_assert!(card.signatures(Signature) <= pins);
                prop_assert!(ever || card.signatures(Authentication) == 0);
            }
            Ok(())
        })
        .unwrap();
}

/// The image runs in the bare operating system too.
#[test]
fn the_card_is_its_image() {
    let mut card = Card::new(Arc::clone(&EF_DIR));
    card.power_on();
    assert_eq!(card.atr()[..2], [0x3B, 0x88]);
    assert_eq!(card.image().card(), "HPKI card");
    assert_eq!(card.transmit(&hex(&select(Signature)), &mut Seeded::new(1))[..2], [0x6F, 0x12]);
}
