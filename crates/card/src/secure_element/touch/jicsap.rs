//! A touch in the clear, profile `jicsap`.
//!
//! | # | step | command | |
//! |---|---|---|---|
//! | 1 | select JPKI-AP | `00 A4 04 0C` | |
//! | 2… | read authentication certificate | `00 B0`, one for every 256 octets | then: has this card a touch left today? |
//! | 3 | select terminal root | `00 A4 02 0C 0016` | |
//! | 4, 5 | load accredited body's certificate, its signature | `80 A2 06 C1`, `80 A2 00 C1` | |
//! | 6, 7 | load terminal certificate, its signature | the same | |
//! | 8 | get challenge | `00 84 00 00 10` | then: count |
//! | 9 | external authenticate | `00 82 00 00` | |
//! | 10 | sign statement | `80 2A 02 97` | then: check and seal |
//!
//! The certificate is read first, although the real order is not known: so a card that has had its
//! touches never sees the institution's proof.

use super::{End, Means, Next, Touch, exactly, short_reference};
use crate::apdu::{CommandBuilder, ResponseApdu, StatusWord};
use crate::dialogue::Misbehaviour;
use crate::dialogue::der_file::{self, Pieces};
use crate::external_authenticate_bytes;
use crate::my_number_card::jpki::{CHALLENGE_LEN, fid};
use crate::secure_element::touch_protocol::{TouchFault, TouchStep};
use protocol::answer::CardProfile;

impl Touch {
    /// Takes a response in the clear.
    pub(super) fn absorb_in_the_clear(
        &mut self,
        response: &ResponseApdu<'_>,
        means: Means<'_>,
    ) -> Result<Next, End> {
        let data = match response.status {
            StatusWord::OK => response.data,
            StatusWord::NOT_FOUND if self.step == TouchStep::SelectApplication => {
                return Err(TouchFault::WrongCard.into());
            }
            status => return Err(TouchFault::CardRefused(status).into()),
        };
        let chain = &means.image.jicsap_chain;
        match self.step {
            TouchStep::ReadCertificate => self.read_on(data, &means),
            TouchStep::GetChallenge => self.prove_institution(exactly(data)?, means),
            TouchStep::SignStatement => self.seal(exactly(data)?, CardProfile::Jicsap),
            _ if !data.is_empty() => Err(Misbehaviour::Length.into()),
            TouchStep::SelectApplication => Ok(self.begin_in_the_clear()),
            TouchStep::SelectTerminalRoot => {
                load(TouchStep::LoadIntermediate, 0x06, &chain.intermediate.load_body())
            }
            TouchStep::LoadIntermediate => {
                load(TouchStep::LoadIntermediateSignature, 0x00, &chain.intermediate.load_signature())
            }
            TouchStep::LoadIntermediateSignature => load(TouchStep::LoadLeaf, 0x06, &chain.leaf.load_body()),
            TouchStep::LoadLeaf => load(TouchStep::LoadLeafSignature, 0x00, &chain.leaf.load_signature()),
            TouchStep::LoadLeafSignature => {
                let command = CommandBuilder::new(0x00, 0x84, 0x00, 0x00).expect(16).encode()?;
                Ok(Next::Send(TouchStep::GetChallenge, command))
            }
            TouchStep::ExternalAuthenticate => {
                Ok(Next::Send(TouchStep::SignStatement, self.signature_command()?))
            }
            // The other dialogue's.
            _ => Err(End::Refused(StatusWord::INTERNAL)),
        }
    }

    /// The application is selected: the certificate comes first.
    pub(super) fn begin_in_the_clear(&self) -> Next {
        let first = der_file::first_command(short_reference(fid::AUTH_CERTIFICATE), Pieces::Short);
        Next::Send(TouchStep::ReadCertificate, first)
    }

    /// The certificate, piece by piece; when it is whole, its card must have a touch left.
    fn read_on(&mut self, data: &[u8], means: &Means<'_>) -> Result<Next, End> {
        if let Some(next) = self.certificate.absorb(data)? {
            return Ok(Next::Send(TouchStep::ReadCertificate, next));
        }
        self.know_card();
        self.check_room(means.kept)?;
        let identifier = fid::TERMINAL_ROOT.to_be_bytes();
        let command = CommandBuilder::new(0x00, 0xA4, 0x02, 0x0C).data(&identifier).encode()?;
        Ok(Next::Send(TouchStep::SelectTerminalRoot, command))
    }

    /// Counts, then signs the card's challenge.
    fn prove_institution(
        &mut self,
        challenge: &[u8; CHALLENGE_LEN],
        mut means: Means<'_>,
    ) -> Result<Next, End> {
        self.count(&mut means)?;
        let key = means.image.jicsap_key(|term| self.grant.holds(term));
        let leaf = means.image.jicsap_chain.leaf.body().subject.reference();
        let proof = key
            .ok_or(End::Refused(StatusWord::SECURITY_STATUS))?
            .sign_sha256(&external_authenticate_bytes(challenge, &leaf))
            .map_err(|_| End::Refused(StatusWord::INTERNAL))?;
        let command = CommandBuilder::new(0x00, 0x82, 0x00, 0x00).data(&proof).encode()?;
        Ok(Next::Send(TouchStep::ExternalAuthenticate, command))
    }
}

/// One half of a terminal certificate.
fn load(step: TouchStep, p1: u8, half: &[u8]) -> Result<Next, End> {
    Ok(Next::Send(step, CommandBuilder::new(0x80, 0xA2, p1, 0xC1).data(half).encode()?))
}
