//! Between the wire and the commands: class byte, command chaining, GET RESPONSE, secure messaging.
//!
//! | part | clause of ISO/IEC 7816-4:2020 |
//! |---|---|
//! | class byte | §5.4.1 |
//! | command chaining | §5.3.3 |
//! | GET RESPONSE, response chaining | §5.3.4, §11.7.1 |
//! | secure messaging | §10 |
//!
//! Chaining is undone first, then secure messaging: what is wrapped is the whole command.

use super::secure_channel::{OnPlainCommand, SecureChannel};
use super::session::{Protection, Session};
use super::volatile::{OpenChain, PendingAnswer};
use super::{Reply, SecureMessaging};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use zeroize::Zeroizing;

/// Most octets of data in a chained command: as many as the extended form holds.
const CHAIN_MAX: usize = 65_535;

/// Whether more pieces of the command follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Last,
    MoreFollows,
}

/// A class byte taken apart.
#[derive(Clone, Copy)]
struct Class {
    /// 00 interindustry, 80 the card's own commands, which have the same bits here.
    bare: u8,
    piece: Piece,
    protection: Protection,
}

impl Class {
    /// 6881 for a logical channel other than the basic one (all of the further interindustry classes
    /// name one), 6E00 for classes that nothing here has.
    const fn of(cla: u8) -> Result<Self, StatusWord> {
        match cla {
            0x00..=0x1F | 0x80..=0x9F if cla & 0x03 == 0 => Ok(Self {
                bare: cla & 0x80,
                piece: if cla & 0x10 == 0 { Piece::Last } else { Piece::MoreFollows },
                protection: if cla & 0x0C == 0 { Protection::Plain } else { Protection::SecureMessaging },
            }),
            0x00..=0x1F | 0x40..=0x7F | 0x80..=0x9F => Err(StatusWord::CHANNEL_NOT_SUPPORTED),
            _ => Err(StatusWord::UNKNOWN_CLASS),
        }
    }
}

/// One command APDU in, an answer out. 6700 for bytes that are no APDU.
pub(super) fn exchange(mut session: Session<'_>, bytes: &[u8]) -> Reply {
    let pending = session.volatile.pending.take();
    let chain = session.volatile.chain.take();
    let parsed = CommandApdu::parse(bytes).map_err(|_| StatusWord::WRONG_LENGTH);
    let parsed = parsed.and_then(|command| Ok((Class::of(command.cla)?, command)));
    // Of the transport, not of the dialogue that secure messaging protects.
    if let Ok((_, command)) = parsed
        && (command.cla, command.ins) == (0x00, 0xC0)
    {
        return get_response(&mut session, pending, &command);
    }
    if !matches!(parsed, Ok((Class { protection: Protection::SecureMessaging, .. }, _))) {
        end_secure_messaging(&mut session);
    }
    let (class, command) = parsed?;
    let joined;
    let command = match chained(&mut session, chain, class, &command)? {
        Chained::Stored => return Ok(Answer::done()),
        Chained::Whole => command,
        Chained::Joined(data) => {
            joined = data;
            CommandApdu { data: &joined, ..command }
        }
    };
    let answer = match class.protection {
        Protection::Plain => session.run(&CommandApdu { cla: class.bare, ..command })?,
        Protection::SecureMessaging => secured(&mut session, &command)?,
    };
    Ok(fit(&mut session, answer, &command))
}

/// A command in the clear ends secure messaging, where that does not let it pass: a whole one, a piece of
/// one, and what is none at all.
fn end_secure_messaging(session: &mut Session<'_>) {
    let ends = |channel: &dyn SecureChannel| channel.on_plain_command() == OnPlainCommand::Ends;
    if session.security().channel.as_deref().is_some_and(ends) {
        session.security().channel = None;
        session.security().drop_institution();
    }
}

/// 6882 where the application has no secure messaging, 6985 where it is not on, 69FC where it would be
/// the one without integrity; 6987 and 6988 from the channel, which ends with them.
fn secured(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    let Some(mut channel) = session.security().channel.take() else {
        return Err(match command.cla & 0x0C {
            0x08 if session.offers(SecureMessaging::WithoutIntegrity) => StatusWord::NO_SESSION_KEY,
            _ if session.offers(SecureMessaging::Offered) => StatusWord::CONDITIONS,
            _ => StatusWord::SECURE_MESSAGING_NOT_SUPPORTED,
        });
    };
    // The chaining bit belongs to the last piece's transport, not to what was protected: it is clear.
    let inner = channel.unwrap(command).inspect_err(|_| session.security().drop_institution())?;
    let application = session.volatile.application;
    session.protection = Protection::SecureMessaging;
    let answer = session.run(&inner.apdu()).unwrap_or_else(Answer::status);
    session.protection = Protection::Plain;
    let wrapped = channel.wrap(answer).inspect_err(|_| session.security().drop_institution())?;
    // Not after the keys' application was left, nor over keys that this command has agreed on.
    if session.volatile.application == application && session.security().channel.is_none() {
        session.security().channel = Some(channel);
    }
    Ok(wrapped)
}

enum Chained {
    /// One more piece is there; the card answers 9000 and waits.
    Stored,
    /// The command came in one.
    Whole,
    /// The last piece; the data of all.
    Joined(Zeroizing<Vec<u8>>),
}

/// Joins the pieces of a command: the same class, instruction and parameters, the chaining bit in all
/// but the last, Le only in the last. Another command drops what came so far and is then run like any
/// other; a piece of the same command with other parameters is answered 6883, since its sender
/// believes in a chain that is not there. 6D00 for a command that nothing knows, 6884 for one without
/// data, 6700 for a piece without data or with Le, and past the limit.
fn chained(
    session: &mut Session<'_>,
    chain: Option<OpenChain>,
    class: Class,
    command: &CommandApdu<'_>,
) -> Result<Chained, StatusWord> {
    let header = [command.cla & !0x10, command.ins, command.p1, command.p2];
    let data = match chain {
        Some(OpenChain { header: open, data }) if open == header => Some(data),
        Some(OpenChain { header: [cla, ins, _, _], .. })
            if [cla, ins] == [command.cla & !0x10, command.ins] =>
        {
            return Err(StatusWord::LAST_OF_CHAIN_EXPECTED);
        }
        _ => None,
    };
    if class.piece == Piece::Last && data.is_none() {
        return Ok(Chained::Whole);
    }
    if data.is_none() {
        match (class.bare, command.ins) {
            (0x00, 0xA4) => {}
            // READ and GET commands.
            (0x00, 0xB0..=0xB3 | 0x84 | 0xC0) => return Err(StatusWord::CHAINING_NOT_SUPPORTED),
            (0x00, 0xCA) if !session.image.data_objects().is_empty() => {
                return Err(StatusWord::CHAINING_NOT_SUPPORTED);
            }
            (bare, ins) if session.knows(bare, ins) => {}
            _ => return Err(StatusWord::UNKNOWN_INSTRUCTION),
        }
    }
    let mut data = data.unwrap_or_default();
    if data.len() + command.data.len() > CHAIN_MAX {
        return Err(StatusWord::WRONG_LENGTH);
    }
    if class.piece == Piece::Last {
        data.extend_from_slice(command.data);
        return Ok(Chained::Joined(data));
    }
    if command.data.is_empty() || command.expected.is_some() {
        return Err(StatusWord::WRONG_LENGTH);
    }
    data.extend_from_slice(command.data);
    session.volatile.chain = Some(OpenChain { header, data });
    Ok(Chained::Stored)
}

/// Cuts an answer that is longer than the terminal takes: the rest waits for GET RESPONSE.
fn fit(session: &mut Session<'_>, mut answer: Answer, command: &CommandApdu<'_>) -> Answer {
    let ne = command.expected.map_or(0, |ne| usize::try_from(ne).unwrap_or(usize::MAX));
    if answer.data.len() <= ne {
        return answer;
    }
    let data = Zeroizing::new(std::mem::take(&mut answer.data));
    next_part(session, PendingAnswer { data, sent: 0, status: answer.status }, ne)
}

/// The next at most `ne` octets; 61xx while there is more, xx octets or 256 (00) and more.
fn next_part(session: &mut Session<'_>, mut pending: PendingAnswer, ne: usize) -> Answer {
    let rest = pending.data.get(pending.sent..).unwrap_or_default();
    let part = rest.get(..ne).unwrap_or(rest);
    let left = rest.len() - part.len();
    let answer = Answer::copied(part);
    if left == 0 {
        return Answer { status: pending.status, ..answer };
    }
    pending.sent += part.len();
    session.volatile.pending = Some(pending);
    Answer { status: StatusWord::more_data(left), ..answer }
}

/// 6D00 where nothing waits, as on a card that never splits an answer; 6A86 for parameters; 6700 with
/// data or without Le; 6Cxx where Le asks for more than waits, which then goes on waiting.
fn get_response(
    session: &mut Session<'_>,
    pending: Option<PendingAnswer>,
    command: &CommandApdu<'_>,
) -> Reply {
    let pending = pending.ok_or(StatusWord::UNKNOWN_INSTRUCTION)?;
    if (command.p1, command.p2) != (0, 0) {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    let (true, Some(ne)) = (command.data.is_empty(), command.expected) else {
        return Err(StatusWord::WRONG_LENGTH);
    };
    let ne = usize::try_from(ne).map_err(|_| StatusWord::WRONG_LENGTH)?;
    let left = pending.data.len() - pending.sent;
    if ne > left && !command.expects_everything() {
        session.volatile.pending = Some(pending);
        return Err(StatusWord::wrong_expected_length(left));
    }
    Ok(next_part(session, pending, ne))
}
