//! Responses: RFC 6960 §4.2, signed by a delegate of the authority (§4.2.2.2).

use super::request::nonce_extensions;
use super::{CertId, CertIdHash, ResponseStatus, key_bits};
use crate::asn1::{tag, write};
use crate::certificate::Certificate;
use crate::issue::IssueError;
use crate::oid;
use crate::revocation::RevocationReason;
use crate::signer::IssuerSigner;
use protocol::time::UnixSeconds;
use std::fmt;

/// certStatus: RFC 6960 §4.2.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CertStatus {
    /// Issued here, and not revoked. (RFC 6960 §2.2 lets a responder say so of any serial number; this one
    /// says [`Self::Unknown`] of those that were never issued.)
    Good,
    /// Revoked or on hold, RFC 6960 §2.2.
    Revoked {
        /// Why; `unspecified` is left out of the encoding, as in lists (RFC 5280 §5.3.1).
        reason: RevocationReason,
        /// Since when.
        at: UnixSeconds,
    },
    /// Not issued here.
    Unknown,
}

impl CertStatus {
    fn to_der(self) -> Vec<u8> {
        match self {
            Self::Good => vec![tag::context(0), 0],
            Self::Unknown => vec![tag::context(2), 0],
            Self::Revoked { reason, at } => {
                let mut fields = write::generalized_time(at);
                if reason != RevocationReason::Unspecified {
                    fields.extend(write::explicit(0, &[tag::ENUMERATED, 1, reason.code()]));
                }
                write::tlv(tag::context_constructed(1), &fields)
            }
        }
    }
}

/// What is said about one certificate: RFC 6960 §4.2.1 SingleResponse.
#[derive(Clone, Copy, Debug)]
pub struct SingleStatus<'a> {
    /// The certificate, as the request named it.
    pub cert_id: CertId<'a>,
    /// Its status.
    pub status: CertStatus,
    /// When the status was known to be right.
    pub this_update: UnixSeconds,
    /// When there will be newer word at the latest. RFC 5019 §2.2.4 demands it of all responses.
    pub next_update: UnixSeconds,
}

/// How a response names its signer: RFC 6960 §4.2.2.3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResponderNaming {
    /// By its subject name.
    ByName,
    /// By the SHA-1 hash of its key, which is shorter: RFC 5019bis §3.2.2.
    ByKey,
}

/// A key that an authority lets answer for it, with the certificate that says so: RFC 6960 §4.2.2.2.
#[doc(alias = "OCSPレスポンダ")]
pub struct OcspDelegate {
    signer: Box<dyn IssuerSigner>,
    /// `[0] certs` of every response, encoded once.
    certificates: Vec<u8>,
    algorithm: Vec<u8>,
    by_name: Vec<u8>,
    by_key: Vec<u8>,
    not_before: i64,
    not_after: i64,
}

impl fmt::Debug for OcspDelegate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OcspDelegate(****)")
    }
}

impl OcspDelegate {
    /// Joins a delegate's certificate and its key.
    ///
    /// # Errors
    /// The certificate is malformed, is for another key, or does not name id-kp-OCSPSigning.
    pub fn new(certificate_der: &[u8], signer: Box<dyn IssuerSigner>) -> Result<Self, IssueError> {
        let certificate = Certificate::parse(certificate_der)?;
        if certificate.spki_der() != signer.spki_der()
            || !certificate.extensions().has_purpose(&oid::OCSP_SIGNING)
        {
            return Err(IssueError::NotADelegate);
        }
        let key_hash = CertIdHash::Sha1.of(key_bits(certificate.spki_der())?);
        Ok(Self {
            certificates: write::explicit(0, &write::sequence(&[certificate_der])),
            algorithm: signer.algorithm().identifier_der(),
            by_name: write::explicit(1, certificate.subject_der()),
            by_key: write::explicit(2, &write::tlv(tag::OCTET_STRING, &key_hash)),
            not_before: certificate.not_before().0,
            not_after: certificate.not_after().0,
            signer,
        })
    }

    /// Whether the delegate's certificate is valid at `at`.
    pub fn is_valid_at(&self, at: UnixSeconds) -> bool {
        i64::try_from(at.0).is_ok_and(|at| at >= self.not_before && at <= self.not_after)
    }

    /// Signs one response about `statuses`; `nonce` is the request's (RFC 9654 §2.1).
    ///
    /// # Errors
    /// Nothing asked, a nextUpdate before its thisUpdate, or a signer that refuses.
    pub fn respond(
        &self,
        statuses: &[SingleStatus<'_>],
        nonce: Option<&[u8]>,
        produced_at: UnixSeconds,
        naming: ResponderNaming,
    ) -> Result<Vec<u8>, IssueError> {
        if statuses.is_empty() || statuses.iter().any(|status| status.next_update < status.this_update) {
            return Err(IssueError::Contents("a response has contents, and ends after it begins"));
        }
        let produced = write::generalized_time(produced_at);
        let mut singles = Vec::with_capacity(statuses.len() * 128);
        for status in statuses {
            let this_update = if status.this_update == produced_at {
                produced.clone()
            } else {
                write::generalized_time(status.this_update)
            };
            singles.extend(write::sequence(&[
                status.cert_id.as_der(),
                &status.status.to_der(),
                &this_update,
                &write::explicit(0, &write::generalized_time(status.next_update)),
            ]));
        }
        let responder = match naming {
            ResponderNaming::ByName => &self.by_name,
            ResponderNaming::ByKey => &self.by_key,
        };
        let extensions = nonce.map_or_else(Vec::new, |nonce| write::explicit(1, &nonce_extensions(nonce)));
        let data =
            write::sequence(&[responder, &produced, &write::tlv(tag::SEQUENCE, &singles), &extensions]);
        let signature = write::bit_string(&self.signer.sign(&data)?);
        Ok(successful(&[&data, &self.algorithm, &signature, &self.certificates]))
    }
}

/// OCSPResponse around the parts of a BasicOCSPResponse: RFC 6960 §4.2.1. Five elements, one in the other,
/// are written in one go: each needs the length of those inside it, and nothing is copied twice.
fn successful(basic: &[&[u8]]) -> Vec<u8> {
    const SEQUENCE: u8 = tag::SEQUENCE;
    let kind = write::oid(&oid::OCSP_BASIC);
    let status = [tag::ENUMERATED, 1, ResponseStatus::Successful.code()];
    // From the inside out, with the octets in front of each element's content.
    let mut heads = Vec::with_capacity(5);
    let mut length: usize = basic.iter().map(|part| part.len()).sum();
    let wrappers: [(u8, &[u8]); 5] = [
        (SEQUENCE, &[]),
        (tag::OCTET_STRING, &[]),
        (SEQUENCE, &kind),
        (tag::context_constructed(0), &[]),
        (SEQUENCE, &status),
    ];
    for (tag, before) in wrappers {
        let mut head = Vec::with_capacity(24);
        write::header(tag, length + before.len(), &mut head);
        head.extend_from_slice(before);
        length += head.len();
        heads.push(head);
    }
    let mut out = Vec::with_capacity(length);
    heads.iter().rev().for_each(|head| out.extend_from_slice(head));
    basic.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A response without contents: RFC 6960 §4.2.1, five octets, unsigned. Never [`ResponseStatus::Successful`],
/// which needs contents: that becomes `internalError`.
pub fn refusal(status: ResponseStatus) -> Vec<u8> {
    let code = match status {
        ResponseStatus::Successful => ResponseStatus::InternalError.code(),
        refused => refused.code(),
    };
    write::sequence(&[&[tag::ENUMERATED, 1, code]])
}
