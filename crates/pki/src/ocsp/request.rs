//! Requests: RFC 6960 §4.1. Strict DER in, and nothing decided.

use super::{CertId, ResponseStatus};
use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::{tag, write};
use crate::extension::RawExtension;
use crate::oid;
use crate::profile::{Criticality, extension};
use std::ops::RangeInclusive;

/// Certificates that one request may ask about. RFC 6960 has no limit; an answer costs at least as much
/// as the question, so there must be one.
pub const CERT_IDS_MAX: usize = 32;
/// Octets of a nonce that are accepted: RFC 9654 §2.1 has every other length refused.
pub const NONCE_OCTETS: RangeInclusive<usize> = 1..=128;
/// Octets of a nonce that a client should send: RFC 9654 §2.1.
pub const NONCE_OCTETS_USUAL: usize = 32;

/// Why a request is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestProblem {
    /// Not DER, or not the structure of RFC 6960 §4.1.1.
    #[error("the request: {0}")]
    Malformed(#[from] Malformed),
    /// A nonce of no octets or of more than 128: RFC 9654 §2.1.
    #[error("a nonce has 1 to 128 octets, this one {octets}")]
    NonceLength {
        /// Octets of the nonce.
        octets: usize,
    },
    /// More certificates than [`CERT_IDS_MAX`].
    #[error("the request is about more than {CERT_IDS_MAX} certificates")]
    TooMany,
    /// A critical extension that nothing here processes.
    #[error("the request has a critical extension that is not supported, at octet {offset}")]
    UnsupportedCriticalExtension {
        /// Octets from the start of the request.
        offset: usize,
    },
    /// The client takes other kinds of response than the basic one: RFC 6960 §4.4.3.
    #[error("the client does not take basic responses")]
    OtherResponseWanted,
}

impl RequestProblem {
    /// What the client is told: RFC 6960 §4.2.1.
    pub const fn response_status(&self) -> ResponseStatus {
        match self {
            Self::Malformed(_) | Self::NonceLength { .. } | Self::TooMany => ResponseStatus::MalformedRequest,
            Self::UnsupportedCriticalExtension { .. } | Self::OtherResponseWanted => {
                ResponseStatus::Unauthorized
            }
        }
    }
}

/// A request, read.
#[derive(Clone, Debug)]
pub struct OcspRequest<'a> {
    cert_ids: Vec<CertId<'a>>,
    nonce: Option<&'a [u8]>,
}

impl<'a> OcspRequest<'a> {
    /// Reads one DER OCSPRequest that fills `der`. A signature is looked at for its form and otherwise
    /// ignored, as RFC 5019 §2.1.2 allows: who asks makes no difference here.
    ///
    /// # Errors
    /// See [`RequestProblem`].
    pub fn parse(der: &'a [u8]) -> Result<Self, RequestProblem> {
        let mut outer = Reader::document(der, "OCSPRequest")?;
        let tbs = outer.expect(tag::SEQUENCE, "tbsRequest")?;
        let signature = outer.optional(tag::context_constructed(0), "optionalSignature")?;
        outer.finish("OCSPRequest")?;

        let mut fields = tbs.inside();
        // version is DEFAULT v1, and there is no other: DER never encodes it (X.690 §11.5).
        let requestor = fields.optional(tag::context_constructed(1), "requestorName")?;
        if let Some(wrapper) = requestor {
            let mut inside = wrapper.inside();
            inside.any("requestorName")?;
            inside.finish("requestorName")?;
        }
        if let Some(wrapper) = signature {
            if requestor.is_none() {
                // RFC 6960 §4.1.2: whoever signs says who he is.
                return Err(wrapper.malformed("requestorName").into());
            }
            check_signature(&wrapper)?;
        }
        let cert_ids = read_list(&fields.expect(tag::SEQUENCE, "requestList")?)?;
        let nonce = match fields.optional(tag::context_constructed(2), "requestExtensions")? {
            None => None,
            Some(wrapper) => read_extensions(&wrapper)?,
        };
        fields.finish("tbsRequest")?;
        Ok(Self { cert_ids, nonce })
    }

    /// The certificates asked about, in order; 1 to [`CERT_IDS_MAX`].
    pub fn cert_ids(&self) -> &[CertId<'a>] {
        &self.cert_ids
    }

    /// The nonce, 1 to 128 octets, if there is one.
    pub const fn nonce(&self) -> Option<&'a [u8]> {
        self.nonce
    }
}

fn read_list<'a>(list: &Tlv<'a>) -> Result<Vec<CertId<'a>>, RequestProblem> {
    let mut requests = list.inside();
    if requests.is_empty() {
        return Err(list.malformed("requestList").into());
    }
    let mut cert_ids = Vec::with_capacity(1);
    while !requests.is_empty() {
        if cert_ids.len() == CERT_IDS_MAX {
            return Err(RequestProblem::TooMany);
        }
        let mut fields = requests.expect(tag::SEQUENCE, "request")?.inside();
        cert_ids.push(CertId::read(&fields.expect(tag::SEQUENCE, "reqCert")?)?);
        if let Some(wrapper) = fields.optional(tag::context_constructed(0), "singleRequestExtensions")? {
            // Among them the service locator (RFC 6960 §4.4.6), for responders that pass requests on.
            let mut extensions = extension_list(&wrapper, "singleRequestExtensions")?;
            while !extensions.is_empty() {
                refuse_critical(&RawExtension::read(&mut extensions)?)?;
            }
        }
        fields.finish("request")?;
    }
    Ok(cert_ids)
}

/// requestExtensions: RFC 6960 §4.4. Gives the nonce.
fn read_extensions<'a>(wrapper: &Tlv<'a>) -> Result<Option<&'a [u8]>, RequestProblem> {
    let mut nonce = None;
    let mut extensions = extension_list(wrapper, "requestExtensions")?;
    while !extensions.is_empty() {
        let extension = RawExtension::read(&mut extensions)?;
        if extension.kind.content == oid::OCSP_NONCE.as_bytes() {
            // RFC 9654 §2.1: an OCTET STRING inside the value, not the bare octets of RFC 2560's days.
            let octets = extension.only(tag::OCTET_STRING, "nonce")?.content;
            if !NONCE_OCTETS.contains(&octets.len()) {
                return Err(RequestProblem::NonceLength { octets: octets.len() });
            }
            if nonce.replace(octets).is_some() {
                return Err(extension.kind.malformed("repeated extension").into());
            }
        } else if extension.kind.content == oid::OCSP_ACCEPTABLE_RESPONSES.as_bytes() {
            let mut kinds = extension.only(tag::SEQUENCE, "acceptableResponses")?.inside();
            let mut basic = false;
            while !kinds.is_empty() {
                let kind = kinds.expect(tag::OID, "acceptableResponses")?;
                basic |= kind.content == oid::OCSP_BASIC.as_bytes();
            }
            if !basic {
                return Err(RequestProblem::OtherResponseWanted);
            }
        } else {
            refuse_critical(&extension)?;
        }
    }
    Ok(nonce)
}

fn extension_list<'a>(wrapper: &Tlv<'a>, what: &'static str) -> Result<Reader<'a>, Malformed> {
    let mut inside = wrapper.inside();
    let list = inside.expect(tag::SEQUENCE, what)?;
    inside.finish(what)?;
    if list.content.is_empty() {
        return Err(list.malformed(what));
    }
    Ok(list.inside())
}

const fn refuse_critical(extension: &RawExtension<'_>) -> Result<(), RequestProblem> {
    if extension.critical {
        return Err(RequestProblem::UnsupportedCriticalExtension { offset: extension.kind.offset });
    }
    Ok(())
}

/// Signature: RFC 6960 §4.1.1.
fn check_signature(wrapper: &Tlv<'_>) -> Result<(), Malformed> {
    let mut inside = wrapper.inside();
    let mut fields = inside.expect(tag::SEQUENCE, "optionalSignature")?.inside();
    inside.finish("optionalSignature")?;
    fields.expect(tag::SEQUENCE, "signatureAlgorithm")?;
    fields.expect(tag::BIT_STRING, "signature")?.whole_octets("signature")?;
    fields.optional(tag::context_constructed(0), "certs")?;
    fields.finish("optionalSignature")
}

/// Writes an unsigned request about `cert_ids` (each from [`super::IssuerHashes::cert_id_der`]), with a
/// nonce if one is given: RFC 6960 §4.1.1, RFC 9654 §2.1. [`NONCE_OCTETS_USUAL`] random octets are usual.
pub fn request_der(cert_ids: &[Vec<u8>], nonce: Option<&[u8]>) -> Vec<u8> {
    let requests: Vec<u8> = cert_ids.iter().flat_map(|id| write::sequence(&[id])).collect();
    let extensions = nonce.map_or_else(Vec::new, |nonce| write::explicit(2, &nonce_extensions(nonce)));
    write::sequence(&[&write::sequence(&[&write::tlv(tag::SEQUENCE, &requests), &extensions])])
}

/// Extensions with a nonce and nothing else, for requests and responses.
pub(super) fn nonce_extensions(nonce: &[u8]) -> Vec<u8> {
    let value = write::tlv(tag::OCTET_STRING, nonce);
    write::sequence(&[&extension(&oid::OCSP_NONCE, Criticality::NonCritical, &value)])
}
