//! The card's side of the profile, for the card's operating system to host.
//!
//! | command | bytes | answers |
//! |---|---|---|
//! | MSE: SET AT, chip authentication | `00 22 41 A4 {80 OID, 84 key}` | 9000, 6A80, 6A88 |
//! | GENERAL AUTHENTICATE | `00 86 00 00 7C{80 PK_T}` | `7C{81 nonce, 82 token}`, then secure messaging; 6A80, 6985 |
//! | MSE: SET DST | `0C 22 81 B6 {83 CAR}` | 9000, 6A80, 6A88 no such key |
//! | PSO: VERIFY CERTIFICATE | `0C 2A 00 BE {7F4E, 5F37}` | 9000, 6300 signature, 6A80 format, role or dates, 6985 |
//! | MSE: SET AT, terminal authentication | `0C 22 81 A4 {80 OID, 83 CHR}` | 9000, 6A80, 6A88 |
//! | GET CHALLENGE | `0C 84 00 00 08` | 8 octets, good once |
//! | EXTERNAL AUTHENTICATE | `0C 82 00 00 r‖s` | 9000, 6300, 6985 |
//!
//! TR-03110-3 (version 2.21) B.11 and B.14. The host calls [`EacSession::receive`] for every command,
//! [`EacSession::handles`] and [`EacSession::run`] for those that belong here, and
//! [`EacSession::respond`] for every response. A failure leaves the session more closed than it was:
//! of secure messaging, everything is wiped; of terminal authentication, the terminal starts over.

use super::chip_authentication::{SecurityInfos, agree_on_card};
use super::cvc::{
    CertifiedKey, ChainKind, Cvc, CvcDate, HolderReference, ImportError, Rights, Role, TrustAnchor, import,
};
use super::p256::{FIELD_LEN, P256AgreementKey, P256Point};
use super::secure_messaging::{CardChannel, OwedResponse, PlainCommand, is_protected};
use super::{oid, tags};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::tlv::{self, Tag, TlvReader};
use protocol::entropy::Entropy;
use std::fmt;

/// Octets of the card's challenge in terminal authentication, TR-03110-3 B.11.6.
pub const CHALLENGE_LEN: usize = 8;

/// What a card of this profile holds, the same for its whole batch.
#[derive(Debug)]
pub struct EacMaterial {
    batch_key: P256AgreementKey,
    key_reference: u8,
    anchor: TrustAnchor,
}

/// Why material does not make a card.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MaterialError {
    /// The batch key cannot be used.
    #[error("the batch key is not a PKCS#8 private key of P-256")]
    BatchKey,
    /// SecurityInfos that cannot be parsed, or name another key.
    #[error("the SecurityInfos are not about the batch key")]
    SecurityInfos,
    /// The batch certificate cannot be parsed, or certifies another key.
    #[error("the batch certificate is not about the batch key")]
    BatchCertificate,
    /// The trust anchor is not a self-signed certificate of the terminals' CVCA.
    #[error("the trust anchor is not a terminal CVCA: {0}")]
    TrustAnchor(#[from] ImportError),
}

/// The octets of the profile's four objects, as they lie in a card image.
#[derive(Clone, Copy)]
pub struct MaterialOctets<'a> {
    /// EF 011C: DER.
    pub security_infos: &'a [u8],
    /// EF 011D: a `7F21` object.
    pub batch_certificate: &'a [u8],
    /// EF 011E: the terminal CVCA's self-signed `7F21` object.
    pub trust_anchor: &'a [u8],
    /// The batch key: PKCS#8.
    pub batch_key: &'a [u8],
}

impl fmt::Debug for MaterialOctets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaterialOctets(…)")
    }
}

impl EacMaterial {
    /// Material whose parts fit together.
    ///
    /// # Errors
    /// [`MaterialError`] names the part that does not fit.
    pub fn new(octets: &MaterialOctets<'_>) -> Result<Self, MaterialError> {
        let batch_key =
            P256AgreementKey::from_pkcs8(octets.batch_key).map_err(|_| MaterialError::BatchKey)?;
        let infos = SecurityInfos::parse(octets.security_infos).map_err(|_| MaterialError::SecurityInfos)?;
        if infos.batch_key != batch_key.public_key() {
            return Err(MaterialError::SecurityInfos);
        }
        match Cvc::parse(octets.batch_certificate) {
            Ok(certificate) if certificate.body().key == batch_key.public_key() => {}
            _ => return Err(MaterialError::BatchCertificate),
        }
        let anchor = TrustAnchor::parse(octets.trust_anchor)?;
        if anchor.key().authorisation.chain != ChainKind::Terminal {
            return Err(ImportError::Role.into());
        }
        Ok(Self { batch_key, key_reference: infos.key_reference, anchor })
    }

    /// The state of a card that was made now: it believes the day on which its trust anchor was made.
    pub fn factory_memory(&self) -> EacMemory {
        EacMemory { today: self.anchor.certificate().body().effective, successor: None }
    }
}

/// What a power cut must not undo: the latest day that is known to have come, and the CVCA that
/// followed the one in the image.
#[derive(Clone, PartialEq, Eq)]
pub struct EacMemory {
    today: CvcDate,
    /// Where the image's root was linked onwards: the newest root and the one before it, which stays
    /// until the next, TR-03110-3 §2.5.
    successor: Option<Successor>,
}

#[derive(Clone, PartialEq, Eq)]
struct Successor {
    newest: Cvc,
    before: Cvc,
}

impl fmt::Debug for EacMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EacMemory({}, linked: {})", self.today, self.successor.is_some())
    }
}

/// Why octets are not a card's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a memory of the eac profile")]
pub struct MemoryError;

const MEMORY_MAGIC: &[u8; 5] = b"KZEM\x01";

impl EacMemory {
    /// The latest day that the card knows to have come.
    #[doc(alias = "カード内日付")]
    pub const fn today(&self) -> CvcDate {
        self.today
    }

    /// As bytes for a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MEMORY_MAGIC.to_vec();
        bytes.extend_from_slice(&self.today.encode());
        if let Some(Successor { newest, before }) = &self.successor {
            bytes.extend_from_slice(&newest.encode());
            bytes.extend_from_slice(&before.encode());
        }
        bytes
    }

    /// Parses what [`Self::to_bytes`] made. The certificates are believed: this is the card's own memory.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MemoryError> {
        let rest = bytes.strip_prefix(MEMORY_MAGIC).ok_or(MemoryError)?;
        let (date, certificates) = rest.split_first_chunk::<6>().ok_or(MemoryError)?;
        let today = CvcDate::parse(date).ok_or(MemoryError)?;
        let mut certificates = Cvc::parse_all(certificates).map_err(|_| MemoryError)?;
        let successor = match (certificates.pop(), certificates.pop(), certificates.is_empty()) {
            (None, None, true) => None,
            (Some(before), Some(newest), true) => Some(Successor { newest, before }),
            _ => return Err(MemoryError),
        };
        Ok(Self { today, successor })
    }

    /// The roots that the card believes at the moment.
    fn roots(&self, material: &EacMaterial) -> impl Iterator<Item = CertifiedKey> {
        let linked = self.successor.iter().flat_map(|both| [root_key(&both.newest), root_key(&both.before)]);
        let own = self.successor.is_none().then(|| material.anchor.key());
        own.into_iter().chain(linked)
    }

    /// Where today's date went, and the new root if the certificate was a link.
    fn take_over(
        &mut self,
        material: &EacMaterial,
        certificate: &Cvc,
        issuer: &CertifiedKey,
        today: CvcDate,
    ) {
        self.today = self.today.max(today);
        let body = certificate.body();
        if body.authorisation.role != Role::Cvca
            || self.roots(material).any(|root| root.holder == body.holder)
        {
            return;
        }
        let known = self.successor.take();
        let before = match known {
            Some(Successor { newest, .. }) if newest.body().holder == issuer.holder => newest,
            Some(Successor { before, .. }) => before,
            None => material.anchor.certificate().clone(),
        };
        self.successor = Some(Successor { newest: certificate.clone(), before });
    }
}

const fn root_key(certificate: &Cvc) -> CertifiedKey {
    let body = certificate.body();
    CertifiedKey {
        holder: body.holder,
        key: body.key,
        purpose: body.purpose,
        authorisation: body.authorisation,
        expiration: body.expiration,
    }
}

/// How far chip authentication has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum ChipStage {
    #[default]
    Start,
    /// MSE: SET AT has named protocol and key.
    KeyNamed,
}

/// Secure messaging between two calls of the host.
#[derive(Debug, Default)]
enum Channel {
    #[default]
    Off,
    Ready(CardChannel),
    Owed(OwedResponse),
}

/// How far terminal authentication has come. Lives inside one secure messaging session.
#[derive(Default, Debug)]
struct TerminalStage {
    /// x of the terminal's ephemeral key, which its signature has to name.
    terminal_ephemeral: Option<[u8; FIELD_LEN]>,
    /// Keys that were certified in this session: the accredited body's, then the terminal's.
    certified: Vec<CertifiedKey>,
    /// The key that the next certificate is checked with.
    verification_key: Option<CertifiedKey>,
    /// The terminal's key, after MSE: SET AT.
    terminal_key: Option<(P256Point, Rights)>,
    /// Outstanding, good once.
    challenge: Option<[u8; CHALLENGE_LEN]>,
    /// What the terminal may do once.
    permission: Option<Rights>,
}

/// The volatile state of the profile: dies with the application's security status.
#[derive(Default, Debug)]
pub struct EacSession {
    chip: ChipStage,
    channel: Channel,
    terminal: TerminalStage,
}

/// What the host has to do with a command.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    /// It came in the plain. If there was secure messaging, there is none any more.
    Plain(CommandApdu<'a>),
    /// It came protected; this is what it says. The response has to go through
    /// [`EacSession::respond`].
    Protected(PlainCommand),
    /// Secure messaging broke: answer this in the plain. Everything was wiped.
    Broken(StatusWord),
}

impl<'a> Received<'a> {
    /// The command to run, if there is one.
    #[cfg(test)]
    pub(crate) fn command(&'a self) -> Result<CommandApdu<'a>, StatusWord> {
        match self {
            Self::Plain(command) => Ok(*command),
            Self::Protected(command) => Ok(command.as_apdu()),
            Self::Broken(status) => Err(*status),
        }
    }
}

/// One permission by one terminal authentication, taken out of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OneUse(());

type Reply = Result<Answer, StatusWord>;

impl EacSession {
    /// Takes the secure messaging off a command.
    pub(crate) fn receive<'a>(&mut self, command: CommandApdu<'a>) -> Received<'a> {
        match (std::mem::take(&mut self.channel), is_protected(command.cla)) {
            (Channel::Off, false) => Received::Plain(command),
            (Channel::Off, true) => Received::Broken(StatusWord::SECURE_MESSAGING_NOT_SUPPORTED),
            (Channel::Ready(channel), true) => match channel.unwrap(&command) {
                Ok((plain, owed)) => {
                    self.channel = Channel::Owed(owed);
                    Received::Protected(plain)
                }
                Err(error) => {
                    self.reset();
                    Received::Broken(error.status_word())
                }
            },
            // In the plain while there are keys, or a response that the host never gave.
            (Channel::Ready(_) | Channel::Owed(_), _) => {
                self.reset();
                if is_protected(command.cla) {
                    Received::Broken(StatusWord::SM_OBJECT_WRONG)
                } else {
                    Received::Plain(command)
                }
            }
        }
    }

    /// Puts the secure messaging on a response: data and status word in, response APDU out.
    pub(crate) fn respond(&mut self, data: &[u8], status: StatusWord) -> Vec<u8> {
        match std::mem::take(&mut self.channel) {
            Channel::Owed(owed) => {
                if let Ok((response, channel)) = owed.wrap(data, status) {
                    self.channel = Channel::Ready(channel);
                    return response;
                }
                self.reset();
                StatusWord::INTERNAL.0.to_be_bytes().to_vec()
            }
            other => {
                self.channel = other;
                let mut response = data.to_vec();
                response.extend_from_slice(&status.0.to_be_bytes());
                response
            }
        }
    }

    /// Forgets everything: a command that is no APDU, another application, a reset.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether the command at hand came protected: what the access term `secure-messaging` asks.
    pub(crate) const fn is_protected(&self) -> bool {
        matches!(self.channel, Channel::Owed(_))
    }

    /// Whether this command, without secure messaging bits, belongs here and not to another command set.
    /// GET CHALLENGE and EXTERNAL AUTHENTICATE do once a terminal's key was named.
    pub(crate) const fn handles(&self, command: &CommandApdu<'_>) -> bool {
        match (command.cla, command.ins, command.p1, command.p2) {
            (0x00, 0x22, 0x41, 0xA4) | (0x00, 0x22, 0x81, 0xB6 | 0xA4) => true,
            (0x00, 0x86, _, _) | (0x00, 0x2A, 0x00, 0xBE) => true,
            (0x00, 0x84 | 0x82, _, _) => self.terminal.terminal_key.is_some(),
            _ => false,
        }
    }

    /// Runs a command that [`Self::handles`] claimed. `memory` may have changed afterwards, whatever the
    /// answer: the host keeps it before the answer leaves.
    pub(crate) fn run(
        &mut self,
        command: &CommandApdu<'_>,
        material: &EacMaterial,
        memory: &mut EacMemory,
        entropy: &mut dyn Entropy,
    ) -> Reply {
        let reply = match (command.ins, command.p1, command.p2) {
            (0x22, 0x41, _) => return self.set_chip_authentication(command, material),
            (0x86, ..) => return self.general_authenticate(command, material, entropy),
            // The rest only under secure messaging.
            _ if !self.is_protected() => return Err(StatusWord::SECURITY_STATUS),
            (0x22, 0x81, 0xB6) => self.set_verification_key(command, material, memory),
            (0x2A, ..) => self.verify_certificate(command, material, memory),
            (0x22, 0x81, _) => self.set_terminal_authentication(command),
            (0x84, ..) => self.get_challenge(command, entropy),
            _ => self.external_authenticate(command, material),
        };
        if reply.is_err() {
            // Whatever went wrong, the terminal shows its certificates anew.
            let terminal_ephemeral = self.terminal.terminal_ephemeral;
            self.terminal = TerminalStage { terminal_ephemeral, ..TerminalStage::default() };
        }
        reply
    }

    /// Takes the permission of the last terminal authentication, if it has these rights: for one use.
    pub(crate) fn take_permission(&mut self, rights: Rights) -> Option<OneUse> {
        self.terminal.permission.take().filter(|granted| granted.contain(rights)).map(|_| OneUse(()))
    }

    /// Takes a permission away that nobody used: a security command of another set failed.
    pub(crate) const fn drop_permission(&mut self) {
        self.terminal.permission = None;
    }

    /// MSE: SET AT for chip authentication, TR-03110-3 B.11.1.
    fn set_chip_authentication(&mut self, command: &CommandApdu<'_>, material: &EacMaterial) -> Reply {
        self.chip = ChipStage::Start;
        let (mechanism, reference) =
            two_objects(command, tags::MECHANISM_OR_EPHEMERAL, tags::PRIVATE_KEY_REFERENCE)?;
        if mechanism != oid::CA_ECDH_AES_CBC_CMAC_128 {
            return Err(StatusWord::WRONG_DATA);
        }
        if reference != [material.key_reference] {
            return Err(StatusWord::REFERENCE_NOT_FOUND);
        }
        self.chip = ChipStage::KeyNamed;
        Ok(Answer::done())
    }

    /// GENERAL AUTHENTICATE, TR-03110-3 B.14.2: agrees keys, which protect everything after its answer.
    fn general_authenticate(
        &mut self,
        command: &CommandApdu<'_>,
        material: &EacMaterial,
        entropy: &mut dyn Entropy,
    ) -> Reply {
        if std::mem::take(&mut self.chip) != ChipStage::KeyNamed || self.is_protected() {
            return Err(StatusWord::CONDITIONS);
        }
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let ephemeral = tlv::read_single(command.data, tags::DYNAMIC)
            .and_then(|inner| tlv::read_single(inner, tags::MECHANISM_OR_EPHEMERAL))
            .map_err(|_| StatusWord::WRONG_DATA)?;
        let ephemeral = P256Point::parse(ephemeral).map_err(|_| StatusWord::WRONG_DATA)?;
        let agreement =
            agree_on_card(&material.batch_key, &ephemeral, entropy).map_err(|_| StatusWord::INTERNAL)?;
        let channel = CardChannel::new(&agreement.keys).map_err(|_| StatusWord::INTERNAL)?;
        self.channel = Channel::Ready(channel);
        self.terminal =
            TerminalStage { terminal_ephemeral: Some(ephemeral.compressed()), ..TerminalStage::default() };
        let mut inner = tlv::encode(tags::NONCE, &agreement.nonce);
        tlv::write(&mut inner, tags::TOKEN, &agreement.token);
        Ok(Answer::with(tlv::encode(tags::DYNAMIC, &inner)))
    }

    /// MSE: SET DST, TR-03110-3 B.11.3: which key the next certificate is from. By asking first for the
    /// newest root a terminal finds out which of its links the card needs.
    fn set_verification_key(
        &mut self,
        command: &CommandApdu<'_>,
        material: &EacMaterial,
        memory: &EacMemory,
    ) -> Reply {
        self.terminal.verification_key = None;
        let reference =
            tlv::read_single(command.data, tags::PUBLIC_KEY_REFERENCE).map_err(|_| StatusWord::WRONG_DATA)?;
        let reference = HolderReference::parse(reference).ok_or(StatusWord::WRONG_DATA)?;
        let known = self.terminal.certified.iter().copied().chain(memory.roots(material));
        let key = known.into_iter().find(|key| key.holder == reference);
        self.terminal.verification_key = Some(key.ok_or(StatusWord::REFERENCE_NOT_FOUND)?);
        Ok(Answer::done())
    }

    /// PSO: VERIFY CERTIFICATE, TR-03110-3 B.11.4.
    fn verify_certificate(
        &mut self,
        command: &CommandApdu<'_>,
        material: &EacMaterial,
        memory: &mut EacMemory,
    ) -> Reply {
        let issuer = self.terminal.verification_key.take().ok_or(StatusWord::CONDITIONS)?;
        let certificate = Cvc::parse_content(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
        let imported = import(&certificate, &issuer, memory.today).map_err(|error| match error {
            ImportError::Signature(_) => StatusWord::AUTHENTICATION_FAILED,
            _ => StatusWord::WRONG_DATA,
        })?;
        memory.take_over(material, &certificate, &issuer, imported.today);
        if imported.key.authorisation.role != Role::Cvca {
            // One accredited body, one terminal: a key of a former branch goes.
            let below_root = imported.key.authorisation.role != Role::Holder;
            self.terminal.certified.retain(|known| !below_root && known.holder == issuer.holder);
            self.terminal.certified.push(imported.key);
        }
        Ok(Answer::done())
    }

    /// MSE: SET AT for terminal authentication, TR-03110-3 B.11.5.
    fn set_terminal_authentication(&mut self, command: &CommandApdu<'_>) -> Reply {
        self.terminal.terminal_key = None;
        let (mechanism, reference) =
            two_objects(command, tags::MECHANISM_OR_EPHEMERAL, tags::PUBLIC_KEY_REFERENCE)?;
        if mechanism != oid::TA_ECDSA_SHA_256 {
            return Err(StatusWord::WRONG_DATA);
        }
        let key = self
            .terminal
            .certified
            .iter()
            .find(|key| key.authorisation.role == Role::Holder && key.holder.as_octets() == reference)
            .ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        self.terminal.terminal_key = Some((key.key, key.authorisation.rights));
        Ok(Answer::done())
    }

    /// GET CHALLENGE, TR-03110-3 B.11.6.
    fn get_challenge(&mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        if !command.data.is_empty() || command.expected != Some(CHALLENGE_LEN as u32) {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let mut challenge = [0u8; CHALLENGE_LEN];
        entropy.fill(&mut challenge);
        self.terminal.challenge = Some(challenge);
        Ok(Answer::with(challenge.to_vec()))
    }

    /// EXTERNAL AUTHENTICATE, TR-03110-3 B.11.7. Challenge and key are used up, whatever comes of it.
    fn external_authenticate(&mut self, command: &CommandApdu<'_>, material: &EacMaterial) -> Reply {
        self.terminal.permission = None;
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let challenge = self.terminal.challenge.take().ok_or(StatusWord::CONDITIONS)?;
        let (key, rights) = self.terminal.terminal_key.take().ok_or(StatusWord::CONDITIONS)?;
        let terminal_ephemeral = self.terminal.terminal_ephemeral.ok_or(StatusWord::CONDITIONS)?;
        let statement = TerminalAuthentication {
            card: material.batch_key.public_key().compressed(),
            challenge,
            terminal_ephemeral,
        };
        key.verify(&statement.signed_bytes(), command.data).map_err(|_| StatusWord::AUTHENTICATION_FAILED)?;
        self.terminal.permission = Some(rights);
        Ok(Answer::done())
    }
}

/// Two objects, in this order, and nothing else.
fn two_objects<'a>(
    command: &CommandApdu<'a>,
    first: Tag,
    second: Tag,
) -> Result<(&'a [u8], &'a [u8]), StatusWord> {
    let mut objects = TlvReader::new(command.data);
    let both = objects.expect(first).and_then(|one| Ok((one, objects.expect(second)?)));
    match (both, objects.is_empty()) {
        (Ok(both), true) => Ok(both),
        _ => Err(StatusWord::WRONG_DATA),
    }
}

/// What a terminal's institution key signs, and the only thing that it signs: which card (by its batch
/// key), which challenge, which secure messaging session (by the terminal's ephemeral key). TR-03110-3
/// A.7.3 without auxiliary data: `ID_C ‖ r_C ‖ Comp(PK_T)`, 72 octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TerminalAuthentication {
    pub(super) card: [u8; FIELD_LEN],
    pub(super) challenge: [u8; CHALLENGE_LEN],
    pub(super) terminal_ephemeral: [u8; FIELD_LEN],
}

impl TerminalAuthentication {
    /// The octets under the signature.
    pub fn signed_bytes(&self) -> [u8; 2 * FIELD_LEN + CHALLENGE_LEN] {
        let mut bytes = [0u8; 2 * FIELD_LEN + CHALLENGE_LEN];
        let parts = self.card.iter().chain(&self.challenge).chain(&self.terminal_ephemeral);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = *from;
        }
        bytes
    }
}
