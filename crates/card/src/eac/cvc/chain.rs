//! From certificate to certificate: what a card takes over from one, and what it then believes.

use super::{Authorisation, ChainKind, Cvc, CvcDate, HolderReference, KeyPurpose, ParseError, Rights, Role};
use crate::eac::p256::{P256Error, P256Point};

/// Why a certificate is not taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImportError {
    /// Not the format.
    #[error("not a certificate of this profile: {0}")]
    Parse(#[from] ParseError),
    /// It names another issuer than the key it is checked against.
    #[error("the certificate names another issuer")]
    Issuer,
    /// The signature does not hold.
    #[error("the issuer's signature does not hold")]
    Signature(#[from] P256Error),
    /// Chain, role or purpose of the key do not fit under the issuer.
    #[error("the certificate's role does not fit under its issuer")]
    Role,
    /// Its last day is over, as far as is known.
    #[error("the certificate expired on {0}")]
    Expired(CvcDate),
    /// The issuer's last day is over: it certifies nobody but its successor.
    #[error("the issuer expired on {0}")]
    IssuerExpired(CvcDate),
    /// The certificates are there and not a chain of accredited body and terminal.
    #[error("not a chain of accredited body and terminal")]
    Chain,
}

/// A key that was checked, and what its holder may do after everything above it was taken into account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CertifiedKey {
    /// Its name.
    pub holder: HolderReference,
    /// The key.
    pub key: P256Point,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Chain and role as certified; the rights are the effective ones.
    pub authorisation: Authorisation,
    /// The last day on which it counts.
    pub expiration: CvcDate,
}

/// A root that was put into a card, or into a Secure Element, by somebody who may.
#[doc(alias = "トラストアンカー")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustAnchor {
    certificate: Cvc,
}

impl TrustAnchor {
    /// From a self-signed certificate of a CVCA.
    ///
    /// # Errors
    /// [`ImportError::Role`] for another role, [`ImportError::Issuer`] where it is not self-signed,
    /// [`ImportError::Signature`].
    pub fn new(certificate: Cvc) -> Result<Self, ImportError> {
        let body = certificate.body();
        if body.authorisation.role != Role::Cvca || body.purpose != KeyPurpose::Signature {
            return Err(ImportError::Role);
        }
        if body.authority != body.holder {
            return Err(ImportError::Issuer);
        }
        certificate.verify_signature(&body.key)?;
        Ok(Self { certificate })
    }

    /// From the certificate's octets.
    ///
    /// # Errors
    /// [`ImportError::Parse`], or as [`Self::new`].
    pub fn parse(octets: &[u8]) -> Result<Self, ImportError> {
        Self::new(Cvc::parse(octets)?)
    }

    /// Its certificate.
    pub const fn certificate(&self) -> &Cvc {
        &self.certificate
    }

    /// Its key.
    pub const fn key(&self) -> CertifiedKey {
        certified(self.certificate.body(), self.certificate.body().authorisation)
    }
}

const fn certified(body: &super::CvcBody, authorisation: Authorisation) -> CertifiedKey {
    CertifiedKey {
        holder: body.holder,
        key: body.key,
        purpose: body.purpose,
        authorisation,
        expiration: body.expiration,
    }
}

/// What a certificate brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imported {
    /// The certified key with effective rights.
    pub key: CertifiedKey,
    /// The day that is believed to have come: never earlier than before.
    pub today: CvcDate,
}

/// Takes over one certificate under a key that was checked before, TR-03110-3 chapter 2.
///
/// - The signature holds under the issuer's key, and the certificate names it.
/// - Chain and role: a CVCA certifies accredited bodies and its successor; an accredited body certifies
///   terminals; a card issuer's CVCA certifies batches directly. Nothing else.
/// - Dates: `today` is the latest day the verifier knows to have come. Expired certificates are refused,
///   but for links from one CVCA to the next, which a card that lay in a drawer must still be able to
///   follow. The effective date may lie after `today`, since a card has no clock; for links, accredited
///   bodies and terminals of domestic accredited bodies it then becomes the new `today`.
/// - Rights: what issuer and certificate both have; a CVCA, linked or not, is where rights begin.
///
/// # Errors
/// [`ImportError`]; nothing is believed then, not even the date.
pub fn import(certificate: &Cvc, issuer: &CertifiedKey, today: CvcDate) -> Result<Imported, ImportError> {
    let body = certificate.body();
    if body.authority != issuer.holder {
        return Err(ImportError::Issuer);
    }
    certificate.verify_signature(&issuer.key)?;
    let (above, own) = (issuer.authorisation, body.authorisation);
    let believed_date = date_effect(above, own, body.purpose).ok_or(ImportError::Role)?;
    if own.role != Role::Cvca {
        if issuer.expiration < today {
            return Err(ImportError::IssuerExpired(issuer.expiration));
        }
        if body.expiration < today {
            return Err(ImportError::Expired(body.expiration));
        }
    }
    let today = match believed_date {
        DateEffect::MovesForward => today.max(body.effective),
        DateEffect::None => today,
    };
    let rights = if own.role == Role::Cvca { own.rights } else { own.rights.and(above.rights) };
    let effective = Authorisation { rights, ..own };
    Ok(Imported { key: certified(body, effective), today })
}

/// Whether a certificate's effective date is believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DateEffect {
    MovesForward,
    None,
}

/// `None` where this role does not stand under that one.
const fn date_effect(above: Authorisation, own: Authorisation, purpose: KeyPurpose) -> Option<DateEffect> {
    use ChainKind::{CardIssuer, Terminal};
    use Role::{Cvca, DocumentVerifierDomestic, DocumentVerifierForeign, Holder};
    match (above.chain, above.role, own.chain, own.role, purpose) {
        (
            Terminal,
            Cvca,
            Terminal,
            Cvca | DocumentVerifierDomestic | DocumentVerifierForeign,
            KeyPurpose::Signature,
        )
        | (Terminal, DocumentVerifierDomestic, Terminal, Holder, KeyPurpose::Signature)
        | (CardIssuer, Cvca, CardIssuer, Cvca, KeyPurpose::Signature)
        | (CardIssuer, Cvca, CardIssuer, Holder, KeyPurpose::ChipAuthentication) => {
            Some(DateEffect::MovesForward)
        }
        (Terminal, DocumentVerifierForeign, Terminal, Holder, KeyPurpose::Signature) => {
            Some(DateEffect::None)
        }
        _ => None,
    }
}

/// Checks a batch's certificate against the card issuers' roots and gives the batch's key: the card that
/// proves this key is one that a card issuer made. `today` is the latest day known to have come.
///
/// # Errors
/// [`ImportError::Issuer`] where no root has the name it asks for, or as [`import`].
pub fn verify_batch_certificate(
    certificate: &Cvc,
    roots: &[TrustAnchor],
    today: CvcDate,
) -> Result<P256Point, ImportError> {
    let issuer = roots
        .iter()
        .map(TrustAnchor::key)
        .find(|root| root.holder == certificate.body().authority)
        .ok_or(ImportError::Issuer)?;
    let imported = import(certificate, &issuer, today)?;
    let authorisation = imported.key.authorisation;
    if (authorisation.chain, authorisation.role) != (ChainKind::CardIssuer, Role::Holder) {
        return Err(ImportError::Role);
    }
    Ok(imported.key.key)
}

/// What a terminal shows to a card: links from older roots to newer ones, the accredited body, the
/// terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TerminalChain {
    links: Vec<Cvc>,
    accredited_body: Cvc,
    terminal: Cvc,
}

/// A terminal's certificate after its chain was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifiedTerminal {
    /// Its key.
    pub key: P256Point,
    /// Effective rights.
    pub rights: Rights,
    /// The last day on which every certificate of the chain counts.
    pub expiration: CvcDate,
}

impl TerminalChain {
    /// A chain whose certificates name each other and have the right roles; links oldest first.
    ///
    /// # Errors
    /// [`ImportError::Chain`].
    pub fn new(links: Vec<Cvc>, accredited_body: Cvc, terminal: Cvc) -> Result<Self, ImportError> {
        let chain = Self { links, accredited_body, terminal };
        let roles = chain.certificates().map(|certificate| certificate.body().authorisation);
        let expected =
            chain.links.iter().map(|_| Role::Cvca).chain([Role::DocumentVerifierDomestic, Role::Holder]);
        let fits = roles.zip(expected).all(|(own, role)| {
            let foreign = role == Role::DocumentVerifierDomestic && own.role == Role::DocumentVerifierForeign;
            own.chain == ChainKind::Terminal && (own.role == role || foreign)
        });
        let above = chain.certificates().map(|certificate| certificate.body().holder);
        let below = chain.certificates().skip(1).map(|certificate| certificate.body().authority);
        if fits && above.zip(below).all(|(holder, authority)| holder == authority) {
            Ok(chain)
        } else {
            Err(ImportError::Chain)
        }
    }

    /// Parses `7F21` objects one after the other.
    ///
    /// # Errors
    /// [`ImportError::Parse`], [`ImportError::Chain`].
    pub fn parse(octets: &[u8]) -> Result<Self, ImportError> {
        let mut all = Cvc::parse_all(octets)?;
        let (Some(terminal), Some(accredited_body)) = (all.pop(), all.pop()) else {
            return Err(ImportError::Chain);
        };
        Self::new(all, accredited_body, terminal)
    }

    /// What [`Self::parse`] takes.
    pub fn encode(&self) -> Vec<u8> {
        self.certificates().flat_map(Cvc::encode).collect()
    }

    /// All, in the order in which a card takes them.
    pub fn certificates(&self) -> impl Iterator<Item = &Cvc> {
        self.links.iter().chain([&self.accredited_body, &self.terminal])
    }

    /// The certificate at this place of that order.
    pub fn certificate(&self, place: usize) -> Option<&Cvc> {
        self.certificates().nth(place)
    }

    /// Place of the accredited body's certificate: where a card with the newest root begins.
    pub const fn accredited_body_place(&self) -> usize {
        self.links.len()
    }

    /// The terminal's certificate.
    pub const fn terminal(&self) -> &Cvc {
        &self.terminal
    }

    /// Checks the chain as a card does that holds `anchor` and knows `today` to have come.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn verify(&self, anchor: &TrustAnchor, today: CvcDate) -> Result<VerifiedTerminal, ImportError> {
        let anchor = anchor.key();
        let own = self.certificates().skip_while(|certificate| certificate.body().authority != anchor.holder);
        let mut at = (anchor, today);
        let mut expiration = CvcDate::LAST;
        for certificate in own {
            let imported = import(certificate, &at.0, at.1)?;
            at = (imported.key, imported.today);
            if imported.key.authorisation.role != Role::Cvca {
                expiration = expiration.min(imported.key.expiration);
            }
        }
        if at.0.holder != self.terminal.body().holder {
            return Err(ImportError::Issuer);
        }
        Ok(VerifiedTerminal { key: at.0.key, rights: at.0.authorisation.rights, expiration })
    }
}
