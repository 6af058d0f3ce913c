//! Command set `jicsap-signature`: the signature command of the JPKI application, the card's own.
//!
//! `80 2A P1 P2 data Le`; P2 names the key (80 the current file, 81 to 9E a short identifier), P1 says
//! what is padded how:
//!
//! | P1 | data | signature |
//! |---|---|---|
//! | 00 | 1 to 245 octets | PKCS#1 v1.5 over the data as given |
//! | 01 | a message | PKCS#1 v1.5 over its bare SHA-256 |
//! | 02 | a SHA-256 | PKCS#1 v1.5 over its DigestInfo |
//! | 03 | a message | PKCS#1 v1.5 over the DigestInfo of its SHA-256 |
//! | 04 | a SHA-256 | PSS |
//! | 05 | a message | PSS over its SHA-256 |

use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::Content;
use crate::rsa_key::{CardRsaKey, RAW_DATA_MAX, RSA_OCTETS, RsaKeyError};
use aws_lc_rs::digest;

pub(super) const SET: CommandSetTable = CommandSetTable {
    commands: &[(0x80, 0x2A)],
    on_failure: OnFailure::DropInstitution,
    secure_messaging: SecureMessaging::NotOffered,
    run,
};

fn run(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Option<Reply> {
    Some(compute_signature(session, command))
}

/// 6985 without an application or for data that P1 does not take, 6986 without a current file, 6A88
/// for a short identifier that nothing has, 6981 for something else than a key, 6A86 for other
/// parameters, 6700 without data or Le, 6C00 for an Le below 256, 6982 where the key's rule does not
/// hold.
fn compute_signature(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    // Taken first: one attempt, however it ends.
    let permission = session.security().permission.take();
    let object = session.named_object(command.p2, |content| matches!(content, Content::RsaKey(_)))?;
    let form = SignatureForm::of(command)?;
    match command.expected {
        None => return Err(StatusWord::WRONG_LENGTH),
        Some(ne) if ne < 256 => return Err(StatusWord::WRONG_EXPECTED_LENGTH),
        Some(_) => {}
    }
    let private_key = session.usable_rsa_key(object, permission)?;
    session.count_use(object);
    let signature = form.sign(private_key).map_err(|_| StatusWord::INTERNAL)?;
    Ok(Answer::copied(&signature))
}

/// What is signed, with its length checked.
pub(super) enum SignatureForm<'a> {
    AsGiven(&'a [u8]),
    BareHash([u8; 32]),
    DigestInfo([u8; 32]),
    Pss([u8; 32]),
}

impl<'a> SignatureForm<'a> {
    pub(super) fn of(command: &CommandApdu<'a>) -> Result<Self, StatusWord> {
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

    pub(super) fn sign(&self, private_key: &CardRsaKey) -> Result<[u8; RSA_OCTETS], RsaKeyError> {
        match self {
            Self::AsGiven(data) => private_key.sign_pkcs1_raw(data),
            Self::BareHash(hash) => private_key.sign_pkcs1_raw(hash),
            Self::DigestInfo(hash) => private_key.sign_sha256_digest(hash),
            Self::Pss(hash) => private_key.sign_pss_sha256_digest(hash),
        }
    }
}
