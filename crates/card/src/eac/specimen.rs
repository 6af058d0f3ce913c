//! Specimen authorities, batches, terminals and a card, for tests. Keys are made anew in every run.

use super::card_side::{BatchMaterial, EacMemory};
use super::cvc::{
    Authorisation, ChainKind, Cvc, CvcBody, CvcDate, HolderReference, KeyPurpose, Rights, Role,
    TerminalChain, TrustAnchor, issue,
};
use super::p256::{P256SigningKey, generate_pkcs8};
use super::terminal_side::EacTerminal;
use crate::cos;
use crate::emulated::EmulatedCard;
use crate::image::{Aid, CardImage, Contents, Layout};
use crate::my_number_card::jpki::JPKI_AID;
use protocol::entropy::Seeded;

/// Hexadecimal digits as octets.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.chars().filter(|digit| !digit.is_whitespace()).collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A day by `YYMMDD`.
pub(crate) fn day(yymmdd: &str) -> CvcDate {
    let digits: Vec<u8> = yymmdd.bytes().map(|digit| digit - b'0').collect();
    CvcDate::parse(&digits).unwrap()
}

/// An authority with its certificate.
pub(crate) struct Party {
    pub(crate) key: P256SigningKey,
    pub(crate) certificate: Cvc,
}

/// Dates of a certificate, `YYMMDD`.
pub(crate) type Days<'a> = (&'a str, &'a str);

fn new_key() -> P256SigningKey {
    P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap()
}

fn body(
    name: &str,
    key: &P256SigningKey,
    authority: &HolderReference,
    chat: Authorisation,
    days: Days<'_>,
) -> CvcBody {
    CvcBody {
        authority: *authority,
        holder: HolderReference::parse(name.as_bytes()).unwrap(),
        purpose: KeyPurpose::Signature,
        key: key.public_key(),
        authorisation: chat,
        effective: day(days.0),
        expiration: day(days.1),
    }
}

impl Party {
    /// A self-signed CVCA.
    pub(crate) fn root(chain: ChainKind, name: &str, days: Days<'_>) -> Self {
        let key = new_key();
        let own = HolderReference::parse(name.as_bytes()).unwrap();
        let chat = Authorisation { chain, role: Role::Cvca, rights: Rights::ALL };
        let certificate = issue(&key, body(name, &key, &own, chat, days)).unwrap();
        Self { key, certificate }
    }

    /// Somebody below, or the next CVCA.
    pub(crate) fn certify(&self, name: &str, role: Role, rights: Rights, days: Days<'_>) -> Self {
        let key = new_key();
        let own = self.certificate.body();
        let chat = Authorisation { chain: own.authorisation.chain, role, rights };
        let certificate = issue(&self.key, body(name, &key, &own.holder, chat, days)).unwrap();
        Self { key, certificate }
    }

    pub(crate) fn anchor(&self) -> TrustAnchor {
        TrustAnchor::new(self.certificate.clone()).unwrap()
    }
}

/// The three parties above a touch, and a card issuer.
pub(crate) struct World {
    pub(crate) root: Party,
    pub(crate) accredited_body: Party,
    pub(crate) terminal: Party,
    pub(crate) card_issuer: Party,
}

/// The day of the story.
pub(crate) const TODAY: &str = "270115";

impl World {
    pub(crate) fn new() -> Self {
        let root = Party::root(ChainKind::Terminal, "ZZROOT00001", ("260101", "351231"));
        let accredited_body =
            root.certify("ZZBODY00001", Role::DocumentVerifierDomestic, Rights::ALL, ("261001", "270930"));
        let terminal = accredited_body.certify(
            "ZZDESK00001",
            Role::Holder,
            Rights::PINLESS_SIGNATURE,
            (TODAY, "270122"),
        );
        let card_issuer = Party::root(ChainKind::CardIssuer, "ZZCARDS00001", ("260101", "451231"));
        Self { root, accredited_body, terminal, card_issuer }
    }

    /// What the terminal brings along.
    pub(crate) fn terminal(&self) -> EacTerminal {
        self.terminal_with(&self.accredited_body, &self.terminal)
    }

    pub(crate) fn terminal_with(&self, accredited_body: &Party, terminal: &Party) -> EacTerminal {
        let chain =
            TerminalChain::new(Vec::new(), accredited_body.certificate.clone(), terminal.certificate.clone())
                .unwrap();
        EacTerminal { chain, card_issuers: vec![self.card_issuer.anchor()], today: day(TODAY) }
    }

    pub(crate) fn card(&self) -> Card {
        Card::new(&self.card_issuer, &self.root)
    }
}

/// A card of one batch with nothing on it but this profile, and a file that one authentication opens
/// for one reading.
const LAYOUT: &str = r#"
format = 1
card = "one batch"
atr = "3B 00"
[[application]]
name = "JPKI-AP"
aid = "D3 92 F0 00 26 01 00 00 00 01"
commands = ["files", "eac"]
[[application.object]]
fid = 0x0001
kind = "binary"
value = "61 62 63"
read = "institution-once and secure-messaging"
[[application.object]]
fid = 0x011C
kind = "binary"
slot = "eac.security-infos"
read = "free"
[[application.object]]
fid = 0x011D
kind = "binary"
slot = "eac.batch-certificate"
read = "free"
[[application.object]]
fid = 0x011E
kind = "eac-root"
slot = "eac.terminal-root"
[[application.object]]
fid = 0x011F
kind = "batch-key"
slot = "eac.batch-key"
"#;

/// What a card of [`LAYOUT`] is made of.
pub(crate) struct Parts {
    contents: Contents,
    root: TrustAnchor,
}

impl Parts {
    pub(crate) fn new(card_issuer: &Party, root: &Party) -> Self {
        let pkcs8 = generate_pkcs8().unwrap();
        let key = P256SigningKey::from_pkcs8(&pkcs8).unwrap();
        let issuer = card_issuer.certificate.body();
        let chat = Authorisation { chain: ChainKind::CardIssuer, role: Role::Holder, rights: Rights::NONE };
        let mut batch = body("ZZBATCH00001", &key, &issuer.holder, chat, ("260601", "360601"));
        batch.purpose = KeyPurpose::ChipAuthentication;
        let certificate = issue(&card_issuer.key, batch).unwrap();
        let material = BatchMaterial::new(&pkcs8, &certificate, &root.anchor()).unwrap();
        let again = BatchMaterial::parse(&material.encode()).unwrap();
        let mut contents = Contents::new();
        again.fill(&mut contents);
        Self { contents, root: root.anchor() }
    }

    /// With a file of another card.
    pub(crate) fn with(mut self, slot: &str, from: &Self) -> Self {
        self.contents.fill(slot, from.contents.get(slot).unwrap());
        self
    }

    /// With another file.
    pub(crate) fn holding(mut self, slot: &str, octets: &[u8]) -> Self {
        self.contents.fill(slot, octets);
        self
    }

    pub(crate) fn card(self) -> Card {
        let image = CardImage::new(&Layout::parse(LAYOUT).unwrap(), &self.contents).unwrap();
        let mut card = cos::Card::new(image);
        card.power_on();
        Card { card, root: self.root, entropy: Seeded::new(1) }
    }
}

/// The card with power.
pub(crate) struct Card {
    pub(crate) card: cos::Card,
    root: TrustAnchor,
    entropy: Seeded,
}

impl Card {
    pub(crate) fn new(card_issuer: &Party, root: &Party) -> Self {
        Parts::new(card_issuer, root).card()
    }

    /// One command. The card's randomness goes on from session to session.
    pub(crate) fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        self.card.transmit(command, &mut self.entropy)
    }

    /// Power off and on, through the bytes that a power cut leaves.
    pub(crate) fn power_cut(&mut self) {
        let state = cos::PersistentState::from_bytes(&self.card.persistent_state().to_bytes()).unwrap();
        assert_eq!(&state, self.card.persistent_state());
        self.card.power_off();
        self.card.power_on();
        self.transmit(&hex("00A4040C 0A D392F000260100000001"));
    }

    /// What the card remembers.
    pub(crate) fn memory(&self) -> EacMemory {
        let aid = Aid::new(&JPKI_AID).unwrap();
        self.card
            .persistent_state()
            .extension(aid, cos::ExtensionTag::EFFECTIVE_DATE)
            .map_or_else(|| EacMemory::factory(&self.root), |octets| EacMemory::from_bytes(octets).unwrap())
    }
}
