//! Command set `presence`: a card shows that it is there, with the application's own key and without
//! any secret.
//!
//! | command | bytes | |
//! |---|---|---|
//! | signature by the application's key | `80 2A P1 00 data Le` | the card's own |
//! | INTERNAL AUTHENTICATE | `00 88 00 P2 challenge Le` | ISO/IEC 7816-4:2020 §11.5.2 |
//!
//! The first is the signature command of [`super::jicsap_signature`] with no key named: P2 00 means the
//! application's first key. The second signs the SHA-256 of the challenge, PKCS#1 v1.5, and answers only
//! for keys of applications that have no signature command.

use super::jicsap_signature::SignatureForm;
use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::{CommandSet, Content};

pub(super) const SIGNATURE: CommandSetTable = CommandSetTable {
    commands: &[(0x80, 0x2A)],
    on_failure: OnFailure::Keep,
    secure_messaging: SecureMessaging::NotOffered,
    run: |session, command| (command.p2 == 0).then(|| sign(session, command)),
};

pub(super) const INTERNAL_AUTHENTICATE: CommandSetTable = CommandSetTable {
    commands: &[(0x00, 0x88)],
    on_failure: OnFailure::Keep,
    secure_messaging: SecureMessaging::NotOffered,
    run: |session, command| Some(internal_authenticate(session, command)),
};

const fn is_key(content: &Content) -> bool {
    matches!(content, Content::RsaKey(_))
}

/// As the signature command; 6A88 where the application has no key.
fn sign(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    let objects = session.application()?.objects();
    let place = objects.iter().position(|object| is_key(&object.content));
    let place = place.ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
    let form = SignatureForm::of(command)?;
    whole_signature_fits(command)?;
    let private_key = session.usable_rsa_key(place, None)?;
    session.count_use(place);
    Ok(Answer::copied(&form.sign(private_key).map_err(|_| StatusWord::INTERNAL)?))
}

/// 6700 without Le, 6C00 for one below 256.
const fn whole_signature_fits(command: &CommandApdu<'_>) -> Result<(), StatusWord> {
    match command.expected {
        None => Err(StatusWord::WRONG_LENGTH),
        Some(ne) if ne < 256 => Err(StatusWord::WRONG_EXPECTED_LENGTH),
        Some(_) => Ok(()),
    }
}

/// 6A86 for parameters, 6700 for a challenge that is not of 1 to 255 octets and without Le, 6C00; 6985
/// without an application, 6986 without a current file, 6A88 for a short identifier that nothing has,
/// 6981 for something else than a key, 6982 where the key's rule does not hold, 6985 for a key that has
/// the signature command.
fn internal_authenticate(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    if command.p1 != 0 {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    let place = session.named_object(command.p2, is_key)?;
    if !(1..=255).contains(&command.data.len()) {
        return Err(StatusWord::WRONG_LENGTH);
    }
    whole_signature_fits(command)?;
    let private_key = session.usable_rsa_key(place, None)?;
    let sets = &session.application()?.commands;
    if sets.iter().any(|set| matches!(set, CommandSet::Presence | CommandSet::JicsapSignature)) {
        return Err(StatusWord::CONDITIONS);
    }
    session.count_use(place);
    Ok(Answer::copied(&private_key.sign_sha256(command.data).map_err(|_| StatusWord::INTERNAL)?))
}
