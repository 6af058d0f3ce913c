//! Signatures on documents: what is made verifies, and everything that is changed about it is refused by name.

use crate::forge::{Cert, DAY, List, NOW, extension, key, revoked};
use pki::asn1::{tag, write};
use pki::cms::create::{CreateProblem, Unsigned};
use pki::cms::read::{CmsProblem, SIGNERS_MAX};
use pki::cms::verify::{bare, signed_data};
use pki::cms::{DocumentSignatureGood, SignatureFault, SignedData, SigningCertificateRule};
use pki::oid;
use pki::revocation::{RevocationReason, Status};
use pki::signature_scheme::{SignatureDigest, SignatureScheme};
use pki::validate::input::RevocationRule;
use pki::validate::{Evidence, Fault, PathError, Place, Profile, Question, TrustAnchor};
use protocol::time::UnixSeconds;

const DOCUMENT: &[u8] = "申請書\n".as_bytes();
const SERIAL: u64 = 701;

fn root() -> Vec<u8> {
    Cert::root("CN=root", 0).der()
}

/// A signature certificate of our shape.
fn signer_certificate() -> Cert {
    let policy = write::sequence(&[&write::oid(&oid::JPKI_SIGN_POLICY)]);
    let policies = extension(&oid::CERTIFICATE_POLICIES, true, &write::sequence(&[&policy]));
    let cert = Cert::leaf("CN=signer", 1, "CN=root", 0).serial(SERIAL).with(policies);
    Cert { usage: Some(0xC000), ..cert }
}

/// Made once: a signature of ECDSA is another one every time.
fn signer_der() -> Vec<u8> {
    static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    DER.get_or_init(|| signer_certificate().der()).clone()
}

fn question() -> Question {
    Question { profile: Profile::JpkiSign, ..Question::at(NOW) }
}

fn signed() -> Vec<u8> {
    signed_by(&signer_der(), 1)
}

fn signed_by(certificate: &[u8], which: usize) -> Vec<u8> {
    let unsigned = Unsigned::new(DOCUMENT, certificate, Some(NOW.minus(5))).unwrap();
    let signature = key(which).sign(unsigned.to_be_signed()).unwrap();
    unsigned.signed_with(&signature).unwrap()
}

type Outcome = Result<Vec<Result<DocumentSignatureGood, SignatureFault>>, CmsProblem>;

struct Asked {
    lists: Vec<Vec<u8>>,
    bag: Vec<Vec<u8>>,
    question: Question,
    rule: SigningCertificateRule,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            lists: vec![List::new("CN=root", 0, &[]).der()],
            bag: Vec::new(),
            question: question(),
            rule: SigningCertificateRule::IfPresent,
        }
    }
}

impl Asked {
    fn verify(&self, der: &[u8], document: &[u8]) -> Outcome {
        let anchors = [TrustAnchor::from_certificate(&root()).unwrap()];
        let mut evidence = Evidence::new();
        self.lists.iter().for_each(|list| evidence.add_list(list).unwrap());
        self.bag.iter().for_each(|der| evidence.add_certificate(der).unwrap());
        let read = SignedData::parse(der)?;
        Ok(signed_data(&read, document, &anchors, &mut evidence, &self.question, self.rule))
    }

    /// The fault of the only signer.
    fn fault(&self, der: &[u8], document: &[u8]) -> SignatureFault {
        let mut outcomes = self.verify(der, document).unwrap();
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0).unwrap_err()
    }
}

/// A SignedData put together by hand.
#[derive(Clone)]
struct Forged {
    /// Attributes as (type, values); none: a signature over the document itself.
    attributes: Option<Vec<Vec<u8>>>,
    digest: Vec<u8>,
    scheme: Vec<u8>,
    sid: Vec<u8>,
    version: u8,
    content: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    signers: usize,
}

fn attribute(kind: &der::asn1::ObjectIdentifier, values: &[u8]) -> Vec<u8> {
    write::sequence(&[&write::oid(kind), &write::tlv(tag::SET, values)])
}

fn sha256(octets: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets).as_ref().to_vec()
}

fn content_type() -> Vec<u8> {
    attribute(&oid::CONTENT_TYPE, &write::oid(&oid::CMS_DATA))
}

fn message_digest(document: &[u8]) -> Vec<u8> {
    attribute(&oid::MESSAGE_DIGEST, &write::tlv(tag::OCTET_STRING, &sha256(document)))
}

impl Forged {
    fn new() -> Self {
        let serial = write::unsigned(&SERIAL.to_be_bytes());
        Self {
            attributes: Some(vec![content_type(), message_digest(DOCUMENT)]),
            digest: write::sequence(&[&write::oid(&oid::SHA256)]),
            scheme: write::sequence(&[&write::oid(&oid::ECDSA_WITH_SHA256)]),
            sid: write::sequence(&[&crate::forge::name("CN=root"), &serial]),
            version: 1,
            content: write::sequence(&[&write::oid(&oid::CMS_DATA)]),
            certificates: vec![signer_der()],
            signers: 1,
        }
    }

    fn with(attributes: &[Vec<u8>]) -> Self {
        Self { attributes: Some(attributes.to_vec()), ..Self::new() }
    }

    fn der(&self, document: &[u8]) -> Vec<u8> {
        let set = self.attributes.as_ref().map(|attributes| attributes.concat());
        let message = set.as_ref().map_or(document.to_vec(), |set| write::tlv(tag::SET, set));
        let signature = key(1).sign(&message).unwrap();
        let attributes = set.map(|set| write::tlv(tag::context_constructed(0), &set)).unwrap_or_default();
        let info = write::sequence(&[
            &write::unsigned(&[self.version]),
            &self.sid,
            &self.digest,
            &attributes,
            &self.scheme,
            &write::tlv(tag::OCTET_STRING, &signature),
        ]);
        let signed = write::sequence(&[
            &write::unsigned(&[1]),
            &write::tlv(tag::SET, &self.digest),
            &self.content,
            &write::tlv(tag::context_constructed(0), &self.certificates.concat()),
            &write::tlv(tag::SET, &vec![info; self.signers].concat()),
        ]);
        write::sequence(&[&write::oid(&oid::CMS_SIGNED_DATA), &write::explicit(0, &signed)])
    }

    fn fault(&self) -> SignatureFault {
        Asked::default().fault(&self.der(DOCUMENT), DOCUMENT)
    }
}

#[test]
fn what_is_made_verifies_and_is_evidence() {
    let asked = Asked { rule: SigningCertificateRule::Required, ..Asked::default() };
    let mut outcomes = asked.verify(&signed(), DOCUMENT).unwrap();
    let good = outcomes.remove(0).unwrap();
    assert_eq!(good.path().profile(), Profile::JpkiSign);
    assert!(matches!(good.status().unwrap().status, Status::Good { age_seconds: 3_600, .. }));
    assert_eq!(good.claimed_signing_time().unwrap().saturating_unix(), NOW.minus(5));
    assert_eq!((good.at(), good.names_certificate()), (NOW, true));
    assert_eq!(good.scheme(), SignatureScheme::Ecdsa(SignatureDigest::Sha256));
    assert_eq!(good.certificate_der(), signer_der());
    assert!(!format!("{good:?}").contains("serial"));
    // Without attributes, with attributes, named by key: all three are signatures.
    for form in [
        Forged::new(),
        Forged { attributes: None, ..Forged::new() },
        Forged { sid: write::tlv(tag::context(0), &crate::forge::key_hash(1)), version: 3, ..Forged::new() },
    ] {
        let outcomes = Asked::default().verify(&form.der(DOCUMENT), DOCUMENT).unwrap();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    // The certificate may come from elsewhere; whoever asks for no status gets none.
    let bare = Forged { certificates: Vec::new(), ..Forged::new() }.der(DOCUMENT);
    assert_eq!(Asked::default().fault(&bare, DOCUMENT), SignatureFault::SignerMissing);
    let question = Question { revocation: RevocationRule::None, ..question() };
    let given = Asked { bag: vec![signer_der()], lists: vec![], question, ..Asked::default() };
    let good = given.verify(&bare, DOCUMENT).unwrap().remove(0).unwrap();
    assert_eq!((good.status(), good.names_certificate()), (None, false));
}

#[test]
fn whatever_is_changed_is_refused() {
    let asked = Asked::default();
    assert_eq!(asked.fault(&signed(), b"another"), SignatureFault::Changed);
    let no_attributes = Forged { attributes: None, ..Forged::new() }.der(DOCUMENT);
    assert_eq!(asked.fault(&no_attributes, b"another"), SignatureFault::BadSignature);
    // Every octet of the attributes and of the signature counts.
    let der = Forged::new().der(DOCUMENT);
    let digest = sha256(DOCUMENT);
    let at = der.windows(32).position(|window| window == digest).unwrap();
    let mut broken = der.clone();
    broken[at] ^= 1;
    assert_eq!(asked.fault(&broken, DOCUMENT), SignatureFault::Changed);
    let mut broken = der.clone();
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(asked.fault(&broken, DOCUMENT), SignatureFault::BadSignature);
    // A signature that its certificate's key did not make is not even handed out.
    let unsigned = Unsigned::new(DOCUMENT, &signer_der(), None).unwrap();
    let by_other = key(3).sign(unsigned.to_be_signed()).unwrap();
    assert_eq!(unsigned.signed_with(&by_other), Err(CreateProblem::BadSignature));
    // Another certificate with the same issuer and serial number is tried, and is not the signer's.
    let namesake = Cert { key: 5, ..signer_certificate() }.der();
    let both = Forged { certificates: vec![namesake.clone(), signer_der()], ..Forged::new() };
    assert!(asked.verify(&both.der(DOCUMENT), DOCUMENT).unwrap()[0].is_ok());
    let alone = Forged { certificates: vec![namesake], ..Forged::new() };
    assert_eq!(alone.fault(), SignatureFault::BadSignature);
}

#[test]
fn every_attribute_is_looked_at() {
    let missing = |attributes: &[Vec<u8>]| Forged::with(attributes).fault();
    assert_eq!(missing(&[content_type()]), SignatureFault::AttributeMissing("messageDigest"));
    assert_eq!(missing(&[message_digest(DOCUMENT)]), SignatureFault::AttributeMissing("contentType"));
    let other = attribute(&oid::CONTENT_TYPE, &write::oid(&oid::CMS_SIGNED_DATA));
    assert_eq!(missing(&[other, message_digest(DOCUMENT)]), SignatureFault::OtherContentType);
    let rule = SigningCertificateRule::Required;
    let required = Asked { rule, ..Asked::default() };
    let plain = Forged::new().der(DOCUMENT);
    assert_eq!(required.fault(&plain, DOCUMENT), SignatureFault::NoSigningCertificate);
    // signing-certificate-v2 that names another certificate for the same key.
    let second =
        signer_certificate().serial(SERIAL).with(crate::forge::purposes(&[oid::EMAIL_PROTECTION])).der();
    let swapped = replace(&signed_by(&second, 1), &second, &signer_der());
    assert_eq!(required.fault(&swapped, DOCUMENT), SignatureFault::OtherCertificate);
    let sha1 = write::sequence(&[
        &write::sequence(&[&write::oid(&oid::SHA1)]),
        &write::tlv(tag::OCTET_STRING, &crate::forge::sha1(&signer_der())),
    ]);
    let ess = attribute(&oid::SIGNING_CERTIFICATE_V2, &write::sequence(&[&write::sequence(&[&sha1])]));
    let mut attributes = [content_type(), message_digest(DOCUMENT), ess];
    attributes.sort();
    assert_eq!(missing(&attributes), SignatureFault::WeakDigest);
    // Not in the order of DER, twice, two values, none.
    let malformed = |attributes: &[Vec<u8>]| {
        let der = Forged::with(attributes).der(DOCUMENT);
        assert!(matches!(Asked::default().verify(&der, DOCUMENT), Err(CmsProblem::Malformed(_))));
    };
    malformed(&[message_digest(DOCUMENT), content_type()]);
    malformed(&[content_type(), content_type(), message_digest(DOCUMENT)]);
    malformed(&[content_type(), message_digest(b"a"), message_digest(DOCUMENT)]);
    malformed(&[]);
    let two = [write::tlv(4, &sha256(b"a")), write::tlv(4, &sha256(DOCUMENT))].concat();
    malformed(&[content_type(), attribute(&oid::MESSAGE_DIGEST, &two)]);
}

/// A SignedData with one certificate swapped for another, lengths put right.
fn replace(der: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    use pki::asn1::read::Reader;
    let mut outer = Reader::only_sequence(der, "x").unwrap();
    let kind = outer.any("x").unwrap().raw;
    let mut signed = outer.any("x").unwrap().inside().any("x").unwrap().inside();
    let parts: Vec<Vec<u8>> = std::iter::from_fn(|| signed.any("x").ok())
        .map(|part| if part.content == old { write::tlv(part.tag, new) } else { part.raw.to_vec() })
        .collect();
    write::sequence(&[kind, &write::explicit(0, &write::tlv(tag::SEQUENCE, &parts.concat()))])
}

#[test]
fn algorithms_that_do_not_count() {
    let with = |digest: &[u8], scheme: &[u8]| {
        Forged { digest: digest.to_vec(), scheme: scheme.to_vec(), ..Forged::new() }.fault()
    };
    let bare = |kind| write::sequence(&[&write::oid(&kind)]);
    let (sha256, ecdsa) = (bare(oid::SHA256), bare(oid::ECDSA_WITH_SHA256));
    assert_eq!(with(&bare(oid::SHA1), &ecdsa), SignatureFault::WeakDigest);
    assert_eq!(with(&sha256, &bare(oid::SHA1_WITH_RSA)), SignatureFault::WeakDigest);
    let md5 = der::asn1::ObjectIdentifier::new_unwrap("1.2.840.113549.2.5");
    assert_eq!(with(&bare(md5), &ecdsa), SignatureFault::Digest("1.2.840.113549.2.5".into()));
    assert_eq!(with(&bare(oid::SHA512), &ecdsa), SignatureFault::DigestsDiffer);
    let none = Forged { attributes: None, digest: bare(oid::SHA512), ..Forged::new() };
    assert_eq!(none.fault(), SignatureFault::DigestsDiffer);
    assert!(matches!(with(&sha256, &bare(oid::ED25519)), SignatureFault::Scheme(_)));
    assert!(matches!(with(&sha256, &bare(oid::SHA256)), SignatureFault::Scheme(_)));
    // A key on a curve makes no RSA signatures.
    assert_eq!(with(&sha256, &bare(oid::RSA_ENCRYPTION)), SignatureFault::BadSignature);
}

#[test]
fn a_document_that_looks_like_attributes_is_nobodys() {
    let document = write::tlv(tag::SET, &[content_type(), message_digest(b"other")].concat());
    let der = Forged { attributes: None, ..Forged::new() }.der(&document);
    assert_eq!(Asked::default().fault(&der, &document), SignatureFault::Ambiguous);
    // The same octets as attributes over the other document: that is what an attacker would show.
    let shown = Forged::with(&[content_type(), message_digest(b"other")]).der(b"other");
    assert!(Asked::default().verify(&shown, b"other").unwrap()[0].is_ok());
}

#[test]
fn the_certificate_must_be_good_at_the_time() {
    let path = |fault| SignatureFault::Path(PathError { place: Place::Leaf, fault });
    let with = |entry: u8| Asked {
        lists: vec![List::new("CN=root", 0, &[revoked(SERIAL, entry)]).der()],
        ..Asked::default()
    };
    let at = NOW.minus(50);
    let reason = RevocationReason::AffiliationChanged;
    assert_eq!(with(3).fault(&signed(), DOCUMENT), path(Fault::Revoked { reason, at }));
    assert_eq!(with(6).fault(&signed(), DOCUMENT), path(Fault::OnHold { since: at }));
    let nothing = Asked { lists: Vec::new(), ..Asked::default() };
    assert!(matches!(
        nothing.fault(&signed(), DOCUMENT),
        SignatureFault::Path(PathError { fault: Fault::StatusUnknown { .. }, .. })
    ));
    let late = |at: UnixSeconds| Asked { question: Question { at, ..question() }, ..Asked::default() };
    assert!(matches!(
        late(NOW.plus(2 * DAY)).fault(&signed(), DOCUMENT),
        SignatureFault::Path(PathError { fault: Fault::StatusTooOld { .. }, .. })
    ));
    let over = Cert { not_after: NOW.minus(1), ..signer_certificate() }.der();
    let fault = Asked::default().fault(&signed_by(&over, 1), DOCUMENT);
    assert!(matches!(fault, SignatureFault::Path(PathError { fault: Fault::Expired { .. }, .. })));
    // Signed with a certificate for something else.
    let auth = Cert::leaf("CN=signer", 1, "CN=root", 0).serial(SERIAL).der();
    let fault = Asked::default().fault(&signed_by(&auth, 1), DOCUMENT);
    assert!(matches!(fault, SignatureFault::Path(PathError { fault: Fault::Profile { .. }, .. })));
    let stranger = Cert { signed_by: 9, ..signer_certificate() }.der();
    let fault = Asked::default().fault(&signed_by(&stranger, 1), DOCUMENT);
    assert!(matches!(fault, SignatureFault::Path(PathError { fault: Fault::BadSignature, .. })), "{fault:?}");
}

#[test]
fn every_signer_is_judged() {
    let two = Forged { signers: 2, ..Forged::new() }.der(DOCUMENT);
    let outcomes = Asked::default().verify(&two, DOCUMENT).unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 2);
    let none = Forged { signers: 0, ..Forged::new() }.der(DOCUMENT);
    assert_eq!(SignedData::parse(&none).unwrap_err(), CmsProblem::NoSigner);
    let most = Forged { signers: SIGNERS_MAX, ..Forged::new() }.der(DOCUMENT);
    assert_eq!(SignedData::parse(&most).unwrap().signers(), SIGNERS_MAX);
    let many = Forged { signers: SIGNERS_MAX + 1, ..Forged::new() }.der(DOCUMENT);
    assert!(matches!(SignedData::parse(&many).unwrap_err(), CmsProblem::TooMany { what: "signers", .. }));
    let certificates = vec![signer_der(); 65];
    let heavy = Forged { certificates, ..Forged::new() }.der(DOCUMENT);
    assert!(matches!(
        SignedData::parse(&heavy).unwrap_err(),
        CmsProblem::TooMany { what: "certificates", .. }
    ));
}

#[test]
fn what_is_no_detached_signed_data() {
    let octets = write::explicit(0, &write::tlv(tag::OCTET_STRING, DOCUMENT));
    let inside = write::sequence(&[&write::oid(&oid::CMS_DATA), &octets]);
    let der = Forged { content: inside, ..Forged::new() }.der(DOCUMENT);
    assert_eq!(SignedData::parse(&der).unwrap().content(), Some(DOCUMENT));
    assert!(Asked::default().verify(&der, DOCUMENT).unwrap()[0].is_ok());
    assert_eq!(Asked::default().fault(&der, b"other"), SignatureFault::OtherContent);
    let stamp = write::sequence(&[&write::oid(&oid::TIME_STAMPING)]);
    let der = Forged { content: stamp, ..Forged::new() }.der(DOCUMENT);
    assert!(matches!(SignedData::parse(&der), Err(CmsProblem::OtherContentType(_))));
    let data = write::sequence(&[&write::oid(&oid::CMS_DATA), &octets]);
    assert!(matches!(SignedData::parse(&data), Err(CmsProblem::NotSignedData(_))));
    for version in [0, 2, 3] {
        let der = Forged { version, ..Forged::new() }.der(DOCUMENT);
        assert!(matches!(SignedData::parse(&der), Err(CmsProblem::Malformed(_))), "{version}");
    }
    let whole = signed();
    for end in 0..whole.len() {
        assert!(matches!(SignedData::parse(&whole[..end]), Err(CmsProblem::Malformed(_))), "{end}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(matches!(SignedData::parse(&longer), Err(CmsProblem::Malformed(_))));
}

#[test]
fn bare_signatures() {
    let anchors = [TrustAnchor::from_certificate(&root()).unwrap()];
    let list = List::new("CN=root", 0, &[]).der();
    let mut evidence = Evidence::new();
    evidence.add_list(&list).unwrap();
    let certificate = signer_der();
    let signature = key(1).sign(DOCUMENT).unwrap();
    let verify = |document: &[u8], digest| {
        bare(document, &signature, &certificate, digest, &anchors, &evidence, &question())
    };
    let good = verify(DOCUMENT, SignatureDigest::Sha256).unwrap();
    assert_eq!((good.path().profile(), good.claimed_signing_time()), (Profile::JpkiSign, None));
    assert_eq!(verify(b"other", SignatureDigest::Sha256).unwrap_err(), SignatureFault::BadSignature);
    let found = SignatureDigest::Sha256;
    assert_eq!(verify(DOCUMENT, SignatureDigest::Sha384).unwrap_err(), SignatureFault::OtherDigest { found });
    assert_eq!(verify(DOCUMENT, SignatureDigest::Sha1).unwrap_err(), SignatureFault::WeakDigest);
}
