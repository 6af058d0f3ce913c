//! The dialogues of tools: recognise, read certificates, sign with a PIN.

use crate::town::{AUTHORITY, PASSWORD, PIN, Terminal, adult, adult_holder, child};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use card::EmulatedCard;
use card::apdu::{CommandApdu, StatusWord};
use card::dialogue::card_status::{self, CardStatus, Presence, ReadStatus, TriesLeft};
use card::dialogue::pin_sign::{self, PinProtected, PinSign};
use card::dialogue::read_certificates::{self, CertificateFile, ReadCertificates};
use card::dialogue::recognise::{self, Recognise, RecognisedCard};
use card::dialogue::{DialogueError, Misbehaviour};
use card::my_number_card::{AuthPin, SignPassword, SignatureCounts};
use protocol::entropy::{Entropy, Seeded};

fn recognise(patient: &mut dyn EmulatedCard) -> Result<RecognisedCard, DialogueError> {
    let (mut exchange, mut dialogue) = Recognise::start();
    loop {
        let response = patient.transmit(&exchange.command, &mut Seeded::new(1));
        match dialogue.step(&response)? {
            recognise::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            recognise::Progress::Done(kind) => return Ok(kind),
        }
    }
}

/// A card that knows one application.
struct OneApplication(&'static [u8]);

impl EmulatedCard for OneApplication {
    fn atr(&self) -> &[u8] {
        &[0x3B, 0]
    }
    fn power_on(&mut self) {}
    fn power_off(&mut self) {}
    fn transmit(&mut self, command: &[u8], _: &mut dyn Entropy) -> Vec<u8> {
        let asked = CommandApdu::parse(command).unwrap().data;
        if self.0.starts_with(asked) { vec![0x90, 0] } else { vec![0x6A, 0x82] }
    }
}

#[test]
fn wrong_cards_are_named() {
    assert_eq!(recognise(&mut adult()), Ok(RecognisedCard::MyNumberCard));
    assert_eq!(recognise(&mut child()), Ok(RecognisedCard::MyNumberCard));
    let hpki = OneApplication(&[0xE8, 0x28, 0xBD, 0x08, 0x0F, 0xA0, 0, 0, 3, 0x91, 0, 0, 0, 0, 0, 2]);
    assert_eq!(recognise(&mut { hpki }), Ok(RecognisedCard::HpkiCard));
    let register = OneApplication(&[0xD3, 0x92, 0x10, 0x00, 0x31, 0x00, 0x01, 0x01, 0x04, 0x01]);
    assert_eq!(recognise(&mut { register }), Ok(RecognisedCard::ResidentRegisterCard));
    assert_eq!(recognise(&mut OneApplication(&[1])), Ok(RecognisedCard::Unknown));
    assert_eq!(recognise(&mut Terminal::locked(&AUTHORITY).secure_element), Ok(RecognisedCard::Unknown));
    let mut gone = adult();
    gone.power_off();
    let error = DialogueError::CardMisbehaved { step: "select JPKI-AP", what: Misbehaviour::NoStatusWord };
    assert_eq!(recognise(&mut gone), Err(error));
}

fn read(
    patient: &mut dyn EmulatedCard,
    wanted: &[CertificateFile],
    password: Option<&str>,
) -> Result<Vec<(CertificateFile, Vec<u8>)>, DialogueError> {
    let password = password.map(|text| SignPassword::parse(text).unwrap());
    let (mut exchange, mut dialogue) = ReadCertificates::start(wanted, password);
    loop {
        let response = patient.transmit(&exchange.command, &mut Seeded::new(1));
        match dialogue.step(&response)? {
            read_certificates::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            read_certificates::Progress::Done(files) => return Ok(files),
        }
    }
}

#[test]
fn certificates_are_read_whole() {
    use CertificateFile::{CardHolderAuth, CardHolderAuthIssuer, DocumentSignature, DocumentSignatureIssuer};
    let image = adult_holder();
    let signature = image.document_signature.unwrap().certified;
    let all = [
        (CardHolderAuth, image.card_holder_auth.end_entity_der),
        (CardHolderAuthIssuer, image.card_holder_auth.issuer_der),
        (DocumentSignature, signature.end_entity_der),
        (DocumentSignatureIssuer, signature.issuer_der),
    ];
    let wanted = [CardHolderAuth, CardHolderAuthIssuer, DocumentSignature, DocumentSignatureIssuer];
    assert_eq!(read(&mut adult(), &wanted, Some(PASSWORD)).unwrap(), all);
    assert_eq!(read(&mut adult(), &[], None).unwrap(), []);
    let shut = DialogueError::CardRefused {
        step: "read signature certificate",
        status_word: StatusWord::SECURITY_STATUS,
    };
    assert_eq!(read(&mut adult(), &wanted, None), Err(shut));
    assert_eq!(
        read(&mut adult(), &wanted, Some("WRONG1")),
        Err(DialogueError::SecretWrong { tries_left: 4 })
    );
    assert_eq!(read(&mut child(), &wanted, Some(PASSWORD)), Err(DialogueError::SecretBlocked));
    assert_eq!(read(&mut OneApplication(&[1]), &wanted, None), Err(DialogueError::WrongCard));
}

fn sign(patient: &mut dyn EmulatedCard, with: PinProtected) -> Result<Vec<u8>, DialogueError> {
    let hash: [u8; 32] = digest(&SHA256, b"message").as_ref().try_into().unwrap();
    let (mut exchange, mut dialogue) = PinSign::start(with, hash);
    loop {
        assert!(!format!("{exchange:?}{dialogue:?}").contains("31323334"));
        let response = patient.transmit(&exchange.command, &mut Seeded::new(1));
        match dialogue.step(&response)? {
            pin_sign::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            pin_sign::Progress::Done(signature) => return Ok(signature),
        }
    }
}

#[test]
fn both_keys_sign_behind_their_secrets() {
    let mut patient = adult();
    let image = adult_holder();
    let pin = |text| PinProtected::CardHolderAuth(AuthPin::parse(text).unwrap());
    let password = |text| PinProtected::DocumentSignature(SignPassword::parse(text).unwrap());
    let holds = |key: &card::rsa_key::CardRsaKey, signature: &[u8]| {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.spki_der())
            .verify(b"message", signature)
            .is_ok()
    };
    let signature = sign(&mut patient, pin(PIN)).unwrap();
    assert!(holds(&image.card_holder_auth.private_key, &signature));
    let signature = sign(&mut patient, password(PASSWORD)).unwrap();
    assert!(holds(&image.document_signature.unwrap().certified.private_key, &signature));
    assert_eq!(sign(&mut patient, pin("9999")), Err(DialogueError::SecretWrong { tries_left: 2 }));
    assert_eq!(sign(&mut patient, pin("9999")), Err(DialogueError::SecretWrong { tries_left: 1 }));
    assert_eq!(sign(&mut patient, pin("9999")), Err(DialogueError::SecretBlocked));
    assert_eq!(sign(&mut patient, pin(PIN)), Err(DialogueError::SecretBlocked));
    assert_eq!(patient.signatures(), SignatureCounts { card_holder_auth: 1, document_signature: 1 });
    assert_eq!(sign(&mut OneApplication(&[1]), pin(PIN)), Err(DialogueError::WrongCard));
}

/// Answers its first command with 6F00, as real cards were seen to do after power-up.
struct Sleepy<C>(C, usize);

impl<C: EmulatedCard> EmulatedCard for Sleepy<C> {
    fn atr(&self) -> &[u8] {
        self.0.atr()
    }
    fn power_on(&mut self) {
        self.0.power_on();
    }
    fn power_off(&mut self) {
        self.0.power_off();
    }
    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        if self.1 == 0 {
            return self.0.transmit(command, entropy);
        }
        self.1 -= 1;
        vec![0x6F, 0x00]
    }
}

#[test]
fn a_card_that_is_not_awake_yet_is_asked_again_once() {
    assert_eq!(recognise(&mut Sleepy(adult(), 1)), Ok(RecognisedCard::MyNumberCard));
    assert_eq!(recognise(&mut Sleepy(adult(), 9)), Ok(RecognisedCard::Unknown), "it never wakes");
}

fn card_status(patient: &mut dyn EmulatedCard) -> Result<CardStatus, DialogueError> {
    let (mut exchange, mut dialogue) = ReadStatus::start();
    loop {
        let response = patient.transmit(&exchange.command, &mut Seeded::new(1));
        match dialogue.step(&response)? {
            card_status::Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            card_status::Progress::Done(status) => return Ok(status),
        }
    }
}

#[test]
fn a_card_tells_its_state_and_loses_no_try() {
    let mut patient = adult();
    let fresh = CardStatus {
        token: "JPKIAPICCTOKEN2".to_owned(),
        card_holder_auth: Presence::There,
        document_signature: Presence::There,
        auth_pin: TriesLeft::Some(3),
        sign_password: TriesLeft::Some(5),
    };
    for _ in 0..5 {
        assert_eq!(card_status(&mut patient).unwrap(), fresh, "asking costs nothing");
    }
    let wrong = || PinProtected::CardHolderAuth(AuthPin::parse("9999").unwrap());
    for (left, allows) in
        [(TriesLeft::Some(2), true), (TriesLeft::Some(1), false), (TriesLeft::Blocked, false)]
    {
        assert!(sign(&mut patient, wrong()).is_err());
        let status = card_status(&mut patient).unwrap();
        assert_eq!((status.auth_pin, status.sign_password), (left, TriesLeft::Some(5)));
        assert_eq!(status.auth_pin.allows_a_mistake(), allows);
    }
    let young = card_status(&mut child()).unwrap();
    assert_eq!((young.card_holder_auth, young.document_signature), (Presence::There, Presence::Absent));
    assert!(!young.sign_password.allows_a_mistake());
    assert_eq!(card_status(&mut OneApplication(&[1])), Err(DialogueError::WrongCard));
    assert!(card_status(&mut Sleepy(adult(), 1)).unwrap_err().to_string().contains("6F00"));
}

#[test]
fn nonsense_for_a_status_is_the_cards_fault() {
    struct Says(Vec<Vec<u8>>);
    impl EmulatedCard for Says {
        fn atr(&self) -> &[u8] {
            &[0x3B, 0]
        }
        fn power_on(&mut self) {}
        fn power_off(&mut self) {}
        fn transmit(&mut self, _: &[u8], _: &mut dyn Entropy) -> Vec<u8> {
            if self.0.is_empty() { Vec::new() } else { self.0.remove(0) }
        }
    }
    let done = || vec![0x90, 0x00];
    let token = |octets: &[u8]| [octets, &[0x90, 0x00]].concat();
    let misbehaved = |answers: Vec<Vec<u8>>| match card_status(&mut Says(answers)) {
        Err(DialogueError::CardMisbehaved { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(misbehaved(vec![]), Misbehaviour::NoStatusWord);
    assert_eq!(misbehaved(vec![done(), token(&[b'A'; 31])]), Misbehaviour::Length);
    assert_eq!(misbehaved(vec![done(), token(&[0; 32])]), Misbehaviour::Malformed);
    // A card that does not say which certificates it has, and has no signature password.
    let quiet =
        vec![done(), token(&[b'A'; 160]), vec![0x6A, 0x82], done(), vec![0x63, 0x00], vec![0x6A, 0x82]];
    let status = card_status(&mut Says(quiet)).unwrap();
    assert_eq!(status.card_holder_auth, Presence::Untold);
    assert_eq!((status.auth_pin, status.sign_password), (TriesLeft::Untold, TriesLeft::NoSecret));
    assert_eq!(status.token, "A".repeat(32));
}
