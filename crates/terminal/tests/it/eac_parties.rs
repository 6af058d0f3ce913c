//! Who stands behind a touch by profile `eac`: two roots, an accredited body, a terminal, a batch of cards.

use crate::town::now;
use card::eac::card_side::BatchMaterial;
use card::eac::cvc::{
    Authorisation, ChainKind, Cvc, CvcBody, CvcDate, HolderReference, KeyPurpose, Rights, Role,
    TerminalChain, TrustAnchor, issue,
};
use card::eac::p256::{P256SigningKey, generate_pkcs8};
use card::secure_element::EacInstitution;

type Party = (P256SigningKey, Cvc);

pub(crate) struct EacParties {
    terminal_root: Party,
    accredited_body: Party,
    card_issuer: Party,
    institution_pkcs8: Vec<u8>,
}

fn new_key() -> P256SigningKey {
    P256SigningKey::from_pkcs8(&generate_pkcs8().unwrap()).unwrap()
}

fn today() -> CvcDate {
    CvcDate::at(now()).unwrap()
}

/// A certificate that counts from today for some days.
fn certify(
    name: &str,
    (chain, role): (ChainKind, Role),
    key: &P256SigningKey,
    purpose: KeyPurpose,
    above: Option<&Party>,
    days: u32,
) -> Cvc {
    let holder = HolderReference::ours(name, days).unwrap();
    let body = CvcBody {
        authority: above.map_or(holder, |(_, certificate)| certificate.body().holder),
        holder,
        purpose,
        key: key.public_key(),
        authorisation: Authorisation { chain, role, rights: Rights::ALL },
        effective: today(),
        expiration: today().plus_days(days),
    };
    issue(above.map_or(key, |(key, _)| key), body).unwrap()
}

impl EacParties {
    pub(crate) fn new() -> Self {
        let party = |name, place, above: Option<&Party>| {
            let key = new_key();
            let certificate = certify(name, place, &key, KeyPurpose::Signature, above, 365);
            (key, certificate)
        };
        let terminal_root = party("ROOT", (ChainKind::Terminal, Role::Cvca), None);
        let body_place = (ChainKind::Terminal, Role::DocumentVerifierDomestic);
        Self {
            accredited_body: party("BODY", body_place, Some(&terminal_root)),
            card_issuer: party("CARDS", (ChainKind::CardIssuer, Role::Cvca), None),
            terminal_root,
            institution_pkcs8: generate_pkcs8().unwrap().to_vec(),
        }
    }

    fn key(&self) -> P256SigningKey {
        P256SigningKey::from_pkcs8(&self.institution_pkcs8).unwrap()
    }

    /// Certificates for the institution's key that end after so many days.
    pub(crate) fn chain(&self, days: u32) -> TerminalChain {
        let place = (ChainKind::Terminal, Role::Holder);
        let above = Some(&self.accredited_body);
        let terminal = certify("DESK", place, &self.key(), KeyPurpose::Signature, above, days);
        TerminalChain::new(Vec::new(), self.accredited_body.1.clone(), terminal).unwrap()
    }

    /// What the Secure Element gets.
    pub(crate) fn institution(&self) -> EacInstitution {
        EacInstitution {
            key: self.key(),
            chain: self.chain(7),
            terminal_root: TrustAnchor::new(self.terminal_root.1.clone()).unwrap(),
            card_issuer: TrustAnchor::new(self.card_issuer.1.clone()).unwrap(),
        }
    }

    /// What each card of a batch gets.
    pub(crate) fn batch(&self) -> BatchMaterial {
        let pkcs8 = generate_pkcs8().unwrap();
        let key = P256SigningKey::from_pkcs8(&pkcs8).unwrap();
        let place = (ChainKind::CardIssuer, Role::Holder);
        let above = Some(&self.card_issuer);
        let certificate = certify("BATCH", place, &key, KeyPurpose::ChipAuthentication, above, 300);
        let anchor = TrustAnchor::new(self.terminal_root.1.clone()).unwrap();
        BatchMaterial::new(&pkcs8, &certificate, &anchor).unwrap()
    }
}
