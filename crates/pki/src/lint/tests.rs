use super::{CertificateRules, ListRules, Severity, Shape, certificate, list};
use crate::asn1::read::Reader;
use crate::asn1::{tag, write};
use crate::certificate::KeyUsage;
use crate::crl::{CrlContents, ListPlace, ListShape, RevokedEntry};
use crate::issue::{IssueError, IssuingAuthority};
use crate::name::{DistinguishedName, NameAttribute};
use crate::oid;
use crate::profile::{AuthorityProfile, Criticality, JpkiPurpose, LeafProfile, Validity, extension};
use crate::public_key::SignatureAlgorithm;
use crate::revocation::RevocationReason;
use crate::serial::SerialNumber;
use crate::signer::{IssuerSigner, SignError};
use crate::testing::{NOW, Town, p256_key, p256_spki, serial, signer};
use der::asn1::ObjectIdentifier;
use protocol::time::UnixSeconds;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The elements of a signed part, so that a test can replace one.
#[derive(Clone)]
struct Tbs {
    fields: Vec<Vec<u8>>,
    extensions: Vec<Vec<u8>>,
    wrapper: u8,
}

const VERSION: usize = 0;
const SERIAL: usize = 1;
const ALGORITHM: usize = 2;
const ISSUER: usize = 3;
const VALIDITY: usize = 4;
const SUBJECT: usize = 5;
const SPKI: usize = 6;

impl Tbs {
    /// Takes a signed certificate or list apart; the extensions stand last, under `[wrapper]`.
    fn of(signed: &[u8], wrapper: u8) -> Self {
        let mut outer = Reader::only_sequence(signed, "signed").unwrap();
        let mut inside = outer.expect(tag::SEQUENCE, "tbs").unwrap().inside();
        let mut fields = Vec::new();
        let mut extensions = Vec::new();
        while !inside.is_empty() {
            let field = inside.any("field").unwrap();
            if field.tag != tag::context_constructed(wrapper) || fields.is_empty() {
                fields.push(field.raw.to_vec());
                continue;
            }
            let mut rest = field.inside().any("list").unwrap().inside();
            while !rest.is_empty() {
                extensions.push(rest.any("extension").unwrap().raw.to_vec());
            }
        }
        Self { fields, extensions, wrapper }
    }

    fn build(&self) -> Vec<u8> {
        let extensions = write::explicit(self.wrapper, &write::tlv(tag::SEQUENCE, &self.extensions.concat()));
        write::tlv(tag::SEQUENCE, &[self.fields.concat(), extensions].concat())
    }

    fn with(&self, place: usize, field: Vec<u8>) -> Self {
        let mut changed = self.clone();
        changed.fields[place] = field;
        changed
    }

    fn place_of(&self, kind: &ObjectIdentifier) -> Option<usize> {
        let identifier = write::oid(kind);
        self.extensions
            .iter()
            .position(|e| Reader::only_sequence(e, "e").unwrap().any("k").unwrap().raw == identifier)
    }

    /// With this extension in place of the one of its kind, or added.
    fn with_extension(&self, kind: &ObjectIdentifier, criticality: Criticality, value: &[u8]) -> Self {
        let mut changed = self.clone();
        let made = extension(kind, criticality, value);
        match self.place_of(kind) {
            Some(place) => changed.extensions[place] = made,
            None => changed.extensions.push(made),
        }
        changed
    }

    fn without(&self, kind: &ObjectIdentifier) -> Self {
        let mut changed = self.clone();
        changed.extensions.remove(self.place_of(kind).unwrap());
        changed
    }
}

/// Rules for certificates that `authority` issues.
fn rules<'a>(authority: &'a IssuingAuthority, shape: Shape) -> CertificateRules<'a> {
    CertificateRules {
        issuer: authority.subject(),
        key_identifier: authority.key_identifier(),
        algorithm: authority.algorithm(),
        issuer_validity: Some((i64::try_from(NOW.0).unwrap(), i64::MAX)),
        shape,
    }
}

fn errors(tbs: &Tbs, rules: &CertificateRules<'_>) -> String {
    match certificate(&tbs.build(), rules) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn refused(tbs: &Tbs, rules: &CertificateRules<'_>, expected: &str) {
    let said = errors(tbs, rules);
    assert!(said.contains(expected), "expected {expected:?}, found {said:?}");
}

const CRITICAL: Criticality = Criticality::Critical;
const PLAIN: Criticality = Criticality::NonCritical;

fn name(attributes: &[(NameAttribute, &str)]) -> Vec<u8> {
    DistinguishedName::new(attributes).unwrap().as_der().to_vec()
}

fn raw_name(kind: &ObjectIdentifier, string: u8, text: &[u8]) -> Vec<u8> {
    let pair = write::sequence(&[&write::oid(kind), &write::tlv(string, text)]);
    write::sequence(&[&write::tlv(tag::SET, &pair)])
}

fn validity(from: UnixSeconds, until: UnixSeconds) -> Vec<u8> {
    write::sequence(&[&write::time(from), &write::time(until)])
}

fn delegate(town: &Town, days: u64) -> Result<Vec<u8>, IssueError> {
    let validity = Validity { not_before: NOW, not_after: NOW.plus(days * 86_400) };
    let profile = LeafProfile::OcspDelegate { common_name: "OCSP responder 1" };
    town.auth.issue(&profile, serial(77), validity, &p256_spki(2))
}

#[test]
fn what_this_crate_issues_has_no_findings() {
    let town = Town::new();
    let leaves = [
        (town.auth_leaf(), &town.auth, Shape::JpkiAuth),
        (town.sign_leaf(), &town.auth, Shape::JpkiSign),
        (town.terminal_leaf(), &town.town, Shape::TlsClient),
        (town.server_leaf(), &town.town, Shape::TlsServer),
        (delegate(&town, 7).unwrap(), &town.auth, Shape::OcspDelegate),
    ];
    for (der, authority, shape) in leaves {
        let tbs = Tbs::of(&der, 3).build();
        assert!(certificate(&tbs, &rules(authority, shape)).unwrap().warnings().is_empty(), "{shape:?}");
        // And is nothing else.
        for other in Shape::ALL {
            let taken = certificate(&tbs, &rules(authority, other)).is_ok();
            assert_eq!(taken, other == shape, "{shape:?} as {other:?}");
        }
    }
}

#[test]
fn fields_are_held_against_rfc_5280() {
    let town = Town::new();
    let tbs = Tbs::of(&town.auth_leaf(), 3);
    let rules = rules(&town.auth, Shape::JpkiAuth);
    let integer = |content: &[u8]| write::tlv(tag::INTEGER, content);
    let (c, cn) = (NameAttribute::Country, NameAttribute::CommonName);
    let far = UnixSeconds(2_524_608_000);
    let utc_in_2050 =
        write::sequence(&[&write::time(NOW), &write::tlv(tag::GENERALIZED_TIME, b"20300101000000Z")]);
    let fraction = write::sequence(&[&write::time(NOW), &write::tlv(tag::UTC_TIME, b"3001010000Z")]);
    let cases: Vec<(usize, Vec<u8>, &str)> = vec![
        (VERSION, write::explicit(0, &integer(&[1])), "version is 3"),
        (SERIAL, integer(&[0]), "serialNumber is positive"),
        (SERIAL, integer(&[0x80, 1]), "serialNumber is positive"),
        (SERIAL, integer(&[0, 1]), "serialNumber is minimal"),
        (SERIAL, integer(&[1; 21]), "at most 20 octets"),
        (ALGORITHM, SignatureAlgorithm::EcdsaP256Sha256.identifier_der(), "the signer's algorithm"),
        (ISSUER, town.town.subject().as_der().to_vec(), "issuer is the signer's subject"),
        (ISSUER, write::sequence(&[]), "issuer is the signer's subject"),
        (VALIDITY, validity(NOW.plus(9), NOW), "notAfter is not before notBefore"),
        (VALIDITY, validity(NOW.minus(1), NOW.plus(1)), "within the issuer's"),
        (VALIDITY, utc_in_2050, "dates through 2049 are UTCTime"),
        (VALIDITY, fraction, "ends in Z"),
        (SUBJECT, write::sequence(&[]), "the subject has a name"),
        (SUBJECT, name(&[(c, "JP"), (cn, "見本")]), "names nobody"),
        (SUBJECT, name(&[(cn, "X")]), "attributes of the shape"),
        (SUBJECT, raw_name(&oid::COUNTRY, tag::PRINTABLE, b"jp"), "two capital letters"),
        (SUBJECT, raw_name(&oid::COUNTRY, tag::UTF8, b"JP"), "country and serialNumber are PrintableString"),
        (SUBJECT, raw_name(&oid::COMMON_NAME, tag::UTF8, b""), "not empty and within"),
        (SUBJECT, raw_name(&oid::COMMON_NAME, tag::UTF8, &[b'x'; 65]), "not empty and within"),
        (SUBJECT, raw_name(&oid::COMMON_NAME, tag::UTF8, &[0xFF]), "an attribute is UTF-8"),
        (SUBJECT, raw_name(&oid::SUBJECT_SERIAL_NUMBER, tag::PRINTABLE, b"1_0"), "its own few characters"),
        (SUBJECT, raw_name(&oid::CRL_NUMBER, tag::UTF8, b"x"), "does not use"),
        (SPKI, write::sequence(&[&write::sequence(&[]), &write::bit_string(&[1])]), "the subject's key"),
    ];
    for (place, field, expected) in cases {
        refused(&tbs.with(place, field), &rules, expected);
    }
    // From 2050 on the other form is the right one.
    assert_eq!(errors(&tbs.with(VALIDITY, validity(NOW, far)), &rules), "");
    let spaced = tbs.with(SUBJECT, name(&[(c, "JP"), (cn, "X ")])).build();
    let linted = certificate(&spaced, &rules).unwrap();
    assert!(linted.warnings().iter().all(|finding| finding.severity == Severity::Warning));
    assert_eq!(linted.warnings().len(), 1);
}

#[test]
fn extensions_are_held_against_rfc_5280() {
    let town = Town::new();
    let tbs = Tbs::of(&town.auth_leaf(), 3);
    let rules = rules(&town.auth, Shape::JpkiAuth);
    let usage = |usage: KeyUsage| write::named_bits(usage.0);
    let key = |octets: &[u8]| write::tlv(tag::context(0), octets);
    let identifier = |parts: &[&[u8]]| write::sequence(parts);
    let own_key = town.auth.key_identifier().to_vec();
    let point = |tag_octet: u8, uri: &[u8]| {
        let full = write::explicit(0, &write::tlv(tag_octet, uri));
        write::sequence(&[&write::sequence(&[&write::explicit(0, &full)])])
    };
    let access = |method: &ObjectIdentifier, uri: &[u8]| {
        write::sequence(&[&write::sequence(&[&write::oid(method), &write::tlv(tag::context(6), uri)])])
    };
    let list_of = |kinds: &[&ObjectIdentifier]| {
        write::tlv(tag::SEQUENCE, &kinds.iter().flat_map(|kind| write::oid(kind)).collect::<Vec<u8>>())
    };
    let any_purpose = ObjectIdentifier::new_unwrap("2.5.29.37.0");
    let any_policy = ObjectIdentifier::new_unwrap("2.5.29.32.0");
    let policies = |kinds: &[&ObjectIdentifier]| {
        let each: Vec<u8> = kinds.iter().flat_map(|kind| write::sequence(&[&write::oid(kind)])).collect();
        write::tlv(tag::SEQUENCE, &each)
    };
    let cases: Vec<(ObjectIdentifier, Criticality, Vec<u8>, &str)> = vec![
        (oid::KEY_USAGE, PLAIN, usage(KeyUsage::DIGITAL_SIGNATURE), "keyUsage is critical"),
        (oid::KEY_USAGE, CRITICAL, write::named_bits(0), "at least one bit"),
        (oid::KEY_USAGE, CRITICAL, write::tlv(tag::BIT_STRING, &[6, 0x80]), "no trailing zero bits"),
        (oid::KEY_USAGE, CRITICAL, usage(KeyUsage::KEY_CERT_SIGN), "does not sign certificates"),
        (oid::KEY_USAGE, CRITICAL, usage(KeyUsage::NON_REPUDIATION), "keyUsage is that of the shape"),
        (oid::AUTHORITY_KEY_IDENTIFIER, CRITICAL, identifier(&[&key(&own_key)]), "is not critical"),
        (
            oid::AUTHORITY_KEY_IDENTIFIER,
            PLAIN,
            identifier(&[&key(&[1; 20])]),
            "the issuer's subjectKeyIdentifier",
        ),
        (oid::AUTHORITY_KEY_IDENTIFIER, PLAIN, identifier(&[]), "the issuer's subjectKeyIdentifier"),
        (
            oid::AUTHORITY_KEY_IDENTIFIER,
            PLAIN,
            identifier(&[&key(&own_key), &write::tlv(tag::context(2), &[1])]),
            "come together",
        ),
        (
            oid::SUBJECT_KEY_IDENTIFIER,
            PLAIN,
            write::tlv(tag::OCTET_STRING, &[1; 20]),
            "taken of the subject's key",
        ),
        (oid::BASIC_CONSTRAINTS, CRITICAL, write::sequence(&[&write::boolean_true()]), "only an authority"),
        (oid::EXTENDED_KEY_USAGE, CRITICAL, list_of(&[&oid::CLIENT_AUTH]), "criticality of its section"),
        (oid::EXTENDED_KEY_USAGE, PLAIN, list_of(&[]), "a list is not empty"),
        (oid::EXTENDED_KEY_USAGE, PLAIN, list_of(&[&any_purpose]), "a certain one"),
        (oid::EXTENDED_KEY_USAGE, PLAIN, list_of(&[&oid::CLIENT_AUTH, &oid::CLIENT_AUTH]), "appears once"),
        (oid::EXTENDED_KEY_USAGE, PLAIN, list_of(&[&oid::SERVER_AUTH]), "extKeyUsage is that of the shape"),
        (oid::CERTIFICATE_POLICIES, CRITICAL, policies(&[&any_policy]), "a certain policy"),
        (
            oid::CERTIFICATE_POLICIES,
            CRITICAL,
            policies(&[&oid::JPKI_SIGN_POLICY]),
            "policy is that of the shape",
        ),
        (
            oid::CERTIFICATE_POLICIES,
            CRITICAL,
            policies(&[&oid::JPKI_AUTH_POLICY, &oid::JPKI_AUTH_POLICY]),
            "a policy appears once",
        ),
        (oid::CRL_DISTRIBUTION_POINTS, PLAIN, point(tag::context(6), b"https://x/"), "http and ASCII"),
        (
            oid::CRL_DISTRIBUTION_POINTS,
            PLAIN,
            point(tag::context(6), "http://日本/".as_bytes()),
            "http and ASCII",
        ),
        (oid::CRL_DISTRIBUTION_POINTS, PLAIN, point(tag::context(6), b"http:///x"), "http and ASCII"),
        (
            oid::CRL_DISTRIBUTION_POINTS,
            PLAIN,
            point(tag::context(2), b"host"),
            "named by directory or address",
        ),
        (oid::CRL_DISTRIBUTION_POINTS, PLAIN, write::sequence(&[]), "a list is not empty"),
        (oid::AUTHORITY_INFO_ACCESS, PLAIN, access(&oid::QUALIFIER_CPS, b"http://x/"), "access to OCSP only"),
        (oid::AUTHORITY_INFO_ACCESS, PLAIN, access(&oid::ACCESS_OCSP, b"ldap://x/"), "http and ASCII"),
        (
            oid::SUBJECT_ALT_NAME,
            PLAIN,
            write::sequence(&[&write::tlv(tag::context(2), b"a")]),
            "does not have",
        ),
        (
            oid::ISSUER_ALT_NAME,
            PLAIN,
            write::sequence(&[&write::tlv(tag::context(2), b"a b")]),
            "is a host name",
        ),
        (
            oid::ISSUER_ALT_NAME,
            PLAIN,
            write::sequence(&[&write::tlv(tag::context(7), &[1; 5])]),
            "4 or 16 octets",
        ),
        (
            oid::ISSUER_ALT_NAME,
            PLAIN,
            write::sequence(&[&write::tlv(tag::context(1), b"a@b")]),
            "does not use",
        ),
        (oid::OCSP_NOCHECK, PLAIN, vec![tag::NULL, 0], "does not have"),
        (oid::OCSP_NOCHECK, PLAIN, vec![tag::INTEGER, 1, 1], "id-pkix-ocsp-nocheck is NULL"),
        (oid::CRL_NUMBER, PLAIN, vec![tag::INTEGER, 1, 1], "does not issue"),
    ];
    for (kind, criticality, value, expected) in cases {
        refused(&tbs.with_extension(&kind, criticality, &value), &rules, expected);
    }
    for (kind, expected) in [
        (oid::KEY_USAGE, "are there"),
        (oid::SUBJECT_KEY_IDENTIFIER, "are there"),
        (oid::AUTHORITY_KEY_IDENTIFIER, "are there"),
        (oid::CRL_DISTRIBUTION_POINTS, "says where it would be listed"),
        (oid::CERTIFICATE_POLICIES, "policy is that of the shape"),
        (oid::EXTENDED_KEY_USAGE, "extKeyUsage is that of the shape"),
    ] {
        refused(&tbs.without(&kind), &rules, expected);
    }
    let mut twice = tbs.clone();
    twice.extensions.push(tbs.extensions[0].clone());
    refused(&twice, &rules, "an extension appears once");
    let mut encoded_false = tbs.clone();
    let kind = write::oid(&oid::EXTENDED_KEY_USAGE);
    let value = write::tlv(tag::OCTET_STRING, &list_of(&[&oid::CLIENT_AUTH]));
    encoded_false.extensions[tbs.place_of(&oid::EXTENDED_KEY_USAGE).unwrap()] =
        write::sequence(&[&kind, &[tag::BOOLEAN, 1, 0], &value]);
    refused(&encoded_false, &rules, "critical is TRUE or absent");
    let mut none = tbs;
    none.extensions.clear();
    refused(&none, &rules, "left out when there are none");
}

#[test]
fn shapes_have_their_own_rules() {
    let town = Town::new();
    let sign = Tbs::of(&town.sign_leaf(), 3);
    let rules_of = |shape| rules(&town.auth, shape);
    refused(&sign.without(&oid::SUBJECT_ALT_NAME), &rules_of(Shape::JpkiSign), "has the four attributes");
    let access = write::sequence(&[&write::sequence(&[
        &write::oid(&oid::ACCESS_OCSP),
        &write::tlv(tag::context(6), b"http://x/"),
    ])]);
    let with_access = sign.with_extension(&oid::AUTHORITY_INFO_ACCESS, PLAIN, &access);
    refused(&with_access, &rules_of(Shape::JpkiSign), "does not have");
    let bad_text = write::sequence(&[&write::constructed(
        tag::context_constructed(0),
        &[&write::oid(&oid::HOLDER_NAME), &write::explicit(0, &write::tlv(tag::UTF8, b""))],
    )]);
    refused(
        &sign.with_extension(&oid::SUBJECT_ALT_NAME, PLAIN, &bad_text),
        &rules_of(Shape::JpkiSign),
        "holds a text",
    );

    let answers = Tbs::of(&delegate(&town, 7).unwrap(), 3);
    refused(&answers.without(&oid::OCSP_NOCHECK), &rules_of(Shape::OcspDelegate), "is not looked up");
    refused(&answers.without(&oid::EXTENDED_KEY_USAGE), &rules_of(Shape::OcspDelegate), "that of the shape");
    let long = delegate(&town, 32);
    assert!(
        matches!(&long, Err(IssueError::Lint(error)) if error.to_string().contains("31 days")),
        "{long:?}"
    );

    let server = Tbs::of(&town.server_leaf(), 3);
    refused(
        &server.without(&oid::SUBJECT_ALT_NAME),
        &rules(&town.town, Shape::TlsServer),
        "a name or address",
    );
    let own = Tbs::of(town.auth.certificate_der(), 3);
    let own_rules = CertificateRules { issuer_validity: None, ..rules_of(Shape::Authority) };
    assert_eq!(errors(&own, &own_rules), "");
    refused(&own.without(&oid::BASIC_CONSTRAINTS), &own_rules, "an authority says so");
    let limited = write::sequence(&[&write::boolean_true(), &[tag::INTEGER, 1, 0]]);
    refused(&own.with_extension(&oid::BASIC_CONSTRAINTS, CRITICAL, &limited), &own_rules, "nothing else");
    let subject = name(&[(NameAttribute::CommonName, "X")]);
    refused(&own.with(SUBJECT, subject), &own_rules, "self-signed");
}

#[test]
fn nothing_may_look_like_the_real_authority() {
    let town = Town::new();
    let tbs = Tbs::of(&town.auth_leaf(), 3);
    let real = ObjectIdentifier::new_unwrap("1.2.392.200149.8.5.1.3.30");
    let value = write::sequence(&[&write::sequence(&[&write::oid(&real)])]);
    refused(
        &tbs.with_extension(&oid::CERTIFICATE_POLICIES, CRITICAL, &value),
        &rules(&town.auth, Shape::JpkiAuth),
        "the real authority",
    );
}

#[test]
fn cut_or_changed_octets_never_panic_and_cuts_are_refused() {
    let town = Town::new();
    let tbs = Tbs::of(&town.sign_leaf(), 3).build();
    let rules = rules(&town.auth, Shape::JpkiSign);
    for end in 0..tbs.len() {
        assert!(certificate(&tbs[..end], &rules).is_err());
    }
    for place in 0..tbs.len() {
        for flip in [0x01, 0x20, 0x80, 0xFF] {
            let mut changed = tbs.clone();
            changed[place] ^= flip;
            drop(certificate(&changed, &rules));
        }
    }
}

/// A signer that counts.
struct Counting(Box<dyn IssuerSigner>, Arc<AtomicUsize>);

impl IssuerSigner for Counting {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }

    fn spki_der(&self) -> &[u8] {
        self.0.spki_der()
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.sign(tbs)
    }
}

#[test]
fn what_has_an_error_is_never_signed() {
    let signatures = Arc::new(AtomicUsize::new(0));
    let profile = AuthorityProfile::Jpki {
        purpose: JpkiPurpose::Authentication,
        organization: "JPKI-EMULATED",
        operator: "KAZASU TEST",
    };
    let validity = Validity { not_before: NOW, not_after: NOW.plus(400 * 86_400) };
    let counting = Counting(signer(p256_key(0)), Arc::clone(&signatures));
    let authority = IssuingAuthority::self_signed(&profile, serial(1), validity, Box::new(counting)).unwrap();
    assert_eq!(signatures.load(Ordering::SeqCst), 1);

    let profile = LeafProfile::OcspDelegate { common_name: "OCSP responder 1" };
    let refused = authority.issue(&profile, serial(2), validity, &p256_spki(1));
    assert!(matches!(refused, Err(IssueError::Lint(_))), "{refused:?}");
    let entry = |number| RevokedEntry {
        serial: serial(number),
        revoked_at: NOW,
        reason: RevocationReason::Superseded,
        invalid_since: None,
    };
    let contents = CrlContents { number: 5, this_update: NOW, next_update: NOW.plus(9), entries: &[] };
    let twice = CrlContents { entries: &[entry(2), entry(1), entry(2)], ..contents };
    assert!(matches!(authority.issue_crl(&twice), Err(IssueError::Lint(_))));
    let backwards = ListShape { base: Some(5), ..ListShape::default() };
    assert!(matches!(authority.issue_list(&contents, &backwards), Err(IssueError::Lint(_))));
    let secure = ListShape { freshest_uri: Some("https://x/"), ..ListShape::default() };
    assert!(matches!(authority.issue_list(&contents, &secure), Err(IssueError::Lint(_))));
    assert_eq!(signatures.load(Ordering::SeqCst), 1);
    assert!(authority.issue_crl(&contents).is_ok());
    assert_eq!(signatures.load(Ordering::SeqCst), 2);
}

fn list_rules(authority: &IssuingAuthority) -> ListRules<'_> {
    ListRules {
        issuer: authority.subject(),
        key_identifier: authority.key_identifier(),
        algorithm: authority.algorithm(),
    }
}

#[track_caller]
fn list_refused(tbs: &Tbs, rules: &ListRules<'_>, expected: &str) {
    let said = list(&tbs.build(), rules).err().map_or_else(String::new, |error| error.to_string());
    assert!(said.contains(expected), "expected {expected:?}, found {said:?}");
}

/// A delta for a place, which has nearly everything that a list can have.
fn rich_list(town: &Town) -> Tbs {
    let place = ListPlace::new(town.auth.subject(), "auth 017", "http://x/crl/auth/017.crl").unwrap();
    let entries: Vec<RevokedEntry> =
        [(1, RevocationReason::RemoveFromCrl), (2, RevocationReason::Superseded)]
            .map(|(number, reason)| RevokedEntry {
                serial: serial(number),
                revoked_at: NOW,
                reason,
                invalid_since: Some(NOW),
            })
            .into();
    let contents = CrlContents { number: 9, this_update: NOW, next_update: NOW.plus(60), entries: &entries };
    let shape = ListShape { place: Some(&place), base: Some(7), freshest_uri: None };
    Tbs::of(&town.auth.issue_list(&contents, &shape).unwrap(), 0)
}

#[test]
fn lists_are_held_against_rfc_5280() {
    let town = Town::new();
    let rules = list_rules(&town.auth);
    let tbs = rich_list(&town);
    const ENTRIES: usize = 5;
    let algorithm = SignatureAlgorithm::EcdsaP256Sha256.identifier_der();
    let entry = |serial: &[u8], extensions: &[u8]| {
        write::sequence(&[&write::tlv(tag::INTEGER, serial), &write::time(NOW), extensions])
    };
    let reason = |code: u8, criticality| {
        write::sequence(&[&extension(&oid::REASON_CODE, criticality, &[tag::ENUMERATED, 1, code])])
    };
    let date = write::sequence(&[&extension(&oid::INVALIDITY_DATE, PLAIN, &write::time(NOW))]);
    let other = write::sequence(&[&extension(&oid::CRL_NUMBER, PLAIN, &[tag::INTEGER, 1, 1])]);
    let entries = |each: &[Vec<u8>]| write::tlv(tag::SEQUENCE, &each.concat());
    let cases: Vec<(usize, Vec<u8>, &str)> = vec![
        (0, vec![tag::INTEGER, 1, 0], "version is 2"),
        (1, algorithm, "the signer's algorithm"),
        (2, town.town.subject().as_der().to_vec(), "issuer is the signer's subject"),
        (4, write::time(NOW), "nextUpdate is later"),
        (3, write::generalized_time(NOW), "dates through 2049 are UTCTime"),
        (ENTRIES, entries(&[]), "left out when empty"),
        (ENTRIES, entries(&[entry(&[5], &[]), entry(&[4], &[]), entry(&[5], &[])]), "listed once"),
        (ENTRIES, entries(&[entry(&[5], &[]), entry(&[5], &[])]), "listed once"),
        (ENTRIES, entries(&[entry(&[0x80], &[])]), "is positive"),
        (ENTRIES, entries(&[entry(&[5; 22], &[])]), "at most 20 octets"),
        (ENTRIES, entries(&[entry(&[5], &reason(0, PLAIN))]), "absent for unspecified"),
        (ENTRIES, entries(&[entry(&[5], &reason(7, PLAIN))]), "absent for unspecified"),
        (ENTRIES, entries(&[entry(&[5], &reason(4, CRITICAL))]), "no critical extensions"),
        (ENTRIES, entries(&[entry(&[5], &date)]), "is a GeneralizedTime"),
        (ENTRIES, entries(&[entry(&[5], &other)]), "do not have"),
        (ENTRIES, entries(&[entry(&[5], &write::sequence(&[]))]), "left out when there are none"),
    ];
    for (place, field, expected) in cases {
        list_refused(&tbs.with(place, field), &rules, expected);
    }
    // In any order, as long as each is there once.
    let falling = tbs.with(ENTRIES, entries(&[entry(&[9], &[]), entry(&[8], &[])]));
    assert!(list(&falling.build(), &rules).is_ok());
}

#[test]
fn list_extensions_are_held_against_rfc_5280() {
    let town = Town::new();
    let rules = list_rules(&town.auth);
    let tbs = rich_list(&town);
    let number = |content: &[u8]| write::tlv(tag::INTEGER, content);
    let point = |uri: &[u8]| {
        let full = write::explicit(0, &write::tlv(tag::context(6), uri));
        write::explicit(0, &full)
    };
    let users = write::tlv(tag::context(1), &[0xFF]);
    let place = |parts: &[&[u8]]| write::sequence(parts);
    let good = point(b"http://x/");
    let freshest = write::sequence(&[&write::sequence(&[&good])]);
    let cases: Vec<(ObjectIdentifier, Criticality, Vec<u8>, &str)> = vec![
        (oid::CRL_NUMBER, CRITICAL, number(&[9]), "cRLNumber is not critical"),
        (oid::CRL_NUMBER, PLAIN, number(&[0x80]), "not negative"),
        (oid::CRL_NUMBER, PLAIN, number(&[1; 21]), "at most 20 octets"),
        (oid::DELTA_CRL_INDICATOR, PLAIN, number(&[7]), "deltaCRLIndicator is critical"),
        (oid::DELTA_CRL_INDICATOR, CRITICAL, number(&[9]), "above that of its base"),
        (oid::ISSUING_DISTRIBUTION_POINT, PLAIN, place(&[&good, &users]), "is critical"),
        (oid::ISSUING_DISTRIBUTION_POINT, CRITICAL, place(&[&users]), "names a place"),
        (oid::ISSUING_DISTRIBUTION_POINT, CRITICAL, place(&[&good]), "end-entity certificates"),
        (
            oid::ISSUING_DISTRIBUTION_POINT,
            CRITICAL,
            place(&[&good, &users, &[0x84, 1, 0xFF]]),
            "neither indirect",
        ),
        (oid::ISSUING_DISTRIBUTION_POINT, CRITICAL, place(&[&point(b"ftp://x/"), &users]), "http and ASCII"),
        (oid::FRESHEST_CRL, PLAIN, freshest.clone(), "a delta has no freshestCRL"),
        (oid::JPKI_AUTH_POLICY, PLAIN, vec![tag::NULL, 0], "do not have"),
    ];
    for (kind, criticality, value, expected) in cases {
        list_refused(&tbs.with_extension(&kind, criticality, &value), &rules, expected);
    }
    list_refused(&tbs.without(&oid::CRL_NUMBER), &rules, "cRLNumber is there");
    list_refused(&tbs.without(&oid::AUTHORITY_KEY_IDENTIFIER), &rules, "authorityKeyIdentifier is there");
    // Without the indicator it is complete, and then nothing can be taken off a list.
    let complete = tbs.without(&oid::DELTA_CRL_INDICATOR);
    list_refused(&complete, &rules, "removeFromCRL appears in deltas only");
    list_refused(
        &complete.with_extension(&oid::FRESHEST_CRL, CRITICAL, &freshest),
        &rules,
        "freshestCRL is not critical",
    );
    let built = tbs.build();
    assert!(list(&built, &rules).is_ok());
    for end in 0..built.len() {
        assert!(list(&built[..end], &rules).is_err());
    }
}

#[test]
fn a_list_place_is_the_same_in_certificate_and_list() {
    let town = Town::new();
    let place = ListPlace::new(town.auth.subject(), "auth 017", "http://x/crl/auth/017.crl").unwrap();
    let municipality = crate::testing::municipality();
    let profile = LeafProfile::JpkiAuth {
        common_name: "X",
        municipality: &municipality,
        ocsp_uri: None,
        list_place: Some(&place),
    };
    let validity = Validity { not_before: NOW, not_after: NOW.plus(9) };
    let leaf = town.auth.issue(&profile, serial(3), validity, &crate::testing::rsa_spki(2)).unwrap();
    let list = Tbs::of(
        &{
            let contents =
                CrlContents { number: 9, this_update: NOW, next_update: NOW.plus(60), entries: &[] };
            let shape = ListShape { place: Some(&place), ..ListShape::default() };
            town.auth.issue_list(&contents, &shape).unwrap()
        },
        0,
    );
    // The same GeneralNames octet for octet, in cRLDistributionPoints and in issuingDistributionPoint.
    let directory = town
        .auth
        .subject()
        .extended(&[
            (NameAttribute::OrganizationalUnit, "CRL Distribution Points"),
            (NameAttribute::CommonName, "auth 017"),
        ])
        .unwrap();
    let names =
        [write::explicit(4, directory.as_der()), write::tlv(tag::context(6), b"http://x/crl/auth/017.crl")]
            .concat();
    let holds = |octets: &[u8]| octets.windows(names.len()).any(|window| window == names);
    assert!(holds(&leaf));
    assert!(holds(&list.extensions[list.place_of(&oid::ISSUING_DISTRIBUTION_POINT).unwrap()]));
    let unfit = ListPlace::new(town.auth.subject(), "", "http://x/").is_err();
    assert!(unfit && ListPlace::new(town.auth.subject(), "x", "http://日本/").is_err());
    // 20 value octets of serial number are fine too.
    let long = SerialNumber::from_octets(&[0x7F; 20]).unwrap();
    assert!(town.auth.issue(&profile, long, validity, &crate::testing::rsa_spki(2)).is_ok());
}
