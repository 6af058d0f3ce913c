//! What every card has, whatever its image: SELECT and GET CHALLENGE.
//!
//! | command | bytes | clause |
//! |---|---|---|
//! | SELECT by name | `00 A4 04 P2 AID [Le]` | ISO/IEC 7816-4:2020 §11.2.2 |
//! | SELECT a file of the application | `00 A4 00\|02 P2 FID [Le]` | |
//! | SELECT the master file | `00 A4 00 00` | |
//! | SELECT by identifier | `00 A4 00 P2 FID [Le]` | where the image says `select-by-path` |
//! | SELECT by path | `00 A4 08\|09 P2 path [Le]` | where the image says `select-by-path` |
//! | GET CHALLENGE | `00 84 00 00 Le` | §11.5.3 |
//!
//! P2 asks for control information (00 FCI, 04 FCP, 0C none) and, with a name, for the first (+0), last
//! (+1), next (+2) or previous (+3) application that fits. Without Le there is no control information,
//! whatever P2 asks for.

use super::session::Protection;
use super::volatile::{Challenge, SecurityStatus};
use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, LengthForm, StatusWord};
use crate::image::{Application, CommandSet, Content, Object};
use crate::tlv::{self, Tag};

/// The shortest part of an AID that selects: the registered provider identifier, §12.3.4.
const AID_PART_MIN: usize = 5;

/// File control information, §7.4.3: the template, and what stands in it.
const FCI: Tag = Tag(0x6F);
const FCP: Tag = Tag(0x62);
const FILE_SIZE: Tag = Tag(0x80);
const FILE_DESCRIPTOR: Tag = Tag(0x82);
const FILE_IDENTIFIER: Tag = Tag(0x83);
const APPLICATION_NAME: Tag = Tag(0x84);
const SHORT_IDENTIFIER: Tag = Tag(0x88);

/// Identifier and descriptor of the master file, §7.4.2 and §7.4.5.
const MASTER_FILE: &[u8] = &[0x3F, 0x00];
const DEDICATED_FILE: u8 = 0x38;

/// Command set `select-by-path`: no instruction of its own, it widens SELECT.
pub(super) const BY_PATH: CommandSetTable = CommandSetTable {
    commands: &[],
    on_failure: OnFailure::Keep,
    secure_messaging: SecureMessaging::NotOffered,
    run: |_, _| None,
};

/// What P2 asks to be told about what was selected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Template(Tag),
    Nothing,
}

/// Which of the applications that fit, §11.2.2 table 63.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occurrence {
    First,
    Last,
    Next,
    Previous,
}

/// 6A86 for file management data (08), and for bits that have no meaning.
const fn parameters(command: &CommandApdu<'_>) -> Result<(Occurrence, Wanted), StatusWord> {
    let occurrence = match command.p2 & 0x03 {
        0 => Occurrence::First,
        1 => Occurrence::Last,
        2 => Occurrence::Next,
        _ => Occurrence::Previous,
    };
    match command.p2 & !0x03 {
        0x00 | 0x04 if command.expected.is_none() => Ok((occurrence, Wanted::Nothing)),
        0x00 => Ok((occurrence, Wanted::Template(FCI))),
        0x04 => Ok((occurrence, Wanted::Template(FCP))),
        0x0C => Ok((occurrence, Wanted::Nothing)),
        _ => Err(StatusWord::WRONG_PARAMETERS),
    }
}

impl Session<'_> {
    /// 6A82 where nothing fits, 6A86 for parameters that are not offered. A SELECT that fails changes
    /// nothing.
    pub(super) fn select(&mut self, command: &CommandApdu<'_>) -> Reply {
        match command.p1 {
            0x04 => self.select_application(command),
            0x02 => self.select_file(command),
            0x00 | 0x08 | 0x09 if self.answers_to(CommandSet::SelectByPath) => self.select_by_path(command),
            // The master file: refused after a reset, without effect later; its identifier is unknown.
            0x00 if command.p2 == 0 && command.data.is_empty() => {
                self.application().map(|_| Answer::done()).map_err(|_| StatusWord::WRONG_PARAMETERS)
            }
            // "Master file, application or file": here files alone have identifiers.
            0x00 => self.select_file(command),
            _ => Err(StatusWord::WRONG_PARAMETERS),
        }
    }

    /// By name or by its beginning, the provider identifier at least. "Next" and "previous" look from
    /// the selected application on.
    fn select_application(&mut self, command: &CommandApdu<'_>) -> Reply {
        let (occurrence, wanted) = parameters(command)?;
        let part = command.data;
        if part.len() < AID_PART_MIN {
            return Err(StatusWord::NOT_FOUND);
        }
        let fits = |application: &&Application| application.aid.as_bytes().starts_with(part);
        let mut fitting =
            self.image.applications().iter().enumerate().filter(|(_, application)| fits(application));
        let current = self.volatile.application;
        let found = match (occurrence, current) {
            (Occurrence::First, _) | (Occurrence::Next, None) => fitting.next(),
            (Occurrence::Last, _) | (Occurrence::Previous, None) => fitting.next_back(),
            (Occurrence::Next, Some(current)) => fitting.find(|(place, _)| *place > current),
            (Occurrence::Previous, Some(current)) => fitting.take_while(|(place, _)| *place < current).last(),
        };
        let (place, application) = found.ok_or(StatusWord::NOT_FOUND)?;
        // Entering an application anew clears its status; selecting it again keeps it, as the real card
        // does (so terminals must power the card down after use).
        if current != Some(place) {
            self.volatile.security = SecurityStatus::default();
        }
        self.volatile.application = Some(place);
        self.volatile.current_file = None;
        Ok(match wanted {
            Wanted::Nothing => Answer::done(),
            Wanted::Template(tag) => {
                Answer::with(tlv::encode(tag, &tlv::encode(APPLICATION_NAME, application.aid.as_bytes())))
            }
        })
    }

    /// By identifier, in the selected application. 6700 for an identifier that is not of two octets.
    fn select_file(&mut self, command: &CommandApdu<'_>) -> Reply {
        let (Occurrence::First, wanted) = parameters(command)? else {
            return Err(StatusWord::WRONG_PARAMETERS);
        };
        let fid: [u8; 2] = command.data.try_into().map_err(|_| StatusWord::WRONG_LENGTH)?;
        self.select_in_application(fid, wanted)
    }

    fn select_in_application(&mut self, fid: [u8; 2], wanted: Wanted) -> Reply {
        let application = self.application().map_err(|_| StatusWord::NOT_FOUND)?;
        let place = application.place(u16::from_be_bytes(fid)).ok_or(StatusWord::NOT_FOUND)?;
        self.volatile.current_file = Some(place);
        Ok(self.control_of_current(wanted))
    }

    /// P1 00: the master file, or a file of what is selected. 08: a path from the master file. 09: a
    /// path from what is selected. No file stands deeper than one step. 6700 for a path of an odd length.
    fn select_by_path(&mut self, command: &CommandApdu<'_>) -> Reply {
        let (Occurrence::First, wanted) = parameters(command)? else {
            return Err(StatusWord::WRONG_PARAMETERS);
        };
        match (command.p1, command.data) {
            (0x00, [] | MASTER_FILE) => {
                self.leave_application(None);
                Ok(match wanted {
                    Wanted::Nothing => Answer::done(),
                    Wanted::Template(tag) => {
                        let mut inner = tlv::encode(FILE_DESCRIPTOR, &[DEDICATED_FILE]);
                        tlv::write(&mut inner, FILE_IDENTIFIER, MASTER_FILE);
                        Answer::with(tlv::encode(tag, &inner))
                    }
                })
            }
            (0x00 | 0x09, &[high, low]) if self.volatile.application.is_some() => {
                self.select_in_application([high, low], wanted)
            }
            (_, &[high, low]) => {
                let fid = u16::from_be_bytes([high, low]);
                let place = self.image.master_file().iter().position(|file| file.fid() == fid);
                self.leave_application(Some(place.ok_or(StatusWord::NOT_FOUND)?));
                Ok(self.control_of_current(wanted))
            }
            (_, path) if path.len() % 2 == 0 => Err(StatusWord::NOT_FOUND),
            _ => Err(StatusWord::WRONG_LENGTH),
        }
    }

    /// Up to the master file, to this file of it: what was reached in the application is lost.
    fn leave_application(&mut self, file: Option<usize>) {
        self.volatile.application = None;
        self.volatile.security = SecurityStatus::default();
        self.volatile.current_file = file;
    }

    fn control_of_current(&self, wanted: Wanted) -> Answer {
        match (wanted, self.current_file()) {
            (Wanted::Template(tag), Some(file)) => Answer::with(tlv::encode(tag, &self.file_control(file))),
            _ => Answer::done(),
        }
    }

    /// Descriptor, identifier, short identifiers; the size where the content is free: of a file behind
    /// a PIN the size says too much.
    fn file_control(&self, file: &Object) -> Vec<u8> {
        let mut inner = Vec::new();
        let (descriptor, size) = match &file.content {
            Content::Binary(octets) => (0x01, file.layout.read.is_free().then_some(octets.len())),
            Content::Records(_) => (0x04, None),
            // An internal file: keys, secrets, and what is closed. §7.4.5.
            _ => (0x08, None),
        };
        if let Some(size) = size.and_then(|size| u16::try_from(size).ok()) {
            tlv::write(&mut inner, FILE_SIZE, &size.to_be_bytes());
        }
        tlv::write(&mut inner, FILE_DESCRIPTOR, &[descriptor]);
        tlv::write(&mut inner, FILE_IDENTIFIER, &file.fid().to_be_bytes());
        for short in &file.layout.short {
            tlv::write(&mut inner, SHORT_IDENTIFIER, &[short << 3]);
        }
        inner
    }

    /// 1 to 256 octets, with or without an application. 6985 for the extended form in the clear, which
    /// the real card refuses; 6A86 for parameters; 6700 with data or without Le.
    pub(super) fn get_challenge(&mut self, command: &CommandApdu<'_>) -> Reply {
        if command.form == LengthForm::Extended && self.protection == Protection::Plain {
            return Err(StatusWord::CONDITIONS);
        }
        if (command.p1, command.p2) != (0, 0) {
            return Err(StatusWord::WRONG_PARAMETERS);
        }
        let (true, Some(ne @ 1..=256)) = (command.data.is_empty(), command.expected) else {
            return Err(StatusWord::WRONG_LENGTH);
        };
        let mut challenge = vec![0u8; usize::try_from(ne).map_err(|_| StatusWord::WRONG_LENGTH)?];
        self.entropy.fill(&mut challenge);
        self.volatile.challenge = Challenge::new(&challenge);
        Ok(Answer::with(challenge))
    }
}
