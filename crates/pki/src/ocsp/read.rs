//! Responses as they came: RFC 6960 §4.2. Reading decides nothing; [`crate::validate`] decides.

use super::{CertId, ResponseStatus};
use crate::asn1::read::{Malformed, Reader, Tlv, check_nested};
use crate::asn1::tag;
use crate::asn1::time::{CertificateTime, read_response_time};
use crate::certificate::Certificate;
use crate::extension::{RawExtension, UnknownCritical};
use crate::oid;
use crate::revocation::RevocationReason;

/// Who answers: RFC 6960 §4.2.1, ResponderID.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ResponderId<'a> {
    /// The responder's name in DER.
    Name(&'a [u8]),
    /// SHA-1 of the responder's subjectPublicKey.
    Key(&'a [u8]),
}

/// CertStatus: RFC 6960 §4.2.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CertStatus {
    Good,
    Revoked { at: CertificateTime, reason: RevocationReason },
    Unknown,
}

/// SingleResponse: RFC 6960 §4.2.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SingleResponse<'a> {
    pub(crate) id: CertId<'a>,
    pub(crate) status: CertStatus,
    pub(crate) this_update: CertificateTime,
    pub(crate) next_update: Option<CertificateTime>,
    pub(crate) unknown_critical: Option<UnknownCritical<'a>>,
}

/// BasicOCSPResponse: RFC 6960 §4.2.1.
#[derive(Clone, Debug)]
pub(crate) struct BasicResponse<'a> {
    pub(crate) tbs: Tlv<'a>,
    pub(crate) signature_algorithm: Tlv<'a>,
    pub(crate) signature: &'a [u8],
    pub(crate) responder: ResponderId<'a>,
    pub(crate) produced_at: CertificateTime,
    pub(crate) singles: Vec<SingleResponse<'a>>,
    pub(crate) nonce: Option<&'a [u8]>,
    pub(crate) unknown_critical: Option<UnknownCritical<'a>>,
    certificates: Vec<Certificate<'a>>,
}

/// An OCSP response, read but not yet believed.
#[derive(Clone, Debug)]
pub struct OcspResponse<'a> {
    status: ResponseStatus,
    pub(crate) basic: Option<BasicResponse<'a>>,
}

impl<'a> OcspResponse<'a> {
    /// Reads one DER response that fills `der`: RFC 6960 §4.2.1.
    ///
    /// # Errors
    /// Anything that is not DER, not an OCSP response of the basic type, or is followed by other data.
    pub fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::document(der, "OCSPResponse")?;
        let code = fields.expect(tag::ENUMERATED, "responseStatus")?;
        let number = code.small_unsigned("responseStatus")?;
        let status = ResponseStatus::ALL.into_iter().find(|known| u32::from(known.code()) == number);
        let status = status.ok_or_else(|| code.malformed("responseStatus"))?;
        let wrapper = fields.optional(tag::context_constructed(0), "responseBytes")?;
        fields.finish("OCSPResponse")?;
        let Some(wrapper) = wrapper else {
            // RFC 6960 §4.2.1: only an error has no answer inside.
            return if status == ResponseStatus::Successful {
                Err(code.malformed("responseBytes"))
            } else {
                Ok(Self { status, basic: None })
            };
        };
        let mut outer = wrapper.inside();
        let mut bytes = outer.expect(tag::SEQUENCE, "responseBytes")?.inside();
        outer.finish("responseBytes")?;
        let kind = bytes.expect(tag::OID, "responseType")?;
        let octets = bytes.expect(tag::OCTET_STRING, "response")?;
        bytes.finish("responseBytes")?;
        if kind.content != oid::OCSP_BASIC.as_bytes() {
            return Err(kind.malformed("responseType"));
        }
        let mut inside = octets.inside();
        let basic = inside.expect(tag::SEQUENCE, "basicOCSPResponse")?;
        inside.finish("basicOCSPResponse")?;
        check_nested(&basic, "basicOCSPResponse")?;
        let basic = BasicResponse::read(&basic)?;
        Ok(Self { status, basic: Some(basic) })
    }

    /// Whether there is an answer, and if not why not.
    pub const fn status(&self) -> ResponseStatus {
        self.status
    }

    /// Certificates that came with the answer.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Certificate<'a>> {
        self.basic.iter().flat_map(|basic| basic.certificates.iter())
    }
}

impl<'a> BasicResponse<'a> {
    fn read(outer: &Tlv<'a>) -> Result<Self, Malformed> {
        let mut fields = outer.inside();
        let tbs = fields.expect(tag::SEQUENCE, "tbsResponseData")?;
        let signature_algorithm = fields.expect(tag::SEQUENCE, "signatureAlgorithm")?;
        let signature = fields.expect(tag::BIT_STRING, "signature")?.whole_octets("signature")?;
        let certificates = match fields.optional(tag::context_constructed(0), "certs")? {
            None => Vec::new(),
            Some(wrapper) => read_certificates(&wrapper)?,
        };
        fields.finish("basicOCSPResponse")?;

        let mut data = tbs.inside();
        if let Some(version) = data.optional(tag::context_constructed(0), "version")? {
            // DEFAULT v1 is never encoded (X.690 §11.5), and there is no other version.
            return Err(version.malformed("version"));
        }
        let responder = read_responder(&mut data)?;
        let produced = data.expect(tag::GENERALIZED_TIME, "producedAt")?;
        let produced_at = read_response_time(&produced, "producedAt")?;
        let list = data.expect(tag::SEQUENCE, "responses")?;
        let mut singles = Vec::new();
        let mut rest = list.inside();
        while !rest.is_empty() {
            singles.push(SingleResponse::read(&rest.expect(tag::SEQUENCE, "singleResponse")?)?);
        }
        let extensions = data.optional(tag::context_constructed(1), "responseExtensions")?;
        data.finish("tbsResponseData")?;
        let mut nonce = None;
        let unknown_critical = read_extensions(extensions.as_ref(), |extension| {
            if extension.kind.content == oid::OCSP_NONCE.as_bytes() {
                // RFC 8954 §2.1: an OCTET STRING. RFC 2560 did not say, and some write bare octets.
                let wrapped = extension.only(tag::OCTET_STRING, "nonce");
                nonce = Some(wrapped.map_or_else(|_| extension.octets(), |nonce| nonce.content));
                return Ok(true);
            }
            Ok(false)
        })?;
        Ok(Self {
            tbs,
            signature_algorithm,
            signature,
            responder,
            produced_at,
            singles,
            nonce,
            unknown_critical,
            certificates,
        })
    }
}

/// Certificates of a response that are looked at. A responder needs one, with its path a few; each that is
/// read takes a kilobyte.
const CERTIFICATES_MAX: usize = 8;

/// Certificates that cannot be read are of no use, and do no harm. Nor do those beyond [`CERTIFICATES_MAX`].
fn read_certificates<'a>(wrapper: &Tlv<'a>) -> Result<Vec<Certificate<'a>>, Malformed> {
    let mut outer = wrapper.inside();
    let mut list = outer.expect(tag::SEQUENCE, "certs")?.inside();
    outer.finish("certs")?;
    let mut certificates = Vec::new();
    while !list.is_empty() {
        let raw = list.expect(tag::SEQUENCE, "certs")?.raw;
        if certificates.len() < CERTIFICATES_MAX {
            certificates.extend(Certificate::parse(raw).ok());
        }
    }
    Ok(certificates)
}

fn read_responder<'a>(data: &mut Reader<'a>) -> Result<ResponderId<'a>, Malformed> {
    let choice = data.any("responderID")?;
    let mut inside = choice.inside();
    let responder = if choice.tag == tag::context_constructed(1) {
        ResponderId::Name(inside.expect(tag::SEQUENCE, "responderID")?.raw)
    } else if choice.tag == tag::context_constructed(2) {
        ResponderId::Key(inside.expect(tag::OCTET_STRING, "responderID")?.content)
    } else {
        return Err(choice.malformed("responderID"));
    };
    inside.finish("responderID")?;
    Ok(responder)
}

impl<'a> SingleResponse<'a> {
    fn read(single: &Tlv<'a>) -> Result<Self, Malformed> {
        let mut fields = single.inside();
        let id = CertId::read(&fields.expect(tag::SEQUENCE, "certID")?)?;
        let status = CertStatus::read(&fields.any("certStatus")?)?;
        let this = fields.expect(tag::GENERALIZED_TIME, "thisUpdate")?;
        let this_update = read_response_time(&this, "thisUpdate")?;
        let next_update = match fields.optional(tag::context_constructed(0), "nextUpdate")? {
            None => None,
            Some(wrapper) => {
                let mut inside = wrapper.inside();
                let next = inside.expect(tag::GENERALIZED_TIME, "nextUpdate")?;
                inside.finish("nextUpdate")?;
                Some(read_response_time(&next, "nextUpdate")?)
            }
        };
        let extensions = fields.optional(tag::context_constructed(1), "singleExtensions")?;
        fields.finish("singleResponse")?;
        let unknown_critical = read_extensions(extensions.as_ref(), |_| Ok(false))?;
        Ok(Self { id, status, this_update, next_update, unknown_critical })
    }
}

impl CertStatus {
    fn read(choice: &Tlv<'_>) -> Result<Self, Malformed> {
        let fault = || choice.malformed("certStatus");
        if choice.tag == tag::context(0) && choice.content.is_empty() {
            return Ok(Self::Good);
        }
        if choice.tag == tag::context(2) && choice.content.is_empty() {
            return Ok(Self::Unknown);
        }
        if choice.tag != tag::context_constructed(1) {
            return Err(fault());
        }
        let mut fields = choice.inside();
        let time = fields.expect(tag::GENERALIZED_TIME, "revocationTime")?;
        let at = read_response_time(&time, "revocationTime")?;
        let reason = match fields.optional(tag::context_constructed(0), "revocationReason")? {
            None => RevocationReason::Unspecified,
            Some(wrapper) => {
                let mut inside = wrapper.inside();
                let code = inside.expect(tag::ENUMERATED, "revocationReason")?;
                inside.finish("revocationReason")?;
                RevocationReason::from_code(code.small_unsigned("revocationReason")?)
            }
        };
        fields.finish("revokedInfo")?;
        if reason == RevocationReason::RemoveFromCrl {
            // A list's word; an answer about one certificate would say good.
            return Err(fault());
        }
        Ok(Self::Revoked { at, reason })
    }
}

/// Reads an extension list; `take` says whether it knows the extension.
fn read_extensions<'a>(
    wrapper: Option<&Tlv<'a>>,
    mut take: impl FnMut(&RawExtension<'a>) -> Result<bool, Malformed>,
) -> Result<Option<UnknownCritical<'a>>, Malformed> {
    let Some(wrapper) = wrapper else { return Ok(None) };
    let mut outer = wrapper.inside();
    let list = outer.expect(tag::SEQUENCE, "extensions")?;
    outer.finish("extensions")?;
    let mut rest = list.inside();
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut unknown = None;
    while !rest.is_empty() {
        let extension = RawExtension::read(&mut rest)?;
        let kind = extension.kind.content;
        if seen.contains(&kind) || seen.len() >= 64 {
            return Err(extension.kind.malformed("repeated extension"));
        }
        seen.push(kind);
        if !take(&extension)? && extension.critical {
            let identifier = extension.kind.object_identifier("extnID")?;
            unknown.get_or_insert(UnknownCritical { identifier, offset: extension.kind.offset });
        }
    }
    Ok(unknown)
}
