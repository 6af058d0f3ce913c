//! Specimen authorities, batches, terminals and a card, for tests. Keys are made anew in every run.

use super::card_side::{EacMaterial, EacMemory, EacSession, MaterialOctets, OneUse, Received};
use super::chip_authentication::SecurityInfos;
use super::cvc::{
    Authorisation, ChainKind, Cvc, CvcBody, CvcDate, HolderReference, KeyPurpose, Rights, Role,
    TerminalChain, TrustAnchor, issue,
};
use super::fid;
use super::p256::{P256SigningKey, generate_pkcs8};
use super::terminal_side::EacTerminal;
use crate::apdu::{Answer, CommandApdu, StatusWord};
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

/// A card of one batch with nothing on it but this profile and one use to give away.
pub(crate) struct Card {
    pub(crate) security_infos: Vec<u8>,
    pub(crate) batch_certificate: Vec<u8>,
    pub(crate) material: EacMaterial,
    pub(crate) memory: EacMemory,
    pub(crate) session: EacSession,
    pub(crate) file: Option<u16>,
    entropy: Seeded,
    /// Uses that were given away.
    pub(crate) uses: Vec<OneUse>,
}

impl Card {
    pub(crate) fn new(card_issuer: &Party, root: &Party) -> Self {
        let pkcs8 = generate_pkcs8().unwrap();
        let key = P256SigningKey::from_pkcs8(&pkcs8).unwrap();
        let issuer = card_issuer.certificate.body();
        let chat = Authorisation { chain: ChainKind::CardIssuer, role: Role::Holder, rights: Rights::NONE };
        let mut batch = body("ZZBATCH00001", &key, &issuer.holder, chat, ("260601", "360601"));
        batch.purpose = KeyPurpose::ChipAuthentication;
        let batch_certificate = issue(&card_issuer.key, batch).unwrap().encode();
        let infos = SecurityInfos { key_reference: 1, batch_key: key.public_key() };
        let security_infos = infos.encode().unwrap();
        let material = EacMaterial::new(&MaterialOctets {
            security_infos: &security_infos,
            batch_certificate: &batch_certificate,
            trust_anchor: &root.certificate.encode(),
            batch_key: &pkcs8,
        })
        .unwrap();
        let memory = material.factory_memory();
        let session = EacSession::default();
        Self {
            security_infos,
            batch_certificate,
            material,
            memory,
            session,
            file: None,
            entropy: Seeded::new(1),
            uses: Vec::new(),
        }
    }

    /// One command. The card's randomness goes on from session to session.
    pub(crate) fn transmit(&mut self, command: &[u8]) -> Vec<u8> {
        let Ok(command) = CommandApdu::parse(command) else {
            self.session.reset();
            return self.session.respond(&[], StatusWord::WRONG_LENGTH);
        };
        let received = self.session.receive(command);
        let reply = received.command().and_then(|command| self.run(&command));
        match (received, reply) {
            (Received::Broken(status), _) => status.0.to_be_bytes().to_vec(),
            (_, Ok(answer)) => self.session.respond(&answer.data, answer.status),
            (_, Err(status)) => self.session.respond(&[], status),
        }
    }

    fn run(&mut self, command: &CommandApdu<'_>) -> Result<Answer, StatusWord> {
        if self.session.handles(command) {
            return self.session.run(command, &self.material, &mut self.memory, &mut self.entropy);
        }
        match (command.cla, command.ins, command.p1) {
            (0, 0xA4, 0x04) => Ok(Answer::done()),
            (0, 0xA4, 0x02) => {
                self.file = command.data.try_into().ok().map(u16::from_be_bytes);
                Ok(Answer::done())
            }
            (0, 0xB0, _) => {
                let octets = match self.file {
                    Some(fid::SECURITY_INFOS) => &self.security_infos,
                    Some(fid::BATCH_CERTIFICATE) => &self.batch_certificate,
                    _ => return Err(StatusWord::SECURITY_STATUS),
                };
                let from = usize::from(command.p2) + usize::from(command.p1) * 256;
                let rest = octets.get(from..).ok_or(StatusWord::WRONG_OFFSET)?;
                Ok(Answer::with(rest[..rest.len().min(256)].to_vec()))
            }
            // One use: the data comes back, which a test can look for.
            (0x80, 0x2A, _) => {
                let one_use = self
                    .session
                    .take_permission(Rights::PINLESS_SIGNATURE)
                    .ok_or(StatusWord::SECURITY_STATUS)?;
                self.uses.push(one_use);
                Ok(Answer::with(command.data.to_vec()))
            }
            _ => Err(StatusWord::UNKNOWN_INSTRUCTION),
        }
    }
}
