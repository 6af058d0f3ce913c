//! Command set `files`: reading.
//!
//! | command | bytes | clause |
//! |---|---|---|
//! | READ BINARY | `00 B0 P1 P2 Le` | ISO/IEC 7816-4:2020 §11.3.3 |
//! | READ BINARY, odd | `00 B1 P1 P2 {54 offset} Le`, answers `{53 octets}` | §11.3.3 |
//! | READ RECORD | `00 B2 number P2 Le` | §11.4.3 |

use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::{Content, Object};
use crate::tlv::{self, Tag};
use zeroize::Zeroizing;

pub(super) const SET: CommandSetTable = CommandSetTable {
    commands: &[(0x00, 0xB0), (0x00, 0xB1), (0x00, 0xB2)],
    on_failure: OnFailure::Keep,
    secure_messaging: SecureMessaging::NotOffered,
    run,
};

fn run(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Option<Reply> {
    match command.ins {
        0xB0 => Some(read_binary(session, command)),
        0xB1 => Some(read_binary_odd(session, command)),
        _ => Some(read_record(session, command)),
    }
}

/// Makes the file with this short identifier current. 6986 without an application, 6A82.
fn select_short(session: &mut Session<'_>, short: u8) -> Result<(), StatusWord> {
    let application = session.application().map_err(|_| StatusWord::NO_CURRENT_FILE)?;
    let is_file = |object: &&Object| {
        matches!(object.content, Content::Binary(_) | Content::Records(_) | Content::Closed)
    };
    let named = |object: &&Object| object.layout.short.contains(&short);
    // A key may have the short identifier of a file; reading means the file.
    let mut objects = application.objects().iter().filter(named);
    let file = objects.clone().find(is_file).or_else(|| objects.next()).ok_or(StatusWord::NOT_FOUND)?;
    session.volatile.current_file = application.place(file.fid());
    Ok(())
}

fn ne_without_data(command: &CommandApdu<'_>) -> Result<usize, StatusWord> {
    if command.data.is_empty() { ne(command) } else { Err(StatusWord::WRONG_LENGTH) }
}

fn ne(command: &CommandApdu<'_>) -> Result<usize, StatusWord> {
    usize::try_from(command.expected.ok_or(StatusWord::WRONG_LENGTH)?).map_err(|_| StatusWord::WRONG_LENGTH)
}

/// At most Ne octets; Le of zeros asks for what there is, another Le that is more than there is is
/// answered with 6282.
fn up_to(octets: &[u8], ne: usize, command: &CommandApdu<'_>) -> Answer {
    match octets.get(..ne) {
        Some(exact) => Answer::copied(exact),
        None if command.expects_everything() => Answer::copied(octets),
        None => Answer { status: StatusWord::END_OF_FILE, ..Answer::copied(octets) },
    }
}

/// With a 15-bit offset into the current file, or with a short identifier and an 8-bit offset. 6700
/// with data or without Le, 6986 without a current file, 6A86 for reserved bits, 6A82 for an unknown
/// short identifier, 6981 for something else than a transparent file, 6982, 6B00 at or past the end.
fn read_binary(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    let ne = ne_without_data(command)?;
    let offset = if command.p1 & 0x80 == 0 {
        usize::from(u16::from_be_bytes([command.p1, command.p2]))
    } else {
        if session.application().is_err() {
            return Err(StatusWord::NO_CURRENT_FILE);
        }
        if command.p1 & 0x60 != 0 {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        select_short(session, command.p1 & 0x1F)?;
        usize::from(command.p2)
    };
    Ok(up_to(current_from(session, offset)?, ne, command))
}

/// What the current transparent file has from this offset on. 6986, 6981, 6982, 6B00 as in
/// [`read_binary`].
fn current_from<'a>(session: &mut Session<'a>, offset: usize) -> Result<&'a [u8], StatusWord> {
    let file = session.current_file().ok_or(StatusWord::NO_CURRENT_FILE)?;
    let octets = match &file.content {
        Content::Binary(octets) => octets,
        Content::Closed => return Err(StatusWord::SECURITY_STATUS),
        _ => return Err(StatusWord::WRONG_FILE_KIND),
    };
    session.admit(&file.layout.read)?;
    octets.get(offset..).filter(|rest| !rest.is_empty()).ok_or(StatusWord::WRONG_OFFSET)
}

/// Offset data object of the odd READ BINARY, and the object around its answer, §11.3.1.
const OFFSET: Tag = Tag(0x54);
const DISCRETIONARY: Tag = Tag(0x53);

/// With an offset of any size in the data, and the file by P1-P2: 0000 the current one, 0001 to 001E a
/// short identifier, otherwise a file identifier. Le counts the whole answer. 6700 without Le or for one
/// below 3, 6A80 where the data is not one offset of 1 to 4 octets, 6986 without an application or
/// current file, 6A82 for an unknown identifier, then as [`read_binary`].
fn read_binary_odd(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    let ne = ne(command)?;
    let offset = tlv::read_single(command.data, OFFSET).map_err(|_| StatusWord::WRONG_DATA)?;
    if ne < 3 {
        return Err(StatusWord::WRONG_LENGTH);
    }
    if !(1..=4).contains(&offset.len()) {
        return Err(StatusWord::WRONG_DATA);
    }
    let offset = offset.iter().fold(0, |value: usize, octet| value << 8 | usize::from(*octet));
    match (command.p1, command.p2) {
        (0, 0) => {}
        (0, short @ 0x01..=0x1E) => select_short(session, short)?,
        (hi, lo) => {
            let application = session.application().map_err(|_| StatusWord::NO_CURRENT_FILE)?;
            let place = application.place(u16::from_be_bytes([hi, lo])).ok_or(StatusWord::NOT_FOUND)?;
            session.volatile.current_file = Some(place);
        }
    }
    let rest = current_from(session, offset)?;
    let header = match ne {
        ..=129 => 2,
        130..=258 => 3,
        _ => 4,
    };
    let answer = up_to(rest, (ne - header).min(if header == 2 { 127 } else { 0xFFFF }), command);
    Ok(Answer { data: tlv::encode(DISCRETIONARY, &answer.data), ..answer })
}

/// Which records P2 asks for, §11.4.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Range {
    One,
    AllFrom,
}

/// One record by its number (P2 `xxxxx100`), or all from that number on (`xxxxx101`). 6700 with data or without Le, 6986 without a current
/// file, 6A82 for an unknown short identifier, 6981 for something else than a file of records, 6A86
/// for other ways to name a record, 6982, 6A83 where there is no such record, 6Cxx where Le is less
/// than the record.
fn read_record(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    let ne = ne_without_data(command)?;
    match command.p2 >> 3 {
        0 => {}
        short => select_short(session, short)?,
    }
    let file = session.current_file().ok_or(StatusWord::NO_CURRENT_FILE)?;
    let Content::Records(records) = &file.content else {
        return Err(StatusWord::WRONG_FILE_KIND);
    };
    let all = match command.p2 & 0x07 {
        0x04 => Range::One,
        0x05 => Range::AllFrom,
        _ => return Err(StatusWord::WRONG_PARAMETERS),
    };
    session.admit(&file.layout.read)?;
    let number = usize::from(command.p1).checked_sub(1).ok_or(StatusWord::RECORD_NOT_FOUND)?;
    let record = records.get(number).ok_or(StatusWord::RECORD_NOT_FOUND)?;
    if all == Range::AllFrom {
        let rest = Zeroizing::new(
            records.iter().skip(number).flat_map(|record| record.iter().copied()).collect::<Vec<u8>>(),
        );
        return Ok(up_to(&rest, ne, command));
    }
    if ne < record.len() {
        return Err(StatusWord::wrong_expected_length(record.len()));
    }
    Ok(up_to(record, ne, command))
}
