//! From a document and its signature to evidence: RFC 5652 §5.4 to §5.6, RFC 5035 §5, RFC 8933, and the path
//! and status of the signer's certificate by [`crate::validate`].

use super::read::{SignedAttributes, SignedData, SignerId, SignerInfo, is_signed_attributes};
use super::{digest_of, plain_algorithm};
use crate::asn1::read::{Malformed, Tlv};
use crate::asn1::tag;
use crate::asn1::time::CertificateTime;
use crate::certificate::Certificate;
use crate::oid;
use crate::public_key::{KeyKind, PublicKey};
use crate::serial::SerialNumber;
use crate::signature_scheme::{SchemeError, SignatureDigest, SignatureScheme};
use crate::validate::{
    CertificateProblem, CertificateStatus, Evidence, PathError, PathGood, Question, TrustAnchor, validate,
};
use protocol::time::UnixSeconds;
use std::fmt;

/// Whether the attribute signing-certificate-v2 must be there: RFC 5035 §5. Where it is, it must name the
/// certificate that verifies, whatever the rule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SigningCertificateRule {
    /// It may be missing.
    IfPresent,
    /// Without it, somebody could show another certificate for the same key.
    Required,
}

/// Why a signature on a document is not good.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureFault {
    /// An algorithm or attribute that cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// SHA-1.
    #[error("signed over SHA-1, which is not accepted")]
    WeakDigest,
    /// A digest that is not used here.
    #[error("digest algorithm {0} is not supported")]
    Digest(String),
    /// A signature algorithm that is not used here.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
    /// digestAlgorithm and signatureAlgorithm name different digests: RFC 8933 §3.
    #[error("digestAlgorithm and signatureAlgorithm name different digests")]
    DigestsDiffer,
    /// A bare signature is over another digest than the one it was said to be over.
    #[error("the signature is over another digest: {}", .found.as_str())]
    OtherDigest {
        /// The digest it is over.
        found: SignatureDigest,
    },
    /// RFC 5652 §5.3, §11.1, §11.2: contentType and messageDigest must be among signed attributes.
    #[error("there are signed attributes, but {0} is not among them")]
    AttributeMissing(&'static str),
    /// contentType among the attributes is not what is signed.
    #[error("the attribute contentType names another type than the content's")]
    OtherContentType,
    /// The signature is not detached, and what is inside is not the document.
    #[error("the content inside the signature is not the document")]
    OtherContent,
    /// messageDigest is not the digest of the document.
    #[error("the document is not the one that was signed: its digest is not messageDigest")]
    Changed,
    /// There are no signed attributes, and the document could itself be some.
    #[error("the document has the form of signed attributes, so nobody can say what was signed")]
    Ambiguous,
    /// No certificate fits the signer's identifier.
    #[error("the signer's certificate is not there")]
    SignerMissing,
    /// The signer's certificate cannot be used for this.
    #[error("the signer's certificate: {0}")]
    Certificate(#[from] CertificateProblem),
    /// The signature does not verify with the certificate's key.
    #[error("the signature does not verify with the key of the signer's certificate")]
    BadSignature,
    /// signing-certificate-v2 names another certificate.
    #[error("signing-certificate-v2 names another certificate than the one whose key verifies")]
    OtherCertificate,
    /// The rule wants signing-certificate-v2, and it is not there.
    #[error("signing-certificate-v2 is not among the signed attributes")]
    NoSigningCertificate,
    /// The signer's certificate is not valid, revoked, on hold, or of unknown status.
    #[error("the signer's certificate is not valid: {0}")]
    Path(PathError),
}

impl SignatureDigest {
    /// The name, as commands take it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

/// Evidence that a document was signed with a certificate's key, and that the certificate was good for it at
/// the instant asked about: the path with its profile, and the revocation status. Made by [`signed_data`] and
/// [`bare`] only.
#[doc(alias = "電子署名")]
#[must_use]
pub struct DocumentSignatureGood {
    path: PathGood,
    status: Option<CertificateStatus>,
    certificate: Vec<u8>,
    scheme: SignatureScheme,
    claimed_signing_time: Option<CertificateTime>,
    names_certificate: bool,
    at: UnixSeconds,
}

impl fmt::Debug for DocumentSignatureGood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentSignatureGood")
            .field("path", &self.path)
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl DocumentSignatureGood {
    /// The path of the signer's certificate, with the profile that it was checked for.
    pub const fn path(&self) -> &PathGood {
        &self.path
    }

    /// Its revocation status; none if the question did not ask for it.
    pub const fn status(&self) -> Option<CertificateStatus> {
        self.status
    }

    /// The signer's certificate in DER: who signed. It names a person.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The algorithm of the signature.
    pub const fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// When the signer says that it signed. Nobody else says so.
    pub const fn claimed_signing_time(&self) -> Option<CertificateTime> {
        self.claimed_signing_time
    }

    /// Whether the signature itself names the certificate (signing-certificate-v2).
    pub const fn names_certificate(&self) -> bool {
        self.names_certificate
    }

    /// The instant that was asked about.
    pub const fn at(&self) -> UnixSeconds {
        self.at
    }
}

/// Verifies every signature on a document; the outcomes are in the order of the signers. Where the signature
/// is not detached, what is inside must be the document: nobody has to ask which of two was signed. Certificates and
/// lists that came along go into the bag: they are of use, and nothing is trusted because it came along.
///
/// Each outcome's fault is the first found in the order: algorithms, attributes, document, signature,
/// certificate.
pub fn signed_data<'a>(
    signed: &SignedData<'a>,
    document: &[u8],
    anchors: &'a [TrustAnchor],
    evidence: &mut Evidence<'a>,
    question: &Question,
    rule: SigningCertificateRule,
) -> Vec<Result<DocumentSignatureGood, SignatureFault>> {
    for der in signed.certificates() {
        // What cannot be read is of no use, and does no harm.
        let _of_use = evidence.add_certificate(der);
    }
    for der in signed.lists() {
        // A list that anybody could have put there must not spoil what others say by being unreadable.
        if crate::crl::list::CertificateList::parse(der).is_ok() {
            let _readable = evidence.add_list(der);
        }
    }
    if signed.content().is_some_and(|content| content != document) {
        return signed.signers.iter().map(|_| Err(SignatureFault::OtherContent)).collect();
    }
    let evidence = &*evidence;
    signed.signers.iter().map(|signer| one(signer, document, anchors, evidence, question, rule)).collect()
}

fn one<'a>(
    signer: &SignerInfo<'a>,
    document: &[u8],
    anchors: &'a [TrustAnchor],
    evidence: &Evidence<'a>,
    question: &Question,
    rule: SigningCertificateRule,
) -> Result<DocumentSignatureGood, SignatureFault> {
    let digest = read_digest(&signer.digest_algorithm)?;
    let scheme = read_scheme(&signer.signature_algorithm, digest)?;
    let message = match &signer.attributes {
        Some(attributes) => {
            check_attributes(attributes, digest, document)?;
            attributes.to_be_signed()
        }
        None if is_signed_attributes(document) => return Err(SignatureFault::Ambiguous),
        None => document.to_vec(),
    };
    let leaf = signer_certificate(signer, scheme, &message, evidence)?;
    let named = signer.attributes.and_then(|attributes| attributes.signing_certificate);
    match (&named, rule) {
        (Some(named), _) => check_named(named, leaf)?,
        (None, SigningCertificateRule::Required) => return Err(SignatureFault::NoSigningCertificate),
        (None, SigningCertificateRule::IfPresent) => {}
    }
    let made = Made {
        scheme,
        claimed_signing_time: signer.attributes.and_then(|attributes| attributes.signing_time),
        names_certificate: named.is_some(),
    };
    conclude(leaf.as_der(), anchors, evidence, question, made)
}

/// How a signature was made.
struct Made {
    scheme: SignatureScheme,
    claimed_signing_time: Option<CertificateTime>,
    names_certificate: bool,
}

fn conclude<'a>(
    certificate: &'a [u8],
    anchors: &'a [TrustAnchor],
    evidence: &Evidence<'a>,
    question: &Question,
    made: Made,
) -> Result<DocumentSignatureGood, SignatureFault> {
    let path = validate(certificate, anchors, evidence, question)
        .map_err(|refusal| SignatureFault::Path(refusal.error))?;
    Ok(DocumentSignatureGood {
        status: path.statuses().first().copied(),
        path: path.evidence()?,
        certificate: certificate.to_vec(),
        scheme: made.scheme,
        claimed_signing_time: made.claimed_signing_time,
        names_certificate: made.names_certificate,
        at: question.at,
    })
}

fn read_digest(algorithm: &Tlv<'_>) -> Result<SignatureDigest, SignatureFault> {
    let kind = plain_algorithm(algorithm, "digestAlgorithm")?;
    match SignatureDigest::of(kind) {
        Some(SignatureDigest::Sha1) => Err(SignatureFault::WeakDigest),
        Some(digest) => Ok(digest),
        None => Err(SignatureFault::Digest(oid::text(kind))),
    }
}

/// RFC 5652 §10.1.2, RFC 5754 §3: rsaEncryption stands for PKCS#1 v1.5 with the digest named beside it.
fn read_scheme(algorithm: &Tlv<'_>, digest: SignatureDigest) -> Result<SignatureScheme, SignatureFault> {
    if algorithm.inside().object_identifier("signatureAlgorithm")? == oid::RSA_ENCRYPTION.as_bytes() {
        plain_algorithm(algorithm, "signatureAlgorithm")?;
        return Ok(SignatureScheme::RsaPkcs1(digest));
    }
    let scheme = SignatureScheme::read(algorithm)?;
    match scheme.digest() {
        Some(SignatureDigest::Sha1) => Err(SignatureFault::WeakDigest),
        Some(own) if own == digest => Ok(scheme),
        Some(_) => Err(SignatureFault::DigestsDiffer),
        // No certificate of this house has such a key.
        None => Err(SchemeError::Unsupported(oid::ED25519.to_string()).into()),
    }
}

/// RFC 5652 §5.4, §5.6, §11.1, §11.2.
fn check_attributes(
    attributes: &SignedAttributes<'_>,
    digest: SignatureDigest,
    document: &[u8],
) -> Result<(), SignatureFault> {
    let kind = attributes.content_type.ok_or(SignatureFault::AttributeMissing("contentType"))?;
    if kind != oid::CMS_DATA.as_bytes() {
        return Err(SignatureFault::OtherContentType);
    }
    let claimed = attributes.message_digest.ok_or(SignatureFault::AttributeMissing("messageDigest"))?;
    if claimed == digest_of(digest, document) { Ok(()) } else { Err(SignatureFault::Changed) }
}

/// Of the certificates that fit the signer's identifier the one whose key verifies: anybody can make a
/// certificate with somebody's issuer name and serial number.
fn signer_certificate<'e, 'a>(
    signer: &SignerInfo<'_>,
    scheme: SignatureScheme,
    message: &[u8],
    evidence: &'e Evidence<'a>,
) -> Result<&'e Certificate<'a>, SignatureFault> {
    /// Certificates with one identifier that are tried: an RSA verification each.
    const CANDIDATES_MAX: usize = 8;
    let fits = |certificate: &&Certificate<'_>| match signer.id {
        SignerId::IssuerAndSerial { issuer, serial } => {
            certificate.serial() == &serial && certificate.issuer_der() == issuer
        }
        SignerId::KeyIdentifier(identifier) => {
            certificate.extensions().subject_key_identifier == Some(identifier)
        }
    };
    let mut outcome = SignatureFault::SignerMissing;
    for certificate in evidence.certificates.iter().filter(fits).take(CANDIDATES_MAX) {
        match PublicKey::from_spki_der(certificate.spki_der()) {
            Ok(key) if key.verifies(scheme, message, signer.signature) => return Ok(certificate),
            Ok(_) => outcome = SignatureFault::BadSignature,
            Err(error) => outcome = SignatureFault::Certificate(error.into()),
        }
    }
    Err(outcome)
}

/// ESSCertIDv2: RFC 5035 §4.
fn check_named(named: &Tlv<'_>, certificate: &Certificate<'_>) -> Result<(), SignatureFault> {
    let mut fields = named.inside();
    let digest = match fields.optional(tag::SEQUENCE, "hashAlgorithm")? {
        None => SignatureDigest::Sha256,
        Some(algorithm) => read_digest(&algorithm)?,
    };
    let hash = fields.expect(tag::OCTET_STRING, "certHash")?.content;
    let issuer_serial = fields.optional(tag::SEQUENCE, "issuerSerial")?;
    fields.finish("ESSCertIDv2")?;
    if hash != digest_of(digest, certificate.as_der()) {
        return Err(SignatureFault::OtherCertificate);
    }
    // The hash has said it all; what contradicts it is refused all the same.
    if let Some(issuer_serial) = issuer_serial {
        let mut fields = issuer_serial.inside();
        fields.expect(tag::SEQUENCE, "issuer")?;
        let serial = SerialNumber::read(&fields.expect(tag::INTEGER, "serialNumber")?, "serialNumber")?;
        if serial != *certificate.serial() {
            return Err(SignatureFault::OtherCertificate);
        }
    }
    Ok(())
}

/// Verifies a bare signature over a file: RSA PKCS#1 v1.5 (RFC 8017 §8.2), as a card makes it; with a key on
/// a curve, ECDSA. `digest` is what it is said to be over; SHA-1 is refused.
///
/// # Errors
/// The first fault in the order: digest, signature, certificate.
pub fn bare<'a>(
    document: &[u8],
    signature: &[u8],
    certificate: &'a [u8],
    digest: SignatureDigest,
    anchors: &'a [TrustAnchor],
    evidence: &Evidence<'a>,
    question: &Question,
) -> Result<DocumentSignatureGood, SignatureFault> {
    if digest == SignatureDigest::Sha1 {
        return Err(SignatureFault::WeakDigest);
    }
    let leaf = Certificate::parse(certificate).map_err(CertificateProblem::from)?;
    let key = PublicKey::from_spki_der(leaf.spki_der()).map_err(CertificateProblem::from)?;
    let scheme = |digest| match key.kind() {
        KeyKind::Rsa | KeyKind::RsaPss { .. } => SignatureScheme::RsaPkcs1(digest),
        _ => SignatureScheme::Ecdsa(digest),
    };
    let verifies = |digest| key.verifies(scheme(digest), document, signature);
    if !verifies(digest) {
        use SignatureDigest::{Sha1, Sha256, Sha384, Sha512};
        // Says no more than what is wrong: a signature over another digest stays refused.
        return Err(match [Sha256, Sha384, Sha512, Sha1].into_iter().find(|other| verifies(*other)) {
            Some(Sha1) => SignatureFault::WeakDigest,
            Some(found) => SignatureFault::OtherDigest { found },
            None => SignatureFault::BadSignature,
        });
    }
    let made = Made { scheme: scheme(digest), claimed_signing_time: None, names_certificate: false };
    conclude(certificate, anchors, evidence, question, made)
}
