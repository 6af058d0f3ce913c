//! Command set `secrets`: presenting and changing PINs and passwords.
//!
//! | command | bytes | clause |
//! |---|---|---|
//! | VERIFY | `00 20 00 P2 [secret]` | ISO/IEC 7816-4:2020 §11.5.6 |
//! | CHANGE REFERENCE DATA | `00 24 01 80 secret` | §11.5.7 |
//! | CHANGE KEY (set `change-key`) | `80 32 00 80 secret` | JICSAP IC card specification 1.1 |
//!
//! P2 is 80 for the current file, 81 to 9E for a short identifier.

use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::{Content, Kind, Rule, SecretForm};
use aws_lc_rs::constant_time;

pub(super) const SET: CommandSetTable = CommandSetTable {
    commands: &[(0x00, 0x20), (0x00, 0x24)],
    on_failure: OnFailure::DropInstitution,
    secure_messaging: SecureMessaging::NotOffered,
    run,
};

pub(super) const CHANGE_KEY: CommandSetTable = CommandSetTable {
    commands: &[(0x80, 0x32)],
    on_failure: OnFailure::DropInstitution,
    secure_messaging: SecureMessaging::NotOffered,
    run: |session, command| Some(replace(session, command, 0x00)),
};

fn run(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Option<Reply> {
    match command.ins {
        0x20 => Some(verify(session, command)),
        _ => Some(replace(session, command, 0x01)),
    }
}

/// A secret that a command names.
struct Named<'a> {
    place: usize,
    fid: u16,
    content: &'a Content,
    form: &'a SecretForm,
    tries_max: u8,
    change: &'a Rule,
}

/// 6985 without an application, 6986 without a current file, 6A88 for a short identifier that nothing
/// has, 6981 for something else than a secret, 6A86 for another P2.
fn named<'a>(session: &Session<'a>, p2: u8) -> Result<Named<'a>, StatusWord> {
    let is_secret = |content: &Content| matches!(content, Content::Secret(_) | Content::BlockedSecret);
    let place = session.named_object(p2, is_secret)?;
    let object = session.object_at(place).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
    let Kind::Secret { form, tries, change } = &object.layout.kind else {
        return Err(StatusWord::WRONG_FILE_KIND);
    };
    Ok(Named { place, fid: object.fid(), content: &object.content, form, tries_max: *tries, change })
}

/// Empty: asks for the tries left, always 63Cx (programs take a 9000 here for an error, although the
/// standard allows it after a success). Otherwise 9000, 63Cx wrong, 6984 blocked; 6A86 for another P1,
/// 6700 with Le.
fn verify(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    if command.p1 != 0 {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    let named = named(session, command.p2)?;
    if command.expected.is_some() {
        return Err(StatusWord::WRONG_LENGTH);
    }
    let application = session.application()?;
    let tries_left = session.persistent.tries_left(application, named.fid).unwrap_or(0);
    if command.data.is_empty() {
        return Ok(Answer::status(StatusWord::tries_left(tries_left)));
    }
    session.security().clear_presented(named.place);
    let Content::Secret(issued) = named.content else {
        return Err(StatusWord::BLOCKED);
    };
    let fewer = tries_left.checked_sub(1).ok_or(StatusWord::BLOCKED)?;
    // Counted down before comparing: a power cut in between must not give a free try.
    session.persistent.set_tries(application.aid, named.fid, fewer, named.tries_max);
    let right = session.persistent.changed(application.aid, named.fid).unwrap_or(issued);
    if constant_time::verify_slices_are_equal(right, command.data).is_err() {
        return Err(StatusWord::tries_left(fewer));
    }
    session.persistent.set_tries(application.aid, named.fid, named.tries_max, named.tries_max);
    session.security().set_presented(named.place);
    Ok(Answer::done())
}

/// CHANGE REFERENCE DATA or CHANGE KEY, which differ in P1. With the new value alone: the old one was presented before, where the secret's rule asks for it.
/// 6A86 for other parameters, 6700 without data or with Le, 6982 where the rule does not hold, 6A80
/// for a value of another form.
fn replace(session: &mut Session<'_>, command: &CommandApdu<'_>, p1: u8) -> Reply {
    if (command.p1, command.p2) != (p1, 0x80) {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    let named = named(session, command.p2)?;
    if command.data.is_empty() || command.expected.is_some() {
        return Err(StatusWord::WRONG_LENGTH);
    }
    session.admit(named.change)?;
    if !matches!(named.content, Content::Secret(_)) {
        return Err(StatusWord::BLOCKED);
    }
    if !named.form.fits(command.data) {
        return Err(StatusWord::WRONG_DATA);
    }
    let aid = session.application()?.aid;
    session.persistent.change(aid, named.fid, command.data, named.tries_max);
    Ok(Answer::done())
}
