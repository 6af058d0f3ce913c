//! Certification requests of authorities: RFC 2986 (PKCS#10). The key was made where it will stay, and what
//! travels to the authority above is a name, a public key, and proof that somebody holds the private one.

use crate::asn1::read::{Malformed, Reader};
use crate::asn1::{tag, write};
use crate::issue::IssueError;
use crate::profile::AuthorityProfile;
use crate::public_key::VerifyingKey;
use crate::signer::IssuerSigner;

/// Why a request is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestProblem {
    /// Not a CertificationRequest.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A key that this house does not certify.
    #[error("the key of the request is neither RSA of 2048 bits or more nor P-256")]
    Key,
    /// The signature is not the key's: whoever asks may not hold the private key.
    #[error("the request is not signed with its own key")]
    Possession,
}

/// A request whose signature verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificationRequest {
    subject: Vec<u8>,
    spki: Vec<u8>,
}

impl CertificationRequest {
    /// Parses a DER CertificationRequest and verifies its signature, SHA-256 with the key's own kind. Its
    /// attributes are wishes, and the profile decides: they are not looked at.
    ///
    /// # Errors
    /// Not that structure, a key that is not certified here, or a signature of another key.
    pub fn parse(der: &[u8]) -> Result<Self, RequestProblem> {
        let mut outer = Reader::only_sequence(der, "CertificationRequest")?;
        let information = outer.expect(tag::SEQUENCE, "certificationRequestInfo")?;
        let algorithm = outer.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = outer.expect(tag::BIT_STRING, "signature")?.whole_octets("signature")?;
        outer.finish("CertificationRequest")?;
        let mut fields = information.inside();
        let version = fields.expect(tag::INTEGER, "version")?;
        if version.content != [0] {
            return Err(version.malformed("version").into());
        }
        let subject = fields.expect(tag::SEQUENCE, "subject")?;
        let spki = fields.expect(tag::SEQUENCE, "subjectPKInfo")?;
        fields.expect(tag::context_constructed(0), "attributes")?;
        fields.finish("certificationRequestInfo")?;
        let key = VerifyingKey::from_spki_der(spki.raw).map_err(|_| RequestProblem::Key)?;
        let is_own = key.algorithm().identifier_der() == algorithm.raw;
        if !is_own || !key.verifies(information.raw, signature) {
            return Err(RequestProblem::Possession);
        }
        Ok(Self { subject: subject.raw.to_vec(), spki: spki.raw.to_vec() })
    }

    /// The name asked for, in DER.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// The key, as SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }
}

/// The name that an authority of this profile has, in DER.
///
/// # Errors
/// A name that does not fit.
pub fn authority_name_der(profile: &AuthorityProfile<'_>) -> Result<Vec<u8>, IssueError> {
    Ok(profile.name()?.as_der().to_vec())
}

/// Makes the request of an authority of this profile, without attributes: RFC 2986 §4.
///
/// # Errors
/// A name that does not fit, or a signer that refuses.
pub fn authority_request(
    profile: &AuthorityProfile<'_>,
    signer: &dyn IssuerSigner,
) -> Result<Vec<u8>, IssueError> {
    let information = write::sequence(&[
        &[tag::INTEGER, 1, 0],
        &authority_name_der(profile)?,
        signer.spki_der(),
        &write::tlv(tag::context_constructed(0), &[]),
    ]);
    let signature = signer.sign(&information)?;
    let algorithm = signer.algorithm().identifier_der();
    Ok(write::sequence(&[&information, &algorithm, &write::bit_string(&signature)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::software_signer;
    use crate::testing;

    #[test]
    fn a_request_reads_back_and_every_changed_octet_is_noticed() {
        let profile = AuthorityProfile::Town { common_name: "request test" };
        for key in [testing::rsa_key(0), testing::p256_key(0)] {
            let signer = software_signer(key).unwrap();
            let der = authority_request(&profile, signer.as_ref()).unwrap();
            let read = CertificationRequest::parse(&der).unwrap();
            assert_eq!(read.spki_der(), signer.spki_der());
            assert_eq!(read.subject_der(), authority_name_der(&profile).unwrap());
            for at in 0..der.len() {
                let mut changed = der.clone();
                changed[at] ^= 0x01;
                assert!(CertificationRequest::parse(&changed).is_err(), "octet {at}");
                assert!(CertificationRequest::parse(&der[..at]).is_err(), "cut at {at}");
            }
            assert!(CertificationRequest::parse(&[der.as_slice(), &[0]].concat()).is_err());
        }
    }
}
