//! The ceremony file: everything that will be done, before anything is done.

use super::{CeremonyError, disk};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hsm::{KeyAlgorithm, KeySource};
use pki::profile::hpki::HpkiPurpose;
use pki::profile::{AuthorityProfile, JpkiPurpose};
use pki::public_key::{SignatureAlgorithm, VerifyingKey};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Fewest operators who have to sign a ceremony file.
pub const APPROVALS_MIN: usize = 2;
/// Longest life of an authority, in days: 30 years.
const DAYS_MAX: u32 = 10_958;
/// Longest life of an OCSP delegate, in days: nobody can revoke it.
const DELEGATE_DAYS_MAX: u32 = 30;

/// The whole file.
#[doc(alias = "鍵生成式")]
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyFile {
    /// What this ceremony is called.
    pub title: String,
    /// Why it is held.
    pub reason: String,
    /// Folder of the results. It must not exist yet.
    pub folder: PathBuf,
    /// How many of the operators have to sign this file; at least two.
    pub approvals: usize,
    /// Those who may sign it.
    #[serde(rename = "operator")]
    pub operators: Vec<CeremonyOperator>,
    /// Those who watch.
    #[serde(default, rename = "witness")]
    pub witnesses: Vec<Witness>,
    /// What is made.
    pub make: Make,
}

/// Somebody who signs the file before the ceremony.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CeremonyOperator {
    /// Name, as the transcript will show it.
    pub name: String,
    /// P-256 public key: SubjectPublicKeyInfo in Base64
    /// (`openssl pkey -in KEY -pubout -outform DER | base64 -w0`).
    pub public_key: String,
}

/// Somebody who watches the ceremony.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Name, as the transcript will show it.
    pub name: String,
    /// In which capacity.
    pub role: String,
}

/// What a ceremony makes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Make {
    /// A key and its self-signed certificate: an authority that others trust.
    Root(Root),
    /// A key and its certificate by an authority whose key is at hand.
    Subordinate(Subordinate),
    /// A key and a request (PKCS#10) for an authority that is elsewhere.
    Request(Request),
    /// A certificate for another authority's key: by its request, or by its self-signed certificate (then it
    /// is a cross-certificate). No key is made.
    Certify(Certify),
    /// A key that answers OCSP in an authority's place, and its certificate.
    Delegate(Delegate),
}

/// `[make.root]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Shape of the certificate.
    pub profile: AuthorityShape,
    /// The new key.
    pub key: NewKey,
    /// Life of the certificate.
    pub days: u32,
}

/// `[make.subordinate]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subordinate {
    /// Shape of the certificate.
    pub profile: AuthorityShape,
    /// The new key.
    pub key: NewKey,
    /// Life of the certificate.
    pub days: u32,
    /// The authority above.
    pub issuer: Issuer,
}

/// `[make.request]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Shape of the certificate that is asked for.
    pub profile: AuthorityShape,
    /// The new key.
    pub key: NewKey,
}

/// `[make.certify]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certify {
    /// Shape of the certificate; the name in the request or certificate has to be the shape's.
    pub profile: AuthorityShape,
    /// A request or a self-signed certificate, PEM.
    pub subject: PathBuf,
    /// SHA-256 of that file in hexadecimal: what the operators approve is this key and no other.
    pub subject_sha256: String,
    /// Life of the certificate.
    pub days: u32,
    /// The authority that certifies.
    pub issuer: Issuer,
}

/// `[make.delegate]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegate {
    /// `CN` of the certificate.
    pub common_name: String,
    /// The new key: P-256.
    pub key: NewKey,
    /// Life of the certificate; at most 30.
    pub days: u32,
    /// The authority for which it answers.
    pub issuer: Issuer,
}

/// A key that is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Which kind.
    pub algorithm: KeyAlgorithm,
    /// Where. A file is named without a folder: it comes to lie with the other results.
    pub place: KeySource,
}

/// An authority whose key is at hand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// Its key.
    pub key: KeySource,
}

/// Shape of an authority's certificate: [`AuthorityProfile`] with its names.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AuthorityShape {
    /// The authority of authentication certificates.
    JpkiAuth {
        /// `O`.
        organization: String,
        /// Last `OU`.
        operator: String,
    },
    /// The authority of signature certificates.
    JpkiSign {
        /// `O`.
        organization: String,
        /// Last `OU`.
        operator: String,
    },
    /// The root of the health professionals' authorities.
    HpkiRoot {
        /// `O`.
        organization: String,
    },
    /// Their authority of signature certificates.
    HpkiSign {
        /// `O`.
        organization: String,
    },
    /// Their authority of authentication certificates.
    HpkiAuth {
        /// `O`.
        organization: String,
    },
    /// An authority of TLS certificates.
    Town {
        /// `CN`.
        common_name: String,
    },
}

impl AuthorityShape {
    /// The profile that it names.
    pub fn profile(&self) -> AuthorityProfile<'_> {
        match self {
            Self::JpkiAuth { organization, operator } => {
                AuthorityProfile::Jpki { purpose: JpkiPurpose::Authentication, organization, operator }
            }
            Self::JpkiSign { organization, operator } => {
                AuthorityProfile::Jpki { purpose: JpkiPurpose::Signature, organization, operator }
            }
            Self::HpkiRoot { organization } => AuthorityProfile::HpkiRoot { organization },
            Self::HpkiSign { organization } => {
                AuthorityProfile::Hpki { purpose: HpkiPurpose::Signature, organization }
            }
            Self::HpkiAuth { organization } => {
                AuthorityProfile::Hpki { purpose: HpkiPurpose::Authentication, organization }
            }
            Self::Town { common_name } => AuthorityProfile::Town { common_name },
        }
    }

    fn check(&self) -> Result<(), CeremonyError> {
        let name = match self {
            Self::JpkiAuth { organization, .. }
            | Self::JpkiSign { organization, .. }
            | Self::HpkiRoot { organization }
            | Self::HpkiSign { organization }
            | Self::HpkiAuth { organization } => organization,
            // Its O says so itself.
            Self::Town { .. } => return Ok(()),
        };
        if ["EMULATED", "TEST"].iter().any(|word| name.contains(word)) {
            return Ok(());
        }
        Err(refuse("profile.organization", "must contain EMULATED or TEST: this is not the real authority"))
    }

    const fn is_jpki(&self) -> bool {
        matches!(self, Self::JpkiAuth { .. } | Self::JpkiSign { .. })
    }

    const fn is_below_a_root(&self) -> bool {
        matches!(self, Self::HpkiSign { .. } | Self::HpkiAuth { .. })
    }
}

const fn refuse(key: &'static str, problem: &'static str) -> CeremonyError {
    CeremonyError::File { key, problem }
}

impl Make {
    /// As the file writes it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Root(_) => "root",
            Self::Subordinate(_) => "subordinate",
            Self::Request(_) => "request",
            Self::Certify(_) => "certify",
            Self::Delegate(_) => "delegate",
        }
    }

    /// The key that is made, if one is.
    pub const fn new_key(&self) -> Option<&NewKey> {
        match self {
            Self::Root(make) => Some(&make.key),
            Self::Subordinate(make) => Some(&make.key),
            Self::Request(make) => Some(&make.key),
            Self::Delegate(make) => Some(&make.key),
            Self::Certify(_) => None,
        }
    }

    /// The shape of the authority concerned; none for a delegate.
    pub const fn shape(&self) -> Option<&AuthorityShape> {
        match self {
            Self::Root(make) => Some(&make.profile),
            Self::Subordinate(make) => Some(&make.profile),
            Self::Request(make) => Some(&make.profile),
            Self::Certify(make) => Some(&make.profile),
            Self::Delegate(_) => None,
        }
    }

    /// The authority that signs, if it is not the new one itself.
    pub const fn issuer(&self) -> Option<&Issuer> {
        match self {
            Self::Subordinate(make) => Some(&make.issuer),
            Self::Certify(make) => Some(&make.issuer),
            Self::Delegate(make) => Some(&make.issuer),
            Self::Root(_) | Self::Request(_) => None,
        }
    }

    /// Life of the certificate in days, if one is issued.
    pub const fn days(&self) -> Option<u32> {
        match self {
            Self::Root(make) => Some(make.days),
            Self::Subordinate(make) => Some(make.days),
            Self::Certify(make) => Some(make.days),
            Self::Delegate(make) => Some(make.days),
            Self::Request(_) => None,
        }
    }

    fn resolve(&mut self, base: &Path) {
        let issuer = match self {
            Self::Subordinate(make) => Some(&mut make.issuer),
            Self::Certify(make) => {
                make.subject = base.join(&make.subject);
                Some(&mut make.issuer)
            }
            Self::Delegate(make) => Some(&mut make.issuer),
            Self::Root(_) | Self::Request(_) => None,
        };
        if let Some(issuer) = issuer {
            issuer.certificate = base.join(&issuer.certificate);
            issuer.key = issuer.key.clone().resolved(base);
        }
        let key = match self {
            Self::Root(make) => &mut make.key,
            Self::Subordinate(make) => &mut make.key,
            Self::Request(make) => &mut make.key,
            Self::Delegate(make) => &mut make.key,
            Self::Certify(_) => return,
        };
        // A file stays without a folder: it lies with the results.
        if let KeySource::Pkcs11(place) = &key.place {
            key.place = KeySource::Pkcs11(place.clone().resolved(base));
        }
    }
}

impl CeremonyFile {
    /// Reads a ceremony file; relative paths start at its folder. Gives its octets too: they are what the
    /// operators sign.
    ///
    /// # Errors
    /// The file cannot be read, is not one, or asks for something that cannot be meant.
    pub fn load(path: &Path) -> Result<(Self, Vec<u8>), CeremonyError> {
        let octets = std::fs::read(path).map_err(|error| disk(path, error))?;
        let text = std::str::from_utf8(&octets).map_err(|error| disk(path, error))?;
        let mut file: Self = chassis::config::parse_text(path, text).map_err(|error| {
            // It names file and line itself.
            CeremonyError::Disk { path: path.to_path_buf(), problem: error.to_string() }
        })?;
        let base = chassis::config::base_of(path);
        file.folder = base.join(&file.folder);
        file.make.resolve(&base);
        file.check()?;
        Ok((file, octets))
    }

    /// Refuses values that parse but cannot be meant.
    fn check(&self) -> Result<(), CeremonyError> {
        if self.approvals < APPROVALS_MIN {
            return Err(refuse("approvals", "must be at least 2: nobody makes such a key alone"));
        }
        if self.operators.len() < self.approvals {
            return Err(refuse("operator", "must name at least as many operators as have to approve"));
        }
        for (place, operator) in self.operators.iter().enumerate() {
            operator.verifying_key()?;
            let others = self.operators.get(..place).unwrap_or_default();
            // One person with two names is one person.
            if others
                .iter()
                .any(|other| other.public_key == operator.public_key || other.name == operator.name)
            {
                return Err(refuse("operator", "must have a name and a key of their own"));
            }
        }
        let names = self.operators.iter().map(|operator| operator.name.as_str());
        let names = names.chain(self.witnesses.iter().flat_map(|who| [who.name.as_str(), who.role.as_str()]));
        for text in names.chain([self.title.as_str(), self.reason.as_str()]) {
            // A line end inside a name could write lines of its own into what is signed.
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                return Err(refuse("title, reason and names", "must be words on one line"));
            }
        }
        if let Some(shape) = self.make.shape() {
            shape.check()?;
        }
        self.check_key()?;
        if let Some(issuer) = self.make.issuer() {
            issuer.key.check()?;
        }
        match (&self.make, self.make.days()) {
            (Make::Delegate(_), Some(days)) if !(1..=DELEGATE_DAYS_MAX).contains(&days) => {
                return Err(refuse("make.delegate.days", "must be 1 to 30: nobody can revoke a delegate"));
            }
            (_, Some(days)) if !(1..=DAYS_MAX).contains(&days) => {
                return Err(refuse("make.days", "must be 1 to 10958, which is 30 years"));
            }
            _ => {}
        }
        match &self.make {
            Make::Root(make) if make.profile.is_below_a_root() => {
                Err(refuse("make.root.profile", "is of an authority under a root: make.subordinate"))
            }
            Make::Delegate(make) if make.key.algorithm != KeyAlgorithm::P256 => {
                Err(refuse("make.delegate.key.algorithm", "must be p-256: it answers requests of everybody"))
            }
            _ => Ok(()),
        }
    }

    fn check_key(&self) -> Result<(), CeremonyError> {
        let Some(key) = self.make.new_key() else { return Ok(()) };
        key.place.check()?;
        if let KeySource::File(path) = &key.place {
            let bare = path.file_name().is_some_and(|name| Path::new(name) == path);
            let taken = ["ceremony.toml", "approvals.toml", "began.json", "certificate.pem", "request.pem"];
            let taken =
                taken.iter().chain(&["public-key.pem", "issuer.pem", "transcript.json", "transcript.sig"]);
            if !bare || taken.into_iter().any(|name| Path::new(name) == path) {
                return Err(refuse(
                    "key.place.file",
                    "must be a name of its own without a folder: it lies in `folder`",
                ));
            }
        }
        let is_rsa = key.algorithm != KeyAlgorithm::P256;
        if self.make.shape().is_some_and(AuthorityShape::is_jpki) && !is_rsa {
            return Err(refuse(
                "key.algorithm",
                "must be RSA for a card holders' authority: cards and readers know no other",
            ));
        }
        Ok(())
    }
}

impl CeremonyOperator {
    /// The key as SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> Result<Vec<u8>, CeremonyError> {
        STANDARD
            .decode(self.public_key.trim())
            .map_err(|_| refuse("operator.public_key", "must be a SubjectPublicKeyInfo in Base64"))
    }

    /// The key, which must be P-256.
    pub(crate) fn verifying_key(&self) -> Result<VerifyingKey, CeremonyError> {
        let key = VerifyingKey::from_spki_der(&self.spki_der()?).ok();
        key.filter(|key| key.algorithm() == SignatureAlgorithm::EcdsaP256Sha256)
            .ok_or(refuse("operator.public_key", "must be a P-256 public key"))
    }
}
