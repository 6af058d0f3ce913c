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
//! TR-03110-3 (version 2.21) appendix B. The card operating system knows how a command came, keeps
//! challenge, permission and channel, and calls the methods of `EacSession`. After a failure of
//! terminal authentication the terminal starts over.

use super::chip_authentication::{SecurityInfos, agree_on_card};
use super::cvc::{
    CertifiedKey, ChainKind, Cvc, CvcDate, HolderReference, ImportError, KeyPurpose, Rights, Role,
    TrustAnchor, import,
};
use super::p256::{FIELD_LEN, P256AgreementKey, P256Point};
use super::secure_messaging::CardChannel;
use super::{fid, oid, tags};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::Contents;
use crate::tlv::{self, Tag, TlvReader};
use protocol::entropy::Entropy;
use std::fmt;
use zeroize::Zeroizing;

/// Name of the batch key: the low octet of its file identifier.
pub const BATCH_KEY_REFERENCE: u8 = fid::BATCH_KEY.to_be_bytes()[1];
/// Octets of the card's challenge in terminal authentication, TR-03110-3 appendix B.
pub const CHALLENGE_LEN: usize = 8;

/// What a card uses of the profile, the same for its whole batch.
#[derive(Clone, Copy, Debug)]
pub struct EacKeys<'a> {
    /// The batch's private key.
    pub batch_key: &'a P256AgreementKey,
    /// Its name in MSE: SET AT and in the SecurityInfos.
    pub key_reference: u8,
    /// The terminal CVCA as the card was made.
    pub anchor: &'a TrustAnchor,
}

/// Why material does not make a card.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MaterialError {
    /// The batch key cannot be used.
    #[error("the batch key is not a PKCS#8 private key of P-256")]
    BatchKey,
    /// The batch certificate cannot be parsed, is none, or certifies another key.
    #[error("the batch certificate is not about the batch key")]
    BatchCertificate,
    /// The trust anchor is not a self-signed certificate of a terminal CVCA.
    #[error("the trust anchor is not a terminal CVCA: {0}")]
    TrustAnchor(#[from] ImportError),
    /// The SecurityInfos cannot be written.
    #[error("the SecurityInfos cannot be written")]
    SecurityInfos,
}

/// What a card issuer puts on every card of a batch: the contents of the profile's four objects.
#[doc(alias = "製造ロット")]
#[derive(Clone)]
pub struct BatchMaterial {
    security_infos: Vec<u8>,
    batch_certificate: Vec<u8>,
    trust_anchor: Vec<u8>,
    batch_key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for BatchMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchMaterial(…)")
    }
}

impl BatchMaterial {
    /// Material whose parts fit together: the certificate is about the key, the anchor is a terminal
    /// CVCA. `batch_key` is PKCS#8 in DER.
    ///
    /// # Errors
    /// [`MaterialError`] names the part that does not fit.
    pub fn new(batch_key: &[u8], certificate: &Cvc, anchor: &TrustAnchor) -> Result<Self, MaterialError> {
        let key = P256AgreementKey::from_pkcs8(batch_key).map_err(|_| MaterialError::BatchKey)?;
        let body = certificate.body();
        let place = (body.authorisation.chain, body.authorisation.role, body.purpose);
        if body.key != key.public_key()
            || place != (ChainKind::CardIssuer, Role::Holder, KeyPurpose::ChipAuthentication)
        {
            return Err(MaterialError::BatchCertificate);
        }
        if anchor.key().authorisation.chain != ChainKind::Terminal {
            return Err(ImportError::Role.into());
        }
        let infos = SecurityInfos { key_reference: BATCH_KEY_REFERENCE, batch_key: key.public_key() };
        Ok(Self {
            security_infos: infos.encode().map_err(|_| MaterialError::SecurityInfos)?,
            batch_certificate: certificate.encode(),
            trust_anchor: anchor.certificate().encode(),
            batch_key: Zeroizing::new(batch_key.to_vec()),
        })
    }

    /// Parses what [`Self::encode`] made, and checks it as [`Self::new`] does.
    ///
    /// # Errors
    /// [`MaterialError`].
    pub fn parse(octets: &[u8]) -> Result<Self, MaterialError> {
        let mut objects = TlvReader::new(octets);
        let mut next = |tag| objects.expect(tag).map(<[u8]>::to_vec);
        let parts = next(tags::DISCRETIONARY).and_then(|key| {
            let certificate = next(tags::DISCRETIONARY)?;
            Ok((Zeroizing::new(key), certificate, next(tags::DISCRETIONARY)?))
        });
        let (key, certificate, anchor) = parts.map_err(|_| MaterialError::BatchKey)?;
        objects.finish().map_err(|_| MaterialError::BatchKey)?;
        let certificate = Cvc::parse(&certificate).map_err(|_| MaterialError::BatchCertificate)?;
        Self::new(&key, &certificate, &TrustAnchor::parse(&anchor)?)
    }

    /// As bytes for a file, which has to be as secret as the batch: three objects `53` with key,
    /// certificate and anchor. Wiped when dropped.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut octets = Zeroizing::new(Vec::with_capacity(1024));
        for part in [&*self.batch_key, &self.batch_certificate, &self.trust_anchor] {
            tlv::write(&mut octets, tags::DISCRETIONARY, part);
        }
        octets
    }

    /// Fills the four slots of a layout that has the profile.
    pub fn fill(&self, contents: &mut Contents) {
        contents.fill("eac.security-infos", self.security_infos.as_slice());
        contents.fill("eac.batch-certificate", self.batch_certificate.as_slice());
        contents.fill("eac.terminal-root", self.trust_anchor.as_slice());
        contents.fill("eac.batch-key", self.batch_key.as_slice());
    }
}

/// What a power cut must not undo: the latest day that is known to have come, and the CVCA that
/// followed the one in the image.
#[derive(Clone, PartialEq, Eq)]
pub struct EacMemory {
    today: CvcDate,
    /// Where the image's root was linked onwards: the newest root and the one before it, which stays
    /// until the next, TR-03110-3 chapter 2.
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
    /// Of a card that was made now: it believes the day on which its trust anchor was made.
    pub const fn factory(anchor: &TrustAnchor) -> Self {
        Self { today: anchor.certificate().body().effective, successor: None }
    }

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
    fn roots(&self, keys: &EacKeys<'_>) -> impl Iterator<Item = CertifiedKey> {
        let linked = self.successor.iter().flat_map(|both| [root_key(&both.newest), root_key(&both.before)]);
        let own = self.successor.is_none().then(|| keys.anchor.key());
        own.into_iter().chain(linked)
    }

    /// Where today's date went, and the new root if the certificate was a link.
    fn take_over(&mut self, keys: &EacKeys<'_>, certificate: &Cvc, issuer: &CertifiedKey, today: CvcDate) {
        self.today = self.today.max(today);
        let body = certificate.body();
        if body.authorisation.role != Role::Cvca || self.roots(keys).any(|root| root.holder == body.holder) {
            return;
        }
        let known = self.successor.take();
        let before = match known {
            Some(Successor { newest, .. }) if newest.body().holder == issuer.holder => newest,
            Some(Successor { before, .. }) => before,
            None => keys.anchor.certificate().clone(),
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

/// How far terminal authentication has come. Nothing of it is of use outside secure messaging.
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
}

/// The volatile state of the profile: dies with the application's security status.
#[derive(Default, Debug)]
pub(crate) struct EacSession {
    chip: ChipStage,
    terminal: TerminalStage,
}

type Reply = Result<Answer, StatusWord>;

impl EacSession {
    /// The terminal shows its certificates anew. The agreed keys are not touched: they are the host's.
    pub(crate) fn start_over(&mut self) {
        let terminal_ephemeral = self.terminal.terminal_ephemeral;
        self.chip = ChipStage::Start;
        self.terminal = TerminalStage { terminal_ephemeral, ..TerminalStage::default() };
    }

    /// Whether MSE: SET AT has named a terminal's key: then EXTERNAL AUTHENTICATE belongs here.
    pub(crate) const fn terminal_key_named(&self) -> bool {
        self.terminal.terminal_key.is_some()
    }

    /// MSE: SET AT for chip authentication, TR-03110-3 appendix B.
    pub(crate) fn set_chip_authentication(&mut self, command: &CommandApdu<'_>, keys: &EacKeys<'_>) -> Reply {
        self.chip = ChipStage::Start;
        let (mechanism, reference) =
            two_objects(command, tags::MECHANISM_OR_EPHEMERAL, tags::PRIVATE_KEY_REFERENCE)?;
        if mechanism != oid::CA_ECDH_AES_CBC_CMAC_128 {
            return Err(StatusWord::WRONG_DATA);
        }
        if reference != [keys.key_reference] {
            return Err(StatusWord::REFERENCE_NOT_FOUND);
        }
        self.chip = ChipStage::KeyNamed;
        Ok(Answer::done())
    }

    /// GENERAL AUTHENTICATE, TR-03110-3 appendix B: agrees keys, which protect everything after its answer.
    pub(crate) fn general_authenticate(
        &mut self,
        command: &CommandApdu<'_>,
        keys: &EacKeys<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<(Answer, CardChannel), StatusWord> {
        if std::mem::take(&mut self.chip) != ChipStage::KeyNamed {
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
            agree_on_card(keys.batch_key, &ephemeral, entropy).map_err(|_| StatusWord::INTERNAL)?;
        let channel = CardChannel::new(&agreement.keys).map_err(|_| StatusWord::INTERNAL)?;
        self.terminal =
            TerminalStage { terminal_ephemeral: Some(ephemeral.compressed()), ..TerminalStage::default() };
        let mut inner = tlv::encode(tags::NONCE, &agreement.nonce);
        tlv::write(&mut inner, tags::TOKEN, &agreement.token);
        Ok((Answer::with(tlv::encode(tags::DYNAMIC, &inner)), channel))
    }

    /// MSE: SET DST, TR-03110-3 appendix B: which key the next certificate is from. By asking first for the
    /// newest root a terminal finds out which of its links the card needs.
    pub(crate) fn set_verification_key(
        &mut self,
        command: &CommandApdu<'_>,
        keys: &EacKeys<'_>,
        memory: &EacMemory,
    ) -> Reply {
        self.terminal.verification_key = None;
        let reference =
            tlv::read_single(command.data, tags::PUBLIC_KEY_REFERENCE).map_err(|_| StatusWord::WRONG_DATA)?;
        let reference = HolderReference::parse(reference).ok_or(StatusWord::WRONG_DATA)?;
        let known = self.terminal.certified.iter().copied().chain(memory.roots(keys));
        let key = known.into_iter().find(|key| key.holder == reference);
        self.terminal.verification_key = Some(key.ok_or(StatusWord::REFERENCE_NOT_FOUND)?);
        Ok(Answer::done())
    }

    /// PSO: VERIFY CERTIFICATE, TR-03110-3 appendix B.
    pub(crate) fn verify_certificate(
        &mut self,
        command: &CommandApdu<'_>,
        keys: &EacKeys<'_>,
        memory: &mut EacMemory,
    ) -> Reply {
        let issuer = self.terminal.verification_key.take().ok_or(StatusWord::CONDITIONS)?;
        let certificate = Cvc::parse_content(command.data).map_err(|_| StatusWord::WRONG_DATA)?;
        let imported = import(&certificate, &issuer, memory.today).map_err(|error| match error {
            ImportError::Signature(_) => StatusWord::AUTHENTICATION_FAILED,
            _ => StatusWord::WRONG_DATA,
        })?;
        memory.take_over(keys, &certificate, &issuer, imported.today);
        if imported.key.authorisation.role != Role::Cvca {
            // One accredited body, one terminal: a key of a former branch goes.
            let below_root = imported.key.authorisation.role != Role::Holder;
            self.terminal.certified.retain(|known| !below_root && known.holder == issuer.holder);
            self.terminal.certified.push(imported.key);
        }
        Ok(Answer::done())
    }

    /// MSE: SET AT for terminal authentication, TR-03110-3 appendix B.
    pub(crate) fn set_terminal_authentication(&mut self, command: &CommandApdu<'_>) -> Reply {
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

    /// EXTERNAL AUTHENTICATE, TR-03110-3 appendix B: what the terminal may do once. `challenge` is the one
    /// that was outstanding; it and the named key are used up, whatever comes of it.
    pub(crate) fn external_authenticate(
        &mut self,
        command: &CommandApdu<'_>,
        keys: &EacKeys<'_>,
        challenge: Option<[u8; CHALLENGE_LEN]>,
    ) -> Result<Rights, StatusWord> {
        let (key, rights) = self.terminal.terminal_key.take().ok_or(StatusWord::CONDITIONS)?;
        let challenge = challenge.ok_or(StatusWord::CONDITIONS)?;
        let terminal_ephemeral = self.terminal.terminal_ephemeral.ok_or(StatusWord::CONDITIONS)?;
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let card = keys.batch_key.public_key().compressed();
        let statement = TerminalAuthentication { card, challenge, terminal_ephemeral };
        key.verify(&statement.signed_bytes(), command.data).map_err(|_| StatusWord::AUTHENTICATION_FAILED)?;
        Ok(rights)
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
/// A.7 without auxiliary data: `ID_C ‖ r_C ‖ Comp(PK_T)`, 72 octets.
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
