//! What is wrong with a certificate or a list, asked *before* it is signed: a signature cannot be taken back.
//!
//! The lint reads the octets to be signed as somebody else would, without the writer's code, and checks
//! RFC 5280 and this project's profiles. It knows more than a relying party has to: a validator takes
//! what it can work with, an issuer gives only what everybody can. [`certificate`] and [`list`] yield a
//! [`Linted`], without which nothing is signed.
//!
//! | module | holds |
//! |---|---|
//! | `certificate` | tbsCertificate: fields, names, extensions one by one |
//! | `profile` | what each of our shapes must have and must not have |
//! | `list` | tbsCertList |

mod certificate;
mod list;
mod parts;
mod profile;

use crate::name::DistinguishedName;
use crate::profile::LeafProfile;
use crate::profile::hpki::HpkiPurpose;
use crate::public_key::SignatureAlgorithm;
use parts::Findings;
use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Allowed, and seldom meant.
    Warning,
    /// Must not be signed.
    Error,
}

/// One thing that is wrong, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule, with the clause it comes from.
    pub rule: &'static str,
    /// Octets from the start of the part to be signed.
    pub offset: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{word}: {} (octet {})", self.rule, self.offset)
    }
}

/// Findings of which at least one is an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LintError {
    findings: Vec<Finding>,
}

impl LintError {
    /// All findings, in the order of the octets.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for LintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, finding) in self.findings.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LintError {}

/// Evidence that no error was found in the octets to be signed. Made here and nowhere else.
#[derive(Debug)]
#[must_use]
pub struct Linted<'a> {
    tbs: &'a [u8],
    warnings: Vec<Finding>,
}

impl<'a> Linted<'a> {
    /// The octets that were looked at.
    pub const fn tbs(&self) -> &'a [u8] {
        self.tbs
    }

    /// What was found and is allowed.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    #[cfg(test)]
    pub(crate) const fn unseen(tbs: &'a [u8]) -> Self {
        Self { tbs, warnings: Vec::new() }
    }
}

/// What a certificate is meant to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// An authority's own certificate, self-signed.
    Authority,
    /// The certificate of an authority under another one.
    SubordinateAuthority,
    /// [`LeafProfile::JpkiAuth`].
    JpkiAuth,
    /// [`LeafProfile::JpkiSign`].
    JpkiSign,
    /// [`LeafProfile::Hpki`], for this purpose.
    Hpki(HpkiPurpose),
    /// [`LeafProfile::TlsServer`].
    TlsServer,
    /// [`LeafProfile::TlsClient`].
    TlsClient,
    /// [`LeafProfile::OcspDelegate`].
    OcspDelegate,
}

impl Shape {
    /// Whether it issues certificates itself.
    pub const fn is_authority(self) -> bool {
        matches!(self, Self::Authority | Self::SubordinateAuthority)
    }

    /// Every shape.
    pub const ALL: [Self; 9] = [
        Self::Authority,
        Self::SubordinateAuthority,
        Self::JpkiAuth,
        Self::JpkiSign,
        Self::Hpki(HpkiPurpose::Signature),
        Self::Hpki(HpkiPurpose::Authentication),
        Self::TlsServer,
        Self::TlsClient,
        Self::OcspDelegate,
    ];

    /// The shape of a profile's certificates.
    pub const fn of(profile: &LeafProfile<'_>) -> Self {
        match profile {
            LeafProfile::JpkiAuth { .. } => Self::JpkiAuth,
            LeafProfile::JpkiSign { .. } => Self::JpkiSign,
            LeafProfile::Hpki { purpose, .. } => Self::Hpki(*purpose),
            LeafProfile::TlsServer { .. } => Self::TlsServer,
            LeafProfile::TlsClient { .. } => Self::TlsClient,
            LeafProfile::OcspDelegate { .. } => Self::OcspDelegate,
        }
    }
}

/// What a certificate is held against.
#[derive(Clone, Copy, Debug)]
pub struct CertificateRules<'a> {
    /// Name of the authority that will sign.
    pub issuer: &'a DistinguishedName,
    /// Its subjectKeyIdentifier.
    pub key_identifier: &'a [u8],
    /// The algorithm of its signatures.
    pub algorithm: SignatureAlgorithm,
    /// Its own notBefore and notAfter in seconds from 1970; none for a self-signed certificate.
    pub issuer_validity: Option<(i64, i64)>,
    /// What the certificate is meant to be.
    pub shape: Shape,
}

/// What a list is held against.
#[derive(Clone, Copy, Debug)]
pub struct ListRules<'a> {
    /// Name of the authority that will sign.
    pub issuer: &'a DistinguishedName,
    /// Its subjectKeyIdentifier.
    pub key_identifier: &'a [u8],
    /// The algorithm of its signatures.
    pub algorithm: SignatureAlgorithm,
}

/// Looks at a tbsCertificate (RFC 5280 §4.1.2).
///
/// # Errors
/// At least one finding is an error.
pub fn certificate<'a>(tbs: &'a [u8], rules: &CertificateRules<'_>) -> Result<Linted<'a>, LintError> {
    let mut findings = Findings::default();
    certificate::look(tbs, rules, &mut findings);
    findings.conclude(tbs)
}

/// Looks at a tbsCertList (RFC 5280 §5.1.2).
///
/// # Errors
/// At least one finding is an error.
pub fn list<'a>(tbs: &'a [u8], rules: &ListRules<'_>) -> Result<Linted<'a>, LintError> {
    let mut findings = Findings::default();
    list::look(tbs, rules, &mut findings);
    findings.conclude(tbs)
}

#[cfg(test)]
mod tests;
