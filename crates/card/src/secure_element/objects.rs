//! The objects of the image by their identifiers: read and replaced as their rules in the image say.

use super::image::{Access, fid, verify_eac_chain};
use super::{Reply, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::eac::cvc::{CvcDate, TerminalChain};
use crate::image::{Content, Object};
use protocol::entropy::Entropy;

/// Identifier of the evidence key of the next arming in GET DATA. It is no object of the image: it is
/// made when it is asked for.
const EVIDENCE_KEY: u16 = 0x0086;

impl Session<'_> {
    /// The object, if the rule of this access opens. 6A88 no such object, 6982 shut.
    fn admitted(&self, fid: u16, access: Access) -> Result<&Object, StatusWord> {
        let object = self.image.object(fid).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        if access.rule(object).opens(|term| self.volatile.arming.holds(term)) {
            Ok(object)
        } else {
            Err(StatusWord::SECURITY_STATUS)
        }
    }

    /// GET DATA, ISO/IEC 7816-4:2020 §11.6.3, P1 P2 being a file identifier. 6700 an Le without room.
    pub(super) fn get_data(&mut self, command: &CommandApdu<'_>, entropy: &mut dyn Entropy) -> Reply {
        let room = command.expected.and_then(|ne| usize::try_from(ne).ok()).unwrap_or(0);
        if !command.data.is_empty() || room == 0 {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let identifier = u16::from_be_bytes([command.p1, command.p2]);
        if identifier == EVIDENCE_KEY {
            return self.evidence_key(room, entropy);
        }
        match &self.admitted(identifier, Access::Read)?.content {
            Content::Binary(octets) if octets.len() <= room => Ok(Answer::with(octets.to_vec())),
            Content::Binary(_) => Err(StatusWord::WRONG_LENGTH),
            _ => Err(StatusWord::SECURITY_STATUS),
        }
    }

    /// PUT DATA, §11.6.4. Which objects take a new content stands in the image; which content, here.
    pub(super) fn put_data(&mut self, command: &CommandApdu<'_>) -> Reply {
        let identifier = u16::from_be_bytes([command.p1, command.p2]);
        self.admitted(identifier, Access::Write)?;
        match identifier {
            fid::PHYSICIANS => self.take_physicians(command.data),
            fid::EAC_CHAIN => self.take_eac_chain(command.data),
            _ => Err(StatusWord::CONDITIONS),
        }
    }

    /// The certificates of profile `eac` in force.
    pub(super) fn eac_chain(&self) -> &TerminalChain {
        self.kept.get().eac_chain.as_ref().unwrap_or(&self.image.eac_chain)
    }

    /// A newer chain for the same key, `7F21` objects one after the other. 6A80 malformed, 6300 under
    /// another root, for another key, or expired already; 6985 not newer.
    fn take_eac_chain(&mut self, data: &[u8]) -> Reply {
        let chain = TerminalChain::parse(data).map_err(|_| StatusWord::WRONG_DATA)?;
        // To verify it, the key need not be usable.
        let key = self.image.eac_key(|_| true).ok_or(StatusWord::INTERNAL)?;
        let today = CvcDate::at(self.kept.get().time_floor()).ok_or(StatusWord::CONDITIONS)?;
        verify_eac_chain(&chain, key, &self.image.terminal_root, today)
            .map_err(|_| StatusWord::AUTHENTICATION_FAILED)?;
        if chain.terminal().body().expiration <= self.eac_chain().terminal().body().expiration {
            return Err(StatusWord::CONDITIONS);
        }
        self.kept.change().eac_chain = Some(chain);
        Ok(Answer::done())
    }
}
