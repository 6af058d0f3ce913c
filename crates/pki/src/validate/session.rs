//! One validation: what it was given, what it has found out, and what it has spent.

use super::anchor::TrustAnchor;
use super::error::{Fault, PathError, Place, Work};
use super::input::Question;
use super::names::{self, PreparedName};
use super::status::CertificateStatus;
use crate::asn1::read::Malformed;
use crate::certificate::Certificate;
use crate::crl::list::CertificateList;
use crate::extension::KeyUsage;
use crate::ocsp::OcspResponse;
use crate::public_key::{PublicKey, PublicKeyError};
use crate::signature_scheme::{SignatureDigest, SignatureScheme};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Everything untrusted that a validation may use. It is only a bag: what is of no use is left lying.
#[derive(Debug, Default)]
pub struct Evidence<'a> {
    pub(crate) certificates: Vec<Certificate<'a>>,
    pub(crate) lists: Vec<CertificateList<'a>>,
    pub(crate) responses: Vec<OcspResponse<'a>>,
    /// The first list or response that could not be read. It may have spoken of any certificate, so no
    /// certificate of which nothing else speaks passes as "nothing known".
    pub(crate) unreadable: Option<Malformed>,
}

impl<'a> Evidence<'a> {
    /// An empty bag.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a certificate that may be an issuer.
    ///
    /// # Errors
    /// It cannot be read; the bag is as before.
    pub fn add_certificate(&mut self, der: &'a [u8]) -> Result<(), Malformed> {
        self.certificates.push(Certificate::parse(der)?);
        Ok(())
    }

    /// Adds a revocation list.
    ///
    /// # Errors
    /// It cannot be read. The bag remembers that: a certificate that no other list or response speaks of
    /// is then refused even under [`super::input::RevocationRule::IfPresent`].
    pub fn add_list(&mut self, der: &'a [u8]) -> Result<(), Malformed> {
        let list = CertificateList::parse(der).map_err(|fault| self.note(fault))?;
        self.lists.push(list);
        Ok(())
    }

    /// Adds an OCSP response.
    ///
    /// # Errors
    /// As for [`Self::add_list`].
    pub fn add_response(&mut self, der: &'a [u8]) -> Result<(), Malformed> {
        let response = OcspResponse::parse(der).map_err(|fault| self.note(fault))?;
        self.responses.push(response);
        Ok(())
    }

    fn note(&mut self, fault: Malformed) -> Malformed {
        self.unreadable.get_or_insert(fault);
        fault
    }
}

/// A certificate of the bag. Its names are prepared when octets alone do not decide, and then only once.
pub(crate) struct Node<'s, 'a> {
    pub(crate) certificate: &'s Certificate<'a>,
    subject: OnceCell<Option<PreparedName>>,
    issuer: OnceCell<Option<PreparedName>>,
}

impl<'s, 'a> Node<'s, 'a> {
    const fn new(certificate: &'s Certificate<'a>) -> Self {
        Self { certificate, subject: OnceCell::new(), issuer: OnceCell::new() }
    }

    fn subject(&self) -> Option<&PreparedName> {
        self.subject.get_or_init(|| PreparedName::new(self.certificate.subject_der()).ok()).as_ref()
    }

    fn issuer(&self) -> Option<&PreparedName> {
        self.issuer.get_or_init(|| PreparedName::new(self.certificate.issuer_der()).ok()).as_ref()
    }

    /// Whether this certificate names the other's subject as its issuer.
    pub(crate) fn names_as_issuer(&self, other: &Self) -> bool {
        self.certificate.issuer_der() == other.certificate.subject_der()
            || matches!((self.issuer(), other.subject()), (Some(a), Some(b)) if a == b)
    }

    /// Whether this certificate names the anchor as its issuer.
    pub(crate) fn names_anchor_as_issuer(&self, anchor: &TrustAnchor) -> bool {
        self.certificate.issuer_der() == anchor.subject || self.issuer() == Some(&anchor.prepared)
    }

    /// Same subject and same key: RFC 4158 §5.2 calls a path that passes both a loop.
    pub(crate) fn is_same_entity(&self, other: &Self) -> bool {
        self.certificate.spki_der() == other.certificate.spki_der()
            && (self.certificate.subject_der() == other.certificate.subject_der()
                || matches!((self.subject(), other.subject()), (Some(a), Some(b)) if a == b))
    }

    /// Whether the subject has this name, in DER.
    pub(crate) fn is_subject(&self, name: &[u8]) -> bool {
        self.certificate.subject_der() == name || names::same(self.certificate.subject_der(), name)
    }
}

/// Who signed: a certificate of the bag or an anchor, by place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum SignedBy {
    Certificate(usize),
    Anchor(usize),
}

/// Bytes that were signed, how, and the signature.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'s> {
    pub(crate) algorithm: &'s crate::asn1::read::Tlv<'s>,
    pub(crate) message: &'s [u8],
    pub(crate) signature: &'s [u8],
}

/// What was signed, by place; a signature is verified at most once with each key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Certificate(usize),
    List(usize),
    Response(usize),
}

/// What a signature may cost on average, in verifications of RSA-2048 (14 µs): more than RSA-4096 and P-256
/// take. Of the dearest kinds fewer than the limit are verified.
const SIGNATURE_COST_MAX: usize = 10;

#[derive(Debug, Default)]
struct Spent {
    signatures: usize,
    signature_cost: usize,
    candidates: usize,
    paths: usize,
}

/// One validation. Certificate 0 is the leaf.
pub(crate) struct Session<'s, 'a> {
    pub(crate) question: &'s Question,
    pub(crate) anchors: &'a [TrustAnchor],
    pub(crate) nodes: Vec<Node<'s, 'a>>,
    pub(crate) lists: Vec<&'s CertificateList<'a>>,
    pub(crate) responses: Vec<&'s OcspResponse<'a>>,
    pub(crate) unreadable: Option<Malformed>,
    /// By certificate, those with the name that it names as its issuer: the bag is searched once for each.
    issuers: BTreeMap<usize, Rc<[usize]>>,
    keys: BTreeMap<usize, Result<Rc<PublicKey>, PublicKeyError>>,
    verified: BTreeMap<(Subject, SignedBy), Result<(), Fault>>,
    pub(crate) statuses: BTreeMap<(usize, SignedBy), CertificateStatus>,
    /// List issuers and responders that were found in order.
    pub(crate) cleared: Vec<(usize, usize)>,
    /// Certificates whose status is being looked up: none of them can vouch for itself.
    pub(crate) in_progress: Vec<usize>,
    spent: Spent,
}

impl<'s, 'a> Session<'s, 'a> {
    pub(crate) fn new(
        leaf: &'s Certificate<'a>,
        anchors: &'a [TrustAnchor],
        evidence: &'s Evidence<'a>,
        question: &'s Question,
    ) -> Self {
        let delegates = evidence.responses.iter().flat_map(|response| response.certificates());
        let mut seen = BTreeSet::from([leaf.as_der()]);
        let mut nodes = vec![Node::new(leaf)];
        for certificate in evidence.certificates.iter().chain(delegates) {
            if seen.insert(certificate.as_der()) {
                nodes.push(Node::new(certificate));
            }
        }
        let mut lists: Vec<_> = evidence.lists.iter().collect();
        // Newest first: an older one of the same scope is never asked when a newer one answers.
        lists.sort_by(|a, b| b.this_update.cmp(&a.this_update).then(b.number.cmp(&a.number)));
        Self {
            question,
            anchors,
            nodes,
            lists,
            responses: evidence.responses.iter().collect(),
            unreadable: evidence.unreadable,
            issuers: BTreeMap::new(),
            keys: BTreeMap::new(),
            verified: BTreeMap::new(),
            statuses: BTreeMap::new(),
            cleared: Vec::new(),
            in_progress: Vec::new(),
            spent: Spent::default(),
        }
    }

    /// The certificate at a place of the bag.
    pub(crate) fn certificate(&self, place: usize) -> Option<&'s Certificate<'a>> {
        self.nodes.get(place).map(|node| node.certificate)
    }

    pub(crate) fn anchor(&self, place: usize) -> Option<&'a TrustAnchor> {
        self.anchors.get(place)
    }

    /// Certificates of the bag with the name that the certificate at `place` names as its issuer's.
    pub(crate) fn named_issuers(&mut self, place: usize) -> Rc<[usize]> {
        if let Some(known) = self.issuers.get(&place) {
            return Rc::clone(known);
        }
        let found: Rc<[usize]> = match self.nodes.get(place) {
            None => Rc::default(),
            Some(child) => {
                let named = self.nodes.iter().enumerate().filter(|(_, node)| child.names_as_issuer(node));
                named.map(|(place, _)| place).collect()
            }
        };
        self.issuers.insert(place, Rc::clone(&found));
        found
    }

    /// Subject name of a signer.
    pub(crate) fn subject_of(&self, signer: SignedBy) -> &'a [u8] {
        match signer {
            SignedBy::Certificate(place) => {
                self.certificate(place).map_or(&[], |certificate| certificate.subject_der())
            }
            SignedBy::Anchor(place) => self.anchor(place).map_or(&[], |anchor| anchor.subject.as_slice()),
        }
    }

    /// Whether a signer may sign lists: RFC 5280 §6.3.3 (f).
    pub(crate) fn may_sign_lists(&self, signer: SignedBy) -> bool {
        match signer {
            SignedBy::Certificate(place) => self.certificate(place).is_some_and(|certificate| {
                certificate.extensions().key_usage.is_none_or(|usage| usage.includes(KeyUsage::CRL_SIGN))
            }),
            SignedBy::Anchor(place) => self.anchor(place).is_some_and(TrustAnchor::may_sign_lists),
        }
    }

    /// The signer above a certificate of a path.
    pub(crate) fn issuer_in(path: &[usize], index: usize, anchor: usize) -> SignedBy {
        path.get(index + 1).map_or(SignedBy::Anchor(anchor), |place| SignedBy::Certificate(*place))
    }

    /// The octets of a signer's subjectPublicKey, for key hashes.
    pub(crate) fn with_key<T>(
        &mut self,
        signer: SignedBy,
        take: impl FnOnce(&PublicKey) -> T,
    ) -> Result<T, PublicKeyError> {
        match signer {
            SignedBy::Anchor(place) => {
                self.anchor(place).map(|anchor| take(&anchor.key)).ok_or(PublicKeyError::Unsupported)
            }
            SignedBy::Certificate(place) => self.key_of(place).map(|key| take(&key)),
        }
    }

    fn key_of(&mut self, place: usize) -> Result<Rc<PublicKey>, PublicKeyError> {
        let Some(certificate) = self.certificate(place) else { return Err(PublicKeyError::Unsupported) };
        self.keys.entry(place).or_insert_with(|| PublicKey::from_spki(&certificate.spki).map(Rc::new)).clone()
    }

    /// Whether `signer`'s key made the signature on `subject`. Remembered, and counted.
    pub(crate) fn verify(
        &mut self,
        subject: Subject,
        signed: Signed<'_>,
        signer: SignedBy,
    ) -> Result<(), Fault> {
        if let Some(known) = self.verified.get(&(subject, signer)) {
            return known.clone();
        }
        let outcome = self.verify_anew(signed, signer);
        if !matches!(outcome, Err(Fault::WorkLimit { .. })) {
            self.verified.insert((subject, signer), outcome.clone());
        }
        outcome
    }

    fn verify_anew(&mut self, signed: Signed<'_>, signer: SignedBy) -> Result<(), Fault> {
        let scheme = SignatureScheme::read(signed.algorithm)?;
        if scheme.digest() == Some(SignatureDigest::Sha1) && !self.question.sha1.accepts(self.question.at) {
            return Err(Fault::WeakDigest);
        }
        let limit = self.question.limits.signatures;
        let cost = self.with_key(signer, PublicKey::verification_cost)?;
        let allowed = limit.saturating_mul(SIGNATURE_COST_MAX);
        if self.spent.signatures >= limit || self.spent.signature_cost + cost > allowed {
            return Err(Fault::WorkLimit { work: Work::Signatures, limit });
        }
        let verifies = self.with_key(signer, |key| key.verifies(scheme, signed.message, signed.signature))?;
        self.spent.signatures += 1;
        self.spent.signature_cost += cost;
        if verifies { Ok(()) } else { Err(Fault::BadSignature) }
    }

    /// Begins to count candidates and paths anew; signatures stay counted.
    pub(crate) const fn count_anew(&mut self) {
        (self.spent.candidates, self.spent.paths) = (0, 0);
    }

    /// Counts one more certificate tried as an issuer.
    pub(crate) fn count_candidate(&mut self) -> Result<(), PathError> {
        self.spent.candidates += 1;
        Self::within(self.spent.candidates, self.question.limits.candidates, Work::Candidates)
    }

    /// Counts one more complete path examined.
    pub(crate) fn count_path(&mut self) -> Result<(), PathError> {
        self.spent.paths += 1;
        Self::within(self.spent.paths, self.question.limits.paths, Work::Paths)
    }

    fn within(count: usize, limit: usize, work: Work) -> Result<(), PathError> {
        if count <= limit {
            Ok(())
        } else {
            Err(PathError { place: Place::Leaf, fault: Fault::WorkLimit { work, limit } })
        }
    }
}
