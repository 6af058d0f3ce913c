//! A forge of certificates, lists and responses: everything can be said, right or wrong.

use der::asn1::ObjectIdentifier;
use pki::asn1::{tag, write};
use pki::oid;
use pki::signer::{IssuerSigner, generate_p256_pkcs8, software_signer};
use protocol::time::UnixSeconds;
use std::sync::OnceLock;

/// 2025-11-22T01:02:03Z.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_763_773_323);
pub(crate) const DAY: u64 = 86_400;

const KEYS: usize = 130;

/// One of many P-256 keys, made once per process.
pub(crate) fn key(which: usize) -> &'static dyn IssuerSigner {
    static SIGNERS: [OnceLock<Box<dyn IssuerSigner>>; KEYS] = [const { OnceLock::new() }; KEYS];
    SIGNERS[which].get_or_init(|| software_signer(&generate_p256_pkcs8().unwrap()).unwrap()).as_ref()
}

/// A name of one relative name per `/`: `O=x/CN=y`. Types: C, O, OU, CN, E (emailAddress), DC.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let relative = |part: &str| {
        let (kind, value) = part.split_once('=').unwrap();
        let (kind, string) = match kind {
            "C" => (oid::COUNTRY, tag::PRINTABLE),
            "O" => (oid::ORGANIZATION, tag::UTF8),
            "OU" => (oid::ORGANIZATIONAL_UNIT, tag::UTF8),
            "E" => (oid::EMAIL_ADDRESS, tag::IA5),
            "DC" => (oid::DOMAIN_COMPONENT, tag::IA5),
            _ => (oid::COMMON_NAME, tag::UTF8),
        };
        let pair = write::sequence(&[&write::oid(&kind), &write::tlv(string, value.as_bytes())]);
        write::tlv(tag::SET, &pair)
    };
    let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty()).map(relative).collect();
    write::tlv(tag::SEQUENCE, &parts.concat())
}

pub(crate) fn extension(kind: &ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { write::boolean_true() } else { Vec::new() };
    write::sequence(&[&write::oid(kind), &flag, &write::tlv(tag::OCTET_STRING, value)])
}

fn octets_of(signer: &dyn IssuerSigner) -> Vec<u8> {
    let mut fields =
        pki::asn1::read::Reader::only_sequence(signer.spki_der(), "subjectPublicKeyInfo").unwrap();
    fields.any("algorithm").unwrap();
    fields.any("key").unwrap().whole_octets("key").unwrap().to_vec()
}

pub(crate) fn sha1(octets: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref().to_vec()
}

pub(crate) fn key_hash(which: usize) -> Vec<u8> {
    sha1(&octets_of(key(which)))
}

/// A certificate to be made. The usual extensions are there unless they are replaced.
#[derive(Clone)]
pub(crate) struct Cert {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) key: usize,
    pub(crate) signed_by: usize,
    pub(crate) serial: u64,
    pub(crate) not_before: UnixSeconds,
    pub(crate) not_after: UnixSeconds,
    /// basicConstraints: `None` leaves it out.
    pub(crate) authority: Option<(bool, Option<u8>)>,
    pub(crate) usage: Option<u16>,
    pub(crate) identifiers: bool,
    pub(crate) more: Vec<Vec<u8>>,
}

pub(crate) const CA_USAGE: u16 = 0x0600;
pub(crate) const LEAF_USAGE: u16 = 0x8000;

impl Cert {
    /// An authority's certificate.
    pub(crate) fn ca(subject: &str, key: usize, issuer: &str, signed_by: usize) -> Self {
        Self {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            key,
            signed_by,
            serial: 100 + key as u64,
            not_before: NOW.minus(100 * DAY),
            not_after: NOW.plus(1_000 * DAY),
            authority: Some((true, None)),
            usage: Some(CA_USAGE),
            identifiers: true,
            more: Vec::new(),
        }
    }

    /// A self-signed one.
    pub(crate) fn root(subject: &str, key: usize) -> Self {
        Self::ca(subject, key, subject, key)
    }

    /// An end entity's.
    pub(crate) fn leaf(subject: &str, key: usize, issuer: &str, signed_by: usize) -> Self {
        Self { authority: None, usage: Some(LEAF_USAGE), ..Self::ca(subject, key, issuer, signed_by) }
    }

    pub(crate) fn with(mut self, extension: Vec<u8>) -> Self {
        self.more.push(extension);
        self
    }

    pub(crate) fn serial(mut self, serial: u64) -> Self {
        self.serial = serial;
        self
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let mut extensions = self.more.clone();
        if let Some((is_authority, limit)) = self.authority {
            let flag = if is_authority { write::boolean_true() } else { Vec::new() };
            let limit = limit.map(|limit| write::unsigned(&[limit])).unwrap_or_default();
            extensions.push(extension(&oid::BASIC_CONSTRAINTS, true, &write::sequence(&[&flag, &limit])));
        }
        if let Some(bits) = self.usage {
            extensions.push(extension(&oid::KEY_USAGE, true, &write::named_bits(bits)));
        }
        if self.identifiers {
            let own = write::tlv(tag::OCTET_STRING, &key_hash(self.key));
            extensions.push(extension(&oid::SUBJECT_KEY_IDENTIFIER, false, &own));
            extensions.push(authority_key_identifier(self.signed_by));
        }
        let signer = key(self.signed_by);
        let wrapper = match extensions.concat() {
            list if list.is_empty() => Vec::new(),
            list => write::explicit(3, &write::tlv(tag::SEQUENCE, &list)),
        };
        let version = if wrapper.is_empty() { Vec::new() } else { write::explicit(0, &[tag::INTEGER, 1, 2]) };
        seal(
            &write::sequence(&[
                &version,
                &write::unsigned(&self.serial.to_be_bytes()),
                &signer.algorithm().identifier_der(),
                &name(&self.issuer),
                &write::sequence(&[&write::time(self.not_before), &write::time(self.not_after)]),
                &name(&self.subject),
                key(self.key).spki_der(),
                &wrapper,
            ]),
            signer,
        )
    }
}

pub(crate) fn authority_key_identifier(which: usize) -> Vec<u8> {
    let value = write::sequence(&[&write::tlv(tag::context(0), &key_hash(which))]);
    extension(&oid::AUTHORITY_KEY_IDENTIFIER, false, &value)
}

/// The signed part with its algorithm and signature.
pub(crate) fn seal(tbs: &[u8], signer: &dyn IssuerSigner) -> Vec<u8> {
    let signature = signer.sign(tbs).unwrap();
    write::sequence(&[tbs, &signer.algorithm().identifier_der(), &write::bit_string(&signature)])
}

/// certificatePolicies with numbers under an arc of our own; 0 is anyPolicy.
pub(crate) fn policies(numbers: &[u32]) -> Vec<u8> {
    let entries: Vec<_> =
        numbers.iter().map(|number| write::sequence(&[&write::oid(&policy(*number))])).collect();
    extension(&oid::CERTIFICATE_POLICIES, false, &write::tlv(tag::SEQUENCE, &entries.concat()))
}

pub(crate) fn policy(number: u32) -> ObjectIdentifier {
    if number == 0 {
        return oid::ANY_POLICY;
    }
    ObjectIdentifier::new(&format!("1.3.6.1.4.1.32473.9.{number}")).unwrap()
}

pub(crate) fn mappings(pairs: &[(u32, u32)]) -> Vec<u8> {
    let entries: Vec<_> = pairs
        .iter()
        .map(|(issuer, subject)| {
            write::sequence(&[&write::oid(&policy(*issuer)), &write::oid(&policy(*subject))])
        })
        .collect();
    extension(&oid::POLICY_MAPPINGS, true, &write::tlv(tag::SEQUENCE, &entries.concat()))
}

pub(crate) fn policy_constraints(explicit: Option<u8>, mapping: Option<u8>) -> Vec<u8> {
    let field = |number, value: Option<u8>| {
        value.map(|value| write::tlv(tag::context(number), &[value])).unwrap_or_default()
    };
    extension(&oid::POLICY_CONSTRAINTS, true, &write::sequence(&[&field(0, explicit), &field(1, mapping)]))
}

pub(crate) fn inhibit_any_policy(skip: u8) -> Vec<u8> {
    extension(&oid::INHIBIT_ANY_POLICY, true, &write::unsigned(&[skip]))
}

pub(crate) fn purposes(purposes: &[ObjectIdentifier]) -> Vec<u8> {
    let entries: Vec<_> = purposes.iter().map(write::oid).collect();
    extension(&oid::EXTENDED_KEY_USAGE, false, &write::tlv(tag::SEQUENCE, &entries.concat()))
}

pub(crate) fn dns(host: &str) -> Vec<u8> {
    write::tlv(tag::context(2), host.as_bytes())
}

pub(crate) fn directory(text: &str) -> Vec<u8> {
    write::explicit(4, &name(text))
}

pub(crate) fn alternative_names(names: &[Vec<u8>]) -> Vec<u8> {
    extension(&oid::SUBJECT_ALT_NAME, false, &write::tlv(tag::SEQUENCE, &names.concat()))
}

pub(crate) fn name_constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let list = |number, names: &[Vec<u8>]| {
        let entries: Vec<_> = names.iter().map(|name| write::sequence(&[name])).collect();
        if entries.is_empty() { Vec::new() } else { write::explicit(number, &entries.concat()) }
    };
    let value = write::sequence(&[&list(0, permitted), &list(1, excluded)]);
    extension(&oid::NAME_CONSTRAINTS, true, &value)
}

fn reason_flags(reasons: &[u8]) -> u16 {
    reasons.iter().fold(0, |bits, reason| bits | (0x8000 >> reason))
}

/// cRLDistributionPoints of one point: directory name, reason bits, directory name of the list's issuer.
pub(crate) fn distribution_point(place: Option<&str>, reasons: &[u8], issuer: Option<&str>) -> Vec<u8> {
    let place = place.map(|place| write::explicit(0, &write::explicit(0, &directory(place))));
    let reasons = (!reasons.is_empty()).then(|| {
        let bits = write::named_bits(reason_flags(reasons));
        write::tlv(tag::context(1), &bits[2..])
    });
    let issuer = issuer.map(|issuer| write::explicit(2, &directory(issuer)));
    let parts = [place, reasons, issuer].map(Option::unwrap_or_default);
    let point = write::sequence(&[&parts[0], &parts[1], &parts[2]]);
    extension(&oid::CRL_DISTRIBUTION_POINTS, false, &write::sequence(&[&point]))
}

/// Which certificates a list is for.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    pub(crate) place: Option<&'static str>,
    pub(crate) only_users: bool,
    pub(crate) only_authorities: bool,
    pub(crate) reasons: &'static [u8],
    pub(crate) indirect: bool,
}

/// One entry of a list.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) serial: u64,
    pub(crate) at: UnixSeconds,
    pub(crate) reason: Option<u8>,
    pub(crate) issuer: Option<&'static str>,
}

/// An entry with a reason code, dated now.
pub(crate) fn revoked(serial: u64, reason: u8) -> Entry {
    Entry { serial, at: NOW.minus(50), reason: Some(reason), issuer: None }
}

/// A list to be made.
#[derive(Clone)]
pub(crate) struct List {
    pub(crate) issuer: String,
    pub(crate) signed_by: usize,
    pub(crate) number: Option<u8>,
    pub(crate) base: Option<u8>,
    pub(crate) this_update: UnixSeconds,
    pub(crate) next_update: Option<UnixSeconds>,
    pub(crate) scope: Option<Scope>,
    pub(crate) entries: Vec<Entry>,
    /// Whether an empty list of entries is written out.
    pub(crate) spells_empty: bool,
    pub(crate) more: Vec<Vec<u8>>,
}

impl List {
    /// A complete list of an hour ago, good for a day.
    pub(crate) fn new(issuer: &str, signed_by: usize, entries: &[Entry]) -> Self {
        Self {
            issuer: issuer.to_owned(),
            signed_by,
            number: Some(5),
            base: None,
            this_update: NOW.minus(3_600),
            next_update: Some(NOW.plus(DAY)),
            scope: None,
            entries: entries.to_vec(),
            spells_empty: false,
            more: Vec::new(),
        }
    }

    pub(crate) fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Makes it a delta.
    pub(crate) fn delta(mut self, base: u8, number: u8) -> Self {
        (self.base, self.number) = (Some(base), Some(number));
        self
    }

    pub(crate) fn dated(mut self, this_update: UnixSeconds, next_update: Option<UnixSeconds>) -> Self {
        (self.this_update, self.next_update) = (this_update, next_update);
        self
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let entries: Vec<_> = self.entries.iter().map(entry_der).collect();
        let entries = if entries.is_empty() && !self.spells_empty {
            Vec::new()
        } else {
            write::tlv(tag::SEQUENCE, &entries.concat())
        };
        let mut extensions = self.more.clone();
        extensions.push(authority_key_identifier(self.signed_by));
        if let Some(number) = self.number {
            extensions.push(extension(&oid::CRL_NUMBER, false, &write::unsigned(&[number])));
        }
        if let Some(base) = self.base {
            extensions.push(extension(&oid::DELTA_CRL_INDICATOR, true, &write::unsigned(&[base])));
        }
        if let Some(scope) = &self.scope {
            extensions.push(extension(&oid::ISSUING_DISTRIBUTION_POINT, true, &scope_der(scope)));
        }
        let signer = key(self.signed_by);
        let next_update = self.next_update.map(write::time).unwrap_or_default();
        seal(
            &write::sequence(&[
                &[tag::INTEGER, 1, 1],
                &signer.algorithm().identifier_der(),
                &name(&self.issuer),
                &write::time(self.this_update),
                &next_update,
                &entries,
                &write::explicit(0, &write::tlv(tag::SEQUENCE, &extensions.concat())),
            ]),
            signer,
        )
    }
}

fn entry_der(entry: &Entry) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(code) = entry.reason {
        extensions.push(extension(&oid::REASON_CODE, false, &write::tlv(tag::ENUMERATED, &[code])));
    }
    if let Some(issuer) = entry.issuer {
        let names = write::sequence(&[&directory(issuer)]);
        extensions.push(extension(&oid::CERTIFICATE_ISSUER, true, &names));
    }
    let extensions =
        if extensions.is_empty() { Vec::new() } else { write::tlv(tag::SEQUENCE, &extensions.concat()) };
    write::sequence(&[&write::unsigned(&entry.serial.to_be_bytes()), &write::time(entry.at), &extensions])
}

fn scope_der(scope: &Scope) -> Vec<u8> {
    let flag = |number, set: bool| if set { write::tlv(tag::context(number), &[0xFF]) } else { Vec::new() };
    let place = scope.place.map(|place| write::explicit(0, &write::explicit(0, &directory(place))));
    let reasons = if scope.reasons.is_empty() {
        Vec::new()
    } else {
        write::tlv(tag::context(3), &write::named_bits(reason_flags(scope.reasons))[2..])
    };
    write::sequence(&[
        &place.unwrap_or_default(),
        &flag(1, scope.only_users),
        &flag(2, scope.only_authorities),
        &reasons,
        &flag(4, scope.indirect),
    ])
}

/// What a response says of one certificate.
#[derive(Clone, Copy)]
pub(crate) enum Says {
    Good,
    Revoked(u8),
    Unknown,
}

/// A response to be made, about one certificate.
#[derive(Clone)]
pub(crate) struct Response {
    pub(crate) issuer: String,
    pub(crate) issuer_key: usize,
    pub(crate) serial: u64,
    pub(crate) says: Says,
    pub(crate) signed_by: usize,
    /// byName with this name, or byKey.
    pub(crate) by_name: Option<&'static str>,
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) produced_at: UnixSeconds,
    pub(crate) this_update: UnixSeconds,
    pub(crate) next_update: Option<UnixSeconds>,
    pub(crate) nonce: Option<Vec<u8>>,
    pub(crate) sha256: bool,
    pub(crate) more: Vec<Vec<u8>>,
}

impl Response {
    /// From the issuer itself, of an hour ago, good for a day.
    pub(crate) fn new(issuer: &str, issuer_key: usize, serial: u64, says: Says) -> Self {
        Self {
            issuer: issuer.to_owned(),
            issuer_key,
            serial,
            says,
            signed_by: issuer_key,
            by_name: None,
            certificates: Vec::new(),
            produced_at: NOW.minus(3_600),
            this_update: NOW.minus(3_600),
            next_update: Some(NOW.plus(DAY)),
            nonce: None,
            sha256: false,
            more: Vec::new(),
        }
    }

    pub(crate) fn signed_by(mut self, key: usize, certificate: Vec<u8>) -> Self {
        self.signed_by = key;
        self.certificates.push(certificate);
        self
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let octets = octets_of(key(self.issuer_key));
        let issuer = name(&self.issuer);
        let (algorithm, name_hash, key_hash) = if self.sha256 {
            use aws_lc_rs::digest::{SHA256, digest};
            let hash = |octets: &[u8]| digest(&SHA256, octets).as_ref().to_vec();
            (oid::SHA256, hash(&issuer), hash(&octets))
        } else {
            (oid::SHA1, sha1(&issuer), sha1(&octets))
        };
        let id = write::sequence(&[
            &write::sequence(&[&write::oid(&algorithm), &[tag::NULL, 0]]),
            &write::tlv(tag::OCTET_STRING, &name_hash),
            &write::tlv(tag::OCTET_STRING, &key_hash),
            &write::unsigned(&self.serial.to_be_bytes()),
        ]);
        let status = match self.says {
            Says::Good => write::tlv(tag::context(0), &[]),
            Says::Unknown => write::tlv(tag::context(2), &[]),
            Says::Revoked(reason) => write::constructed(
                tag::context_constructed(1),
                &[
                    &write::generalized_time(NOW.minus(50)),
                    &write::explicit(0, &write::tlv(tag::ENUMERATED, &[reason])),
                ],
            ),
        };
        let next = self.next_update.map(|next| write::explicit(0, &write::generalized_time(next)));
        let this = write::generalized_time(self.this_update);
        let single = write::sequence(&[&id, &status, &this, &next.unwrap_or_default()]);
        let responder = match self.by_name {
            Some(text) => write::explicit(1, &name(text)),
            None => {
                write::explicit(2, &write::tlv(tag::OCTET_STRING, &sha1(&octets_of(key(self.signed_by)))))
            }
        };
        let mut extensions = self.more.clone();
        if let Some(nonce) = &self.nonce {
            extensions.push(extension(&oid::OCSP_NONCE, false, &write::tlv(tag::OCTET_STRING, nonce)));
        }
        let extensions = match extensions.concat() {
            list if list.is_empty() => Vec::new(),
            list => write::explicit(1, &write::tlv(tag::SEQUENCE, &list)),
        };
        let produced = write::generalized_time(self.produced_at);
        let tbs = write::sequence(&[&responder, &produced, &write::sequence(&[&single]), &extensions]);
        let signer = key(self.signed_by);
        let certificates = match self.certificates.concat() {
            list if list.is_empty() => Vec::new(),
            list => write::explicit(0, &write::tlv(tag::SEQUENCE, &list)),
        };
        let basic = write::sequence(&[
            &tbs,
            &signer.algorithm().identifier_der(),
            &write::bit_string(&signer.sign(&tbs).unwrap()),
            &certificates,
        ]);
        let bytes = write::sequence(&[&write::oid(&oid::OCSP_BASIC), &write::tlv(tag::OCTET_STRING, &basic)]);
        write::sequence(&[&write::tlv(tag::ENUMERATED, &[0]), &write::explicit(0, &bytes)])
    }
}
