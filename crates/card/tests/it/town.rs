//! A small town: one terminal authority, one Secure Element, cards. Keys are made anew in every run.

use crate::eac_town::EAC;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use card::EmulatedCard;
use card::cvc::{CvcAuthority, CvcChain, CvcIssuer, CvcPublicKey, KeyReference, issue};
use card::dialogue::institution_auth::{InstitutionAuth, Progress, SealedTouch};
use card::dialogue::power_on::{self, Armed, PowerOn};
use card::dialogue::{DialogueError, Exchange, Party};
use card::image::CardImage;
use card::my_number_card::{
    AuthPin, CertifiedKey, MyNumberCard, Personalisation, SignPassword, SignatureFunction,
};
use card::rsa_key::CardRsaKey;
use card::secure_element::touch_protocol::TouchTerms;
use card::secure_element::{
    self, JicsapInstitution, PersistentState, SecureElement, SecureElementImage, UnlockPublicKey,
};
use card::tlv::{Tag, encode};
use protocol::answer::{AllowedProfiles, CardProfile};
use protocol::entropy::Seeded;
use protocol::ids::{InstitutionCode, SecureElementId, TerminalKeyHash};
use protocol::sealed_evidence::{EvidencePrivateKey, EvidencePublicKey};
use protocol::statement::{FreshnessNonce, NONCE_LEN, Purposes, TouchStatement};
use protocol::time::UnixSeconds;
use protocol::unlock::UnlockPolicy;
use std::sync::LazyLock;

/// The instant of the story.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
/// The PIN of every card here.
pub(crate) const PIN: &str = "1234";
/// The signature password of every card here.
pub(crate) const PASSWORD: &str = "ABC123";
/// Stands in every signature certificate and nowhere else.
pub(crate) const SIGN_MARK: [u8; 24] = [0xA7; 24];

static AUTH_KEY: LazyLock<Vec<u8>> = LazyLock::new(new_pkcs8);
static SIGN_KEY: LazyLock<Vec<u8>> = LazyLock::new(new_pkcs8);

fn new_pkcs8() -> Vec<u8> {
    CardRsaKey::generate().unwrap().pkcs8_der().unwrap().to_vec()
}

/// The least that has the shape of a certificate: RFC 5280 §4.1, with an empty name and no extensions
/// but `filler`, which makes it as long as real ones.
pub(crate) fn certificate(key: &CardRsaKey, filler: &[u8]) -> Vec<u8> {
    let sequence = |parts: &[Vec<u8>]| encode(Tag(0x30), &parts.concat());
    let algorithm = sequence(&[
        encode(Tag(0x06), &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B]),
        encode(Tag(0x05), &[]),
    ]);
    let validity = sequence(&[encode(Tag(0x17), b"260101000000Z"), encode(Tag(0x17), b"310101000000Z")]);
    let body = sequence(&[
        encode(Tag(0xA0), &encode(Tag(0x02), &[2])),
        encode(Tag(0x02), &[0x12, 0x34]),
        algorithm.clone(),
        sequence(&[]),
        validity,
        sequence(&[]),
        key.spki_der().to_vec(),
        encode(Tag(0xA3), filler),
    ]);
    let signature = [&[0][..], &key.sign_sha256(&body).unwrap()[..]].concat();
    sequence(&[body, algorithm, encode(Tag(0x03), &signature)])
}

/// A terminal authority: root, accredited body.
pub(crate) struct Authority {
    pub(crate) root: CvcAuthority,
    pub(crate) body: CvcAuthority,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = |first| {
            CvcAuthority::new(KeyReference::numbered(first, 1).unwrap(), CardRsaKey::generate().unwrap())
        };
        Self { root: authority(7_000_001), body: authority(7_100_002) }
    }

    pub(crate) fn chain_for(&self, terminal: &CardRsaKey) -> CvcChain {
        let reference = KeyReference::numbered(7_200_003, 42).unwrap();
        CvcChain {
            intermediate: issue(&self.root, self.body.public_key().unwrap()).unwrap(),
            leaf: issue(&self.body, CvcPublicKey::of(reference, terminal).unwrap()).unwrap(),
        }
    }
}

pub(crate) static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// What is put on an adult's card.
pub(crate) fn adult_holder() -> Personalisation {
    let auth_key = CardRsaKey::from_pkcs8(&AUTH_KEY).unwrap();
    let sign_key = CardRsaKey::from_pkcs8(&SIGN_KEY).unwrap();
    let marks = SIGN_MARK.repeat(20);
    Personalisation::adult(
        CertifiedKey {
            end_entity_der: certificate(&auth_key, &[0x55; 250]),
            issuer_der: certificate(&auth_key, &[0x66; 400]),
            private_key: auth_key,
        },
        AuthPin::parse(PIN).unwrap(),
        SignatureFunction {
            certified: CertifiedKey {
                end_entity_der: certificate(&sign_key, &marks),
                issuer_der: certificate(&sign_key, &[0x77; 400]),
                private_key: sign_key,
            },
            password: SignPassword::parse(PASSWORD).unwrap(),
        },
        AUTHORITY.root.public_key().unwrap(),
    )
}

/// The image of an adult's card.
pub(crate) fn adult_image() -> CardImage {
    adult_holder().image().unwrap()
}

/// An adult's card with power.
pub(crate) fn adult() -> MyNumberCard {
    powered(MyNumberCard::new(adult_image()))
}

/// A child's card with power.
pub(crate) fn child() -> MyNumberCard {
    let holder = adult_holder();
    let holder = Personalisation::child(holder.card_holder_auth, holder.auth_pin, holder.terminal_root);
    powered(MyNumberCard::new(holder.image().unwrap()))
}

/// Switches on.
pub(crate) fn powered<C: EmulatedCard>(mut emulated: C) -> C {
    emulated.power_on();
    emulated
}

/// The platform's keys: the one that arms, and the one that opens evidence.
pub(crate) struct Platform {
    unlock: EcdsaKeyPair,
    pub(crate) evidence: EvidencePrivateKey,
}

/// What the platform finds under the seal.
pub(crate) struct OpenedTouch {
    pub(crate) statement: TouchStatement,
    pub(crate) profile: CardProfile,
    pub(crate) signature: Vec<u8>,
    pub(crate) auth_certificate: Vec<u8>,
}

impl Platform {
    pub(crate) fn new() -> Self {
        Self {
            unlock: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            evidence: EvidencePrivateKey::draw(&mut Seeded::new(21)).unwrap(),
        }
    }

    /// The same platform a second time.
    pub(crate) fn with_unlock_key_of(other: &Self) -> Self {
        let pkcs8 = other.unlock.to_pkcs8v1().unwrap();
        let unlock = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        Self { unlock, ..Self::new() }
    }

    pub(crate) fn public(&self) -> UnlockPublicKey {
        UnlockPublicKey::from_point(self.unlock.public_key().as_ref()).unwrap()
    }

    pub(crate) fn sign(&self, signed_bytes: &[u8]) -> Vec<u8> {
        self.unlock.sign(&SystemRandom::default(), signed_bytes).unwrap().as_ref().to_vec()
    }

    /// Opens the evidence, as a check does.
    pub(crate) fn open(&self, touch: &SealedTouch) -> OpenedTouch {
        let statement = TouchStatement::parse(touch.statement.as_slice()).unwrap();
        let opening = self.evidence.opening(&touch.evidence_key).unwrap();
        let mut sealed = touch.sealed.clone();
        let evidence = opening.open(&touch.statement, statement.counter, &mut sealed).unwrap();
        OpenedTouch {
            profile: evidence.profile,
            signature: evidence.signature.to_vec(),
            auth_certificate: evidence.auth_certificate.to_vec(),
            statement,
        }
    }
}

/// A terminal: its Secure Element and what it says about itself.
pub(crate) struct Terminal {
    pub(crate) platform: Platform,
    pub(crate) secure_element: SecureElement,
    pub(crate) entropy: Seeded,
}

/// The policy of an ordinary day.
pub(crate) fn policy(
    secure_element: SecureElementId,
    challenge: [u8; 16],
    key: &EvidencePublicKey,
    platform: &Platform,
) -> UnlockPolicy {
    UnlockPolicy {
        secure_element,
        challenge,
        terminal_key_hash: TerminalKeyHash([3; 32]),
        issued_at: NOW,
        not_after: NOW.plus(8 * 3600),
        uses_max: 1_000,
        evidence_key: *platform.evidence.public(),
        secure_element_key_hash: digest(&SHA256, &key.0).as_ref().try_into().unwrap(),
        profiles: AllowedProfiles::ALL,
        touches_per_card_and_day: 1_000,
    }
}

/// A Secure Element whose `jicsap` chain comes from this authority; by `eac` it is of the one town.
pub(crate) fn secure_element_parts(
    authority: &Authority,
    platform: &Platform,
) -> secure_element::Personalisation {
    let key = CardRsaKey::generate().unwrap();
    let chain = authority.chain_for(&key);
    secure_element::Personalisation {
        secure_element: SecureElementId(*b"SE000001"),
        unlock_key: platform.public(),
        jicsap: JicsapInstitution { key, chain },
        eac: EAC.institution(),
    }
}

/// Its image.
pub(crate) fn secure_element_image(authority: &Authority, platform: &Platform) -> SecureElementImage {
    secure_element_parts(authority, platform).image().unwrap()
}

impl Terminal {
    /// With power, locked.
    pub(crate) fn locked(authority: &Authority) -> Self {
        let platform = Platform::new();
        let image = secure_element_image(authority, &platform);
        let secure_element = powered(SecureElement::new(image, PersistentState::factory(NOW.minus(1000))));
        Self { platform, secure_element, entropy: Seeded::new(11) }
    }

    /// Armed for the ordinary day.
    pub(crate) fn armed(authority: &Authority) -> Self {
        let mut terminal = Self::locked(authority);
        terminal.unlock(|_| {}).unwrap();
        terminal
    }

    /// Armed for the ordinary day, and for nothing but profile `jicsap`.
    pub(crate) fn in_the_clear(authority: &Authority) -> Self {
        let mut terminal = Self::locked(authority);
        let jicsap = AllowedProfiles::of(&[CardProfile::Jicsap]).unwrap();
        terminal.unlock(|policy| policy.profiles = jicsap).unwrap();
        terminal
    }

    /// Power-on with the ordinary policy after `bend`.
    pub(crate) fn unlock(&mut self, bend: impl Fn(&mut UnlockPolicy)) -> Result<Armed, DialogueError> {
        let (mut exchange, mut dialogue) = PowerOn::start();
        loop {
            assert_eq!(exchange.to, Party::SecureElement);
            let response = self.secure_element.transmit(&exchange.command, &mut self.entropy);
            (exchange, dialogue) = match dialogue.step(&response)? {
                power_on::Progress::Send(exchange, dialogue) => (exchange, dialogue),
                power_on::Progress::NeedPolicy { secure_element, challenge, evidence_key, resume } => {
                    let mut policy = policy(secure_element, challenge, &evidence_key, &self.platform);
                    bend(&mut policy);
                    resume.resume(&policy.encode(), &self.platform.sign(&policy.signed_bytes()))
                }
                power_on::Progress::Done(armed) => return Ok(armed),
            };
        }
    }

    /// One touch.
    pub(crate) fn touch(&mut self, patient: &mut dyn EmulatedCard) -> Result<SealedTouch, DialogueError> {
        self.touch_watched(patient, input(), |_, _, _| {})
    }

    /// One touch; `watch` sees every exchange and may bend the response, or act on the card before the
    /// next exchange.
    pub(crate) fn touch_watched(
        &mut self,
        patient: &mut dyn EmulatedCard,
        terms: TouchTerms,
        mut watch: impl FnMut(&Exchange, &mut Vec<u8>, &mut dyn EmulatedCard),
    ) -> Result<SealedTouch, DialogueError> {
        let (mut exchange, mut dialogue) = InstitutionAuth::start(terms)?;
        loop {
            let mut response = match exchange.to {
                Party::Card => patient.transmit(&exchange.command, &mut self.entropy),
                Party::SecureElement => self.secure_element.transmit(&exchange.command, &mut self.entropy),
            };
            watch(&exchange, &mut response, patient);
            match dialogue.step(&response)? {
                Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
                Progress::Done(touch) => return Ok(touch),
            }
        }
    }
}

/// What the terminal says in an ordinary touch.
pub(crate) fn input() -> TouchTerms {
    TouchTerms {
        purposes: Purposes::ELIGIBILITY,
        institution: InstitutionCode::parse("1312345678").unwrap(),
        nonce: FreshnessNonce([9; NONCE_LEN]),
        consent_text_hash: digest(&SHA256, "同意します".as_bytes()).as_ref().try_into().unwrap(),
        time: NOW.plus(60),
    }
}

/// Hexadecimal with spaces to bytes.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| u8::try_from(char::from(b).to_digit(16).expect("a hexadecimal digit")).unwrap())
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Sends bytes, gives data and status word.
pub(crate) fn send(emulated: &mut dyn EmulatedCard, command: &[u8]) -> (Vec<u8>, u16) {
    let mut response = emulated.transmit(command, &mut Seeded::new(5));
    let low = response.pop().expect("a status word");
    let high = response.pop().expect("a status word");
    (response, u16::from_be_bytes([high, low]))
}

/// Sends hexadecimal, gives the status word.
pub(crate) fn status(emulated: &mut dyn EmulatedCard, command: &str) -> u16 {
    send(emulated, &hex(command)).1
}

/// Runs the loading of a chain by hand; gives the first status word that is not 9000.
pub(crate) fn load(patient: &mut dyn EmulatedCard, chain: &CvcChain) -> Result<(), u16> {
    for link in [&chain.intermediate, &chain.leaf] {
        for (p1, data) in [(0x06, link.load_body()), (0x00, link.load_signature())] {
            let builder = card::apdu::CommandBuilder::new(0x80, 0xA2, p1, 0xC1).data(&data);
            match send(patient, &builder.encode().unwrap()).1 {
                0x9000 => {}
                refused => return Err(refused),
            }
        }
    }
    Ok(())
}

/// A proof over a challenge by a terminal key, as the Secure Element makes it.
pub(crate) fn proof(key: &dyn CvcIssuer, challenge: &[u8; 16], leaf: &KeyReference) -> Vec<u8> {
    key.sign_body(&card::external_authenticate_bytes(challenge, leaf)).unwrap().to_vec()
}

/// EXTERNAL AUTHENTICATE with this proof.
pub(crate) fn external_authenticate(patient: &mut dyn EmulatedCard, proof: &[u8]) -> u16 {
    let builder = card::apdu::CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(proof);
    send(patient, &builder.encode().unwrap()).1
}
