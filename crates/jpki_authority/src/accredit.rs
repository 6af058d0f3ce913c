//! Accreditation of a terminal: its Secure Element gets a card-verifiable certificate under the
//! accredited body. Report, "External Auth. Scheme".
//!
//! The format of profile `jicsap` has neither dates nor roles; what a terminal may do is limited by the
//! platform that arms its key, not here. Profile [`eac`] has both.

pub mod eac;

use crate::approval::desk::InstitutionStanding;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::store::ReferenceHolder;
use card::cvc::{self, CvcChain, CvcPublicKey, KeyReference};
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;

/// Terminals are named from here on, upward.
const FIRST_TERMINAL_NUMBER: u32 = 1_000_000;
/// And below here: above are the root and the accredited body.
const LAST_TERMINAL_NUMBER: u32 = 9_989_999;
/// The second number of every terminal's name.
const TERMINAL_SECOND_NUMBER: u16 = 1;

/// A terminal's Secure Element, to be certified.
#[derive(Clone, Copy, Debug)]
pub struct TerminalAccreditation<'a> {
    /// The institution it stands in; kept in the store, not in the certificate, which has no room for it.
    pub institution: &'a InstitutionCode,
    /// Modulus of the Secure Element's institution key: 256 octets, big-endian; the exponent is 65,537.
    pub institution_key_modulus: &'a [u8],
}

impl Authority {
    /// Only terminals of institutions that were accredited get certificates (docs/approval.md).
    fn require_accredited(&self, institution: &InstitutionCode) -> Result<(), AuthorityError> {
        match self.store.institution(institution)? {
            Some(InstitutionStanding::Accredited) => Ok(()),
            Some(InstitutionStanding::Suspended) | None => Err(AuthorityError::NotAccredited),
        }
    }

    /// Certifies a terminal's institution key. The name of the key is durable before it is signed and
    /// never given twice. The chain begins under [`Authority::terminal_root`], which every card holds.
    ///
    /// # Errors
    /// [`AuthorityError::NotAccredited`], a modulus that is not of 2,048 bits, a store that refuses, or names used up.
    pub fn accredit(
        &self,
        terminal: TerminalAccreditation<'_>,
        now: UnixSeconds,
    ) -> Result<CvcChain, AuthorityError> {
        self.require_accredited(terminal.institution)?;
        let spent =
            self.store.spend_key_reference(ReferenceHolder::Institution(terminal.institution), now)?;
        let number = FIRST_TERMINAL_NUMBER.saturating_add(spent);
        let reference = KeyReference::numbered(number, TERMINAL_SECOND_NUMBER)
            .filter(|_| number <= LAST_TERMINAL_NUMBER)
            .ok_or(AuthorityError::ReferencesExhausted)?;
        let subject = CvcPublicKey::new(reference, terminal.institution_key_modulus)?;
        let leaf = cvc::issue(&self.accredited_body, subject)?;
        let chain = CvcChain { intermediate: self.accredited_body_cvc.clone(), leaf };
        metrics::counter!("kazasu_terminals_accredited_total").increment(1);
        Ok(chain)
    }
}
