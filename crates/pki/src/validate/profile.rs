//! What a certificate must be for, beyond what RFC 5280 §6 asks of every path.
//!
//! | profile | key usage | extended key usage | policy | more |
//! |---|---|---|---|---|
//! | [`Profile::Rfc5280`] | – | – | – | rules that a reader can see broken (`super::conformance`) |
//! | [`Profile::Rfc5280Strict`] | – | – | – | every rule for issuers that a reader can see broken |
//! | [`Profile::JpkiAuth`] | digitalSignature | clientAuth | ours for authentication | no authority, positive serial |
//! | [`Profile::JpkiSign`] | digitalSignature, nonRepudiation | – | ours for signatures | no authority, positive serial |
//! | [`Profile::Hpki`] | digitalSignature or nonRepudiation | – | – | a healthcare role (ISO 17090-2) |
//! | [`Profile::Terminal`] | digitalSignature | clientAuth | – | an institution's code in the subject |
//! | [`Profile::OcspResponder`] | digitalSignature or nonRepudiation, if there is any | OCSPSigning itself | – | no authority (RFC 6960 §4.2.2.2) |
//! | [`Profile::CrlIssuer`] | cRLSign, if there is any | – | – | (RFC 5280 §6.3.3 (f)) |

use crate::asn1::read::Malformed;
use crate::asn1::tag;
use crate::certificate::{Certificate, KeyUsage};
use crate::name::NameAttribute;
use crate::oid;

/// What a certificate must be for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Profile {
    /// A card holder's authentication certificate: digitalSignature, clientAuth, our policy.
    #[doc(alias = "利用者証明用電子証明書")]
    JpkiAuth,
    /// A card holder's signature certificate: digitalSignature and nonRepudiation, our policy.
    #[doc(alias = "署名用電子証明書")]
    JpkiSign,
    /// A health professional's certificate: a healthcare role among the subject directory attributes.
    #[doc(alias = "保健医療福祉分野公開鍵基盤")]
    Hpki,
    /// A terminal's TLS client certificate: digitalSignature, clientAuth, an institution in its name.
    #[doc(alias = "端末認証")]
    Terminal,
    /// A delegate that answers for an authority: RFC 6960 §4.2.2.2.
    OcspResponder,
    /// A certificate whose key signs revocation lists: RFC 5280 §6.3.3 (f).
    CrlIssuer,
    /// Any certificate: RFC 5280 §6, and of §4 the rules whose breach changes what a path means.
    Rfc5280,
    /// Any certificate, and every rule of RFC 5280 §4 and §5 for issuers that a reader can check.
    Rfc5280Strict,
}

/// What a certificate is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProfileFault {
    /// A field that the profile looks at cannot be read.
    Malformed(Malformed),
    /// What the profile wants and the certificate has not, or the other way round.
    Demand(&'static str),
}

impl From<Malformed> for ProfileFault {
    fn from(fault: Malformed) -> Self {
        Self::Malformed(fault)
    }
}

fn demand(holds: bool, what: &'static str) -> Result<(), ProfileFault> {
    if holds { Ok(()) } else { Err(ProfileFault::Demand(what)) }
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 8] = [
        Self::Rfc5280,
        Self::Rfc5280Strict,
        Self::JpkiAuth,
        Self::JpkiSign,
        Self::Hpki,
        Self::Terminal,
        Self::OcspResponder,
        Self::CrlIssuer,
    ];

    /// The name that the command line knows it by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rfc5280 => "rfc5280",
            Self::Rfc5280Strict => "rfc5280-strict",
            Self::JpkiAuth => "jpki-auth",
            Self::JpkiSign => "jpki-sign",
            Self::Hpki => "hpki",
            Self::Terminal => "terminal",
            Self::OcspResponder => "ocsp-responder",
            Self::CrlIssuer => "crl-issuer",
        }
    }

    /// The profile with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == name)
    }

    /// Checks the last certificate of a path.
    pub(crate) fn check(self, certificate: &Certificate<'_>) -> Result<(), ProfileFault> {
        let extensions = certificate.extensions();
        demand(extensions.unknown_critical.is_none(), "critical extension that is not supported")?;
        match self {
            Self::Rfc5280 | Self::Rfc5280Strict => Ok(()),
            Self::CrlIssuer => demand(
                extensions.key_usage.is_none_or(|usage| usage.includes(KeyUsage::CRL_SIGN)),
                "key usage without cRLSign",
            ),
            Self::OcspResponder => {
                demand(!extensions.is_authority(), "an authority's certificate")?;
                demand(extensions.has_purpose(&oid::OCSP_SIGNING), "extended key usage without OCSPSigning")?;
                // RFC 5280 §4.2.1.12: either is consistent with OCSPSigning.
                demand(
                    extensions.key_usage.is_none_or(|usage| {
                        usage.includes(KeyUsage::DIGITAL_SIGNATURE)
                            || usage.includes(KeyUsage::NON_REPUDIATION)
                    }),
                    "key usage without digitalSignature and without nonRepudiation",
                )
            }
            Self::JpkiAuth | Self::JpkiSign | Self::Hpki | Self::Terminal => self.check_holder(certificate),
        }
    }

    /// The profiles of people and terminals: end entities of authorities that issue as we do.
    fn check_holder(self, certificate: &Certificate<'_>) -> Result<(), ProfileFault> {
        let extensions = certificate.extensions();
        demand(extensions.issuing_constraint().is_none(), "an extension that only issuers have")?;
        demand(certificate.serial().is_positive(), "serial number that is not positive")?;
        demand(!extensions.is_authority(), "an authority's certificate")?;
        let usage = extensions.key_usage.ok_or(ProfileFault::Demand("no key usage"))?;
        if self == Self::Hpki {
            let signs =
                usage.includes(KeyUsage::DIGITAL_SIGNATURE) || usage.includes(KeyUsage::NON_REPUDIATION);
            demand(signs, "key usage without digitalSignature and without nonRepudiation")?;
            return demand(has_healthcare_role(certificate)?, "no healthcare role");
        }
        demand(usage.includes(KeyUsage::DIGITAL_SIGNATURE), "key usage without digitalSignature")?;
        if self == Self::JpkiSign {
            demand(usage.includes(KeyUsage::NON_REPUDIATION), "key usage without nonRepudiation")?;
            return demand(
                extensions.has_policy(&oid::JPKI_SIGN_POLICY),
                "policy of signature certificates missing",
            );
        }
        if self == Self::JpkiAuth {
            demand(
                extensions.has_policy(&oid::JPKI_AUTH_POLICY),
                "policy of authentication certificates missing",
            )?;
        }
        demand(extensions.has_purpose(&oid::CLIENT_AUTH), "extended key usage without clientAuth")?;
        if self == Self::Terminal {
            let institution = certificate.subject_attribute(NameAttribute::SubjectSerialNumber)?;
            demand(institution.is_some(), "no institution code in the subject")?;
        }
        Ok(())
    }
}

/// Whether subjectDirectoryAttributes hold a non-empty hcRole: RFC 5280 §4.2.1.8, ISO 17090-2 §7.3.2.
fn has_healthcare_role(certificate: &Certificate<'_>) -> Result<bool, Malformed> {
    let Some(list) = certificate.extensions().directory_attributes else { return Ok(false) };
    let mut attributes = list.inside();
    while !attributes.is_empty() {
        let mut attribute = attributes.expect(tag::SEQUENCE, "directory attribute")?.inside();
        let identifier = attribute.object_identifier("directory attribute")?;
        let values = attribute.expect(tag::SET, "directory attribute")?;
        attribute.finish("directory attribute")?;
        if identifier == oid::HEALTHCARE_ACTOR.as_bytes() && !values.content.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.as_str()), Some(profile));
        }
        assert_eq!(Profile::from_name("RFC5280"), None);
    }
}
