//! Command set `jicsap-institution`: which terminal certificates were loaded, whether their key was
//! proved, and the one use that this opens.
//!
//! | command | bytes | clause |
//! |---|---|---|
//! | load terminal certificate | `80 A2 06\|00 C1` | the card's own |
//! | EXTERNAL AUTHENTICATE | `00 82 00 00 signature` | ISO/IEC 7816-4:2020 §11.5.4 |
//!
//! The loading is public; what follows it on the real card is not, so challenge, proof and the one-shot
//! permission are Kazasu's own.

use super::volatile::OneUse;
use super::{CommandSetTable, OnFailure, Reply, SecureMessaging, Session};
use crate::apdu::{Answer, CommandApdu, StatusWord};
use crate::cvc::{CvcBody, CvcError, CvcPublicKey, parse_load_signature};
use crate::external_authenticate_bytes;
use crate::image::Content;
use crate::rsa_key::RSA_OCTETS;

pub(super) const SET: CommandSetTable = CommandSetTable {
    commands: &[(0x80, 0xA2), (0x00, 0x82)],
    on_failure: OnFailure::DropInstitution,
    secure_messaging: SecureMessaging::NotOffered,
    run,
};

fn run(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Option<Reply> {
    match command.ins {
        0xA2 => Some(load_terminal_certificate(session, command)),
        _ => Some(external_authenticate(session, command)),
    }
}

/// How many certificates stand between the root and the key that authenticates: the accredited body
/// and the terminal. The format carries no role, so the depth is the role: only the second link
/// authenticates, and it cannot certify a third.
const LINKS: usize = 2;

/// A body whose signature has not come yet, and the place it would take.
#[derive(Debug)]
struct Pending {
    body: CvcBody,
    place: usize,
}

/// The terminal's chain so far. Lives in the application's security status and dies with it.
#[doc(alias = "機関認証")]
#[derive(Default, Debug)]
pub(crate) struct InstitutionSession {
    /// Checked keys, from the root downwards.
    links: Vec<CvcPublicKey>,
    pending: Option<Pending>,
}

impl InstitutionSession {
    /// First half of loading: who certifies whom. 6A80 malformed, 6A88 unknown issuer.
    fn load_body(&mut self, root: &CvcPublicKey, data: &[u8]) -> Result<(), StatusWord> {
        self.pending = None;
        let body = CvcBody::parse_load(data).map_err(|_| StatusWord::WRONG_DATA)?;
        let issuers = std::iter::once(root).chain(&self.links).take(LINKS);
        let place = issuers
            .into_iter()
            .position(|issuer| issuer.reference() == body.issuer)
            .ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        self.pending = Some(Pending { body, place });
        Ok(())
    }

    /// Second half: the issuer's signature. 6A80 malformed, 6985 without a body, 6988 wrong signature.
    fn load_signature(&mut self, root: &CvcPublicKey, data: &[u8]) -> Result<(), StatusWord> {
        let Pending { body, place } = self.pending.take().ok_or(StatusWord::CONDITIONS)?;
        let signature = parse_load_signature(data).map_err(|_| StatusWord::WRONG_DATA)?;
        let issuer =
            std::iter::once(root).chain(&self.links).nth(place).ok_or(StatusWord::REFERENCE_NOT_FOUND)?;
        issuer
            .verify(&body.encode(), signature)
            .map_err(|_: CvcError| StatusWord::WRONG_CERTIFICATE_SIGNATURE)?;
        self.links.truncate(place);
        self.links.push(body.subject);
        Ok(())
    }

    /// Checks the proof over the challenge. 6985 without challenge or without terminal key, 6300 where
    /// the proof does not hold.
    fn authenticate(&self, challenge: Option<[u8; 16]>, signature: &[u8]) -> Result<OneUse, StatusWord> {
        let challenge = challenge.ok_or(StatusWord::CONDITIONS)?;
        let [_, leaf] = self.links.as_slice() else {
            return Err(StatusWord::CONDITIONS);
        };
        leaf.verify(&external_authenticate_bytes(&challenge, &leaf.reference()), signature)
            .map_err(|_| StatusWord::AUTHENTICATION_FAILED)?;
        Ok(OneUse)
    }
}

/// Body (`06 C1`), then signature (`00 C1`), link by link. 6985 without an application, 6986 without a
/// current file, 6981 where that is not the root's, 6A86 for other parameters.
fn load_terminal_certificate(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    session.application()?;
    let file = session.current_file().ok_or(StatusWord::NO_CURRENT_FILE)?;
    let Content::TerminalRoot(root) = &file.content else {
        return Err(StatusWord::WRONG_FILE_KIND);
    };
    let security = session.security();
    match (command.p1, command.p2) {
        (0x06, 0xC1) => {
            security.permission = None;
            security.jicsap.load_body(root, command.data)?;
        }
        (0x00, 0xC1) => security.jicsap.load_signature(root, command.data)?,
        _ => return Err(StatusWord::WRONG_PARAMETERS),
    }
    Ok(Answer::done())
}

/// The institution's signature over the outstanding challenge, which is used up whatever comes of it.
/// 6985 without an application, 6A86 for other parameters, 6700 for another length than 256 octets,
/// then as [`InstitutionSession::authenticate`].
#[doc(alias = "外部認証")]
fn external_authenticate(session: &mut Session<'_>, command: &CommandApdu<'_>) -> Reply {
    let challenge = session.take_challenge();
    session.application()?;
    if (command.p1, command.p2) != (0, 0) {
        return Err(StatusWord::WRONG_PARAMETERS);
    }
    if command.data.len() != RSA_OCTETS {
        return Err(StatusWord::WRONG_LENGTH);
    }
    let security = session.security();
    security.permission = None;
    security.permission = Some(security.jicsap.authenticate(challenge, command.data)?);
    Ok(Answer::done())
}
