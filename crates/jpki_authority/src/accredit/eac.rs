//! Accreditation by profile `eac`: P-256 certificates with a role and a short life, BSI TR-03110. Beside
//! the terminals' chain the card issuer's, by which a terminal knows a genuine batch of cards.
//!
//! ```text
//! terminal CVCA ──▶ accredited body ──▶ terminal     days; rights as the institution has them
//! card CVCA ──▶ batch of cards                       years; one key for a batch, none for a card
//! ```
//!
//! What an operator keeps of it: nothing has to be revoked that expires within days; a terminal comes
//! for a new certificate before the old one ends, and the accredited body's is renewed on the way.

use crate::authority::{Authority, file_error, read_key, write_key};
use crate::config::Config;
use crate::error::AuthorityError;
use crate::store::ReferenceHolder;
use card::eac::card_side::BatchMaterial;
use card::eac::cvc::{
    Authorisation, ChainKind, Cvc, CvcBody, CvcDate, HolderReference, KeyPurpose, Rights, Role,
    TerminalChain, TrustAnchor, issue,
};
use card::eac::p256::{P256Point, P256SigningKey, generate_pkcs8};
use protocol::ids::InstitutionCode;
use protocol::time::UnixSeconds;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Longest life of a terminal's certificate, days. A lost terminal is out of the cards' sight when its
/// certificate has expired, whatever else happens.
pub const TERMINAL_DAYS_MAX: u32 = 31;
/// Days of an accredited body's certificate, and how many have to be left for it to be used.
const BODY_DAYS: u32 = 365;
const BODY_DAYS_LEFT_MIN: u32 = 2 * TERMINAL_DAYS_MAX;
/// Days of the terminals' root: ten years.
const TERMINAL_ROOT_DAYS: u32 = 3_652;
/// Days of the card issuer's root and of a batch: longer than any card of the batch lives.
const CARD_ROOT_DAYS: u32 = 2 * 3_652;
const BATCH_DAYS: u32 = 3_652;

const TERMINAL_CVCA: Files = Files { key: "eac-terminal-cvca.key", certificate: "eac-terminal-cvca.cvc" };
const ACCREDITED_BODY: Files =
    Files { key: "eac-accredited-body.key", certificate: "eac-accredited-body.cvc" };
const CARD_CVCA: Files = Files { key: "eac-card-cvca.key", certificate: "eac-card-cvca.cvc" };

/// Where a party's key and certificate lie: the key among the private ones, the certificate among what
/// everybody may read.
#[derive(Clone, Copy)]
struct Files {
    key: &'static str,
    certificate: &'static str,
}

impl Files {
    fn key_path(self, config: &Config) -> PathBuf {
        config.keys_dir.join(self.key)
    }

    fn certificate_path(self, config: &Config) -> PathBuf {
        config.public_dir.join(self.certificate)
    }
}

/// Where the terminals' root lies: what a card issuer puts into cards.
pub fn terminal_cvca_path(config: &Config) -> PathBuf {
    TERMINAL_CVCA.certificate_path(config)
}

/// Where the card issuer's root lies: what a terminal knows genuine cards by.
pub fn card_cvca_path(config: &Config) -> PathBuf {
    CARD_CVCA.certificate_path(config)
}

/// The parties of the profile.
pub(crate) struct EacParties {
    terminal_cvca: (P256SigningKey, TrustAnchor),
    card_cvca: (P256SigningKey, TrustAnchor),
    body_key: P256SigningKey,
    /// Renewed when it comes to its end.
    body: Mutex<Cvc>,
}

/// A terminal's Secure Element, to be certified by profile `eac`.
#[derive(Clone, Copy, Debug)]
pub struct EacAccreditation<'a> {
    /// The institution it stands in; kept in the store, not in the certificate.
    pub institution: &'a InstitutionCode,
    /// The Secure Element's institution key.
    pub institution_key: P256Point,
    /// What the terminal may do.
    pub rights: Rights,
    /// How many days the certificate counts, today included: 1 to [`TERMINAL_DAYS_MAX`].
    pub days: u32,
}

fn today(now: UnixSeconds) -> Result<CvcDate, AuthorityError> {
    CvcDate::at(now).ok_or(AuthorityError::EacDays { days_max: TERMINAL_DAYS_MAX })
}

/// A name from a spent number: unique, since the number is, and of the chain's shape.
fn named(word: &str, spent: u32) -> Result<HolderReference, AuthorityError> {
    // Four letters and five digits of mnemonic, five digits of sequence number.
    let (mnemonic, sequence) = (spent / 100_000, spent % 100_000);
    HolderReference::ours(&format!("{word}{mnemonic:05}"), sequence)
        .ok_or(AuthorityError::ReferencesExhausted)
}

fn signing_key(path: &Path) -> Result<P256SigningKey, AuthorityError> {
    P256SigningKey::from_pkcs8(&read_key(path)?).map_err(|error| file_error(path, error))
}

fn keep(path: &Path, certificate: &Cvc) -> Result<(), AuthorityError> {
    chassis::files::write_atomic(path, &certificate.encode()).map_err(|error| file_error(path, error))
}

fn certificate(path: &Path) -> Result<Cvc, AuthorityError> {
    let octets = fs::read(path).map_err(|error| file_error(path, error))?;
    Cvc::parse(&octets).map_err(|error| file_error(path, error))
}

/// A new key, and its self-signed root where everybody may read it. The key's file is the caller's.
fn make_root(
    config: &Config,
    files: Files,
    chain: ChainKind,
    name: &str,
    (effective, days): (CvcDate, u32),
) -> Result<(Zeroizing<Vec<u8>>, P256SigningKey, TrustAnchor), AuthorityError> {
    let pkcs8 = generate_pkcs8()?;
    let key = P256SigningKey::from_pkcs8(&pkcs8)?;
    let holder = HolderReference::ours(name, 1).ok_or(AuthorityError::ReferencesExhausted)?;
    let body = CvcBody {
        authority: holder,
        holder,
        purpose: KeyPurpose::Signature,
        key: key.public_key(),
        authorisation: Authorisation { chain, role: Role::Cvca, rights: Rights::ALL },
        effective,
        expiration: effective.plus_days(days),
    };
    let root = issue(&key, body)?;
    keep(&files.certificate_path(config), &root)?;
    Ok((pkcs8, key, TrustAnchor::new(root)?))
}

fn take_up_root(
    config: &Config,
    files: Files,
    chain: ChainKind,
) -> Result<(P256SigningKey, TrustAnchor), AuthorityError> {
    let (key, path) = (signing_key(&files.key_path(config))?, files.certificate_path(config));
    let anchor = TrustAnchor::new(certificate(&path)?).map_err(|error| file_error(&path, error))?;
    if anchor.key().key != key.public_key() || anchor.key().authorisation.chain != chain {
        return Err(file_error(&path, "certifies another key, or is of another chain"));
    }
    Ok((key, anchor))
}

impl EacParties {
    /// `None` where the authority was made without the profile.
    pub(crate) fn find(config: &Config) -> Result<Option<Self>, AuthorityError> {
        if !TERMINAL_CVCA.key_path(config).exists() {
            return Ok(None);
        }
        let terminal_cvca = take_up_root(config, TERMINAL_CVCA, ChainKind::Terminal)?;
        let card_cvca = take_up_root(config, CARD_CVCA, ChainKind::CardIssuer)?;
        let body_key = signing_key(&ACCREDITED_BODY.key_path(config))?;
        let path = ACCREDITED_BODY.certificate_path(config);
        let body = certificate(&path)?;
        if body.body().key != body_key.public_key()
            || body.verify_signature(&terminal_cvca.1.key().key).is_err()
        {
            return Err(file_error(&path, "is not the terminal CVCA's word for the accredited body's key"));
        }
        Ok(Some(Self { terminal_cvca, card_cvca, body_key, body: Mutex::new(body) }))
    }
}

impl Authority {
    /// Makes the three P-256 keys of profile `eac` and their certificates, unless they are there. An
    /// authority that is made new has them.
    ///
    /// # Errors
    /// Files that cannot be written, a store that refuses.
    pub fn begin_eac(&mut self, now: UnixSeconds) -> Result<(), AuthorityError> {
        if self.eac.is_some() {
            return Ok(());
        }
        let effective = today(now)?;
        let card_root = (effective, CARD_ROOT_DAYS);
        let (pkcs8, ..) = make_root(&self.config, CARD_CVCA, ChainKind::CardIssuer, "CARDROOT", card_root)?;
        write_key(&CARD_CVCA.key_path(&self.config), &pkcs8)?;
        let body = generate_pkcs8()?;
        write_key(&ACCREDITED_BODY.key_path(&self.config), &body)?;
        let terminal_root = (effective, TERMINAL_ROOT_DAYS);
        let (pkcs8, key, anchor) =
            make_root(&self.config, TERMINAL_CVCA, ChainKind::Terminal, "TERMROOT", terminal_root)?;
        self.certify_body(&(key, anchor), P256SigningKey::from_pkcs8(&body)?.public_key(), now)?;
        // Last: whoever finds this key finds everything.
        write_key(&TERMINAL_CVCA.key_path(&self.config), &pkcs8)?;
        self.eac = EacParties::find(&self.config)?;
        Ok(())
    }

    /// A new certificate for the accredited body, kept where everybody may read it.
    fn certify_body(
        &self,
        root: &(P256SigningKey, TrustAnchor),
        key: P256Point,
        now: UnixSeconds,
    ) -> Result<Cvc, AuthorityError> {
        let effective = today(now)?;
        let spent = self.store.spend_key_reference(ReferenceHolder::AccreditedBody, now)?;
        let body = CvcBody {
            authority: root.1.key().holder,
            holder: named("BODY", spent)?,
            purpose: KeyPurpose::Signature,
            key,
            authorisation: Authorisation {
                chain: ChainKind::Terminal,
                role: Role::DocumentVerifierDomestic,
                rights: Rights::ALL,
            },
            effective,
            expiration: effective.plus_days(BODY_DAYS).min(root.1.key().expiration),
        };
        let certified = issue(&root.0, body)?;
        keep(&ACCREDITED_BODY.certificate_path(&self.config), &certified)?;
        Ok(certified)
    }

    fn parties(&self) -> Result<&EacParties, AuthorityError> {
        self.eac.as_ref().ok_or(AuthorityError::NoEac)
    }

    /// The root that cards trust terminals by.
    ///
    /// # Errors
    /// [`AuthorityError::NoEac`].
    pub fn terminal_cvca(&self) -> Result<&TrustAnchor, AuthorityError> {
        Ok(&self.parties()?.terminal_cvca.1)
    }

    /// The root that terminals know genuine batches of cards by.
    ///
    /// # Errors
    /// [`AuthorityError::NoEac`].
    pub fn card_cvca(&self) -> Result<&TrustAnchor, AuthorityError> {
        Ok(&self.parties()?.card_cvca.1)
    }

    /// Certifies a terminal's institution key for some days, and gives its chain from the accredited body
    /// on. The name is durable before it is signed and never given twice; it and the days are the only
    /// things about the terminal that a card sees.
    ///
    /// # Errors
    /// [`AuthorityError::NoEac`], [`AuthorityError::EacDays`], [`AuthorityError::NotAccredited`], a store that refuses, names used up.
    pub fn accredit_eac(
        &self,
        terminal: EacAccreditation<'_>,
        now: UnixSeconds,
    ) -> Result<TerminalChain, AuthorityError> {
        let parties = self.parties()?;
        if !(1..=TERMINAL_DAYS_MAX).contains(&terminal.days) {
            return Err(AuthorityError::EacDays { days_max: TERMINAL_DAYS_MAX });
        }
        self.require_accredited(terminal.institution)?;
        let effective = today(now)?;
        let accredited_body = self.body_for(parties, now)?;
        let spent =
            self.store.spend_key_reference(ReferenceHolder::Institution(terminal.institution), now)?;
        let body = CvcBody {
            authority: accredited_body.body().holder,
            holder: named("TERM", spent)?,
            purpose: KeyPurpose::Signature,
            key: terminal.institution_key,
            authorisation: Authorisation {
                chain: ChainKind::Terminal,
                role: Role::Holder,
                rights: terminal.rights,
            },
            effective,
            expiration: effective.plus_days(terminal.days - 1),
        };
        let certified = issue(&parties.body_key, body)?;
        let chain = TerminalChain::new(Vec::new(), accredited_body, certified)?;
        // What leaves here is what a card will take.
        chain.verify(&parties.terminal_cvca.1, effective)?;
        metrics::counter!("kazasu_terminals_accredited_eac_total").increment(1);
        Ok(chain)
    }

    /// The accredited body's certificate, renewed where it would not outlive a terminal's by far.
    fn body_for(&self, parties: &EacParties, now: UnixSeconds) -> Result<Cvc, AuthorityError> {
        let needed = today(now)?.plus_days(BODY_DAYS_LEFT_MIN);
        let mut body = parties.body.lock().unwrap_or_else(PoisonError::into_inner);
        if body.body().expiration < needed {
            *body = self.certify_body(&parties.terminal_cvca, parties.body_key.public_key(), now)?;
        }
        Ok(body.clone())
    }

    /// Makes a batch of cards: a new key, its certificate by the card issuer, and everything else that
    /// each card of the batch gets. The key leaves the authority with the material and is not kept here.
    ///
    /// # Errors
    /// [`AuthorityError::NoEac`], a store that refuses, names used up.
    pub fn make_batch(&self, now: UnixSeconds) -> Result<BatchMaterial, AuthorityError> {
        let parties = self.parties()?;
        let effective = today(now)?;
        let spent = self.store.spend_key_reference(ReferenceHolder::Batch, now)?;
        let pkcs8: Zeroizing<Vec<u8>> = generate_pkcs8()?;
        let root = parties.card_cvca.1.key();
        let body = CvcBody {
            authority: root.holder,
            holder: named("BTCH", spent)?,
            purpose: KeyPurpose::ChipAuthentication,
            key: P256SigningKey::from_pkcs8(&pkcs8)?.public_key(),
            authorisation: Authorisation {
                chain: ChainKind::CardIssuer,
                role: Role::Holder,
                rights: Rights::NONE,
            },
            effective,
            expiration: effective.plus_days(BATCH_DAYS).min(root.expiration),
        };
        let certified = issue(&parties.card_cvca.0, body)?;
        Ok(BatchMaterial::new(&pkcs8, &certified, &parties.terminal_cvca.1)?)
    }
}
