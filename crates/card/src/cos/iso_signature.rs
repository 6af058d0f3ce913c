//! Command set `iso-signature`: signing in the words of ISO/IEC 7816-8, as HPKI cards do.
//!
//! | command | bytes | clause |
//! |---|---|---|
//! | MANAGE SECURITY ENVIRONMENT, SET | `00 22 41 B6 {81 file \| 84 key}` | ISO/IEC 7816-4:2020 §11.5.11, JAHIS 24-002 C.5 |
//! | PERFORM SECURITY OPERATION, COMPUTE DIGITAL SIGNATURE | `00 2A 9E 9A data Le` | ISO/IEC 7816-8:2021 §5.4, JAHIS 24-002 C.6 |
//!
//! The guideline has the padding done outside the card: data of the modulus' length is a block, and is
//! signed as it is. Shorter data is padded here (PKCS#1 v1.5, type 1), which programs expect that send
//! a bare DigestInfo.

use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::{Application, Content, Object};
use crate::rsa_key::{RAW_DATA_MAX, RSA_OCTETS, RsaKeyError};
use crate::tlv::{Tag, TlvReader};

pub(super) const SET: CommandSetTable = CommandSetTable {
    commands: &[(0x00, 0x22), (0x00, 0x2A)],
    on_failure: OnFailure::DropInstitution,
    secure_messaging: SecureMessaging::NotOffered,
    run,
};

/// Digital signature template of the current security environment: which key signs. Lives in the
/// application's security status and dies with it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Template {
    /// Place of the key in the application.
    key: Option<usize>,
}

/// File reference and key reference in a control reference template, ISO/IEC 7816-4:2020 §10.3.
const FILE_REFERENCE: Tag = Tag(0x81);
const KEY_REFERENCE: Tag = Tag(0x84);

fn run(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Option<Reply> {
    match (command.ins, command.p1, command.p2) {
        (0x22, 0x41, 0xB6) => Some(set_template(session, command)),
        (0x2A, 0x9E, 0x9A) => Some(compute_digital_signature(session, command)),
        _ => None,
    }
}

fn is_key(object: &Object) -> bool {
    matches!(object.content, Content::RsaKey(_))
}

/// The key with this identifier. 6A88 where there is none.
fn by_identifier(application: &Application, fid: u16) -> Result<usize, StatusWord> {
    let place = application.objects().iter().position(|object| object.fid() == fid && is_key(object));
    place.ok_or(StatusWord::REFERENCE_NOT_FOUND)
}

/// The key with this short identifier. 6A88 where there is none.
fn by_short_identifier(application: &Application, short: u8) -> Result<usize, StatusWord> {
    let named = |object: &Object| is_key(object) && object.layout.short.contains(&short);
    application.objects().iter().position(named).ok_or(StatusWord::REFERENCE_NOT_FOUND)
}

/// By `81` with a file identifier; by `84` with a file identifier, as programs for issued cards send it,
/// or a short identifier, with or without the bit (80) for references of the application. Both must mean
/// the same key. 6985 without an application, 6700 without data or with Le, 6A80 for other data objects,
/// 6A88 where there is no such key. A failure leaves no key chosen.
fn set_template(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    let application = session.application()?;
    session.security().signature_template = Template::default();
    if command.data.is_empty() || command.expected.is_some() {
        return Err(StatusWord::WRONG_LENGTH);
    }
    let mut objects = TlvReader::new(command.data);
    let mut chosen = None;
    while !objects.is_empty() {
        let object = objects.read().map_err(|_| StatusWord::WRONG_DATA)?;
        let place = match (object.tag, object.value) {
            (FILE_REFERENCE | KEY_REFERENCE, [high, low]) => {
                by_identifier(application, u16::from_be_bytes([*high, *low]))?
            }
            (KEY_REFERENCE, [reference]) if reference & 0x60 == 0 => {
                by_short_identifier(application, reference & 0x1F)?
            }
            _ => return Err(StatusWord::WRONG_DATA),
        };
        if chosen.replace(place).is_some_and(|other| other != place) {
            return Err(StatusWord::REFERENCE_NOT_FOUND);
        }
    }
    session.security().signature_template = Template { key: chosen };
    Ok(Answer::done())
}

/// 6985 without an application or a chosen key, 6700 without data or for more than the modulus' 256
/// octets, 6A80 for 246 to 255 octets and for a block that is not below the modulus, 6982 where the
/// key's rule does not hold.
fn compute_digital_signature(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    // Taken first: one attempt, however it ends.
    let permission = session.security().permission.take();
    session.application()?;
    let place = session.security().signature_template.key.ok_or(StatusWord::CONDITIONS)?;
    let data = command.data;
    let block = match data.len() {
        1..=RAW_DATA_MAX => None,
        RSA_OCTETS => data.first_chunk::<RSA_OCTETS>(),
        length if (1..RSA_OCTETS).contains(&length) => return Err(StatusWord::WRONG_DATA),
        _ => return Err(StatusWord::WRONG_LENGTH),
    };
    let private_key = session.usable_rsa_key(place, permission)?;
    session.count_use(place);
    let signature = match block {
        Some(block) => private_key.sign_block(block),
        None => private_key.sign_pkcs1_raw(data),
    };
    match signature {
        Ok(signature) => Ok(Answer::copied(&signature)),
        Err(RsaKeyError::Range) => Err(StatusWord::WRONG_DATA),
        Err(_) => Err(StatusWord::INTERNAL),
    }
}
