//! The authority itself: its keys, made once by [`Authority::init`] and taken up by [`Authority::open`].

use crate::CertificateKind;
use crate::accredit::eac::EacParties;
use crate::config::Config;
use crate::delegate::Delegate;
use crate::error::AuthorityError;
use crate::ocsp::SignedAnswers;
use crate::publish::ListTable;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use arc_swap::{ArcSwap, ArcSwapOption};
use card::cvc::{self, Cvc, CvcAuthority, CvcPublicKey, KeyReference};
use card::rsa_key::CardRsaKey;
use hsm::{KeyAlgorithm, KeyError, KeySource, Token};
use pki::issue::IssuingAuthority;
use pki::ocsp::IssuerHashes;
use pki::pem::{self, PemKind};
use pki::profile::{AuthorityProfile, Validity};
use pki::serial::SerialNumber;
use pki::signer::{self, IssuerSigner};
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Validity of the two authorities: ten years of 365.25 days, rounded down to days.
const AUTHORITY_VALIDITY_SECONDS: u64 = 3_652 * 86_400;
/// Octets of an authority certificate's serial number.
const AUTHORITY_SERIAL_OCTETS: usize = 8;

const TERMINAL_ROOT_KEY: &str = "terminal-root.key";
const ACCREDITED_BODY_KEY: &str = "accredited-body.key";
const ACCREDITED_BODY_CVC: &str = "accredited-body.cvc";
/// Names of the two upper keys of the terminal chain. Terminals count from 1,000,001, far below.
const TERMINAL_ROOT_NUMBER: (u32, u16) = (9_990_001, 1);
const ACCREDITED_BODY_NUMBER: (u32, u16) = (9_990_002, 1);

/// One of the two authorities, with what it serves.
pub(crate) struct Branch {
    pub(crate) issuing: IssuingAuthority,
    pub(crate) issuer_hashes: IssuerHashes,
    pub(crate) lists: ArcSwap<ListTable>,
    pub(crate) delegate: ArcSwapOption<Delegate>,
}

/// The authority: two certificate authorities and the root of the terminal chain.
#[doc(alias = "公的個人認証サービス")]
pub struct Authority {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) answers: SignedAnswers,
    card_holder_auth: Branch,
    document_signature: Branch,
    terminal_root: CvcPublicKey,
    pub(crate) accredited_body: CvcAuthority,
    pub(crate) accredited_body_cvc: Cvc,
    /// `None` where it was made without profile `eac`.
    pub(crate) eac: Option<EacParties>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(****)")
    }
}

/// The two signers of an authority, wherever their keys live.
pub struct Signers {
    /// Signs authentication certificates and their lists.
    pub card_holder_auth: Box<dyn IssuerSigner>,
    /// Signs signature certificates and their lists.
    pub document_signature: Box<dyn IssuerSigner>,
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signers(****)")
    }
}

pub(crate) fn file_error(path: &Path, problem: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::File { path: path.to_path_buf(), problem: problem.to_string() }
}

fn key_path(config: &Config, kind: CertificateKind) -> PathBuf {
    config.keys_dir.join(format!("{}-ca.key", kind.word()))
}

/// Where the private key of an authority is.
fn key_source(config: &Config, kind: CertificateKind) -> KeySource {
    match config.keys.authority_key(kind) {
        Some(chosen) => chosen.clone(),
        None => KeySource::File(key_path(config, kind)),
    }
}

/// Whether a ceremony has made key and certificate already: both are there, and the configuration names
/// the key's place. (A key found in the usual place was made by an earlier [`Authority::init`].)
fn is_made(config: &Config, kind: CertificateKind) -> Result<bool, AuthorityError> {
    let Some(source) = config.keys.authority_key(kind) else { return Ok(false) };
    Ok(ca_path(config, kind).exists() && source.is_taken()?)
}

/// Where the certificate of an authority lies, in PEM.
pub fn ca_path(config: &Config, kind: CertificateKind) -> PathBuf {
    config.public_dir.join(format!("{}-ca.pem", kind.word()))
}

/// Reads a private key, unless others may read it too.
pub(crate) fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, AuthorityError> {
    let metadata = fs::metadata(path).map_err(|error| file_error(path, error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(file_error(path, "a private key that others may read; set its mode to 0600"));
    }
    fs::read(path).map(Zeroizing::new).map_err(|error| file_error(path, error))
}

pub(crate) fn write_key(path: &Path, pkcs8: &[u8]) -> Result<(), AuthorityError> {
    chassis::files::write_private(path, pkcs8).map_err(|error| file_error(path, error))
}

fn reference((first, second): (u32, u16)) -> Result<KeyReference, AuthorityError> {
    KeyReference::numbered(first, second).ok_or(AuthorityError::ReferencesExhausted)
}

/// A name of the terminal chain and the private key behind it, from its file.
fn chain_authority(config: &Config, name: (u32, u16), file: &str) -> Result<CvcAuthority, AuthorityError> {
    let path = config.keys_dir.join(file);
    let pkcs8 = read_key(&path)?;
    let private_key = CardRsaKey::from_pkcs8(&pkcs8).map_err(|error| file_error(&path, error))?;
    Ok(CvcAuthority::new(reference(name)?, private_key))
}

impl Branch {
    fn new(issuing: IssuingAuthority) -> Result<Self, AuthorityError> {
        let issuer_hashes = IssuerHashes::of_certificate(issuing.certificate_der())?;
        Ok(Self { issuing, issuer_hashes, lists: ArcSwap::default(), delegate: ArcSwapOption::empty() })
    }

    fn take_up(
        config: &Config,
        kind: CertificateKind,
        signer: Box<dyn IssuerSigner>,
    ) -> Result<Self, AuthorityError> {
        let path = ca_path(config, kind);
        let text = fs::read_to_string(&path).map_err(|error| file_error(&path, error))?;
        let der = pem::decode(PemKind::Certificate, &text).map_err(|error| file_error(&path, error))?;
        let issuing = IssuingAuthority::from_certificate(der.to_vec(), signer)
            .map_err(|error| file_error(&path, error))?;
        Self::new(issuing)
    }
}

impl Authority {
    /// Makes a new authority: four RSA-2048 keys, two self-signed certificates, the accredited body's
    /// card-verifiable certificate, an empty store, and the parties of profile `eac`. Keys whose place the
    /// configuration names are made there; one that a ceremony has made, with its certificate in
    /// `public_dir`, is taken as it is (docs/key-ceremony.md).
    ///
    /// # Errors
    /// [`AuthorityError::AlreadyThere`] if any of the keys exists; files that cannot be written; a token
    /// that refuses.
    pub fn init(config: Config, now: UnixSeconds, entropy: &mut dyn Entropy) -> Result<Self, AuthorityError> {
        config.check()?;
        let mut to_make = Vec::new();
        for kind in CertificateKind::ALL {
            if !is_made(&config, kind)? {
                to_make.push(kind);
            }
        }
        let files = to_make.iter().filter_map(|kind| match key_source(&config, *kind) {
            KeySource::File(path) => Some(path),
            // The token itself refuses a second key of the same label.
            KeySource::Pkcs11(_) => None,
        });
        let chain_files = [TERMINAL_ROOT_KEY, ACCREDITED_BODY_KEY].map(|name| config.keys_dir.join(name));
        if let Some(path) = files.chain(chain_files).find(|path| path.exists()) {
            return Err(AuthorityError::AlreadyThere { path });
        }
        let make = |path: &Path, mode: u32| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                .map_err(|error| file_error(path, error))
        };
        make(&config.keys_dir, 0o700)?;
        make(&config.public_dir, 0o755)?;
        if let Some(folder) = config.store.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make(folder, 0o700)?;
        }
        for kind in to_make {
            Self::make_branch(&config, kind, now, entropy)?;
        }
        Self::make_terminal_chain(&config)?;
        let mut authority = Self::open(config)?;
        authority.begin_eac(now)?;
        Ok(authority)
    }

    fn make_branch(
        config: &Config,
        kind: CertificateKind,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<(), AuthorityError> {
        let source = key_source(config, kind);
        let (signer, to_write) = match &source {
            KeySource::File(path) => {
                let pkcs8 = signer::generate_rsa_2048_pkcs8()?;
                (signer::software_signer(&pkcs8)?, Some((path, pkcs8)))
            }
            KeySource::Pkcs11(key) => {
                Token::of(&key.token())?.generate(key, KeyAlgorithm::Rsa2048)?;
                (source.open()?, None)
            }
        };
        let profile = AuthorityProfile::Jpki {
            purpose: kind.purpose(),
            organization: &config.names.organization,
            operator: &config.names.operator,
        };
        let validity = Validity { not_before: now, not_after: now.plus(AUTHORITY_VALIDITY_SECONDS) };
        let serial = SerialNumber::random(AUTHORITY_SERIAL_OCTETS, entropy);
        let issuing = IssuingAuthority::self_signed(&profile, serial, validity, signer)?;
        if let Some((path, pkcs8)) = to_write {
            write_key(path, &pkcs8)?;
        }
        let path = ca_path(config, kind);
        let text = pem::encode(PemKind::Certificate, issuing.certificate_der());
        chassis::files::write_atomic(&path, text.as_bytes()).map_err(|error| file_error(&path, error))
    }

    fn make_terminal_chain(config: &Config) -> Result<(), AuthorityError> {
        for name in [TERMINAL_ROOT_KEY, ACCREDITED_BODY_KEY] {
            write_key(&config.keys_dir.join(name), &signer::generate_rsa_2048_pkcs8()?)?;
        }
        let root = chain_authority(config, TERMINAL_ROOT_NUMBER, TERMINAL_ROOT_KEY)?;
        let body = chain_authority(config, ACCREDITED_BODY_NUMBER, ACCREDITED_BODY_KEY)?;
        let certificate = cvc::issue(&root, body.public_key()?)?;
        let path = config.public_dir.join(ACCREDITED_BODY_CVC);
        chassis::files::write_atomic(&path, &certificate.encode()).map_err(|error| file_error(&path, error))
    }

    /// Takes up an authority that [`Self::init`] made, with its keys where the configuration says and its
    /// SQLite store.
    ///
    /// # Errors
    /// Files missing, readable by others, or not belonging together; a store that cannot be used.
    pub fn open(config: Config) -> Result<Self, AuthorityError> {
        let signer_of = |kind| match key_source(&config, kind).open() {
            Err(KeyError::File { path, problem }) => Err(file_error(&path, problem)),
            other => Ok(other?),
        };
        let signers = Signers {
            card_holder_auth: signer_of(CertificateKind::CardHolderAuth)?,
            document_signature: signer_of(CertificateKind::DocumentSignature)?,
        };
        let store = Arc::new(SqliteStore::open(&config.store)?);
        Self::with_parts(config, signers, store)
    }

    /// Takes up an authority with the signers and the store given: for keys that live elsewhere than in
    /// files.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_parts(
        config: Config,
        signers: Signers,
        store: Arc<dyn Store>,
    ) -> Result<Self, AuthorityError> {
        config.check()?;
        let card_holder_auth =
            Branch::take_up(&config, CertificateKind::CardHolderAuth, signers.card_holder_auth)?;
        let document_signature =
            Branch::take_up(&config, CertificateKind::DocumentSignature, signers.document_signature)?;
        let terminal_root =
            chain_authority(&config, TERMINAL_ROOT_NUMBER, TERMINAL_ROOT_KEY)?.public_key()?;
        let accredited_body = chain_authority(&config, ACCREDITED_BODY_NUMBER, ACCREDITED_BODY_KEY)?;
        let path = config.public_dir.join(ACCREDITED_BODY_CVC);
        let encoded = fs::read(&path).map_err(|error| file_error(&path, error))?;
        let accredited_body_cvc = Cvc::parse(&encoded).map_err(|error| file_error(&path, error))?;
        if *accredited_body_cvc.verify(&terminal_root)? != accredited_body.public_key()? {
            return Err(file_error(&path, "certifies another key than the accredited body's"));
        }
        let eac = EacParties::find(&config)?;
        let authority = Self {
            config,
            store,
            answers: SignedAnswers::new(),
            card_holder_auth,
            document_signature,
            terminal_root,
            accredited_body,
            accredited_body_cvc,
            eac,
        };
        authority.recall_lists()?;
        Ok(authority)
    }

    pub(crate) const fn branch(&self, kind: CertificateKind) -> &Branch {
        match kind {
            CertificateKind::CardHolderAuth => &self.card_holder_auth,
            CertificateKind::DocumentSignature => &self.document_signature,
        }
    }

    /// The configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The certificate of one of the two authorities, in DER.
    pub fn ca_certificate_der(&self, kind: CertificateKind) -> &[u8] {
        self.branch(kind).issuing.certificate_der()
    }

    /// The key that every card holds as the root of the terminal chain.
    #[doc(alias = "端末CA鍵")]
    pub const fn terminal_root(&self) -> &CvcPublicKey {
        &self.terminal_root
    }
}
