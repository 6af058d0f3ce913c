//! Command set `secrets`: presenting and changing PINs and passwords.
//!
//! | command | bytes | clause |
//! |---|---|---|
//! | VERIFY | `00 20 00 P2 [secret]` | ISO/IEC 7816-4:2020 §11.5.6 |
//! | CHANGE REFERENCE DATA | `00 24 01 80 new`, or `00 24 00 P2 old new` as the image says | §11.5.7 |
//! | CHANGE KEY (set `change-key`) | `80 32 00 80 new` | JICSAP IC card specification 1.1 |
//!
//! P2 is 80 for the current file, 81 to 9E for a short identifier.

use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::{Application, ChangeBy, Content, Kind, Rule, SecretForm};
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
    run: |session, command| Some(change_key(session, command)),
};

fn run(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Option<Reply> {
    match command.ins {
        0x20 => Some(verify(session, command)),
        _ => Some(change_reference_data(session, command)),
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
    change_by: ChangeBy,
}

/// 6985 without an application, 6986 without a current file, 6A88 for a short identifier that nothing
/// has, 6981 for something else than a secret, 6A86 for another P2.
fn named<'a>(session: &Session<'a>, p2: u8) -> Result<Named<'a>, StatusWord> {
    let is_secret = |content: &Content| matches!(content, Content::Secret(_) | Content::BlockedSecret);
    let place = session.named_object(p2, is_secret)?;
    let object = session.object_at(place).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
    let Kind::Secret { form, tries, change, change_by } = &object.layout.kind else {
        return Err(StatusWord::WRONG_FILE_KIND);
    };
    Ok(Named {
        place,
        fid: object.fid(),
        content: &object.content,
        form,
        tries_max: *tries,
        change,
        change_by: *change_by,
    })
}

/// Tries left: 0 for a secret that can never be presented.
fn tries_left(session: &Session<'_>, application: &Application, named: &Named<'_>) -> u8 {
    session.persistent.tries_left(application, named.fid).unwrap_or(0)
}

/// How much of the data is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// As much as the right value has; all of it where it is shorter, which is wrong then.
    Front,
}

/// Compares what was presented, and gives what is behind it. 63Cx wrong, 6984 blocked.
fn present<'d>(
    session: &mut Session<'_>,
    named: &Named<'_>,
    data: &'d [u8],
    part: Part,
) -> Result<&'d [u8], StatusWord> {
    let application = session.application()?;
    session.security().clear_presented(named.place);
    let Content::Secret(issued) = named.content else {
        return Err(StatusWord::BLOCKED);
    };
    let fewer = tries_left(session, application, named).checked_sub(1).ok_or(StatusWord::BLOCKED)?;
    // Counted down before comparing: a power cut in between must not give a free try.
    session.persistent.set_tries(application.aid, named.fid, fewer, named.tries_max);
    let right = session.persistent.changed(application.aid, named.fid).unwrap_or(issued);
    let (presented, behind) = match part {
        Part::All => (data, &[][..]),
        Part::Front => data.split_at_checked(right.len()).unwrap_or((data, &[])),
    };
    if constant_time::verify_slices_are_equal(right, presented).is_err() {
        return Err(StatusWord::tries_left(fewer));
    }
    session.persistent.set_tries(application.aid, named.fid, named.tries_max, named.tries_max);
    session.security().set_presented(named.place);
    Ok(behind)
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
    if command.data.is_empty() {
        let left = tries_left(session, session.application()?, &named);
        return Ok(Answer::status(StatusWord::tries_left(left)));
    }
    present(session, &named, command.data, Part::All)?;
    Ok(Answer::done())
}

/// With the new value alone for the current file, where the secret's rule asks for the old one before;
/// or with the old value and the new one behind it. 6A86 for other parameters; see [`replace`].
fn change_reference_data(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    let change_by = match (command.p1, command.p2) {
        (0x01, 0x80) => ChangeBy::New,
        (0x00, _) => ChangeBy::OldAndNew,
        _ => return Err(StatusWord::WRONG_PARAMETERS),
    };
    replace(session, command, change_by)
}

/// With the new value alone. 6A86 for other parameters; see [`replace`].
fn change_key(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    if (command.p1, command.p2) != (0x00, 0x80) {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    replace(session, command, ChangeBy::New)
}

/// 6A86 for the form that is not the secret's in the image, 6700 without data or with Le, 63Cx and 6984
/// for the old value, 6982 where the rule does not hold, 6984 for a secret that nobody can present, 6A80
/// for a new value of another form.
fn replace(session: &mut Session<'_>, command: &CommandApdu<'_>, change_by: ChangeBy) -> Reply {
    let named = named(session, command.p2)?;
    if named.change_by != change_by {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    if command.data.is_empty() || command.expected.is_some() {
        return Err(StatusWord::WRONG_LENGTH);
    }
    let new = match change_by {
        ChangeBy::New => command.data,
        ChangeBy::OldAndNew => present(session, &named, command.data, Part::Front)?,
    };
    session.admit(named.change)?;
    if !matches!(named.content, Content::Secret(_)) {
        return Err(StatusWord::BLOCKED);
    }
    if !named.form.fits(new) {
        return Err(StatusWord::WRONG_DATA);
    }
    let aid = session.application()?.aid;
    session.persistent.change(aid, named.fid, new, named.tries_max);
    Ok(Answer::done())
}
