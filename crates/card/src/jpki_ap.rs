//! The JPKI application on the card: files, access rules, PINs, signatures, institution authentication.
//!
//! Everything public about the real card is followed to the octet, so that foreign software works with
//! the emulated one. The loading of terminal certificates (`80 A2`) is public too; what follows it on
//! the real card is not, so challenge, proof and the one-shot permission are Kazasu's own, after
//! ISO/IEC 7816-4 (`jicsap` profile; see `docs/divergences.md`).
//!
//! | command | bytes | clause |
//! |---|---|---|
//! | SELECT | `00 A4 04 00\|0C AID`, `00 A4 02 0C FID`, `00 A4 00 00` | ISO/IEC 7816-4:2020 §11.2.2 |
//! | READ BINARY | `00 B0 P1 P2 Le` | §11.3.3 |
//! | VERIFY | `00 20 00 P2 [PIN]` | §11.5.6 |
//! | CHANGE REFERENCE DATA | `00 24 01 80 PIN` | §11.5.7 |
//! | GET CHALLENGE | `00 84 00 00 Le` | §11.5.3 |
//! | EXTERNAL AUTHENTICATE | `00 82 00 00 signature` | §11.5.4 |
//! | load terminal certificate | `80 A2 06\|00 C1` | the card's own |
//! | compute signature | `80 2A P1 P2 data 00` | the card's own |

mod files;
mod institution;

use crate::apdu::{Answer, CommandApdu, LengthForm, StatusWord};
use crate::my_number_card::{
    AUTH_PIN_TRIES, AuthPin, CardImage, Credential, PersistentState, SIGN_PASSWORD_TRIES, SignPassword,
    SignatureCounts,
};
use crate::rsa_key::{CardRsaKey, RAW_DATA_MAX, RSA_OCTETS, RsaKeyError};
use crate::tlv::{self, Tag};
use aws_lc_rs::{constant_time, digest};
use files::{Content, File};
use institution::{InstitutionSession, OneSignature};
use protocol::entropy::Entropy;
use zeroize::Zeroizing;

/// AID of the JPKI application.
#[doc(alias = "公的個人認証AP")]
pub const JPKI_AID: [u8; 10] = [0xD3, 0x92, 0xF0, 0x00, 0x26, 0x01, 0x00, 0x00, 0x00, 0x01];
/// The shortest part of an AID that selects: the registered provider identifier, ISO/IEC 7816-4:2020 §12.3.4.
const AID_PART_MIN: usize = 5;
/// Octets of the challenge that EXTERNAL AUTHENTICATE answers.
pub const CHALLENGE_LEN: usize = 16;

/// File identifiers and short references of the JPKI application that a terminal names.
pub mod fid {
    /// Signature certificate; behind the signature password.
    pub const SIGN_CERTIFICATE: u16 = 0x0001;
    /// Its issuer's certificate; free.
    pub const SIGN_ISSUER: u16 = 0x0002;
    /// Token information; free.
    pub const TOKEN_INFO: u16 = 0x0006;
    /// Which certificates there are; free.
    pub const PRESENCE: u16 = 0x0008;
    /// Card-holder authentication certificate; free.
    pub const AUTH_CERTIFICATE: u16 = 0x000A;
    /// Its issuer's certificate; free.
    pub const AUTH_ISSUER: u16 = 0x000B;
    /// Reference of the terminal certificates' root.
    pub const TERMINAL_ROOT: u16 = 0x0016;
    /// Card-holder authentication key.
    pub const AUTH_KEY: u16 = 0x0017;
    /// Authentication PIN.
    pub const AUTH_PIN: u16 = 0x0018;
    /// Signature key.
    pub const SIGN_KEY: u16 = 0x001A;
    /// Signature password.
    pub const SIGN_PASSWORD: u16 = 0x001B;
}

/// Whether a secret was presented since the application was entered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Presented {
    #[default]
    No,
    Yes,
}

/// Which application is selected. The other four of the real card are not emulated yet: their SELECT
/// answers 6A82.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Application {
    Jpki,
}

/// What is lost when another application is selected: the application's security status.
#[derive(Default, Debug)]
struct SecurityStatus {
    auth_pin: Presented,
    sign_password: Presented,
    institution: InstitutionSession,
}

/// What the card forgets at power-off.
#[derive(Default, Debug)]
pub(crate) struct VolatileState {
    application: Option<Application>,
    current_file: Option<File>,
    /// Outstanding, good once. GET CHALLENGE works without an application, so it stands outside.
    challenge: Option<[u8; CHALLENGE_LEN]>,
    security: SecurityStatus,
}

/// The application at work on one command.
pub(crate) struct JpkiAp<'a> {
    pub(crate) image: &'a CardImage,
    pub(crate) persistent: &'a mut PersistentState,
    pub(crate) volatile: &'a mut VolatileState,
    pub(crate) signatures: &'a mut SignatureCounts,
}

type Reply = Result<Answer, StatusWord>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    AuthPin,
    SignPassword,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PrivateKey {
    CardHolderAuth,
    DocumentSignature,
}

impl JpkiAp<'_> {
    /// Runs one command.
    pub(crate) fn run(mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        match (command.cla, command.ins) {
            (0x00, 0xA4) => self.select(command),
            (0x00, 0xB0) => self.read_binary(command),
            (0x00, 0xB2) => self.read_record(),
            (0x00, 0x84) => self.get_challenge(command, entropy),
            (0x00, 0x20) => self.guarded(|ap| ap.verify(command)),
            (0x00, 0x24) => self.guarded(|ap| ap.change_reference_data(command)),
            (0x00, 0x82) => self.guarded(|ap| ap.external_authenticate(command)),
            (0x80, 0xA2) => self.guarded(|ap| ap.load_terminal_certificate(command)),
            (0x80, 0x2A) => self.guarded(|ap| ap.compute_signature(command)),
            (0x00 | 0x80, _) => Err(StatusWord::UNKNOWN_INSTRUCTION),
            _ => Err(StatusWord::UNKNOWN_CLASS),
        }
    }

    /// A security command that fails takes the institution's status away: whatever went wrong, the
    /// terminal starts over.
    fn guarded(&mut self, run: impl FnOnce(&mut Self) -> Reply) -> Reply {
        let reply = run(self);
        // The empty VERIFY asks for a counter: its 63Cx is an answer, and arrives here as Ok.
        if reply.is_err() {
            self.volatile.security.institution = InstitutionSession::default();
        }
        reply
    }

    fn application(&self) -> Result<(), StatusWord> {
        self.volatile.application.map(|_| ()).ok_or(StatusWord::CONDITIONS)
    }

    /// SELECT, ISO/IEC 7816-4:2020 §11.2.2.
    fn select(&mut self, command: &CommandApdu<'_>) -> Reply {
        match (command.p1, command.p2) {
            (0x04, 0x00 | 0x0C) => {
                let part = command.data;
                if part.len() < AID_PART_MIN || !JPKI_AID.starts_with(part) {
                    return Err(StatusWord::NOT_FOUND);
                }
                // Entering an application anew clears its status; selecting it again keeps it, as the
                // real card does (so terminals must power the card down after use).
                if self.volatile.application != Some(Application::Jpki) {
                    self.volatile.security = SecurityStatus::default();
                }
                self.volatile.application = Some(Application::Jpki);
                self.volatile.current_file = None;
                Ok(if command.p2 == 0 { Answer::with(fci()) } else { Answer::done() })
            }
            (0x02, 0x0C) => {
                let fid: [u8; 2] = command.data.try_into().map_err(|_| StatusWord::WRONG_LENGTH)?;
                self.volatile.application.ok_or(StatusWord::NOT_FOUND)?;
                let file = File::find(self.image, u16::from_be_bytes(fid)).ok_or(StatusWord::NOT_FOUND)?;
                self.volatile.current_file = Some(file);
                Ok(Answer::done())
            }
            // The master file: refused after a reset, without effect later; its identifier is unknown.
            (0x00, 0x00) if command.data.is_empty() => match self.volatile.application {
                Some(_) => Ok(Answer::done()),
                None => Err(StatusWord::WRONG_PARAMETERS),
            },
            (0x00, 0x00 | 0x0C) => Err(StatusWord::NOT_FOUND),
            _ => Err(StatusWord::WRONG_PARAMETERS),
        }
    }

    /// READ BINARY with a 15-bit offset, or with a short identifier and an 8-bit offset, §11.3.3.
    fn read_binary(&mut self, command: &CommandApdu<'_>) -> Reply {
        if !command.data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let ne = usize::try_from(command.expected.ok_or(StatusWord::WRONG_LENGTH)?)
            .map_err(|_| StatusWord::WRONG_LENGTH)?;
        let offset = if command.p1 & 0x80 == 0 {
            usize::from(u16::from_be_bytes([command.p1, command.p2]))
        } else {
            self.volatile.application.ok_or(StatusWord::NO_CURRENT_FILE)?;
            if command.p1 & 0x60 != 0 {
                return Err(StatusWord::WRONG_PARAMETERS);
            }
            let file = File::find(self.image, u16::from(command.p1 & 0x1F)).ok_or(StatusWord::NOT_FOUND)?;
            self.volatile.current_file = Some(file);
            usize::from(command.p2)
        };
        let file = self.volatile.current_file.ok_or(StatusWord::NO_CURRENT_FILE)?;
        let content = match file.content(self.image) {
            Content::Free(bytes) => bytes,
            Content::BehindSignPassword(bytes) => match self.volatile.security.sign_password {
                Presented::Yes => bytes,
                Presented::No => return Err(StatusWord::SECURITY_STATUS),
            },
            Content::Closed => return Err(StatusWord::SECURITY_STATUS),
            Content::NotBinary => return Err(StatusWord::WRONG_FILE_KIND),
        };
        let rest = content.get(offset..).filter(|rest| !rest.is_empty()).ok_or(StatusWord::WRONG_OFFSET)?;
        let (data, status) = match rest.get(..ne) {
            Some(exact) => (exact, StatusWord::OK),
            // Le 00 asks for what there is; another Le asked for more than there is.
            None if command.expects_everything() => (rest, StatusWord::OK),
            None => (rest, StatusWord::END_OF_FILE),
        };
        Ok(Answer { data: data.to_vec(), status })
    }

    /// READ RECORD, §11.4.3: no file of this application has records.
    fn read_record(&self) -> Reply {
        Err(match self.volatile.current_file {
            Some(_) => StatusWord::WRONG_FILE_KIND,
            None => StatusWord::NO_CURRENT_FILE,
        })
    }

    /// GET CHALLENGE, §11.5.3: 1 to 256 octets, with or without an application; the extended form is
    /// refused as the real card refuses it.
    fn get_challenge(&mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        if command.form == LengthForm::Extended {
            return Err(StatusWord::CONDITIONS);
        }
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let (true, Some(ne)) = (command.data.is_empty(), command.expected) else {
            return Err(StatusWord::WRONG_LENGTH);
        };
        let mut challenge = vec![0u8; usize::try_from(ne).map_err(|_| StatusWord::WRONG_LENGTH)?];
        entropy.fill(&mut challenge);
        // A challenge of another length is a random number; nobody can authenticate with it.
        self.volatile.challenge = challenge.as_slice().try_into().ok();
        Ok(Answer::with(challenge))
    }

    fn named_secret(&self, p2: u8) -> Result<Secret, StatusWord> {
        self.application()?;
        let file = match p2 {
            0x80 => self.volatile.current_file.ok_or(StatusWord::NO_CURRENT_FILE)?,
            0x81..=0x9E => {
                File::find(self.image, u16::from(p2 & 0x1F)).ok_or(StatusWord::REFERENCE_NOT_FOUND)?
            }
            _ => return Err(StatusWord::WRONG_PARAMETERS),
        };
        match file {
            File::AuthPin => Ok(Secret::AuthPin),
            File::SignPassword => Ok(Secret::SignPassword),
            _ => Err(StatusWord::WRONG_FILE_KIND),
        }
    }

    /// `None` for the signature password of a card without signature.
    fn credential(&mut self, secret: Secret) -> Option<&mut Credential> {
        match secret {
            Secret::AuthPin => Some(&mut self.persistent.auth_pin),
            Secret::SignPassword => self.persistent.sign_password.as_mut(),
        }
    }

    fn presented(&mut self, secret: Secret) -> &mut Presented {
        match secret {
            Secret::AuthPin => &mut self.volatile.security.auth_pin,
            Secret::SignPassword => &mut self.volatile.security.sign_password,
        }
    }

    /// VERIFY, §11.5.6. Empty: asks for the tries left, always 63Cx (programs take a 9000 here for an
    /// error, although the standard allows it after a success).
    fn verify(&mut self, command: &CommandApdu<'_>) -> Reply {
        if command.p1 != 0 {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let secret = self.named_secret(command.p2)?;
        if command.expected.is_some() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if command.data.is_empty() {
            let tries = self.credential(secret).map_or(0, |credential| credential.tries_left);
            return Ok(Answer { data: Vec::new(), status: StatusWord::tries_left(tries) });
        }
        *self.presented(secret) = Presented::No;
        let tries_max = match secret {
            Secret::AuthPin => AUTH_PIN_TRIES,
            Secret::SignPassword => SIGN_PASSWORD_TRIES,
        };
        let credential = self.credential(secret).ok_or(StatusWord::BLOCKED)?;
        // Counted down before comparing: a power cut in between must not give a free try.
        credential.tries_left = credential.tries_left.checked_sub(1).ok_or(StatusWord::BLOCKED)?;
        if constant_time::verify_slices_are_equal(&credential.secret, command.data).is_err() {
            return Err(StatusWord::tries_left(credential.tries_left));
        }
        credential.tries_left = tries_max;
        *self.presented(secret) = Presented::Yes;
        Ok(Answer::done())
    }

    /// CHANGE REFERENCE DATA with the new value alone, §11.5.7: the old one was presented before.
    fn change_reference_data(&mut self, command: &CommandApdu<'_>) -> Reply {
        if (command.p1, command.p2) != (0x01, 0x80) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let secret = self.named_secret(command.p2)?;
        if command.data.is_empty() || command.expected.is_some() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        if *self.presented(secret) == Presented::No {
            return Err(StatusWord::SECURITY_STATUS);
        }
        let fits = match secret {
            Secret::AuthPin => AuthPin::from_octets(command.data).is_ok(),
            Secret::SignPassword => SignPassword::from_octets(command.data).is_ok(),
        };
        if !fits {
            return Err(StatusWord::WRONG_DATA);
        }
        let credential = self.credential(secret).ok_or(StatusWord::BLOCKED)?;
        credential.secret = Zeroizing::new(command.data.to_vec());
        Ok(Answer::done())
    }

    /// Loading a terminal certificate: body (`06 C1`), then signature (`00 C1`), link by link.
    fn load_terminal_certificate(&mut self, command: &CommandApdu<'_>) -> Reply {
        self.application()?;
        match self.volatile.current_file {
            Some(File::TerminalRoot) => {}
            Some(_) => return Err(StatusWord::WRONG_FILE_KIND),
            None => return Err(StatusWord::NO_CURRENT_FILE),
        }
        let (root, session) = (&self.image.terminal_root, &mut self.volatile.security.institution);
        match (command.p1, command.p2) {
            (0x06, 0xC1) => session.load_body(root, command.data)?,
            (0x00, 0xC1) => session.load_signature(root, command.data)?,
            _ => return Err(StatusWord::WRONG_PARAMETERS),
        }
        Ok(Answer::done())
    }

    /// EXTERNAL AUTHENTICATE, §11.5.4: the institution's signature over the outstanding challenge. The
    /// challenge is used up whatever comes of it.
    #[doc(alias = "外部認証")]
    fn external_authenticate(&mut self, command: &CommandApdu<'_>) -> Reply {
        let challenge = self.volatile.challenge.take();
        self.application()?;
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        if command.data.len() != RSA_OCTETS {
            return Err(StatusWord::WRONG_LENGTH);
        }
        self.volatile.security.institution.authenticate(challenge, command.data)?;
        Ok(Answer::done())
    }

    fn named_private_key(&self, p2: u8) -> Result<PrivateKey, StatusWord> {
        self.application()?;
        let file = match p2 {
            0x80 => self.volatile.current_file.ok_or(StatusWord::NO_CURRENT_FILE)?,
            0x81..=0x9E => {
                File::find(self.image, u16::from(p2 & 0x1F)).ok_or(StatusWord::REFERENCE_NOT_FOUND)?
            }
            _ => return Err(StatusWord::WRONG_PARAMETERS),
        };
        match file {
            File::AuthKey => Ok(PrivateKey::CardHolderAuth),
            File::SignKey => Ok(PrivateKey::DocumentSignature),
            _ => Err(StatusWord::WRONG_FILE_KIND),
        }
    }

    /// The card's signature command. P1 says what is padded how:
    ///
    /// | P1 | data | signature |
    /// |---|---|---|
    /// | 00 | 1 to 245 octets | PKCS#1 v1.5 over the data as given |
    /// | 01 | a message | PKCS#1 v1.5 over its bare SHA-256 |
    /// | 02 | a SHA-256 | PKCS#1 v1.5 over its DigestInfo |
    /// | 03 | a message | PKCS#1 v1.5 over the DigestInfo of its SHA-256 |
    /// | 04 | a SHA-256 | PSS |
    /// | 05 | a message | PSS over its SHA-256 |
    fn compute_signature(&mut self, command: &CommandApdu<'_>) -> Reply {
        // Taken first: one attempt, however it ends.
        let permission = self.volatile.security.institution.take_permission();
        let named = self.named_private_key(command.p2)?;
        let form = SignatureForm::of(command)?;
        match command.expected {
            None => return Err(StatusWord::WRONG_LENGTH),
            Some(ne) if ne < 256 => return Err(StatusWord::WRONG_EXPECTED_LENGTH),
            Some(_) => {}
        }
        let allowed = match named {
            PrivateKey::CardHolderAuth => {
                self.volatile.security.auth_pin == Presented::Yes || permission == Some(OneSignature)
            }
            PrivateKey::DocumentSignature => self.volatile.security.sign_password == Presented::Yes,
        };
        if !allowed {
            return Err(StatusWord::SECURITY_STATUS);
        }
        let (private_key, count) = match named {
            PrivateKey::CardHolderAuth => {
                (&self.image.card_holder_auth.private_key, &mut self.signatures.card_holder_auth)
            }
            PrivateKey::DocumentSignature => {
                let function =
                    self.image.document_signature.as_ref().ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
                (&function.certified.private_key, &mut self.signatures.document_signature)
            }
        };
        *count += 1;
        let signature = form.sign(private_key).map_err(|_| StatusWord::INTERNAL)?;
        Ok(Answer::with(signature.to_vec()))
    }
}

/// What is signed, with its length checked.
enum SignatureForm<'a> {
    AsGiven(&'a [u8]),
    BareHash([u8; 32]),
    DigestInfo([u8; 32]),
    Pss([u8; 32]),
}

impl<'a> SignatureForm<'a> {
    fn of(command: &CommandApdu<'a>) -> Result<Self, StatusWord> {
        let data = command.data;
        if command.p1 > 0x05 {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        if data.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let given = || <[u8; 32]>::try_from(data).map_err(|_| StatusWord::CONDITIONS);
        let hashed = || {
            let hash = digest::digest(&digest::SHA256, data);
            <[u8; 32]>::try_from(hash.as_ref()).map_err(|_| StatusWord::INTERNAL)
        };
        Ok(match command.p1 {
            0x00 if data.len() > RAW_DATA_MAX => return Err(StatusWord::CONDITIONS),
            0x00 => Self::AsGiven(data),
            0x01 => Self::BareHash(hashed()?),
            0x02 => Self::DigestInfo(given()?),
            0x03 => Self::DigestInfo(hashed()?),
            0x04 => Self::Pss(given()?),
            _ => Self::Pss(hashed()?),
        })
    }

    fn sign(&self, private_key: &CardRsaKey) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        match self {
            Self::AsGiven(data) => private_key.sign_pkcs1_raw(data),
            Self::BareHash(hash) => private_key.sign_pkcs1_raw(hash),
            Self::DigestInfo(hash) => private_key.sign_sha256_digest(hash),
            Self::Pss(hash) => private_key.sign_pss_sha256_digest(hash),
        }
    }
}

/// File control information: the application's name, ISO/IEC 7816-4:2020 §7.4.3.
fn fci() -> Vec<u8> {
    tlv::encode(Tag(0x6F), &tlv::encode(Tag(0x84), &JPKI_AID))
}
