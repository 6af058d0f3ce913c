//! An authority that issues: RFC 5280 §4. Everything it signs has passed [`crate::lint`] first.

use crate::asn1::read::Malformed;
use crate::asn1::{tag, write};
use crate::certificate::Certificate;
use crate::lint::{self, CertificateRules, LintError, Linted, Shape};
use crate::name::{DistinguishedName, NameError};
use crate::oid;
use crate::profile::{AuthorityProfile, Criticality, LeafProfile, Validity, extension};
use crate::public_key::{PublicKeyError, SignatureAlgorithm, VerifyingKey};
use crate::serial::SerialNumber;
use crate::signer::{IssuerSigner, SignError};
use aws_lc_rs::digest;
use protocol::time::UnixSeconds;
use std::fmt;

/// Why nothing was issued.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IssueError {
    /// The private key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A name cannot hold what it should.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A field of the contents is impossible.
    #[error("{0}")]
    Contents(&'static str),
    /// The subject's public key is not usable, or not of the kind that the profile has.
    #[error("the subject's public key does not fit the profile")]
    SubjectKey,
    /// notAfter lies before notBefore, or outside the authority's own validity.
    #[error("the validity asked for is empty or reaches outside the authority's own")]
    Validity,
    /// The authority's certificate cannot be read.
    #[error("the authority's certificate: {0}")]
    AuthorityCertificate(#[from] Malformed),
    /// The authority's certificate is for another key, or not an authority's.
    #[error("the authority's certificate does not belong to this key, or is not an authority's")]
    NotThisAuthority,
    /// The certificate is for another key, or does not let its holder sign OCSP responses.
    #[error("the certificate does not make this key a signer of OCSP responses")]
    NotADelegate,
    /// The lint found an error in what was about to be signed.
    #[error("not signed: {0}")]
    Lint(#[from] LintError),
}

impl From<PublicKeyError> for IssueError {
    fn from(_: PublicKeyError) -> Self {
        Self::SubjectKey
    }
}

/// An authority: its certificate and the signer that holds its key.
#[doc(alias = "認証局")]
pub struct IssuingAuthority {
    signer: Box<dyn IssuerSigner>,
    certificate: Vec<u8>,
    subject: DistinguishedName,
    /// Who issued the authority's own certificate: itself, or the authority above.
    issuer: DistinguishedName,
    serial: SerialNumber,
    key_identifier: Vec<u8>,
    alternative_names: Option<Vec<u8>>,
    validity_seconds: (i64, i64),
}

impl fmt::Debug for IssuingAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuingAuthority(****)")
    }
}

impl IssuingAuthority {
    /// Makes a self-signed authority.
    ///
    /// # Errors
    /// A name that does not fit, an empty validity, or a signer that refuses.
    pub fn self_signed(
        profile: &AuthorityProfile<'_>,
        serial: SerialNumber,
        validity: Validity,
        signer: Box<dyn IssuerSigner>,
    ) -> Result<Self, IssueError> {
        let name = profile.name()?;
        let key_identifier = key_identifier(signer.spki_der());
        let mut extensions = profile.extensions(&name, &name)?;
        extensions.push(subject_key_identifier(&key_identifier));
        let contents =
            Contents { serial, issuer: &name, validity, subject: &name, spki: signer.spki_der(), extensions };
        let rules = CertificateRules {
            issuer: &name,
            key_identifier: &key_identifier,
            algorithm: signer.algorithm(),
            issuer_validity: None,
            shape: Shape::Authority,
        };
        let certificate = contents.sign(signer.as_ref(), &rules)?;
        Self::from_certificate(certificate, signer)
    }

    /// Takes up an authority whose certificate exists.
    ///
    /// # Errors
    /// The certificate is malformed, is not an authority's, or is for another key than the signer's.
    pub fn from_certificate(certificate: Vec<u8>, signer: Box<dyn IssuerSigner>) -> Result<Self, IssueError> {
        let parsed = Certificate::parse(&certificate)?;
        let is_authority =
            parsed.extensions().basic_constraints.is_some_and(|constraints| constraints.is_authority);
        if !is_authority || parsed.spki_der() != signer.spki_der() {
            return Err(IssueError::NotThisAuthority);
        }
        let identifier = parsed.extensions().subject_key_identifier.ok_or(IssueError::NotThisAuthority)?;
        Ok(Self {
            subject: DistinguishedName::from_raw(parsed.subject_der()),
            issuer: DistinguishedName::from_raw(parsed.issuer_der()),
            serial: *parsed.serial(),
            key_identifier: identifier.to_vec(),
            alternative_names: parsed.extensions().subject_alt_name.map(<[u8]>::to_vec),
            validity_seconds: (parsed.not_before().0, parsed.not_after().0),
            certificate,
            signer,
        })
    }

    /// The authority's own certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The authority's name.
    pub const fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// First instant of the authority's own validity.
    pub fn not_before(&self) -> UnixSeconds {
        UnixSeconds(u64::try_from(self.validity_seconds.0).unwrap_or(0))
    }

    /// Last instant of the authority's own validity.
    pub fn not_after(&self) -> UnixSeconds {
        UnixSeconds(u64::try_from(self.validity_seconds.1).unwrap_or(0))
    }

    /// Issues a certificate. The caller has made sure that `serial` was never used before, and has
    /// written it down durably: a signed serial that nobody remembers cannot be revoked.
    ///
    /// # Errors
    /// Contents that the profile cannot hold, a subject key of another kind, a validity outside the
    /// authority's own, or a signer that refuses.
    pub fn issue(
        &self,
        profile: &LeafProfile<'_>,
        serial: SerialNumber,
        validity: Validity,
        subject_spki: &[u8],
    ) -> Result<Vec<u8>, IssueError> {
        let wanted = match profile {
            LeafProfile::JpkiAuth { .. } | LeafProfile::JpkiSign { .. } | LeafProfile::Hpki { .. } => {
                SignatureAlgorithm::RsaPkcs1Sha256
            }
            LeafProfile::TlsServer { .. }
            | LeafProfile::TlsClient { .. }
            | LeafProfile::OcspDelegate { .. } => SignatureAlgorithm::EcdsaP256Sha256,
        };
        if VerifyingKey::from_spki_der(subject_spki)?.algorithm() != wanted {
            return Err(IssueError::SubjectKey);
        }
        self.check_within(validity)?;
        let mut extensions = profile.extensions(&self.subject, self.alternative_names.as_deref())?;
        extensions.push(self.authority_key_identifier());
        extensions.push(subject_key_identifier(&key_identifier(subject_spki)));
        let subject = profile.subject()?;
        let rules = self.rules(Shape::of(profile));
        Contents {
            serial,
            issuer: &self.subject,
            validity,
            subject: &subject,
            spki: subject_spki,
            extensions,
        }
        .sign(self.signer.as_ref(), &rules)
    }

    /// Issues the certificate of an authority under this one; [`Self::from_certificate`] takes it up with
    /// its signer. What is said of `serial` at [`Self::issue`] holds here too.
    ///
    /// # Errors
    /// A name that does not fit, a validity outside this authority's own, a subject key that is not
    /// supported, or a signer that refuses.
    pub fn issue_authority(
        &self,
        profile: &AuthorityProfile<'_>,
        serial: SerialNumber,
        validity: Validity,
        subject_spki: &[u8],
    ) -> Result<Vec<u8>, IssueError> {
        VerifyingKey::from_spki_der(subject_spki)?;
        self.check_within(validity)?;
        let subject = profile.name()?;
        let mut extensions = profile.extensions(&subject, &self.subject)?;
        extensions.push(self.authority_key_identifier());
        extensions.push(subject_key_identifier(&key_identifier(subject_spki)));
        let issuer = &self.subject;
        let rules = self.rules(Shape::SubordinateAuthority);
        Contents { serial, issuer, validity, subject: &subject, spki: subject_spki, extensions }
            .sign(self.signer.as_ref(), &rules)
    }

    /// What the lint holds a certificate of this shape against.
    fn rules(&self, shape: Shape) -> CertificateRules<'_> {
        CertificateRules {
            issuer: &self.subject,
            key_identifier: &self.key_identifier,
            algorithm: self.signer.algorithm(),
            issuer_validity: Some(self.validity_seconds),
            shape,
        }
    }

    /// Nothing that is issued may live before or after the authority's own certificate.
    fn check_within(&self, validity: Validity) -> Result<(), IssueError> {
        let within = |seconds: u64| {
            i64::try_from(seconds)
                .is_ok_and(|at| at >= self.validity_seconds.0 && at <= self.validity_seconds.1)
        };
        let holds = within(validity.not_before.0) && within(validity.not_after.0);
        if holds { Ok(()) } else { Err(IssueError::Validity) }
    }

    /// authorityKeyIdentifier in all three forms, as the cards have it: RFC 5280 §4.2.1.1.
    pub(crate) fn authority_key_identifier(&self) -> Vec<u8> {
        let key = write::tlv(tag::context(0), &self.key_identifier);
        // Issuer and serial number are those of the authority's own certificate.
        let issuer = write::tlv(tag::context_constructed(1), &write::explicit(4, self.issuer.as_der()));
        let serial = write::tlv(tag::context(2), self.serial.as_bytes());
        let value = write::sequence(&[&key, &issuer, &serial]);
        extension(&oid::AUTHORITY_KEY_IDENTIFIER, Criticality::NonCritical, &value)
    }

    /// Wraps a signed part: RFC 5280 §4.1.1, §5.1.1.
    pub(crate) fn sign_linted(&self, linted: &Linted<'_>) -> Result<Vec<u8>, IssueError> {
        seal(linted, self.signer.as_ref())
    }

    /// Signs what no lint has seen, for tests that need lists which nobody should issue.
    #[cfg(test)]
    pub(crate) fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, IssueError> {
        seal(&Linted::unseen(tbs), self.signer.as_ref())
    }

    /// subjectKeyIdentifier of the authority.
    pub(crate) fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    /// The algorithm of this authority's signatures.
    pub(crate) fn algorithm(&self) -> SignatureAlgorithm {
        self.signer.algorithm()
    }

    /// Its AlgorithmIdentifier.
    pub(crate) fn algorithm_identifier(&self) -> Vec<u8> {
        self.signer.algorithm().identifier_der()
    }
}

/// Takes the evidence that the lint has seen the octets: nothing else can be signed.
fn seal(linted: &Linted<'_>, signer: &dyn IssuerSigner) -> Result<Vec<u8>, IssueError> {
    let tbs = linted.tbs();
    let signature = signer.sign(tbs)?;
    // A key store that computes wrongly gives an RSA key away by one wrong signature; nobody may see it.
    if !VerifyingKey::from_spki_der(signer.spki_der()).is_ok_and(|key| key.verifies(tbs, &signature)) {
        return Err(SignError::Refused("the signature does not verify").into());
    }
    Ok(write::sequence(&[tbs, &signer.algorithm().identifier_der(), &write::bit_string(&signature)]))
}

/// The leftmost 160 bits of SHA-256 over the key's bits: RFC 7093 §2 method 1 (no SHA-1 here).
pub(crate) fn key_identifier(spki: &[u8]) -> Vec<u8> {
    let bits = crate::asn1::read::Reader::only_sequence(spki, "subjectPublicKeyInfo")
        .and_then(|mut fields| {
            fields.expect(tag::SEQUENCE, "algorithm")?;
            fields.expect(tag::BIT_STRING, "subjectPublicKey")?.whole_octets("subjectPublicKey")
        })
        .unwrap_or(spki);
    digest::digest(&digest::SHA256, bits).as_ref().iter().copied().take(20).collect()
}

fn subject_key_identifier(identifier: &[u8]) -> Vec<u8> {
    let value = write::tlv(tag::OCTET_STRING, identifier);
    extension(&oid::SUBJECT_KEY_IDENTIFIER, Criticality::NonCritical, &value)
}

struct Contents<'a> {
    serial: SerialNumber,
    issuer: &'a DistinguishedName,
    validity: Validity,
    subject: &'a DistinguishedName,
    spki: &'a [u8],
    extensions: Vec<Vec<u8>>,
}

impl Contents<'_> {
    /// TBSCertificate, version 3, signed: RFC 5280 §4.1.
    fn sign(&self, signer: &dyn IssuerSigner, rules: &CertificateRules<'_>) -> Result<Vec<u8>, IssueError> {
        if self.validity.not_after < self.validity.not_before {
            return Err(IssueError::Validity);
        }
        if !self.serial.is_positive() {
            return Err(IssueError::Contents("a serial number is positive"));
        }
        let validity = [write::time(self.validity.not_before), write::time(self.validity.not_after)].concat();
        let extensions = write::tlv(tag::SEQUENCE, &self.extensions.concat());
        let tbs = write::sequence(&[
            &write::explicit(0, &[tag::INTEGER, 1, 2]),
            &write::tlv(tag::INTEGER, self.serial.as_bytes()),
            &signer.algorithm().identifier_der(),
            self.issuer.as_der(),
            &write::tlv(tag::SEQUENCE, &validity),
            self.subject.as_der(),
            self.spki,
            &write::explicit(3, &extensions),
        ]);
        seal(&lint::certificate(&tbs, rules)?, signer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::NameAttribute;
    use crate::testing::{self, NOW};
    use der::{Decode, Encode};

    #[test]
    fn what_is_issued_reads_back_here_and_in_a_foreign_decoder() {
        let town = testing::Town::new();
        for certificate in [
            town.auth_leaf(),
            town.sign_leaf(),
            town.terminal_leaf(),
            town.server_leaf(),
            town.auth.certificate_der().to_vec(),
            town.town.certificate_der().to_vec(),
        ] {
            Certificate::parse(&certificate).unwrap();
            let foreign = x509_cert::Certificate::from_der(&certificate).unwrap();
            assert_eq!(foreign.to_der().unwrap(), certificate);
        }
    }

    #[test]
    fn an_authentication_certificate_names_nobody_and_a_signature_certificate_names_its_holder() {
        let town = testing::Town::new();
        let contains =
            |haystack: &[u8], needle: &str| haystack.windows(needle.len()).any(|w| w == needle.as_bytes());
        for personal in ["試験 花子", "東京都清瀬市", "419900401"] {
            assert!(!contains(&town.auth_leaf(), personal));
            assert!(contains(&town.sign_leaf(), personal));
        }
        let terminal = town.terminal_leaf();
        let terminal = Certificate::parse(&terminal).unwrap();
        assert_eq!(
            terminal.subject_attribute(NameAttribute::SubjectSerialNumber).unwrap(),
            Some("1310000001")
        );
        assert_eq!(terminal.subject_attribute(NameAttribute::Organization).unwrap(), Some("かざす診療所"));
    }

    #[test]
    fn impossible_requests_are_refused() {
        let town = testing::Town::new();
        let municipality = testing::municipality();
        let profile = LeafProfile::JpkiAuth {
            common_name: "X",
            municipality: &municipality,
            ocsp_uri: None,
            list_place: None,
        };
        let good = Validity { not_before: NOW, not_after: NOW.plus(1) };
        let serial = testing::serial(1);
        let (rsa, p256) = (testing::rsa_spki(1), testing::p256_spki(1));
        assert!(town.auth.issue(&profile, serial, good, &rsa).is_ok());
        assert_eq!(town.auth.issue(&profile, serial, good, &p256), Err(IssueError::SubjectKey));
        assert_eq!(town.auth.issue(&profile, serial, good, b"x"), Err(IssueError::SubjectKey));
        let backwards = Validity { not_before: NOW.plus(2), not_after: NOW };
        assert_eq!(town.auth.issue(&profile, serial, backwards, &rsa), Err(IssueError::Validity));
        let beyond = Validity { not_before: NOW, not_after: NOW.plus(testing::TEN_YEARS_SECONDS + 1) };
        assert_eq!(town.auth.issue(&profile, serial, beyond, &rsa), Err(IssueError::Validity));
        let unnamed = LeafProfile::JpkiAuth {
            common_name: "",
            municipality: &municipality,
            ocsp_uri: None,
            list_place: None,
        };
        assert!(matches!(town.auth.issue(&unnamed, serial, good, &rsa), Err(IssueError::Name(_))));
        let bad_uri = LeafProfile::JpkiAuth {
            common_name: "X",
            municipality: &municipality,
            ocsp_uri: Some("http://日本"),
            list_place: None,
        };
        assert!(matches!(town.auth.issue(&bad_uri, serial, good, &rsa), Err(IssueError::Contents(_))));
    }

    #[test]
    fn an_authority_is_taken_up_with_its_own_key_only() {
        let town = testing::Town::new();
        let certificate = town.auth.certificate_der().to_vec();
        assert!(
            IssuingAuthority::from_certificate(certificate.clone(), testing::signer(testing::rsa_key(0)))
                .is_ok()
        );
        let other = testing::signer(testing::rsa_key(1));
        assert_eq!(
            IssuingAuthority::from_certificate(certificate, other).err(),
            Some(IssueError::NotThisAuthority)
        );
        let leaf_key = testing::signer(testing::rsa_key(2));
        assert_eq!(
            IssuingAuthority::from_certificate(town.auth_leaf(), leaf_key).err(),
            Some(IssueError::NotThisAuthority)
        );
    }
}
