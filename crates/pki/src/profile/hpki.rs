//! The shapes of HPKI certificates, 保健医療福祉分野の公開鍵基盤: a root authority, one authority for
//! signatures and one for authentication under it, and what they issue to health professionals.
//!
//! Field by field after the certificate policy of the Ministry of Health, Labour and Welfare (署名用 and
//! 認証用(人), §7.1) as public certificates show it, with our own names and object identifiers:
//! nothing issued here can pass for the real thing.

use super::{Criticality, directory_name, extension, ia5, key_usage};
use crate::asn1::{tag, write};
use crate::certificate::KeyUsage;
use crate::hc_role::{self, HealthcareRole};
use crate::issue::IssueError;
use crate::name::{DistinguishedName, NameAttribute, NameError};
use crate::oid;

/// Where the policy is described. The host is reserved (RFC 2606 §2): it never resolves.
pub const HPKI_CPS_URI: &str = "https://hpki-emulated.example/cps.html";

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HpkiPurpose {
    /// Signatures that bind the holder: nonRepudiation alone.
    #[doc(alias = "HPKI署名用証明書")]
    Signature,
    /// Authentication of the holder: digitalSignature alone.
    #[doc(alias = "HPKI認証用証明書")]
    Authentication,
}

impl HpkiPurpose {
    /// keyUsage of these certificates.
    pub(crate) const fn usage(self) -> KeyUsage {
        match self {
            Self::Signature => KeyUsage::NON_REPUDIATION,
            Self::Authentication => KeyUsage::DIGITAL_SIGNATURE,
        }
    }

    /// The policy of these certificates and of the authority that issues them.
    pub(crate) const fn policy(self) -> der::asn1::ObjectIdentifier {
        match self {
            Self::Signature => oid::HPKI_SIGN_POLICY,
            Self::Authentication => oid::HPKI_AUTH_POLICY,
        }
    }

    const fn authority_name(self) -> &'static str {
        match self {
            Self::Signature => "KAZASU-TEST-SignCA-forNonRepudiation",
            Self::Authentication => "KAZASU-TEST-AuthCA-forAuthentication-forIndividual",
        }
    }
}

/// A name in Roman letters, and in Japanese: HPKI certificates have both, subject and subjectAltName.
#[derive(Clone, Copy, Debug)]
pub struct TwoNames<'a> {
    /// Roman letters.
    pub roman: &'a str,
    /// Japanese.
    pub japanese: &'a str,
}

/// A health professional as the certificate names them. Personal.
#[derive(Clone, Copy)]
pub struct HpkiHolder<'a> {
    /// Full name.
    pub name: TwoNames<'a>,
    /// `serialNumber` of the subject: tells people of one name apart, printable characters.
    pub registration: &'a str,
    /// The institution, if it is to be named. Who holds an office has to.
    pub organization: Option<TwoNames<'a>>,
    /// The qualification; none for somebody without.
    pub role: Option<HealthcareRole>,
}

impl std::fmt::Debug for HpkiHolder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HpkiHolder(****)")
    }
}

impl HpkiHolder<'_> {
    /// `C`, `O`, `OU=Director` for an office, `CN`, `serialNumber`.
    pub(super) fn subject(&self) -> Result<DistinguishedName, NameError> {
        self.distinguished(self.name.roman, self.organization.map(|names| names.roman))
    }

    /// The same in Japanese, for subjectAltName.
    fn japanese(&self) -> Result<DistinguishedName, NameError> {
        self.distinguished(self.name.japanese, self.organization.map(|names| names.japanese))
    }

    fn distinguished(&self, name: &str, organization: Option<&str>) -> Result<DistinguishedName, NameError> {
        let mut attributes = vec![(NameAttribute::Country, "JP")];
        attributes.extend(organization.map(|name| (NameAttribute::Organization, name)));
        if self.role.is_some_and(HealthcareRole::is_office) {
            attributes.push((NameAttribute::OrganizationalUnit, "Director"));
        }
        attributes.push((NameAttribute::CommonName, name));
        attributes.push((NameAttribute::SubjectSerialNumber, self.registration));
        DistinguishedName::new(&attributes)
    }
}

/// The root's name.
pub(super) fn root_name(organization: &str) -> Result<DistinguishedName, NameError> {
    DistinguishedName::new(&[
        (NameAttribute::Country, "JP"),
        (NameAttribute::Organization, organization),
        (NameAttribute::OrganizationalUnit, "KAZASU TEST HPKI Root CA"),
    ])
}

/// The name of one of the two authorities.
pub(super) fn authority_name(
    purpose: HpkiPurpose,
    organization: &str,
) -> Result<DistinguishedName, NameError> {
    DistinguishedName::new(&[
        (NameAttribute::Country, "JP"),
        (NameAttribute::Organization, organization),
        (NameAttribute::OrganizationalUnit, "KAZASU TEST HPKI CA"),
        (NameAttribute::CommonName, purpose.authority_name()),
    ])
}

/// What the root's certificate has beyond any authority's: its name in Japanese, where its list is.
pub(super) fn root_extensions(name: &DistinguishedName) -> Result<Vec<Vec<u8>>, IssueError> {
    let japanese = DistinguishedName::new(&[
        (NameAttribute::Country, "JP"),
        (NameAttribute::Organization, "保健医療福祉分野認証局エミュレーション"),
        (NameAttribute::OrganizationalUnit, "ルート（かざす試験）"),
    ])?;
    let alternative = write::sequence(&[&directory_name(&japanese)]);
    Ok(vec![
        extension(&oid::SUBJECT_ALT_NAME, Criticality::NonCritical, &alternative),
        distribution_point(&directory_name(&list_name(name, "RARL")?)),
    ])
}

/// What an issuing authority's certificate has beyond any authority's: policy, where the root's list is.
pub(super) fn authority_extensions(
    purpose: HpkiPurpose,
    root: &DistinguishedName,
) -> Result<Vec<Vec<u8>>, IssueError> {
    Ok(vec![policy(purpose), distribution_point(&directory_name(&list_name(root, "SARL")?))])
}

fn list_name(authority: &DistinguishedName, list: &str) -> Result<DistinguishedName, NameError> {
    authority.extended(&[(NameAttribute::CommonName, list)])
}

/// Everything but the key identifiers.
pub(super) fn leaf_extensions(
    purpose: HpkiPurpose,
    holder: &HpkiHolder<'_>,
    crl_uri: &str,
) -> Result<Vec<Vec<u8>>, IssueError> {
    if holder.role.is_some_and(HealthcareRole::is_office) && holder.organization.is_none() {
        return Err(IssueError::Contents("who holds an office is named with the institution"));
    }
    let japanese = holder.japanese()?;
    let uri = write::tlv(tag::context(6), ia5(crl_uri)?);
    let mut extensions = vec![
        key_usage(purpose.usage()),
        policy(purpose),
        extension(
            &oid::SUBJECT_ALT_NAME,
            Criticality::NonCritical,
            &write::sequence(&[&directory_name(&japanese)]),
        ),
        distribution_point(&uri),
    ];
    extensions.extend(holder.role.map(hc_role::extension));
    Ok(extensions)
}

/// cRLDistributionPoints with one fullName: RFC 5280 §4.2.1.13.
fn distribution_point(general_name: &[u8]) -> Vec<u8> {
    let point = write::sequence(&[&write::explicit(0, &write::explicit(0, general_name))]);
    extension(&oid::CRL_DISTRIBUTION_POINTS, Criticality::NonCritical, &write::sequence(&[&point]))
}

/// certificatePolicies, critical, with the address of the practice statement: RFC 5280 §4.2.1.4.
fn policy(purpose: HpkiPurpose) -> Vec<u8> {
    let cps = write::tlv(tag::IA5, HPKI_CPS_URI.as_bytes());
    let qualifier = write::sequence(&[&write::oid(&oid::QUALIFIER_CPS), &cps]);
    let information = write::sequence(&[&write::oid(&purpose.policy()), &write::sequence(&[&qualifier])]);
    extension(&oid::CERTIFICATE_POLICIES, Criticality::Critical, &write::sequence(&[&information]))
}

#[cfg(test)]
mod tests;
