//! GET DATA: what the card tells about itself beside its applications' files.
//!
//! | command | bytes | clause |
//! |---|---|---|
//! | GET DATA | `00 CA P1 P2 Le`, P1 P2 the object's tag | ISO/IEC 7816-4:2020 §11.4.3 |
//!
//! Objects stand in the image as `[[data_object]]`, and are free: they have no access rule, because real
//! cards give them out before anything can be presented.

use super::{Reply, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::image::Level;

impl Session<'_> {
    /// 6A88 for an object that is not there, or not at this level; 6700 with data, without Le, or where Le
    /// takes less than the object: real cards do not cut here, and do not tell the length either.
    pub(super) fn get_data(&self, command: &CommandApdu<'_>) -> Reply {
        let (true, Some(ne)) = (command.data.is_empty(), command.expected) else {
            return Err(StatusWord::WRONG_LENGTH);
        };
        let tag = u16::from_be_bytes([command.p1, command.p2]);
        let answers = |level| match level {
            Level::Anywhere => true,
            Level::MasterFile => self.application().is_err(),
        };
        let object = self.image.data_objects().iter().find(|object| object.layout.tag == tag);
        let object = object.filter(|object| answers(object.layout.level));
        let object = object.ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        let fits = u32::try_from(object.octets().len()).is_ok_and(|length| length <= ne);
        if fits { Ok(Answer::copied(object.octets())) } else { Err(StatusWord::WRONG_LENGTH) }
    }
}
