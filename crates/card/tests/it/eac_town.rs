//! The town of profile `eac`: two roots, an accredited body, a terminal, cards of a batch.

use crate::town::{adult_holder, powered};
use card::EmulatedCard;
use card::apdu::StatusWord;
use card::eac::card_side::BatchMaterial;
use card::eac::cvc::{
    Authorisation, ChainKind, Cvc, CvcBody, CvcDate, HolderReference, KeyPurpose, Rights, Role,
    TerminalChain, TrustAnchor, issue,
};
use card::eac::p256::{P256SigningKey, generate_pkcs8};
use card::eac::terminal_side::{EacChannel, EacDialogue, EacError, EacProgress, EacTerminal};
use card::my_number_card::MyNumberCard;
use card::secure_element::EacInstitution;
use protocol::entropy::Seeded;
use std::sync::LazyLock;

/// Who stands behind one touch: two roots, an accredited body, a terminal.
pub(crate) struct EacTown {
    terminal_root: (P256SigningKey, Cvc),
    card_issuer: (P256SigningKey, Cvc),
    body_key: P256SigningKey,
    pub(crate) terminal: EacTerminal,
    pub(crate) terminal_key: P256SigningKey,
}

/// A day of the years 2000 to 2099.
pub(crate) fn day(year: u8, month: u8, day: u8) -> CvcDate {
    CvcDate::new(year, month, day).unwrap()
}

fn certified(
    name: &str,
    place: Authorisation,
    key: &P256SigningKey,
    purpose: KeyPurpose,
    above: Option<&(P256SigningKey, Cvc)>,
) -> Cvc {
    let holder = HolderReference::ours(name, 1).unwrap();
    let body = CvcBody {
        authority: above.map_or(holder, |(_, certificate)| certificate.body().holder),
        holder,
        purpose,
        key: key.public_key(),
        authorisation: place,
        effective: if name == "DESK" { day(27, 1, 14) } else { day(27, 1, 10) },
        expiration: if name == "DESK" { day(27, 2, 10) } else { day(27, 12, 31) },
    };
    issue(above.map_or(key, |(key, _)| key), body).unwrap()
}

fn new_key() -> P256SigningKey {
    P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap()
}

/// The town of the tests that need only one.
pub(crate) static EAC: LazyLock<EacTown> = LazyLock::new(EacTown::new);

/// First and last day of a terminal's certificate.
pub(crate) type Days = (CvcDate, CvcDate);

impl EacTown {
    /// What a Secure Element of this town gets.
    pub(crate) fn institution(&self) -> EacInstitution {
        EacInstitution {
            key: P256SigningKey::from_pkcs8(&self.terminal_key.pkcs8_der().unwrap()).unwrap(),
            chain: self.terminal.chain.clone(),
            terminal_root: TrustAnchor::new(self.terminal_root.1.clone()).unwrap(),
            card_issuer: TrustAnchor::new(self.card_issuer.1.clone()).unwrap(),
        }
    }

    /// Another chain for a key, of these days and rights.
    pub(crate) fn chain_for(&self, key: &P256SigningKey, days: Days, rights: Rights) -> TerminalChain {
        let body = self.terminal.chain.certificate(0).unwrap();
        let certificate = CvcBody {
            authority: body.body().holder,
            holder: HolderReference::ours("DESK", 2).unwrap(),
            purpose: KeyPurpose::Signature,
            key: key.public_key(),
            authorisation: Authorisation { chain: ChainKind::Terminal, role: Role::Holder, rights },
            effective: days.0,
            expiration: days.1,
        };
        let terminal = issue(&self.body_key, certificate).unwrap();
        TerminalChain::new(Vec::new(), body.clone(), terminal).unwrap()
    }

    pub(crate) fn new() -> Self {
        let place = |chain, role| Authorisation { chain, role, rights: Rights::ALL };
        let root = |chain, name| {
            let key = new_key();
            let certificate = certified(name, place(chain, Role::Cvca), &key, KeyPurpose::Signature, None);
            (key, certificate)
        };
        let terminal_root = root(ChainKind::Terminal, "ROOT");
        let card_issuer = root(ChainKind::CardIssuer, "ISSUER");
        let (body_key, terminal_key) = (new_key(), new_key());
        let body_place = place(ChainKind::Terminal, Role::DocumentVerifierDomestic);
        let body = certified("BODY", body_place, &body_key, KeyPurpose::Signature, Some(&terminal_root));
        let body = (body_key, body);
        let terminal_place = place(ChainKind::Terminal, Role::Holder);
        let terminal = certified("DESK", terminal_place, &terminal_key, KeyPurpose::Signature, Some(&body));
        let terminal = EacTerminal {
            chain: TerminalChain::new(Vec::new(), body.1, terminal).unwrap(),
            card_issuers: vec![TrustAnchor::new(card_issuer.1.clone()).unwrap()],
            today: day(27, 1, 15),
        };
        Self { terminal_root, card_issuer, body_key: body.0, terminal, terminal_key }
    }

    /// A new batch of cards.
    pub(crate) fn batch(&self) -> BatchMaterial {
        let pkcs8 = generate_pkcs8().unwrap();
        let key = P256SigningKey::from_pkcs8(&pkcs8).unwrap();
        let place = Authorisation { chain: ChainKind::CardIssuer, role: Role::Holder, rights: Rights::NONE };
        let certificate =
            certified("BATCH", place, &key, KeyPurpose::ChipAuthentication, Some(&self.card_issuer));
        let anchor = TrustAnchor::new(self.terminal_root.1.clone()).unwrap();
        BatchMaterial::new(&pkcs8, &certificate, &anchor).unwrap()
    }

    /// An adult's card of a new batch, with power.
    pub(crate) fn card(&self) -> MyNumberCard {
        powered(MyNumberCard::new(adult_holder().of_batch(self.batch()).image().unwrap()))
    }

    /// The whole dialogue.
    pub(crate) fn touch(&self, patient: &mut dyn EmulatedCard) -> Result<EacChannel, EacError> {
        let mut entropy = Seeded::new(7);
        let mut progress = EacDialogue::start(&self.terminal, &self.terminal_key)?;
        loop {
            match progress {
                EacProgress::Done(channel) => return Ok(channel),
                EacProgress::Send { command, dialogue, .. } => {
                    let response = patient.transmit(&command, &mut entropy);
                    progress = dialogue.step(&response, &self.terminal, &self.terminal_key, &mut entropy)?;
                }
            }
        }
    }
}

/// One command through the channel.
pub(crate) fn through(
    channel: EacChannel,
    patient: &mut MyNumberCard,
    command: &[u8],
) -> (Vec<u8>, StatusWord, EacChannel) {
    let (wrapped, awaited) = channel.wrap(command).unwrap();
    let (data, status, channel) = awaited.unwrap(&patient.transmit(&wrapped, &mut Seeded::new(8))).unwrap();
    (data.to_vec(), status, channel)
}
