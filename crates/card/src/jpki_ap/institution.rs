//! Institution authentication on the card's side, profile `jicsap`: which terminal certificates were
//! loaded, whether their key was proved, and the one signature that this opens.

use crate::apdu::StatusWord;
use crate::cvc::{CvcBody, CvcError, CvcPublicKey, parse_load_signature};
use crate::external_authenticate_bytes;

/// Permission for exactly one signature by the card-holder authentication key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OneSignature;

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

/// Lives in the application's security status and dies with it.
#[doc(alias = "機関認証")]
#[derive(Default, Debug)]
pub(super) struct InstitutionSession {
    /// Checked keys, from the root downwards.
    links: Vec<CvcPublicKey>,
    pending: Option<Pending>,
    permission: Option<OneSignature>,
}

impl InstitutionSession {
    /// First half of loading: who certifies whom. 6A80 malformed, 6A88 unknown issuer.
    pub(super) fn load_body(&mut self, root: &CvcPublicKey, data: &[u8]) -> Result<(), StatusWord> {
        self.pending = None;
        self.permission = None;
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
    pub(super) fn load_signature(&mut self, root: &CvcPublicKey, data: &[u8]) -> Result<(), StatusWord> {
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
    /// the proof does not hold. The caller drops the whole session on an error.
    pub(super) fn authenticate(
        &mut self,
        challenge: Option<[u8; 16]>,
        signature: &[u8],
    ) -> Result<(), StatusWord> {
        self.permission = None;
        let challenge = challenge.ok_or(StatusWord::CONDITIONS)?;
        let [_, leaf] = self.links.as_slice() else {
            return Err(StatusWord::CONDITIONS);
        };
        leaf.verify(&external_authenticate_bytes(&challenge, &leaf.reference()), signature)
            .map_err(|_| StatusWord::AUTHENTICATION_FAILED)?;
        self.permission = Some(OneSignature);
        Ok(())
    }

    /// Takes the permission away and gives it to the caller, who uses it or loses it.
    pub(super) const fn take_permission(&mut self) -> Option<OneSignature> {
        self.permission.take()
    }
}
